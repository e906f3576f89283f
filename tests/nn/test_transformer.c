/* Attention with several heads and transformers: what PyTorch does not have (a cache, groups of
 * heads, the rotary embedding), dropout, and what is refused. Values, gradients and masks are
 * compared with PyTorch's in test_layers_reference.c. */
#include "autograd/ops.h"
#include "nn/layers_transformer.h"
#include "nn/optim.h"
#include "tests/nn/nn_check.h"

#include <math.h>

typedef ito_multi_head_attention_layer mha;

static ito_tensor *random_f64(uint64_t stream, ito_shape shape)
{
    ito_generator g = ito_generator_make(6, stream);
    return ito_randn(&g, shape, ITO_F64);
}

static double largest_difference(ito_tensor *a, ito_tensor *b)
{
    cr_assert(a != NULL && b != NULL, "%s", ito_error());
    return ito_item(ito_max(ito_abs(ito_sub(a, b))));
}

/* Row `from` to row `to` of sequences [N, T, E]. */
static ito_tensor *rows(ito_tensor *x, int64_t from, int64_t to)
{
    return ito_slice(x, 1, from, to, 1);
}

/* ---- groups of heads ---- */

/* Two heads of keys and values that each serve two heads are four with equal rows. */
Test(transformer, groups_share_keys_and_values)
{
    ito_generator g = ito_generator_make(1, 0);
    mha *grouped = ito_multi_head_attention_create(NULL, "", 8, 4, .num_kv_heads = 2,
                                                   .generator = &g, .dtype = ITO_F64);
    mha *full = ito_multi_head_attention_create(NULL, "", 8, 4, .generator = &g, .dtype = ITO_F64);
    cr_assert(grouped != NULL && full != NULL, "%s", ito_error());
    cr_expect_eq(ito_size(grouped->in_proj_weight, 0), 8 + 2 * 4);
    /* Rows of heads of two: queries 0 to 7, then keys 8 9 | 10 11, then values 12 13 | 14 15. */
    const int64_t row[24] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  8,  9,
                             10, 11, 10, 11, 12, 13, 12, 13, 14, 15, 14, 15};
    ito_tensor *index = ito_from_data(row, ITO_SHAPE(24), ITO_I64);
    ITO_NO_GRAD
    {
        ito_copy_(full->in_proj_weight, ito_index_select(grouped->in_proj_weight, 0, index));
        ito_copy_(full->out_proj->weight, grouped->out_proj->weight);
    }
    ito_tensor *x = random_f64(0, ITO_SHAPE(5, 2, 8));
    cr_expect_lt(largest_difference(ito_module_forward(&grouped->base, x),
                                    ito_module_forward(&full->base, x)),
                 1e-14);
    ito_module_free(&grouped->base);
    ito_module_free(&full->base);
}

/* ---- the rotary embedding ---- */

/* Scores depend on differences of positions alone: attention to a cache whose first positions are
 * hidden is attention without them. */
Test(transformer, the_rotary_embedding_is_of_differences)
{
    ito_generator g = ito_generator_make(1, 0);
    mha *l = ito_multi_head_attention_create(NULL, "", 8, 2, .generator = &g, .rotary = true,
                                             .batch_first = true, .dtype = ITO_F64);
    cr_assert_not_null(l, "%s", ito_error());
    ito_tensor *x = random_f64(0, ITO_SHAPE(1, 6, 8));
    bool hides[6] = {true, true};
    ito_tensor *padding = ito_from_data(hides, ITO_SHAPE(1, 6), ITO_BOOL);
    ito_tensor *whole = ito_multi_head_attention_forward(l, x, x, x, .key_padding_mask = padding);
    ito_tensor *part = rows(x, 2, 6);
    part = ito_multi_head_attention_forward(l, part, part, part, .is_causal = false);
    cr_expect_lt(largest_difference(rows(whole, 2, 6), part), 1e-14);
    /* But on differences they do depend. */
    ito_tensor *mirrored =
        ito_multi_head_attention_forward(l, x, ito_flip(x, 1), ito_flip(x, 1), .is_causal = false);
    ito_tensor *plain = ito_multi_head_attention_forward(l, x, x, x, .is_causal = false);
    cr_expect_gt(largest_difference(mirrored, plain), 1e-3);
    ito_module_free(&l->base);
}

/* ---- the cache ---- */

