/* Convolutions of bf16 images by tiles: on a canvas of pixels, in plain C on every machine and by
 * the registers where they are. */
#include "tensor/conv/conv_tiles.h"
#include "tests/tensor/conv/conv_data.h"

static const char *const sets[] = {"amx-emulated", "amx"};
enum { SETS = sizeof sets / sizeof *sets };

/* Goes this way, and gives what the definition does. */
static void check(conv_shape s)
{
    for (int i = 0; i < SETS; i++)
        if (isa_use(sets[i])) {
            cr_assert(conv_by_tiles(ITO_BF16, &s));
            check_within(ITO_BF16, s, false, 0.0);
        }
}

Test(conv_tiles, equals_the_definition_for_every_kernel_dilation_and_padding)
{
    for (int64_t kernel = 2; kernel <= 5; kernel++)
        for (int64_t dilation = 1; dilation <= 2; dilation++)
            for (int64_t pad = 0; pad <= 2; pad++)
                if (pad <= (kernel - 1) * dilation)
                    check(shape_of(2, 9, 11, 9, 10, kernel, 1, pad, dilation, 1));
}

/* Whole and odd tiles, pairs and steps. */
Test(conv_tiles, equals_the_definition_for_any_channels)
{
    static const int64_t channels[][2] = {{8, 8},   {16, 16}, {17, 31}, {32, 32},
                                          {33, 48}, {48, 33}, {64, 70}, {130, 9}};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        check(shape_of(2, 5, 6, channels[i][0], channels[i][1], 3, 1, 1, 1, 1));
}

Test(conv_tiles, equals_the_definition_for_images_of_every_size)
{
    check(shape_of(1, 1, 1, 16, 16, 3, 1, 1, 1, 1));
    check(shape_of(5, 4, 4, 16, 16, 3, 1, 1, 1, 1));
    check(shape_of(1, 40, 3, 16, 16, 3, 1, 1, 1, 1));
    check(shape_of(1, 3, 70, 16, 16, 3, 1, 1, 1, 1));
    check(shape_of(2, 33, 32, 8, 8, 3, 1, 1, 1, 1)); /* units of several lines */
    check(shape_of(5, 32, 33, 9, 8, 3, 1, 1, 1, 1)); /* sums of the weights in parts */
}

Test(conv_tiles, takes_axes_that_differ_in_everything)
{
    conv_shape s = shape_of(2, 9, 14, 12, 20, 3, 1, 1, 1, 1);
    s.kh = 2, s.kw = 5, s.dilation_h = 2;
    s.pad_top = 0, s.pad_left = 3;
    s.oh = 8, s.ow = 11;
    check(s);
    s.oh = 4, s.ow = 3; /* a corner is all that is computed */
    check(s);
    s.oh = 11, s.ow = 15; /* more lies below and to the right of the image than above and left */
    check(s);
}

Test(conv_tiles, of_nothing_gives_bias_and_zeros)
{
    check(shape_of(0, 5, 5, 9, 8, 3, 1, 1, 1, 1));
    conv_shape s = shape_of(2, 5, 5, 9, 8, 3, 1, 1, 1, 1);
    s.oh = 0;
    check(s);
}

/* Strides, groups, single taps and few channels are left to others, and so is all where products
 * are not made by tiles. */
Test(conv_tiles, takes_what_lies_on_a_canvas_and_no_more)
{
    conv_shape fits = shape_of(1, 8, 8, 16, 16, 3, 1, 1, 1, 1);
    conv_shape others[] = {
        shape_of(1, 8, 8, 16, 16, 3, 1, 17, 17, 1),

        shape_of(1, 8, 8, 16, 16, 3, 2, 1, 1, 1),   shape_of(1, 8, 8, 16, 16, 3, 1, 1, 1, 2),
        shape_of(1, 8, 8, 16, 16, 1, 1, 0, 1, 1),   shape_of(1, 8, 8, 7, 16, 3, 1, 1, 1, 1),
        shape_of(1, 8, 8, 16, 7, 3, 1, 1, 1, 1),    shape_of(1, 8, 8, 16, 16, 3, 1, 3, 1, 1)};
    cr_assert(isa_use("amx-emulated"));
    cr_assert(conv_by_tiles(ITO_BF16, &fits));
    cr_assert_not(conv_by_tiles(ITO_F32, &fits));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_assert_not(conv_by_tiles(ITO_BF16, &others[i]), "shape %d", (int)i);
    cr_assert(isa_use("base"));
    cr_assert_not(conv_by_tiles(ITO_BF16, &fits));
}

