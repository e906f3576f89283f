/* bmm, linear and matmul against plain loops over indices, in double. */
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double EXACT = 1e-12; /* sums of at most 200 terms of magnitude 4 in double */

static ito_tensor *matmul(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    (void)context;
    return ito_matmul(in[0], in[1]);
}

static ito_tensor *linear(ito_tensor *const *in, int64_t n, void *context)
{
    (void)context;
    return ito_linear(in[0], in[1], n > 2 ? in[2] : NULL);
}

/* Element [b][i][j] of a tensor of three axes. */
static double at(const ito_tensor *t, int64_t b, int64_t i, int64_t j)
{
    const double *v = ito_const_data(t);
    return v[b * ito_stride(t, 0) + i * ito_stride(t, 1) + j * ito_stride(t, 2)];
}

/* a [B, M, K] times b [B, K, N], one of the batches maybe 1, by the definition. */
static void check_stack(ito_tensor *a, ito_tensor *b)
{
    int64_t batch = ito_size(a, 0) > ito_size(b, 0) ? ito_size(a, 0) : ito_size(b, 0);
    int64_t m = ito_size(a, 1), n = ito_size(b, 2), count = 0;
    double *want = malloc((size_t)(batch * m * n + 1) * sizeof *want);
    for (int64_t t = 0; t < batch; t++)
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;
                for (int64_t k = 0; k < ito_size(a, 2); k++)
                    sum += at(a, ito_size(a, 0) == 1 ? 0 : t, i, k) *
                           at(b, ito_size(b, 0) == 1 ? 0 : t, k, j);
                want[count++] = sum;
            }
    ito_tensor *y = ito_matmul(a, b);
    cr_assert(shape_equal(ito_shape_of(y), ITO_SHAPE(batch, m, n)));
    assert_elements(y, want, count, EXACT, "matmul of stacks");
    free(want);
}

void case_bmm(void)
{
    static const int64_t sizes[][4] = {{1, 1, 1, 1}, {2, 3, 5, 4}, {3, 7, 31, 2}, {2, 17, 63, 33},
                                       {0, 2, 3, 2}, {2, 0, 3, 2}, {2, 2, 0, 3},  {1, 2, 3, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t batch = sizes[i][0], m = sizes[i][1], k = sizes[i][2], n = sizes[i][3];
        ito_tensor *a = random_tensor(ITO_SHAPE(batch, m, k), -2, 2, 1);
        ito_tensor *b = random_tensor(ITO_SHAPE(batch, k, n), -2, 2, 2);
        check_stack(a, b);
        check_stack(ito_transpose(ito_contiguous(ito_transpose(a, 1, 2)), 1, 2), b);
        if (batch > 1) {
            check_stack(ito_narrow(a, 0, 1, 1), b);
            check_stack(a, ito_narrow(b, 0, 1, 1));
        }
    }
    op_check_run((op_check){.what = "bmm",
                            .f = matmul,
                            .n = 2,
                            .shape = {ITO_SHAPE(2, 2, 3), ITO_SHAPE(2, 3, 2)},
                            .large = {ITO_SHAPE(5, 40, 500), ITO_SHAPE(5, 500, 70)}});
    op_check_run((op_check){.what = "matrix times vector",
                            .f = matmul,
                            .n = 2,
                            .shape = {ITO_SHAPE(2, 2, 3), ITO_SHAPE(3)}});
    op_check_run((op_check){.what = "one matrix times a stack",
                            .f = matmul,
                            .n = 2,
                            .shape = {ITO_SHAPE(2, 3), ITO_SHAPE(2, 1, 3, 2)}});
}

void case_linear(void)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(2, 5, 7), -2, 2, 1);
    ito_tensor *w = random_tensor(ITO_SHAPE(3, 7), -2, 2, 2),
               *b = random_tensor(ITO_SHAPE(3), -2, 2, 3);
    const double *xs = ito_const_data(x), *ws = ito_const_data(w), *bs = ito_const_data(b);
    double want[30], plain[30];
    for (int row = 0; row < 10; row++)
        for (int o = 0; o < 3; o++) {
            plain[row * 3 + o] = 0;
            for (int i = 0; i < 7; i++)
                plain[row * 3 + o] += xs[row * 7 + i] * ws[o * 7 + i];
            want[row * 3 + o] = plain[row * 3 + o] + bs[o];
        }
    assert_elements(ito_linear(x, w, b), want, 30, EXACT, "linear");
    assert_elements(ito_linear(x, w, NULL), plain, 30, EXACT, "linear without bias");
    assert_elements(ito_linear(ito_select(ito_select(x, 0, 1), 0, 4), w, b), want + 27, 3, EXACT,
                    "linear of a vector");
    cr_assert_eq(ito_numel(ito_linear(ito_zeros(ITO_SHAPE(0, 7), ITO_F64), w, b)), 0);
    op_check_run((op_check){.what = "linear",
                            .f = linear,
                            .n = 3,
                            .parameter = {false, true, true},
                            .shape = {ITO_SHAPE(2, 2, 3), ITO_SHAPE(4, 3), ITO_SHAPE(4)},
                            .large = {ITO_SHAPE(90, 300), ITO_SHAPE(200, 300), ITO_SHAPE(200)}});
    op_check_run((op_check){.what = "linear of a matrix, without bias",
                            .f = linear,
                            .n = 2,
                            .parameter = {false, true},
                            .shape = {ITO_SHAPE(2, 3), ITO_SHAPE(4, 3)}});
    static const int64_t empty[][3] = {{4, 3, 0}, {4, 0, 3}, {0, 3, 4}}; /* rows, in, out */
    for (int i = 0; i < 3; i++)
        op_check_run(
            (op_check){.what = "linear with an empty axis",
                       .f = linear,
                       .n = 3,
                       .parameter = {false, true, true},
                       .shape = {ITO_SHAPE(empty[i][0], empty[i][1]),
                                 ITO_SHAPE(empty[i][2], empty[i][1]), ITO_SHAPE(empty[i][2])}});
    cr_assert_null(ito_linear(x, random_tensor(ITO_SHAPE(3, 6), -2, 2, 2), b));
    assert_error(ITO_ERR_SHAPE,
                 "linear: x [2, 5, 7] and weight [3, 6] do not fit: [.., in] and [out, in]");
    cr_assert_null(ito_linear(x, w, random_tensor(ITO_SHAPE(4), -2, 2, 2)));
    assert_error(ITO_ERR_SHAPE, "linear: bias [4] does not fit weight [3, 7]");
}

