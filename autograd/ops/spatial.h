/* What operations on signals, images and volumes share: options that are one number or one for each
 * axis, and their words in messages. Internal. */
#ifndef ITO_OPS_SPATIAL_H
#define ITO_OPS_SPATIAL_H

#include "autograd/op.h"

enum { SPATIAL_AXES = 3, AXES_TEXT = 80 };

/* value[i] = list's i-th number if there is a list, else number; false, with an error in op's name,
 * if the list has not one for each of n axes. what names it: "strides". */
bool spatial_values(const char *op, const char *what, int n, int64_t number, ito_shape list,
                    int64_t *value);
/* "3 x 2"; of equal numbers, unless each is wanted, "3". */
const char *spatial_text(char text[AXES_TEXT], int n, const int64_t *value, bool each);
/* "a signal", "an image", "a volume". */
const char *spatial_word(int n);
/* Whether x is [N, C, ...] with n axes behind; or an error in op's name. */
bool spatial_rank_fits(const char *op, const ito_tensor *x, int n);
/* The i-th of `out` cells that cover an axis of size `in`: [*from, *to), borders rounded outwards.
 */
void spatial_cell(int64_t i, int64_t in, int64_t out, int64_t *from, int64_t *to);
/* x with this many entries before and after along axis, made of its own entries. The sizes fit: see
 * spatial_mode_fits. */
ito_tensor *spatial_pad(ito_tensor *x, int axis, int64_t before, int64_t after,
                        ito_padding_mode mode);
/* Whether an axis of this size can be so padded; or an error in op's name. */
bool spatial_mode_fits(const char *op, int64_t size, int64_t before, int64_t after,
                       ito_padding_mode mode);

#endif
