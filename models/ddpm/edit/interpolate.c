/* Interpolation between two examples, mixed at a noisy time.
 * Invariant: all mixtures take the same random numbers. */
#include "models/ddpm/edit/noised.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "tensor/internal.h"

static bool check_interpolation(const ito_diffusion *d, const ito_tensor *a, const ito_tensor *b,
                                const ito_tensor *lambda, double t)
{
    if (d == NULL) {
        error_missing("interpolate", "the diffusion");
        return false;
    }
    const ito_process *p = d->process;
    if (a->ndim < 1 || a->shape[0] != 1 || !shape_equal(ito_shape_of(a), ito_shape_of(b)) ||
        a->dtype != b->dtype || lambda->ndim != 1) {
        ito_error_set(
            ITO_ERR_SHAPE,
            "interpolate: the data are %s and %s and lambda is %s; they must be [1, ...], "
            "equal, and [K]",
            tensor_shape_str(a), tensor_shape_str(b), tensor_shape_str(lambda));
        return false;
    }
    if (t > p->t_min && t <= p->t_max)
        return true;
    ito_error_set(ITO_ERR_RANGE, "interpolate: t is %g; it must be above %g, and at most %g", t,
                  p->t_min, p->t_max);
    return false;
}

/* The mixtures at the first time. The second image's noise has a stream of its own. */
static ito_tensor *mixtures(sampler_run *run, ito_tensor *a, ito_tensor *b, ito_tensor *lambda)
{
    int64_t K = lambda->shape[0];
    ito_tensor *first = noised_to_start(run, a);
    ito_generator after = run->generators[0];
    run->generators[0] = ito_generator_make(after.seed, after.stream + 1);
    ito_tensor *second = noised_to_start(run, b);
    for (int64_t i = 0; i < K; i++) /* all continue from the same state */
        run->generators[i] = after;
    ito_shape shape = one_per_example(a);
    shape.dim[0] = K;
    ito_tensor *share = ito_cast(ito_reshape_to(lambda, shape), a->dtype);
    if (first == NULL || second == NULL)
        return NULL;
    return ito_add(first, ito_mul(share, ito_sub(second, first)));
}

ito_tensor *ito_diffusion_interpolate_with(const ito_diffusion *d, ito_network *network,
                                           ito_tensor *x_a, ito_tensor *x_b, ito_tensor *lambda,
                                           double t, ito_sample_options options)
{
    sampler_run run;
    if (x_a == NULL || x_b == NULL || lambda == NULL ||
        !check_interpolation(d, x_a, x_b, lambda, t))
        return NULL;
    ito_shape shape = ito_shape_of(x_a);
    shape.dim[0] = lambda->shape[0];
    options.dtype = x_a->dtype;
    options.start = t;
    if (sampler_run_begin(&run, d, network, shape, options) != ITO_OK)
        return NULL;
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *x = ito_keep(sampler_run_from(&run, mixtures(&run, x_a, x_b, lambda)));
    ito_no_grad_end();
    ito_scope_end();
    sampler_run_end(&run);
    return x;
}
