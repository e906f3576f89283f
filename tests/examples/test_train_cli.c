/* ito-ddpm train and info: what a run holds and says of itself, and that bad data, damaged files
 * and full disks cost nothing that was there. */
#include "tests/examples/cli.h"

#include "tensor/io/npy.h"
#include "tensor/runtime.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

TestSuite(cli_train, .init = cli_enter, .fini = cli_leave, .timeout = 600);

/* ---- bad data ---- */

Test(cli_train, bad_data_is_one_line_and_writes_nothing)
{
    put_file("empty.npy", "");
    put_file("text.npy", "these are no images\n");
    cr_assert_eq(system("head -c 1000 data.npy > short.npy; mkdir none mnist; "
                        "head -c 100 /dev/zero > mnist/train-images-idx3-ubyte"),
                 0);
    ito_tensor *wild = ito_full(ITO_SHAPE(2, 1, 8, 8), 3.5, ITO_F32);
    cr_assert_eq(ito_npy_save("wild.npy", wild), ITO_OK);
    cr_assert_eq(ito_npy_save("flat.npy", ito_zeros(ITO_SHAPE(2, 64), ITO_U8)), ITO_OK);
    cr_assert_eq(ito_npy_save("i32.npy", ito_zeros(ITO_SHAPE(2, 1, 8, 8), ITO_I32)), ITO_OK);
    cr_assert_eq(ito_npy_save("zero.npy", ito_zeros(ITO_SHAPE(0, 1, 8, 8), ITO_U8)), ITO_OK);
    write_images("odd.npy", 4, 7);
    static const struct {
        const char *data, *words;
    } cases[] = {
        {"npy:missing.npy", "missing.npy: "},
        {"npy:empty.npy", "empty.npy: "},
        {"npy:text.npy", "text.npy: "},
        {"npy:short.npy", "short.npy: "},
        {"npy:wild.npy", "wild.npy: its numbers are from 3.5 to 3.5, and floats of images lie in "
                         "[-1, 1]: give --range 0,255"},
        {"npy:flat.npy", "flat.npy: it has 2 axes"},
        {"npy:i32.npy", "i32.npy: it holds whole numbers (i32) from 0 to 0; say which are black "
                        "and white: --range 0,1"},
        {"npy:zero.npy", "zero.npy: it holds no images"},
        {"npy:odd.npy", "images of 7x7 cannot be halved 1 times"},
        {"mnist:nowhere", "nowhere/train-images-idx3-ubyte: there is no such file"},
        {"mnist:mnist", "mnist/train-images-idx3-ubyte: "},
        {"cifar10:none", "none"},
        {"folder:none", "none"},
        {"folder:nowhere", "nowhere"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fails_with(run("train --data %s --out r " TINY, cases[i].data), cases[i].words);
        cr_assert(!there("r"), "%s left a directory", cases[i].data);
    }
}

Test(cli_train, all_layouts_of_npy_are_taken)
{
    static const struct {
        ito_shape shape;
        const char *words;
    } cases[] = {
        {{4, {4, 3, 8, 12}}, "4 images of 3x8x12"},
        {{4, {4, 8, 12, 3}}, "4 images of 3x8x12"},
        {{3, {4, 8, 12}}, "4 images of 1x8x12"},
        {{4, {4, 8, 12, 1}}, "4 images of 1x8x12"},
    };
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(ito_npy_save("x.npy", ito_zeros(cases[i].shape, i % 2 ? ITO_F32 : ITO_U8)),
                     ITO_OK);
        succeeds(run("train --data npy:x.npy --out r%d " TINY " " QUIET " --steps 1", i));
        cr_assert_not_null(strstr(complained, cases[i].words), "%s", complained);
    }
}

/* ---- a run ---- */

