/* The short exponentials that activations and softmax live on (kernels/vec_math.h), against double,
 * over the whole range of floats: each instruction set, each exponent. */
#include "tensor/convert.h"
#include "tensor/internal.h"
#include "tensor/kernels/kernels.h"
#include "tests/isas.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { CHUNK = 4096, STEP = 3001 };

/* Below it a result may be 0: an exponential counts as 0 from 2^-126.5 down and as infinite from
 * 2^127.5 up, and silu multiplies that by up to 89. */
static const double TINY = 0x1p-120;

/* y of x, by a kernel. */
typedef void computed(const kernel_table *k, float *y, const float *x);

typedef struct function {
    const char *name;
    computed *y;
    double (*truth)(double x), (*size)(double x); /* size: of the terms that truth is a sum of */
    double ulps;                                  /* of size */
} function;

static float zeros[CHUNK], ones[CHUNK], sums[2 * CHUNK];

static void sigmoid_of(const kernel_table *k, float *y, const float *x)
{
    k->sigmoid(y, x, 1, CHUNK, 0, 0);
}

static void silu_of(const kernel_table *k, float *y, const float *x)
{
    k->silu(y, x, 1, CHUNK, 0, 0);
}

static void silu_slope_of(const kernel_table *k, float *y, const float *x)
{
    k->silu_backward(y, x, 1, ones, 1, CHUNK, 0, 0);
}

/* A norm with lines that change nothing hands its input to silu. */
static void norm_silu_of(const kernel_table *k, float *y, const float *x)
{
    k->group_norm_apply(y, x, 1, CHUNK, zeros, ones, zeros, true);
}

static void norm_silu_slope_of(const kernel_table *k, float *y, const float *x)
{
    k->group_norm_silu_sums(sums, y, x, ones, 1, CHUNK, zeros, ones, zeros);
}

/* dx_0 = dy_0 - exp(y_0) (dy_0 + dy_1) of rows (y_0, y_1) = (x, 0), with dy = (0, -1). */
static void exp_of(const kernel_table *k, float *y, const float *x)
{
    static float rows[2 * CHUNK], dy[2 * CHUNK], dx[2 * CHUNK];
    for (int i = 0; i < CHUNK; i++) {
        rows[2 * i] = x[i];
        dy[2 * i + 1] = -1;
    }
    k->log_softmax_backward(dx, rows, dy, CHUNK, 2);
    for (int i = 0; i < CHUNK; i++)
        y[i] = dx[2 * i];
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static double silu_slope(double x)
{
    return sigmoid(x) * (1 + x * sigmoid(-x));
}

static double silu_slope_size(double x)
{
    return sigmoid(x) * (1 + fabs(x) * sigmoid(-x));
}

/* A division and the sum below it, half a unit each, beside exp's 1.2 and the change of binade; a
 * slope has 1 - s in it, of which |x| <= 17 times 2^-25 remains where s is close to 1. */
static const function functions[] = {
    {"exp", exp_of, exp, exp, 1.2},
    {"sigmoid", sigmoid_of, sigmoid, sigmoid, 3},
    {"silu", silu_of, silu, silu, 3},
    {"silu'", silu_slope_of, silu_slope, silu_slope_size, 13},
    {"silu of a norm", norm_silu_of, silu, silu, 3},
    {"silu' of a norm", norm_silu_slope_of, silu_slope, silu_slope_size, 13},
};

static bool is_fine(const function *f, double x, double got)
{
    double truth = f->truth(x), size = fabs(f->size(x));
    if (isnan(truth))
        return isnan(got);
    if (isinf(got) || isinf(truth))
        return (double)(float)truth == got || (isinf(got) && truth > 0x1p127);
    double ulp = ldexp(1, ilogb(size) - 23);
    return fabs(got - truth) <= (size < TINY ? TINY : f->ulps * ulp);
}

static void holds_everywhere(const function *f)
{
    float x[CHUNK], y[CHUNK];
    for (uint64_t first = 0; first < 1ull << 32; first += (uint64_t)STEP * CHUNK) {
        for (uint64_t i = 0; i < CHUNK; i++)
            x[i] = bits_float((uint32_t)(first + i * STEP));
        f->y(kernels(ITO_F32), y, x);
        for (int i = 0; i < CHUNK; i++)
            cr_assert(is_fine(f, (double)x[i], (double)y[i]), "%s: %s(%a) is %a, not %a", ito_isa(),
                      f->name, (double)x[i], (double)y[i], f->truth((double)x[i]));
    }
}

Test(exponentials, are_close_to_the_truth_at_every_exponent)
{
    for (int i = 0; i < CHUNK; i++)
        ones[i] = 1;
    for (int k = 0; k < ISAS; k++)
        for (size_t i = 0; i < sizeof functions / sizeof *functions && isa_use(isas[k]); i++)
            holds_everywhere(&functions[i]);
}

/* Masked scores have no weight at all, and an element's bits do not depend on the row's length, be
 * it taken four vectors at a time or one. */
Test(exponentials, minus_infinity_has_no_weight)
{
    float x[100], y[100], short_y[100];
    for (int i = 0; i < 100; i++)
        x[i] = i % 3 == 0 ? -HUGE_VALF : (float)(i % 7);
    kernels(ITO_F32)->softmax(y, x, 1, 100, 1, NULL, NULL);
    double sum = 0;
    for (int i = 0; i < 100; i++) {
        cr_assert(i % 3 != 0 || y[i] == 0, "y[%d] is %a", i, (double)y[i]);
        sum += (double)y[i];
    }
    cr_assert_float_eq(sum, 1, 1e-6);
    for (int n = 1; n <= 100; n++) {
        float peak, inverse, again[100];
        kernels(ITO_F32)->softmax(short_y, x, 1, n, 1, &peak, &inverse);
        kernels(ITO_F32)->softmax_recompute(again, x, 1, n, 1, &peak, &inverse);
        cr_assert(n < 2 || memcmp(short_y, again, (size_t)n * sizeof *again) == 0, "%d in a row",
                  n);
    }
}
