/* Settings as JSON: there and back, files of earlier versions, and what of a file is refused. */
#include "models/ddpm/settings.h"

#include "tensor/internal.h"
#include "tests/models/ddpm/ddpm_check.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static ito_ddpm_settings example(void)
{
    ito_ddpm_settings s = {.diffusion =
                               ITO_OPTIONS(ito_diffusion_options, .schedule = &ito_schedule_cosine,
                                           .steps = 321, .variance = &ito_variance_fixedsmall)};
    cr_assert_eq(ito_unet_preset("small", 1, 28, 28, &s.model), ITO_OK);
    s.model.dropout = 0.125;
    return s;
}

static ito_ddpm_settings parsed(const char *text)
{
    ito_ddpm_settings s;
    cr_assert_eq(ito_ddpm_settings_parse(text, "a.json", &s), ITO_OK, "%s: %s", ito_error(), text);
    return s;
}

/* The options of a diffusion, written and read; written again, they are the same text. */
static ito_diffusion_options there_and_back(ito_diffusion_options options)
{
    ito_ddpm_settings s = example();
    s.diffusion = options;
    char *text = ito_ddpm_settings_format(&s);
    cr_assert_not_null(text, "%s", ito_error());
    ito_ddpm_settings back = parsed(text);
    char *again = ito_ddpm_settings_format(&back);
    cr_assert_str_eq(again, text);
    free(text);
    free(again);
    return back.diffusion;
}

#define ROUND_TRIP(...) there_and_back(ITO_OPTIONS(ito_diffusion_options, __VA_ARGS__))

/* ---- there and back ---- */

Test(settings, what_is_written_is_read_back)
{
    ito_ddpm_settings s = example();
    s.model.classes = 7;
    s.model.self_condition = true;
    s.model.dtype = ITO_F64;
    char *text = ito_ddpm_settings_format(&s);
    cr_assert_not_null(text);
    ito_ddpm_settings back = parsed(text);
    cr_assert_eq(back.model.in_channels, 1);
    cr_assert_eq(back.model.out_channels, 1);
    cr_assert_eq(back.model.height, 28);
    cr_assert_eq(back.model.width, 28);
    cr_assert_eq(back.model.channels, 32);
    cr_assert_eq(back.model.levels, 3);
    cr_assert_eq(back.model.multipliers[2], 2);
    cr_assert(back.model.attention[2] && !back.model.attention[0]);
    cr_assert_eq(back.model.blocks, 2);
    cr_assert_eq(back.model.groups, 32);
    cr_assert_eq(back.model.dropout, 0.125);
    cr_assert_eq(back.model.classes, 7);
    cr_assert(back.model.self_condition);
    cr_assert_eq(back.model.dtype, ITO_F64);
    cr_assert_eq(back.diffusion.schedule, &ito_schedule_cosine);
    cr_assert_eq(back.diffusion.steps, 321);
    cr_assert_eq(back.diffusion.variance, &ito_variance_fixedsmall);
    free(text);
}

Test(settings, defaults_are_written_out)
{
    ito_diffusion_options back = ROUND_TRIP();
    cr_assert_eq(back.schedule, &ito_schedule_linear);
    cr_assert_eq(back.steps, 1000);
    cr_assert_eq(back.beta_start, 1e-4);
    cr_assert_eq(back.beta_end, 0.02);
    cr_assert(!back.zero_terminal_snr);
    cr_assert_eq(back.prediction, &ito_prediction_eps);
    cr_assert_eq(back.time_input, &ito_time_input_timestep);
    cr_assert_eq(back.variance, &ito_variance_fixedlarge);
    cr_assert_eq(back.weighting, &ito_weighting_simple);
    cr_assert_eq(back.objective, &ito_objective_simple);
    cr_assert(isnan(back.gamma) && isnan(back.k) && isnan(back.sigma_data));
}

