/* What `ito-ddpm train` can be told.
 * Invariant: after parsing every value is set, by the command line, the run or the preset. */
#include "examples/ddpm/train_options.h"

#include "examples/ddpm/data.h"
#include "examples/ddpm/model_files.h"
#include "examples/ddpm/run_directory.h"
#include "tensor/runtime.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(train_options, field)

static const option_row rows[] = {
    {OPTION_GROUP, NULL, 0, NULL, "Data and directory", 0, 0, false},
    {OPTION_TEXT, "data", AT(data), "SPEC",
     "What to learn: fashion-mnist, mnist:DIR, cifar10:DIR, folder:DIR or npy:FILE", 0, 0, true},
    {OPTION_TEXT, "out", AT(out), "RUN", "Directory of the run; made, and empty unless --resume", 0,
     0, false},
    {OPTION_FLAG, "resume", AT(resume), NULL,
     "Go on with the run in --out from its last checkpoint, with its own settings", 0, 0, false},
    {OPTION_INT, "size", AT(size), "PIXELS",
     "folder: side of the squares that images are resized and cut to (32; lsun256: 256)", 1, 8192,
     true},
    {OPTION_FLAG, "grey", AT(grey), NULL, "folder: convert images to grey", 0, 0, true},
    {OPTION_CHOICE, "flip", AT(flip), "yes|no",
     "Mirror half of the images left to right (yes; no for mnist)", 0, 0, true},

    {OPTION_GROUP, NULL, 0, NULL, "Length and what is written", 0, 0, false},
    {OPTION_INT, "steps", AT(steps), "N", "Steps in all (small 3500, else 800000)", 1, 1e12, false},
    {OPTION_REAL, "minutes", AT(minutes), "M",
     "Instead of --steps: as many as this machine does in about M minutes, by a short trial",
     ABOVE_0, 1e6, false},
    {OPTION_INT, "stop-at", AT(stop_at), "N",
     "Write a checkpoint after step N and leave, to be resumed later", 1, 1e12, false},
    {OPTION_INT, "checkpoint-every", AT(checkpoint_every), "N", "Steps between checkpoints (1000)",
     1, 1e12, false},
    {OPTION_INT, "keep", AT(keep), "N", "How many checkpoints stay (2)", 2, 1e6, false},
    {OPTION_INT, "sample-every", AT(sample_every), "N",
     "Steps between grids of samples; 0: none (500; cifar10, lsun256: 5000)", 0, 1e12, false},
    {OPTION_INT, "sample-count", AT(sample_count), "N", "Images in such a grid (16)", 1, 10000,
     false},
    {OPTION_INT, "sample-steps", AT(sample_steps), "N", "Steps each of them takes (100)", 1, 1e6,
     false},
    {OPTION_INT, "log-every", AT(log_every), "N", "Steps between lines of log.jsonl (1)", 1, 1e12,
     false},
    {OPTION_FLAG, "tensorboard", AT(tensorboard), NULL,
     "Write the log for TensorBoard too, into tensorboard/", 0, 0, false},
    {OPTION_FLAG, "json", AT(json), NULL, "Print one JSON object on stdout at the end", 0, 0,
     false},

    {OPTION_GROUP, NULL, 0, NULL, "Network", 0, 0, false},
    {OPTION_CHOICE, "preset", AT(preset), "small|cifar10|lsun256",
     "Network and recipe; all other settings default to it (small)", 0, 0, true},
    {OPTION_INT, "channels", AT(channels), "N", "Width of the first level", 4, 8192, true},
    {OPTION_TEXT, "multipliers", AT(multipliers), "LIST", "Width of each level over it: 1,2,2", 0,
     0, true},
    {OPTION_TEXT, "attention", AT(attention), "LIST",
     "Heights at which there is attention: 7 or 16,8; none: in the middle only", 0, 0, true},
    {OPTION_INT, "blocks", AT(blocks), "N", "Residual blocks a level", 1, 16, true},
    {OPTION_REAL, "dropout", AT(dropout), "P", "Dropout in the residual blocks", 0, 0.999, true},
    {OPTION_FLAG, "conditional", AT(conditional), NULL,
     "Tell the network each image's class, so that samples can be asked for by class", 0, 0, true},
    {OPTION_REAL, "label-dropout", AT(label_dropout), "P",
     "conditional: part of the images whose class is left out, which guidance needs (0.1)", 0, 1,
     true},
    {OPTION_FLAG, "self-conditioning", AT(self_conditioning), NULL,
     "Show the network its own last guess of the clean image (Chen et al. 2022); steps take a "
     "sixth more time",
     0, 0, true},
    {OPTION_CHOICE, "precision", AT(precision), PRECISIONS,
     "Activations and their gradients; weights and the optimiser stay f32 (f32)", 0, 0, true},
    {OPTION_FLAG, "recompute", AT(recompute), NULL,
     "Compute blocks again in backward: less memory, more time, the same result", 0, 0, true},

    {OPTION_GROUP, NULL, 0, NULL, "Diffusion", 0, 0, false},
    {OPTION_CHOICE, "schedule", AT(schedule), SCHEDULES,
     "Noise schedule (small: cosine, else linear)", 0, 0, true},
    {OPTION_REAL, "beta-start", AT(beta_start), "X",
     "First beta of the schedules that have a range of them (0.0001)", ABOVE_0, 1, true},
    {OPTION_REAL, "beta-end", AT(beta_end), "X", "Last one (0.02)", ABOVE_0, 1, true},
    {OPTION_FLAG, "zero-terminal-snr", AT(zero_terminal_snr), NULL,
     "Change the schedule so that nothing of the image is left at its last step", 0, 0, true},
    {OPTION_INT, "diffusion-steps", AT(diffusion_steps), "T", "Steps of the process (1000)", 1, 1e6,
     true},
    {OPTION_CHOICE, "prediction", AT(prediction), "eps|x_0|x_prev|v|score|edm|flow",
     "What the network's output stands for (eps)", 0, 0, true},
    {OPTION_CHOICE, "variance", AT(variance), "fixedsmall|fixedlarge|learned|learned_range",
     "Variance of a reverse step (small: fixedsmall, else fixedlarge)", 0, 0, true},
    {OPTION_CHOICE, "loss", AT(loss), "simple|vlb|rescaled|hybrid",
     "The squared error, the bound, that times T, or both (simple; learned variances: hybrid)", 0,
     0, true},
    {OPTION_CHOICE, "weighting", AT(weighting), "simple|bound|min_snr|p2|edm",
     "What the squared error counts at each step (simple)", 0, 0, true},
    {OPTION_REAL, "gamma", AT(gamma), "X", "weighting min_snr, p2: their gamma (5; 1)", ABOVE_0,
     1e6, true},
    {OPTION_REAL, "k", AT(k), "X", "weighting p2: its k (1)", ABOVE_0, 1e6, true},
    {OPTION_REAL, "sigma-data", AT(sigma_data), "X",
     "prediction, weighting edm: standard deviation of the images (0.5)", ABOVE_0, 1e6, true},
    {OPTION_CHOICE, "step-sampling", AT(step_sampling), "uniform|stratified|second-moment",
     "Which steps a batch is noised to: any, spread evenly, or more of those with great losses "
     "(uniform)",
     0, 0, true},

    {OPTION_GROUP, NULL, 0, NULL, "Optimiser", 0, 0, false},
    {OPTION_INT, "batch", AT(batch), "N", "Images a step (small 32, cifar10 128, lsun256 64)", 1,
     1e6, true},
    {OPTION_REAL, "lr", AT(lr), "X", "Adam's learning rate (1e-3, 2e-4, 2e-5)", ABOVE_0, 1e30,
     true},
    {OPTION_INT, "warmup", AT(warmup), "N", "Steps in which it rises to that (100; else 5000)", 0,
     1e12, true},
    {OPTION_CHOICE, "decay", AT(decay), "cosine|constant",
     "What it does then: fall to 0 at --steps, or stay (small: cosine, else constant)", 0, 0, true},
    {OPTION_REAL, "clip", AT(clip), "X", "Largest norm of the gradient; 0: any (1)", 0, 1e12, true},
    {OPTION_REAL, "ema", AT(ema), "X",
     "Decay of the averaged weights, warmed up as (1+n)/(10+n) (small .999, else .9999)", 0,
     0.9999999, true},

    {OPTION_GROUP, NULL, 0, NULL, "Machine", 0, 0, false},
    {OPTION_INT, "seed", AT(seed), "S", "Decides all random numbers (0)", 0, LARGEST_INT, true},
    {OPTION_INT, "threads", AT(threads), "N",
     "Threads; results do not depend on it (all processors)", 1, 1024, false},
    {OPTION_END, NULL, 0, NULL, NULL, 0, 0, false},
};

