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

#endif
