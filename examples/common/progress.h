/* The progress of a long job, on stderr: a bar on a terminal, a line every ten seconds elsewhere.
 * It takes no random numbers. */
#ifndef ITO_DDPM_PROGRESS_H
#define ITO_DDPM_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    const char *what; /* "step", "sampling" */
    const char *unit; /* of the rate: "images" */
    bool quiet, terminal;
    int64_t first, total;
    double started, drawn, seen; /* seconds on the clock */
    double seconds_a_step;       /* smoothed; 0 before the first */
    double loss, loss_weight;    /* smoothed, and the sum of the weights so far */
} progress;

/* "1h02m", "3m10s", "7s" */
void format_duration(char text[32], double seconds);
/** A monotonic clock, in seconds. */
double progress_clock(void);
/* Begin at step `first` of total. */
void progress_begin(progress *p, const char *what, const char *unit, int64_t first, int64_t total);
/* A step has ended: `done` of total, `units` in it. loss may be NaN: then none is shown. */
void progress_step(progress *p, int64_t done, int64_t units, double loss);
/* The time since the last step does not count: it was spent on samples, for example. */
void progress_skip(progress *p);
/* End the bar's line, so that other output can follow. */
void progress_end(progress *p);
/* The smoothed loss, NaN before the first. */
double progress_loss(const progress *p);

#endif
