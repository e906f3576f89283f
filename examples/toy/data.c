/* Points in the plane: two moons, a checkerboard, a Swiss roll. */
#include "examples/toy/data.h"

#include <math.h>

static double normal(ito_generator *g)
{
    return sqrt(-2.0 * log1p(-ito_uniform(g))) * cos(2.0 * M_PI * ito_uniform(g));
}

static void moons(ito_generator *g, float xy[2])
{
    double angle = M_PI * ito_uniform(g);
    bool upper = ito_uniform(g) < 0.5;
    double x = upper ? cos(angle) : 1.0 - cos(angle), y = upper ? sin(angle) : 0.5 - sin(angle);
    xy[0] = (float)(0.6 * (x - 0.5 + 0.05 * normal(g)));
    xy[1] = (float)(0.6 * (y - 0.25 + 0.05 * normal(g)));
}

/* Every other of 4x4 squares. */
static void checkerboard(ito_generator *g, float xy[2])
{
    int square = (int)(8.0 * ito_uniform(g)), row = square / 2;
    int column = 2 * (square % 2) + row % 2;
    xy[0] = (float)(0.45 * (column + ito_uniform(g) - 2.0));
    xy[1] = (float)(0.45 * (row + ito_uniform(g) - 2.0));
}

static void swiss_roll(ito_generator *g, float xy[2])
{
    double angle = 1.5 * M_PI * (1.0 + 2.0 * ito_uniform(g)), scale = 0.9 / (4.5 * M_PI);
    xy[0] = (float)(scale * angle * cos(angle) + 0.02 * normal(g));
    xy[1] = (float)(scale * angle * sin(angle) + 0.02 * normal(g));
}

static const toy_data two_moons = {"moons", "two interleaved half circles", NULL, moons};
static const toy_data checkers = {"checkerboard", "every other of 4x4 squares", NULL, checkerboard};
static const toy_data roll = {"swiss-roll", "a spiral", NULL, swiss_roll};

const ito_choice *const toy_distributions[] = {
    (const ito_choice *)(const void *)&two_moons,
    (const ito_choice *)(const void *)&checkers,
    (const ito_choice *)(const void *)&roll,
    NULL,
};

ito_tensor *toy_points(const toy_data *data, ito_generator *g, int64_t n)
{
    ito_tensor *points = ito_empty(ITO_SHAPE(n, 2), ITO_F32);
    for (int64_t i = 0; points != NULL && i < n; i++)
        data->point(g, (float *)ito_data(points) + 2 * i);
    return points;
}
