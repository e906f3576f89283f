/* log.jsonl read back, as columns. */
#ifndef ITO_DDPM_RUN_LOG_H
#define ITO_DDPM_RUN_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* What a line says; NaN where it says nothing. */
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

typedef struct run_history {
    int64_t n;
    double *column[LOG_COLUMNS];
    double *smoothed; /* the loss, averaged over what lies behind it: half weight at 1 / 40 of n */
} run_history;

/* Whole lines that can be read, up to the first that cannot; none if there is no file. False with
 * an error recorded. Freed by run_history_free, also after a failure. */
bool run_history_read(const char *dir, run_history *out);
void run_history_free(run_history *h);

#endif