static const char doc[] =
    "Train a DDPM (Ho, Jain, Abbeel 2020) and leave everything in a run directory: config.json, "
    "log.jsonl, samples/step-N.png, checkpoints/step-N."
    "\v"
    "Examples:\n"
    "  ito-ddpm train --data fashion-mnist --out run\n"
    "  ito-ddpm train --data cifar10:cifar-10-batches-bin --preset cifar10 --out run\n"
    "  ito-ddpm train --data folder:photos --size 64 --preset cifar10 --batch 32 --out run\n"
    "  ito-ddpm train --out run --resume\n\n"
    "Ctrl-C (SIGINT), SIGTERM and SIGHUP end the current step, write a checkpoint and leave with "
    "128 + the signal's number; --resume goes on as if nothing had happened, to the bit. A second "
    "signal ends at once.\n"
    "A step whose loss or gradient is not finite is not applied; after 5 in a row training stops, "
    "and the last good checkpoint stays.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 128 + n stopped by signal n.";

static void *value_at(const train_options *o, int row)
{
    return (char *)o + rows[row].offset;
}

static void copy_value(train_options *to, const train_options *from, int row)
{
    memcpy(value_at(to, row), value_at(from, row),
           rows[row].kind == OPTION_FLAG ? sizeof(bool) : 8);
}

