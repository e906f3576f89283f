/* Cases of the functions of one array: each meets libm in double on dense, strided, empty and
 * zero-dimensional inputs, then the checks that every operation passes. */
#include "autograd/ops.h"
#include "tensor/convert.h"
#include "tensor/kernels/kernels.h"
#include "tests/autograd/op_check.h"
#include "tests/isas.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

typedef ito_tensor *unary_fn(ito_tensor *x);
typedef double oracle_fn(double x);

/* The kernels' mathematics is accurate to 1 ulp, so results of this size may be off by 2^-22 where
 * the formula takes a few steps, and by 2^-50 in double. */
static const double f32_tolerance = 0x1p-21, f64_tolerance = 0x1p-49;

typedef struct unary_case {
    const char *name;
    unary_fn *f;
    oracle_fn *oracle;
    double low, high;
} unary_case;

static ito_tensor *apply(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    return ((const unary_case *)context)->f(in[0]);
}

static void meets_oracle(const unary_case *c, ito_tensor *x, double tolerance)
{
    int64_t n = ito_numel(x);
    double *want = mem_alloc((size_t)n * sizeof *want);
    cr_assert_eq(ito_to_data(x, want, ITO_F64), ITO_OK);
    for (int64_t i = 0; i < n; i++)
        want[i] = c->oracle(want[i]);
    ito_tensor *y = c->f(x);
    assert_elements(y, want, n, tolerance, c->name);
    cr_assert(shape_equal(ito_shape_of(y), ito_shape_of(x)), "%s", c->name);
    cr_assert_eq(y->dtype, x->dtype, "%s", c->name);
    mem_free(want);
}

static void forward_checks(const unary_case *c, ito_dtype dtype, double tolerance)
{
    ito_tensor *x = ito_cast(random_tensor(ITO_SHAPE(5, 7, 11), c->low, c->high, 3), dtype);
    meets_oracle(c, x, tolerance);
    meets_oracle(c, ito_permute_to(x, ITO_DIMS(2, 0, 1)), tolerance);
    meets_oracle(c, ito_slice(x, 2, 1, 11, 3), tolerance);
    meets_oracle(c, ito_slice(x, 1, 0, 7, 2), tolerance);
    meets_oracle(c, ito_expand_to(ito_slice(x, 0, 0, 1, 1), ITO_DIMS(4, 7, 11)), tolerance);
    meets_oracle(c, ito_select(ito_select(ito_select(x, 0, 1), 0, 2), 0, 3), tolerance);
    meets_oracle(c, ito_zeros(ITO_SHAPE(2, 0, 3), dtype), tolerance);
}

/* An element gives the same bits alone and among others, wherever it stands in a vector. */
static void lanes_are_independent(const unary_case *c, ito_dtype dtype)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(67), c->low, c->high, 5);
    ((double *)ito_data(x))[13] = c->high * 1000; /* a lane that takes another path in SLEEF */
    x = ito_cast(x, dtype);
    ito_tensor *y = c->f(x);
    cr_assert_not_null(y);
    size_t size = ito_dtype_size(dtype);
    for (int64_t i = 0; i < 67; i++) {
        ito_tensor *alone = c->f(ito_narrow(x, 0, i, 1));
        cr_assert_eq(memcmp(ito_data(alone), (char *)ito_data(y) + (size_t)i * size, size), 0,
                     "%s of element %lld depends on its neighbours", c->name, (long long)i);
    }
}

static void meets_libm(const unary_case *c)
{
    ito_scope_begin();
    forward_checks(c, ITO_F64, f64_tolerance);
    forward_checks(c, ITO_F32, f32_tolerance);
    lanes_are_independent(c, ITO_F32);
    lanes_are_independent(c, ITO_F64);
    lanes_are_independent(c, ITO_BF16);
    cr_assert_null(c->f(ito_zeros(ITO_SHAPE(2), ITO_F16)));
    cr_assert(strstr(ito_error_message(), ": takes f32, f64 or bf16, not f16 (see ito_cast)") !=
              NULL);
    ito_error_clear();
    ito_scope_end();
}

/* roundings: in bf16, of what the rule of differentiation takes and of each of its steps; a sum of
 * two terms counts those of both. */
