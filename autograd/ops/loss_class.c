/* Losses of probabilities and classes: logits or log-probabilities [N, C, ...] with classes [N,
 * ...] or probabilities of the classes, shaped as they are. */
#include "autograd/ops.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/loss.h"

#include <math.h>

/* ---- classes -----------------------------------------------------------------------------------
 */

/* Targets that have been checked. */
typedef struct class_targets {
    ito_tensor *index;   /* [N, ...], 0 where the target is ignored */
    ito_tensor *ignored; /* bool, or NULL: none is */
    ito_tensor *weight;  /* of each target's class, or NULL: 1 */
    double total;        /* weight of those that are not ignored */
} class_targets;

/* x [N, C, ...] and target [N, ...]. */
static bool check_class_shapes(const char *op, const char *what, const ito_tensor *x,
                               const ito_tensor *target)
{
    ito_shape shape = ito_shape_of(x);
    bool fits = shape.ndim >= 2 && target->ndim == shape.ndim - 1;
    for (int i = 0; fits && i < target->ndim; i++)
        fits = target->shape[i] == shape.dim[i == 0 ? 0 : i + 1];
    return fits ||
           error_false(ITO_ERR_SHAPE, "%s: %s %s and target %s are not [N, C, ...] and [N, ...]",
                       op, what, tensor_shape_str(x), tensor_shape_str(target));
}

static bool check_class_weight(const char *op, ito_tensor *weight, const ito_tensor *x, int axis)
{
    if (weight == NULL)
        return true;
    if (!check_real(op, (ito_tensor *[]){(ito_tensor *)x, weight}, 2))
        return false;
    if (weight->ndim == 1 && weight->shape[0] == x->shape[axis])
        return true;
    return error_false(ITO_ERR_SHAPE, "%s: the weight %s is not [%" PRId64 "], one for each class",
                       op, tensor_shape_str(weight), x->shape[axis]);
}

static bool read_targets(const char *op, const ito_tensor *x, ito_tensor *target,
                         ito_tensor *weight, int64_t ignore_index, class_targets *t)
{
    if (target->dtype != ITO_I64)
        return error_false(ITO_ERR_DTYPE, "%s: indices are i64, not %s", op,
                           ito_dtype_name(target->dtype));
    const ito_tensor *list = tensor_contiguous(target);
    t->index = tensor_empty(ito_shape_of(target), ITO_I64);
    t->ignored = tensor_empty(ito_shape_of(target), ITO_BOOL);
    if (list == NULL || t->index == NULL || t->ignored == NULL)
        return false;
    const int64_t *from = tensor_data(list);
    int64_t *index = tensor_data(t->index), n = ito_numel(target), ignored = 0;
    uint8_t *skip = tensor_data(t->ignored);
    for (int64_t i = 0; i < n; i++) {
        skip[i] = from[i] == ignore_index;
        index[i] = skip[i] ? 0 : from[i];
        ignored += skip[i];
    }
    if (ignored < n && !index_check(op, t->index, x->shape[1]))
        return false;
    t->ignored = ignored > 0 ? t->ignored : NULL;
    t->total = (double)(n - ignored);
    if (weight == NULL)
        return true;
    weight = ito_detach(weight);
    ito_tensor *flat = ito_reshape(t->index, -1);
    t->weight = ito_reshape_to(ito_index_select(weight, 0, flat), ito_shape_of(target));
    ito_tensor *counted = t->ignored == NULL ? t->weight : grad_unless(t->ignored, t->weight);
    ito_tensor *total = ito_sum(counted == NULL ? NULL : ito_cast(counted, ITO_F64));
    t->total = total == NULL ? 0 : ito_item(total);
    return total != NULL;
}

/* One weight for each class, along axis 1 of an array like this. */
static ito_tensor *along_classes(ito_tensor *weight, const ito_tensor *like)
{
    ito_shape shape = {.ndim = like->ndim};
    for (int i = 0; i < shape.ndim; i++)
        shape.dim[i] = i == 1 ? like->shape[1] : 1;
    return ito_reshape_to(ito_detach(weight), shape);
}

