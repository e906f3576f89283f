/* The allocator: alignment, counters, reuse, limit, failure on request. */
#include "tensor/internal.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define UNDER_ADDRESS_SANITIZER
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define UNDER_ADDRESS_SANITIZER
#endif

Test(memory, blocks_are_aligned_and_hold_what_was_asked_for)
{
    for (size_t size = 0; size < 5000000; size = size * 3 + 1) {
        char *p = mem_alloc(size);
        cr_assert_not_null(p);
        cr_assert_eq((uintptr_t)p % 64, 0, "%zu bytes", size);
        memset(p, 7, size);
        mem_free(p);
    }
    cr_assert_eq(ito_memory_blocks(), 0);
    cr_assert_eq(ito_memory_current(), 0);
}

Test(memory, a_freed_block_is_used_again)
{
    void *a = mem_alloc(100000);
    int64_t held = ito_memory_held();
    mem_free(a);
    void *b = mem_alloc(100000);
    cr_assert_eq(a, b);
    cr_assert_eq(ito_memory_held(), held);
    mem_free(b);
}

Test(memory, waste_is_at_most_an_eighth_beyond_one_line)
{
    for (size_t size = 1; size < 3000000; size = size * 5 / 4 + 1) {
        void *p = mem_alloc(size);
        int64_t used = ito_memory_current();
        cr_assert_geq(used, (int64_t)size);
        cr_assert_leq(used, (int64_t)(size + size / 8 + 64), "%zu took %lld", size,
                      (long long)used);
        ito_memory_trim(); /* what is left is the block's own */
        cr_assert_leq(ito_memory_held(), (int64_t)(size + size / 8 + 64), "%zu holds %lld", size,
                      (long long)ito_memory_held());
        mem_free(p);
    }
}

/* Sixteen blocks of many sizes, freed in another order, leave room for one of their sum. */
Test(memory, freed_neighbours_become_one)
{
    enum { BLOCKS = 16 };
    char *p[BLOCKS];
    size_t sum = 0;
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = ((size_t)1 << 20) + i * 300000;
        p[i] = mem_alloc(size);
        memset(p[i], 1, size);
        sum += size;
    }
    int64_t held = ito_memory_held();
    for (size_t i = 0; i < BLOCKS; i++)
        mem_free(p[i * 7 % BLOCKS]);
    for (int round = 0; round < 3; round++) {
        char *whole = mem_alloc(sum);
        memset(whole, 2, sum);
        cr_assert_leq(ito_memory_held(), held);
        mem_free(whole);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        p[i] = mem_alloc(((size_t)1 << 20) + (BLOCKS - i) * 200000);
        cr_assert_leq(ito_memory_held(), held);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        mem_free(p[i]);
    ito_memory_trim();
    cr_assert_eq(ito_memory_held(), 0);
}

/* Pseudo-random sizes and lifetimes, small and large: no block reaches into another. */
Test(memory, blocks_in_use_do_not_overlap)
{
    enum { SLOTS = 64, ROUNDS = 4000 };
    char *p[SLOTS] = {NULL};
    size_t size[SLOTS] = {0};
    uint32_t state = 1;
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 1000 == 999)
            ito_memory_trim();
        state = state * 1664525 + 1013904223;
        int s = (int)(state >> 8 & (SLOTS - 1));
        if (p[s] != NULL) {
            mem_free(p[s]);
            p[s] = NULL;
            continue;
        }
        size[s] = (state >> 16) * (i % 2 == 0 ? 40 : 4) + 1;
        p[s] = mem_alloc(size[s]);
        cr_assert_not_null(p[s]);
        for (int o = 0; o < SLOTS; o++)
            cr_assert(o == s || p[o] == NULL || p[o] + size[o] <= p[s] || p[s] + size[s] <= p[o],
                      "%zu bytes at %p and %zu at %p", size[s], (void *)p[s], size[o],
                      (void *)p[o]);
        p[s][0] = p[s][size[s] - 1] = 1;
    }
    for (int s = 0; s < SLOTS; s++)
        mem_free(p[s]);
    cr_assert_eq(ito_memory_current(), 0);
    ito_memory_trim();
    cr_assert_eq(ito_memory_held(), 0);
}

