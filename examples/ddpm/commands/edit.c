/* ito-ddpm interpolate, inpaint, edit, encode and decode: what a trained network does with images
 * that there are already. One table of commands; each has its options and one function.
 * Invariant: the same model, images, settings and seed give the same result on any machine's
 * threads. */
#include "models/ddpm/edit.h"

#include "autograd/ops.h"
#include "examples/common/options.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/commands/eval.h"
#include "examples/ddpm/data.h"
#include "examples/ddpm/inference.h"
#include "examples/ddpm/run_directory.h"
#include "tensor/io/image.h"
#include "tensor/io/npy.h"
#include "tensor/runtime.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct edit_options {
    const char *model, *weights, *data, *image, *mask, *out, *npy, *precision, *class;
    int64_t first, second, n, t, steps, seed, jump, repeats, batch, threads;
    double guidance, strength;
    bool json;
} edit_options;

#define AT(field) offsetof(edit_options, field)

// clang-format off
#define MODEL_ROWS                                                                                 \
    MODEL_ROW,                                                                                     \
    WEIGHTS_ROW,                                                                                   \
    CLASS_ROW
#define RESULT_ROWS                                                                                \
    {OPTION_TEXT, "out", AT(out), "GRID.png",                                                      \
     "Write the images side by side to this file", 0, 0, false},                                   \
    {OPTION_TEXT, "npy", AT(npy), "FILE.npy",                                                      \
     "Write the result as float32 [N, C, H, W]", 0, 0, false},                                     \
    JSON_ROW
#define HOW_ROWS                                                                                   \
    {OPTION_INT, "steps", AT(steps), "N",                                                          \
     "Steps, at most those of the diffusion (encode, decode 50, else 250)", 1, 1e6, false},        \
    BATCH_ROW,                                                                                     \
    PRECISION_ROW,                                                                                 \
    THREADS_ROW,                                                                                   \
    END_ROW
// clang-format on

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
    GUIDANCE_ROW,
    RESULT_ROWS,
    SEED_ROW,
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
    GUIDANCE_ROW,
    RESULT_ROWS,
    SEED_ROW,
    HOW_ROWS,
};

static const option_row change_rows[] = {
    MODEL_ROWS,
    {OPTION_TEXT, "image", AT(image), "FILE", "What is changed: an image file or .npy", 0, 0,
     false},
    {OPTION_REAL, "strength", AT(strength), "X",
     "How far it is noised, of all the way: 1 keeps next to nothing of it (0.5)", ABOVE_0, 1,
     false},
    {OPTION_INT, "n", AT(n), "N", "How many versions (4)", 1, 1e4, false},
    GUIDANCE_ROW,
    RESULT_ROWS,
    SEED_ROW,
    HOW_ROWS,
};

static const option_row encode_rows[] = {
    MODEL_ROWS,
    {OPTION_TEXT, "data", AT(data), "SPEC", "Images, named as for train", 0, 0, false},
    {OPTION_INT, "first", AT(first), "I", "Number of the first one (0)", 0, 1e12, false},
    {OPTION_INT, "n", AT(n), "N", "How many (16, or all there are)", 1, 1e4, false},
    RESULT_ROWS,
    HOW_ROWS,
};

static const option_row decode_rows[] = {
    MODEL_ROWS,
    {OPTION_TEXT, "image", AT(image), "NOISE.npy", "What encode has made, with as many --steps", 0,
     0, false},
    GUIDANCE_ROW,
    RESULT_ROWS,
    HOW_ROWS,
};

typedef struct job {
    edit_options o;
    trained net;
    ito_tensor *images;  /* that it starts from, [N, C, H, W] as the network takes them */
    ito_tensor *given;   /* inpaint: bool, where the image stays */
    ito_tensor *result;  /* [n, C, H, W], for --npy */
    ito_tensor *picture; /* encode: for --out, where others show the result */
    ito_tensor *error;   /* encode: [n] of the round trip */
    batches batches;
} job;

/* ---- images ---- */

/* All of --data, of the network's size. */
static ito_tensor *all_data(job *j)
{
    const ito_unet_config *c = &j->net.files.settings.model;
    ito_tensor *all = data_load(
        (data_options){.spec = j->o.data, .size = c->height, .grey = c->in_channels == 1});
    return all == NULL || !model_fits(&j->net.files, all, j->o.data) ? NULL : all;
}

