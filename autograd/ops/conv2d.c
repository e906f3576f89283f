/* 2-D convolution. The form sum(dy conv(x, w)) is linear in each of dy, x and w, so three
 * operations conv2d (x, w -> y),  conv2d_data (dy, w -> dx),  conv2d_weight (x, dy -> dw) are each
 * other's derivatives, and convolution can be differentiated any number of times. Images and
 * weights lie channels-last in memory; whatever does not is copied first. Beside images in bf16,
 * weights, bias and their gradients are f32.
 */
#include "autograd/ops/conv2d.h"
#include "tensor/conv/conv.h"

static conv_shape make_shape(const conv_params *p, ito_shape x, ito_shape w, ito_shape y)
{
    return (conv_shape){.n = x.dim[0],
                        .h = x.dim[2],
                        .w = x.dim[3],
                        .ci = x.dim[1],
                        .oh = y.dim[2],
                        .ow = y.dim[3],
                        .co = y.dim[1],
                        .kh = w.dim[2],
                        .kw = w.dim[3],
                        .stride_h = p->stride[0],
                        .stride_w = p->stride[1],
                        .pad_top = p->padding[0],
                        .pad_left = p->padding[1],
                        .dilation_h = p->dilation[0],
                        .dilation_w = p->dilation[1],
                        .groups = p->groups};
}

/* How many places a kernel takes along axis i, of this size. */
static int64_t places(const conv_params *p, int i, int64_t size, int64_t kernel)
{
    int64_t padded = size + 2 * p->padding[i] + p->padding_end[i];
    return (padded - (kernel - 1) * p->dilation[i] - 1) / p->stride[i] + 1;
}

/* Of [N, O, 1, 1], which all pixels of an image share. */
static bool is_per_image(ito_shape add, ito_shape y)
{
    return add.ndim == 4 && add.dim[2] == 1 && add.dim[3] == 1 && !shape_equal(add, y);
}

/* ---- conv2d ---- */

ito_tensor *op_conv2d_forward(op_call *c)
{
    const conv_params *p = c->params;
    ito_shape shape = ITO_SHAPE(c->shape[0].dim[0], c->shape[1].dim[0],
                                places(p, 0, c->shape[0].dim[2], c->shape[1].dim[2]),
                                places(p, 1, c->shape[0].dim[3], c->shape[1].dim[3]));
    const ito_tensor *x = tensor_channels_last(c->in[0]), *w = tensor_channels_last(c->in[1]);
    const ito_tensor *bias = tensor_contiguous(c->in[2]), *add = tensor_channels_last(c->in[3]);
    ito_tensor *y = tensor_empty_channels_last(shape, c->dtype[0]);
    if (x == NULL || w == NULL || y == NULL || (c->in[2] != NULL && bias == NULL) ||
        (c->in[3] != NULL && add == NULL))
        return NULL;
    conv_shape s = make_shape(p, c->shape[0], c->shape[1], shape);
    conv_addends e = {bias == NULL ? NULL : tensor_data(bias),
                      add == NULL ? NULL : tensor_data(add),
                      add != NULL && is_per_image(c->shape[3], shape)};
    ito_status status =
        conv2d_forward(y->dtype, tensor_data(y), tensor_data(x), tensor_data(w), &e, &s);
    return status == ITO_OK ? y : NULL;
}

ito_tensor *conv2d_apply(ito_tensor *x, ito_tensor *w, ito_tensor *bias, ito_tensor *add,
                         const conv_params *p)
{
    enum { BIAS_AND_ADD_MAY_BE_NULL = 12 };
    return op_apply_optional(OP_conv2d, (ito_tensor *[]){x, w, bias, add}, 4,
                             BIAS_AND_ADD_MAY_BE_NULL, p, sizeof *p);
}

ito_tensor *conv2d_data_apply(ito_tensor *dy, ito_tensor *w, const conv_params *p)
{
    return op_apply(OP_conv2d_data, (ito_tensor *[]){dy, w}, 2, p, sizeof *p);
}

static ito_tensor *apply_weight(ito_tensor *x, ito_tensor *dy, const conv_params *p)
{
    return op_apply(OP_conv2d_weight, (ito_tensor *[]){x, dy}, 2, p, sizeof *p);
}

static ito_tensor *weight_gradient(const ito_tensor *x, const ito_tensor *dy, ito_shape w,
                                   const conv_params *p)
{
    ito_shape x_shape = ito_shape_of(x), y_shape = ito_shape_of(dy);
    x = tensor_channels_last(x);
    dy = tensor_channels_last(dy);
    if (x == NULL || dy == NULL)
        return NULL;
    ito_tensor *dw = tensor_empty_channels_last(w, x->dtype == ITO_BF16 ? ITO_F32 : x->dtype);
    if (dw == NULL)
        return NULL;
    conv_shape s = make_shape(p, x_shape, w, y_shape);
    ito_status status =
        conv2d_backward_weight(x->dtype, tensor_data(dw), tensor_data(x), tensor_data(dy), &s);
    return status == ITO_OK ? dw : NULL;
}