static void check(const char *name, unary_fn *f, oracle_fn *oracle, double low, double high,
                  int roundings)
{
    unary_case c = {name, f, oracle, low, high};
    meets_libm(&c);
    op_check_run((op_check){.what = name,
                            .f = apply,
                            .context = &c,
                            .n = 1,
                            .shape = {ITO_SHAPE(3, 1, 5)},
                            .low = low,
                            .high = high,
                            .large = {ITO_SHAPE(3, 50000)},
                            .gradient_roundings = roundings});
}

/* f of these numbers is exactly those, in both types. */
static void exactly(unary_fn *f, const double *x, const double *want, int n, const char *name)
{
    ito_scope_begin();
    for (int d = 0; d < 2; d++) {
        ito_tensor *t = ito_cast(ito_from_data(x, ITO_SHAPE(n), ITO_F64), d ? ITO_F64 : ITO_F32);
        assert_elements(f(t), want, n, 0, name);
    }
    ito_scope_end();
}
#define EXACTLY(f, x, want) exactly(f, x, want, (int)(sizeof(x) / sizeof *(x)), #f)

/* The gradient of f at these numbers is exactly those. */
static void slopes(unary_fn *f, const double *x, const double *want, int n, const char *name)
{
    ito_scope_begin();
    ito_tensor *t = ito_requires_grad(ito_from_data(x, ITO_SHAPE(n), ITO_F64), true);
    assert_elements(ito_grad(ito_sum(f(t)), t), want, n, 0, name);
    ito_scope_end();
}
#define SLOPES(f, x, want) slopes(f, x, want, (int)(sizeof(x) / sizeof *(x)), #f)

/* ---- oracles --------------------------------------------------------------------------------- */

static double neg(double x)
{
    return -x;
}
static double square(double x)
{
    return x * x;
}
static double rsqrt(double x)
{
    return 1 / sqrt(x);
}
static double reciprocal(double x)
{
    return 1 / x;
}
static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}
static double sign(double x)
{
    return x > 0 ? 1 : x < 0 ? -1 : 0;
}
static double relu(double x)
{
    return x > 0 ? x : 0;
}
static double silu(double x)
{
    return x / (1 + exp(-x));
}
static double gelu(double x)
{
    return 0.5 * x * erfc(-x / sqrt(2));
}
static double softplus(double x)
{
    return log(1 + exp(x));
}

static ito_tensor *exact_gelu(ito_tensor *x)
{
    return ito_gelu(x);
}
static ito_tensor *plain_softplus(ito_tensor *x)
{
    return ito_softplus(x);
}

/* ---- cases ----------------------------------------------------------------------------------- */

void case_abs(void)
{
    check("abs", ito_abs, fabs, -2, 2, 1);
    EXACTLY(ito_abs, ((double[]){-0.0, nan(""), -HUGE_VAL}), ((double[]){0, nan(""), HUGE_VAL}));
    SLOPES(ito_abs, ((double[]){-3, 0, 3}), ((double[]){-1, 0, 1}));
}

void case_neg(void)
{
    check("neg", ito_neg, neg, -2, 2, 1);
    ito_scope_begin();
    cr_assert(signbit(ito_item(ito_neg(ito_scalar(0, ITO_F32)))));
    ito_tensor *x = ito_from_data((int32_t[]){INT32_MIN, -5, 7}, ITO_SHAPE(3), ITO_I32);
    assert_elements(ito_neg(x), (double[]){INT32_MIN, 5, -7}, 3, 0, "neg of i32");
    assert_elements(ito_neg(ito_scalar(1, ITO_U8)), (double[]){255}, 1, 0, "neg of u8");
    cr_assert_null(ito_neg(ito_scalar(1, ITO_BOOL)));
    assert_error(ITO_ERR_DTYPE, "neg: not defined for bool (see ito_cast and ito_ne)");
    ito_scope_end();
}

void case_square(void)
{
    check("square", ito_square, square, -2, 2, 1);
}

void case_sqrt(void)
{
    check("sqrt", ito_sqrt, sqrt, 0.5, 4, 2);
    EXACTLY(ito_sqrt, ((double[]){0, 4, -1, HUGE_VAL}), ((double[]){0, 2, nan(""), HUGE_VAL}));
}

