/* Elements by coordinates and by masks. Coordinates of several axes become places along one, masks
 * become lists of places; then it is index_select, and index_add or scatter the other way. */
#include "autograd/observe.h"
#include "autograd/ops.h"
#include "autograd/ops/index.h"
#include "autograd/ops/lines.h"

/* ---- coordinates ----------------------------------------------------------------------------- */

/* The shape that all indices broadcast to; false with an error. */
static bool index_shape(const char *op, const ito_tensor *x, ito_tensor *const *indices, int64_t n,
                        ito_shape *shape)
{
    *shape = (ito_shape){0};
    if (n < 1 || n > x->ndim)
        return error_false(ITO_ERR_ARGUMENT, "%s: %" PRId64 " indices for %s", op, n,
                           tensor_shape_str(x));
    for (int64_t i = 0; i < n; i++) {
        if (indices[i] == NULL) {
            error_missing(op, "an index");
            return false;
        }
        if (indices[i]->dtype != ITO_I64)
            return error_false(ITO_ERR_DTYPE, "%s: indices are i64, not %s", op,
                               ito_dtype_name(indices[i]->dtype));
        ito_shape before = *shape;
        if (!shape_broadcast(before, indices[i]->sizes, shape))
            return error_false(ITO_ERR_SHAPE, "%s: indices %s and %s do not broadcast", op,
                               shape_str(before), tensor_shape_str(indices[i]));
    }
    if (shape->ndim + x->ndim - n > ITO_MAX_DIMS)
        return error_false(ITO_ERR_SHAPE, "%s: the index %s is too deep for %s", op,
                           shape_str(*shape), tensor_shape_str(x));
    return true;
}

/* place = place * size + k for each element, where negative k count from the end. */
static bool add_coordinate(const char *op, int64_t *place, const ito_tensor *index, int axis,
                           int64_t size)
{
    const ito_tensor *list = tensor_contiguous(index);
    if (list == NULL)
        return false;
    const int64_t *k = tensor_data(list);
    for (int64_t i = 0, n = ito_numel(list); i < n; i++) {
        if (k[i] < -size || k[i] >= size)
            return error_false(ITO_ERR_RANGE, "%s: axis %d has %" PRId64 " entries and no %" PRId64,
                               op, axis, size, k[i]);
        place[i] = place[i] * size + (k[i] < 0 ? k[i] + size : k[i]);
    }
    return true;
}

/* The same by operations, for whoever follows these: place * size + k. */
static ito_tensor *add_by_operations(ito_tensor *place, ito_tensor *index, int64_t size)
{
    ito_tensor *all = ito_scalar((double)size, ITO_I64), *none = ito_scalar(0, ITO_I64);
    ito_tensor *k = ito_where(ito_lt(index, none), ito_add(index, all), index);
    return ito_add(ito_mul(place, all), k);
}

/* The places that the indices name among x's first n axes made one; NULL with an error. */
static ito_tensor *places_of(const char *op, const ito_tensor *x, ito_tensor *const *indices,
                             int64_t n)
{
    ito_shape shape;
    if (!index_shape(op, x, indices, n, &shape))
        return NULL;
    ito_tensor *places = ito_zeros(shape, ITO_I64), *followed = op_traced() ? places : NULL;
    for (int64_t i = 0; i < n && places != NULL; i++) {
        ito_tensor *index = ito_expand_to(indices[i], shape);
        if (followed != NULL)
            followed = add_by_operations(followed, index, x->shape[i]);
        if (index == NULL || !add_coordinate(op, tensor_data(places), index, (int)i, x->shape[i]))
            return NULL;
    }
    return op_traced() ? followed : places;
}

/* x with its first n axes made one. */
static ito_tensor *first_as_one(ito_tensor *x, int64_t n)
{
    return ito_flatten(x, 0, (int)n - 1);
}

