/* ito-ddpm eval: how close generated images come to real ones, in the features of the classifier
 * that comes with Ito, or in features that were computed elsewhere.
 * Invariant: the generated images are those that ito-ddpm sample makes of the same settings. */
#include "examples/common/results.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/commands/eval_bits_per_dim.h"
#include "examples/ddpm/image_files.h"
#include "examples/ddpm/sampling.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct eval_options {
    const char *model, *images, *data, *features, *against, *weights, *precision;
    const char *variance, *rate_distortion, *class, *split;
    int64_t threads, monte_carlo;
    guidance_options guidance;
    sampling_options sampling;
    bool frechet, precision_recall, score, bits_per_dim, json;
} eval_options;

#define AT(field) offsetof(eval_options, field)

static const option_row rows[] = {
    GROUP_ROW("What is compared"),
    TEXT_ROW("model", model, "RUN|FILE", NULL, "The network whose images are judged"),
    TEXT_ROW("images", images, "FILE.npy", NULL,
             "Images that are there already, of ito-ddpm sample --npy, in place of a model"),
    DATA_ROW("The real images"),
    WORDS_ROW("split", split, "train|test", "train",
              "Which of them: fashion-mnist, mnist and cifar10 have a test set"),
    TEXT_ROW("features", features, "FILE.npy", NULL,
             "Features of generated images [N, D], in place of images"),
    TEXT_ROW("against", against, "FILE.npy", NULL, "Features of real images [M, D]"),

    GROUP_ROW("What is computed"),
    FLAG_ROW("frechet", frechet, "Frechet distance, to all real images"),
    FLAG_ROW("precision-recall", precision_recall,
             "Precision and recall (k = 3), among as many real images as generated ones"),
    FLAG_ROW("score", score, "Classifier score, of the generated images alone"),
    FLAG_ROW("bits-per-dim", bits_per_dim,
             "The variational bound of --model on the first --n images of --data, term by term, by "
             "one evaluation of the network for every step of the diffusion"),
    INT_ROW("monte-carlo", monte_carlo, "K", 1, 1e6, NULL,
            "bits-per-dim: estimate it from K of the steps, drawn for each image, and the last "
            "one; 8 is "
            "plenty"),
    TEXT_ROW("rate-distortion", rate_distortion, "FILE.csv", NULL,
             "The same, and a table of rate and distortion of progressive coding, with a chart in "
             "FILE.svg"),

    GROUP_ROW("How images are made of a model"),
    INT_ROW("n", sampling.n, "N", 1, 1e7, NULL,
            "How many (10000; bits-per-dim without monte-carlo 64)"),
    TEXT_ROW("class", class, "NAME|K|all|none", NULL,
             "--conditional: images of this class, of each as often as the data, or of none; bits "
             "given it, each image's own, or none (all)"),
    GUIDANCE_ROWS,
    WEIGHTS_ROW,
    SAMPLER_ROW(sampling.sampler,
                "As for sample, which has more to set: give its --npy to --images then"),
    STEPS_ROW(sampling.steps),
    ETA_ROW(sampling.eta),
    VARIANCE_ROW("Variance of a reverse step (as the run was trained with)"),
    NO_CLIP_ROW(sampling.no_clip),
    PRECISION_ROW,
    INT_ROW("seed", sampling.seed, "S", 0, LARGEST_INT, "0", "Decides all random numbers"),

    GROUP_ROW("Machine"),
    INT_ROW("batch", sampling.batch, "N", 1, 1e6, "64",
            "Images made at once; changes none of them"),
    THREADS_ROW,
    JSON_ROW,
    END_ROW,
};