/* Under the address sanitizer, and with POSIX alone, large blocks are given back at once. */
#if !defined(UNDER_ADDRESS_SANITIZER) && !defined(ITO_POSIX)
Test(memory, kept_memory_makes_no_page_faults)
{
    enum { SIZE = 64 << 20 };
    char *p = mem_alloc(SIZE);
    memset(p, 1, SIZE);
    mem_free(p);
    int64_t before = ito_page_faults();
    for (int i = 0; i < 8; i++) {
        char *a = mem_alloc(SIZE / 3), *b = mem_alloc(SIZE / 2);
        memset(a, i, SIZE / 3);
        memset(b, i, SIZE / 2);
        mem_free(a);
        mem_free(b);
    }
    cr_assert_lt(ito_page_faults() - before, 64); /* not the 50,000 of fresh pages */
}
#endif

Test(memory, the_peak_is_the_most_in_use)
{
    ito_memory_reset_peak();
    void *a = mem_alloc(1 << 20), *b = mem_alloc(1 << 20);
    mem_free(a);
    mem_free(b);
    cr_assert_eq(ito_memory_peak(), 2 << 20);
    ito_memory_reset_peak();
    cr_assert_eq(ito_memory_peak(), 0);
}

Test(memory, trim_gives_kept_blocks_back)
{
    mem_free(mem_alloc(100000));
    cr_assert_gt(ito_memory_held(), 0);
    ito_memory_trim();
    cr_assert_eq(ito_memory_held(), 0);
}

Test(memory, a_limit_is_an_error_and_not_a_crash)
{
    ito_memory_limit(1 << 20);
    cr_assert_null(ito_zeros(ITO_SHAPE(1 << 20), ITO_F32));
    cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
    cr_assert_str_eq(ito_error_message(),
                     "memory: 4194304 bytes more than the 0 in use are refused (limit 1048576)");
    ito_error_clear();
    cr_assert_not_null(ito_zeros(ITO_SHAPE(1 << 10), ITO_F32));
    ito_memory_limit(0);
    cr_assert_not_null(ito_zeros(ITO_SHAPE(1 << 20), ITO_F32));
}

Test(memory, the_nth_request_fails_once)
{
    ito_memory_fail_nth(2);
    void *a = mem_alloc(10), *b = mem_alloc(10), *c = mem_alloc(10);
    cr_assert_not_null(a);
    cr_assert_null(b);
    cr_assert_not_null(c);
    cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
    cr_assert_str_eq(ito_error_message(), "memory: no 64 bytes more than the 64 in use");
    ito_error_clear();
    mem_free(a);
    mem_free(c);
    ito_memory_fail_nth(1);
    cr_assert_null(struct_alloc(24));
    cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
    cr_assert_str_eq(ito_error_message(), "memory: no 24 bytes for a record");
}

Test(memory, absurd_sizes_are_refused)
{
    cr_assert_null(mem_alloc((size_t)1 << 62));
    cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
    cr_assert_str_eq(ito_error_message(), "memory: 4611686018427387904 bytes asked for at once");
    ito_error_clear();
    cr_assert_null(ito_empty(ITO_SHAPE(INT64_MAX, 4), ITO_F32));
    cr_assert_eq(ito_error_code(), ITO_ERR_SHAPE);
}

static void *churn(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < 2000; i++) {
        size_t size = i % 2 == 0 ? i * 37 % 9000 + 1 : ((size_t)1 << 18) + i * 370;
        char *p = mem_alloc(size);
        p[0] = p[size - 1] = 1;
        mem_free(p);
    }
    return NULL;
}

Test(memory, threads_may_allocate_together)
{
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, churn, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    cr_assert_eq(ito_memory_blocks(), 0);
    ito_memory_trim();
    cr_assert_eq(ito_memory_held(), 0);
}
