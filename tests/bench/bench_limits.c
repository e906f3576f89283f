/* What the machine can do at most, on one thread and on all: multiply-adds in f32, bf16 by each
 * kind of instruction that the processor has, and memory. ITO_ISA lowers the limits with the
 * library. */
#include "tests/bench/bench_amx.h"
#include "tests/bench/bench_table.h"

#include <sys/wait.h>
#include <unistd.h>

/* vdpbf16ps: in each of 16 lanes two products of bf16, added to a sum in f32. */
#if defined(__x86_64__)
static __attribute__((noinline, target("avx512f,avx512bf16"))) double run_pairs(const void *ones)
{
    __m512 sum[PEAK_CHAINS];
    __m512bh x = (__m512bh)_mm512_set1_epi32(*(const int *)ones);
    for (int i = 0; i < PEAK_CHAINS; i++)
        sum[i] = _mm512_setzero_ps();
    for (int s = 0; s < PEAK_STEPS; s++)
        for (int i = 0; i < PEAK_CHAINS; i++) {
            sum[i] = _mm512_dpbf16_ps(sum[i], x, x);
            __asm__ volatile("" : "+v"(sum[i])); /* no two of them are the same to the compiler */
        }
    return 4.0 * 16 * PEAK_STEPS * PEAK_CHAINS;
}
#else
static double run_pairs(const void *ones)
{
    (void)ones;
    return 0.0;
}
#endif

static double pairs_peak(int threads)
{
    static const int ones = 0x3f803f80;
    return bench_best_rate(threads, run_pairs, &ones);
}

/* Whether ITO_ISA leaves the library these instructions. */
static bool asked_for_less(const char *name)
{
    static const char *const sets[] = {"base", "avx2", "avx512", "avx512bf16"};
    const char *asked = getenv("ITO_ISA");
    for (size_t i = 0; asked != NULL && i < sizeof sets / sizeof *sets; i++) {
        if (strcmp(sets[i], name) == 0)
            return false;
        if (strcmp(sets[i], asked) == 0)
            return true;
    }
    return false;
}

static bool has_pairs(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512bf16") && !asked_for_less("avx512bf16");
#else
    return false;
#endif
}

static double highest(double a, double b, double c)
{
    double d = a > b ? a : b;
    return d > c ? d : c;
}

static limits measured(int threads)
{
    limits l = {.f32 = {bench_peak(1), bench_peak(threads)},
                .memory_one = bench_memory(1),
                .memory = bench_memory(threads)};
    if (has_pairs())
        l.pairs = (rate_pair){pairs_peak(1), pairs_peak(threads)};
    if (!asked_for_less("amx") && bench_amx_permitted()) {
        l.tiles = (rate_pair){bench_amx_peak(1, false), bench_amx_peak(threads, false)};
        l.loaded_tiles = (rate_pair){bench_amx_peak(1, true), bench_amx_peak(threads, true)};
    }
    l.bf16.one = highest(l.f32.one, l.pairs.one, l.tiles.one);
    l.bf16.all = highest(l.f32.all, l.pairs.all, l.tiles.all);
    return l;
}

/* In a child, since a process that has had threads cannot be forked safely. */
bool measure_limits(limits *l, int threads)
{
    int pipe_of[2];
    if (pipe(pipe_of) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        limits found = measured(threads);
        _exit(write(pipe_of[1], &found, sizeof found) != sizeof found);
    }
    close(pipe_of[1]);
    bool done = pid > 0 && read(pipe_of[0], l, sizeof *l) == sizeof *l;
    close(pipe_of[0]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return done;
}

void limit_lines(limit_line line[LIMITS], const limits *l)
{
    const bench_bandwidth *one = &l->memory_one, *all = &l->memory;
    const limit_line lines[LIMITS] = {
        {"f32", "multiply-adds in f32", "GFLOP/s", l->f32},
        {"bf16_pairs", "bf16 by vdpbf16ps", "GFLOP/s", l->pairs},
        {"bf16_tiles", "bf16 by AMX tiles", "GFLOP/s", l->tiles},
        {"bf16_tiles_loaded", "bf16 by AMX tiles, all loaded", "GFLOP/s", l->loaded_tiles},
        {"triad", "memory, triad", "GB/s", {one->triad, all->triad}},
        {"streamed", "memory, triad, stores past caches", "GB/s", {one->streamed, all->streamed}},
        {"in_place", "memory, in place", "GB/s", {one->in_place, all->in_place}},
        {"copy", "memory, copy", "GB/s", {one->copy, all->copy}}};
    memcpy(line, lines, sizeof lines);
}
