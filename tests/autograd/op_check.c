/* What every differentiable operation must pass; see op_check.h. */
#include "tests/autograd/op_check.h"

#include "autograd/transforms.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

ito_tensor *random_tensor(ito_shape shape, double low, double high, uint64_t seed)
{
    ito_generator g = ito_generator_make(seed, 1);
    ito_tensor *t = ito_rand(&g, shape, ITO_F64);
    cr_assert_not_null(t, "%s", ito_error());
    double *v = ito_data(t);
    for (int64_t i = 0; i < ito_numel(t); i++)
        v[i] = low + (high - low) * v[i];
    return t;
}

ito_tensor *distinct_tensor(ito_shape shape, double low, double high)
{
    ito_tensor *t = ito_empty(shape, ITO_F64);
    cr_assert_not_null(t, "%s", ito_error());
    double *v = ito_data(t);
    int64_t n = ito_numel(t);
    for (int64_t i = 0; i < n; i++) { /* 7919 i mod n, with a prime that does not divide n */
        double place = (double)(7919 * i % n) + 0.25;
        v[i] = low + (high - low) * place / (double)n;
    }
    return t;
}

static double *values_of(const ito_tensor *t)
{
    double *v = malloc((size_t)(ito_numel(t) + 1) * sizeof *v);
    cr_assert_not_null(v);
    cr_assert_eq(ito_to_data(t, v, ITO_F64), ITO_OK, "%s", ito_error());
    return v;
}

void assert_elements(const ito_tensor *t, const double *want, int64_t n, double tolerance,
                     const char *what)
{
    cr_assert_not_null(t, "%s: %s", what, ito_error());
    cr_assert_eq(ito_numel(t), n, "%s: %lld elements, not %lld", what, (long long)ito_numel(t),
                 (long long)n);
    double *got = values_of(t), scale = 1;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(want[i]) && fabs(want[i]) > scale)
            scale = fabs(want[i]);
    for (int64_t i = 0; i < n; i++) {
        bool same = isfinite(want[i]) ? fabs(got[i] - want[i]) <= tolerance * scale
                                      : got[i] == want[i] || (isnan(got[i]) && isnan(want[i]));
        cr_assert(same, "%s: element %lld is %.9g, not %.9g", what, (long long)i, got[i], want[i]);
    }
    free(got);
}

void assert_close(const ito_tensor *got, const ito_tensor *want, double tolerance, const char *what)
{
    cr_assert_not_null(got, "%s: %s", what, ito_error());
    cr_assert_not_null(want, "%s: %s", what, ito_error());
    cr_assert(shape_equal(ito_shape_of(got), ito_shape_of(want)), "%s: %s, not %s", what,
              tensor_shape_str(got), tensor_shape_str(want));
    double *w = values_of(want);
    assert_elements(got, w, ito_numel(want), tolerance, what);
    free(w);
}

void assert_error(ito_status code, const char *sentence)
{
    cr_assert_str_eq(ito_error_message(), sentence);
    cr_assert_eq(ito_error_code(), code, "code %d, not %d", (int)ito_error_code(), (int)code);
    ito_error_clear();
}

/* ---- inputs
 * ---------------------------------------------------------------------------------------- */

/* ROUNDED: row-major, and rounded to bf16 whatever the dtype is. */
typedef enum layout { ROW_MAJOR, REVERSED, ROUNDED } layout;

static ito_tensor *rounded(ito_tensor *t)
{
    return ito_cast(t, ITO_BF16);
}

/* The same values with the memory order of the axes reversed. */
static ito_tensor *reversed(ito_tensor *t)
{
    ito_shape axes = {.ndim = t->ndim};
    for (int i = 0; i < t->ndim; i++)
        axes.dim[i] = t->ndim - 1 - i;
    ito_tensor *flipped = ito_contiguous(ito_permute_to(t, axes));
    return ito_permute_to(flipped, axes);
}

/* The dtype of input i where the others are of this one. */
static ito_dtype dtype_of_input(const op_check *c, int i, ito_dtype dtype)
{
    return c->parameter[i] && dtype == ITO_BF16 ? ITO_F32 : dtype;
}

