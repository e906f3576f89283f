/* The program ito-ddpm from outside: exit codes, what it says, what it leaves behind, and that a
 * run that is stopped and resumed ends in the same bytes as one that was not. Each test works in a
 * directory of its own, with a network of a few thousand parameters. */
#include "tensor/io/image.h"
#include "tensor/io/npy.h"
#include "tensor/runtime.h"
#include "tensor/tensor.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define TINY "--channels 8 --multipliers 1,2 --blocks 1 --batch 4 --diffusion-steps 20"
#define QUIET "--sample-every 0"

static char directory[] = "/tmp/ito-cli-XXXXXX";

static void write_images(const char *path, int64_t n, int64_t side)
{
    ito_generator g = ito_generator_make(1, 1);
    ito_tensor *x = ito_randint(&g, 0, 256, ITO_SHAPE(n, 1, side, side), ITO_U8);
    cr_assert_eq(ito_npy_save(path, x), ITO_OK, "%s", ito_error());
}

static void enter(void)
{
    cr_assert_not_null(getenv("ITO_DDPM"), "ITO_DDPM names the program");
    cr_assert_not_null(mkdtemp(directory));
    cr_assert_eq(chdir(directory), 0);
    setenv("OMP_WAIT_POLICY", "passive", 1);
    write_images("data.npy", 40, 8);
}

static void leave(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    cr_assert_eq(system(command), 0);
}

TestSuite(ddpm_cli, .init = enter, .fini = leave, .timeout = 120);

/* ---- running it ---- */

static char said[65536], complained[65536]; /* by the last run, on stdout and stderr */

static void slurp(const char *path, char *out, size_t room)
{
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f);
    out[fread(out, 1, room - 1, f)] = '\0';
    fclose(f);
}

/* Run the program with these arguments, a piece of shell; its exit code. */
static int run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int run(const char *format, ...)
{
    char arguments[2048], command[4096];
    va_list list;
    va_start(list, format);
    vsnprintf(arguments, sizeof arguments, format, list);
    va_end(list);
    snprintf(command, sizeof command, "\"$ITO_DDPM\" %s >stdout.txt 2>stderr.txt </dev/null",
             arguments);
    int status = system(command);
    slurp("stdout.txt", said, sizeof said);
    slurp("stderr.txt", complained, sizeof complained);
    cr_assert(WIFEXITED(status), "%s", command);
    return WEXITSTATUS(status);
}

static void succeeds(int code)
{
    cr_assert_eq(code, 0, "exit code %d: %s", code, complained);
}

static int lines(const char *text)
{
    int n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

/* Exit code 1 and one line on stderr that has these words. */
static void fails_with(int code, const char *words)
{
    cr_assert_eq(code, 1, "exit code %d: %s", code, complained);
    cr_assert_not_null(strstr(complained, words), "\"%s\" is not in: %s", words, complained);
    cr_assert_eq(lines(complained), 1, "%s", complained);
    cr_assert_null(strstr(complained, "(null)"));
}

static bool there(const char *path)
{
    return access(path, F_OK) == 0;
}

static bool same_file(const char *a, const char *b)
{
    char command[512];
    snprintf(command, sizeof command, "cmp -s %s %s", a, b);
    return system(command) == 0;
}

static void same_directory(const char *a, const char *b)
{
    char command[512];
    snprintf(command, sizeof command, "diff -r %s %s", a, b);
    cr_assert_eq(system(command), 0, "%s", command);
}

static void put_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    cr_assert_eq(fclose(f), 0);
}

static void train_tiny(const char *out, const char *more)
{
    succeeds(run("train --data npy:data.npy --out %s " TINY " %s", out, more));
}

/* ---- usage ---- */

static void is_usage_error(const char *arguments, const char *words)
{
    int code = run("%s", arguments);
    cr_assert_eq(code, 2, "%s: exit code %d", arguments, code);
    cr_assert_not_null(strstr(complained, words), "%s: \"%s\" is not in: %s", arguments, words,
                       complained);
    cr_assert_not_null(strstr(complained, "Usage: ito-ddpm"), "%s", complained);
    cr_assert_str_empty(said);
}