/* A language model's stack, in parts of 1, 3 and 2 positions, is that of all six at once. */
Test(transformer, a_cache_makes_a_sequence_step_by_step)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_transformer_stack *s = ito_transformer_encoder_create(
        NULL, "", 8, 4, 2, .dim_feedforward = 16, .generator = &g, .batch_first = true,
        .norm_first = true, .num_kv_heads = 2, .rotary = true, .norm = true, .dtype = ITO_F64);
    cr_assert_not_null(s, "%s", ito_error());
    ito_module_train(&s->base, false);
    ito_tensor *x = random_f64(0, ITO_SHAPE(3, 6, 8));
    ito_tensor *whole = ito_transformer_encoder_forward(s, x, .is_causal = true);
    const int64_t bounds[] = {0, 1, 4, 6};
    ito_kv_cache caches[2] = {{0}};
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++) {
            ito_no_grad_begin();
            ito_tensor *part = ito_transformer_encoder_forward(s, rows(x, bounds[i], bounds[i + 1]),
                                                               .is_causal = true, .cache = caches);
            ito_no_grad_end();
            cr_expect_lt(largest_difference(part, rows(whole, bounds[i], bounds[i + 1])), 1e-13);
            cr_expect_eq(caches[1].length, bounds[i + 1]);
        }
        caches[0].length = caches[1].length = 0; /* again, in the same memory */
    }
    ito_kv_cache_free(&caches[0]);
    ito_kv_cache_free(&caches[1]);
    ito_kv_cache_free(NULL);
    ito_module_free(&s->base);
}

/* Padding counts what is in the cache. */
Test(transformer, a_cache_goes_with_masks)
{
    ito_generator g = ito_generator_make(1, 0);
    mha *l = ito_multi_head_attention_create(NULL, "", 8, 2, .generator = &g, .batch_first = true,
                                             .dtype = ITO_F64);
    ito_tensor *x = random_f64(0, ITO_SHAPE(2, 5, 8));
    bool hides[10] = {true, [7] = true};
    ito_tensor *padding = ito_from_data(hides, ITO_SHAPE(2, 5), ITO_BOOL);
    ito_tensor *numbers = ito_masked_fill(ito_zeros(ITO_SHAPE(2, 5), ITO_F64), padding, -HUGE_VAL);
    ito_tensor *whole = ito_multi_head_attention_forward(l, x, x, x, .key_padding_mask = padding,
                                                         .is_causal = true);
    ito_tensor *const masks[] = {padding, numbers};
    for (int k = 0; k < 2; k++) {
        ito_kv_cache cache = {0};
        ito_no_grad_begin();
        ito_tensor *a = rows(x, 0, 2), *b = rows(x, 2, 5);
        cr_expect_not_null(
            ito_multi_head_attention_forward(l, a, a, a, .is_causal = true, .cache = &cache));
        b = ito_multi_head_attention_forward(l, b, b, b, .key_padding_mask = masks[k],
                                             .is_causal = true, .cache = &cache);
        ito_no_grad_end();
        cr_expect_lt(largest_difference(b, rows(whole, 2, 5)), 1e-14);
        ito_kv_cache_free(&cache);
    }
    ito_module_free(&l->base);
}

/* ---- a query that sees nothing, and dropout ---- */

Test(transformer, a_query_that_every_key_is_hidden_from_gives_the_bias)
{
    ito_generator g = ito_generator_make(1, 0);
    mha *l = ito_multi_head_attention_create(NULL, "", 4, 2, .generator = &g, .dtype = ITO_F64);
    ito_fill_(ito_detach(l->out_proj->bias), 7);
    ito_tensor *x = random_f64(0, ITO_SHAPE(3, 1, 4));
    ito_tensor *all = ito_full(ITO_SHAPE(1, 3), 1, ITO_BOOL);
    ito_tensor *y = ito_multi_head_attention_forward(l, x, x, x, .key_padding_mask = all);
    cr_assert_not_null(y, "%s", ito_error());
    for (int64_t i = 0; i < 12; i++)
        cr_expect_eq(element(y, i), 7);
    ito_module_free(&l->base);
}

Test(transformer, dropout_is_drawn_in_training_only_from_each_layers_own_stream)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_transformer_encoder_layer *l = ito_transformer_encoder_layer_create(
        NULL, "", 8, 2, .dim_feedforward = 16, .generator = &g, .dropout = 0.5, .dtype = ITO_F64);
    ito_named_generators *all = ito_module_generators(&l->base);
    cr_expect_eq(all->n, 4);
    ito_module_seed(&l->base, 3, 0);
    ito_tensor *x = random_f64(0, ITO_SHAPE(5, 2, 8));
    ito_tensor *a = ito_module_forward(&l->base, x), *b = ito_module_forward(&l->base, x);
    cr_expect_gt(largest_difference(a, b), 1e-3);
    for (int64_t i = 0; i < all->n; i++)
        cr_expect(all->generators[i]->offset > 0, "%s", all->names[i]);
    ito_module_seed(&l->base, 3, 0);
    cr_expect_eq(largest_difference(a, ito_module_forward(&l->base, x)), 0);
    ito_module_train(&l->base, false);
    cr_expect_eq(
        largest_difference(ito_module_forward(&l->base, x), ito_module_forward(&l->base, x)), 0);
    ito_named_generators_free(all);
    ito_module_free(&l->base);
}

