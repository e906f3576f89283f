/* Small records: zeroed, used again, failing on request, and whoever frees them. */
#include "tensor/internal.h"

#include <criterion/criterion.h>
#include <malloc.h>
#include <pthread.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ADDRESS_SANITIZER
#endif
#endif

Test(records, a_new_one_is_zero)
{
    for (size_t size = 0; size < 3000; size = size * 5 / 4 + 1)
        for (int round = 0; round < 3; round++) {
            char *p = record_alloc(size);
            cr_assert_not_null(p);
            for (size_t i = 0; i < size; i++)
                cr_assert_eq(p[i], 0, "byte %zu of %zu", i, size);
            memset(p, 7, size);
            record_free(p, size);
        }
    record_free(NULL, 8);
}

/* Pseudo-random sizes and lifetimes: no record reaches into another. */
Test(records, those_in_use_do_not_overlap)
{
    enum { SLOTS = 64, ROUNDS = 4000 };
    char *p[SLOTS] = {NULL};
    size_t size[SLOTS] = {0};
    uint32_t state = 1;
    for (int i = 0; i < ROUNDS; i++) {
        state = state * 1664525 + 1013904223;
        int s = (int)(state >> 8 & (SLOTS - 1));
        for (size_t k = 0; p[s] != NULL && k < size[s]; k++)
            cr_assert_eq(p[s][k], (char)s);
        record_free(p[s], size[s]);
        size[s] = (state >> 16) % 1500;
        p[s] = record_alloc(size[s]);
        cr_assert_not_null(p[s]);
        memset(p[s], s, size[s]);
    }
    for (int s = 0; s < SLOTS; s++)
        record_free(p[s], size[s]);
}

Test(records, the_nth_request_fails_once)
{
    record_free(record_alloc(24), 24);
    ito_memory_fail_nth(2);
    void *a = record_alloc(24), *b = record_alloc(24), *c = record_alloc(24);
    cr_assert_not_null(a);
    cr_assert_null(b);
    cr_assert_not_null(c);
    cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
    cr_assert_str_eq(ito_error_message(), "memory: no 24 bytes for a record");
    record_free(a, 24);
    record_free(c, 24);
}

#ifndef UNDER_ADDRESS_SANITIZER /* which gets every record back at once */

Test(records, a_freed_one_is_used_again)
{
    void *a = record_alloc(200);
    record_free(a, 200);
    void *b = record_alloc(193); /* of the same size in lines of 64 bytes */
    cr_assert_eq(a, b);
    record_free(b, 193);
}

enum { RECORDS = 20000, SIZE = 256 };
static void *made[RECORDS];

static void make_all(void)
{
    for (int i = 0; i < RECORDS; i++)
        cr_assert_not_null(made[i] = record_alloc(SIZE));
}

static void *free_all(void *unused)
{
    for (int i = 0; i < RECORDS; i++)
        record_free(made[i], SIZE);
    return unused;
}

static size_t taken(void)
{
    return mallinfo2().uordblks;
}

Test(records, a_thread_keeps_a_mebibyte_at_most)
{
    size_t before = taken();
    make_all();
    cr_assert_geq(taken(), before + (size_t)RECORDS * SIZE);
    free_all(NULL);
    cr_assert_leq(taken(), before + (1 << 20) * 9 / 8); /* malloc's own beside them */
}

Test(records, a_thread_that_ends_keeps_nothing)
{
    size_t before = taken();
    make_all();
    pthread_t thread;
    pthread_create(&thread, NULL, free_all, NULL);
    pthread_join(thread, NULL);
    cr_assert_leq(taken(), before + 10000); /* of the thread's start */
}

#endif
