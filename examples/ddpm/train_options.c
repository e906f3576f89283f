/* The options of `ito-ddpm train`. Invariant: after parsing every value is set, by the command
 * line, the run, the recipe, the preset or the table, except those without a default. */
#include "examples/ddpm/train_options.h"

#include "examples/common/ranks.h"
#include "examples/common/settings.h"
#include "examples/ddpm/begin.h"
#include "examples/ddpm/data.h"
#include "examples/ddpm/data_identity.h"
#include "examples/ddpm/guidance.h"
#include "examples/ddpm/model_files.h"
#include "examples/ddpm/presets.h"
#include "examples/ddpm/recipes.h"
#include "examples/ddpm/resume.h"
#include "examples/ddpm/train_config.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(train_options, field)

/* clang-format off */
const option_row train_rows[] = {
#define GROUP(title) {.type = OPTION_GROUP, .help = title},
#define NUMBER(kind, option, field, word, least, most, usual, of, text, ...)                       \
    {.type = kind, .name = option, .offset = AT(field), .metavar = word, .low = least,             \
     .high = most, .initial = usual, .scope = OPTION_##of, .help = text, __VA_ARGS__},
#define CHOICE(option, field, word, usual, of, text, ...)                                          \
    {.type = OPTION_CHOICE, .name = option, .offset = AT(field), .metavar = word,                  \
     .initial = usual, .scope = OPTION_##of, .help = text, __VA_ARGS__},
#define FLAG(option, field, of, text, ...)                                                         \
    {.type = OPTION_FLAG, .name = option, .offset = AT(field), .scope = OPTION_##of, .help = text, \
     __VA_ARGS__},
#define INT(...) NUMBER(OPTION_INT, __VA_ARGS__)
#define REAL(...) NUMBER(OPTION_REAL, __VA_ARGS__)
#define TEXT(option, field, word, usual, of, text, ...)                                            \
    {.type = OPTION_TEXT, .name = option, .offset = AT(field), .metavar = word, .initial = usual,  \
     .scope = OPTION_##of, .help = text, __VA_ARGS__},
#define WORDS(option, field, all, usual, of, text, ...)                                            \
    CHOICE(option, field, NULL, usual, of, text, .choices = {.words = all}, __VA_ARGS__)
#define KIND(option, field, what, usual, of, text, ...)                                            \
    CHOICE(option, field, NULL, usual, of, text,                                                   \
           .choices = {.kind = what, .list = ito_choices}, __VA_ARGS__)
#define LIST(option, field, word, list, usual, of, text, ...)                                      \
    CHOICE(option, field, word, usual, of, text, .choices = {.own = list}, __VA_ARGS__)
#include "examples/ddpm/train_options.def"
    END_ROW,
};
/* clang-format on */

static const char doc[] =
    "Train a DDPM (Ho, Jain, Abbeel 2020) and leave everything in a run directory: config.json, "
    "log.jsonl, samples/step-N.png, checkpoints/step-N."
    "\v"
    "Examples:\n"
    "  ito-ddpm train --data fashion-mnist --out run\n"
    "  ito-ddpm train --data fashion-mnist --recipe edm --sigma-data 0.35 --out run\n"
    "  ito-ddpm train --data cifar10:cifar-10-batches-bin --preset cifar10 --out run\n"
    "  ito-ddpm train --data folder:photos --size 64 --preset cifar10 --batch 32 --out run\n"
    "  ito-ddpm train --out run --resume\n"
    "  ito-ddpm train --config run --lr 5e-4 --out other\n"
    "  ito-ddpm train --model ddpm-cat-256 --data folder:my-cats --size 256 --lr 1e-5 --out "
    "cats\n\n"
    "Ctrl-C (SIGINT), SIGTERM and SIGHUP end the current step, write a checkpoint and leave with "
    "128 + the signal's number; --resume goes on as if nothing had happened, to the bit. A second "
    "signal ends at once.\n"
    "A step whose loss or gradient is not finite is not applied; after 5 in a row training stops, "
    "and the last good checkpoint stays.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 128 + n stopped by signal n.";

void train_options_set_defaults(train_options *o, const bool *given, const ito_recipe *recipe)
{
    recipe_preset with_recipe;
    const option_preset *preset = preset_find(o->preset);
    if (recipe != NULL)
        preset = recipe_preset_make(&with_recipe, recipe, preset, o, given);
    options_set_defaults(train_rows, o, given, preset);
    if (o->flip == NULL)
        o->flip = o->data == NULL || data_mirrors(o->data) ? "yes" : "no";
    if (o->diffusion_steps == UNSET_INT)
        o->diffusion_steps = ito_schedule_find(o->schedule)->level != NULL ? 0 : 1000;
    if (o->loss == NULL)
        o->loss = ito_variance_find(o->variance)->learned ? "hybrid" : "simple";
    if (isnan(o->lr))
        o->lr = ito_optimizer_find(o->optimizer)->lr;
    if (o->decay == NULL)
        o->decay = strncmp(o->optimizer, "schedule_free", 13) == 0 ? "constant" : "cosine";
}

/* Refuse options that the other options make useless. */
static void refuse_idle(const train_options *o, const command_line *c)
{
    if (!data_resizes(o->data))
        options_refuse_given(c, "size|grey", "it is for folder:DIR, whose images it changes");
    data_check_skip_bad(c, o->data);
    if (!o->conditional)
        options_refuse_given(c, "label-dropout|guidance|guidance-interval",
                             "it takes --conditional, which has labels");
    if (o->label_dropout == 0.0)
        options_refuse_given(c, "guidance",
                             "it takes images without a class, and --label-dropout 0 trains none");
    if (options_given(c, "ema"))
        options_refuse_given(c, "ema-sigma-rel", "--ema says how long averages are already");
    if (strncmp(o->optimizer, "adam", 4) != 0)
        options_refuse_given(c, "beta1|beta2|weight-decay", "it is for --optimizer adam and adamw");
    if (o->sample_every == 0)
        options_refuse_given(c, "sample-count|sample-steps", "--sample-every 0 draws no samples");
}

/* Limit steps of sampling to those there are; more are refused where they were given. */
static void limit_steps(train_options *o, const command_line *c)
{
    const struct {
        const char *name;
        int64_t *steps;
    } limited[] = {{"sampling-steps", &o->sampling_steps}, {"sample-steps", &o->sample_steps}};
    for (int i = 0; i < 2 && o->diffusion_steps > 0; i++) {
        if (*limited[i].steps <= o->diffusion_steps)
            continue;
        if (options_given(c, limited[i].name))
            options_refuse(c, "--%s: %" PRId64 " is more than the %" PRId64 " of the diffusion",
                           limited[i].name, *limited[i].steps, o->diffusion_steps);
        *limited[i].steps = o->diffusion_steps;
    }
}

/* What the recipe says of samples, where it applies to this run. */
static void fit_samples(train_options *o, const command_line *c)
{
    if (!options_given(c, "guidance") && (!o->conditional || o->label_dropout == 0.0))
        o->guidance = UNSET_REAL;
    if (isnan(o->guidance)) {
        options_refuse_given(c, "guidance-interval", "it needs --guidance, which says how much");
        o->guidance_interval = NULL;
    }
    if (!options_given(c, "sample-steps") && o->sampling_steps != UNSET_INT &&
        o->sample_steps > o->sampling_steps)
        o->sample_steps = o->sampling_steps;
}

/* ---- slices and ranks ---- */

enum { USUAL_SLICES = 8 }; /* of several ranks: so the same bits on 1 to 8 */

/* The slices, from as many as ranks up, that these can share: the most up to `most`. */
static int64_t shared_slices(int64_t most)
{
    int64_t slices = ranks_count();
    while (slices < USUAL_SLICES && 2 * slices <= most)
        slices *= 2;
    return slices;
}

static bool can_share(int64_t slices)
{
    int64_t ranks = ranks_count(), each = slices / ranks;
    return ranks == 1 || (slices % ranks == 0 && each > 0 && (each & (each - 1)) == 0);
}

/* Refuse what several ranks cannot do. */
static void fit_ranks(train_options *o, const command_line *c, const cJSON *config)
{
    int64_t ranks = ranks_count();
    if (ranks > 1 && options_given(c, "minutes"))
        options_refuse(c, "--minutes: with several ranks say --steps");
    if (ranks > 1 && cJSON_GetObjectItemCaseSensitive(config, "plan") != NULL)
        options_refuse(c,
                       "--steps: how long the run in %s is, it plans by the clock of one "
                       "process; with several ranks say how many",
                       o->out);
    if (o->batch < ranks)
        options_refuse(c,
                       "--batch: %" PRId64 " image%s for %" PRId64
                       " ranks; each takes one or more, so start fewer",
                       o->batch, PLURAL(o->batch), ranks);
}

static void fit_slices(train_options *o, const command_line *c)
{
    bool unset = o->slices == UNSET_INT;
    if (unset)
        o->slices = o->resume || ranks_count() == 1 ? 1 : shared_slices(o->batch);
    if (!can_share(o->slices) && o->resume && !options_given(c, "slices"))
        options_refuse(
            c,
            "--slices: the run in %s has %" PRId64 ", which %" PRId64
            " ranks cannot share; it goes on, with other last bits, by --slices %" PRId64,
            o->out, o->slices, ranks_count(), shared_slices(o->batch));
    if (!can_share(o->slices))
        options_refuse(c,
                       "--slices: %" PRId64 " ranks cannot share %" PRId64
                       "; each takes a power of 2 of them, as of %" PRId64,
                       ranks_count(), o->slices, shared_slices(o->batch));
    if (o->batch < o->slices)
        options_refuse(
            c, "--slices: %" PRId64 " slices of %" PRId64 " image%s; each takes one or more",
            o->slices, o->batch, PLURAL(o->batch));
    if (o->slices == 1)
        options_refuse_given(c, "gradients", "it is for several slices");
}

/* The options of a run that begins. */
static bool new_options(train_options *o, const command_line *c, cJSON **config)
{
    bool known[MAX_OPTIONS];
    memcpy(known, c->given, sizeof known);
    if (o->config != NULL && !train_config_read(o, c, known, config))
        return false;
    if (o->data == NULL)
        options_refuse(c, "--data is missing: what to learn");
    if (o->model != NULL && !begin_options(o, c, known))
        return false;
    train_options_set_defaults(o, known, o->recipe != NULL ? ito_recipe_find(o->recipe) : NULL);
    refuse_idle(o, c);
    fit_samples(o, c);
    return true;
}

bool train_options_parse(train_options *o, int argc, char **argv, cJSON **config)
{
    command_line c = {
        .command = "train", .doc = doc, .options = train_rows, .presets = presets, .values = o};
    *config = NULL;
    options_parse(&c, argc, argv);
    options_require(&c, "out", "the directory of the run");
    if (options_given(&c, "minutes") && (o->resume || options_given(&c, "steps")))
        options_refuse(&c, "--minutes: how long the run is, %s says already",
                       o->resume ? "the run itself" : "--steps");
    if (o->resume) {
        options_refuse_given(&c, "config", "a run that is resumed has its own settings");
        options_refuse_given(&c, "dry-run", "it is for a run that has not begun");
        if (!resume_options(o, &c, config))
            return false;
        if (options_given(&c, "steps"))
            cJSON_DeleteItemFromObjectCaseSensitive(*config, "plan");
    } else if (!new_options(o, &c, config)) {
        return false;
    }
    limit_steps(o, &c);
    fit_ranks(o, &c, *config);
    fit_slices(o, &c);
    double lo, hi;
    return guidance_interval(&(guidance_options){.interval = o->guidance_interval}, &lo, &hi);
}

/* ---- config.json ---- */

/* The options that belong to the run, with the place of its images as an absolute path, and which
 * images they are, as members of root. */
static bool put_options(cJSON *root, const train_options *o, const cJSON *data)
{
    train_options stored = *o;
    char *place = data_absolute(o->data), *model = NULL;
    stored.data = place;
    if (o->model != NULL && (model = realpath(o->model, NULL)) != NULL)
        stored.model = model;
    cJSON *options = cJSON_AddObjectToObject(root, "options");
    bool good = place != NULL && options != NULL && settings_put(options, train_rows, &stored) &&
                cJSON_AddItemToObject(root, "data", cJSON_Duplicate(data, true));
    free(model);
    free(place);
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
                           const cJSON *data)
{
    char *text = ito_ddpm_settings_format(settings);
    cJSON *root = text != NULL ? cJSON_Parse(text) : NULL;
    free(text);
    bool good = put_options(root, o, data) &&
                cJSON_AddStringToObject(root, "version", ito_version()) != NULL &&
                cJSON_AddStringToObject(root, "isa", ito_isa()) != NULL &&
                cJSON_AddNumberToObject(root, "images", data_identity_size(data)) != NULL;
    return print_config(root, good);
}

char *train_options_update(const train_options *o, const cJSON *config, const cJSON *data)
{
    cJSON *root = cJSON_Duplicate(config, true); /* o points into the options of the old one */
    cJSON_DeleteItemFromObjectCaseSensitive(root, "options");
    cJSON_DeleteItemFromObjectCaseSensitive(root, "data");
    return print_config(root, put_options(root, o, data));
}
