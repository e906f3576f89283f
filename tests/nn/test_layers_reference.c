/* Layers against PyTorch: each case of tests/reference/layers.safetensors has the same state dict,
 * the same result, the same gradients and leaves the same buffers, in f64. Every case of the file
 * is in the list below; README.md there describes them. */
#include "autograd/ops.h"
#include "nn/layers.h"
#include "nn/layers_mp.h"
#include "nn/layers_norm.h"
#include "nn/layers_pool.h"
#include "nn/layers_recurrent.h"
#include "nn/layers_transformer.h"
#include "nn/parametrise.h"
#include "tests/autograd/op_check.h"
#include "tests/nn/nn_check.h"

#include <math.h>
#include <string.h>

/* Sums of at most a few hundred products of magnitude 4, each rounded to 2^-53 on either side in an
 * order of its own: below 10^-12 of the largest element. */
static const double tolerance = 1e-12;

enum { MAX_INPUTS = 4 };

typedef struct layer_case {
    const char *name;
    ito_module *(*make)(void);                                 /* weights are loaded */
    ito_tensor *(*call)(ito_module *m, ito_tensor *const *in); /* NULL: ito_module_forward */
} layer_case;

/* A function that makes a layer, and possibly changes it. */
#define LAYER(name, layer)                                                                         \
    static ito_module *make_##name(void)                                                           \
    {                                                                                              \
        return &(layer)->base;                                                                     \
    }
#define CALL(name, result)                                                                         \
    static ito_tensor *call_##name(ito_module *m, ito_tensor *const *in)                           \
    {                                                                                              \
        (void)m;                                                                                   \
        return result;                                                                             \
    }
#define F64 .dtype = ITO_F64

/* For cases of a function. */
static ito_module *nothing(void)
{
    return ito_module_create(NULL, "", sizeof(ito_module));
}

/* ---- computed weights ------------------------------------------------------------------------ */

static ito_module *weight_norm(ito_module *m, int dim)
{
    cr_assert_eq(ito_weight_norm(m, .dim = dim), ITO_OK, "%s", ito_error());
    return m;
}

static ito_module *spectral_norm(ito_module *m, int dim, int64_t iterations)
{
    cr_assert_eq(ito_spectral_norm(m, .dim = dim, .n_power_iterations = iterations), ITO_OK, "%s",
                 ito_error());
    return m;
}

LAYER(linear, ito_linear_create(NULL, "", 5, 3, F64))
LAYER(conv2d, ito_conv2d_create(NULL, "", 2, 3, 3, F64))

static ito_module *weight_norm_linear(void)
{
    return weight_norm(make_linear(), 0);
}
static ito_module *weight_norm_conv(void)
{
    return weight_norm(make_conv2d(), 1);
}
static ito_module *weight_norm_all(void)
{
    return weight_norm(make_linear(), -1);
}
static ito_module *spectral_norm_linear(void)
{
    return spectral_norm(make_linear(), 0, 1);
}
static ito_module *spectral_norm_conv(void)
{
    return spectral_norm(make_conv2d(), 1, 2);
}
static ito_module *spectral_norm_evaluation(void)
{
    return spectral_norm(make_conv2d(), 0, 1);
}

/* ---- preserving magnitudes ------------------------------------------------------------------- */

CALL(mp_silu, ito_mp_silu(in[0]))
CALL(mp_sum, ito_mp_sum(in[0], in[1], 0.3))
CALL(mp_cat, ito_mp_cat(in[0], in[1], 1, 0.3))
CALL(mp_pixel_norm, ito_mp_pixel_norm(in[0], 1))
LAYER(mp_linear, ito_mp_linear_create(NULL, "", 5, 3, F64))
CALL(mp_linear_gain, ito_mp_linear_forward_gain((ito_mp_linear_layer *)m, in[0], in[1]))
LAYER(mp_conv2d, ito_mp_conv2d_create(NULL, "", 2, 3, 3, F64))
LAYER(mp_fourier, ito_mp_fourier_create(NULL, "", 6, F64))
LAYER(fourier_features, ito_fourier_features_create(NULL, "", 3, 6, F64))

/* ---- convolutions ---------------------------------------------------------------------------- */

