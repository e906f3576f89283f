/* The metrics, and the shipped classifier, against what NumPy, SciPy and PyTorch make of the same
 * numbers in float64 (tests/reference/make_metrics_fixture.py). */
#include "ito.h"
#include "tests/reference/formula.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static ito_safetensors *fixture;

static ito_tensor *get(const char *name)
{
    ito_tensor *t = ito_safetensors_read(fixture, name);
    cr_assert_not_null(t, "%s", ito_error());
    return t;
}

static const double *numbers(const char *name)
{
    return ito_const_data(get(name));
}

static void open_fixture(void)
{
    char path[4096];
    const char *source = getenv("ITO_SOURCE");
    snprintf(path, sizeof path, "%s/tests/reference/metrics.safetensors",
             source != NULL ? source : ".");
    fixture = ito_safetensors_open(path);
    cr_assert_not_null(fixture, "%s", ito_error());
}

static void close_fixture(void)
{
    ito_safetensors_close(fixture);
}

TestSuite(metrics_reference, .init = open_fixture, .fini = close_fixture);

static void near(ito_tensor *t, const char *name, double relative)
{
    const double *want = numbers(name);
    ito_tensor *wide = ito_contiguous(ito_cast(t, ITO_F64));
    const double *v = ito_const_data(wide);
    double largest = 0;
    cr_assert_eq(ito_numel(t), ito_numel(get(name)));
    for (int64_t i = 0; i < ito_numel(t); i++)
        largest = fmax(largest, fabs(want[i]));
    for (int64_t i = 0; i < ito_numel(t); i++)
        cr_assert_leq(fabs(v[i] - want[i]), relative * largest, "%s, %d: %.17g, not %.17g", name,
                      (int)i, v[i], want[i]);
}

Test(metrics_reference, moments)
{
    ito_tensor *mean, *covariance;
    cr_assert_eq(ito_feature_moments(get("real"), &mean, &covariance), ITO_OK);
    near(mean, "mean", 1e-14);
    near(covariance, "covariance", 1e-14);
}

Test(metrics_reference, frechet_distance)
{
    /* SciPy's root of a general matrix is itself good to 1e-12 or so here. */
    double d = ito_frechet_distance(get("real"), get("fake")), want = *numbers("frechet");
    cr_expect_leq(fabs(d - want), 1e-10 * want, "%.17g, not %.17g", d, want);
}

Test(metrics_reference, precision_and_recall)
{
    for (int i = 0; i < 3; i++) {
        ito_precision_recall_result r;
        cr_assert_eq(ito_precision_recall(get("real"), get("fake"), &r, .k = 2 * i + 1), ITO_OK);
        cr_expect_float_eq(r.precision, numbers("precision_recall")[2 * i], 1e-15);
        cr_expect_float_eq(r.recall, numbers("precision_recall")[2 * i + 1], 1e-15);
    }
}

Test(metrics_reference, density_and_coverage)
{
    for (int i = 0; i < 3; i++) {
        ito_density_coverage_result r;
        cr_assert_eq(ito_density_coverage(get("real"), get("fake"), &r, .k = 2 * i + 1), ITO_OK);
        cr_expect_float_eq(r.density, numbers("density_coverage")[2 * i], 1e-15);
        cr_expect_float_eq(r.coverage, numbers("density_coverage")[2 * i + 1], 1e-15);
    }
}

Test(metrics_reference, kernel_distance)
{
    ito_kernel_distance_result r;
    cr_assert_eq(ito_kernel_distance(ito_narrow(get("real"), 0, 0, 64), get("fake"), &r,
                                     .subsets = 1, .subset_size = 64),
                 ITO_OK);
    cr_expect_float_eq(r.mean, *numbers("kernel_distance"), 1e-14);
}

Test(metrics_reference, mmd)
{
    static const double sigmas[] = {2, 2, 10, 10};
    for (int i = 0; i < 4; i++)
        cr_expect_float_eq(
            ito_mmd(get("real"), get("fake"), .sigma = sigmas[i], .unbiased = i % 2 == 0),
            numbers("mmd")[i], 1e-11);
}

Test(metrics_reference, classifier_score)
{
    static const int64_t splits[] = {1, 4, 10};
    for (int i = 0; i < 3; i++) {
        ito_classifier_score_result r;
        cr_assert_eq(ito_classifier_score(get("logits"), &r, .splits = splits[i]), ITO_OK);
        cr_expect_float_eq(r.mean, numbers("score")[2 * i], 1e-13);
        cr_expect_float_eq(r.deviation, numbers("score")[2 * i + 1], 1e-7);
    }
}

Test(metrics_reference, the_shipped_classifier)
{
    /* f32 against float64 through four convolutions. */
    ito_classifier *c = ito_classifier_fashion_mnist();
    cr_assert_not_null(c, "%s", ito_error());
    ito_tensor *x = ito_empty(ITO_SHAPE(2, 1, 28, 28), ITO_F32);
    for (uint32_t i = 0; i < 2 * 784; i++)
        ((float *)ito_data(x))[i] = formula_uniform(30000, i);
    ito_tensor *features = NULL;
    ITO_NO_GRAD
    {
        features = ito_classifier_features(c, x);
        near(features, "classifier/features", 1e-5);
        near(ito_classifier_logits(c, features), "classifier/logits", 1e-5);
    }
    ito_module_free(&c->base);
}
