/* Whole steps of DDPM: training (q_sample, forward, loss, backward, clip, Adam, EMA) and sampling.
 * Usage: bench_ddpm [--json] [--threads N] [--model cifar10|small] [--batch N] [--steps N]
 * Without --model: cifar10 at batch 16 and the 32x32 small network at batch 64, one channel. */
#include "ito.h"
#include "tests/bench/bench_peak.h"

#include <inttypes.h>

typedef struct network {
    const char *name;
    ito_unet_config config;
    int64_t batch;
} network;

/* Both as they were in the comparison with other systems: attention at 16x16, no dropout if small.
 */
static network network_of(const char *name, int64_t batch)
{
    bool small = strcmp(name, "small") == 0;
    network n = {.name = name, .batch = batch > 0 ? batch : small ? 64 : 16};
    if (ito_unet_preset("cifar10", small ? 1 : 3, 32, 32, &n.config) != ITO_OK)
        exit(1);
    if (small) {
        n.config.channels = 32;
        n.config.levels = 3;
        n.config.dropout = 0;
    }
    return n;
}

static double median_of(double *seconds, int n)
{
    qsort(seconds, (size_t)n, sizeof *seconds, bench_compare);
    return seconds[n / 2];
}

static void report(const bench_options *o, const network *n, const char *what, double seconds)
{
    double mib = (double)ito_memory_peak() / (1 << 20);
    if (o->json)
        printf(
            "{\"bench\": \"ddpm\", \"model\": \"%s\", \"mode\": \"%s\", \"batch\": %" PRId64
            ", \"threads\": %d, \"ms\": %.1f, \"images_per_second\": %.2f, \"peak_MiB\": %.0f}\n",
            n->name, what, n->batch, ito_threads(), 1e3 * seconds, (double)n->batch / seconds, mib);
    else
        printf("%-8s %-8s batch %3" PRId64 "  %9.1f ms  %8.2f images/s  peak %6.0f MiB\n", n->name,
               what, n->batch, 1e3 * seconds, (double)n->batch / seconds, mib);
    fflush(stdout);
}

static void fail(const char *what)
{
    fprintf(stderr, "bench_ddpm: %s: %s\n", what, ito_error());
    exit(1);
}

static void bench_training(const bench_options *o, const network *n, ito_unet *unet, int steps)
{
    ito_diffusion *d = ito_diffusion_create();
    ito_optimizer *adam = ito_adam_create(&unet->base);
    ito_ema *ema = ito_ema_create(&unet->base, .decay = 0.9999);
    ito_generator g = ito_generator_make(1, 0);
    ito_tensor *x_0 = ito_rand(&g, ITO_SHAPE(n->batch, n->config.in_channels, 32, 32), ITO_F32);
    if (d == NULL || adam == NULL || ema == NULL || x_0 == NULL)
        fail("setup");
    ito_ddpm_trainer trainer = {.diffusion = d,
                                .network = ito_unet_network,
                                .context = unet,
                                .model = &unet->base,
                                .optimizer = adam,
                                .ema = ema,
                                .max_norm = 1,
                                .seed = 1};
    double seconds[64];
    ito_memory_reset_peak();
    for (int i = -2; i < steps; i++) {
        double start = bench_now();
        ito_ddpm_train_result result;
        ito_scope_begin();
        if (ito_ddpm_train_step(&trainer, x_0, i + 2, 2e-4, &result) != ITO_OK)
            fail("training");
        ito_scope_end();
        if (i >= 0)
            seconds[i] = bench_now() - start;
    }
    report(o, n, "train", median_of(seconds, steps));
    ito_ema_free(ema);
    ito_optimizer_free(adam);
    ito_diffusion_free(d);
}

static void bench_sampling(const bench_options *o, network n, ito_unet *unet, int steps)
{
    n.batch = 16;
    ito_generator g = ito_generator_make(1, 0);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(n.batch, n.config.in_channels, 32, 32), ITO_F32);
    ito_tensor *t = ito_full(ITO_SHAPE(n.batch), 500, ITO_I64);
    ito_module_train(&unet->base, false);
    ito_no_grad_begin();
    double seconds[64];
    ito_memory_reset_peak();
    for (int i = -2; i < steps; i++) {
        double start = bench_now();
        ito_scope_begin();
        if (ito_unet_forward(unet, x, t) == NULL)
            fail("sampling");
        ito_scope_end();
        if (i >= 0)
            seconds[i] = bench_now() - start;
    }
    ito_no_grad_end();
    report(o, &n, "network", median_of(seconds, steps));
}

static void bench_network(const bench_options *o, network n, int steps)
{
    ito_generator init = ito_generator_make(0, 0);
    ito_unet *unet = ito_unet_create(&n.config, &init);
    if (unet == NULL)
        fail("unet");
    bench_training(o, &n, unet, steps);
    bench_sampling(o, n, unet, steps);
    ito_module_free(&unet->base);
}

int main(int argc, char **argv)
{
    const char *model = NULL;
    int64_t batch = 0;
    int steps = 5, kept = 1;
    for (int i = 1; i < argc; i++) { /* its own options go; the rest is bench_start's */
        bool more = i + 1 < argc;
        if (more && strcmp(argv[i], "--model") == 0)
            model = argv[++i];
        else if (more && strcmp(argv[i], "--batch") == 0)
            batch = atoll(argv[++i]);
        else if (more && strcmp(argv[i], "--steps") == 0)
            steps = atoi(argv[++i]);
        else
            argv[kept++] = argv[i];
    }
    steps = steps < 1 ? 1 : steps > 64 ? 64 : steps;
    bench_options o = bench_start(kept, argv);
    if (model == NULL || strcmp(model, "small") != 0)
        bench_network(&o, network_of("cifar10", batch), steps);
    if (model == NULL || strcmp(model, "small") == 0)
        bench_network(&o, network_of("small", batch), model == NULL ? 2 * steps : steps);
    return 0;
}
