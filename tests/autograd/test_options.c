/* Options of operations, sweeps and checks: each at the ends of what is legal, 0 above all, which
 * means 0; and the defaults. */
#include "autograd/ops.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>

static ito_tensor *numbers(void)
{
    return ito_from_data((double[]){1, -2, 3, 0.5, 5, -HUGE_VAL}, ITO_SHAPE(2, 3), ITO_F64);
}

/* ---- reductions ---- */

Test(options, reductions_take_all_axes_by_default)
{
    ito_tensor *x = ito_narrow(numbers(), 0, 0, 1);
    assert_elements(ito_sum(x), (double[]){2}, 1, 0, "sum");
    assert_elements(ito_max(x, .keepdim = true), (double[]){3}, 1, 0, "max");
    cr_expect_eq(ito_ndim(ito_sum(x)), 0);
    cr_expect_eq(ito_ndim(ito_sum(x, .keepdim = true)), 2);
    cr_expect_eq(ito_ndim(ito_sum(x, .dims = ITO_ALL_DIMS)), 0);
}

Test(options, a_reduction_over_no_axes_is_of_each_element_alone)
{
    ito_tensor *x = numbers();
    for (int keepdim = 0; keepdim < 2; keepdim++) {
        assert_close(ito_sum(x, .dims = ITO_DIMS(), .keepdim = keepdim), x, 0, "sum");
        assert_close(ito_mean(x, .dims = ITO_DIMS(), .keepdim = keepdim), x, 0, "mean");
        assert_close(ito_max(x, .dims = ITO_DIMS(), .keepdim = keepdim), x, 0, "max");
        assert_close(ito_min(x, .dims = ITO_DIMS(), .keepdim = keepdim), x, 0, "min");
        assert_close(ito_logsumexp(x, .dims = ITO_DIMS(), .keepdim = keepdim), x, 0, "logsumexp");
    }
}

Test(options, the_variance_of_one_number_is_0_or_without_bias_undefined)
{
    ito_tensor *x = ito_narrow(numbers(), 0, 0, 1);
    double nan = (double)NAN;
    assert_elements(ito_var(x, .dims = ITO_DIMS(), .correction = 0), (double[]){0, 0, 0}, 3, 0, "");
    assert_elements(ito_var(x, .dims = ITO_DIMS()), (double[]){nan, nan, nan}, 3, 0, "");
}

Test(options, the_gradient_of_a_reduction_over_no_axes_is_the_cotangent)
{
    ito_tensor *x = ito_requires_grad(random_tensor(ITO_SHAPE(2, 3), -2, 2, 1), true);
    ito_tensor *dy = random_tensor(ITO_SHAPE(2, 3), -2, 2, 2);
    ito_tensor *y[] = {ito_sum(x, .dims = ITO_DIMS()), ito_mean(x, .dims = ITO_DIMS()),
                       ito_max(x, .dims = ITO_DIMS()), ito_min(x, .dims = ITO_DIMS()),
                       ito_logsumexp(x, .dims = ITO_DIMS())};
    for (int i = 0; i < 5; i++)
        assert_close(ito_grad(y[i], x, .cotangent = dy), dy, 0, "gradient");
}

Test(options, a_reduction_over_no_axes_of_an_empty_tensor_is_empty)
{
    ito_tensor *none = ito_zeros(ITO_SHAPE(0, 3), ITO_F32);
    cr_expect_eq(ito_numel(ito_max(none, .dims = ITO_DIMS())), 0, "%s", ito_error());
    cr_expect_eq(ito_numel(ito_logsumexp(none, .dims = ITO_DIMS())), 0, "%s", ito_error());
}

Test(options, a_list_of_too_many_axes_is_refused)
{
    cr_assert_null(ito_sum(numbers(), .dims = (ito_shape){.ndim = 9}));
    assert_error(ITO_ERR_ARGUMENT, "sum: a list of 9 axes to reduce; there can be 0 to 8");
    cr_assert_null(ito_mean(numbers(), .dims = (ito_shape){.ndim = -2}));
    assert_error(ITO_ERR_ARGUMENT, "mean: a list of -2 axes to reduce; there can be 0 to 8");
}

Test(options, one_call_with_options_may_stand_in_those_of_another)
{
    ito_tensor *x = ito_requires_grad(ito_ones(ITO_SHAPE(2, 3), ITO_F64), true);
    ito_backward(ito_sum(x, .dims = ITO_DIMS(0)),
                 .cotangent = ito_sum(ito_detach(x), .dims = ITO_DIMS(0), .keepdim = false));
    assert_close(ito_grad_of(x), ito_full(ITO_SHAPE(2, 3), 2, ITO_F64), 0, "gradient");
}

typedef struct list_options {
    int n;
    const double *item;
} list_options;
#define ITO_DEFAULTS_list_options .n = 1

