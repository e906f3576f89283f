/* The curves of noise schedules, a chart each: in the report of a run and from `ito-ddpm plot`. */
#ifndef ITO_DDPM_SCHEDULE_PLOTS_H
#define ITO_DDPM_SCHEDULE_PLOTS_H

#include <ito/ito.h>
#include <stdbool.h>
#include <stdio.h>

typedef struct schedule_plot {
    const char *name;  /* of a file */
    const char *title; /* of the chart */
    bool log_y;
    /* The value at step t. If not finite, or 0 on a logarithmic axis, it is not drawn. */
    double (*value)(const ito_process *s, int64_t t);
} schedule_plot;

enum { SCHEDULE_PLOTS = 5, MOST_SCHEDULES = 4 };
/* beta, alpha_bar, SNR, the posterior's variance, and the weights of the bound's terms. */
extern const schedule_plot schedule_plots[SCHEDULE_PLOTS];

/* One chart of up to MOST_SCHEDULES schedules, whose names have room in its legend; names, for the
 * legend, may be NULL. alone as in a chart. False with an error recorded. */
bool schedule_plot_write(FILE *out, const schedule_plot *p, const ito_process *const *s,
                         const char *const *names, int64_t count, bool alone);

#endif
