/* Tensors: element types, creation, what one is, access to its elements, printing.
 *
 * A tensor is a strided view (up to 8 axes, possibly none, sizes possibly 0) of reference-counted
 * storage. Whatever is made here is owned by the current scope (see scope.h). Operations on
 * tensors, views included, are in autograd/ops.h, since all of them can be differentiated through.
 */
#ifndef ITO_TENSOR_H
#define ITO_TENSOR_H

#include "base.h"
#include "random.h"
#include "scope.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The most axes that a tensor can have. */
#define ITO_MAX_DIMS 8

/** Element types. */
typedef enum ito_dtype {
    ITO_F32, /* the tuned one, and the default */
    ITO_F64,
    ITO_BF16,
    ITO_F16,
    ITO_I32,
    ITO_I64,
    ITO_U8,
    ITO_BOOL,
    ITO_DTYPES /* how many there are */
} ito_dtype;

/** A list of sizes or axes, by value. Make one with ITO_SHAPE(2, 3); ITO_SHAPE() has no axes. */
typedef struct ito_shape {
    int ndim;
    int64_t dim[ITO_MAX_DIMS];
} ito_shape;

#ifndef __cplusplus
/** ITO_SHAPE(n, c, h, w): an ito_shape of these sizes, at most 8. */
#define ITO_SHAPE(...)                                                                             \
    ((ito_shape){(int)(sizeof((int64_t[]){0, __VA_ARGS__}) / sizeof(int64_t)) - 1,                 \
                 {ITO_SOMETHING_(__VA_ARGS__)}})
#define ITO_SIZES_(...) ITO_SHAPE(__VA_ARGS__)
/** ITO_DIMS(1, 2): a list of axes, for reductions and permutations; negative ones count from the
 * end. */
#define ITO_DIMS(...) ITO_SHAPE(__VA_ARGS__)
/** In place of a list of axes: all axes, whatever their number. ITO_DIMS() is none. */
#define ITO_ALL_DIMS ((ito_shape){.ndim = -1})
#else
#define ITO_ALL_DIMS (ito_shape{-1, {}})
#endif

/** "f32", "bf16", ... */
ITO_API const char *ito_dtype_name(ito_dtype dtype);
/** Bytes of one element. */
ITO_API size_t ito_dtype_size(ito_dtype dtype);
/** Whether it is f32, f64, bf16 or f16. */
ITO_API bool ito_dtype_is_float(ito_dtype dtype);

/* ---- creation: all return a contiguous tensor of the current scope, or NULL -------------------
 */

/** Uninitialised memory. ITO_ERR_SHAPE for a negative size or a product beyond 2^63, as below. */
ITO_API ito_tensor *ito_empty(ito_shape shape, ito_dtype dtype);
/** Every element is 0. */
ITO_API ito_tensor *ito_zeros(ito_shape shape, ito_dtype dtype);
/** Every element is 1. */
ITO_API ito_tensor *ito_ones(ito_shape shape, ito_dtype dtype);
/** Every element is value, converted to dtype. */
ITO_API ito_tensor *ito_full(ito_shape shape, double value, ito_dtype dtype);
/** A zero-dimensional tensor. */
ITO_API ito_tensor *ito_scalar(double value, ito_dtype dtype);
/** Uninitialised; shape and dtype of t, and its memory order where t is dense. */
ITO_API ito_tensor *ito_empty_like(const ito_tensor *t);
/** The same, filled with 0. */
ITO_API ito_tensor *ito_zeros_like(const ito_tensor *t);
/** The same, filled with 1. */
ITO_API ito_tensor *ito_ones_like(const ito_tensor *t);
/** The same, filled with value, converted to t's dtype. */
ITO_API ito_tensor *ito_full_like(const ito_tensor *t, double value);
/** start, start + step, ... up to but not including end. ITO_ERR_ARGUMENT if step leads away. */
ITO_API ito_tensor *ito_arange(double start, double end, double step, ito_dtype dtype);
/** steps values from start to end, both included; computed from both ends, as PyTorch does. */
ITO_API ito_tensor *ito_linspace(double start, double end, int64_t steps, ito_dtype dtype);
/** The n x n identity. */
ITO_API ito_tensor *ito_eye(int64_t n, ito_dtype dtype);
/** A copy of data, which holds the elements of shape in row-major order. */
ITO_API ito_tensor *ito_from_data(const void *data, ito_shape shape, ito_dtype dtype);
/** n numbers, converted to dtype: [n]. ito_values(ITO_F32, 0.5, -1, 2) is torch.tensor([0.5, -1,
 * 2]); ito_reshape gives it more axes. ITO_ERR_ARGUMENT if there are none to read. */
