/* A small convolutional classifier. Every layer works on each image separately (group norm, not
 * batch norm), so an image's features do not depend on the rest of its batch. */
#include "models/classifier/classifier.h"

#include "autograd/ops.h"
#include "tensor/internal.h"

#include <stdio.h>

#define GROUPS 8
#define SQUEEZED 24 /* channels */
#define PIXELS (ITO_CLASSIFIER_SIDE / 4 * ITO_CLASSIFIER_SIDE / 4)

static const int64_t widths[] = {16, 48, 96, 96};

static bool add_block(ito_classifier *c, int i, int64_t in, const ito_classifier_options *o)
{
    char conv[16], norm[16];
    snprintf(conv, sizeof conv, "conv%d", i + 1);
    snprintf(norm, sizeof norm, "norm%d", i + 1);
    /* No bias: the group norm that follows subtracts the mean. */
    c->conv[i] = ito_conv2d_create(&c->base, conv, in, widths[i], 3, .padding = 1,
                                   .generator = o->generator, .bias = false, .dtype = o->dtype);
    c->norm[i] = ito_group_norm_create(&c->base, norm, widths[i], GROUPS, .dtype = o->dtype);
    return c->conv[i] != NULL && c->norm[i] != NULL;
}

ito_classifier *ito_classifier_create_with(int64_t channels, int64_t classes,
                                           ito_classifier_options o)
{
    if (channels < 1 || classes < 1)
        return error_null(ITO_ERR_ARGUMENT,
                          "classifier: %" PRId64 " channels and %" PRId64 " classes", channels,
                          classes);
    ito_classifier *c = ito_module_create(NULL, "", sizeof *c);
    if (c == NULL)
        return NULL;
    c->channels = channels;
    c->classes = classes;
    for (int i = 0; i < 4; i++)
        if (!add_block(c, i, i == 0 ? channels : widths[i - 1], &o))
            goto fail;
    ito_generator *g = o.generator;
    c->squeeze = ito_conv2d_create(&c->base, "squeeze", widths[3], SQUEEZED, 1, .generator = g,
                                   .dtype = o.dtype);
    c->dense = ito_linear_create(&c->base, "dense", SQUEEZED * PIXELS, ITO_CLASSIFIER_WIDTH,
                                 .generator = g, .dtype = o.dtype);
    c->dropout = ito_dropout_create(&c->base, "dropout", o.dropout, ito_generator_make(0, 0));
    c->head = ito_linear_create(&c->base, "head", ITO_CLASSIFIER_WIDTH, classes, .generator = g,
                                .dtype = o.dtype);
    if (c->squeeze == NULL || c->dense == NULL || c->dropout == NULL || c->head == NULL)
        goto fail;
    return c;
fail:
    ito_module_free(&c->base);
    return NULL;
}

static ito_tensor *block(ito_classifier *c, int i, ito_tensor *x)
{
    return ito_silu(ito_group_norm_forward(c->norm[i], ito_conv2d_forward(c->conv[i], x)));
}

ito_tensor *ito_classifier_features(ito_classifier *c, ito_tensor *x)
{
    if (c == NULL || x == NULL)
        return NULL;
    if (x->ndim != 4 || x->shape[1] != c->channels || x->shape[2] != ITO_CLASSIFIER_SIDE ||
        x->shape[3] != ITO_CLASSIFIER_SIDE)
        return error_null(ITO_ERR_SHAPE, "classifier: images are [N, %" PRId64 ", 28, 28], not %s",
                          c->channels, tensor_shape_str(x));
    ito_scope_begin();
    ito_tensor *h = ito_avg_pool2d(block(c, 0, x), 2); /* [N, 16, 14, 14] */
    h = ito_avg_pool2d(block(c, 1, h), 2);             /* [N, 48, 7, 7] */
    h = block(c, 3, block(c, 2, h));                   /* [N, 96, 7, 7] */
    h = ito_silu(ito_conv2d_forward(c->squeeze, h));   /* [N, 24, 7, 7] */
    h = ito_flatten(ito_contiguous(h), 1, 3);          /* row-major, whatever the memory order */
    h = ito_keep(ito_silu(ito_linear_forward(c->dense, h)));
    ito_scope_end();
    return h;
}

ito_tensor *ito_classifier_logits(ito_classifier *c, ito_tensor *features)
{
    if (c == NULL || features == NULL)
        return NULL;
    return ito_linear_forward(c->head, ito_dropout_forward(c->dropout, features));
}
