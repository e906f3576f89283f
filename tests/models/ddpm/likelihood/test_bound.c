/* The bound: published values of its parts, the closed form for Gaussian data, and what progressive
 * coding makes of it. */
#include "models/ddpm/likelihood/bound.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/likelihood/bound_internal.h"
#include "tensor/runtime.h"
#include "tests/models/ddpm/ddpm_check.h"
#include "tests/models/ddpm/gaussian.h"

#include <math.h>
#include <string.h>

/* ---- L_0 ---- */

static double decoded(double x, double mean, double log_variance, ito_decoder decoder)
{
    return ito_item(ito_decoder_bits(ito_scalar(x, ITO_F64), ito_scalar(mean, ITO_F64),
                                     ito_scalar(log_variance, ITO_F64), decoder));
}

Test(bound, decoder_has_the_published_values)
{
    ito_process *s = ito_process_create(&ito_schedule_linear);
    double v = log(s->beta_tilde[1]), grey = 1.0 / 255.0;
    cr_assert_float_eq(decoded(grey, grey, v, ITO_DECODER_ERF), 1.305378, 0.51e-6);
    cr_assert_float_eq(decoded(grey, grey, v, ITO_DECODER_TANH), 1.305665, 0.51e-6);
    for (int end = -1; end <= 1; end += 2) {
        cr_assert_float_eq(decoded(end, end, v, ITO_DECODER_ERF), 0.509825, 0.51e-6);
        cr_assert_float_eq(decoded(end, end, v, ITO_DECODER_TANH), 0.509908, 0.51e-6);
    }
    ito_process_free(s);
}

/* The 256 masses are a distribution. */
Test(bound, decoder_masses_add_up_to_one)
{
    for (int k = 0; k < 3; k++) {
        double sum = 0.0;
        for (int i = 0; i < 256; i++)
            sum += exp2(-decoded(i / 127.5 - 1.0, 0.3 * k - 0.2, -2.0 * k - 1.0, ITO_DECODER_ERF));
        cr_assert_float_eq(sum, 1.0, 1e-9); /* the floor adds at most 256e-12 */
    }
    cr_assert_float_eq(decoded(-1.0, 1.0, -12.0, ITO_DECODER_ERF), 12.0 * log2(10.0), 1e-9);
}

static ito_tensor *decoder_of(ito_tensor *const *inputs, int64_t n, void *context)
{
    (void)n;
    return ito_decoder_bits(context, inputs[0], inputs[1], ITO_DECODER_TANH);
}

Test(bound, decoder_has_its_gradient)
{
    const double x[] = {-1.0, -0.2, 0.6, 1.0}, mean[] = {-0.9, -0.1, 0.5, 1.1};
    const double v[] = {-3.0, -4.0, -2.0, -5.0};
    ito_tensor *inputs[] = {ito_requires_grad(ito_from_data(mean, ITO_SHAPE(4), ITO_F64), true),
                            ito_requires_grad(ito_from_data(v, ITO_SHAPE(4), ITO_F64), true)};
    cr_assert_eq(ito_gradcheck(decoder_of, ito_from_data(x, ITO_SHAPE(4), ITO_F64), inputs, 2),
                 ITO_OK, "%s", ito_error());
}

/* The gradients of one pixel's bits in mean and log variance. */
static void slopes(double x, double mean, double log_variance, ito_dtype dtype, ito_decoder decoder,
                   double out[2])
{
    ito_tensor *m = ito_requires_grad(ito_full(ITO_SHAPE(1), mean, dtype), true);
    ito_tensor *v = ito_requires_grad(ito_full(ITO_SHAPE(1), log_variance, dtype), true);
    ito_tensor *bits = ito_decoder_bits(ito_full(ITO_SHAPE(1), x, dtype), m, v, decoder);
    cr_assert_eq(ito_backward(bits), ITO_OK, "%s", ito_error());
    cr_expect(ito_item(bits) >= 0.0 && ito_item(bits) < 39.9, "%g bits", ito_item(bits));
    out[0] = ito_item(ito_grad_of(m));
    out[1] = ito_item(ito_grad_of(v));
}

static double density(double z)
{
    return exp(-0.5 * z * z) / sqrt(2.0 * M_PI);
}

