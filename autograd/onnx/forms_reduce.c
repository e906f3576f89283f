/* Reductions, and what looks along an axis. ReduceSum alone takes its axes as an input (opset 13).
 */
#include "autograd/onnx/forms.h"
#include "autograd/ops/params.h"
#include "autograd/ops/reduce.h"

static onnx_value reduced(onnx_graph *g, const char *type, onnx_value x, const reduce_params *p)
{
    return p->axes == 0 ? x
                        : onnx_op(g, type, (x), ONNX_L("axes", onnx_axes(p->axes)),
                                  ONNX_I("keepdims", p->keepdim));
}

static onnx_value summed(onnx_graph *g, onnx_value x, const reduce_params *p)
{
    return p->axes == 0 ? x
                        : onnx_op(g, "ReduceSum", (x, onnx_ints(g, onnx_axes(p->axes))),
                                  ONNX_I("keepdims", p->keepdim));
}

/* A mean stays one where its axes grow. */
onnx_value onnx_form_sum(onnx_graph *g, const op_call *c, const onnx_value *in,
                         const ito_tensor *out)
{
    const reduce_params *p = c->params;
    double count = 1;
    for (int i = 0; i < c->shape[0].ndim; i++)
        count *= p->axes >> i & 1 ? (double)c->shape[0].dim[i] : 1;
    bool floats = ito_dtype_is_float(out->dtype);
    onnx_value x = floats || c->dtype[0] == out->dtype ? in[0] : onnx_cast(g, in[0], out->dtype);
    if (floats && p->divisor == count && count > 1)
        return reduced(g, "ReduceMean", x, p);
    onnx_value sum = summed(g, x, p);
    return !floats || p->divisor == 1
               ? sum
               : onnx_op(g, "Div", (sum, onnx_number(g, p->divisor, c->dtype[0])));
}

static onnx_value extreme(onnx_graph *g, const op_call *c, onnx_value x, const char *type)
{
    if (c->dtype[0] != ITO_BOOL && c->dtype[0] != ITO_U8)
        return reduced(g, type, x, c->params);
    onnx_value y = reduced(g, type, onnx_cast(g, x, ITO_I32), c->params);
    return onnx_cast(g, y, c->dtype[0]);
}

onnx_value onnx_form_max(onnx_graph *g, const op_call *c, const onnx_value *in,
                         const ito_tensor *out)
{
    (void)out;
    return extreme(g, c, in[0], "ReduceMax");
}

onnx_value onnx_form_min(onnx_graph *g, const op_call *c, const onnx_value *in,
                         const ito_tensor *out)
{
    (void)out;
    return extreme(g, c, in[0], "ReduceMin");
}

onnx_value onnx_form_prod(onnx_graph *g, const op_call *c, const onnx_value *in,
                          const ito_tensor *out)
{
    bool same = ito_dtype_is_float(out->dtype) || out->dtype == c->dtype[0];
    return reduced(g, "ReduceProd", same ? in[0] : onnx_cast(g, in[0], out->dtype), c->params);
}

/* 1 where x is not 0, of this dtype. */
static onnx_value ones(onnx_graph *g, const op_call *c, onnx_value x, ito_dtype dtype)
{
    return onnx_cast(g, c->dtype[0] == ITO_BOOL ? x : onnx_cast(g, x, ITO_BOOL), dtype);
}

onnx_value onnx_form_all(onnx_graph *g, const op_call *c, const onnx_value *in,
                         const ito_tensor *out)
{
    (void)out;
    onnx_value least = reduced(g, "ReduceMin", ones(g, c, in[0], ITO_I32), c->params);
    return onnx_cast(g, least, ITO_BOOL);
}

onnx_value onnx_form_any(onnx_graph *g, const op_call *c, const onnx_value *in,
                         const ito_tensor *out)
{
    (void)out;
    return onnx_cast(g, summed(g, ones(g, c, in[0], ITO_I32), c->params), ITO_BOOL);
}

onnx_value onnx_form_count_nonzero(onnx_graph *g, const op_call *c, const onnx_value *in,
                                   const ito_tensor *out)
{
    (void)out;
    return summed(g, ones(g, c, in[0], ITO_I64), c->params);
}

