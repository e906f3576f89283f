/* One axis of a tensor times a sparse matrix of weights: averages of windows, interpolation, and
 * the transposes of both. Internal; see resample.c. */
#ifndef ITO_OPS_RESAMPLE_H
#define ITO_OPS_RESAMPLE_H

#include "autograd/op.h"

typedef enum resample_rule {
    RESAMPLE_WINDOWS,  /* output i takes [i stride - padding, .. + kernel), weighted by .average */
    RESAMPLE_ADAPTIVE, /* the mean of [i in / out, (i + 1) in / out), borders rounded outwards */
    RESAMPLE_NEAREST,
    RESAMPLE_NEAREST_EXACT,
    RESAMPLE_LINEAR,
    RESAMPLE_CUBIC,
} resample_rule;

typedef enum resample_average {
    AVERAGE_PADDED, /* 1 / the elements of a window, those of the padding included */
    AVERAGE_INSIDE, /* 1 / those inside the input */
    AVERAGE_FACTOR, /* .factor */
} resample_average;

typedef struct resample_params {
    resample_rule rule;
    int axis;
    int64_t in, out; /* the axis's size before and after; the transpose goes from out to in */
    bool transposed;
    /* windows */
    int64_t kernel, stride, padding;
    resample_average average;
    double factor;
    /* interpolation */
    double scale; /* input pixels from an output pixel to the next */
    bool align_corners, antialias;
} resample_params;

/* x with its axis of size p->in resampled to p->out. Of bf16 the result is rounded. */
ito_tensor *resample(ito_tensor *x, const resample_params *p);
/* The same along n axes one after the other, rounded once. */
ito_tensor *resample_axes(ito_tensor *x, const resample_params *p, int n);

#endif
