/* DDPM's U-Net: its layers under diffusers' names, their initial values, and the forward pass.
 * Invariant: forward makes the skips that create counted, so concatenations have the widths that
 * the blocks expect. */
#include "models/ddpm/network/unet.h"

#include "autograd/observe.h"
#include "autograd/ops.h"
#include "models/ddpm/diffusion_internal.h"
#include "models/ddpm/network/resnet.h"
#include "models/ddpm/network/unet_config.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LAYERS 17 /* layers of a level of the up path: MAX_BLOCKS + 1 */
#define MAX_SKIPS (ITO_UNET_MAX_LEVELS * MAX_LAYERS) /* conv_in, blocks and downsamplers */

typedef struct unet_layer {
    resnet_block *resnet;
    ito_attention_layer *attention; /* NULL where there is none */
} unet_layer;

/* A level of the down or up path, or the middle. */
typedef struct unet_level {
    int64_t n;
    unet_layer layer[MAX_LAYERS];
    ito_conv2d_layer *resample; /* to the next level; NULL at the end */
} unet_level;

struct unet_layers {
    ito_conv2d_layer *conv_in, *conv_out;
    ito_linear_layer *linear_1, *linear_2;
    ito_embedding_layer *class_embedding; /* NULL without classes */
    ito_group_norm_layer *conv_norm_out;
    unet_level down[ITO_UNET_MAX_LEVELS], mid, up[ITO_UNET_MAX_LEVELS];
};

/* ---- building ---- */

/* "down_blocks.0", and the rest of a name, joined to it. */
typedef struct level_name {
    char text[96];
} level_name;

static level_name name_of(const char *level, const char *kind, int64_t i)
{
    level_name n;
    snprintf(n.text, sizeof n.text, "%s.%s.%" PRId64, level, kind, i);
    return n;
}

/* Add a residual block, with attention after it if requested. */
static bool add_layer(ito_unet *u, unet_level *l, const char *name, int64_t in, int64_t out,
                      bool attention)
{
    const ito_unet_config *c = &u->config;
    int64_t i = l->n++;
    unet_layer *layer = &l->layer[i];
    layer->resnet = resnet_create(&u->base, name_of(name, "resnets", i).text, in, out,
                                  4 * c->channels, c->groups, c->dropout, c->dtype);
    if (layer->resnet == NULL)
        return false;
    if (!attention)
        return true;
    layer->attention = ito_attention_create(&u->base, name_of(name, "attentions", i).text, out,
                                            c->groups, .eps = UNET_NORM_EPS, .dtype = c->dtype);
    return layer->attention != NULL;
}

/* The widths of the skips, in the order of the down path. */
typedef struct skip_widths {
    int64_t n;
    int64_t width[MAX_SKIPS];
} skip_widths;

/* The down path of level i, for inputs of `width` channels, which becomes the level's. */
static bool add_down(ito_unet *u, int64_t i, int64_t *width, skip_widths *skips)
{
    const ito_unet_config *c = &u->config;
    unet_level *l = &u->layers->down[i];
    char name[32];
    snprintf(name, sizeof name, "down_blocks.%" PRId64, i);
    for (int64_t k = 0; k < c->blocks; k++) {
        int64_t out = c->channels * c->multipliers[i];
        if (!add_layer(u, l, name, *width, out, c->attention[i]))
            return false;
        skips->width[skips->n++] = *width = out;
    }
    if (i == c->levels - 1)
        return true;
    char conv[64];
    snprintf(conv, sizeof conv, "%s.downsamplers.0.conv", name);
    l->resample = ito_conv2d_create(&u->base, conv, *width, *width, 3, .stride = 2,
                                    .padding_end = 1, .dtype = c->dtype);
    skips->width[skips->n++] = *width;
    return l->resample != NULL;
}

/* The up path of level i; up_blocks are counted from the bottom. */
static bool add_up(ito_unet *u, int64_t i, int64_t *width, skip_widths *skips)
{
    const ito_unet_config *c = &u->config;
    unet_level *l = &u->layers->up[i];
    char name[32];
    snprintf(name, sizeof name, "up_blocks.%" PRId64, c->levels - 1 - i);
    for (int64_t k = 0; k < c->blocks + 1; k++) {
        int64_t in = *width + skips->width[--skips->n];
        *width = c->channels * c->multipliers[i];
        if (!add_layer(u, l, name, in, *width, c->attention[i]))
            return false;
    }
    if (i == 0)
        return true;
    char conv[64];
    snprintf(conv, sizeof conv, "%s.upsamplers.0.conv", name);
    l->resample =
        ito_conv2d_create(&u->base, conv, *width, *width, 3, .padding = 1, .dtype = c->dtype);
    return l->resample != NULL;
}

