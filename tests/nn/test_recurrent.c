/* Recurrent layers: initial values, dropout, computed weights, training, and what is refused.
 * Values, gradients and states are compared with PyTorch's in test_layers_reference.c. */
#include "autograd/ops.h"
#include "nn/layers.h"
#include "nn/layers_recurrent.h"
#include "nn/optim.h"
#include "nn/parametrise.h"
#include "tests/nn/nn_check.h"

#include <math.h>

static ito_tensor *random_f64(uint64_t stream, ito_shape shape)
{
    ito_generator g = ito_generator_make(6, stream);
    return ito_randn(&g, shape, ITO_F64);
}

static double largest_difference(ito_tensor *a, ito_tensor *b)
{
    cr_assert(a != NULL && b != NULL, "%s", ito_error());
    return ito_item(ito_max(ito_abs(ito_sub(a, b))));
}

Test(recurrent, weights_begin_as_pytorchs)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_recurrent_layer *l = ito_gru_create(NULL, "", 5, 16, .generator = &g);
    cr_assert_not_null(l, "%s", ito_error());
    cr_expect_eq(l->n_weights, 4);
    for (int64_t i = 0; i < 4; i++) {
        double largest = ito_item(ito_max(ito_abs(l->weights[i])));
        cr_expect(largest < 0.25 && largest > 0.22, "%g", largest);
    }
    ito_module_free(&l->base);
}

/* A sequence in two parts, the states handed on. */
Test(recurrent, states_carry_a_sequence_on)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_recurrent_layer *l =
        ito_lstm_create(NULL, "", 3, 4, .num_layers = 2, .generator = &g, .dtype = ITO_F64);
    ito_tensor *x = random_f64(0, ITO_SHAPE(6, 2, 3)), *h = NULL, *c = NULL;
    ito_tensor *whole = ito_module_forward(&l->base, x);
    ito_tensor *first = ito_recurrent_forward(l, ito_narrow(x, 0, 0, 4), .h_n = &h, .c_n = &c);
    ito_tensor *last = ito_recurrent_forward(l, ito_narrow(x, 0, 4, 2), .h_0 = h, .c_0 = c);
    cr_expect_lt(largest_difference(ito_narrow(whole, 0, 0, 4), first), 1e-15);
    cr_expect_lt(largest_difference(ito_narrow(whole, 0, 4, 2), last), 1e-15);
    ito_module_free(&l->base);
}

Test(recurrent, dropout_is_drawn_between_layers_in_training_only)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_recurrent_layer *l = ito_gru_create(NULL, "", 3, 8, .num_layers = 2, .dropout = 0.5,
                                            .generator = &g, .dtype = ITO_F64);
    ito_tensor *x = random_f64(0, ITO_SHAPE(4, 2, 3));
    ito_module_seed(&l->base, 3, 0);
    ito_tensor *a = ito_module_forward(&l->base, x);
    cr_expect_gt(largest_difference(a, ito_module_forward(&l->base, x)), 1e-3);
    ito_module_seed(&l->base, 3, 0);
    cr_expect_eq(largest_difference(a, ito_module_forward(&l->base, x)), 0);
    ito_module_train(&l->base, false);
    ito_tensor *b = ito_module_forward(&l->base, x);
    cr_expect_eq(largest_difference(b, ito_module_forward(&l->base, x)), 0);
    ito_module_free(&l->base);
}

Test(recurrent, weights_may_be_computed)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_recurrent_layer *l = ito_rnn_create(NULL, "", 3, 4, .generator = &g, .dtype = ITO_F64);
    ito_tensor *x = random_f64(0, ITO_SHAPE(4, 2, 3)), *before = ito_module_forward(&l->base, x);
    cr_assert_eq(ito_weight_norm(&l->base, .name = "weight_hh_l0"), ITO_OK, "%s", ito_error());
    cr_expect_lt(largest_difference(before, ito_module_forward(&l->base, x)), 1e-15);
    ITO_NO_GRAD
    {
        ito_mul_scalar_(ito_module_find(&l->base, "parametrizations.weight_hh_l0.original0"), 2);
    }
    cr_expect_gt(largest_difference(before, ito_module_forward(&l->base, x)), 1e-3);
    ito_module_free(&l->base);
}

