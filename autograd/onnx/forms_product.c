/* Convolutions and products of matrices. */
#include "autograd/onnx/forms.h"
#include "autograd/ops/conv2d.h"

static onnx_list pair(const int64_t value[2])
{
    return ONNX_INTS_OF(value[0], value[1]);
}

/* x [N, C, H, W] with so many zeros, or less if negative, about its images. */
static onnx_value padded(onnx_graph *g, onnx_value x, const int64_t before[2],
                         const int64_t after[2], ito_dtype dtype)
{
    const onnx_list pads = ONNX_INTS_OF(0, 0, before[0], before[1], 0, 0, after[0], after[1]);
    return onnx_op(g, "Pad", (x, onnx_ints(g, pads), onnx_number(g, 0, dtype)));
}

onnx_value onnx_form_conv2d(onnx_graph *g, const op_call *c, const onnx_value *in,
                            const ito_tensor *out)
{
    (void)out;
    const conv_params *p = c->params;
    int64_t after[] = {p->padding[0] + p->padding_end[0], p->padding[1] + p->padding_end[1]};
    onnx_list pads = ONNX_INTS_OF(p->padding[0], p->padding[1], after[0], after[1]);
    onnx_value x = in[0];
    if (after[0] < 0 || after[1] < 0) { /* which Conv does not take */
        x = padded(g, x, p->padding, after, c->dtype[0]);
        pads = ONNX_INTS_OF(0, 0, 0, 0);
    }
    onnx_value y = onnx_op(g, "Conv", (x, in[1], in[2]), ONNX_L("strides", pair(p->stride)),
                           ONNX_L("pads", pads), ONNX_L("dilations", pair(p->dilation)),
                           ONNX_I("group", p->groups));
    return in[3] == 0 ? y : onnx_op(g, "Add", (y, in[3]));
}

/* The transpose of the convolution. The operator's size follows from its paddings: what is missing
 * at the end is out of reach of the filters, so it is zero. */
onnx_value onnx_form_conv2d_data(onnx_graph *g, const op_call *c, const onnx_value *in,
                                 const ito_tensor *out)
{
    (void)out;
    const conv_params *p = c->params;
    int64_t cut[2], missing[2];
    for (int i = 0; i < 2; i++) {
        int64_t reach = (c->shape[1].dim[2 + i] - 1) * p->dilation[i] + 1;
        int64_t whole = p->stride[i] * (c->shape[0].dim[2 + i] - 1) + reach - p->padding[i];
        cut[i] = whole > p->size[i] ? whole - p->size[i] : 0;
        missing[i] = p->size[i] > whole ? p->size[i] - whole : 0;
    }
    onnx_list pads = ONNX_INTS_OF(p->padding[0], p->padding[1], cut[0], cut[1]);
    onnx_value y = onnx_op(g, "ConvTranspose", (in[0], in[1]), ONNX_L("strides", pair(p->stride)),
                           ONNX_L("pads", pads), ONNX_L("dilations", pair(p->dilation)),
                           ONNX_I("group", p->groups));
    if (missing[0] == 0 && missing[1] == 0)
        return y;
    return padded(g, y, (const int64_t[]){0, 0}, missing, c->dtype[0]);
}

onnx_value onnx_form_linear(onnx_graph *g, const op_call *c, const onnx_value *in,
                            const ito_tensor *out)
{
    (void)out;
    onnx_value bias = c->n > 2 ? in[2] : 0;
    if (c->shape[0].ndim == 2)
        return onnx_op(g, "Gemm", (in[0], in[1], bias), ONNX_I("transB", 1));
    onnx_value turned = onnx_op(g, "Transpose", (in[1]), ONNX_L("perm", ONNX_INTS_OF(1, 0)));
    onnx_value y = onnx_op(g, "MatMul", (in[0], turned));
    return bias == 0 ? y : onnx_op(g, "Add", (y, bias));
}
