/* --recipe: what a run of it stores, trains and samples with, and that options win. */
#include "models/ddpm/choices.h"
#include "tests/examples/cli.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(cli_recipe, .init = cli_enter, .fini = cli_leave, .timeout = 600);

#define NETWORK "--channels 8 --multipliers 1,2 --blocks 1 --batch 4 " QUIET " "
#define TRAIN "train --data npy:data.npy " NETWORK
#define EDM TRAIN "--recipe edm --steps 4 "

static void says(const char *path, const char *words)
{
    static char text[65536];
    slurp(path, text, sizeof text);
    cr_expect_not_null(strstr(text, words), "%s: %s", words, text);
}

static void says_not(const char *path, const char *words)
{
    static char text[65536];
    slurp(path, text, sizeof text);
    cr_expect_null(strstr(text, words), "%s: %s", words, text);
}

Test(cli_recipe, all_of_it_is_in_the_config_of_the_run)
{
    static const char *const words[] = {
        "\"recipe\":\t\"edm\"",     "\"schedule\":\t\"edm\"",
        "\"sigma-min\":\t0.002",    "\"sigma-max\":\t80",
        "\"prediction\":\t\"edm\"", "\"time-input\":\t\"c-noise\"",
        "\"weighting\":\t\"edm\"",  "\"step-sampling\":\t\"lognormal-sigma\"",
        "\"time-mean\":\t-1.2",     "\"time-std\":\t1.2",
        "\"sampler\":\t\"heun\"",   "\"sampling-steps\":\t18",
        "\"spacing\":\t\"karras\"", "\"lr\":\t0.001",
        "\"ema\":\t0.9993",         "\"dropout\":\t0.13",
        "\"diffusion-steps\":\t0",  "\"sample-steps\":\t18",
        "\"sigma_data\":\t0.5"};
    succeeds(run(EDM "--out r"));
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        says("r/config.json", words[i]);
}

/* Without the recipe's name, and so whatever becomes of it, the run is the same. */
Test(cli_recipe, a_run_goes_on_to_the_bit_without_the_recipe)
{
    succeeds(run(EDM "--recipe edm2 --out whole"));
    succeeds(run(EDM "--recipe edm2 --out halves --stop-at 2"));
    cr_assert_eq(system("sed -i '/\"recipe\":/d' halves/config.json"), 0);
    succeeds(run("train --out halves --resume"));
    cr_expect(same_file("whole/checkpoints/step-4/model.safetensors",
                        "halves/checkpoints/step-4/model.safetensors"));
    says("halves/checkpoints/step-4/settings.json", "\"sampler\":\t\"heun\"");
    cr_expect(same_file("whole/checkpoints/step-4/ema.safetensors",
                        "halves/checkpoints/step-4/ema.safetensors"));
    says("whole/config.json", "\"ema-sigma-rel\":\t0.025");
    is_usage_error("train --out whole --resume --recipe edm",
                   "--recipe: it differs from that of the run in whole");
}

/* The same as all of its options, but for its name. */
Test(cli_recipe, it_is_the_options_that_it_stands_for)
{
    succeeds(run(EDM "--out a"));
    succeeds(run(TRAIN "--steps 4 --schedule edm --prediction edm --weighting edm --time-input "
                       "c-noise --step-sampling lognormal-sigma --dropout 0.13 --ema 0.9993 "
                       "--out b"));
    cr_expect(
        same_file("a/checkpoints/step-4/ema.safetensors", "b/checkpoints/step-4/ema.safetensors"));
    succeeds(run(EDM "--time-mean -0.4 --out c"));
    cr_expect_not(
        same_file("a/checkpoints/step-4/ema.safetensors", "c/checkpoints/step-4/ema.safetensors"));
}

Test(cli_recipe, options_win)
{
    succeeds(run(EDM "--sigma-data 0.35 --lr 0.002 --sampling-steps 5 --step-sampling uniform "
                     "--preset small --out r"));
    says("r/config.json", "\"sigma_data\":\t0.35");
    says("r/config.json", "\"lr\":\t0.002");
    says("r/config.json", "\"sampling-steps\":\t5");
    says("r/config.json", "\"weighting\":\t\"edm\"");
    says_not("r/config.json", "time-mean"); /* of a law that is not the recipe's */
}

