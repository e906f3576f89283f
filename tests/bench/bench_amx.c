/* The only file that is compiled with AMX's instructions; nothing of it runs where they are not
 * permitted, as they never are if the compiler does not know them. */
#include "tests/bench/bench_amx.h"

#include "tests/bench/bench_peak.h"

#if (defined(__AMX_BF16__) || defined(__AMXBF16__)) && defined(__linux__) /* GCC, Clang 14 */
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

bool bench_amx_permitted(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM, XTILEDATA */
    const unsigned wanted = 1u << 22 | 1u << 24;          /* AMX-BF16, AMX-TILE */
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & wanted) == wanted &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

enum {
    ROW = 64,
    TILE = 16 * ROW,
    STEPS = 20000,                  /* of four products */
    OPERANDS = 32,                  /* sets of four tiles: 128 KiB, more than a first-level cache */
    FLOP = STEPS * 4 * 16 * 16 * 64 /* 2 M N K of each */
};

/* As ldtilecfg reads it: eight tiles of 16 rows of 64 bytes. */
static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} configuration = {.palette = 1,
                   .row_bytes = {ROW, ROW, ROW, ROW, ROW, ROW, ROW, ROW},
                   .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

/* Sums of two by two tiles, in tiles 0 to 3. */
static inline void multiply(void)
{
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
}

static inline void load(const char *operands)
{
    _tile_loadd(4, operands, ROW);
    _tile_loadd(5, operands + TILE, ROW);
    _tile_loadd(6, operands + 2 * TILE, ROW);
    _tile_loadd(7, operands + 3 * TILE, ROW);
}

typedef struct tile_work {
    const char *operands; /* of each thread */
    bool loads;
} tile_work;

static double run(const void *argument)
{
    const tile_work *w = argument;
    const char *operands = w->operands + (size_t)omp_get_thread_num() * OPERANDS * 4 * TILE;
    _tile_loadconfig(&configuration);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    load(operands);
    for (int i = 0; i < STEPS; i++) {
        if (w->loads)
            load(operands + (size_t)(i % OPERANDS) * 4 * TILE);
        multiply();
    }
    _tile_release();
    return FLOP;
}

double bench_amx_peak(int threads, bool loads)
{
    const size_t bytes = (size_t)threads * OPERANDS * 4 * TILE;
    char *operands = aligned_alloc(64, bytes);
    if (operands == NULL)
        return 0.0;
    memset(operands, 0x3c, bytes); /* small numbers */
    tile_work w = {operands, loads};
    double best = bench_best_rate(threads, run, &w);
    free(operands);
    return best;
}
#else
bool bench_amx_permitted(void)
{
    return false;
}

double bench_amx_peak(int threads, bool loads)
{
    (void)threads, (void)loads;
    return 0.0;
}
#endif
