/* Cases of the operations on two arrays that broadcast: arithmetic and comparisons. */
#include "autograd/ops.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

typedef ito_tensor *binary_fn(ito_tensor *a, ito_tensor *b);
typedef double oracle_fn(double a, double b);

/* One rounding, or the 1 ulp of pow times the magnitudes below. */
static const double f32_tolerance = 0x1p-21, f64_tolerance = 0x1p-49;

/* Element `index` (row-major in shape) of t, which broadcasts to shape: by NumPy's rule. */
static double element(const double *t, ito_shape of, ito_shape shape, int64_t index)
{
    int64_t at = 0, step = 1;
    for (int i = 1; i <= shape.ndim; i++) {
        int64_t here = index % shape.dim[shape.ndim - i];
        index /= shape.dim[shape.ndim - i];
        if (i <= of.ndim) {
            at += of.dim[of.ndim - i] == 1 ? 0 : here * step;
            step *= of.dim[of.ndim - i];
        }
    }
    return t[at];
}

static void meets_oracle(const char *name, ito_tensor *y, ito_tensor *a, ito_tensor *b,
                         oracle_fn *oracle, ito_shape shape, double tolerance)
{
    cr_assert_not_null(y, "%s: %s", name, ito_error());
    cr_assert(shape_equal(ito_shape_of(y), shape), "%s: %s, not %s", name, tensor_shape_str(y),
              shape_str(shape));
    int64_t n = shape_numel(shape);
    ito_tensor *va = ito_empty(ito_shape_of(a), ITO_F64), *vb = ito_empty(ito_shape_of(b), ITO_F64);
    double *pa = ito_data(va), *pb = ito_data(vb);
    ito_to_data(a, pa, ITO_F64);
    ito_to_data(b, pb, ITO_F64);
    double *want = mem_alloc((size_t)n * sizeof *want);
    for (int64_t i = 0; i < n; i++)
        want[i] =
            oracle(element(pa, ito_shape_of(a), shape, i), element(pb, ito_shape_of(b), shape, i));
    assert_elements(y, want, n, tolerance, name);
    mem_free(want);
}

typedef struct shapes {
    ito_shape a, b, y;
} shapes;

static const shapes pairs[] = {
    {{2, {5, 19}}, {2, {5, 19}}, {2, {5, 19}}},
    {{3, {2, 3, 5}}, {2, {3, 1}}, {3, {2, 3, 5}}},
    {{1, {19}}, {3, {2, 1, 19}}, {3, {2, 1, 19}}},
    {{0, {0}}, {2, {3, 4}}, {2, {3, 4}}},
    {{2, {4, 1}}, {2, {1, 9}}, {2, {4, 9}}},
    {{2, {0, 3}}, {2, {1, 3}}, {2, {0, 3}}},
    {{4, {2, 3, 4, 5}}, {4, {2, 3, 1, 1}}, {4, {2, 3, 4, 5}}},
};

/* Inputs of one dtype in several memory orders. */
static void forward_checks(const char *name, binary_fn *f, oracle_fn *oracle, double low,
                           double high, ito_dtype dtype, double tolerance)
{
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        shapes s = pairs[k];
        ito_tensor *a = ito_cast(random_tensor(s.a, low, high, 1), dtype);
        ito_tensor *b = ito_cast(random_tensor(s.b, low, high, 2), dtype);
        meets_oracle(name, f(a, b), a, b, oracle, s.y, tolerance);
        meets_oracle(name, f(b, a), b, a, oracle, s.y, tolerance);
    }
    ito_tensor *a = ito_cast(random_tensor(ITO_SHAPE(4, 5, 6, 3), low, high, 1), dtype);
    ito_tensor *b = ito_cast(random_tensor(ITO_SHAPE(3, 4, 5, 6), low, high, 2), dtype);
    ito_tensor *last = ito_permute_to(a, ITO_DIMS(3, 0, 1, 2)), *part = ito_slice(b, 3, 1, 6, 2);
    meets_oracle(name, f(last, b), last, b, oracle, ITO_SHAPE(3, 4, 5, 6), tolerance);
    last = ito_slice(last, 3, 0, 6, 2);
    meets_oracle(name, f(last, part), last, part, oracle, ITO_SHAPE(3, 4, 5, 3), tolerance);
    meets_oracle(name, f(b, b), b, b, oracle, ITO_SHAPE(3, 4, 5, 6), tolerance);
}

