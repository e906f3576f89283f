/* What ito-ddpm info says of a folder of images. */
#ifndef ITO_DDPM_COMMANDS_INFO_FOLDER_H
#define ITO_DDPM_COMMANDS_INFO_FOLDER_H

#include <cjson/cJSON.h>
#include <stdbool.h>

/* Read all images of the folder and add what there is: files, images, classes, and each file that
 * is left out, with its reason. False with an error recorded if it is no folder of images; true
 * with an error recorded if some of its images cannot be read. */
bool info_folder(cJSON *o, const char *dir);

#endif
