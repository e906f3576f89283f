/* Attention against the definition in long double, its fused gradients against the composite
 * form's. */
#include "autograd/ops.h"
#include "autograd/transforms.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static const double EXACT = 1e-12; /* sums of up to 1100 terms in double */

static const double by_default = (double)NAN; /* the scale 1 / sqrt(D) */

static ito_tensor *attention(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    return ito_scaled_dot_product_attention(in[0], in[1], in[2], .scale = *(const double *)context);
}

/* One query's output, from q [D], k [S, D], v [S, E]. */
static void reference(double *y, const double *q, const double *k, const double *v, int64_t s,
                      int64_t d, int64_t e, double scale)
{
    long double sum = 0, peak = -(long double)INFINITY;
    long double *weight = malloc((size_t)(s + 1) * sizeof *weight);
    for (int64_t j = 0; j < s; j++) {
        weight[j] = 0;
        for (int64_t i = 0; i < d; i++)
            weight[j] += (long double)scale * (long double)q[i] * (long double)k[j * d + i];
        peak = weight[j] > peak ? weight[j] : peak;
    }
    for (int64_t j = 0; j < s; j++)
        sum += weight[j] = expl(weight[j] - peak);
    for (int64_t i = 0; i < e; i++) {
        long double out = 0;
        for (int64_t j = 0; j < s; j++)
            out += weight[j] / sum * (long double)v[j * e + i];
        y[i] = (double)out;
    }
    free(weight);
}

static void check_sizes(int64_t batch, int64_t t, int64_t s, int64_t d, int64_t e, double scale)
{
    ito_tensor *q = random_tensor(ITO_SHAPE(batch, t, d), -2, 2, 1);
    ito_tensor *k = random_tensor(ITO_SHAPE(batch, s, d), -2, 2, 2);
    ito_tensor *v = random_tensor(ITO_SHAPE(batch, s, e), -2, 2, 3);
    const double *qs = ito_const_data(q), *ks = ito_const_data(k), *vs = ito_const_data(v);
    double *want = malloc((size_t)(batch * t * e + 1) * sizeof *want);
    for (int64_t row = 0; row < batch * t; row++)
        reference(want + row * e, qs + row * d, ks + row / t * s * d, vs + row / t * s * e, s, d, e,
                  isnan(scale) ? 1 / sqrt((double)d) : scale);
    assert_elements(ito_scaled_dot_product_attention(q, k, v, .scale = scale), want, batch * t * e,
                    EXACT, "attention");
    free(want);
}

void case_scaled_dot_product_attention(void)
{
    check_sizes(1, 1, 1, 1, 1, by_default);
    check_sizes(2, 3, 5, 4, 7, by_default);
    check_sizes(3, 31, 63, 7, 2, -0.7);
    check_sizes(1, 70, 1100, 3, 4, by_default); /* more than one block of queries */
    check_sizes(0, 3, 2, 2, 2, by_default);
    check_sizes(2, 0, 2, 2, 2, by_default);
    check_sizes(2, 2, 0, 2, 2, by_default);
    check_sizes(2, 2, 3, 2, 0, by_default);
    double scale = by_default, given = 0.3;
    op_check_run(
        (op_check){.what = "attention",
                   .f = attention,
                   .context = &scale,
                   .n = 3,
                   .shape = {ITO_SHAPE(2, 2, 3), ITO_SHAPE(2, 3, 3), ITO_SHAPE(2, 3, 2)},
                   .tolerance = 1e-3,
                   .roundings = 2, /* AVX-512 BF16 rounds the probabilities for its products */
                   .gradient_roundings = 3,
                   .large = {ITO_SHAPE(3, 200, 32), ITO_SHAPE(3, 700, 32), ITO_SHAPE(3, 700, 16)}});
    op_check_run((op_check){.what = "attention of one matrix",
                            .f = attention,
                            .context = &given,
                            .n = 3,
                            .shape = {ITO_SHAPE(3, 2), ITO_SHAPE(2, 2), ITO_SHAPE(2, 3)},
                            .tolerance = 1e-3,
                            .roundings = 2,
                            .gradient_roundings = 3,
                            .large = {ITO_SHAPE(300, 32), ITO_SHAPE(300, 32), ITO_SHAPE(300, 32)}});
}

