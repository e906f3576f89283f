/* Threads and instruction sets: read once, at the first use. */
#include "tensor/internal.h"
#include "tensor/kernels/kernels.h"

#include <omp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

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
        int n = omp_get_max_threads();
        thread_count = n < 1 ? 1 : n > 1024 ? 1024 : n;
    }
    return thread_count;
}

int threads_for(int64_t work)
{
    enum { GRAIN = 1 << 15 }; /* below about 30 microseconds a team costs more than it brings */
    if (work < 2 * GRAIN || omp_in_parallel())
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
DECLARE(avx512)
DECLARE(avx512bf16)
#endif

typedef struct isa_choice {
    const char *name;
    const kernel_table *f32, *f64, *bf16;
} isa_choice;

#define CHOICE(isa)                                                                                \
    {                                                                                              \
#isa, &kernel_table_##isa##_f32, &kernel_table_##isa##_f64, &kernel_table_##isa##_bf16     \
    }

/* From the least to the best. */
static const isa_choice isas[] = {
    CHOICE(base),
#if defined(__x86_64__)
    CHOICE(avx2),
    CHOICE(avx512),
    CHOICE(avx512bf16),
#endif
};
enum { ISAS = sizeof isas / sizeof *isas };

static bool processor_has(int isa)
{
#if defined(__x86_64__)
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return isa == 0 || (isa == 1 && avx2) || (isa == 2 && avx512) ||
           (isa == 3 && avx512 && __builtin_cpu_supports("avx512bf16"));
#else
    return isa == 0;
#endif
}

static const isa_choice *chosen;
static enum { ISA_FINE, ISA_UNKNOWN, ISA_LACKING } isa_verdict;
static pthread_once_t isa_once = PTHREAD_ONCE_INIT;

static void choose_isa(void)
{
    const char *wanted = getenv("ITO_ISA");
    int best = 0, found = -1;
    for (int i = 0; i < ISAS; i++) {
        best = processor_has(i) ? i : best;
        found = wanted != NULL && strcmp(wanted, isas[i].name) == 0 ? i : found;
    }
    if (wanted != NULL && *wanted != '\0')
        isa_verdict = found < 0 ? ISA_UNKNOWN : processor_has(found) ? ISA_FINE : ISA_LACKING;
    chosen = &isas[found >= 0 && isa_verdict == ISA_FINE ? found : best];
}

bool isa_use(const char *name)
{
    pthread_once(&isa_once, choose_isa);
    for (int i = 0; i < ISAS; i++)
        if (strcmp(name, isas[i].name) == 0 && processor_has(i)) {
            chosen = &isas[i];
            return true;
        }
    return false;
}

const kernel_table *kernels(ito_dtype dtype)
{
    pthread_once(&isa_once, choose_isa);
    return dtype == ITO_F64 ? chosen->f64 : dtype == ITO_BF16 ? chosen->bf16 : chosen->f32;
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
        return ito_error_set(ITO_ERR_ARGUMENT,
                             "ITO_ISA: \"%s\" is none of base, avx2, avx512, avx512bf16",
                             getenv("ITO_ISA"));
    if (isa_verdict == ISA_LACKING)
        return ito_error_set(ITO_ERR_ARGUMENT,
                             "ITO_ISA: this processor lacks %s; the best it has is %s",
                             getenv("ITO_ISA"), chosen->name);
    return ITO_OK;
}
