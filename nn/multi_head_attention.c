/* Attention with several heads, its masks in PyTorch's sense, and the cache of keys and values.
 * Inside, tensors are [N, heads, T, D], as the operation takes them. */
#include "autograd/graph.h"
#include "autograd/ops.h"
#include "nn/init.h"
#include "nn/layer.h"
#include "nn/layers_transformer.h"
#include "tensor/internal.h"

#include <math.h>

typedef ito_multi_head_attention_layer mha;

/* ---- creation ----------------------------------------------------------------------------------
 */

static bool sizes_fit(int64_t embed_dim, int64_t num_heads,
                      const ito_multi_head_attention_options *o)
{
    const char *op = "multi_head_attention";
    if (embed_dim < 1 || num_heads < 1 || embed_dim % num_heads != 0)
        return error_false(ITO_ERR_ARGUMENT,
                           "%s: %" PRId64 " features do not form %" PRId64 " heads", op, embed_dim,
                           num_heads);
    if (o->num_kv_heads < 1 || num_heads % o->num_kv_heads != 0)
        return error_false(ITO_ERR_ARGUMENT, "%s: %" PRId64 " heads do not form %" PRId64 " groups",
                           op, num_heads, o->num_kv_heads);
    if (o->kdim < 1 || o->vdim < 1)
        return error_false(ITO_ERR_ARGUMENT,
                           "%s: keys of %" PRId64 " and values of %" PRId64
                           " features; both must be positive",
                           op, o->kdim, o->vdim);
    if (!(o->dropout >= 0 && o->dropout < 1))
        return error_false(ITO_ERR_RANGE, "%s: dropout %g is not in [0, 1)", op, o->dropout);
    if (o->rotary && embed_dim / num_heads % 2 != 0)
        return error_false(ITO_ERR_ARGUMENT,
                           "%s: heads of %" PRId64 " features; for the rotary embedding their "
                           "number is even",
                           op, embed_dim / num_heads);
    if (o->rotary && !(o->rotary_base > 0 && o->rotary_base < HUGE_VAL))
        return error_false(ITO_ERR_RANGE, "%s: rotary_base %g; it is above 0 and finite", op,
                           o->rotary_base);
    return layer_dtype_fits(op, o->dtype);
}

/* A weight [rows, columns], drawn if there is a generator. */
static ito_tensor *projection(mha *l, const char *name, int64_t rows, int64_t columns,
                              const ito_multi_head_attention_options *o)
{
    ito_tensor *w = ito_zeros(ITO_SHAPE(rows, columns), o->dtype);
    if (o->generator != NULL)
        w = ito_init_glorot_uniform(w, 1, o->generator);
    return ito_module_parameter(&l->base, name, w);
}

static bool add_projections(mha *l, const ito_multi_head_attention_options *o)
{
    int64_t e = l->embed_dim, kv = e / l->num_heads * l->num_kv_heads;
    if (o->kdim == e && o->vdim == e) {
        l->in_proj_weight = projection(l, "in_proj_weight", e + 2 * kv, e, o);
    } else {
        l->q_proj_weight = projection(l, "q_proj_weight", e, e, o);
        l->k_proj_weight = projection(l, "k_proj_weight", kv, o->kdim, o);
        l->v_proj_weight = projection(l, "v_proj_weight", kv, o->vdim, o);
    }
    bool weights =
        l->in_proj_weight != NULL ||
        (l->q_proj_weight != NULL && l->k_proj_weight != NULL && l->v_proj_weight != NULL);
    if (!weights)
        return false;
    if (o->bias)
        l->in_proj_bias = ito_module_parameter(&l->base, "in_proj_bias",
                                               ito_zeros(ITO_SHAPE(e + 2 * kv), o->dtype));
    l->out_proj = ito_linear_create(&l->base, "out_proj", e, e, .generator = o->generator,
                                    .bias = o->bias, .dtype = o->dtype);
    if (l->out_proj == NULL || (o->bias && l->in_proj_bias == NULL))
        return false;
    return !o->bias || ito_init_constant(l->out_proj->bias, 0) != NULL;
}

/* A sequence alone in a sequential network: attention to itself. */
static ito_tensor *self_attention(ito_module *self, ito_tensor *x)
{
    return ito_multi_head_attention_forward((mha *)self, x, x, x);
}

