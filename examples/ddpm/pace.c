/* The plan of a run of so many minutes. */
#include "examples/ddpm/pace.h"

/* A stretch is a tenth of the time that is left: an error in the last one is small. */
static const double share = 0.1, shortest = 1.0;
/* Part of the time for the last grid, checkpoint and report. */
static const double end = 0.03;
static const int64_t fewest = 10;

static double left(const pace *p, double now)
{
    return (1.0 - end) * p->seconds - now;
}

void pace_restart(pace *p, int64_t step, double now)
{
    double length = share * left(p, now);
    p->from = step;
    p->since = now;
    p->next = now + (length > shortest ? length : shortest);
}

void pace_begin(pace *p, double minutes, double a_step, int64_t step, double now)
{
    *p = (pace){.seconds = 60.0 * minutes, .a_step = a_step};
    pace_restart(p, step, now);
}

bool pace_due(const pace *p, int64_t step, double now)
{
    return step > p->from && now >= p->next;
}

int64_t pace_plan(pace *p, int64_t step, double now)
{
    if (step > p->from) {
        double measured = (now - p->since) / (double)(step - p->from);
        p->a_step = p->a_step > 0.0 ? 0.5 * (p->a_step + measured) : measured;
    }
    pace_restart(p, step, now);
    double more = left(p, now) / p->a_step;
    int64_t total = step + (more >= 1.0 ? (int64_t)more : 1);
    return total > fewest ? total : fewest;
}
