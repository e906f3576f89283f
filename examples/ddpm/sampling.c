/* Images by a sampler.
 * Invariant: image i depends on the network, the settings, the seed and i alone. */
#include "examples/ddpm/sampling.h"

#include "examples/common/messages.h"
#include "examples/common/ranks.h"
#include "examples/ddpm/model_ranks.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* "ddim, euler": the samplers that use one of these. */
static const char *samplers_with(unsigned uses, char *text, size_t size)
{
    int64_t n;
    const ito_choice *const *all = ito_choices("sampler", &n);
    text[0] = '\0';
    for (int64_t i = 0; i < n; i++) {
        size_t used = strlen(text);
        if (ito_sampler_find(all[i]->name)->uses & uses)
            snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "", all[i]->name);
    }
    return text;
}

void refuse_idle_options(const command_line *c, const char *sampler)
{
    static const struct {
        const char *option;
        unsigned uses;
    } options[] = {{"eta", ITO_USES_ETA},
                   {"variance", ITO_USES_VARIANCE},
                   {"noise-at-last", ITO_USES_VARIANCE},
                   {"rederive-eps", ITO_USES_EPS},
                   {"churn", ITO_USES_CHURN}};
    char names[300];
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (options_given(c, options[i].option) &&
            !(ito_sampler_find(sampler)->uses & options[i].uses))
            options_refuse(c, "--%s: the sampler %s does not use it; it is for %s",
                           options[i].option, sampler,
                           samplers_with(options[i].uses, names, sizeof names));
}

/* What the run that the model is of says of its samples; nothing if it cannot be read. */
static ito_ddpm_sampling find_run(const char *model, bool *of_diffusers)
{
    ito_ddpm *m = model_load(model, ITO_OPTIONS(ito_ddpm_load_options, .settings_only = true));
    ito_ddpm_sampling run = {.steps = ITO_ALL_STEPS, .guidance = ITO_UNSET};
    *of_diffusers = m != NULL && m->file == NULL;
    if (m != NULL)
        run = m->sampling;
    else
        ito_error_clear();
    ito_ddpm_free(m);
    return run;
}

/* What of it was taken, on stderr. */
static void say_taken(const char *command, const ito_ddpm_sampling *taken, const char *interval,
                      bool of_diffusers)
{
    char text[200] = "";
    size_t n = 0, size = sizeof text;
    if (taken->sampler != NULL)
        n += (size_t)snprintf(text + n, size - n, ", %s", taken->sampler->name);
    if (taken->steps != ITO_ALL_STEPS)
        n += (size_t)snprintf(text + n, size - n, ", %" PRId64 " steps", taken->steps);
    if (taken->spacing != NULL)
        n += (size_t)snprintf(text + n, size - n, ", spacing %s", taken->spacing->name);
    if (taken->no_clip)
        n += (size_t)snprintf(text + n, size - n, ", no clipping");
    if (taken->threshold > 0.0)
        n += (size_t)snprintf(text + n, size - n, ", threshold %g", taken->threshold);
    if (taken->end_at_first)
        n += (size_t)snprintf(text + n, size - n, ", to the first level");
    if (!isnan(taken->guidance))
        n += (size_t)snprintf(text + n, size - n, ", guidance %g", taken->guidance);
    if (interval != NULL)
        n += (size_t)snprintf(text + n, size - n, " at %s", interval);
    if (n > 0)
        note("ito-ddpm %s: as the %s%s of the %s says: %s\n", command,
             taken->recipe != NULL ? "recipe "
             : of_diffusers        ? "scheduler"
                                   : "config.json",
             taken->recipe != NULL ? taken->recipe->name : "", of_diffusers ? "model" : "run",
             text + 2);
}

/* The interval of the run's guidance, if it says one, where no other is given. */
static const char *take_interval(const ito_ddpm_sampling *run, sampling_options *o,
                                 guidance_options *guidance)
{
    bool whole = !(run->guidance_lo > 0.0) && isinf(run->guidance_hi);
    if (isnan(run->guidance) || whole || guidance->interval != NULL)
        return NULL;
    snprintf(o->interval, sizeof o->interval, "%.15g,%.15g", run->guidance_lo, run->guidance_hi);
    return guidance->interval = o->interval;
}

/* How estimates are limited and where samples end, unless it was said. */
static void take_limits(const command_line *c, ito_ddpm_sampling *run, sampling_options *o)
{
    if (options_given(c, "no-clip") || options_given(c, "threshold")) {
        run->no_clip = false;
        run->threshold = 0.0;
    }
    if (options_given(c, "end-at-first"))
        run->end_at_first = false;
    o->no_clip = o->no_clip || run->no_clip;
    o->threshold = run->threshold > 0.0 ? run->threshold : o->threshold;
    o->end_at_first = o->end_at_first || run->end_at_first;
}

