/* Text from a GPT: with a cache it is what it is without, beyond the block too; how tokens are
 * drawn; what is refused. */
#include "autograd/ops_random.h"
#include "tests/models/gpt/gpt_check.h"

#include <math.h>

/* ---- many tokens ---- */

/* In f64 the logits agree to 1e-12, so that the same random numbers draw the same tokens. Prompts
 * are shorter than the block, and longer; the text outgrows it several times. */
Test(gpt_generate, the_cache_changes_nothing)
{
    static const int64_t strides[] = {0, 1, 3, BLOCK}, prompts[] = {1, 5, 21};
    for (int rotary = 0; rotary < 2; rotary++) {
        ito_gpt *gpt = small_gpt(rotary != 0, 0);
        for (int i = 0; i < 12; i++) {
            int64_t stride = strides[i % 4], given = prompts[i / 4];
            ito_generator a = ito_generator_make(2, (uint64_t)i), b = a;
            ito_tensor *prompt = random_tokens(4, 2, given);
            ito_tensor *cached = ito_gpt_generate(gpt, prompt, 30, &a, .stride = stride);
            ito_tensor *plain =
                ito_gpt_generate(gpt, prompt, 30, &b, .stride = stride, .use_cache = false);
            cr_expect(same_tokens(cached, plain), "stride %d, prompt %d", (int)stride, (int)given);
            cr_expect(same_tokens(ito_narrow(cached, 1, 0, given), prompt));
            cr_expect_eq(ito_size(cached, 1), given + 30);
            cr_expect_eq(a.offset, b.offset);
        }
        ito_module_free(&gpt->base);
    }
}

/* With a stride of 1: the last BLOCK tokens through the network, and the most probable one. */
Test(gpt_generate, a_stride_of_1_is_a_moving_window)
{
    ito_gpt *gpt = small_gpt(false, 0);
    ito_tensor *text =
        ito_gpt_generate(gpt, random_tokens(4, 1, 3), 20, NULL, .temperature = 0, .stride = 1);
    cr_assert_not_null(text, "%s", ito_error());
    const int64_t *token = ito_const_data(text);
    for (int64_t length = 3; length < 23; length++) {
        int64_t start = length > BLOCK ? length - BLOCK : 0;
        ito_tensor *logits =
            ito_contiguous(ito_gpt_forward(gpt, ito_narrow(text, 1, start, length - start)));
        const double *last =
            (const double *)ito_const_data(logits) + (length - start - 1) * VOCABULARY;
        for (int k = 0; k < VOCABULARY; k++)
            cr_expect_leq(last[k], last[token[length]], "token %d", (int)length);
    }
    ito_module_free(&gpt->base);
}

/* By default half of the block: after 8 tokens, the ninth's context begins at token 4, and stays
 * there until the thirteenth. The context is found by changing what precedes it. */
Test(gpt_generate, the_context_moves_by_half_of_the_block)
{
    static const int64_t starts[][2] = {{7, 0}, {8, 0}, {9, 4}, {12, 4}, {13, 8}, {16, 8}};
    ito_gpt *gpt = small_gpt(false, 0);
    for (int i = 0; i < 6; i++) {
        int64_t length = starts[i][0], start = starts[i][1];
        ito_tensor *prompt = random_tokens(8, 1, length);
        ito_tensor *text = ito_gpt_generate(gpt, prompt, 1, NULL, .temperature = 0);
        ito_tensor *logits = ito_gpt_forward(gpt, ito_narrow(prompt, 1, start, length - start));
        ito_tensor *want = ito_argmax(ito_select(logits, 1, length - start - 1), .dim = 1);
        cr_expect(same_tokens(ito_select(text, 1, length), want), "%d tokens", (int)length);
    }
    ito_module_free(&gpt->base);
}

