/* Where the memory of a training run goes, against sizes known from the model. */
#include "autograd/ops.h"
#include "nn/layers.h"
#include "nn/memory.h"
#include "tensor/runtime.h"

#include <criterion/criterion.h>

static void train_once(ito_linear_layer *l)
{
    ito_scope_begin();
    ito_tensor *x = ito_ones(ITO_SHAPE(1000, 64), ITO_F32);
    cr_assert_eq(ito_backward(ito_mean(ito_square(ito_linear_forward(l, x)))), ITO_OK, "%s",
                 ito_error());
    ito_scope_end();
}

Test(memory_account, counts_each_block_once)
{
    enum { WEIGHTS = 64 * 64 * 4, BIAS = 64 * 4, BYTES = WEIGHTS + BIAS };
    ito_generator g = ito_generator_make(1, 2);
    ito_linear_layer *l = ito_linear_create(NULL, "", 64, 64, .generator = &g);
    ito_memory_account apart = ito_memory_account_of(&l->base, NULL, NULL);
    cr_assert_eq(apart.weights, BYTES);
    cr_assert_eq(apart.gradients, 0);
    ito_optimizer *adam = ito_adam_create(&l->base);
    ito_ema *ema = ito_ema_create(&l->base);
    ito_memory_reset_peak();
    train_once(l);
    ito_memory_account a = ito_memory_account_of(&l->base, adam, ema);
    cr_assert_eq(a.weights, BYTES); /* in one block by now, whose padding is none here */
    cr_assert_eq(a.gradients, BYTES);
    cr_assert_eq(a.optimizer, 2 * BYTES);
    cr_assert_eq(a.averages, BYTES);
    cr_assert_eq(a.activations, a.peak - 5 * BYTES);
    cr_assert_geq(a.activations, 2 * 1000 * 64 * 4); /* x and what the layer made of it */
    cr_assert_eq(a.peak, ito_memory_peak());
    cr_assert_geq(a.held, ito_memory_current());
    ito_ema_free(ema);
    ito_optimizer_free(adam);
    ito_module_free(&l->base);
}

Test(memory_account, no_memory_is_an_error)
{
    ito_linear_layer *l = ito_linear_create(NULL, "", 4, 4);
    ito_memory_fail_nth(1);
    cr_assert_eq(ito_memory_account_of(&l->base, NULL, NULL).weights, 0);
    cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
    ito_error_clear();
    ito_module_free(&l->base);
}
