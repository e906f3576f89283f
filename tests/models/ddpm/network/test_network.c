/* Networks as objects: what is refused, when a trajectory begins, and what freeing a wrapper frees.
 */
#include "models/ddpm/network/network.h"

#include "models/ddpm/compress/codec.h"
#include "models/ddpm/edit/edit.h"
#include "models/ddpm/likelihood/bound.h"
#include "models/ddpm/network/condition.h"
#include "models/ddpm/network/guidance.h"
#include "models/ddpm/network/self_condition.h"
#include "models/ddpm/sampler/sampler.h"
#include "tensor/runtime.h"
#include "tests/models/ddpm/network/network_check.h"

#include <criterion/criterion.h>

/* ---- evaluation ---- */

Test(network, no_network_is_refused)
{
    assert_refused(evaluate_two(NULL, 0.0, 1.0), ITO_ERR_ARGUMENT, "network: it is NULL");
}

Test(network, one_without_a_function_is_refused)
{
    ito_network network = {.context = NULL};
    assert_refused(evaluate_two(&network, 0.0, 1.0), ITO_ERR_ARGUMENT,
                   "network: it has no function to evaluate it");
}

static ito_tensor *silent(ito_network *self, const ito_network_input *in)
{
    (void)self, (void)in;
    return NULL;
}

Test(network, one_that_gives_nothing_without_a_word_is_an_error)
{
    ito_network network = network_of(silent, NULL);
    assert_refused(evaluate_two(&network, 0.0, 1.0), ITO_ERR_ARGUMENT, "network: it gave nothing");
}

static ito_tensor *says_why(ito_network *self, const ito_network_input *in)
{
    (void)self, (void)in;
    ito_error_set(ITO_ERR_IO, "my model: its weights are gone");
    return NULL;
}

Test(network, what_a_network_says_stays)
{
    ito_network network = network_of(says_why, NULL);
    assert_refused(evaluate_two(&network, 0.0, 1.0), ITO_ERR_IO, "my model: its weights are gone");
}

/* ---- trajectories ---- */

Test(network, a_trajectory_may_begin_where_nothing_is_remembered)
{
    ito_network network = network_of(evaluate_zeros, NULL);
    ito_network_begin(&network);
    ito_network_begin(NULL);
    cr_assert_eq(ito_error_code(), ITO_OK);
}

static ito_tensor *image(void)
{
    return ito_full(ITO_SHAPE(1, 1, 2, 2), 0.25, ITO_F32);
}

/* Everything that runs a sampler, by number. */
static const void *sample(int way, const ito_diffusion *d, ito_network *network)
{
    ito_tensor *x = image();
    ito_sample_options o = ITO_OPTIONS(ito_sample_options, .steps = 4);
    switch (way) {
    case 0:
        return ito_diffusion_sample_with(d, network, ito_shape_of(x), o);
    case 1:
        return ito_diffusion_sample_from_with(d, network, x, o);
    case 2:
        return ito_diffusion_encode_with(d, network, x, o);
    case 3:
        return ito_image_to_image_with(d, network, x, 0.5, o);
    case 4:
        return ito_diffusion_interpolate_with(d, network, x, x,
                                              ito_full(ITO_SHAPE(1), 0.5, ITO_F64), 50.0, o);
    default:
        return ito_diffusion_inpaint_with(d, network, x, ito_zeros(ITO_SHAPE(1, 1, 2, 2), ITO_F32),
                                          (ito_resampling){2, 2}, o);
    }
}

Test(network, a_sampling_run_is_one_trajectory)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 100);
    for (int way = 0; way < 6; way++) {
        recorder r = recorder_make(0.0);
        cr_assert_not_null(sample(way, d, &r.base), "%d: %s", way, ito_error());
        cr_assert_eq(r.begun, 1, "%d: begun %d times", way, r.begun);
        cr_assert(r.evaluations > 1 && r.since_begin == r.evaluations,
                  "%d: %d of %d evaluations before it began", way, r.evaluations - r.since_begin,
                  r.evaluations);
    }
    ito_diffusion_free(d);
}

