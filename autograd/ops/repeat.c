/* Repetition: expanded views that reshape makes into memory; and grids and products of lists. */
#include "autograd/ops.h"
#include "autograd/ops/index.h"
#include "autograd/ops/lines.h"

/* ---- repeat and tile ------------------------------------------------------------------------- */

/* x, n times along axis: [outer, 1, size inner] -> [outer, n, size inner]. */
static ito_tensor *repeat_axis(ito_tensor *x, int axis, int64_t n)
{
    if (x == NULL || n == 1)
        return x;
    ito_shape shape = x->sizes;
    int64_t outer = 1, inner = 1;
    for (int i = 0; i < x->ndim; i++)
        *(i < axis ? &outer : &inner) *= x->shape[i];
    shape.dim[axis] = checked_mul(shape.dim[axis], n);
    if (shape_numel(shape) < 0)
        return error_null(ITO_ERR_SHAPE, "repeat: %" PRId64 " times axis %d of %s is too large", n,
                          axis, tensor_shape_str(x));
    ito_tensor *y = ito_reshape(x, outer, 1, inner);
    return ito_reshape_to(ito_expand(y, outer, n, inner), shape);
}

static ito_tensor *repeat(const char *op, ito_tensor *x, ito_shape repeats)
{
    for (int i = 0; i < repeats.ndim; i++)
        if (repeats.dim[i] < 0)
            return error_null(ITO_ERR_ARGUMENT, "%s: %" PRId64 " repeats of axis %d", op,
                              repeats.dim[i], i);
    ito_shape wide = {.ndim = repeats.ndim};
    int front = repeats.ndim - x->ndim;
    for (int i = 0; i < wide.ndim; i++)
        wide.dim[i] = i < front ? 1 : x->shape[i - front];
    ito_scope_begin();
    ito_tensor *start = ito_reshape_to(x, wide), *y = start;
    for (int i = repeats.ndim - 1; i >= 0; i--)
        y = repeat_axis(y, i, repeats.dim[i]);
    y = ito_keep(y == start ? ito_clone(y) : y);
    ito_scope_end();
    return y;
}

ito_tensor *ito_repeat_to(ito_tensor *x, ito_shape repeats)
{
    if (x == NULL)
        return NULL;
    if (repeats.ndim < x->ndim || repeats.ndim > ITO_MAX_DIMS)
        return error_null(ITO_ERR_ARGUMENT, "repeat: %d repeats do not do for %s", repeats.ndim,
                          tensor_shape_str(x));
    return repeat("repeat", x, repeats);
}

ito_tensor *ito_tile_to(ito_tensor *x, ito_shape repeats)
{
    if (x == NULL)
        return NULL;
    if (repeats.ndim < 0 || repeats.ndim > ITO_MAX_DIMS)
        return error_null(ITO_ERR_ARGUMENT, "tile: %d repeats do not do for %s", repeats.ndim,
                          tensor_shape_str(x));
    ito_shape full = repeats;
    if (repeats.ndim < x->ndim) {
        int front = x->ndim - repeats.ndim;
        full.ndim = x->ndim;
        for (int i = 0; i < full.ndim; i++)
            full.dim[i] = i < front ? 1 : repeats.dim[i - front];
    }
    return repeat("tile", x, full);
}

/* ---- repeat_interleave ----------------------------------------------------------------------- */

static ito_tensor *repeat_interleave(ito_tensor *x, int64_t repeats, int axis)
{
    ito_shape shape = x->sizes;
    int64_t outer = 1, inner = 1;
    for (int i = 0; i < x->ndim; i++)
        *(i <= axis ? &outer : &inner) *= x->shape[i];
    shape.dim[axis] = checked_mul(shape.dim[axis], repeats);
    if (shape_numel(shape) < 0)
        return error_null(ITO_ERR_SHAPE,
                          "repeat_interleave: %" PRId64 " times axis %d of %s is too large",
                          repeats, axis, tensor_shape_str(x));
    ito_tensor *y = ito_expand(ito_reshape(x, outer, 1, inner), outer, repeats, inner);
    y = ito_reshape_to(y, shape);
    return repeats == 1 ? ito_clone(y) : y;
}

