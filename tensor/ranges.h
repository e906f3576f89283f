/* Ranges of memory for big blocks, cut to size: freed neighbours become one again. Internal; the
 * caller (memory.c) holds its lock.
 *
 * Invariant: free ranges are listed in the order of their addresses, and no two of them touch.
 */
#ifndef ITO_RANGES_H
#define ITO_RANGES_H

#include <stddef.h>

enum { RANGE_UNIT = 4096 };

/* size bytes, a multiple of RANGE_UNIT, on a page's boundary; NULL if the system has none. *grown
 * gets what had to be asked of the system for it. */
void *range_take(size_t size, size_t *grown);
/* Returns how much of it went back to the system at once. */
size_t range_give(void *p, size_t size);
/* Give free ranges back to the system; their bytes. */
size_t range_trim(void);

#endif
