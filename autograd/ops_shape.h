/* Shapes: cutting, joining, repeating, reordering, diagonals, windows and padding. Any dtype unless
 * said otherwise. What stands at the top of ops.h holds here, too. Results share x's storage where
 * strides allow it.
 *
 * Functions with several results write them to an array of the caller. On failure each is NULL, so
 * that what is computed from them is NULL as well.
 */
#ifndef ITO_OPS_SHAPE_H
#define ITO_OPS_SHAPE_H

#include "ops_conv.h" /* ito_padding_mode */

#ifdef __cplusplus
extern "C" {
#endif

/** In place of an axis: none, but all elements in row-major order. */
#define ITO_NO_DIM (-2147483647 - 1)

/* ---- cutting and joining ---- */

/** Tensors of one shape side by side along a new axis, counted in the result:
 * ito_stack(ITO_TENSORS(a, b), 0). */
ITO_API ito_tensor *ito_stack(ito_tensor *const *tensors, int64_t n, int axis);
/** The n entries of axis, which goes, into pieces: views. ITO_ERR_SHAPE unless axis has n. */
ITO_API ito_status ito_unbind(ito_tensor *x, int axis, int64_t n, ito_tensor **pieces);
/** The n pieces that x makes when cut along axis into pieces of equal size, the last one maybe
 * shorter. ITO_ERR_SHAPE where that are fewer than n, as they are of 5 by 4 (see ito_tensor_split).
 */
ITO_API ito_status ito_chunks(ito_tensor *x, int64_t n, int axis, ito_tensor **pieces);
/** The n pieces that x makes when cut along axis as evenly as can be, longer ones first. */
ITO_API ito_status ito_tensor_split(ito_tensor *x, int64_t n, int axis, ito_tensor **pieces);
/** A piece for each of these sizes, which fill axis: ito_split_sizes(x, ITO_SHAPE(64, 64, 128), -1,
 * pieces). */
ITO_API ito_status ito_split_sizes(ito_tensor *x, ito_shape sizes, int axis, ito_tensor **pieces);

/* ---- the order of axes and elements ---- */

/** A view whose axis destination[i] is x's axis source[i]; the others keep their order.
 * ITO_ERR_ARGUMENT for an axis named twice, or lists of two lengths. */
ITO_API ito_tensor *ito_movedim(ito_tensor *x, ito_shape source, ito_shape destination);
/** ito_transpose by another name. */
ITO_API ito_tensor *ito_swapaxes(ito_tensor *x, int axis0, int axis1);
/** axis as several of these sizes, of which one may be -1. */
ITO_API ito_tensor *ito_unflatten(ito_tensor *x, int axis, ito_shape sizes);
/** ito_expand_to by another name. */
ITO_API ito_tensor *ito_broadcast_to(ito_tensor *x, ito_shape shape);
/** Elements moved on by shifts[i] places along dims[i]; those beyond the end begin anew. With
 * ITO_ALL_DIMS there is one shift, of all elements in row-major order. */
ITO_API ito_tensor *ito_roll(ito_tensor *x, ito_shape shifts, ito_shape dims);

/** What ito_rot90 takes. */
typedef struct ito_rot90_options {
    int reserved_;
    int64_t k ITO_DEFAULT(1);                    /* quarter turns; negative: the other way */
    ito_shape dims ITO_DEFAULT(ITO_SHAPE(0, 1)); /* the plane, from the first axis to the second */
} ito_rot90_options;
#define ITO_DEFAULTS_ito_rot90_options .k = 1, .dims = {2, {0, 1}}

/** x turned by quarters in the plane of two axes: ito_rot90(x, .k = 2). */
ITO_API ito_tensor *ito_rot90_with(ito_tensor *x, ito_rot90_options options);
#define ito_rot90(...) ITO_AT(ITO_CALL_1(ito_rot90_with, ito_rot90_options, __VA_ARGS__, ))

/* ---- repetition ---- */

/** x repeated repeats[i] times along axis i; there may be more repeats than axes. ITO_ERR_ARGUMENT
 * for fewer. ito_repeat(x, 2, 3). */
ITO_API ito_tensor *ito_repeat_to(ito_tensor *x, ito_shape repeats);
#define ito_repeat(...) ITO_AT(ITO_SIZES_1(ito_repeat_to, __VA_ARGS__, ))
/** The same, where fewer repeats are those of the last axes. */
ITO_API ito_tensor *ito_tile_to(ito_tensor *x, ito_shape repeats);
#define ito_tile(...) ITO_AT(ITO_SIZES_1(ito_tile_to, __VA_ARGS__, ))

/** What functions take that work along one axis or on all elements. */
typedef struct ito_dim_options {
    int reserved_;
    int dim ITO_DEFAULT(ITO_NO_DIM); /* by default: all elements in row-major order, as one axis */
} ito_dim_options;
#define ITO_DEFAULTS_ito_dim_options .dim = ITO_NO_DIM

/** Each element `repeats` times in a row: ito_repeat_interleave(x, 2, .dim = 1). */
ITO_API ito_tensor *ito_repeat_interleave_with(ito_tensor *x, int64_t repeats,
                                               ito_dim_options options);
#define ito_repeat_interleave(...)                                                                 \
    ITO_AT(ITO_CALL_2(ito_repeat_interleave_with, ito_dim_options, __VA_ARGS__, ))
/** Entry i repeats[i] times in a row; repeats is i64, as long as the axis. */
ITO_API ito_tensor *ito_repeat_interleave_by_with(ito_tensor *x, ito_tensor *repeats,
                                                  ito_dim_options options);
#define ito_repeat_interleave_by(...)                                                              \
    ITO_AT(ITO_CALL_2(ito_repeat_interleave_by_with, ito_dim_options, __VA_ARGS__, ))

/** The order of a grid's axes: that of the lists, or the first two exchanged. */
typedef enum ito_indexing { ITO_INDEXING_IJ, ITO_INDEXING_XY } ito_indexing;
/** Lists (or numbers) as coordinates of a grid: grids[i] has an axis for each list and varies along
 * that of list i. Views. */
ITO_API ito_status ito_meshgrid(ito_tensor *const *tensors, int64_t n, ito_indexing indexing,
                                ito_tensor **grids);
/** Every combination of the lists' elements, the last one fastest: [product, n]; of one list
 * itself. */
ITO_API ito_tensor *ito_cartesian_prod(ito_tensor *const *tensors, int64_t n);
/** Matrices (or lists, which are rows, or numbers) along a diagonal, 0 elsewhere. */
ITO_API ito_tensor *ito_block_diag(ito_tensor *const *tensors, int64_t n);

/* ---- diagonals ---- */

/** What ito_tril, ito_triu and ito_diag take. */
typedef struct ito_tri_options {
    int reserved_;
    int64_t diagonal; /* 0: the main one; above it if positive */
} ito_tri_options;
#define ITO_DEFAULTS_ito_tri_options .reserved_ = 0

/** Matrices [.., N, M] with 0 above a diagonal: ito_tril(x, .diagonal = -1). */
ITO_API ito_tensor *ito_tril_with(ito_tensor *x, ito_tri_options options);
#define ito_tril(...) ITO_AT(ITO_CALL_1(ito_tril_with, ito_tri_options, __VA_ARGS__, ))
/** Matrices [.., N, M] with 0 below a diagonal. */
ITO_API ito_tensor *ito_triu_with(ito_tensor *x, ito_tri_options options);
#define ito_triu(...) ITO_AT(ITO_CALL_1(ito_triu_with, ito_tri_options, __VA_ARGS__, ))
/** A list as the diagonal of a matrix of zeros, or the diagonal of a matrix. */
ITO_API ito_tensor *ito_diag_with(ito_tensor *x, ito_tri_options options);
#define ito_diag(...) ITO_AT(ITO_CALL_1(ito_diag_with, ito_tri_options, __VA_ARGS__, ))

/** i64 [2, n]: rows and columns of the elements of a matrix that ito_tril keeps, row by row. */
ITO_API ito_tensor *ito_tril_indices(int64_t rows, int64_t columns, int64_t offset);
/** The same of ito_triu. ITO_ERR_ARGUMENT for a negative size, as of both. */
ITO_API ito_tensor *ito_triu_indices(int64_t rows, int64_t columns, int64_t offset);

/** What ito_diagonal and ito_diagonal_scatter take. */
typedef struct ito_diagonal_options {
    int reserved_;
    int64_t offset; /* 0: the main one; above it if positive */
    int dim1;       /* rows */
    int dim2 ITO_DEFAULT(1);
} ito_diagonal_options;
#define ITO_DEFAULTS_ito_diagonal_options .dim2 = 1

/** The diagonal of the matrices that two axes make, as the last axis in place of both. */
ITO_API ito_tensor *ito_diagonal_with(ito_tensor *x, ito_diagonal_options options);
#define ito_diagonal(...) ITO_AT(ITO_CALL_1(ito_diagonal_with, ito_diagonal_options, __VA_ARGS__, ))
/** x with src in place of that diagonal, whose shape it has. */
ITO_API ito_tensor *ito_diagonal_scatter_with(ito_tensor *x, ito_tensor *src,
                                              ito_diagonal_options options);
#define ito_diagonal_scatter(...)                                                                  \
    ITO_AT(ITO_CALL_2(ito_diagonal_scatter_with, ito_diagonal_options, __VA_ARGS__, ))

/** What ito_diag_embed takes. */
typedef struct ito_diag_embed_options {
    int reserved_;
    int64_t offset;           /* 0: the main one; above it if positive */
    int dim1 ITO_DEFAULT(-2); /* rows, counted in the result */
    int dim2 ITO_DEFAULT(-1);
} ito_diag_embed_options;
#define ITO_DEFAULTS_ito_diag_embed_options .dim1 = -2, .dim2 = -1

/** x's last axis as the diagonal of matrices that are 0 elsewhere. */
ITO_API ito_tensor *ito_diag_embed_with(ito_tensor *x, ito_diag_embed_options options);
#define ito_diag_embed(...)                                                                        \
    ITO_AT(ITO_CALL_1(ito_diag_embed_with, ito_diag_embed_options, __VA_ARGS__, ))

/* ---- windows and pixels ---- */

/** Every window of `size` elements along axis, `step` apart: axis counts the windows, and a new
 * last axis the elements within. PyTorch's Tensor.unfold. */
ITO_API ito_tensor *ito_unfold_axis(ito_tensor *x, int axis, int64_t size, int64_t step);

/** What ito_unfold and ito_fold take: numbers for height and width, or one for both. */
typedef struct ito_unfold_options {
    int reserved_;
    ito_shape dilation ITO_DEFAULT(ITO_SHAPE(1));
    ito_shape padding ITO_DEFAULT(ITO_SHAPE(0)); /* zeros on every side */
    ito_shape stride ITO_DEFAULT(ITO_SHAPE(1));
} ito_unfold_options;
#define ITO_DEFAULTS_ito_unfold_options                                                            \
    .dilation = {1, {1}}, .padding = {1, {0}}, .stride = {1, {1}}

/**
 * The windows of images as columns (im2col): ito_unfold(x, ITO_SHAPE(3, 3), .stride =
 * ITO_SHAPE(2)).
 * @param x       [N, C, H, W] or [C, H, W]; f32, f64 or bf16.
 * @param kernel  the size of a window, [KH, KW] or one number for both.
 * @return        [N, C KH KW, L] for L windows, OH times OW of them, with
 *                OH = (H + 2 padding - dilation (KH - 1) - 1) / stride + 1, rounded down.
 */
ITO_API ito_tensor *ito_unfold_with(ito_tensor *x, ito_shape kernel, ito_unfold_options options);
#define ito_unfold(...) ITO_AT(ITO_CALL_2(ito_unfold_with, ito_unfold_options, __VA_ARGS__, ))
/**
 * Images that are the sum of windows (col2im), the transpose of ito_unfold.
 * @param x       [N, C KH KW, L] or [C KH KW, L]; f32, f64 or bf16.
 * @param output  the images' size, [H, W] or one number for both.
 * @return        [N, C, H, W] or [C, H, W].
 */
ITO_API ito_tensor *ito_fold_with(ito_tensor *x, ito_shape output, ito_shape kernel,
                                  ito_unfold_options options);
#define ito_fold(...) ITO_AT(ITO_CALL_3(ito_fold_with, ito_unfold_options, __VA_ARGS__, ))

/** [.., C r^2, H, W] to [.., C, r H, r W]: channels as pixels (Shi et al. 2016, arXiv:1609.05158).
 */
ITO_API ito_tensor *ito_pixel_shuffle(ito_tensor *x, int64_t r);
/** [.., C, r H, r W] to [.., C r^2, H, W], the contrary. */
ITO_API ito_tensor *ito_pixel_unshuffle(ito_tensor *x, int64_t r);
/** [N, C, ..] with channels (g, i) put in the order (i, g), for g of `groups` groups (Zhang et al.
 * 2017, arXiv:1707.01083). */
ITO_API ito_tensor *ito_channel_shuffle(ito_tensor *x, int64_t groups);

/** x with more of it around, pads as ito_pad's: ito_pad_mode(x, ITO_SHAPE(1, 1),
 * ITO_PADDING_REFLECT). Of any axes; negative pads cut; see ito_padding_mode. ITO_ERR_SHAPE for a
 * reflection of the whole axis or more, more than one turn, or an axis of none that is to grow. */
ITO_API ito_tensor *ito_pad_mode(ito_tensor *x, ito_shape pads, ito_padding_mode mode);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_block_diag(...) ITO_AT(ito_block_diag(__VA_ARGS__))
#define ito_broadcast_to(...) ITO_AT(ito_broadcast_to(__VA_ARGS__))
#define ito_cartesian_prod(...) ITO_AT(ito_cartesian_prod(__VA_ARGS__))
#define ito_channel_shuffle(...) ITO_AT(ito_channel_shuffle(__VA_ARGS__))
#define ito_chunks(...) ITO_AT(ito_chunks(__VA_ARGS__))
#define ito_meshgrid(...) ITO_AT(ito_meshgrid(__VA_ARGS__))
#define ito_movedim(...) ITO_AT(ito_movedim(__VA_ARGS__))
#define ito_pad_mode(...) ITO_AT(ito_pad_mode(__VA_ARGS__))
#define ito_pixel_shuffle(...) ITO_AT(ito_pixel_shuffle(__VA_ARGS__))
#define ito_pixel_unshuffle(...) ITO_AT(ito_pixel_unshuffle(__VA_ARGS__))
#define ito_roll(...) ITO_AT(ito_roll(__VA_ARGS__))
#define ito_split_sizes(...) ITO_AT(ito_split_sizes(__VA_ARGS__))
#define ito_stack(...) ITO_AT(ito_stack(__VA_ARGS__))
#define ito_swapaxes(...) ITO_AT(ito_swapaxes(__VA_ARGS__))
#define ito_tensor_split(...) ITO_AT(ito_tensor_split(__VA_ARGS__))
#define ito_tril_indices(...) ITO_AT(ito_tril_indices(__VA_ARGS__))
#define ito_triu_indices(...) ITO_AT(ito_triu_indices(__VA_ARGS__))
#define ito_unbind(...) ITO_AT(ito_unbind(__VA_ARGS__))
#define ito_unflatten(...) ITO_AT(ito_unflatten(__VA_ARGS__))
#define ito_unfold_axis(...) ITO_AT(ito_unfold_axis(__VA_ARGS__))
#endif

#endif
