/* What several ranks cost: a step's time, the wait for others and the bytes sent, with buckets that
 * travel while backward goes on and with one that travels after it, in f32 and bf16; the bandwidth
 * of an exchange; and whether MPI's own non-blocking reduction goes on by itself.
 *     mpirun -n P bench_ranks [PRESET [BATCH [THREADS [STEPS]]]]
 * PRESET is small (28x28) or cifar10 (32x32); BATCH is of all ranks together. */
#include <ito/ito.h>
#include <ito_mpi.h>
#include <mpi.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static ito_communicator *ranks;

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench_ranks: %s: %s\n", what, ito_error());
    ito_mpi_abort(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    if (ranks->rank == 0) {
        vprintf(format, list);
        fflush(stdout);
    }
    va_end(list);
}

/* ---- exchanges ---- */

/* Seconds of the fastest of some exchanges of so many bytes with each rank. */
static double time_exchange(int64_t bytes)
{
    int64_t n = ranks->ranks;
    char *send = calloc((size_t)n, (size_t)bytes), *receive = calloc((size_t)n, (size_t)bytes);
    ito_block blocks[2][1024];
    double best = 1e9;
    need(n <= 1024 && send != NULL && receive != NULL, "memory");
    for (int64_t r = 0; r < n; r++) {
        blocks[0][r] = (ito_block){send + r * bytes, r == ranks->rank ? 0 : bytes};
        blocks[1][r] = (ito_block){receive + r * bytes, r == ranks->rank ? 0 : bytes};
    }
    for (int i = 0; i < 20; i++) {
        double since = now();
        need(ranks->exchange(ranks, blocks[0], blocks[1]) == ITO_OK, "exchange");
        double took = now() - since;
        best = took < best ? took : best;
    }
    free(send);
    free(receive);
    return best;
}

static void exchanges(void)
{
    say("| bytes to each rank | ms | GB/s sent by a rank |\n| --- | --- | --- |\n");
    for (int64_t bytes = 8; bytes <= 32 << 20; bytes *= 16) {
        double s = time_exchange(bytes);
        say("| %lld | %.3f | %.2f |\n", (long long)bytes, 1e3 * s,
            (double)(bytes * (ranks->ranks - 1)) / s * 1e-9);
    }
}

/* ---- MPI's own non-blocking reduction ---- */

static void work_for(double seconds)
{
    volatile double x = 1;
    for (double since = now(); now() - since < seconds;)
        for (int i = 0; i < 1000; i++)
            x = x * 1.0000001;
}

