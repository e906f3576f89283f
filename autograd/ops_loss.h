/* Losses: see ops.h for what all operations have in common. Names, arguments and defaults are those
 * of torch.nn.functional.
 *
 * A loss is by default one number, the mean over all elements; .reduction = ITO_REDUCTION_SUM gives
 * the sum, ITO_REDUCTION_NONE the loss of each. The mean of none is NaN. Prediction and target have
 * one shape: nothing is broadcast unless said so. Targets have gradients, too; weights and classes
 * have none. ITO_ERR_ARGUMENT for a reduction that does not exist. A tensor among the options that
 * is NULL counts as not given, so ask for an error where making it may have failed.
 */
#ifndef ITO_OPS_LOSS_H
#define ITO_OPS_LOSS_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What becomes of the losses of all elements. */
typedef enum ito_reduction {
    ITO_REDUCTION_MEAN,
    ITO_REDUCTION_SUM,
    ITO_REDUCTION_NONE,
    ITO_REDUCTION_BATCHMEAN /* kl_div alone: the sum divided by the size of axis 0 */
} ito_reduction;

/* ---- of differences ---- */

/** What losses take that have no other options. */
typedef struct ito_loss_options {
    int reserved_;
    ito_reduction reduction;
} ito_loss_options;
#define ITO_DEFAULTS_ito_loss_options .reserved_ = 0

/** (prediction - target)^2. */
ITO_API ito_tensor *ito_mse_loss_with(ito_tensor *prediction, ito_tensor *target,
                                      ito_loss_options options);
#define ito_mse_loss(...) ITO_AT(ITO_CALL_2(ito_mse_loss_with, ito_loss_options, __VA_ARGS__, ))
/** |prediction - target|. */
ITO_API ito_tensor *ito_l1_loss_with(ito_tensor *prediction, ito_tensor *target,
                                     ito_loss_options options);
#define ito_l1_loss(...) ITO_AT(ITO_CALL_2(ito_l1_loss_with, ito_loss_options, __VA_ARGS__, ))

/** What ito_huber_loss takes besides tensors. */
typedef struct ito_huber_loss_options {
    int reserved_;
    ito_reduction reduction;
    double delta ITO_DEFAULT(1); /* above 0 */
} ito_huber_loss_options;
#define ITO_DEFAULTS_ito_huber_loss_options .delta = 1

/** d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), of d = prediction - target (Huber
 * 1964): ito_huber_loss(x, y, .delta = 0.5). ITO_ERR_ARGUMENT unless delta > 0. */
ITO_API ito_tensor *ito_huber_loss_with(ito_tensor *prediction, ito_tensor *target,
                                        ito_huber_loss_options options);
#define ito_huber_loss(...)                                                                        \
    ITO_AT(ITO_CALL_2(ito_huber_loss_with, ito_huber_loss_options, __VA_ARGS__, ))

/** What ito_smooth_l1_loss takes besides tensors. */
typedef struct ito_smooth_l1_loss_options {
    int reserved_;
    ito_reduction reduction;
    double beta ITO_DEFAULT(1); /* 0 or more; 0 gives l1_loss */
} ito_smooth_l1_loss_options;
#define ITO_DEFAULTS_ito_smooth_l1_loss_options .beta = 1

/** The huber loss of delta = beta, divided by beta (Girshick 2015, arXiv:1504.08083).
 * ITO_ERR_ARGUMENT for a beta below 0. */
ITO_API ito_tensor *ito_smooth_l1_loss_with(ito_tensor *prediction, ito_tensor *target,
                                            ito_smooth_l1_loss_options options);
#define ito_smooth_l1_loss(...)                                                                    \
    ITO_AT(ITO_CALL_2(ito_smooth_l1_loss_with, ito_smooth_l1_loss_options, __VA_ARGS__, ))

/** What ito_gaussian_nll_loss takes besides tensors. */
typedef struct ito_gaussian_nll_loss_options {
    int reserved_;
    ito_reduction reduction;
    double eps ITO_DEFAULT(1e-6); /* smaller variances are raised to it */
    bool full;                    /* with the constant log(2 pi) / 2 */
} ito_gaussian_nll_loss_options;
#define ITO_DEFAULTS_ito_gaussian_nll_loss_options .eps = 1e-6

/** (log(v) + (prediction - target)^2 / v) / 2 of the variance v, which is shaped as the prediction,
 * lacks its last axis or has size 1 there. The gradient by v passes where v is raised to eps.
 * ITO_ERR_RANGE for a variance below 0. */
