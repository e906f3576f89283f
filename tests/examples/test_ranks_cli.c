/* ito-ddpm on several ranks, by mpirun: the same bytes as by one process, whole ends, refusals. */
#include "tests/examples/cli.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef ITO_MPI

TestSuite(cli_ranks, .init = cli_enter, .fini = cli_leave, .timeout = 600);

Test(cli_ranks, a_build_without_mpi_does_not_train_twice)
{
    setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
    setenv("OMPI_COMM_WORLD_RANK", "0", 1);
    fails_with(run("train --data npy:data.npy --out r " TINY),
               "ito-ddpm: 2 processes were started together, and this program was built without "
               "MPI: each would do the same; start one, or build with -Dmpi=enabled (Debian: "
               "mpi-default-dev)\n");
    cr_expect(!there("r"));
    setenv("OMPI_COMM_WORLD_RANK", "1", 1);
    cr_expect_eq(run("train --data npy:data.npy --out r " TINY), 0, "the first one fails for all");
    cr_expect_str_eq(complained, "");
    cr_expect(!there("r"));
}

#else

static void enter(void)
{
    cli_enter();
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    setenv("OMPI_MCA_rmaps_base_oversubscribe", "1", 1);
    setenv("OMPI_MCA_hwloc_base_binding_policy", "none", 1);
    if (run_shell("command -v mpirun") != 0)
        cr_skip_test("mpirun is not installed");
}

TestSuite(cli_ranks, .init = enter, .fini = cli_leave, .timeout = 600);

#define RANKS                                                                                      \
    "train --data npy:data.npy " TINY " --batch 8 --threads 1 --checkpoint-every 2 "               \
    "--sample-every 2 --sample-count 2 --sample-steps 3 "

/* mpirun with these arguments, where @ stands for the program; its exit code. */
static int mpirun(const char *format, ...)
{
    char arguments[1024], command[4096] = "mpirun ", *to = command + strlen(command);
    va_list list;
    va_start(list, format);
    vsnprintf(arguments, sizeof arguments, format, list);
    va_end(list);
    for (const char *c = arguments; *c != '\0'; c++)
        to += sprintf(to, *c == '@' ? "\"$ITO_DDPM\"" : "%c", *c);
    return run_shell(command);
}

/* What the program itself said, beside mpirun's own: one line. */
static void one_rank_said(const char *line)
{
    const char *first = strstr(complained, "ito-ddpm train: ");
    cr_assert_not_null(first, "%s", complained);
    size_t n = strcspn(first, "\n");
    cr_expect(n == strlen(line) && strncmp(first, line, n) == 0, "%.*s\nnot\n%s", (int)n, first,
              line);
    cr_expect_null(strstr(first + n, "ito-ddpm train: "), "said twice: %s", complained);
}

/* ---- the same bytes ---- */

Test(cli_ranks, any_number_of_ranks_ends_in_the_same_bytes)
{
    static const char *const more[] = {
        "", "--step-sampling second-moment --dropout 0.2 --self-conditioning",
        "--gradients bf16 --optimizer muon --uncertainty 8"};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(system("rm -rf one two four"), 0);
        succeeds(run(RANKS "--steps 4 --slices 8 --out one %s", more[i]));
        succeeds(mpirun("-n 2 @ " RANKS "--steps 4 --out two %s", more[i]));
        succeeds(mpirun("-n 4 @ " RANKS "--steps 4 --out four %s", more[i]));
        same_directory("one/checkpoints/step-4", "two/checkpoints/step-4");
        same_directory("one/checkpoints/step-4", "four/checkpoints/step-4");
        same_directory("one/samples", "four/samples");
        cr_expect(same_file("one/config.json", "four/config.json"));
        char log[8192];
        slurp("four/log.jsonl", log, sizeof log);
        cr_expect_eq(count_lines(log), 4);
    }
}

Test(cli_ranks, labels_follow_their_slices)
{
    write_classes();
    succeeds(run(FOLDER QUIET " --conditional --steps 3 --slices 4 --out one"));
    succeeds(mpirun("-n 2 @ " FOLDER QUIET " --conditional --steps 3 --slices 4 --out two"));
    same_directory("one/checkpoints/step-3", "two/checkpoints/step-3");
}

