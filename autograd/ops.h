/* Operations on tensors, by family. Names, arguments and defaults are PyTorch's. Activations are in
 * ops_activation.h and losses in ops_loss.h, which this includes; ops_math.h has further functions.
 *
 * All return a tensor of the current scope, or NULL with an error recorded; NULL in gives NULL out.
 * Unless said otherwise they take f32, f64 or bf16 (all inputs the same), broadcast as NumPy does,
 * and can be differentiated. Dtypes do not mix, but for one case: a float without axes beside a
 * float tensor with axes is converted to its dtype, in arithmetic, comparisons and ito_where; its
 * gradient has the dtype it came with. Numbers that are no tensors take the tensor's dtype. f16 is
 * storage: ito_cast it first. Operations on bf16 compute in f32 and round their result once.
 *
 * Errors of any operation: ITO_ERR_DTYPE for an element type that it does not take, ITO_ERR_SHAPE
 * for shapes that do not fit each other, ITO_ERR_RANGE for an axis that a tensor does not have,
 * ITO_ERR_ARGUMENT for a NULL that no earlier error explains, ITO_ERR_MEMORY. Others are named
 * where they occur. Axes count from the end if negative.
 */
#ifndef ITO_OPS_H
#define ITO_OPS_H

#include "ops_reduce.h" /* ito_reduce_options */

