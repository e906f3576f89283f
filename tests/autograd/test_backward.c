/* The graph and its sweeps: what accumulates, what is freed, what is refused. */
#include "autograd/graph.h"
#include "autograd/transforms.h"
#include "tests/autograd/op_check.h"
#include "tests/expect.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static ito_tensor *leaf(double value)
{
    return ito_requires_grad(ito_scalar(value, ITO_F64), true);
}

Test(backward, the_product_rule)
{
    ito_tensor *x = leaf(3), *y = leaf(5);
    cr_assert_eq(ito_backward(ito_mul(x, y)), ITO_OK, "%s", ito_error());
    cr_assert_eq(ito_item(ito_grad_of(x)), 5);
    cr_assert_eq(ito_item(ito_grad_of(y)), 3);
}

Test(backward, gradients_add_up_until_zeroed)
{
    ito_tensor *x = leaf(3);
    ito_backward(ito_square(x));
    ito_backward(ito_square(x));
    cr_assert_eq(ito_item(ito_grad_of(x)), 12);
    ito_zero_grad(x);
    cr_assert_eq(ito_item(ito_grad_of(x)), 0);
    ito_backward(ito_square(x));
    cr_assert_eq(ito_item(ito_grad_of(x)), 6);
}

Test(backward, a_tensor_used_twice_gets_both_shares)
{
    ito_tensor *x = leaf(2), *y = ito_square(x);
    ito_backward(ito_add(ito_mul(y, x), y)); /* x^3 + x^2 */
    cr_assert_eq(ito_item(ito_grad_of(x)), 16);
    ito_tensor *z = leaf(2);
    ito_backward(ito_mul(z, z));
    cr_assert_eq(ito_item(ito_grad_of(z)), 4);
}

Test(backward, the_output_may_be_a_leaf)
{
    ito_tensor *x = leaf(2);
    cr_assert_eq(ito_backward(x), ITO_OK);
    cr_assert_eq(ito_item(ito_grad_of(x)), 1);
    cr_assert_eq(ito_item(ito_grad(x, x)), 1);
}

Test(backward, a_gradient_shared_by_two_leaves_is_not_one_memory)
{
    ito_tensor *x = leaf(1), *y = leaf(1);
    ito_backward(ito_add(x, y)); /* both get the very same dy */
    ito_backward(ito_square(x));
    cr_assert_eq(ito_item(ito_grad_of(x)), 3);
    cr_assert_eq(ito_item(ito_grad_of(y)), 1);
}

static ito_tensor *power_0(ito_tensor *x)
{
    return ito_pow_scalar(x, 0);
}

/* Operations whose derivative is 0 everywhere. */
static ito_tensor *(*const constant_slopes[])(ito_tensor *) = {power_0, ito_floor, ito_round,
                                                               ito_sign};

Test(backward, a_leaf_behind_a_constant_has_the_gradient_0)
{
    for (size_t i = 0; i < sizeof constant_slopes / sizeof *constant_slopes; i++) {
        ito_tensor *x = ito_requires_grad(random_tensor(ITO_SHAPE(2, 3), -2, 2, 1), true);
        cr_assert_null(ito_grad_of(x));
        cr_assert_eq(ito_backward(ito_sum(constant_slopes[i](ito_square(x)))), ITO_OK);
        assert_close(ito_grad_of(x), ito_zeros(ITO_SHAPE(2, 3), ITO_F64), 0, "gradient");
    }
}

Test(backward, a_constant_adds_nothing_to_a_gradient)
{
    ito_tensor *x = leaf(3);
    ito_backward(ito_square(x));
    cr_assert_eq(ito_backward(ito_floor(x)), ITO_OK);
    cr_assert_eq(ito_item(ito_grad_of(x)), 6);
}