static void make_inputs(const op_check *c, const ito_shape *shape, ito_dtype dtype, layout order,
                        unsigned wanted, ito_tensor **in)
{
    ito_no_grad_begin();
    for (int i = 0; i < c->n; i++) {
        in[i] = c->given[i];
        if (in[i] != NULL)
            continue;
        op_range r = c->range[i];
        if (r.low == 0 && r.high == 0)
            r = (op_range){c->low, c->high};
        if (r.low == 0 && r.high == 0)
            r = (op_range){-2, 2};
        ito_tensor *t = c->distinct[i] ? distinct_tensor(shape[i], r.low, r.high)
                                       : random_tensor(shape[i], r.low, r.high, (uint64_t)i + 7);
        t = order == REVERSED ? reversed(t) : t;
        ito_dtype own = dtype_of_input(c, i, dtype);
        in[i] = own == ITO_F64 ? ito_clone(t) : ito_cast(order == ROUNDED ? rounded(t) : t, own);
        cr_assert_not_null(in[i], "%s: %s", c->what, ito_error());
        if ((wanted >> i & 1) != 0 && !c->no_grad[i])
            cr_assert_not_null(ito_requires_grad(in[i], true), "%s: %s", c->what, ito_error());
    }
    ito_no_grad_end();
}

static unsigned differentiable(const op_check *c)
{
    unsigned wanted = 0;
    for (int i = 0; i < c->n; i++)
        if (c->given[i] == NULL && !c->no_grad[i])
            wanted |= 1u << i;
    return wanted;
}

/* Forward and backward with a fixed cotangent; out[0] the result, out[1 + i] the gradient of input
 * i. */
static void run_all(const op_check *c, const ito_shape *shape, ito_dtype dtype, layout order,
                    ito_tensor **out)
{
    ito_tensor *in[OP_CHECK_INPUTS];
    make_inputs(c, shape, dtype, order, differentiable(c), in);
    out[0] = c->f(in, c->n, c->context);
    cr_assert_not_null(out[0], "%s: %s", c->what, ito_error());
    ito_no_grad_begin();
    ito_tensor *dy = random_tensor(ito_shape_of(out[0]), -1, 1, 99);
    dy = ito_cast(order == ROUNDED ? rounded(dy) : dy, out[0]->dtype);
    ito_no_grad_end();
    for (int i = 0; i < c->n; i++)
        out[1 + i] = NULL;
    if (!tensor_needs_grad(out[0]))
        return;
    cr_assert_eq(ito_backward(out[0], .cotangent = dy), ITO_OK, "%s: %s", c->what, ito_error());
    for (int i = 0; i < c->n; i++)
        if (c->given[i] == NULL)
            out[1 + i] = ito_grad_of(in[i]);
}

/* ---- the checks
 * -------------------------------------------------------------------------------------- */

static void check_gradients(const op_check *c, layout order)
{
    unsigned all = differentiable(c);
    for (unsigned wanted = 1; wanted <= all; wanted++) {
        bool alone = (wanted & (wanted - 1)) == 0;
        if ((wanted & all) != wanted || (!alone && wanted != all))
            continue;
        ito_scope_begin();
        ito_tensor *in[OP_CHECK_INPUTS];
        make_inputs(c, c->shape, ITO_F64, order, wanted, in);
        cr_assert_eq(ito_gradcheck(c->f, c->context, in, c->n), ITO_OK, "%s, inputs %x: %s",
                     c->what, wanted, ito_error());
        if (!c->no_second && wanted == all)
            cr_assert_eq(ito_gradgradcheck(c->f, c->context, in, c->n), ITO_OK, "%s: %s", c->what,
                         ito_error());
        ito_scope_end();
    }
}

/* The derivative along a direction by forward mode, and what it is applied to. */
typedef struct direction {
    const op_check *c;
    ito_tensor *along[OP_CHECK_INPUTS]; /* NULL: not this input */
} direction;

static ito_tensor *derivative_along(ito_tensor *const *in, int64_t n, void *context)
{
    const direction *d = context;
    return ito_jvp(d->c->f, d->c->context, in, n, d->along, NULL);
}

/* u . (J v) is (u J) . v, whose u J has been compared with differences; and J v, differentiated
 * itself, meets its own differences. */
