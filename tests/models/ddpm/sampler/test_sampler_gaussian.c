/* All samplers on Gaussian data with its best network: the noise-free path multiplies x by
 * sqrt(D_to / D_at), D the variance of x_t, and any right sampler ends with the data's moments. */
#include "models/ddpm/sampler/sampler.h"

#include "tests/models/ddpm/ddpm_check.h"
#include "tests/models/ddpm/gaussian.h"

#include <math.h>
#include <string.h>

#define COUNT(a) (int)(sizeof(a) / sizeof(a)[0])

/* Sampler k of the library's list; NULL behind the last one. */
static const ito_sampler *sampler_at(int64_t k)
{
    int64_t n;
    const ito_choice *const *all = ito_choices("sampler", &n);
    return k < n ? ito_sampler_find(all[k]->name) : NULL;
}

/* Whether it draws noise with eta 0. */
static bool is_noisy(const ito_sampler *s)
{
    return s == &ito_sampler_ddpm || s == &ito_sampler_euler_a || s == &ito_sampler_dpmpp_2m_sde;
}

/* ---- deterministic ones: the gain from x_T to the end ---- */

static double gain_of(const ito_diffusion *d, ito_sample_options o)
{
    gaussian_network g = gaussian_make(d, 0.0);
    ito_scope_begin();
    ito_tensor *one = ito_ones(ITO_SHAPE(1, 1, 1, 1), ITO_F64);
    o.no_clip = true;
    ito_tensor *x = ito_diffusion_sample_from_with(d, &g.base, one, o);
    cr_assert_not_null(x, "%s: %s", o.sampler->name, ito_error());
    double gain = ito_item(x);
    ito_scope_end();
    return gain;
}

/* The error falls with the order p: by 2^p when the steps double, or nearly so. Multistep solvers
 * begin with a step of order 1, and PNDM's middles are those of t: 2 is what is proved of either.
 * Steps of equal length in sigma^(1/7), down to step 0, so that no step has another order. */
Test(sampler_gaussian, deterministic_samplers_converge_with_their_order)
{
    static const struct {
        const char *name;
        double order, error; /* error with 256 steps, at most */
    } cases[] = {{"ddim", 1, 2e-2},    {"euler", 1, 2e-2},   {"heun", 2, 1e-3},
                 {"lms", 2, 1e-4},     {"deis", 2, 3e-4},    {"deis3", 2, 3e-5},
                 {"pndm", 2, 3e-4},    {"plms", 2, 3e-4},    {"dpm++1s", 1, 2e-2},
                 {"dpm++2s", 2, 1e-3}, {"dpm++2m", 2, 1e-3}, {"dpm++3m", 2, 1e-4},
                 {"unipc", 2, 3e-4},   {"unipc3", 2, 3e-5}};
    ito_diffusion *d = ito_diffusion_create(.steps = 20000, .beta_start = 5e-6, .beta_end = 1e-3);
    const ito_process *s = d->process;
    double exact = sqrt(gaussian_variance((ito_level){s->signal[0], s->noise[0]}) /
                        gaussian_variance((ito_level){s->signal[19999], s->noise[19999]}));
    for (int k = 0; k < COUNT(cases); k++) {
        double error[3];
        for (int i = 0; i < 3; i++) {
            ito_sample_options o = ITO_OPTIONS(
                ito_sample_options, .sampler = ito_sampler_find(cases[k].name), .steps = 64 << i,
                .spacing = &ito_spacing_karras, .end_at_first = true, .keep_order = true);
            error[i] = fabs(gain_of(d, o) / exact - 1.0);
        }
        double order = 0.5 * log2(error[0] / error[2]);
        cr_expect(order > cases[k].order - 0.35 || error[2] < 1e-6, "%s: %g %g %g, order %.2f",
                  cases[k].name, error[0], error[1], error[2], order);
        cr_expect(error[2] < cases[k].error, "%s: %g", cases[k].name, error[2]);
    }
    ito_diffusion_free(d);
}

/* From pure noise (a straight path) to the clean image: the first and the last step are of order 1
 * for all, and nothing is divided by the signal that is not there. */
Test(sampler_gaussian, paths_with_both_ends_are_followed)
{
    ito_diffusion *d = ito_diffusion_create(.schedule = &ito_schedule_straight,
                                            .prediction = &ito_prediction_flow);
    for (int64_t k = 0; sampler_at(k) != NULL; k++) {
        ito_sample_options o =
            ITO_OPTIONS(ito_sample_options, .sampler = sampler_at(k), .steps = 200);
        if (!is_noisy(sampler_at(k)))
            cr_expect_float_eq(gain_of(d, o), 0.5, 0.01, "%s: %g", sampler_at(k)->name,
                               gain_of(d, o));
        else
            cr_expect(isfinite(gain_of(d, o)));
    }
    ito_diffusion_free(d);
}

