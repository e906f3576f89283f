/* Images in NumPy's files. An array is [N, C, H, W], [N, H, W, C] or [N, H, W]: of an array of four
 * axes the last is that of channels if it has at most 4 and axis 1 more, else axis 1. */
#ifndef ITO_DDPM_IMAGE_ARRAYS_H
#define ITO_DDPM_IMAGE_ARRAYS_H

#include "examples/common/options.h"

#include <cjson/cJSON.h>
#include <float.h>
#include <ito/ito.h>

/* Limits of the values of f32 images: pixels are in [-1, 1], samples and noise may be beyond. */
#define IN_PIXEL_RANGE 1.0f
#define ANY_FINITE FLT_MAX

/* An option --range of a command that has --data. */
#define RANGE_ROW                                                                                  \
    TEXT_ROW("range", range, "LOW,HIGH", NULL,                                                     \
             "npy: the numbers that stand for black and white: 0,1, say (-1,1; bytes 0,255)")

/* Images as the program writes them: u8 as it is, floats as f32 up to limit; [N, C, H, W] of the
 * current scope, or NULL with an error recorded. place is a .npy or .npz file, or FILE#NAME for the
 * array of that name in an .npz. */
ito_tensor *image_npy_load(const char *place, float limit);

/* Images of --data, u8 or f32 in [-1, 1]. range is "LOW,HIGH", or NULL; a range that is likely to
 * be missing is a line on stderr. */
ito_tensor *image_data_load(const char *place, const char *range);
/* Whether labels go with the images: in an .npz, an array of the name that belongs to theirs. */
bool image_data_has_labels(const char *place);
/* Those labels, each as its place among the classes, i64 [N] of the current scope, and the classes'
 * names: the different labels as texts, rising. NULL with an error recorded. */
ito_tensor *image_data_labels(const char *place, int64_t images, cJSON **names);

#endif
