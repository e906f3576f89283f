/* Labels, guidance and self-conditioning: what the network is given, what is made of its answers,
 * and a case with a closed form. */
#include "models/ddpm/network/condition.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/likelihood/bound.h"
#include "models/ddpm/edit/edit.h"
#include "models/ddpm/sampler/sampler.h"
#include "tests/models/ddpm/gaussian.h"

#include <criterion/criterion.h>
#include <math.h>

/* ---- labels ---- */

/* x / 2 + label; what it was given is noted. */
typedef struct notes {
    int calls;
    int64_t labels[64];
    double x_0; /* the sum of the guess, or NaN without one */
} notes;

static ito_tensor *labelled(ito_tensor *x, ito_tensor *t, const ito_ddpm_condition *given,
                            void *context)
{
    (void)t;
    notes *n = context;
    n->calls++;
    n->x_0 = given->x_0 == NULL ? (double)NAN : ito_item(ito_sum(given->x_0));
    ito_tensor *y = ito_mul_scalar(x, 0.5);
    if (given->labels == NULL)
        return y;
    cr_assert_eq(ito_to_data(given->labels, n->labels, ITO_I64), ITO_OK);
    ito_tensor *shift = ito_cast(ito_reshape(given->labels, -1, 1, 1, 1), ITO_F64);
    return ito_add(y, shift);
}

static ito_tensor *labels(int64_t n, const int64_t *values)
{
    return ito_from_data(values, ITO_SHAPE(n), ITO_I64);
}

static ito_tensor *asked(ito_ddpm_conditioned *c, double x, double t)
{
    return ito_ddpm_conditioned_network(ito_full(ITO_SHAPE(2, 1, 1, 1), x, ITO_F64),
                                        ito_full(ITO_SHAPE(2), t, ITO_I64), c);
}

static void two(ito_tensor *y, double a, double b)
{
    double values[2];
    cr_assert_not_null(y, "%s", ito_error());
    cr_assert_eq(ito_to_data(y, values, ITO_F64), ITO_OK);
    cr_assert_float_eq(values[0], a, 1e-14);
    cr_assert_float_eq(values[1], b, 1e-14);
}

Test(condition, guidance_goes_from_none_through_the_label)
{
    ito_diffusion *d = ito_diffusion_create();
    notes n = {.calls = 0};
    ito_ddpm_conditioned c = {.diffusion = d, .network = labelled, .context = &n, .classes = 5};
    two(asked(&c, 1.0, 7.0), 5.5, 5.5); /* no labels: none */
    c.labels = labels(2, (const int64_t[]){1, 4});
    two(asked(&c, 1.0, 7.0), 1.5, 4.5); /* the label alone, one ask */
    cr_assert_eq(n.calls, 2);
    c.guidance = 3.0;
    two(asked(&c, 1.0, 7.0), 5.5 + 3.0 * (1.5 - 5.5), 5.5 + 3.0 * (4.5 - 5.5));
    cr_assert_eq(n.calls, 4);
    ito_diffusion_free(d);
}

static ito_tensor *two_heads(ito_tensor *x, ito_tensor *t, const ito_ddpm_condition *given,
                             void *context)
{
    ito_tensor *y = labelled(x, t, given, context);
    return ito_cat(ITO_TENSORS(y, ito_mul_scalar(y, 10.0)), 1);
}

Test(condition, guidance_leaves_the_variance_of_the_label)
{
    ito_diffusion *d =
        ito_diffusion_create(.variance = &ito_variance_learned, .loss = &ito_objective_hybrid);
    notes n = {.calls = 0};
    ito_ddpm_conditioned c = {.diffusion = d,
                              .network = two_heads,
                              .context = &n,
                              .classes = 5,
                              .labels = labels(2, (const int64_t[]){1, 1}),
                              .guidance = 2.0};
    ito_tensor *y = asked(&c, 0.0, 7.0);
    two(ito_narrow(y, 1, 0, 1), -3.0, -3.0);
    two(ito_narrow(y, 1, 1, 1), 10.0, 10.0);
    ito_diffusion_free(d);
}