static bool add_layers(ito_unet *u)
{
    const ito_unet_config *c = &u->config;
    struct unet_layers *l = u->layers;
    int64_t ch = c->channels, width = ch;
    skip_widths skips = {.n = 1, .width = {ch}};

    int64_t seen = c->in_channels * (c->self_condition ? 2 : 1);
    l->conv_in =
        ito_conv2d_create(&u->base, "conv_in", seen, ch, 3, .padding = 1, .dtype = c->dtype);
    l->linear_1 =
        ito_linear_create(&u->base, "time_embedding.linear_1", ch, 4 * ch, .dtype = c->dtype);
    l->linear_2 =
        ito_linear_create(&u->base, "time_embedding.linear_2", 4 * ch, 4 * ch, .dtype = c->dtype);
    if (l->conv_in == NULL || l->linear_1 == NULL || l->linear_2 == NULL)
        return false;
    if (c->classes > 0) {
        l->class_embedding = ito_embedding_create(&u->base, "class_embedding", c->classes + 1,
                                                  4 * ch, .dtype = c->dtype);
        if (l->class_embedding == NULL)
            return false;
    }
    for (int64_t i = 0; i < c->levels; i++)
        if (!add_down(u, i, &width, &skips))
            return false;
    if (!add_layer(u, &l->mid, "mid_block", width, width, true) ||
        !add_layer(u, &l->mid, "mid_block", width, width, false))
        return false;
    for (int64_t i = c->levels - 1; i >= 0; i--)
        if (!add_up(u, i, &width, &skips))
            return false;
    l->conv_norm_out = ito_group_norm_create(&u->base, "conv_norm_out", width, c->groups,
                                             .eps = UNET_NORM_EPS, .dtype = c->dtype);
    l->conv_out = ito_conv2d_create(&u->base, "conv_out", width, c->out_channels, 3, .padding = 1,
                                    .dtype = c->dtype);
    return l->conv_norm_out != NULL && l->conv_out != NULL;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* The last layer of a branch or of the network begins near zero; at exactly 0 no gradient would
 * reach the layers before it. */
static ito_status initialise(ito_unet *u, ito_generator *g)
{
    ito_named_tensors *p = ito_module_parameters(&u->base);
    if (p == NULL)
        return ito_error_code();
    ito_status status = ITO_OK;
    for (int64_t i = 0; i < p->n && status == ITO_OK; i++) {
        if (p->tensors[i]->ndim < 2)
            continue;
        if (strcmp(p->names[i], "class_embedding.weight") == 0) {
            if (ito_init_normal(p->tensors[i], 0, 1, g) == NULL)
                status = ito_error_code();
            continue;
        }
        bool last = ends_with(p->names[i], ".conv2.weight") ||
                    ends_with(p->names[i], ".to_out.0.weight") ||
                    strcmp(p->names[i], "conv_out.weight") == 0;
        if (ito_init_glorot_uniform(p->tensors[i], last ? 1e-10 : 1.0, g) == NULL)
            status = ito_error_code();
    }
    ito_named_tensors_free(p);
    return status;
}

static void unet_destroy(ito_module *m)
{
    free(((ito_unet *)m)->layers);
}

static ito_tensor *evaluate(ito_network *self, const ito_network_input *in);
static ito_tensor *evaluate_perturbed(ito_network *self, const ito_network_input *in);

static ito_tensor *no_forward(ito_module *m, ito_tensor *x)
{
    (void)m;
    (void)x;
    return error_null(ITO_ERR_ARGUMENT, "unet: it takes times besides images: ito_unet_forward");
}

ito_unet *ito_unet_create(const ito_unet_config *config, ito_generator *init)
{
    ito_unet_config c = *config;
    if (unet_config_resolve(&c) != ITO_OK)
        return NULL;
    ito_unet *u = ito_module_create(NULL, "", sizeof *u);
    if (u == NULL)
        return NULL;
    u->config = c;
    u->precision = c.dtype;
    u->base.destroy = unet_destroy;
    u->base.forward = no_forward;
    u->network = (ito_network){.evaluate = evaluate, .context = u};
    u->perturbed = (ito_network){.evaluate = evaluate_perturbed, .context = u};
    u->layers = struct_alloc(sizeof *u->layers);
    ito_scope_begin(); /* for tensors whose registration fails */
    bool good =
        u->layers != NULL && add_layers(u) && (init == NULL || initialise(u, init) == ITO_OK);
    ito_scope_end();
    if (!good) {
        ito_module_free(&u->base);
        return NULL;
    }
    return u;
}

/* ---- the way through ---- */

/* y[i] = value, rounded to y's dtype. */
static void store(ito_tensor *y, int64_t i, double value)
{
    if (y->dtype == ITO_F64)
        ((double *)tensor_data(y))[i] = value;
    else
        ((float *)tensor_data(y))[i] = (float)value;
}

/* The same by operations, for whoever follows these: an element is sin or cos of the double t f. */
static ito_tensor *embedding_by_operations(ito_tensor *t, int64_t half, ito_dtype dtype)
{
    ito_tensor *frequency = tensor_empty(ITO_SHAPE(half), ITO_F64);
    if (frequency == NULL)
        return NULL;
    for (int64_t k = 0; k < half; k++)
        ((double *)tensor_data(frequency))[k] = exp(-log(10000.0) * (double)k / (double)(half - 1));
    ito_tensor *angle = ito_mul(ito_unsqueeze(ito_cast(t, ITO_F64), 1), frequency);
    return ito_cast(ito_cat(ITO_TENSORS(ito_sin(angle), ito_cos(angle)), 1), dtype);
}

ito_tensor *ito_time_embedding_with(ito_tensor *t, int64_t channels,
                                    ito_time_embedding_options options)
{
    if (t == NULL)
        return NULL;
    bool numbers = t->dtype == ITO_I64 || t->dtype == ITO_F32 || t->dtype == ITO_F64;
    if (t->ndim != 1 || !numbers || channels < 4 || channels % 2 != 0)
        return error_null(ITO_ERR_SHAPE,
                          "time_embedding: t is %s %s, channels %" PRId64
                          "; it takes [N] i64, f32 or f64 and an even number from 4 up",
                          tensor_shape_str(t), ito_dtype_name(t->dtype), channels);
    if (options.dtype != ITO_F32 && options.dtype != ITO_F64)
        return error_null(ITO_ERR_DTYPE, "time_embedding: the result is f32 or f64, not %s",
                          ito_dtype_name(options.dtype));
    int64_t n = t->shape[0], half = channels / 2;
    if (op_traced())
        return embedding_by_operations(t, half, options.dtype);
    ito_tensor *y = tensor_empty(ITO_SHAPE(n, channels), options.dtype);
    if (y == NULL)
        return NULL;
    for (int64_t k = 0; k < half; k++) {
        double frequency = exp(-log(10000.0) * (double)k / (double)(half - 1));
        for (int64_t i = 0; i < n; i++) {
            double angle = vector_at(t, i) * frequency;
            store(y, i * channels + k, sin(angle));
            store(y, i * channels + half + k, cos(angle));
        }
    }
    return y;
}

/* silu(temb) [N, 4 ch]: the embedding of the time, and of the class if there are any, for all
 * blocks. */
static ito_tensor *embed(ito_unet *u, ito_tensor *t, ito_tensor *labels)
{
    ito_scope_begin();
    ito_tensor *h = ito_time_embedding(t, u->config.channels, .dtype = u->config.dtype);
    h = ito_linear_forward(u->layers->linear_1, h);
    h = ito_linear_forward(u->layers->linear_2, ito_silu(h));
    if (u->layers->class_embedding != NULL) {
        if (labels == NULL)
            labels = ito_full(ITO_SHAPE(t->shape[0]), (double)u->config.classes, ITO_I64);
        h = ito_add(h, ito_embedding_forward(u->layers->class_embedding, labels));
    }
    h = ito_keep(ito_silu(h));
    ito_scope_end();
    return h;
}

static ito_tensor *layer_forward(const unet_layer *l, ito_tensor *x, ito_tensor *temb)
{
    ito_scope_begin();
    x = resnet_forward(l->resnet, x, temb);
    if (l->attention != NULL)
        x = ito_attention_forward(l->attention, x);
    x = ito_keep(x);
    ito_scope_end();
    return x;
}

/* The layer of the middle with the identity for the attention's map: the values go through. */
static ito_tensor *layer_perturbed(const unet_layer *l, ito_tensor *x, ito_tensor *temb)
{
    const ito_attention_layer *a = l->attention;
    ito_scope_begin();
    x = resnet_forward(l->resnet, x, temb);
    ito_tensor *h = ito_permute(ito_group_norm_forward(a->group_norm, x), 0, 2, 3, 1);
    h = ito_linear_forward(a->to_out, ito_linear_forward(a->to_v, h));
    x = ito_keep(ito_add(ito_permute(h, 0, 3, 1, 2), x));
    ito_scope_end();
    return x;
}

/* Inputs of a layer that is computed again: temb, x, and the skip beside it if there is one. */
static ito_tensor *layer_again(ito_tensor *const *in, int64_t n, void *context)
{
    unet_layer *l = context;
    ito_tensor *x = n == 3 ? ito_cat(in + 1, 2, 1) : in[1];
    return layer_forward(l, x, in[0]);
}

static ito_tensor *layer_recomputed(unet_layer *l, ito_tensor *x, ito_tensor *skip,
                                    ito_tensor *temb)
{
    ito_generator *g = resnet_noise(l->resnet);
    return ito_recompute(layer_again, l, ((ito_tensor *[]){temb, x, skip}), skip == NULL ? 2 : 3,
                         .generators = &g, .n_generators = g != NULL);
}

/* A layer on x, with the skip, if any, beside it. */
static ito_tensor *layer_apply(const ito_unet *u, unet_layer *l, ito_tensor *x, ito_tensor *skip,
                               ito_tensor *temb)
{
    ito_scope_begin();
    if (u->recompute && ito_grad_enabled()) {
        x = layer_recomputed(l, x, skip, temb);
    } else {
        /* The view sums the layer's gradients of x before they are added to others, as
         * recomputation does: the same bits. */
        x = skip == NULL ? ito_view_to(x, ito_shape_of(x)) : ito_cat(ITO_TENSORS(x, skip), 1);
        x = layer_forward(l, x, temb);
    }
    x = ito_keep(x);
    ito_scope_end();
    return x;
}

/* Release t before the end of its scope, as it is not used any more. */
static void let_go(ito_tensor *t)
{
    ito_release(tensor_disown(t));
}

/* A layer of the up path, on x and skip, which are released. */
static ito_tensor *joined_apply(const ito_unet *u, unet_layer *l, ito_tensor *x, ito_tensor *skip,
                                ito_tensor *temb)
{
    if (x == NULL || skip == NULL)
        return NULL;
    ito_tensor *y = layer_apply(u, l, x, skip, temb);
    let_go(x);
    let_go(skip);
    return y;
}

/* To the next level's size. */
static ito_tensor *upsample(ito_conv2d_layer *conv, ito_tensor *x)
{
    ito_scope_begin();
    ito_tensor *y = ito_keep(ito_conv2d_forward(conv, ito_upsample_nearest2d(x, 2)));
    ito_scope_end();
    let_go(x);
    return y;
}

/* Check that the network accepts the times and images. */
static bool check_input(const ito_unet *u, const ito_tensor *x, const ito_tensor *t)
{
    if (x->dtype != u->config.dtype)
        return error_false(ITO_ERR_DTYPE, "unet: x is %s, and the parameters are %s",
                           ito_dtype_name(x->dtype), ito_dtype_name(u->config.dtype));
    int64_t unit = (int64_t)1 << (u->config.levels - 1);
    if (x->ndim == 4 && x->shape[1] == u->config.in_channels && x->shape[2] % unit == 0 &&
        x->shape[3] % unit == 0 && t->ndim == 1 && t->shape[0] == x->shape[0])
        return true;
    ito_error_set(ITO_ERR_SHAPE,
                  "unet: x is %s and t %s; it takes [N, %" PRId64
                  ", H, W] with H and W multiples of %" PRId64 ", and [N]",
                  tensor_shape_str(x), tensor_shape_str(t), u->config.in_channels, unit);
    return false;
}

/* Everything between the time embedding and the last norm; NULL from anywhere ends up NULL. */
static ito_tensor *down_and_up(ito_unet *u, ito_tensor *x, ito_tensor *temb, bool perturbed)
{
    struct unet_layers *l = u->layers;
    ito_tensor *skips[MAX_SKIPS];
    int64_t n = 0;
    x = ito_conv2d_forward(l->conv_in, x);
    skips[n++] = x;
    for (int64_t i = 0; i < u->config.levels; i++) {
        for (int64_t k = 0; k < l->down[i].n; k++)
            skips[n++] = x = layer_apply(u, &l->down[i].layer[k], x, NULL, temb);
        if (l->down[i].resample != NULL)
            skips[n++] = x = ito_conv2d_forward(l->down[i].resample, x);
    }
    for (int64_t k = 0; k < l->mid.n; k++)
        x = perturbed && k == 0 ? layer_perturbed(&l->mid.layer[k], x, temb)
                                : layer_apply(u, &l->mid.layer[k], x, NULL, temb);
    for (int64_t i = u->config.levels - 1; i >= 0; i--) {
        for (int64_t k = 0; k < l->up[i].n; k++)
            x = joined_apply(u, &l->up[i].layer[k], x, skips[--n], temb);
        if (l->up[i].resample != NULL)
            x = upsample(l->up[i].resample, x);
    }
    return x;
}

ito_status ito_unet_set_precision(ito_unet *u, ito_dtype precision)
{
    if (u == NULL)
        return ITO_ERR_ARGUMENT;
    bool wide = u->config.dtype == ITO_F64;
    if (precision != u->config.dtype && (wide || precision != ITO_BF16))
        return ito_error_set(ITO_ERR_DTYPE,
                             wide ? "unet: precision %s is not that of the parameters, f64"
                                  : "unet: precision %s is neither f32 nor bf16",
                             ito_dtype_name(precision));
    u->precision = precision;
    return ITO_OK;
}

/* x in dtype, if the network computes in bf16. */
static ito_tensor *cast_if_bf16(const ito_unet *u, ito_tensor *x, ito_dtype dtype)
{
    return u->precision == ITO_BF16 ? ito_cast(x, dtype) : x;
}

static bool check_labels(const ito_unet *u, const ito_tensor *labels, const ito_tensor *t)
{
    if (labels == NULL)
        return true;
    if (u->config.classes == 0)
        ito_error_set(ITO_ERR_ARGUMENT, "unet: the network has no classes and takes no labels");
    else if (labels->dtype != ITO_I64 || labels->ndim != 1 || labels->shape[0] != t->shape[0])
        ito_error_set(ITO_ERR_SHAPE, "unet: labels %s %s for %" PRId64 " images; it takes [N] i64",
                      ito_dtype_name(labels->dtype), tensor_shape_str(labels), t->shape[0]);
    else
        return true;
    return false;
}

static bool check_estimate(const ito_unet *u, const ito_tensor *x_0, const ito_tensor *x)
{
    if (x_0 == NULL)
        return true;
    if (!u->config.self_condition)
        ito_error_set(ITO_ERR_ARGUMENT, "unet: it takes no earlier estimate of the images");
    else if (!shape_equal(ito_shape_of(x_0), ito_shape_of(x)))
        ito_error_set(ITO_ERR_SHAPE, "unet: the earlier estimate is %s, and the images are %s",
                      tensor_shape_str(x_0), tensor_shape_str(x));
    else
        return true;
    return false;
}

/* Labels and the earlier estimate may be NULL. */
static ito_tensor *forward(ito_unet *u, ito_tensor *x, ito_tensor *t, ito_tensor *labels,
                           ito_tensor *x_0, bool perturbed)
{
    if (x == NULL || t == NULL || !check_input(u, x, t) || !check_labels(u, labels, t) ||
        !check_estimate(u, x_0, x))
        return NULL;
    ito_dtype outside = x->dtype;
    ito_scope_begin();
    if (u->config.self_condition)
        x = ito_cat(ITO_TENSORS(x, x_0 != NULL ? x_0 : ito_zeros_like(x)), 1);
    x = down_and_up(u, cast_if_bf16(u, x, ITO_BF16), cast_if_bf16(u, embed(u, t, labels), ITO_BF16),
                    perturbed);
    x = ito_group_norm_silu_forward(u->layers->conv_norm_out, x);
    x = ito_conv2d_forward(u->layers->conv_out, x);
    x = ito_keep(cast_if_bf16(u, x, outside));
    ito_scope_end();
    return x;
}

ito_tensor *ito_unet_forward_class(ito_unet *u, ito_tensor *x, ito_tensor *t, ito_tensor *labels)
{
    return forward(u, x, t, labels, NULL, false);
}

ito_tensor *ito_unet_forward(ito_unet *u, ito_tensor *x, ito_tensor *t)
{
    return forward(u, x, t, NULL, NULL, false);
}

static ito_tensor *evaluate(ito_network *self, const ito_network_input *in)
{
    return forward(self->context, in->x, in->t, in->labels, in->x_0, false);
}

static ito_tensor *evaluate_perturbed(ito_network *self, const ito_network_input *in)
{
    return forward(self->context, in->x, in->t, in->labels, in->x_0, true);
}
