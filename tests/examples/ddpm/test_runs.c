/* Runs beside each other, from run directories made by hand. */
#include "examples/ddpm/run_results.h"
#include "examples/ddpm/runs.h"
#include "tests/examples/cli.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

TestSuite(runs, .init = cli_enter, .fini = cli_leave);

/* A run of these options and this log, in directory r. */
static void write_run(const char *r, const char *options, const char *log)
{
    char path[256], text[1024];
    cr_assert_eq(mkdir(r, 0777), 0);
    snprintf(path, sizeof path, "%s/config.json", r);
    snprintf(text, sizeof text, "{\"images\": 40, \"options\": {\"data\": \"mnist:x\"%s}}",
             options);
    put_file(path, text);
    snprintf(path, sizeof path, "%s/log.jsonl", r);
    put_file(path, log);
}

static char *printed(const run_list *list, const cJSON *differing, const char *base)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    cr_assert_not_null(f);
    runs_print(f, list, differing, base);
    fclose(f);
    return text;
}

static bool has(const char *text, const char *words)
{
    return strstr(text, words) != NULL;
}

/* ---- one run ---- */

Test(runs, a_summary_has_what_the_log_says)
{
    write_run("r", ", \"steps\": 100",
              "{\"step\": 1, \"loss\": 2, \"seconds\": 3, \"images_per_second\": 50}\n"
              "{\"step\": 2, \"loss\": 2, \"seconds\": 65.5, \"images_per_second\": 40, "
              "\"peak_bytes\": 1048576}\n{\"step\": 3, \"lo");
    run_summary r;
    cr_assert(run_summary_read("r", &r), "%s", ito_error_message());
    cr_expect_eq(r.step, 2);
    cr_expect_eq(r.steps, 100);
    cr_expect_float_eq(r.loss, 2.0, 1e-12);
    cr_expect_eq(r.seconds, 65.5);
    cr_expect_eq(r.images_per_second, 40.0);
    cr_expect_eq(r.peak_bytes, 1048576.0);
    cr_expect_str_eq(r.state, "begun");
    cr_expect(r.checkpoint == NULL && isnan(r.parameters) && r.grid_step == -1);
    cr_expect_null(run_trend(&r), "two lines tell none");
    /* Options that an earlier version had not have their defaults. */
    cr_expect_str_eq(cJSON_GetObjectItem(r.options, "optimizer")->valuestring, "adam");
    run_summary_free(&r);
}

Test(runs, a_run_without_a_log_or_of_unknown_options_is_a_run)
{
    cr_assert_eq(mkdir("r", 0777), 0);
    put_file("r/config.json", "{\"options\": {\"data\": \"mnist:x\", \"sampler\": \"later\"}}");
    run_summary r;
    cr_assert(run_summary_read("r", &r), "%s", ito_error_message());
    cr_expect(r.step == 0 && isnan(r.loss) && isnan(r.seconds));
    cr_expect_str_eq(cJSON_GetObjectItem(r.options, "sampler")->valuestring, "later");
    cr_expect_eq(ito_error_code(), ITO_OK);
    run_summary_free(&r);
    cr_expect(!run_summary_read("nowhere", &r));
    cr_expect_str_eq(ito_error_message(), "nowhere: there is no run in it: it has no config.json");
}

Test(runs, the_trend_is_that_of_the_last_tenth)
{
    static const struct {
        double change;
        const char *trend;
    } cases[] = {{-0.01, "falling"}, {0.01, "rising"}, {0.0, "level"}};
    for (int c = 0; c < 3; c++) {
        char *log = NULL, name[8];
        size_t size;
        FILE *f = open_memstream(&log, &size);
        for (int i = 0; i < 100; i++)
            fprintf(f, "{\"step\": %d, \"loss\": %.4f}\n", i + 1, 2.0 + cases[c].change * i);
        fclose(f);
        snprintf(name, sizeof name, "r%d", c);
        write_run(name, "", log);
        run_summary r;
        cr_assert(run_summary_read(name, &r), "%s", ito_error_message());
        cr_expect_str_eq(run_trend(&r), cases[c].trend);
        run_summary_free(&r);
        free(log);
    }
}