Test(condition, training_drops_labels_at_its_rate)
{
    ito_diffusion *d = ito_diffusion_create();
    notes n = {.calls = 0};
    ito_generator g = ito_generator_make(4, 4);
    int64_t ones[64];
    int dropped = 0;
    for (int i = 0; i < 64; i++)
        ones[i] = 1;
    ito_ddpm_conditioned c = {.diffusion = d,
                              .network = labelled,
                              .context = &n,
                              .classes = 5,
                              .labels = labels(64, ones),
                              .guidance = 4.0, /* not while training */
                              .training = true,
                              .drop = 0.25,
                              .draw = &g};
    ito_tensor *x = ito_zeros(ITO_SHAPE(64, 1, 1, 1), ITO_F64),
               *t = ito_zeros(ITO_SHAPE(64), ITO_I64);
    for (int k = 0; k < 20; k++) {
        cr_assert_not_null(ito_ddpm_conditioned_network(x, t, &c));
        for (int i = 0; i < 64; i++) {
            cr_assert(n.labels[i] == 1 || n.labels[i] == 5);
            dropped += n.labels[i] == 5;
        }
    }
    cr_assert_eq(n.calls, 20);
    cr_assert(abs(dropped - 320) < 5 * sqrt(1280 * 0.25 * 0.75), "%d", dropped);
    c.training = false;
    c.guidance = 1.0;
    c.drop = 0.9; /* samples on the way of a training that drops labels keep theirs */
    cr_assert_not_null(ito_ddpm_conditioned_network(x, t, &c));
    for (int i = 0; i < 64; i++)
        cr_assert_eq(n.labels[i], 1);
    ito_diffusion_free(d);
}

static void refused(const void *result, ito_status code, const char *message)
{
    cr_assert_null(result);
    cr_assert_eq(ito_error_code(), code, "%s", ito_error());
    cr_assert_str_eq(ito_error_message(), message);
    ito_error_clear();
}

static ito_tensor *two_numbers(ito_tensor *x, ito_tensor *t, void *context)
{
    (void)x, (void)t, (void)context;
    return ito_zeros(ITO_SHAPE(3), ITO_F64);
}

Test(condition, refuses_what_makes_no_sense)
{
    ito_diffusion *d = ito_diffusion_create();
    notes n = {.calls = 0};
    ito_ddpm_conditioned c = {.diffusion = d, .network = labelled, .context = &n, .guidance = 2.0};
    refused(asked(&c, 0.0, 1.0), ITO_ERR_ARGUMENT,
            "guidance: the network is not conditional on classes: it takes no labels and no "
            "guidance");
    c.guidance = 0.0;
    c.labels = labels(2, (const int64_t[]){0, 1});
    refused(asked(&c, 0.0, 1.0), ITO_ERR_ARGUMENT,
            "guidance: the network is not conditional on classes: it takes no labels and no "
            "guidance");
    c.classes = 3;
    c.labels = NULL;
    c.guidance = 2.5;
    refused(asked(&c, 0.0, 1.0), ITO_ERR_ARGUMENT,
            "guidance: a scale of 2.5 needs labels to guide to");
    c.labels = labels(2, (const int64_t[]){0, 4});
    refused(asked(&c, 0.0, 1.0), ITO_ERR_RANGE,
            "guidance: the label of image 1 is 4; there are 0 to 2, and 3 for none");
    c.labels = labels(3, (const int64_t[]){0, 1, 1});
    refused(asked(&c, 0.0, 1.0), ITO_ERR_SHAPE,
            "guidance: the labels are [3] of i64; images [2, 1, 1, 1] need one i64 each");
    c.labels = labels(2, (const int64_t[]){0, 1});
    c.training = true;
    c.drop = 0.1;
    refused(asked(&c, 0.0, 1.0), ITO_ERR_ARGUMENT,
            "guidance: training needs a generator to draw from");
    cr_assert_eq(n.calls, 0);
    gaussian_network g = {d, 0.0};
    ito_ddpm_classifier k = {.diffusion = d,
                             .network = gaussian_ask,
                             .context = &g,
                             .log_probability = two_numbers,
                             .scale = 1.0};
    refused(ito_ddpm_classifier_network(ito_zeros(ITO_SHAPE(2, 1), ITO_F64),
                                        ito_zeros(ITO_SHAPE(2), ITO_I64), &k),
            ITO_ERR_SHAPE, "guidance: the classifier made [3] of [2, 1]; it must be [2]");
    ito_diffusion_free(d);
}

