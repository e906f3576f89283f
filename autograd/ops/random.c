/* Draws. Element number i, row-major, takes numbers of its own: those of ito_rand and ito_randn, or
 * the blocks from offset + i BLOCKS on where it may need several. They are drawn in double, and
 * what they are multiplied with is an operation: so gradients follow, but for gamma's, which has a
 * rule. */
#include "autograd/ops.h"
#include "autograd/ops/composite.h"
#include "autograd/ops/gamma.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* ---- checks ------------------------------------------------------------------------------------
 */

static bool have_generator(const char *op, const ito_generator *g)
{
    return g != NULL || error_false(ITO_ERR_ARGUMENT, "%s: no generator", op);
}

static bool is_real(const char *op, const char *name, const ito_tensor *x)
{
    if (x == NULL)
        return error_missing(op, name), false;
    if (x->dtype != ITO_F32 && x->dtype != ITO_F64 && x->dtype != ITO_BF16)
        return error_false(ITO_ERR_DTYPE, "%s: takes f32, f64 or bf16, not %s (see ito_cast)", op,
                           ito_dtype_name(x->dtype));
    return true;
}

/* x's elements as doubles, row-major: a tensor of the current scope. */
static ito_tensor *values_of(ito_tensor *x)
{
    return tensor_contiguous(ito_cast(ito_detach(x), ITO_F64));
}

/* Whether all of x is in [low, high], or in (low, high] if `above`; records the error. */
static bool in_range(const char *op, const char *name, ito_tensor *x, double low, double high,
                     bool above)
{
    ito_scope_begin();
    ito_tensor *list = values_of(x);
    bool fine = list != NULL;
    const double *v = fine ? tensor_data(list) : NULL;
    for (int64_t i = 0, n = ito_numel(x); fine && i < n; i++)
        if (!(v[i] <= high && (above ? v[i] > low : v[i] >= low)))
            fine = error_false(ITO_ERR_RANGE, "%s: %s %g is not in %c%g, %g]", op, name, v[i],
                               above ? '(' : '[', low, high);
    ito_scope_end();
    return fine;
}

/* Two parameters: real, of one dtype, that broadcast; false with an error. */
static bool check_pair(const char *op, const char *a_name, const ito_tensor *a, const char *b_name,
                       const ito_tensor *b, const ito_generator *g, ito_shape *shape)
{
    if (!is_real(op, a_name, a) || !is_real(op, b_name, b) || !have_generator(op, g))
        return false;
    if (a->dtype != b->dtype)
        return error_false(ITO_ERR_DTYPE, "%s: %s %s and %s %s do not mix (see ito_cast)", op,
                           ito_dtype_name(a->dtype), tensor_shape_str(a), ito_dtype_name(b->dtype),
                           tensor_shape_str(b));
    if (!shape_broadcast(ito_shape_of(a), ito_shape_of(b), shape))
        return error_false(ITO_ERR_SHAPE, "%s: shapes %s and %s do not broadcast", op,
                           tensor_shape_str(a), tensor_shape_str(b));
    return true;
}

/* ---- standard numbers, without gradients -------------------------------------------------------
 */

typedef double number_fn(double u);

/* f of a uniform number in (0, 1) for each element. */
static ito_tensor *numbers(ito_generator *g, ito_shape shape, ito_dtype dtype, number_fn *f)
{
    ito_tensor *u = ito_rand(g, shape, ITO_F64);
    double *v = u == NULL ? NULL : tensor_data(u);
    int64_t n = ito_numel(u);
    if (v != NULL)
        PARALLEL_FOR(i, n, 20 * n, v[i] = f(v[i] + 0x1p-54)); /* in the middle of steps of 2^-53 */
    return ito_cast(u, dtype);
}

/* u may round to 1, where 1 - u is taken to be half a step. */
static double exponential_number(double u)
{
    return -log(u < 1 ? 1 - u : 0x1p-54);
}

static double laplace_number(double u)
{
    return u < 0.5 ? log(2 * u) : -log(u < 1 ? 2 * (1 - u) : 0x1p-53);
}

static double gumbel_number(double u)
{
    return -log(exponential_number(u));
}

/* ---- with a place and a scale ------------------------------------------------------------------
 */

ito_tensor *ito_normal(ito_tensor *mean, ito_tensor *std, ito_generator *g)
{
    ito_shape shape;
    if (!check_pair("normal", "mean", mean, "std", std, g, &shape) ||
        !in_range("normal", "std", std, 0, HUGE_VAL, false))
        return NULL;
    return COMPOSITE(
        ito_add(mean, ito_mul(std, ito_cast(ito_randn(g, shape, ITO_F64), mean->dtype))));
}

