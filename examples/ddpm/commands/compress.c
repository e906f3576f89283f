/* ito-ddpm compress: images in a file by the progressive coding of Ho et al. 2020, algorithm 3.
 * Invariant: a whole file gives exactly the images that went in, or an error. */
#include "examples/common/messages.h"
#include "examples/common/outputs.h"
#include "examples/common/progress.h"
#include "examples/common/results.h"
#include "examples/common/text_file.h"
#include "examples/ddpm/class_names.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/compression.h"
#include "examples/ddpm/image_files.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct compress_options {
    const char *model, *weights, *variance, *images, *class, *out, *curve;
    int64_t steps, block_bits, candidate_bits, seed, batch, threads;
    bool no_clip, force, json;
} compress_options;

enum { MOST_SAID = 20 }; /* classes that are named on stderr */

#define AT(field) offsetof(compress_options, field)

static const option_row rows[] = {
    CODER_MODEL_ROWS,
    TEXT_ROW("images", images, "FILE|DIR", NULL,
             "What is compressed: an image file, a .npy of bytes, or a directory of image "
             "files; --images may be left out"),
    TEXT_ROW("out", out, "FILE.ito", NULL, "Write it to this file"),
    FORCE_ROW,
    TEXT_ROW("class", class, "NAME|K,...", NULL,
             "Of all images or, with commas, of each of them, if the network was trained with "
             "--conditional; \"none\" of one is possible too, and a comma in a name is written \\, "
             "(none)"),
    INT_ROW("steps", steps, "N", 1, 1e6, NULL, "Steps taken, at most those of the diffusion (50)"),
    INT_ROW("block-bits", block_bits, "N", 1, 20, "10", "Bits that are sent at once, about", RARE),
    INT_ROW("candidate-bits", candidate_bits, "N", 1, 20, NULL,
            "2^N candidates for that; time doubles with each, and samples are truer (block-bits + "
            "6)",
            RARE),
    FLAG_ROW("no-clip", no_clip, "Do not clip the predicted image to -1..1 in each step", RARE),
    TEXT_ROW(
        "curve", curve, "FILE.csv", NULL,
        "Write what has been sent at each step, in bits a dimension, and how far the predicted "
        "images are off (RMSE, 0 to 255)",
        RARE),
    INT_ROW("seed", seed, "S", 0, LARGEST_INT, "0", "Of the random numbers of both sides", RARE),
    CODER_MACHINE_ROWS,
};

static const char doc[] =
    "Compress images with a network that was trained on such (Ho, Jain, Abbeel 2020, section 4.3)."
    "\v"
    "Examples:\n"
    "  ito-ddpm compress --model run boot.png --out boot.ito --class boot\n"
    "  ito-ddpm compress --model run --images photos/ --out photos.ito --curve curve.csv\n"
    "  ito-ddpm decompress --model run boot.ito --out same.png\n\n"
    "The file gives the pixels exactly (8 bits, no transparency: others are refused), its "
    "beginning gives what the network makes of it. It is "
    "for this network and this instruction set (ITO_ISA) alone.";

typedef struct job {
    compress_options o;
    coder_network network;
    ito_tensor *images; /* u8 [N, C, H, W] */
    progress progress;
    ito_compressed made;
} job;

static void parse(compress_options *o, int argc, char **argv)
{
    command_line c = {.command = "compress",
                      .arguments = "FILE|DIR",
                      .argument_of = "images",
                      .doc = doc,
                      .options = rows,
                      .values = o};
    options_parse(&c, argc, argv);
    options_require(&c, "model", "the network to use");
    options_require(&c, "images", "what is compressed");
    options_require(&c, "out", "where it goes");
}

static bool prepare(job *j)
{
    const compress_options *o = &j->o;
    j->network.batch = o->batch;
    const output outputs[] = {{"out", o->out, FILE_COMPRESSED}, {"curve", o->curve, FILE_UNKNOWN}};
    return options_set_threads(o->threads) && outputs_can_write(outputs, 2, o->force) &&
           coder_network_open(
               &j->network, (inference_options){.command = "compress",
                                                .model = o->model,
                                                .weights = o->weights,
                                                .precision = "f32",
                                                .variance = o->variance,
                                                .usual_class = o->class != NULL ? "all" : NULL}) &&
           inference_steps(&j->network.net, 50, &j->o.steps);
}

/* ---- classes ---- */

/* The network's label for the name of a class; -1 with an error recorded. */
static int64_t class_of(const job *j, const char *word)
{
    int64_t classes = j->network.net.model->settings.model.classes;
    bool none = classes > 0 && strcmp(word, "none") == 0;
    return none ? classes : model_class(j->network.net.model, word);
}

static const char *name_of(const job *j, int64_t class)
{
    const ito_ddpm *model = j->network.net.model;
    return class < model->settings.model.classes ? model->class_names[class] : "none";
}

/* "classes: boot, bag, none", of as many as were given. */
static void say_classes(const job *j, int64_t given)
{
    const int64_t *labels = ito_const_data(j->network.labels);
    for (int64_t i = 0; i < given && i < MOST_SAID; i++)
        note("%s%s", i > 0 ? ", " : given == 1 ? "class: " : "classes: ", name_of(j, labels[i]));
    note(given > MOST_SAID ? ", ...\n" : "\n");
}

