/* ito-dit: a diffusion transformer, or the U-Net, of Fashion-MNIST's ten classes: the same
 * diffusion, batches, times, noise and optimiser, so that they can be compared at equal time. */
#include "examples/common/idx_directory.h"
#include "examples/common/options.h"
#include "examples/common/outputs.h"
#include "examples/common/progress.h"
#include "examples/common/results.h"

#include <ito/ito.h>
#include <math.h>
#include <string.h>

enum { SIDE = ITO_CLASSIFIER_SIDE, WARMUP = 100, SAMPLED = 100, SHOWN = 80, REAL = 10000 };
enum { DIT_STEPS = 1900, UNET_STEPS = 950 }; /* equally long: README.md */

typedef struct settings {
    const char *network, *positions, *data, *sampler, *out;
    int64_t patch, width, depth, heads, steps, batch, sampling_steps, n, seed, threads;
    double lr, ema, drop, guidance;
    bool force, json;
} settings;

#define AT(field) offsetof(settings, field)

static const option_row rows[] = {
    GROUP_ROW("The network"),
    WORDS_ROW("network", network, "dit|unet", "dit", "A transformer, or the U-Net \"small\""),
    INT_ROW("patch", patch, "P", 1, SIDE, "4", "Transformer: pixels of a patch's side"),
    INT_ROW("width", width, "D", 1, 16384, "128", "Transformer: numbers in a token"),
    INT_ROW("depth", depth, "N", 1, 1024, "6", "Transformer: blocks"),
    INT_ROW("heads", heads, "N", 1, 16384, "4", "Transformer: heads of attention"),
    WORDS_ROW("positions", positions, "sincos|learned|rotary", "sincos", "Transformer: places"),
    GROUP_ROW("Training"),
    TEXT_ROW("data", data, "DIR", FASHION_MNIST, "Directory of IDX files as Fashion-MNIST's"),
    INT_ROW("steps", steps, "N", 1, 1e7, NULL, "Steps (what takes about three minutes)"),
    INT_ROW("batch", batch, "N", 1, 60000, "32", "Images in each"),
    REAL_ROW("lr", lr, "RATE", ABOVE_0, 1, "0.001", "Rate of learning, down to 0 along a cosine"),
    REAL_ROW("ema", ema, "X", 0, 0.999999, "0.995", "Decay of the averages that are sampled"),
    REAL_ROW("drop", drop, "P", 0, 1, "0.1", "How often a label is dropped"),
    GROUP_ROW("What is drawn"),
    REAL_ROW("guidance", guidance, "W", 0, 100, "1.5", "none + W (class - none)"),
    KIND_ROW("sampler", sampler, "sampler", "heun", "From noise to images"),
    INT_ROW("sampling-steps", sampling_steps, "N", 1, 1e6, "10", "How many"),
    INT_ROW("n", n, "N", 100, 1e4, "1000", "Images that are compared with real ones"),
    TEXT_ROW("out", out, "FILE.png", "dit.png", "A picture, a column for each class"),
    FORCE_ROW,
    SEED_ROW,
    THREADS_ROW,
    JSON_ROW,
    END_ROW,
};

typedef struct session {
    const settings *o;
    ito_diffusion *diffusion;
    ito_timestep_sampler *timesteps;
    ito_module *model;
    ito_network *network; /* the model's */
    ito_guidance *guided; /* around it; and labels around that */
    ito_class_condition *labelled;
    ito_optimizer *optimizer;
    ito_ema *ema;
    ito_dataset *data;
    ito_loader *loader;
} session;

static void make_network(session *s, ito_generator *g)
{
    const settings *o = s->o;
    if (strcmp(o->network, "unet") == 0) {
        ito_unet_config c;
        ito_status status = ito_unet_preset("small", 1, SIDE, SIDE, &c);
        c.classes = IDX_CLASSES;
        ito_unet *unet = status == ITO_OK ? ito_unet_create(&c, g) : NULL;
        s->model = unet == NULL ? NULL : &unet->base;
        s->network = unet == NULL ? NULL : &unet->network;
        return;
    }
    ito_dit *dit = ito_dit_create(1, SIDE, SIDE, .generator = g, .patch_size = o->patch,
                                  .hidden_size = o->width, .depth = o->depth, .num_heads = o->heads,
                                  .classes = IDX_CLASSES,
                                  .positions = o->positions[0] == 's'   ? ITO_DIT_SINCOS
                                               : o->positions[0] == 'l' ? ITO_DIT_LEARNED
                                                                        : ITO_DIT_ROTARY);
    s->model = dit == NULL ? NULL : &dit->base;
    s->network = dit == NULL ? NULL : &dit->network;
}

