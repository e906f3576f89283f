/* Short-time Fourier transforms: frames gathered by an index, which knows of the padding as well;
 * and added back by the same index. */
#include "autograd/ops.h"
#include "autograd/ops/composite.h"
#include "autograd/ops/index.h"

#include <math.h>

/* What the options mean for a transform of n_fft. */
typedef struct frames {
    const char *op;
    int64_t n_fft, hop, win;
    ito_tensor *window; /* or NULL */
    bool center, reflect, onesided;
    const char *norm;
} frames;

static bool resolve(const char *op, const ito_tensor *x, int64_t n_fft, const ito_stft_options *o,
                    frames *f)
{
    *f = (frames){.op = op,
                  .n_fft = n_fft,
                  .hop = o->hop_length == -1 ? n_fft / 4 : o->hop_length,
                  .win = o->win_length == -1 ? n_fft : o->win_length,
                  .window = o->window,
                  .center = o->center,
                  .reflect = !o->pad_constant,
                  .onesided = o->onesided,
                  .norm = o->normalized ? "ortho" : "backward"};
    if (n_fft < 1 || f->hop < 1 || f->win < 1 || f->win > n_fft)
        return error_false(ITO_ERR_ARGUMENT,
                           "%s: n_fft %" PRId64 ", hop_length %" PRId64 " and win_length %" PRId64
                           " are not 1 or more with the window at most n_fft",
                           op, n_fft, f->hop, f->win);
    if (f->window == NULL)
        return true;
    if (f->window->ndim != 1 || f->window->shape[0] != f->win)
        return error_false(ITO_ERR_SHAPE, "%s: the window %s is not [%" PRId64 "]", op,
                           tensor_shape_str(f->window), f->win);
    if (f->window->dtype != x->dtype)
        return error_false(ITO_ERR_DTYPE, "%s: a window of %s beside %s (see ito_cast)", op,
                           ito_dtype_name(f->window->dtype), ito_dtype_name(x->dtype));
    return true;
}

static bool check_input(const char *op, const ito_tensor *x, int least, const char *shapes)
{
    if (x == NULL)
        return error_missing(op, "x"), false;
    if (x->dtype != ITO_F32 && x->dtype != ITO_F64 && x->dtype != ITO_BF16)
        return error_false(ITO_ERR_DTYPE, "%s: takes f32, f64 or bf16, not %s (see ito_cast)", op,
                           ito_dtype_name(x->dtype));
    if (x->ndim < least || x->ndim > least + 1)
        return error_false(ITO_ERR_SHAPE, "%s: %s is not %s", op, tensor_shape_str(x), shapes);
    return true;
}

/* The window in the middle of n_fft samples, or NULL after an error; ones of a shorter window. */
static ito_tensor *full_window(const frames *f, const ito_tensor *x)
{
    ito_tensor *w = f->window != NULL ? f->window : ito_ones(ITO_SHAPE(f->win), x->dtype);
    int64_t before = (f->n_fft - f->win) / 2;
    return ito_pad_with(w, 0, ITO_SHAPE(before, f->n_fft - f->win - before));
}

/* The sample of `length` that sample i of frame t reads, frames beginning at -pad. Reflected at the
 * borders. */
static ito_tensor *frame_index(const frames *f, int64_t count, int64_t pad, int64_t length)
{
    ito_tensor *index = tensor_empty(ITO_SHAPE(count * f->n_fft), ITO_I64);
    int64_t *v = index == NULL ? NULL : tensor_data(index);
    for (int64_t t = 0; v != NULL && t < count; t++)
        for (int64_t i = 0; i < f->n_fft; i++) {
            int64_t at = t * f->hop + i - pad;
            at = at < 0 ? -at : at;
            *v++ = at >= length ? 2 * (length - 1) - at : at;
        }
    return index;
}

static ito_tensor *stft(const frames *f, ito_tensor *x)
{
    int64_t length = x->shape[x->ndim - 1], pad = f->center ? f->n_fft / 2 : 0;
    if (f->center && !f->reflect) {
        x = ito_pad_with(x, 0, ITO_SHAPE(pad, pad));
        length += 2 * pad;
        pad = 0;
    } else if (pad >= length && f->center) {
        return error_null(ITO_ERR_ARGUMENT,
                          "%s: a signal of %" PRId64 " samples is not reflected by %" PRId64, f->op,
                          length, pad);
    }
    if (length + 2 * pad < f->n_fft)
        return error_null(ITO_ERR_ARGUMENT,
                          "%s: a signal of %" PRId64 " samples has no frame of %" PRId64, f->op,
                          length, f->n_fft);
    int64_t count = (length + 2 * pad - f->n_fft) / f->hop + 1;
    ito_tensor *picked = ito_index_select(x, -1, frame_index(f, count, pad, length));
    if (picked == NULL)
        return NULL;
    ito_shape shape = ito_shape_of(picked);
    shape.dim[shape.ndim - 1] = count;
    shape.dim[shape.ndim++] = f->n_fft;
    ito_tensor *y = ito_mul(ito_reshape_to(picked, shape), full_window(f, x));
    if (f->onesided)
        y = ito_fft_rfft(y, .norm = f->norm);
    else
        y = y == NULL ? NULL : ito_fft_fft(ito_complex(y, ito_zeros_like(y)), .norm = f->norm);
    return ito_transpose(y, -3, -2);
}

