/* The operations against PyTorch: each case of tests/reference/ops.safetensors gives the same
 * result and the same gradients in f64. Cases that are no single operation here are composed of
 * several, which joins them. Every case of the file is in one of the lists below; README.md there
 * describes them. */
#include "autograd/ops.h"
#include "tensor/io/safetensors.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sums of at most 126 products of magnitude 4, and functions of condition below 10^3, each rounded
 * to 2^-53 on either side in an order of its own: below 10^-12 of the largest element. */
static const double tolerance = 1e-12;

enum { MAX_INPUTS = 3 };

typedef struct reference_case {
    const char *name;
    ito_tensor *(*f)(ito_tensor *const *in);
} reference_case;

/* The function of that name gives this. */
#define EXPRESSION(name, result)                                                                   \
    static ito_tensor *name(ito_tensor *const *in)                                                 \
    {                                                                                              \
        return result;                                                                             \
    }

/* ---- products and convolutions --------------------------------------------------------------- */

EXPRESSION(linear, ito_linear(in[0], in[1], in[2]))
EXPRESSION(matmul, ito_matmul(in[0], in[1]))
EXPRESSION(conv2d, ito_conv2d(in[0], in[1], in[2], .padding = 1))
EXPRESSION(conv2d_stride, ito_conv2d(in[0], in[1], in[2], .stride = 2, .padding = 1))
EXPRESSION(conv2d_dilation, ito_conv2d(in[0], in[1], in[2], .padding = 2, .dilation = 2))
EXPRESSION(conv2d_groups, ito_conv2d(in[0], in[1], in[2], .padding = 1, .groups = 2))
EXPRESSION(conv2d_depthwise, ito_conv2d(in[0], in[1], in[2], .padding = 1, .groups = 3))
EXPRESSION(conv2d_1x1, ito_conv2d(in[0], in[1], in[2]))
EXPRESSION(conv2d_downsample, ito_conv2d(in[0], in[1], in[2], .stride = 2, .padding_end = 1))
static ito_tensor *conv1d(ito_tensor *const *in) /* an image of height 1, padded along its width */
{
    ito_tensor *x = ito_pad(ito_unsqueeze(in[0], 2), 0.0, 2, 2);
    return ito_squeeze(ito_conv2d(x, ito_unsqueeze(in[1], 2), in[2], .dilation = 2), 2);
}

static const reference_case products[] = {
    {"linear", linear},
    {"matmul", matmul},
    {"matmul_broadcast", matmul},
    {"matmul_vector", matmul},
    {"matmul_dot", matmul},
    {"conv2d", conv2d},
    {"conv2d_stride", conv2d_stride},
    {"conv2d_dilation", conv2d_dilation},
    {"conv2d_groups", conv2d_groups},
    {"conv2d_depthwise", conv2d_depthwise},
    {"conv2d_1x1", conv2d_1x1},
    {"conv2d_downsample", conv2d_downsample},
    {"conv1d", conv1d},
};

/* ---- normalisation and attention ------------------------------------------------------------- */

