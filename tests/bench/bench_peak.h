/* What the benchmarks share: the clock, the median, the options, and what the machine can do at
 * most, measured in the same run: multiply-adds in the instruction set in use, and memory.
 */
#ifndef ITO_BENCH_PEAK_H
#define ITO_BENCH_PEAK_H

#include "tensor/runtime.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define BENCH_FN static inline __attribute__((unused))

BENCH_FN double bench_now(void) /* seconds */
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

BENCH_FN double bench_thread_clock(void) /* seconds of this thread on a core */
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

BENCH_FN int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- the peak: independent chains of multiply-adds on registers ----------------------------- */

enum { PEAK_CHAINS = 12, PEAK_STEPS = 200000 };

/* Multiplies by 1 and adds 0 from a volatile, so that nothing can be folded away. */
#define PEAK_BODY(vec_type, set1, fma, isa)                                                        \
    static __attribute__((unused, noinline, target(isa))) double peak_flops_##vec_type(            \
        volatile const float *one)                                                                 \
    {                                                                                              \
        vec_type acc[PEAK_CHAINS], x = set1(one[0]), y = set1(one[1]);                             \
        for (int i = 0; i < PEAK_CHAINS; i++)                                                      \
            acc[i] = set1(one[1]);                                                                 \
        for (int s = 0; s < PEAK_STEPS; s++)                                                       \
            for (int i = 0; i < PEAK_CHAINS; i++)                                                  \
                acc[i] = fma(x, acc[i], y);                                                        \
        float sum[PEAK_CHAINS * sizeof(vec_type) / sizeof(float)];                                 \
        memcpy(sum, acc, sizeof sum);                                                              \
        volatile float sink = 0.0f;                                                                \
        for (size_t i = 0; i < sizeof sum / sizeof *sum; i++)                                      \
            sink = sink + sum[i];                                                                  \
        return 2.0 * PEAK_STEPS * PEAK_CHAINS * sizeof(vec_type) / sizeof(float);                  \
    }
#if defined(__x86_64__)
#define PEAK_MUL_ADD(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
PEAK_BODY(__m128, _mm_set1_ps, PEAK_MUL_ADD, "sse2")
PEAK_BODY(__m256, _mm256_set1_ps, _mm256_fmadd_ps, "avx2,fma")
PEAK_BODY(__m512, _mm512_set1_ps, _mm512_fmadd_ps, "avx512f")
#endif

BENCH_FN double peak_flops(volatile const float *one)
{
#if defined(__x86_64__)
    bool amx = strncmp(ito_isa(), "amx", 3) == 0; /* which may be emulated, on any processor */
    if (strncmp(ito_isa(), "avx512", 6) == 0 || (amx && __builtin_cpu_supports("avx512f")))
        return peak_flops___m512(one);
    if (strcmp(ito_isa(), "avx2") == 0 || (amx && __builtin_cpu_supports("avx2")))
        return peak_flops___m256(one);
    return peak_flops___m128(one);
#else
    (void)one;
    return 0.0; /* not known: shares come out as 0 */
#endif
}

/* GFLOP/s of work on registers by `threads` threads: the best try of a tenth of a second, since
 * this is a limit. Each thread's rate is over its own time on a core, so that what else runs takes
 * nothing from it. */
BENCH_FN double bench_best_rate(int threads, double (*work)(const void *), const void *argument)
{
    double best = 0.0, end = bench_now() + 0.1;
    while (bench_now() < end) {
        double rate = 0.0;
#pragma omp parallel num_threads(threads) reduction(+ : rate)
        {
            double start = bench_thread_clock(), flops = work(argument);
            rate += 1e-9 * flops / (bench_thread_clock() - start);
        }
        best = rate > best ? rate : best;
    }
    return best;
}

BENCH_FN double peak_work(const void *one)
{
    return peak_flops(one);
}

/* Of multiply-adds in f32. */
BENCH_FN double bench_peak(int threads)
{
    static const float constants[2] = {1.0f, 0.0f};
    return bench_best_rate(threads, peak_work, constants);
}

/* ---- memory: arrays that no cache holds ----------------------------------------------------- */

typedef struct bench_bandwidth {
    double triad, streamed, in_place, copy; /* GB/s; streamed: the triad, stores past the caches */
    double best;
} bench_bandwidth;

enum { STREAM_LENGTH = 1 << 24 };

/* a = b + 3 c, as STREAM has it; each counts what it reads and writes: 12 bytes an element. */
BENCH_FN void bench_triad(float *a, const float *b, const float *c, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        a[i] = b[i] + 3.0f * c[i];
}

BENCH_FN void bench_triad_streamed(float *a, const float *b, const float *c, int64_t n)
{
#if defined(__x86_64__)
    const __m128 three = _mm_set1_ps(3.0f);
    for (int64_t i = 0; i < n; i += 4)
        _mm_stream_ps(a + i,
                      _mm_add_ps(_mm_loadu_ps(b + i), _mm_mul_ps(three, _mm_loadu_ps(c + i))));
    _mm_sfence();
#else
    bench_triad(a, b, c, n);
#endif
}

