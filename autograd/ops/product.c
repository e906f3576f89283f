/* Products by name. All are matrix products of the tensors reshaped, or sums of products. */
#include "autograd/ops.h"
#include "autograd/ops/composite.h"

static bool have_both(const char *op, const ito_tensor *a, const ito_tensor *b)
{
    if (a == NULL || b == NULL)
        error_missing(op, a == NULL ? "a" : "b");
    return a != NULL && b != NULL;
}

/* a and b are stacks of matrices, matrices or vectors, with these numbers of axes, that fit. */
static bool can_multiply(const char *op, const ito_tensor *a, int a_axes, const ito_tensor *b,
                         int b_axes)
{
    if (!have_both(op, a, b))
        return false;
    bool fits = a->ndim == a_axes && b->ndim == b_axes;
    if (fits)
        fits = a->shape[a_axes - 1] == b->shape[b_axes > 1 ? b_axes - 2 : 0];
    if (fits && a_axes == 3)
        fits = a->shape[0] == b->shape[0];
    static const char *const left[] = {"", "[K]", "[M, K]", "[B, M, K]"};
    static const char *const right[] = {"", "[K]", "[K, N]", "[B, K, N]"};
    if (!fits)
        return error_false(ITO_ERR_SHAPE, "%s: shapes %s and %s are not %s and %s", op,
                           tensor_shape_str(a), tensor_shape_str(b), left[a_axes], right[b_axes]);
    return true;
}

ito_tensor *ito_dot(ito_tensor *a, ito_tensor *b)
{
    return can_multiply("dot", a, 1, b, 1) ? COMPOSITE(ito_matmul(a, b)) : NULL;
}

ito_tensor *ito_vdot(ito_tensor *a, ito_tensor *b)
{
    return can_multiply("vdot", a, 1, b, 1) ? COMPOSITE(ito_matmul(a, b)) : NULL;
}

ito_tensor *ito_mv(ito_tensor *matrix, ito_tensor *vector)
{
    return can_multiply("mv", matrix, 2, vector, 1) ? COMPOSITE(ito_matmul(matrix, vector)) : NULL;
}

ito_tensor *ito_mm(ito_tensor *a, ito_tensor *b)
{
    return can_multiply("mm", a, 2, b, 2) ? COMPOSITE(ito_matmul(a, b)) : NULL;
}

ito_tensor *ito_bmm(ito_tensor *a, ito_tensor *b)
{
    return can_multiply("bmm", a, 3, b, 3) ? OP2(bmm, a, b) : NULL;
}

ito_tensor *ito_outer(ito_tensor *a, ito_tensor *b)
{
    if (!have_both("outer", a, b))
        return NULL;
    if (a->ndim != 1 || b->ndim != 1)
        return error_null(ITO_ERR_SHAPE, "outer: shapes %s and %s are not [M] and [N]",
                          tensor_shape_str(a), tensor_shape_str(b));
    return COMPOSITE(ito_mul(ito_unsqueeze(a, 1), b));
}

/* ---- contractions of any axes ------------------------------------------------------------------
 */

static int64_t product_of(ito_shape shape, int first, int end)
{
    int64_t n = 1;
    for (int i = first; i < end; i++)
        n *= shape.dim[i];
    return n;
}

/* The last n axes of a meet the first n of b, whose sizes are equal; out has the others. */
static ito_tensor *contract(ito_tensor *a, ito_tensor *b, int n, ito_shape out)
{
    if (a == NULL || b == NULL)
        return NULL;
    int64_t k = product_of(ito_shape_of(b), 0, n);
    ito_tensor *left = ito_reshape_to(a, ITO_SHAPE(product_of(ito_shape_of(a), 0, a->ndim - n), k));
    ito_tensor *right = ito_reshape_to(b, ITO_SHAPE(k, product_of(ito_shape_of(b), n, b->ndim)));
    return ito_reshape_to(ito_matmul(left, right), out);
}

/* `dims`, non-negative and each once, in front of or behind the other axes of t. */
static bool gathered(const ito_tensor *t, ito_shape dims, bool in_front, ito_shape *axes)
{
    unsigned seen = 0;
    for (int i = 0; i < dims.ndim; i++) {
        int axis = axis_normalize("tensordot", dims.dim[i], t->ndim);
        if (axis < 0)
            return false;
        if ((seen >> axis & 1) != 0)
            return error_false(ITO_ERR_ARGUMENT, "tensordot: axis %d appears twice in %s", axis,
                               shape_str(dims));
        seen |= 1u << axis;
        dims.dim[i] = axis;
    }
    *axes = in_front ? dims : (ito_shape){0};
    for (int i = 0; i < t->ndim; i++)
        if ((seen >> i & 1) == 0)
            axes->dim[axes->ndim++] = i;
    for (int i = 0; i < dims.ndim && !in_front; i++)
        axes->dim[axes->ndim++] = dims.dim[i];
    return true;
}

