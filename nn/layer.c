/* What layers share. */
#include "nn/layer.h"
#include "tensor/internal.h"

bool layer_dtype_fits(const char *name, ito_dtype dtype)
{
    return dtype == ITO_F32 || dtype == ITO_F64 ||
           error_false(ITO_ERR_DTYPE,
                       "%s: parameters are f32 or f64, not %s; bf16 inputs take f32 parameters",
                       name, ito_dtype_name(dtype));
}
