/* Precision and recall of two sets of features: the share of each set that lies among the points of
 * the other. Distances come block by block from matrix products, |x|^2 + |y|^2 - 2 x y. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/metrics/features.h"
#include "models/metrics/metrics.h"
#include "tensor/internal.h"

#include <math.h>
#include <string.h>

#define OP "precision_recall"
/* Relative to |x|^2 + |y|^2: what rounding can leave of the distance between equal points. */
#define SAME 1e-14

/* A set of points minus the mean of the real ones, which makes their squares smaller. */
typedef struct points {
    ito_tensor *x;    /* [N, D] f64 row-major */
    double *square;   /* [N] squared length */
    double *distance; /* [N] squared, to the k-th nearest neighbour */
} points;

static bool make_points(points *p, ito_tensor *features, ito_tensor *mean)
{
    int64_t n = features->shape[0];
    p->x = ito_contiguous(ito_sub(features_rows(features, 0, n), mean));
    ito_tensor *square = ito_sum(ito_square(p->x), .dims = ITO_DIMS(1));
    ito_tensor *distance = ito_full(ITO_SHAPE(n), (double)INFINITY, ITO_F64);
    if (square == NULL || distance == NULL)
        return false;
    p->square = tensor_data(square);
    p->distance = tensor_data(distance);
    return true;
}

/* Squared distances of a block of a's points, from row i on, to one of b's, from row j on: rows x
 * columns of the current scope, row-major; NULL on error. */
static double *distances(const points *a, int64_t i, int64_t rows, const points *b, int64_t j,
                         int64_t columns)
{
    ito_tensor *y = ito_transpose(ito_narrow(b->x, 0, j, columns), 0, 1);
    ito_tensor *t = ito_contiguous(ito_matmul(ito_narrow(a->x, 0, i, rows), y));
    if (t == NULL)
        return NULL;
    double *d = tensor_data(t);
#pragma omp parallel for num_threads(threads_for(rows *columns)) schedule(static)
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) {
            double squares = a->square[i + r] + b->square[j + c];
            double value = squares - 2.0 * d[r * columns + c];
            d[r * columns + c] = value > SAME * squares ? value : 0.0;
        }
    return d;
}

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

/* The k smallest distances of rows i, i + 1, ... to all other points of p; least [rows, k]. */
static bool nearest(const points *p, int64_t i, int64_t rows, int64_t k, double *least)
{
    int64_t n = p->x->shape[0];
    for (int64_t j = 0; j < n; j += FEATURES_BLOCK) {
        int64_t columns = features_block(n, j);
        ito_scope_begin();
        const double *d = distances(p, i, rows, p, j, columns);
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

static bool find_neighbours(points *p, int64_t k)
{
    int64_t n = p->x->shape[0];
    bool good = true;
    for (int64_t i = 0; good && i < n; i += FEATURES_BLOCK) {
        int64_t rows = features_block(n, i);
        ito_scope_begin();
        ito_tensor *least = ito_full(ITO_SHAPE(rows, k), (double)INFINITY, ITO_F64);
        good = least != NULL && nearest(p, i, rows, k, tensor_data(least));
        for (int64_t r = 0; good && r < rows; r++)
            p->distance[i + r] = ((const double *)tensor_data(least))[r * k + k - 1];
        ito_scope_end();
    }
    return good;
}

/* Mark the rows i, i + 1, ... of x that lie among the points of p; within [rows] is 0 at first. */
static bool mark(const points *x, int64_t i, int64_t rows, const points *p, uint8_t *within)
{
    int64_t n = p->x->shape[0];
    for (int64_t j = 0; j < n; j += FEATURES_BLOCK) {
        int64_t columns = features_block(n, j);
        ito_scope_begin();
        const double *d = distances(x, i, rows, p, j, columns);
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
    int64_t n = x->x->shape[0], count = 0;
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

static bool has_neighbours(ito_tensor *x, int64_t k)
{
    if (x->shape[0] > k)
        return true;
    error_status(ITO_ERR_SHAPE,
                 OP ": a neighbour number %" PRId64 " takes at least %" PRId64
                    " images, not %" PRId64,
                 k, k + 1, x->shape[0]);
    return false;
}

ito_status ito_precision_recall_with(ito_tensor *real, ito_tensor *generated,
                                     ito_precision_recall_result *out,
                                     ito_precision_recall_options o)
{
    int64_t k = o.k;
    if (!features_check_pair(OP, real, generated))
        return ito_error_code();
    if (k < 1 || k > FEATURES_BLOCK)
        return error_status(ITO_ERR_RANGE, OP ": k is %" PRId64 ", not from 1 to %d", k,
                            FEATURES_BLOCK);
    if (!has_neighbours(real, k) || !has_neighbours(generated, k))
        return ito_error_code();
    points r, g;
    ito_precision_recall_result result = {(double)NAN, (double)NAN};
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *mean = ito_mean(features_rows(real, 0, real->shape[0]), .dims = ITO_DIMS(0));
    if (make_points(&r, real, mean) && make_points(&g, generated, mean) && find_neighbours(&r, k) &&
        find_neighbours(&g, k)) {
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
