/* Guidance by labels and by a classifier: what is made of the network's answers, and a case with a
 * closed form. */
#include "models/ddpm/network/guidance.h"

#include "autograd/autograd.h"
#include "models/ddpm/network/condition.h"
#include "models/ddpm/sampler/sampler.h"
#include "tests/models/ddpm/gaussian.h"
#include "tests/models/ddpm/network/network_check.h"

#include <criterion/criterion.h>
#include <math.h>

/* ---- by labels ---- */

/* The network, guided by this scale to labels 1 and 4 of 5. */
typedef struct guided {
    ito_diffusion *d;
    ito_guidance *guidance;
    ito_class_condition *labelled;
} guided;

static guided guide(recorder *r, double scale)
{
    guided g = {.d =
                    ito_diffusion_create(.variance = r->two_heads ? &ito_variance_learned : NULL,
                                         .objective = r->two_heads ? &ito_objective_hybrid : NULL)};
    g.guidance = ito_guidance_create(g.d, &r->base, scale);
    cr_assert_not_null(g.guidance, "%s", ito_error());
    g.labelled = ito_class_condition_create(&g.guidance->base, 5);
    g.labelled->labels = labels_of(2, (const int64_t[]){1, 4});
    return g;
}

static void guided_free(guided *g)
{
    ito_network_free(&g->labelled->base);
    ito_network_free(&g->guidance->base);
    ito_diffusion_free(g->d);
}

Test(guidance, goes_from_none_through_the_label)
{
    recorder r = recorder_make(5.0);
    guided g = guide(&r, 3.0);
    assert_two(evaluate_two(&g.labelled->base, 1.0, 7.0), 5.5 + 3.0 * (1.5 - 5.5),
               5.5 + 3.0 * (4.5 - 5.5));
    cr_assert_eq(r.evaluations, 2);
    g.guidance->scale = -1.0;
    assert_two(evaluate_two(&g.labelled->base, 1.0, 7.0), 9.5, 6.5);
    guided_free(&g);
}

Test(guidance, a_scale_of_0_is_the_network_without_labels)
{
    recorder r = recorder_make(5.0);
    guided g = guide(&r, 0.0);
    assert_two(evaluate_two(&g.labelled->base, 1.0, 7.0), 5.5, 5.5);
    cr_assert_eq(r.evaluations, 1);
    guided_free(&g);
}

Test(guidance, a_scale_of_1_is_the_network_with_them)
{
    recorder r = recorder_make(5.0);
    guided g = guide(&r, 1.0);
    assert_two(evaluate_two(&g.labelled->base, 1.0, 7.0), 1.5, 4.5);
    cr_assert_eq(r.evaluations, 1);
    guided_free(&g);
}

Test(guidance, scales_of_0_and_1_need_no_labels)
{
    for (int scale = 0; scale <= 1; scale++) {
        recorder r = recorder_make(5.0);
        guided g = guide(&r, scale);
        g.labelled->labels = NULL;
        assert_two(evaluate_two(&g.labelled->base, 1.0, 7.0), 5.5, 5.5);
        assert_two(evaluate_two(&g.guidance->base, 1.0, 7.0), 5.5, 5.5);
        guided_free(&g);
    }
}

Test(guidance, leaves_the_variance_of_the_label)
{
    recorder r = recorder_make(5.0);
    r.two_heads = true;
    guided g = guide(&r, 2.0);
    g.labelled->labels = labels_of(2, (const int64_t[]){1, 1});
    ito_tensor *y = evaluate_two(&g.labelled->base, 0.0, 7.0);
    assert_two(ito_narrow(y, 1, 0, 1), -3.0, -3.0);
    assert_two(ito_narrow(y, 1, 1, 1), 10.0, 10.0);
    guided_free(&g);
}

Test(guidance, a_scale_without_labels_is_refused)
{
    recorder r = recorder_make(5.0);
    guided g = guide(&r, 2.5);
    g.labelled->labels = NULL;
    assert_refused(evaluate_two(&g.labelled->base, 0.0, 1.0), ITO_ERR_ARGUMENT,
                   "guidance: a scale of 2.5 needs labels to guide to");
    cr_assert_eq(r.evaluations, 0);
    guided_free(&g);
}

Test(guidance, a_network_of_another_shape_is_refused)
{
    recorder r = recorder_make(5.0);
    guided g = guide(&r, 2.5);
    r.two_heads = true; /* the diffusion knows of one */
    assert_refused(evaluate_two(&g.labelled->base, 0.0, 1.0), ITO_ERR_SHAPE,
                   "guidance: the network made [2, 2, 1, 1] of [2, 1, 1, 1]");
    guided_free(&g);
}