static ito_tensor *placed(const char *op, ito_tensor *loc, ito_tensor *scale, ito_generator *g,
                          number_fn *f)
{
    ito_shape shape;
    if (!check_pair(op, "loc", loc, "scale", scale, g, &shape) ||
        !in_range(op, "scale", scale, 0, HUGE_VAL, true))
        return NULL;
    return COMPOSITE(ito_add(loc, ito_mul(scale, numbers(g, shape, loc->dtype, f))));
}

ito_tensor *ito_laplace(ito_tensor *loc, ito_tensor *scale, ito_generator *g)
{
    return placed("laplace", loc, scale, g, laplace_number);
}

ito_tensor *ito_gumbel(ito_tensor *loc, ito_tensor *scale, ito_generator *g)
{
    return placed("gumbel", loc, scale, g, gumbel_number);
}

ito_tensor *ito_exponential(ito_tensor *rate, ito_generator *g)
{
    if (!is_real("exponential", "rate", rate) || !have_generator("exponential", g) ||
        !in_range("exponential", "rate", rate, 0, HUGE_VAL, true))
        return NULL;
    return COMPOSITE(
        ito_div(numbers(g, ito_shape_of(rate), rate->dtype, exponential_number), rate));
}

/* The soft draw, or the hard one with its gradient: hard - soft + soft, the first two constant. */
static ito_tensor *gumbel_softmax(ito_tensor *logits, ito_generator *g, double tau, bool hard,
                                  int axis)
{
    ito_tensor *noise = numbers(g, ito_shape_of(logits), logits->dtype, gumbel_number);
    ito_tensor *soft = ito_softmax(ito_mul_scalar(ito_add(logits, noise), 1 / tau), axis);
    if (!hard || soft == NULL)
        return soft;
    ito_tensor *index = ito_argmax(soft, .dim = axis);
    ito_tensor *one = ito_one_hot(index, soft->shape[axis], soft->dtype);
    one = ito_movedim(one, ITO_DIMS(-1), ITO_DIMS(axis));
    return ito_add(ito_sub(soft, ito_detach(soft)), one);
}

ito_tensor *ito_gumbel_softmax_with(ito_tensor *logits, ito_generator *g,
                                    ito_gumbel_softmax_options o)
{
    const char *op = "gumbel_softmax";
    if (!is_real(op, "logits", logits) || !have_generator(op, g))
        return NULL;
    if (!(o.tau > 0))
        return error_null(ITO_ERR_RANGE, "%s: tau %g is not positive", op, o.tau);
    int axis = axis_normalize(op, o.dim, logits->ndim);
    if (axis < 0)
        return NULL;
    return COMPOSITE(gumbel_softmax(logits, g, o.tau, o.hard, axis));
}

/* ---- gamma: x = P^-1(a, u) ---------------------------------------------------------------------
 */

/* The least that a sample is, in this dtype. */
static double least_of(ito_dtype dtype)
{
    return dtype == ITO_F64 ? DBL_MIN : (double)FLT_MIN;
}

static ito_tensor *from_double(ito_tensor *v, ito_dtype dtype)
{
    if (v == NULL || dtype == ITO_F64)
        return v;
    ito_tensor *y = tensor_empty(ito_shape_of(v), dtype);
    if (y != NULL)
        tensor_copy(y, v);
    return y;
}

/* t, or its elements in double. */
static ito_tensor *in_double(const ito_tensor *t)
{
    if (t->dtype == ITO_F64)
        return tensor_contiguous(t);
    ito_tensor *y = tensor_empty(ito_shape_of(t), ITO_F64);
    if (y != NULL)
        tensor_copy(y, t);
    return y;
}

static double gamma_number(double a, double u, double least)
{
    double x = gamma_p_inverse(a, u < 1 ? u : 1 - 0x1p-53);
    return x > least ? x : least;
}

enum { GAMMA_COST = 1500 }; /* nanoseconds */

ito_tensor *op_standard_gamma_forward(op_call *c)
{
    ito_generator g = *(const ito_generator *)c->params;
    ito_tensor *a = in_double(c->in[0]), *u = ito_rand(&g, c->shape[0], ITO_F64);
    if (a == NULL || u == NULL)
        return NULL;
    const double *shape = tensor_data(a);
    double *v = tensor_data(u), least = least_of(c->dtype[0]);
    int64_t n = ito_numel(u);
    PARALLEL_FOR(i, n, GAMMA_COST * n, v[i] = gamma_number(shape[i], v[i] + 0x1p-54, least));
    return from_double(u, c->dtype[0]);
}

