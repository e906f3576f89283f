/* The Frechet distance against closed forms, under transformations that it does not see, with
 * singular covariances, and what it refuses. */
#include "autograd/ops.h"
#include "models/metrics/metrics.h"
#include "tests/expect.h"
#include "tests/models/metrics/metrics_check.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* What the header promises: 2 width^1.5 sqrt(eps) times the largest variance. */
#define BOUND(width, variance) (2 * pow(width, 1.5) * sqrt(DBL_EPSILON) * (variance))

static ito_tensor *diagonal(int64_t n, const double *values)
{
    ito_tensor *t = ito_zeros(ITO_SHAPE(n, n), ITO_F64);
    for (int64_t i = 0; i < n; i++)
        ((double *)ito_data(t))[i * (n + 1)] = values[i];
    return t;
}

/* A rotation: the reflection of a random vector, twice. */
static ito_tensor *rotation(uint64_t seed, int64_t n)
{
    ito_tensor *q = ito_eye(n, ITO_F64);
    for (uint64_t i = 0; i < 2; i++) {
        ito_tensor *v = randn(seed + i, n, 1), *vt = ito_transpose(v, 0, 1);
        double c = -2.0 / ito_item(ito_matmul(vt, v));
        q = ito_matmul(q, ito_axpby(1, ito_eye(n, ITO_F64), c, ito_matmul(v, vt)));
    }
    return q;
}

static ito_tensor *turned(ito_tensor *q, ito_tensor *s)
{
    return ito_matmul(ito_matmul(q, s), ito_transpose(q, 0, 1));
}

static void fails(double d, ito_status code, const char *sentence)
{
    cr_assert(isnan(d));
    expect_error(code, sentence);
}

Test(frechet, of_commuting_gaussians_is_the_closed_form)
{
    /* Sum of (m - m')^2 + (s - s')^2, s the deviations; turned, it is the same. */
    enum { N = 4 };
    const double a[N] = {4, 1, 0.25, 9}, b[N] = {1, 1, 4, 16};
    ito_tensor *m = randn(1, 1, N), *q = rotation(2, N), *zero = ito_zeros(ITO_SHAPE(N), ITO_F64);
    m = ito_reshape(m, N);
    double want = ito_item(ito_sum(ito_square(m))) + 1 + 0 + 2.25 + 1;
    double d = ito_frechet_moments(zero, diagonal(N, a), m, diagonal(N, b));
    cr_expect_float_eq(d, want, BOUND(N, 16));
    d = ito_frechet_moments(zero, turned(q, diagonal(N, a)), m, turned(q, diagonal(N, b)));
    cr_expect_float_eq(d, want, BOUND(N, 16), "%.17g, not %.17g", d, want);
}

Test(frechet, of_two_by_two_matrices_is_the_closed_form)
{
    /* tr (A B)^(1/2) = sqrt(tr AB + 2 sqrt(det AB)) for matrices that do not commute. */
    ito_tensor *a = ito_from_data((double[]){2, 0.5, 0.5, 1}, ITO_SHAPE(2, 2), ITO_F64);
    ito_tensor *b = ito_from_data((double[]){1, -0.75, -0.75, 3}, ITO_SHAPE(2, 2), ITO_F64);
    ito_tensor *zero = ito_zeros(ITO_SHAPE(2), ITO_F64);
    double trace = 2 * 1 + 0.5 * -0.75 + 0.5 * -0.75 + 1 * 3, det = 1.75 * (3 - 0.5625);
    double want = 3 + 4 - 2 * sqrt(trace + 2 * sqrt(det));
    cr_expect_float_eq(ito_frechet_moments(zero, a, zero, b), want, BOUND(2, 3));
}

Test(frechet, of_singular_covariances)
{
    /* Of rank 1 and 2 in 6 dimensions, at an angle; those of equal means differ by
     * s_a + s_b - 2 sqrt(s_a s_b) |cos|. */
    enum { N = 6 };
    ito_tensor *q = rotation(5, N), *zero = ito_zeros(ITO_SHAPE(N), ITO_F64);
    ito_tensor *s = turned(q, diagonal(N, (double[N]){3, 2, 0, 0, 0, 0}));
    cr_expect_float_eq(ito_frechet_moments(zero, s, zero, s), 0, BOUND(N, 3));
    ito_tensor *nothing = ito_zeros(ITO_SHAPE(N, N), ITO_F64);
    cr_expect_float_eq(ito_frechet_moments(zero, s, zero, nothing), 5, BOUND(N, 3));
    cr_expect_float_eq(ito_frechet_moments(zero, nothing, zero, s), 5, BOUND(N, 3));
    double c = cos(0.3), t = sin(0.3);
    ito_tensor *x = turned(q, diagonal(N, (double[N]){4, 0, 0, 0, 0, 0}));
    double other[N * N] = {9 * c * c, 9 * c * t};
    other[N] = 9 * c * t;
    other[N + 1] = 9 * t * t;
    ito_tensor *y = turned(q, ito_from_data(other, ITO_SHAPE(N, N), ITO_F64));
    cr_expect_float_eq(ito_frechet_moments(zero, x, zero, y), 4 + 9 - 2 * 6 * c, BOUND(N, 9));
}

