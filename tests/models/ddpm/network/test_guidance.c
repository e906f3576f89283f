/* Guidance by labels, by a worse network and by a classifier: what is made of the networks'
 * answers, and cases with a closed form. */
#include "models/ddpm/network/guidance.h"

#include "autograd/autograd.h"
#include "models/ddpm/network/condition.h"
#include "models/ddpm/sampler/sampler.h"
#include "tensor/runtime.h"
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

/* ---- in an interval ---- */

/* noise / signal of the default diffusion's step t, from the betas of the paper. */
static double sigma_of(int64_t t)
{
    double alpha_bar = 1.0;
    for (int64_t i = 0; i <= t; i++)
        alpha_bar *= 1.0 - (1e-4 + (0.02 - 1e-4) * (double)i / 999.0);
    return sqrt((1.0 - alpha_bar) / alpha_bar);
}

Test(guidance, outside_its_interval_is_the_network_with_labels_by_one_evaluation)
{
    recorder r = recorder_make(5.0);
    guided g = guide(&r, 3.0);
    const double times[] = {100, 300, 500};
    g.guidance->sigma_lo = 0.5 * (sigma_of(100) + sigma_of(300));
    g.guidance->sigma_hi = 0.5 * (sigma_of(300) + sigma_of(500));
    for (int i = 0; i < 3; i++) {
        r.evaluations = 0;
        ito_tensor *y = evaluate_two(&g.labelled->base, 1.0, times[i]);
        bool inside = i == 1;
        assert_two(y, inside ? 5.5 + 3.0 * (1.5 - 5.5) : 1.5, inside ? 5.5 + 3.0 * -1.0 : 4.5);
        cr_assert_eq(r.evaluations, inside ? 2 : 1, "t = %g", times[i]);
    }
    /* sigma_hi belongs to it, sigma_lo does not. */
    for (int at_high = 0; at_high <= 1; at_high++) {
        ito_level at = ito_process_level(g.d->process, 300);
        double sigma = at.noise / at.signal;
        cr_assert_float_eq(sigma, sigma_of(300), 1e-12);
        g.guidance->sigma_lo = at_high ? 0.0 : sigma;
        g.guidance->sigma_hi = at_high ? sigma : (double)INFINITY;
        r.evaluations = 0;
        cr_assert_not_null(evaluate_two(&g.labelled->base, 1.0, 300));
        cr_assert_eq(r.evaluations, at_high ? 2 : 1);
    }
    guided_free(&g);
}

Test(guidance, each_example_is_guided_by_its_own_noise)
{
    recorder r = recorder_make(5.0);
    guided g = guide(&r, 3.0);
    g.guidance->sigma_hi = sigma_of(300);
    ito_tensor *x = ito_full(ITO_SHAPE(2, 1, 1, 1), 1.0, ITO_F64);
    ito_tensor *t = ito_from_data((double[]){500, 100}, ITO_SHAPE(2), ITO_F64);
    ito_network_input in = {.x = x, .t = t, .x_t = x, .time = t};
    assert_two(ito_network_evaluate(&g.labelled->base, &in), 1.5, 5.5 + 3.0 * (4.5 - 5.5));
    guided_free(&g);
}

Test(guidance, a_run_evaluates_twice_in_the_interval_alone)
{
    recorder r = recorder_make(5.0);
    guided g = guide(&r, 3.0);
    g.guidance->sigma_lo = 0.3;
    g.guidance->sigma_hi = 2.0;
    double times[25];
    int expected = 25;
    cr_assert_eq(ito_timesteps(g.d->process, &ito_spacing_linspace, 25, times), ITO_OK);
    for (int i = 0; i < 25; i++)
        expected += sigma_of((int64_t)times[i]) > 0.3 && sigma_of((int64_t)times[i]) <= 2.0;
    cr_assert(expected > 30 && expected < 45);
    cr_assert_not_null(ito_diffusion_sample(g.d, &g.labelled->base, ITO_SHAPE(2, 1, 1, 1),
                                            .sampler = &ito_sampler_ddim,
                                            .spacing = &ito_spacing_linspace, .steps = 25),
                       "%s", ito_error());
    cr_assert_eq(r.evaluations, expected);
    guided_free(&g);
}

