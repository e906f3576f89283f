/* ito-ddpm compare: several runs side by side in one page.
 * Invariant: the page is self-contained, and run i has colour i wherever it is. */
#include "examples/common/chart.h"
#include "examples/common/html.h"
#include "examples/common/options.h"
#include "examples/common/paths.h"
#include "examples/common/progress.h"
#include "examples/common/results.h"
#include "examples/common/text_file.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/page.h"
#include "examples/ddpm/report_parts.h"
#include "examples/ddpm/run_directory.h"
#include "examples/ddpm/run_results.h"
#include "examples/ddpm/runs.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct compare_options {
    const char *out;
    bool json;
} compare_options;

#define AT(field) offsetof(compare_options, field)

static const option_row rows[] = {
    TEXT_ROW("out", out, "FILE.html", "compare.html", "The page"),
    JSON_ROW,
    END_ROW,
};

static const char doc[] =
    "Put runs side by side in one page for any browser: the settings in which they differ, their "
    "figures and what eval found of them, curves of the loss, the loss by time, and the newest "
    "samples. The figures are printed too."
    "\v"
    "Examples:\n"
    "  ito-ddpm compare runs/eps runs/v && xdg-open compare.html\n"
    "  ito-ddpm compare runs/* --out all.html --json\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage.";

/* ---- the table ---- */

static void write_mark(FILE *out, int64_t i)
{
    fprintf(out, "<span class=\"mark\" style=\"background:var(--c%d)\"></span>",
            (int)(i % CHART_COLORS));
}

static void write_heads(FILE *out, const run_list *list)
{
    fputs("<tr><th></th>", out);
    for (int64_t i = 0; i < list->n; i++) {
        fputs("<th>", out);
        write_mark(out, i);
        html_text(out, list->entries[i].path);
        fputs("</th>", out);
    }
    fputs("</tr>\n", out);
}

/* A row that opens a part of the table. */
static void write_part(FILE *out, const run_list *list, const char *name)
{
    fprintf(out, "<tr><th colspan=\"%" PRId64 "\">%s</th></tr>\n", list->n + 1, name);
}

static void write_settings(FILE *out, const cJSON *differing)
{
    const cJSON *values, *value;
    cJSON_ArrayForEach(values, differing)
    {
        fputs("<tr><td>", out);
        html_text(out, values->string);
        fputs("</td>", out);
        cJSON_ArrayForEach(value, values)
        {
            char text[300];
            fputs("<td>", out);
            html_text(out, setting_text(value, text, sizeof text));
            fputs("</td>", out);
        }
        fputs("</tr>\n", out);
    }
}

/* A row of the numbers at this place in each run's summary. */
static void write_numbers(FILE *out, const run_list *list, const char *label, const char *format,
                          size_t offset, double unit)
{
    fprintf(out, "<tr><td>%s</td>", label);
    for (int64_t i = 0; i < list->n; i++) {
        double value = *(const double *)((const char *)&list->entries[i].run + offset) / unit;
        fputs("<td>", out);
        fprintf(out, isfinite(value) ? format : "-", value);
        fputs("</td>", out);
    }
    fputs("</tr>\n", out);
}

/* A row of how far each run is, or how long it took. */
static void write_progress(FILE *out, const run_list *list, bool times)
{
    fprintf(out, "<tr><td>%s</td>", times ? "time" : "step");
    for (int64_t i = 0; i < list->n; i++) {
        const run_summary *r = &list->entries[i].run;
        char took[32] = "-";
        if (isfinite(r->seconds))
            format_duration(took, r->seconds);
        if (times)
            fprintf(out, "<td>%s</td>", took);
        else
            fprintf(out, "<td>%" PRId64 " of %" PRId64 ", %s</td>", r->step, r->steps, r->state);
    }
    fputs("</tr>\n", out);
}

