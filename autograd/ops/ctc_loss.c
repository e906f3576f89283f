/* Connectionist temporal classification (Graves et al. 2006): the likelihood of a sequence of
 * labels under frames of class probabilities, over all ways to spread the labels, with blanks
 * between them.
 *
 * The forward recursion of section 4.1 in logarithms, made of operations, so that gradients of any
 * order follow. States are the 2 S + 1 of the labels with a blank before, between and behind them.
 */
#include "autograd/ops.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/loss.h"

#include <math.h>

/* The logarithm of what cannot be: finite, so that no difference of two is NaN. */
static const double impossible = -1e30;

/* What the recursion needs of the labels, made once. */
typedef struct states {
    ito_tensor *label;  /* i64 [N, L]: the class that a state emits */
    ito_tensor *first;  /* bool [N, L]: where a path may begin */
    ito_tensor *skip;   /* bool [N, L]: whether the state two before leads here, past a blank */
    ito_tensor *last;   /* i64 [N, 1]: where it may end, after the last blank */
    ito_tensor *before; /* i64 [N, 1]: or before it */
    ito_tensor *empty;  /* bool [N, 1]: no labels, so that the latter does not exist */
    int64_t n, length;
} states;

static bool check_lengths(const char *what, const ito_tensor *lengths, int64_t low, int64_t high)
{
    const int64_t *value = tensor_data(lengths);
    for (int64_t i = 0; i < ito_numel(lengths); i++)
        if (value[i] < low || value[i] > high)
            return error_false(ITO_ERR_RANGE,
                               "ctc_loss: the length %" PRId64 " of %s %" PRId64
                               " is outside %" PRId64 "..%" PRId64,
                               value[i], what, i, low, high);
    return true;
}

/* One sequence of s labels, of which length count. */
static bool fill_states(const states *z, int64_t row, const int64_t *labels, int64_t length,
                        int64_t classes, int64_t blank)
{
    int64_t *label = (int64_t *)tensor_data(z->label) + row * z->length;
    uint8_t *first = (uint8_t *)tensor_data(z->first) + row * z->length;
    uint8_t *skip = (uint8_t *)tensor_data(z->skip) + row * z->length;
    for (int64_t i = 0; i < z->length; i++) {
        label[i] = i % 2 == 1 && i / 2 < length ? labels[i / 2] : blank;
        if (label[i] < 0 || label[i] >= classes)
            return error_false(ITO_ERR_RANGE,
                               "ctc_loss: label %" PRId64 " at [%" PRId64 ", %" PRId64
                               "] is outside 0..%" PRId64,
                               label[i], row, i / 2, classes - 1);
        first[i] = i == 0 || (i == 1 && length > 0);
        skip[i] = i >= 2 && label[i] != blank && label[i] != label[i - 2];
    }
    ((int64_t *)tensor_data(z->last))[row] = 2 * length;
    ((int64_t *)tensor_data(z->before))[row] = length > 0 ? 2 * length - 1 : 0;
    ((uint8_t *)tensor_data(z->empty))[row] = length == 0;
    return true;
}

static bool make_states(states *z, const ito_tensor *targets, const ito_tensor *lengths,
                        int64_t classes, int64_t blank)
{
    int64_t s = targets->shape[1];
    z->n = targets->shape[0];
    z->length = 2 * s + 1;
    ito_shape shape = ITO_SHAPE(z->n, z->length), column = ITO_SHAPE(z->n, 1);
    z->label = tensor_empty(shape, ITO_I64);
    z->first = tensor_empty(shape, ITO_BOOL);
    z->skip = tensor_empty(shape, ITO_BOOL);
    z->last = tensor_empty(column, ITO_I64);
    z->before = tensor_empty(column, ITO_I64);
    z->empty = tensor_empty(column, ITO_BOOL);
    bool made = z->label && z->first && z->skip && z->last && z->before && z->empty;
    const int64_t *labels = tensor_data(targets), *length = tensor_data(lengths);
    for (int64_t row = 0; made && row < z->n; row++)
        made = fill_states(z, row, labels + row * s, length[row], classes, blank);
    return made;
}

/* Each state takes the value of the one so many before it. */
static ito_tensor *from_before(ito_tensor *alpha, int64_t steps)
{
    return ito_pad_with(alpha, impossible, ITO_SHAPE(steps, -steps));
}

/* Where frame t of a sequence exists: bool [N, 1]; NULL with *all where it does in each. */
static ito_tensor *running(const ito_tensor *lengths, int64_t t, bool *all)
{
    ito_tensor *mask = tensor_empty(ITO_SHAPE(ito_numel(lengths), 1), ITO_BOOL);
    const int64_t *length = tensor_data(lengths);
    *all = true;
    for (int64_t i = 0; mask != NULL && i < ito_numel(lengths); i++) {
        ((uint8_t *)tensor_data(mask))[i] = t < length[i];
        *all = *all && t < length[i];
    }
    return mask;
}

/* alpha of the next frame, whose states emit with these logarithms of probability [N, L]. */
static ito_tensor *step(const states *z, ito_tensor *alpha, ito_tensor *emitted)
{
    ito_tensor *sum = alpha;
    if (z->length > 1)
        sum = ito_logaddexp(sum, from_before(alpha, 1));
    if (z->length > 2) {
        ito_tensor *past =
            ito_where(z->skip, from_before(alpha, 2), number_like(impossible, alpha));
        sum = ito_logaddexp(sum, past);
    }
    return ito_add(sum, emitted);
}