static void error_checks(const char *name, binary_fn *f)
{
    char sentence[200];
    ito_tensor *a = ito_zeros(ITO_SHAPE(2, 3), ITO_F32), *b = ito_zeros(ITO_SHAPE(4), ITO_F32);
    cr_assert_null(f(a, b));
    snprintf(sentence, sizeof sentence, "%s: shapes [2, 3] and [4] do not broadcast", name);
    assert_error(ITO_ERR_SHAPE, sentence);
    cr_assert_null(f(b, a));
    snprintf(sentence, sizeof sentence, "%s: shapes [4] and [2, 3] do not broadcast", name);
    assert_error(ITO_ERR_SHAPE, sentence);
    cr_assert_null(f(a, ito_zeros(ITO_SHAPE(2, 3), ITO_F64)));
    snprintf(sentence, sizeof sentence, "%s: f32 [2, 3] and f64 [2, 3] do not mix (see ito_cast)",
             name);
    assert_error(ITO_ERR_DTYPE, sentence);
    cr_assert_null(f(ito_cast(a, ITO_F16), b));
    snprintf(sentence, sizeof sentence, "%s: takes f32, f64 or bf16, not f16 (see ito_cast)", name);
    assert_error(ITO_ERR_DTYPE, sentence);
}

static ito_tensor *apply(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    binary_fn *const *f = context;
    return (*f)(in[0], in[1]);
}

/* roundings: in bf16, of the terms of a gradient; where an operand was repeated, 4 or 6 of them are
 * summed. */
static void check(const char *name, const char *op, binary_fn *f, oracle_fn *oracle, double low,
                  double high, int roundings)
{
    ito_scope_begin();
    forward_checks(name, f, oracle, low, high, ITO_F64, f64_tolerance);
    forward_checks(name, f, oracle, low, high, ITO_F32, f32_tolerance);
    error_checks(op, f);
    ito_scope_end();
    op_check c = {.what = name, .f = apply, .context = &f, .n = 2, .low = low, .high = high};
    c.shape[0] = ITO_SHAPE(3, 4), c.shape[1] = ITO_SHAPE(3, 4);
    c.large[0] = ITO_SHAPE(3, 50000), c.large[1] = ITO_SHAPE(3, 50000);
    c.gradient_roundings = roundings;
    op_check_run(c);
    c.gradient_roundings = 6 * roundings + 1;
    c.shape[0] = ITO_SHAPE(2, 1, 3), c.shape[1] = ITO_SHAPE(4, 1);
    c.large[0] = ITO_SHAPE(30, 1, 300), c.large[1] = ITO_SHAPE(20, 1);
    op_check_run(c);
}

