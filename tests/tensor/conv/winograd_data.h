/* Convolutions for test_winograd*.c: operands with fractions, and all passes by way of Winograd, on
 * images in f32 or bf16. Everything is kept in f32: what goes through bf16 is rounded where it
 * enters and widened where it leaves. */
#ifndef ITO_TEST_WINOGRAD_DATA_H
#define ITO_TEST_WINOGRAD_DATA_H

#include "tensor/conv/winograd.h"
#include "tensor/convert.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WINOGRAD_FN static inline __attribute__((unused))

/* The transforms multiply rounding errors: with points up to 2, about 2e-6 of the result's
 * root-mean-square in measurements, which grow slowly with the number of channels. */
#define RMS_TOLERANCE 1e-5

static uint64_t seed;

WINOGRAD_FN float *filled(int64_t n) /* uniform in [-1, 1) */
{
    float *p = malloc((size_t)(n + 1) * sizeof *p);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        p[i] = (float)(seed >> 40) / (float)(1 << 23) - 1.0f;
    }
    return p;
}

WINOGRAD_FN conv_shape shape_of(int64_t n, int64_t h, int64_t w, int64_t ci, int64_t co,
                                int64_t pad)
{
    return (conv_shape){.n = n,
                        .h = h,
                        .w = w,
                        .ci = ci,
                        .oh = h + 2 * pad - 2,
                        .ow = w + 2 * pad - 2,
                        .co = co,
                        .kh = 3,
                        .kw = 3,
                        .stride_h = 1,
                        .stride_w = 1,
                        .pad_top = pad,
                        .pad_left = pad,
                        .dilation_h = 1,
                        .dilation_w = 1,
                        .groups = 1};
}

WINOGRAD_FN int64_t x_numel(const conv_shape *s)
{
    return s->n * s->h * s->w * s->ci;
}

WINOGRAD_FN int64_t y_numel(const conv_shape *s)
{
    return s->n * s->oh * s->ow * s->co;
}

WINOGRAD_FN int64_t w_numel(const conv_shape *s)
{
    return s->co * 9 * s->ci;
}

typedef struct data {
    conv_shape s;
    float *x, *w, *bias, *dy; /* given */
    float *y, *dx, *dw;       /* wanted */
} data;

WINOGRAD_FN data make(conv_shape s)
{
    return (data){s,
                  filled(x_numel(&s)),
                  filled(w_numel(&s)),
                  filled(s.co),
                  filled(y_numel(&s)),
                  filled(y_numel(&s)),
                  filled(x_numel(&s)),
                  filled(w_numel(&s))};
}

WINOGRAD_FN void release(data *d)
{
    float *all[] = {d->x, d->w, d->bias, d->dy, d->y, d->dx, d->dw};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

WINOGRAD_FN uint16_t *narrow(float *p, int64_t n) /* rounds p too */
{
    uint16_t *q = malloc((size_t)(n + 1) * sizeof *q);
    for (int64_t i = 0; i < n; i++) {
        q[i] = f32_to_bf16(p[i]);
        p[i] = bf16_to_f32(q[i]);
    }
    return q;
}

WINOGRAD_FN void widen(float *p, uint16_t *q, int64_t n) /* frees q */
{
    for (int64_t i = 0; i < n; i++)
        p[i] = bf16_to_f32(q[i]);
    free(q);
}

/* Forward, with what is added; with images in bf16, d's and add are rounded and the result widened.
 */
WINOGRAD_FN void forward(ito_dtype dtype, data *d, const float *bias, float *add, bool per_image)
{
    const conv_shape *s = &d->s;
    conv_addends e = {bias, add, per_image};
    if (dtype == ITO_F32) {
        cr_assert_eq(winograd_forward(ITO_F32, d->y, d->x, d->w, &e, s), ITO_OK);
        return;
    }
    uint16_t *x = narrow(d->x, x_numel(s)), *y = narrow(d->y, y_numel(s));
    uint16_t *rounded = add != NULL ? narrow(add, per_image ? s->n * s->co : y_numel(s)) : NULL;
    e.add = rounded;
    cr_assert_eq(winograd_forward(ITO_BF16, y, x, d->w, &e, s), ITO_OK);
    widen(d->y, y, y_numel(s));
    free(x);
    free(rounded);
}

/* All passes; with images in bf16, d's are rounded and its results widened. */
WINOGRAD_FN void run(ito_dtype dtype, data *d)
{
    const conv_shape *s = &d->s;
    forward(dtype, d, d->bias, NULL, false);
    if (dtype == ITO_F32) {
        cr_assert_eq(winograd_backward_data(ITO_F32, d->dx, d->dy, d->w, s), ITO_OK);
        cr_assert_eq(winograd_backward_weight(ITO_F32, d->dw, d->x, d->dy, s), ITO_OK);
        return;
    }
    uint16_t *x = narrow(d->x, x_numel(s)), *dy = narrow(d->dy, y_numel(s));
    uint16_t *dx = narrow(d->dx, x_numel(s));
    cr_assert_eq(winograd_backward_data(ITO_BF16, dx, dy, d->w, s), ITO_OK);
    cr_assert_eq(winograd_backward_weight(ITO_BF16, d->dw, x, dy, s), ITO_OK);
    widen(d->dx, dx, x_numel(s));
    free(x);
    free(dy);
}

WINOGRAD_FN bool same(const float *a, const float *b, int64_t n)
{
    return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

/* The given of d, and results of its own. */
WINOGRAD_FN data again(const data *d)
{
    data e = *d;
    e.y = filled(y_numel(&d->s));
    e.dx = filled(x_numel(&d->s));
    e.dw = filled(w_numel(&d->s));
    return e;
}

WINOGRAD_FN void release_results(data *d)
{
    free(d->y);
    free(d->dx);
    free(d->dw);
}

WINOGRAD_FN double dot(const float *a, const float *b, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

#endif
