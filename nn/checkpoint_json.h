/* state.json of a checkpoint: counters and generators. Internal. */
#ifndef ITO_NN_CHECKPOINT_JSON_H
#define ITO_NN_CHECKPOINT_JSON_H

#include "nn/checkpoint.h"

/* What was read from a file, before it is committed. */
typedef struct checkpoint_json {
    int64_t step, position, optimizer_steps, ema_updates;
    ito_named_generators *model_generators; /* the model's; owned */
    ito_generator *values;                  /* the model's, then the caller's */
} checkpoint_json;

/* Write DIR/state.json for s. */
ito_status checkpoint_json_write(const char *dir, const ito_training_state *s);
/* Read DIR/state.json and check that it has all that s needs. The caller calls
 * checkpoint_json_free, also on failure. */
ito_status checkpoint_json_read(checkpoint_json *j, const char *dir, const ito_training_state *s);
/* Set counters and generators. */
void checkpoint_json_commit(const checkpoint_json *j, ito_training_state *s);
void checkpoint_json_free(checkpoint_json *j);
/* ITO_OK if text is a JSON object. */
ito_status checkpoint_json_check_settings(const char *text);

#endif