/* Slices of one tensor of queries, keys and values with heads, none of them dense. */
static void make_heads(ito_tensor **in)
{
    ito_tensor *all = random_tensor(ITO_SHAPE(2, 150, 3, 3, 5), -1, 1, 1); /* n t (q k v) head d */
    for (int i = 0; i < 3; i++)
        in[i] = ito_requires_grad(ito_detach(ito_permute(ito_select(all, 2, i), 0, 2, 1, 3)), true);
}

Test(ops_attention, fused_and_composite_gradients_agree_on_strided_heads)
{
    ito_tensor *in[3], *fused[3], *composite[3];
    make_heads(in);
    ito_tensor *y = ito_scaled_dot_product_attention(in[0], in[1], in[2]);
    cr_assert_not_null(y, "%s", ito_error());
    ito_tensor *dy = ito_permute(random_tensor(ITO_SHAPE(2, 150, 3, 5), -1, 1, 2), 0, 2, 1, 3);
    ito_backward_options options = {.cotangent = dy, .retain_graph = true};
    cr_assert_eq(ito_grads(y, in, 3, fused, options), ITO_OK, "%s", ito_error());
    options.create_graph = true;
    cr_assert_eq(ito_grads(y, in, 3, composite, options), ITO_OK, "%s", ito_error());
    for (int i = 0; i < 3; i++)
        assert_close(fused[i], composite[i], EXACT, "backward");
}

Test(ops_attention, blocks_of_queries_add_up_in_the_gradients_of_keys)
{
    ito_tensor *in[3] = {random_tensor(ITO_SHAPE(1, 90, 4), -1, 1, 1),
                         random_tensor(ITO_SHAPE(1, 1100, 4), -1, 1, 2),
                         random_tensor(ITO_SHAPE(1, 1100, 3), -1, 1, 3)};
    ito_tensor *fused[3], *composite[3];
    for (int i = 0; i < 3; i++)
        ito_requires_grad(in[i], true);
    ito_tensor *y = ito_scaled_dot_product_attention(in[0], in[1], in[2], .scale = 2.0);
    ito_backward_options options = {.cotangent = random_tensor(ito_shape_of(y), -1, 1, 4),
                                    .retain_graph = true};
    cr_assert_eq(ito_grads(y, in, 3, fused, options), ITO_OK, "%s", ito_error());
    options.create_graph = true;
    cr_assert_eq(ito_grads(y, in, 3, composite, options), ITO_OK, "%s", ito_error());
    for (int i = 0; i < 3; i++)
        assert_close(fused[i], composite[i], EXACT, "backward");
}

static ito_tensor *attention_with(ito_tensor *const *in, int64_t n, void *context)
{
    ito_scaled_dot_product_attention_options options =
        *(ito_scaled_dot_product_attention_options *)context;
    ito_generator g = ito_generator_make(1, 2);
    options.generator = &g;
    if (n == 4)
        options.attn_mask = in[3];
    return ito_scaled_dot_product_attention_with(in[0], in[1], in[2], options);
}

/* Attention of many queries and keys with options: its gradients by kernels and by operations, and
 * the derivative along a direction, whose product with dy is that of the gradients with it. */