Test(backward, a_leaf_that_wants_no_gradient_any_more_gets_none_behind_a_constant)
{
    ito_tensor *x = leaf(3), *y = leaf(4), *z = ito_floor(ito_mul(x, y));
    ito_requires_grad(x, false);
    cr_assert_eq(ito_backward(z), ITO_OK);
    cr_assert_null(ito_grad_of(x));
    cr_assert_eq(ito_item(ito_grad_of(y)), 0);
}

Test(backward, grad_leaves_leaves_behind_a_constant_alone)
{
    ito_tensor *x = leaf(3), *y = leaf(4);
    cr_assert_eq(ito_item(ito_grad(ito_add(ito_floor(x), y), x)), 0);
    cr_assert_null(ito_grad_of(x));
    cr_assert_null(ito_grad_of(y));
}

Test(backward, needs_a_number_or_a_cotangent)
{
    ito_tensor *x = ito_requires_grad(ito_ones(ITO_SHAPE(2, 3), ITO_F64), true);
    ito_tensor *y = ito_square(x);
    cr_assert_eq(ito_backward(y), ITO_ERR_SHAPE);
    assert_error(ITO_ERR_SHAPE, "backward: the output [2, 3] is not one number; give a cotangent");
    cr_assert_eq(ito_backward(y, .cotangent = ito_ones(ITO_SHAPE(3), ITO_F64)), ITO_ERR_SHAPE);
    assert_error(ITO_ERR_SHAPE,
                 "backward: the cotangent f64 [3] is not like the output f64 [2, 3]");
    cr_assert_eq(ito_backward(y, .cotangent = ito_full_like(y, 3)), ITO_OK);
    assert_elements(ito_grad_of(x), (double[]){6, 6, 6, 6, 6, 6}, 6, 0, "2 x 3");
}

#define NO_HISTORY                                                                                 \
    "backward: the output [] requires no gradient: no leaf is behind it (see ito_requires_grad), " \
    "or it was made without history (ITO_NO_GRAD, ito_detach, a gradient without .create_graph)"

Test(backward, nothing_that_requires_a_gradient_is_an_error)
{
    cr_assert_eq(ito_backward(ito_scalar(1, ITO_F64)), ITO_ERR_GRAD);
    assert_error(ITO_ERR_GRAD, NO_HISTORY);
    ito_tensor *x = leaf(1), *other = ito_scalar(1, ITO_F64);
    cr_assert_null(ito_grad(ito_square(x), other));
    assert_error(ITO_ERR_GRAD, "grad: input 0 [] requires no gradient");
}

Test(backward, an_error_names_the_users_line)
{
    ito_tensor *x = ito_scalar(1, ITO_F64);
    char wanted[400];
    ito_backward(x);
    snprintf(wanted, sizeof wanted, "%s (%s:%d)", NO_HISTORY, __FILE__, __LINE__ - 1);
    cr_assert_str_eq(ito_error(), wanted);
}

Test(backward, a_used_graph_is_gone_unless_retained)
{
    ito_tensor *x = leaf(3), *y = ito_exp(x);
    cr_assert_eq(ito_backward(y, .retain_graph = true), ITO_OK);
    cr_assert_eq(ito_backward(y), ITO_OK);
    cr_assert_eq(ito_backward(y), ITO_ERR_GRAD);
    assert_error(ITO_ERR_GRAD, "backward: what exp saved is gone after one sweep; the first one "
                               "needs .retain_graph = true");
}

Test(backward, frees_what_was_saved_as_it_goes)
{
    ito_tensor *x = ito_requires_grad(ito_ones(ITO_SHAPE(1000), ITO_F64), true);
    ito_scope_begin();
    ito_tensor *y = ito_square(ito_square(ito_square(x)));
    ito_tensor *loss = ito_retain(ito_sum(y));
    ito_scope_end();
    int64_t before = ito_memory_current();
    cr_assert_eq(ito_backward(loss), ITO_OK);
    cr_assert_lt(ito_memory_current(), before); /* two squares gone, one gradient come */
    ito_release(loss);
}

