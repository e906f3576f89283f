/* Random matrix products and what they should be, by a plain double loop; for test_gemm*.c.
 *
 * Operands are small integers wherever values are compared: every product and sum is exact then, in
 * any order, so equality is asked for. Operands with fractions serve where bits or rounding are the
 * question. */
#ifndef ITO_TEST_GEMM_DATA_H
#define ITO_TEST_GEMM_DATA_H

#include "tensor/convert.h"
#include "tensor/gemm/gemm_blocks.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GEMM_FN static inline __attribute__((unused))

static uint64_t seed;

GEMM_FN int64_t draw(int64_t n) /* in [0, n) */
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((seed >> 33) % (uint64_t)n);
}

GEMM_FN double get(ito_dtype dtype, const void *p, int64_t i)
{
    if (dtype == ITO_BF16)
        return (double)bf16_to_f32(((const uint16_t *)p)[i]);
    return dtype == ITO_F64 ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

GEMM_FN void set(ito_dtype dtype, void *p, int64_t i, double value)
{
    if (dtype == ITO_F64)
        ((double *)p)[i] = value;
    else if (dtype == ITO_BF16)
        ((uint16_t *)p)[i] = f32_to_bf16((float)value);
    else
        ((float *)p)[i] = (float)value;
}

GEMM_FN void *integers(ito_dtype dtype, int64_t n)
{
    void *p = malloc((size_t)(n + 1) * ito_dtype_size(dtype));
    for (int64_t i = 0; i < n; i++)
        set(dtype, p, i, (double)(draw(9) - 4));
    return p;
}

GEMM_FN void *fractions(ito_dtype dtype, int64_t n)
{
    void *p = malloc((size_t)(n + 1) * ito_dtype_size(dtype));
    for (int64_t i = 0; i < n; i++)
        set(dtype, p, i, (double)(draw(2000001) - 1000000) / 1e6);
    return p;
}

/* A problem and the memory behind it. */
typedef struct data {
    gemm_problem p;
    void *a, *b, *c, *bias;
    int64_t c_numel;
} data;

typedef struct options {
    bool a_t, b_t, strided, bias, accumulate, share_b;
    int64_t batch;
} options;

GEMM_FN ito_dtype bias_dtype(const gemm_problem *p)
{
    return p->c_dtype == ITO_F64 ? ITO_F64 : ITO_F32;
}

/* types: of A, B and C. */
GEMM_FN data make_mixed(const ito_dtype types[3], int64_t m, int64_t n, int64_t k, options o,
                        void *(*fill)(ito_dtype, int64_t))
{
    int64_t step = o.strided ? 3 : 1, batch = o.batch > 0 ? o.batch : 1;
    data d = {0};
    d.p = (gemm_problem){.a_dtype = types[0],
                         .b_dtype = types[1],
                         .c_dtype = types[2],
                         .m = m,
                         .n = n,
                         .k = k,
                         .accumulate = o.accumulate,
                         .batch = o.batch};
    d.p.a_row = o.a_t ? step : k * step + (o.strided ? 2 : 0);
    d.p.a_col = o.a_t ? m * step + (o.strided ? 1 : 0) : step;
    d.p.b_row = o.b_t ? step : n * step + (o.strided ? 1 : 0);
    d.p.b_col = o.b_t ? k * step + (o.strided ? 2 : 0) : step;
    d.p.c_row = n + (o.strided ? 5 : 0);
    d.p.a_batch = m * d.p.a_row + k * d.p.a_col;
    d.p.b_batch = o.share_b ? 0 : k * d.p.b_row + n * d.p.b_col;
    d.p.c_batch = m * d.p.c_row;
    if (!o.strided && !o.a_t)
        d.p.a_batch = m * k; /* dense, as tensors are */
    d.c_numel = batch * d.p.c_batch;
    d.a = fill(types[0], batch * d.p.a_batch + m * d.p.a_row + k * d.p.a_col);
    d.b = fill(types[1], batch * d.p.b_batch + k * d.p.b_row + n * d.p.b_col);
    d.c = fill(types[2], d.c_numel);
    d.bias = o.bias ? fill(bias_dtype(&d.p), n) : NULL;
    d.p.a = d.a;
    d.p.b = d.b;
    d.p.c = d.c;
    d.p.bias = d.bias;
    return d;
}

GEMM_FN data make(ito_dtype dtype, int64_t m, int64_t n, int64_t k, options o,
                  void *(*fill)(ito_dtype, int64_t))
{
    return make_mixed((ito_dtype[]){dtype, dtype, dtype}, m, n, k, o, fill);
}

GEMM_FN void release(data *d)
{
    free(d->a);
    free(d->b);
    free(d->c);
    free(d->bias);
}

GEMM_FN void *copy_of(const data *d)
{
    size_t bytes = (size_t)d->c_numel * ito_dtype_size(d->p.c_dtype);
    void *p = malloc(bytes + 1);
    memcpy(p, d->c, bytes);
    return p;
}

/* What element (t, i, j) should be, and the sum of the magnitudes that went into it. */
GEMM_FN double expected(const data *d, const void *before, int64_t t, int64_t i, int64_t j,
                        double *magnitude)
{
    const gemm_problem *p = &d->p;
    double sum = 0.0, sizes = 0.0;
    for (int64_t q = 0; q < p->k; q++) {
        double product = get(p->a_dtype, p->a, t * p->a_batch + i * p->a_row + q * p->a_col) *
                         get(p->b_dtype, p->b, t * p->b_batch + q * p->b_row + j * p->b_col);
        sum += product;
        sizes += fabs(product);
    }
    double old = get(p->c_dtype, before, t * p->c_batch + i * p->c_row + j);
    double bias = p->bias != NULL ? get(bias_dtype(p), p->bias, j) : 0.0;
    *magnitude = sizes + fabs(old) + fabs(bias);
    return sum + (p->accumulate ? old : 0.0) + bias;
}

/* How gemm cuts the product, with the threads in force. */
GEMM_FN gemm_plan plan_of(const data *d)
{
    const gemm_problem *q = &d->p;
    gemm_matrix a = {q->a_dtype, q->a, q->a_row, q->a_col, q->a_batch};
    gemm_matrix b = {q->b_dtype, q->b, q->b_col, q->b_row, q->b_batch};
    gemm_blocks p = {.a_dtype = q->a_dtype,
                     .b_dtype = q->b_dtype,
                     .c_dtype = q->c_dtype,
                     .way = q->way,
                     .items = q->batch > 0 ? q->batch : 1,
                     .m = q->m,
                     .n = q->n,
                     .k = q->k,
                     .a = {.pack = gemm_pack_matrix, .source = &a},
                     .b = {.pack = gemm_pack_matrix, .source = &b}};
    gemm_blocks_plan(&p);
    return p.plan;
}

/* Of an item. */
GEMM_FN int64_t rounds_of(const data *d)
{
    gemm_plan q = plan_of(d);
    return ceil_div(q.share_a ? d->p.m : d->p.n, q.span) * ceil_div(q.depths, q.group);
}

/* What one thread makes of d; 2, 3, 5 and 7 threads must make the same bits of it. */
GEMM_FN void *check_threads(data *d)
{
    static const int threads[] = {1, 2, 3, 5, 7};
    size_t bytes = (size_t)d->c_numel * ito_dtype_size(d->p.c_dtype);
    void *one = NULL;
    for (int t = 0; t < 5; t++) {
        memset(d->c, 0x55, bytes);
        cr_assert_eq(ito_set_threads(threads[t]), ITO_OK);
        cr_assert_eq(gemm(&d->p), ITO_OK);
        one = t == 0 ? copy_of(d) : one;
        cr_assert_eq(memcmp(one, d->c, bytes), 0, "%d threads", threads[t]);
    }
    return one;
}

/* To 8 significant bits, ties to even. */
GEMM_FN double rounded_to_bf16(double x)
{
    int exponent;
    double fraction = frexp(x, &exponent);
    return ldexp(nearbyint(ldexp(fraction, 8)), exponent - 8);
}

/* Runs d; each element must be within tolerance * its magnitude, gaps between rows untouched. An
 * element of a bf16 C is rounded once: exactly if tolerance is 0, else by half a unit in the last
 * of 8 bits. */
GEMM_FN void check(data *d, double tolerance, const char *what)
{
    void *before = copy_of(d);
    cr_assert_eq(gemm(&d->p), ITO_OK);
    const gemm_problem *p = &d->p;
    int64_t batch = p->batch > 0 ? p->batch : 1;
    for (int64_t t = 0; t < batch; t++)
        for (int64_t i = 0; i < p->m; i++)
            for (int64_t j = 0; j < p->c_row; j++) {
                int64_t at = t * p->c_batch + i * p->c_row + j;
                double got = get(p->c_dtype, p->c, at), magnitude = 0.0;
                double want = j < p->n ? expected(d, before, t, i, j, &magnitude)
                                       : get(p->c_dtype, before, at);
                double allowed = tolerance * magnitude;
                if (p->c_dtype == ITO_BF16 && tolerance > 0.0 && j < p->n)
                    allowed += 0x1p-8 * fabs(want);
                else if (p->c_dtype == ITO_BF16)
                    want = rounded_to_bf16(want);
                cr_assert(fabs(got - want) <= allowed,
                          "%s: %s %dx%dx%d at (%d, %d, %d): %.9g, not %.9g", what,
                          ito_dtype_name(p->c_dtype), (int)p->m, (int)p->n, (int)p->k, (int)t,
                          (int)i, (int)j, got, want);
            }
    free(before);
}

#endif