Test(conv_tiles, adds_an_image_or_a_row_for_each_image_before_it_rounds)
{
    cr_assert(isa_use("amx-emulated"));
    conv_shape s = shape_of(3, 6, 5, 20, 19, 3, 1, 1, 1, 1);
    for (int bits = 0; bits < 4; bits++) {
        bool per_image = bits & 1, bias = bits & 2;
        data d = make(ITO_BF16, s, false);
        uint16_t *add = filled(ITO_BF16, y_numel(&s), false);
        double *exact = zeros(y_numel(&s)),
               *unused = zeros(x_numel(&s) + w_numel(&s) + y_numel(&s));
        reference r = {.dtype = ITO_BF16, .parameters = ITO_F32, .x = d.x, .w = d.w, .dy = d.dy};
        r.y = exact;
        r.dx = r.dx_size = r.dw = r.dw_size = r.y_size = unused;
        each_product(&s, add_product, &r);
        conv_addends e = {bias ? d.bias : NULL, add, per_image};
        cr_assert_eq(conv2d_forward(ITO_BF16, d.y, d.x, d.w, &e, &s), ITO_OK);
        for (int64_t i = 0; i < y_numel(&s); i++) {
            int64_t channel = i % s.co, image = i / (s.oh * s.ow * s.co);
            double want = exact[i] + (bias ? get(ITO_F32, d.bias, channel) : 0.0) +
                          get(ITO_BF16, add, per_image ? image * s.co + channel : i);
            cr_assert_eq(get(ITO_BF16, d.y, i), (double)bf16_to_f32(f32_to_bf16((float)want)),
                         "options %d, element %d", bits, (int)i);
        }
        free(exact);
        free(unused);
        free(add);
        release(&d);
    }
}

Test(conv_tiles, gives_the_same_bits_for_any_number_of_threads)
{
    for (int i = 0; i < SETS; i++)
        if (isa_use(sets[i])) {
            check_threads(ITO_BF16, shape_of(4, 16, 16, 36, 40, 3, 1, 1, 1, 1));
            check_threads(ITO_BF16, shape_of(9, 32, 32, 16, 32, 3, 1, 1, 1, 1)); /* in parts */
            check_threads(ITO_BF16, shape_of(3, 4, 4, 96, 160, 3, 1, 1, 1, 1));
            check_threads(ITO_BF16,
                          shape_of(2, 12, 12, 64, 64, 1, 1, 0, 1, 1)); /* a plain product */
            check_threads(ITO_BF16,
                          shape_of(2, 13, 12, 40, 64, 3, 2, 1, 1, 1)); /* gathered patches */
        }
}

Test(conv_tiles, gives_an_image_the_same_bits_alone_as_in_a_batch)
{
    for (int i = 0; i < SETS; i++)
        if (isa_use(sets[i])) {
            check_alone(ITO_BF16, shape_of(5, 9, 11, 35, 37, 3, 1, 1, 1, 1));
            check_alone(ITO_BF16, shape_of(5, 4, 4, 35, 37, 3, 1, 1, 1, 1));
            check_alone(ITO_BF16, shape_of(5, 9, 11, 35, 37, 3, 2, 1, 1, 1));
        }
}

Test(conv_tiles, registers_and_plain_c_give_the_same_bits)
{
    if (!isa_use("amx"))
        cr_skip("no AMX here");
    conv_shape shapes[] = {shape_of(3, 9, 10, 40, 70, 3, 1, 1, 1, 1),
                           shape_of(2, 9, 10, 40, 70, 3, 2, 1, 1, 1)};
    for (int i = 0; i < 2; i++) {
        data d = make(ITO_BF16, shapes[i], true), plain = again(&d);
        cr_assert(isa_use("amx"));
        run(&d);
        cr_assert(isa_use("amx-emulated"));
        run(&plain);
        assert_same_bits(&d, &plain);
        release_results(&plain);
        release(&d);
    }
}

Test(conv_tiles, reports_refused_memory_and_leaves_outputs_alone)
{
    cr_assert(isa_use("amx-emulated"));
    data d = make(ITO_BF16, shape_of(2, 7, 7, 9, 10, 3, 1, 1, 1, 1), true), before = again(&d);
    run(&before);
    run(&d);
    conv_addends none = {0};
    ito_memory_fail_nth(1);
    cr_assert_eq(conv2d_forward(ITO_BF16, d.y, d.dy, d.w, &none, &d.s), ITO_ERR_MEMORY);
    ito_memory_fail_nth(1);
    cr_assert_eq(conv2d_backward_data(ITO_BF16, d.dx, d.x, d.w, &d.s), ITO_ERR_MEMORY);
    ito_memory_fail_nth(1);
    cr_assert_eq(conv2d_backward_weight(ITO_BF16, d.dw, d.dy, d.x, &d.s), ITO_ERR_MEMORY);
    ito_memory_fail_nth(0);
    assert_same_bits(&d, &before);
    release_results(&before);
    release(&d);
}
