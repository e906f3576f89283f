/* ito-ddpm sample: images from a trained network, as a PNG grid, as numbers, or both.
 * Invariant: image i depends on the network, the settings, the seed and i alone; nothing is written
 * unless all images are finite. */
#include "autograd/ops.h"
#include "examples/common/options.h"
#include "examples/ddpm/classifier_guidance.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/commands/eval.h"
#include "examples/ddpm/inference.h"
#include "examples/ddpm/run_directory.h"
#include "examples/ddpm/trajectory.h"
#include "models/ddpm/sampler.h"
#include "tensor/io/image.h"
#include "tensor/io/npy.h"
#include "tensor/runtime.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct sample_options {
    const char *model, *out, *npy, *weights;
    const char *sampler, *spacing, *variance, *precision, *trajectory, *frames, *class, *classifier;
    int64_t n, steps, seed, first, batch, columns, trajectory_steps, threads;
    double eta, threshold, churn, guidance, classifier_scale;
    bool no_clip, rederive_eps, end_at_first, noise_at_last, json;
} sample_options;

#define AT(field) offsetof(sample_options, field)

static const option_row rows[] = {
    {OPTION_GROUP, NULL, 0, NULL, "What and where", 0, 0, false},
    MODEL_ROW,
    {OPTION_TEXT, "out", AT(out), "GRID.png",
     "Write all images side by side to this file (samples.png, if nothing else is to be written)",
     0, 0, false},
    {OPTION_TEXT, "npy", AT(npy), "FILE.npy", "Write them as float32 [N, C, H, W], about -1 to 1",
     0, 0, false},
    {OPTION_TEXT, "trajectory", AT(trajectory), "STRIP.png|FILE.npy",
     "Write what the network takes for the clean images at steps of the way: a row of pictures for "
     "each image, or float32 [STEPS, N, C, H, W]",
     0, 0, false},
    {OPTION_TEXT, "frames", AT(frames), "DIR",
     "Write the same as frame-0000.png ... and as frames.png, an animated PNG", 0, 0, false},
    {OPTION_INT, "trajectory-steps", AT(trajectory_steps), "N",
     "How many steps those show, evenly spaced from the first to the last (all; 10 with STRIP.png)",
     1, 1e6, false},
    {OPTION_INT, "n", AT(n), "N", "How many images (64)", 1, 1e7, false},
    {OPTION_INT, "columns", AT(columns), "N", "Images in a row of the grid (as a square)", 1, 1e7,
     false},
    CLASS_ROW,
    GUIDANCE_ROW,
    {OPTION_TEXT, "classifier", AT(classifier), "FILE",
     "class: guide to it by what ito-ddpm classifier has trained, and ask the network without a "
     "class, which it need not know",
     0, 0, false},
    {OPTION_REAL, "classifier-scale", AT(classifier_scale), "X",
     "How much of it: 1 by its probabilities, more for clearer and less varied images (1)", 0, 1000,
     false},
    WEIGHTS_ROW,

    {OPTION_GROUP, NULL, 0, NULL, "How", 0, 0, false},
    {OPTION_CHOICE, "sampler", AT(sampler), SAMPLERS,
     "Ancestral sampling (ddpm, which also takes the most steps), or a faster one", 0, 0, false},
    {OPTION_INT, "steps", AT(steps), "N",
     "Steps taken, at most those of the diffusion (ddpm 250, others 50; without --model 25)", 1,
     1e6, false},
    {OPTION_CHOICE, "spacing", AT(spacing), "linspace|leading|trailing|karras|rate",
     "Which steps those are (linspace)", 0, 0, false},
    {OPTION_FLAG, "end-at-first", AT(end_at_first), NULL,
     "End at the first noise level, not at none: solvers keep their order", 0, 0, false},
    {OPTION_REAL, "eta", AT(eta), "X", "ddim: 0 deterministic, 1 as much noise as ddpm (0)", 0, 1,
     false},
    {OPTION_CHOICE, "variance", AT(variance), "fixedsmall|fixedlarge",
     "ddpm: variance of a step (as the run was trained with)", 0, 0, false},
    {OPTION_FLAG, "no-clip", AT(no_clip), NULL,
     "Do not clip the predicted image to -1..1 in each step", 0, 0, false},
    {OPTION_FLAG, "rederive-eps", AT(rederive_eps), NULL,
     "Samplers that move by noise: take it from the clipped image, not from the network", 0, 0,
     false},
    {OPTION_REAL, "threshold", AT(threshold), "Q",
     "Clip to the quantile Q of the predicted image and scale by it; 0.995 is usual (0: clip to "
     "-1..1)",
     0, 1, false},
    {OPTION_REAL, "churn", AT(churn), "X",
     "Samplers without memory, such as euler and heun: noise added on the way (0)", 0, 1e6, false},
    {OPTION_FLAG, "noise-at-last", AT(noise_at_last), NULL, "ddpm: add noise in the last step too",
     0, 0, false},
    SEED_ROW,
    {OPTION_INT, "first", AT(first), "I", "Number of the first image: 64 goes on behind --n 64 (0)",
     0, 1e12, false},

    {OPTION_GROUP, NULL, 0, NULL, "Machine", 0, 0, false},
    BATCH_ROW,
    PRECISION_ROW,
    THREADS_ROW,
    JSON_ROW,
    END_ROW,
};