EXPRESSION(group_norm, ito_group_norm(in[0], 3, in[1], in[2], 1e-6))
EXPRESSION(group_norm_single, ito_group_norm(in[0], 5, in[1], in[2], 1e-5))
EXPRESSION(layer_norm, ito_layer_norm(in[0], ITO_SHAPE(7), in[1], in[2]))
EXPRESSION(layer_norm_axes, ito_layer_norm(in[0], ITO_SHAPE(5, 4), in[1], NULL, .eps = 1e-3))
EXPRESSION(layer_norm_plain, ito_layer_norm(in[0], ITO_SHAPE(3, 5), NULL, NULL))
EXPRESSION(rms_norm, ito_rms_norm(in[0], ITO_SHAPE(7), in[1]))
EXPRESSION(rms_norm_axes, ito_rms_norm(in[0], ITO_SHAPE(5, 4), NULL, .eps = 1e-3))
EXPRESSION(var_unbiased, ito_var(in[0], .dims = ITO_DIMS(0, 2)))
EXPRESSION(var_biased, ito_var(in[0], .dims = ITO_DIMS(1), .keepdim = true, .correction = 0))
EXPRESSION(std_unbiased, ito_sqrt(ito_var(in[0], .dims = ITO_DIMS(-1))))
EXPRESSION(softmax, ito_softmax(in[0], -1))
EXPRESSION(softmax_axis1, ito_softmax(in[0], 1))
EXPRESSION(log_softmax, ito_log_softmax(in[0], -1))
EXPRESSION(logsumexp, ito_logsumexp(in[0], .dims = ITO_DIMS(1)))
EXPRESSION(attention, ito_scaled_dot_product_attention(in[0], in[1], in[2]))
EXPRESSION(attention_scale, ito_scaled_dot_product_attention(in[0], in[1], in[2], .scale = 0.3))
static ito_tensor *attention_causal(ito_tensor *const *in)
{
    ito_tensor *place = ito_arange(0, 5, 1, ITO_F64);
    ito_tensor *later = ito_gt(place, ito_unsqueeze(place, 1)); /* [query, key] */
    ito_tensor *scores = ito_matmul(in[0], ito_transpose(in[1], -1, -2));
    scores = ito_masked_fill(ito_mul_scalar(scores, 1 / sqrt(3)), later, -HUGE_VAL);
    return ito_matmul(ito_softmax(scores, -1), in[2]);
}

static const reference_case normalisations[] = {
    {"group_norm", group_norm},
    {"group_norm_single", group_norm_single},
    {"layer_norm", layer_norm},
    {"layer_norm_axes", layer_norm_axes},
    {"layer_norm_plain", layer_norm_plain},
    {"rms_norm", rms_norm},
    {"rms_norm_axes", rms_norm_axes},
    {"var_unbiased", var_unbiased},
    {"var_biased", var_biased},
    {"std_unbiased", std_unbiased},
    {"softmax", softmax},
    {"softmax_axis1", softmax_axis1},
    {"log_softmax", log_softmax},
    {"logsumexp", logsumexp},
    {"attention", attention},
    {"attention_scale", attention_scale},
    {"attention_causal", attention_causal},
};

/* ---- activations ----------------------------------------------------------------------------- */

EXPRESSION(relu, ito_relu(in[0]))
EXPRESSION(silu, ito_silu(in[0]))
EXPRESSION(gelu_erf, ito_gelu(in[0]))
static ito_tensor *gelu_tanh(ito_tensor *const *in) /* x / 2 (1 + tanh(sqrt(2 / pi) (x + c x^3))) */
{
    ito_tensor *x = in[0];
    ito_tensor *inner = ito_axpby(1, x, 0.044715, ito_pow_scalar(x, 3));
    ito_tensor *gate = ito_tanh(ito_mul_scalar(inner, sqrt(2 / M_PI)));
    return ito_mul_scalar(ito_mul(x, ito_add_scalar(gate, 1)), 0.5);
}
EXPRESSION(softplus, ito_softplus(in[0]))
EXPRESSION(logsigmoid, ito_neg(ito_softplus(ito_neg(in[0]))))
EXPRESSION(mish, ito_mul(in[0], ito_tanh(ito_softplus(in[0]))))
static ito_tensor *elu(ito_tensor *const *in)
{
    ito_tensor *positive = ito_gt(in[0], ito_scalar(0, ITO_F64));
    return ito_where(positive, in[0], ito_expm1(in[0]));
}
EXPRESSION(leaky_relu, ito_maximum(in[0], ito_mul_scalar(in[0], 0.01)))
EXPRESSION(hardswish,
           ito_mul_scalar(ito_mul(in[0], ito_clamp(ito_add_scalar(in[0], 3), 0, 6)), 1.0 / 6))

static const reference_case activations[] = {
    {"relu_zero", relu},      {"silu", silu},         {"gelu_erf", gelu_erf},
    {"gelu_tanh", gelu_tanh}, {"softplus", softplus}, {"logsigmoid", logsigmoid},
    {"mish", mish},           {"elu", elu},           {"leaky_relu", leaky_relu},
    {"hardswish", hardswish},
};

/* ---- losses ---------------------------------------------------------------------------------- */