/* ---- training ---- */

/* The next of a sequence of tokens in which each is its predecessor's successor, mod 5. */
Test(transformer, a_small_language_model_learns)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_embedding_layer *embed = ito_embedding_create(m, "embed", 5, 8, .generator = &g);
    ito_transformer_stack *s = ito_transformer_encoder_create(
        m, "blocks", 8, 2, 2, .dim_feedforward = 16, .dropout = 0, .generator = &g,
        .batch_first = true, .norm_first = true, .rotary = true, .norm = true);
    ito_linear_layer *head = ito_linear_create(m, "head", 8, 5, .generator = &g);
    ito_optimizer *opt = ito_adam_create(m);
    double first = 0, last = 0;
    for (int k = 0; k < 60; k++) {
        ito_scope_begin();
        int64_t tokens[4][6], next[4 * 6];
        for (int i = 0; i < 4; i++)
            for (int t = 0; t < 6; t++) {
                tokens[i][t] = (k + 2 * i + t) % 5;
                next[6 * i + t] = (k + 2 * i + t + 1) % 5;
            }
        ito_tensor *x =
            ito_embedding_forward(embed, ito_from_data(tokens, ITO_SHAPE(4, 6), ITO_I64));
        x = ito_transformer_encoder_forward(s, x, .is_causal = true);
        x = ito_reshape(ito_linear_forward(head, x), 24, 5);
        ito_tensor *loss = ito_cross_entropy(x, ito_from_data(next, ITO_SHAPE(24), ITO_I64));
        ito_module_zero_grad(m);
        cr_assert_eq(ito_backward(loss), ITO_OK, "%s", ito_error());
        cr_assert_eq(ito_optimizer_step(opt, 0.02), ITO_OK);
        last = ito_item(loss);
        first = k == 0 ? last : first;
        ito_scope_end();
    }
    cr_expect(last < 0.1 && first > 1, "%g, then %g", first, last);
    ito_optimizer_free(opt);
    ito_module_free(m);
}

static ito_tensor *through(ito_tensor *const *in, int64_t n, void *layer)
{
    (void)n;
    return ito_transformer_encoder_layer_forward(layer, in[0], .is_causal = true);
}

Test(transformer, gradients_are_right_and_so_are_theirs)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_transformer_encoder_layer *l = ito_transformer_encoder_layer_create(
        NULL, "", 4, 2, .dim_feedforward = 4, .dropout = 0, .generator = &g, .num_kv_heads = 1,
        .rotary = true, .activation = ito_silu, .dtype = ITO_F64);
    cr_assert_not_null(l, "%s", ito_error());
    ito_named_tensors *p = ito_module_parameters(&l->base);
    ito_tensor *in[16] = {ito_requires_grad(random_f64(0, ITO_SHAPE(3, 2, 4)), true)};
    cr_assert_lt(p->n, 16);
    for (int64_t i = 0; i < p->n; i++)
        in[i + 1] = p->tensors[i];
    cr_expect_eq(ito_gradcheck(through, l, in, p->n + 1), ITO_OK, "%s", ito_error());
    cr_expect_eq(ito_gradgradcheck(through, l, in, p->n + 1, .elements = 4), ITO_OK, "%s",
                 ito_error());
    ito_named_tensors_free(p);
    ito_module_free(&l->base);
}

/* ---- refused ---- */

#define CREATE(embed, heads, ...)                                                                  \
    ito_multi_head_attention_create(NULL, "", embed, heads, __VA_ARGS__)

Test(transformer, layers_that_cannot_be_are_refused)
{
    expect_refused(CREATE(8, 3, .dropout = 0), ITO_ERR_ARGUMENT,
                   "multi_head_attention: 8 features do not form 3 heads");
    expect_refused(CREATE(8, 4, .num_kv_heads = 3), ITO_ERR_ARGUMENT,
                   "multi_head_attention: 4 heads do not form 3 groups");
    expect_refused(CREATE(8, 4, .kdim = -1), ITO_ERR_ARGUMENT,
                   "multi_head_attention: keys of -1 and values of 8 features; both must be "
                   "positive");
    expect_refused(CREATE(8, 4, .dropout = 1), ITO_ERR_RANGE,
                   "multi_head_attention: dropout 1 is not in [0, 1)");
    expect_refused(CREATE(6, 2, .rotary = true), ITO_ERR_ARGUMENT,
                   "multi_head_attention: heads of 3 features; for the rotary embedding their "
                   "number is even");
    expect_refused(CREATE(8, 2, .rotary = true, .rotary_base = 0), ITO_ERR_RANGE,
                   "multi_head_attention: rotary_base 0; it is above 0 and finite");
    expect_refused(CREATE(8, 2, .dtype = ITO_BF16), ITO_ERR_DTYPE,
                   "multi_head_attention: parameters are f32 or f64, not bf16; bf16 inputs take "
                   "f32 parameters");
    expect_refused(ito_transformer_encoder_create(NULL, "", 8, 2, 0), ITO_ERR_ARGUMENT,
                   "transformer: 0 layers; there are 1 to 1000000");
    expect_refused(ito_transformer_decoder_layer_create(NULL, "", 8, 2, .dim_feedforward = 0),
                   ITO_ERR_ARGUMENT, "linear: 8 inputs and 0 outputs; both must be positive");
}

