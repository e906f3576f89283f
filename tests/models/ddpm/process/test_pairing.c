/* Assignments against all permutations, against SciPy (tests/reference/make_flow_fixture.py), and
 * by their laws. */
#include "models/ddpm/process/pairing.h"

#include "autograd/ops.h"
#include "tensor/io/safetensors.h"
#include "tests/expect.h"
#include "tests/models/ddpm/ddpm_check.h"

#include <math.h>
#include <stdlib.h>

/* The columns of rows; asserts that each is there once. */
static const int64_t *columns(ito_tensor *index, int64_t n)
{
    cr_assert_not_null(index, "%s", ito_error());
    cr_assert(ito_numel(index) == n && ito_dtype_of(index) == ITO_I64);
    const int64_t *c = ito_const_data(index);
    for (int64_t j = 0; j < n; j++) {
        int times = 0;
        for (int64_t i = 0; i < n; i++)
            times += c[i] == j;
        cr_assert_eq(times, 1, "column %d", (int)j);
    }
    return c;
}

/* The least sum over all ways to give rows from i on the columns that are not taken. */
static double least_sum(const double *cost, int n, int i, unsigned taken)
{
    if (i == n)
        return 0;
    double least = (double)INFINITY;
    for (int j = 0; j < n; j++)
        if (!(taken >> j & 1U))
            least = fmin(least, cost[i * n + j] + least_sum(cost, n, i + 1, taken | 1U << j));
    return least;
}

Test(pairing, is_the_best_of_all_permutations)
{
    for (int n = 0; n <= 7; n++)
        for (uint64_t seed = 0; seed < 40; seed++) {
            ito_scope_begin();
            ito_generator g = ito_generator_make(seed, (uint64_t)n);
            ito_tensor *cost = ito_randn(&g, ITO_SHAPE(n, n), ITO_F64);
            if (seed % 2 == 1) /* with many ties */
                cost = ito_round(ito_mul_scalar(cost, 1.5));
            const double *c = ito_const_data(cost);
            const int64_t *column = columns(ito_linear_assignment(cost), n);
            double sum = 0;
            for (int i = 0; i < n; i++)
                sum += c[i * n + column[i]];
            cr_expect_float_eq(sum, least_sum(c, n, 0, 0), 1e-12, "%d, seed %d", n, (int)seed);
            ito_scope_end();
        }
}

Test(pairing, is_that_of_scipy)
{
    char path[4096];
    const char *source = getenv("ITO_SOURCE");
    snprintf(path, sizeof path, "%s/tests/reference/flow.safetensors", source ? source : ".");
    ito_safetensors *file = ito_safetensors_open(path);
    cr_assert_not_null(file, "%s", ito_error());
    static const int sizes[] = {1, 8, 33, 100};
    for (int k = 0; k < 4; k++) {
        int n = sizes[k];
        char key[32];
        snprintf(key, sizeof key, "assignment/%d", n);
        ito_tensor *cost = ito_empty(ITO_SHAPE(n, n), ITO_F64);
        for (int i = 0; i < n * n; i++)
            ((double *)ito_data(cost))[i] =
                sin(1.0 + 12.9898 * (i / n) + 78.233 * (i % n)) * cos(0.37 * (i / n) * (i % n));
        const int64_t *column = columns(ito_linear_assignment(cost), n);
        const int64_t *want = ito_const_data(ito_safetensors_read(file, key));
        for (int i = 0; i < n; i++)
            cr_expect_eq(column[i], want[i], "%d: row %d", n, i);
    }
    ito_safetensors_close(file);
}

/* Pairs whose sum of squared distances no exchange of two makes less, for images too; less than
 * that of the pairs by chance; and the same in f32. */
