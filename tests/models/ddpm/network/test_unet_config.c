/* Settings of the U-Net beyond DDPM's: their place in settings files, how such networks begin, and
 * what of settings, times and labels is refused. What they compute: test_unet_settings.c. */
#include "models/ddpm/settings.h"
#include "tensor/runtime.h"
#include "tests/expect.h"
#include "tests/models/ddpm/network/network_check.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* Every setting differs from 0. */
static ito_unet_config unusual(void)
{
    return (ito_unet_config){
        .in_channels = 1,
        .out_channels = 2,
        .height = 8,
        .width = 16,
        .channels = 8,
        .levels = 3,
        .multipliers = {1, 0, 3},
        .attention = {true, false, true},
        .blocks = 2,
        .dropout = 0.125,
        .groups = 4,
        .classes = 6,
        .self_condition = true,
        .dtype = ITO_F64,
        .widths = {0, 12, 0},
        .up_attention = {ITO_UNET_UP_NO_ATTENTION, ITO_UNET_UP_ATTENTION, ITO_UNET_UP_AS_DOWN},
        .head_channels = 4,
        .middle_attention_groups = 6,
        .middle = ITO_UNET_MIDDLE_NO_ATTENTION,
        .middle_scale = 1.5,
        .down_resnet = {false, true, false},
        .up_resnet = {false, false, true},
        .downsample_padding = 1,
        .activation = ITO_UNET_MISH,
        .norm_eps = 1e-4,
        .scale_shift = true,
        .time = ITO_UNET_TIME_LEARNED,
        .times = 50,
        .freq_divisor = 7,
        .flip_sin_to_cos = true,
        .time_channels = 20,
        .class_kind = ITO_UNET_CLASS_ALWAYS,
        .center_input = true};
}

/* ---- settings files ---- */

static char *written(ito_unet_config config)
{
    ito_ddpm_settings s = {.model = config, .diffusion = ITO_OPTIONS(ito_diffusion_options)};
    char *text = ito_ddpm_settings_format(&s);
    cr_assert_not_null(text, "%s", ito_error());
    return text;
}

static ito_unet_config read_back(const char *text)
{
    ito_ddpm_settings s;
    cr_assert_eq(ito_ddpm_settings_parse(text, "a.json", &s), ITO_OK, "%s: %s", ito_error(), text);
    return s.model;
}

Test(unet_config, every_setting_is_kept)
{
    ito_unet_config c = unusual();
    char *text = written(c);
    ito_unet_config back = read_back(text);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(back.multipliers[i], c.multipliers[i]);
        cr_expect_eq(back.attention[i], c.attention[i]);
        cr_expect_eq(back.widths[i], c.widths[i]);
        cr_expect_eq(back.up_attention[i], c.up_attention[i]);
        cr_expect_eq(back.down_resnet[i], c.down_resnet[i]);
        cr_expect_eq(back.up_resnet[i], c.up_resnet[i]);
    }
    cr_expect_eq(back.head_channels, c.head_channels);
    cr_expect_eq(back.middle_attention_groups, c.middle_attention_groups);
    cr_expect_eq(back.middle, c.middle);
    cr_expect_eq(back.middle_scale, c.middle_scale);
    cr_expect_eq(back.downsample_padding, c.downsample_padding);
    cr_expect_eq(back.activation, c.activation);
    cr_expect_eq(back.norm_eps, c.norm_eps);
    cr_expect_eq(back.scale_shift, c.scale_shift);
    cr_expect_eq(back.time, c.time);
    cr_expect_eq(back.times, c.times);
    cr_expect_eq(back.freq_divisor, c.freq_divisor);
    cr_expect_eq(back.flip_sin_to_cos, c.flip_sin_to_cos);
    cr_expect_eq(back.time_channels, c.time_channels);
    cr_expect_eq(back.class_kind, c.class_kind);
    cr_expect_eq(back.center_input, c.center_input);
    cr_expect_eq(back.levels, 3);
    char *again = written(back);
    cr_expect_str_eq(again, text);
    free(again);
    free(text);
}

