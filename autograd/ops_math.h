/* Functions of mathematics, element by element unless said otherwise, beside those of ops.h, which
 * says what all operations have in common. Names, arguments, defaults and results at infinities,
 * NaN and poles are PyTorch's.
 */
#ifndef ITO_OPS_MATH_H
#define ITO_OPS_MATH_H

#include "ops_reduce.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- of one tensor ---- */

/** The tangent of x in radians. */
ITO_API ito_tensor *ito_tan(ito_tensor *x);
/** The arc sine, in radians; NaN outside -1..1. */
ITO_API ito_tensor *ito_asin(ito_tensor *x);
/** The arc cosine, in radians; NaN outside -1..1. */
ITO_API ito_tensor *ito_acos(ito_tensor *x);
/** The arc tangent, in radians. */
ITO_API ito_tensor *ito_atan(ito_tensor *x);
/** The hyperbolic sine. */
ITO_API ito_tensor *ito_sinh(ito_tensor *x);
/** The hyperbolic cosine. */
ITO_API ito_tensor *ito_cosh(ito_tensor *x);
/** The inverse of sinh. */
ITO_API ito_tensor *ito_asinh(ito_tensor *x);
/** The inverse of cosh; NaN below 1. */
ITO_API ito_tensor *ito_acosh(ito_tensor *x);
/** The inverse of tanh; NaN outside -1..1. */
ITO_API ito_tensor *ito_atanh(ito_tensor *x);
/** 2^x. */
ITO_API ito_tensor *ito_exp2(ito_tensor *x);
/** The logarithm to base 2; NaN below 0, -infinity at 0. */
ITO_API ito_tensor *ito_log2(ito_tensor *x);
/** The logarithm to base 10; NaN below 0, -infinity at 0. */
ITO_API ito_tensor *ito_log10(ito_tensor *x);
/** 1 - erf(x), accurate where that is near 0. */
ITO_API ito_tensor *ito_erfc(ito_tensor *x);
/** The inverse of erf; infinite at -1 and 1, NaN outside. */
ITO_API ito_tensor *ito_erfinv(ito_tensor *x);
/** log |gamma(x)|; infinite at 0 and whole numbers below. */
ITO_API ito_tensor *ito_lgamma(ito_tensor *x);
/** The derivative of lgamma; NaN at whole numbers below 0. */
ITO_API ito_tensor *ito_digamma(ito_tensor *x);
/** The n-th derivative of digamma, n >= 0. ITO_ERR_ARGUMENT for an n below 0. */
ITO_API ito_tensor *ito_polygamma(int64_t n, ito_tensor *x);
/** sin(pi x) / (pi x), and 1 at 0. */
ITO_API ito_tensor *ito_sinc(ito_tensor *x);
/** The smallest whole number that is not below x. The gradient is 0. */
ITO_API ito_tensor *ito_ceil(ito_tensor *x);
/** x without its fraction. The gradient is 0. */
ITO_API ito_tensor *ito_trunc(ito_tensor *x);
/** The fraction of x, with its sign: x - trunc(x). */
ITO_API ito_tensor *ito_frac(ito_tensor *x);

/** What ito_logit takes besides x. */
typedef struct ito_logit_options {
    int reserved_;
    /* If given, in 0..0.5: x is cut to eps .. 1 - eps first. */
    double eps ITO_DEFAULT(__builtin_nan(""));
} ito_logit_options;
#define ITO_DEFAULTS_ito_logit_options .eps = __builtin_nan("")

/** log(x / (1 - x)), the inverse of sigmoid; NaN outside 0..1. */
ITO_API ito_tensor *ito_logit_with(ito_tensor *x, ito_logit_options options);
#define ito_logit(...) ITO_AT(ITO_CALL_1(ito_logit_with, ito_logit_options, __VA_ARGS__, ))

/** What ito_nan_to_num takes besides x. */
typedef struct ito_nan_to_num_options {
    int reserved_;
    double nan;
    double posinf ITO_DEFAULT(__builtin_nan("")); /* by default (NaN) the dtype's largest number */
    double neginf ITO_DEFAULT(__builtin_nan("")); /* by default (NaN) its lowest */
} ito_nan_to_num_options;
#define ITO_DEFAULTS_ito_nan_to_num_options .posinf = __builtin_nan(""), .neginf = __builtin_nan("")

/** x with NaN, infinity and -infinity replaced by numbers, whose gradient is 0. */
ITO_API ito_tensor *ito_nan_to_num_with(ito_tensor *x, ito_nan_to_num_options options);
#define ito_nan_to_num(...)                                                                        \
    ITO_AT(ITO_CALL_1(ito_nan_to_num_with, ito_nan_to_num_options, __VA_ARGS__, ))

