/* ito-ddpm plot: the pictures of docs/ddpm.md are what it makes, and their numbers are the paper's.
 */
#include "examples/ddpm/schedule_plots.h"
#include "tensor/io/image.h"
#include "tests/examples/cli.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(plot, .init = cli_enter, .fini = cli_leave, .timeout = 600);

/* Eq. (4), (7) and (12) by themselves, from beta alone. */
Test(plot, what_is_drawn_is_what_the_paper_says)
{
    enum { T = 1000 };
    ito_process *s = ito_process_create(&ito_schedule_linear, .steps = T);
    double bar = 1.0;
    for (int64_t t = 0; t < T; t++) {
        double beta = 1e-4 + (0.02 - 1e-4) * (double)t / (T - 1), before = bar;
        bar *= 1.0 - beta;
        double wanted[SCHEDULE_PLOTS] = {beta, bar, bar / (1 - bar),
                                         beta * (1 - before) / (1 - bar),
                                         beta * beta / (2 * beta * (1 - beta) * (1 - bar))};
        for (int i = 0; i < SCHEDULE_PLOTS; i++)
            if (t > 0 || i < 4)
                cr_assert_float_eq(schedule_plots[i].value(s, t), wanted[i], 1e-9 * wanted[i],
                                   "%s at %d", schedule_plots[i].name, (int)t);
    }
    cr_assert(isnan(schedule_plots[4].value(s, 0)));
    ito_process_free(s);
}

/* Pixels may differ by rounding: instruction sets draw noise that differs in its last bit. */
static void near_picture(const char *path, const char *wanted)
{
    ito_tensor *a = ito_image_load(path, 1), *b = ito_image_load(wanted, 1);
    cr_assert(a != NULL && b != NULL, "%s", ito_error());
    cr_assert_eq(ito_numel(a), ito_numel(b));
    const uint8_t *x = ito_const_data(a), *y = ito_const_data(b);
    for (int64_t i = 0; i < ito_numel(a); i++)
        cr_assert(abs(x[i] - y[i]) <= 1, "pixel %d: %d, %d", (int)i, x[i], y[i]);
}

Test(plot, the_pictures_of_the_documentation_are_its_output)
{
    const char *source = getenv("ITO_SOURCE");
    char made[64], wanted[512];
    cr_assert_not_null(source, "ITO_SOURCE is where the documentation is");
    succeeds(run("plot --out images --data fashion-mnist"));
    cr_assert_eq(count_lines(said), SCHEDULE_PLOTS + 1);
    for (int i = 0; i < SCHEDULE_PLOTS; i++) {
        snprintf(made, sizeof made, "images/%s.svg", schedule_plots[i].name);
        snprintf(wanted, sizeof wanted, "%s/docs/%s", source, made);
        cr_assert_not_null(strstr(said, made), "%s", said);
        cr_assert(same_file(made, wanted), "%s", made);
    }
    snprintf(wanted, sizeof wanted, "%s/docs/images/noised.png", source);
    near_picture("images/noised.png", wanted);
}

Test(plot, any_schedule_and_image_will_do)
{
    succeeds(run("plot --out p --schedules straight,jsd --diffusion-steps 1"));
    succeeds(run("plot --out p --schedules jsd,straight,warmup10 --diffusion-steps 7 --data "
                 "npy:data.npy --first 39 --seed 3"));
    succeeds(run("plot --out p --beta-start 0.1 --beta-end 0.1 --zero-terminal-snr "
                 "--diffusion-steps 30"));
    ito_tensor *x = ito_image_load("p/noised.png", 1);
    cr_assert(ito_size(x, 1) == 3 * 10 + 2 && ito_size(x, 2) == 11 * 10 + 2);
}

Test(plot, what_cannot_be_drawn_is_said)
{
    is_usage_error("plot", "--out is missing");
    is_usage_error("plot --out p --schedules linear,", "--schedules: \"\" is none of linear|quad|");
    is_usage_error("plot --out p --schedules jsd,jsd,jsd,jsd,jsd",
                   "--schedules: \"jsd,jsd,jsd,jsd,jsd\" has more than the 4 that fit");
    is_usage_error("plot --out p --data nothing", "--data: \"nothing\" is none of");
    is_usage_error("plot --out p --first 1", "--first: it needs the --data");
    is_usage_error("plot --out p --data npy:data.npy --first 40",
                   "--first: there is no image 40 in npy:data.npy, which has 40");
    fails_with(run("plot --out p --schedules straight --zero-terminal-snr"),
               "process: zero_terminal_snr changes betas, and straight has none");
    fails_with(run("plot --out no/where"), "no/where: cannot make the directory: No such file");
    put_file("file", "");
    fails_with(run("plot --out file"), "file: cannot make the directory");
}
