/* Learning the score, the gradient of the logarithm of a density, from samples alone; and a density
 * whose score is known. */
#ifndef ITO_EXAMPLES_PHYSICS_SCORE_H
#define ITO_EXAMPLES_PHYSICS_SCORE_H

#include <ito/ito.h>

/* Sliced score matching: the mean over samples of v' (ds/dx) v + (v' s)^2 / 2, or |s|^2 / 2 in
 * place of the square where variance_reduced (for v with E[v v'] = 1, whose expectation is the
 * same). Up to a constant it is half of the mean of |s - score|^2, or of (v' (s - score))^2.
 * @param s  a function of samples, [N, D] to [N, D], whose rows do not depend on each other.
 * @param v  [N, D], a direction for each sample.
 * Source: Song, Garg, Shi, Ermon 2019, arXiv:1905.07088, eq. (7) and (8). */
ito_tensor *sliced_score_loss(ito_function *s, void *context, ito_tensor *x, ito_tensor *v,
                              bool variance_reduced);

/* n samples [n, 2] f32 of three normal distributions in the plane, of different shapes. */
ito_tensor *mixture_samples(ito_generator *g, int64_t n);
/* Its exact score at points [N, 2], in f64. */
ito_tensor *mixture_score(ito_tensor *points);

#endif
