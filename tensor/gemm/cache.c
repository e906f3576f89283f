/* The system is asked once how large the second-level cache is. See cache.h. */
#include "tensor/gemm/cache.h"
#include "tensor/system.h"

#include <pthread.h>

enum { LEAST = 512 << 10, MOST = 4 << 20 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int64_t bytes;

static void ask(void)
{
    int64_t said = system_cache_bytes();
    bytes = said < LEAST ? LEAST : said < MOST ? said : MOST;
}

int64_t cache_bytes(void)
{
    pthread_once(&once, ask);
    return bytes;
}