/* f of these numbers is exactly those, and its gradients are, too, unless da is NULL. */
static void exactly(const char *name, binary_fn *f, int n, const double *a, const double *b,
                    const double *y, const double *da, const double *db)
{
    ito_scope_begin();
    ito_tensor *ta = ito_requires_grad(ito_from_data(a, ITO_SHAPE(n), ITO_F64), true);
    ito_tensor *tb = ito_requires_grad(ito_from_data(b, ITO_SHAPE(n), ITO_F64), true);
    ito_tensor *ty = f(ta, tb);
    assert_elements(ty, y, n, 0, name);
    if (da != NULL) {
        ito_tensor *grads[2];
        ito_backward_options options = {.cotangent = ito_ones_like(ty)};
        cr_assert_eq(ito_grads(ty, (ito_tensor *[]){ta, tb}, 2, grads, options), ITO_OK);
        assert_elements(grads[0], da, n, 0, name);
        assert_elements(grads[1], db, n, 0, name);
    }
    ito_scope_end();
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

static double add(double a, double b)
{
    return a + b;
}
static double sub(double a, double b)
{
    return a - b;
}
static double mul(double a, double b)
{
    return a * b;
}
static double divide(double a, double b)
{
    return a / b;
}
static double maximum(double a, double b)
{
    return a > b ? a : b;
}
static double minimum(double a, double b)
{
    return a < b ? a : b;
}

static void integers(const char *name, binary_fn *f, const double *i32, const double *u8,
                     const double *truth)
{
    ito_scope_begin();
    ito_tensor *a = ito_from_data((int32_t[]){INT32_MAX, 7, -3}, ITO_SHAPE(3), ITO_I32);
    ito_tensor *b = ito_from_data((int32_t[]){2}, ITO_SHAPE(1), ITO_I32);
    assert_elements(f(a, b), i32, 3, 0, name);
    assert_elements(f(ito_cast(a, ITO_I64), ito_cast(b, ITO_I64)),
                    (double[]){f == ito_add   ? 2147483649.0
                               : f == ito_sub ? 2147483645.0
                                              : 4294967294.0,
                               i32[1], i32[2]},
                    3, 0, name);
    a = ito_from_data((uint8_t[]){1, 200}, ITO_SHAPE(2), ITO_U8);
    b = ito_from_data((uint8_t[]){2, 100}, ITO_SHAPE(2), ITO_U8);
    assert_elements(f(a, b), u8, 2, 0, name);
    a = ito_from_data((uint8_t[]){0, 0, 1, 1}, ITO_SHAPE(4), ITO_BOOL);
    b = ito_from_data((uint8_t[]){0, 1, 0, 1}, ITO_SHAPE(4), ITO_BOOL);
    if (truth != NULL)
        assert_elements(f(a, b), truth, 4, 0, name);
    else
        cr_assert_null(f(a, b));
    ito_scope_end();
}

void case_add(void)
{
    check("add", "add", ito_add, add, -2, 2, 0);
    integers("add", ito_add, (double[]){INT32_MIN + 1.0, 9, -1}, (double[]){3, 44},
             (double[]){0, 1, 1, 1});
}

void case_sub(void)
{
    check("sub", "sub", ito_sub, sub, -2, 2, 0);
    integers("sub", ito_sub, (double[]){INT32_MAX - 2.0, 5, -5}, (double[]){255, 100}, NULL);
    assert_error(ITO_ERR_DTYPE, "sub: not defined for bool (see ito_cast and ito_ne)");
}

void case_mul(void)
{
    check("mul", "mul", ito_mul, mul, -2, 2, 1);
    integers("mul", ito_mul, (double[]){-2, 14, -6}, (double[]){2, 32}, (double[]){0, 0, 0, 1});
}

void case_div(void)
{
    check("div", "div", ito_div, divide, 0.5, 2, 3);
    exactly("div", ito_div, 3, (double[]){1, 0, -1}, (double[]){0, 0, HUGE_VAL},
            (double[]){HUGE_VAL, nan(""), -0.0}, NULL, NULL);
}

void case_maximum(void)
{
    check("maximum", "maximum", ito_maximum, maximum, -2, 2, 0);
    exactly("maximum", ito_maximum, 4, (double[]){1, 2, 3, nan("")}, (double[]){2, 2, nan(""), 3},
            (double[]){2, 2, nan(""), nan("")}, (double[]){0, 0.5, 1, 1}, (double[]){1, 0.5, 1, 1});
}

void case_minimum(void)
{
    check("minimum", "minimum", ito_minimum, minimum, -2, 2, 0);
    exactly("minimum", ito_minimum, 4, (double[]){1, 2, 3, nan("")}, (double[]){2, 2, nan(""), 3},
            (double[]){1, 2, nan(""), nan("")}, (double[]){1, 0.5, 1, 1}, (double[]){0, 0.5, 1, 1});
}

void case_pow(void)
{
    check("pow", "pow", ito_pow, pow, 0.5, 2, 4);
    exactly("pow", ito_pow, 6, (double[]){0, 0, 0, -2, 3, 0}, (double[]){0, 2, 1, 3, 0, 0.5},
            (double[]){1, 0, 0, -8, 1, 0}, NULL, NULL);
    ito_scope_begin();
    ito_tensor *a =
        ito_requires_grad(ito_from_data((double[]){0, 0, 0, -2}, ITO_SHAPE(4), ITO_F64), true);
    ito_tensor *b =
        ito_requires_grad(ito_from_data((double[]){0, 2, 1, 3}, ITO_SHAPE(4), ITO_F64), true);
    ito_tensor *y = ito_pow(a, b), *grad_a, *grad_b;
    grad_a = ito_grad(y, a, .cotangent = ito_ones_like(y), .create_graph = true);
    grad_b = ito_grad(y, b, .cotangent = ito_ones_like(y), .create_graph = true);
    assert_elements(grad_a, (double[]){0, 0, 1, 12}, 4, 1e-14, "base");
    assert_elements(grad_b, (double[]){0, 0, 0, nan("")}, 4, 0, "exponent");
    ito_tensor *second = ito_grad(grad_a, a, .cotangent = ito_ones_like(y));
    assert_elements(second, (double[]){0, 2, 0, -12}, 4, 1e-14, "second derivative");
    ito_scope_end();
}

static ito_tensor *axpby(ito_tensor *a, ito_tensor *b)
{
    return ito_axpby(0.5, a, -3, b);
}
static double axpby_oracle(double a, double b)
{
    return 0.5 * a - 3 * b;
}
static ito_tensor *lerp(ito_tensor *a, ito_tensor *b)
{
    return ito_lerp(a, b, 0.25);
}
static double lerp_oracle(double a, double b)
{
    return a + 0.25 * (b - a);
}

void case_axpby(void)
{
    check("axpby", "axpby", axpby, axpby_oracle, -2, 2, 1);
    check("lerp", "axpby", lerp, lerp_oracle, -2, 2, 1);
}

/* ---- comparisons ----------------------------------------------------------------------------- */

/* Whole numbers, so that equal ones occur; NaN and infinity besides. */
static ito_tensor *whole_numbers(ito_shape shape, ito_dtype dtype, uint64_t seed)
{
    return ito_cast(ito_floor(random_tensor(shape, 0, 4, seed)), dtype);
}

static void compare(const char *name, binary_fn *f, oracle_fn *oracle)
{
    static const ito_dtype dtypes[] = {ITO_F32, ITO_F64, ITO_I32, ITO_I64, ITO_U8, ITO_BOOL};
    ito_scope_begin();
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++)
        for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
            ito_tensor *a = whole_numbers(pairs[k].a, dtypes[d], 1);
            ito_tensor *b = whole_numbers(pairs[k].b, dtypes[d], 2), *y = f(a, b);
            meets_oracle(name, y, a, b, oracle, pairs[k].y, 0);
            cr_assert_eq(y->dtype, ITO_BOOL);
        }
    ito_tensor *a =
        ito_from_data((double[]){nan(""), nan(""), HUGE_VAL, -0.0}, ITO_SHAPE(4), ITO_F64);
    ito_tensor *b = ito_from_data((double[]){nan(""), 1, HUGE_VAL, 0}, ITO_SHAPE(4), ITO_F64);
    meets_oracle(name, f(a, b), a, b, oracle, ITO_SHAPE(4), 0);
    error_checks(name, f);
    cr_assert_null(f(a, NULL));
    char missing[64];
    snprintf(missing, sizeof missing, "%s: input 1 is NULL", name);
    cr_assert_str_eq(ito_error_message(), missing);
    ito_error_clear();
    ito_requires_grad(a, true);
    cr_assert_not(ito_has_grad_path(f(a, b)), "a bool has no gradient");
    ito_scope_end();
}