#ifdef __cplusplus
extern "C" {
#endif

/* ---- element by element: the result is shaped as x ---- */

/** -x. Integers, too, which wrap; not bool. */
ITO_API ito_tensor *ito_neg(ito_tensor *x);
/** |x|. The gradient at 0 is 0. */
ITO_API ito_tensor *ito_abs(ito_tensor *x);
/** x^2. */
ITO_API ito_tensor *ito_square(ito_tensor *x);
/** The square root; NaN below 0. The gradient at 0 is infinite. */
ITO_API ito_tensor *ito_sqrt(ito_tensor *x);
/** 1 / sqrt(x); NaN below 0, infinite at 0. */
ITO_API ito_tensor *ito_rsqrt(ito_tensor *x);
/** 1 / x. */
ITO_API ito_tensor *ito_reciprocal(ito_tensor *x);
/** e^x. */
ITO_API ito_tensor *ito_exp(ito_tensor *x);
/** e^x - 1, accurate near 0. */
ITO_API ito_tensor *ito_expm1(ito_tensor *x);
/** The natural logarithm; NaN below 0, -infinity at 0. */
ITO_API ito_tensor *ito_log(ito_tensor *x);
/** log(1 + x), accurate near 0; NaN below -1. */
ITO_API ito_tensor *ito_log1p(ito_tensor *x);
/** The sine of x in radians. */
ITO_API ito_tensor *ito_sin(ito_tensor *x);
/** The cosine of x in radians. */
ITO_API ito_tensor *ito_cos(ito_tensor *x);
/** The hyperbolic tangent. */
ITO_API ito_tensor *ito_tanh(ito_tensor *x);
/** The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x. */
ITO_API ito_tensor *ito_erf(ito_tensor *x);
/** The logistic function, 1 / (1 + exp(-x)), without overflow. */
ITO_API ito_tensor *ito_sigmoid(ito_tensor *x);
/** The largest whole number that is not above x. The gradient is 0. */
ITO_API ito_tensor *ito_floor(ito_tensor *x);
/** The nearest whole number, of two the even one. The gradient is 0. */
ITO_API ito_tensor *ito_round(ito_tensor *x);
/** -1, 0 or 1. The gradient is 0. */
ITO_API ito_tensor *ito_sign(ito_tensor *x);
/** min(max(x, low), high); the gradient passes where low < x < high. NaN stays NaN. */
ITO_API ito_tensor *ito_clamp(ito_tensor *x, double low, double high);

/* ---- two tensors, element by element: a and b broadcast to the shape of the result ---- */

/** a + b. Integers and bool, too: integers wrap, bool is or. */
ITO_API ito_tensor *ito_add(ito_tensor *a, ito_tensor *b);
/** a - b. Integers, too, which wrap; not bool. */
ITO_API ito_tensor *ito_sub(ito_tensor *a, ito_tensor *b);
/** a b. Integers and bool, too: integers wrap, bool is and. */
ITO_API ito_tensor *ito_mul(ito_tensor *a, ito_tensor *b);
/** a / b. */
ITO_API ito_tensor *ito_div(ito_tensor *a, ito_tensor *b);
/** a^b; NaN for a negative a and a b that is not whole. At a = 0 the gradients are 0 for b = 0 and
 * from b = 1 up. */
ITO_API ito_tensor *ito_pow(ito_tensor *a, ito_tensor *b);
/** The larger of a and b. The gradient of a tie is shared half and half. A NaN in either gives NaN.
 * Integers and bool, too. */
ITO_API ito_tensor *ito_maximum(ito_tensor *a, ito_tensor *b);
/** The smaller of a and b. Ties, NaN and integers are treated as by ito_maximum. */
ITO_API ito_tensor *ito_minimum(ito_tensor *a, ito_tensor *b);
/** x + c. */
ITO_API ito_tensor *ito_add_scalar(ito_tensor *x, double c);
/** c x. */
ITO_API ito_tensor *ito_mul_scalar(ito_tensor *x, double c);
/** x to the power of a number; x^0 is 1, with gradient 0. */
ITO_API ito_tensor *ito_pow_scalar(ito_tensor *x, double exponent);
/** a x + b y with numbers a, b. */
ITO_API ito_tensor *ito_axpby(double a, ito_tensor *x, double b, ito_tensor *y);
/** x + weight (y - x). */
ITO_API ito_tensor *ito_lerp(ito_tensor *x, ito_tensor *y, double weight);

/* Comparisons take any dtype but f16, and give bool, which has no gradient. */

/** Where a = b. NaN equals nothing. */
ITO_API ito_tensor *ito_eq(ito_tensor *a, ito_tensor *b);
/** Where a and b differ. NaN differs from everything. */
ITO_API ito_tensor *ito_ne(ito_tensor *a, ito_tensor *b);
/** Where a < b; false for NaN. */
ITO_API ito_tensor *ito_lt(ito_tensor *a, ito_tensor *b);
/** Where a <= b; false for NaN. */
ITO_API ito_tensor *ito_le(ito_tensor *a, ito_tensor *b);
/** Where a > b; false for NaN. */
ITO_API ito_tensor *ito_gt(ito_tensor *a, ito_tensor *b);
/** Where a >= b; false for NaN. */
ITO_API ito_tensor *ito_ge(ito_tensor *a, ito_tensor *b);
/** a where condition (bool) holds, else b. a and b may have any dtype, both the same. */
ITO_API ito_tensor *ito_where(ito_tensor *condition, ito_tensor *a, ito_tensor *b);
/** x, and value where mask (bool, broadcast to x's shape) holds. Any dtype. */
ITO_API ito_tensor *ito_masked_fill(ito_tensor *x, ito_tensor *mask, double value);

/* ---- reductions; ops_reduce.h has more ---- */

/** The sum over axes: ito_sum(x), ito_sum(x, .dims = ITO_DIMS(1, 2), .keepdim = true). The order of
 * additions is fixed, and long sums are made in double. 0 for no elements. Integers and bool, too,
 * in i64, which wraps. ITO_ERR_ARGUMENT for an axis that is named twice, as in all reductions. */
ITO_API ito_tensor *ito_sum_with(ito_tensor *x, ito_reduce_options options);
/** The mean over axes; NaN for no elements. */
ITO_API ito_tensor *ito_mean_with(ito_tensor *x, ito_reduce_options options);
/** The variance over axes, sum((x - mean)^2) / (n - .correction), by default n - 1. Two passes: a
 * large mean does not cancel the result. */
ITO_API ito_tensor *ito_var_with(ito_tensor *x, ito_reduce_options options);
/** The largest element. Ties share the gradient equally. A NaN gives NaN. Integers and bool, too.
 * ITO_ERR_SHAPE for no elements. */
ITO_API ito_tensor *ito_max_with(ito_tensor *x, ito_reduce_options options);
/** The smallest element, with the same rules as the largest. */
ITO_API ito_tensor *ito_min_with(ito_tensor *x, ito_reduce_options options);
/** log(sum(exp(x))), without overflow; -infinity for no elements. */
ITO_API ito_tensor *ito_logsumexp_with(ito_tensor *x, ito_reduce_options options);
#define ito_sum(...) ITO_AT(ITO_CALL_1(ito_sum_with, ito_reduce_options, __VA_ARGS__, ))
#define ito_mean(...) ITO_AT(ITO_CALL_1(ito_mean_with, ito_reduce_options, __VA_ARGS__, ))
#define ito_var(...) ITO_AT(ITO_CALL_1(ito_var_with, ito_reduce_options, __VA_ARGS__, ))
#define ito_max(...) ITO_AT(ITO_CALL_1(ito_max_with, ito_reduce_options, __VA_ARGS__, ))
#define ito_min(...) ITO_AT(ITO_CALL_1(ito_min_with, ito_reduce_options, __VA_ARGS__, ))
#define ito_logsumexp(...) ITO_AT(ITO_CALL_1(ito_logsumexp_with, ito_reduce_options, __VA_ARGS__, ))

/* ---- shapes: any dtype; views share x's storage ---- */

/** A view where strides allow, else a copy. One size may be -1: what is left. */
ITO_API ito_tensor *ito_reshape_to(ito_tensor *x, ito_shape shape);
#define ito_reshape(...) ITO_AT(ITO_SIZES_1(ito_reshape_to, __VA_ARGS__, ))
/** As reshape, but never a copy: ITO_ERR_SHAPE where strides do not allow a view. */
ITO_API ito_tensor *ito_view_to(ito_tensor *x, ito_shape shape);
#define ito_view(...) ITO_AT(ITO_SIZES_1(ito_view_to, __VA_ARGS__, ))
/** A view whose axis i is x's axis axes[i]. ITO_ERR_ARGUMENT unless each axis occurs once. */
ITO_API ito_tensor *ito_permute_to(ito_tensor *x, ito_shape axes);
#define ito_permute(...) ITO_AT(ITO_SIZES_1(ito_permute_to, __VA_ARGS__, ))
/** A view with two axes exchanged. */
ITO_API ito_tensor *ito_transpose(ito_tensor *x, int axis0, int axis1);
/** A view in which axes of size 1 repeat; new axes in front; -1 keeps a size. */
ITO_API ito_tensor *ito_expand_to(ito_tensor *x, ito_shape shape);
#define ito_expand(...) ITO_AT(ITO_SIZES_1(ito_expand_to, __VA_ARGS__, ))
/** Without the axis, whose size must be 1. */
ITO_API ito_tensor *ito_squeeze(ito_tensor *x, int axis);
/** With a new axis of size 1 at this place, counted in the result. */
ITO_API ito_tensor *ito_unsqueeze(ito_tensor *x, int axis);
/** Axes first to last, inclusive, made one. */
ITO_API ito_tensor *ito_flatten(ito_tensor *x, int first, int last);
/** A view of elements start, start + step, ... before end along axis. Bounds are clipped and count
 * from the end if negative, as in Python; step > 0. */
ITO_API ito_tensor *ito_slice(ito_tensor *x, int axis, int64_t start, int64_t end, int64_t step);
/** A view of length elements from start along axis; out of bounds is an error. */
ITO_API ito_tensor *ito_narrow(ito_tensor *x, int axis, int64_t start, int64_t length);
/** A view without the axis, at this index. */
ITO_API ito_tensor *ito_select(ito_tensor *x, int axis, int64_t index);
/** The index-th of the pieces that x makes when cut along axis into n of (nearly) equal size. */
ITO_API ito_tensor *ito_chunk(ito_tensor *x, int64_t n, int axis, int64_t index);
/** The index-th of the pieces of this size, the last one maybe shorter. */
ITO_API ito_tensor *ito_split(ito_tensor *x, int64_t size, int axis, int64_t index);
/** Tensors side by side along axis: ito_cat(ITO_TENSORS(a, b), 1). */
ITO_API ito_tensor *ito_cat(ito_tensor *const *tensors, int64_t n, int axis);
/** Tensors for a function that takes a list and its length: two arguments. */
#define ITO_TENSORS(...)                                                                           \
    ((ito_tensor *const[]){__VA_ARGS__}),                                                          \
        (int64_t)(sizeof((ito_tensor *const[]){__VA_ARGS__}) / sizeof(ito_tensor *))
/** x itself made row-major; a copy if it was not. */
ITO_API ito_tensor *ito_contiguous(ito_tensor *x);
/** A copy, in x's memory order where x is dense. */
ITO_API ito_tensor *ito_clone(ito_tensor *x);
/** To another dtype; gradients pass between floats. A float to an integer drops the fraction. */
ITO_API ito_tensor *ito_cast(ito_tensor *x, ito_dtype dtype);
/** Constants around x: pads are (before, after) of the last axis, then of the one before it, ...;
 * negative ones cut; a view if none is positive. ito_pad(x, 0.0, 0, 1, 0, 1) pads right and bottom
 * by one. */
ITO_API ito_tensor *ito_pad_with(ito_tensor *x, double value, ito_shape pads);
#define ito_pad(...) ITO_AT(ITO_SIZES_2(ito_pad_with, __VA_ARGS__, ))
/** The order of elements along these axes reversed: ito_flip(x, -2, -1). A copy. ITO_ERR_ARGUMENT
 * for an axis that is named twice. */
ITO_API ito_tensor *ito_flip_to(ito_tensor *x, ito_shape axes);
#define ito_flip(...) ITO_AT(ITO_SIZES_1(ito_flip_to, __VA_ARGS__, ))

/* ---- indexing: indices are i64 and checked ---- */

/** The entries of axis named by index [K]. */
ITO_API ito_tensor *ito_index_select(ito_tensor *x, int axis, ito_tensor *index);
/** y[i][j][k] = x[i][index[i][j][k]][k] for axis 1, as PyTorch's gather. */
ITO_API ito_tensor *ito_gather(ito_tensor *x, int axis, ito_tensor *index);
/** What ito_index_add takes. */
typedef struct ito_index_add_options {
    int reserved_;
    double alpha ITO_DEFAULT(1); /* times which src is added */
} ito_index_add_options;
#define ITO_DEFAULTS_ito_index_add_options .alpha = 1
/** x with entry k of src added to entry index[k] of axis; src is shaped as x but for index [K]
 * there. f32, f64, bf16, i32 or i64. */
ITO_API ito_tensor *ito_index_add_with(ito_tensor *x, int axis, ito_tensor *index, ito_tensor *src,
                                       ito_index_add_options options);
#define ito_index_add(...)                                                                         \
    ITO_AT(ITO_CALL_4(ito_index_add_with, ito_index_add_options, __VA_ARGS__, ))
/** x with y[i][index[i][j][k]][k] += src[i][j][k] for axis 1; index and src have one shape. */
ITO_API ito_tensor *ito_scatter_add(ito_tensor *x, int axis, ito_tensor *index, ito_tensor *src);
/** index [...] to [..., classes] of 0 and 1. No gradient. */
ITO_API ito_tensor *ito_one_hot(ito_tensor *index, int64_t classes, ito_dtype dtype);

/* ---- products ---- */

/** The product of matrices [.., M, K] [.., K, N]: [.., M, N]. Batch axes broadcast; a vector is a
 * row on the left and a column on the right, and its axis is not in the result. */
ITO_API ito_tensor *ito_matmul(ito_tensor *a, ito_tensor *b);
/** x [.., in] times weight [out, in] transposed, + bias [out] unless NULL: [.., out]. weight and
 * bias are f32 where x is bf16. */
ITO_API ito_tensor *ito_linear(ito_tensor *x, ito_tensor *weight, ito_tensor *bias);

/* ---- normalisation ---- */

/**
 * Zero mean and unit variance in each of the groups of channels, then scale and shift by channel.
 * @param x      [N, C, ...]
 * @param weight [C], or NULL for 1; bias [C], or NULL for 0.
 * @param eps    added to the variance, 0 or more; PyTorch's default is 1e-5. With 0, a group of
 *               equal numbers gives NaN.
 * @return       shaped as x; channels-last in memory if x has four axes. ITO_ERR_SHAPE if the
 *               channels do not form the groups, ITO_ERR_ARGUMENT for an eps below 0. weight and
 *               bias are f32 where x is bf16.
 * Source: Wu, He 2018, arXiv:1803.08494.
 */
ITO_API ito_tensor *ito_group_norm(ito_tensor *x, int64_t groups, ito_tensor *weight,
                                   ito_tensor *bias, double eps);
/** ito_silu(ito_group_norm(...)) to the bit, in one operation that keeps and reads less memory. */
ITO_API ito_tensor *ito_group_norm_silu(ito_tensor *x, int64_t groups, ito_tensor *weight,
                                        ito_tensor *bias, double eps);

/** What ito_layer_norm takes besides tensors. */
typedef struct ito_layer_norm_options {
    int reserved_;
    double eps ITO_DEFAULT(1e-5); /* added to the variance, 0 or more */
} ito_layer_norm_options;
#define ITO_DEFAULTS_ito_layer_norm_options .eps = 1e-5

/**
 * Zero mean and unit variance over the last axes together, then scale and shift by element:
 * ito_layer_norm(x, ITO_SHAPE(512), weight, bias, .eps = 1e-6).
 * @param x                 [.., normalized_shape]
 * @param normalized_shape  the sizes of x's last axes, at least one.
 * @param weight            shaped as normalized_shape, or NULL for 1; f32 where x is bf16.
 * @param bias              the same, or NULL for 0.
 * @return  shaped as x, row-major. With .eps = 0, equal numbers give NaN. ITO_ERR_SHAPE for sizes
 *          that do not fit, ITO_ERR_ARGUMENT for an eps that is below 0 or not finite.
 * Source: Ba, Kiros, Hinton 2016, arXiv:1607.06450.
 */
ITO_API ito_tensor *ito_layer_norm_with(ito_tensor *x, ito_shape normalized_shape,
                                        ito_tensor *weight, ito_tensor *bias,
                                        ito_layer_norm_options options);
#define ito_layer_norm(...)                                                                        \
    ITO_AT(ITO_CALL_4(ito_layer_norm_with, ito_layer_norm_options, __VA_ARGS__, ))

/** What ito_rms_norm takes besides tensors. */
typedef struct ito_rms_norm_options {
    int reserved_;
    /* Added to the mean square, 0 or more; by default (NaN) 2^-52 for f64, else 2^-23. */
    double eps ITO_DEFAULT(__builtin_nan(""));
} ito_rms_norm_options;
#define ITO_DEFAULTS_ito_rms_norm_options .eps = __builtin_nan("")

/**
 * x / sqrt(mean(x^2) + eps) over the last axes together, then scale by element:
 * ito_rms_norm(x, ITO_SHAPE(512), weight). Arguments, result and errors as ito_layer_norm's.
 * Source: Zhang, Sennrich 2019, arXiv:1910.07467, eq. (4).
 */
ITO_API ito_tensor *ito_rms_norm_with(ito_tensor *x, ito_shape normalized_shape, ito_tensor *weight,
                                      ito_rms_norm_options options);
#define ito_rms_norm(...) ITO_AT(ITO_CALL_3(ito_rms_norm_with, ito_rms_norm_options, __VA_ARGS__, ))

/** exp(x) / sum(exp(x)) along axis, without overflow; shaped as x. */
ITO_API ito_tensor *ito_softmax(ito_tensor *x, int axis);
/** x - log(sum(exp(x))) along axis: the logarithm of softmax, accurate where that is near 0. */
ITO_API ito_tensor *ito_log_softmax(ito_tensor *x, int axis);
/* ---- random ---- */

/** Zero with probability p, else x / (1 - p). The mask is drawn from g, which advances, and is
 * drawn again in backward rather than stored. p in [0, 1); 0 gives a view and leaves g alone. Which
 * element takes which number depends on its coordinates only: row-major order, N H W C for 4 axes.
 * ITO_ERR_RANGE for another p (Srivastava et al. 2014, JMLR 15). */
ITO_API ito_tensor *ito_dropout(ito_tensor *x, double p, ito_generator *g);

/* ---- in place ---- */

/* Nothing is recorded, so a tensor that requires a gradient is refused with ITO_ERR_GRAD outside
 * ITO_NO_GRAD, as are, with ITO_ERR_ARGUMENT, views whose elements share memory. */

/** dst = src, broadcast and converted. Returns dst. */
ITO_API ito_tensor *ito_copy_(ito_tensor *dst, ito_tensor *src);
/** Every element of dst = value, converted; any dtype. Returns dst. */
ITO_API ito_tensor *ito_fill_(ito_tensor *dst, double value);
/** dst += alpha src, shapes and dtypes equal: f32, f64 or bf16. Returns dst. */
ITO_API ito_tensor *ito_add_(ito_tensor *dst, ito_tensor *src, double alpha);
/** dst *= c: f32, f64 or bf16. Returns dst. */
ITO_API ito_tensor *ito_mul_scalar_(ito_tensor *dst, double c);

#ifdef __cplusplus
}
#endif

/* The families, each in a header of its own. */
#include "ops_activation.h"
#include "ops_at.h"
#include "ops_attention.h"
#include "ops_conv.h"
#include "ops_dropout.h"
#include "ops_embedding.h"
#include "ops_fft.h"
#include "ops_index.h"
#include "ops_linalg.h"
#include "ops_loss.h"
#include "ops_math.h"
#include "ops_norm.h"
#include "ops_pool.h"
#include "ops_product.h"
#include "ops_random.h"
#include "ops_recurrent.h"
#include "ops_reduce.h"
#include "ops_resize.h"
#include "ops_shape.h"

/* What C++ has in place of C's compound literals. */
#ifdef __cplusplus
#include <initializer_list>
template <class... T> char (&ito_tensors_counted(T... tensors))[sizeof...(T)];
#undef ITO_TENSORS
#define ITO_TENSORS(...)                                                                           \
    (std::initializer_list<ito_tensor *>{__VA_ARGS__}.begin()),                                    \
        (int64_t)sizeof(ito_tensors_counted(__VA_ARGS__))
#endif

#endif
