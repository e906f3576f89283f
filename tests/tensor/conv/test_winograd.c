/* Winograd convolution against a plain sum in double, straight from the definition in conv.h, and
 * the laws of its bits. */
#include "tests/isas.h"
#include "tests/tensor/conv/winograd_data.h"

/* The largest of up to a million errors is some six times their root-mean-square. */
static const double WORST_TOLERANCE = 6e-5;

/* A result in bf16 is rounded once more, by at most half a unit of 8 digits; so is its
 * root-mean-square. */
static const double BF16_ROUNDING = 0x1p-8;

/* y, dx and dw as the definition has them. */
typedef struct reference {
    double *y, *dx, *dw;
} reference;

static void add_pixel(reference *r, const data *d, int64_t y, int64_t x, int64_t tap)
{
    int64_t ci = d->s.ci, co = d->s.co;
    for (int64_t o = 0; o < co; o++)
        for (int64_t c = 0; c < ci; c++) {
            int64_t at = (o * 9 + tap) * ci + c;
            double xv = (double)d->x[x * ci + c], wv = (double)d->w[at];
            double dyv = (double)d->dy[y * co + o];
            r->y[y * co + o] += xv * wv;
            r->dx[x * ci + c] += dyv * wv;
            r->dw[at] += dyv * xv;
        }
}

static reference refer(const data *d)
{
    const conv_shape *s = &d->s;
    reference r = {calloc((size_t)y_numel(s) + 1, sizeof(double)),
                   calloc((size_t)x_numel(s) + 1, sizeof(double)),
                   calloc((size_t)w_numel(s) + 1, sizeof(double))};
    for (int64_t i = 0; i < y_numel(s); i++)
        r.y[i] = (double)d->bias[i % s->co];
    for (int64_t y = 0; y < s->n * s->oh * s->ow; y++)
        for (int64_t tap = 0; tap < 9; tap++) {
            int64_t i = y / s->ow % s->oh + tap / 3 - s->pad_top;
            int64_t j = y % s->ow + tap % 3 - s->pad_left;
            if (i >= 0 && i < s->h && j >= 0 && j < s->w)
                add_pixel(&r, d, y, (y / s->ow / s->oh * s->h + i) * s->w + j, tap);
        }
    return r;
}

/* rounding: of each result besides, relative to it. */
static void compare(const char *what, const conv_shape *s, const float *got, const double *want,
                    int64_t n, double rounding)
{
    double error = 0.0, size = 0.0, worst = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double e = (double)got[i] - want[i];
        cr_assert(isfinite(e));
        error += e * e;
        size += want[i] * want[i];
        worst = fmax(worst, fabs(e) - rounding * fabs(want[i]));
    }
    double rms = sqrt(size / (double)(n > 0 ? n : 1));
    cr_assert(sqrt(error) <= (RMS_TOLERANCE + rounding) * sqrt(size) &&
                  worst <= WORST_TOLERANCE * rms,
              "%s is off by %.2g of its rms, at worst %.2g: n%d %dx%dx%d -> %dx%dx%d pad %d %d",
              what, size > 0.0 ? sqrt(error / size) : error, rms > 0.0 ? worst / rms : worst,
              (int)s->n, (int)s->h, (int)s->w, (int)s->ci, (int)s->oh, (int)s->ow, (int)s->co,
              (int)s->pad_top, (int)s->pad_left);
}

static void free_reference(reference *r)
{
    free(r->y);
    free(r->dx);
    free(r->dw);
}

static void check(conv_shape s)
{
    data d = make(s);
    reference r = refer(&d);
    run(ITO_F32, &d);
    compare("y", &s, d.y, r.y, y_numel(&s), 0.0);
    compare("dx", &s, d.dx, r.dx, x_numel(&s), 0.0);
    compare("dw", &s, d.dw, r.dw, w_numel(&s), 0.0);
    free_reference(&r);
    run(ITO_BF16, &d);
    r = refer(&d);
    compare("y in bf16", &s, d.y, r.y, y_numel(&s), BF16_ROUNDING);
    compare("dx in bf16", &s, d.dx, r.dx, x_numel(&s), BF16_ROUNDING);
    compare("dw of bf16", &s, d.dw, r.dw, w_numel(&s), 0.0);
    free_reference(&r);
    release(&d);
}