/* -log of the probability of each sequence: [N]. */
static ito_tensor *sequence_losses(ito_tensor *log_p, const states *z, const ito_tensor *lengths)
{
    int64_t frames = log_p->shape[0];
    ito_tensor *label = ito_expand(ito_unsqueeze(z->label, 0), frames, z->n, z->length);
    ito_tensor *emitted = ito_gather(log_p, 2, label); /* [T, N, L] */
    ito_tensor *none = number_like(impossible, log_p);
    ito_tensor *alpha = ito_where(z->first, ito_select(emitted, 0, 0), none);
    for (int64_t t = 1; t < frames && alpha != NULL; t++) {
        bool all;
        ito_tensor *on = running(lengths, t, &all);
        ito_tensor *next = step(z, alpha, ito_select(emitted, 0, t));
        alpha = all && on != NULL ? next : ito_where(on, next, alpha);
    }
    ito_tensor *before = ito_where(z->empty, none, ito_gather(alpha, 1, z->before));
    ito_tensor *total = ito_logaddexp(ito_gather(alpha, 1, z->last), before);
    return ito_neg(ito_squeeze(total, 1));
}

static ito_tensor *ctc_loss(ito_tensor *log_p, ito_tensor *targets, ito_tensor *input_lengths,
                            ito_tensor *target_lengths, const ito_ctc_loss_options *o)
{
    if (log_p == NULL || targets == NULL || input_lengths == NULL || target_lengths == NULL)
        return NULL;
    const ito_tensor *labels = tensor_contiguous(targets), *frames, *lengths;
    frames = tensor_contiguous(input_lengths);
    lengths = tensor_contiguous(target_lengths);
    states z = {0};
    if (labels == NULL || frames == NULL || lengths == NULL ||
        !check_lengths("input", frames, 1, log_p->shape[0]) ||
        !check_lengths("target", lengths, 0, targets->shape[1]) ||
        !make_states(&z, labels, lengths, log_p->shape[2], o->blank))
        return NULL;
    ito_tensor *loss = sequence_losses(log_p, &z, frames);
    ito_tensor *never = ito_gt(loss, number_like(-impossible / 2, loss));
    loss = ito_masked_fill(loss, never, o->zero_infinity ? 0 : HUGE_VAL);
    if (o->reduction != ITO_REDUCTION_MEAN)
        return reduce_loss(loss, o->reduction);
    ito_tensor *length = ito_clamp(ito_cast((ito_tensor *)lengths, log_p->dtype), 1, HUGE_VAL);
    return ito_mean(ito_div(loss, length));
}

static bool is_index(const char *what, const ito_tensor *t)
{
    return t->dtype == ITO_I64 || error_false(ITO_ERR_DTYPE, "ctc_loss: %s are i64, not %s", what,
                                              ito_dtype_name(t->dtype));
}

ito_tensor *ito_ctc_loss_with(ito_tensor *log_p, ito_tensor *targets, ito_tensor *input_lengths,
                              ito_tensor *target_lengths, ito_ctc_loss_options options)
{
    if (!op_inputs_fit("ctc_loss", ANY,
                       (ito_tensor *[]){log_p, targets, input_lengths, target_lengths}, 4, 0) ||
        !check_real("ctc_loss", &log_p, 1) || !is_index("targets", targets) ||
        !is_index("lengths", input_lengths) || !is_index("lengths", target_lengths) ||
        !check_reduction("ctc_loss", options.reduction))
        return NULL;
    bool one = log_p->ndim == 2;
    ito_shape rows = one ? ITO_SHAPE() : ITO_SHAPE(log_p->ndim == 3 ? log_p->shape[1] : -1);
    if ((!one && log_p->ndim != 3) || targets->ndim != (one ? 1 : 2) ||
        (!one && targets->shape[0] != rows.dim[0]) || !tensor_has_shape(input_lengths, &rows) ||
        !tensor_has_shape(target_lengths, &rows))
        return error_null(ITO_ERR_SHAPE,
                          "ctc_loss: shapes %s, %s, %s and %s are not [T, N, C], [N, S], [N], [N]",
                          tensor_shape_str(log_p), tensor_shape_str(targets),
                          tensor_shape_str(input_lengths), tensor_shape_str(target_lengths));
    int64_t classes = log_p->shape[log_p->ndim - 1];
    if (options.blank < 0 || options.blank >= classes)
        return error_null(ITO_ERR_RANGE, "ctc_loss: the blank %" PRId64 " is no class of %" PRId64,
                          options.blank, classes);
    ito_scope_begin();
    if (!one)
        return leave_scope(ctc_loss(log_p, targets, input_lengths, target_lengths, &options));
    ito_tensor *loss =
        ctc_loss(ito_unsqueeze(log_p, 1), ito_unsqueeze(targets, 0),
                 ito_unsqueeze(input_lengths, 0), ito_unsqueeze(target_lengths, 0), &options);
    return leave_scope(ito_reshape_to(loss, ITO_SHAPE()));
}
