/* Ordinary differential equations over tensors: dx/dt = f(t, x) from t0 to t1.
 *
 *     static ito_tensor *decay(double t, ito_tensor *x, void *rate)
 *     {
 *         return ito_mul_scalar(x, -*(double *)rate);
 *     }
 *     ito_tensor *x = ito_ode_solve(decay, &rate, x_0, 0, 1);                 // to a tolerance
 *     ito_tensor *y = ito_ode_solve(decay, &rate, x_0, 0, 1, .method = &ito_ode_rk4, .steps = 20);
 *
 * A method is a table of numbers (Butcher's), so one of your own is as good as the library's.
 */
#ifndef ITO_ODE_H
#define ITO_ODE_H

#include "autograd.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The most stages that a method has. */
#define ITO_ODE_STAGES 8

/** An explicit Runge-Kutta method. Stage i is f at t + h sum_j a[i][j] and x + h sum_j a[i][j] k_j,
 * and x moves by h sum_i b[i] k_i. */
typedef struct ito_ode_method {
    const char *name, *help, *source; /* an ito_choice */
    int stages;                       /* 1 to ITO_ODE_STAGES */
    int order;                        /* of the result: the error of fixed steps falls as h^order */
    double a[ITO_ODE_STAGES][ITO_ODE_STAGES]; /* below the diagonal */
    double b[ITO_ODE_STAGES];
    /** h sum_i error[i] k_i is the difference to a result of order - 1, by which steps are adapted;
     * all 0: there is none. */
    double error[ITO_ODE_STAGES];
} ito_ode_method;

/** Each of these is described by its own help and source, in ode.c. */
#define ITO_ODE_METHOD(name) ITO_API extern const ito_ode_method name;
#include "ode_methods.def"

/** The one of that name. NULL and ITO_ERR_ARGUMENT, with the names there are, if none has it. */
ITO_API const ito_ode_method *ito_ode_method_find(const char *name);

/** The slope at time t: shaped as x and of its dtype, of the current scope; NULL after an error. */
typedef ito_tensor *ito_ode_function(double t, ito_tensor *x, void *context);
/** Called with x, borrowed, after each step that is taken; false stops. */
typedef bool ito_ode_observe(double t, ito_tensor *x, void *context);

/** What it took. */
typedef struct ito_ode_report {
    int64_t evaluations; /* calls of f */
    int64_t steps;       /* that were taken */
    int64_t rejected;    /* that were too long, and were tried again */
} ito_ode_report;

/** How the errors of all elements, each divided by atol + rtol |x|, become the one number that has
 * to be below 1. */
typedef enum ito_ode_norm {
    ITO_ODE_RMS, /* the root of their mean square */
    ITO_ODE_MAX  /* the largest: no element hides behind others */
} ito_ode_norm;

/** As many steps as the tolerance needs. */
#define ITO_ODE_ADAPTIVE (-1)

/** How to solve. */
typedef struct ito_ode_options {
    int reserved_;
    const ito_ode_method *method;                /* default ito_ode_rk45 */
    int64_t steps ITO_DEFAULT(ITO_ODE_ADAPTIVE); /* or so many equal ones, which any method can */
    double rtol ITO_DEFAULT(1e-5);               /* 0 or more; of adaptive steps, as the next two */
    double atol ITO_DEFAULT(1e-5);               /* above 0 */
    ito_ode_norm norm;
    int64_t max_evaluations ITO_DEFAULT(100000); /* adaptive steps fail beyond them */
    ito_ode_report *report;                      /* written, even if it fails; or NULL */
    ito_ode_observe *observe;
    void *observe_context;
} ito_ode_options;
#define ITO_DEFAULTS_ito_ode_options                                                               \
    .steps = ITO_ODE_ADAPTIVE, .rtol = 1e-5, .atol = 1e-5, .max_evaluations = 100000

/**
 * x at time t1 of the solution that is x at t0; t1 may be the earlier one.
 *
 * Adaptive steps are chosen as by scipy.integrate.solve_ivp: a step's error is estimated, one that
 * is too large is tried again, and the next is 0.9 error^(-1/order) times as long. Results are
 * differentiable where history is recorded, through all steps; their lengths count as constant.
 *
 * @param f        pure: same t and x, same slope.
 * @param context  handed to f.
 * @param x        f32 or f64, of any shape.
 * @return         shaped as x, of the current scope. NULL on error: f's own; ITO_ERR_ARGUMENT if f
 *                 gave nothing or a method without an estimate of its error is given no .steps;
 *                 ITO_ERR_SHAPE or ITO_ERR_DTYPE if f's result is not as x; ITO_ERR_RANGE for times
 *                 that are not finite and for numbers in the options; ITO_ERR_NUMERIC if adaptive
 *                 steps become too short to move t, or max_evaluations is not enough. With no error
 *                 recorded if observe stopped it.
 * Source: Hairer, Norsett, Wanner 1993, Solving ordinary differential equations I, section II.4.
 */
ITO_API ito_tensor *ito_ode_solve_with(ito_ode_function *f, void *context, ito_tensor *x, double t0,
                                       double t1, ito_ode_options options);
#define ito_ode_solve(...) ITO_AT(ITO_CALL_5(ito_ode_solve_with, ito_ode_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_ode_method_find(...) ITO_AT(ito_ode_method_find(__VA_ARGS__))
#endif

#endif