/* linear_data and linear_weight are reached as the gradients of linear, in which they are linear.
 */

static ito_tensor *data_gradient(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    (void)context;
    if (in[0] == NULL || in[1] == NULL)
        return NULL;
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 5, ito_size(in[1], 1)), ito_dtype_of(in[0]));
    ito_requires_grad(x, true);
    return ito_grad(ito_linear(x, in[1], NULL), x, .cotangent = in[0], .create_graph = true);
}

void case_linear_data(void)
{
    op_check_run((op_check){.what = "linear_data",
                            .f = data_gradient,
                            .sweeps = true,
                            .n = 2,
                            .parameter = {false, true},
                            .shape = {ITO_SHAPE(2, 5, 4), ITO_SHAPE(4, 3)}});
}

static ito_tensor *weight_gradient(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    (void)context;
    if (in[0] == NULL || in[1] == NULL)
        return NULL;
    ito_dtype dtype = ito_dtype_of(in[0]) == ITO_BF16 ? ITO_F32 : ito_dtype_of(in[0]);
    ito_tensor *w = ito_zeros(ITO_SHAPE(ito_size(in[1], -1), ito_size(in[0], -1)), dtype);
    ito_requires_grad(w, true);
    return ito_grad(ito_linear(in[0], w, NULL), w, .cotangent = in[1], .create_graph = true);
}

void case_linear_weight(void)
{
    op_check_run((op_check){.what = "linear_weight",
                            .f = weight_gradient,
                            .sweeps = true,
                            .n = 2,
                            .shape = {ITO_SHAPE(2, 5, 3), ITO_SHAPE(2, 5, 4)}});
}

/* Against sums in double of the same bf16 numbers: f32 sums of 300 products and a bias, each
 * rounding 2^-24 of the magnitudes, then one rounding to 8 bits. */