Test(network, a_sampler_that_evaluates_twice_a_step_begins_once)
{
    ito_diffusion *d = ito_diffusion_create();
    recorder r = recorder_make(0.0);
    cr_assert_not_null(ito_diffusion_sample(d, &r.base, ITO_SHAPE(1, 1, 2, 2), .steps = 4,
                                            .sampler = &ito_sampler_heun),
                       "%s", ito_error());
    cr_assert(r.begun == 1 && r.evaluations == 7 && r.since_begin == 7, "%d", r.evaluations);
    ito_diffusion_free(d);
}

Test(network, there_and_back_are_two_trajectories)
{
    ito_diffusion *d = ito_diffusion_create();
    recorder r = recorder_make(0.0);
    ito_round_trip trip;
    cr_assert_eq(ito_diffusion_round_trip_with(d, &r.base, image(),
                                               ITO_OPTIONS(ito_sample_options, .steps = 4), &trip),
                 ITO_OK, "%s", ito_error());
    cr_assert(r.begun == 2 && r.evaluations == 8 && r.most_since_begin == 4);
    ito_diffusion_free(d);
}

/* Evaluations that have nothing to do with each other. */
static void assert_each_begins(const recorder *r, int evaluations, const char *what)
{
    cr_assert_eq(r->evaluations, evaluations, "%s: %d evaluations", what, r->evaluations);
    cr_assert(r->begun == evaluations && r->most_since_begin == 1,
              "%s: begun %d times, %d evaluations after one of them", what, r->begun,
              r->most_since_begin);
}

Test(network, each_evaluation_of_a_loss_begins)
{
    const ito_objective *const objectives[] = {&ito_objective_simple, &ito_objective_hybrid,
                                               &ito_objective_vlb};
    for (int i = 0; i < 3; i++) {
        ito_diffusion *d = ito_diffusion_create(.objective = objectives[i],
                                                .variance = i == 0 ? &ito_variance_fixedlarge
                                                                   : &ito_variance_learned_range);
        recorder r = recorder_make(0.0);
        r.two_heads = i > 0;
        ito_tensor *t = ito_full(ITO_SHAPE(1), 2.0, ITO_I64);
        for (int k = 0; k < 3; k++)
            cr_assert_not_null(ito_diffusion_losses(d, &r.base, image(), t, image()), "%s",
                               ito_error());
        assert_each_begins(&r, 3, objectives[i]->name);
        ito_diffusion_free(d);
    }
}

Test(network, each_evaluation_of_the_bound_begins)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 6);
    recorder r = recorder_make(0.0);
    ito_bits bits;
    cr_assert_eq(ito_bits_per_dim(d, &r.base, image(), &bits, .draws = 2), ITO_OK, "%s",
                 ito_error());
    assert_each_begins(&r, 12, "bound");
    ito_diffusion_free(d);
}

Test(network, each_evaluation_of_the_coder_begins)
{
    ito_diffusion *d = ito_diffusion_create(.steps = 6);
    recorder r = recorder_make(0.0);
    ito_compressed c;
    cr_assert_eq(ito_diffusion_compress(d, &r.base, ito_zeros(ITO_SHAPE(1, 1, 2, 2), ITO_U8), &c,
                                        .block_bits = 4),
                 ITO_OK, "%s", ito_error());
    assert_each_begins(&r, 6, "coder");
    ito_diffusion_free(d);
}

/* ---- wrappers ---- */

enum { LABELLED, SELF_CONDITIONED, GUIDED, AUTOGUIDED, CLASSIFIER_GUIDED, KINDS };

