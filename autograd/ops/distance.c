/* Distances between the rows of two matrices. In the Euclidean case without an array of all
 * differences; the gradient is made of two products of matrices. */
#include "autograd/ops.h"
#include "autograd/ops/elementwise.h"

#include <math.h>

/* x itself if f64 and row-major, else such a copy. */
static const ito_tensor *in_double(const ito_tensor *x)
{
    if (x->dtype == ITO_F64)
        return tensor_contiguous(x);
    ito_tensor *copy = tensor_empty(ito_shape_of(x), ITO_F64);
    if (copy != NULL)
        tensor_copy(copy, x);
    return copy;
}

/* From row i of [B, P, M] to the R rows of its matrix in [B, R, M]. */
static void distances_of_row(double *y, const double *a, const double *b, int64_t rows, int64_t m)
{
    for (int64_t j = 0; j < rows; j++) {
        double sum = 0;
        for (int64_t k = 0; k < m; k++)
            sum += (a[k] - b[j * m + k]) * (a[k] - b[j * m + k]);
        y[j] = sqrt(sum);
    }
}

ito_tensor *op_cdist_forward(op_call *c) /* [B, P, M], [B, R, M] */
{
    int64_t p = c->shape[0].dim[1], r = c->shape[1].dim[1], m = c->shape[0].dim[2];
    ito_shape shape = ITO_SHAPE(c->shape[0].dim[0], p, r);
    const ito_tensor *a = in_double(c->in[0]), *b = in_double(c->in[1]);
    ito_tensor *y = tensor_empty(shape, ITO_F64);
    if (a == NULL || b == NULL || y == NULL)
        return NULL;
    const double *from = tensor_data(a), *to = tensor_data(b);
    double *result = tensor_data(y);
    int64_t rows = shape.dim[0] * p;
    PARALLEL_FOR(i, rows, rows * r * m,
                 distances_of_row(result + i * r, from + i * m, to + i / p * r * m, r, m));
    if (c->dtype[0] == ITO_F64)
        return y;
    ito_tensor *rounded = tensor_empty(shape, c->dtype[0]);
    if (rounded != NULL)
        tensor_copy(rounded, y);
    return rounded;
}

/* With w = dy / distance, and 0 for rows that are equal: dx1 = sum over j of w_ij (x1_i - x2_j). */
bool op_cdist_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    ito_tensor *a = c->in[0], *b = c->in[1];
    ito_tensor *equal = ito_eq(c->out, number_like(0, c->out));
    ito_tensor *w = ito_div(dy, ito_where(equal, number_like(1, dy), c->out));
    w = grad_unless(equal, w);
    ito_tensor *turned = ito_transpose(w, 1, 2);
    if (turned == NULL)
        return false;
    ito_reduce_options last = ITO_OPTIONS(ito_reduce_options, .dims = ITO_DIMS(2), .keepdim = true);
    if (c->needs[0])
        dx[0] = ito_sub(ito_mul(a, ito_sum_with(w, last)), ito_matmul(w, b));
    if (c->needs[1])
        dx[1] = ito_sub(ito_mul(b, ito_sum_with(turned, last)), ito_matmul(turned, a));
    return (!c->needs[0] || dx[0] != NULL) && (!c->needs[1] || dx[1] != NULL);
}

/* x [.., N, M] as [B, N, M], B the product of the batch axes, to which it is repeated. */
static ito_tensor *batched(ito_tensor *x, ito_shape batch, int64_t count)
{
    int64_t n = x->shape[x->ndim - 2], m = x->shape[x->ndim - 1];
    batch.dim[batch.ndim++] = n;
    batch.dim[batch.ndim++] = m;
    return ito_reshape_to(ito_expand_to(x, batch), ITO_SHAPE(count, n, m));
}

static ito_tensor *euclidean(ito_tensor *x1, ito_tensor *x2, ito_shape batch)
{
    int64_t count = shape_numel(batch);
    ito_tensor *a = batched(x1, batch, count), *b = batched(x2, batch, count);
    ito_tensor *y = OP2(cdist, a, b);
    batch.dim[batch.ndim++] = x1->shape[x1->ndim - 2];
    batch.dim[batch.ndim++] = x2->shape[x2->ndim - 2];
    return ito_reshape_to(y, batch);
}

ito_tensor *ito_cdist_with(ito_tensor *x1, ito_tensor *x2, ito_cdist_options options)
{
    if (!check_real("cdist", (ito_tensor *[]){x1, x2}, 2))
        return NULL;
    if (!(options.p >= 0))
        return error_null(ITO_ERR_ARGUMENT, "cdist: the order %g is not 0 or more", options.p);
    ito_shape a = ito_shape_of(x1), b = ito_shape_of(x2), batch;
    a.ndim -= 2;
    b.ndim -= 2;
    if (a.ndim < 0 || b.ndim < 0 || x1->shape[a.ndim + 1] != x2->shape[b.ndim + 1] ||
        !shape_broadcast(a, b, &batch))
        return error_null(ITO_ERR_SHAPE,
                          "cdist: shapes %s and %s are not [.., P, M] and [.., R, M]",
                          tensor_shape_str(x1), tensor_shape_str(x2));
    ito_scope_begin();
    if (options.p == 2)
        return leave_scope(euclidean(x1, x2, batch));
    ito_tensor *differences = ito_sub(ito_unsqueeze(x1, -2), ito_unsqueeze(x2, -3));
    return leave_scope(ito_norm(differences, .ord = options.p, .dims = ITO_DIMS(-1)));
}
