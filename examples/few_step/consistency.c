/* Consistency models, from a trained network. */
#include "examples/few_step/consistency.h"

#include "examples/few_step/jump.h"

#include <math.h>
#include <string.h>

enum { DOUBLINGS = 8 };

double consistency_earlier(const ito_process *p, double t, double share)
{
    double unit = ito_process_time(p, 1.0) - p->t_clean, above = (t - p->t_clean) / unit;
    double n = 1.0 + 8.0 / (1.0 + exp(above));
    double a = fmin(1.0 + floor(share * DOUBLINGS), DOUBLINGS);
    return p->t_clean + floor(unit * above * fmax(1.0 - n / pow(2.0, a), 0.0));
}

ito_tensor *consistency_losses(const ito_diffusion *d, ito_network *network, ito_tensor *x_t,
                               ito_tensor *t, ito_tensor *x_r, ito_tensor *r)
{
    ito_estimate e;
    ito_tensor *target = jump_ddim(d, network, x_r, r, ito_full_like(r, d->process->t_clean));
    if (target == NULL || ito_diffusion_estimate(d, network, x_t, t, &e) != ITO_OK)
        return NULL;
    int64_t n = ito_size(x_t, 0), D = ito_numel(x_t) / n;
    double c = 0.00054 * sqrt((double)D);
    ito_tensor *off = ito_reshape(ito_sub(e.x_0, target), n, D);
    ito_tensor *square = ito_sum(ito_square(off), .dims = ITO_DIMS(1));
    return ito_add_scalar(ito_sqrt(ito_add_scalar(square, c * c)), -c);
}

static bool from_data(const pupil *p)
{
    return strcmp(p->o->pairs, "data") == 0;
}

ito_tensor *consistency_second_point(const pupil *p, ito_tensor *x_0, ito_tensor *eps,
                                     ito_tensor *x_t, ito_tensor *t, ito_tensor *r)
{
    return from_data(p) ? jump_noised(p->teacher->diffusion->process, x_0, eps, r)
                        : jump_ddim(p->teacher->diffusion, p->teacher->network, x_t, t, r);
}

/* The times of the two points of an example. */
static void draw_times(const pupil *p, ito_generator *g, double share, double *t, double *r)
{
    const ito_process *process = p->teacher->diffusion->process;
    if (from_data(p)) {
        *t = floor(ito_uniform(g) * (double)process->steps);
        *r = consistency_earlier(process, *t, share);
    } else {
        int64_t k = (int64_t)(ito_uniform(g) * (double)p->grid);
        *t = p->times[k + 1];
        *r = p->times[k];
    }
}

/* ECT weights them by 1 / (t - r). */
static ito_tensor *losses(pupil *p, const ito_batch *b, int64_t step)
{
    uint64_t seed = (uint64_t)p->o->seed;
    double share = (double)step / (double)p->o->steps;
    ito_generator g = ito_diffusion_generator(seed, ITO_DRAW_T, step);
    ito_generator for_labels = ito_diffusion_generator(seed, ITO_DRAW_LABEL, step);
    ito_generator for_eps = ito_diffusion_generator(seed, ITO_DRAW_EPS, step);
    int64_t n = ito_size(b->x, 0);
    ito_tensor *eps = ito_randn(&for_eps, ito_shape_of(b->x), ITO_F32);
    ito_tensor *t = ito_empty(ITO_SHAPE(n), ITO_F64), *r = ito_empty(ITO_SHAPE(n), ITO_F64);
    for (int64_t i = 0; t != NULL && r != NULL && i < n; i++)
        draw_times(p, &g, share, (double *)ito_data(t) + i, (double *)ito_data(r) + i);
    pupil_set_labels(p, b->labels, &for_labels);
    ito_tensor *x_t = jump_noised(p->teacher->diffusion->process, b->x, eps, t);
    ito_tensor *x_r = consistency_second_point(p, b->x, eps, x_t, t, r);
    ito_tensor *far =
        consistency_losses(p->teacher->diffusion, p->student->network, x_t, t, x_r, r);
    return from_data(p) ? ito_mul(far, ito_cast(ito_reciprocal(ito_sub(t, r)), ITO_F32)) : far;
}

bool consistency_train(pupil *p)
{
    ito_dataset *data = ito_image_dataset_create(p->images, .labels = p->labels);
    bool good = data != NULL && pupil_train(p, data, losses, p->o->steps);
    ito_dataset_free(data);
    return good;
}
