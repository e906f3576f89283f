/* What data-parallel training refuses, whole or on all ranks alike. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "nn/layers.h"
#include "nn/parallel.h"
#include "nn/parallel_checkpoint.h"
#include "tests/nn/nn_check.h"
#include "tests/nn/thread_ranks.h"

#include <math.h>
#include <pthread.h>

typedef struct net {
    ito_module *model;
    ito_tensor *w;
    ito_optimizer *optimizer;
} net;

static net make_net(ito_dtype dtype)
{
    net n = {.model = ito_module_create(NULL, "", sizeof(ito_module))};
    n.w = ito_module_parameter(n.model, "w", ito_ones(ITO_SHAPE(3), dtype));
    n.optimizer = ito_adam_create(n.model);
    cr_assert_not_null(n.optimizer, "%s", ito_error());
    return n;
}

static void free_net(net *n)
{
    ito_optimizer_free(n->optimizer);
    ito_module_free(n->model);
}

/* ---- creation ---- */

Test(parallel_refused, what_it_cannot_be_made_of)
{
    net n = make_net(ITO_F64), other = make_net(ITO_F32);
    expect_refused(ito_parallel_create(NULL, NULL, n.optimizer), ITO_ERR_ARGUMENT,
                   "parallel: the model is NULL");
    expect_refused(ito_parallel_create(NULL, n.model, NULL), ITO_ERR_ARGUMENT,
                   "parallel: the optimiser is NULL");
    expect_refused(ito_parallel_create(NULL, n.model, other.optimizer), ITO_ERR_ARGUMENT,
                   "parallel: the optimiser is of another model");
    expect_refused(ito_parallel_create(NULL, n.model, n.optimizer, .slices = -1), ITO_ERR_RANGE,
                   "parallel: -1 slices");
    expect_refused(ito_parallel_create(NULL, n.model, n.optimizer, .bucket_bytes = 0),
                   ITO_ERR_RANGE, "parallel: a bucket of 0 bytes");
    expect_refused(ito_parallel_create(NULL, n.model, n.optimizer, .bf16 = true), ITO_ERR_DTYPE,
                   "parallel: bf16 gradients are for f32 parameters; these are f64");
    ito_communicator three = {.ranks = 3};
    expect_refused(ito_parallel_create(&three, n.model, n.optimizer, .slices = 8), ITO_ERR_ARGUMENT,
                   "parallel: 3 ranks cannot share 8 slices: each takes a power of 2 of them, so "
                   "take 12");
    ito_communicator sixteen = {.ranks = 16};
    expect_refused(ito_parallel_create(&sixteen, n.model, n.optimizer, .slices = 8),
                   ITO_ERR_ARGUMENT,
                   "parallel: 16 ranks cannot share 8 slices: each takes a power of 2 of them, so "
                   "take 16");
    free_net(&n);
    free_net(&other);
}

static ito_status create_and_free(void *context)
{
    const net *n = context;
    ito_parallel *p = ito_parallel_create(NULL, n->model, n->optimizer, .slices = 8);
    ito_parallel_free(p);
    return p != NULL ? ITO_OK : ito_error_code();
}

Test(parallel_refused, memory_that_fails_leaves_nothing)
{
    net n = make_net(ITO_F32);
    cr_expect_geq(count_failed_allocations(create_and_free, &n), 4);
    free_net(&n);
}

/* ---- use ---- */

