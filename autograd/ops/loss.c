/* Losses: a mean over all elements. Shapes must be equal, since a broadcast here is nearly always a
 * mistake. mse_loss has kernels of its own; the others are composed of operations. */
#include "autograd/op.h"
#include "autograd/ops/index.h"
#include "tensor/convert.h"
#include "tensor/kernels/kernels.h"

static bool same_shape(const char *op, const ito_tensor *a, const ito_tensor *b)
{
    if (a == NULL || b == NULL)
        return false;
    if (shape_equal(ito_shape_of(a), ito_shape_of(b)))
        return true;
    return error_false(ITO_ERR_SHAPE, "%s: shapes %s and %s differ", op, tensor_shape_str(a),
                       tensor_shape_str(b));
}

/* ---- mse_loss
 * ------------------------------------------------------------------------------------ */

enum { CHUNK = 1 << 13 }; /* elements whose squares one thread sums; fixed, so the bits are too */

/* Both dense and in one memory order, that of *a if it has one; false with an error. */
static bool align(const ito_tensor **a, const ito_tensor **b)
{
    if (!tensor_is_dense(*a))
        *a = tensor_contiguous(*a);
    if (*a == NULL || tensor_same_layout(*a, *b))
        return *a != NULL;
    ito_tensor *copy = tensor_empty_as(*a, (*b)->dtype);
    if (copy != NULL)
        tensor_copy(copy, *b);
    *b = copy;
    return copy != NULL;
}

/* Two tensors that are aligned. */
typedef struct pair {
    const kernel_table *kernels;
    const char *a, *b;
    int64_t n;
    size_t size; /* of an element */
} pair;

static pair pair_of(const ito_tensor *a, const ito_tensor *b)
{
    return (pair){kernels(a->dtype), tensor_data(a), tensor_data(b), ito_numel(a),
                  ito_dtype_size(a->dtype)};
}

static int64_t chunk_length(const pair *p, int64_t chunk)
{
    return p->n - chunk * CHUNK < CHUNK ? p->n - chunk * CHUNK : CHUNK;
}

static double squares_of_chunk(const pair *p, int64_t chunk)
{
    size_t at = (size_t)(chunk * CHUNK) * p->size;
    return p->kernels->squared_difference_sum(p->a + at, p->b + at, chunk_length(p, chunk));
}

static void difference_of_chunk(const pair *p, char *out, double factor, int64_t chunk)
{
    size_t at = (size_t)(chunk * CHUNK) * p->size;
    p->kernels->scaled_difference(out + at, p->a + at, p->b + at, factor, chunk_length(p, chunk));
}

ito_tensor *op_mse_loss_forward(op_call *c)
{
    const ito_tensor *a = c->in[0], *b = c->in[1];
    int64_t n = shape_numel(c->shape[0]), chunks = (n + CHUNK - 1) / CHUNK;
    ito_tensor *out = tensor_empty(ITO_SHAPE(), a->dtype);
    ito_tensor *partial = tensor_empty(ITO_SHAPE(chunks), ITO_F64);
    if (out == NULL || partial == NULL || !align(&a, &b))
        return NULL;
    pair p = pair_of(a, b);
    double *sum = tensor_data(partial), total = 0;
    PARALLEL_FOR(i, chunks, n, sum[i] = squares_of_chunk(&p, i));
    for (int64_t i = 0; i < chunks; i++)
        total += sum[i];
    tensor_fill(out, total / (double)n);
    return out;
}

/* factor (a - b), in a's memory order */
static ito_tensor *scaled_difference(const ito_tensor *a, const ito_tensor *b, double factor)
{
    if (!align(&a, &b))
        return NULL;
    ito_tensor *out = tensor_empty_as(a, a->dtype);
    if (out == NULL)
        return NULL;
    pair p = pair_of(a, b);
    char *difference = tensor_data(out);
    PARALLEL_FOR(i, (p.n + CHUNK - 1) / CHUNK, p.n, difference_of_chunk(&p, difference, factor, i));
    return out;
}

static double number(const ito_tensor *t)
{
    const void *p = tensor_data(t);
    return t->dtype == ITO_F64    ? *(const double *)p
           : t->dtype == ITO_BF16 ? (double)bf16_to_f32(*(const uint16_t *)p)
                                  : (double)*(const float *)p;
}

/* d/da of the mean of (a - b)^2 is 2 (a - b) / n, d/db its negative. */
bool op_mse_loss_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    double factor = 2 * number(dy) / (double)shape_numel(c->shape[0]);
    if (c->needs[0] && (dx[0] = scaled_difference(c->in[0], c->in[1], factor)) == NULL)
        return false;
    if (c->needs[1] && (dx[1] = scaled_difference(c->in[1], c->in[0], factor)) == NULL)
        return false;
    return true;
}

ito_tensor *op_mse_loss_composite(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n;
    (void)params;
    return ito_mean(ito_square(ito_sub(in[0], in[1])));
}

ito_tensor *ito_mse_loss(ito_tensor *prediction, ito_tensor *target)
{
    return same_shape("mse_loss", prediction, target) ? OP2(mse_loss, prediction, target) : NULL;
}

/* ---- composed
 * ------------------------------------------------------------------------------------ */

ito_tensor *ito_l1_loss(ito_tensor *prediction, ito_tensor *target)
{
    if (!same_shape("l1_loss", prediction, target))
        return NULL;
    return ito_mean(ito_abs(ito_sub(prediction, target)));
}

/* With q = min(|d|, delta) both cases are q (|d| - q / 2). */
ito_tensor *ito_huber_loss(ito_tensor *prediction, ito_tensor *target, double delta)
{
    if (!same_shape("huber_loss", prediction, target))
        return NULL;
    if (!(delta > 0))
        return error_null(ITO_ERR_ARGUMENT, "huber_loss: delta %g is not positive", delta);
    ito_tensor *d = ito_abs(ito_sub(prediction, target));
    ito_tensor *q = ito_clamp(d, 0, delta);
    return ito_mean(ito_mul(q, ito_axpby(1, d, -0.5, q)));
}

ito_tensor *ito_cross_entropy(ito_tensor *logits, ito_tensor *target)
{
    if (logits == NULL || target == NULL)
        return NULL;
    if (logits->ndim != 2 || target->ndim != 1 || logits->shape[0] != target->shape[0])
        return error_null(ITO_ERR_SHAPE,
                          "cross_entropy: logits %s and target %s are not [N, classes] "
                          "and [N]",
                          tensor_shape_str(logits), tensor_shape_str(target));
    if (!index_check("cross_entropy", target, logits->shape[1]))
        return NULL;
    ito_tensor *log_p = ito_gather(ito_log_softmax(logits, 1), 1, ito_unsqueeze(target, 1));
    return ito_neg(ito_mean(log_p));
}

/* -z log s(x) - (1 - z) log(1 - s(x)) with -log s(x) = softplus(-x) and -log(1 - s(x)) =
 * softplus(x): neither overflows, nor cancels where the prediction is right. */
ito_tensor *ito_bce_with_logits(ito_tensor *logits, ito_tensor *target)
{
    if (!same_shape("bce_with_logits", logits, target))
        return NULL;
    ito_tensor *other = ito_add_scalar(ito_neg(target), 1);
    return ito_mean(ito_add(ito_mul(target, ito_softplus(ito_neg(logits))),
                            ito_mul(other, ito_softplus(logits))));
}
