/* Orders, cumulative operations and reductions where the table of operations does not reach: dtypes
 * of results, long lines, exact zeros, ties. */
#include "autograd/ops.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static const ito_dtype numbers[] = {ITO_F32, ITO_F64, ITO_BF16, ITO_I32, ITO_I64, ITO_U8, ITO_BOOL};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

static ito_tensor *list(const double *v, int64_t n)
{
    ito_tensor *t = ito_from_data(v, ITO_SHAPE(n), ITO_F64);
    cr_assert_not_null(t, "%s", ito_error());
    return t;
}

/* ---- dtypes ---------------------------------------------------------------------------------- */

Test(order, results_have_the_dtypes_of_pytorch)
{
    ito_scope_begin();
    for (int i = 0; i < NUMBERS; i++) {
        ito_dtype own = numbers[i], sums = ito_dtype_is_float(own) ? own : ITO_I64;
        ito_tensor *x = ito_cast(list((double[]){1, 0, 1}, 3), own), *at;
        cr_assert_eq(ito_dtype_of(ito_sum(x)), sums);
        cr_assert_eq(ito_item(ito_sum(x)), 2);
        cr_assert_eq(ito_dtype_of(ito_prod(x)), sums);
        cr_assert_eq(ito_dtype_of(ito_cumsum(x, 0)), sums);
        cr_assert_eq(ito_dtype_of(ito_cumprod(x, 0)), sums);
        cr_assert_eq(ito_dtype_of(ito_max(x)), own);
        cr_assert_eq(ito_dtype_of(ito_min(x)), own);
        cr_assert_eq(ito_dtype_of(ito_sort(x, &at)), own);
        cr_assert_eq(ito_dtype_of(at), ITO_I64);
        cr_assert_eq(ito_dtype_of(ito_cummax(x, 0, &at)), own);
        cr_assert_eq(ito_dtype_of(at), ITO_I64);
        cr_assert_eq(ito_dtype_of(ito_median(x, &at)), own);
        cr_assert_eq(ito_dtype_of(at), ITO_I64);
        cr_assert_eq(ito_dtype_of(ito_unique(x, &at, NULL)), own);
        cr_assert_eq(ito_dtype_of(at), ITO_I64);
        cr_assert_eq(ito_dtype_of(ito_argmax(x)), ITO_I64);
        cr_assert_eq(ito_dtype_of(ito_any(x)), ITO_BOOL);
        cr_assert_eq(ito_dtype_of(ito_all(x)), ITO_BOOL);
        cr_assert_eq(ito_dtype_of(ito_count_nonzero(x)), ITO_I64);
        cr_assert_eq(ito_dtype_of(ito_searchsorted(x, x)), ITO_I64);
    }
    ito_scope_end();
}

Test(order, sums_of_narrow_integers_are_wide)
{
    ito_scope_begin();
    ito_tensor *x = ito_full(ITO_SHAPE(1000, 2), 255, ITO_U8);
    assert_elements(ito_sum(x, .dims = ITO_DIMS(0)), (double[]){255000, 255000}, 2, 0, "sum");
    cr_assert_eq(ito_item(ito_select(ito_cumsum(ito_select(x, 1, 0), 0), 0, -1)), 255000);
    ito_tensor *most = ito_full(ITO_SHAPE(2), 2147483647, ITO_I32);
    cr_assert_eq(ito_item(ito_sum(most)), 4294967294);
    cr_assert_eq(ito_item(ito_prod(most)), 4611686014132420609.0);
    ito_scope_end();
}

/* ---- orders ---------------------------------------------------------------------------------- */

typedef struct entry {
    double value;
    int64_t place;
} entry;

static int rising(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    return x->value < y->value ? -1 : x->value > y->value ? 1 : x->place < y->place ? -1 : 1;
}

static int falling(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    return x->value > y->value ? -1 : x->value < y->value ? 1 : x->place < y->place ? -1 : 1;
}

/* n numbers, of which many are equal, against qsort. */
static void sorts(ito_dtype dtype, int64_t n, bool descending)
{
    ito_scope_begin();
    ito_tensor *at, *x = ito_floor(random_tensor(ITO_SHAPE(n), -20, 60, (uint64_t)n));
    if (dtype == ITO_U8 || dtype == ITO_BOOL)
        x = ito_abs(x);
    x = ito_cast(x, dtype);
    ito_tensor *y = ito_sort(x, &at, .descending = descending);
    entry *e = calloc((size_t)n + 1, sizeof *e);
    double *v = calloc((size_t)n + 1, sizeof *v), *k = calloc((size_t)n + 1, sizeof *k);
    cr_assert(e != NULL && v != NULL && k != NULL);
    ito_to_data(x, v, ITO_F64);
    for (int64_t i = 0; i < n; i++)
        e[i] = (entry){v[i], i};
    qsort(e, (size_t)n, sizeof *e, descending ? falling : rising);
    for (int64_t i = 0; i < n; i++) {
        v[i] = e[i].value;
        k[i] = (double)e[i].place;
    }
    assert_elements(y, v, n, 0, "values");
    assert_elements(at, k, n, 0, "indices");
    int64_t few = n / 3;
    assert_elements(ito_topk(x, few, &at, .largest = descending), v, few, 0, "the best values");
    assert_elements(at, k, few, 0, "and their places");
    for (int64_t rank = 1; rank <= n && !descending; rank += 1 + n / 7)
        cr_assert_eq(ito_item(ito_kthvalue(x, rank, NULL)), v[rank - 1]);
    free(e);
    free(v);
    free(k);
    ito_scope_end();
}

