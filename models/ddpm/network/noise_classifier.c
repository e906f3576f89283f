/* A classifier of noised images (Dhariwal, Nichol 2021, arXiv:2105.05233, section 4).
 * Invariant: an image's logits depend on that image and its time alone. */
#include "models/ddpm/network/noise_classifier.h"

#include "autograd/ops.h"
#include "models/ddpm/network/resnet.h"
#include "models/ddpm/network/unet.h"
#include "nn/init.h"
#include "nn/layer.h"
#include "tensor/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Norms over groups of so many channels of the first level: a norm of each channel alone would
 * remove the brightness of an image. */
enum { GROUP = 8 };
enum { LEVELS = 3, MAX_CHANNELS = 1024, MAX_CLASSES = 1000000 };

struct noise_classifier_layers {
    ito_linear_layer *linear_1, *linear_2, *head;
    ito_conv2d_layer *conv_in, *down[LEVELS]; /* down[i]: to level i + 1, or the last size */
    resnet_block *block[LEVELS];
    ito_group_norm_layer *norm_out;
};

/* ---- building ---- */

static bool add_level(ito_noise_classifier *c, int i, int64_t in, int64_t out)
{
    char name[32];
    snprintf(name, sizeof name, "blocks.%d", i);
    c->layers->block[i] = resnet_create(&c->base, name,
                                        &(resnet_options){.in = in,
                                                          .out = out,
                                                          .time = 4 * c->config.channels,
                                                          .groups = c->config.channels / GROUP,
                                                          .eps = UNET_NORM_EPS,
                                                          .scale = 1.0,
                                                          .dtype = c->config.dtype});
    snprintf(name, sizeof name, "downsamplers.%d", i);
    c->layers->down[i] = ito_conv2d_create(&c->base, name, out, out, 3, .stride = 2, .padding = 1,
                                           .dtype = c->config.dtype);
    return c->layers->block[i] != NULL && c->layers->down[i] != NULL;
}

static bool add_layers(ito_noise_classifier *c)
{
    struct noise_classifier_layers *l = c->layers;
    ito_module *m = &c->base;
    int64_t ch = c->config.channels;
    ito_dtype dtype = c->config.dtype;
    l->linear_1 = ito_linear_create(m, "time_embedding.linear_1", ch, 4 * ch, .dtype = dtype);
    l->linear_2 = ito_linear_create(m, "time_embedding.linear_2", 4 * ch, 4 * ch, .dtype = dtype);
    l->conv_in =
        ito_conv2d_create(m, "conv_in", c->config.in_channels, ch, 3, .padding = 1, .dtype = dtype);
    if (l->linear_1 == NULL || l->linear_2 == NULL || l->conv_in == NULL)
        return false;
    for (int i = 0; i < LEVELS; i++)
        if (!add_level(c, i, i < 2 ? ch : 2 * ch, i < 1 ? ch : 2 * ch))
            return false;
    l->norm_out = ito_group_norm_create(m, "norm_out", 2 * ch, ch / GROUP, .eps = UNET_NORM_EPS,
                                        .dtype = dtype);
    l->head = ito_linear_create(m, "head", 2 * ch, c->config.classes, .dtype = dtype);
    return l->norm_out != NULL && l->head != NULL;
}

static ito_status initialise(ito_noise_classifier *c, ito_generator *g)
{
    ito_named_tensors *p = ito_module_parameters(&c->base);
    if (p == NULL)
        return ito_error_code();
    ito_status status = ITO_OK;
    for (int64_t i = 0; i < p->n && status == ITO_OK; i++)
        if (p->tensors[i]->ndim >= 2 && ito_init_glorot_uniform(p->tensors[i], 1.0, g) == NULL)
            status = ito_error_code();
    ito_named_tensors_free(p);
    return status;
}

static bool check_config(const ito_noise_classifier_config *c)
{
    if (c->in_channels >= 1 && c->in_channels <= MAX_CHANNELS && c->channels >= GROUP &&
        c->channels <= MAX_CHANNELS && c->channels % GROUP == 0 && c->classes >= 1 &&
        c->classes <= MAX_CLASSES)
        return layer_dtype_fits("noise_classifier", c->dtype);
    ito_error_set(ITO_ERR_RANGE,
                  "noise_classifier: images of %" PRId64 " channels, a width of %" PRId64
                  " and %" PRId64 " classes; there can be 1 to %d channels, a multiple of %d up to "
                  "%d and 1 to %d classes",
                  c->in_channels, c->channels, c->classes, MAX_CHANNELS, GROUP, MAX_CHANNELS,
                  MAX_CLASSES);
    return false;
}