Test(unet_config, names_of_every_value_are_kept)
{
    for (unsigned i = 0; i < 4; i++) {
        ito_unet_config c = tiny_unet_config(1);
        c.activation = (ito_unet_activation)i;
        c.middle = (ito_unet_middle)(i % 3);
        c.time = (ito_unet_time)(i % 3);
        c.times = c.time == ITO_UNET_TIME_LEARNED ? 10 : 0;
        c.class_kind = (ito_unet_class)i;
        c.classes = i < 2 ? 5 : 0;
        c.up_attention[1] = (ito_unet_up_attention)(i % 3);
        char *text = written(c);
        ito_unet_config back = read_back(text);
        cr_expect_eq(back.activation, c.activation);
        cr_expect_eq(back.middle, c.middle);
        cr_expect_eq(back.time, c.time);
        cr_expect_eq(back.class_kind, c.class_kind);
        cr_expect_eq(back.up_attention[1], c.up_attention[1]);
        free(text);
    }
}

/* Files of DDPM's networks are what they were. */
Test(unet_config, settings_that_are_0_are_not_written)
{
    static const char *const later[] = {
        "head_channels",      "middle",        "middle_attention_groups",
        "middle_scale",       "up_attention",  "widths",
        "downsample_padding", "activation",    "norm_eps",
        "scale_shift",        "\"time\"",      "times",
        "freq_divisor",       "time_channels", "flip_sin_to_cos",
        "class_kind",         "down_resnet",   "up_resnet",
        "center_input"};
    char *text = written(tiny_unet_config(1)), *all = written(unusual());
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
        cr_expect_null(strstr(text, later[i]), "%s", later[i]);
        cr_expect_not_null(strstr(all, later[i]), "%s", later[i]);
    }
    free(text);
    free(all);
}

/* The text with the first `old` replaced. */
static void assert_damaged(const char *old, const char *new, const char *message)
{
    char *text = written(unusual()), *at = strstr(text, old);
    cr_assert_not_null(at, "%s: %s", old, text);
    size_t size = strlen(text) + strlen(new) + 1;
    char *damaged = malloc(size);
    snprintf(damaged, size, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    ito_ddpm_settings back;
    assert_refused_status(ito_ddpm_settings_parse(damaged, "a.json", &back), ITO_ERR_FORMAT,
                          message);
    free(damaged);
    free(text);
}

Test(unet_config, a_setting_of_the_wrong_type_is_named)
{
    assert_damaged("\"mish\"", "\"tanh\"",
                   "a.json: \"activation\" is missing or not one of \"silu\", \"gelu\", \"mish\", "
                   "\"relu\"");
    assert_damaged("\"learned\"", "2",
                   "a.json: \"time\" is missing or not one of \"sines\", \"fourier\", "
                   "\"learned\"");
    assert_damaged("\"as_down\"", "\"down\"",
                   "a.json: \"up_attention\" is missing or not one of \"as_down\", "
                   "\"attention\", \"no_attention\"");
    assert_damaged("[0, 12, 0]", "[0, 12]",
                   "a.json: \"widths\" is missing or not a list as long as that of the "
                   "multipliers");
    assert_damaged("[0, 12, 0]", "[0, 12.5, 0]",
                   "a.json: \"widths\" is missing or not a list of whole numbers");
    assert_damaged("[false, true, false]", "[false, 1, false]",
                   "a.json: \"down_resnet\" is missing or not a list of true and false");
    assert_damaged("\"norm_eps\":\t0.0001", "\"norm_eps\":\ttrue",
                   "a.json: \"norm_eps\" is missing or not a number");
}

/* ---- how they begin ---- */

Test(unet_config, frequencies_and_learned_times_begin_random)
{
    ito_unet_config c = tiny_unet_config(1);
    c.channels = 64;
    c.time = ITO_UNET_TIME_FOURIER;
    ito_generator g = ito_generator_make(1, 2);
    ito_unet *u = ito_unet_create(&c, &g);
    ito_tensor *w = ito_module_find(&u->base, "time_proj.weight");
    cr_assert_not_null(w, "%s", ito_error());
    cr_expect_eq(ito_ndim(w), 1);
    double deviation = sqrt(ito_item(ito_mean(ito_square(w)))); /* of 64: 16 within 3 sigma */
    cr_expect(deviation > 11.7 && deviation < 20.3, "%g", deviation);
    ito_module_free(&u->base);
    c.time = ITO_UNET_TIME_LEARNED;
    c.times = 20;
    u = ito_unet_create(&c, &g);
    w = ito_module_find(&u->base, "time_proj.weight");
    deviation = sqrt(ito_item(ito_mean(ito_square(w)))); /* of 1280 */
    cr_expect(deviation > 0.9 && deviation < 1.1, "%g", deviation);
    ito_module_free(&u->base);
}

/* ---- perturbed attention ---- */

/* An image in the middle of one pixel attends to itself whatever the weights. */
Test(unet_config, perturbed_is_the_network_where_there_is_one_position)
{
    for (int normed = 0; normed < 2; normed++) {
        ito_unet_config c = tiny_unet_config(1);
        c.height = c.width = 2;
        c.attention[1] = false;
        c.head_channels = 8;
        c.middle_scale = 1.5;
        c.scale_shift = true;
        c.middle_attention_groups = normed ? 2 : 0;
        ito_unet *u = random_unet(c);
        ito_generator g = ito_generator_make(8, 0);
        ito_tensor *x = ito_randn(&g, ITO_SHAPE(2, 1, 2, 2), ITO_F32);
        ito_tensor *t = ito_full(ITO_SHAPE(2), 9, ITO_F32);
        ito_network_input in = {.x = x, .t = t, .x_t = x, .time = ito_cast(t, ITO_F64)};
        ito_tensor *y = ito_network_evaluate(&u->network, &in);
        double change = largest_difference(y, ito_network_evaluate(&u->perturbed, &in));
        cr_expect_lt(change, 1e-5 * ito_item(ito_max(ito_abs(y)))); /* rounding */
        ito_module_free(&u->base);
    }
}

Test(unet_config, nothing_is_perturbed_without_attention_in_the_middle)
{
    ito_unet_config c = tiny_unet_config(1);
    c.middle = ITO_UNET_MIDDLE_NONE;
    ito_unet *u = ito_unet_create(&c, NULL);
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 1, 8, 8), ITO_F32),
               *t = ito_zeros(ITO_SHAPE(2), ITO_F32);
    ito_network_input in = {.x = x, .t = t, .x_t = x, .time = ito_cast(t, ITO_F64)};
    cr_expect_not_null(ito_network_evaluate(&u->network, &in));
    assert_refused(ito_network_evaluate(&u->perturbed, &in), ITO_ERR_ARGUMENT,
                   "unet: its middle has no attention that could be perturbed");
    ito_module_free(&u->base);
}