ito_multi_head_attention_layer *
ito_multi_head_attention_create_with(ito_module *parent, const char *name, int64_t embed_dim,
                                     int64_t num_heads, ito_multi_head_attention_options o)
{
    o.kdim = o.kdim != 0 ? o.kdim : embed_dim;
    o.vdim = o.vdim != 0 ? o.vdim : embed_dim;
    o.num_kv_heads = o.num_kv_heads != 0 ? o.num_kv_heads : num_heads;
    if (!sizes_fit(embed_dim, num_heads, &o))
        return NULL;
    mha *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = self_attention;
    l->embed_dim = embed_dim;
    l->num_heads = num_heads;
    l->num_kv_heads = o.num_kv_heads;
    l->dropout = o.dropout;
    l->batch_first = o.batch_first;
    l->rotary = o.rotary;
    l->rotary_interleaved = o.rotary_interleaved;
    l->rotary_base = o.rotary_base;
    if (add_projections(l, &o) &&
        ito_module_generator(&l->base, "generator", &l->generator) == ITO_OK)
        return l;
    ito_module_free(&l->base);
    return NULL;
}

/* ---- the cache ---------------------------------------------------------------------------------
 */

void ito_kv_cache_free(ito_kv_cache *cache)
{
    if (cache == NULL)
        return;
    ito_release(cache->keys);
    ito_release(cache->values);
    *cache = (ito_kv_cache){0};
}

/* Replace *kept [N, heads, room, D] by one with room for n positions, the first `used` copied. */
static bool make_room(ito_tensor **kept, const ito_tensor *like, int64_t used, int64_t n)
{
    if (*kept != NULL && (*kept)->shape[2] >= n)
        return true;
    ito_shape shape = ito_shape_of(like);
    shape.dim[2] = *kept != NULL && 2 * (*kept)->shape[2] > n ? 2 * (*kept)->shape[2] : n;
    ito_tensor *larger = tensor_empty(shape, like->dtype);
    if (larger == NULL)
        return false;
    if (used > 0 &&
        ito_copy_(ito_narrow(larger, 2, 0, used), ito_narrow(*kept, 2, 0, used)) == NULL)
        return false;
    ito_release(*kept);
    *kept = tensor_disown(larger);
    return true;
}

static bool cache_fits(const ito_kv_cache *c, const ito_tensor *k)
{
    ito_shape kept = ito_shape_of(c->keys), more = ito_shape_of(k);
    kept.dim[2] = more.dim[2];
    return (shape_equal(kept, more) && c->keys->dtype == k->dtype) ||
           error_false(ITO_ERR_SHAPE,
                       "multi_head_attention: keys %s of %s do not go behind those of the cache, "
                       "%s of %s",
                       tensor_shape_str(k), ito_dtype_name(k->dtype), tensor_shape_str(c->keys),
                       ito_dtype_name(c->keys->dtype));
}

/* Put *k and *v behind what is in the cache; they become all of it. */
static bool append(ito_kv_cache *c, ito_tensor **k, ito_tensor **v)
{
    if (tensor_needs_grad(*k) || tensor_needs_grad(*v))
        return error_false(ITO_ERR_GRAD,
                           "multi_head_attention: a cache keeps no history; use it in "
                           "ITO_NO_GRAD");
    if (c->keys == NULL)
        c->length = 0;
    else if (!cache_fits(c, *k))
        return false;
    int64_t more = (*k)->shape[2], n = c->length + more;
    if (!make_room(&c->keys, *k, c->length, n) || !make_room(&c->values, *v, c->length, n) ||
        ito_copy_(ito_narrow(c->keys, 2, c->length, more), *k) == NULL ||
        ito_copy_(ito_narrow(c->values, 2, c->length, more), *v) == NULL)
        return false;
    c->length = n;
    *k = ito_narrow(c->keys, 2, 0, n);
    *v = ito_narrow(c->values, 2, 0, n);
    return *k != NULL && *v != NULL;
}

/* ---- masks -------------------------------------------------------------------------------------
 */

/* Where a mask of bool, in which true hides, lets through. */
static ito_tensor *visible(ito_tensor *hidden)
{
    return ito_eq(hidden, ito_zeros_like(hidden));
}

/* What is added to scores of dtype: a mask of numbers as it is, one of bool as -infinity. */
static ito_tensor *as_addend(ito_tensor *mask, ito_dtype dtype)
{
    if (mask == NULL || mask->dtype != ITO_BOOL)
        return mask;
    return ito_masked_fill(ito_zeros(ito_shape_of(mask), dtype), mask, -HUGE_VAL);
}

static bool is_bool(const ito_tensor *mask)
{
    return mask != NULL && mask->dtype == ITO_BOOL;
}

/* A mask in PyTorch's sense, and a second one or NULL, as the operation takes them: bool that lets
 * through, if both are bool. */