static void classifier_destroy(ito_module *m)
{
    free(((ito_noise_classifier *)m)->layers);
}

static ito_tensor *log_probability(ito_network *self, const ito_network_input *in);

static ito_tensor *no_forward(ito_module *m, ito_tensor *x)
{
    (void)m;
    (void)x;
    return error_null(ITO_ERR_ARGUMENT, "noise_classifier: it takes times besides images: "
                                        "ito_noise_classifier_logits");
}

ito_noise_classifier *ito_noise_classifier_create(const ito_noise_classifier_config *config,
                                                  ito_generator *init)
{
    if (!check_config(config))
        return NULL;
    ito_noise_classifier *c = ito_module_create(NULL, "", sizeof *c);
    if (c == NULL)
        return NULL;
    c->config = *config;
    c->base.destroy = classifier_destroy;
    c->base.forward = no_forward;
    c->network = (ito_network){.evaluate = log_probability, .context = c};
    c->layers = struct_alloc(sizeof *c->layers);
    ito_scope_begin(); /* for tensors whose registration fails */
    bool good =
        c->layers != NULL && add_layers(c) && (init == NULL || initialise(c, init) == ITO_OK);
    ito_scope_end();
    if (good)
        return c;
    ito_module_free(&c->base);
    return NULL;
}

/* ---- the way through ---- */

static bool check_input(const ito_noise_classifier *c, const ito_tensor *x, const ito_tensor *t)
{
    if (x->ndim == 4 && x->shape[1] == c->config.in_channels && x->shape[2] > 0 &&
        x->shape[3] > 0 && t->ndim == 1 && t->shape[0] == x->shape[0])
        return true;
    ito_error_set(ITO_ERR_SHAPE,
                  "noise_classifier: x is %s and t %s; it takes [N, %" PRId64 ", H, W] and [N]",
                  tensor_shape_str(x), tensor_shape_str(t), c->config.in_channels);
    return false;
}

ito_tensor *ito_noise_classifier_logits(ito_noise_classifier *c, ito_tensor *x, ito_tensor *t)
{
    if (x == NULL || t == NULL || !check_input(c, x, t))
        return NULL;
    struct noise_classifier_layers *l = c->layers;
    ito_scope_begin();
    ito_tensor *temb = ito_time_embedding(t, c->config.channels, .dtype = c->config.dtype);
    temb = ito_linear_forward(l->linear_1, temb);
    temb = ito_silu(ito_linear_forward(l->linear_2, ito_silu(temb)));
    ito_tensor *h = ito_conv2d_forward(l->conv_in, x);
    for (int i = 0; i < LEVELS; i++)
        h = ito_conv2d_forward(l->down[i], resnet_forward(l->block[i], h, temb));
    h = ito_group_norm_silu_forward(l->norm_out, h);
    h = ito_mean(h, .dims = ITO_DIMS(2, 3));
    h = ito_keep(ito_linear_forward(l->head, h));
    ito_scope_end();
    return h;
}

static ito_tensor *log_probability(ito_network *self, const ito_network_input *in)
{
    const ito_tensor *labels = in->labels;
    if (labels == NULL)
        return error_null(ITO_ERR_ARGUMENT, "noise_classifier: there are no labels to guide to");
    if (labels->dtype != ITO_I64 || labels->ndim != 1 || labels->shape[0] != in->x->shape[0])
        return error_null(
            ITO_ERR_SHAPE, "noise_classifier: the labels are %s of %s; images %s need one i64 each",
            tensor_shape_str(labels), ito_dtype_name(labels->dtype), tensor_shape_str(in->x));
    ito_tensor *logits = ito_noise_classifier_logits(self->context, in->x, in->t);
    ito_tensor *of_label =
        ito_gather(ito_log_softmax(logits, 1), 1, ito_reshape(in->labels, -1, 1));
    return ito_reshape(of_label, -1);
}