/* Flow matching: the network predicts eps - x_0, at times whose logit is normal. */
static bool session_open(session *s)
{
    const settings *o = s->o;
    ito_generator init = ito_diffusion_generator((uint64_t)o->seed, ITO_DRAW_INIT, 0);
    ito_tensor *images = idx_directory_images(o->data, false);
    ito_tensor *labels = images == NULL ? NULL : idx_directory_labels(o->data, false, images);
    s->diffusion =
        ito_diffusion_create(.schedule = &ito_schedule_flow, .prediction = &ito_prediction_flow);
    make_network(s, &init);
    if (labels == NULL || s->model == NULL)
        return false;
    s->guided = ito_guidance_create(s->diffusion, s->network, 1.0); /* 1: none */
    s->labelled = ito_class_condition_create((ito_network *)s->guided, IDX_CLASSES);
    s->timesteps =
        ito_timestep_sampler_create(s->diffusion->process, &ito_timestep_law_logit_normal);
    s->optimizer = ito_adam_create(s->model);
    s->ema = ito_ema_create(s->model, .decay = o->ema, .warmup = true);
    s->data = ito_image_dataset_create(images, .labels = labels);
    s->loader = ito_loader_create(s->data, o->batch, (uint64_t)o->seed, .prefetch = 2);
    return ito_error_code() == ITO_OK;
}

static void session_close(session *s)
{
    ito_loader_free(s->loader);
    ito_dataset_free(s->data);
    ito_ema_free(s->ema);
    ito_optimizer_free(s->optimizer);
    ito_timestep_sampler_free(s->timesteps);
    ito_network_free((ito_network *)s->labelled);
    ito_network_free((ito_network *)s->guided);
    ito_module_free(s->model);
    ito_diffusion_free(s->diffusion);
}

static bool train_step(session *s, const ito_diffusion_trainer *trainer, int64_t step,
                       ito_train_result *result)
{
    const settings *o = s->o;
    ito_batch b;
    ito_generator g = ito_diffusion_generator(trainer->seed, ITO_DRAW_LABEL, step);
    double lr = o->lr * ito_lr_warmup(step, WARMUP) * ito_lr_cosine(step, o->steps, 0.0);
    if (ito_loader_next(s->loader, &b) != ITO_OK)
        return false;
    s->labelled->labels = b.labels;
    s->labelled->generator = &g;
    ito_status status = ito_diffusion_train_step(trainer, b.x, step, lr, result);
    s->labelled->generator = NULL;
    return status == ITO_OK;
}

/* The loss in out is the mean of about the last 50 steps. */
static bool train(session *s, cJSON *out)
{
    const settings *o = s->o;
    ito_diffusion_trainer trainer = {.diffusion = s->diffusion,
                                     .network = &s->labelled->base,
                                     .model = s->model,
                                     .optimizer = s->optimizer,
                                     .ema = s->ema,
                                     .timesteps = s->timesteps,
                                     .max_norm = 1.0,
                                     .seed = (uint64_t)o->seed};
    progress bar = {.quiet = false};
    bool good = true;
    s->labelled->drop = o->drop;
    progress_begin(&bar, "step", "images", 0, o->steps);
    for (int64_t step = 0; good && step < o->steps; step++) {
        ito_train_result r = {.loss = 0.0};
        ito_scope_begin();
        good = train_step(s, &trainer, step, &r);
        ito_scope_end();
        progress_step(&bar, step + 1, o->batch, r.loss);
    }
    progress_end(&bar);
    double seconds = progress_clock() - bar.started;
    result_text(out, "network", o->network);
    result_number(out, "parameters", (double)ito_module_parameter_count(s->model));
    result_number(out, "steps", (double)o->steps);
    result_number(out, "training_seconds", seconds);
    result_number(out, "ms_a_step", 1e3 * seconds / (double)o->steps);
    result_number(out, "loss", progress_loss(&bar));
    return good && ito_ema_swap(s->ema) == ITO_OK;
}