Test(cli_ranks, a_run_goes_on_with_another_number_of_ranks)
{
    succeeds(run(RANKS "--steps 6 --slices 8 --out whole"));
    succeeds(mpirun("-n 2 @ " RANKS "--steps 6 --stop-at 3 --out parts"));
    succeeds(mpirun("-n 4 @ train --out parts --resume --stop-at 5 --threads 1"));
    succeeds(run("train --out parts --resume"));
    same_directory("whole/checkpoints/step-6", "parts/checkpoints/step-6");
}

/* ---- sampling and evaluation ---- */

Test(cli_ranks, ranks_share_images_and_make_the_same)
{
    static const char *const how = "sample --n 7 --batch 2 --steps 3 --class all --guidance 2 "
                                   "--threads 1 --force";
    succeeds(run("%s --npy one.npy", how));
    succeeds(mpirun("-n 3 @ %s --npy three.npy --out three.png", how));
    cr_expect(same_file("one.npy", "three.npy"));
    cr_expect_not_null(strstr(complained, "7 images in three.png"), "%s", complained);
    cr_expect_neq(mpirun("-n 2 @ %s --npy x.npy --frames frames", how), 0);
    cr_expect_not_null(
        strstr(complained, "ito-ddpm sample: --frames: it is for one process: leave out mpirun"),
        "%s", complained);
    cr_expect_neq(mpirun("-n 1 @ %s --npy x.npy : -n 1 @ %s --npy x.npy --seed 1", how, how), 0);
    cr_expect_not_null(strstr(complained, "ito-ddpm sample: ranks: rank 1 differs from rank 0 in "
                                          "its command line: --seed, not nothing\n"),
                       "%s", complained);
    cr_expect(!there("x.npy"));
}

/* More ranks than images: some have nothing to do. */
Test(cli_ranks, ranks_share_evaluation_and_find_the_same_numbers)
{
    char one[65536];
    static const char *const figures[] = {
        "--model fashion-mnist --data npy:data28.npy --n 40 --steps 2 --precision-recall --score",
        "--model fashion-mnist --data npy:data28.npy --n 3 --bits-per-dim --monte-carlo 2",
        "--model fashion-mnist --data npy:data28.npy --n 5 --bits-per-dim --monte-carlo 2",
    };
    write_images("data28.npy", 40, 28);
    for (int i = 0; i < 3; i++) {
        succeeds(run("eval %s --threads 1 --class none", figures[i]));
        strcpy(one, said);
        succeeds(mpirun("-n 4 @ eval %s --threads 1 --class none", figures[i]));
        *strstr(one, "seconds") = *strstr(said, "seconds") = '\0';
        cr_expect_str_eq(said, one);
    }
    cr_expect_neq(mpirun("-n 2 @ eval --images data28.npy --data npy:data28.npy --frechet"), 0);
    cr_expect_not_null(strstr(complained, "ito-ddpm eval: --model is missing: several processes "
                                          "share the work with one\n"),
                       "%s", complained);
}

/* ---- ends ---- */

/* Start a long run of two ranks, and wait for a checkpoint; then `do`, with $m as mpirun's process
 * and $1, $2 as the ranks'. The exit code is mpirun's. */
static int run_and(const char *act)
{
    char commands[2048];
    snprintf(commands, sizeof commands,
             "mpirun -n 2 \"$ITO_DDPM\" train --data npy:data.npy " TINY
             " --batch 8 --threads 1 --checkpoint-every 2 --keep 100000 --sample-every 0 "
             "--steps 1000000 --out r & m=$!\n"
             "while [ ! -e r/checkpoints/step-2 ] && [ -e /proc/$m ]; do sleep 0.1; done\n"
             "set -- $(cat /proc/$m/task/*/children)\n"
             "%s\n"
             "wait $m",
             act);
    return run_shell(commands);
}

Test(cli_ranks, a_rank_that_dies_ends_the_run_with_a_sentence)
{
    char line[200];
    cr_expect_neq(run_and("echo $2; kill -9 $2"), 0);
    const char *gone = strstr(complained, "ito-ddpm train: ");
    cr_assert_not_null(gone, "%s", complained);
    snprintf(line, sizeof line, "ito-ddpm train: mpi: rank 1 (process %d on ", atoi(said));
    cr_expect_eq(strncmp(gone, line, strlen(line)), 0, "%s", gone);
    int step = newest();
    snprintf(line, sizeof line, ") is gone; the last good checkpoint is step-%d\n", step);
    cr_expect_not_null(strstr(gone, line), "%s", gone);
    cr_expect_eq(step % 2, 0);
    succeeds(run("train --out r --resume --stop-at %d --threads 1", step + 1));
}