/* Images first .. first + n - 1 of those, as the network takes them. */
static ito_tensor *some_of(const job *j, ito_tensor *all, int64_t first, int64_t n,
                           const char *option)
{
    if (all == NULL)
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
        x = ito_unsqueeze(ito_image_load(path, (int)j->net.files.settings.model.in_channels), 0);
    return x == NULL || !model_fits(&j->net.files, x, path) ? NULL : x;
}

/* ---- the commands: what each starts from, and a batch of its work ---- */

static ito_ddpm_sample_options how(job *j, int64_t first)
{
    return (ito_ddpm_sample_options){.steps = j->o.steps,
                                     .seed = (uint64_t)j->o.seed,
                                     .first_image = first,
                                     .progress = batches_progress,
                                     .progress_context = &j->batches};
}

/* Limits of x_0-hat would spoil the way back. */
static ito_ddpm_sample_options both_ways(job *j)
{
    ito_ddpm_sample_options options = how(j, 0);
    options.sampler = &ito_ddpm_ddim;
    options.no_clip = true;
    return options;
}

/* Images first .. of the result. */
static bool put(job *j, int64_t first, ito_tensor *x)
{
    return images_put(j->result, first, x, j->net.files.weights, first);
}

static bool read_two(job *j)
{
    edit_options *o = &j->o;
    int64_t T = j->net.diffusion->schedule->steps;
    o->t = o->t != 0 ? o->t : T / 2;
    if (o->t >= T) {
        ito_error_set(ITO_ERR_RANGE,
                      "--t: %" PRId64 " is no step of the diffusion, which ends at %" PRId64, o->t,
                      T - 1);
        return false;
    }
    ito_tensor *all = all_data(j), *a = some_of(j, all, o->first, 1, "--first");
    ito_tensor *b = a != NULL ? some_of(j, all, o->second, 1, "--second") : NULL;
    j->images = b != NULL ? ito_cat((ito_tensor *[]){a, b}, 2, 0) : NULL;
    return j->images != NULL;
}

/* All mixtures have the same noise: that of image 0. */
static bool interpolate(int64_t first, int64_t n, void *context)
{
    job *j = context;
    ito_ddpm_conditioned network = trained_network(&j->net, first, n);
    ito_tensor *x = ito_ddpm_interpolate_with(
        j->net.diffusion, ito_ddpm_conditioned_network, &network, ito_narrow(j->images, 0, 0, 1),
        ito_narrow(j->images, 0, 1, 1),
        ito_narrow(ito_linspace(0, 1, j->o.n, ITO_F32), 0, first, n), j->o.t, how(j, 0));
    ito_ddpm_conditioned_end(&network);
    return put(j, first, x);
}

static bool read_masked(job *j)
{
    const edit_options *o = &j->o;
    ito_tensor *image = from_file(j, o->image, false);
    ito_tensor *mask = image != NULL ? from_file(j, o->mask, true) : NULL;
    if (mask == NULL)
        return false;
    if (ito_size(image, 0) != 1 || ito_size(mask, 0) != 1) {
        ito_error_set(ITO_ERR_SHAPE,
                      "%s and %s: one image and one mask are needed, not %" PRId64 " and %" PRId64,
                      o->image, o->mask, ito_size(image, 0), ito_size(mask, 0));
        return false;
    }
    double least = ends_with(o->mask, ".npy") ? 0.0 : 127.0;
    j->images = data_scaled(image);
    mask = ito_cast(mask, ITO_F32);
    j->given = mask == NULL ? NULL : ito_gt(mask, ito_full_like(mask, least));
    return j->images != NULL && j->given != NULL;
}

/* The one image, n times. */
static ito_tensor *copies(const job *j, int64_t n)
{
    const ito_unet_config *c = &j->net.files.settings.model;
    return ito_contiguous(ito_expand(j->images, n, c->in_channels, c->height, c->width));
}

static bool inpaint(int64_t first, int64_t n, void *context)
{
    job *j = context;
    ito_ddpm_conditioned network = trained_network(&j->net, first, n);
    ito_tensor *x = ito_ddpm_inpaint_with(
        j->net.diffusion, ito_ddpm_conditioned_network, &network, copies(j, n), j->given,
        (ito_ddpm_resampling){.jump = j->o.jump, .repeats = j->o.repeats}, how(j, first));
    ito_ddpm_conditioned_end(&network);
    return put(j, first, x);
}

