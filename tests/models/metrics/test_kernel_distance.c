/* The kernel distance against sums of powers, against what it is on average, and what it refuses.
 */
#include "autograd/ops.h"
#include "models/metrics/metrics.h"
#include "tests/expect.h"
#include "tests/models/metrics/metrics_check.h"

#include <math.h>

/* Of all images, n of each. */
static double exact(ito_tensor *real, ito_tensor *made)
{
    ito_kernel_distance_result r = {-1, -1};
    cr_assert_eq(
        ito_kernel_distance(real, made, &r, .subsets = 1, .subset_size = ito_size(real, 0)), ITO_OK,
        "%s", ito_error());
    cr_expect_eq(r.deviation, 0);
    return r.mean;
}

Test(kernel_distance, is_that_of_plain_loops)
{
    static const int64_t sizes[][2] = {{2, 1}, {30, 5}, {1100, 3}}; /* of more than one block */
    for (int s = 0; s < 3; s++) {
        int64_t n = sizes[s][0], width = sizes[s][1];
        ito_tensor *a = ito_add_scalar(randn(1, n, width), 1);
        ito_tensor *b = ito_mul_scalar(randn(2, n, width), 1.5);
        const double *x = ito_const_data(a), *y = ito_const_data(b);
        double within = 0, between = 0, largest = 0;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) {
                double xx = 1, yy = 1, xy = 1;
                for (int64_t d = 0; d < width; d++) {
                    xx += x[i * width + d] * x[j * width + d] / (double)width;
                    yy += y[i * width + d] * y[j * width + d] / (double)width;
                    xy += x[i * width + d] * y[j * width + d] / (double)width;
                }
                within += i == j ? 0 : pow(xx, 3) + pow(yy, 3);
                between += pow(xy, 3);
                largest = fmax(largest, fmax(fabs(pow(xx, 3)), fabs(pow(yy, 3))));
            }
        double want = within / (double)(n * (n - 1)) - 2 * between / (double)(n * n);
        cr_expect_float_eq(exact(a, b), want, 1e-14 * largest, "size %d", s);
    }
}

Test(kernel_distance, of_numbers_is_a_sum_of_differences_of_moments)
{
    /* (x y + 1)^3 = sum of C(3, k) x^k y^k: with means over different pairs,
     * ((sum x^k)^2 - sum x^2k) / (n (n - 1)), no pair needs to be seen. */
    enum { N = 2500 };
    ito_tensor *a = randn(1, N, 1), *b = ito_add_scalar(ito_mul_scalar(randn(2, N, 1), 0.5), 0.25);
    const double *x = ito_const_data(a), *y = ito_const_data(b);
    static const double binomial[] = {1, 3, 3, 1};
    double want = 0;
    for (int k = 1; k <= 3; k++) {
        double sx = 0, sy = 0, xx = 0, yy = 0;
        for (int i = 0; i < N; i++) {
            sx += pow(x[i], k);
            sy += pow(y[i], k);
            xx += pow(x[i], 2 * k);
            yy += pow(y[i], 2 * k);
        }
        want += binomial[k] * ((sx * sx - xx + sy * sy - yy) / (double)(N * (N - 1.0)) -
                               2 * sx * sy / ((double)N * N));
    }
    cr_expect_float_eq(exact(a, b), want, 1e-11);
}

Test(kernel_distance, does_not_depend_on_the_number_of_images_on_average)
{
    /* N(0, 1) and N(1, 1): 3 (0 - 1)^2 + 3 (1 - 2)^2 + (0 - 4)^2 by their moments; subsets of 10
     * and of 100 of them, the deviation of whose mean is at most deviation / sqrt(images / size).
     */
    enum { N = 5000 };
    ito_tensor *a = randn(1, N, 1), *b = ito_add_scalar(randn(2, N, 1), 1);
    static const int64_t sizes[] = {10, 100};
    double deviations[2];
    for (int i = 0; i < 2; i++) {
        ito_kernel_distance_result r;
        cr_assert_eq(ito_kernel_distance(a, b, &r, .subsets = 200, .subset_size = sizes[i]),
                     ITO_OK);
        double independent = fmin(200, (double)(N / sizes[i]));
        cr_expect_float_eq(r.mean, 22, 5 * r.deviation / sqrt(independent), "%g", r.mean);
        deviations[i] = r.deviation;
    }
    cr_expect_gt(deviations[0], 2 * deviations[1]); /* sqrt(10) in the limit */
}

Test(kernel_distance, of_one_distribution_is_zero_on_average_and_sometimes_negative)
{
    ito_kernel_distance_result r;
    cr_assert_eq(ito_kernel_distance(randn(3, 3000, 8), randn(4, 3000, 8), &r, .subset_size = 50),
                 ITO_OK);
    cr_expect_lt(fabs(r.mean), r.deviation);
    bool negative = false;
    for (uint64_t s = 0; s < 8 && !negative; s++)
        negative = exact(randn(10 + s, 50, 8), randn(20 + s, 50, 8)) < 0;
    cr_expect(negative);
}