Test(cli_train, a_run_describes_itself)
{
    train_tiny("r", "--steps 6 --sample-every 3 --sample-count 2 --sample-steps 4 "
                    "--checkpoint-every 2 --json");
    static const char *const files[] = {"r/config.json",
                                        "r/log.jsonl",
                                        "r/samples/step-3.png",
                                        "r/samples/step-6.png",
                                        "r/checkpoints/step-6/model.safetensors",
                                        "r/checkpoints/step-6/ema.safetensors",
                                        "r/checkpoints/step-6/optimizer.safetensors",
                                        "r/checkpoints/step-6/state.json"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        cr_assert(there(files[i]), "%s is missing", files[i]);
    cr_assert(there("r/checkpoints/step-4"), "two checkpoints stay");
    cr_assert(!there("r/checkpoints/step-2"));

    cJSON *end = cJSON_Parse(said);
    cr_assert_eq(cJSON_GetObjectItem(end, "step")->valuedouble, 6.0);
    cr_assert(cJSON_IsNumber(cJSON_GetObjectItem(end, "loss")));
    cJSON_Delete(end);

    char log[8192], *line = log;
    slurp("r/log.jsonl", log, sizeof log);
    cr_assert_eq(count_lines(log), 6);
    static const char *const members[] = {
        "step", "loss", "grad_norm", "lr", "images_per_second", "seconds", "peak_bytes"};
    for (int i = 1; i <= 6; i++) {
        char *next = strchr(line, '\n');
        *next = '\0';
        cJSON *o = cJSON_Parse(line);
        for (int k = 0; k < 7; k++)
            cr_assert(cJSON_IsNumber(cJSON_GetObjectItem(o, members[k])), "%s: %s", members[k],
                      line);
        cr_assert_eq(cJSON_GetObjectItem(o, "step")->valuedouble, (double)i);
        cJSON_Delete(o);
        line = next + 1;
    }
}

Test(cli_train, info_verifies_and_describes)
{
    train_tiny("r", "--steps 2 " QUIET);
    static const struct {
        const char *path, *words;
    } good[] = {
        {"r", "kind: run"},
        {"r/checkpoints/step-2", "kind: checkpoint"},
        {"r/checkpoints/step-2/ema.safetensors", "checksums: "},
        {"r/checkpoints/step-2/ema.safetensors --tensors", "conv_in.weight: f32 [8, 1, 3, 3]"},
        {"data.npy", "shape: [40, 1, 8, 8]"},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        succeeds(run("info %s", good[i].path));
        cr_assert_not_null(strstr(said, good[i].words), "%s", said);
        succeeds(run("info --json %s", good[i].path));
        cJSON *o = cJSON_Parse(said);
        cr_assert(cJSON_IsObject(o), "%s", said);
        cJSON_Delete(o);
    }
    succeeds(run("train --data npy:data.npy --out s " TINY " --steps 1 --sample-count 4 "
                 "--sample-steps 2 --sample-every 1"));
    succeeds(run("info s/samples"));
    cr_assert_not_null(strstr(said, "images: 1"), "%s", said);
    succeeds(run("info s/samples/step-1.png"));
    fails_with(run("info nowhere"), "nowhere: ");
    cr_assert_eq(system("printf x | dd of=r/checkpoints/step-2/model.safetensors bs=1 seek=30000 "
                        "conv=notrunc 2>/dev/null"),
                 0);
    fails_with(run("info r/checkpoints/step-2/model.safetensors"), "model.safetensors: ");
    fails_with(run("info r"), "model.safetensors: ");
}

static bool says(const char *words)
{
    return strstr(said, words) != NULL;
}

/* Tensors are listed where they are asked for, and in JSON. */
Test(cli_train, info_lists_tensors_on_request)
{
    train_tiny("r", "--steps 2 " QUIET);
    static const char *const paths[] = {"r", "r/checkpoints/step-2",
                                        "r/checkpoints/step-2/model.safetensors"};
    for (int i = 0; i < 3; i++) {
        succeeds(run("info %s", paths[i]));
        cr_expect(!says("conv_in.weight") && !says("contents"), "%s: %s", paths[i], said);
        succeeds(run("info %s --tensors", paths[i]));
        cr_expect(says("conv_in.weight: f32 [8, 1, 3, 3]"), "%s: %s", paths[i], said);
        succeeds(run("info %s --json", paths[i]));
        cr_expect(says("\"conv_in.weight\":\"f32 [8, 1, 3, 3]\""), "%s: %s", paths[i], said);
    }
}

/* Of a network that began as another library's, the widths need not be multiples. */
Test(cli_train, info_tells_of_widths_that_are_no_multiples)
{
    train_tiny("r", "--steps 2 " QUIET);
    cr_assert_eq(system("sed -i '/\"multipliers\"/s/\\[1, 2\\]/[1, 0], \"widths\": [0, 12]/' "
                        "r/config.json && grep -q widths r/config.json"),
                 0);
    succeeds(run("info r"));
    cr_expect(says("8 channels x [1,1.5], "), "%s", said);
}

/* What was learned, how long, the loss, where things are and what to type, in twenty lines. */
Test(cli_train, info_tells_of_a_run_in_twenty_lines)
{
    write_classes();
    succeeds(run(FOLDER "--out 'my run' --conditional --steps 60 --stop-at 50 --sample-every 25 "
                        "--sample-count 2 --sample-steps 2"));
    succeeds(run("info 'my run'"));
    cr_expect_leq(count_lines(said), 20, "%s", said);
    static const char *const lines[] = {
        "path: my run\n",
        "kind: run\n",
        "state: stopped\n",
        "/photos, 6 images of 1x8x8, 2 classes: cat, dog\n",
        "network: preset small, 8 channels x [1,2], ",
        "diffusion: schedule cosine, prediction eps, diffusion-steps 20\n",
        "optimiser: adam, learning rate 0.001, cosine decay, batch 4, averages 0.999, seed 0\n",
        "step: 50 of 60\n",
        "\ntime: ",
        " images/s, ",
        "\nloss: ",
        "smoothed; ",
        " a tenth of the run ago ",
        "samples: my run/samples/step-50.png, the newest of 2\n",
        "report: my run/report.html\n",
        "newest checkpoint: my run/checkpoints/step-50, verified\n",
        " train --resume --out 'my run'\n",
        " sample --out grid.png --model 'my run'\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        cr_expect(says(lines[i]), "\"%s\" is not in: %s", lines[i], said);
    /* The next command can be pasted: it goes on. */
    char command[2048], *line = strstr(said, "to go on: ");
    cr_assert_not_null(line);
    snprintf(command, sizeof command, "%.*s --stop-at 51 2>pasted.txt",
             (int)strcspn(line + 10, "\n"), line + 10);
    cr_expect_eq(system(command), 0, "%s", command);
    succeeds(run("train --resume --out 'my run'"));
    succeeds(run("info 'my run'"));
    cr_expect(says("state: done\n") && says("--resume --out 'my run' --steps 120\n"), "%s", said);
    succeeds(run("info 'my run' --json"));
    cr_expect_eq(number("step"), 60);
    cr_expect_eq(number("grids"), 3);
}

/* The lines of the log that have the loss by time, as their steps. */
static const char *steps_with_bins(const char *path)
{
    static char log[1 << 16], steps[256];
    size_t n = 0;
    slurp(path, log, sizeof log);
    for (const char *line = log; *line != '\0'; line = strchr(line, '\n') + 1) {
        const char *bins = strstr(line, "\"loss_by_t\": [");
        if (bins != NULL && bins < strchr(line, '\n'))
            n += (size_t)snprintf(steps + n, sizeof steps - n, "%d ",
                                  atoi(line + strlen("{\"step\": ")));
    }
    return steps;
}

/* After each fifty steps, where a process ends, and at the end. */
Test(cli_train, the_log_has_the_loss_by_time)
{
    train_tiny("r", "--steps 110 --stop-at 60 " QUIET);
    cr_expect_str_eq(steps_with_bins("r/log.jsonl"), "50 60 ");
    succeeds(run("train --resume --out r"));
    cr_expect_str_eq(steps_with_bins("r/log.jsonl"), "50 60 100 110 ");
    train_tiny("s", "--steps 200 --log-every 40 --step-sampling stratified " QUIET);
    cr_expect_str_eq(steps_with_bins("s/log.jsonl"), "80 120 160 200 ");
}

/* A few steps of a process are counted; a run shorter than that has none. */
Test(cli_train, a_run_knows_where_the_time_of_a_step_goes)
{
    static char text[1 << 16];
    train_tiny("short", "--steps 4 " QUIET);
    cr_expect(!there("short/profile.json"));
    train_tiny("r", "--steps 12 " QUIET);
    slurp("r/profile.json", text, sizeof text);
    cJSON *profile = cJSON_Parse(text);
    cr_assert_not_null(profile, "%s", text);
    cr_expect_eq(cJSON_GetObjectItem(profile, "step")->valuedouble, 12);
    cr_expect_eq(cJSON_GetObjectItem(profile, "steps")->valuedouble, 7);
    const cJSON *row;
    double calls = 0;
    cJSON_ArrayForEach(
        row, cJSON_GetObjectItem(profile,
                                 "rows")) if (strcmp(cJSON_GetObjectItem(row, "name")->valuestring,
                                                     "optimiser") == 0) calls =
        cJSON_GetObjectItem(row, "calls")->valuedouble;
    cr_expect_eq(calls, 7, "one a step");
    cJSON_Delete(profile);
    slurp("r/report.html", text, sizeof text);
    cr_expect_not_null(strstr(text, "Where the time of a step goes"));
    cr_expect_not_null(strstr(text, "the mean of 7 up to step 12."));
}

/* The plain weights' grid is of the same noise: it is the averaged one where these are the weights.
 * What report --samples draws is what training drew. */
Test(cli_train, averaged_and_plain_weights_are_drawn_at_the_end)
{
    train_tiny("r", "--steps 6 --ema 0 --sample-every 3 --sample-count 3 --sample-steps 4");
    cr_expect(there("r/samples/step-3.png") && !there("r/samples-plain/step-3.png"));
    cr_expect(same_file("r/samples/step-6.png", "r/samples-plain/step-6.png"));
    train_tiny("s", "--steps 6 --ema 0.99 --lr 0.02 --warmup 0 --sample-every 6 --sample-count 3 "
                    "--sample-steps 4");
    cr_expect(!same_file("s/samples/step-6.png", "s/samples-plain/step-6.png"));
    cr_assert_eq(system("cp -r s again; rm -r again/samples again/samples-plain"), 0);
    succeeds(run("report again --samples"));
    cr_expect_str_eq(said, "again/report.html\n");
    cr_expect(same_file("s/samples/step-6.png", "again/samples/step-6.png"));
    cr_expect(same_file("s/samples-plain/step-6.png", "again/samples-plain/step-6.png"));
    static char page[1 << 17];
    slurp("again/report.html", page, sizeof page);
    cr_expect_not_null(strstr(page, "averaged weights, after step 6"));
    cr_assert_eq(system("rm -r again/checkpoints again/samples"), 0);
    fails_with(run("report again --samples"), "ito-ddpm report: again: ");
}

Test(cli_train, what_is_there_is_not_overwritten)
{
    cr_assert_eq(mkdir("r", 0777), 0);
    put_file("r/thesis.txt", "years of work");
    fails_with(run("train --data npy:data.npy --out r " TINY), "r: it is not empty");
    cr_assert(!there("r/config.json"));
    fails_with(run("train --data npy:data.npy --out data.npy " TINY), "data.npy: ");
}

/* ---- precision and memory ---- */

Test(cli_train, a_run_keeps_its_precision)
{
    char log[4096];
    train_tiny("r", "--steps 4 --stop-at 2 " QUIET);
    cr_assert_not_null(strstr(complained, ito_threads() == 1 ? " 1 thread, " : " threads, "), "%s",
                       complained);
    cr_assert_not_null(strstr(complained, ", f32\n"), "%s", complained);
    slurp("r/log.jsonl", log, sizeof log);
    cr_assert_not_null(strstr(log, "\"precision\": \"f32\""), "%s", log);
    succeeds(run("info r"));
    cr_assert_not_null(strstr(said, " parameters, f32\n"), "%s", said);
    is_usage_error("train --out r --resume --precision bf16",
                   "--precision: it differs from that of the run in r");
    /* A run from before there was a choice. */
    cr_assert_eq(system("sed -i '/\"precision\":/d' r/config.json"), 0);
    succeeds(run("train --out r --resume"));
    cr_assert_not_null(strstr(complained, ", f32\n"), "%s", complained);
}

Test(cli_train, recomputing_changes_nothing_but_the_memory)
{
    train_tiny("plain", "--steps 4 --dropout 0.3 --json " QUIET);
    cr_assert_not_null(strstr(complained, "memory, MiB: "), "%s", complained);
    cr_assert_not_null(strstr(said, "\"memory\":{\"weights\":"), "%s", said);
    train_tiny("again", "--steps 4 --dropout 0.3 --recompute --stop-at 2 " QUIET);
    succeeds(run("train --out again --resume"));
    same_directory("plain/checkpoints/step-4", "again/checkpoints/step-4");
    is_usage_error("train --out plain --resume --recompute",
                   "--recompute: it differs from that of the run in plain");
}

static int times(const char *text, const char *word)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, word)) != NULL; p += strlen(word))
        n++;
    return n;
}