static double last(list_options options)
{
    return options.item[options.n - 1];
}

Test(options, a_list_written_in_a_call_lives_as_long_as_the_block)
{
    double x = ito_item(ito_scalar(7, ITO_F64));
    list_options kept = ITO_OPTIONS(list_options, .item = (double[]){x});
    cr_expect_eq(last(ITO_OPTIONS(list_options, .n = 2, .item = (double[]){x, x + 1})), 8);
    cr_expect_eq(last(kept), 7);
}

/* ---- convolution ---- */

static ito_tensor *image(void)
{
    return random_tensor(ITO_SHAPE(1, 2, 4, 4), -1, 1, 1);
}

static ito_tensor *kernel(int64_t channels)
{
    return random_tensor(ITO_SHAPE(2, channels, 2, 2), -1, 1, 2);
}

Test(options, a_convolution_without_stride_dilation_or_groups_is_refused)
{
    cr_assert_null(ito_conv2d(image(), kernel(2), NULL, .stride = 0));
    assert_error(ITO_ERR_ARGUMENT, "conv2d: stride 0, padding 0 and 0, dilation 1, groups 1 are "
                                   "out of range: at least 1, padding 0");
    cr_assert_null(ito_conv2d(image(), kernel(2), NULL, .dilation = 0));
    assert_error(ITO_ERR_ARGUMENT, "conv2d: stride 1, padding 0 and 0, dilation 0, groups 1 are "
                                   "out of range: at least 1, padding 0");
    cr_assert_null(ito_conv2d(image(), kernel(2), NULL, .groups = 0));
    assert_error(ITO_ERR_ARGUMENT, "conv2d: stride 1, padding 0 and 0, dilation 1, groups 0 are "
                                   "out of range: at least 1, padding 0");
    cr_assert_null(ito_conv2d_with(image(), kernel(2), NULL, (ito_conv_options){0}));
    assert_error(ITO_ERR_ARGUMENT, "conv2d: stride 0, padding 0 and 0, dilation 0, groups 0 are "
                                   "out of range: at least 1, padding 0");
}

Test(options, a_convolution_has_stride_dilation_and_groups_of_1_by_default)
{
    ito_tensor *plain = ito_conv2d(image(), kernel(2), NULL);
    assert_close(ito_conv2d(image(), kernel(2), NULL, .stride = 1, .padding = 0, .padding_end = 0,
                            .dilation = 1, .groups = 1, .add = NULL),
                 plain, 0, "conv2d");
    cr_expect(shape_equal(ito_shape_of(plain), ITO_SHAPE(1, 2, 3, 3)));
}

Test(options, a_stride_beyond_the_image_leaves_the_first_place)
{
    ito_tensor *y = ito_conv2d(image(), kernel(2), NULL, .stride = INT32_MAX);
    ito_tensor *all = ito_conv2d(image(), kernel(2), NULL);
    assert_close(y, ito_narrow(ito_narrow(all, 2, 0, 1), 3, 0, 1), 0, "conv2d");
}

Test(options, the_largest_dilation_and_as_many_groups_as_channels_are_legal)
{
    ito_tensor *corners = ito_conv2d(image(), kernel(2), NULL, .dilation = 3);
    cr_expect(shape_equal(ito_shape_of(corners), ITO_SHAPE(1, 2, 1, 1)), "%s", ito_error());
    ito_tensor *apart = ito_conv2d(image(), kernel(1), NULL, .groups = 2);
    cr_expect(shape_equal(ito_shape_of(apart), ITO_SHAPE(1, 2, 3, 3)), "%s", ito_error());
}

Test(options, a_convolution_may_see_nothing_but_padding)
{
    ito_tensor *y = ito_conv2d(ito_zeros(ITO_SHAPE(1, 2, 0, 0), ITO_F64), kernel(2), NULL,
                               .padding = 1, .padding_end = 1);
    assert_close(y, ito_zeros(ITO_SHAPE(1, 2, 2, 2), ITO_F64), 0, "conv2d");
}

/* ---- attention, normalisation ---- */

Test(options, attention_at_scale_0_is_the_mean_of_the_values)
{
    ito_tensor *q = random_tensor(ITO_SHAPE(1, 2, 3), -2, 2, 1);
    ito_tensor *k = random_tensor(ITO_SHAPE(1, 4, 3), -2, 2, 2);
    ito_tensor *v = ito_from_data((double[]){1, 2, 4, 5}, ITO_SHAPE(1, 4, 1), ITO_F64);
    assert_elements(ito_scaled_dot_product_attention(q, k, v, .scale = 0), (double[]){3, 3}, 2, 0,
                    "attention");
}

