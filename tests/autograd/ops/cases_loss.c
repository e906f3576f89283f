/* Losses, against sums in plain double loops written from their definitions. */
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>

typedef double term_fn(double prediction, double target);

static double mean_of(term_fn *term, const ito_tensor *a, const ito_tensor *b)
{
    double x[64], y[64], sum = 0;
    int64_t n = ito_numel(a);
    cr_assert(n <= 64 && ito_to_data(a, x, ITO_F64) == ITO_OK &&
              ito_to_data(b, y, ITO_F64) == ITO_OK);
    for (int64_t i = 0; i < n; i++)
        sum += term(x[i], y[i]);
    return sum / (double)n;
}

static double square_term(double x, double y)
{
    return (x - y) * (x - y);
}

static double l1_term(double x, double y)
{
    return fabs(x - y);
}

static double huber_term(double x, double y) /* delta 0.7 */
{
    double d = fabs(x - y);
    return d <= 0.7 ? d * d / 2 : 0.7 * (d - 0.35);
}

static double bce_term(double x, double z)
{
    return -z * log(1 / (1 + exp(-x))) - (1 - z) * log(1 / (1 + exp(x)));
}

static ito_tensor *f_mse(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    return ito_mse_loss(in[0], in[1]);
}

static ito_tensor *f_l1(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    return ito_l1_loss(in[0], in[1]);
}

static ito_tensor *f_huber(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    return ito_huber_loss(in[0], in[1], .delta = 0.7);
}

static ito_tensor *f_bce(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    return ito_binary_cross_entropy_with_logits(in[0], in[1]);
}

static void check_value(ito_function *f, term_fn *term, double low, double high)
{
    ito_tensor *a = random_tensor(ITO_SHAPE(3, 5, 4), low, high, 1);
    ito_tensor *b = random_tensor(ITO_SHAPE(3, 5, 4), low, high, 2);
    ito_tensor *turned = ito_permute(random_tensor(ITO_SHAPE(4, 3, 5), low, high, 3), 1, 2, 0);
    double want = mean_of(term, a, b), mixed = mean_of(term, turned, b);
    assert_elements(f((ito_tensor *[]){a, b}, 2, NULL), &want, 1, 1e-13, "loss");
    assert_elements(f((ito_tensor *[]){turned, b}, 2, NULL), &mixed, 1, 1e-13, "loss of a view");
}

/* ---- mse_loss
 * ------------------------------------------------------------------------------------ */

static void check_mse_large(void)
{
    ito_shape shape = ITO_SHAPE(3, 40, 51, 13); /* several chunks and a rest */
    ito_tensor *a = random_tensor(shape, -1, 1, 1), *b = random_tensor(shape, -1, 1, 2);
    const double *x = ito_const_data(a), *y = ito_const_data(b);
    double sum = 0;
    for (int64_t i = 0; i < ito_numel(a); i++)
        sum += (x[i] - y[i]) * (x[i] - y[i]);
    sum /= (double)ito_numel(a);
    assert_elements(ito_mse_loss(a, b), &sum, 1, 1e-12, "mse_loss of many");
    ito_tensor *image = tensor_channels_last(a);
    assert_elements(ito_mse_loss(image, b), &sum, 1, 1e-12, "mse_loss of two layouts");
    ito_tensor *leaf = ito_requires_grad(ito_clone(image), true);
    ito_tensor *dx = ito_grad(ito_mse_loss(leaf, b), leaf);
    cr_assert(ito_is_channels_last(dx));
}

/* The same bits whatever the instruction set and the number of threads. */
static void check_mse_bits(void)
{
    ito_shape shape = ITO_SHAPE(70, 1001);
    ito_tensor *a = ito_cast(random_tensor(shape, -1, 1, 1), ITO_F32);
    ito_tensor *b = ito_cast(random_tensor(shape, -1, 1, 2), ITO_F32);
    char isa[16];
    snprintf(isa, sizeof isa, "%s", ito_isa());
    int threads = ito_threads();
    double want = ito_item(ito_mse_loss(a, b));
    cr_assert(isa_use("base"));
    for (int n = 1; n <= 5; n++) {
        ito_set_threads(n);
        cr_assert_eq(ito_item(ito_mse_loss(a, b)), want);
    }
    cr_assert(isa_use(isa));
    ito_set_threads(threads);
}

void case_mse_loss(void)
{
    check_value(f_mse, square_term, -2, 2);
    check_mse_large();
    check_mse_bits();
    ito_tensor *a = ito_zeros(ITO_SHAPE(2, 3), ITO_F32), *b = ito_zeros(ITO_SHAPE(3), ITO_F32);
    ito_tensor *none = ito_zeros(ITO_SHAPE(0), ITO_F32);
    cr_assert(isnan(ito_item(ito_mse_loss(none, none))));
    cr_assert_null(ito_mse_loss(a, b));
    assert_error(ITO_ERR_SHAPE, "mse_loss: shapes [2, 3] and [3] differ");
    cr_assert_null(ito_mse_loss(a, ito_cast(a, ITO_F64)));
    assert_error(ITO_ERR_DTYPE, "mse_loss: f32 [2, 3] and f64 [2, 3] do not mix (see ito_cast)");
    op_check_run((op_check){.what = "mse_loss",
                            .f = f_mse,
                            .n = 2,
                            .shape = {ITO_SHAPE(2, 3, 2), ITO_SHAPE(2, 3, 2)},
                            .large = {ITO_SHAPE(200, 501), ITO_SHAPE(200, 501)}});
}