Test(cli_train, a_run_in_bf16_is_trained_resumed_and_sampled)
{
    char log[4096];
    train_tiny("r", "--precision bf16 --steps 4 " QUIET);
    cr_assert_eq(
        times(complained, "multiplies no bf16 faster than f32: activations are stored in bf16"),
        ito_multiplies_bf16() ? 0 : 1, "%s", complained);
    cr_assert_not_null(strstr(complained, ", bf16\n"), "%s", complained);
    slurp("r/log.jsonl", log, sizeof log);
    cr_assert_eq(times(log, "\"precision\": \"bf16\""), 4, "%s", log);
    succeeds(run("info r"));
    cr_assert_not_null(strstr(said, " parameters, bf16\n"), "%s", said);
    train_tiny("s", "--precision bf16 --steps 4 --stop-at 2 " QUIET);
    succeeds(run("train --out s --resume"));
    same_directory("r/checkpoints/step-4", "s/checkpoints/step-4");
    is_usage_error("train --out s --resume --precision f32",
                   "--precision: it differs from that of the run in s");
    succeeds(run("sample --model r --npy a.npy --n 2 --steps 4 --precision bf16 --json"));
    cr_assert_not_null(strstr(said, "\"precision\":\"bf16\""), "%s", said);
    succeeds(run("sample --model r --npy b.npy --n 2 --steps 4"));
    cr_assert(!same_file("a.npy", "b.npy"));
}

