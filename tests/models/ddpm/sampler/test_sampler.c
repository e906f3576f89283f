/* Samplers: Gaussian data with its best network, where everything has a closed form, and the laws
 * of a batch. test_sampler_reference.c has the values of other implementations. */
#include "models/ddpm/sampler/sampler.h"

#include "autograd/ops.h"
#include "models/ddpm/network/unet.h"
#include "tensor/runtime.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

Test(sampler, ddim_variances_are_those_of_the_reference)
{
    static const double tolerance = 1e-6; /* the reference's tables are f32 */
    ito_diffusion *d = ito_diffusion_create();
    ito_step a = ito_step_between(d->process, 420, 400);
    ito_step b = ito_step_between(d->process, 980, 960);
    double sigma = ito_sampler_ddim.move(d, &a, 1.0).noise;
    cr_assert_float_eq(sigma * sigma, 0.1477195, tolerance);
    sigma = ito_sampler_ddim.move(d, &b, 1.0).noise;
    cr_assert_float_eq(sigma * sigma, 0.3246053, tolerance);
    /* eta 1 is ancestral sampling with the small variance. */
    d->variance = &ito_variance_fixedsmall;
    cr_assert_float_eq(sigma, ito_sampler_ddpm.move(d, &b, 0.0).noise, 1e-12);
    ito_diffusion_free(d);
}

/* ---- Gaussian data x_0 ~ N(0, 1/4) and its best network, eps = k(t) x ---- */

static double best_factor(const ito_process *s, int64_t t)
{
    double ab = s->alpha_bar[t];
    return sqrt(1.0 - ab) / (0.25 * ab + 1.0 - ab);
}

static ito_tensor *best_eps(ito_tensor *x, ito_tensor *t, void *context)
{
    return ito_mul_scalar(x, best_factor(context, ((const int64_t *)ito_const_data(t))[0]));
}

/* The variance of ancestral samples by eq. (11): mean (x - beta eps / sqrt(1 - ab)) / sqrt(alpha).
 */
static double exact_variance(const ito_process *s, const int64_t *times, int64_t n,
                             bool large)
{
    double v = 1.0;
    for (int64_t i = 0; i < n; i++) {
        double ab = s->alpha_bar[times[i]], to = i + 1 < n ? s->alpha_bar[times[i + 1]] : 1.0;
        double alpha = ab / to, beta = 1.0 - alpha;
        double gain = (1.0 - beta / sqrt(1.0 - ab) * best_factor(s, times[i])) / sqrt(alpha);
        v *= gain * gain;
        if (to < 1.0)
            v += large ? beta : (1.0 - to) / (1.0 - ab) * beta;
    }
    return v;
}

/* The same through the moves that the sampler makes. */
static double moved_variance(const ito_diffusion *d, const int64_t *times, int64_t n)
{
    double v = 1.0;
    for (int64_t i = 0; i < n; i++) {
        ito_step step = ito_step_between(d->process, times[i], i + 1 < n ? times[i + 1] : -1);
        ito_sampler_update m = ito_sampler_ddpm.move(d, &step, 0.0);
        ito_ddpm_pair p = ito_prediction_to_x_0(d->prediction, &step);
        double gain = m.x_t + m.x_0 * (p.a + p.b * best_factor(d->process, times[i]));
        v = gain * gain * v + (step.t_to < 0 ? 0.0 : m.noise * m.noise);
    }
    return v;
}

Test(sampler, variance_of_ancestral_samples_of_gaussian_data)
{
    ito_diffusion *d = ito_diffusion_create(.variance = &ito_variance_fixedsmall);
    int64_t times[1000];
    cr_assert_eq(ito_timesteps(d->process, ito_spacing_linspace, 1000, times), ITO_OK);
    cr_assert_float_eq(moved_variance(d, times, 1000), 0.246125211, 0.51e-9);
    cr_assert_float_eq(exact_variance(d->process, times, 1000, false), 0.246125211, 0.51e-9);
    d->variance = &ito_variance_fixedlarge;
    cr_assert_float_eq(moved_variance(d, times, 1000), 0.250752075, 0.51e-9);
    cr_assert_eq(ito_timesteps(d->process, ito_spacing_linspace, 37, times), ITO_OK);
    cr_assert_float_eq(moved_variance(d, times, 37), exact_variance(d->process, times, 37, true),
                       1e-12);
    ito_diffusion_free(d);
}

