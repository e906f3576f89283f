/* report.html and its charts, from run directories made by hand. What a browser would decode is
 * decoded here by other programs: base64 by coreutils, the command line by a shell. */
#include "examples/common/chart.h"
#include "examples/common/run_log.h"
#include "examples/ddpm/report.h"
#include "examples/ddpm/report_parts.h"
#include "tensor/base.h"
#include "tests/temporary.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *directory;

static void enter(void)
{
    directory = temporary_directory();
    cr_assert_eq(chdir(directory), 0);
    cr_assert_eq(mkdir("run", 0777), 0);
    cr_assert_eq(mkdir("run/samples", 0777), 0);
}

static void leave(void)
{
    remove_tree(directory);
}

TestSuite(report, .init = enter, .fini = leave);

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    cr_assert_eq(fclose(f), 0);
}

static char *get(FILE *f)
{
    static char text[1 << 20];
    cr_assert_not_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    return text;
}

static char *page(void)
{
    FILE *f = fopen("run/report.html", "r");
    char *text = get(f);
    fclose(f);
    return text;
}

static int count(const char *text, const char *word)
{
    int n = 0;
    for (; (text = strstr(text, word)) != NULL; text += strlen(word))
        n++;
    return n;
}

static void has(const char *text, const char *word)
{
    cr_assert_not_null(strstr(text, word), "\"%s\" is missing", word);
}

/* ---- charts ---- */

static char *drawn(const chart *c)
{
    char *text;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    cr_assert_not_null(f);
    chart_write(f, c);
    fclose(f);
    cr_assert_eq(count(text, "<svg"), 1);
    cr_assert_eq(count(text, "</svg>"), 1);
    cr_assert_eq(count(text, "nan"), 0, "%s", text);
    cr_assert_eq(count(text, "inf"), 0, "%s", text);
    return text;
}

Test(report, a_chart_of_nothing_one_point_or_equal_ones_is_a_chart)
{
    const double x[] = {1, 2, 3}, y[] = {5, 5, 5};
    for (int64_t n = 0; n <= 3; n++)
        for (int log_y = 0; log_y < 2; log_y++) {
            chart_series s = {.x = x, .y = y, .n = n};
            free(drawn(
                &(chart){.title = "t", .x_label = "x", .log_y = log_y, .series = &s, .count = 1}));
        }
}

/* Nine series are told apart by eight colours and dashes. */
Test(report, series_have_colours_of_their_own)
{
    const double x[] = {1, 2}, y[] = {1, 2};
    chart_series s[9];
    for (int i = 0; i < 9; i++)
        s[i] = (chart_series){.x = x, .y = y, .n = 2};
    char *text = drawn(&(chart){.title = "t", .x_label = "x", .series = s, .count = 9});
    for (int i = 0; i < 8; i++) {
        char class[16];
        snprintf(class, sizeof class, "class=\"c%d\"", i);
        cr_expect_eq(count(text, class), i == 0 ? 2 : 1);
    }
    cr_expect_eq(count(text, "stroke-dasharray"), 1);
    free(text);
}

Test(report, a_line_has_a_gap_where_a_number_is_not_finite)
{
    const double x[] = {1, 2, 3, 4, 5}, y[] = {1, 2, (double)NAN, 3, 4};
    chart_series s = {.x = x, .y = y, .n = 5};
    char *text = drawn(&(chart){.title = "t", .x_label = "x", .series = &s, .count = 1});
    cr_assert_eq(count(text, "<polyline"), 2);
    free(text);
}

Test(report, a_long_series_keeps_its_spike_and_is_short)
{
    enum { N = 200000 };
    static double x[N], y[N];
    for (int i = 0; i < N; i++)
        x[i] = i;
    y[77777] = 100;
    chart_series s = {.x = x, .y = y, .n = N};
    char *text = drawn(&(chart){.title = "t", .x_label = "x", .series = &s, .count = 1});
    cr_assert_lt(strlen(text), 40000);
    has(text, ",34.0 "); /* the top of the plot, where the largest number is */
    free(text);
}

/* Straight stretches are two points; what bends is left no farther from its line than is written.
 */
