/* Observers of operations: told of each that runs in their thread, with its result. Internal. */
#ifndef ITO_AUTOGRAD_OBSERVE_H
#define ITO_AUTOGRAD_OBSERVE_H

#include "autograd/op.h"

typedef struct op_observer {
    void (*see)(struct op_observer *o, const op_call *c, ito_tensor *out);
} op_observer;

/* Tell o of each operation from now on, NULL nobody; the one before. */
op_observer *op_observe(op_observer *o);

/* Multiplications and additions of a forward, one each; one an element for what is no product, and
 * 0 for views. */
double op_flops(const op_call *c, const ito_tensor *out);
/* Bytes of a result that lies in none of the call's inputs. */
int64_t op_new_bytes(const op_call *c, const ito_tensor *out);

#endif