LAYER(conv1d, ito_conv1d_create(NULL, "", 4, 6, 3, .stride = 2, .padding = 1, .groups = 2, F64))
LAYER(conv1d_same, ito_conv1d_create(NULL, "", 2, 3, 4, .padding = ITO_PADDING_SAME, .dilation = 2,
                                     F64, .padding_mode = ITO_PADDING_CIRCULAR))
LAYER(conv2d_axes, ito_conv2d_create(NULL, "", 2, 3, 0, .bias = false, F64,
                                     .kernels = ITO_SHAPE(3, 2), .strides = ITO_SHAPE(2, 1),
                                     .paddings = ITO_SHAPE(1, 0), .dilations = ITO_SHAPE(1, 2)))
LAYER(conv3d, ito_conv3d_create(NULL, "", 2, 4, 0, .stride = 2, .padding = 1, .groups = 2, F64,
                                .kernels = ITO_SHAPE(2, 3, 1)))
LAYER(conv_transpose1d, ito_conv_transpose1d_create(NULL, "", 4, 6, 3, .stride = 2, .padding = 1,
                                                    .output_padding = 1, .groups = 2, F64))
LAYER(conv_transpose2d,
      ito_conv_transpose2d_create(NULL, "", 2, 3, 0, .bias = false, F64, .kernels = ITO_SHAPE(3, 2),
                                  .strides = ITO_SHAPE(2, 1), .paddings = ITO_SHAPE(1, 0),
                                  .dilations = ITO_SHAPE(1, 2)))
LAYER(conv_transpose3d, ito_conv_transpose3d_create(NULL, "", 2, 3, 2, .stride = 2, F64))

/* ---- attention ------------------------------------------------------------------------------- */

#define ATTEND(m, q, k, v, ...)                                                                    \
    ito_multi_head_attention_forward((ito_multi_head_attention_layer *)m, q, k, v, __VA_ARGS__)

LAYER(mha, ito_multi_head_attention_create(NULL, "", 6, 2, F64))
LAYER(mha_alone, ito_multi_head_attention_create(NULL, "", 6, 3, .bias = false, F64))
LAYER(mha_batch_first, ito_multi_head_attention_create(NULL, "", 6, 2, .batch_first = true, F64))
LAYER(mha_cross, ito_multi_head_attention_create(NULL, "", 6, 2, .kdim = 5, .vdim = 4, F64))
CALL(mha_masks, ATTEND(m, in[0], in[0], in[0], .key_padding_mask = in[2], .attn_mask = in[1]))
CALL(mha_mask_of_numbers, ATTEND(m, in[0], in[0], in[0], .attn_mask = in[1]))
CALL(mha_causal, ATTEND(m, in[0], in[0], in[0], .is_causal = true))
CALL(mha_cross, ATTEND(m, in[0], in[1], in[2], .is_causal = false))

/* ---- transformers ---------------------------------------------------------------------------- */

#define SIZES .dim_feedforward = 7, .dropout = 0

LAYER(encoder_layer, ito_transformer_encoder_layer_create(NULL, "", 6, 2, SIZES, F64))
LAYER(encoder_layer_norm_first,
      ito_transformer_encoder_layer_create(NULL, "", 6, 2, SIZES, .activation = ito_gelu,
                                           .batch_first = true, .norm_first = true, F64))
CALL(encoder_layer_causal, ito_transformer_encoder_layer_forward((ito_transformer_encoder_layer *)m,
                                                                 in[0], .is_causal = true))
LAYER(decoder_layer, ito_transformer_decoder_layer_create(NULL, "", 6, 2, SIZES, F64))
CALL(decoder_layer_causal,
     ito_transformer_decoder_layer_forward((ito_transformer_decoder_layer *)m, in[0], in[1],
                                           .tgt_is_causal = true))
LAYER(decoder_layer_norm_first,
      ito_transformer_decoder_layer_create(NULL, "", 6, 2, SIZES, .norm_first = true, .bias = false,
                                           F64))
CALL(decoder_layer,
     ito_transformer_decoder_layer_forward((ito_transformer_decoder_layer *)m, in[0], in[1]))
LAYER(encoder, ito_transformer_encoder_create(NULL, "", 6, 2, 2, SIZES, .norm = true, F64))
LAYER(decoder, ito_transformer_decoder_create(NULL, "", 6, 2, 2, SIZES, .norm = true, F64))
CALL(decoder, ito_transformer_decoder_forward((ito_transformer_stack *)m, in[0], in[1]))

