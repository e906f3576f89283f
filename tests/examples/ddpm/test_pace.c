/* The plan of a run of so many minutes, by a clock that the test sets. */
#include "examples/ddpm/pace.h"

#include <criterion/criterion.h>
#include <math.h>

/* A run: how long a step takes depends on what else is going on. */
typedef struct machine {
    double now;
    int64_t plans, steps; /* how often it planned; steps done */
} machine;

static double usual(double now)
{
    (void)now;
    return 0.5;
}

static double other_work_starts(double now)
{
    return now < 200.0 ? 0.5 : 1.5;
}

static double other_work_stops(double now)
{
    return now < 200.0 ? 1.5 : 0.5;
}

/* Every hundredth step draws a grid. */
static double with_pauses(double now)
{
    return fmod(now, 50.0) < 0.5 ? 4.0 : 0.5;
}

static machine run_for(double minutes, double trial, double (*a_step)(double))
{
    machine m = {.now = 0.0};
    pace p;
    pace_begin(&p, minutes, trial, 0, 0.0);
    int64_t steps = (int64_t)(60.0 * minutes / trial);
    while (m.steps < steps) {
        if (pace_due(&p, m.steps, m.now)) {
            steps = pace_plan(&p, m.steps, m.now);
            cr_assert_gt(steps, m.steps);
            m.plans++;
        }
        m.now += a_step(m.now);
        m.steps++;
    }
    return m;
}

Test(pace, ten_minutes_stay_ten)
{
    double (*const cases[])(double) = {usual, other_work_starts, other_work_stops, with_pauses};
    for (int i = 0; i < 4; i++)
        for (double trial = 0.25; trial <= 1.0; trial *= 2.0) {
            machine m = run_for(10.0, trial, cases[i]);
            cr_expect(m.now > 570.0 && m.now < 600.0, "case %d, trial %g: %g s", i, trial, m.now);
            cr_expect(m.plans > 10 && m.plans < 60, "case %d: %d", i, (int)m.plans);
        }
    cr_expect_gt(run_for(10.0, 0.5, other_work_stops).steps,
                 run_for(10.0, 0.5, other_work_starts).steps);
}

Test(pace, a_run_that_is_late_ends_with_the_next_step)
{
    pace p;
    pace_begin(&p, 1.0, 0.1, 0, 0.0);
    cr_expect(!pace_due(&p, 20, 1.0));
    cr_expect(pace_due(&p, 20, 70.0));
    cr_expect_eq(pace_plan(&p, 20, 70.0), 21);
}

Test(pace, a_run_has_ten_steps)
{
    pace p;
    pace_begin(&p, 1e-6, 100.0, 0, 0.0);
    cr_expect(pace_due(&p, 1, 100.0));
    cr_expect_eq(pace_plan(&p, 1, 100.0), 10);
}

Test(pace, a_run_that_goes_on_counts_the_time_before)
{
    pace p;
    pace_begin(&p, 10.0, 0.0, 600, 300.0); /* no trial: by the first stretch */
    cr_expect(!pace_due(&p, 600, 400.0), "nothing is measured yet");
    cr_expect(pace_due(&p, 640, 340.0));
    cr_expect_eq(pace_plan(&p, 640, 340.0), 640 + 242); /* a second each up to 582 */
    pace_restart(&p, 700, 350.0);
    cr_expect(!pace_due(&p, 701, 351.0));
}
