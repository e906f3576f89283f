/* A training run in one process.
 * Invariant: a resumed run continues from its checkpoint to the same bits, or not at all. */
#include "examples/ddpm/session.h"

#include "examples/common/messages.h"
#include "examples/common/paths.h"
#include "examples/common/ranks.h"
#include "examples/common/results.h"
#include "examples/common/stop.h"
#include "examples/common/version.h"
#include "examples/ddpm/begin.h"
#include "examples/ddpm/data.h"
#include "examples/ddpm/data_identity.h"
#include "examples/ddpm/model_files.h"
#include "examples/ddpm/model_ranks.h"
#include "examples/ddpm/plan.h"
#include "examples/ddpm/rehearsal.h"
#include "examples/ddpm/resume.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Load the data set and check that it is the one the run began with. */
static bool open_data(session *s)
{
    const train_options *o = &s->o;
    if (data_is_large(o->data))
        note("reading %s\n", o->data);
    data_options what = {.spec = o->data,
                         .size = o->size,
                         .grey = o->grey,
                         .range = o->range,
                         .skip_bad = o->skip_bad};
    ito_tensor *labels = NULL;
    ito_tensor *images =
        o->conditional ? data_load_classes(what, &labels, &s->class_names) : data_load(what);
    if (images == NULL)
        return o->resume ? resume_data_missing(s) : false;
    s->channels = ito_size(images, 1);
    s->height = ito_size(images, 2);
    s->width = ito_size(images, 3);
    s->data =
        ito_image_dataset_create(images, .labels = labels, .flip = strcmp(o->flip, "yes") == 0);
    s->identity = data_identity(images, labels, s->class_names);
    return s->data != NULL && s->identity != NULL && (!o->resume || resume_data(s));
}

static bool build_timesteps(session *s)
{
    const ito_timestep_law *law = ito_timestep_law_find(s->o.step_sampling);
    if (law == NULL || law == &ito_timestep_law_uniform)
        return law != NULL;
    s->law = *law;
    s->law.mean = real_or(s->o.time_mean, law->mean);
    s->law.std = real_or(s->o.time_std, law->std);
    s->timesteps = ito_timestep_sampler_create(s->diffusion->process, &s->law);
    if (s->timesteps == NULL)
        return false;
    s->memory[0] = s->timesteps->history;
    s->memory[1] = s->timesteps->counts;
    return true;
}

static bool build_network(session *s, const ito_ddpm_settings *settings)
{
    s->network = &s->unet->network;
    if (settings->model.self_condition) {
        s->remembering = ito_self_condition_create(s->diffusion, s->network);
        if (s->remembering == NULL)
            return false;
        s->network = &s->remembering->base;
    }
    if (settings->model.classes > 0) {
        s->labelled = ito_class_condition_create(s->network, settings->model.classes);
        if (s->labelled == NULL)
            return false;
        s->labelled->drop = s->o.label_dropout;
        s->network = &s->labelled->base;
    }
    return true;
}

void session_draw_from(session *s, ito_generator *g)
{
    if (s->remembering != NULL)
        s->remembering->generator = g;
    if (s->labelled != NULL)
        s->labelled->generator = g;
}

/* With the defaults of its algorithm; Muon's rates are such that one suits both of its parts. */
static ito_optimizer *make_optimizer(const session *s)
{
    const ito_optimizer_algorithm *a = ito_optimizer_find(s->o.optimizer);
    const train_options *o = &s->o;
    if (a == &ito_optimizer_adam)
        return ito_adam_create(&s->unet->base, .beta1 = real_or(o->beta1, 0.9),
                               .beta2 = real_or(o->beta2, 0.999),
                               .weight_decay = real_or(o->weight_decay, 0.0));
    if (a == &ito_optimizer_adamw)
        return ito_adamw_create(&s->unet->base, .beta1 = real_or(o->beta1, 0.9),
                                .beta2 = real_or(o->beta2, 0.999),
                                .weight_decay = real_or(o->weight_decay, 0.01));
    if (a == &ito_optimizer_muon)
        return ito_muon_create(&s->unet->base, .adjust_lr_fn = ITO_MUON_MATCH_RMS_ADAMW);
    return a == NULL ? NULL : a->create(&s->unet->base);
}

