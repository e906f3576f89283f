/* Variances of a reverse step: published values, the definitions, and the heads they need. */
#include "models/ddpm/diffusion.h"

#include "tests/models/ddpm/ddpm_check.h"

#include <math.h>

static double variance_of(const ito_variance *v, const ito_step *step)
{
    ito_log_variance log_variance = v->log_variance(step);
    cr_assert_eq(log_variance.slope, 0.0);
    return exp(log_variance.offset);
}

/* Written with f32 tables; ours are f64. */
Test(variance, variances_are_those_of_the_reference)
{
    static const double tolerance = 1e-8;
    ito_process *s = ito_process_create(&ito_schedule_linear);
    ito_step first = ito_step_between(s, 0, -1), middle = ito_step_between(s, 487, 486);
    ito_step last = ito_step_between(s, 999, 998);
    /* At t = 0, where beta~ is 0, both are that of t = 1. */
    cr_assert_float_eq(variance_of(&ito_variance_fixedsmall, &first), s->beta_tilde[1], 1e-17);
    cr_assert_float_eq(variance_of(&ito_variance_fixedlarge, &first), s->beta_tilde[1], 1e-17);
    cr_assert_float_eq(variance_of(&ito_variance_fixedsmall, &middle), 0.0097915598,
                       10 * tolerance);
    cr_assert_float_eq(variance_of(&ito_variance_fixedsmall, &last), 0.0199999712, 10 * tolerance);
    for (int t = 1; t < 1000; t++) {
        ito_step step = ito_step_between(s, t, t - 1);
        cr_assert_float_eq(variance_of(&ito_variance_fixedlarge, &step), s->beta[t], 1e-13);
        cr_assert_float_eq(variance_of(&ito_variance_fixedsmall, &step), s->beta_tilde[t], 1e-13);
    }
    ito_process_free(s);
}

/* Sum of KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) over t >= 1 in bits a dimension. */
Test(variance, bound_of_gaussian_data)
{
    static const struct {
        const ito_variance *variance;
        double bits;
    } cases[] = {{&ito_variance_fixedsmall, 6.30243688}, {&ito_variance_fixedlarge, 5.64564104}};
    ito_process *s = ito_process_create(&ito_schedule_linear);
    for (int i = 0; i < 2; i++) {
        double sum = 0.0;
        for (int t = 1; t < 1000; t++) {
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

/* Of steps of many times at once, and in continuous time: beta = noise^2 - (signal / signal')^2
 * noise'^2 and beta~ = noise'^2 / noise^2 beta. */
Test(variance, variances_are_those_of_any_two_times)
{
    ito_process *all[] = {ito_process_create(&ito_schedule_linear),
                          ito_process_create(&ito_schedule_flow),
                          ito_process_create(&ito_schedule_edm)};
    for (int k = 0; k < 3; k++) {
        ito_step step = ito_step_between(all[k], floor(0.75 * all[k]->t_max * 8.0) / 8.0,
                                         floor(0.5 * all[k]->t_max * 8.0) / 8.0);
        if (k == 0)
            step = ito_step_between(all[k], 750.0, 500.0);
        double kept = step.at.signal / step.to.signal * step.to.noise, noise = step.at.noise;
        double beta = noise * noise - kept * kept;
        double small = step.to.noise * step.to.noise / (noise * noise) * beta;
        cr_assert_float_eq(variance_of(&ito_variance_fixedlarge, &step), beta, 1e-13 * beta);
        cr_assert_float_eq(variance_of(&ito_variance_fixedsmall, &step), small, 1e-13 * small);
        ito_process_free(all[k]);
    }
}

/* At the step to the clean data beta~ is 0: in continuous time both are then beta. */
Test(variance, the_last_step_in_continuous_time_has_the_variance_of_its_noise)
{
    ito_process *edm = ito_process_create(&ito_schedule_edm);
    ito_step step = ito_step_between(edm, 0.5, 0.0);
    cr_assert_float_eq(variance_of(&ito_variance_fixedsmall, &step), 0.25, 1e-15);
    cr_assert_float_eq(variance_of(&ito_variance_fixedlarge, &step), 0.25, 1e-15);
    ito_process_free(edm);
}

Test(variance, learned_ones_are_linear_in_the_second_head)
{
    ito_process *s = ito_process_create(&ito_schedule_linear);
    ito_step step = ito_step_between(s, 487, 486);
    ito_log_variance free = ito_variance_learned.log_variance(&step);
    ito_log_variance range = ito_variance_learned_range.log_variance(&step);
    cr_assert(free.offset == 0.0 && free.slope == 1.0);
    cr_assert_float_eq(range.offset - range.slope, log(s->beta_tilde[487]), 1e-12);
    cr_assert_float_eq(range.offset + range.slope, log(s->beta[487]), 1e-12);
    ito_process_free(s);
}

/* The last half of the channels, whatever axes there are behind them. */
Test(variance, a_learned_one_needs_a_second_head)
{
    ito_diffusion *d = ito_diffusion_create(.variance = &ito_variance_learned_range,
                                            .objective = &ito_objective_hybrid);
    ito_network zeros = network_of(evaluate_zeros, NULL);
    ito_tensor *t = ito_zeros(ITO_SHAPE(2), ITO_I64);
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 3, 4, 4), ITO_F32);
    assert_refused(ito_diffusion_loss(d, &zeros, x, t, x), ITO_ERR_SHAPE,
                   "diffusion_loss: the network made [2, 3, 4, 4] of [2, 3, 4, 4]; the variance "
                   "learned_range needs a second head, [2, 6, 4, 4]");
    x = ito_zeros(ITO_SHAPE(2, 3), ITO_F32);
    assert_refused(ito_diffusion_loss(d, &zeros, x, t, x), ITO_ERR_SHAPE,
                   "diffusion_loss: the network made [2, 3] of [2, 3]; the variance learned_range "
                   "needs a second head, [2, 6]");
    ito_diffusion_free(d);
}

Test(variance, a_learned_one_that_the_objective_does_not_train_is_refused)
{
    assert_refused(ito_diffusion_create(.variance = &ito_variance_learned), ITO_ERR_ARGUMENT,
                   "diffusion: the objective simple does not train the variance learned; vlb, "
                   "rescaled and hybrid do");
}

Test(variance, a_fixed_one_that_the_objective_trains_is_refused)
{
    assert_refused(ito_diffusion_create(.objective = &ito_objective_hybrid), ITO_ERR_ARGUMENT,
                   "diffusion: the objective hybrid trains a learned variance, and fixedlarge is "
                   "not learned");
}

Test(variance, an_unknown_name_is_refused_with_those_there_are)
{
    assert_refused(ito_variance_find("free"), ITO_ERR_ARGUMENT,
                   no_such_choice("variance", "variance", "free"));
}
