/* Learning-rate schedules. */
#include "nn/lr_schedule.h"

#include <math.h>

/* step / steps, limited to [0, 1]. */
static double progress(int64_t step, int64_t steps)
{
    if (step >= steps)
        return 1;
    return step <= 0 ? 0 : (double)step / (double)steps;
}

double ito_lr_constant(int64_t step)
{
    (void)step;
    return 1;
}

double ito_lr_warmup(int64_t step, int64_t steps)
{
    return progress(step < steps ? step + 1 : step, steps);
}

double ito_lr_cosine(int64_t step, int64_t steps, double end)
{
    double at = progress(step, steps);
    if (at >= 1) /* exactly, which the cosine of a rounded pi is not */
        return end;
    return end + (1 - end) * (1 + cos(M_PI * at)) / 2;
}

double ito_lr_linear(int64_t step, int64_t steps, double end)
{
    double at = progress(step, steps);
    return (1 - at) + at * end;
}

double ito_lr_step(int64_t step, int64_t every, double factor)
{
    return every < 1 || step < every ? 1 : pow(factor, (double)(step / every));
}
