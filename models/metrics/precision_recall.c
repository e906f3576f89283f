/* Precision and recall of two sets of features: the share of each set that lies among the points of
 * the other. */
#include "autograd/autograd.h"
#include "models/metrics/features.h"
#include "models/metrics/metrics.h"
#include "models/metrics/points.h"
#include "tensor/internal.h"

#include <math.h>

#define OP "precision_recall"

/* Mark the rows i, i + 1, ... of x that lie among the points of p; within [rows] is 0 at first. */
static bool mark(const points *x, int64_t i, int64_t rows, const points *p, uint8_t *within)
{
    int64_t n = p->n;
    for (int64_t j = 0; j < n; j += FEATURES_BLOCK) {
        int64_t columns = features_block(n, j);
        ito_scope_begin();
        const double *d = points_distances(x, i, rows, p, j, columns);
        if (d != NULL) {
#pragma omp parallel for num_threads(threads_for(rows *columns)) schedule(static)
            for (int64_t r = 0; r < rows; r++)
                for (int64_t c = 0; c < columns; c++)
                    within[r] |= d[r * columns + c] <= p->distance[j + c];
        }
        ito_scope_end();
        if (d == NULL)
            return false;
    }
    return true;
}

/* The fraction of x's points that lie among those of p; NaN on error. */
static double share_within(const points *x, const points *p)
{
    int64_t n = x->n, count = 0;
    for (int64_t i = 0; i < n; i += FEATURES_BLOCK) {
        uint8_t within[FEATURES_BLOCK] = {0};
        int64_t rows = features_block(n, i);
        if (!mark(x, i, rows, p, within))
            return (double)NAN;
        for (int64_t r = 0; r < rows; r++)
            count += within[r];
    }
    return (double)count / (double)n;
}

ito_status ito_precision_recall_with(ito_tensor *real, ito_tensor *generated,
                                     ito_precision_recall_result *out,
                                     ito_precision_recall_options o)
{
    int64_t k = o.k;
    if (out == NULL)
        return error_missing(OP, "the result");
    if (!features_check_pair(OP, real, generated))
        return ito_error_code();
    if (!points_neighbours_fit(OP, real, k) || !points_neighbours_fit(OP, generated, k))
        return ito_error_code();
    points r, g;
    ito_precision_recall_result result = {(double)NAN, (double)NAN};
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *mean = features_mean(real);
    if (mean != NULL && points_make(&r, real, mean) && points_make(&g, generated, mean) &&
        points_find_neighbours(&r, k) && points_find_neighbours(&g, k)) {
        result.precision = share_within(&g, &r);
        result.recall = share_within(&r, &g);
    }
    ito_no_grad_end();
    ito_scope_end();
    if (isnan(result.precision) || isnan(result.recall))
        return ito_error_code();
    *out = result;
    return ITO_OK;
}
