/* What the commands that make images have in common. */
#include "examples/ddpm/generate.h"

#include "autograd/ops.h"

#include <inttypes.h>
#include <math.h>

bool images_finite(ito_tensor *images, const char *weights, int64_t first)
{
    ito_tensor *x = ito_contiguous(images);
    if (x == NULL)
        return false;
    const float *values = ito_const_data(x);
    int64_t n = ito_numel(x), image = n / ito_size(x, 0);
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) {
            ito_error_set(ITO_ERR_NUMERIC,
                          "%s: image %" PRId64 " is not finite; nothing was written", weights,
                          first + i / image);
            return false;
        }
    }
    return true;
}
