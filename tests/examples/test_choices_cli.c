/* Runs with classes, and with every choice of a diffusion. */
#include "examples/common/choices.h"
#include "models/ddpm/choices.h"
#include "tests/examples/cli.h"

#include "tensor/io/npy.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(cli_choices, .init = cli_enter, .fini = cli_leave, .timeout = 600);

/* ---- classes ---- */

Test(cli_choices, a_conditional_run_draws_by_class_and_goes_on_to_the_bit)
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
    succeeds(run("sample --model b --npy word.npy --n 2 --steps 3 --class none"));
    cr_assert(same_file("none.npy", "word.npy"));
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

Test(cli_choices, a_network_that_always_saw_a_class_is_not_asked_without_one)
{
    write_classes();
    succeeds(run(FOLDER "--conditional --label-dropout 0 --steps 2 " QUIET " --out r"));
    succeeds(run("sample --model r --npy a.npy --n 2 --steps 3 --class all"));
#define SURE "the network was trained with --label-dropout 0 and knows no images without a class"
    is_usage_error("sample --model r --npy a.npy", "--class: " SURE);
    is_usage_error("encode --model r --npy a.npy --data folder:photos", "--class: " SURE);
    is_usage_error("sample --model r --npy a.npy --class cat --guidance 2", "--guidance: " SURE);
    is_usage_error("sample --model r --npy a.npy --class cat --guidance 0", "--guidance: " SURE);
    /* Checkpoints from before that was written down are taken to have seen none, too. */
    cr_assert_eq(system("sed -i '/\"label_dropout\":/d; s/\\(\"class_names\":.*\\),$/\\1/' "
                        "r/checkpoints/step-2/settings.json"),
                 0);
    succeeds(run("sample --model r --npy a.npy --n 1 --steps 2"));
}

Test(cli_choices, classes_that_data_or_network_lack_are_missed_by_name)
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
Test(cli_choices, a_run_of_any_diffusion_goes_on_to_the_bit)
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

/* Whether the file has these words. */
static void says(const char *path, const char *words)
{
    char text[16384];
    slurp(path, text, sizeof text);
    cr_assert_not_null(strstr(text, words), "%s: %s", words, text);
}

/* What each option says in config.json and in the settings of a checkpoint. */
static const struct {
    const char *option, *setting;
} trained[] = {{"--prediction x_0", "\"prediction\":\t\"x_0\""},
               {"--prediction x_prev", "\"prediction\":\t\"x_prev\""},
               {"--prediction v", "\"prediction\":\t\"v\""},
               {"--prediction score", "\"prediction\":\t\"score\""},
               {"--prediction edm", "\"prediction\":\t\"edm\""},
               {"--prediction flow", "\"prediction\":\t\"flow\""},
               {"--schedule linear", "\"schedule\":\t\"linear\""},
               {"--schedule quad", "\"schedule\":\t\"quad\""},
               {"--schedule const", "\"schedule\":\t\"const\""},
               {"--schedule jsd --prediction x_0", "\"schedule\":\t\"jsd\""},
               {"--schedule warmup10", "\"schedule\":\t\"warmup10\""},
               {"--schedule warmup50", "\"schedule\":\t\"warmup50\""},
               {"--schedule sigmoid", "\"schedule\":\t\"sigmoid\""},
               {"--schedule straight --prediction flow", "\"schedule\":\t\"straight\""},
               {"--loss vlb", "\"loss\":\t\"vlb\""},
               {"--loss rescaled", "\"loss\":\t\"rescaled\""},
               {"--variance learned", "\"variance\":\t\"learned\""},
               {"--variance learned_range --loss hybrid", "\"variance\":\t\"learned_range\""},
               {"--weighting bound", "\"weighting\":\t\"bound\""},
               {"--weighting min_snr", "\"weighting\":\t\"min_snr\""},
               {"--weighting p2", "\"weighting\":\t\"p2\""},
               {"--weighting edm", "\"weighting\":\t\"edm\""}};

