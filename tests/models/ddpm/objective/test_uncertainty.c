/* Uncertainty of a loss: its formula, what it learns, and what is refused. */
#include "models/ddpm/objective/uncertainty.h"

#include "autograd/autograd.h"
#include "models/ddpm/train.h"
#include "nn/optim.h"
#include "tensor/runtime.h"
#include "tests/models/ddpm/ddpm_check.h"

#include <math.h>

static ito_uncertainty *make(ito_module *root, int64_t channels)
{
    ito_generator g = ito_generator_make(3, 0);
    ito_uncertainty *u =
        ito_uncertainty_create(root, "u", channels, .generator = &g, .dtype = ITO_F64);
    cr_assert_not_null(u, "%s", ito_error());
    return u;
}

static ito_tensor *times(double a, double b)
{
    ito_tensor *t = ito_full(ITO_SHAPE(2), a, ITO_F64);
    ((double *)ito_data(t))[1] = b;
    return t;
}

static double at(ito_tensor *x, int64_t i)
{
    cr_assert_not_null(x, "%s", ito_error());
    return ((const double *)ito_const_data(ito_contiguous(x)))[i];
}

/* sqrt(2) cos(freqs log(sigma) / 4 + phases) by rows of unit norm, and L / e^u + u. */
Test(uncertainty, is_a_linear_function_of_fourier_features_of_c_noise)
{
    enum { CHANNELS = 7 };
    ito_diffusion *d = ito_diffusion_create(.schedule = &ito_schedule_edm);
    ito_module *root = ito_module_create(NULL, "", sizeof *root);
    ito_uncertainty *u = make(root, CHANNELS);
    ito_tensor *t = times(0.3, 20.0), *got = ito_uncertainty_forward(u, d, t);
    ito_tensor *losses = ito_uncertainty_losses(u, d, t, times(2.0, 0.5));
    const double *w = ito_const_data(u->linear->weight);
    const double *freqs = ito_const_data(u->fourier->freqs);
    const double *phases = ito_const_data(u->fourier->phases);
    double norm = 0.0;
    for (int k = 0; k < CHANNELS; k++)
        norm += w[k] * w[k];
    for (int i = 0; i < 2; i++) {
        double c_noise = log(i == 0 ? 0.3 : 20.0) / 4.0, sum = 0.0;
        for (int k = 0; k < CHANNELS; k++)
            sum += w[k] / sqrt(norm) * sqrt(2.0) * cos(freqs[k] * c_noise + phases[k]);
        /* the layer divides by its norm + 1e-4: eq. (47) */
        cr_expect_float_eq(at(got, i), sum, 1e-3 * (1.0 + fabs(sum)));
        double L = i == 0 ? 2.0 : 0.5, v = at(got, i);
        cr_expect_float_eq(at(losses, i), L / exp(v) + v, 1e-12);
    }
    ito_module_free(root);
    ito_diffusion_free(d);
}

/* The least of L / e^u + u is at u = log L. */
Test(uncertainty, learns_the_logarithm_of_the_loss_at_each_level)
{
    ito_diffusion *d = ito_diffusion_create(.schedule = &ito_schedule_flow);
    ito_module *root = ito_module_create(NULL, "", sizeof *root);
    ito_uncertainty *u = make(root, 32);
    ito_optimizer *sgd = ito_sgd_create(root, .momentum = 0.9);
    for (int step = 0; step < 400; step++) {
        ito_scope_begin();
        ito_module_zero_grad(root);
        ito_tensor *loss =
            ito_mean(ito_uncertainty_losses(u, d, times(0.1, 0.9), times(0.25, 2.0)));
        cr_assert_eq(ito_backward(loss), ITO_OK, "%s", ito_error());
        cr_assert_eq(ito_optimizer_step(sgd, 0.2), ITO_OK);
        ito_scope_end();
    }
    ito_tensor *got = ito_uncertainty_forward(u, d, times(0.1, 0.9));
    cr_expect_float_eq(at(got, 0), log(0.25), 0.02);
    cr_expect_float_eq(at(got, 1), log(2.0), 0.02);
    ito_optimizer_free(sgd);
    ito_module_free(root);
    ito_diffusion_free(d);
}