Test(backward, a_value_changed_in_place_is_noticed)
{
    ito_tensor *x = leaf(3), *c = ito_scalar(2, ITO_F64), *y = ito_mul(x, c);
    ito_fill_(c, 5);
    cr_assert_eq(ito_backward(y), ITO_ERR_GRAD);
    assert_error(ITO_ERR_GRAD, "backward: input 1 of mul, [], was changed in place after it ran");
    ito_tensor *e = ito_exp(x);
    ito_touch(e);
    cr_assert_eq(ito_backward(e), ITO_ERR_GRAD);
    assert_error(ITO_ERR_GRAD, "backward: the result of exp, [], was changed in place");
}

Test(backward, no_grad_records_nothing)
{
    ito_tensor *x = leaf(3), *y = NULL;
    ITO_NO_GRAD
    {
        cr_assert_not(ito_grad_enabled());
        y = ito_square(x);
    }
    cr_assert(ito_grad_enabled());
    cr_assert_not(ito_has_grad_path(y));
    cr_assert(ito_has_grad_path(ito_square(x)));
}

Test(backward, enable_grad_records_inside_no_grad)
{
    ito_tensor *x = leaf(3), *recorded = NULL, *hidden = NULL, *after = NULL;
    ITO_NO_GRAD
    {
        ITO_ENABLE_GRAD
        {
            cr_assert(ito_grad_enabled());
            recorded = ito_square(x);
            ito_no_grad_begin();
            hidden = ito_square(x);
            ito_no_grad_end();
            cr_assert(ito_grad_enabled());
        }
        cr_assert_not(ito_grad_enabled());
        after = ito_square(x);
    }
    cr_assert(ito_grad_enabled());
    cr_assert(ito_has_grad_path(recorded));
    cr_assert_not(ito_has_grad_path(hidden));
    cr_assert_not(ito_has_grad_path(after));
    ITO_ENABLE_GRAD cr_assert(ito_grad_enabled());
    cr_assert(ito_grad_enabled());
}

static bool returned_from(int which)
{
    ITO_NO_GRAD
    {
        if (which == 0)
            return ito_grad_enabled();
        ITO_ENABLE_GRAD
        {
            if (which == 1)
                return ito_grad_enabled();
            break; /* leaves the inner block */
        }
        return ito_grad_enabled();
    }
    return true;
}

Test(backward, grad_blocks_end_however_they_are_left)
{
    const bool wanted[] = {false, true, false};
    for (int which = 0; which < 3; which++) {
        cr_expect_eq(returned_from(which), wanted[which], "%d", which);
        cr_expect(ito_grad_enabled());
    }
}

Test(backward, detach_cuts_the_history_and_shares_the_values)
{
    ito_tensor *x = leaf(3), *y = ito_detach(ito_square(x));
    cr_assert_not(ito_has_grad_path(y));
    ito_backward(ito_mul(x, y));
    cr_assert_eq(ito_item(ito_grad_of(x)), 9);
}

Test(backward, grad_leaves_the_leaves_alone)
{
    ito_tensor *x = leaf(3), *y = ito_square(x), *z = ito_mul(y, y);
    cr_assert_eq(ito_item(ito_grad(z, x, .retain_graph = true)), 4 * 27);
    cr_assert_eq(ito_item(ito_grad(z, y)), 18); /* with respect to a result on the way */
    cr_assert_null(ito_grad_of(x));
}

Test(backward, grad_of_something_unrelated_is_zero)
{
    ito_tensor *x = leaf(3), *y = leaf(4);
    cr_assert_eq(ito_item(ito_grad(ito_square(x), y)), 0);
}

Test(backward, grads_of_several_inputs_come_from_one_sweep)
{
    ito_tensor *x = leaf(3), *y = leaf(4), *grads[2];
    ito_tensor *z = ito_mul(ito_square(x), y);
    cr_assert_eq(ito_grads(z, (ito_tensor *[]){x, y}, 2, grads, (ito_backward_options){0}), ITO_OK);
    cr_assert_eq(ito_item(grads[0]), 24);
    cr_assert_eq(ito_item(grads[1]), 9);
}

