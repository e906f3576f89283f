/* ito-ddpm eval --bits-per-dim: the variational bound of a model on real images, term by term, and
 * the rate and distortion of progressive coding.
 * Invariant: an image's bits depend on the model, the seed, its number and its pixels alone. */
#include "examples/ddpm/eval.h"

#include "autograd/ops.h"
#include "examples/ddpm/chart.h"
#include "examples/ddpm/data.h"
#include "examples/ddpm/generate.h"
#include "examples/ddpm/options.h"
#include "examples/ddpm/run.h"
#include "models/ddpm/bound.h"
#include "tensor/io/file.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { USUAL_IMAGES = 64 };

typedef struct job {
    const bits_options *o;
    trained net;
    ito_tensor *images; /* [n, C, H, W] u8 or f32 */
    ito_ddpm_bits bits; /* of all of them */
    char *chart;        /* where the chart goes, or NULL */
    batches batches;
} job;

/* ---- getting ready ---- */

/* The first images of the data, in the size and channels that the network takes. */
static bool load_images(job *j)
{
    const ito_unet_config *c = &j->net.files.settings.model;
    const char *data = j->o->data;
    ito_tensor *all =
        data_load((data_options){.spec = data, .size = c->height, .grey = c->in_channels == 1});
    if (all == NULL)
        return false;
    if (!model_fits(&j->net.files, all, data))
        return false;
    int64_t there = ito_size(all, 0), usual = there < USUAL_IMAGES ? there : USUAL_IMAGES;
    if (j->o->n > there) {
        ito_error_set(ITO_ERR_RANGE, "--n: %" PRId64 " is more than the %" PRId64 " images of %s",
                      j->o->n, there, data);
        return false;
    }
    j->images = ito_narrow(all, 0, 0, j->o->n != 0 ? j->o->n : usual);
    return j->images != NULL;
}

/* FILE.svg for FILE.csv. */
static char *chart_path(const char *csv)
{
    size_t length = strlen(csv);
    char *path = malloc(length + 5);
    if (path == NULL) {
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for the path", csv);
        return NULL;
    }
    if (length > 4 && strcmp(csv + length - 4, ".csv") == 0)
        length -= 4;
    memcpy(path, csv, length);
    strcpy(path + length, ".svg");
    return path;
}

static bool prepare(job *j)
{
    const bits_options *o = j->o;
    if (o->rate_distortion != NULL) {
        j->chart = chart_path(o->rate_distortion);
        if (j->chart == NULL || !path_can_write(o->rate_distortion))
            return false;
    }
    if (!trained_open(&j->net, (trained_options){"eval", o->model, o->weights, o->precision,
                                                 o->variance, o->class, 1.0}) ||
        !load_images(j))
        return false;
    int64_t n = ito_size(j->images, 0), T = j->net.diffusion->schedule->steps;
    j->bits = (ito_ddpm_bits){.total = ito_empty(ITO_SHAPE(n), ITO_F64),
                              .prior = ito_empty(ITO_SHAPE(n), ITO_F64),
                              .terms = ito_empty(ITO_SHAPE(n, T), ITO_F64),
                              .squares = ito_empty(ITO_SHAPE(n, T), ITO_F64),
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

/* Images first .. first + n - 1, into their places. */
static bool run_batch(int64_t first, int64_t n, void *context)
{
    job *j = context;
    const ito_ddpm_bits *all = &j->bits;
    ito_ddpm_bits b;
    ito_tensor *x = data_scaled(ito_narrow(j->images, 0, first, n));
    ito_ddpm_conditioned network = trained_network(&j->net, first, n);
    return ito_ddpm_bits_per_dim(j->net.diffusion, ito_ddpm_conditioned_network, &network, x, &b,
                                 .no_clip = j->o->no_clip, .seed = (uint64_t)j->o->seed,
                                 .first_image = first, .progress = show,
                                 .progress_context = &j->batches) == ITO_OK &&
           ito_copy_(ito_narrow(all->total, 0, first, n), b.total) != NULL &&
           ito_copy_(ito_narrow(all->prior, 0, first, n), b.prior) != NULL &&
           ito_copy_(ito_narrow(all->terms, 0, first, n), b.terms) != NULL &&
           ito_copy_(ito_narrow(all->squares, 0, first, n), b.squares) != NULL &&
           ito_copy_(ito_narrow(all->decoded, 1, first, n), b.decoded) != NULL;
}

static bool run_all(job *j)
{
    j->batches = (batches){.what = "step of the bound",
                           .n = ito_size(j->images, 0),
                           .size = j->o->batch,
                           .run = run_batch,
                           .context = j};
    return batches_run(&j->batches);
}

/* ---- rate and distortion ---- */

/* Whatever a text in memory holds, as a file; false with an error recorded. */
static bool write_text(const char *path, FILE *memory, char **text, const size_t *size)
{
    bool good = fclose(memory) == 0;
    if (!good)
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for its text", path);
    good = good && file_write_atomic(path, *text, *size) == ITO_OK;
    free(*text);
    return good;
}

static FILE *open_text(const char *path, char **text, size_t *size)
{
    FILE *memory = open_memstream(text, size);
    if (memory == NULL)
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for its text", path);
    return memory;
}

/* The paper's table 4, from the noisiest step, where nothing but L_T has been sent. */
static bool write_table(const char *path, const double *table, int64_t T)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_text(path, &text, &size);
    if (out == NULL)
        return false;
    fputs("reverse_time,t,bits_per_dim,rmse\n", out);
    for (int64_t t = T - 1; t >= 0; t--)
        fprintf(out, "%" PRId64 ",%" PRId64 ",%.9g,%.9g\n", T - t, t, table[2 * t],
                table[2 * t + 1]);
    return write_text(path, out, &text, &size);
}

static bool write_chart(const char *path, const double *table, int64_t T)
{
    char *text = NULL;
    size_t size = 0;
    double *points = malloc(2 * (size_t)T * sizeof *points);
    FILE *out = points != NULL ? open_text(path, &text, &size) : NULL;
    if (out != NULL) {
        for (int64_t i = 0; i < T; i++) {
            points[i] = table[2 * (T - 1 - i)];
            points[T + i] = table[2 * (T - 1 - i) + 1];
        }
        chart_write(out, &(chart){.title = "Distortion (RMSE, 0 to 255) by rate",
                                  .x_label = "bits a dimension",
                                  .from_zero = true,
                                  .alone = true,
                                  .series = &(chart_series){.x = points, .y = points + T, .n = T},
                                  .count = 1});
    }
    free(points);
    if (out == NULL) {
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for its points", path);
        return false;
    }
    return write_text(path, out, &text, &size);
}

static bool write_rate_distortion(const job *j)
{
    if (j->o->rate_distortion == NULL)
        return true;
    ito_tensor *table = ito_ddpm_rate_distortion(&j->bits);
    if (table == NULL)
        return false;
    const double *rows = ito_const_data(table);
    int64_t T = ito_size(table, 0);
    return write_table(j->o->rate_distortion, rows, T) && write_chart(j->chart, rows, T);
}

/* ---- what it says ---- */

/* The mean of n values, each `stride` behind the one before. */
static double mean_of(const double *values, int64_t n, int64_t stride)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += values[i * stride];
    return sum / (double)n;
}