static ito_tensor *for_operation(ito_tensor *a, ito_tensor *b, ito_dtype dtype)
{
    if (b == NULL)
        return is_bool(a) ? visible(a) : a;
    if (is_bool(a) && is_bool(b))
        return ito_mul(visible(a), visible(b));
    return ito_add(as_addend(a, dtype), as_addend(b, dtype));
}

/* Queries are the last of s positions: which keys come after them, [t, s]. */
static ito_tensor *future(int64_t t, int64_t s)
{
    ito_tensor *query = ito_arange((double)(s - t), (double)s, 1, ITO_I64);
    return ito_gt(ito_arange(0, (double)s, 1, ITO_I64), ito_unsqueeze(query, 1));
}

/* The masks of a call, and the shapes that they must fit. */
typedef struct call {
    int64_t n, heads, t, s;
    ito_dtype dtype; /* of masks that are numbers */
    ito_attend_options o;
} call;

static bool mask_is(const char *what, const ito_tensor *mask, ito_shape one, ito_shape other)
{
    if (shape_equal(ito_shape_of(mask), one) || shape_equal(ito_shape_of(mask), other))
        return true;
    bool same = shape_equal(one, other);
    return error_false(ITO_ERR_SHAPE, "multi_head_attention: %s is %s; it is %s%s%s", what,
                       tensor_shape_str(mask), shape_str(one), same ? "" : " or ",
                       same ? "" : shape_str(other));
}

/* *mask: NULL if nothing is hidden. *causal: whether the operation itself hides the future. */
static bool masks_of(const call *c, ito_tensor **mask, bool *causal)
{
    ito_tensor *attn = c->o.attn_mask, *padding = c->o.key_padding_mask;
    if (attn != NULL) {
        if (!mask_is("attn_mask", attn, ITO_SHAPE(c->t, c->s),
                     ITO_SHAPE(c->n * c->heads, c->t, c->s)))
            return false;
        if (attn->ndim == 3)
            attn = ito_reshape(attn, c->n, c->heads, c->t, c->s);
        if (attn == NULL)
            return false;
    }
    if (padding != NULL) {
        ito_shape one = c->n == 1 ? ITO_SHAPE(c->s) : ITO_SHAPE(c->n, c->s);
        if (!mask_is("key_padding_mask", padding, ITO_SHAPE(c->n, c->s), one))
            return false;
        padding = ito_reshape(padding, c->n, 1, 1, c->s);
        if (padding == NULL)
            return false;
    }
    /* With a cache the future is that of the last queries, which the operation does not know. */
    *causal = c->o.is_causal && c->t == c->s;
    if (c->o.is_causal && !*causal && c->t > 1) {
        ito_tensor *hidden = future(c->t, c->s);
        if (hidden == NULL)
            return false;
        if (padding == NULL)
            padding = hidden;
        else if (is_bool(padding))
            padding = ito_add(padding, hidden);
        else
            padding = ito_add(padding, as_addend(hidden, c->dtype));
        if (padding == NULL)
            return false;
    }
    *mask = NULL;
    if (attn == NULL && padding == NULL)
        return true;
    *mask = attn != NULL ? for_operation(attn, padding, c->dtype)
                         : for_operation(padding, NULL, c->dtype);
    return *mask != NULL;
}

/* ---- forward -----------------------------------------------------------------------------------
 */

/* Rows [first, first + count) of the weights and the bias, applied to x. */
static ito_tensor *project_part(const mha *l, ito_tensor *x, ito_tensor *own, int64_t first,
                                int64_t count)
{
    ito_tensor *w = own != NULL
                        ? layer_value(&l->base, own)
                        : ito_narrow(layer_value(&l->base, l->in_proj_weight), 0, first, count);
    ito_tensor *b = l->in_proj_bias == NULL ? NULL : ito_narrow(l->in_proj_bias, 0, first, count);
    return w == NULL || (b == NULL && l->in_proj_bias != NULL) ? NULL : ito_linear(x, w, b);
}

/* [N, T, heads D] to [N, heads, T, D]. */
static ito_tensor *split_heads(ito_tensor *x, int64_t heads)
{
    if (x == NULL)
        return NULL;
    x = ito_reshape(x, x->shape[0], x->shape[1], heads, x->shape[2] / heads);
    return ito_permute(x, 0, 2, 1, 3);
}

