/* ito-ddpm eval: how close generated images come to real ones, in the features of the classifier
 * that comes with Ito, of Inception-v3, or in features that were computed elsewhere.
 * Invariant: the generated images are those that ito-ddpm sample makes of the same settings. */
#include "examples/common/messages.h"
#include "examples/common/ranks.h"
#include "examples/common/results.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/commands/eval_bits_per_dim.h"
#include "examples/ddpm/commands/eval_metrics.h"
#include "examples/ddpm/feature_cache.h"
#include "examples/ddpm/image_files.h"
#include "examples/ddpm/run_results.h"
#include "examples/ddpm/sampling.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdio.h>
#include <string.h>

/* Where nothing else is said. */
#define USUAL_SAMPLER "dpm++2m-sde"
enum { USUAL_IMAGES = 1000, INCEPTION_IMAGES = 10000, USUAL_STEPS = 20 };

typedef struct eval_options {
    const char *model, *images, *data, *range, *features, *against, *weights, *precision;
    const char *inception, *save_features, *save_against;
    const char *variance, *rate_distortion, *class, *split;
    int64_t threads, monte_carlo;
    int64_t usual_steps; /* of sampling, if none are given; 0: those of the sampler */
    guidance_options guidance;
    sampling_options sampling;
    metric_options metrics;
    bool skip_bad, no_cache, bits_per_dim, json;
    bool usual_n; /* --n was not given */
} eval_options;

#define AT(field) offsetof(eval_options, field)

