/* ito-ddpm interpolate, inpaint, encode and decode: what a trained network does with images that
 * there are already. One table of commands; each has its options and one function.
 * Invariant: the same model, images, settings and seed give the same result on any machine's
 * threads. */
#include "models/ddpm/edit.h"

#include "autograd/ops.h"
#include "examples/ddpm/commands.h"
#include "examples/ddpm/data.h"
#include "examples/ddpm/eval.h"
#include "examples/ddpm/generate.h"
#include "examples/ddpm/model.h"
#include "examples/ddpm/options.h"
#include "examples/ddpm/progress.h"
#include "examples/ddpm/run.h"
#include "tensor/io/image.h"
#include "tensor/io/npy.h"
#include "tensor/runtime.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct edit_options {
    const char *model, *weights, *data, *image, *mask, *out, *npy, *precision;
    int64_t first, second, n, t, steps, seed, jump, repeats, threads;
    bool json;
} edit_options;

#define AT(field) offsetof(edit_options, field)

#define MODEL_ROWS                                                                                 \
    {OPTION_TEXT,                                                                                  \
     "model",                                                                                      \
     AT(model),                                                                                    \
     "RUN|FILE",                                                                                   \
     "A run (its newest checkpoint), a checkpoint step-N, or a file of weights in one",            \
     0,                                                                                            \
     0,                                                                                            \
     false},                                                                                       \
    {                                                                                              \
        OPTION_CHOICE, "weights", AT(weights), "ema|model",                                        \
            "Averaged weights or plain ones (ema)", 0, 0, false                                    \
    }
#define RESULT_ROWS                                                                                \
    {OPTION_TEXT, "out", AT(out), "GRID.png", "Write the images side by side to this file",        \
     0,           0,     false},                                                                   \
        {OPTION_TEXT, "npy", AT(npy), "FILE.npy", "Write the result as float32 [N, C, H, W]",      \
         0,           0,     false},                                                               \
    {                                                                                              \
        OPTION_FLAG, "json", AT(json), NULL, "Print one JSON object on stdout at the end", 0, 0,   \
            false                                                                                  \
    }
#define HOW_ROWS                                                                                   \
    {OPTION_INT,                                                                                   \
     "steps",                                                                                      \
     AT(steps),                                                                                    \
     "N",                                                                                          \
     "Steps, at most those of the diffusion (encode, decode 50, else 250)",                        \
     1,                                                                                            \
     1e6,                                                                                          \
     false},                                                                                       \
        {OPTION_INT, "seed",      AT(seed), "S", "Decides all random numbers (0)",                 \
         0,          LARGEST_INT, false},                                                          \
        {OPTION_CHOICE,                                                                            \
         "precision",                                                                              \
         AT(precision),                                                                            \
         PRECISIONS,                                                                               \
         "Activations of the network (f32)",                                                       \
         0,                                                                                        \
         0,                                                                                        \
         false},                                                                                   \
        {OPTION_INT,                                                                               \
         "threads",                                                                                \
         AT(threads),                                                                              \
         "N",                                                                                      \
         "Threads; results do not depend on it (all processors)",                                  \
         1,                                                                                        \
         1024,                                                                                     \
         false},                                                                                   \
    {                                                                                              \
        OPTION_END, NULL, 0, NULL, NULL, 0, 0, false                                               \
    }

static const option_row interpolate_rows[] = {
    MODEL_ROWS,
    {OPTION_TEXT, "data", AT(data), "SPEC", "Where both images are, named as for train", 0, 0,
     false},
    {OPTION_INT, "first", AT(first), "I", "Number of the one (0)", 0, 1e12, false},
    {OPTION_INT, "second", AT(second), "J", "Number of the other (1)", 0, 1e12, false},
    {OPTION_INT, "n", AT(n), "N", "How many images from the one to the other (9)", 2, 1e4, false},
    {OPTION_INT, "t", AT(t), "T",
     "Step that both are noised to and mixed at: more is freer (half of the diffusion)", 1, 1e6,
     false},
    RESULT_ROWS,
    HOW_ROWS,
};

