/* Internal: coding 8-bit pixels by the discretised decoder of eq. (13), with its probabilities as
 * whole numbers of 2^24. They come from additions, multiplications and divisions of doubles alone,
 * so that both sides have the same ones whatever their mathematics library is. */
#ifndef ITO_DDPM_PIXEL_CODE_H
#define ITO_DDPM_PIXEL_CODE_H

#include "models/ddpm/compress/range_coder.h"

enum { NORMAL_STEPS = 64, NORMAL_END = 8 }; /* points a unit, and where the tail counts as 0 */

/* The normal distribution function at -NORMAL_END .. NORMAL_END; between them it is straight. */
typedef struct pixel_code {
    double below[2 * NORMAL_STEPS * NORMAL_END + 1];
} pixel_code;

void pixel_begin(pixel_code *p);
/* Code value, 0 to 255, where N(mean, deviation^2) is expected, both on the scale of values. */
int pixel_code_next(const pixel_code *p, range_coder *r, double mean, double deviation, int value);

#endif
