/* The rounding errors of every 3x3 convolution of the three presets, in all passes, f32 and bf16:
 * samples of the results against sums in double over the same inputs. The shapes are read off the
 * built networks; images are cut to a part that costs little, since an error's size depends on
 * channels and, for weights, slowly on pixels. */
#include "models/ddpm/network/unet.h"
#include "tensor/conv/conv.h"
#include "tensor/convert.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Root-mean-square error by root-mean-square result. Winograd's F(4x4) measures 2e-6 to 4e-6. */
static const double F32_TOLERANCE = 1e-5;
/* A result rounded to bf16 is off by 2^-8 of itself at most, and 1.6e-3 root-mean-square; where
 * products are of bf16, weights are rounded as well, which brings as much again. */
static const double BF16_TOLERANCE = 4e-3;

enum { SAMPLES = 256, SHAPES_MOST = 64, SIDE_MOST = 16 };

typedef struct shapes {
    int n;
    conv_shape shape[SHAPES_MOST];
} shapes;

static void add_shape(shapes *list, int64_t ci, int64_t co, int64_t h, int64_t w, int64_t stride)
{
    conv_shape s = {.n = 1,
                    .h = h < SIDE_MOST ? h : SIDE_MOST,
                    .w = w < SIDE_MOST ? w : SIDE_MOST,
                    .ci = ci,
                    .co = co,
                    .kh = 3,
                    .kw = 3,
                    .stride_h = stride,
                    .stride_w = stride,
                    .pad_top = stride == 1,
                    .pad_left = stride == 1,
                    .dilation_h = 1,
                    .dilation_w = 1,
                    .groups = 1};
    s.oh = s.h / stride;
    s.ow = s.w / stride;
    for (int i = 0; i < list->n; i++)
        if (memcmp(&list->shape[i], &s, sizeof s) == 0)
            return;
    cr_assert_lt(list->n, SHAPES_MOST);
    list->shape[list->n++] = s;
}

/* How often images have been halved where a convolution takes them. */
static int depth_of(const char *name, int levels)
{
    int level;
    if (sscanf(name, "down_blocks.%d.", &level) == 1)
        return level;
    if (sscanf(name, "up_blocks.%d.", &level) == 1)
        return levels - 1 - level - (strstr(name, ".upsamplers.") != NULL);
    return strncmp(name, "mid_block.", 10) == 0 ? levels - 1 : 0;
}

static shapes shapes_of(const char *preset, int64_t channels, int64_t size)
{
    shapes list = {0};
    ito_unet_config config;
    cr_assert_eq(ito_unet_preset(preset, channels, size, size, &config), ITO_OK);
    ito_unet *unet = ito_unet_create(&config, NULL);
    cr_assert_not_null(unet, "%s", ito_error());
    ito_named_tensors *p = ito_module_parameters(&unet->base);
    for (int64_t i = 0; i < p->n; i++) {
        ito_shape w = ito_shape_of(p->tensors[i]);
        if (w.ndim != 4 || w.dim[2] != 3)
            continue;
        int64_t side = size >> depth_of(p->names[i], (int)config.levels);
        bool halves = strstr(p->names[i], ".downsamplers.") != NULL;
        add_shape(&list, w.dim[1], w.dim[0], side, side, halves ? 2 : 1);
    }
    ito_named_tensors_free(p);
    ito_module_free(&unet->base);
    return list;
}

/* Images, weights and gradients, for all shapes: the f32 numbers behind a place in these. */
typedef struct operands {
    float *x, *w, *dy;
    uint16_t *x_bf16, *dy_bf16;
} operands;

