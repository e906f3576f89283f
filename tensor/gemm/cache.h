/* How large the cache is that a thread has for itself. Speed depends on it, bits never do. */
#ifndef ITO_GEMM_CACHE_H
#define ITO_GEMM_CACHE_H

#include <stdint.h>

/* Bytes of the second-level cache, asked once; a guess within [512 KiB, 4 MiB] where the system
 * does not say or says something else. */
int64_t cache_bytes(void);

#endif
