/* ito-ddpm sample: images from a trained network, as pictures, as numbers, or both.
 * Invariant: image i depends on the network, the settings, the seed and i alone; nothing is written
 * unless all images are finite. */
#include "examples/common/paths.h"
#include "examples/common/ranks.h"
#include "examples/common/results.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/pictures.h"
#include "examples/ddpm/sampling.h"

#include <ito/ito.h>
#include <string.h>

typedef struct sample_options {
    const char *model, *npy, *weights, *variance, *precision, *trajectory, *frames, *class,
        *classifier;
    picture_options pictures;
    int64_t trajectory_steps, threads;
    guidance_options guidance;
    double classifier_scale;
    sampling_options sampling;
    bool force, json;
} sample_options;

#define AT(field) offsetof(sample_options, field)

static const option_row rows[] = {
    GROUP_ROW("What and where"),
    MODEL_ROW,
    PICTURES_ROW(" (samples.png, if nothing else is to be written)"),
    TEXT_ROW("npy", npy, "FILE.npy", NULL, "Write them as float32 [N, C, H, W], about -1 to 1"),
    TEXT_ROW("trajectory", trajectory, "STRIP.png|FILE.npy", NULL,
             "Write the network's estimates of the clean images at steps of the way: a row of "
             "pictures for each image, or float32 [STEPS, N, C, H, W]",
             RARE),
    TEXT_ROW("frames", frames, "DIR", NULL,
             "Write the same as frame-0000.png ... and as frames.png, an animated PNG", RARE),
    INT_ROW("trajectory-steps", trajectory_steps, "N", 1, 1e6, NULL,
            "How many steps those show, evenly spaced from the first to the last (all; 10 with "
            "STRIP.png)",
            RARE),
    INT_ROW("n", sampling.n, "N", 1, 1e7, "64", "How many images"),
    PICTURE_LOOK_ROWS,
    FORCE_ROW,
    CLASS_ROW,
    GUIDANCE_ROWS,
    TEXT_ROW("classifier", classifier, "FILE", NULL,
             "class: guide to it by what ito-ddpm classifier has trained, and evaluate the network "
             "without a class, which it need not know",
             RARE),
    REAL_ROW("classifier-scale", classifier_scale, "X", 0, 1000, "1",
             "How much of it: 1 by its probabilities, more for clearer and less varied images",
             RARE),
    WEIGHTS_ROW,

    GROUP_ROW("How"),
    SAMPLER_ROW(sampling.sampler,
                "Ancestral sampling, or a faster sampler with fewer steps (that of the run; ddpm)"),
    INT_ROW("steps", sampling.steps, "N", 1, 1e6, NULL,
            "Steps taken, at most those of the diffusion (those of the run; ddpm 250, others 50; "
            "without --model 25)"),
    KIND_ROW("spacing", sampling.spacing, "spacing", NULL,
             "Which steps those are (those of the run; the sampler's own, see below)", RARE),
    FLAG_ROW("end-at-first", sampling.end_at_first,
             "End at the first noise level, not at none: solvers keep their order", RARE),
    ETA_ROW(sampling.eta),
    VARIANCE_ROW("ddpm: variance of a step (as the run was trained with)"),
    NO_CLIP_ROW(sampling.no_clip),
    FLAG_ROW("rederive-eps", sampling.rederive_eps,
             "Samplers that update by noise: take it from the clipped image, not from the network",
             RARE),
    REAL_ROW("threshold", sampling.threshold, "Q", 0, 1, "0",
             "Clip to the quantile Q of the predicted image and scale by it; 0.995 is usual, 0 "
             "clips to -1..1",
             RARE),
    REAL_ROW("churn", sampling.churn, "X", 0, 1e6, "0",
             "Samplers without memory, such as euler and heun: noise added on the way", RARE),
    FLAG_ROW("noise-at-last", sampling.noise_at_last, "ddpm: add noise in the last step too", RARE),
    INT_ROW("seed", sampling.seed, "S", 0, LARGEST_INT, "0", "Decides all random numbers"),
    INT_ROW("first", sampling.first, "I", 0, 1e12, "0",
            "Number of the first image: 64 goes on behind --n 64", RARE),

    GROUP_ROW("Machine"),
    INT_ROW("batch", sampling.batch, "N", 1, 1e6, "16",
            "Images made at once; changes none of them"),
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
    "  ito-ddpm sample --model run --n 1000 --out images/\n"
    "  ito-ddpm sample --model run/checkpoints/step-3500 --npy images.npy --n 1000\n\n"
    "The same model, settings and seed give the same image i, whatever --n, --batch and --threads "
    "are.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage.";

typedef struct job {
    sample_options o;
    inference net;
    trajectory trajectory;
    classifier_guidance guidance; /* if there is a --classifier */
    sampling sampling;
} job;

static void check_guidance(const command_line *c, const sample_options *o)
{
    guidance_check(c, &o->guidance, o->class);
    if (o->classifier != NULL && o->class == NULL)
        options_refuse(c, "--classifier: it needs a --class to guide to");
    if (o->classifier == NULL && options_given(c, "classifier-scale"))
        options_refuse(c, "--classifier-scale: it needs the --classifier that it scales");
    if (o->classifier != NULL && options_given(c, "guidance"))
        options_refuse(c, "--guidance: it guides by the network's own classes, and --classifier "
                          "without them");
}

static void parse(sample_options *o, int argc, char **argv)
{
    command_line c = {.command = "sample", .doc = doc, .options = rows, .values = o};
    options_parse(&c, argc, argv);
    check_guidance(&c, o);
    if (o->model == NULL) {
        o->model = BUILT_IN;
        if (o->sampling.steps == UNSET_INT)
            o->sampling.steps = 25; /* takes seconds */
    }
    if (o->trajectory == NULL && o->frames == NULL) {
        options_refuse_given(&c, "trajectory-steps",
                             "it needs a --trajectory or --frames to be shown in");
        if (o->pictures.out == NULL && o->npy == NULL)
            o->pictures.out = "samples.png";
    }
    if (o->pictures.out == NULL && o->frames == NULL)
        options_refuse_given(&c, "columns", "it needs an --out or --frames that has them");
    pictures_check(&c, &o->pictures, o->frames != NULL || o->trajectory != NULL);
    if (o->sampling.no_clip)
        options_refuse_given(&c, "threshold", "it is a way to clip, which --no-clip leaves out");
    if (ranks_count() > 1)
        options_refuse_given(&c, "trajectory|frames", "it is for one process: leave out mpirun");
    bool guided = o->class != NULL && strcmp(o->class, "none") != 0 && o->classifier == NULL;
    sampling_take_run(&c, o->model, guided, &o->sampling, &o->guidance);
    if (o->sampling.sampler == NULL)
        o->sampling.sampler = "ddpm";
    refuse_idle_options(&c, o->sampling.sampler);
}

/* Open the network and the classifier, if any; with a classifier the network is evaluated without a
 * class. */
static bool open_network(job *j)
{
    const sample_options *o = &j->o;
    const char *class = o->classifier == NULL ? o->class : NULL;
    return inference_open(&j->net, (inference_options){.command = "sample",
                                                       .model = o->model,
                                                       .weights = o->weights,
                                                       .precision = o->precision,
                                                       .variance = o->variance,
                                                       .class = class,
                                                       .guidance = &o->guidance}) &&
           (o->classifier == NULL ||
            classifier_guidance_open(&j->guidance, o->classifier, &j->net, o->class));
}

static bool can_write(const sample_options *o)
{
    bool strip = o->trajectory != NULL && !path_ends_with(o->trajectory, ".npy");
    const output outputs[] = {pictures_output(&o->pictures),
                              {"npy", o->npy, FILE_NPY},
                              {"trajectory", o->trajectory, strip ? FILE_IMAGE : FILE_NPY}};
    return outputs_can_write(outputs, 3, o->force) && pictures_begin(&o->pictures);
}

static bool prepare(job *j)
{
    sample_options *o = &j->o;
    if (!options_set_threads(o->threads) || (ranks_writes() && !can_write(o)) || !open_network(j) ||
        !sampling_steps(&j->net, &o->sampling))
        return false;
    j->trajectory = (trajectory){.path = o->trajectory,
                                 .frames = o->frames,
                                 .look = &o->pictures,
                                 .force = o->force,
                                 .steps = o->trajectory_steps};
    j->sampling = (sampling){.net = &j->net,
                             .o = &o->sampling,
                             .guidance = o->classifier != NULL ? &j->guidance : NULL,
                             .guidance_scale = o->classifier_scale,
                             .trajectory = &j->trajectory,
                             .images = inference_images(&j->net, o->sampling.n)};
    if (j->sampling.images == NULL)
        return false;
    ito_shape shape = ito_shape_of(j->sampling.images);
    return pictures_fit(&o->pictures, shape, o->sampling.first, o->force) &&
           trajectory_begin(&j->trajectory, shape, o->sampling.steps);
}

/* Rank 0 writes the images of all. */
static bool write_images(job *j)
{
    const sample_options *o = &j->o;
    ranks_end_together();
    if (!ranks_writes())
        return true;
    return (o->npy == NULL || ito_npy_save(o->npy, j->sampling.images) == ITO_OK) &&
           trajectory_write(&j->trajectory) &&
           pictures_write(&o->pictures, j->sampling.images, o->sampling.first);
}

static int report(const job *j, double started)
{
    const sample_options *o = &j->o;
    pictures_say(&o->pictures, o->sampling.n, ito_size(j->sampling.images, 1));
    say_where(o->sampling.n, "image", "images", o->npy);
    trajectory_say(&j->trajectory);
    if (!o->json)
        return 0;
    cJSON *root = cJSON_CreateObject();
    result_text(root, "weights", j->net.model->path);
    result_number(root, "step", (double)j->net.model->step);
    result_number(root, "images", (double)o->sampling.n);
    result_number(root, "steps", (double)o->sampling.steps);
    result_text(root, "sampler", o->sampling.sampler);
    if (o->classifier == NULL)
        inference_put_class(&j->net, root);
    else
        classifier_guidance_put_class(&j->guidance, root);
    result_text(root, "classifier", o->classifier);
    result_text(root, "precision", o->precision);
    result_text(root, "out", o->pictures.out);
    result_text(root, "npy", o->npy);
    result_text(root, "trajectory", o->trajectory);
    result_text(root, "frames", o->frames);
    return results_print("sample", root, started, true);
}

int command_sample(int argc, char **argv)
{
    job j = {.o = {.model = NULL}};
    parse(&j.o, argc, argv);
    double started = progress_clock();
    ito_scope_begin();
    bool good = prepare(&j) && sampling_run(&j.sampling) && write_images(&j);
    int code = good ? report(&j, started) : options_report("sample");
    classifier_guidance_close(&j.guidance);
    inference_close(&j.net);
    ito_scope_end();
    return code;
}
