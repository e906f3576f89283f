/* The diffusion object, the forward process and the estimate, against plain loops in double and
 * closed forms; data of any axes and times of any kind; what is refused. */
#include "models/ddpm/diffusion.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/compress/codec.h"
#include "models/ddpm/edit/edit.h"
#include "models/ddpm/likelihood/bound.h"
#include "models/ddpm/train.h"
#include "tensor/runtime.h"
#include "tests/models/ddpm/batches.h"
#include "tests/models/ddpm/ddpm_check.h"
#include "tests/models/ddpm/gaussian.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Rounding of two products and a sum. */
static const double F32_TOLERANCE = 3e-7, F64_TOLERANCE = 1e-15;

/* ---- q_sample ---- */

Test(diffusion, q_sample_is_equation_4)
{
    ito_process *s = ito_process_create(&ito_schedule_cosine, .steps = 100);
    const int64_t t[] = {0, 57, 99};
    for (ito_dtype dtype = ITO_F32; dtype <= ITO_F64; dtype++) {
        ito_scope_begin();
        ito_tensor *x_0 = noise(0, ITO_SHAPE(3, 2, 3, 5), dtype);
        ito_tensor *eps = noise(1, ITO_SHAPE(3, 2, 3, 5), dtype);
        ito_tensor *x_t = ito_q_sample(s, x_0, eps, steps(3, t));
        cr_assert_not_null(x_t);
        for (int64_t i = 0; i < 90; i++) {
            double ab = 1.0;
            for (int64_t k = 0; k <= t[i / 30]; k++)
                ab *= 1.0 - s->beta[k];
            double expected = sqrt(ab) * at(x_0, i) + sqrt(1.0 - ab) * at(eps, i);
            cr_assert(fabs(at(x_t, i) - expected) <=
                      (dtype == ITO_F32 ? F32_TOLERANCE : F64_TOLERANCE) * 4.0);
        }
        ito_scope_end();
    }
    ito_process_free(s);
}

/* Of flow matching, with times of either dtype. */
Test(diffusion, q_sample_takes_real_times_in_continuous_time)
{
    ito_process *p = ito_process_create(&ito_schedule_flow);
    const double t[] = {0.125, 0.59375, 1.0}; /* exact in f32 */
    for (ito_dtype dtype = ITO_F32; dtype <= ITO_F64; dtype++) {
        ito_tensor *x_0 = noise(0, ITO_SHAPE(3, 2), dtype), *eps = noise(1, ITO_SHAPE(3, 2), dtype);
        ito_tensor *times = ito_from_data(t, ITO_SHAPE(3), ITO_F64);
        ito_tensor *x_t = ito_q_sample(p, x_0, eps, times);
        cr_assert_not_null(x_t, "%s", ito_error());
        for (int64_t i = 0; i < 6; i++) {
            double expected = (1.0 - t[i / 2]) * at(x_0, i) + t[i / 2] * at(eps, i);
            cr_assert(fabs(at(x_t, i) - expected) <=
                      (dtype == ITO_F32 ? F32_TOLERANCE : F64_TOLERANCE) * 4.0);
        }
        assert_same(ito_q_sample(p, x_0, eps, ito_cast(times, ITO_F32)), x_t);
    }
    ito_process_free(p);
}

Test(diffusion, a_step_is_a_step_in_any_dtype)
{
    ito_process *s = ito_process_create(&ito_schedule_linear);
    const int64_t t[] = {0, 57, 999};
    ito_tensor *x = noise(0, ITO_SHAPE(3, 2), ITO_F32), *eps = noise(1, ITO_SHAPE(3, 2), ITO_F32);
    ito_tensor *x_t = ito_q_sample(s, x, eps, steps(3, t));
    assert_same(ito_q_sample(s, x, eps, ito_cast(steps(3, t), ITO_F32)), x_t);
    assert_same(ito_q_sample(s, x, eps, ito_cast(steps(3, t), ITO_F64)), x_t);
    ito_process_free(s);
}