BENCH_FN void bench_scale(float *a, const float *b, const float *c, int64_t n)
{
    (void)b, (void)c;
    for (int64_t i = 0; i < n; i++)
        a[i] *= 1.0001f;
}

BENCH_FN void bench_copy(float *a, const float *b, const float *c, int64_t n)
{
    (void)c;
    memcpy(a, b, (size_t)n * sizeof *a);
}

/* The best of several passes of kernel, in GB/s. */
BENCH_FN double bench_stream(void (*kernel)(float *, const float *, const float *, int64_t),
                             float *a, const float *b, const float *c, int threads, double bytes)
{
    double best = 0.0;
    const int64_t part = STREAM_LENGTH / threads / 16 * 16;
    for (int attempt = 0; attempt < 12; attempt++) {
        double start = bench_now();
#pragma omp parallel for num_threads(threads) schedule(static)
        for (int t = 0; t < threads; t++)
            kernel(a + t * part, b + t * part, c + t * part, part);
        double rate = 1e-9 * bytes * (double)(part * threads) / (bench_now() - start);
        best = rate > best ? rate : best;
    }
    return best;
}

/* All 0 if there is no memory for it. */
BENCH_FN bench_bandwidth bench_memory(int threads)
{
    bench_bandwidth r = {0};
    const size_t bytes = (size_t)STREAM_LENGTH * sizeof(float);
    float *a = aligned_alloc(64, bytes), *b = aligned_alloc(64, bytes),
          *c = aligned_alloc(64, bytes);
    if (a != NULL && b != NULL && c != NULL) {
        memset(a, 0, bytes);
        memset(b, 0, bytes);
        memset(c, 0, bytes);
        r.triad = bench_stream(bench_triad, a, b, c, threads, 12);
        r.streamed = bench_stream(bench_triad_streamed, a, b, c, threads, 12);
        r.in_place = bench_stream(bench_scale, a, b, c, threads, 8);
        r.copy = bench_stream(bench_copy, a, b, c, threads, 8);
    }
    r.best = r.triad > r.streamed ? r.triad : r.streamed;
    r.best = r.best > r.in_place ? r.best : r.in_place;
    r.best = r.best > r.copy ? r.best : r.copy;
    free(a);
    free(b);
    free(c);
    return r;
}

/* ---- rows ----------------------------------------------------------------------------------- */

typedef struct bench_options {
    bool json;
    int threads;
    double peak; /* GFLOP/s */
} bench_options;

/* [--json] [--threads N]; ends the program on anything else. */
BENCH_FN bench_options bench_start(int argc, char **argv)
{
    bench_options o = {.threads = ito_threads()};
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--json") == 0) {
            o.json = true;
        } else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc && atoi(argv[i + 1]) > 0) {
            o.threads = atoi(argv[++i]);
        } else {
            fprintf(stderr, "usage: %s [--json] [--threads N]\n", argv[0]);
            exit(2);
        }
    if (ito_set_threads(o.threads) != ITO_OK || ito_isa_check() != ITO_OK) {
        fprintf(stderr, "%s: %s\n", argv[0], ito_error());
        exit(1);
    }
    o.peak = bench_peak(o.threads);
    if (!o.json) {
        printf("%s, %d threads, peak %.1f GFLOP/s in f32\n", ito_isa(), o.threads, o.peak);
        printf("%-44s %10s %9s %7s %7s\n", "work", "ms", "GFLOP/s", "share", "spread");
    }
    return o;
}

/* Times work(argument) until it has run for a quarter of a second or so and prints the median, the
 * rate, the share of the peak and the spread (from the first to the third quarter of the runs). */
BENCH_FN void bench_row(const bench_options *o, const char *name, double flops, double peak,
                        void (*work)(void *), void *argument)
{
    enum { MOST = 200 };
    double seconds[MOST], total = 0.0;
    int runs = 0;
    work(argument); /* fills caches and the allocator */
    while (runs < 5 || (runs < MOST && total < 0.25)) {
        double start = bench_now();
        work(argument);
        seconds[runs] = bench_now() - start;
        total += seconds[runs++];
    }
    qsort(seconds, (size_t)runs, sizeof *seconds, bench_compare);
    double median = seconds[runs / 2], rate = 1e-9 * flops / median;
    double spread = (seconds[runs * 3 / 4] - seconds[runs / 4]) / median;
    double share = peak > 0.0 ? rate / peak : 0.0;
    if (o->json)
        printf("{\"work\": \"%s\", \"threads\": %d, \"isa\": \"%s\", \"ms\": %.4f, \"gflops\": "
               "%.1f, \"share_of_peak\": %.3f, \"spread\": %.3f}\n",
               name, o->threads, ito_isa(), 1e3 * median, rate, share, spread);
    else
        printf("%-44s %10.3f %9.1f %6.1f%% %6.1f%%\n", name, 1e3 * median, rate, 100.0 * share,
               100.0 * spread);
    fflush(stdout);
}

#endif