Test(ddpm_cli, unknown_commands_and_options_are_usage_errors)
{
    is_usage_error("", "there is no command");
    is_usage_error("tran", "there is no command \"tran\"");
    is_usage_error("train --foo", "--foo");
    is_usage_error("sample --bar=3", "--bar");
    is_usage_error("info --baz x", "--baz");
    is_usage_error("train -x", "x");
    is_usage_error("train extra --out r --data fashion-mnist",
                   "\"extra\" is one argument too many");
    is_usage_error("info a b", "\"b\" is one argument too many");
    is_usage_error("info", "there is no FILE, RUN or DIR");
    is_usage_error("train --out", "--out");
}

Test(ddpm_cli, a_profile_is_printed_beside_the_usual_output)
{
    setenv("ITO_PROFILE", "1", 1);
    succeeds(run("train --data npy:data.npy --out r --steps 2 --json " TINY " " QUIET));
    cJSON *o = cJSON_Parse(said);
    cr_assert_not_null(o, "%s", said);
    cJSON_Delete(o);
    static const char *const rows[] = {"\nconv2d ", "\noptimiser ", "\nclip ", "\nother ",
                                       "\ntotal "};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_not_null(strstr(complained, rows[i]), "%s: %s", rows[i], complained);
    setenv("ITO_PROFILE", "0", 1);
    succeeds(run("info r"));
    cr_assert_str_eq(complained, "");
}

Test(ddpm_cli, options_that_are_needed_are_named)
{
    is_usage_error("train --out r", "--data is missing");
    is_usage_error("train --data fashion-mnist", "--out is missing");
    is_usage_error("sample --out g.png", "--model is missing");
    is_usage_error("sample --model r", "--out or --npy is missing");
}

Test(ddpm_cli, numbers_are_checked)
{
    static const char *const bad[] = {"nan", "inf", "-inf", "1e999", "-1",  "9223372036854775808",
                                      "''",  "1x",  "' 1'", "0x10",  "1.5", "99999999999999999999"};
    static const char *const whole[] = {"steps", "batch", "threads", "seed", "keep", "channels"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char arguments[256], name[32];
        const char *option = whole[i % (sizeof whole / sizeof whole[0])];
        snprintf(arguments, sizeof arguments, "train --data npy:data.npy --out r --%s=%s", option,
                 bad[i]);
        snprintf(name, sizeof name, "--%s", option);
        is_usage_error(arguments, name);
    }
    static const char *const real[] = {"nan", "inf", "1e999", "-1", "''", "1e-3x", "0", "'nan(1)'"};
    for (size_t i = 0; i < sizeof real / sizeof real[0]; i++) {
        char arguments[256];
        snprintf(arguments, sizeof arguments, "train --data npy:data.npy --out r --lr=%s", real[i]);
        is_usage_error(arguments, "--lr");
    }
    is_usage_error("sample --model r --out g.png --eta 1.01", "--eta");
    is_usage_error("sample --model r --out g.png --n 0", "--n");
    cr_assert(!there("r"));
}

Test(ddpm_cli, words_are_checked)
{
    is_usage_error("train --data mist:x --out r", "--data: \"mist:x\" is none of");
    is_usage_error("train --data mnist: --out r", "--data: \"mnist:\" is none of");
    is_usage_error("train --data '' --out r", "--data: it is empty");
    is_usage_error("train --data npy:data.npy --out r --preset big",
                   "--preset: \"big\" is none of small|cifar10|lsun256");
    is_usage_error("train --data npy:data.npy --out r --schedule lin", "--schedule: \"lin\"");
    is_usage_error("sample --model r --out g.png --sampler eulr",
                   "--sampler: \"eulr\" is none of ddpm|ddim|euler|");
    is_usage_error("train --data npy:data.npy --out r --multipliers 1,,2",
                   "--multipliers: \"1,,2\"");
    is_usage_error("train --data npy:data.npy --out r --multipliers 1,2 --attention 5",
                   "--attention: \"5\"");
    is_usage_error("train --data npy:data.npy --out r --minutes 1 --steps 5",
                   "--minutes: how long the run is, --steps says already");
    is_usage_error("train --out r --resume --minutes 1",
                   "--minutes: how long the run is, the run itself says already");
    is_usage_error("train --data npy:data.npy --out r --diffusion-steps 10 --sample-steps 11",
                   "--sample-steps: 11 is more than the 10");
    cr_assert(!there("r"));
}