/* Each is in the files of the run, trains weights that no other one trains, and samples. */
Test(cli_choices, each_choice_of_a_diffusion_is_stored_and_trains_other_weights)
{
    enum { N = sizeof trained / sizeof trained[0] };
    char path[128], other[64];
    train_tiny("r", "--steps 3 " QUIET);
    for (int i = 0; i < N; i++) {
        snprintf(path, sizeof path, "%s --steps 3 " QUIET, trained[i].option);
        succeeds(run("train --data npy:data.npy --out r%d " TINY " %s", i, path));
        snprintf(path, sizeof path, "r%d/config.json", i);
        says(path, trained[i].setting);
        snprintf(path, sizeof path, "r%d/checkpoints/step-3/settings.json", i);
        says(path, trained[i].setting);
        snprintf(path, sizeof path, "r%d/checkpoints/step-3/model.safetensors", i);
        cr_expect_not(same_file(path, "r/checkpoints/step-3/model.safetensors"),
                      "%s is the default", trained[i].option);
        for (int k = 0; k < i; k++) {
            snprintf(other, sizeof other, "r%d/checkpoints/step-3/model.safetensors", k);
            cr_expect_not(same_file(path, other), "%s is %s", trained[i].option, trained[k].option);
        }
        succeeds(run("sample --model r%d --npy a.npy --n 1 --steps 2", i));
    }
}

/* A fixed variance changes no training, but the noise of samples. */
Test(cli_choices, a_fixed_variance_is_that_of_the_samples)
{
    train_tiny("small", "--steps 2 --variance fixedsmall " QUIET);
    train_tiny("large", "--steps 2 --variance fixedlarge " QUIET);
    says("large/config.json", "\"variance\":\t\"fixedlarge\"");
    cr_assert(same_file("small/checkpoints/step-2/model.safetensors",
                        "large/checkpoints/step-2/model.safetensors"));
    succeeds(run("sample --model small --npy small.npy --n 2 --steps 10"));
    succeeds(run("sample --model large --npy large.npy --n 2 --steps 10"));
    succeeds(run("sample --model large --npy other.npy --n 2 --steps 10 --variance fixedsmall"));
    cr_assert_not(same_file("small.npy", "large.npy"));
    cr_assert(same_file("small.npy", "other.npy"));
    is_usage_error("sample --model small --npy a.npy --variance learned",
                   "--variance: \"learned\" is none of fixedsmall|fixedlarge");
}

Test(cli_choices, each_law_of_steps_draws_others)
{
    int64_t n;
    const ito_choice *const *laws = ito_choices("timestep_law", &n);
    char log[8][4096], loss[8][32];
    cr_assert(n <= 8);
    /* 3 steps of the process: second-moment has seen 10 losses of each before step 12. */
    for (int64_t i = 0; i < n; i++) {
        char out[16], path[32];
        snprintf(out, sizeof out, "r%d", (int)i);
        snprintf(path, sizeof path, "%s/log.jsonl", out);
        succeeds(run("train --data npy:data.npy --out %s " TINY " " QUIET
                     " --diffusion-steps 3 --steps 16 --step-sampling %s",
                     out, laws[i]->name));
        slurp(path, log[i], sizeof log[i]);
        const char *last = strstr(log[i], "{\"step\": 16,");
        cr_assert_not_null(last, "%s", log[i]);
        snprintf(loss[i], sizeof loss[i], "%.20s", strstr(last, "\"loss\""));
        for (int64_t k = 0; k < i; k++)
            cr_expect_str_neq(loss[i], loss[k], "%s draws as %s", laws[i]->name, laws[k]->name);
    }
}

/* ---- samplers ---- */

static void sample_with(const char *name, const char *how)
{
    succeeds(run("sample --model r --npy '%s.npy' --n 2 --no-clip --json %s", name, how));
}

/* All are run by name. Euler's method is DDIM, and its ancestral kind DDIM with eta 1; no others
 * make the same images. */
