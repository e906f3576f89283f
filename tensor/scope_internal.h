/* Between tensor.c and scope.c: entering and leaving a scope. */
#ifndef ITO_SCOPE_INTERNAL_H
#define ITO_SCOPE_INTERNAL_H

#include "tensor/internal.h"

/* Hand the caller's reference to the innermost scope; false, with an error, if there is no memory.
 */
bool scope_adopt(ito_tensor *t);
/* Take t out of its scope; the reference becomes the caller's. */
void scope_forget(ito_tensor *t);

#endif
