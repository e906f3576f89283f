/* Stopping and going on: a run that is stopped and resumed ends in the same bytes as one that was
 * not. */
#include "models/ddpm/choices.h"
#include "tests/examples/cli.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(cli_resume, .init = cli_enter, .fini = cli_leave, .timeout = 600);

extern char **environ;

#define WITH_SAMPLES                                                                               \
    "--sample-every 4 --sample-count 2 --sample-steps 3 --checkpoint-every 3 --steps 10"

Test(cli_resume, a_resumed_run_ends_in_the_same_bytes)
{
    train_tiny("whole", WITH_SAMPLES " --dropout 0.2 --threads 2");
    train_tiny("parts", WITH_SAMPLES " --dropout 0.2 --threads 1 --stop-at 5");
    succeeds(run("train --out parts --resume --stop-at 6"));
    succeeds(run("train --out parts --resume --data npy:data.npy"));
    same_directory("whole/checkpoints/step-10", "parts/checkpoints/step-10");
    same_directory("whole/samples", "parts/samples");
    char log[8192];
    slurp("parts/log.jsonl", log, sizeof log);
    cr_assert_eq(count_lines(log), 10);
    succeeds(run("train --out parts --resume"));
    cr_assert_not_null(strstr(complained, "10 steps done"));
}

/* Each optimiser trains and goes on; a run from before there was a choice is one of Adam. */
Test(cli_resume, every_optimizer_goes_on_to_the_bit)
{
    int64_t n;
    const ito_choice *const *all = ito_choices("optimizer", &n);
    for (int64_t i = 0; i < n; i++) {
        char arguments[200];
        cr_assert_eq(system("rm -rf a b"), 0);
        snprintf(arguments, sizeof arguments, "--optimizer %s --lr 1e-3 --steps 4 " QUIET " ",
                 all[i]->name);
        train_tiny("a", arguments);
        strcat(arguments, "--stop-at 2 ");
        train_tiny("b", arguments);
        succeeds(run("train --out b --resume"));
        cr_expect(same_file("a/checkpoints/step-4/ema.safetensors",
                            "b/checkpoints/step-4/ema.safetensors"),
                  "%s", all[i]->name);
        cr_expect(same_file("a/checkpoints/step-4/optimizer.safetensors",
                            "b/checkpoints/step-4/optimizer.safetensors"),
                  "%s", all[i]->name);
        cr_expect_eq(strcmp(all[i]->name, "schedule_free_adamw") == 0 ||
                         strcmp(all[i]->name, "schedule_free_sgd") == 0,
                     system("grep -q '\"decay\":.*\"constant\"' a/config.json") == 0, "%s",
                     all[i]->name);
    }
    cr_assert_eq(system("rm -rf a b"), 0);
    train_tiny("a", "--steps 4 --stop-at 2 " QUIET);
    cr_assert_eq(system("sed -i '/\"optimizer\":/d' a/config.json"), 0);
    succeeds(run("train --out a --resume"));
    is_usage_error("train --out a --resume --optimizer lion", "--optimizer: it differs");
    is_usage_error("train --data npy:data.npy --out c --optimizer adm " TINY,
                   "--optimizer: \"adm\" is none of adam|adamw|");
}

Test(cli_resume, minutes_become_a_number_of_steps_that_the_run_keeps)
{
    succeeds(run("train --data npy:data.npy --out r " TINY " " QUIET " --minutes 1e-6"));
    cr_assert_not_null(strstr(complained, ": 10 steps in about 1e-06 minutes"), "%s", complained);
    cr_assert_not_null(strstr(complained, "10 steps done"), "%s", complained);
    succeeds(run("train --out r --resume"));
    cr_assert_not_null(strstr(complained, "10 steps done"), "%s", complained);
}

static cJSON *config_of(const char *dir)
{
    static char text[32768];
    char path[100];
    snprintf(path, sizeof path, "%s/config.json", dir);
    slurp(path, text, sizeof text);
    return cJSON_Parse(text);
}