Test(guidance, bad_options_are_refused)
{
    ito_diffusion *d = ito_diffusion_create();
    recorder r = recorder_make(0.0);
    assert_refused(ito_guidance_create(d, &r.base, 2.0, .sigma_lo = -1), ITO_ERR_RANGE,
                   "guidance: sigma_lo -1 and sigma_hi inf; they rise, from 0 or more");
    assert_refused(ito_guidance_create(d, &r.base, 2.0, .sigma_lo = 3, .sigma_hi = 3),
                   ITO_ERR_RANGE, "guidance: sigma_lo 3 and sigma_hi 3; they rise, from 0 or more");
    assert_refused(ito_autoguidance_create(d, &r.base, &r.base, 2.0, .sigma_hi = 0), ITO_ERR_RANGE,
                   "autoguidance: sigma_lo 0 and sigma_hi 0; they rise, from 0 or more");
    assert_refused(ito_guidance_create(d, &r.base, 2.0, .rescale = 1.5), ITO_ERR_RANGE,
                   "guidance: a rescale of 1.5; it is from 0 to 1");
    assert_refused(ito_autoguidance_create(d, &r.base, &r.base, 2.0, .rescale = -0.5),
                   ITO_ERR_RANGE, "autoguidance: a rescale of -0.5; it is from 0 to 1");
    ito_diffusion_free(d);
}

/* ---- rescaled ---- */

