/* The U-Net: names, shapes and number of its parameters, initial values and
 * errors. What it computes is compared with PyTorch in test_unet_reference.c. */
#include "models/ddpm/network/unet.h"

#include "autograd/ops.h"
#include "tensor/runtime.h"
#include "tests/models/ddpm/network/network_check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the state dict of the paper's CIFAR-10 network, written out ---- */

typedef struct expectation {
    ito_named_tensors *state;
    int64_t met;
} expectation;

static void expect_shape(expectation *e, const char *name, ito_shape shape)
{
    for (int64_t i = 0; i < e->state->n; i++) {
        if (strcmp(e->state->names[i], name) != 0)
            continue;
        ito_shape found = ito_shape_of(e->state->tensors[i]);
        bool same = found.ndim == shape.ndim;
        for (int k = 0; same && k < shape.ndim; k++)
            same = found.dim[k] == shape.dim[k];
        cr_assert(same, "%s has another shape", name);
        e->met++;
        return;
    }
    cr_assert_fail("%s is missing", name);
}

/* prefix.part.weight of this shape and its bias. */
static void expect(expectation *e, const char *prefix, const char *part, ito_shape shape)
{
    char name[128];
    snprintf(name, sizeof name, "%s%s%s.weight", prefix, part[0] != '\0' ? "." : "", part);
    expect_shape(e, name, shape);
    snprintf(name, sizeof name, "%s%s%s.bias", prefix, part[0] != '\0' ? "." : "", part);
    expect_shape(e, name, ITO_SHAPE(shape.dim[0]));
}

static void expect_resnet(expectation *e, const char *name, int64_t i, int64_t o)
{
    expect(e, name, "norm1", ITO_SHAPE(i));
    expect(e, name, "conv1", ITO_SHAPE(o, i, 3, 3));
    expect(e, name, "time_emb_proj", ITO_SHAPE(o, 512));
    expect(e, name, "norm2", ITO_SHAPE(o));
    expect(e, name, "conv2", ITO_SHAPE(o, o, 3, 3));
    if (i != o)
        expect(e, name, "conv_shortcut", ITO_SHAPE(o, i, 1, 1));
}

static void expect_attention(expectation *e, const char *name, int64_t c)
{
    expect(e, name, "group_norm", ITO_SHAPE(c));
    static const char *const parts[] = {"to_q", "to_k", "to_v", "to_out.0"};
    for (int k = 0; k < 4; k++)
        expect(e, name, parts[k], ITO_SHAPE(c, c));
}

static ito_unet *preset(const char *name, int64_t side)
{
    ito_unet_config config;
    cr_assert_eq(ito_unet_preset(name, 3, side, side, &config), ITO_OK);
    ito_unet *unet = ito_unet_create(&config, NULL);
    cr_assert_not_null(unet, "%s", ito_error());
    return unet;
}

