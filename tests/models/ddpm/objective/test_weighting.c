/* Weights of errors: against the papers, and what is refused. */
#include "models/ddpm/diffusion.h"

#include "tests/models/ddpm/ddpm_check.h"

#include <math.h>

#define COUNT(a) (int)(sizeof(a) / sizeof(a)[0])

/* The weight in the loss of one image of one pixel, x_0 = 0.3, eps = 0.8, from a network that says
 * 0. */
static double weight_of(const ito_prediction *p, const ito_weighting *w, int t)
{
    ito_scope_begin();
    ito_diffusion *d = ito_diffusion_create(.prediction = p, .weighting = w);
    ito_tensor *x_0 = ito_full(ITO_SHAPE(1, 1), 0.3, ITO_F64);
    ito_tensor *eps = ito_full(ITO_SHAPE(1, 1), 0.8, ITO_F64);
    ito_tensor *step = ito_full(ITO_SHAPE(1), t, ITO_I64);
    ito_network zeros = network_of(evaluate_zeros, NULL);
    double loss = ito_item(ito_diffusion_loss(d, &zeros, x_0, step, eps));
    ito_step s = ito_step_between(d->process, t, t - 1);
    ito_target target = p->target(p, &s);
    double output = target.x_0 * 0.3 + target.eps * 0.8;
    ito_diffusion_free(d);
    ito_scope_end();
    return loss / (output * output);
}

Test(weighting, weights_are_those_of_the_papers)
{
    ito_process *s = ito_process_create(&ito_schedule_linear);
    ito_weighting one = ito_weighting_min_snr, p2 = ito_weighting_p2;
    one.gamma = 1.0;
    p2.k = 2.0;
    p2.gamma = 0.5;
    for (int t = 1; t < 1000; t += 111) {
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
                               "case %d at %d", i, t);
    }
    ito_process_free(s);
}

Test(weighting, numbers_take_the_place_of_the_weightings_own)
{
    ito_weighting p2 = ito_weighting_p2;
    p2.gamma = 0.25;
    p2.k = 3;
    ito_diffusion *d = ito_diffusion_create(.weighting = &ito_weighting_p2, .gamma = 0.25, .k = 3);
    cr_assert_not_null(d, "%s", ito_error());
    for (int t = 0; t < 1000; t += 111) {
        ito_step step = ito_step_between(d->process, t, t - 1);
        cr_assert_eq(d->weighting->weight(d->weighting, &step), p2.weight(&p2, &step));
    }
    ito_diffusion_free(d);
}

/* 0 is a number as any other: of gamma, min(SNR, 0) and (k + SNR)^0; of k, SNR^-gamma. */
Test(weighting, numbers_of_0_are_0)
{
    ito_diffusion *d = ito_diffusion_create(.weighting = &ito_weighting_min_snr, .gamma = 0);
    ito_diffusion *e = ito_diffusion_create(.weighting = &ito_weighting_p2, .gamma = 0);
    ito_diffusion *f = ito_diffusion_create(.weighting = &ito_weighting_p2, .k = 0);
    ito_step step = ito_step_between(d->process, 300, 299);
    double ab = d->process->alpha_bar[300];
    cr_assert_eq(d->weighting->weight(d->weighting, &step), 0.0);
    cr_assert_eq(e->weighting->weight(e->weighting, &step), 1.0);
    cr_assert_float_eq(f->weighting->weight(f->weighting, &step), (1.0 - ab) / ab, 1e-12);
    ito_diffusion_free(d);
    ito_diffusion_free(e);
    ito_diffusion_free(f);
}

Test(weighting, numbers_that_it_does_not_have_are_refused)
{
    assert_refused(ito_diffusion_create(.gamma = 2), ITO_ERR_ARGUMENT,
                   "diffusion: the weighting simple has no gamma, and 2 was given");
    assert_refused(ito_diffusion_create(.weighting = &ito_weighting_min_snr, .k = 3),
                   ITO_ERR_ARGUMENT, "diffusion: the weighting min_snr has no k, and 3 was given");
    assert_refused(ito_diffusion_create(.gamma = 0), ITO_ERR_ARGUMENT,
                   "diffusion: the weighting simple has no gamma, and 0 was given");
}

Test(weighting, weights_that_are_not_finite_or_negative_are_refused)
{
    assert_refused(
        ito_diffusion_create(.weighting = &ito_weighting_edm, .zero_terminal_snr = true),
        ITO_ERR_ARGUMENT,
        "diffusion: at time 999 (signal 0, noise 1) eps is 0 x_0 + 1 eps, with a weight of inf by "
        "edm");
    assert_refused(ito_diffusion_create(.schedule = &ito_schedule_flow,
                                        .weighting = &ito_weighting_min_snr, .gamma = -1),
                   ITO_ERR_ARGUMENT,
                   "diffusion: at time 0.001 (signal 0.999, noise 0.001) eps is 0 x_0 + 1 eps, "
                   "with a weight of -1.002e-06 by min_snr");
}

Test(weighting, the_bounds_is_refused_in_continuous_time)
{
    assert_refused(
        ito_diffusion_create(.schedule = &ito_schedule_vp, .weighting = &ito_weighting_bound),
        ITO_ERR_ARGUMENT,
        "diffusion: the weighting bound is for a process in steps, and this one is in "
        "continuous time");
}

Test(weighting, an_unknown_name_is_refused_with_those_there_are)
{
    assert_refused(ito_weighting_find("max"), ITO_ERR_ARGUMENT,
                   no_such_choice("weighting", "weighting", "max"));
}
