/* report.html of a run.
 * Invariant: the file is self-contained (style, script, charts and images are inside), every text
 * from the run is escaped, and it is replaced as a whole. */
#include "examples/ddpm/report.h"

#include "examples/common/chart.h"
#include "examples/common/html.h"
#include "examples/common/paths.h"
#include "examples/common/run_log.h"
#include "examples/common/text_file.h"
#include "examples/ddpm/run_directory.h"
#include "examples/ddpm/schedule_plots.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_GRIDS = 40, MAX_IMAGE = 64 << 20 };

/* ---- style ---- */

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1f2328;--paper:#fff;--rule:#d8dee4;--card:#f6f8fa;"
    "--c0:#1f6feb;--c1:#d1242f;--c2:#1a7f37;--c3:#9a6700}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--paper:#0d1117;--rule:#30363d;"
    "--card:#161b22;--c0:#58a6ff;--c1:#ff7b72;--c2:#3fb950;--c3:#d29922}}"
    "body{margin:0 auto;padding:1rem;max-width:64rem;font:16px/1.5 system-ui,sans-serif;"
    "color:var(--ink);background:var(--paper)}"
    "h1{font-size:1.4rem;overflow-wrap:anywhere}h2{font-size:1.1rem;margin-top:2rem}"
    ".figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem}"
    ".figures div{background:var(--card);border-radius:.5rem;padding:.5rem .8rem}"
    ".figures b{display:block;font-size:1.2rem}"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));"
    "gap:1rem}"
    ".grids figure{margin:0;display:none}.grids figure:last-of-type{display:block}.grids "
    "img{width:100%;max-width:36rem;image-rendering:pixelated;display:block}"
    ".grids input{width:100%;max-width:36rem}"
    "table{border-collapse:collapse}td{border-bottom:1px solid var(--rule);padding:.15rem .8rem "
    ".15rem 0;vertical-align:top;overflow-wrap:anywhere}"
    "pre{background:var(--card);border-radius:.5rem;padding:.8rem;white-space:pre-wrap;"
    "overflow-wrap:anywhere}pre span{display:inline-block}"
    /* charts shrink on a narrow page, but their letters should not */
    "@media(max-width:34rem){.charts .chart{font-size:16px}.charts .chart .title{font-size:17px}}";

/* ---- figures ---- */

