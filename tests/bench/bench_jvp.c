/* Forward mode beside the plain forward pass: time and peak memory of tensors, as ratios.
 * Usage: bench_jvp */
#include "ito.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void need(bool good)
{
    if (!good) {
        fprintf(stderr, "bench_jvp: %s\n", ito_error());
        exit(1);
    }
}

static ito_tensor *unet(ito_tensor *const *in, int64_t n, void *network)
{
    (void)n;
    return ito_unet_forward(network, in[0], in[1]);
}

static ito_tensor *attention(ito_tensor *const *in, int64_t n, void *unused)
{
    (void)n, (void)unused;
    return ito_scaled_dot_product_attention(in[0], in[1], in[2]);
}

static ito_tensor *group_norm_silu(ito_tensor *const *in, int64_t n, void *unused)
{
    (void)n, (void)unused;
    return ito_group_norm_silu(in[0], 32, NULL, NULL, 1e-5);
}

static ito_tensor *convolution(ito_tensor *const *in, int64_t n, void *weight)
{
    (void)n;
    return ito_conv2d(in[0], weight, NULL, .padding = 1);
}

static double once(ito_function *f, void *context, ito_tensor **in, int64_t n, ito_tensor **along,
                   bool forward_mode)
{
    ito_scope_begin();
    double start = seconds();
    ito_tensor *value = NULL;
    need(forward_mode ? ito_jvp(f, context, in, n, along, &value) != NULL
                      : f(in, n, context) != NULL);
    double time = seconds() - start;
    ito_scope_end();
    return time;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* In turns, so that both meet the same machine; medians. */
static void compare(const char *name, ito_function *f, void *context, ito_tensor **in, int64_t n,
                    ito_tensor **along)
{
    enum { ROUNDS = 9 };
    double time[2][ROUNDS];
    int64_t peak[2];
    ito_no_grad_begin();
    for (int mode = 0; mode < 2; mode++) {
        once(f, context, in, n, along, mode == 1);
        ito_memory_reset_peak();
        once(f, context, in, n, along, mode == 1);
        peak[mode] = ito_memory_peak();
    }
    for (int round = 0; round < ROUNDS; round++)
        for (int mode = 0; mode < 2; mode++)
            time[mode][round] = once(f, context, in, n, along, mode == 1);
    ito_no_grad_end();
    for (int mode = 0; mode < 2; mode++)
        qsort(time[mode], ROUNDS, sizeof(double), by_size);
    printf("%-34s %9.2f ms %9.2f ms %6.2f   %8.1f MiB %6.2f\n", name, 1e3 * time[0][ROUNDS / 2],
           1e3 * time[1][ROUNDS / 2], time[1][ROUNDS / 2] / time[0][ROUNDS / 2],
           0x1p-20 * (double)peak[0], (double)peak[1] / (double)peak[0]);
}

static void compare_unet(const char *preset, int64_t channels, int64_t size, int64_t batch,
                         ito_dtype dtype)
{
    ito_generator g = ito_generator_make(1, 2);
    ito_unet_config config;
    need(ito_unet_preset(preset, channels, size, size, &config) == ITO_OK);
    config.dropout = 0;
    ito_unet *network = ito_unet_create(&config, &g);
    need(network != NULL && ito_unet_set_precision(network, dtype) == ITO_OK);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(batch, channels, size, size), ITO_F32);
    ito_tensor *t = ito_full(ITO_SHAPE(batch), 300, ITO_F32);
    ito_tensor *in[] = {x, t}, *along[] = {ito_ones_like(x), NULL};
    char name[64];
    snprintf(name, sizeof name, "U-Net %s, %s, batch %d", preset, ito_dtype_name(dtype),
             (int)batch);
    compare(name, unet, network, in, 2, along);
    ito_module_free(&network->base);
}

int main(void)
{
    printf("%-34s %12s %12s %6s   %12s %6s\n", "", "forward", "jvp", "ratio", "peak", "ratio");
    compare_unet("small", 1, 28, 16, ITO_F32);
    compare_unet("cifar10", 3, 32, 16, ITO_F32);
    compare_unet("cifar10", 3, 32, 16, ITO_BF16);
    ito_generator g = ito_generator_make(3, 4);
    ito_tensor *q = ito_randn(&g, ITO_SHAPE(8, 1024, 64), ITO_F32);
    compare("attention 8 x 1024 x 64", attention, NULL, (ito_tensor *[]){q, q, q}, 3,
            (ito_tensor *[]){q, q, q});
    ito_tensor *x = ito_contiguous(ito_randn(&g, ITO_SHAPE(16, 128, 32, 32), ITO_F32));
    compare("group_norm_silu 16 x 128 x 32 x 32", group_norm_silu, NULL, &x, 1, &x);
    ito_tensor *w = ito_randn(&g, ITO_SHAPE(128, 128, 3, 3), ITO_F32);
    compare("conv2d 3x3, 128 to 128 channels", convolution, w, &x, 1, &x);
    return 0;
}
