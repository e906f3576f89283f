/* The memory of a training run, by use. */
#ifndef ITO_NN_MEMORY_H
#define ITO_NN_MEMORY_H

#include "ema.h"
#include "optim.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes of memory by use, all counted exactly. */
typedef struct ito_memory_account {
    int64_t weights, gradients; /* of the model */
    int64_t optimizer;          /* its state, and the scratch that it keeps */
    int64_t averages;
    int64_t activations; /* the rest of the peak: what forward keeps, their gradients, scratch */
    int64_t peak;        /* the most in use at once since ito_memory_reset_peak */
    int64_t held;        /* taken from the system: in use, or kept for the next request */
} ito_memory_account;

/** The account of a model after one or more steps. opt and ema may be NULL; all are borrowed. All
 * fields are 0 if the list of tensors could not be allocated (ITO_ERR_MEMORY). */
ITO_API ito_memory_account ito_memory_account_of(const ito_module *model, const ito_optimizer *opt,
                                                 const ito_ema *ema);

#ifdef __cplusplus
}
#endif

#endif
