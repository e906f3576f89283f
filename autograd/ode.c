/* Runge-Kutta methods, in fixed steps and in steps that keep to a tolerance.
 * Invariant: x and the last slope are held across steps, and whatever else a step makes goes with
 * its scope. */
#include "autograd/ode.h"

#include "autograd/ops.h"
#include "tensor/choice.h"
#include "tensor/internal.h"

#include <math.h>

const ito_ode_method ito_ode_rk45 = {
    .name = "rk45",
    .help = "Dormand and Prince's pair of orders 5 and 4, in steps that keep to a tolerance",
    .source = "Dormand, Prince 1980, A family of embedded Runge-Kutta formulae",
    .stages = 7,
    .order = 5,
    .a = {{0},
          {1.0 / 5},
          {3.0 / 40, 9.0 / 40},
          {44.0 / 45, -56.0 / 15, 32.0 / 9},
          {19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729},
          {9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656},
          {35.0 / 384, 0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84}},
    .b = {35.0 / 384, 0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84},
    .error = {-71.0 / 57600, 0, 71.0 / 16695, -71.0 / 1920, 17253.0 / 339200, -22.0 / 525,
              1.0 / 40}};

const ito_ode_method ito_ode_rk4 = {.name = "rk4",
                                    .help = "the classical method of order 4",
                                    .source = "Kutta 1901",
                                    .stages = 4,
                                    .order = 4,
                                    .a = {{0}, {0.5}, {0, 0.5}, {0, 0, 1}},
                                    .b = {1.0 / 6, 1.0 / 3, 1.0 / 3, 1.0 / 6}};

const ito_ode_method ito_ode_heun = {.name = "heun",
                                     .help = "the mean slope of both ends, of order 2",
                                     .source = "Heun 1900",
                                     .stages = 2,
                                     .order = 2,
                                     .a = {{0}, {1}},
                                     .b = {0.5, 0.5}};

const ito_ode_method ito_ode_euler = {.name = "euler",
                                      .help = "the slope at the beginning, of order 1",
                                      .source = "Euler 1768",
                                      .stages = 1,
                                      .order = 1,
                                      .b = {1}};

const ito_ode_method *ito_ode_method_find(const char *name)
{
#define ITO_ODE_METHOD(object) (const ito_choice *)(const void *)&object,
    static const ito_choice *const list[] = {
#include "autograd/ode_methods.def"
    };
    return (const void *)choice_in("ode method", list, sizeof list / sizeof list[0], name);
}

/* A solution under way. */
typedef struct solution {
    ito_ode_function *f;
    void *context;
    const ito_ode_method *method;
    ito_ode_options o;
    double t, end;
    ito_tensor *x, *slope; /* held; slope is f(t, x), or NULL: not known */
    ito_ode_report report;
} solution;

/* ---- a step ---- */

static ito_tensor *evaluate(solution *s, double t, ito_tensor *x)
{
    if (x == NULL)
        return NULL;
    s->report.evaluations++;
    ito_tensor *slope = s->f(t, x, s->context);
    if (slope == NULL && ito_error_code() == ITO_OK)
        ito_error_set(ITO_ERR_ARGUMENT, "ode: f gave nothing at t = %g", t);
    if (slope == NULL)
        return NULL;
    if (slope->dtype != x->dtype)
        return error_null(ITO_ERR_DTYPE, "ode: f gave %s, and x is %s",
                          ito_dtype_name(slope->dtype), ito_dtype_name(x->dtype));
    if (!shape_equal(ito_shape_of(slope), ito_shape_of(x)))
        return error_null(ITO_ERR_SHAPE, "ode: f gave %s, and x is %s", tensor_shape_str(slope),
                          tensor_shape_str(x));
    return slope;
}

/* x + h sum_i weights[i] k[i]. */
static ito_tensor *moved(ito_tensor *x, double h, const double *weights, ito_tensor *const *k,
                         int n)
{
    for (int i = 0; i < n; i++)
        if (weights[i] != 0.0)
            x = ito_axpby(1.0, x, h * weights[i], k[i]);
    return x;
}

/* Where the last stage is evaluated at the result (first same as last). */
static bool ends_at_result(const ito_ode_method *m)
{
    bool same = m->b[m->stages - 1] == 0.0;
    for (int i = 0; same && i + 1 < m->stages; i++)
        same = m->a[m->stages - 1][i] == m->b[i];
    return same;
}

/* A step of length h that has been made, not yet taken. */
typedef struct trial {
    ito_tensor *x, *slope; /* at its end; slope may be NULL */
    ito_tensor *error;     /* or NULL */
} trial;

