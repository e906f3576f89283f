/* Density and coverage of two sets of features: how many real neighbourhoods each generated point
 * is in, and which of them have one. */
#include "autograd/autograd.h"
#include "models/metrics/features.h"
#include "models/metrics/metrics.h"
#include "models/metrics/points.h"
#include "tensor/internal.h"

#define OP "density_coverage"

/* For each of the real points i, i + 1, ..., add how many generated ones are nearer than its k-th
 * neighbour; inside [rows] is 0 at first. */
static bool count_inside(const points *real, int64_t i, int64_t rows, const points *made,
                         int64_t *inside)
{
    for (int64_t j = 0; j < made->n; j += FEATURES_BLOCK) {
        int64_t columns = features_block(made->n, j);
        ito_scope_begin();
        const double *d = points_distances(real, i, rows, made, j, columns);
        if (d != NULL) {
#pragma omp parallel for num_threads(threads_for(rows *columns)) schedule(static)
            for (int64_t r = 0; r < rows; r++)
                for (int64_t c = 0; c < columns; c++)
                    inside[r] += d[r * columns + c] < real->distance[i + r];
        }
        ito_scope_end();
        if (d == NULL)
            return false;
    }
    return true;
}

static bool count(const points *real, const points *made, int64_t k,
                  ito_density_coverage_result *out)
{
    int64_t pairs = 0, covered = 0;
    for (int64_t i = 0; i < real->n; i += FEATURES_BLOCK) {
        int64_t inside[FEATURES_BLOCK] = {0}, rows = features_block(real->n, i);
        if (!count_inside(real, i, rows, made, inside))
            return false;
        for (int64_t r = 0; r < rows; r++) {
            pairs += inside[r];
            covered += inside[r] > 0;
        }
    }
    out->density = (double)pairs / ((double)k * (double)made->n);
    out->coverage = (double)covered / (double)real->n;
    return true;
}

ito_status ito_density_coverage_with(ito_tensor *real, ito_tensor *generated,
                                     ito_density_coverage_result *out,
                                     ito_density_coverage_options o)
{
    int64_t k = o.k;
    if (out == NULL)
        return error_missing(OP, "the result");
    if (!features_check_pair(OP, real, generated) || !points_neighbours_fit(OP, real, k))
        return ito_error_code();
    if (generated->shape[0] < 1)
        return error_status(ITO_ERR_SHAPE, OP ": there are no generated images");
    points r, g;
    ito_density_coverage_result result;
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *mean = features_mean(real);
    bool good = mean != NULL && points_make(&r, real, mean) && points_make(&g, generated, mean) &&
                points_find_neighbours(&r, k) && count(&r, &g, k, &result);
    ito_no_grad_end();
    ito_scope_end();
    if (!good)
        return ito_error_code();
    *out = result;
    return ITO_OK;
}