Test(report, a_line_has_the_points_that_it_needs)
{
    enum { N = 1000 };
    static double x[N], y[N];
    for (int i = 0; i < N; i++) {
        x[i] = i;
        y[i] = i < 500 ? i : 1000 - i;
    }
    chart_series s = {.x = x, .y = y, .n = N};
    char *text = drawn(&(chart){.title = "t", .x_label = "x", .series = &s, .count = 1});
    has(text, "points=\"62.0,210.0 265.2,34.0 468.0,209.6 \"");
    free(text);

    for (int i = 0; i < N; i++)
        y[i] = sin(i * 0.01);
    text = drawn(&(chart){.title = "t", .x_label = "x", .series = &s, .count = 1});
    char *at = strstr(text, "points=\"") + strlen("points=\""), *end;
    double left = strtod(at, &end), from = strtod(end + 1, &end);
    int points = 1;
    while (*++end != '"') {
        double right = strtod(end, &end), to = strtod(end + 1, &end);
        for (int i = 0; i < N; i++) {
            double px = 62 + i * 406.0 / 999, py = 34 + (1 - y[i]) / 2 * 176;
            if (px >= left && px <= right)
                cr_expect_float_eq(py, from + (to - from) * (px - left) / (right - left), 0.3);
        }
        left = right;
        from = to;
        points++;
    }
    cr_expect(points > 20 && points < 150, "%d points", points);
    cr_expect_float_eq(left, 468, 1e-9);
    free(text);
}

/* Few points are drawn one by one, many by columns. */
Test(report, a_chart_leaves_out_what_no_axis_has_room_for)
{
    static const double wild[] = {1e308, -1e308, (double)INFINITY, (double)NAN};
    static const int64_t lengths[] = {8, 2000};
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < 2; k++) {
            static double x[2000], y[2000];
            int64_t n = lengths[k];
            for (int64_t p = 0; p < n; p++)
                x[p] = y[p] = (double)p;
            x[0] = wild[i % 4];
            x[n - 1] = wild[i / 4];
            y[1] = wild[i % 4];
            chart_series s = {.x = x, .y = y, .n = n};
            free(drawn(&(chart){.title = "t", .x_label = "x", .series = &s, .count = 1}));
            free(drawn(
                &(chart){.title = "t", .x_label = "x", .log_y = true, .series = &s, .count = 1}));
        }
}

/* ---- the log ---- */

Test(report, a_log_is_read_up_to_the_line_that_was_cut)
{
    put("run/log.jsonl",
        "{\"step\": 1, \"loss\": 1.0}\n{\"step\": 2, \"loss\": null, \"lr\": 0.5}\n"
        "{\"step\": 3, \"loss\": 1.0}\n{\"step\": 4, \"lo");
    run_history h;
    cr_assert(run_history_read("run", &h));
    cr_assert_eq(h.n, 3);
    cr_assert_eq(h.column[LOG_STEP][2], 3.0);
    cr_assert(isnan(h.column[LOG_LOSS][1]));
    cr_assert_eq(h.column[LOG_LR][1], 0.5);
    for (int i = 0; i < 3; i++) /* the average of equal numbers is that number */
        cr_assert_float_eq(h.smoothed[i], 1.0, 1e-15);
    run_history_free(&h);
}

Test(report, a_log_ends_before_a_step_that_is_none)
{
    static const char *const steps[] = {"-1", "1e308", "-1e308", "9007199254740994", "\"2\""};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        char text[128];
        run_history h;
        snprintf(text, sizeof text, "{\"step\": 1}\n{\"step\": %s}\n{\"step\": 3}\n", steps[i]);
        put("run/log.jsonl", text);
        cr_assert(run_history_read("run", &h));
        cr_expect_eq(h.n, 1, "%s", steps[i]);
        run_history_free(&h);
    }
}

Test(report, a_run_without_a_log_has_an_empty_one)
{
    run_history h;
    cr_assert(run_history_read("run", &h));
    cr_assert_eq(h.n, 0);
    run_history_free(&h);
}

