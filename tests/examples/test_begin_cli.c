/* ito-ddpm train --model: a training begins with the weights and settings of another network. */
#include "tests/examples/cli.h"

#include "tensor/io/npy.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(cli_begin, .init = cli_enter, .fini = cli_leave, .timeout = 600);

#define PHOTOS "train --data folder:photos --size 8 --grey --batch 4 "

/* What the weights are after no more than a step of a tiny rate: nearly those they began with. */
#define BARELY "--steps 1 --lr 1e-30 --warmup 0 --ema 0 " QUIET

Test(cli_begin, weights_and_settings_are_those_of_the_model)
{
    train_tiny("r", "--steps 3 --schedule quad --beta-end 0.05 --prediction v --variance "
                    "fixedlarge --weighting min_snr --sampler ddim " QUIET);
    succeeds(run("export --model r --format diffusers --out d"));
    succeeds(run("train --model d --data npy:data.npy --out s " BARELY));
    succeeds(run("sample --model r --npy a.npy --n 2 --steps 3"));
    succeeds(run("sample --model s --npy b.npy --n 2 --steps 3"));
    cr_expect(same_file("a.npy", "b.npy"));
    succeeds(run("info s/checkpoints/step-1 --json"));
    static const char *const settings[] = {
        "\"schedule\":\"quad\"",       "\"beta_end\":0.05",         "\"prediction\":\"v\"",
        "\"variance\":\"fixedlarge\"", "\"weighting\":\"min_snr\"", "\"gamma\":5"};
    for (int i = 0; i < 6; i++)
        cr_expect_not_null(strstr(said, settings[i]), "%s lacks %s", said, settings[i]);
}

Test(cli_begin, a_run_is_resumed_without_the_model)
{
    train_tiny("r", "--steps 1 " QUIET);
    succeeds(run("export --model r --format diffusers --out d"));
    cr_assert_eq(system("sed -i 's/\"norm_eps\":.*/\"norm_eps\": 0.125,/' d/unet/config.json"), 0);
    const char *how = "--data npy:data.npy --steps 4 --seed 5 " QUIET;
    succeeds(run("train --model d --out whole %s", how));
    succeeds(run("train --model d --out parts --stop-at 2 %s", how));
    cr_assert_eq(system("rm -r d"), 0);
    succeeds(run("train --out parts --resume"));
    cr_expect(same_file("whole/checkpoints/step-4/model.safetensors",
                        "parts/checkpoints/step-4/model.safetensors"));
    succeeds(run("info parts/checkpoints/step-4 --json"));
    cr_expect_not_null(strstr(said, "\"norm_eps\":0.125"), "%s", said);
}

Test(cli_begin, classes_go_on)
{
    write_classes();
    succeeds(run(FOLDER "--out r --steps 1 --conditional " QUIET));
    succeeds(run(PHOTOS "--out s --model r " BARELY));
    succeeds(run("sample --model s --npy a.npy --n 2 --steps 2 --class dog --guidance 2"));
    succeeds(run("export --model r --format diffusers --out d"));
    /* As diffusers itself would have written it: without names, and nothing for no class. */
    cr_assert_eq(system("sed -i 's/ito_ddpm_settings/ito_ddpm_sottings/' "
                        "d/unet/diffusion_pytorch_model.safetensors"),
                 0);
    is_usage_error(PHOTOS "--out t --model d " BARELY,
                   "--model: d: its network has 3 classes, and the images of --data have 2");
    cr_assert_eq(system("mkdir photos/fox && cp photos/cat/* photos/fox"), 0);
    succeeds(run(PHOTOS "--out t --model d --minutes 0.001 --sample-every 1 --sample-count 3 "
                        "--sample-steps 2 --lr 1e-30 --warmup 0"));
    succeeds(run("sample --model t --npy b.npy --n 3 --steps 2 --class all"));
    is_usage_error("sample --model t --npy c.npy --n 3 --steps 2",
                   "--class: the network was trained with --label-dropout 0 and knows no images "
                   "without a class");
    is_usage_error(PHOTOS "--out u --model d --label-dropout 0.1 " BARELY,
                   "--label-dropout: the network of --model has no place for images without a "
                   "class");
}

Test(cli_begin, what_the_weights_were_trained_for_is_refused)
{
    train_tiny("r", "--steps 1 " QUIET);
    static const char why[] = "the network of --model was trained with its own";
    static const char *const given[] = {"channels 8",    "attention 8",      "schedule linear",
                                        "prediction v",  "variance learned", "recipe edm",
                                        "beta-end 0.01", "blocks 1"};
    for (int i = 0; i < 8; i++) {
        char command[200], message[200];
        snprintf(command, sizeof command, "train --model r --data npy:data.npy --out s --%s",
                 given[i]);
        snprintf(message, sizeof message, "--%.*s: %s", (int)strcspn(given[i], " "), given[i], why);
        is_usage_error(command, message);
    }
    is_usage_error("train --model r --data npy:data.npy --out s --conditional",
                   "--conditional: the network of --model takes no classes");
    fails_with(run("train --model nowhere --data npy:data.npy --out s"),
               "nowhere: cannot open: No such file or directory");
    write_classes();
    is_usage_error(
        PHOTOS "--out s --model fashion-mnist",
        "--model: fashion-mnist: its network has 10 classes, and the images of --data have 2");
    is_usage_error("train --data folder:photos --size 8 --out s --model r",
                   "--model: r: its network takes images of 1 channel, and those of --data have 3");
    cr_expect(!there("s"));
}
