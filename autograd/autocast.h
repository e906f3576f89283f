/* Mixed precision by the operation: which inputs are converted before it runs. Internal. */
#ifndef ITO_AUTOCAST_H
#define ITO_AUTOCAST_H

#include "autograd/op.h"

/* Whether operations of this thread convert their inputs. */
bool autocast_active(void);
/* Convert nothing until the value is given back. */
ito_dtype autocast_suspend(void);
void autocast_resume(ito_dtype dtype);
/* The inputs as the operation takes them where products are in `low`, in to[n]; NULLs stay. false
 * with an error. */
bool autocast_inputs(const op_info *info, ito_tensor *const *in, int64_t n, ito_dtype low,
                     ito_tensor **to);

#endif
