/* ito-ddpm compress and decompress: images in a file by the progressive coding of Ho et al. 2020,
 * algorithms 3 and 4.
 * Invariant: what comes out of a whole file is what went in, to the bit, or nothing. */
#include "autograd/ops.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/commands/eval.h"
#include "examples/ddpm/image_files.h"
#include "examples/ddpm/inference.h"
#include "examples/ddpm/run_directory.h"
#include "models/ddpm/codec.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/image.h"
#include "tensor/io/npy.h"
#include "tensor/runtime.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

typedef struct compress_options {
    const char *model, *weights, *variance, *images, *file, *class, *out, *npy, *curve;
    int64_t steps, block_bits, candidate_bits, seed, batch, threads, until;
    bool no_clip, json;
} compress_options;

#define AT(field) offsetof(compress_options, field)

// clang-format off
#define MODEL_ROWS                                                                                 \
    MODEL_ROW,                                                                                     \
    WEIGHTS_ROW,                                                                                   \
    {OPTION_CHOICE, "variance", AT(variance), "fixedsmall|fixedlarge",                             \
     "Of a step, the same both ways (as the run was trained with); fixedsmall makes the smaller "  \
     "files", 0, 0, false}
#define MACHINE_ROWS                                                                               \
    {OPTION_INT, "batch", AT(batch), "N",                                                          \
     "Images that the network sees at once; changes nothing (16)", 1, 1e6, false},                 \
    THREADS_ROW,                                                                                   \
    JSON_ROW,                                                                                      \
    END_ROW
// clang-format on

static const option_row compress_rows[] = {
    MODEL_ROWS,
    {OPTION_TEXT, "images", AT(images), "FILE|DIR",
     "What is compressed: an image file, a .npy of bytes, or a directory of .png files", 0, 0,
     false},
    {OPTION_TEXT, "out", AT(out), "FILE.ito", "Write it to this file", 0, 0, false},
    {OPTION_TEXT, "class", AT(class), "NAME|K,...",
     "Of all images or, with commas, of each of them, if the network was trained with "
     "--conditional; \"none\" of one is possible too (none)",
     0, 0, false},
    {OPTION_INT, "steps", AT(steps), "N", "Steps taken, at most those of the diffusion (50)", 1,
     1e6, false},
    {OPTION_INT, "block-bits", AT(block_bits), "N", "Bits that are sent at once, about (10)", 1, 20,
     false},
    {OPTION_INT, "candidate-bits", AT(candidate_bits), "N",
     "2^N candidates for that; time doubles with each, and samples are truer (block-bits + 6)", 1,
     20, false},
    {OPTION_FLAG, "no-clip", AT(no_clip), NULL,
     "Do not clip the predicted image to -1..1 in each step", 0, 0, false},
    {OPTION_TEXT, "curve", AT(curve), "FILE.csv",
     "Write what has been sent at each step, in bits a dimension, and how far the predicted images "
     "are off (RMSE, 0 to 255)",
     0, 0, false},
    {OPTION_INT, "seed", AT(seed), "S", "Of the random numbers of both sides (0)", 0, LARGEST_INT,
     false},
    MACHINE_ROWS,
};

static const option_row decompress_rows[] = {
    MODEL_ROWS,
    {OPTION_TEXT, "out", AT(out), "FILE.png",
     "Write the image to this file; several side by side, as a grid", 0, 0, false},
    {OPTION_TEXT, "npy", AT(npy), "FILE.npy", "Write them as uint8 [N, C, H, W]", 0, 0, false},
    {OPTION_INT, "until", AT(until), "T",
     "Stop at this step of the diffusion and write what the network makes of it (0: everything)", 0,
     1e6, false},
    MACHINE_ROWS,
};

static const char compress_doc[] =
    "Compress images with a network that was trained on such (Ho, Jain, Abbeel 2020, section 4.3)."
    "\v"
    "Examples:\n"
    "  ito-ddpm compress --model run --images boot.png --out boot.ito --class boot\n"
    "  ito-ddpm compress --model run --images photos/ --out photos.ito --curve curve.csv\n"
    "  ito-ddpm decompress --model run boot.ito --out same.png\n\n"
    "The file gives the images exactly, its beginning gives what the network makes of it. It is "
    "for this network and this instruction set (ITO_ISA) alone.";