/* Numbers stay behind with the choice that they belong to. */
Test(cli_recipe, a_choice_of_ones_own_leaves_the_recipes_numbers_for_it_behind)
{
    succeeds(run(TRAIN "--recipe p2 --steps 2 --schedule cosine --weighting min_snr "
                       "--optimizer sgd --sampler heun --diffusion-steps 30 --out r"));
    says("r/config.json", "\"gamma\":\t5"); /* min_snr's, not p2's 1 */
    says_not("r/config.json", "beta-start");
    says("r/config.json", "\"lr\":\t0.001"); /* sgd's */
    says_not("r/config.json", "sampling-steps");
    says("r/config.json", "\"loss\":\t\"hybrid\"");
    succeeds(run(TRAIN "--recipe edm2 --steps 1 --ema 0.9 --out e"));
    says_not("e/config.json", "ema-sigma-rel");
    succeeds(run(TRAIN "--recipe iddpm --steps 1 --schedule linear --out s"));
    says("s/config.json", "\"diffusion-steps\":\t1000"); /* not 4000 */
}

Test(cli_recipe, sample_and_eval_take_what_the_run_says)
{
#define SAID "as the recipe edm of the run says: "
    succeeds(run(EDM "--lr 0.05 --out r"));
    succeeds(run("sample --model r --n 2 --npy a.npy --json"));
    cr_expect_not_null(strstr(complained, SAID "heun, 18 steps, spacing karras\n"), "%s",
                       complained);
    cr_expect_not_null(strstr(said, "\"sampler\":\"heun\""), "%s", said);
    cr_expect_eq(number("steps"), 18);
    succeeds(run("sample --model r --n 2 --npy b.npy --sampler heun --steps 18 --spacing karras"));
    cr_expect_null(strstr(complained, "says"), "%s", complained);
    cr_expect(same_file("a.npy", "b.npy"));
    succeeds(run("sample --model r --n 2 --npy c.npy --steps 4"));
    cr_expect_not_null(strstr(complained, SAID "heun, spacing karras\n"), "%s", complained);
    succeeds(run("sample --model r --n 2 --npy d.npy --sampler euler --json"));
    cr_expect_null(strstr(complained, "says"), "%s", complained);
    cr_expect_eq(number("steps"), 50);
    is_usage_error("sample --model r --npy e.npy --eta 1",
                   "--eta: the sampler heun does not use it; it is for ddim");

    succeeds(run("export --model r --out r.safetensors --dtype f32"));
    succeeds(run("sample --model r.safetensors --n 2 --npy e.npy"));
    cr_expect(same_file("a.npy", "e.npy"));
    is_usage_error("eval --model r --data npy:data.npy --score --eta 1",
                   "--eta: the sampler heun does not use it; it is for ddim");
}

Test(cli_recipe, a_run_can_say_so_without_a_recipe)
{
    succeeds(run(TRAIN "--steps 2 --diffusion-steps 20 --sampler ddim --sampling-steps 7 "
                       "--spacing trailing --out r"));
    succeeds(run("sample --model r --n 2 --npy a.npy"));
    cr_expect_not_null(
        strstr(complained, "as the config.json of the run says: ddim, 7 steps, spacing trailing\n"),
        "%s", complained);
    succeeds(run("train --out r --resume --steps 3 --sampling-steps 9"));
    succeeds(run("sample --model r --n 2 --npy a.npy"));
    cr_expect_not_null(strstr(complained, "ddim, 9 steps"), "%s", complained);
    says("r/checkpoints/step-3/settings.json", "\"sampling\"");
    cr_assert_eq(system("sed -i 's/\"ddim\"/\"dodo\"/' r/checkpoints/step-3/settings.json"), 0);
    fails_with(run("sample --model r --n 2 --npy a.npy"), "sampler: there is no \"dodo\"");
    cr_assert_eq(system("sed -i 's/\"dodo\"/\"ddim\"/; s/\"steps\":\t9/\"steps\":\t\"9\"/' "
                        "r/checkpoints/step-3/settings.json"),
                 0);
    fails_with(run("sample --model r --n 2 --npy a.npy"), "\"steps\" is not a number from 0 on");
}