/* The gradients of the bias and of what else was added, as differentiable operations. */
static bool addend_sums(const op_call *c, ito_tensor *dy, ito_tensor **dx, bool per_image)
{
    if (c->needs[2])
        dx[2] = ito_sum(ito_cast(dy, c->dtype[2]), .dims = ITO_DIMS(0, 2, 3));
    if (per_image)
        dx[3] = ito_sum(dy, .dims = ITO_DIMS(2, 3), .keepdim = true);
    return (!c->needs[2] || dx[2] != NULL) && (!per_image || dx[3] != NULL);
}

/* The same, where nobody differentiates them: from one pass over dy. */
static bool addend_gradients(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    ito_shape y = ito_shape_of(dy);
    bool per_image = c->needs[3] && is_per_image(c->shape[3], y);
    if (c->needs[3] && !per_image)
        dx[3] = dy;
    if (!c->needs[2] && !per_image)
        return true;
    if (op_differentiated())
        return addend_sums(c, dy, dx, per_image);
    dx[2] = c->needs[2] ? tensor_empty(c->shape[2], c->dtype[2]) : NULL;
    dx[3] = per_image ? tensor_empty(c->shape[3], c->dtype[3]) : dx[3];
    if ((c->needs[2] && dx[2] == NULL) || (per_image && dx[3] == NULL))
        return false;
    conv_shape s = make_shape(c->params, c->shape[0], c->shape[1], y);
    return conv2d_backward_addends(dy->dtype, dx[2] == NULL ? NULL : tensor_data(dx[2]),
                                   per_image ? tensor_data(dx[3]) : NULL, tensor_data(dy),
                                   &s) == ITO_OK;
}

bool op_conv2d_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    conv_params p = *(const conv_params *)c->params;
    p.size[0] = c->shape[0].dim[2];
    p.size[1] = c->shape[0].dim[3];
    p.kernel[0] = c->shape[1].dim[2];
    p.kernel[1] = c->shape[1].dim[3];
    if (!op_differentiated()) {
        dy = tensor_channels_last(dy);
        if (dy == NULL)
            return false;
    }
    if (c->needs[0]) {
        dx[0] = conv2d_data_apply(dy, c->in[1], &p);
        if (dx[0] == NULL)
            return false;
    }
    if (c->needs[1]) {
        dx[1] = apply_weight(c->in[0], dy, &p);
        if (dx[1] == NULL)
            return false;
    }
    return addend_gradients(c, dy, dx);
}

/* ---- conv2d_data: the gradient of x, given that of y ---- */

ito_tensor *op_conv2d_data_forward(op_call *c)
{
    const conv_params *p = c->params;
    const ito_tensor *dy = tensor_channels_last(c->in[0]), *w = tensor_channels_last(c->in[1]);
    ito_shape shape =
        ITO_SHAPE(c->shape[0].dim[0], c->shape[1].dim[1] * p->groups, p->size[0], p->size[1]);
    ito_tensor *dx = tensor_empty_channels_last(shape, c->dtype[0]);
    if (dy == NULL || w == NULL || dx == NULL)
        return NULL;
    conv_shape s = make_shape(p, shape, c->shape[1], c->shape[0]);
    ito_status status =
        conv2d_backward_data(dx->dtype, tensor_data(dx), tensor_data(dy), tensor_data(w), &s);
    return status == ITO_OK ? dx : NULL;
}

/* For a gradient u that comes in: of dy it is conv2d(u, w), of w it is conv2d_weight(u, dy). */
bool op_conv2d_data_backward(const op_call *c, ito_tensor *u, ito_tensor **dx)
{
    conv_params p = *(const conv_params *)c->params;
    p.kernel[0] = c->shape[1].dim[2];
    p.kernel[1] = c->shape[1].dim[3];
    if (c->needs[0])
        dx[0] = conv2d_apply(u, c->in[1], NULL, NULL, &p);
    if (c->needs[1])
        dx[1] = apply_weight(u, c->in[0], &p);
    return (!c->needs[0] || dx[0] != NULL) && (!c->needs[1] || dx[1] != NULL);
}

/* ---- conv2d_weight: the gradient of w, given x and the gradient of y ---- */

ito_tensor *op_conv2d_weight_forward(op_call *c)
{
    const conv_params *p = c->params;
    ito_shape w =
        ITO_SHAPE(c->shape[1].dim[1], c->shape[0].dim[1] / p->groups, p->kernel[0], p->kernel[1]);
    return weight_gradient(c->in[0], c->in[1], w, p);
}

/* For a gradient v that comes in: of x it is conv2d_data(dy, v), of dy it is conv2d(x, v). */
bool op_conv2d_weight_backward(const op_call *c, ito_tensor *v, ito_tensor **dx)
{
    conv_params p = *(const conv_params *)c->params;
    p.size[0] = c->shape[0].dim[2];
    p.size[1] = c->shape[0].dim[3];
    if (c->needs[0])
        dx[0] = conv2d_data_apply(c->in[1], v, &p);
    if (c->needs[1])
        dx[1] = conv2d_apply(c->in[0], v, NULL, NULL, &p);
    return (!c->needs[0] || dx[0] != NULL) && (!c->needs[1] || dx[1] != NULL);
}
