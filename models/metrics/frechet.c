/* The Frechet distance of the normal distributions fitted to two sets of features.
 * Invariant: square roots are taken of symmetric matrices only, whose eigenvalues are real. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/metrics/features.h"
#include "models/metrics/metrics.h"
#include "tensor/eigen.h"
#include "tensor/internal.h"

#include <float.h>
#include <math.h>

#define MOMENTS "feature_moments"
#define DISTANCE "frechet_distance"

/* ---- moments ---- */

/* The sum of the centred rows' outer products. The blocks are fixed, so the result does not depend
 * on the number of threads. */
static ito_tensor *sum_products(ito_tensor *x, ito_tensor *mean)
{
    int64_t width = x->shape[1];
    ito_tensor *sum = ito_zeros(ITO_SHAPE(width, width), ITO_F64);
    for (int64_t first = 0; sum != NULL && first < x->shape[0]; first += FEATURES_BLOCK) {
        ito_scope_begin();
        ito_tensor *rows = features_rows(x, first, features_block(x->shape[0], first));
        rows = ito_sub(rows, mean);
        rows = ito_matmul(ito_transpose(rows, 0, 1), rows);
        sum = rows != NULL ? ito_add_(sum, rows, 1.0) : NULL;
        ito_scope_end();
    }
    return sum;
}

ito_status ito_feature_moments(ito_tensor *features, ito_tensor **mean, ito_tensor **covariance)
{
    if (!features_check(MOMENTS, features))
        return ito_error_code();
    int64_t n = features->shape[0];
    if (n < 2)
        return error_status(ITO_ERR_SHAPE,
                            MOMENTS ": a covariance takes at least 2 images, not %" PRId64, n);
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *m = ito_keep(features_mean(features));
    ito_tensor *s = m != NULL ? sum_products(features, m) : NULL;
    s = ito_keep(ito_mul_scalar(s, 1.0 / (double)(n - 1)));
    ito_no_grad_end();
    ito_scope_end();
    if (s == NULL)
        return ito_error_code();
    *mean = m;
    *covariance = s;
    return ITO_OK;
}

/* ---- the distance of two normal distributions ---- */

/* The largest absolute value of all elements; NaN if one is NaN, and on error. */
static double largest(ito_tensor *x)
{
    ito_tensor *y = ito_max(ito_abs(ito_detach(x)));
    return y != NULL ? ito_item(y) : (double)NAN;
}

static bool check_moments(ito_tensor *mean, ito_tensor *cov)
{
    if (mean == NULL || cov == NULL) {
        error_missing(DISTANCE, "a mean or covariance");
        return false;
    }
    int64_t width = mean->ndim == 1 ? mean->shape[0] : 0;
    if (width < 1 || cov->ndim != 2 || cov->shape[0] != width || cov->shape[1] != width) {
        error_status(ITO_ERR_SHAPE, DISTANCE ": a mean %s with a covariance %s",
                     tensor_shape_str(mean), tensor_shape_str(cov));
        return false;
    }
    if (mean->dtype != ITO_F64 || cov->dtype != ITO_F64) {
        error_status(ITO_ERR_DTYPE, DISTANCE ": moments are f64, not %s and %s",
                     ito_dtype_name(mean->dtype), ito_dtype_name(cov->dtype));
        return false;
    }
    if (isfinite(largest(mean)) && isfinite(largest(cov)))
        return true;
    error_status(ITO_ERR_NUMERIC, DISTANCE ": a mean or covariance is not finite");
    return false;
}

/* The rounding error of an eigenvalue 0 of an n x n matrix whose largest eigenvalue is `largest`.
 */
static double rounding(int64_t n, double largest)
{
    return (double)n * DBL_EPSILON * fabs(largest);
}

/* The eigenvalues [D] of s in ascending order and, unless it is NULL, the eigenvectors as rows
 * [D, D]. */
static double *eigen(ito_tensor *s, ito_tensor *vectors)
{
    int64_t n = s->shape[0];
    ito_tensor *work = ito_clone(ito_contiguous(s)), *values = ito_empty(ITO_SHAPE(n), ITO_F64);
    if (work == NULL || values == NULL ||
        symmetric_eigen(tensor_data(work), n, tensor_data(values),
                        vectors != NULL ? tensor_data(vectors) : NULL) != ITO_OK)
        return NULL;
    return tensor_data(values);
}

/* The same for a covariance: an eigenvalue below 0 is an error, unless rounding explains it, also
 * that of a caller who computed s in f32. */
static double *eigen_of_covariance(ito_tensor *s, ito_tensor *vectors)
{
    double *values = s != NULL ? eigen(s, vectors) : NULL;
    if (values == NULL || values[0] >= -1e-6 * fabs(values[s->shape[0] - 1]))
        return values;
    return error_null(ITO_ERR_NUMERIC,
                      DISTANCE ": a matrix with the eigenvalue %g is no covariance", values[0]);
}

