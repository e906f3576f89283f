/* Text from a GPT, token by token.
 * Invariant: the tokens that the next one depends on are known from the text's length alone, so
 * text is the same, to rounding, with and without a cache. */
#include "models/gpt/gpt.h"

#include "autograd/ops.h"
#include "autograd/ops_random.h"
#include "autograd/ops_reduce.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>

/* ---- one token ---------------------------------------------------------------------------------
 */

static bool draw_options_fit(double temperature, int64_t top_k, double top_p)
{
    if (!(temperature >= 0 && temperature < HUGE_VAL))
        return error_false(ITO_ERR_RANGE, "gpt_draw: temperature %g; it is 0 or more, and finite",
                           temperature);
    if (top_k < 0)
        return error_false(ITO_ERR_RANGE, "gpt_draw: top_k %" PRId64 "; it is 0 or more", top_k);
    return (top_p > 0 && top_p <= 1) ||
           error_false(ITO_ERR_RANGE, "gpt_draw: top_p %g is not in (0, 1]", top_p);
}

/* Of logits [N, V], in falling order: the one drawn, i64 [N]. */
static ito_tensor *draw_sorted(ito_tensor *logits, ito_generator *g, const ito_gpt_draw_options *o)
{
    ito_tensor *scaled = ito_mul_scalar(logits, 1 / o->temperature);
    if (o->top_p < 1) {
        ito_tensor *p = ito_softmax(scaled, 1);
        ito_tensor *before = ito_sub(ito_cumsum(p, 1), p);
        scaled = before == NULL
                     ? NULL
                     : ito_masked_fill(scaled, ito_ge(before, ito_full_like(before, o->top_p)),
                                       -HUGE_VAL);
    }
    return ito_categorical(scaled, g);
}

ito_tensor *ito_gpt_draw_with(ito_tensor *logits, ito_generator *g, ito_gpt_draw_options o)
{
    if (logits == NULL || !draw_options_fit(o.temperature, o.top_k, o.top_p))
        return NULL;
    if (logits->ndim != 2)
        return error_null(ITO_ERR_SHAPE, "gpt_draw: logits are [N, V], not %s",
                          tensor_shape_str(logits));
    if (o.temperature == 0)
        return ito_argmax(logits, .dim = 1);
    ito_scope_begin();
    int64_t v = logits->shape[1], k = o.top_k > 0 && o.top_k < v ? o.top_k : v;
    ito_tensor *token, *sorted = ito_topk(logits, k, &token);
    ito_tensor *place = sorted == NULL ? NULL : draw_sorted(sorted, g, &o);
    place = ito_unsqueeze(place, 1);
    token = place == NULL ? NULL : ito_keep(ito_squeeze(ito_gather(token, 1, place), 1));
    ito_scope_end();
    return token;
}

/* ---- many --------------------------------------------------------------------------------------
 */

typedef struct generation {
    ito_gpt *gpt;
    ito_kv_cache *cache; /* [n_layer], or NULL */
    int64_t start;       /* the first token in it */
    ito_tensor *text;    /* [N, all] */
    ito_generator *g;
    const ito_gpt_generate_options *o;
    int64_t stride;
} generation;

/* The first token that the one at `length` depends on. */
static int64_t context_start(const generation *s, int64_t length)
{
    int64_t over = length - s->gpt->block_size;
    return over <= 0 ? 0 : (over + s->stride - 1) / s->stride * s->stride;
}

/* Make the token at `length`. */
static bool step(generation *s, int64_t length)
{
    int64_t start = context_start(s, length), read = start;
    if (s->cache != NULL) {
        for (int64_t i = 0; start != s->start && i < s->gpt->n_layer; i++)
            s->cache[i].length = 0;
        s->start = start;
        read = start + s->cache->length;
    }
    ito_tensor *logits =
        ito_gpt_forward(s->gpt, ito_narrow(s->text, 1, read, length - read), .cache = s->cache);
    if (logits == NULL)
        return false;
    ito_tensor *last = ito_select(logits, 1, length - read - 1);
    ito_tensor *token = ito_gpt_draw(last, s->g, .temperature = s->o->temperature,
                                     .top_k = s->o->top_k, .top_p = s->o->top_p);
    return token != NULL && ito_copy_(ito_select(s->text, 1, length), token) != NULL;
}

static bool generate(generation *s, ito_tensor *prompt)
{
    int64_t given = prompt->shape[1], all = s->text->shape[1];
    bool good = ito_copy_(ito_narrow(s->text, 1, 0, given), prompt) != NULL;
    for (int64_t length = given; good && length < all; length++) {
        ito_scope_begin();
        good = step(s, length);
        ito_scope_end();
    }
    return good;
}

static bool generation_fits(const ito_gpt *gpt, const ito_tensor *prompt, int64_t more,
                            const ito_gpt_generate_options *o)
{
    if (prompt->ndim != 2 || prompt->shape[1] < 1 || prompt->dtype != ITO_I64)
        return error_false(ITO_ERR_SHAPE,
                           "gpt_generate: the prompt is [N, T] of i64 with T of 1 or more, not %s "
                           "of %s",
                           tensor_shape_str(prompt), ito_dtype_name(prompt->dtype));
    if (more < 0 || more > INT64_MAX - prompt->shape[1])
        return error_false(ITO_ERR_RANGE, "gpt_generate: %" PRId64 " new tokens", more);
    return (o->stride >= 0 && o->stride <= gpt->block_size) ||
           error_false(ITO_ERR_RANGE,
                       "gpt_generate: stride %" PRId64 "; it is 0 to %" PRId64 ", the block",
                       o->stride, gpt->block_size);
}

ito_tensor *ito_gpt_generate_with(ito_gpt *gpt, ito_tensor *prompt, int64_t max_new_tokens,
                                  ito_generator *g, ito_gpt_generate_options o)
{
    if (gpt == NULL || prompt == NULL || !draw_options_fit(o.temperature, o.top_k, o.top_p) ||
        !generation_fits(gpt, prompt, max_new_tokens, &o))
        return NULL;
    generation s = {
        .gpt = gpt,
        .g = g,
        .o = &o,
        .stride = o.stride > 0 ? o.stride : (gpt->block_size + 1) / 2,
        .text = ito_empty(ITO_SHAPE(prompt->shape[0], prompt->shape[1] + max_new_tokens), ITO_I64)};
    s.cache = o.use_cache ? struct_alloc((size_t)gpt->n_layer * sizeof *s.cache) : NULL;
    bool good = s.text != NULL && (s.cache != NULL || !o.use_cache);
    ito_no_grad_begin();
    good = good && generate(&s, prompt);
    ito_no_grad_end();
    for (int64_t i = 0; s.cache != NULL && i < gpt->n_layer; i++)
        ito_kv_cache_free(&s.cache[i]);
    free(s.cache);
    return good ? s.text : NULL;
}
