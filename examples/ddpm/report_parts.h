/* The parts of a report that take a run apart: the loss by time, averaged against plain weights,
 * the time of a step by operation. compare.html has some of them too. */
#ifndef ITO_DDPM_REPORT_PARTS_H
#define ITO_DDPM_REPORT_PARTS_H

#include "examples/common/run_log.h"

#include <ito/ito.h>

/* The mean of the loss by time over the lines from `first` on, n of them, for each bin; NaN where
 * no image was. */
void loss_by_time(const run_history *h, int64_t first, int64_t n, double mean[LOG_BINS]);
/* Its chart at three stages of the run; nothing for a log without it. p may be NULL: then times are
 * shares of their range. */
void write_loss_by_time(FILE *out, const run_history *h, const ito_process *p);
/* Grids of the newest step that has both, beside each other; nothing without them. */
void write_plain_samples(FILE *out, const char *dir);
/* The table of profile.json; nothing without it. */
void write_profile(FILE *out, const char *dir);

#endif
