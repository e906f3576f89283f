/* ito-ddpm compare: runs side by side in one page. */
#include "tests/examples/cli.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(cli_compare, .init = cli_enter, .fini = cli_leave, .timeout = 120);

static int times(const char *text, const char *word)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, word)) != NULL; p += strlen(word))
        n++;
    return n;
}

static char *page_at(const char *path)
{
    static char page[1 << 18];
    slurp(path, page, sizeof page);
    return page;
}

#define SAMPLES "--sample-every 4 --sample-count 2 --sample-steps 2 "

Test(cli_compare, runs_are_side_by_side_in_one_page)
{
    train_tiny("a", "--steps 4 " SAMPLES);
    train_tiny("'b <i>'", "--steps 4 --prediction v --ema 0.5 " SAMPLES);
    train_tiny("c", "--steps 8 --stop-at 6 --prediction v " SAMPLES);
    succeeds(run("eval --model a --data npy:data.npy --bits-per-dim --n 2"));
    succeeds(run("compare a 'b <i>' c"));
    cr_expect_str_eq(complained, "3 runs side by side in compare.html\n");
    cr_expect_not_null(strstr(said, "The losses are not of one kind, since the runs differ in "
                                    "prediction.\n"),
                       "%s", said);
    cr_expect_not_null(strstr(said, "\n    steps 8, prediction v, ema 0.999\n"), "%s", said);
    const char *page = page_at("compare.html");
    /* Two curves of the loss, and the loss by time; a line in each for each run, of its colour. */
    cr_expect_eq(times(page, "<svg"), 3);
    for (int i = 0; i < 4; i++) {
        char class[16];
        snprintf(class, sizeof class, "class=\"c%d\"", i);
        cr_expect(i < 3 ? times(page, class) >= 3 : times(page, class) == 0, "%s", class);
    }
    cr_expect_eq(times(page, "src=\"data:image/png;base64,"), 3);
    cr_expect_not_null(
        strstr(page, "<tr><td>prediction</td><td>eps</td><td>v</td><td>v</td></tr>"));
    cr_expect_not_null(
        strstr(page, "<tr><td>ema</td><td>0.999</td><td>0.5</td><td>0.999</td></tr>"));
    cr_expect_null(strstr(page, "<td>batch</td>"), "settings that do not differ are left out");
    cr_expect_not_null(
        strstr(page, "<td>4 of 4, done</td><td>4 of 4, done</td><td>6 of 8, stopped"));
    cr_expect_not_null(strstr(page, " (2 images, step 4)</td><td>-</td><td>-</td>"));
    cr_expect_null(strstr(page, "b <i>"), "names are escaped");
    cr_expect_not_null(strstr(page, "b &lt;i&gt;, after step 4"));
    /* Nothing comes from elsewhere. */
    cr_expect_eq(times(page, "http"), times(page, "http://www.w3.org/2000/svg"));
    cr_expect_eq(times(page, "<script"), 0);
}

Test(cli_compare, the_page_and_the_form_can_be_chosen)
{
    train_tiny("a", "--steps 2 " QUIET);
    succeeds(run("compare a a --out two.html --json"));
    cr_expect(there("two.html") && !there("compare.html"));
    cJSON *root = cJSON_Parse(said);
    cr_assert_not_null(root, "%s", said);
    cr_expect_eq(cJSON_GetArraySize(cJSON_GetObjectItem(root, "runs")), 2);
    cr_expect_eq(cJSON_GetArraySize(cJSON_GetObjectItem(root, "differing")), 0);
    cr_expect_str_eq(cJSON_GetObjectItem(root, "out")->valuestring, "two.html");
    cJSON_Delete(root);
    cr_expect_null(strstr(page_at("two.html"), "Settings that differ"));
}

Test(cli_compare, runs_without_grids_have_no_place_for_them)
{
    train_tiny("a", "--steps 2 --sample-every 0");
    succeeds(run("compare a a"));
    cr_expect_null(strstr(page_at("compare.html"), "Newest samples"));
}

Test(cli_compare, what_is_no_run_is_refused)
{
    train_tiny("a", "--steps 2 " QUIET);
    is_usage_error("compare", "ito-ddpm compare: there is no RUN RUN...");
    is_usage_error("compare a", "ito-ddpm compare: there is one run, a; it takes two or more");
    fails_with(run("compare a nowhere"),
               "ito-ddpm compare: nowhere: there is no run in it: it has no config.json");
    fails_with(run("compare a a/checkpoints"),
               "ito-ddpm compare: a/checkpoints: there is no run in it: it has no config.json");
    fails_with(run("compare a a --out nowhere/x.html"),
               "ito-ddpm compare: nowhere/x.html: cannot write it: No such file or directory");
    is_usage_error("compare a a --out a.png",
                   "ito-ddpm compare: --out: a.png: the name of a page ends in .html");
    cr_expect(!there("compare.html"));
}
