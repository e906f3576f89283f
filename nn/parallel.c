/* Data-parallel steps: slices of a batch, their gradients' sum over ranks, and each rank's part of
 * the update. Invariant: parameters, averages and state after a step are functions of the batch and
 * the number of its slices, not of the number of ranks. */
#include "nn/parallel_internal.h"

#include "autograd/autograd.h"
#include "nn/ema_pass.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- creation ---------------------------------------------------------------------------------
 */

/* The least number of slices from `wanted` up that so many ranks can share. */
static int64_t fitting_slices(int64_t wanted, int64_t ranks)
{
    int64_t slices = ranks;
    while (slices < wanted && slices <= INT64_MAX / 2)
        slices *= 2;
    return slices;
}

static bool check_slices(int64_t slices, int64_t ranks)
{
    int64_t each = slices / ranks;
    if (ranks == 1 || (slices % ranks == 0 && (each & (each - 1)) == 0 && each > 0))
        return true;
    return error_false(ITO_ERR_ARGUMENT,
                       "parallel: %" PRId64 " ranks cannot share %" PRId64
                       " slices: each takes a power of 2 of them, so take %" PRId64,
                       ranks, slices, fitting_slices(slices, ranks));
}

static bool check_options(const ito_communicator *c, const ito_parallel_options *o)
{
    int64_t ranks = c == NULL ? 1 : c->ranks;
    if (o->slices < 0 || o->slices > (int64_t)1 << (MOST_LEVELS - 1))
        return error_false(ITO_ERR_RANGE, "parallel: %" PRId64 " slices", o->slices);
    if (o->bucket_bytes < 1)
        return error_false(ITO_ERR_RANGE, "parallel: a bucket of %" PRId64 " bytes",
                           o->bucket_bytes);
    return check_slices(o->slices == 0 ? ranks : o->slices, ranks);
}

static ito_status share_sums(void *context, int64_t pieces);

static bool shard_optimizer(ito_parallel *p)
{
    p->shard = (optimizer_shard){.of = p->sum.shard, .share_sums = share_sums, .context = p};
    p->sharded = parallel_ranks(p) > 1 && optimizer_shards(p->optimizer);
    return !p->sharded || optimizer_set_shard(p->optimizer, &p->shard);
}

ito_parallel *ito_parallel_create_with(ito_communicator *c, ito_module *model, ito_optimizer *opt,
                                       ito_parallel_options options)
{
    if (model == NULL || opt == NULL) {
        error_missing("parallel", model == NULL ? "the model" : "the optimiser");
        return NULL;
    }
    module_flat *flat = flat_of(model);
    if (flat == NULL || !check_options(c, &options))
        return NULL;
    if (opt->flat != flat)
        return error_null(ITO_ERR_ARGUMENT, "parallel: the optimiser is of another model");
    if (options.bf16 && flat->dtype != ITO_F32)
        return error_null(ITO_ERR_DTYPE,
                          "parallel: bf16 gradients are for f32 parameters; "
                          "these are %s",
                          ito_dtype_name(flat->dtype));
    ito_parallel *p = struct_alloc(sizeof *p);
    if (p == NULL)
        return NULL;
    int64_t ranks = c == NULL ? 1 : c->ranks;
    *p = (ito_parallel){.c = c, .model = model, .optimizer = opt};
    p->slices = options.slices == 0 ? ranks : options.slices;
    if (!reduction_open(&p->sum, c, flat, p->slices / ranks, options.bucket_bytes, options.bf16) ||
        !shard_optimizer(p))
        goto fail;
    return p;
fail:
    ito_parallel_free(p);
    return NULL;
}

void ito_parallel_free(ito_parallel *p)
{
    if (p == NULL)
        return;
    ito_optimizer *o = p->optimizer;
    if (o->shard == &p->shard && !optimizer_set_shard(o, NULL)) {
        o->left = p->shard;
        o->shard = &o->left; /* takes no step any more */
        ito_error_clear();
    }
    reduction_free(&p->sum);
    free(p->sums);
    free(p);
}

/* ---- slices -----------------------------------------------------------------------------------
 */

int64_t ito_parallel_slices(const ito_parallel *p)
{
    return p == NULL ? 0 : p->sum.slices;
}

