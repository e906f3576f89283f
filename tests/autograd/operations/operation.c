/* What every row of the table of operations must pass: see operation.h. */
#include "tests/autograd/operations/operation.h"

#include "autograd/transforms.h"
#include "tensor/io/safetensors.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers and generators in calls ---- */

static _Thread_local ito_generator *fuzz; /* NULL: the usual numbers */

int64_t operation_number(int64_t usual)
{
    return fuzz == NULL ? usual : (int64_t)ito_uniform_int(fuzz, (uint64_t)usual + 6) - 2;
}

_Thread_local ito_tensor *other, *piece[8];

ito_generator *operation_generator(void)
{
    static _Thread_local ito_generator g;
    g = ito_generator_make(2020, 6);
    return &g;
}

_Thread_local ito_tensor *first_result, *second_result;

/* ---- inputs ---- */

int operation_inputs(const operation *o)
{
    int n = 0;
    while (n < OP_CHECK_INPUTS && o->input[n].kind != INPUT_NONE)
        n++;
    return n;
}

static bool is_real(input_kind kind)
{
    return kind == INPUT_REAL || kind == INPUT_PARAMETER || kind == INPUT_DISTINCT ||
           kind == INPUT_CONSTANT;
}

static ito_tensor *input_tensor(const operation_input *in, int i, ito_shape shape)
{
    uint64_t seed = (uint64_t)i + 7;
    if (in->kind == INPUT_DISTINCT)
        return distinct_tensor(shape, in->low, in->high);
    if (is_real(in->kind))
        return random_tensor(shape, in->low, in->high, seed);
    double high = in->kind == INPUT_MASK ? 2 : in->high;
    ito_tensor *t =
        ito_floor(random_tensor(shape, in->kind == INPUT_MASK ? 0 : in->low, high, seed));
    return ito_cast(t, in->kind == INPUT_MASK ? ITO_BOOL : ITO_I64);
}

ito_tensor *operation_input_tensor(const operation *o, int i)
{
    return input_tensor(&o->input[i], i, o->input[i].shape);
}

ito_tensor *operation_cotangent(ito_shape shape)
{
    return random_tensor(shape, -1, 1, 99);
}

/* ---- what op_check checks ---- */

void operation_check(operation o)
{
    ito_scope_begin();
    op_check c = {.what = o.variant,
                  .f = o.f,
                  .n = operation_inputs(&o),
                  .no_second = o.no_second,
                  .no_bf16 = o.no_bf16,
                  .tolerance = o.tolerance,
                  .roundings = o.roundings,
                  .gradient_roundings = o.gradient_roundings};
    for (int i = 0; i < c.n; i++) {
        const operation_input *in = &o.input[i];
        c.shape[i] = in->shape;
        c.large[i] = o.large[i];
        c.range[i] = (op_range){in->low, in->high};
        c.parameter[i] = in->kind == INPUT_PARAMETER;
        c.no_grad[i] = o.discrete || in->kind == INPUT_CONSTANT;
        c.distinct[i] = in->kind == INPUT_DISTINCT;
        if (!is_real(in->kind))
            c.given[i] = operation_input_tensor(&o, i);
    }
    op_check_run(c);
    ito_scope_end();
}

void operation_refused(ito_function *f, const operation_input *input, ito_status code,
                       const char *sentence)
{
    ito_scope_begin();
    ito_tensor *x[OP_CHECK_INPUTS] = {NULL};
    int n = 0;
    for (; n < OP_CHECK_INPUTS && input[n].kind != INPUT_NONE; n++)
        x[n] = input_tensor(&input[n], n, input[n].shape);
    cr_assert_null(f(x, n, NULL), "not refused");
    assert_error(code, sentence);
    ito_scope_end();
}

/* ---- PyTorch ---- */

/* Sums of some hundred products of magnitude 4, and functions of small condition, each rounded to
 * 2^-53 on either side in an order of its own. */
static const double torch_tolerance = 1e-12;

static ito_tensor *expected(const ito_safetensors *file, const operation *o, const char *what)
{
    char key[128];
    snprintf(key, sizeof key, "%s_%s/%s", o->name, o->variant, what);
    cr_assert_geq(ito_safetensors_find(file, key), 0,
                  "%s is not in the results of PyTorch; "
                  "tests/reference/make_operations_fixture.py makes them",
                  key);
    ito_tensor *t = ito_safetensors_read(file, key);
    cr_assert_not_null(t, "%s", ito_error());
    return t;
}

