/* The levels of DDPM's U-Net: their layers under diffusers' names, and the way through them.
 * Invariant: the way through makes the skips that building counted, so concatenations have the
 * widths that the blocks expect. */
#include "models/ddpm/network/unet_blocks.h"

#include "autograd/ops.h"
#include "models/ddpm/network/unet_config.h"
#include "tensor/internal.h"

#include <stdio.h>

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

static resnet_options options_of(const ito_unet_config *c, int64_t in, int64_t out)
{
    return (resnet_options){.in = in,
                            .out = out,
                            .time = unet_time_channels(c),
                            .groups = c->groups,
                            .eps = unet_norm_eps(c),
                            .dropout = c->dropout,
                            .scale = 1.0,
                            .activation = c->activation,
                            .scale_shift = c->scale_shift,
                            .dtype = c->dtype};
}

/* Add attention after the last layer; groups 0: without a norm. */
static bool add_attention(ito_unet *u, unet_layer *layer, const char *name, int64_t groups)
{
    const ito_unet_config *c = &u->config;
    int64_t width = layer->resnet->options.out;
    layer->attention = ito_attention_create(
        &u->base, name, width, groups, .eps = unet_norm_eps(c), .dtype = c->dtype,
        .heads = c->head_channels == 0 ? 1 : width / c->head_channels, .group_norm = groups != 0);
    return layer->attention != NULL;
}

/* Add a residual block, with attention after it if requested. */
static bool add_layer(ito_unet *u, unet_level *l, const char *name, const resnet_options *o,
                      bool attention, int64_t attention_groups)
{
    int64_t i = l->n++;
    unet_layer *layer = &l->layer[i];
    layer->scale = o->scale;
    layer->resnet = resnet_create(&u->base, name_of(name, "resnets", i).text, o);
    return layer->resnet != NULL &&
           (!attention ||
            add_attention(u, layer, name_of(name, "attentions", i).text, attention_groups));
}

/* Add what leads to the next level. */
static bool add_resample(ito_unet *u, unet_level *l, const char *name, int64_t width,
                         resnet_resample resample, bool resnet)
{
    const ito_unet_config *c = &u->config;
    bool down = resample == RESNET_HALVE;
    level_name full = name_of(name, down ? "downsamplers" : "upsamplers", 0);
    if (resnet) {
        resnet_options o = options_of(c, width, width);
        o.resample = resample;
        l->resample.resnet = resnet_create(&u->base, full.text, &o);
        return l->resample.resnet != NULL;
    }
    char conv[112];
    snprintf(conv, sizeof conv, "%s.conv", full.text);
    bool at_end = down && c->downsample_padding == 0;
    l->conv = ito_conv2d_create(&u->base, conv, width, width, 3, .stride = down ? 2 : 1,
                                .padding = at_end ? 0 : 1, .padding_end = at_end ? 1 : 0,
                                .dtype = c->dtype);
    return l->conv != NULL;
}

bool unet_add_down(ito_unet *u, unet_level *l, int64_t i, int64_t *width, unet_skips *skips)
{
    const ito_unet_config *c = &u->config;
    char name[32];
    snprintf(name, sizeof name, "down_blocks.%" PRId64, i);
    int64_t out = unet_level_width(c, i);
    for (int64_t k = 0; k < c->blocks; k++) {
        resnet_options o = options_of(c, *width, out);
        if (!add_layer(u, l, name, &o, c->attention[i], c->groups))
            return false;
        skips->width[skips->n++] = *width = out;
    }
    if (i == c->levels - 1)
        return true;
    skips->width[skips->n++] = out;
    return add_resample(u, l, name, out, RESNET_HALVE, c->down_resnet[i]);
}

bool unet_add_middle(ito_unet *u, unet_level *l, int64_t width)
{
    const ito_unet_config *c = &u->config;
    if (c->middle == ITO_UNET_MIDDLE_NONE)
        return true;
    resnet_options o = options_of(c, width, width);
    o.scale = c->middle_scale != 0.0 ? c->middle_scale : 1.0;
    bool attention = c->middle == ITO_UNET_MIDDLE_ATTENTION;
    return add_layer(u, l, "mid_block", &o, attention, unet_middle_groups(c)) &&
           add_layer(u, l, "mid_block", &o, false, 0);
}