static void check_blocks(ito_scaled_dot_product_attention_options options, int64_t keys)
{
    ito_tensor *in[4] = {random_tensor(ITO_SHAPE(2, 150, 4), -1, 1, 1),
                         random_tensor(ITO_SHAPE(2, keys, 4), -1, 1, 2),
                         random_tensor(ITO_SHAPE(2, keys, 3), -1, 1, 3), options.attn_mask};
    ito_tensor *fused[4], *composite[4];
    int n = options.attn_mask != NULL && options.attn_mask->dtype != ITO_BOOL ? 4 : 3;
    for (int i = 0; i < n; i++)
        ito_requires_grad(in[i], true);
    ito_tensor *y = attention_with(in, n, &options);
    cr_assert_not_null(y, "%s", ito_error());
    ito_backward_options sweep = {.cotangent = random_tensor(ito_shape_of(y), -1, 1, 4),
                                  .retain_graph = true};
    cr_assert_eq(ito_grads(y, in, n, fused, sweep), ITO_OK, "%s", ito_error());
    sweep.create_graph = true;
    cr_assert_eq(ito_grads(y, in, n, composite, sweep), ITO_OK, "%s", ito_error());
    ito_tensor *along[4], *detached[4];
    double backward = 0;
    for (int i = 0; i < n; i++) {
        assert_close(fused[i], composite[i], EXACT, "backward");
        along[i] = random_tensor(ito_shape_of(in[i]), -1, 1, (uint64_t)i + 20);
        detached[i] = ito_detach(in[i]);
        backward += ito_item(ito_sum(ito_mul(fused[i], along[i])));
    }
    ito_tensor *dt = ito_jvp(attention_with, &options, detached, n, along, NULL);
    cr_assert_not_null(dt, "%s", ito_error());
    double forward = ito_item(ito_sum(ito_mul(dt, sweep.cotangent)));
    cr_assert_float_eq(forward, backward, 1000 * EXACT, /* sums of a thousand of them */
                       "%.17g, %.17g", forward, backward);
}

#define OPTIONS(...) ITO_OPTIONS(ito_scaled_dot_product_attention_options, __VA_ARGS__)

Test(ops_attention, blocks_that_are_masked_agree_with_the_composite_form)
{
    check_blocks(OPTIONS(.is_causal = true), 150);
    check_blocks(OPTIONS(.is_causal = true), 70);
    check_blocks(OPTIONS(.is_causal = true), 400);
    check_blocks(OPTIONS(.is_causal = true, .dropout_p = 0.3), 150);
    check_blocks(OPTIONS(.dropout_p = 0.3), 1103); /* words within a row of blocks */
    ito_tensor *some =
        ito_gt(random_tensor(ITO_SHAPE(150, 1100), -1, 1, 5), ito_scalar(0, ITO_F64));
    check_blocks(OPTIONS(.attn_mask = some, .scale = -0.3), 1100);
    check_blocks(OPTIONS(.attn_mask = random_tensor(ITO_SHAPE(2, 150, 1100), -1, 1, 5)), 1100);
    check_blocks(OPTIONS(.attn_mask = random_tensor(ITO_SHAPE(1100), -1, 1, 5)), 1100);
    check_blocks(OPTIONS(.attn_mask = random_tensor(ITO_SHAPE(150, 1), -1, 1, 5)), 1100);
    check_blocks(
        OPTIONS(.attn_mask = random_tensor(ITO_SHAPE(150, 150), -1, 1, 5), .is_causal = true), 150);
}

Test(ops_attention, a_query_without_keys_gets_0_and_gives_no_gradient)
{
    ito_tensor *q = random_tensor(ITO_SHAPE(2, 3), -1, 1, 1);
    ito_tensor *k = random_tensor(ITO_SHAPE(4, 3), -1, 1, 2);
    bool sees[] = {false, false, false, false, true, false, true, true};
    double adds[8];
    for (int i = 0; i < 8; i++)
        adds[i] = sees[i] ? 0 : -HUGE_VAL;
    ito_tensor *mask[] = {ito_from_data(sees, ITO_SHAPE(2, 4), ITO_BOOL),
                          ito_from_data(adds, ITO_SHAPE(2, 4), ITO_F64)};
    ito_requires_grad(q, true);
    for (int i = 0; i < 2; i++) {
        ito_tensor *y = ito_scaled_dot_product_attention(q, k, k, .attn_mask = mask[i]);
        assert_elements(ito_select(y, 0, 0), (double[3]){0}, 3, 0, "no key");
        ito_tensor *dq = ito_grad(ito_sum(y), q);
        assert_elements(ito_select(dq, 0, 0), (double[3]){0}, 3, 0, "dq");
        ito_tensor *seen = ito_cat(ITO_TENSORS(ito_narrow(k, 0, 0, 1), ito_narrow(k, 0, 2, 2)), 0);
        assert_close(ito_narrow(y, 0, 1, 1),
                     ito_scaled_dot_product_attention(ito_narrow(q, 0, 1, 1), seen, seen), EXACT,
                     "the others");
    }
}

