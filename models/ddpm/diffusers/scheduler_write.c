/* scheduler_config.json written, with every setting.
 * Invariant: what is read back is the same process, prediction and variance. */
#include "models/ddpm/diffusers/internal.h"

#include "models/ddpm/sampler/sampler.h"
#include "tensor/internal.h"

#include <math.h>
#include <string.h>

/* What no scheduler has. */
static bool refuse(const char *setting, const char *name, const char *why)
{
    ito_error_set(ITO_ERR_ARGUMENT, "save_diffusers: the %s %s has no form in diffusers: %s",
                  setting, name, why);
    return false;
}

/* Whether the variance is preserved: then betas say all. */
static bool has_betas(const ito_process *p)
{
    for (int64_t t = 0; t < p->steps; t++)
        if (fabs(p->signal[t] * p->signal[t] + p->noise[t] * p->noise[t] - 1.0) > 1e-9)
            return false;
    return p->steps > 0;
}

static const char *prediction_type(const ito_prediction *p)
{
    return strcmp(p->name, "eps") == 0   ? "epsilon"
           : strcmp(p->name, "x_0") == 0 ? "sample"
           : strcmp(p->name, "v") == 0   ? "v_prediction"
                                         : NULL;
}

static const char *variance_type(const ito_variance *v)
{
    return v == &ito_variance_fixedsmall      ? "fixed_small"
           : v == &ito_variance_fixedlarge    ? "fixed_large"
           : v == &ito_variance_learned_range ? "learned_range"
                                              : NULL;
}

static bool has_form(const ito_diffusion *d)
{
    const ito_process *p = d->process;
    const char *family = p->family != NULL ? p->family->name : "by its betas";
    if (p->steps == 0)
        return refuse("schedule", family, "it is in continuous time, and schedulers have steps");
    if (!has_betas(p))
        return refuse("schedule", family, "schedulers preserve the variance");
    if (prediction_type(d->prediction) == NULL)
        return refuse("prediction", d->prediction->name,
                      "prediction_type is epsilon (eps), sample (x_0) or v_prediction (v)");
    if (d->time_input != &ito_time_input_timestep)
        return refuse("time_input", d->time_input->name, "networks are given the step");
    if (variance_type(d->variance) == NULL)
        return refuse("variance", d->variance->name,
                      "variance_type is fixed_small, fixed_large or learned_range");
    return true;
}

/* ---- the parts ---- */

static bool put_text(cJSON *o, const char *key, const char *text)
{
    return cJSON_AddStringToObject(o, key, text) != NULL;
}

static bool put_number(cJSON *o, const char *key, double number)
{
    return cJSON_AddNumberToObject(o, key, number) != NULL;
}

static bool put_truth(cJSON *o, const char *key, bool truth)
{
    return cJSON_AddBoolToObject(o, key, truth) != NULL;
}

/* A schedule by its name, or all betas, in which a last step without signal shows. */
static bool put_process(cJSON *o, const ito_process *p)
{
    static const struct {
        const ito_schedule_family *family;
        const char *name;
    } names[] = {{&ito_schedule_linear, "linear"},
                 {&ito_schedule_quad, "scaled_linear"},
                 {&ito_schedule_cosine, "squaredcos_cap_v2"},
                 {&ito_schedule_sigmoid, "sigmoid"}};
    const char *name = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (p->family == names[i].family)
            name = names[i].name;
    bool uses = p->family != NULL && p->family->uses & ITO_USES_BETAS;
    return put_number(o, "num_train_timesteps", (double)p->steps) &&
           put_number(o, "beta_start", uses ? p->options.beta_start : 1e-4) &&
           put_number(o, "beta_end", uses ? p->options.beta_end : 0.02) &&
           put_text(o, "beta_schedule", name != NULL ? name : "linear") &&
           diffusers_put(o, "trained_betas",
                         name != NULL ? cJSON_CreateNull()
                                      : cJSON_CreateDoubleArray(p->beta, (int)p->steps)) &&
           put_truth(o, "rescale_betas_zero_snr", name != NULL && p->options.zero_terminal_snr);
}

/* Equal steps in t have names there. */
static const char *spacing_name(const ito_ddpm_sampling *s, const ito_sampler *sampler)
{
    const ito_spacing *spacing = s->spacing != NULL ? s->spacing : sampler->spacing;
    if (spacing == &ito_spacing_leading || spacing == &ito_spacing_trailing)
        return spacing->name;
    return spacing == &ito_spacing_linspace || spacing == NULL ? "linspace" : NULL;
}

static bool put_spacing(cJSON *o, const ito_ddpm_sampling *s, const ito_sampler *sampler,
                        char **notes)
{
    const char *name = spacing_name(s, sampler);
    return put_text(o, "timestep_spacing", name != NULL ? name : "linspace") &&
           put_number(o, "steps_offset", 0.0) &&
           (name != NULL ||
            diffusers_note(notes,
                           "the spacing %s has no form in this scheduler: linspace was written",
                           s->spacing->name));
}