/* ---- settings that are refused ---- */

#define ASSERT_REFUSED(code, message, ...)                                                         \
    do {                                                                                           \
        ito_unet_config c = tiny_unet_config(3);                                                   \
        __VA_ARGS__;                                                                               \
        assert_refused_status(ito_unet_check(&c), code, message);                                  \
        assert_refused(ito_unet_create(&c, NULL), code, message);                                  \
    } while (0)

Test(unet_config, values_that_are_none_are_refused)
{
    ASSERT_REFUSED(ITO_ERR_RANGE, "unet: activation is 4; it must be 0 to 3",
                   c.activation = (ito_unet_activation)4);
    ASSERT_REFUSED(ITO_ERR_RANGE, "unet: middle is 3; it must be 0 to 2",
                   c.middle = (ito_unet_middle)3);
    ASSERT_REFUSED(ITO_ERR_RANGE, "unet: time is 3; it must be 0 to 2", c.time = (ito_unet_time)3);
    ASSERT_REFUSED(ITO_ERR_RANGE, "unet: class_kind is 4; it must be 0 to 3",
                   c.class_kind = (ito_unet_class)4);
    ASSERT_REFUSED(ITO_ERR_RANGE, "unet: up_attention is 3; it must be 0 to 2",
                   c.up_attention[1] = (ito_unet_up_attention)3);
}

