/* Stacks of matrices: reading, writing, and the loop over them. */
#include "autograd/ops/matrices.h"
#include "tensor/threads.h"

#include <math.h>

bool matrices_check(const char *op, const ito_tensor *a, bool square)
{
    if (a == NULL)
        return error_missing(op, "a"), false;
#ifdef ITO_NO_LAPACK
    return error_false(ITO_ERR_ARGUMENT, "%s: needs LAPACK, which this build is without", op);
#endif
    if (a->dtype != ITO_F32 && a->dtype != ITO_F64)
        return error_false(ITO_ERR_DTYPE, "%s: takes f32 or f64, not %s (see ito_cast)", op,
                           ito_dtype_name(a->dtype));
    int64_t rows = a->ndim < 2 ? -1 : a->shape[a->ndim - 2];
    int64_t columns = a->ndim < 2 ? -1 : a->shape[a->ndim - 1];
    if (a->ndim < 2 || (square && rows != columns))
        return error_false(ITO_ERR_SHAPE, "%s: %s is not [.., %s]", op, tensor_shape_str(a),
                           square ? "N, N" : "M, N");
    if (rows > MATRIX_LARGEST || columns > MATRIX_LARGEST)
        return error_false(ITO_ERR_SHAPE, "%s: %s has more than %d rows or columns", op,
                           tensor_shape_str(a), MATRIX_LARGEST);
    return true;
}

/* ---- matrices in memory ------------------------------------------------------------------------
 */

static int64_t matrix_offset(const ito_tensor *t, int64_t b)
{
    int64_t at = 0;
    for (int i = t->ndim - 3; i >= 0; i--) {
        at += b % t->shape[i] * t->stride[i];
        b /= t->shape[i];
    }
    return at;
}

void matrix_read(double *to, const ito_tensor *a, int64_t b)
{
    int64_t rows = a->shape[a->ndim - 2], columns = a->shape[a->ndim - 1];
    int64_t row = a->stride[a->ndim - 2], column = a->stride[a->ndim - 1];
    int64_t at = matrix_offset(a, b);
    const float *f32 = tensor_data(a);
    const double *f64 = tensor_data(a);
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < rows; i++) {
            int64_t k = at + i * row + j * column;
            to[i + j * rows] = a->dtype == ITO_F64 ? f64[k] : (double)f32[k];
        }
}

static void put(ito_tensor *y, int64_t at, double value)
{
    if (y->dtype == ITO_F64)
        ((double *)tensor_data(y))[at] = value;
    else
        ((float *)tensor_data(y))[at] = (float)value;
}

void matrix_write(ito_tensor *y, int64_t b, matrix_part p, const double *from)
{
    int64_t row = y->stride[y->ndim - 2], column = y->stride[y->ndim - 1];
    int64_t at = matrix_offset(y, b) + p.row * row + p.column * column;
    for (int64_t i = 0; i < p.rows; i++)
        for (int64_t j = 0; j < p.columns; j++)
            put(y, at + i * row + j * column, from[i * p.row_step + j * p.column_step]);
}

void element_write(ito_tensor *y, int64_t i, double value)
{
    put(y, i, value);
}

bool all_finite(const double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

/* ---- the loop ----------------------------------------------------------------------------------
 */

/* The error for matrix b of the batch. */
static void *matrix_fault(const op_call *c, int64_t b, const char *fault)
{
    ito_shape batch = c->shape[0];
    batch.ndim -= 2;
    if (batch.ndim == 0)
        return error_null(ITO_ERR_NUMERIC, "%s: the matrix %s", c->info->name, fault);
    ito_shape place = batch;
    for (int i = batch.ndim - 1; i >= 0; i--) {
        place.dim[i] = b % batch.dim[i];
        b /= batch.dim[i];
    }
    return error_null(ITO_ERR_NUMERIC, "%s: matrix %s of the batch %s", c->info->name,
                      shape_str(place), fault);
}

ito_tensor *each_matrix(const op_call *c, ito_tensor *y, int64_t scratch, int64_t cost,
                        matrix_work *work, const char *fault)
{
    if (y == NULL)
        return NULL;
    ito_shape batch = c->shape[0];
    batch.ndim -= 2;
    int64_t count = shape_numel(batch);
    if (count == 0)
        return y;
    int64_t threads = threads_for(count * cost), team = threads < count ? threads : count;
    ito_tensor *room = tensor_empty(ITO_SHAPE(team, scratch), ITO_F64);
    ito_tensor *outcome = tensor_empty(ITO_SHAPE(count), ITO_I32);
    if (room == NULL || outcome == NULL)
        return NULL;
    double *own = tensor_data(room);
    int32_t *failed = tensor_data(outcome);
#pragma omp parallel for num_threads((int)team) schedule(static)
    for (int64_t b = 0; b < count; b++)
        failed[b] = work(c, y, b, own + thread_number() * scratch);
    for (int64_t b = 0; b < count; b++)
        if (failed[b] != 0)
            return matrix_fault(c, b, failed[b] == NOT_FINITE ? "is not finite" : fault);
    return y;
}

/* ---- operations on the last two axes -----------------------------------------------------------
 */

ito_tensor *transposed(ito_tensor *a)
{
    return ito_transpose(a, -2, -1);
}
