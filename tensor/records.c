/* Small records: tensors, nodes and what else an operation makes and drops.
 *
 * Each thread keeps those that it freed, by size, and takes them again without a lock: a small
 * operation makes three of them. The C library's calloc keeps none for a thread, and its malloc too
 * few for a graph.
 *
 * Invariant: a record belongs to no thread, so any may free it; a thread that ends keeps nothing.
 */
#include "tensor/internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE = 64,      /* sizes are multiples of it */
    CLASSES = 17,   /* larger ones are not kept */
    KEPT = 1 << 20, /* bytes that a thread keeps at most */
};

typedef struct record {
    struct record *next;
} record;

static _Thread_local struct {
    record *free[CLASSES];
    size_t kept;
    enum { UNUSED, OPEN, CLOSED } state; /* closed: the thread is at its end */
} cache;

static _Atomic int64_t fail_in; /* of the request that is to fail; 0 or less: none is */

void ito_memory_fail_nth(int64_t n)
{
    fail_in = n > 0 ? n : 0;
}

bool memory_request_fails(void)
{
    return atomic_load_explicit(&fail_in, memory_order_relaxed) > 0 &&
           atomic_fetch_sub(&fail_in, 1) == 1;
}

void *struct_alloc(size_t bytes)
{
    void *p = memory_request_fails() ? NULL : calloc(1, bytes > 0 ? bytes : 1);
    return p != NULL ? p : error_null(ITO_ERR_MEMORY, "memory: no %zu bytes for a record", bytes);
}

/* ---- the thread's cache ---- */

static pthread_key_t thread_end;
static pthread_once_t thread_end_once = PTHREAD_ONCE_INIT;

static void close_cache(void *unused)
{
    (void)unused;
    for (int c = 0; c < CLASSES; c++)
        for (record *r = cache.free[c], *next; r != NULL; r = next) {
            next = r->next;
            free(r);
            cache.free[c] = next;
        }
    cache.kept = 0;
    cache.state = CLOSED;
}

/* The main thread runs no key destructors. */
__attribute__((destructor)) static void close_at_exit(void)
{
    close_cache(NULL);
}

static void make_key(void)
{
    pthread_key_create(&thread_end, close_cache);
}

static bool open_cache(void)
{
    if (cache.state == CLOSED)
        return false;
    pthread_once(&thread_end_once, make_key);
    if (pthread_setspecific(thread_end, &cache) == 0)
        cache.state = OPEN;
    return cache.state == OPEN;
}

#if defined(__SANITIZE_ADDRESS__)
#define KEEP_NONE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEEP_NONE 1
#endif
#endif

/* Under the address sanitizer every record goes back, so that it sees a use of one that is freed.
 */
static bool keeps(size_t class)
{
#ifdef KEEP_NONE
    return false;
#else
    return class < CLASSES && cache.kept + class * LINE <= KEPT &&
           (cache.state == OPEN || open_cache());
#endif
}

static size_t class_of(size_t bytes)
{
    return bytes == 0 ? 1 : (bytes + LINE - 1) / LINE;
}

void *record_alloc(size_t bytes)
{
    size_t class = class_of(bytes);
    record *r = NULL;
    if (memory_request_fails()) {
        /* as asked */
    } else if (class < CLASSES && cache.free[class] != NULL) {
        r = cache.free[class];
        cache.free[class] = r->next;
        cache.kept -= class * LINE;
    } else {
        r = malloc(class * LINE);
    }
    if (r == NULL)
        return error_null(ITO_ERR_MEMORY, "memory: no %zu bytes for a record", bytes);
    return memset(r, 0, bytes);
}

void record_free(void *p, size_t bytes)
{
    size_t class = class_of(bytes);
    if (p == NULL || !keeps(class)) {
        free(p);
        return;
    }
    record *r = p;
    r->next = cache.free[class];
    cache.free[class] = r;
    cache.kept += class * LINE;
}
