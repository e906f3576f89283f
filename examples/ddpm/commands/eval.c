/* ito-ddpm eval: how close generated images come to real ones, in the features of the classifier
 * that comes with Ito, or in features that were computed elsewhere.
 * Invariant: the generated images are those that ito-ddpm sample makes of the same settings. */
#include "examples/ddpm/commands/eval.h"
#include "autograd/ops.h"
#include "examples/common/options.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/data.h"
#include "examples/ddpm/inference.h"
#include "models/classifier/classifier.h"
#include "models/ddpm/sampler.h"
#include "models/metrics/metrics.h"
#include "tensor/io/npy.h"
#include "tensor/runtime.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct eval_options {
    const char *model, *images, *data, *features, *against, *weights, *sampler, *precision;
    const char *variance, *rate_distortion, *class, *split;
    int64_t n, steps, seed, batch, threads, monte_carlo;
    double eta, guidance;
    bool frechet, precision_recall, score, bits_per_dim, no_clip, json;
} eval_options;

#define AT(field) offsetof(eval_options, field)

static const option_row rows[] = {
    {OPTION_GROUP, NULL, 0, NULL, "What is compared", 0, 0, false},
    {OPTION_TEXT, "model", AT(model), "RUN|FILE", "The network whose images are judged", 0, 0,
     false},
    {OPTION_TEXT, "images", AT(images), "FILE.npy",
     "Images that are there already, of ito-ddpm sample --npy, in place of a model", 0, 0, false},
    {OPTION_TEXT, "data", AT(data), "SPEC", "The real images, named as for train", 0, 0, false},
    {OPTION_CHOICE, "split", AT(split), "train|test",
     "Which of them: fashion-mnist, mnist and cifar10 have a test set (train)", 0, 0, false},
    {OPTION_TEXT, "features", AT(features), "FILE.npy",
     "Features of generated images [N, D], in place of images", 0, 0, false},
    {OPTION_TEXT, "against", AT(against), "FILE.npy", "Features of real images [M, D]", 0, 0,
     false},

    {OPTION_GROUP, NULL, 0, NULL, "What is computed", 0, 0, false},
    {OPTION_FLAG, "frechet", AT(frechet), NULL, "Frechet distance, to all real images", 0, 0,
     false},
    {OPTION_FLAG, "precision-recall", AT(precision_recall), NULL,
     "Precision and recall (k = 3), among as many real images as generated ones", 0, 0, false},
    {OPTION_FLAG, "score", AT(score), NULL, "Classifier score, of the generated images alone", 0, 0,
     false},
    {OPTION_FLAG, "bits-per-dim", AT(bits_per_dim), NULL,
     "The variational bound of --model on the first --n images of --data, term by term: it asks "
     "the network once for every step of the diffusion",
     0, 0, false},
    {OPTION_INT, "monte-carlo", AT(monte_carlo), "K",
     "bits-per-dim: estimate it from K of the steps, drawn for each image, and the last one; 8 is "
     "plenty",
     1, 1e6, false},
    {OPTION_TEXT, "rate-distortion", AT(rate_distortion), "FILE.csv",
     "The same, and a table of rate and distortion of progressive coding, with a chart in FILE.svg",
     0, 0, false},

    {OPTION_GROUP, NULL, 0, NULL, "How images are made of a model", 0, 0, false},
    {OPTION_INT, "n", AT(n), "N", "How many (10000; bits-per-dim without monte-carlo 64)", 1, 1e7,
     false},
    {OPTION_TEXT, "class", AT(class), "NAME|K|all|none",
     "--conditional: images of this class, of each as often as the data, or of none; bits given "
     "it, "
     "each image's own, or none (all)",
     0, 0, false},
    GUIDANCE_ROW,
    WEIGHTS_ROW,
    {OPTION_CHOICE, "sampler", AT(sampler), SAMPLERS,
     "As for sample, which has more to set: give its --npy to --images then (ddpm)", 0, 0, false},
    {OPTION_INT, "steps", AT(steps), "N",
     "Steps taken, at most those of the diffusion (ddpm 250, others 50)", 1, 1e6, false},
    {OPTION_REAL, "eta", AT(eta), "X", "ddim: 0 deterministic, 1 as much noise as ddpm (0)", 0, 1,
     false},
    {OPTION_CHOICE, "variance", AT(variance), "fixedsmall|fixedlarge",
     "Variance of a reverse step (as the run was trained with)", 0, 0, false},
    {OPTION_FLAG, "no-clip", AT(no_clip), NULL,
     "Do not clip the predicted image to -1..1 in each step", 0, 0, false},
    PRECISION_ROW,
    SEED_ROW,

    {OPTION_GROUP, NULL, 0, NULL, "Machine", 0, 0, false},
    {OPTION_INT, "batch", AT(batch), "N", "Images made at once; changes none of them (64)", 1, 1e6,
     false},
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
    trained net;
    batches batches;
    ito_tensor *images;      /* made ones, [n, C, H, W] f32 */
    ito_tensor *made, *real; /* features [N, D], [M, D] */
    ito_tensor *logits;      /* of the made ones, if they are wanted */
    double frechet;
    ito_precision_recall_result manifold;
    ito_classifier_score_result score;
} job;

