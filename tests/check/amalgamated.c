/* A program with the library as one file: it trains a small U-Net for a few steps, saves and loads
 * its weights, draws an image and prints the loss. */
#include "ito.h"

#include <stdio.h>

static int stop(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, ito_error());
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    ito_generator g = ito_generator_make(1, 0);
    ito_unet_config config;
    ito_unet_preset("small", 1, 8, 8, &config);
    config.channels = config.groups = 8;
    ito_unet *unet = ito_unet_create(&config, &g);
    ito_diffusion *d = ito_diffusion_create();
    ito_optimizer *adam = unet == NULL ? NULL : ito_adam_create(&unet->base);
    if (d == NULL || adam == NULL)
        return stop("create");
    double loss = 0;
    for (int step = 0; step < 5; step++)
        ITO_SCOPE
        {
            ito_tensor *x = ito_full(ITO_SHAPE(4, 1, 8, 8), 0.5, ITO_F32);
            ito_tensor *t = ito_randint(&g, 0, 1000, ITO_SHAPE(4), ITO_I64);
            ito_tensor *eps = ito_randn(&g, ITO_SHAPE(4, 1, 8, 8), ITO_F32);
            ito_tensor *l = ito_diffusion_loss(d, &unet->network, x, t, eps);
            if (ito_backward(l) != ITO_OK || ito_optimizer_step(adam, 1e-3) != ITO_OK)
                return stop("step");
            ito_module_zero_grad(&unet->base);
            loss = ito_item(l);
        }
    if (ito_module_save(&unet->base, argv[1]) != ITO_OK ||
        ito_module_load(&unet->base, argv[1]) != ITO_OK)
        return stop("weights");
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *image = ito_diffusion_sample(d, &unet->network, ITO_SHAPE(1, 1, 8, 8), .steps = 5);
    if (image == NULL)
        return stop("sample");
    printf("%s: loss %.3f, %lld pixels\n", ito_isa(), loss, (long long)ito_numel(image));
    if (ito_linalg_inv(ito_eye(2, ITO_F32)) != NULL)
        return stop("linalg_inv");
    printf("%s\n", ito_error());
    ito_error_clear();
    FILE *zip = fopen("weights.zip", "w");
    if (zip == NULL || fputs("PK\003\004", zip) < 0 || fclose(zip) != 0 ||
        ito_module_load(&unet->base, "weights.zip") == ITO_OK)
        return stop("zip");
    printf("%s\n", ito_error());
    ito_no_grad_end();
    ito_scope_end();
    ito_optimizer_free(adam);
    ito_diffusion_free(d);
    ito_module_free(&unet->base);
    return 0;
}