Test(gpt_generate, records_nothing_and_follows_the_generator)
{
    ito_gpt *gpt = small_gpt(false, 0);
    ito_module_train(&gpt->base, true);
    ito_generator a = ito_generator_make(3, 0), b = a;
    ito_tensor *prompt = random_tokens(0, 1, 2);
    ito_tensor *x = ito_gpt_generate(gpt, prompt, 40, &a);
    cr_expect(same_tokens(x, ito_gpt_generate(gpt, prompt, 40, &b)));
    cr_expect_not(same_tokens(x, ito_gpt_generate(gpt, prompt, 40, &b)), "the next numbers");
    cr_expect(gpt->base.training && ito_grad_enabled());
    cr_expect(same_tokens(ito_gpt_generate(gpt, prompt, 0, &a), prompt));
    ito_module_free(&gpt->base);
}

/* ---- one token ---- */

enum { CLASSES = 5, DRAWS = 20000 };
/* Not in order. */
static const double logits_of_one[CLASSES] = {-1, 2, 0.5, 1, -2};

/* How often each token is drawn. */
static void frequencies(ito_gpt_draw_options o, double out[CLASSES])
{
    ito_generator g = ito_generator_make(7, 0);
    ito_tensor *one = ito_from_data(logits_of_one, ITO_SHAPE(1, CLASSES), ITO_F64);
    ito_tensor *tokens = ito_gpt_draw_with(ito_contiguous(ito_expand(one, DRAWS, CLASSES)), &g, o);
    cr_assert_not_null(tokens, "%s", ito_error());
    for (int k = 0; k < CLASSES; k++)
        out[k] = 0;
    for (int i = 0; i < DRAWS; i++)
        out[((const int64_t *)ito_const_data(tokens))[i]] += 1.0 / DRAWS;
}

/* Of the tokens that are kept, in proportion to exp(logit / temperature): within five deviations,
 * and the rounding of sums of 1 / DRAWS. */
static void draws_from(ito_gpt_draw_options o, const bool kept[CLASSES])
{
    double got[CLASSES], sum = 0;
    frequencies(o, got);
    for (int k = 0; k < CLASSES; k++)
        sum += kept[k] ? exp(logits_of_one[k] / o.temperature) : 0;
    for (int k = 0; k < CLASSES; k++) {
        double p = kept[k] ? exp(logits_of_one[k] / o.temperature) / sum : 0;
        cr_expect_leq(fabs(got[k] - p), 5 * sqrt(p * (1 - p) / DRAWS) + 1e-9,
                      "token %d: %g, not %g", k, got[k], p);
    }
}

#define DRAW(...) ITO_OPTIONS(ito_gpt_draw_options, __VA_ARGS__)

Test(gpt_draw, follows_the_probabilities)
{
    static const bool all[] = {true, true, true, true, true};
    draws_from(DRAW(.temperature = 1), all);
    draws_from(DRAW(.temperature = 2.5), all);
    draws_from(DRAW(.top_k = 99), all);
}

Test(gpt_draw, top_k_keeps_the_most_probable)
{
    static const bool one[] = {false, true, false, false, false};
    static const bool three[] = {false, true, true, true, false};
    draws_from(DRAW(.top_k = 1), one);
    draws_from(DRAW(.top_k = 3), three);
    draws_from(DRAW(.top_k = 3, .temperature = 0.5), three);
}

/* Probabilities are 0.0302, 0.607, 0.135, 0.223 and 0.0111... over their sum: in falling order they
 * add to 0.603, 0.825, 0.959, 0.989, 1. */
Test(gpt_draw, top_p_keeps_the_fewest_that_reach_it)
{
    static const bool one[] = {false, true, false, false, false};
    static const bool two[] = {false, true, false, true, false};
    static const bool three[] = {false, true, true, true, false};
    draws_from(DRAW(.top_p = 1e-9), one);
    draws_from(DRAW(.top_p = 0.60), one);
    draws_from(DRAW(.top_p = 0.62), two);
    draws_from(DRAW(.top_p = 0.82), two);
    draws_from(DRAW(.top_p = 0.84), three);
    /* At a lower temperature the first alone has 0.88; of the first two it has 0.73. */
    draws_from(DRAW(.top_p = 0.8, .temperature = 0.5), one);
    draws_from(DRAW(.top_p = 0.75, .top_k = 2), two);
}