/* What has no meaning for the bound, which makes no images. */
static void check_bound(const eval_options *o, const command_line *c)
{
    options_refuse_given(c,
                         "images|features|against|frechet|precision-recall|score|sampler|steps|eta|"
                         "guidance",
                         "it has no part in --bits-per-dim, which makes no images");
    if (o->model == NULL)
        options_refuse(c, "--model is missing: the network whose bound is computed");
    if (o->monte_carlo != 0 && o->rate_distortion != NULL)
        options_refuse(c, "--rate-distortion: it takes every step, and --monte-carlo draws some");
}

static void parse(eval_options *o, int argc, char **argv)
{
    command_line c = {.command = "eval", .doc = doc, .options = rows, .values = o};
    *o = (eval_options){.batch = 64,
                        .sampler = "ddpm",
                        .weights = "ema",
                        .precision = "f32",
                        .split = "train",
                        .guidance = 1.0};
    options_parse(&c, argc, argv);
    if (o->model != NULL)
        refuse_lone_guidance(&c, o->class);
    o->bits_per_dim = o->bits_per_dim || o->rate_distortion != NULL;
    if (o->bits_per_dim)
        check_bound(o, &c);
    else if (o->monte_carlo != 0)
        options_refuse(&c, "--monte-carlo: it is a way to --bits-per-dim");
    else if (o->n == 0)
        o->n = 10000;
    int sources = (o->model != NULL) + (o->images != NULL) + (o->features != NULL);
    if (sources != 1)
        options_refuse(&c, "it takes one of --model, --images and --features: what is judged");
    if (o->model == NULL)
        options_refuse_given(&c,
                             "n|class|guidance|weights|sampler|steps|eta|variance|no-clip|"
                             "precision|seed|batch",
                             "it takes a --model to make images with");
    else if (!o->bits_per_dim)
        refuse_idle_options(&c, o->sampler);
    if (o->features != NULL && o->against == NULL)
        options_refuse(&c, "--against is missing: the features of real images");
    if (o->features != NULL)
        options_refuse_given(&c, "data|split", "--against takes its place beside --features");
    else
        options_refuse_given(&c, "against", "it takes the --features that it is compared with");
    if (o->features == NULL && o->data == NULL)
        options_refuse(&c, "--data is missing: the real images");
    data_refuse_invalid(&c, o->data);
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
    return trained_open(&j->net, (trained_options){.command = "eval",
                                                   .model = o->model,
                                                   .weights = o->weights,
                                                   .precision = o->precision,
                                                   .variance = o->variance,
                                                   .class = o->class,
                                                   .usual_class = "all",
                                                   .guidance = o->guidance}) &&
           trained_steps(&j->net, strcmp(o->sampler, "ddpm") == 0 ? 250 : 50, &o->steps);
}

