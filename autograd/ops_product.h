/* Sums of products: einsum and its kin. See ops.h for rules that all operations share. */
#ifndef ITO_OPS_PRODUCT_H
#define ITO_OPS_PRODUCT_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The sum of products that an equation names: ito_einsum("bij,bjk->bik", ITO_TENSORS(a, b)).
 *
 * Each operand has a letter (a to z, A to Z) for each axis. Axes of one letter have one size, or 1,
 * which broadcasts. A letter that occurs twice in an operand takes its diagonal. "..." stands for
 * any axes that are not named; they broadcast. Letters behind "->" are the axes of the result, the
 * others are summed over. Without "->" these are the letters that occur once, in the order of the
 * alphabet (capitals first), behind the axes of "...".
 *
 * Operands are multiplied from left to right, as stacks of matrices where axes are summed.
 * @param n  operands, at least 1.
 * @return   ITO_ERR_ARGUMENT for an equation that is none, or has another number of operands;
 *           ITO_ERR_SHAPE for sizes that do not fit, or more than 8 axes on the way.
 */
ITO_API ito_tensor *ito_einsum(const char *equation, ito_tensor *const *tensors, int64_t n);

/** What ito_tensordot takes besides tensors. */
typedef struct ito_tensordot_options {
    int reserved_;
    int64_t dims ITO_DEFAULT(2); /* the last axes of a meet the first ones of b, ... */
    /* ... unless both of these are given: axis dims_a[i] of a meets axis dims_b[i] of b. */
    ito_shape dims_a ITO_DEFAULT(ITO_ALL_DIMS);
    ito_shape dims_b ITO_DEFAULT(ITO_ALL_DIMS);
} ito_tensordot_options;
#define ITO_DEFAULTS_ito_tensordot_options .dims = 2, .dims_a = {.ndim = -1}, .dims_b = {.ndim = -1}

/** The products of a and b summed over pairs of axes: ito_tensordot(a, b, .dims = 1). The result
 * has the other axes of a, then those of b. */
ITO_API ito_tensor *ito_tensordot_with(ito_tensor *a, ito_tensor *b, ito_tensordot_options options);
#define ito_tensordot(...)                                                                         \
    ITO_AT(ITO_CALL_2(ito_tensordot_with, ito_tensordot_options, __VA_ARGS__, ))

/** Vectors [M] and [N] to all their products, [M, N]. */
ITO_API ito_tensor *ito_outer(ito_tensor *a, ito_tensor *b);
/** The sum over the last axes, which are equal, of the products of [.., K] and [..., K]: the other
 * axes of a, then those of b. A single number multiplies. */
ITO_API ito_tensor *ito_inner(ito_tensor *a, ito_tensor *b);
/** The sum of products of two vectors [K]: a single number. */
ITO_API ito_tensor *ito_dot(ito_tensor *a, ito_tensor *b);
/** ito_dot, of reals. */
ITO_API ito_tensor *ito_vdot(ito_tensor *a, ito_tensor *b);
/** A matrix [M, K] times a vector [K]: [M]. */
ITO_API ito_tensor *ito_mv(ito_tensor *matrix, ito_tensor *vector);
/** A matrix [M, K] times a matrix [K, N]: [M, N]. Nothing broadcasts. */
ITO_API ito_tensor *ito_mm(ito_tensor *a, ito_tensor *b);
/** Stacks of matrices [B, M, K] and [B, K, N] multiplied in pairs: [B, M, N]. Nothing broadcasts.
 */
ITO_API ito_tensor *ito_bmm(ito_tensor *a, ito_tensor *b);

/** What sums with a product take. */
typedef struct ito_addmm_options {
    int reserved_;
    double beta ITO_DEFAULT(1); /* 0 leaves x out, whatever it holds */
    double alpha ITO_DEFAULT(1);
} ito_addmm_options;
#define ITO_DEFAULTS_ito_addmm_options .beta = 1, .alpha = 1

/** beta x + alpha a b for matrices [M, K] and [K, N]; x broadcasts to [M, N]: ito_addmm(x, a, b,
 * .beta = 0.5). */
ITO_API ito_tensor *ito_addmm_with(ito_tensor *x, ito_tensor *a, ito_tensor *b,
                                   ito_addmm_options options);
/** beta x + alpha a b for a matrix [M, K] and a vector [K]; x broadcasts to [M]. */
ITO_API ito_tensor *ito_addmv_with(ito_tensor *x, ito_tensor *a, ito_tensor *b,
                                   ito_addmm_options options);
/** beta x + alpha a b for stacks [B, M, K] and [B, K, N]; x broadcasts to [B, M, N]. */
ITO_API ito_tensor *ito_baddbmm_with(ito_tensor *x, ito_tensor *a, ito_tensor *b,
                                     ito_addmm_options options);
/** beta x + alpha times the sum over B of a b, for stacks [B, M, K] and [B, K, N]; x broadcasts to
 * [M, N]. */
ITO_API ito_tensor *ito_addbmm_with(ito_tensor *x, ito_tensor *a, ito_tensor *b,
                                    ito_addmm_options options);
#define ito_addmm(...) ITO_AT(ITO_CALL_3(ito_addmm_with, ito_addmm_options, __VA_ARGS__, ))
#define ito_addmv(...) ITO_AT(ITO_CALL_3(ito_addmv_with, ito_addmm_options, __VA_ARGS__, ))
#define ito_baddbmm(...) ITO_AT(ITO_CALL_3(ito_baddbmm_with, ito_addmm_options, __VA_ARGS__, ))
#define ito_addbmm(...) ITO_AT(ITO_CALL_3(ito_addbmm_with, ito_addmm_options, __VA_ARGS__, ))

/** The sum of the diagonal of a matrix [M, N]: a single number. */
ITO_API ito_tensor *ito_trace(ito_tensor *x);
/** The cross product of vectors of three numbers, which lie along an axis (-1: the last); the other
 * axes broadcast. */
ITO_API ito_tensor *ito_cross(ito_tensor *a, ito_tensor *b, int axis);
/** The Kronecker product: every element of a times all of b, block by block. Sizes multiply; the
 * one with fewer axes gets axes of size 1 in front. */
ITO_API ito_tensor *ito_kron(ito_tensor *a, ito_tensor *b);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_bmm(...) ITO_AT(ito_bmm(__VA_ARGS__))
#define ito_cross(...) ITO_AT(ito_cross(__VA_ARGS__))
#define ito_dot(...) ITO_AT(ito_dot(__VA_ARGS__))
#define ito_einsum(...) ITO_AT(ito_einsum(__VA_ARGS__))
#define ito_inner(...) ITO_AT(ito_inner(__VA_ARGS__))
#define ito_kron(...) ITO_AT(ito_kron(__VA_ARGS__))
#define ito_mm(...) ITO_AT(ito_mm(__VA_ARGS__))
#define ito_mv(...) ITO_AT(ito_mv(__VA_ARGS__))
#define ito_outer(...) ITO_AT(ito_outer(__VA_ARGS__))
#define ito_trace(...) ITO_AT(ito_trace(__VA_ARGS__))
#define ito_vdot(...) ITO_AT(ito_vdot(__VA_ARGS__))
#endif

#endif
