/* The kind of data folder:DIR: images in files, and a word on those that are left out. */
#ifndef ITO_DDPM_FOLDER_DATA_H
#define ITO_DDPM_FOLDER_DATA_H

#include "examples/ddpm/data_kinds.h"

/* Of data_kind; says what is left out. */
bool folder_load(const data_kind *kind, const char *place, const data_options *o, bool classes,
                 data_set *out);

/* For those who read a folder otherwise. "photos: 21 files: 20 images used, 1 left out (x.gif:
 * format not read)" on stderr; nothing if all are used. */
void folder_say_left_out(const ito_image_folder *f);
/* After the reading: what was skipped, or, without skip_bad, what can be done about the bad file
 * that ended it, behind the recorded error. */
void folder_say_skipped(const ito_image_folder *f, bool skip_bad);

#endif
