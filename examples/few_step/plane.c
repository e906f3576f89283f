/* Two moons in the plane, and a network of two times. */
#include "examples/few_step/plane.h"

#include "examples/common/draw.h"

#include <math.h>

enum { POINT = 2, WAVES = 8, INPUTS = POINT + 4 * WAVES };

ito_tensor *mean_velocity_at(const mean_velocity *u, ito_tensor *x, ito_tensor *t, ito_tensor *r)
{
    return x != NULL && t != NULL && r != NULL ? u->evaluate(u, x, t, r) : NULL;
}

/* sin(k t) and cos(k t) for k = 1 .. WAVES: [N, 2 WAVES], smooth in t for derivatives. */
static ito_tensor *waves(ito_tensor *t)
{
    ito_tensor *angle = ito_mul(t, ito_reshape(ito_arange(1, WAVES + 1, 1, ITO_F32), 1, WAVES));
    return ito_cat(ITO_TENSORS(ito_sin(angle), ito_cos(angle)), 1);
}

static ito_tensor *evaluate(const mean_velocity *self, ito_tensor *x, ito_tensor *t, ito_tensor *r)
{
    const plane_network *n = self->context;
    ito_tensor *h = ito_cat(ITO_TENSORS(x, waves(t), waves(ito_sub(t, r))), 1);
    for (int i = 0; i < 3; i++)
        h = ito_silu(ito_linear_forward(n->layer[i], h));
    return ito_linear_forward(n->layer[3], h);
}

plane_network *plane_network_create(int64_t width, ito_generator *g)
{
    static const char *const names[] = {"0", "1", "2", "3"};
    plane_network *n = ito_module_create(NULL, "", sizeof *n);
    for (int i = 0; n != NULL && i < 4; i++) {
        int64_t in = i == 0 ? INPUTS : width, out = i == 3 ? POINT : width;
        n->layer[i] = ito_linear_create(&n->base, names[i], in, out, .generator = g);
        if (n->layer[i] == NULL) {
            ito_module_free(&n->base);
            return NULL;
        }
    }
    if (n != NULL)
        n->u = (mean_velocity){.evaluate = evaluate, .context = n};
    return n;
}

ito_tensor *plane_step(const mean_velocity *u, ito_tensor *x, double t, double r)
{
    if (x == NULL)
        return NULL;
    ito_shape one = ITO_SHAPE(ito_size(x, 0), 1);
    ito_dtype dtype = ito_dtype_of(x);
    ito_tensor *v = mean_velocity_at(u, x, ito_full(one, t, dtype), ito_full(one, r, dtype));
    return v;
}

ito_tensor *plane_sample(const mean_velocity *u, ito_tensor *noise, int64_t steps, bool euler)
{
    ito_tensor *x = noise;
    ITO_NO_GRAD
    {
        for (int64_t i = 0; i < steps; i++) {
            double t = 1.0 - (double)i / (double)steps, r = 1.0 - (double)(i + 1) / (double)steps;
            x = ito_axpby(1.0, x, r - t, plane_step(u, x, t, euler ? t : r));
        }
    }
    return x;
}

/* ---- points ---- */

ito_tensor *plane_moons(ito_generator *g, int64_t n)
{
    ito_tensor *points = ito_randn(g, ITO_SHAPE(n, POINT), ITO_F32);
    for (int64_t i = 0; points != NULL && i < n; i++) {
        float *xy = (float *)ito_data(points) + POINT * i;
        double angle = M_PI * ito_uniform(g), up = ito_uniform(g) < 0.5 ? 1.0 : -1.0;
        xy[0] = (float)(0.6 * (up * (cos(angle) - 0.5) + 0.05 * (double)xy[0]));
        xy[1] = (float)(0.6 * (up * (sin(angle) - 0.25) + 0.05 * (double)xy[1]));
    }
    return points;
}

double plane_distance(ito_tensor *a, ito_tensor *b)
{
    enum { DIRECTIONS = 64 };
    double along[2 * DIRECTIONS];
    for (int k = 0; k < DIRECTIONS; k++) {
        along[k] = cos(M_PI * k / DIRECTIONS);
        along[DIRECTIONS + k] = sin(M_PI * k / DIRECTIONS);
    }
    ito_tensor *d = ito_reshape(ito_values_of(along, 2 * DIRECTIONS, ITO_F64), POINT, DIRECTIONS);
    ito_tensor *p = ito_matmul(ito_cast(a, ITO_F64), d), *q = ito_matmul(ito_cast(b, ITO_F64), d);
    ito_tensor *off = ito_sub(ito_sort(p, NULL, .dim = 0), ito_sort(q, NULL, .dim = 0));
    off = ito_mean(ito_abs(off));
    return off != NULL ? ito_item(off) : -1.0;
}

bool plane_draw(const char *path, ito_tensor *const *clouds, int n)
{
    ito_tensor *picture = draw_panels(n);
    for (int k = 0; k < n; k++)
        if (picture == NULL || !draw_points(picture, k, clouds[k]))
            return false;
    return ito_image_save(path, picture) == ITO_OK;
}
