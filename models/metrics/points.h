/* Features as points in space: squared distances between two sets of them, and to each point's k-th
 * nearest neighbour. Internal.
 * Invariant: what is in f64 is a block of each set, so that 50,000 points of 2048 numbers fit. */
#ifndef ITO_METRICS_POINTS_H
#define ITO_METRICS_POINTS_H

#include "tensor/tensor.h"

/* A set of points: features minus the centre, which makes their squares smaller. */
typedef struct points {
    ito_tensor *features; /* [n, D], borrowed */
    ito_tensor *centre;   /* [D] f64, borrowed; NULL: the origin */
    int64_t n;
    double *square;   /* [n] squared length, of the current scope */
    double *distance; /* [n] squared, to the k-th nearest neighbour; NULL before it is looked for */
} points;

/* Fill in p, but for the neighbours. False with an error recorded. */
bool points_make(points *p, ito_tensor *features, ito_tensor *centre);
/* Points first .. first + n - 1, [n, D] f64 row-major, of the current scope. */
ito_tensor *points_rows(const points *p, int64_t first, int64_t n);
/* The products x y of a block of a's points, from point i on, with one of b's, from point j on:
 * rows x columns of the current scope, row-major; NULL on error. */
double *points_products(const points *a, int64_t i, int64_t rows, const points *b, int64_t j,
                        int64_t columns);
/* Their squared distances, |x|^2 + |y|^2 - 2 x y, where those of equal points are 0. */
double *points_distances(const points *a, int64_t i, int64_t rows, const points *b, int64_t j,
                         int64_t columns);

/* Whether k is in range and each of the images x has k neighbours among the others; if not, an
 * error in op's name is recorded. */
bool points_neighbours_fit(const char *op, const ito_tensor *x, int64_t k);
/* Fill in p->distance. False with an error recorded. */
bool points_find_neighbours(points *p, int64_t k);

#endif
