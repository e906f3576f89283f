/* What sampling refuses, and the sentence it gives: a test for each kind of argument. */
#include "models/ddpm/sampler/sampler.h"

#include "tests/models/ddpm/ddpm_check.h"
#include "tests/models/ddpm/gaussian.h"

#include <math.h>
#include <stdio.h>

#define OPTIONS(...) ITO_OPTIONS(ito_sample_options, __VA_ARGS__)
#define COUNT(a) (int)(sizeof(a) / sizeof(a)[0])

static const ito_shape SHAPE = {.ndim = 4, .dim = {1, 1, 2, 2}};

/* Sampling with the best network, of a process of that many steps, is refused. */
static void options_refused(ito_sample_options o, ito_status code, const char *message)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    gaussian_network g = gaussian_make(d, 0.0);
    assert_refused(ito_diffusion_sample_with(d, &g.base, SHAPE, o), code, message);
    ito_diffusion_free(d);
}

Test(sampler_refusals, numbers_of_steps)
{
    options_refused(OPTIONS(.steps = 21), ITO_ERR_RANGE,
                    "sample: 21 steps; the process has 1 to 20");
    options_refused(OPTIONS(.steps = 0), ITO_ERR_RANGE, "sample: 0 steps; the process has 1 to 20");
    options_refused(OPTIONS(.steps = -2), ITO_ERR_RANGE,
                    "sample: -2 steps; the process has 1 to 20");
}

Test(sampler_refusals, numbers_of_steps_in_continuous_time)
{
    ito_diffusion *d =
        ito_diffusion_create(.schedule = &ito_schedule_flow, .prediction = &ito_prediction_flow);
    gaussian_network g = gaussian_make(d, 0.0);
    assert_refused(ito_diffusion_sample(d, &g.base, SHAPE, .steps = 0), ITO_ERR_RANGE,
                   "sample: 0 steps; at least 1 is needed");
    ito_diffusion_free(d);
}

Test(sampler_refusals, numbers_out_of_their_range)
{
    static const double nan = (double)NAN, inf = (double)INFINITY;
    const struct {
        ito_sample_options o;
        const char *message;
    } cases[] = {
        {OPTIONS(.eta = 1.5), "sample: eta is 1.5; it must be in [0, 1]"},
        {OPTIONS(.eta = nan), "sample: eta is nan; it must be in [0, 1]"},
        {OPTIONS(.threshold = 2.0), "sample: threshold is 2; it must be in [0, 1]"},
        {OPTIONS(.s_churn = -1.0), "sample: s_churn is -1; it must be finite and at least 0"},
        {OPTIONS(.s_churn = inf), "sample: s_churn is inf; it must be finite and at least 0"},
        {OPTIONS(.s_noise = -1.0), "sample: s_noise is -1; it must be finite and at least 0"},
        {OPTIONS(.s_noise = nan), "sample: s_noise is nan; it must be finite and at least 0"}};
    for (int i = 0; i < COUNT(cases); i++)
        options_refused(cases[i].o, ITO_ERR_RANGE, cases[i].message);
}

Test(sampler_refusals, churn_with_a_sampler_with_memory)
{
    options_refused(
        OPTIONS(.s_churn = 9.0, .sampler = &ito_sampler_dpmpp_3m), ITO_ERR_ARGUMENT,
        "sample: churn is for samplers without memory, and dpm++3m looks back at 2 steps");
}

Test(sampler_refusals, data_without_examples_or_of_integers)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    gaussian_network g = gaussian_make(d, 0.0);
    assert_refused(ito_diffusion_sample(d, &g.base, ITO_SHAPE()), ITO_ERR_SHAPE,
                   "sample: [] is not [N, ...]");
    assert_refused(ito_diffusion_sample(d, &g.base, SHAPE, .dtype = ITO_U8), ITO_ERR_DTYPE,
                   "sample: data are f32 or f64, not u8");
    ito_diffusion_free(d);
}

Test(sampler_refusals, lists_of_times_that_do_not_fall_within_the_process)
{
    static const struct {
        double times[3];
        int64_t n;
        const char *what;
    } cases[] = {{{3, 7}, 2, "time 1 of the list is 7"},
                 {{20, 1}, 2, "time 0 of the list is 20"},
                 {{4, -1, 0}, 3, "time 1 of the list is -1"},
                 {{7, 7}, 2, "time 1 of the list is 7"},
                 {{7, 3.5}, 2, "time 1 of the list is 3.5"}};
    for (int i = 0; i < COUNT(cases); i++) {
        char message[200];
        snprintf(message, sizeof message,
                 "sample: %s; they must fall from at most 19 to at least 0, in whole steps",
                 cases[i].what);
        options_refused(OPTIONS(.steps = cases[i].n, .times = cases[i].times), ITO_ERR_RANGE,
                        message);
    }
}