/* ---- self-conditioning ---- */

Test(condition, a_walk_is_given_its_last_guess)
{
    ito_diffusion *d = ito_diffusion_create(.prediction = &ito_prediction_x_0);
    notes n = {.calls = 0};
    ito_ddpm_conditioned c = {
        .diffusion = d, .network = labelled, .context = &n, .self_condition = true};
    cr_assert_not_null(asked(&c, 1.0, 900.0));
    cr_assert_eq(n.x_0, 0.0);
    cr_assert_not_null(asked(&c, 0.4, 800.0));
    cr_assert_eq(n.x_0, 1.0); /* 2 pixels of 1 / 2 */
    cr_assert_not_null(asked(&c, 0.4, 700.0));
    cr_assert_float_eq(n.x_0, 0.4, 1e-15);
    cr_assert_not_null(asked(&c, 0.4, 900.0)); /* a new walk */
    cr_assert_eq(n.x_0, 0.0);
    cr_assert_not_null(asked(&c, 90.0, 800.0));
    cr_assert_not_null(asked(&c, 0.4, 700.0));
    cr_assert_eq(n.x_0, 2.0); /* clipped */
    ito_ddpm_conditioned_end(&c);
    cr_assert_null(c.last);
    ito_tensor *x =
        ito_diffusion_sample(d, ito_ddpm_conditioned_network, &c, ITO_SHAPE(1, 1, 2, 2), .steps = 4);
    cr_assert_not_null(x, "%s", ito_error());
    ito_ddpm_conditioned_end(&c);
    ito_diffusion_free(d);
}

/* x / 2 + guess / 4; the guesses that were not 0 are counted. */
static ito_tensor *mixing(ito_tensor *x, ito_tensor *t, const ito_ddpm_condition *given,
                          void *context)
{
    (void)t;
    *(int *)context += ito_item(ito_sum(ito_abs(given->x_0))) != 0.0;
    return ito_axpby(0.5, x, 0.25, given->x_0);
}

/* Its noisings have nothing to do with each other: what one tells of x_0 must not help the next. */
Test(condition, the_bound_and_the_loss_are_given_no_history)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 6, .prediction = &ito_prediction_x_0);
    int told = 0;
    ito_ddpm_conditioned c = {
        .diffusion = d, .network = mixing, .context = &told, .self_condition = true};
    ito_tensor *x = ito_full(ITO_SHAPE(2, 1, 2, 2), 0.5, ITO_F64);
    ito_bits bits;
    cr_assert_eq(ito_bits_per_dim(d, ito_ddpm_conditioned_network, &c, x, &bits, .draws = 2),
                 ITO_OK, "%s", ito_error());
    cr_assert_eq(told, 0);
    ito_tensor *t = ito_full(ITO_SHAPE(2), 2.0, ITO_I64);
    for (int i = 0; i < 2; i++)
        cr_assert_not_null(ito_diffusion_loss(d, ito_ddpm_conditioned_network, &c, x, t, x), "%s",
                           ito_error());
    cr_assert_eq(told, 0);
    ito_ddpm_conditioned_end(&c);
    ito_diffusion_free(d);
}