typedef struct run_report {
    const char *dir;
    cJSON *config;
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

static void write_figure(FILE *out, const char *label, const char *format, double value)
{
    fprintf(out, "<div>%s<b>", label);
    if (isfinite(value))
        fprintf(out, format, value);
    else
        fputs("none yet", out);
    fputs("</b></div>\n", out);
}

static void write_figures(const run_report *r)
{
    const run_history *h = &r->log;
    const cJSON *steps = option_of(r, "steps"), *isa;
    double seconds = latest(r, h->column[LOG_SECONDS]);
    FILE *out = r->out;
    fputs("<div class=\"figures\">\n", out);
    char step[48] = "%.0f";
    if (cJSON_IsNumber(steps))
        snprintf(step, sizeof step, "%%.0f of %.15g", steps->valuedouble);
    write_figure(out, "step", step, latest(r, h->column[LOG_STEP]));
    write_figure(out, "loss, smoothed", "%.4g", latest(r, h->smoothed));
    write_figure(out, "images a second", "%.4g", latest(r, h->column[LOG_IMAGES_PER_SECOND]));
    write_figure(out, seconds < 7200.0 ? "minutes of training" : "hours of training", "%.1f",
                 seconds / (seconds < 7200.0 ? 60.0 : 3600.0));
    write_figure(out, "peak memory, MiB", "%.0f", latest(r, h->column[LOG_PEAK_BYTES]) / 0x1p20);
    isa = cJSON_GetObjectItemCaseSensitive(r->config, "isa");
    if (cJSON_IsString(isa)) {
        fputs("<div>instruction set<b>", out);
        html_text(out, isa->valuestring);
        fputs("</b></div>\n", out);
    }
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

static void write_curves(const run_report *r)
{
    const run_history *h = &r->log;
    fputs("<h2>Curves</h2>\n<div class=\"charts\">\n", r->out);
    write_loss(r->out, h, false);
    write_curve(r, "Learning rate", h->column[LOG_LR], false, true);
    write_curve(r, "Norm of the gradient", h->column[LOG_GRAD_NORM], true, false);
    write_curve(r, "Images a second", h->column[LOG_IMAGES_PER_SECOND], false, true);
    for (int64_t i = 0; i < h->n; i++)
        h->column[LOG_PEAK_BYTES][i] /= 0x1p20;
    write_curve(r, "Peak memory, MiB", h->column[LOG_PEAK_BYTES], false, true);
    fputs("</div>\n", r->out);
}

/* ---- the schedule ---- */

/* Settings that this program does not know omit the charts; the table shows them all. */
static void write_schedule_of(const run_report *r)
{
    ito_ddpm_settings settings;
    ito_diffusion *d = NULL;
    char *text = cJSON_PrintUnformatted(r->config);
    if (text != NULL && ito_ddpm_settings_parse(text, r->dir, &settings) == ITO_OK)
        d = ito_diffusion_create_with(settings.diffusion);
    if (d == NULL)
        ito_error_clear();
    bool in_steps = d != NULL && d->process->steps > 0; /* the charts are of tables */
    if (in_steps)
        fputs("<h2>Noise schedule</h2>\n<div class=\"charts\">\n", r->out);
    for (int i = 0; in_steps && i < SCHEDULE_PLOTS; i++)
        if (!schedule_plot_write(r->out, &schedule_plots[i], (const ito_process *[]){d->process},
                                 NULL, 1, false))
            ito_error_clear();
    if (in_steps)
        fputs("</div>\n", r->out);
    ito_diffusion_free(d);
    free(text);
}

/* ---- grids of samples ---- */

static int64_t grid_step(const char *name)
{
    static const char start[] = "step-";
    const char *digits = name + sizeof start - 1;
    if (strncmp(name, start, sizeof start - 1) != 0 || *digits < '0' || *digits > '9')
        return -1;
    char *end;
    errno = 0;
    long long step = strtoll(digits, &end, 10);
    return errno == 0 && strcmp(end, ".png") == 0 ? step : -1;
}

static int by_step(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The steps that have a grid, in order; their number, or 0. Freed with free(). */
static int64_t list_grids(const char *dir, int64_t **steps)
{
    char *path = path_join(dir, "samples");
    DIR *d = path != NULL ? opendir(path) : NULL;
    int64_t n = 0, room = 0;
    *steps = NULL;
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (grid_step(e->d_name) < 0)
            continue;
        if (n == room) {
            room = room > 0 ? 2 * room : 64;
            int64_t *grown = realloc(*steps, (size_t)room * sizeof *grown);
            if (grown == NULL)
                break;
            *steps = grown;
        }
        (*steps)[n++] = grid_step(e->d_name);
    }
    if (d != NULL)
        closedir(d);
    free(path);
    if (n > 0)
        qsort(*steps, (size_t)n, sizeof **steps, by_step);
    return n;
}

/* Write the grid; false if there is none that can be read and is small enough for a page. */
static bool write_grid(const run_report *r, int64_t step)
{
    int64_t size;
    char *path = run_sample_path(r->dir, step);
    char *data = path != NULL ? ito_file_read(path, MAX_IMAGE, &size) : NULL;
    free(path);
    if (data == NULL) {
        ito_error_clear();
        return false;
    }
    fprintf(r->out,
            "<figure><img alt=\"samples after step %" PRId64 "\" src=\"data:image/png;base64,",
            step);
    html_base64(r->out, data, size);
    fprintf(r->out, "\"><figcaption>after step %" PRId64 "</figcaption></figure>\n", step);
    free(data);
    return true;
}

/* The style sheet shows the last one until the slider is moved. */
static void write_grids(const run_report *r)
{
    int64_t *steps, n = list_grids(r->dir, &steps), wanted = n < MOST_GRIDS ? n : MOST_GRIDS;
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
    char when[64] = "";
    time_t now = time(NULL);
    struct tm local;
    if (localtime_r(&now, &local) != NULL)
        strftime(when, sizeof when, "%Y-%m-%d %H:%M", &local);
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
          r->out);
    html_text(r->out, r->dir);
    fprintf(
        r->out,
        "</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>%s\n%s</style>\n</head>\n<body>\n"
        "<h1>",
        style, chart_style);
    html_text(r->out, r->dir);
    fprintf(r->out, "</h1>\n<p>A training run of ito-ddpm; written %s.</p>\n", when);
    write_figures(r);
    write_curves(r);
    write_grids(r);
    write_schedule_of(r);
    write_command(r);
    fputs("<h2>Settings</h2>\n<table>\n", r->out);
    write_rows(r->out, r->config, "");
    fputs("</table>\n</body>\n</html>\n", r->out);
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