static ito_network *wrap(int kind, const ito_diffusion *d, ito_network *network,
                         ito_network *classifier)
{
    static ito_network guide = {.evaluate = evaluate_zeros};
    void *wrapper = kind == LABELLED           ? (void *)ito_class_condition_create(network, 5)
                    : kind == SELF_CONDITIONED ? (void *)ito_self_condition_create(d, network)
                    : kind == GUIDED           ? (void *)ito_guidance_create(d, network, 1.0)
                    : kind == AUTOGUIDED
                        ? (void *)ito_autoguidance_create(d, network, &guide, 1.0)
                        : (void *)ito_classifier_guidance_create(d, network, classifier, 1.0);
    return wrapper; /* the network is the first member of each */
}

/* log p = 0 everywhere. */
static ito_tensor *sure_of_nothing(ito_network *self, const ito_network_input *in)
{
    ((recorder *)self)->evaluations++;
    return ito_sum(ito_mul_scalar(in->x, 0.0), .dims = ITO_DIMS(1, 2, 3));
}

Test(network, a_trajectory_begins_through_every_wrapper)
{
    ito_diffusion *d = ito_diffusion_create();
    recorder inner = recorder_make(0.0), classifier = recorder_make(0.0);
    classifier.base.evaluate = sure_of_nothing;
    ito_network *wrapped[KINDS + 1] = {&inner.base};
    for (int kind = 0; kind < KINDS; kind++) {
        wrapped[kind + 1] = wrap(kind, d, wrapped[kind], &classifier.base);
        cr_assert_not_null(wrapped[kind + 1], "%s", ito_error());
        ito_network_begin(wrapped[kind + 1]);
        cr_assert_eq(inner.begun, kind + 1, "kind %d", kind);
    }
    cr_assert_eq(classifier.begun, 1);
    cr_assert_not_null(ito_diffusion_sample(d, wrapped[KINDS], ITO_SHAPE(2, 1, 2, 2), .steps = 3),
                       "%s", ito_error());
    cr_assert(inner.begun == KINDS + 1 && inner.since_begin == 3);
    cr_assert(classifier.begun == 2 && classifier.evaluations == 3);
    for (int kind = KINDS; kind > 0; kind--)
        ito_network_free(wrapped[kind]);
    ito_diffusion_free(d);
}

Test(network, freeing_a_wrapper_leaves_the_network)
{
    ito_diffusion *d = ito_diffusion_create();
    for (int kind = 0; kind < KINDS; kind++) {
        recorder inner = recorder_make(0.0), classifier = recorder_make(0.0);
        classifier.base.evaluate = sure_of_nothing;
        ito_scope_begin();
        int64_t blocks = ito_memory_blocks();
        ito_network *wrapper = wrap(kind, d, &inner.base, &classifier.base);
        ito_scope_begin();
        cr_assert_not_null(evaluate_two(wrapper, 1.0, 5.0), "%s", ito_error());
        ito_scope_end();
        ito_network_free(wrapper);
        cr_assert_eq(ito_memory_blocks(), blocks, "kind %d", kind);
        ito_scope_end();
        cr_assert(inner.freed == 0 && classifier.freed == 0, "kind %d", kind);
        assert_two(evaluate_two(&inner.base, 1.0, 5.0), 0.5, 0.5);
    }
    ito_diffusion_free(d);
}

Test(network, a_network_frees_itself_if_it_can)
{
    recorder r = recorder_make(0.0);
    ito_network_free(&r.base);
    cr_assert_eq(r.freed, 1);
    ito_network nothing_to_free = network_of(evaluate_zeros, NULL);
    ito_network_free(&nothing_to_free);
    ito_network_free(NULL);
    cr_assert_eq(ito_error_code(), ITO_OK);
}

Test(network, wrappers_without_memory_say_so)
{
    ito_diffusion *d = ito_diffusion_create();
    recorder r = recorder_make(0.0);
    for (int kind = 0; kind < KINDS; kind++) {
        ito_memory_fail_nth(1);
        ito_network *wrapper = wrap(kind, d, &r.base, &r.base);
        ito_memory_fail_nth(0);
        cr_assert_null(wrapper, "kind %d", kind);
        cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
        ito_error_clear();
    }
    ito_diffusion_free(d);
}
