/* A student network that begins as a copy of its teacher. */
#include "examples/few_step/pupil.h"

#include "examples/common/idx_directory.h"
#include "examples/common/options.h"
#include "examples/common/progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_DROPOUT 0.1

/* ---- the teacher ---- */

/* What keeps this network from being a teacher, NULL if nothing does. */
static const char *unfit(const ito_ddpm_settings *s)
{
    const ito_prediction *p = s->diffusion.prediction;
    if (p != &ito_prediction_v && p != &ito_prediction_x_0 && p != &ito_prediction_eps)
        return "it predicts none of v, x_0 and eps";
    if (s->model.self_condition)
        return "it takes its own last estimate, which a single step has not";
    return s->diffusion.variance->learned ? "its variance is learned, and few steps have no use "
                                            "for that"
                                          : NULL;
}

static bool check(const pupil *p)
{
    const char *name = p->teacher->path, *why = unfit(&p->teacher->settings);
    const ito_unet_config *c = &p->teacher->settings.model;
    if (why == NULL && p->teacher->diffusion->process->steps == 0)
        why = "its process is in continuous time; its times are to be steps";
    if (why != NULL) {
        ito_error_set(ITO_ERR_ARGUMENT, "%s: it cannot be the teacher: %s", name, why);
        return false;
    }
    int64_t H = ito_size(p->images, 2), W = ito_size(p->images, 3);
    if (c->in_channels != 1 || c->height != H || c->width != W) {
        ito_error_set(ITO_ERR_SHAPE,
                      "%s: the teacher's images are %" PRId64 "x%" PRId64 " with %" PRId64
                      " channel%s, and those of %s are %" PRId64 "x%" PRId64 " with 1",
                      name, c->height, c->width, c->in_channels, PLURAL(c->in_channels), p->o->data,
                      H, W);
        return false;
    }
    if (c->classes == 0 || c->classes == IDX_CLASSES)
        return true;
    ito_error_set(ITO_ERR_SHAPE, "%s: the teacher knows %" PRId64 " class%s, and %s has %d", name,
                  c->classes, c->classes == 1 ? "" : "es", p->o->data, IDX_CLASSES);
    return false;
}

/* A copy of the teacher's network. */
static ito_ddpm *load(const few_step_options *o)
{
    bool built_in = strcmp(o->teacher, BUILT_IN) == 0;
    ito_ddpm *m = built_in ? ito_ddpm_fashion_mnist() : ito_ddpm_load(o->teacher);
    if (m != NULL)
        ito_unet_set_precision(m->unet, strcmp(o->precision, "bf16") == 0 ? ITO_BF16 : ITO_F32);
    return m;
}

bool pupil_open(pupil *p, const few_step_options *o)
{
    *p = (pupil){.o = o, .teacher = load(o)};
    p->student = p->teacher != NULL ? load(o) : NULL;
    p->images = p->student != NULL ? idx_directory_images(o->data, false) : NULL;
    p->labels = p->images != NULL ? idx_directory_labels(o->data, false, p->images) : NULL;
    if (p->labels == NULL || !check(p))
        return false;
    if (o->sigma_lo >= o->sigma_hi)
        return options_error("--sigma-lo: %g is not below --sigma-hi, %g", o->sigma_lo,
                             o->sigma_hi);
    ito_guidance *guidance = p->teacher->guidance;
    guidance->scale = p->teacher->condition != NULL ? o->guidance : 1.0;
    guidance->sigma_lo = o->sigma_lo;
    guidance->sigma_hi = o->sigma_hi;
    return pupil_set_grid(p, o->grid);
}

void pupil_close(pupil *p)
{
    ito_ddpm_free(p->student);
    ito_ddpm_free(p->teacher);
    free(p->times);
}