Test(ops_matmul, linear_in_bf16_is_the_sum_in_double_rounded_once)
{
    enum { M = 7, N = 9, K = 300 };
    ito_tensor *x = ito_cast(random_tensor(ITO_SHAPE(M, K), -2, 2, 1), ITO_BF16);
    ito_tensor *w = ito_cast(random_tensor(ITO_SHAPE(N, K), -2, 2, 2), ITO_F32);
    ito_tensor *b = ito_cast(random_tensor(ITO_SHAPE(N), -2, 2, 3), ITO_F32);
    ito_tensor *wide = ito_linear(ito_cast(x, ITO_F64), ito_cast(w, ITO_F64), ito_cast(b, ITO_F64));
    ito_tensor *y = ito_linear(x, w, b);
    cr_assert_eq(ito_dtype_of(y), ITO_BF16);
    ito_tensor *narrow = ito_cast(y, ITO_F64);
    const double *got = ito_const_data(narrow), *want = ito_const_data(wide);
    /* where products are made of bf16, weights are rounded to 8 bits as well */
    bool pairs = ito_multiplies_bf16();
    double sum = (2 * K + 2) * (K * 4.0 + 2.0) * 0x1p-24 + (pairs ? K * 4.0 * 0x1p-9 : 0.0);
    for (int i = 0; i < M * N; i++)
        cr_assert(fabs(got[i] - want[i]) <= 0x1p-8 * fabs(want[i]) + sum);
}

Test(ops_matmul, linear_takes_f32_parameters_beside_bf16)
{
    ito_tensor *x = ito_ones(ITO_SHAPE(2, 3), ITO_BF16), *w = ito_ones(ITO_SHAPE(4, 3), ITO_BF16);
    cr_assert_null(ito_linear(x, w, NULL));
    assert_error(ITO_ERR_DTYPE,
                 "linear: beside bf16 [2, 3] parameters are f32, not bf16 [4, 3] (see ito_cast)");
}

Test(ops_matmul, vectors_and_batches_follow_numpy)
{
    static const struct {
        ito_shape a, b, y;
    } rules[] = {
        {{1, {3}}, {1, {3}}, {0, {0}}},
        {{1, {3}}, {2, {3, 4}}, {1, {4}}},
        {{2, {2, 3}}, {1, {3}}, {1, {2}}},
        {{3, {5, 2, 3}}, {1, {3}}, {2, {5, 2}}},
        {{1, {3}}, {3, {5, 3, 2}}, {2, {5, 2}}},
        {{3, {5, 2, 3}}, {2, {3, 4}}, {3, {5, 2, 4}}},
        {{4, {6, 1, 2, 3}}, {3, {5, 3, 4}}, {4, {6, 5, 2, 4}}},
        {{3, {0, 2, 3}}, {3, {1, 3, 4}}, {3, {0, 2, 4}}},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        ito_tensor *y = ito_matmul(ito_ones(rules[i].a, ITO_F64), ito_ones(rules[i].b, ITO_F64));
        cr_assert_not_null(y, "%s", ito_error());
        cr_assert(shape_equal(ito_shape_of(y), rules[i].y), "rule %zu: %s", i, tensor_shape_str(y));
        for (int64_t e = 0; e < ito_numel(y); e++) /* a row of three ones meets a column of three */
            cr_assert_eq(((const double *)ito_const_data(y))[e], 3.0);
    }
}

Test(ops_matmul, is_associative_up_to_rounding)
{
    ito_tensor *a = random_tensor(ITO_SHAPE(4, 9), -1, 1, 1),
               *b = random_tensor(ITO_SHAPE(9, 5), -1, 1, 2);
    ito_tensor *c = random_tensor(ITO_SHAPE(5, 6), -1, 1, 3);
    assert_close(ito_matmul(ito_matmul(a, b), c), ito_matmul(a, ito_matmul(b, c)), EXACT, "(ab)c");
}

Test(ops_matmul, refuses_shapes_that_do_not_multiply)
{
    ito_tensor *a = ito_ones(ITO_SHAPE(2, 3), ITO_F32), *b = ito_ones(ITO_SHAPE(4, 5), ITO_F32);
    cr_assert_null(ito_matmul(a, b));
    assert_error(ITO_ERR_SHAPE,
                 "matmul: shapes [2, 3] and [4, 5] do not multiply: 3 columns meet 4 rows");
    cr_assert_null(ito_matmul(a, ito_scalar(1, ITO_F32)));
    assert_error(ITO_ERR_SHAPE, "matmul: shapes [2, 3] and [] must have an axis each");
    cr_assert_null(
        ito_matmul(ito_ones(ITO_SHAPE(2, 4, 3), ITO_F32), ito_ones(ITO_SHAPE(3, 3, 4), ITO_F32)));
    assert_error(ITO_ERR_SHAPE, "matmul: the batches of [2, 4, 3] and [3, 3, 4] do not broadcast");
    cr_assert_null(ito_matmul(a, ito_ones(ITO_SHAPE(3), ITO_F64)));
    cr_assert_eq(ito_error_code(), ITO_ERR_DTYPE);
    ito_error_clear();
}
