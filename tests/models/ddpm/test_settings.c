/* Settings as JSON: there and back, and what of a file is refused. */
#include "models/ddpm/settings.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static ito_ddpm_settings example(void)
{
    ito_ddpm_settings s = {.diffusion = {.schedule = &ito_schedule_cosine,
                                         .steps = 321,
                                         .variance = &ito_variance_fixedsmall}};
    cr_assert_eq(ito_unet_preset("small", 1, 28, 28, &s.model), ITO_OK);
    s.model.dropout = 0.125;
    return s;
}

Test(settings, what_is_written_is_read_back)
{
    ito_ddpm_settings s = example(), back;
    char *text = ito_ddpm_settings_format(&s);
    cr_assert_not_null(text);
    cr_assert_eq(ito_ddpm_settings_parse(text, "a.json", &back), ITO_OK, "%s", ito_error());
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
    cr_assert_eq(back.diffusion.schedule, &ito_schedule_cosine);
    cr_assert_eq(back.diffusion.steps, 321);
    cr_assert_eq(back.diffusion.variance, &ito_variance_fixedsmall);
    free(text);
}

Test(settings, defaults_are_written_out)
{
    ito_ddpm_settings s = example(), back;
    s.diffusion = (ito_diffusion_options){.steps = 0};
    char *text = ito_ddpm_settings_format(&s);
    cr_assert_eq(ito_ddpm_settings_parse(text, "a.json", &back), ITO_OK, "%s", ito_error());
    cr_assert_eq(back.diffusion.schedule, &ito_schedule_linear);
    cr_assert_eq(back.diffusion.steps, 1000);
    cr_assert_eq(back.diffusion.betas.beta_start, 1e-4);
    cr_assert_eq(back.diffusion.betas.beta_end, 0.02);
    cr_assert_eq(back.diffusion.variance, &ito_variance_fixedlarge);
    free(text);
}

Test(settings, every_choice_is_kept)
{
    ito_ddpm_settings s = example(), back;
    s.diffusion = (ito_diffusion_options){.schedule = &ito_schedule_quad,
                                          .steps = 50,
                                          .betas = {.beta_end = 0.3, .zero_terminal_snr = true},
                                          .prediction = &ito_prediction_v,
                                          .variance = &ito_variance_learned_range,
                                          .weighting = &ito_weighting_p2,
                                          .gamma = 0.25,
                                          .k = 3,
                                          .loss = &ito_objective_hybrid};
    char *text = ito_ddpm_settings_format(&s);
    cr_assert_eq(ito_ddpm_settings_parse(text, "a.json", &back), ITO_OK, "%s", ito_error());
    cr_assert_eq(back.diffusion.schedule, &ito_schedule_quad);
    cr_assert_eq(back.diffusion.betas.beta_start, 1e-4);
    cr_assert_eq(back.diffusion.betas.beta_end, 0.3);
    cr_assert(back.diffusion.betas.zero_terminal_snr);
    cr_assert_eq(back.diffusion.prediction, &ito_prediction_v);
    cr_assert_eq(back.diffusion.variance, &ito_variance_learned_range);
    cr_assert_eq(back.diffusion.weighting, &ito_weighting_p2);
    cr_assert_eq(back.diffusion.gamma, 0.25);
    cr_assert_eq(back.diffusion.k, 3);
    cr_assert_eq(back.diffusion.loss, &ito_objective_hybrid);
    cr_assert_eq(back.diffusion.sigma_data, 0);
    free(text);
    s.diffusion = (ito_diffusion_options){.prediction = &ito_prediction_edm, .sigma_data = 0.25};
    text = ito_ddpm_settings_format(&s);
    cr_assert_eq(ito_ddpm_settings_parse(text, "a.json", &back), ITO_OK, "%s", ito_error());
    cr_assert_eq(back.diffusion.sigma_data, 0.25);
    free(text);
}

