/* Dropout: which elements go, by what they are scaled, and that backward draws the same mask. */
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>

static const ito_generator start = {.seed = 42, .stream = 7, .offset = 1000};

/* Pure, since it draws from a copy. */
static ito_tensor *f_dropout(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    ito_generator g = start;
    return ito_dropout(in[0], *(const double *)context, &g);
}

/* Whether element number i stays, straight from the generator's definition. */
static bool stays(int64_t i, double p)
{
    uint32_t word[4];
    ito_philox(start.seed, start.stream, start.offset + (uint64_t)(i / 4), word);
    return (double)word[i % 4] >= p * 0x1p32;
}

static void check_mask(ito_tensor *x, double p, const int64_t *number)
{
    double v[256], want[256];
    int64_t n = ito_numel(x);
    cr_assert(n <= 256 && ito_to_data(x, v, ITO_F64) == ITO_OK);
    for (int64_t i = 0; i < n; i++)
        want[i] = stays(number == NULL ? i : number[i], p) ? v[i] / (1 - p) : 0;
    ito_generator g = start;
    assert_elements(ito_dropout(x, p, &g), want, n, 1e-6, "dropout"); /* f32 rounds the scale */
    cr_assert_eq(g.offset, start.offset + (uint64_t)(n + 3) / 4);
}

/* The number of element [n, c, h, w], in row-major order of these, counts along N H W C. */
static void check_image_mask(double p)
{
    enum { N = 2, C = 3, H = 5, W = 7 };
    int64_t number[N * C * H * W];
    for (int64_t i = 0; i < N * C * H * W; i++) {
        int64_t w = i % W, h = i / W % H, c = i / W / H % C, n = i / W / H / C;
        number[i] = ((n * H + h) * W + w) * C + c;
    }
    ito_tensor *x = random_tensor(ITO_SHAPE(N, C, H, W), 1, 2, 1);
    check_mask(x, p, number);
    check_mask(tensor_channels_last(x), p, number);
    check_mask(ito_cast(tensor_channels_last(x), ITO_F32), p, number);
    ito_generator g = start;
    cr_assert(ito_is_channels_last(ito_dropout(tensor_channels_last(x), p, &g)));
}

/* Of n draws about p n are dropped, within five standard deviations, and the mean stays. */
static void check_moments(double p)
{
    enum { N = 100000 };
    ito_generator g = start;
    ito_tensor *y = ito_dropout(ito_ones(ITO_SHAPE(N), ITO_F32), p, &g);
    const float *v = ito_const_data(y);
    double dropped = 0, sum = 0;
    for (int i = 0; i < N; i++) {
        dropped += v[i] == 0;
        sum += (double)v[i];
    }
    double sigma = sqrt(N * p * (1 - p));
    cr_assert(fabs(dropped - N * p) < 5 * sigma, "%g of %d", dropped, N);
    cr_assert(fabs(sum - N) < 5 * sigma / (1 - p));
    ito_tensor *z = ito_dropout(ito_ones(ITO_SHAPE(N), ITO_F32), p, &g);
    int same = 0;
    for (int i = 0; i < N; i++)
        same += (((const float *)ito_const_data(z))[i] == 0) == (v[i] == 0);
    cr_assert(same < N, "the generator did not advance");
}

static void check_backward_mask(void)
{
    double p = 0.5;
    ito_tensor *x = ito_requires_grad(random_tensor(ITO_SHAPE(3, 5), 1, 2, 1), true);
    ito_tensor *y = f_dropout(&x, 1, &p), *dx = ito_grad(y, x, .cotangent = ito_ones_like(y));
    ito_tensor *rebuilt = ito_mul(dx, x);
    assert_close(rebuilt, ito_detach(y), 1e-15, "the gradient is the mask");
}

void case_dropout(void)
{
    check_mask(random_tensor(ITO_SHAPE(3, 70), 1, 2, 1), 0.3, NULL);
    check_mask(ito_cast(random_tensor(ITO_SHAPE(3, 70), 1, 2, 1), ITO_F32), 0.3, NULL);
    check_mask(ito_transpose(random_tensor(ITO_SHAPE(7, 30), 1, 2, 1), 0, 1), 0.3, NULL);
    check_mask(ito_slice(random_tensor(ITO_SHAPE(99), 1, 2, 1), 0, 0, 99, 2), 0.3, NULL);
    check_mask(random_tensor(ITO_SHAPE(), 1, 2, 1), 0.3, NULL);
    check_mask(random_tensor(ITO_SHAPE(0, 4), 1, 2, 1), 0.3, NULL);
    check_image_mask(0.6);
    check_moments(0.1);
    check_moments(0.9);
    check_backward_mask();
    ito_tensor *x = random_tensor(ITO_SHAPE(3), 1, 2, 1);
    ito_generator g = start;
    cr_assert_eq(ito_dropout(x, 0, &g)->storage, x->storage);
    cr_assert_eq(g.offset, start.offset);
    cr_assert_eq(ito_item(ito_dropout(ito_scalar((double)NAN, ITO_F32), 1 - 1e-12, &g)), 0);
    cr_assert_null(ito_dropout(x, 1, &g));
    assert_error(ITO_ERR_RANGE, "dropout: probability 1 is not in [0, 1)");
    cr_assert_null(ito_dropout(x, -0.5, &g));
    assert_error(ITO_ERR_RANGE, "dropout: probability -0.5 is not in [0, 1)");
    cr_assert_null(ito_dropout(x, (double)NAN, &g));
    ito_error_clear();
    cr_assert_null(ito_dropout(x, 0.5, NULL));
    assert_error(ITO_ERR_ARGUMENT, "dropout: no generator");
    double p[] = {0.4, 0};
    op_check_run((op_check){.what = "dropout",
                            .f = f_dropout,
                            .context = &p[0],
                            .n = 1,
                            .shape = {ITO_SHAPE(2, 3, 2, 2)},
                            .large = {ITO_SHAPE(3, 33, 50, 51)}});
    op_check_run((op_check){.what = "dropout of nothing",
                            .f = f_dropout,
                            .context = &p[1],
                            .n = 1,
                            .shape = {ITO_SHAPE(2, 3)}});
}
