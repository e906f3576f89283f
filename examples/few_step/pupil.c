/* A student network that begins as a copy of its teacher. */
#include "examples/few_step/pupil.h"

#include "ddpm_weights.h"
#include "examples/common/idx_directory.h"
#include "examples/common/options.h"
#include "examples/common/progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTINGS "ito_ddpm_settings" /* of the metadata of a file that ito-ddpm export writes */
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
    const char *name = ito_safetensors_path(p->file), *why = unfit(&p->settings);
    const ito_unet_config *c = &p->settings.model;
    if (why == NULL && p->diffusion->process->steps == 0)
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

static bool load(const pupil *p, labelled *out, double guidance)
{
    out->unet = ito_unet_create(&p->settings.model, NULL);
    if (out->unet == NULL || ito_module_load_file(&out->unet->base, p->file) != ITO_OK ||
        ito_unet_set_precision(out->unet,
                               strcmp(p->o->precision, "bf16") == 0 ? ITO_BF16 : ITO_F32))
        return false;
    ito_module_train(&out->unet->base, false);
    out->network = &out->unet->network;
    if (p->settings.model.classes == 0)
        return true;
    out->guided = ito_guidance_create(p->diffusion, out->network, guidance,
                                      .sigma_lo = p->o->sigma_lo, .sigma_hi = p->o->sigma_hi);
    if (out->guided == NULL)
        return false;
    out->condition = ito_class_condition_create(&out->guided->base, p->settings.model.classes);
    out->network = out->condition != NULL ? &out->condition->base : NULL;
    return out->network != NULL;
}

bool pupil_open(pupil *p, const few_step_options *o)
{
    *p = (pupil){.o = o};
    p->file = strcmp(o->teacher, BUILT_IN) == 0
                  ? ito_safetensors_open_memory(ddpm_weights, ddpm_weights_size(), BUILT_IN)
                  : ito_safetensors_open(o->teacher);
    if (p->file == NULL)
        return false;
    const char *text = ito_safetensors_metadata(p->file, SETTINGS);
    if (text == NULL) {
        ito_error_set(ITO_ERR_FORMAT, "%s: it has no settings; ito-ddpm export writes them",
                      o->teacher);
        return false;
    }
    if (ito_ddpm_settings_parse(text, o->teacher, &p->settings) != ITO_OK)
        return false;
    p->diffusion = ito_diffusion_create_with(p->settings.diffusion);
    p->images = p->diffusion != NULL ? idx_directory_images(o->data, false) : NULL;
    p->labels = p->images != NULL ? idx_directory_labels(o->data, false, p->images) : NULL;
    return p->labels != NULL && check(p) && load(p, &p->teacher, o->guidance) &&
           load(p, &p->student, 1.0) && pupil_set_grid(p, o->grid);
}

static void unload(labelled *m)
{
    ito_network_free(m->condition != NULL ? &m->condition->base : NULL);
    ito_network_free(m->guided != NULL ? &m->guided->base : NULL);
    if (m->unet != NULL)
        ito_module_free(&m->unet->base);
}

void pupil_close(pupil *p)
{
    unload(&p->student);
    unload(&p->teacher);
    ito_diffusion_free(p->diffusion);
    ito_safetensors_close(p->file);
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
    if (falling == NULL ||
        ito_timesteps(p->diffusion->process, &ito_spacing_trailing, grid, falling) != ITO_OK)
        return false;
    falling[grid] = p->diffusion->process->t_clean;
    for (int64_t i = 0; i < (grid + 1) / 2; i++) {
        double t = falling[i];
        falling[i] = falling[grid - i];
        falling[grid - i] = t;
    }
    return true;
}

ito_tensor *pupil_set_labels(pupil *p, ito_tensor *labels, ito_generator *g)
{
    if (p->teacher.condition == NULL || labels == NULL)
        return labels;
    ito_tensor *none = ito_full_like(labels, (double)p->settings.model.classes);
    ito_tensor *u = ito_rand(g, ito_shape_of(labels), ITO_F32);
    labels = ito_where(ito_lt(u, ito_scalar(LABEL_DROPOUT, ITO_F32)), none, labels);
    p->teacher.condition->labels = p->student.condition->labels = labels;
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
    ito_module *net = &p->student.unet->base;
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
    ito_module *net = &p->student.unet->base;
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
    ito_named_tensors *from = ito_module_parameters(&p->student.unet->base);
    ito_named_tensors *to = from != NULL ? ito_module_parameters(&p->teacher.unet->base) : NULL;
    bool good = to != NULL;
    ITO_NO_GRAD
    {
        for (int64_t i = 0; good && i < to->n; i++)
            good = ito_copy_(to->tensors[i], from->tensors[i]) != NULL;
    }
    if (p->teacher.guided != NULL)
        p->teacher.guided->scale = 1.0; /* it has learned that */
    ito_named_tensors_free(to);
    ito_named_tensors_free(from);
    return good;
}

bool pupil_save(const pupil *p)
{
    char steps[24];
    snprintf(steps, sizeof steps, "%" PRId64, p->o->steps);
    const char *keys[] = {SETTINGS, "ito_step"};
    const char *values[] = {ito_safetensors_metadata(p->file, SETTINGS), steps};
    return ito_module_save(&p->student.unet->base, p->o->out, .bf16 = true, .metadata_keys = keys,
                           .metadata_values = values, .n_metadata = 2) == ITO_OK;
}
