/* conv2d and its two gradients against the definition, element by element in double. */
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const double EXACT =
    1e-12; /* sums of at most a few hundred terms of magnitude 4 in double */

typedef struct setting {
    int64_t n, c, h, w, o, kh, kw;
    ito_conv_options options;
} setting;

#define OPTIONS(s, p, end, d, g)                                                                   \
    {                                                                                              \
        .stride = s, .padding = p, .padding_end = end, .dilation = d, .groups = g                  \
    }

static const setting settings[] = {
    {2, 3, 5, 4, 2, 3, 3, OPTIONS(1, 1, 0, 1, 1)}, {1, 2, 6, 7, 3, 3, 3, OPTIONS(2, 0, 1, 1, 1)},
    {2, 4, 5, 6, 6, 1, 1, OPTIONS(1, 0, 0, 1, 1)}, {1, 4, 7, 6, 6, 3, 2, OPTIONS(2, 2, 0, 2, 2)},
    {1, 3, 4, 4, 3, 2, 2, OPTIONS(1, 1, 0, 1, 3)}, {1, 1, 9, 8, 1, 5, 4, OPTIONS(3, 2, 0, 1, 1)},
    {1, 2, 3, 3, 2, 3, 3, OPTIONS(1, 0, 0, 1, 1)}, {0, 2, 3, 3, 2, 1, 1, OPTIONS(1, 0, 0, 1, 1)},
};
enum { SETTINGS = sizeof settings / sizeof *settings };

static int64_t places(int64_t size, int64_t kernel, ito_conv_options o)
{
    return (size + 2 * o.padding + o.padding_end - o.dilation * (kernel - 1) - 1) / o.stride + 1;
}

/* Every product x w that an output element sums, by the definition: add(context, x, w, y) gets the
 * row-major indices. */
typedef void visit(void *context, int64_t x, int64_t w, int64_t y);

static void visit_pixel(const setting *s, int64_t n, int64_t o, int64_t i, int64_t j, int64_t y,
                        visit *add, void *context)
{
    int64_t stride = s->options.stride, dilation = s->options.dilation;
    int64_t c = s->c / s->options.groups, group = o / (s->o / s->options.groups);
    for (int64_t k = 0; k < c; k++)
        for (int64_t p = 0; p < s->kh; p++)
            for (int64_t q = 0; q < s->kw; q++) {
                int64_t row = i * stride + p * dilation - s->options.padding;
                int64_t column = j * stride + q * dilation - s->options.padding;
                if (row >= 0 && row < s->h && column >= 0 && column < s->w)
                    add(context, ((n * s->c + group * c + k) * s->h + row) * s->w + column,
                        ((o * c + k) * s->kh + p) * s->kw + q, y);
            }
}

static void visit_all(const setting *s, visit *add, void *context)
{
    int64_t oh = places(s->h, s->kh, s->options), ow = places(s->w, s->kw, s->options), y = 0;
    for (int64_t n = 0; n < s->n; n++)
        for (int64_t o = 0; o < s->o; o++)
            for (int64_t i = 0; i < oh; i++)
                for (int64_t j = 0; j < ow; j++)
                    visit_pixel(s, n, o, i, j, y++, add, context);
}

typedef struct sums {
    const double *x, *w, *dy;
    double *y, *dx, *dw;
} sums;

static void add_product(void *context, int64_t x, int64_t w, int64_t y)
{
    sums *s = context;
    s->y[y] += s->x[x] * s->w[w];
    s->dx[x] += s->dy[y] * s->w[w];
    s->dw[w] += s->dy[y] * s->x[x];
}

static double *zeros(int64_t n)
{
    return calloc((size_t)n + 1, sizeof(double));
}