ITO_API ito_tensor *ito_values_of(const double *values, int64_t n, ito_dtype dtype);
#ifndef __cplusplus
#define ito_values(dtype, ...)                                                                     \
    ITO_AT(ito_values_of((const double[]){__VA_ARGS__},                                            \
                         (int64_t)(sizeof((const double[]){__VA_ARGS__}) / sizeof(double)),        \
                         dtype))
#endif

/* ---- random: drawn from g, which advances; the bits depend on neither threads nor ISA ---------
 */

/** Uniform in [0, 1). f32 or f64. */
ITO_API ito_tensor *ito_rand(ito_generator *g, ito_shape shape, ito_dtype dtype);
/** Standard normal, Box-Muller. f32 or f64. */
ITO_API ito_tensor *ito_randn(ito_generator *g, ito_shape shape, ito_dtype dtype);
/** Integers in [low, high), without modulo bias. i32, i64 or u8. */
ITO_API ito_tensor *ito_randint(ito_generator *g, int64_t low, int64_t high, ito_shape shape,
                                ito_dtype dtype);
/** A random order of 0 .. n-1, i64. */
ITO_API ito_tensor *ito_randperm(ito_generator *g, int64_t n);
/** 1 with probability p, else 0, in any dtype. */
ITO_API ito_tensor *ito_bernoulli(ito_generator *g, double p, ito_shape shape, ito_dtype dtype);

/* ---- what a tensor is --------------------------------------------------------------------------
 */

/** The element type; ITO_DTYPES for NULL. */
ITO_API ito_dtype ito_dtype_of(const ito_tensor *t);
/** The number of axes; -1 for NULL. */
ITO_API int ito_ndim(const ito_tensor *t);
/** All sizes; no axes for NULL. */
ITO_API ito_shape ito_shape_of(const ito_tensor *t);
/** Size of an axis; negative axes count from the end. -1 and ITO_ERR_RANGE if there is none. */
ITO_API int64_t ito_size(const ito_tensor *t, int axis);
/** Elements between neighbours along an axis. */
ITO_API int64_t ito_stride(const ito_tensor *t, int axis);
/** How many elements it has: 1 if it has no axes, 0 if one of them is 0. */
ITO_API int64_t ito_numel(const ito_tensor *t);
/** How many elements a tensor of this shape has; -1, without an error, where that does not fit in
 * int64_t or a size is negative. */
ITO_API int64_t ito_shape_numel(ito_shape shape);
/** Whether its elements lie in memory in row-major order, without gaps. */
ITO_API bool ito_is_contiguous(const ito_tensor *t);
/** Whether its [N, C, H, W] elements lie in memory in the order N H W C. */
ITO_API bool ito_is_channels_last(const ito_tensor *t);

/* ---- elements ----------------------------------------------------------------------------------
 */

/**
 * The first element's address: elements lie at data + sum(index * stride). Borrowed. Writing
 * through it is unseen by the graph's checks; call ito_touch afterwards where the tensor may have
 * been saved.
 */
ITO_API void *ito_data(ito_tensor *t);
/** The same address, for reading. */
ITO_API const void *ito_const_data(const ito_tensor *t);
/** Mark the storage as changed, so that a backward pass that needed the old values says so. */
ITO_API void ito_touch(ito_tensor *t);
/** The value of a tensor of one element. NaN and ITO_ERR_SHAPE if it has more or fewer. */
ITO_API double ito_item(const ito_tensor *t);
/** Copy the elements, row-major and converted to dtype, to out, which has room for ito_numel. */
ITO_API ito_status ito_to_data(const ito_tensor *t, void *out, ito_dtype dtype);