/* Of points, signals and volumes as of images. */
Test(diffusion, q_sample_of_any_axes_is_that_of_an_image)
{
    ito_process *s = ito_process_create(&ito_schedule_linear);
    const ito_shape shapes[] = {ITO_SHAPE(2, 24), ITO_SHAPE(2, 3, 8), ITO_SHAPE(2, 3, 2, 2, 2)};
    const int64_t t[] = {3, 998};
    ito_tensor *x_0 = noise(0, ITO_SHAPE(2, 3, 2, 4), ITO_F32);
    ito_tensor *eps = noise(1, ITO_SHAPE(2, 3, 2, 4), ITO_F32);
    ito_tensor *image = ito_q_sample(s, x_0, eps, steps(2, t));
    for (int k = 0; k < 3; k++) {
        ito_tensor *x_t = ito_q_sample(s, ito_reshape_to(x_0, shapes[k]),
                                       ito_reshape_to(eps, shapes[k]), steps(2, t));
        cr_assert_eq(ito_ndim(x_t), shapes[k].ndim);
        assert_same(x_t, image);
    }
    ito_process_free(s);
}

/* <A x, y> = <x, A* y>, with A* from autograd: for the image and the noise. */
Test(diffusion, q_sample_has_its_adjoint_for_a_gradient)
{
    ito_process *s = ito_process_create(&ito_schedule_linear);
    const int64_t t[] = {3, 998};
    ito_shape shape = ITO_SHAPE(2, 1, 4, 3);
    ito_tensor *x_0 = ito_requires_grad(noise(0, shape, ITO_F64), true);
    ito_tensor *eps = ito_requires_grad(noise(1, shape, ITO_F64), true);
    ito_tensor *y = noise(2, shape, ITO_F64), *zero = ito_zeros(shape, ITO_F64);
    ito_tensor *image = ito_sum(ito_mul(ito_q_sample(s, x_0, zero, steps(2, t)), y));
    ito_tensor *added = ito_sum(ito_mul(ito_q_sample(s, zero, eps, steps(2, t)), y));
    double left_image = ito_item(image), left_noise = ito_item(added);
    cr_assert_eq(ito_backward(image), ITO_OK);
    cr_assert_eq(ito_backward(added), ITO_OK);
    ito_tensor *right_image = ito_sum(ito_mul(ito_detach(x_0), ito_grad_of(x_0)));
    ito_tensor *right_noise = ito_sum(ito_mul(ito_detach(eps), ito_grad_of(eps)));
    cr_assert_float_eq(left_image, ito_item(right_image), 1e-12);
    cr_assert_float_eq(left_noise, ito_item(right_noise), 1e-12);
    ito_process_free(s);
}

Test(diffusion, q_sample_refuses_shapes_and_dtypes_that_do_not_fit)
{
    ito_process *s = ito_process_create(&ito_schedule_linear);
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 1, 4, 4), ITO_F32);
    ito_tensor *y = ito_zeros(ITO_SHAPE(2, 1, 4, 5), ITO_F32);
    ito_tensor *d = ito_zeros(ITO_SHAPE(2, 1, 4, 4), ITO_F64);
    ito_tensor *whole = ito_zeros(ITO_SHAPE(2), ITO_I64), *one = ito_scalar(0.0, ITO_F32);
    const int64_t good[] = {0, 999, 0};
    assert_refused(ito_q_sample(s, x, y, steps(2, good)), ITO_ERR_SHAPE,
                   "q_sample: x_0 is [2, 1, 4, 4] and eps [2, 1, 4, 5]; they must be equal, "
                   "[N, ...]");
    assert_refused(ito_q_sample(s, one, one, steps(1, good)), ITO_ERR_SHAPE,
                   "q_sample: x_0 is [] and eps []; they must be equal, [N, ...]");
    assert_refused(ito_q_sample(s, x, x, steps(3, good)), ITO_ERR_SHAPE,
                   "q_sample: t is [3]; 2 examples need one time each");
    assert_refused(ito_q_sample(s, x, d, steps(2, good)), ITO_ERR_DTYPE,
                   "q_sample: x_0 is f32 and eps f64; they must be both f32 or both f64");
    assert_refused(ito_q_sample(s, whole, whole, steps(2, good)), ITO_ERR_DTYPE,
                   "q_sample: x_0 is i64 and eps i64; they must be both f32 or both f64");
    assert_refused(ito_q_sample(s, x, x, ito_zeros(ITO_SHAPE(2), ITO_BOOL)), ITO_ERR_DTYPE,
                   "q_sample: t is bool; times are i64, f32 or f64");
    ito_process_free(s);
}