/* These give bool, which has no gradient. Integers and bool are finite. */

/** Where x is NaN. */
ITO_API ito_tensor *ito_isnan(ito_tensor *x);
/** Where x is infinity or -infinity. */
ITO_API ito_tensor *ito_isinf(ito_tensor *x);
/** Where x is neither infinite nor NaN. */
ITO_API ito_tensor *ito_isfinite(ito_tensor *x);

/* ---- of two or three tensors, which broadcast ---- */

/** The angle of the point (b, a) from the first axis, in radians, -pi .. pi. The gradient at the
 * origin is 0. */
ITO_API ito_tensor *ito_atan2(ito_tensor *a, ito_tensor *b);
/** sqrt(a^2 + b^2), without overflow. The gradient at the origin is NaN. */
ITO_API ito_tensor *ito_hypot(ito_tensor *a, ito_tensor *b);
/** log(exp(a) + exp(b)), without overflow. */
ITO_API ito_tensor *ito_logaddexp(ito_tensor *a, ito_tensor *b);
/** a log(b); 0 where a is 0, unless b is NaN. */
ITO_API ito_tensor *ito_xlogy(ito_tensor *a, ito_tensor *b);
/** |a| with the sign of b, that of a zero included. b has a gradient of 0. */
ITO_API ito_tensor *ito_copysign(ito_tensor *a, ito_tensor *b);
/** The rest of a / b, with the sign of a. Integers, too: ITO_ERR_RANGE for a 0 in b. */
ITO_API ito_tensor *ito_fmod(ito_tensor *a, ito_tensor *b);
/** The rest of a / b, with the sign of b, as in Python. Integers, too: ITO_ERR_RANGE for a 0 in b.
 */
ITO_API ito_tensor *ito_remainder(ito_tensor *a, ito_tensor *b);
/** floor(a / b), of the exact quotient. Integers, too: ITO_ERR_RANGE for a 0 in b. No gradient. */
ITO_API ito_tensor *ito_floor_divide(ito_tensor *a, ito_tensor *b);

/** What ito_addcmul takes besides tensors. */
typedef struct ito_addcmul_options {
    int reserved_;
    double value ITO_DEFAULT(1);
} ito_addcmul_options;
#define ITO_DEFAULTS_ito_addcmul_options .value = 1

/** x + value a b: ito_addcmul(x, a, b, .value = 0.5). */
ITO_API ito_tensor *ito_addcmul_with(ito_tensor *x, ito_tensor *a, ito_tensor *b,
                                     ito_addcmul_options options);
#define ito_addcmul(...) ITO_AT(ITO_CALL_3(ito_addcmul_with, ito_addcmul_options, __VA_ARGS__, ))

/** What ito_addcdiv takes besides tensors. */
typedef struct ito_addcdiv_options {
    int reserved_;
    double value ITO_DEFAULT(1);
} ito_addcdiv_options;
#define ITO_DEFAULTS_ito_addcdiv_options .value = 1

/** x + value a / b: ito_addcdiv(x, a, b, .value = 0.5). */
ITO_API ito_tensor *ito_addcdiv_with(ito_tensor *x, ito_tensor *a, ito_tensor *b,
                                     ito_addcdiv_options options);
#define ito_addcdiv(...) ITO_AT(ITO_CALL_3(ito_addcdiv_with, ito_addcdiv_options, __VA_ARGS__, ))

/* ---- logic: results have no gradient ---- */

/** Where a and b are both not 0; bool. Any dtype but f16; NaN is not 0. */
ITO_API ito_tensor *ito_logical_and(ito_tensor *a, ito_tensor *b);
/** Where a or b is not 0; bool. */
ITO_API ito_tensor *ito_logical_or(ito_tensor *a, ito_tensor *b);
/** Where one of a and b is 0; bool. */
ITO_API ito_tensor *ito_logical_xor(ito_tensor *a, ito_tensor *b);
/** Where x is 0; bool. */
ITO_API ito_tensor *ito_logical_not(ito_tensor *x);
/** The bits that a and b both have. Integers and bool. */
ITO_API ito_tensor *ito_bitwise_and(ito_tensor *a, ito_tensor *b);
/** The bits that a or b has. Integers and bool. */
ITO_API ito_tensor *ito_bitwise_or(ito_tensor *a, ito_tensor *b);
/** The bits that one of a and b has. Integers and bool. */
ITO_API ito_tensor *ito_bitwise_xor(ito_tensor *a, ito_tensor *b);
/** The bits that x does not have. Integers and bool. */
ITO_API ito_tensor *ito_bitwise_not(ito_tensor *x);

