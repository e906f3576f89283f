/* Squared distances between points, block by block, from matrix products. */
#include "models/metrics/points.h"

#include "autograd/ops.h"
#include "models/metrics/features.h"
#include "tensor/internal.h"

#include <math.h>

/* Relative to |x|^2 + |y|^2: what rounding can leave of the distance between equal points. */
#define SAME 1e-14

ito_tensor *points_rows(const points *p, int64_t first, int64_t n)
{
    ito_tensor *rows = features_rows(p->features, first, n);
    return p->centre != NULL ? ito_contiguous(ito_sub(rows, p->centre)) : rows;
}

bool points_make(points *p, ito_tensor *features, ito_tensor *centre)
{
    int64_t n = features->shape[0];
    ito_tensor *squares = ito_empty(ITO_SHAPE(n), ITO_F64);
    *p = (points){.features = features, .centre = centre, .n = n};
    p->square = squares != NULL ? tensor_data(squares) : NULL;
    bool good = squares != NULL;
    for (int64_t i = 0; good && i < n; i += FEATURES_BLOCK) {
        int64_t rows = features_block(n, i);
        ito_scope_begin();
        ito_tensor *sums = ito_sum(ito_square(points_rows(p, i, rows)), .dims = ITO_DIMS(1));
        good = sums != NULL && ito_copy_(ito_narrow(squares, 0, i, rows), sums) != NULL;
        ito_scope_end();
    }
    return good;
}

double *points_products(const points *a, int64_t i, int64_t rows, const points *b, int64_t j,
                        int64_t columns)
{
    ito_tensor *y = ito_transpose(points_rows(b, j, columns), 0, 1);
    ito_tensor *t = ito_contiguous(ito_matmul(points_rows(a, i, rows), y));
    return t != NULL ? tensor_data(t) : NULL;
}

double *points_distances(const points *a, int64_t i, int64_t rows, const points *b, int64_t j,
                         int64_t columns)
{
    double *d = points_products(a, i, rows, b, j, columns);
    if (d == NULL)
        return NULL;
#pragma omp parallel for num_threads(threads_for(rows *columns)) schedule(static)
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) {
            double squares = a->square[i + r] + b->square[j + c];
            double value = squares - 2.0 * d[r * columns + c];
            d[r * columns + c] = value > SAME * squares ? value : 0.0;
        }
    return d;
}

/* ---- neighbours ---- */

/* Insert value into the k smallest so far, in ascending order. */
static void insert(double *least, int64_t k, double value)
{
    if (!(value < least[k - 1]))
        return;
    int64_t i = k - 1;
    for (; i > 0 && least[i - 1] > value; i--)
        least[i] = least[i - 1];
    least[i] = value;
}

/* The k smallest distances of points i, i + 1, ... to all other points of p; least [rows, k]. */
static bool nearest(const points *p, int64_t i, int64_t rows, int64_t k, double *least)
{
    for (int64_t j = 0; j < p->n; j += FEATURES_BLOCK) {
        int64_t columns = features_block(p->n, j);
        ito_scope_begin();
        const double *d = points_distances(p, i, rows, p, j, columns);
        if (d != NULL) {
#pragma omp parallel for num_threads(threads_for(rows *columns)) schedule(static)
            for (int64_t r = 0; r < rows; r++)
                for (int64_t c = 0; c < columns; c++)
                    if (j + c != i + r)
                        insert(least + r * k, k, d[r * columns + c]);
        }
        ito_scope_end();
        if (d == NULL)
            return false;
    }
    return true;
}

bool points_neighbours_fit(const char *op, const ito_tensor *x, int64_t k)
{
    if (k < 1 || k > FEATURES_BLOCK) {
        error_status(ITO_ERR_RANGE, "%s: k is %" PRId64 ", not from 1 to %d", op, k,
                     FEATURES_BLOCK);
        return false;
    }
    if (x->shape[0] > k)
        return true;
    error_status(ITO_ERR_SHAPE,
                 "%s: a neighbour number %" PRId64 " takes at least %" PRId64
                 " images, not %" PRId64,
                 op, k, k + 1, x->shape[0]);
    return false;
}

bool points_find_neighbours(points *p, int64_t k)
{
    ito_tensor *distance = ito_empty(ITO_SHAPE(p->n), ITO_F64);
    bool good = distance != NULL;
    p->distance = good ? tensor_data(distance) : NULL;
    for (int64_t i = 0; good && i < p->n; i += FEATURES_BLOCK) {
        int64_t rows = features_block(p->n, i);
        ito_scope_begin();
        ito_tensor *least = ito_full(ITO_SHAPE(rows, k), (double)INFINITY, ITO_F64);
        good = least != NULL && nearest(p, i, rows, k, tensor_data(least));
        for (int64_t r = 0; good && r < rows; r++)
            p->distance[i + r] = ((const double *)tensor_data(least))[r * k + k - 1];
        ito_scope_end();
    }
    return good;
}