/* Neither the weights nor a generator of dropout may show that there was a trial. */
Test(cli_resume, the_trial_behind_minutes_leaves_no_trace)
{
    train_tiny("planned", "--dropout 0.2 --minutes 1e-6 " QUIET);
    train_tiny("told", "--dropout 0.2 --steps 10 " QUIET);
    same_directory("planned/checkpoints/step-10", "told/checkpoints/step-10");
    cJSON *planned = config_of("planned"), *told = config_of("told");
    char *plan = cJSON_PrintUnformatted(cJSON_GetObjectItem(planned, "plan"));
    cr_expect_str_eq(plan, "{\"minutes\":1e-06,\"steps\":[[0,10],[10,10]]}");
    cJSON_DeleteItemFromObject(planned, "plan");
    cr_expect(cJSON_Compare(planned, told, true));
    free(plan);
    cJSON_Delete(planned);
    cJSON_Delete(told);
}

/* The plans of a run, as one that was slowed down leaves them behind. */
static void write_plan(const char *dir, const char *steps)
{
    cJSON *config = config_of(dir), *plan = cJSON_AddObjectToObject(config, "plan");
    char path[100];
    cJSON_AddNumberToObject(plan, "minutes", 9999);
    cJSON_AddItemToObject(plan, "steps", cJSON_Parse(steps));
    char *text = cJSON_Print(config);
    snprintf(path, sizeof path, "%s/config.json", dir);
    put_file(path, text);
    free(text);
    cJSON_Delete(config);
}

/* The rate falls along a cosine to the number of steps that is planned at the time. */
Test(cli_resume, a_resumed_run_follows_the_plans_that_it_had)
{
    static const char plans[] = "[[0, 10], [3, 20], [6, 8]]";
    train_tiny("whole", "--steps 10 --checkpoint-every 2 --keep 9 --stop-at 2 --warmup 0 " QUIET);
    write_plan("whole", plans);
    succeeds(run("train --out whole --resume"));
    cr_expect_not_null(strstr(complained, "8 steps done"), "%s", complained);
    char log[8192];
    slurp("whole/log.jsonl", log, sizeof log);
    const int planned[] = {10, 10, 10, 20, 20, 20, 8, 8};
    const char *line = log;
    for (int64_t step = 0; step < 8; step++, line = strchr(line, '\n') + 1) {
        double lr = 1e-3 * 0.5 * (1.0 + cos(M_PI * (double)step / planned[step]));
        cr_expect_float_eq(atof(strstr(line, "\"lr\": ") + 6), lr, 1e-8, "step %d: %s", (int)step,
                           line);
    }
    /* It went on after step 4, but its last checkpoints are lost. */
    cr_assert_eq(system("cp -r whole parts && rm -r parts/checkpoints/step-[68]"), 0);
    succeeds(run("train --out parts --resume"));
    same_directory("whole/checkpoints/step-8", "parts/checkpoints/step-8");

    cr_assert_eq(system("cp -r whole told"), 0);
    succeeds(run("train --out told --resume --steps 9"));
    cr_expect_not_null(strstr(complained, "9 steps done"), "%s", complained);
    cr_expect_neq(system("grep -q plan told/config.json"), 0);
}

/* The clock made the plans; the second time it has no say up to where the run had been. */
Test(cli_resume, a_run_of_minutes_repeats_itself_from_an_early_checkpoint)
{
    train_tiny("whole", "--minutes 0.05 --checkpoint-every 100 --keep 1000 " QUIET);
    cr_assert_eq(system("cp -r whole again && cd again/checkpoints && "
                        "ls -d step-* | grep -vx step-100 | xargs rm -r"),
                 0);
    succeeds(run("train --out again --resume"));
    cr_assert_eq(system("for step in whole/checkpoints/step-*; do "
                        "diff -r $step again/checkpoints/${step##*/} >&2 || exit 1; done"),
                 0);
}

Test(cli_resume, a_plan_that_is_none_is_refused)
{
    train_tiny("r", "--steps 4 --stop-at 2 " QUIET);
    write_plan("r", "[[0, -4]]");
    fails_with(
        run("train --out r --resume"),
        "r/config.json: its \"plan\" is not a number of minutes and a list of [from, steps]");
}

