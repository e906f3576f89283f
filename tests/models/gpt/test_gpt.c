/* The network of models/gpt: that it sees the past alone, its cache, its first weights, gradients,
 * and what is refused. Values are compared with PyTorch's in test_gpt_reference.c. */
#include "autograd/ops_loss.h"
#include "tests/models/gpt/gpt_check.h"

#include <math.h>

/* ---- what a logit depends on ---- */

Test(gpt, no_logit_depends_on_a_later_token)
{
    for (int rotary = 0; rotary < 2; rotary++) {
        ito_gpt *gpt = small_gpt(rotary != 0, 0);
        ito_tensor *tokens = random_tokens(0, 1, BLOCK), *before = ito_gpt_forward(gpt, tokens);
        for (int64_t i = 0; i < BLOCK; i++) {
            ito_tensor *changed = ito_clone(tokens);
            int64_t *token = (int64_t *)ito_data(changed) + i;
            *token = (*token + 1) % VOCABULARY;
            ito_tensor *after = ito_gpt_forward(gpt, changed);
            for (int64_t k = 0; k < BLOCK; k++) {
                double moved =
                    largest_difference(ito_select(before, 1, k), ito_select(after, 1, k));
                cr_expect(k < i ? moved == 0 : moved > 1e-6, "token %d, logits %d: %g", (int)i,
                          (int)k, moved);
            }
        }
        ito_module_free(&gpt->base);
    }
}

/* Two tokens exchanged: without positions, the last logits would stay. */
Test(gpt, places_count)
{
    const int64_t ab[] = {1, 2, 3}, ba[] = {2, 1, 3};
    for (int rotary = 0; rotary < 2; rotary++) {
        ito_gpt *gpt = small_gpt(rotary != 0, 0);
        ito_tensor *a = ito_gpt_forward(gpt, ito_from_data(ab, ITO_SHAPE(1, 3), ITO_I64));
        ito_tensor *b = ito_gpt_forward(gpt, ito_from_data(ba, ITO_SHAPE(1, 3), ITO_I64));
        cr_expect_gt(largest_difference(ito_select(a, 1, 2), ito_select(b, 1, 2)), 1e-4);
        ito_module_free(&gpt->base);
    }
}

/* Parts of 1, 4 and 3 tokens give what all eight at once do. */
Test(gpt, a_cache_continues)
{
    const int64_t bounds[] = {0, 1, 5, BLOCK};
    for (int rotary = 0; rotary < 2; rotary++) {
        ito_gpt *gpt = small_gpt(rotary != 0, 0);
        ito_kv_cache cache[LAYERS] = {{0}};
        ito_tensor *tokens = random_tokens(1, 3, BLOCK), *whole = ito_gpt_forward(gpt, tokens);
        ito_no_grad_begin();
        for (int i = 0; i < 3; i++) {
            int64_t from = bounds[i], count = bounds[i + 1] - from;
            ito_tensor *part =
                ito_gpt_forward(gpt, ito_narrow(tokens, 1, from, count), .cache = cache);
            cr_expect_lt(largest_difference(part, ito_narrow(whole, 1, from, count)), 1e-12);
        }
        expect_refused(ito_gpt_forward(gpt, random_tokens(0, 3, 1), .cache = cache), ITO_ERR_RANGE,
                       "gpt: 1 tokens and 8 in the cache do not fit in a block of 8");
        ito_no_grad_end();
        for (int i = 0; i < LAYERS; i++)
            ito_kv_cache_free(&cache[i]);
        ito_module_free(&gpt->base);
    }
}

/* ---- weights ---- */

static double deviation(ito_tensor *t)
{
    return ito_item(ito_std(ito_cast(t, ITO_F64)));
}

Test(gpt, begins_as_gpt_2_does)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_gpt *gpt =
        ito_gpt_create(100, 64, .n_layer = 8, .n_head = 4, .n_embd = 64, .generator = &g);
    cr_assert_not_null(gpt, "%s", ito_error());
    ito_gpt_block *b = gpt->h[7];
    /* Of n numbers the deviation is off by about 1 / sqrt(2 n): 1.1 % of 4,096. */
    ito_tensor *const plain[] = {gpt->wte->weight, gpt->wpe->weight, b->attn->in_proj_weight,
                                 b->c_fc->weight};
    for (int i = 0; i < 4; i++)
        cr_expect_float_eq(deviation(plain[i]), 0.02, 0.02 * 0.05, "%d", i);
    cr_expect_float_eq(deviation(b->attn->out_proj->weight), 0.02 / 4, 0.005 * 0.05);
    cr_expect_float_eq(deviation(b->c_proj->weight), 0.02 / 4, 0.005 * 0.05);
    cr_expect_eq(ito_item(ito_max(ito_abs(b->c_fc->bias))), 0);
    cr_expect_eq(ito_item(ito_max(ito_abs(b->attn->in_proj_bias))), 0);
    /* Logits are small: every token is about as likely. */
    ito_tensor *tokens = ito_randint(&g, 0, 100, ITO_SHAPE(4, 64), ITO_I64);
    ito_tensor *targets = ito_randint(&g, 0, 100, ITO_SHAPE(4, 64), ITO_I64);
    cr_expect_float_eq(ito_item(ito_gpt_loss(gpt, tokens, targets)), log(100), 0.1);
    ito_module_free(&gpt->base);
}

