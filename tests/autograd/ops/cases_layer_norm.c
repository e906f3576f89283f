/* layer_norm and rms_norm against the definition in long double, their moments, and what a large
 * mean costs. */
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static const double EXACT = 1e-12;    /* sums of some thousand terms in double */
static const double F32_STATS = 2e-6; /* statistics and three roundings in float */
static const double EPS = 1e-5;

typedef struct setting {
    bool rms;
    ito_shape normalized_shape;
    bool has_weight, has_bias;
} setting;

static ito_tensor *apply(bool rms, ito_tensor *x, ito_shape normalized_shape, ito_tensor *weight,
                         ito_tensor *bias)
{
    return rms ? ito_rms_norm(x, normalized_shape, weight, .eps = 1e-5)
               : ito_layer_norm(x, normalized_shape, weight, bias);
}

static ito_tensor *norm(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    const setting *s = context;
    return apply(s->rms, in[0], s->normalized_shape, s->has_weight ? in[1] : NULL,
                 s->has_bias ? in[s->has_weight ? 2 : 1] : NULL);
}

/* y of rows of n; weight and bias may be NULL. */
static void reference(bool rms, double *y, const double *x, int64_t rows, int64_t n,
                      const double *weight, const double *bias)
{
    for (int64_t r = 0; r < rows; r++) {
        long double mean = 0, square = 0;
        for (int64_t i = 0; i < n && !rms; i++)
            mean += (long double)x[r * n + i] / (long double)n;
        for (int64_t i = 0; i < n; i++)
            square += ((long double)x[r * n + i] - mean) * ((long double)x[r * n + i] - mean);
        long double deviation = sqrtl(square / (long double)n + (long double)EPS);
        for (int64_t i = 0; i < n; i++)
            y[r * n + i] = (double)(((long double)x[r * n + i] - mean) / deviation) *
                               (weight == NULL ? 1 : weight[i]) +
                           (bias == NULL ? 0 : bias[i]);
    }
}

static void check_sizes(bool rms, ito_shape shape, int axes, bool has_weight, bool has_bias)
{
    ito_shape of_row = {.ndim = axes};
    for (int i = 0; i < axes; i++)
        of_row.dim[i] = shape.dim[shape.ndim - axes + i];
    int64_t numel = shape_numel(shape), n = shape_numel(of_row);
    ito_tensor *x = random_tensor(shape, -2, 5, 1);
    ito_tensor *weight = has_weight ? random_tensor(of_row, -2, 2, 2) : NULL;
    ito_tensor *bias = has_bias ? random_tensor(of_row, -2, 2, 3) : NULL;
    double *want = malloc((size_t)(numel + 1) * sizeof *want);
    if (numel > 0)
        reference(rms, want, ito_const_data(x), numel / n, n,
                  has_weight ? ito_const_data(weight) : NULL,
                  has_bias ? ito_const_data(bias) : NULL);
    assert_elements(apply(rms, x, of_row, weight, bias), want, numel, EXACT, "norm");
    free(want);
}