Test(settings, every_field_is_kept)
{
    ito_diffusion_options back =
        ROUND_TRIP(.schedule = &ito_schedule_quad, .steps = 50, .beta_end = 0.3,
                   .zero_terminal_snr = true, .prediction = &ito_prediction_v,
                   .time_input = &ito_time_input_log_snr, .variance = &ito_variance_learned_range,
                   .weighting = &ito_weighting_p2, .gamma = 0.25, .k = 3,
                   .objective = &ito_objective_hybrid);
    cr_assert_eq(back.schedule, &ito_schedule_quad);
    cr_assert_eq(back.steps, 50);
    cr_assert_eq(back.beta_start, 1e-4);
    cr_assert_eq(back.beta_end, 0.3);
    cr_assert(back.zero_terminal_snr);
    cr_assert_eq(back.prediction, &ito_prediction_v);
    cr_assert_eq(back.time_input, &ito_time_input_log_snr);
    cr_assert_eq(back.variance, &ito_variance_learned_range);
    cr_assert_eq(back.weighting, &ito_weighting_p2);
    cr_assert_eq(back.gamma, 0.25);
    cr_assert_eq(back.k, 3);
    cr_assert_eq(back.objective, &ito_objective_hybrid);
    cr_assert(isnan(back.sigma_data));
}

Test(settings, a_shift_is_kept_and_is_1_in_files_without_it)
{
    cr_assert_eq(ROUND_TRIP(.schedule = &ito_schedule_flow).shift, 1.0);
    cr_assert_eq(ROUND_TRIP(.schedule = &ito_schedule_flow, .shift = 3).shift, 3.0);
    ito_ddpm_settings s = example();
    s.diffusion.schedule = &ito_schedule_flow;
    s.diffusion.steps = 0;
    s.diffusion.shift = 3;
    char *text = ito_ddpm_settings_format(&s), *shift = strstr(text, "\"shift\"");
    memcpy(shift, "\"other\"", 7);
    cr_assert_eq(parsed(text).diffusion.shift, 1.0);
    free(text);
}

Test(settings, edm_is_kept)
{
    ito_diffusion_options back =
        ROUND_TRIP(.schedule = &ito_schedule_edm, .sigma_min = 0.01, .sigma_max = 50.0,
                   .prediction = &ito_prediction_edm, .time_input = &ito_time_input_c_noise,
                   .weighting = &ito_weighting_edm, .sigma_data = 0.25);
    cr_assert_eq(back.schedule, &ito_schedule_edm);
    cr_assert_eq(back.steps, 0);
    cr_assert_eq(back.sigma_min, 0.01);
    cr_assert_eq(back.sigma_max, 50.0);
    cr_assert_eq(back.prediction, &ito_prediction_edm);
    cr_assert_eq(back.time_input, &ito_time_input_c_noise);
    cr_assert_eq(back.weighting, &ito_weighting_edm);
    cr_assert_eq(back.sigma_data, 0.25);
}

Test(settings, flow_is_kept_in_continuous_time_and_in_steps)
{
    ito_diffusion_options back =
        ROUND_TRIP(.schedule = &ito_schedule_flow, .prediction = &ito_prediction_flow,
                   .time_input = &ito_time_input_t);
    cr_assert_eq(back.schedule, &ito_schedule_flow);
    cr_assert_eq(back.steps, 0);
    cr_assert_eq(back.prediction, &ito_prediction_flow);
    cr_assert_eq(back.time_input, &ito_time_input_t);
    back = ROUND_TRIP(.schedule = &ito_schedule_flow, .steps = 64);
    cr_assert_eq(back.steps, 64);
}

Test(settings, vp_is_kept)
{
    ito_diffusion_options back =
        ROUND_TRIP(.schedule = &ito_schedule_vp, .beta_start = 0.0, .beta_end = 0.01);
    cr_assert_eq(back.schedule, &ito_schedule_vp);
    cr_assert_eq(back.steps, 0);
    cr_assert_eq(back.beta_start, 0.0);
    cr_assert_eq(back.beta_end, 0.01);
}

