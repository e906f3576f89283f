/* Fourier transforms along axes. Three operations, each other's transposes: complex to complex,
 * real to half a spectrum, and back. The rest cuts, pads, scales and takes one axis after another.
 */
#include "tensor/fft.h"
#include "autograd/ops.h"
#include "autograd/ops/composite.h"

#include <math.h>
#include <string.h>

/* ---- the operations ----------------------------------------------------------------------------
 */

static ito_tensor *transform(const op_call *c, ito_shape shape)
{
    ito_tensor *y = tensor_empty(shape, c->dtype[0]);
    return y != NULL && fft(y, c->in[0], c->params) ? y : NULL;
}

static ito_tensor *apply(op_id id, ito_tensor *x, fft_call call)
{
    return op_apply(id, &x, 1, &call, sizeof call);
}

ito_tensor *op_fft_fft_forward(op_call *c)
{
    return transform(c, c->shape[0]);
}

/* The matrix of exp(-2 pi i j k / n) is symmetric, and its transpose as a map of real parts has the
 * conjugate. */
bool op_fft_fft_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    fft_call call = *(const fft_call *)c->params;
    call.inverse = !call.inverse;
    dx[0] = apply(OP_fft_fft, dy, call);
    return dx[0] != NULL;
}

ito_tensor *op_fft_rfft_forward(op_call *c)
{
    const fft_call *call = c->params;
    ito_shape shape = c->shape[0];
    shape.dim[call->axis] = call->n / 2 + 1;
    shape.dim[shape.ndim++] = 2;
    return transform(c, shape);
}

ito_tensor *op_fft_irfft_forward(op_call *c)
{
    const fft_call *call = c->params;
    ito_shape shape = c->shape[0];
    shape.ndim--;
    shape.dim[call->axis] = call->n;
    return transform(c, shape);
}

/* Half a spectrum times `factor`, but for the numbers that are their own mirror image. */
static ito_tensor *weighted(ito_tensor *z, const fft_call *call, double factor)
{
    if (z == NULL)
        return NULL;
    ito_shape shape = {.ndim = z->ndim};
    for (int i = 0; i < z->ndim; i++)
        shape.dim[i] = i == call->axis ? z->shape[i] : 1;
    ito_tensor *weight = ito_full(ITO_SHAPE(z->shape[call->axis]), factor, ITO_F64);
    if (weight == NULL)
        return NULL;
    double *w = tensor_data(weight);
    w[0] = 1;
    if (call->n % 2 == 0)
        w[call->n / 2] = 1;
    return ito_mul(z, ito_cast(ito_reshape_to(weight, shape), z->dtype));
}

/* The inverse counts each number twice, once for its mirror image, but for those without one. */
bool op_fft_rfft_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    fft_call call = *(const fft_call *)c->params;
    call.kind = FFT_REAL_INVERSE;
    dx[0] = apply(OP_fft_irfft, weighted(dy, &call, 0.5), call);
    return dx[0] != NULL;
}

bool op_fft_irfft_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    fft_call call = *(const fft_call *)c->params;
    call.kind = FFT_REAL;
    dx[0] = weighted(apply(OP_fft_rfft, dy, call), &call, 2);
    return dx[0] != NULL;
}

/* ---- along axes --------------------------------------------------------------------------------
 */

/* What a public function asks for. */
typedef struct request {
    const char *op;
    bool complex_in, complex_out;
    bool inverse; /* the sign of the exponent, and which norm is 1 */
    const char *norm;
} request;

