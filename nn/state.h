/* State dicts read from files in two steps: everything is read and checked, then everything is
 * taken over. Internal.
 * Invariant: between the two nothing of the model has changed, and the second cannot fail. */
#ifndef ITO_NN_STATE_H
#define ITO_NN_STATE_H

#include "nn/module.h"

typedef struct state_stage {
    ito_named_tensors *target; /* owned: what the values are for */
    ito_tensor **value;        /* [target->n] references; NULL where the file has nothing */
} state_stage;

/* Read the file's values for the tensors of target, which the stage takes over, also on failure; it
 * is freed in any case. whose, "model" say, goes into messages. */
ito_status state_stage_read(state_stage *s, ito_named_tensors *target, const char *whose,
                            const ito_safetensors *file, const ito_load_options *options);
/* Copy the values to their tensors. */
void state_stage_commit(state_stage *s);
void state_stage_free(state_stage *s);

/* Write the tensors of list, which may be NULL after an error, to a file, and free the list. o: as
 * ito_module_save takes it. */
ito_status state_save(const char *path, ito_named_tensors *list, const ito_save_options *o);

#endif