Test(options, attention_has_the_scale_1_over_sqrt_d_by_default)
{
    ito_tensor *q = random_tensor(ITO_SHAPE(1, 2, 4), -2, 2, 1);
    ito_tensor *y = ito_scaled_dot_product_attention(q, q, q);
    assert_close(y, ito_scaled_dot_product_attention(q, q, q, .scale = 0.5), 0, "attention");
}

Test(options, a_negative_scale_of_attention_prefers_the_least_alike)
{
    ito_tensor *q = ito_ones(ITO_SHAPE(1, 1, 1), ITO_F64);
    ito_tensor *k = ito_from_data((double[]){-1, 1}, ITO_SHAPE(1, 2, 1), ITO_F64);
    double want = exp(1) / (exp(1) + exp(-1)) * -1 + exp(-1) / (exp(1) + exp(-1));
    assert_elements(ito_scaled_dot_product_attention(q, k, k, .scale = -1), &want, 1, 1e-15, "");
}

Test(options, attention_without_dropout_needs_no_generator_and_leaves_it_alone)
{
    ito_tensor *q = random_tensor(ITO_SHAPE(2, 4), -2, 2, 1);
    ito_generator g = ito_generator_make(1, 2);
    ito_tensor *y = ito_scaled_dot_product_attention(q, q, q, .dropout_p = 0, .generator = &g);
    assert_close(y, ito_scaled_dot_product_attention(q, q, q), 0, "attention");
    cr_assert_eq(g.offset, 0);
    y = ito_scaled_dot_product_attention(q, q, q, .dropout_p = 1 - 1e-12, .generator = &g);
    assert_elements(y, (double[8]){0}, 8, 0, "all are dropped");
}

Test(options, one_group_for_each_head_is_no_grouping)
{
    ito_tensor *q = random_tensor(ITO_SHAPE(2, 3, 4), -2, 2, 1);
    assert_close(ito_scaled_dot_product_attention(q, q, q, .enable_gqa = true),
                 ito_scaled_dot_product_attention(q, q, q), 0, "attention");
}

Test(options, a_rotary_embedding_has_base_10000_and_starts_at_0)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(3, 4), -2, 2, 1);
    assert_close(ito_rotary_embedding(x),
                 ito_rotary_embedding(x, .base = 10000, .start = 0, .dims = 4), 0, "rotary");
    assert_close(ito_rotary_embedding(ito_narrow(x, 0, 0, 1)), ito_narrow(x, 0, 0, 1), 0, "at 0");
    assert_close(ito_rotary_embedding(x, .start = 7),
                 ito_rotary_embedding(x, .positions = ito_arange(7, 10, 1, ITO_I64)), 0, "at 7");
}

Test(options, row_0_may_be_padding_and_rows_may_have_no_length)
{
    ito_tensor *weight = ito_requires_grad(ito_ones(ITO_SHAPE(2, 2), ITO_F64), true);
    ito_tensor *index = ito_from_data((int64_t[]){0, 1}, ITO_SHAPE(1, 2), ITO_I64);
    ito_tensor *y = ito_embedding(weight, index, .padding_idx = 0);
    assert_elements(ito_grad(ito_sum(y), weight), (double[]){0, 0, 1, 1}, 4, 0, "embedding");
    y = ito_embedding_bag(weight, index, .padding_idx = 0, .mode = ITO_BAG_SUM);
    assert_elements(y, (double[]){1, 1}, 2, 0, "embedding_bag");
    assert_elements(ito_embedding(weight, index, .max_norm = 0), (double[4]){0}, 4, 0, "max_norm");
}

Test(options, a_recurrent_network_has_a_layer_at_least)
{
    ito_tensor *x = ito_ones(ITO_SHAPE(2, 1, 3), ITO_F64);
    cr_assert_null(ito_gru(x, NULL, 0, .num_layers = 0));
    assert_error(ITO_ERR_ARGUMENT, "gru: 0 weights are not 4 for each of 0 layers and 1 direction");
    cr_assert_null(ito_gru(x, NULL, 0, .num_layers = INT64_MAX, .bidirectional = true));
    ito_error_clear();
}

Test(options, group_norm_without_eps_gives_unit_variance)
{
    ito_tensor *x = ito_from_data((double[]){1e-8, 3e-8}, ITO_SHAPE(1, 2, 1), ITO_F64);
    assert_elements(ito_group_norm(x, 1, NULL, NULL, 0), (double[]){-1, 1}, 2, 1e-15, "");
    ito_tensor *constant = ito_group_norm(ito_ones(ITO_SHAPE(1, 2), ITO_F64), 1, NULL, NULL, 0);
    assert_elements(constant, (double[]){(double)NAN, (double)NAN}, 2, 0, "0 / 0");
}

