/* Convolution and its two gradients against loops straight from the definition in conv.h. All of it
 * is about implicit GEMM, so Winograd, which is not exact on integers, is switched off; it has
 * test_winograd.c. */
#include "tensor/conv/winograd.h"
#include "tests/tensor/conv/conv_data.h"

static void implicit_gemm_alone(void)
{
    winograd_enable(false);
}

TestSuite(conv, .init = implicit_gemm_alone);

static void check(conv_shape s)
{
    check_within(ITO_F32, s, false, 0.0);
    check_within(ITO_F64, s, false, 0.0);
    check_within(ITO_BF16, s, false, 0.0);
}

Test(conv, equals_the_definition_for_every_kernel_stride_and_dilation)
{
    static const int64_t kernels[] = {1, 3, 4, 5};
    for (int k = 0; k < 4; k++)
        for (int64_t stride = 1; stride <= 3; stride++)
            for (int64_t dilation = 1; dilation <= 3; dilation++)
                for (int64_t pad = 0; pad <= 2; pad += 2)
                    check(shape_of(2, 13, 14, 3, 5, kernels[k], stride, pad, dilation, 1));
}

Test(conv, equals_the_definition_for_odd_channels)
{
    static const int64_t channels[][2] = {{1, 1},   {1, 32},  {32, 1},  {3, 17},
                                          {17, 3},  {16, 16}, {32, 48}, {33, 31},
                                          {40, 20}, {64, 70}, {130, 7}, {7, 130}};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++) {
        check(shape_of(2, 5, 7, channels[i][0], channels[i][1], 3, 1, 1, 1, 1));
        check(shape_of(1, 6, 5, channels[i][0], channels[i][1], 3, 2, 1, 1, 1));
        check(shape_of(3, 4, 3, channels[i][0], channels[i][1], 1, 1, 0, 1, 1));
    }
}

/* Whose patches are laid out in one matrix, or whose result is summed from one. */
Test(conv, equals_the_definition_for_a_handful_of_channels_at_one_end)
{
    static const int64_t channels[][2] = {{1, 32}, {32, 1}, {3, 20}, {20, 3}, {4, 9}, {9, 4}};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++) {
        int64_t ci = channels[i][0], co = channels[i][1];
        check(shape_of(2, 1, 1, ci, co, 3, 1, 1, 1, 1)); /* one pixel amid padding */
        check(shape_of(1, 2, 9, ci, co, 3, 1, 4, 2, 1)); /* more padding than image */
        check(shape_of(2, 8, 7, ci, co, 4, 1, 0, 1, 1)); /* no padding */
        check(shape_of(2, 9, 8, ci, co, 3, 2, 1, 1, 1));
        check(shape_of(2, 9, 8, ci, co, 2, 3, 1, 2, 1));
        conv_shape s = shape_of(2, 9, 14, ci, co, 3, 1, 1, 1, 1);
        s.kh = 2, s.kw = 5, s.dilation_h = 2; /* axes that differ in everything */
        s.pad_top = 0, s.pad_left = 3;
        s.oh = 8, s.ow = 11;
        check(s);
        s.oh = 4, s.ow = 3; /* a corner is all that is computed */
        check(s);
    }
}

