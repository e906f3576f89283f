/* Checks and blocks of features for the metrics. */
#include "models/metrics/features.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "tensor/internal.h"

#include <float.h>
#include <math.h>

ito_tensor *features_rows(ito_tensor *x, int64_t first, int64_t n)
{
    return ito_contiguous(ito_cast(ito_detach(ito_narrow(x, 0, first, n)), ITO_F64));
}

ito_tensor *features_mean(ito_tensor *x)
{
    ito_tensor *sum = ito_zeros(ITO_SHAPE(x->shape[1]), ITO_F64);
    for (int64_t first = 0; sum != NULL && first < x->shape[0]; first += FEATURES_BLOCK) {
        ito_scope_begin();
        ito_tensor *rows = features_rows(x, first, features_block(x->shape[0], first));
        rows = ito_sum(rows, .dims = ITO_DIMS(0));
        sum = rows != NULL ? ito_add_(sum, rows, 1.0) : NULL;
        ito_scope_end();
    }
    return ito_mul_scalar(sum, 1.0 / (double)x->shape[0]);
}

static bool rows_finite(const char *op, ito_tensor *x, int64_t first)
{
    int64_t rows = features_block(x->shape[0], first), width = x->shape[1];
    ito_tensor *block = features_rows(x, first, rows);
    if (block == NULL)
        return false;
    const double *v = tensor_data(block);
    for (int64_t i = 0; i < rows * width; i++) {
        if (!(fabs(v[i]) <= (double)FLT_MAX)) { /* beyond, sums of products may overflow */
            error_status(ITO_ERR_NUMERIC, "%s: feature %" PRId64 " of image %" PRId64 " is %g", op,
                         i % width, first + i / width, v[i]);
            return false;
        }
    }
    return true;
}

bool features_check(const char *op, ito_tensor *x)
{
    if (x == NULL) {
        error_missing(op, "features");
        return false;
    }
    if (x->ndim != 2 || x->shape[1] < 1) {
        error_status(ITO_ERR_SHAPE, "%s: features are [images, width], not %s", op,
                     tensor_shape_str(x));
        return false;
    }
    if (!ito_dtype_is_float(x->dtype)) {
        error_status(ITO_ERR_DTYPE, "%s: features are floating point, not %s", op,
                     ito_dtype_name(x->dtype));
        return false;
    }
    bool good = true;
    for (int64_t first = 0; good && first < x->shape[0]; first += FEATURES_BLOCK) {
        ito_scope_begin();
        good = rows_finite(op, x, first);
        ito_scope_end();
    }
    return good;
}

bool features_check_pair(const char *op, ito_tensor *a, ito_tensor *b)
{
    if (!features_check(op, a) || !features_check(op, b))
        return false;
    if (a->shape[1] == b->shape[1])
        return true;
    error_status(ITO_ERR_SHAPE,
                 "%s: features of width %" PRId64 " and of width %" PRId64
                 " are not of one network",
                 op, a->shape[1], b->shape[1]);
    return false;
}
