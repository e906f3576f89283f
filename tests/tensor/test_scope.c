/* Scopes and reference counts: what lives, what goes, and when. */
#include "tensor/internal.h"
#include "tests/expect.h"

#include <criterion/criterion.h>
#include <pthread.h>

Test(scope, the_end_frees_what_was_made_inside)
{
    ito_scope_begin();
    for (int i = 0; i < 100; i++)
        cr_assert_not_null(ito_zeros(ITO_SHAPE(3), ITO_F32));
    cr_assert_eq(ito_memory_blocks(), 100);
    ito_scope_end();
    cr_assert_eq(ito_memory_blocks(), 0);
}

/* Leaves its block by return, and the innermost one by break. */
static double sum_of_two(void)
{
    ITO_SCOPE
    {
        ITO_SCOPE
        {
            ito_ones(ITO_SHAPE(2), ITO_F32);
            break;
        }
        if (ito_memory_blocks() > 0)
            return -1;
        return ito_item(ito_full(ITO_SHAPE(), 5, ITO_F64));
    }
    return -2;
}

Test(scope, blocks_end_however_they_are_left)
{
    for (int i = 0; i < 3; i++)
        cr_assert_eq(sum_of_two(), 5);
    ITO_SCOPE cr_assert_not_null(ito_ones(ITO_SHAPE(2), ITO_F32));
    cr_assert_eq(ito_memory_blocks(), 0);
}

Test(scope, keep_hands_on_to_the_scope_around)
{
    ito_scope_begin();
    ito_scope_begin();
    ito_tensor *t = ito_keep(ito_ones(ITO_SHAPE(2), ITO_F32));
    ito_zeros(ITO_SHAPE(2), ITO_F32);
    ito_scope_end();
    cr_assert_eq(ito_memory_blocks(), 1);
    cr_assert_eq(ito_item(ito_full(ITO_SHAPE(), 3, ITO_F64)), 3);
    cr_assert_eq(*(float *)ito_data(t), 1.0f);
    ito_scope_end();
    cr_assert_eq(ito_memory_blocks(), 0);
}

Test(scope, keep_passes_null_and_strangers_by)
{
    cr_assert_null(ito_keep(NULL));
    ito_tensor *outer = ito_ones(ITO_SHAPE(2), ITO_F32);
    ito_scope_begin();
    ito_scope_begin();
    cr_assert_eq(ito_keep(outer), outer);
    ito_scope_end();
    ito_scope_end();
    cr_assert_eq(*(float *)ito_data(outer), 1.0f);
}

Test(scope, a_reference_outlives_the_scope)
{
    ito_scope_begin();
    ito_tensor *t = ito_retain(ito_ones(ITO_SHAPE(2), ITO_F32));
    ito_scope_end();
    cr_assert_eq(ito_memory_blocks(), 1);
    cr_assert_eq(*(float *)ito_data(t), 1.0f);
    ito_release(t);
    cr_assert_eq(ito_memory_blocks(), 0);
}

static ito_status try_to_adopt(void *context)
{
    (void)context;
    for (int i = 0; i < 40; i++) { /* more than a new scope has room for */
        ito_scope_begin();
        ito_tensor *t = ito_retain(ito_ones(ITO_SHAPE(2), ITO_F32));
        ito_scope_end();
        if (ito_adopt(t) == NULL)
            return ITO_ERR_MEMORY;
    }
    return ITO_OK;
}

Test(scope, adopt_hands_a_reference_to_the_innermost_scope)
{
    ito_tensor *outer = ito_retain(ito_ones(ITO_SHAPE(2), ITO_F32));
    ito_scope_begin();
    ito_tensor *t = ito_retain(ito_ones(ITO_SHAPE(2), ITO_F32));
    ito_scope_end();
    ito_scope_begin();
    cr_assert_eq(ito_adopt(t), t);
    cr_assert_eq(ito_adopt(ito_retain(t)), t); /* a scope has it already */
    cr_assert_eq(ito_adopt(outer), outer);     /* as here, the one around */
    cr_assert_null(ito_adopt(NULL));
    cr_assert_eq(ito_memory_blocks(), 2);
    ito_scope_end();
    cr_assert_eq(ito_memory_blocks(), 1);
    cr_assert_eq(*(float *)ito_data(outer), 1.0f);
}

