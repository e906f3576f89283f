/* Inception-v3: building it, and its forward pass.
 * Invariant: units are made and used in the order of the tables, which is that of the state dict;
 * an image's features depend on neither the other images nor its place in a batch. */
#include "models/inception/inception.h"

#include "autograd/ops.h"
#include "models/inception/blocks.h"
#include "nn/layers_norm.h"
#include "tensor/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH 8

static bool in_stem(const inception_block *b)
{
    return b->n == 1;
}

/* Whether row i is part of the block's result. */
static bool ends_branch(const inception_block *b, int i)
{
    return i + 1 == b->n || b->rows[i + 1].from != PREVIOUS;
}

/* ---- building ----------------------------------------------------------------------------------
 */

typedef struct ito_inception_unit {
    ito_conv2d_layer *conv;
    ito_running_norm_layer *bn;
} unit;

static bool add_unit(ito_inception *net, unit *u, const inception_block *b, const inception_row *r,
                     int64_t in, int64_t out, ito_generator *g)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s%s", b->name, in_stem(b) ? "" : ".", r->name);
    bool pads = b->pads && r->stride == 1;
    ito_shape kernel = ITO_SHAPE(r->high, r->wide);
    ito_shape padding = ITO_SHAPE(pads ? r->high / 2 : 0, pads ? r->wide / 2 : 0);
    ito_module *m = ito_module_create(&net->base, name, sizeof *m);
    if (m == NULL)
        return false;
    u->conv = ito_conv2d_create(m, "conv", in, out, 0, .kernels = kernel, .paddings = padding,
                                .stride = r->stride, .bias = false, .generator = g);
    u->bn = ito_batch_norm_create(m, "bn", out, .eps = 0.001);
    return u->conv != NULL && u->bn != NULL;
}

/* Add the units of a block to next; returns its channels, 0 on error. */
static int64_t add_block(ito_inception *net, unit *next, const inception_block *b, int64_t in,
                         ito_generator *g)
{
    int64_t channels[INCEPTION_ROWS], sum = !in_stem(b) && b->pool == HALVES ? in : 0;
    for (int i = 0; i < b->n; i++) {
        const inception_row *r = &b->rows[i];
        int64_t from = r->from == PREVIOUS  ? channels[i - 1]
                       : r->from == SIBLING ? channels[i - 2]
                                            : in;
        channels[i] = r->out != 0 ? r->out : b->own;
        if (!add_unit(net, next + i, b, r, from, channels[i], g))
            return 0;
        sum += ends_branch(b, i) ? channels[i] : 0;
    }
    return sum;
}

static void destroy(ito_module *m)
{
    free(((ito_inception *)m)->units);
}

ito_inception *ito_inception_create_with(ito_inception_options o)
{
    if (o.classes < 1)
        return error_null(ITO_ERR_ARGUMENT, "inception: %" PRId64 " classes; there must be some",
                          o.classes);
    ito_inception *net = ito_module_create(NULL, "", sizeof *net);
    if (net == NULL)
        return NULL;
    net->fid = o.fid;
    net->base.destroy = destroy;
    size_t n = 0;
    for (int i = 0; i < INCEPTION_BLOCKS; i++)
        n += (size_t)inception_blocks[i].n;
    net->units = struct_alloc(n * sizeof *net->units);
    unit *next = net->units;
    int64_t channels = 3;
    for (int i = 0; i < INCEPTION_BLOCKS && next != NULL && channels > 0; i++) {
        channels = add_block(net, next, &inception_blocks[i], channels, o.generator);
        next += inception_blocks[i].n;
    }
    if (next != NULL && channels > 0)
        net->fc =
            ito_linear_create(&net->base, "fc", channels, o.classes, .generator = o.generator);
    if (net->fc != NULL)
        return net;
    ito_module_free(&net->base);
    return NULL;
}

/* ---- forward -----------------------------------------------------------------------------------
 */

/* relu(batch_norm(conv(x))), where the norm's running statistics become factors of the weights. */
static ito_tensor *run_unit(const unit *u, ito_tensor *x)
{
    const ito_running_norm_layer *n = u->bn;
    ito_tensor *scale = ito_mul(n->weight, ito_rsqrt(ito_add_scalar(n->running_var, n->eps)));
    ito_tensor *w = ito_mul(u->conv->weight, ito_reshape(scale, -1, 1, 1, 1));
    ito_tensor *shift = ito_sub(n->bias, ito_mul(n->running_mean, scale));
    return shift != NULL ? ito_relu(ito_conv2d_with(x, w, shift, u->conv->conv)) : NULL;
}

static ito_tensor *run_pool(const ito_inception *net, inception_pool p, ito_tensor *x)
{
    if (p == HALVES)
        return ito_max_pool2d(x, 3, .stride = 2);
    if (p == MEANS_MAX && net->fid)
        return ito_max_pool2d(x, 3, .stride = 1, .padding = 1);
    return ito_avg_pool2d(x, 3, .stride = 1, .padding = 1, .count_include_pad = !net->fid);
}