Test(ddpm_cli, precisions_are_named)
{
    is_usage_error("train --data npy:data.npy --out r --precision f16",
                   "--precision: \"f16\" is none of f32|bf16");
    is_usage_error("sample --model r --out g.png --precision fp8",
                   "--precision: \"fp8\" is none of f32|bf16");
    cr_assert(!there("r"));
}

Test(ddpm_cli, numbers_of_threads_are_checked)
{
    static const char *const bad[] = {"0", "-1", "10000"};
    static const char *const commands[] = {"train --data npy:data.npy --out r",
                                           "sample --model r --out g.png"};
    for (int i = 0; i < 6; i++) {
        char arguments[128], words[128];
        snprintf(arguments, sizeof arguments, "%s --threads=%s", commands[i / 3], bad[i % 3]);
        snprintf(words, sizeof words, "--threads: \"%s\" is not a whole number from 1 to 1024",
                 bad[i % 3]);
        is_usage_error(arguments, words);
    }
}

/* What it says of an instruction set, one line, that it cannot use. */
static void refuses_isa(const char *isa, const char *words)
{
    setenv("ITO_ISA", isa, 1);
    int code = run("train --data npy:data.npy --out r " TINY);
    unsetenv("ITO_ISA");
    cr_assert_eq(code, 2, "%s: exit code %d", isa, code);
    cr_assert_not_null(strstr(complained, words), "%s: %s", isa, complained);
    cr_assert_eq(lines(complained), 1, "%s", complained);
    cr_assert(!there("r"));
}

Test(ddpm_cli, instruction_sets_that_cannot_be_used_are_refused)
{
    refuses_isa("avx3", "ITO_ISA: \"avx3\" is none of base, avx2, avx512, avx512bf16");
    if (strcmp(ito_isa(), "avx512bf16") != 0)
        refuses_isa("avx512bf16", "ITO_ISA: this processor lacks avx512bf16; the best it has is ");
}

Test(ddpm_cli, help_goes_to_stdout)
{
    static const char *const all[] = {"--help", "train --help", "sample --help", "info --help"};
    for (int i = 0; i < 4; i++) {
        succeeds(run("%s", all[i]));
        cr_assert_not_null(strstr(said, "Usage: ito-ddpm"), "%s", said);
        cr_assert_not_null(strstr(said, "Exit codes"), "%s", said);
        cr_assert_str_empty(complained);
    }
    succeeds(run("--version"));
    cr_assert_not_null(strstr(said, "ito-ddpm 0."));
}

Test(ddpm_cli, a_run_keeps_its_precision)
{
    char log[4096];
    train_tiny("r", "--steps 4 --stop-at 2 " QUIET);
    cr_assert_not_null(strstr(complained, "threads, "), "%s", complained);
    cr_assert_not_null(strstr(complained, ", f32\n"), "%s", complained);
    slurp("r/log.jsonl", log, sizeof log);
    cr_assert_not_null(strstr(log, "\"precision\": \"f32\""), "%s", log);
    succeeds(run("info r"));
    cr_assert_not_null(strstr(said, "precision: f32"), "%s", said);
    is_usage_error("train --out r --resume --precision bf16",
                   "--precision: it differs from that of the run in r");
    /* A run from before there was a choice. */
    cr_assert_eq(system("sed -i '/\"precision\":/d' r/config.json"), 0);
    succeeds(run("train --out r --resume"));
    cr_assert_not_null(strstr(complained, ", f32\n"), "%s", complained);
}