Test(parallel_refused, null)
{
    cr_expect_eq(ito_parallel_slices(NULL), 0);
    cr_expect_eq(ito_parallel_all_slices(NULL), 0);
    cr_expect_eq(ito_parallel_slice(NULL, 0, 4).end, 0);
    cr_expect_eq(ito_parallel_traffic_of(NULL).bytes, 0);
    ito_parallel_veto(NULL);
    ito_parallel_free(NULL);
    ito_communicator_free(NULL);
    cr_expect_eq(ito_parallel_backward(NULL, ito_parallel_slice(NULL, 0, 4), NULL),
                 ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "parallel_backward: the model is NULL");
    cr_expect_eq(ito_parallel_step(NULL, 1e-3), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "parallel_step: the model is NULL");
    cr_expect_eq(ito_parallel_gather_averages(NULL, NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "parallel_gather_averages: the model is NULL");
    cr_expect_eq(ito_parallel_checkpoint_save(NULL, "x", NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "checkpoint: the model is NULL");
    cr_expect_eq(ito_parallel_checkpoint_load(NULL, "x", NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "checkpoint: the model is NULL");
}

Test(parallel_refused, slices_out_of_order)
{
    net n = make_net(ITO_F32), other = make_net(ITO_F32);
    ito_parallel *p = ito_parallel_create(NULL, n.model, n.optimizer, .slices = 2);
    cr_expect_eq(ito_parallel_backward(p, ito_parallel_slice(p, 1, 4), ito_sum(n.w)),
                 ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "parallel_backward: slice 1 where 0 comes next");
    cr_expect_eq(ito_parallel_backward(p, ito_parallel_slice(p, 0, 4), NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "parallel_backward: the loss is NULL");
    cr_assert_eq(ito_parallel_backward(p, ito_parallel_slice(p, 0, 4), ito_sum(n.w)), ITO_OK);
    cr_expect_eq(ito_parallel_step(p, 1e-3), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT,
                 "parallel_step: 1 of 2 slices of this rank have no gradient yet");
    ito_ema *ema = ito_ema_create(other.model);
    cr_expect_eq(ito_parallel_gather_averages(p, ema), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT,
                 "parallel_gather_averages: the averages are those of another model");
    ito_ema_free(ema);
    ema = ito_ema_create(n.model);
    cr_assert_eq(ito_ema_swap(ema), ITO_OK);
    cr_expect_eq(ito_parallel_gather_averages(p, ema), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "parallel_gather_averages: the averages are in the model's "
                                   "place; swap them back");
    ito_ema_free(ema);
    ito_parallel_free(p);
    free_net(&n);
    free_net(&other);
}

/* A sweep that fails leaves a step that can begin anew. */
Test(parallel_refused, a_step_begins_anew_after_an_error)
{
    net n = make_net(ITO_F32);
    ito_parallel *p = ito_parallel_create(NULL, n.model, n.optimizer, .slices = 2);
    ito_tensor *constant = ito_ones(ITO_SHAPE(), ITO_F32);
    cr_assert_eq(ito_parallel_backward(p, ito_parallel_slice(p, 0, 4), ito_sum(n.w)), ITO_OK);
    cr_expect_eq(ito_parallel_backward(p, ito_parallel_slice(p, 1, 4), constant), ITO_ERR_GRAD);
    ito_error_clear();
    for (int64_t i = 0; i < 2; i++)
        cr_expect_eq(ito_parallel_backward(p, ito_parallel_slice(p, i, 4), ito_sum(n.w)), ITO_OK);
    cr_expect_eq(ito_parallel_step(p, 1e-3), ITO_OK);
    cr_expect_float_eq(element(n.w, 0), 1 - 1e-3, 1e-6);
    ito_parallel_free(p);
    free_net(&n);
}

/* Rank 1 vetoes, or has a gradient that is not finite: no rank's weights change. */
static void one_objects(ito_communicator *c, void *context)
{
    bool vetoes = *(const bool *)context;
    net n = make_net(ITO_F32);
    ito_parallel *p = ito_parallel_create(c, n.model, n.optimizer);
    double factor = c->rank == 1 && !vetoes ? (double)INFINITY : 1.0;
    cr_assert_eq(
        ito_parallel_backward(p, ito_parallel_slice(p, 0, 4), ito_mul_scalar(ito_sum(n.w), factor)),
        ITO_OK);
    if (c->rank == 1 && vetoes)
        ito_parallel_veto(p);
    cr_expect_eq(ito_parallel_step(p, 1e-3), ITO_ERR_NUMERIC);
    expect_error(ITO_ERR_NUMERIC, vetoes ? "parallel_step: a loss was not finite"
                                         : "adam: the norm of the gradients is inf");
    cr_expect_eq(element(n.w, 0), 1);
    cr_expect_eq(ito_optimizer_steps(n.optimizer), 0);
    /* The next step is taken. */
    cr_assert_eq(ito_parallel_backward(p, ito_parallel_slice(p, 0, 4), ito_sum(n.w)), ITO_OK);
    cr_expect_eq(ito_parallel_step(p, 1e-3), ITO_OK);
    cr_expect_neq(element(n.w, 0), 1);
    ito_parallel_free(p);
    free_net(&n);
}

Test(parallel_refused, what_one_rank_objects_to_no_rank_does)
{
    bool vetoes = true;
    thread_ranks_run(2, one_objects, &vetoes);
    vetoes = false;
    thread_ranks_run(2, one_objects, &vetoes);
}

/* State that is kept by parts is not to be had in one. */
static void ask_for_state(ito_communicator *c, void *context)
{
    (void)context;
    net n = make_net(ITO_F32);
    ito_parallel *p = ito_parallel_create(c, n.model, n.optimizer);
    expect_refused(ito_optimizer_state(n.optimizer), ITO_ERR_ARGUMENT,
                   "optimizer_state: it is kept in parts by 2 ranks; ito_parallel_checkpoint_save "
                   "puts them together");
    cr_expect_eq(ito_optimizer_step(n.optimizer, 1e-3), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "adam: its state is kept in parts by 2 ranks; "
                                   "ito_parallel_step takes the step of all");
    ito_parallel_free(p);
    ito_named_tensors *all = ito_optimizer_state(n.optimizer);
    cr_expect_not_null(all);
    ito_named_tensors_free(all);
    free_net(&n);
}

Test(parallel_refused, state_in_parts)
{
    thread_ranks_run(2, ask_for_state, NULL);
}

/* What rank 0 cannot write is every rank's error. */
static void save_nowhere(ito_communicator *c, void *context)
{
    net n = make_net(ITO_F32);
    ito_parallel *p = ito_parallel_create(c, n.model, n.optimizer);
    ito_training_state state = {.model = n.model, .optimizer = n.optimizer};
    cr_expect_eq(ito_parallel_checkpoint_save(p, context, &state), ITO_ERR_IO);
    expect_error_with(ITO_ERR_IO, "/nowhere/checkpoints");
    ito_parallel_free(p);
    free_net(&n);
}

Test(parallel_refused, a_checkpoint_that_rank_0_cannot_write)
{
    thread_ranks_run(2, save_nowhere, "/nowhere/checkpoints");
}

/* ---- agreement ---- */

static void disagree(ito_communicator *c, void *context)
{
    (void)context;
    const char *options = c->rank == 2 ? "{\n  \"batch\": 8,\n\t\"lr\":\t0.002,\n  \"seed\": 1\n}"
                                       : "{\n  \"batch\": 8,\n\t\"lr\":\t0.001,\n  \"seed\": 1\n}";
    ito_agreement list[] = {{"version", "1", NULL},
                            {"options", options, "take the same command line"}};
    cr_expect_eq(ito_communicator_agree(c, list, 1), ITO_OK);
    cr_expect_eq(ito_communicator_agree(c, list, 2), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT,
                 "ranks: rank 2 differs from rank 0 in its options: \"lr\": 0.002, not \"lr\": "
                 "0.001; take the same command line");
}

Test(communicator, a_rank_with_other_options_is_named_on_every_rank)
{
    thread_ranks_run(4, disagree, NULL);
}

Test(communicator, one_rank_agrees_with_itself_and_gathers_its_own)
{
    int64_t mine = 7, all = 0;
    ito_agreement a = {.what = "data"};
    cr_expect_eq(ito_communicator_agree(NULL, &a, 1), ITO_OK);
    cr_expect_eq(ito_communicator_gather(NULL, &mine, sizeof mine, &all), ITO_OK);
    cr_expect_eq(all, 7);
    cr_expect_eq(ito_communicator_gather(NULL, NULL, 8, &all), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "communicator_gather: what to send is NULL");
    cr_expect_eq(ito_communicator_gather(NULL, &mine, 8, NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "communicator_gather: the room is NULL");
    cr_expect_eq(ito_communicator_gather(NULL, &mine, -1, &all), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "communicator_gather: -1 bytes");
    cr_expect_eq(ito_communicator_agree(NULL, NULL, 1), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "communicator_agree: the list is NULL");
}
