/* Files whose pages are images in use. */
#ifndef ITO_DDPM_MAPPED_FILE_H
#define ITO_DDPM_MAPPED_FILE_H

/* From now on the program ends with a sentence about this file, and exit code 1, if a page of a
 * mapped file is gone: the file was cut short. */
void mapped_file_watch(const char *path);

#endif
