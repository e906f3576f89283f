/* What layers share. Internal. */
#ifndef ITO_NN_LAYER_H
#define ITO_NN_LAYER_H

#include "nn/parametrise.h"

/* Whether parameters can have this dtype; if not, an error in the layer's name is recorded. */
bool layer_dtype_fits(const char *name, ito_dtype dtype);

/* ito_module_value, which costs nothing where no parameter of m is computed. */
static inline ito_tensor *layer_value(const ito_module *m, ito_tensor *parameter)
{
    return m->parametrisations == NULL ? parameter : ito_module_value(m, parameter);
}

#endif
