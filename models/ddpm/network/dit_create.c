/* Building a diffusion transformer: the check of its settings, its layers under the names of the
 * published weights, positions, and initial values as in the paper's code.
 * Invariant: after check() all sizes are small enough that no product overflows. */
#include "autograd/ops.h"
#include "models/ddpm/network/dit_layers.h"
#include "nn/init.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WIDTH = 16384, MAX_SIDE = 8192, MAX_DEPTH = 1024, MAX_CLASSES = 1000000 };

static bool check(int64_t channels, int64_t height, int64_t width, const ito_dit_options *o)
{
    const struct {
        const char *what;
        int64_t value, low, high;
    } numbers[] = {{"the number of channels", channels, 1, MAX_WIDTH},
                   {"out_channels", o->out_channels, 0, MAX_WIDTH},
                   {"height", height, 1, MAX_SIDE},
                   {"width", width, 1, MAX_SIDE},
                   {"patch_size", o->patch_size, 1, MAX_SIDE},
                   {"hidden_size", o->hidden_size, 1, MAX_WIDTH},
                   {"depth", o->depth, 1, MAX_DEPTH},
                   {"num_heads", o->num_heads, 1, MAX_WIDTH},
                   {"the number of classes", o->classes, 0, MAX_CLASSES},
                   {"positions", (int64_t)o->positions, ITO_DIT_SINCOS, ITO_DIT_ROTARY}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i].value < numbers[i].low || numbers[i].value > numbers[i].high)
            return error_false(ITO_ERR_RANGE,
                               "dit: %s is %" PRId64 "; it must be %" PRId64 " to %" PRId64,
                               numbers[i].what, numbers[i].value, numbers[i].low, numbers[i].high);
    if (!(o->mlp_ratio > 0.0 && o->mlp_ratio <= 64.0) ||
        (double)o->hidden_size * o->mlp_ratio < 1.0)
        return error_false(ITO_ERR_RANGE,
                           "dit: mlp_ratio is %g; it must be above 0 and at most 64, and make a "
                           "width of at least 1",
                           o->mlp_ratio);
    if (height % o->patch_size != 0 || width % o->patch_size != 0)
        return error_false(ITO_ERR_SHAPE,
                           "dit: patches of %" PRId64 "x%" PRId64
                           " do not divide images of %" PRId64 "x%" PRId64,
                           o->patch_size, o->patch_size, height, width);
    if (o->hidden_size % o->num_heads != 0)
        return error_false(ITO_ERR_SHAPE,
                           "dit: %" PRId64 " heads do not divide a hidden_size of %" PRId64,
                           o->num_heads, o->hidden_size);
    bool rotary = o->positions == ITO_DIT_ROTARY;
    int64_t parts = rotary ? o->hidden_size / o->num_heads : o->hidden_size;
    if (o->positions != ITO_DIT_LEARNED && parts % 4 != 0)
        return error_false(ITO_ERR_SHAPE,
                           "dit: %s positions need a %s that is a multiple of 4, not %" PRId64,
                           rotary ? "rotary" : "sine-cosine",
                           rotary ? "width of each head" : "hidden_size", parts);
    return o->dtype == ITO_F32 || o->dtype == ITO_F64 ||
           error_false(ITO_ERR_DTYPE,
                       "dit: parameters are f32 or f64, not %s; f32 ones compute in bf16 by "
                       "ito_dit_set_precision",
                       ito_dtype_name(o->dtype));
}

/* ---- positions ---- */

/* Angles [tokens, 2 count] f64: of the column, and of the row, times base^(-j / count). */
static ito_tensor *angles(const ito_dit *d, int64_t count, double base)
{
    int64_t p = d->options.patch_size, columns = d->width / p, tokens = dit_tokens(d);
    ito_tensor *y = tensor_empty(ITO_SHAPE(tokens, 2 * count), ITO_F64);
    double *at = y == NULL ? NULL : tensor_data(y);
    for (int64_t j = 0; at != NULL && j < count; j++) {
        double frequency = pow(base, -(double)j / (double)count);
        for (int64_t i = 0; i < tokens; i++) {
            at[2 * count * i + j] = (double)(i % columns) * frequency;
            at[2 * count * i + count + j] = (double)(i / columns) * frequency;
        }
    }
    return y;
}

/* Each half of pos_embed is the sines, then the cosines, of one coordinate. */
static ito_tensor *sines_and_cosines(const ito_dit *d)
{
    int64_t quarter = d->options.hidden_size / 4;
    ito_tensor *a = ito_reshape(angles(d, quarter, 10000.0), 1, -1, 2, 1, quarter);
    a = ito_cat(ITO_TENSORS(ito_sin(a), ito_cos(a)), 3);
    return ito_cast(ito_reshape(a, 1, -1, 4 * quarter), d->options.dtype);
}

static bool add_positions(ito_dit *d)
{
    struct dit_layers *l = d->layers;
    ito_dtype dtype = d->options.dtype;
    int64_t width = d->options.hidden_size;
    if (d->options.positions == ITO_DIT_SINCOS)
        l->pos_embed = ito_module_buffer(&d->base, "pos_embed", sines_and_cosines(d));
    if (d->options.positions == ITO_DIT_LEARNED)
        l->pos_embed = ito_module_parameter(&d->base, "pos_embed",
                                            ito_zeros(ITO_SHAPE(1, dit_tokens(d), width), dtype));
    if (d->options.positions != ITO_DIT_ROTARY)
        return l->pos_embed != NULL;
    ito_tensor *a = angles(d, width / d->options.num_heads / 4, 100.0);
    l->cosine = ito_retain(ito_cast(ito_cos(a), dtype));
    l->sine = ito_retain(ito_cast(ito_sin(a), dtype));
    return l->cosine != NULL && l->sine != NULL;
}