/* The labels of N images by their names, "boot" or "boot,bag,none". */
static bool read_classes(job *j)
{
    int64_t N = ito_size(j->images, 0), n = 0;
    if (j->o.class == NULL)
        return true;
    char *text = strdup(j->o.class), *rest = text;
    j->network.labels = ito_empty(ITO_SHAPE(N), ITO_I64);
    bool good = text != NULL && j->network.labels != NULL;
    int64_t *labels = j->network.labels != NULL ? ito_data(j->network.labels) : NULL;
    bool whole = class_has_name(j->network.net.class_names, j->o.class); /* with its commas */
    char *word = whole ? rest : class_list_next(&rest);
    for (; good && word != NULL; word = whole ? NULL : class_list_next(&rest)) {
        int64_t class = class_of(j, word);
        good = class >= 0;
        if (good && n < N)
            labels[n] = class;
        n++;
    }
    free(text);
    if (good && n != N && n != 1)
        return options_error("--class: there are %" PRId64 " for %" PRId64 " image%s", n, N,
                             PLURAL(N));
    for (int64_t i = 1; good && n == 1 && i < N; i++)
        labels[i] = labels[0];
    if (good)
        say_classes(j, n);
    return good;
}

/* ---- the coder ---- */

static bool show(int64_t done, int64_t steps, void *context)
{
    job *j = context;
    j->progress.total = steps;
    progress_step(&j->progress, done, ito_size(j->images, 0), (double)NAN);
    return true;
}

static bool compress_images(job *j)
{
    const compress_options *o = &j->o;
    j->images = image_files_load(j->network.net.model, o->images);
    if (j->images == NULL || !read_classes(j))
        return false;
    progress_begin(&j->progress, "step", "image steps", 0, o->steps);
    bool good =
        ito_diffusion_compress(
            j->network.net.diffusion, &j->network.network, j->images, &j->made, .steps = o->steps,
            .block_bits = (int)o->block_bits,
            .candidate_bits = (int)int_or(o->candidate_bits, ITO_COMPRESS_CANDIDATES),
            .no_clip = o->no_clip, .seed = (uint64_t)o->seed, .labels = j->network.labels,
            .model = j->network.checksum, .progress = show, .progress_context = j) == ITO_OK;
    progress_end(&j->progress);
    return good && ito_file_write(o->out, ito_const_data(j->made.file),
                                  (size_t)ito_numel(j->made.file)) == ITO_OK;
}

/* ---- results ---- */

/* Sums over an image's columns from .. to - 1 of a table [N, S]. */
static double sum_of(const ito_tensor *table, int64_t image, int64_t from, int64_t to)
{
    const double *row = (const double *)ito_const_data(table) + image * ito_size(table, 1);
    double sum = 0.0;
    for (int64_t i = from; i < to; i++)
        sum += row[i];
    return sum;
}

/* The mean of these sums over all images. */
static double mean_of(const job *j, const ito_tensor *table, int64_t from, int64_t to)
{
    int64_t N = ito_size(table, 0);
    double sum = 0.0;
    for (int64_t n = 0; n < N; n++)
        sum += sum_of(table, n, from, to);
    return sum / (double)ito_numel(j->images);
}

/* A row for each step: the bits sent before it and the error of x_0-hat; and a row for the whole
 * file. */
static bool write_curve(const job *j)
{
    const ito_compressed *m = &j->made;
    int64_t N = ito_size(m->written, 0), S = ito_size(m->written, 1);
    text_file f;
    if (j->o.curve == NULL)
        return true;
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
    return text_end(&f, true);
}

static void put_bits(cJSON *root, double written, double bound)
{
    result_number(root, "bits_per_dim_written", written);
    result_number(root, "bits_per_dim_of_the_bound", bound);
    result_number(root, "overhead", written / bound - 1.0);
}

/* Each image, as JSON or a line. */
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
        if (j->network.labels != NULL)
            result_text(item, "class",
                        name_of(j, ((const int64_t *)ito_const_data(j->network.labels))[n]));
        if (j->o.json)
            cJSON_AddItemToArray(list, item);
        else
            printf("image %" PRId64
                   ": bits/dim written %.4f, of the bound %.4f, overhead %.1f %%\n",
                   n, written, bound, 100.0 * (written / bound - 1.0));
    }
}

static cJSON *describe(const job *j)
{
    const ito_compressed *m = &j->made;
    int64_t S = ito_size(m->written, 1), bytes = ito_numel(m->file);
    cJSON *root = cJSON_CreateObject();
    result_text(root, "weights", j->network.net.model->path);
    result_number(root, "step", (double)j->network.net.model->step);
    result_number(root, "steps", (double)S);
    describe_images(j, root);
    put_bits(root, mean_of(j, m->written, 0, S), mean_of(j, m->bound, 0, S));
    result_number(root, "bits_per_dim_of_steps", mean_of(j, m->written, 0, S - 1));
    result_number(root, "bound_of_steps", mean_of(j, m->bound, 0, S - 1));
    result_number(root, "bits_per_dim_of_pixels", mean_of(j, m->written, S - 1, S));
    result_number(root, "bound_of_pixels", mean_of(j, m->bound, S - 1, S));
    result_number(root, "bytes", (double)bytes);
    result_number(root, "header_bytes", (double)m->header);
    result_number(root, "bits_per_dim_of_the_file",
                  8.0 * (double)bytes / (double)ito_numel(j->images));
    return root;
}

int command_compress(int argc, char **argv)
{
    job j = {.images = NULL};
    parse(&j.o, argc, argv);
    double started = progress_clock();
    ito_scope_begin();
    bool good = prepare(&j) && compress_images(&j) && write_curve(&j);
    if (good)
        say_where(ito_size(j.images, 0), "image", "images", j.o.out);
    int code = good ? results_print("compress", describe(&j), started, j.o.json)
                    : options_report("compress");
    coder_network_close(&j.network);
    ito_scope_end();
    return code;
}
