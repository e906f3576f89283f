/* Threads and instruction sets: read once, at the first use. */
#include "tensor/internal.h"
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/tiles.h"
#include "tensor/system.h"
#include "tensor/threads.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* ---- threads -----------------------------------------------------------------------------------
 */

static _Atomic int thread_count; /* 0: not asked yet */

ito_status ito_set_threads(int n)
{
    if (n < 1 || n > 1024)
        return ito_error_set(ITO_ERR_RANGE, "set_threads: %d threads; there can be 1 to 1024", n);
    thread_count = n;
    return ITO_OK;
}

int ito_threads(void)
{
    if (thread_count == 0) {
        int n = threads_at_start();
        thread_count = n < 1 ? 1 : n > 1024 ? 1024 : n;
    }
    return thread_count < THREADS_MOST ? thread_count : THREADS_MOST;
}

int ito_threads_limit(void)
{
    return THREADS_MOST;
}

int threads_for(int64_t work)
{
    enum { GRAIN = 1 << 15 }; /* below about 30 microseconds a team costs more than it brings */
    if (work < 2 * GRAIN || in_parallel())
        return 1;
    int64_t n = work / GRAIN;
    return n < ito_threads() ? (int)n : ito_threads();
}

/* ---- instruction sets --------------------------------------------------------------------------
 */

#define DECLARE(isa)                                                                               \
    extern const kernel_table kernel_table_##isa##_f32, kernel_table_##isa##_f64,                  \
        kernel_table_##isa##_bf16;
DECLARE(base)
#if defined(__x86_64__)
DECLARE(avx2)
#ifndef ITO_AMALGAMATED
DECLARE(avx512)
DECLARE(avx512bf16)
#endif
#elif defined(__aarch64__) && !defined(ITO_AMALGAMATED)
DECLARE(neon)
DECLARE(neonbf16)
#endif

typedef struct isa_choice {
    const char *name;
    const kernel_table *f32, *f64, *bf16;
    const tile_kernels *tiles; /* or NULL */
} isa_choice;

#define CHOICE(name, isa, tiles)                                                                   \
    {                                                                                              \
        name, &kernel_table_##isa##_f32, &kernel_table_##isa##_f64, &kernel_table_##isa##_bf16,    \
            tiles                                                                                  \
    }

/* From the least to the best; those of this architecture. */
static const isa_choice isas[] = {
    CHOICE("base", base, NULL),
#if defined(__x86_64__)
    CHOICE("avx2", avx2, NULL),
#ifndef ITO_AMALGAMATED
    CHOICE("avx512", avx512, NULL),
    CHOICE("avx512bf16", avx512bf16, NULL),
    CHOICE("amx", avx512bf16, &tile_kernels_amx),
#endif
#elif defined(__aarch64__) && !defined(ITO_AMALGAMATED)
    CHOICE("neon", neon, NULL),
    CHOICE("neonbf16", neonbf16, NULL),
#endif
};
enum { ISAS = sizeof isas / sizeof *isas, AVX512BF16 = 3, AMX = 4, NEONBF16 = 2 };

#if defined(__x86_64__) && defined(ITO_AMALGAMATED)
#define ISA_NAMES "base, avx2, amx-emulated"
#elif defined(__x86_64__)
#define ISA_NAMES "base, avx2, avx512, avx512bf16, amx, amx-emulated"
#elif defined(__aarch64__) && !defined(ITO_AMALGAMATED)
#define ISA_NAMES "base, neon, neonbf16, amx-emulated"
#else
#define ISA_NAMES "base, amx-emulated"
#endif

#if defined(__x86_64__)
/* Tiles have state that the kernel saves for processes which ask for it, once for all threads. It
 * refuses where the processor or the kernel lacks them, or where a signal stack is too small. */
static bool tiles_permitted(void)
{
    enum { EDX_AMX_BF16 = 1 << 22, EDX_AMX_TILE = 1 << 24, BOTH = EDX_AMX_BF16 | EDX_AMX_TILE };
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & BOTH) == BOTH &&
           system_permits_tiles();
}

static bool processor_has(int isa)
{
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    bool bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
    return isa == 0 || (isa == 1 && avx2) || (isa == 2 && avx512) || (isa == AVX512BF16 && bf16) ||
           (isa == AMX && bf16 && tiles_permitted());
}
#elif defined(__aarch64__)
static bool processor_has(int isa) /* every one has NEON */
{
    return isa < NEONBF16 || system_has_bf16();
}
#else
static bool processor_has(int isa)
{
    return isa == 0;
}
#endif