static void check_setting(const setting *s)
{
    int64_t groups = s->options.groups;
    ito_shape out =
        ITO_SHAPE(s->n, s->o, places(s->h, s->kh, s->options), places(s->w, s->kw, s->options));
    ito_tensor *x = random_tensor(ITO_SHAPE(s->n, s->c, s->h, s->w), -2, 2, 1);
    ito_tensor *w = random_tensor(ITO_SHAPE(s->o, s->c / groups, s->kh, s->kw), -2, 2, 2);
    ito_tensor *b = ito_zeros(ITO_SHAPE(s->o), ITO_F64), *dy = random_tensor(out, -2, 2, 3);
    sums want = {ito_data(x),          ito_data(w),         ito_data(dy),
                 zeros(ito_numel(dy)), zeros(ito_numel(x)), zeros(ito_numel(w))};
    visit_all(s, add_product, &want);
    double *db = zeros(s->o);
    int64_t pixels = out.dim[2] * out.dim[3];
    for (int64_t i = 0; i < ito_numel(dy); i++)
        db[i / pixels % s->o] += want.dy[i];
    ito_requires_grad(x, true);
    ito_requires_grad(w, true);
    ito_requires_grad(b, true);
    ito_tensor *y = ito_conv2d_with(x, w, b, s->options);
    cr_assert(shape_equal(ito_shape_of(y), out), "%s", tensor_shape_str(y));
    cr_assert(ito_is_channels_last(y));
    cr_assert_eq(ito_backward(y, .cotangent = dy), ITO_OK, "%s", ito_error());
    assert_elements(y, want.y, ito_numel(y), EXACT, "conv2d");
    assert_elements(ito_grad_of(x), want.dx, ito_numel(x), EXACT, "conv2d: dx");
    assert_elements(ito_grad_of(w), want.dw, ito_numel(w), EXACT, "conv2d: dw");
    assert_elements(ito_grad_of(b), db, s->o, EXACT, "conv2d: db");
    free(want.y);
    free(want.dx);
    free(want.dw);
    free(db);
}

static ito_tensor *conv2d(ito_tensor *const *in, int64_t n, void *context)
{
    const setting *s = context;
    return ito_conv2d_with(in[0], in[1], n > 2 ? in[2] : NULL, s->options);
}

/* in[3] is .add, which may be absent, but not a failure here. */
static ito_tensor *conv2d_add(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    (void)context;
    return in[3] == NULL ? NULL : ito_conv2d(in[0], in[1], in[2], .padding = 1, .add = in[3]);
}

void case_conv2d(void)
{
    for (int i = 0; i < SETTINGS; i++)
        check_setting(&settings[i]);
    static const setting padded = {.options = OPTIONS(2, 1, 1, 1, 1)};
    op_check_run(
        (op_check){.what = "conv2d",
                   .f = conv2d,
                   .context = (void *)(uintptr_t)&padded,
                   .n = 3,
                   .parameter = {false, true, true},
                   .shape = {ITO_SHAPE(1, 2, 3, 3), ITO_SHAPE(2, 2, 2, 2), ITO_SHAPE(2)},
                   .large = {ITO_SHAPE(3, 32, 20, 20), ITO_SHAPE(40, 32, 3, 3), ITO_SHAPE(40)}});
    static const setting grouped = {.options = OPTIONS(1, 1, 0, 1, 2)};
    op_check_run((op_check){.what = "conv2d in groups",
                            .f = conv2d,
                            .context = (void *)(uintptr_t)&grouped,
                            .n = 2,
                            .parameter = {false, true},
                            .shape = {ITO_SHAPE(2, 2, 2, 3), ITO_SHAPE(2, 1, 3, 2)}});
    op_check add = {.what = "conv2d with an addend",
                    .f = conv2d_add,
                    .n = 4,
                    .parameter = {false, true, true, false},
                    .shape = {ITO_SHAPE(2, 2, 3, 3), ITO_SHAPE(3, 2, 3, 3), ITO_SHAPE(3),
                              ITO_SHAPE(2, 3, 3, 3)},
                    .large = {ITO_SHAPE(3, 32, 20, 20), ITO_SHAPE(40, 32, 3, 3), ITO_SHAPE(40),
                              ITO_SHAPE(3, 40, 20, 20)}};
    op_check_run(add);
    add.what = "conv2d with an addend for each image";
    add.shape[3] = ITO_SHAPE(2, 3, 1, 1);
    add.large[3] = ITO_SHAPE(3, 40, 1, 1);
    op_check_run(add);
}

/* dx as a function of dy and w: what conv2d's backward computes is differentiated by itself here.
 */
static ito_tensor *data_gradient(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    const setting *s = context;
    if (in[0] == NULL || in[1] == NULL)
        return NULL;
    ito_tensor *x = ito_zeros(ITO_SHAPE(s->n, s->c, s->h, s->w), ito_dtype_of(in[0]));
    ito_requires_grad(x, true);
    ito_tensor *y = ito_conv2d_with(x, in[1], NULL, s->options);
    return ito_grad(y, x, .cotangent = in[0], .create_graph = true);
}