/* Whether the number of ones so far is odd. */
Test(recurrent, a_network_learns_parity)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_recurrent_layer *l = ito_lstm_create(m, "lstm", 1, 8, .generator = &g);
    ito_linear_layer *head = ito_linear_create(m, "head", 8, 1, .generator = &g);
    ito_optimizer *opt = ito_adam_create(m);
    double last = 1;
    for (uint64_t k = 0; k < 400 && last > 0.1; k++) {
        ito_scope_begin();
        ito_generator draw = ito_generator_make(7, k);
        float bits[6][16], odd[6][16];
        for (int n = 0; n < 16; n++)
            for (int t = 0; t < 6; t++) {
                bits[t][n] = ito_uniform(&draw) < 0.5 ? 0.0f : 1.0f;
                odd[t][n] = t == 0 ? bits[t][n] : fabsf(odd[t - 1][n] - bits[t][n]);
            }
        ito_tensor *x = ito_from_data(bits, ITO_SHAPE(6, 16, 1), ITO_F32);
        ito_tensor *logits = ito_linear_forward(head, ito_recurrent_forward(l, x));
        ito_tensor *loss = ito_binary_cross_entropy_with_logits(
            logits, ito_from_data(odd, ITO_SHAPE(6, 16, 1), ITO_F32));
        ito_module_zero_grad(m);
        cr_assert_eq(ito_backward(loss), ITO_OK, "%s", ito_error());
        cr_assert_eq(ito_optimizer_step(opt, 0.03, .max_norm = 1), ITO_OK);
        last = ito_item(loss);
        ito_scope_end();
    }
    cr_expect(last <= 0.1, "%g", last);
    ito_optimizer_free(opt);
    ito_module_free(m);
}

Test(recurrent, what_cannot_be_is_refused)
{
    expect_refused(
        ito_lstm_create(NULL, "", 0, 4), ITO_ERR_ARGUMENT,
        "lstm: 0 inputs, 4 states and 1 layers; all must be positive, the layers 1000000 "
        "at most");
    expect_refused(ito_gru_create(NULL, "", 3, 4, .num_layers = 0), ITO_ERR_ARGUMENT,
                   "gru: 3 inputs, 4 states and 0 layers; all must be positive, the layers 1000000 "
                   "at most");
    expect_refused(ito_rnn_create(NULL, "", 3, 4, .dropout = 1), ITO_ERR_RANGE,
                   "rnn: dropout 1 is not in [0, 1)");
    expect_refused(ito_lstm_create(NULL, "", 3, 4, .dtype = ITO_F16), ITO_ERR_DTYPE,
                   "lstm: parameters are f32 or f64, not f16; bf16 inputs take f32 parameters");
    cr_expect_null(ito_recurrent_forward(NULL, ito_ones(ITO_SHAPE(1, 3), ITO_F32)));
}

static ito_status run_all(void *unused)
{
    (void)unused;
    ito_recurrent_layer *l = ito_lstm_create(NULL, "", 3, 4, .bidirectional = true);
    ito_status status =
        l == NULL ? ito_error_code() : ito_weight_norm(&l->base, .name = "weight_ih_l0");
    ito_tensor *x = status == ITO_OK ? ito_ones(ITO_SHAPE(3, 2, 3), ITO_F32) : NULL;
    ito_tensor *y = x == NULL ? NULL : ito_recurrent_forward(l, x);
    status = y != NULL ? ITO_OK : ito_error_code();
    if (l != NULL)
        ito_module_free(&l->base);
    return status;
}

Test(recurrent, failed_allocations_are_errors_and_leak_nothing)
{
    cr_expect_gt(count_failed_allocations(run_all, NULL), 30);
}
