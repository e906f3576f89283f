/* Precision and recall against plain loops over all pairs, on sets whose answer is known, and what
 * they refuse. */
#include "autograd/ops.h"
#include "models/metrics/metrics.h"
#include "tests/expect.h"
#include "tests/models/metrics/metrics_check.h"

#include <math.h>
#include <stdlib.h>

static ito_precision_recall_result of(ito_tensor *real, ito_tensor *generated, int64_t k)
{
    ito_precision_recall_result r = {-1, -1};
    cr_assert_eq(ito_precision_recall(real, generated, &r, .k = k), ITO_OK, "%s", ito_error());
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

/* The share of x's rows that are no farther from some row of y than that row's k-th neighbour. */
static double plain_share(ito_tensor *x, ito_tensor *y, int64_t k)
{
    int64_t n = ito_size(x, 0), m = ito_size(y, 0), width = ito_size(x, 1), count = 0;
    const double *a = ito_const_data(x), *b = ito_const_data(y);
    double *radius = malloc((size_t)m * sizeof *radius), *all = malloc((size_t)m * sizeof *all);
    for (int64_t j = 0; j < m; j++) {
        for (int64_t i = 0; i < m; i++)
            all[i] = i == j ? -1 : square_distance(b + i * width, b + j * width, width);
        qsort(all, (size_t)m, sizeof *all, rising);
        radius[j] = all[k];
    }
    for (int64_t i = 0; i < n; i++) {
        bool within = false;
        for (int64_t j = 0; j < m && !within; j++)
            within = square_distance(a + i * width, b + j * width, width) <= radius[j];
        count += within;
    }
    free(radius);
    free(all);
    return (double)count / (double)n;
}

Test(precision_recall, is_that_of_plain_loops)
{
    static const int64_t sizes[][3] = {{40, 30, 2}, {64, 90, 5}, {1100, 1050, 3}, {4, 4, 1}};
    for (int s = 0; s < 4; s++)
        for (int64_t k = 1; k <= 3; k += 2) {
            ito_tensor *real = ito_add_scalar(randn(1, sizes[s][0], sizes[s][2]), 50);
            ito_tensor *made =
                ito_add_scalar(ito_mul_scalar(randn(2, sizes[s][1], sizes[s][2]), 1.4), 50.5);
            ito_precision_recall_result r = of(real, made, k);
            cr_expect_eq(r.precision, plain_share(made, real, k), "sizes %d, k %d", s, (int)k);
            cr_expect_eq(r.recall, plain_share(real, made, k), "sizes %d, k %d", s, (int)k);
        }
}

Test(precision_recall, of_a_set_and_itself_is_one)
{
    ito_tensor *x = randn(3, 50, 6);
    ito_precision_recall_result r = of(x, ito_clone(x), 3);
    cr_expect_eq(r.precision, 1);
    cr_expect_eq(r.recall, 1);
}

Test(precision_recall, of_sets_far_apart_is_zero)
{
    ito_precision_recall_result r = of(randn(3, 50, 6), ito_add_scalar(randn(4, 60, 6), 100), 3);
    cr_expect_eq(r.precision, 0);
    cr_expect_eq(r.recall, 0);
}

Test(precision_recall, sees_a_generator_that_knows_half_of_the_data)
{
    /* Two clusters, and images of the first only: all of them are good, half of the data is not
     * reached. */
    ito_tensor *near = randn(3, 40, 2), *far = ito_add_scalar(randn(4, 40, 2), 1000);
    ito_tensor *real = ito_cat(ITO_TENSORS(near, far), 0);
    ito_precision_recall_result r = of(real, ito_clone(near), 3);
    cr_expect_eq(r.precision, 1);
    cr_expect_eq(r.recall, 0.5);
}

Test(precision_recall, copies_are_at_distance_zero_however_large_the_features)
{
    /* Five copies of one real point: the third neighbour of each is at distance 0, and a generated
     * copy is among them, but nothing beside. */
    ito_tensor *point = ito_mul_scalar(randn(7, 1, 33), 1e5);
    ito_tensor *real = ito_contiguous(ito_expand(point, 5, -1));
    ito_tensor *apart = ito_add_scalar(point, 1);
    ito_tensor *made = ito_cat(ITO_TENSORS(point, apart, apart, apart), 0);
    cr_expect_eq(of(real, made, 3).precision, 0.25);
}

Test(precision_recall, takes_the_third_neighbour_if_nothing_is_said)
{
    ito_tensor *real = randn(1, 80, 4), *made = ito_mul_scalar(randn(2, 80, 4), 2);
    ito_precision_recall_result third = of(real, made, 3), first = of(real, made, 1), r;
    cr_assert_eq(ito_precision_recall(real, made, &r), ITO_OK);
    cr_expect_eq(r.precision, third.precision);
    cr_expect_lt(first.precision, third.precision);
}

Test(precision_recall, does_not_depend_on_the_number_of_threads)
{
    ito_tensor *real = randn(5, 1100, 20), *made = randn(6, 1030, 20);
    static const int threads[] = {1, 2, 3, 7};
    ito_precision_recall_result first = {0, 0};
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(ito_set_threads(threads[i]), ITO_OK);
        ito_precision_recall_result r = of(real, made, 3);
        first = i == 0 ? r : first;
        cr_expect(r.precision == first.precision && r.recall == first.recall);
    }
}