static void check_all(bool rms)
{
    for (int64_t n = 1; n <= 40; n++) /* tails of every length */
        check_sizes(rms, ITO_SHAPE(5, n), 1, true, !rms);
    check_sizes(rms, ITO_SHAPE(2, 3, 4, 5), 2, true, false);
    check_sizes(rms, ITO_SHAPE(7, 3), 2, false, false); /* one row */
    check_sizes(rms, ITO_SHAPE(6, 7), 1, false, !rms);
    check_sizes(rms, ITO_SHAPE(3, 10001), 1, true, !rms); /* rows of several blocks */
    check_sizes(rms, ITO_SHAPE(1200, 3), 1, true, !rms);  /* several chunks of rows */
    check_sizes(rms, ITO_SHAPE(0, 4), 1, true, !rms);
    check_sizes(rms, ITO_SHAPE(3, 0), 1, true, !rms);
    setting full = {rms, ITO_SHAPE(6), true, !rms}, axes = {rms, ITO_SHAPE(2, 3), true, false};
    setting plain = {rms, ITO_SHAPE(5), false, false}, no_weight = {rms, ITO_SHAPE(5), false, true};
    setting wide = {rms, ITO_SHAPE(300), true, !rms};
    const char *what = rms ? "rms_norm" : "layer_norm";
    op_check_run((op_check){.what = what,
                            .f = norm,
                            .context = &full,
                            .n = rms ? 2 : 3,
                            .shape = {ITO_SHAPE(5, 6), ITO_SHAPE(6), ITO_SHAPE(6)},
                            .parameter = {false, true, true},
                            .tolerance = 1e-3,
                            .large = {ITO_SHAPE(9001, 6), ITO_SHAPE(6), ITO_SHAPE(6)}});
    op_check_run((op_check){.what = what,
                            .f = norm,
                            .context = &wide,
                            .n = rms ? 2 : 3,
                            .shape = {ITO_SHAPE(2, 300), ITO_SHAPE(300), ITO_SHAPE(300)},
                            .parameter = {false, true, true},
                            .no_second = true,
                            .tolerance = 1e-3,
                            .large = {ITO_SHAPE(5, 301, 300), ITO_SHAPE(300), ITO_SHAPE(300)}});
    op_check_run((op_check){.what = what,
                            .f = norm,
                            .context = &axes,
                            .n = 2,
                            .shape = {ITO_SHAPE(3, 2, 3), ITO_SHAPE(2, 3)},
                            .parameter = {false, true},
                            .tolerance = 1e-3});
    op_check_run((op_check){.what = what,
                            .f = norm,
                            .context = &plain,
                            .n = 1,
                            .shape = {ITO_SHAPE(2, 5)},
                            .tolerance = 1e-3});
    if (!rms)
        op_check_run((op_check){.what = "layer_norm without weight",
                                .f = norm,
                                .context = &no_weight,
                                .n = 2,
                                .shape = {ITO_SHAPE(2, 5), ITO_SHAPE(5)},
                                .parameter = {false, true},
                                .tolerance = 1e-3});
}

void case_layer_norm(void)
{
    check_all(false);
}

void case_rms_norm(void)
{
    check_all(true);
}

/* The fused backward against the composite form's, which create_graph takes. */
static void check_backward(bool rms, ito_shape shape, ito_shape of_row)
{
    ito_tensor *x = random_tensor(shape, -2, 5, 1), *dy = random_tensor(shape, -1, 1, 2);
    ito_tensor *in[3] = {x, random_tensor(of_row, -2, 2, 3), random_tensor(of_row, -2, 2, 4)};
    ito_tensor *fused[3], *composite[3];
    int n = rms ? 2 : 3;
    for (int i = 0; i < n; i++)
        ito_requires_grad(in[i], true);
    ito_tensor *y = apply(rms, in[0], of_row, in[1], in[2]);
    ito_backward_options options = {.cotangent = dy, .retain_graph = true};
    cr_assert_eq(ito_grads(y, in, n, fused, options), ITO_OK, "%s", ito_error());
    options.create_graph = true;
    cr_assert_eq(ito_grads(y, in, n, composite, options), ITO_OK, "%s", ito_error());
    for (int i = 0; i < n; i++)
        assert_close(fused[i], composite[i], EXACT, "backward");
}

Test(ops_layer_norm, fused_and_composite_gradients_agree)
{
    for (int rms = 0; rms < 2; rms++) {
        check_backward(rms, ITO_SHAPE(2, 6, 5, 7), ITO_SHAPE(5, 7));
        check_backward(rms, ITO_SHAPE(1500, 33), ITO_SHAPE(33));   /* several chunks of rows */
        check_backward(rms, ITO_SHAPE(19, 5003), ITO_SHAPE(5003)); /* and blocks of a row */
        check_backward(rms, ITO_SHAPE(3, 1), ITO_SHAPE(1));
    }
}