/* Lines of earlier versions have no loss by time, and one with another number of bins is none. */
Test(report, the_loss_by_time_is_read_from_the_lines_that_have_it)
{
    put("run/log.jsonl",
        "{\"step\": 1}\n{\"step\": 2, \"loss_by_t\": [1, 2, 3, 4, 5, 6, 7, 8, 9, null]}\n"
        "{\"step\": 3, \"loss_by_t\": [1, 2]}\n"
        "{\"step\": 4, \"loss_by_t\": [3, 2, 3, 4, 5, 6, 7, 8, 9, null]}\n");
    run_history h;
    double mean[LOG_BINS];
    cr_assert(run_history_read("run", &h));
    cr_assert_eq(h.n, 4);
    cr_assert_eq(h.n_bins, 2);
    cr_expect_eq(h.bins[0].step, 2.0);
    cr_expect_eq(h.bins[1].step, 4.0);
    loss_by_time(&h, 0, 2, mean);
    for (int i = 0; i < LOG_BINS - 1; i++)
        cr_expect_eq(mean[i], i == 0 ? 2.0 : i + 1.0);
    cr_expect(isnan(mean[LOG_BINS - 1]));
    loss_by_time(&h, 1, 1, mean);
    cr_expect_eq(mean[0], 3.0);
    run_history_free(&h);
}

Test(report, many_lines_with_the_loss_by_time_are_kept)
{
    FILE *f = fopen("run/log.jsonl", "w");
    for (int i = 1; i <= 1000; i++)
        fprintf(f, "{\"step\": %d, \"loss_by_t\": [%d, 1, 1, 1, 1, 1, 1, 1, 1, 1]}\n", i, i);
    fclose(f);
    run_history h;
    cr_assert(run_history_read("run", &h));
    cr_assert_eq(h.n_bins, 1000);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(h.bins[i].mean[0], i + 1.0);
    run_history_free(&h);
}

/* ---- the page ---- */

#define CONFIG                                                                                     \
    "{\"diffusion\": {\"schedule\": \"linear\", \"beta_start\": 1e-4, \"beta_end\": 0.02, "        \
    "\"steps\": 50, \"prediction\": \"eps\", "                                                     \
    "\"variance\": \"fixedsmall\"}, \"model\": {\"in_channels\": 1, \"out_channels\": 1, "         \
    "\"height\": 8, \"width\": 8, \"channels\": 8, \"blocks\": 1, \"groups\": 8, "                 \
    "\"multipliers\": [1, 2], \"attention\": [false, false], \"dropout\": 0}, "                    \
    "\"options\": {\"data\": \"npy:it's <b>.npy\", \"grey\": false, \"resume\": true, "            \
    "\"lr\": 0.001, \"steps\": 4}, \"isa\": \"avx2\"}"

static void write_run(void)
{
    put("run/config.json", CONFIG);
    put("run/log.jsonl",
        "{\"step\": 1, \"loss\": 0.9, \"lr\": 0.001, \"seconds\": 60.0, \"peak_bytes\": 1048576}\n"
        "{\"step\": 2, \"loss\": 0.5, \"lr\": 0.001, \"seconds\": 90.0, \"peak_bytes\": "
        "2097152}\n");
}

Test(report, the_page_stands_alone_and_escapes_what_the_run_says)
{
    write_run();
    cr_assert(report_write("run"), "%s", ito_error_message());
    char *text = page();
    has(text, "width=device-width");
    has(text, "<div>step<b>2 of 4</b>");
    has(text, "<div>minutes of training<b>1.5</b>");
    has(text, "<div>peak memory, MiB<b>2</b>");
    cr_assert_eq(count(text, "<svg"), 10); /* five curves and five of the schedule */
    cr_assert_eq(count(text, "<svg"), count(text, "</svg>"));
    cr_assert_eq(count(text, "<b>.npy"), 0);
    has(text, "it's &lt;b&gt;.npy");
    cr_assert_eq(count(text, "src=\"http"), 0);
    cr_assert_eq(count(text, "<script src"), 0);
    cr_assert_eq(count(text, "<link"), 1); /* the empty icon */
}