EXPRESSION(cross_entropy, ito_cross_entropy(in[0], in[1]))
static ito_tensor *cross_entropy_smooth(ito_tensor *const *in) /* 1/10 of the label for all alike */
{
    ito_tensor *uniform = ito_neg(ito_mean(ito_log_softmax(in[0], 1)));
    return ito_axpby(0.9, ito_cross_entropy(in[0], in[1]), 0.1, uniform);
}
static ito_tensor *cross_entropy_ignore(ito_tensor *const *in) /* of the rows but number 2 */
{
    ito_tensor *rows = ito_from_data((int64_t[]){0, 1, 3, 4, 5, 6}, ITO_SHAPE(6), ITO_I64);
    return ito_cross_entropy(ito_index_select(in[0], 0, rows), ito_index_select(in[1], 0, rows));
}
static ito_tensor *cross_entropy_none(ito_tensor *const *in)
{
    ito_tensor *log_p = ito_gather(ito_log_softmax(in[0], 1), 1, ito_unsqueeze(in[1], 1));
    return ito_neg(ito_squeeze(log_p, 1));
}
EXPRESSION(bce_with_logits, ito_binary_cross_entropy_with_logits(in[0], in[1]))
EXPRESSION(huber, ito_huber_loss(in[0], in[1], .delta = 0.7))
EXPRESSION(smooth_l1, ito_mul_scalar(ito_huber_loss(in[0], in[1], .delta = 0.7), 1 / 0.7))
EXPRESSION(mse, ito_mse_loss(in[0], in[1]))
EXPRESSION(l1, ito_l1_loss(in[0], in[1]))

static const reference_case losses[] = {
    {"cross_entropy", cross_entropy},
    {"cross_entropy_smooth", cross_entropy_smooth},
    {"cross_entropy_ignore", cross_entropy_ignore},
    {"cross_entropy_none", cross_entropy_none},
    {"bce_with_logits", bce_with_logits},
    {"huber", huber},
    {"smooth_l1", smooth_l1},
    {"mse", mse},
    {"l1", l1},
};

/* ---- shapes ---------------------------------------------------------------------------------- */

EXPRESSION(upsample_nearest, ito_upsample_nearest2d(in[0], 2))
EXPRESSION(avg_pool2d, ito_avg_pool2d(in[0], 2))
static ito_tensor *avg_pool2d_pad(ito_tensor *const *in) /* each channel with a kernel of ninths */
{
    ito_tensor *ninths = ito_full(ITO_SHAPE(2, 1, 3, 3), 1.0 / 9, ITO_F64);
    return ito_conv2d(in[0], ninths, NULL, .stride = 2, .padding = 1, .groups = 2);
}
static ito_tensor *max_pool2d(ito_tensor *const *in) /* [2, 2, 5, 6]: the fifth row is left over */
{
    ito_tensor *windows = ito_reshape(ito_narrow(in[0], 2, 0, 4), 2, 2, 2, 2, 3, 2);
    return ito_max(windows, .dims = ITO_DIMS(3, 5));
}
EXPRESSION(pad_constant, ito_pad(in[0], 0.5, 1, 2, 0, 3))
EXPRESSION(cat, ito_cat(in, 3, 1))

/* [1, 2, 4, 5] with these 7 rows and 8 columns of it. */
static ito_tensor *rearranged(ito_tensor *x, const int64_t *rows, const int64_t *columns)
{
    x = ito_index_select(x, 2, ito_from_data(rows, ITO_SHAPE(7), ITO_I64));
    return ito_index_select(x, 3, ito_from_data(columns, ITO_SHAPE(8), ITO_I64));
}
EXPRESSION(pad_reflect,
           rearranged(in[0], (int64_t[]){2, 1, 0, 1, 2, 3, 2}, (int64_t[]){1, 0, 1, 2, 3, 4, 3, 2}))
EXPRESSION(pad_replicate,
           rearranged(in[0], (int64_t[]){0, 0, 0, 1, 2, 3, 3}, (int64_t[]){0, 0, 1, 2, 3, 4, 4, 4}))
EXPRESSION(pad_circular,
           rearranged(in[0], (int64_t[]){2, 3, 0, 1, 2, 3, 0}, (int64_t[]){4, 0, 1, 2, 3, 4, 0, 1}))