Test(unet, cifar10_has_the_names_and_shapes_of_diffusers)
{
    static const struct {
        const char *name;
        int64_t in, out;
    } resnets[] = {
        {"down_blocks.0.resnets.0", 128, 128}, {"down_blocks.0.resnets.1", 128, 128},
        {"down_blocks.1.resnets.0", 128, 256}, {"down_blocks.1.resnets.1", 256, 256},
        {"down_blocks.2.resnets.0", 256, 256}, {"down_blocks.2.resnets.1", 256, 256},
        {"down_blocks.3.resnets.0", 256, 256}, {"down_blocks.3.resnets.1", 256, 256},
        {"mid_block.resnets.0", 256, 256},     {"mid_block.resnets.1", 256, 256},
        {"up_blocks.0.resnets.0", 512, 256},   {"up_blocks.0.resnets.1", 512, 256},
        {"up_blocks.0.resnets.2", 512, 256},   {"up_blocks.1.resnets.0", 512, 256},
        {"up_blocks.1.resnets.1", 512, 256},   {"up_blocks.1.resnets.2", 512, 256},
        {"up_blocks.2.resnets.0", 512, 256},   {"up_blocks.2.resnets.1", 512, 256},
        {"up_blocks.2.resnets.2", 384, 256},   {"up_blocks.3.resnets.0", 384, 128},
        {"up_blocks.3.resnets.1", 256, 128},   {"up_blocks.3.resnets.2", 256, 128},
    };
    static const char *const attentions[] = {
        "down_blocks.1.attentions.0", "down_blocks.1.attentions.1", "mid_block.attentions.0",
        "up_blocks.2.attentions.0",   "up_blocks.2.attentions.1",   "up_blocks.2.attentions.2",
    };
    static const struct {
        const char *name;
        int64_t width;
    } resamplers[] = {
        {"down_blocks.0.downsamplers.0.conv", 128}, {"down_blocks.1.downsamplers.0.conv", 256},
        {"down_blocks.2.downsamplers.0.conv", 256}, {"up_blocks.0.upsamplers.0.conv", 256},
        {"up_blocks.1.upsamplers.0.conv", 256},     {"up_blocks.2.upsamplers.0.conv", 256},
    };
    ito_unet *unet = preset("cifar10", 32);
    expectation e = {.state = ito_module_state(&unet->base)};
    expect(&e, "conv_in", "", ITO_SHAPE(128, 3, 3, 3));
    expect(&e, "time_embedding", "linear_1", ITO_SHAPE(512, 128));
    expect(&e, "time_embedding", "linear_2", ITO_SHAPE(512, 512));
    for (size_t i = 0; i < sizeof resnets / sizeof resnets[0]; i++)
        expect_resnet(&e, resnets[i].name, resnets[i].in, resnets[i].out);
    for (size_t i = 0; i < sizeof attentions / sizeof attentions[0]; i++)
        expect_attention(&e, attentions[i], 256);
    for (size_t i = 0; i < sizeof resamplers / sizeof resamplers[0]; i++)
        expect(&e, resamplers[i].name, "",
               ITO_SHAPE(resamplers[i].width, resamplers[i].width, 3, 3));
    expect(&e, "conv_norm_out", "", ITO_SHAPE(128));
    expect(&e, "conv_out", "", ITO_SHAPE(3, 128, 3, 3));
    cr_assert_eq(e.met, 328);
    cr_assert_eq(e.state->n, 328);
    cr_assert_eq(ito_module_parameter_count(&unet->base), 35746307);
    ito_named_tensors_free(e.state);
    ito_module_free(&unet->base);
}

Test(unet, lsun256_has_the_papers_number_of_parameters)
{
    ito_unet *unet = preset("lsun256", 256);
    ito_named_tensors *state = ito_module_state(&unet->base);
    cr_assert_eq(state->n, 450);
    cr_assert_eq(ito_module_parameter_count(&unet->base), 113673219);
    ito_named_tensors_free(state);
    ito_module_free(&unet->base);
    cr_assert_eq(ito_memory_blocks(), 0);
}

Test(unet, small_is_the_one_of_the_benchmarks)
{
    ito_unet_config config;
    cr_assert_eq(ito_unet_preset("small", 1, 28, 28, &config), ITO_OK);
    cr_assert(config.attention[2] && !config.attention[1] && !config.attention[0]);
    ito_unet *unet = ito_unet_create(&config, NULL);
    cr_assert_eq(unet->config.groups, 32);
    ito_module_free(&unet->base);
    config.attention[2] = false;
    config.attention[1] = true;
    config.height = config.width = 32;
    unet = ito_unet_create(&config, NULL);
    cr_assert_eq(ito_module_parameter_count(&unet->base), 1623169);
    ito_module_free(&unet->base);
}

