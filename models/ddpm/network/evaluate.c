/* Evaluation of a diffusion's network: its scaled input, its time input, and the heads of its
 * output. Invariant: numbers that depend on the time are computed in double, one for each example
 * or one for all. */
#include "autograd/ops.h"
#include "models/ddpm/diffusion_internal.h"
#include "tensor/internal.h"

bool part_heads(const char *op, const ito_diffusion *d, ito_tensor *output, const ito_tensor *x,
                network_heads *out)
{
    if (output == NULL)
        return false;
    ito_shape wanted = ito_shape_of(x);
    bool learned = d->variance->learned;
    if (learned && x->ndim < 2) {
        ito_error_set(ITO_ERR_SHAPE,
                      "%s: data %s have no axis for the second head that the variance %s needs", op,
                      tensor_shape_str(x), d->variance->name);
        return false;
    }
    if (learned)
        wanted.dim[1] *= 2;
    if (!shape_equal(ito_shape_of(output), wanted)) {
        if (learned)
            ito_error_set(ITO_ERR_SHAPE,
                          "%s: the network made %s of %s; the variance %s needs a second head, %s",
                          op, tensor_shape_str(output), tensor_shape_str(x), d->variance->name,
                          shape_str(wanted));
        else
            ito_error_set(ITO_ERR_SHAPE, "%s: the network made %s of %s", op,
                          tensor_shape_str(output), tensor_shape_str(x));
        return false;
    }
    out->prediction = learned ? ito_chunk(output, 2, 1, 0) : output;
    out->v = learned ? ito_chunk(output, 2, 1, 1) : NULL;
    return out->prediction != NULL && (!learned || out->v != NULL);
}

static double c_in(const ito_diffusion *d, const ito_step *step)
{
    return d->prediction->c_in(d->prediction, step);
}

static double time_input(const ito_diffusion *d, const ito_step *step)
{
    return d->time_input->value(step);
}

static bool diffusion_is_there(const char *op, const ito_diffusion *d)
{
    if (d == NULL)
        error_missing(op, "the diffusion");
    return d != NULL;
}

bool evaluate_noised(const char *op, const ito_diffusion *d, ito_network *network, ito_tensor *x_t,
                     ito_tensor *t, network_heads *out)
{
    if (!diffusion_is_there(op, d) || x_t == NULL)
        return false;
    ito_tensor *like = tensor_view(x_t, ITO_SHAPE(x_t->shape[0]), x_t->stride, x_t->offset);
    ito_network_input in = {.x = x_t, .x_t = x_t, .time = ito_cast(t, ITO_F64)};
    if (d->prediction->c_in != NULL)
        in.x = ito_mul(x_t, number_per_example(d, c_in, x_t, t));
    in.t = like == NULL ? NULL : number_per_example(d, time_input, like, t);
    if (in.x == NULL || in.t == NULL || in.time == NULL)
        return false;
    ito_network_begin(network);
    return part_heads(op, d, ito_network_evaluate(network, &in), x_t, out);
}

bool evaluate_at(const char *op, const ito_diffusion *d, ito_network *network, ito_tensor *x_t,
                 const ito_step *step, network_heads *out)
{
    if (!diffusion_is_there(op, d) || x_t == NULL)
        return false;
    ito_shape n = ITO_SHAPE(x_t->shape[0]);
    ito_network_input in = {.x = x_t,
                            .t = ito_full(n, time_input(d, step), x_t->dtype),
                            .x_t = x_t,
                            .time = ito_full(n, step->t, ITO_F64)};
    if (d->prediction->c_in != NULL)
        in.x = ito_mul_scalar(x_t, c_in(d, step));
    if (in.x == NULL || in.t == NULL || in.time == NULL)
        return false;
    return part_heads(op, d, ito_network_evaluate(network, &in), x_t, out);
}

static coefficients eps_coefficients(const ito_prediction *p, const ito_step *step)
{
    ito_preconditioning eps = ito_prediction_to_eps(p, step);
    return (coefficients){eps.c_skip, eps.c_out};
}

ito_status ito_diffusion_estimate(const ito_diffusion *d, ito_network *network, ito_tensor *x_t,
                                  ito_tensor *t, ito_estimate *out)
{
    network_heads heads;
    if (d == NULL || x_t == NULL || t == NULL)
        return error_missing("estimate", d == NULL ? "the diffusion" : x_t == NULL ? "x_t" : "t");
    if (x_t->ndim < 1 || (x_t->dtype != ITO_F32 && x_t->dtype != ITO_F64))
        return error_status(ITO_ERR_SHAPE,
                            "estimate: x_t is %s of %s; it must be [N, ...] of f32 or f64",
                            tensor_shape_str(x_t), ito_dtype_name(x_t->dtype));
    if (!times_fit("estimate", d->process, t, x_t->shape[0]) ||
        !evaluate_noised("estimate", d, network, x_t, t, &heads))
        return ito_error_code();
    ito_estimate e = {
        .x_0 = weighted_sum(d->process, x_0_coefficients, d->prediction, x_t, heads.prediction, t),
        .eps = weighted_sum(d->process, eps_coefficients, d->prediction, x_t, heads.prediction, t),
        .v = heads.v};
    if (e.x_0 == NULL || e.eps == NULL)
        return ito_error_code();
    *out = e;
    return ITO_OK;
}