/* ---- layers ---- */

/* Add the linear layer of this name to *ok, unless an earlier one failed. */
static ito_linear_layer *add(ito_dit *d, const char *name, int64_t in, int64_t out, bool *ok)
{
    ito_linear_layer *l =
        *ok ? ito_linear_create(&d->base, name, in, out, .dtype = d->options.dtype) : NULL;
    *ok = l != NULL;
    return l;
}

static bool add_block(ito_dit *d, int64_t i)
{
    static const char *const parts[] = {"attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2",
                                        "adaLN_modulation.1"};
    int64_t w = d->options.hidden_size, mlp = (int64_t)((double)w * d->options.mlp_ratio);
    const int64_t in[] = {w, w, w, mlp, w}, out[] = {3 * w, w, mlp, w, 6 * w};
    ito_linear_layer *l[5];
    bool ok = true;
    for (int k = 0; k < 5; k++) {
        char name[64];
        snprintf(name, sizeof name, "blocks.%" PRId64 ".%s", i, parts[k]);
        l[k] = add(d, name, in[k], out[k], &ok);
    }
    d->layers->block[i] = (dit_block){l[0], l[1], l[2], l[3], l[4]};
    return ok;
}

static bool add_layers(ito_dit *d)
{
    const ito_dit_options *o = &d->options;
    struct dit_layers *l = d->layers;
    int64_t w = o->hidden_size, p = o->patch_size;
    if (!add_positions(d))
        return false;
    l->patches = ito_conv2d_create(&d->base, "x_embedder.proj", d->channels, w, p, .stride = p,
                                   .dtype = o->dtype);
    bool ok = l->patches != NULL;
    l->time_1 = add(d, "t_embedder.mlp.0", 2 * DIT_FREQUENCIES, w, &ok);
    l->time_2 = add(d, "t_embedder.mlp.2", w, w, &ok);
    if (ok && o->classes > 0) {
        l->classes = ito_embedding_create(&d->base, "y_embedder.embedding_table", o->classes + 1, w,
                                          .dtype = o->dtype);
        ok = l->classes != NULL;
    }
    for (int64_t i = 0; ok && i < o->depth; i++)
        ok = add_block(d, i);
    l->last = add(d, "final_layer.linear", w, p * p * o->out_channels, &ok);
    l->last_modulation = add(d, "final_layer.adaLN_modulation.1", w, 2 * w, &ok);
    return ok;
}

/* Glorot uniform, a patch's weights as those of a linear layer; embeddings normal; what makes the
 * modulations and the output stays 0. */
static bool initialise(ito_dit *d, ito_generator *g)
{
    ito_named_tensors *p = ito_module_parameters(&d->base);
    bool good = p != NULL;
    for (int64_t i = 0; good && i < p->n; i++) {
        ito_tensor *w = p->tensors[i];
        const char *name = p->names[i];
        if (w->ndim < 2 || strstr(name, "adaLN") != NULL || strncmp(name, "final_layer", 11) == 0)
            continue;
        double bound = sqrt(6.0 / (double)(w->shape[0] + ito_numel(w) / w->shape[0]));
        bool embeds = strncmp(name, "pos", 3) == 0 || strstr(name, "embedder.mlp") != NULL ||
                      strstr(name, "table") != NULL;
        good = (embeds ? ito_init_normal(w, 0, 0.02, g) : ito_init_uniform(w, -bound, bound, g)) !=
               NULL;
    }
    ito_named_tensors_free(p);
    return good;
}

static void dit_destroy(ito_module *m)
{
    struct dit_layers *l = ((ito_dit *)m)->layers;
    if (l != NULL) {
        ito_release(l->cosine);
        ito_release(l->sine);
    }
    free(l);
}

static ito_tensor *no_forward(ito_module *m, ito_tensor *x)
{
    (void)m;
    (void)x;
    return error_null(ITO_ERR_ARGUMENT, "dit: it takes times besides images: ito_dit_forward");
}

ito_dit *ito_dit_create_with(int64_t channels, int64_t height, int64_t width, ito_dit_options o)
{
    if (!check(channels, height, width, &o))
        return NULL;
    if (o.out_channels == 0)
        o.out_channels = channels;
    ito_dit *d = ito_module_create(NULL, "", sizeof *d);
    if (d == NULL)
        return NULL;
    d->channels = channels;
    d->height = height;
    d->width = width;
    d->options = o;
    d->precision = o.dtype;
    d->base.destroy = dit_destroy;
    d->base.forward = no_forward;
    d->network = (ito_network){.evaluate = dit_evaluate, .context = d};
    d->layers = struct_alloc(sizeof *d->layers + (size_t)o.depth * sizeof(dit_block));
    ito_scope_begin(); /* for tensors whose registration fails */
    bool good =
        d->layers != NULL && add_layers(d) && (o.generator == NULL || initialise(d, o.generator));
    ito_scope_end();
    d->options.generator = NULL; /* the caller's, and no longer of use */
    if (good)
        return d;
    ito_module_free(&d->base);
    return NULL;
}