Test(unet, presets_put_attention_at_16_pixels)
{
    static const struct {
        const char *name;
        int64_t height, width, level;
    } cases[] = {{"cifar10", 32, 32, 1}, {"cifar10", 64, 64, 2},   {"cifar10", 24, 48, 1},
                 {"cifar10", 16, 16, 0}, {"lsun256", 256, 256, 4}, {"lsun256", 128, 128, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ito_unet_config c;
        cr_assert_eq(ito_unet_preset(cases[i].name, 3, cases[i].height, cases[i].width, &c),
                     ITO_OK);
        for (int64_t l = 0; l < c.levels; l++)
            cr_assert_eq(c.attention[l], l == cases[i].level, "%s, %ld", cases[i].name, (long)l);
    }
}

/* ---- values ---- */

/* Of any times; i64 are those of a process in steps. */
Test(unet, time_embedding_is_sines_then_cosines)
{
    static const double times[] = {0, 1, 500, 999, 0.25, 12.75};
    static const ito_dtype dtypes[] = {ITO_I64, ITO_F32, ITO_F64};
    for (int k = 0; k < 3; k++) {
        int64_t count = dtypes[k] == ITO_I64 ? 4 : 6;
        ito_tensor *t = ito_cast(ito_from_data(times, ITO_SHAPE(count), ITO_F64), dtypes[k]);
        ito_tensor *y = ito_time_embedding(t, 10);
        cr_assert_not_null(y, "%s", ito_error());
        cr_assert_eq(ito_dtype_of(y), ITO_F32);
        const float *values = ito_const_data(y);
        for (int64_t n = 0; n < count; n++) {
            for (int i = 0; i < 5; i++) {
                double angle = times[n] / pow(10000.0, i / 4.0);
                cr_assert_float_eq((double)values[10 * n + i], sin(angle), 1e-6);
                cr_assert_float_eq((double)values[10 * n + 5 + i], cos(angle), 1e-6);
            }
        }
    }
}

/* diffusers' freq_shift 0, cosines first. */
Test(unet, time_embedding_has_other_frequencies_and_orders)
{
    ito_tensor *t = ito_from_data((const double[]){0, 12.75, 999}, ITO_SHAPE(3), ITO_F64);
    ito_tensor *y =
        ito_time_embedding(t, 10, .freq_divisor = 5, .flip_sin_to_cos = true, .dtype = ITO_F64);
    cr_assert_not_null(y, "%s", ito_error());
    const double *values = ito_const_data(y), *time = ito_const_data(t);
    for (int n = 0; n < 3; n++)
        for (int i = 0; i < 5; i++) {
            double angle = time[n] / pow(10000.0, i / 5.0);
            cr_assert_float_eq(values[10 * n + i], cos(angle), 1e-12);
            cr_assert_float_eq(values[10 * n + 5 + i], sin(angle), 1e-12);
        }
    assert_refused(ito_time_embedding(t, 10, .freq_divisor = -1), ITO_ERR_RANGE,
                   "time_embedding: freq_divisor is -1; it must be 0 or more");
}

Test(unet, time_embedding_refuses_odd_widths_and_what_are_no_times)
{
    assert_refused(ito_time_embedding(ito_zeros(ITO_SHAPE(4), ITO_I64), 7), ITO_ERR_SHAPE,
                   "time_embedding: t is [4] i64, channels 7; it takes [N] i64, f32 or f64 and an "
                   "even number from 4 up");
    assert_refused(ito_time_embedding(ito_zeros(ITO_SHAPE(4), ITO_U8), 8), ITO_ERR_SHAPE,
                   "time_embedding: t is [4] u8, channels 8; it takes [N] i64, f32 or f64 and an "
                   "even number from 4 up");
}

static double largest(ito_tensor *x)
{
    return ito_item(ito_max(ito_abs(ito_detach(x))));
}

/* Glorot: uniform within sqrt(6 / (fan_in + fan_out)); with scale 1e-10, within 1e-5 of that. */
Test(unet, weights_begin_as_in_the_paper)
{
    ito_unet_config config = tiny_unet_config(3);
    ito_generator g = ito_generator_make(1, 2);
    ito_unet *unet = ito_unet_create(&config, &g);
    ito_named_tensors *p = ito_module_parameters(&unet->base);
    int last = 0;
    for (int64_t i = 0; i < p->n; i++) {
        const char *name = p->names[i];
        ito_shape s = ito_shape_of(p->tensors[i]);
        if (s.ndim == 1) {
            bool norm = strstr(name, "norm") != NULL && strstr(name, "weight") != NULL;
            cr_assert_eq(largest(p->tensors[i]), norm ? 1.0 : 0.0, "%s", name);
            continue;
        }
        double area = s.ndim == 4 ? (double)(s.dim[2] * s.dim[3]) : 1.0;
        double bound = sqrt(6.0 / (area * (double)(s.dim[0] + s.dim[1])));
        bool near_zero = strstr(name, "conv2.") != NULL || strstr(name, "to_out.0.") != NULL ||
                         strstr(name, "conv_out.") != NULL;
        bound *= near_zero ? 1e-5 : 1.0;
        last += near_zero;
        cr_assert(largest(p->tensors[i]) <= bound * 1.000001, "%s", name);
        cr_assert(largest(p->tensors[i]) >= bound * 0.9, "%s", name);
    }
    cr_assert_eq(last, 8 + 4 + 1); /* blocks, attentions, conv_out */
    ito_named_tensors_free(p);
    ito_module_free(&unet->base);
}

static ito_tensor *steps_of(int64_t n, int64_t t)
{
    return ito_full(ITO_SHAPE(n), (double)t, ITO_I64);
}

Test(unet, output_has_the_inputs_shape_even_if_not_square)
{
    ito_unet_config config = tiny_unet_config(3);
    config.in_channels = 1;
    config.height = 6;
    config.width = 10;
    config.dropout = 0.25;
    ito_generator g = ito_generator_make(1, 2);
    ito_unet *unet = ito_unet_create(&config, &g);
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 1, 6, 10), ITO_F32);
    ito_tensor *y = ito_unet_forward(unet, x, steps_of(2, 9));
    cr_assert_not_null(y, "%s", ito_error());
    ito_shape s = ito_shape_of(y);
    cr_assert(s.ndim == 4 && s.dim[0] == 2 && s.dim[1] == 1 && s.dim[2] == 6 && s.dim[3] == 10);
    ito_module_free(&unet->base);
}