/* A training step moves it, and reports the loss as it would without it. */
Test(uncertainty, is_trained_with_the_network)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 10);
    double loss[2][2];
    for (int k = 0; k < 4; k++) {
        ito_unet_config c = tiny_unet_config(1);
        ito_generator g = ito_generator_make(1, 0);
        ito_unet *unet = ito_unet_create(&c, &g);
        ito_uncertainty *u = NULL;
        if (k % 2 == 1)
            u = ito_uncertainty_create(&unet->base, "uncertainty", 16, .generator = &g);
        ito_optimizer *adam = ito_adam_create(&unet->base);
        ito_timestep_sampler *law =
            k < 2 ? NULL : ito_timestep_sampler_create(d->process, &ito_timestep_law_stratified);
        ito_diffusion_trainer trainer = {.diffusion = d,
                                         .network = &unet->network,
                                         .model = &unet->base,
                                         .optimizer = adam,
                                         .timesteps = law,
                                         .uncertainty = u};
        ito_tensor *before = u == NULL ? NULL : ito_clone(u->linear->weight);
        ito_train_result r;
        ito_tensor *x = ito_full(ITO_SHAPE(4, 1, 8, 8), 0.3, ITO_F32);
        cr_assert_eq(ito_diffusion_train_step(&trainer, x, 0, 1e-2, &r), ITO_OK, "%s", ito_error());
        cr_assert(r.applied, "%s", r.culprit);
        loss[k / 2][k % 2] = r.loss;
        if (u != NULL)
            cr_expect_gt(largest_difference(before, u->linear->weight), 1e-3);
        ito_timestep_sampler_free(law);
        ito_optimizer_free(adam);
        ito_module_free(&unet->base);
    }
    for (int k = 0; k < 2; k++)
        cr_expect_float_eq(loss[k][0], loss[k][1], 1e-6 * loss[k][0]);
    ito_diffusion_free(d);
}

Test(uncertainty, failed_allocations_are_errors_and_leak_nothing)
{
    ito_diffusion *d = ito_diffusion_create(.schedule = &ito_schedule_flow);
    ito_module *root = ito_module_create(NULL, "", sizeof *root);
    ito_uncertainty *u = make(root, 4);
    ito_tensor *t = times(0.5, 1), *losses = times(2, 3), *y = NULL;
    cr_assert_not_null(ito_uncertainty_forward(u, d, t)); /* which normalises the weight once */
    int64_t failures = 0, blocks = ito_memory_blocks();
    for (; y == NULL; failures += y == NULL) {
        ito_scope_begin();
        ito_memory_fail_nth(failures + 1);
        y = ito_uncertainty_losses(u, d, t, losses);
        ito_memory_fail_nth(0);
        cr_assert_eq(ito_error_code(), y == NULL ? ITO_ERR_MEMORY : ITO_OK);
        ito_error_clear();
        ito_scope_end();
        cr_assert_eq(ito_memory_blocks(), blocks);
    }
    cr_assert_gt(failures, 5);
    ito_module_free(root);
    root = ito_module_create(NULL, "", sizeof *root);
    for (u = NULL, failures = 0; u == NULL; failures += u == NULL) {
        ito_memory_fail_nth(failures + 1);
        u = ito_uncertainty_create(root, "u", 4);
        ito_memory_fail_nth(0);
        cr_assert_eq(ito_error_code(), u == NULL ? ITO_ERR_MEMORY : ITO_OK);
        ito_error_clear();
    }
    cr_assert_gt(failures, 2);
    ito_module_free(root);
    ito_diffusion_free(d);
}

Test(uncertainty, what_it_cannot_take_is_refused)
{
    ito_diffusion *d = ito_diffusion_create(.schedule = &ito_schedule_flow);
    ito_module *root = ito_module_create(NULL, "", sizeof *root);
    ito_uncertainty *u = make(root, 4);
    assert_refused(ito_uncertainty_forward(NULL, d, times(0.5, 1)), ITO_ERR_ARGUMENT,
                   "uncertainty: the uncertainty is NULL");
    assert_refused(ito_uncertainty_forward(u, NULL, times(0.5, 1)), ITO_ERR_ARGUMENT,
                   "uncertainty: the diffusion is NULL");
    assert_refused(ito_uncertainty_forward(u, d, times(0.5, 2)), ITO_ERR_RANGE,
                   "uncertainty: t of example 1 is 2; there are times 0.001 to 1");
    assert_refused(ito_uncertainty_losses(u, d, times(0.5, 1), ito_ones(ITO_SHAPE(3), ITO_F64)),
                   ITO_ERR_SHAPE, "uncertainty: the losses are [3] and the times [2]");
    ito_module *other = ito_module_create(NULL, "", sizeof *other);
    cr_expect_null(ito_uncertainty_create(other, "u", 0));
    cr_expect_eq(ito_error_code(), ITO_ERR_ARGUMENT);
    ito_error_clear();
    ito_module_free(other);
    ito_module_free(root);
    ito_diffusion_free(d);
}
