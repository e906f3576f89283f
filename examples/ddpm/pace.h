/* How many steps a run of so many minutes takes: planned by a trial, and again as it goes, so that
 * the minutes stay when other work starts or stops beside it. Times are seconds of training since
 * the run began. */
#ifndef ITO_DDPM_PACE_H
#define ITO_DDPM_PACE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct pace {
    double seconds; /* that the run is to take */
    double a_step;  /* seconds, smoothed */
    double since;   /* when the stretch that is measured began, */
    int64_t from;   /* after this step */
    double next;    /* when it ends */
} pace;

/* Begin, or go on, after `step`; a step took so long in a trial, or 0: not known. */
void pace_begin(pace *p, double minutes, double a_step, int64_t step, double now);
/* Begin a new stretch. */
void pace_restart(pace *p, int64_t step, double now);
/* Whether it is time to plan again. */
bool pace_due(const pace *p, int64_t step, double now);
/* The number of steps in all, at least step + 1 and at least 10; a new stretch begins. */
int64_t pace_plan(pace *p, int64_t step, double now);

#endif