/* -w[y] log_p[y], of which smoothing takes its share for all classes alike: -w[c] log_p[c] / C. */
static ito_tensor *class_loss(const char *op, ito_tensor *log_p, ito_tensor *target,
                              ito_tensor *weight, int64_t ignore_index, double smoothing,
                              ito_reduction reduction)
{
    class_targets t = {0};
    if (log_p == NULL || target == NULL ||
        !read_targets(op, log_p, target, weight, ignore_index, &t))
        return NULL;
    ito_tensor *loss = ito_squeeze(ito_gather(log_p, 1, ito_unsqueeze(t.index, 1)), 1);
    if (t.weight != NULL)
        loss = ito_mul(loss, t.weight);
    if (smoothing > 0) {
        ito_tensor *all = weight == NULL ? log_p : ito_mul(log_p, along_classes(weight, log_p));
        double share = smoothing / (double)log_p->shape[1];
        loss = ito_axpby(1 - smoothing, loss, share, ito_sum(all, .dims = ITO_DIMS(1)));
    }
    if (t.ignored != NULL)
        loss = grad_unless(t.ignored, loss);
    if (reduction != ITO_REDUCTION_MEAN || (t.ignored == NULL && t.weight == NULL))
        return ito_neg(reduce_loss(loss, reduction));
    return ito_mul_scalar(ito_sum(loss), -1 / t.total);
}

/* The same for one example without its axis: x [C], target []. */
static ito_tensor *class_loss_of_one(const char *op, ito_tensor *log_p, ito_tensor *target,
                                     ito_tensor *weight, int64_t ignore_index, double smoothing,
                                     ito_reduction reduction)
{
    ito_tensor *loss = class_loss(op, ito_unsqueeze(log_p, 0), ito_unsqueeze(target, 0), weight,
                                  ignore_index, smoothing, reduction);
    return ito_reshape_to(loss, ITO_SHAPE());
}

ito_tensor *ito_nll_loss_with(ito_tensor *log_p, ito_tensor *target, ito_nll_loss_options options)
{
    if (!check_real("nll_loss", &log_p, 1) || !check_reduction("nll_loss", options.reduction))
        return NULL;
    if (target == NULL) {
        error_missing("nll_loss", "target");
        return NULL;
    }
    bool one = log_p->ndim == 1 && target->ndim == 0;
    if ((!one && !check_class_shapes("nll_loss", "log-probabilities", log_p, target)) ||
        !check_class_weight("nll_loss", options.weight, log_p, one ? 0 : 1))
        return NULL;
    ito_scope_begin();
    return leave_scope((one ? class_loss_of_one : class_loss)(
        "nll_loss", log_p, target, options.weight, options.ignore_index, 0, options.reduction));
}

/* Of target probabilities [N, C, ...]: the sum of -w[c] target[c] log_p[c]. */
static ito_tensor *soft_loss(ito_tensor *log_p, ito_tensor *target,
                             const ito_cross_entropy_options *o)
{
    if (log_p == NULL || target == NULL)
        return NULL;
    double classes = (double)log_p->shape[1], examples = (double)ito_numel(log_p) / classes;
    if (o->label_smoothing > 0)
        target = ito_add_scalar(ito_mul_scalar(target, 1 - o->label_smoothing),
                                o->label_smoothing / classes);
    ito_tensor *loss = ito_mul(log_p, target);
    if (o->weight != NULL)
        loss = ito_mul(loss, along_classes(o->weight, log_p));
    if (o->reduction == ITO_REDUCTION_NONE)
        return ito_neg(ito_sum(loss, .dims = ITO_DIMS(1)));
    double divisor = o->reduction == ITO_REDUCTION_MEAN ? examples : 1;
    return ito_mul_scalar(ito_sum(loss), -1 / divisor);
}

static ito_tensor *cross_entropy(ito_tensor *x, ito_tensor *target,
                                 const ito_cross_entropy_options *o)
{
    bool one = x->ndim == 1, soft = ito_dtype_is_float(target->dtype);
    ito_tensor *log_p = ito_log_softmax(x, one ? 0 : 1);
    if (!soft)
        return (one ? class_loss_of_one : class_loss)("cross_entropy", log_p, target, o->weight,
                                                      o->ignore_index, o->label_smoothing,
                                                      o->reduction);
    if (!one)
        return soft_loss(log_p, target, o);
    return ito_reshape_to(soft_loss(ito_unsqueeze(log_p, 0), ito_unsqueeze(target, 0), o),
                          ITO_SHAPE());
}

