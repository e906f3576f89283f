/* What tests of different directories share: error sentences, and memory that runs out. */
#ifndef TESTS_EXPECT_H
#define TESTS_EXPECT_H

#include "tensor/runtime.h"
#include "tensor/scope.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

/* The code and the whole sentence of the recorded error, which is cleared. */
static inline void expect_error(ito_status code, const char *message)
{
    cr_expect_eq(ito_error_code(), code, "code %d, not %d: %s", (int)ito_error_code(), (int)code,
                 ito_error_message());
    cr_expect_str_eq(ito_error_message(), message);
    ito_error_clear();
}

/* The code and a part of the sentence, which begins with a path; the record is cleared. */
static inline void expect_error_with(ito_status code, const char *part)
{
    cr_expect_eq(ito_error_code(), code, "code %d, not %d: %s", (int)ito_error_code(), (int)code,
                 ito_error_message());
    cr_expect_not_null(strstr(ito_error_message(), part), "\"%s\" lacks \"%s\"",
                       ito_error_message(), part);
    ito_error_clear();
}

/* A call gave nothing (NULL), and why. */
static inline void expect_refused(const void *result, ito_status code, const char *message)
{
    cr_expect_null(result, "was taken, not refused with: %s", message);
    expect_error(code, message);
}

/* Run attempt with its first, second, ... request for memory failing, until it succeeds. Each
 * failure is ITO_ERR_MEMORY and leaves no block behind. Returns how many requests failed: a test
 * states how many there are at least, or it would pass if none did. */
static inline int64_t count_failed_allocations(ito_status (*attempt)(void *context), void *context)
{
    int64_t blocks = ito_memory_blocks();
    for (int64_t failures = 0;; failures++) {
        cr_assert_lt(failures, 10000);
        ito_scope_begin();
        ito_memory_fail_nth(failures + 1);
        ito_status status = attempt(context);
        ito_memory_fail_nth(0);
        ito_scope_end();
        cr_expect_eq(ito_error_code(), status, "request %" PRId64 ": %s", failures + 1,
                     ito_error_message());
        ito_error_clear();
        if (status == ITO_OK)
            return failures;
        cr_assert_eq(status, ITO_ERR_MEMORY, "request %" PRId64, failures + 1);
        cr_expect_eq(ito_memory_blocks(), blocks, "request %" PRId64 " leaks", failures + 1);
    }
}

#endif
