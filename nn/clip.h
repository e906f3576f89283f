/* The joint norm of a model's gradients, and what clipping multiplies them by. Internal. */
#ifndef ITO_NN_CLIP_H
#define ITO_NN_CLIP_H

#include "nn/flat.h"

/* Of the gradients in f->grad that are not frozen; f->piece has been filled in. */
double clip_norm(module_flat *f, int64_t pieces);
/* 1 where norm is within max_norm or not finite. */
double clip_factor(double norm, double max_norm);

#endif
