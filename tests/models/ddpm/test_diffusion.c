/* The forward process and the loss, against plain loops in double and closed forms. */
#include "models/ddpm/diffusion.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/likelihood/bound.h"
#include "models/ddpm/compress/codec.h"
#include "models/ddpm/edit/edit.h"
#include "models/ddpm/train.h"
#include "tensor/runtime.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static ito_tensor *noise(uint64_t stream, ito_shape shape, ito_dtype dtype)
{
    ito_generator g = ito_generator_make(5, stream);
    return ito_randn(&g, shape, dtype);
}

static ito_tensor *steps(int64_t n, const int64_t *values)
{
    return ito_from_data(values, ITO_SHAPE(n), ITO_I64);
}

static double at(const ito_tensor *x, int64_t i)
{
    double values[4096];
    cr_assert(ito_numel(x) <= 4096);
    cr_assert_eq(ito_to_data(x, values, ITO_F64), ITO_OK);
    return values[i];
}

/* Rounding of two products and a sum. */
static const double F32_TOLERANCE = 3e-7, F64_TOLERANCE = 1e-15;

Test(diffusion, q_sample_is_equation_4)
{
    ito_process *s = ito_process_create(&ito_schedule_cosine, 100);
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

/* <A x, y> = <x, A* y>, with A* from autograd: for the image and the noise. */
Test(diffusion, q_sample_has_its_adjoint_for_a_gradient)
{
    ito_process *s = ito_process_create(NULL, 1000);
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

static void refused(const void *result, ito_status code, const char *message)
{
    cr_assert_null(result);
    cr_assert_eq(ito_error_code(), code, "%s", ito_error());
    cr_assert_str_eq(ito_error_message(), message);
    ito_error_clear();
}

Test(diffusion, q_sample_refuses_what_does_not_fit)
{
    ito_process *s = ito_process_create(NULL, 1000);
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 1, 4, 4), ITO_F32);
    ito_tensor *y = ito_zeros(ITO_SHAPE(2, 1, 4, 5), ITO_F32);
    ito_tensor *d = ito_zeros(ITO_SHAPE(2, 1, 4, 4), ITO_F64);
    const int64_t good[] = {0, 999, 0}, high[] = {0, 1000}, low[] = {-1, 0};
    refused(
        ito_q_sample(s, x, y, steps(2, good)), ITO_ERR_SHAPE,
        "q_sample: x_0 is [2, 1, 4, 4], eps [2, 1, 4, 5] and t [2]; the first two must be equal, "
        "with one t an image");
    refused(
        ito_q_sample(s, x, x, steps(3, good)), ITO_ERR_SHAPE,
        "q_sample: x_0 is [2, 1, 4, 4], eps [2, 1, 4, 4] and t [3]; the first two must be equal, "
        "with one t an image");
    refused(ito_q_sample(s, x, d, steps(2, good)), ITO_ERR_DTYPE,
            "q_sample: x_0 is f32, eps f64 and t i64; they must be both f32 or both f64, and i64");
    refused(ito_q_sample(s, x, x, steps(2, high)), ITO_ERR_RANGE,
            "q_sample: t of image 1 is 1000; there are steps 0 to 999");
    refused(ito_q_sample(s, x, x, steps(2, low)), ITO_ERR_RANGE,
            "q_sample: t of image 0 is -1; there are steps 0 to 999");
    cr_assert_null(ito_q_sample(s, NULL, x, steps(2, good)));
    cr_assert_eq(ito_error_code(), ITO_OK);
    ito_process_free(s);
}

/* The best network for x_0 ~ N(0, 1/4): eps = sqrt(1 - ab) x / (ab / 4 + 1 - ab). */
static ito_tensor *best_eps(ito_tensor *x, ito_tensor *t, void *context)
{
    const ito_process *s = context;
    int64_t n = ito_size(t, 0);
    ito_tensor *factor = ito_empty(ITO_SHAPE(n, 1), ITO_F64);
    const int64_t *step = ito_const_data(t);
    for (int64_t i = 0; i < n; i++) {
        double ab = s->alpha_bar[step[i]];
        ((double *)ito_data(factor))[i] = sqrt(1.0 - ab) / (0.25 * ab + 1.0 - ab);
    }
    return ito_mul(x, factor);
}