static void write_figures(FILE *out, const run_list *list)
{
    write_progress(out, list, false);
    write_progress(out, list, true);
    write_numbers(out, list, "loss, smoothed", "%.4g", offsetof(run_summary, loss), 1.0);
    write_numbers(out, list, "parameters", "%.0f", offsetof(run_summary, parameters), 1.0);
    write_numbers(out, list, "images a second", "%.4g", offsetof(run_summary, images_per_second),
                  1.0);
    write_numbers(out, list, "peak memory, MiB", "%.0f", offsetof(run_summary, peak_bytes), 0x1p20);
}

/* A row for each measure that eval found of any run. */
static void write_results(FILE *out, const run_list *list)
{
    const cJSON *one;
    for (int64_t i = 0; i < list->n; i++)
        cJSON_ArrayForEach(one, list->entries[i].run.latest)
        {
            bool before = false;
            for (int64_t k = 0; k < i; k++)
                before = before || cJSON_HasObjectItem(list->entries[k].run.latest, one->string);
            if (before)
                continue;
            fputs("<tr><td>", out);
            html_text(out, one->string);
            fputs("</td>", out);
            for (int64_t k = 0; k < list->n; k++) {
                char text[160];
                const cJSON *its =
                    cJSON_GetObjectItemCaseSensitive(list->entries[k].run.latest, one->string);
                run_result_text(its, true, text, sizeof text);
                fputs("<td>", out);
                html_text(out, text);
                fputs("</td>", out);
            }
            fputs("</tr>\n", out);
        }
}

/* ---- curves ---- */

/* The smoothed losses over a column of the log. */
static void write_losses(FILE *out, const run_list *list, chart_series *lines, log_column x,
                         const char *label)
{
    for (int64_t i = 0; i < list->n; i++) {
        const run_history *h = &list->entries[i].run.log;
        lines[i] = (chart_series){.x = h->column[x], .y = h->smoothed, .n = h->n};
    }
    chart_write(out, &(chart){.title = "Loss, smoothed",
                              .x_label = label,
                              .log_y = true,
                              .series = lines,
                              .count = list->n});
}

/* Over the last third of each run, in shares of the range of times, which need not be the same. */
static void write_last_loss_by_time(FILE *out, const run_list *list, chart_series *lines)
{
    double x[LOG_BINS], (*y)[LOG_BINS] = calloc((size_t)list->n, sizeof *y);
    bool any = false;
    for (int i = 0; i < LOG_BINS; i++)
        x[i] = (i + 0.5) / LOG_BINS;
    for (int64_t i = 0; y != NULL && i < list->n; i++) {
        const run_history *h = &list->entries[i].run.log;
        int64_t last = h->n_bins - h->n_bins * 2 / 3;
        loss_by_time(h, h->n_bins - last, last, y[i]);
        lines[i] = (chart_series){.x = x, .y = y[i], .n = LOG_BINS};
        any = any || h->n_bins > 0;
    }
    if (any)
        chart_write(out, &(chart){.title = "Loss by time, the last third",
                                  .x_label = "time, of its range",
                                  .log_y = true,
                                  .series = lines,
                                  .count = list->n});
    free(y);
}

static void write_curves(FILE *out, const run_list *list)
{
    chart_series *lines = calloc((size_t)list->n, sizeof *lines);
    if (lines == NULL)
        return;
    fputs("<h2>Curves</h2>\n<p>", out);
    for (int64_t i = 0; i < list->n; i++) {
        write_mark(out, i);
        html_text(out, list->entries[i].path);
        fputs(i + 1 < list->n ? " &nbsp; " : "</p>\n", out);
    }
    fputs("<div class=\"charts\">\n", out);
    write_losses(out, list, lines, LOG_STEP, "step");
    write_losses(out, list, lines, LOG_SECONDS, "seconds of training");
    write_last_loss_by_time(out, list, lines);
    fputs("</div>\n", out);
    free(lines);
}

/* ---- samples ---- */