Test(guidance, one_of_nothing_or_without_a_finite_scale_is_refused)
{
    ito_diffusion *d = ito_diffusion_create();
    recorder r = recorder_make(0.0);
    assert_refused(ito_guidance_create(NULL, &r.base, 2.0), ITO_ERR_ARGUMENT,
                   "guidance: the diffusion is NULL");
    assert_refused(ito_guidance_create(d, NULL, 2.0), ITO_ERR_ARGUMENT,
                   "guidance: the network is NULL");
    assert_refused(ito_guidance_create(d, &r.base, (double)INFINITY), ITO_ERR_RANGE,
                   "guidance: a scale of inf; it must be finite");
    ito_diffusion_free(d);
}

/* ---- a classifier with a closed form ---- */

/* x_0 ~ N(0, 1/4) and y = x_0 + N(0, 1/9): given x_t, y is normal. log p(y | x_t) for y = 0.6, up
 * to a constant. */
static ito_tensor *log_y(ito_network *self, const ito_network_input *in)
{
    const ito_diffusion *d = self->context;
    double t = input_time(in, 0);
    ito_step s = ito_step_between(d->process, t, t - 1.0);
    double D = gaussian_variance(s.at), mean = 0.25 * s.at.signal / D;
    double variance = 0.25 * s.at.noise * s.at.noise / D + 1.0 / 9.0;
    ito_tensor *off = ito_add_scalar(ito_mul_scalar(in->x, mean), -0.6);
    return ito_mul_scalar(ito_sum(ito_square(off), .dims = ITO_DIMS(1, 2, 3)), -0.5 / variance);
}

/* What a network around others says of one pixel x_t at time t, as in sampling. */
static ito_tensor *evaluate_pixel(const ito_diffusion *d, ito_network *network, double x_t,
                                  double t)
{
    const ito_prediction *p = d->prediction;
    ito_step s = ito_step_between(d->process, t, t - 1.0);
    double c_in = p->c_in == NULL ? 1.0 : p->c_in(p, &s);
    ito_shape pixel = ITO_SHAPE(1, 1, 1, 1), one = ITO_SHAPE(1);
    ito_network_input in = {.x = ito_full(pixel, x_t * c_in, ITO_F64),
                            .t = ito_full(one, t, ITO_F64),
                            .x_t = ito_full(pixel, x_t, ITO_F64),
                            .time = ito_full(one, t, ITO_F64)};
    ito_no_grad_begin();
    ito_tensor *y = ito_network_evaluate(network, &in);
    ito_no_grad_end();
    cr_assert_not_null(y, "%s", ito_error());
    return y;
}

/* Guided, any network is that of x_0 given y: N(m, v), 1 / v = 4 + 9, m = 9 v y. Its output, by the
 * target of the prediction at x_0-hat and eps-hat. */
Test(guidance, a_classifier_makes_the_posterior)
{
    static const ito_prediction *const predictions[] = {
        &ito_prediction_eps,   &ito_prediction_x_0, &ito_prediction_x_prev, &ito_prediction_v,
        &ito_prediction_score, &ito_prediction_edm, &ito_prediction_flow};
    const double v = 1.0 / 13.0, m = 9.0 * v * 0.6, x = 0.45;
    for (int p = 0; p < 7; p++) {
        ito_diffusion *d = ito_diffusion_create(.prediction = predictions[p],
                                                .sigma_data = gaussian_sigma_data(predictions[p]));
        gaussian_network g = gaussian_make(d, 0.0);
        ito_network classifier = network_of(log_y, d);
        ito_classifier_guidance *c = ito_classifier_guidance_create(d, &g.base, &classifier, 1.0);
        for (int t = 50; t < 1000; t += 300) {
            ito_step s = ito_step_between(d->process, t, t - 1);
            double A = s.at.signal, N = s.at.noise;
            double eps = N * (x - A * m) / (A * A * v + N * N), x_0 = (x - N * eps) / A;
            ito_target target = d->prediction->target(d->prediction, &s);
            ito_tensor *y = evaluate_pixel(d, &c->base, x, t);
            double expected = target.x_0 * x_0 + target.eps * eps;
            cr_assert_float_eq(ito_item(y), expected, 1e-10 * (1.0 + fabs(x_0)), "%s %d",
                               predictions[p]->name, t);
        }
        ito_network_free(&c->base);
        ito_diffusion_free(d);
    }
}

