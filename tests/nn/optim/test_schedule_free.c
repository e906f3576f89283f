/* Schedule-Free's two sets of weights: x in the model's place and back, averages, checkpoints. The
 * trajectories themselves are in test_reference.c. */
#include "autograd/ops.h"
#include "nn/checkpoint.h"
#include "tests/nn/optim/optim_check.h"

static double of(const ito_module *m)
{
    return element(ito_module_find(m, "conv.weight"), 5);
}

Test(optim_schedule_free, evaluation_and_back_to_the_bit)
{
    ito_module *m = small_model(ITO_F32, 1), *same = small_model(ITO_F32, 1);
    ito_optimizer *opt = ito_schedule_free_adamw_create(m);
    ito_optimizer *straight = ito_schedule_free_adamw_create(same);
    cr_expect(ito_optimizer_is_training(opt));
    take_steps(m, opt, 0, 3, 0.01);
    take_steps(same, straight, 0, 3, 0.01);
    cr_assert_eq(ito_optimizer_train(opt, true), ITO_OK);
    cr_expect_eq(of(m), of(same));
    cr_assert_eq(ito_optimizer_train(opt, false), ITO_OK);
    double x = of(m);
    cr_expect_neq(x, of(same));
    cr_expect_not(ito_optimizer_is_training(opt));
    cr_assert_eq(ito_optimizer_train(opt, false), ITO_OK);
    cr_expect_eq(of(m), x, "a second call changes nothing");
    cr_expect_eq(ito_optimizer_step(opt, 0.01), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "schedule_free_adamw: no step in evaluation mode");
    cr_assert_eq(ito_optimizer_train(opt, true), ITO_OK);
    take_steps(m, opt, 3, 5, 0.01);
    take_steps(same, straight, 3, 5, 0.01);
    cr_expect(lists_agree(ito_module_parameters(m), ito_module_parameters(same)));
    cr_expect(lists_agree(ito_optimizer_state(opt), ito_optimizer_state(straight)));
    ito_optimizer_free(opt);
    ito_optimizer_free(straight);
    ito_module_free(m);
    ito_module_free(same);
}

/* With the decay 0 averages are what they follow, but for the rounding of a + (x - a). */
Test(optim_schedule_free, averages_follow_x)
{
    ito_module *m = small_model(ITO_F32, 1);
    ito_optimizer *opt = ito_schedule_free_sgd_create(m);
    ito_ema *ema = ito_ema_create(m, .decay = 0);
    for (int64_t t = 0; t < 4; t++) {
        draw_gradients(m, t);
        cr_assert_eq(ito_optimizer_step(opt, 0.1, .ema = ema), ITO_OK);
    }
    cr_assert_eq(ito_optimizer_train(opt, false), ITO_OK);
    ito_named_tensors *average = ito_ema_state(ema), *x = ito_module_parameters(m);
    for (int64_t i = 0; i < x->n; i++)
        for (int64_t k = 0; k < ito_numel(x->tensors[i]); k++)
            cr_expect(fabs(element(average->tensors[i], k) - element(x->tensors[i], k)) < 1e-6);
    ito_named_tensors_free(average);
    ito_named_tensors_free(x);
    ito_ema_free(ema);
    ito_optimizer_free(opt);
    ito_module_free(m);
}

/* z is the model's weights as they are at the first step, not when the optimiser was made. */
Test(optim_schedule_free, begins_with_the_weights_of_the_first_step)
{
    ito_module *m = small_model(ITO_F32, 1), *same = small_model(ITO_F32, 2);
    ito_optimizer *opt = ito_schedule_free_adamw_create(m);
    ito_named_tensors *to = ito_module_parameters(m), *from = ito_module_parameters(same);
    for (int64_t i = 0; i < to->n; i++)
        memcpy(ito_data(to->tensors[i]), ito_const_data(from->tensors[i]),
               (size_t)ito_numel(to->tensors[i]) * sizeof(float));
    ito_named_tensors_free(to);
    ito_named_tensors_free(from);
    ito_optimizer *straight = ito_schedule_free_adamw_create(same);
    cr_assert_eq(ito_optimizer_train(opt, false), ITO_OK);
    cr_expect_eq(of(m), of(same), "before the first step x is y");
    cr_assert_eq(ito_optimizer_train(opt, true), ITO_OK);
    take_steps(m, opt, 0, 3, 0.01);
    take_steps(same, straight, 0, 3, 0.01);
    cr_expect(lists_agree(ito_module_parameters(m), ito_module_parameters(same)));
    ito_optimizer_free(opt);
    ito_optimizer_free(straight);
    ito_module_free(m);
    ito_module_free(same);
}

Test(optim_schedule_free, other_algorithms_have_one_set_of_weights)
{
    ito_module *m = small_model(ITO_F32, 1);
    ito_optimizer *opt = ito_adam_create(m);
    double before = of(m);
    cr_expect_eq(ito_optimizer_train(opt, false), ITO_OK);
    cr_expect(ito_optimizer_is_training(opt));
    cr_expect_eq(of(m), before);
    ito_optimizer_free(opt);
    ito_module_free(m);
    cr_expect_eq(ito_optimizer_train(NULL, true), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "optimizer_train: the optimiser is NULL");
    cr_expect_not(ito_optimizer_is_training(NULL));
}

Test(optim_schedule_free, checkpoints_are_of_what_training_goes_on_with)
{
    const char *dir = temporary_directory();
    ito_module *m = small_model(ITO_F32, 1);
    ito_optimizer *opt = ito_schedule_free_adamw_create(m);
    ito_training_state state = {.model = m, .optimizer = opt};
    cr_assert_eq(ito_optimizer_train(opt, false), ITO_OK);
    const char *message = "checkpoint: the optimiser is in evaluation mode; put it back into "
                          "training mode";
    cr_expect_eq(ito_checkpoint_save(dir, &state), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, message);
    cr_expect_eq(ito_checkpoint_load(dir, &state), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, message);
    ito_optimizer_free(opt);
    ito_module_free(m);
    remove_tree(dir);
}

Test(optim_schedule_free, evaluation_without_memory_changes_nothing)
{
    ito_module *m = small_model(ITO_F32, 1);
    ito_optimizer *opt = ito_schedule_free_adamw_create(m);
    take_steps(m, opt, 0, 2, 0.01);
    double before = of(m);
    ito_memory_fail_nth(1);
    cr_expect_eq(ito_optimizer_train(opt, false), ITO_ERR_MEMORY);
    ito_memory_fail_nth(0);
    ito_error_clear();
    cr_expect(ito_optimizer_is_training(opt));
    cr_expect_eq(of(m), before);
    ito_optimizer_free(opt);
    ito_module_free(m);
}

Test(optim_schedule_free, notices_parameters_that_were_moved)
{
    ito_module *m = small_model(ITO_F32, 1), *other = ito_module_create(NULL, "", sizeof *other);
    ito_optimizer *opt = ito_schedule_free_adamw_create(m);
    ito_module_parameter(other, "p", ito_module_find(m, "gain"));
    cr_assert_eq(ito_module_flatten(other), ITO_OK);
    cr_expect_eq(ito_optimizer_train(opt, false), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT,
                 "schedule_free_adamw: parameter gain was moved: it is in another "
                 "model that was flattened later");
    ito_optimizer_free(opt);
    ito_module_free(m);
    ito_module_free(other);
}
