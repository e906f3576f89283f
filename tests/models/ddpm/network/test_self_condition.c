/* Self-conditioning: which earlier estimate the network is given, in sampling, training, losses and
 * the bound. */
#include "models/ddpm/network/self_condition.h"

#include "autograd/autograd.h"
#include "models/ddpm/edit/edit.h"
#include "models/ddpm/likelihood/bound.h"
#include "tests/models/ddpm/network/network_check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static ito_self_condition *around(const ito_diffusion *d, ito_network *network)
{
    ito_self_condition *s = ito_self_condition_create(d, network);
    cr_assert_not_null(s, "%s", ito_error());
    return s;
}

Test(self_condition, a_trajectory_is_given_its_last_estimate)
{
    ito_diffusion *d = ito_diffusion_create(.prediction = &ito_prediction_x_0);
    recorder r = recorder_make(0.0);
    ito_self_condition *s = around(d, &r.base);
    cr_assert_not_null(evaluate_two(&s->base, 1.0, 900.0));
    cr_assert_eq(r.x_0, 0.0);
    cr_assert_not_null(evaluate_two(&s->base, 0.4, 800.0));
    cr_assert_eq(r.x_0, 1.0); /* 2 pixels of 1 / 2 */
    cr_assert_not_null(evaluate_two(&s->base, 0.4, 700.0));
    cr_assert_float_eq(r.x_0, 0.4, 1e-15);
    cr_assert_not_null(evaluate_two(&s->base, 0.4, 900.0)); /* on the way up */
    cr_assert_eq(r.x_0, 0.0);
    cr_assert_not_null(evaluate_two(&s->base, 90.0, 800.0));
    cr_assert_not_null(evaluate_two(&s->base, 0.4, 700.0));
    cr_assert_eq(r.x_0, 2.0); /* clipped */
    ito_network_begin(&s->base);
    cr_assert_null(s->last);
    cr_assert_not_null(evaluate_two(&s->base, 0.4, 600.0));
    cr_assert_eq(r.x_0, 0.0);
    ito_tensor *x = ito_diffusion_sample(d, &s->base, ITO_SHAPE(1, 1, 2, 2), .steps = 4);
    cr_assert_not_null(x, "%s", ito_error());
    ito_network_free(&s->base);
    ito_diffusion_free(d);
}

/* x / 2 + estimate / 4; the estimates that were not 0 are counted. */
typedef struct mixer {
    ito_network base;
    int told;
} mixer;

static ito_tensor *mix(ito_network *self, const ito_network_input *in)
{
    ((mixer *)self)->told += ito_item(ito_sum(ito_abs(in->x_0))) != 0.0;
    return ito_axpby(0.5, in->x, 0.25, in->x_0);
}

/* Their noisings have nothing to do with each other: what one tells of x_0 must not help the next.
 */
Test(self_condition, the_bound_and_the_loss_are_given_no_history)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 6, .prediction = &ito_prediction_x_0);
    mixer m = {.base = {.evaluate = mix}};
    ito_self_condition *s = around(d, &m.base);
    ito_tensor *x = ito_full(ITO_SHAPE(2, 1, 2, 2), 0.5, ITO_F64);
    ito_bits bits;
    cr_assert_eq(ito_bits_per_dim(d, &s->base, x, &bits, .draws = 2), ITO_OK, "%s", ito_error());
    cr_assert_eq(m.told, 0);
    ito_tensor *t = ito_full(ITO_SHAPE(2), 2.0, ITO_I64);
    for (int i = 0; i < 2; i++)
        cr_assert_not_null(ito_diffusion_loss(d, &s->base, x, t, x), "%s", ito_error());
    cr_assert_eq(m.told, 0);
    ito_network_free(&s->base);
    ito_diffusion_free(d);
}

static double apart(ito_tensor *a, ito_tensor *b)
{
    cr_assert(a != NULL && b != NULL, "%s", ito_error());
    return ito_item(ito_max(ito_abs(ito_sub(a, b))));
}

/* With one network: also from the step that the last trajectory ended at, and with samplers that
 * evaluate more than once at a step. */
Test(self_condition, a_trajectory_begins_without_an_estimate)
{
    static const char *const names[] = {"ddpm", "heun", "unipc", "pndm"};
    ito_diffusion *d = ito_diffusion_create(.prediction = &ito_prediction_x_0);
    mixer m = {.base = {.evaluate = mix}};
    ito_self_condition *s = around(d, &m.base);
    for (int k = 0; k < 4; k++)
        for (int64_t steps = 1; steps <= 3; steps += 2) {
            const ito_sampler *sampler = ito_sampler_find(names[k]);
            ito_tensor *x[2];
            int before = m.told;
            for (int i = 0; i < 2; i++)
                x[i] = ito_diffusion_sample(d, &s->base, ITO_SHAPE(1, 1, 2, 2), .sampler = sampler,
                                            .steps = steps);
            cr_assert_eq(apart(x[0], x[1]), 0.0, "%s", names[k]);
            cr_assert((m.told > before) == (steps > 1),
                      "%s: a trajectory goes on with its estimate", names[k]);
        }
    ito_network_free(&s->base);
    ito_diffusion_free(d);
}

