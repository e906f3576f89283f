/* What ito-ddpm can be told: wrong usage is one sentence, the usage line and exit code 2. */
#include "tensor/internal.h"
#include "tests/examples/cli.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(cli_usage, .init = cli_enter, .fini = cli_leave, .timeout = 600);

Test(cli_usage, unknown_commands_and_options_are_usage_errors)
{
    is_usage_error("", "there is no command");
    is_usage_error("frob", "ito-ddpm: there is no command \"frob\"\n");
    is_usage_error("train --foo", "ito-ddpm train: there is no option --foo\n");
    is_usage_error("sample --bar=3", "ito-ddpm sample: there is no option --bar\n");
    is_usage_error("info --baz x", "ito-ddpm info: there is no option --baz\n");
    is_usage_error("train -x", "ito-ddpm train: there is no option -x\n");
    is_usage_error("train extra --out r --data fashion-mnist",
                   "\"extra\" is one argument too many");
    is_usage_error("info a b", "\"b\" is one argument too many");
    is_usage_error("info", "there is no FILE|RUN|DIR");
    is_usage_error("train --out", "ito-ddpm train: --out: its value is missing\n");
    is_usage_error("train --out --data npy:x", "ito-ddpm train: --out: its value is missing (if it "
                                               "is --data, write --out=--data)\n");
    is_usage_error("info x --json=3", "ito-ddpm info: --json: it takes no value\n");
}

Test(cli_usage, the_nearest_name_is_proposed_for_one_that_is_mistyped)
{
    is_usage_error("tran", "ito-ddpm: there is no command \"tran\"; did you mean train?\n");
    is_usage_error("help smaple",
                   "ito-ddpm: there is no command \"smaple\"; did you mean sample?\n");
    is_usage_error("train --sampel-count 3",
                   "ito-ddpm train: there is no option --sampel-count; did you mean "
                   "--sample-count?\n");
    is_usage_error("sample --qiet", "ito-ddpm sample: there is no option --qiet; did you mean "
                                    "--quiet?\n");
    is_usage_error("train --data npy:data.npy --out r --schedule lineer",
                   "ito-ddpm train: --schedule: \"lineer\" is none of linear|quad|const|jsd|"
                   "warmup10|warmup50|cosine|sigmoid|straight|flow|vp|edm; did you mean linear?\n");
    is_usage_error("sample --precision fb16", "ito-ddpm sample: --precision: \"fb16\" is none of "
                                              "f32|bf16; did you mean bf16?\n");
}

/* An abbreviation could mean "--npy" by "--n" where there is no --n, and write a file called "3".
 */
Test(cli_usage, options_are_written_in_full)
{
    is_usage_error("decode --model r --image z.npy --n 3",
                   "ito-ddpm decode: there is no option --n; did you mean --npy?\n");
    is_usage_error("sample --mod=r",
                   "ito-ddpm sample: there is no option --mod; did you mean --model?\n");
    is_usage_error("info data.npy --js",
                   "ito-ddpm info: there is no option --js; did you mean --json?\n");
    succeeds(run("info data.npy --json"));
    cr_assert(!there("3"));
}