static const reference_case shapes[] = {
    {"upsample_nearest", upsample_nearest},
    {"avg_pool2d", avg_pool2d},
    {"avg_pool2d_pad", avg_pool2d_pad},
    {"max_pool2d", max_pool2d},
    {"pad_constant", pad_constant},
    {"pad_reflect", pad_reflect},
    {"pad_replicate", pad_replicate},
    {"pad_circular", pad_circular},
    {"cat", cat},
};

/* ---- element by element, reductions, indexing ------------------------------------------------ */

EXPRESSION(absolute, ito_abs(in[0]))
EXPRESSION(clamp, ito_clamp(in[0], -1, 1))
EXPRESSION(power, ito_pow(in[0], in[1]))
EXPRESSION(cube, ito_pow_scalar(in[0], 3))
EXPRESSION(zeroth_power, ito_pow_scalar(in[0], 0))
EXPRESSION(lerp, ito_add(in[0], ito_mul(in[2], ito_sub(in[1], in[0]))))
EXPRESSION(maximum, ito_maximum(in[0], in[1]))
EXPRESSION(minimum, ito_minimum(in[0], in[1]))
EXPRESSION(amax, ito_max(in[0], .dims = ITO_DIMS(1)))
EXPRESSION(amin, ito_min(in[0], .dims = ITO_DIMS(1)))
EXPRESSION(max_all, ito_max(in[0]))
static ito_tensor *cumsum(ito_tensor *const *in) /* times a triangle of ones */
{
    ito_tensor *place = ito_arange(0, 7, 1, ITO_F64);
    ito_tensor *seen = ito_le(ito_unsqueeze(place, 1), place);
    return ito_matmul(in[0], ito_cast(seen, ITO_F64));
}
static ito_tensor *product(ito_tensor *const *in)
{
    ito_tensor *y = ito_select(in[0], 1, 0);
    for (int64_t i = 1; i < 4; i++)
        y = ito_mul(y, ito_select(in[0], 1, i));
    return y;
}
EXPRESSION(embedding, ito_embedding(in[0], in[1]))
EXPRESSION(index_select, ito_index_select(in[0], 1, in[1]))
EXPRESSION(gather, ito_gather(in[0], 1, in[1]))
EXPRESSION(scatter_add, ito_scatter_add(in[0], 1, in[1], in[2]))

static const reference_case elements[] = {
    {"abs_zero", absolute},
    {"clamp_bounds", clamp},
    {"pow", power},
    {"pow_broadcast", power},
    {"pow_scalar", cube},
    {"pow_zero_exponent", zeroth_power},
    {"lerp", lerp},
    {"maximum_ties", maximum},
    {"minimum_ties", minimum},
    {"amax_ties", amax},
    {"amin_ties", amin},
    {"amax_all", max_all},
    {"max_all", max_all},
    {"cumsum", cumsum},
    {"prod_zero", product},
    {"embedding", embedding},
    {"index_select", index_select},
    {"gather", gather},
    {"scatter_add", scatter_add},
};

/* ---- the rest of the file -------------------------------------------------------------------- */

/* Optimisers, in tests/nn/test_optim.c. */
static const char *const elsewhere[] = {"adam", "adam_decay",   "adam_betas",   "adamw",
                                        "sgd",  "sgd_momentum", "sgd_nesterov", "sgd_decay"};
/* What the library does not have: steps that differ by axis, transposed convolution, bilinear
 * resizing, atan2, running products, a norm with gradient 0 at 0, RMSprop. */
static const char *const absent[] = {"atan2", "conv2d_oblong", "conv_transpose2d", "cumprod_zero",
                                     "norm2", "rmsprop",       "upsample_bilinear"};

/* ---- running them ---------------------------------------------------------------------------- */

static ito_safetensors *fixture;

static void open_fixture(void)
{
    char path[4096];
    const char *source = getenv("ITO_SOURCE");
    snprintf(path, sizeof path, "%s/tests/reference/ops.safetensors",
             source != NULL ? source : ".");
    fixture = ito_safetensors_open(path);
    cr_assert_not_null(fixture, "%s", ito_error());
}

static void close_fixture(void)
{
    ito_safetensors_close(fixture);
}