/* Images of the classes in turn, [n, 1, 28, 28]. */
static ito_tensor *sample(session *s)
{
    const settings *o = s->o;
    ito_tensor *all = ito_empty(ITO_SHAPE(o->n, 1, SIDE, SIDE), ITO_F32);
    progress bar = {.quiet = false};
    progress_begin(&bar, "batch", "images", 0, (o->n + SAMPLED - 1) / SAMPLED);
    s->guided->scale = o->guidance;
    for (int64_t i = 0; i < o->n; i += SAMPLED) {
        int64_t n = o->n - i < SAMPLED ? o->n - i : SAMPLED;
        ito_scope_begin();
        ito_tensor *classes =
            ito_tile(ito_arange(0, IDX_CLASSES, 1, ITO_I64), SAMPLED / IDX_CLASSES);
        s->labelled->labels = ito_slice(classes, 0, 0, n, 1);
        ito_tensor *x = ito_diffusion_sample(
            s->diffusion, &s->labelled->base, ITO_SHAPE(n, 1, SIDE, SIDE),
            .sampler = ito_sampler_find(o->sampler), .steps = o->sampling_steps,
            .seed = (uint64_t)o->seed, .first_image = i);
        ito_copy_(ito_slice(all, 0, i, i + n, 1), x);
        ito_scope_end();
        progress_step(&bar, i / SAMPLED + 1, n, (double)NAN);
    }
    progress_end(&bar);
    return ito_error_code() == ITO_OK ? all : NULL;
}

/* The Frechet distance of images from the first REAL training images; NaN after an error. */
static double distance(ito_tensor *images, const char *data)
{
    ito_classifier *judge = ito_classifier_fashion_mnist();
    ito_tensor *real = ito_slice(idx_directory_images(data, false), 0, 0, REAL, 1), *a, *b;
    bool good = judge != NULL && ito_classifier_run(judge, images, &a, NULL) == ITO_OK &&
                ito_classifier_run(judge, real, &b, NULL) == ITO_OK;
    ito_module_free((ito_module *)judge);
    return good ? ito_frechet_distance(a, b) : (double)NAN;
}

/* Train, draw and measure; false with an error recorded. */
static bool run(session *s, cJSON *out)
{
    const settings *o = s->o;
    if (!options_set_threads(o->threads) ||
        !output_can_write((output){"out", o->out, FILE_IMAGE}, o->force) || !session_open(s) ||
        !train(s, out))
        return false;
    ito_no_grad_begin();
    ito_tensor *samples = sample(s);
    ito_tensor *test = ito_slice(idx_directory_images(o->data, true), 0, 0, o->n, 1);
    ito_tensor *grid = ito_image_grid(ito_slice(samples, 0, 0, SHOWN, 1), IDX_CLASSES, 2);
    result_number(out, "frechet", distance(samples, o->data));
    result_number(out, "frechet_of_test_images", distance(test, o->data));
    ito_no_grad_end();
    return ito_error_code() == ITO_OK && ito_image_save(o->out, grid) == ITO_OK;
}

int main(int argc, char **argv)
{
    settings o;
    command_line c = {.command = "",
                      .doc = "Train a diffusion transformer of clothes, or the U-Net in its "
                             "place; draw images of each class, and compare them with real ones.",
                      .options = rows,
                      .values = &o};
    options_parse(&c, argc, argv);
    o.steps = int_or(o.steps, strcmp(o.network, "unet") == 0 ? UNET_STEPS : DIT_STEPS);
    double started = progress_clock();
    session s = {.o = &o};
    cJSON *out = cJSON_CreateObject();
    ito_scope_begin();
    bool good = run(&s, out);
    session_close(&s);
    ito_scope_end();
    if (good)
        return results_print("", out, started, o.json);
    cJSON_Delete(out);
    options_blame();
    return options_report("");
}