Test(cli_usage, options_that_would_change_nothing_are_refused)
{
#define NPY "train --out r --data npy:data.npy "
    static const char *const cases[][2] = {
        {"sample --eta 0.5", "--eta: the sampler ddpm does not use it; it is for ddim"},
        {"sample --sampler unipc --rederive-eps", "--rederive-eps: the sampler unipc does not"},
        {"sample --sampler ddim --variance fixedsmall", "--variance: the sampler ddim does not"},
        {"sample --sampler ddim --noise-at-last", "--noise-at-last: the sampler ddim does not"},
        {"sample --no-clip --threshold 0.9", "--threshold: it is a way to clip, which --no-clip"},
        {"sample --npy a.npy --columns 3", "--columns: it needs an --out or --frames"},
        {"sample --weights model", "--weights: fashion-mnist is one file of weights; a run or"},
        {"eval --model r --data npy:data.npy --score --eta 1",
         "--eta: the sampler dpm++2m-sde does not"},
        {"eval --images data.npy --data npy:data.npy --score --seed 3",
         "--seed: it takes a --model to make images with"},
        {"eval --features f.npy --against f.npy --data npy:data.npy --frechet",
         "--data: --against takes its place"},
        {"eval --images data.npy --against f.npy --data npy:data.npy --score",
         "--data: --against takes its place"},
        {"train --out r --data npy:data.npy --size 3", "--size: it is for folder:DIR"},
        {NPY "--grey", "--grey: it is for folder:DIR"},
        {NPY "--label-dropout 0.2", "--label-dropout: it takes --conditional"},
        {NPY "--sample-every 0 --sample-count 2", "--sample-count: --sample-every 0 draws no"},
        {"plot --out p --seed 3", "--seed: it needs the --data that the image is of"},
        {"plot --out p --data npy:data.npy --size 3", "--size: it is for folder:DIR"},
        {"plot --out p --schedules cosine,jsd --beta-end 0.1",
         "--beta-end: none of the schedules cosine,jsd has a range of betas"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        is_usage_error(cases[i][0], cases[i][1]);
    cr_assert(!there("r") && !there("p") && !there("samples.png") && !there("a.npy"));
}

/* The kind of an error decides, not its first letters. */
Test(cli_usage, a_file_that_is_called_like_an_option_is_no_wrong_usage)
{
    fails_with(run("info -- --missing"), "--missing: cannot open: No such file");
    put_file("--words", "some words");
    fails_with(run("info -- --words"),
               "--words: it is neither a safetensors, PyTorch, npy, npz, IDX");
}

Test(cli_usage, outputs_that_cannot_all_be_are_refused_before_the_work)
{
    cr_assert_eq(system("mkdir dir.npy d.safetensors"), 0);
    fails_with(run("sample --npy dir.npy"), "dir.npy: cannot write it: it is a directory");
    fails_with(run("sample --frames data.npy"), "data.npy: cannot make the directory");
    fails_with(run("sample --out a.png --trajectory a.png"),
               "a.png: it cannot be two files at once; name another one");
    fails_with(run("sample --npy a.npy --out b.png --trajectory a.npy"),
               "a.npy: it cannot be two files at once; name another one");
    fails_with(run("export --model fashion-mnist --out d.safetensors"),
               "d.safetensors: cannot write it: it is a directory");
    fails_with(run("classifier --model fashion-mnist --data folder:x --out d.safetensors"),
               "d.safetensors: cannot write it: it is a directory");
    cr_assert(!there("a.png") && !there("a.npy") && !there("b.png"));
}

/* As other programs end by SIGPIPE, which is ignored here so that it does not end a training. */
Test(cli_usage, a_closed_pipe_ends_quietly)
{
    static const char *const commands[] = {"info data.npy", "info data.npy --json",
                                           "sample --n 1 --steps 1 --json"};
    for (int i = 0; i < 3; i++) {
        char command[256], text[1024];
        snprintf(command, sizeof command,
                 "{ sleep 0.2; \"$ITO_DDPM\" %s 2>err.txt; echo $? >code.txt; } | true",
                 commands[i]);
        cr_assert_eq(system(command), 0);
        slurp("code.txt", text, sizeof text);
        cr_expect_str_eq(text, "141\n", "%s", commands[i]);
        slurp("err.txt", text, sizeof text);
        cr_expect_null(strstr(text, "stdout"), "%s", text);
    }
    cr_assert_eq(system("\"$ITO_DDPM\" info data.npy >/dev/full 2>err.txt; test $? = 1 && "
                        "grep -q 'ito-ddpm info: stdout: cannot write to it' err.txt"),
                 0);
}

Test(cli_usage, what_is_no_network_is_named)
{
    cr_assert_eq(system("printf '\\211PNG beginning' >a.png; printf Ito-------- >b; : >empty; "
                        "printf 'some words' >words"),
                 0);
    fails_with(run("sample --model a.png"), "a.png: it is an image, not a file of weights");
    fails_with(run("sample --model b"),
               "b: it is a file of ito-ddpm compress, not a file of weights");
    fails_with(run("sample --model words"), "words: it is of no kind that is known here");
    fails_with(run("sample --model empty"), "empty: is empty");
    fails_with(run("sample --classifier data.npy --class boot"), "data.npy: it is a .npy file");
}

Test(cli_usage, a_profile_is_printed_beside_the_usual_output)
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

Test(cli_usage, options_that_are_needed_are_named)
{
    is_usage_error("train --out r", "--data is missing");
    is_usage_error("train --data fashion-mnist", "--out is missing");
    is_usage_error("encode --npy x.npy", "--model is missing");
    is_usage_error("interpolate --model r --data npy:data.npy", "--out or --npy is missing");
}

Test(cli_usage, numbers_are_checked)
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

Test(cli_usage, words_are_checked)
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

Test(cli_usage, precisions_are_named)
{
    is_usage_error("train --data npy:data.npy --out r --precision f16",
                   "--precision: \"f16\" is none of f32|bf16");
    is_usage_error("sample --model r --out g.png --precision fp8",
                   "--precision: \"fp8\" is none of f32|bf16");
    cr_assert(!there("r"));
}

Test(cli_usage, numbers_of_threads_are_checked)
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
    cr_assert_eq(count_lines(complained), 1, "%s", complained);
    cr_assert(!there("r"));
}

Test(cli_usage, instruction_sets_that_cannot_be_used_are_refused)
{
#if defined(__x86_64__)
    refuses_isa("avx3",
                "ITO_ISA: \"avx3\" is none of base, avx2, avx512, avx512bf16, amx, amx-emulated");
    if (!isa_use("avx512bf16"))
        refuses_isa("avx512bf16", "ITO_ISA: this processor lacks avx512bf16; the best it has is ");
    if (!isa_use("amx"))
        refuses_isa(
            "amx",
            "ITO_ISA: this processor lacks amx, or the system forbids it; the best it has is ");
#elif defined(__aarch64__)
    refuses_isa("sve", "ITO_ISA: \"sve\" is none of base, neon, neonbf16, amx-emulated");
    if (!isa_use("neonbf16"))
        refuses_isa("neonbf16", "ITO_ISA: this processor lacks neonbf16; the best it has is neon");
#endif
}