/* Means where one end of the interval is 0.7 deviations away, the other out of sight. */
Test(bound, decoder_has_its_gradient_at_small_variances)
{
    for (int v = -10; v >= -50; v -= 20) {
        double deviation = exp(0.5 * v), mean = 1.0 / 255.0 + 0.7 * deviation;
        double right = (1.0 / 255.0 - mean) / deviation, left = (-1.0 / 255.0 - mean) / deviation;
        double mass = 0.5 * (erf(right * M_SQRT1_2) - erf(left * M_SQRT1_2));
        double in_mean = (density(right) - density(left)) / (deviation * mass * M_LN2);
        double in_v = 0.5 * (density(right) * right - density(left) * left) / (mass * M_LN2);
        double found[2];
        slopes(0.0, mean, v, ITO_F64, ITO_DECODER_ERF, found);
        /* the ends are known to 4e-19 of 1e-11 */
        cr_expect_float_eq(found[0], in_mean, 1e-6 * fabs(in_mean), "%d: %g", v, found[0]);
        cr_expect_float_eq(found[1], in_v, 1e-6 * fabs(in_v), "%d: %g", v, found[1]);
    }
}

/* A learned variance may be anything at first: an overflow in one factor and 0 in another would be
 * NaN. */
Test(bound, decoder_has_finite_gradients_at_any_log_variance)
{
    static const double points[][2] = {{0, 0}, {0, 1 / 255.0}, {1 / 255.0, 0},    {-1, -1},
                                       {1, 1}, {1, -1.5},      {-1, 254 / 255.0}, {0.2, 7}};
    static const double extremes[] = {-1e30, -2e3, 2e3, 1e30, -(double)INFINITY, (double)INFINITY};
    for (int i = 0; i < 8 * 2 * 2; i++) {
        const double *p = points[i / 4];
        ito_dtype dtype = i / 2 % 2 == 0 ? ITO_F32 : ITO_F64;
        for (int k = -200; k <= 206; k += k < 200 ? 5 : 1) {
            double v = k <= 200 ? k : extremes[k - 201], found[2];
            slopes(p[0], p[1], v, dtype, (ito_decoder)(i % 2), found);
            cr_expect(isfinite(found[0]) && isfinite(found[1]),
                      "%s, %d, log variance %g, x %g, mean %g: %g %g", ito_dtype_name(dtype), i % 2,
                      v, p[0], p[1], found[0], found[1]);
        }
    }
}

/* The terms of a batch are of two kinds, each computed for all: the other kind's overflow stays out
 * of the gradient. */
Test(bound, steps_at_the_end_do_not_disturb_the_others)
{
    ito_diffusion *d = ito_diffusion_create(.variance = &ito_variance_learned_range,
                                            .objective = &ito_objective_vlb);
    cr_assert_not_null(d, "%s", ito_error());
    static const double v[] = {-3000.0, 0.5}, x_0[] = {0.1, 0.1}, at[] = {0, 5};
    ito_tensor *heads = ito_requires_grad(ito_from_data(v, ITO_SHAPE(2, 1), ITO_F64), true);
    ito_tensor *hat = ito_requires_grad(ito_full(ITO_SHAPE(2, 1), 0.2, ITO_F64), true);
    ito_tensor *bits = bound_terms(d, ito_from_data(x_0, ITO_SHAPE(2, 1), ITO_F64), hat, heads,
                                   ito_from_data(at, ITO_SHAPE(2), ITO_F64), ITO_DECODER_ERF);
    cr_assert_eq(ito_backward(ito_sum(bits)), ITO_OK, "%s", ito_error());
    for (int64_t i = 0; i < 2; i++) {
        double in_v = ((const double *)ito_const_data(ito_grad_of(heads)))[i];
        double in_hat = ((const double *)ito_const_data(ito_grad_of(hat)))[i];
        cr_expect(isfinite(in_v) && isfinite(in_hat), "%d: %g %g", (int)i, in_v, in_hat);
        cr_expect_eq(i == 1, in_v != 0.0);
    }
    ito_diffusion_free(d);
}

/* ---- Gaussian data: the loss vlb is the term of the bound ---- */