Test(frechet, is_off_by_as_much_as_is_promised_and_no_more)
{
    /* One variance of 1 and others so small that the eigenvalues of the product, their squares,
     * pass for rounding: that of equals is 2 (D - 1) times one of them instead of 0. */
    static const int widths[] = {96, 160};
    for (int k = 0; k < 2; k++) {
        int n = widths[k];
        double small = sqrt(0.98 * n * DBL_EPSILON), values[160];
        for (int i = 0; i < n; i++)
            values[i] = i == 0 ? 1 : small;
        ito_tensor *zero = ito_zeros(ITO_SHAPE(n), ITO_F64), *s = diagonal(n, values);
        double d = ito_frechet_moments(zero, s, zero, s);
        cr_expect_leq(d, BOUND(n, 1));
        cr_expect_geq(d, 0.97 * BOUND(n, 1));
    }
}

Test(frechet, of_features_that_never_vary)
{
    ito_tensor *a =
        ito_mul(randn(1, 60, 5), ito_from_data((double[]){1, 0, 2, 0, 1}, ITO_SHAPE(5), ITO_F64));
    cr_expect_float_eq(ito_frechet_distance(a, a), 0, BOUND(5, 6));
    ito_tensor *moved = ito_add(a, ito_from_data((double[]){0, 3, 0, 4, 0}, ITO_SHAPE(5), ITO_F64));
    cr_expect_float_eq(ito_frechet_distance(a, moved), 25, BOUND(5, 6));
}

Test(frechet, of_samples_is_that_of_their_moments_and_symmetric)
{
    ito_tensor *a = randn(3, 2500, 9), *b = ito_mul_scalar(randn(4, 1500, 9), 1.5);
    ito_tensor *ma, *sa, *mb, *sb;
    double d = ito_frechet_distance(a, b);
    cr_assert_eq(ito_feature_moments(a, &ma, &sa), ITO_OK);
    cr_assert_eq(ito_feature_moments(b, &mb, &sb), ITO_OK);
    cr_expect_eq(d, ito_frechet_moments(ma, sa, mb, sb));
    cr_expect_float_eq(d, ito_frechet_distance(b, a), BOUND(9, 2.25));
    /* Near that of the distributions, 9 (1.5 - 1)^2: deviations of each are off by 1 / sqrt(2 N),
     * means by 1 / sqrt(N). */
    cr_expect_float_eq(d, 9 * 0.25, 0.25);
    ito_tensor *narrow = ito_cast(a, ITO_F32), *wide = ito_cast(narrow, ITO_F64);
    cr_expect_eq(ito_frechet_distance(narrow, b), ito_frechet_distance(wide, b));
    ito_tensor *strided = ito_transpose(ito_contiguous(ito_transpose(a, 0, 1)), 0, 1);
    cr_expect_eq(ito_frechet_distance(strided, b), d);
}

Test(frechet, moments_are_those_of_a_plain_loop)
{
    enum { N = 1300, D = 7 }; /* more than one block */
    ito_tensor *x = ito_add_scalar(randn(8, N, D), 3), *mean, *covariance;
    const double *v = ito_const_data(x);
    cr_assert_eq(ito_feature_moments(x, &mean, &covariance), ITO_OK);
    double m[D] = {0};
    for (int i = 0; i < N * D; i++)
        m[i % D] += v[i] / N;
    for (int j = 0; j < D; j++) {
        cr_expect_float_eq(((const double *)ito_const_data(mean))[j], m[j], N * DBL_EPSILON * 4);
        for (int k = 0; k < D; k++) {
            double s = 0;
            for (int i = 0; i < N; i++)
                s += (v[i * D + j] - m[j]) * (v[i * D + k] - m[k]) / (N - 1);
            cr_expect_float_eq(((const double *)ito_const_data(covariance))[j * D + k], s,
                               N * DBL_EPSILON * 4);
        }
    }
}

Test(frechet, does_not_depend_on_the_number_of_threads)
{
    ito_tensor *a = randn(5, 1200, 96), *b = randn(6, 1100, 96);
    static const int threads[] = {1, 2, 3, 7};
    double first = 0;
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(ito_set_threads(threads[i]), ITO_OK);
        double d = ito_frechet_distance(a, b);
        first = i == 0 ? d : first;
        cr_expect_eq(d, first);
    }
}

