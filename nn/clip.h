/* The joint norm of a model's gradients, and the factor of clipping. Internal. */
#ifndef ITO_NN_CLIP_H
#define ITO_NN_CLIP_H

#include "nn/shard.h"

/* A sum of squares for each piece that is not frozen, into f->partial; flat_pieces has filled in
 * f->piece. shard: of the pieces that are its rank's alone, else 0; NULL: of all. */
void clip_square_sums(module_flat *f, int64_t pieces, const flat_shard *shard);
/* The norm of which these are the sums. */
double clip_norm(const module_flat *f, int64_t pieces);
/* What to multiply gradients by; 1 if norm is within max_norm or not finite. */
double clip_factor(double norm, double max_norm);

#endif