Test(backward, create_graph_differentiates_again)
{
    ito_tensor *x = leaf(2);
    ito_tensor *d = ito_mul(ito_square(x), ito_square(x)); /* x^4 */
    const double want[] = {32, 48, 48, 24, 0};
    for (int order = 0; order < 4; order++) {
        d = ito_grad(d, x, .create_graph = true);
        cr_assert_not_null(d, "%s", ito_error());
        cr_assert_float_eq(ito_item(d), want[order], 1e-12, "derivative %d", order + 1);
    }
}

Test(backward, a_penalty_on_a_gradient_trains)
{
    ito_tensor *w = leaf(3), *x = leaf(2);
    ito_tensor *g = ito_grad(ito_mul(ito_square(w), x), x, .create_graph = true); /* w^2 */
    cr_assert_eq(ito_backward(ito_square(g)), ITO_OK, "%s", ito_error());         /* w^4 */
    cr_assert_float_eq(ito_item(ito_grad_of(w)), 4 * 27, 1e-9);
    cr_assert_null(ito_grad_of(x));
}

Test(backward, fused_operations_differentiate_again_through_their_composite)
{
    ito_tensor *x = leaf(0.7);
    ito_tensor *g = ito_grad(ito_silu(x), x, .create_graph = true);
    ito_tensor *gg = ito_grad(g, x);
    double s = 1 / (1 + exp(-0.7)), d = s * (1 - s);
    cr_assert_float_eq(ito_item(g), s + 0.7 * d, 1e-12);
    cr_assert_float_eq(ito_item(gg), 2 * d + 0.7 * d * (1 - 2 * s), 1e-12);
}

static ito_tensor *halve(ito_tensor *g, void *calls)
{
    ++*(int *)calls;
    return ito_mul_scalar(g, 0.5);
}

static ito_tensor *refuse(ito_tensor *g, void *unused)
{
    (void)g, (void)unused;
    return NULL;
}

Test(backward, hooks_see_and_change_gradients)
{
    int calls = 0;
    ito_tensor *x = leaf(3), *y = ito_square(x);
    cr_assert_eq(ito_add_grad_hook(y, halve, &calls), ITO_OK);
    cr_assert_eq(ito_add_grad_hook(x, halve, &calls), ITO_OK);
    ito_backward(ito_mul_scalar(y, 8));
    cr_assert_eq(calls, 2);
    cr_assert_eq(ito_item(ito_grad_of(x)), 8 * 6 * 0.25);
    cr_assert_eq(ito_add_grad_hook(ito_scalar(1, ITO_F64), halve, &calls), ITO_ERR_GRAD);
    assert_error(ITO_ERR_GRAD, "add_grad_hook: the tensor [] requires no gradient");
    ito_tensor *z = ito_square(x);
    ito_add_grad_hook(z, refuse, NULL);
    cr_assert_eq(ito_backward(z), ITO_ERR_GRAD);
    assert_error(ITO_ERR_GRAD, "backward: a hook gave no gradient");
}

/* A hook that sweeps the nodes behind y, which come in other places of its list than in the outer
 * sweep's; the gradient goes on as it is. */
static ito_tensor *sweep_behind(ito_tensor *g, void *list)
{
    ito_tensor **y_x_slope = list;
    y_x_slope[2] = ito_retain(ito_grad(y_x_slope[0], y_x_slope[1], .retain_graph = true));
    return g;
}

Test(backward, a_hook_may_sweep_nodes_of_the_sweep_it_is_in)
{
    ito_tensor *x = leaf(3), *u = ito_square(x), *y = ito_mul_scalar(u, 2);
    ito_tensor *z = ito_add(ito_square(y), u), *seen[3] = {y, x, NULL};
    cr_assert_eq(ito_add_grad_hook(z, sweep_behind, seen), ITO_OK);
    cr_assert_eq(ito_backward(z), ITO_OK, "%s", ito_error());
    cr_assert_eq(ito_item(seen[2]), 12);         /* of 2 x^2 */
    cr_assert_eq(ito_item(ito_grad_of(x)), 438); /* of 4 x^4 + x^2 */
    ito_release(seen[2]);
}