static const option_row inpaint_rows[] = {
    MODEL_ROWS,
    {OPTION_TEXT, "image", AT(image), "FILE", "What is completed: an image file or .npy", 0, 0,
     false},
    {OPTION_TEXT, "mask", AT(mask), "FILE",
     "Of the same size: white (.npy: above 0) where the image stays", 0, 0, false},
    {OPTION_INT, "n", AT(n), "N", "How many versions (4)", 1, 1e4, false},
    {OPTION_INT, "jump", AT(jump), "N", "Steps that RePaint goes back up at once (10)", 1, 1e6,
     false},
    {OPTION_INT, "repeats", AT(repeats), "N",
     "Times that it walks each stretch; more fits better and takes longer (5)", 1, 1e6, false},
    RESULT_ROWS,
    HOW_ROWS,
};

static const option_row encode_rows[] = {
    MODEL_ROWS,
    {OPTION_TEXT, "data", AT(data), "SPEC", "Images, named as for train", 0, 0, false},
    {OPTION_INT, "first", AT(first), "I", "Number of the first one (0)", 0, 1e12, false},
    {OPTION_INT, "n", AT(n), "N", "How many (16)", 1, 1e4, false},
    RESULT_ROWS,
    HOW_ROWS,
};

static const option_row decode_rows[] = {
    MODEL_ROWS,
    {OPTION_TEXT, "image", AT(image), "NOISE.npy", "What encode has made, with as many --steps", 0,
     0, false},
    RESULT_ROWS,
    HOW_ROWS,
};

typedef struct job {
    edit_options o;
    model_files files;
    ito_unet *unet;
    ito_diffusion *diffusion;
    ito_tensor *result;  /* [N, C, H, W], for --npy */
    ito_tensor *picture; /* for --out; NULL: the result */
    ito_tensor *error;   /* encode: [N] of the round trip */
    progress progress;
} job;

/* ---- images ---- */