Test(unet_config, numbers_out_of_range_are_refused)
{
    ASSERT_REFUSED(ITO_ERR_RANGE, "unet: head_channels is -1; it must be 0 to 8192",
                   c.head_channels = -1);
    ASSERT_REFUSED(ITO_ERR_RANGE, "unet: middle_attention_groups is -1; it must be 0 to 8192",
                   c.middle_attention_groups = -1);
    ASSERT_REFUSED(ITO_ERR_RANGE, "unet: time_channels is 32769; it must be 0 to 32768",
                   c.time_channels = 32769);
    ASSERT_REFUSED(ITO_ERR_RANGE, "unet: freq_divisor is -1; it must be 0 to 8192",
                   c.freq_divisor = -1);
    ASSERT_REFUSED(ITO_ERR_RANGE, "unet: downsample_padding is 2; it must be 0 to 1",
                   c.downsample_padding = 2);
    ASSERT_REFUSED(ITO_ERR_RANGE, "unet: norm_eps is -1; it must be above 0, or 0 for 1e-6",
                   c.norm_eps = -1);
    ASSERT_REFUSED(ITO_ERR_RANGE, "unet: norm_eps is nan; it must be above 0, or 0 for 1e-6",
                   c.norm_eps = (double)NAN);
    ASSERT_REFUSED(ITO_ERR_RANGE, "unet: middle_scale is inf; it must be above 0, or 0 for 1",
                   c.middle_scale = HUGE_VAL);
}

Test(unet_config, widths_that_do_not_fit_are_refused)
{
    ASSERT_REFUSED(ITO_ERR_ARGUMENT,
                   "unet: level 1 has the multiplier 2 and the width 16; give one of them",
                   c.widths[1] = 16);
    ASSERT_REFUSED(ITO_ERR_RANGE, "unet: a width is -8; it must be 0 to 524288",
                   c.multipliers[1] = 0, c.widths[1] = -8);
    ASSERT_REFUSED(ITO_ERR_SHAPE, "unet: the 10 channels of level 1 do not form 4 groups",
                   c.multipliers[1] = 0, c.widths[1] = 10);
    ASSERT_REFUSED(ITO_ERR_SHAPE, "unet: the 16 channels of level 1 do not form heads of 3",
                   c.head_channels = 3);
    ASSERT_REFUSED(ITO_ERR_SHAPE, "unet: the 8 channels of level 0 do not form heads of 16",
                   c.up_attention[0] = ITO_UNET_UP_ATTENTION, c.head_channels = 16);
    ASSERT_REFUSED(ITO_ERR_SHAPE, "unet: the 16 channels of the middle do not form 5 groups",
                   c.middle_attention_groups = 5);
}

/* By default the groups divide the widths, too. */
Test(unet_config, groups_divide_all_widths)
{
    ito_unet_config c = tiny_unet_config(1);
    c.groups = 0;
    c.multipliers[1] = 0;
    c.widths[1] = 12;
    ito_unet *u = ito_unet_create(&c, NULL);
    cr_assert_not_null(u, "%s", ito_error());
    cr_expect_eq(u->config.groups, 4);
    ito_module_free(&u->base);
}

Test(unet_config, numbers_of_times_and_classes_that_do_not_fit_are_refused)
{
    ASSERT_REFUSED(ITO_ERR_RANGE, "unet: times is 0; it must be 1 to 1000000",
                   c.time = ITO_UNET_TIME_LEARNED);
    ASSERT_REFUSED(ITO_ERR_ARGUMENT, "unet: times is 5, and no times are learned; it must be 0",
                   c.times = 5);
    ASSERT_REFUSED(ITO_ERR_ARGUMENT,
                   "unet: each image is to have a class, and there are none; classes must be 1 or "
                   "more",
                   c.class_kind = ITO_UNET_CLASS_ALWAYS);
    ASSERT_REFUSED(ITO_ERR_ARGUMENT,
                   "unet: classes is 5, and labels of this class_kind are no classes; it must be 0",
                   c.class_kind = ITO_UNET_CLASS_EMBEDDED, c.classes = 5);
}

/* ---- times and labels that are refused ---- */

/* A forward pass of two images of a network with these settings. */
static ito_tensor *given(ito_unet_config config, ito_tensor *t, ito_tensor *labels)
{
    ito_unet *u = ito_unet_create(&config, NULL);
    cr_assert_not_null(u, "%s", ito_error());
    ito_tensor *y = ito_unet_forward_class(u, ito_zeros(ITO_SHAPE(2, 1, 8, 8), ITO_F32), t, labels);
    ito_module_free(&u->base);
    return y;
}

static ito_tensor *two(double a, double b)
{
    return ito_from_data((const double[]){a, b}, ITO_SHAPE(2), ITO_F64);
}