/* n values of a normal distribution have a variance within 5 sqrt(2 / n) of the true one but for
 * one case in a million. */
static void drawn_variance(const ito_diffusion *d, int64_t steps, int64_t side, double expected)
{
    ito_scope_begin();
    ito_tensor *x = ito_diffusion_sample(d, best_eps, d->process, ITO_SHAPE(4, 1, side, side),
                                    .steps = steps, .no_clip = true, .seed = 1);
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
    int64_t times[20];
    cr_assert_eq(ito_timesteps(d->process, ito_spacing_linspace, 20, times), ITO_OK);
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
    for (int i = 0; i < 4; i++) {
        ito_tensor *x_T = ito_full(ITO_SHAPE(1, 1, 1, 2), 1.0, ITO_F64);
        ito_tensor *x = ito_diffusion_sample_from(d, best_eps, d->process, x_T, .steps = cases[i].steps,
                                             .sampler = &ito_sampler_ddim, .no_clip = true,
                                             .spacing = ito_spacing_leading);
        cr_assert_not_null(x, "%s", ito_error());
        cr_assert_float_eq(((const double *)ito_const_data(x))[1], cases[i].gain, 0.51e-9);
        cr_assert_eq(ito_item(ito_max(x_T)), 1.0, "x_T is left as it was");
    }
    ito_diffusion_free(d);
}

/* ---- respacing ---- */

Test(sampler, spacings_are_those_of_the_tables)
{
    static const struct {
        ito_spacing spacing;
        int64_t T, S, times[10];
    } cases[] = {
        {ito_spacing_leading, 1000, 10, {900, 800, 700, 600, 500, 400, 300, 200, 100, 0}},
        {ito_spacing_leading, 1000, 3, {666, 333, 0}},
        {ito_spacing_leading, 1000, 7, {857, 714, 571, 428, 285, 142, 0}},
        {ito_spacing_linspace, 1000, 10, {999, 888, 777, 666, 555, 444, 333, 222, 111, 0}},
        {ito_spacing_linspace, 1000, 5, {999, 749, 500, 250, 0}},
        {ito_spacing_linspace, 1000, 1, {999}},
        {ito_spacing_trailing, 1000, 10, {999, 899, 799, 699, 599, 499, 399, 299, 199, 99}},
        {ito_spacing_trailing, 1000, 7, {999, 856, 713, 570, 428, 285, 142}},
        {ito_spacing_leading, 1000, 1, {0}},
        {ito_spacing_trailing, 1000, 1, {999}},
    };
    ito_process *s = ito_process_create(NULL, 1000);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t times[10];
        cr_assert_eq(cases[i].T, s->steps);
        cr_assert_eq(ito_timesteps(s, cases[i].spacing, cases[i].S, times), ITO_OK);
        for (int64_t k = 0; k < cases[i].S; k++)
            cr_assert_eq(times[k], cases[i].times[k], "case %zu, step %ld: %ld", i, (long)k,
                         (long)times[k]);
    }
    ito_process_free(s);
}

Test(sampler, spacings_fall_within_the_schedule)
{
    int64_t times[300];
    for (int spacing = 0; spacing < 5; spacing++) {
        for (int64_t T = 1; T <= 300; T += 23) {
            ito_process *s = ito_process_create(&ito_schedule_linear, T);
            for (int64_t S = 1; S <= T; S++) {
                cr_assert_eq(ito_timesteps(s, (ito_spacing)spacing, S, times), ITO_OK);
                cr_assert(times[0] < T && times[S - 1] >= 0);
                for (int64_t i = 1; i < S; i++)
                    cr_assert(times[i] < times[i - 1]);
                cr_assert(S < T || times[0] == T - 1);
            }
            ito_process_free(s);
        }
    }
    ito_process *s = ito_process_create(NULL, 10);
    cr_assert_eq(ito_timesteps(s, ito_spacing_leading, 11, times), ITO_ERR_RANGE);
    cr_assert_str_eq(ito_error_message(), "timesteps: 11 steps; the schedule has 1 to 10");
    ito_process_free(s);
}

