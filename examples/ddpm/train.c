/* ito-ddpm train: the loop around models/ddpm/train.h, with everything that makes a run safe to
 * interrupt.
 * Invariant: what happens in step n depends on the run's settings and n alone, so a run that is
 * resumed from any checkpoint goes on to the same bits. */
#include "models/ddpm/train.h"
#include "examples/ddpm/commands.h"
#include "examples/ddpm/data.h"
#include "examples/ddpm/events.h"
#include "examples/ddpm/model.h"
#include "examples/ddpm/progress.h"
#include "examples/ddpm/report.h"
#include "examples/ddpm/run.h"
#include "examples/ddpm/stop.h"
#include "examples/ddpm/train_options.h"
#include "models/ddpm/condition.h"
#include "models/ddpm/sampler.h"
#include "nn/checkpoint.h"
#include "nn/data.h"
#include "nn/memory.h"
#include "nn/schedule.h"
#include "tensor/io/image.h"
#include "tensor/runtime.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_FAILURES = 5 }; /* steps in a row that were not finite */

typedef struct session {
    train_options o;
    cJSON *config; /* of the run that is resumed; o points into it */
    ito_dataset *data;
    cJSON *class_names;           /* NULL unless conditional */
    ito_ddpm_conditioned classes; /* then: what stands between the diffusion and the network */
    ito_loader *loader;
    ito_unet *unet;
    ito_diffusion *diffusion;
    ito_ddpm_steps *steps; /* NULL: uniform, which remembers nothing */
    ito_tensor *memory[2]; /* of steps, for checkpoints */
    ito_optimizer *optimizer;
    ito_ema *ema;
    char *settings;
    training_run run;
    event_file events; /* for TensorBoard, if wanted */
    ito_ddpm_trainer trainer;
    progress progress;
    int64_t step;   /* steps done */
    int64_t saved;  /* the step of the last checkpoint, or -1 */
    int failures;   /* in a row */
    double seconds; /* trained in former processes */
    double started;
    int64_t channels, height, width;
} session;

static int fail(session *s)
{
    progress_end(&s->progress);
    return options_report("train");
}

/* ---- getting ready ---- */

/* The data set, and a check that it is the one a run began with. */
static bool open_data(session *s)
{
    const train_options *o = &s->o;
    if (data_is_large(o->data))
        fprintf(stderr, "reading %s\n", o->data);
    data_options what = {.spec = o->data, .size = o->size, .grey = o->grey};
    ito_tensor *labels = NULL;
    ito_tensor *images =
        o->conditional ? data_load_classes(what, &labels, &s->class_names) : data_load(what);
    if (images == NULL)
        return false;
    s->channels = ito_size(images, 1);
    s->height = ito_size(images, 2);
    s->width = ito_size(images, 3);
    s->data =
        ito_image_dataset_create(images, .labels = labels, .flip = strcmp(o->flip, "yes") == 0);
    const cJSON *before = cJSON_GetObjectItemCaseSensitive(s->config, "images");
    if (s->data != NULL && cJSON_IsNumber(before) && before->valuedouble != (double)s->data->size) {
        ito_error_set(ITO_ERR_ARGUMENT, "%s: it has %" PRId64 " images; the run began with %.0f",
                      o->data, s->data->size, before->valuedouble);
        return false;
    }
    return s->data != NULL;
}

static bool build_steps(session *s)
{
    const ito_ddpm_step_law *law = ito_ddpm_step_law_find(s->o.step_sampling);
    if (law == NULL || law == &ito_ddpm_steps_uniform)
        return law != NULL;
    s->steps = ito_ddpm_steps_create(s->diffusion->schedule, law);
    if (s->steps == NULL)
        return false;
    s->memory[0] = s->steps->history;
    s->memory[1] = s->steps->counts;
    return true;
}

