/* ito-flow: that training helps, what it draws, what it refuses. */
#include "autograd/ops.h"
#include "tensor/io/image.h"
#include "tests/examples/cli.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void enter(void)
{
    cli_enter();
    program = "ito-flow";
}

TestSuite(flow_cli, .init = enter, .fini = cli_leave, .timeout = 600);

/* A number of a row of the table that was said last. */
static double figure(const char *row, int column)
{
    const char *at = strstr(said, row);
    cr_assert_not_null(at, "%s", said);
    char *end = (char *)(uintptr_t)at + strlen(row);
    double value = (double)NAN;
    for (int i = 0; i <= column; i++)
        value = strtod(end, &end);
    return value;
}

enum { BENT, EULER_1, RK45 = 5, EVALUATIONS, LOG_P };

#define SMALL "--pairs 2000 --n 300 --batch 128 --out flow "

/* 200 steps make most of it; transport and reflow make straighter paths than chance at any time. */
Test(flow_cli, flows_are_learned_and_straightened)
{
    succeeds(run(SMALL "--steps 1"));
    double before = figure("by chance", RK45), unlikely = figure("by chance", LOG_P);
    succeeds(run(SMALL "--steps 200"));
    cr_expect_lt(figure("by chance", RK45), 0.7 * before);
    cr_expect_gt(figure("by chance", LOG_P), unlikely + 0.5);
    cr_expect_lt(figure("by transport", BENT), 0.5 * figure("by chance", BENT));
    cr_expect_lt(figure("by reflow", BENT), 0.5 * figure("by chance", BENT));
    cr_expect_lt(figure("by transport", EULER_1), figure("by chance", EULER_1));
    ito_tensor *picture = ito_image_load("flow/flow.png", 3);
    cr_assert_not_null(picture, "%s", ito_error());
    cr_expect(ito_size(picture, 1) == 2 * 360 && ito_size(picture, 2) == 3 * 360 + 16);
    cr_expect_lt(ito_item(ito_mean(ito_cast(picture, ITO_F32))), 254.0); /* not blank */
}

/* No flow has a greater mean log density than the data's own, but for what 300 points leave. */
Test(flow_cli, the_other_distribution)
{
    succeeds(run(SMALL "--steps 100 --data checkerboard"));
    cr_expect_float_eq(figure("other data", 1), -log(8), 1e-3);
    for (int k = 0; k < 3; k++)
        cr_expect_lt(figure(k == 0   ? "by chance"
                            : k == 1 ? "by transport"
                                     : "by reflow",
                            LOG_P),
                     -log(8) + 0.1);
}

Test(flow_cli, what_cannot_be_is_refused)
{
    is_usage_error("--data moons", "ito-flow: --data: \"moons\" is none of gaussians|checkerboard");
    /* before the training: this one would take hours */
    fails_with(run(SMALL "--steps 1000000 --out data.npy"), "data.npy: ");
}
