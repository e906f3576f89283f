/* Changes in place. They have no history: a tensor that wants a gradient is refused while history
 * is recorded, and whatever is written to gets a new version, so that a backward pass that saved
 * the old values says so instead of using the new ones. */
#include "autograd/graph.h"
#include "autograd/observe.h"
#include "autograd/ops/elementwise.h"
#include "tensor/profile.h"

/* Whether op may write src (NULL: a number) to dst. */
static bool writable(const char *op, const ito_tensor *dst, const ito_tensor *src)
{
    if (forward_has_tangent(dst) || forward_has_tangent(src))
        return error_false(ITO_ERR_GRAD,
                           "%s: %s has a tangent, and forward mode does not follow what is changed "
                           "in place",
                           op, tensor_shape_str(forward_has_tangent(dst) ? dst : src));
    if (ito_grad_enabled() && tensor_needs_grad(dst))
        return error_false(
            ITO_ERR_GRAD,
            "%s: %s requires a gradient; change it in place where no history is recorded "
            "(see ITO_NO_GRAD)",
            op, tensor_shape_str(dst));
    for (int i = 0; i < dst->ndim && ito_numel(dst) > 0; i++)
        if (dst->shape[i] > 1 && dst->stride[i] == 0)
            return error_false(ITO_ERR_ARGUMENT, "%s: elements of %s share memory along axis %d",
                               op, tensor_shape_str(dst), i);
    return true;
}

static bool same_elements(const ito_tensor *a, const ito_tensor *b)
{
    return a->storage == b->storage && a->offset == b->offset && a->dtype == b->dtype &&
           tensor_same_layout(a, b);
}

/* src, or a copy of it where dst might overwrite elements before they have been read. */
static ito_tensor *apart_from(ito_tensor *src, const ito_tensor *dst)
{
    if (src->storage != dst->storage || same_elements(src, dst))
        return src;
    ito_tensor *copy = tensor_empty_as(src, src->dtype);
    if (copy != NULL)
        tensor_copy(copy, src);
    return copy;
}

/* src with its axes of size 1 repeated to dst's shape, into which it broadcasts. */
static ito_tensor *spread(ito_tensor *src, const ito_tensor *dst)
{
    int64_t stride[ITO_MAX_DIMS] = {0};
    int lead = dst->ndim - src->ndim;
    for (int i = lead; i < dst->ndim; i++)
        stride[i] = src->shape[i - lead] == 1 ? 0 : src->stride[i - lead];
    return tensor_view(src, ito_shape_of(dst), stride, src->offset);
}

/* For an observer that follows changes: dst becomes y, which an operation made and which no longer
 * shares dst's memory. */
static ito_tensor *become(ito_tensor *dst, ito_tensor *y)
{
    if (y == NULL)
        return NULL;
    tensor_copy(dst, y);
    ito_touch(dst);
    op_tell_same(dst, y);
    return dst;
}

/* The same in a scope of its own. */
#define BECOME(dst, expression)                                                                    \
    ({                                                                                             \
        ito_scope_begin();                                                                         \
        ito_tensor *became_ = become(dst, expression);                                             \
        ito_scope_end();                                                                           \
        became_;                                                                                   \
    })

ito_tensor *ito_copy_(ito_tensor *dst, ito_tensor *src)
{
    if (dst == NULL || src == NULL || !writable("copy_", dst, src))
        return NULL;
    ito_shape shape;
    if (!shape_broadcast(ito_shape_of(dst), ito_shape_of(src), &shape) ||
        !shape_equal(shape, ito_shape_of(dst)))
        return error_null(ITO_ERR_SHAPE, "copy_: %s does not broadcast to %s",
                          tensor_shape_str(src), tensor_shape_str(dst));
    if (op_traced())
        return BECOME(dst, ito_cast(ito_expand_to(ito_clone(src), shape), dst->dtype));
    ito_scope_begin();
    ito_tensor *from = apart_from(src, dst);
    from = from == NULL ? NULL : spread(from, dst);
    if (from != NULL && !same_elements(from, dst)) {
        tensor_copy(dst, from);
        ito_touch(dst);
    }
    ito_scope_end();
    return from == NULL ? NULL : dst;
}