Test(gpt, tied_weights_are_counted_once)
{
    ito_gpt *tied = ito_gpt_create(50, 16, .n_layer = 1, .n_head = 2, .n_embd = 8);
    ito_gpt *apart =
        ito_gpt_create(50, 16, .n_layer = 1, .n_head = 2, .n_embd = 8, .tie_weights = false);
    ito_gpt *plain = ito_gpt_create(50, 16, .n_layer = 1, .n_head = 2, .n_embd = 8, .bias = false,
                                    .rotary = true);
    cr_assert(tied != NULL && apart != NULL && plain != NULL, "%s", ito_error());
    /* 12 E^2 of weights, 9 E of biases and 4 E of norms a block; 2 E of the last norm. */
    int64_t block = 12 * 64 + 9 * 8 + 4 * 8;
    cr_expect_eq(ito_module_parameter_count(&tied->base), (50 + 16) * 8 + block + 2 * 8);
    cr_expect_eq(ito_module_parameter_count(&apart->base), (50 + 16 + 50) * 8 + block + 2 * 8);
    cr_expect_eq(ito_module_parameter_count(&plain->base), 50 * 8 + 12 * 64 + 2 * 8 + 8);
    cr_expect_eq(tied->lm_head, tied->wte->weight);
    ito_module_free(&tied->base);
    ito_module_free(&apart->base);
    ito_module_free(&plain->base);
}

/* ---- training ---- */

static ito_tensor *loss_of(ito_tensor *const *inputs, int64_t n, void *context)
{
    (void)inputs;
    (void)n;
    return ito_gpt_loss(context, random_tokens(2, 2, 5), random_tokens(3, 2, 5));
}

Test(gpt, gradients_are_central_differences)
{
    for (int rotary = 0; rotary < 2; rotary++) {
        ito_gpt *gpt = small_gpt(rotary != 0, 0);
        ito_named_tensors *p = ito_module_parameters(&gpt->base);
        cr_expect_eq(ito_gradcheck(loss_of, gpt, p->tensors, p->n, .elements = 8), ITO_OK, "%s",
                     ito_error());
        ito_named_tensors_free(p);
        ito_module_free(&gpt->base);
    }
}

/* Against -log of a softmax in double, element by element. */
Test(gpt, the_loss_is_the_mean_of_minus_log_p)
{
    ito_gpt *gpt = small_gpt(false, 0);
    ito_tensor *tokens = random_tokens(2, 2, 5), *targets = random_tokens(3, 2, 5);
    ito_tensor *logits = ito_contiguous(ito_gpt_forward(gpt, tokens));
    const double *l = ito_const_data(logits);
    const int64_t *target = ito_const_data(targets);
    double sum = 0;
    for (int i = 0; i < 10; i++) {
        double all = 0;
        for (int k = 0; k < VOCABULARY; k++)
            all += exp(l[i * VOCABULARY + k]);
        sum += log(all) - l[i * VOCABULARY + target[i]];
    }
    cr_expect_float_eq(ito_item(ito_gpt_loss(gpt, tokens, targets)), sum / 10, 1e-14);
    ito_module_free(&gpt->base);
}

Test(gpt, dropout_is_of_training_alone)
{
    ito_gpt *gpt = small_gpt(false, 0.5), *plain = small_gpt(false, 0);
    ito_tensor *tokens = random_tokens(0, 1, BLOCK), *want = ito_gpt_forward(plain, tokens);
    cr_expect_eq(largest_difference(ito_gpt_forward(gpt, tokens), want), 0);
    ito_module_train(&gpt->base, true);
    ito_module_seed(&gpt->base, 1, 0);
    ito_tensor *dropped = ito_gpt_forward(gpt, tokens);
    cr_expect_gt(largest_difference(dropped, want), 0.1);
    ito_module_seed(&gpt->base, 1, 0);
    cr_expect_eq(largest_difference(ito_gpt_forward(gpt, tokens), dropped), 0);
    ito_module_free(&gpt->base);
    ito_module_free(&plain->base);
}

/* ---- what is refused ---- */

