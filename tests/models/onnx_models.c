/* Writes the networks of the library and of its examples as ONNX files, with inputs and results of
 * two batches beside, for tests/reference/onnx_check.py to run: onnx_models DIRECTORY. Weights are
 * random; those that begin near 0 are made larger, so that every layer shows. */
#include "examples/audio/network.h"
#include "examples/few_step/plane.h"
#include "examples/physics/burgers.h"
#include "examples/toy/mlp.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUTS = 3, BATCH = 2, OTHER_BATCH = 5 };

static const char *directory;
static bool failed;

/* An input of any batch. */
typedef struct input {
    const char *name;
    ito_shape shape; /* behind the batch */
    int64_t below;   /* i64, uniform below it; 0: f32, normal */
} input;

typedef struct model {
    const char *name;
    ito_function *f;
    void *context;
    ito_module *module;
    input input[INPUTS];
    bool external;
} model;

static void check(bool good, const char *name)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", name, ito_error());
    failed = true;
}

static ito_tensor *draw(const input *in, int64_t batch, uint64_t seed)
{
    ito_generator g = ito_generator_make(seed, 1);
    ito_shape shape = {.ndim = in->shape.ndim + 1, .dim = {batch}};
    for (int i = 0; i < in->shape.ndim; i++)
        shape.dim[i + 1] = in->shape.dim[i];
    if (in->below == 0)
        return ito_randn(&g, shape, ITO_F32);
    return ito_cast(ito_mul_scalar(ito_rand(&g, shape, ITO_F64), (double)in->below), ITO_I64);
}

static int draw_all(const model *m, int64_t batch, ito_tensor **x)
{
    int n = 0;
    for (; n < INPUTS && m->input[n].name != NULL; n++)
        x[n] = draw(&m->input[n], batch, (uint64_t)(batch * INPUTS + n));
    return n;
}

static void save(const char *name, const char *which, const char *what, const ito_tensor *t)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s%s.%s.npy", directory, name, which, what);
    check(ito_npy_save(path, t) == ITO_OK, name);
}

/* What the function gives for a batch. */
static void save_batch(const model *m, int64_t batch, const char *which)
{
    ito_tensor *x[INPUTS];
    ito_scope_begin();
    int n = draw_all(m, batch, x);
    ito_tensor *y = m->f(x, n, m->context);
    check(y != NULL, m->name);
    double size = y == NULL ? 0 : ito_item(ito_mean(ito_abs(y)));
    if (!(size > 1e-4 && size < 1e4)) { /* of which nothing could be told */
        fprintf(stderr, "%s: the mean size of the result is %g\n", m->name, size);
        failed = true;
    }
    for (int i = 0; i < n && y != NULL; i++)
        save(m->name, which, m->input[i].name, x[i]);
    if (y != NULL)
        save(m->name, which, "output", y);
    ito_scope_end();
}

/* Standard normal, scaled so that sizes stay as they are from layer to layer. */
static bool draw_weights(ito_module *m)
{
    ito_generator g = ito_generator_make(9, 9);
    ito_named_tensors *p = ito_module_parameters(m);
    bool good = p != NULL;
    for (int64_t i = 0; good && i < p->n; i++) {
        ito_tensor *t = p->tensors[i];
        ito_shape shape = ito_shape_of(t);
        double inputs = shape.ndim < 2 ? 100 : (double)ito_numel(t) / (double)shape.dim[0];
        double mean = strstr(p->names[i], "norm") != NULL && shape.ndim == 1 &&
                      strstr(p->names[i], "weight") != NULL;
        good = ito_init_normal(t, mean, 1 / sqrt(inputs), &g) != NULL;
    }
    ito_named_tensors_free(p);
    return good;
}

static void write_model(model m)
{
    const char *names[INPUTS];
    char path[600];
    ito_tensor *x[INPUTS];
    check(m.module != NULL, m.name);
    if (m.module == NULL)
        return;
    ito_scope_begin();
    ito_module_train(m.module, false);
    check(draw_weights(m.module), m.name);
    int n = draw_all(&m, BATCH, x);
    for (int i = 0; i < n; i++)
        names[i] = m.input[i].name;
    snprintf(path, sizeof path, "%s/%s.onnx", directory, m.name);
    check(ito_onnx_save(path, m.f, m.context, x, n, .module = m.module, .input_names = names,
                        .external = m.external) == ITO_OK,
          m.name);
    ito_scope_end();
    ito_no_grad_begin();
    save_batch(&m, BATCH, "");
    save_batch(&m, OTHER_BATCH, ".2");
    ito_no_grad_end();
    ito_module_free(m.module);
    ito_error_clear();
}

/* ---- networks ----------------------------------------------------------------------------------
 */

#define FUNCTION(name, result)                                                                     \
    static ito_tensor *name(ito_tensor *const *x, int64_t n, void *context)                        \
    {                                                                                              \
        (void)n;                                                                                   \
        return result;                                                                             \
    }