static bool sample_batch(int64_t first, int64_t n, void *context)
{
    job *j = context;
    const eval_options *o = &j->o;
    const ito_unet_config *c = &j->net.files.settings.model;
    ito_ddpm_sample_options options = {.sampler = ito_ddpm_sampler_find(o->sampler),
                                       .steps = o->steps,
                                       .eta = o->eta,
                                       .no_clip = o->no_clip,
                                       .seed = (uint64_t)o->seed,
                                       .first_image = first,
                                       .progress = batches_progress,
                                       .progress_context = &j->batches};
    if (options.sampler == NULL)
        return false;
    ito_ddpm_conditioned network = trained_network(&j->net, first, n);
    ito_tensor *x =
        ito_ddpm_sample_with(j->net.diffusion, ito_ddpm_conditioned_network, &network,
                             ITO_SHAPE(n, c->in_channels, c->height, c->width), options);
    ito_ddpm_conditioned_end(&network);
    return images_put(j->images, first, x, j->net.files.weights, first);
}

/* [n, C, H, W] f32, of the current scope. */
static ito_tensor *sample_all(job *j)
{
    const ito_unet_config *c = &j->net.files.settings.model;
    j->images = ito_empty(ITO_SHAPE(j->o.n, c->in_channels, c->height, c->width), ITO_F32);
    j->batches = (batches){.what = "sampling step",
                           .n = j->o.n,
                           .size = j->o.batch,
                           .run = sample_batch,
                           .context = j};
    return j->images != NULL && batches_run(&j->batches) ? j->images : NULL;
}

/* ---- features ---- */

/* Whether images of this shape are what the classifier knows. */
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

/* Classes for n images, each as often as among the labels, wherever one stops: in turn, if all are
 * equally frequent. */
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
        int64_t next = 0; /* the one that is most behind */
        for (int64_t k = 1; k < classes; k++)
            if (there[k] * (i + 1) - made[k] * M > there[next] * (i + 1) - made[next] * M)
                next = k;
        ((int64_t *)ito_data(out))[i] = next;
        made[next]++;
    }
    return out;
}

/* The real images; and the classes of those to be made, if they have such. */
static ito_tensor *load_real(job *j)
{
    const eval_options *o = &j->o;
    data_options what = {
        .spec = o->data, .size = 28, .grey = true, .test = strcmp(o->split, "test") == 0};
    if (o->model == NULL)
        return data_load(what);
    ito_tensor *labels, *real = trained_data(&j->net, what, &labels);
    if (real == NULL || !model_fits(&j->net.files, real, o->data))
        return NULL;
    if (labels != NULL)
        j->net.labels = classes_as_frequent(labels, j->net.files.settings.model.classes, o->n);
    if (o->class == NULL && trained_class(&j->net) != NULL)
        fprintf(stderr, "ito-ddpm eval: the network has classes: images of each, as --class all\n");
    return labels == NULL || j->net.labels != NULL ? real : NULL;
}

/* What the metrics would ask for after hours of sampling: more images than features, a third
 * neighbour, a split each. */
static bool enough_images(const eval_options *o, const ito_tensor *real)
{
    int64_t least = o->frechet ? ITO_CLASSIFIER_WIDTH + 1 : o->score ? 10 : 4;
    int64_t least_real = o->frechet ? least : o->precision_recall ? 4 : 1;
    if (o->n >= least && ito_size(real, 0) >= least_real)
        return true;
    if (o->n < least)
        ito_error_set(ITO_ERR_RANGE,
                      "--n: %" PRId64 " image%s cannot be judged so; it takes at least %" PRId64,
                      o->n, PLURAL(o->n), least);
    else
        ito_error_set(ITO_ERR_RANGE,
                      "--data: %s has %" PRId64
                      " image%s; to compare with it takes at least %" PRId64,
                      o->data, ito_size(real, 0), PLURAL(ito_size(real, 0)), least_real);
    return false;
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
    ito_tensor *made = o->model != NULL ? sample_all(j) : data_load_npy_unbounded(o->images);
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
    if (o->score && ito_classifier_score(j->logits, &j->score, .splits = 0) != ITO_OK)
        return false;
    if (!o->precision_recall)
        return true;
    ito_tensor *real = j->real;
    if (ito_ndim(real) == 2 && ito_ndim(j->made) == 2 && ito_size(real, 0) > ito_size(j->made, 0))
        real = ito_narrow(real, 0, 0, ito_size(j->made, 0));
    return ito_precision_recall(real, j->made, &j->manifold, .k = 3) == ITO_OK;
}

