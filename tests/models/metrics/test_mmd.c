/* The discrepancy under a Gaussian kernel against plain loops and against normal distributions,
 * of which it is known, and what it refuses. */
#include "autograd/ops.h"
#include "models/metrics/metrics.h"
#include "tests/expect.h"
#include "tests/models/metrics/metrics_check.h"

#include <math.h>

static double gaussian(const double *x, const double *y, int64_t width, double sigma)
{
    double sum = 0;
    for (int64_t i = 0; i < width; i++)
        sum += (x[i] - y[i]) * (x[i] - y[i]);
    return exp(-sum / (2 * sigma * sigma));
}

/* The sum of the kernel over all pairs, or those of different rows. */
static double plain_sum(ito_tensor *a, ito_tensor *b, double sigma, bool different)
{
    int64_t n = ito_size(a, 0), m = ito_size(b, 0), width = ito_size(a, 1);
    const double *x = ito_const_data(a), *y = ito_const_data(b);
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++)
            sum += different && i == j ? 0 : gaussian(x + i * width, y + j * width, width, sigma);
    return sum;
}

Test(mmd, is_that_of_plain_loops)
{
    static const int64_t sizes[][3] = {{2, 3, 1}, {30, 20, 5}, {1050, 1100, 3}};
    for (int s = 0; s < 3; s++) {
        double n = (double)sizes[s][0], m = (double)sizes[s][1], sigma = 0.75 + s;
        ito_tensor *a = ito_add_scalar(randn(1, sizes[s][0], sizes[s][2]), 20);
        ito_tensor *b = ito_add_scalar(randn(2, sizes[s][1], sizes[s][2]), 20.5);
        double xy = plain_sum(a, b, sigma, false) / (n * m);
        double biased = plain_sum(a, a, sigma, false) / (n * n) +
                        plain_sum(b, b, sigma, false) / (m * m) - 2 * xy;
        double unbiased = plain_sum(a, a, sigma, true) / (n * (n - 1)) +
                          plain_sum(b, b, sigma, true) / (m * (m - 1)) - 2 * xy;
        cr_expect_float_eq(ito_mmd(a, b, .sigma = sigma), 1000 * biased, 1e-10);
        cr_expect_float_eq(ito_mmd(a, b, .sigma = sigma, .unbiased = true), 1000 * unbiased, 1e-10);
        cr_expect_float_eq(ito_mmd(b, a, .sigma = sigma), 1000 * biased, 1e-10);
    }
}

Test(mmd, of_normal_distributions_is_the_closed_form)
{
    /* Of N(0, I) and N(m, I): the kernel's mean is that of a normal of variance 2 I around 0 or m,
     * (s^2 / (s^2 + 2))^(D/2) exp(-|m|^2 / (2 (s^2 + 2))). */
    enum { N = 4000, D = 4 };
    ito_tensor *a = randn(1, N, D), *b = ito_add_scalar(randn(2, N, D), 0.6);
    for (double s = 1; s <= 4; s *= 2) {
        double v = s * s + 2, same = pow(s * s / v, D / 2.0);
        double want = 2000 * same * (1 - exp(-0.36 * D / (2 * v)));
        double d = ito_mmd(a, b, .sigma = s, .unbiased = true);
        /* Its deviation is 4 % of it, by many sets in NumPy. */
        cr_expect_float_eq(d, want, 0.2 * want, "%g, not %g", d, want);
    }
}

Test(mmd, of_a_set_and_itself_is_zero)
{
    ito_tensor *x = ito_mul_scalar(randn(3, 60, 7), 10);
    cr_expect_float_eq(ito_mmd(x, ito_clone(x)), 0, 1e-12);
    cr_expect_lt(ito_mmd(x, x, .unbiased = true), 0); /* but for the pairs with itself */
}

Test(mmd, of_sets_far_apart_is_that_of_each_by_itself)
{
    /* One image each: 1 + 1 - 0. */
    ito_tensor *x = randn(3, 1, 6);
    cr_expect_float_eq(ito_mmd(x, ito_add_scalar(x, 1e3)), 2000, 1e-9);
}