ito_tensor *ito_repeat_interleave_with(ito_tensor *x, int64_t repeats, ito_dim_options options)
{
    int axis;
    if (x == NULL)
        return NULL;
    if (repeats < 0)
        return error_null(ITO_ERR_ARGUMENT, "repeat_interleave: %" PRId64 " repeats", repeats);
    ito_scope_begin();
    ito_tensor *line = along("repeat_interleave", x, options.dim, &axis);
    ito_tensor *y = ito_keep(line == NULL ? NULL : repeat_interleave(line, repeats, axis));
    ito_scope_end();
    return y;
}

/* i, repeats[i] times, for each i. */
static ito_tensor *interleaved_index(const ito_tensor *repeats)
{
    const ito_tensor *list = tensor_contiguous(repeats);
    if (list == NULL)
        return NULL;
    const int64_t *r = tensor_data(list);
    int64_t n = list->shape[0], total = 0;
    for (int64_t i = 0; i < n; i++)
        if (r[i] < 0 || __builtin_add_overflow(total, r[i], &total))
            return error_null(ITO_ERR_RANGE,
                              "repeat_interleave: %" PRId64 " repeats of entry %" PRId64, r[i], i);
    ito_tensor *index = tensor_empty(ITO_SHAPE(total), ITO_I64);
    int64_t *k = index == NULL ? NULL : tensor_data(index);
    for (int64_t i = 0, at = 0; k != NULL && i < n; i++)
        for (int64_t j = 0; j < r[i]; j++)
            k[at++] = i;
    return index;
}

static ito_tensor *repeat_interleave_by(ito_tensor *x, const ito_tensor *repeats, int axis)
{
    if (repeats->dtype != ITO_I64)
        return error_null(ITO_ERR_DTYPE, "repeat_interleave: repeats are i64, not %s",
                          ito_dtype_name(repeats->dtype));
    if (repeats->ndim != 1 || repeats->shape[0] != x->shape[axis])
        return error_null(ITO_ERR_SHAPE, "repeat_interleave: repeats %s do not fit axis %d of %s",
                          tensor_shape_str(repeats), axis, tensor_shape_str(x));
    return index_select_entries(x, axis, interleaved_index(repeats));
}

ito_tensor *ito_repeat_interleave_by_with(ito_tensor *x, ito_tensor *repeats,
                                          ito_dim_options options)
{
    int axis;
    if (x == NULL || repeats == NULL)
        return NULL;
    ito_scope_begin();
    ito_tensor *line = along("repeat_interleave", x, options.dim, &axis);
    ito_tensor *y = ito_keep(line == NULL ? NULL : repeat_interleave_by(line, repeats, axis));
    ito_scope_end();
    return y;
}

/* ---- grids ----------------------------------------------------------------------------------- */

/* Lists or numbers of one dtype; false with an error. */
static bool are_lists(const char *op, ito_tensor *const *tensors, int64_t n)
{
    if (n < 1 || n > ITO_MAX_DIMS)
        return error_false(ITO_ERR_ARGUMENT, "%s: %" PRId64 " lists, not 1 to 8", op, n);
    for (int64_t i = 0; i < n; i++) {
        const ito_tensor *first = tensors[0], *t = tensors[i];
        if (t == NULL) {
            error_missing(op, "a list");
            return false;
        }
        if (t->ndim > 1)
            return error_false(ITO_ERR_SHAPE, "%s: %s is not a list", op, tensor_shape_str(t));
        if (t->dtype != first->dtype)
            return error_false(ITO_ERR_DTYPE, "%s: %s %s and %s %s do not mix (see ito_cast)", op,
                               ito_dtype_name(first->dtype), tensor_shape_str(first),
                               ito_dtype_name(t->dtype), tensor_shape_str(t));
    }
    return true;
}