/* ---- what a preset means ---- */

/* Set what was not given, by row. */
static void set_defaults(train_options *o, const bool *given)
{
    bool small = strcmp(o->preset, "small") == 0, large = strcmp(o->preset, "lsun256") == 0;
    bool learned = o->variance != NULL && strncmp(o->variance, "learned", 7) == 0;
    train_options d = {
        .size = large ? 256 : 32,
        .flip = o->data == NULL || data_flips(o->data) ? "yes" : "no",
        .steps = small ? 3500 : 800000,
        .checkpoint_every = 1000,
        .keep = 2,
        .sample_every = small ? 500 : 5000,
        .sample_count = 16,
        .sample_steps = 100,
        .log_every = 1,
        .dropout = -1.0, /* that of the preset's network */
        .label_dropout = 0.1,
        .precision = "f32",
        .schedule = small ? "cosine" : "linear",
        .prediction = "eps",
        .variance = small ? "fixedsmall" : "fixedlarge",
        .loss = learned ? "hybrid" : "simple",
        .weighting = "simple",
        .step_sampling = "uniform",
        .diffusion_steps = 1000,
        .batch = small   ? 32
                 : large ? 64
                         : 128,
        .lr = small   ? 1e-3
              : large ? 2e-5
                      : 2e-4,
        .warmup = small ? 100 : 5000,
        .decay = small ? "cosine" : "constant",
        .clip = 1.0,
        .ema = small ? 0.999 : 0.9999,
        .preset = o->preset,
    };
    for (int i = 0; rows[i].kind != OPTION_END; i++) {
        if (!given[i] && rows[i].kind != OPTION_GROUP)
            copy_value(o, &d, i);
    }
}

/* ---- config.json ---- */

