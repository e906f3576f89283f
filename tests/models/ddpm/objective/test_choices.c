/* Predictions, variances, weightings and losses: each against its definition, together, and what
 * does not go together. */
#include "models/ddpm/diffusion.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "tests/models/ddpm/gaussian.h"

#include <criterion/criterion.h>
#include <math.h>

static const ito_prediction *const predictions[] = {
    &ito_prediction_eps,   &ito_prediction_x_0, &ito_prediction_x_prev, &ito_prediction_v,
    &ito_prediction_score, &ito_prediction_edm, &ito_prediction_flow,
};
static const ito_variance *const variances[] = {&ito_variance_fixedsmall, &ito_variance_fixedlarge,
                                                     &ito_variance_learned, &ito_variance_learned_range};
static const ito_weighting *const weightings[] = {
    &ito_weighting_simple, &ito_weighting_bound, &ito_weighting_min_snr, &ito_weighting_p2, &ito_weighting_edm};
static const ito_objective *const losses[] = {&ito_objective_simple, &ito_objective_vlb,
                                                   &ito_objective_rescaled, &ito_objective_hybrid};

#define COUNT(a) (int)(sizeof(a) / sizeof(a)[0])

/* ---- predictions ---- */

/* With a right output, x_0 and eps come back, wherever they can. Errors grow by 1 / signal. */
Test(choices, an_output_tells_x_0_and_eps)
{
    static const ito_schedule_family *const families[] = {&ito_schedule_linear, &ito_schedule_cosine,
                                                     &ito_schedule_straight};
    const double x_0 = 0.7, eps = -1.3;
    for (int f = 0; f < 3; f++) {
        ito_process *s = ito_process_create(families[f], 50);
        for (int k = 0; k < COUNT(predictions); k++) {
            for (int64_t t = 0; t < 49; t++) {
                ito_step step = ito_step_between(s, t, t - 1);
                ito_ddpm_pair target = predictions[k]->target(predictions[k], &step);
                double x_t = step.at.signal * x_0 + step.at.noise * eps;
                double output = target.a * x_0 + target.b * eps;
                ito_ddpm_pair a = ito_prediction_to_x_0(predictions[k], &step);
                ito_ddpm_pair b = ito_prediction_to_eps(predictions[k], &step);
                double tolerance = 1e-14 * (1.0 + fabs(a.a) + fabs(a.b) + fabs(b.a) + fabs(b.b));
                cr_assert_float_eq(a.a * x_t + a.b * output, x_0, 4 * tolerance);
                cr_assert_float_eq(b.a * x_t + b.b * output, eps, 4 * tolerance);
            }
        }
        ito_process_free(s);
    }
}

/* The target at (x_0-hat, eps-hat) of the Gaussian toy is what the definitions give. */
Test(choices, targets_are_those_of_the_papers)
{
    for (int k = 0; k < COUNT(predictions); k++) {
        ito_diffusion *d = ito_diffusion_create(.prediction = predictions[k]);
        for (int64_t t = 0; t < 1000; t += 37) {
            ito_step s = ito_step_between(d->process, t, t - 1);
            ito_ddpm_pair target = d->prediction->target(d->prediction, &s);
            double D = gaussian_variance(s.at);
            double output = (target.a * 0.25 * s.at.signal + target.b * s.at.noise) / D;
            double expected = gaussian_output(d, &s);
            cr_assert_float_eq(output, expected, 1e-11 * (1.0 + fabs(expected)), "%s at %d",
                               predictions[k]->name, (int)t);
        }
        ito_diffusion_free(d);
    }
}

/* Where nothing is left of x_0 all but eps and score tell it. */
Test(choices, without_signal_only_eps_and_score_are_silent)
{
    ito_process *s = ito_process_create(NULL, 10, .zero_terminal_snr = true);
    ito_step step = ito_step_between(s, 9, 8);
    for (int k = 0; k < COUNT(predictions); k++) {
        bool silent =
            predictions[k] == &ito_prediction_eps || predictions[k] == &ito_prediction_score;
        ito_ddpm_pair a = ito_prediction_to_x_0(predictions[k], &step);
        ito_ddpm_pair b = ito_prediction_to_eps(predictions[k], &step);
        cr_assert_eq(!isfinite(a.b), silent, "%s", predictions[k]->name);
        cr_assert(isfinite(b.a) && isfinite(b.b), "%s", predictions[k]->name);
    }
    ito_process_free(s);
}