Test(sampler_refusals, lists_of_times_out_of_a_continuous_range)
{
    static const double high[] = {1.5, 0.5}, low[] = {0.5, 0.0}, rising[] = {0.25, 0.5},
                        bad[] = {0.5, (double)NAN};
    static const struct {
        const double *times;
        const char *what;
    } cases[] = {{high, "time 0 of the list is 1.5"},
                 {low, "time 1 of the list is 0"},
                 {rising, "time 1 of the list is 0.5"},
                 {bad, "time 1 of the list is nan"}};
    ito_diffusion *d = ito_diffusion_create(.schedule = &ito_schedule_vp);
    gaussian_network g = gaussian_make(d, 0.0);
    for (int i = 0; i < COUNT(cases); i++) {
        char message[200];
        snprintf(message, sizeof message,
                 "sample: %s; they must fall from at most 1 to at least 0.001", cases[i].what);
        assert_refused(ito_diffusion_sample(d, &g.base, SHAPE, .steps = 2, .times = cases[i].times),
                       ITO_ERR_RANGE, message);
    }
    ito_diffusion_free(d);
}

Test(sampler_refusals, a_list_of_times_of_unknown_length)
{
    static const double times[] = {7, 3};
    options_refused(OPTIONS(.times = times), ITO_ERR_RANGE,
                    "sample: times are given, and .steps does not say how many");
}

Test(sampler_refusals, a_start_out_of_the_process)
{
    options_refused(OPTIONS(.start = 19.5), ITO_ERR_RANGE,
                    "sample: the start is 19.5; times are 0 to 19, in whole steps");
    options_refused(OPTIONS(.start = -1.0), ITO_ERR_RANGE,
                    "sample: the start is -1; times are 0 to 19, in whole steps");
    options_refused(OPTIONS(.start = 7.5), ITO_ERR_RANGE,
                    "sample: the start is 7.5; times are 0 to 19, in whole steps");
}

Test(sampler_refusals, a_run_that_begins_where_it_is_to_end)
{
    static const double ended[] = {0};
    options_refused(OPTIONS(.steps = 1, .times = ended, .end_at_first = true), ITO_ERR_RANGE,
                    "sample: the only time visited is 0, where it is to end; nothing is left to "
                    "do");
    options_refused(OPTIONS(.start = 0.0, .end_at_first = true), ITO_ERR_RANGE,
                    "sample: the only time visited is 0, where it is to end; nothing is left to "
                    "do");
}

/* ---- choices that do not go together ---- */

Test(sampler_refusals, a_prediction_that_does_not_tell_x_0)
{
    ito_diffusion *blind = ito_diffusion_create(.steps = 20, .zero_terminal_snr = true);
    gaussian_network g = gaussian_make(blind, 0.0);
    assert_refused(ito_diffusion_sample(blind, &g.base, SHAPE, .sampler = &ito_sampler_unipc),
                   ITO_ERR_ARGUMENT,
                   "sample: eps cannot drive unipc: it does not tell x_0 at time 19 (signal 0); v "
                   "and x_0 do");
    ito_diffusion_free(blind);
}

Test(sampler_refusals, names_that_no_sampler_has)
{
    assert_refused(ito_sampler_find("eulr"), ITO_ERR_ARGUMENT,
                   no_such_choice("sampler", "sampler", "eulr"));
    cr_assert_eq(ito_sampler_find("ddim"), &ito_sampler_ddim);
}

Test(sampler_refusals, no_diffusion)
{
    ito_network network = network_of(evaluate_zeros, NULL);
    assert_refused(ito_diffusion_sample(NULL, &network, SHAPE), ITO_ERR_ARGUMENT,
                   "sample: the diffusion is NULL");
}

/* A sampler is a public struct: a changed copy must not read past the arrays. */
Test(sampler_refusals, samplers_that_look_back_too_far)
{
    static const struct {
        int history, order;
        const char *numbers;
    } bad[] = {{4, 2, "4 steps and is of order 2"},
               {-1, 0, "-1 steps and is of order 0"},
               {1, 3, "1 steps and is of order 3"},
               {3, -1, "3 steps and is of order -1"}};
    for (int k = 0; k < COUNT(bad); k++) {
        ito_sampler own = ito_sampler_unipc;
        char message[200];
        own.history = bad[k].history;
        own.order = bad[k].order;
        snprintf(message, sizeof message,
                 "sample: unipc looks back at %s; it can be at 0 to 3, with an order of 0 to one "
                 "more",
                 bad[k].numbers);
        options_refused(OPTIONS(.sampler = &own), ITO_ERR_ARGUMENT, message);
    }
}

