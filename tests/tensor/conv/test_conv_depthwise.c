/* Convolutions in groups of few channels against the definition, and against a convolution of each
 * group by itself. */
#include "tensor/conv/conv_depthwise.h"
#include "tests/tensor/conv/conv_data.h"

/* The definition, exactly, in every dtype. */
static void check(conv_shape s)
{
    cr_assert(conv_by_depthwise(&s));
    check_within(ITO_F32, s, false, 0.0);
    check_within(ITO_F64, s, false, 0.0);
    check_within(ITO_BF16, s, false, 0.0);
}

Test(conv_depthwise, equals_the_definition_for_every_kernel_stride_and_dilation)
{
    static const int64_t kernels[] = {1, 2, 3, 5, 7};
    for (int k = 0; k < 5; k++)
        for (int64_t stride = 1; stride <= 3; stride++)
            for (int64_t dilation = 1; dilation <= 3; dilation++)
                for (int64_t pad = 0; pad <= 3; pad += 3) {
                    int64_t size = dilation * (kernels[k] - 1) + 5; /* one place at least */
                    check(shape_of(2, size, size + 4, 5, 5, kernels[k], stride, pad, dilation, 5));
                }
}

Test(conv_depthwise, equals_the_definition_for_any_number_of_channels)
{
    static const int64_t channels[] = {2, 3, 4, 7, 8, 15, 16, 17, 31, 64, 65, 130, 300};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++) {
        int64_t c = channels[i];
        check(shape_of(2, 5, 13, c, c, 3, 1, 1, 1, c));
        check(shape_of(2, 6, 5, c, c, 3, 2, 1, 1, c));
    }
}

Test(conv_depthwise, equals_the_definition_for_groups_of_few_channels)
{
    static const int64_t cases[][3] = {{5, 10, 5},  {3, 12, 3},  {10, 5, 5},   {12, 24, 6},
                                       {24, 12, 6}, {20, 20, 5}, {34, 51, 17}, {4, 4, 2},
                                       {36, 27, 9}, {64, 64, 16}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ci = cases[i][0], co = cases[i][1], groups = cases[i][2];
        check(shape_of(2, 6, 11, ci, co, 3, 1, 1, 1, groups));
        check(shape_of(2, 6, 7, ci, co, 3, 2, 1, 2, groups));
        check(shape_of(1, 3, 3, ci, co, 1, 1, 0, 1, groups));
    }
}

Test(conv_depthwise, equals_the_definition_across_windows)
{
    check(shape_of(1, 3, 150, 18, 18, 3, 1, 1, 1, 18)); /* several on a line */
    check(shape_of(1, 150, 3, 18, 18, 3, 1, 1, 1, 18)); /* several lines of them */
    check(shape_of(1, 70, 70, 6, 6, 5, 1, 2, 1, 6));
    check(shape_of(1, 90, 140, 3, 3, 3, 2, 1, 1, 3));
    check(shape_of(1, 70, 70, 4, 4, 3, 1, 9, 9, 4));
    check(shape_of(1, 12, 80, 200, 200, 3, 1, 1, 1, 200)); /* and blocks of channels */
    check(shape_of(1, 40, 5, 8, 8, 33, 1, 16, 1, 8));
}

Test(conv_depthwise, takes_axes_that_differ_in_everything)
{
    conv_shape s = shape_of(2, 9, 14, 6, 12, 2, 1, 0, 1, 6);
    s.kw = 5, s.dilation_h = 2, s.stride_h = 3, s.stride_w = 2;
    s.pad_top = 1, s.pad_left = 2;
    s.oh = 4, s.ow = 6;
    check(s);
    s.oh = 2, s.ow = 1; /* a corner is all that is computed */
    check(s);
    s = shape_of(1, 7, 8, 4, 4, 3, 1, 0, 1, 4);
    s.kw = 1, s.stride_w = 4, s.dilation_w = 7, s.pad_left = 3;
    s.oh = 5, s.ow = 4;
    check(s);
}

Test(conv_depthwise, takes_padding_about_any_image)
{
    check(shape_of(2, 1, 1, 9, 9, 3, 1, 1, 1, 9)); /* one pixel */
    check(shape_of(1, 2, 9, 9, 9, 3, 1, 4, 2, 9)); /* more padding than image */
    check(shape_of(1, 3, 3, 3, 3, 3, 1, 6, 1, 3)); /* whole windows in the padding */
    conv_shape s = shape_of(2, 8, 8, 20, 20, 3, 2, 0, 1, 20);
    s.oh = s.ow = 4; /* at the bottom and right alone */
    check(s);
}

Test(conv_depthwise, gives_zero_gradients_where_no_output_reaches)
{
    check(shape_of(1, 9, 9, 3, 3, 1, 3, 0, 1, 3)); /* stride above the kernel skips pixels */
    check(shape_of(1, 9, 9, 4, 8, 1, 3, 0, 1, 4));
}