ito_tensor *ito_stft_with(ito_tensor *x, int64_t n_fft, ito_stft_options options)
{
    frames f;
    if (!check_input("stft", x, 1, "[L] or [B, L]") || !resolve("stft", x, n_fft, &options, &f))
        return NULL;
    return COMPOSITE(stft(&f, x));
}

/* Sums of frames [.., T, n_fft] where they overlap: [.., n_fft + hop (T - 1)]. */
static ito_tensor *overlap(const frames *f, ito_tensor *x)
{
    if (x == NULL)
        return NULL;
    int64_t count = x->shape[x->ndim - 2], length = f->n_fft + f->hop * (count - 1);
    ito_tensor *index = frame_index(f, count, 0, length);
    return index == NULL ? NULL
                         : index_add_to_zeros(ito_flatten(x, -2, -1), x->ndim - 2, index, length);
}

/* Whether windows cover every sample. */
static bool covered(const frames *f, ito_tensor *weight)
{
    ito_tensor *w = tensor_contiguous(ito_cast(ito_detach(weight), ITO_F64));
    if (w == NULL)
        return false;
    const double *v = tensor_data(w);
    for (int64_t i = 0; i < ito_numel(w); i++)
        if (!(v[i] > 1e-11))
            return error_false(ITO_ERR_NUMERIC, "%s: windows leave sample %" PRId64 " uncovered",
                               f->op, i);
    return true;
}

/* Frames times the window, added, over the sum of squares of windows. */
static ito_tensor *istft(const frames *f, ito_tensor *x, int64_t wanted)
{
    int64_t count = x->shape[x->ndim - 2], pad = f->center ? f->n_fft / 2 : 0;
    int64_t end = f->n_fft + f->hop * (count - 1) - pad;
    int64_t length = wanted >= 0 && pad + wanted < end + pad ? wanted : end - pad;
    if (length < 1)
        return error_null(ITO_ERR_ARGUMENT, "%s: %" PRId64 " frames leave no sample", f->op, count);
    ito_tensor *half = ito_narrow(x, -3, 0, f->n_fft / 2 + 1), *window = full_window(f, x);
    ito_tensor *y = ito_fft_irfft(ito_transpose(half, -3, -2), .n = f->n_fft, .norm = f->norm);
    ito_tensor *sum = ito_narrow(overlap(f, ito_mul(y, window)), -1, pad, length);
    ito_tensor *squares = ito_expand_to(ito_square(window), ITO_SHAPE(count, f->n_fft));
    ito_tensor *weight = ito_narrow(overlap(f, squares), -1, pad, length);
    if (weight == NULL || !covered(f, weight))
        return NULL;
    y = ito_div(sum, weight);
    return length < wanted ? ito_pad_with(y, 0, ITO_SHAPE(0, wanted - length)) : y;
}

ito_tensor *ito_istft_with(ito_tensor *x, int64_t n_fft, ito_stft_options options)
{
    frames f;
    if (!check_input("istft", x, 3, "[F, T, 2] or [B, F, T, 2]") ||
        !resolve("istft", x, n_fft, &options, &f))
        return NULL;
    int64_t frequencies = f.onesided ? n_fft / 2 + 1 : n_fft;
    if (x->shape[x->ndim - 1] != 2 || x->shape[x->ndim - 3] != frequencies ||
        x->shape[x->ndim - 2] < 1)
        return error_null(ITO_ERR_SHAPE, "istft: %s is not [.., %" PRId64 ", T, 2]",
                          tensor_shape_str(x), frequencies);
    return COMPOSITE(istft(&f, x, options.length));
}

/* ---- windows -----------------------------------------------------------------------------------
 */

/* a - (1 - a) cos(2 pi k / n) */
static ito_tensor *cosine_window(const char *op, int64_t n, double a, ito_dtype dtype)
{
    if (n < 0)
        return error_null(ITO_ERR_ARGUMENT, "%s: %" PRId64 " samples", op, n);
    if (dtype != ITO_F32 && dtype != ITO_F64)
        return error_null(ITO_ERR_DTYPE, "%s: makes f32 or f64, not %s", op, ito_dtype_name(dtype));
    ito_scope_begin();
    ito_tensor *y = tensor_empty(ITO_SHAPE(n), ITO_F64);
    double *v = y == NULL ? NULL : tensor_data(y);
    for (int64_t k = 0; v != NULL && k < n; k++)
        v[k] = n == 1 ? 1 : a - (1 - a) * cos(2 * M_PI * (double)k / (double)n);
    y = ito_keep(ito_cast(y, dtype));
    ito_scope_end();
    return y;
}

ito_tensor *ito_hann_window(int64_t n, ito_dtype dtype)
{
    return cosine_window("hann_window", n, 0.5, dtype);
}

ito_tensor *ito_hamming_window(int64_t n, ito_dtype dtype)
{
    return cosine_window("hamming_window", n, 0.54, dtype);
}