Test(diffusion, q_sample_refuses_times_that_are_none_of_the_process)
{
    ito_process *s = ito_process_create(&ito_schedule_linear);
    ito_process *flow = ito_process_create(&ito_schedule_flow);
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 1, 4, 4), ITO_F32);
    const int64_t high[] = {0, 1000}, low[] = {-1, 0};
    const double half[] = {1.0, 3.5}, clean[] = {0.5, 0.0}, late[] = {1.5, 0.5};
    assert_refused(ito_q_sample(s, x, x, steps(2, high)), ITO_ERR_RANGE,
                   "q_sample: t of example 1 is 1000; there are steps 0 to 999");
    assert_refused(ito_q_sample(s, x, x, steps(2, low)), ITO_ERR_RANGE,
                   "q_sample: t of example 0 is -1; there are steps 0 to 999");
    assert_refused(ito_q_sample(s, x, x, ito_from_data(half, ITO_SHAPE(2), ITO_F64)), ITO_ERR_RANGE,
                   "q_sample: t of example 1 is 3.5; there are steps 0 to 999");
    assert_refused(ito_q_sample(flow, x, x, ito_from_data(clean, ITO_SHAPE(2), ITO_F64)),
                   ITO_ERR_RANGE, "q_sample: t of example 1 is 0; there are times 0.001 to 1");
    assert_refused(ito_q_sample(flow, x, x, ito_from_data(late, ITO_SHAPE(2), ITO_F64)),
                   ITO_ERR_RANGE, "q_sample: t of example 0 is 1.5; there are times 0.001 to 1");
    assert_refused(ito_q_sample(flow, x, x, ito_full(ITO_SHAPE(2), (double)NAN, ITO_F64)),
                   ITO_ERR_RANGE, "q_sample: t of example 0 is nan; there are times 0.001 to 1");
    ito_process_free(s);
    ito_process_free(flow);
}

Test(diffusion, what_is_missing_passes_through_q_sample)
{
    ito_process *s = ito_process_create(&ito_schedule_linear);
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 1, 4, 4), ITO_F32),
               *t = ito_zeros(ITO_SHAPE(2), ITO_I64);
    cr_assert_null(ito_q_sample(s, NULL, x, t));
    cr_assert_null(ito_q_sample(s, x, NULL, t));
    cr_assert_null(ito_q_sample(s, x, x, NULL));
    cr_assert_eq(ito_error_code(), ITO_OK);
    ito_process_free(s);
}

/* ---- the estimate ---- */

/* E[x_0 | x_t] and E[eps | x_t] of Gaussian data, from what the network predicts of any kind. */
Test(diffusion, the_estimate_is_the_networks_x_0_and_eps)
{
    static const ito_prediction *const predictions[] = {&ito_prediction_eps, &ito_prediction_v,
                                                        &ito_prediction_edm, &ito_prediction_flow};
    const double times[] = {0.125, 0.5, 0.875};
    ito_tensor *x = noise(0, ITO_SHAPE(3, 2), ITO_F64);
    ito_tensor *t = ito_from_data(times, ITO_SHAPE(3), ITO_F64);
    for (int k = 0; k < 4; k++) {
        ito_diffusion *d =
            ito_diffusion_create(.schedule = &ito_schedule_flow, .prediction = predictions[k],
                                 .sigma_data = gaussian_sigma_data(predictions[k]));
        gaussian_network g = gaussian_make(d, 0.0);
        ito_estimate e;
        cr_assert_eq(ito_diffusion_estimate(d, &g.base, x, t, &e), ITO_OK, "%s", ito_error());
        cr_assert_null(e.v);
        for (int i = 0; i < 6; i++) {
            double N = times[i / 2], A = 1.0 - N, D = 0.25 * A * A + N * N;
            cr_assert_float_eq(at(e.x_0, i), 0.25 * A / D * at(x, i), 1e-13);
            cr_assert_float_eq(at(e.eps, i), N / D * at(x, i), 1e-13);
        }
        ito_diffusion_free(d);
    }
}