int64_t ito_parallel_all_slices(const ito_parallel *p)
{
    return p == NULL ? 0 : p->slices;
}

ito_batch_slice ito_slice_of(int64_t k, int64_t slices, int64_t n)
{
    int64_t whole = n / slices, more = n % slices, begin = k * whole + (k < more ? k : more);
    return (ito_batch_slice){.index = k, .begin = begin, .end = begin + whole + (k < more), .n = n};
}

ito_batch_slice ito_parallel_slice(const ito_parallel *p, int64_t i, int64_t n)
{
    if (p == NULL)
        return (ito_batch_slice){.n = n};
    return ito_slice_of(p->sum.shard.rank * p->sum.slices + i, p->slices, n);
}

ito_status ito_parallel_gather_rows(ito_parallel *p, const double *mine, int64_t n, double *all)
{
    if (p == NULL)
        return error_missing("parallel_gather_rows", "the model");
    int64_t ranks = parallel_ranks(p), each = p->sum.slices;
    int64_t *bytes = struct_alloc((size_t)ranks * sizeof *bytes);
    if (bytes == NULL)
        return ITO_ERR_MEMORY;
    for (int64_t r = 0; r < ranks; r++)
        bytes[r] = (ito_slice_of((r + 1) * each - 1, p->slices, n).end -
                    ito_slice_of(r * each, p->slices, n).begin) *
                   (int64_t)sizeof *mine;
    ito_status status = ito_communicator_gather_parts(p->c, mine, bytes, all);
    free(bytes);
    return status;
}

/* ---- a step -----------------------------------------------------------------------------------
 */

/* The parameter that this leaf is, or -1. */
static int64_t parameter_of(const module_flat *f, const ito_tensor *leaf)
{
    if (leaf->storage != f->data->storage)
        return -1;
    int64_t low = 0, high = f->list->n - 1;
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (f->offset[middle] <= leaf->offset)
            low = middle;
        else
            high = middle - 1;
    }
    return high >= 0 && f->list->tensors[low] == leaf ? low : -1;
}

static void leaf_done(ito_tensor *leaf, void *context)
{
    ito_parallel *p = context;
    int64_t i = parameter_of(p->sum.flat, leaf);
    if (i >= 0)
        reduction_complete(&p->sum, i);
}

/* The loss counts as its share of the batch: exactly 1 if there is one slice. */
static ito_status sweep(ito_parallel *p, ito_batch_slice s, ito_tensor *loss)
{
    double share = (double)(s.end - s.begin) / (double)s.n;
    ito_tensor *cotangent = share == 1.0 ? NULL : ito_full(ito_shape_of(loss), share, loss->dtype);
    if (share != 1.0 && cotangent == NULL)
        return ITO_ERR_MEMORY;
    return ito_backward_with(loss, ITO_OPTIONS(ito_backward_options, .cotangent = cotangent,
                                               .leaf_done = leaf_done, .leaf_context = p));
}

ito_status ito_parallel_backward(ito_parallel *p, ito_batch_slice s, ito_tensor *loss)
{
    if (p == NULL || loss == NULL)
        return error_missing("parallel_backward", p == NULL ? "the model" : "the loss");
    int64_t wanted = p->sum.shard.rank * p->sum.slices + p->sum.slice;
    if (s.index != wanted)
        return ito_error_set(ITO_ERR_ARGUMENT,
                             "parallel_backward: slice %" PRId64 " where %" PRId64 " comes next",
                             s.index, wanted);
    if (!flat_check(p->sum.flat, "parallel_backward"))
        return ITO_ERR_ARGUMENT;
    ito_module_zero_grad(p->model);
    reduction_begin(&p->sum);
    ito_scope_begin();
    ito_status status = sweep(p, s, loss);
    ito_scope_end();
    if (status == ITO_OK)
        return reduction_end(&p->sum);
    p->sum.slice = 0; /* one rank may begin the step anew */
    return status;
}

void ito_parallel_veto(ito_parallel *p)
{
    if (p != NULL)
        p->vetoed = true;
}