/* The cosine schedule ends with a noise of 2e4 times the signal. With as many evaluations, or one
 * less, none is further from the exact gain than ddim. */
Test(sampler_gaussian, none_is_worse_than_ddim_from_next_to_no_signal)
{
    enum { EVALUATIONS = 20 };
    ito_diffusion *d =
        ito_diffusion_create(.schedule = &ito_schedule_cosine, .prediction = &ito_prediction_v);
    ito_sample_options o =
        ITO_OPTIONS(ito_sample_options, .sampler = &ito_sampler_ddim, .steps = EVALUATIONS);
    double most = fabs(gain_of(d, o) - 0.5);
    for (int64_t k = 0; sampler_at(k) != NULL; k++) {
        o.sampler = sampler_at(k);
        o.steps = o.sampler == &ito_sampler_heun   ? (EVALUATIONS + 1) / 2
                  : o.sampler == &ito_sampler_pndm ? EVALUATIONS - 9
                  : o.sampler == &ito_sampler_plms ? EVALUATIONS - 1
                                                   : EVALUATIONS;
        if (!is_noisy(o.sampler))
            cr_expect(fabs(gain_of(d, o) - 0.5) <= most + 1e-12, "%s: %g off, ddim %g",
                      o.sampler->name, fabs(gain_of(d, o) - 0.5), most);
    }
    ito_diffusion_free(d);
}

/* ---- moments ---- */

/* n values of a normal distribution have a variance within 5 sqrt(2 / n) of the true one but for
 * one case in a million; 250 steps leave less than 1.5 % of it, or 8 % where they add noise of
 * beta~ (0.246 with all 1000 steps). */
Test(sampler_gaussian, all_samplers_end_with_the_moments_of_the_data)
{
    static const int64_t side = 80;
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    for (int64_t k = 0; sampler_at(k) != NULL; k++) {
        ito_scope_begin();
        ito_tensor *x =
            ito_diffusion_sample(d, &g.base, ITO_SHAPE(3, 1, side, side), .sampler = sampler_at(k),
                                 .steps = 250, .no_clip = true, .seed = 8, .dtype = ITO_F64);
        cr_assert_not_null(x, "%s: %s", sampler_at(k)->name, ito_error());
        double n = (double)ito_numel(x), variance = ito_item(ito_mean(ito_square(x)));
        double bias = sampler_at(k) == &ito_sampler_euler_a ? 0.08 : 0.015;
        cr_expect(fabs(variance / 0.25 - 1.0) < 5.0 * sqrt(2.0 / n) + bias, "%s: %g",
                  sampler_at(k)->name, variance);
        cr_expect(fabs(ito_item(ito_mean(x))) < 5.0 * sqrt(0.25 / n), "%s", sampler_at(k)->name);
        ito_scope_end();
    }
    ito_diffusion_free(d);
}

/* Churn adds what it takes: the moments stay. */
Test(sampler_gaussian, churn_leaves_the_moments)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *plain = NULL;
    for (int k = 0; k < 3; k++) {
        ito_tensor *x = ito_diffusion_sample(
            d, &g.base, ITO_SHAPE(2, 1, 80, 80),
            .sampler = k == 2 ? &ito_sampler_euler : &ito_sampler_heun, .steps = k == 2 ? 500 : 100,
            .spacing = &ito_spacing_karras, .no_clip = true, .s_churn = k == 0 ? 0.0 : 40.0,
            .s_tmin = 0.05, .s_tmax = 50.0, .dtype = ITO_F64);
        double n = (double)ito_numel(x), variance = ito_item(ito_mean(ito_square(x)));
        cr_expect(fabs(variance / 0.25 - 1.0) < 5.0 * sqrt(2.0 / n) + 0.06, "%d: %g", k, variance);
        plain = k == 0 ? x : plain;
        if (k == 1) /* and it does act */
            cr_expect(largest_difference(x, plain) > 0.1);
    }
    ito_diffusion_free(d);
}

/* ---- one function in many forms ---- */

/* Any sampler makes the same of the same function, whatever it predicts. */
Test(sampler_gaussian, every_prediction_drives_every_sampler_alike)
{
    static const ito_prediction *const predictions[] = {
        &ito_prediction_eps,   &ito_prediction_x_0, &ito_prediction_x_prev, &ito_prediction_v,
        &ito_prediction_score, &ito_prediction_edm, &ito_prediction_flow};
    for (int64_t k = 0; sampler_at(k) != NULL; k++) {
        ito_tensor *first = NULL;
        ito_scope_begin();
        for (int p = 0; p < COUNT(predictions); p++) {
            ito_diffusion *d =
                ito_diffusion_create(.prediction = predictions[p],
                                     .sigma_data = gaussian_sigma_data(predictions[p]));
            gaussian_network g = gaussian_make(d, 0.0);
            ito_tensor *x =
                ito_diffusion_sample(d, &g.base, ITO_SHAPE(2, 1, 2, 3), .sampler = sampler_at(k),
                                     .steps = 12, .dtype = ITO_F64);
            cr_assert_not_null(x, "%s %s: %s", sampler_at(k)->name, predictions[p]->name,
                               ito_error());
            first = p == 0 ? x : first;
            /* x_prev's output is divided by what one of 1000 steps changes: 1e-16 / 1e-4 / 1e-2 */
            double off = largest_difference(x, first);
            cr_expect(off < 1e-8, "%s %s: %g", sampler_at(k)->name, predictions[p]->name, off);
            ito_diffusion_free(d);
        }
        ito_scope_end();
    }
}