static const char doc[] =
    "Make images with a network that ito-ddpm train has trained."
    "\v"
    "Examples:\n"
    "  ito-ddpm sample --class boot --guidance 2\n"
    "  ito-ddpm sample --model run --out grid.png\n"
    "  ito-ddpm sample --model run --out grid.png --n 16 --sampler dpm++2m --steps 20 --seed 7\n"
    "  ito-ddpm sample --model run --out boots.png --class boot --guidance 2\n"
    "  ito-ddpm sample --model run --n 4 --trajectory strip.png --frames frames\n"
    "  ito-ddpm sample --model run/checkpoints/step-3500 --npy images.npy --n 1000\n\n"
    "The same model, settings and seed give the same image i, whatever --n, --batch and --threads "
    "are.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage.";

typedef struct job {
    sample_options o;
    trained net;
    ito_tensor *images; /* [n, C, H, W] f32, row-major */
    trajectory trajectory;
    guide guide;   /* if there is a --classifier */
    int64_t first; /* image of the batch under way */
    batches batches;
} job;

static void parse(sample_options *o, int argc, char **argv)
{
    command_line c = {.command = "sample", .doc = doc, .options = rows, .values = o};
    *o = (sample_options){.n = 64,
                          .batch = 16,
                          .sampler = "ddpm",
                          .spacing = "linspace",
                          .weights = "ema",
                          .precision = "f32",
                          .guidance = 1.0,
                          .classifier_scale = 1.0};
    options_parse(&c, argc, argv);
    refuse_lone_guidance(&c, o->class);
    if (o->classifier != NULL && o->class == NULL)
        options_refuse(&c, "--classifier: it needs a --class to guide to");
    if (o->classifier == NULL && options_given(&c, "classifier-scale"))
        options_refuse(&c, "--classifier-scale: it needs the --classifier that it scales");
    if (o->classifier != NULL && options_given(&c, "guidance"))
        options_refuse(&c, "--guidance: it guides by the network's own classes, and --classifier "
                           "without them");
    if (o->model == NULL) {
        o->model = BUILT_IN;
        o->steps = o->steps != 0 ? o->steps : 25; /* a matter of seconds */
    }
    if (o->trajectory == NULL && o->frames == NULL) {
        options_refuse_given(&c, "trajectory-steps",
                             "it needs a --trajectory or --frames to be shown in");
        if (o->out == NULL && o->npy == NULL)
            o->out = "samples.png";
    }
    if (o->out == NULL && o->frames == NULL)
        options_refuse_given(&c, "columns", "it needs an --out or --frames that has them");
    if (o->no_clip)
        options_refuse_given(&c, "threshold", "it is a way to clip, which --no-clip leaves out");
    refuse_idle_options(&c, o->sampler);
    if (o->columns == 0)
        o->columns = (int64_t)ceil(sqrt((double)o->n));
}

/* The network and, if there is a classifier, that: the network is then asked without a class. */
static bool open_network(job *j)
{
    const sample_options *o = &j->o;
    return trained_open(&j->net, (trained_options){.command = "sample",
                                                   .model = o->model,
                                                   .weights = o->weights,
                                                   .precision = o->precision,
                                                   .variance = o->variance,
                                                   .class = o->classifier == NULL ? o->class : NULL,
                                                   .guidance = o->guidance}) &&
           (o->classifier == NULL || guide_open(&j->guide, o->classifier, &j->net, o->class));
}

static bool prepare(job *j)
{
    sample_options *o = &j->o;
    if (o->threads != 0 && ito_set_threads((int)o->threads) != ITO_OK)
        return false;
    if (!paths_can_write(o->out, o->npy, o->trajectory) || !open_network(j) ||
        !trained_steps(&j->net, strcmp(o->sampler, "ddpm") == 0 ? 250 : 50, &o->steps))
        return false;
    const ito_unet_config *c = &j->net.files.settings.model;
    j->images = ito_empty(ITO_SHAPE(o->n, c->in_channels, c->height, c->width), ITO_F32);
    j->trajectory = (trajectory){.path = o->trajectory,
                                 .frames = o->frames,
                                 .columns = o->columns,
                                 .steps = o->trajectory_steps};
    return j->images != NULL && trajectory_begin(&j->trajectory, ito_shape_of(j->images), o->steps);
}

