/* The U-Net with every setting that diffusers' UNet2DModel has, against it: the same names, shapes
 * and outputs for the weights and images of tests/reference/formula.h. Expected values are float64;
 * settings are in this library's words here, in diffusers' in make_unet_settings_fixture.py. */
#include "autograd/autograd.h"
#include "autograd/transforms.h"
#include "models/ddpm/settings.h"
#include "tensor/io/safetensors.h"
#include "tests/models/ddpm/network/network_check.h"
#include "tests/reference/formula.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define SQRT2 1.4142135623730951

typedef struct unet_case {
    const char *name;
    ito_unet_config config;
    double t[2];
    double labels[2]; /* of kinds whose labels are numbers; none if both are 0 */
} unet_case;

/* What most cases share: the defaults of diffusers. */
#define LIBRARY                                                                                    \
    .norm_eps = 1e-5, .downsample_padding = 1, .freq_divisor = 8, .flip_sin_to_cos = true
#define SHAPE(h, w) .in_channels = 3, .height = h, .width = w, .channels = 16, .groups = 8
#define TWO_LEVELS SHAPE(4, 4), .levels = 2, .multipliers = {1, 2}, .blocks = 1

static const unet_case cases[] = {
    {"google",
     {SHAPE(8, 8), .levels = 3, .multipliers = {1, 1, 2}, .attention = {false, true, false},
      .blocks = 2},
     .t = {7, 412}},
    {"library",
     {SHAPE(8, 12), .levels = 2, .multipliers = {1, 2}, .attention = {false, true}, .blocks = 2,
      .head_channels = 8, LIBRARY},
     .t = {7, 412}},
    {"scale_shift",
     {SHAPE(8, 8), .levels = 2, .widths = {16, 24}, .attention = {true, true}, .blocks = 2,
      .head_channels = 8, .middle_scale = SQRT2, .scale_shift = true, LIBRARY},
     .t = {7, 412}},
    {"attention_norm",
     {SHAPE(8, 8), .levels = 2, .multipliers = {1}, .widths = {0, 24}, .blocks = 1,
      .head_channels = 4, .middle_attention_groups = 6, .activation = ITO_UNET_GELU,
      .scale_shift = true, LIBRARY},
     .t = {7, 412}},
    {"resnet_resampling",
     {SHAPE(8, 8), .levels = 3, .multipliers = {1, 1, 2}, .attention = {false, true, false},
      .blocks = 1,
      .up_attention = {ITO_UNET_UP_NO_ATTENTION, ITO_UNET_UP_NO_ATTENTION, ITO_UNET_UP_ATTENTION},
      .head_channels = 8, .down_resnet = {true, true, true}, .up_resnet = {false, true, true},
      LIBRARY},
     .t = {7, 412}},
    {"resnet_scale_shift",
     {SHAPE(4, 8), .levels = 2, .multipliers = {1, 2}, .attention = {true, false}, .blocks = 1,
      .up_attention = {ITO_UNET_UP_NO_ATTENTION}, .down_resnet = {true}, .up_resnet = {false, true},
      .activation = ITO_UNET_MISH, .norm_eps = 1e-3, .scale_shift = true, .freq_divisor = 8,
      .flip_sin_to_cos = true},
     .t = {7, 412}},
    {"no_middle",
     {.in_channels = 1,
      .out_channels = 2,
      .height = 8,
      .width = 8,
      .channels = 16,
      .groups = 8,
      .levels = 2,
      .multipliers = {1, 2},
      .attention = {false, true},
      .blocks = 2,
      .up_attention = {ITO_UNET_UP_ATTENTION, ITO_UNET_UP_NO_ATTENTION},
      .head_channels = 8,
      .middle = ITO_UNET_MIDDLE_NONE,
      .activation = ITO_UNET_GELU,
      LIBRARY},
     .t = {7, 412}},
    {"plain_middle",
     {SHAPE(8, 8), .levels = 3, .widths = {16, 24, 40}, .blocks = 1,
      .middle = ITO_UNET_MIDDLE_NO_ATTENTION, .middle_scale = 2, .activation = ITO_UNET_MISH,
      LIBRARY, .time_channels = 20},
     .t = {7, 412}},
    {"centred",
     {SHAPE(6, 4), .levels = 1, .multipliers = {1}, .attention = {true}, .blocks = 3,
      .up_attention = {ITO_UNET_UP_NO_ATTENTION}, .head_channels = 8, .activation = ITO_UNET_RELU,
      .norm_eps = 1e-5, .freq_divisor = 11, .flip_sin_to_cos = true, .center_input = true},
     .t = {7, 412}},
    {"classes",
     {TWO_LEVELS, .classes = 5, .head_channels = 8, .norm_eps = 1e-5, .downsample_padding = 1,
      .freq_divisor = 8, .class_kind = ITO_UNET_CLASS_ALWAYS},
     .t = {7, 412},
     .labels = {4, 0}},
    {"class_timestep",
     {TWO_LEVELS, .head_channels = 8, .norm_eps = 1e-5, .downsample_padding = 1,
      .flip_sin_to_cos = true, .class_kind = ITO_UNET_CLASS_TIMESTEP},
     .t = {7, 412},
     .labels = {2.5, 600}},
    {"class_identity",
     {TWO_LEVELS, LIBRARY, .head_channels = 8, .time_channels = 12,
      .class_kind = ITO_UNET_CLASS_EMBEDDED},
     .t = {7, 412}},
    {"fourier",
     {TWO_LEVELS, LIBRARY, .head_channels = 8, .time = ITO_UNET_TIME_FOURIER,
      .class_kind = ITO_UNET_CLASS_TIMESTEP},
     .t = {0.5, 2.25},
     .labels = {1.5, 30}},
    {"learned",
     {TWO_LEVELS, LIBRARY, .head_channels = 8, .time = ITO_UNET_TIME_LEARNED, .times = 10},
     .t = {0, 9}},
};

