/* Training state on disk: a directory step-N for each checkpoint, complete or absent.
 *
 *     checkpoints/step-3500/model.safetensors      parameters and buffers
 *                           ema.safetensors        averages, under the parameters' names
 *                           optimizer.safetensors  "exp_avg.<parameter>", ...
 *                           tensors.safetensors    the caller's own, if there are any
 *                           state.json             step, counters, generators, position
 *                           settings.json          the caller's own, byte for byte
 *
 * A checkpoint is written as step-N.tmp-PID, every file and the directory are synced, then it is
 * renamed. A process that dies at any point leaves the older checkpoints as they were. Loading
 * reads and checks everything before it changes anything. A checkpoint with a parameter or an
 * average that is not finite is never written.
 */
#ifndef ITO_NN_CHECKPOINT_H
#define ITO_NN_CHECKPOINT_H

#include "ema.h"
#include "optim.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The state of a training run: pointers to the objects in use, all borrowed. Those that are NULL
 * are neither saved nor loaded. */
typedef struct ito_training_state {
    ito_module *model; /* with its generators (dropout) */
    ito_optimizer *optimizer;
    ito_ema *ema;
    int64_t step;     /* steps done */
    int64_t position; /* of the loader: ito_loader_position */
    int64_t n_generators;
    const char *const *generator_names;
    ito_generator *const *generators; /* the caller's own: for noise, steps, ... */
    int64_t n_tensors;
    const char *const *tensor_names;
    ito_tensor *const *tensors; /* the caller's own: histories, ... */
    const char *settings;       /* a JSON object of the caller's, saved as it is; or NULL.
                                   Not touched by loading: see ito_checkpoint_settings */
} ito_training_state;

/** Options of ito_checkpoint_save. */
typedef struct ito_checkpoint_options {
    int reserved_;
    /* The number of newest checkpoints that stay: 2 or more, so that one is left if the newest
     * turns out damaged; -1: all. */
    int64_t keep ITO_DEFAULT(2);
} ito_checkpoint_options;
#define ITO_DEFAULTS_ito_checkpoint_options .keep = 2

/**
 * Write DIR/step-N, then remove older checkpoints beyond those to keep, and temporary directories
 * of processes that no longer run: ito_checkpoint_save(dir, &state, .keep = 5). DIR is made if it
 * does not exist; its parent must. An existing step-N is replaced.
 *
 * @param state  borrowed.
 * @return       ITO_ERR_NUMERIC with the first parameter or average that is not finite;
 *               ITO_ERR_ARGUMENT for a NULL or another keep, while averages are swapped in or the
 *               optimiser is in evaluation mode, for settings that are no JSON object, and for a
 *               negative step or position; ITO_ERR_IO, ITO_ERR_MEMORY. On failure no checkpoint has
 * changed.
 */
ITO_API ito_status ito_checkpoint_save_with(const char *dir, const ito_training_state *state,
                                            ito_checkpoint_options options);
#define ito_checkpoint_save(...)                                                                   \
    ITO_AT(ITO_CALL_2(ito_checkpoint_save_with, ito_checkpoint_options, __VA_ARGS__, ))

/**
 * Set model, optimiser, averages, generators and tensors, and state->step and state->position, to
 * their values in the checkpoint. Generators and tensors are found by name.
 *
 * @param path  one checkpoint, DIR/step-N.
 * @return      as ito_module_load; ITO_ERR_FORMAT for a state.json that is damaged or lacks
 *              something, "PATH/state.json: ..."; ITO_ERR_ARGUMENT for a NULL or while averages are
 *              swapped in. On failure nothing has changed.
 */
ITO_API ito_status ito_checkpoint_load(const char *path, ito_training_state *state);

/** The path of the checkpoint in DIR with the highest step, owned by the caller, who frees it with
 * free(). NULL without an error if there is none; NULL with ITO_ERR_IO if DIR cannot be read,
 * ITO_ERR_ARGUMENT if it is NULL, ITO_ERR_MEMORY. */
ITO_API char *ito_checkpoint_latest(const char *dir);
/** The settings of one checkpoint, DIR/step-N, as JSON text, from which a program builds the model
 * before it loads the weights. Owned by the caller, who frees it with free(). NULL: ITO_ERR_IO if
 * there are none, ITO_ERR_FORMAT if they are no JSON object, ITO_ERR_ARGUMENT if path is NULL,
 * ITO_ERR_MEMORY. */
ITO_API char *ito_checkpoint_settings(const char *path);
/** The step of one checkpoint, DIR/step-N, as its state.json says. -1: the errors of
 * ito_checkpoint_load for that file. */
ITO_API int64_t ito_checkpoint_step(const char *path);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_checkpoint_load(...) ITO_AT(ito_checkpoint_load(__VA_ARGS__))
#define ito_checkpoint_latest(...) ITO_AT(ito_checkpoint_latest(__VA_ARGS__))
#define ito_checkpoint_settings(...) ITO_AT(ito_checkpoint_settings(__VA_ARGS__))
#define ito_checkpoint_step(...) ITO_AT(ito_checkpoint_step(__VA_ARGS__))
#endif

#endif