static const char doc[] =
    "Compare generated images with real ones, or say how many bits a model takes for real ones."
    "\v"
    "Examples:\n"
    "  ito-ddpm eval --model run --data fashion-mnist --frechet --n 10000\n"
    "  ito-ddpm eval --images samples.npy --data fashion-mnist --frechet --precision-recall "
    "--score\n"
    "  ito-ddpm eval --model run --data fashion-mnist --bits-per-dim --n 64 --rate-distortion "
    "rd.csv\n"
    "  ito-ddpm eval --model run --data fashion-mnist --split test --bits-per-dim --monte-carlo 8\n"
    "  ito-ddpm eval --features fake.npy --against real.npy --frechet --precision-recall\n\n"
    "Features are those of Ito's own classifier of Fashion-MNIST, for grey images of 28x28; the "
    "numbers cannot be compared with ones from Inception. Features of another network, in .npy, "
    "can be given.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage.";

typedef struct job {
    eval_options o;
    inference net;
    sampling sampling;
    ito_tensor *made, *real; /* features [N, D], [M, D] */
    ito_tensor *logits;      /* of the generated images, if needed */
    double frechet;
    ito_precision_recall_result manifold;
    ito_classifier_score_result score;
} job;

/* ---- compatible options ---- */

/* Refuse options that do not apply to the bound, which generates no images. */
static void check_bound(const eval_options *o, const command_line *c)
{
    options_refuse_given(c,
                         "images|features|against|frechet|precision-recall|score|sampler|steps|eta|"
                         "guidance|" GUIDANCE_MORE,
                         "it has no part in --bits-per-dim, which makes no images");
    options_require(c, "model", "the network whose bound is computed");
    if (o->monte_carlo != UNSET_INT && o->rate_distortion != NULL)
        options_refuse(c, "--rate-distortion: it takes every step, and --monte-carlo draws some");
}

/* What is evaluated: images of a model or in a file, or features. */
static void check_source(const eval_options *o, const command_line *c)
{
    if ((o->model != NULL) + (o->images != NULL) + (o->features != NULL) != 1)
        options_refuse(c, "it takes one of --model, --images and --features: what is judged");
    if (o->model == NULL)
        options_refuse_given(c,
                             "n|class|guidance|" GUIDANCE_MORE
                             "|weights|sampler|steps|eta|variance|no-clip|"
                             "precision|seed|batch",
                             "it takes a --model to make images with");
}

/* What it is compared with. */
static void check_reference(const eval_options *o, const command_line *c)
{
    if (o->features != NULL) {
        options_require(c, "against", "the features of real images");
        options_refuse_given(c, "data|split", "--against takes its place beside --features");
    } else {
        options_refuse_given(c, "against", "it takes the --features that it is compared with");
        options_require(c, "data", "the real images");
    }
}

static void parse(eval_options *o, int argc, char **argv)
{
    command_line c = {.command = "eval", .doc = doc, .options = rows, .values = o};
    options_parse(&c, argc, argv);
    if (o->model != NULL)
        guidance_check(&c, &o->guidance, o->class);
    o->bits_per_dim = o->bits_per_dim || o->rate_distortion != NULL;
    if (o->bits_per_dim)
        check_bound(o, &c);
    else if (o->monte_carlo != UNSET_INT)
        options_refuse(&c, "--monte-carlo: it is a way to --bits-per-dim");
    else if (o->sampling.n == UNSET_INT)
        o->sampling.n = 10000;
    check_source(o, &c);
    if (o->model != NULL && !o->bits_per_dim) {
        sampling_take_run(&c, o->model, o->class == NULL || strcmp(o->class, "none") != 0,
                          &o->sampling, &o->guidance);
        refuse_idle_options(&c, o->sampling.sampler);
    }
    check_reference(o, &c);
    if (!o->frechet && !o->precision_recall && !o->score && !o->bits_per_dim)
        options_refuse(&c, "it takes one or more of --frechet, --precision-recall and --score, or "
                           "--bits-per-dim");
    if (o->score && o->features != NULL)
        options_refuse(&c, "--score: it takes images, not features");
}

/* ---- images of a model ---- */

static bool prepare_model(job *j)
{
    eval_options *o = &j->o;
    return inference_open(&j->net, (inference_options){.command = "eval",
                                                       .model = o->model,
                                                       .weights = o->weights,
                                                       .precision = o->precision,
                                                       .variance = o->variance,
                                                       .class = o->class,
                                                       .usual_class = "all",
                                                       .guidance = &o->guidance}) &&
           sampling_steps(&j->net, &o->sampling);
}

