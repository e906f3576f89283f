/* zlib with this library's allocator, so that its memory is counted, limited and made to fail in
 * tests like any other. Not installed. */
#ifndef ITO_IO_ZSTREAM_H
#define ITO_IO_ZSTREAM_H

#include "tensor/internal.h"

#include <zlib.h>

static inline void *zstream_alloc(void *unused, unsigned items, unsigned size)
{
    (void)unused;
    int64_t bytes = checked_mul(items, size);
    return bytes < 0 ? NULL : mem_alloc((size_t)bytes);
}

static inline void zstream_free(void *unused, void *p)
{
    (void)unused;
    mem_free(p);
}

/* A z_stream to be given to inflateInit2 or deflateInit. */
#define ZSTREAM_INIT ((z_stream){.zalloc = zstream_alloc, .zfree = zstream_free})

#endif
