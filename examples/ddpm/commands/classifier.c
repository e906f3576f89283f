/* ito-ddpm classifier: train a classifier of noised images, which guides a network trained with or
 * without classes.
 * Invariant: the file is complete or not there, and depends on the network's noise, the images, the
 * settings and the seed alone. */
#include "examples/common/messages.h"
#include "examples/common/outputs.h"
#include "examples/common/progress.h"
#include "examples/common/results.h"
#include "examples/common/stop.h"
#include "examples/ddpm/classifier_guidance.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/image_files.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdio.h>

enum { LEVELS = 4, JUDGED = 500, JUDGED_AT_ONCE = 100, WARMUP = 50 };

typedef struct classifier_options {
    const char *model, *data, *range, *out;
    int64_t steps, batch, channels, seed, threads;
    double lr;
    bool skip_bad, force, json;
} classifier_options;

#define AT(field) offsetof(classifier_options, field)

static const option_row rows[] = {
    TEXT_ROW("model", model, "RUN|FILE", NULL,
             "The network it will guide, whose noise it learns to see through"),
    DATA_ROW("Images with classes"),
    RANGE_ROW,
    SKIP_BAD_ROW,
    TEXT_ROW("out", out, "FILE.safetensors", NULL, "Where the classifier goes"),
    FORCE_ROW,
    INT_ROW("steps", steps, "N", 1, 1e9, "1000", "Steps of training"),
    INT_ROW("batch", batch, "N", 1, 1e6, "64", "Images a step"),
    REAL_ROW("lr", lr, "X", ABOVE_0, 1, "0.001", "Highest learning rate of AdamW"),
    INT_ROW("channels", channels, "N", 8, 1024, "32", "Width, a multiple of 8"),
    SEED_ROW,
    THREADS_ROW,
    JSON_ROW,
    END_ROW,
};

static const char doc[] =
    "Train a classifier of noised images. With it, samples of a network that was trained without "
    "classes can be asked for by class (classifier guidance: Dhariwal, Nichol 2021)."
    "\v"
    "Examples:\n"
    "  ito-ddpm classifier --model run --data fashion-mnist --out classes.safetensors\n"
    "  ito-ddpm sample --model run --classifier classes.safetensors --class boot "
    "--classifier-scale 2 --out boots.png\n\n"
    "Ctrl-C ends it, and nothing is written.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 128 + n stopped by signal n.";

typedef struct job {
    classifier_options o;
    inference net;
    ito_tensor *images, *labels;
    cJSON *class_names;
    ito_noise_classifier *classifier;
    ito_optimizer *optimizer;
    ito_dataset *data;
    ito_loader *loader;
    double right[LEVELS]; /* accuracy by level of noise */
} job;

static void parse(classifier_options *o, int argc, char **argv)
{
    command_line c = {.command = "classifier", .doc = doc, .options = rows, .values = o};
    options_parse(&c, argc, argv);
    options_require(&c, "model", "the network to guide");
    options_require(&c, "data", "images with classes");
    options_require(&c, "out", "where the classifier goes");
    data_check_skip_bad(&c, o->data);
    if (o->channels % 8 != 0)
        options_refuse(&c, "--channels: %" PRId64 " is not a multiple of 8", o->channels);
}

static bool load_data(job *j)
{
    const ito_unet_config *c = &j->net.model->settings.model;
    j->images = data_load_classes((data_options){.spec = j->o.data,
                                                 .range = j->o.range,
                                                 .size = c->height,
                                                 .grey = c->in_channels == 1,
                                                 .skip_bad = j->o.skip_bad},
                                  &j->labels, &j->class_names);
    return j->images != NULL && model_fits(j->net.model, j->images, j->o.data);
}

static bool prepare(job *j)
{
    const classifier_options *o = &j->o;
    ito_generator init = ito_generator_make((uint64_t)o->seed, 0);
    if (!options_set_threads(o->threads))
        return false;
    if (!output_can_write((output){"out", o->out, FILE_SAFETENSORS}, o->force) ||
        !inference_open(&j->net, (inference_options){.command = "classifier",
                                                     .model = o->model,
                                                     .weights = "ema",
                                                     .precision = "f32",
                                                     .usual_class = "all"}))
        return false;
    const ito_diffusion *d = j->net.diffusion;
    if (d->process->steps == 0 || d->time_input != &ito_time_input_timestep)
        return options_error("--model: a classifier takes steps of the process, and this network "
                             "takes times of another kind");
    if (!load_data(j))
        return false;
    j->classifier = ito_noise_classifier_create(
        &(ito_noise_classifier_config){.in_channels = ito_size(j->images, 1),
                                       .channels = o->channels,
                                       .classes = cJSON_GetArraySize(j->class_names)},
        &init);
    if (j->classifier == NULL)
        return false;
    j->optimizer = ito_adamw_create(&j->classifier->base, .weight_decay = 0.02);
    j->data = j->optimizer != NULL ? ito_image_dataset_create(j->images, .labels = j->labels,
                                                              .flip = data_mirrors(o->data))
                                   : NULL;
    j->loader = j->data != NULL
                    ? ito_loader_create(j->data, o->batch, (uint64_t)o->seed, .prefetch = 2)
                    : NULL;
    return j->loader != NULL;
}

