/* Weight and spectral norm: what they keep, what they change, and what they refuse. Their values
 * and gradients are compared with PyTorch's in test_layers_reference.c. */
#include "autograd/ops.h"
#include "nn/layers.h"
#include "nn/optim.h"
#include "nn/parametrise.h"
#include "tests/nn/nn_check.h"

#include <math.h>

static ito_linear_layer *linear(void)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_linear_layer *l = ito_linear_create(NULL, "", 4, 3, .generator = &g, .dtype = ITO_F64);
    cr_assert_not_null(l, "%s", ito_error());
    return l;
}

static ito_tensor *some_x(void)
{
    ito_generator g = ito_generator_make(2, 0);
    return ito_randn(&g, ITO_SHAPE(5, 4), ITO_F64);
}

static void expect_names(const ito_module *m, const char *const *names, int64_t n)
{
    ito_named_tensors *state = ito_module_state(m);
    cr_assert_eq(state->n, n);
    for (int64_t i = 0; i < n; i++)
        cr_expect_str_eq(state->names[i], names[i]);
    ito_named_tensors_free(state);
}

static double largest_difference(ito_tensor *a, ito_tensor *b)
{
    cr_assert(a != NULL && b != NULL, "%s", ito_error());
    return ito_item(ito_max(ito_abs(ito_sub(a, b))));
}

Test(parametrise, weight_norm_keeps_the_value_and_has_pytorchs_names)
{
    ito_linear_layer *l = linear();
    ito_tensor *x = some_x(), *before = ito_linear_forward(l, x);
    cr_assert_eq(ito_weight_norm(&l->base), ITO_OK, "%s", ito_error());
    const char *names[] = {"parametrizations.weight.original1", "bias",
                           "parametrizations.weight.original0"};
    expect_names(&l->base, names, 3);
    cr_expect_eq(ito_module_find(&l->base, names[0]), l->weight);
    cr_expect_eq(ito_size(ito_module_find(&l->base, names[2]), 0), 3);
    cr_expect_lt(largest_difference(ito_linear_forward(l, x), before), 1e-15);
    ito_module_free(&l->base);
}

Test(parametrise, spectral_norm_has_a_largest_singular_value_of_1)
{
    ito_linear_layer *l = linear();
    ito_generator g = ito_generator_make(3, 0);
    cr_assert_eq(ito_spectral_norm(&l->base, .generator = &g), ITO_OK, "%s", ito_error());
    const char *names[] = {"parametrizations.weight.original", "bias",
                           "parametrizations.weight.0._u", "parametrizations.weight.0._v"};
    expect_names(&l->base, names, 4);
    for (int i = 0; i < 200; i++)
        cr_assert_not_null(ito_linear_forward(l, some_x()), "%s", ito_error());
    ito_tensor *w = ito_module_value(&l->base, l->weight);
    /* The largest eigenvalue of w w^T by its powers: no fewer than trace(A^k)^(1/k) / 3^(1/k). */
    ito_tensor *a = ito_matmul(w, ito_transpose(w, 0, 1));
    for (int i = 0; i < 10; i++)
        a = ito_matmul(a, a);
    double trace = 0;
    for (int64_t i = 0; i < 3; i++)
        trace += element(a, 4 * i);
    cr_expect_float_eq(trace, 1, 1e-6, "%.17g", trace);
    ito_module_free(&l->base);
}

Test(parametrise, power_iterations_are_made_in_training_alone)
{
    ito_linear_layer *l = linear();
    cr_assert_eq(ito_spectral_norm(&l->base), ITO_OK, "%s", ito_error());
    ito_fill_(ito_detach(ito_module_find(&l->base, "parametrizations.weight.0._v")), 0.5);
    ito_module_train(&l->base, false);
    ito_tensor *first = ito_linear_forward(l, some_x());
    cr_expect_eq(largest_difference(first, ito_linear_forward(l, some_x())), 0);
    ito_module_train(&l->base, true);
    cr_expect_gt(largest_difference(first, ito_linear_forward(l, some_x())), 1e-6);
    ito_module_free(&l->base);
}

/* Two forwards before one backward: the second's power iteration does not touch the first's graph.
 */
Test(parametrise, graphs_of_several_forwards_live_together)
{
    ito_linear_layer *l = linear();
    cr_assert_eq(ito_spectral_norm(&l->base), ITO_OK, "%s", ito_error());
    ito_tensor *y = ito_add(ito_linear_forward(l, some_x()), ito_linear_forward(l, some_x()));
    cr_expect_eq(ito_backward(ito_sum(y)), ITO_OK, "%s", ito_error());
    ito_module_free(&l->base);
}

static void check_removal(ito_linear_layer *l)
{
    ito_module_train(&l->base, false);
    ito_tensor *before = ito_linear_forward(l, some_x());
    ito_module_train(&l->base, true);
    cr_assert_eq(ito_remove_parametrisation(&l->base, "weight"), ITO_OK, "%s", ito_error());
    const char *names[] = {"weight", "bias"};
    expect_names(&l->base, names, 2);
    cr_expect_lt(largest_difference(ito_linear_forward(l, some_x()), before), 1e-15);
    cr_expect_eq(ito_module_value(&l->base, l->weight), l->weight);
    ito_module_free(&l->base);
}

