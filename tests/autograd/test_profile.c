/* The profiler, with a clock that the test sets by hand: an operation of the test's own moves it.
 */
#include "tensor/profile.h"
#include "tests/autograd/op_check.h"
#include "tests/german.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

static int64_t clock_ns;

static int64_t test_clock(void)
{
    return clock_ns;
}

static void on(void)
{
    profile_clock = test_clock;
    profile_on = true;
    profile_reset();
}

TestSuite(profile, .init = on);

typedef struct counted {
    int64_t calls, nanoseconds, bytes;
} counted;

/* What is called `name` in `pass`; all 0 if it never ran. */
static counted row(const char *name, const char *pass)
{
    for (const profile_row *r = profile_rows(); r != NULL; r = r->next)
        if (strcmp(r->name, name) == 0 && strcmp(r->pass, pass) == 0)
            return (counted){r->calls, r->nanoseconds, r->bytes};
    return (counted){0, 0, 0};
}

static int64_t time_of_all_rows(void)
{
    int64_t sum = 0;
    for (const profile_row *r = profile_rows(); r != NULL; r = r->next)
        sum += r->nanoseconds;
    return sum;
}

/* ---- operations that take a stated time ---- */

enum { INNER = 5, FORWARD = 100, BACKWARD = 1000 };

static ito_tensor *inner_forward(ito_tensor *const *in, int64_t n, const void *unused)
{
    (void)n, (void)unused;
    clock_ns += INNER;
    return ito_clone(in[0]);
}

static const ito_custom_op inner = {.name = "inner", .forward = inner_forward};

static ito_tensor *outer_forward(ito_tensor *const *in, int64_t n, const void *unused)
{
    (void)unused;
    clock_ns += FORWARD;
    return ito_custom(&inner, in, n, NULL);
}

static ito_tensor *outer_backward(int64_t i, ito_tensor *const *in, int64_t n, ito_tensor *y,
                                  ito_tensor *dy, const void *unused)
{
    (void)i, (void)in, (void)n, (void)y, (void)unused;
    clock_ns += BACKWARD;
    return ito_custom(&inner, &dy, 1, NULL);
}

static const ito_custom_op outer = {
    .name = "outer", .forward = outer_forward, .backward = outer_backward};

static ito_tensor *leaf(void)
{
    return ito_requires_grad(ito_ones(ITO_SHAPE(3), ITO_F64), true);
}

Test(profile, time_of_nested_operations_counts_once)
{
    ito_tensor *x = leaf();
    ito_tensor *y = ito_sum(ito_custom(&outer, &x, 1, NULL));
    cr_assert_eq(ito_backward(y), ITO_OK, "%s", ito_error());
    cr_assert_eq(row("outer", "forward").nanoseconds, FORWARD);
    cr_assert_eq(row("outer", "backward").nanoseconds, BACKWARD);
    cr_assert_eq(row("inner", "forward").nanoseconds, INNER);
    cr_assert_eq(row("inner", "in backward").nanoseconds, INNER);
    cr_assert_eq(time_of_all_rows(), clock_ns);
}

Test(profile, calls_are_counted_by_pass)
{
    ito_tensor *x = leaf();
    for (int i = 0; i < 3; i++)
        cr_assert_eq(ito_backward(ito_sum(ito_custom(&outer, &x, 1, NULL))), ITO_OK);
    cr_assert_eq(row("outer", "forward").calls, 3);
    cr_assert_eq(row("outer", "backward").calls, 3);
    cr_assert_eq(row("outer", "in backward").calls, 0);
    cr_assert_eq(row("inner", "in backward").calls, 3);
    cr_assert_eq(row("sum", "forward").calls, 3);
    cr_assert_eq(row("sweep", "").calls, 3);
}

Test(profile, bytes_are_those_of_results_without_views_and_count_once)
{
    ito_tensor *x = ito_ones(ITO_SHAPE(4, 6), ITO_F32);
    ito_exp(x);
    ito_reshape(x, 24);
    ito_custom(&outer, &x, 1, NULL);
    cr_assert_eq(row("exp", "forward").bytes, 4 * 6 * 4);
    cr_assert_eq(row("reshape", "forward").bytes, 0);
    cr_assert_eq(row("contiguous", "forward").bytes, 4 * 6 * 4);
    cr_assert_eq(row("inner", "forward").bytes, 0);
    cr_assert_eq(row("outer", "forward").bytes, 0);
}

