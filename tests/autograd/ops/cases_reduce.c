/* Cases of the reductions and what is composed of them. */
#include "autograd/ops.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

typedef ito_tensor *reduce_fn(ito_tensor *x, ito_reduce_options options);
/* Of n numbers. */
typedef double oracle_fn(const double *x, int64_t n);

typedef struct reduce_case {
    const char *name;
    reduce_fn *f;
    oracle_fn *oracle;
    ito_reduce_options options;
} reduce_case;

/* A sum in f32 goes over to double after 64 terms a lane, so a term passes 64 roundings at most and
 * is in double from there on. */
static const double f32_tolerance = 64 * 0x1p-24, f64_tolerance = 0x1p-46;

/* The numbers of x[index] that belong to result `at`, both row-major; axes is a bit mask. */
static double reduce_one(const reduce_case *c, const double *x, ito_shape shape, unsigned axes,
                         int64_t at, double *terms)
{
    int64_t n = 0, numel = shape_numel(shape);
    for (int64_t i = 0; i < numel; i++) {
        int64_t rest = i, where = 0, step = 1;
        for (int k = shape.ndim - 1; k >= 0; k--) {
            int64_t index = rest % shape.dim[k];
            rest /= shape.dim[k];
            if ((axes >> k & 1) == 0) {
                where += index * step;
                step *= shape.dim[k];
            }
        }
        if (where == at)
            terms[n++] = x[i];
    }
    return c->oracle(terms, n);
}

static void meets_oracle(const reduce_case *c, ito_tensor *x, double tolerance)
{
    ito_shape shape = ito_shape_of(x), want_shape = {0};
    unsigned axes = c->options.dims.ndim < 0 ? (1u << shape.ndim) - 1 : 0;
    for (int i = 0; i < c->options.dims.ndim; i++)
        axes |= 1u << ((c->options.dims.dim[i] + shape.ndim) % shape.ndim);
    int64_t results = 1;
    for (int i = 0; i < shape.ndim; i++) {
        bool gone = (axes >> i & 1) != 0;
        results *= gone ? 1 : shape.dim[i];
        if (!gone || c->options.keepdim)
            want_shape.dim[want_shape.ndim++] = gone ? 1 : shape.dim[i];
    }
    int64_t n = ito_numel(x);
    double *v = mem_alloc((size_t)n * sizeof *v), *terms = mem_alloc((size_t)n * sizeof *v);
    double *want = mem_alloc((size_t)results * sizeof *want);
    ito_to_data(x, v, ITO_F64);
    for (int64_t i = 0; i < results; i++)
        want[i] = reduce_one(c, v, shape, axes, i, terms);
    ito_tensor *y = c->f(x, c->options);
    assert_elements(y, want, results, tolerance, c->name);
    cr_assert(shape_equal(ito_shape_of(y), want_shape), "%s: %s, not %s", c->name,
              tensor_shape_str(y), shape_str(want_shape));
    cr_assert_eq(y->dtype, x->dtype);
    mem_free(v);
    mem_free(terms);
    mem_free(want);
}

/* Every set of axes of a row-major, a channels-last, a sliced and an expanded tensor. */
static void forward_checks(reduce_case c, ito_dtype dtype, double tolerance)
{
    ito_tensor *x = ito_cast(random_tensor(ITO_SHAPE(2, 3, 4, 19), -2, 2, 1), dtype);
    ito_tensor *layouts[] = {
        x,
        ito_permute_to(x, ITO_DIMS(0, 3, 1, 2)),
        ito_slice(x, 3, 1, 19, 3),
        ito_expand_to(ito_narrow(x, 2, 1, 1), ITO_DIMS(2, 3, 5, 19)),
        ito_expand_to(ito_narrow(x, 3, 1, 1), ITO_DIMS(2, 3, 4, 9)),
        ito_narrow(x, 1, 1, 1),
    };
    for (size_t k = 0; k < sizeof layouts / sizeof *layouts; k++)
        for (unsigned axes = 0; axes < 16; axes++) {
            c.options.dims = ITO_DIMS();
            for (int i = 3; i >= 0; i--)
                if ((axes >> i & 1) != 0)
                    c.options.dims.dim[c.options.dims.ndim++] = i % 2 == 0 ? i : i - 4;
            c.options.keepdim = (axes + k) % 2 == 0;
            meets_oracle(&c, layouts[k], tolerance);
        }
    c.options = ITO_OPTIONS(ito_reduce_options, .correction = c.options.correction);
    meets_oracle(&c, ito_cast(random_tensor(ITO_SHAPE(9001), -2, 2, 2), dtype), tolerance);
    meets_oracle(&c, ito_scalar(3, dtype), tolerance);
    c.options.dims = ITO_DIMS(0);
    meets_oracle(&c, ito_cast(random_tensor(ITO_SHAPE(5000, 3), -2, 2, 3), dtype), tolerance);
    meets_oracle(&c, ito_cast(random_tensor(ITO_SHAPE(3, 300), -2, 2, 3), dtype), tolerance);
    meets_oracle(&c, ito_zeros(ITO_SHAPE(3, 0, 2), dtype), tolerance);
}

