/* Samplers: Gaussian data with its best network, where everything has a closed form, the laws of a
 * batch, data of any number of axes, and options. test_sampler_reference.c has the values of other
 * implementations. */
#include "models/ddpm/sampler/sampler.h"

#include "tensor/runtime.h"
#include "tests/models/ddpm/ddpm_check.h"
#include "tests/models/ddpm/gaussian.h"

#include <math.h>
#include <string.h>

Test(sampler, ddim_variances_are_those_of_the_reference)
{
    static const double tolerance = 1e-6; /* the reference's tables are f32 */
    ito_diffusion *d = ito_diffusion_create();
    ito_step a = ito_step_between(d->process, 420, 400);
    ito_step b = ito_step_between(d->process, 980, 960);
    double sigma = ito_sampler_ddim.update(d, &a, 1.0).noise;
    cr_assert_float_eq(sigma * sigma, 0.1477195, tolerance);
    sigma = ito_sampler_ddim.update(d, &b, 1.0).noise;
    cr_assert_float_eq(sigma * sigma, 0.3246053, tolerance);
    /* eta 1 is ancestral sampling with the small variance. */
    d->variance = &ito_variance_fixedsmall;
    cr_assert_float_eq(sigma, ito_sampler_ddpm.update(d, &b, 0.0).noise, 1e-12);
    ito_diffusion_free(d);
}

/* ---- Gaussian data x_0 ~ N(0, 1/4) and its best network, eps = k(t) x ---- */

static double best_factor(const ito_process *p, double t)
{
    double ab = p->alpha_bar[(int64_t)t];
    return sqrt(1.0 - ab) / (0.25 * ab + 1.0 - ab);
}

/* The variance of ancestral samples by eq. (11): mean (x - beta eps / sqrt(1 - ab)) / sqrt(alpha).
 */
static double exact_variance(const ito_process *p, const double *times, int64_t n, bool large)
{
    double v = 1.0;
    for (int64_t i = 0; i < n; i++) {
        double ab = p->alpha_bar[(int64_t)times[i]];
        double to = i + 1 < n ? p->alpha_bar[(int64_t)times[i + 1]] : 1.0;
        double alpha = ab / to, beta = 1.0 - alpha;
        double gain = (1.0 - beta / sqrt(1.0 - ab) * best_factor(p, times[i])) / sqrt(alpha);
        v *= gain * gain;
        if (to < 1.0)
            v += large ? beta : (1.0 - to) / (1.0 - ab) * beta;
    }
    return v;
}

/* The same through the updates that the sampler makes. */
static double updated_variance(const ito_diffusion *d, const double *times, int64_t n)
{
    double v = 1.0;
    for (int64_t i = 0; i < n; i++) {
        ito_step step = ito_step_between(d->process, times[i], i + 1 < n ? times[i + 1] : -1);
        ito_sampler_update u = ito_sampler_ddpm.update(d, &step, 0.0);
        ito_preconditioning c = ito_prediction_to_x_0(d->prediction, &step);
        double gain = u.x_t + u.x_0 * (c.c_skip + c.c_out * best_factor(d->process, times[i]));
        v = gain * gain * v + (step.t_to < 0.0 ? 0.0 : u.noise * u.noise);
    }
    return v;
}

Test(sampler, variance_of_ancestral_samples_of_gaussian_data)
{
    ito_diffusion *d = ito_diffusion_create(.variance = &ito_variance_fixedsmall);
    double times[1000];
    cr_assert_eq(ito_timesteps(d->process, &ito_spacing_linspace, 1000, times), ITO_OK);
    cr_assert_float_eq(updated_variance(d, times, 1000), 0.246125211, 0.51e-9);
    cr_assert_float_eq(exact_variance(d->process, times, 1000, false), 0.246125211, 0.51e-9);
    d->variance = &ito_variance_fixedlarge;
    cr_assert_float_eq(updated_variance(d, times, 1000), 0.250752075, 0.51e-9);
    cr_assert_eq(ito_timesteps(d->process, &ito_spacing_linspace, 37, times), ITO_OK);
    cr_assert_float_eq(updated_variance(d, times, 37), exact_variance(d->process, times, 37, true),
                       1e-12);
    ito_diffusion_free(d);
}

