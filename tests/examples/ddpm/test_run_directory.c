/* The directory of a run: what is made, who may write, and the log. */
#include "examples/ddpm/run_directory.h"
#include "tests/examples/cli.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(run_directory, .init = cli_enter, .fini = cli_leave);

static void refused(bool good, const char *words)
{
    cr_assert(!good);
    cr_expect_not_null(strstr(ito_error_message(), words), "\"%s\" is not in: %s", words,
                       ito_error_message());
    ito_error_clear();
}

Test(run_directory, a_new_run_has_its_config_and_place_for_samples)
{
    training_run r;
    char text[64];
    cr_expect(run_check_new("a/b"));
    cr_assert(run_create(&r, "a/b", "{\"options\": {}}"), "%s", ito_error());
    slurp("a/b/config.json", text, sizeof text);
    cr_expect_str_eq(text, "{\"options\": {}}");
    cr_expect(there("a/b/samples") && there("a/b/lock"));
    cr_expect_str_eq(r.checkpoints, "a/b/checkpoints");
    refused(run_check_new("a/b"), "a/b: it is not empty");
    cr_assert(run_set_config(&r, "{\"options\": {\"n\": 1}}"));
    cJSON *config = run_config("a/b");
    cr_expect_not_null(cJSON_GetObjectItem(cJSON_GetObjectItem(config, "options"), "n"));
    cJSON_Delete(config);
    run_close(&r);
    char *path = run_sample_path("a/b", 12);
    cr_expect_str_eq(path, "a/b/samples/step-12.png");
    free(path);
}

Test(run_directory, one_holds_the_lock)
{
    training_run r, other;
    cr_assert(run_create(&r, "run", "{\"options\": {}}"));
    refused(run_open(&other, "run"), "run: another process is training in this directory");
    run_close(&other);
    run_close(&r);
    cr_expect(run_open(&other, "run"));
    run_close(&other);
    refused(run_create(&r, "run", "{}"), "run: another process has just begun a run here");
    run_close(&r);
}

Test(run_directory, a_config_is_an_object_with_options)
{
    static const char *const bad[][2] = {{"[]", "it is not a JSON object"},
                                         {"{", "it is not a JSON object"},
                                         {"{\"options\": 1}", "its \"options\" are no JSON object"},
                                         {"{}", "its \"options\" are no JSON object"}};
    refused(run_config("none") != NULL, "none: there is no run in it: it has no config.json");
    cr_assert_eq(system("mkdir run"), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put_file("run/config.json", bad[i][0]);
        refused(run_config("run") != NULL, bad[i][1]);
    }
}

Test(run_directory, a_log_is_continued_behind_the_step_that_was_kept)
{
    run_log log = {.file = NULL};
    double seconds;
    char text[256];
    put_file("log.jsonl", "{\"step\": 1, \"seconds\": 2.5}\n{\"step\": 2, \"seconds\": 3.5}\n"
                          "{\"step\": 3, \"seconds\": 4.5}\n{\"step\": 4, \"se");
    cr_assert(run_log_open(&log, ".", 2, &seconds), "%s", ito_error());
    cr_expect_eq(seconds, 3.5);
    cr_expect(run_log_write(&log, "{\"step\": 3}"));
    run_log_close(&log);
    slurp("log.jsonl", text, sizeof text);
    cr_expect_str_eq(text, "{\"step\": 1, \"seconds\": 2.5}\n{\"step\": 2, \"seconds\": 3.5}\n"
                           "{\"step\": 3}\n");
    cr_assert(run_log_open(&log, ".", 9, &seconds));
    cr_expect_eq(seconds, 3.5, "the last line that says it");
    run_log_close(&log);
    refused(run_log_open(&log, "none", 0, &seconds), "none/log.jsonl: cannot open it to write");
    run_log_close(&log);
}
