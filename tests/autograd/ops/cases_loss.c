/* Losses, against sums in plain double loops written from their definitions. */
#include "autograd/ops.h"
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

/* d^2 / 2 is as curved at 0 as elsewhere. */
Test(ops_loss, huber_is_curved_at_an_error_of_0)
{
    for (double d = -0.5; d <= 0.5; d += 0.25) {
        ito_scope_begin();
        ito_tensor *x = ito_requires_grad(ito_full(ITO_SHAPE(4), d, ITO_F64), true);
        ito_tensor *y = ito_huber_loss(x, ito_zeros(ITO_SHAPE(4), ITO_F64));
        ito_tensor *dx = ito_grad(y, x, .create_graph = true);
        double want[] = {0.25, 0.25, 0.25, 0.25};
        assert_elements(ito_grad(ito_sum(dx), x), want, 4, 1e-15, "second derivative");
        ito_scope_end();
    }
}

Test(ops_loss, ignored_targets_do_not_count)
{
    ito_scope_begin();
    double log_p[] = {-HUGE_VAL, 0, -1, -2}; /* a target that is ignored may be impossible */
    ito_tensor *x = ito_requires_grad(ito_from_data(log_p, ITO_SHAPE(2, 2), ITO_F64), true);
    ito_tensor *target = ito_from_data((int64_t[]){-100, 1}, ITO_SHAPE(2), ITO_I64);
    ito_tensor *each = ito_nll_loss(x, target, .reduction = ITO_REDUCTION_NONE);
    assert_elements(each, (double[]){0, 2}, 2, 0, "none");
    ito_tensor *mean = ito_nll_loss(x, target);
    cr_assert_eq(ito_item(mean), 2);
    assert_elements(ito_grad(mean, x), (double[]){0, 0, 0, -1}, 4, 0, "gradient");
    target = ito_full(ITO_SHAPE(2), -100, ITO_I64);
    cr_assert(isnan(ito_item(ito_nll_loss(x, target))), "the mean of none");
    cr_assert_eq(ito_item(ito_nll_loss(x, target, .reduction = ITO_REDUCTION_SUM)), 0);
    target = ito_from_data((int64_t[]){5, 1}, ITO_SHAPE(2), ITO_I64);
    cr_assert_eq(ito_item(ito_nll_loss(x, target, .ignore_index = 5)), 2);
    cr_assert_null(ito_nll_loss(x, target));
    assert_error(ITO_ERR_RANGE, "nll_loss: index 5 at [0] is outside 0..1");
    ito_scope_end();
}

Test(ops_loss, certain_probabilities_have_finite_losses)
{
    ito_scope_begin();
    ito_tensor *p = ito_from_data((double[]){0, 1, 0, 1}, ITO_SHAPE(4), ITO_F64);
    ito_tensor *t = ito_from_data((double[]){1, 0, 0, 1}, ITO_SHAPE(4), ITO_F64);
    p = ito_requires_grad(p, true);
    ito_tensor *y = ito_binary_cross_entropy(p, t, .reduction = ITO_REDUCTION_NONE);
    assert_elements(y, (double[]){100, 100, 0, 0}, 4, 0, "loss");
    assert_elements(ito_grad(ito_sum(y), p), (double[]){-1e12, 1e12, 0, 0}, 4, 0, "gradient");
    cr_assert_null(ito_binary_cross_entropy(ito_full(ITO_SHAPE(4), (double)NAN, ITO_F64), t));
    assert_error(ITO_ERR_RANGE, "binary_cross_entropy: the probability nan is outside 0..1");
    ito_tensor *log_p = ito_full(ITO_SHAPE(2), -1, ITO_F64);
    ito_tensor *half = ito_from_data((double[]){0, 0.5}, ITO_SHAPE(2), ITO_F64);
    double want[] = {0, 0.5 * log(0.5) + 0.5};
    assert_elements(ito_kl_div(log_p, half, .reduction = ITO_REDUCTION_NONE), want, 2, 1e-15,
                    "kl_div");
    ito_scope_end();
}

/* The variance counts as eps, its gradient as if it were free (PyTorch's choice: it can grow
 * again).
 */
Test(ops_loss, small_variances_are_raised)
{
    ito_scope_begin();
    ito_tensor *x = ito_full(ITO_SHAPE(1), 1, ITO_F64), *y = ito_zeros(ITO_SHAPE(1), ITO_F64);
    ito_tensor *v = ito_requires_grad(ito_full(ITO_SHAPE(1), 0.1, ITO_F64), true);
    ito_tensor *loss = ito_gaussian_nll_loss(x, y, v, .eps = 0.5);
    cr_assert_float_eq(ito_item(loss), 0.5 * (log(0.5) + 2), 1e-15);
    assert_elements(ito_grad(loss, v), (double[]){-1}, 1, 1e-15, "gradient");
    ito_scope_end();
}

/* Against the sum over every way to spread two labels over three frames: ab-, a-b, -ab, aab, abb;
 * equal labels need a blank between them. */
Test(ops_loss, ctc_sums_over_all_paths)
{
    ito_scope_begin();
    ito_tensor *p = ito_softmax(random_tensor(ITO_SHAPE(3, 3), -2, 2, 4), 1), *none;
    const double *q = ito_const_data(p);
    double a[] = {q[1], q[4], q[7]}, b[] = {q[2], q[5], q[8]}, blank[] = {q[0], q[3], q[6]};
    double ab = a[0] * b[1] * blank[2] + a[0] * blank[1] * b[2] + blank[0] * a[1] * b[2] +
                a[0] * a[1] * b[2] + a[0] * b[1] * b[2];
    double aa = a[0] * blank[1] * a[2];
    ito_tensor *frames = ito_scalar(3, ITO_I64), *two = ito_scalar(2, ITO_I64);
    ito_tensor *labels = ito_from_data((int64_t[]){1, 2}, ITO_SHAPE(2), ITO_I64);
    ito_tensor *equal = ito_full(ITO_SHAPE(2), 1, ITO_I64);
    none = ito_scalar(0, ITO_I64);
    double got =
        ito_item(ito_ctc_loss(ito_log(p), labels, frames, two, .reduction = ITO_REDUCTION_SUM));
    cr_assert_float_eq(got, -log(ab), 1e-14);
    got = ito_item(ito_ctc_loss(ito_log(p), labels, frames, two));
    cr_assert_float_eq(got, -log(ab) / 2, 1e-14);
    got = ito_item(ito_ctc_loss(ito_log(p), equal, frames, two, .reduction = ITO_REDUCTION_SUM));
    cr_assert_float_eq(got, -log(aa), 1e-14);
    got = ito_item(ito_ctc_loss(ito_log(p), equal, frames, none));
    cr_assert_float_eq(got, -log(blank[0] * blank[1] * blank[2]), 1e-14);
    ito_scope_end();
}

Test(ops_loss, ctc_without_a_path_is_infinite)
{
    ito_scope_begin();
    ito_tensor *x = ito_requires_grad(random_tensor(ITO_SHAPE(2, 3), -2, 2, 4), true);
    ito_tensor *frames = ito_scalar(2, ITO_I64), *labels = ito_full(ITO_SHAPE(2), 1, ITO_I64);
    ito_tensor *y = ito_ctc_loss(x, labels, frames, frames);
    cr_assert_eq(ito_item(y), HUGE_VAL);
    assert_elements(ito_grad(y, x), (double[6]){0}, 6, 0, "gradient");
    cr_assert_eq(ito_item(ito_ctc_loss(x, labels, frames, frames, .zero_infinity = true)), 0);
    ito_scope_end();
}
