/* Objectives: every combination of choices, the gradient of each, and what does not go together. */
#include "models/ddpm/diffusion.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "tests/models/ddpm/ddpm_check.h"

#include <math.h>
#include <stdio.h>

#define COUNT(a) (int)(sizeof(a) / sizeof(a)[0])

static const ito_prediction *const predictions[] = {
    &ito_prediction_eps,   &ito_prediction_x_0, &ito_prediction_x_prev, &ito_prediction_v,
    &ito_prediction_score, &ito_prediction_edm, &ito_prediction_flow,
};
static const ito_variance *const variances[] = {&ito_variance_fixedsmall, &ito_variance_fixedlarge,
                                                &ito_variance_learned, &ito_variance_learned_range};
static const ito_weighting *const weightings[] = {&ito_weighting_simple, &ito_weighting_bound,
                                                  &ito_weighting_min_snr, &ito_weighting_p2,
                                                  &ito_weighting_edm};
static const ito_objective *const objectives[] = {&ito_objective_simple, &ito_objective_vlb,
                                                  &ito_objective_rescaled, &ito_objective_hybrid};

static bool makes_sense(const ito_variance *v, const ito_weighting *w, const ito_objective *l)
{
    return v->learned ? l != &ito_objective_simple && (l == &ito_objective_hybrid || !w->weight)
                      : l != &ito_objective_hybrid && (l == &ito_objective_simple || !w->weight);
}

/* A small network with a parameter for each output channel and one for the input. */
typedef struct toy {
    ito_network network;
    ito_diffusion *d;
    ito_tensor *x_0, *t, *eps;
    ito_tensor *gain, *shift;
} toy;

static ito_tensor *toy_evaluate(ito_network *self, const ito_network_input *in)
{
    const toy *y = (const toy *)self;
    ito_tensor *h = ito_mul(in->x, y->gain);
    if (y->d->variance->learned)
        h = ito_cat(ITO_TENSORS(h, ito_mul_scalar(ito_tanh(h), 0.1)), 1);
    return ito_add(h, y->shift);
}

static ito_tensor *toy_loss(ito_tensor *const *inputs, int64_t n, void *context)
{
    (void)n;
    toy y = *(toy *)context;
    y.network.evaluate = toy_evaluate;
    y.gain = inputs[0];
    y.shift = inputs[1];
    return ito_diffusion_loss(y.d, &y.network, y.x_0, y.t, y.eps);
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
    if (y->d->objective->detach_mean) /* the value has more than the gradient: see below */
        return;
    cr_assert_eq(ito_gradcheck(toy_loss, y, inputs, 2), ITO_OK, "%s %s %s %s: %s",
                 y->d->prediction->name, y->d->variance->name, y->d->weighting->name,
                 y->d->objective->name, ito_error());
}

Test(objective, every_combination_that_makes_sense_works)
{
    for (int p = 0; p < COUNT(predictions); p++)
        for (int v = 0; v < COUNT(variances); v++)
            for (int w = 0; w < COUNT(weightings); w++)
                for (int l = 0; l < COUNT(objectives); l++) {
                    ito_scope_begin();
                    toy y = {.d = ito_diffusion_create(.steps = 8, .prediction = predictions[p],
                                                       .variance = variances[v],
                                                       .weighting = weightings[w],
                                                       .objective = objectives[l],
                                                       .beta_start = 0.05, .beta_end = 0.4)};
                    cr_assert_eq(y.d != NULL,
                                 makes_sense(variances[v], weightings[w], objectives[l]),
                                 "%s %s %s: %s", variances[v]->name, weightings[w]->name,
                                 objectives[l]->name, ito_error());
                    ito_error_clear();
                    if (y.d != NULL)
                        check_gradient(&y);
                    ito_diffusion_free(y.d);
                    ito_scope_end();
                }
}

/* Hybrid: the first head learns from L_simple alone, the second from the bound alone. */
Test(objective, hybrid_detaches_the_mean)
{
    static const ito_objective first = {.name = "first", .simple = 1.0, .vlb = 1e-30};
    static const ito_objective second = {.name = "second", .vlb = 1e-3, .whole_bound = true};
    const ito_objective *const all[] = {&ito_objective_hybrid, &first, &second};
    double grads[3][4];
    const int64_t steps[] = {2, 5};
    for (int k = 0; k < 3; k++) {
        toy y = {.d = ito_diffusion_create(.steps = 8, .variance = &ito_variance_learned_range,
                                           .objective = all[k])};
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

Test(objective, a_distance_of_ones_own_takes_the_place_of_the_square)
{
    static const ito_objective l1 = {.name = "l1", .simple = 2.0, .distance = magnitude};
    ito_diffusion *d = ito_diffusion_create(.objective = &l1);
    const double eps[] = {1.0, -2.0, 3.0, -4.0};
    ito_tensor *e = ito_from_data(eps, ITO_SHAPE(2, 2), ITO_F64), *x = ito_zeros_like(e);
    ito_tensor *t = ito_zeros(ITO_SHAPE(2), ITO_I64);
    ito_network zeros = network_of(evaluate_zeros, NULL);
    double each[2];
    cr_assert_eq(ito_to_data(ito_diffusion_losses(d, &zeros, x, t, e), each, ITO_F64), ITO_OK);
    cr_assert_eq(each[0], 3.0);
    cr_assert_eq(each[1], 7.0);
    cr_assert_eq(ito_item(ito_diffusion_loss(d, &zeros, x, t, e)), 5.0);
    ito_diffusion_free(d);
}

/* ---- what is refused ---- */

Test(objective, weights_without_a_weighted_error_are_refused)
{
    assert_refused(
        ito_diffusion_create(.objective = &ito_objective_vlb, .weighting = &ito_weighting_p2),
        ITO_ERR_ARGUMENT, "diffusion: the objective vlb has no weights, and p2 was given");
}

Test(objective, the_bound_is_refused_where_x_0_is_not_told)
{
    assert_refused(
        ito_diffusion_create(.objective = &ito_objective_vlb, .zero_terminal_snr = true),
        ITO_ERR_ARGUMENT,
        "diffusion: the objective vlb needs x_0, which eps does not tell at time 999 (signal 0)");
}

Test(objective, the_bound_is_refused_in_continuous_time)
{
    static const ito_objective *const bounds[] = {&ito_objective_vlb, &ito_objective_rescaled};
    static const ito_objective own = {.name = "own", .simple = 1.0, .vlb = 0.5};
    for (int i = 0; i < 3; i++) {
        const ito_objective *o = i < 2 ? bounds[i] : &own;
        char message[160];
        snprintf(message, sizeof message,
                 "diffusion: the objective %s is for a process in steps, and this one is in "
                 "continuous time",
                 o->name);
        assert_refused(ito_diffusion_create(.schedule = &ito_schedule_flow, .objective = o),
                       ITO_ERR_ARGUMENT, message);
    }
}

Test(objective, an_unknown_name_is_refused_with_those_there_are)
{
    assert_refused(ito_objective_find("l2"), ITO_ERR_ARGUMENT,
                   no_such_choice("objective", "objective", "l2"));
}
