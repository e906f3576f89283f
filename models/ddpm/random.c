/* Random numbers of data, each example from its own stream. */
#include "models/ddpm/random.h"

#include "tensor/internal.h"

#include <math.h>

ito_generator *image_generators(const char *op, uint64_t seed, int64_t first, int64_t n)
{
    if (checked_mul(n, sizeof(ito_generator)) < 0)
        return error_null(ITO_ERR_SHAPE, "%s: there cannot be %" PRId64 " examples", op, n);
    ito_generator *g = struct_alloc(((size_t)n + 1) * sizeof *g);
    for (int64_t i = 0; g != NULL && i < n; i++)
        g[i] = ito_generator_make(seed, (uint64_t)(first + i));
    return g;
}

ito_status draw_images(ito_generator *generators, ito_tensor *dst)
{
    ito_status status = ITO_OK;
    ito_shape image = {.ndim = dst->ndim - 1};
    for (int i = 0; i < image.ndim; i++)
        image.dim[i] = dst->shape[i + 1];
    for (int64_t i = 0; i < dst->shape[0] && status == ITO_OK; i++) {
        ito_scope_begin();
        ito_tensor *values = ito_randn(&generators[i], image, dst->dtype);
        ito_tensor *place =
            tensor_view(dst, image, dst->stride + 1, dst->offset + i * dst->stride[0]);
        if (values != NULL && place != NULL)
            tensor_copy(place, values);
        else
            status = ito_error_code();
        ito_scope_end();
    }
    return status;
}

double prior_deviation(const ito_process *p)
{
    ito_level end = ito_process_level(p, p->t_max);
    double deviation = hypot(end.signal, end.noise);
    return fabs(deviation - 1.0) < 1e-12 ? 1.0 : deviation;
}