static ito_tensor *tensordot(ito_tensor *a, ito_tensor *b, ito_shape a_dims, ito_shape b_dims)
{
    ito_shape a_axes, b_axes, out = {0};
    int n = a_dims.ndim;
    if (!gathered(a, a_dims, false, &a_axes) || !gathered(b, b_dims, true, &b_axes))
        return NULL;
    if (a->ndim + b->ndim - 2 * n > ITO_MAX_DIMS)
        return error_null(ITO_ERR_SHAPE, "tensordot: the result of %s and %s has more than 8 axes",
                          tensor_shape_str(a), tensor_shape_str(b));
    for (int i = 0; i < n; i++) {
        int64_t left = a->shape[a_axes.dim[a->ndim - n + i]], right = b->shape[b_axes.dim[i]];
        if (left != right)
            return error_null(ITO_ERR_SHAPE,
                              "tensordot: axes %s of %s and %s of %s differ: %" PRId64
                              " meets %" PRId64,
                              shape_str(a_dims), tensor_shape_str(a), shape_str(b_dims),
                              tensor_shape_str(b), left, right);
    }
    for (int i = 0; i < a->ndim - n; i++)
        out.dim[out.ndim++] = a->shape[a_axes.dim[i]];
    for (int i = n; i < b->ndim; i++)
        out.dim[out.ndim++] = b->shape[b_axes.dim[i]];
    return contract(ito_permute_to(a, a_axes), ito_permute_to(b, b_axes), n, out);
}

ito_tensor *ito_tensordot_with(ito_tensor *a, ito_tensor *b, ito_tensordot_options options)
{
    if (!have_both("tensordot", a, b))
        return NULL;
    ito_shape a_dims = options.dims_a, b_dims = options.dims_b;
    if (a_dims.ndim < 0 && b_dims.ndim < 0) {
        if (options.dims < 0 || options.dims > a->ndim || options.dims > b->ndim)
            return error_null(ITO_ERR_RANGE, "tensordot: %s and %s have no %" PRId64 " axes each",
                              tensor_shape_str(a), tensor_shape_str(b), options.dims);
        a_dims.ndim = b_dims.ndim = (int)options.dims;
        for (int i = 0; i < a_dims.ndim; i++) {
            a_dims.dim[i] = a->ndim - a_dims.ndim + i;
            b_dims.dim[i] = i;
        }
    }
    if (a_dims.ndim != b_dims.ndim || a_dims.ndim > ITO_MAX_DIMS)
        return error_null(ITO_ERR_ARGUMENT, "tensordot: .dims_a and .dims_b are not in pairs");
    return COMPOSITE(tensordot(a, b, a_dims, b_dims));
}

ito_tensor *ito_inner(ito_tensor *a, ito_tensor *b)
{
    if (!have_both("inner", a, b))
        return NULL;
    if (a->dtype != b->dtype)
        return error_null(ITO_ERR_DTYPE, "inner: %s %s and %s %s do not mix (see ito_cast)",
                          ito_dtype_name(a->dtype), tensor_shape_str(a), ito_dtype_name(b->dtype),
                          tensor_shape_str(b));
    if (a->ndim == 0 || b->ndim == 0)
        return COMPOSITE(ito_mul(a, b));
    if (a->shape[a->ndim - 1] != b->shape[b->ndim - 1])
        return error_null(ITO_ERR_SHAPE, "inner: the last axes of %s and %s differ",
                          tensor_shape_str(a), tensor_shape_str(b));
    if (a->ndim + b->ndim - 2 > ITO_MAX_DIMS)
        return error_null(ITO_ERR_SHAPE, "inner: the result of %s and %s has more than 8 axes",
                          tensor_shape_str(a), tensor_shape_str(b));
    return COMPOSITE(tensordot(a, b, ITO_SHAPE(-1), ITO_SHAPE(-1)));
}

/* ---- beta x + alpha a b ------------------------------------------------------------------------
 */

static ito_tensor *add_product(const char *op, ito_tensor *x, ito_tensor *product,
                               ito_addmm_options options)
{
    ito_shape shape;
    if (x == NULL || product == NULL)
        return NULL;
    if (x->dtype != product->dtype)
        return error_null(ITO_ERR_DTYPE, "%s: %s %s and %s %s do not mix (see ito_cast)", op,
                          ito_dtype_name(x->dtype), tensor_shape_str(x),
                          ito_dtype_name(product->dtype), tensor_shape_str(product));
    if (!shape_broadcast(ito_shape_of(x), ito_shape_of(product), &shape) ||
        !shape_equal(shape, ito_shape_of(product)))
        return error_null(ITO_ERR_SHAPE, "%s: x %s does not broadcast to the product's %s", op,
                          tensor_shape_str(x), tensor_shape_str(product));
    return options.beta == 0 ? ito_mul_scalar(product, options.alpha)
                             : ito_axpby(options.beta, x, options.alpha, product);
}

ito_tensor *ito_addmm_with(ito_tensor *x, ito_tensor *a, ito_tensor *b, ito_addmm_options options)
{
    if (x == NULL)
        error_missing("addmm", "x");
    if (x == NULL || !can_multiply("addmm", a, 2, b, 2))
        return NULL;
    return COMPOSITE(add_product("addmm", x, ito_matmul(a, b), options));
}