enum { MANY = 20, FROZEN = 7 };

/* The sum of i x_i, gradients of which go to grad. */
static ito_status many_inputs(void *grad)
{
    ito_tensor *x[MANY], *weight = ito_arange(0, MANY, 1, ITO_F64);
    for (int i = 0; i < MANY; i++)
        x[i] = ito_requires_grad(ito_ones(ITO_SHAPE(1), ITO_F64), i != FROZEN);
    ito_status status = ito_backward(ito_sum(ito_mul(ito_cat(x, MANY, 0), weight)));
    for (int i = 0; i < MANY && status == ITO_OK; i++)
        ((double *)grad)[i] = ito_grad_of(x[i]) == NULL ? -1 : ito_item(ito_grad_of(x[i]));
    return ito_error_code();
}

Test(backward, each_of_many_inputs_has_its_gradient)
{
    double grad[MANY];
    cr_assert_geq(count_failed_allocations(many_inputs, grad), 3 * MANY);
    for (int i = 0; i < MANY; i++)
        cr_expect_eq(grad[i], i == FROZEN ? -1 : i, "%d: %g", i, grad[i]);
}

Test(backward, requires_grad_is_for_real_leaves)
{
    cr_assert_null(ito_requires_grad(ito_zeros(ITO_SHAPE(1), ITO_I64), true));
    assert_error(ITO_ERR_DTYPE, "requires_grad: gradients are f32, f64 or bf16, not i64");
    ito_tensor *y = ito_square(leaf(2));
    cr_assert_null(ito_requires_grad(y, false));
    assert_error(ITO_ERR_GRAD, "requires_grad: the tensor [] is a result; ito_detach gives one "
                               "without history");
    ito_tensor *x = leaf(1);
    ito_requires_grad(x, false);
    cr_assert_not(ito_has_grad_path(ito_square(x)));
}

Test(backward, a_frozen_leaf_gets_no_gradient)
{
    ito_tensor *x = leaf(2), *w = leaf(3), *y = ito_mul(x, w);
    ito_requires_grad(w, false); /* after it was recorded */
    cr_assert_eq(ito_backward(y), ITO_OK);
    cr_assert_null(ito_grad_of(w));
    cr_assert_eq(ito_item(ito_grad_of(x)), 3);
}

/* A chain this long would overflow the stack if nodes were freed or visited by recursion. */
Test(backward, depth_is_no_matter)
{
    ito_tensor *x = leaf(1);
    ito_scope_begin();
    ito_tensor *y = x;
    for (int i = 0; i < 200000; i++)
        y = ito_add_scalar(y, 1e-6);
    cr_assert_eq(ito_backward(y), ITO_OK);
    cr_assert_eq(ito_item(ito_grad_of(x)), 1);
    ito_tensor *z = x;
    for (int i = 0; i < 200000; i++)
        z = ito_exp(ito_mul_scalar(z, 1e-9));
    ito_scope_end();
}

Test(backward, a_step_returns_memory_to_its_value)
{
    ito_tensor *w = ito_requires_grad(ito_ones(ITO_SHAPE(8, 8), ITO_F32), true);
    int64_t after_first = 0;
    for (int step = 0; step < 4; step++) {
        ito_scope_begin();
        ito_tensor *y = ito_sum(ito_square(ito_matmul(w, w)));
        cr_assert_eq(ito_backward(y), ITO_OK, "%s", ito_error());
        ito_scope_end();
        if (step == 0)
            after_first = ito_memory_current();
        cr_assert_eq(ito_memory_current(), after_first);
    }
}

static ito_tensor *square_root(ito_tensor *const *in, int64_t n, void *unused)
{
    (void)n, (void)unused;
    return ito_sqrt(in[0]);
}