ito_tensor *ito_cross_entropy_with(ito_tensor *logits, ito_tensor *target,
                                   ito_cross_entropy_options options)
{
    if (!check_real("cross_entropy", &logits, 1) ||
        !check_reduction("cross_entropy", options.reduction))
        return NULL;
    if (target == NULL) {
        error_missing("cross_entropy", "target");
        return NULL;
    }
    if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1))
        return error_null(ITO_ERR_ARGUMENT, "cross_entropy: label_smoothing %g is outside 0..1",
                          options.label_smoothing);
    bool soft = ito_dtype_is_float(target->dtype), one = logits->ndim == 1;
    if (soft && !check_pair_of_losses("cross_entropy", logits, target))
        return NULL;
    if (!soft && !(one && target->ndim == 0) &&
        !check_class_shapes("cross_entropy", "logits", logits, target))
        return NULL;
    if (soft && logits->ndim == 0)
        return error_null(ITO_ERR_SHAPE, "cross_entropy: numbers have no axis of classes");
    if (!check_class_weight("cross_entropy", options.weight, logits, one ? 0 : 1))
        return NULL;
    ito_scope_begin();
    return leave_scope(cross_entropy(logits, target, &options));
}

ito_tensor *ito_multi_margin_loss_with(ito_tensor *x, ito_tensor *target,
                                       ito_multi_margin_loss_options options)
{
    if (!check_real("multi_margin_loss", &x, 1) ||
        !check_reduction("multi_margin_loss", options.reduction))
        return NULL;
    if (target == NULL) {
        error_missing("multi_margin_loss", "target");
        return NULL;
    }
    if (options.p != 1 && options.p != 2)
        return error_null(ITO_ERR_ARGUMENT, "multi_margin_loss: p is %d, neither 1 nor 2",
                          options.p);
    if (!check_class_shapes("multi_margin_loss", "scores", x, target) ||
        !check_class_weight("multi_margin_loss", options.weight, x, 1))
        return NULL;
    ito_scope_begin();
    class_targets t = {0};
    if (!read_targets("multi_margin_loss", x, target, options.weight, INT64_MIN, &t))
        return leave_scope(NULL);
    ito_tensor *own = ito_unsqueeze(t.index, 1);
    ito_tensor *lead = ito_sub(x, ito_gather(x, 1, own)); /* of each class over the right one */
    ito_tensor *loss = ito_relu(ito_add_scalar(lead, options.margin));
    loss = options.p == 2 ? ito_square(loss) : loss;
    ito_tensor *is_own = ito_one_hot(t.index, x->shape[1], ITO_BOOL);
    for (int axis = x->ndim - 1; axis > 1; axis--) /* [N, ..., C] to [N, C, ...] */
        is_own = ito_transpose(is_own, axis, axis - 1);
    loss = ito_mean(grad_unless(is_own, loss), .dims = ITO_DIMS(1));
    if (t.weight != NULL)
        loss = ito_mul(loss, t.weight);
    return leave_scope(reduce_loss(loss, options.reduction));
}

/* ---- probabilities -----------------------------------------------------------------------------
 */

ito_tensor *ito_kl_div_with(ito_tensor *x, ito_tensor *target, ito_kl_div_options options)
{
    bool by_batch = options.reduction == ITO_REDUCTION_BATCHMEAN;
    if (!check_pair_of_losses("kl_div", x, target) ||
        !check_reduction("kl_div", by_batch ? ITO_REDUCTION_SUM : options.reduction))
        return NULL;
    ito_scope_begin();
    ito_tensor *loss = options.log_target ? ito_mul(ito_exp(target), ito_sub(target, x))
                                          : ito_sub(ito_xlogy(target, target), ito_mul(target, x));
    if (!by_batch)
        return leave_scope(reduce_loss(loss, options.reduction));
    double examples = x->ndim > 0 ? (double)x->shape[0] : 1;
    return leave_scope(ito_mul_scalar(ito_sum(loss), 1 / examples));
}

/* -t log(x) - (1 - t) log(1 - x), each logarithm at least -100. */
static double binary_term(double x, double t)
{
    return -t * fmax(log(x), -100) - (1 - t) * fmax(log1p(-x), -100);
}