static bool read_one(job *j)
{
    ito_tensor *image = from_file(j, j->o.image, false);
    if (image != NULL && ito_size(image, 0) != 1) {
        ito_error_set(ITO_ERR_SHAPE, "%s: one image is needed, not %" PRId64, j->o.image,
                      ito_size(image, 0));
        return false;
    }
    j->images = data_scaled(image);
    return j->images != NULL;
}

static bool change(int64_t first, int64_t n, void *context)
{
    job *j = context;
    ito_ddpm_conditioned network = trained_network(&j->net, first, n);
    ito_tensor *x = ito_ddpm_edit_with(j->net.diffusion, ito_ddpm_conditioned_network, &network,
                                       copies(j, n), j->o.strength, how(j, first));
    ito_ddpm_conditioned_end(&network);
    return put(j, first, x);
}

static bool read_some(job *j)
{
    ito_tensor *all = all_data(j);
    int64_t left = all != NULL ? ito_size(all, 0) - j->o.first : 0;
    if (j->o.n == 0)
        j->o.n = left < 16 ? left : 16;
    j->images = left < 1 ? some_of(j, all, j->o.first, 1, "--first")
                         : some_of(j, all, j->o.first, j->o.n, "--n");
    j->picture = ito_empty_like(j->images);
    j->error = ito_empty(ITO_SHAPE(j->o.n), ITO_F32);
    return j->picture != NULL && j->error != NULL;
}

static bool encode(int64_t first, int64_t n, void *context)
{
    job *j = context;
    ito_ddpm_round_trip r;
    ito_ddpm_conditioned network = trained_network(&j->net, first, n);
    bool good =
        ito_ddpm_round_trip_with(j->net.diffusion, ito_ddpm_conditioned_network, &network,
                                 ito_narrow(j->images, 0, first, n), both_ways(j), &r) == ITO_OK;
    ito_ddpm_conditioned_end(&network);
    return good && put(j, first, r.noise) &&
           images_put(j->picture, first, r.image, j->net.files.weights, first) &&
           ito_copy_(ito_narrow(j->error, 0, first, n), r.error) != NULL;
}

static bool read_noise(job *j)
{
    j->images = data_scaled(from_file(j, j->o.image, true));
    j->o.n = j->images != NULL ? ito_size(j->images, 0) : 0;
    return j->images != NULL;
}

static bool decode(int64_t first, int64_t n, void *context)
{
    job *j = context;
    ito_ddpm_conditioned network = trained_network(&j->net, first, n);
    ito_tensor *x =
        ito_ddpm_sample_from_with(j->net.diffusion, ito_ddpm_conditioned_network, &network,
                                  ito_narrow(j->images, 0, first, n), both_ways(j));
    ito_ddpm_conditioned_end(&network);
    return put(j, first, x);
}

typedef struct edit_command {
    const char *name, *doc;
    const option_row *rows;
    const char *needs[2]; /* options that must be given */
    edit_options usual;
    int64_t steps;         /* usual ones */
    const char *result[2]; /* its word, for one and for several */
    int64_t walks;         /* through the steps */
    bool (*read)(job *j);
    bool (*run)(int64_t first, int64_t n, void *job);
} edit_command;

static const edit_command interpolation = {
    "interpolate",
    "Images between two images (Ho, Jain, Abbeel 2020, section 4.3): both are noised to step --t, "
    "mixed there and brought back.\v"
    "  ito-ddpm interpolate --model run --data fashion-mnist --first 3 --second 8 --out grid.png",
    interpolate_rows,
    {"data", NULL},
    {.n = 9, .second = 1},
    250,
    {"image", "images"},
    1,
    read_two,
    interpolate};
static const edit_command inpainting = {
    "inpaint",
    "Complete an image where a mask is black (RePaint, Lugmayr et al. 2022).\v"
    "  ito-ddpm inpaint --model run --image boot.png --mask mask.png --out grid.png",
    inpaint_rows,
    {"image", "mask"},
    {.n = 4, .jump = 10, .repeats = 5},
    250,
    {"image", "images"},
    1,
    read_masked,
    inpaint};
static const edit_command changing = {
    "edit",
    "Change an image: it is noised part of the way and made anew from there (SDEdit, Meng et al. "
    "2021).\v"
    "  ito-ddpm edit --model run --image shoe.png --strength 0.6 --class boot --out grid.png",
    change_rows,
    {"image", NULL},
    {.n = 4, .strength = 0.5},
    250,
    {"image", "images"},
    1,
    read_one,
    change};
