/* A process in continuous time, from training to samples: what the commands do with it, and what
 * they refuse. */
#include "tests/examples/cli.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(cli_continuous, .init = cli_enter, .fini = cli_leave, .timeout = 600);

#define CONTINUOUS                                                                                 \
    "--data npy:data.npy --channels 8 --multipliers 1,2 --blocks 1 --batch 4 " QUIET " "
#define FLOW CONTINUOUS "--schedule flow --prediction flow --step-sampling logit-normal --steps 6 "

Test(cli_continuous, a_run_that_is_resumed_ends_with_the_same_weights)
{
    succeeds(run("train " FLOW "--out whole"));
    succeeds(run("train " FLOW "--out parts --stop-at 3"));
    succeeds(run("train --out parts --resume"));
    cr_expect(same_file("whole/checkpoints/step-6/ema.safetensors",
                        "parts/checkpoints/step-6/ema.safetensors"));
    static char config[65536];
    slurp("whole/config.json", config, sizeof config);
    cr_expect_not_null(strstr(config, "\"schedule\":\t\"flow\""), "%s", config);
    cr_expect_not_null(strstr(config, "\"steps\":\t0"), "%s", config);
    cr_expect_not_null(strstr(config, "\"step-sampling\":\t\"logit-normal\""), "%s", config);
}

Test(cli_continuous, samplers_and_spacings_make_images)
{
    succeeds(run("train " FLOW "--out r"));
    succeeds(run("sample --model r --n 2 --steps 4 --sampler heun --npy a.npy"));
    succeeds(run("sample --model r --n 2 --steps 4 --sampler heun --spacing log-snr --npy b.npy"));
    succeeds(run("sample --model r --n 2 --steps 2000 --sampler euler --npy c.npy")); /* no T */
    cr_expect(there("c.npy") && !same_file("a.npy", "b.npy"));
    succeeds(run("interpolate --model r --data npy:data.npy --n 3 --t 0.3 --steps 4 --npy d.npy"));
    fails_with(run("edit --model r --image a.npy --strength 0.5 --npy e.npy"),
               "a.npy: one image is needed, not 2");
}

Test(cli_continuous, edm_takes_its_own_settings)
{
    succeeds(run("train " CONTINUOUS
                 "--steps 2 --schedule edm --prediction edm --weighting edm --time-input c-noise "
                 "--step-sampling lognormal-sigma --sigma-min 0.01 --sigma-max 20 --out r"));
    static char config[65536];
    slurp("r/config.json", config, sizeof config);
    cr_expect_not_null(strstr(config, "\"sigma_max\":\t20"), "%s", config);
    cr_expect_not_null(strstr(config, "\"time_input\":\t\"c-noise\""), "%s", config);
    succeeds(run("sample --model r --n 2 --steps 4 --sampler heun --spacing karras --churn 1 "
                 "--npy a.npy"));
}

Test(cli_continuous, what_needs_steps_is_refused)
{
#define NO_STEPS " is for a process in steps, and this one is in continuous time"
    is_usage_error("train " FLOW "--out r --loss vlb --variance learned",
                   "diffusion: the objective vlb" NO_STEPS);
    is_usage_error("train " FLOW "--out r --weighting bound",
                   "diffusion: the weighting bound" NO_STEPS);
    is_usage_error("train " FLOW "--out r --beta-start 0.1",
                   "--beta-start: the schedule flow has no range of betas");
    is_usage_error("train " CONTINUOUS "--out r --sigma-max 3",
                   "--sigma-max: the schedule cosine has no range of sigmas");
    is_usage_error("train " CONTINUOUS "--out r --diffusion-steps 0",
                   "process: 0 steps mean continuous time, and the schedule cosine is in steps");
    succeeds(run("train " FLOW "--out r"));
    fails_with(run("eval --model r --data npy:data.npy --bits-per-dim"),
               "bits_per_dim: the bound is that of a process in steps, and this one is in "
               "continuous time");
    fails_with(run("compress --model r --images data.npy --out x.ito"),
               "compress: the process must be in steps, and this one is in continuous time");
    write_classes();
    is_usage_error("classifier --model r --data folder:photos --out c.safetensors",
                   "--model: a classifier takes steps of the process, and this network takes times "
                   "of another kind");
    is_usage_error("interpolate --model r --data npy:data.npy --t 1.5 --npy d.npy",
                   "--t: 1.5 is no time of the diffusion, which ends at 1");
}
