/* The probability-flow ODE in the angle, and sampling along it.
 * Invariant: x_0-hat and eps-hat come from u and the network's output by one division, by a number
 * that has been checked at both ends. */
#include "models/ddpm/sampler/probability_flow_internal.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/random.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>

static double angle_at(const ito_process *p, double t)
{
    ito_level level = ito_process_level(p, t);
    return atan2(level.noise, level.signal);
}

/* The time at this angle, by bisection: the ratio of noise to signal rises with it. */
static double time_at(const probability_flow *flow, double angle)
{
    double low = flow->t_min, high = flow->t_max;
    if (angle <= flow->clean || angle >= flow->noisy)
        return angle <= flow->clean ? low : high;
    for (;;) {
        double middle = 0.5 * (low + high);
        if (middle <= low || middle >= high)
            return low;
        if (angle_at(flow->d->process, middle) <= angle)
            low = middle;
        else
            high = middle;
    }
}

/* du/da = (output - at_u u) / divisor, from output = x_0 x_0-hat + eps eps-hat with
 * x_0-hat = cos u - sin du/da and eps-hat = sin u + cos du/da. */
typedef struct velocity_parts {
    double at_u, divisor, size;
} velocity_parts;

static velocity_parts parts_at(const ito_diffusion *d, const ito_step *step)
{
    double size = hypot(step->at.signal, step->at.noise);
    double c = step->at.signal / size, s = step->at.noise / size;
    ito_target target = d->prediction->target(d->prediction, step);
    return (velocity_parts){target.x_0 * c + target.eps * s, target.eps * c - target.x_0 * s, size};
}

static ito_status check_end(const probability_flow *flow, double t)
{
    ito_step step = ito_step_between(flow->d->process, t, flow->d->process->t_clean);
    velocity_parts parts = parts_at(flow->d, &step);
    if (isfinite(parts.at_u) && isfinite(parts.divisor) && parts.divisor != 0.0)
        return ITO_OK;
    return error_status(ITO_ERR_ARGUMENT,
                        "%s: %s does not tell x_0 and eps at time %g (signal %g, noise %g); t_min "
                        "and t_max can leave it out",
                        flow->op, flow->d->prediction->name, t, step.at.signal, step.at.noise);
}

ito_status flow_begin(probability_flow *flow)
{
    if (flow->d == NULL)
        return error_missing(flow->op, "the diffusion");
    const ito_process *p = flow->d->process;
    if (isnan(flow->t_min))
        flow->t_min = p->t_min;
    if (isnan(flow->t_max))
        flow->t_max = p->t_max;
    if (!(flow->t_min >= p->t_min && flow->t_min < flow->t_max && flow->t_max <= p->t_max))
        return error_status(ITO_ERR_RANGE,
                            "%s: times from %g to %g; they must rise, within %g to %g", flow->op,
                            flow->t_min, flow->t_max, p->t_min, p->t_max);
    flow->clean = angle_at(p, flow->t_min);
    flow->noisy = angle_at(p, flow->t_max);
    ito_status status = check_end(flow, flow->t_min);
    return status == ITO_OK ? check_end(flow, flow->t_max) : status;
}

ito_tensor *flow_velocity(const probability_flow *flow, double angle, ito_tensor *u)
{
    network_heads heads;
    const ito_process *p = flow->d->process;
    ito_step step = ito_step_between(p, time_at(flow, angle), p->t_clean);
    velocity_parts parts = parts_at(flow->d, &step);
    ito_tensor *x_t = ito_cast(ito_mul_scalar(u, parts.size), flow->dtype);
    ito_network_begin(flow->network);
    if (!evaluate_at(flow->op, flow->d, flow->network, x_t, &step, &heads))
        return NULL;
    return ito_axpby(-parts.at_u / parts.divisor, u, 1.0 / parts.divisor,
                     ito_cast(heads.prediction, ITO_F64));
}

/* ---- sampling ---- */

static ito_tensor *velocity(double angle, ito_tensor *u, void *flow)
{
    return flow_velocity(flow, angle, u);
}

/* From u at the noisy end to data. */
static ito_tensor *solve(const probability_flow *flow, ito_tensor *u,
                         const ito_sample_ode_options *o)
{
    double c = cos(flow->clean), s = sin(flow->clean);
    u = ito_ode_solve(velocity, (void *)(uintptr_t)flow, u, flow->noisy, flow->clean,
                      .method = o->method, .steps = o->steps, .rtol = o->rtol, .atol = o->atol,
                      .norm = ITO_ODE_MAX, .max_evaluations = o->max_evaluations,
                      .report = o->report);
    if (u != NULL && o->denoise)
        u = ito_axpby(c, u, -s, flow_velocity(flow, flow->clean, u));
    else
        u = ito_mul_scalar(u, 1.0 / c);
    return ito_cast(u, flow->dtype);
}

static probability_flow flow_of(const ito_diffusion *d, ito_network *network, ito_dtype dtype,
                                const ito_sample_ode_options *o)
{
    return (probability_flow){.op = "sample_ode",
                              .d = d,
                              .network = network,
                              .dtype = dtype,
                              .t_min = o->t_min,
                              .t_max = o->t_max};
}

static bool check_data(ito_shape shape, ito_dtype dtype)
{
    if (shape.ndim < 1)
        return error_false(ITO_ERR_SHAPE, "sample_ode: %s is not [N, ...]", shape_str(shape));
    if (dtype != ITO_F32 && dtype != ITO_F64)
        return error_false(ITO_ERR_DTYPE, "sample_ode: data are f32 or f64, not %s",
                           ito_dtype_name(dtype));
    return true;
}

ito_tensor *ito_diffusion_sample_ode_with(const ito_diffusion *d, ito_network *network,
                                          ito_shape shape, ito_sample_ode_options options)
{
    probability_flow flow = flow_of(d, network, options.dtype, &options);
    if (!check_data(shape, options.dtype) || flow_begin(&flow) != ITO_OK)
        return NULL;
    ito_generator *generators =
        image_generators("sample_ode", options.seed, options.first_image, shape.dim[0]);
    if (generators == NULL)
        return NULL;
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *noise = data_empty(shape, options.dtype), *x = NULL;
    if (noise != NULL && draw_images(generators, noise) == ITO_OK)
        x = solve(&flow, ito_cast(noise, ITO_F64), &options);
    ito_no_grad_end();
    x = ito_keep(x);
    ito_scope_end();
    free(generators);
    return x;
}

ito_tensor *ito_diffusion_sample_ode_from_with(const ito_diffusion *d, ito_network *network,
                                               ito_tensor *x, ito_sample_ode_options options)
{
    if (x == NULL)
        return error_missing("sample_ode", "x"), NULL;
    probability_flow flow = flow_of(d, network, x->dtype, &options);
    if (!check_data(ito_shape_of(x), x->dtype) || flow_begin(&flow) != ITO_OK)
        return NULL;
    ito_level end = ito_process_level(d->process, flow.t_max);
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *u = ito_mul_scalar(ito_cast(x, ITO_F64), 1.0 / hypot(end.signal, end.noise));
    ito_tensor *data = ito_keep(solve(&flow, u, &options));
    ito_no_grad_end();
    ito_scope_end();
    return data;
}