/* Logits of images noised to steps t by numbers of the stream. */
static ito_tensor *logits_of(const job *j, ito_tensor *x_0, ito_tensor *t, ito_generator *g)
{
    ito_tensor *eps = ito_randn(g, ito_shape_of(x_0), ITO_F32);
    return ito_noise_classifier_logits(j->classifier,
                                       ito_q_sample(j->net.diffusion->process, x_0, eps, t), t);
}

static bool train_step(job *j, int64_t step, double *loss_value)
{
    const classifier_options *o = &j->o;
    ito_generator g = ito_generator_make((uint64_t)o->seed, 1 + (uint64_t)step);
    ito_batch b;
    if (ito_loader_next(j->loader, &b) != ITO_OK)
        return false;
    ito_tensor *t =
        ito_randint(&g, 0, j->net.diffusion->process->steps, ITO_SHAPE(o->batch), ITO_I64);
    ito_module_zero_grad(&j->classifier->base);
    ito_tensor *loss = ito_cross_entropy(logits_of(j, b.x, t, &g), b.labels);
    if (loss == NULL || ito_backward(loss) != ITO_OK)
        return false;
    *loss_value = ito_item(loss);
    double lr = o->lr * ito_lr_warmup(step, WARMUP) * ito_lr_cosine(step, o->steps, 0);
    return ito_optimizer_step(j->optimizer, lr, .max_norm = 1.0) == ITO_OK;
}

static bool train_all(job *j)
{
    progress bar = {.quiet = false};
    bool good = true;
    progress_begin(&bar, "step", "images", 0, j->o.steps);
    for (int64_t step = 0; good && stop_signal() == 0 && step < j->o.steps; step++) {
        double loss = 0.0;
        ito_scope_begin();
        good = train_step(j, step, &loss);
        ito_scope_end();
        progress_step(&bar, step + 1, j->o.batch, loss);
    }
    progress_end(&bar);
    return good;
}

/* ---- accuracy ---- */

static int64_t step_judged(const job *j, int level)
{
    return level * j->net.diffusion->process->steps / LEVELS;
}

/* The number of correct classes of images first .. first + n - 1, noised to a level; -1 after an
 * error. */
static int64_t right_of(const job *j, int64_t first, int64_t n, int level)
{
    ito_generator g = ito_generator_make((uint64_t)j->o.seed,
                                         (uint64_t)1 << 62 | (uint64_t)(first * LEVELS + level));
    ito_scope_begin();
    ito_tensor *x = images_scaled(ito_narrow(j->images, 0, first, n));
    ito_tensor *t = ito_full(ITO_SHAPE(n), (double)step_judged(j, level), ITO_I64);
    ito_tensor *predicted = ito_argmax(logits_of(j, x, t, &g), .dim = 1);
    ito_tensor *hits = ito_eq(predicted, ito_cast(ito_narrow(j->labels, 0, first, n), ITO_I64));
    ito_tensor *sum = ito_sum(ito_cast(hits, ITO_F32));
    int64_t right = sum != NULL ? (int64_t)ito_item(sum) : -1;
    ito_scope_end();
    return right;
}

static bool judge(job *j)
{
    int64_t there = ito_size(j->images, 0), n = there < JUDGED ? there : JUDGED;
    bool good = true;
    ito_no_grad_begin();
    for (int level = 0; level < LEVELS; level++)
        for (int64_t first = 0; good && first < n; first += JUDGED_AT_ONCE) {
            int64_t right =
                right_of(j, first, n - first < JUDGED_AT_ONCE ? n - first : JUDGED_AT_ONCE, level);
            j->right[level] += (double)right / (double)n;
            good = right >= 0;
        }
    ito_no_grad_end();
    return good;
}

static int report(const job *j)
{
    note("%s: right on", j->o.out);
    for (int level = 0; level < LEVELS; level++)
        note("%s %.0f %% of images at t = %" PRId64, level > 0 ? "," : "", 100.0 * j->right[level],
             step_judged(j, level));
    note("\n");
    if (!j->o.json)
        return 0;
    printf("{\"steps\":%" PRId64 ",\"right\":[", j->o.steps);
    for (int level = 0; level < LEVELS; level++)
        printf("%s%.4f", level > 0 ? "," : "", j->right[level]);
    printf("]}\n");
    return results_end("classifier", true);
}

static int run(job *j)
{
    if (!prepare(j))
        return options_report("classifier");
    stop_on_signals();
    if (!train_all(j))
        return options_report("classifier");
    if (stop_signal() != 0) {
        note("stopped; nothing was written\n");
        return 128 + stop_signal();
    }
    if (!judge(j) || !classifier_guidance_save(j->o.out, j->classifier, &j->net, j->class_names))
        return options_report("classifier");
    return report(j);
}

int command_classifier(int argc, char **argv)
{
    job j = {.images = NULL};
    parse(&j.o, argc, argv);
    ito_scope_begin();
    int code = run(&j);
    ito_loader_free(j.loader);
    ito_dataset_free(j.data);
    ito_optimizer_free(j.optimizer);
    if (j.classifier != NULL)
        ito_module_free(&j.classifier->base);
    cJSON_Delete(j.class_names);
    inference_close(&j.net);
    ito_scope_end();
    return code;
}