/* The loss is quadratic, so four points with the right second moments give its expectation. */
static ito_tensor *expected_loss(const ito_diffusion *d)
{
    const double x_0[] = {0.5, 0.5, -0.5, -0.5}, eps[] = {1.0, -1.0, 1.0, -1.0};
    ito_tensor *x = ito_empty(ITO_SHAPE(4000, 1), ITO_F64);
    ito_tensor *e = ito_empty(ITO_SHAPE(4000, 1), ITO_F64);
    ito_tensor *t = ito_empty(ITO_SHAPE(4000), ITO_I64);
    for (int64_t i = 0; i < 4000; i++) {
        ((double *)ito_data(x))[i] = x_0[i % 4];
        ((double *)ito_data(e))[i] = eps[i % 4];
        ((int64_t *)ito_data(t))[i] = i / 4;
    }
    return ito_diffusion_loss(d, best_eps, d->process, x, t, e);
}

Test(diffusion, irreducible_loss_of_gaussian_data)
{
    ito_diffusion *d = ito_diffusion_create();
    ito_tensor *loss = expected_loss(d);
    cr_assert_float_eq(ito_item(loss), 0.173053406, 0.51e-9);
    ito_diffusion_free(d);
}

static double signal_share(const ito_weighting *self, const ito_step *step)
{
    return self->k * step->at.signal * step->at.signal;
}

Test(diffusion, a_weighting_of_ones_own_multiplies_each_step)
{
    static const ito_weighting weighting = {
        .name = "alpha_bar", .weight = signal_share, .k = 1.0};
    ito_diffusion *d = ito_diffusion_create(.weighting = &weighting);
    double expected = 0.0;
    for (int t = 0; t < 1000; t++) {
        double ab = d->process->alpha_bar[t];
        expected += ab * 0.25 * ab / (0.25 * ab + 1.0 - ab) / 1000.0;
    }
    cr_assert_float_eq(ito_item(expected_loss(d)), expected, 1e-12);
    ito_diffusion_free(d);
}

/* A prediction of one's own: x_0 itself. */
static ito_ddpm_pair x_0_target(const ito_prediction *self, const ito_step *step)
{
    (void)self, (void)step;
    return (ito_ddpm_pair){1.0, 0.0};
}

static ito_tensor *nothing_known(ito_tensor *x, ito_tensor *t, void *context)
{
    (void)t;
    (void)context;
    return ito_zeros_like(x);
}

Test(diffusion, a_prediction_of_ones_own_sets_the_target)
{
    static const ito_prediction prediction = {.name = "mine", .target = x_0_target};
    ito_diffusion *d = ito_diffusion_create(.prediction = &prediction);
    ito_tensor *x_0 = noise(3, ITO_SHAPE(2, 5), ITO_F64), *eps = noise(4, ITO_SHAPE(2, 5), ITO_F64);
    const int64_t t[] = {10, 990};
    double expected = 0.0;
    for (int64_t i = 0; i < 10; i++)
        expected += at(x_0, i) * at(x_0, i) / 10.0;
    ito_tensor *loss = ito_diffusion_loss(d, nothing_known, NULL, x_0, steps(2, t), eps);
    cr_assert_float_eq(ito_item(loss), expected, 1e-14);
    ito_diffusion_free(d);
}

static ito_tensor *flattening(ito_tensor *x, ito_tensor *t, void *context)
{
    (void)t;
    (void)context;
    return ito_flatten(x, 0, -1);
}

static ito_tensor *failing(ito_tensor *x, ito_tensor *t, void *context)
{
    (void)x;
    (void)t;
    (void)context;
    ito_error_set(ITO_ERR_ARGUMENT, "network: out of order");
    return NULL;
}

Test(diffusion, loss_says_what_the_network_did_wrong)
{
    ito_diffusion *d = ito_diffusion_create();
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 2, 2, 2), ITO_F32);
    const int64_t t[] = {4};
    refused(ito_diffusion_loss(d, flattening, NULL, x, steps(1, t), x), ITO_ERR_SHAPE,
            "ddpm_loss: the network made [8] of [1, 2, 2, 2]");
    refused(ito_diffusion_loss(d, failing, NULL, x, steps(1, t), x), ITO_ERR_ARGUMENT,
            "network: out of order");
    ito_diffusion_free(d);
}