/* ---- norms with running statistics ----------------------------------------------------------- */

LAYER(batch_norm, ito_batch_norm_create(NULL, "", 3, F64))
LAYER(batch_norm_evaluation, ito_batch_norm_create(NULL, "", 3, .eps = 0.1, F64))
LAYER(batch_norm_of_all, ito_batch_norm_create(NULL, "", 3, .momentum = (double)NAN, F64))
LAYER(batch_norm_untracked,
      ito_batch_norm_create(NULL, "", 3, .affine = false, .track_running_stats = false, F64))
LAYER(instance_norm, ito_instance_norm_create(NULL, "", 3, F64))
LAYER(instance_norm_tracked, ito_instance_norm_create(NULL, "", 3, .momentum = 0.3, .affine = true,
                                                      .track_running_stats = true, F64))

/* ---- pools ----------------------------------------------------------------------------------- */

LAYER(max_pool1d, ito_max_pool1d_create(NULL, "", 2, .dilation = 2))
LAYER(max_pool2d, ito_max_pool2d_create(NULL, "", 3, .stride = 2, .padding = 1, .ceil_mode = true))
LAYER(max_pool3d, ito_max_pool3d_create(NULL, "", 0, .kernels = ITO_SHAPE(1, 2, 2)))
LAYER(avg_pool1d, ito_avg_pool1d_create(NULL, "", 3, .padding = 1, .count_include_pad = false))
LAYER(avg_pool2d, ito_avg_pool2d_create(NULL, "", 2, .stride = 1))
LAYER(avg_pool3d, ito_avg_pool3d_create(NULL, "", 2))
LAYER(adaptive_avg_pool1d, ito_adaptive_avg_pool_create(NULL, "", 1, ITO_SHAPE(3)))
LAYER(adaptive_avg_pool2d, ito_adaptive_avg_pool_create(NULL, "", 2, ITO_SHAPE(2, 3)))
LAYER(adaptive_max_pool3d, ito_adaptive_max_pool_create(NULL, "", 3, ITO_SHAPE(2)))

/* ---- recurrent networks ---------------------------------------------------------------------- */

LAYER(lstm, ito_lstm_create(NULL, "", 3, 4, .num_layers = 2, .bidirectional = true, F64))
LAYER(gru, ito_gru_create(NULL, "", 3, 4, .num_layers = 2, .batch_first = true, F64))
LAYER(gru_alone, ito_gru_create(NULL, "", 3, 4, .bias = false, .bidirectional = true, F64))
LAYER(rnn_relu, ito_rnn_create(NULL, "", 3, 4, .relu = true, F64))
LAYER(rnn_tanh, ito_rnn_create(NULL, "", 3, 4, F64))

static ito_tensor *flat(ito_tensor *x)
{
    return ito_reshape(x, -1);
}

/* The result and the last states in a row. */
static ito_tensor *call_recurrent(ito_module *m, ito_tensor *const *in)
{
    ito_recurrent_layer *l = (ito_recurrent_layer *)m;
    bool lstm = l->gates == 4;
    ito_tensor *h = NULL, *c = NULL;
    ito_tensor *y = ito_recurrent_forward(l, in[0], .h_0 = in[1], .c_0 = in[2], .h_n = &h,
                                          .c_n = lstm ? &c : NULL);
    if (y == NULL)
        return NULL;
    return lstm ? ito_cat(ITO_TENSORS(flat(y), flat(h), flat(c)), 0)
                : ito_cat(ITO_TENSORS(flat(y), flat(h)), 0);
}

