/* Losses that compare what belongs together with what does not: labels are 1 and -1. */
#include "autograd/ops.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/loss.h"

#include <math.h>

/* Labels of any number type as of x's. */
static ito_tensor *labels_as(const char *op, ito_tensor *labels, const ito_tensor *x)
{
    if (labels == NULL) {
        error_missing(op, "label");
        return NULL;
    }
    return x == NULL || labels->dtype == x->dtype ? labels : ito_cast(labels, x->dtype);
}

ito_tensor *ito_soft_margin_loss_with(ito_tensor *x, ito_tensor *label, ito_loss_options options)
{
    if (!check_pair_of_losses("soft_margin_loss", x, label) ||
        !check_reduction("soft_margin_loss", options.reduction))
        return NULL;
    ito_scope_begin();
    ito_tensor *loss = ito_softplus(ito_neg(ito_mul(label, x)), .threshold = HUGE_VAL);
    return leave_scope(reduce_loss(loss, options.reduction));
}

ito_tensor *ito_hinge_embedding_loss_with(ito_tensor *x, ito_tensor *label,
                                          ito_hinge_embedding_loss_options options)
{
    if (!check_reduction("hinge_embedding_loss", options.reduction) ||
        !check_real("hinge_embedding_loss", &x, 1))
        return NULL;
    ito_scope_begin();
    label = labels_as("hinge_embedding_loss", label, x);
    if (label == NULL || !check_pair_of_losses("hinge_embedding_loss", x, label))
        return leave_scope(NULL);
    ito_tensor *apart = ito_relu(ito_add_scalar(ito_neg(x), options.margin));
    ito_tensor *loss = ito_add(grad_unless(ito_eq(label, number_like(1, x)), apart),
                               grad_unless(ito_eq(label, number_like(-1, x)), x));
    return leave_scope(reduce_loss(loss, options.reduction));
}

ito_tensor *ito_margin_ranking_loss_with(ito_tensor *x1, ito_tensor *x2, ito_tensor *label,
                                         ito_margin_ranking_loss_options options)
{
    if (!check_pair_of_losses("margin_ranking_loss", x1, x2) ||
        !check_reduction("margin_ranking_loss", options.reduction))
        return NULL;
    ito_scope_begin();
    label = labels_as("margin_ranking_loss", label, x1);
    if (label == NULL || !check_pair_of_losses("margin_ranking_loss", x1, label))
        return leave_scope(NULL);
    ito_tensor *lead = ito_mul(label, ito_sub(x2, x1));
    return leave_scope(
        reduce_loss(ito_relu(ito_add_scalar(lead, options.margin)), options.reduction));
}

/* (x1 . x2) / sqrt((|x1|^2 + 1e-12) (|x2|^2 + 1e-12)) along the last axis, as in PyTorch. */
static ito_tensor *cosine(ito_tensor *x1, ito_tensor *x2)
{
    ito_tensor *square1 = ito_add_scalar(ito_sum(ito_square(x1), .dims = ITO_DIMS(-1)), 1e-12);
    ito_tensor *square2 = ito_add_scalar(ito_sum(ito_square(x2), .dims = ITO_DIMS(-1)), 1e-12);
    ito_tensor *product = ito_sum(ito_mul(x1, x2), .dims = ITO_DIMS(-1));
    return ito_div(product, ito_sqrt(ito_mul(square1, square2)));
}

ito_tensor *ito_cosine_embedding_loss_with(ito_tensor *x1, ito_tensor *x2, ito_tensor *label,
                                           ito_cosine_embedding_loss_options options)
{
    if (!check_pair_of_losses("cosine_embedding_loss", x1, x2) ||
        !check_reduction("cosine_embedding_loss", options.reduction))
        return NULL;
    ito_scope_begin();
    label = labels_as("cosine_embedding_loss", label, x1);
    ito_shape rows = ito_shape_of(x1);
    rows.ndim--;
    if (label != NULL && (rows.ndim < 0 || rows.ndim > 1 || !tensor_has_shape(label, &rows)))
        label = error_null(ITO_ERR_SHAPE,
                           "cosine_embedding_loss: inputs %s and label %s are not [N, D] and [N]",
                           tensor_shape_str(x1), tensor_shape_str(label));
    if (label == NULL)
        return leave_scope(NULL);
    ito_tensor *cosines = cosine(x1, x2);
    ito_tensor *apart = ito_relu(ito_add_scalar(cosines, -options.margin));
    ito_tensor *near = ito_add_scalar(ito_neg(cosines), 1);
    ito_tensor *loss = ito_add(grad_where(ito_eq(label, number_like(1, x1)), near),
                               grad_where(ito_eq(label, number_like(-1, x1)), apart));
    return leave_scope(reduce_loss(loss, options.reduction));
}

ito_tensor *ito_triplet_margin_loss_with(ito_tensor *anchor, ito_tensor *positive,
                                         ito_tensor *negative,
                                         ito_triplet_margin_loss_options options)
{
    if (!check_pair_of_losses("triplet_margin_loss", anchor, positive) ||
        !check_pair_of_losses("triplet_margin_loss", anchor, negative) ||
        !check_reduction("triplet_margin_loss", options.reduction))
        return NULL;
    if (anchor->ndim == 0)
        return error_null(ITO_ERR_SHAPE,
                          "triplet_margin_loss: numbers have no axis of coordinates");
    if (!(options.margin > 0))
        return error_null(ITO_ERR_ARGUMENT, "triplet_margin_loss: margin %g is not positive",
                          options.margin);
    ito_pairwise_distance_options distance =
        ITO_OPTIONS(ito_pairwise_distance_options, .p = options.p, .eps = options.eps);
    ito_scope_begin();
    ito_tensor *near = ito_pairwise_distance_with(anchor, positive, distance);
    ito_tensor *far = ito_pairwise_distance_with(anchor, negative, distance);
    if (options.swap)
        far = ito_minimum(far, ito_pairwise_distance_with(positive, negative, distance));
    ito_tensor *loss = ito_relu(ito_add_scalar(ito_sub(near, far), options.margin));
    return leave_scope(reduce_loss(loss, options.reduction));
}