/* What a name in a file could not bring back. */
Test(settings, refuses_to_write_what_has_no_name)
{
    static const double betas[] = {0.1, 0.2};
    ito_schedule_family schedule = ito_schedule_cosine;
    ito_prediction prediction = ito_prediction_v;
    ito_variance variance = ito_variance_fixedsmall;
    ito_weighting weighting = ito_weighting_p2, unknown = {.name = "mine"};
    ito_objective loss = ito_objective_simple;
    const struct {
        ito_diffusion_options options;
        const char *message;
    } cases[] = {
        {{.list = betas, .steps = 2}, "settings: a list of betas cannot be written"},
        {{.schedule = &schedule},
         "settings: schedule \"cosine\" is not the one of that name, and cannot be written"},
        {{.prediction = &prediction},
         "settings: prediction \"v\" is not the one of that name, and cannot be written"},
        {{.variance = &variance},
         "settings: variance \"fixedsmall\" is not the one of that name, and cannot be written"},
        {{.weighting = &weighting},
         "settings: weighting \"p2\" is not the one of that name, and cannot be written"},
        {{.loss = &loss},
         "settings: loss \"simple\" is not the one of that name, and cannot be written"},
        {{.weighting = &unknown}, "weighting: there is no \"mine\"; there are "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ito_ddpm_settings s = example();
        s.diffusion = cases[i].options;
        cr_assert_null(ito_ddpm_settings_format(&s), "case %zu", i);
        cr_assert_eq(ito_error_code(), ITO_ERR_ARGUMENT);
        cr_assert_eq(strncmp(ito_error_message(), cases[i].message, strlen(cases[i].message)), 0,
                     "%s", ito_error_message());
        ito_error_clear();
    }
}

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

Test(settings, damaged_ones_are_refused)
{
    static const struct {
        const char *old, *new, *message;
    } cases[] = {
        {"\"model\"", "\"modell\"", "a.json: \"model\" is missing or not an object"},
        {"\"diffusion\"", "\"d\"", "a.json: \"diffusion\" is missing or not an object"},
        {"\"height\":\t28", "\"height\":\t28.5",
         "a.json: \"height\" is missing or not a whole number"},
        {"\"height\":\t28", "\"height\":\t1e999",
         "a.json: \"height\" is missing or not a whole number"},
        {"\"height\":\t28", "\"height\":\t27",
         "unet: images of 27x28 cannot be halved 2 times; 3 levels need sides that are multiples "
         "of "
         "4"},
        {"\"blocks\":\t2", "\"blocks\":\t9007199254740992",
         "unet: the number of blocks is 9007199254740992; it must be 1 to 16"},
        {"\"channels\":\t32", "\"channels\":\t\"32\"",
         "a.json: \"channels\" is missing or not a whole number"},
        {"\"dropout\":\t0.125", "\"dropout\":\tnull",
         "a.json: \"dropout\" is missing or not a number"},
        {"[1, 2, 2]", "[]", "a.json: \"multipliers\" is missing or not a list of 1 to 8 numbers"},
        {"[1, 2, 2]", "[1, 2, {}]",
         "a.json: \"multipliers\" is missing or not a list of whole numbers"},
        {"[1, 2, 2]", "[1, 2]",
         "a.json: \"attention\" is missing or not a list as long as that of the multipliers"},
        {"[false, false, true]", "[false, false, 1]",
         "a.json: \"attention\" is missing or not a list of true and false"},
        {"\"cosine\"", "\"cosinus\"",
         "schedule: there is no \"cosinus\"; there are linear, quad, const, jsd, "
         "warmup10, warmup50, cosine, sigmoid and straight"},
        {"\"cosine\"", "\"linear\"", "a.json: \"beta_start\" is missing or not a number"},
        {"\"eps\"", "\"w\"",
         "prediction: there is no \"w\"; there are eps, x_0, x_prev, v, score, edm and flow"},
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
        {"\"eps\"", "1", "a.json: \"prediction\" is missing or not a text"},
        {"\"fixedsmall\"", "1", "a.json: \"variance\" is missing or not a text"},
        {"\"steps\":\t321", "\"steps\":\t0",
         "a.json: the diffusion has 0 steps; it must have at least 1"},
        {"\"steps\":\t321", "\"steps\":\t-1", "schedule: -1 steps; there are 1 to 1000000"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ito_ddpm_settings back;
        char *text = with(cases[i].old, cases[i].new);
        cr_assert_neq(ito_ddpm_settings_parse(text, "a.json", &back), ITO_OK, "case %zu", i);
        cr_assert_str_eq(ito_error_message(), cases[i].message);
        ito_error_clear();
        free(text);
    }
    ito_ddpm_settings back;
    cr_assert_eq(ito_ddpm_settings_parse("[1]", "a.json", &back), ITO_ERR_FORMAT);
    cr_assert_str_eq(ito_error_message(), "a.json: the settings are not a JSON object");
    ito_error_clear();
    cr_assert_eq(ito_ddpm_settings_parse("{", "a.json", &back), ITO_ERR_FORMAT);
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
