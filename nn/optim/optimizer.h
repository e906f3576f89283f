/* What an algorithm is made of, and the optimiser that runs it. Internal.
 *
 * A step has three parts: prepare may fail and writes scratch alone; begin changes an algorithm's
 * own counts; then one pass over all pieces calls step, or matrix_step where a piece's parameters
 * are matrices. Invariant: after prepare nothing can fail, and before it nothing has changed. */
#ifndef ITO_NN_OPTIM_OPTIMIZER_H
#define ITO_NN_OPTIM_OPTIMIZER_H

#include "nn/optim.h"
#include "nn/shard.h"

enum { MAX_STATES = 3 };

/* What a step is told of the parameters of a piece. */
typedef struct step_rates {
    double lr, weight_decay;
} step_rates;

typedef void step_function(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                           step_rates r);

typedef struct algorithm {
    const char *kind;
    /* Of the names of the blocks o->state[i] for parameters that are no matrices, and for those
     * that are; NULL: scratch, or not needed. */
    const char *prefix[MAX_STATES], *matrix_prefix[MAX_STATES];
    step_function *step, *matrix_step;
    /* Whether a parameter is a matrix; NULL: none is. */
    bool (*is_matrix)(const ito_optimizer *o, const ito_tensor *p);
    /* Called in a scope of its own; gradients count scale times. False with an error recorded. */
    bool (*prepare)(ito_optimizer *o, double lr, double scale);
    void (*begin)(ito_optimizer *o, double lr);
    /* The weights for evaluation are p + w (state[0] - p); NULL: they are p. */
    double (*evaluation_weight)(const ito_optimizer *o);
} algorithm;

/* What is set for a parameter. */
typedef struct parameter_setting {
    double lr_scale;
    double weight_decay; /* NaN: the optimiser's own */
    bool matrix;
    int64_t own; /* the first of its tensors in o->own */
} parameter_setting;

/* A value that state takes when the step is certain. */
typedef struct pending_copy {
    ito_tensor *to, *value;
} pending_copy;

/* How ranks share a step: each updates the elements that are its own and keeps state for these
 * alone. */
typedef struct optimizer_shard {
    flat_shard of;
    /* Give every rank the sums of pieces in flat->partial that it lacks. */
    ito_status (*share_sums)(void *context, int64_t pieces);
    void *context;
    bool steps; /* all ranks are at a step now; none is taken else */
} optimizer_shard;

struct ito_optimizer {
    const algorithm *algorithm;
    module_flat *flat; /* the model's */
    int64_t steps;
    ito_tensor *state[MAX_STATES]; /* [flat->n] references, beside the parameters; or NULL. Of a
                                      shard: [shard_size] */
    const optimizer_shard *shard;  /* borrowed, or &left; NULL: all of it is here */
    optimizer_shard left;          /* of ranks that have left, when there was no memory for all */
    ito_named_tensors *own;        /* further state, of other shapes; or NULL */
    parameter_setting *setting;    /* [flat->list->n] */
    int64_t *run;                  /* [flat->list->n] the first of neighbours with one setting */
    pending_copy *pending;         /* room for what prepare may leave; or NULL */
    int64_t n_pending;
    double weight_decay, matrix_weight_decay; /* where a parameter has none of its own */
    ito_tensor *resting; /* [flat->n] what training goes on with, in evaluation mode; else NULL */
    double now[2];       /* what begin leaves for the pass */
    union {              /* by algorithm */
        ito_adam_options adam;
        ito_adamw_options adamw;
        ito_sgd_options sgd;
        ito_rmsprop_options rmsprop;
        ito_adagrad_options adagrad;
        ito_radam_options radam;
        ito_lion_options lion;
        ito_adafactor_options adafactor;
        ito_muon_options muon;
        ito_soap_options soap;
        ito_schedule_free_adamw_options schedule_free; /* of both; SGD's are turned into these */
    } options;
};

/* An optimiser with the blocks of state whose bits are set, zeros. options: of so many bytes, is
 * copied. */
ito_optimizer *optimizer_create(ito_module *model, const algorithm *a, unsigned states,
                                const void *options, size_t bytes, double weight_decay);
/* Room for further state: n tensors with name_bytes of names in all (0s included), and for
 * `pending` copies in a step. */
bool optimizer_reserve(ito_optimizer *o, int64_t n, size_t name_bytes, int64_t pending);
/* Append a tensor of zeros to o->own: "<prefix><name>". */
bool optimizer_own(ito_optimizer *o, const char *prefix, const char *name, ito_shape shape,
                   ito_dtype dtype);

/* A view of a block shaped as parameter i, and one of its gradient, of the current scope. */
ito_tensor *optimizer_view(const ito_optimizer *o, int64_t i, const ito_tensor *block);
/* The gradient of parameter i times scale. */
ito_tensor *optimizer_gradient(const ito_optimizer *o, int64_t i, double scale);
/* Whether parameter i is to be changed by this step. */
bool optimizer_trains(const ito_optimizer *o, int64_t i);
/* The setting's decay or the optimiser's own. */
step_rates optimizer_rates(const ito_optimizer *o, int64_t i, double lr);
/* Let `to`, a view of state, have this value when the step is certain; both are kept for the scope
 * outside. False if one is NULL. */
bool optimizer_later(ito_optimizer *o, ito_tensor *to, ito_tensor *value);

/* Whether each element's step depends on that element alone, so that ranks can share it. */
bool optimizer_shards(const ito_optimizer *o);
/* Keep state for this shard alone, or with NULL for all elements. What is at both sides stays, the
 * rest is zero. False without memory, and nothing has changed. */
bool optimizer_set_shard(ito_optimizer *o, const optimizer_shard *shard);
/* Bytes of all blocks and tensors that it keeps; 0 for NULL. */
int64_t optimizer_bytes(const ito_optimizer *o);

/* Whether value is in [0, limit); if not, an error says so. */
bool optimizer_in_range(const char *op, const char *what, double value, double limit);

/* Adam's step: its arrays are state[0] and state[1], and state[2] with amsgrad. */
typedef struct adam_settings {
    double beta1, beta2, eps;
} adam_settings;
/* decay is added to the gradient, and p shrinks by 1 - lr shrink. */
void adam_arrays(const ito_optimizer *o, const kernel_table *k, const step_arrays *s,
                 adam_settings a, double lr, double decay, double shrink);
bool adam_in_range(const char *op, adam_settings a);

#endif