/* Number of axes that numbers have; -1 with an error. */
static int axes_of(const char *op, const ito_tensor *x, bool is_complex)
{
    if (x == NULL)
        return error_missing(op, "x"), -1;
    if (x->dtype != ITO_F32 && x->dtype != ITO_F64 && x->dtype != ITO_BF16)
        return ito_error_set(ITO_ERR_DTYPE, "%s: takes f32, f64 or bf16, not %s (see ito_cast)", op,
                             ito_dtype_name(x->dtype)),
               -1;
    if (is_complex && (x->ndim < 1 || x->shape[x->ndim - 1] != 2))
        return ito_error_set(
                   ITO_ERR_SHAPE,
                   "%s: %s is not [.., 2]: the last axis of complex numbers is (real, imaginary)",
                   op, tensor_shape_str(x)),
               -1;
    return x->ndim - is_complex;
}

/* Whether a result of complex numbers has room for their axis. */
static bool has_room(const request *r, const ito_tensor *x)
{
    if (r->complex_in || x->ndim < ITO_MAX_DIMS)
        return true;
    return error_false(ITO_ERR_SHAPE, "%s: %s has 8 axes, and no room for that of complex numbers",
                       r->op, tensor_shape_str(x));
}

/* The factor of a transform of n numbers; false with an error. */
static bool scale_of(const request *r, int64_t n, double *scale)
{
    const char *norm = r->norm == NULL ? "backward" : r->norm;
    double length = (double)n;
    if (strcmp(norm, "ortho") == 0)
        *scale = 1 / sqrt(length);
    else if (strcmp(norm, "backward") == 0)
        *scale = r->inverse ? 1 / length : 1;
    else if (strcmp(norm, "forward") == 0)
        *scale = r->inverse ? 1 : 1 / length;
    else
        return error_false(ITO_ERR_ARGUMENT, "%s: norm \"%s\" is none of backward, ortho, forward",
                           r->op, norm);
    return true;
}

/* x's axis cut or padded with zeros to this size. */
static ito_tensor *fitted(ito_tensor *x, int axis, int64_t size)
{
    if (x == NULL || x->shape[axis] == size)
        return x;
    if (x->shape[axis] > size)
        return ito_narrow(x, axis, 0, size);
    ito_shape pads = {.ndim = 2 * (x->ndim - axis)};
    pads.dim[pads.ndim - 1] = size - x->shape[axis];
    return ito_pad_with(x, 0, pads);
}

/* One axis, of which n numbers come in or, if reals go out, out. */
static ito_tensor *along(const request *r, ito_tensor *x, int axis, int64_t n)
{
    bool both = r->complex_in && r->complex_out;
    fft_call call = {.axis = axis, .n = n, .inverse = both && r->inverse};
    if (n < 1)
        return error_null(ITO_ERR_ARGUMENT, "%s: a transform of %" PRId64 " numbers", r->op, n);
    if (x == NULL || !scale_of(r, n, &call.scale))
        return NULL;
    if (both)
        return apply(OP_fft_fft, fitted(x, axis, n), call);
    call.kind = r->complex_in ? FFT_REAL_INVERSE : FFT_REAL;
    ito_tensor *part = fitted(x, axis, r->complex_in ? n / 2 + 1 : n);
    return apply(r->complex_in ? OP_fft_irfft : OP_fft_rfft, part, call);
}

static ito_tensor *one_axis(request r, ito_tensor *x, const ito_fft_options *o)
{
    int axes = axes_of(r.op, x, r.complex_in);
    int axis = axes < 0 ? -1 : axis_normalize(r.op, o->dim, axes);
    if (axis < 0 || !has_room(&r, x))
        return NULL;
    int64_t size = x->shape[axis];
    bool half_in = r.complex_in && !r.complex_out;
    int64_t n = o->n != -1 ? o->n : half_in ? 2 * (size - 1) : size;
    return COMPOSITE(along(&r, x, axis, n));
}

ito_tensor *ito_fft_fft_with(ito_tensor *x, ito_fft_options options)
{
    return one_axis((request){"fft_fft", true, true, false, options.norm}, x, &options);
}

ito_tensor *ito_fft_ifft_with(ito_tensor *x, ito_fft_options options)
{
    return one_axis((request){"fft_ifft", true, true, true, options.norm}, x, &options);
}