/* A number that is 0 is that number, not the default. */
Test(settings, zeros_are_kept)
{
    ito_diffusion_options back = ROUND_TRIP(.weighting = &ito_weighting_p2, .gamma = 0, .k = 0);
    cr_assert(back.gamma == 0.0 && back.k == 0.0);
    back = ROUND_TRIP(.weighting = &ito_weighting_min_snr, .gamma = 0);
    cr_assert_eq(back.gamma, 0.0);
    back = ROUND_TRIP(.schedule = &ito_schedule_const, .beta_start = 0);
    cr_assert_eq(back.beta_start, 0.0);
}

/* A choice's own numbers are written, so that they stay what they were at the time. */
Test(settings, numbers_of_the_choices_are_written_out)
{
    ito_diffusion_options back = ROUND_TRIP(.weighting = &ito_weighting_p2);
    cr_assert(back.gamma == 1.0 && back.k == 1.0);
    back = ROUND_TRIP(.weighting = &ito_weighting_min_snr);
    cr_assert(back.gamma == 5.0 && isnan(back.k));
    back = ROUND_TRIP(.prediction = &ito_prediction_edm);
    cr_assert_eq(back.sigma_data, 0.5);
    back = ROUND_TRIP(.weighting = &ito_weighting_edm);
    cr_assert_eq(back.sigma_data, 0.5);
}

/* Options with one choice of a kind, and what goes with it. */
static ito_diffusion_options with_choice(const char *kind, const void *choice)
{
    ito_diffusion_options o = ITO_OPTIONS(ito_diffusion_options);
    if (strcmp(kind, "schedule") == 0)
        o.schedule = choice;
    if (strcmp(kind, "prediction") == 0)
        o.prediction = choice;
    if (strcmp(kind, "time_input") == 0)
        o.time_input = choice;
    if (strcmp(kind, "variance") == 0)
        o.variance = choice;
    if (strcmp(kind, "weighting") == 0)
        o.weighting = choice;
    if (strcmp(kind, "objective") == 0)
        o.objective = choice;
    if (o.variance != NULL && o.variance->learned)
        o.objective = &ito_objective_vlb;
    if (o.objective != NULL && o.objective->detach_mean)
        o.variance = &ito_variance_learned_range;
    return o;
}

Test(settings, every_choice_of_every_kind_is_kept)
{
    static const char *const kinds[] = {"schedule", "prediction", "time_input",
                                        "variance", "weighting",  "objective"};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        int64_t n;
        const ito_choice *const *list = ito_choices(kinds[k], &n);
        for (int64_t i = 0; i < n; i++) {
            ito_diffusion_options back = there_and_back(with_choice(kinds[k], list[i]));
            const void *const read[] = {back.schedule, back.prediction, back.time_input,
                                        back.variance, back.weighting,  back.objective};
            cr_assert_eq(read[k], list[i], "%s %s", kinds[k], list[i]->name);
        }
    }
}

/* ---- files of earlier versions ---- */

#define OLD_MODEL                                                                                  \
    "\"model\": {\"in_channels\": 1, \"out_channels\": 1, \"height\": 28, \"width\": 28, "         \
    "\"channels\": 32, \"blocks\": 2, \"groups\": 32, \"multipliers\": [1, 2, 2], "                \
    "\"attention\": [false, false, true], \"dropout\": 0.125"