static const option_row rows[] = {
    GROUP_ROW("What is compared"),
    TEXT_ROW("model", model, "RUN|FILE", NULL, "The network whose images are judged"),
    TEXT_ROW("images", images, "FILE.npy", NULL,
             "Images that are there already, of ito-ddpm sample --npy, in place of a model"),
    DATA_ROW("The real images"),
    RANGE_ROW,
    SKIP_BAD_ROW,
    WORDS_ROW("split", split, "train|test", "train",
              "Which of them: fashion-mnist, mnist and cifar10 have a test set"),
    TEXT_ROW("features", features, "FILE.npy", NULL,
             "Features of generated images [N, D], in place of images", RARE),
    TEXT_ROW("against", against, "FILE.npy", NULL,
             "Features of real images [M, D], in place of --data", RARE),
    TEXT_ROW("inception", inception, "FILE", NULL,
             "Features of Inception-v3, of pytorch-fid's weights as safetensors, in place of those "
             "of Ito's classifier",
             RARE),
    FLAG_ROW("no-cache", no_cache,
             "Compute the features of the real images, which are kept in ~/.cache/ito otherwise",
             RARE),
    TEXT_ROW("save-features", save_features, "FILE.npy", NULL,
             "Write the features of the generated images, for --features", RARE),
    TEXT_ROW("save-against", save_against, "FILE.npy", NULL,
             "Write those of the real images, for --against", RARE),

    GROUP_ROW("What is computed"),
    FLAG_ROW("frechet", metrics.frechet, "Frechet distance, to all real images"),
    FLAG_ROW("kid", metrics.kid,
             "Kernel distance (KID), mean and deviation over 100 subsets of up to 1000 images"),
    FLAG_ROW("mmd", metrics.mmd,
             "Discrepancy under a Gaussian kernel, times 1000 (as CMMD), to all real images", RARE),
    REAL_ROW("mmd-sigma", metrics.mmd_sigma, "X", ABOVE_0, 1e30, "10", "mmd: of the kernel", RARE),
    FLAG_ROW("precision-recall", metrics.precision_recall,
             "Precision and recall (k = 3), among as many real images as generated ones"),
    FLAG_ROW("density-coverage", metrics.density_coverage,
             "Density and coverage (k = 5), among as many real images as generated ones", RARE),
    FLAG_ROW("score", metrics.score, "Classifier score, of the generated images alone"),
    FLAG_ROW("bits-per-dim", bits_per_dim,
             "The variational bound of --model on the first --n images of --data, term by term, by "
             "one evaluation of the network for every step of the diffusion"),
    INT_ROW("monte-carlo", monte_carlo, "K", 1, 1e6, NULL,
            "bits-per-dim: estimate it from K of the steps, drawn for each image, and the last "
            "one; 8 is "
            "plenty"),
    TEXT_ROW("rate-distortion", rate_distortion, "FILE.csv", NULL,
             "The same, and a table of rate and distortion of progressive coding, with a chart in "
             "FILE.svg",
             RARE),

    GROUP_ROW("How images are made of a model"),
    INT_ROW("n", sampling.n, "N", 1, 1e7, NULL,
            "How many (1000; inception 10000; bits-per-dim 64, with monte-carlo 10000); distances "
            "depend on it"),
    TEXT_ROW("class", class, "NAME|K|all|none", NULL,
             "--conditional: images of this class, of each as often as the data, or of none; bits "
             "given it, each image's own, or none (all)"),
    GUIDANCE_ROWS,
    WEIGHTS_ROW,
    SAMPLER_ROW(
        sampling.sampler,
        "As for sample, which has more to set: give its --npy to --images then (that of the "
        "run; " USUAL_SAMPLER ")"),
    INT_ROW(
        "steps", sampling.steps, "N", 1, 1e6, NULL,
        "Steps taken, at most those of the diffusion (those of the run; 20; with --sampler ddpm "
        "250, others 50)"),
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
    "  ito-ddpm eval --features fake.npy --against real.npy --frechet --precision-recall\n"
    "  ito-ddpm eval --model run --data cifar10:DIR --inception inception.safetensors --frechet "
    "--kid --n 50000\n\n"
    "Features are those of Ito's own classifier of Fashion-MNIST, for grey images of 28x28; the "
    "numbers cannot be compared with ones from Inception, whose weights do not come with Ito: "
    "docs/evaluation.md says how to have them. Features of another network, in .npy, can be "
    "given.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage.";

typedef struct job {
    eval_options o;
    inference net;
    sampling sampling;
    feature_network network;
    ito_tensor *made, *real; /* features [N, D], [M, D]; real may be NULL */
    ito_tensor *logits;      /* of the generated images, if needed */
} job;

/* ---- compatible options ---- */

/* Refuse options that do not apply to the bound, which generates no images. */
static void check_bound(const eval_options *o, const command_line *c)
{
    options_refuse_given(c,
                         "images|features|against|inception|no-cache|save-features|save-against|"
                         "frechet|"
                         "kid|mmd|mmd-sigma|precision-recall|density-coverage|score|sampler|steps|"
                         "eta|guidance|" GUIDANCE_MORE,
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
    if (o->against != NULL)
        options_refuse_given(c, "data|split|range|save-against", "--against takes its place");
    else if (o->features != NULL && o->data == NULL)
        options_require(c, "against", "the features of real images");
    else if (o->bits_per_dim || metrics_compare(&o->metrics) || o->save_against != NULL)
        options_require(c, "data", "the real images");
    if (o->data == NULL)
        options_refuse_given(c, "range", "it explains the numbers of --data");
}

/* Features of images are computed, of the generated ones or of the real ones. */
static bool needs_network(const eval_options *o)
{
    return o->features == NULL || o->data != NULL;
}

static void check_metrics(const eval_options *o, const command_line *c)
{
    if (!metrics_wanted(&o->metrics) && o->save_features == NULL && o->save_against == NULL)
        options_refuse(c, "it takes one or more of --frechet, --kid, --mmd, --precision-recall, "
                          "--density-coverage and --score, or --bits-per-dim");
    if (o->metrics.score && o->features != NULL)
        options_refuse(c, "--score: it takes images, not features");
    if (o->save_features != NULL && o->features != NULL)
        options_refuse(c, "--save-features: those of --features are in a file already");
    if (o->inception != NULL && !needs_network(o))
        options_refuse(c, "--inception: all features are in files already");
    if (!o->metrics.mmd)
        options_refuse_given(c, "mmd-sigma", "it is of --mmd");
}

/* What neither the command line nor the run says: images enough to tell runs apart, in a minute or
 * some. */
static void set_usual(eval_options *o)
{
    o->usual_n = o->sampling.n == UNSET_INT;
    if (o->usual_n)
        o->sampling.n = o->inception != NULL ? INCEPTION_IMAGES : USUAL_IMAGES;
    if (o->sampling.sampler != NULL)
        return;
    bool fast = o->variance == NULL; /* which is for ddpm */
    o->sampling.sampler = fast ? USUAL_SAMPLER : "ddpm";
    o->usual_steps = fast ? USUAL_STEPS : 0;
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
    check_source(o, &c);
    if (ranks_count() > 1)
        options_require(&c, "model", "several processes share the work with one");
    if (o->model != NULL && !o->bits_per_dim) {
        sampling_take_run(&c, o->model, o->class == NULL || strcmp(o->class, "none") != 0,
                          &o->sampling, &o->guidance);
        set_usual(o);
        refuse_idle_options(&c, o->sampling.sampler);
    }
    check_reference(o, &c);
    data_check_skip_bad(&c, o->data);
    if (!o->bits_per_dim)
        check_metrics(o, &c);
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
           (o->usual_steps == 0 || inference_steps(&j->net, o->usual_steps, &o->sampling.steps)) &&
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

/* The real images, and the classes of the images to generate, if there are any. Images of files are
 * compared in the size of the generated ones, or that of the classifier. */
static ito_tensor *load_real(job *j, const ito_tensor *made)
{
    const eval_options *o = &j->o;
    bool alike = made != NULL && o->inception != NULL;
    data_options what = {.spec = o->data,
                         .range = o->range,
                         .size = alike ? ito_size(made, 2) : 28,
                         .grey = !alike || ito_size(made, 1) == 1,
                         .test = strcmp(o->split, "test") == 0,
                         .skip_bad = o->skip_bad};
    if (o->model == NULL)
        return data_load(what);
    ito_tensor *labels, *real = inference_data(&j->net, what, &labels);
    if (real == NULL || !model_fits(j->net.model, real, o->data))
        return NULL;
    if (labels != NULL)
        j->net.labels =
            classes_as_frequent(labels, j->net.model->settings.model.classes, o->sampling.n);
    return labels == NULL || j->net.labels != NULL ? real : NULL;
}

/* Checked before hours of sampling: more images than features, a third neighbour, an image for each
 * split. */
static bool enough_images(const job *j, int64_t real)
{
    const eval_options *o = &j->o;
    int64_t width = features_width(&j->network);
    int64_t least = metrics_least_made(&o->metrics, width);
    int64_t least_real = metrics_least_real(&o->metrics, width);
    if (o->sampling.n < least)
        return options_error("--n: %" PRId64
                             " image%s cannot be judged so; it takes at least %" PRId64,
                             o->sampling.n, PLURAL(o->sampling.n), least);
    if (real >= least_real)
        return true;
    return options_error("%s: %s has %" PRId64
                         " image%s; to compare with it takes at least %" PRId64,
                         o->data != NULL ? "--data" : "--against",
                         o->data != NULL ? o->data : o->against, real, PLURAL(real), least_real);
}

/* Features [N, D] of a file; of the network's width, if one computes those of the other side. */
static ito_tensor *load_features(const job *j, const char *path)
{
    ito_tensor *x = ito_npy_load(path);
    if (x == NULL)
        return NULL;
    if (ito_ndim(x) != 2) {
        ito_error_set(ITO_ERR_SHAPE, "%s: it has %d axes; features have two, [images, width]", path,
                      ito_ndim(x));
        return NULL;
    }
    if (!needs_network(&j->o) || ito_size(x, 1) == features_width(&j->network))
        return x;
    ito_error_set(ITO_ERR_SHAPE,
                  "%s: its features are of width %" PRId64 ", and those of %s of %" PRId64, path,
                  ito_size(x, 1), j->o.inception != NULL ? "Inception-v3" : "the classifier",
                  features_width(&j->network));
    return NULL;
}

/* The features of the real images, or the images that they are computed of, if there are any. */
static bool find_real(job *j, const ito_tensor *made, ito_tensor **images)
{
    const eval_options *o = &j->o;
    if (o->against != NULL)
        return (j->real = load_features(j, o->against)) != NULL;
    if (o->data == NULL)
        return true;
    *images = load_real(j, made);
    return *images != NULL && features_fit(&j->network, *images, o->data);
}

/* The images to judge, those of a model being made once all else is known to fit. */
static bool find_images(job *j, ito_tensor **made, ito_tensor **real)
{
    const eval_options *o = &j->o;
    if (o->model != NULL && !prepare_model(j))
        return false;
    if (o->images != NULL)
        *made = image_npy_load(o->images, ANY_FINITE);
    if ((o->images != NULL && *made == NULL) || !find_real(j, *made, real))
        return false;
    if (o->images != NULL)
        return features_fit(&j->network, *made, o->images);
    if (o->features != NULL)
        return (j->made = load_features(j, o->features)) != NULL;
    const ito_tensor *other = *real != NULL ? *real : j->real;
    if (!enough_images(j, other != NULL ? ito_size(other, 0) : INT64_MAX))
        return false;
    if (o->class == NULL && inference_class(&j->net) != NULL)
        note("ito-ddpm eval: the network has classes: images of each, as --class all\n");
    *made = sample_all(j);
    return *made != NULL;
}

static bool save(const char *path, const ito_tensor *features)
{
    return path == NULL || ito_npy_save(path, features) == ITO_OK;
}

static bool find_features(job *j)
{
    const eval_options *o = &j->o;
    ito_tensor *made = NULL, *real = NULL;
    if ((needs_network(o) && !features_open(&j->network, o->inception)) ||
        !find_images(j, &made, &real))
        return false;
    if (made != NULL)
        j->made = features_shared(&j->network, made, o->metrics.score ? &j->logits : NULL);
    if (j->made == NULL)
        return false;
    ranks_end_together();
    if (!ranks_writes())
        return true; /* rank 0 does the rest */
    if (!save(o->save_features, j->made))
        return false;
    if (real == NULL || (!metrics_compare(&o->metrics) && o->save_against == NULL))
        return true;
    j->real = o->no_cache ? features_of(&j->network, real, NULL)
                          : feature_cache_of(&j->network, real, o->data);
    return j->real != NULL && save(o->save_against, j->real);
}

/* ---- results ---- */

/* What was compared, and how; NULL with an error recorded. */
static cJSON *describe(const job *j)
{
    const eval_options *o = &j->o;
    cJSON *root = cJSON_CreateObject();
    if (o->model != NULL) {
        result_text(root, "weights", j->net.model->path);
        result_number(root, "step", (double)j->net.model->step);
        result_text(root, "sampler", o->sampling.sampler);
        result_number(root, "steps", (double)o->sampling.steps);
        result_text(root, "precision", o->precision);
        inference_put_class(&j->net, root);
    }
    result_number(root, "images", (double)ito_size(j->made, 0));
    if (j->real != NULL)
        result_number(root, "real_images", (double)ito_size(j->real, 0));
    result_number(root, "width", (double)ito_size(j->made, 1));
    if (needs_network(o))
        result_text(root, "features", features_name(&j->network));
    if (o->inception != NULL)
        result_number(root, "features_per_second", (double)j->network.images / j->network.seconds);
    if (metrics_describe(&o->metrics, j->real, j->made, j->logits, root))
        return root;
    cJSON_Delete(root);
    return NULL;
}

static int run_bound(const eval_options *o)
{
    return bits_run(&(bits_options){.model = o->model,
                                    .data = o->data,
                                    .range = o->range,
                                    .weights = o->weights,
                                    .precision = o->precision,
                                    .variance = o->variance,
                                    .class = o->class,
                                    .rate_distortion = o->rate_distortion,
                                    .n = o->sampling.n,
                                    .monte_carlo = o->monte_carlo,
                                    .test = strcmp(o->split, "test") == 0,
                                    .skip_bad = o->skip_bad,
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
    bool found = find_features(&j), silent = found && !ranks_writes();
    cJSON *results = found && !silent ? describe(&j) : NULL;
    if (results != NULL && j.o.model != NULL)
        run_results_add(j.o.model, results);
    if (results != NULL && j.o.usual_n)
        note("ito-ddpm eval: of %" PRId64
             " images; distances depend on their number, so compare those of "
             "the same --n\n",
             j.o.sampling.n);
    int code = results != NULL ? results_print("eval", results, started, j.o.json)
               : silent        ? 0
                               : options_report("eval");
    features_close(&j.network);
    inference_close(&j.net);
    ito_scope_end();
    return code;
}
