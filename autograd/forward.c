/* Forward mode: what tangents hang on, and the rules that many operations share. The others stand
 * beside their operations. See forward.h. */
#include "autograd/forward.h"

#include "autograd/graph.h"
#include "autograd/ops.h"

#include <string.h>

/* The level's own number, which no other ever had: tangents of a level that is over are none. */
static _Thread_local uint64_t level_id[FORWARD_LEVELS + 1];
static _Thread_local int levels, seen;
/* What loses its tangents when the last level ends: references. */
static _Thread_local struct {
    ito_tensor **tensor;
    int64_t n, capacity;
} lent;
static _Atomic uint64_t last_id;

bool forward_active(void)
{
    return seen > 0;
}

int forward_begin(void)
{
    if (levels == FORWARD_LEVELS) {
        ito_error_set(ITO_ERR_ARGUMENT, "jvp: more than %d are nested", FORWARD_LEVELS);
        return 0;
    }
    level_id[++levels] = atomic_fetch_add(&last_id, 1) + 1;
    seen = levels;
    return levels;
}

static void take_back(void)
{
    for (int64_t i = 0; i < lent.n; i++) {
        autograd_meta *m = tensor_meta(lent.tensor[i]);
        for (int level = 0; level < FORWARD_LEVELS; level++) {
            ito_release(m->tangent[level]);
            m->tangent[level] = NULL;
        }
        ito_release(lent.tensor[i]);
    }
    mem_free(lent.tensor);
    lent.tensor = NULL;
    lent.n = lent.capacity = 0;
}

void forward_end(int level)
{
    levels = level - 1;
    seen = levels;
    if (levels == 0)
        take_back();
}

int forward_hide(void)
{
    int before = seen;
    seen = 0;
    return before;
}

void forward_show(int before)
{
    seen = before;
}

ito_tensor *forward_tangent(const ito_tensor *t, int level)
{
    if (t == NULL || t->autograd == NULL)
        return NULL;
    const autograd_meta *m = tensor_meta(t);
    return m->tangent_level[level - 1] == level_id[level] ? m->tangent[level - 1] : NULL;
}

bool forward_set(ito_tensor *t, int level, ito_tensor *tangent)
{
    autograd_meta *m = tensor_meta_make(t);
    if (m == NULL)
        return false;
    ito_tensor *before = m->tangent[level - 1];
    m->tangent[level - 1] = ito_retain(tangent);
    m->tangent_level[level - 1] = level_id[level];
    ito_release(before);
    return true;
}

bool forward_has_tangent(const ito_tensor *t)
{
    for (int level = 1; level <= seen; level++)
        if (forward_tangent(t, level) != NULL)
            return true;
    return false;
}

bool forward_share(ito_tensor *to, const ito_tensor *t)
{
    for (int level = 1; level <= seen; level++) {
        ito_tensor *tangent = forward_tangent(t, level);
        if (tangent != NULL && !forward_set(to, level, tangent))
            return false;
    }
    return true;
}

/* Room for one more; false with an error. */
static bool lent_grow(void)
{
    if (lent.n < lent.capacity)
        return true;
    int64_t capacity = lent.capacity > 0 ? 2 * lent.capacity : 64;
    ito_tensor **grown = mem_alloc((size_t)capacity * sizeof(ito_tensor *));
    if (grown == NULL)
        return false;
    if (lent.n > 0)
        memcpy(grown, lent.tensor, (size_t)lent.n * sizeof *grown);
    mem_free(lent.tensor);
    lent.tensor = grown;
    lent.capacity = capacity;
    return true;
}

bool forward_share_for_now(ito_tensor *to, const ito_tensor *t)
{
    if (!forward_has_tangent(t))
        return true;
    if (!lent_grow() || tensor_meta_make(to) == NULL)
        return false;
    lent.tensor[lent.n++] = ito_retain(to);
    return forward_share(to, t);
}

/* ---- one operation ---- */

/* Whether the tangent will be differentiated itself, so that kernels do not do. */
static bool differentiated(const op_call *c, ito_tensor *const *t, int level)
{
    bool recorded = false;
    for (int64_t i = 0; i < c->n; i++)
        recorded = recorded || tensor_needs_grad(c->in[i]) || tensor_needs_grad(t[i]);
    return level > 1 || (recorded && ito_grad_enabled());
}

/* The composite form, which carries the tangents of its own. */
static bool tangent_by_composite(const op_call *c, int level, ito_tensor **dt)
{
    int before = forward_hide();
    forward_show(level);
    ito_tensor *y = c->info->composite(c->in, c->n, c->params);
    forward_show(before);
    *dt = forward_tangent(y, level);
    return y != NULL;
}

static bool follow_level(op_call *c, ito_tensor *out, int level, ito_tensor **t)
{
    bool any = false;
    for (int64_t i = 0; i < c->n; i++)
        any = (t[i] = forward_tangent(c->in[i], level)) != NULL || any;
    if (!any)
        return true;
    ito_tensor *dt = NULL;
    int before = forward_hide();
    bool anomaly = anomaly_mode();
    ito_set_anomaly_mode(false); /* this operation is named, not those of its rule */
    forward_show(level - 1);
    /* Another handle, since whatever is recorded and saves it would hold its own tangent. */
    c->out = ito_view_to(out, ito_shape_of(out));
    bool by_composite = c->info->composite != NULL &&
                        (c->info->tangent == tangent_composite || differentiated(c, t, level));
    bool done = c->out != NULL;
    if (done)
        done = by_composite ? tangent_by_composite(c, level, &dt) : c->info->tangent(c, t, &dt);
    forward_show(before);
    ito_set_anomaly_mode(anomaly);
    if (done && dt != NULL &&
        (!shape_equal(ito_shape_of(dt), ito_shape_of(out)) || dt->dtype != out->dtype))
        return error_false(ITO_ERR_GRAD, "%s: its tangent is %s %s, its result %s %s",
                           c->info->name, ito_dtype_name(dt->dtype), tensor_shape_str(dt),
                           ito_dtype_name(out->dtype), tensor_shape_str(out));
    if (done && dt != NULL && anomaly && !anomaly_check(dt, c->info->name, "tangent", NULL, 0))
        return false;
    return done && (dt == NULL || forward_set(out, level, dt));
}

