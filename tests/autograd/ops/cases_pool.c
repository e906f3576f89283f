/* Pooling and upsampling against loops over pixels, and the law that ties them. */
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const double EXACT = 1e-13; /* a handful of terms in double */

static ito_tensor *pool(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    return ito_avg_pool2d(in[0], *(const int64_t *)context);
}

static ito_tensor *upsample(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    return ito_upsample_nearest2d(in[0], *(const int64_t *)context);
}

static void check_pool(int64_t n, int64_t c, int64_t oh, int64_t ow, int64_t size)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(n, c, oh * size, ow * size), -2, 2, 1);
    const double *v = ito_const_data(x);
    double *want = malloc((size_t)(n * c * oh * ow + 1) * sizeof *want);
    int64_t count = 0;
    for (int64_t plane = 0; plane < n * c; plane++)
        for (int64_t i = 0; i < oh; i++)
            for (int64_t j = 0; j < ow; j++) {
                double sum = 0;
                for (int64_t p = 0; p < size; p++)
                    for (int64_t q = 0; q < size; q++)
                        sum += v[(plane * oh * size + i * size + p) * ow * size + j * size + q];
                want[count++] = sum / (double)(size * size);
            }
    assert_elements(ito_avg_pool2d(x, size), want, count, EXACT, "avg_pool2d");
    free(want);
}

void case_avg_pool2d(void)
{
    check_pool(1, 1, 1, 1, 1);
    check_pool(2, 3, 2, 3, 2);
    check_pool(1, 33, 3, 2, 3);
    check_pool(0, 2, 3, 2, 2);
    int64_t size = 2;
    op_check_run((op_check){.what = "avg_pool2d",
                            .f = pool,
                            .context = &size,
                            .n = 1,
                            .shape = {ITO_SHAPE(2, 3, 2, 4)},
                            .large = {ITO_SHAPE(3, 40, 32, 32)}});
    cr_assert_null(ito_avg_pool2d(ito_zeros(ITO_SHAPE(3, 4, 4), ITO_F32), 2));
    assert_error(ITO_ERR_SHAPE, "avg_pool2d: x [3, 4, 4] is not [N, C, H, W]");
}

static void check_upsample(int64_t n, int64_t c, int64_t h, int64_t w, int64_t scale)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(n, c, h, w), -2, 2, 1);
    const double *v = ito_const_data(x);
    double *want = malloc((size_t)(n * c * h * w * scale * scale + 1) * sizeof *want);
    int64_t count = 0;
    for (int64_t plane = 0; plane < n * c; plane++)
        for (int64_t i = 0; i < h * scale; i++)
            for (int64_t j = 0; j < w * scale; j++)
                want[count++] = v[(plane * h + i / scale) * w + j / scale];
    assert_elements(ito_upsample_nearest2d(x, scale), want, count, 0, "upsample_nearest2d");
    free(want);
}

void case_upsample_nearest2d(void)
{
    check_upsample(1, 1, 1, 1, 1);
    check_upsample(2, 3, 2, 3, 2);
    check_upsample(1, 33, 3, 2, 3);
    check_upsample(2, 2, 0, 3, 2);
    int64_t scale = 2;
    op_check_run((op_check){.what = "upsample_nearest2d",
                            .f = upsample,
                            .context = &scale,
                            .n = 1,
                            .shape = {ITO_SHAPE(2, 3, 1, 2)},
                            .large = {ITO_SHAPE(3, 40, 16, 16)}});
    cr_assert_null(ito_upsample_nearest2d(ito_zeros(ITO_SHAPE(3, 4, 4), ITO_F32), 2));
    assert_error(ITO_ERR_SHAPE, "upsample_nearest2d: x [3, 4, 4] is not [N, C, H, W]");
    cr_assert_null(ito_upsample_nearest2d(ito_zeros(ITO_SHAPE(1, 3, 4, 4), ITO_F32), 0));
    assert_error(ITO_ERR_ARGUMENT, "upsample_nearest2d: scale 0 is less than 1");
    cr_assert_null(ito_upsample_nearest2d(ito_zeros(ITO_SHAPE(1, 3, 4, 4), ITO_F32), INT64_MAX));
    assert_error(ITO_ERR_SHAPE,
                 "upsample_nearest2d: an image of 4 x 4 cannot grow by 9223372036854775807");
}

Test(ops_pool, pooling_undoes_upsampling_and_keeps_the_mean)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(2, 5, 6, 9), -2, 2, 1);
    assert_close(ito_avg_pool2d(ito_upsample_nearest2d(x, 3), 3), x, EXACT, "down after up");
    assert_close(ito_mean(ito_avg_pool2d(x, 3)), ito_mean(x), EXACT, "mean");
}