Test(gpt_draw, a_temperature_of_0_is_the_most_probable)
{
    double got[CLASSES];
    frequencies(DRAW(.temperature = 0), got);
    cr_expect_float_eq(got[1], 1, 1e-9);
    ito_tensor *one = ito_from_data(logits_of_one, ITO_SHAPE(1, CLASSES), ITO_F64);
    cr_expect_not_null(ito_gpt_draw(one, NULL, .temperature = 0));
}

/* ---- what is refused ---- */

Test(gpt_draw, refuses_options_out_of_range)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 4), ITO_F32);
    expect_refused(ito_gpt_draw(x, &g, .temperature = -1), ITO_ERR_RANGE,
                   "gpt_draw: temperature -1; it is 0 or more, and finite");
    expect_refused(ito_gpt_draw(x, &g, .temperature = NAN), ITO_ERR_RANGE,
                   "gpt_draw: temperature nan; it is 0 or more, and finite");
    expect_refused(ito_gpt_draw(x, &g, .top_k = -1), ITO_ERR_RANGE,
                   "gpt_draw: top_k -1; it is 0 or more");
    expect_refused(ito_gpt_draw(x, &g, .top_p = 0), ITO_ERR_RANGE,
                   "gpt_draw: top_p 0 is not in (0, 1]");
    expect_refused(ito_gpt_draw(x, &g, .top_p = 1.5), ITO_ERR_RANGE,
                   "gpt_draw: top_p 1.5 is not in (0, 1]");
    expect_refused(ito_gpt_draw(ito_zeros(ITO_SHAPE(4), ITO_F32), &g), ITO_ERR_SHAPE,
                   "gpt_draw: logits are [N, V], not [4]");
    expect_refused(ito_gpt_draw(x, NULL), ITO_ERR_ARGUMENT, "categorical: no generator");
}

Test(gpt_generate, refuses_what_it_cannot_continue)
{
    ito_gpt *gpt = small_gpt(false, 0);
    ito_generator g = ito_generator_make(1, 0);
    ito_tensor *prompt = random_tokens(0, 1, 3);
    expect_refused(ito_gpt_generate(gpt, prompt, -1, &g), ITO_ERR_RANGE,
                   "gpt_generate: -1 new tokens");
    expect_refused(ito_gpt_generate(gpt, prompt, 1, &g, .stride = 9), ITO_ERR_RANGE,
                   "gpt_generate: stride 9; it is 0 to 8, the block");
    expect_refused(ito_gpt_generate(gpt, prompt, 1, &g, .top_p = 2), ITO_ERR_RANGE,
                   "gpt_draw: top_p 2 is not in (0, 1]");
    expect_refused(ito_gpt_generate(gpt, ito_zeros(ITO_SHAPE(1, 0), ITO_I64), 1, &g), ITO_ERR_SHAPE,
                   "gpt_generate: the prompt is [N, T] of i64 with T of 1 or more, not [1, 0] of "
                   "i64");
    expect_refused(ito_gpt_generate(gpt, ito_zeros(ITO_SHAPE(1, 2), ITO_F32), 1, &g), ITO_ERR_SHAPE,
                   "gpt_generate: the prompt is [N, T] of i64 with T of 1 or more, not [1, 2] of "
                   "f32");
    expect_refused(ito_gpt_generate(gpt, ito_full(ITO_SHAPE(1, 2), -1, ITO_I64), 1, &g),
                   ITO_ERR_RANGE, "embedding: index -1 at [0, 0] is outside 0..6");
    cr_expect_null(ito_gpt_generate(gpt, NULL, 1, &g));
    cr_expect_null(ito_gpt_generate(NULL, prompt, 1, &g));
    cr_expect(ito_grad_enabled());
    ito_module_free(&gpt->base);
}