Test(order, of_every_dtype_and_length)
{
    for (int i = 0; i < NUMBERS; i++)
        for (int64_t n = 0; n < 4000; n = 3 * n + 1) {
            sorts(numbers[i], n, false);
            sorts(numbers[i], n, true);
        }
}

Test(order, the_extremes_of_a_dtype)
{
    double real[] = {1, -HUGE_VAL, 0x1p-1074, -1, HUGE_VAL, -0x1p-1074, 0, 1e308, -1e308};
    double want[] = {-HUGE_VAL, -1e308, -1, -0x1p-1074, 0, 0x1p-1074, 1, 1e308, HUGE_VAL};
    int64_t whole[] = {1, INT64_MIN, 0, INT64_MAX, -1, INT64_MIN + 1};
    int64_t order[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX};
    ito_scope_begin();
    assert_elements(ito_sort(list(real, 9), NULL), want, 9, 0, "reals");
    ito_tensor *sorted = ito_sort(ito_from_data(whole, ITO_SHAPE(6), ITO_I64), NULL);
    for (int i = 0; i < 6; i++)
        cr_assert_eq(((const int64_t *)ito_const_data(sorted))[i], order[i]);
    ito_scope_end();
}

Test(order, zeros_of_both_signs_are_equal)
{
    ito_scope_begin();
    ito_tensor *at, *x = list((double[]){0.0, -0.0, 0.0}, 3);
    ito_sort(x, &at);
    assert_elements(at, (double[]){0, 1, 2}, 3, 0, "a tie");
    cr_assert_eq(ito_numel(ito_unique(x, NULL, NULL)), 1);
    ito_scope_end();
}

Test(order, lines_do_not_depend_on_threads)
{
    int before = ito_threads();
    ito_scope_begin();
    ito_tensor *one, *many, *x = ito_floor(random_tensor(ITO_SHAPE(300, 40), 0, 9, 1));
    ito_set_threads(1);
    ito_sort(x, &one, .dim = 0);
    ito_set_threads(5);
    ito_sort(x, &many, .dim = 0);
    ito_set_threads(before);
    assert_close(many, one, 0, "places");
    ito_scope_end();
}

/* ---- gradients ------------------------------------------------------------------------------- */

static void has_gradient(ito_tensor *y, ito_tensor *x, const double *want, const char *what)
{
    ito_tensor *g = ito_grad(ito_sum(y), x);
    assert_elements(g, want, ito_numel(x), 1e-12, what);
}

Test(order, gradients_at_zeros)
{
    ito_scope_begin();
    ito_tensor *one = ito_requires_grad(list((double[]){2, 0, 3}, 3), true);
    ito_tensor *two = ito_requires_grad(list((double[]){0, 0, 3}, 3), true);
    has_gradient(ito_prod(one), one, (double[]){0, 6, 0}, "one factor is 0");
    has_gradient(ito_prod(two), two, (double[]){0, 0, 0}, "two are");
    has_gradient(ito_cumprod(one, 0), one, (double[]){1, 8, 0}, "x + x y + x y z");
    has_gradient(ito_cumprod(two, 0), two, (double[]){1, 0, 0}, "two are, cumulative");
    ito_scope_end();
}

Test(order, the_first_of_equal_ones_takes_the_gradient)
{
    ito_scope_begin();
    ito_tensor *x = ito_requires_grad(list((double[]){1, 2, 2, 1}, 4), true);
    has_gradient(ito_max_dim(x, NULL), x, (double[]){0, 1, 0, 0}, "max_dim");
    has_gradient(ito_min_dim(x, NULL), x, (double[]){1, 0, 0, 0}, "min_dim");
    has_gradient(ito_kthvalue(x, 4, NULL), x, (double[]){0, 1, 0, 0}, "kthvalue");
    has_gradient(ito_topk(x, 1, NULL), x, (double[]){0, 1, 0, 0}, "topk");
    ito_scope_end();
}

Test(order, logcumsumexp_of_nothing_has_gradient_zero)
{
    ito_scope_begin();
    ito_tensor *x = ito_requires_grad(list((double[]){-HUGE_VAL, 1, 1}, 3), true);
    has_gradient(ito_narrow(ito_logcumsumexp(x, 0), 0, 1, 2), x, (double[]){0, 1.5, 0.5},
                 "-infinity first");
    ito_scope_end();
}

/* ---- the second result ----------------------------------------------------------------------- */

Test(order, no_second_result_after_an_error)
{
    ito_scope_begin();
    ito_tensor *at = list((double[]){1}, 1), *counts = at;
    cr_assert_null(ito_sort(NULL, &at));
    cr_assert_null(at);
    at = counts;
    cr_assert_null(ito_cummax(NULL, 0, &at));
    cr_assert_null(at);
    at = counts;
    cr_assert_null(ito_unique(NULL, &at, &counts));
    cr_assert_null(at);
    cr_assert_null(counts);
    ito_scope_end();
}