Test(profile, gradients_that_meet_are_a_row_of_their_own)
{
    ito_tensor *x = leaf();
    ito_tensor *h = ito_exp(x);
    ito_tensor *sine = ito_sin(h); /* first: compilers differ in the order of arguments */
    ito_tensor *y = ito_sum(ito_add(ito_add(h, ito_square(h)), sine));
    cr_assert_eq(ito_backward(y), ITO_OK, "%s", ito_error());
    cr_assert_eq(row("sums of gradients", "").calls,
                 1); /* of three, the first two make a new one */
    cr_assert_eq(row("in place", "").calls, 0);
    cr_assert_not_null(ito_add_(ito_ones(ITO_SHAPE(3), ITO_F64), ito_detach(h), 1));
    cr_assert_eq(row("in place", "").calls, 1);
}

Test(profile, rows_stand_in_the_order_of_the_table_and_what_is_none_comes_last)
{
    static const char *const expected[] = {"exp", "sum", "inner", "random numbers"};
    ito_generator g = ito_generator_make(1, 0);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(3), ITO_F64);
    ito_custom(&inner, &x, 1, NULL);
    ito_sum(x);
    ito_exp(x);
    int found = 0;
    for (const profile_row *r = profile_rows(); r != NULL && found < 4; r = r->next)
        found += strcmp(r->name, expected[found]) == 0;
    cr_assert_eq(found, 4, "%s is not where it belongs", expected[found]);
}

static void *work(void *unused)
{
    (void)unused;
    ito_scope_begin();
    for (int i = 0; i < 100; i++)
        ito_exp(ito_ones(ITO_SHAPE(3), ITO_F64));
    ito_scope_end();
    return NULL;
}

Test(profile, threads_count_together)
{
    pthread_t thread[4];
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&thread[i], NULL, work, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    cr_assert_eq(row("exp", "forward").calls, 400);
}

Test(profile, operations_without_room_for_a_row_share_the_last)
{
    char name[64];
    ito_tensor *x = ito_ones(ITO_SHAPE(1), ITO_F64);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "mine%d", i);
        ito_custom(&(ito_custom_op){.name = name, .forward = inner_forward}, &x, 1, NULL);
    }
    cr_assert_eq(row("mine0", "forward").calls, 1);
    cr_assert_eq(row("mine30", "forward").calls, 1);
    cr_assert_eq(row("(more)", "forward").calls, 100 - 31);
}

/* ---- the report ---- */

static char *report(bool json)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    profile_report(f, json);
    fclose(f);
    return text;
}

/* A millisecond in outer and two outside every operation, after which a report is made. */
static char *report_of_three_milliseconds(bool json)
{
    ito_tensor *x = ito_ones(ITO_SHAPE(3), ITO_F64);
    clock_ns += 2000000;
    profile_frame f;
    profile_begin(&f);
    clock_ns += 1000000 - INNER;
    ito_custom(&inner, &x, 1, NULL);
    static profile_row mine = PROFILE_ROW("mine");
    profile_end(&f, &mine);
    return report(json);
}

Test(profile, the_table_accounts_for_all_time)
{
    char *text = report_of_three_milliseconds(false);
    double ms, share;
    cr_assert_eq(sscanf(strstr(text, "\nmine "), " mine 1 %lf %lf%%", &ms, &share), 2, "%s", text);
    cr_assert_float_eq(ms, 1.0, 0.051);
    cr_assert_float_eq(share, 33.3, 0.051);
    cr_assert_eq(sscanf(strstr(text, "\nother "), " other %lf %lf%%", &ms, &share), 2, "%s", text);
    cr_assert_float_eq(ms, 2.0, 0.051);
    cr_assert_float_eq(share, 66.7, 0.051);
    cr_assert_eq(sscanf(strstr(text, "\ntotal "), " total %lf", &ms), 1, "%s", text);
    cr_assert_float_eq(ms, 3.0, 0.051);
    free(text);
}

Test(profile, json_is_one_object_that_says_the_same)
{
    const char *locale = begin_german(); /* it is no matter */
    char *text = report_of_three_milliseconds(true);
    end_german(locale);
    cJSON *o = cJSON_Parse(text);
    cr_assert_not_null(o, "%s", text);
    cr_assert_float_eq(cJSON_GetObjectItem(o, "ms")->valuedouble, 3.0, 5e-4);
    const cJSON *r, *rows = cJSON_GetObjectItem(o, "rows");
    double sum = 0;
    cJSON_ArrayForEach(r, rows) sum += cJSON_GetObjectItem(r, "ms")->valuedouble;
    cr_assert_float_eq(sum, 3.0, 2e-3);
    cJSON_Delete(o);
    free(text);
}