ito_tensor *ito_fft_rfft_with(ito_tensor *x, ito_fft_options options)
{
    return one_axis((request){"fft_rfft", false, true, false, options.norm}, x, &options);
}

ito_tensor *ito_fft_irfft_with(ito_tensor *x, ito_fft_options options)
{
    return one_axis((request){"fft_irfft", true, false, true, options.norm}, x, &options);
}

/* A transform to reals whose exponent has the other sign: of the conjugate. */
ito_tensor *ito_fft_hfft_with(ito_tensor *x, ito_fft_options options)
{
    if (axes_of("fft_hfft", x, true) < 0)
        return NULL;
    request r = {"fft_hfft", true, false, false, options.norm};
    return COMPOSITE(one_axis(r, ito_conj(x), &options));
}

ito_tensor *ito_fft_ihfft_with(ito_tensor *x, ito_fft_options options)
{
    request r = {"fft_ihfft", false, true, true, options.norm};
    return COMPOSITE(ito_conj(one_axis(r, x, &options)));
}

/* ---- along several axes ------------------------------------------------------------------------
 */

/* The axes, non-negative, and the length along each; false with an error. */
static bool resolve(const request *r, const ito_tensor *x, int axes, ito_shape s, ito_shape dims,
                    ito_shape *axis, ito_shape *n)
{
    if (dims.ndim < 0) {
        int count = s.ndim < 0 ? axes : s.ndim;
        dims = (ito_shape){.ndim = count < ITO_MAX_DIMS ? count : ITO_MAX_DIMS};
        for (int i = 0; i < dims.ndim; i++)
            dims.dim[i] = i - dims.ndim;
    }
    if (dims.ndim > ITO_MAX_DIMS || (s.ndim >= 0 && s.ndim != dims.ndim))
        return error_false(ITO_ERR_ARGUMENT, "%s: %d lengths for %d axes", r->op, s.ndim,
                           dims.ndim);
    if (dims.ndim == 0 && r->complex_in != r->complex_out)
        return error_false(ITO_ERR_ARGUMENT, "%s: no axis", r->op);
    unsigned seen = 0;
    *axis = *n = dims;
    for (int i = 0; i < dims.ndim; i++) {
        int a = axis_normalize(r->op, dims.dim[i], axes);
        if (a < 0)
            return false;
        if ((seen >> a & 1) != 0)
            return error_false(ITO_ERR_ARGUMENT, "%s: axis %d appears twice in %s", r->op, a,
                               shape_str(dims));
        seen |= 1u << a;
        axis->dim[i] = a;
        bool half = i == dims.ndim - 1 && r->complex_in && !r->complex_out;
        n->dim[i] = s.ndim >= 0 && s.dim[i] != -1 ? s.dim[i]
                    : half                        ? 2 * (x->shape[a] - 1)
                                                  : x->shape[a];
    }
    return true;
}

/* Reals along the last of the axes, first or last of all; complex numbers along the others. */
static ito_tensor *several(const request *r, ito_tensor *x, const ito_shape *axis,
                           const ito_shape *n)
{
    request inner = *r;
    inner.complex_in = inner.complex_out = true;
    int count = axis->ndim, last = count - 1;
    bool real = r->complex_in != r->complex_out;
    ito_tensor *y = x;
    if (real && !r->complex_in)
        y = along(r, y, (int)axis->dim[last], n->dim[last]);
    for (int i = real ? last - 1 : last; i >= 0; i--)
        y = along(&inner, y, (int)axis->dim[i], n->dim[i]);
    if (real && r->complex_in)
        y = along(r, y, (int)axis->dim[last], n->dim[last]);
    return y == x ? ito_view_to(x, ito_shape_of(x)) : y;
}

