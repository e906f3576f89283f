/* Functions that are computed again in backward: the same gradients, less memory, the same draws.
 */
#include "autograd/graph.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <string.h>

static ito_tensor *deep(ito_tensor *const *in, int64_t n, void *weight)
{
    (void)n;
    ito_tensor *h = in[0];
    for (int i = 0; i < 5; i++)
        h = ito_tanh(ito_mul(h, weight));
    return h;
}

Test(recompute, it_gives_the_same_gradients)
{
    ito_tensor *x[2], *w[2];
    for (int k = 0; k < 2; k++) {
        x[k] = ito_requires_grad(random_tensor(ITO_SHAPE(50), -1, 1, 1), true);
        w[k] = ito_requires_grad(random_tensor(ITO_SHAPE(50), -1, 1, 2), true);
        ito_tensor *y = k == 0 ? deep(&x[k], 1, w[k]) : ito_recompute(deep, w[k], &x[k], 1);
        cr_assert_eq(ito_backward(ito_sum(ito_square(y))), ITO_OK, "%s", ito_error());
    }
    assert_close(ito_grad_of(x[1]), ito_grad_of(x[0]), 0, "input");
    assert_close(ito_grad_of(w[1]), ito_grad_of(w[0]), 0, "captured weight");
}

Test(recompute, it_keeps_less)
{
    ito_tensor *x = ito_requires_grad(ito_ones(ITO_SHAPE(10000), ITO_F64), true);
    ito_tensor *w = ito_ones(ITO_SHAPE(10000), ITO_F64);
    int64_t held[2];
    for (int k = 0; k < 2; k++) {
        int64_t before = ito_memory_current();
        ito_scope_begin();
        ito_tensor *y = ito_retain(k == 0 ? deep(&x, 1, w) : ito_recompute(deep, w, &x, 1));
        ito_scope_end();
        held[k] = ito_memory_current() - before;
        ito_release(y);
    }
    cr_assert_leq(3 * held[1], held[0]);
}

Test(recompute, it_serves_grad_and_second_derivatives)
{
    ito_tensor *x = ito_requires_grad(random_tensor(ITO_SHAPE(3), -1, 1, 3), true);
    ito_tensor *w = ito_requires_grad(random_tensor(ITO_SHAPE(3), -1, 1, 4), true);
    ito_tensor *plain = ito_grad(ito_sum(deep(&x, 1, w)), x, .create_graph = true);
    ito_tensor *saved = ito_grad(ito_sum(ito_recompute(deep, w, &x, 1)), x, .create_graph = true);
    assert_close(saved, plain, 1e-14, "first");
    assert_close(ito_grad(ito_sum(saved), x), ito_grad(ito_sum(plain), x), 1e-14, "second");
    cr_assert_null(ito_grad_of(w));
    cr_assert_null(ito_recompute(NULL, NULL, &x, 1));
    assert_error(ITO_ERR_ARGUMENT, "recompute: no function");
    cr_assert_null(ito_recompute(deep, w, &x, 0));
    assert_error(ITO_ERR_ARGUMENT, "recompute: takes 1 to 32 inputs, not 0");
}

Test(recompute, it_knows_the_leaves_that_its_function_uses)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(3), -1, 1, 3), *grads[2];
    ito_tensor *w = ito_requires_grad(random_tensor(ITO_SHAPE(3), -1, 1, 4), true);
    for (int k = 0; k < 2; k++) { /* x requires no gradient */
        ito_tensor *y = k == 0 ? deep(&x, 1, w) : ito_recompute(deep, w, &x, 1);
        grads[k] = ito_grad(ito_sum(y), w, .create_graph = true);
        cr_assert_eq(ito_backward(ito_sum(ito_square(grads[k]))), ITO_OK, "%s", ito_error());
        grads[k] = ito_cat(ITO_TENSORS(ito_detach(grads[k]), ito_clone(ito_grad_of(w))), 0);
        ito_zero_grad(w);
    }
    assert_close(grads[1], grads[0], 1e-14, "grad, and backward of what is made of it");
    ITO_NO_GRAD
    {
        cr_assert_not(ito_has_grad_path(ito_recompute(deep, w, &x, 1)));
    }

    ito_tensor *y = ito_recompute(deep, w, &x, 1);
    ITO_NO_GRAD
    {
        ito_mul_scalar_(w, 2);
    }
    cr_assert_eq(ito_backward(ito_sum(y)), ITO_ERR_GRAD);
    assert_error(ITO_ERR_GRAD,
                 "backward: input 1 of recompute, [3], was changed in place after it ran");
    cr_assert_null(ito_recompute(deep, ito_square(w), &x, 1));
    assert_error(ITO_ERR_GRAD, "recompute: its function uses [3], a result from outside that "
                               "requires a gradient: make it an input");
    x = NULL;
    cr_assert_null(ito_recompute(deep, w, &x, 1));
    assert_error(ITO_ERR_ARGUMENT, "recompute: input 0 is NULL");
}