/* -eps / noise is the score, whose derivative along x_t is that of a normal: -1 / D. */
Test(diffusion, the_estimate_is_differentiable_in_x_t)
{
    ito_diffusion *d = ito_diffusion_create(.schedule = &ito_schedule_edm);
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *x = ito_requires_grad(noise(0, ITO_SHAPE(3, 2), ITO_F64), true);
    ito_estimate e;
    cr_assert_eq(ito_diffusion_estimate(d, &g.base, x, ito_full(ITO_SHAPE(3), 2.0, ITO_F64), &e),
                 ITO_OK);
    ito_tensor *score = ito_mul_scalar(e.eps, -1.0 / 2.0);
    ito_tensor *slope = ito_grad(ito_sum(score), x);
    cr_assert_not_null(slope, "%s", ito_error());
    for (int i = 0; i < 6; i++)
        cr_assert_float_eq(at(slope, i), -1.0 / 4.25, 1e-14);
    ito_diffusion_free(d);
}

Test(diffusion, the_estimate_has_the_second_head)
{
    ito_diffusion *d = ito_diffusion_create(.variance = &ito_variance_learned_range,
                                            .objective = &ito_objective_hybrid);
    gaussian_network g = gaussian_make(d, 0.375);
    ito_tensor *x = noise(0, ITO_SHAPE(3, 2), ITO_F64), *t = ito_zeros(ITO_SHAPE(3), ITO_I64);
    ito_estimate e;
    cr_assert_eq(ito_diffusion_estimate(d, &g.base, x, t, &e), ITO_OK, "%s", ito_error());
    assert_same(e.v, ito_full_like(x, 0.375));
    ito_diffusion_free(d);
}

Test(diffusion, an_estimate_that_cannot_be_is_refused)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *x = noise(0, ITO_SHAPE(3, 2), ITO_F64), *t = ito_zeros(ITO_SHAPE(3), ITO_I64);
    ito_estimate e;
    assert_refused_status(ito_diffusion_estimate(NULL, &g.base, x, t, &e), ITO_ERR_ARGUMENT,
                          "estimate: the diffusion is NULL");
    assert_refused_status(ito_diffusion_estimate(d, &g.base, NULL, t, &e), ITO_ERR_ARGUMENT,
                          "estimate: x_t is NULL");
    assert_refused_status(ito_diffusion_estimate(d, &g.base, x, NULL, &e), ITO_ERR_ARGUMENT,
                          "estimate: t is NULL");
    assert_refused_status(ito_diffusion_estimate(d, &g.base, t, t, &e), ITO_ERR_SHAPE,
                          "estimate: x_t is [3] of i64; it must be [N, ...] of f32 or f64");
    assert_refused_status(
        ito_diffusion_estimate(d, &g.base, x, ito_zeros(ITO_SHAPE(2), ITO_I64), &e), ITO_ERR_SHAPE,
        "estimate: t is [2]; 3 examples need one time each");
    assert_refused_status(ito_diffusion_estimate(d, NULL, x, t, &e), ITO_ERR_ARGUMENT,
                          "network: it is NULL");
    ito_diffusion_free(d);
}

/* ---- networks that fail ---- */

static ito_tensor *flattening(ito_network *self, const ito_network_input *in)
{
    (void)self;
    return ito_flatten(in->x, 0, -1);
}

static ito_tensor *failing(ito_network *self, const ito_network_input *in)
{
    (void)self, (void)in;
    ito_error_set(ITO_ERR_ARGUMENT, "network: out of order");
    return NULL;
}

