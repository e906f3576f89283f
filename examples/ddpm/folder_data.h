/* The kind of data folder:DIR: images in files, and a word on those that are left out. */
#ifndef ITO_DDPM_FOLDER_DATA_H
#define ITO_DDPM_FOLDER_DATA_H

#include "examples/ddpm/data_kinds.h"

/* Of data_kind. Says on stderr how many files are left out, if any, and why. */
bool folder_load(const data_kind *kind, const char *place, const data_options *o, bool classes,
                 data_set *out);

#endif
