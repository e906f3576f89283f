/* Non-temporal stores: copies that go past the caches. A store that does not first read what it
 * overwrites saves a third of the traffic. It pays for results that are larger than the third-level
 * cache; of smaller ones, whoever reads them next would lose more than that. Internal. */
#ifndef ITO_NONTEMPORAL_H
#define ITO_NONTEMPORAL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* Whether a result of so many bytes, made from as many, is worth it: 32 MiB of third-level cache
 * are the most that is common. */
static inline bool nontemporal_pays(int64_t bytes)
{
    return bytes >= (int64_t)24 << 20;
}

/* memcpy past the caches. Other threads may read the copy after nontemporal_end. */
static inline void nontemporal_copy(void *to, const void *from, int64_t bytes)
{
    enum { STEP = 16 };
    int64_t at = -(int64_t)(uintptr_t)to & (STEP - 1);
    at = at < bytes ? at : bytes;
    memcpy(to, from, (size_t)at);
#if defined(__SSE2__)
    for (; at + STEP <= bytes; at += STEP)
        _mm_stream_si128((__m128i *)(void *)((char *)to + at),
                         _mm_loadu_si128((const __m128i *)(const void *)((const char *)from + at)));
#endif
    memcpy((char *)to + at, (const char *)from + at, (size_t)(bytes - at));
}

/* In each thread, after its copies. */
static inline void nontemporal_end(void)
{
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

#endif