/* Version 0.1 at its first: a schedule, its steps, what is predicted, the variance. */
Test(settings, the_first_files_are_read)
{
    ito_ddpm_settings s =
        parsed("{" OLD_MODEL "}, \"diffusion\": {\"schedule\": \"linear\", \"steps\": 1000, "
               "\"beta_start\": 0.0001, \"beta_end\": 0.02, \"prediction\": \"eps\", \"variance\": "
               "\"fixedlarge\"}}");
    cr_assert(s.model.channels == 32 && s.model.classes == 0 && !s.model.self_condition);
    cr_assert_eq(s.diffusion.schedule, &ito_schedule_linear);
    cr_assert_eq(s.diffusion.time_input, &ito_time_input_timestep);
    cr_assert_eq(s.diffusion.weighting, &ito_weighting_simple);
    cr_assert_eq(s.diffusion.objective, &ito_objective_simple);
}

/* Then weightings and objectives, called loss; no time input yet. */
Test(settings, files_without_a_time_input_are_read)
{
    ito_ddpm_settings s = parsed(
        "{" OLD_MODEL ", \"classes\": 10, \"self_condition\": true}, \"diffusion\": "
        "{\"schedule\": \"cosine\", \"steps\": 321, \"zero_terminal_snr\": true, \"prediction\": "
        "\"v\", \"variance\": \"learned_range\", \"weighting\": \"p2\", \"gamma\": 0.5, \"k\": 2, "
        "\"loss\": \"hybrid\"}}");
    cr_assert(s.model.classes == 10 && s.model.self_condition);
    cr_assert(s.diffusion.zero_terminal_snr);
    cr_assert_eq(s.diffusion.time_input, &ito_time_input_timestep);
    cr_assert_eq(s.diffusion.variance, &ito_variance_learned_range);
    cr_assert_eq(s.diffusion.weighting, &ito_weighting_p2);
    cr_assert(s.diffusion.gamma == 0.5 && s.diffusion.k == 2.0);
    cr_assert_eq(s.diffusion.objective, &ito_objective_hybrid);
    s = parsed("{" OLD_MODEL "}, \"diffusion\": {\"schedule\": \"straight\", \"steps\": 100, "
               "\"prediction\": \"edm\", \"variance\": \"fixedsmall\", \"weighting\": \"simple\", "
               "\"sigma_data\": 0.25, \"loss\": \"simple\"}}");
    cr_assert_eq(s.diffusion.sigma_data, 0.25);
}

/* ---- what is not written ---- */