Test(unet_config, times_that_have_no_logarithm_are_refused)
{
    ito_unet_config c = tiny_unet_config(1);
    c.time = ITO_UNET_TIME_FOURIER;
    cr_expect_not_null(given(c, two(1e-3, 80), NULL), "%s", ito_error());
    assert_refused(given(c, two(1, 0), NULL), ITO_ERR_RANGE,
                   "unet: a time 0; Fourier features are of its logarithm, and it must be above 0");
    assert_refused(given(c, ito_zeros(ITO_SHAPE(2), ITO_U8), NULL), ITO_ERR_DTYPE,
                   "unet: a time of u8; it is i64, f32 or f64");
}

Test(unet_config, times_that_were_not_learned_are_refused)
{
    ito_unet_config c = tiny_unet_config(1);
    c.time = ITO_UNET_TIME_LEARNED;
    c.times = 10;
    cr_expect_not_null(given(c, two(0, 9), NULL), "%s", ito_error());
    cr_expect_not_null(given(c, labels_of(2, (const int64_t[]){0, 9}), NULL), "%s", ito_error());
    assert_refused(given(c, two(3, 10), NULL), ITO_ERR_RANGE,
                   "unet: a time 10 is none of the learned ones, the whole numbers from 0 to 9");
    assert_refused(given(c, two(2.5, 1), NULL), ITO_ERR_RANGE,
                   "unet: a time 2.5 is none of the learned ones, the whole numbers from 0 to 9");
    assert_refused(given(c, two(-1, 1), NULL), ITO_ERR_RANGE,
                   "unet: a time -1 is none of the learned ones, the whole numbers from 0 to 9");
}

Test(unet_config, labels_that_are_missing_or_do_not_fit_their_kind_are_refused)
{
    ito_unet_config c = tiny_unet_config(1);
    c.class_kind = ITO_UNET_CLASS_ALWAYS;
    c.classes = 3;
    assert_refused(given(c, two(1, 2), NULL), ITO_ERR_ARGUMENT,
                   "unet: the network needs a label for each image, and there are none");
    assert_refused(given(c, two(1, 2), labels_of(2, (const int64_t[]){0, 3})), ITO_ERR_RANGE,
                   "embedding: index 3 at [1] is outside 0..2");
    c.classes = 0;
    c.class_kind = ITO_UNET_CLASS_TIMESTEP;
    assert_refused(given(c, two(1, 2), NULL), ITO_ERR_ARGUMENT,
                   "unet: the network needs a label for each image, and there are none");
    assert_refused(given(c, two(1, 2), ito_zeros(ITO_SHAPE(2, 1), ITO_F32)), ITO_ERR_SHAPE,
                   "unet: labels f32 [2, 1] for 2 images; it takes [N] i64, f32 or f64");
    c.class_kind = ITO_UNET_CLASS_EMBEDDED;
    assert_refused(given(c, two(1, 2), two(0, 1)), ITO_ERR_SHAPE,
                   "unet: labels f64 [2] for 2 images; it takes [N, 32] f32");
    c.class_kind = ITO_UNET_CLASS_TIMESTEP;
    c.time = ITO_UNET_TIME_FOURIER;
    assert_refused(given(c, two(1, 2), two(3, 0)), ITO_ERR_RANGE,
                   "unet: a label 0; Fourier features are of its logarithm, and it must be above "
                   "0");
}

/* ---- memory ---- */

static ito_status build_and_run(void *context)
{
    ito_unet_config c = unusual();
    c.levels = 2;
    c.blocks = 1;
    c.dropout = 0;
    (void)context;
    ito_generator g = ito_generator_make(1, 2);
    ito_unet *u = ito_unet_create(&c, &g);
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 1, 2, 2), ITO_F64);
    ito_tensor *t = ito_ones(ITO_SHAPE(1), ITO_F32), *label = ito_zeros(ITO_SHAPE(1), ITO_I64);
    ito_tensor *y = u == NULL ? NULL : ito_unet_forward_class(u, x, t, label);
    ito_status status = y == NULL ? ito_error_code() : ITO_OK;
    if (u != NULL)
        ito_module_free(&u->base);
    return status;
}

Test(unet_config, failed_allocations_are_errors_and_leak_nothing)
{
    cr_expect_gt(count_failed_allocations(build_and_run, NULL), 200);
}
