/* The caching allocator: 64-byte aligned blocks, kept when freed so that a training step in steady
 * state asks the system for nothing and touches no fresh page.
 *
 * Small blocks come in size classes at most 1/8 apart, each with its list of free ones. Large ones
 * are cut to size from ranges that become one again (ranges.c); they lie on huge pages where the
 * system has them.
 *
 * Invariant: every block is preceded by its header; current bytes count what is in use, small
 * blocks by class, large ones by the line of 64 bytes.
 */
#include "tensor/internal.h"
#include "tensor/ranges.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { ALIGNMENT = 64, CLASS_SHIFT = 3, LARGE = 1 << 18, CLASSES = 128, NO_CLASS = -1 };

typedef struct block {
    struct block *next; /* in the free list of its class */
    size_t size;        /* of the payload: the size of its class, or what was asked for */
    int class;          /* NO_CLASS: a large one */
} block;
_Static_assert(sizeof(block) + MEM_HEAD <= ALIGNMENT,
               "the header and the user's part of it fit in front of an aligned payload");

static struct {
    pthread_mutex_t lock;
    block *free[CLASSES];
    int64_t current, peak, held, blocks, limit;
} heap = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The class of a size and the size it stands for: eight steps from a power of two to the next. */
static int size_class(size_t bytes, size_t *size)
{
    size_t units = (bytes + ALIGNMENT - 1) / ALIGNMENT;
    if (units < (1u << CLASS_SHIFT)) {
        units = units == 0 ? 1 : units;
        *size = units * ALIGNMENT;
        return (int)units;
    }
    int shift = 63 - __builtin_clzll(units) - CLASS_SHIFT;
    size_t step = (size_t)1 << shift;
    units = (units + step - 1) & ~(step - 1);
    shift = 63 - __builtin_clzll(units) - CLASS_SHIFT; /* rounding up may reach the next power */
    *size = units * ALIGNMENT;
    return ((shift + 1) << CLASS_SHIFT) + (int)((units >> shift) & ((1u << CLASS_SHIFT) - 1));
}

/* What a large block takes, header included. */
static size_t range_size(size_t size)
{
    return (size + ALIGNMENT + RANGE_UNIT - 1) / RANGE_UNIT * RANGE_UNIT;
}

/* A block that was not in use, of the kept ones or from the system. */
static block *find_block(int class, size_t size)
{
    size_t grown = size;
    block *b;
    if (class == NO_CLASS) {
        b = range_take(range_size(size), &grown);
    } else if (heap.free[class] != NULL) {
        b = heap.free[class];
        heap.free[class] = b->next;
        grown = 0;
    } else {
        b = aligned_alloc(ALIGNMENT, size + ALIGNMENT);
    }
    if (b != NULL)
        heap.held += (int64_t)grown;
    return b;
}

/* Whether a request of size bytes is to be refused; the lock is held. */
static bool refuses(size_t size)
{
    return memory_request_fails() ||
           (heap.limit > 0 &&
            (size > (size_t)heap.limit || heap.current > heap.limit - (int64_t)size));
}

static void trim(void)
{
    for (int c = 0; c < CLASSES; c++)
        for (block *b = heap.free[c], *next; b != NULL; b = next) {
            next = b->next;
            heap.held -= (int64_t)b->size;
            free(b);
            heap.free[c] = next;
        }
    heap.held -= (int64_t)range_trim();
}

void *mem_alloc(size_t bytes)
{
    if (bytes > (size_t)1 << 46)
        return error_null(ITO_ERR_MEMORY, "memory: %zu bytes asked for at once", bytes);
    size_t size = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    int class = size < LARGE ? size_class(bytes, &size) : NO_CLASS;
    pthread_mutex_lock(&heap.lock);
    block *b = NULL;
    if (!refuses(size)) {
        b = find_block(class, size);
        if (b == NULL) {
            trim();
            b = find_block(class, size);
        }
    }
    int64_t current = heap.current, limit = heap.limit;
    if (b != NULL) {
        b->size = size;
        b->class = class;
        heap.blocks++;
        heap.current += (int64_t)size;
        heap.peak = heap.current > heap.peak ? heap.current : heap.peak;
    }
    pthread_mutex_unlock(&heap.lock);
    if (b == NULL && limit > 0)
        return error_null(ITO_ERR_MEMORY,
                          "memory: %zu bytes more than the %" PRId64
                          " in use are refused (limit %" PRId64 ")",
                          size, current, limit);
    if (b == NULL)
        return error_null(ITO_ERR_MEMORY, "memory: no %zu bytes more than the %" PRId64 " in use",
                          size, current);
    return (char *)b + ALIGNMENT;
}

void mem_free(void *p)
{
    if (p == NULL)
        return;
    block *b = (block *)((char *)p - ALIGNMENT);
    pthread_mutex_lock(&heap.lock);
    heap.blocks--;
    heap.current -= (int64_t)b->size;
    if (b->class == NO_CLASS) {
        heap.held -= (int64_t)range_give(b, range_size(b->size));
    } else {
        b->next = heap.free[b->class];
        heap.free[b->class] = b;
    }
    pthread_mutex_unlock(&heap.lock);
}

static int64_t read_counter(const int64_t *counter)
{
    pthread_mutex_lock(&heap.lock);
    int64_t value = *counter;
    pthread_mutex_unlock(&heap.lock);
    return value;
}

int64_t ito_memory_current(void)
{
    return read_counter(&heap.current);
}

int64_t ito_memory_peak(void)
{
    return read_counter(&heap.peak);
}

int64_t ito_memory_held(void)
{
    return read_counter(&heap.held);
}

int64_t ito_memory_blocks(void)
{
    return read_counter(&heap.blocks);
}

int64_t ito_page_faults(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_minflt : 0;
}

void ito_memory_reset_peak(void)
{
    pthread_mutex_lock(&heap.lock);
    heap.peak = heap.current;
    pthread_mutex_unlock(&heap.lock);
}

void ito_memory_limit(int64_t bytes)
{
    pthread_mutex_lock(&heap.lock);
    heap.limit = bytes > 0 ? bytes : 0;
    pthread_mutex_unlock(&heap.lock);
}

void ito_memory_trim(void)
{
    pthread_mutex_lock(&heap.lock);
    trim();
    pthread_mutex_unlock(&heap.lock);
}

/* Kept blocks are no leak: give them back before a leak checker looks. */
__attribute__((destructor)) static void trim_at_exit(void)
{
    trim();
}
