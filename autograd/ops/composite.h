/* How functions that are made of operations keep their result alone. Internal. */
#ifndef ITO_OPS_COMPOSITE_H
#define ITO_OPS_COMPOSITE_H

#include "autograd/op.h"

/* The value of the expression, whose temporaries go. */
#define COMPOSITE(expression)                                                                      \
    ({                                                                                             \
        ito_scope_begin();                                                                         \
        ito_tensor *composite_ = ito_keep(expression);                                             \
        ito_scope_end();                                                                           \
        composite_;                                                                                \
    })

/* The diagonal of the last two axes, which are equal, as the last axis. Differentiable. */
ito_tensor *diagonal_of(ito_tensor *x);

#endif