ito_tensor *ito_fill_(ito_tensor *dst, double value)
{
    if (dst == NULL || !writable("fill_", dst, NULL))
        return NULL;
    tensor_fill(dst, value);
    ito_touch(dst);
    op_tell_same(dst, NULL);
    return dst;
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

enum { CHUNK = 512 };

typedef struct update {
    const kernel_table *kernels;
    size_t element;
    double scale;
} update;

static void put_row(char *y, int64_t stride, size_t element, const void *from, int64_t n)
{
    if (element == sizeof(double))
        for (int64_t i = 0; i < n; i++)
            ((double *)y)[i * stride] = ((const double *)from)[i];
    else if (element == sizeof(uint16_t))
        for (int64_t i = 0; i < n; i++)
            ((uint16_t *)y)[i * stride] = ((const uint16_t *)from)[i];
    else
        for (int64_t i = 0; i < n; i++)
            ((float *)y)[i * stride] = ((const float *)from)[i];
}

/* y = scale x + y; kernels write with stride 1, so other rows pass through a buffer. */
static void add_row(const void *context, char *const *data, const int64_t *s, int64_t n)
{
    const update *u = context;
    double buffer[CHUNK];
    if (s[0] == 1) {
        u->kernels->axpby(data[0], data[1], s[1], data[0], 1, n, u->scale, 1);
        return;
    }
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t count = n - i < CHUNK ? n - i : CHUNK;
        char *y = data[0] + i * s[0] * (int64_t)u->element;
        const char *x = data[1] + i * s[1] * (int64_t)u->element;
        u->kernels->axpby(buffer, x, s[1], y, s[0], count, u->scale, 1);
        put_row(y, s[0], u->element, buffer, count);
    }
}

static void scale_row(const void *context, char *const *data, const int64_t *s, int64_t n)
{
    const update *u = context;
    double buffer[CHUNK];
    if (s[0] == 1) {
        u->kernels->scale_shift(data[0], data[0], 1, n, u->scale, -0.0);
        return;
    }
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t count = n - i < CHUNK ? n - i : CHUNK;
        char *y = data[0] + i * s[0] * (int64_t)u->element;
        u->kernels->scale_shift(buffer, y, s[0], count, u->scale, -0.0);
        put_row(y, s[0], u->element, buffer, count);
    }
}

static bool is_real(const char *op, const ito_tensor *t)
{
    if (t->dtype == ITO_F32 || t->dtype == ITO_F64 || t->dtype == ITO_BF16)
        return true;
    return error_false(ITO_ERR_DTYPE, "%s: takes f32, f64 or bf16, not %s (see ito_cast)", op,
                       ito_dtype_name(t->dtype));
}

/* In backward it is the sweep that adds in place: gradients that arrive at the same tensor. */
static profile_row in_place = PROFILE_ROW("in place");
static profile_row gradient_sums = PROFILE_ROW("sums of gradients");

static void update_rows(ito_tensor *dst, ito_tensor *src, int operands, iterate_row *row,
                        double scale)
{
    profile_frame frame;
    profile_begin(&frame);
    update u = {kernels(dst->dtype), ito_dtype_size(dst->dtype), scale};
    iterate((ito_tensor *[]){dst, src}, operands, row, &u, COST_PLAIN);
    ito_touch(dst);
    bool of_gradients = profile_on && profile_entered(&frame) && frame.in_backward;
    profile_end(&frame, of_gradients ? &gradient_sums : &in_place);
}

ito_tensor *ito_add_(ito_tensor *dst, ito_tensor *src, double alpha)
{
    if (dst == NULL || src == NULL || !writable("add_", dst, src) || !is_real("add_", dst))
        return NULL;
    if (dst->dtype != src->dtype)
        return error_null(ITO_ERR_DTYPE, "add_: %s %s and %s %s do not mix (see ito_cast)",
                          ito_dtype_name(dst->dtype), tensor_shape_str(dst),
                          ito_dtype_name(src->dtype), tensor_shape_str(src));
    if (!shape_equal(ito_shape_of(dst), ito_shape_of(src)))
        return error_null(ITO_ERR_SHAPE, "add_: shapes %s and %s differ", tensor_shape_str(dst),
                          tensor_shape_str(src));
    if (op_traced())
        return BECOME(dst, ito_axpby(1, dst, alpha, src));
    ito_scope_begin();
    ito_tensor *from = apart_from(src, dst);
    if (from != NULL)
        update_rows(dst, from, 2, add_row, alpha);
    ito_scope_end();
    return from == NULL ? NULL : dst;
}

ito_tensor *ito_mul_scalar_(ito_tensor *dst, double c)
{
    if (dst == NULL || !writable("mul_scalar_", dst, NULL) || !is_real("mul_scalar_", dst))
        return NULL;
    if (op_traced())
        return BECOME(dst, ito_mul_scalar(dst, c));
    update_rows(dst, NULL, 1, scale_row, c);
    return dst;
}