/* Each gradient by itself, in all combinations: what is not wanted is not computed. */
Test(ops_layer_norm, a_gradient_has_the_same_bits_whichever_others_are_wanted)
{
    ito_tensor *dy = random_tensor(ITO_SHAPE(40, 37), -1, 1, 4);
    ito_tensor *all[3];
    for (int wanted = 7; wanted > 0; wanted--) { /* the inputs, as bits, that want a gradient */
        ito_tensor *in[3] = {random_tensor(ITO_SHAPE(40, 37), -3, 3, 1),
                             random_tensor(ITO_SHAPE(37), -2, 2, 2),
                             random_tensor(ITO_SHAPE(37), -2, 2, 3)};
        for (int i = 0; i < 3; i++)
            ito_requires_grad(in[i], (wanted >> i & 1) != 0);
        ito_tensor *y = ito_layer_norm(in[0], ITO_SHAPE(37), in[1], in[2]);
        cr_assert_eq(ito_backward(y, .cotangent = dy), ITO_OK, "%s", ito_error());
        for (int i = 0; i < 3; i++) {
            if ((wanted >> i & 1) == 0)
                continue;
            if (wanted == 7)
                all[i] = ito_grad_of(in[i]);
            assert_close(ito_grad_of(in[i]), all[i], 0, "gradient");
        }
    }
}

/* A gradient that the sweep alone holds is overwritten; what a caller holds is not. */
Test(ops_layer_norm, leaves_the_cotangent_as_it_was)
{
    ito_tensor *x = ito_requires_grad(random_tensor(ITO_SHAPE(3, 5), -2, 2, 1), true);
    ito_tensor *dy = random_tensor(ITO_SHAPE(3, 5), -1, 1, 2), *before = ito_clone(dy);
    ito_tensor *y = ito_layer_norm(x, ITO_SHAPE(5), NULL, NULL);
    ito_tensor *through =
        ito_layer_norm(ito_mul_scalar(x, 2), ITO_SHAPE(5), NULL, NULL, .eps = 4e-5);
    ito_tensor *dx = ito_grad(y, x, .cotangent = dy);
    assert_close(ito_grad(ito_mul_scalar(through, 1), x, .cotangent = dy), dx, EXACT, "in place");
    assert_close(dy, before, 0, "cotangent");
}

/* Parameters are f32 beside bf16 rows, and so are their gradients. */
Test(ops_layer_norm, second_derivatives_exist_beside_bf16)
{
    for (int rms = 0; rms < 2; rms++) {
        ito_tensor *x = ito_cast(random_tensor(ITO_SHAPE(2, 4), -2, 2, 1), ITO_BF16);
        ito_tensor *weight = ito_cast(random_tensor(ITO_SHAPE(4), -2, 2, 2), ITO_F32);
        ito_requires_grad(x, true);
        ito_requires_grad(weight, true);
        ito_tensor *y = apply(rms, x, ITO_SHAPE(4), weight, NULL);
        ito_tensor *dw =
            ito_grad(y, weight, .cotangent = ito_full_like(ito_detach(y), 1), .create_graph = true);
        cr_assert_not_null(dw, "%s", ito_error());
        cr_assert_eq(dw->dtype, ITO_F32);
        ito_tensor *ddx = ito_grad(dw, x, .cotangent = ito_full_like(ito_detach(dw), 1));
        cr_assert_not_null(ddx, "%s", ito_error());
        cr_assert_eq(ddx->dtype, ITO_BF16);
    }
}

Test(ops_layer_norm, the_gradients_of_nothing_are_zero)
{
    ito_tensor *x = ito_requires_grad(ito_zeros(ITO_SHAPE(0, 3), ITO_F64), true);
    ito_tensor *weight = ito_requires_grad(ito_ones(ITO_SHAPE(3), ITO_F64), true);
    ito_tensor *bias = ito_requires_grad(ito_ones(ITO_SHAPE(3), ITO_F64), true);
    ito_tensor *y = ito_layer_norm(x, ITO_SHAPE(3), weight, bias);
    cr_assert_eq(ito_backward(ito_sum(y)), ITO_OK, "%s", ito_error());
    assert_elements(ito_grad_of(weight), (double[3]){0}, 3, 0, "dweight");
    assert_elements(ito_grad_of(bias), (double[3]){0}, 3, 0, "dbias");
    cr_assert_eq(ito_numel(ito_grad_of(x)), 0);
}