/* Both ends, and between them the nearest ratio of signal to noise there is. */
Test(sampler, rate_spacing_is_even_in_a_power_of_signal_to_noise)
{
    ito_process *s = ito_process_create(NULL, 1000);
    int64_t times[8];
    double high = pow(s->signal[0] / s->noise[0], 0.4);
    cr_assert_eq(ito_timesteps(s, ito_spacing_rate, 8, times), ITO_OK);
    cr_assert_eq(times[0], 999);
    cr_assert_eq(times[7], 0);
    for (int i = 1; i < 7; i++) {
        double wanted = log(high * i / 7.0) / 0.4;
        for (int64_t t = 0; t < 1000; t++)
            cr_assert(fabs(log(s->signal[t] / s->noise[t]) - wanted) >=
                          fabs(log(s->signal[times[i]] / s->noise[times[i]]) - wanted) - 1e-12,
                      "step %d is %ld, %ld is nearer", i, (long)times[i], (long)t);
    }
    ito_process_free(s);
}

/* Karras et al. 2022, eq. (5), with rho 7: the nearest sigma there is, no two alike. */
Test(sampler, karras_spacing_is_even_in_the_seventh_root_of_sigma)
{
    ito_process *s = ito_process_create(NULL, 1000);
    int64_t times[12];
    double low = pow(s->noise[0] / s->signal[0], 1.0 / 7.0);
    double high = pow(s->noise[999] / s->signal[999], 1.0 / 7.0);
    cr_assert_eq(ito_timesteps(s, ito_spacing_karras, 12, times), ITO_OK);
    cr_assert_eq(times[0], 999);
    cr_assert_eq(times[11], 0);
    for (int i = 1; i < 11; i++) {
        double wanted = 7.0 * log(high + i / 11.0 * (low - high)), least = 1e9;
        int64_t best = 0;
        for (int64_t t = 0; t < 1000; t++) {
            double off = fabs(log(s->noise[t] / s->signal[t]) - wanted);
            best = off < least ? t : best;
            least = off < least ? off : least;
        }
        cr_assert_eq(times[i], best, "%d: %ld, not %ld", i, (long)times[i], (long)best);
    }
    ito_process_free(s);
}

/* ---- batches ---- */