static ito_tensor *run_block(const ito_inception *net, const unit *units, const inception_block *b,
                             ito_tensor *x)
{
    if (in_stem(b)) {
        ito_tensor *y = run_unit(units, x);
        return b->pool == HALVES ? run_pool(net, HALVES, y) : y;
    }
    ito_tensor *results[INCEPTION_ROWS], *parts[INCEPTION_ROWS];
    ito_tensor *pooled = run_pool(net, b->pool, x);
    int64_t n = 0;
    for (int i = 0; i < b->n; i++) {
        inception_source from = b->rows[i].from;
        results[i] = run_unit(units + i, from == PREVIOUS  ? results[i - 1]
                                         : from == SIBLING ? results[i - 2]
                                         : from == POOLED  ? pooled
                                                           : x);
        if (ends_branch(b, i))
            parts[n++] = results[i];
    }
    if (b->pool == HALVES)
        parts[n++] = pooled;
    return ito_cat(parts, n, 1);
}

static bool check(const ito_tensor *x)
{
    if (x->ndim != 4 || (x->shape[1] != 1 && x->shape[1] != 3) || x->shape[2] * x->shape[3] == 0) {
        error_status(ITO_ERR_SHAPE, "inception: images are [N, 1 or 3, H, W], not %s",
                     tensor_shape_str(x));
        return false;
    }
    if (x->dtype == ITO_U8 || x->dtype == ITO_F32)
        return true;
    error_status(ITO_ERR_DTYPE, "inception: images are u8 or f32, not %s",
                 ito_dtype_name(x->dtype));
    return false;
}

/* Images as the network sees them: [N, 3, 299, 299] in [-1, 1]. */
static ito_tensor *prepare(ito_tensor *x)
{
    if (x->dtype == ITO_U8)
        x = ito_add_scalar(ito_mul_scalar(ito_cast(x, ITO_F32), 1.0 / 127.5), -1.0);
    if (x != NULL && (x->shape[2] != ITO_INCEPTION_SIDE || x->shape[3] != ITO_INCEPTION_SIDE))
        x = ito_interpolate(x, .size = ITO_SHAPE(ITO_INCEPTION_SIDE, ITO_INCEPTION_SIDE),
                            .mode = ITO_INTERPOLATE_BILINEAR);
    return ito_expand(x, -1, 3, -1, -1);
}

ito_tensor *ito_inception_features(ito_inception *net, ito_tensor *x)
{
    if (net == NULL || x == NULL || !check(x))
        return NULL;
    ito_scope_begin();
    const unit *next = net->units;
    x = prepare(x);
    for (int i = 0; i < INCEPTION_BLOCKS; i++) {
        ito_scope_begin(); /* so that a block's tensors go before the next one's come */
        x = ito_keep(run_block(net, next, &inception_blocks[i], x));
        ito_scope_end();
        next += inception_blocks[i].n;
    }
    x = ito_keep(ito_mean(x, .dims = ITO_DIMS(2, 3)));
    ito_scope_end();
    return x;
}

ito_tensor *ito_inception_logits(ito_inception *net, ito_tensor *features)
{
    if (net == NULL || features == NULL)
        return NULL;
    return ito_linear_forward(net->fc, features);
}

/* ---- many images -------------------------------------------------------------------------------
 */

/* f32 as the 256 values that a file has. */
static ito_tensor *rounded(ito_tensor *x)
{
    if (x == NULL || x->dtype == ITO_U8)
        return x;
    x = ito_round(ito_mul_scalar(ito_add_scalar(ito_clamp(x, -1.0, 1.0), 1.0), 127.5));
    return ito_add_scalar(ito_mul_scalar(x, 1.0 / 127.5), -1.0);
}

ito_tensor *ito_inception_run(ito_inception *net, ito_tensor *images)
{
    if (net == NULL || images == NULL) {
        error_missing("inception", net == NULL ? "net" : "images");
        return NULL;
    }
    if (!check(images))
        return NULL;
    int64_t n = images->shape[0];
    ito_tensor *out = ito_empty(ITO_SHAPE(n, ITO_INCEPTION_WIDTH), ITO_F32);
    bool good = out != NULL;
    ito_no_grad_begin();
    for (int64_t first = 0; good && first < n; first += BATCH) {
        int64_t count = n - first < BATCH ? n - first : BATCH;
        ito_scope_begin();
        ito_tensor *x = rounded(ito_narrow(images, 0, first, count));
        x = ito_inception_features(net, x);
        good = x != NULL && ito_copy_(ito_narrow(out, 0, first, count), x) != NULL;
        ito_scope_end();
    }
    ito_no_grad_end();
    return good ? out : NULL;
}
