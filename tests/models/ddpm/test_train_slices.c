/* A training step in slices, by one rank or several: the same bits, and ends that all ranks share.
 */
#include "tests/expect.h"
#include "tests/models/ddpm/train_world.h"
#include "tests/nn/thread_ranks.h"

#include <math.h>

/* A run of some steps by some ranks: what rank 0 ends with. */
typedef struct slice_job {
    int64_t slices;
    bool law, each;
    double dropout;
    int64_t n;
    float *weights;
    ito_train_result last;
    double losses[4];
    int calls; /* of .slice on rank 0 */
} slice_job;

static ito_status count_slice(ito_batch_slice s, void *context)
{
    slice_job *j = context;
    cr_expect(s.n == 4 && s.end > s.begin);
    j->calls++;
    return ITO_OK;
}

static void run_slices(ito_communicator *c, void *context)
{
    slice_job *j = context, own = *j;
    bool first = c == NULL || c->rank == 0;
    world w = begin(j->dropout);
    if (j->law)
        w.trainer.timesteps =
            ito_timestep_sampler_create(w.diffusion->process, &ito_timestep_law_second_moment);
    w.trainer.each = j->each;
    if (j->slices > 0)
        w.trainer.parallel =
            ito_parallel_create(c, &w.unet->base, w.optimizer, .slices = j->slices);
    w.trainer.slice = count_slice;
    w.trainer.slice_context = first ? j : &own;
    for (int64_t i = 0; i < 3; i++)
        own.last = step(&w, i);
    if (w.trainer.parallel != NULL)
        cr_assert_eq(ito_parallel_gather_averages(w.trainer.parallel, w.ema), ITO_OK);
    if (first) {
        j->last = own.last;
        j->weights = weights(&w, &j->n);
        if (j->each)
            cr_assert_eq(ito_to_data(own.last.losses, j->losses, ITO_F64), ITO_OK);
    }
    ito_parallel_free(w.trainer.parallel);
    ito_timestep_sampler_free(w.trainer.timesteps);
    end(&w);
}

static slice_job run_job(int64_t ranks, slice_job j)
{
    if (ranks == 0)
        run_slices(NULL, &j);
    else
        thread_ranks_run(ranks, run_slices, &j);
    return j;
}

static void expect_same_job(slice_job *a, slice_job *b)
{
    cr_expect(a->n > 0 && a->n == b->n &&
              memcmp(a->weights, b->weights, (size_t)a->n * sizeof *a->weights) == 0);
    cr_expect_eq(a->last.loss, b->last.loss);
    cr_expect_eq(a->last.grad_norm, b->last.grad_norm);
    cr_expect_arr_eq(a->losses, b->losses, sizeof a->losses);
    free(b->weights);
}

Test(train_slices, any_number_of_ranks_trains_to_the_same_bits)
{
    for (int k = 0; k < 4; k++) {
        slice_job how = {.slices = 4, .law = k & 1, .each = k & 2, .dropout = 0.2};
        slice_job alone = run_job(0, how);
        cr_expect_eq(alone.calls, 12);
        for (int64_t ranks = 1; ranks <= 4; ranks *= 2) {
            slice_job j = run_job(ranks, how);
            cr_expect_eq(j.calls, 12 / ranks);
            expect_same_job(&alone, &j);
        }
        free(alone.weights);
    }
}

/* Times and noise are those of the batch, so slices differ from it by rounding alone. */
Test(train_slices, slices_change_rounding_alone)
{
    slice_job whole = run_job(0, (slice_job){.slices = 0, .each = true});
    slice_job one = run_job(0, (slice_job){.slices = 1, .each = true});
    slice_job four = run_job(0, (slice_job){.slices = 4, .each = true});
    cr_expect_float_eq(four.last.grad_norm, whole.last.grad_norm, 1e-4 * whole.last.grad_norm);
    for (int i = 0; i < 4; i++)
        cr_expect_float_eq(four.losses[i], whole.losses[i], 1e-4 * whole.losses[i]);
    free(four.weights);
    expect_same_job(&whole, &one);
    free(whole.weights);
}

Test(train_slices, fewer_examples_than_slices_are_refused)
{
    world w = begin(0.0);
    ito_train_result r;
    w.trainer.parallel = ito_parallel_create(NULL, &w.unet->base, w.optimizer, .slices = 8);
    cr_expect_eq(ito_diffusion_train_step(&w.trainer, w.x_0, 0, 1e-3, &r), ITO_ERR_SHAPE);
    expect_error(ITO_ERR_SHAPE, "train_step: 4 examples do not fill 8 slices");
    ito_parallel_free(w.trainer.parallel);
    end(&w);
}

/* A row that is not finite spoils the step on every rank, which all say the same of it. */
static void spoil(ito_communicator *c, void *context)
{
    (void)context;
    world w = begin(0.0);
    w.trainer.parallel = ito_parallel_create(c, &w.unet->base, w.optimizer, .slices = 2);
    ((float *)ito_data(w.x_0))[3 * 64] = NAN;
    world before = begin(0.0);
    ito_train_result r = step(&w, 0);
    cr_expect(!r.applied && isnan(r.loss));
    cr_expect_str_eq(r.culprit, "the data of the batch");
    cr_expect(equal_weights(&w, &before));
    ito_parallel_free(w.trainer.parallel);
    end(&before);
    end(&w);
}

Test(train_slices, a_row_that_is_not_finite_changes_nothing_on_any_rank)
{
    thread_ranks_run(2, spoil, NULL);
}