static bool make_step(solution *s, double h, bool with_error, trial *out)
{
    const ito_ode_method *m = s->method;
    ito_tensor *k[ITO_ODE_STAGES], *at = s->x;
    for (int i = 0; i < m->stages; i++) {
        double share = 0.0;
        for (int j = 0; j < i; j++)
            share += m->a[i][j];
        at = moved(s->x, h, m->a[i], k, i);
        k[i] = i == 0 && s->slope != NULL ? s->slope : evaluate(s, s->t + share * h, at);
        if (k[i] == NULL)
            return false;
    }
    bool at_result = ends_at_result(m);
    out->x = at_result ? at : moved(s->x, h, m->b, k, m->stages);
    out->slope = at_result ? k[m->stages - 1] : NULL;
    out->error = with_error ? moved(ito_zeros_like(s->x), h, m->error, k, m->stages) : NULL;
    return out->x != NULL && (!with_error || out->error != NULL);
}

/* Hold the step's end. False after an error, or if observe stops. */
static bool take_step(solution *s, double t, const trial *end)
{
    if (ito_replace(&s->x, end->x) != ITO_OK)
        return false;
    ito_release(s->slope);
    s->slope = ito_retain(end->slope);
    s->t = t;
    s->report.steps++;
    return s->o.observe == NULL || s->o.observe(t, s->x, s->o.observe_context);
}

static bool solve_in_equal_steps(solution *s)
{
    double start = s->t;
    int64_t n = s->o.steps;
    bool go_on = true;
    for (int64_t i = 0; go_on && i < n; i++) {
        double t = i + 1 == n ? s->end : start + (s->end - start) * (double)(i + 1) / (double)n;
        trial end;
        ito_scope_begin();
        go_on = make_step(s, t - s->t, false, &end) && take_step(s, t, &end);
        ito_scope_end();
    }
    return go_on;
}

/* ---- steps that keep to a tolerance ---- */

/* The norm of v over atol + rtol max(|x|, |y|); -1 after an error. */
static double norm(const solution *s, ito_tensor *v, ito_tensor *x, ito_tensor *y)
{
    if (v != NULL && ito_numel(v) == 0)
        return 0.0;
    double result;
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *size = ito_maximum(ito_abs(x), ito_abs(y));
    ito_tensor *scale = ito_add_scalar(ito_mul_scalar(size, s->o.rtol), s->o.atol);
    ito_tensor *ratio = ito_abs(ito_div(v, scale));
    ratio = s->o.norm == ITO_ODE_MAX ? ito_max(ratio) : ito_sqrt(ito_mean(ito_square(ratio)));
    if (ratio == NULL || ito_to_data(ratio, &result, ITO_F64) != ITO_OK)
        result = -1.0;
    ito_no_grad_end();
    ito_scope_end();
    return result;
}

/* The length of the first step, from the size of x, of its slope and of the slope's change; -1
 * after an error. Hairer et al., section II.4. */
static double first_length(solution *s, double direction)
{
    double whole = fabs(s->end - s->t), order = s->method->order;
    double size = norm(s, s->x, s->x, s->x), speed = norm(s, s->slope, s->x, s->x);
    if (size < 0.0 || speed < 0.0)
        return -1.0;
    double h = fmin(size < 1e-5 || speed < 1e-5 ? 1e-6 : 0.01 * size / speed, whole);
    ito_tensor *then =
        evaluate(s, s->t + direction * h, ito_axpby(1.0, s->x, direction * h, s->slope));
    double change = norm(s, ito_sub(then, s->slope), s->x, s->x);
    if (change < 0.0)
        return -1.0;
    double most = fmax(speed, change / h);
    double longest = most <= 1e-15 ? fmax(1e-6, 1e-3 * h) : pow(0.01 / most, 1.0 / order);
    return fmin(fmin(100.0 * h, longest), whole);
}

/* Try steps from here, each shorter than the last, until one keeps to the tolerance, and take it.
 * *length is what to try first, and then what to try next. */
