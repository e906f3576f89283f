/* Density and coverage against plain loops over all pairs, against what they are on average for
 * images of the real distribution, on sets whose answer is known, and what they refuse. */
#include "autograd/ops.h"
#include "models/metrics/metrics.h"
#include "tests/expect.h"
#include "tests/models/metrics/metrics_check.h"

#include <math.h>
#include <stdlib.h>

static ito_density_coverage_result of(ito_tensor *real, ito_tensor *made, int64_t k)
{
    ito_density_coverage_result r = {-1, -1};
    cr_assert_eq(ito_density_coverage(real, made, &r, .k = k), ITO_OK, "%s", ito_error());
    return r;
}

static double square_distance(const double *x, const double *y, int64_t width)
{
    double sum = 0;
    for (int64_t i = 0; i < width; i++)
        sum += (x[i] - y[i]) * (x[i] - y[i]);
    return sum;
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static ito_density_coverage_result plain(ito_tensor *real, ito_tensor *made, int64_t k)
{
    int64_t n = ito_size(real, 0), m = ito_size(made, 0), width = ito_size(real, 1);
    const double *x = ito_const_data(real), *y = ito_const_data(made);
    double *all = malloc((size_t)n * sizeof *all), pairs = 0, covered = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t inside = 0;
        for (int64_t j = 0; j < n; j++)
            all[j] = i == j ? -1 : square_distance(x + i * width, x + j * width, width);
        qsort(all, (size_t)n, sizeof *all, rising);
        for (int64_t j = 0; j < m; j++)
            inside += square_distance(x + i * width, y + j * width, width) < all[k];
        pairs += (double)inside;
        covered += inside > 0;
    }
    free(all);
    return (ito_density_coverage_result){pairs / (double)(k * m), covered / (double)n};
}

Test(density_coverage, is_that_of_plain_loops)
{
    static const int64_t sizes[][3] = {{40, 30, 2}, {64, 90, 5}, {1100, 1050, 3}, {6, 1, 1}};
    for (int s = 0; s < 4; s++)
        for (int64_t k = 1; k <= 5; k += 2) {
            ito_tensor *real = ito_add_scalar(randn(1, sizes[s][0], sizes[s][2]), 50);
            ito_tensor *made =
                ito_add_scalar(ito_mul_scalar(randn(2, sizes[s][1], sizes[s][2]), 1.4), 50.5);
            ito_density_coverage_result r = of(real, made, k), want = plain(real, made, k);
            cr_expect_float_eq(r.density, want.density, 1e-15, "sizes %d, k %d", s, (int)k);
            cr_expect_float_eq(r.coverage, want.coverage, 1e-15, "sizes %d, k %d", s, (int)k);
        }
}

Test(density_coverage, of_the_real_distribution_is_what_the_paper_derives)
{
    /* Whatever the distribution: the nearest of N - 1 + M others in any order. */
    enum { N = 1500, M = 1000 };
    ito_tensor *real = randn(3, N, 3), *made = randn(4, M, 3);
    for (int64_t k = 1; k <= 5; k += 4) {
        double missed = 1;
        for (int64_t i = 1; i <= k; i++)
            missed *= (double)(N - i) / (double)(N + M - i);
        ito_density_coverage_result r = of(real, made, k);
        /* Six deviations of a share of N, as if neighbourhoods were independent: they nearly are
         * those of k + 1 and fewer images. */
        cr_expect_float_eq(r.coverage, 1 - missed, 6 * sqrt(missed * (1 - missed) / N));
        cr_expect_float_eq(r.density, 1, 6 / sqrt((double)(k * M)));
    }
}

Test(density_coverage, of_a_set_and_itself_is_one)
{
    ito_tensor *x = randn(3, 50, 6);
    ito_density_coverage_result r = of(x, ito_clone(x), 5);
    cr_expect_eq(r.density, 1); /* itself and k - 1 neighbours */
    cr_expect_eq(r.coverage, 1);
}

Test(density_coverage, of_sets_far_apart_is_zero)
{
    ito_density_coverage_result r = of(randn(3, 50, 6), ito_add_scalar(randn(4, 60, 6), 100), 5);
    cr_expect_eq(r.density, 0);
    cr_expect_eq(r.coverage, 0);
}