/* Names come from users, and may not break the report. */
Test(profile, names_are_made_harmless)
{
    ito_tensor *x = ito_ones(ITO_SHAPE(1), ITO_F64);
    ito_custom(&(ito_custom_op){.name = "a\"b\\c\n", .forward = inner_forward}, &x, 1, NULL);
    cr_assert_eq(row("a_b_c_", "forward").calls, 1);
}

/* ---- a part of a program ---- */

static void run_inner(void)
{
    ito_tensor *x = ito_ones(ITO_SHAPE(1), ITO_F64);
    cr_assert_not_null(ito_custom(&inner, &x, 1, NULL));
}

/* The milliseconds of the row of this name in a report; -1 without one. */
static double ms_in(const char *report, const char *name)
{
    cJSON *o = cJSON_Parse(report);
    cr_assert_not_null(o, "%s", report);
    double ms = -1.0;
    const cJSON *r;
    cJSON_ArrayForEach(
        r, cJSON_GetObjectItem(o, "rows")) if (strcmp(cJSON_GetObjectItem(r, "name")->valuestring,
                                                      name) == 0) ms =
        cJSON_GetObjectItem(r, "ms")->valuedouble;
    cJSON_Delete(o);
    return ms;
}

Test(profile, a_part_of_a_program_is_counted)
{
    profile_on = false;
    run_inner();
    cr_assert(ito_profile_begin());
    cr_assert(!ito_profile_begin(), "it is under way");
    clock_ns += 1000000;
    run_inner();
    clock_ns += 1000000;
    char *report = ito_profile_end();
    cr_assert_not_null(report);
    cr_expect_float_eq(ms_in(report, "other"), 2.0, 1e-3);
    cr_expect_eq(ms_in(report, "inner"), 0.0, "5 ns are there, and less than is printed");
    free(report);
    cr_expect(!profile_on);
    run_inner();
    cr_expect_eq(row("inner", "forward").calls, 1, "neither before it nor after it");
    cr_assert(ito_profile_begin());
    report = ito_profile_end();
    cr_expect_eq(ms_in(report, "inner"), -1.0, "it begins anew");
    free(report);
}

/* What another thread has open when counting begins or ends, as an operation that begins or ends it
 * from inside shows: it is left out, and later frames do not count towards it. */
static ito_tensor *begin_inside(ito_tensor *const *in, int64_t n, const void *unused)
{
    (void)n, (void)unused;
    cr_assert(ito_profile_begin());
    run_inner();
    return ito_clone(in[0]);
}

static ito_tensor *end_inside(ito_tensor *const *in, int64_t n, const void *unused)
{
    (void)n, (void)unused;
    run_inner();
    free(ito_profile_end());
    return ito_clone(in[0]);
}

Test(profile, frames_that_were_open_before_are_left_out)
{
    static const ito_custom_op begins = {.name = "begins", .forward = begin_inside};
    static const ito_custom_op ends = {.name = "ends", .forward = end_inside};
    ito_tensor *x = ito_ones(ITO_SHAPE(1), ITO_F64);
    profile_on = false;
    cr_assert_not_null(ito_custom(&begins, &x, 1, NULL));
    cr_expect_eq(row("begins", "forward").calls, 0);
    cr_expect_eq(row("inner", "forward").calls, 1);
    cr_assert_not_null(ito_custom(&ends, &x, 1, NULL));
    cr_expect_eq(row("ends", "forward").calls, 0);
    cr_expect_eq(row("inner", "forward").calls, 2);
    cr_assert(ito_profile_begin());
    run_inner(); /* the frame of `ends` has gone: this one is the outermost */
    cr_expect_eq(row("inner", "forward").calls, 1);
    cr_expect_eq(row("inner", "forward").nanoseconds, INNER);
    free(ito_profile_end());
}

Test(profile, off_it_counts_nothing)
{
    profile_on = false;
    ito_exp(ito_ones(ITO_SHAPE(3), ITO_F64));
    cr_assert_eq(row("exp", "forward").calls, 0);
}
