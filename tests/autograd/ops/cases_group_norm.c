/* group_norm, alone and with silu, against the definition in long double, its moments, and what a
 * large mean costs. */
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static const double EXACT = 1e-12;    /* sums of some thousand terms in double */
static const double F32_STATS = 2e-6; /* statistics and three roundings in float */
static const double EPS = 1e-5;

typedef struct setting {
    int64_t groups;
    bool has_weight, has_bias, silu;
} setting;

static ito_tensor *group_norm(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    const setting *s = context;
    ito_tensor *weight = s->has_weight ? in[1] : NULL;
    ito_tensor *bias = s->has_bias ? in[s->has_weight ? 2 : 1] : NULL;
    return s->silu ? ito_group_norm_silu(in[0], s->groups, weight, bias, 1e-5)
                   : ito_group_norm(in[0], s->groups, weight, bias, 1e-5);
}

/* y of x [N, C, L], all row-major, before any silu; weight and bias may be NULL. */
static void reference(double *y, const double *x, int64_t n, int64_t c, int64_t length,
                      int64_t groups, const double *weight, const double *bias)
{
    int64_t count = c / groups * length;
    for (int64_t g = 0; g < n * groups; g++) {
        long double mean = 0, square = 0;
        for (int64_t i = 0; i < count; i++)
            mean += (long double)x[g * count + i] / (long double)count;
        for (int64_t i = 0; i < count; i++)
            square +=
                ((long double)x[g * count + i] - mean) * ((long double)x[g * count + i] - mean);
        long double deviation = sqrtl(square / (long double)count + (long double)EPS);
        for (int64_t i = 0; i < count; i++) {
            int64_t channel = g % groups * (c / groups) + i / length;
            double v = (double)(((long double)x[g * count + i] - mean) / deviation);
            y[g * count + i] =
                v * (weight == NULL ? 1 : weight[channel]) + (bias == NULL ? 0 : bias[channel]);
        }
    }
}

static void check_sizes(ito_shape shape, int64_t groups, bool weighted, bool silu)
{
    int64_t n = shape.dim[0], c = shape.dim[1], numel = shape_numel(shape);
    ito_tensor *x = random_tensor(shape, -2, 5, 1);
    ito_tensor *weight = weighted ? random_tensor(ITO_SHAPE(c), -2, 2, 2) : NULL;
    ito_tensor *bias = weighted ? random_tensor(ITO_SHAPE(c), -2, 2, 3) : NULL;
    double *want = malloc((size_t)(numel + 1) * sizeof *want);
    if (numel > 0)
        reference(want, ito_const_data(x), n, c, numel / (n * c), groups,
                  weighted ? ito_const_data(weight) : NULL, weighted ? ito_const_data(bias) : NULL);
    for (int64_t i = 0; i < numel && silu; i++)
        want[i] /= 1 + exp(-want[i]);
    ito_tensor *y = silu ? ito_group_norm_silu(x, groups, weight, bias, 1e-5)
                         : ito_group_norm(x, groups, weight, bias, 1e-5);
    assert_elements(y, want, numel, EXACT, "group_norm");
    free(want);
}