void case_rsqrt(void)
{
    check("rsqrt", ito_rsqrt, rsqrt, 0.5, 4, 6);
}

void case_reciprocal(void)
{
    check("reciprocal", ito_reciprocal, reciprocal, 0.5, 4, 4);
    EXACTLY(ito_reciprocal, ((double[]){0, -0.0, 4}), ((double[]){HUGE_VAL, -HUGE_VAL, 0.25}));
}

void case_exp(void)
{
    check("exp", ito_exp, exp, -2, 2, 2);
    EXACTLY(ito_exp, ((double[]){0, -HUGE_VAL, HUGE_VAL, nan(""), 1000}),
            ((double[]){1, 0, HUGE_VAL, nan(""), HUGE_VAL}));
}

void case_expm1(void)
{
    check("expm1", ito_expm1, expm1, -2, 2, 3);
    EXACTLY(ito_expm1, ((double[]){0x1p-60, -HUGE_VAL}), ((double[]){0x1p-60, -1}));
}

void case_log(void)
{
    check("log", ito_log, log, 0.5, 4, 1);
    EXACTLY(ito_log, ((double[]){1, 0, -1, HUGE_VAL}),
            ((double[]){0, -HUGE_VAL, nan(""), HUGE_VAL}));
}

void case_log1p(void)
{
    check("log1p", ito_log1p, log1p, -0.5, 4, 2);
    EXACTLY(ito_log1p, ((double[]){0x1p-60, -1}), ((double[]){0x1p-60, -HUGE_VAL}));
}

void case_sin(void)
{
    check("sin", ito_sin, sin, -4, 4, 2);
    check("sin", ito_sin, sin, -1000, 1000, 2);
}

void case_cos(void)
{
    check("cos", ito_cos, cos, -4, 4, 2);
    check("cos", ito_cos, cos, -1000, 1000, 2);
}

void case_tanh(void)
{
    check("tanh", ito_tanh, tanh, -2, 2, 5);
    EXACTLY(ito_tanh, ((double[]){-100, 0, 100}), ((double[]){-1, 0, 1}));
}

void case_erf(void)
{
    check("erf", ito_erf, erf, -2, 2, 5);
}

void case_sigmoid(void)
{
    check("sigmoid", ito_sigmoid, sigmoid, -4, 4, 5);
    EXACTLY(ito_sigmoid, ((double[]){-1000, 0, 1000}), ((double[]){0, 0.5, 1}));
}

void case_floor(void)
{
    check("floor", ito_floor, floor, -3, 3, 1);
    SLOPES(ito_floor, ((double[]){-1.5, 2}), ((double[]){0, 0}));
}

void case_round(void)
{
    check("round", ito_round, rint, -3, 3, 1);
    EXACTLY(ito_round, ((double[]){0.5, 1.5, 2.5, -0.5}), ((double[]){0, 2, 2, 0}));
}

void case_sign(void)
{
    check("sign", ito_sign, sign, -3, 3, 1);
    EXACTLY(ito_sign, ((double[]){0, -0.0, HUGE_VAL, nan("")}), ((double[]){0, 0, 1, 0}));
}

void case_relu(void)
{
    check("relu", ito_relu, relu, -3, 3, 1);
    EXACTLY(ito_relu, ((double[]){0, nan(""), -HUGE_VAL}), ((double[]){0, nan(""), 0}));
    SLOPES(ito_relu, ((double[]){-1, 0, 1}), ((double[]){0, 0, 1}));
}

void case_silu(void)
{
    check("silu", ito_silu, silu, -4, 4, 1);
    EXACTLY(ito_silu, ((double[]){0, -1000, 1000}), ((double[]){0, 0, 1000}));
    SLOPES(ito_silu, ((double[]){0, -1000, 1000}), ((double[]){0.5, 0, 1}));
}

void case_gelu(void)
{
    check("gelu", exact_gelu, gelu, -4, 4, 1);
    EXACTLY(exact_gelu, ((double[]){0, -100, 100}), ((double[]){0, 0, 100}));
    SLOPES(exact_gelu, ((double[]){0, -100, 100}), ((double[]){0.5, 0, 1}));
}