enum { CASES = sizeof cases / sizeof cases[0] };

/* ---- the fixture ---- */

static ito_safetensors *fixture;

static void open_fixture(void)
{
    char path[4096];
    const char *source = getenv("ITO_SOURCE");
    snprintf(path, sizeof path, "%s/tests/reference/unet_settings.safetensors",
             source != NULL ? source : ".");
    fixture = ito_safetensors_open(path);
    cr_assert_not_null(fixture, "%s", ito_error());
}

static void close_fixture(void)
{
    ito_safetensors_close(fixture);
}

TestSuite(unet_settings, .init = open_fixture, .fini = close_fixture);

static ito_tensor *stored(const char *name, const char *what)
{
    char key[64];
    snprintf(key, sizeof key, "%s/%s", name, what);
    ito_tensor *t = ito_safetensors_read(fixture, key);
    cr_assert_not_null(t, "%s", ito_error());
    return t;
}

/* ---- networks with the weights of the formula ---- */

typedef struct entry {
    const char *name;
    ito_tensor *tensor;
} entry;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

/* The state in strcmp order, freed with free(); its tensors are the module's. */
static entry *sorted_state(const ito_unet *u, ito_named_tensors **list)
{
    *list = ito_module_state(&u->base);
    cr_assert_not_null(*list, "%s", ito_error());
    entry *all = malloc((size_t)(*list)->n * sizeof *all);
    cr_assert_not_null(all);
    for (int64_t i = 0; i < (*list)->n; i++)
        all[i] = (entry){(*list)->names[i], (*list)->tensors[i]};
    qsort(all, (size_t)(*list)->n, sizeof *all, by_name);
    return all;
}

static void fill(int64_t p, entry e)
{
    ito_shape shape = ito_shape_of(e.tensor);
    int64_t n = ito_numel(e.tensor);
    float *v = malloc((size_t)n * sizeof *v);
    cr_assert_not_null(v);
    for (int64_t k = 0; k < n; k++)
        v[k] = formula_parameter(p, e.name, shape.ndim, shape.dim, (uint32_t)k);
    cr_assert_not_null(ito_copy_(e.tensor, ito_from_data(v, shape, ITO_F32)), "%s", ito_error());
    free(v);
}

static ito_unet *unet_of(const unet_case *c, ito_dtype dtype)
{
    ito_unet_config config = c->config;
    config.dtype = dtype;
    ito_unet *u = ito_unet_create(&config, NULL);
    cr_assert_not_null(u, "%s: %s", c->name, ito_error());
    ito_named_tensors *list;
    entry *state = sorted_state(u, &list);
    ITO_NO_GRAD
    {
        for (int64_t p = 0; p < list->n; p++)
            fill(p, state[p]);
    }
    free(state);
    ito_named_tensors_free(list);
    return u;
}

static ito_tensor *images_of(const ito_unet_config *c, ito_dtype dtype)
{
    ito_tensor *x = ito_empty(ITO_SHAPE(2, c->in_channels, c->height, c->width), ITO_F32);
    for (int64_t i = 0; i < ito_numel(x); i++)
        ((float *)ito_data(x))[i] = formula_x_0(0, (uint32_t)i);
    return ito_cast(x, dtype);
}

