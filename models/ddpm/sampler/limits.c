/* Limits of x_0-hat: clipping, and dynamic thresholding.
 * Invariant: an example's limit depends on that example alone. */
#include "autograd/ops.h"
#include "models/ddpm/sampler/run.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The q-quantile of n values, interpolated between neighbours; they are sorted on the way. */
static double quantile(double *values, int64_t n, double q)
{
    qsort(values, (size_t)n, sizeof *values, compare);
    double place = q * (double)(n - 1);
    int64_t below = (int64_t)floor(place), above = below + 1 < n ? below + 1 : below;
    return values[below] + (place - (double)below) * (values[above] - values[below]);
}

/* max(1, quantile of |x|) for each example of x [N, ...]: [N, 1, ...]. */
static ito_tensor *example_limits(ito_tensor *x, double q)
{
    int64_t N = x->shape[0], n = N == 0 ? 0 : ito_numel(x) / N;
    double *values = mem_alloc(sizeof(double) * (size_t)(N * n));
    ito_tensor *limits = ito_empty(one_per_example(x), ITO_F64);
    bool good = values != NULL && limits != NULL && ito_to_data(x, values, ITO_F64) == ITO_OK;
    for (int64_t i = 0; good && i < N * n; i++)
        values[i] = fabs(values[i]);
    for (int64_t i = 0; good && n > 0 && i < N; i++)
        ((double *)tensor_data(limits))[i] = fmax(quantile(values + i * n, n, q), 1.0);
    mem_free(values);
    return good ? ito_cast(limits, x->dtype) : NULL;
}

ito_tensor *limit_x_0(const ito_sample_options *o, ito_tensor *x_0)
{
    if (x_0 == NULL || o->threshold == 0.0)
        return o->no_clip ? x_0 : ito_clamp(x_0, -1.0, 1.0);
    ito_tensor *limits = example_limits(x_0, o->threshold);
    return ito_clamp(ito_div(x_0, limits), -1.0, 1.0);
}