Test(cli_choices, each_sampler_makes_images_of_its_own)
{
    int64_t n;
    const ito_choice *const *samplers = ito_choices("sampler", &n);
    train_tiny("r", "--steps 40 --prediction v " QUIET);
    for (int64_t i = 0; i < n; i++) {
        char how[64], word[64], a[64], b[64];
        snprintf(how, sizeof how, "--steps 6 --sampler %s", samplers[i]->name);
        sample_with(samplers[i]->name, how);
        snprintf(word, sizeof word, "\"sampler\":\"%s\"", samplers[i]->name);
        cr_expect_not_null(strstr(said, word), "%s", said);
        snprintf(a, sizeof a, "'%s.npy'", samplers[i]->name);
        for (int64_t k = 0; k < i; k++) {
            bool euler =
                strcmp(samplers[i]->name, "euler") == 0 && strcmp(samplers[k]->name, "ddim") == 0;
            snprintf(b, sizeof b, "'%s.npy'", samplers[k]->name);
            cr_expect_eq(same_file(a, b), euler, "%s and %s", a, b);
        }
    }
    sample_with("noisy", "--steps 6 --sampler ddim --eta 1");
    cr_expect(same_file("noisy.npy", "euler-a.npy"));
}

Test(cli_choices, each_option_of_sampling_does_something)
{
    static const char *const options[] = {
        "--spacing leading", "--spacing linspace", "--spacing karras",  "--spacing rate",
        "--end-at-first",    "--eta 0.5",          "--threshold 0.999", "--rederive-eps",
        "--churn 3",         "--first 1",          "--seed 1",          "--weights model",
        "--no-clip"};
    enum { N = sizeof options / sizeof options[0] };
    char path[16], other[16];
    train_tiny("r", "--steps 20 --prediction v --lr 0.05 " QUIET);
    succeeds(run("sample --model r --npy plain.npy --n 2 --steps 6 --sampler ddim"));
    for (int i = 0; i < N; i++) {
        snprintf(path, sizeof path, "%d.npy", i);
        succeeds(
            run("sample --model r --npy %s --n 2 --steps 6 --sampler ddim %s", path, options[i]));
        cr_expect_not(same_file(path, "plain.npy"), "%s does nothing", options[i]);
        for (int k = 0; k < i; k++) {
            snprintf(other, sizeof other, "%d.npy", k);
            cr_expect_not(same_file(path, other), "%s does what %s does", options[i], options[k]);
        }
    }
    succeeds(run("sample --model r --npy a.npy --n 2 --steps 6"));
    succeeds(run("sample --model r --npy b.npy --n 2 --steps 6 --noise-at-last"));
    cr_expect_not(same_file("a.npy", "b.npy"));
}

Test(cli_choices, a_run_that_sees_its_own_estimates_goes_on_to_the_bit)
{
    train_tiny("whole",
               "--self-conditioning --steps 8 --sample-every 4 --sample-count 1 --sample-steps 3");
    train_tiny("halves", "--self-conditioning --steps 8 --stop-at 3 " QUIET);
    says("halves/checkpoints/step-3/settings.json", "\"self_condition\":\ttrue");
    says("halves/config.json", "\"self-conditioning\":\ttrue");
    succeeds(run("train --out halves --resume"));
    same_directory("whole/checkpoints/step-8", "halves/checkpoints/step-8");
    train_tiny("plain", "--steps 1 " QUIET);
    is_usage_error("train --out plain --resume --self-conditioning",
                   "--self-conditioning: it differs");

    succeeds(run("sample --model whole --npy a.npy --n 3 --steps 4 --batch 3"));
    succeeds(run("sample --model whole --npy b.npy --n 3 --steps 4 --batch 2 --threads 1"));
    cr_assert(same_file("a.npy", "b.npy"));
    succeeds(run("encode --model whole --npy n.npy --data npy:data.npy --n 3 --steps 4"));
    succeeds(run("interpolate --model whole --npy n.npy --data npy:data.npy --n 3 --steps 4"));
    succeeds(run("eval --model whole --data npy:data.npy --bits-per-dim --n 3 --json"));
    succeeds(run("info whole --tensors"));
    cr_assert_not_null(strstr(said, "self_condition: true"), "%s", said);
}