static ito_tensor *labels_for(const unet_case *c, ito_dtype dtype)
{
    if (c->config.class_kind == ITO_UNET_CLASS_EMBEDDED) {
        ito_tensor *rows = ito_empty(ITO_SHAPE(2, c->config.time_channels), ITO_F32);
        for (int64_t i = 0; i < ito_numel(rows); i++)
            ((float *)ito_data(rows))[i] = formula_eps(1, (uint32_t)i);
        return ito_cast(rows, dtype);
    }
    if (c->labels[0] == 0.0)
        return NULL;
    ito_tensor *numbers = ito_from_data(c->labels, ITO_SHAPE(2), ITO_F64);
    return c->config.class_kind == ITO_UNET_CLASS_ALWAYS ? ito_cast(numbers, ITO_I64) : numbers;
}

/* Of the case's images, in f32 and bf16 as f32. */
static ito_tensor *output_of(const unet_case *c, ito_unet *u, ito_tensor *x)
{
    ito_tensor *t = ito_from_data(c->t, ITO_SHAPE(2), ITO_F64);
    ito_tensor *y = ito_unet_forward_class(u, x, t, labels_for(c, ito_dtype_of(x)));
    cr_assert_not_null(y, "%s: %s", c->name, ito_error());
    return y;
}

static double largest(ito_tensor *x)
{
    return ito_item(ito_max(ito_abs(ito_detach(x))));
}

/* ---- against diffusers ---- */

Test(unet_settings, parameters_have_the_names_and_shapes_of_diffusers)
{
    for (int i = 0; i < CASES; i++) {
        ito_unet *u = ito_unet_create(&cases[i].config, NULL);
        cr_assert_not_null(u, "%s", ito_error());
        ito_tensor *names = stored(cases[i].name, "parameters");
        char *text = calloc(1, (size_t)ito_numel(names) + 1), *rest = text;
        ito_to_data(names, text, ITO_U8);
        ito_named_tensors *list;
        entry *state = sorted_state(u, &list);
        for (int64_t p = 0; p < list->n; p++) {
            char found[256];
            int used = snprintf(found, sizeof found, "%s", state[p].name);
            for (int k = 0; k < ito_ndim(state[p].tensor); k++)
                used += snprintf(found + used, sizeof found - (size_t)used, " %lld",
                                 (long long)ito_size(state[p].tensor, k));
            const char *wanted = strsep(&rest, "\n");
            cr_assert_not_null(wanted, "%s: %s is too many", cases[i].name, found);
            cr_assert_str_eq(found, wanted, "%s: %s, not %s", cases[i].name, found, wanted);
        }
        cr_assert_null(rest, "%s: %s is missing", cases[i].name, rest);
        free(state);
        free(text);
        ito_named_tensors_free(list);
        ito_module_free(&u->base);
    }
}

/* The largest difference from diffusers' float64, of the largest output. */
static double error_of(const unet_case *c, ito_dtype dtype, ito_dtype precision)
{
    ito_unet *u = unet_of(c, dtype);
    cr_assert_eq(ito_unet_set_precision(u, precision), ITO_OK);
    ito_tensor *wanted = stored(c->name, "output"), *y = NULL;
    ITO_NO_GRAD
    {
        y = output_of(c, u, images_of(&c->config, dtype));
    }
    double error = largest_difference(ito_cast(y, ITO_F64), wanted) / largest(wanted);
    ito_module_free(&u->base);
    return error;
}

/* Double rounds to 1e-16; angles of 412 radians keep 1e-14 of that. */
Test(unet_settings, outputs_in_f64_are_those_of_diffusers)
{
    for (int i = 0; i < CASES; i++) {
        double error = error_of(&cases[i], ITO_F64, ITO_F64);
        cr_expect_lt(error, 1e-12, "%s: %g", cases[i].name, error);
    }
}

Test(unet_settings, outputs_in_f32_are_those_of_diffusers)
{
    for (int i = 0; i < CASES; i++) {
        double error = error_of(&cases[i], ITO_F32, ITO_F32);
        cr_expect(error > 0.0 && error < 1e-5, "%s: %g", cases[i].name, error);
    }
}

/* ---- in other ways ---- */

/* As in test_unet_bf16.c: a result is rounded to 8 bits about forty times. */
#define TOLERANCE_BF16 0.04

Test(unet_settings, outputs_in_bf16_are_near)
{
    for (int i = 0; i < CASES; i++) {
        double error = error_of(&cases[i], ITO_F32, ITO_BF16);
        cr_expect(error > 1e-4 && error < TOLERANCE_BF16, "%s: %g", cases[i].name, error);
    }
}