Test(winograd, equals_the_definition_for_every_size_and_padding)
{
    for (int64_t size = 1; size <= 9; size++)
        for (int64_t pad = 0; pad <= 2; pad++)
            if (size + 2 * pad >= 3)
                check(shape_of(2, size, 10 - size + (pad == 0 ? 2 : 0), 5, 7, pad));
}

Test(winograd, equals_the_definition_for_odd_channels)
{
    static const int64_t channels[][2] = {{1, 1},   {1, 33},  {33, 1},   {7, 17},  {17, 7},
                                          {16, 48}, {65, 70}, {100, 20}, {20, 100}};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        check(shape_of(2, 6, 5, channels[i][0], channels[i][1], 1));
}

Test(winograd, equals_the_definition_for_sides_padded_differently)
{
    conv_shape s = shape_of(2, 8, 9, 12, 10, 0);
    s.pad_left = 2; /* none at the right */
    s.ow += 2;
    check(s);
    s = shape_of(2, 8, 9, 12, 10, 1);
    s.oh -= 3; /* outputs that nobody asked for */
    s.ow += 2; /* and some that see nothing of the image */
    check(s);
    s = shape_of(1, 3, 4, 5, 6, 6); /* whole windows in the padding */
    check(s);
}

Test(winograd, crosses_panels_and_blocks)
{
    check(shape_of(3, 28, 28, 32, 32, 1));
    check(shape_of(1, 8, 8, 300, 140, 1)); /* more than a block of k */
    check(shape_of(9, 13, 17, 20, 40, 1));
}

/* Many tiles and few channels: the gradient of the weights is made in groups of tiles, of all input
 * channels or of half of them at a time. */
Test(winograd, sums_the_weights_of_many_tiles_in_groups)
{
    check(shape_of(8, 32, 32, 20, 7, 1));
    check(shape_of(520, 3, 4, 33, 40, 0));
    check(shape_of(520, 3, 3, 100, 70, 0));
    check(shape_of(600, 3, 3, 96, 64, 0));
}