/* Three stages of a run: lines 1 to 2, 3 to 4, 5 to 6. */
Test(report, the_loss_by_time_has_a_line_for_each_stage)
{
    write_run();
    FILE *f = fopen("run/log.jsonl", "w");
    for (int i = 1; i <= 6; i++)
        fprintf(f, "{\"step\": %d, \"loss_by_t\": [9, 8, 7, 6, 5, 4, 3, 2, 1, 0.%d]}\n", 50 * i, i);
    fclose(f);
    cr_assert(report_write("run"), "%s", ito_error_message());
    char *text = page();
    cr_assert_eq(count(text, "<svg"), 11);
    char *drawing = strstr(text, "aria-label=\"Loss by time, in steps up to\"");
    cr_assert_not_null(drawing);
    *strstr(drawing, "</svg>") = '\0';
    has(drawing, ">to 100<");
    has(drawing, ">to 200<");
    has(drawing, ">to 300<");
    cr_assert_eq(count(drawing, "<polyline"), 6); /* and in the legend */
    has(drawing, ">40<");                         /* times of the 50 steps of the diffusion */
}

Test(report, the_profile_is_a_table_in_order_of_time)
{
    write_run();
    put("run/profile.json",
        "{\"rows\": [{\"name\": \"add\", \"pass\": \"forward\", \"ms\": 20.0}, "
        "{\"name\": \"conv2d\", \"pass\": \"<b>\", \"ms\": 60.0}, "
        "{\"name\": \"other\", \"ms\": 20.0}], \"ms\": 100.0, \"step\": 15, \"steps\": 10}");
    cr_assert(report_write("run"), "%s", ito_error_message());
    char *text = page();
    has(text, "<p>10 ms a step: the mean of 10 up to step 15.</p>");
    char *conv = strstr(text, "<td>conv2d</td><td>&lt;b&gt;</td><td class=\"number\">6.00</td><td "
                              "class=\"number\">60.0%</td>");
    char *add = strstr(text, "<td>add</td><td>forward</td><td class=\"number\">2.00</td>");
    cr_assert(conv != NULL && add != NULL && conv < add);
    static const char *const bad[] = {"", "{", "[1]", "{\"rows\": 1}",
                                      "{\"rows\": [{}], \"ms\": 0, \"steps\": 0}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put("run/profile.json", bad[i]);
        cr_assert(report_write("run"), "%s", ito_error_message());
        cr_expect_eq(count(page(), "the time of a step"), 0, "%s", bad[i]);
    }
}

Test(report, plain_samples_are_beside_the_averaged_ones_of_their_step)
{
    write_run();
    cr_assert_eq(mkdir("run/samples-plain", 0777), 0);
    put("run/samples/step-20.png", "twenty");
    put("run/samples/step-30.png", "thirty");
    put("run/samples-plain/step-20.png", "plain");
    cr_assert(report_write("run"), "%s", ito_error_message());
    char *text = page();
    char *beside = strstr(text, "<h2>Averaged and plain weights</h2>");
    cr_assert_not_null(beside);
    has(beside,
        "src=\"data:image/png;base64,dHdlbnR5\"><figcaption>averaged weights, after step 20<");
    has(beside,
        "src=\"data:image/png;base64,cGxhaW4=\"><figcaption>plain weights, from the same noise<");
    put("run/samples-plain/step-40.png", "alone");
    cr_assert(report_write("run"));
    cr_expect_eq(count(page(), "Averaged and plain"), 0, "step 40 has no averaged grid");
}

Test(report, what_eval_found_is_among_the_figures)
{
    write_run();
    put("run/results.jsonl", "{\"step\": 2, \"images\": 100, \"frechet\": 12.25}\n");
    cr_assert(report_write("run"), "%s", ito_error_message());
    has(page(), "<div>frechet<b>12.25</b>");
}

Test(report, the_loss_is_a_file_of_its_own)
{
    write_run();
    cr_assert(report_write_loss("run", "loss.svg"), "%s", ito_error_message());
    FILE *f = fopen("loss.svg", "r");
    char *text = get(f);
    fclose(f);
    cr_assert_eq(strncmp(text, "<svg", 4), 0);
    cr_assert_eq(count(text, "<polyline"), 4); /* each step and smoothed, and in the legend */
    cr_assert_eq(count(text, "<style>"), 1);
    cr_assert_not(report_write_loss("run", "nowhere/loss.svg"));
    has(ito_error_message(), "nowhere/loss.svg: cannot ");
}

