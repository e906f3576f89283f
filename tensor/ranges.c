/* The lowest free range that fits is cut, so that what lives long gathers at the low end. More
 * comes from the system at the high end, next to what is there if its addresses are free, in huge
 * pages.
 *
 * Why not classes of sizes, as for small blocks: activations and gradients come in many sizes, and
 * blocks kept for one size are lost to the others. In a training step of DDPM's U-Net that was two
 * fifths of what was in use; this way it is a twentieth. */
#include "tensor/ranges.h"
#include "tensor/system.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__) || defined(ITO_POSIX)
#define EACH_ALONE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EACH_ALONE 1
#endif
#endif

/* A sanitizer watches the ends and the life of each block; POSIX has no memory at an address of
 * one's choice. */
#ifdef EACH_ALONE

void *range_take(size_t size, size_t *grown)
{
    *grown = size;
    return aligned_alloc(RANGE_UNIT, size);
}

size_t range_give(void *p, size_t size)
{
    free(p);
    return size;
}

size_t range_trim(void)
{
    return 0;
}

#else

#define HUGE_PAGE ((size_t)2 << 20)
#define ROOM ((size_t)1 << 40) /* addresses, not memory */

/* Lies at its own beginning. */
typedef struct range {
    struct range *next;
    size_t size;
} range;

static range *ranges;
static char *end; /* where more memory would go on from what is there */

static char *round_up(char *p)
{
    return p + (-(uintptr_t)p & (HUGE_PAGE - 1));
}

/* An address with a lot of room above that nobody uses yet. */
static char *find_room(void)
{
    char *p = system_find_room(ROOM);
    return p == NULL ? NULL : round_up(p);
}

/* Memory at `end`, a multiple of a huge page. */
static char *extend(size_t size)
{
    char *p = end == NULL ? NULL : system_map(end, size);
    if (p == end)
        return p;
    if (p != NULL)
        munmap(p, size);
    return NULL;
}

/* Memory anywhere, on a huge page's boundary. */
static char *map_elsewhere(size_t size)
{
    char *p = system_map(NULL, size + HUGE_PAGE);
    if (p == NULL)
        return NULL;
    char *start = round_up(p), *stop = p + size + HUGE_PAGE;
    if (start > p)
        munmap(p, (size_t)(start - p));
    if (stop > start + size)
        munmap(start + size, (size_t)(stop - start - (ptrdiff_t)size));
    return start;
}

/* Free ranges gain one that fits size bytes; what was asked of the system, or 0. */
static size_t grow(size_t size)
{
    range *last = ranges;
    while (last != NULL && last->next != NULL)
        last = last->next;
    size_t there = last != NULL && (char *)last + last->size == end ? last->size : 0;
    size_t more = (size - there + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    if (end == NULL)
        end = find_room();
    char *p = extend(more);
    if (p == NULL) {
        more = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
        p = map_elsewhere(more);
    }
    if (p == NULL)
        return 0;
    system_want_huge_pages(p, more);
    end = p + more;
    range_give(p, more);
    return more;
}

/* Cut size bytes off the first range that has them. */
static void *cut(size_t size)
{
    for (range **at = &ranges; *at != NULL; at = &(*at)->next) {
        range *r = *at;
        if (r->size < size)
            continue;
        if (r->size > size) {
            range *rest = (range *)((char *)r + size);
            *rest = (range){r->next, r->size - size};
            *at = rest;
        } else {
            *at = r->next;
        }
        return r;
    }
    return NULL;
}

void *range_take(size_t size, size_t *grown)
{
    *grown = 0;
    void *p = cut(size);
    if (p == NULL && (*grown = grow(size)) > 0)
        p = cut(size);
    return p;
}

size_t range_give(void *p, size_t size)
{
    range *before = NULL, *after = ranges, *r = p;
    while (after != NULL && (char *)after < (char *)p) {
        before = after;
        after = after->next;
    }
    *r = (range){after, size};
    if (after != NULL && (char *)p + size == (char *)after)
        *r = (range){after->next, size + after->size};
    if (before == NULL)
        ranges = r;
    else if ((char *)before + before->size == (char *)p)
        *before = (range){r->next, before->size + r->size};
    else
        before->next = r;
    return 0;
}

size_t range_trim(void)
{
    size_t freed = 0;
    while (ranges != NULL) {
        range r = *ranges;
        if ((char *)ranges + r.size == end)
            end = (char *)ranges;
        munmap(ranges, r.size);
        freed += r.size;
        ranges = r.next;
    }
    return freed;
}

#endif