/* Of more than a few channels: others are tested in test_conv_depthwise.c. */
Test(conv, equals_the_definition_for_groups)
{
    static const int64_t cases[][3] = {
        {10, 10, 2}, {6, 15, 3}, {36, 36, 4}, {15, 6, 3}, {40, 24, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check(shape_of(2, 6, 7, cases[i][0], cases[i][1], 3, 1, 1, 1, cases[i][2]));
        check(shape_of(2, 6, 7, cases[i][0], cases[i][1], 3, 2, 1, 2, cases[i][2]));
        check(shape_of(1, 3, 3, cases[i][0], cases[i][1], 1, 1, 0, 1, cases[i][2]));
    }
}

Test(conv, takes_axes_that_differ_in_everything)
{
    conv_shape s = {.n = 2,
                    .h = 9,
                    .w = 14,
                    .ci = 6,
                    .oh = 4,
                    .ow = 6,
                    .co = 10,
                    .kh = 2,
                    .kw = 5,
                    .stride_h = 3,
                    .stride_w = 2,
                    .pad_top = 1,
                    .pad_left = 2,
                    .dilation_h = 2,
                    .dilation_w = 1,
                    .groups = 2};
    check(s);
    s = (conv_shape){.n = 1,
                     .h = 7,
                     .w = 8,
                     .ci = 4,
                     .oh = 5,
                     .ow = 4,
                     .co = 3,
                     .kh = 3,
                     .kw = 1,
                     .stride_h = 1,
                     .stride_w = 4,
                     .pad_top = 0,
                     .pad_left = 3,
                     .dilation_h = 1,
                     .dilation_w = 7,
                     .groups = 1};
    check(s);
}

Test(conv, pads_the_bottom_and_right_alone_as_downsampling_does)
{
    conv_shape s = shape_of(2, 8, 8, 20, 20, 3, 2, 0, 1, 1);
    s.oh = s.ow = 4;
    check(s);
}

Test(conv, gives_zero_gradients_where_no_output_reaches)
{
    check(shape_of(1, 9, 9, 3, 4, 1, 3, 0, 1, 1)); /* stride above the kernel skips pixels */
    conv_shape s = shape_of(1, 8, 8, 3, 4, 3, 1, 1, 1, 1);
    s.oh = s.ow = 2; /* a corner is all that is computed */
    check(s);
    s = shape_of(1, 3, 3, 3, 4, 3, 1, 6, 1, 1); /* whole windows in the padding */
    check(s);
}

Test(conv, of_nothing_gives_bias_and_zeros)
{
    conv_shape s = shape_of(0, 5, 5, 3, 4, 3, 1, 1, 1, 1);
    check(s); /* no images: dw and dbias are zero */
    s = shape_of(2, 5, 5, 3, 4, 3, 1, 1, 1, 1);
    s.oh = 0;
    check(s); /* no outputs: dx is zero too */
}

Test(conv, crosses_tiles_and_blocks)
{
    check_within(ITO_F32, shape_of(3, 17, 19, 50, 60, 3, 1, 1, 1, 1), false, 0.0);
    check_within(ITO_F32, shape_of(2, 8, 8, 130, 140, 3, 1, 1, 1, 1), false, 0.0);
    check_within(ITO_F64, shape_of(1, 24, 24, 35, 33, 3, 1, 1, 1, 1), false, 0.0);
    check_within(ITO_BF16, shape_of(2, 8, 8, 130, 140, 3, 1, 1, 1, 1), false, 0.0);
}

/* A chain of K multiply-adds rounds at most 2 K times, each by half a unit in the last place of at
 * most the sum of magnitudes; the reference in double adds nothing that shows. */
Test(conv, rounds_no_more_than_a_chain_of_multiply_adds)
{
    conv_shape s = shape_of(2, 12, 12, 40, 24, 3, 1, 1, 1, 1);
    double longest = 9.0 * 40.0; /* above 2 * 12 * 12, the depth of dw, and 9 * 24, that of dx */
    check_within(ITO_F32, s, true, (2.0 * longest + 8.0) * 0x1p-24);
    check_within(ITO_F32, shape_of(2, 12, 12, 40, 3, 3, 1, 1, 1, 1), true,
                 (2.0 * longest + 8.0) * 0x1p-24);
    check_within(ITO_F32, shape_of(2, 12, 12, 3, 40, 3, 1, 1, 1, 1), true,
                 (2.0 * longest + 8.0) * 0x1p-24);
}

static double dot(const float *a, const float *b, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* <conv(x, w), dy> = <x, backward_data(dy, w)> = <w, backward_weight(x, dy)>, exactly on integers.
 */
Test(conv, gradients_are_the_adjoints)
{
    for (int64_t stride = 1; stride <= 3; stride++)
        for (int64_t dilation = 1; dilation <= 2; dilation++) {
            conv_shape s = shape_of(2, 11, 12, 10, 12, 3, stride, 1, dilation, 2);
            data d = make(ITO_F32, s, false);
            memset(d.bias, 0, (size_t)s.co * sizeof(float));
            run(&d);
            double forward = dot(d.y, d.dy, y_numel(&s));
            cr_assert_eq(forward, dot(d.x, d.dx, x_numel(&s)));
            cr_assert_eq(forward, dot(d.w, d.dw, w_numel(&s)));
            release(&d);
        }
}

/* ---- what is added --------------------------------------------------------------------------- */

/* y + add for every kind of addend, at widths that fill panels and that do not. Exact on integers,
 * in bf16 rounded once: y without addends is had in the dtype of sums. */
Test(conv, adds_an_image_or_a_row_for_each_image_to_the_result)
{
    conv_shape shapes[] = {
        shape_of(3, 9, 7, 5, 19, 3, 1, 1, 1, 1), shape_of(2, 8, 8, 40, 32, 1, 1, 0, 1, 1),
        shape_of(2, 9, 9, 6, 12, 3, 2, 1, 1, 3), shape_of(2, 6, 5, 130, 1, 3, 1, 1, 1, 1),
        shape_of(2, 6, 5, 12, 3, 3, 1, 1, 1, 1), shape_of(2, 6, 5, 3, 17, 3, 1, 1, 1, 1)};
    static const ito_dtype dtypes[] = {ITO_F32, ITO_F64, ITO_BF16};
    for (size_t i = 0; i < 12 * sizeof shapes / sizeof *shapes; i++) {
        conv_shape s = shapes[i / 12];
        ito_dtype dtype = dtypes[i % 3];
        bool per_image = i / 3 % 2 != 0, bias = i / 6 % 2 != 0;
        data d = make(dtype, s, false);
        void *plain = filled(d.parameters, y_numel(&s), true);
        void *x = filled(d.parameters, x_numel(&s), false);
        for (int64_t j = 0; dtype == ITO_BF16 && j < x_numel(&s); j++)
            ((float *)x)[j] = bf16_to_f32(((uint16_t *)d.x)[j]);
        void *add = filled(dtype, y_numel(&s), false);
        conv_addends none = {0}, all = {bias ? d.bias : NULL, add, per_image};
        cr_assert_eq(
            conv2d_forward(d.parameters, plain, dtype == ITO_BF16 ? x : d.x, d.w, &none, &s),
            ITO_OK);
        cr_assert_eq(conv2d_forward(dtype, d.y, d.x, d.w, &all, &s), ITO_OK);
        for (int64_t j = 0; j < y_numel(&s); j++) {
            int64_t channel = j % s.co, image = j / (s.oh * s.ow * s.co);
            double want = get(d.parameters, plain, j) +
                          (bias ? get(d.parameters, d.bias, channel) : 0.0) +
                          get(dtype, add, per_image ? image * s.co + channel : j);
            if (dtype == ITO_BF16)
                want = (double)bf16_to_f32(f32_to_bf16((float)want));
            cr_assert_eq(get(dtype, d.y, j), want, "case %d, element %d", (int)i, (int)j);
        }
        free(plain);
        free(x);
        free(add);
        release(&d);
    }
}

/* Both gradients from one pass, in chunks of pixels, which 33 x 33 crosses. */
Test(conv, sums_gradients_over_pixels_for_each_image_and_for_the_bias)
{
    static const int64_t sizes[] = {0, 1, 5, 33};
    for (size_t i = 0; i < 4; i++) {
        conv_shape s = shape_of(3, sizes[i], sizes[i], 1, 21, 1, 1, 0, 1, 1);
        data d = make(ITO_F32, s, false);
        float *images = filled(ITO_F32, 3 * 21, true), *alone = filled(ITO_F32, 3 * 21, true);
        float want_bias[21] = {0};
        cr_assert_eq(conv2d_backward_addends(ITO_F32, d.dbias, images, d.dy, &s), ITO_OK);
        cr_assert_eq(conv2d_backward_addends(ITO_F32, NULL, alone, d.dy, &s), ITO_OK);
        cr_assert_eq(memcmp(images, alone, 3 * 21 * sizeof *images), 0);
        for (int64_t n = 0; n < 3; n++)
            for (int64_t o = 0; o < 21; o++) {
                float want = 0.0f;
                for (int64_t p = 0; p < s.oh * s.ow; p++)
                    want += ((float *)d.dy)[(n * s.oh * s.ow + p) * 21 + o];
                cr_assert_eq(images[n * 21 + o], want);
                want_bias[o] += want;
            }
        cr_assert_eq(memcmp(d.dbias, want_bias, sizeof want_bias), 0);
        free(images);
        free(alone);
        release(&d);
    }
}

/* ---- bits ----------------------------------------------------------------------------------- */

Test(conv, gives_the_same_bits_for_any_number_of_threads)
{
    conv_shape shapes[] = {
        shape_of(4, 16, 16, 36, 40, 3, 1, 1, 1, 1), shape_of(4, 15, 16, 36, 40, 3, 2, 1, 1, 1),
        shape_of(4, 16, 16, 64, 64, 3, 1, 1, 1, 4), shape_of(8, 16, 16, 64, 48, 1, 1, 0, 1, 1),
        shape_of(9, 28, 28, 3, 32, 3, 1, 1, 1, 1),  shape_of(9, 28, 28, 32, 1, 3, 1, 1, 1, 1)};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_threads(ITO_F32, shapes[i]);
}

Test(conv, gives_an_image_the_same_bits_alone_as_in_a_batch)
{
    conv_shape shapes[] = {
        shape_of(8, 9, 11, 35, 37, 3, 1, 1, 1, 1), shape_of(8, 9, 11, 35, 37, 3, 2, 1, 1, 1),
        shape_of(8, 9, 11, 1, 37, 3, 1, 1, 1, 1), shape_of(8, 9, 11, 35, 3, 3, 1, 1, 1, 1)};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_alone(ITO_F32, shapes[i]);
}

/* ---- errors --------------------------------------------------------------------------------- */

static void refuse_memory(conv_shape s)
{
    data d = make(ITO_F32, s, true), before = make(ITO_F32, s, true);
    size_t y_bytes = (size_t)y_numel(&s) * sizeof(float),
           x_bytes = (size_t)x_numel(&s) * sizeof(float);
    size_t w_bytes = (size_t)w_numel(&s) * sizeof(float), b_bytes = (size_t)s.co * sizeof(float);
    memcpy(before.y, d.y, y_bytes);
    memcpy(before.dx, d.dx, x_bytes);
    memcpy(before.dw, d.dw, w_bytes);
    memcpy(before.dbias, d.dbias, b_bytes);
    int64_t blocks = ito_memory_blocks(), failures = 0;
    conv_addends e = {.bias = d.bias};
    for (int pass = 0; pass < 4; pass++)
        for (int64_t nth = 1;; nth++) {
            ito_memory_fail_nth(nth);
            ito_status status = ITO_OK;
            if (pass == 0)
                status = conv2d_forward(ITO_F32, d.y, d.x, d.w, &e, &s);
            else if (pass == 1)
                status = conv2d_backward_data(ITO_F32, d.dx, d.dy, d.w, &s);
            else if (pass == 2)
                status = conv2d_backward_weight(ITO_F32, d.dw, d.x, d.dy, &s);
            else
                status = conv2d_backward_addends(ITO_F32, d.dbias, NULL, d.dy, &s);
            ito_memory_fail_nth(0);
            cr_assert_eq(ito_memory_blocks(), blocks);
            if (status == ITO_OK)
                break;
            failures++;
            cr_assert_eq(status, ITO_ERR_MEMORY);
            cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
            ito_error_clear();
            cr_assert(pass != 0 || memcmp(before.y, d.y, y_bytes) == 0);
            cr_assert(pass != 1 || memcmp(before.dx, d.dx, x_bytes) == 0);
            cr_assert(pass != 2 || memcmp(before.dw, d.dw, w_bytes) == 0);
            cr_assert(pass != 3 || memcmp(before.dbias, d.dbias, b_bytes) == 0);
        }
    cr_assert_geq(failures, 4);
    release(&d);
    release(&before);
}

Test(conv, reports_refused_memory_and_leaves_outputs_alone)
{
    refuse_memory(shape_of(2, 7, 7, 5, 6, 3, 2, 1, 1, 1));
    refuse_memory(shape_of(2, 7, 7, 1, 8, 3, 1, 1, 1, 1));
    refuse_memory(shape_of(2, 7, 7, 8, 3, 3, 1, 1, 1, 1));
    refuse_memory(shape_of(2, 7, 7, 6, 6, 3, 2, 1, 1, 6));
}