TestSuite(reference, .init = open_fixture, .fini = close_fixture);

/* The case's array of that name, or NULL if it has none. */
static ito_tensor *array(const char *name, const char *part, int number)
{
    char key[64];
    if (number < 0)
        snprintf(key, sizeof key, "%s/%s", name, part);
    else
        snprintf(key, sizeof key, "%s/%s%d", name, part, number);
    if (ito_safetensors_find(fixture, key) < 0)
        return NULL;
    ito_tensor *t = ito_safetensors_read(fixture, key);
    cr_assert_not_null(t, "%s", ito_error());
    return t;
}

static void run(const reference_case *c)
{
    int64_t blocks = ito_memory_blocks();
    ito_scope_begin();
    ito_tensor *in[MAX_INPUTS] = {NULL}, *want[MAX_INPUTS];
    for (int i = 0; i < MAX_INPUTS; i++) {
        in[i] = array(c->name, "input", i);
        want[i] = array(c->name, "grad", i);
        if (want[i] != NULL)
            ito_requires_grad(in[i], true);
    }
    ito_tensor *y = c->f(in);
    assert_close(y, array(c->name, "output", -1), tolerance, c->name);
    ito_status status = ito_backward(y, .cotangent = array(c->name, "dy", -1));
    cr_assert_eq(status, ITO_OK, "%s: %s", c->name, ito_error());
    for (int i = 0; i < MAX_INPUTS; i++) {
        if (want[i] == NULL)
            continue;
        ito_tensor *got = ito_grad_of(in[i]); /* none where it is 0 whatever the input is */
        assert_close(got != NULL ? got : ito_zeros_like(in[i]), want[i], tolerance, c->name);
    }
    ito_scope_end();
    cr_assert_eq(ito_memory_blocks(), blocks, "%s leaks", c->name);
}

#define LENGTH(list) (sizeof(list) / sizeof *(list))
#define RUN(list)                                                                                  \
    for (size_t i = 0; i < LENGTH(list); i++)                                                      \
    run(&(list)[i])

Test(reference, products_and_convolutions)
{
    RUN(products);
}

Test(reference, normalisation_and_attention)
{
    RUN(normalisations);
}

Test(reference, activations)
{
    RUN(activations);
}

Test(reference, losses)
{
    RUN(losses);
}

Test(reference, shapes)
{
    RUN(shapes);
}

Test(reference, elements_reductions_and_indices)
{
    RUN(elements);
}

enum { MAX_NAMES = 200 };

/* Every name that a list of this file holds. */
static size_t listed(const char **names)
{
    static const struct {
        const reference_case *cases;
        size_t n;
    } lists[] = {
        {products, LENGTH(products)},       {normalisations, LENGTH(normalisations)},
        {activations, LENGTH(activations)}, {losses, LENGTH(losses)},
        {shapes, LENGTH(shapes)},           {elements, LENGTH(elements)},
    };
    size_t n = 0;
    for (size_t k = 0; k < LENGTH(lists); k++)
        for (size_t i = 0; i < lists[k].n; i++)
            names[n++] = lists[k].cases[i].name;
    for (size_t i = 0; i < LENGTH(elsewhere); i++)
        names[n++] = elsewhere[i];
    for (size_t i = 0; i < LENGTH(absent); i++)
        names[n++] = absent[i];
    cr_assert_leq(n, MAX_NAMES);
    return n;
}

Test(reference, every_case_of_the_file_is_listed_once)
{
    const char *names[MAX_NAMES];
    bool found[MAX_NAMES] = {false};
    size_t n = listed(names);
    for (int64_t k = 0; k < ito_safetensors_count(fixture); k++) {
        const char *key = ito_safetensors_name(fixture, k);
        size_t length = strcspn(key, "/"), times = 0;
        for (size_t i = 0; i < n; i++)
            if (strlen(names[i]) == length && strncmp(names[i], key, length) == 0) {
                found[i] = true;
                times++;
            }
        cr_expect_eq(times, 1, "%.*s is listed %zu times", (int)length, key, times);
    }
    for (size_t i = 0; i < n; i++)
        cr_expect(found[i], "the file has no case %s", names[i]);
}
