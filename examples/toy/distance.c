/* The sliced Wasserstein distance of points in the plane. */
#include "examples/toy/distance.h"

#include <math.h>
#include <stdlib.h>

enum { DIRECTIONS = 64 };

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Points [n, 2] along a direction, sorted. */
static void project(const double *points, int64_t n, double angle, double *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = cos(angle) * points[2 * i] + sin(angle) * points[2 * i + 1];
    qsort(out, (size_t)n, sizeof *out, compare);
}

double sliced_distance(ito_tensor *a, ito_tensor *b)
{
    if (a == NULL || b == NULL)
        return -1.0;
    int64_t n = ito_size(a, 0);
    double *room = malloc(sizeof(double) * (size_t)(6 * n + 1)), sum = 0.0;
    if (room == NULL) {
        ito_error_set(ITO_ERR_MEMORY, "toy: no memory for a distance");
        return -1.0;
    }
    double *x = room, *y = room + 2 * n, *p = room + 4 * n, *q = room + 5 * n;
    if (ito_to_data(a, x, ITO_F64) != ITO_OK || ito_to_data(b, y, ITO_F64) != ITO_OK) {
        free(room);
        return -1.0;
    }
    for (int k = 0; k < DIRECTIONS; k++) {
        project(x, n, M_PI * k / DIRECTIONS, p);
        project(y, n, M_PI * k / DIRECTIONS, q);
        for (int64_t i = 0; i < n; i++)
            sum += fabs(p[i] - q[i]);
    }
    free(room);
    return sum / (double)(n * DIRECTIONS);
}