Test(diffusion, loss_says_what_the_network_did_wrong)
{
    ito_diffusion *d = ito_diffusion_create();
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 2, 2, 2), ITO_F32);
    ito_network flat = network_of(flattening, NULL), broken = network_of(failing, NULL);
    const int64_t t[] = {4};
    assert_refused(ito_diffusion_loss(d, &flat, x, steps(1, t), x), ITO_ERR_SHAPE,
                   "diffusion_loss: the network made [8] of [1, 2, 2, 2]");
    assert_refused(ito_diffusion_loss(d, &broken, x, steps(1, t), x), ITO_ERR_ARGUMENT,
                   "network: out of order");
    ito_diffusion_free(d);
}

/* As anything else that could not be made: its own sentence stays. */
Test(diffusion, the_sentence_of_a_diffusion_that_was_refused_stays)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 1, 2, 2), ITO_F32),
               *t = ito_zeros(ITO_SHAPE(1), ITO_I64);
    ito_network zeros = network_of(evaluate_zeros, NULL);
    ito_diffusion *d = ito_diffusion_create(.objective = &ito_objective_hybrid);
    cr_assert_null(d);
    char why[256];
    snprintf(why, sizeof why, "%s", ito_error_message());
    cr_assert_null(ito_diffusion_loss(d, &zeros, x, t, x));
    assert_refused(ito_diffusion_sample(d, &zeros, ITO_SHAPE(1, 1, 2, 2)), ITO_ERR_ARGUMENT, why);
}

Test(diffusion, losses_and_bounds_of_no_diffusion_are_refused)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 1, 2, 2), ITO_F32),
               *t = ito_zeros(ITO_SHAPE(1), ITO_I64);
    ito_network zeros = network_of(evaluate_zeros, NULL);
    ito_diffusion_trainer trainer = {.network = &zeros};
    ito_train_result result;
    ito_bits bits;
    assert_refused(ito_diffusion_loss(NULL, &zeros, x, t, x), ITO_ERR_ARGUMENT,
                   "diffusion_loss: the diffusion is NULL");
    assert_refused(ito_diffusion_losses(NULL, &zeros, x, t, x), ITO_ERR_ARGUMENT,
                   "diffusion_loss: the diffusion is NULL");
    assert_refused(ito_prior_bits(NULL, x), ITO_ERR_ARGUMENT, "prior_bits: the diffusion is NULL");
    assert_refused_status(ito_bits_per_dim(NULL, &zeros, x, &bits), ITO_ERR_ARGUMENT,
                          "bits_per_dim: the diffusion is NULL");
    assert_refused_status(ito_diffusion_train_step(&trainer, x, 0, 1e-3, &result), ITO_ERR_ARGUMENT,
                          "train_step: the diffusion is NULL");
}

Test(diffusion, samples_of_no_diffusion_are_refused)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 1, 2, 2), ITO_F32);
    ito_tensor *half = ito_full(ITO_SHAPE(1), 0.5, ITO_F32);
    ito_network zeros = network_of(evaluate_zeros, NULL);
    assert_refused(ito_diffusion_sample(NULL, &zeros, ITO_SHAPE(1, 1, 2, 2)), ITO_ERR_ARGUMENT,
                   "sample: the diffusion is NULL");
    assert_refused(ito_diffusion_sample_from(NULL, &zeros, x), ITO_ERR_ARGUMENT,
                   "sample: the diffusion is NULL");
    assert_refused(ito_diffusion_encode(NULL, &zeros, x), ITO_ERR_ARGUMENT,
                   "sample: the diffusion is NULL");
    assert_refused(ito_image_to_image(NULL, &zeros, x, 0.5), ITO_ERR_ARGUMENT,
                   "image_to_image: the diffusion is NULL");
    assert_refused(ito_diffusion_inpaint(NULL, &zeros, x, x, ((ito_resampling){10, 10})),
                   ITO_ERR_ARGUMENT, "sample: the diffusion is NULL");
    assert_refused(ito_diffusion_interpolate(NULL, &zeros, x, x, half, 4), ITO_ERR_ARGUMENT,
                   "interpolate: the diffusion is NULL");
}