/* The spacing and the number of steps go with the sampler. */
void sampling_take_run(const command_line *c, const char *model, bool guided, sampling_options *o,
                       guidance_options *guidance)
{
    bool of_diffusers;
    ito_ddpm_sampling run = find_run(model, &of_diffusers);
    if (o->sampler != NULL && (run.sampler == NULL || strcmp(o->sampler, run.sampler->name) != 0)) {
        run.spacing = NULL;
        run.steps = ITO_ALL_STEPS;
        run.end_at_first = false;
    }
    take_limits(c, &run, o);
    run.sampler = o->sampler == NULL ? run.sampler : NULL;
    run.spacing = o->spacing == NULL ? run.spacing : NULL;
    run.steps = o->steps == UNSET_INT ? run.steps : ITO_ALL_STEPS;
    run.guidance = guided && !options_given(c, "guidance") ? run.guidance : UNSET_REAL;
    if (run.sampler != NULL)
        o->sampler = run.sampler->name;
    if (run.spacing != NULL)
        o->spacing = run.spacing->name;
    if (run.steps != ITO_ALL_STEPS)
        o->steps = run.steps;
    guidance->scale = real_or(run.guidance, guidance->scale);
    say_taken(c->command, &run, take_interval(&run, o, guidance), of_diffusers);
}

bool sampling_steps(const inference *net, sampling_options *o)
{
    return inference_steps(net, strcmp(o->sampler, "ddpm") == 0 ? 250 : 50, &o->steps);
}

static void observe(const ito_sampler_state *state, ito_tensor *x, void *context)
{
    sampling *s = context;
    (void)x;
    trajectory_keep(s->trajectory, state, s->batch_first);
}

/* The library's options for images first .. of the run. */
static bool library_options(sampling *s, int64_t first, ito_sample_options *out)
{
    const sampling_options *o = s->o;
    *out = ITO_OPTIONS(
        ito_sample_options, .sampler = ito_sampler_find(o->sampler), .steps = o->steps,
        .eta = o->eta, .no_clip = o->no_clip, .rederive_eps = o->rederive_eps,
        .threshold = o->threshold, .s_churn = o->churn, .end_at_first = o->end_at_first,
        .noise_at_last = o->noise_at_last,
        .observe = s->trajectory != NULL && s->trajectory->kept != NULL ? observe : NULL,
        .observe_context = s, .spacing = o->spacing != NULL ? ito_spacing_find(o->spacing) : NULL,
        .seed = (uint64_t)o->seed, .first_image = o->first + first, .progress = batches_progress,
        .progress_context = &s->batches);
    return out->sampler != NULL && (o->spacing == NULL || out->spacing != NULL);
}

/* A batch by the network alone, or guided by a classifier. */
static ito_tensor *sample(sampling *s, int64_t first, int64_t n, ito_sample_options options)
{
    ito_shape shape = ito_ddpm_shape(s->net->model, n);
    ito_network *network = inference_network(s->net, s->o->first + first, n);
    if (network == NULL || s->guidance == NULL)
        return network == NULL
                   ? NULL
                   : ito_diffusion_sample_with(s->net->diffusion, network, shape, options);
    ito_classifier_guidance *guided = ito_classifier_guidance_create(
        s->net->diffusion, network, &s->guidance->classifier->network, s->guidance_scale);
    if (guided == NULL)
        return NULL;
    guided->labels = classifier_guidance_labels(s->guidance, s->o->first + first, n);
    ito_tensor *x = ito_diffusion_sample_with(s->net->diffusion, &guided->base, shape, options);
    ito_network_free(&guided->base);
    return x;
}

static bool sample_batch(int64_t first, int64_t n, void *context)
{
    sampling *s = context;
    ito_sample_options options;
    first += s->begin;
    s->batch_first = first;
    return library_options(s, first, &options) &&
           inference_put(s->net, s->images, first, sample(s, first, n, options),
                         s->o->first + first);
}

bool sampling_run(sampling *s)
{
    ito_batch_slice mine = ranks_rows(s->o->n);
    if (!model_agree(s->net->model))
        return false;
    s->begin = mine.begin;
    s->batches = (batches){.what = "sampling step",
                           .n = mine.end - mine.begin,
                           .size = s->o->batch,
                           .run = sample_batch,
                           .context = s};
    return batches_run(&s->batches) && ranks_gather_rows(s->images);
}
