/* The joint norm of a model's gradients, and the factor of clipping. Internal. */
#ifndef ITO_NN_CLIP_H
#define ITO_NN_CLIP_H

#include "nn/flat.h"

/* The norm of the gradients in f->grad that are not frozen; flat_pieces has filled in f->piece. */
double clip_norm(module_flat *f, int64_t pieces);
/* What to multiply gradients by; 1 if norm is within max_norm or not finite. */
double clip_factor(double norm, double max_norm);

#endif
