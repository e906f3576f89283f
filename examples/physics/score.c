/* Sliced score matching, and a mixture of normal distributions. */
#include "examples/physics/score.h"

#include <math.h>

ito_tensor *sliced_score_loss(ito_function *s, void *context, ito_tensor *x, ito_tensor *v,
                              bool variance_reduced)
{
    ito_tensor *score, *change = ito_jvp(s, context, &x, 1, &v, &score); /* (ds/dx) v */
    if (change == NULL)
        return NULL;
    ito_tensor *trace = ito_sum(ito_mul(v, change), .dims = ITO_DIMS(1));
    ito_tensor *square = variance_reduced
                             ? ito_sum(ito_square(score), .dims = ITO_DIMS(1))
                             : ito_square(ito_sum(ito_mul(v, score), .dims = ITO_DIMS(1)));
    return ito_mean(ito_axpby(1, trace, 0.5, square));
}

/* ---- the mixture -------------------------------------------------------------------------------
 */

/* Deviations along an axis at this angle and across it. */
typedef struct component {
    double weight, x, y, angle, along, across;
} component;

static const component components[] = {
    {0.4, -0.45, 0.35, 0.6, 0.30, 0.12},
    {0.35, 0.45, 0.30, -0.8, 0.30, 0.12},
    {0.25, 0.0, -0.5, 0.0, 0.25, 0.15},
};
enum { COMPONENTS = sizeof components / sizeof *components };

ito_tensor *mixture_samples(ito_generator *g, int64_t n)
{
    ito_tensor *points = ito_randn(g, ITO_SHAPE(n, 2), ITO_F32);
    for (int64_t i = 0; points != NULL && i < n; i++) {
        float *p = (float *)ito_data(points) + 2 * i;
        double u = ito_uniform(g);
        int k = 0;
        while (k < COMPONENTS - 1 && u >= components[k].weight)
            u -= components[k++].weight;
        const component *c = &components[k];
        double a = c->along * (double)p[0], b = c->across * (double)p[1];
        p[0] = (float)(c->x + a * cos(c->angle) - b * sin(c->angle));
        p[1] = (float)(c->y + a * sin(c->angle) + b * cos(c->angle));
    }
    return points;
}

/* The mean of the components' scores, weighted by their densities. */
static void score_at(const double p[2], double out[2])
{
    double all = 0, sum[2] = {0, 0};
    for (int k = 0; k < COMPONENTS; k++) {
        const component *c = &components[k];
        double dx = p[0] - c->x, dy = p[1] - c->y, cosine = cos(c->angle), sine = sin(c->angle);
        double a = (dx * cosine + dy * sine) / c->along, b = (dy * cosine - dx * sine) / c->across;
        double density = c->weight / (c->along * c->across) * exp(-(a * a + b * b) / 2);
        all += density;
        sum[0] -= density * (a / c->along * cosine - b / c->across * sine);
        sum[1] -= density * (a / c->along * sine + b / c->across * cosine);
    }
    out[0] = sum[0] / all;
    out[1] = sum[1] / all;
}

ito_tensor *mixture_score(ito_tensor *points)
{
    ito_tensor *p = ito_contiguous(ito_cast(points, ITO_F64));
    ito_tensor *score = p == NULL ? NULL : ito_empty_like(p);
    for (int64_t i = 0; score != NULL && i < ito_size(p, 0); i++)
        score_at((const double *)ito_const_data(p) + 2 * i, (double *)ito_data(score) + 2 * i);
    return score;
}
