/* Images as they are in files: neither cut nor resized, and no colour lost. */
#ifndef ITO_DDPM_IMAGE_FILES_H
#define ITO_DDPM_IMAGE_FILES_H

#include "examples/ddpm/model_files.h"

/* u8 [N, C, H, W] of an image file, a .npy file of bytes, or the .png files of a directory in the
 * order of their names; of the current scope. NULL with an error recorded, also if they are not of
 * the size and channels that the network takes. */
ito_tensor *image_files_load(const model_files *files, const char *path);

#endif
