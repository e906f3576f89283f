/* The classifier score where it is known, and what it refuses. */
#include "autograd/ops.h"
#include "models/metrics/metrics.h"
#include "tests/expect.h"
#include "tests/models/metrics/metrics_check.h"

#include <float.h>
#include <math.h>

static ito_classifier_score_result of(ito_tensor *logits, int64_t splits)
{
    ito_classifier_score_result r;
    cr_assert_eq(ito_classifier_score(logits, &r, .splits = splits), ITO_OK, "%s", ito_error());
    return r;
}

/* Row i says class i % classes, this sure. */
static ito_tensor *in_turn(int64_t n, int64_t classes, double logit)
{
    ito_tensor *t = ito_zeros(ITO_SHAPE(n, classes), ITO_F64);
    for (int64_t i = 0; i < n; i++)
        ((double *)ito_data(t))[i * classes + i % classes] = logit;
    return t;
}

Test(classifier_score, is_the_number_of_classes_if_all_is_sure_and_even)
{
    cr_expect_float_eq(of(in_turn(60, 6, 1e4), 10).mean, 6, 60 * DBL_EPSILON * 6);
    cr_expect_float_eq(of(in_turn(60, 6, 1e4), 10).deviation, 0, 1e-7);
}

Test(classifier_score, is_one_if_all_images_are_alike_or_nothing_is_known)
{
    ito_tensor *one = ito_contiguous(ito_expand(in_turn(1, 6, 1e4), 30, -1));
    cr_expect_float_eq(of(one, 3).mean, 1, 100 * DBL_EPSILON);
    cr_expect_float_eq(of(ito_zeros(ITO_SHAPE(30, 6), ITO_F32), 1).mean, 1, 100 * DBL_EPSILON);
}

Test(classifier_score, of_half_sure_answers_is_the_closed_form)
{
    /* Two classes, p and 1 - p, each as often: exp(log 2 - H(p)). */
    double p = 0.8, entropy = -(p * log(p) + (1 - p) * log(1 - p));
    cr_expect_float_eq(of(in_turn(40, 2, log(p / (1 - p))), 2).mean, exp(log(2) - entropy),
                       100 * DBL_EPSILON);
}

Test(classifier_score, is_the_mean_over_splits_in_order)
{
    /* Of the first half all are one class, of the second they take turns: 1 and 5. */
    ito_tensor *a = ito_contiguous(ito_expand(in_turn(1, 5, 1e4), 20, -1));
    ito_tensor *both = ito_cat(ITO_TENSORS(a, in_turn(20, 5, 1e4)), 0);
    ito_classifier_score_result r = of(both, 2);
    cr_expect_float_eq(r.mean, 3, 1e-12);
    cr_expect_float_eq(r.deviation, 2, 1e-12);
}

Test(classifier_score, refuses_what_it_cannot_judge)
{
    ito_classifier_score_result r = {7, 7};
    cr_assert_eq(ito_classifier_score(in_turn(9, 3, 1), &r, .splits = 0), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE,
                 "classifier_score: the number of images, 9, cannot be cut into 0 splits");
    cr_assert_eq(ito_classifier_score(in_turn(9, 3, (double)INFINITY), &r, .splits = 3),
                 ITO_ERR_NUMERIC);
    expect_error(ITO_ERR_NUMERIC, "classifier_score: feature 0 of image 0 is inf");
    cr_assert_eq(ito_classifier_score(ito_zeros(ITO_SHAPE(4), ITO_F32), &r, .splits = 1),
                 ITO_ERR_SHAPE);
    ito_error_clear();
    cr_assert_eq(ito_classifier_score(NULL, &r), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "classifier_score: features is NULL");
    cr_assert(r.mean == 7 && r.deviation == 7);
}

Test(classifier_score, options_mean_what_they_say)
{
    ito_tensor *logits = in_turn(20, 5, 1);
    ito_classifier_score_result r, ten;
    cr_expect_eq(ITO_OPTIONS(ito_classifier_score_options).splits, 10);
    cr_assert_eq(ito_classifier_score(logits, &r), ITO_OK);
    ten = of(logits, 10);
    cr_expect(r.mean == ten.mean && r.deviation == ten.deviation);
    cr_expect_eq(of(logits, 1).deviation, 0);
    cr_expect(isfinite(of(logits, 20).mean)); /* as many as images */
    cr_expect_eq(ito_classifier_score(logits, &r, .splits = 21), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE,
                 "classifier_score: the number of images, 20, cannot be cut into 21 splits");
    cr_expect_eq(ito_classifier_score(logits, &r, .splits = -1), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE,
                 "classifier_score: the number of images, 20, cannot be cut into -1 splits");
}

/* ---- of all metrics ---- */

Test(metrics, a_result_without_a_place_is_refused)
{
    ito_tensor *x = randn(1, 20, 3), *y = randn(2, 20, 3);
    cr_expect_eq(ito_classifier_score(x, NULL, .splits = 2), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "classifier_score: the result is NULL");
    cr_expect_eq(ito_kernel_distance(x, y, NULL, .subset_size = 10), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "kernel_distance: the result is NULL");
    cr_expect_eq(ito_precision_recall(x, y, NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "precision_recall: the result is NULL");
    cr_expect_eq(ito_density_coverage(x, y, NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "density_coverage: the result is NULL");
}