static const layer_case cases[] = {
    {"batch_norm", make_batch_norm, NULL},
    {"batch_norm_evaluation", make_batch_norm_evaluation, NULL},
    {"batch_norm_of_all", make_batch_norm_of_all, NULL},
    {"batch_norm_untracked_evaluation", make_batch_norm_untracked, NULL},
    {"instance_norm", make_instance_norm, NULL},
    {"instance_norm_tracked", make_instance_norm_tracked, NULL},
    {"instance_norm_evaluation", make_instance_norm_tracked, NULL},
    {"max_pool1d", make_max_pool1d, NULL},
    {"max_pool2d", make_max_pool2d, NULL},
    {"max_pool3d", make_max_pool3d, NULL},
    {"avg_pool1d", make_avg_pool1d, NULL},
    {"avg_pool2d", make_avg_pool2d, NULL},
    {"avg_pool3d", make_avg_pool3d, NULL},
    {"adaptive_avg_pool1d", make_adaptive_avg_pool1d, NULL},
    {"adaptive_avg_pool2d", make_adaptive_avg_pool2d, NULL},
    {"adaptive_max_pool3d", make_adaptive_max_pool3d, NULL},
    {"lstm", make_lstm, call_recurrent},
    {"gru", make_gru, call_recurrent},
    {"gru_alone", make_gru_alone, call_recurrent},
    {"rnn_relu", make_rnn_relu, call_recurrent},
    {"rnn_tanh", make_rnn_tanh, call_recurrent},
    {"conv1d", make_conv1d, NULL},
    {"conv1d_same", make_conv1d_same, NULL},
    {"conv2d_axes", make_conv2d_axes, NULL},
    {"conv3d", make_conv3d, NULL},
    {"conv_transpose1d", make_conv_transpose1d, NULL},
    {"conv_transpose2d", make_conv_transpose2d, NULL},
    {"conv_transpose3d", make_conv_transpose3d, NULL},
    {"mha", make_mha, NULL},
    {"mha_alone", make_mha_alone, NULL},
    {"mha_masks", make_mha, call_mha_masks},
    {"mha_mask_of_numbers", make_mha_batch_first, call_mha_mask_of_numbers},
    {"mha_causal", make_mha, call_mha_causal},
    {"mha_cross", make_mha_cross, call_mha_cross},
    {"encoder_layer", make_encoder_layer, NULL},
    {"encoder_layer_norm_first", make_encoder_layer_norm_first, call_encoder_layer_causal},
    {"decoder_layer", make_decoder_layer, call_decoder_layer_causal},
    {"decoder_layer_norm_first", make_decoder_layer_norm_first, call_decoder_layer},
    {"encoder", make_encoder, NULL},
    {"decoder", make_decoder, call_decoder},
    {"weight_norm_linear", weight_norm_linear, NULL},
    {"weight_norm_conv", weight_norm_conv, NULL},
    {"weight_norm_all", weight_norm_all, NULL},
    {"spectral_norm_linear", spectral_norm_linear, NULL},
    {"spectral_norm_conv", spectral_norm_conv, NULL},
    {"spectral_norm_evaluation", spectral_norm_evaluation, NULL},
    {"mp_silu", nothing, call_mp_silu},
    {"mp_sum", nothing, call_mp_sum},
    {"mp_cat", nothing, call_mp_cat},
    {"mp_pixel_norm", nothing, call_mp_pixel_norm},
    {"mp_linear", make_mp_linear, NULL},
    {"mp_linear_evaluation", make_mp_linear, NULL},
    {"mp_linear_gain", make_mp_linear, call_mp_linear_gain},
    {"mp_conv2d", make_mp_conv2d, NULL},
    {"mp_fourier", make_mp_fourier, NULL},
    {"fourier_features", make_fourier_features, NULL},
};
enum { CASES = sizeof cases / sizeof *cases };

/* ---- running them ---------------------------------------------------------------------------- */

static ito_safetensors *fixture;

static void open_fixture(void)
{
    char path[4096];
    const char *source = getenv("ITO_SOURCE");
    snprintf(path, sizeof path, "%s/tests/reference/layers.safetensors",
             source != NULL ? source : ".");
    fixture = ito_safetensors_open(path);
    cr_assert_not_null(fixture, "%s", ito_error());
}

static void close_fixture(void)
{
    ito_safetensors_close(fixture);
}

TestSuite(layers_reference, .init = open_fixture, .fini = close_fixture);

/* The array "case/part", or NULL. */
static ito_tensor *array(const char *name, const char *part)
{
    char key[200];
    snprintf(key, sizeof key, "%s/%s", name, part);
    return ito_safetensors_find(fixture, key) < 0 ? NULL : ito_safetensors_read(fixture, key);
}

static ito_tensor *numbered(const char *name, const char *part, int i)
{
    char key[64];
    snprintf(key, sizeof key, "%s%d", part, i);
    return array(name, key);
}