static ito_tensor *nothing(ito_tensor *x, ito_tensor *t, void *context)
{
    (void)t;
    (void)context;
    return ito_zeros_like(x);
}

/* As anything else that could not be made: its own sentence stays, or one says what is missing. */
Test(diffusion, what_is_asked_of_none_is_an_error)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 1, 2, 2), ITO_F32);
    ito_tensor *half = ito_full(ITO_SHAPE(1), 0.5, ITO_F32);
    const int64_t t[] = {4};
    ito_diffusion *d = ito_diffusion_create(.loss = &ito_objective_hybrid);
    cr_assert_null(d);
    char why[256];
    snprintf(why, sizeof why, "%s", ito_error_message());
    cr_assert_null(ito_diffusion_loss(d, nothing, NULL, x, steps(1, t), x));
    refused(ito_diffusion_sample(d, nothing, NULL, ITO_SHAPE(1, 1, 2, 2)), ITO_ERR_ARGUMENT, why);

    refused(ito_diffusion_loss(d, nothing, NULL, x, steps(1, t), x), ITO_ERR_ARGUMENT,
            "ddpm_loss: the diffusion is NULL");
    refused(ito_diffusion_losses(d, nothing, NULL, x, steps(1, t), x), ITO_ERR_ARGUMENT,
            "ddpm_loss: the diffusion is NULL");
    refused(ito_diffusion_sample(d, nothing, NULL, ITO_SHAPE(1, 1, 2, 2)), ITO_ERR_ARGUMENT,
            "sample: the diffusion is NULL");
    refused(ito_diffusion_sample_from(d, nothing, NULL, x), ITO_ERR_ARGUMENT,
            "sample: the diffusion is NULL");
    refused(ito_diffusion_encode(d, nothing, NULL, x), ITO_ERR_ARGUMENT,
            "sample: the diffusion is NULL");
    refused(ito_image_to_image(d, nothing, NULL, x, 0.5), ITO_ERR_ARGUMENT,
            "edit: the diffusion is NULL");
    refused(ito_diffusion_inpaint(d, nothing, NULL, x, x, (ito_resampling){0}), ITO_ERR_ARGUMENT,
            "sample: the diffusion is NULL");
    refused(ito_diffusion_interpolate(d, nothing, NULL, x, x, half, 4), ITO_ERR_ARGUMENT,
            "interpolate: the diffusion is NULL");
    refused(ito_prior_bits(d, x), ITO_ERR_ARGUMENT, "prior_bits: the diffusion is NULL");
    ito_bits bits;
    cr_assert_eq(ito_bits_per_dim(d, nothing, NULL, x, &bits), ITO_ERR_ARGUMENT);
    refused(NULL, ITO_ERR_ARGUMENT, "bits_per_dim: the diffusion is NULL");
    ito_diffusion_trainer trainer = {.network = nothing};
    ito_train_result result;
    cr_assert_eq(ito_diffusion_train_step(&trainer, x, 0, 1e-3, &result), ITO_ERR_ARGUMENT);
    refused(NULL, ITO_ERR_ARGUMENT, "train_step: the diffusion is NULL");
    ito_compressed file;
    cr_assert_eq(ito_diffusion_compress(d, nothing, NULL, x, &file), ITO_ERR_ARGUMENT);
    refused(NULL, ITO_ERR_ARGUMENT, "compress: the diffusion is NULL");
    ito_decompressed back;
    cr_assert_eq(ito_diffusion_decompress(d, nothing, NULL, (const uint8_t *)"ito", 3, &back),
                 ITO_ERR_ARGUMENT);
    refused(NULL, ITO_ERR_ARGUMENT, "decompress: the diffusion is NULL");
}

static double variance_of(const ito_variance *v, const ito_step *step)
{
    ito_ddpm_pair p = v->log_variance(step);
    cr_assert_eq(p.b, 0.0);
    return exp(p.a);
}