bool forward_follow(op_call *c, ito_tensor *out)
{
    if (c->info->kind == KIND_DISCRETE || !ito_dtype_is_float(out->dtype))
        return true;
    enum { SMALL = 8 };
    ito_tensor *small[SMALL], **t = small;
    if (c->n > SMALL && (t = mem_alloc((size_t)c->n * sizeof(ito_tensor *))) == NULL)
        return false;
    bool done = true;
    for (int level = 1; level <= seen && done; level++)
        done = follow_level(c, out, level, t);
    c->out = NULL;
    if (t != small)
        mem_free(t);
    return done;
}

/* ---- the rules ---- */

/* *sum += t, where NULL is zero; false with an error if t is NULL. */
static bool add_tangent(ito_tensor **sum, ito_tensor *t)
{
    *sum = *sum == NULL || t == NULL ? t : ito_add(*sum, t);
    return *sum != NULL;
}

/* An element of the result hangs on one element of each input: the Jacobian of an input is
 * diagonal and its own transpose, so backward is the rule. Inputs that were repeated are treated as
 * if they had the result's shape, so that backward sums nothing. Also of one input whose Jacobian
 * is symmetric. */
bool tangent_diagonal(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    enum { MOST = 4 };
    ito_shape out = ito_shape_of(c->out), shape[MOST];
    for (int64_t i = 0; i < c->n; i++)
        shape[i] = out;
    for (int64_t i = 0; i < c->n; i++) {
        if (t[i] == NULL)
            continue;
        bool needs[MOST] = {false};
        ito_tensor *dx[MOST] = {NULL};
        needs[i] = true;
        op_call one = *c;
        one.shape = shape;
        one.needs = needs;
        ito_tensor *dy = ito_expand_to(t[i], out);
        if (dy == NULL || !c->info->backward(&one, dy, dx) ||
            (dx[i] != NULL && !add_tangent(dt, dx[i])))
            return false;
    }
    return true;
}

/* Linear in all its float inputs together. */
bool tangent_linear(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    enum { SMALL = 8 };
    ito_tensor *small[SMALL], **in = small;
    if (c->n > SMALL && (in = mem_alloc((size_t)c->n * sizeof(ito_tensor *))) == NULL)
        return false;
    bool made = true;
    for (int64_t i = 0; i < c->n; i++) {
        in[i] = t[i] != NULL                                              ? t[i]
                : c->in[i] != NULL && ito_dtype_is_float(c->in[i]->dtype) ? ito_zeros_like(c->in[i])
                                                                          : c->in[i];
        made = made && (in[i] != NULL || c->in[i] == NULL);
    }
    *dt = made ? op_apply_info(c->info, in, c->n, ~0u, c->params, c->params_size) : NULL;
    if (in != small)
        mem_free(in);
    return *dt != NULL;
}

/* A product of inputs 0 and 1, to which further ones are added. */
bool tangent_bilinear(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    enum { MOST = 4 };
    ito_tensor *in[MOST];
    bool added = false;
    for (int64_t i = 0; i < c->n; i++) {
        in[i] = i == 1 ? c->in[1] : t[i];
        added = added || (i != 1 && t[i] != NULL);
    }
    if (added && in[0] == NULL)
        in[0] = ito_zeros_like(c->in[0]);
    if (added && !add_tangent(dt, op_apply_info(c->info, in, c->n, ~0u, c->params, c->params_size)))
        return false;
    if (t[1] == NULL)
        return true;
    for (int64_t i = 0; i < c->n; i++)
        in[i] = i == 0 ? c->in[0] : i == 1 ? t[1] : NULL;
    return add_tangent(dt, op_apply_info(c->info, in, c->n, ~0u, c->params, c->params_size));
}

/* Of a fused operation without a rule of its own: never called, see follow_level. */
bool tangent_composite(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    (void)c, (void)t, (void)dt;
    return false;
}

/* Any other: u^T J is linear in u, so the derivative of its product with t is J t. */
bool tangent_transpose(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    if (c->info->backward == NULL)
        return error_false(ITO_ERR_GRAD, "%s: has no gradient, and an input has a tangent",
                           c->info->name);
    enum { SMALL = 32 };
    ito_tensor *dx[SMALL] = {NULL};
    bool needs[SMALL];
    if (c->n > SMALL)
        return error_false(ITO_ERR_GRAD, "%s: no forward mode with more than %d inputs",
                           c->info->name, SMALL);
    for (int64_t i = 0; i < c->n; i++)
        needs[i] = t[i] != NULL;
    op_call one = *c;
    one.needs = needs;
    int recording = grad_mode_enable();
    ito_tensor *u = ito_requires_grad(ito_zeros_like(c->out), true), *product = NULL;
    bool done = u != NULL && c->info->backward(&one, u, dx);
    for (int64_t i = 0; i < c->n && done; i++)
        if (dx[i] != NULL && t[i] != NULL)
            done = add_tangent(&product, ito_sum(ito_mul(dx[i], t[i])));
    grad_mode_restore(recording);
    if (done && product != NULL && tensor_needs_grad(product)) {
        *dt = ito_grad(product, u, .create_graph = ito_grad_enabled() || forward_active());
        done = *dt != NULL;
    }
    return done;
}