/* ---- weightings ---- */

/* The weighted loss of one image of one pixel, x_0 = 0.3, eps = 0.8, from a network that says 0. */
static ito_tensor *nothing(ito_tensor *x, ito_tensor *t, void *context)
{
    (void)t, (void)context;
    return ito_zeros_like(x);
}

static double weight_of(const ito_prediction *p, const ito_weighting *w, int64_t t)
{
    ito_scope_begin();
    ito_diffusion *d = ito_diffusion_create(.prediction = p, .weighting = w);
    ito_tensor *x_0 = ito_full(ITO_SHAPE(1, 1), 0.3, ITO_F64);
    ito_tensor *eps = ito_full(ITO_SHAPE(1, 1), 0.8, ITO_F64);
    ito_tensor *step = ito_full(ITO_SHAPE(1), (double)t, ITO_I64);
    double loss = ito_item(ito_diffusion_loss(d, nothing, NULL, x_0, step, eps));
    ito_step s = ito_step_between(d->process, t, t - 1);
    ito_ddpm_pair target = p->target(p, &s);
    double output = target.a * 0.3 + target.b * 0.8;
    ito_diffusion_free(d);
    ito_scope_end();
    return loss / (output * output);
}

Test(choices, weights_are_those_of_the_papers)
{
    ito_process *s = ito_process_create(NULL, 1000);
    ito_weighting one = ito_weighting_min_snr, p2 = ito_weighting_p2;
    one.gamma = 1.0;
    p2.k = 2.0;
    p2.gamma = 0.5;
    for (int64_t t = 1; t < 1000; t += 111) {
        double ab = s->alpha_bar[t], beta = s->beta[t], snr = ab / (1.0 - ab);
        double sigma2 = 1.0 / snr, capped = fmin(snr, 5.0);
        struct {
            const ito_prediction *p;
            const ito_weighting *w;
            double weight;
        } cases[] = {
            {&ito_prediction_eps, &ito_weighting_simple, 1.0},
            {&ito_prediction_v, &ito_weighting_simple, 1.0},
            {&ito_prediction_eps, &ito_weighting_min_snr, capped / snr},
            {&ito_prediction_x_0, &ito_weighting_min_snr, capped},
            {&ito_prediction_v, &ito_weighting_min_snr, capped / (snr + 1.0)},
            {&ito_prediction_v, &one, fmin(snr, 1.0) / (snr + 1.0)},
            {&ito_prediction_score, &ito_weighting_min_snr, capped / snr * (1.0 - ab)},
            {&ito_prediction_eps, &ito_weighting_p2, 1.0 / (1.0 + snr)},
            {&ito_prediction_eps, &p2, 1.0 / sqrt(2.0 + snr)},
            {&ito_prediction_edm, &ito_weighting_edm, 1.0},
            {&ito_prediction_x_0, &ito_weighting_edm, (sigma2 + 0.25) / (sigma2 * 0.25)},
            /* eq. (12) with sigma^2 = beta */
            {&ito_prediction_eps, &ito_weighting_bound,
             beta * beta / (2.0 * beta * (1.0 - beta) * (1.0 - ab))},
        };
        for (int i = 0; i < COUNT(cases); i++)
            cr_assert_float_eq(weight_of(cases[i].p, cases[i].w, t) / cases[i].weight, 1.0, 1e-9,
                               "case %d at %d", i, (int)t);
    }
    ito_process_free(s);
}

/* ---- combinations ---- */

static bool makes_sense(const ito_variance *v, const ito_weighting *w,
                        const ito_objective *l)
{
    return v->learned ? l != &ito_objective_simple && (l == &ito_objective_hybrid || !w->weight)
                      : l != &ito_objective_hybrid && (l == &ito_objective_simple || !w->weight);
}

/* A small network with a parameter for each output channel and one for the input. */
typedef struct toy {
    ito_diffusion *d;
    ito_tensor *x_0, *t, *eps;
    ito_tensor *gain, *shift;
} toy;