Test(ops_attention, a_nan_is_not_taken_for_a_hidden_key)
{
    ito_tensor *q = ito_full(ITO_SHAPE(1, 2), (double)NAN, ITO_F64);
    ito_tensor *k = ito_ones(ITO_SHAPE(3, 2), ITO_F64), *mask = ito_ones(ITO_SHAPE(3), ITO_BOOL);
    double nan2[] = {(double)NAN, (double)NAN};
    assert_elements(ito_scaled_dot_product_attention(q, k, k, .attn_mask = mask), nan2, 2, 0, "");
}

Test(ops_attention, without_features_each_value_counts_the_same)
{
    ito_tensor *q = ito_zeros(ITO_SHAPE(1, 0), ITO_F64), *k = ito_zeros(ITO_SHAPE(2, 0), ITO_F64);
    ito_tensor *v = ito_from_data((double[]){1, 4}, ITO_SHAPE(2, 1), ITO_F64);
    assert_elements(ito_scaled_dot_product_attention(q, k, v), (double[]){2.5}, 1, 0, "D = 0");
}

Test(ops_attention, beside_bf16_a_mask_is_bf16_or_f32)
{
    ito_tensor *x = ito_cast(random_tensor(ITO_SHAPE(3, 4), -1, 1, 1), ITO_BF16);
    ito_tensor *mask = ito_cast(random_tensor(ITO_SHAPE(3, 3), -1, 1, 2), ITO_BF16);
    ito_tensor *wide = ito_requires_grad(ito_cast(mask, ITO_F32), true);
    ito_tensor *y = ito_scaled_dot_product_attention(x, x, x, .attn_mask = wide);
    assert_close(ito_scaled_dot_product_attention(x, x, x, .attn_mask = mask), ito_detach(y), 0,
                 "");
    cr_assert_eq(ito_dtype_of(ito_grad(ito_sum(y), wide)), ITO_F32);
}

Test(ops_attention, dropout_takes_numbers_as_a_list_of_all_probabilities_does)
{
    ito_generator g = ito_generator_make(3, 4), same = g;
    ito_tensor *q = random_tensor(ITO_SHAPE(2, 3, 5), -1, 1, 1);
    ito_tensor *v = ito_expand(ito_eye(3, ITO_F64), 2, 3, 3); /* the probabilities themselves */
    ito_tensor *plain = ito_scaled_dot_product_attention(q, q, v);
    ito_tensor *want = ito_reshape(ito_dropout(ito_reshape(plain, -1), 0.4, &same), 2, 3, 3);
    ito_tensor *y = ito_scaled_dot_product_attention(q, q, v, .dropout_p = 0.4, .generator = &g);
    assert_close(y, want, EXACT, "dropout");
    cr_assert_eq(g.offset, same.offset);
}

/* Scores of 2048 x 2048 in f32 would be 16 MiB. */
Test(ops_attention, all_scores_are_never_in_memory)
{
    enum { LENGTH = 2048, MOST = 6 << 20 };
    ito_generator g = ito_generator_make(1, 2);
    ito_tensor *x = ito_cast(random_tensor(ITO_SHAPE(2, LENGTH, 8), -1, 1, 1), ITO_F32);
    ito_tensor *bias = ito_zeros(ITO_SHAPE(LENGTH), ITO_F32);
    ito_requires_grad(x, true);
    ito_requires_grad(bias, true);
    ito_set_threads(2);
    ito_memory_reset_peak();
    int64_t before = ito_memory_peak();
    ito_tensor *y =
        ito_scaled_dot_product_attention(x, ito_narrow(x, 0, 0, 1), x, .attn_mask = bias,
                                         .is_causal = true, .dropout_p = 0.1, .generator = &g);
    cr_assert_eq(ito_backward(ito_sum(y)), ITO_OK, "%s", ito_error());
    ito_scaled_dot_product_attention_options options = OPTIONS(.dropout_p = 0.1);
    ito_tensor *in[3] = {ito_detach(x), ito_detach(x), ito_detach(x)};
    cr_assert_not_null(ito_jvp(attention_with, &options, in, 3, in, NULL), "%s", ito_error());
    cr_assert_lt(ito_memory_peak() - before, MOST);
    cr_assert_gt(ito_memory_peak() - before, LENGTH);
}