/* n values of a normal distribution have a variance within 5 sqrt(2 / n) of the true one but for
 * one case in a million. */
static void drawn_variance(const ito_diffusion *d, int64_t steps, int64_t side, double expected)
{
    gaussian_network g = gaussian_make(d, 0.0);
    ito_scope_begin();
    ito_tensor *x = ito_diffusion_sample(d, &g.base, ITO_SHAPE(4, 1, side, side), .steps = steps,
                                         .no_clip = true, .seed = 1);
    cr_assert_not_null(x, "%s", ito_error());
    double n = (double)ito_numel(x), variance = ito_item(ito_mean(ito_square(x)));
    cr_assert(fabs(variance / expected - 1.0) < 5.0 * sqrt(2.0 / n), "%g for %g", variance,
              expected);
    cr_assert(fabs(ito_item(ito_mean(x))) < 5.0 * sqrt(expected / n));
    ito_scope_end();
}

Test(sampler, samples_drawn_have_that_variance)
{
    ito_diffusion *d = ito_diffusion_create(.variance = &ito_variance_fixedsmall);
    double times[20];
    cr_assert_eq(ito_timesteps(d->process, &ito_spacing_trailing, 20, times), ITO_OK);
    drawn_variance(d, 1000, 40, 0.246125211);
    drawn_variance(d, 20, 200, exact_variance(d->process, times, 20, false));
    d->variance = &ito_variance_fixedlarge;
    drawn_variance(d, 20, 200, exact_variance(d->process, times, 20, true));
    ito_diffusion_free(d);
}

Test(sampler, ddim_scales_gaussian_noise_by_the_closed_form)
{
    static const struct {
        int64_t steps;
        double gain;
    } cases[] = {{10, 0.374128494}, {50, 0.472439113}, {100, 0.485980567}, {1000, 0.498495283}};
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    for (int i = 0; i < 4; i++) {
        ito_tensor *x_T = ito_full(ITO_SHAPE(1, 1, 1, 2), 1.0, ITO_F64);
        ito_tensor *x = ito_diffusion_sample_from(d, &g.base, x_T, .steps = cases[i].steps,
                                                  .sampler = &ito_sampler_ddim, .no_clip = true,
                                                  .spacing = &ito_spacing_leading);
        cr_assert_not_null(x, "%s", ito_error());
        cr_assert_float_eq(((const double *)ito_const_data(x))[1], cases[i].gain, 0.51e-9);
        cr_assert_eq(ito_item(ito_max(x_T)), 1.0, "x_T is left as it was");
    }
    ito_diffusion_free(d);
}

/* ---- batches ---- */

static ito_unet *small_unet(void)
{
    ito_unet_config config = tiny_unet_config(1);
    ito_generator g = ito_generator_make(9, 0);
    ito_unet *unet = ito_unet_create(&config, &g);
    cr_assert_not_null(unet, "%s", ito_error());
    /* The initial network is almost zero: make every weight count. */
    ito_named_tensors *p = ito_module_parameters(&unet->base);
    for (int64_t i = 0; i < p->n; i++) {
        ito_tensor *noise = ito_randn(&g, ito_shape_of(p->tensors[i]), ITO_F32);
        ito_copy_(ito_requires_grad(p->tensors[i], false), ito_mul_scalar(noise, 0.1));
    }
    ito_named_tensors_free(p);
    ito_module_train(&unet->base, false);
    return unet;
}

