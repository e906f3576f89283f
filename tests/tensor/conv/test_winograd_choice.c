/* Which convolutions go by way of Winograd, and the switch that sends all to implicit GEMM. */
#include "tests/isas.h"
#include "tests/tensor/conv/winograd_data.h"

static void run_conv(data *d)
{
    conv_addends e = {.bias = d->bias};
    cr_assert_eq(conv2d_forward(ITO_F32, d->y, d->x, d->w, &e, &d->s), ITO_OK);
    cr_assert_eq(conv2d_backward_data(ITO_F32, d->dx, d->dy, d->w, &d->s), ITO_OK);
    cr_assert_eq(conv2d_backward_weight(ITO_F32, d->dw, d->x, d->dy, &d->s), ITO_OK);
}

static double distance(const float *a, const float *b, int64_t n)
{
    double error = 0.0;
    for (int64_t i = 0; i < n; i++)
        error += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(error / dot(b, b, n));
}

Test(winograd, serves_convolutions_until_it_is_switched_off)
{
    data d = make(shape_of(2, 14, 14, 64, 64, 1)), direct = again(&d), from_conv = again(&d);
    conv_shape *s = &d.s;
    winograd_enable(false);
    cr_assert_not(winograd_enabled());
    run_conv(&direct);
    winograd_enable(true);
    run_conv(&from_conv);
    run(ITO_F32, &d);
    cr_assert(same(from_conv.y, d.y, y_numel(s)));
    cr_assert(same(from_conv.dx, d.dx, x_numel(s)));
    cr_assert(same(from_conv.dw, d.dw, w_numel(s)));
    double apart[] = {distance(d.y, direct.y, y_numel(s)), distance(d.dx, direct.dx, x_numel(s)),
                      distance(d.dw, direct.dw, w_numel(s))};
    for (int i = 0; i < 3; i++)
        cr_assert(apart[i] > 0.0 && apart[i] < RMS_TOLERANCE, "%d: %g", i, apart[i]);
    release_results(&direct);
    release_results(&from_conv);
    release(&d);
}

/* Few channels, and tiles mostly empty. */
Test(winograd, leaves_what_it_does_not_speed_up_to_implicit_gemm)
{
    static const int64_t shapes[][3] = {{15, 64, 14}, {64, 15, 14}, {64, 64, 5}, {64, 64, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        data d = make(shape_of(1, shapes[i][2], shapes[i][2], shapes[i][0], shapes[i][1], 1));
        float *direct = filled(y_numel(&d.s));
        conv_addends e = {.bias = d.bias};
        winograd_enable(false);
        cr_assert_eq(conv2d_forward(ITO_F32, direct, d.x, d.w, &e, &d.s), ITO_OK);
        winograd_enable(true);
        cr_assert_eq(conv2d_forward(ITO_F32, d.y, d.x, d.w, &e, &d.s), ITO_OK);
        cr_assert(same(d.y, direct, y_numel(&d.s)), "shape %d", (int)i);
        free(direct);
        release(&d);
    }
}

Test(winograd, is_chosen_by_dtype_pass_and_shape_and_the_same_on_every_instruction_set)
{
    static const struct {
        int64_t h, ci, co, pad;
        bool forward, data, weight;
    } cases[] = {{14, 16, 16, 1, true, true, true},    {14, 15, 64, 1, false, false, false},
                 {14, 64, 15, 1, false, false, false}, {4, 64, 64, 1, true, true, true},
                 {3, 64, 64, 1, true, true, true},     {5, 64, 64, 1, false, false, false},
                 {4, 64, 64, 0, false, true, false}, /* 2x2 outputs of 4x4 pixels */
                 {2, 64, 64, 2, true, false, true}};
    const char *best = ito_isa();
    winograd_enable(true);
    for (size_t i = 0; i < ISAS * sizeof cases / sizeof *cases; i++) {
        if (!isa_use(isas[i % ISAS]))
            continue;
        conv_shape s = shape_of(1, cases[i / ISAS].h, cases[i / ISAS].h, cases[i / ISAS].ci,
                                cases[i / ISAS].co, cases[i / ISAS].pad);
        bool wanted[] = {cases[i / ISAS].forward, cases[i / ISAS].data, cases[i / ISAS].weight};
        for (conv_pass pass = CONV_FORWARD; pass <= CONV_WEIGHT; pass++) {
            cr_assert_eq(conv_by_winograd(pass, ITO_F32, &s), wanted[pass], "case %d, pass %d",
                         (int)i / ISAS, (int)pass);
            cr_assert_eq(conv_by_winograd(pass, ITO_BF16, &s), wanted[pass]);
            cr_assert_not(conv_by_winograd(pass, ITO_F64, &s));
            s.n = 64;
            cr_assert_eq(conv_by_winograd(pass, ITO_F32, &s), wanted[pass], "of many images");
            s.n = 1;
        }
    }
    isa_use(best);
}

Test(winograd, is_off_if_the_environment_says_so)
{
    setenv("ITO_WINOGRAD", "0", 1);
    cr_assert_not(winograd_enabled());
    setenv("ITO_WINOGRAD", "1", 1);
    cr_assert_not(winograd_enabled(), "it is read once");
}

Test(winograd, takes_3x3_convolutions_of_stride_1_alone)
{
    conv_shape s = shape_of(1, 8, 8, 4, 4, 1);
    cr_assert(winograd_fits(&s));
    int64_t *fields[] = {&s.kh,         &s.kw,         &s.stride_h, &s.stride_w,
                         &s.dilation_h, &s.dilation_w, &s.groups};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        int64_t before = *fields[i];
        *fields[i] = 2;
        cr_assert_not(winograd_fits(&s), "field %d", (int)i);
        *fields[i] = before;
    }
}