Test(cli_recipe, its_guidance_is_for_networks_with_classes)
{
    write_classes();
#define CLASSES                                                                                    \
    "train --data folder:photos --size 8 --grey --channels 8 --multipliers 1,2 --blocks 1 "        \
    "--batch 4 --recipe edm2 --steps 2 " QUIET " "
    succeeds(run(CLASSES "--out plain"));
    says_not("plain/config.json", "guidance");
    succeeds(run(CLASSES "--conditional --label-dropout 0 --out sure"));
    says_not("sure/config.json", "guidance");
    succeeds(run(CLASSES "--conditional --lr 0.05 --out r"));
    succeeds(run("sample --model r --n 2 --steps 3 --npy a.npy --class cat"));
    cr_expect_not_null(strstr(complained, "guidance 1.4"), "%s", complained);
    succeeds(run("sample --model r --n 2 --steps 3 --npy b.npy --class cat --guidance 1.4"));
    succeeds(run("sample --model r --n 2 --steps 3 --npy c.npy --class cat --guidance 1"));
    cr_expect(same_file("a.npy", "b.npy"));
    cr_expect_not(same_file("a.npy", "c.npy"));
    succeeds(run("sample --model r --n 2 --steps 3 --npy d.npy"));
    cr_expect_null(strstr(complained, "guidance"), "%s", complained);
    succeeds(run(CLASSES "--recipe edm2-interval --conditional --lr 0.05 --out i"));
    says("i/config.json", "\"guidance-interval\":\t\"0.28,2.9\"");
    succeeds(run("sample --model i --n 2 --steps 3 --npy a.npy --class cat"));
    cr_expect_not_null(strstr(complained, "guidance 2.1 at 0.28,2.9"), "%s", complained);
    succeeds(run("sample --model i --n 2 --steps 3 --npy b.npy --class cat --guidance 2.1 "
                 "--guidance-interval 0.28,2.9"));
    succeeds(run("sample --model i --n 2 --steps 3 --npy c.npy --class cat --guidance 2.1"));
    cr_expect(same_file("a.npy", "b.npy"));
    cr_expect_not(same_file("a.npy", "c.npy"));
    succeeds(run(CLASSES "--recipe edm2-interval --conditional --guidance 2 --out o"));
    says("o/config.json", "\"guidance-interval\":\t\"0.28,2.9\"");
    is_usage_error(CLASSES "--recipe edm --conditional --guidance-interval 1,2 --out x",
                   "--guidance-interval: it needs --guidance, which says how much");
    is_usage_error(CLASSES "--conditional --guidance-interval 2,1 --out x",
                   "--guidance-interval: \"2,1\" is not LOW,HIGH, two numbers from 0 that rise");
    is_usage_error(TRAIN "--recipe edm2 --guidance 2 --out x",
                   "--guidance: it takes --conditional, which has labels");
    is_usage_error(
        CLASSES "--conditional --label-dropout 0 --guidance 2 --out x",
        "--guidance: it takes images without a class, and --label-dropout 0 trains none");
}

Test(cli_recipe, steps_of_sampling_are_at_most_those_of_the_diffusion)
{
    succeeds(run(TRAIN "--recipe ddpm --diffusion-steps 20 --steps 1 --out r"));
    says("r/config.json", "\"sampling-steps\":\t20");
    is_usage_error(TRAIN "--recipe ddpm --diffusion-steps 20 --sampling-steps 21 --out s",
                   "--sampling-steps: 21 is more than the 20 of the diffusion");
}