static void watch(const ito_ddpm_walk *w, ito_tensor *x, void *context)
{
    job *j = context;
    (void)x;
    trajectory_keep(&j->trajectory, w, j->first);
}

/* Images first .. first + n - 1 of the run, into their place. */
static bool sample_batch(int64_t first, int64_t n, void *context)
{
    job *j = context;
    const sample_options *o = &j->o;
    const ito_unet_config *c = &j->net.files.settings.model;
    ito_ddpm_sample_options options = {.sampler = ito_ddpm_sampler_find(o->sampler),
                                       .steps = o->steps,
                                       .eta = o->eta,
                                       .no_clip = o->no_clip,
                                       .rederive_eps = o->rederive_eps,
                                       .threshold = o->threshold,
                                       .churn = {.amount = o->churn},
                                       .end_at_first = o->end_at_first,
                                       .noise_at_last = o->noise_at_last,
                                       .observe = j->trajectory.kept != NULL ? watch : NULL,
                                       .observe_context = j,
                                       .seed = (uint64_t)o->seed,
                                       .first_image = o->first + first,
                                       .progress = batches_progress,
                                       .progress_context = &j->batches};
    ito_ddpm_conditioned network = trained_network(&j->net, o->first + first, n);
    j->first = first;
    if (options.sampler == NULL || ito_ddpm_spacing_find(o->spacing, &options.spacing) != ITO_OK)
        return false;
    ito_noise_classifier_guide to = {.labels = NULL};
    ito_ddpm_classifier guided = {.diffusion = j->net.diffusion,
                                  .network = ito_ddpm_conditioned_network,
                                  .context = &network,
                                  .log_probability = ito_noise_classifier_log_probability,
                                  .classifier_context = &to,
                                  .scale = o->classifier_scale};
    bool by_class = o->classifier != NULL;
    if (by_class)
        to = guide_to(&j->guide, o->first + first, n);
    ito_tensor *x = ito_ddpm_sample_with(
        j->net.diffusion, by_class ? ito_ddpm_classifier_network : ito_ddpm_conditioned_network,
        by_class ? (void *)&guided : &network, ITO_SHAPE(n, c->in_channels, c->height, c->width),
        options);
    ito_ddpm_conditioned_end(&network);
    return images_put(j->images, first, x, j->net.files.weights, o->first + first);
}

static bool sample_all(job *j)
{
    j->batches = (batches){.what = "sampling step",
                           .n = j->o.n,
                           .size = j->o.batch,
                           .run = sample_batch,
                           .context = j};
    return batches_run(&j->batches);
}

static bool write_images(job *j)
{
    const sample_options *o = &j->o;
    if (o->npy != NULL && ito_npy_save(o->npy, j->images) != ITO_OK)
        return false;
    if (!trajectory_write(&j->trajectory))
        return false;
    if (o->out == NULL)
        return true;
    ito_tensor *grid = ito_image_grid(j->images, o->columns, 2);
    return grid != NULL && ito_png_save(o->out, grid) == ITO_OK;
}

static void put_text(cJSON *root, const char *name, const char *value)
{
    if (value != NULL)
        cJSON_AddStringToObject(root, name, value);
}

static int report(const job *j, double seconds)
{
    const sample_options *o = &j->o;
    say_where(o->n, "image", "images", o->out);
    say_where(o->n, "image", "images", o->npy);
    trajectory_say(&j->trajectory);
    if (!o->json)
        return 0;
    cJSON *root = cJSON_CreateObject();
    put_text(root, "weights", j->net.files.weights);
    cJSON_AddNumberToObject(root, "step", (double)j->net.files.step);
    cJSON_AddNumberToObject(root, "images", (double)o->n);
    cJSON_AddNumberToObject(root, "steps", (double)o->steps);
    put_text(root, "sampler", o->sampler);
    put_text(root, "class", o->class);
    put_text(root, "classifier", o->classifier);
    put_text(root, "precision", o->precision);
    put_text(root, "out", o->out);
    put_text(root, "npy", o->npy);
    put_text(root, "trajectory", o->trajectory);
    put_text(root, "frames", o->frames);
    cJSON_AddNumberToObject(root, "seconds", seconds);
    return eval_report("sample", root, true);
}

int command_sample(int argc, char **argv)
{
    job j = {.images = NULL};
    parse(&j.o, argc, argv);
    double started = progress_clock();
    ito_scope_begin();
    bool good = prepare(&j) && sample_all(&j) && write_images(&j);
    int code = good ? report(&j, progress_clock() - started) : options_report("sample");
    guide_close(&j.guide);
    trained_close(&j.net);
    ito_scope_end();
    return code;
}