Test(parametrise, removal_leaves_the_value)
{
    ito_linear_layer *l = linear(), *k = linear();
    cr_assert_eq(ito_weight_norm(&l->base), ITO_OK);
    ITO_NO_GRAD
    {
        ito_mul_scalar_(ito_module_find(&l->base, "parametrizations.weight.original0"), 3);
    }
    check_removal(l);
    cr_assert_eq(ito_spectral_norm(&k->base), ITO_OK);
    check_removal(k);
}

Test(parametrise, a_network_with_computed_weights_trains)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_module *s = ito_sequential_create(NULL, "");
    ito_linear_layer *a = ito_linear_create(s, "0", 4, 8, .generator = &g, .dtype = ITO_F64);
    ito_activation_create(s, "1", ito_silu);
    ito_linear_layer *b = ito_linear_create(s, "2", 8, 1, .generator = &g, .dtype = ITO_F64);
    cr_assert_eq(ito_weight_norm(&a->base), ITO_OK);
    cr_assert_eq(ito_spectral_norm(&b->base), ITO_OK);
    ito_optimizer *opt = ito_adam_create(s);
    double first = 0, last = 0;
    for (int k = 0; k < 100; k++) {
        ito_scope_begin();
        ito_tensor *x = some_x();
        ito_tensor *y = ito_mul_scalar(ito_narrow(x, 1, 0, 1), 0.5);
        ito_module_zero_grad(s);
        ito_tensor *loss = ito_mse_loss(ito_module_forward(s, x), y);
        cr_assert_eq(ito_backward(loss), ITO_OK, "%s", ito_error());
        cr_assert_eq(ito_optimizer_step(opt, 0.02), ITO_OK, "%s", ito_error());
        last = ito_item(loss);
        first = k == 0 ? last : first;
        ito_scope_end();
    }
    cr_expect(last < first / 10, "%g, then %g", first, last);
    ito_optimizer_free(opt);
    ito_module_free(s);
}

/* ---- refused ---- */

Test(parametrise, what_cannot_be_is_refused)
{
    ito_linear_layer *l = linear();
    ito_module *m = &l->base;
    cr_expect_eq(ito_weight_norm(NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "weight_norm: the module is NULL");
    cr_expect_eq(ito_weight_norm(m, .name = "w"), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "weight_norm: the module has no parameter \"w\" of its own");
    cr_expect_eq(ito_weight_norm(m, .dim = 2), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "weight_norm: axis 2 of weight, which is [3, 4]");
    cr_expect_eq(ito_weight_norm(m, .dim = -2), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "weight_norm: axis -2 of weight, which is [3, 4]");
    cr_expect_eq(ito_spectral_norm(m, .dim = -1), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "spectral_norm: axis -1 of weight, which is [3, 4]");
    cr_expect_eq(ito_spectral_norm(m, .name = "bias"), ITO_ERR_SHAPE);
    expect_error(ITO_ERR_SHAPE, "spectral_norm: bias is [3], and no matrix");
    cr_expect_eq(ito_spectral_norm(m, .n_power_iterations = 0), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "spectral_norm: 0 power iterations; at least 1 is needed");
    cr_expect_eq(ito_spectral_norm(m, .eps = 0), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "spectral_norm: eps 0; it must be above 0 and finite");
    cr_expect_eq(ito_remove_parametrisation(m, "weight"), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT,
                 "remove_parametrisation: nothing was applied to a parameter \"weight\"");
    cr_expect_eq(ito_remove_parametrisation(m, NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "remove_parametrisation: the name is NULL");
    cr_assert_eq(ito_weight_norm(m), ITO_OK);
    cr_expect_eq(ito_spectral_norm(m), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT,
                 "spectral_norm: the module has no parameter \"weight\" of its own");
    cr_expect_null(ito_module_value(m, NULL));
    cr_expect_eq(ito_error_code(), ITO_OK);
    ito_module_free(m);
}

Test(parametrise, a_flattened_model_is_refused)
{
    ito_linear_layer *l = linear();
    ito_module *m = &l->base;
    const char *of = "the model is flattened already, for an optimizer or an average";
    char message[160];
    cr_assert_eq(ito_module_flatten(m), ITO_OK);
    snprintf(message, sizeof message, "weight_norm: %s", of);
    cr_expect_eq(ito_weight_norm(m), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, message);
    snprintf(message, sizeof message, "spectral_norm: %s", of);
    cr_expect_eq(ito_spectral_norm(m), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, message);
    ito_module_free(m);
    l = linear();
    m = &l->base;
    cr_assert_eq(ito_weight_norm(m), ITO_OK);
    cr_assert_eq(ito_module_flatten(m), ITO_OK);
    snprintf(message, sizeof message, "remove_parametrisation: %s", of);
    cr_expect_eq(ito_remove_parametrisation(m, "weight"), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, message);
    ito_module_free(m);
}

/* A failed attempt leaves the layer as it was. */
static ito_status apply_all(void *unused)
{
    (void)unused;
    ito_linear_layer *l = ito_linear_create(NULL, "", 4, 3);
    if (l == NULL)
        return ito_error_code();
    ito_status status = ito_weight_norm(&l->base);
    if (status == ITO_OK)
        status = ito_remove_parametrisation(&l->base, "weight");
    if (status == ITO_OK)
        status = ito_spectral_norm(&l->base);
    if (status == ITO_OK && ito_linear_forward(l, ito_ones(ITO_SHAPE(1, 4), ITO_F32)) == NULL)
        status = ito_error_code();
    ito_module_free(&l->base);
    return status;
}

Test(parametrise, failed_allocations_are_errors_and_leak_nothing)
{
    cr_expect_gt(count_failed_allocations(apply_all, NULL), 20);
}