ITO_API ito_tensor *ito_gaussian_nll_loss_with(ito_tensor *prediction, ito_tensor *target,
                                               ito_tensor *variance,
                                               ito_gaussian_nll_loss_options options);
#define ito_gaussian_nll_loss(...)                                                                 \
    ITO_AT(ITO_CALL_3(ito_gaussian_nll_loss_with, ito_gaussian_nll_loss_options, __VA_ARGS__, ))

/** What ito_poisson_nll_loss takes besides tensors. */
typedef struct ito_poisson_nll_loss_options {
    int reserved_;
    ito_reduction reduction;
    bool log_input ITO_DEFAULT(true); /* the prediction is the logarithm of the rate */
    bool full;                        /* with log(target!) by Stirling's formula where target > 1 */
    double eps ITO_DEFAULT(1e-8);     /* added to a rate before its logarithm is taken */
} ito_poisson_nll_loss_options;
#define ITO_DEFAULTS_ito_poisson_nll_loss_options .log_input = true, .eps = 1e-8

/** exp(prediction) - target prediction; with .log_input = false, prediction - target log(prediction
 * + eps). */
ITO_API ito_tensor *ito_poisson_nll_loss_with(ito_tensor *prediction, ito_tensor *target,
                                              ito_poisson_nll_loss_options options);
#define ito_poisson_nll_loss(...)                                                                  \
    ITO_AT(ITO_CALL_2(ito_poisson_nll_loss_with, ito_poisson_nll_loss_options, __VA_ARGS__, ))

/* ---- of classes ---- */

/** What ito_cross_entropy takes besides tensors. */
typedef struct ito_cross_entropy_options {
    int reserved_;
    ito_reduction reduction;
    ito_tensor *weight;                     /* [C], of each class; a mean is weighted by it */
    int64_t ignore_index ITO_DEFAULT(-100); /* targets of this class do not count */
    double label_smoothing; /* the part of the target that is shared by all classes, in 0..1 */
} ito_cross_entropy_options;
#define ITO_DEFAULTS_ito_cross_entropy_options .ignore_index = -100

/** -log softmax(logits)[target]: ito_cross_entropy(logits, target, .label_smoothing = 0.1).
 * @param logits  [N, C, ...], or [C] for one example.
 * @param target  classes, i64 [N, ...] or []; or probabilities of the classes, shaped as logits:
 * then the sum of -target[c] log softmax(logits)[c].
 * @return        one number; with ITO_REDUCTION_NONE [N, ...] or []. ITO_ERR_RANGE for a target
 * that is no class, ITO_ERR_SHAPE for shapes that do not fit each other.
 */
ITO_API ito_tensor *ito_cross_entropy_with(ito_tensor *logits, ito_tensor *target,
                                           ito_cross_entropy_options options);
#define ito_cross_entropy(...)                                                                     \
    ITO_AT(ITO_CALL_2(ito_cross_entropy_with, ito_cross_entropy_options, __VA_ARGS__, ))

/** What ito_nll_loss takes besides tensors. */
typedef struct ito_nll_loss_options {
    int reserved_;
    ito_reduction reduction;
    ito_tensor *weight;                     /* [C], of each class; a mean is weighted by it */
    int64_t ignore_index ITO_DEFAULT(-100); /* targets of this class do not count */
} ito_nll_loss_options;
#define ITO_DEFAULTS_ito_nll_loss_options .ignore_index = -100

/** -log_probabilities[target], of [N, C, ...] and i64 [N, ...], or [C] and []; the result and
 * errors are those of ito_cross_entropy. */
ITO_API ito_tensor *ito_nll_loss_with(ito_tensor *log_probabilities, ito_tensor *target,
                                      ito_nll_loss_options options);
#define ito_nll_loss(...) ITO_AT(ITO_CALL_2(ito_nll_loss_with, ito_nll_loss_options, __VA_ARGS__, ))

/** What ito_multi_margin_loss takes besides tensors. */
typedef struct ito_multi_margin_loss_options {
    int reserved_;
    ito_reduction reduction;
    int p ITO_DEFAULT(1); /* 1 or 2 */
    double margin ITO_DEFAULT(1);
    ito_tensor *weight; /* [C], of each class */
} ito_multi_margin_loss_options;
#define ITO_DEFAULTS_ito_multi_margin_loss_options .p = 1, .margin = 1

/** The sum over classes c but the target of max(0, margin - scores[target] + scores[c])^p, divided
 * by C: of [N, C] and i64 [N]. */
ITO_API ito_tensor *ito_multi_margin_loss_with(ito_tensor *scores, ito_tensor *target,
                                               ito_multi_margin_loss_options options);
