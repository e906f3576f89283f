/* ito-ddpm decompress: the images of a file that compress wrote, or the estimates from the
 * beginning of such a file (Ho et al. 2020, algorithm 4). */
#include "examples/common/messages.h"
#include "examples/common/progress.h"
#include "examples/common/results.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/compression.h"
#include "examples/ddpm/pictures.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct decompress_options {
    const char *model, *weights, *variance, *file, *npy;
    picture_options pictures;
    int64_t batch, threads, until;
    bool force, json;
} decompress_options;

#define AT(field) offsetof(decompress_options, field)

static const option_row rows[] = {
    CODER_MODEL_ROWS,
    TEXT_ROW("file", file, "FILE.ito", NULL, "What is decompressed; --file may be left out"),
    PICTURES_ROW(""),
    TEXT_ROW("npy", npy, "FILE.npy", NULL, "Write them as uint8 [N, C, H, W]"),
    PICTURE_LOOK_ROWS,
    FORCE_ROW,
    INT_ROW("until", until, "T", 0, 1e6, NULL,
            "Stop at this step of the diffusion and write what the network makes of it (not given: "
            "everything)"),
    CODER_MACHINE_ROWS,
};

static const char doc[] =
    "Images from a file of ito-ddpm compress, or from its beginning."
    "\v"
    "Examples:\n"
    "  ito-ddpm decompress --model run boot.ito --out same.png\n"
    "  ito-ddpm decompress --model run boot.ito --until 100 --out estimate.png\n"
    "  head -c 200 boot.ito > part.ito; ito-ddpm decompress --model run part.ito --out "
    "estimate.png";

typedef struct job {
    decompress_options o;
    coder_network network;
    void *bytes; /* of the file */
    int64_t size;
    ito_compressed_info info;
    ito_decompressed read;
    progress progress;
} job;

static void parse(decompress_options *o, int argc, char **argv)
{
    command_line c = {.command = "decompress",
                      .arguments = "FILE.ito",
                      .argument_of = "file",
                      .doc = doc,
                      .options = rows,
                      .values = o};
    options_parse(&c, argc, argv);
    options_require(&c, "model", "the network to use");
    if (o->file == NULL)
        options_refuse(&c, "FILE.ito is missing: what is decompressed");
    if (o->pictures.out == NULL && o->npy == NULL)
        options_refuse(&c, "--out or --npy is missing: where the images go");
    pictures_check(&c, &o->pictures, false);
}

static bool prepare(job *j)
{
    const decompress_options *o = &j->o;
    j->network.batch = o->batch;
    const output outputs[] = {pictures_output(&o->pictures), {"npy", o->npy, FILE_NPY}};
    return options_set_threads(o->threads) && outputs_can_write(outputs, 2, o->force) &&
           pictures_begin(&o->pictures) &&
           coder_network_open(&j->network, (inference_options){.command = "decompress",
                                                               .model = o->model,
                                                               .weights = o->weights,
                                                               .precision = "f32",
                                                               .variance = o->variance,
                                                               .usual_class = "all"});
}

/* Read the file and check that its images are of the network's shape. */
static bool read_file(job *j)
{
    const decompress_options *o = &j->o;
    const ito_ddpm *model = j->network.net.model;
    int64_t T = j->network.net.diffusion->process->steps;
    j->bytes = ito_file_read(o->file, (int64_t)1 << 32, &j->size);
    if (j->bytes == NULL || ito_compressed_inspect(j->bytes, j->size, o->file, &j->info) != ITO_OK)
        return false;
    if (o->until >= T)
        return options_error("--until: %" PRId64
                             " is no step of the diffusion, which ends at %" PRId64,
                             o->until, T - 1);
    ito_tensor *images = ito_empty(j->info.shape, ITO_U8);
    if (model->settings.model.classes > 0)
        j->network.labels = j->info.labels;
    return images != NULL && model_fits(model, images, o->file) &&
           pictures_fit(&o->pictures, j->info.shape, 0, o->force);
}

static bool show(int64_t done, int64_t steps, void *context)
{
    job *j = context;
    j->progress.total = steps;
    progress_step(&j->progress, done, j->info.shape.dim[0], (double)NAN);
    return true;
}

static bool decompress_images(job *j)
{
    if (!read_file(j))
        return false;
    progress_begin(&j->progress, "step", "image steps", 0, j->info.steps);
    bool good =
        ito_diffusion_decompress(j->network.net.diffusion, &j->network.network, j->bytes, j->size,
                                 &j->read, .source = j->o.file, .model = j->network.checksum,
                                 .until = int_or(j->o.until, -1), .progress = show,
                                 .progress_context = j) == ITO_OK;
    progress_end(&j->progress);
    return good;
}

static bool write_images(const job *j)
{
    const decompress_options *o = &j->o;
    return (o->npy == NULL || ito_npy_save(o->npy, j->read.images) == ITO_OK) &&
           pictures_write(&o->pictures, j->read.images, 0);
}

static void say_what_was_read(const job *j)
{
    const ito_decompressed *r = &j->read;
    if (r->exact)
        note("all of %s: the images exactly\n", j->o.file);
    else
        note("%" PRId64 " of the %" PRId64 " bytes of %s: what the network makes of step %" PRId64
             "\n",
             r->read, j->info.size, j->o.file, r->t);
    pictures_say(&j->o.pictures, ito_size(r->images, 0), ito_size(r->images, 1));
    say_where(ito_size(r->images, 0), "image", "images", j->o.npy);
}

static cJSON *describe(const job *j)
{
    cJSON *root = cJSON_CreateObject();
    result_text(root, "weights", j->network.net.model->path);
    result_number(root, "step", (double)j->network.net.model->step);
    result_number(root, "images", (double)j->info.shape.dim[0]);
    result_number(root, "steps", (double)j->info.steps);
    result_number(root, "exact", j->read.exact);
    result_number(root, "t", (double)j->read.t);
    result_number(root, "bytes_read", (double)j->read.read);
    result_number(root, "bytes", (double)j->info.size);
    return root;
}

int command_decompress(int argc, char **argv)
{
    job j = {.bytes = NULL};
    parse(&j.o, argc, argv);
    double started = progress_clock();
    ito_scope_begin();
    bool good = prepare(&j) && decompress_images(&j) && write_images(&j);
    if (good)
        say_what_was_read(&j);
    int code = good ? results_print("decompress", describe(&j), started, j.o.json)
                    : options_report("decompress");
    free(j.bytes);
    coder_network_close(&j.network);
    ito_scope_end();
    return code;
}