static void write_samples(FILE *out, const run_list *list)
{
    bool any = false;
    for (int64_t i = 0; i < list->n; i++)
        any = any || list->entries[i].run.grid_step >= 0;
    if (!any)
        return;
    fputs("<h2>Newest samples</h2>\n<div class=\"beside\">\n", out);
    for (int64_t i = 0; i < list->n; i++) {
        const run_summary *r = &list->entries[i].run;
        char caption[400], *path = r->grid_step >= 0 ? run_sample_path(r->dir, r->grid_step) : NULL;
        snprintf(caption, sizeof caption, "%s, after step %" PRId64, r->dir, r->grid_step);
        page_image(out, path, caption, caption);
        free(path);
    }
    fputs("</div>\n", out);
}

/* ---- the command ---- */

enum { MOST_RUNS = 1000 };

/* That curves of different losses do not tell which run is better; NULL if they are of one kind. */
static const char *warning(const cJSON *differing, char text[160])
{
    const char *name = runs_loss_differs(differing);
    if (name == NULL)
        return NULL;
    snprintf(text, 160, "The losses are not of one kind, since the runs differ in %s", name);
    return text;
}

static bool write_page(const run_list *list, const cJSON *differing, const char *path)
{
    text_file f;
    char title[64], text[160];
    if (!text_begin(&f, path))
        return false;
    snprintf(title, sizeof title, "%" PRId64 " runs side by side", list->n);
    page_begin(f.out, title, "Training runs of ito-ddpm");
    fputs("<div class=\"wide\"><table>\n", f.out);
    write_heads(f.out, list);
    if (cJSON_GetArraySize(differing) > 0)
        write_part(f.out, list, "Settings that differ");
    write_settings(f.out, differing);
    write_part(f.out, list, "Figures");
    write_figures(f.out, list);
    write_results(f.out, list);
    fputs("</table></div>\n", f.out);
    if (warning(differing, text) != NULL)
        fprintf(f.out, "<p>%s.</p>\n", text);
    write_curves(f.out, list);
    write_samples(f.out, list);
    page_end(f.out);
    return text_end(&f, true);
}

static int print(const run_list *list, const cJSON *differing, const compare_options *o)
{
    char text[160];
    if (o->json) {
        cJSON *root = runs_describe(list, differing);
        result_text(root, "out", o->out);
        return results_print_json("compare", root);
    }
    runs_print(stdout, list, differing, NULL);
    if (warning(differing, text) != NULL)
        printf("%s.\n", text);
    say_where(list->n, "run", "runs side by side", o->out);
    return results_end("compare", true);
}

/* Whether the page can be written there, under a name that says what it is. */
static bool can_write(const char *out)
{
    if (!path_ends_with(out, ".html"))
        return options_error("--out: %s: the name of a page ends in .html", out);
    return path_can_write(out);
}

/* All of them must be runs: an entry that cannot be read is an error here. */
static bool read_all(run_list *list, const command_line *c)
{
    for (int i = 0; i < c->count; i++) {
        if (!run_list_add(list, c->all[i]))
            return false;
        if (!list->entries[i].good) {
            ito_error_set(ITO_ERR_FORMAT, "%s", list->entries[i].fault);
            return false;
        }
    }
    return true;
}

int command_compare(int argc, char **argv)
{
    compare_options o = {.out = NULL};
    command_line c = {.command = "compare",
                      .arguments = "RUN RUN...",
                      .doc = doc,
                      .options = rows,
                      .values = &o,
                      .most = MOST_RUNS};
    options_parse(&c, argc, argv);
    options_require_argument(&c);
    if (c.count < 2)
        options_refuse(&c, "there is one run, %s; it takes two or more", c.argument);
    run_list list = {.n = 0};
    cJSON *differing = NULL;
    bool good = can_write(o.out) && read_all(&list, &c);
    if (good) {
        differing = runs_differing(&list);
        good = write_page(&list, differing, o.out);
    }
    int code = good ? print(&list, differing, &o) : options_report("compare");
    cJSON_Delete(differing);
    run_list_free(&list);
    return code;
}