/* ---- along an axis -----------------------------------------------------------------------------
 */

/* x, in i32 where runtimes do not order its dtype. */
static onnx_value ordered(onnx_graph *g, const op_call *c, onnx_value x)
{
    bool small = c->dtype[0] == ITO_U8 || c->dtype[0] == ITO_BOOL;
    return small ? onnx_cast(g, x, ITO_I32) : x;
}

onnx_value onnx_form_argmax(onnx_graph *g, const op_call *c, const onnx_value *in,
                            const ito_tensor *out)
{
    (void)out;
    return onnx_op(g, "ArgMax", (ordered(g, c, in[0])), ONNX_I("axis", *(const int *)c->params));
}

onnx_value onnx_form_argmin(onnx_graph *g, const op_call *c, const onnx_value *in,
                            const ito_tensor *out)
{
    (void)out;
    return onnx_op(g, "ArgMin", (ordered(g, c, in[0])), ONNX_I("axis", *(const int *)c->params));
}

/* The places of the k best: of equal ones the first comes first, there as here. */
static onnx_value best(onnx_graph *g, const op_call *c, onnx_value x, int64_t k, bool largest)
{
    const order_params *p = c->params;
    onnx_value y =
        onnx_op2(g, "TopK", (ordered(g, c, x), onnx_ints(g, ONNX_INTS_OF(k))),
                 ONNX_I("axis", p->axis), ONNX_I("largest", largest), ONNX_I("sorted", 1));
    return y == 0 ? 0 : y + 1;
}

onnx_value onnx_form_topk(onnx_graph *g, const op_call *c, const onnx_value *in,
                          const ito_tensor *out)
{
    (void)out;
    const order_params *p = c->params;
    return best(g, c, in[0], p->k, p->descending);
}

onnx_value onnx_form_argsort(onnx_graph *g, const op_call *c, const onnx_value *in,
                             const ito_tensor *out)
{
    return onnx_form_topk(g, c, in, out);
}

onnx_value onnx_form_kthvalue(onnx_graph *g, const op_call *c, const onnx_value *in,
                              const ito_tensor *out)
{
    (void)out;
    const order_params *p = c->params;
    int64_t n = c->shape[0].dim[p->axis], k = p->choice == ORDER_KTH ? p->k : (n - 1) / 2 + 1;
    if (p->choice == ORDER_NANMEDIAN)
        return onnx_refuse(g, "it counts the elements that are no numbers");
    if (p->choice == ORDER_MODE)
        return onnx_refuse(g, "ONNX does not count equal elements");
    return onnx_op(g, "Gather", (best(g, c, in[0], k, false), onnx_ints(g, ONNX_INTS_OF(k - 1))),
                   ONNX_I("axis", p->axis));
}

onnx_value onnx_form_cumsum(onnx_graph *g, const op_call *c, const onnx_value *in,
                            const ito_tensor *out)
{
    const scan_params *p = c->params;
    bool same = ito_dtype_is_float(out->dtype) || out->dtype == c->dtype[0];
    return onnx_op(
        g, "CumSum",
        (same ? in[0] : onnx_cast(g, in[0], out->dtype), onnx_number(g, p->axis, ITO_I64)),
        ONNX_I("reverse", p->reverse));
}

/* A number without axes has one for these. */
static onnx_value along_axis(onnx_graph *g, const op_call *c, const onnx_value *in,
                             const ito_tensor *out, const char *type)
{
    int axis = ((const softmax_params *)c->params)->axis;
    if (out->ndim > 0)
        return onnx_op(g, type, (in[0]), ONNX_I("axis", axis));
    onnx_value list = onnx_reshape(g, in[0], ITO_SHAPE(1));
    return onnx_reshape(g, onnx_op(g, type, (list), ONNX_I("axis", 0)), ITO_SHAPE());
}

onnx_value onnx_form_softmax(onnx_graph *g, const op_call *c, const onnx_value *in,
                             const ito_tensor *out)
{
    return along_axis(g, c, in, out, "Softmax");
}

onnx_value onnx_form_log_softmax(onnx_graph *g, const op_call *c, const onnx_value *in,
                                 const ito_tensor *out)
{
    return along_axis(g, c, in, out, "LogSoftmax");
}