/* A quantile that is limited to 1 clips, for schedulers that have no other clipping. */
static bool put_limits(cJSON *o, const ito_ddpm_sampling *s, bool clips)
{
    bool threshold = s->threshold > 0.0, by_threshold = !clips && !threshold && !s->no_clip;
    return (!clips || (put_truth(o, "clip_sample", !s->no_clip && !threshold) &&
                       put_number(o, "clip_sample_range", 1.0))) &&
           put_truth(o, "thresholding", threshold || by_threshold) &&
           put_number(o, "dynamic_thresholding_ratio", threshold ? s->threshold : 0.995) &&
           put_number(o, "sample_max_value", threshold ? DIFFUSERS_NO_LIMIT : 1.0);
}

/* ---- the classes ---- */

/* DDPMScheduler adds noise in each step from another time than 0: with fewer steps than all, the
 * last of trailing ones would leave it in the images, unless the variance is 0 there. */
static bool put_ddpm(cJSON *o, const ito_diffusion *d, const ito_ddpm_sampling *s, char **notes)
{
    ito_ddpm_sampling own = *s;
    const char *name = spacing_name(s, &ito_sampler_ddpm);
    bool noisy =
        name != NULL && strcmp(name, "trailing") == 0 && d->variance != &ito_variance_fixedsmall;
    if (noisy)
        own.spacing = &ito_spacing_linspace;
    return put_text(o, "variance_type", variance_type(d->variance)) && put_limits(o, s, true) &&
           put_spacing(o, &own, &ito_sampler_ddpm, notes) &&
           (!noisy || s->spacing == NULL ||
            diffusers_note(notes,
                           "DDPMScheduler would leave noise after the last of trailing "
                           "steps, with %s: linspace was written",
                           variance_type(d->variance)));
}

static bool put_ddim(cJSON *o, const ito_diffusion *d, const ito_ddpm_sampling *s, char **notes)
{
    (void)d;
    return put_truth(o, "set_alpha_to_one", !s->end_at_first) && put_limits(o, s, true) &&
           put_spacing(o, s, &ito_sampler_ddim, notes);
}

static bool put_dpm(cJSON *o, const ito_diffusion *d, const ito_ddpm_sampling *s, char **notes)
{
    bool noisy = s->sampler == &ito_sampler_dpmpp_2m_sde, learned = d->variance->learned;
    bool karras = s->spacing == &ito_spacing_karras, log_snr = s->spacing == &ito_spacing_log_snr;
    ito_ddpm_sampling equal = *s;
    if (karras || log_snr)
        equal.spacing = &ito_spacing_linspace;
    return (learned ? put_text(o, "variance_type", "learned_range")
                    : cJSON_AddNullToObject(o, "variance_type") != NULL) &&
           put_number(o, "solver_order", (double)s->sampler->order) &&
           put_text(o, "algorithm_type", noisy ? "sde-dpmsolver++" : "dpmsolver++") &&
           put_text(o, "solver_type", "midpoint") && put_truth(o, "lower_order_final", true) &&
           put_truth(o, "euler_at_final", false) && put_truth(o, "use_karras_sigmas", karras) &&
           put_truth(o, "use_exponential_sigmas", log_snr) &&
           put_truth(o, "use_beta_sigmas", false) && put_truth(o, "use_lu_lambdas", false) &&
           put_truth(o, "use_flow_sigmas", false) && put_number(o, "flow_shift", 1.0) &&
           put_truth(o, "use_dynamic_shifting", false) &&
           put_text(o, "time_shift_type", "exponential") &&
           put_text(o, "final_sigmas_type", s->end_at_first ? "sigma_min" : "zero") &&
           put_limits(o, s, false) && put_spacing(o, &equal, s->sampler, notes);
}

typedef struct written_class {
    const char *name;
    bool (*put)(cJSON *o, const ito_diffusion *d, const ito_ddpm_sampling *s, char **notes);
} written_class;

/* The class whose steps DDPMPipeline takes as the run's sampler would, else DDPMScheduler. */
static bool choose_class(const ito_diffusion *d, const ito_ddpm_sampling *s, written_class *out,
                         char **notes)
{
    const ito_sampler *sampler = s->sampler;
    *out = (written_class){"DDPMScheduler", put_ddpm};
    if (sampler == &ito_sampler_ddim && !d->variance->learned)
        *out = (written_class){"DDIMScheduler", put_ddim};
    else if (sampler == &ito_sampler_dpmpp_2m || sampler == &ito_sampler_dpmpp_3m ||
             sampler == &ito_sampler_dpmpp_1s || sampler == &ito_sampler_dpmpp_2m_sde)
        *out = (written_class){"DPMSolverMultistepScheduler", put_dpm};
    else if (sampler != NULL && sampler != &ito_sampler_ddpm)
        return diffusers_note(notes,
                              "the sampler %s has no scheduler that DDPMPipeline drives: "
                              "DDPMScheduler was written",
                              sampler->name);
    return true;
}

cJSON *diffusers_scheduler_json(const ito_diffusion *d, const ito_ddpm_sampling *s, char **notes)
{
    if (!has_form(d))
        return NULL;
    written_class class;
    cJSON *o = cJSON_CreateObject();
    if (o != NULL && choose_class(d, s, &class, notes) && put_text(o, "_class_name", class.name) &&
        put_text(o, "_diffusers_version", DIFFUSERS_VERSION) && put_process(o, d->process) &&
        put_text(o, "prediction_type", prediction_type(d->prediction)) && class.put(o, d, s, notes))
        return o;
    cJSON_Delete(o);
    return error_null(ITO_ERR_MEMORY, "save_diffusers: no memory for scheduler_config.json");
}
