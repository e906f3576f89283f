/* The gradient of an image with respect to what a strided convolution reads: positions of one phase
 * (position modulo stride) meet the same taps. Internal; defined in conv.c. */
#ifndef ITO_CONV_PHASE_H
#define ITO_CONV_PHASE_H

#include <stdint.h>

/* The taps along one axis that reach input positions start, start + stride, ...: last,
 * last - period, ..., the q-th of them from output position i + off + q * tap for the i-th input
 * position. The last tap comes first, so that output positions ascend. */
typedef struct phase {
    int64_t start, positions;
    int64_t last, period, taps;
    int64_t off, tap;
} phase;

phase find_phase(int64_t start, int64_t extent, int64_t kernel, int64_t stride, int64_t pad,
                 int64_t dilation);

#endif