/* [n, C, H, W] f32, of the current scope. */
static ito_tensor *sample_all(job *j)
{
    j->sampling = (sampling){
        .net = &j->net, .o = &j->o.sampling, .images = inference_images(&j->net, j->o.sampling.n)};
    return j->sampling.images != NULL && sampling_run(&j->sampling) ? j->sampling.images : NULL;
}

/* ---- features ---- */

/* Whether the classifier takes images of this shape. */
static bool fits(const ito_tensor *images, const char *whose)
{
    if (ito_size(images, 1) == 1 && ito_size(images, 2) == 28 && ito_size(images, 3) == 28)
        return true;
    ito_error_set(ITO_ERR_SHAPE,
                  "%s: the images are %" PRId64 "x%" PRId64 " with %" PRId64
                  " channel%s, and the features that come with Ito are of grey images of 28x28; "
                  "take --features and --against of another network",
                  whose, ito_size(images, 2), ito_size(images, 3), ito_size(images, 1),
                  PLURAL(ito_size(images, 1)));
    return false;
}

/* Classes for n images with the frequencies of the labels, for any n: in turn, if all are equally
 * frequent. */
static ito_tensor *classes_as_frequent(ito_tensor *labels, int64_t classes, int64_t n)
{
    ito_tensor *out = ito_empty(ITO_SHAPE(n), ITO_I64);
    ito_tensor *table = ito_zeros(ITO_SHAPE(2, classes), ITO_I64);
    if (out == NULL || table == NULL)
        return NULL;
    int64_t M = ito_numel(labels), *there = ito_data(table), *made = there + classes;
    for (int64_t i = 0; i < M; i++)
        there[((const int64_t *)ito_const_data(labels))[i]]++;
    for (int64_t i = 0; i < n; i++) {
        int64_t next = 0; /* the class that is furthest below its frequency */
        for (int64_t k = 1; k < classes; k++)
            if (there[k] * (i + 1) - made[k] * M > there[next] * (i + 1) - made[next] * M)
                next = k;
        ((int64_t *)ito_data(out))[i] = next;
        made[next]++;
    }
    return out;
}

/* The real images, and the classes of the images to generate, if there are any. */
static ito_tensor *load_real(job *j)
{
    const eval_options *o = &j->o;
    data_options what = {
        .spec = o->data, .size = 28, .grey = true, .test = strcmp(o->split, "test") == 0};
    if (o->model == NULL)
        return data_load(what);
    ito_tensor *labels, *real = inference_data(&j->net, what, &labels);
    if (real == NULL || !model_fits(&j->net.files, real, o->data))
        return NULL;
    if (labels != NULL)
        j->net.labels =
            classes_as_frequent(labels, j->net.files.settings.model.classes, o->sampling.n);
    if (o->class == NULL && inference_class(&j->net) != NULL)
        fprintf(stderr, "ito-ddpm eval: the network has classes: images of each, as --class all\n");
    return labels == NULL || j->net.labels != NULL ? real : NULL;
}

/* Checked before hours of sampling: more images than features, a third neighbour, an image for each
 * split. */
static bool enough_images(const eval_options *o, const ito_tensor *real)
{
    int64_t least = o->frechet ? ITO_CLASSIFIER_WIDTH + 1 : o->score ? 10 : 4;
    int64_t least_real = o->frechet ? least : o->precision_recall ? 4 : 1;
    if (o->sampling.n >= least && ito_size(real, 0) >= least_real)
        return true;
    if (o->sampling.n < least)
        return options_error("--n: %" PRId64
                             " image%s cannot be judged so; it takes at least %" PRId64,
                             o->sampling.n, PLURAL(o->sampling.n), least);
    return options_error("--data: %s has %" PRId64
                         " image%s; to compare with it takes at least %" PRId64,
                         o->data, ito_size(real, 0), PLURAL(ito_size(real, 0)), least_real);
}

