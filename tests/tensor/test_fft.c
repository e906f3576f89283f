/* Fourier transforms against the sums that define them, in long double. */
#include "tensor/fft.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { ROWS = 11, LONGEST = 1024 }; /* more rows than are worked on at once */

/* Every radix, odd and even lengths, powers, and primes that take Bluestein's way. */
static const int64_t lengths[] = {1,  2,  3,   4,   5,   6,   7,   8,   9,   10,   11,   12,
                                  13, 15, 16,  25,  29,  30,  31,  32,  36,  37,   49,   64,
                                  74, 97, 100, 111, 128, 243, 256, 360, 625, 1000, 1021, 1024};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

static ito_shape shape_of(bool is_complex, int64_t n)
{
    return is_complex ? ITO_SHAPE(ROWS, n, 2) : ITO_SHAPE(ROWS, n);
}

/* What comes in for (j) of a row, as complex numbers: half a spectrum is mirrored. */
static void input(const double *x, const fft_call *c, int64_t row, int64_t j, double out[2])
{
    int64_t half = c->n / 2 + 1, k = 2 * j > c->n ? c->n - j : j;
    if (c->kind == FFT_REAL) {
        out[0] = x[row * c->n + j];
        out[1] = 0;
    } else if (c->kind == FFT_COMPLEX) {
        memcpy(out, x + 2 * (row * c->n + j), 2 * sizeof *out);
    } else {
        out[0] = x[2 * (row * half + k)];
        out[1] = k == 0 || 2 * k == c->n ? 0 : (j == k ? 1 : -1) * x[2 * (row * half + k) + 1];
    }
}

static void direct(const double *x, const fft_call *c, int64_t row, int64_t k, long double sum[2])
{
    bool positive = c->inverse || c->kind == FFT_REAL_INVERSE;
    sum[0] = sum[1] = 0;
    for (int64_t j = 0; j < c->n; j++) {
        double number[2];
        input(x, c, row, j, number);
        long double z[2] = {(long double)number[0], (long double)number[1]};
        long double angle = 2 * acosl(-1) * (long double)(j * k % c->n) / (long double)c->n;
        long double re = cosl(angle), im = (positive ? 1 : -1) * sinl(angle);
        sum[0] += z[0] * re - z[1] * im;
        sum[1] += z[0] * im + z[1] * re;
    }
}

/* |y - sums| / |sums| over some rows. */
static double relative_error(const ito_tensor *x, const ito_tensor *y, const fft_call *c)
{
    static double in[2 * ROWS * LONGEST], got[2 * ROWS * LONGEST];
    cr_assert(ito_to_data(x, in, ITO_F64) == ITO_OK && ito_to_data(y, got, ITO_F64) == ITO_OK);
    int64_t count = c->kind == FFT_REAL ? c->n / 2 + 1 : c->n;
    int parts = c->kind == FFT_REAL_INVERSE ? 1 : 2;
    long double error = 0, size = 0;
    for (int64_t row = 0; row < ROWS; row += 5)
        for (int64_t k = 0; k < count; k++) {
            long double want[2];
            direct(in, c, row, k, want);
            for (int i = 0; i < parts; i++) {
                long double w = want[i] * (long double)c->scale;
                long double d = (long double)got[parts * (row * count + k) + i] - w;
                error += d * d;
                size += w * w;
            }
        }
    return (double)sqrtl(error / size);
}

static ito_tensor *run(const ito_tensor *x, const fft_call *c)
{
    int64_t n = c->kind == FFT_REAL ? c->n / 2 + 1 : c->n;
    ito_tensor *y = ito_empty(shape_of(c->kind != FFT_REAL_INVERSE, n), x->dtype);
    cr_assert(fft(y, x, c), "%s", ito_error());
    return y;
}