void operation_check_torch(operation o)
{
    if (o.torch == NULL)
        return;
    char path[512];
    snprintf(path, sizeof path, "%s/tests/reference/operations/%s.safetensors",
             getenv("ITO_SOURCE") == NULL ? "." : getenv("ITO_SOURCE"), o.family);
    ito_safetensors *file = ito_safetensors_open(path);
    cr_assert_not_null(file, "%s", ito_error());
    double tolerance = o.torch_tolerance > 0 ? o.torch_tolerance : torch_tolerance;
    ito_scope_begin();
    ito_tensor *x[OP_CHECK_INPUTS] = {NULL};
    int n = operation_inputs(&o);
    for (int i = 0; i < n; i++) {
        x[i] = operation_input_tensor(&o, i);
        if (!o.discrete && is_real(o.input[i].kind) && o.input[i].kind != INPUT_CONSTANT)
            x[i] = ito_requires_grad(x[i], true);
    }
    ito_tensor *y = o.f(x, n, NULL);
    assert_close(y, expected(file, &o, "output"), tolerance, "output");
    if (!o.discrete) {
        ito_tensor *dy = operation_cotangent(ito_shape_of(y));
        cr_assert_eq(ito_backward(y, .cotangent = dy), ITO_OK, "%s", ito_error());
        for (int i = 0; i < n; i++)
            if (ito_has_grad_path(x[i])) {
                char what[16];
                snprintf(what, sizeof what, "grad%d", i);
                assert_close(ito_grad_of(x[i]), expected(file, &o, what), tolerance, what);
            }
    }
    ito_scope_end();
    ito_safetensors_close(file);
}

/* ---- fuzz ---- */

/* Each size that occurs in the row becomes another, the same one wherever it occurs: shapes that
 * fit each other mostly still do. Now and then one that does not fit at all. */
static ito_shape fuzzed_shape(ito_shape shape, const int64_t *new_size)
{
    for (int a = 0; a < shape.ndim; a++)
        if (shape.dim[a] < 16)
            shape.dim[a] = new_size[shape.dim[a]];
    if (ito_uniform_int(fuzz, 12) == 0 && shape.ndim > 0)
        shape.dim[ito_uniform_int(fuzz, (uint64_t)shape.ndim)] = (int64_t)ito_uniform_int(fuzz, 4);
    if (ito_uniform_int(fuzz, 16) == 0 && shape.ndim > 0)
        shape.ndim--;
    return shape;
}

static ito_tensor *fuzzed_input(const operation *o, int i, const int64_t *new_size, ito_dtype dtype)
{
    const operation_input *in = &o->input[i];
    ito_shape shape = fuzzed_shape(in->shape, new_size);
    ito_tensor *x = input_tensor(in, i, shape);
    if (is_real(in->kind) && ito_uniform_int(fuzz, 12) == 0)
        x = ito_cast(x, (ito_dtype)ito_uniform_int(fuzz, ITO_DTYPES));
    else if (is_real(in->kind))
        x = ito_cast(x, dtype == ITO_BF16 && in->kind == INPUT_PARAMETER ? ITO_F32 : dtype);
    if (shape.ndim > 1 && ito_uniform_int(fuzz, 3) == 0)
        x = ito_transpose(ito_contiguous(ito_transpose(x, 0, -1)), 0, -1);
    if (shape.ndim > 0 && ito_uniform_int(fuzz, 4) == 0)
        x = ito_slice(ito_cat(ITO_TENSORS(x, x), -1), -1, 0, shape.dim[shape.ndim - 1], 1);
    if (!o->discrete && is_real(in->kind) && in->kind != INPUT_CONSTANT &&
        (x->dtype == ITO_F32 || x->dtype == ITO_F64 || x->dtype == ITO_BF16))
        x = ito_requires_grad(ito_detach(x), true);
    cr_assert_not_null(x, "%s", ito_error());
    return x;
}