Test(ddpm_cli, recomputing_changes_nothing_but_the_memory)
{
    train_tiny("plain", "--steps 4 --dropout 0.3 --json " QUIET);
    cr_assert_not_null(strstr(complained, "memory, MiB: "), "%s", complained);
    cr_assert_not_null(strstr(said, "\"memory\": {\"weights\": "), "%s", said);
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

Test(ddpm_cli, a_run_in_bf16_is_trained_resumed_and_sampled)
{
    char log[4096];
    train_tiny("r", "--precision bf16 --steps 4 " QUIET);
    if (strcmp(ito_isa(), "avx512bf16") != 0)
        cr_assert_eq(times(complained, "multiplies no bf16: activations are stored in bf16"), 1,
                     "%s", complained);
    cr_assert_not_null(strstr(complained, ", bf16\n"), "%s", complained);
    slurp("r/log.jsonl", log, sizeof log);
    cr_assert_eq(times(log, "\"precision\": \"bf16\""), 4, "%s", log);
    succeeds(run("info r"));
    cr_assert_not_null(strstr(said, "precision: bf16"), "%s", said);
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

/* ---- bad data ---- */

Test(ddpm_cli, bad_data_is_one_line_and_writes_nothing)
{
    put_file("empty.npy", "");
    put_file("text.npy", "these are no images\n");
    cr_assert_eq(system("head -c 1000 data.npy > short.npy; mkdir none mnist; "
                        "head -c 100 /dev/zero > mnist/train-images-idx3-ubyte"),
                 0);
    ito_tensor *wild = ito_full(ITO_SHAPE(2, 1, 8, 8), 3.5, ITO_F32);
    cr_assert_eq(ito_npy_save("wild.npy", wild), ITO_OK);
    cr_assert_eq(ito_npy_save("flat.npy", ito_zeros(ITO_SHAPE(2, 64), ITO_U8)), ITO_OK);
    cr_assert_eq(ito_npy_save("f64.npy", ito_zeros(ITO_SHAPE(2, 1, 8, 8), ITO_F64)), ITO_OK);
    cr_assert_eq(ito_npy_save("zero.npy", ito_zeros(ITO_SHAPE(0, 1, 8, 8), ITO_U8)), ITO_OK);
    write_images("odd.npy", 4, 7);
    static const struct {
        const char *data, *words;
    } cases[] = {
        {"npy:missing.npy", "missing.npy: "},
        {"npy:empty.npy", "empty.npy: "},
        {"npy:text.npy", "text.npy: "},
        {"npy:short.npy", "short.npy: "},
        {"npy:wild.npy", "wild.npy: element 0 is 3.5; f32 images lie in [-1, 1]"},
        {"npy:flat.npy", "flat.npy: it has 2 axes"},
        {"npy:f64.npy", "f64.npy: it holds f64; images are uint8 or float32"},
        {"npy:zero.npy", "npy:zero.npy: it holds no images"},
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

Test(ddpm_cli, all_layouts_of_npy_are_taken)
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

Test(ddpm_cli, a_run_describes_itself)
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
    cr_assert_eq(lines(log), 6);
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

Test(ddpm_cli, info_verifies_and_describes)
{
    train_tiny("r", "--steps 2 " QUIET);
    static const struct {
        const char *path, *words;
    } good[] = {
        {"r", "kind: run"},
        {"r/checkpoints/step-2", "kind: checkpoint"},
        {"r/checkpoints/step-2/ema.safetensors", "conv_in.weight: f32 [8, 1, 3, 3]"},
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

Test(ddpm_cli, what_is_there_is_not_overwritten)
{
    cr_assert_eq(mkdir("r", 0777), 0);
    put_file("r/thesis.txt", "years of work");
    fails_with(run("train --data npy:data.npy --out r " TINY), "r: it is not empty");
    cr_assert(!there("r/config.json"));
    fails_with(run("train --data npy:data.npy --out data.npy " TINY), "data.npy: ");
}

/* ---- stopping and going on ---- */

#define WITH_SAMPLES                                                                               \
    "--sample-every 4 --sample-count 2 --sample-steps 3 --checkpoint-every 3 --steps 10"

Test(ddpm_cli, a_resumed_run_ends_in_the_same_bytes)
{
    train_tiny("whole", WITH_SAMPLES " --dropout 0.2 --threads 2");
    train_tiny("parts", WITH_SAMPLES " --dropout 0.2 --threads 1 --stop-at 5");
    succeeds(run("train --out parts --resume --stop-at 6"));
    succeeds(run("train --out parts --resume --data npy:data.npy"));
    same_directory("whole/checkpoints/step-10", "parts/checkpoints/step-10");
    same_directory("whole/samples", "parts/samples");
    char log[8192];
    slurp("parts/log.jsonl", log, sizeof log);
    cr_assert_eq(lines(log), 10);
    succeeds(run("train --out parts --resume"));
    cr_assert_not_null(strstr(complained, "10 steps done"));
}

Test(ddpm_cli, minutes_become_a_number_of_steps_that_the_run_keeps)
{
    succeeds(run("train --data npy:data.npy --out r " TINY " " QUIET " --minutes 1e-6"));
    cr_assert_not_null(strstr(complained, ": 10 steps in about 1e-06 minutes"), "%s", complained);
    cr_assert_not_null(strstr(complained, "10 steps done"), "%s", complained);
    succeeds(run("train --out r --resume"));
    cr_assert_not_null(strstr(complained, "10 steps done"), "%s", complained);
}

/* Neither the weights nor a generator of dropout may show that there was a trial. */
Test(ddpm_cli, the_trial_behind_minutes_leaves_no_trace)
{
    train_tiny("planned", "--dropout 0.2 --minutes 1e-6 " QUIET);
    train_tiny("told", "--dropout 0.2 --steps 10 " QUIET);
    same_directory("planned/checkpoints/step-10", "told/checkpoints/step-10");
    cr_assert(same_file("planned/config.json", "told/config.json"));
}

/* A process that dies leaves lines of steps that no checkpoint has, and a line that is cut off. */
Test(ddpm_cli, resuming_drops_the_log_of_lost_steps)
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
    cr_assert_eq(lines(text), 10);
    cr_assert(!there("parts/checkpoints/step-9.tmp-99999999"));
}

Test(ddpm_cli, a_run_goes_on_with_its_own_settings)
{
    fails_with(run("train --out r --resume"), "r: there is no run in it");
    train_tiny("r", "--steps 4 --stop-at 2 " QUIET);
    is_usage_error("train --out r --resume --lr 0.5", "--lr: it differs from that of the run");
    is_usage_error("train --out r --resume --data npy:other.npy", "--data: it differs");
    is_usage_error("train --out r --resume --dropout 0.5", "--dropout: it differs");
    write_images("data.npy", 41, 8);
    fails_with(run("train --out r --resume"),
               "npy:data.npy: it has 41 images; the run began with 40");
    write_images("data.npy", 40, 8);
    succeeds(run("train --out r --resume --steps 3"));
    cr_assert_eq(system("sed -i 's/\"decay\":.*/\"decay\": \"slow\",/' r/config.json"), 0);
    fails_with(run("train --out r --resume"), "r/config.json: the option \"decay\"");
    put_file("r/config.json", "{\"options\": {\"data\": 7}}");
    fails_with(run("train --out r --resume"), "r/config.json: the option \"data\"");
    put_file("r/config.json", "[");
    fails_with(run("train --out r --resume"), "r/config.json: ");
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

/* The step of the newest checkpoint of r. */
static int newest(void)
{
    int step = -1;
    DIR *d = opendir("r/checkpoints");
    cr_assert_not_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        int n = -1, end = 0;
        if (sscanf(e->d_name, "step-%d%n", &n, &end) == 1 && e->d_name[end] == '\0' && n > step)
            step = n;
    }
    closedir(d);
    return step;
}

Test(ddpm_cli, a_signal_ends_the_step_and_saves)
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
        cr_assert_not_null(strstr(text, "go on with: ito-ddpm train --out r --resume"), "%s", text);
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
Test(ddpm_cli, a_second_signal_ends_at_once)
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

Test(ddpm_cli, a_second_process_is_refused)
{
    pid_t pid = start((const char *[]){START_TINY, "--batch", "4", NULL});
    await("r/log.jsonl");
    fails_with(run("train --out r --resume"), "r: another process is training in this directory");
    kill(pid, SIGKILL);
    wait_for(pid);
    succeeds(run("train --out r --resume --stop-at 2"));
}

Test(ddpm_cli, a_run_has_its_report_and_wants_tensorboard_files_to_the_end)
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

/* ---- classes ---- */

/* Two classes of PNG files, by a shell: black and white squares are enough. */
static void write_classes(void)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 8, 8), ITO_U8);
    cr_assert_eq(system("mkdir -p photos/cat photos/dog"), 0);
    for (int i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "photos/cat/%d.png", i);
        cr_assert_eq(ito_png_save(path, x), ITO_OK);
        snprintf(path, sizeof path, "photos/dog/%d.png", i);
        cr_assert_eq(ito_png_save(path, ito_full(ITO_SHAPE(1, 8, 8), 255, ITO_U8)), ITO_OK);
    }
}

#define FOLDER                                                                                     \
    "train --data folder:photos --size 8 --grey --batch 4 --channels 8 --multipliers 1,2 "         \
    "--blocks 1 --diffusion-steps 20 --checkpoint-every 2 "

Test(ddpm_cli, a_conditional_run_draws_by_class_and_goes_on_to_the_bit)
{
    write_classes();
    succeeds(run(FOLDER
                 "--conditional --steps 4 --stop-at 2 --sample-every 2 --sample-count 4 --out a"));
    cr_assert(there("a/samples/step-2.png"));
    succeeds(run("train --out a --resume"));
    succeeds(run(FOLDER "--conditional --steps 4 " QUIET " --out b"));
    cr_assert(same_file("a/checkpoints/step-4/model.safetensors",
                        "b/checkpoints/step-4/model.safetensors"));

    succeeds(run("sample --model b --npy dog.npy --n 2 --steps 3 --class DOG"));
    succeeds(run("sample --model b --npy one.npy --n 2 --steps 3 --class 1"));
    succeeds(run("sample --model b --npy cat.npy --n 2 --steps 3 --class cat --guidance 3"));
    succeeds(run("sample --model b --npy all.npy --n 2 --steps 3 --class all --guidance 3"));
    succeeds(run("sample --model b --npy none.npy --n 2 --steps 3"));
    succeeds(run("sample --model b --npy zero.npy --n 2 --steps 3 --class dog --guidance 0"));
    cr_assert(same_file("dog.npy", "one.npy"));
    cr_assert(same_file("none.npy", "zero.npy"));
    cr_assert_not(same_file("dog.npy", "cat.npy"));
    cr_assert_not(same_file("dog.npy", "none.npy"));
    ito_tensor *all = ito_npy_load("all.npy"), *cat = ito_npy_load("cat.npy");
    cr_assert_eq(memcmp(ito_const_data(all), ito_const_data(cat), 64 * sizeof(float)), 0);

    is_usage_error("sample --model b --out x.png --class bird",
                   "--class: \"bird\" is none of cat, dog, nor 0 to 1");
    is_usage_error("sample --model b --out x.png --class 2", "--class: \"2\" is none of cat, dog");
    is_usage_error("sample --model b --out x.png --guidance 2",
                   "--guidance: it needs a --class to guide to");
}

Test(ddpm_cli, classes_that_data_or_network_lack_are_missed_by_name)
{
    fails_with(run("train --data npy:data.npy --conditional --out r " TINY),
               "data.npy: a .npy file of images has no classes");
    train_tiny("plain", "--steps 1 " QUIET);
    is_usage_error("sample --model plain --out x.png --class 0",
                   "--class: the network was trained without classes");
    write_classes();
    is_usage_error("train --out plain --resume --conditional", "--conditional: it differs");
}

/* ---- diffusions ---- */

#define LEARNED                                                                                    \
    "--prediction v --variance learned_range --schedule sigmoid --weighting p2 --gamma 0.5 --k 2 " \
    "--diffusion-steps 3 --step-sampling second-moment "

/* 3 steps of the process remember 10 losses each before step 12, so that the draws of the steps
 * behind it depend on what the checkpoint says of the losses before it. */
Test(ddpm_cli, a_run_of_any_diffusion_goes_on_to_the_bit)
{
    train_tiny("whole", LEARNED "--steps 24 " QUIET);
    train_tiny("halves", LEARNED "--steps 24 --stop-at 14 " QUIET);
    succeeds(run("train --out halves --resume"));
    same_directory("whole/checkpoints/step-24", "halves/checkpoints/step-24");
    cr_assert(there("whole/checkpoints/step-24/tensors.safetensors"));
    train_tiny("uniform", LEARNED "--steps 24 --step-sampling uniform " QUIET);
    cr_assert(!there("uniform/checkpoints/step-24/tensors.safetensors"));

    static const char *const files[] = {"whole/config.json",
                                        "whole/checkpoints/step-24/settings.json"};
    static const char *const words[] = {"\"prediction\":\t\"v\"",
                                        "\"variance\":\t\"learned_range\"",
                                        "\"schedule\":\t\"sigmoid\"",
                                        "\"weighting\":\t\"p2\"",
                                        "\"gamma\":\t0.5",
                                        "\"k\":\t2",
                                        "\"loss\":\t\"hybrid\"",
                                        "\"out_channels\":\t2"};
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < sizeof words / sizeof words[0]; k++) {
            char text[8192];
            slurp(files[i], text, sizeof text);
            cr_assert_not_null(strstr(text, words[k]), "%s: %s", words[k], text);
        }
    succeeds(run("sample --model whole --npy a.npy --n 2 --steps 3"));
    is_usage_error("sample --model whole --npy a.npy --n 2 --variance fixedsmall",
                   "--variance: the network has learned its own");
    is_usage_error("train --out whole --resume --gamma 0.7", "--gamma: it differs");
    is_usage_error("train --out whole --resume --step-sampling uniform",
                   "--step-sampling: it differs");
    cr_assert_eq(system("rm halves/checkpoints/step-24/tensors.safetensors"), 0);
    fails_with(run("train --out halves --resume"), "tensors.safetensors: cannot open");
}