Test(diffusion, files_of_no_diffusion_are_refused)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 1, 2, 2), ITO_F32);
    ito_network zeros = network_of(evaluate_zeros, NULL);
    ito_compressed file;
    ito_decompressed back;
    assert_refused_status(ito_diffusion_compress(NULL, &zeros, x, &file), ITO_ERR_ARGUMENT,
                          "compress: the diffusion is NULL");
    assert_refused_status(ito_diffusion_decompress(NULL, &zeros, (const uint8_t *)"ito", 3, &back),
                          ITO_ERR_ARGUMENT, "decompress: the diffusion is NULL");
}

Test(diffusion, losses_of_no_network_are_refused)
{
    ito_diffusion *d = ito_diffusion_create();
    ito_network empty = {.evaluate = NULL};
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 2), ITO_F32), *t = ito_zeros(ITO_SHAPE(1), ITO_I64);
    assert_refused(ito_diffusion_loss(d, NULL, x, t, x), ITO_ERR_ARGUMENT, "network: it is NULL");
    assert_refused(ito_diffusion_loss(d, &empty, x, t, x), ITO_ERR_ARGUMENT,
                   "network: it has no function to evaluate it");
    ito_diffusion_free(d);
}

/* ---- the object ---- */

/* Its process is that of its options, whatever family. */
Test(diffusion, its_process_is_that_of_its_options)
{
    static const double betas[] = {0.1, 0.2, 0.3};
    ito_diffusion *d =
        ito_diffusion_create(.steps = 7, .beta_start = 0.01, .beta_end = 0.25,
                             .zero_terminal_snr = true, .prediction = &ito_prediction_v);
    cr_assert_eq(d->process->steps, 7);
    cr_assert_eq(d->process->options.beta_start, 0.01);
    cr_assert_eq(d->process->options.beta_end, 0.25);
    cr_assert_eq(d->process->signal[6], 0.0);
    ito_diffusion_free(d);
    d = ito_diffusion_create(.schedule = &ito_schedule_edm, .sigma_min = 0.5, .sigma_max = 8.0);
    cr_assert(d->process->steps == 0 && d->process->t_min == 0.5 && d->process->t_max == 8.0);
    ito_diffusion_free(d);
    d = ito_diffusion_create(.betas = betas, .steps = 3);
    cr_assert(d->process->steps == 3 && memcmp(d->process->beta, betas, sizeof betas) == 0);
    cr_assert_neq(d->process->beta, betas);
    ito_diffusion_free(d);
}

Test(diffusion, a_process_that_is_refused_makes_no_diffusion)
{
    assert_refused(ito_diffusion_create(.steps = 0), ITO_ERR_ARGUMENT,
                   "process: 0 steps mean continuous time, and the schedule linear is in steps");
    assert_refused(ito_diffusion_create(.steps = -2), ITO_ERR_RANGE,
                   "process: -2 steps; there are 1 to 1000000");
    ito_diffusion_free(NULL);
}

Test(diffusion, failed_allocations_are_errors_and_leak_nothing)
{
    ito_diffusion *d = ito_diffusion_create();
    ito_network zeros = network_of(evaluate_zeros, NULL);
    const int64_t t[] = {4, 7};
    int64_t blocks = ito_memory_blocks(), n = 0;
    ito_tensor *loss = NULL;
    for (n = 1; loss == NULL; n++) {
        ito_scope_begin();
        ito_tensor *x = noise(0, ITO_SHAPE(2, 3), ITO_F32), *step = steps(2, t);
        ito_memory_fail_nth(n);
        loss = ito_diffusion_loss(d, &zeros, x, step, x);
        ito_memory_fail_nth(0);
        cr_assert_eq(ito_error_code(), loss == NULL ? ITO_ERR_MEMORY : ITO_OK);
        ito_error_clear();
        ito_scope_end();
        cr_assert_eq(ito_memory_blocks(), blocks);
    }
    cr_assert(n > 5);
    ito_diffusion_free(d);
}