/* Queries, keys and values [N, heads, T, D] of inputs [N, T, features]. */
static bool project(const mha *l, ito_tensor *const in[3], ito_tensor *out[3])
{
    int64_t e = l->embed_dim, kv = e / l->num_heads * l->num_kv_heads;
    const int64_t first[] = {0, e, e + kv}, count[] = {e, kv, kv};
    ito_tensor *const own[] = {l->q_proj_weight, l->k_proj_weight, l->v_proj_weight};
    bool same = l->in_proj_weight != NULL && in[0] == in[1] && in[1] == in[2];
    ito_tensor *all = NULL;
    if (same)
        all = ito_linear(in[0], layer_value(&l->base, l->in_proj_weight), l->in_proj_bias);
    for (int i = 0; i < 3; i++) {
        ito_tensor *part = same ? ito_narrow(all, 2, first[i], count[i])
                                : project_part(l, in[i], own[i], first[i], count[i]);
        out[i] = split_heads(part, i == 0 ? l->num_heads : l->num_kv_heads);
        if (out[i] == NULL)
            return false;
    }
    return true;
}

static ito_tensor *rotated(const mha *l, ito_tensor *x, int64_t start)
{
    return l->rotary ? ito_rotary_embedding(x, .start = start, .base = l->rotary_base,
                                            .interleaved = l->rotary_interleaved)
                     : x;
}

/* in: [N, T, features], batch first. */
static ito_tensor *attend(mha *l, ito_tensor *const in[3], ito_attend_options o)
{
    ito_tensor *p[3]; /* queries, keys, values */
    if (!project(l, in, p))
        return NULL;
    int64_t past = o.cache != NULL && o.cache->keys != NULL ? o.cache->length : 0;
    p[0] = rotated(l, p[0], past);
    p[1] = rotated(l, p[1], past);
    if (p[0] == NULL || p[1] == NULL || (o.cache != NULL && !append(o.cache, &p[1], &p[2])))
        return NULL;
    call c = {.n = in[0]->shape[0],
              .heads = l->num_heads,
              .t = in[0]->shape[1],
              .s = p[1]->shape[2],
              .dtype = p[0]->dtype == ITO_BF16 ? ITO_F32 : p[0]->dtype,
              .o = o};
    ito_tensor *mask;
    bool causal, drops = l->base.training && l->dropout > 0;
    if (!masks_of(&c, &mask, &causal))
        return NULL;
    ito_tensor *y = ito_scaled_dot_product_attention(
        p[0], p[1], p[2], .attn_mask = mask, .is_causal = causal,
        .dropout_p = drops ? l->dropout : 0, .generator = drops ? &l->generator : NULL,
        .enable_gqa = l->num_kv_heads != l->num_heads);
    y = ito_reshape(ito_permute(y, 0, 2, 1, 3), c.n, c.t, l->embed_dim);
    return ito_linear_forward(l->out_proj, y);
}

static bool input_fits(const char *what, const ito_tensor *x, const ito_tensor *query,
                       int64_t features)
{
    return ((x->ndim == 2 || x->ndim == 3) && x->ndim == query->ndim &&
            x->shape[x->ndim - 1] == features) ||
           error_false(ITO_ERR_SHAPE,
                       "multi_head_attention: the %s is %s; it has 2 or 3 axes like the query, and "
                       "%" PRId64 " features",
                       what, tensor_shape_str(x), features);
}

/* [T, N, E] or [T, E] as [N, T, E]. */
static ito_tensor *batch_first(const mha *l, ito_tensor *x)
{
    return x->ndim == 2 ? ito_unsqueeze(x, 0) : l->batch_first ? x : ito_transpose(x, 0, 1);
}

ito_tensor *ito_multi_head_attention_forward_with(ito_multi_head_attention_layer *layer,
                                                  ito_tensor *query, ito_tensor *key,
                                                  ito_tensor *value, ito_attend_options options)
{
    if (layer == NULL || query == NULL || key == NULL || value == NULL)
        return NULL;
    bool one = layer->in_proj_weight != NULL;
    int64_t e = layer->embed_dim;
    if (!input_fits("query", query, query, e) ||
        !input_fits("key", key, query, one ? e : layer->k_proj_weight->shape[1]) ||
        !input_fits("value", value, query, one ? e : layer->v_proj_weight->shape[1]))
        return NULL;
    ito_scope_begin();
    ito_tensor *q = batch_first(layer, query);
    ito_tensor *k = key == query ? q : batch_first(layer, key);
    ito_tensor *v = value == query ? q : value == key ? k : batch_first(layer, value);
    ito_tensor *y = NULL;
    if (q != NULL && k != NULL && v != NULL)
        y = attend(layer, (ito_tensor *const[]){q, k, v}, options);
    if (query->ndim == 2)
        y = ito_squeeze(y, 0);
    else if (!layer->batch_first)
        y = ito_transpose(y, 0, 1);
    y = ito_keep(y);
    ito_scope_end();
    return y;
}