FUNCTION(unet, ito_unet_forward(context, x[0], x[1]))
FUNCTION(unet_class, ito_unet_forward_class(context, x[0], x[1], x[2]))
FUNCTION(dit, ito_dit_forward_class(context, x[0], x[1], x[2]))
FUNCTION(classifier, ito_classifier_logits(context, ito_classifier_features(context, x[0])))
FUNCTION(noise_classifier, ito_noise_classifier_logits(context, x[0], x[1]))
FUNCTION(inception, ito_inception_logits(context, ito_inception_features(context, x[0])))
FUNCTION(gpt, ito_gpt_forward(context, x[0]))
FUNCTION(vae_decoder, ito_vae_decode(context, x[0]))
FUNCTION(sequential, ito_module_forward(context, x[0]))
FUNCTION(burgers, burgers_ansatz(x, 1, context))
FUNCTION(mlp_network, ito_network_evaluate(&((mlp *)context)->network,
                                           &(ito_network_input){.x = x[0], .t = x[1]}))
FUNCTION(wave_network,
         ito_network_evaluate(&((wave_net *)context)->network,
                              &(ito_network_input){.x = x[0], .t = x[1], .labels = x[2]}))
FUNCTION(plane, mean_velocity_at(&((plane_network *)context)->u, x[0], x[1], x[2]))

/* Rounded after each operation, to the bit. */
static ito_tensor *in_bf16(ito_tensor *const *x, int64_t n, void *context)
{
    (void)n, (void)context;
    ito_tensor *h = ito_cast(x[0], ITO_BF16);
    return ito_cast(ito_sub(ito_mul(h, h), ito_relu(h)), ITO_F32);
}

static ito_tensor *vae_encoder(ito_tensor *const *x, int64_t n, void *context)
{
    ito_tensor *mean, *log_variance;
    (void)n;
    if (ito_vae_encode(context, x[0], &mean, &log_variance) != ITO_OK)
        return NULL;
    return ito_cat(ITO_TENSORS(mean, log_variance), 1);
}

static void write_config(const char *name, const ito_unet_config *c, bool external)
{
    ito_unet *u = ito_unet_create(c, NULL);
    bool labels = c->classes > 0 || c->class_kind == ITO_UNET_CLASS_TIMESTEP;
    int64_t below = c->class_kind == ITO_UNET_CLASS_OR_NONE ? c->classes + 1 : 10;
    write_model((model){name,
                        labels ? unet_class : unet,
                        u,
                        u == NULL ? NULL : &u->base,
                        {{"sample", ITO_SHAPE(c->in_channels, c->height, c->width), 0},
                         {"timestep", ITO_SHAPE(), 1000},
                         {labels ? "class_labels" : NULL, ITO_SHAPE(), below}},
                        external});
}

static void write_unet(const char *name, const char *preset, int64_t channels, int64_t size,
                       int64_t classes, bool external)
{
    ito_unet_config config;
    check(ito_unet_preset(preset, channels, size, size, &config) == ITO_OK, name);
    config.classes = classes;
    write_config(name, &config, external);
}

/* What diffusers' UNet2DModel can be besides. */
static void write_settings(void)
{
    ito_unet_config c = {.in_channels = 3,
                         .height = 16,
                         .width = 16,
                         .channels = 16,
                         .levels = 2,
                         .multipliers = {1, 2},
                         .attention = {false, true},
                         .blocks = 1};
    ito_unet_config other = c;
    other.head_channels = 8;
    other.scale_shift = other.flip_sin_to_cos = other.center_input = true;
    other.down_resnet[0] = other.up_resnet[1] = true;
    other.activation = ITO_UNET_GELU;
    other.middle_scale = 1.5;
    other.class_kind = ITO_UNET_CLASS_TIMESTEP;
    write_config("unet_settings", &other, false);
    other = c;
    other.time = ITO_UNET_TIME_FOURIER;
    other.downsample_padding = 1;
    other.activation = ITO_UNET_MISH;
    write_config("unet_fourier", &other, false);
    other = c;
    other.time = ITO_UNET_TIME_LEARNED;
    other.times = 1000;
    other.middle = ITO_UNET_MIDDLE_NONE;
    write_config("unet_learned", &other, false);
}

static void write_dit(const char *name, ito_dit_positions positions)
{
    ito_dit *d = ito_dit_create(3, 8, 8, .hidden_size = 48, .depth = 2, .num_heads = 3,
                                .classes = 10, .positions = positions);
    write_model((model){name,
                        dit,
                        d,
                        d == NULL ? NULL : &d->base,
                        {{"sample", ITO_SHAPE(3, 8, 8), 0},
                         {"timestep", ITO_SHAPE(), 1000},
                         {"class_labels", ITO_SHAPE(), 11}},
                        false});
}

