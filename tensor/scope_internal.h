/* Entering and leaving a scope, and asking for it. Internal. */
#ifndef ITO_SCOPE_INTERNAL_H
#define ITO_SCOPE_INTERNAL_H

#include "tensor/internal.h"

/* Hand the caller's reference to the innermost scope; false, with an error, if there is no memory.
 */
bool scope_adopt(ito_tensor *t);
/* Take t out of its scope; the reference becomes the caller's. */
void scope_forget(ito_tensor *t);
/* Whether s is this thread's innermost scope; NULL is none. */
bool scope_is_innermost(const struct scope *s);

#endif