void case_softplus(void)
{
    check("softplus", plain_softplus, softplus, -4, 4, 2);
    EXACTLY(plain_softplus, ((double[]){-1000, 1000, nan("")}), ((double[]){0, 1000, nan("")}));
}

/* ---- with numbers ---------------------------------------------------------------------------- */

static ito_tensor *clamp(ito_tensor *x)
{
    return ito_clamp(x, -0.5, 1.25);
}
static double clamp_oracle(double x)
{
    return x < -0.5 ? -0.5 : x > 1.25 ? 1.25 : x;
}

void case_clamp(void)
{
    check("clamp", clamp, clamp_oracle, -2, 2, 1);
    EXACTLY(clamp, ((double[]){nan(""), -HUGE_VAL, HUGE_VAL}), ((double[]){nan(""), -0.5, 1.25}));
    SLOPES(clamp, ((double[]){-1, -0.5, 0, 1.25, 2}), ((double[]){0, 0, 1, 0, 0}));
}

static double exponent;
static ito_tensor *power(ito_tensor *x)
{
    return ito_pow_scalar(x, exponent);
}
static double power_oracle(double x)
{
    return pow(x, exponent);
}

void case_pow_scalar(void)
{
    static const double exponents[] = {2.5, -1.75, 2, 3, 1, 0, 0.5, -0.5, -1};
    for (size_t i = 0; i < sizeof exponents / sizeof *exponents; i++) {
        exponent = exponents[i];
        check("pow_scalar", power, power_oracle, 0.5, 2, 3);
    }
    exponent = 3;
    EXACTLY(power, ((double[]){-2, 0}), ((double[]){-8, 0}));
    SLOPES(power, ((double[]){-2, 0}), ((double[]){12, 0}));
    exponent = 1;
    SLOPES(power, ((double[]){-2, 0}), ((double[]){1, 1}));
    exponent = 0;
    EXACTLY(power, ((double[]){0, nan("")}), ((double[]){1, 1}));
}

static ito_tensor *shift(ito_tensor *x)
{
    return ito_add_scalar(x, 1.5);
}
static double shift_oracle(double x)
{
    return x + 1.5;
}
static ito_tensor *scale(ito_tensor *x)
{
    return ito_mul_scalar(x, -2.5);
}
static double scale_oracle(double x)
{
    return x * -2.5;
}

void case_scale_shift(void)
{
    check("add_scalar", shift, shift_oracle, -2, 2, 1);
    check("mul_scalar", scale, scale_oracle, -2, 2, 1);
    ito_scope_begin();
    cr_assert(signbit(ito_item(ito_mul_scalar(ito_scalar(-0.0, ITO_F32), 2))), "-0 stays -0");
    cr_assert_null(ito_mul_scalar(ito_scalar(1, ITO_I64), 2));
    cr_assert_str_eq(ito_error_message(),
                     "mul_scalar: takes f32, f64 or bf16, not i64 (see ito_cast)");
    ito_error_clear();
    cr_assert_null(ito_add_scalar(NULL, 2));
    cr_assert_str_eq(ito_error_message(), "add_scalar: input 0 is NULL");
    ito_error_clear();
    cr_assert_null(ito_add_scalar(ito_scalar(1, ITO_BOOL), 2));
    cr_assert_str_eq(ito_error_message(),
                     "add_scalar: takes f32, f64 or bf16, not bool (see ito_cast)");
    ito_error_clear();
    ito_scope_end();
}

/* ---- functions whose gradients are checked by rows ----------------------------------------------
 */

