/* Progressive distillation. */
#include "examples/few_step/distillation.h"

#include "examples/common/batches.h"
#include "examples/common/messages.h"
#include "examples/common/options.h"
#include "examples/few_step/jump.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { AT_ONCE = 64 }; /* images whose targets are computed at once */

static double truncated_snr(ito_level l)
{
    double ratio = l.signal / l.noise;
    return fmax(ratio * ratio, 1.0);
}

ito_tensor *distillation_target(const ito_diffusion *d, ito_network *teacher, ito_tensor *x_t,
                                ito_tensor *path)
{
    if (path == NULL)
        return NULL;
    int64_t steps = ito_size(path, 0) - 1;
    ito_tensor *x = x_t;
    for (int64_t k = 0; k < steps; k++)
        x = jump_ddim(d, teacher, x, ito_select(path, 0, k), ito_select(path, 0, k + 1));
    return jump_x_0(d->process, x_t, ito_select(path, 0, 0), x, ito_select(path, 0, steps));
}

ito_tensor *distillation_losses(const ito_diffusion *d, ito_network *student, ito_tensor *x_t,
                                ito_tensor *t, ito_tensor *target)
{
    ito_estimate e;
    if (ito_diffusion_estimate(d, student, x_t, t, &e) != ITO_OK)
        return NULL;
    ito_tensor *off = ito_mul(ito_square(ito_sub(e.x_0, target)),
                              jump_numbers(d->process, t, x_t, truncated_snr));
    return ito_mean(ito_reshape(off, ito_size(x_t, 0), -1), .dims = ITO_DIMS(1));
}

/* ---- a round ---- */

/* What the teacher says: the data set of a round. */
typedef struct lessons {
    pupil *p;
    ito_loader *images;
    ito_generator g;
    ito_tensor *x_t, *labels, *t, *target; /* [n, 1, H, W], [n], [n], [n, 1, H, W] */
    batches batches;
} lessons;

/* The times of the teacher, [K + 1, n]: for each example of one step of the student. */
static ito_tensor *draw_path(lessons *l, int64_t n)
{
    const pupil *p = l->p;
    int64_t K = p->o->ratio;
    ito_tensor *path = ito_empty(ITO_SHAPE(K + 1, n), ITO_F64);
    for (int64_t i = 0; path != NULL && i < n; i++) {
        int64_t step = 1 + (int64_t)(ito_uniform(&l->g) * (double)(p->grid / K));
        for (int64_t k = 0; k <= K; k++)
            ((double *)ito_data(path))[k * n + i] = p->times[step * K - k];
    }
    return path;
}

static bool keep(ito_tensor *all, int64_t first, int64_t n, ito_tensor *part)
{
    return ito_copy_(ito_narrow(all, 0, first, n), part) != NULL;
}

static bool make(int64_t first, int64_t n, void *context)
{
    lessons *l = context;
    pupil *p = l->p;
    ito_batch b;
    if (ito_loader_next(l->images, &b) != ITO_OK)
        return false;
    ito_tensor *labels = pupil_set_labels(p, b.labels, &l->g), *path = draw_path(l, AT_ONCE);
    ito_tensor *eps = ito_randn(&l->g, ito_shape_of(b.x), ITO_F32);
    ito_tensor *t = ito_contiguous(ito_select(path, 0, 0));
    ito_tensor *x_t = jump_noised(p->teacher->diffusion->process, b.x, eps, t);
    ito_tensor *target = distillation_target(p->teacher->diffusion, p->teacher->network, x_t, path);
    batches_step(&l->batches, 1);
    return target != NULL && keep(l->x_t, first, n, ito_narrow(x_t, 0, 0, n)) &&
           keep(l->labels, first, n, ito_narrow(labels, 0, 0, n)) &&
           keep(l->t, first, n, ito_narrow(t, 0, 0, n)) &&
           keep(l->target, first, n, ito_narrow(target, 0, 0, n));
}

static ito_tensor *losses(pupil *p, const ito_batch *b, int64_t step)
{
    (void)step;
    if (p->student->condition != NULL)
        p->student->condition->labels = b->labels;
    return distillation_losses(p->teacher->diffusion, p->student->network, b->x, b->field[2],
                               b->field[3]);
}

static bool study(lessons *l, const ito_dataset *images, int64_t n, int64_t steps)
{
    pupil *p = l->p;
    ito_shape shape = ITO_SHAPE(n, 1, ito_size(p->images, 2), ito_size(p->images, 3));
    l->x_t = ito_empty(shape, ITO_F32);
    l->target = ito_empty(shape, ITO_F32);
    l->t = ito_empty(ITO_SHAPE(n), ITO_F64);
    l->labels = ito_zeros(ITO_SHAPE(n), ITO_I64);
    l->g = ito_diffusion_generator((uint64_t)p->o->seed, ITO_DRAW_EPS, p->grid);
    l->images = ito_loader_create(images, AT_ONCE, (uint64_t)(p->o->seed + p->grid));
    l->batches =
        (batches){.what = "batch of lessons", .n = n, .size = AT_ONCE, .run = make, .context = l};
    bool good = l->images != NULL && batches_run(&l->batches);
    ito_dataset *data =
        good ? ito_tensor_dataset_create(ITO_TENSORS(l->x_t, l->labels, l->t, l->target)) : NULL;
    ito_loader_free(l->images);
    good = data != NULL && pupil_train(p, data, losses, steps) && pupil_graduate(p);
    ito_dataset_free(data);
    return good;
}

bool distillation_train(pupil *p)
{
    const few_step_options *o = p->o;
    int64_t rounds = 0, steps = 2;
    for (; steps < o->grid; steps *= o->ratio)
        rounds++;
    if (steps != o->grid || rounds == 0)
        return options_error("--grid: %" PRId64 " steps do not become 2 when they are divided by "
                             "%" PRId64 ", and again",
                             o->grid, o->ratio);
    ito_dataset *images = ito_image_dataset_create(p->images, .labels = p->labels);
    bool good = images != NULL;
    for (int64_t grid = o->grid; good && grid > 2; grid /= o->ratio) {
        note("%" PRId64 " steps of the teacher, %" PRId64 " of the student\n", grid,
             grid / o->ratio);
        ito_scope_begin();
        lessons l = {.p = p};
        good = pupil_set_grid(p, grid) && study(&l, images, o->lessons, o->steps / rounds);
        ito_scope_end();
    }
    ito_dataset_free(images);
    return good;
}
