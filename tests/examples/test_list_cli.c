/* ito-ddpm list: the runs below a directory, those that are damaged or unfinished among them. */
#include "tests/examples/cli.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(cli_list, .init = cli_enter, .fini = cli_leave, .timeout = 120);

static bool says(const char *words)
{
    return strstr(said, words) != NULL;
}

Test(cli_list, runs_are_found_below_a_directory)
{
    cr_assert_eq(system("mkdir -p runs/old/deep"), 0);
    train_tiny("runs/b", "--steps 4 --prediction v " QUIET);
    train_tiny("runs/old/deep/a", "--steps 4 --stop-at 2 " QUIET);
    cr_assert_eq(
        system("mkdir -p runs/killed/samples runs/other runs/.hidden; touch runs/killed/lock; "
               "echo '{}' > runs/other/config.json; cp -r runs/b runs/.hidden/b; "
               "ln -s .. runs/old/up; cp -r runs/b runs/torn; "
               "echo '{' > runs/torn/config.json"),
        0);
    succeeds(run("list"));
    cr_expect_eq(count_lines(said), 9, "%s", said);
    cr_expect(says("run  "), "%s", said);
    cr_expect(says("b     "), "%s", said);
    cr_expect(says("4/4 ") && says("  done\n    prediction v\n"), "%s", said);
    cr_expect(says("old/deep/a ") && says("2/4 ") && says("  stopped\n    prediction eps\n"), "%s",
              said);
    cr_expect(says("killed      damaged\n    runs/killed: there is no run in it: it has no "
                   "config.json\n"),
              "%s", said);
    cr_expect(says("torn        damaged\n    runs/torn/config.json: it is not a JSON object\n"),
              "%s", said);
    cr_expect_str_eq(complained, "");
    char there[1024];
    snprintf(there, sizeof there, "%.1000s", said);
    succeeds(run("list runs/"));
    cr_expect_str_eq(said, there);

    succeeds(run("list runs/old --json"));
    cJSON *root = cJSON_Parse(said);
    const cJSON *one = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "runs"), 0);
    cr_assert_not_null(one, "%s", said);
    cr_expect_str_eq(cJSON_GetObjectItem(one, "run")->valuestring, "runs/old/deep/a");
    cr_expect_str_eq(cJSON_GetObjectItem(one, "state")->valuestring, "stopped");
    cr_expect_eq(cJSON_GetObjectItem(one, "step")->valuedouble, 2);
    cr_expect_gt(cJSON_GetObjectItem(one, "parameters")->valuedouble, 1000);
    cJSON_Delete(root);
}

Test(cli_list, results_of_eval_are_listed)
{
    train_tiny("r", "--steps 2 " QUIET);
    succeeds(run("eval --model r --data npy:data.npy --bits-per-dim --n 3 --json"));
    double bits = number("bits_per_dim");
    char line[64], file[4096];
    snprintf(line, sizeof line, "    bits_per_dim %.4g (3 images, step 2)\n", bits);
    succeeds(run("list ."));
    cr_expect(says(line), "%s is not in: %s", line, said);
    slurp("r/results.jsonl", file, sizeof file);
    cr_expect_eq(count_lines(file), 1);
    succeeds(run("info r"));
    cr_expect(says("\nresults: bits_per_dim "), "%s", said);
    /* Those of a checkpoint are not the run's. */
    succeeds(run("eval --model r/checkpoints/step-2 --data npy:data.npy --bits-per-dim --n 2"));
    slurp("r/results.jsonl", file, sizeof file);
    cr_expect_eq(count_lines(file), 1);
}

Test(cli_list, a_directory_without_runs_is_said_to_be_one)
{
    succeeds(run("list"));
    cr_expect_str_eq(said, "");
    cr_expect_str_eq(complained, "there are no runs in .\n");
    succeeds(run("list --json"));
    cr_expect_str_eq(said, "{\"runs\":[],\"differing\":{}}\n");
    fails_with(run("list nowhere"), "ito-ddpm list: nowhere: cannot list it: No such file");
    is_usage_error("list a b", "ito-ddpm list: \"b\" is one argument too many");
}