static void check_forward_mode(const op_check *c, layout order)
{
    unsigned all = differentiable(c);
    if (all == 0)
        return;
    ito_scope_begin();
    ito_tensor *in[OP_CHECK_INPUTS], *y;
    make_inputs(c, c->shape, ITO_F64, order, all, in);
    direction d = {.c = c};
    for (int i = 0; i < c->n; i++)
        if ((all >> i & 1) != 0)
            d.along[i] = random_tensor(ito_shape_of(in[i]), -1, 1, (uint64_t)i + 50);
    if (!c->sweeps)
        ito_no_grad_begin();
    ito_tensor *dy = ito_jvp(c->f, c->context, in, c->n, d.along, &y);
    if (!c->sweeps)
        ito_no_grad_end();
    cr_assert_not_null(dy, "%s, forward mode: %s", c->what, ito_error());
    assert_close(y, c->f(in, c->n, c->context), 0, c->what);
    ito_tensor *u = random_tensor(ito_shape_of(y), -1, 1, 99);
    double forward = ito_item(ito_sum(ito_mul(u, dy))), backward = 0, scale = 1;
    cr_assert_eq(ito_backward(c->f(in, c->n, c->context), .cotangent = u), ITO_OK, "%s",
                 ito_error());
    for (int i = 0; i < c->n; i++) {
        if (d.along[i] == NULL || ito_grad_of(in[i]) == NULL)
            continue;
        double part = ito_item(ito_sum(ito_mul(ito_grad_of(in[i]), d.along[i])));
        backward += part;
        scale = fmax(scale, fabs(part));
    }
    cr_assert_float_eq(forward, backward, 1e-10 * scale, "%s: %.17g forward, %.17g backward",
                       c->what, forward, backward);
    if (!c->no_second)
        cr_assert_eq(ito_gradcheck(derivative_along, &d, in, c->n), ITO_OK, "%s, forward mode: %s",
                     c->what, ito_error());
    ito_scope_end();
}

static void check_layouts(const op_check *c)
{
    ito_tensor *a[1 + OP_CHECK_INPUTS], *b[1 + OP_CHECK_INPUTS];
    run_all(c, c->shape, ITO_F64, ROW_MAJOR, a);
    run_all(c, c->shape, ITO_F64, REVERSED, b);
    for (int i = 0; i <= c->n; i++)
        if (a[i] != NULL)
            assert_close(b[i], a[i], 1e-12, c->what);
}

static void check_f32(const op_check *c)
{
    double tolerance = c->tolerance > 0 ? c->tolerance : 1e-4;
    ito_tensor *a[1 + OP_CHECK_INPUTS], *b[1 + OP_CHECK_INPUTS];
    run_all(c, c->shape, ITO_F64, ROW_MAJOR, a);
    run_all(c, c->shape, ITO_F32, ROW_MAJOR, b);
    for (int i = 0; i <= c->n; i++)
        if (a[i] != NULL && b[i] != NULL)
            assert_close(b[i], a[i], tolerance, c->what);
}

/* Each rounding to bf16 is off by 2^-8 of the magnitude at most: of the element where there is one,
 * else of the largest. f32 works on what bf16 has read and so agrees until then. */
static void assert_rounded(const ito_tensor *got, const ito_tensor *want, int roundings,
                           const char *what)
{
    roundings = roundings > 0 ? roundings : 1;
    if (roundings > 1) {
        assert_close(got, want, roundings * 0x1p-8, what);
        return;
    }
    double *g = values_of(got), *w = values_of(want);
    for (int64_t i = 0; i < ito_numel(want); i++)
        cr_assert(fabs(g[i] - w[i]) <= 0x1p-8 * fabs(w[i]) + 0x1p-134 || g[i] == w[i],
                  "%s: element %lld is %.9g in bf16, %.9g in f32", what, (long long)i, g[i], w[i]);
    free(g);
    free(w);
}

static void check_bf16(const op_check *c)
{
    ito_tensor *a[1 + OP_CHECK_INPUTS], *b[1 + OP_CHECK_INPUTS];
    run_all(c, c->shape, ITO_F32, ROUNDED, a);
    run_all(c, c->shape, ITO_BF16, ROUNDED, b);
    assert_rounded(b[0], a[0], c->roundings, c->what);
    for (int i = 1; i <= c->n; i++)
        if (a[i] != NULL) {
            cr_assert_not_null(b[i], "%s: no gradient of input %d", c->what, i - 1);
            cr_assert_eq(b[i]->dtype, dtype_of_input(c, i - 1, ITO_BF16), "%s", c->what);
            assert_rounded(b[i], a[i], c->gradient_roundings, c->what);
        }
}

static void assert_same_bits(const ito_tensor *a, const ito_tensor *b, const char *what)
{
    size_t size = (size_t)ito_numel(a) * ito_dtype_size(a->dtype);
    char *x = malloc(size + 1), *y = malloc(size + 1);
    ito_to_data(a, x, a->dtype);
    ito_to_data(b, y, b->dtype);
    cr_assert_eq(memcmp(x, y, size), 0, "%s: bits depend on the number of threads", what);
    free(x);
    free(y);
}