static double mish(double x)
{
    return x * tanh(log1p(exp(x)));
}
static ito_tensor *gelu_by_tanh(ito_tensor *x)
{
    return ito_gelu(x, .approximate = ITO_GELU_TANH);
}
static double gelu_tanh(double x)
{
    return x / 2 * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
static double hardswish(double x)
{
    return x * fmin(fmax(x + 3, 0), 6) / 6;
}
static ito_tensor *elu_of_2(ito_tensor *x)
{
    return ito_elu(x, .alpha = 2);
}
static double elu(double x)
{
    return x > 0 ? x : 2 * expm1(x);
}
static ito_tensor *leaky(ito_tensor *x)
{
    return ito_leaky_relu(x, .negative_slope = 0.2);
}
static double leaky_relu(double x)
{
    return x > 0 ? x : 0.2 * x;
}

Test(ops_unary, further_functions_meet_libm)
{
    static const unary_case cases[] = {
        {"tan", ito_tan, tan, -1.3, 1.3},
        {"asin", ito_asin, asin, -1, 1},
        {"acos", ito_acos, acos, -1, 1},
        {"atan", ito_atan, atan, -9, 9},
        {"sinh", ito_sinh, sinh, -2, 2},
        {"cosh", ito_cosh, cosh, -2, 2},
        {"asinh", ito_asinh, asinh, -9, 9},
        {"acosh", ito_acosh, acosh, 1, 9},
        {"atanh", ito_atanh, atanh, -0.9, 0.9},
        {"exp2", ito_exp2, exp2, -3, 3},
        {"log2", ito_log2, log2, 0.1, 9},
        {"log10", ito_log10, log10, 0.1, 9},
        {"erfc", ito_erfc, erfc, -3, 3},
        {"ceil", ito_ceil, ceil, -3, 3},
        {"trunc", ito_trunc, trunc, -3, 3},
        {"mish", ito_mish, mish, -5, 5},
        {"gelu", gelu_by_tanh, gelu_tanh, -4, 4},
        {"hardswish", ito_hardswish, hardswish, -5, 5},
        {"elu", elu_of_2, elu, -4, 4},
        {"leaky_relu", leaky, leaky_relu, -4, 4},
        {"lgamma", ito_lgamma, lgamma, 0.5, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        meets_libm(&cases[i]);
}

Test(ops_unary, ends_and_poles)
{
    const double inf = HUGE_VAL, nan = (double)NAN;
    EXACTLY(ito_asin, ((double[]){1.5, 0, nan}), ((double[]){nan, 0, nan}));
    EXACTLY(ito_acos, ((double[]){1, -1.5}), ((double[]){0, nan}));
    EXACTLY(ito_cosh, ((double[]){0, inf, -inf, 1000}), ((double[]){1, inf, inf, inf}));
    EXACTLY(ito_sinh, ((double[]){0, inf, -inf, -1000}), ((double[]){0, inf, -inf, -inf}));
    EXACTLY(ito_acosh, ((double[]){1, 0.5, inf}), ((double[]){0, nan, inf}));
    EXACTLY(ito_atanh, ((double[]){0, 1, -1, 2}), ((double[]){0, inf, -inf, nan}));
    EXACTLY(ito_exp2, ((double[]){3, -inf, inf, 5000}), ((double[]){8, 0, inf, inf}));
    EXACTLY(ito_log2, ((double[]){8, 0, -1, inf}), ((double[]){3, -inf, nan, inf}));
    EXACTLY(ito_log10, ((double[]){1, 0, -1, inf}), ((double[]){0, -inf, nan, inf}));
    EXACTLY(ito_erfc, ((double[]){0, inf, -inf, nan}), ((double[]){1, 0, 2, nan}));
    EXACTLY(ito_ceil, ((double[]){0.5, -1.5, inf, nan}), ((double[]){1, -1, inf, nan}));
    EXACTLY(ito_trunc, ((double[]){1.5, -1.5, -inf, nan}), ((double[]){1, -1, -inf, nan}));
    EXACTLY(ito_frac, ((double[]){1.5, -1.5, 2, inf}), ((double[]){0.5, -0.5, 0, nan}));
    EXACTLY(ito_sinc, ((double[]){0, nan}), ((double[]){1, nan}));
    EXACTLY(ito_lgamma, ((double[]){1, 0, -1, inf}), ((double[]){0, inf, inf, inf}));
    EXACTLY(ito_digamma, ((double[]){0, -0.0, -1, inf}), ((double[]){-inf, inf, nan, inf}));
    EXACTLY(ito_erfinv, ((double[]){0, 1, -1, 2, nan}), ((double[]){0, inf, -inf, nan, nan}));
    SLOPES(ito_asin, ((double[]){0, 1}), ((double[]){1, inf}));
    ito_scope_begin();
    cr_assert(signbit(ito_item(ito_ceil(ito_scalar(-0.5, ITO_F32)))), "-0");
    cr_assert(signbit(ito_item(ito_trunc(ito_scalar(-0.5, ITO_F64)))), "-0");
    ito_scope_end();
}

Test(ops_unary, activations_at_their_ends)
{
    const double inf = HUGE_VAL, nan = (double)NAN;
    EXACTLY(ito_mish, ((double[]){0, 1000, inf, nan}), ((double[]){0, 1000, inf, nan}));
    SLOPES(ito_mish, ((double[]){0, 1e10, -1000}), ((double[]){0.6, 1, 0}));
    EXACTLY(gelu_by_tanh, ((double[]){0, 100, -100, 0x1p50, nan}),
            ((double[]){0, 100, 0, 0x1p50, nan}));
    SLOPES(gelu_by_tanh, ((double[]){0, 0x1p50, -0x1p50}), ((double[]){0.5, 1, 0}));
    EXACTLY(ito_hardswish, ((double[]){-3, 3, -9, 9}), ((double[]){0, 3, 0, 9}));
    SLOPES(ito_hardswish, ((double[]){-3, 0, 3}), ((double[]){0, 0.5, 1}));
    EXACTLY(elu_of_2, ((double[]){0, 1000, -1000, nan}), ((double[]){0, 1000, -2, nan}));
    SLOPES(elu_of_2, ((double[]){0, 1000, -1000}), ((double[]){2, 1, 0}));
    SLOPES(leaky, ((double[]){0, nan, 1}), ((double[]){0.2, 0.2, 1}));
    EXACTLY(ito_relu6, ((double[]){-1, 7, nan}), ((double[]){0, 6, nan}));
    SLOPES(ito_relu6, ((double[]){0, 6}), ((double[]){0, 0}));
    EXACTLY(ito_logsigmoid, ((double[]){-1000, 1000}), ((double[]){-1000, 0}));
    EXACTLY(ito_softsign, ((double[]){0, -3, 1}), ((double[]){0, -0.75, 0.5}));
    SLOPES(ito_softsign, ((double[]){0, -1}), ((double[]){1, 0.25}));
    EXACTLY(plain_softplus, ((double[]){20.5, 30}), ((double[]){20.5, 30}));
}

/* The second derivative of sin(pi x) / (pi x) at 0 is -pi^2 / 3, though the formula is 0 / 0. */
Test(ops_unary, sinc_is_smooth_at_0)
{
    ito_scope_begin();
    ito_tensor *x = ito_requires_grad(ito_scalar(0, ITO_F64), true);
    ito_tensor *slope = ito_grad(ito_sinc(x), x, .create_graph = true);
    cr_assert_eq(ito_item(slope), 0);
    double curvature = ito_item(ito_grad(slope, x));
    cr_assert(fabs(curvature + M_PI * M_PI / 3) <= 1e-14, "%.17g", curvature);
    ito_scope_end();
}

static double at(ito_tensor *y)
{
    return ito_item(y);
}

/* Values at points where there is a closed form, and the recurrence across the pole at 0, where the
 * reflection takes over. */
Test(ops_unary, digamma_and_its_derivatives_obey_their_laws)
{
    const double euler = 0.57721566490153286061, zeta_3 = 1.20205690315959428540;
    ito_scope_begin();
    ito_tensor *one = ito_scalar(1, ITO_F64), *half = ito_scalar(0.5, ITO_F64);
    cr_assert_float_eq(at(ito_digamma(one)), -euler, 1e-15);
    cr_assert_float_eq(at(ito_digamma(half)), -euler - 2 * M_LN2, 4e-15);
    cr_assert_float_eq(at(ito_polygamma(1, one)), M_PI * M_PI / 6, 1e-15);
    cr_assert_float_eq(at(ito_polygamma(1, half)), M_PI * M_PI / 2, 4e-15);
    cr_assert_float_eq(at(ito_polygamma(2, one)), -2 * zeta_3, 4e-15);
    for (double x = -7.7; x < 3; x += 0.49) {
        ito_tensor *here = ito_scalar(x, ITO_F64), *next = ito_scalar(x + 1, ITO_F64);
        double factorial = 1;
        for (int n = 0; n < 5; n++) {
            double step = (n % 2 == 0 ? 1 : -1) * factorial / pow(x, n + 1);
            double got = at(ito_polygamma(n, next)) - at(ito_polygamma(n, here));
            double size = fabs(at(ito_polygamma(n, here))) + fabs(step) + 1;
            cr_assert(fabs(got - step) <= 1e-13 * size, "order %d at %g: %.17g, not %.17g", n, x,
                      got, step);
            factorial *= n + 1;
        }
    }
    ito_scope_end();
}

Test(ops_unary, erfinv_inverts_erf)
{
    ito_scope_begin();
    for (double y = -5.5; y <= 5.5; y += 0.25) {
        double x = erf(y), got = at(ito_erfinv(ito_scalar(x, ITO_F64)));
        /* x is rounded: y is known to this over the slope of erf */
        double slope = M_2_SQRTPI * exp(-y * y);
        cr_assert(fabs(got - y) <= 1e-15 * fabs(y) + 0x1p-53 * fabs(x) / slope, "%g: %.17g", y,
                  got);
    }
    ito_scope_end();
}

Test(ops_unary, numbers_stand_in_for_what_is_none)
{
    ito_scope_begin();
    static const ito_dtype dtypes[] = {ITO_F32, ITO_F64, ITO_BF16};
    static const double largest[] = {0x1.fffffep127, 0x1.fffffffffffffp1023, 0x1.fep127};
    for (int i = 0; i < 3; i++) {
        double x[] = {(double)NAN, HUGE_VAL, -HUGE_VAL, 2},
               want[] = {0, largest[i], -largest[i], 2};
        ito_tensor *t = ito_cast(ito_from_data(x, ITO_SHAPE(4), ITO_F64), dtypes[i]);
        assert_elements(ito_nan_to_num(t), want, 4, 0, "nan_to_num");
    }
    ito_scope_end();
}

/* ---- laws and layouts ------------------------------------------------------------------------ */

Test(ops_unary, results_keep_the_memory_order)
{
    ito_scope_begin();
    ito_tensor *x =
        ito_permute_to(random_tensor(ITO_SHAPE(2, 4, 5, 3), -1, 1, 1), ITO_DIMS(0, 3, 1, 2));
    cr_assert(ito_is_channels_last(ito_exp(x)));
    cr_assert(ito_is_channels_last(ito_exp(ito_narrow(x, 1, 0, 2))), "of a part of the channels");
    ito_scope_end();
}

Test(ops_unary, fused_backward_is_the_composite_s)
{
    unary_fn *const fused[] = {ito_silu, exact_gelu};
    for (int i = 0; i < 2; i++) {
        ito_scope_begin();
        ito_tensor *x = ito_requires_grad(random_tensor(ITO_SHAPE(3, 41), -6, 6, 1), true);
        ito_tensor *y = ito_sum(fused[i](x));
        ito_tensor *by_kernel = ito_grad(y, x, .retain_graph = true);
        assert_close(by_kernel, ito_grad(y, x, .create_graph = true), 1e-13, "composite");
        ito_scope_end();
    }
}

/* v_exp of floats is our own: over the whole range of floats, and at the ends of the result's. */
static void exp_is_within_an_ulp(const char *isa)
{
    enum { STEP = 3001, CHUNK = 4096 };
    float x[CHUNK], y[CHUNK];
    for (uint64_t first = 0; first < 1ull << 32; first += (uint64_t)STEP * CHUNK) {
        for (uint64_t i = 0; i < CHUNK; i++)
            x[i] = bits_float((uint32_t)(first + i * STEP));
        kernels(ITO_F32)->exp(y, x, 1, CHUNK, 0, 0);
        for (int i = 0; i < CHUNK; i++) {
            double truth = exp((double)x[i]), error = fabs((double)y[i] - truth);
            double ulp = fmax(ldexp(1, ilogb(truth) - 23), 0x1p-149);
            bool fine = isnan(x[i]) ? isnan(y[i])
                                    : (float)truth == y[i] || (isfinite(y[i]) && error <= ulp);
            cr_assert(fine, "%s: exp(%a) is %a", isa, (double)x[i], (double)y[i]);
        }
    }
}

Test(ops_unary, exp_is_within_an_ulp_of_the_truth)
{
    for (int i = 0; i < ISAS; i++)
        if (isa_use(isas[i]))
            exp_is_within_an_ulp(isas[i]);
}
