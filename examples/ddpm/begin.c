/* The network that a training begins with. */
#include "examples/ddpm/begin.h"

#include "examples/common/choices.h"
#include "examples/common/paths.h"
#include "examples/ddpm/model_files.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the weights were trained for. */
static const char settled[] =
    "recipe|channels|multipliers|attention|blocks|self-conditioning|schedule|beta-start|beta-end|"
    "zero-terminal-snr|shift|diffusion-steps|sigma-min|sigma-max|prediction|time-input|variance|"
    "sigma-data";

/* ---- options ---- */

static void know(bool *known, const char *names)
{
    for (int i = 0; train_rows[i].type != OPTION_END; i++)
        if (train_rows[i].name != NULL && words_have(names, train_rows[i].name))
            known[i] = true;
}

static bool take_classes(train_options *o, const command_line *c, const ito_unet_config *model,
                         bool *known)
{
    if (model->class_kind == ITO_UNET_CLASS_TIMESTEP ||
        model->class_kind == ITO_UNET_CLASS_EMBEDDED)
        return options_error("--model: %s: labels of its network are not classes, and data have "
                             "classes",
                             o->model);
    if (o->conditional && model->classes == 0)
        return options_error("--conditional: the network of --model takes no classes");
    o->conditional = model->classes > 0;
    know(known, "conditional");
    if (model->classes == 0 || model->class_kind != ITO_UNET_CLASS_ALWAYS)
        return true;
    options_refuse_given(c, "label-dropout",
                         "the network of --model has no place for images without a class");
    o->label_dropout = 0.0;
    know(known, "label-dropout");
    return true;
}

/* The training's own choices, which may be others. */
static void take_training(train_options *o, const command_line *c, const ito_ddpm *m, bool *known)
{
    const ito_diffusion_options *d = &m->settings.diffusion;
    if (!options_given(c, "weighting") && !options_given(c, "gamma") && !options_given(c, "k")) {
        o->weighting = d->weighting->name;
        o->gamma = d->weighting->uses & ITO_USES_GAMMA ? d->gamma : UNSET_REAL;
        o->k = d->weighting->uses & ITO_USES_K ? d->k : UNSET_REAL;
        know(known, "weighting|gamma|k");
    }
    if (!options_given(c, "loss")) {
        o->loss = d->objective->name;
        know(known, "loss");
    }
    if (!options_given(c, "dropout")) {
        o->dropout = m->settings.model.dropout;
        know(known, "dropout");
    }
    if (!options_given(c, "sampler") && !options_given(c, "spacing") &&
        m->sampling.sampler != NULL) {
        o->sampler = m->sampling.sampler->name;
        o->spacing = m->sampling.spacing != NULL ? m->sampling.spacing->name : NULL;
        know(known, "sampler|spacing");
    }
}

static void take_diffusion(train_options *o, const ito_diffusion_options *d, bool *known)
{
    ito_diffusion *made = ito_diffusion_create_with(*d); /* which was checked when it was read */
    bool betas = d->schedule->uses & ITO_USES_BETAS, sigmas = d->schedule->uses & ITO_USES_SIGMAS;
    o->schedule = d->betas == NULL ? d->schedule->name : NULL;
    o->beta_start = betas && d->betas == NULL ? d->beta_start : UNSET_REAL;
    o->beta_end = betas && d->betas == NULL ? d->beta_end : UNSET_REAL;
    o->sigma_min = sigmas ? d->sigma_min : UNSET_REAL;
    o->sigma_max = sigmas ? d->sigma_max : UNSET_REAL;
    o->shift = d->schedule->uses & ITO_USES_SHIFT ? d->shift : UNSET_REAL;
    o->zero_terminal_snr = d->zero_terminal_snr;
    o->diffusion_steps = made != NULL ? made->process->steps : d->steps;
    o->prediction = d->prediction->name;
    o->time_input = d->time_input->name;
    o->variance = d->variance->name;
    o->sigma_data = d->sigma_data;
    know(known, settled);
    ito_diffusion_free(made);
}

bool begin_options(train_options *o, const command_line *c, bool *known)
{
    options_refuse_given(c, settled, "the network of --model was trained with its own");
    ito_ddpm *m = model_load(o->model, ITO_OPTIONS(ito_ddpm_load_options, .settings_only = true));
    if (m == NULL)
        return false;
    take_diffusion(o, &m->settings.diffusion, known);
    take_training(o, c, m, known);
    o->self_conditioning = m->settings.model.self_condition;
    bool good = take_classes(o, c, &m->settings.model, known);
    ito_ddpm_free(m);
    return good;
}

/* ---- settings ---- */

/* Those of a run are in its config.json. */
static bool stored_settings(const train_options *o, const cJSON *config, ito_ddpm_settings *out)
{
    char *source = path_join(o->out, "config.json"), *text = cJSON_PrintUnformatted(config);
    bool good =
        source != NULL && text != NULL && ito_ddpm_settings_parse(text, source, out) == ITO_OK;
    free(source);
    free(text);
    return good;
}

static bool settings_of_model(const train_options *o, ito_ddpm_settings *out)
{
    ito_ddpm *m = model_load(o->model, ITO_OPTIONS(ito_ddpm_load_options, .settings_only = true));
    if (m == NULL)
        return false;
    *out = m->settings;
    m->settings.betas = NULL; /* the caller's now */
    ito_ddpm_free(m);
    return true;
}

bool begin_settings(const train_options *o, const cJSON *config, int64_t channels, int64_t height,
                    int64_t width, ito_ddpm_settings *out)
{
    if (o->resume)
        return stored_settings(o, config, out);
    if (!settings_of_model(o, out))
        return false;
    ito_unet_config *c = &out->model;
    ito_diffusion_options *d = &out->diffusion;
    if (c->in_channels != channels)
        return options_error("--model: %s: its network takes images of %" PRId64
                             " channel%s, and those of --data have %" PRId64,
                             o->model, c->in_channels, PLURAL(c->in_channels), channels);
    c->height = height;
    c->width = width;
    c->dropout = o->dropout;
    d->weighting = ito_weighting_find(o->weighting);
    d->objective = ito_objective_find(o->loss);
    d->gamma = o->gamma;
    d->k = o->k;
    ito_diffusion *made =
        d->weighting != NULL && d->objective != NULL ? ito_diffusion_create_with(*d) : NULL;
    ito_diffusion_free(made);
    return made != NULL && ito_unet_check(c) == ITO_OK;
}

/* ---- weights ---- */

bool begin_weights(const train_options *o, ito_unet *unet)
{
    ito_ddpm *m = model_load(o->model, ITO_OPTIONS(ito_ddpm_load_options, .plain = false));
    ito_named_tensors *from = m != NULL ? ito_module_state(&m->unet->base) : NULL;
    ito_named_tensors *to = from != NULL ? ito_module_state(&unet->base) : NULL;
    bool good = to != NULL && from->n == to->n;
    ito_no_grad_begin();
    for (int64_t i = 0; good && i < to->n; i++)
        good = ito_copy_(to->tensors[i], from->tensors[i]) != NULL;
    ito_no_grad_end();
    ito_named_tensors_free(from);
    ito_named_tensors_free(to);
    ito_ddpm_free(m);
    return good;
}