/* A process that dies leaves lines of steps that no checkpoint has, and a line that is cut off. */
Test(cli_resume, resuming_drops_the_log_of_lost_steps)
{
    train_tiny("whole", WITH_SAMPLES);
    train_tiny("parts", WITH_SAMPLES " --stop-at 6");
    FILE *log = fopen("parts/log.jsonl", "a");
    fputs("{\"step\": 7, \"loss\": 1}\n{\"step\": 8, \"lo", log);
    fclose(log);
    cr_assert_eq(mkdir("parts/checkpoints/step-9.tmp-99999999", 0777), 0);
    succeeds(run("train --out parts --resume"));
    same_directory("whole/checkpoints/step-10", "parts/checkpoints/step-10");
    char text[8192];
    slurp("parts/log.jsonl", text, sizeof text);
    cr_assert_eq(count_lines(text), 10);
    cr_assert(!there("parts/checkpoints/step-9.tmp-99999999"));
}

Test(cli_resume, a_run_goes_on_with_its_own_settings)
{
    fails_with(run("train --out r --resume"), "r: there is no run in it");
    train_tiny("r", "--steps 4 --stop-at 2 " QUIET);
    is_usage_error("train --out r --resume --lr 0.5", "--lr: it differs from that of the run");
    is_usage_error("train --out r --resume --dropout 0.5", "--dropout: it differs");
    write_images("data.npy", 41, 8);
    fails_with(run("train --out r --resume"), "/data.npy: it has 41 images; the run began with 40");
    write_images("data.npy", 40, 8);
    is_usage_error("train --out r --resume --steps 1",
                   "--steps: 1 is less than the 2 that the run has done");
    succeeds(run("train --out r --resume --steps 3"));
    cr_assert_eq(system("sed -i 's/\"decay\":.*/\"decay\": \"slow\",/' r/config.json"), 0);
    fails_with(run("train --out r --resume"), "r/config.json: the option \"decay\"");
    put_file("r/config.json", "{\"options\": [1]}");
    fails_with(run("train --out r --resume"), "r/config.json: its \"options\" are no JSON object");
    put_file("r/config.json", "{\"options\": {}}");
    fails_with(run("train --out r --resume"), "r/config.json: the option \"data\" is missing");
    put_file("r/config.json", "{\"options\": {\"data\": \"x\"}}");
    fails_with(run("train --out r --resume"), "r/config.json: the option \"data\"");
    put_file("r/config.json", "{\"options\": {\"data\": 7}}");
    fails_with(run("train --out r --resume"), "r/config.json: the option \"data\"");
    put_file("r/config.json", "[");
    fails_with(run("train --out r --resume"), "r/config.json: ");
}

/* What may change when a run goes on is part of it from then on. */
Test(cli_resume, what_a_run_is_resumed_with_stays)
{
    static const char *const words[] = {"--steps 6<",          "--log-every 2", "--sample-every 3",
                                        "--sample-count 2",    "--keep 3",      "--tensorboard",
                                        "--checkpoint-every 7"};
    char text[65536];
    train_tiny("r", "--steps 4 --stop-at 2 " QUIET);
    cr_assert_eq(system("sed -i 's/\"isa\":.*/\"isa\": \"other\",/' r/config.json"), 0);
    succeeds(run("train --out r --resume --stop-at 3 --steps 6 --log-every 2 --sample-every 3 "
                 "--sample-count 2 --keep 3 --checkpoint-every 7 --tensorboard"));
    slurp("r/report.html", text, sizeof text);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        cr_expect_not_null(strstr(text, words[i]), "%s", words[i]);
    succeeds(run("train --out r --resume"));
    cr_assert_not_null(strstr(complained, "the run began on other"), "%s", complained);
    cr_assert_not_null(strstr(complained, "6 steps done"), "%s", complained);
    cr_assert(there("r/samples/step-6.png") && there("r/checkpoints/step-2"));
    cr_assert_eq(system("test $(ls r/tensorboard/events.out.tfevents.* | wc -l) -eq 2"), 0);
    slurp("r/log.jsonl", text, sizeof text);
    cr_assert_eq(count_lines(text), 4); /* 1, 2, 4, 6 */
}

/* A page that cannot be written: its place is taken. */
Test(cli_resume, a_run_goes_on_without_its_report)
{
    train_tiny("r", "--steps 4 --stop-at 2 " QUIET);
    cr_assert_eq(system("rm r/report.html; mkdir -p r/report.html/x"), 0);
    succeeds(run("train --out r --resume --checkpoint-every 1"));
    cr_assert_not_null(strstr(complained, "no report after step 3: r/report.html"), "%s",
                       complained);
    cr_assert_not_null(strstr(complained, "4 steps done"), "%s", complained);
}