/* up_blocks are counted from the bottom. */
bool unet_add_up(ito_unet *u, unet_level *l, int64_t i, int64_t *width, unet_skips *skips)
{
    const ito_unet_config *c = &u->config;
    char name[32];
    snprintf(name, sizeof name, "up_blocks.%" PRId64, c->levels - 1 - i);
    int64_t out = unet_level_width(c, i);
    for (int64_t k = 0; k < c->blocks + 1; k++) {
        resnet_options o = options_of(c, *width + skips->width[--skips->n], out);
        if (!add_layer(u, l, name, &o, unet_up_attention(c, i), c->groups))
            return false;
        *width = out;
    }
    return i == 0 || add_resample(u, l, name, *width, RESNET_DOUBLE, c->up_resnet[i]);
}

/* ---- the way through a layer ---- */

static ito_tensor *layer_forward(const unet_layer *l, ito_tensor *x, ito_tensor *temb)
{
    ito_scope_begin();
    x = resnet_forward(l->resnet, x, temb);
    if (l->attention != NULL)
        x = ito_attention_forward(l->attention, x);
    if (l->attention != NULL && l->scale != 1.0)
        x = ito_mul_scalar(x, 1.0 / l->scale);
    x = ito_keep(x);
    ito_scope_end();
    return x;
}

/* The layer with the identity for the attention's map: the values go through. */
static ito_tensor *layer_perturbed(const unet_layer *l, ito_tensor *x, ito_tensor *temb)
{
    const ito_attention_layer *a = l->attention;
    ito_scope_begin();
    x = resnet_forward(l->resnet, x, temb);
    ito_tensor *h = a->group_norm != NULL ? ito_group_norm_forward(a->group_norm, x) : x;
    h = ito_linear_forward(a->to_v, ito_permute(h, 0, 2, 3, 1));
    h = ito_permute(ito_linear_forward(a->to_out, h), 0, 3, 1, 2);
    x = ito_add(h, x);
    if (l->scale != 1.0)
        x = ito_mul_scalar(x, 1.0 / l->scale);
    x = ito_keep(x);
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

/* A layer of the up path, on x and skip, which are released. They are one where there is no
 * middle. */
static ito_tensor *joined_apply(const ito_unet *u, unet_layer *l, ito_tensor *x, ito_tensor *skip,
                                ito_tensor *temb)
{
    if (x == NULL || skip == NULL)
        return NULL;
    ito_tensor *y = layer_apply(u, l, x, skip, temb);
    if (skip != x)
        let_go(skip);
    let_go(x);
    return y;
}

/* ---- the way through a level ---- */

ito_tensor *unet_level_down(const ito_unet *u, unet_level *l, ito_tensor *x, ito_tensor *temb,
                            ito_tensor **skips, int64_t *n)
{
    for (int64_t k = 0; k < l->n; k++)
        skips[(*n)++] = x = layer_apply(u, &l->layer[k], x, NULL, temb);
    if (l->conv != NULL)
        skips[(*n)++] = x = ito_conv2d_forward(l->conv, x);
    else if (l->resample.resnet != NULL)
        skips[(*n)++] = x = layer_apply(u, &l->resample, x, NULL, temb);
    return x;
}

ito_tensor *unet_level_middle(const ito_unet *u, unet_level *l, ito_tensor *x, ito_tensor *temb,
                              bool perturbed)
{
    for (int64_t k = 0; k < l->n; k++)
        x = perturbed && k == 0 ? layer_perturbed(&l->layer[k], x, temb)
                                : layer_apply(u, &l->layer[k], x, NULL, temb);
    return x;
}

static ito_tensor *upsample(const ito_unet *u, unet_level *l, ito_tensor *x, ito_tensor *temb)
{
    if (x == NULL)
        return NULL;
    ito_scope_begin();
    ito_tensor *y = l->conv != NULL ? ito_conv2d_forward(l->conv, ito_upsample_nearest2d(x, 2))
                                    : layer_apply(u, &l->resample, x, NULL, temb);
    y = ito_keep(y);
    ito_scope_end();
    let_go(x);
    return y;
}

ito_tensor *unet_level_up(const ito_unet *u, unet_level *l, ito_tensor *x, ito_tensor *temb,
                          ito_tensor **skips, int64_t *n)
{
    for (int64_t k = 0; k < l->n; k++)
        x = joined_apply(u, &l->layer[k], x, skips[--*n], temb);
    bool ends = l->conv == NULL && l->resample.resnet == NULL;
    return ends ? x : upsample(u, l, x, temb);
}