/* A log may say anything; numbers that are no times, sizes or steps are not known. */
Test(runs, numbers_beyond_all_bounds_are_left_out)
{
    write_run("r", ", \"steps\": 1e300, \"sampler\": \"later\"",
              "{\"step\": 9007199254740992, \"loss\": 1e300, \"seconds\": 1e300, "
              "\"images_per_second\": -1, \"peak_bytes\": 1e300}\n");
    run_list list = {.n = 0};
    cr_assert(run_list_add(&list, "r"));
    const run_summary *r = &list.entries[0].run;
    cr_expect_eq(r->steps, 0);
    cr_expect(isnan(r->seconds) && isnan(r->images_per_second) && isnan(r->peak_bytes));
    cJSON *differing = runs_differing(&list);
    char *text = printed(&list, differing, NULL);
    cr_expect(has(text, "\nr    9007199254740992    1e+300        -         -  begun\n"), "%s",
              text);
    free(text);
    cJSON_Delete(differing);
    run_list_free(&list);
}

Test(runs, a_process_that_trains_holds_the_lock)
{
    write_run("r", "", "");
    FILE *lock = fopen("r/lock", "w");
    run_summary r;
    cr_assert_eq(flock(fileno(lock), LOCK_EX | LOCK_NB), 0);
    cr_assert(run_summary_read("r", &r));
    cr_expect_str_eq(r.state, "training");
    run_summary_free(&r);
    fclose(lock);
    cr_assert(run_summary_read("r", &r));
    cr_expect_str_eq(r.state, "begun");
    run_summary_free(&r);
}

/* ---- results ---- */

Test(runs, the_latest_result_of_each_measure_counts)
{
    write_run("r", "", "");
    cJSON *found = cJSON_Parse("{\"step\": 10, \"images\": 50, \"frechet\": 30.5, \"seconds\": 1}");
    run_results_add("r", found);
    cJSON_SetNumberValue(cJSON_GetObjectItem(found, "frechet"), 20.25);
    run_results_add("r", found);
    cJSON_Delete(found);
    found = cJSON_Parse("{\"step\": 10, \"images\": 7, \"bits_per_dim\": 3.5}");
    run_results_add("r", found);
    run_results_add("data.npy", found); /* no run */
    cJSON_Delete(found);
    cJSON *results = run_results_read("r"), *latest = run_results_latest(results);
    cr_expect_eq(cJSON_GetArraySize(results), 3);
    cr_expect_eq(cJSON_GetArraySize(latest), 2);
    char text[160];
    run_result_text(cJSON_GetObjectItem(latest, "frechet"), true, text, sizeof text);
    cr_expect_str_eq(text, "frechet 20.25 (50 images, step 10)");
    run_result_text(cJSON_GetObjectItem(latest, "bits_per_dim"), false, text, sizeof text);
    cr_expect_str_eq(text, "bits_per_dim 3.5");
    run_result_text(NULL, true, text, sizeof text);
    cr_expect_str_eq(text, "-");
    const char *when = cJSON_GetObjectItem(cJSON_GetArrayItem(results, 0), "when")->valuestring;
    cr_expect_eq(strlen(when), strlen("2026-01-02T03:04:05Z"), "%s", when);
    cJSON_Delete(results);
    cJSON_Delete(latest);
}

Test(runs, results_are_read_up_to_the_line_that_was_cut)
{
    write_run("r", "", "");
    put_file("r/results.jsonl", "{\"kid\": 1}\n{\"kid\": 2}\n{\"kid\": 3");
    cJSON *results = run_results_read("r"), *latest = run_results_latest(results);
    cr_expect_eq(cJSON_GetArraySize(results), 2);
    cr_expect_eq(cJSON_GetObjectItem(cJSON_GetObjectItem(latest, "kid"), "value")->valuedouble, 2);
    cJSON_Delete(results);
    cJSON_Delete(latest);
}

/* ---- several ---- */

static int longest_line(const char *text)
{
    int longest = 0;
    for (; *text != '\0'; text += strcspn(text, "\n"), text += *text == '\n')
        longest = (int)strcspn(text, "\n") > longest ? (int)strcspn(text, "\n") : longest;
    return longest;
}

