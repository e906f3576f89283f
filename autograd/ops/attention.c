/* Attention: what it takes, and what it is, made of other operations. attention_blocks.c has the
 * fast form, in which the scores are never in memory together. */
#include "autograd/ops/attention.h"
#include "autograd/ops.h"

/* ---- the definition ---- */

/* Where query i sees key j. */
static ito_tensor *causal_mask(int64_t queries, int64_t keys)
{
    ito_tensor *query = ito_arange(0, (double)queries, 1, ITO_I64);
    return ito_ge(ito_unsqueeze(query, 1), ito_arange(0, (double)keys, 1, ITO_I64));
}

static ito_tensor *masked_scores(ito_tensor *scores, ito_tensor *mask, bool causal)
{
    if (scores == NULL)
        return NULL;
    ito_tensor *none = ito_scalar(-HUGE_VAL, scores->dtype);
    if (mask != NULL && mask->dtype == ITO_BOOL)
        scores = ito_where(mask, scores, none);
    else if (mask != NULL)
        scores = ito_add(scores, ito_cast(mask, scores->dtype));
    if (causal)
        scores = ito_where(causal_mask(ito_size(scores, -2), ito_size(scores, -1)), scores, none);
    return scores;
}

/* Softmax, and 0 for rows of nothing but -infinity, without a NaN on the way. */
static ito_tensor *softmax_or_nothing(ito_tensor *scores)
{
    if (scores == NULL || ito_size(scores, -1) == 0)
        return scores;
    ito_tensor *peak = ito_max(ito_detach(scores), .dims = ITO_DIMS(-1), .keepdim = true);
    ito_tensor *any = ito_ne(peak, ito_scalar(-HUGE_VAL, scores->dtype));
    ito_tensor *zero = ito_scalar(0, scores->dtype);
    return ito_where(any, ito_softmax(ito_where(any, scores, zero), -1), zero);
}

ito_tensor *op_scaled_dot_product_attention_composite(ito_tensor *const *in, int64_t n,
                                                      const void *params)
{
    (void)n;
    const attention_params *p = params;
    ito_tensor *scores = ito_mul_scalar(ito_matmul(in[0], ito_transpose(in[1], -2, -1)),
                                        attention_scale(p, ito_size(in[0], -1)));
    ito_tensor *weights = in[3] == NULL && !p->causal
                              ? ito_softmax(scores, -1)
                              : softmax_or_nothing(masked_scores(scores, in[3], p->causal));
    if (p->dropout_p > 0) { /* as a list, whose numbers are row-major */
        ito_generator g = p->generator;
        weights = ito_reshape_to(ito_dropout(ito_reshape(weights, -1), p->dropout_p, &g),
                                 ito_shape_of(weights));
    }
    return ito_matmul(weights, in[2]);
}

/* ---- the operation ---- */

/* [batch.., rows, columns] of q, k and v with one batch for all, the broadcast one. */
static bool broadcast_batches(ito_shape *q, ito_shape *k, ito_shape *v)
{
    ito_shape *all[] = {q, k, v}, batch = {0};
    for (int i = 0; i < 3; i++) {
        ito_shape own = *all[i];
        own.ndim -= 2;
        if (!shape_broadcast(batch, own, &batch))
            return false;
    }
    for (int i = 0; i < 3; i++) {
        ito_shape own = *all[i], full = batch;
        full.dim[full.ndim++] = own.dim[own.ndim - 2];
        full.dim[full.ndim++] = own.dim[own.ndim - 1];
        *all[i] = full;
    }
    return true;
}

static bool shapes_fit(ito_shape *q, ito_shape *k, ito_shape *v)
{
    ito_shape given[] = {*q, *k, *v};
    bool fits = q->ndim >= 2 && k->ndim >= 2 && v->ndim >= 2 &&
                q->dim[q->ndim - 1] == k->dim[k->ndim - 1] &&
                k->dim[k->ndim - 2] == v->dim[v->ndim - 2] && broadcast_batches(q, k, v);
    if (!fits)
        ito_error_set(ITO_ERR_SHAPE,
                      "scaled_dot_product_attention: q %s, k %s and v %s do not fit: [.., T, D], "
                      "[.., S, D] and [.., S, E]",
                      shape_str(given[0]), shape_str(given[1]), shape_str(given[2]));
    return fits;
}

static bool mask_fits(const ito_tensor *mask, ito_shape scores)
{
    ito_shape both;
    if (mask == NULL ||
        (shape_broadcast(ito_shape_of(mask), scores, &both) && shape_equal(both, scores)))
        return true;
    return error_false(ITO_ERR_SHAPE,
                       "scaled_dot_product_attention: the mask %s does not broadcast to the scores "
                       "%s",
                       tensor_shape_str(mask), shape_str(scores));
}

static ito_tensor *expanded(ito_tensor *t, ito_shape shape)
{
    return shape_equal(ito_shape_of(t), shape) ? t : ito_expand_to(t, shape);
}