static bool build(session *s, const ito_ddpm_settings *settings)
{
    ito_generator init = ito_ddpm_generator((uint64_t)s->o.seed, ITO_DDPM_DRAW_INIT, 0);
    s->unet = ito_unet_create(&settings->model, &init);
    s->diffusion = ito_diffusion_create_with(settings->diffusion);
    if (s->unet == NULL || s->diffusion == NULL || !build_steps(s))
        return false;
    model_set_precision(s->unet, s->o.precision, "train");
    s->unet->recompute = s->o.recompute;
    s->optimizer = ito_adam_create(&s->unet->base, .beta1 = 0.9);
    if (s->optimizer == NULL)
        return false;
    s->ema = ito_ema_create(&s->unet->base, .decay = s->o.ema, .warmup = true);
    s->classes = (ito_ddpm_conditioned){.diffusion = s->diffusion,
                                        .network = ito_unet_conditional,
                                        .context = s->unet,
                                        .classes = settings->model.classes,
                                        .training = true,
                                        .drop = s->o.label_dropout};
    s->trainer = (ito_ddpm_trainer){.diffusion = s->diffusion,
                                    .network = ito_ddpm_conditioned_network,
                                    .context = &s->classes,
                                    .model = &s->unet->base,
                                    .optimizer = s->optimizer,
                                    .ema = s->ema,
                                    .steps = s->steps,
                                    .max_norm = s->o.clip,
                                    .seed = (uint64_t)s->o.seed};
    return s->ema != NULL;
}

static ito_training_state state_of(const session *s)
{
    static const char *const names[] = {"steps.history", "steps.counts"};
    return (ito_training_state){.model = &s->unet->base,
                                .optimizer = s->optimizer,
                                .ema = s->ema,
                                .step = s->step,
                                .position = s->step * s->o.batch,
                                .n_tensors = s->steps != NULL ? 2 : 0,
                                .tensor_names = names,
                                .tensors = s->memory,
                                .settings = s->settings};
}

/* Bring everything to where the last checkpoint of the run is, if it has one. */
static bool load_latest(session *s)
{
    if (access(s->run.checkpoints, F_OK) != 0)
        return true;
    char *path = ito_checkpoint_latest(s->run.checkpoints);
    if (path == NULL)
        return ito_error_code() == ITO_OK;
    ito_training_state state = state_of(s);
    bool good = ito_checkpoint_load(path, &state) == ITO_OK;
    if (good && state.position != state.step * s->o.batch) {
        ito_error_set(ITO_ERR_FORMAT,
                      "%s: its %" PRId64 " images are not those of %" PRId64 " steps with %" PRId64
                      " each",
                      path, state.position, state.step, s->o.batch);
        good = false;
    }
    free(path);
    s->step = s->saved = state.step;
    return good;
}

static void warn_of_other_isa(const session *s)
{
    const cJSON *isa = cJSON_GetObjectItemCaseSensitive(s->config, "isa");
    if (cJSON_IsString(isa) && strcmp(isa->valuestring, ito_isa()) != 0)
        fprintf(stderr,
                "ito-ddpm train: the run began on %s and goes on with %s: its numbers will "
                "differ in their last bits\n",
                isa->valuestring, ito_isa());
}