/* The gradients by fast kernels, and recorded: made of operations that can be differentiated. */
static void same_gradients(const operation *o, ito_tensor **x, int n, ito_tensor *y)
{
    ito_tensor *wanted[OP_CHECK_INPUTS], *fast[OP_CHECK_INPUTS], *recorded[OP_CHECK_INPUTS];
    int64_t count = 0;
    for (int i = 0; i < n; i++)
        if (ito_has_grad_path(x[i]))
            wanted[count++] = x[i];
    if (count == 0 || !ito_has_grad_path(y))
        return;
    ito_tensor *dy = ito_cast(operation_cotangent(ito_shape_of(y)), y->dtype);
    ito_backward_options options =
        ITO_OPTIONS(ito_backward_options, .cotangent = dy, .retain_graph = true);
    ito_status first = ito_grads(y, wanted, count, fast, options);
    cr_assert_eq(first, ITO_OK, "%s %s: %s", o->name, o->variant, ito_error());
    if (o->no_second)
        return;
    options.create_graph = true;
    ito_status second = ito_grads(y, wanted, count, recorded, options);
    cr_assert_eq(second, ITO_OK, "%s %s: %s", o->name, o->variant, ito_error());
    double tolerance = y->dtype == ITO_F64 ? 1e-9 : y->dtype == ITO_F32 ? 1e-3 : 0.1;
    for (int64_t i = 0; i < count; i++)
        assert_close(recorded[i], ito_detach(fast[i]), tolerance, o->variant);
}

/* u . (J v) by forward mode is (u J) . v by a sweep, in f64; other dtypes only have to work. */
static void same_forward_mode(const operation *o, ito_tensor **x, int n, ito_tensor *y)
{
    ito_tensor *along[OP_CHECK_INPUTS] = {NULL}, *value = NULL;
    if (!ito_has_grad_path(y))
        return;
    bool in_f64 = y->dtype == ITO_F64;
    for (int i = 0; i < n; i++)
        if (ito_has_grad_path(x[i])) {
            along[i] = ito_cast(random_tensor(ito_shape_of(x[i]), -1, 1, (uint64_t)i + 50),
                                ito_dtype_of(x[i]));
            in_f64 = in_f64 && ito_dtype_of(x[i]) == ITO_F64; /* not so of a number */
        }
    ito_tensor *dy = NULL;
    ITO_NO_GRAD
    {
        dy = ito_jvp(o->f, NULL, x, n, along, &value);
    }
    cr_assert_not_null(dy, "%s %s, forward mode: %s", o->name, o->variant, ito_error());
    if (!in_f64 || !isfinite(ito_item(ito_sum(y))))
        return;
    ito_tensor *u = operation_cotangent(ito_shape_of(y));
    double forward = ito_item(ito_sum(ito_mul(u, dy))), backward = 0, scale = 1;
    for (int i = 0; i < n; i++) {
        if (along[i] == NULL)
            continue;
        ito_tensor *g = ito_grad(y, x[i], .cotangent = u, .retain_graph = true);
        ito_tensor *product = ito_mul(ito_cast(g, ITO_F64), ito_cast(along[i], ITO_F64));
        double part = ito_item(ito_sum(product));
        backward += part;
        scale = fmax(scale, fabs(part));
    }
    cr_assert(fabs(forward - backward) <= 1e-9 * scale || !isfinite(backward),
              "%s %s: %.17g by forward mode, %.17g backward", o->name, o->variant, forward,
              backward);
}

void operation_fuzz(operation o)
{
    enum { ROUNDS = 40 };
    static const ito_dtype dtypes[] = {ITO_F32, ITO_F64, ITO_BF16};
    ito_generator g = ito_generator_make(11, 12);
    int n = operation_inputs(&o);
    for (int round = 0; round < ROUNDS && !o.no_fuzz; round++) {
        int64_t blocks = ito_memory_blocks(), new_size[16];
        fuzz = &g;
        ito_scope_begin();
        for (int64_t size = 0; size < 16; size++)
            new_size[size] = ito_uniform_int(&g, 3) == 0   ? (int64_t)ito_uniform_int(&g, 6)
                             : ito_uniform_int(&g, 2) == 0 ? size + 1
                                                           : size;
        ito_tensor *x[OP_CHECK_INPUTS] = {NULL};
        ito_dtype dtype = dtypes[ito_uniform_int(&g, 3)];
        for (int i = 0; i < n; i++)
            x[i] = fuzzed_input(&o, i, new_size, dtype);
        ito_generator before = g;
        ito_tensor *y = o.f(x, n, NULL);
        cr_assert_eq(y == NULL, ito_error_code() != ITO_OK, "%s %s: %s with \"%s\"", o.name,
                     o.variant, y == NULL ? "no result" : "a result", ito_error_message());
        if (y == NULL)
            ito_error_clear();
        g = before; /* the same numbers again */
        if (y != NULL && !o.discrete)
            same_forward_mode(&o, x, n, y);
        fuzz = NULL;
        if (y != NULL && !o.discrete)
            same_gradients(&o, x, n, y);
        ito_scope_end();
        cr_assert_eq(ito_memory_blocks(), blocks, "%s %s: blocks are leaked", o.name, o.variant);
    }
}
