/* log.jsonl of a training run: a JSON object a line, appended during training, and read back as
 * columns. Functions give false with an error recorded. */
#ifndef ITO_EXAMPLES_RUN_LOG_H
#define ITO_EXAMPLES_RUN_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* ---- writing ---- */

typedef struct run_log {
    FILE *file; /* NULL while closed */
    char *path;
} run_log;

/* Open DIR/log.jsonl to append, without the lines of steps after `step`. seconds is set to that of
 * its last line, or 0. */
bool run_log_open(run_log *log, const char *dir, int64_t step, double *seconds);
/* Append a line. */
bool run_log_write(run_log *log, const char *line);
/* Accepts one that is not open, zeroed. */
void run_log_close(run_log *log);

/* ---- reading ---- */

/* The columns of a line; NaN where it has no such member. */
typedef enum log_column {
    LOG_STEP,
    LOG_LOSS,
    LOG_GRAD_NORM,
    LOG_LR,
    LOG_IMAGES_PER_SECOND,
    LOG_SECONDS,
    LOG_PEAK_BYTES,
    LOG_COLUMNS
} log_column;

/* Bins of the loss by time; see examples/ddpm/loss_bins.h. */
enum { LOG_BINS = 10 };

typedef struct log_bins {
    double step;           /* of the line that has them */
    double mean[LOG_BINS]; /* NaN for a bin without images */
} log_bins;

typedef struct run_history {
    int64_t n;
    double *column[LOG_COLUMNS];
    double *smoothed; /* the loss, averaged over the steps before it: half weight at 1 / 40 of n */
    int64_t n_bins;   /* of the lines that have a loss by time */
    log_bins *bins;
} run_history;

/* All lines up to the first that cannot be read; none if there is no file. Freed by
 * run_history_free, also after a failure. */
bool run_history_read(const char *dir, run_history *out);
void run_history_free(run_history *h);

#endif