static ito_tensor *index_by(const char *op, ito_tensor *x, ito_tensor *const *indices, int64_t n)
{
    ito_scope_begin();
    ito_tensor *places = places_of(op, x, indices, n);
    ito_tensor *y = places == NULL ? NULL : index_select_entries(first_as_one(x, n), 0, places);
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

ito_tensor *ito_index(ito_tensor *x, ito_tensor *const *indices, int64_t n)
{
    return x == NULL ? NULL : index_by("index", x, indices, n);
}

static ito_tensor *index_put(ito_tensor *x, ito_tensor *const *indices, int64_t n,
                             ito_tensor *values, bool accumulate)
{
    ito_tensor *places = places_of("index_put", x, indices, n), *flat = first_as_one(x, n), *y;
    if (places == NULL || flat == NULL)
        return NULL;
    ito_shape shape = places->sizes, rows = flat->sizes, both;
    for (int i = (int)n; i < x->ndim; i++)
        shape.dim[shape.ndim++] = x->shape[i];
    if (!shape_broadcast(shape, values->sizes, &both) || !shape_equal(shape, both))
        return error_null(ITO_ERR_SHAPE, "index_put: values %s do not broadcast to %s",
                          tensor_shape_str(values), shape_str(shape));
    rows.dim[0] = ito_numel(places);
    values = ito_reshape_to(ito_expand_to(values, shape), rows);
    places = ito_flatten(places, 0, -1);
    if (accumulate)
        y = ito_add(flat, index_add_to_zeros(values, 0, places, flat->shape[0]));
    else
        y = ito_index_copy(flat, 0, places, values);
    return ito_reshape_to(y, x->sizes);
}

ito_tensor *ito_index_put_with(ito_tensor *x, ito_tensor *const *indices, int64_t n,
                               ito_tensor *values, ito_index_put_options options)
{
    if (x == NULL || values == NULL)
        return NULL;
    if (x->dtype != values->dtype)
        return error_null(ITO_ERR_DTYPE, "index_put: %s %s and %s %s do not mix (see ito_cast)",
                          ito_dtype_name(x->dtype), tensor_shape_str(x),
                          ito_dtype_name(values->dtype), tensor_shape_str(values));
    ito_scope_begin();
    ito_tensor *y = ito_keep(index_put(x, indices, n, values, options.accumulate));
    ito_scope_end();
    return y;
}

ito_tensor *ito_take(ito_tensor *x, ito_tensor *index)
{
    if (x == NULL || index == NULL)
        return NULL;
    ito_scope_begin();
    ito_tensor *flat = ito_flatten(x, 0, -1);
    ito_tensor *y = ito_keep(flat == NULL ? NULL : index_by("take", flat, &index, 1));
    ito_scope_end();
    return y;
}

/* x, broadcast to `shape` but for axis. */
static ito_tensor *expand_but(ito_tensor *x, ito_shape shape, int axis)
{
    shape.dim[axis] = x->shape[axis];
    return ito_expand_to(x, shape);
}

static ito_tensor *take_along_dim(ito_tensor *x, ito_tensor *index, int axis)
{
    ito_shape a = x->sizes, b = index->sizes, both;
    bool fits = a.ndim == b.ndim;
    if (fits)
        a.dim[axis] = b.dim[axis] = 1;
    if (!fits || !shape_broadcast(a, b, &both))
        return error_null(ITO_ERR_SHAPE,
                          "take_along_dim: the index %s does not go with axis %d of %s",
                          tensor_shape_str(index), axis, tensor_shape_str(x));
    if (!index_check("take_along_dim", index, x->shape[axis]))
        return NULL;
    return index_gather(expand_but(x, both, axis), axis, expand_but(index, both, axis));
}

ito_tensor *ito_take_along_dim_with(ito_tensor *x, ito_tensor *index, ito_dim_options options)
{
    int axis;
    if (x == NULL || index == NULL)
        return NULL;
    ito_scope_begin();
    ito_tensor *line = along("take_along_dim", x, options.dim, &axis);
    ito_tensor *list = line == NULL ? NULL : along("take_along_dim", index, options.dim, &axis);
    ito_tensor *y = ito_keep(list == NULL ? NULL : take_along_dim(line, list, axis));
    ito_scope_end();
    return y;
}

/* ---- masks ----------------------------------------------------------------------------------- */

static bool is_mask(const char *op, const ito_tensor *mask)
{
    if (mask->dtype == ITO_BOOL)
        return true;
    return error_false(ITO_ERR_DTYPE, "%s: the mask is %s, not bool", op,
                       ito_dtype_name(mask->dtype));
}

/* The places, row-major, at which a mask holds; NULL with an error. */
static ito_tensor *places_in(const ito_tensor *mask)
{
    const ito_tensor *list = mask == NULL ? NULL : tensor_contiguous(mask);
    if (list == NULL)
        return NULL;
    const bool *m = tensor_data(list);
    int64_t n = ito_numel(list), count = 0;
    for (int64_t i = 0; i < n; i++)
        count += m[i];
    ito_tensor *places = tensor_empty(ITO_SHAPE(count), ITO_I64);
    int64_t *k = places == NULL ? NULL : tensor_data(places);
    for (int64_t i = 0, at = 0; k != NULL && i < n; i++)
        if (m[i])
            k[at++] = i;
    return places;
}

ito_tensor *ito_masked_select(ito_tensor *x, ito_tensor *mask)
{
    ito_shape shape;
    if (x == NULL || mask == NULL || !is_mask("masked_select", mask))
        return NULL;
    if (!shape_broadcast(x->sizes, mask->sizes, &shape))
        return error_null(ITO_ERR_SHAPE, "masked_select: shapes %s and %s do not broadcast",
                          tensor_shape_str(x), tensor_shape_str(mask));
    ito_scope_begin();
    ito_tensor *places = places_in(ito_expand_to(mask, shape));
    ito_tensor *flat = ito_flatten(ito_expand_to(x, shape), 0, -1);
    ito_tensor *y = ito_keep(places == NULL ? NULL : index_select_entries(flat, 0, places));
    ito_scope_end();
    return y;
}

static ito_tensor *masked_scatter(ito_tensor *x, ito_tensor *mask, ito_tensor *src)
{
    mask = ito_expand_to(mask, x->sizes);
    ito_tensor *places = places_in(mask), *flat = ito_flatten(x, 0, -1);
    ito_tensor *given = ito_flatten(src, 0, -1);
    if (places == NULL || flat == NULL || given == NULL)
        return NULL;
    int64_t count = places->shape[0];
    if (given->shape[0] < count)
        return error_null(ITO_ERR_SHAPE,
                          "masked_scatter: the mask asks for %" PRId64 " elements, %s has %" PRId64,
                          count, tensor_shape_str(src), given->shape[0]);
    ito_tensor *y = ito_index_copy(flat, 0, places, ito_narrow(given, 0, 0, count));
    return ito_reshape_to(y, x->sizes);
}

ito_tensor *ito_masked_scatter(ito_tensor *x, ito_tensor *mask, ito_tensor *src)
{
    ito_shape shape;
    if (x == NULL || mask == NULL || src == NULL || !is_mask("masked_scatter", mask))
        return NULL;
    if (!shape_broadcast(x->sizes, mask->sizes, &shape) || !shape_equal(shape, x->sizes))
        return error_null(ITO_ERR_SHAPE, "masked_scatter: the mask %s does not broadcast to %s",
                          tensor_shape_str(mask), tensor_shape_str(x));
    if (x->dtype != src->dtype)
        return error_null(ITO_ERR_DTYPE,
                          "masked_scatter: %s %s and %s %s do not mix (see ito_cast)",
                          ito_dtype_name(x->dtype), tensor_shape_str(x), ito_dtype_name(src->dtype),
                          tensor_shape_str(src));
    ito_scope_begin();
    ito_tensor *y = ito_keep(masked_scatter(x, mask, src));
    ito_scope_end();
    return y;
}

/* The coordinates of each place in a tensor of this shape. */
static ito_tensor *coordinates(const ito_tensor *places, ito_shape shape)
{
    int64_t count = places->shape[0];
    ito_tensor *y = tensor_empty(ITO_SHAPE(count, shape.ndim), ITO_I64);
    if (y == NULL)
        return NULL;
    const int64_t *k = tensor_data(places);
    int64_t *to = tensor_data(y);
    for (int64_t i = 0; i < count; i++)
        for (int64_t a = shape.ndim - 1, rest = k[i]; a >= 0; a--) {
            to[i * shape.ndim + a] = rest % shape.dim[a];
            rest /= shape.dim[a];
        }
    return y;
}

ito_tensor *ito_nonzero(ito_tensor *x)
{
    if (x == NULL || !takes_numbers("nonzero", x))
        return NULL;
    ito_scope_begin();
    ito_tensor *places = places_in(ito_ne(x, ito_scalar(0, x->dtype)));
    ito_tensor *y = ito_keep(places == NULL ? NULL : coordinates(places, x->sizes));
    ito_scope_end();
    return y;
}

/* Whether the element at the place where it would stand in the list is it. */
static ito_tensor *isin(ito_tensor *x, ito_tensor *test)
{
    ito_tensor *sorted = ito_sort(ito_flatten(test, 0, -1), NULL);
    ito_tensor *place = ito_searchsorted(sorted, x);
    if (place == NULL)
        return NULL;
    int64_t n = sorted->shape[0];
    ito_tensor *beyond = ito_eq(place, ito_scalar((double)n, ITO_I64));
    place = ito_where(beyond, ito_scalar((double)n - 1, ITO_I64), place);
    return place == NULL ? NULL : ito_eq(index_select_entries(sorted, 0, place), x);
}

ito_tensor *ito_isin(ito_tensor *x, ito_tensor *test)
{
    if (x == NULL || test == NULL || !takes_numbers("isin", x))
        return NULL;
    if (x->dtype != test->dtype)
        return error_null(ITO_ERR_DTYPE, "isin: %s %s and %s %s do not mix (see ito_cast)",
                          ito_dtype_name(x->dtype), tensor_shape_str(x),
                          ito_dtype_name(test->dtype), tensor_shape_str(test));
    if (ito_numel(test) == 0)
        return ito_zeros(x->sizes, ITO_BOOL);
    ito_scope_begin();
    ito_tensor *y = ito_keep(isin(ito_detach(x), ito_detach(test)));
    ito_scope_end();
    return y;
}