/* In the background, with default signals: what ran the tests may ignore some, as nohup does. */
static pid_t start(const char *const *arguments)
{
    pid_t pid;
    sigset_t all;
    posix_spawnattr_t attributes;
    sigfillset(&all);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 1, "background.out", O_WRONLY | O_CREAT | O_TRUNC,
                                     0666);
    posix_spawn_file_actions_addopen(&files, 2, "background.err", O_WRONLY | O_CREAT | O_TRUNC,
                                     0666);
    char *argv[40] = {getenv("ITO_DDPM")};
    for (int i = 0; arguments[i] != NULL; i++)
        argv[i + 1] = (char *)arguments[i];
    cr_assert_eq(posix_spawn(&pid, argv[0], &files, &attributes, argv, environ), 0);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return pid;
}

/* Wait until the file has something in it. */
static void await(const char *path)
{
    struct stat info;
    for (int i = 0; i < 6000; i++) {
        if (stat(path, &info) == 0 && info.st_size > 0)
            return;
        usleep(10000);
    }
    cr_assert_fail("%s does not appear", path);
}

static int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        cr_assert_eq(errno, EINTR);
    return status;
}

#define START_TINY                                                                                 \
    "train", "--data", "npy:data.npy", "--out", "r", "--channels", "8", "--multipliers", "1,2",    \
        "--blocks", "1", "--diffusion-steps", "20", "--sample-every", "0", "--steps", "1000000"

Test(cli_resume, a_signal_ends_the_step_and_saves)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(system("rm -rf r"), 0);
        pid_t pid = start((const char *[]){START_TINY, "--batch", "4", NULL});
        await("r/log.jsonl");
        kill(pid, signals[i]);
        int status = wait_for(pid);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 128 + signals[i]);
        char text[4096];
        slurp("background.err", text, sizeof text);
        char wanted[4300]; /* it can be pasted */
        snprintf(wanted, sizeof wanted, "go on with: %s train --out r --resume\n",
                 getenv("ITO_DDPM"));
        cr_assert_not_null(strstr(text, wanted), "%s", text);
        cr_assert(newest() > 0);
    }
    int step = newest();
    succeeds(run("train --out r --resume --stop-at %d", step + 2));
    succeeds(run("train --data npy:data.npy --out whole " TINY " " QUIET
                 " --steps 1000000 --stop-at %d",
                 step + 2));
    char a[64], b[64];
    snprintf(a, sizeof a, "r/checkpoints/step-%d", step + 2);
    snprintf(b, sizeof b, "whole/checkpoints/step-%d", step + 2);
    same_directory(a, b);
}

/* Both wait while the process is stopped, so that the second comes before the step can end. */
Test(cli_resume, a_second_signal_ends_at_once)
{
    pid_t pid = start((const char *[]){START_TINY, "--batch", "4", NULL});
    await("r/log.jsonl");
    kill(pid, SIGSTOP);
    kill(pid, SIGTERM);
    kill(pid, SIGHUP);
    kill(pid, SIGCONT);
    int status = wait_for(pid);
    cr_assert(WIFSIGNALED(status), "status %x", (unsigned)status);
    cr_assert(WTERMSIG(status) == SIGTERM || WTERMSIG(status) == SIGHUP);
}

Test(cli_resume, a_second_process_is_refused)
{
    pid_t pid = start((const char *[]){START_TINY, "--batch", "4", NULL});
    await("r/log.jsonl");
    fails_with(run("train --out r --resume"), "r: another process is training in this directory");
    kill(pid, SIGKILL);
    wait_for(pid);
    succeeds(run("train --out r --resume --stop-at 2"));
}

Test(cli_resume, a_run_has_its_report_and_wants_tensorboard_files_to_the_end)
{
    train_tiny("run", "--steps 4 --stop-at 2 --tensorboard " QUIET);
    cr_assert(there("run/report.html"));
    succeeds(run("train --out run --resume"));
    cr_assert_eq(system("test $(ls run/tensorboard/events.out.tfevents.* | wc -l) -eq 2"), 0);
    succeeds(run("report run"));
    cr_assert_str_eq(said, "run/report.html\n");
    is_usage_error("report", "there is no RUN");
    fails_with(run("report nowhere"), "nowhere: there is no run in it");
}