static ito_tensor *random_input(const fft_call *c, ito_dtype dtype)
{
    ito_generator g = ito_generator_make(20, (uint64_t)c->n);
    int64_t n = c->kind == FFT_REAL_INVERSE ? c->n / 2 + 1 : c->n;
    return ito_randn(&g, shape_of(c->kind != FFT_REAL, n), dtype);
}

/* Errors of the passes add up like a random walk: well below one rounding for each halving. */
static void check_accuracy(ito_dtype dtype, double per_halving)
{
    for (int i = 0; i < LENGTHS; i++)
        for (int kind = 0; kind < 4; kind++) {
            fft_call c = {.kind = kind == 3 ? FFT_COMPLEX : (fft_kind)kind,
                          .axis = 1,
                          .n = lengths[i],
                          .inverse = kind == 3,
                          .scale = 0.5};
            ito_scope_begin();
            ito_tensor *x = random_input(&c, dtype);
            double error = relative_error(x, run(x, &c), &c),
                   bound = per_halving * log2((double)c.n + 1);
            cr_assert_leq(error, bound, "%d of %d: %g", kind, (int)c.n, error);
            ito_scope_end();
        }
}

Test(fft, is_accurate_in_f64)
{
    check_accuracy(ITO_F64, 2e-16);
}

Test(fft, is_accurate_in_f32)
{
    check_accuracy(ITO_F32, 1e-7);
}

/* By passes of several radices, by Bluestein, by passes of one. */
Test(fft, does_not_depend_on_threads_or_neighbours)
{
    int before = ito_threads();
    static const int64_t n[] = {360, 1021, 1024};
    for (int i = 0; i < 3; i++) {
        fft_call c = {.axis = 1, .n = n[i], .scale = 1};
        ito_tensor *x = random_input(&c, ITO_F32);
        ito_set_threads(1);
        ito_tensor *y = run(x, &c);
        ito_set_threads(5);
        ito_tensor *z = run(x, &c), *alone = ito_empty(ITO_SHAPE(1, c.n, 2), ITO_F32);
        size_t row = (size_t)(2 * c.n) * sizeof(float);
        cr_assert_eq(memcmp(ito_data(y), ito_data(z), ROWS * row), 0, "threads");
        ito_tensor *last = tensor_view(x, ITO_SHAPE(1, c.n, 2), x->stride, (ROWS - 1) * 2 * c.n);
        cr_assert(fft(alone, last, &c), "%s", ito_error());
        cr_assert_eq(memcmp(ito_data(alone), (char *)ito_data(y) + (ROWS - 1) * row, row), 0,
                     "alone");
    }
    ito_set_threads(before);
}

/* Any axis, any strides: the transpose of the transform of the transpose. */
Test(fft, takes_strides)
{
    fft_call c = {.axis = 1, .n = 12, .scale = 1}, down = {.axis = 0, .n = 12, .scale = 1};
    ito_tensor *x = random_input(&c, ITO_F64), *y = run(x, &c);
    int64_t stride[] = {2, 24, 1};
    ito_tensor *turned = tensor_view(x, ITO_SHAPE(12, ROWS, 2), stride, 0);
    ito_tensor *z = ito_empty(ITO_SHAPE(12, ROWS, 2), ITO_F64);
    cr_assert(fft(z, turned, &down), "%s", ito_error());
    const double *a = ito_const_data(y), *b = ito_const_data(z);
    for (int64_t k = 0; k < 12; k++)
        for (int64_t row = 0; row < ROWS; row++)
            for (int i = 0; i < 2; i++)
                cr_assert_eq(a[2 * (row * 12 + k) + i], b[2 * (k * ROWS + row) + i]);
}

Test(fft, fails_without_memory)
{
    fft_call c = {.axis = 1, .n = 16, .scale = 1};
    ito_tensor *x = random_input(&c, ITO_F64), *y = ito_empty_like(x);
    ito_memory_fail_nth(1);
    cr_assert_not(fft(y, x, &c));
    ito_memory_fail_nth(0);
    cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
}
