/* Convolutions and their definition, by plain loops in double; for test_conv*.c. Values are small
 * integers, so that every sum is exact in any order and equality is asked for; fractions serve
 * where bits or rounding are the question. */
#ifndef ITO_TEST_CONV_DATA_H
#define ITO_TEST_CONV_DATA_H

#include "tensor/conv/conv.h"
#include "tensor/convert.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CONV_FN static inline __attribute__((unused))

static uint64_t seed;

CONV_FN int64_t draw(int64_t n) /* in [0, n) */
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((seed >> 33) % (uint64_t)n);
}

CONV_FN double get(ito_dtype dtype, const void *p, int64_t i)
{
    if (dtype == ITO_BF16)
        return (double)bf16_to_f32(((const uint16_t *)p)[i]);
    return dtype == ITO_F64 ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

CONV_FN void *filled(ito_dtype dtype, int64_t n, bool fractions)
{
    void *p = malloc((size_t)(n + 1) * ito_dtype_size(dtype));
    for (int64_t i = 0; i < n; i++) {
        double v = fractions ? (double)(draw(2000001) - 1000000) / 1e6 : (double)(draw(9) - 4);
        if (dtype == ITO_F64)
            ((double *)p)[i] = v;
        else if (dtype == ITO_BF16)
            ((uint16_t *)p)[i] = f32_to_bf16((float)v);
        else
            ((float *)p)[i] = (float)v;
    }
    return p;
}

CONV_FN conv_shape shape_of(int64_t n, int64_t h, int64_t w, int64_t ci, int64_t co, int64_t kernel,
                            int64_t stride, int64_t pad, int64_t dilation, int64_t groups)
{
    int64_t reach = dilation * (kernel - 1) + 1;
    return (conv_shape){.n = n,
                        .h = h,
                        .w = w,
                        .ci = ci,
                        .oh = (h + 2 * pad - reach) / stride + 1,
                        .ow = (w + 2 * pad - reach) / stride + 1,
                        .co = co,
                        .kh = kernel,
                        .kw = kernel,
                        .stride_h = stride,
                        .stride_w = stride,
                        .pad_top = pad,
                        .pad_left = pad,
                        .dilation_h = dilation,
                        .dilation_w = dilation,
                        .groups = groups};
}

CONV_FN int64_t x_numel(const conv_shape *s)
{
    return s->n * s->h * s->w * s->ci;
}

CONV_FN int64_t y_numel(const conv_shape *s)
{
    return s->n * s->oh * s->ow * s->co;
}

CONV_FN int64_t w_numel(const conv_shape *s)
{
    return s->co * s->kh * s->kw * (s->ci / s->groups);
}

/* Calls visit(context, y index, x index, w index) for every product in the definition. */
CONV_FN void each_product(const conv_shape *s, void (*visit)(void *, int64_t, int64_t, int64_t),
                          void *context)
{
    int64_t ci = s->ci / s->groups, co = s->co / s->groups;
    for (int64_t n = 0; n < s->n; n++)
        for (int64_t i = 0; i < s->oh; i++)
            for (int64_t j = 0; j < s->ow; j++)
                for (int64_t o = 0; o < s->co; o++)
                    for (int64_t p = 0; p < s->kh; p++)
                        for (int64_t q = 0; q < s->kw; q++)
                            for (int64_t c = 0; c < ci; c++) {
                                int64_t h = i * s->stride_h + p * s->dilation_h - s->pad_top;
                                int64_t w = j * s->stride_w + q * s->dilation_w - s->pad_left;
                                if (h < 0 || h >= s->h || w < 0 || w >= s->w)
                                    continue;
                                visit(context, ((n * s->oh + i) * s->ow + j) * s->co + o,
                                      ((n * s->h + h) * s->w + w) * s->ci + o / co * ci + c,
                                      ((o * s->kh + p) * s->kw + q) * ci + c);
                            }
}

/* The three results as the definition has them, and the sums of magnitudes behind each element. */
typedef struct reference {
    ito_dtype dtype, parameters;
    const void *x, *w, *dy;
    double *y, *dx, *dw, *y_size, *dx_size, *dw_size;
} reference;

CONV_FN void add_product(void *context, int64_t y, int64_t x, int64_t w)
{
    reference *r = context;
    double xv = get(r->dtype, r->x, x), wv = get(r->parameters, r->w, w),
           dyv = get(r->dtype, r->dy, y);
    r->y[y] += xv * wv;
    r->dx[x] += dyv * wv;
    r->dw[w] += dyv * xv;
    r->y_size[y] += fabs(xv * wv);
    r->dx_size[x] += fabs(dyv * wv);
    r->dw_size[w] += fabs(dyv * xv);
}

/* Operands and results of all three passes. */
typedef struct data {
    ito_dtype dtype, parameters; /* of x, y and their gradients; of all else */
    conv_shape s;
    void *x, *w, *bias, *dy;   /* given */
    void *y, *dx, *dw, *dbias; /* wanted */
} data;

CONV_FN data make(ito_dtype dtype, conv_shape s, bool fractions)
{
    data d = {.dtype = dtype, .parameters = dtype == ITO_BF16 ? ITO_F32 : dtype, .s = s};
    d.x = filled(dtype, x_numel(&s), fractions);
    d.w = filled(d.parameters, w_numel(&s), fractions);
    d.bias = filled(d.parameters, s.co, fractions);
    d.dy = filled(dtype, y_numel(&s), fractions);
    d.y = filled(dtype, y_numel(&s), true); /* garbage, to be overwritten */
    d.dx = filled(dtype, x_numel(&s), true);
    d.dw = filled(d.parameters, w_numel(&s), true);
    d.dbias = filled(d.parameters, s.co, true);
    return d;
}

CONV_FN void release(data *d)
{
    void *all[] = {d->x, d->w, d->bias, d->dy, d->y, d->dx, d->dw, d->dbias};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

CONV_FN void run(data *d)
{
    const conv_shape *s = &d->s;
    conv_addends e = {.bias = d->bias};
    cr_assert_eq(conv2d_forward(d->dtype, d->y, d->x, d->w, &e, s), ITO_OK);
    cr_assert_eq(conv2d_backward_data(d->dtype, d->dx, d->dy, d->w, s), ITO_OK);
    cr_assert_eq(conv2d_backward_weight(d->dtype, d->dw, d->x, d->dy, s), ITO_OK);
    cr_assert_eq(conv2d_backward_addends(d->dtype, d->dbias, NULL, d->dy, s), ITO_OK);
}

/* In bf16 the sum is rounded once: equality is with the rounded sum. */
CONV_FN void compare(const data *d, ito_dtype dtype, const char *what, const void *got,
                     const double *exact, const double *size, int64_t n, double tolerance)
{
    const conv_shape *s = &d->s;
    for (int64_t i = 0; i < n; i++) {
        double want =
            dtype == ITO_BF16 ? (double)bf16_to_f32(f32_to_bf16((float)exact[i])) : exact[i];
        cr_assert(
            fabs(get(dtype, got, i) - want) <= tolerance * size[i],
            "%s %s[%d] = %.9g, not %.9g: n%d %dx%dx%d -> %dx%dx%d, kernel %dx%d, stride %d %d, "
            "pad %d %d, dilation %d %d, groups %d",
            ito_dtype_name(dtype), what, (int)i, get(dtype, got, i), want, (int)s->n, (int)s->h,
            (int)s->w, (int)s->ci, (int)s->oh, (int)s->ow, (int)s->co, (int)s->kh, (int)s->kw,
            (int)s->stride_h, (int)s->stride_w, (int)s->pad_top, (int)s->pad_left,
            (int)s->dilation_h, (int)s->dilation_w, (int)s->groups);
    }
}

CONV_FN double *zeros(int64_t n)
{
    return calloc((size_t)n + 1, sizeof(double));
}

/* All three passes within tolerance * magnitude of the definition. */
CONV_FN void check_within(ito_dtype dtype, conv_shape s, bool fractions, double tolerance)
{
    data d = make(dtype, s, fractions);
    reference r = {.dtype = dtype, .parameters = d.parameters, .x = d.x, .w = d.w, .dy = d.dy};
    r.y = zeros(y_numel(&s));
    r.y_size = zeros(y_numel(&s));
    r.dx = zeros(x_numel(&s));
    r.dx_size = zeros(x_numel(&s));
    r.dw = zeros(w_numel(&s));
    r.dw_size = zeros(w_numel(&s));
    double *dbias = zeros(s.co), *dbias_size = zeros(s.co);
    each_product(&s, add_product, &r);
    for (int64_t i = 0; i < y_numel(&s); i++) {
        r.y[i] += get(d.parameters, d.bias, i % s.co);
        r.y_size[i] += fabs(get(d.parameters, d.bias, i % s.co));
        dbias[i % s.co] += get(dtype, d.dy, i);
        dbias_size[i % s.co] += fabs(get(dtype, d.dy, i));
    }
    run(&d);
    compare(&d, dtype, "y", d.y, r.y, r.y_size, y_numel(&s), tolerance);
    compare(&d, dtype, "dx", d.dx, r.dx, r.dx_size, x_numel(&s), tolerance);
    compare(&d, d.parameters, "dw", d.dw, r.dw, r.dw_size, w_numel(&s), tolerance);
    compare(&d, d.parameters, "dbias", d.dbias, dbias, dbias_size, s.co, tolerance);
    double *mine[] = {r.y, r.y_size, r.dx, r.dx_size, r.dw, r.dw_size, dbias, dbias_size};
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
        free(mine[i]);
    release(&d);
}

/* The same operands, with results of their own. */
CONV_FN data again(const data *d)
{
    data other = *d;
    other.y = filled(d->dtype, y_numel(&d->s), true);
    other.dx = filled(d->dtype, x_numel(&d->s), true);
    other.dw = filled(d->parameters, w_numel(&d->s), true);
    other.dbias = filled(d->parameters, d->s.co, true);
    return other;
}

CONV_FN void release_results(data *d)
{
    void *all[] = {d->y, d->dx, d->dw, d->dbias};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

CONV_FN void assert_same_bits(const data *a, const data *b)
{
    const conv_shape *s = &a->s;
    size_t size = ito_dtype_size(a->dtype), real = ito_dtype_size(a->parameters);
    cr_assert_eq(memcmp(a->y, b->y, (size_t)y_numel(s) * size), 0, "y");
    cr_assert_eq(memcmp(a->dx, b->dx, (size_t)x_numel(s) * size), 0, "dx");
    cr_assert_eq(memcmp(a->dw, b->dw, (size_t)w_numel(s) * real), 0, "dw");
    cr_assert_eq(memcmp(a->dbias, b->dbias, (size_t)s->co * real), 0, "dbias");
}

/* The same bits for 1, 2 and 7 threads. */
CONV_FN void check_threads(ito_dtype dtype, conv_shape s)
{
    data one = make(dtype, s, true), many = again(&one);
    cr_assert_eq(ito_set_threads(1), ITO_OK);
    run(&one);
    for (int threads = 2; threads <= 7; threads += 5) {
        cr_assert_eq(ito_set_threads(threads), ITO_OK);
        run(&many);
        assert_same_bits(&one, &many);
    }
    release_results(&many);
    release(&one);
}

/* y and dx of each image have the same bits alone as in the batch. */
CONV_FN void check_alone(ito_dtype dtype, conv_shape s)
{
    conv_shape single = s;
    single.n = 1;
    size_t size = ito_dtype_size(dtype);
    size_t x_bytes = (size_t)x_numel(&single) * size, y_bytes = (size_t)y_numel(&single) * size;
    data d = make(dtype, s, true);
    run(&d);
    char *y = filled(dtype, y_numel(&single), true), *dx = filled(dtype, x_numel(&single), true);
    for (size_t j = 0; j < (size_t)s.n; j++) {
        conv_addends e = {.bias = d.bias};
        cr_assert_eq(conv2d_forward(dtype, y, (char *)d.x + j * x_bytes, d.w, &e, &single), ITO_OK);
        cr_assert_eq(conv2d_backward_data(dtype, dx, (char *)d.dy + j * y_bytes, d.w, &single),
                     ITO_OK);
        cr_assert_eq(memcmp(y, (char *)d.y + j * y_bytes, y_bytes), 0, "y of image %d", (int)j);
        cr_assert_eq(memcmp(dx, (char *)d.dx + j * x_bytes, x_bytes), 0, "dx of image %d", (int)j);
    }
    free(y);
    free(dx);
    release(&d);
}

#endif
