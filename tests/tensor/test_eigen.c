/* The symmetric eigen-solver: closed forms, residuals and orthogonality of random matrices, special
 * ones, and that results do not depend on threads. Bounds are the usual ones of backward stability:
 * p(n) eps times the norm, with p(n) = 8 n for sizes of this order. */
#include "tensor/eigen.h"

#include "tensor/runtime.h"
#include "tensor/tensor.h"
#include "tests/reference/formula.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#define BOUND(n) (8.0 * (double)(n)*DBL_EPSILON)

static double *matrix(int64_t n)
{
    return calloc((size_t)(n * n + 1), sizeof(double));
}

static double *copy_of(const double *a, int64_t n)
{
    double *b = matrix(n);
    memcpy(b, a, (size_t)(n * n) * sizeof *a);
    return b;
}

static double *random_symmetric(int64_t n, uint32_t stream)
{
    double *a = matrix(n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++)
            a[i * n + j] = a[j * n + i] = (double)formula_uniform(stream, (uint32_t)(i * n + j));
    return a;
}

static double norm_of(const double *a, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n * n; i++)
        sum += a[i] * a[i];
    return sqrt(sum);
}

/* Each vector has unit length and a right angle to the others, A v = value v, values rise. */
static void is_decomposition(const double *a, int64_t n, const double *values, const double *v)
{
    double norm = norm_of(a, n);
    for (int64_t i = 0; i < n; i++) {
        cr_assert(i == 0 || values[i - 1] <= values[i]);
        for (int64_t j = 0; j < n; j++) {
            double product = 0, image = 0;
            for (int64_t k = 0; k < n; k++) {
                product += v[i * n + k] * v[j * n + k];
                image += a[j * n + k] * v[i * n + k];
            }
            cr_assert_float_eq(product, i == j ? 1.0 : 0.0, BOUND(n), "vectors %d, %d: %g", (int)i,
                               (int)j, product);
            cr_assert_leq(fabs(image - values[i] * v[i * n + j]), BOUND(n) * norm, "value %d of %d",
                          (int)i, (int)n);
        }
    }
}

/* Decomposes a, checks it, and that the values are the same without vectors. Frees a. */
static void check(double *a, int64_t n)
{
    double *work = copy_of(a, n), *v = matrix(n), *values = matrix(n), *alone = matrix(n);
    cr_assert_eq(symmetric_eigen(work, n, values, v), ITO_OK, "%s", ito_error());
    is_decomposition(a, n, values, v);
    memcpy(work, a, (size_t)(n * n) * sizeof *a);
    cr_assert_eq(symmetric_eigen(work, n, alone, NULL), ITO_OK);
    for (int64_t i = 0; i < n; i++)
        cr_assert_eq(alone[i], values[i]);
    free(work);
    free(v);
    free(values);
    free(alone);
    free(a);
}

Test(eigen, second_differences_have_their_known_values)
{
    /* 2 on the diagonal, -1 beside it: 2 - 2 cos(k pi / (n + 1)), k = 1 .. n. */
    enum { N = 50 };
    double *a = matrix(N), *work, values[N];
    for (int i = 0; i < N; i++) {
        a[i * N + i] = 2;
        if (i > 0)
            a[i * N + i - 1] = a[(i - 1) * N + i] = -1;
    }
    work = copy_of(a, N);
    cr_assert_eq(symmetric_eigen(work, N, values, NULL), ITO_OK);
    for (int i = 0; i < N; i++)
        cr_expect_float_eq(values[i], 2 - 2 * cos((i + 1) * M_PI / (N + 1)), 4 * BOUND(N));
    free(work);
    check(a, N);
}

Test(eigen, rank_one_and_equicorrelation_have_their_known_values)
{
    /* 1 - r everywhere on the diagonal's complement: 1 - r (n - 1 times) and 1 + (n - 1) r. */
    enum { N = 21 };
    double *a = matrix(N), *work, values[N];
    for (int i = 0; i < N * N; i++)
        a[i] = i % (N + 1) == 0 ? 1 : 0.25;
    work = copy_of(a, N);
    cr_assert_eq(symmetric_eigen(work, N, values, NULL), ITO_OK);
    for (int i = 0; i < N - 1; i++)
        cr_expect_float_eq(values[i], 0.75, 6 * BOUND(N));
    cr_expect_float_eq(values[N - 1], 1 + (N - 1) * 0.25, 6 * BOUND(N));
    free(work);
    check(a, N);
}

