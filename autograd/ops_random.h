/* Draws from distributions. See ops.h for rules that all operations share.
 *
 * The generator is the last argument and advances; it is a position in a stream, so the same one
 * gives the same numbers. Which element takes which number depends on its row-major place only: not
 * on threads, memory order or dtype (numbers are drawn in f64 and rounded). Parameters are f32, f64
 * or bf16 and broadcast.
 *
 * Where a draw is a smooth function of its parameters, their gradient is that of the draw itself
 * (Kingma, Welling 2013, arXiv:1312.6114: reparameterisation); the others have none, and say so.
 *
 * Errors besides: ITO_ERR_ARGUMENT without a generator, ITO_ERR_RANGE for a parameter out of range.
 */
#ifndef ITO_OPS_RANDOM_H
#define ITO_OPS_RANDOM_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- continuous: with gradients ---- */

/** Normal numbers, mean + std times standard ones; std is 0 or more. */
ITO_API ito_tensor *ito_normal(ito_tensor *mean, ito_tensor *std, ito_generator *g);
/** Laplace's, of density exp(-|x - loc| / scale) / (2 scale); scale is positive. */
ITO_API ito_tensor *ito_laplace(ito_tensor *loc, ito_tensor *scale, ito_generator *g);
/** Gumbel's, of distribution function exp(-exp(-(x - loc) / scale)); scale is positive. */
ITO_API ito_tensor *ito_gumbel(ito_tensor *loc, ito_tensor *scale, ito_generator *g);
/** Exponential ones, of density rate exp(-rate x), more than 0; rate is positive. */
ITO_API ito_tensor *ito_exponential(ito_tensor *rate, ito_generator *g);
/** Gamma's, of density x^(a - 1) exp(-x) / Gamma(a), a = concentration > 0: one uniform number
 * through the inverse of the distribution function, so the gradient is that of the implicit
 * function (Figurnov, Mohamed, Mnih 2018, arXiv:1805.08498). No second derivative. Divide by a rate
 * for another scale. At least the smallest normal number of the dtype. */
ITO_API ito_tensor *ito_standard_gamma(ito_tensor *concentration, ito_generator *g);
/** Beta's, of density x^(a - 1) (1 - x)^(b - 1) / B(a, b); a and b are positive. From two of
 * gamma's.
 */
ITO_API ito_tensor *ito_beta(ito_tensor *a, ito_tensor *b, ito_generator *g);
/** Dirichlet's, along the last axis [.., K]: non-negative numbers whose sum is 1. From gamma's. */
ITO_API ito_tensor *ito_dirichlet(ito_tensor *concentration, ito_generator *g);

/** What ito_gumbel_softmax takes besides tensors. */
typedef struct ito_gumbel_softmax_options {
    int reserved_;
    double tau ITO_DEFAULT(1); /* the temperature, positive */
    bool hard;                 /* a one-hot vector, with the gradient of the soft one */
    int dim ITO_DEFAULT(-1);   /* the axis of classes */
} ito_gumbel_softmax_options;
#define ITO_DEFAULTS_ito_gumbel_softmax_options .tau = 1, .dim = -1

/** A relaxed draw of a class: softmax((logits + Gumbel's) / tau), shaped as logits
 * (Jang, Gu, Poole 2016, arXiv:1611.01144): ito_gumbel_softmax(logits, &g, .hard = true). */
ITO_API ito_tensor *ito_gumbel_softmax_with(ito_tensor *logits, ito_generator *g,
                                            ito_gumbel_softmax_options options);
#define ito_gumbel_softmax(...)                                                                    \
    ITO_AT(ITO_CALL_2(ito_gumbel_softmax_with, ito_gumbel_softmax_options, __VA_ARGS__, ))

/* ---- discrete: without gradients ---- */

/** 1 with probability p, else 0, for each p in [0, 1]; of p's dtype. PyTorch's bernoulli, whose
 * name is taken by draws of one probability (tensor.h). */
ITO_API ito_tensor *ito_bernoulli_of(ito_tensor *p, ito_generator *g);
/** -1 or 1, each with probability 1/2, in f32, f64 or a signed integer. */
ITO_API ito_tensor *ito_rademacher(ito_shape shape, ito_dtype dtype, ito_generator *g);
/** Poisson's counts: k with probability rate^k exp(-rate) / k!, rate from 0 to 2^52; of rate's
 * dtype.
 */
ITO_API ito_tensor *ito_poisson(ito_tensor *rate, ito_generator *g);
/** Classes drawn with probabilities softmax(logits): i64, shaped as logits [.., K] without the last
 * axis. */
ITO_API ito_tensor *ito_categorical(ito_tensor *logits, ito_generator *g);

/** What ito_multinomial takes. */
typedef struct ito_multinomial_options {
    int reserved_;
    bool replacement; /* an index may come twice */
} ito_multinomial_options;
#define ITO_DEFAULTS_ito_multinomial_options .reserved_ = 0

/** n indices for each row of weights [K] or [B, K], which are 0 or more and need not add to 1: i64
 * [n] or [B, n]. ITO_ERR_RANGE for a row of weights that are all 0, or has fewer above 0 than are
 * drawn without replacement. */
ITO_API ito_tensor *ito_multinomial_with(ito_tensor *weights, int64_t n, ito_generator *g,
                                         ito_multinomial_options options);
#define ito_multinomial(...)                                                                       \
    ITO_AT(ITO_CALL_3(ito_multinomial_with, ito_multinomial_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_bernoulli_of(...) ITO_AT(ito_bernoulli_of(__VA_ARGS__))
#define ito_beta(...) ITO_AT(ito_beta(__VA_ARGS__))
#define ito_categorical(...) ITO_AT(ito_categorical(__VA_ARGS__))
#define ito_dirichlet(...) ITO_AT(ito_dirichlet(__VA_ARGS__))
#define ito_exponential(...) ITO_AT(ito_exponential(__VA_ARGS__))
#define ito_gumbel(...) ITO_AT(ito_gumbel(__VA_ARGS__))
#define ito_laplace(...) ITO_AT(ito_laplace(__VA_ARGS__))
#define ito_normal(...) ITO_AT(ito_normal(__VA_ARGS__))
#define ito_poisson(...) ITO_AT(ito_poisson(__VA_ARGS__))
#define ito_rademacher(...) ITO_AT(ito_rademacher(__VA_ARGS__))
#define ito_standard_gamma(...) ITO_AT(ito_standard_gamma(__VA_ARGS__))
#endif

#endif