Test(ddpm_cli, each_choice_of_a_diffusion_trains_and_samples)
{
    static const char *const choices[] = {
        "--prediction x_0 --loss vlb --step-sampling stratified --schedule jsd",
        "--prediction x_prev --schedule quad",
        "--prediction score --schedule const --weighting min_snr --gamma 1",
        "--prediction edm --weighting edm --schedule warmup50",
        "--prediction flow --schedule straight --step-sampling second-moment",
        "--variance learned --loss rescaled --schedule warmup10",
        "--variance fixedlarge --weighting bound"};
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        char out[16];
        snprintf(out, sizeof out, "r%d", (int)i);
        succeeds(run("train --data npy:data.npy --out %s " TINY
                     " %s --steps 2 --sample-every 2 --sample-count 1 --sample-steps 2",
                     out, choices[i]));
        succeeds(run("sample --model %s --npy a.npy --n 1 --steps 2", out));
    }
}

Test(ddpm_cli, choices_that_do_not_go_together_are_refused)
{
    static const char *const cases[][2] = {
        {"--variance learned --loss simple",
         "the loss simple does not train the variance learned; vlb, rescaled and hybrid do"},
        {"--variance fixedlarge --loss hybrid",
         "the loss hybrid trains a learned variance, and fixedlarge is not learned"},
        {"--loss vlb --weighting p2", "the loss vlb has no weights, and p2 was given"},
        {"--weighting edm --gamma 2", "the weighting edm has no gamma, and 2 was given"},
        {"--weighting min_snr --k 2", "the weighting min_snr has no k, and 2 was given"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        fails_with(run("train --data npy:data.npy --out r " TINY " %s", cases[i][0]), cases[i][1]);
    is_usage_error("train --data npy:data.npy --out r " TINY " --schedule jsd",
                   "--prediction: eps does not tell the image at step 19, where the schedule "
                   "leaves nothing of it; x_0 and v do");
    is_usage_error("train --data npy:data.npy --out r --prediction x0",
                   "--prediction: \"x0\" is none of eps|x_0|");
    cr_assert(!there("r"));
}

Test(ddpm_cli, a_run_from_before_there_were_choices_goes_on)
{
    train_tiny("r", "--steps 4 --stop-at 2 " QUIET);
    train_tiny("whole", "--steps 4 " QUIET);
    cr_assert_eq(system("sed -i -E '/\"options\":/,$ "
                        "{/\"(prediction|loss|weighting|step-sampling)\":/d}' r/config.json"),
                 0);
    succeeds(run("train --out r --resume"));
    same_directory("whole/checkpoints/step-4", "r/checkpoints/step-4");
}

/* ---- what goes wrong on the way ---- */

Test(ddpm_cli, a_loss_that_is_not_finite_ends_the_run)
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
Test(ddpm_cli, a_full_disk_leaves_the_old_checkpoint)
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

Test(ddpm_cli, a_full_stdout_costs_no_checkpoint)
{
    char command[512];
    snprintf(command, sizeof command,
             "\"$ITO_DDPM\" train --data npy:data.npy --out r " TINY " " QUIET
             " --steps 2 --json >/dev/full 2>stderr.txt");
    int status = system(command);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    cr_assert_eq(newest(), 2);
}

Test(ddpm_cli, damaged_and_foreign_checkpoints_are_refused)
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
    fails_with(run("sample --model data.npy --out g.png"), "data.npy: there is no state.json");
    cr_assert_eq(mkdir("young", 0777), 0);
    cr_assert_eq(mkdir("young/checkpoints", 0777), 0);
    fails_with(run("sample --model young --out g.png"), "young: the run has no checkpoint yet");
    cr_assert(!there("g.png"));
}

/* ---- samples ---- */

Test(ddpm_cli, an_image_depends_on_its_number_only)
{
    train_tiny("r", "--steps 2 " QUIET);
    succeeds(run("sample --model r --npy a.npy --out a.png --n 5 --steps 4 --batch 5 --threads 2"));
    succeeds(run("sample --model r --npy b.npy --n 5 --steps 4 --batch 2 --threads 1"));
    cr_assert(same_file("a.npy", "b.npy"));
    succeeds(run("sample --model r/checkpoints/step-2 --npy c.npy --n 1 --first 3 --steps 4"));
    ito_tensor *a = ito_npy_load("a.npy"), *c = ito_npy_load("c.npy");
    cr_assert_eq(memcmp((const float *)ito_const_data(a) + 3 * 64, ito_const_data(c), 64 * 4), 0);
    succeeds(run("sample --model r/checkpoints/step-2/ema.safetensors --npy d.npy --n 5 --steps 4 "
                 "--seed 1"));
    cr_assert(!same_file("a.npy", "d.npy"));
    succeeds(run("sample --model r --npy e.npy --n 5 --steps 4 --sampler ddim --eta 0.5 --spacing "
                 "trailing --rederive-eps --no-clip --json"));
    cr_assert_not_null(strstr(said, "\"sampler\":\"ddim\""), "%s", said);
    cr_assert(!same_file("a.npy", "e.npy"));
    succeeds(run("sample --model r --npy g.npy --trajectory t.npy --n 3 --batch 2 --steps 4 "
                 "--sampler dpm++2m --spacing karras --threshold 0.9"));
    ito_tensor *g = ito_npy_load("g.npy"), *t = ito_npy_load("t.npy");
    cr_assert_eq(ito_ndim(t), 5);
    cr_assert(ito_size(t, 0) == 4 && ito_size(t, 1) == 3);
    /* The last step leads to what the network sees there. */
    cr_assert_eq(memcmp((const float *)ito_const_data(t) + 3 * ito_numel(g), ito_const_data(g),
                        (size_t)ito_numel(g) * 4),
                 0);
    succeeds(run("sample --model r --out f.png --n 5 --steps 4 --columns 5 --weights model"));
    cr_assert(there("a.png") && there("f.png"));
}

Test(ddpm_cli, sampling_refuses_what_it_cannot_do)
{
    train_tiny("r", "--steps 1 " QUIET);
    fails_with(run("sample --model r --out nowhere/g.png"), "nowhere/g.png: cannot write it");
    cr_assert_eq(run("sample --model r --out g.png --steps 21"), 2);
    cr_assert_not_null(strstr(complained, "--steps: 21 is more than the 20"), "%s", complained);
}
