/* Exponential moving averages of parameters, in a block beside the flat parameters. */
#include "nn/ema_pass.h"
#include "nn/registry.h"
#include "tensor/profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- powers of time ----------------------------------------------------------------------------
 */

/* The variance of the weights (gamma + 1) t^gamma on [0, 1]; it falls with gamma >= 0. */
static double variance(double gamma)
{
    return (gamma + 1) / ((gamma + 2) * (gamma + 2) * (gamma + 3));
}

bool ema_sigma_is_valid(double sigma_rel)
{
    return sigma_rel > 0 && sigma_rel <= sqrt(variance(0));
}

double ema_gamma(double sigma_rel)
{
    /* variance(1 / sigma) < sigma^2: the root lies between, and halving ends at neighbours. */
    double low = 0, high = 1 / sigma_rel;
    for (int i = 0; i < 200; i++) {
        double middle = low + (high - low) / 2;
        if (variance(middle) > sigma_rel * sigma_rel)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* ---- averages ----------------------------------------------------------------------------------
 */

ito_ema *ito_ema_create_with(ito_module *model, ito_ema_options options)
{
    if (!(options.decay >= 0 && options.decay < 1))
        return error_null(ITO_ERR_RANGE, "ema: decay %g is not in [0, 1)", options.decay);
    bool power = options.sigma_rel != 0.0;
    if (power && !ema_sigma_is_valid(options.sigma_rel))
        return error_null(ITO_ERR_RANGE, "ema: sigma_rel %g is not in (0, 0.288]",
                          options.sigma_rel);
    if (power && options.warmup)
        return error_null(ITO_ERR_ARGUMENT, "ema: warmup does not go with sigma_rel");
    module_flat *flat = flat_of(model);
    if (flat == NULL || !flat_check(flat, "ema"))
        return NULL;
    ito_ema *e = struct_alloc(sizeof *e);
    if (e == NULL)
        return NULL;
    *e = (ito_ema){.flat = flat,
                   .decay = options.decay,
                   .sigma_rel = options.sigma_rel,
                   .gamma = power ? ema_gamma(options.sigma_rel) : 0,
                   .warmup = options.warmup};
    e->average = flat_zeros(flat);
    if (e->average == NULL)
        goto fail;
    memcpy(tensor_data(e->average), tensor_data(flat->data),
           (size_t)flat->n * ito_dtype_size(flat->dtype));
    return e;
fail:
    ito_ema_free(e);
    return NULL;
}

void ito_ema_free(ito_ema *ema)
{
    if (ema == NULL)
        return;
    ito_release(ema->average);
    free(ema);
}

double ito_ema_decay(const ito_ema *ema)
{
    if (ema == NULL)
        return 0;
    double n = (double)ema->updates, warm = (1 + n) / (10 + n);
    if (ema->sigma_rel > 0)
        return pow(1 - 1 / (n + 1), ema->gamma + 1);
    return ema->warmup && warm < ema->decay ? warm : ema->decay;
}

bool ema_ready(const ito_ema *ema)
{
    if (ema->swapped) {
        ito_error_set(ITO_ERR_ARGUMENT,
                      "ema: no update while the averages are in the model's place");
        return false;
    }
    return flat_check(ema->flat, "ema");
}

void ema_advance(ito_ema *ema)
{
    ito_touch(ema->average);
    ema->updates++;
}

ito_status ito_ema_update(ito_ema *ema)
{
    if (ema == NULL)
        return error_missing("ema_update", "the averages");
    if (!ema_ready(ema))
        return ITO_ERR_ARGUMENT;
    module_flat *f = ema->flat;
    static profile_row row = PROFILE_ROW("averages");
    profile_frame frame;
    profile_begin(&frame);
    const kernel_table *k = kernels(f->dtype);
    double weight = 1 - ito_ema_decay(ema);
    int64_t pieces = flat_pieces(f, NULL);
    PARALLEL_FOR(i, pieces, 2 * f->n,
                 k->ema_step(flat_at(ema->average, f->piece[i].begin),
                             flat_at(f->data, f->piece[i].begin),
                             f->piece[i].end - f->piece[i].begin, weight));
    ema_advance(ema);
    profile_end(&frame, &row);
    return ITO_OK;
}

ito_status ito_ema_swap(ito_ema *ema)
{
    if (ema == NULL)
        return error_missing("ema_swap", "the averages");
    if (!flat_check(ema->flat, "ema"))
        return ITO_ERR_ARGUMENT;
    module_flat *f = ema->flat;
    const kernel_table *k = kernels(f->dtype);
    int64_t pieces = flat_pieces(f, NULL);
#pragma omp parallel for num_threads(threads_for(2 * f->n)) schedule(static)
    for (int64_t i = 0; i < pieces; i++)
        k->exchange(flat_at(ema->average, f->piece[i].begin), flat_at(f->data, f->piece[i].begin),
                    f->piece[i].end - f->piece[i].begin);
    ito_touch(ema->average);
    ito_touch(f->data);
    ema->swapped = !ema->swapped;
    return ITO_OK;
}

bool ito_ema_is_swapped(const ito_ema *ema)
{
    return ema != NULL && ema->swapped;
}

int64_t ito_ema_updates(const ito_ema *ema)
{
    return ema == NULL ? 0 : ema->updates;
}

ito_status ito_ema_set_updates(ito_ema *ema, int64_t updates)
{
    if (ema == NULL)
        return error_missing("ema_set_updates", "the averages");
    if (updates < 0)
        return ito_error_set(ITO_ERR_RANGE, "ema: %" PRId64 " updates", updates);
    ema->updates = updates;
    return ITO_OK;
}

ito_named_tensors *ito_ema_state(const ito_ema *ema)
{
    if (ema == NULL)
        return NULL;
    const module_flat *f = ema->flat;
    ito_named_tensors *list = named_tensors_create(f->list->n, named_tensors_bytes(f->list));
    if (list != NULL && !flat_append_views(f, list, "", ema->average)) {
        ito_named_tensors_free(list);
        list = NULL;
    }
    return list;
}