Test(transformer, inputs_that_do_not_fit_are_refused)
{
    mha *l = CREATE(8, 2, .batch_first = true);
    ito_tensor *x = ito_ones(ITO_SHAPE(2, 3, 8), ITO_F32),
               *y = ito_ones(ITO_SHAPE(2, 3, 4), ITO_F32);
    ito_tensor *alone = ito_ones(ITO_SHAPE(3, 8), ITO_F32);
    expect_refused(ito_multi_head_attention_forward(l, y, x, x, .is_causal = false), ITO_ERR_SHAPE,
                   "multi_head_attention: the query is [2, 3, 4]; it has 2 or 3 axes like the "
                   "query, and 8 features");
    expect_refused(
        ito_multi_head_attention_forward(l, x, alone, x, .is_causal = false), ITO_ERR_SHAPE,
        "multi_head_attention: the key is [3, 8]; it has 2 or 3 axes like the query, and "
        "8 features");
    expect_refused(ito_multi_head_attention_forward(l, x, x, y, .is_causal = false), ITO_ERR_SHAPE,
                   "multi_head_attention: the value is [2, 3, 4]; it has 2 or 3 axes like the "
                   "query, and 8 features");
    ito_tensor *mask = ito_zeros(ITO_SHAPE(2, 3), ITO_BOOL);
    expect_refused(ito_multi_head_attention_forward(l, x, x, x, .attn_mask = mask), ITO_ERR_SHAPE,
                   "multi_head_attention: attn_mask is [2, 3]; it is [3, 3] or [4, 3, 3]");
    expect_refused(
        ito_multi_head_attention_forward(l, x, x, x, .key_padding_mask = ito_transpose(mask, 0, 1)),
        ITO_ERR_SHAPE, "multi_head_attention: key_padding_mask is [3, 2]; it is [2, 3]");
    ito_kv_cache cache = {0};
    expect_refused(ito_multi_head_attention_forward(l, x, x, x, .cache = &cache), ITO_ERR_GRAD,
                   "multi_head_attention: a cache keeps no history; use it in ITO_NO_GRAD");
    ITO_NO_GRAD
    {
        cr_expect_not_null(ito_multi_head_attention_forward(l, x, x, x, .cache = &cache));
        ito_tensor *one = rows(ito_narrow(x, 0, 0, 1), 0, 1);
        expect_refused(ito_multi_head_attention_forward(l, one, one, one, .cache = &cache),
                       ITO_ERR_SHAPE,
                       "multi_head_attention: keys [1, 2, 1, 4] of f32 do not go behind those of "
                       "the cache, [2, 2, 3, 4] of f32");
    }
    cr_expect_null(ito_multi_head_attention_forward(l, NULL, x, x, .is_causal = true));
    ito_kv_cache_free(&cache);
    ito_module_free(&l->base);
}

/* ---- memory ---- */

static ito_status run_all(void *unused)
{
    (void)unused;
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_transformer_stack *e = NULL, *d = NULL;
    if (m != NULL)
        e = ito_transformer_encoder_create(m, "e", 4, 2, 1, .dim_feedforward = 4, .rotary = true);
    if (e != NULL)
        d = ito_transformer_decoder_create(m, "d", 4, 2, 1, .dim_feedforward = 4, .norm = true);
    ito_kv_cache cache = {0};
    ito_tensor *y = NULL;
    if (d != NULL) {
        ito_no_grad_begin();
        ito_tensor *x = ito_ones(ITO_SHAPE(2, 1, 4), ITO_F32);
        ito_tensor *mask = ito_zeros(ITO_SHAPE(2, 2), ITO_BOOL);
        y = mask == NULL
                ? NULL
                : ito_transformer_encoder_forward(e, x, .attn_mask = mask, .is_causal = true);
        for (int i = 0; i < 2 && y != NULL; i++)
            y = ito_transformer_decoder_forward(d, x, y, .tgt_is_causal = true, .cache = &cache);
        ito_no_grad_end();
    }
    ito_kv_cache_free(&cache);
    ito_module_free(m);
    return y != NULL ? ITO_OK : ito_error_code();
}

Test(transformer, failed_allocations_are_errors_and_leak_nothing)
{
    cr_expect_gt(count_failed_allocations(run_all, NULL), 100);
}