/* ---- what goes wrong on the way ---- */

Test(cli_train, a_loss_that_is_not_finite_ends_the_run)
{
    int code = run("train --data npy:data.npy --out r " TINY " " QUIET
                   " --steps 50 --lr 1e30 --clip 0 --warmup 0 --checkpoint-every 1");
    cr_assert_eq(code, 1);
    cr_assert_not_null(strstr(complained, "step 6: loss "), "%s", complained);
    cr_assert_not_null(strstr(complained, "5 times in a row at learning rate"), "%s", complained);
    cr_assert_not_null(strstr(complained, "first not finite: "), "%s", complained);
    cr_assert_not_null(strstr(complained, "the last good checkpoint is step-1"), "%s", complained);
    cr_assert_eq(newest(), 1);
    char log[8192];
    slurp("r/log.jsonl", log, sizeof log);
    cr_assert_not_null(strstr(log, "\"loss\": null"), "%s", log);
    cr_assert_not_null(strstr(log, "\"applied\": false"), "%s", log);
    /* Nor are samples of such a network written. */
    code = run("sample --model r --weights model --out g.png --npy g.npy --n 2 --steps 3");
    cr_assert_eq(code, 1);
    cr_assert_not_null(strstr(complained, "is not finite; nothing was written"), "%s", complained);
    cr_assert(!there("g.png") && !there("g.npy"));
}