Test(mmd, does_not_depend_on_the_number_of_threads)
{
    ito_tensor *a = randn(5, 1200, 33), *b = ito_cast(randn(6, 1100, 33), ITO_F32);
    static const int threads[] = {1, 2, 3, 7};
    double first = 0;
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(ito_set_threads(threads[i]), ITO_OK);
        double d = ito_mmd(a, b);
        first = i == 0 ? d : first;
        cr_expect_eq(d, first);
    }
}

static void fails(double d, ito_status code, const char *sentence)
{
    cr_assert(isnan(d));
    expect_error(code, sentence);
}

Test(mmd, refuses_what_it_cannot_compare)
{
    ito_tensor *x = randn(1, 20, 4), *none = ito_zeros(ITO_SHAPE(0, 4), ITO_F64);
    fails(ito_mmd(x, randn(2, 20, 5)), ITO_ERR_SHAPE,
          "mmd: features of width 4 and of width 5 are not of one network");
    fails(ito_mmd(none, x), ITO_ERR_SHAPE, "mmd: it takes at least 1 image, not 0");
    fails(ito_mmd(x, randn(1, 1, 4), .unbiased = true), ITO_ERR_SHAPE,
          "mmd: it takes at least 2 images, not 1");
    fails(ito_mmd(x, with_element(x, 9, (double)NAN)), ITO_ERR_NUMERIC,
          "mmd: feature 1 of image 2 is nan");
    fails(ito_mmd(NULL, x), ITO_ERR_ARGUMENT, "mmd: features is NULL");
}

/* Rounding would make it so for about a third of them. */
Test(mmd, of_equal_sets_is_never_below_0)
{
    for (int i = 0; i < 50; i++) {
        ito_tensor *x = randn((uint64_t)i, 30 + i, 5);
        double d = ito_mmd(x, ito_clone(x), .sigma = 1);
        cr_expect(d >= 0.0 && d < 1e-9, "%d: %g", i, d);
    }
}

Test(mmd, options_mean_what_they_say)
{
    ito_tensor *a = ito_mul_scalar(randn(1, 20, 4), 10), *b = ito_mul_scalar(randn(2, 20, 4), 10);
    cr_expect_eq(ito_mmd(a, b), ito_mmd(a, b, .sigma = 10));
    cr_expect_neq(ito_mmd(a, b), ito_mmd(a, b, .sigma = 11));
    /* Small against all distances: of the pairs only those with itself are left. */
    cr_expect_float_eq(ito_mmd(a, b, .sigma = 1e-3), 100, 1e-9);
    cr_expect_eq(ito_mmd(a, ito_clone(a), .sigma = 1e-170), 0); /* whose square is 0 */
    cr_expect_float_eq(ito_mmd(a, b, .sigma = 1e9), 0, 1e-9);
    fails(ito_mmd(a, b, .sigma = 0), ITO_ERR_RANGE, "mmd: sigma is 0, not a positive number");
    fails(ito_mmd(a, b, .sigma = -1), ITO_ERR_RANGE, "mmd: sigma is -1, not a positive number");
    fails(ito_mmd(a, b, .sigma = (double)INFINITY), ITO_ERR_RANGE,
          "mmd: sigma is inf, not a positive number");
    fails(ito_mmd(a, b, .sigma = (double)NAN), ITO_ERR_RANGE,
          "mmd: sigma is nan, not a positive number");
}

typedef struct attempt {
    ito_tensor *real, *made;
    double distance;
} attempt;

static ito_status try_mmd(void *context)
{
    attempt *a = context;
    a->distance = ito_mmd(a->real, a->made);
    return isnan(a->distance) ? ITO_ERR_MEMORY : ITO_OK;
}

Test(mmd, survives_every_failure_of_memory)
{
    attempt a = {randn(1, 20, 6), randn(2, 20, 6), 0};
    double want = ito_mmd(a.real, a.made);
    /* The mean, squares, and three blocks of distances. */
    cr_expect_geq(count_failed_allocations(try_mmd, &a), 10);
    cr_expect_eq(a.distance, want);
}