Test(kernel_distance, subsets_are_drawn_by_the_seed)
{
    ito_tensor *a = randn(1, 300, 4), *b = randn(2, 400, 4);
    ito_kernel_distance_result r[3];
    for (int i = 0; i < 3; i++)
        cr_assert_eq(ito_kernel_distance(a, b, &r[i], .subsets = 3, .subset_size = 20,
                                         .seed = i == 2 ? 5 : 0),
                     ITO_OK);
    cr_expect(r[0].mean == r[1].mean && r[0].deviation == r[1].deviation);
    cr_expect_neq(r[2].mean, r[0].mean);
    cr_expect_gt(r[0].deviation, 0);
}

Test(kernel_distance, draws_no_image_twice)
{
    /* If all are drawn, whatever the seed, the subset is the set. */
    ito_tensor *a = randn(1, 40, 4), *b = randn(2, 40, 4);
    for (uint64_t seed = 1; seed < 5; seed++) {
        ito_kernel_distance_result r;
        cr_assert_eq(ito_kernel_distance(a, b, &r, .subsets = 1, .subset_size = 40, .seed = seed),
                     ITO_OK);
        cr_expect_float_eq(r.mean, exact(a, b), 1e-12);
    }
}

Test(kernel_distance, does_not_depend_on_the_number_of_threads)
{
    ito_tensor *a = randn(5, 1200, 33), *b = ito_cast(randn(6, 1100, 33), ITO_F32);
    static const int threads[] = {1, 2, 3, 7};
    ito_kernel_distance_result first = {0, 0};
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(ito_set_threads(threads[i]), ITO_OK);
        ito_kernel_distance_result r;
        cr_assert_eq(ito_kernel_distance(a, b, &r, .subsets = 2, .subset_size = 1050), ITO_OK);
        first = i == 0 ? r : first;
        cr_expect(r.mean == first.mean && r.deviation == first.deviation);
    }
}

static void fails(ito_tensor *real, ito_tensor *made, int64_t subsets, int64_t size,
                  ito_status code, const char *sentence)
{
    ito_kernel_distance_result r = {7, 7};
    cr_assert_eq(ito_kernel_distance(real, made, &r, .subsets = subsets, .subset_size = size),
                 code);
    expect_error(code, sentence);
    cr_assert(r.mean == 7 && r.deviation == 7);
}

Test(kernel_distance, refuses_what_it_cannot_compare)
{
    ito_tensor *x = randn(1, 20, 4);
    fails(x, randn(2, 20, 5), 1, 2, ITO_ERR_SHAPE,
          "kernel_distance: features of width 4 and of width 5 are not of one network");
    fails(x, randn(2, 19, 4), 1, 20, ITO_ERR_SHAPE,
          "kernel_distance: a subset of 20 images cannot be of 19");
    fails(randn(2, 1, 4), x, 1, 2, ITO_ERR_SHAPE,
          "kernel_distance: a subset of 2 images cannot be of 1");
    fails(x, with_element(x, 9, -(double)INFINITY), 1, 2, ITO_ERR_NUMERIC,
          "kernel_distance: feature 1 of image 2 is -inf");
    fails(x, NULL, 1, 2, ITO_ERR_ARGUMENT, "kernel_distance: features is NULL");
}

Test(kernel_distance, options_mean_what_they_say)
{
    ito_tensor *a = randn(1, 1000, 2), *b = randn(2, 1000, 2);
    ito_kernel_distance_result r;
    cr_expect_eq(ITO_OPTIONS(ito_kernel_distance_options).subsets, 100);
    cr_expect_eq(ITO_OPTIONS(ito_kernel_distance_options).subset_size, 1000);
    cr_assert_eq(ito_kernel_distance(a, b, &r, .subsets = 2), ITO_OK);
    cr_expect_float_eq(r.mean, exact(a, b), 1e-12);
    fails(a, b, 0, 5, ITO_ERR_RANGE,
          "kernel_distance: 0 subsets of 5 images; it takes at least 1 of at least 2");
    fails(a, b, 3, 1, ITO_ERR_RANGE,
          "kernel_distance: 3 subsets of 1 images; it takes at least 1 of at least 2");
    exact(ito_narrow(a, 0, 0, 2), ito_narrow(b, 0, 0, 2));
}

typedef struct attempt {
    ito_tensor *real, *made;
    ito_kernel_distance_result result;
} attempt;

static ito_status try_kernel_distance(void *context)
{
    attempt *a = context;
    ito_status status =
        ito_kernel_distance(a->real, a->made, &a->result, .subsets = 2, .subset_size = 10);
    cr_assert(status == ITO_OK || a->result.mean == 7);
    return status;
}

Test(kernel_distance, survives_every_failure_of_memory)
{
    attempt a = {randn(1, 20, 6), randn(2, 20, 6), {7, 7}};
    /* Subsets, their squares and three blocks of products. */
    cr_expect_geq(count_failed_allocations(try_kernel_distance, &a), 10);
    cr_expect_neq(a.result.mean, 7);
}