ito_tensor *ito_addmv_with(ito_tensor *x, ito_tensor *a, ito_tensor *b, ito_addmm_options options)
{
    if (x == NULL)
        error_missing("addmv", "x");
    if (x == NULL || !can_multiply("addmv", a, 2, b, 1))
        return NULL;
    return COMPOSITE(add_product("addmv", x, ito_matmul(a, b), options));
}

ito_tensor *ito_baddbmm_with(ito_tensor *x, ito_tensor *a, ito_tensor *b, ito_addmm_options options)
{
    if (x == NULL)
        error_missing("baddbmm", "x");
    if (x == NULL || !can_multiply("baddbmm", a, 3, b, 3))
        return NULL;
    return COMPOSITE(add_product("baddbmm", x, OP2(bmm, a, b), options));
}

/* The sum over the stack is one longer sum: [M, B K] times [B K, N]. */
ito_tensor *ito_addbmm_with(ito_tensor *x, ito_tensor *a, ito_tensor *b, ito_addmm_options options)
{
    if (x == NULL)
        error_missing("addbmm", "x");
    if (x == NULL || !can_multiply("addbmm", a, 3, b, 3))
        return NULL;
    ito_shape out = ITO_SHAPE(a->shape[1], b->shape[2]);
    return COMPOSITE(add_product(
        "addbmm", x, contract(ito_permute_to(a, ITO_SHAPE(1, 0, 2)), b, 2, out), options));
}

/* ---- others ------------------------------------------------------------------------------------
 */

ito_tensor *ito_trace(ito_tensor *x)
{
    if (x == NULL)
        return NULL;
    if (x->ndim != 2)
        return error_null(ITO_ERR_SHAPE, "trace: %s is not [M, N]", tensor_shape_str(x));
    return COMPOSITE(ito_sum(ito_diagonal(x)));
}

/* The entries (1, 2, 0) or (2, 0, 1) along the last axis. */
static ito_tensor *turned(ito_tensor *x, int64_t first)
{
    ito_tensor *from = ito_narrow(x, -1, first, 3 - first), *rest = ito_narrow(x, -1, 0, first);
    return ito_cat(ITO_TENSORS(from, rest), -1);
}

/* (a x b)_i = a_{i+1} b_{i+2} - a_{i+2} b_{i+1}, counted modulo 3 */
static ito_tensor *cross(ito_tensor *a, ito_tensor *b, int axis)
{
    a = ito_transpose(a, axis, -1);
    b = ito_transpose(b, axis, -1);
    ito_tensor *y =
        ito_sub(ito_mul(turned(a, 1), turned(b, 2)), ito_mul(turned(a, 2), turned(b, 1)));
    return ito_transpose(y, axis, -1);
}

ito_tensor *ito_cross(ito_tensor *a, ito_tensor *b, int axis)
{
    if (!have_both("cross", a, b))
        return NULL;
    if (a->ndim != b->ndim)
        return error_null(ITO_ERR_SHAPE, "cross: shapes %s and %s have different numbers of axes",
                          tensor_shape_str(a), tensor_shape_str(b));
    int at = axis_normalize("cross", axis, a->ndim);
    if (at < 0)
        return NULL;
    if (a->shape[at] != 3 || b->shape[at] != 3)
        return error_null(ITO_ERR_SHAPE, "cross: axis %d of %s and %s is not of size 3", at,
                          tensor_shape_str(a), tensor_shape_str(b));
    return COMPOSITE(cross(a, b, at));
}

/* [a0, 1, a1, 1, ...] times [1, b0, 1, b1, ...]; then each pair of axes becomes one. */
static ito_tensor *kron(ito_tensor *a, ito_tensor *b, int axes)
{
    ito_shape left = {.ndim = 2 * axes}, right = left, out = {.ndim = axes};
    for (int i = 0; i < axes; i++) {
        int ai = i - (axes - a->ndim), bi = i - (axes - b->ndim);
        int64_t from_a = ai < 0 ? 1 : a->shape[ai], from_b = bi < 0 ? 1 : b->shape[bi];
        left.dim[2 * i] = from_a;
        left.dim[2 * i + 1] = right.dim[2 * i] = 1;
        right.dim[2 * i + 1] = from_b;
        out.dim[i] = checked_mul(from_a, from_b);
    }
    if (shape_numel(out) < 0)
        return error_null(ITO_ERR_SHAPE, "kron: the product of %s and %s is too large",
                          tensor_shape_str(a), tensor_shape_str(b));
    return ito_reshape_to(ito_mul(ito_reshape_to(a, left), ito_reshape_to(b, right)), out);
}

ito_tensor *ito_kron(ito_tensor *a, ito_tensor *b)
{
    if (!have_both("kron", a, b))
        return NULL;
    int axes = a->ndim > b->ndim ? a->ndim : b->ndim;
    if (2 * axes > ITO_MAX_DIMS)
        return error_null(ITO_ERR_SHAPE, "kron: %s and %s have more than 4 axes",
                          tensor_shape_str(a), tensor_shape_str(b));
    return COMPOSITE(kron(a, b, axes));
}