Test(cli_choices, the_numbers_of_a_schedule_belong_to_the_run)
{
    train_tiny("r", "--beta-start 0.01 --beta-end 0.3 --schedule quad --zero-terminal-snr "
                    "--prediction edm --sigma-data 0.3 --steps 4 --stop-at 2 " QUIET);
    static const char *const files[] = {"r/config.json", "r/checkpoints/step-2/settings.json"};
    for (int i = 0; i < 2; i++) {
        says(files[i], "\"beta_start\":\t0.01");
        says(files[i], "\"beta_end\":\t0.3");
        says(files[i], "\"zero_terminal_snr\":\ttrue");
        says(files[i], "\"sigma_data\":\t0.3");
    }
    is_usage_error("train --out r --resume --beta-end 0.2", "--beta-end: it differs");
    succeeds(run("train --out r --resume"));
    succeeds(run("sample --model r --npy a.npy --n 1 --steps 3"));
    /* Other numbers train another network, and none given are those of before there were any. */
    train_tiny("s", "--schedule quad --prediction edm --steps 2 " QUIET);
    cr_assert(!same_file("r/checkpoints/step-2/model.safetensors",
                         "s/checkpoints/step-2/model.safetensors"));
    char text[16384];
    slurp("s/config.json", text, sizeof text);
    cr_assert_null(strstr(text, "beta-start"), "%s", text);
    cr_assert_null(strstr(text, "sigma-data"), "%s", text);
    train_tiny("t", "--schedule quad --prediction edm --beta-start 0.0001 --beta-end 0.02 "
                    "--sigma-data 0.5 --steps 2 " QUIET);
    cr_assert(same_file("s/checkpoints/step-2/model.safetensors",
                        "t/checkpoints/step-2/model.safetensors"));
}

Test(cli_choices, choices_that_do_not_go_together_are_refused)
{
    static const char *const cases[][2] = {
        {"--variance learned --loss simple",
         "the objective simple does not train the variance learned; vlb, rescaled and hybrid do"},
        {"--variance fixedlarge --loss hybrid",
         "the objective hybrid trains a learned variance, and fixedlarge is not learned"},
        {"--loss vlb --weighting p2", "the objective vlb has no weights, and p2 was given"},
        {"--weighting edm --gamma 2", "the weighting edm has no gamma, and 2 was given"},
        {"--weighting min_snr --k 2", "the weighting min_snr has no k, and 2 was given"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char arguments[256];
        snprintf(arguments, sizeof arguments, "train --data npy:data.npy --out r " TINY " %s",
                 cases[i][0]);
        is_usage_error(arguments, cases[i][1]);
    }
    is_usage_error("train --data npy:data.npy --out r " TINY " --schedule jsd",
                   "--prediction: eps does not tell the image at time 19, where the schedule "
                   "leaves nothing of it; x_0 and v do");
    is_usage_error("train --data npy:data.npy --out r " TINY " --zero-terminal-snr",
                   "--prediction: eps does not tell the image at time 19, where the schedule "
                   "leaves nothing of it; x_0 and v do");
    is_usage_error("train --data npy:data.npy --out r --schedule straight --zero-terminal-snr",
                   "--zero-terminal-snr: it changes betas, and the schedule straight has none");
    is_usage_error("train --data npy:data.npy --out r --beta-start 0.1",
                   "--beta-start: the schedule cosine has no range of betas");
    is_usage_error("train --data npy:data.npy --out r --beta-end 0.1 --schedule jsd",
                   "--beta-end: the schedule jsd has no range of betas");
    is_usage_error("train --data npy:data.npy --out r --sigma-data 0.3",
                   "--sigma-data: neither the prediction eps nor the weighting simple has one; edm "
                   "has");
    is_usage_error("train --data npy:data.npy --out r --beta-start 0",
                   "--beta-start: \"0\" is not a number above 0 and at most 1");
    is_usage_error("train --data npy:data.npy --out r --prediction x0",
                   "--prediction: \"x0\" is none of eps|x_0|");
    cr_assert(!there("r"));
}

Test(cli_choices, a_run_from_before_there_were_choices_goes_on)
{
    train_tiny("r", "--steps 4 --stop-at 2 " QUIET);
    train_tiny("whole", "--steps 4 " QUIET);
    cr_assert_eq(
        system(
            "sed -i -E '/\"options\":/,$ "
            "{/\"(prediction|loss|weighting|step-sampling|precision|recompute|conditional|"
            "label-dropout|tensorboard|zero-terminal-snr|self-conditioning)\":/d}' r/config.json"),
        0);
    succeeds(run("train --out r --resume"));
    same_directory("whole/checkpoints/step-4", "r/checkpoints/step-4");
}
