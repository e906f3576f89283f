/* Batch and instance norm: modes, running statistics in checkpoints, and what is refused. Values,
 * gradients and statistics are compared with PyTorch's in test_layers_reference.c. */
#include "autograd/ops.h"
#include "nn/layers.h"
#include "nn/layers_norm.h"
#include "nn/optim.h"
#include "tests/nn/nn_check.h"

#include <math.h>

static ito_tensor *random_f64(uint64_t stream, ito_shape shape)
{
    ito_generator g = ito_generator_make(6, stream);
    return ito_randn(&g, shape, ITO_F64);
}

/* Running statistics go to a file and come back; evaluation then gives the same. */
Test(batch_norm, running_statistics_are_part_of_the_state)
{
    ito_running_norm_layer *a = ito_batch_norm_create(NULL, "", 3, .dtype = ITO_F64);
    ito_running_norm_layer *b = ito_batch_norm_create(NULL, "", 3, .dtype = ITO_F64);
    for (uint64_t k = 0; k < 3; k++)
        cr_assert_not_null(ito_running_norm_forward(a, random_f64(k, ITO_SHAPE(4, 3, 2))));
    cr_expect_eq(element(a->num_batches_tracked, 0), 3);
    const char *dir = temporary_directory(), *path = in_directory(dir, "m.safetensors");
    cr_assert_eq(ito_module_save(&a->base, path), ITO_OK);
    cr_assert_eq(ito_module_load(&b->base, path), ITO_OK, "%s", ito_error());
    ito_module_train(&a->base, false);
    ito_module_train(&b->base, false);
    ito_tensor *x = random_f64(9, ITO_SHAPE(1, 3, 5));
    ito_tensor *y = ito_running_norm_forward(a, x), *z = ito_running_norm_forward(b, x);
    for (int64_t i = 0; i < 15; i++)
        cr_expect_eq(element(y, i), element(z, i));
    cr_expect_eq(element(a->num_batches_tracked, 0), 3, "evaluation counts no batch");
    remove_tree(dir);
    ito_module_free(&a->base);
    ito_module_free(&b->base);
}

/* f32 statistics beside bf16 images. */
Test(batch_norm, takes_bf16)
{
    ito_running_norm_layer *l = ito_batch_norm_create(NULL, "", 3);
    ito_tensor *x = ito_cast(random_f64(0, ITO_SHAPE(8, 3, 4)), ITO_BF16);
    ito_tensor *y = ito_running_norm_forward(l, x);
    cr_assert_not_null(y, "%s", ito_error());
    cr_expect_eq(ito_dtype_of(y), ITO_BF16);
    cr_expect_eq(ito_dtype_of(l->running_mean), ITO_F32);
    cr_expect(element(l->running_mean, 0) != 0);
    ito_module_free(&l->base);
}

/* Its buffers are in no optimiser, and a step does not disturb them. */
Test(batch_norm, a_network_with_it_trains)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_module *s = ito_sequential_create(NULL, "");
    ito_linear_create(s, "0", 3, 8, .generator = &g, .dtype = ITO_F64);
    ito_batch_norm_create(s, "1", 8, .dtype = ITO_F64);
    ito_activation_create(s, "2", ito_relu);
    ito_linear_create(s, "3", 8, 1, .generator = &g, .dtype = ITO_F64);
    ito_optimizer *opt = ito_adam_create(s);
    double first = 0, last = 0;
    for (uint64_t k = 0; k < 150; k++) {
        ito_scope_begin();
        ito_tensor *x = random_f64(k, ITO_SHAPE(32, 3));
        ito_tensor *loss = ito_mse_loss(ito_module_forward(s, x), ito_sin(ito_narrow(x, 1, 0, 1)));
        ito_module_zero_grad(s);
        cr_assert_eq(ito_backward(loss), ITO_OK, "%s", ito_error());
        cr_assert_eq(ito_optimizer_step(opt, 0.02), ITO_OK, "%s", ito_error());
        last = ito_item(loss);
        first = k == 0 ? last : first;
        ito_scope_end();
    }
    cr_expect(last < first / 5, "%g, then %g", first, last);
    ito_optimizer_free(opt);
    ito_module_free(s);
}

Test(batch_norm, defaults_are_pytorchs)
{
    ito_running_norm_layer *b = ito_batch_norm_create(NULL, "", 3);
    ito_running_norm_layer *i = ito_instance_norm_create(NULL, "", 3);
    cr_expect(b->eps == 1e-5 && b->momentum == 0.1 && b->weight != NULL && b->running_var != NULL);
    cr_expect(i->eps == 1e-5 && i->momentum == 0.1 && i->weight == NULL && i->running_var == NULL);
    ito_module_free(&b->base);
    ito_module_free(&i->base);
}

Test(batch_norm, what_cannot_be_is_refused)
{
    expect_refused(ito_batch_norm_create(NULL, "", 0), ITO_ERR_ARGUMENT,
                   "batch_norm: 0 channels; there must be some");
    expect_refused(ito_instance_norm_create(NULL, "", -3), ITO_ERR_ARGUMENT,
                   "instance_norm: -3 channels; there must be some");
    expect_refused(ito_batch_norm_create(NULL, "", 3, .eps = -1), ITO_ERR_RANGE,
                   "batch_norm: eps -1 is negative or not finite");
    expect_refused(ito_batch_norm_create(NULL, "", 3, .momentum = 1.5), ITO_ERR_RANGE,
                   "batch_norm: momentum 1.5 is not in [0, 1]");
    expect_refused(ito_instance_norm_create(NULL, "", 3, .momentum = (double)NAN), ITO_ERR_RANGE,
                   "instance_norm: momentum nan is not in [0, 1]");
    expect_refused(ito_batch_norm_create(NULL, "", 3, .dtype = ITO_BF16), ITO_ERR_DTYPE,
                   "batch_norm: parameters are f32 or f64, not bf16; bf16 inputs take f32 "
                   "parameters");
    cr_expect_null(ito_running_norm_forward(NULL, ito_ones(ITO_SHAPE(1, 3), ITO_F32)));
}

static ito_status run_all(void *unused)
{
    (void)unused;
    ito_module *s = ito_sequential_create(NULL, "");
    bool good = s != NULL && ito_batch_norm_create(s, "0", 3) != NULL &&
                ito_instance_norm_create(s, "1", 3, .track_running_stats = true) != NULL;
    ito_tensor *x = good ? ito_ones(ITO_SHAPE(2, 3, 2), ITO_F32) : NULL;
    ito_tensor *y = x == NULL ? NULL : ito_module_forward(s, x);
    ito_status status = y != NULL ? ITO_OK : ito_error_code();
    ito_module_free(s);
    return status;
}

Test(batch_norm, failed_allocations_are_errors_and_leak_nothing)
{
    cr_expect_gt(count_failed_allocations(run_all, NULL), 20);
}