static const char decompress_doc[] =
    "Images from a file of ito-ddpm compress, or from its beginning."
    "\v"
    "Examples:\n"
    "  ito-ddpm decompress --model run boot.ito --out same.png\n"
    "  ito-ddpm decompress --model run boot.ito --until 100 --out guess.png\n"
    "  head -c 200 boot.ito > part.ito; ito-ddpm decompress --model run part.ito --out guess.png";

typedef struct job {
    compress_options o;
    trained net;
    ito_tensor *images; /* u8 [N, C, H, W] */
    ito_tensor *labels; /* [N] i64, as the network takes them; NULL: none */
    progress progress;
    ito_ddpm_compressed made;
    ito_ddpm_file_info info;
    ito_ddpm_decompressed read;
} job;

/* ---- the network ---- */

/* Some images at a time. */
static ito_tensor *ask(ito_tensor *x, ito_tensor *t, void *context)
{
    const job *j = context;
    int64_t N = ito_size(x, 0), size = j->o.batch, pieces = (N + size - 1) / size;
    ito_tensor **made = calloc((size_t)pieces, sizeof *made), *all = NULL;
    bool good = made != NULL;
    for (int64_t k = 0; good && k < pieces; k++) {
        int64_t first = k * size, n = N - first < size ? N - first : size;
        ito_ddpm_conditioned network = trained_network(&j->net, first, n);
        network.labels = j->labels != NULL ? ito_narrow(j->labels, 0, first, n) : NULL;
        made[k] = ito_ddpm_conditioned_network(ito_narrow(x, 0, first, n),
                                               ito_narrow(t, 0, first, n), &network);
        ito_ddpm_conditioned_end(&network);
        good = made[k] != NULL;
    }
    if (good)
        all = pieces == 1 ? made[0] : ito_cat(made, pieces, 0);
    if (made == NULL)
        ito_error_set(ITO_ERR_MEMORY, "compress: no memory for %" PRId64 " batches", pieces);
    free(made);
    return all;
}

/* crc32 of the names and numbers of a network. */
static bool number_of_network(const ito_unet *unet, uint32_t *out)
{
    ito_named_tensors *list = ito_module_state(&unet->base);
    uLong sum = crc32(0, NULL, 0);
    bool good = list != NULL;
    for (int64_t i = 0; good && i < list->n; i++) {
        ito_scope_begin();
        ito_tensor *t = ito_contiguous(list->tensors[i]);
        good = t != NULL;
        if (good) {
            sum = crc32(sum, (const uint8_t *)list->names[i], (unsigned)strlen(list->names[i]));
            sum = crc32_z(sum, ito_const_data(t),
                          (size_t)ito_numel(t) * ito_dtype_size(ito_dtype_of(t)));
        }
        ito_scope_end();
    }
    ito_named_tensors_free(list);
    *out = (uint32_t)sum;
    return good;
}

/* The labels by their names, "boot" or "boot,bag,none", for N images. */
static bool read_classes(job *j)
{
    int64_t N = ito_size(j->images, 0), classes = j->net.files.settings.model.classes, n = 0;
    if (j->o.class == NULL)
        return true;
    char *text = strdup(j->o.class), *rest = text;
    j->labels = ito_empty(ITO_SHAPE(N), ITO_I64);
    bool good = text != NULL && j->labels != NULL;
    for (char *word = strsep(&rest, ","); good && word != NULL; word = strsep(&rest, ",")) {
        bool none = classes > 0 && strcmp(word, "none") == 0;
        int64_t class = none ? classes : model_class(&j->net.files, word);
        good = class >= 0;
        if (good && n < N)
            ((int64_t *)ito_data(j->labels))[n] = class;
        n++;
    }
    if (good && n == 1)
        for (; n < N; n++)
            ((int64_t *)ito_data(j->labels))[n] = ((int64_t *)ito_data(j->labels))[0];
    if (good && n != N) {
        ito_error_set(ITO_ERR_ARGUMENT, "--class: there are %" PRId64 " for %" PRId64 " image%s", n,
                      N, PLURAL(N));
        good = false;
    }
    free(text);
    return good;
}