Test(conv_depthwise, of_nothing_gives_bias_and_zeros)
{
    check(shape_of(0, 5, 5, 3, 3, 3, 1, 1, 1, 3)); /* no images: dw and dbias are zero */
    conv_shape s = shape_of(2, 5, 5, 3, 3, 3, 1, 1, 1, 3);
    s.oh = 0;
    check(s); /* no outputs: dx is zero too */
    s.oh = 5, s.ow = 0;
    check(s);
}

/* As test_conv.c has it: K multiply-adds round at most 2 K times. */
Test(conv_depthwise, rounds_no_more_than_a_chain_of_multiply_adds)
{
    double longest = 2.0 * 12.0 * 12.0; /* the depth of dw */
    check_within(ITO_F32, shape_of(2, 12, 12, 20, 20, 3, 1, 1, 1, 20), true,
                 (2.0 * longest + 8.0) * 0x1p-24);
    check_within(ITO_F32, shape_of(2, 12, 12, 16, 32, 5, 1, 2, 1, 8), true,
                 (2.0 * longest + 8.0) * 0x1p-24);
}

/* Channel c of an image [pixels][channels]. */
static float *channel_of(const void *image, int64_t pixels, int64_t channels, int64_t c)
{
    float *one = malloc((size_t)(pixels + 1) * sizeof *one);
    for (int64_t i = 0; i < pixels; i++)
        one[i] = ((const float *)image)[i * channels + c];
    return one;
}

static void expect_near(const float *got, const void *image, int64_t pixels, int64_t channels,
                        int64_t c)
{
    for (int64_t i = 0; i < pixels; i++)
        cr_assert_float_eq((double)got[i], (double)((const float *)image)[i * channels + c], 1e-4);
}

Test(conv_depthwise, agrees_with_a_convolution_of_each_channel)
{
    conv_shape s = shape_of(3, 20, 17, 21, 21, 5, 1, 2, 1, 21);
    data d = make(ITO_F32, s, true);
    run(&d);
    for (int64_t c = 0; c < s.ci; c++) {
        data one = d;
        one.s.ci = one.s.co = one.s.groups = 1;
        cr_assert_not(conv_by_depthwise(&one.s));
        one.x = channel_of(d.x, x_numel(&one.s), s.ci, c);
        one.dy = channel_of(d.dy, y_numel(&one.s), s.co, c);
        one.w = (float *)d.w + c * 25;
        one.bias = (float *)d.bias + c;
        data results = again(&one);
        run(&results);
        expect_near(results.y, d.y, y_numel(&one.s), s.co, c);
        expect_near(results.dx, d.dx, x_numel(&one.s), s.ci, c);
        expect_near(results.dw, (float *)d.dw + c * 25, 25, 1, 0);
        release_results(&results);
        free(one.x);
        free(one.dy);
    }
    release(&d);
}

/* <conv(x, w), dy> is <x, dx>, and <w, dw>, exactly on integers. */
Test(conv_depthwise, gradients_are_the_adjoints)
{
    for (int64_t stride = 1; stride <= 2; stride++) {
        conv_shape s = shape_of(2, 11, 12, 34, 68, 3, stride, 1, 1, 17);
        data d = make(ITO_F64, s, false);
        memset(d.bias, 0, (size_t)s.co * sizeof(double));
        run(&d);
        double y = 0, x = 0, w = 0;
        for (int64_t i = 0; i < y_numel(&s); i++)
            y += get(ITO_F64, d.y, i) * get(ITO_F64, d.dy, i);
        for (int64_t i = 0; i < x_numel(&s); i++)
            x += get(ITO_F64, d.x, i) * get(ITO_F64, d.dx, i);
        for (int64_t i = 0; i < w_numel(&s); i++)
            w += get(ITO_F64, d.w, i) * get(ITO_F64, d.dw, i);
        cr_expect_eq(y, x);
        cr_expect_eq(y, w);
        release(&d);
    }
}

Test(conv_depthwise, adds_an_image_or_a_row_for_each_image)
{
    conv_shape s = shape_of(3, 6, 9, 19, 19, 3, 1, 1, 1, 19);
    for (int dtype = 0; dtype < 2; dtype++)
        for (int per_image = 0; per_image < 2; per_image++) {
            data d = make(dtype == 0 ? ITO_F32 : ITO_BF16, s, false), plain = again(&d);
            conv_addends none = {0}, e = {.bias = d.bias, .add = d.dy, .add_per_image = per_image};
            cr_assert_eq(conv2d_forward(d.dtype, plain.y, d.x, d.w, &none, &s), ITO_OK);
            cr_assert_eq(conv2d_forward(d.dtype, d.y, d.x, d.w, &e, &s), ITO_OK);
            for (int64_t i = 0; i < y_numel(&s); i++) {
                int64_t image = i / (s.oh * s.ow * s.co), c = i % s.co;
                double want = get(d.dtype, plain.y, i) + get(d.parameters, d.bias, c) +
                              get(d.dtype, d.dy, per_image ? image * s.co + c : i);
                if (d.dtype == ITO_F32 || fabs(want) < 200) /* bf16 has these whole numbers */
                    cr_assert_eq(get(d.dtype, d.y, i), want, "y[%d]", (int)i);
            }
            release_results(&plain);
            release(&d);
        }
}