Test(bound, prior_of_gaussian_data)
{
    ito_diffusion *d = ito_diffusion_create();
    const double x_0[] = {0.5, -0.5};
    ito_tensor *bits = ito_prior_bits(d, ito_from_data(x_0, ITO_SHAPE(1, 2), ITO_F64));
    cr_assert_float_eq(ito_item(bits), 7.27867696e-6, 0.51e-14);
    ito_diffusion_free(d);
}

/* A signal of 1 beside a noise of 3: x_T begins as N(0, 10), and KL(N(1/2, 9) || N(0, 10)) it is.
 */
static ito_level growing(int64_t t, int64_t T, const ito_process_options *o)
{
    (void)o;
    return (ito_level){1.0, 3.0 * (double)(t + 1) / (double)T};
}

Test(bound, prior_of_a_path_that_does_not_preserve_variance)
{
    const ito_schedule_family exploding = {.name = "exploding", .level_of_step = growing};
    ito_diffusion *d = ito_diffusion_create(.steps = 20, .schedule = &exploding);
    ito_tensor *bits = ito_prior_bits(d, ito_full(ITO_SHAPE(1, 2), 0.5, ITO_F64));
    double expected = 0.5 * (0.25 / 10.0 + 0.9 - 1.0 - log(0.9)) / M_LN2;
    cr_assert_float_eq(ito_item(bits), expected, 1e-14);
    ito_diffusion_free(d);
}

/* The sum of the terms over t >= 1 for four points with the moments of x_0 and eps, whose mean of a
 * quadratic is exact. */
static double sum_of_terms(const ito_diffusion *d, double v_of_beta)
{
    static const double x_0[] = {0.5, 0.5, -0.5, -0.5}, eps[] = {1.0, -1.0, 1.0, -1.0};
    double sum = 0.0;
    ito_tensor *x = ito_from_data(x_0, ITO_SHAPE(4, 1), ITO_F64);
    ito_tensor *e = ito_from_data(eps, ITO_SHAPE(4, 1), ITO_F64);
    for (int64_t t = 1; t < d->process->steps; t++) {
        ito_scope_begin();
        gaussian_network g =
            gaussian_make(d, v_of_beta != 0.0 ? v_of_beta : log(d->process->beta[t]));
        ito_tensor *step = ito_full(ITO_SHAPE(4), (double)t, ITO_I64);
        sum += ito_item(ito_diffusion_loss(d, &g.base, x, step, e));
        ito_scope_end();
    }
    return sum;
}

/* Every prediction and variance: the same function, so the same bound, that of the closed form. A
 * learned variance that says beta or beta~ has the bound of the fixed one. */
Test(bound, of_gaussian_data_for_each_prediction_and_variance)
{
    static const double small = 6.30243688, large = 5.64564104;
    static const ito_prediction *const predictions[] = {
        &ito_prediction_eps,   &ito_prediction_x_0, &ito_prediction_x_prev, &ito_prediction_v,
        &ito_prediction_score, &ito_prediction_edm, &ito_prediction_flow};
    static const struct {
        const ito_variance *variance;
        double v, bits; /* v = 0: log beta */
    } cases[] = {{&ito_variance_fixedsmall, 0.0, small},
                 {&ito_variance_fixedlarge, 0.0, large},
                 {&ito_variance_learned, 0.0, large},
                 {&ito_variance_learned_range, 1.0, large},
                 {&ito_variance_learned_range, -1.0, small}};
    for (int k = 0; k < 5; k++) {
        double first = 0.0;
        for (int p = 0; p < 7; p++) {
            ito_diffusion *d =
                ito_diffusion_create(.prediction = predictions[p], .variance = cases[k].variance,
                                     .sigma_data = gaussian_sigma_data(predictions[p]),
                                     .objective = &ito_objective_vlb);
            double bits = sum_of_terms(d, cases[k].v);
            cr_assert_float_eq(bits, cases[k].bits, 0.6e-8, "%s, %s: %.9f", predictions[p]->name,
                               cases[k].variance->name, bits);
            /* x_prev's x_0-hat is divided by a small number near t = T. */
            first = p == 0 ? bits : first;
            cr_assert_float_eq(bits, first, 1e-9);
            ito_diffusion_free(d);
        }
    }
}

Test(bound, rescaled_is_T_times_vlb)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20, .objective = &ito_objective_vlb);
    double bits = sum_of_terms(d, 0.0);
    d->objective = &ito_objective_rescaled;
    cr_assert_float_eq(sum_of_terms(d, 0.0), 20.0 * bits, 1e-10);
    ito_diffusion_free(d);
}