void case_conv2d_data(void)
{
    static const setting s = {1, 2, 3, 4, 2, 2, 2, OPTIONS(2, 1, 0, 1, 1)};
    op_check_run((op_check){.what = "conv2d_data",
                            .f = data_gradient,
                            .sweeps = true,
                            .context = (void *)(uintptr_t)&s,
                            .n = 2,
                            .parameter = {false, true},
                            .shape = {ITO_SHAPE(1, 2, 2, 3), ITO_SHAPE(2, 2, 2, 2)}});
}

static ito_tensor *weight_gradient(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    const setting *s = context;
    if (in[0] == NULL || in[1] == NULL)
        return NULL;
    ito_dtype dtype = ito_dtype_of(in[0]) == ITO_BF16 ? ITO_F32 : ito_dtype_of(in[0]);
    ito_tensor *w = ito_zeros(ITO_SHAPE(s->o, s->c, s->kh, s->kw), dtype);
    ito_requires_grad(w, true);
    ito_tensor *y = ito_conv2d_with(in[0], w, NULL, s->options);
    return ito_grad(y, w, .cotangent = in[1], .create_graph = true);
}

void case_conv2d_weight(void)
{
    static const setting s = {1, 2, 3, 4, 2, 2, 2, OPTIONS(2, 1, 0, 1, 1)};
    op_check_run((op_check){.what = "conv2d_weight",
                            .f = weight_gradient,
                            .sweeps = true,
                            .context = (void *)(uintptr_t)&s,
                            .n = 2,
                            .shape = {ITO_SHAPE(1, 2, 3, 4), ITO_SHAPE(1, 2, 2, 3)}});
}

Test(ops_conv2d, a_shifted_image_gives_a_shifted_result)
{
    ito_tensor *w = random_tensor(ITO_SHAPE(2, 3, 3, 3), -1, 1, 1);
    ito_tensor *x = random_tensor(ITO_SHAPE(1, 3, 8, 8), -1, 1, 2);
    ito_tensor *y = ito_conv2d(x, w, NULL), *shifted = ito_conv2d(ito_narrow(x, 3, 2, 6), w, NULL);
    assert_close(shifted, ito_narrow(y, 3, 2, 4), EXACT, "shift");
}

Test(ops_conv2d, an_image_gives_the_same_bits_alone_and_in_a_batch)
{
    ito_tensor *w = ito_cast(random_tensor(ITO_SHAPE(24, 16, 3, 3), -1, 1, 1), ITO_F32);
    ito_tensor *x = ito_cast(random_tensor(ITO_SHAPE(5, 16, 9, 9), -1, 1, 2), ITO_F32);
    ito_tensor *y = ito_conv2d(x, w, NULL, .padding = 1);
    ito_tensor *alone = ito_conv2d(ito_narrow(x, 0, 3, 1), w, NULL, .padding = 1);
    assert_close(alone, ito_narrow(y, 0, 3, 1), 0, "batch");
}

/* What .add stands for, forward and backward, with and without a bias. */
Test(ops_conv2d, an_addend_is_a_sum_afterwards)
{
    ito_shape shapes[] = {ITO_SHAPE(2, 3, 5, 4), ITO_SHAPE(2, 3, 1, 1)};
    for (int i = 0; i < 4; i++) {
        ito_tensor *x = random_tensor(ITO_SHAPE(2, 4, 5, 4), -1, 1, 1);
        ito_tensor *w = random_tensor(ITO_SHAPE(3, 4, 3, 3), -1, 1, 2);
        ito_tensor *b = i / 2 == 0 ? NULL : random_tensor(ITO_SHAPE(3), -1, 1, 3);
        ito_tensor *t = ito_requires_grad(random_tensor(shapes[i % 2], -1, 1, 4), true);
        ito_tensor *u = ito_requires_grad(random_tensor(shapes[i % 2], -1, 1, 4), true);
        ito_tensor *dy = random_tensor(shapes[0], -1, 1, 5);
        ito_tensor *fused = ito_conv2d(x, w, b, .padding = 1, .add = t);
        ito_tensor *plain = ito_add(ito_conv2d(x, w, b, .padding = 1), u);
        assert_close(fused, plain, EXACT, "add");
        cr_assert_eq(ito_backward(fused, .cotangent = dy), ITO_OK, "%s", ito_error());
        cr_assert_eq(ito_backward(plain, .cotangent = dy), ITO_OK, "%s", ito_error());
        assert_close(ito_grad_of(t), ito_grad_of(u), EXACT, "dadd");
    }
}

