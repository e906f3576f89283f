/* Kernels that exponentials bound, on data in the first-level cache, one thread: nanoseconds a
 * vector of 8 floats, the best of many runs, so that memory and whatever else runs are left out. */
#include "tensor/internal.h"
#include "tensor/kernels/kernels.h"
#include "tests/bench/bench_peak.h"

#include <math.h>

enum { CHANNELS = 128, PIXELS = 8, ELEMENTS = CHANNELS * PIXELS, TRIES = 300, RUNS = 200 };

static float x[ELEMENTS], y[ELEMENTS], dy[ELEMENTS], sums[2 * CHANNELS];
static float center[CHANNELS], scale[CHANNELS], shift[CHANNELS];

static void norm_silu(const kernel_table *k)
{
    k->group_norm_apply(y, x, PIXELS, CHANNELS, center, scale, shift, true);
}

static void norm_silu_sums(const kernel_table *k)
{
    k->group_norm_silu_sums(sums, y, x, dy, PIXELS, CHANNELS, center, scale, shift);
}

static void silu(const kernel_table *k)
{
    k->silu(y, x, 1, ELEMENTS, 0, 0);
}

static void softmax(const kernel_table *k)
{
    k->softmax(y, x, ELEMENTS / 256, 256, 1, NULL, NULL);
}

static void row(const char *name, void (*work)(const kernel_table *))
{
    const kernel_table *k = kernels(ITO_F32);
    double best = HUGE_VAL;
    for (int attempt = 0; attempt < TRIES; attempt++) {
        double start = bench_now();
        for (int i = 0; i < RUNS; i++)
            work(k);
        best = fmin(best, bench_now() - start);
    }
    printf("%-28s %8.2f\n", name, 1e9 * best / RUNS / (ELEMENTS / 8));
}

int main(void)
{
    for (int i = 0; i < ELEMENTS; i++) {
        x[i] = (float)(i * 7919 % 1000) / 250 - 2;
        dy[i] = (float)(i * 31 % 1000) / 500 - 1;
    }
    for (int i = 0; i < CHANNELS; i++)
        scale[i] = 1;
    printf("%s, ns a vector of 8\n", ito_isa());
    row("silu behind a norm", norm_silu);
    row("sums of its backward", norm_silu_sums);
    row("silu", silu);
    row("softmax of 256", softmax);
    return 0;
}
