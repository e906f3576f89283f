/* Losses of the difference between prediction and target. mse_loss has kernels of its own; the
 * others are composed of operations. */
#include "autograd/ops/loss.h"
#include "autograd/ops/elementwise.h"
#include "tensor/convert.h"
#include "tensor/kernels/kernels.h"

#include <math.h>

bool check_pair_of_losses(const char *op, ito_tensor *a, ito_tensor *b)
{
    if (!check_real(op, (ito_tensor *[]){a, b}, 2))
        return false;
    if (shape_equal(ito_shape_of(a), ito_shape_of(b)))
        return true;
    return error_false(ITO_ERR_SHAPE, "%s: shapes %s and %s differ", op, tensor_shape_str(a),
                       tensor_shape_str(b));
}

bool check_reduction(const char *op, ito_reduction reduction)
{
    return reduction <= ITO_REDUCTION_NONE ||
           error_false(ITO_ERR_ARGUMENT, "%s: reduction %d is none of mean, sum and none", op,
                       (int)reduction);
}

ito_tensor *reduce_loss(ito_tensor *loss, ito_reduction reduction)
{
    return reduction == ITO_REDUCTION_MEAN  ? ito_mean(loss)
           : reduction == ITO_REDUCTION_SUM ? ito_sum(loss)
                                            : loss;
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

ito_tensor *ito_mse_loss_with(ito_tensor *prediction, ito_tensor *target, ito_loss_options options)
{
    if (!check_pair_of_losses("mse_loss", prediction, target) ||
        !check_reduction("mse_loss", options.reduction))
        return NULL;
    if (options.reduction == ITO_REDUCTION_MEAN)
        return OP2(mse_loss, prediction, target);
    ito_scope_begin();
    ito_tensor *square = ito_square(ito_sub(prediction, target));
    return leave_scope(reduce_loss(square, options.reduction));
}

/* ---- composed ----------------------------------------------------------------------------------
 */

ito_tensor *ito_l1_loss_with(ito_tensor *prediction, ito_tensor *target, ito_loss_options options)
{
    if (!check_pair_of_losses("l1_loss", prediction, target) ||
        !check_reduction("l1_loss", options.reduction))
        return NULL;
    ito_scope_begin();
    return leave_scope(reduce_loss(ito_abs(ito_sub(prediction, target)), options.reduction));
}

/* With q = d cut to -delta .. delta both cases are q (d - q / 2), whose second derivative is 1 at
 * 0, too. */
static ito_tensor *huber(ito_tensor *d, double delta)
{
    ito_tensor *q = ito_clamp(d, -delta, delta);
    return ito_mul(q, ito_axpby(1, d, -0.5, q));
}

ito_tensor *ito_huber_loss_with(ito_tensor *prediction, ito_tensor *target,
                                ito_huber_loss_options options)
{
    if (!check_pair_of_losses("huber_loss", prediction, target) ||
        !check_reduction("huber_loss", options.reduction))
        return NULL;
    if (!(options.delta > 0))
        return error_null(ITO_ERR_ARGUMENT, "huber_loss: delta %g is not positive", options.delta);
    ito_scope_begin();
    ito_tensor *loss = huber(ito_sub(prediction, target), options.delta);
    return leave_scope(reduce_loss(loss, options.reduction));
}

ito_tensor *ito_smooth_l1_loss_with(ito_tensor *prediction, ito_tensor *target,
                                    ito_smooth_l1_loss_options options)
{
    if (!check_pair_of_losses("smooth_l1_loss", prediction, target) ||
        !check_reduction("smooth_l1_loss", options.reduction))
        return NULL;
    if (!(options.beta >= 0))
        return error_null(ITO_ERR_ARGUMENT, "smooth_l1_loss: beta %g is not 0 or more",
                          options.beta);
    ito_scope_begin();
    ito_tensor *d = ito_sub(prediction, target);
    ito_tensor *loss =
        options.beta == 0 ? ito_abs(d) : ito_mul_scalar(huber(d, options.beta), 1 / options.beta);
    return leave_scope(reduce_loss(loss, options.reduction));
}

ito_tensor *ito_poisson_nll_loss_with(ito_tensor *prediction, ito_tensor *target,
                                      ito_poisson_nll_loss_options options)
{
    if (!check_pair_of_losses("poisson_nll_loss", prediction, target) ||
        !check_reduction("poisson_nll_loss", options.reduction))
        return NULL;
    ito_scope_begin();
    ito_tensor *loss;
    if (options.log_input)
        loss = ito_sub(ito_exp(prediction), ito_mul(target, prediction));
    else
        loss =
            ito_sub(prediction, ito_mul(target, ito_log(ito_add_scalar(prediction, options.eps))));
    if (options.full) { /* log(target!) by Stirling, t log(t) - t + log(2 pi t) / 2 where t > 1 */
        ito_tensor *small = ito_le(target, number_like(1, target));
        ito_tensor *t = ito_masked_fill(target, small, 1), *log_t = ito_log(t);
        ito_tensor *stirling = ito_add_scalar(ito_mul_scalar(log_t, 0.5), 0.5 * log(2 * M_PI));
        stirling = ito_add(stirling, ito_sub(ito_mul(t, log_t), t));
        loss = ito_add(loss, grad_unless(small, stirling));
    }
    return leave_scope(reduce_loss(loss, options.reduction));
}

/* The variance as prediction lies: of its shape, without its last axis, or with 1 there. */
static ito_tensor *variance_as(ito_tensor *variance, const ito_tensor *prediction)
{
    ito_shape shape = ito_shape_of(prediction), last = shape;
    if (shape.ndim > 0)
        last.dim[last.ndim - 1] = 1;
    ito_shape without = shape;
    without.ndim -= shape.ndim > 0;
    ito_shape given = ito_shape_of(variance);
    if (shape_equal(given, shape) || shape_equal(given, last))
        return variance;
    if (shape_equal(given, without))
        return ito_reshape_to(variance, last);
    return error_null(ITO_ERR_SHAPE,
                      "gaussian_nll_loss: the variance %s does not go with the prediction %s",
                      tensor_shape_str(variance), tensor_shape_str(prediction));
}

ito_tensor *ito_gaussian_nll_loss_with(ito_tensor *prediction, ito_tensor *target,
                                       ito_tensor *variance, ito_gaussian_nll_loss_options options)
{
    if (!check_pair_of_losses("gaussian_nll_loss", prediction, target) ||
        !check_real("gaussian_nll_loss", (ito_tensor *[]){prediction, target, variance}, 3) ||
        !check_reduction("gaussian_nll_loss", options.reduction))
        return NULL;
    ito_scope_begin();
    ito_tensor *v = variance_as(variance, prediction);
    double least = v == NULL || ito_numel(v) == 0 ? 0 : ito_item(ito_min(ito_detach(v)));
    if (v != NULL && least < 0)
        v = error_null(ITO_ERR_RANGE, "gaussian_nll_loss: the variance %g is below 0", least);
    /* eps bounds the value from below; the gradient is that of the unbounded one, as PyTorch's */
    ito_tensor *lack =
        v == NULL ? NULL : ito_sub(ito_clamp(ito_detach(v), options.eps, HUGE_VAL), ito_detach(v));
    v = ito_add(v, lack);
    ito_tensor *square = ito_square(ito_sub(prediction, target));
    ito_tensor *loss = ito_mul_scalar(ito_add(ito_log(v), ito_div(square, v)), 0.5);
    if (options.full)
        loss = ito_add_scalar(loss, 0.5 * log(2 * M_PI));
    return leave_scope(reduce_loss(loss, options.reduction));
}