/* ---- memory ---- */

/* Gradients after one step of a batch, and what was in use at most besides what was before. */
static ito_tensor *gradients_of(bool recompute, int64_t *peak)
{
    ito_unet_config config = tiny_unet_config(3);
    config.height = config.width = 32;
    config.blocks = 2;
    config.dropout = 0.25;
    ito_generator g = ito_generator_make(1, 2);
    ito_unet *unet = ito_unet_create(&config, &g);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(4, 3, 32, 32), ITO_F32);
    unet->recompute = recompute;
    ito_module_train(&unet->base, true);
    ito_module_flatten(&unet->base);
    ito_named_tensors *p = ito_module_parameters(&unet->base);
    ito_tensor *all[2][512];
    cr_assert_leq(p->n, 512);
    *peak = 0;
    for (int step = 0; step < 2; step++) { /* the second draws other dropouts */
        ito_module_zero_grad(&unet->base);
        ito_memory_reset_peak();
        int64_t before = ito_memory_current();
        ito_scope_begin();
        ito_tensor *y = ito_mean(ito_square(ito_unet_forward(unet, x, steps_of(4, 9))));
        cr_assert_eq(ito_backward(y), ITO_OK, "%s", ito_error());
        ito_scope_end();
        *peak = ito_memory_peak() - before;
        for (int64_t i = 0; i < p->n; i++)
            all[step][i] = ito_reshape(ito_clone(ito_grad_of(p->tensors[i])), -1);
    }
    ito_tensor *joined =
        ito_cat(ITO_TENSORS(ito_cat(all[0], p->n, 0), ito_cat(all[1], p->n, 0)), 0);
    ito_named_tensors_free(p);
    ito_module_free(&unet->base);
    return joined;
}

Test(unet, recomputing_gives_the_same_bits_and_takes_less_memory)
{
    int64_t plain_peak, peak;
    ito_tensor *plain = gradients_of(false, &plain_peak), *again = gradients_of(true, &peak);
    cr_assert_not_null(again, "%s", ito_error());
    cr_assert_eq(ito_numel(plain), ito_numel(again));
    cr_assert_eq(memcmp(ito_const_data(plain), ito_const_data(again),
                        (size_t)ito_numel(plain) * sizeof(float)),
                 0);
    cr_assert_gt(largest(plain), 0);
    cr_assert_leq(4 * peak, 3 * plain_peak, "%lld of %lld bytes", (long long)peak,
                  (long long)plain_peak); /* a quarter less, at the least */
}

/* ---- perturbed attention ---- */

/* The middle has two positions and a group for each channel, so the norm makes h and -h of them.
 * Keys are h there, and queries `sharpness` h: the larger it is, the nearer the attention's map
 * comes to the identity. All other weights are random. */