/* ---- the evaluation ---- */

/* Gaussian images [n, 1, 4, 4] of deviation 1/2. */
static ito_tensor *gaussian_images(int64_t n, ito_dtype dtype)
{
    ito_generator g = ito_generator_make(77, 1);
    return ito_mul_scalar(ito_randn(&g, ITO_SHAPE(n, 1, 4, 4), dtype), 0.5);
}

/* The closed form of term t >= 1, in bits. */
static double exact_term(const ito_process *s, int64_t t)
{
    double ab = s->alpha_bar[t], beta = s->beta[t], error = 0.25 * ab / (0.25 * ab + 1.0 - ab);
    double ratio = s->beta_tilde[t] / beta, gap = beta * beta / ((1.0 - beta) * (1.0 - ab)) * error;
    return 0.5 * (ratio - 1.0 - log(ratio) + gap / beta) / log(2.0);
}

/* The mean over images of what they have beyond L_0 lies within three standard errors of the exact
 * bound: one seed in 370 would not. */
Test(bound, monte_carlo_agrees_with_the_exact_bound)
{
    enum { N = 256, T = 40 };
    ito_diffusion *d = ito_diffusion_create(.steps = T, .beta_start = 1e-3, .beta_end = 0.3);
    gaussian_network g = gaussian_make(d, 0.0);
    ito_bits bits;
    cr_assert_eq(ito_bits_per_dim(d, &g.base, gaussian_images(N, ITO_F64), &bits, .no_clip = true,
                                  .seed = 5),
                 ITO_OK, "%s", ito_error());
    double exact = 0.0, mean = 0.0, square = 0.0, end = d->process->alpha_bar[T - 1];
    for (int64_t t = 1; t < T; t++)
        exact += exact_term(d->process, t);
    exact += 0.5 * (0.25 * end - end - log(1.0 - end)) / log(2.0);
    const double *total = ito_data(bits.total), *terms = ito_data(bits.terms);
    for (int i = 0; i < N; i++) {
        double beyond = total[i] - terms[i * T];
        mean += beyond / N;
        square += beyond * beyond / N;
    }
    double error = sqrt((square - mean * mean) / (N - 1));
    cr_assert(fabs(mean - exact) < 3.0 * error, "%g +- %g for %g", mean, error, exact);
    cr_assert(error < 0.02 * exact, "a bound of no use");
    ito_diffusion_free(d);
}

/* The same bound from 4 of 39 terms an image, in total and step by step: a wrong weight of any step
 * would show. */
Test(bound, drawn_steps_agree_with_the_exact_bound)
{
    enum { N = 2000, T = 40 };
    ito_diffusion *d = ito_diffusion_create(.steps = T, .beta_start = 1e-3, .beta_end = 0.3);
    gaussian_network g = gaussian_make(d, 0.0);
    ito_bits all, drawn;
    ito_tensor *x = gaussian_images(N, ITO_F64);
    cr_assert_eq(ito_bits_per_dim(d, &g.base, x, &all, .no_clip = true, .seed = 5), ITO_OK, "%s",
                 ito_error());
    cr_assert_eq(
        ito_bits_per_dim(d, &g.base, x, &drawn, .no_clip = true, .seed = 6, .monte_carlo = 4),
        ITO_OK, "%s", ito_error());
    cr_assert_eq(memcmp(ito_data(all.prior), ito_data(drawn.prior), N * sizeof(double)), 0);
    const double *total = ito_data(drawn.total), *terms = ito_data(drawn.terms);
    double end = d->process->alpha_bar[T - 1], mean = 0.0, square = 0.0;
    double exact = 0.5 * (0.25 * end - end - log(1.0 - end)) / log(2.0);
    for (int64_t t = 1; t < T; t++)
        exact += exact_term(d->process, t);
    for (int i = 0; i < N; i++) {
        double beyond = total[i] - terms[i * T];
        mean += beyond / N;
        square += beyond * beyond / N;
        int asked = 0;
        for (int t = 0; t < T; t++)
            asked += terms[i * T + t] != 0.0;
        cr_assert(asked >= 2 && asked <= 5, "image %d: %d", i, asked);
    }
    double error = sqrt((square - mean * mean) / (N - 1));
    cr_assert(fabs(mean - exact) < 3.0 * error, "%g +- %g for %g", mean, error, exact);
    cr_assert(error < 0.02 * exact, "%g: an estimate of no use", error);
    for (int64_t t = 0; t < T; t++) {
        double want = ito_item(ito_mean(ito_select(all.terms, 1, t))), got = 0.0, squares = 0.0;
        for (int i = 0; i < N; i++) {
            got += terms[i * T + t] / N;
            squares += terms[i * T + t] * terms[i * T + t] / N;
        }
        /* Four: there are forty of them. */
        cr_expect(fabs(got - want) < 4.0 * sqrt(squares / N), "step %d: %g for %g", (int)t, got,
                  want);
    }
    ito_diffusion_free(d);
}