/* One forward and backward pass on black images; nothing is kept. */
static bool trial_step(session *s)
{
    ito_tensor *x_0 = ito_zeros(ITO_SHAPE(s->o.batch, s->channels, s->height, s->width), ITO_F32);
    ito_tensor *t = ito_zeros(ITO_SHAPE(s->o.batch), ITO_I64);
    ito_tensor *loss = ito_ddpm_loss(s->diffusion, ito_unet_network, s->unet, x_0, t, x_0);
    return loss != NULL && ito_backward(loss) == ITO_OK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Set the number of steps from --minutes: by the median of some passes after a first one, which
 * warms caches up. A tenth of the time is left for the optimiser, grids and checkpoints. */
static bool plan_steps(session *s)
{
    enum { TRIALS = 7 };
    double seconds[TRIALS];
    for (int i = -1; i < TRIALS; i++) {
        double started = progress_clock();
        ito_scope_begin();
        bool good = trial_step(s);
        ito_scope_end();
        if (!good)
            return false;
        seconds[i < 0 ? 0 : i] = progress_clock() - started;
    }
    ito_module_zero_grad(&s->unet->base);
    qsort(seconds, TRIALS, sizeof seconds[0], by_value);
    double steps = 0.9 * 60.0 * s->o.minutes / seconds[TRIALS / 2];
    s->o.steps = steps < 10.0 ? 10 : (int64_t)steps / 10 * 10;
    fprintf(stderr, "%.2f s a step here: %" PRId64 " steps in about %g minutes\n",
            seconds[TRIALS / 2] / 0.9, s->o.steps, s->o.minutes);
    return true;
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

/* The settings that stand in every checkpoint, with what there is to say of classes. */
static char *settings_text(const session *s, const ito_ddpm_settings *settings)
{
    char *text = ito_ddpm_settings_format(settings);
    if (text == NULL || s->class_names == NULL)
        return text;
    cJSON *root = cJSON_Parse(text);
    cJSON *names = cJSON_Duplicate(s->class_names, true);
    free(text);
    text = NULL;
    if (root != NULL && names != NULL && cJSON_AddItemToObject(root, "class_names", names) &&
        cJSON_AddNumberToObject(root, "label_dropout", s->o.label_dropout) != NULL)
        text = cJSON_Print(root);
    else if (cJSON_GetObjectItemCaseSensitive(root, "class_names") == NULL)
        cJSON_Delete(names);
    cJSON_Delete(root);
    if (text == NULL)
        ito_error_set(ITO_ERR_MEMORY, "settings: no memory for their text");
    return text;
}

static bool open_run(session *s, const ito_ddpm_settings *settings)
{
    s->settings = settings_text(s, settings);
    if (s->settings == NULL)
        return false;
    if (s->o.resume) {
        warn_of_other_isa(s);
        if (!run_open(&s->run, s->o.out) || !load_latest(s))
            return false;
    }
    char *config = s->o.resume ? train_options_update(&s->o, s->config)
                               : train_options_format(&s->o, settings, s->data->size);
    bool made = config != NULL && (s->o.resume ? run_set_config(&s->run, config)
                                               : run_create(&s->run, s->o.out, config));
    free(config);
    if (!made)
        return false;
    if (!run_log_open(&s->run, s->step, &s->seconds) || !open_events(s))
        return false;
    s->loader = ito_loader_create(s->data, s->o.batch, (uint64_t)s->o.seed,
                                  .position = s->step * s->o.batch, .prefetch = 2);
    return s->loader != NULL;
}

static bool prepare(session *s)
{
    ito_ddpm_settings settings;
    if (s->o.threads != 0 && ito_set_threads((int)s->o.threads) != ITO_OK)
        return false;
    if (!s->o.resume && !run_check_new(s->o.out))
        return false;
    if (!open_data(s) ||
        !train_options_settings(&s->o, s->channels, s->height, s->width, &settings))
        return false;
    settings.model.classes = cJSON_GetArraySize(s->class_names);
    if (!build(s, &settings) || (s->o.minutes > 0.0 && !plan_steps(s)) || !open_run(s, &settings))
        return false;
    fprintf(stderr,
            "%s: %" PRId64 " images of %" PRId64 "x%" PRId64 "x%" PRId64 "; %" PRId64
            " parameters; %d threads, %s, %s\n",
            s->o.data, s->data->size, s->channels, s->height, s->width,
            ito_module_parameter_count(&s->unet->base), ito_threads(), ito_isa(), s->o.precision);
    return true;
}

/* ---- what is written on the way ---- */

static bool save(session *s)
{
    if (s->saved == s->step)
        return true;
    ito_training_state state = state_of(s);
    if (ito_checkpoint_save(s->run.checkpoints, &state, .keep = s->o.keep) != ITO_OK)
        return false;
    s->saved = s->step;
    return true;
}

static bool go_on(int64_t done, int64_t steps, ito_tensor *x, void *context)
{
    (void)done;
    (void)steps;
    (void)x;
    (void)context;
    return stop_signal() == 0;
}

/* 0, 1, ... classes - 1, 0, 1, ... */
static ito_tensor *classes_in_turn(int64_t n, int64_t classes)
{
    ito_tensor *labels = ito_empty(ITO_SHAPE(n), ITO_I64);
    for (int64_t i = 0; labels != NULL && i < n; i++)
        ((int64_t *)ito_data(labels))[i] = i % classes;
    return labels;
}

/* A grid of samples at path, of each class in turn. Ones that are not finite are no reason to stop:
 * the averages are young. */
static bool write_grid(session *s, const char *path)
{
    const train_options *o = &s->o;
    ito_ddpm_conditioned c = s->classes;
    c.training = false;
    c.labels = c.classes == 0 ? NULL : classes_in_turn(o->sample_count, c.classes);
    ito_tensor *x =
        ito_ddpm_sample(s->diffusion, ito_ddpm_conditioned_network, &c,
                        ITO_SHAPE(o->sample_count, s->channels, s->height, s->width),
                        .steps = o->sample_steps, .seed = (uint64_t)o->seed, .progress = go_on);
    if (x == NULL)
        return ito_error_code() == ITO_OK;
    ito_tensor *grid = ito_image_grid(x, (int64_t)ceil(sqrt((double)o->sample_count)), 2);
    if (grid == NULL && ito_error_code() == ITO_ERR_NUMERIC) {
        progress_end(&s->progress);
        fprintf(stderr, "samples of step %" PRId64 " are not finite; none are written\n", s->step);
        ito_error_clear();
        return true;
    }
    return grid != NULL && ito_png_save(path, grid) == ITO_OK;
}

static bool sample(session *s)
{
    char *path = run_sample_path(&s->run, s->step);
    if (path == NULL)
        return false;
    bool good = true;
    if (access(path, F_OK) != 0) {
        ito_scope_begin();
        ito_ema_swap(s->ema);
        ito_module_train(&s->unet->base, false);
        good = write_grid(s, path);
        ito_module_train(&s->unet->base, true);
        ito_ema_swap(s->ema);
        ito_scope_end();
        progress_skip(&s->progress);
    }
    free(path);
    return good;
}

/* A page that cannot be written is no reason to stop. */
static void write_report(session *s)
{
    if (report_write(s->o.out))
        return;
    progress_end(&s->progress);
    fprintf(stderr, "no report after step %" PRId64 ": %s\n", s->step, ito_error_message());
    ito_error_clear();
}

/* A number as JSON has it: there is no NaN in it. */
static const char *json_number(char text[32], double value)
{
    snprintf(text, 32, isfinite(value) ? "%.9g" : "null", value);
    return text;
}

static bool log_step(session *s, const ito_ddpm_train_result *r, double lr)
{
    char loss[32], norm[32], rate[32], line[512];
    const progress *p = &s->progress;
    double images = p->seconds_a_step > 0.0 ? (double)s->o.batch / p->seconds_a_step : (double)NAN;
    snprintf(line, sizeof line,
             "{\"step\": %" PRId64 ", \"loss\": %s, \"grad_norm\": %s, \"lr\": %.9g, "
             "\"images_per_second\": %s, \"seconds\": %.3f, \"peak_bytes\": %" PRId64
             ", \"precision\": \"%s\"%s}",
             s->step, json_number(loss, r->loss), json_number(norm, r->grad_norm), lr,
             json_number(rate, images), s->seconds + progress_clock() - s->started,
             ito_memory_peak(), s->o.precision, r->applied ? "" : ", \"applied\": false");
    const event_scalar scalars[] = {
        {"loss", r->loss}, {"grad_norm", r->grad_norm}, {"lr", lr}, {"images_per_second", images}};
    return run_log(&s->run, line) &&
           (s->events.file == NULL || events_write(&s->events, s->step, scalars, 4));
}

/* ---- the loop ---- */

static double learning_rate(const train_options *o, int64_t step)
{
    double lr = o->lr * (o->warmup > 0 ? ito_schedule_warmup(step, o->warmup) : 1.0);
    return strcmp(o->decay, "cosine") == 0 ? lr * ito_schedule_cosine(step, o->steps, 0.0) : lr;
}

/* Any NaN as printf shows the usual one, without a sign. */
static double plain(double value)
{
    return isnan(value) ? (double)NAN : value;
}

/* A step that was not applied: the run ends when there are too many. */
static bool tolerate(session *s, const ito_ddpm_train_result *r, double lr)
{
    s->failures = r->applied ? 0 : s->failures + 1;
    if (s->failures < MOST_FAILURES)
        return true;
    char kept[64] = "there is no checkpoint yet";
    if (s->saved >= 0)
        snprintf(kept, sizeof kept, "the last good checkpoint is step-%" PRId64, s->saved);
    ito_error_set(
        ITO_ERR_NUMERIC,
        "step %" PRId64 ": loss %g or gradient norm %g was not finite %d times in a row at "
        "learning rate %g; first not finite: %s; %s",
        s->step, plain(r->loss), plain(r->grad_norm), MOST_FAILURES, lr, r->culprit, kept);
    return false;
}

static bool one_step(session *s)
{
    ito_batch batch;
    ito_ddpm_train_result r;
    double lr = learning_rate(&s->o, s->step);
    ito_generator draw = ito_ddpm_generator((uint64_t)s->o.seed, ITO_DDPM_DRAW_LABEL, s->step);
    ito_scope_begin();
    bool good = ito_loader_next(s->loader, &batch) == ITO_OK;
    if (good) {
        s->classes.draw = &draw;
        s->classes.labels = batch.labels;
        good = ito_ddpm_train_step(&s->trainer, batch.x, s->step, lr, &r) == ITO_OK;
    }
    ito_scope_end();
    if (!good)
        return false;
    s->step++;
    progress_step(&s->progress, s->step, s->o.batch, r.loss);
    if ((s->step % s->o.log_every == 0 || !r.applied) && !log_step(s, &r, lr))
        return false;
    return tolerate(s, &r, lr);
}

static bool sample_due(const session *s)
{
    return s->o.sample_every > 0 && s->step > 0 &&
           (s->step % s->o.sample_every == 0 || s->step == s->o.steps);
}

/* Up to the last step wanted now, or to the end of the step in which a signal came. */
static bool train(session *s)
{
    int64_t last = s->o.stop_at > 0 && s->o.stop_at < s->o.steps ? s->o.stop_at : s->o.steps;
    progress_begin(&s->progress, "step", "images", s->step, s->o.steps);
    s->started = progress_clock();
    /* A process that was stopped while it drew samples left them to this one. */
    if (sample_due(s) && !sample(s))
        return false;
    while (s->step < last && stop_signal() == 0) {
        if (!one_step(s))
            return false;
        /* None while steps fail: the one before is as good, and resuming it counts them again. */
        bool checkpoint_due = s->step % s->o.checkpoint_every == 0 && s->failures == 0;
        if (checkpoint_due && !save(s))
            return false;
        if (sample_due(s) && stop_signal() == 0 && !sample(s))
            return false;
        if (checkpoint_due) {
            write_report(s);
            progress_skip(&s->progress);
        }
    }
    progress_end(&s->progress);
    if (!save(s))
        return false;
    write_report(s);
    return true;
}

/* ---- the end ---- */

static double mib(int64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static int report(const session *s)
{
    ito_memory_account m = ito_memory_account_of(&s->unet->base, s->optimizer, s->ema);
    fprintf(stderr,
            "memory, MiB: %.0f weights, %.0f gradients, %.0f optimiser, %.0f averages, "
            "%.0f activations; %.0f at most, %.0f held\n",
            mib(m.weights), mib(m.gradients), mib(m.optimizer), mib(m.averages), mib(m.activations),
            mib(m.peak), mib(m.held));
    if (s->step < s->o.steps)
        fprintf(stderr,
                "stopped after step %" PRId64 " of %" PRId64
                "; go on with: ito-ddpm train --out %s --resume\n",
                s->step, s->o.steps, s->o.out);
    else
        fprintf(stderr,
                "%" PRId64 " steps done; images: ito-ddpm sample --model %s --out grid.png\n",
                s->step, s->o.out);
    if (!s->o.json)
        return 0;
    char loss[32];
    cJSON *name = cJSON_CreateString(s->o.out);
    char *quoted = name != NULL ? cJSON_PrintUnformatted(name) : NULL;
    int n =
        quoted == NULL
            ? -1
            : printf("{\"run\": %s, \"step\": %" PRId64 ", \"steps\": %" PRId64 ", \"loss\": %s, "
                     "\"seconds\": %.3f, \"peak_bytes\": %" PRId64
                     ", \"memory\": {\"weights\": %" PRId64 ", \"gradients\": %" PRId64
                     ", \"optimizer\": %" PRId64 ", \"averages\": %" PRId64
                     ", \"activations\": %" PRId64 ", \"held\": %" PRId64 "}, \"signal\": %d}\n",
                     quoted, s->step, s->o.steps, json_number(loss, progress_loss(&s->progress)),
                     s->seconds + progress_clock() - s->started, m.peak, m.weights, m.gradients,
                     m.optimizer, m.averages, m.activations, m.held, stop_signal());
    free(quoted);
    cJSON_Delete(name);
    if (n >= 0 && fflush(stdout) == 0)
        return 0;
    fprintf(stderr, "ito-ddpm train: stdout: cannot write to it\n");
    return 1;
}

static void session_free(session *s)
{
    ito_loader_free(s->loader);
    ito_dataset_free(s->data);
    ito_ema_free(s->ema);
    ito_optimizer_free(s->optimizer);
    ito_ddpm_steps_free(s->steps);
    ito_diffusion_free(s->diffusion);
    if (s->unet != NULL)
        ito_module_free(&s->unet->base);
    free(s->settings);
    cJSON_Delete(s->class_names);
    run_close(&s->run);
    events_close(&s->events);
    cJSON_Delete(s->config);
}

int command_train(int argc, char **argv)
{
    session s = {.saved = -1, .run = {.lock = -1}};
    train_options_parse(&s.o, argc, argv, &s.config);
    s.progress.quiet = false;
    ito_scope_begin();
    int code;
    if (!prepare(&s)) {
        code = fail(&s);
    } else {
        stop_on_signals();
        bool good = train(&s);
        code = good ? report(&s) : fail(&s);
        if (good && stop_signal() != 0)
            code = 128 + stop_signal();
    }
    session_free(&s);
    ito_scope_end();
    return code;
}