Test(backward, anomaly_mode_names_the_operation_and_its_line)
{
    ito_set_anomaly_mode(true);
    cr_assert_null(ito_log(ito_scalar(-1, ITO_F64)));
    cr_assert(strstr(ito_error(), "test_backward.c:") != NULL, "%s", ito_error());
    assert_error(ITO_ERR_NUMERIC, "log: its result has a NaN");
    ito_tensor *x = leaf(0);
    ito_at("model.c", 12);
    ito_tensor *y = (ito_sqrt)(x); /* its slope is infinite, and 0 times that NaN */
    cr_assert_eq(ito_backward(y, .cotangent = ito_scalar(0, ITO_F64)), ITO_ERR_NUMERIC);
    assert_error(ITO_ERR_NUMERIC, "sqrt: its gradient has a NaN; it was called at model.c:12");
    ito_tensor *zero = ito_scalar(0, ITO_F64);
    cr_assert_null(ito_jvp(square_root, NULL, &zero, 1, &zero, NULL));
    assert_error(ITO_ERR_NUMERIC, "sqrt: its tangent has a NaN");
    ito_set_anomaly_mode(false);
}

Test(backward, anomaly_mode_lets_infinities_pass)
{
    ito_set_anomaly_mode(true);
    ito_tensor *mask = ito_full(ITO_SHAPE(3), -HUGE_VAL, ITO_F64);
    cr_assert_not_null(ito_add(mask, mask), "%s", ito_error());
    ito_set_anomaly_mode(false);
}

Test(backward, operations_refuse_mixed_and_storage_dtypes)
{
    ito_tensor *a = ito_zeros(ITO_SHAPE(2), ITO_F32), *b = ito_zeros(ITO_SHAPE(2), ITO_F64);
    cr_assert_null(ito_add(a, b));
    assert_error(ITO_ERR_DTYPE, "add: f32 [2] and f64 [2] do not mix (see ito_cast)");
    cr_assert_null(ito_exp(ito_zeros(ITO_SHAPE(2), ITO_F16)));
    assert_error(ITO_ERR_DTYPE, "exp: takes f32, f64 or bf16, not f16 (see ito_cast)");
}

Test(backward, parameters_are_f32_beside_bf16)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 2, 3, 3), ITO_BF16);
    ito_tensor *w = ito_zeros(ITO_SHAPE(2, 2, 3, 3), ITO_BF16);
    cr_assert_null(ito_conv2d(x, w, NULL));
    assert_error(ITO_ERR_DTYPE, "conv2d: beside bf16 [1, 2, 3, 3] parameters are f32, not bf16 "
                                "[2, 2, 3, 3] (see ito_cast)");
}

/* x meets the result on three paths, and a second sweep adds to the first; all numbers are exact.
 */
Test(backward, gradients_of_bf16_are_bf16_and_add_up)
{
    ito_tensor *x = ito_cast(ito_from_data((float[]){1, -2}, ITO_SHAPE(2), ITO_F32), ITO_BF16);
    ito_requires_grad(x, true);
    for (int sweep = 1; sweep <= 2; sweep++) {
        ito_tensor *y = ito_sum(ito_add(ito_mul(x, x), ito_mul_scalar(x, 3)));
        cr_assert_eq(ito_dtype_of(y), ITO_BF16);
        cr_assert_eq(ito_backward(y), ITO_OK, "%s", ito_error());
        cr_assert_eq(ito_dtype_of(ito_grad_of(x)), ITO_BF16);
        assert_elements(ito_grad_of(x), (double[]){5.0 * sweep, -1.0 * sweep}, 2, 0, "gradient");
    }
}