Test(eigen, random_matrices_of_all_small_sizes)
{
    for (int64_t n = 1; n <= 40; n++)
        check(random_symmetric(n, (uint32_t)n), n);
    check(random_symmetric(131, 131), 131);
}

Test(eigen, diagonal_zero_and_repeated)
{
    double *a = matrix(9);
    check(copy_of(a, 9), 9); /* zero */
    for (int i = 0; i < 9; i++)
        a[i * 10] = i % 3 - 1;
    check(a, 9);
    cr_assert_eq(symmetric_eigen(NULL, 0, NULL, NULL), ITO_OK);
}

Test(eigen, huge_and_tiny_numbers_neither_overflow_nor_vanish)
{
    for (int sign = -1; sign <= 1; sign += 2) {
        double *a = random_symmetric(12, 7), *scaled = copy_of(a, 12), values[12], same[12];
        for (int i = 0; i < 144; i++)
            scaled[i] = ldexp(scaled[i], sign * 900);
        cr_assert_eq(symmetric_eigen(a, 12, values, NULL), ITO_OK);
        cr_assert_eq(symmetric_eigen(scaled, 12, same, NULL), ITO_OK);
        for (int i = 0; i < 12; i++)
            cr_expect_eq(same[i], ldexp(values[i], sign * 900));
        free(a);
        free(scaled);
    }
}

Test(eigen, does_not_depend_on_the_number_of_threads)
{
    static const int threads[] = {1, 2, 3, 7};
    int64_t n = 200; /* enough for the loops to be shared */
    double *a = random_symmetric(n, 3), *first = NULL, *first_values = NULL;
    for (int t = 0; t < 4; t++) {
        double *work = copy_of(a, n), *v = matrix(n), *values = matrix(n);
        cr_assert_eq(ito_set_threads(threads[t]), ITO_OK);
        cr_assert_eq(symmetric_eigen(work, n, values, v), ITO_OK);
        if (first != NULL) {
            cr_assert_eq(memcmp(v, first, (size_t)(n * n) * sizeof *v), 0);
            cr_assert_eq(memcmp(values, first_values, (size_t)n * sizeof *v), 0);
            free(v);
            free(values);
        } else {
            first = v;
            first_values = values;
        }
        free(work);
    }
    free(first);
    free(first_values);
    free(a);
}

/* ---- orthonormal bases ---- */

enum { MOST = 20 };

/* Rows of q are orthonormal, and row i of a has nothing beyond row i of q. */
static void expect_basis(const double *a, int64_t n)
{
    double work[MOST * MOST], q[MOST * MOST];
    memcpy(work, a, (size_t)(n * n) * sizeof *a);
    cr_assert_eq(orthonormal_rows(work, n, q), ITO_OK, "%s", ito_error());
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double product = 0, beyond = 0;
            for (int64_t k = 0; k < n; k++) {
                product += q[i * n + k] * q[j * n + k];
                beyond += a[i * n + k] * q[j * n + k];
            }
            cr_expect(fabs(product - (i == j)) < 1e-13, "%g", product);
            cr_expect(j <= i || fabs(beyond) < 1e-12, "row %d beyond %d: %g", (int)i, (int)j,
                      beyond);
        }
}

Test(eigen, orthonormal_rows_span_what_was_given)
{
    ito_generator g = ito_generator_make(3, 0);
    for (int64_t n = 0; n <= MOST; n++) {
        double a[MOST * MOST];
        for (int64_t i = 0; i < n * n; i++)
            a[i] = ito_uniform(&g) - 0.5;
        expect_basis(a, n);
        for (int64_t i = 0; n > 2 && i < n; i++) /* rows that depend on each other, and zeros */
            a[2 * n + i] = a[i] - a[n + i];
        for (int64_t i = 0; n > 3 && i < n; i++)
            a[3 * n + i] = 0;
        expect_basis(a, n);
    }
}
