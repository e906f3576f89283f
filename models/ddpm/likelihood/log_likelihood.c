/* Log likelihoods along the probability-flow ODE. The state is [N, D + K] f64: the D elements of an
 * example, and the integral of its divergence over D by each of K probes, which so are estimates of
 * their own; an exact trace is one.
 * Invariant: example i takes random numbers from its own stream only. */
#include "models/ddpm/likelihood/log_likelihood.h"

#include "autograd/ops.h"
#include "autograd/transforms.h"
#include "models/ddpm/random.h"
#include "models/ddpm/sampler/probability_flow_internal.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>

typedef struct likelihood {
    probability_flow flow;
    ito_log_likelihood_options o;
    ito_shape shape; /* [N, ...] of the data */
    int64_t N, D, K;
    ito_generator *generators; /* [N] */
    ito_tensor **probes;       /* [K] shaped as the data, f64; of an exact trace NULL */
    double angle;              /* of the evaluation under way */
} likelihood;

/* ---- the divergence ---- */

static ito_tensor *velocity(ito_tensor *const *u, int64_t n, void *context)
{
    (void)n;
    const likelihood *l = context;
    return flow_velocity(&l->flow, l->angle, u[0]);
}

/* [N, 1]: the sum over an example of z (dv/du) z; *v receives v(u). */
static ito_tensor *product(likelihood *l, ito_tensor *u, ito_tensor *z, ito_tensor **v)
{
    ito_tensor *moved = ito_jvp(velocity, l, &u, 1, &z, v);
    ito_tensor *products = ito_reshape(ito_mul(z, moved), l->N, l->D);
    return ito_sum(products, .dims = ITO_DIMS(1), .keepdim = true);
}

/* Shaped as the data: 1 at element j of each example, else 0. */
static ito_tensor *unit(const likelihood *l, int64_t j)
{
    ito_tensor *z = ito_zeros(l->shape, ITO_F64);
    for (int64_t i = 0; z != NULL && i < l->N; i++)
        ((double *)tensor_data(z))[i * l->D + j] = 1.0;
    return z;
}

/* [N, 1]: the trace of dv/du. */
static ito_tensor *trace(likelihood *l, ito_tensor *u, ito_tensor **v)
{
    ito_tensor *sum = ito_zeros(ITO_SHAPE(l->N, 1), ITO_F64);
    for (int64_t j = 0; j < l->D && sum != NULL; j++)
        sum = ito_add(sum, product(l, u, unit(l, j), v));
    return sum;
}

/* The slope of the state. */
static ito_tensor *slope(double angle, ito_tensor *state, void *context)
{
    likelihood *l = context;
    ito_tensor *u = ito_reshape_to(ito_narrow(state, 1, 0, l->D), l->shape), *v = NULL;
    ito_tensor *columns = NULL;
    l->angle = angle;
    for (int64_t k = 0; k < l->K; k++) {
        ito_tensor *one = l->o.probes == 0 ? trace(l, u, &v) : product(l, u, l->probes[k], &v);
        columns = k == 0 ? one : ito_cat(ITO_TENSORS(columns, one), 1);
        if (columns == NULL)
            return NULL;
    }
    return ito_cat(
        ITO_TENSORS(ito_reshape(v, l->N, l->D), ito_mul_scalar(columns, 1.0 / (double)l->D)), 1);
}

/* ---- random numbers ---- */

/* Shaped as the data, f64: numbers of a law from each example's own stream; NULL: normal ones. */
static ito_tensor *draw(likelihood *l, double (*law)(ito_generator *g))
{
    ito_tensor *z = tensor_empty(l->shape, ITO_F64);
    if (z == NULL || (law == NULL && draw_images(l->generators, z) != ITO_OK))
        return NULL;
    for (int64_t i = 0; law != NULL && i < ito_numel(z); i++)
        ((double *)tensor_data(z))[i] = law(&l->generators[i / l->D]);
    return z;
}

static double sign(ito_generator *g)
{
    return ito_uniform(g) < 0.5 ? -1.0 : 1.0;
}

static double centred(ito_generator *g)
{
    return ito_uniform(g) - 0.5;
}

/* ---- the call ---- */

static ito_status check(const likelihood *l, const ito_tensor *x_0)
{
    const ito_log_likelihood_options *o = &l->o;
    if (x_0->ndim < 1 || l->D < 1)
        return error_status(ITO_ERR_SHAPE,
                            "log_likelihood: the data are %s, not [N, ...] with elements",
                            tensor_shape_str(x_0));
    if (x_0->dtype != ITO_F32 && x_0->dtype != ITO_F64)
        return error_status(ITO_ERR_DTYPE, "log_likelihood: data are f32 or f64, not %s",
                            ito_dtype_name(x_0->dtype));
    if (o->probes < 0)
        return error_status(ITO_ERR_RANGE,
                            "log_likelihood: %" PRId64 " probes; 0 is the exact trace", o->probes);
    if (checked_mul(l->K, sizeof *l->probes) < 0)
        return error_status(ITO_ERR_RANGE, "log_likelihood: %" PRId64 " probes are too many",
                            o->probes);
    if (!(o->dequantise >= 0.0 && isfinite(o->dequantise)))
        return error_status(ITO_ERR_RANGE,
                            "log_likelihood: dequantise is %g; a spacing is finite and at least 0",
                            o->dequantise);
    if (!(o->scale > 0.0 && isfinite(o->scale)))
        return error_status(ITO_ERR_RANGE,
                            "log_likelihood: scale is %g; it must be finite and above 0", o->scale);
    return ITO_OK;
}