static void check_all(bool silu)
{
    check_sizes(ITO_SHAPE(2, 6, 3, 5), 3, true, silu);
    check_sizes(ITO_SHAPE(2, 6, 3, 5), 6, false, silu);
    check_sizes(ITO_SHAPE(1, 7, 31, 3), 1, true, silu);
    check_sizes(ITO_SHAPE(2, 300, 63), 2, true, silu); /* groups longer than a block of channels */
    check_sizes(ITO_SHAPE(3, 520, 2, 1, 3), 4, false, silu);
    check_sizes(ITO_SHAPE(3, 8), 2, true, silu);
    check_sizes(ITO_SHAPE(1, 32, 40, 50), 8, true, silu); /* more than one chunk */
    check_sizes(ITO_SHAPE(2, 9000, 2), 3, true, silu);    /* a pixel longer than a chunk */
    check_sizes(ITO_SHAPE(0, 4, 3), 2, true, silu);
    check_sizes(ITO_SHAPE(2, 4, 0), 2, true, silu);
    int gradient_roundings = silu ? 2 : 1; /* dz is stored on the way to dx */
    setting full = {2, true, true, silu}, no_weight = {2, false, true, silu};
    setting plain = {1, false, false, silu};
    op_check_run((op_check){.what = "group_norm",
                            .f = group_norm,
                            .context = &full,
                            .n = 3,
                            .shape = {ITO_SHAPE(2, 4, 2, 2), ITO_SHAPE(4), ITO_SHAPE(4)},
                            .parameter = {false, true, true},
                            .gradient_roundings = gradient_roundings,
                            .tolerance = 1e-3,
                            .large = {ITO_SHAPE(3, 64, 32, 32), ITO_SHAPE(64), ITO_SHAPE(64)}});
    op_check_run((op_check){.what = "group_norm without weight",
                            .f = group_norm,
                            .context = &no_weight,
                            .n = 2,
                            .shape = {ITO_SHAPE(1, 4, 3), ITO_SHAPE(4)},
                            .parameter = {false, true},
                            .gradient_roundings = gradient_roundings,
                            .tolerance = 1e-3,
                            .large = {ITO_SHAPE(1, 64, 64, 64), ITO_SHAPE(64)}});
    op_check_run((op_check){.what = "group_norm of x alone",
                            .f = group_norm,
                            .context = &plain,
                            .n = 1,
                            .shape = {ITO_SHAPE(2, 5)},
                            .gradient_roundings = gradient_roundings,
                            .tolerance = 1e-3});
}

void case_group_norm(void)
{
    check_all(false);
}

void case_group_norm_silu(void)
{
    check_all(true);
}

/* The fused backward against the composite form's, which create_graph takes. */
static void check_backward(ito_shape shape, int64_t groups, bool silu)
{
    ito_tensor *x = random_tensor(shape, -2, 5, 1), *dy = random_tensor(shape, -1, 1, 2);
    ito_tensor *weight = random_tensor(ITO_SHAPE(shape.dim[1]), -2, 2, 3);
    ito_tensor *bias = random_tensor(ITO_SHAPE(shape.dim[1]), -2, 2, 4), *fused[3], *composite[3];
    ito_tensor *in[3] = {x, weight, bias};
    for (int i = 0; i < 3; i++)
        ito_requires_grad(in[i], true);
    setting s = {groups, true, true, silu};
    ito_tensor *y = group_norm(in, 3, &s);
    ito_backward_options options = {.cotangent = dy, .retain_graph = true};
    cr_assert_eq(ito_grads(y, in, 3, fused, options), ITO_OK, "%s", ito_error());
    options.create_graph = true;
    cr_assert_eq(ito_grads(y, in, 3, composite, options), ITO_OK, "%s", ito_error());
    for (int i = 0; i < 3; i++)
        assert_close(fused[i], composite[i], EXACT, "backward");
}

Test(ops_group_norm, fused_and_composite_gradients_agree)
{
    for (int silu = 0; silu < 2; silu++) {
        check_backward(ITO_SHAPE(2, 6, 5, 7), 3, silu);
        check_backward(ITO_SHAPE(1, 32, 50, 40), 8, silu);
        check_backward(ITO_SHAPE(3, 300, 5), 2, silu);
        check_backward(ITO_SHAPE(2, 12, 1, 3, 1), 4, silu);
    }
}

/* Parameters are f32 beside bf16 images, and so are their gradients. */
Test(ops_group_norm, second_derivatives_exist_beside_bf16)
{
    ito_tensor *x = ito_cast(random_tensor(ITO_SHAPE(2, 4, 3), -2, 2, 1), ITO_BF16);
    ito_tensor *weight = ito_cast(random_tensor(ITO_SHAPE(4), -2, 2, 2), ITO_F32);
    ito_requires_grad(x, true);
    ito_requires_grad(weight, true);
    ito_tensor *y = ito_group_norm_silu(x, 2, weight, NULL, 1e-5);
    ito_tensor *dw =
        ito_grad(y, weight, .cotangent = ito_full_like(ito_detach(y), 1), .create_graph = true);
    cr_assert_not_null(dw, "%s", ito_error());
    cr_assert_eq(dw->dtype, ITO_F32);
    ito_tensor *ddx = ito_grad(dw, x, .cotangent = ito_full_like(ito_detach(dw), 1));
    cr_assert_not_null(ddx, "%s", ito_error());
    cr_assert_eq(ddx->dtype, ITO_BF16);
}