/* Var[x_0 | x_t] is the distortion, within 5 standard errors. */
Test(bound, rate_and_distortion_of_gaussian_data)
{
    enum { N = 400, T = 12 };
    ito_diffusion *d = ito_diffusion_create(.steps = T, .beta_start = 0.01, .beta_end = 0.6);
    gaussian_network g = gaussian_make(d, 0.0);
    ito_bits bits;
    cr_assert_eq(ito_bits_per_dim(d, &g.base, gaussian_images(N, ITO_F64), &bits, .no_clip = true),
                 ITO_OK);
    ito_tensor *table = ito_rate_distortion(&bits);
    const double *row = ito_data(table);
    cr_assert_float_eq(row[2 * (T - 1)], ito_item(ito_mean(bits.prior)), 1e-12);
    for (int64_t t = 0; t < T; t++) {
        double ab = d->process->alpha_bar[t], variance = 0.25 * (1.0 - ab) / (0.25 * ab + 1 - ab);
        double got = row[2 * t + 1] / 127.5;
        cr_assert(fabs(got * got / variance - 1.0) < 5.0 * sqrt(2.0 / (16.0 * N)), "%d: %g for %g",
                  (int)t, got * got, variance);
        if (t > 0) {
            double term = ito_item(ito_mean(ito_select(bits.terms, 1, t)));
            cr_assert_float_eq(row[2 * t - 2] - row[2 * t], term, 1e-12);
        }
    }
    ito_diffusion_free(d);
}

Test(bound, an_image_alone_is_that_image_in_a_batch)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 5);
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *x = gaussian_images(3, ITO_F32);
    ito_bits all, one;
    cr_assert_eq(ito_bits_per_dim(d, &g.base, x, &all, .seed = 2, .draws = 2), ITO_OK);
    for (int64_t i = 0; i < 3; i++) {
        cr_assert_eq(ito_bits_per_dim(d, &g.base, ito_narrow(x, 0, i, 1), &one, .seed = 2,
                                      .draws = 2, .first_image = i),
                     ITO_OK);
        cr_assert_eq(ito_item(one.total), ((const double *)ito_data(all.total))[i]);
        cr_assert_eq(memcmp(ito_data(one.terms), (const double *)ito_data(all.terms) + 5 * i,
                            5 * sizeof(double)),
                     0);
    }
    ito_diffusion_free(d);
}

Test(bound, an_image_draws_its_steps_whatever_its_batch)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 30);
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *x = gaussian_images(3, ITO_F32);
    ito_bits all, one;
    cr_assert_eq(ito_bits_per_dim(d, &g.base, x, &all, .seed = 2, .draws = 2, .monte_carlo = 3),
                 ITO_OK);
    for (int64_t i = 0; i < 3; i++) {
        cr_assert_eq(ito_bits_per_dim(d, &g.base, ito_narrow(x, 0, i, 1), &one, .seed = 2,
                                      .draws = 2, .first_image = i, .monte_carlo = 3),
                     ITO_OK);
        cr_assert_eq(memcmp(ito_data(one.terms), (const double *)ito_data(all.terms) + 30 * i,
                            30 * sizeof(double)),
                     0);
        cr_assert_eq(((const double *)ito_data(one.decoded))[1],
                     ((const double *)ito_data(all.decoded))[3 + i]);
    }
    ito_diffusion_free(d);
}

