/* The machine and the memory: threads, instruction set, allocator. */
#ifndef ITO_RUNTIME_H
#define ITO_RUNTIME_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * How many threads operations use from now on, in every thread of the program. The default is
 * OMP_NUM_THREADS or the number of processors. Results do not depend on it. At most
 * ito_threads_limit() are used, whatever is asked for.
 * @return ITO_ERR_RANGE unless 1 <= n <= 1024.
 */
ITO_API ito_status ito_set_threads(int n);
/** How many threads operations use now. */
ITO_API int ito_threads(void);
/** The most threads that operations can use: 1024, or 1 where the library was built without OpenMP.
 */
ITO_API int ito_threads_limit(void);

/**
 * The instruction set in use: "base", "avx2", "avx512", "avx512bf16" or "amx"; on AArch64 "base",
 * "neon" or "neonbf16". The best that the processor has is chosen at the first use; the environment
 * variable ITO_ISA asks for a lesser one, or for "amx-emulated": the bits of amx in products of
 * bf16, slowly, on any processor. AMX takes a permission of the system, which is asked for then,
 * once for all threads; without it the next set is used.
 */
ITO_API const char *ito_isa(void);
/**
 * ITO_OK, or ITO_ERR_ARGUMENT if ITO_ISA names an instruction set that does not exist or that this
 * processor lacks (the best one it has is used then). Programs call it first and report.
 */
ITO_API ito_status ito_isa_check(void);

/** Whether matrix products and convolutions with bf16 operands multiply bf16, which rounds f32
 * operands beside them. They do where that is faster than f32: with AMX and with the AVX-512 BF16
 * of AMD. */
ITO_API bool ito_multiplies_bf16(void);

/**
 * Count where the program's time goes, operation by operation, until ito_profile_end: what
 * ITO_PROFILE in the environment does for a whole program. For steps of a training loop say, which
 * it does not slow down measurably. Called outside of operations; threads that run some count from
 * their next one on.
 * @return  false if this is being counted already, by ITO_PROFILE or another begin.
 */
ITO_API bool ito_profile_begin(void);
/** End it. What was counted, as one JSON object of the form that ITO_PROFILE=json prints; freed
 * with free(). Only after an ito_profile_begin that was true. NULL and ITO_ERR_MEMORY. */
ITO_API char *ito_profile_end(void);

/** Bytes of tensor memory in use now. */
ITO_API int64_t ito_memory_current(void);
/** The most bytes that were in use at once since ito_memory_reset_peak. */
ITO_API int64_t ito_memory_peak(void);
/** The peak is what is in use now. */
ITO_API void ito_memory_reset_peak(void);
/** Bytes held: in use, and freed ones kept for the next request. */
ITO_API int64_t ito_memory_held(void);
/** Pages of memory that the process has touched for the first time since the system gave them:
 * hardly any in a training step in its steady state. */
ITO_API int64_t ito_page_faults(void);
/** Blocks in use: 0 when nothing is leaked. */
ITO_API int64_t ito_memory_blocks(void);
/** Refuse what would take memory in use above this many bytes, with ITO_ERR_MEMORY. 0: no limit. */
ITO_API void ito_memory_limit(int64_t bytes);
/** Give the kept blocks back to the system. */
ITO_API void ito_memory_trim(void);
/** For tests: the n-th request from now fails (1: the next). 0: none. */
ITO_API void ito_memory_fail_nth(int64_t n);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_set_threads(...) ITO_AT(ito_set_threads(__VA_ARGS__))
#endif

#endif