/* ---- the commands ---- */

static bool show(int64_t done, int64_t steps, void *context)
{
    job *j = context;
    j->progress.total = steps;
    progress_step(&j->progress, done, ito_size(j->images, 0), (double)NAN);
    return true;
}

static bool prepare(job *j, const char *command, uint32_t *model)
{
    const compress_options *o = &j->o;
    return (o->threads == 0 || ito_set_threads((int)o->threads) == ITO_OK) &&
           paths_can_write(o->out, o->npy, o->curve) &&
           trained_open(&j->net, (trained_options){.command = command,
                                                   .model = o->model,
                                                   .weights = o->weights,
                                                   .precision = "f32",
                                                   .variance = o->variance,
                                                   .class = o->class != NULL ? "0" : NULL,
                                                   .usual_class = o->file != NULL ? "0" : NULL,
                                                   .guidance = 1.0}) &&
           number_of_network(j->net.unet, model);
}

static bool compress_images(job *j, uint32_t model)
{
    compress_options *o = &j->o;
    if (!trained_steps(&j->net, 50, &o->steps))
        return false;
    j->images = image_files_load(&j->net.files, o->images);
    if (j->images == NULL || !read_classes(j))
        return false;
    progress_begin(&j->progress, "step", "image steps", 0, o->steps);
    bool good = ito_ddpm_compress(j->net.diffusion, ask, j, j->images, &j->made, .steps = o->steps,
                                  .block_bits = (int)o->block_bits,
                                  .candidate_bits = (int)o->candidate_bits, .no_clip = o->no_clip,
                                  .seed = (uint64_t)o->seed, .labels = j->labels, .model = model,
                                  .progress = show, .progress_context = j) == ITO_OK;
    progress_end(&j->progress);
    return good && file_write_atomic(o->out, ito_const_data(j->made.file),
                                     (size_t)ito_numel(j->made.file)) == ITO_OK;
}

static bool decompress_images(job *j, uint32_t model)
{
    const compress_options *o = &j->o;
    void *bytes = NULL;
    int64_t size;
    bool good = file_read_all(o->file, (int64_t)1 << 32, &bytes, &size) == ITO_OK &&
                ito_ddpm_file_inspect(bytes, size, o->file, &j->info) == ITO_OK;
    int64_t T = j->net.diffusion->schedule->steps;
    if (good && o->until >= T) {
        ito_error_set(ITO_ERR_RANGE,
                      "--until: %" PRId64 " is no step of the diffusion, which ends at %" PRId64,
                      o->until, T - 1);
        good = false;
    }
    j->images = good ? ito_empty(j->info.shape, ITO_U8) : NULL;
    good = j->images != NULL && model_fits(&j->net.files, j->images, o->file);
    if (good && j->info.labels != NULL && j->net.files.settings.model.classes > 0)
        j->labels = j->info.labels;
    if (good) {
        progress_begin(&j->progress, "step", "image steps", 0, j->info.steps);
        good = ito_ddpm_decompress(j->net.diffusion, ask, j, bytes, size, &j->read,
                                   .source = o->file, .model = model, .until = o->until,
                                   .progress = show, .progress_context = j) == ITO_OK;
        progress_end(&j->progress);
    }
    mem_free(bytes);
    return good;
}

/* ---- what they say ---- */

/* Sums over an image's columns from .. to - 1 of a table [N, S]. */
static double sum_of(const ito_tensor *table, int64_t image, int64_t from, int64_t to)
{
    const double *row = (const double *)ito_const_data(table) + image * ito_size(table, 1);
    double sum = 0.0;
    for (int64_t i = from; i < to; i++)
        sum += row[i];
    return sum;
}

