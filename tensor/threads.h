/* OpenMP's functions, where it is; without it there is one thread, and its pragmas are comments.
 * Internal. */
#ifndef ITO_TENSOR_THREADS_H
#define ITO_TENSOR_THREADS_H

#include <stdbool.h>

#if defined(_OPENMP)
#include <omp.h>
enum { THREADS_MOST = 1024 };
#else
enum { THREADS_MOST = 1 };
#endif

/* Which of its team the calling thread is: 0 outside of parallel loops. */
static inline int thread_number(void)
{
#if defined(_OPENMP)
    return omp_get_thread_num();
#else
    return 0;
#endif
}

/* Whether the caller is in a parallel loop. */
static inline bool in_parallel(void)
{
#if defined(_OPENMP)
    return omp_in_parallel() != 0;
#else
    return false;
#endif
}

/* OMP_NUM_THREADS, or how many processors there are. */
static inline int threads_at_start(void)
{
#if defined(_OPENMP)
    return omp_get_max_threads();
#else
    return 1;
#endif
}

#endif