static ito_unet *small_unet(void)
{
    ito_unet_config config = {.in_channels = 1,
                              .height = 8,
                              .width = 8,
                              .channels = 16,
                              .levels = 2,
                              .multipliers = {1, 2},
                              .attention = {false, true},
                              .blocks = 1};
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
            ito_diffusion_sample(d, ito_unet_network, unet, ITO_SHAPE(8, 1, 8, 8), .steps = 5,
                            .sampler = cases[k].sampler, .eta = cases[k].eta, .seed = 3);
        cr_assert_not_null(x, "%s", ito_error());
        cr_assert_eq(ito_to_data(x, batch, ITO_F32), ITO_OK);
        for (int64_t i = 0; i < 8; i++) {
            x = ito_diffusion_sample(d, ito_unet_network, unet, ITO_SHAPE(1, 1, 8, 8), .steps = 5,
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
        ito_tensor *x =
            ito_diffusion_sample(d, ito_unet_network, unet, ITO_SHAPE(2, 1, 8, 8), .steps = 3);
        cr_assert_eq(ito_to_data(x, k == 0 ? one : three, ITO_F32), ITO_OK);
    }
    cr_assert_eq(memcmp(one, three, sizeof one), 0);
    ito_module_free(&unet->base);
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
    int64_t done = 0, bytes = ito_memory_current();
    cr_assert_null(ito_diffusion_sample(d, best_eps, d->process, ITO_SHAPE(1, 1, 2, 2), .steps = 6,
                                   .progress = stop_at_two, .progress_context = &done));
    cr_assert_eq(done, 2);
    cr_assert_eq(ito_error_code(), ITO_OK);
    cr_assert_eq(ito_memory_current(), bytes);
    ito_diffusion_free(d);
}

/* A network that predicts x_0 as 1, 2, 3, ... pixel by pixel, times 0.1 image by image. */
static ito_tensor *counting(ito_tensor *x, ito_tensor *t, void *context)
{
    (void)t, (void)context;
    ito_tensor *image = ito_reshape(ito_arange(1, 11, 1, ITO_F64), 1, 1, 2, 5);
    ito_tensor *scale = ito_reshape(ito_arange(1, 3, 1, ITO_F64), 2, 1, 1, 1);
    return ito_add(ito_mul_scalar(ito_mul(image, scale), 0.1), ito_mul_scalar(x, 0.0));
}

/* What one step to the clean image makes of them. */
static void one_step(ito_sample_options o, double *values)
{
    ito_diffusion *d = ito_diffusion_create(.prediction = &ito_prediction_x_0);
    o.steps = 1;
    o.dtype = ITO_F64;
    ito_tensor *x = ito_diffusion_sample_with(d, counting, NULL, ITO_SHAPE(2, 1, 2, 5), o);
    cr_assert_not_null(x, "%s", ito_error());
    cr_assert_eq(ito_to_data(x, values, ITO_F64), ITO_OK);
    ito_diffusion_free(d);
}

Test(sampler, limits_of_x_0_are_options)
{
    double clipped[20], free[20], dynamic[20], noisy[20], again[20];
    one_step((ito_sample_options){.seed = 1}, clipped);
    one_step((ito_sample_options){.no_clip = true}, free);
    one_step((ito_sample_options){.threshold = 0.75}, dynamic);
    one_step((ito_sample_options){.noise_at_last = true, .no_clip = true}, noisy);
    one_step((ito_sample_options){.sampler = &ito_sampler_dpmpp_2m}, again);
    /* The 0.75-quantile of 0.1, ..., 1.0 lies below 1 and that of twice as much is 1.55. */
    ito_process *s = ito_process_create(NULL, 1000);
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

static void watch(const ito_sampler_state *w, ito_tensor *x, void *context)
{
    double *seen = context;
    seen[w->i] = ito_item(ito_sum(w->guess.x_0)) + 1000.0 * (double)w->step.t;
    cr_assert_eq(ito_numel(x), ito_numel(w->x));
}

Test(sampler, what_the_network_sees_on_the_way_is_shown)
{
    ito_diffusion *d = ito_diffusion_create(.prediction = &ito_prediction_x_0);
    static const int64_t times[] = {900, 400, 3};
    double seen[3];
    cr_assert_not_null(ito_diffusion_sample(d, counting, NULL, ITO_SHAPE(2, 1, 2, 5), .dtype = ITO_F64,
                                       .steps = 3, .times = times, .no_clip = true,
                                       .observe = watch, .observe_context = seen));
    for (int i = 0; i < 3; i++)
        cr_assert_float_eq(seen[i], 16.5 + 1000.0 * (double)times[i], 1e-9);
    /* From a step in the middle: that one, then the list below it. */
    cr_assert_not_null(ito_diffusion_sample(d, counting, NULL, ITO_SHAPE(2, 1, 2, 5), .dtype = ITO_F64,
                                       .steps = 3, .times = times, .no_clip = true, .start = 500,
                                       .observe = watch, .observe_context = seen));
    cr_assert_float_eq(seen[0], 16.5 + 500000.0, 1e-9);
    cr_assert_float_eq(seen[1], 16.5 + 400000.0, 1e-9);
    ito_diffusion_free(d);
}

Test(sampler, same_noise_makes_the_same_image)
{
    ito_diffusion *d = ito_diffusion_create();
    ito_tensor *x = ito_diffusion_sample(d, best_eps, d->process, ITO_SHAPE(2, 1, 1, 3), .steps = 4,
                                    .same_noise = true, .first_image = 3);
    ito_tensor *y = ito_diffusion_sample(d, best_eps, d->process, ITO_SHAPE(1, 1, 1, 3), .steps = 4,
                                    .first_image = 3);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(ito_item(ito_max(ito_abs(ito_sub(ito_narrow(x, 0, i, 1), y)))), 0.0);
    ito_diffusion_free(d);
}

static void refused(const void *result, ito_status code, const char *message)
{
    cr_assert_null(result);
    cr_assert_eq(ito_error_code(), code, "%s", ito_error());
    cr_assert_str_eq(ito_error_message(), message);
    ito_error_clear();
}

static ito_tensor *flattening(ito_tensor *x, ito_tensor *t, void *context)
{
    (void)t;
    (void)context;
    return ito_flatten(x, 0, -1);
}

Test(sampler, refuses_what_makes_no_sense)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    ito_shape shape = ITO_SHAPE(1, 1, 2, 2);
    static const int64_t rising[] = {3, 7}, high[] = {20, 1}, low[] = {4, -1, 0};
    ito_ddpm_network *net = best_eps;
    void *s = d->process;
    refused(ito_diffusion_sample(d, net, s, shape, .steps = 21), ITO_ERR_RANGE,
            "sample: 21 steps; the schedule has 1 to 20");
    refused(ito_diffusion_sample(d, net, s, shape, .steps = -1), ITO_ERR_RANGE,
            "sample: -1 steps; the schedule has 1 to 20");
    refused(ito_diffusion_sample(d, net, s, shape, .eta = 1.5), ITO_ERR_RANGE,
            "sample: eta is 1.5; it must be in [0, 1]");
    refused(ito_diffusion_sample(d, net, s, shape, .eta = (double)NAN), ITO_ERR_RANGE,
            "sample: eta is nan; it must be in [0, 1]");
    refused(ito_diffusion_sample(d, net, s, ITO_SHAPE(2, 2)), ITO_ERR_SHAPE,
            "sample: [2, 2] is not [N, C, H, W]");
    refused(ito_diffusion_sample(d, net, s, shape, .dtype = ITO_U8), ITO_ERR_DTYPE,
            "sample: images are f32 or f64, not u8");
    refused(ito_diffusion_sample(d, net, s, shape, .steps = 2, .times = rising), ITO_ERR_RANGE,
            "sample: step 1 of the list is 7; they must fall from at most 19 to at least 0");
    refused(ito_diffusion_sample(d, net, s, shape, .steps = 2, .times = high), ITO_ERR_RANGE,
            "sample: step 0 of the list is 20; they must fall from at most 19 to at least 0");
    refused(ito_diffusion_sample(d, net, s, shape, .steps = 2, .times = low), ITO_ERR_RANGE,
            "sample: step 1 of the list is -1; they must fall from at most 19 to at least 0");
    refused(ito_diffusion_sample(d, flattening, s, shape), ITO_ERR_SHAPE,
            "sample: the network made [4] of [1, 1, 2, 2]");
    refused(ito_sampler_find("eulr"), ITO_ERR_ARGUMENT,
            "sampler: there is no \"eulr\"; there are ddpm, ddim, euler, euler-a, heun, lms, deis, "
            "deis3, pndm, plms, dpm++1s, dpm++2s, dpm++2m, dpm++3m, dpm++2m-sde, unipc and unipc3");
    cr_assert_eq(ito_sampler_find("ddim"), &ito_sampler_ddim);
    refused(ito_diffusion_sample(d, net, s, shape, .threshold = 2.0), ITO_ERR_RANGE,
            "sample: threshold is 2; it must be in [0, 1]");
    refused(ito_diffusion_sample(d, net, s, shape, .churn = {.amount = -1.0}), ITO_ERR_RANGE,
            "sample: churn is -1; it must be at least 0");
    refused(
        ito_diffusion_sample(d, net, s, shape, .churn = {.amount = 9.0}, .sampler = &ito_sampler_dpmpp_3m),
        ITO_ERR_ARGUMENT,
        "sample: churn is for samplers without memory, and dpm++3m looks back at 2 steps");
    static const int64_t ended[] = {0};
    refused(ito_diffusion_sample(d, net, s, shape, .steps = 1, .times = ended, .end_at_first = true),
            ITO_ERR_RANGE,
            "sample: the only step taken is 0, where it is to end; nothing is left to do");
    ito_diffusion *blind = ito_diffusion_create(.steps = 20, .betas = {.zero_terminal_snr = true});
    refused(ito_diffusion_sample(blind, net, s, shape, .sampler = &ito_sampler_unipc), ITO_ERR_ARGUMENT,
            "sample: eps cannot drive unipc: it does not tell x_0 at step 19 (signal 0); v and x_0 "
            "do");
    ito_diffusion_free(blind);
    ito_diffusion *learned = ito_diffusion_create(.steps = 20, .variance = &ito_variance_learned,
                                                  .loss = &ito_objective_hybrid);
    refused(ito_diffusion_sample(learned, net, s, shape), ITO_ERR_SHAPE,
            "sample: the network made [1, 1, 2, 2] of [1, 1, 2, 2]; the variance learned needs a "
            "second head, [1, 2, 2, 2]");
    ito_diffusion_free(learned);
    ito_spacing spacing;
    cr_assert_eq(ito_spacing_find("trailing", &spacing), ITO_OK);
    cr_assert_eq(spacing, ito_spacing_trailing);
    cr_assert_eq(ito_spacing_find("random", &spacing), ITO_ERR_ARGUMENT);
    cr_assert_str_eq(
        ito_error_message(),
        "spacing: there is no \"random\"; there are linspace, leading, trailing, karras and rate");
    ito_diffusion_free(d);
}

static ito_tensor *silent(ito_tensor *x, ito_tensor *t, void *context)
{
    (void)x, (void)t, (void)context;
    return NULL;
}

Test(sampler, a_silent_network_is_an_error)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    refused(ito_diffusion_sample(d, silent, NULL, ITO_SHAPE(1, 1, 2, 2)), ITO_ERR_ARGUMENT,
            "sample: the network gave nothing");
    ito_diffusion_free(d);
}