/* What a name in a file could not bring back. */
Test(settings, refuses_to_write_what_has_no_name)
{
    ito_schedule_family schedule = ito_schedule_cosine;
    ito_prediction prediction = ito_prediction_v;
    ito_time_input time_input = ito_time_input_t;
    ito_variance variance = ito_variance_fixedsmall;
    ito_weighting weighting = ito_weighting_p2, unknown = {.name = "mine"};
    ito_objective objective = ito_objective_simple;
    const struct {
        ito_diffusion_options options;
        const char *message;
    } cases[] = {
        {{.schedule = &schedule},
         "settings: schedule \"cosine\" is not the one of that name, and cannot be written"},
        {{.prediction = &prediction},
         "settings: prediction \"v\" is not the one of that name, and cannot be written"},
        {{.time_input = &time_input},
         "settings: time_input \"t\" is not the one of that name, and cannot be written"},
        {{.variance = &variance},
         "settings: variance \"fixedsmall\" is not the one of that name, and cannot be written"},
        {{.weighting = &weighting},
         "settings: weighting \"p2\" is not the one of that name, and cannot be written"},
        {{.objective = &objective},
         "settings: loss \"simple\" is not the one of that name, and cannot be written"},
        {{.weighting = &unknown}, no_such_choice("weighting", "weighting", "mine")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ito_ddpm_settings s = example();
        s.diffusion = cases[i].options;
        assert_refused(ito_ddpm_settings_format(&s), ITO_ERR_ARGUMENT, cases[i].message);
    }
}

/* ---- a list of betas ---- */

Test(settings, a_list_of_betas_is_in_the_place_of_a_schedule)
{
    static const double betas[] = {0.1, 0.2, 1.0};
    ito_ddpm_settings s = example(), back;
    s.diffusion.betas = betas;
    s.diffusion.steps = 3;
    s.diffusion.prediction = &ito_prediction_v;
    char *text = ito_ddpm_settings_format(&s);
    cr_assert_not_null(text, "%s", ito_error());
    cr_expect_null(strstr(text, "schedule"), "%s", text);
    cr_expect_null(strstr(text, "beta_start"), "%s", text);
    cr_assert_eq(ito_ddpm_settings_parse(text, "here", &back), ITO_OK, "%s", ito_error());
    cr_assert_eq(back.diffusion.betas, back.betas);
    cr_expect_eq(back.diffusion.steps, 3);
    cr_expect_arr_eq(back.betas, betas, sizeof betas);
    free(back.betas);
    free(text);
}

static void betas_are_refused(const char *diffusion, const char *message)
{
    ito_ddpm_settings s = example(), out;
    char *text = ito_ddpm_settings_format(&s), *all = NULL;
    *strstr(text, "\"diffusion\"") = '\0';
    cr_assert_gt(asprintf(&all,
                          "%s\"diffusion\": {%s, \"prediction\": \"eps\", \"variance\": "
                          "\"fixedsmall\"}}",
                          text, diffusion),
                 0);
    assert_refused_status(ito_ddpm_settings_parse(all, "here", &out), ITO_ERR_FORMAT, message);
    free(text);
    free(all);
}

Test(settings, a_list_of_betas_that_is_none_is_refused)
{
    betas_are_refused("\"betas\": 1, \"steps\": 1",
                      "here: \"betas\" is missing or not a list of numbers");
    betas_are_refused("\"betas\": [], \"steps\": 0",
                      "here: \"betas\" is missing or not a list of numbers");
    betas_are_refused("\"betas\": [0.1, \"x\"], \"steps\": 2",
                      "here: \"betas\" is missing or not a list of numbers");
    betas_are_refused("\"betas\": [0.1, 0.2], \"steps\": 3",
                      "here: \"betas\" is missing or not as many numbers as there are steps");
}

/* ---- what is not read ---- */

/* The example's text with one occurrence of `old` replaced. */
static char *with(const char *old, const char *new)
{
    ito_ddpm_settings s = example();
    char *text = ito_ddpm_settings_format(&s), *at = strstr(text, old);
    cr_assert_not_null(at, "%s is not in %s", old, text);
    char *changed = malloc(strlen(text) + strlen(new) + 1);
    size_t before = (size_t)(at - text);
    memcpy(changed, text, before);
    strcpy(changed + before, new);
    strcat(changed, at + strlen(old));
    free(text);
    return changed;
}

/* A change of the example's text, and what is said of it. */
typedef struct damage {
    const char *old, *new, *message;
} damage;

static void assert_damaged(const damage *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ito_ddpm_settings back;
        char *text = with(cases[i].old, cases[i].new);
        cr_assert_neq(ito_ddpm_settings_parse(text, "a.json", &back), ITO_OK, "case %zu", i);
        cr_assert_str_eq(ito_error_message(), cases[i].message);
        ito_error_clear();
        free(text);
    }
}

#define ASSERT_DAMAGED(...)                                                                        \
    assert_damaged((const damage[]){__VA_ARGS__},                                                  \
                   sizeof((const damage[]){__VA_ARGS__}) / sizeof(damage))

Test(settings, a_part_that_is_missing_is_named)
{
    ASSERT_DAMAGED({"\"model\"", "\"modell\"", "a.json: \"model\" is missing or not an object"},
                   {"\"diffusion\"", "\"d\"", "a.json: \"diffusion\" is missing or not an object"},
                   {"\"height\"", "\"h\"", "a.json: \"height\" is missing or not a whole number"},
                   {"\"steps\"", "\"s\"", "a.json: \"steps\" is missing or not a whole number"},
                   {"\"prediction\"", "\"p\"", "a.json: \"prediction\" is missing or not a text"});
}