/* An infinite weight reaches the pixels that meet it, and no others: nothing is multiplied by zeros
 * that stand for the gaps of a stride. */
Test(conv_depthwise, an_infinite_weight_stays_in_its_phase)
{
    conv_shape s = shape_of(1, 8, 8, 3, 3, 2, 2, 0, 1, 3);
    data d = make(ITO_F64, s, false);
    for (int64_t i = 0; i < y_numel(&s); i++)
        ((double *)d.dy)[i] = 1;
    for (int64_t c = 0; c < 3; c++)
        ((double *)d.w)[c * 4] = HUGE_VAL; /* tap (0, 0) */
    cr_assert_eq(conv2d_backward_data(ITO_F64, d.dx, d.dy, d.w, &s), ITO_OK);
    for (int64_t i = 0; i < x_numel(&s); i++) {
        int64_t pixel = i / s.ci, row = pixel / 8, column = pixel % 8;
        bool met = row % 2 == 0 && column % 2 == 0;
        cr_expect_eq(isfinite(get(ITO_F64, d.dx, i)) == 0, met, "dx[%d]", (int)i);
        cr_expect_not(isnan(get(ITO_F64, d.dx, i)));
    }
    release(&d);
}

/* ---- the choice and bits --------------------------------------------------------------------- */

Test(conv_depthwise, takes_groups_of_up_to_four_channels)
{
    conv_shape s = shape_of(1, 9, 9, 12, 12, 3, 1, 1, 1, 3); /* of 4 and 4 */
    cr_expect(conv_by_depthwise(&s));
    s.groups = 1;
    cr_expect_not(conv_by_depthwise(&s));
    s = shape_of(1, 9, 9, 15, 12, 3, 1, 1, 1, 3);
    cr_expect_not(conv_by_depthwise(&s));
    s = shape_of(1, 9, 9, 12, 15, 3, 1, 1, 1, 3);
    cr_expect_not(conv_by_depthwise(&s));
}

Test(conv_depthwise, leaves_images_without_channels_to_the_product)
{
    conv_shape s = shape_of(2, 5, 5, 0, 4, 3, 1, 1, 1, 2);
    cr_expect_not(conv_by_depthwise(&s));
    check_within(ITO_F32, s, false, 0.0); /* the bias is left */
    s = shape_of(2, 5, 5, 4, 0, 3, 1, 1, 1, 2);
    cr_expect_not(conv_by_depthwise(&s));
    check_within(ITO_F32, s, false, 0.0);
}

Test(conv_depthwise, takes_filters_that_reach_up_to_64_pixels)
{
    conv_shape s = shape_of(1, 70, 70, 4, 4, 64, 1, 0, 1, 4);
    cr_expect(conv_by_depthwise(&s));
    s = shape_of(1, 70, 70, 4, 4, 65, 1, 0, 1, 4);
    cr_expect_not(conv_by_depthwise(&s));
    s = shape_of(1, 70, 70, 4, 4, 2, 1, 0, 64, 4); /* by dilation */
    cr_expect_not(conv_by_depthwise(&s));
}

static const conv_shape *large(size_t i)
{
    static conv_shape shapes[4];
    shapes[0] = shape_of(5, 33, 31, 40, 40, 3, 1, 1, 1, 40);
    shapes[1] = shape_of(5, 33, 31, 40, 40, 7, 2, 3, 1, 40);
    shapes[2] = shape_of(5, 17, 80, 36, 72, 3, 1, 1, 1, 18);
    shapes[3] = shape_of(3, 40, 40, 200, 200, 3, 1, 1, 1, 200);
    return i < 4 ? &shapes[i] : NULL;
}

Test(conv_depthwise, gives_the_same_bits_for_any_number_of_threads)
{
    for (size_t i = 0; large(i) != NULL; i++) {
        check_threads(ITO_F32, *large(i));
        check_threads(ITO_BF16, *large(i));
    }
}

Test(conv_depthwise, gives_an_image_the_same_bits_alone_as_in_a_batch)
{
    for (size_t i = 0; large(i) != NULL; i++) {
        check_alone(ITO_F32, *large(i));
        check_alone(ITO_BF16, *large(i));
    }
}
