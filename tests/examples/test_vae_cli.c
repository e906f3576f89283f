/* ito-vae and ito-latent from outside: they learn, what they write is what they read, and what is
 * wrong is said. */
#include "models/vae/vae.h"

#include "autograd/ops.h"
#include "tests/examples/cli.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void enter(void)
{
    cli_enter();
    program = "ito-vae";
}

TestSuite(cli_vae, .init = enter, .fini = cli_leave, .timeout = 600);

/* n images of a set: black ones and white ones. */
static void write_set(const char *set, int64_t n, int64_t side)
{
    char path[64];
    ito_tensor *images = ito_zeros(ITO_SHAPE(n, side, side), ITO_U8);
    uint8_t *pixels = ito_data(images);
    for (int64_t i = 1; i < n; i += 2)
        memset(pixels + i * side * side, 255, (size_t)(side * side));
    snprintf(path, sizeof path, "%s-images-idx3-ubyte", set);
    write_idx(path, images);
}

#define SMALL "--data . --epochs 40 --batch 8 --width 8 --latent 3 --lr 0.01 --k 5 "

Test(cli_vae, learns_one_bit_and_draws)
{
    write_set("train", 64, 8);
    write_set("t10k", 20, 8);
    succeeds(run(SMALL "--bound-images 10 --out a --json"));
    /* Black or white costs log 2; 64 pixels on their own cost 44 nats. */
    cr_expect_gt(number("elbo"), -8, "%g", number("elbo"));
    cr_expect_lt(number("elbo"), -0.69);
    cr_expect_gt(number("bound_of_first"), number("elbo_of_first"));
    cr_expect_eq(number("images"), 20);
    cr_expect_eq(number("first"), 10);
    cr_expect(there("a/reconstructions.png") && there("a/samples.png") && there("a/walk.png"));
    ito_vae *vae = ito_vae_load("a/vae.safetensors");
    cr_assert_not_null(vae, "%s", ito_error());
    cr_expect_eq(vae->code.dim[0], 3);
    ito_module_free(&vae->base);
    succeeds(run(SMALL "--threads 1 --out b"));
    same_directory("a", "b");
    succeeds(run(SMALL "--seed 1 --out c"));
    cr_expect_not(same_file("a/vae.safetensors", "c/vae.safetensors"));
    succeeds(run(SMALL "--pixels grey --out d"));
    cr_expect_not(same_file("a/samples.png", "d/samples.png"));
}

Test(cli_vae, says_what_is_wrong)
{
    is_usage_error("--latent 0", "--latent: \"0\" is not a whole number from 1");
    is_usage_error("--pixels blue", "--pixels");
    fails_with(run("--data ."), "./train-images-idx3-ubyte: there is no such file, nor .gz");
    write_set("train", 4, 10);
    write_set("t10k", 20, 10);
    fails_with(run("--data ."), "vae: images of 10x10 cannot be halved 2 times; their sides must "
                                "be multiples of 4");
}

#define TINY_LATENT                                                                                \
    "--data . --vae-epochs 1 --epochs 1 --batch 20 --channels 8 --sampling-steps 2 --n 97 "

Test(cli_vae, latent_diffusion_reads_what_it_wrote)
{
    program = "ito-latent";
    write_set("train", 100, 28);
    write_set("t10k", 100, 28);
    succeeds(run(TINY_LATENT "--out a --json"));
    double frechet = number("frechet"), of_codes = number("frechet_of_codes");
    cr_expect(frechet >= 0 && of_codes >= 0);
    cr_expect(there("a/samples.png"));
    succeeds(run(TINY_LATENT "--vae a/vae.safetensors --network a/network.safetensors --out b "
                             "--json"));
    cr_expect_eq(number("frechet"), frechet);
    cr_expect_eq(number("frechet_of_codes"), of_codes);
    cr_expect(same_file("a/samples.png", "b/samples.png"));
    cr_expect_not(there("b/vae.safetensors") || there("b/network.safetensors"));
}

/* A model without training. */
static void write_vae(const char *path, bool spatial, int64_t latent)
{
    ito_vae *vae = ito_vae_create(1, 28, 28, .latent = latent, .spatial = spatial);
    cr_assert_eq(ito_vae_save(vae, path), ITO_OK, "%s", ito_error());
    ito_module_free(&vae->base);
}

Test(cli_vae, latent_diffusion_says_what_is_wrong)
{
    program = "ito-latent";
    write_set("train", 100, 28);
    write_set("t10k", 100, 28);
    write_vae("four.safetensors", true, 4);
    write_vae("six.safetensors", true, 6);
    write_vae("row.safetensors", false, 6);
    succeeds(run(TINY_LATENT "--vae four.safetensors --out a"));
    is_usage_error(TINY_LATENT "--vae six.safetensors --network a/network.safetensors",
                   "the VAE's codes have 6 channels, the network of a/network.safetensors takes 4");
    is_usage_error(TINY_LATENT "--vae row.safetensors",
                   "the codes of row.safetensors are rows; the U-Net takes images");
    fails_with(run(TINY_LATENT "--vae a/network.safetensors"),
               "a/network.safetensors: it holds no settings of a VAE");
    fails_with(run(TINY_LATENT "--vae four.safetensors --network four.safetensors"),
               "four.safetensors: ");
    is_usage_error(TINY_LATENT "--n 96", "--n: \"96\" is not a whole number from 97");
}