Test(self_condition, decoding_begins_without_what_encoding_estimated)
{
    ito_diffusion *d = ito_diffusion_create(.prediction = &ito_prediction_x_0);
    mixer m = {.base = {.evaluate = mix}};
    ito_self_condition *s = around(d, &m.base);
    ito_sample_options o =
        ITO_OPTIONS(ito_sample_options, .steps = 3, .sampler = &ito_sampler_ddim);
    ito_round_trip trip;
    cr_assert_eq(ito_diffusion_round_trip_with(
                     d, &s->base, ito_full(ITO_SHAPE(1, 1, 2, 2), 0.5, ITO_F64), o, &trip),
                 ITO_OK, "%s", ito_error());
    ito_tensor *x = ito_diffusion_sample_from_with(d, &s->base, trip.noise, o);
    cr_assert_eq(apart(x, trip.image), 0.0);
    ito_network_free(&s->base);
    ito_diffusion_free(d);
}

/* ---- training ---- */

Test(self_condition, training_estimates_for_half_of_the_batches)
{
    ito_diffusion *d = ito_diffusion_create(.prediction = &ito_prediction_x_0);
    recorder r = recorder_make(0.0);
    ito_generator g = ito_generator_make(6, 0);
    ito_self_condition *s = around(d, &r.base);
    s->generator = &g;
    int estimated = 0;
    for (int k = 0; k < 200; k++) {
        int before = r.evaluations;
        cr_assert_not_null(evaluate_two(&s->base, 1.0, 10.0));
        cr_assert_eq(r.evaluations - before, r.x_0 == 0.0 ? 1 : 2);
        cr_assert(r.x_0 == 0.0 || r.x_0 == 1.0);
        estimated += r.x_0 == 1.0;
    }
    cr_assert(abs(estimated - 100) < 5 * sqrt(50), "%d", estimated);
    cr_assert_null(s->last); /* nothing is remembered for sampling */
    ito_network_free(&s->base);
    ito_diffusion_free(d);
}

/* weight x + x_0 / 4. */
static ito_tensor *weigh(ito_network *self, const ito_network_input *in)
{
    ito_tensor *weight = self->context;
    return ito_add(ito_mul(weight, in->x), ito_mul_scalar(in->x_0, 0.25));
}

/* x is 1, so the gradient of the sum over both examples is 2, and with history through the estimate
 * it would be 2.5. */
Test(self_condition, the_estimate_of_training_has_no_gradient)
{
    ito_diffusion *d = ito_diffusion_create(.prediction = &ito_prediction_x_0);
    ito_tensor *weight = ito_requires_grad(ito_full(ITO_SHAPE(1), 0.5, ITO_F64), true);
    ito_network network = network_of(weigh, weight);
    ito_generator g = ito_generator_make(6, 0);
    ito_self_condition *s = around(d, &network);
    s->generator = &g;
    int estimated = 0;
    for (int k = 0; k < 20; k++) {
        ito_tensor *y = ito_sum(evaluate_two(&s->base, 1.0, 10.0));
        estimated += ito_item(y) != 1.0;
        double slope = ito_item(ito_grad(y, weight));
        cr_assert_float_eq(slope, 2.0, 1e-14, "batch %d: %g", k, slope);
    }
    cr_assert(estimated > 0 && estimated < 20, "%d", estimated);
    ito_network_free(&s->base);
    ito_diffusion_free(d);
}

/* ---- what is refused ---- */

Test(self_condition, takes_a_diffusion_and_a_network)
{
    ito_diffusion *d = ito_diffusion_create();
    recorder r = recorder_make(0.0);
    assert_refused(ito_self_condition_create(NULL, &r.base), ITO_ERR_ARGUMENT,
                   "self_condition: the diffusion is NULL");
    assert_refused(ito_self_condition_create(d, NULL), ITO_ERR_ARGUMENT,
                   "self_condition: the network is NULL");
    ito_diffusion_free(d);
}

Test(self_condition, a_network_of_another_shape_is_refused)
{
    ito_diffusion *d = ito_diffusion_create();
    recorder r = recorder_make(0.0);
    r.two_heads = true; /* the diffusion knows of one */
    ito_self_condition *s = around(d, &r.base);
    assert_refused(evaluate_two(&s->base, 0.0, 1.0), ITO_ERR_SHAPE,
                   "self_condition: the network made [2, 2, 1, 1] of [2, 1, 1, 1]");
    ito_network_free(&s->base);
    ito_diffusion_free(d);
}