static ito_tensor *toy_network(ito_tensor *x, ito_tensor *t, void *context)
{
    (void)t;
    const toy *y = context;
    ito_tensor *h = ito_mul(x, y->gain);
    if (y->d->variance->learned)
        h = ito_cat(ITO_TENSORS(h, ito_mul_scalar(ito_tanh(h), 0.1)), 1);
    return ito_add(h, y->shift);
}

static ito_tensor *toy_loss(ito_tensor *const *inputs, int64_t n, void *context)
{
    (void)n;
    toy y = *(toy *)context;
    y.gain = inputs[0];
    y.shift = inputs[1];
    return ito_diffusion_loss(y.d, toy_network, &y, y.x_0, y.t, y.eps);
}

static ito_tensor *leaf(uint64_t stream, ito_shape shape, double scale)
{
    ito_generator g = ito_generator_make(3, stream);
    return ito_requires_grad(ito_mul_scalar(ito_randn(&g, shape, ITO_F64), scale), true);
}

/* Every loss has the gradient of its value; one image is at the last step. */
static void check_gradient(toy *y)
{
    const int64_t steps[] = {0, 3, 7};
    const double pixels[] = {-0.3, 0.25, -1.0, 0.2, -0.4, 0.6};
    bool learned = y->d->variance->learned;
    y->x_0 = ito_from_data(pixels, ITO_SHAPE(3, 2), ITO_F64);
    y->t = ito_from_data(steps, ITO_SHAPE(3), ITO_I64);
    y->eps = ito_detach(leaf(0, ITO_SHAPE(3, 2), 1.0));
    /* Near the image, so that the decoder's mass is not floored. */
    ito_tensor *inputs[] = {leaf(1, ITO_SHAPE(3, 2), 0.1),
                            leaf(2, ITO_SHAPE(learned ? 4 : 2), 0.1)};
    if (learned) /* and with a variance that is not too small for it either */
        inputs[1] = ito_requires_grad(
            ito_add(ito_detach(inputs[1]),
                    ito_from_data((const double[]){0, 0, -1, -1}, ITO_SHAPE(4), ITO_F64)),
            true);
    if (y->d->loss->detach_mean) /* the value has more than the gradient: see below */
        return;
    cr_assert_eq(ito_gradcheck(toy_loss, y, inputs, 2), ITO_OK, "%s %s %s %s: %s",
                 y->d->prediction->name, y->d->variance->name, y->d->weighting->name,
                 y->d->loss->name, ito_error());
}

Test(choices, every_combination_that_makes_sense_works)
{
    for (int p = 0; p < COUNT(predictions); p++)
        for (int v = 0; v < COUNT(variances); v++)
            for (int w = 0; w < COUNT(weightings); w++)
                for (int l = 0; l < COUNT(losses); l++) {
                    ito_scope_begin();
                    toy y = {
                        .d = ito_diffusion_create(.steps = 8, .prediction = predictions[p],
                                                  .variance = variances[v],
                                                  .weighting = weightings[w], .loss = losses[l],
                                                  .betas = {.beta_start = 0.05, .beta_end = 0.4})};
                    cr_assert_eq(y.d != NULL, makes_sense(variances[v], weightings[w], losses[l]),
                                 "%s %s %s: %s", variances[v]->name, weightings[w]->name,
                                 losses[l]->name, ito_error());
                    ito_error_clear();
                    if (y.d != NULL)
                        check_gradient(&y);
                    ito_diffusion_free(y.d);
                    ito_scope_end();
                }
}

