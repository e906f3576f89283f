/* Schedules at their corner points, from the formulas by hand. */
#include "nn/lr_schedule.h"

#include <criterion/criterion.h>
#include <math.h>

/* Values come from a handful of operations in double. */
#define TOLERANCE 1e-15

static void expect(double value, double wanted)
{
    cr_expect(fabs(value - wanted) <= TOLERANCE, "%.17g, not %.17g", value, wanted);
}

Test(schedule, constant_is_one)
{
    expect(ito_lr_constant(0), 1);
    expect(ito_lr_constant(1000000), 1);
}

Test(schedule, warmup_climbs_from_one_step_to_one)
{
    expect(ito_lr_warmup(0, 4), 0.25);
    expect(ito_lr_warmup(1, 4), 0.5);
    expect(ito_lr_warmup(3, 4), 1);
    expect(ito_lr_warmup(4, 4), 1);
    expect(ito_lr_warmup(INT64_MAX, 4), 1);
    expect(ito_lr_warmup(0, 1), 1);
    expect(ito_lr_warmup(0, 0), 1);
    expect(ito_lr_warmup(INT64_MAX, INT64_MAX), 1);
}

Test(schedule, cosine_falls_from_one_to_its_end)
{
    expect(ito_lr_cosine(0, 100, 0.1), 1);
    expect(ito_lr_cosine(50, 100, 0.1), 0.55);
    expect(ito_lr_cosine(25, 100, 0), (1 + sqrt(0.5)) / 2);
    cr_expect(ito_lr_cosine(100, 100, 0.1) == 0.1);
    cr_expect(ito_lr_cosine(5000, 100, 0.0) == 0);
}

Test(schedule, linear_falls_from_one_to_its_end)
{
    expect(ito_lr_linear(0, 10, 0.5), 1);
    expect(ito_lr_linear(4, 10, 0.5), 0.8);
    expect(ito_lr_linear(10, 10, 0.5), 0.5);
    expect(ito_lr_linear(11, 10, 0.5), 0.5);
}

Test(schedule, step_drops_every_so_often)
{
    expect(ito_lr_step(0, 10, 0.1), 1);
    expect(ito_lr_step(9, 10, 0.1), 1);
    expect(ito_lr_step(10, 10, 0.1), 0.1);
    expect(ito_lr_step(29, 10, 0.1), 0.01);
    expect(ito_lr_step(29, 0, 0.1), 1);
}

Test(schedule, length_zero_is_over_at_once)
{
    expect(ito_lr_cosine(0, 0, 0.25), 0.25);
    expect(ito_lr_linear(0, 0, 0.25), 0.25);
}
