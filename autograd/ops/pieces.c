/* One tensor as several along an axis, and several as one along a new axis. */
#include "autograd/op.h"
#include "autograd/ops.h"

/* ---- stack ----------------------------------------------------------------------------------- */

static ito_tensor *stack(ito_tensor *const *tensors, int64_t n, int axis)
{
    ito_tensor **wide = mem_alloc((size_t)n * sizeof(ito_tensor *));
    if (wide == NULL)
        return NULL;
    for (int64_t i = 0; i < n; i++)
        wide[i] = ito_unsqueeze(tensors[i], axis);
    ito_tensor *y = ito_cat(wide, n, axis);
    mem_free(wide);
    return y;
}

ito_tensor *ito_stack(ito_tensor *const *tensors, int64_t n, int axis)
{
    if (n < 1)
        return error_null(ITO_ERR_ARGUMENT, "stack: no tensors");
    for (int64_t i = 0; i < n; i++) {
        const ito_tensor *first = tensors[0], *t = tensors[i];
        if (t == NULL)
            return NULL;
        if (!shape_equal(first->sizes, t->sizes))
            return error_null(ITO_ERR_SHAPE, "stack: shapes %s and %s differ",
                              tensor_shape_str(first), tensor_shape_str(t));
        if (first->dtype != t->dtype)
            return error_null(ITO_ERR_DTYPE, "stack: %s %s and %s %s do not mix (see ito_cast)",
                              ito_dtype_name(first->dtype), tensor_shape_str(first),
                              ito_dtype_name(t->dtype), tensor_shape_str(t));
    }
    if (tensors[0]->ndim == ITO_MAX_DIMS)
        return error_null(ITO_ERR_SHAPE, "stack: %s has 8 axes already",
                          tensor_shape_str(tensors[0]));
    int a = axis_normalize("stack", axis, tensors[0]->ndim + 1);
    if (a < 0)
        return NULL;
    ito_scope_begin();
    ito_tensor *y = ito_keep(stack(tensors, n, a));
    ito_scope_end();
    return y;
}

/* ---- cutting --------------------------------------------------------------------------------- */

static ito_status none(ito_tensor **pieces, int64_t n, ito_status status)
{
    for (int64_t i = 0; i < n; i++)
        pieces[i] = NULL;
    return status;
}

/* What the pieces are worth: if one is missing, none. */
static ito_status complete(ito_tensor **pieces, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (pieces[i] == NULL)
            return none(pieces, n, ito_error_code());
    return ITO_OK;
}

/* axis of x, or -1 with an error; n pieces are wanted, at least one. */
static int axis_to_cut(const char *op, const ito_tensor *x, int axis, int64_t n)
{
    if (x == NULL)
        error_missing(op, "x");
    else if (n < 1)
        ito_error_set(ITO_ERR_ARGUMENT, "%s: %" PRId64 " pieces are not at least one", op, n);
    else
        return axis_normalize(op, axis, x->ndim);
    return -1;
}

ito_status ito_unbind(ito_tensor *x, int axis, int64_t n, ito_tensor **pieces)
{
    if (x == NULL)
        return none(pieces, n, error_missing("unbind", "x"));
    int a = axis_normalize("unbind", axis, x->ndim);
    if (a >= 0 && x->shape[a] != n)
        ito_error_set(ITO_ERR_SHAPE, "unbind: axis %d of %s has %" PRId64 " entries, not %" PRId64,
                      a, tensor_shape_str(x), x->shape[a], n);
    if (a < 0 || x->shape[a] != n)
        return none(pieces, n, ito_error_code());
    for (int64_t i = 0; i < n; i++)
        pieces[i] = ito_select(x, a, i);
    return complete(pieces, n);
}

ito_status ito_chunks(ito_tensor *x, int64_t n, int axis, ito_tensor **pieces)
{
    int a = axis_to_cut("chunks", x, axis, n);
    if (a < 0)
        return none(pieces, n, ito_error_code());
    int64_t total = x->shape[a], size = total / n + (total % n > 0);
    int64_t count = size == 0 ? n : (total - 1) / size + 1;
    if (count < n)
        return none(pieces, n,
                    ito_error_set(ITO_ERR_SHAPE,
                                  "chunks: axis %d of %s makes %" PRId64 " pieces of %" PRId64
                                  ", not %" PRId64 " (see ito_tensor_split)",
                                  a, tensor_shape_str(x), count, size, n));
    for (int64_t i = 0; i < n; i++)
        pieces[i] = ito_chunk(x, n, a, i);
    return complete(pieces, n);
}

ito_status ito_tensor_split(ito_tensor *x, int64_t n, int axis, ito_tensor **pieces)
{
    int a = axis_to_cut("tensor_split", x, axis, n);
    if (a < 0)
        return none(pieces, n, ito_error_code());
    int64_t size = x->shape[a] / n, longer = x->shape[a] % n;
    for (int64_t i = 0; i < n; i++)
        pieces[i] = ito_narrow(x, a, i * size + (i < longer ? i : longer), size + (i < longer));
    return complete(pieces, n);
}

/* Whether the sizes fill an axis of this length. */
static bool fill(ito_shape sizes, int64_t length)
{
    for (int i = 0; i < sizes.ndim; i++) {
        if (sizes.dim[i] < 0 || sizes.dim[i] > length)
            return false;
        length -= sizes.dim[i];
    }
    return length == 0;
}

ito_status ito_split_sizes(ito_tensor *x, ito_shape sizes, int axis, ito_tensor **pieces)
{
    int64_t n = sizes.ndim, start = 0;
    int a = axis_to_cut("split_sizes", x, axis, n);
    if (a < 0)
        return none(pieces, n, ito_error_code());
    if (!fill(sizes, x->shape[a]))
        return none(pieces, n,
                    ito_error_set(ITO_ERR_SHAPE, "split_sizes: %s do not fill axis %d of %s",
                                  shape_str(sizes), a, tensor_shape_str(x)));
    for (int64_t i = 0; i < n; i++) {
        pieces[i] = ito_narrow(x, a, start, sizes.dim[i]);
        start += sizes.dim[i];
    }
    return complete(pieces, n);
}