static double deviation(const double *x, int n)
{
    double mean = 0.0, sum = 0.0;
    for (int i = 0; i < n; i++)
        mean += x[i] / n;
    for (int i = 0; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sqrt(sum / n);
}

/* A network whose two answers are not multiples of each other: x, or its square without labels. */
static ito_tensor *x_or_square(ito_network *self, const ito_network_input *in)
{
    (void)self;
    return in->labels != NULL ? in->x : ito_square(in->x);
}

Test(guidance, rescaling_brings_the_deviation_of_each_example_back)
{
    ito_diffusion *d = ito_diffusion_create();
    ito_network network = network_of(x_or_square, NULL);
    ito_generator random = ito_generator_make(5, 0);
    ito_tensor *x = ito_randn(&random, ITO_SHAPE(2, 3, 5), ITO_F64),
               *t = ito_zeros(ITO_SHAPE(2), ITO_F64);
    ito_network_input in = {
        .x = x, .t = t, .x_t = x, .time = t, .labels = labels_of(2, (const int64_t[]){0, 0})};
    const double *value = ito_const_data(x);
    for (int k = 0; k <= 2; k++) {
        double phi = 0.5 * k;
        ito_guidance *g = ito_guidance_create(d, &network, 3.0, .rescale = phi);
        ito_tensor *y = ito_network_evaluate(&g->base, &in);
        cr_assert_not_null(y, "%s", ito_error());
        for (int i = 0; i < 30; i += 15) {
            double plain[15];
            for (int j = 0; j < 15; j++)
                plain[j] = 3.0 * value[i + j] - 2.0 * value[i + j] * value[i + j];
            double factor = phi * deviation(value + i, 15) / deviation(plain, 15) + 1.0 - phi;
            for (int j = 0; j < 15; j++)
                cr_assert_float_eq(((const double *)ito_const_data(y))[i + j], plain[j] * factor,
                                   1e-13 * (1.0 + fabs(plain[j])));
        }
        ito_network_free(&g->base);
    }
    ito_diffusion_free(d);
}

/* Those of one number, and those whose numbers are all the same. */
Test(guidance, examples_without_a_deviation_are_not_rescaled)
{
    ito_diffusion *d = ito_diffusion_create();
    ito_network network = network_of(x_or_square, NULL);
    ito_guidance *g = ito_guidance_create(d, &network, 3.0, .rescale = 0.7);
    for (int width = 1; width <= 4; width += 3) {
        ito_tensor *x = ito_full(ITO_SHAPE(2, width), 0.5, ITO_F64),
                   *t = ito_zeros(ITO_SHAPE(2), ITO_F64);
        ito_network_input in = {
            .x = x, .t = t, .x_t = x, .time = t, .labels = labels_of(2, (const int64_t[]){0, 0})};
        ito_tensor *y = ito_network_evaluate(&g->base, &in);
        cr_assert_not_null(y, "%s", ito_error());
        for (int i = 0; i < 2 * width; i++)
            cr_expect_eq(((const double *)ito_const_data(y))[i], 3.0 * 0.5 - 2.0 * 0.25);
    }
    ito_network_free(&g->base);
    ito_diffusion_free(d);
}

/* ---- autoguidance ---- */

static ito_diffusion *two_headed(void)
{
    return ito_diffusion_create(.variance = &ito_variance_learned,
                                .objective = &ito_objective_hybrid);
}

Test(guidance, autoguidance_goes_from_the_worse_network_through_the_better_one)
{
    ito_diffusion *d = ito_diffusion_create();
    recorder good = recorder_make(5.0), bad = recorder_make(4.0);
    ito_guidance *g = ito_autoguidance_create(d, &good.base, &bad.base, 3.0);
    assert_two(evaluate_two(&g->base, 1.0, 7.0), 4.5 + 3.0, 4.5 + 3.0);
    ito_network_begin(&g->base);
    cr_assert(good.begun == 1 && bad.begun == 1);
    cr_assert(good.evaluations == 1 && bad.evaluations == 1);
    ito_network_free(&g->base);
    cr_assert(good.freed == 0 && bad.freed == 0);
    ito_diffusion_free(d);
}

/* Labels reach both; with a second head the variance is the better network's. */
Test(guidance, autoguidance_takes_labels_and_leaves_the_variance)
{
    ito_diffusion *d = two_headed();
    recorder good = recorder_make(5.0), bad = recorder_make(4.0);
    good.two_heads = bad.two_heads = true;
    ito_guidance *g = ito_autoguidance_create(d, &good.base, &bad.base, 2.0);
    ito_class_condition *c = ito_class_condition_create(&g->base, 5);
    c->labels = labels_of(2, (const int64_t[]){1, 4});
    ito_tensor *y = evaluate_two(&c->base, 1.0, 7.0);
    assert_two(ito_narrow(y, 1, 0, 1), 1.5, 4.5);
    assert_two(ito_narrow(y, 1, 1, 1), 15.0, 45.0);
    cr_assert(good.labels[1] == 4 && bad.labels[1] == 4);
    y = evaluate_two(&g->base, 1.0, 7.0);
    assert_two(ito_narrow(y, 1, 0, 1), 6.5, 6.5);
    assert_two(ito_narrow(y, 1, 1, 1), 55.0, 55.0);
    ito_network_free(&c->base);
    ito_network_free(&g->base);
    ito_diffusion_free(d);
}

/* Scale 1, and anything outside the interval, is the better network to the bit, and costs as much;
 * 0 is the worse one. The bad network is smaller. */
Test(guidance, autoguidance_of_scale_1_is_the_network_to_the_bit)
{
    ito_diffusion *d = ito_diffusion_create();
    ito_unet_config config = tiny_unet_config(1);
    ito_unet *good = random_unet(config);
    config.channels = 4;
    ito_unet *bad = random_unet(config);
    ito_guidance *g = ito_autoguidance_create(d, &good->network, &bad->network, 1.0);
    ito_generator random = ito_generator_make(2, 0);
    ito_tensor *x = ito_randn(&random, ITO_SHAPE(2, 1, 8, 8), ITO_F32);
    ito_tensor *t = ito_full(ITO_SHAPE(2), 40.0, ITO_F64);
    ito_network_input in = {.x = x, .t = t, .x_t = x, .time = t};
    ito_tensor *better = ito_network_evaluate(&good->network, &in);
    ito_tensor *worse = ito_network_evaluate(&bad->network, &in);
    cr_assert(!same_example(better, worse, 0));
    for (int i = 0; i < 2; i++)
        cr_assert(same_example(ito_network_evaluate(&g->base, &in), better, i));
    g->scale = 2.0;
    ito_tensor *twice = ito_network_evaluate(&g->base, &in);
    ito_tensor *formula = ito_sub(ito_mul_scalar(better, 2.0), worse);
    cr_assert_lt(largest_difference(twice, formula), 1e-5 * ito_item(ito_max(ito_abs(formula))));
    g->sigma_lo = 1e3;
    cr_assert(same_example(ito_network_evaluate(&g->base, &in), better, 0));
    g->sigma_lo = 0.0, g->scale = 0.0;
    cr_assert(same_example(ito_network_evaluate(&g->base, &in), worse, 1));
    ito_network_free(&g->base);
    ito_module_free(&good->base);
    ito_module_free(&bad->base);
    ito_diffusion_free(d);
}

Test(guidance, networks_that_disagree_are_refused)
{
    ito_diffusion *one = ito_diffusion_create(), *two = two_headed();
    recorder good = recorder_make(0.0), bad = recorder_make(0.0);
    bad.two_heads = true;
    ito_guidance *g = ito_autoguidance_create(one, &good.base, &bad.base, 2.0);
    assert_refused(evaluate_two(&g->base, 0.0, 1.0), ITO_ERR_SHAPE,
                   "autoguidance: the worse network made [2, 2, 1, 1] of [2, 1, 1, 1], and the "
                   "network [2, 1, 1, 1]");
    good.two_heads = true;
    assert_refused(evaluate_two(&g->base, 0.0, 1.0), ITO_ERR_SHAPE,
                   "autoguidance: the network made [2, 2, 1, 1] of [2, 1, 1, 1]");
    bad.two_heads = false;
    g->diffusion = two;
    assert_refused(evaluate_two(&g->base, 0.0, 1.0), ITO_ERR_SHAPE,
                   "autoguidance: the worse network made [2, 1, 1, 1] of [2, 1, 1, 1], and the "
                   "network [2, 2, 1, 1]");
    ito_network_free(&g->base);
    ito_diffusion_free(one);
    ito_diffusion_free(two);
}

Test(guidance, autoguidance_takes_a_diffusion_and_two_networks)
{
    ito_diffusion *d = ito_diffusion_create();
    recorder r = recorder_make(0.0);
    assert_refused(ito_autoguidance_create(NULL, &r.base, &r.base, 2.0), ITO_ERR_ARGUMENT,
                   "autoguidance: the diffusion is NULL");
    assert_refused(ito_autoguidance_create(d, NULL, &r.base, 2.0), ITO_ERR_ARGUMENT,
                   "autoguidance: the network is NULL");
    assert_refused(ito_autoguidance_create(d, &r.base, NULL, 2.0), ITO_ERR_ARGUMENT,
                   "autoguidance: the guide is NULL");
    assert_refused(ito_autoguidance_create(d, &r.base, &r.base, (double)NAN), ITO_ERR_RANGE,
                   "autoguidance: a scale of nan; it must be finite");
    ito_diffusion_free(d);
}

/* Its answer is there already. */
static ito_tensor *the_context(ito_network *self, const ito_network_input *in)
{
    (void)in;
    return self->context;
}

Test(guidance, failed_allocations_are_errors_and_leak_nothing)
{
    ito_diffusion *d = two_headed();
    ito_generator random = ito_generator_make(6, 0);
    ito_tensor *x = ito_randn(&random, ITO_SHAPE(2, 2, 3), ITO_F64), *y = NULL;
    ito_network good = network_of(the_context, ito_randn(&random, ITO_SHAPE(2, 4, 3), ITO_F64));
    ito_network bad = network_of(the_context, ito_randn(&random, ITO_SHAPE(2, 4, 3), ITO_F64));
    ito_tensor *t = ito_from_data((double[]){500, 100}, ITO_SHAPE(2), ITO_F64);
    ito_network_input in = {.x = x, .t = t, .x_t = x, .time = t};
    int64_t failures = 0;
    ito_memory_fail_nth(1);
    cr_assert_null(ito_autoguidance_create(d, &good, &bad, 2.0));
    ito_memory_fail_nth(0);
    cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
    ito_error_clear();
    ito_guidance *g =
        ito_autoguidance_create(d, &good, &bad, 2.0, .sigma_hi = sigma_of(300), .rescale = 0.7);
    int64_t blocks = ito_memory_blocks();
    for (; y == NULL; failures += y == NULL) {
        ito_scope_begin();
        ito_memory_fail_nth(failures + 1);
        y = ito_network_evaluate(&g->base, &in);
        ito_memory_fail_nth(0);
        cr_assert_eq(ito_error_code(), y == NULL ? ITO_ERR_MEMORY : ITO_OK);
        ito_error_clear();
        ito_scope_end();
        cr_assert_eq(ito_memory_blocks(), blocks);
    }
    cr_assert_gt(failures, 5);
    ito_network_free(&g->base);
    ito_diffusion_free(d);
}

/* ---- two Gaussians: the score is that of one density to the power of the scale, over the other to
 * that less 1 ---- */

/* The best network for data N(mean, deviation^2), one pixel. */
typedef struct normal_network {
    ito_network base;
    const ito_diffusion *d;
    double mean, deviation;
} normal_network;

static double log_density(const normal_network *n, ito_level at, double x)
{
    double off = x - at.signal * n->mean;
    double variance = pow(at.signal * n->deviation, 2) + at.noise * at.noise;
    return -0.5 * off * off / variance - 0.5 * log(variance);
}

/* The right output where the score is this. */
static double output_of(const ito_diffusion *d, double x, double t, double score)
{
    ito_step s = ito_step_between(d->process, t, t - 1.0);
    double eps = -s.at.noise * score, x_0 = (x - s.at.noise * eps) / s.at.signal;
    ito_target target = d->prediction->target(d->prediction, &s);
    return target.x_0 * x_0 + target.eps * eps;
}

/* By central differences of the density's logarithm. */
static ito_tensor *normal_evaluate(ito_network *self, const ito_network_input *in)
{
    const normal_network *n = (const normal_network *)self;
    double x = ito_item(in->x_t), t = input_time(in, 0), h = 1e-4;
    ito_level at = ito_process_level(n->d->process, t);
    double score = (log_density(n, at, x + h) - log_density(n, at, x - h)) / (2.0 * h);
    return ito_full(ITO_SHAPE(1, 1, 1, 1), output_of(n->d, x, t, score), ITO_F64);
}

/* A network of labels: N(0.3, 0.5^2) with one, N(-0.2, 0.9^2) without. */
static ito_tensor *by_label(ito_network *self, const ito_network_input *in)
{
    normal_network n = {.d = self->context, .mean = -0.2, .deviation = 0.9};
    if (in->labels != NULL)
        n.mean = 0.3, n.deviation = 0.5;
    return normal_evaluate(&n.base, in);
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

Test(guidance, of_two_gaussians_has_the_score_of_their_product)
{
    static const ito_prediction *const predictions[] = {
        &ito_prediction_eps,   &ito_prediction_x_0, &ito_prediction_x_prev, &ito_prediction_v,
        &ito_prediction_score, &ito_prediction_edm, &ito_prediction_flow};
    const double scale = 2.5, x = 0.45;
    for (int p = 0; p < 7; p++) {
        ito_diffusion *d = ito_diffusion_create(.prediction = predictions[p],
                                                .sigma_data = gaussian_sigma_data(predictions[p]));
        normal_network good = {{.evaluate = normal_evaluate}, d, 0.3, 0.5};
        normal_network bad = {{.evaluate = normal_evaluate}, d, -0.2, 0.9};
        ito_network labelled = network_of(by_label, d);
        ito_guidance *by_class = ito_guidance_create(d, &labelled, scale);
        ito_class_condition *c = ito_class_condition_create(&by_class->base, 2);
        ito_guidance *autoguided = ito_autoguidance_create(d, &good.base, &bad.base, scale);
        c->labels = labels_of(1, (const int64_t[]){1});
        for (int t = 50; t < 1000; t += 300) {
            ito_level at = ito_process_level(d->process, t);
            double S = at.signal, N = at.noise; /* the scores of the normal densities of x_t */
            double one = -(x - S * 0.3) / (S * S * 0.25 + N * N);
            double two = -(x + S * 0.2) / (S * S * 0.81 + N * N);
            double expected = output_of(d, x, t, scale * one - (scale - 1.0) * two);
            double by_labels = ito_item(evaluate_pixel(d, &c->base, x, t));
            double by_worse = ito_item(evaluate_pixel(d, &autoguided->base, x, t));
            double tolerance = 1e-7 * (1.0 + fabs(expected)); /* of the differences: h^2, eps / h */
            cr_assert_float_eq(by_labels, expected, tolerance, "%s %d", predictions[p]->name, t);
            cr_assert_float_eq(by_worse, expected, tolerance, "%s %d", predictions[p]->name, t);
        }
        ito_network_free(&c->base);
        ito_network_free(&by_class->base);
        ito_network_free(&autoguided->base);
        ito_diffusion_free(d);
    }
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