/* Hybrid: the first head learns from L_simple alone, the second from the bound alone. */
Test(choices, hybrid_detaches_the_mean)
{
    static const ito_objective first = {.name = "first", .simple = 1.0, .vlb = 1e-30};
    static const ito_objective second = {.name = "second", .vlb = 1e-3, .whole_bound = true};
    const ito_objective *const all[] = {&ito_objective_hybrid, &first, &second};
    double grads[3][4];
    const int64_t steps[] = {2, 5};
    for (int k = 0; k < 3; k++) {
        toy y = {.d = ito_diffusion_create(.steps = 8, .variance = &ito_variance_learned_range,
                                           .loss = all[k])};
        y.x_0 = ito_detach(leaf(4, ITO_SHAPE(2, 2), 0.5));
        y.eps = ito_detach(leaf(5, ITO_SHAPE(2, 2), 1.0));
        y.t = ito_from_data(steps, ITO_SHAPE(2), ITO_I64);
        ito_tensor *inputs[] = {ito_detach(leaf(6, ITO_SHAPE(2, 2), 0.3)),
                                leaf(7, ITO_SHAPE(4), 0.3)};
        ito_tensor *g = ito_grad(toy_loss(inputs, 2, &y), inputs[1]);
        cr_assert_not_null(g, "%s", ito_error());
        cr_assert_eq(ito_to_data(g, grads[k], ITO_F64), ITO_OK);
        ito_diffusion_free(y.d);
    }
    for (int i = 0; i < 4; i++)
        cr_assert_float_eq(grads[0][i], grads[i < 2 ? 1 : 2][i], 1e-12);
}

static ito_tensor *magnitude(ito_tensor *difference)
{
    return ito_abs(difference);
}

Test(choices, a_distance_of_ones_own_takes_the_place_of_the_square)
{
    static const ito_objective l1 = {.name = "l1", .simple = 2.0, .distance = magnitude};
    ito_diffusion *d = ito_diffusion_create(.loss = &l1);
    const double eps[] = {1.0, -2.0, 3.0, -4.0};
    ito_tensor *e = ito_from_data(eps, ITO_SHAPE(2, 2), ITO_F64), *x = ito_zeros_like(e);
    ito_tensor *t = ito_zeros(ITO_SHAPE(2), ITO_I64);
    double each[2];
    cr_assert_eq(ito_to_data(ito_diffusion_losses(d, nothing, NULL, x, t, e), each, ITO_F64), ITO_OK);
    cr_assert_eq(each[0], 3.0);
    cr_assert_eq(each[1], 7.0);
    cr_assert_eq(ito_item(ito_diffusion_loss(d, nothing, NULL, x, t, e)), 5.0);
    ito_diffusion_free(d);
}

/* ---- what is refused ---- */

static void refused(const void *result, const char *message)
{
    cr_assert_null(result);
    cr_assert_eq(ito_error_code(), ITO_ERR_ARGUMENT, "%s", ito_error());
    cr_assert_str_eq(ito_error_message(), message);
    ito_error_clear();
}

Test(choices, numbers_take_the_place_of_the_weightings_own)
{
    ito_weighting p2 = ito_weighting_p2;
    p2.gamma = 0.25;
    p2.k = 3;
    ito_diffusion *d = ito_diffusion_create(.weighting = &ito_weighting_p2, .gamma = 0.25, .k = 3);
    cr_assert_not_null(d, "%s", ito_error());
    for (int64_t t = 0; t < 1000; t += 111) {
        ito_step step = ito_step_between(d->process, t, t - 1);
        cr_assert_eq(d->weighting->weight(d->weighting, &step), p2.weight(&p2, &step));
    }
    ito_diffusion_free(d);
}

/* Karras et al. 2022, table 1, by itself: with sigma = noise / signal, s the data's deviation and x
 * = signal (x_0 + sigma eps), F = ((sigma^2 + s^2)^1/2 / (sigma s)) (x_0 - c_skip (x_0 + sigma
 * eps)) and c_skip = s^2 / (sigma^2 + s^2). */
Test(choices, sigma_data_is_that_of_the_prediction_and_of_the_weighting)
{
    const double s = 0.25;
    ito_diffusion *d = ito_diffusion_create(.prediction = &ito_prediction_edm,
                                            .weighting = &ito_weighting_edm, .sigma_data = s);
    cr_assert_not_null(d, "%s", ito_error());
    for (int64_t t = 0; t < 1000; t += 111) {
        ito_step step = ito_step_between(d->process, t, t - 1);
        double sigma = step.at.noise / step.at.signal, total = sigma * sigma + s * s;
        ito_ddpm_pair target = d->prediction->target(d->prediction, &step);
        cr_expect_float_eq(target.a, sqrt(total) / (sigma * s) * (1 - s * s / total),
                           1e-12 * fabs(target.a));
        cr_expect_float_eq(target.b, -sqrt(total) / s * s * s / total, 1e-12 * fabs(target.b));
        double weight = d->weighting->weight(d->weighting, &step);
        cr_expect_float_eq(weight, 1 / (sigma * sigma) + 1 / (s * s), 1e-12 * weight);
    }
    ito_diffusion_free(d);
    d = ito_diffusion_create(.weighting = &ito_weighting_edm, .sigma_data = s);
    cr_assert(d->prediction == &ito_prediction_eps && d->weighting->sigma_data == s);
    ito_diffusion_free(d);
    d = ito_diffusion_create(.prediction = &ito_prediction_edm, .sigma_data = s);
    cr_assert(d->prediction->sigma_data == s && d->weighting == &ito_weighting_simple);
    ito_diffusion_free(d);
}

