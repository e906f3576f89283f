/* The system is asked once how large the second-level cache is. See cache.h. */
#include "tensor/gemm/cache.h"

#include <pthread.h>
#include <unistd.h>

enum { LEAST = 512 << 10, MOST = 4 << 20 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int64_t bytes;

static void ask(void)
{
    bytes = LEAST;
#if defined(_SC_LEVEL2_CACHE_SIZE)
    int64_t said = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (said > LEAST)
        bytes = said < MOST ? said : MOST;
#endif
}

int64_t cache_bytes(void)
{
    pthread_once(&once, ask);
    return bytes;
}