Test(winograd, stays_accurate_for_the_shapes_of_the_networks)
{
    static const int64_t shapes[][3] = {{128, 128, 8}, {384, 128, 4}, {512, 256, 4}, {256, 256, 8},
                                        {96, 32, 14},  {128, 64, 14}, {64, 64, 7}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check(shape_of(1, shapes[i][2], shapes[i][2], shapes[i][0], shapes[i][1], 1));
}

Test(winograd, of_nothing_gives_zeros)
{
    check(shape_of(0, 5, 5, 3, 4, 1)); /* no images: dw is zero */
    conv_shape s = shape_of(2, 5, 5, 3, 4, 1);
    s.oh = 0;
    check(s); /* no outputs: dx is zero too */
}

Test(winograd, is_the_same_on_every_instruction_set)
{
    const char *best = ito_isa();
    for (int i = 0; i < ISAS; i++)
        if (isa_use(isas[i])) {
            check(shape_of(2, 7, 9, 37, 19, 1));
            check(shape_of(1, 8, 8, 64, 40, 1));
        }
    isa_use(best);
}

/* In f32 a rounding each for bias and addend, on a result that is the same to the bit; in bf16 what
 * f32 gives of the same numbers, rounded once. */
Test(winograd, adds_an_image_or_a_row_for_each_image_to_the_result)
{
    static const int64_t sizes[][2] = {{8, 9}, {5, 7}, {1, 1}};
    for (size_t i = 0; i < 12; i++) {
        ito_dtype dtype = i % 4 < 2 ? ITO_F32 : ITO_BF16;
        bool per_image = i % 2 != 0;
        conv_shape s = shape_of(3, sizes[i / 4][0], sizes[i / 4][1], 20, 37, 1);
        data d = make(s), plain = d;
        float *add = filled(y_numel(&s));
        plain.y = filled(y_numel(&s));
        forward(dtype, &d, d.bias, add, per_image);
        forward(ITO_F32, &plain, NULL, NULL, false);
        for (int64_t j = 0; j < y_numel(&s); j++) {
            int64_t image = j / (s.oh * s.ow * s.co);
            float with_bias = plain.y[j] + d.bias[j % s.co];
            float want = with_bias + add[per_image ? image * s.co + j % s.co : j];
            if (dtype == ITO_BF16)
                want = bf16_to_f32(f32_to_bf16(want));
            cr_assert_eq(d.y[j], want, "case %d, element %d", (int)i, (int)j);
        }
        free(plain.y);
        free(add);
        release(&d);
    }
}

/* ---- bits ----------------------------------------------------------------------------------- */

Test(winograd, gives_the_same_bits_for_any_number_of_threads)
{
    static const int64_t shapes[][5] = {
        {9, 14, 14, 40, 48}, {4, 7, 7, 64, 64}, {1, 5, 5, 300, 72}, {140, 7, 7, 36, 20}};
    for (size_t i = 0; i < 8; i++) {
        const int64_t *q = shapes[i / 2];
        ito_dtype dtype = i % 2 == 0 ? ITO_F32 : ITO_BF16;
        data one = make(shape_of(q[0], q[1], q[2], q[3], q[4], 1)), d = again(&one);
        ito_set_threads(1);
        run(dtype, &one);
        static const int counts[] = {2, 3, 7};
        for (int t = 0; t < 3; t++) {
            ito_set_threads(counts[t]);
            run(dtype, &d);
            cr_assert(same(one.y, d.y, y_numel(&d.s)));
            cr_assert(same(one.dx, d.dx, x_numel(&d.s)));
            cr_assert(same(one.dw, d.dw, w_numel(&d.s)));
        }
        release_results(&d);
        release(&one);
    }
}

Test(winograd, gives_an_image_the_same_bits_alone_and_in_a_batch)
{
    static const int64_t sizes[] = {7, 8, 14};
    for (size_t i = 0; i < 6; i++) {
        ito_dtype dtype = i % 2 == 0 ? ITO_F32 : ITO_BF16;
        data d = make(shape_of(8, sizes[i / 2], sizes[i / 2] + 1, 300, 40, 1)), single = d;
        single.s.n = 1;
        single = again(&single);
        run(dtype, &d);
        int64_t x_image = x_numel(&single.s), y_image = y_numel(&single.s);
        for (int64_t n = 0; n < 8; n++) {
            single.x = d.x + n * x_image;
            single.dy = d.dy + n * y_image;
            run(dtype, &single);
            cr_assert(same(single.y, d.y + n * y_image, y_image));
            cr_assert(same(single.dx, d.dx + n * x_image, x_image));
        }
        release_results(&single);
        release(&d);
    }
}

/* What is promised of a pixel that is not finite: outputs whose 3x3 window has it are not either,
 * those of tiles whose 6x6 window lacks it are as if it were not there. */
Test(winograd, keeps_what_is_not_finite_to_the_tiles_that_see_it)
{
    enum { H = 19, W = 15, PAD = 1 };
    static const float values[] = {INFINITY, -INFINITY, NAN};
    static const int64_t places[][2] = {{0, 0}, {3, 4}, {7, 8}, {10, 6}, {18, 14}};
    for (size_t i = 0; i < 15; i++) {
        data d = make(shape_of(1, H, W, 20, 18, PAD)), clean = again(&d);
        int64_t row = places[i / 3][0], column = places[i / 3][1];
        run(ITO_F32, &clean);
        d.x[(row * W + column) * 20 + 7] = values[i % 3];
        run(ITO_F32, &d);
        for (int64_t y = 0; y < H * W * 18; y++) {
            int64_t r = y / 18 / W, c = y / 18 % W;
            int64_t below = row + PAD - r, right = column + PAD - c; /* of the window's corner */
            int64_t tile_below = below + r % 4, tile_right = right + c % 4;
            if (below >= 0 && below < 3 && right >= 0 && right < 3)
                cr_assert_not(isfinite(d.y[y]));
            else if (tile_below < 0 || tile_below >= 6 || tile_right < 0 || tile_right >= 6)
                cr_assert_eq(d.y[y], clean.y[y]);
        }
        for (int64_t w = 0; w < w_numel(&d.s); w++)
            cr_assert(w % 20 == 7 || d.dw[w] == clean.dw[w]);
        release_results(&clean);
        release(&d);
    }
}

/* ---- laws ----------------------------------------------------------------------------------- */

/* <dy, conv(x, w)> = <dx, x> = <dw, w>, to the error of a vector as long as y. */
Test(winograd, gradients_are_adjoint_to_the_convolution)
{
    data d = make(shape_of(3, 11, 10, 48, 36, 1));
    memset(d.bias, 0, (size_t)d.s.co * sizeof *d.bias);
    run(ITO_F32, &d);
    int64_t n = y_numel(&d.s);
    double size = sqrt(dot(d.y, d.y, n) * dot(d.dy, d.dy, n));
    double forward = dot(d.y, d.dy, n);
    cr_assert_float_eq(dot(d.dx, d.x, x_numel(&d.s)), forward, RMS_TOLERANCE * size);
    cr_assert_float_eq(dot(d.dw, d.w, w_numel(&d.s)), forward, RMS_TOLERANCE * size);
    release(&d);
}

/* ---- errors --------------------------------------------------------------------------------- */

Test(winograd, reports_refused_memory_and_leaves_outputs_alone)
{
    data d = make(shape_of(2, 9, 9, 40, 40, 1)), before = d;
    conv_addends e = {.bias = d.bias};
    int64_t ny = y_numel(&d.s), nx = x_numel(&d.s), nw = w_numel(&d.s);
    before.y = malloc((size_t)ny * sizeof(float));
    before.dx = malloc((size_t)nx * sizeof(float));
    before.dw = malloc((size_t)nw * sizeof(float));
    memcpy(before.y, d.y, (size_t)ny * sizeof(float));
    memcpy(before.dx, d.dx, (size_t)nx * sizeof(float));
    memcpy(before.dw, d.dw, (size_t)nw * sizeof(float));
    int64_t blocks = ito_memory_blocks(), failures = 0;
    for (int pass = 0; pass < 3; pass++)
        for (int64_t nth = 1;; nth++) {
            ito_memory_fail_nth(nth);
            ito_status status = pass == 0 ? conv2d_forward(ITO_F32, d.y, d.x, d.w, &e, &d.s)
                                : pass == 1
                                    ? conv2d_backward_data(ITO_F32, d.dx, d.dy, d.w, &d.s)
                                    : conv2d_backward_weight(ITO_F32, d.dw, d.x, d.dy, &d.s);
            ito_memory_fail_nth(0);
            cr_assert_eq(ito_memory_blocks(), blocks);
            if (status == ITO_OK)
                break;
            failures++;
            cr_assert_eq(status, ITO_ERR_MEMORY);
            cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
            ito_error_clear();
            cr_assert(pass != 0 || same(before.y, d.y, ny));
            cr_assert(pass != 1 || same(before.dx, d.dx, nx));
            cr_assert(pass != 2 || same(before.dw, d.dw, nw));
        }
    cr_assert_eq(failures, 3); /* one request each */
    free(before.y);
    free(before.dx);
    free(before.dw);
    release(&d);
}