static ito_tensor *apply(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    const reduce_case *c = context;
    return c->f(in[0], c->options);
}

static void error_checks(const reduce_case *c)
{
    char sentence[200];
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 3), ITO_F32);
    cr_assert_null(c->f(x, ITO_OPTIONS(ito_reduce_options, .dims = ITO_DIMS(2))));
    snprintf(sentence, sizeof sentence, "%s: axis 2 of a tensor of 2 axes", c->name);
    assert_error(ITO_ERR_RANGE, sentence);
    cr_assert_null(c->f(x, ITO_OPTIONS(ito_reduce_options, .dims = ITO_DIMS(1, -1))));
    snprintf(sentence, sizeof sentence, "%s: axis 1 appears twice in [1, -1]", c->name);
    assert_error(ITO_ERR_ARGUMENT, sentence);
    cr_assert_null(c->f(ito_cast(x, ITO_F16), ITO_OPTIONS(ito_reduce_options)));
    snprintf(sentence, sizeof sentence, "%s: takes f32, f64 or bf16, not f16 (see ito_cast)",
             c->name);
    assert_error(ITO_ERR_DTYPE, sentence);
}

/* roundings and gradient_roundings: in bf16, see op_check.h. */
static void check(const char *name, reduce_fn *f, oracle_fn *oracle, double correction,
                  int roundings, int gradient_roundings)
{
    reduce_case c = {.name = name,
                     .f = f,
                     .oracle = oracle,
                     .options = {.dims = ITO_ALL_DIMS, .correction = correction}};
    ito_scope_begin();
    forward_checks(c, ITO_F64, f64_tolerance);
    forward_checks(c, ITO_F32, f32_tolerance);
    error_checks(&c);
    ito_scope_end();
    op_check o = {.what = name, .f = apply, .context = &c, .n = 1, .shape = {ITO_SHAPE(2, 3, 4)}};
    o.large[0] = ITO_SHAPE(3, 40, 1000);
    o.roundings = roundings;
    o.gradient_roundings = gradient_roundings;
    for (int keep = 0; keep < 2; keep++) {
        c.options.keepdim = keep;
        c.options.dims = ITO_DIMS();
        op_check_run(o);
        c.options.dims = ITO_DIMS(0, 2);
        op_check_run(o);
        c.options.dims = ITO_DIMS(1);
        op_check_run(o);
    }
}

/* ---- oracles --------------------------------------------------------------------------------- */

static double sum(const double *x, int64_t n)
{
    long double s = 0;
    for (int64_t i = 0; i < n; i++)
        s += (long double)x[i];
    return (double)s;
}
static double mean(const double *x, int64_t n)
{
    return sum(x, n) / (double)n;
}
static double biased_var(const double *x, int64_t n)
{
    double m = mean(x, n), s = 0;
    for (int64_t i = 0; i < n; i++)
        s += (x[i] - m) * (x[i] - m);
    return s / (double)n;
}
static double var(const double *x, int64_t n)
{
    return n < 2 ? nan("") : biased_var(x, n) * (double)n / (double)(n - 1);
}
static double max(const double *x, int64_t n)
{
    double m = x[0];
    for (int64_t i = 1; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}
static double min(const double *x, int64_t n)
{
    double m = x[0];
    for (int64_t i = 1; i < n; i++)
        m = x[i] < m ? x[i] : m;
    return m;
}
static double logsumexp(const double *x, int64_t n)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++)
        s += exp(x[i]);
    return log(s);
}

/* ---- cases ----------------------------------------------------------------------------------- */

void case_sum(void)
{
    check("sum", ito_sum_with, sum, 1, 1, 1);
    ito_scope_begin();
    cr_assert_eq(ito_item(ito_sum(ito_zeros(ITO_SHAPE(0, 3), ITO_F32))), 0);
    assert_elements(ito_sum(ito_zeros(ITO_SHAPE(0, 3), ITO_F32), .dims = ITO_DIMS(0)),
                    (double[]){0, 0, 0}, 3, 0, "an empty sum is 0");
    ito_scope_end();
}