/* The separate operations round where the fused one does. */
Test(ops_group_norm, silu_behind_it_gives_the_bits_of_both_operations)
{
    for (int wanted = 1; wanted < 8; wanted++) { /* the inputs, as bits, that want a gradient */
        ito_tensor *in[3] = {ito_cast(random_tensor(ITO_SHAPE(3, 64, 33, 31), -3, 3, 1), ITO_F32),
                             ito_cast(random_tensor(ITO_SHAPE(64), -2, 2, 2), ITO_F32),
                             ito_cast(random_tensor(ITO_SHAPE(64), -2, 2, 3), ITO_F32)};
        ito_tensor *dy = ito_cast(random_tensor(ITO_SHAPE(3, 64, 33, 31), -1, 1, 4), ITO_F32);
        for (int i = 0; i < 3; i++)
            ito_requires_grad(in[i], (wanted >> i & 1) != 0);
        ito_tensor *fused = ito_group_norm_silu(in[0], 8, in[1], in[2], 1e-5);
        ito_tensor *apart = ito_silu(ito_group_norm(in[0], 8, in[1], in[2], 1e-5));
        assert_close(fused, apart, 0, "forward");
        for (int i = 0; i < 3; i++)
            if ((wanted >> i & 1) != 0)
                assert_close(ito_grad(fused, in[i], .cotangent = dy, .retain_graph = true),
                             ito_grad(apart, in[i], .cotangent = dy, .retain_graph = true), 0,
                             "backward");
    }
}

Test(ops_group_norm, the_gradients_of_nothing_are_zero)
{
    ito_tensor *x = ito_requires_grad(ito_zeros(ITO_SHAPE(0, 4, 3), ITO_F64), true);
    ito_tensor *weight = ito_requires_grad(ito_ones(ITO_SHAPE(4), ITO_F64), true);
    ito_tensor *y = ito_group_norm(x, 2, weight, NULL, 1e-5);
    cr_assert_eq(ito_backward(ito_sum(y)), ITO_OK, "%s", ito_error());
    assert_elements(ito_grad_of(weight), (double[4]){0}, 4, 0, "dweight");
    cr_assert_eq(ito_numel(ito_grad_of(x)), 0);
}

Test(ops_group_norm, a_group_has_mean_0_and_variance_1_whatever_its_scale)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(2, 8, 9, 9), -1, 1, 1);
    ito_tensor *y = ito_group_norm(x, 4, NULL, NULL, 1e-300);
    ito_tensor *groups = ito_reshape(y, 8, 162);
    ito_tensor *zeros = ito_zeros(ITO_SHAPE(8), ITO_F64), *ones = ito_ones(ITO_SHAPE(8), ITO_F64);
    assert_close(ito_mean(groups, .dims = ITO_DIMS(1)), zeros, EXACT, "mean");
    assert_close(ito_var(groups, .dims = ITO_DIMS(1), .correction = 0), ones, EXACT, "variance");
    ito_tensor *scaled = ito_add_scalar(ito_mul_scalar(x, 64), 8);
    assert_close(ito_group_norm(scaled, 4, NULL, NULL, 1e-300), y, EXACT, "a x + b");
}

/* In float, x = 1000 + z holds z to 3e-5: compare with the f64 result for the very same x. */
Test(ops_group_norm, a_large_mean_costs_no_digits_in_f32)
{
    static const double offsets[] = {0, 1000, -30000};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        ito_tensor *z = random_tensor(ITO_SHAPE(2, 64, 20, 20), -1.7, 1.7, 1);
        ito_tensor *x = ito_cast(ito_add_scalar(z, offsets[i]), ITO_F32);
        ito_tensor *weight = random_tensor(ITO_SHAPE(64), -1, 1, 2);
        ito_tensor *want = ito_group_norm(ito_cast(x, ITO_F64), 8, weight, NULL, 1e-5);
        ito_tensor *got = ito_group_norm(x, 8, ito_cast(weight, ITO_F32), NULL, 1e-5);
        assert_close(ito_cast(got, ITO_F64), want, F32_STATS, "large mean");
    }
}

