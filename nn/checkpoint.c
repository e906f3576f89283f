/* Checkpoints: their files, written to a temporary directory, and checked before they are used. */
#include "nn/checkpoint.h"
#include "nn/checkpoint_dir.h"
#include "nn/checkpoint_json.h"
#include "nn/registry.h"
#include "nn/state.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"

#include <stdlib.h>
#include <string.h>

/* ---- saving ------------------------------------------------------------------------------------
 */

/* The caller's own tensors, which check_given has seen. */
static ito_named_tensors *own_tensors(const ito_training_state *s)
{
    size_t bytes = 0;
    for (int64_t i = 0; i < s->n_tensors; i++)
        bytes += strlen(s->tensor_names[i]) + 1;
    ito_named_tensors *list = named_tensors_create(s->n_tensors, bytes);
    for (int64_t i = 0; list != NULL && i < s->n_tensors; i++)
        named_tensors_add(list, "", s->tensor_names[i], ito_retain(s->tensors[i]));
    return list;
}

/* Check the tensors of list for NaN and infinity, and free it. */
static ito_status check_finite(ito_named_tensors *list, const char *what)
{
    if (list == NULL)
        return ito_error_code();
    ito_status status = named_tensors_check_finite(list, "checkpoint", what);
    ito_named_tensors_free(list);
    return status;
}

/* What saving and loading both need: the model holds what training goes on with, and no tensor or
 * name is NULL. */
static ito_status check_given(const ito_training_state *s)
{
    if (ito_ema_is_swapped(s->ema))
        return ito_error_set(ITO_ERR_ARGUMENT,
                             "checkpoint: the averages are in the model's place; swap them back");
    if (s->optimizer != NULL && !ito_optimizer_is_training(s->optimizer))
        return ito_error_set(ITO_ERR_ARGUMENT, "checkpoint: the optimiser is in evaluation mode; "
                                               "put it back into training mode");
    for (int64_t i = 0; i < s->n_tensors; i++) {
        if (s->tensor_names[i] == NULL)
            return ito_error_set(ITO_ERR_ARGUMENT,
                                 "checkpoint: the name of tensor %" PRId64 " is NULL", i);
        if (s->tensors[i] == NULL)
            return ito_error_set(ITO_ERR_ARGUMENT, "checkpoint: tensor \"%s\" is NULL",
                                 s->tensor_names[i]);
    }
    return ITO_OK;
}

static ito_status check_state(const ito_training_state *s)
{
    ito_status status = check_given(s);
    if (status == ITO_OK && (s->step < 0 || s->position < 0))
        status = ito_error_set(ITO_ERR_ARGUMENT,
                               "checkpoint: step %" PRId64 ", position %" PRId64
                               "; neither can be negative",
                               s->step, s->position);
    if (status == ITO_OK && s->settings != NULL)
        status = checkpoint_json_check_settings(s->settings);
    if (status == ITO_OK && s->model != NULL)
        status = check_finite(ito_module_state(s->model), "parameter ");
    if (status == ITO_OK && s->ema != NULL)
        status = check_finite(ito_ema_state(s->ema), "average ");
    if (status == ITO_OK && s->optimizer != NULL)
        status = check_finite(ito_optimizer_state(s->optimizer), "optimizer state ");
    if (status == ITO_OK && s->n_tensors > 0)
        status = check_finite(own_tensors(s), "tensor ");
    return status;
}

static ito_status write_tensors(const char *dir, const char *name, ito_named_tensors *list)
{
    ito_save_options options = ITO_OPTIONS(ito_save_options);
    char *path = checkpoint_path(dir, name);
    ito_status status = ITO_ERR_MEMORY;
    if (path == NULL)
        ito_named_tensors_free(list);
    else
        status = state_save(path, list, &options);
    free(path);
    return status;
}

static ito_status write_text(const char *dir, const char *name, const char *text)
{
    char *path = checkpoint_path(dir, name);
    ito_status status = ITO_ERR_MEMORY;
    if (path != NULL)
        status = ito_file_write(path, text, strlen(text));
    free(path);
    return status;
}

