/* Running one operation: checks its inputs against the table, calls forward in a scope of its own
 * and hangs a node behind the result where a gradient can be wanted. */
#include "autograd/op.h"
#include "autograd/autocast.h"
#include "autograd/forward.h"
#include "autograd/graph.h"
#include "autograd/observe.h"
#include "autograd/profile.h"

const op_info op_table[OP_COUNT] = {
#define OP_PRIMITIVE(op, arity, dtypes, saves, rule)                                               \
    [OP_##op] = {                                                                                  \
        #op,  arity,         KIND_PRIMITIVE, dtypes, saves, op_##op##_forward, op_##op##_backward, \
        NULL, tangent_##rule},
#define OP_FUSED(op, arity, dtypes, saves, rule)                                                   \
    [OP_##op] = {#op,                                                                              \
                 arity,                                                                            \
                 KIND_FUSED,                                                                       \
                 dtypes,                                                                           \
                 saves,                                                                            \
                 op_##op##_forward,                                                                \
                 op_##op##_backward,                                                               \
                 op_##op##_composite,                                                              \
                 tangent_##rule},
#define OP_DISCRETE(op, arity, dtypes, saves)                                                      \
    [OP_##op] = {#op, arity, KIND_DISCRETE, dtypes, saves, op_##op##_forward, NULL, NULL, NULL},
#include "autograd/ops.def"
#undef OP_PRIMITIVE
#undef OP_FUSED
#undef OP_DISCRETE
};

static _Thread_local op_observer *observer;

op_observer *op_observe(op_observer *o)
{
    op_observer *before = observer;
    observer = o;
    return before;
}

bool op_traced(void)
{
    return observer != NULL && observer->same != NULL;
}

void op_tell_same(ito_tensor *x, const ito_tensor *of)
{
    if (x != NULL && op_traced())
        observer->same(observer, x, of);
}

static bool dtype_allowed(op_dtypes allowed, ito_dtype dtype)
{
    if (allowed == ANY || dtype == ITO_F32 || dtype == ITO_F64 || dtype == ITO_BF16)
        return true;
    return allowed == NUMBER && !ito_dtype_is_float(dtype);
}

/* Input i has the dtype that goes with the first one's. */
static bool check_pair(const op_info *info, const ito_tensor *first, const ito_tensor *t, int64_t i)
{
    bool parameter = info->dtypes == MIXED && (i == 1 || i == 2);
    bool narrow = parameter && first->dtype == ITO_BF16;
    if (info->dtypes == ANY || t->dtype == (narrow ? ITO_F32 : first->dtype))
        return true;
    if (narrow)
        return error_false(
            ITO_ERR_DTYPE, "%s: beside bf16 %s parameters are f32, not %s %s (see ito_cast)",
            info->name, tensor_shape_str(first), ito_dtype_name(t->dtype), tensor_shape_str(t));
    return error_false(ITO_ERR_DTYPE, "%s: %s %s and %s %s do not mix (see ito_cast)", info->name,
                       ito_dtype_name(first->dtype), tensor_shape_str(first),
                       ito_dtype_name(t->dtype), tensor_shape_str(t));
}

/* The tensor whose dtype the numbers among the inputs take: the first float that has axes. */
static const ito_tensor *numbers_take(ito_tensor *const *in, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (in[i] != NULL && in[i]->ndim > 0 && ito_dtype_is_float(in[i]->dtype))
            return in[i];
    return NULL;
}

static bool is_other_number(const ito_tensor *t, const ito_tensor *like)
{
    return t != NULL && t->ndim == 0 && ito_dtype_is_float(t->dtype) && t->dtype != like->dtype;
}

static bool numbers_differ(ito_tensor *const *in, int64_t n)
{
    const ito_tensor *like = numbers_take(in, n);
    for (int64_t i = 0; like != NULL && i < n; i++)
        if (is_other_number(in[i], like))
            return true;
    return false;
}

bool op_convert_numbers(ito_tensor **in, int64_t n)
{
    const ito_tensor *like = numbers_take(in, n);
    for (int64_t i = 0; like != NULL && i < n; i++)
        if (is_other_number(in[i], like) && (in[i] = ito_cast(in[i], like->dtype)) == NULL)
            return false;
    return true;
}

/* The inputs' dtypes are what the table says, but for numbers that will be converted. A NULL that
 * is not optional fails; mostly an earlier operation has said why. */
static bool check_inputs(const op_info *info, ito_tensor *const *in, int64_t n, unsigned optional)
{
    const ito_tensor *like = info->dtypes <= NUMBER ? numbers_take(in, n) : NULL, *first = like;
    for (int64_t i = 0; i < n; i++) {
        if (in[i] == NULL && (i >= 32 || (optional >> i & 1) == 0))
            return error_false(ITO_ERR_ARGUMENT, "%s: input %" PRId64 " is NULL", info->name, i);
        if (in[i] == NULL)
            continue;
        if (!dtype_allowed(info->dtypes, in[i]->dtype))
            return error_false(ITO_ERR_DTYPE, "%s: takes f32, f64 or bf16, not %s (see ito_cast)",
                               info->name, ito_dtype_name(in[i]->dtype));
        first = first == NULL ? in[i] : first;
        bool converted = like != NULL && is_other_number(in[i], like);
        if (!converted && !check_pair(info, first, in[i], i))
            return false;
    }
    return true;
}

bool op_inputs_fit(const char *name, op_dtypes dtypes, ito_tensor *const *in, int64_t n,
                   unsigned optional)
{
    op_info info = {.name = name, .dtypes = dtypes};
    if (!autocast_active())
        return check_inputs(&info, in, n, optional);
    for (int64_t i = 0; i < n; i++) /* each by itself: what does not mix is converted later */
        if (!check_inputs(&info, in + i, 1, optional >> i & 1))
            return false;
    return true;
}

static bool any_needs_grad(ito_tensor *const *in, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (tensor_needs_grad(in[i]))
            return true;
    return false;
}

/* Whether the call must be recorded; a gradient of a float result that cannot be had is refused. */
static bool must_record(const op_info *info, ito_tensor *const *in, int64_t n,
                        const ito_tensor *out)
{
    if (info->kind == KIND_DISCRETE || !ito_dtype_is_float(out->dtype))
        return false;
    if (ito_grad_enabled())
        return any_needs_grad(in, n);
    grad_watch_see(in, n);
    return false;
}

bool op_differentiated(void)
{
    return ito_grad_enabled() || forward_active();
}

static ito_tensor *run(op_call *c)
{
    int seen = forward_hide();
    ito_tensor *out = c->info->forward(c);
    forward_show(seen);
    if (out == NULL)
        return NULL;
    if (anomaly_mode() && !anomaly_check(out, c->info->name, "result", NULL, 0))
        return NULL;
    if (must_record(c->info, c->in, c->n, out)) {
        if (c->info->backward == NULL)
            return error_null(ITO_ERR_GRAD, "%s: has no gradient, and an input requires one",
                              c->info->name);
        if (!node_attach(c, out))
            return NULL;
    }
    if (forward_active() && !(forward_follow(c, out) && node_follow(out)))
        return NULL;
    return out;
}

ito_tensor *op_space_for_dx(const op_call *c, ito_tensor *dy, const ito_tensor *like)
{
    if (c->own_dy && dy->dtype == like->dtype && tensor_same_layout(dy, like))
        return dy;
    return tensor_empty_as(like, like->dtype);
}

enum { SMALL = 8 }; /* inputs that need no memory of their own */

static ito_tensor *apply(const op_info *info, ito_tensor *const *in, int64_t n, unsigned optional,
                         const void *params, size_t params_size)
{
    if (!check_inputs(info, in, n, optional))
        return NULL;
    ito_shape small_shape[SMALL], *shape = small_shape;
    ito_dtype small_dtype[SMALL], *dtype = small_dtype;
    char *block = NULL;
    if (n > SMALL) {
        block = mem_alloc((size_t)n * (sizeof *shape + sizeof *dtype));
        if (block == NULL)
            return NULL;
        shape = (ito_shape *)block;
        dtype = (ito_dtype *)(block + (size_t)n * sizeof *shape);
    }
    for (int64_t i = 0; i < n; i++) {
        shape[i] = ito_shape_of(in[i]);
        dtype[i] = ito_dtype_of(in[i]);
    }
    op_call c = {.info = info,
                 .n = n,
                 .in = in,
                 .shape = shape,
                 .dtype = dtype,
                 .params = params,
                 .params_size = params_size};
    profile_frame frame;
    profile_begin(&frame);
    ito_scope_begin();
    ito_tensor *out = ito_keep(run(&c));
    ito_scope_end();
    profile_end_forward(&frame, &c, out);
    if (__builtin_expect(observer != NULL, 0) && out != NULL)
        observer->see(observer, &c, out);
    mem_free(block);
    return out;
}

/* With the numbers among the inputs converted to the dtype of the rest. */
static ito_tensor *apply_converted(const op_info *info, ito_tensor *const *in, int64_t n,
                                   unsigned optional, const void *params, size_t params_size)
{
    if (info->dtypes > NUMBER || n > SMALL || !numbers_differ(in, n))
        return apply(info, in, n, optional, params, params_size);
    ito_tensor *same[SMALL], *out = NULL;
    for (int64_t i = 0; i < n; i++)
        same[i] = in[i];
    ito_scope_begin();
    if (op_convert_numbers(same, n))
        out = ito_keep(apply(info, same, n, optional, params, params_size));
    ito_scope_end();
    return out;
}

ito_tensor *op_apply_info(const op_info *info, ito_tensor *const *in, int64_t n, unsigned optional,
                          const void *params, size_t params_size)
{
    if (!autocast_active())
        return apply_converted(info, in, n, optional, params, params_size);
    ito_tensor **to = mem_alloc((size_t)n * sizeof(ito_tensor *));
    if (to == NULL)
        return NULL;
    ito_scope_begin();
    ito_dtype lower = autocast_suspend();
    ito_tensor *out = NULL;
    if (autocast_inputs(info, in, n, lower, to))
        out = ito_keep(apply_converted(info, to, n, optional, params, params_size));
    autocast_resume(lower);
    ito_scope_end();
    mem_free(to);
    return out;
}

ito_tensor *op_apply_optional(op_id id, ito_tensor *const *in, int64_t n, unsigned optional,
                              const void *params, size_t params_size)
{
    return op_apply_info(&op_table[id], in, n, optional, params, params_size);
}

ito_tensor *op_apply(op_id id, ito_tensor *const *in, int64_t n, const void *params,
                     size_t params_size)
{
    return op_apply_info(&op_table[id], in, n, 0, params, params_size);
}
