/* state.json of a checkpoint: counters and generators. Internal. */
#ifndef ITO_NN_CHECKPOINT_JSON_H
#define ITO_NN_CHECKPOINT_JSON_H

#include "nn/checkpoint.h"

/* What was read, until it is used. */
typedef struct checkpoint_json {
    int64_t step, position, optimizer_steps, ema_updates;
    ito_named_generators *model_generators; /* owned list of the model's */
    ito_generator *values;                  /* the model's, then the caller's */
} checkpoint_json;

/* The text for s, to be freed with free(); NULL and ITO_ERR_MEMORY. */
char *checkpoint_json_write(const ito_training_state *s);
/* Read DIR/state.json and check that it has all that s asks for. checkpoint_json_free is due in any
 * case. */
ito_status checkpoint_json_read(checkpoint_json *j, const char *dir, const ito_training_state *s);
/* Set counters and generators. */
void checkpoint_json_commit(const checkpoint_json *j, ito_training_state *s);
void checkpoint_json_free(checkpoint_json *j);
/* ITO_OK if text is a JSON object. */
ito_status checkpoint_json_check_settings(const char *text);

#endif