/* Where the result is [N, C, 1, 1] itself the two meanings are one. */
Test(ops_conv2d, an_addend_fits_a_result_of_one_pixel)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(2, 4, 3, 3), -1, 1, 1);
    ito_tensor *w = random_tensor(ITO_SHAPE(5, 4, 3, 3), -1, 1, 2);
    ito_tensor *t = ito_requires_grad(random_tensor(ITO_SHAPE(2, 5, 1, 1), -1, 1, 3), true);
    ito_tensor *y = ito_conv2d(x, w, NULL, .add = t);
    assert_close(y, ito_add(ito_conv2d(x, w, NULL), t), EXACT, "add");
    cr_assert_eq(ito_backward(ito_sum(y)), ITO_OK);
    assert_close(ito_grad_of(t), ito_ones(ITO_SHAPE(2, 5, 1, 1), ITO_F64), EXACT, "dadd");
}

Test(ops_conv2d, refuses_addends_that_do_not_fit)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 4, 5, 5), ITO_F32);
    ito_tensor *w = ito_zeros(ITO_SHAPE(3, 4, 3, 3), ITO_F32);
    ito_shape wrong[] = {ITO_SHAPE(2, 3, 5, 5), ITO_SHAPE(1, 3, 1, 1), ITO_SHAPE(3),
                         ITO_SHAPE(2, 3, 3, 1)};
    for (int i = 0; i < 4; i++) {
        char sentence[128];
        snprintf(sentence, sizeof sentence,
                 "conv2d: add is %s; it can be [2, 3, 3, 3], as the result, or [2, 3, 1, 1]",
                 shape_str(wrong[i]));
        cr_assert_null(ito_conv2d(x, w, NULL, .add = ito_zeros(wrong[i], ITO_F32)));
        assert_error(ITO_ERR_SHAPE, sentence);
    }
}

static void refused(ito_shape x, ito_shape w, ito_shape b, ito_conv_options options,
                    ito_status code, const char *sentence)
{
    ito_tensor *bias = b.ndim == 0 ? NULL : ito_zeros(b, ITO_F32);
    cr_assert_null(ito_conv2d_with(ito_zeros(x, ITO_F32), ito_zeros(w, ITO_F32), bias, options));
    assert_error(code, sentence);
}

Test(ops_conv2d, refuses_what_does_not_fit)
{
    ito_shape x = ITO_SHAPE(1, 4, 5, 5), w = ITO_SHAPE(2, 4, 3, 3), none = ITO_SHAPE();
    ito_conv_options plain = ITO_OPTIONS(ito_conv_options);
    refused(ITO_SHAPE(4, 5, 5), w, none, plain, ITO_ERR_SHAPE,
            "conv2d: x [4, 5, 5] and weight [2, 4, 3, 3] must be [N, C, H, W] and "
            "[O, C / groups, KH, KW]");
    refused(x, ITO_SHAPE(2, 3, 3, 3), none, plain, ITO_ERR_SHAPE,
            "conv2d: x has 4 channels in 1 groups, weight takes 3 a group");
    refused(x, w, none, ITO_OPTIONS(ito_conv_options, .groups = 3), ITO_ERR_SHAPE,
            "conv2d: 3 groups do not divide 4 and 2 channels");
    refused(x, ITO_SHAPE(2, 4, 6, 3), none, plain, ITO_ERR_SHAPE,
            "conv2d: a kernel of 6 x 3, dilation 1, does not fit an image of 5 x 5 with padding 0 "
            "and 0");
    refused(x, w, none, ITO_OPTIONS(ito_conv_options, .dilation = 3, .padding_end = 1),
            ITO_ERR_SHAPE,
            "conv2d: a kernel of 3 x 3, dilation 3, does not fit an image of 5 x 5 with padding 0 "
            "and 1");
    refused(
        x, w, none, ITO_OPTIONS(ito_conv_options, .stride = -1), ITO_ERR_ARGUMENT,
        "conv2d: stride -1, padding 0 and 0, dilation 1, groups 1 are out of range: at least 1, "
        "padding 0");
    refused(x, w, none, ITO_OPTIONS(ito_conv_options, .padding = INT64_MAX), ITO_ERR_ARGUMENT,
            "conv2d: stride 1, padding 9223372036854775807 and 0, dilation 1, groups 1 are out of "
            "range: at least 1, padding 0");
    refused(x, w, ITO_SHAPE(3), plain, ITO_ERR_SHAPE,
            "conv2d: bias [3] does not fit weight [2, 4, 3, 3]");
}
