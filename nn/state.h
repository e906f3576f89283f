/* State dicts read from files in two steps: the first reads and checks everything, the second
 * copies everything to the model. Internal. Invariant: the first step changes nothing of the model,
 * and the second cannot fail. */
#ifndef ITO_NN_STATE_H
#define ITO_NN_STATE_H

#include "nn/module.h"

/* Values that were read and checked but not yet copied. */
typedef struct state_stage {
    ito_named_tensors *target; /* owned: the tensors that will be overwritten */
    ito_tensor **value;        /* [target->n] references; NULL where the file has nothing */
} state_stage;

/* Read the file's values for the tensors of target. The stage owns target from now on; on failure
 * it is freed. whose ("model") is for messages. */
ito_status state_stage_read(state_stage *s, ito_named_tensors *target, const char *whose,
                            const ito_weights *file, const ito_load_options *options);
/* Copy the values to the tensors of target. */
void state_stage_commit(state_stage *s);
void state_stage_free(state_stage *s);

/* Write the tensors of list to a file, as ito_module_save does with o, and free the list. A NULL
 * list gives the recorded error. */
ito_status state_save(const char *path, ito_named_tensors *list, const ito_save_options *o);

#endif