Test(ops_attention, the_order_of_keys_does_not_matter)
{
    ito_tensor *q = random_tensor(ITO_SHAPE(6, 5), -1, 1, 1),
               *k = random_tensor(ITO_SHAPE(9, 5), -1, 1, 2);
    ito_tensor *v = random_tensor(ITO_SHAPE(9, 4), -1, 1, 3);
    assert_close(ito_scaled_dot_product_attention(q, ito_flip(k, 0), ito_flip(v, 0)),
                 ito_scaled_dot_product_attention(q, k, v), EXACT, "order");
}

Test(ops_attention, huge_scores_pick_one_value)
{
    float qs[] = {1000, 0}, ks[] = {1000, 0, 0, 1000, -1000, 0}, vs[] = {1, 2, 3};
    ito_tensor *y = ito_scaled_dot_product_attention(
        ito_from_data(qs, ITO_SHAPE(1, 2), ITO_F32), ito_from_data(ks, ITO_SHAPE(3, 2), ITO_F32),
        ito_from_data(vs, ITO_SHAPE(3, 1), ITO_F32), .scale = 1);
    cr_assert_eq(ito_item(y), 1.0);
}

Test(ops_attention, a_matrix_gives_the_same_bits_alone_and_in_a_batch)
{
    ito_tensor *x = ito_cast(random_tensor(ITO_SHAPE(5, 40, 24), -1, 1, 1), ITO_F32);
    ito_tensor *one = ito_narrow(x, 0, 3, 1);
    ito_tensor *y = ito_scaled_dot_product_attention(x, x, x);
    assert_close(ito_scaled_dot_product_attention(one, one, one), ito_narrow(y, 0, 3, 1), 0,
                 "batch");
}

Test(ops_attention, without_queries_keys_get_a_zero_gradient)
{
    ito_tensor *q = ito_zeros(ITO_SHAPE(0, 2), ITO_F64), *v = ito_ones(ITO_SHAPE(3, 2), ITO_F64);
    ito_requires_grad(v, true);
    cr_assert_eq(ito_backward(ito_sum(ito_scaled_dot_product_attention(q, v, v))), ITO_OK);
    assert_elements(ito_grad_of(v), (double[6]){0}, 6, 0, "dv");
}

Test(ops_attention, refuses_shapes_that_do_not_fit)
{
    ito_tensor *q = ito_zeros(ITO_SHAPE(2, 3, 4), ITO_F32),
               *k = ito_zeros(ITO_SHAPE(2, 5, 4), ITO_F32);
    ito_tensor *flat = ito_zeros(ITO_SHAPE(4), ITO_F32),
               *v = ito_zeros(ITO_SHAPE(2, 6, 4), ITO_F32);
    cr_assert_null(ito_scaled_dot_product_attention(q, k, v));
    assert_error(ITO_ERR_SHAPE,
                 "scaled_dot_product_attention: q [2, 3, 4], k [2, 5, 4] and v [2, 6, 4] "
                 "do not fit: [.., T, D], [.., S, D] and [.., S, E]");
    cr_assert_null(ito_scaled_dot_product_attention(flat, flat, flat));
    assert_error(ITO_ERR_SHAPE, "scaled_dot_product_attention: q [4], k [4] and v [4] do not fit: "
                                "[.., T, D], [.., S, D] and [.., S, E]");
}