Test(sampler, refuses_numbers_of_images_that_cannot_be)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    void *s = d->process;
    refused(ito_diffusion_sample(d, best_eps, s, ITO_SHAPE(((int64_t)1 << 61) - 1, 1, 1, 1)),
            ITO_ERR_SHAPE, "sample: there cannot be 2305843009213693951 images");
    refused(ito_diffusion_sample(d, best_eps, s, ITO_SHAPE(INT64_MAX, 1, 1, 1)), ITO_ERR_SHAPE,
            "sample: there cannot be 9223372036854775807 images");
    refused(ito_diffusion_sample(d, best_eps, s, ITO_SHAPE(-2, 1, 2, 2)), ITO_ERR_SHAPE,
            "sample: there cannot be -2 images");
    refused(ito_diffusion_sample(d, best_eps, s, ITO_SHAPE(2, -1, 2, 2)), ITO_ERR_SHAPE,
            "tensor: no tensor has the shape [2, -1, 2, 2]");
    ito_diffusion_free(d);
}

/* A sampler is a public struct: what one changes in a copy must not walk past the arrays. */
Test(sampler, refuses_samplers_that_look_back_too_far)
{
    static const struct {
        int past, order;
        const char *numbers;
    } bad[] = {{4, 2, "4 steps and is of order 2"},
               {-1, 0, "-1 steps and is of order 0"},
               {1, 3, "1 steps and is of order 3"},
               {3, -1, "3 steps and is of order -1"}};
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    for (int k = 0; k < 4; k++) {
        ito_sampler own = ito_sampler_unipc;
        char message[200];
        own.past = bad[k].past;
        own.order = bad[k].order;
        snprintf(message, sizeof message,
                 "sample: unipc looks back at %s; it can be at 0 to 3, with an order of 0 to one "
                 "more",
                 bad[k].numbers);
        refused(ito_diffusion_sample(d, best_eps, d->process, ITO_SHAPE(1, 1, 2, 2), .sampler = &own),
                ITO_ERR_ARGUMENT, message);
    }
    ito_diffusion_free(d);
}