Test(sampler, an_image_alone_is_that_image_in_a_batch)
{
    static const struct {
        const ito_sampler *sampler;
        double eta;
    } cases[] = {{&ito_sampler_ddpm, 0.0}, {&ito_sampler_ddim, 0.0}, {&ito_sampler_ddim, 0.7}};
    ito_diffusion *d = ito_diffusion_create();
    ito_unet *unet = small_unet();
    for (int k = 0; k < 3; k++) {
        float batch[8][64], alone[64];
        ito_scope_begin();
        ito_tensor *x =
            ito_diffusion_sample(d, &unet->network, ITO_SHAPE(8, 1, 8, 8), .steps = 5,
                                 .sampler = cases[k].sampler, .eta = cases[k].eta, .seed = 3);
        cr_assert_not_null(x, "%s", ito_error());
        cr_assert_eq(ito_to_data(x, batch, ITO_F32), ITO_OK);
        for (int64_t i = 0; i < 8; i++) {
            x = ito_diffusion_sample(d, &unet->network, ITO_SHAPE(1, 1, 8, 8), .steps = 5,
                                     .sampler = cases[k].sampler, .eta = cases[k].eta, .seed = 3,
                                     .first_image = i);
            cr_assert_eq(ito_to_data(x, alone, ITO_F32), ITO_OK);
            cr_assert_eq(memcmp(alone, batch[i], sizeof alone), 0, "sampler %d, image %d", k,
                         (int)i);
        }
        cr_assert_neq(memcmp(batch[0], batch[1], sizeof alone), 0);
        ito_scope_end();
    }
    ito_module_free(&unet->base);
    ito_diffusion_free(d);
}

Test(sampler, threads_change_no_bit)
{
    ito_diffusion *d = ito_diffusion_create();
    ito_unet *unet = small_unet();
    float one[128], three[128];
    for (int k = 0; k < 2; k++) {
        cr_assert_eq(ito_set_threads(k == 0 ? 1 : 3), ITO_OK);
        ito_tensor *x = ito_diffusion_sample(d, &unet->network, ITO_SHAPE(2, 1, 8, 8), .steps = 3);
        cr_assert_eq(ito_to_data(x, k == 0 ? one : three, ITO_F32), ITO_OK);
    }
    cr_assert_eq(memcmp(one, three, sizeof one), 0);
    ito_module_free(&unet->base);
    ito_diffusion_free(d);
}

/* ---- data of any number of axes ---- */

/* A network that knows no axes but the first: every example's numbers, and their mean. */
static ito_tensor *axes_apart(ito_network *self, const ito_network_input *in)
{
    (void)self;
    ito_tensor *rows = ito_flatten(in->x, 1, -1);
    ito_tensor *mean = ito_mean(rows, .dims = ITO_DIMS(1), .keepdim = true);
    return ito_reshape_to(ito_tanh(ito_add(ito_mul_scalar(rows, 0.9), mean)), ito_shape_of(in->x));
}

/* The same numbers, from noise to data, in these axes. */
static void sampled_in_axes(const ito_diffusion *d, const ito_sampler *sampler, ito_shape shape,
                            double *values)
{
    ito_network network = network_of(axes_apart, NULL);
    ito_scope_begin();
    ito_tensor *x = ito_diffusion_sample(d, &network, shape, .sampler = sampler, .steps = 5,
                                         .threshold = 0.9, .seed = 6, .dtype = ITO_F64);
    cr_assert_not_null(x, "%s: %s", sampler->name, ito_error());
    cr_assert_eq(ito_ndim(x), shape.ndim);
    cr_assert_eq(ito_to_data(x, values, ITO_F64), ITO_OK);
    ito_scope_end();
}