Test(options, an_eps_below_0_is_refused)
{
    ito_tensor *x = ito_ones(ITO_SHAPE(1, 2), ITO_F64);
    cr_assert_null(ito_group_norm(x, 1, NULL, NULL, -1));
    assert_error(ITO_ERR_ARGUMENT, "group_norm: eps is -1; it must be 0 or more, finite");
    cr_assert_null(ito_group_norm_silu(x, 1, NULL, NULL, (double)INFINITY));
    assert_error(ITO_ERR_ARGUMENT, "group_norm: eps is inf; it must be 0 or more, finite");
}

/* ---- sweeps ---- */

Test(options, a_sweep_starts_at_1_and_frees_the_graph_by_default)
{
    ito_tensor *x = ito_requires_grad(ito_scalar(3, ITO_F64), true);
    ito_tensor *y = ito_square(x);
    cr_assert_eq(ito_backward(y, .retain_graph = true), ITO_OK);
    cr_assert_eq(ito_backward(y, .cotangent = NULL, .retain_graph = false), ITO_OK);
    cr_assert_eq(ito_item(ito_grad_of(x)), 12);
    cr_assert_eq(ito_backward(y), ITO_ERR_GRAD);
    ito_error_clear();
}

Test(options, a_cotangent_of_0_gives_gradients_of_0)
{
    ito_tensor *x = ito_requires_grad(ito_scalar(3, ITO_F64), true);
    cr_assert_eq(ito_backward(ito_square(x), .cotangent = ito_scalar(0, ITO_F64)), ITO_OK);
    cr_assert_eq(ito_item(ito_grad_of(x)), 0);
}

Test(options, a_sweep_is_recorded_only_where_that_is_asked_for)
{
    ito_tensor *x = ito_requires_grad(ito_scalar(3, ITO_F64), true);
    cr_expect(ito_has_grad_path(ito_grad(ito_square(x), x, .create_graph = true)));
    cr_expect_not(ito_has_grad_path(ito_grad(ito_square(x), x, .create_graph = false)));
}

/* ---- gradient checks ---- */

static ito_tensor *sine(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    return ito_sin(in[0]);
}

static ito_tensor *tenths(void)
{
    return ito_requires_grad(random_tensor(ITO_SHAPE(5), 0.1, 1, 1), true);
}

Test(options, a_gradient_check_without_tolerance_fails_on_rounding_alone)
{
    ito_tensor *x = tenths();
    cr_expect_eq(ito_gradcheck(sine, NULL, &x, 1), ITO_OK, "%s", ito_error());
    cr_expect_eq(ito_gradcheck(sine, NULL, &x, 1, .atol = 0, .rtol = 0), ITO_ERR_GRAD);
    ito_error_clear();
}

Test(options, one_tolerance_of_a_gradient_check_is_enough)
{
    ito_tensor *x = tenths();
    cr_expect_eq(ito_gradcheck(sine, NULL, &x, 1, .atol = 0), ITO_OK, "%s", ito_error());
    cr_expect_eq(ito_gradcheck(sine, NULL, &x, 1, .rtol = 0), ITO_OK, "%s", ito_error());
    cr_expect_eq(ito_gradgradcheck(sine, NULL, &x, 1, .rtol = 0), ITO_OK, "%s", ito_error());
}

Test(options, a_gradient_check_refuses_a_step_of_0_and_tolerances_below_0)
{
    ito_tensor *x = tenths();
    cr_expect_eq(ito_gradcheck(sine, NULL, &x, 1, .eps = 0), ITO_ERR_ARGUMENT);
    assert_error(ITO_ERR_ARGUMENT, "gradcheck: eps 0, atol 1e-05, rtol 0.001; eps must be more "
                                   "than 0, the others 0 or more");
    cr_expect_eq(ito_gradcheck(sine, NULL, &x, 1, .atol = -1), ITO_ERR_ARGUMENT);
    assert_error(ITO_ERR_ARGUMENT, "gradcheck: eps 1e-06, atol -1, rtol 0.001; eps must be more "
                                   "than 0, the others 0 or more");
    cr_expect_eq(ito_gradcheck(sine, NULL, &x, 1, .elements = 0), ITO_ERR_ARGUMENT);
    assert_error(ITO_ERR_ARGUMENT, "gradcheck: 0 elements; there are 1 or more, or -1 for all");
    cr_expect_eq(ito_gradcheck(sine, NULL, &x, 1, .elements = -2), ITO_ERR_ARGUMENT);
    assert_error(ITO_ERR_ARGUMENT, "gradcheck: -2 elements; there are 1 or more, or -1 for all");
    cr_expect_eq(ito_gradgradcheck(sine, NULL, &x, 1, .rtol = -1), ITO_ERR_ARGUMENT);
    assert_error(ITO_ERR_ARGUMENT, "gradcheck: eps 1e-06, atol 1e-05, rtol -1; eps must be more "
                                   "than 0, the others 0 or more");
}