ito_tensor *op_binary_cross_entropy_forward(op_call *c)
{
    return map_doubles("binary_cross_entropy", c->in[0], c->in[1], 0, binary_term, 40);
}

/* (x - t) / max(x (1 - x), 1e-12) and log(1 - x) - log(x), as in PyTorch. */
bool op_binary_cross_entropy_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    ito_tensor *x = c->in[0], *t = c->in[1];
    if (c->needs[0]) {
        ito_tensor *spread = ito_clamp(ito_sub(x, ito_square(x)), 1e-12, HUGE_VAL);
        dx[0] = ito_mul(dy, ito_div(ito_sub(x, t), spread));
    }
    if (c->needs[1])
        dx[1] = ito_mul(dy, ito_sub(ito_log1p(ito_neg(x)), ito_log(x)));
    return (!c->needs[0] || dx[0] != NULL) && (!c->needs[1] || dx[1] != NULL);
}

/* Whether all of x lies in [0, 1]; NaN does not. */
static bool check_probabilities(const char *op, ito_tensor *x)
{
    if (ito_numel(x) == 0)
        return true;
    ito_scope_begin();
    ito_tensor *plain = ito_detach(x), *low = ito_min(plain), *high = ito_max(plain);
    double least = low == NULL ? 0 : ito_item(low), most = high == NULL ? 0 : ito_item(high);
    bool fine = high != NULL;
    if (fine && !(least >= 0 && most <= 1))
        fine = error_false(ITO_ERR_RANGE, "%s: the probability %g is outside 0..1", op,
                           least >= 0 ? most : least);
    ito_scope_end();
    return fine;
}

/* Whether weight, which may be NULL, broadcasts to x's shape. */
static bool check_weight(const char *op, const char *what, ito_tensor *weight, ito_tensor *x)
{
    ito_shape shape;
    if (weight == NULL)
        return true;
    if (!check_real(op, (ito_tensor *[]){x, weight}, 2))
        return false;
    return (shape_broadcast(ito_shape_of(weight), ito_shape_of(x), &shape) &&
            tensor_has_shape(x, &shape)) ||
           error_false(ITO_ERR_SHAPE, "%s: the %s %s does not broadcast to %s", op, what,
                       tensor_shape_str(weight), tensor_shape_str(x));
}

ito_tensor *ito_binary_cross_entropy_with(ito_tensor *x, ito_tensor *target,
                                          ito_binary_cross_entropy_options options)
{
    const char *op = "binary_cross_entropy";
    if (!check_pair_of_losses(op, x, target) || !check_reduction(op, options.reduction) ||
        !check_weight(op, "weight", options.weight, x) || !check_probabilities(op, x))
        return NULL;
    ito_scope_begin();
    ito_tensor *loss = OP2(binary_cross_entropy, x, target);
    if (options.weight != NULL)
        loss = ito_mul(loss, options.weight);
    return leave_scope(reduce_loss(loss, options.reduction));
}

/* -z log s(x) - (1 - z) log(1 - s(x)) with -log s(x) = softplus(-x) and -log(1 - s(x)) =
 * softplus(x): neither overflows, nor cancels where the prediction is right. */
ito_tensor *
ito_binary_cross_entropy_with_logits_with(ito_tensor *logits, ito_tensor *target,
                                          ito_binary_cross_entropy_with_logits_options options)
{
    const char *op = "binary_cross_entropy_with_logits";
    if (!check_pair_of_losses(op, logits, target) || !check_reduction(op, options.reduction) ||
        !check_weight(op, "weight", options.weight, logits) ||
        !check_weight(op, "pos_weight", options.pos_weight, logits))
        return NULL;
    ito_scope_begin();
    ito_tensor *other = ito_add_scalar(ito_neg(target), 1);
    ito_tensor *is_one = ito_mul(target, ito_softplus(ito_neg(logits), .threshold = HUGE_VAL));
    ito_tensor *is_zero = ito_mul(other, ito_softplus(logits, .threshold = HUGE_VAL));
    if (options.pos_weight != NULL)
        is_one = ito_mul(is_one, options.pos_weight);
    ito_tensor *loss = ito_add(is_one, is_zero);
    if (options.weight != NULL)
        loss = ito_mul(loss, options.weight);
    return leave_scope(reduce_loss(loss, options.reduction));
}