static ito_tensor *symmetric_part(ito_tensor *s)
{
    return ito_axpby(0.5, s, 0.5, ito_transpose(s, 0, 1));
}

/* tr (S_a^(1/2) S_b S_a^(1/2))^(1/2). With S_a = V^T L V and B = V^T L^(1/2), which is S_a^(1/2)
 * times a rotation, B^T S_b B has the same eigenvalues. NaN on error. */
static double trace_of_root(ito_tensor *cov_a, ito_tensor *cov_b)
{
    if (cov_a == NULL || cov_b == NULL)
        return (double)NAN;
    int64_t n = cov_a->shape[0];
    ito_tensor *b = ito_empty(ITO_SHAPE(n, n), ITO_F64); /* B transposed */
    double *of_a = b != NULL ? eigen_of_covariance(cov_a, b) : NULL;
    double *of_b = of_a != NULL ? eigen_of_covariance(cov_b, NULL) : NULL;
    if (of_b == NULL)
        return (double)NAN;
    double *rows = tensor_data(b);
    for (int64_t i = 0; i < n * n; i++)
        rows[i] *= of_a[i / n] > 0.0 ? sqrt(of_a[i / n]) : 0.0;
    ito_tensor *product = ito_matmul(ito_matmul(b, cov_b), ito_transpose(b, 0, 1));
    product = symmetric_part(product);
    double *values = product != NULL ? eigen(product, NULL) : NULL;
    if (values == NULL)
        return (double)NAN;
    double zero = rounding(n, of_a[n - 1] * of_b[n - 1]), sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += values[i] > zero ? sqrt(values[i]) : 0.0;
    return sum;
}

static double trace(ito_tensor *s)
{
    const double *v = tensor_data(s);
    double sum = 0.0;
    for (int64_t i = 0; i < s->shape[0]; i++)
        sum += v[i * (s->stride[0] + s->stride[1])];
    return sum;
}

/* Whether s equals its transpose up to rounding. */
static bool check_symmetric(ito_tensor *s)
{
    double apart = largest(ito_sub(s, ito_transpose(s, 0, 1)));
    if (apart <= 1e-6 * largest(s))
        return true;
    error_status(ITO_ERR_NUMERIC, DISTANCE ": a covariance is not symmetric, by %g", apart);
    return false;
}

static double distance(ito_tensor *mean_a, ito_tensor *cov_a, ito_tensor *mean_b, ito_tensor *cov_b)
{
    if (!check_symmetric(cov_a) || !check_symmetric(cov_b))
        return (double)NAN;
    ito_tensor *between = ito_sum(ito_square(ito_sub(mean_a, mean_b)));
    double root =
        between != NULL ? trace_of_root(symmetric_part(cov_a), symmetric_part(cov_b)) : (double)NAN;
    if (isnan(root))
        return root;
    double d = ito_item(between) + trace(cov_a) + trace(cov_b) - 2.0 * root;
    return d < 0.0 ? 0.0 : d; /* NaN stays NaN */
}

double ito_frechet_moments(ito_tensor *mean_a, ito_tensor *cov_a, ito_tensor *mean_b,
                           ito_tensor *cov_b)
{
    if (!check_moments(mean_a, cov_a) || !check_moments(mean_b, cov_b))
        return (double)NAN;
    if (mean_a->shape[0] != mean_b->shape[0]) {
        error_status(ITO_ERR_SHAPE, DISTANCE ": means of %" PRId64 " and of %" PRId64 " features",
                     mean_a->shape[0], mean_b->shape[0]);
        return (double)NAN;
    }
    ito_scope_begin();
    ito_no_grad_begin();
    double d = distance(mean_a, cov_a, mean_b, cov_b);
    ito_no_grad_end();
    ito_scope_end();
    return d;
}

static bool enough(ito_tensor *x)
{
    if (x->shape[0] > x->shape[1])
        return true;
    error_status(ITO_ERR_SHAPE,
                 DISTANCE ": the covariance of features of width %" PRId64
                          " takes at least %" PRId64 " images, not %" PRId64,
                 x->shape[1], x->shape[1] + 1, x->shape[0]);
    return false;
}

double ito_frechet_distance(ito_tensor *a, ito_tensor *b)
{
    if (!features_check_pair(DISTANCE, a, b) || !enough(a) || !enough(b))
        return (double)NAN;
    ito_tensor *mean_a, *cov_a, *mean_b, *cov_b;
    double d = (double)NAN;
    ito_scope_begin();
    if (ito_feature_moments(a, &mean_a, &cov_a) == ITO_OK &&
        ito_feature_moments(b, &mean_b, &cov_b) == ITO_OK)
        d = ito_frechet_moments(mean_a, cov_a, mean_b, cov_b);
    ito_scope_end();
    return d;
}