static void write_gpt(const char *name, bool rotary)
{
    ito_gpt *g = ito_gpt_create(65, 32, .n_layer = 2, .n_head = 4, .n_embd = 64, .rotary = rotary);
    write_model(
        (model){name, gpt, g, g == NULL ? NULL : &g->base, {{"tokens", ITO_SHAPE(24), 65}}, false});
}

static void write_vae(const char *name, bool spatial, bool encoder)
{
    ito_vae *v = ito_vae_create(1, 28, 28, .latent = 4, .spatial = spatial, .width = 8);
    ito_shape code = v == NULL ? ITO_SHAPE() : v->code;
    write_model((model){name,
                        encoder ? vae_encoder : vae_decoder,
                        v,
                        v == NULL ? NULL : &v->base,
                        {{"input", encoder ? ITO_SHAPE(1, 28, 28) : code, 0}},
                        false});
}

static void write_classifiers(void)
{
    ito_classifier *c = ito_classifier_create(1, 10);
    write_model((model){"classifier",
                        classifier,
                        c,
                        c == NULL ? NULL : &c->base,
                        {{"images", ITO_SHAPE(1, 28, 28), 0}},
                        false});
    ito_noise_classifier *n = ito_noise_classifier_create(
        &(ito_noise_classifier_config){.in_channels = 3, .channels = 32, .classes = 10}, NULL);
    write_model((model){"noise_classifier",
                        noise_classifier,
                        n,
                        n == NULL ? NULL : &n->base,
                        {{"sample", ITO_SHAPE(3, 32, 32), 0}, {"timestep", ITO_SHAPE(), 1000}},
                        false});
    ito_inception *i = ito_inception_create();
    write_model((model){"inception",
                        inception,
                        i,
                        i == NULL ? NULL : &i->base,
                        {{"images", ITO_SHAPE(3, 80, 96), 0}},
                        true});
}

/* Layers with an activation between them, as examples/flow and examples/physics make them. */
static ito_module *perceptron(int64_t in, int64_t width, int64_t out, int layers,
                              ito_tensor *(*activation)(ito_tensor *))
{
    ito_module *m = ito_sequential_create(NULL, "");
    for (int i = 0; m != NULL && i <= layers; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", 2 * i);
        check(ito_linear_create(m, name, i == 0 ? in : width, i == layers ? out : width) != NULL,
              "perceptron");
        snprintf(name, sizeof name, "%d", 2 * i + 1);
        if (i < layers)
            check(ito_activation_create(m, name, activation) != NULL, "perceptron");
    }
    return m;
}

static void write_examples(void)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_module *flow = perceptron(3, 128, 2, 3, ito_silu);
    write_model((model){"flow", sequential, flow, flow, {{"x_and_t", ITO_SHAPE(3), 0}}, false});
    ito_module *physics = perceptron(2, 32, 1, 4, ito_tanh);
    write_model(
        (model){"physics", burgers, physics, physics, {{"points", ITO_SHAPE(2), 0}}, false});
    mlp *toy = mlp_create(64, &g);
    write_model((model){"toy",
                        mlp_network,
                        toy,
                        toy == NULL ? NULL : &toy->base,
                        {{"x", ITO_SHAPE(2), 0}, {"t", ITO_SHAPE(), 0}},
                        false});
    wave_net *audio = wave_net_create(32, &g);
    write_model(
        (model){"audio",
                wave_network,
                audio,
                audio == NULL ? NULL : &audio->base,
                {{"x", ITO_SHAPE(1, 256), 0}, {"t", ITO_SHAPE(), 0}, {"note", ITO_SHAPE(), 8}},
                false});
    ito_module *none = ito_module_create(NULL, "", sizeof *none);
    write_model((model){"bf16", in_bf16, NULL, none, {{"x", ITO_SHAPE(50), 0}}, false});
    plane_network *few = plane_network_create(64, &g);
    write_model((model){"few_step",
                        plane,
                        few,
                        few == NULL ? NULL : &few->base,
                        {{"x", ITO_SHAPE(2), 0}, {"t", ITO_SHAPE(1), 0}, {"r", ITO_SHAPE(1), 0}},
                        false});
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: onnx_models DIRECTORY\n");
        return 2;
    }
    directory = argv[1];
    write_unet("unet_small", "small", 1, 28, 0, false);
    write_unet("unet_class", "small", 1, 28, 10, false);
    write_unet("unet_cifar10", "cifar10", 3, 32, 0, false);
    write_unet("unet_lsun256", "lsun256", 3, 64, 0, true);
    write_settings();
    write_dit("dit_sincos", ITO_DIT_SINCOS);
    write_dit("dit_rotary", ITO_DIT_ROTARY);
    write_gpt("gpt", false);
    write_gpt("gpt_rotary", true);
    write_vae("vae_encoder", false, true);
    write_vae("vae_decoder", false, false);
    write_vae("vae_spatial_encoder", true, true); /* examples/latent */
    write_vae("vae_spatial_decoder", true, false);
    write_classifiers();
    write_examples();
    return failed;
}