/* Written with f32 tables; ours are f64. */
Test(diffusion, variances_are_those_of_the_reference)
{
    static const double tolerance = 1e-8;
    ito_process *s = ito_process_create(NULL, 1000);
    ito_step first = ito_step_between(s, 0, -1), middle = ito_step_between(s, 487, 486);
    ito_step last = ito_step_between(s, 999, 998);
    /* At t = 0, where beta~ is 0, both are that of t = 1. */
    cr_assert_float_eq(variance_of(&ito_variance_fixedsmall, &first), s->beta_tilde[1], 1e-17);
    cr_assert_float_eq(variance_of(&ito_variance_fixedlarge, &first), s->beta_tilde[1], 1e-17);
    cr_assert_float_eq(variance_of(&ito_variance_fixedsmall, &middle), 0.0097915598, 10 * tolerance);
    cr_assert_float_eq(variance_of(&ito_variance_fixedsmall, &last), 0.0199999712, 10 * tolerance);
    for (int64_t t = 1; t < 1000; t++) {
        ito_step step = ito_step_between(s, t, t - 1);
        cr_assert_float_eq(variance_of(&ito_variance_fixedlarge, &step), s->beta[t], 1e-13);
        cr_assert_float_eq(variance_of(&ito_variance_fixedsmall, &step), s->beta_tilde[t], 1e-13);
    }
    ito_process_free(s);
}

/* Sum of KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) over t >= 1 in bits a dimension. */
Test(diffusion, bound_of_gaussian_data)
{
    static const struct {
        const ito_variance *variance;
        double bits;
    } cases[] = {{&ito_variance_fixedsmall, 6.30243688}, {&ito_variance_fixedlarge, 5.64564104}};
    ito_process *s = ito_process_create(NULL, 1000);
    for (int i = 0; i < 2; i++) {
        double sum = 0.0;
        for (int64_t t = 1; t < 1000; t++) {
            ito_step step = ito_step_between(s, t, t - 1);
            double ab = s->alpha_bar[t], beta = s->beta[t];
            double variance = variance_of(cases[i].variance, &step);
            double error = 0.25 * ab / (0.25 * ab + 1.0 - ab);
            double gap = beta * beta / ((1.0 - beta) * (1.0 - ab)) * error;
            double ratio = s->beta_tilde[t] / variance;
            sum += 0.5 * (ratio - 1.0 - log(ratio) + gap / variance);
        }
        cr_assert_float_eq(sum / log(2.0), cases[i].bits, 0.51e-8);
    }
    ito_process_free(s);
}

Test(diffusion, choices_are_found_by_name)
{
    cr_assert_eq(ito_variance_find("fixedsmall"), &ito_variance_fixedsmall);
    cr_assert_eq(ito_variance_find("fixedlarge"), &ito_variance_fixedlarge);
    refused(ito_variance_find("free"), ITO_ERR_ARGUMENT,
            "variance: there is no \"free\"; there are fixedsmall, fixedlarge, learned and "
            "learned_range");
    refused(ito_diffusion_create(.steps = -1), ITO_ERR_RANGE,
            "schedule: -1 steps; there are 1 to 1000000");
    ito_diffusion_free(NULL);
}

Test(diffusion, failed_allocations_are_errors_and_leak_nothing)
{
    ito_diffusion *d = ito_diffusion_create();
    const int64_t t[] = {4, 7};
    int64_t blocks = ito_memory_blocks(), n = 0;
    ito_tensor *loss = NULL;
    for (n = 1; loss == NULL; n++) {
        ito_scope_begin();
        ito_tensor *x = noise(0, ITO_SHAPE(2, 3), ITO_F32), *step = steps(2, t);
        ito_memory_fail_nth(n);
        loss = ito_diffusion_loss(d, nothing_known, NULL, x, step, x);
        ito_memory_fail_nth(0);
        cr_assert_eq(ito_error_code(), loss == NULL ? ITO_ERR_MEMORY : ITO_OK);
        ito_error_clear();
        ito_scope_end();
        cr_assert_eq(ito_memory_blocks(), blocks);
    }
    cr_assert(n > 5);
    ito_diffusion_free(d);
}