bool op_standard_gamma_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = ito_mul(dy, OP2(standard_gamma_slope, c->in[0], c->out));
    return dx[0] != NULL;
}

/* dx/da of the sample x, 0 where it is the least there is. */
ito_tensor *op_standard_gamma_slope_forward(op_call *c)
{
    ito_tensor *a = in_double(c->in[0]), *x = in_double(c->in[1]);
    ito_tensor *y = tensor_empty(c->shape[0], ITO_F64);
    if (a == NULL || x == NULL || y == NULL)
        return NULL;
    const double *shape = tensor_data(a), *at = tensor_data(x);
    double *v = tensor_data(y), least = least_of(c->dtype[0]);
    int64_t n = ito_numel(y);
    PARALLEL_FOR(i, n, GAMMA_COST * n,
                 v[i] = at[i] > least ? gamma_p_inverse_slope(shape[i], at[i]) : 0);
    return from_double(y, c->dtype[0]);
}

bool op_standard_gamma_slope_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    (void)c, (void)dy, (void)dx;
    return error_false(ITO_ERR_GRAD, "standard_gamma: has no second derivative");
}

static bool check_concentration(const char *op, const char *name, ito_tensor *a, ito_generator *g)
{
    return is_real(op, name, a) && have_generator(op, g) && in_range(op, name, a, 0, 1e9, true);
}

static ito_tensor *standard_gamma(ito_tensor *a, ito_generator *g)
{
    if (a == NULL)
        return NULL;
    ito_tensor *x = op_apply(OP_standard_gamma, &a, 1, g, sizeof *g);
    if (x != NULL)
        g->offset += (uint64_t)(ito_numel(x) + 1) / 2;
    return x;
}

ito_tensor *ito_standard_gamma(ito_tensor *concentration, ito_generator *g)
{
    if (!check_concentration("standard_gamma", "concentration", concentration, g))
        return NULL;
    return standard_gamma(concentration, g);
}

static ito_tensor *beta(ito_tensor *a, ito_tensor *b, ito_shape shape, ito_generator *g)
{
    ito_tensor *x = standard_gamma(ito_expand_to(a, shape), g);
    ito_tensor *y = standard_gamma(ito_expand_to(b, shape), g);
    return ito_div(x, ito_add(x, y));
}

ito_tensor *ito_beta(ito_tensor *a, ito_tensor *b, ito_generator *g)
{
    ito_shape shape;
    if (!check_pair("beta", "a", a, "b", b, g, &shape) || !check_concentration("beta", "a", a, g) ||
        !check_concentration("beta", "b", b, g))
        return NULL;
    return COMPOSITE(beta(a, b, shape, g));
}

static ito_tensor *dirichlet(ito_tensor *concentration, ito_generator *g)
{
    ito_tensor *x = standard_gamma(concentration, g);
    return ito_div(x, ito_sum(x, .dims = ITO_DIMS(-1), .keepdim = true));
}

ito_tensor *ito_dirichlet(ito_tensor *concentration, ito_generator *g)
{
    if (!check_concentration("dirichlet", "concentration", concentration, g))
        return NULL;
    if (concentration->ndim < 1)
        return error_null(ITO_ERR_SHAPE, "dirichlet: [] is not [.., K]");
    return COMPOSITE(dirichlet(concentration, g));
}

/* ---- discrete ----------------------------------------------------------------------------------
 */

ito_tensor *ito_bernoulli_of(ito_tensor *p, ito_generator *g)
{
    const char *op = "bernoulli_of";
    if (!is_real(op, "p", p) || !have_generator(op, g) || !in_range(op, "p", p, 0, 1, false))
        return NULL;
    return COMPOSITE(ito_cast(
        ito_lt(ito_rand(g, ito_shape_of(p), ITO_F64), ito_cast(ito_detach(p), ITO_F64)), p->dtype));
}

