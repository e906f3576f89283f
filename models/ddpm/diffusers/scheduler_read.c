/* scheduler_config.json read: the process, the prediction, the variance, and how samples are made.
 * Invariant: a setting that would change the samples is heeded, refused by its key, or said in a
 * note. */
#include "models/ddpm/diffusers/internal.h"
#include "models/ddpm/diffusers/scheduler_classes.h"

#include "models/ddpm/sampler/sampler.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reading {
    diffusers_json j;
    const scheduler_class *class;
    const ito_unet_config *unet;
    diffusers_scheduler *out;
    char **notes;
} reading;

static bool heeds(const reading *r, unsigned what)
{
    return (r->class->heeds & what) != 0;
}

/* ---- what does not depend on the class ---- */

static const scheduler_class *class_of(diffusers_json *j)
{
    const cJSON *name = diffusers_take(j, "_class_name");
    const char *text = cJSON_GetStringValue(name);
    char names[600] = "";
    for (int i = 0; i < SCHEDULER_CLASSES; i++) {
        size_t n = strlen(names);
        if (text != NULL && strcmp(text, scheduler_classes[i].name) == 0)
            return &scheduler_classes[i];
        snprintf(names + n, sizeof names - n, "%s%s",
                 i == 0                       ? ""
                 : i == SCHEDULER_CLASSES - 1 ? " and "
                                              : ", ",
                 scheduler_classes[i].name);
    }
    diffusers_refuse(j, "_class_name", name, "Ito has the samplers of %s", names);
    return NULL;
}

/* Settings that have one value here. */
static bool refuse_others(diffusers_json *j)
{
    static const struct {
        const char *key, *value;
    } only[] = {{"use_beta_sigmas", "false"},
                {"use_flow_sigmas", "false"},
                {"use_dynamic_shifting", "false"},
                {"interpolation_type", "\"linear\""},
                {"timestep_type", "\"discrete\""},
                {"predict_x0", "true"},
                {"disable_corrector", "[]"},
                {"solver_p", "null"},
                {"sigma_min", "null"},
                {"sigma_max", "null"},
                {"shift_terminal", "null"}};
    bool good = true;
    for (size_t i = 0; good && i < sizeof only / sizeof only[0]; i++) {
        const cJSON *item = diffusers_take(j, only[i].key);
        cJSON *wanted = cJSON_Parse(only[i].value);
        if (item != NULL && !cJSON_Compare(item, wanted, true))
            good = diffusers_refuse(j, only[i].key, item, "Ito takes %s alone", only[i].value);
        cJSON_Delete(wanted);
    }
    return good;
}

/* Settings that change nothing here: of flow, of old versions, and of the last steps' order, which
 * falls to 1 with a step to the clean data. */