static float *drawn(int64_t n, uint64_t seed)
{
    float *p = malloc((size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        p[i] = (float)(seed >> 40) / (float)(1 << 23) - 1.0f;
    }
    return p;
}

/* p is rounded too, so that both types hold the same numbers. */
static uint16_t *rounded(float *p, int64_t n)
{
    uint16_t *q = malloc((size_t)n * sizeof *q);
    for (int64_t i = 0; i < n; i++) {
        q[i] = f32_to_bf16(p[i]);
        p[i] = bf16_to_f32(q[i]);
    }
    return q;
}

static int64_t largest(const shapes *list, bool weights)
{
    int64_t n = 0;
    for (int i = 0; i < list->n; i++) {
        const conv_shape *s = &list->shape[i];
        int64_t wide = s->ci > s->co ? s->ci : s->co;
        int64_t size = weights ? s->co * 9 * s->ci : s->h * s->w * wide;
        n = size > n ? size : n;
    }
    return n;
}

static double pixel(const float *image, int64_t h, int64_t w, int64_t channels, int64_t i,
                    int64_t j, int64_t c)
{
    return i < 0 || j < 0 || i >= h || j >= w ? 0.0 : (double)image[(i * w + j) * channels + c];
}

static double exact_y(const operands *o, const conv_shape *s, int64_t at)
{
    double sum = 0.0;
    int64_t co = at % s->co, i = at / s->co / s->ow * s->stride_h - s->pad_top;
    int64_t j = at / s->co % s->ow * s->stride_w - s->pad_left;
    for (int64_t tap = 0; tap < 9; tap++)
        for (int64_t c = 0; c < s->ci; c++)
            sum += pixel(o->x, s->h, s->w, s->ci, i + tap / 3, j + tap % 3, c) *
                   (double)o->w[(co * 9 + tap) * s->ci + c];
    return sum;
}

static double exact_dx(const operands *o, const conv_shape *s, int64_t at)
{
    double sum = 0.0;
    int64_t c = at % s->ci, i = at / s->ci / s->w, j = at / s->ci % s->w;
    for (int64_t tap = 0; tap < 9; tap++) {
        int64_t p = i + s->pad_top - tap / 3, q = j + s->pad_left - tap % 3;
        if (p % s->stride_h == 0 && q % s->stride_w == 0)
            for (int64_t k = 0; k < s->co; k++)
                sum += pixel(o->dy, s->oh, s->ow, s->co, p / s->stride_h, q / s->stride_w, k) *
                       (double)o->w[(k * 9 + tap) * s->ci + c];
    }
    return sum;
}

static double exact_dw(const operands *o, const conv_shape *s, int64_t at)
{
    double sum = 0.0;
    int64_t c = at % s->ci, tap = at / s->ci % 9, k = at / s->ci / 9;
    for (int64_t i = 0; i < s->oh; i++)
        for (int64_t j = 0; j < s->ow; j++)
            sum += pixel(o->x, s->h, s->w, s->ci, i * s->stride_h + tap / 3 - s->pad_top,
                         j * s->stride_w + tap % 3 - s->pad_left, c) *
                   (double)o->dy[(i * s->ow + j) * s->co + k];
    return sum;
}

static void compare(const char *what, const conv_shape *s, ito_dtype dtype, const void *got,
                    int64_t n, double (*exact)(const operands *, const conv_shape *, int64_t),
                    const operands *o, double tolerance)
{
    double error = 0.0, size = 0.0;
    uint64_t at = 1;
    for (int i = 0; i < SAMPLES; i++) {
        at = at * 6364136223846793005u + 1442695040888963407u;
        int64_t place = (int64_t)((at >> 16) % (uint64_t)n);
        double want = exact(o, s, place);
        double have = dtype == ITO_BF16 ? (double)bf16_to_f32(((const uint16_t *)got)[place])
                                        : (double)((const float *)got)[place];
        error += (have - want) * (have - want);
        size += want * want;
    }
    cr_assert(sqrt(error) <= tolerance * sqrt(size), "%s %s of %dx%d, %d -> %d: off by %.2g",
              ito_dtype_name(dtype), what, (int)s->h, (int)s->w, (int)s->ci, (int)s->co,
              sqrt(error / size));
}

static void check_shape(const operands *o, const conv_shape *s, ito_dtype dtype, void *image,
                        float *dw)
{
    const void *x = dtype == ITO_BF16 ? (const void *)o->x_bf16 : o->x;
    const void *dy = dtype == ITO_BF16 ? (const void *)o->dy_bf16 : o->dy;
    double tolerance = dtype == ITO_BF16 ? BF16_TOLERANCE : F32_TOLERANCE;
    conv_addends none = {0};
    cr_assert_eq(conv2d_forward(dtype, image, x, o->w, &none, s), ITO_OK);
    compare("y", s, dtype, image, s->oh * s->ow * s->co, exact_y, o, tolerance);
    cr_assert_eq(conv2d_backward_data(dtype, image, dy, o->w, s), ITO_OK);
    compare("dx", s, dtype, image, s->h * s->w * s->ci, exact_dx, o, tolerance);
    cr_assert_eq(conv2d_backward_weight(dtype, dw, x, dy, s), ITO_OK);
    compare("dw", s, ITO_F32, dw, s->co * 9 * s->ci, exact_dw, o, F32_TOLERANCE);
}

static void check_preset(const char *preset, int64_t channels, int64_t size, int shapes_known)
{
    shapes list = shapes_of(preset, channels, size);
    cr_assert_eq(list.n, shapes_known, "%s has %d shapes", preset, list.n);
    int64_t pixels = largest(&list, false), weights = largest(&list, true);
    operands o = {.x = drawn(pixels, 1), .w = drawn(weights, 2), .dy = drawn(pixels, 3)};
    o.x_bf16 = rounded(o.x, pixels);
    o.dy_bf16 = rounded(o.dy, pixels);
    float *image = malloc((size_t)pixels * sizeof *image),
          *dw = malloc((size_t)weights * sizeof *dw);
    for (int i = 0; i < list.n; i++) {
        check_shape(&o, &list.shape[i], ITO_F32, image, dw);
        check_shape(&o, &list.shape[i], ITO_BF16, image, dw);
    }
    void *all[] = {o.x, o.w, o.dy, o.x_bf16, o.dy_bf16, image, dw};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

Test(unet_convolutions, of_small_round_within_bounds)
{
    check_preset("small", 1, 28, 14);
}

Test(unet_convolutions, of_cifar10_round_within_bounds)
{
    check_preset("cifar10", 3, 32, 16);
}

Test(unet_convolutions, of_lsun256_round_within_bounds)
{
    check_preset("lsun256", 3, 256, 19);
}
