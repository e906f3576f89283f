/* report.html of a run.
 * Invariant: the file is self-contained (style, script, charts and images are inside), every text
 * from the run is escaped, and it is replaced as a whole. */
#include "examples/ddpm/report.h"

#include "examples/common/chart.h"
#include "examples/common/html.h"
#include "examples/common/paths.h"
#include "examples/common/run_log.h"
#include "examples/common/text_file.h"
#include "examples/ddpm/page.h"
#include "examples/ddpm/report_parts.h"
#include "examples/ddpm/run_directory.h"
#include "examples/ddpm/run_results.h"
#include "examples/ddpm/run_summary.h"
#include "examples/ddpm/schedule_plots.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_GRIDS = 40 };

/* ---- figures ---- */

typedef struct run_report {
    const char *dir;
    cJSON *config;
    ito_diffusion *diffusion; /* NULL: its settings are not known to this program */
    run_history log;
    FILE *out;
} run_report;

static const cJSON *option_of(const run_report *r, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(r->config, "options"),
                                            name);
}

static double latest(const run_report *r, const double *column)
{
    return r->log.n > 0 ? column[r->log.n - 1] : (double)NAN;
}

/* What eval found, the latest of each. */
static void write_results(const run_report *r)
{
    cJSON *results = run_results_read(r->dir), *latest = run_results_latest(results);
    const cJSON *one;
    cJSON_ArrayForEach(one, latest) page_figure(
        r->out, one->string, "%.4g", cJSON_GetObjectItemCaseSensitive(one, "value")->valuedouble);
    cJSON_Delete(results);
    cJSON_Delete(latest);
}

static void write_figures(const run_report *r)
{
    const run_history *h = &r->log;
    const cJSON *steps = option_of(r, "steps");
    double seconds = latest(r, h->column[LOG_SECONDS]);
    FILE *out = r->out;
    fputs("<div class=\"figures\">\n", out);
    char step[48] = "%.0f";
    if (cJSON_IsNumber(steps))
        snprintf(step, sizeof step, "%%.0f of %.15g", steps->valuedouble);
    page_figure(out, "step", step, latest(r, h->column[LOG_STEP]));
    page_figure(out, "loss, smoothed", "%.4g", latest(r, h->smoothed));
    page_figure(out, "images a second", "%.4g", latest(r, h->column[LOG_IMAGES_PER_SECOND]));
    page_figure(out, seconds < 7200.0 ? "minutes of training" : "hours of training", "%.1f",
                seconds / (seconds < 7200.0 ? 60.0 : 3600.0));
    page_figure(out, "peak memory, MiB", "%.0f", latest(r, h->column[LOG_PEAK_BYTES]) / 0x1p20);
    const cJSON *isa = cJSON_GetObjectItemCaseSensitive(r->config, "isa");
    if (cJSON_IsString(isa))
        page_text_figure(out, "instruction set", isa->valuestring);
    write_results(r);
    fputs("</div>\n", out);
}

/* ---- curves ---- */

static void write_curve(const run_report *r, const char *title, const double *y, bool log_y,
                        bool from_zero)
{
    const run_history *h = &r->log;
    chart_series line = {.x = h->column[LOG_STEP], .y = y, .n = h->n};
    chart_write(r->out, &(chart){.title = title,
                                 .x_label = "step",
                                 .log_y = log_y,
                                 .from_zero = from_zero,
                                 .series = &line,
                                 .count = 1});
}

static void write_loss(FILE *out, const run_history *h, bool alone)
{
    chart_series loss[] = {
        {.name = "each step",
         .x = h->column[LOG_STEP],
         .y = h->column[LOG_LOSS],
         .n = h->n,
         .faint = true},
        {.name = "smoothed", .x = h->column[LOG_STEP], .y = h->smoothed, .n = h->n},
    };
    chart_write(out, &(chart){.title = "Loss",
                              .x_label = "step",
                              .log_y = true,
                              .alone = alone,
                              .series = loss,
                              .count = 2});
}

static const ito_process *process_of(const run_report *r)
{
    return r->diffusion != NULL ? r->diffusion->process : NULL;
}

static void write_curves(const run_report *r)
{
    const run_history *h = &r->log;
    fputs("<h2>Curves</h2>\n<div class=\"charts\">\n", r->out);
    write_loss(r->out, h, false);
    write_loss_by_time(r->out, h, process_of(r));
    write_curve(r, "Learning rate", h->column[LOG_LR], false, true);
    write_curve(r, "Norm of the gradient", h->column[LOG_GRAD_NORM], true, false);
    write_curve(r, "Images a second", h->column[LOG_IMAGES_PER_SECOND], false, true);
    for (int64_t i = 0; i < h->n; i++)
        h->column[LOG_PEAK_BYTES][i] /= 0x1p20;
    write_curve(r, "Peak memory, MiB", h->column[LOG_PEAK_BYTES], false, true);
    fputs("</div>\n", r->out);
}

/* ---- the schedule ---- */

/* NULL for settings that this program does not know. */
static ito_diffusion *diffusion_of(const run_report *r)
{
    ito_ddpm_settings settings;
    ito_diffusion *d = NULL;
    char *text = cJSON_PrintUnformatted(r->config);
    if (text != NULL && ito_ddpm_settings_parse(text, r->dir, &settings) == ITO_OK)
        d = ito_diffusion_create_with(settings.diffusion);
    if (d == NULL)
        ito_error_clear();
    free(text);
    return d;
}