static void extreme(const char *name, reduce_fn *f, double sign)
{
    char sentence[100];
    ito_scope_begin();
    double v[] = {1 * sign, 5 * sign, 5 * sign, nan(""), -HUGE_VAL * sign, 2 * sign};
    ito_tensor *x = ito_requires_grad(ito_from_data(v, ITO_SHAPE(2, 3), ITO_F64), true);
    ito_tensor *y = f(x, ITO_OPTIONS(ito_reduce_options, .dims = ITO_DIMS(1)));
    assert_elements(y, (double[]){v[1], nan("")}, 2, 0, "a NaN wins");
    ito_tensor *dx = ito_grad(ito_sum(ito_narrow(y, 0, 0, 1)), x);
    assert_elements(dx, (double[]){0, 0.5, 0.5, 0, 0, 0}, 6, 0, "ties share");
    for (int64_t n = 1; n < 70; n += 17) { /* whole vectors and the rest, rows and columns */
        ito_tensor *row = ito_full(ITO_SHAPE(n, 2), nan(""), ITO_F32);
        assert_elements(f(row, ITO_OPTIONS(ito_reduce_options, .dims = ITO_DIMS(0))),
                        (double[]){nan(""), nan("")}, 2, 0, "columns of NaN");
        cr_assert(isnan(ito_item(f(row, ITO_OPTIONS(ito_reduce_options)))));
    }
    cr_assert_null(f(ito_zeros(ITO_SHAPE(0, 3), ITO_F32),
                     ITO_OPTIONS(ito_reduce_options, .dims = ITO_DIMS(0))));
    snprintf(sentence, sizeof sentence, "%s: no elements along the axes of [0, 3]", name);
    assert_error(ITO_ERR_SHAPE, sentence);
    ito_tensor *none = f(ito_zeros(ITO_SHAPE(0, 3), ITO_F32),
                         ITO_OPTIONS(ito_reduce_options, .dims = ITO_DIMS(1)));
    cr_assert_eq(ito_numel(none), 0, "no result asks for no elements");
    ito_scope_end();
}

/* check() but for the empty axis, which extreme() tests: ITO_DIMS(0) of [3, 0, 2] is none. */
void case_max(void)
{
    check("max", ito_max_with, max, 1, 1, 2);
    extreme("max", ito_max_with, 1);
}

void case_min(void)
{
    check("min", ito_min_with, min, 1, 1, 2);
    extreme("min", ito_min_with, -1);
}

void case_argmax(void)
{
    ito_scope_begin();
    for (int d = 0; d < 2; d++)
        for (int axis = 0; axis < 3; axis++) {
            ito_tensor *x = ito_floor(random_tensor(ITO_SHAPE(3, 4, 5), 0, 6, 1));
            x = ito_cast(ito_permute_to(x, ITO_DIMS(2, 0, 1)), d == 0 ? ITO_F32 : ITO_F64);
            ito_tensor *y = ito_argmax(x, .dim = axis - (d == 0 ? 3 : 0));
            cr_assert_not_null(y, "%s", ito_error());
            cr_assert_eq(y->dtype, ITO_I64);
            double v[60], want[20];
            ito_to_data(x, v, ITO_F64);
            int64_t n = x->shape[axis], inner = axis == 0 ? 12 : axis == 1 ? 4 : 1;
            for (int64_t i = 0; i < 60 / n; i++) {
                const double *line = v + i / inner * inner * n + i % inner;
                int64_t best = 0;
                for (int64_t k = 1; k < n; k++)
                    best = line[k * inner] > line[best * inner] ? k : best;
                want[i] = (double)best;
            }
            assert_elements(y, want, 60 / n, 0, "argmax");
        }
    ito_tensor *x = ito_from_data((double[]){1, nan(""), 3, nan("")}, ITO_SHAPE(4), ITO_F64);
    assert_elements(ito_argmax(x, .dim = 0), (double[]){1}, 1, 0, "the first NaN");
    cr_assert_null(ito_argmax(x, 1), "positional, as before there were options");
    assert_error(ITO_ERR_RANGE, "argmax: axis 1 of a tensor of 1 axes");
    cr_assert_null(ito_argmax(ito_zeros(ITO_SHAPE(3, 0), ITO_F32), .dim = 1));
    assert_error(ITO_ERR_SHAPE, "argmax: no elements along axis 1 of [3, 0]");
    cr_assert_null(ito_argmax(NULL, .dim = 0));
    ito_scope_end();
}