/* ---- composed
 * ------------------------------------------------------------------------------------ */

Test(ops_loss, l1_is_the_mean_distance)
{
    check_value(f_l1, l1_term, -2, 2);
    ito_tensor *a = ito_zeros(ITO_SHAPE(2, 3), ITO_F32), *b = ito_zeros(ITO_SHAPE(2, 1), ITO_F32);
    cr_assert_null(ito_l1_loss(a, b));
    assert_error(ITO_ERR_SHAPE, "l1_loss: shapes [2, 3] and [2, 1] differ");
    op_check_run((op_check){.what = "l1_loss",
                            .f = f_l1,
                            .n = 2,
                            .shape = {ITO_SHAPE(3, 2), ITO_SHAPE(3, 2)},
                            .roundings = 2,
                            .gradient_roundings = 2});
}

Test(ops_loss, huber_is_square_near_and_linear_far)
{
    check_value(f_huber, huber_term, -2, 2);
    ito_tensor *a = ito_zeros(ITO_SHAPE(2, 3), ITO_F32), *b = ito_zeros(ITO_SHAPE(2), ITO_F32);
    cr_assert_null(ito_huber_loss(a, b));
    assert_error(ITO_ERR_SHAPE, "huber_loss: shapes [2, 3] and [2] differ");
    cr_assert_null(ito_huber_loss(a, a, .delta = 0));
    assert_error(ITO_ERR_ARGUMENT, "huber_loss: delta 0 is not positive");
    cr_assert_null(ito_huber_loss(a, a, .delta = (double)NAN));
    ito_error_clear();
    op_check_run((op_check){.what = "huber_loss",
                            .f = f_huber,
                            .n = 2,
                            .shape = {ITO_SHAPE(3, 2), ITO_SHAPE(3, 2)},
                            .roundings = 5,
                            .gradient_roundings = 5});
}

Test(ops_loss, binary_cross_entropy_with_logits_neither_overflows_nor_cancels)
{
    check_value(f_bce, bce_term, 0, 1);
    double x[] = {800, -800, 30, -30}, z[] = {0, 1, 1, 0};
    double want[] = {800, 800, exp(-30), exp(-30)};
    for (int i = 0; i < 4; i++) {
        double got = ito_item(ito_binary_cross_entropy_with_logits(ito_scalar(x[i], ITO_F64),
                                                                   ito_scalar(z[i], ITO_F64)));
        cr_assert(fabs(got - want[i]) <= 1e-12 * want[i], "%g, not %g", got, want[i]);
    }
    ito_tensor *a = ito_zeros(ITO_SHAPE(2, 3), ITO_F32), *b = ito_zeros(ITO_SHAPE(2), ITO_F32);
    cr_assert_null(ito_binary_cross_entropy_with_logits(a, b));
    assert_error(ITO_ERR_SHAPE, "binary_cross_entropy_with_logits: shapes [2, 3] and [2] differ");
    op_check_run((op_check){.what = "binary_cross_entropy_with_logits",
                            .f = f_bce,
                            .n = 2,
                            .shape = {ITO_SHAPE(3, 2), ITO_SHAPE(3, 2)},
                            .low = 0.1,
                            .high = 0.9,
                            .roundings = 10, /* five steps of numbers up to 2 */
                            .gradient_roundings = 10});
}

static ito_tensor *f_cross_entropy(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    return ito_cross_entropy(in[0], context);
}

Test(ops_loss, cross_entropy_is_minus_the_log_of_the_right_class)
{
    int64_t classes[] = {2, 0, 1, 2};
    ito_tensor *x = random_tensor(ITO_SHAPE(4, 3), -2, 2, 1);
    ito_tensor *target = ito_from_data(classes, ITO_SHAPE(4), ITO_I64);
    const double *v = ito_const_data(x);
    double want = 0;
    for (int i = 0; i < 4; i++) {
        double sum = exp(v[3 * i]) + exp(v[3 * i + 1]) + exp(v[3 * i + 2]);
        want -= log(exp(v[3 * i + classes[i]]) / sum) / 4;
    }
    assert_elements(ito_cross_entropy(x, target), &want, 1, 1e-14, "cross_entropy");
    cr_assert_null(ito_cross_entropy(ito_narrow(x, 1, 0, 2), target));
    assert_error(ITO_ERR_RANGE, "cross_entropy: index 2 at [0] is outside 0..1");
    cr_assert_null(ito_cross_entropy(x, ito_narrow(target, 0, 0, 2)));
    assert_error(ITO_ERR_SHAPE,
                 "cross_entropy: logits [4, 3] and target [2] are not [N, C, ...] and [N, ...]");
    cr_assert_null(ito_cross_entropy(x, ito_cast(target, ITO_I32)));
    assert_error(ITO_ERR_DTYPE, "cross_entropy: indices are i64, not i32");
    op_check_run((op_check){.what = "cross_entropy",
                            .f = f_cross_entropy,
                            .context = target,
                            .n = 1,
                            .shape = {ITO_SHAPE(4, 3)},
                            .roundings = 5, /* of a logarithm up to 4, and of the mean */
                            .gradient_roundings = 4});
}
