/* train --config: a run, or a file with some settings, is a recipe for others. */
#include "tests/examples/cli.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(cli_config, .init = cli_enter, .fini = cli_leave, .timeout = 600);

/* The setting of that name in the config.json of a run, printed as JSON; "" if it has none. */
static const char *setting(const char *run, const char *name)
{
    static char text[32768], value[256];
    char path[64];
    snprintf(path, sizeof path, "%s/config.json", run);
    slurp(path, text, sizeof text);
    cJSON *root = cJSON_Parse(text);
    const cJSON *item =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(root, "options"), name);
    char *printed = item != NULL ? cJSON_PrintUnformatted(item) : NULL;
    snprintf(value, sizeof value, "%s", printed != NULL ? printed : "");
    free(printed);
    cJSON_Delete(root);
    return value;
}

Test(cli_config, a_run_of_a_runs_settings_is_the_same_to_the_bit)
{
    train_tiny("a", "--steps 3 --seed 7 --lr 3e-3 --prediction v " QUIET);
    succeeds(run("train --config a --out b"));
    succeeds(run("train --config a/config.json --out c"));
    same_directory("a/checkpoints/step-3", "b/checkpoints/step-3");
    same_directory("a/checkpoints/step-3", "c/checkpoints/step-3");
    cr_expect(same_file("a/config.json", "b/config.json"));
}

Test(cli_config, the_command_line_wins)
{
    train_tiny("a", "--steps 3 --seed 7 --lr 3e-3 " QUIET);
    succeeds(run("train --config a --out b --seed 8 --steps 2"));
    cr_expect_str_eq(setting("b", "seed"), "8");
    cr_expect_str_eq(setting("b", "steps"), "2");
    cr_expect_str_eq(setting("b", "lr"), "0.003");
    write_images("other.npy", 8, 8);
    succeeds(run("train --config a --out c --data npy:other.npy --steps 1"));
}

/* What follows from the data, as --flip does, follows other data alone. */
Test(cli_config, the_same_data_may_be_spelled_otherwise)
{
    train_tiny("a", "--steps 1 --flip no " QUIET);
    succeeds(run("train --config a --out b --data npy:./data.npy"));
    cr_expect_str_eq(setting("b", "flip"), "\"no\"");
    same_directory("a/checkpoints/step-1", "b/checkpoints/step-1");
    write_images("other.npy", 8, 8);
    succeeds(run("train --config a --out c --data npy:other.npy"));
    cr_expect_str_eq(setting("c", "flip"), "\"yes\"");
}

/* A run stores what its options led to; that goes with them. */
Test(cli_config, what_follows_from_an_option_follows_it)
{
    train_tiny("a", "--steps 1 " QUIET);
    cr_expect_str_eq(setting("a", "lr"), "0.001");
    cr_expect_str_eq(setting("a", "loss"), "\"simple\"");
    succeeds(run("train --config a --out b --optimizer lion --variance learned"));
    cr_expect_str_eq(setting("b", "lr"), "0.0001");
    cr_expect_str_eq(setting("b", "loss"), "\"hybrid\"");
    cr_expect_str_eq(setting("b", "diffusion-steps"), "20");
    cr_expect_str_eq(setting("b", "channels"), "8");
    succeeds(run("train --config a --out f --schedule flow --prediction flow"));
    cr_expect_str_eq(setting("f", "diffusion-steps"), "0");
    succeeds(run("train --config a --out c --recipe p2 --data npy:data.npy --optimizer adam"));
    cr_expect_str_eq(setting("c", "weighting"), "\"p2\"");
    cr_expect_str_eq(setting("c", "lr"),
                     "2e-05"); /* the recipe's too: adam was the optimiser before */
}

Test(cli_config, a_file_may_have_some_settings)
{
    put_file("mine.json",
             "{\"options\": {\"data\": \"npy:data.npy\", \"steps\": 2, \"channels\": 8, "
             "\"multipliers\": \"1,2\", \"blocks\": 1, \"sample-every\": 0, "
             "\"recipe\": \"min-snr\", \"self-conditioning\": true}}");
    succeeds(run("train --config mine.json --out a --batch 4"));
    cr_expect_str_eq(setting("a", "channels"), "8");
    cr_expect_str_eq(setting("a", "weighting"), "\"min_snr\"");
    cr_expect_str_eq(setting("a", "self-conditioning"), "true");
    cr_expect_str_eq(setting("a", "warmup"), "100");
    put_file("none.json", "{\"options\": {}}");
    is_usage_error("train --config none.json --out b",
                   "ito-ddpm train: --data is missing: what to learn\n");
}

Test(cli_config, what_is_no_recipe_is_refused_with_a_sentence)
{
    static const char *const cases[][2] = {
        {"{\"options\": {\"sampel-count\": 3}}",
         "c.json: there is no option \"sampel-count\"; did you mean sample-count?\n"},
        {"{\"options\": {\"frob\": 3}}", "c.json: there is no option \"frob\"\n"},
        {"{\"options\": {\"out\": \"x\"}}",
         "c.json: \"out\" is not a setting of a run: give --out on the command line\n"},
        {"{\"options\": {\"steps\": \"many\"}}",
         "c.json: the option \"steps\" is not what it may be: a whole number from 1 to "
         "1000000000000\n"},
        {"{\"options\": {\"steps\": 2.5}}",
         "c.json: the option \"steps\" is not what it may be: a whole number from 1 to "
         "1000000000000\n"},
        {"{\"options\": {\"grey\": 1}}",
         "c.json: the option \"grey\" is not what it may be: true or false\n"},
        {"{\"options\": {\"attention\": null}}",
         "c.json: the option \"attention\" is not what it may be: a text that is not empty\n"},
        {"{\"options\": {\"decay\": \"sine\"}}",
         "c.json: the option \"decay\" is not what it may be: one of cosine|constant\n"},
        {"{\"options\": 3}", "c.json: its \"options\" are no JSON object\n"},
        {"{\"steps\": 3}", "c.json: its \"options\" are no JSON object\n"},
        {"steps: 3", "c.json: it is not a JSON object\n"},
        {"[]", "c.json: it is not a JSON object\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char sentence[256];
        put_file("c.json", cases[i][0]);
        snprintf(sentence, sizeof sentence, "ito-ddpm train: %s", cases[i][1]);
        fails_with(run("train --config c.json --data npy:data.npy --out r"), sentence);
    }
    fails_with(run("train --config missing.json --data npy:data.npy --out r"),
               "ito-ddpm train: missing.json: cannot open");
    cr_assert_eq(system("mkdir empty"), 0);
    fails_with(run("train --config empty --data npy:data.npy --out r"),
               "ito-ddpm train: empty: there is no run in it: it has no config.json\n");
    train_tiny("a", "--steps 1 " QUIET);
    is_usage_error("train --out a --resume --config a",
                   "ito-ddpm train: --config: a run that is resumed has its own settings\n");
    cr_expect(!there("r"));
}