Test(settings, a_setting_of_the_model_of_the_wrong_type_is_named)
{
    ASSERT_DAMAGED({"\"height\":\t28", "\"height\":\t28.5",
                    "a.json: \"height\" is missing or not a whole number"},
                   {"\"height\":\t28", "\"height\":\t1e999",
                    "a.json: \"height\" is missing or not a whole number"},
                   {"\"channels\":\t32", "\"channels\":\t\"32\"",
                    "a.json: \"channels\" is missing or not a whole number"},
                   {"\"dropout\":\t0.125", "\"dropout\":\tnull",
                    "a.json: \"dropout\" is missing or not a number"},
                   {"\"classes\":\t0", "\"classes\":\tfalse",
                    "a.json: \"classes\" is missing or not a whole number"},
                   {"\"classes\":\t0", "\"self_condition\":\t1",
                    "a.json: \"self_condition\" is missing or not true or false"},
                   {"\"classes\":\t0", "\"dtype\":\t\"double\"",
                    "a.json: \"dtype\" is missing or not the name of an element type"},
                   {"\"classes\":\t0", "\"dtype\":\t64",
                    "a.json: \"dtype\" is missing or not the name of an element type"});
}

Test(settings, levels_that_are_no_lists_are_named)
{
    ASSERT_DAMAGED(
        {"[1, 2, 2]", "[]", "a.json: \"multipliers\" is missing or not a list of 1 to 8 numbers"},
        {"[1, 2, 2]", "[1, 2, {}]",
         "a.json: \"multipliers\" is missing or not a list of whole numbers"},
        {"[1, 2, 2]", "[1, 2]",
         "a.json: \"attention\" is missing or not a list as long as that of the multipliers"},
        {"[false, false, true]", "[false, false, 1]",
         "a.json: \"attention\" is missing or not a list of true and false"});
}

Test(settings, a_network_that_cannot_be_built_is_refused)
{
    ASSERT_DAMAGED(
        {"\"height\":\t28", "\"height\":\t27",
         "unet: images of 27x28 cannot be halved 2 times; 3 levels need sides that are multiples "
         "of 4"},
        {"\"blocks\":\t2", "\"blocks\":\t9007199254740992",
         "unet: the number of blocks is 9007199254740992; it must be 1 to 16"});
}

Test(settings, a_setting_of_the_diffusion_of_the_wrong_type_is_named)
{
    ASSERT_DAMAGED(
        {"\"weighting\":\t\"simple\"", "\"sigma_data\": \"1\"",
         "a.json: \"sigma_data\" is missing or not a number"},
        {"\"weighting\":\t\"simple\"", "\"gamma\": \"5\"",
         "a.json: \"gamma\" is missing or not a number"},
        {"\"weighting\":\t\"simple\"", "\"k\": []", "a.json: \"k\" is missing or not a number"},
        {"\"weighting\":\t\"simple\"", "\"weighting\": 123",
         "a.json: \"weighting\" is missing or not a text"},
        {"\"loss\":\t\"simple\"", "\"loss\": 1", "a.json: \"loss\" is missing or not a text"},
        {"\"loss\":\t\"simple\"", "\"loss\": null", "a.json: \"loss\" is missing or not a text"},
        {"\"weighting\"", "\"zero_terminal_snr\": 1, \"weighting\"",
         "a.json: \"zero_terminal_snr\" is missing or not true or false"},
        {"\"weighting\"", "\"time_input\": 1, \"weighting\"",
         "a.json: \"time_input\" is missing or not a text"},
        {"\"eps\"", "1", "a.json: \"prediction\" is missing or not a text"},
        {"\"fixedsmall\"", "1", "a.json: \"variance\" is missing or not a text"});
}