Test(report, the_command_means_to_a_shell_what_the_run_was)
{
    write_run();
    cr_assert(report_write("run"));
    char *from = strstr(page(), "<pre>ito-ddpm "), *to = strstr(from, "</pre>");
    cr_assert_not_null(to);
    *to = '\0';
    FILE *script = fopen("again.sh", "w");
    fprintf(script, "printf '%%s\\n' %s\n", from + strlen("<pre>ito-ddpm "));
    fclose(script);
    FILE *shell = popen(
        "sed 's/<[^>]*>//g;s/&lt;/</g;s/&gt;/>/g;s/&quot;/\"/g;s/&amp;/\\&/g' again.sh | sh", "r");
    char *words = get(shell);
    cr_assert_eq(pclose(shell), 0);
    cr_assert_str_eq(words, "train\n--out\nrun\n--data\nnpy:it's <b>.npy\n--resume\n--lr\n0.001\n"
                            "--steps\n4\n");
}

Test(report, grids_are_inside_in_order_and_the_last_one_shows)
{
    write_run();
    put("run/samples/step-100.png", "hundred\n");
    put("run/samples/step-20.png", "twenty");
    put("run/samples/step-20.png.tmp-1", "half");
    cr_assert(report_write("run"), "%s", ito_error_message());
    char *text = page();
    cr_assert_eq(count(text, "<figure"), 2);
    char *first = strstr(text, "<figure><img alt=\"samples after step 20\"");
    char *second = strstr(text, "<figure><img alt=\"samples after step 100\"");
    cr_assert(first != NULL && second != NULL && first < second);
    has(text, "figure{margin:0;display:none}.grids figure:last-of-type{display:block}");
    char *data = strstr(second, "base64,") + strlen("base64,");
    *strchr(data, '"') = '\0';
    put("encoded", data);
    cr_assert_eq(system("base64 -d encoded | cmp - run/samples/step-100.png"), 0);
}

Test(report, many_grids_are_thinned_but_the_first_and_last_stay)
{
    write_run();
    for (int i = 1; i <= 100; i++) {
        char path[64];
        snprintf(path, sizeof path, "run/samples/step-%d.png", i);
        put(path, "x");
    }
    cr_assert(report_write("run"));
    char *text = page();
    cr_assert_eq(count(text, "<figure"), 40);
    has(text, "after step 1<");
    has(text, "after step 100<");
}

Test(report, a_diffusion_that_is_not_known_leaves_its_charts_out)
{
    put("run/config.json", "{\"diffusion\": {\"schedule\": \"later\"}, \"options\": {}}");
    cr_assert(report_write("run"), "%s", ito_error_message());
    cr_assert_eq(count(page(), "<svg"), 5);
    cr_assert_eq(ito_error_code(), ITO_OK);
}

static void refuses(const char *words)
{
    cr_assert_not(report_write("run"));
    has(ito_error_message(), words);
    ito_error_clear();
}

Test(report, a_directory_that_is_no_run_is_refused_and_an_older_page_stays)
{
    put("run/report.html", "older");
    refuses("run: there is no run in it: it has no config.json");
    put("run/config.json", "[1]");
    refuses("run/config.json: it is not a JSON object");
    put("run/config.json", "{\"options\": [1]}");
    refuses("run/config.json: its \"options\" are no JSON object");
    put("run/config.json", "{}");
    refuses("run/config.json: its \"options\" are no JSON object");
    cr_assert_str_eq(page(), "older");
}

Test(report, a_grid_that_cannot_be_read_or_is_too_large_is_left_out)
{
    write_run();
    put("run/samples/step-1.png", "one");
    put("run/samples/step-2.png", "two");
    put("run/samples/step-3.png", "");
    put("run/samples/step-4.png", "");
    cr_assert_eq(truncate("run/samples/step-4.png", (64 << 20) + 1), 0);
    cr_assert_eq(mkdir("run/samples/step-5.png", 0777), 0);
    cr_assert(report_write("run"), "%s", ito_error_message());
    char *text = page();
    cr_assert_eq(count(text, "<figure>"), 2);
    has(text, "after step 2<");
    has(text, "max=\"1\" value=\"1\"");
    cr_assert_eq(ito_error_code(), ITO_OK);
}
