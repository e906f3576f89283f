/* What a run directory says of its run: settings, how far it is, its loss, its results. Read from
 * its small files; checkpoints are not verified. */
#ifndef ITO_DDPM_RUN_SUMMARY_H
#define ITO_DDPM_RUN_SUMMARY_H

#include "examples/common/run_log.h"

#include <cjson/cJSON.h>

typedef struct run_summary {
    const char *dir; /* borrowed */
    cJSON *config;   /* config.json */
    cJSON *options;  /* its options, with the defaults of those that an older version lacked */
    run_history log;
    cJSON *results;    /* run_results_read */
    cJSON *latest;     /* run_results_latest */
    const char *state; /* "done", "stopped", "training", or "begun": no checkpoint yet */
    char *checkpoint;  /* the newest one; NULL: none */
    int64_t checkpoint_step, steps; /* -1: none; steps in all, 0 if that is not known */
    int64_t step;                   /* steps done, by the log or the checkpoint */
    int64_t grids;                  /* grids of samples */
    int64_t grid_step;              /* the step of the newest, or -1 */
    double parameters;              /* of the newest checkpoint; NaN: none */
    /* By the log; NaN where it does not say. */
    double loss;        /* smoothed */
    double loss_before; /* a tenth of the run ago */
    double seconds, images_per_second, peak_bytes;
} run_summary;

/* False with an error recorded if there is no run in dir or its config.json cannot be used. */
bool run_summary_read(const char *dir, run_summary *out);
/* Accepts a zeroed one. */
void run_summary_free(run_summary *r);

/* "falling", "rising" or "level": the loss against loss_before; NULL where these are not known. */
const char *run_trend(const run_summary *r);
/* The members of a JSON object of the command's results. False without memory. */
bool run_summary_put(cJSON *o, const run_summary *r);

/* The steps that have a grid of samples in DIR/NAME, in order; their number, or 0. Freed with
 * free(). */
int64_t run_grids(const char *dir, const char *name, int64_t **steps);
/* The value of a setting for a table, "-" for none, in text. */
const char *setting_text(const cJSON *value, char *text, size_t size);

#endif
