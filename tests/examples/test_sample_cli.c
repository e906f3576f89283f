/* ito-ddpm sample: an image depends on its number only, and what cannot be done is said. */
#include "tests/examples/cli.h"

#include "tensor/io/npy.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(cli_sample, .init = cli_enter, .fini = cli_leave, .timeout = 120);

Test(cli_sample, an_image_depends_on_its_number_only)
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

Test(cli_sample, sampling_refuses_what_it_cannot_do)
{
    train_tiny("r", "--steps 1 " QUIET);
    fails_with(run("sample --model r --out nowhere/g.png"), "nowhere/g.png: cannot write it");
    cr_assert_eq(run("sample --model r --out g.png --steps 21"), 2);
    cr_assert_not_null(strstr(complained, "--steps: 21 is more than the 20"), "%s", complained);
}
