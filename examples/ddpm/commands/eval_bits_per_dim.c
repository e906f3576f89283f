/* ito-ddpm eval --bits-per-dim: the variational bound of a model on real images, term by term, and
 * the rate and distortion of progressive coding.
 * Invariant: an image's bits depend on the model, the seed, its number and its pixels alone. */
#include "examples/ddpm/commands/eval_bits_per_dim.h"

#include "examples/common/batches.h"
#include "examples/common/chart.h"
#include "examples/common/messages.h"
#include "examples/common/paths.h"
#include "examples/common/ranks.h"
#include "examples/common/results.h"
#include "examples/common/text_file.h"
#include "examples/ddpm/image_files.h"
#include "examples/ddpm/inference.h"
#include "examples/ddpm/model_ranks.h"
#include "examples/ddpm/run_results.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdlib.h>
#include <string.h>

enum { USUAL_IMAGES = 64, USUAL_ESTIMATES = 10000 };

typedef struct job {
    const bits_options *o;
    inference net;
    ito_tensor *images;          /* [n, C, H, W] u8 or f32 */
    ito_bits bits;               /* of all of them; but terms and squares are [1, T], their means */
    ito_tensor *terms, *squares; /* [n, T] of each image, to be added up; of several ranks alone */
    int64_t begin;               /* first image of this rank's */
    char *chart;                 /* the path of the chart, or NULL */
    batches batches;
} job;

/* ---- preparation ---- */

/* A network with classes is given each image's own class, unless one was named; no class if the
 * data have none. */
static bool choose_classes(job *j)
{
    inference *net = &j->net;
    bool missing = net->class == CLASS_IN_TURN && net->labels == NULL;
    if (missing && j->o->class != NULL)
        return options_error(
            "--class: \"all\" are the images' own, and %s has none; name one, or none", j->o->data);
    if (missing && !inference_set_class(net, NULL, NULL))
        return false;
    if (j->o->class == NULL && inference_class(net) != NULL)
        note("ito-ddpm eval: the network has classes: bits given %s, as --class %s\n",
             missing ? "none of them" : "each image's", inference_class(net));
    return true;
}

/* The first images of the data, in the size and channels that the network takes. */
static bool load_images(job *j)
{
    const ito_unet_config *c = &j->net.model->settings.model;
    const char *data = j->o->data;
    data_options what = {.spec = data,
                         .range = j->o->range,
                         .size = c->height,
                         .grey = c->in_channels == 1,
                         .test = j->o->test,
                         .skip_bad = j->o->skip_bad};
    ito_tensor *all = inference_data(&j->net, what, &j->net.labels);
    if (all == NULL || !model_fits(j->net.model, all, data) || !choose_classes(j))
        return false;
    int64_t there = ito_size(all, 0);
    int64_t usual = j->o->monte_carlo != UNSET_INT ? USUAL_ESTIMATES : USUAL_IMAGES;
    usual = there < usual ? there : usual;
    if (j->o->n > there)
        return options_error("--n: %" PRId64 " is more than the %" PRId64 " image%s of %s", j->o->n,
                             there, PLURAL(there), data);
    j->images = ito_narrow(all, 0, 0, int_or(j->o->n, usual));
    return j->images != NULL;
}

/* FILE.svg for FILE.csv; freed with free(). */
static char *chart_path(const char *csv)
{
    char *path = NULL;
    int stem = (int)strlen(csv) - (path_ends_with(csv, ".csv") ? 4 : 0);
    if (asprintf(&path, "%.*s.svg", stem, csv) >= 0)
        return path;
    ito_error_set(ITO_ERR_MEMORY, "%s: no memory for the path", csv);
    return NULL;
}

static bool prepare(job *j)
{
    const bits_options *o = j->o;
    if (o->rate_distortion != NULL) {
        j->chart = chart_path(o->rate_distortion);
        if (j->chart == NULL || !paths_differ(o->rate_distortion, j->chart) ||
            !path_can_write(o->rate_distortion) || !path_can_write(j->chart))
            return false;
    }
    if (!inference_open(&j->net, (inference_options){.command = "eval",
                                                     .model = o->model,
                                                     .weights = o->weights,
                                                     .precision = o->precision,
                                                     .variance = o->variance,
                                                     .class = o->class,
                                                     .usual_class = "all"}) ||
        !load_images(j))
        return false;
    int64_t n = ito_size(j->images, 0), T = j->net.diffusion->process->steps;
    if (o->monte_carlo >= T)
        return options_error("--monte-carlo: %" PRId64 " is more than the %" PRId64
                             " steps before the last one",
                             o->monte_carlo, T - 1);
    j->bits = (ito_bits){.total = ito_empty(ITO_SHAPE(n), ITO_F64),
                         .prior = ito_empty(ITO_SHAPE(n), ITO_F64),
                         .terms = ito_zeros(ITO_SHAPE(1, T), ITO_F64),
                         .squares = ito_zeros(ITO_SHAPE(1, T), ITO_F64),
                         .decoded = ito_empty(ITO_SHAPE(2, n), ITO_F64)};
    return j->bits.total != NULL && j->bits.prior != NULL && j->bits.terms != NULL &&
           j->bits.squares != NULL && j->bits.decoded != NULL;
}