/* What has no part in a new run that is otherwise like this. */
static void refuse_idle(const train_options *o, const command_line *c)
{
    if (!data_is_folder(o->data))
        options_refuse_given(c, "size|grey", "it is for folder:DIR, whose images it changes");
    if (!o->conditional)
        options_refuse_given(c, "label-dropout", "it takes --conditional, which has labels");
    if (o->sample_every == 0)
        options_refuse_given(c, "sample-count|sample-steps", "--sample-every 0 draws no samples");
}

/* Whether the option belongs to one call of the program and not to the run. */
static bool of_invocation(const char *name)
{
    static const char *const names[] = {"out", "resume", "json", "minutes", "stop-at", "threads"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* Whether the option is left to the preset, the weighting or the schedule when it is not given; 0,
 * or -1 for dropout, says so. */
static bool of_preset(const char *name)
{
    static const char *const names[] = {"channels",   "multipliers", "attention", "blocks",
                                        "dropout",    "gamma",       "k",         "sigma-data",
                                        "beta-start", "beta-end"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static bool put_option(cJSON *options, const train_options *o, int row)
{
    const void *value = value_at(o, row);
    const char *text, *name = rows[row].name;
    double number;
    if (rows[row].kind == OPTION_FLAG)
        return cJSON_AddBoolToObject(options, name, *(const bool *)value) != NULL;
    if (rows[row].kind == OPTION_TEXT || rows[row].kind == OPTION_CHOICE) {
        text = *(const char *const *)value;
        return text == NULL || cJSON_AddStringToObject(options, name, text) != NULL;
    }
    number =
        rows[row].kind == OPTION_INT ? (double)*(const int64_t *)value : *(const double *)value;
    if (of_preset(name) && number < rows[row].low)
        return true;
    return cJSON_AddNumberToObject(options, name, number) != NULL;
}

/* The options that belong to the run, as a member of root. */
static bool put_options(cJSON *root, const train_options *o)
{
    cJSON *options = cJSON_AddObjectToObject(root, "options");
    bool good = options != NULL;
    for (int i = 0; good && rows[i].kind != OPTION_END; i++)
        if (rows[i].kind != OPTION_GROUP && !of_invocation(rows[i].name))
            good = put_option(options, o, i);
    return good;
}

/* root as text, if it is complete; root is deleted. */
static char *print_config(cJSON *root, bool complete)
{
    char *text = complete ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    if (text == NULL)
        ito_error_set(ITO_ERR_MEMORY, "config.json: no memory for its text");
    return text;
}

char *train_options_format(const train_options *o, const ito_ddpm_settings *settings,
                           int64_t images)
{
    char *text = ito_ddpm_settings_format(settings);
    cJSON *root = text != NULL ? cJSON_Parse(text) : NULL;
    free(text);
    bool good = put_options(root, o) &&
                cJSON_AddStringToObject(root, "version", ito_version()) != NULL &&
                cJSON_AddStringToObject(root, "isa", ito_isa()) != NULL &&
                cJSON_AddNumberToObject(root, "images", (double)images) != NULL;
    return print_config(root, good);
}

char *train_options_update(const train_options *o, const cJSON *config)
{
    cJSON *root = cJSON_Duplicate(config, true); /* o points into the options of the old one */
    cJSON_DeleteItemFromObjectCaseSensitive(root, "options");
    return print_config(root, put_options(root, o));
}

/* Store what the run says of the row; false if it cannot be used. */
static bool get_option(const cJSON *item, train_options *o, int row)
{
    const option_row *r = &rows[row];
    void *value = value_at(o, row);
    if (r->kind == OPTION_FLAG) {
        *(bool *)value = cJSON_IsTrue(item);
        return cJSON_IsBool(item);
    }
    if (r->kind == OPTION_TEXT || r->kind == OPTION_CHOICE) {
        *(const char **)value = item->valuestring;
        return cJSON_IsString(item) &&
               (r->kind == OPTION_TEXT || options_has_word(r->metavar, item->valuestring));
    }
    double number = item->valuedouble;
    if (!cJSON_IsNumber(item) || !(number >= r->low && number <= r->high) ||
        (r->kind == OPTION_INT && floor(number) != number))
        return false;
    if (r->kind == OPTION_INT)
        *(int64_t *)value = (int64_t)number;
    else
        *(double *)value = number;
    return true;
}

static bool same_value(const train_options *a, const train_options *b, int row)
{
    if (rows[row].kind == OPTION_FLAG)
        return *(bool *)value_at(a, row) == *(bool *)value_at(b, row);
    if (rows[row].kind == OPTION_INT || rows[row].kind == OPTION_REAL)
        return memcmp(value_at(a, row), value_at(b, row), 8) == 0;
    const char *x = *(const char **)value_at(a, row), *y = *(const char **)value_at(b, row);
    return x == y || (x != NULL && y != NULL && strcmp(x, y) == 0);
}

static _Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static _Noreturn void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "ito-ddpm train: ");
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

/* The options of a run. One that is missing has its default: runs that were begun before there was
 * such a choice go on. */
static train_options stored_options(const char *dir, const cJSON *options)
{
    train_options stored = {.preset = "small"};
    bool there[MAX_OPTIONS] = {false};
    for (int i = 0; rows[i].kind != OPTION_END; i++) {
        if (rows[i].kind == OPTION_GROUP || of_invocation(rows[i].name))
            continue;
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(options, rows[i].name);
        there[i] = item != NULL;
        if (item != NULL && !get_option(item, &stored, i))
            fail("%s/config.json: the option \"%s\" is not what it may be", dir, rows[i].name);
    }
    if (stored.data == NULL)
        fail("%s/config.json: the option \"data\" is missing", dir);
    if (!data_spec_valid(stored.data))
        fail("%s/config.json: the data \"%s\" is of no kind there is", dir, stored.data);
    set_defaults(&stored, there);
    return stored;
}

/* Take from the run what the command line does not say, and refuse what it says differently. */
static void take_from_run(train_options *o, const command_line *c, const cJSON *config)
{
    train_options stored =
        stored_options(o->out, cJSON_GetObjectItemCaseSensitive(config, "options"));
    for (int i = 0; rows[i].kind != OPTION_END; i++) {
        if (rows[i].kind == OPTION_GROUP || of_invocation(rows[i].name))
            continue;
        if (c->given[i] && rows[i].fixed && !same_value(o, &stored, i))
            options_refuse(c,
                           "--%s: it differs from that of the run in %s, which goes on with its "
                           "own settings",
                           rows[i].name, o->out);
        if (!c->given[i])
            copy_value(o, &stored, i);
    }
}

void train_options_parse(train_options *o, int argc, char **argv, cJSON **config)
{
    command_line c = {.command = "train", .doc = doc, .options = rows, .values = o};
    *o = (train_options){.preset = "small"};
    *config = NULL;
    options_parse(&c, argc, argv);
    if (o->out == NULL)
        options_refuse(&c, "--out is missing: the directory of the run");
    if (o->data == NULL && !o->resume)
        options_refuse(&c, "--data is missing: what to learn");
    data_refuse_invalid(&c, o->data);
    if (o->minutes > 0.0 && (o->resume || options_given(&c, "steps")))
        options_refuse(&c, "--minutes: how long the run is, %s says already",
                       o->resume ? "the run itself" : "--steps");
    if (o->resume) {
        *config = run_config(o->out);
        if (*config == NULL)
            fail("%s", ito_error_message());
        take_from_run(o, &c, *config);
    } else {
        set_defaults(o, c.given);
        refuse_idle(o, &c);
    }
    if (o->sample_steps > o->diffusion_steps) {
        if (options_given(&c, "sample-steps"))
            options_refuse(
                &c, "--sample-steps: %" PRId64 " is more than the %" PRId64 " of the diffusion",
                o->sample_steps, o->diffusion_steps);
        o->sample_steps = o->diffusion_steps;
    }
}