static void pass_over(diffusers_json *j)
{
    static const char *const keys[] = {"flow_shift",
                                       "time_shift_type",
                                       "tensor_format",
                                       "euler_at_final",
                                       "lower_order_final",
                                       "timestep_values",
                                       "skip_prk_steps",
                                       "clip_sample_range",
                                       "solver_type",
                                       "solver_order",
                                       "algorithm_type",
                                       "variance_type",
                                       "clip_sample",
                                       "set_alpha_to_one",
                                       "thresholding",
                                       "use_lu_lambdas",
                                       "sample_max_value",
                                       "final_sigmas_type",
                                       "use_karras_sigmas",
                                       "use_exponential_sigmas",
                                       "dynamic_thresholding_ratio",
                                       "rescale_betas_zero_snr"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        diffusers_take(j, keys[i]);
}

/* ---- the process ---- */

/* trained_betas in the place of a schedule. */
static bool read_betas(reading *r, const cJSON *list, int64_t T)
{
    const cJSON *item;
    int64_t n = 0;
    double *betas = cJSON_IsArray(list) && cJSON_GetArraySize(list) == T
                        ? struct_alloc((size_t)T * sizeof *betas)
                        : NULL;
    r->out->betas = betas;
    cJSON_ArrayForEach(item, list)
    {
        if (betas != NULL && cJSON_IsNumber(item))
            betas[n++] = item->valuedouble;
    }
    r->out->diffusion.betas = betas;
    return (betas != NULL && n == T) ||
           diffusers_refuse(&r->j, "trained_betas", list,
                            "it is a list of as many numbers as num_train_timesteps says, %" PRId64,
                            T);
}

static bool read_process(reading *r)
{
    static const diffusers_word schedules[] = {
        {"linear", 0}, {"scaled_linear", 1}, {"squaredcos_cap_v2", 2}, {"sigmoid", 3}, {NULL, 0}};
    static const ito_schedule_family *const families[] = {
        &ito_schedule_linear, &ito_schedule_quad, &ito_schedule_cosine, &ito_schedule_sigmoid};
    ito_diffusion_options *d = &r->out->diffusion;
    bool heun = strcmp(r->class->name, "HeunDiscreteScheduler") == 0;
    int schedule;
    if (!diffusers_whole(&r->j, "num_train_timesteps", 1000, &d->steps) ||
        !diffusers_real(&r->j, "beta_start", heun ? 0.00085 : 1e-4, &d->beta_start) ||
        !diffusers_real(&r->j, "beta_end", heun ? 0.012 : 0.02, &d->beta_end) ||
        (heeds(r, HEEDS_RESCALE) &&
         !diffusers_truth(&r->j, "rescale_betas_zero_snr", false, &d->zero_terminal_snr)))
        return false;
    if (d->steps < 1) {
        file_error(ITO_ERR_FORMAT, r->j.path,
                   "\"num_train_timesteps\" is %" PRId64 "; it is a whole number from 1 on",
                   d->steps);
        return false;
    }
    const cJSON *list = diffusers_take(&r->j, "trained_betas");
    if (list == NULL || cJSON_IsNull(list)) {
        if (!diffusers_choice(&r->j, "beta_schedule", schedules, 0, &schedule))
            return false;
        d->schedule = families[schedule];
        return true;
    }
    diffusers_take(&r->j, "beta_schedule");
    if (d->zero_terminal_snr)
        return diffusers_refuse(&r->j, "trained_betas", list,
                                "with rescale_betas_zero_snr the list is to be the rescaled one");
    return read_betas(r, list, d->steps);
}

static bool read_prediction(reading *r)
{
    static const diffusers_word words[] = {
        {"epsilon", 0}, {"sample", 1}, {"v_prediction", 2}, {NULL, 0}};
    static const ito_prediction *const predictions[] = {&ito_prediction_eps, &ito_prediction_x_0,
                                                        &ito_prediction_v};
    int prediction;
    if (!diffusers_choice(&r->j, "prediction_type", words, 0, &prediction))
        return false;
    r->out->diffusion.prediction = predictions[prediction];
    return true;
}

/* The network has a second head for a variance that it has learned, and for that alone. */
static bool heads_fit(const char *path, const ito_unet_config *unet, bool learned)
{
    int64_t in = unet->in_channels, out = unet->out_channels;
    if (out == (learned ? 2 * in : in))
        return true;
    file_error(ITO_ERR_FORMAT, path,
               "the network has %" PRId64 " channels in and %" PRId64
               " out; with this scheduler (%s) Ito takes %" PRId64 " out",
               in, out, learned ? "variance_type learned_range" : "no learned variance",
               learned ? 2 * in : in);
    return false;
}

static void set_variance(ito_diffusion_options *d, const ito_variance *variance)
{
    d->variance = variance;
    if (variance->learned)
        d->objective = &ito_objective_hybrid;
}

static bool read_variance(reading *r)
{
    static const diffusers_word words[] = {{"fixed_small", 0},
                                           {"fixed_small_log", 0},
                                           {"fixed_large", 1},
                                           {"learned_range", 2},
                                           {NULL, 0}};
    static const ito_variance *const variances[] = {
        &ito_variance_fixedsmall, &ito_variance_fixedlarge, &ito_variance_learned_range};
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(r->j.root, "variance_type");
    int variance = 0;
    r->out->says_variance = heeds(r, HEEDS_VARIANCE) && item != NULL && !cJSON_IsNull(item);
    if (r->out->says_variance && !diffusers_choice(&r->j, "variance_type", words, 0, &variance))
        return false;
    set_variance(&r->out->diffusion, variances[variance]);
    return heads_fit(r->j.path, r->unet, variances[variance]->learned);
}

/* ---- samples ---- */

static bool read_sampler(reading *r)
{
    static const diffusers_word algorithms[] = {
        {"dpmsolver++", 0}, {"sde-dpmsolver++", 1}, {NULL, 0}};
    int64_t order = 0;
    int noisy = 0;
    bool plms = false;
    if ((heeds(r, HEEDS_ORDER) && !diffusers_whole(&r->j, "solver_order", 2, &order)) ||
        (heeds(r, HEEDS_ALGORITHM) &&
         !diffusers_choice(&r->j, "algorithm_type", algorithms, 0, &noisy)) ||
        (heeds(r, HEEDS_PRK) && !diffusers_truth(&r->j, "skip_prk_steps", false, &plms)))
        return false;
    const char *name = order >= 0 && order < 4 ? r->class->samplers[order] : NULL;
    if (noisy)
        name = name != NULL && strcmp(name, "dpm++2m") == 0 ? "dpm++2m-sde" : NULL;
    if (name == NULL) {
        file_error(ITO_ERR_FORMAT, r->j.path,
                   "\"solver_order\" is %" PRId64 "; Ito has no %s%s of this order", order,
                   r->class->name, noisy ? " with noise" : "");
        return false;
    }
    const cJSON *type = heeds(r, HEEDS_SOLVER) ? diffusers_take(&r->j, "solver_type") : NULL;
    if (order > 1 && type != NULL &&
        (!cJSON_IsString(type) || strcmp(type->valuestring, r->class->solver_type) != 0))
        return diffusers_refuse(&r->j, "solver_type", type, "Ito has %s", r->class->solver_type);
    r->out->sampling.sampler = ito_sampler_find(plms ? "plms" : name);
    return r->out->sampling.sampler != NULL;
}

static bool read_spacing(reading *r)
{
    static const diffusers_word words[] = {
        {"linspace", 0}, {"leading", 1}, {"trailing", 2}, {NULL, 0}};
    static const ito_spacing *const spacings[] = {&ito_spacing_linspace, &ito_spacing_leading,
                                                  &ito_spacing_trailing};
    int spacing;
    int64_t offset;
    bool karras = false, log_snr = false, lu = false;
    if (!diffusers_choice(&r->j, "timestep_spacing", words,
                          diffusers_word_value(words, r->class->spacing), &spacing) ||
        !diffusers_whole(&r->j, "steps_offset", 0, &offset) ||
        (heeds(r, HEEDS_SIGMAS) &&
         (!diffusers_truth(&r->j, "use_karras_sigmas", false, &karras) ||
          !diffusers_truth(&r->j, "use_exponential_sigmas", false, &log_snr))) ||
        (heeds(r, HEEDS_LAMBDAS) && !diffusers_truth(&r->j, "use_lu_lambdas", false, &lu)))
        return false;
    r->out->sampling.spacing = karras          ? &ito_spacing_karras
                               : log_snr || lu ? &ito_spacing_log_snr
                                               : spacings[spacing];
    return r->out->sampling.spacing != &ito_spacing_leading || offset == 0 ||
           diffusers_note(r->notes,
                          "%s: \"steps_offset\" is %" PRId64
                          ", and leading steps begin at 0 here: samples differ a little",
                          r->j.path, offset);
}

/* DDPMScheduler adds noise in the last of trailing steps, unless the variance is 0 there. */
static bool say_last_noise(const reading *r)
{
    return r->out->sampling.sampler != &ito_sampler_ddpm ||
           r->out->sampling.spacing != &ito_spacing_trailing ||
           r->out->diffusion.variance == &ito_variance_fixedsmall ||
           diffusers_note(
               r->notes,
               "%s: with \"timestep_spacing\" trailing and this variance diffusers leaves "
               "noise in the images; Ito does not",
               r->j.path);
}

/* Of the estimates: clipped, limited by a quantile, or neither. A quantile that is limited to 1
 * clips. */
static bool read_limits(reading *r)
{
    ito_ddpm_sampling *s = &r->out->sampling;
    double range = 1.0, ratio = 0.995, most = 1.0;
    bool clip = heeds(r, HEEDS_CLIP) && strcmp(r->class->name, "HeunDiscreteScheduler") != 0;
    bool threshold = false;
    if ((heeds(r, HEEDS_CLIP) && (!diffusers_truth(&r->j, "clip_sample", clip, &clip) ||
                                  !diffusers_real(&r->j, "clip_sample_range", 1.0, &range))) ||
        (heeds(r, HEEDS_THRESHOLD) &&
         (!diffusers_truth(&r->j, "thresholding", false, &threshold) ||
          !diffusers_real(&r->j, "dynamic_thresholding_ratio", 0.995, &ratio) ||
          !diffusers_real(&r->j, "sample_max_value", 1.0, &most))))
        return false;
    if (threshold && most > 1.0 && most < DIFFUSERS_NO_LIMIT) {
        file_error(ITO_ERR_FORMAT, r->j.path,
                   "\"sample_max_value\" is %g; Ito's thresholding has no such limit: 1 clips, and "
                   "%g is none",
                   most, DIFFUSERS_NO_LIMIT);
        return false;
    }
    if (clip && !threshold && range != 1.0) {
        file_error(ITO_ERR_FORMAT, r->j.path, "\"clip_sample_range\" is %g; Ito clips to 1", range);
        return false;
    }
    s->no_clip = !clip && !threshold;
    s->threshold = threshold && most > 1.0 ? ratio : 0.0;
    return true;
}

/* Where the last step ends: at the clean data, or at the first step of the process. */
static bool read_end(reading *r)
{
    static const diffusers_word words[] = {{"zero", false}, {"sigma_min", true}, {NULL, 0}};
    bool one = true;
    int first = false;
    if ((heeds(r, HEEDS_ALPHA) &&
         !diffusers_truth(&r->j, "set_alpha_to_one", !heeds(r, HEEDS_PRK), &one)) ||
        (heeds(r, HEEDS_FINAL) &&
         !diffusers_choice(&r->j, "final_sigmas_type", words, false, &first)))
        return false;
    r->out->sampling.end_at_first = !one || first;
    const cJSON *lambda = diffusers_take(&r->j, "lambda_min_clipped");
    return !cJSON_IsNumber(lambda) ||
           diffusers_note(r->notes,
                          "%s: \"lambda_min_clipped\" is %g; Ito begins at the noisiest step all "
                          "the same",
                          r->j.path, lambda->valuedouble);
}

/* ---- all of it ---- */

static void begin(diffusers_scheduler *out)
{
    *out = (diffusers_scheduler){
        .diffusion = ITO_OPTIONS(ito_diffusion_options, .variance = &ito_variance_fixedsmall),
        .sampling = {
            .steps = ITO_ALL_STEPS, .guidance = ITO_UNSET, .guidance_hi = (double)INFINITY}};
}

bool diffusers_usual_scheduler(const char *dir, const ito_unet_config *unet,
                               diffusers_scheduler *out)
{
    bool learned = unet->out_channels == 2 * unet->in_channels;
    begin(out);
    set_variance(&out->diffusion, learned ? &ito_variance_learned_range : &ito_variance_fixedsmall);
    return heads_fit(dir, unet, learned);
}

/* Whether the process can be: a beta may be wrong. */
static bool builds(const reading *r)
{
    ito_diffusion *d = ito_diffusion_create_with(r->out->diffusion);
    ito_diffusion_free(d);
    if (d != NULL)
        return true;
    char why[400];
    ito_status code = ito_error_code();
    snprintf(why, sizeof why, "%s", ito_error_message());
    ito_error_clear();
    file_error(code, r->j.path, "%s", why);
    return false;
}

static bool read_all(reading *r)
{
    r->class = class_of(&r->j);
    if (r->class == NULL || !refuse_others(&r->j) || !read_process(r) || !read_prediction(r) ||
        !read_variance(r) || !read_sampler(r) || !read_spacing(r) || !read_limits(r) ||
        !read_end(r) || !say_last_noise(r))
        return false;
    pass_over(&r->j);
    return diffusers_json_finish(&r->j) && builds(r);
}

bool diffusers_read_scheduler(const char *dir, const ito_unet_config *unet,
                              diffusers_scheduler *out, char **notes)
{
    reading r = {.unet = unet, .out = out, .notes = notes};
    begin(out);
    bool good = diffusers_json_open(&r.j, dir, "scheduler_config.json") && read_all(&r);
    diffusers_json_close(&r.j);
    return good;
}