/* All that is not refused works, an order that is not said being 1. */
Test(sampler, takes_samplers_of_any_order_there_can_be)
{
    static const char *const names[] = {"dpm++2m", "dpm++2s", "dpm++2m-sde", "unipc",
                                        "lms",     "deis",    "pndm"};
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    for (int k = 0; k < 7; k++)
        for (int past = 0; past <= 3; past++)
            for (int order = 0; order <= past + 1; order++) {
                ito_sampler own = *ito_sampler_find(names[k]);
                own.past = past;
                own.order = order;
                ito_tensor *x = ito_diffusion_sample(d, best_eps, d->process, ITO_SHAPE(1, 1, 2, 2),
                                                .sampler = &own, .steps = 8, .keep_order = true);
                cr_assert_not_null(x, "%s %d %d: %s", names[k], past, order, ito_error());
                cr_assert(isfinite(ito_item(ito_sum(x))), "%s %d %d", names[k], past, order);
            }
    ito_diffusion_free(d);
}

Test(sampler, failed_allocations_are_errors_and_leak_nothing)
{
    ito_diffusion *d = ito_diffusion_create();
    int64_t blocks = ito_memory_blocks(), n = 0;
    ito_tensor *x = NULL;
    for (n = 1; x == NULL; n++) {
        ito_scope_begin();
        ito_memory_fail_nth(n);
        x = ito_diffusion_sample(d, best_eps, d->process, ITO_SHAPE(2, 1, 2, 2), .steps = 2);
        ito_memory_fail_nth(0);
        cr_assert_eq(ito_error_code(), x == NULL ? ITO_ERR_MEMORY : ITO_OK);
        ito_error_clear();
        ito_scope_end();
        cr_assert_eq(ito_memory_blocks(), blocks);
    }
    cr_assert(n > 8);
    ito_diffusion_free(d);
}
