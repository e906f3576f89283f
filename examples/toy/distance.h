/* The distance between two sets of points. */
#ifndef ITO_EXAMPLES_TOY_DISTANCE_H
#define ITO_EXAMPLES_TOY_DISTANCE_H

#include <ito/ito.h>

/**
 * The sliced Wasserstein-1 distance: the mean distance of sorted projections, over 64 directions.
 * @param a, b  [n, 2], of one size.
 * @return      -1 with an error recorded.
 * Source: Bonneel et al. 2015, Sliced and Radon Wasserstein barycenters of measures.
 */
double sliced_distance(ito_tensor *a, ito_tensor *b);

#endif