static bool find_features(job *j)
{
    const eval_options *o = &j->o;
    if (o->features != NULL) {
        j->made = ito_npy_load(o->features);
        j->real = j->made != NULL ? ito_npy_load(o->against) : NULL;
        return j->real != NULL;
    }
    if (o->model != NULL && !prepare_model(j))
        return false;
    ito_tensor *real = load_real(j);
    if (real == NULL || !fits(real, o->data) || (o->model != NULL && !enough_images(o, real)))
        return false;
    ito_tensor *made = o->model != NULL ? sample_all(j) : image_npy_load(o->images, ANY_FINITE);
    if (made == NULL || (o->images != NULL && !fits(made, o->images)))
        return false;
    ito_classifier *c = ito_classifier_fashion_mnist();
    bool good = c != NULL &&
                ito_classifier_run(c, made, &j->made, o->score ? &j->logits : NULL) == ITO_OK &&
                ito_classifier_run(c, real, &j->real, NULL) == ITO_OK;
    if (c != NULL)
        ito_module_free(&c->base);
    return good;
}

static bool compute(job *j)
{
    const eval_options *o = &j->o;
    if (o->frechet) {
        j->frechet = ito_frechet_distance(j->real, j->made);
        if (isnan(j->frechet))
            return false;
    }
    if (o->score && ito_classifier_score(j->logits, &j->score) != ITO_OK)
        return false;
    if (!o->precision_recall)
        return true;
    ito_tensor *real = j->real;
    if (ito_ndim(real) == 2 && ito_ndim(j->made) == 2 && ito_size(real, 0) > ito_size(j->made, 0))
        real = ito_narrow(real, 0, 0, ito_size(j->made, 0));
    return ito_precision_recall(real, j->made, &j->manifold, .k = 3) == ITO_OK;
}

/* ---- results ---- */

static cJSON *describe(const job *j)
{
    const eval_options *o = &j->o;
    cJSON *root = cJSON_CreateObject();
    if (o->model != NULL) {
        result_text(root, "weights", j->net.files.weights);
        result_number(root, "step", (double)j->net.files.step);
        result_text(root, "sampler", o->sampling.sampler);
        result_number(root, "steps", (double)o->sampling.steps);
        result_text(root, "precision", o->precision);
        result_text(root, "class", inference_class(&j->net));
    }
    result_number(root, "images", (double)ito_size(j->made, 0));
    result_number(root, "real_images", (double)ito_size(j->real, 0));
    result_number(root, "width", (double)ito_size(j->made, 1));
    if (o->frechet)
        result_number(root, "frechet", j->frechet);
    if (o->precision_recall) {
        result_number(root, "precision", j->manifold.precision);
        result_number(root, "recall", j->manifold.recall);
    }
    if (o->score) {
        result_number(root, "score", j->score.mean);
        result_number(root, "score_deviation", j->score.deviation);
    }
    return root;
}

static int run_bound(const eval_options *o)
{
    return bits_run(&(bits_options){.model = o->model,
                                    .data = o->data,
                                    .weights = o->weights,
                                    .precision = o->precision,
                                    .variance = o->variance,
                                    .class = o->class,
                                    .rate_distortion = o->rate_distortion,
                                    .n = o->sampling.n,
                                    .monte_carlo = o->monte_carlo,
                                    .test = strcmp(o->split, "test") == 0,
                                    .seed = o->sampling.seed,
                                    .batch = o->sampling.batch,
                                    .no_clip = o->sampling.no_clip,
                                    .json = o->json});
}

int command_eval(int argc, char **argv)
{
    job j = {.o = {.model = NULL}};
    parse(&j.o, argc, argv);
    double started = progress_clock();
    if (!options_set_threads(j.o.threads))
        return options_report("eval");
    if (j.o.bits_per_dim)
        return run_bound(&j.o);
    ito_scope_begin();
    bool good = find_features(&j) && compute(&j);
    int code =
        good ? results_print("eval", describe(&j), started, j.o.json) : options_report("eval");
    inference_close(&j.net);
    ito_scope_end();
    return code;
}