/* All gradients in one row. */
static ito_tensor *gradients_of(const unet_case *c, bool recompute)
{
    ito_unet *u = unet_of(c, ITO_F32);
    u->recompute = recompute;
    ito_tensor *y = output_of(c, u, images_of(&c->config, ITO_F32));
    cr_assert_eq(ito_backward(ito_mean(ito_square(y))), ITO_OK, "%s", ito_error());
    ito_named_tensors *p = ito_module_parameters(&u->base);
    ito_tensor **all = malloc((size_t)p->n * sizeof(ito_tensor *));
    for (int64_t i = 0; i < p->n; i++)
        all[i] = ito_reshape(ito_clone(ito_grad_of(p->tensors[i])), -1);
    ito_tensor *joined = ito_cat(all, p->n, 0);
    cr_assert_not_null(joined, "%s: %s", c->name, ito_error());
    free(all);
    ito_named_tensors_free(p);
    ito_module_free(&u->base);
    return joined;
}

Test(unet_settings, recomputing_gives_the_same_bits)
{
    for (int i = 0; i < CASES; i++) {
        ito_tensor *plain = gradients_of(&cases[i], false), *again = gradients_of(&cases[i], true);
        cr_assert_eq(memcmp(ito_const_data(plain), ito_const_data(again),
                            (size_t)ito_numel(plain) * sizeof(float)),
                     0, "%s", cases[i].name);
        cr_expect_gt(largest(plain), 0);
    }
}

typedef struct function_of_x {
    const unet_case *c;
    ito_unet *unet;
} function_of_x;

static ito_tensor *of_x(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    const function_of_x *f = context;
    return output_of(f->c, f->unet, in[0]);
}

/* Forward mode: <w, J v> is <J^T w, v>, which backward gives. */
Test(unet_settings, forward_mode_agrees_with_backward)
{
    for (int i = 0; i < CASES; i++) {
        ito_unet *u = unet_of(&cases[i], ITO_F64);
        function_of_x f = {&cases[i], u};
        ito_tensor *x = ito_requires_grad(images_of(&cases[i].config, ITO_F64), true);
        ito_generator g = ito_generator_make(5, 0);
        ito_tensor *v = ito_randn(&g, ito_shape_of(x), ITO_F64);
        ito_tensor *y, *dy = ito_jvp(of_x, &f, &x, 1, &v, &y);
        cr_assert_not_null(dy, "%s: %s", cases[i].name, ito_error());
        ito_tensor *w = ito_randn(&g, ito_shape_of(dy), ITO_F64);
        cr_assert_eq(ito_backward(ito_sum(ito_mul(of_x(&x, 1, &f), w))), ITO_OK);
        double forward = ito_item(ito_sum(ito_mul(dy, w)));
        double backward = ito_item(ito_sum(ito_mul(ito_grad_of(x), v)));
        cr_expect_float_eq(forward, backward, 1e-10 * (1 + fabs(backward)), "%s: %g and %g",
                           cases[i].name, forward, backward);
        ito_module_free(&u->base);
    }
}

/* A few elements of each parameter against central differences. */
static void check_gradients(const char *name)
{
    for (int i = 0; i < CASES; i++) {
        if (strcmp(cases[i].name, name) != 0)
            continue;
        ito_unet *u = unet_of(&cases[i], ITO_F64);
        function_of_x f = {&cases[i], u};
        ito_named_tensors *p = ito_module_parameters(&u->base);
        ito_tensor **in = malloc((size_t)(p->n + 1) * sizeof(ito_tensor *));
        in[0] = ito_requires_grad(images_of(&cases[i].config, ITO_F64), true);
        memcpy(in + 1, p->tensors, (size_t)p->n * sizeof *in);
        cr_expect_eq(ito_gradcheck(of_x, &f, in, p->n + 1, .elements = 1), ITO_OK, "%s: %s", name,
                     ito_error());
        free(in);
        ito_named_tensors_free(p);
        ito_module_free(&u->base);
        return;
    }
    cr_assert_fail("there is no case %s", name);
}

/* Each kind of block, of activation, of time and of label. */
Test(unet_settings, gradients_are_right_with_heads_and_scale_shift)
{
    check_gradients("attention_norm");
}

Test(unet_settings, gradients_are_right_with_resampling_blocks)
{
    check_gradients("resnet_scale_shift");
    check_gradients("resnet_resampling");
}

Test(unet_settings, gradients_are_right_without_attention_in_the_middle)
{
    check_gradients("plain_middle");
    check_gradients("no_middle");
}

Test(unet_settings, gradients_are_right_for_each_kind_of_time_and_label)
{
    check_gradients("classes");
    check_gradients("class_identity");
    check_gradients("fourier");
    check_gradients("learned");
}