/* The state at the data, and the probes. */
static ito_tensor *begin(likelihood *l, ito_tensor *x_0)
{
    ito_tensor *u = ito_cast(x_0, ITO_F64);
    if (l->o.dequantise > 0.0)
        u = ito_axpby(1.0, u, l->o.dequantise, draw(l, centred));
    for (int64_t k = 0; l->o.probes > 0 && k < l->K; k++) {
        l->probes[k] = draw(l, l->o.probe == ITO_PROBE_GAUSSIAN ? NULL : sign);
        if (l->probes[k] == NULL)
            return NULL;
    }
    u = ito_reshape(ito_mul_scalar(u, cos(l->flow.clean)), l->N, l->D);
    return ito_cat(ITO_TENSORS(u, ito_zeros(ITO_SHAPE(l->N, l->K), ITO_F64)), 1);
}

/* What the state at the noise says. */
static void finish(const likelihood *l, ito_tensor *state, ito_log_likelihoods *out)
{
    double D = (double)l->D, cell = l->o.dequantise > 0.0 ? l->o.dequantise / l->o.scale : 1.0;
    ito_level end = ito_process_level(l->flow.d->process, l->flow.t_max);
    ito_tensor *u = ito_narrow(state, 1, 0, l->D), *columns = ito_narrow(state, 1, l->D, l->K);
    ito_tensor *prior = ito_mul_scalar(ito_sum(ito_square(u), .dims = ITO_DIMS(1)), -0.5);
    ito_tensor *mean = ito_mean(columns, .dims = ITO_DIMS(1));
    double constant = -0.5 * log(2.0 * M_PI) + log(cos(l->flow.clean)) + log(l->o.scale);
    out->log_p = ito_add_scalar(ito_axpby(1.0, prior, D, mean), D * constant);
    out->bits = ito_add_scalar(ito_mul_scalar(out->log_p, -1.0 / (D * M_LN2)), -log2(cell));
    if (l->o.probes > 1)
        out->error =
            ito_mul_scalar(ito_sqrt(ito_var(columns, .dims = ITO_DIMS(1))), D / sqrt((double)l->K));
    out->noise = ito_cast(ito_reshape_to(ito_mul_scalar(u, hypot(end.signal, end.noise)), l->shape),
                          l->flow.dtype);
}

static void solve(likelihood *l, ito_tensor *x_0, ito_log_likelihoods *out)
{
    const ito_log_likelihood_options *o = &l->o;
    l->generators = image_generators("log_likelihood", o->seed, o->first_image, l->N);
    l->probes = l->generators == NULL ? NULL : struct_alloc((size_t)l->K * sizeof *l->probes);
    ito_tensor *state = l->probes == NULL ? NULL : begin(l, x_0);
    if (state != NULL)
        state =
            ito_ode_solve(slope, l, state, l->flow.clean, l->flow.noisy, .method = o->method,
                          .steps = o->steps, .rtol = o->rtol, .atol = o->atol, .norm = ITO_ODE_MAX,
                          .max_evaluations = o->max_evaluations, .report = o->report);
    free(l->generators);
    free(l->probes);
    if (state != NULL)
        finish(l, state, out);
}

ito_status ito_log_likelihood_with(const ito_diffusion *d, ito_network *network, ito_tensor *x_0,
                                   ito_log_likelihood_options options, ito_log_likelihoods *out)
{
    if (x_0 == NULL)
        return error_missing("log_likelihood", "x_0");
    likelihood l = {.flow = {.op = "log_likelihood",
                             .d = d,
                             .network = network,
                             .dtype = x_0->dtype,
                             .t_min = options.t_min,
                             .t_max = options.t_max},
                    .o = options,
                    .shape = ito_shape_of(x_0),
                    .N = x_0->ndim < 1 ? 0 : x_0->shape[0],
                    .D = 1,
                    .K = options.probes > 1 ? options.probes : 1};
    ito_log_likelihoods result = {NULL, NULL, NULL, NULL};
    for (int i = 1; i < x_0->ndim; i++)
        l.D *= x_0->shape[i];
    ito_status status = check(&l, x_0);
    if (status == ITO_OK)
        status = flow_begin(&l.flow);
    if (status != ITO_OK)
        return status;
    ito_scope_begin();
    ito_no_grad_begin();
    solve(&l, x_0, &result);
    ito_no_grad_end();
    result = (ito_log_likelihoods){ito_keep(result.log_p), ito_keep(result.bits),
                                   ito_keep(result.error), ito_keep(result.noise)};
    ito_scope_end();
    if (result.log_p == NULL || result.bits == NULL || result.noise == NULL ||
        (options.probes > 1 && result.error == NULL))
        return ito_error_code();
    *out = result;
    return ITO_OK;
}