static double apart(ito_tensor *a, ito_tensor *b)
{
    cr_assert(a != NULL && b != NULL, "%s", ito_error());
    return ito_item(ito_max(ito_abs(ito_sub(a, b))));
}

/* With one context: also from the step that the last walk ended at, and with samplers that ask
 * more than once at a step. */
Test(condition, a_walk_begins_without_a_guess)
{
    static const char *const names[] = {"ddpm", "heun", "unipc", "pndm"};
    ito_diffusion *d = ito_diffusion_create(.prediction = &ito_prediction_x_0);
    int told = 0;
    ito_ddpm_conditioned c = {
        .diffusion = d, .network = mixing, .context = &told, .self_condition = true};
    for (int k = 0; k < 4; k++)
        for (int64_t steps = 1; steps <= 3; steps += 2) {
            const ito_sampler *sampler = ito_sampler_find(names[k]);
            ito_tensor *x[2];
            int before = told;
            for (int i = 0; i < 2; i++)
                x[i] = ito_diffusion_sample(d, ito_ddpm_conditioned_network, &c, ITO_SHAPE(1, 1, 2, 2),
                                       .sampler = sampler, .steps = steps);
            cr_assert_eq(apart(x[0], x[1]), 0.0, "%s", names[k]);
            cr_assert((told > before) == (steps > 1), "%s: a walk goes on with its guess",
                      names[k]);
        }
    ito_ddpm_conditioned_end(&c);
    ito_diffusion_free(d);
}

Test(condition, decoding_begins_without_what_encoding_guessed)
{
    ito_diffusion *d = ito_diffusion_create(.prediction = &ito_prediction_x_0);
    int told = 0;
    ito_ddpm_conditioned c = {
        .diffusion = d, .network = mixing, .context = &told, .self_condition = true};
    ito_sample_options o = {.steps = 3, .sampler = &ito_sampler_ddim};
    ito_round_trip trip;
    cr_assert_eq(ito_diffusion_round_trip_with(d, ito_ddpm_conditioned_network, &c,
                                          ito_full(ITO_SHAPE(1, 1, 2, 2), 0.5, ITO_F64), o, &trip),
                 ITO_OK, "%s", ito_error());
    ito_ddpm_conditioned_end(&c);
    ito_tensor *x = ito_diffusion_sample_from_with(d, ito_ddpm_conditioned_network, &c, trip.noise, o);
    cr_assert_eq(apart(x, trip.image), 0.0);
    ito_ddpm_conditioned_end(&c);
    ito_diffusion_free(d);
}

/* Half of the batches; the guess has no history. */
Test(condition, training_guesses_for_half_of_the_batches)
{
    ito_diffusion *d = ito_diffusion_create(.prediction = &ito_prediction_x_0);
    notes n = {.calls = 0};
    ito_generator g = ito_generator_make(6, 0);
    ito_ddpm_conditioned c = {.diffusion = d,
                              .network = labelled,
                              .context = &n,
                              .self_condition = true,
                              .training = true,
                              .draw = &g};
    int guessed = 0;
    for (int k = 0; k < 200; k++) {
        int before = n.calls;
        cr_assert_not_null(asked(&c, 1.0, 10.0));
        cr_assert_eq(n.calls - before, n.x_0 == 0.0 ? 1 : 2);
        cr_assert(n.x_0 == 0.0 || n.x_0 == 1.0);
        guessed += n.x_0 == 1.0;
    }
    cr_assert(abs(guessed - 100) < 5 * sqrt(50), "%d", guessed);
    ito_diffusion_free(d);
}

/* ---- a classifier with a closed form ---- */

/* x_0 ~ N(0, 1/4) and y = x_0 + N(0, 1/9): given x_t, y is normal. log p(y | x_t) for y = 0.6, up
 * to a constant. */