Test(cli_ranks, a_signal_to_one_rank_stops_all_after_the_same_step)
{
    cr_expect_eq(run_and("kill -TERM $2"), 128 + 15);
    cr_expect_not_null(strstr(complained, "stopped after step "), "%s", complained);
    succeeds(run("train --out r --resume --stop-at %d --threads 1", newest() + 1));
}

Test(cli_ranks, the_signal_that_mpirun_passes_on_stops_all)
{
    cr_expect_eq(run_and("kill -USR1 $m"), 128 + 10);
    cr_expect_not_null(strstr(complained, "stopped after step "), "%s", complained);
}

/* ---- refusals ---- */

Test(cli_ranks, ranks_that_differ_are_named_and_nothing_is_written)
{
    write_images("other.npy", 39, 8);
    static const struct {
        const char *more, *line;
    } cases[] = {
        {"--lr 0.002",
         "ito-ddpm train: ranks: rank 1 differs from rank 0 in its options: \"lr\": 0.002, not "
         "\"lr\": 0.001"},
        {"--data npy:other.npy",
         "ito-ddpm train: ranks: rank 1 differs from rank 0 in its images: \"shape\": [39, 1, 8, "
         "8], not \"shape\": [40, 1, 8, 8]"},
        {"--data npy:none.npy",
         "ito-ddpm train: rank 1: none.npy: cannot open: No such file or directory"},
        {"--nonsense", "ito-ddpm train: rank 1: there is no option --nonsense"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_neq(mpirun("-n 1 @ " RANKS "--out r : -n 1 @ " RANKS "--out r %s", cases[i].more),
                      0);
        one_rank_said(cases[i].line);
        cr_expect(!there("r"));
    }
    cr_expect_neq(mpirun("-n 1 @ " RANKS "--out r : -n 1 -x ITO_ISA=base @ " RANKS "--out r"), 0);
    cr_expect_not_null(strstr(complained, "ito-ddpm train: ranks: rank 1 differs from rank 0 in "
                                          "its instruction set: base, not "),
                       "%s", complained);
    cr_expect(!there("r"));
}

Test(cli_ranks, what_ranks_cannot_share_is_refused_once)
{
    static const struct {
        int ranks;
        const char *more, *line;
    } cases[] = {
        {4, "--batch 2",
         "ito-ddpm train: --batch: 2 images for 4 ranks; each takes one or more, so start fewer"},
        {3, "--slices 8",
         "ito-ddpm train: --slices: 3 ranks cannot share 8; each takes a power of 2 of them, as "
         "of 6"},
        {2, "--slices 16",
         "ito-ddpm train: --slices: 16 slices of 8 images; each takes one or more"},
        {2, "--minutes 3", "ito-ddpm train: --minutes: with several ranks say --steps"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_eq(mpirun("-n %d @ " RANKS "--out r %s", cases[i].ranks, cases[i].more), 2);
        one_rank_said(cases[i].line);
        cr_expect(!there("r"));
    }
}

Test(cli_ranks, a_run_of_one_slice_is_told_how_to_go_on_with_ranks)
{
    succeeds(run(RANKS "--steps 4 --stop-at 2 --out r"));
    cr_expect_eq(mpirun("-n 2 @ train --out r --resume"), 2);
    one_rank_said("ito-ddpm train: --slices: the run in r has 1, which 2 ranks cannot share; it "
                  "goes on, with other last bits, by --slices 8");
    succeeds(mpirun("-n 2 @ train --out r --resume --slices 8"));
}

Test(cli_ranks, other_commands_and_other_launchers_are_refused)
{
    cr_expect_eq(mpirun("-n 2 @ info data.npy"), 1);
    cr_expect_not_null(strstr(complained, "ito-ddpm info: 2 processes were started together; it is "
                                          "a command for one: leave out mpirun or srun\n"));
    setenv("PMI_SIZE", "4", 1);
    fails_with(run(RANKS "--out r"),
               "ito-ddpm: 4 processes were started together, but MPI sees 1: start them by the "
               "mpirun of the MPI that this program was built with\n");
    cr_expect(!there("r"));
}

Test(cli_ranks, slices_are_refused_where_they_make_no_sense)
{
    is_usage_error(RANKS "--out r --slices 16",
                   "--slices: 16 slices of 8 images; each takes one or more");
    is_usage_error(RANKS "--out r --gradients bf16", "--gradients: it is for several slices");
}

#endif