Test(frechet, refuses_features_of_different_networks)
{
    fails(ito_frechet_distance(randn(1, 100, 64), randn(2, 100, 63)), ITO_ERR_SHAPE,
          "frechet_distance: features of width 64 and of width 63 are not of one network");
}

Test(frechet, refuses_fewer_images_than_it_needs)
{
    fails(ito_frechet_distance(randn(1, 64, 64), randn(2, 65, 64)), ITO_ERR_SHAPE,
          "frechet_distance: the covariance of features of width 64 takes at least 65 images, not "
          "64");
    fails(ito_frechet_distance(randn(1, 65, 64), randn(2, 10, 64)), ITO_ERR_SHAPE,
          "frechet_distance: the covariance of features of width 64 takes at least 65 images, not "
          "10");
    cr_expect(!isnan(ito_frechet_distance(randn(1, 65, 64), randn(2, 65, 64))));
    ito_tensor *m = NULL, *s = NULL;
    cr_assert_eq(ito_feature_moments(randn(1, 1, 4), &m, &s), ITO_ERR_SHAPE);
    cr_assert_str_eq(ito_error_message(),
                     "feature_moments: a covariance takes at least 2 images, not 1");
    cr_assert(m == NULL && s == NULL);
}

Test(frechet, refuses_what_are_no_features)
{
    ito_tensor *good = randn(1, 8, 4), *bad = with_element(good, 4 * 5 + 2, (double)NAN);
    fails(ito_frechet_distance(good, bad), ITO_ERR_NUMERIC,
          "frechet_distance: feature 2 of image 5 is nan");
    fails(ito_frechet_distance(with_element(good, 7, -4e38), good), ITO_ERR_NUMERIC,
          "frechet_distance: feature 3 of image 1 is -4e+38");
    fails(ito_frechet_distance(ito_unsqueeze(good, 0), good), ITO_ERR_SHAPE,
          "frechet_distance: features are [images, width], not [1, 8, 4]");
    fails(ito_frechet_distance(good, ito_cast(good, ITO_I64)), ITO_ERR_DTYPE,
          "frechet_distance: features are floating point, not i64");
    fails(ito_frechet_distance(NULL, good), ITO_ERR_ARGUMENT, "frechet_distance: features is NULL");
}

Test(frechet, refuses_what_are_no_moments)
{
    ito_tensor *m = ito_zeros(ITO_SHAPE(2), ITO_F64), *s = ito_eye(2, ITO_F64);
    ito_tensor *three = ito_zeros(ITO_SHAPE(3), ITO_F64);
    fails(ito_frechet_moments(m, NULL, m, s), ITO_ERR_ARGUMENT,
          "frechet_distance: a mean or covariance is NULL");
    fails(ito_frechet_moments(m, s, three, s), ITO_ERR_SHAPE,
          "frechet_distance: a mean [3] with a covariance [2, 2]");
    fails(ito_frechet_moments(m, s, three, ito_eye(3, ITO_F64)), ITO_ERR_SHAPE,
          "frechet_distance: means of 2 and of 3 features");
    fails(ito_frechet_moments(m, ito_cast(s, ITO_F32), m, s), ITO_ERR_DTYPE,
          "frechet_distance: moments are f64, not f64 and f32");
    fails(ito_frechet_moments(m, s, m, diagonal(2, (double[]){1, (double)INFINITY})),
          ITO_ERR_NUMERIC, "frechet_distance: a mean or covariance is not finite");
    fails(ito_frechet_moments(m, s, m, diagonal(2, (double[]){1, -0.5})), ITO_ERR_NUMERIC,
          "frechet_distance: a matrix with the eigenvalue -0.5 is no covariance");
    ito_tensor *skew = ito_from_data((double[]){1, 0.5, 0.25, 1}, ITO_SHAPE(2, 2), ITO_F64);
    fails(ito_frechet_moments(m, skew, m, s), ITO_ERR_NUMERIC,
          "frechet_distance: a covariance is not symmetric, by 0.25");
}

typedef struct distance_attempt {
    ito_tensor *a, *b;
    double distance;
} distance_attempt;

static ito_status try_distance(void *context)
{
    distance_attempt *d = context;
    d->distance = ito_frechet_distance(d->a, d->b);
    return isnan(d->distance) ? ITO_ERR_MEMORY : ITO_OK;
}

Test(frechet, survives_every_failure_of_memory)
{
    distance_attempt d = {randn(1, 20, 6), randn(2, 20, 6), 0};
    double want = ito_frechet_distance(d.a, d.b);
    /* Mean, covariance and what they are made of, for both sets, and the eigenvalues. */
    cr_expect_geq(count_failed_allocations(try_distance, &d), 10);
    cr_expect_eq(d.distance, want);
}