Test(gpt, refuses_sizes_that_do_not_fit)
{
    expect_refused(ito_gpt_create(0, 8), ITO_ERR_ARGUMENT,
                   "gpt: 0 tokens and a block of 8; both must be positive");
    expect_refused(ito_gpt_create(7, -1), ITO_ERR_ARGUMENT,
                   "gpt: 7 tokens and a block of -1; both must be positive");
    expect_refused(ito_gpt_create(7, 8, .n_layer = 0), ITO_ERR_ARGUMENT,
                   "gpt: 0 layers; there are 1 to 1000000");
    expect_refused(ito_gpt_create(7, 8, .n_embd = 8, .n_head = 3), ITO_ERR_ARGUMENT,
                   "multi_head_attention: 8 features do not form 3 heads");
    expect_refused(ito_gpt_create(7, 8, .n_embd = 6, .n_head = 2, .rotary = true), ITO_ERR_ARGUMENT,
                   "multi_head_attention: heads of 3 features; for the rotary embedding their "
                   "number is even");
    expect_refused(ito_gpt_create(7, 8, .dropout = 1), ITO_ERR_RANGE,
                   "dropout: probability 1 is not in [0, 1)");
    expect_refused(
        ito_gpt_create(7, 8, .dtype = ITO_BF16), ITO_ERR_DTYPE,
        "embedding: parameters are f32 or f64, not bf16; bf16 inputs take f32 parameters");
}

Test(gpt, refuses_what_are_no_tokens)
{
    ito_gpt *gpt = small_gpt(false, 0);
    expect_refused(ito_gpt_forward(gpt, random_tokens(0, 1, BLOCK + 1)), ITO_ERR_RANGE,
                   "gpt: 9 tokens and 0 in the cache do not fit in a block of 8");
    expect_refused(ito_gpt_forward(gpt, ito_zeros(ITO_SHAPE(4), ITO_I64)), ITO_ERR_SHAPE,
                   "gpt: tokens are [N, T], not [4]");
    expect_refused(ito_gpt_forward(gpt, ito_full(ITO_SHAPE(1, 2), VOCABULARY, ITO_I64)),
                   ITO_ERR_RANGE, "embedding: index 7 at [0, 0] is outside 0..6");
    expect_refused(ito_gpt_forward(gpt, ito_zeros(ITO_SHAPE(1, 2), ITO_F64)), ITO_ERR_DTYPE,
                   "embedding: indices are i64, not f64");
    cr_expect_null(ito_gpt_forward(gpt, NULL));
    cr_expect_null(ito_gpt_forward(NULL, random_tokens(0, 1, 1)));
    cr_expect_null(ito_gpt_loss(gpt, random_tokens(0, 1, 1), NULL));
    cr_expect_eq(ito_error_code(), ITO_OK);
    ito_module_free(&gpt->base);
}

/* A cache where history is recorded is refused by the first layer; where a later one fails, the
 * earlier ones forget what they took. */
Test(gpt, a_cache_is_as_it_was_after_an_error)
{
    ito_gpt *gpt = small_gpt(false, 0);
    ito_kv_cache cache[LAYERS] = {{0}};
    ito_no_grad_begin();
    cr_assert_not_null(ito_gpt_forward(gpt, random_tokens(0, 1, 3), .cache = cache));
    int64_t failures = 0;
    for (bool failed = true; failed; failures += failed) {
        ito_memory_fail_nth(failures + 1);
        failed = ito_gpt_forward(gpt, random_tokens(0, 1, 2), .cache = cache) == NULL;
        ito_memory_fail_nth(0);
        ito_error_clear();
        for (int i = 0; i < LAYERS; i++)
            cr_expect_eq(cache[i].length, failed ? 3 : 5, "request %d", (int)failures + 1);
        cr_assert_lt(failures, 1000);
    }
    cr_expect_gt(failures, 20);
    ito_no_grad_end();
    for (int i = 0; i < LAYERS; i++)
        ito_kv_cache_free(&cache[i]);
    ito_module_free(&gpt->base);
}

static ito_status make_and_use(void *context)
{
    (void)context;
    ito_generator g = ito_generator_make(5, 0);
    ito_gpt *gpt = ito_gpt_create(VOCABULARY, BLOCK, .n_layer = 1, .n_head = 2, .n_embd = 4,
                                  .tie_weights = false, .generator = &g);
    if (gpt == NULL)
        return ito_error_code();
    ito_tensor *tokens = random_tokens(0, 1, 4);
    bool good = ito_gpt_loss(gpt, tokens, tokens) != NULL &&
                ito_gpt_generate(gpt, tokens, 6, &g, .top_k = 3, .top_p = 0.9) != NULL;
    ito_module_free(&gpt->base);
    return good ? ITO_OK : ito_error_code();
}

Test(gpt, survives_every_failure_of_memory)
{
    cr_expect_gt(count_failed_allocations(make_and_use, NULL), 200);
}