/* The same for all images, by all of their numbers. */
static double mean_of(const job *j, const ito_tensor *table, int64_t from, int64_t to)
{
    int64_t N = ito_size(table, 0);
    double sum = 0.0;
    for (int64_t n = 0; n < N; n++)
        sum += sum_of(table, n, from, to);
    return sum / (double)ito_numel(j->images);
}

/* A row for each step: what has been sent before it, and the predicted images' error; and one for
 * all of it. */
static bool write_curve(const job *j)
{
    const ito_ddpm_compressed *m = &j->made;
    int64_t N = ito_size(m->written, 0), S = ito_size(m->written, 1);
    text_file f;
    if (!text_begin(&f, j->o.curve))
        return false;
    fputs("t,bits_per_dim,bound_bits_per_dim,rmse\n", f.out);
    for (int64_t i = 0; i <= S; i++) {
        double square = 0.0;
        for (int64_t n = 0; n < N && i < S; n++)
            square += sum_of(m->squares, n, i, i + 1) / (double)N;
        fprintf(f.out, "%" PRId64 ",%.9g,%.9g,%.9g\n",
                i < S ? ((const int64_t *)ito_const_data(m->times))[i] : -1,
                mean_of(j, m->written, 0, i), mean_of(j, m->bound, 0, i), 127.5 * sqrt(square));
    }
    return text_end(&f);
}

static void put_bits(cJSON *root, double written, double bound)
{
    cJSON_AddNumberToObject(root, "bits_per_dim_written", written);
    cJSON_AddNumberToObject(root, "bits_per_dim_of_the_bound", bound);
    cJSON_AddNumberToObject(root, "overhead", written / bound - 1.0);
}

/* Image by image, as JSON or a line each. */
static void describe_images(const job *j, cJSON *root)
{
    int64_t N = ito_size(j->images, 0), S = ito_size(j->made.written, 1);
    double numbers = (double)ito_numel(j->images) / (double)N;
    cJSON *list = j->o.json ? cJSON_AddArrayToObject(root, "images") : NULL;
    for (int64_t n = 0; n < N; n++) {
        double written = sum_of(j->made.written, n, 0, S) / numbers;
        double bound = sum_of(j->made.bound, n, 0, S) / numbers;
        cJSON *item = j->o.json ? cJSON_CreateObject() : NULL;
        put_bits(item, written, bound);
        if (j->o.json)
            cJSON_AddItemToArray(list, item);
        else
            printf("image %" PRId64
                   ": bits/dim written %.4f, of the bound %.4f, overhead %.1f %%\n",
                   n, written, bound, 100.0 * (written / bound - 1.0));
    }
}

static cJSON *describe_compressed(const job *j)
{
    int64_t S = ito_size(j->made.written, 1), bytes = ito_numel(j->made.file);
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "weights", j->net.files.weights);
    cJSON_AddNumberToObject(root, "step", (double)j->net.files.step);
    cJSON_AddNumberToObject(root, "steps", (double)S);
    describe_images(j, root);
    put_bits(root, mean_of(j, j->made.written, 0, S), mean_of(j, j->made.bound, 0, S));
    cJSON_AddNumberToObject(root, "bits_per_dim_of_steps", mean_of(j, j->made.written, 0, S - 1));
    cJSON_AddNumberToObject(root, "bound_of_steps", mean_of(j, j->made.bound, 0, S - 1));
    cJSON_AddNumberToObject(root, "bits_per_dim_of_pixels", mean_of(j, j->made.written, S - 1, S));
    cJSON_AddNumberToObject(root, "bound_of_pixels", mean_of(j, j->made.bound, S - 1, S));
    cJSON_AddNumberToObject(root, "bytes", (double)bytes);
    cJSON_AddNumberToObject(root, "header_bytes", (double)j->made.header);
    cJSON_AddNumberToObject(root, "bits_per_dim_of_the_file",
                            8.0 * (double)bytes / (double)ito_numel(j->images));
    return root;
}

