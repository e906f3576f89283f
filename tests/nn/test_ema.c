/* Averages: the decay's warm-up, the recurrence, swapping, and what is refused. */
#include "autograd/ops.h"
#include "nn/ema.h"
#include "nn/optim.h"
#include "tests/nn/nn_check.h"

#include <math.h>

static ito_module *model(ito_tensor **p)
{
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    *p = ito_module_parameter(m, "p", ramp(ITO_SHAPE(3, 7), 1));
    cr_assert_not_null(*p);
    return m;
}

static void add_to_all(ito_tensor *p, double value)
{
    ito_tensor *values = ito_detach(p);
    cr_assert_not_null(ito_add_(values, ito_full_like(values, value), 1));
}

Test(ema, decay_warms_up)
{
    ito_tensor *p;
    ito_module *m = model(&p);
    ito_ema *e = ito_ema_create(m, .decay = 0.5, .warmup = true);
    const double wanted[] = {1.0 / 10, 2.0 / 11, 3.0 / 12, 4.0 / 13, 5.0 / 14, 6.0 / 15,
                             7.0 / 16, 8.0 / 17, 0.5,      0.5,      0.5};
    for (int i = 0; i < 11; i++) {
        cr_expect_eq(ito_ema_decay(e), wanted[i]);
        cr_assert_eq(ito_ema_update(e), ITO_OK);
    }
    cr_expect_eq(ito_ema_updates(e), 11);
    ito_ema_free(e);
    e = ito_ema_create(m);
    cr_expect_eq(ito_ema_decay(e), 0.9999);
    ito_ema_free(e);
    ito_module_free(m);
}

Test(ema, follows_its_recurrence)
{
    ito_tensor *p;
    ito_module *m = model(&p);
    ito_ema *e = ito_ema_create(m, .decay = 0.9, .warmup = true);
    double average[21];
    for (int i = 0; i < 21; i++)
        average[i] = i + 0.5;
    for (int t = 0; t < 30; t++) {
        double decay = fmin(0.9, (1.0 + t) / (10.0 + t));
        add_to_all(p, t % 3 - 0.75);
        cr_assert_eq(ito_ema_update(e), ITO_OK);
        for (int i = 0; i < 21; i++)
            average[i] = decay * average[i] + (1 - decay) * element(p, i);
    }
    ito_named_tensors *state = ito_ema_state(e);
    cr_assert_eq(state->n, 1);
    cr_expect_str_eq(state->names[0], "p");
    cr_expect_eq(ito_size(state->tensors[0], 1), 7);
    for (int i = 0; i < 21; i++) /* 30 roundings of numbers below 32, each by 1e-6 at most */
        cr_expect(fabs(element(state->tensors[0], i) - average[i]) < 3e-5);
    ito_named_tensors_free(state);
    ito_ema_free(e);
    ito_module_free(m);
}

Test(ema, constant_parameters_stay_to_the_bit)
{
    ito_tensor *p;
    ito_module *m = model(&p);
    ito_ema *e = ito_ema_create(m, .decay = 0.37);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(ito_ema_update(e), ITO_OK);
    ito_named_tensors *state = ito_ema_state(e);
    for (int i = 0; i < 21; i++)
        cr_expect_eq(element(state->tensors[0], i), i + 0.5);
    ito_named_tensors_free(state);
    ito_ema_free(e);
    ito_module_free(m);
}

Test(ema, swapping_twice_restores_both)
{
    ito_tensor *p;
    ito_module *m = model(&p);
    ito_ema *e = ito_ema_create(m, .decay = 0.5);
    add_to_all(p, 4);
    cr_assert_eq(ito_ema_update(e), ITO_OK);
    cr_assert_eq(ito_ema_swap(e), ITO_OK);
    cr_expect(ito_ema_is_swapped(e));
    for (int i = 0; i < 21; i++)
        cr_expect_eq(element(p, i), i + 2.5);
    cr_expect_eq(ito_ema_update(e), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "ema: no update while the averages are in the model's place");
    cr_assert_eq(ito_ema_swap(e), ITO_OK);
    cr_expect_not(ito_ema_is_swapped(e));
    for (int i = 0; i < 21; i++)
        cr_expect_eq(element(p, i), i + 4.5);
    ito_ema_free(e);
    ito_module_free(m);
}

Test(ema, refuses_bad_settings)
{
    ito_tensor *p;
    ito_module *m = model(&p);
    cr_expect_null(ito_ema_create(m, .decay = 1));
    expect_error(ITO_ERR_RANGE, "ema: decay 1 is not in [0, 1)");
    cr_expect_null(ito_ema_create(m, .decay = (double)NAN));
    expect_error(ITO_ERR_RANGE, "ema: decay nan is not in [0, 1)");
    ito_ema *e = ito_ema_create(m);
    cr_expect_eq(ito_ema_set_updates(e, -3), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "ema: -3 updates");
    ito_ema_free(e);
    ito_ema_free(NULL);
    ito_module_free(m);
}

Test(ema, notices_parameters_that_were_moved)
{
    ito_tensor *p;
    ito_module *m = model(&p), *other = ito_module_create(NULL, "", sizeof *other);
    ito_ema *e = ito_ema_create(m);
    ito_module_parameter(other, "p", p);
    cr_assert_eq(ito_module_flatten(other), ITO_OK);
    const char *message = "ema: parameter p was moved: it is in another model that was flattened "
                          "later";
    cr_expect_eq(ito_ema_update(e), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, message);
    cr_expect_eq(ito_ema_swap(e), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, message);
    ito_ema_free(e);
    ito_module_free(m);
    ito_module_free(other);
}