/* x jumps by 1e4 from one half of the image to the other: chunks with very different means. */
Test(ops_group_norm, chunks_far_apart_merge_right)
{
    ito_tensor *z = random_tensor(ITO_SHAPE(1, 32, 64, 32), -1, 1, 1);
    ito_tensor *halves[] = {ito_narrow(z, 2, 0, 32), ito_add_scalar(ito_narrow(z, 2, 32, 32), 1e4)};
    ito_tensor *x = ito_cast(ito_cat(halves, 2, 2), ITO_F32);
    ito_tensor *want = ito_group_norm(ito_cast(x, ITO_F64), 4, NULL, NULL, 1e-5);
    assert_close(ito_cast(ito_group_norm(x, 4, NULL, NULL, 1e-5), ITO_F64), want, F32_STATS,
                 "two halves");
}

/* The first pixels are 0, the others lie about 1000: nothing may hang on where the image begins. */
Test(ops_group_norm, a_border_unlike_the_rest_costs_no_digits)
{
    ito_tensor *z = ito_add_scalar(random_tensor(ITO_SHAPE(1, 8, 255, 128), -1, 1, 1), 1000);
    ito_tensor *x = ito_cast(ito_pad(z, 0, 0, 0, 1, 0), ITO_F32);
    ito_tensor *want = ito_group_norm(ito_cast(x, ITO_F64), 2, NULL, NULL, 1e-5);
    assert_close(ito_cast(ito_group_norm(x, 2, NULL, NULL, 1e-5), ITO_F64), want, F32_STATS,
                 "border");
}

Test(ops_group_norm, an_image_gives_the_same_bits_alone_and_in_a_batch)
{
    ito_tensor *x = ito_cast(random_tensor(ITO_SHAPE(5, 32, 33, 31), -1, 3, 1), ITO_F32);
    ito_tensor *y = ito_group_norm(x, 8, NULL, NULL, 1e-5);
    ito_tensor *alone = ito_group_norm(ito_narrow(x, 0, 3, 1), 8, NULL, NULL, 1e-5);
    assert_close(alone, ito_narrow(y, 0, 3, 1), 0, "batch");
}

Test(ops_group_norm, a_constant_image_becomes_the_bias)
{
    ito_tensor *x = ito_full(ITO_SHAPE(1, 4, 5, 5), 3.3, ITO_F32);
    ito_tensor *bias = ito_full(ITO_SHAPE(4), 0.25, ITO_F32);
    assert_close(ito_group_norm(x, 2, NULL, bias, 1e-5),
                 ito_full(ITO_SHAPE(1, 4, 5, 5), 0.25, ITO_F32), 1e-4,
                 "constant"); /* the rounding of the mean, 1e-7, over sqrt(eps) */
}

Test(ops_group_norm, refuses_what_does_not_fit)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 6, 3), ITO_F32),
               *five = ito_zeros(ITO_SHAPE(5), ITO_F32);
    cr_assert_null(ito_group_norm(five, 1, NULL, NULL, 1e-5));
    assert_error(ITO_ERR_SHAPE, "group_norm: x [5] is not [N, C, ...]");
    cr_assert_null(ito_group_norm(x, 4, NULL, NULL, 1e-5));
    assert_error(ITO_ERR_SHAPE, "group_norm: 6 channels do not form 4 groups");
    cr_assert_null(ito_group_norm(x, 0, NULL, NULL, 1e-5));
    assert_error(ITO_ERR_SHAPE, "group_norm: 6 channels do not form 0 groups");
    cr_assert_null(ito_group_norm(x, 2, five, NULL, 1e-5));
    assert_error(ITO_ERR_SHAPE, "group_norm: weight [5] does not fit 6 channels");
    cr_assert_null(ito_group_norm(x, 2, NULL, five, 1e-5));
    assert_error(ITO_ERR_SHAPE, "group_norm: bias [5] does not fit 6 channels");
    cr_assert_null(ito_group_norm_silu(x, 4, NULL, NULL, 1e-5));
    assert_error(ITO_ERR_SHAPE, "group_norm_silu: 6 channels do not form 4 groups");
}
