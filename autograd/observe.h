/* Observers of operations: told of each that runs in their thread, with its result. Internal. */
#ifndef ITO_AUTOGRAD_OBSERVE_H
#define ITO_AUTOGRAD_OBSERVE_H

#include "autograd/op.h"

typedef struct op_observer {
    void (*see)(struct op_observer *o, const op_call *c, ito_tensor *out);
    /* NULL, or told that x now holds the values of another tensor, or, where that is NULL, values
     * that no operation made. Changes in place are then done by operations, so that they are seen.
     */
    void (*same)(struct op_observer *o, ito_tensor *x, const ito_tensor *of);
} op_observer;

/* Tell o of each operation from now on, NULL nobody; the one before. */
op_observer *op_observe(op_observer *o);

/* Whether an observer follows values: then what computes past operations, for speed, is to do it by
 * operations, since values that none made count as constants. And telling it. */
bool op_traced(void);
void op_tell_same(ito_tensor *x, const ito_tensor *of);

/* Multiplications and additions of a forward, one each; one an element for what is no product, and
 * 0 for views. */
double op_flops(const op_call *c, const ito_tensor *out);
/* Bytes of a result that lies in none of the call's inputs. */
int64_t op_new_bytes(const op_call *c, const ito_tensor *out);

#endif