/* Images first .. first + n - 1 of --data, as the network takes them. */
static ito_tensor *from_data(job *j, int64_t first, int64_t n, const char *option)
{
    const ito_unet_config *c = &j->files.settings.model;
    ito_tensor *all = data_load(
        (data_options){.spec = j->o.data, .size = c->height, .grey = c->in_channels == 1});
    if (all == NULL || !model_fits(&j->files, all, j->o.data))
        return NULL;
    if (first + n > ito_size(all, 0)) {
        ito_error_set(ITO_ERR_RANGE,
                      "%s: image %" PRId64 " is wanted, and %s has images 0 to %" PRId64, option,
                      first + n - 1, j->o.data, ito_size(all, 0) - 1);
        return NULL;
    }
    return data_scaled(ito_narrow(all, 0, first, n));
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* A file of images, as they are: .npy of any number of them, else one. Floats are in [-1, 1], or
 * `free`. */
static ito_tensor *from_file(const job *j, const char *path, bool free)
{
    ito_tensor *x;
    if (ends_with(path, ".npy"))
        x = free ? data_load_npy_unbounded(path) : data_load_npy(path);
    else
        x = ito_unsqueeze(ito_image_load(path, (int)j->files.settings.model.in_channels), 0);
    return x == NULL || !model_fits(&j->files, x, path) ? NULL : x;
}

/* ---- the commands ---- */

static bool show(int64_t done, int64_t steps, ito_tensor *x, void *context)
{
    job *j = context;
    j->progress.total = steps; /* of this way of a round trip */
    progress_step(&j->progress, done, ito_size(x, 0), (double)NAN);
    return true;
}

static ito_ddpm_sample_options how(job *j)
{
    return (ito_ddpm_sample_options){
        .steps = j->o.steps, .seed = (uint64_t)j->o.seed, .progress = show, .progress_context = j};
}

static bool interpolate(job *j)
{
    edit_options *o = &j->o;
    int64_t T = j->diffusion->schedule->steps;
    o->t = o->t != 0 ? o->t : T / 2;
    if (o->t >= T) {
        ito_error_set(ITO_ERR_RANGE,
                      "--t: %" PRId64 " is no step of the diffusion, which ends at %" PRId64, o->t,
                      T - 1);
        return false;
    }
    ito_tensor *a = from_data(j, o->first, 1, "--first");
    ito_tensor *b = a != NULL ? from_data(j, o->second, 1, "--second") : NULL;
    if (b == NULL)
        return false;
    j->result = ito_ddpm_interpolate_with(j->diffusion, ito_unet_network, j->unet, a, b,
                                          ito_linspace(0, 1, o->n, ITO_F32), o->t, how(j));
    return j->result != NULL;
}

static bool inpaint(job *j)
{
    const edit_options *o = &j->o;
    ito_tensor *image = from_file(j, o->image, false);
    ito_tensor *mask = image != NULL ? from_file(j, o->mask, true) : NULL;
    if (mask == NULL)
        return false;
    if (ito_size(image, 0) != 1 || ito_size(mask, 0) != 1) {
        ito_error_set(ITO_ERR_SHAPE,
                      "%s and %s: they hold %" PRId64 " and %" PRId64 " images; one each is needed",
                      o->image, o->mask, ito_size(image, 0), ito_size(mask, 0));
        return false;
    }
    const ito_unet_config *c = &j->files.settings.model;
    ito_tensor *all =
        ito_contiguous(ito_expand(data_scaled(image), o->n, c->in_channels, c->height, c->width));
    double least = ends_with(o->mask, ".npy") ? 0.0 : 127.0;
    mask = ito_cast(mask, ITO_F32);
    ito_tensor *given = mask == NULL ? NULL : ito_gt(mask, ito_full_like(mask, least));
    j->result = ito_ddpm_inpaint_with(j->diffusion, ito_unet_network, j->unet, all, given,
                                      (ito_ddpm_resampling){.jump = o->jump, .repeats = o->repeats},
                                      how(j));
    return j->result != NULL;
}

/* Limits of x_0-hat would spoil the way back. */
static ito_ddpm_sample_options both_ways(job *j)
{
    ito_ddpm_sample_options options = how(j);
    options.sampler = &ito_ddpm_ddim;
    options.no_clip = true;
    return options;
}

static bool encode(job *j)
{
    ito_ddpm_round_trip r;
    ito_tensor *x = from_data(j, j->o.first, j->o.n, "--n");
    if (x == NULL || ito_ddpm_round_trip_with(j->diffusion, ito_unet_network, j->unet, x,
                                              both_ways(j), &r) != ITO_OK)
        return false;
    j->result = r.noise;
    j->picture = r.image;
    j->error = r.error;
    return true;
}

static bool decode(job *j)
{
    ito_tensor *x = data_scaled(from_file(j, j->o.image, true));
    if (x == NULL)
        return false;
    j->result = ito_ddpm_sample_from_with(j->diffusion, ito_unet_network, j->unet, x, both_ways(j));
    return j->result != NULL;
}

typedef struct edit_command {
    const char *name, *doc;
    const option_row *rows;
    const char *needs[2]; /* options that must be given */
    edit_options usual;
    bool (*run)(job *j);
} edit_command;

static const edit_command interpolation = {
    "interpolate",
    "Images between two images (Ho, Jain, Abbeel 2020, section 4.3): both are noised to step --t, "
    "mixed there and brought back.\v"
    "  ito-ddpm interpolate --model run --data fashion-mnist --first 3 --second 8 --out grid.png",
    interpolate_rows,
    {"data", NULL},
    {.n = 9, .second = 1, .steps = 250},
    interpolate};
static const edit_command inpainting = {
    "inpaint",
    "Complete an image where a mask is black (RePaint, Lugmayr et al. 2022).\v"
    "  ito-ddpm inpaint --model run --image boot.png --mask mask.png --out grid.png",
    inpaint_rows,
    {"image", "mask"},
    {.n = 4, .steps = 250, .jump = 10, .repeats = 5},
    inpaint};
static const edit_command encoding = {
    "encode",
    "The noise that images come from by DDIM, and how well they come back from it.\v"
    "  ito-ddpm encode --model run --data fashion-mnist --n 16 --npy noise.npy --out back.png\n\n"
    "--npy is the noise, --out shows what it decodes to; round_trip_error is the root of the mean "
    "squared difference to the images, whose values are -1 to 1.",
    encode_rows,
    {"data", NULL},
    {.n = 16, .steps = 50},
    encode};
static const edit_command decoding = {
    "decode",
    "Images from noise that ito-ddpm encode has made.\v"
    "  ito-ddpm decode --model run --image noise.npy --out grid.png",
    decode_rows,
    {"image", NULL},
    {.steps = 50},
    decode};

/* ---- around them ---- */

static void parse(const edit_command *e, edit_options *o, int argc, char **argv)
{
    command_line c = {.command = e->name, .doc = e->doc, .options = e->rows, .values = o};
    *o = e->usual;
    o->weights = "ema";
    o->precision = "f32";
    options_parse(&c, argc, argv);
    if (o->model == NULL)
        options_refuse(&c, "--model is missing: the network to use");
    for (int i = 0; i < 2 && e->needs[i] != NULL; i++)
        if (!options_given(&c, e->needs[i]))
            options_refuse(&c, "--%s is missing", e->needs[i]);
    if (o->data != NULL && !data_spec_valid(o->data))
        options_refuse(&c,
                       "--data: \"%s\" is none of fashion-mnist, mnist:DIR, cifar10:DIR, "
                       "folder:DIR and npy:FILE",
                       o->data);
    if (o->out == NULL && o->npy == NULL)
        options_refuse(&c, "--out or --npy is missing: where the result goes");
    if (!options_given(&c, "steps"))
        o->steps = -o->steps; /* at most so many */
}

static bool prepare(job *j, const char *command)
{
    edit_options *o = &j->o;
    if ((o->threads != 0 && ito_set_threads((int)o->threads) != ITO_OK) ||
        !path_can_write(o->out) || !path_can_write(o->npy) ||
        !model_find(o->model, strcmp(o->weights, "model") == 0, &j->files))
        return false;
    int64_t T = j->files.settings.diffusion.steps;
    if (o->steps < 0)
        o->steps = -o->steps < T ? -o->steps : T;
    if (o->steps > T) {
        ito_error_set(ITO_ERR_RANGE,
                      "--steps: %" PRId64 " is more than the %" PRId64 " of the diffusion",
                      o->steps, T);
        return false;
    }
    j->unet = model_load(&j->files);
    if (j->unet != NULL)
        model_set_precision(j->unet, o->precision, command);
    j->diffusion = j->unet != NULL ? ito_diffusion_create_with(j->files.settings.diffusion) : NULL;
    return j->diffusion != NULL;
}

static bool write_result(job *j)
{
    const edit_options *o = &j->o;
    ito_tensor *shown = j->picture != NULL ? j->picture : j->result;
    if (!images_finite(j->result, j->files.weights, 0) ||
        !images_finite(shown, j->files.weights, 0))
        return false;
    double columns = ceil(sqrt((double)ito_size(shown, 0)));
    if (o->npy != NULL && ito_npy_save(o->npy, j->result) != ITO_OK)
        return false;
    ito_tensor *grid = o->out != NULL ? ito_image_grid(shown, (int64_t)columns, 2) : NULL;
    return o->out == NULL || (grid != NULL && ito_png_save(o->out, grid) == ITO_OK);
}

static cJSON *describe(const job *j, double seconds)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "weights", j->files.weights);
    cJSON_AddNumberToObject(root, "step", (double)j->files.step);
    cJSON_AddNumberToObject(root, "images", (double)ito_size(j->result, 0));
    cJSON_AddNumberToObject(root, "steps", (double)j->o.steps);
    if (j->error != NULL) {
        cJSON_AddNumberToObject(root, "round_trip_error", ito_item(ito_mean(j->error)));
        cJSON_AddNumberToObject(root, "largest_error", ito_item(ito_max(j->error)));
    }
    cJSON_AddNumberToObject(root, "seconds", seconds);
    return root;
}

static int run(const edit_command *e, int argc, char **argv)
{
    job j = {.unet = NULL};
    parse(e, &j.o, argc, argv);
    double started = progress_clock();
    ito_scope_begin();
    bool good = prepare(&j, e->name);
    if (good) {
        progress_begin(&j.progress, "step", "image steps", 0, j.o.steps);
        good = e->run(&j) && write_result(&j);
        progress_end(&j.progress);
    }
    int code = good ? eval_report(e->name, describe(&j, progress_clock() - started), j.o.json)
                    : options_report(e->name);
    ito_diffusion_free(j.diffusion);
    if (j.unet != NULL)
        ito_module_free(&j.unet->base);
    model_files_free(&j.files);
    ito_scope_end();
    return code;
}

int command_interpolate(int argc, char **argv)
{
    return run(&interpolation, argc, argv);
}

int command_inpaint(int argc, char **argv)
{
    return run(&inpainting, argc, argv);
}

int command_encode(int argc, char **argv)
{
    return run(&encoding, argc, argv);
}

int command_decode(int argc, char **argv)
{
    return run(&decoding, argc, argv);
}
