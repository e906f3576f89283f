/* The kernel distance (KID): the unbiased squared maximum mean discrepancy of two sets of features
 * under a cubic kernel, over random subsets. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/metrics/features.h"
#include "models/metrics/kernel_sum.h"
#include "models/metrics/metrics.h"
#include "tensor/internal.h"

#include <math.h>

#define OP "kernel_distance"

/* (x y / D + 1)^3. */
static double *cubic(const points *a, int64_t i, int64_t rows, const points *b, int64_t j,
                     int64_t columns, double width)
{
    double *k = points_products(a, i, rows, b, j, columns);
    if (k == NULL)
        return NULL;
#pragma omp parallel for num_threads(threads_for(rows *columns)) schedule(static)
    for (int64_t r = 0; r < rows * columns; r++) {
        double linear = k[r] / width + 1.0;
        k[r] = linear * linear * linear;
    }
    return k;
}

/* n rows of x, drawn without replacement. */
static ito_tensor *draw(ito_tensor *x, ito_generator *g, int64_t n)
{
    return ito_index_select(x, 0, ito_narrow(ito_randperm(g, x->shape[0]), 0, 0, n));
}

/* The discrepancy of one subset of each; NaN on error. */
static double of_subsets(ito_tensor *real, ito_tensor *made, int64_t n, ito_generator g)
{
    double width = (double)real->shape[1], pairs = (double)n * (double)(n - 1);
    ito_tensor *x = draw(real, &g, n), *y = draw(made, &g, n);
    points a, b;
    if (x == NULL || y == NULL || !points_make(&a, x, NULL) || !points_make(&b, y, NULL))
        return (double)NAN;
    double xx = kernel_sum(&a, &a, cubic, width), yy = kernel_sum(&b, &b, cubic, width);
    double xy = kernel_sum(&a, &b, cubic, width);
    return (xx + yy) / pairs - 2.0 * xy / ((double)n * (double)n);
}

static bool check_subsets(ito_tensor *real, ito_tensor *made, const ito_kernel_distance_options *o)
{
    int64_t fewer = real->shape[0] < made->shape[0] ? real->shape[0] : made->shape[0];
    if (o->subsets < 1 || o->subset_size < 2) {
        error_status(ITO_ERR_RANGE,
                     OP ": %" PRId64 " subsets of %" PRId64
                        " images; it takes at least 1 of at least 2",
                     o->subsets, o->subset_size);
        return false;
    }
    if (fewer >= o->subset_size)
        return true;
    error_status(ITO_ERR_SHAPE, OP ": a subset of %" PRId64 " images cannot be of %" PRId64,
                 o->subset_size, fewer);
    return false;
}

static bool of_all_subsets(ito_tensor *real, ito_tensor *made, const ito_kernel_distance_options *o,
                           double *values)
{
    bool good = true;
    for (int64_t s = 0; good && s < o->subsets; s++) {
        ito_scope_begin();
        values[s] =
            of_subsets(real, made, o->subset_size, ito_generator_make(o->seed, (uint64_t)s));
        good = !isnan(values[s]);
        ito_scope_end();
    }
    return good;
}

static ito_kernel_distance_result moments(const double *values, int64_t n)
{
    double mean = 0.0, squares = 0.0;
    for (int64_t s = 0; s < n; s++)
        mean += values[s] / (double)n;
    for (int64_t s = 0; s < n; s++)
        squares += (values[s] - mean) * (values[s] - mean);
    return (ito_kernel_distance_result){mean, sqrt(squares / (double)n)};
}

ito_status ito_kernel_distance_with(ito_tensor *real, ito_tensor *generated,
                                    ito_kernel_distance_result *out, ito_kernel_distance_options o)
{
    if (out == NULL)
        return error_missing(OP, "the result");
    if (!features_check_pair(OP, real, generated) || !check_subsets(real, generated, &o))
        return ito_error_code();
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *values = ito_empty(ITO_SHAPE(o.subsets), ITO_F64);
    bool good = values != NULL && of_all_subsets(real, generated, &o, tensor_data(values));
    if (good)
        *out = moments(tensor_data(values), o.subsets);
    ito_no_grad_end();
    ito_scope_end();
    return good ? ITO_OK : ito_error_code();
}