Test(density_coverage, an_outlier_counts_once)
{
    /* Two clusters and one real image far from both, whose neighbourhood has them all: precision
     * takes images between the clusters for good ones, density hardly. */
    ito_tensor *left = randn(3, 40, 2), *right = ito_add_scalar(randn(4, 40, 2), 30);
    ito_tensor *outlier = ito_full(ITO_SHAPE(1, 2), 90, ITO_F64);
    ito_tensor *real = ito_cat(ITO_TENSORS(left, right, outlier), 0);
    ito_tensor *made = ito_add_scalar(randn(5, 50, 2), 40);
    ito_precision_recall_result p;
    cr_assert_eq(ito_precision_recall(real, made, &p, .k = 5), ITO_OK);
    cr_expect_eq(p.precision, 1);
    cr_expect_eq(of(real, made, 5).density, 1.0 / 5);
    cr_expect_eq(of(real, made, 5).coverage, 1.0 / 81);
}

Test(density_coverage, does_not_depend_on_the_number_of_threads)
{
    ito_tensor *real = randn(5, 1100, 20), *made = randn(6, 1030, 20);
    static const int threads[] = {1, 2, 3, 7};
    ito_density_coverage_result first = {0, 0};
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(ito_set_threads(threads[i]), ITO_OK);
        ito_density_coverage_result r = of(real, made, 5);
        first = i == 0 ? r : first;
        cr_expect(r.density == first.density && r.coverage == first.coverage);
    }
}

static void fails(ito_tensor *real, ito_tensor *made, int64_t k, ito_status code,
                  const char *sentence)
{
    ito_density_coverage_result r = {7, 7};
    cr_assert_eq(ito_density_coverage(real, made, &r, .k = k), code);
    expect_error(code, sentence);
    cr_assert(r.density == 7 && r.coverage == 7);
}

Test(density_coverage, refuses_what_it_cannot_compare)
{
    ito_tensor *x = randn(1, 20, 4);
    fails(x, randn(2, 20, 5), 5, ITO_ERR_SHAPE,
          "density_coverage: features of width 4 and of width 5 are not of one network");
    fails(randn(2, 5, 4), x, 5, ITO_ERR_SHAPE,
          "density_coverage: a neighbour number 5 takes at least 6 images, not 5");
    fails(x, ito_zeros(ITO_SHAPE(0, 4), ITO_F64), 5, ITO_ERR_SHAPE,
          "density_coverage: there are no generated images");
    fails(x, with_element(x, 9, (double)NAN), 5, ITO_ERR_NUMERIC,
          "density_coverage: feature 1 of image 2 is nan");
    fails(NULL, x, 5, ITO_ERR_ARGUMENT, "density_coverage: features is NULL");
}

Test(density_coverage, options_mean_what_they_say)
{
    ito_tensor *real = randn(1, 20, 4), *made = randn(2, 20, 4);
    ito_density_coverage_result r, five = of(real, made, 5);
    cr_assert_eq(ito_density_coverage(real, made, &r), ITO_OK);
    cr_expect(r.density == five.density && r.coverage == five.coverage);
    cr_expect_neq(of(real, made, 1).density, five.density);
    cr_expect_geq(of(real, made, 19).coverage, five.coverage); /* all others */
    fails(real, made, 0, ITO_ERR_RANGE, "density_coverage: k is 0, not from 1 to 1024");
    fails(real, made, 1025, ITO_ERR_RANGE, "density_coverage: k is 1025, not from 1 to 1024");
}

typedef struct attempt {
    ito_tensor *real, *made;
    ito_density_coverage_result result;
} attempt;

static ito_status try_density_coverage(void *context)
{
    attempt *a = context;
    ito_status status = ito_density_coverage(a->real, a->made, &a->result, .k = 5);
    cr_assert(status == ITO_OK || a->result.density == 7);
    return status;
}

Test(density_coverage, survives_every_failure_of_memory)
{
    attempt a = {randn(1, 20, 6), randn(2, 20, 6), {7, 7}};
    ito_density_coverage_result want = of(a.real, a.made, 5);
    /* Squared lengths of both sets, the neighbours' distances, the blocks of which they are made.
     */
    cr_expect_geq(count_failed_allocations(try_density_coverage, &a), 10);
    cr_expect(a.result.density == want.density && a.result.coverage == want.coverage);
}