/* All files of s into the directory dir. */
static ito_status write_files(const char *dir, const ito_training_state *s)
{
    ito_status status = ITO_OK;
    if (s->model != NULL)
        status = write_tensors(dir, "model.safetensors", ito_module_state(s->model));
    if (status == ITO_OK && s->ema != NULL)
        status = write_tensors(dir, "ema.safetensors", ito_ema_state(s->ema));
    if (status == ITO_OK && s->optimizer != NULL)
        status = write_tensors(dir, "optimizer.safetensors", ito_optimizer_state(s->optimizer));
    if (status == ITO_OK && s->n_tensors > 0)
        status = write_tensors(dir, "tensors.safetensors", own_tensors(s));
    if (status == ITO_OK && s->settings != NULL)
        status = write_text(dir, "settings.json", s->settings);
    if (status == ITO_OK)
        status = checkpoint_json_write(dir, s);
    return status;
}

ito_status ito_checkpoint_save_with(const char *dir, const ito_training_state *state,
                                    ito_checkpoint_options options)
{
    if (dir == NULL || state == NULL)
        return error_missing("checkpoint", dir == NULL ? "the directory" : "the state");
    if (options.keep < 2 && options.keep != -1)
        return ito_error_set(ITO_ERR_ARGUMENT,
                             "checkpoint: keep %" PRId64 "; it is at least 2, or -1 for all",
                             options.keep);
    ito_status status = check_state(state);
    if (status != ITO_OK)
        return status;
    checkpoint_writing w;
    status = checkpoint_begin(&w, dir, state->step);
    if (status != ITO_OK)
        return status;
    status = write_files(w.temporary, state);
    if (status == ITO_OK)
        status = checkpoint_commit(&w);
    else
        checkpoint_abandon(&w);
    if (status == ITO_OK && options.keep != -1)
        checkpoint_prune(dir, options.keep, state->step);
    return status;
}

/* ---- loading -----------------------------------------------------------------------------------
 */

typedef struct loading {
    state_stage model, ema, optimizer, tensors;
    checkpoint_json json;
} loading;

static ito_status stage(state_stage *s, const char *dir, const char *name, ito_named_tensors *list,
                        const char *whose)
{
    ito_load_options options = ITO_OPTIONS(ito_load_options);
    char *path = checkpoint_path(dir, name);
    ito_weights *file = path != NULL ? ito_weights_open(path) : NULL;
    ito_status status = ITO_OK;
    if (file != NULL) {
        status = state_stage_read(s, list, whose, file, &options);
    } else {
        status = ito_error_code();
        ito_named_tensors_free(list);
    }
    ito_weights_close(file);
    free(path);
    return status;
}

static ito_status read_all(loading *l, const char *dir, const ito_training_state *s)
{
    ito_status status = checkpoint_json_read(&l->json, dir, s);
    if (status == ITO_OK && s->model != NULL)
        status = stage(&l->model, dir, "model.safetensors", ito_module_state(s->model), "model");
    if (status == ITO_OK && s->ema != NULL)
        status = stage(&l->ema, dir, "ema.safetensors", ito_ema_state(s->ema), "averages");
    if (status == ITO_OK && s->optimizer != NULL)
        status = stage(&l->optimizer, dir, "optimizer.safetensors",
                       ito_optimizer_state(s->optimizer), "optimizer");
    if (status == ITO_OK && s->n_tensors > 0)
        status = stage(&l->tensors, dir, "tensors.safetensors", own_tensors(s), "training");
    return status;
}

ito_status ito_checkpoint_load(const char *path, ito_training_state *state)
{
    if (path == NULL || state == NULL)
        return error_missing("checkpoint", path == NULL ? "the path" : "the state");
    ito_status status = check_given(state);
    if (status != ITO_OK)
        return status;
    loading l = {0};
    status = read_all(&l, path, state);
    if (status == ITO_OK) {
        state_stage_commit(&l.model);
        state_stage_commit(&l.ema);
        state_stage_commit(&l.optimizer);
        state_stage_commit(&l.tensors);
        checkpoint_json_commit(&l.json, state);
    }
    state_stage_free(&l.model);
    state_stage_free(&l.ema);
    state_stage_free(&l.optimizer);
    state_stage_free(&l.tensors);
    checkpoint_json_free(&l.json);
    return status;
}