/* What the network takes beside noisy images, for the rows of a slice. */
static ito_status take_slice(ito_batch_slice p, void *context)
{
    session *s = context;
    s->draw = ito_slice_generator(
        ito_diffusion_generator((uint64_t)s->o.seed, ITO_DRAW_LABEL, s->step), p.index);
    if (s->labelled == NULL || s->labels == NULL)
        return ITO_OK;
    s->labelled->labels = ito_narrow(s->labels, 0, p.begin, p.end - p.begin);
    return s->labelled->labels != NULL ? ITO_OK : ito_error_code();
}

static bool build_parallel(session *s)
{
    if (ranks_count() == 1 && s->o.slices == 1)
        return true;
    s->parallel =
        ito_parallel_create(ranks_communicator(), &s->unet->base, s->optimizer,
                            .slices = s->o.slices, .bf16 = strcmp(s->o.gradients, "bf16") == 0);
    s->trainer.parallel = s->parallel;
    s->trainer.slice = take_slice;
    s->trainer.slice_context = s;
    return s->parallel != NULL;
}

static bool build(session *s, const ito_ddpm_settings *settings)
{
    ito_generator init = ito_diffusion_generator((uint64_t)s->o.seed, ITO_DRAW_INIT, 0);
    s->unet = ito_unet_create(&settings->model, &init);
    s->diffusion = ito_diffusion_create_with(settings->diffusion);
    if (s->unet == NULL || s->diffusion == NULL || !build_timesteps(s) ||
        !build_network(s, settings) ||
        (s->o.model != NULL && !s->o.resume && !begin_weights(&s->o, s->unet)))
        return false;
    if (s->o.uncertainty > 0) {
        s->uncertainty = ito_uncertainty_create(&s->unet->base, MODEL_UNCERTAINTY, s->o.uncertainty,
                                                .generator = &init);
        if (s->uncertainty == NULL)
            return false;
    }
    model_set_precision(s->unet, s->o.precision, "train");
    s->unet->recompute = s->o.recompute;
    s->optimizer = make_optimizer(s);
    if (s->optimizer == NULL)
        return false;
    bool decays = isnan(s->o.ema_sigma_rel);
    s->ema = ito_ema_create(&s->unet->base, .decay = s->o.ema, .warmup = decays,
                            .sigma_rel = real_or(s->o.ema_sigma_rel, 0.0));
    s->trainer = (ito_diffusion_trainer){.diffusion = s->diffusion,
                                         .network = s->network,
                                         .model = &s->unet->base,
                                         .optimizer = s->optimizer,
                                         .ema = s->ema,
                                         .timesteps = s->timesteps,
                                         .uncertainty = s->uncertainty,
                                         .max_norm = s->o.clip,
                                         .seed = (uint64_t)s->o.seed,
                                         .each = true};
    return s->ema != NULL && build_parallel(s);
}

ito_training_state session_state(const session *s)
{
    static const char *const names[] = {"steps.history", "steps.counts"};
    return (ito_training_state){.model = &s->unet->base,
                                .optimizer = s->optimizer,
                                .ema = s->ema,
                                .step = s->step,
                                .position = s->step * s->o.batch,
                                .n_tensors = s->timesteps != NULL ? 2 : 0,
                                .tensor_names = names,
                                .tensors = s->memory,
                                .settings = s->settings};
}

static bool open_events(session *s)
{
    if (!s->o.tensorboard)
        return true;
    char *dir = path_join(s->o.out, "tensorboard");
    bool good = dir != NULL && events_open(&s->events, dir, s->step);
    free(dir);
    return good;
}

/* The names of the classes, and how often they were left out; nothing for a run without. */
static bool put_classes(cJSON *root, const session *s)
{
    if (s->class_names == NULL)
        return true;
    cJSON *names = cJSON_Duplicate(s->class_names, true);
    if (names != NULL && cJSON_AddItemToObject(root, "class_names", names))
        return result_number(root, "label_dropout", s->o.label_dropout);
    cJSON_Delete(names);
    return false;
}

/* What the run says of its samples, for those who sample from a checkpoint: model_sampling. */
static bool put_sampling(cJSON *root, const train_options *o)
{
    cJSON *all = cJSON_CreateObject();
    bool good = result_text(all, "recipe", o->recipe) && result_text(all, "sampler", o->sampler) &&
                result_text(all, "spacing", o->spacing) &&
                (o->sampling_steps == UNSET_INT ||
                 result_number(all, "steps", (double)o->sampling_steps)) &&
                (isnan(o->guidance) || result_number(all, "guidance", o->guidance)) &&
                result_text(all, "guidance_interval", o->guidance_interval);
    if (good && cJSON_GetArraySize(all) > 0 && cJSON_AddItemToObject(root, "sampling", all))
        return true;
    cJSON_Delete(all);
    return good;
}

