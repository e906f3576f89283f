/* train --dry-run: what a run would be is what it then is, and nothing is written. */
#include "tests/examples/cli.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

TestSuite(cli_dry_run, .init = cli_enter, .fini = cli_leave, .timeout = 600);

#define RUN "train --data npy:data.npy --out r --steps 5 --checkpoint-every 2 --json "

static double bytes_in(const char *dir)
{
    char command[256], text[64];
    snprintf(command, sizeof command, "cat %s/*.safetensors | wc -c >bytes", dir);
    cr_assert_eq(system(command), 0);
    slurp("bytes", text, sizeof text);
    return atof(text);
}

Test(cli_dry_run, it_tells_what_the_run_then_is)
{
    succeeds(run(RUN "--dry-run " TINY " " QUIET));
    double peak = number("peak_bytes"), checkpoint = number("checkpoint_bytes");
    cr_expect_eq(number("steps"), 5.0);
    cr_expect_eq(number("images"), 40.0);
    cr_expect_eq(number("checkpoints"), 3.0); /* after 2, 4 and 5 */
    cr_expect_eq(number("grids"), 0.0);
    cr_expect_gt(number("seconds_a_step"), 0.0);
    cr_expect_float_eq(number("seconds"), 5 * number("seconds_a_step"), 1e-9);
    cr_expect_float_eq(number("seconds_an_epoch"), 10 * number("seconds_a_step"), 1e-9);
    char parameters[64];
    snprintf(parameters, sizeof parameters, "; %.0f parameters;", number("parameters"));
    cr_assert(!there("r"));

    succeeds(run(RUN TINY " " QUIET));
    cr_expect_not_null(strstr(complained, parameters), "%s: %s", parameters, complained);
    cr_expect_float_eq(number("peak_bytes"), peak, 0.02 * peak);
    /* Beside the numbers the files have the names of the tensors, about 90,000 bytes. */
    double real = bytes_in("r/checkpoints/step-5");
    cr_expect_leq(checkpoint, real);
    cr_expect_leq(real, checkpoint + 131072, "%g against %g", real, checkpoint);
}

Test(cli_dry_run, it_is_a_table_for_people)
{
    succeeds(run("train --dry-run --data npy:data.npy --out r --steps 5 --sample-every 2 "
                 "--sample-steps 2 " TINY));
    static const char *const lines[] = {
        "data        40 images of 1x8x8\n",
        "steps       5 of 4 images each: 0.5 epochs\n",
        " at its peak; this machine has ",
        " s a step: an epoch in 0s; the run in ",
        " MiB a checkpoint; 1 stay: ",
        "writes      r/: config.json, log.jsonl, report.html\n",
        "            checkpoints/step-N, 1 time\n",
        "            samples/step-N.png, 3 times, 0s each\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        cr_expect_not_null(strstr(said, lines[i]), "%s: %s", lines[i], said);
    cr_expect(!there("r"));
}

/* Not even a file's date changes. */
Test(cli_dry_run, nothing_is_touched)
{
    cr_assert_eq(system("mkdir before && cp -p data.npy before && ls -lA --full-time >before/list"),
                 0);
    succeeds(
        run("train --dry-run --data npy:data.npy --out a/b/c --minutes 0.01 --tensorboard " TINY));
    cr_expect_eq(system("rm -f stdout.txt stderr.txt; ls -lA --full-time | grep -v "
                        "'before\\|total' >before/now; "
                        "grep -v 'before\\|total\\|std' before/list | cmp - before/now"),
                 0);
    cr_expect(!there("a"));
}

Test(cli_dry_run, what_the_run_would_refuse_is_refused)
{
    train_tiny("r", "--steps 1 " QUIET);
    fails_with(run("train --dry-run --data npy:data.npy --out r " TINY),
               "ito-ddpm train: r: it is not empty; go on with the run in it by --resume, or name "
               "another directory\n");
    is_usage_error("train --dry-run --out r --resume",
                   "ito-ddpm train: --dry-run: it is for a run that has not begun\n");
    fails_with(run("train --dry-run --data npy:missing.npy --out s " TINY),
               "missing.npy: cannot open");
}