static ito_tensor *doubled(ito_tensor *g, void *calls)
{
    ++*(int *)calls;
    return ito_mul_scalar(g, 2);
}

/* One product, so that its hook is called once. */
static ito_tensor *product(ito_tensor *const *in, int64_t n, void *weight)
{
    (void)n;
    return ito_mul(in[0], weight);
}

static ito_tensor *only_weight(ito_tensor *const *in, int64_t n, void *weight)
{
    (void)in, (void)n;
    return weight;
}

Test(recompute, a_leaf_in_it_has_its_hooks_called_once)
{
    ito_tensor *x = ito_ones(ITO_SHAPE(3), ITO_F64);
    ito_tensor *w = ito_requires_grad(ito_ones(ITO_SHAPE(3), ITO_F64), true);
    int calls = 0;
    cr_assert_eq(ito_add_grad_hook(w, doubled, &calls), ITO_OK);
    ito_tensor *g = ito_grad(ito_sum(ito_recompute(product, w, &x, 1)), w);
    cr_assert_eq(calls, 1);
    cr_assert_float_eq(ito_item(ito_sum(g)), 6, 0);
    cr_assert_eq(ito_backward(ito_sum(ito_recompute(product, w, &x, 1))), ITO_OK);
    cr_assert_eq(calls, 2);
    cr_assert_float_eq(ito_item(ito_sum(ito_grad_of(w))), 6, 0);
    g = ito_grad(ito_sum(ito_recompute(only_weight, w, &x, 1)), w); /* a leaf as the result */
    cr_assert_float_eq(ito_item(ito_sum(g)), 6, 0, "%s", ito_error());
}

/* ---- generators ---- */

/* Noise from two generators, one of them twice. */
static ito_tensor *noisy(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    ito_generator *g = context;
    ito_tensor *h = ito_mul(in[0], ito_rand(&g[0], ITO_SHAPE(4), ITO_F64));
    h = ito_tanh(ito_dropout(h, 0.5, &g[1]));
    return ito_mul(h, ito_randn(&g[0], ITO_SHAPE(4), ITO_F64));
}

