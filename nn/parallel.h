/* Data-parallel training: one batch over several ranks, to the same bits for any number of them.
 *
 * A batch is cut into slices, whose number is an option of its own. Each slice has a forward and a
 * backward pass of its own; their gradients are added in a fixed binary tree. With P ranks each
 * takes slices / P of them, sends what it has of other ranks' parts of the model, and updates its
 * own part; optimiser state is kept for that part alone (ZeRO-1, Rajbhandari et al. 2019,
 * arXiv:1910.02054). Then the parts are gathered. Gradients travel in buckets, by a thread, while
 * the last backward pass goes on.
 *
 *     ito_communicator *ranks = ito_mpi_start();                    // or NULL: one rank
 *     ito_parallel *p = ito_parallel_create(ranks, model, adam, .slices = 8);
 *     ... each step, with the same batch x of n examples on every rank:
 *     for (int64_t i = 0; i < ito_parallel_slices(p); i++) {
 *         ito_batch_slice s = ito_parallel_slice(p, i, n);
 *         ito_scope_begin();
 *         ito_tensor *loss = my_loss(model, ito_slice(x, 0, s.begin, s.end, 1));
 *         ito_parallel_backward(p, s, loss);
 *         ito_scope_end();
 *     }
 *     ito_parallel_step(p, lr, .max_norm = 1, .ema = ema);
 *
 * Models begin with the same parameters on all ranks: draw them from the same generator. What a
 * slice draws (dropout, noise) has to depend on its index, not on the rank. Buffers that a forward
 * pass changes, as batch norm's, are each rank's own and differ.
 *
 * Errors: a call that fails on one rank leaves the others waiting in theirs. So a program that gets
 * an error from here, or one of its own between such calls, ends all ranks (ito_mpi_abort).
 */
#ifndef ITO_NN_PARALLEL_H
#define ITO_NN_PARALLEL_H

#include "communicator.h"
#include "ema.h"
#include "optim.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A model whose gradients are summed over slices and ranks. */
typedef struct ito_parallel ito_parallel;

/** Options of ito_parallel_create. */
typedef struct ito_parallel_options {
    int reserved_;
    /* Of a batch, over all ranks; 1 or more. Their share of a rank is a power of 2, unless there is
     * one rank. The bits of a step depend on it. 0: as many as ranks. */
    int64_t slices;
    int64_t bucket_bytes ITO_DEFAULT(25 << 20); /* of gradients that travel together; 1 or more */
    /* Round what is added to bf16 first, at each node of the tree, and send it so: half the
     * traffic, and errors of 2^-9 a node. For f32 models. */
    bool bf16;
} ito_parallel_options;
#define ITO_DEFAULTS_ito_parallel_options .bucket_bytes = 25 << 20

/**
 * Set out to train a model with others: ito_parallel_create(ranks, model, adam, .slices = 8). adam,
 * adamw, sgd, rmsprop, adagrad, radam and lion keep state for the rank's part alone. Others, whose
 * steps see whole matrices or have averages of their own, are run by every rank for all parameters;
 * then gradients are gathered in place of parameters.
 *
 * @param c      NULL: one rank, which still has slices. Borrowed, as model and opt are; they must
 *               outlive this.
 * @param model  a root; it is flattened.
 * @param opt    of this model. With several ranks its state is had by parallel_checkpoint.h alone.
 * @return       owned by the caller. NULL: ITO_ERR_ARGUMENT for a NULL, an optimiser of another
 *               model, or slices that ranks cannot share; ITO_ERR_RANGE for numbers below the
 * least; ITO_ERR_DTYPE for bf16 with f64 parameters; ITO_ERR_MEMORY, also if the system gives no
 * thread.
 */
ITO_API ito_parallel *ito_parallel_create_with(ito_communicator *c, ito_module *model,
                                               ito_optimizer *opt, ito_parallel_options options);
#define ito_parallel_create(...)                                                                   \
    ITO_AT(ITO_CALL_3(ito_parallel_create_with, ito_parallel_options, __VA_ARGS__, ))
/** Free it, before the optimiser; with several ranks the state that is not this rank's is lost.
 * Accepts NULL. */
ITO_API void ito_parallel_free(ito_parallel *p);