/* The settings for every checkpoint. */
static char *settings_text(const session *s, const ito_ddpm_settings *settings)
{
    char *text = ito_ddpm_settings_format(settings);
    if (text == NULL)
        return NULL;
    cJSON *root = cJSON_Parse(text);
    free(text);
    text = root != NULL && put_classes(root, s) && put_sampling(root, &s->o) &&
                   (s->o.uncertainty == 0 ||
                    result_number(root, MODEL_UNCERTAINTY, (double)s->o.uncertainty))
               ? cJSON_Print(root)
               : NULL;
    cJSON_Delete(root);
    if (text == NULL)
        ito_error_set(ITO_ERR_MEMORY, "settings: no memory for their text");
    return text;
}

/* The text of config.json, freed with free(). */
static char *config_text(const session *s, const ito_ddpm_settings *settings)
{
    return s->o.resume ? train_options_update(&s->o, s->config, s->identity)
                       : train_options_format(&s->o, settings, s->identity);
}

static bool begin_run(session *s, const char *config)
{
    return (s->o.resume ? run_set_config(&s->run, config)
                        : run_create(&s->run, s->o.out, config)) &&
           run_log_open(&s->run.log, s->o.out, s->step, &s->seconds) && open_events(s) &&
           (s->o.resume ? plan_resume(s) : plan_begin(s));
}

/* The directory is rank 0's alone. */
static bool open_run(session *s, const ito_ddpm_settings *settings)
{
    char *config = config_text(s, settings);
    bool made = config != NULL && begin_run(s, config);
    free(config);
    return made;
}

static bool open_loader(session *s)
{
    s->loader = ito_loader_create(s->data, s->o.batch, (uint64_t)s->o.seed,
                                  .position = s->step * s->o.batch, .prefetch = 2);
    return s->loader != NULL;
}

/* The options as all ranks should have them: wherever each finds the images. */
static char *shared_options(const session *s, const ito_ddpm_settings *settings)
{
    char *config = config_text(s, settings);
    cJSON *root = config != NULL ? cJSON_Parse(config) : NULL;
    cJSON *options = cJSON_GetObjectItemCaseSensitive(root, "options");
    cJSON_DeleteItemFromObjectCaseSensitive(options, "data");
    free(config);
    config = options != NULL ? cJSON_Print(options) : NULL;
    cJSON_Delete(root);
    return config;
}

/* Whether all ranks can begin, with the same of everything. */
static bool agree(const session *s, const ito_ddpm_settings *settings, bool good)
{
    char step[32], weights[32];
    if (ranks_count() == 1)
        return good;
    char *options = good ? shared_options(s, settings) : NULL;
    char *data = good ? cJSON_Print(s->identity) : NULL;
    good = options != NULL && data != NULL && model_hash(&s->unet->base, weights);
    snprintf(step, sizeof step, "step %" PRId64, s->step);
    const ito_agreement list[] = {
        {"version", version_text(), NULL},
        {"instruction set", ito_isa(), "ITO_ISA sets the lower one for all"},
        {"options", options, NULL},
        {"images", data, NULL},
        {"checkpoint", step, "all need the same files"},
        {"network", weights, "all need the same files"},
    };
    good = ranks_agree(good, list, 6);
    free(options);
    free(data);
    return good;
}

/* Of the options, or of the network that the training begins with. */
static bool find_settings(session *s, ito_ddpm_settings *out)
{
    int64_t classes = cJSON_GetArraySize(s->class_names);
    *out = (ito_ddpm_settings){.betas = NULL};
    if (s->o.model == NULL) {
        bool good = train_settings(&s->o, s->channels, s->height, s->width, out);
        out->model.classes = classes;
        return good;
    }
    if (!begin_settings(&s->o, s->config, s->channels, s->height, s->width, out))
        return false;
    return out->model.classes == classes ||
           options_error("--model: %s: its network has %" PRId64 " classes, and the images of "
                         "--data have %" PRId64,
                         s->o.model, out->model.classes, classes);
}

/* The state is read under the lock, or another process might be writing a newer one. */
static bool open_state(session *s)
{
    return !s->o.resume || ((!ranks_writes() || run_open(&s->run, s->o.out)) && resume_state(s));
}

