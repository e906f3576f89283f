/* What the numbers of an array stand for: which is black, and which is white. */
#ifndef ITO_DDPM_PIXEL_RANGE_H
#define ITO_DDPM_PIXEL_RANGE_H

#include <ito/ito.h>

/* How far beyond its range, as a part of it, a number may be by rounding. */
#define PIXEL_ROUNDING 1e-5

/* Images of any dtype, row-major, as u8 or f32 in [-1, 1], of the current scope. range is
 * "LOW,HIGH", or NULL: bytes 0 to 255, bools 0 and 1, floats -1 to 1. NULL for NULL, and with an
 * error recorded for numbers that the range does not hold or that have none; it says which does. A
 * range that is likely to be missing is a line on stderr. place is for messages. */
ito_tensor *pixels_of_range(ito_tensor *images, const char *range, const char *place);

#endif