static ito_tensor *log_y(ito_tensor *x, ito_tensor *t, void *context)
{
    const ito_diffusion *d = context;
    int64_t step = ((const int64_t *)ito_const_data(t))[0];
    ito_step s = ito_step_between(d->process, step, step - 1);
    double D = gaussian_variance(s.at), mean = 0.25 * s.at.signal / D;
    double variance = 0.25 * s.at.noise * s.at.noise / D + 1.0 / 9.0;
    ito_tensor *off = ito_add_scalar(ito_mul_scalar(x, mean), -0.6);
    return ito_mul_scalar(ito_sum(ito_square(off), .dims = ITO_DIMS(1, 2, 3)), -0.5 / variance);
}

/* Guided, any network is that of x_0 given y: N(m, v), 1 / v = 4 + 9, m = 9 v y. Its output, by the
 * target of the prediction at x_0-hat and eps-hat. */
Test(condition, a_classifier_makes_the_posterior)
{
    static const ito_prediction *const predictions[] = {
        &ito_prediction_eps, &ito_prediction_x_0,   &ito_prediction_x_prev,
        &ito_prediction_v,   &ito_prediction_score, &ito_prediction_edm,
        &ito_prediction_flow};
    const double v = 1.0 / 13.0, m = 9.0 * v * 0.6, x = 0.45;
    for (int p = 0; p < 7; p++) {
        ito_diffusion *d = ito_diffusion_create(.prediction = predictions[p],
                                                .sigma_data = gaussian_sigma_data(predictions[p]));
        gaussian_network g = {d, 0.0};
        ito_ddpm_classifier c = {.diffusion = d,
                                 .network = gaussian_ask,
                                 .context = &g,
                                 .log_probability = log_y,
                                 .classifier_context = d,
                                 .scale = 1.0};
        for (int64_t t = 50; t < 1000; t += 300) {
            ito_step s = ito_step_between(d->process, t, t - 1);
            double A = s.at.signal, N = s.at.noise;
            double eps = N * (x - A * m) / (A * A * v + N * N), x_0 = (x - N * eps) / A;
            ito_ddpm_pair target = d->prediction->target(d->prediction, &s);
            double seen =
                d->prediction->input == NULL ? 1.0 : d->prediction->input(d->prediction, &s);
            ito_no_grad_begin(); /* as in sampling */
            ito_tensor *y =
                ito_ddpm_classifier_network(ito_full(ITO_SHAPE(1, 1, 1, 1), x * seen, ITO_F64),
                                            ito_full(ITO_SHAPE(1), (double)t, ITO_I64), &c);
            ito_no_grad_end();
            cr_assert_not_null(y, "%s", ito_error());
            double expected = target.a * x_0 + target.b * eps;
            cr_assert_float_eq(ito_item(y), expected, 1e-10 * (1.0 + fabs(x_0)), "%s %d",
                               predictions[p]->name, (int)t);
        }
        ito_diffusion_free(d);
    }
}

Test(condition, samples_guided_by_a_classifier_are_of_the_posterior)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = {d, 0.0};
    ito_ddpm_classifier c = {.diffusion = d,
                             .network = gaussian_ask,
                             .context = &g,
                             .log_probability = log_y,
                             .classifier_context = d,
                             .scale = 1.0};
    ito_tensor *x = ito_diffusion_sample(
        d, ito_ddpm_classifier_network, &c, ITO_SHAPE(2, 1, 50, 50), .sampler = &ito_sampler_dpmpp_2m,
        .steps = 60, .spacing = ito_spacing_karras, .dtype = ITO_F64, .no_clip = true);
    cr_assert_not_null(x, "%s", ito_error());
    double mean = ito_item(ito_mean(x)), variance = ito_item(ito_var(x));
    cr_assert_float_eq(mean, 9.0 / 13.0 * 0.6, 5.0 * sqrt(1.0 / 13.0 / 5000.0) + 0.005);
    cr_assert_float_eq(variance * 13.0, 1.0, 5.0 * sqrt(2.0 / 5000.0) + 0.03);
    ito_diffusion_free(d);
}
