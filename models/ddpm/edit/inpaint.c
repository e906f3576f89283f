/* Inpainting: RePaint, on the run of the samplers.
 * Invariant: example i takes random numbers from its own generator only. */
#include "models/ddpm/edit/edit.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/random.h"
#include "models/ddpm/sampler/run.h"
#include "tensor/internal.h"

#include <stdlib.h>

/* RePaint's path over n steps: places in the list of times, or their number alone if out is NULL.
 * left [n] counts the returns that a place still has. */
static int64_t repaint_places(int64_t n, ito_resampling r, int64_t *left, int64_t *out)
{
    int64_t count = 0;
    for (int64_t k = 0; k < n; k++)
        left[k] = k % r.jump == 0 && k < n - r.jump ? r.repeats - 1 : 0;
    for (int64_t t = n - 1; t >= 0; t--) {
        if (out != NULL)
            out[count] = n - 1 - t;
        count++;
        if (left[t] == 0)
            continue;
        left[t]--;
        for (int64_t k = 0; k < r.jump; k++) {
            t++;
            if (out != NULL)
                out[count] = n - 1 - t;
            count++;
        }
    }
    return count;
}

/* The run's times with RePaint's returns put in. */
static ito_status add_returns(sampler_run *run, ito_resampling r)
{
    int64_t n = run->state.n, *places = NULL, count = 0;
    double *times = NULL;
    int64_t *left = struct_alloc((size_t)n * sizeof *left);
    if (left != NULL)
        count = repaint_places(n, r, left, NULL);
    if (count > 0)
        times = struct_alloc(((size_t)count + 1) * sizeof *times);
    if (times != NULL)
        places = struct_alloc(((size_t)count + 1) * sizeof *places);
    if (places != NULL) {
        repaint_places(n, r, left, places);
        for (int64_t i = 0; i < count; i++)
            times[i] = run->times[places[i]];
        times[count] = run->times[n];
        free(run->times);
        run->times = times;
        run->state.n = count;
    } else {
        free(times);
    }
    free(left);
    free(places);
    return places == NULL ? ito_error_code() : ITO_OK;
}

static bool check_inpainting(const ito_tensor *x_0, const ito_tensor *mask, ito_resampling r)
{
    ito_shape both;
    if (!shape_broadcast(ito_shape_of(mask), ito_shape_of(x_0), &both) ||
        !shape_equal(both, ito_shape_of(x_0))) {
        ito_error_set(ITO_ERR_SHAPE, "inpaint: a mask %s does not fit data %s",
                      tensor_shape_str(mask), tensor_shape_str(x_0));
        return false;
    }
    if (r.jump < 1 || r.repeats < 1 || r.repeats > 1000000) {
        ito_error_set(ITO_ERR_RANGE,
                      "inpaint: jumps of %" PRId64 " steps, %" PRId64
                      " times; both must be at least 1, and repeats at most 1000000",
                      r.jump, r.repeats);
        return false;
    }
    return true;
}

ito_tensor *ito_diffusion_inpaint_with(const ito_diffusion *d, ito_network *network,
                                       ito_tensor *x_0, ito_tensor *mask, ito_resampling r,
                                       ito_sample_options options)
{
    sampler_run run;
    if (x_0 == NULL || mask == NULL || !check_inpainting(x_0, mask, r))
        return NULL;
    options.dtype = x_0->dtype;
    if (sampler_run_begin(&run, d, network, ito_shape_of(x_0), options) != ITO_OK)
        return NULL;
    ito_tensor *x = NULL, *start = NULL;
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *above = ito_cast(mask, ITO_F32);
    run.given = ito_detach(x_0);
    run.mask = above == NULL ? NULL : ito_gt(above, ito_full_like(above, 0.5));
    if (run.mask != NULL && run.given != NULL && add_returns(&run, r) == ITO_OK)
        start = data_empty(ito_shape_of(x_0), x_0->dtype);
    if (start != NULL && draw_images(run.generators, start) == ITO_OK)
        x = ito_keep(sampler_run_from(&run, ito_mul_scalar(start, prior_deviation(d->process))));
    ito_no_grad_end();
    ito_scope_end();
    sampler_run_end(&run);
    return x;
}