Test(sampler, points_signals_and_volumes_are_sampled_as_images_of_their_numbers)
{
    const ito_shape shapes[] = {ITO_SHAPE(3, 12), ITO_SHAPE(3, 2, 6), ITO_SHAPE(3, 1, 2, 3, 2)};
    static const ito_schedule_family *const families[] = {&ito_schedule_linear, &ito_schedule_flow};
    int64_t samplers;
    const ito_choice *const *list = ito_choices("sampler", &samplers);
    cr_assert_gt(samplers, 0);
    for (int f = 0; f < 2; f++) {
        ito_diffusion *d =
            ito_diffusion_create(.schedule = families[f], .prediction = &ito_prediction_v);
        for (int64_t k = 0; k < samplers; k++) {
            double images[36], other[36];
            const ito_sampler *sampler = ito_sampler_find(list[k]->name);
            sampled_in_axes(d, sampler, ITO_SHAPE(3, 1, 3, 4), images);
            for (int i = 0; i < 3; i++) {
                sampled_in_axes(d, sampler, shapes[i], other);
                cr_expect_eq(memcmp(other, images, sizeof images), 0, "%s, %d axes", sampler->name,
                             shapes[i].ndim);
            }
        }
        ito_diffusion_free(d);
    }
}

/* [N]: one number an example. */
Test(sampler, single_numbers_are_sampled)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *x = ito_diffusion_sample(d, &g.base, ITO_SHAPE(5), .steps = 4, .dtype = ITO_F64);
    ito_tensor *y =
        ito_diffusion_sample(d, &g.base, ITO_SHAPE(5, 1, 1, 1), .steps = 4, .dtype = ITO_F64);
    cr_assert_eq(ito_ndim(x), 1);
    cr_assert_eq(largest_difference(x, ito_flatten(y, 0, -1)), 0.0);
    ito_diffusion_free(d);
}

/* ---- options, progress, errors ---- */

static bool stop_at_two(int64_t done, int64_t steps, ito_tensor *x, void *context)
{
    cr_assert_eq(steps, 6);
    cr_assert_eq(ito_numel(x), 4);
    *(int64_t *)context = done;
    return done < 2;
}

Test(sampler, progress_can_stop_it_without_an_error)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    int64_t done = 0, bytes = ito_memory_current();
    cr_assert_null(ito_diffusion_sample(d, &g.base, ITO_SHAPE(1, 1, 2, 2), .steps = 6,
                                        .progress = stop_at_two, .progress_context = &done));
    cr_assert_eq(done, 2);
    cr_assert_eq(ito_error_code(), ITO_OK);
    cr_assert_eq(ito_memory_current(), bytes);
    ito_diffusion_free(d);
}

/* A network that predicts x_0 as 1, 2, 3, ... pixel by pixel, times 0.1 image by image. */
static ito_tensor *counting(ito_network *self, const ito_network_input *in)
{
    (void)self;
    ito_tensor *image = ito_reshape(ito_arange(1, 11, 1, ITO_F64), 1, 1, 2, 5);
    ito_tensor *scale = ito_reshape(ito_arange(1, 3, 1, ITO_F64), 2, 1, 1, 1);
    return ito_add(ito_mul_scalar(ito_mul(image, scale), 0.1), ito_mul_scalar(in->x, 0.0));
}

/* What one step to the clean image makes of them. */
static void one_step(ito_sample_options o, double *values)
{
    ito_diffusion *d = ito_diffusion_create(.prediction = &ito_prediction_x_0);
    ito_network network = network_of(counting, NULL);
    o.steps = 1;
    o.dtype = ITO_F64;
    ito_tensor *x = ito_diffusion_sample_with(d, &network, ITO_SHAPE(2, 1, 2, 5), o);
    cr_assert_not_null(x, "%s", ito_error());
    cr_assert_eq(ito_to_data(x, values, ITO_F64), ITO_OK);
    ito_diffusion_free(d);
}

