/* DDPM's U-Net: its layers under diffusers' names, their initial values, and the forward pass. */
#include "models/ddpm/network/unet.h"

#include "autograd/ops.h"
#include "models/ddpm/network/unet_blocks.h"
#include "models/ddpm/network/unet_config.h"
#include "models/ddpm/network/unet_embedding.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "tensor/internal.h"

#include <stdlib.h>
#include <string.h>

#define FOURIER_SCALE 16 /* deviation of the frequencies: Song et al. 2021, code */

struct unet_layers {
    ito_conv2d_layer *conv_in, *conv_out;
    unet_embedding embedding;
    ito_group_norm_layer *conv_norm_out;
    unet_level down[ITO_UNET_MAX_LEVELS], mid, up[ITO_UNET_MAX_LEVELS];
};

/* ---- building ---- */

static bool add_layers(ito_unet *u)
{
    const ito_unet_config *c = &u->config;
    struct unet_layers *l = u->layers;
    int64_t width = c->channels;
    unet_skips skips = {.n = 1, .width = {width}};

    int64_t seen = c->in_channels * (c->self_condition ? 2 : 1);
    l->conv_in =
        ito_conv2d_create(&u->base, "conv_in", seen, width, 3, .padding = 1, .dtype = c->dtype);
    if (l->conv_in == NULL || !unet_embedding_create(u, &l->embedding))
        return false;
    for (int64_t i = 0; i < c->levels; i++)
        if (!unet_add_down(u, &l->down[i], i, &width, &skips))
            return false;
    if (!unet_add_middle(u, &l->mid, width))
        return false;
    for (int64_t i = c->levels - 1; i >= 0; i--)
        if (!unet_add_up(u, &l->up[i], i, &width, &skips))
            return false;
    l->conv_norm_out = ito_group_norm_create(&u->base, "conv_norm_out", width, c->groups,
                                             .eps = unet_norm_eps(c), .dtype = c->dtype);
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
    ito_tensor *fourier = u->layers->embedding.fourier;
    if (fourier != NULL && ito_init_normal(fourier, 0, FOURIER_SCALE, g) == NULL)
        status = ito_error_code();
    for (int64_t i = 0; i < p->n && status == ITO_OK; i++) {
        if (p->tensors[i]->ndim < 2)
            continue;
        if (strcmp(p->names[i], "class_embedding.weight") == 0 ||
            strcmp(p->names[i], "time_proj.weight") == 0) {
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
    ito_tensor *skips[UNET_MAX_SKIPS];
    int64_t n = 0;
    x = ito_conv2d_forward(l->conv_in, x);
    skips[n++] = x;
    for (int64_t i = 0; i < u->config.levels; i++)
        x = unet_level_down(u, &l->down[i], x, temb, skips, &n);
    x = unet_level_middle(u, &l->mid, x, temb, perturbed);
    for (int64_t i = u->config.levels - 1; i >= 0; i--)
        x = unet_level_up(u, &l->up[i], x, temb, skips, &n);
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

static bool check_perturbed(const ito_unet *u, bool perturbed)
{
    return !perturbed || u->config.middle == ITO_UNET_MIDDLE_ATTENTION ||
           error_false(ITO_ERR_ARGUMENT,
                       "unet: its middle has no attention that could be perturbed");
}

/* The images as the first layer takes them. */
static ito_tensor *entering(const ito_unet *u, ito_tensor *x, ito_tensor *x_0)
{
    if (u->config.center_input)
        x = ito_add_scalar(ito_mul_scalar(x, 2.0), -1.0);
    if (u->config.self_condition)
        x = ito_cat(ITO_TENSORS(x, x_0 != NULL ? x_0 : ito_zeros_like(x)), 1);
    return cast_if_bf16(u, x, ITO_BF16);
}

/* The result in its dtype, from the last norm on. */
static ito_tensor *leaving(const ito_unet *u, ito_tensor *x, ito_tensor *t, ito_dtype dtype)
{
    x = ito_group_norm_silu_forward(u->layers->conv_norm_out, x);
    x = cast_if_bf16(u, ito_conv2d_forward(u->layers->conv_out, x), dtype);
    if (u->config.time == ITO_UNET_TIME_FOURIER)
        x = ito_div(x, ito_reshape(ito_cast(t, dtype), -1, 1, 1, 1));
    return x;
}

/* Labels and the earlier estimate may be NULL. */
static ito_tensor *forward(ito_unet *u, ito_tensor *x, ito_tensor *t, ito_tensor *labels,
                           ito_tensor *x_0, bool perturbed)
{
    if (x == NULL || t == NULL || !check_input(u, x, t) || !unet_embedding_check(u, t, labels) ||
        !check_estimate(u, x_0, x) || !check_perturbed(u, perturbed))
        return NULL;
    ito_dtype outside = x->dtype;
    ito_scope_begin();
    ito_tensor *temb = unet_embed(u, &u->layers->embedding, t, labels);
    x = down_and_up(u, entering(u, x, x_0), cast_if_bf16(u, temb, ITO_BF16), perturbed);
    x = ito_keep(leaving(u, x, t, outside));
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