ito_tensor *ito_rademacher(ito_shape shape, ito_dtype dtype, ito_generator *g)
{
    if (!have_generator("rademacher", g))
        return NULL;
    if (dtype != ITO_F32 && dtype != ITO_F64 && dtype != ITO_I32 && dtype != ITO_I64)
        return error_null(ITO_ERR_DTYPE, "rademacher: draws f32, f64, i32 or i64, not %s",
                          ito_dtype_name(dtype));
    ito_scope_begin();
    ito_tensor *u = ito_rand(g, shape, ITO_F64);
    double *v = u == NULL ? NULL : tensor_data(u);
    for (int64_t i = 0, n = ito_numel(u); v != NULL && i < n; i++)
        v[i] = v[i] < 0.5 ? -1 : 1;
    u = ito_keep(ito_cast(u, dtype));
    ito_scope_end();
    return u;
}

/* Two uniform numbers of 53 bits from one block. */
static void uniform_pair(const ito_generator *g, uint64_t block, double out[2])
{
    uint32_t u[4];
    ito_philox(g->seed, g->stream, g->offset + block, u);
    for (int i = 0; i < 2; i++)
        out[i] = (double)(((uint64_t)u[2 * i + 1] << 32 | u[2 * i]) >> 11) * 0x1p-53;
}

enum { BLOCKS = 64 }; /* for an element: each trial succeeds with probability 0.7 at least */

/* Below 10 by adding up probabilities; else Hoermann 1993, "The transformed rejection method for
 * generating Poisson random variables", algorithm PTRS. */
static double poisson_number(double rate, const ito_generator *g, uint64_t block)
{
    double u[2];
    if (rate < 10) {
        uniform_pair(g, block, u);
        double term = exp(-rate), sum = term;
        int k = 0;
        while (u[0] > sum && k < 200) {
            term *= rate / ++k;
            sum += term;
        }
        return k;
    }
    double log_rate = log(rate), b = 0.931 + 2.53 * sqrt(rate), a = -0.059 + 0.02483 * b;
    double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), v_r = 0.9277 - 3.6224 / (b - 2);
    for (int trial = 0; trial < BLOCKS; trial++) {
        uniform_pair(g, block + (uint64_t)trial, u);
        double x = u[0] - 0.5, v = u[1], us = 0.5 - fabs(x);
        double k = floor((2 * a / us + b) * x + rate + 0.43);
        if (us >= 0.07 && v <= v_r)
            return k;
        if (k < 0 || (us < 0.013 && v > us))
            continue;
        if (log(v) + log(inverse_alpha) - log(a / (us * us) + b) <=
            -rate + k * log_rate - lgamma(k + 1))
            return k;
    }
    return floor(rate);
}

static ito_tensor *poisson(ito_tensor *rate, ito_generator *g)
{
    ito_tensor *list = values_of(rate), *y = tensor_empty(ito_shape_of(rate), ITO_F64);
    if (list == NULL || y == NULL)
        return NULL;
    const double *r = tensor_data(list);
    double *v = tensor_data(y);
    int64_t n = ito_numel(y);
    PARALLEL_FOR(i, n, 200 * n, v[i] = poisson_number(r[i], g, (uint64_t)i * BLOCKS));
    g->offset += (uint64_t)n * BLOCKS;
    return ito_cast(y, rate->dtype);
}

ito_tensor *ito_poisson(ito_tensor *rate, ito_generator *g)
{
    if (!is_real("poisson", "rate", rate) || !have_generator("poisson", g) ||
        !in_range("poisson", "rate", rate, 0, 0x1p52, false))
        return NULL;
    return COMPOSITE(poisson(rate, g));
}

/* The largest of logits and Gumbel's numbers is a class with probability softmax(logits). */
static ito_tensor *categorical(ito_tensor *logits, ito_generator *g)
{
    ito_tensor *noise = numbers(g, ito_shape_of(logits), ITO_F64, gumbel_number);
    return ito_argmax(ito_add(ito_cast(ito_detach(logits), ITO_F64), noise), .dim = -1);
}

ito_tensor *ito_categorical(ito_tensor *logits, ito_generator *g)
{
    if (!is_real("categorical", "logits", logits) || !have_generator("categorical", g))
        return NULL;
    if (logits->ndim < 1 || logits->shape[logits->ndim - 1] < 1)
        return error_null(ITO_ERR_SHAPE, "categorical: %s is not [.., K] with a class or more",
                          tensor_shape_str(logits));
    return COMPOSITE(categorical(logits, g));
}

/* ---- multinomial -------------------------------------------------------------------------------
 */