static ito_tensor *attend(ito_tensor *q, ito_tensor *k, ito_tensor *v, ito_tensor *mask,
                          const attention_params *p)
{
    if (q == NULL || k == NULL || v == NULL)
        return NULL;
    ito_shape shape[] = {ito_shape_of(q), ito_shape_of(k), ito_shape_of(v)};
    if (!shapes_fit(&shape[0], &shape[1], &shape[2]) ||
        !mask_fits(mask, attention_scores_shape(&shape[0], &shape[1])))
        return NULL;
    ito_tensor *in[] = {expanded(q, shape[0]), expanded(k, shape[1]), expanded(v, shape[2]), mask};
    return op_apply_optional(OP_scaled_dot_product_attention, in, 4, 1 << 3, p, sizeof *p);
}

/* [.., heads, rows, columns] to [.., groups, size, rows, columns]: a view. */
static ito_tensor *in_groups(ito_tensor *t, int64_t groups, int64_t size)
{
    if (t == NULL)
        return NULL;
    ito_shape shape = ito_shape_of(t);
    int heads = shape.ndim - 3;
    for (int i = shape.ndim++; i > heads; i--)
        shape.dim[i] = shape.dim[i - 1];
    shape.dim[heads] = groups;
    shape.dim[heads + 1] = size;
    return ito_reshape_to(t, shape);
}

static int64_t heads_of(const ito_tensor *t)
{
    return t->ndim < 3 ? -1 : t->shape[t->ndim - 3];
}

/* A group of query heads is a batch axis along which keys and values repeat. */
static ito_tensor *attend_in_groups(ito_tensor *q, ito_tensor *k, ito_tensor *v, ito_tensor *mask,
                                    const attention_params *p)
{
    int64_t heads = heads_of(q), groups = heads_of(k), axes = q->ndim;
    axes = k->ndim > axes ? k->ndim : axes;
    axes = v->ndim > axes ? v->ndim : axes;
    if (heads < 0 || groups < 1 || heads_of(v) != groups || heads % groups != 0 ||
        axes == ITO_MAX_DIMS)
        return error_null(ITO_ERR_SHAPE,
                          "scaled_dot_product_attention: q %s, k %s and v %s do not form groups: "
                          "[.., heads, T, D], [.., groups, S, D] and [.., groups, S, E] of up to "
                          "7 axes",
                          tensor_shape_str(q), tensor_shape_str(k), tensor_shape_str(v));
    ito_shape one_for_all = ito_shape_of(q), k_shape = ito_shape_of(k), v_shape = ito_shape_of(v);
    k_shape.dim[k_shape.ndim - 3] = v_shape.dim[v_shape.ndim - 3] = heads;
    if (!shapes_fit(&one_for_all, &k_shape, &v_shape) ||
        !mask_fits(mask, attention_scores_shape(&one_for_all, &k_shape)))
        return NULL;
    int64_t size = heads / groups;
    if (mask != NULL && mask->ndim >= 3)
        mask = heads_of(mask) == 1 ? in_groups(mask, 1, 1) : in_groups(mask, groups, size);
    ito_tensor *y = attend(in_groups(q, groups, size), in_groups(k, groups, 1),
                           in_groups(v, groups, 1), mask, p);
    one_for_all.dim[one_for_all.ndim - 1] = v_shape.dim[v_shape.ndim - 1];
    return y == NULL ? NULL : ito_reshape_to(y, one_for_all);
}

/* How many probabilities there are, or -1. */
static int64_t weights_of(const ito_tensor *y, const ito_tensor *k)
{
    ito_shape shape = ito_shape_of(y);
    shape.dim[shape.ndim - 1] = k->shape[k->ndim - 2];
    return shape_numel(shape);
}

ito_tensor *ito_scaled_dot_product_attention_with(ito_tensor *q, ito_tensor *k, ito_tensor *v,
                                                  ito_scaled_dot_product_attention_options options)
{
    ito_generator *g = options.generator;
    attention_params p = {options.scale, options.is_causal, options.dropout_p, {0}};
    if (q == NULL || k == NULL || v == NULL) /* says which, if no earlier error does */
        return op_apply_optional(OP_scaled_dot_product_attention,
                                 (ito_tensor *[]){q, k, v, options.attn_mask}, 4, 1 << 3, &p,
                                 sizeof p);
    if (!(p.dropout_p >= 0 && p.dropout_p < 1))
        return error_null(ITO_ERR_RANGE,
                          "scaled_dot_product_attention: probability %g is not in [0, 1)",
                          p.dropout_p);
    if (p.dropout_p > 0 && g == NULL)
        return error_null(ITO_ERR_ARGUMENT,
                          "scaled_dot_product_attention: dropout without a generator");
    if (p.dropout_p > 0)
        p.generator = *g;
    ito_scope_begin();
    ito_tensor *y = ito_keep(options.enable_gqa ? attend_in_groups(q, k, v, options.attn_mask, &p)
                                                : attend(q, k, v, options.attn_mask, &p));
    ito_scope_end();
    if (y != NULL && p.dropout_p > 0)
        g->offset += (uint64_t)(weights_of(y, k) + 3) / 4;
    return y;
}