/* Which numbers there must be depends on the schedule. */
Test(settings, numbers_of_the_schedule_that_are_missing_are_named)
{
    ASSERT_DAMAGED(
        {"\"cosine\"", "\"linear\"", "a.json: \"beta_start\" is missing or not a number"},
        {"\"cosine\"", "\"linear\", \"beta_start\": 0.1",
         "a.json: \"beta_end\" is missing or not a number"},
        {"\"cosine\"", "\"edm\"", "a.json: \"sigma_min\" is missing or not a number"},
        {"\"cosine\"", "\"edm\", \"sigma_min\": 0.1",
         "a.json: \"sigma_max\" is missing or not a number"});
}

Test(settings, unknown_names_are_refused)
{
    ASSERT_DAMAGED(
        {"\"cosine\"", "\"cosinus\"", no_such_choice("schedule", "schedule", "cosinus")});
    ASSERT_DAMAGED({"\"eps\"", "\"w\"", no_such_choice("prediction", "prediction", "w")});
    ASSERT_DAMAGED({"\"weighting\"", "\"time_input\": \"sigma\", \"weighting\"",
                    no_such_choice("time_input", "time input", "sigma")});
}

Test(settings, a_diffusion_that_cannot_be_built_is_refused)
{
    ASSERT_DAMAGED(
        {"\"steps\":\t321", "\"steps\":\t0",
         "process: 0 steps mean continuous time, and the schedule cosine is in steps"},
        {"\"steps\":\t321", "\"steps\":\t-1",
         "a.json: \"steps\" is missing or not a whole number from 0 on"},
        {"\"fixedsmall\"", "\"learned\"",
         "diffusion: the objective simple does not train the variance learned; vlb, rescaled and "
         "hybrid do"},
        {"\"weighting\":\t\"simple\"", "\"gamma\": 5",
         "diffusion: the weighting simple has no gamma, and 5 was given"});
}

Test(settings, what_is_no_JSON_object_is_refused)
{
    ito_ddpm_settings back;
    assert_refused_status(ito_ddpm_settings_parse("[1]", "a.json", &back), ITO_ERR_FORMAT,
                          "a.json: the settings are not a JSON object");
    assert_refused_status(ito_ddpm_settings_parse("{", "a.json", &back), ITO_ERR_FORMAT,
                          "a.json: the settings are not a JSON object");
}

Test(settings, deep_nesting_is_refused)
{
    char *text = malloc(200001);
    memset(text, '[', 200000);
    text[200000] = '\0';
    ito_ddpm_settings back;
    cr_assert_eq(ito_ddpm_settings_parse(text, "a.json", &back), ITO_ERR_FORMAT);
    free(text);
}

/* Every allocation of cJSON is one of the library's here, so that each can be made to fail. */
Test(settings, failed_allocations_are_errors)
{
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = struct_alloc, .free_fn = free});
    ito_ddpm_settings s = {.model = tiny_unet_config(1),
                           .diffusion = ITO_OPTIONS(ito_diffusion_options)};
    char *text = NULL;
    int failed = 0, reread = 0;
    for (int64_t n = 1; text == NULL; n++, failed++) {
        ito_memory_fail_nth(n);
        text = ito_ddpm_settings_format(&s);
        ito_memory_fail_nth(0);
        if (text == NULL)
            cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY, "%s", ito_error());
        ito_error_clear();
    }
    ito_status status = ITO_ERR_MEMORY;
    for (int64_t n = 1; status != ITO_OK; n++, reread++) {
        ito_ddpm_settings back;
        ito_memory_fail_nth(n);
        status = ito_ddpm_settings_parse(text, "a.json", &back);
        ito_memory_fail_nth(0);
        if (status != ITO_OK)
            cr_assert_eq(status, ITO_ERR_MEMORY, "%s", ito_error());
        ito_error_clear();
    }
    cr_assert(failed > 20 && reread > 20, "%d and %d", failed, reread);
    free(text);
    cJSON_InitHooks(NULL);
}