/* Of the same noisings, whichever of them the total is made with. */
Test(bound, both_decoders_are_told)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 5);
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *x = gaussian_images(3, ITO_F64);
    ito_bits erf, tanh;
    cr_assert_eq(ito_bits_per_dim(d, &g.base, x, &erf, .draws = 2), ITO_OK);
    cr_assert_eq(ito_bits_per_dim(d, &g.base, x, &tanh, .draws = 2, .decoder = ITO_DECODER_TANH),
                 ITO_OK);
    const double *either = ito_data(erf.decoded);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(either[i], ((const double *)ito_data(erf.terms))[5 * i]);
        cr_assert_eq(either[3 + i], ((const double *)ito_data(tanh.terms))[5 * i]);
        cr_assert_neq(either[i], either[3 + i]);
    }
    ito_diffusion_free(d);
}

static bool stop_at_two(int64_t done, int64_t steps, void *context)
{
    cr_assert_eq(steps, 5);
    *(int64_t *)context = done;
    return done < 2;
}

/* With no error recorded: it was the caller's wish. */
Test(bound, progress_can_stop_it)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 5);
    gaussian_network g = gaussian_make(d, 0.0);
    ito_bits bits;
    int64_t done = 0;
    cr_assert_eq(ito_bits_per_dim(d, &g.base, gaussian_images(1, ITO_F64), &bits,
                                  .progress = stop_at_two, .progress_context = &done),
                 ITO_ERR_ARGUMENT);
    cr_assert_eq(ito_error_code(), ITO_OK);
    cr_assert_eq(done, 2);
    ito_diffusion_free(d);
}

Test(bound, numbers_of_draws_and_steps_that_cannot_be_are_refused)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 5);
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *x = gaussian_images(1, ITO_F64);
    ito_bits bits;
    assert_refused_status(ito_bits_per_dim(d, &g.base, x, &bits, .draws = -1), ITO_ERR_RANGE,
                          "bits_per_dim: -1 draws; at least 1 is needed");
    assert_refused_status(ito_bits_per_dim(d, &g.base, x, &bits, .draws = 0), ITO_ERR_RANGE,
                          "bits_per_dim: 0 draws; at least 1 is needed");
    assert_refused_status(ito_bits_per_dim(d, &g.base, x, &bits, .monte_carlo = 5), ITO_ERR_RANGE,
                          "bits_per_dim: 5 steps cannot be drawn of 4");
    assert_refused_status(ito_bits_per_dim(d, &g.base, x, &bits, .monte_carlo = -1), ITO_ERR_RANGE,
                          "bits_per_dim: -1 steps cannot be drawn of 4");
    ito_diffusion_free(d);
}

Test(bound, data_that_are_no_batch_of_numbers_are_refused)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 5);
    gaussian_network g = gaussian_make(d, 0.0);
    ito_bits bits;
    assert_refused_status(
        ito_bits_per_dim(d, &g.base, ito_zeros(ITO_SHAPE(2), ITO_I64), &bits), ITO_ERR_SHAPE,
        "bits_per_dim: the images are [2] of i64; they must be [N, ...] of f32 or f64");
    assert_refused_status(
        ito_bits_per_dim(d, &g.base, ito_scalar(0.5, ITO_F64), &bits), ITO_ERR_SHAPE,
        "bits_per_dim: the images are [] of f64; they must be [N, ...] of f32 or f64");
    /* A batch whose images are one and the same takes no memory for them. */
    ito_tensor *endless = ito_expand(ito_zeros(ITO_SHAPE(1), ITO_F64), ((int64_t)1 << 61) - 1);
    assert_refused_status(ito_bits_per_dim(d, &g.base, endless, &bits), ITO_ERR_SHAPE,
                          "bits_per_dim: there cannot be 2305843009213693951 examples");
    ito_diffusion_free(d);
}

Test(bound, a_prediction_that_does_not_tell_x_0_is_refused)
{
    ito_diffusion *blind = ito_diffusion_create(.steps = 5, .zero_terminal_snr = true);
    gaussian_network g = gaussian_make(blind, 0.0);
    ito_bits bits;
    assert_refused_status(ito_bits_per_dim(blind, &g.base, gaussian_images(1, ITO_F64), &bits),
                          ITO_ERR_ARGUMENT,
                          "bits_per_dim: eps does not tell x_0 at step 4 (signal 0)");
    ito_diffusion_free(blind);
}