static bool same_state(const ito_generator *a, const ito_generator *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

Test(recompute, it_draws_the_same_numbers_again)
{
    ito_generator g[2][2];
    ito_tensor *x[2], *y[2];
    for (int k = 0; k < 2; k++) {
        g[k][0] = ito_generator_make(1, 2);
        g[k][1] = ito_generator_make(3, 4);
        x[k] = ito_requires_grad(random_tensor(ITO_SHAPE(4), -1, 1, 1), true);
        y[k] = k == 0 ? noisy(&x[k], 1, g[k])
                      : ito_recompute(noisy, g[k], &x[k], 1, ITO_GENERATORS(&g[k][0], &g[k][1]));
        cr_assert_eq(ito_backward(ito_sum(y[k])), ITO_OK, "%s", ito_error());
    }
    assert_close(y[1], y[0], 0, "result");
    assert_close(ito_grad_of(x[1]), ito_grad_of(x[0]), 0, "gradient");
}

Test(recompute, its_generators_go_on_as_if_it_had_run_once)
{
    ito_generator plain[2] = {ito_generator_make(1, 2), ito_generator_make(3, 4)}, g[2];
    memcpy(g, plain, sizeof g);
    ito_tensor *x = ito_requires_grad(random_tensor(ITO_SHAPE(4), -1, 1, 1), true);
    noisy(&x, 1, plain);
    ito_tensor *y = ito_recompute(noisy, g, &x, 1, ITO_GENERATORS(&g[0], &g[1]));
    cr_expect(same_state(&g[0], &plain[0]) && same_state(&g[1], &plain[1]), "after forward");
    ito_uniform(&g[0]); /* what is drawn before the sweep stays drawn */
    ito_uniform(&plain[0]);
    for (int sweep = 0; sweep < 2; sweep++) {
        cr_assert_eq(ito_backward(ito_sum(y), .retain_graph = true), ITO_OK, "%s", ito_error());
        cr_expect(same_state(&g[0], &plain[0]) && same_state(&g[1], &plain[1]), "after a sweep");
    }
}

Test(recompute, a_generator_named_twice_is_left_alone_too)
{
    ito_generator g[2] = {ito_generator_make(1, 2), ito_generator_make(3, 4)}, after;
    ito_tensor *x = ito_requires_grad(random_tensor(ITO_SHAPE(4), -1, 1, 1), true);
    ito_tensor *y = ito_recompute(noisy, g, &x, 1, ITO_GENERATORS(&g[0], &g[1], &g[0]));
    after = g[0];
    cr_assert_eq(ito_backward(ito_sum(y)), ITO_OK, "%s", ito_error());
    cr_expect(same_state(&g[0], &after));
}

static ito_tensor *fails_the_second_time(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    ito_generator *g = context;
    ito_uniform(g);
    return ito_grad_enabled() ? error_null(ITO_ERR_ARGUMENT, "no more") : ito_square(in[0]);
}

Test(recompute, generators_come_back_after_a_failure)
{
    ito_generator g = ito_generator_make(1, 2), after;
    ito_tensor *x = ito_requires_grad(ito_ones(ITO_SHAPE(), ITO_F64), true);
    ito_tensor *y = ito_recompute(fails_the_second_time, &g, &x, 1, ITO_GENERATORS(&g));
    after = g;
    cr_assert_eq(ito_backward(y), ITO_ERR_ARGUMENT);
    assert_error(ITO_ERR_ARGUMENT, "no more");
    cr_expect(same_state(&g, &after));
}

Test(recompute, second_derivatives_draw_the_same_numbers)
{
    ito_generator g[2], start[2] = {ito_generator_make(1, 2), ito_generator_make(3, 4)};
    ito_tensor *second[2];
    ito_tensor *x = ito_requires_grad(random_tensor(ITO_SHAPE(4), -1, 1, 1), true);
    for (int k = 0; k < 2; k++) {
        memcpy(g, start, sizeof g);
        ito_tensor *y =
            k == 0 ? noisy(&x, 1, g) : ito_recompute(noisy, g, &x, 1, ITO_GENERATORS(&g[0], &g[1]));
        second[k] = ito_grad(ito_sum(ito_grad(ito_sum(y), x, .create_graph = true)), x);
    }
    assert_close(second[1], second[0], 1e-14, "second derivative");
}

Test(recompute, refuses_generators_that_are_missing)
{
    ito_generator g = ito_generator_make(1, 2);
    ito_tensor *x = ito_ones(ITO_SHAPE(4), ITO_F64);
    cr_assert_null(ito_recompute(noisy, &g, &x, 1, ITO_GENERATORS(&g, NULL)));
    assert_error(ITO_ERR_ARGUMENT, "recompute: generator 1 is NULL");
    cr_assert_null(ito_recompute(noisy, &g, &x, 1, .n_generators = 2));
    assert_error(ITO_ERR_ARGUMENT, "recompute: a list of 2 generators is NULL");
    cr_assert_null(ito_recompute(noisy, &g, &x, 1, .n_generators = -1));
    assert_error(ITO_ERR_ARGUMENT, "recompute: a list of -1 generators");
}