/* ---- a step ------------------------------------------------------------------------------------
 */

/** The examples of a batch that have a pass of their own. */
typedef struct ito_batch_slice {
    int64_t index;      /* among the slices of all ranks */
    int64_t begin, end; /* rows of the batch */
    int64_t n;          /* rows of the batch in all */
} ito_batch_slice;

/** The number of slices that this rank takes. 0 for NULL. */
ITO_API int64_t ito_parallel_slices(const ito_parallel *p);
/** The number of slices of all ranks. 0 for NULL. */
ITO_API int64_t ito_parallel_all_slices(const ito_parallel *p);
/** Slice k of so many, 1 or more, of a batch with n rows. Slices are as equal as can be; one of a
 * batch with fewer rows than slices may have none. */
ITO_API ito_batch_slice ito_slice_of(int64_t k, int64_t slices, int64_t n);
/** The i-th slice of this rank of a batch with n rows. */
ITO_API ito_batch_slice ito_parallel_slice(const ito_parallel *p, int64_t i, int64_t n);

/**
 * The gradient of one slice, in place of ito_module_zero_grad and ito_backward. This rank's slices
 * come in their order, and each of them comes; after an error one rank may begin with the first.
 *
 * @param loss  the mean over the slice's rows; it counts as its share of the batch.
 * @return      ITO_ERR_ARGUMENT for a NULL p or a slice out of its order; whatever ito_backward
 *              gives; the communicator's own errors.
 */
ITO_API ito_status ito_parallel_backward(ito_parallel *p, ito_batch_slice s, ito_tensor *loss);

/** Give every rank a number for each of n rows, as losses: mine are those of this rank's slices,
 * one after the other; all has room for n. With n the number of slices, they are numbers of slices.
 * ITO_ERR_ARGUMENT for a NULL; the communicator's own errors. */
ITO_API ito_status ito_parallel_gather_rows(ito_parallel *p, const double *mine, int64_t n,
                                            double *all);

/** Give every rank all of the gradients' sum, after the last slice: to look at. A step does
 * without. The communicator's own errors. */
ITO_API ito_status ito_parallel_gather_gradients(ito_parallel *p);

/** Make the next step change nothing, on any rank: this one has met a loss that is not finite. */
ITO_API void ito_parallel_veto(ito_parallel *p);

/**
 * ito_optimizer_step with the mean gradient of the batch, by all ranks together. The norm is always
 * computed. Averages are updated for this rank's part: see ito_parallel_gather_averages.
 * @return  as ito_optimizer_step; ITO_ERR_NUMERIC, on every rank, if the norm is not finite or one
 *          has vetoed: then nothing has changed.
 */
ITO_API ito_status ito_parallel_step_with(ito_parallel *p, double lr, ito_step_options options);
#define ito_parallel_step(...)                                                                     \
    ITO_AT(ITO_CALL_2(ito_parallel_step_with, ito_step_options, __VA_ARGS__, ))

/* ---- state -------------------------------------------------------------------------------------
 */

/** Give every rank all of the averages, to sample with or to save. Every rank calls it. ITO_ERR_*
 * of the communicator; ITO_ERR_ARGUMENT for a NULL, averages of another model or such as are
 * swapped. */
ITO_API ito_status ito_parallel_gather_averages(ito_parallel *p, ito_ema *ema);

/** What the exchange has cost this rank so far. */
typedef struct ito_parallel_traffic {
    int64_t bytes;  /* sent to other ranks */
    double seconds; /* for which sweeps have waited for buckets after their own end */
} ito_parallel_traffic;
/** Zeros for NULL. */
ITO_API ito_parallel_traffic ito_parallel_traffic_of(const ito_parallel *p);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_parallel_backward(...) ITO_AT(ito_parallel_backward(__VA_ARGS__))
#define ito_parallel_gather_rows(...) ITO_AT(ito_parallel_gather_rows(__VA_ARGS__))
#define ito_parallel_gather_gradients(...) ITO_AT(ito_parallel_gather_gradients(__VA_ARGS__))
#define ito_parallel_gather_averages(...) ITO_AT(ito_parallel_gather_averages(__VA_ARGS__))
#endif

#endif
