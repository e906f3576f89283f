/* Operations that are others, which have forms. */
#include "autograd/onnx/forms.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/pad.h"
#include "autograd/ops/params.h"
#include "autograd/ops/resample.h"
#include "autograd/ops/rotary.h"
#include "tensor/fft.h"

#include <math.h>

/* ---- element by element ------------------------------------------------------------------------
 */

ito_tensor *onnx_made_hypot(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n, (void)params;
    return ito_sqrt(ito_add(ito_square(in[0]), ito_square(in[1])));
}

/* Whether x is negative, -0 included: 1 / x tells the zeros apart. */
static ito_tensor *is_negative(ito_tensor *x)
{
    ito_tensor *zero = number_like(0, x);
    return ito_lt(ito_where(ito_eq(x, zero), ito_reciprocal(x), x), zero);
}

ito_tensor *onnx_made_copysign(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n, (void)params;
    ito_tensor *size = ito_abs(in[0]);
    return ito_where(is_negative(in[1]), ito_neg(size), size);
}

/* The angle by its tangent, turned by half a circle where x is negative. On the axis x = 0 it is a
 * quarter, or at the origin as if y were 0 beside it. */
ito_tensor *onnx_made_atan2(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n, (void)params;
    ito_tensor *y = in[0], *x = in[1], *zero = number_like(0, x);
    ito_tensor *half = ito_where(is_negative(y), number_like(-M_PI, x), number_like(M_PI, x));
    ito_tensor *quarter = ito_mul_scalar(ito_sign(y), M_PI / 2);
    ito_tensor *on_axis = ito_eq(x, zero);
    ito_tensor *angle = ito_where(on_axis, quarter, ito_atan(ito_div(y, x)));
    ito_tensor *behind = ito_where(on_axis, ito_eq(y, zero), ito_lt(x, zero));
    behind = ito_mul(behind, is_negative(x));
    return ito_where(behind, ito_add(angle, half), angle);
}

ito_tensor *onnx_made_logaddexp(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n, (void)params;
    ito_tensor *apart = ito_neg(ito_abs(ito_sub(in[0], in[1])));
    ito_tensor *more = ito_log1p(ito_exp(apart));
    more = ito_where(ito_eq(in[0], in[1]), number_like(log(2), in[0]), more);
    return ito_add(ito_maximum(in[0], in[1]), more);
}

ito_tensor *onnx_made_binary_cross_entropy(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n, (void)params;
    ito_tensor *x = in[0], *t = in[1];
    ito_tensor *yes = ito_clamp(ito_log(x), -100, HUGE_VAL);
    ito_tensor *no = ito_clamp(ito_log(ito_sub(number_like(1, x), x)), -100, HUGE_VAL);
    ito_tensor *rest = ito_mul(ito_sub(number_like(1, t), t), no);
    return ito_neg(ito_add(ito_mul(t, yes), rest));
}

ito_tensor *onnx_made_cdist(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n, (void)params;
    ito_tensor *apart = ito_sub(ito_unsqueeze(in[0], 2), ito_unsqueeze(in[1], 1));
    return ito_sqrt(ito_sum(ito_square(apart), .dims = ITO_DIMS(3)));
}

ito_tensor *onnx_made_apply_rotary(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n;
    const rotary_params *p = params;
    ito_tensor *sine = p->back ? ito_neg(in[2]) : in[2];
    return apply_rotary_by_operations(in[0], in[1], sine, p->interleaved);
}

/* ---- along an axis -----------------------------------------------------------------------------
 * What an element takes from the one before it, it takes from 1, then 2, 4, ... before: each step
 * joins what two neighbouring runs of elements have come to (Hillis and Steele 1986). */

/* t moved by so many places along the axis, with a value where nothing comes from. */
static ito_tensor *moved(ito_tensor *t, const scan_params *p, int64_t by, double value)
{
    pad_params pad = {.value = value};
    by = p->reverse ? -by : by;
    pad.before[p->axis] = by;
    pad.after[p->axis] = -by;
    return pad_axes(t, &pad);
}

ito_tensor *onnx_made_cumprod(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n;
    const scan_params *p = params;
    ito_tensor *y = ito_dtype_is_float(ito_dtype_of(in[0])) ? in[0] : ito_cast(in[0], ITO_I64);
    for (int64_t by = 1; y != NULL && by < y->shape[p->axis]; by *= 2)
        y = ito_mul(y, moved(y, p, by, 1));
    return y;
}