Test(ops_layer_norm, a_row_has_mean_0_and_variance_1_whatever_its_scale)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(4, 99), -1, 1, 1);
    ito_tensor *y = ito_layer_norm(x, ITO_SHAPE(99), NULL, NULL, .eps = 1e-300);
    ito_tensor *zeros = ito_zeros(ITO_SHAPE(4), ITO_F64), *ones = ito_ones(ITO_SHAPE(4), ITO_F64);
    assert_close(ito_mean(y, .dims = ITO_DIMS(1)), zeros, EXACT, "mean");
    assert_close(ito_var(y, .dims = ITO_DIMS(1), .correction = 0), ones, EXACT, "variance");
    ito_tensor *scaled = ito_add_scalar(ito_mul_scalar(x, 64), 8);
    assert_close(ito_layer_norm(scaled, ITO_SHAPE(99), NULL, NULL, .eps = 1e-300), y, EXACT,
                 "a x + b");
}

Test(ops_layer_norm, rms_norm_has_mean_square_1_and_keeps_the_mean)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(4, 99), -1, 3, 1);
    ito_tensor *y = ito_rms_norm(x, ITO_SHAPE(99), NULL, .eps = 0);
    assert_close(ito_mean(ito_square(y), .dims = ITO_DIMS(1)), ito_ones(ITO_SHAPE(4), ITO_F64),
                 EXACT, "mean square");
    ito_tensor *scaled = ito_rms_norm(ito_mul_scalar(x, 64), ITO_SHAPE(99), NULL, .eps = 0);
    assert_close(scaled, y, EXACT, "a x");
}

/* In float, x = 1000 + z holds z to 3e-5: compare with the f64 result for the very same x. */
Test(ops_layer_norm, a_large_mean_costs_no_digits_in_f32)
{
    static const double offsets[] = {0, 1000, -30000};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        ito_tensor *z = random_tensor(ITO_SHAPE(20, 700), -1.7, 1.7, 1);
        ito_tensor *x = ito_cast(ito_add_scalar(z, offsets[i]), ITO_F32);
        ito_tensor *weight = random_tensor(ITO_SHAPE(700), -1, 1, 2);
        ito_tensor *want = ito_layer_norm(ito_cast(x, ITO_F64), ITO_SHAPE(700), weight, NULL);
        ito_tensor *got = ito_layer_norm(x, ITO_SHAPE(700), ito_cast(weight, ITO_F32), NULL);
        assert_close(ito_cast(got, ITO_F64), want, F32_STATS, "large mean");
    }
}

/* Half of the row lies 1e4 above the other half; then a row as long as an image. */
Test(ops_layer_norm, long_rows_cost_no_digits_in_f32)
{
    ito_tensor *z = random_tensor(ITO_SHAPE(2, 100000), -1, 1, 1);
    ito_tensor *halves[] = {ito_narrow(z, 1, 0, 50000),
                            ito_add_scalar(ito_narrow(z, 1, 50000, 50000), 1e4)};
    ito_tensor *rows[] = {z, ito_cat(halves, 2, 1)};
    for (int i = 0; i < 2; i++) {
        ito_tensor *x = ito_cast(rows[i], ITO_F32);
        ito_tensor *want = ito_layer_norm(ito_cast(x, ITO_F64), ITO_SHAPE(100000), NULL, NULL);
        ito_tensor *got = ito_layer_norm(x, ITO_SHAPE(100000), NULL, NULL);
        assert_close(ito_cast(got, ITO_F64), want, F32_STATS, "long row");
    }
}