/* Of n floats: how long it takes alone, and how long the wait is after as much other work. */
static void reduction(int n)
{
    float *from = calloc((size_t)n, sizeof *from), *to = calloc((size_t)n, sizeof *to);
    need(from != NULL && to != NULL, "memory");
    double alone = 1e9, rest = 1e9;
    for (int i = 0; i < 5; i++) {
        MPI_Barrier(MPI_COMM_WORLD);
        double since = now();
        MPI_Allreduce(from, to, n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        alone = now() - since < alone ? now() - since : alone;
    }
    for (int i = 0; i < 5; i++) {
        MPI_Request request;
        MPI_Barrier(MPI_COMM_WORLD);
        MPI_Iallreduce(from, to, n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &request);
        work_for(2 * alone);
        double since = now();
        MPI_Wait(&request, MPI_STATUS_IGNORE);
        rest = now() - since < rest ? now() - since : rest;
    }
    say("MPI_Allreduce of %d MB: %.0f ms; MPI_Iallreduce, then %.0f ms of other work: still %.0f "
        "ms "
        "to wait\n",
        n / 250000, 1e3 * alone, 2e3 * alone, 1e3 * rest);
    free(from);
    free(to);
}

/* ---- training ---- */

typedef struct setting {
    const char *name;
    int64_t bucket_bytes;
    bool bf16;
} setting;

typedef struct bench {
    const char *preset;
    int64_t batch, steps, side, channels;
} bench;

static ito_status no_labels(ito_batch_slice s, void *context)
{
    (void)s;
    (void)context;
    return ITO_OK;
}

static void train(const bench *b, setting how)
{
    ito_unet_config c = {0};
    need(ito_unet_preset(b->preset, b->channels, b->side, b->side, &c) == ITO_OK, "preset");
    ito_generator g = ito_diffusion_generator(1, ITO_DRAW_INIT, 0);
    ito_unet *unet = ito_unet_create(&c, &g);
    ito_diffusion *diffusion = ito_diffusion_create();
    ito_optimizer *adam = ito_adam_create(&unet->base);
    ito_ema *ema = ito_ema_create(&unet->base);
    ito_parallel *p = ito_parallel_create(ranks, &unet->base, adam, .slices = ranks->ranks,
                                          .bucket_bytes = how.bucket_bytes, .bf16 = how.bf16);
    need(p != NULL, "parallel");
    ito_diffusion_trainer trainer = {.diffusion = diffusion,
                                     .network = &unet->network,
                                     .model = &unet->base,
                                     .optimizer = adam,
                                     .ema = ema,
                                     .max_norm = 1,
                                     .parallel = p,
                                     .slice = no_labels};
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(b->batch, b->channels, b->side, b->side), ITO_F32);
    double best = 1e9, waited = 0;
    ito_parallel_traffic before = {0};
    for (int64_t i = -1; i < b->steps; i++) {
        ito_train_result r;
        before = ito_parallel_traffic_of(p);
        double since = now();
        need(ito_diffusion_train_step(&trainer, x, i + 1, 1e-4, &r) == ITO_OK, "step");
        double took = now() - since;
        if (i >= 0 && took < best) {
            best = took;
            waited = ito_parallel_traffic_of(p).seconds - before.seconds;
        }
    }
    int64_t n = ito_module_parameter_count(&unet->base);
    double bytes = (double)(ito_parallel_traffic_of(p).bytes - before.bytes);
    double share = (double)(ranks->ranks - 1) / (double)ranks->ranks;
    say("| %lld | %s | %.0f | %.0f | %.2f | %.2f |\n", (long long)ranks->ranks, how.name,
        1e3 * best, 1e3 * waited, bytes * 1e-6, share * (double)n * (how.bf16 ? 6 : 8) * 1e-6);
    ito_parallel_free(p);
    ito_ema_free(ema);
    ito_optimizer_free(adam);
    ito_diffusion_free(diffusion);
    ito_module_free(&unet->base);
}

int main(int argc, char **argv)
{
    ranks = ito_mpi_start();
    if (ranks == NULL) {
        fprintf(stderr, "bench_ranks: %s\n", ito_error());
        return 1;
    }
    bench b = {.preset = argc > 1 ? argv[1] : "small",
               .batch = argc > 2 ? atoi(argv[2]) : 64,
               .steps = argc > 4 ? atoi(argv[4]) : 5};
    bool cifar = strcmp(b.preset, "cifar10") == 0;
    b.side = cifar ? 32 : 28;
    b.channels = cifar ? 3 : 1;
    ito_set_threads(argc > 3 ? atoi(argv[3]) : 1);
    const setting settings[] = {{"f32, after backward", 1 << 30, false},
                                {"f32, buckets of 25 MB", 25 << 20, false},
                                {"f32, buckets of 1 MB", 1 << 20, false},
                                {"bf16, buckets of 25 MB", 25 << 20, true}};
    if (ranks->ranks > 1) {
        exchanges();
        reduction(cifar ? 35700000 : 1600000);
    }
    say("| ranks | gradients | ms a step | waiting | MB sent by a rank | formula |\n"
        "| --- | --- | --- | --- | --- | --- |\n");
    for (int i = 0; i < 4; i++) {
        ito_scope_begin();
        train(&b, settings[i]);
        ito_scope_end();
    }
    ito_communicator_free(ranks);
    return 0;
}
