/* Metrics of generated images: the distance of a set of them from a set of real ones.
 *
 * All metrics take features: [N, D] numbers, one row for each image, from any network; only the
 * score takes a classifier's logits. Everything is computed in f64, records no gradients and does
 * not depend on the number of threads. docs/evaluation.md says what the numbers mean.
 *
 *     double d = ito_frechet_distance(of_real_images, of_generated_images);
 *     if (isnan(d))
 *         puts(ito_error_message());
 */
#ifndef ITO_METRICS_H
#define ITO_METRICS_H

#include "../../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Frechet distance --------------------------------------------------------------------------
 */

/**
 * Mean and covariance of features.
 *
 * @param features    [N, D] of any float dtype, N >= 2; borrowed.
 * @param mean        receives [D] f64.
 * @param covariance  receives [D, D] f64, with divisor N - 1; both owned by the current scope.
 * @return            ITO_ERR_SHAPE, ITO_ERR_DTYPE, ITO_ERR_NUMERIC with the first feature that is
 *                    not finite, ITO_ERR_MEMORY. Outputs are set only on success.
 */
ITO_API ito_status ito_feature_moments(ito_tensor *features, ito_tensor **mean,
                                       ito_tensor **covariance);

/**
 * The squared Frechet distance of two normal distributions,
 *     |m_a - m_b|^2 + tr S_a + tr S_b - 2 tr (S_a^(1/2) S_b S_a^(1/2))^(1/2),
 * which is never negative. Covariances may be singular: the root of a symmetric matrix needs no
 * inverse. Eigenvalues within rounding of 0 count as 0, so the result has an error of up to
 * 2 D^1.5 sqrt(eps) = D^1.5 3e-8 times the largest variance: that of D eigenvalues of up to D eps.
 *
 * @param mean_a, mean_b  [D] f64; borrowed.
 * @param cov_a, cov_b    [D, D] f64; borrowed.
 * @return                NaN on error: ITO_ERR_SHAPE, ITO_ERR_DTYPE, ITO_ERR_NUMERIC for numbers
 *                        that are not finite or a matrix that is no covariance, ITO_ERR_MEMORY.
 * Source: Dowson, Landau 1982; Heusel et al. 2017, arXiv:1706.08500.
 */
ITO_API double ito_frechet_moments(ito_tensor *mean_a, ito_tensor *cov_a, ito_tensor *mean_b,
                                   ito_tensor *cov_b);

/**
 * The squared Frechet distance of the normal distributions fitted to two sets of features. Smaller
 * is better. For the same generator it falls as N grows: compare only results from equally many
 * images.
 *
 * @param a  [N, D] of any float dtype; borrowed.
 * @param b  [M, D] of any float dtype; borrowed.
 * @return   NaN on error: ITO_ERR_SHAPE if the widths differ or N or M is at most D, where every
 *           covariance is singular; also the errors of ito_feature_moments and ito_frechet_moments.
 */
ITO_API double ito_frechet_distance(ito_tensor *a, ito_tensor *b);

/* ---- precision and recall ----------------------------------------------------------------------
 */

/** Options of ito_precision_recall. */
typedef struct ito_precision_recall_options {
    int reserved_;
    int64_t k ITO_DEFAULT(3); /* which nearest neighbour gives the radius: 1 to 1024 */
} ito_precision_recall_options;
#define ITO_DEFAULTS_ito_precision_recall_options .k = 3

/** Precision and recall, each in [0, 1]. */
typedef struct ito_precision_recall_result {
    double precision; /* the fraction of generated images that lie among real ones */
    double recall;    /* the fraction of real images that lie among generated ones */
} ito_precision_recall_result;

/**
 * Precision and recall of generated images: ito_precision_recall(real, generated, &result, .k = 3).
 * An image lies among those of a set if its distance to one of them is at most the distance of that
 * one to its k-th nearest neighbour in the set.
 *
 * Distances below about 1e-7 of the features' size count as 0, so that copies are at distance 0.
 * @param real       features [N, D] of any float dtype, N > k; borrowed.
 * @param generated  features [M, D] of any float dtype, M > k; borrowed.
 * @param out        set on success.
 * @return           ITO_ERR_SHAPE, ITO_ERR_RANGE for k, ITO_ERR_DTYPE, ITO_ERR_NUMERIC for a
 *                   feature that is not finite, ITO_ERR_ARGUMENT for a NULL, ITO_ERR_MEMORY.
 * Source: Kynkaanniemi et al. 2019, arXiv:1904.06991.
 */
ITO_API ito_status ito_precision_recall_with(ito_tensor *real, ito_tensor *generated,
                                             ito_precision_recall_result *out,
                                             ito_precision_recall_options options);
#define ito_precision_recall(...)                                                                  \
    ITO_AT(ITO_CALL_3(ito_precision_recall_with, ito_precision_recall_options, __VA_ARGS__, ))

/* ---- score -------------------------------------------------------------------------------------
 */

/** Options of ito_classifier_score. */
typedef struct ito_classifier_score_options {
    int reserved_;
    int64_t splits ITO_DEFAULT(10); /* 1 to the number of images */
} ito_classifier_score_options;
#define ITO_DEFAULTS_ito_classifier_score_options .splits = 10

/** Mean and standard deviation of the score over the splits. */
typedef struct ito_classifier_score_result {
    double mean, deviation;
} ito_classifier_score_result;

/**
 * The Inception score with any classifier: exp of the mean KL(p(y|x) || p(y)). It is 1 if the
 * classifier gives every image the same probabilities, and the number of classes if it is certain
 * of each image and all classes are equally frequent. The images are divided into splits in their
 * order, and each split gives a score: ito_classifier_score(logits, &result, .splits = 10).
 *
 * @param logits  [N, classes] of any float dtype, N at least the number of splits; borrowed.
 * @param out     set on success.
 * @return        ITO_ERR_SHAPE, ITO_ERR_RANGE for splits, ITO_ERR_DTYPE, ITO_ERR_NUMERIC for a
 *                logit that is not finite, ITO_ERR_ARGUMENT for a NULL, ITO_ERR_MEMORY. Source:
 *                Salimans et al. 2016, arXiv:1606.03498.
 */
ITO_API ito_status ito_classifier_score_with(ito_tensor *logits, ito_classifier_score_result *out,
                                             ito_classifier_score_options options);
#define ito_classifier_score(...)                                                                  \
    ITO_AT(ITO_CALL_2(ito_classifier_score_with, ito_classifier_score_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_feature_moments(...) ITO_AT(ito_feature_moments(__VA_ARGS__))
#define ito_frechet_moments(...) ITO_AT(ito_frechet_moments(__VA_ARGS__))
#define ito_frechet_distance(...) ITO_AT(ito_frechet_distance(__VA_ARGS__))
#endif

#endif