Test(pairing, no_exchange_of_two_noises_is_nearer)
{
    enum { N = 40, D = 6 };
    ito_generator g = ito_generator_make(3, 0);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(N, 1, 2, 3), ITO_F32);
    ito_tensor *e = ito_randn(&g, ITO_SHAPE(N, 1, 2, 3), ITO_F32);
    const int64_t *index = columns(ito_ot_pairing(x, e), N);
    const float *a = ito_const_data(x), *b = ito_const_data(e);
    double distance[N][N], before = 0, after = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            distance[i][j] = 0;
            for (int k = 0; k < D; k++)
                distance[i][j] += pow((double)a[i * D + k] - (double)b[j * D + k], 2);
        }
    for (int i = 0; i < N; i++) {
        before += distance[i][i];
        after += distance[i][index[i]];
        for (int j = 0; j < N; j++)
            cr_expect_leq(distance[i][index[i]] + distance[j][index[j]],
                          distance[i][index[j]] + distance[j][index[i]] + 1e-9);
    }
    cr_expect_lt(after, 0.7 * before);
    const int64_t *wide =
        ito_const_data(ito_ot_pairing(ito_cast(x, ITO_F64), ito_cast(e, ITO_F64)));
    for (int i = 0; i < N; i++)
        cr_expect_eq(wide[i], index[i]);
}

/* Noise that is the data in another order is brought back. */
Test(pairing, shuffled_data_find_themselves)
{
    ito_generator g = ito_generator_make(5, 0);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(300, 2), ITO_F64);
    ito_tensor *order = ito_randperm(&g, 300);
    ito_tensor *e = ito_index_select(x, 0, order);
    ito_tensor *back = ito_index_select(e, 0, ito_ot_pairing(x, e));
    cr_expect_eq(largest_difference(back, x), 0);
}

Test(pairing, what_has_no_assignment_is_refused)
{
    double values[] = {0, 1, (double)NAN, 2};
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 3), ITO_F64);
    assert_refused(ito_linear_assignment(NULL), ITO_ERR_ARGUMENT,
                   "linear_assignment: the cost is NULL");
    assert_refused(ito_linear_assignment(x), ITO_ERR_SHAPE,
                   "linear_assignment: the costs are [2, 3], not [N, N]");
    assert_refused(ito_linear_assignment(ito_zeros(ITO_SHAPE(2, 2), ITO_I64)), ITO_ERR_DTYPE,
                   "linear_assignment: costs are f32 or f64, not i64");
    assert_refused(ito_linear_assignment(ito_from_data(values, ITO_SHAPE(2, 2), ITO_F64)),
                   ITO_ERR_NUMERIC,
                   "linear_assignment: the cost of row 1 and column 0 is nan; costs are of up to "
                   "1e290 in size");
    assert_refused(ito_linear_assignment(ito_full(ITO_SHAPE(2, 2), -1.1e290, ITO_F64)),
                   ITO_ERR_NUMERIC,
                   "linear_assignment: the cost of row 0 and column 0 is -1.1e+290; costs are of "
                   "up to 1e290 in size");
    assert_refused(ito_ot_pairing(NULL, x), ITO_ERR_ARGUMENT, "ot_pairing: x_0 is NULL");
    assert_refused(ito_ot_pairing(x, NULL), ITO_ERR_ARGUMENT, "ot_pairing: the noise is NULL");
    assert_refused(ito_ot_pairing(x, ito_zeros(ITO_SHAPE(3, 3), ITO_F64)), ITO_ERR_SHAPE,
                   "ot_pairing: data are [2, 3] and the noise [3, 3]; both must be one [N, ...]");
    assert_refused(ito_ot_pairing(x, ito_zeros(ITO_SHAPE(2, 3), ITO_F32)), ITO_ERR_DTYPE,
                   "ot_pairing: data are f64 and the noise f32; both must be f32 or f64");
}

static ito_status once(void *unused)
{
    (void)unused;
    ito_generator g = ito_generator_make(1, 0);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(3, 2), ITO_F32);
    return ito_ot_pairing(x, x == NULL ? NULL : ito_neg(x)) == NULL ? ito_error_code() : ITO_OK;
}

Test(pairing, failing_allocations_pass)
{
    cr_expect_gt(count_failed_allocations(once, NULL), 5);
}