static double eq(double a, double b)
{
    return a == b;
}
static double ne(double a, double b)
{
    return a != b;
}
static double lt(double a, double b)
{
    return a < b;
}
static double le(double a, double b)
{
    return a <= b;
}
static double gt(double a, double b)
{
    return a > b;
}
static double ge(double a, double b)
{
    return a >= b;
}

void case_eq(void)
{
    compare("eq", ito_eq, eq);
}
void case_ne(void)
{
    compare("ne", ito_ne, ne);
}
void case_lt(void)
{
    compare("lt", ito_lt, lt);
}
void case_le(void)
{
    compare("le", ito_le, le);
}
void case_gt(void)
{
    compare("gt", ito_gt, gt);
}
void case_ge(void)
{
    compare("ge", ito_ge, ge);
}

/* ---- layouts --------------------------------------------------------------------------------- */

Test(ops_binary, the_first_dense_operand_of_full_shape_gives_the_memory_order)
{
    ito_scope_begin();
    ito_tensor *last =
        ito_permute_to(ito_ones(ITO_SHAPE(2, 4, 5, 3), ITO_F32), ITO_DIMS(0, 3, 1, 2));
    ito_tensor *row_major = ito_ones(ITO_SHAPE(2, 3, 4, 5), ITO_F32);
    ito_tensor *bias = ito_ones(ITO_SHAPE(2, 3, 1, 1), ITO_F32);
    cr_assert(ito_is_channels_last(ito_add(last, row_major)));
    cr_assert(ito_is_contiguous(ito_add(row_major, last)));
    cr_assert(ito_is_channels_last(ito_add(bias, last)));
    ito_tensor *part = ito_narrow(last, 1, 1, 2);
    cr_assert(ito_is_channels_last(ito_mul(part, part)), "a part of the channels");
    ito_scope_end();
}

/* A row longer than a block, and many short rows, are cut among threads without gaps. */
Test(ops_binary, large_arrays_are_covered_once)
{
    static const shapes large[] = {
        {{1, {100003}}, {1, {100003}}, {1, {100003}}},
        {{2, {30011, 5}}, {1, {5}}, {2, {30011, 5}}},
        {{2, {3, 50001}}, {2, {3, 1}}, {2, {3, 50001}}},
    };
    int before = ito_threads();
    for (int threads = 1; threads <= 3; threads++) {
        ito_set_threads(threads);
        for (size_t k = 0; k < sizeof large / sizeof *large; k++) {
            ito_scope_begin();
            ito_tensor *a = random_tensor(large[k].a, -1, 1, 1);
            ito_tensor *b = random_tensor(large[k].b, -1, 1, 2);
            meets_oracle("add", ito_add(a, b), a, b, add, large[k].y, 0);
            ito_scope_end();
        }
    }
    ito_set_threads(before);
}