static bool adapt_step(solution *s, double direction, double *length)
{
    double least = 10.0 * fabs(nextafter(s->t, direction * (double)INFINITY) - s->t), h, error = 0;
    bool rejected = false;
    for (h = fmax(*length, least); h >= least; rejected = true) {
        double t = s->t + direction * h;
        t = direction * (t - s->end) > 0.0 ? s->end : t;
        h = fabs(t - s->t);
        if (s->report.evaluations + s->method->stages > s->o.max_evaluations)
            return error_false(ITO_ERR_NUMERIC,
                               "ode: %" PRId64 " of at most %" PRId64
                               " evaluations lead to t = %g, which is not yet %g",
                               s->report.evaluations, s->o.max_evaluations, s->t, s->end);
        trial end;
        ito_scope_begin();
        error = make_step(s, t - s->t, true, &end) ? norm(s, end.error, s->x, end.x) : -1.0;
        bool good = error >= 0.0 && error < 1.0, go_on = good && take_step(s, t, &end);
        ito_scope_end();
        double factor = isfinite(error) ? 0.9 * pow(error, -1.0 / s->method->order) : 0.0;
        if (good)
            *length = h * fmin(factor, rejected ? 1.0 : 10.0);
        if (good || error < 0.0)
            return go_on;
        s->report.rejected++;
        h *= fmax(factor, 0.2);
    }
    if (!isfinite(error))
        return error_false(ITO_ERR_NUMERIC, "ode: x is not finite after t = %g", s->t);
    return error_false(ITO_ERR_NUMERIC,
                       "ode: at t = %g %s would need steps below %g to keep to rtol %g and atol %g",
                       s->t, s->method->name, least, s->o.rtol, s->o.atol);
}

static bool solve_to_tolerance(solution *s)
{
    double direction = s->end > s->t ? 1.0 : -1.0, length = 0.0;
    bool go_on = true;
    ito_scope_begin();
    go_on = ito_replace(&s->slope, evaluate(s, s->t, s->x)) == ITO_OK;
    ito_no_grad_begin();
    if (go_on && s->t != s->end)
        length = first_length(s, direction);
    ito_no_grad_end();
    ito_scope_end();
    go_on = go_on && length >= 0.0;
    while (go_on && s->t != s->end)
        go_on = adapt_step(s, direction, &length);
    return go_on;
}

/* ---- the call ---- */

static bool has_error_estimate(const ito_ode_method *m)
{
    for (int i = 0; i < m->stages; i++)
        if (m->error[i] != 0.0)
            return true;
    return false;
}

static bool check_method(const ito_ode_method *m, const ito_ode_options *o)
{
    if (m->stages < 1 || m->stages > ITO_ODE_STAGES || m->order < 1)
        return error_false(ITO_ERR_RANGE,
                           "ode: %s has %d stages and order %d; a method has 1 to %d stages and an "
                           "order of at least 1",
                           m->name, m->stages, m->order, ITO_ODE_STAGES);
    if (o->steps == ITO_ODE_ADAPTIVE && !has_error_estimate(m))
        return error_false(ITO_ERR_ARGUMENT,
                           "ode: %s does not estimate its error; .steps has to say how many it "
                           "makes",
                           m->name);
    return true;
}

static bool check_call(const solution *s, const ito_tensor *x)
{
    const ito_ode_options *o = &s->o;
    if (s->f == NULL)
        return error_false(ITO_ERR_ARGUMENT, "ode: f is NULL");
    if (x->dtype != ITO_F32 && x->dtype != ITO_F64)
        return error_false(ITO_ERR_DTYPE, "ode: x is f32 or f64, not %s", ito_dtype_name(x->dtype));
    if (!isfinite(s->t) || !isfinite(s->end))
        return error_false(ITO_ERR_RANGE, "ode: from t = %g to %g; both must be finite", s->t,
                           s->end);
    if (o->steps < 1 && o->steps != ITO_ODE_ADAPTIVE)
        return error_false(ITO_ERR_RANGE, "ode: %" PRId64 " steps; at least 1 is needed", o->steps);
    if (!(o->rtol >= 0.0 && isfinite(o->rtol) && o->atol > 0.0 && isfinite(o->atol)))
        return error_false(
            ITO_ERR_RANGE,
            "ode: rtol is %g and atol %g; rtol is at least 0, atol above 0, and both are "
            "finite",
            o->rtol, o->atol);
    if (o->norm != ITO_ODE_RMS && o->norm != ITO_ODE_MAX)
        return error_false(ITO_ERR_RANGE, "ode: there is no norm %d", (int)o->norm);
    return check_method(s->method, o);
}

ito_tensor *ito_ode_solve_with(ito_ode_function *f, void *context, ito_tensor *x, double t0,
                               double t1, ito_ode_options options)
{
    solution s = {.f = f, .context = context, .o = options, .t = t0, .end = t1};
    s.method = options.method == NULL ? &ito_ode_rk45 : options.method;
    if (options.report != NULL)
        *options.report = s.report;
    if (x == NULL) {
        error_missing("ode", "x");
        return NULL;
    }
    if (!check_call(&s, x))
        return NULL;
    s.x = ito_retain(x);
    bool good =
        options.steps == ITO_ODE_ADAPTIVE ? solve_to_tolerance(&s) : solve_in_equal_steps(&s);
    if (options.report != NULL)
        *options.report = s.report;
    ito_release(s.slope);
    if (good)
        return tensor_adopt(s.x);
    ito_release(s.x);
    return NULL;
}