/**
 * The tensor as text, as NumPy prints one: long axes are abbreviated.
 * @return  a string that the caller frees with free(), or NULL.
 */
ITO_API char *ito_to_string(const ito_tensor *t);
/** Write ito_to_string and a newline to file. */
ITO_API ito_status ito_print(const ito_tensor *t, FILE *file);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_empty(...) ITO_AT(ito_empty(__VA_ARGS__))
#define ito_zeros(...) ITO_AT(ito_zeros(__VA_ARGS__))
#define ito_ones(...) ITO_AT(ito_ones(__VA_ARGS__))
#define ito_full(...) ITO_AT(ito_full(__VA_ARGS__))
#define ito_scalar(...) ITO_AT(ito_scalar(__VA_ARGS__))
#define ito_empty_like(...) ITO_AT(ito_empty_like(__VA_ARGS__))
#define ito_zeros_like(...) ITO_AT(ito_zeros_like(__VA_ARGS__))
#define ito_ones_like(...) ITO_AT(ito_ones_like(__VA_ARGS__))
#define ito_full_like(...) ITO_AT(ito_full_like(__VA_ARGS__))
#define ito_arange(...) ITO_AT(ito_arange(__VA_ARGS__))
#define ito_linspace(...) ITO_AT(ito_linspace(__VA_ARGS__))
#define ito_eye(...) ITO_AT(ito_eye(__VA_ARGS__))
#define ito_from_data(...) ITO_AT(ito_from_data(__VA_ARGS__))
#define ito_rand(...) ITO_AT(ito_rand(__VA_ARGS__))
#define ito_randn(...) ITO_AT(ito_randn(__VA_ARGS__))
#define ito_randint(...) ITO_AT(ito_randint(__VA_ARGS__))
#define ito_randperm(...) ITO_AT(ito_randperm(__VA_ARGS__))
#define ito_bernoulli(...) ITO_AT(ito_bernoulli(__VA_ARGS__))
#define ito_size(...) ITO_AT(ito_size(__VA_ARGS__))
#define ito_item(...) ITO_AT(ito_item(__VA_ARGS__))
#define ito_to_data(...) ITO_AT(ito_to_data(__VA_ARGS__))
#endif

/* What C++ has in place of C's compound literals. */
#ifdef __cplusplus
template <class... Values> inline ito_tensor *ito_values_in(ito_dtype dtype, Values... values)
{
    const double all[] = {(double)values...};
    return ito_values_of(all, (int64_t)sizeof...(values), dtype);
}
#define ito_values(...) ITO_AT(ito_values_in(__VA_ARGS__))
template <class... Sizes> inline ito_shape ito_shape_of_sizes(Sizes... sizes)
{
    static_assert(sizeof...(sizes) <= ITO_MAX_DIMS, "a tensor has at most 8 axes");
    return ito_shape{(int)sizeof...(sizes), {(int64_t)sizes...}};
}
#define ITO_SHAPE(...) ito_shape_of_sizes(__VA_ARGS__)
#define ITO_DIMS(...) ITO_SHAPE(__VA_ARGS__)

template <class... Sizes> inline ito_shape ito_shape_before_last(Sizes... sizes)
{
    static_assert(sizeof...(sizes) <= ITO_MAX_DIMS + 1, "a tensor has at most 8 axes");
    const int64_t all[] = {(int64_t)sizes...};
    ito_shape shape{(int)sizeof...(sizes) - 1, {}};
    for (int i = 0; i < shape.ndim; i++)
        shape.dim[i] = all[i];
    return shape;
}
#define ITO_SIZES_(...) ito_shape_before_last(__VA_ARGS__ 0)
#endif

/* Calls f(a, sizes), for macros of sizes; an empty argument comes last, as in ITO_CALL_1:
 *     #define ito_reshape(...) ITO_AT(ITO_SIZES_1(ito_reshape_to, __VA_ARGS__, )) */
#define ITO_SIZES_1(f, a, ...) f(a, ITO_SIZES_(__VA_ARGS__))
#define ITO_SIZES_2(f, a, b, ...) f(a, b, ITO_SIZES_(__VA_ARGS__))

#endif
