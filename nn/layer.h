/* What layers share. Internal. */
#ifndef ITO_NN_LAYER_H
#define ITO_NN_LAYER_H

#include "nn/module.h"

/* Whether parameters can have this dtype; if not, an error in the layer's name is recorded. */
bool layer_dtype_fits(const char *name, ito_dtype dtype);

#endif
