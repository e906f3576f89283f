/* Results that backward computes again rather than keeps, and gradients that take over memory. */
#include "autograd/graph.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>

static ito_tensor *leaf(ito_shape shape, uint64_t seed)
{
    return ito_requires_grad(ito_cast(random_tensor(shape, -2, 2, seed), ITO_F32), true);
}

static int64_t bytes_of(const ito_tensor *t)
{
    return ito_numel(t) * (int64_t)ito_dtype_size(ito_dtype_of(t));
}

/* ---- each cheap operation, on x [4, 8, 32, 32] ---- */

static ito_tensor *norm(ito_tensor *x)
{
    return ito_group_norm(x, 4, NULL, NULL, 1e-5);
}

static ito_tensor *norm_silu(ito_tensor *x)
{
    return ito_group_norm_silu(x, 4, NULL, NULL, 1e-5);
}

static ito_tensor *row_norm(ito_tensor *x)
{
    return ito_layer_norm(x, ITO_SHAPE(32), NULL, NULL);
}

static ito_tensor *root_norm(ito_tensor *x)
{
    return ito_rms_norm(x, ITO_SHAPE(32, 32), NULL);
}

static ito_tensor *drop(ito_tensor *x)
{
    ito_generator g = ito_generator_make(5, 6);
    return ito_dropout(ito_silu(x), 0.25, &g);
}

static ito_tensor *join(ito_tensor *x)
{
    return ito_cat(ITO_TENSORS(ito_silu(x), ito_gelu(x)), 1);
}

static ito_tensor *elu(ito_tensor *x)
{
    return ito_elu(x, .alpha = 2);
}

static ito_tensor *leaky(ito_tensor *x)
{
    return ito_leaky_relu(x);
}

static ito_tensor *gelu(ito_tensor *x)
{
    return ito_gelu(x);
}

static ito_tensor *enlarge(ito_tensor *x)
{
    return ito_upsample_nearest2d(x, 2);
}

static ito_tensor *widen(ito_tensor *x)
{
    return ito_cast(x, ITO_F64);
}

static ito_tensor *turn(ito_tensor *x)
{
    return ito_reshape(ito_permute(norm(x), 0, 2, 3, 1), 4, 32 * 32, 8);
}

static ito_tensor *cut(ito_tensor *x)
{
    return ito_contiguous(ito_narrow(ito_silu(x), 3, 1, 30));
}

typedef ito_tensor *function(ito_tensor *x);

static function *const cheap[] = {ito_silu, ito_mish,  ito_hardswish, elu,       leaky, gelu,
                                  norm,     norm_silu, row_norm,      root_norm, drop,  join,
                                  enlarge,  widen,     turn,          cut};

