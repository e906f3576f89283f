/* The table of train's options: every row is sound, presets are values that rows take, and what
 * follows from other settings. */
#include "examples/common/settings.h"
#include "examples/ddpm/data.h"
#include "examples/ddpm/data_identity.h"
#include "examples/ddpm/presets.h"
#include "examples/ddpm/recipes.h"
#include "examples/ddpm/train_options.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static int row_of(const char *name)
{
    for (int i = 0; train_rows[i].type != OPTION_END; i++)
        if (train_rows[i].name != NULL && strcmp(train_rows[i].name, name) == 0)
            return i;
    cr_assert(false, "there is no option %s", name);
    return -1;
}

static train_options defaults(const char *preset, const char *data, const char *variance)
{
    bool given[MAX_OPTIONS] = {false};
    train_options o = {.preset = preset, .data = data, .variance = variance};
    given[row_of("preset")] = given[row_of("data")] = true;
    given[row_of("variance")] = variance != NULL;
    train_options_set_defaults(&o, given, NULL);
    return o;
}

Test(train_options, every_row_has_a_name_of_its_own_help_and_a_default_that_it_takes)
{
    int n = 0;
    for (; train_rows[n].type != OPTION_END; n++) {
        const option_row *o = &train_rows[n];
        train_options values;
        cr_assert_not_null(o->help);
        if (o->type == OPTION_GROUP)
            continue;
        cr_expect_eq(row_of(o->name), n, "%s", o->name);
        cr_expect(o->initial == NULL || option_set(o, &values, o->initial), "%s", o->name);
        cr_expect(o->type == OPTION_FLAG || o->type == OPTION_CHOICE || o->metavar != NULL);
        for (int k = 0; k < n; k++)
            cr_expect(train_rows[k].type == OPTION_GROUP || train_rows[k].offset != o->offset,
                      "%s and %s have one place", o->name, train_rows[k].name);
    }
    cr_expect_lt(n, MAX_OPTIONS);
}

Test(train_options, presets_are_values_that_rows_take)
{
    for (int i = 0; presets[i] != NULL; i++) {
        const option_preset *preset = preset_find(presets[i]->name);
        cr_assert_eq(&preset->choice, presets[i]);
        for (int k = 0; preset->values[k][0] != NULL; k++) {
            train_options values;
            cr_expect(option_set(&train_rows[row_of(preset->values[k][0])], &values,
                                 preset->values[k][1]),
                      "%s: %s", presets[i]->name, preset->values[k][0]);
        }
    }
}

/* Ho et al. 2020, appendix B. */
Test(train_options, the_presets_of_the_paper_are_its_recipes)
{
    train_options cifar = defaults("cifar10", "npy:x", NULL),
                  lsun = defaults("lsun256", "npy:x", NULL);
    cr_expect(cifar.lr == 2e-4 && lsun.lr == 2e-5);
    cr_expect(cifar.batch == 128 && lsun.batch == 64);
    cr_expect(cifar.ema == 0.9999 && lsun.ema == 0.9999);
    cr_expect(cifar.diffusion_steps == 1000 && cifar.steps == 800000 && cifar.warmup == 5000);
    cr_expect_str_eq(cifar.schedule, "linear");
    cr_expect_str_eq(cifar.variance, "fixedlarge");
    cr_expect_str_eq(cifar.decay, "constant");
    cr_expect(cifar.size == 32 && lsun.size == 256);
    train_options small = defaults("small", "npy:x", NULL);
    cr_expect_str_eq(small.schedule, "cosine");
    cr_expect(small.batch == 32 && small.lr == 1e-3 && small.steps == 3500);
}

/* None is lost on the way, and the preset's come behind. */
Test(train_options, every_setting_of_a_recipe_is_a_value_that_a_row_takes)
{
    int64_t n;
    const ito_choice *const *recipes = ito_choices("recipe", &n);
    const option_preset *below = preset_find("cifar10");
    for (int64_t i = 0; i < n; i++) {
        const ito_recipe *recipe = ito_recipe_find(recipes[i]->name);
        const bool given[MAX_OPTIONS] = {false};
        train_options o = {.preset = "cifar10"};
        recipe_preset made;
        const option_preset *preset = recipe_preset_make(&made, recipe, below, &o, given);
        int settings = 0, all = 0;
        for (int k = 0; recipe->settings[k].name != NULL; k++) /* LOW,HIGH is one option */
            settings += strcmp(recipe->settings[k].name, "guidance_lo") != 0;
        for (; preset->values[all][0] != NULL; all++)
            cr_expect(
                option_set(&train_rows[row_of(preset->values[all][0])], &o, preset->values[all][1]),
                "%s: %s", recipe->name, preset->values[all][0]);
        int behind = 0;
        while (below->values[behind][0] != NULL)
            behind++;
        cr_expect_eq(all, settings + behind, "%s", recipe->name);
        cr_expect_str_eq(preset->values[settings][0], below->values[0][0]);
    }
}

Test(train_options, what_is_left_open_follows_from_the_rest)
{
    cr_expect_str_eq(defaults("small", "mnist:d", NULL).flip, "no");
    cr_expect_str_eq(defaults("small", "fashion-mnist", NULL).flip, "yes");
    cr_expect_str_eq(defaults("small", "npy:x", NULL).loss, "simple");
    cr_expect_str_eq(defaults("small", "npy:x", "learned").loss, "hybrid");
    cr_expect_str_eq(defaults("small", "npy:x", "learned_range").loss, "hybrid");
    cr_expect_str_eq(defaults("small", "npy:x", "fixedlarge").loss, "simple");
    train_options o = defaults("small", "npy:x", NULL);
    cr_expect(isnan(o.dropout) && isnan(o.gamma) && o.channels == UNSET_INT && o.attention == NULL);
}

/* Also the legal zeros, which are no defaults. */
Test(train_options, a_config_brings_every_option_back)
{
    train_options o = defaults("small", "npy:/x", "learned"), back = {.preset = NULL};
    bool found[MAX_OPTIONS];
    o.dropout = o.clip = o.ema = o.label_dropout = 0.0;
    o.warmup = o.sample_every = 0;
    ito_ddpm_settings s;
    cr_assert(train_settings(&o, 1, 28, 28, &s), "%s", ito_error());
    cr_expect_eq(s.model.dropout, 0.0);
    cr_expect_eq(s.model.out_channels, 2);
    cJSON *data = data_identity(ito_zeros(ITO_SHAPE(40, 1, 28, 28), ITO_U8), NULL, NULL);
    char *text = train_options_format(&o, &s, data);
    cJSON_Delete(data);
    cJSON *config = cJSON_Parse(text);
    const cJSON *options = cJSON_GetObjectItemCaseSensitive(config, "options");
    cr_assert(settings_get(options, train_rows, &back, found, "config.json"), "%s", ito_error());
    for (int i = 0; train_rows[i].type != OPTION_END; i++) {
        if (train_rows[i].type == OPTION_GROUP)
            continue;
        bool stored = train_rows[i].scope != OPTION_OF_CALL;
        cr_expect(stored || !found[i], "%s", train_rows[i].name);
        if (found[i])
            cr_expect(settings_same(&train_rows[i], &o, &back), "%s", train_rows[i].name);
    }
    cr_expect(found[row_of("dropout")] && back.dropout == 0.0);
    cr_expect(found[row_of("clip")] && back.clip == 0.0);
    cr_expect(!found[row_of("gamma")] && !found[row_of("out")] && !found[row_of("threads")]);
    free(text);
    cJSON_Delete(config);
}
