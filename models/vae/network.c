/* The convolutional networks of a VAE, and its files. */
#include "autograd/ops.h"
#include "models/vae/vae.h"
#include "nn/layers.h"
#include "tensor/c_locale.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 8192 /* of each size, so that no product of them overflows */

/* ---- networks ---- */

/* A sequential network in the making: layers "0", "1", ... */
typedef struct stack {
    ito_module *net;
    const ito_vae_options *o;
    int n;
    bool good;
} stack;

static stack begin(ito_vae *vae, const char *name, const ito_vae_options *o)
{
    ito_module *net = ito_sequential_create(&vae->base, name);
    return (stack){.net = net, .o = o, .good = net != NULL};
}

/* Add the layer that `create` makes in `s->net` under the next name. */
#define ADD(s, create, ...)                                                                        \
    do {                                                                                           \
        char name[16];                                                                             \
        snprintf(name, sizeof name, "%d", (s)->n++);                                               \
        (s)->good = (s)->good && create((s)->net, name, __VA_ARGS__) != NULL;                      \
    } while (0)
#define WEIGHTS(s) .generator = (s)->o->generator, .dtype = (s)->o->dtype

static void add_norm(stack *s, int64_t channels)
{
    ADD(s, ito_group_norm_create, channels, channels % 8 == 0 ? 8 : 1, .dtype = s->o->dtype);
    ADD(s, ito_activation_create, ito_silu);
}

static void add_conv(stack *s, int64_t channels)
{
    ADD(s, ito_conv2d_create, channels, channels, 3, .padding = 1, WEIGHTS(s));
    add_norm(s, channels);
}

static ito_tensor *to_row(ito_tensor *x)
{
    return ito_flatten(ito_contiguous(x), 1, 3);
}

static ito_tensor *to_pixel(ito_tensor *z)
{
    return ito_unsqueeze(ito_unsqueeze(z, 2), 3);
}

static ito_module *encoder(ito_vae *vae, const ito_vae_options *o)
{
    stack s = begin(vae, "encoder", o);
    int64_t in = vae->image.dim[0], out = o->width;
    for (int64_t i = 0; i < o->levels; i++, in = out, out *= 2) {
        ADD(&s, ito_conv2d_create, in, out, 4, .stride = 2, .padding = 1, WEIGHTS(&s));
        add_norm(&s, out);
        add_conv(&s, out);
    }
    if (o->spatial) {
        ADD(&s, ito_conv2d_create, in, 2 * o->latent, 3, .padding = 1, WEIGHTS(&s));
    } else {
        ito_shape all = ITO_SHAPE(vae->image.dim[1] >> o->levels, vae->image.dim[2] >> o->levels);
        ADD(&s, ito_conv2d_create, in, 2 * o->latent, 1, .kernels = all, WEIGHTS(&s));
        ADD(&s, ito_activation_create, to_row);
    }
    return s.good ? s.net : NULL;
}

static ito_module *decoder(ito_vae *vae, const ito_vae_options *o)
{
    stack s = begin(vae, "decoder", o);
    int64_t in = o->width << (o->levels - 1);
    if (o->spatial) {
        ADD(&s, ito_conv2d_create, o->latent, in, 3, .padding = 1, WEIGHTS(&s));
    } else {
        ito_shape all = ITO_SHAPE(vae->image.dim[1] >> o->levels, vae->image.dim[2] >> o->levels);
        ADD(&s, ito_activation_create, to_pixel);
        ADD(&s, ito_conv_transpose2d_create, o->latent, in, 1, .kernels = all, WEIGHTS(&s));
    }
    add_norm(&s, in);
    for (int64_t i = o->levels - 1; i >= 0; i--, in /= 2) {
        add_conv(&s, in);
        ADD(&s, ito_conv_transpose2d_create, in, i > 0 ? in / 2 : vae->image.dim[0], 4, .stride = 2,
            .padding = 1, WEIGHTS(&s));
        if (i > 0)
            add_norm(&s, in / 2);
    }
    return s.good ? s.net : NULL;
}

static bool in_range(const char *what, int64_t value, int64_t most)
{
    return (value >= 1 && value <= most) ||
           error_false(ITO_ERR_RANGE, "vae: %s is %" PRId64 "; it must be 1 to %" PRId64, what,
                       value, most);
}

static bool check(int64_t channels, int64_t height, int64_t width, const ito_vae_options *o)
{
    if (!in_range("the number of channels", channels, MOST) || !in_range("height", height, MOST) ||
        !in_range("width", width, MOST) || !in_range("latent", o->latent, MOST) ||
        !in_range("levels", o->levels, 8) || !in_range("the width of a level", o->width, MOST))
        return false;
    int64_t unit = (int64_t)1 << o->levels;
    return (height % unit == 0 && width % unit == 0) ||
           error_false(ITO_ERR_SHAPE,
                       "vae: images of %" PRId64 "x%" PRId64 " cannot be halved %" PRId64
                       " times; their sides must be multiples of %" PRId64,
                       height, width, o->levels, unit);
}