/* That of an ISA in use: the best without tiles, with those in plain C. */
static isa_choice emulated = {.name = "amx-emulated", .tiles = &tile_kernels_emulated};

static const isa_choice *chosen;
static enum { ISA_FINE, ISA_UNKNOWN, ISA_LACKING } isa_verdict;
static pthread_once_t isa_once = PTHREAD_ONCE_INIT;

/* The one of this name, or NULL. */
static const isa_choice *find_isa(const char *name)
{
    for (int i = 0; i < ISAS; i++)
        if (strcmp(name, isas[i].name) == 0)
            return &isas[i];
    return strcmp(name, emulated.name) == 0 ? &emulated : NULL;
}

const char *isa_name(int i)
{
    return i < ISAS ? isas[i].name : i == ISAS ? emulated.name : NULL;
}

static bool can_use(const isa_choice *isa)
{
    return isa == &emulated || processor_has((int)(isa - isas));
}

static void choose_isa(void)
{
    const char *name = getenv("ITO_ISA");
    int best = 0;
    for (int i = 0; i < ISAS; i++) {
        best = processor_has(i) ? i : best;
        if (best == i && i < AMX) {
            emulated.f32 = isas[i].f32;
            emulated.f64 = isas[i].f64;
            emulated.bf16 = isas[i].bf16;
        }
    }
    chosen = &isas[best];
    if (name == NULL || *name == '\0')
        return;
    const isa_choice *wanted = find_isa(name);
    isa_verdict = wanted == NULL ? ISA_UNKNOWN : can_use(wanted) ? ISA_FINE : ISA_LACKING;
    chosen = isa_verdict == ISA_FINE ? wanted : chosen;
}

bool isa_use(const char *name)
{
    pthread_once(&isa_once, choose_isa);
    const isa_choice *wanted = find_isa(name);
    if (wanted == NULL || !can_use(wanted))
        return false;
    chosen = wanted;
    return true;
}

const kernel_table *kernels(ito_dtype dtype)
{
    pthread_once(&isa_once, choose_isa);
    return dtype == ITO_F64 ? chosen->f64 : dtype == ITO_BF16 ? chosen->bf16 : chosen->f32;
}

/* Dot products of pairs of bf16 are twice as fast as multiply-adds of f32 on Zen 4 and later and on
 * Arm's processors, and half as fast on Intel's. A table, no measurement: bits depend on it. */
bool pairs_are_fast(void)
{
    pthread_once(&isa_once, choose_isa);
#if defined(__x86_64__) && !defined(ITO_AMALGAMATED)
    return chosen->f32 == &kernel_table_avx512bf16_f32 && __builtin_cpu_is("amd");
#elif defined(__aarch64__) && !defined(ITO_AMALGAMATED)
    return chosen->f32 == &kernel_table_neonbf16_f32;
#else
    return false;
#endif
}

const tile_kernels *tiles_in_use(void)
{
    pthread_once(&isa_once, choose_isa);
    return chosen->tiles;
}

const tile_kernels *tiles_or_emulated(void)
{
    const tile_kernels *tiles = tiles_in_use();
    return tiles != NULL ? tiles : &tile_kernels_emulated;
}

bool ito_multiplies_bf16(void)
{
    return tiles_in_use() != NULL || pairs_are_fast();
}

const char *ito_isa(void)
{
    pthread_once(&isa_once, choose_isa);
    return chosen->name;
}

ito_status ito_isa_check(void)
{
    pthread_once(&isa_once, choose_isa);
    if (isa_verdict == ISA_UNKNOWN)
        return ito_error_set(ITO_ERR_ARGUMENT, "ITO_ISA: \"%s\" is none of %s", getenv("ITO_ISA"),
                             ISA_NAMES);
    if (isa_verdict == ISA_LACKING)
        return ito_error_set(
            ITO_ERR_ARGUMENT, "ITO_ISA: this processor lacks %s%s; the best it has is %s",
            getenv("ITO_ISA"),
            strcmp(getenv("ITO_ISA"), "amx") == 0 ? ", or the system forbids it" : "",
            chosen->name);
    return ITO_OK;
}