Test(runs, settings_that_differ_are_named_with_their_values)
{
    write_run("a", ", \"prediction\": \"v\", \"lr\": 0.002", "");
    write_run("b", ", \"prediction\": \"eps\", \"lr\": 0.002, \"conditional\": true", "");
    write_run("c", ", \"lr\": 0.002, \"sampler\": \"ddim\"", ""); /* eps is the default */
    run_list list = {.n = 0};
    cr_assert(run_list_add(&list, "a") && run_list_add(&list, "b") && run_list_add(&list, "none") &&
              run_list_add(&list, "c"));
    cJSON *differing = runs_differing(&list);
    char *text = cJSON_PrintUnformatted(differing);
    cr_expect_str_eq(text,
                     "{\"conditional\":[false,true,false],\"prediction\":[\"v\",\"eps\",\"eps\"],"
                     "\"sampler\":[null,null,\"ddim\"]}");
    free(text);
    cr_expect_str_eq(runs_loss_differs(differing), "prediction");
    text = printed(&list, differing, NULL);
    cr_expect(has(text, "\n    conditional no, prediction v\n"), "%s", text);
    cr_expect(has(text, "\n    conditional yes, prediction eps\n"), "%s", text);
    cr_expect(has(text, "\n    conditional no, prediction eps, sampler ddim\n"), "%s", text);
    cr_expect(has(text, "none  damaged\n    none: there is no run in it: it has no config.json\n"),
              "%s", text);
    free(text);
    cJSON *all = runs_describe(&list, differing);
    cr_expect_eq(cJSON_GetArraySize(cJSON_GetObjectItem(all, "runs")), 4);
    const cJSON *bad = cJSON_GetArrayItem(cJSON_GetObjectItem(all, "runs"), 2);
    cr_expect_str_eq(cJSON_GetObjectItem(bad, "state")->valuestring, "damaged");
    cJSON_Delete(all);
    cJSON_Delete(differing);
    run_list_free(&list);
}

Test(runs, the_table_has_eighty_columns)
{
    write_run("runs-that-has-a-name-of-many-words-and-more-than-the-column-holds",
              ", \"steps\": 800000, \"prediction\": \"v\", \"schedule\": \"flow\", "
              "\"weighting\": \"min_snr\", \"optimizer\": \"adamw\", \"seed\": 9007199254740991, "
              "\"channels\": 128, \"attention\": \"16,8\", \"dropout\": 0.123456789012345",
              "{\"step\": 800000, \"loss\": 1.2345678e-9, \"seconds\": 3.6e6, "
              "\"images_per_second\": 123456789}\n");
    write_run("b", "", "{\"step\": 1}\n");
    run_list list = {.n = 0};
    cr_assert(
        run_list_add(&list, "runs-that-has-a-name-of-many-words-and-more-than-the-column-holds"));
    cr_assert(run_list_add(&list, "b"));
    cJSON *differing = runs_differing(&list);
    char *text = printed(&list, differing, NULL);
    cr_expect_leq(longest_line(text), 80, "%s", text);
    cr_expect(has(text, "  800000/800000  1.235e-09  1000h00m  1.235e+08  begun\n"), "%s", text);
    cr_expect(has(text, "\nb           1/3500         -        -         -  begun\n"), "%s", text);
    free(text);
    cJSON_Delete(differing);
    run_list_free(&list);
}

/* Texts of a run cannot control the terminal. */
Test(runs, control_characters_are_shown_as_marks)
{
    write_run("a", ", \"flip\": \"\\u001b[31m\"", "");
    write_run("b", "", "");
    run_list list = {.n = 0};
    cr_assert(run_list_add(&list, "a") && run_list_add(&list, "b"));
    cJSON *differing = runs_differing(&list);
    char *text = printed(&list, differing, NULL);
    cr_expect(has(text, "flip ?[31m") && strchr(text, '\033') == NULL, "%s", text);
    free(text);
    cJSON_Delete(differing);
    run_list_free(&list);
}