static ito_tensor *drawn(const ito_diffusion *d, const char *name, double eta, bool clip)
{
    gaussian_network g = gaussian_make(d, log(0.02));
    ito_tensor *x = ito_diffusion_sample(d, &g.base, ITO_SHAPE(2, 1, 3, 3), .eta = eta,
                                         .sampler = ito_sampler_find(name), .steps = 20,
                                         .no_clip = !clip, .dtype = ITO_F64);
    cr_assert_not_null(x, "%s", ito_error());
    return x;
}

static void agree(ito_tensor *a, ito_tensor *b)
{
    double off = largest_difference(a, b);
    cr_assert(off < 1e-11, "%g", off);
}

Test(sampler_gaussian, samplers_that_are_one_agree)
{
    ito_diffusion *small = ito_diffusion_create(.variance = &ito_variance_fixedsmall);
    agree(drawn(small, "ddim", 1.0, false), drawn(small, "ddpm", 0.0, false));
    agree(drawn(small, "ddim", 1.0, true), drawn(small, "euler-a", 0.0, true));
    agree(drawn(small, "ddim", 0.0, true), drawn(small, "euler", 0.0, true));
    agree(drawn(small, "ddim", 0.0, false), drawn(small, "dpm++1s", 0.0, false));
    ito_diffusion_free(small);
}

/* A network that has learned the fixed variance samples as with it. */
Test(sampler_gaussian, a_learned_variance_is_used)
{
    ito_diffusion *fixed = ito_diffusion_create();
    ito_diffusion *learned = ito_diffusion_create(.variance = &ito_variance_learned_range,
                                                  .objective = &ito_objective_hybrid);
    gaussian_network g = gaussian_make(fixed, 0.0), h = gaussian_make(learned, 1.0);
    for (int k = 0; k < 2; k++) {
        fixed->variance = k == 0 ? &ito_variance_fixedlarge : &ito_variance_fixedsmall;
        h.v = k == 0 ? 1.0 : -1.0;
        ito_tensor *a = ito_diffusion_sample(fixed, &g.base, ITO_SHAPE(2, 1, 3, 3), .steps = 20,
                                             .dtype = ITO_F64);
        ito_tensor *b = ito_diffusion_sample(learned, &h.base, ITO_SHAPE(2, 1, 3, 3), .steps = 20,
                                             .dtype = ITO_F64);
        cr_assert_not_null(b, "%s", ito_error());
        agree(a, b);
    }
    ito_diffusion_free(fixed);
    ito_diffusion_free(learned);
}

/* ---- batches ---- */

/* A network that mixes pixels, so that an image is more than its pixels. */
static ito_tensor *mixing(ito_network *self, const ito_network_input *in)
{
    (void)self;
    ito_tensor *mean = ito_mean(in->x, .dims = ITO_DIMS(1, 2, 3), .keepdim = true);
    return ito_tanh(ito_add(ito_mul_scalar(in->x, 0.9), mean));
}

Test(sampler_gaussian, an_image_alone_is_that_image_in_a_batch_with_every_sampler)
{
    ito_diffusion *d = ito_diffusion_create();
    ito_network network = network_of(mixing, NULL);
    for (int64_t k = 0; sampler_at(k) != NULL; k++) {
        float batch[3][12], alone[12];
        ito_scope_begin();
#define RUN(shape, ...)                                                                            \
    ito_diffusion_sample(d, &network, shape, .sampler = sampler_at(k), .steps = 6,                 \
                         .threshold = 0.9, .seed = 4, __VA_ARGS__)
        ito_tensor *x = RUN(ITO_SHAPE(3, 2, 2, 3), .first_image = 5);
        cr_assert_not_null(x, "%s", ito_error());
        cr_assert_eq(ito_to_data(x, batch, ITO_F32), ITO_OK);
        for (int64_t i = 0; i < 3; i++) {
            x = RUN(ITO_SHAPE(1, 2, 2, 3), .first_image = 5 + i);
            cr_assert_eq(ito_to_data(x, alone, ITO_F32), ITO_OK);
            cr_assert_eq(memcmp(alone, batch[i], sizeof alone), 0, "%s, image %d",
                         sampler_at(k)->name, (int)i);
        }
        ito_scope_end();
    }
    ito_diffusion_free(d);
}