static ito_tensor *several_axes(request r, ito_tensor *x, ito_shape s, ito_shape dims)
{
    ito_shape axis, n;
    int axes = axes_of(r.op, x, r.complex_in);
    if (axes < 0 || !has_room(&r, x) || !resolve(&r, x, axes, s, dims, &axis, &n))
        return NULL;
    return COMPOSITE(several(&r, x, &axis, &n));
}

#define SEVERAL(name, complex_in, complex_out, inverse)                                            \
    ito_tensor *ito_fft_##name##n_with(ito_tensor *x, ito_fftn_options o)                          \
    {                                                                                              \
        request r = {"fft_" #name "n", complex_in, complex_out, inverse, o.norm};                  \
        return several_axes(r, x, o.s, o.dim);                                                     \
    }                                                                                              \
    ito_tensor *ito_fft_##name##2_with(ito_tensor * x, ito_fft2_options o)                         \
    {                                                                                              \
        request r = {"fft_" #name "2", complex_in, complex_out, inverse, o.norm};                  \
        return several_axes(r, x, o.s, o.dim);                                                     \
    }
SEVERAL(fft, true, true, false)
SEVERAL(ifft, true, true, true)
SEVERAL(rfft, false, true, false)
SEVERAL(irfft, true, false, true)

/* ---- frequencies -------------------------------------------------------------------------------
 */

/* `count` of the frequencies of n samples; those from n / 2 on (rounded up) are negative. */
static ito_tensor *frequencies(const char *op, int64_t n, int64_t count, double d, ito_dtype dtype)
{
    if (n < 1)
        return error_null(ITO_ERR_ARGUMENT, "%s: %" PRId64 " samples", op, n);
    if (dtype != ITO_F32 && dtype != ITO_F64)
        return error_null(ITO_ERR_DTYPE, "%s: makes f32 or f64, not %s", op, ito_dtype_name(dtype));
    ito_scope_begin();
    ito_tensor *y = tensor_empty(ITO_SHAPE(count), ITO_F64);
    double *v = y == NULL ? NULL : tensor_data(y);
    for (int64_t i = 0; v != NULL && i < count; i++)
        v[i] = (double)(count == n && i >= (n + 1) / 2 ? i - n : i) / ((double)n * d);
    y = ito_keep(ito_cast(y, dtype));
    ito_scope_end();
    return y;
}

ito_tensor *ito_fft_fftfreq(int64_t n, double d, ito_dtype dtype)
{
    return frequencies("fft_fftfreq", n, n, d, dtype);
}

/* For n = 1 and 2 the count is n as well: 0, and 0 and 1, of which none is negative. */
ito_tensor *ito_fft_rfftfreq(int64_t n, double d, ito_dtype dtype)
{
    ito_tensor *y = frequencies("fft_rfftfreq", n, n / 2 + 1, d, dtype);
    return n == 2 && y != NULL ? COMPOSITE(ito_abs(y)) : y;
}

static ito_tensor *shifted(const char *op, ito_tensor *x, ito_shape dims, bool back)
{
    if (x == NULL)
        return error_missing(op, "x"), NULL;
    if (dims.ndim < 0) {
        dims.ndim = x->ndim;
        for (int i = 0; i < x->ndim; i++)
            dims.dim[i] = i;
    }
    ito_shape shifts = {.ndim = dims.ndim};
    for (int i = 0; i < dims.ndim && i < ITO_MAX_DIMS; i++) {
        int axis = axis_normalize(op, dims.dim[i], x->ndim);
        if (axis < 0)
            return NULL;
        int64_t size = x->shape[axis];
        shifts.dim[i] = back ? (size + 1) / 2 : size / 2;
    }
    return ito_roll(x, shifts, dims);
}

ito_tensor *ito_fft_fftshift(ito_tensor *x, ito_shape dims)
{
    return shifted("fft_fftshift", x, dims, false);
}

ito_tensor *ito_fft_ifftshift(ito_tensor *x, ito_shape dims)
{
    return shifted("fft_ifftshift", x, dims, true);
}

/* ---- complex numbers ---------------------------------------------------------------------------
 */

ito_tensor *ito_complex(ito_tensor *re, ito_tensor *im)
{
    if (re == NULL || im == NULL)
        return error_missing("complex", re == NULL ? "re" : "im"), NULL;
    if (!shape_equal(ito_shape_of(re), ito_shape_of(im)))
        return error_null(ITO_ERR_SHAPE, "complex: shapes %s and %s differ", tensor_shape_str(re),
                          tensor_shape_str(im));
    return ito_stack(ITO_TENSORS(re, im), -1);
}

ito_tensor *ito_polar(ito_tensor *abs, ito_tensor *angle)
{
    if (abs == NULL || angle == NULL)
        return error_missing("polar", abs == NULL ? "abs" : "angle"), NULL;
    if (!shape_equal(ito_shape_of(abs), ito_shape_of(angle)))
        return error_null(ITO_ERR_SHAPE, "polar: shapes %s and %s differ", tensor_shape_str(abs),
                          tensor_shape_str(angle));
    return COMPOSITE(ito_complex(ito_mul(abs, ito_cos(angle)), ito_mul(abs, ito_sin(angle))));
}

ito_tensor *ito_real(ito_tensor *z)
{
    return axes_of("real", z, true) < 0 ? NULL : ito_select(z, -1, 0);
}

ito_tensor *ito_imag(ito_tensor *z)
{
    return axes_of("imag", z, true) < 0 ? NULL : ito_select(z, -1, 1);
}

/* (1, -1) of z's dtype. */
static ito_tensor *signs(const ito_tensor *z, double re, double im)
{
    double v[] = {re, im};
    return ito_cast(ito_from_data(v, ITO_SHAPE(2), ITO_F64), z->dtype);
}

ito_tensor *ito_conj(ito_tensor *z)
{
    return axes_of("conj", z, true) < 0 ? NULL : COMPOSITE(ito_mul(z, signs(z, 1, -1)));
}

/* Re(a) b + Im(a) i b, with i b = (-Im(b), Re(b)). */
static ito_tensor *complex_mul(ito_tensor *a, ito_tensor *b)
{
    ito_tensor *turned = ito_mul(ito_flip_to(b, ITO_DIMS(-1)), signs(b, -1, 1));
    return ito_add(ito_mul(ito_narrow(a, -1, 0, 1), b), ito_mul(ito_narrow(a, -1, 1, 1), turned));
}

ito_tensor *ito_complex_mul(ito_tensor *a, ito_tensor *b)
{
    if (axes_of("complex_mul", a, true) < 0 || axes_of("complex_mul", b, true) < 0)
        return NULL;
    ito_shape shape;
    if (!shape_broadcast(ito_shape_of(a), ito_shape_of(b), &shape))
        return error_null(ITO_ERR_SHAPE, "complex_mul: shapes %s and %s do not broadcast",
                          tensor_shape_str(a), tensor_shape_str(b));
    return COMPOSITE(complex_mul(a, b));
}

/* At 0 the slope of the root is not taken. */
static ito_tensor *complex_abs(ito_tensor *z)
{
    ito_tensor *re = ito_select(z, -1, 0), *im = ito_select(z, -1, 1);
    ito_tensor *zero = ito_scalar(0, z->dtype);
    ito_tensor *none = ito_mul(ito_eq(re, zero), ito_eq(im, zero));
    return ito_masked_fill(ito_hypot(ito_masked_fill(re, none, 1), im), none, 0);
}

ito_tensor *ito_complex_abs(ito_tensor *z)
{
    return axes_of("complex_abs", z, true) < 0 ? NULL : COMPOSITE(complex_abs(z));
}

ito_tensor *ito_complex_angle(ito_tensor *z)
{
    if (axes_of("complex_angle", z, true) < 0)
        return NULL;
    return COMPOSITE(ito_atan2(ito_select(z, -1, 1), ito_select(z, -1, 0)));
}