Test(guidance, samples_guided_by_a_classifier_are_of_the_posterior)
{
    ito_diffusion *d = ito_diffusion_create();
    gaussian_network g = gaussian_make(d, 0.0);
    ito_network classifier = network_of(log_y, d);
    ito_classifier_guidance *c = ito_classifier_guidance_create(d, &g.base, &classifier, 1.0);
    ito_tensor *x = ito_diffusion_sample(
        d, &c->base, ITO_SHAPE(2, 1, 50, 50), .sampler = &ito_sampler_dpmpp_2m, .steps = 60,
        .spacing = &ito_spacing_karras, .dtype = ITO_F64, .no_clip = true);
    cr_assert_not_null(x, "%s", ito_error());
    double mean = ito_item(ito_mean(x)), variance = ito_item(ito_var(x));
    cr_assert_float_eq(mean, 9.0 / 13.0 * 0.6, 5.0 * sqrt(1.0 / 13.0 / 5000.0) + 0.005);
    cr_assert_float_eq(variance * 13.0, 1.0, 5.0 * sqrt(2.0 / 5000.0) + 0.03);
    ito_network_free(&c->base);
    ito_diffusion_free(d);
}

Test(guidance, a_classifier_leaves_the_variance)
{
    ito_diffusion *d =
        ito_diffusion_create(.variance = &ito_variance_learned, .objective = &ito_objective_hybrid);
    gaussian_network g = gaussian_make(d, -0.4);
    ito_network classifier = network_of(log_y, d);
    ito_classifier_guidance *c = ito_classifier_guidance_create(d, &g.base, &classifier, 1.0);
    ito_tensor *plain = evaluate_pixel(d, &g.base, 0.45, 350.0);
    ito_tensor *y = evaluate_pixel(d, &c->base, 0.45, 350.0);
    cr_assert_neq(ito_item(ito_narrow(y, 1, 0, 1)), ito_item(ito_narrow(plain, 1, 0, 1)));
    cr_assert_eq(ito_item(ito_narrow(y, 1, 1, 1)), -0.4);
    ito_network_free(&c->base);
    ito_diffusion_free(d);
}

Test(guidance, a_classifier_changes_nothing_where_no_signal_is_left)
{
    ito_diffusion *d =
        ito_diffusion_create(.schedule = &ito_schedule_jsd, .prediction = &ito_prediction_v);
    gaussian_network g = gaussian_make(d, 0.0);
    ito_network classifier = network_of(log_y, d);
    ito_classifier_guidance *c = ito_classifier_guidance_create(d, &g.base, &classifier, 1.0);
    for (int at_end = 0; at_end <= 1; at_end++) {
        double t = at_end ? 999.0 : 998.0;
        double plain = ito_item(evaluate_pixel(d, &g.base, 0.45, t));
        double y = ito_item(evaluate_pixel(d, &c->base, 0.45, t));
        cr_assert_eq(y == plain, at_end, "%g and %g at %g", y, plain, t);
    }
    ito_network_free(&c->base);
    ito_diffusion_free(d);
}

/* ---- what is refused of a classifier ---- */

static ito_tensor *three_numbers(ito_network *self, const ito_network_input *in)
{
    (void)self, (void)in;
    return ito_zeros(ITO_SHAPE(3), ITO_F64);
}

Test(guidance, a_classifier_of_not_one_number_an_example_is_refused)
{
    ito_diffusion *d = ito_diffusion_create();
    recorder r = recorder_make(0.0);
    ito_network classifier = network_of(three_numbers, NULL);
    ito_classifier_guidance *c = ito_classifier_guidance_create(d, &r.base, &classifier, 1.0);
    assert_refused(evaluate_two(&c->base, 0.0, 0.0), ITO_ERR_SHAPE,
                   "classifier_guidance: the classifier made [3] of [2, 1, 1, 1]; it must be [2]");
    ito_network_free(&c->base);
    ito_diffusion_free(d);
}

Test(guidance, by_a_classifier_takes_a_diffusion_a_network_and_a_classifier)
{
    ito_diffusion *d = ito_diffusion_create();
    recorder r = recorder_make(0.0);
    assert_refused(ito_classifier_guidance_create(NULL, &r.base, &r.base, 1.0), ITO_ERR_ARGUMENT,
                   "classifier_guidance: the diffusion is NULL");
    assert_refused(ito_classifier_guidance_create(d, NULL, &r.base, 1.0), ITO_ERR_ARGUMENT,
                   "classifier_guidance: the network is NULL");
    assert_refused(ito_classifier_guidance_create(d, &r.base, NULL, 1.0), ITO_ERR_ARGUMENT,
                   "classifier_guidance: the classifier is NULL");
    ito_diffusion_free(d);
}