/* ---- what it says ---- */

static cJSON *describe(const job *j, double seconds)
{
    const eval_options *o = &j->o;
    cJSON *root = cJSON_CreateObject();
    if (o->model != NULL) {
        cJSON_AddStringToObject(root, "weights", j->net.files.weights);
        cJSON_AddNumberToObject(root, "step", (double)j->net.files.step);
        cJSON_AddStringToObject(root, "sampler", o->sampler);
        cJSON_AddNumberToObject(root, "steps", (double)o->steps);
        cJSON_AddStringToObject(root, "precision", o->precision);
        if (trained_class(&j->net) != NULL)
            cJSON_AddStringToObject(root, "class", trained_class(&j->net));
    }
    cJSON_AddNumberToObject(root, "images", (double)ito_size(j->made, 0));
    cJSON_AddNumberToObject(root, "real_images", (double)ito_size(j->real, 0));
    cJSON_AddNumberToObject(root, "width", (double)ito_size(j->made, 1));
    if (o->frechet)
        cJSON_AddNumberToObject(root, "frechet", j->frechet);
    if (o->precision_recall) {
        cJSON_AddNumberToObject(root, "precision", j->manifold.precision);
        cJSON_AddNumberToObject(root, "recall", j->manifold.recall);
    }
    if (o->score) {
        cJSON_AddNumberToObject(root, "score", j->score.mean);
        cJSON_AddNumberToObject(root, "score_deviation", j->score.deviation);
    }
    cJSON_AddNumberToObject(root, "seconds", seconds);
    return root;
}

int eval_report(const char *command, cJSON *root, bool json)
{
    bool good = cJSON_HasObjectItem(root, "seconds"); /* the last one: there was memory for all */
    char *text = good && json ? cJSON_PrintUnformatted(root) : NULL;
    if (text != NULL)
        printf("%s\n", text);
    for (const cJSON *item = root != NULL && !json ? root->child : NULL; item != NULL;
         item = item->next) {
        if (cJSON_IsString(item))
            printf("%s: %s\n", item->string, item->valuestring);
        else
            printf("%s: %.6g\n", item->string, item->valuedouble);
    }
    good = good && (text != NULL || !json) && fflush(stdout) == 0;
    free(text);
    cJSON_Delete(root);
    if (!good)
        fprintf(stderr, "ito-ddpm %s: stdout: cannot write to it\n", command);
    return good ? 0 : 1;
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
                                    .n = o->n,
                                    .monte_carlo = o->monte_carlo,
                                    .test = strcmp(o->split, "test") == 0,
                                    .seed = o->seed,
                                    .batch = o->batch,
                                    .no_clip = o->no_clip,
                                    .json = o->json});
}

int command_eval(int argc, char **argv)
{
    job j = {.images = NULL};
    parse(&j.o, argc, argv);
    double started = progress_clock();
    if (j.o.threads != 0 && ito_set_threads((int)j.o.threads) != ITO_OK)
        return options_report("eval");
    if (j.o.bits_per_dim)
        return run_bound(&j.o);
    ito_scope_begin();
    bool good = find_features(&j) && compute(&j);
    int code = good ? eval_report("eval", describe(&j, progress_clock() - started), j.o.json)
                    : options_report("eval");
    trained_close(&j.net);
    ito_scope_end();
    return code;
}