static const edit_command encoding = {
    "encode",
    "The noise that images come from by DDIM, and how well they come back from it.\v"
    "  ito-ddpm encode --model run --data fashion-mnist --n 16 --npy noise.npy --out back.png\n\n"
    "--npy is the noise, --out shows what it decodes to; round_trip_error is the root of the mean "
    "squared difference to the images, whose values are -1 to 1.",
    encode_rows,
    {"data", NULL},
    {.n = 0},
    50,
    {"noise", "noises"},
    2,
    read_some,
    encode};
static const edit_command decoding = {
    "decode",
    "Images from noise that ito-ddpm encode has made.\v"
    "  ito-ddpm decode --model run --image noise.npy --out grid.png",
    decode_rows,
    {"image", NULL},
    {.n = 0},
    50,
    {"image", "images"},
    1,
    read_noise,
    decode};

/* ---- around them ---- */

static void parse(const edit_command *e, edit_options *o, int argc, char **argv)
{
    command_line c = {.command = e->name, .doc = e->doc, .options = e->rows, .values = o};
    *o = e->usual;
    o->weights = "ema";
    o->precision = "f32";
    o->batch = 16;
    o->guidance = 1.0;
    options_parse(&c, argc, argv);
    refuse_lone_guidance(&c, o->class);
    if (o->model == NULL)
        options_refuse(&c, "--model is missing: the network to use");
    for (int i = 0; i < 2 && e->needs[i] != NULL; i++)
        if (!options_given(&c, e->needs[i]))
            options_refuse(&c, "--%s is missing", e->needs[i]);
    data_refuse_invalid(&c, o->data);
    if (o->out == NULL && o->npy == NULL)
        options_refuse(&c, "--out or --npy is missing: where the result goes");
}

static bool prepare(job *j, const edit_command *e)
{
    edit_options *o = &j->o;
    return (o->threads == 0 || ito_set_threads((int)o->threads) == ITO_OK) &&
           paths_can_write(o->out, o->npy, NULL) &&
           trained_open(&j->net, (trained_options){.command = e->name,
                                                   .model = o->model,
                                                   .weights = o->weights,
                                                   .precision = o->precision,
                                                   .class = o->class,
                                                   .guidance = o->guidance}) &&
           trained_steps(&j->net, e->steps, &o->steps);
}

static bool run_all(job *j, const edit_command *e)
{
    const ito_unet_config *c = &j->net.files.settings.model;
    j->result = ito_empty(ITO_SHAPE(j->o.n, c->in_channels, c->height, c->width), ITO_F32);
    j->batches = (batches){.what = "step",
                           .n = j->o.n,
                           .size = j->o.batch,
                           .walks = e->walks,
                           .run = e->run,
                           .context = j};
    return j->result != NULL && batches_run(&j->batches);
}

static bool write_result(job *j)
{
    const edit_options *o = &j->o;
    ito_tensor *shown = j->picture != NULL ? j->picture : j->result;
    double columns = ceil(sqrt((double)o->n));
    if (o->npy != NULL && ito_npy_save(o->npy, j->result) != ITO_OK)
        return false;
    ito_tensor *grid = o->out != NULL ? ito_image_grid(shown, (int64_t)columns, 2) : NULL;
    return o->out == NULL || (grid != NULL && ito_png_save(o->out, grid) == ITO_OK);
}

static cJSON *describe(const job *j, double seconds)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "weights", j->net.files.weights);
    cJSON_AddNumberToObject(root, "step", (double)j->net.files.step);
    cJSON_AddNumberToObject(root, "images", (double)j->o.n);
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
    job j = {.result = NULL};
    parse(e, &j.o, argc, argv);
    double started = progress_clock();
    ito_scope_begin();
    bool good = prepare(&j, e) && e->read(&j) && run_all(&j, e) && write_result(&j);
    if (good) {
        say_where(j.o.n, e->result[0], e->result[1], j.o.npy);
        say_where(j.o.n, "image", "images", j.o.out);
    }
    int code = good ? eval_report(e->name, describe(&j, progress_clock() - started), j.o.json)
                    : options_report(e->name);
    trained_close(&j.net);
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

int command_edit(int argc, char **argv)
{
    return run(&changing, argc, argv);
}

int command_encode(int argc, char **argv)
{
    return run(&encoding, argc, argv);
}

int command_decode(int argc, char **argv)
{
    return run(&decoding, argc, argv);
}