static bool meshgrid(ito_tensor *const *tensors, int64_t n, ito_indexing indexing,
                     ito_tensor **grids)
{
    ito_shape full = {.ndim = (int)n};
    for (int64_t i = 0; i < n; i++)
        full.dim[i] = ito_numel(tensors[i]);
    for (int64_t i = 0; i < n; i++) {
        ito_shape own = {.ndim = (int)n};
        for (int64_t j = 0; j < n; j++)
            own.dim[j] = j == i ? full.dim[i] : 1;
        grids[i] = ito_expand_to(ito_reshape_to(tensors[i], own), full);
        if (indexing == ITO_INDEXING_XY && n > 1)
            grids[i] = ito_transpose(grids[i], 0, 1);
        if (grids[i] == NULL)
            return false;
    }
    return true;
}

ito_status ito_meshgrid(ito_tensor *const *tensors, int64_t n, ito_indexing indexing,
                        ito_tensor **grids)
{
    bool fine = are_lists("meshgrid", tensors, n) && meshgrid(tensors, n, indexing, grids);
    for (int64_t i = 0; !fine && i < n; i++)
        grids[i] = NULL;
    return fine ? ITO_OK : ito_error_code();
}

ito_tensor *ito_cartesian_prod(ito_tensor *const *tensors, int64_t n)
{
    ito_tensor *grid[ITO_MAX_DIMS];
    if (!are_lists("cartesian_prod", tensors, n))
        return NULL;
    if (n == 1)
        return ito_flatten(tensors[0], 0, -1);
    ito_scope_begin();
    ito_tensor *y = NULL;
    if (meshgrid(tensors, n, ITO_INDEXING_IJ, grid)) {
        for (int64_t i = 0; i < n; i++)
            grid[i] = ito_flatten(grid[i], 0, -1);
        y = ito_stack(grid, n, 1);
    }
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

/* ---- block_diag ------------------------------------------------------------------------------ */

static ito_tensor *block_diag(ito_tensor *const *tensors, int64_t n, int64_t columns,
                              ito_tensor **rows)
{
    for (int64_t i = 0, before = 0; i < n; i++) {
        ito_tensor *t = tensors[i];
        int64_t own = t->ndim == 0 ? 1 : t->shape[t->ndim - 1];
        t = t->ndim == 2 ? t : ito_reshape(t, 1, own);
        rows[i] = ito_pad(t, 0, before, columns - before - own);
        before += own;
    }
    return ito_cat(rows, n, 0);
}

ito_tensor *ito_block_diag(ito_tensor *const *tensors, int64_t n)
{
    int64_t columns = 0;
    if (n < 1)
        return error_null(ITO_ERR_ARGUMENT, "block_diag: no tensors");
    for (int64_t i = 0; i < n; i++) {
        const ito_tensor *t = tensors[i];
        if (t == NULL)
            return NULL;
        if (t->ndim > 2)
            return error_null(ITO_ERR_SHAPE, "block_diag: %s is no matrix", tensor_shape_str(t));
        if (t->dtype != tensors[0]->dtype)
            return error_null(ITO_ERR_DTYPE,
                              "block_diag: %s %s and %s %s do not mix (see ito_cast)",
                              ito_dtype_name(tensors[0]->dtype), tensor_shape_str(tensors[0]),
                              ito_dtype_name(t->dtype), tensor_shape_str(t));
        columns += t->ndim == 0 ? 1 : t->shape[t->ndim - 1];
    }
    ito_tensor **rows = mem_alloc((size_t)n * sizeof(ito_tensor *));
    if (rows == NULL)
        return NULL;
    ito_scope_begin();
    ito_tensor *y = ito_keep(block_diag(tensors, n, columns, rows));
    ito_scope_end();
    mem_free(rows);
    return y;
}