/* ---- norms, distances and deviations ---- */

/** What ito_norm takes besides x. */
typedef struct ito_norm_options {
    int reserved_;
    double ord ITO_DEFAULT(2);                /* any number, INFINITY and -INFINITY included */
    ito_shape dims ITO_DEFAULT(ITO_ALL_DIMS); /* axes to reduce, as in ito_reduce_options */
    bool keepdim;
} ito_norm_options;
#define ITO_DEFAULTS_ito_norm_options .ord = 2, .dims = {.ndim = -1}

/** The norm of x over axes, sum(|x|^ord)^(1 / ord): ito_norm(x, .ord = 1, .dims = ITO_DIMS(-1)).
 * For ord 0 the number of elements that are not 0, for INFINITY and -INFINITY the largest and the
 * smallest |x|. The gradient at 0 is 0. */
ITO_API ito_tensor *ito_norm_with(ito_tensor *x, ito_norm_options options);
#define ito_norm(...) ITO_AT(ITO_CALL_1(ito_norm_with, ito_norm_options, __VA_ARGS__, ))

/** What ito_normalize takes besides x. */
typedef struct ito_normalize_options {
    int reserved_;
    double p ITO_DEFAULT(2); /* the norm */
    int dim ITO_DEFAULT(1);
    double eps ITO_DEFAULT(1e-12); /* the least length */
} ito_normalize_options;
#define ITO_DEFAULTS_ito_normalize_options .p = 2, .dim = 1, .eps = 1e-12

/** x / max(norm, eps) with the norm along .dim. */
ITO_API ito_tensor *ito_normalize_with(ito_tensor *x, ito_normalize_options options);
#define ito_normalize(...)                                                                         \
    ITO_AT(ITO_CALL_1(ito_normalize_with, ito_normalize_options, __VA_ARGS__, ))

/** What ito_cosine_similarity takes besides tensors. */
typedef struct ito_cosine_similarity_options {
    int reserved_;
    int dim ITO_DEFAULT(1);       /* of what both broadcast to */
    double eps ITO_DEFAULT(1e-8); /* the least length of either */
} ito_cosine_similarity_options;
#define ITO_DEFAULTS_ito_cosine_similarity_options .dim = 1, .eps = 1e-8

/** The cosine of the angle between x1 and x2 along .dim, which goes. */
ITO_API ito_tensor *ito_cosine_similarity_with(ito_tensor *x1, ito_tensor *x2,
                                               ito_cosine_similarity_options options);
#define ito_cosine_similarity(...)                                                                 \
    ITO_AT(ITO_CALL_2(ito_cosine_similarity_with, ito_cosine_similarity_options, __VA_ARGS__, ))

/** What ito_pairwise_distance takes besides tensors. */
typedef struct ito_pairwise_distance_options {
    int reserved_;
    double p ITO_DEFAULT(2);      /* the norm */
    double eps ITO_DEFAULT(1e-6); /* added to each difference */
    bool keepdim;
} ito_pairwise_distance_options;
#define ITO_DEFAULTS_ito_pairwise_distance_options .p = 2, .eps = 1e-6

/** The norm of x1 - x2 + eps along the last axis. */
ITO_API ito_tensor *ito_pairwise_distance_with(ito_tensor *x1, ito_tensor *x2,
                                               ito_pairwise_distance_options options);
#define ito_pairwise_distance(...)                                                                 \
    ITO_AT(ITO_CALL_2(ito_pairwise_distance_with, ito_pairwise_distance_options, __VA_ARGS__, ))

/** What ito_cdist takes besides tensors. */
typedef struct ito_cdist_options {
    int reserved_;
    double p ITO_DEFAULT(2); /* the norm, 0 or more */
} ito_cdist_options;
#define ITO_DEFAULTS_ito_cdist_options .p = 2

/** The distance of each row of x1 [.., P, M] from each of x2 [.., R, M]: [.., P, R]; batch axes
 * broadcast. The gradient of rows that are equal is 0. With p = 2 there is no array of all
 * differences. */
ITO_API ito_tensor *ito_cdist_with(ito_tensor *x1, ito_tensor *x2, ito_cdist_options options);
#define ito_cdist(...) ITO_AT(ITO_CALL_2(ito_cdist_with, ito_cdist_options, __VA_ARGS__, ))