/* y = h w for h = f(x), whose slope along w is h. */
static ito_tensor *times_w(function *f, ito_tensor *x, ito_tensor **w)
{
    ito_scope_begin();
    ito_tensor *h = f(x);
    *w = ito_requires_grad(ito_ones_like(h), true);
    ito_tensor *y = ito_mul(h, *w);
    cr_assert_not_null(y, "%s", ito_error());
    cr_assert(tensor_node(y)->rematerialise[0]);
    cr_assert_null(tensor_node(y)->in[0]);
    *w = ito_keep(*w);
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

Test(saved, a_rematerialised_result_is_the_same_to_the_bit)
{
    for (size_t i = 0; i < sizeof cheap / sizeof *cheap; i++) {
        ito_scope_begin();
        ito_tensor *x = leaf(ITO_SHAPE(4, 8, 32, 32), 1), *w;
        ito_tensor *want = ito_detach(cheap[i](x)), *y = times_w(cheap[i], x, &w);
        ito_tensor *dw = ito_grad(y, w, .cotangent = ito_ones_like(y));
        cr_assert_not_null(dw, "%s", ito_error());
        assert_close(dw, want, 0, "rematerialised");
        ito_scope_end();
    }
}

Test(saved, a_cheap_result_is_not_kept)
{
    for (size_t i = 0; i < sizeof cheap / sizeof *cheap; i++) {
        ito_scope_begin();
        ito_tensor *x = leaf(ITO_SHAPE(4, 8, 32, 32), 1), *w;
        int64_t before = ito_memory_current();
        ito_tensor *y = times_w(cheap[i], x, &w);
        int64_t kept = ito_memory_current() - before - bytes_of(y) - bytes_of(w);
        cr_assert_lt(kept, bytes_of(x) / 4, "%zu: %lld bytes", i, (long long)kept);
        ito_scope_end();
    }
}

Test(saved, nothing_is_kept_for_a_result_that_nobody_needs)
{
    ito_tensor *a = leaf(ITO_SHAPE(1000), 1), *b = leaf(ITO_SHAPE(1000), 2);
    int64_t before = ito_memory_current();
    ito_scope_begin();
    ito_tensor *y = ito_sum(ito_cat(ITO_TENSORS(ito_add(a, b), ito_sub(a, b)), 0));
    y = ito_keep(y);
    ito_scope_end();
    cr_assert_lt(ito_memory_current() - before, 1000);
    cr_assert_eq(ito_backward(y), ITO_OK, "%s", ito_error());
}

Test(saved, what_costs_more_memory_to_rematerialise_is_kept)
{
    ito_tensor *x = leaf(ITO_SHAPE(8), 1), *h = ito_cast(ito_square(x), ITO_BF16);
    cr_assert_not(tensor_node(h)->handle_uses); /* the f32 square takes more than its bf16 copy */
    ito_tensor *view = ito_reshape(ito_square(x), 2, 4);
    cr_assert_not(
        tensor_node(view)->handle_uses); /* it shares the memory of what it is made from */
}

/* One row of an image that was enlarged: smaller than what it would be made from, two results back.
 */
Test(saved, what_is_kept_further_back_counts)
{
    ito_tensor *x = leaf(ITO_SHAPE(2, 4, 64, 64), 1);
    int64_t before = ito_memory_current();
    ito_scope_begin();
    ito_tensor *row = ito_narrow(ito_upsample_nearest2d(ito_mul_scalar(x, 2), 2), 2, 0, 1);
    cr_assert(tensor_node(row)->handle_uses); /* by itself it would keep the whole enlarged image */
    ito_tensor *h = ito_contiguous(row), *y = ito_keep(ito_square(h));
    int64_t bytes = bytes_of(h);
    cr_assert_not(tensor_node(h)->handle_uses);
    ito_scope_end();
    cr_assert_leq(ito_memory_current() - before, bytes_of(y) + bytes);
    cr_assert_eq(ito_backward(ito_sum(y)), ITO_OK, "%s", ito_error());
}

/* A part that is kept holds all of the memory that it is a part of. */
Test(saved, a_view_counts_with_the_memory_behind_it)
{
    ito_tensor *x = leaf(ITO_SHAPE(64, 64), 1);
    ito_tensor *h = ito_contiguous(ito_narrow(ito_square(x), 1, 0, 1));
    cr_assert_not(tensor_node(h)->handle_uses);
}

Test(saved, a_change_in_place_counts_from_when_it_is_made)
{
    ito_tensor *x = leaf(ITO_SHAPE(2), 1), *w = leaf(ITO_SHAPE(2), 2);
    ito_tensor *h = ito_silu(x), *first = ito_clone(ito_detach(h));
    ito_tensor *before = ito_mul(h, w);
    ITO_NO_GRAD ito_fill_(h, 7);
    ito_tensor *after = ito_mul(h, w);
    ito_tensor *ones = ito_ones_like(h);
    assert_close(ito_grad(before, w, .cotangent = ones), first, 0, "rematerialised");
    assert_close(ito_grad(after, w, .cotangent = ones), ito_full_like(h, 7), 0, "kept");
    ito_tensor *y = ito_mul(ito_silu(x), w);
    ITO_NO_GRAD ito_fill_(x, 1);
    cr_assert_null(ito_grad(y, w, .cotangent = ones));
    assert_error(ITO_ERR_GRAD, "backward: input 0 of silu, [2], was changed in place after it ran");
}

Test(saved, a_retained_graph_rematerialises_each_time)
{
    ito_tensor *x = leaf(ITO_SHAPE(4, 8, 32, 32), 1), *w;
    ito_tensor *y = times_w(join, x, &w), *dy = ito_ones_like(y);
    int64_t before = ito_memory_current();
    ito_scope_begin();
    ito_tensor *first = ito_grad(y, x, .cotangent = dy, .retain_graph = true);
    ito_tensor *again = ito_grad(y, x, .cotangent = dy, .retain_graph = true);
    assert_close(again, first, 0, "second sweep");
    ito_scope_end();
    cr_assert_eq(ito_memory_current(), before); /* what was computed again has gone */
    cr_assert_eq(ito_backward(y, .cotangent = dy), ITO_OK, "%s", ito_error());
    cr_assert_eq(ito_backward(y, .cotangent = dy), ITO_ERR_GRAD);
    assert_error(ITO_ERR_GRAD, "backward: what mul saved is gone after one sweep; the first one "
                               "needs .retain_graph = true");
}

Test(saved, a_sweep_leaves_what_another_graph_needs)
{
    ito_tensor *x = leaf(ITO_SHAPE(6), 1), *w = leaf(ITO_SHAPE(6), 2);
    ito_scope_begin();
    ito_tensor *h = ito_silu(ito_gelu(x)), *want = ito_keep(ito_clone(ito_detach(h)));
    ito_tensor *one = ito_keep(ito_mul(h, h)), *other = ito_keep(ito_mul(h, w));
    ito_scope_end();
    ito_tensor *dy = ito_ones_like(one);
    cr_assert_eq(ito_backward(one, .cotangent = dy), ITO_OK, "%s", ito_error());
    assert_close(ito_grad(other, w, .cotangent = dy), want, 0, "after the other sweep");
}

/* Through joined, normalised, enlarged and dropped images to a convolution and a product. */
static ito_tensor *network(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    ito_generator g = ito_generator_make(3, 4);
    ito_tensor *h = ito_cat(ITO_TENSORS(in[0], ito_silu(in[0])), 1);
    h = ito_dropout(ito_group_norm_silu(h, 2, NULL, NULL, 1e-5), 0.3, &g);
    h = ito_conv2d(ito_upsample_nearest2d(h, 2), in[1], NULL, .padding = 1);
    h = ito_reshape(ito_permute(ito_gelu(h), 0, 2, 3, 1), 2, 16, 3);
    return ito_mul(h, ito_reshape(h, 2, 16, 3));
}

static void make_inputs(ito_tensor **in)
{
    in[0] = ito_requires_grad(random_tensor(ITO_SHAPE(2, 2, 2, 2), -2, 2, 1), true);
    in[1] = ito_requires_grad(random_tensor(ITO_SHAPE(3, 4, 3, 3), -1, 1, 2), true);
}

Test(saved, a_network_of_cheap_results_passes_the_checks)
{
    ito_tensor *in[2];
    make_inputs(in);
    cr_assert_eq(ito_gradcheck(network, NULL, in, 2), ITO_OK, "%s", ito_error());
    cr_assert_eq(ito_gradgradcheck(network, NULL, in, 2), ITO_OK, "%s", ito_error());
}

Test(saved, every_failed_allocation_of_a_sweep_is_an_error_and_leaks_nothing)
{
    ito_tensor *in[2];
    make_inputs(in);
    int64_t blocks = ito_memory_blocks();
    bool done = false;
    for (int64_t n = 1; !done; n++) {
        ito_scope_begin();
        ito_tensor *y = network(in, 2, NULL), *dy = ito_ones_like(y), *grads[2];
        ito_memory_fail_nth(n);
        done = ito_grads(y, in, 2, grads, (ito_backward_options){.cotangent = dy}) == ITO_OK;
        ito_memory_fail_nth(0);
        cr_assert(done || ito_error_code() == ITO_ERR_MEMORY, "request %lld: %s", (long long)n,
                  ito_error());
        ito_error_clear();
        ito_scope_end();
        cr_assert_eq(ito_memory_blocks(), blocks, "request %lld", (long long)n);
    }
}

Test(saved, recompute_takes_rematerialised_results)
{
    ito_tensor *in[2], *plain[2], *wrapped[2];
    make_inputs(in);
    ito_tensor *h = ito_silu(in[0]), *inputs[2] = {h, in[1]};
    ito_tensor *y = network(inputs, 2, NULL), *z = ito_recompute(network, NULL, inputs, 2);
    cr_assert(tensor_node(z)->rematerialise[0]);
    ito_backward_options options = {.cotangent = ito_ones_like(y), .retain_graph = true};
    cr_assert_eq(ito_grads(y, in, 2, plain, options), ITO_OK, "%s", ito_error());
    cr_assert_eq(ito_grads(z, in, 2, wrapped, options), ITO_OK, "%s", ito_error());
    for (int i = 0; i < 2; i++)
        assert_close(wrapped[i], plain[i], 0, "recompute");
}

static ito_tensor *product(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n, (void)params;
    return ito_mul(in[0], in[1]);
}

static ito_tensor *product_backward(int64_t i, ito_tensor *const *in, int64_t n, ito_tensor *output,
                                    ito_tensor *dy, const void *params)
{
    (void)n, (void)output, (void)params;
    return ito_mul(dy, in[1 - i]);
}

Test(saved, a_custom_operation_gets_rematerialised_results)
{
    static const ito_custom_op op = {
        .name = "product", .forward = product, .backward = product_backward};
    ito_tensor *x = leaf(ITO_SHAPE(5), 1), *w = leaf(ITO_SHAPE(5), 2), *h = ito_gelu(x);
    ito_tensor *y = ito_custom(&op, ITO_TENSORS(h, w), NULL);
    cr_assert(tensor_node(y)->rematerialise[0]);
    assert_close(ito_grad(y, w, .cotangent = ito_ones_like(y)), ito_detach(h), 0, "custom");
}

static ito_tensor *keep_it(ito_tensor *grad, void *context)
{
    *(ito_tensor **)context = ito_retain(grad);
    return grad;
}

Test(saved, a_hook_may_keep_the_gradient_that_it_saw)
{
    ito_tensor *x = leaf(ITO_SHAPE(5), 1), *seen = NULL;
    ito_tensor *h = ito_silu(x), *y = ito_sum(ito_square(ito_mul_scalar(h, 3)));
    cr_assert_eq(ito_add_grad_hook(h, keep_it, &seen), ITO_OK);
    cr_assert_eq(ito_backward(y), ITO_OK, "%s", ito_error());
    assert_close(seen, ito_mul_scalar(ito_detach(h), 18), 1e-6, "dL/dh"); /* a few roundings */
    ito_release(seen);
}

Test(saved, without_history_nothing_is_rematerialised)
{
    ito_tensor *x = leaf(ITO_SHAPE(5), 1), *w = leaf(ITO_SHAPE(5), 2), *h = NULL;
    ITO_NO_GRAD h = ito_silu(x);
    ito_tensor *y = ito_mul(h, w);
    cr_assert_not(tensor_node(y)->rematerialise[0]);
    assert_close(ito_grad(y, w, .cotangent = ito_ones_like(y)), h, 0, "kept");
}

Test(saved, depth_is_no_matter)
{
    enum { LENGTH = 100000 };
    ito_tensor *x = leaf(ITO_SHAPE(1), 1);
    ito_tensor *w = ito_ones(ITO_SHAPE(1), ITO_F32);
    for (int kind = 0; kind < 2; kind++) {
        ito_scope_begin();
        ito_tensor *y = x;
        for (int i = 0; i < LENGTH; i++) {
            ito_generator g = ito_generator_make(0, 0);
            y = kind == 0 ? ito_silu(y) : ito_dropout(y, 0.0001, &g);
        }
        y = ito_keep(ito_mul(y, w));
        ito_scope_end();
        cr_assert_eq(ito_backward(y), ITO_OK, "%s", ito_error());
    }
}

/* ---- gradients in place ---- */

/* a takes the gradient that reaches it over, and adds to it; b's share is its own. */
Test(saved, a_leaf_shares_its_gradient_with_nobody)
{
    ito_tensor *a = leaf(ITO_SHAPE(3), 1), *b = leaf(ITO_SHAPE(3), 2);
    ito_tensor *y = ito_add(a, ito_add(a, b)), *dy = ito_mul_scalar(ito_detach(y), 2);
    cr_assert_eq(ito_backward(ito_sum(ito_square(y))), ITO_OK, "%s", ito_error());
    assert_close(ito_grad_of(b), dy, 0, "b");
    assert_close(ito_grad_of(a), ito_add(dy, dy), 0, "a");
}

Test(saved, a_cotangent_stays_as_it_was)
{
    ito_tensor *x = leaf(ITO_SHAPE(2, 8, 5, 5), 1), *dy = leaf(ITO_SHAPE(2, 8, 5, 5), 2);
    function *const in_place[] = {ito_silu, norm, norm_silu, drop};
    for (size_t i = 0; i < 4; i++) {
        ito_tensor *before = ito_clone(ito_detach(dy));
        cr_assert_eq(ito_backward(in_place[i](x), .cotangent = ito_detach(dy)), ITO_OK, "%s",
                     ito_error());
        assert_close(ito_detach(dy), before, 0, "cotangent");
    }
}

static ito_tensor *vector_of(double value)
{
    return ito_full(ITO_SHAPE(3), value, ITO_F32);
}

/* x's gradient after three sweeps of y(x), whose slope is 1, from the cotangent d; d stays 1. */
static void sweep_three_times(function *y, ito_tensor *d, ito_backward_options options)
{
    ito_tensor *x = leaf(ITO_SHAPE(3), 1), *three = vector_of(3);
    options.cotangent = d;
    for (int i = 0; i < 3; i++)
        cr_assert_eq(ito_backward_with(y(x), options), ITO_OK, "%s", ito_error());
    assert_close(d, vector_of(1), 0, "cotangent");
    assert_close(ito_detach(ito_grad_of(x)), three, 0, "gradient");
}

static ito_tensor *itself(ito_tensor *x)
{
    return x;
}

/* Its backward passes the gradient on as it is. */
static ito_tensor *plus_one(ito_tensor *x)
{
    return ito_add(x, ito_ones_like(ito_detach(x)));
}

Test(saved, a_leaf_does_not_take_over_the_callers_cotangent)
{
    function *const outputs[] = {itself, plus_one};
    for (int i = 0; i < 4; i++) {
        ito_backward_options options = {.create_graph = i / 2 == 1};
        ito_tensor *scoped = vector_of(1);
        sweep_three_times(outputs[i % 2], scoped, options);
        ito_tensor *both = ito_retain(vector_of(1));
        sweep_three_times(outputs[i % 2], both, options);
        ito_release(both);
        ito_scope_begin();
        ito_tensor *outlives = ito_retain(vector_of(1));
        ito_scope_end();
        sweep_three_times(outputs[i % 2], outlives, options);
        ito_release(outlives);
    }
}

static ito_tensor *give_ones(ito_tensor *grad, void *context)
{
    ito_tensor **kept = context;
    if (*kept == NULL)
        *kept = ito_retain(ito_ones_like(grad));
    return *kept;
}

static ito_tensor *give_what_is_there(ito_tensor *grad, void *context)
{
    (void)grad;
    return context;
}

/* One made in the hook and retained, and one of a scope further out. */
Test(saved, a_leaf_does_not_take_over_what_a_hook_returns)
{
    ito_tensor *kept = NULL, *there = vector_of(1), *d = vector_of(5);
    for (int on_leaf = 0; on_leaf < 2; on_leaf++) {
        ito_tensor *x[2] = {leaf(ITO_SHAPE(3), 1), leaf(ITO_SHAPE(3), 1)};
        for (int i = 0; i < 6; i++) {
            ito_tensor *y = plus_one(x[i % 2]);
            if (i < 2 || !on_leaf)
                ito_add_grad_hook(on_leaf ? x[i % 2] : y, i % 2 ? give_what_is_there : give_ones,
                                  i % 2 ? (void *)there : &kept);
            cr_assert_eq(ito_backward(y, .cotangent = d), ITO_OK, "%s", ito_error());
        }
        for (int i = 0; i < 2; i++)
            assert_close(ito_grad_of(x[i]), vector_of(3), 0, "gradient");
        assert_close(kept, vector_of(1), 0, "the hook's own");
        assert_close(there, vector_of(1), 0, "the caller's own");
    }
    ito_release(kept);
}

static ito_tensor *copied(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n, (void)params;
    return ito_clone(in[0]);
}

static ito_tensor *give_params(int64_t i, ito_tensor *const *in, int64_t n, ito_tensor *output,
                               ito_tensor *dy, const void *params)
{
    (void)i, (void)in, (void)n, (void)output, (void)dy;
    return *(ito_tensor *const *)params;
}

Test(saved, a_leaf_does_not_take_over_what_a_custom_operation_keeps)
{
    ito_tensor *kept = vector_of(1), *x = leaf(ITO_SHAPE(3), 1);
    const ito_custom_op op = {
        .name = "first", .forward = copied, .backward = give_params, .params_size = sizeof kept};
    for (int i = 0; i < 3; i++) {
        ito_tensor *y = ito_custom(&op, ITO_TENSORS(x), &kept);
        cr_assert_eq(ito_backward(ito_sum(y)), ITO_OK, "%s", ito_error());
    }
    assert_close(kept, vector_of(1), 0, "the operation's own");
    assert_close(ito_grad_of(x), vector_of(3), 0, "gradient");
}

/* Two of the same size at a time: the gradient that arrives and the one that leaves take turns. */
Test(saved, a_chain_of_gradients_takes_the_memory_of_one)
{
    ito_tensor *x = leaf(ITO_SHAPE(64, 1024), 1);
    ito_scope_begin();
    ito_tensor *y = x;
    for (int i = 0; i < 8; i++)
        y = ito_mul_scalar(y, 1.25);
    y = ito_keep(ito_sum(ito_mul_scalar(y, 2)));
    ito_scope_end();
    ito_memory_reset_peak();
    int64_t before = ito_memory_current();
    cr_assert_eq(ito_backward(y), ITO_OK, "%s", ito_error());
    cr_assert_lt(ito_memory_peak() - before, bytes_of(x) * 3 / 2);
}