/* The charts are of tables: none in continuous time. */
static void write_schedule_of(const run_report *r)
{
    if (process_of(r) == NULL || process_of(r)->steps == 0)
        return;
    fputs("<h2>Noise schedule</h2>\n<div class=\"charts\">\n", r->out);
    for (int i = 0; i < SCHEDULE_PLOTS; i++)
        if (!schedule_plot_write(r->out, &schedule_plots[i], (const ito_process *[]){process_of(r)},
                                 NULL, 1, false))
            ito_error_clear();
    fputs("</div>\n", r->out);
}

/* ---- grids of samples ---- */

/* Write the grid; false if there is none that can be read. */
static bool write_grid(const run_report *r, int64_t step)
{
    char alt[64], caption[64], *path = run_sample_path(r->dir, step);
    snprintf(alt, sizeof alt, "samples after step %" PRId64, step);
    snprintf(caption, sizeof caption, "after step %" PRId64, step);
    bool good = page_image(r->out, path, alt, caption);
    free(path);
    return good;
}

/* The style sheet shows the last one until the slider is moved. */
static void write_grids(const run_report *r)
{
    int64_t *steps, n = run_grids(r->dir, "samples", &steps),
                    wanted = n < MOST_GRIDS ? n : MOST_GRIDS;
    int64_t shown = 0;
    if (n > 0)
        fputs("<h2>Samples over time</h2>\n<div class=\"grids\">\n", r->out);
    for (int64_t i = 0; i < wanted; i++)
        shown += write_grid(r, steps[wanted > 1 ? i * (n - 1) / (wanted - 1) : 0]);
    if (shown > 1)
        fprintf(r->out,
                "<input type=\"range\" aria-label=\"which grid\" min=\"0\" max=\"%" PRId64
                "\" value=\"%" PRId64 "\">\n<script>\n"
                "const grids = document.querySelectorAll('.grids figure');\n"
                "document.querySelector('.grids input').oninput = e =>\n"
                "    grids.forEach((g, i) =>\n"
                "        g.style.display = i == e.target.value ? 'block' : 'none');\n</script>\n",
                shown - 1, shown - 1);
    if (n > 0)
        fputs("</div>\n", r->out);
    free(steps);
}

/* ---- settings ---- */

static void write_rows(FILE *out, const cJSON *object, const char *prefix)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        char name[160];
        snprintf(name, sizeof name, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", item->string);
        if (cJSON_IsObject(item)) {
            write_rows(out, item, name);
            continue;
        }
        char *value = cJSON_PrintUnformatted(item);
        fputs("<tr><td>", out);
        html_text(out, name);
        fputs("</td><td>", out);
        html_text(out, cJSON_IsString(item) ? item->valuestring : value != NULL ? value : "");
        fputs("</td></tr>\n", out);
        free(value);
    }
}

/* The command with every option of the run, so that the defaults of another version do not
 * matter. */
static void write_command(const run_report *r)
{
    const cJSON *item;
    fputs("<h2>To do it again</h2>\n<pre>ito-ddpm train --out ", r->out);
    html_shell_word(r->out, r->dir);
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(r->config, "options"))
    {
        if (cJSON_IsFalse(item))
            continue;
        fputs(" <span>--", r->out);
        html_text(r->out, item->string);
        if (!cJSON_IsTrue(item)) {
            char *value = cJSON_PrintUnformatted(item);
            fputc(' ', r->out);
            html_shell_word(r->out, cJSON_IsString(item) ? item->valuestring
                                    : value != NULL      ? value
                                                         : "");
            free(value);
        }
        fputs("</span>", r->out);
    }
    fputs("</pre>\n", r->out);
}

/* ---- the page ---- */

static void write_page(run_report *r)
{
    r->diffusion = diffusion_of(r);
    page_begin(r->out, r->dir, "A training run of ito-ddpm");
    write_figures(r);
    write_curves(r);
    write_grids(r);
    write_plain_samples(r->out, r->dir);
    write_profile(r->out, r->dir);
    write_schedule_of(r);
    write_command(r);
    fputs("<h2>Settings</h2>\n<table>\n", r->out);
    write_rows(r->out, r->config, "");
    fputs("</table>\n", r->out);
    page_end(r->out);
    ito_diffusion_free(r->diffusion);
}

static void write_loss_alone(run_report *r)
{
    write_loss(r->out, &r->log, true);
}

/* Write the file by `write`, completely or not at all. */
static bool write_file(const char *dir, const char *path, void (*write)(run_report *r))
{
    text_file f;
    run_report r = {.dir = dir, .config = path != NULL ? run_config(dir) : NULL};
    bool good = r.config != NULL && run_history_read(dir, &r.log) && text_begin(&f, path);
    if (good) {
        r.out = f.out;
        write(&r);
        good = text_end(&f, true);
    }
    run_history_free(&r.log);
    cJSON_Delete(r.config);
    return good;
}

bool report_write(const char *dir)
{
    char *path = path_join(dir, "report.html");
    bool good = write_file(dir, path, write_page);
    free(path);
    return good;
}

bool report_write_loss(const char *dir, const char *path)
{
    return write_file(dir, path, write_loss_alone);
}