ito_vae *ito_vae_create_with(int64_t channels, int64_t height, int64_t width, ito_vae_options o)
{
    if (!check(channels, height, width, &o))
        return NULL;
    ito_vae *vae = ito_module_create(NULL, "", sizeof *vae);
    if (vae == NULL)
        return NULL;
    vae->image = ITO_SHAPE(channels, height, width);
    vae->code = o.spatial ? ITO_SHAPE(o.latent, height >> o.levels, width >> o.levels)
                          : ITO_SHAPE(o.latent);
    vae->likelihood = o.likelihood != NULL ? *o.likelihood : ito_vae_bernoulli;
    vae->encoder = encoder(vae, &o);
    vae->decoder = vae->encoder != NULL ? decoder(vae, &o) : NULL;
    if (vae->decoder == NULL)
        goto fail;
    vae->options = o;
    vae->options.generator = NULL;
    vae->options.likelihood = NULL;
    return vae;
fail:
    ito_module_free(&vae->base);
    return NULL;
}

/* ---- files: the metadata has the settings, each under its name ---- */

enum { CHANNELS, HEIGHT, WIDTH, LATENT, SPATIAL, LEVELS, LEVEL_WIDTH, SIGMA, NUMBERS };
static const char *const keys[] = {"vae.channels",    "vae.height",  "vae.width",
                                   "vae.latent",      "vae.spatial", "vae.levels",
                                   "vae.level_width", "vae.sigma",   "vae.likelihood"};

static const ito_vae_likelihood *const likelihoods[] = {&ito_vae_bernoulli, &ito_vae_gaussian};

/* The library's likelihood of that name, or NULL. */
static const ito_vae_likelihood *find_likelihood(const char *name)
{
    for (size_t i = 0; name != NULL && i < sizeof likelihoods / sizeof likelihoods[0]; i++)
        if (strcmp(likelihoods[i]->name, name) == 0)
            return likelihoods[i];
    return NULL;
}

ito_status ito_vae_save(const ito_vae *vae, const char *path)
{
    if (vae == NULL || path == NULL)
        return error_missing("vae_save", vae == NULL ? "vae" : "path");
    const ito_vae_likelihood *known = find_likelihood(vae->likelihood.name);
    if (vae->image.ndim == 0 || known == NULL || known->log_prob != vae->likelihood.log_prob ||
        known->mean != vae->likelihood.mean)
        return error_status(ITO_ERR_ARGUMENT,
                            "vae_save: a model with networks or a likelihood of your own is saved "
                            "by ito_module_save");
    const ito_vae_options *o = &vae->options;
    const double numbers[] = {[CHANNELS] = (double)vae->image.dim[0],
                              [HEIGHT] = (double)vae->image.dim[1],
                              [WIDTH] = (double)vae->image.dim[2],
                              [LATENT] = (double)o->latent,
                              [SPATIAL] = o->spatial,
                              [LEVELS] = (double)o->levels,
                              [LEVEL_WIDTH] = (double)o->width,
                              [SIGMA] = vae->likelihood.sigma};
    char texts[NUMBERS][32];
    const char *values[NUMBERS + 1];
    locale_t before = uselocale(c_locale());
    for (int i = 0; i < NUMBERS; i++) {
        snprintf(texts[i], sizeof texts[i], "%.17g", numbers[i]);
        values[i] = texts[i];
    }
    uselocale(before);
    values[NUMBERS] = known->name;
    return ito_module_save(&vae->base, path, .metadata_keys = keys, .metadata_values = values,
                           .n_metadata = NUMBERS + 1);
}

/* The numbers of the metadata; false unless each is there, and small if it is a size. */
static bool read_numbers(const ito_safetensors *file, double *numbers)
{
    for (int i = 0; i < NUMBERS; i++) {
        const char *text = ito_safetensors_metadata(file, keys[i]);
        char *end = NULL;
        numbers[i] = text != NULL ? c_strtod(text, &end) : 0;
        if (text == NULL || end == text || *end != '\0' || !(fabs(numbers[i]) <= 1e9))
            return false;
    }
    return true;
}

static ito_vae *create_from(const ito_safetensors *file, const char *path)
{
    double n[NUMBERS];
    const ito_vae_likelihood *known =
        find_likelihood(ito_safetensors_metadata(file, keys[NUMBERS]));
    if (known == NULL || !read_numbers(file, n))
        return error_null(ITO_ERR_FORMAT, "%s: it holds no settings of a VAE", path);
    ito_vae_likelihood likelihood = *known;
    likelihood.sigma = n[SIGMA];
    return ito_vae_create((int64_t)n[CHANNELS], (int64_t)n[HEIGHT], (int64_t)n[WIDTH],
                          .latent = (int64_t)n[LATENT], .spatial = n[SPATIAL] != 0,
                          .levels = (int64_t)n[LEVELS], .width = (int64_t)n[LEVEL_WIDTH],
                          .likelihood = &likelihood);
}

ito_vae *ito_vae_load(const char *path)
{
    ito_safetensors *file = path != NULL ? ito_safetensors_open(path) : NULL;
    if (path == NULL)
        error_missing("vae_load", "path");
    ito_vae *vae = file != NULL ? create_from(file, path) : NULL;
    if (vae != NULL && ito_module_load_file(&vae->base, file) != ITO_OK) {
        ito_module_free(&vae->base);
        vae = NULL;
    }
    ito_safetensors_close(file);
    return vae;
}