static void check_threads(const op_check *c)
{
    const ito_shape *shape = c->large[0].ndim > 0 ? c->large : c->shape;
    int before = ito_threads();
    ito_tensor *a[1 + OP_CHECK_INPUTS], *b[1 + OP_CHECK_INPUTS];
    ito_set_threads(1);
    run_all(c, shape, ITO_F32, ROW_MAJOR, a);
    for (int threads = 2; threads <= 7; threads += 5) {
        ito_set_threads(threads);
        run_all(c, shape, ITO_F32, ROW_MAJOR, b);
        for (int i = 0; i <= c->n; i++)
            if (a[i] != NULL)
                assert_same_bits(a[i], b[i], c->what);
    }
    ito_set_threads(before);
}

static void check_isas(const op_check *c)
{
    char before[16];
    strcpy(before, ito_isa());
    double tolerance = c->tolerance > 0 ? c->tolerance : 1e-4;
    ito_tensor *a[1 + OP_CHECK_INPUTS], *b[1 + OP_CHECK_INPUTS];
    cr_assert(isa_use("base"));
    run_all(c, c->shape, ITO_F32, ROW_MAJOR, a);
    for (int k = 1; isa_name(k) != NULL; k++) {
        if (strcmp(isa_name(k), "amx-emulated") == 0 || !isa_use(isa_name(k)))
            continue;
        run_all(c, c->shape, ITO_F32, ROW_MAJOR, b);
        for (int i = 0; i <= c->n; i++)
            if (a[i] != NULL)
                assert_close(b[i], a[i], tolerance, c->what);
    }
    cr_assert(isa_use(before));
}

static void check_null(const op_check *c)
{
    for (int missing = 0; missing < c->n; missing++) {
        ito_tensor *in[OP_CHECK_INPUTS];
        make_inputs(c, c->shape, ITO_F64, ROW_MAJOR, 0, in);
        in[missing] = NULL;
        ito_error_set(ITO_ERR_IO, "the first message stays");
        ito_tensor *y = c->f(in, c->n, c->context);
        if (y == NULL) /* an optional input may be missing */
            cr_assert_str_eq(ito_error_message(), "the first message stays", "%s", c->what);
        ito_error_clear();
    }
}

static bool attempt(const op_check *c, ito_tensor **in)
{
    ito_tensor *y = c->f(in, c->n, c->context);
    if (y == NULL)
        return false;
    if (!tensor_needs_grad(y))
        return true;
    return ito_backward(y, .cotangent = ito_ones_like(y)) == ITO_OK && ito_error_code() == ITO_OK;
}

static void check_allocation_failures(const op_check *c)
{
    enum { MOST = 1200 };
    bool done = false;
    for (int64_t nth = 1; nth < MOST && !done; nth++) {
        ito_scope_begin();
        ito_tensor *in[OP_CHECK_INPUTS];
        make_inputs(c, c->shape, ITO_F64, ROW_MAJOR, differentiable(c), in);
        int64_t blocks = ito_memory_blocks();
        ito_scope_begin();
        ito_memory_fail_nth(nth);
        done = attempt(c, in);
        ito_memory_fail_nth(0);
        cr_assert_eq(ito_error_code(), done ? ITO_OK : ITO_ERR_MEMORY, "%s, request %lld: %s",
                     c->what, (long long)nth, ito_error());
        ito_error_clear();
        ito_scope_end();
        int64_t grads = 0;
        for (int i = 0; i < c->n; i++)
            grads += in[i]->autograd != NULL && tensor_meta(in[i])->grad != NULL;
        cr_assert_eq(ito_memory_blocks() - grads, blocks, "%s, request %lld: a block is leaked",
                     c->what, (long long)nth);
        ito_scope_end();
    }
    cr_assert(done, "%s: still failing after %d requests", c->what, MOST);
}

void op_check_run(op_check c)
{
    int64_t blocks = ito_memory_blocks();
    ito_scope_begin();
    check_gradients(&c, ROW_MAJOR);
    if (!c.not_dense_input) {
        check_gradients(&c, REVERSED);
        check_layouts(&c);
    }
    check_forward_mode(&c, ROW_MAJOR);
    check_forward_mode(&c, REVERSED);
    check_f32(&c);
    if (!c.no_bf16)
        check_bf16(&c);
    check_threads(&c);
    check_isas(&c);
    check_null(&c);
    check_allocation_failures(&c);
    ito_scope_end();
    cr_assert_eq(ito_memory_blocks(), blocks, "%s: blocks are leaked", c.what);
}