Test(backward, what_is_null_is_said_where_nothing_else_was)
{
    ito_tensor *w = ito_requires_grad(ito_ones(ITO_SHAPE(2), ITO_F64), true);
    cr_assert_null(ito_add(w, NULL));
    assert_error(ITO_ERR_ARGUMENT, "add: input 1 is NULL");
    cr_assert_eq(ito_backward(NULL), ITO_ERR_ARGUMENT);
    assert_error(ITO_ERR_ARGUMENT, "backward: the output is NULL");
    cr_assert_null(ito_grad(ito_sum(w), NULL));
    assert_error(ITO_ERR_ARGUMENT, "grad: an input is NULL");
    cr_assert_eq(ito_grads(ito_sum(w), &w, 1, NULL, (ito_backward_options){0}), ITO_ERR_ARGUMENT);
    assert_error(ITO_ERR_ARGUMENT, "grad: the list of tensors is NULL");
    cr_assert_eq(ito_add_grad_hook(w, NULL, NULL), ITO_ERR_ARGUMENT);
    assert_error(ITO_ERR_ARGUMENT, "add_grad_hook: the hook is NULL");
}

/* ---- leaves that are done ---- */

/* In which order leaves were done, and their gradients at that time. */
typedef struct done_list {
    int n;
    const ito_tensor *leaf[8];
    double grad[8];
} done_list;

static void note_done(ito_tensor *leaf, void *context)
{
    done_list *d = context;
    cr_assert_lt(d->n, 8);
    cr_assert_eq(ito_to_data(ito_grad_of(leaf), &d->grad[d->n], ITO_F64), ITO_OK);
    d->leaf[d->n++] = leaf;
}

/* y = a b a + c: a has two gradients, and is done with the second of them. */
Test(backward, a_leaf_is_done_when_all_of_its_gradient_has_come)
{
    ito_tensor *a = ito_requires_grad(ito_full(ITO_SHAPE(), 3, ITO_F64), true);
    ito_tensor *b = ito_requires_grad(ito_full(ITO_SHAPE(), 5, ITO_F64), true);
    ito_tensor *c = ito_requires_grad(ito_full(ITO_SHAPE(), 7, ITO_F64), true);
    done_list d = {0};
    ito_tensor *y = ito_add(ito_mul(ito_mul(a, b), a), c);
    cr_assert_eq(ito_backward(y, .leaf_done = note_done, .leaf_context = &d), ITO_OK);
    cr_assert_eq(d.n, 3);
    cr_expect_eq(d.leaf[0], c);
    cr_expect_eq(d.grad[0], 1);
    for (int i = 1; i < 3; i++)
        cr_expect_eq(d.grad[i], d.leaf[i] == a ? 30 : 9);
    cr_expect_neq(d.leaf[1], d.leaf[2]);
}

Test(backward, an_output_that_is_a_leaf_is_done)
{
    ito_tensor *a = ito_requires_grad(ito_full(ITO_SHAPE(), 3, ITO_F64), true);
    done_list d = {0};
    cr_assert_eq(ito_backward(a, .leaf_done = note_done, .leaf_context = &d), ITO_OK);
    cr_assert_eq(d.n, 1);
    cr_expect_eq(d.grad[0], 1);
}

static ito_tensor *times_leaf(ito_tensor *const *inputs, int64_t n, void *context)
{
    (void)n;
    return ito_mul(inputs[0], context);
}

/* What is computed again sends gradients by a sweep of its own. */
Test(backward, a_leaf_inside_recompute_is_done_once)
{
    ito_tensor *w = ito_requires_grad(ito_full(ITO_SHAPE(), 2, ITO_F64), true);
    ito_tensor *x = ito_requires_grad(ito_full(ITO_SHAPE(), 3, ITO_F64), true);
    done_list d = {0};
    ito_tensor *h = ito_recompute(times_leaf, w, &x, 1);
    h = ito_recompute(times_leaf, w, &h, 1);
    cr_assert_eq(ito_backward(h, .leaf_done = note_done, .leaf_context = &d), ITO_OK);
    cr_assert_eq(d.n, 2);
    for (int i = 0; i < 2; i++)
        cr_expect_eq(d.grad[i], d.leaf[i] == w ? 12 : 4);
}
