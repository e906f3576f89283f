/* Data sets that are decoded already: one safetensors file of images, labels and the classes'
 * names, which ito-ddpm prepare writes and --data prepared:FILE reads. Its images stay on the disk,
 * in pages that the system reads when they are wanted: opening takes no time, and the images may be
 * more than memory holds. */
#ifndef ITO_DDPM_PREPARED_H
#define ITO_DDPM_PREPARED_H

#include "examples/ddpm/data_kinds.h"

/* In the file. */
#define PREPARED_IMAGES "images" /* u8, or f32 in [-1, 1], [N, C, H, W] */
#define PREPARED_LABELS "labels" /* u8 or i64 [N]; not there without classes */
#define PREPARED_FORMAT "format" /* a key of the metadata; its value is: */
#define PREPARED_FORMAT_VALUE "images of ito-ddpm prepare, 1"
#define PREPARED_CLASSES "class_names" /* a JSON array of texts */
#define PREPARED_MIRRORS "mirrors"     /* "yes" or "no": of data_kind */

/* Of data_kind. */
bool prepared_load(const data_kind *kind, const char *place, const data_options *o, bool classes,
                   data_set *out);
bool prepared_has_classes(const char *place);
bool prepared_mirrors(const char *place);

#endif
