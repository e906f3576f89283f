/* How far a set of generated images is from a set of real ones, by what a network sees in them.
 *
 * All of it works on features: [N, D] numbers, a row an image, from any network; only the score
 * takes a classifier's logits. Everything is computed in f64, and does not depend on the number of
 * threads. docs/evaluation.md says what the numbers mean and what they do not.
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
 * which is never negative. Covariances may be singular: the root of a symmetric matrix has no need
 * of an inverse. Eigenvalues within rounding of 0 count as 0, so the result is off by up to
 * 2 D^1.5 sqrt(eps) = D^1.5 3e-8 times the largest variance: that of D eigenvalues of up to D eps.
 *
 * @param mean_a, mean_b  [D] f64; borrowed, as are
 * @param cov_a, cov_b    [D, D] f64.
 * @return                NaN on error: ITO_ERR_SHAPE, ITO_ERR_DTYPE, ITO_ERR_NUMERIC for numbers
 *                        that are not finite or a matrix that no covariance is, ITO_ERR_MEMORY.
 * Source: Dowson, Landau 1982; Heusel et al. 2017, arXiv:1706.08500.
 */
ITO_API double ito_frechet_moments(ito_tensor *mean_a, ito_tensor *cov_a, ito_tensor *mean_b,
                                   ito_tensor *cov_b);

/**
 * The same for features a [N, D] and b [M, D]. Smaller is better. It falls with N for one and the
 * same generator: compare only what was computed from equally many images.
 *
 * @return  NaN on error: ITO_ERR_SHAPE if the widths differ, or if there are not more images than
 *          features, without which a covariance is singular whatever the images are; further as
 *          the two functions above.
 */
ITO_API double ito_frechet_distance(ito_tensor *a, ito_tensor *b);

/* ---- precision and recall ----------------------------------------------------------------------
 */

typedef struct ito_precision_recall_options {
    int reserved_;
    int64_t k; /* default 3 */
} ito_precision_recall_options;
#define ITO_DEFAULTS_ito_precision_recall_options .reserved_ = 0

typedef struct ito_precision_recall_result {
    double precision; /* the share of generated images that lie among real ones */
    double recall;    /* the share of real images that lie among generated ones */
} ito_precision_recall_result;

/**
 * A point lies among those of a set if it is no farther from one of them than that one's k-th
 * nearest neighbour in the set: ito_precision_recall(real, generated, &result, .k = 3).
 *
 * Distances below about 1e-7 of the features' size count as 0, so that copies are copies.
 * @param real, generated  features [N, D], [M, D], with more than k images each; borrowed.
 * @param out              set on success.
 * @return                 ITO_ERR_SHAPE, ITO_ERR_RANGE for k, ITO_ERR_DTYPE, ITO_ERR_NUMERIC,
 *                         ITO_ERR_MEMORY.
 * Source: Kynkaanniemi et al. 2019, arXiv:1904.06991.
 */
ITO_API ito_status ito_precision_recall_with(ito_tensor *real, ito_tensor *generated,
                                             ito_precision_recall_result *out,
                                             ito_precision_recall_options options);
#define ito_precision_recall(real, generated, out, ...)                                            \
    ITO_AT(ito_precision_recall_with(real, generated, out,                                         \
                                     ITO_OPTIONS(ito_precision_recall_options, __VA_ARGS__)))

/* ---- score -------------------------------------------------------------------------------------
 */

typedef struct ito_classifier_score_options {
    int reserved_;
    int64_t splits; /* default 10 */
} ito_classifier_score_options;
#define ITO_DEFAULTS_ito_classifier_score_options .reserved_ = 0

typedef struct ito_classifier_score_result {
    double mean, deviation; /* over the splits */
} ito_classifier_score_result;

/**
 * exp of the mean KL(p(y|x) || p(y)): from 1, if the classifier says the same of every image, to
 * the number of classes, if it is sure of each and each class is as frequent. The Inception score,
 * but for the classifier. The images are cut into splits in their order, and each gives a score.
 *
 * @param logits  [N, classes], N at least the number of splits; borrowed.
 * @param out     set on success.
 * @return        ITO_ERR_SHAPE, ITO_ERR_RANGE for splits, ITO_ERR_DTYPE, ITO_ERR_NUMERIC,
 *                ITO_ERR_MEMORY.
 * Source: Salimans et al. 2016, arXiv:1606.03498.
 */
ITO_API ito_status ito_classifier_score_with(ito_tensor *logits, ito_classifier_score_result *out,
                                             ito_classifier_score_options options);
#define ito_classifier_score(logits, out, ...)                                                     \
    ITO_AT(ito_classifier_score_with(logits, out,                                                  \
                                     ITO_OPTIONS(ito_classifier_score_options, __VA_ARGS__)))

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_feature_moments(...) ITO_AT(ito_feature_moments(__VA_ARGS__))
#define ito_frechet_moments(...) ITO_AT(ito_frechet_moments(__VA_ARGS__))
#define ito_frechet_distance(...) ITO_AT(ito_frechet_distance(__VA_ARGS__))
#endif

#endif