#define ito_multi_margin_loss(...)                                                                 \
    ITO_AT(ITO_CALL_2(ito_multi_margin_loss_with, ito_multi_margin_loss_options, __VA_ARGS__, ))

/** What ito_ctc_loss takes besides tensors. */
typedef struct ito_ctc_loss_options {
    int reserved_;
    ito_reduction reduction; /* a mean is of the losses divided by the number of their labels */
    int64_t blank;           /* the class of the blank */
    bool zero_infinity;      /* 0 where no path exists, not infinity */
} ito_ctc_loss_options;
#define ITO_DEFAULTS_ito_ctc_loss_options .reserved_ = 0

/**
 * -log of the probability of a sequence of labels, over all ways to spread it over frames with
 * blanks between: ito_ctc_loss(ito_log_softmax(x, 2), targets, input_lengths, target_lengths).
 * @param log_probabilities  [T, N, C], of each class in each frame; or [T, C] for one sequence.
 * @param targets            labels, i64 [N, S] or [S]; what lies behind a target's length is not
 * read.
 * @param input_lengths      frames of each sequence, i64 [N] or [], in 1..T.
 * @param target_lengths     labels of each sequence, i64 [N] or [], in 0..S.
 * @return  one number; with ITO_REDUCTION_NONE [N] or []. Infinite, with a gradient of 0, where the
 *          frames are too few. The gradient by log_probabilities is the derivative; PyTorch's is
 *          that of the logits of a softmax. ITO_ERR_RANGE for a label or length out of bounds.
 * Source: Graves et al. 2006, Connectionist temporal classification, section 4.
 */
ITO_API ito_tensor *ito_ctc_loss_with(ito_tensor *log_probabilities, ito_tensor *targets,
                                      ito_tensor *input_lengths, ito_tensor *target_lengths,
                                      ito_ctc_loss_options options);
#define ito_ctc_loss(...) ITO_AT(ITO_CALL_4(ito_ctc_loss_with, ito_ctc_loss_options, __VA_ARGS__, ))

/* ---- of probabilities ---- */

/** What ito_kl_div takes besides tensors. */
typedef struct ito_kl_div_options {
    int reserved_;
    ito_reduction reduction;
    bool log_target; /* the target is given by its logarithm, too */
} ito_kl_div_options;
#define ITO_DEFAULTS_ito_kl_div_options .reserved_ = 0

/** target (log(target) - log_probabilities), 0 where target is 0. The divergence of distributions
 * in rows is .reduction = ITO_REDUCTION_BATCHMEAN; the default, as in PyTorch, is the mean over all
 * elements. */
ITO_API ito_tensor *ito_kl_div_with(ito_tensor *log_probabilities, ito_tensor *target,
                                    ito_kl_div_options options);
#define ito_kl_div(...) ITO_AT(ITO_CALL_2(ito_kl_div_with, ito_kl_div_options, __VA_ARGS__, ))

/** What ito_binary_cross_entropy takes besides tensors. */
typedef struct ito_binary_cross_entropy_options {
    int reserved_;
    ito_reduction reduction;
    ito_tensor *weight; /* of each element; broadcasts */
} ito_binary_cross_entropy_options;
#define ITO_DEFAULTS_ito_binary_cross_entropy_options .reserved_ = 0

/** -target log(p) - (1 - target) log(1 - p), logarithms no lower than -100. ITO_ERR_RANGE for a
 * probability outside 0..1. */
ITO_API ito_tensor *ito_binary_cross_entropy_with(ito_tensor *probabilities, ito_tensor *target,
                                                  ito_binary_cross_entropy_options options);
#define ito_binary_cross_entropy(...)                                                              \
    ITO_AT(ITO_CALL_2(ito_binary_cross_entropy_with, ito_binary_cross_entropy_options,             \
                      __VA_ARGS__, ))

/** What ito_binary_cross_entropy_with_logits takes besides tensors. */
typedef struct ito_binary_cross_entropy_with_logits_options {
    int reserved_;
    ito_reduction reduction;
    ito_tensor *weight;     /* of each element; broadcasts */
    ito_tensor *pos_weight; /* of the term of target; broadcasts */
} ito_binary_cross_entropy_with_logits_options;
#define ITO_DEFAULTS_ito_binary_cross_entropy_with_logits_options .reserved_ = 0

/** -target log(s) - (1 - target) log(1 - s) with s = sigmoid(logits), without overflow. target is
 * in [0, 1]. */
ITO_API ito_tensor *
ito_binary_cross_entropy_with_logits_with(ito_tensor *logits, ito_tensor *target,
                                          ito_binary_cross_entropy_with_logits_options options);