/* A limit on file sizes stands for a full disk: writing ends with an error half-way. */
Test(cli_train, a_full_disk_leaves_the_old_checkpoint)
{
    train_tiny("r", "--steps 4 --stop-at 2 " QUIET);
    cr_assert_eq(system("cp -r r/checkpoints/step-2 before"), 0);
    char command[256];
    snprintf(command, sizeof command,
             "ulimit -f 16; \"$ITO_DDPM\" train --out r --resume >/dev/null 2>stderr.txt");
    int status = system(command);
    slurp("stderr.txt", complained, sizeof complained);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1, "%s", complained);
    cr_assert_not_null(strstr(complained, "cannot"), "%s", complained);
    same_directory("before", "r/checkpoints/step-2");
    cr_assert_eq(newest(), 2);
    succeeds(run("train --out r --resume"));
}

Test(cli_train, a_full_stdout_costs_no_checkpoint)
{
    char command[512];
    snprintf(command, sizeof command,
             "\"$ITO_DDPM\" train --data npy:data.npy --out r " TINY " " QUIET
             " --steps 2 --json >/dev/full 2>stderr.txt");
    int status = system(command);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    cr_assert_eq(newest(), 2);
}

Test(cli_train, damaged_and_foreign_checkpoints_are_refused)
{
    train_tiny("r", "--steps 4 --stop-at 2 " QUIET);
    succeeds(run("train --data npy:data.npy --out wide --channels 16 --multipliers 1,2 --blocks 1 "
                 "--batch 4 " QUIET " --steps 1"));
    cr_assert_eq(system("cp -r r cut; cp -r r foreign; cp -r r nojson; "
                        "truncate -s 5000 cut/checkpoints/step-2/ema.safetensors; "
                        "cp wide/checkpoints/step-1/*.safetensors foreign/checkpoints/step-2/; "
                        "echo '{' > nojson/checkpoints/step-2/state.json"),
                 0);
    fails_with(run("sample --model cut --out g.png"), "cut/checkpoints/step-2/ema.safetensors: ");
    cr_assert_eq(run("train --out cut --resume"), 1);
    fails_with(
        run("sample --model foreign --out g.png"),
        "ema.safetensors: conv_in.weight is [16, 1, 3, 3] in the file and [8, 1, 3, 3] in the "
        "model");
    cr_assert_eq(run("train --out foreign --resume"), 1);
    fails_with(run("sample --model nojson --out g.png"), "nojson/checkpoints/step-2/state.json: ");
    fails_with(run("sample --model nowhere --out g.png"), "nowhere: ");
    fails_with(run("sample --model r/samples --out g.png"), "r/samples: it is neither a run");
    fails_with(run("sample --model data.npy --out g.png"),
               "data.npy: it is a .npy file, not a file of weights");
    cr_assert_eq(mkdir("young", 0777), 0);
    cr_assert_eq(mkdir("young/checkpoints", 0777), 0);
    fails_with(run("sample --model young --out g.png"), "young: the run has no checkpoint yet");
    cr_assert(!there("g.png"));
}
