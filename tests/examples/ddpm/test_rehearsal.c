/* What would end a run at a later step is known before the first. */
#include "examples/ddpm/rehearsal.h"
#include "tests/examples/cli.h"
#include "tests/expect.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdlib.h>

TestSuite(rehearsal, .init = cli_enter, .fini = cli_leave, .timeout = 600);

#define MIB ((int64_t)1 << 20)

Test(rehearsal, a_checkpoint_has_to_fit_on_the_disk)
{
    train_options o = {.out = "r", .keep = 2};
    cr_redirect_stderr();
    cr_expect(rehearse_room(&o, 8 * MIB, 24 * MIB));
    o.resume = true;
    cr_expect(rehearse_room(&o, 8 * MIB, 8 * MIB));
    cr_expect_not(rehearse_room(&o, 8 * MIB, 8 * MIB - 1));
    expect_error(ITO_ERR_IO, "r: a checkpoint takes 8.0 MiB, and 8.0 MiB are free on its disk");
    cr_expect_not(rehearse_room(&o, 8 * MIB + MIB / 2, 3 * MIB));
    expect_error(ITO_ERR_IO, "r: a checkpoint takes 8.5 MiB, and 3.0 MiB are free on its disk");
    fflush(stderr);
    cr_expect_stderr_eq_str("");
}

Test(rehearsal, checkpoints_that_will_not_all_fit_are_said)
{
    train_options o = {.out = "r", .keep = 3};
    cr_redirect_stderr();
    cr_expect(rehearse_room(&o, 8 * MIB, 32 * MIB - 1));
    fflush(stderr);
    cr_expect_stderr_eq_str("ito-ddpm train: the disk of r has 32.0 MiB free, and 4 checkpoints of "
                            "8.0 MiB each are written before one is removed\n");
}

/* The parts of a run's directory are looked at when it goes on, not when they are needed. */
Test(rehearsal, places_that_cannot_be_written_are_known_at_the_start)
{
    train_tiny("r", "--steps 4 --stop-at 1 --sample-count 2 --sample-steps 2");
    cr_assert_eq(system("rmdir r/samples && touch r/samples"), 0);
    fails_with(run("train --out r --resume --stop-at 2"),
               "r/samples: cannot make the directory: File exists");
    cr_expect(there("r/checkpoints/step-1") && !there("r/checkpoints/step-2"));
    cr_assert_eq(system("rm r/samples; rm r/report.html; mkdir r/report.html"), 0);
    succeeds(run("train --out r --resume --sample-every 2 --stop-at 2"));
    cr_expect(there("r/samples/step-2.png"), "samples/ is made again");
    cr_expect_not_null(strstr(complained, "ito-ddpm train: there will be no report: r/report.html: "
                                          "cannot write it: it is a directory\n"),
                       "%s", complained);
    cr_assert_eq(system("mv r/checkpoints c && touch r/checkpoints"), 0);
    fails_with(run("train --out r --resume"),
               "r/checkpoints: cannot write into it: Not a directory");
}
