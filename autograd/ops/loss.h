/* What losses share. Internal. */
#ifndef ITO_OPS_LOSS_SHARED_H
#define ITO_OPS_LOSS_SHARED_H

#include "autograd/op.h"

/* Whether a and b are there, have a type of REAL, the same one, and one shape; or the error in op's
 * name. A broadcast in a loss is nearly always a mistake. */
bool check_pair_of_losses(const char *op, ito_tensor *a, ito_tensor *b);
/* Whether reduction is mean, sum or none. */
bool check_reduction(const char *op, ito_reduction reduction);
/* The loss of each element, reduced. */
ito_tensor *reduce_loss(ito_tensor *loss, ito_reduction reduction);

#endif