Test(bound, a_process_in_continuous_time_is_refused)
{
    ito_diffusion *d = ito_diffusion_create(.schedule = &ito_schedule_vp);
    gaussian_network g = gaussian_make(d, 0.0);
    ito_bits bits;
    assert_refused_status(ito_bits_per_dim(d, &g.base, gaussian_images(1, ITO_F64), &bits),
                          ITO_ERR_ARGUMENT,
                          "bits_per_dim: the bound is that of a process in steps, and this one is "
                          "in continuous time");
    ito_diffusion_free(d);
}

static ito_tensor *silent(ito_network *self, const ito_network_input *in)
{
    (void)self, (void)in;
    return NULL;
}

Test(bound, what_is_missing_is_an_error_that_says_so)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 2);
    gaussian_network g = gaussian_make(d, 0.0);
    ito_network nothing = network_of(silent, NULL);
    ito_bits bits;
    assert_refused_status(ito_bits_per_dim(d, &g.base, NULL, &bits), ITO_ERR_ARGUMENT,
                          "bits_per_dim: x_0 is NULL");
    assert_refused_status(ito_bits_per_dim(d, &nothing, gaussian_images(1, ITO_F64), &bits),
                          ITO_ERR_ARGUMENT, "network: it gave nothing");
    ito_diffusion_free(d);
}

/* Points and volumes have the bits of the same numbers as images. */
Test(bound, of_any_axes_is_that_of_an_image)
{
    const ito_shape shapes[] = {ITO_SHAPE(3, 16), ITO_SHAPE(3, 2, 8), ITO_SHAPE(3, 2, 2, 2, 2)};
    ito_diffusion *d = ito_diffusion_create(.steps = 5);
    gaussian_network g = gaussian_make(d, 0.0);
    ito_tensor *x = gaussian_images(3, ITO_F64);
    ito_bits image, other;
    cr_assert_eq(ito_bits_per_dim(d, &g.base, x, &image, .seed = 2), ITO_OK);
    for (int k = 0; k < 3; k++) {
        cr_assert_eq(ito_bits_per_dim(d, &g.base, ito_reshape_to(x, shapes[k]), &other, .seed = 2),
                     ITO_OK, "%s", ito_error());
        const double *a = ito_data(image.terms), *b = ito_data(other.terms);
        for (int i = 0; i < 15; i++)
            cr_assert_float_eq(a[i], b[i], 1e-13 * a[i]);
        cr_assert_float_eq(((const double *)ito_data(image.total))[2],
                           ((const double *)ito_data(other.total))[2], 1e-12);
    }
    ito_diffusion_free(d);
}

/* The record keeps the first error until the caller clears it, and later calls go on. */
Test(bound, an_older_error_fails_nothing)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 2);
    gaussian_network g = gaussian_make(d, 0.0);
    ito_bits bits;
    ito_tensor *x = gaussian_images(1, ITO_F64);
    ito_error_set(ITO_ERR_IO, "older");
    cr_assert_eq(ito_bits_per_dim(d, &g.base, x, &bits), ITO_OK);
    cr_assert_str_eq(ito_error_message(), "older");
    ito_error_clear();
    ito_diffusion_free(d);
}

Test(bound, failed_allocations_are_errors_and_leak_nothing)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 2);
    gaussian_network g = gaussian_make(d, 0.0);
    int64_t blocks = ito_memory_blocks(), n = 0;
    ito_status status = ITO_ERR_MEMORY;
    for (n = 1; status != ITO_OK; n++) {
        ito_bits bits = {NULL, NULL, NULL, NULL, NULL};
        ito_scope_begin();
        ito_tensor *x = gaussian_images(1, ITO_F64);
        ito_memory_fail_nth(n);
        status = ito_bits_per_dim(d, &g.base, x, &bits, .monte_carlo = 1);
        ito_memory_fail_nth(0);
        cr_assert_eq(ito_error_code(), status == ITO_OK ? ITO_OK : ITO_ERR_MEMORY);
        cr_assert_eq(bits.total != NULL, status == ITO_OK);
        ito_error_clear();
        ito_scope_end();
        cr_assert_eq(ito_memory_blocks(), blocks);
    }
    cr_assert(n > 50);
    ito_diffusion_free(d);
}