/* All that writes nothing, but for directories of a run that have been removed. */
static bool open_parts(session *s, const ito_ddpm_settings *settings)
{
    if (!build(s, settings) || (s->o.minutes > 0.0 && !plan_try(s)) ||
        (ranks_writes() && !rehearse(s)))
        return false;
    s->settings = settings_text(s, settings);
    return s->settings != NULL && open_state(s) && open_loader(s);
}

/* *settings has betas to be freed, also after an error. */
static bool open_all(session *s, ito_ddpm_settings *settings)
{
    if (!options_set_threads(s->o.threads))
        return false;
    if (!s->o.resume && ranks_writes() && !run_check_new(s->o.out))
        return false;
    return open_data(s) && find_settings(s, settings) && open_parts(s, settings);
}

static void say_what_is_trained(const session *s)
{
    char ranks[32] = "";
    if (ranks_count() > 1)
        snprintf(ranks, sizeof ranks, "%" PRId64 " ranks, ", ranks_count());
    note("%s: %" PRId64 " image%s of %" PRId64 "x%" PRId64 "x%" PRId64 "; %" PRId64
         " parameters; %s%d thread%s, %s, %s\n",
         s->o.data, s->data->size, PLURAL(s->data->size), s->channels, s->height, s->width,
         ito_module_parameter_count(&s->unet->base), ranks, ito_threads(), PLURAL(ito_threads()),
         ito_isa(), s->o.precision);
}

bool session_open(session *s)
{
    ito_ddpm_settings settings = {.betas = NULL};
    bool writes = !s->o.dry_run && ranks_writes();
    bool good = agree(s, &settings, open_all(s, &settings)) && (!writes || open_run(s, &settings));
    free(settings.betas);
    if (!good)
        return false;
    if (writes)
        rehearse_report(s);
    say_what_is_trained(s);
    return true;
}

/* Ranks stop after the same step, whichever of them is told to. */
static bool agree_to_stop(void)
{
    int64_t mine = stop_requested(), *all = calloc((size_t)ranks_count(), sizeof *all);
    bool good = all != NULL &&
                ito_communicator_gather(ranks_communicator(), &mine, sizeof mine, all) == ITO_OK;
    for (int64_t r = 0; good && r < ranks_count(); r++)
        if (all[r] != 0)
            stop_agree((int)all[r]);
    free(all);
    return good;
}

bool session_step(session *s, double lr, ito_train_result *r)
{
    ito_batch batch;
    ito_scope_begin();
    bool good = ito_loader_next(s->loader, &batch) == ITO_OK;
    if (good) {
        session_draw_from(s, &s->draw);
        s->draw = ito_diffusion_generator((uint64_t)s->o.seed, ITO_DRAW_LABEL, s->step);
        s->labels = batch.labels;
        if (s->labelled != NULL)
            s->labelled->labels = batch.labels;
        good = ito_diffusion_train_step(&s->trainer, batch.x, s->step, lr, r) == ITO_OK &&
               loss_bins_add(&s->bins, s->diffusion->process, r->t, r->losses);
    }
    ito_scope_end();
    s->step += good;
    return good && (ranks_count() == 1 || agree_to_stop());
}

bool session_gather(session *s)
{
    return s->parallel == NULL || ito_parallel_gather_averages(s->parallel, s->ema) == ITO_OK;
}

bool session_save(session *s)
{
    if (s->saved == s->step)
        return true;
    ito_training_state state = session_state(s);
    ito_status status = s->parallel != NULL
                            ? ito_parallel_checkpoint_save(s->parallel, s->run.checkpoints, &state,
                                                           .keep = s->o.keep)
                            : ito_checkpoint_save(s->run.checkpoints, &state, .keep = s->o.keep);
    if (status != ITO_OK)
        return false;
    s->saved = s->step;
    return plan_hold(s);
}

void session_close(session *s)
{
    ito_loader_free(s->loader);
    ito_dataset_free(s->data);
    ito_parallel_free(s->parallel);
    ito_ema_free(s->ema);
    ito_optimizer_free(s->optimizer);
    ito_timestep_sampler_free(s->timesteps);
    ito_network_free(s->labelled != NULL ? &s->labelled->base : NULL);
    ito_network_free(s->remembering != NULL ? &s->remembering->base : NULL);
    ito_diffusion_free(s->diffusion);
    if (s->unet != NULL)
        ito_module_free(&s->unet->base);
    free(s->settings);
    cJSON_Delete(s->class_names);
    cJSON_Delete(s->identity);
    run_close(&s->run);
    events_close(&s->events);
    cJSON_Delete(s->config);
    cJSON_Delete(s->planned);
}