/* ---- the bound ---- */

static bool show(int64_t done, int64_t steps, void *context)
{
    (void)done;
    batches_step(context, steps);
    return true;
}

/* Add rows [n, T] to the mean over all images, one by one: the same whatever the batch. */
static void add_rows(ito_tensor *mean, const ito_tensor *rows, double share)
{
    double *sum = ito_data(mean);
    const double *values = ito_const_data(rows);
    int64_t n = ito_size(rows, 0), T = ito_size(rows, 1);
    for (int64_t i = 0; i < n; i++)
        for (int64_t t = 0; t < T; t++)
            sum[t] += share * values[i * T + t];
}

/* Terms and squares of images first .. first + n - 1: added up at once, or kept until those of all
 * ranks are there, since they are added in the order of the images. */
static bool take_rows(job *j, const ito_bits *b, int64_t first, int64_t n)
{
    double share = 1.0 / (double)ito_size(j->images, 0);
    if (ranks_count() > 1)
        return ito_copy_(ito_narrow(j->terms, 0, first, n), b->terms) != NULL &&
               ito_copy_(ito_narrow(j->squares, 0, first, n), b->squares) != NULL;
    add_rows(j->bits.terms, b->terms, share);
    add_rows(j->bits.squares, b->squares, share);
    return true;
}

/* Images first .. first + n - 1 of this rank's, into their places. */
static bool run_batch(int64_t first, int64_t n, void *context)
{
    job *j = context;
    const ito_bits *all = &j->bits;
    ito_bits b;
    first += j->begin;
    ito_tensor *x = images_scaled(ito_narrow(j->images, 0, first, n));
    ito_network *network = inference_network(&j->net, first, n);
    ito_status status =
        ito_bits_per_dim(j->net.diffusion, network, x, &b, .no_clip = j->o->no_clip,
                         .monte_carlo = int_or(j->o->monte_carlo, 0), .seed = (uint64_t)j->o->seed,
                         .first_image = first, .progress = show, .progress_context = &j->batches);
    if (status != ITO_OK)
        return false;
    return take_rows(j, &b, first, n) &&
           ito_copy_(ito_narrow(all->total, 0, first, n), b.total) != NULL &&
           ito_copy_(ito_narrow(all->prior, 0, first, n), b.prior) != NULL &&
           ito_copy_(ito_narrow(all->decoded, 1, first, n), b.decoded) != NULL;
}

/* Let this rank have what all have found. */
static bool gather(job *j)
{
    int64_t n = ito_size(j->images, 0);
    if (ranks_count() == 1)
        return true;
    bool good = ranks_gather_rows(j->bits.total) && ranks_gather_rows(j->bits.prior) &&
                ranks_gather_rows(j->terms) && ranks_gather_rows(j->squares);
    for (int64_t k = 0; k < 2 && good; k++)
        good = ranks_gather_rows(ito_reshape(ito_narrow(j->bits.decoded, 0, k, 1), n));
    if (!good)
        return false;
    add_rows(j->bits.terms, j->terms, 1.0 / (double)n);
    add_rows(j->bits.squares, j->squares, 1.0 / (double)n);
    return true;
}

static bool begin_rows(job *j)
{
    ito_shape shape = ITO_SHAPE(ito_size(j->images, 0), j->net.diffusion->process->steps);
    if (ranks_count() == 1)
        return true;
    j->terms = ito_empty(shape, ITO_F64);
    j->squares = ito_empty(shape, ITO_F64);
    return j->terms != NULL && j->squares != NULL && model_agree(j->net.model);
}

static bool run_all(job *j)
{
    ito_batch_slice mine = ranks_rows(ito_size(j->images, 0));
    j->begin = mine.begin;
    j->batches = (batches){.what = "step of the bound",
                           .n = mine.end - mine.begin,
                           .size = j->o->batch,
                           .run = run_batch,
                           .context = j};
    if (!begin_rows(j) || !batches_run(&j->batches) || !gather(j))
        return false;
    ranks_end_together();
    return true;
}