ito_tensor *onnx_made_recurrence(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n;
    const scan_params *p = params;
    ito_tensor *a = in[0], *b = in[1];
    for (int64_t by = 1; a != NULL && b != NULL && by < b->shape[p->axis]; by *= 2) {
        b = ito_add(ito_mul(a, moved(b, p, by, 0)), b);
        a = ito_mul(a, moved(a, p, by, 1));
    }
    return b;
}

/* Each sum over all elements, of which those that come later are masked. */
ito_tensor *onnx_made_logcumsumexp(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n;
    const scan_params *p = params;
    ito_tensor *x = ito_unsqueeze(ito_transpose(in[0], p->axis, -1), -2);
    if (x == NULL)
        return NULL;
    int64_t size = ito_size(x, -1);
    ito_tensor *place = ito_arange(0, (double)size, 1, ITO_I64), *to = ito_unsqueeze(place, 1);
    ito_tensor *seen = p->reverse ? ito_ge(place, to) : ito_le(place, to);
    ito_tensor *all = ito_where(seen, x, number_like(-HUGE_VAL, x));
    return ito_transpose(ito_logsumexp(all, .dims = ITO_DIMS(-1)), p->axis, -1);
}

/* ---- linear maps along an axis -----------------------------------------------------------------
 * y = x M, where the rows of M are what the operation makes of those of the identity. */

/* x with axis behind all others, but for the last one of complex numbers if there is one. */
static ito_tensor *axis_behind(ito_tensor *x, int axis, bool is_complex, bool back)
{
    int last = x->ndim - 1 - is_complex;
    ito_shape order = {.ndim = x->ndim};
    for (int i = 0, at = 0; i < x->ndim; i++)
        if (i != axis && i <= last)
            order.dim[at++] = i;
    order.dim[last] = axis;
    if (is_complex)
        order.dim[last + 1] = last + 1;
    ito_shape inverse = order;
    for (int i = 0; i < x->ndim; i++)
        inverse.dim[order.dim[i]] = i;
    return ito_permute_to(x, back ? inverse : order);
}

/* op: with its axis being 1. */
static ito_tensor *linear_map(ito_tensor *x, op_id op, int axis, bool complex_in, bool complex_out,
                              const void *params, size_t size)
{
    x = axis_behind(x, axis, complex_in, false);
    x = complex_in ? ito_flatten(x, -2, -1) : x;
    if (x == NULL)
        return NULL;
    int64_t n = ito_size(x, -1);
    ito_tensor *rows = ito_eye(n, x->dtype);
    rows = complex_in ? ito_reshape(rows, n, n / 2, 2) : rows;
    ito_tensor *m = op_apply(op, &rows, 1, params, size);
    if (m == NULL)
        return NULL;
    int64_t out = ito_size(m, 1);
    ito_tensor *y = ito_matmul(x, complex_out ? ito_flatten(m, 1, 2) : m);
    if (y == NULL)
        return NULL;
    ito_shape shape = y->sizes;
    if (complex_out) {
        shape.dim[shape.ndim - 1] = out;
        shape.dim[shape.ndim++] = 2;
    }
    return axis_behind(ito_reshape_to(y, shape), axis, complex_out, true);
}

ito_tensor *onnx_made_resample(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n;
    resample_params p = *(const resample_params *)params;
    int axis = p.axis;
    p.axis = 1;
    return linear_map(in[0], OP_resample, axis, false, false, &p, sizeof p);
}

static ito_tensor *transform(ito_tensor *x, op_id op, const void *params)
{
    fft_call call = *(const fft_call *)params;
    int axis = call.axis;
    call.axis = 1;
    return linear_map(x, op, axis, op != OP_fft_rfft, op != OP_fft_irfft, &call, sizeof call);
}

ito_tensor *onnx_made_fft_fft(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n;
    return transform(in[0], OP_fft_fft, params);
}

ito_tensor *onnx_made_fft_rfft(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n;
    return transform(in[0], OP_fft_rfft, params);
}

ito_tensor *onnx_made_fft_irfft(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n;
    return transform(in[0], OP_fft_irfft, params);
}
