/* The parts together: a small network learns, in constant memory, and the same from any restart. */
#include "autograd/ops.h"
#include "nn/data.h"
#include "nn/ema.h"
#include "nn/layers.h"
#include "nn/lr_schedule.h"
#include "nn/optim.h"
#include "tests/nn/nn_check.h"

#include <math.h>

typedef struct run {
    ito_module *model;
    ito_optimizer *opt;
    ito_ema *ema;
} run;

static run begin(void)
{
    ito_generator g = ito_generator_make(1, 0);
    run r = {.model = ito_sequential_create(NULL, "")};
    ito_linear_create(r.model, "0", 2, 16, .generator = &g);
    ito_activation_create(r.model, "1", ito_tanh);
    ito_linear_create(r.model, "2", 16, 1, .generator = &g);
    r.opt = ito_adam_create(r.model);
    r.ema = ito_ema_create(r.model, .decay = 0.9, .warmup = true);
    cr_assert_eq(ito_error_code(), ITO_OK, "%s", ito_error());
    return r;
}

static void end(run r)
{
    ito_ema_free(r.ema);
    ito_optimizer_free(r.opt);
    ito_module_free(r.model);
}

/* y = sin(2 a) + b for 64 pairs drawn for this step. */
static double loss_of(run r, int step, bool learn)
{
    ito_scope_begin();
    ito_generator g = ito_generator_make(2, (uint64_t)step);
    ito_tensor *x = ito_rand(&g, ITO_SHAPE(64, 2), ITO_F32);
    ito_tensor *a = ito_narrow(x, 1, 0, 1), *b = ito_narrow(x, 1, 1, 1);
    ito_tensor *y = ito_add(ito_sin(ito_mul_scalar(a, 2)), b);
    ito_tensor *loss = ito_mse_loss(ito_module_forward(r.model, x), y);
    double value = ito_item(loss);
    if (learn) {
        ito_module_zero_grad(r.model);
        cr_assert_eq(ito_backward(loss), ITO_OK, "%s", ito_error());
        cr_assert(isfinite(ito_clip_grad_norm(r.model, 1)));
        double lr = 0.01 * ito_lr_warmup(step, 10) * ito_lr_cosine(step, 300, 0.1);
        cr_assert_eq(ito_optimizer_step(r.opt, lr), ITO_OK);
        cr_assert_eq(ito_ema_update(r.ema), ITO_OK);
    }
    ito_scope_end();
    return value;
}

Test(training, a_small_network_learns_in_constant_memory)
{
    run r = begin();
    double first = loss_of(r, 0, true), last = 0;
    int64_t bytes = ito_memory_current(), blocks = ito_memory_blocks();
    for (int step = 1; step < 300; step++) {
        last = loss_of(r, step, true);
        cr_assert_eq(ito_memory_current(), bytes);
        cr_assert_eq(ito_memory_blocks(), blocks);
    }
    cr_expect(last < first / 50, "%g, then %g", first, last);
    cr_assert_eq(ito_ema_swap(r.ema), ITO_OK);
    cr_expect(loss_of(r, 1000, false) < first / 50);
    end(r);
    cr_expect_eq(ito_error_code(), ITO_OK, "%s", ito_error());
}

/* Two halves of a batch, each loss halved, give the gradient of the whole. */
Test(training, gradients_of_several_passes_add_up_to_the_mean)
{
    ito_generator g = ito_generator_make(3, 0);
    run r = begin();
    ito_tensor *weight = ito_module_find(r.model, "0.weight");
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(8, 2), ITO_F32);
    ito_tensor *y = ito_randn(&g, ITO_SHAPE(8, 1), ITO_F32);
    double whole[32];
    cr_assert_eq(ito_backward(ito_mse_loss(ito_module_forward(r.model, x), y)), ITO_OK);
    for (int i = 0; i < 32; i++)
        whole[i] = element(ito_grad_of(weight), i);
    ito_module_zero_grad(r.model);
    for (int half = 0; half < 2; half++) {
        ito_tensor *part = ito_module_forward(r.model, ito_narrow(x, 0, 4 * half, 4));
        ito_tensor *loss = ito_mse_loss(part, ito_narrow(y, 0, 4 * half, 4));
        cr_assert_eq(ito_backward(ito_mul_scalar(loss, 0.5)), ITO_OK);
    }
    for (int i = 0; i < 32; i++) /* sums of 8 terms near 1 in f32 */
        cr_expect(fabs(element(ito_grad_of(weight), i) - whole[i]) < 1e-5);
    end(r);
}