/* Of the mean of n values, at least 2. */
static double standard_error(const double *values, int64_t n)
{
    double mean = mean_of(values, n, 1), squares = 0.0;
    for (int64_t i = 0; i < n; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    return sqrt(squares / (double)(n - 1) / (double)n);
}

static cJSON *describe(const job *j, double seconds)
{
    int64_t n = ito_size(j->images, 0), T = j->net.diffusion->schedule->steps;
    const double *terms = ito_const_data(j->bits.terms), *total = ito_const_data(j->bits.total);
    const double *decoded = ito_const_data(j->bits.decoded);
    cJSON *root = cJSON_CreateObject(), *list = j->o->json ? cJSON_CreateArray() : NULL;
    double sum = 0.0;
    for (int64_t t = 0; t < T; t++) {
        double mean = mean_of(terms + t, n, T);
        sum += t > 0 ? mean : 0.0;
        if (list != NULL)
            cJSON_AddItemToArray(list, cJSON_CreateNumber(mean));
    }
    cJSON_AddStringToObject(root, "weights", j->net.files.weights);
    cJSON_AddNumberToObject(root, "step", (double)j->net.files.step);
    cJSON_AddStringToObject(root, "precision", j->o->precision);
    cJSON_AddStringToObject(root, "variance", j->net.diffusion->variance->name);
    cJSON_AddNumberToObject(root, "images", (double)n);
    cJSON_AddNumberToObject(root, "L_T", mean_of(ito_const_data(j->bits.prior), n, 1));
    if (list != NULL)
        cJSON_AddItemToObject(root, "L_t", list);
    cJSON_AddNumberToObject(root, "sum_of_L_t", sum);
    cJSON_AddNumberToObject(root, "L_0", mean_of(decoded, n, 1));
    cJSON_AddNumberToObject(root, "L_0_tanh", mean_of(decoded + n, n, 1));
    cJSON_AddNumberToObject(root, "bits_per_dim", mean_of(total, n, 1));
    if (n > 1)
        cJSON_AddNumberToObject(root, "standard_error", standard_error(total, n));
    cJSON_AddNumberToObject(root, "seconds", seconds);
    return root;
}

int bits_run(const bits_options *o)
{
    job j = {.o = o};
    double started = progress_clock();
    ito_scope_begin();
    bool good = prepare(&j) && run_all(&j) && write_rate_distortion(&j);
    int code = good ? eval_report("eval", describe(&j, progress_clock() - started), o->json)
                    : options_report("eval");
    trained_close(&j.net);
    free(j.chart);
    ito_scope_end();
    return code;
}