Test(choices, what_does_not_go_together_is_refused)
{
    refused(ito_diffusion_create(.variance = &ito_variance_learned),
            "diffusion: the loss simple does not train the variance learned; vlb, rescaled and "
            "hybrid do");
    refused(ito_diffusion_create(.loss = &ito_objective_hybrid),
            "diffusion: the loss hybrid trains a learned variance, and fixedlarge is not learned");
    refused(ito_diffusion_create(.loss = &ito_objective_vlb, .weighting = &ito_weighting_p2),
            "diffusion: the loss vlb has no weights, and p2 was given");
    refused(ito_diffusion_create(.loss = &ito_objective_vlb, .betas = {.zero_terminal_snr = true}),
            "diffusion: the loss vlb needs x_0, which eps does not tell at step 999 (signal 0)");
    refused(ito_diffusion_create(.weighting = &ito_weighting_edm, .betas = {.zero_terminal_snr = true}),
            "diffusion: at step 999 (signal 0, noise 1) eps is 0 x_0 + 1 eps, with a weight of inf "
            "by edm");
    refused(ito_diffusion_create(.gamma = 2), "diffusion: the weighting simple has no gamma, and 2 "
                                              "was given");
    refused(ito_diffusion_create(.weighting = &ito_weighting_min_snr, .k = 3),
            "diffusion: the weighting min_snr has no k, and 3 was given");
    refused(ito_diffusion_create(.sigma_data = 0.25),
            "diffusion: neither the prediction eps nor the weighting simple has a sigma_data, and "
            "0.25 was given");
    refused(ito_diffusion_create(.prediction = &ito_prediction_edm, .sigma_data = -1),
            "diffusion: sigma_data is -1; it must be above 0");
    refused(ito_prediction_find("epsilon"),
            "prediction: there is no \"epsilon\"; there are eps, x_0, x_prev, v, score, edm and "
            "flow");
    refused(ito_weighting_find("max"),
            "weighting: there is no \"max\"; there are simple, bound, min_snr, p2 and edm");
    refused(ito_objective_find("l2"),
            "loss: there is no \"l2\"; there are simple, vlb, rescaled and hybrid");
}

Test(choices, a_learned_variance_needs_a_second_head)
{
    ito_diffusion *d =
        ito_diffusion_create(.variance = &ito_variance_learned_range, .loss = &ito_objective_hybrid);
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 3, 4, 4), ITO_F32),
               *t = ito_zeros(ITO_SHAPE(2), ITO_I64);
    cr_assert_null(ito_diffusion_loss(d, nothing, NULL, x, t, x));
    cr_assert_eq(ito_error_code(), ITO_ERR_SHAPE);
    cr_assert_str_eq(ito_error_message(),
                     "ddpm_loss: the network made [2, 3, 4, 4] of [2, 3, 4, 4]; the variance "
                     "learned_range needs a second head, [2, 6, 4, 4]");
    ito_diffusion_free(d);
}

Test(choices, names_find_what_they_name)
{
    for (int i = 0; i < COUNT(predictions); i++)
        cr_assert_eq(ito_prediction_find(predictions[i]->name), predictions[i]);
    for (int i = 0; i < COUNT(variances); i++)
        cr_assert_eq(ito_variance_find(variances[i]->name), variances[i]);
    for (int i = 0; i < COUNT(weightings); i++)
        cr_assert_eq(ito_weighting_find(weightings[i]->name), weightings[i]);
    for (int i = 0; i < COUNT(losses); i++)
        cr_assert_eq(ito_objective_find(losses[i]->name), losses[i]);
}