/* The sums of each rank's pieces travel behind each other. `most` is the largest number of them. */
static ito_status share_sums(void *context, int64_t pieces)
{
    ito_parallel *p = context;
    module_flat *f = p->sum.flat;
    int64_t ranks = parallel_ranks(p), n = 0, most = 0;
    int64_t *count = struct_alloc((size_t)ranks * sizeof *count);
    if (count == NULL)
        return ITO_ERR_MEMORY;
    for (int64_t i = 0; i < pieces; i++)
        count[shard_owner(&p->shard.of, f->piece[i].begin)]++;
    for (int64_t r = 0; r < ranks; r++)
        most = count[r] > most ? count[r] : most;
    if (p->room < most) {
        free(p->sums);
        p->room = most;
        p->sums = struct_alloc((size_t)((ranks + 1) * most) * sizeof *p->sums);
    }
    ito_status status = p->sums == NULL ? ITO_ERR_MEMORY : ITO_OK;
    double *all = p->sums + most;
    for (int64_t i = 0; i < pieces && status == ITO_OK; i++)
        if (shard_owner(&p->shard.of, f->piece[i].begin) == p->c->rank)
            p->sums[n++] = f->partial[i];
    if (status == ITO_OK)
        status = ito_communicator_gather(p->c, p->sums, most * (int64_t)sizeof *all, all);
    memset(count, 0, (size_t)ranks * sizeof *count);
    for (int64_t i = 0; i < pieces && status == ITO_OK; i++) {
        int64_t r = shard_owner(&p->shard.of, f->piece[i].begin);
        f->partial[i] = all[r * most + count[r]++];
    }
    free(count);
    return status;
}

/* Whether any rank has vetoed. */
static ito_status hear_vetoes(ito_parallel *p, bool *any)
{
    int64_t ranks = parallel_ranks(p);
    char mine = p->vetoed, *all = struct_alloc((size_t)ranks);
    if (all == NULL)
        return ITO_ERR_MEMORY;
    ito_status status = ito_communicator_gather(p->c, &mine, 1, all);
    *any = status == ITO_OK && memchr(all, 1, (size_t)ranks) != NULL;
    free(all);
    p->vetoed = false;
    return status;
}

ito_status ito_parallel_step_with(ito_parallel *p, double lr, ito_step_options options)
{
    if (p == NULL)
        return error_missing("parallel_step", "the model");
    if (p->sum.slice != 0)
        return ito_error_set(ITO_ERR_ARGUMENT,
                             "parallel_step: %" PRId64 " of %" PRId64
                             " slices of this rank have no gradient yet",
                             p->sum.slices - p->sum.slice, p->sum.slices);
    double norm = (double)NAN;
    if (options.grad_norm == NULL)
        options.grad_norm = &norm;
    bool vetoed;
    ito_status status = hear_vetoes(p, &vetoed);
    if (status == ITO_OK && vetoed)
        return ito_error_set(ITO_ERR_NUMERIC, "parallel_step: a loss was not finite");
    if (status == ITO_OK && !p->sharded)
        status = reduction_spread(&p->sum, p->sum.flat->grad);
    p->shard.steps = true;
    if (status == ITO_OK)
        status = ito_optimizer_step_with(p->optimizer, lr, options);
    p->shard.steps = false;
    if (status == ITO_OK && p->sharded)
        status = reduction_spread(&p->sum, p->sum.flat->data);
    return status;
}

ito_status ito_parallel_gather_gradients(ito_parallel *p)
{
    if (p == NULL)
        return error_missing("parallel_gather_gradients", "the model");
    return reduction_spread(&p->sum, p->sum.flat->grad);
}

/* ---- state ------------------------------------------------------------------------------------
 */

ito_status ito_parallel_gather_averages(ito_parallel *p, ito_ema *ema)
{
    if (p == NULL || ema == NULL)
        return error_missing("parallel_gather_averages", p == NULL ? "the model" : "the averages");
    if (ema->flat != p->sum.flat)
        return ito_error_set(ITO_ERR_ARGUMENT,
                             "parallel_gather_averages: the averages are those of another model");
    if (ema->swapped)
        return ito_error_set(ITO_ERR_ARGUMENT, "parallel_gather_averages: the averages are in the "
                                               "model's place; swap them back");
    return p->sharded ? reduction_spread(&p->sum, ema->average) : ITO_OK;
}

ito_parallel_traffic ito_parallel_traffic_of(const ito_parallel *p)
{
    return p == NULL ? (ito_parallel_traffic){0}
                     : (ito_parallel_traffic){p->sum.bytes, p->sum.waited};
}