/** The standard deviation over axes: the root of ito_var. The gradient where it is 0 is 0. */
ITO_API ito_tensor *ito_std_with(ito_tensor *x, ito_reduce_options options);
#define ito_std(...) ITO_AT(ITO_CALL_1(ito_std_with, ito_reduce_options, __VA_ARGS__, ))
/** ito_var, and the mean in *mean, which is NULL after an error: ito_var_mean(x, &mean, .dims =
 * ITO_DIMS(1)). mean may be NULL. */
ITO_API ito_tensor *ito_var_mean_with(ito_tensor *x, ito_tensor **mean, ito_reduce_options options);
#define ito_var_mean(...) ITO_AT(ITO_CALL_2(ito_var_mean_with, ito_reduce_options, __VA_ARGS__, ))
/** ito_std, and the mean in *mean, as ito_var_mean has it. */
ITO_API ito_tensor *ito_std_mean_with(ito_tensor *x, ito_tensor **mean, ito_reduce_options options);
#define ito_std_mean(...) ITO_AT(ITO_CALL_2(ito_std_mean_with, ito_reduce_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_acos(...) ITO_AT(ito_acos(__VA_ARGS__))
#define ito_acosh(...) ITO_AT(ito_acosh(__VA_ARGS__))
#define ito_asin(...) ITO_AT(ito_asin(__VA_ARGS__))
#define ito_asinh(...) ITO_AT(ito_asinh(__VA_ARGS__))
#define ito_atan(...) ITO_AT(ito_atan(__VA_ARGS__))
#define ito_atan2(...) ITO_AT(ito_atan2(__VA_ARGS__))
#define ito_atanh(...) ITO_AT(ito_atanh(__VA_ARGS__))
#define ito_bitwise_and(...) ITO_AT(ito_bitwise_and(__VA_ARGS__))
#define ito_bitwise_not(...) ITO_AT(ito_bitwise_not(__VA_ARGS__))
#define ito_bitwise_or(...) ITO_AT(ito_bitwise_or(__VA_ARGS__))
#define ito_bitwise_xor(...) ITO_AT(ito_bitwise_xor(__VA_ARGS__))
#define ito_ceil(...) ITO_AT(ito_ceil(__VA_ARGS__))
#define ito_copysign(...) ITO_AT(ito_copysign(__VA_ARGS__))
#define ito_cosh(...) ITO_AT(ito_cosh(__VA_ARGS__))
#define ito_digamma(...) ITO_AT(ito_digamma(__VA_ARGS__))
#define ito_erfc(...) ITO_AT(ito_erfc(__VA_ARGS__))
#define ito_erfinv(...) ITO_AT(ito_erfinv(__VA_ARGS__))
#define ito_exp2(...) ITO_AT(ito_exp2(__VA_ARGS__))
#define ito_floor_divide(...) ITO_AT(ito_floor_divide(__VA_ARGS__))
#define ito_fmod(...) ITO_AT(ito_fmod(__VA_ARGS__))
#define ito_frac(...) ITO_AT(ito_frac(__VA_ARGS__))
#define ito_hypot(...) ITO_AT(ito_hypot(__VA_ARGS__))
#define ito_isfinite(...) ITO_AT(ito_isfinite(__VA_ARGS__))
#define ito_isinf(...) ITO_AT(ito_isinf(__VA_ARGS__))
#define ito_isnan(...) ITO_AT(ito_isnan(__VA_ARGS__))
#define ito_lgamma(...) ITO_AT(ito_lgamma(__VA_ARGS__))
#define ito_log10(...) ITO_AT(ito_log10(__VA_ARGS__))
#define ito_log2(...) ITO_AT(ito_log2(__VA_ARGS__))
#define ito_logaddexp(...) ITO_AT(ito_logaddexp(__VA_ARGS__))
#define ito_logical_and(...) ITO_AT(ito_logical_and(__VA_ARGS__))
#define ito_logical_not(...) ITO_AT(ito_logical_not(__VA_ARGS__))
#define ito_logical_or(...) ITO_AT(ito_logical_or(__VA_ARGS__))
#define ito_logical_xor(...) ITO_AT(ito_logical_xor(__VA_ARGS__))
#define ito_polygamma(...) ITO_AT(ito_polygamma(__VA_ARGS__))
#define ito_remainder(...) ITO_AT(ito_remainder(__VA_ARGS__))
#define ito_sinc(...) ITO_AT(ito_sinc(__VA_ARGS__))
#define ito_sinh(...) ITO_AT(ito_sinh(__VA_ARGS__))
#define ito_tan(...) ITO_AT(ito_tan(__VA_ARGS__))
#define ito_trunc(...) ITO_AT(ito_trunc(__VA_ARGS__))
#define ito_xlogy(...) ITO_AT(ito_xlogy(__VA_ARGS__))
#endif

#endif