Test(cli_recipe, what_does_not_go_together_is_refused)
{
    is_usage_error(TRAIN "--recipe edm3 --out r", "--recipe: \"edm3\" is none of ddpm|iddpm|p2|");
    is_usage_error(TRAIN "--recipe iddpm --variance fixedlarge --out r",
                   "diffusion: the objective hybrid trains a learned variance, and fixedlarge is "
                   "not learned");
    is_usage_error(TRAIN "--time-mean 1 --out r", "--time-mean: the law of times uniform has none; "
                                                  "lognormal-sigma and logit-normal have");
    is_usage_error(TRAIN "--time-std 1 --out r", "--time-std: the law of times uniform has none; "
                                                 "lognormal-sigma and logit-normal have");
    is_usage_error(TRAIN "--shift 3 --out r", "--shift: the schedule cosine has none; flow has");
    is_usage_error(TRAIN "--ema 0.9 --ema-sigma-rel 0.1 --out r",
                   "--ema-sigma-rel: --ema says how long averages are already");
    is_usage_error(TRAIN "--optimizer sgd --beta2 0.9 --out r",
                   "--beta2: it is for --optimizer adam and adamw");
}

/* The numbers of the optimiser reach it. */
Test(cli_recipe, betas_and_decay_train_other_weights)
{
    static const char *const options[] = {"",
                                          "--beta1 0.5",
                                          "--beta2 0.5",
                                          "--weight-decay 10",
                                          "--optimizer adamw --weight-decay 10",
                                          "--optimizer adamw --beta1 0.5"};
    enum { N = sizeof options / sizeof options[0] };
    char path[64], other[64];
    for (int i = 0; i < N; i++) {
        succeeds(run(TRAIN "--diffusion-steps 20 --steps 3 --out r%d %s", i, options[i]));
        snprintf(path, sizeof path, "r%d/checkpoints/step-3/model.safetensors", i);
        for (int k = 0; k < i; k++) {
            snprintf(other, sizeof other, "r%d/checkpoints/step-3/model.safetensors", k);
            cr_expect_not(same_file(path, other), "%s is %s", options[i], options[k]);
        }
    }
}

/* It is in checkpoints, for training to go on, and in nothing that is made of them. */
Test(cli_recipe, an_uncertainty_is_learned_beside_the_network)
{
#define UNSURE TRAIN "--diffusion-steps 20 --uncertainty 8 --lr 0.05 --steps 4 "
    succeeds(run(UNSURE "--out whole"));
    succeeds(run(UNSURE "--out halves --stop-at 2"));
    succeeds(run("train --out halves --resume"));
    same_directory("whole/checkpoints/step-4", "halves/checkpoints/step-4");
    succeeds(run(TRAIN "--diffusion-steps 20 --lr 0.05 --steps 4 --out plain"));
    succeeds(run("sample --model whole --n 2 --steps 4 --npy a.npy"));
    succeeds(run("sample --model plain --n 2 --steps 4 --npy b.npy"));
    cr_expect_not(same_file("a.npy", "b.npy"));
    succeeds(run("sample --model whole --weights model --n 2 --steps 4 --npy c.npy"));
    succeeds(run("export --model whole --out w.safetensors --dtype f32"));
    succeeds(run("sample --model w.safetensors --n 2 --steps 4 --npy d.npy"));
    cr_expect(same_file("a.npy", "d.npy"));
    succeeds(run("info w.safetensors"));
    cr_expect_null(strstr(said, "uncertainty.linear"), "%s", said);
    cr_assert_eq(system("sed -i 's/conv_in.weight/conv_of.weight/g' "
                        "whole/checkpoints/step-4/ema.safetensors"),
                 0);
    fails_with(run("sample --model whole --n 2 --steps 4 --npy e.npy"),
               "ema.safetensors: lacks conv_in.weight of the model");
}

Test(cli_recipe, each_trains_goes_on_and_draws_its_grid)
{
    int64_t n;
    const ito_choice *const *recipes = ito_choices("recipe", &n);
    for (int64_t i = 0; i < n; i++) {
        succeeds(
            run("train --data npy:data.npy --channels 8 --multipliers 1,2 --blocks 1 --batch 4 "
                "--recipe %s --steps 2 --stop-at 1 --sample-every 2 --sample-steps 2 "
                "--sample-count 1 --out '%s'",
                recipes[i]->name, recipes[i]->name));
        succeeds(run("train --out '%s' --resume", recipes[i]->name));
        succeeds(run("sample --model '%s' --n 1 --steps 2 --npy a.npy", recipes[i]->name));
    }
}
