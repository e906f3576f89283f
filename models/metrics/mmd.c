/* The squared maximum mean discrepancy of two sets of features under a Gaussian kernel. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/metrics/features.h"
#include "models/metrics/kernel_sum.h"
#include "models/metrics/metrics.h"
#include "tensor/internal.h"

#include <float.h>
#include <math.h>

#define OP "mmd"
#define SCALE 1000.0

/* exp(-gamma |x - y|^2), in place. */
static double *gaussian(const points *a, int64_t i, int64_t rows, const points *b, int64_t j,
                        int64_t columns, double gamma)
{
    double *k = points_distances(a, i, rows, b, j, columns);
    if (k == NULL)
        return NULL;
#pragma omp parallel for num_threads(threads_for(rows *columns)) schedule(static)
    for (int64_t r = 0; r < rows * columns; r++)
        k[r] = exp(-gamma * k[r]);
    return k;
}

/* The mean of the kernel over pairs of points of one set: with itself each has 1. */
static double mean_within(const points *p, double gamma, bool unbiased)
{
    double n = (double)p->n, others = kernel_sum(p, p, gaussian, gamma);
    return unbiased ? others / (n * (n - 1.0)) : (others + n) / (n * n);
}

static double discrepancy(ito_tensor *real, ito_tensor *made, const ito_mmd_options *o)
{
    double gamma = fmin(0.5 / (o->sigma * o->sigma), DBL_MAX); /* times 0 it is 0 */
    points a, b;
    ito_tensor *mean = features_mean(real);
    if (mean == NULL || !points_make(&a, real, mean) || !points_make(&b, made, mean))
        return (double)NAN;
    double xx = mean_within(&a, gamma, o->unbiased), yy = mean_within(&b, gamma, o->unbiased);
    double xy = kernel_sum(&a, &b, gaussian, gamma) / ((double)a.n * (double)b.n);
    double d = SCALE * (xx + yy - 2.0 * xy);
    return !o->unbiased && d < 0.0 ? 0.0 : d; /* NaN stays NaN */
}

static bool enough(ito_tensor *x, int64_t least)
{
    if (x->shape[0] >= least)
        return true;
    error_status(ITO_ERR_SHAPE, OP ": it takes at least %" PRId64 " image%s, not %" PRId64, least,
                 least == 1 ? "" : "s", x->shape[0]);
    return false;
}

double ito_mmd_with(ito_tensor *real, ito_tensor *generated, ito_mmd_options o)
{
    int64_t least = o.unbiased ? 2 : 1;
    if (!features_check_pair(OP, real, generated) || !enough(real, least) ||
        !enough(generated, least))
        return (double)NAN;
    if (!(o.sigma > 0.0 && o.sigma < HUGE_VAL)) {
        error_status(ITO_ERR_RANGE, OP ": sigma is %g, not a positive number", o.sigma);
        return (double)NAN;
    }
    ito_scope_begin();
    ito_no_grad_begin();
    double d = discrepancy(real, generated, &o);
    ito_no_grad_end();
    ito_scope_end();
    return d;
}