static void fails(ito_tensor *real, ito_tensor *made, int64_t k, ito_status code,
                  const char *sentence)
{
    ito_precision_recall_result r = {7, 7};
    cr_assert_eq(ito_precision_recall(real, made, &r, .k = k), code);
    expect_error(code, sentence);
    cr_assert(r.precision == 7 && r.recall == 7);
}

Test(precision_recall, refuses_what_it_cannot_compare)
{
    ito_tensor *x = randn(1, 20, 4);
    fails(x, randn(2, 20, 5), 3, ITO_ERR_SHAPE,
          "precision_recall: features of width 4 and of width 5 are not of one network");
    fails(x, randn(2, 3, 4), 3, ITO_ERR_SHAPE,
          "precision_recall: a neighbour number 3 takes at least 4 images, not 3");
    fails(randn(2, 5, 4), x, 5, ITO_ERR_SHAPE,
          "precision_recall: a neighbour number 5 takes at least 6 images, not 5");
    fails(x, x, -1, ITO_ERR_RANGE, "precision_recall: k is -1, not from 1 to 1024");
    fails(x, with_element(x, 9, (double)INFINITY), 3, ITO_ERR_NUMERIC,
          "precision_recall: feature 1 of image 2 is inf");
    fails(x, NULL, 3, ITO_ERR_ARGUMENT, "precision_recall: features is NULL");
}

typedef struct attempt {
    ito_tensor *real, *made;
    ito_precision_recall_result result;
} attempt;

static ito_status try_precision_recall(void *context)
{
    attempt *a = context;
    ito_status status = ito_precision_recall(a->real, a->made, &a->result, .k = 3);
    cr_assert(status == ITO_OK || a->result.precision == 7);
    return status;
}

Test(precision_recall, survives_every_failure_of_memory)
{
    attempt a = {randn(1, 20, 6), randn(2, 20, 6), {7, 7}};
    ito_precision_recall_result want = of(a.real, a.made, 3);
    /* Centred features, their squares and distances, for both sets. */
    cr_expect_geq(count_failed_allocations(try_precision_recall, &a), 10);
    cr_expect(a.result.precision == want.precision && a.result.recall == want.recall);
}

Test(precision_recall, options_mean_what_they_say)
{
    ito_tensor *real = randn(1, 20, 4), *made = randn(2, 20, 4);
    ito_precision_recall_result r, three = of(real, made, 3);
    cr_expect_eq(ITO_OPTIONS(ito_precision_recall_options).k, 3);
    cr_assert_eq(ito_precision_recall(real, made, &r), ITO_OK);
    cr_expect(r.precision == three.precision && r.recall == three.recall);
    cr_expect_leq(of(real, made, 1).precision, three.precision);
    cr_expect_geq(of(real, made, 19).precision, three.precision); /* all others */
    fails(real, made, 0, ITO_ERR_RANGE, "precision_recall: k is 0, not from 1 to 1024");
    fails(real, made, 1025, ITO_ERR_RANGE, "precision_recall: k is 1025, not from 1 to 1024");
    fails(real, made, 20, ITO_ERR_SHAPE,
          "precision_recall: a neighbour number 20 takes at least 21 images, not 20");
}