static double change_by_perturbing(double sharpness)
{
    ito_unet_config config = tiny_unet_config(1);
    config.height = 4;
    config.width = 2;
    config.multipliers[1] = 1;
    config.groups = config.channels;
    config.attention[1] = false;
    ito_unet *u = random_unet(config);
    const char *middle = "mid_block.attentions.0.";
    const struct {
        const char *name;
        ito_tensor *value;
    } set[] = {{"group_norm.weight", ito_ones(ITO_SHAPE(8), ITO_F32)},
               {"group_norm.bias", ito_zeros(ITO_SHAPE(8), ITO_F32)},
               {"to_q.weight", ito_mul_scalar(ito_eye(8, ITO_F32), sharpness)},
               {"to_q.bias", ito_zeros(ITO_SHAPE(8), ITO_F32)},
               {"to_k.weight", ito_eye(8, ITO_F32)},
               {"to_k.bias", ito_zeros(ITO_SHAPE(8), ITO_F32)}};
    ito_no_grad_begin();
    for (size_t i = 0; i < sizeof set / sizeof set[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", middle, set[i].name);
        cr_assert_not_null(ito_copy_(ito_module_find(&u->base, name), set[i].value), "%s", name);
    }
    ito_generator g = ito_generator_make(8, 0);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(2, 1, 4, 2), ITO_F32), *t = steps_of(2, 9);
    ito_network_input in = {.x = x, .t = t, .x_t = x, .time = ito_cast(t, ITO_F64)};
    ito_tensor *y = ito_network_evaluate(&u->network, &in);
    ito_tensor *perturbed = ito_network_evaluate(&u->perturbed, &in);
    ito_no_grad_end();
    double change = largest_difference(y, perturbed) / ito_item(ito_max(ito_abs(y)));
    ito_module_free(&u->base);
    return change;
}

Test(unet, perturbed_has_the_identity_for_the_attention_of_the_middle)
{
    cr_expect_lt(change_by_perturbing(1e4), 1e-5); /* rounding */
    cr_expect_gt(change_by_perturbing(1.0), 1e-4);
    cr_expect_gt(change_by_perturbing(0.0), 1e-3); /* of a map that is constant */
}

/* ---- errors ---- */

static void assert_config_refused(ito_unet_config config, ito_status code, const char *message)
{
    assert_refused(ito_unet_create(&config, NULL), code, message);
    assert_refused_status(ito_unet_check(&config), code, message);
}

Test(unet, shapes_that_make_no_network_are_refused)
{
    ito_unet_config c = tiny_unet_config(3);
    c.height = 7;
    assert_config_refused(
        c, ITO_ERR_SHAPE,
        "unet: images of 7x8 cannot be halved 1 times; 2 levels need sides that are multiples of "
        "2");
    c = tiny_unet_config(3);
    c.channels = 9;
    assert_config_refused(c, ITO_ERR_SHAPE, "unet: 9 channels; the number must be even");
    c = tiny_unet_config(3);
    c.groups = 3;
    assert_config_refused(c, ITO_ERR_SHAPE, "unet: 8 channels do not form 3 groups");
}

Test(unet, settings_out_of_range_are_refused)
{
    ito_unet_config c = tiny_unet_config(3);
    c.dropout = 1.0;
    assert_config_refused(c, ITO_ERR_RANGE, "unet: dropout is 1; it must be in [0, 1)");
    c = tiny_unet_config(3);
    c.levels = 9;
    assert_config_refused(c, ITO_ERR_RANGE, "unet: the number of levels is 9; it must be 1 to 8");
    c = tiny_unet_config(3);
    c.multipliers[1] = 0;
    assert_config_refused(c, ITO_ERR_RANGE, "unet: a multiplier is 0; it must be 1 to 64");
    c = tiny_unet_config(3);
    c.in_channels = INT64_MAX;
    assert_config_refused(c, ITO_ERR_RANGE,
                          "unet: in_channels is 9223372036854775807; it must be 1 to 8192");
    c = tiny_unet_config(3);
    c.blocks = 17;
    assert_config_refused(c, ITO_ERR_RANGE, "unet: the number of blocks is 17; it must be 1 to 16");
}