#define ito_binary_cross_entropy_with_logits(...)                                                  \
    ITO_AT(ITO_CALL_2(ito_binary_cross_entropy_with_logits_with,                                   \
                      ito_binary_cross_entropy_with_logits_options, __VA_ARGS__, ))

/* ---- of what is near and what is not: labels are 1 and -1, of any dtype ---- */

/** log(1 + exp(-label x)); label has the dtype of x. */
ITO_API ito_tensor *ito_soft_margin_loss_with(ito_tensor *x, ito_tensor *label,
                                              ito_loss_options options);
#define ito_soft_margin_loss(...)                                                                  \
    ITO_AT(ITO_CALL_2(ito_soft_margin_loss_with, ito_loss_options, __VA_ARGS__, ))

/** What ito_hinge_embedding_loss takes besides tensors. */
typedef struct ito_hinge_embedding_loss_options {
    int reserved_;
    ito_reduction reduction;
    double margin ITO_DEFAULT(1);
} ito_hinge_embedding_loss_options;
#define ITO_DEFAULTS_ito_hinge_embedding_loss_options .margin = 1

/** x where label is 1, max(0, margin - x) where it is -1, and both where it is neither. */
ITO_API ito_tensor *ito_hinge_embedding_loss_with(ito_tensor *x, ito_tensor *label,
                                                  ito_hinge_embedding_loss_options options);
#define ito_hinge_embedding_loss(...)                                                              \
    ITO_AT(ITO_CALL_2(ito_hinge_embedding_loss_with, ito_hinge_embedding_loss_options,             \
                      __VA_ARGS__, ))

/** What ito_margin_ranking_loss takes besides tensors. */
typedef struct ito_margin_ranking_loss_options {
    int reserved_;
    ito_reduction reduction;
    double margin;
} ito_margin_ranking_loss_options;
#define ITO_DEFAULTS_ito_margin_ranking_loss_options .reserved_ = 0

/** max(0, margin - label (x1 - x2)). */
ITO_API ito_tensor *ito_margin_ranking_loss_with(ito_tensor *x1, ito_tensor *x2, ito_tensor *label,
                                                 ito_margin_ranking_loss_options options);
#define ito_margin_ranking_loss(...)                                                               \
    ITO_AT(ITO_CALL_3(ito_margin_ranking_loss_with, ito_margin_ranking_loss_options, __VA_ARGS__, ))

/** What ito_cosine_embedding_loss takes besides tensors. */
typedef struct ito_cosine_embedding_loss_options {
    int reserved_;
    ito_reduction reduction;
    double margin;
} ito_cosine_embedding_loss_options;
#define ITO_DEFAULTS_ito_cosine_embedding_loss_options .reserved_ = 0

/** 1 - cos(x1, x2) where label is 1, max(0, cos(x1, x2) - margin) where it is -1: of [N, D], [N, D]
 * and [N], or [D], [D] and []. */
ITO_API ito_tensor *ito_cosine_embedding_loss_with(ito_tensor *x1, ito_tensor *x2,
                                                   ito_tensor *label,
                                                   ito_cosine_embedding_loss_options options);
#define ito_cosine_embedding_loss(...)                                                             \
    ITO_AT(ITO_CALL_3(ito_cosine_embedding_loss_with, ito_cosine_embedding_loss_options,           \
                      __VA_ARGS__, ))

/** What ito_triplet_margin_loss takes besides tensors. */
typedef struct ito_triplet_margin_loss_options {
    int reserved_;
    ito_reduction reduction;
    double margin ITO_DEFAULT(1); /* above 0 */
    double p ITO_DEFAULT(2);      /* the norm */
    double eps ITO_DEFAULT(1e-6); /* added to differences */
    bool swap; /* the positive, if it is nearer to the negative, stands in for the anchor */
} ito_triplet_margin_loss_options;
#define ITO_DEFAULTS_ito_triplet_margin_loss_options .margin = 1, .p = 2, .eps = 1e-6

/** max(0, margin + |anchor - positive| - |anchor - negative|) with distances along the last axis
 * (Balntas et al. 2016). ITO_ERR_ARGUMENT unless margin > 0. */
ITO_API ito_tensor *ito_triplet_margin_loss_with(ito_tensor *anchor, ito_tensor *positive,
                                                 ito_tensor *negative,
                                                 ito_triplet_margin_loss_options options);
#define ito_triplet_margin_loss(...)                                                               \
    ITO_AT(ITO_CALL_3(ito_triplet_margin_loss_with, ito_triplet_margin_loss_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#endif