/* Whether a row of K weights can be drawn from; records the error. */
static bool drawable(const double *w, int64_t k, int64_t row, int64_t n, bool replacement)
{
    int64_t positive = 0;
    double sum = 0;
    for (int64_t i = 0; i < k; i++) {
        if (!(w[i] >= 0 && isfinite(w[i])))
            return error_false(ITO_ERR_RANGE, "multinomial: weight %g is not 0 or more, and finite",
                               w[i]);
        positive += w[i] > 0;
        sum += w[i];
    }
    if (!isfinite(sum))
        return error_false(ITO_ERR_RANGE, "multinomial: the weights of row %" PRId64 " add to %g",
                           row, sum);
    if (positive < (replacement ? 1 : n))
        return error_false(ITO_ERR_RANGE,
                           "multinomial: row %" PRId64 " has %" PRId64
                           " weights above 0 for %" PRId64 " draws",
                           row, positive, n);
    return true;
}

/* The first index whose sum of weights so far is above u times all of it. */
static void with_replacement(double *w, int64_t k, const double *u, int64_t *out, int64_t n)
{
    for (int64_t i = 1; i < k; i++)
        w[i] += w[i - 1];
    for (int64_t j = 0; j < n; j++) {
        double x = u[j] * w[k - 1];
        int64_t low = 0, high = k - 1;
        while (low < high) {
            int64_t middle = low + (high - low) / 2;
            if (w[middle] > x)
                high = middle;
            else
                low = middle + 1;
        }
        while (low > 0 && w[low] == w[low - 1]) /* rounded up to the end: a weight of 0 */
            low--;
        out[j] = low;
    }
}

typedef struct key {
    double time;
    int64_t index;
} key;

static int by_time(const void *a, const void *b)
{
    const key *x = a, *y = b;
    return x->time != y->time ? (x->time > y->time) - (x->time < y->time)
                              : (x->index > y->index) - (x->index < y->index);
}

/* Exponential waiting times, of rates w: the first n to come (Efraimidis, Spirakis 2006). */
static void without_replacement(const double *w, int64_t k, const double *u, key *keys,
                                int64_t *out, int64_t n)
{
    for (int64_t i = 0; i < k; i++)
        keys[i] = (key){w[i] > 0 ? exponential_number(u[i] + 0x1p-54) / w[i] : HUGE_VAL, i};
    qsort(keys, (size_t)k, sizeof *keys, by_time);
    for (int64_t j = 0; j < n; j++)
        out[j] = keys[j].index;
}

static ito_tensor *multinomial(ito_tensor *weights, int64_t n, ito_generator *g, bool replacement)
{
    int64_t k = weights->shape[weights->ndim - 1];
    int64_t count = weights->ndim == 2 ? weights->shape[0] : 1;
    ito_shape shape = ito_shape_of(weights);
    shape.dim[shape.ndim - 1] = n;
    ito_tensor *list = ito_clone(values_of(weights)), *index = tensor_empty(shape, ITO_I64);
    ito_tensor *keys = tensor_empty(ITO_SHAPE(k, (int64_t)sizeof(key)), ITO_U8);
    if (list == NULL || index == NULL || keys == NULL)
        return NULL;
    double *w = tensor_data(list);
    int64_t *out = tensor_data(index);
    for (int64_t row = 0; row < count; row++)
        if (!drawable(w + row * k, k, row, n, replacement))
            return NULL;
    ito_tensor *uniform = ito_rand(g, ITO_SHAPE(count, replacement ? n : k), ITO_F64);
    if (uniform == NULL)
        return NULL;
    const double *u = tensor_data(uniform);
    for (int64_t row = 0; row < count; row++, w += k, out += n)
        if (replacement)
            with_replacement(w, k, u + row * n, out, n);
        else
            without_replacement(w, k, u + row * k, tensor_data(keys), out, n);
    return index;
}

ito_tensor *ito_multinomial_with(ito_tensor *weights, int64_t n, ito_generator *g,
                                 ito_multinomial_options options)
{
    if (!is_real("multinomial", "weights", weights) || !have_generator("multinomial", g))
        return NULL;
    if (weights->ndim < 1 || weights->ndim > 2 || weights->shape[weights->ndim - 1] < 1)
        return error_null(ITO_ERR_SHAPE,
                          "multinomial: %s is not [K] or [B, K] with a weight or more",
                          tensor_shape_str(weights));
    if (n < 1)
        return error_null(ITO_ERR_ARGUMENT, "multinomial: %" PRId64 " draws are not one or more",
                          n);
    return COMPOSITE(multinomial(weights, n, g, options.replacement));
}