Test(unet, an_unknown_preset_is_refused)
{
    ito_unet_config c;
    assert_refused_status(
        ito_unet_preset("huge", 3, 32, 32, &c), ITO_ERR_ARGUMENT,
        "unet: there is no preset \"huge\"; there are small, cifar10 and lsun256");
}

Test(unet, the_largest_network_that_is_allowed_has_its_skips)
{
    ito_unet_config c = {.in_channels = 1,
                         .height = 128,
                         .width = 128,
                         .channels = 4,
                         .levels = 8,
                         .multipliers = {1, 1, 1, 1, 1, 1, 1, 1},
                         .blocks = 16};
    ito_unet *unet = ito_unet_create(&c, NULL);
    cr_assert_not_null(unet, "%s", ito_error());
    ito_module_free(&unet->base);
}

Test(unet, images_and_times_that_do_not_fit_are_refused)
{
    ito_unet_config config = tiny_unet_config(3);
    ito_unet *unet = ito_unet_create(&config, NULL);
    assert_refused(
        ito_unet_forward(unet, ito_zeros(ITO_SHAPE(2, 1, 8, 8), ITO_F32), steps_of(2, 0)),
        ITO_ERR_SHAPE,
        "unet: x is [2, 1, 8, 8] and t [2]; it takes [N, 3, H, W] with H and W multiples "
        "of 2, and [N]");
    assert_refused(
        ito_unet_forward(unet, ito_zeros(ITO_SHAPE(2, 3, 8, 7), ITO_F32), steps_of(2, 0)),
        ITO_ERR_SHAPE,
        "unet: x is [2, 3, 8, 7] and t [2]; it takes [N, 3, H, W] with H and W multiples "
        "of 2, and [N]");
    assert_refused(
        ito_unet_forward(unet, ito_zeros(ITO_SHAPE(2, 3, 8, 8), ITO_F32), steps_of(1, 0)),
        ITO_ERR_SHAPE,
        "unet: x is [2, 3, 8, 8] and t [1]; it takes [N, 3, H, W] with H and W multiples "
        "of 2, and [N]");
    cr_assert_null(ito_unet_forward(unet, NULL, steps_of(1, 0)));
    cr_assert_eq(ito_error_code(), ITO_OK);
    ito_module_free(&unet->base);
}

Test(unet, images_without_times_are_refused)
{
    ito_unet_config config = tiny_unet_config(3);
    ito_unet *unet = ito_unet_create(&config, NULL);
    assert_refused(ito_module_forward(&unet->base, ito_zeros(ITO_SHAPE(2, 3, 8, 8), ITO_F32)),
                   ITO_ERR_ARGUMENT, "unet: it takes times besides images: ito_unet_forward");
    ito_module_free(&unet->base);
}

Test(unet, failed_allocations_are_errors_and_leak_nothing)
{
    ito_unet_config config = tiny_unet_config(3);
    config.levels = 1;
    int64_t blocks = ito_memory_blocks(), failures = 0;
    ito_unet *unet = NULL;
    for (; unet == NULL; failures += unet == NULL) {
        ito_generator g = ito_generator_make(1, 2);
        ito_memory_fail_nth(failures + 1);
        unet = ito_unet_create(&config, &g);
        ito_memory_fail_nth(0);
        if (unet == NULL) {
            cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
            cr_assert_eq(ito_memory_blocks(), blocks);
        }
        ito_error_clear();
    }
    cr_assert_gt(failures, 20);
    ito_tensor *y = NULL;
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 3, 8, 8), ITO_F32), *t = steps_of(1, 3);
    blocks = ito_memory_blocks();
    failures = 0;
    for (; y == NULL; failures += y == NULL) {
        ito_scope_begin();
        ito_memory_fail_nth(failures + 1);
        y = ito_unet_forward(unet, x, t);
        ito_memory_fail_nth(0);
        cr_assert_eq(ito_error_code(), y == NULL ? ITO_ERR_MEMORY : ITO_OK);
        ito_error_clear();
        ito_scope_end();
        cr_assert_eq(ito_memory_blocks(), blocks);
    }
    cr_assert_gt(failures, 20);
    ito_module_free(&unet->base);
}