/* All that is not refused works, an order that is not said being 1. */
Test(sampler_refusals, samplers_of_any_order_there_can_be_are_taken)
{
    static const char *const names[] = {"dpm++2m", "dpm++2s", "dpm++2m-sde", "unipc",
                                        "lms",     "deis",    "pndm"};
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    gaussian_network g = gaussian_make(d, 0.0);
    for (int k = 0; k < COUNT(names); k++)
        for (int history = 0; history <= ITO_SAMPLER_HISTORY; history++)
            for (int order = 0; order <= history + 1; order++) {
                ito_sampler own = *ito_sampler_find(names[k]);
                own.history = history;
                own.order = order;
                ito_tensor *x = ito_diffusion_sample(d, &g.base, SHAPE, .sampler = &own, .steps = 8,
                                                     .keep_order = true);
                cr_assert_not_null(x, "%s %d %d: %s", names[k], history, order, ito_error());
                cr_assert(isfinite(ito_item(ito_sum(x))), "%s %d %d", names[k], history, order);
            }
    ito_diffusion_free(d);
}

/* ---- networks ---- */

static ito_tensor *flattening(ito_network *self, const ito_network_input *in)
{
    (void)self;
    return ito_flatten(in->x, 0, -1);
}

static ito_tensor *silent(ito_network *self, const ito_network_input *in)
{
    (void)self, (void)in;
    return NULL;
}

/* Sampling with this network is refused. */
static void network_refused(const ito_diffusion *d, ito_network network, ito_status code,
                            const char *message)
{
    assert_refused(ito_diffusion_sample(d, &network, SHAPE), code, message);
}

Test(sampler_refusals, outputs_of_another_shape)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    network_refused(d, network_of(flattening, NULL), ITO_ERR_SHAPE,
                    "sample: the network made [4] of [1, 1, 2, 2]");
    ito_diffusion_free(d);
}

Test(sampler_refusals, a_learned_variance_without_a_second_head)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20, .variance = &ito_variance_learned,
                                            .objective = &ito_objective_hybrid);
    network_refused(d, network_of(evaluate_zeros, NULL), ITO_ERR_SHAPE,
                    "sample: the network made [1, 1, 2, 2] of [1, 1, 2, 2]; the variance learned "
                    "needs a second head, [1, 2, 2, 2]");
    ito_diffusion_free(d);
}

/* [N] has no axis for it. */
Test(sampler_refusals, a_learned_variance_of_data_without_channels)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20, .variance = &ito_variance_learned,
                                            .objective = &ito_objective_hybrid);
    ito_network network = network_of(evaluate_zeros, NULL);
    assert_refused(ito_diffusion_sample(d, &network, ITO_SHAPE(3)), ITO_ERR_SHAPE,
                   "sample: data [3] have no axis for the second head that the variance learned "
                   "needs");
    ito_diffusion_free(d);
}

Test(sampler_refusals, networks_that_say_nothing)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    network_refused(d, network_of(silent, NULL), ITO_ERR_ARGUMENT, "network: it gave nothing");
    ito_diffusion_free(d);
}

Test(sampler_refusals, networks_that_cannot_be_evaluated)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    assert_refused(ito_diffusion_sample(d, NULL, SHAPE), ITO_ERR_ARGUMENT, "network: it is NULL");
    network_refused(d, network_of(NULL, NULL), ITO_ERR_ARGUMENT,
                    "network: it has no function to evaluate it");
    ito_diffusion_free(d);
}

/* ---- sizes ---- */

Test(sampler_refusals, numbers_of_examples_that_cannot_be)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 20);
    gaussian_network g = gaussian_make(d, 0.0);
    assert_refused(ito_diffusion_sample(d, &g.base, ITO_SHAPE(((int64_t)1 << 61) - 1, 1, 1, 1)),
                   ITO_ERR_SHAPE, "sample: there cannot be 2305843009213693951 examples");
    assert_refused(ito_diffusion_sample(d, &g.base, ITO_SHAPE(INT64_MAX, 1, 1, 1)), ITO_ERR_SHAPE,
                   "sample: there cannot be 9223372036854775807 examples");
    assert_refused(ito_diffusion_sample(d, &g.base, ITO_SHAPE(-2, 1, 2, 2)), ITO_ERR_SHAPE,
                   "sample: there cannot be -2 examples");
    assert_refused(ito_diffusion_sample(d, &g.base, ITO_SHAPE(2, -1, 2, 2)), ITO_ERR_SHAPE,
                   "tensor: no tensor has the shape [2, -1, 2, 2]");
    ito_diffusion_free(d);
}
