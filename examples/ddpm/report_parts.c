/* The parts of a report that take a run apart.
 * Invariant: what a run of an earlier version does not have is left out. */
#include "examples/ddpm/report_parts.h"

#include "examples/common/chart.h"
#include "examples/common/html.h"
#include "examples/common/paths.h"
#include "examples/ddpm/loss_bins.h"
#include "examples/ddpm/page.h"
#include "examples/ddpm/run_directory.h"
#include "examples/ddpm/run_summary.h"
#include "examples/ddpm/step_profile.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the loss by time ---- */

void loss_by_time(const run_history *h, int64_t first, int64_t n, double mean[LOG_BINS])
{
    for (int b = 0; b < LOG_BINS; b++) {
        double sum = 0.0;
        int64_t count = 0;
        for (int64_t i = first; i < first + n; i++)
            if (isfinite(h->bins[i].mean[b])) {
                sum += h->bins[i].mean[b];
                count++;
            }
        mean[b] = count > 0 ? sum / (double)count : (double)NAN;
    }
}

/* The middle of bin i on the chart's axis: the time, or its logarithm where the bins are even in
 * that. */
static double middle_of(const ito_process *p, int i)
{
    if (p == NULL)
        return (i + 0.5) / LOG_BINS;
    double low = loss_bin_edge(p, i), high = loss_bin_edge(p, i + 1);
    return loss_bins_logarithmic(p) ? 0.5 * (log10(low) + log10(high)) : 0.5 * (low + high);
}

void write_loss_by_time(FILE *out, const run_history *h, const ito_process *p)
{
    enum { STAGES = 3 };
    double x[LOG_BINS], y[STAGES][LOG_BINS];
    char names[STAGES][32];
    chart_series lines[STAGES];
    int64_t stages = h->n_bins < STAGES ? h->n_bins : STAGES;
    for (int i = 0; i < LOG_BINS; i++)
        x[i] = middle_of(p, i);
    for (int64_t s = 0; s < stages; s++) {
        int64_t first = s * h->n_bins / stages, end = (s + 1) * h->n_bins / stages;
        loss_by_time(h, first, end - first, y[s]);
        snprintf(names[s], sizeof names[s], "to %.0f", h->bins[end - 1].step);
        lines[s] = (chart_series){.name = names[s], .x = x, .y = y[s], .n = LOG_BINS};
    }
    if (stages > 0)
        chart_write(out, &(chart){.title = "Loss by time, in steps up to",
                                  .x_label = p == NULL                  ? "time, of its range"
                                             : loss_bins_logarithmic(p) ? "log10 of the time"
                                                                        : "time",
                                  .log_y = true,
                                  .series = lines,
                                  .count = stages});
}

/* ---- averaged against plain weights ---- */

void write_plain_samples(FILE *out, const char *dir)
{
    int64_t *steps, n = run_grids(dir, PLAIN_SAMPLES, &steps);
    int64_t step = n > 0 ? steps[n - 1] : -1;
    free(steps);
    char *averaged = run_sample_path(dir, step), *plain = run_plain_sample_path(dir, step);
    if (step >= 0 && averaged != NULL && plain != NULL && path_exists(averaged)) {
        char caption[96];
        fputs("<h2>Averaged and plain weights</h2>\n<div class=\"beside\">\n", out);
        snprintf(caption, sizeof caption, "averaged weights, after step %" PRId64, step);
        page_image(out, averaged, caption, caption);
        snprintf(caption, sizeof caption, "plain weights, from the same noise");
        page_image(out, plain, caption, caption);
        fputs("</div>\n", out);
    }
    free(averaged);
    free(plain);
}

/* ---- the time of a step by operation ---- */

static double number_of(const cJSON *o, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, name);
    return cJSON_IsNumber(item) ? item->valuedouble : 0.0;
}

static const char *text_of(const cJSON *o, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

static int by_time(const void *a, const void *b)
{
    double x = number_of(*(const cJSON *const *)a, "ms");
    double y = number_of(*(const cJSON *const *)b, "ms");
    return (x < y) - (x > y);
}

static void write_profile_row(FILE *out, const char *name, const char *pass, double ms,
                              double share)
{
    fputs("<tr><td>", out);
    html_text(out, name);
    fputs("</td><td>", out);
    html_text(out, pass);
    fprintf(out,
            "</td><td class=\"number\">%.2f</td><td class=\"number\">%.1f%%</td><td "
            "style=\"width:40%%\"><div class=\"bar\" style=\"width:%.1f%%\"></div></td></tr>\n",
            ms, 100.0 * share, 100.0 * share);
}

static void write_profile_rows(FILE *out, const cJSON *profile, const cJSON **rows, int n)
{
    enum { SHOWN = 15 };
    double steps = number_of(profile, "steps"), total = number_of(profile, "ms"), rest = 0.0;
    qsort(rows, (size_t)n, sizeof *rows, by_time);
    fputs("<table>\n<tr><th>operation</th><th>pass</th><th class=\"number\">ms a step</th><th "
          "class=\"number\">share</th><th></th></tr>\n",
          out);
    for (int i = 0; i < n && i < SHOWN; i++) {
        double ms = number_of(rows[i], "ms");
        write_profile_row(out, text_of(rows[i], "name"), text_of(rows[i], "pass"), ms / steps,
                          ms / total);
    }
    for (int i = SHOWN; i < n; i++)
        rest += number_of(rows[i], "ms");
    if (n > SHOWN) {
        char name[48];
        snprintf(name, sizeof name, "%d more", n - SHOWN);
        write_profile_row(out, name, "", rest / steps, rest / total);
    }
    fputs("</table>\n", out);
}

void write_profile(FILE *out, const char *dir)
{
    cJSON *profile = step_profile_read(dir);
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(profile, "rows"), *row;
    int n = 0, room = cJSON_GetArraySize(list);
    const cJSON **rows = calloc((size_t)room + 1, sizeof *rows);
    if (rows != NULL)
        cJSON_ArrayForEach(row, list) rows[n++] = row;
    if (n > 0 && number_of(profile, "steps") > 0.0 && number_of(profile, "ms") > 0.0) {
        fprintf(out,
                "<h2>Where the time of a step goes</h2>\n<p>%.4g ms a step: the mean of %.0f up to "
                "step %.0f.</p>\n",
                number_of(profile, "ms") / number_of(profile, "steps"), number_of(profile, "steps"),
                number_of(profile, "step"));
        write_profile_rows(out, profile, rows, n);
    }
    free(rows);
    cJSON_Delete(profile);
}