Test(sampler, limits_of_x_0_are_options)
{
    double clipped[20], free[20], dynamic[20], noisy[20], again[20];
    one_step(ITO_OPTIONS(ito_sample_options, .seed = 1), clipped);
    one_step(ITO_OPTIONS(ito_sample_options, .no_clip = true), free);
    one_step(ITO_OPTIONS(ito_sample_options, .threshold = 0.75), dynamic);
    one_step(ITO_OPTIONS(ito_sample_options, .noise_at_last = true, .no_clip = true), noisy);
    one_step(ITO_OPTIONS(ito_sample_options, .sampler = &ito_sampler_dpmpp_2m), again);
    /* The 0.75-quantile of 0.1, ..., 1.0 lies below 1 and that of twice as much is 1.55. */
    ito_process *s = ito_process_create(&ito_schedule_linear);
    double sum = 0.0, small = s->beta_tilde[1];
    for (int i = 0; i < 20; i++) {
        double plain = 0.1 * (i % 10 + 1) * (i / 10 + 1), limit = i < 10 ? 1.0 : 1.55;
        cr_assert_float_eq(free[i], plain, 1e-12);
        cr_assert_float_eq(clipped[i], fmin(plain, 1.0), 1e-12);
        cr_assert_float_eq(again[i], clipped[i], 1e-12);
        cr_assert_float_eq(dynamic[i], fmin(plain / limit, 1.0), 1e-12);
        sum += (noisy[i] - plain) * (noisy[i] - plain) / 20.0;
    }
    cr_assert(sum > small / 5.0 && sum < small * 5.0, "%g for %g", sum, small);
    ito_process_free(s);
}

static void watch(const ito_sampler_state *s, ito_tensor *x, void *context)
{
    double *seen = context;
    seen[s->i] = ito_item(ito_sum(s->estimate.x_0)) + 1000.0 * s->step.t;
    cr_assert_eq(ito_numel(x), ito_numel(s->x));
}

Test(sampler, what_the_network_sees_on_the_way_is_shown)
{
    ito_diffusion *d = ito_diffusion_create(.prediction = &ito_prediction_x_0);
    ito_network network = network_of(counting, NULL);
    static const double times[] = {900, 400, 3};
    double seen[3];
    cr_assert_not_null(ito_diffusion_sample(d, &network, ITO_SHAPE(2, 1, 2, 5), .dtype = ITO_F64,
                                            .steps = 3, .times = times, .no_clip = true,
                                            .observe = watch, .observe_context = seen));
    for (int i = 0; i < 3; i++)
        cr_assert_float_eq(seen[i], 16.5 + 1000.0 * times[i], 1e-9);
    /* From a step in the middle: that one, then the list below it. */
    cr_assert_not_null(ito_diffusion_sample(
        d, &network, ITO_SHAPE(2, 1, 2, 5), .dtype = ITO_F64, .steps = 3, .times = times,
        .no_clip = true, .start = 500, .observe = watch, .observe_context = seen));
    cr_assert_float_eq(seen[0], 16.5 + 500000.0, 1e-9);
    cr_assert_float_eq(seen[1], 16.5 + 400000.0, 1e-9);
    ito_diffusion_free(d);
}

Test(sampler, same_noise_makes_the_same_image)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *x = ito_diffusion_sample(d, &g.base, ITO_SHAPE(2, 1, 1, 3), .steps = 4,
                                         .same_noise = true, .first_image = 3);
    ito_tensor *y =
        ito_diffusion_sample(d, &g.base, ITO_SHAPE(1, 1, 1, 3), .steps = 4, .first_image = 3);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(ito_item(ito_max(ito_abs(ito_sub(ito_narrow(x, 0, i, 1), y)))), 0.0);
    ito_diffusion_free(d);
}

Test(sampler, failed_allocations_are_errors_and_leak_nothing)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    int64_t blocks = ito_memory_blocks(), failures = 0;
    ito_tensor *x = NULL;
    for (int64_t n = 1; x == NULL; n++) {
        ito_scope_begin();
        ito_memory_fail_nth(n);
        x = ito_diffusion_sample(d, &g.base, ITO_SHAPE(2, 1, 2, 2), .steps = 2);
        ito_memory_fail_nth(0);
        cr_assert_eq(ito_error_code(), x == NULL ? ITO_ERR_MEMORY : ITO_OK);
        failures += x == NULL;
        ito_error_clear();
        ito_scope_end();
        cr_assert_eq(ito_memory_blocks(), blocks);
    }
    cr_assert(failures > 7);
    ito_diffusion_free(d);
}