Test(scope, adopt_survives_every_failing_allocation)
{
    cr_expect_geq(count_failed_allocations(try_to_adopt, NULL), 41); /* tensors, and the list */
}

Test(scope, replace_carries_a_tensor_from_scope_to_scope)
{
    ito_tensor *h = NULL;
    for (int step = 0; step < 3; step++) {
        ito_scope_begin();
        cr_assert_eq(ito_replace(&h, ito_full(ITO_SHAPE(2), step, ITO_F64)), ITO_OK);
        ito_scope_end();
        cr_assert_eq(ito_memory_blocks(), 1);
        cr_assert_eq(*(double *)ito_data(h), step);
    }
    cr_assert_eq(ito_replace(&h, h), ITO_OK); /* itself */
    cr_assert_eq(*(double *)ito_data(h), 2);
    ito_release(h);
    cr_assert_eq(ito_memory_blocks(), 0);
}

Test(scope, replace_by_nothing_is_refused_and_changes_nothing)
{
    ito_tensor *h = ito_retain(ito_ones(ITO_SHAPE(2), ITO_F32)), *before = h;
    cr_expect_eq(ito_replace(NULL, h), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "replace: held is NULL");
    cr_expect_eq(ito_replace(&h, NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "replace: t is NULL");
    cr_expect_eq(ito_replace(&h, ito_zeros(ITO_SHAPE(-1), ITO_F32)), ITO_ERR_SHAPE);
    ito_error_clear();
    cr_expect_eq(h, before);
    ito_release(h);
}

Test(scope, a_view_keeps_its_storage)
{
    ito_scope_begin();
    ito_tensor *t = ito_ones(ITO_SHAPE(4), ITO_F32);
    ito_tensor *v = ito_retain(tensor_view(t, ITO_SHAPE(2), (int64_t[]){2}, 1));
    ito_scope_end();
    cr_assert_eq(ito_memory_blocks(), 1);
    ito_release(v);
    cr_assert_eq(ito_memory_blocks(), 0);
}

Test(scope, clear_leaves_it_open)
{
    ito_scope_begin();
    for (int step = 0; step < 3; step++) {
        ito_zeros(ITO_SHAPE(5), ITO_F32);
        ito_scope_clear();
        cr_assert_eq(ito_memory_blocks(), 0);
    }
    ito_scope_end();
}

Test(scope, end_without_begin_does_nothing)
{
    ito_tensor *t = ito_ones(ITO_SHAPE(2), ITO_F32);
    ito_scope_end();
    cr_assert_eq(*(float *)ito_data(t), 1.0f);
}

static void *make_some(void *unused)
{
    (void)unused;
    ito_zeros(ITO_SHAPE(9), ITO_F32);
    ito_scope_begin();
    ito_zeros(ITO_SHAPE(9), ITO_F32);
    return NULL; /* both scopes are still open */
}

Test(scope, a_threads_scopes_end_with_it)
{
    pthread_t thread;
    pthread_create(&thread, NULL, make_some, NULL);
    pthread_join(thread, NULL);
    cr_assert_eq(ito_memory_blocks(), 0);
}

static void *read_one(void *t)
{
    return ito_item(t) == 5 ? t : NULL;
}

Test(scope, a_retained_tensor_passes_between_threads)
{
    ito_scope_begin();
    ito_tensor *t = ito_retain(ito_full(ITO_SHAPE(), 5, ITO_F64));
    ito_scope_end();
    pthread_t thread;
    void *seen;
    pthread_create(&thread, NULL, read_one, t);
    pthread_join(thread, &seen);
    cr_assert_eq(seen, t);
    ito_release(t);
}

Test(scope, an_allocation_failure_leaks_nothing)
{
    for (int64_t nth = 1; nth < 10; nth++) {
        ito_scope_begin();
        ito_memory_fail_nth(nth);
        ito_tensor *t = ito_zeros(ITO_SHAPE(3), ITO_F32);
        ito_memory_fail_nth(0);
        cr_assert_eq(t == NULL, ito_error_code() == ITO_ERR_MEMORY);
        ito_error_clear();
        ito_scope_end();
        cr_assert_eq(ito_memory_blocks(), 0);
    }
}