/* ---- composites ------------------------------------------------------------------------------ */

Test(ops_reduce, mean)
{
    check("mean", ito_mean_with, mean, 1, 1, 1);
    ito_scope_begin();
    cr_assert(isnan(ito_item(ito_mean(ito_zeros(ITO_SHAPE(0), ITO_F32)))), "the mean of none");
    ito_scope_end();
}

Test(ops_reduce, var)
{
    /* The mean, the difference, the square (twice the difference's), the sum. */
    check("var", ito_var_with, biased_var, 0, 5, 5);
    reduce_case c = {.name = "var",
                     .f = ito_var_with,
                     .oracle = var,
                     .options = ITO_OPTIONS(ito_reduce_options)};
    ito_scope_begin();
    forward_checks(c, ITO_F64, f64_tolerance);
    ito_tensor *x = ito_add_scalar(random_tensor(ITO_SHAPE(1000), -1, 1, 1), 1e6);
    double shifted = ito_item(ito_var(x)), want = ito_item(ito_var(ito_add_scalar(x, -1e6)));
    cr_assert_float_eq(shifted, want, 1e-9, "a shift cancels");
    ito_scope_end();
}

Test(ops_reduce, logsumexp)
{
    /* The difference from the maximum, at most 4, goes into an exponent, that into a sum. */
    check("logsumexp", ito_logsumexp_with, logsumexp, 1, 10, 12);
    ito_scope_begin();
    ito_tensor *x = ito_from_data((double[]){1000, 1000, -HUGE_VAL, -HUGE_VAL, HUGE_VAL, 0},
                                  ITO_SHAPE(3, 2), ITO_F64);
    assert_elements(ito_logsumexp(x, .dims = ITO_DIMS(1)),
                    (double[]){1000 + log(2), -HUGE_VAL, HUGE_VAL}, 3, 1e-15, "large numbers");
    cr_assert_eq(ito_item(ito_logsumexp(ito_zeros(ITO_SHAPE(0), ITO_F64))), -HUGE_VAL);
    ito_scope_end();
}

/* A result depends on its own terms alone, not on how many results there are beside it. */
Test(ops_reduce, an_image_s_sum_does_not_depend_on_the_batch)
{
    static const ito_shape shapes[] = {
        {4, {4, 8, 9, 33}},  {4, {4, 33, 9, 1}}, {4, {4, 3, 2, 2}},
        {4, {4, 64, 64, 5}}, {4, {4, 1, 1, 7}},  {4, {4, 5, 1, 3}},
    };
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
        for (int last = 0; last < 2; last++)
            for (unsigned axes = 1; axes < 8; axes++) {
                ito_scope_begin();
                ito_tensor *x = ito_cast(random_tensor(shapes[k], -1, 1, 1), ITO_F32);
                if (last)
                    x = ito_permute_to(x, ITO_DIMS(0, 3, 1, 2));
                ito_reduce_options options = {.dims = ITO_DIMS()};
                for (int i = 0; i < 3; i++)
                    if ((axes >> i & 1) != 0)
                        options.dims.dim[options.dims.ndim++] = i + 1;
                ito_tensor *batch = ito_narrow(ito_sum_with(x, options), 0, 2, 1);
                ito_tensor *alone = ito_sum_with(ito_narrow(x, 0, 2, 1), options);
                assert_close(alone, batch, 0, "the third image");
                ito_scope_end();
            }
}

Test(ops_reduce, a_long_sum_in_f32_stays_accurate)
{
    ito_scope_begin();
    ito_tensor *x = ito_full(ITO_SHAPE(1 << 24), 0.1, ITO_F32);
    double want = (double)0.1f * (1 << 24);
    cr_assert_float_eq(ito_item(ito_sum(x)), want, f32_tolerance * want);
    ito_scope_end();
}

Test(ops_reduce, results_keep_the_memory_order)
{
    ito_scope_begin();
    ito_tensor *x = ito_permute_to(ito_ones(ITO_SHAPE(2, 4, 5, 3), ITO_F32), ITO_DIMS(0, 3, 1, 2));
    cr_assert(ito_is_channels_last(ito_sum(x, .dims = ITO_DIMS(2), .keepdim = true)));
    cr_assert(ito_is_contiguous(ito_sum(ito_contiguous(x), .dims = ITO_DIMS(2))));
    ito_scope_end();
}