static bool write_images(job *j)
{
    const compress_options *o = &j->o;
    ito_tensor *x = j->read.images;
    int64_t n = ito_size(x, 0);
    if (o->npy != NULL && ito_npy_save(o->npy, x) != ITO_OK)
        return false;
    if (o->out == NULL)
        return true;
    ito_tensor *picture =
        n == 1 ? ito_select(x, 0, 0) : ito_image_grid(x, (int64_t)ceil(sqrt((double)n)), 2);
    return picture != NULL && ito_png_save(o->out, picture) == ITO_OK;
}

static void say_what_was_read(const job *j)
{
    const ito_ddpm_decompressed *r = &j->read;
    if (r->exact)
        fprintf(stderr, "all of %s: the images exactly\n", j->o.file);
    else
        fprintf(stderr,
                "%" PRId64 " of the %" PRId64
                " bytes of %s: what the network makes of step %" PRId64 "\n",
                r->read, j->info.size, j->o.file, r->t);
    say_where(ito_size(r->images, 0), "image", "images", j->o.out);
    say_where(ito_size(r->images, 0), "image", "images", j->o.npy);
}

static cJSON *describe_decompressed(const job *j)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "weights", j->net.files.weights);
    cJSON_AddNumberToObject(root, "step", (double)j->net.files.step);
    cJSON_AddNumberToObject(root, "images", (double)ito_size(j->images, 0));
    cJSON_AddNumberToObject(root, "steps", (double)j->info.steps);
    cJSON_AddNumberToObject(root, "exact", j->read.exact);
    cJSON_AddNumberToObject(root, "t", (double)j->read.t);
    cJSON_AddNumberToObject(root, "bytes_read", (double)j->read.read);
    cJSON_AddNumberToObject(root, "bytes", (double)j->info.size);
    return root;
}

/* ---- around them ---- */

static void begin(compress_options *o, command_line *c, int argc, char **argv)
{
    *o = (compress_options){.weights = "ema", .batch = 16};
    options_parse(c, argc, argv);
    if (o->model == NULL)
        options_refuse(c, "--model is missing: the network to use");
}

static int finish(job *j, const char *command, bool good, cJSON *root, double started)
{
    cJSON_AddNumberToObject(root, "seconds", progress_clock() - started);
    int code = good ? eval_report(command, root, j->o.json) : options_report(command);
    if (!good)
        cJSON_Delete(root);
    trained_close(&j->net);
    ito_scope_end();
    return code;
}

int command_compress(int argc, char **argv)
{
    job j = {.images = NULL};
    uint32_t model;
    command_line c = {
        .command = "compress", .doc = compress_doc, .options = compress_rows, .values = &j.o};
    begin(&j.o, &c, argc, argv);
    if (j.o.images == NULL)
        options_refuse(&c, "--images is missing: what is compressed");
    if (j.o.out == NULL)
        options_refuse(&c, "--out is missing: where it goes");
    double started = progress_clock();
    ito_scope_begin();
    bool good = prepare(&j, "compress", &model) && compress_images(&j, model) &&
                (j.o.curve == NULL || write_curve(&j));
    if (good)
        say_where(ito_size(j.images, 0), "image", "images", j.o.out);
    return finish(&j, "compress", good, good ? describe_compressed(&j) : NULL, started);
}

int command_decompress(int argc, char **argv)
{
    job j = {.images = NULL};
    uint32_t model;
    command_line c = {.command = "decompress",
                      .arguments = "FILE.ito",
                      .doc = decompress_doc,
                      .options = decompress_rows,
                      .values = &j.o};
    begin(&j.o, &c, argc, argv);
    j.o.file = c.argument;
    if (j.o.file == NULL)
        options_refuse(&c, "FILE.ito is missing: what is decompressed");
    if (j.o.out == NULL && j.o.npy == NULL)
        options_refuse(&c, "--out or --npy is missing: where the images go");
    double started = progress_clock();
    ito_scope_begin();
    bool good =
        prepare(&j, "decompress", &model) && decompress_images(&j, model) && write_images(&j);
    if (good)
        say_what_was_read(&j);
    return finish(&j, "decompress", good, good ? describe_decompressed(&j) : NULL, started);
}