/* The first columns are 0, the others lie about 1000: nothing may hang on where the row begins. */
Test(ops_layer_norm, a_beginning_unlike_the_rest_costs_no_digits)
{
    for (int64_t first = 1; first <= 200; first *= 14) {
        ito_tensor *z = ito_add_scalar(random_tensor(ITO_SHAPE(5, 40000), -1, 1, 1), 1000);
        ito_tensor *x = ito_cast(ito_pad(z, 0, first, 0), ITO_F32);
        ito_shape row = ITO_SHAPE(40000 + first);
        ito_tensor *want = ito_layer_norm(ito_cast(x, ITO_F64), row, NULL, NULL);
        ito_tensor *got = ito_layer_norm(x, row, NULL, NULL);
        assert_close(ito_cast(got, ITO_F64), want, F32_STATS, "beginning");
    }
}

Test(ops_layer_norm, a_row_gives_the_same_bits_alone_and_among_others)
{
    ito_tensor *x = ito_cast(random_tensor(ITO_SHAPE(7, 333), -1, 3, 1), ITO_F32);
    for (int rms = 0; rms < 2; rms++) {
        ito_tensor *y = apply(rms, x, ITO_SHAPE(333), NULL, NULL);
        for (int64_t r = 0; r < 7; r++) {
            ito_tensor *alone = apply(rms, ito_narrow(x, 0, r, 1), ITO_SHAPE(333), NULL, NULL);
            assert_close(alone, ito_narrow(y, 0, r, 1), 0, "row");
        }
    }
}

Test(ops_layer_norm, a_constant_row_becomes_the_bias)
{
    ito_tensor *x = ito_full(ITO_SHAPE(3, 6), 3.3, ITO_F32);
    ito_tensor *bias = ito_full(ITO_SHAPE(6), 0.25, ITO_F32);
    assert_close(ito_layer_norm(x, ITO_SHAPE(6), NULL, bias),
                 ito_full(ITO_SHAPE(3, 6), 0.25, ITO_F32), 1e-4,
                 "constant"); /* the rounding of the mean, 1e-7, over sqrt(eps) */
}

/* 1 / sqrt(1e-8 + eps) of a tensor full of 1e-4: eps is that of what is computed in. */
Test(ops_layer_norm, rms_norm_has_the_eps_of_its_type_by_default)
{
    static const ito_dtype dtypes[] = {ITO_F32, ITO_F64, ITO_BF16};
    static const double eps[] = {0x1p-23, 0x1p-52, 0x1p-23};
    for (int i = 0; i < 3; i++) {
        ito_tensor *x = ito_cast(ito_full(ITO_SHAPE(1, 4), 1e-4, ITO_F64), dtypes[i]);
        ito_tensor *by_default = ito_rms_norm(x, ITO_SHAPE(4), NULL);
        assert_close(by_default, ito_rms_norm(x, ITO_SHAPE(4), NULL, .eps = eps[i]), 0, "default");
        double want = 1e-4 / sqrt(1e-8 + eps[i]), roundings = dtypes[i] == ITO_BF16 ? 0x1p-7 : 1e-6;
        cr_expect_float_eq(ito_item(ito_max(by_default)), want, roundings);
    }
}

Test(ops_layer_norm, without_eps_a_row_has_unit_variance_and_a_constant_one_is_nan)
{
    ito_tensor *x = ito_from_data((double[]){1e-8, 3e-8}, ITO_SHAPE(1, 2), ITO_F64);
    assert_elements(ito_layer_norm(x, ITO_SHAPE(2), NULL, NULL, .eps = 0), (double[]){-1, 1}, 2,
                    1e-15, "layer_norm");
    ito_tensor *constant = ito_ones(ITO_SHAPE(1, 2), ITO_F64), *zero = ito_zeros_like(constant);
    const double nans[] = {(double)NAN, (double)NAN};
    assert_elements(ito_layer_norm(constant, ITO_SHAPE(2), NULL, NULL, .eps = 0), nans, 2, 0, "");
    assert_elements(ito_rms_norm(zero, ITO_SHAPE(2), NULL, .eps = 0), nans, 2, 0, "0 / 0");
}