bool pupil_set_grid(pupil *p, int64_t grid)
{
    double *falling = malloc(sizeof *falling * (size_t)(grid + 1));
    free(p->times);
    p->times = falling;
    p->grid = grid;
    if (falling == NULL)
        ito_error_set(ITO_ERR_MEMORY, "few-step: no memory for %" PRId64 " times", grid);
    if (falling == NULL || ito_timesteps(p->teacher->diffusion->process, &ito_spacing_trailing,
                                         grid, falling) != ITO_OK)
        return false;
    falling[grid] = p->teacher->diffusion->process->t_clean;
    for (int64_t i = 0; i < (grid + 1) / 2; i++) {
        double t = falling[i];
        falling[i] = falling[grid - i];
        falling[grid - i] = t;
    }
    return true;
}

ito_tensor *pupil_set_labels(pupil *p, ito_tensor *labels, ito_generator *g)
{
    if (p->teacher->condition == NULL || labels == NULL)
        return labels;
    ito_tensor *none = ito_full_like(labels, (double)p->teacher->settings.model.classes);
    ito_tensor *u = ito_rand(g, ito_shape_of(labels), ITO_F32);
    labels = ito_where(ito_lt(u, ito_scalar(LABEL_DROPOUT, ITO_F32)), none, labels);
    p->teacher->condition->labels = p->student->condition->labels = labels;
    return labels;
}

/* ---- the student ---- */

/* The parts of a training run. */
typedef struct course {
    ito_optimizer *optimizer;
    ito_ema *ema;
    ito_loader *loader;
} course;

static bool train_step(pupil *p, course *c, pupil_losses *losses, int64_t step, int64_t steps,
                       double *loss)
{
    ito_batch b;
    ito_module *net = &p->student->unet->base;
    double lr = p->o->lr * ito_lr_warmup(step, 20) * ito_lr_cosine(step, steps, 0.0);
    if (ito_loader_next(c->loader, &b) != ITO_OK)
        return false;
    ito_module_seed(net, (uint64_t)p->o->seed, (uint64_t)step);
    ito_module_zero_grad(net);
    ito_tensor *mean = ito_mean(losses(p, &b, step));
    if (mean == NULL || ito_backward(mean) != ITO_OK ||
        ito_optimizer_step(c->optimizer, lr, .ema = c->ema) != ITO_OK)
        return false;
    *loss = ito_item(mean);
    return true;
}

bool pupil_train(pupil *p, const ito_dataset *data, pupil_losses *losses, int64_t steps)
{
    ito_module *net = &p->student->unet->base;
    course c = {.optimizer = ito_adam_create(net, .beta2 = 0.99)};
    c.ema = c.optimizer != NULL ? ito_ema_create(net, .decay = p->o->ema, .warmup = true) : NULL;
    c.loader = c.ema != NULL ? ito_loader_create(data, p->o->batch, (uint64_t)p->o->seed) : NULL;
    bool good = c.loader != NULL;
    progress bar = {.quiet = false};
    progress_begin(&bar, "step", "images", 0, steps);
    ito_module_train(net, true);
    for (int64_t step = 0; good && step < steps; step++) {
        double loss = 0.0;
        ito_scope_begin();
        good = train_step(p, &c, losses, step, steps, &loss);
        ito_scope_end();
        progress_step(&bar, step + 1, p->o->batch, loss);
    }
    progress_end(&bar);
    ito_module_train(net, false);
    good = good && ito_ema_swap(c.ema) == ITO_OK;
    ito_loader_free(c.loader);
    ito_ema_free(c.ema);
    ito_optimizer_free(c.optimizer);
    return good;
}

bool pupil_graduate(pupil *p)
{
    ito_named_tensors *from = ito_module_parameters(&p->student->unet->base);
    ito_named_tensors *to = from != NULL ? ito_module_parameters(&p->teacher->unet->base) : NULL;
    bool good = to != NULL;
    ITO_NO_GRAD
    {
        for (int64_t i = 0; good && i < to->n; i++)
            good = ito_copy_(to->tensors[i], from->tensors[i]) != NULL;
    }
    p->teacher->guidance->scale = 1.0; /* it has learned that */
    ito_named_tensors_free(to);
    ito_named_tensors_free(from);
    return good;
}

bool pupil_save(const pupil *p)
{
    p->student->step = p->o->steps;
    return ito_ddpm_save(p->student, p->o->out, .bf16 = true) == ITO_OK;
}