static ito_tensor *named(const char *name, const char *part, const char *tensor)
{
    char key[160];
    snprintf(key, sizeof key, "%s/%s", part, tensor);
    return array(name, key);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);
    return n >= k && strcmp(text + n - k, end) == 0;
}

/* The case's module with the state of the file, which holds all of the names and no others. */
static ito_module *loaded(const layer_case *c)
{
    ito_module *m = c->make();
    cr_assert_not_null(m, "%s: %s", c->name, ito_error());
    ito_module_train(m, !ends_with(c->name, "_evaluation"));
    char prefix[100];
    snprintf(prefix, sizeof prefix, "%s/state/", c->name);
    cr_assert_eq(ito_module_load_file(m, fixture, .prefix = prefix), ITO_OK, "%s: %s", c->name,
                 ito_error());
    return m;
}

/* A leaf's gradient; zeros where none came by. */
static ito_tensor *gradient(ito_tensor *leaf)
{
    ito_tensor *g = ito_grad_of(leaf);
    return g != NULL ? g : ito_zeros_like(leaf);
}

static void check_state(const layer_case *c, const ito_module *m)
{
    ito_named_tensors *parameters = ito_module_parameters(m), *state = ito_module_state(m);
    char what[200];
    for (int64_t i = 0; i < parameters->n; i++) {
        ito_tensor *want = named(c->name, "grad", parameters->names[i]);
        snprintf(what, sizeof what, "%s: gradient of %s", c->name, parameters->names[i]);
        assert_close(gradient(parameters->tensors[i]),
                     want != NULL ? want : ito_zeros_like(parameters->tensors[i]), tolerance, what);
    }
    for (int64_t i = 0; i < state->n; i++) {
        ito_tensor *want = named(c->name, "after", state->names[i]);
        want = want != NULL ? want : named(c->name, "state", state->names[i]);
        snprintf(what, sizeof what, "%s: %s afterwards", c->name, state->names[i]);
        assert_close(ito_cast(state->tensors[i], ITO_F64), ito_cast(want, ITO_F64), tolerance,
                     what);
    }
    ito_named_tensors_free(parameters);
    ito_named_tensors_free(state);
}

static void run(const layer_case *c)
{
    int64_t blocks = ito_memory_blocks();
    ito_scope_begin();
    ito_module *m = loaded(c);
    ito_tensor *in[MAX_INPUTS] = {NULL}, *want[MAX_INPUTS] = {NULL};
    for (int i = 0; i < MAX_INPUTS; i++) {
        in[i] = numbered(c->name, "input", i);
        want[i] = numbered(c->name, "grad_input", i);
        if (want[i] != NULL)
            ito_requires_grad(in[i], true);
    }
    ito_tensor *y = c->call != NULL ? c->call(m, in) : ito_module_forward(m, in[0]);
    assert_close(y, array(c->name, "output"), tolerance, c->name);
    cr_assert_eq(ito_backward(y, .cotangent = array(c->name, "dy")), ITO_OK, "%s: %s", c->name,
                 ito_error());
    for (int i = 0; i < MAX_INPUTS; i++)
        if (want[i] != NULL)
            assert_close(gradient(in[i]), want[i], tolerance, c->name);
    check_state(c, m);
    ito_module_free(m);
    ito_scope_end();
    cr_assert_eq(ito_memory_blocks(), blocks, "%s leaks", c->name);
}

Test(layers_reference, layers_do_what_pytorchs_do)
{
    for (int i = 0; i < CASES; i++)
        run(&cases[i]);
}

Test(layers_reference, every_case_of_the_file_is_listed_once)
{
    bool found[CASES] = {false};
    for (int64_t k = 0; k < ito_safetensors_count(fixture); k++) {
        const char *key = ito_safetensors_name(fixture, k);
        size_t length = strcspn(key, "/"), times = 0;
        for (int i = 0; i < CASES; i++)
            if (strlen(cases[i].name) == length && strncmp(cases[i].name, key, length) == 0) {
                found[i] = true;
                times++;
            }
        cr_expect_eq(times, 1, "%.*s is listed %zu times", (int)length, key, times);
    }
    for (int i = 0; i < CASES; i++)
        cr_expect(found[i], "%s is not in the file", cases[i].name);
}