Test(ops_layer_norm, a_nan_stays_in_its_row)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(3, 20), -1, 1, 1);
    ((double *)ito_data(x))[25] = (double)NAN;
    for (int rms = 0; rms < 2; rms++) {
        ito_tensor *y = apply(rms, x, ITO_SHAPE(20), NULL, NULL);
        const double *v = ito_const_data(y);
        for (int64_t i = 0; i < 60; i++)
            cr_expect_eq(isnan(v[i]) != 0, i / 20 == 1, "element %d is %g", (int)i, v[i]);
    }
}

Test(ops_layer_norm, refuses_a_row_of_another_shape)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 6), ITO_F32);
    cr_assert_null(ito_layer_norm(x, ITO_SHAPE(5), NULL, NULL));
    assert_error(ITO_ERR_SHAPE, "layer_norm: x [2, 6] does not end in normalized_shape [5]");
    cr_assert_null(ito_rms_norm(x, ITO_SHAPE(3, 2, 6), NULL));
    assert_error(ITO_ERR_SHAPE, "rms_norm: x [2, 6] does not end in normalized_shape [3, 2, 6]");
}

Test(ops_layer_norm, refuses_a_row_without_axes)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 6), ITO_F32);
    cr_assert_null(ito_layer_norm(x, ITO_SHAPE(), NULL, NULL));
    assert_error(ITO_ERR_SHAPE, "layer_norm: normalized_shape [] has no axis");
    cr_assert_null(ito_rms_norm(x, ITO_ALL_DIMS, NULL));
    assert_error(ITO_ERR_SHAPE, "rms_norm: normalized_shape [] has no axis");
}

Test(ops_layer_norm, refuses_parameters_of_another_shape)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 6), ITO_F32), *six = ito_zeros(ITO_SHAPE(6), ITO_F32);
    ito_tensor *row = ito_zeros(ITO_SHAPE(1, 6), ITO_F32);
    cr_assert_null(ito_layer_norm(x, ITO_SHAPE(6), row, six));
    assert_error(ITO_ERR_SHAPE, "layer_norm: weight [1, 6] is not shaped as normalized_shape [6]");
    cr_assert_null(ito_layer_norm(x, ITO_SHAPE(6), six, row));
    assert_error(ITO_ERR_SHAPE, "layer_norm: bias [1, 6] is not shaped as normalized_shape [6]");
    cr_assert_null(ito_rms_norm(x, ITO_SHAPE(6), row));
    assert_error(ITO_ERR_SHAPE, "rms_norm: weight [1, 6] is not shaped as normalized_shape [6]");
}

Test(ops_layer_norm, refuses_an_eps_below_0_or_without_bound)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 6), ITO_F32);
    cr_assert_null(ito_layer_norm(x, ITO_SHAPE(6), NULL, NULL, .eps = -1));
    assert_error(ITO_ERR_ARGUMENT, "layer_norm: eps is -1; it must be 0 or more, finite");
    cr_assert_null(ito_layer_norm(x, ITO_SHAPE(6), NULL, NULL, .eps = (double)NAN));
    assert_error(ITO_ERR_ARGUMENT, "layer_norm: eps is nan; it must be 0 or more, finite");
    cr_assert_null(ito_rms_norm(x, ITO_SHAPE(6), NULL, .eps = (double)INFINITY));
    assert_error(ITO_ERR_ARGUMENT, "rms_norm: eps is inf; it must be 0 or more, finite");
}

Test(ops_layer_norm, refuses_integers_and_parameters_of_another_type)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 6), ITO_F32);
    cr_assert_null(ito_layer_norm(ito_cast(x, ITO_I32), ITO_SHAPE(6), NULL, NULL));
    assert_error(ITO_ERR_DTYPE, "layer_norm: takes f32, f64 or bf16, not i32 (see ito_cast)");
    cr_assert_null(ito_rms_norm(x, ITO_SHAPE(6), ito_ones(ITO_SHAPE(6), ITO_F64)));
    assert_error(ITO_ERR_DTYPE, "rms_norm: f32 [2, 6] and f64 [6] do not mix (see ito_cast)");
}
