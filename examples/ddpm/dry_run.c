/* train --dry-run.
 * Invariant: nothing is written; memory and time are those of real steps on real batches. */
#include "examples/ddpm/dry_run.h"

#include "examples/common/results.h"
#include "examples/ddpm/run_samples.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Steps that are timed, after the first, which is the slowest; fewer if they take long. */
enum { TIMED = 7 };
#define ENOUGH_SECONDS 20.0

typedef struct estimate {
    double a_step, an_epoch, a_grid, all;          /* seconds */
    int64_t parameters, peak, machine, checkpoint; /* bytes, but for the first */
    int64_t checkpoints, grids;
} estimate;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of the seconds that a step takes. False with an error recorded. */
static bool time_steps(session *s, double *a_step)
{
    double seconds[TIMED], started = progress_clock();
    int n = 0;
    for (int i = -1; i < TIMED && (n == 0 || progress_clock() - started < ENOUGH_SECONDS); i++) {
        ito_train_result r;
        double before = progress_clock();
        if (!session_step(s, s->o.lr, &r))
            return false;
        if (i >= 0)
            seconds[n++] = progress_clock() - before;
    }
    qsort(seconds, (size_t)n, sizeof seconds[0], by_value);
    *a_step = seconds[n / 2];
    return true;
}

static bool make_estimate(session *s, estimate *e)
{
    const train_options *o = &s->o;
    if (!time_steps(s, &e->a_step) || (o->sample_every > 0 && !run_samples_time(s, &e->a_grid)))
        return false;
    ito_memory_account m = ito_memory_account_of(&s->unet->base, s->optimizer, s->ema);
    e->parameters = ito_module_parameter_count(&s->unet->base);
    e->peak = m.peak;
    e->machine = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    e->checkpoint = m.weights + m.averages + m.optimizer;
    e->an_epoch = e->a_step * (double)s->data->size / (double)o->batch;
    e->checkpoints = o->steps / o->checkpoint_every + (o->steps % o->checkpoint_every > 0);
    e->grids =
        o->sample_every == 0 ? 0 : o->steps / o->sample_every + (o->steps % o->sample_every > 0);
    e->all = e->a_step * (double)o->steps + e->a_grid * (double)e->grids;
    return true;
}

/* "381 MiB" or "1.4 GiB" */
static const char *size_text(char text[32], int64_t bytes)
{
    double mib = (double)bytes / (1 << 20);
    if (mib < 1024.0)
        snprintf(text, 32, "%.*f MiB", mib < 10.0 ? 1 : 0, mib);
    else
        snprintf(text, 32, "%.1f GiB", mib / 1024.0);
    return text;
}

static int print_text(const session *s, const estimate *e)
{
    char a[32], b[32];
    const train_options *o = &s->o;
    int64_t kept = e->checkpoints < o->keep ? e->checkpoints : o->keep;
    printf("data        %" PRId64 " images of %" PRId64 "x%" PRId64 "x%" PRId64 "\n", s->data->size,
           s->channels, s->height, s->width);
    printf("network     %" PRId64 " parameters\n", e->parameters);
    printf("steps       %" PRId64 " of %" PRId64 " image%s each: %.3g epochs\n", o->steps, o->batch,
           PLURAL(o->batch), (double)o->steps * (double)o->batch / (double)s->data->size);
    printf("memory      %s at its peak; this machine has %s\n", size_text(a, e->peak),
           size_text(b, e->machine));
    format_duration(a, e->an_epoch);
    format_duration(b, e->all);
    printf("time        %.3g s a step: an epoch in %s; the run in %s\n", e->a_step, a, b);
    printf("disk        %s a checkpoint; %" PRId64 " stay: %s\n", size_text(a, e->checkpoint), kept,
           size_text(b, kept * e->checkpoint));
    printf("writes      %s/: config.json, log.jsonl, report.html%s\n", o->out,
           o->tensorboard ? ", tensorboard/" : "");
    printf("            checkpoints/step-N, %" PRId64 " time%s\n", e->checkpoints,
           PLURAL(e->checkpoints));
    format_duration(a, e->a_grid);
    if (e->grids > 0)
        printf("            samples/step-N.png, %" PRId64 " time%s, %s each\n", e->grids,
               PLURAL(e->grids), a);
    return results_end("train", true);
}

static int print_json(const session *s, const estimate *e)
{
    cJSON *root = cJSON_CreateObject();
    result_text(root, "run", s->o.out);
    result_number(root, "images", (double)s->data->size);
    result_number(root, "parameters", (double)e->parameters);
    result_number(root, "steps", (double)s->o.steps);
    result_number(root, "peak_bytes", (double)e->peak);
    result_number(root, "seconds_a_step", e->a_step);
    result_number(root, "seconds_an_epoch", e->an_epoch);
    result_number(root, "seconds_a_grid", e->a_grid);
    result_number(root, "seconds", e->all);
    result_number(root, "checkpoint_bytes", (double)e->checkpoint);
    result_number(root, "checkpoints", (double)e->checkpoints);
    result_number(root, "grids", (double)e->grids);
    return results_print_json("train", root);
}

int dry_run(session *s)
{
    estimate e = {.a_grid = 0.0};
    if (!make_estimate(s, &e))
        return options_report("train");
    return s->o.json ? print_json(s, &e) : print_text(s, &e);
}