/* ---- rate and distortion ---- */

/* The paper's table 4, from the noisiest step, where nothing but L_T has been sent. */
static bool write_table(const char *path, const double *table, int64_t T)
{
    text_file f;
    if (!text_begin(&f, path))
        return false;
    fputs("reverse_time,t,bits_per_dim,rmse\n", f.out);
    for (int64_t t = T - 1; t >= 0; t--)
        fprintf(f.out, "%" PRId64 ",%" PRId64 ",%.9g,%.9g\n", T - t, t, table[2 * t],
                table[2 * t + 1]);
    return text_end(&f, true);
}

static bool write_chart(const char *path, const double *table, int64_t T)
{
    text_file f;
    double *points = malloc(2 * (size_t)T * sizeof *points);
    if (points == NULL)
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for its points", path);
    bool good = points != NULL && text_begin(&f, path);
    if (good) {
        for (int64_t i = 0; i < T; i++) {
            points[i] = table[2 * (T - 1 - i)];
            points[T + i] = table[2 * (T - 1 - i) + 1];
        }
        chart_write(f.out, &(chart){.title = "Distortion (RMSE, 0 to 255) by rate",
                                    .x_label = "bits a dimension",
                                    .from_zero = true,
                                    .alone = true,
                                    .series = &(chart_series){.x = points, .y = points + T, .n = T},
                                    .count = 1});
        good = text_end(&f, true);
    }
    free(points);
    return good;
}

static bool write_rate_distortion(const job *j)
{
    if (j->o->rate_distortion == NULL)
        return true;
    ito_bits means = j->bits;
    means.prior = ito_reshape(ito_mean(j->bits.prior), 1);
    ito_tensor *table = means.prior != NULL ? ito_rate_distortion(&means) : NULL;
    if (table == NULL)
        return false;
    const double *rows = ito_const_data(table);
    int64_t T = ito_size(table, 0);
    return write_table(j->o->rate_distortion, rows, T) && write_chart(j->chart, rows, T);
}

/* ---- results ---- */

static double mean_of(const double *values, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += values[i];
    return sum / (double)n;
}

/* The standard error of the mean of n values, at least 2. */
static double standard_error(const double *values, int64_t n)
{
    double mean = mean_of(values, n), squares = 0.0;
    for (int64_t i = 0; i < n; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    return sqrt(squares / (double)(n - 1) / (double)n);
}

static cJSON *describe(const job *j)
{
    int64_t n = ito_size(j->images, 0), T = j->net.diffusion->process->steps;
    const double *terms = ito_const_data(j->bits.terms), *total = ito_const_data(j->bits.total);
    const double *decoded = ito_const_data(j->bits.decoded);
    cJSON *root = cJSON_CreateObject();
    double sum = 0.0;
    for (int64_t t = 1; t < T; t++)
        sum += terms[t];
    result_text(root, "weights", j->net.model->path);
    result_number(root, "step", (double)j->net.model->step);
    result_text(root, "precision", j->o->precision);
    result_text(root, "variance", j->net.diffusion->variance->name);
    inference_put_class(&j->net, root);
    result_number(root, "images", (double)n);
    if (j->o->monte_carlo != UNSET_INT)
        result_number(root, "monte_carlo", (double)j->o->monte_carlo);
    result_number(root, "L_T", mean_of(ito_const_data(j->bits.prior), n));
    if (j->o->json && j->o->monte_carlo == UNSET_INT)
        cJSON_AddItemToObject(root, "L_t", cJSON_CreateDoubleArray(terms, (int)T));
    result_number(root, "sum_of_L_t", sum);
    result_number(root, "L_0", mean_of(decoded, n));
    result_number(root, "L_0_tanh", mean_of(decoded + n, n));
    result_number(root, "bits_per_dim", mean_of(total, n));
    if (n > 1)
        result_number(root, "standard_error", standard_error(total, n));
    return root;
}

int bits_run(const bits_options *o)
{
    job j = {.o = o};
    double started = progress_clock();
    ito_scope_begin();
    bool found = prepare(&j) && run_all(&j), silent = found && !ranks_writes();
    bool good = found && !silent && write_rate_distortion(&j);
    cJSON *results = good ? describe(&j) : NULL;
    if (good)
        run_results_add(o->model, results);
    int code = good     ? results_print("eval", results, started, o->json)
               : silent ? 0
                        : options_report("eval");
    inference_close(&j.net);
    free(j.chart);
    ito_scope_end();
    return code;
}