/* ---- further functions: their rows have gradients ----------------------------------------------
 */

static const double inf = HUGE_VAL, nan_ = (double)NAN;

Test(ops_binary, angles_and_lengths_at_the_origin_and_far_away)
{
    exactly("atan2", ito_atan2, 3, (double[]){0, 0, 1}, (double[]){0, -1, 0},
            (double[]){0, M_PI, M_PI_2}, (double[]){0, -1, 0}, (double[]){0, 0, -1});
    exactly("hypot", ito_hypot, 4, (double[]){3, inf, 0x3p600, 0}, (double[]){4, nan_, 0x4p600, 0},
            (double[]){5, inf, 0x5p600, 0}, NULL, NULL);
}

Test(ops_binary, sums_of_exponentials_do_not_overflow)
{
    exactly("logaddexp", ito_logaddexp, 5, (double[]){inf, -inf, 1000, -inf, nan_},
            (double[]){inf, -inf, 1, 2, 0}, (double[]){inf, -inf, 1000, 2, nan_}, NULL, NULL);
    exactly("logaddexp", ito_logaddexp, 2, (double[]){1000, 0}, (double[]){-1000, 0},
            (double[]){1000, M_LN2}, (double[]){1, 0.5}, (double[]){0, 0.5});
}

Test(ops_binary, xlogy_is_0_at_0)
{
    exactly("xlogy", ito_xlogy, 5, (double[]){0, 0, 0, 0, 2}, (double[]){0, -1, inf, nan_, 0},
            (double[]){0, 0, 0, nan_, -inf}, NULL, NULL);
    exactly("xlogy", ito_xlogy, 3, (double[]){0, 0, 2}, (double[]){0, 1, 1}, (double[]){0, 0, 0},
            (double[]){0, 0, 0}, (double[]){0, 0, 2});
}

Test(ops_binary, rests_have_the_sign_of_one_of_two)
{
    double a[] = {5, -5, 5, -1, inf, 5, 6, -3}, b[] = {3, 3, 0, inf, 2, -3, -3, 3};
    exactly("fmod", ito_fmod, 8, a, b, (double[]){2, -2, nan_, -1, nan_, 2, 0, 0}, NULL, NULL);
    exactly("remainder", ito_remainder, 8, a, b, (double[]){2, 1, nan_, inf, nan_, -1, 0, 0}, NULL,
            NULL);
    exactly("floor_divide", ito_floor_divide, 8, a, b, (double[]){1, -2, inf, -1, nan_, -2, -2, -1},
            NULL, NULL);
    exactly("floor_divide", ito_floor_divide, 2, (double[]){1, -0.0}, (double[]){0.1, 3},
            (double[]){9, 0}, NULL, NULL); /* the quotient of 1 and 0.1 is 10 after rounding */
    exactly("copysign", ito_copysign, 4, (double[]){0, 1, -2, 3}, (double[]){-1, -0.0, 5, 5},
            (double[]){0, -1, 2, 3}, (double[]){0, -1, -1, 1}, (double[]){0, 0, 0, 0});
}

Test(ops_binary, integers_divide_without_overflow)
{
    ito_scope_begin();
    ito_tensor *least = ito_from_data((int32_t[]){INT32_MIN}, ITO_SHAPE(1), ITO_I32);
    ito_tensor *minus = ito_scalar(-1, ITO_I32);
    assert_elements(ito_floor_divide(least, minus), (double[]){INT32_MIN}, 1, 0, "wraps");
    assert_elements(ito_remainder(least, minus), (double[]){0}, 1, 0, "remainder");
    assert_elements(ito_fmod(least, minus), (double[]){0}, 1, 0, "fmod");
    ito_tensor *wide = ito_from_data((int64_t[]){INT64_MIN}, ITO_SHAPE(1), ITO_I64);
    ito_tensor *quotient = ito_floor_divide(wide, ito_scalar(-1, ITO_I64));
    cr_assert_eq(*(const int64_t *)ito_const_data(quotient), INT64_MIN);
    ito_tensor *bytes = ito_from_data((uint8_t[]){200, 7}, ITO_SHAPE(2), ITO_U8);
    ito_tensor *divisor = ito_scalar(255, ITO_U8);
    assert_elements(ito_floor_divide(bytes, divisor), (double[]){0, 0}, 2, 0, "u8");
    assert_elements(ito_bitwise_not(bytes), (double[]){55, 248}, 2, 0, "not of u8");
    ito_scope_end();
}
