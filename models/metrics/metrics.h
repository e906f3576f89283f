/* Metrics of generated images: the distance of a set of them from a set of real ones.
 *
 * All metrics take features: [N, D] numbers, one row for each image, from any network; only the
 * score takes a classifier's logits. Everything is computed in f64, records no gradients and does
 * not depend on the number of threads. Numbers beyond the range of f32 count as not finite.
 * docs/evaluation.md says what the results mean.
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

/* ---- density and coverage ----------------------------------------------------------------------
 */

/** Options of ito_density_coverage. */
typedef struct ito_density_coverage_options {
    int reserved_;
    int64_t k ITO_DEFAULT(5); /* which nearest neighbour gives the radius: 1 to 1024 */
} ito_density_coverage_options;
#define ITO_DEFAULTS_ito_density_coverage_options .k = 5

/** Density, 0 or more, and coverage, in [0, 1]. */
typedef struct ito_density_coverage_result {
    double density;  /* how many real neighbourhoods a generated image is in, over k: the mean */
    double coverage; /* the fraction of real images with a generated one in their neighbourhood */
} ito_density_coverage_result;

/**
 * Density and coverage of generated images: ito_density_coverage(real, generated, &result, .k = 5).
 * The neighbourhood of a real image is what is nearer to it than its k-th nearest other real image.
 * A real image far from all others, whose neighbourhood is wide, counts once, not for all images in
 * it as in precision. For images of the real distribution density is 1 on average, and coverage
 *     1 - (N - 1) ... (N - k) / ((N + M - 1) ... (N + M - k)),
 * 0.97 for k = 5 and many images, N = M.
 *
 * @param real       features [N, D] of any float dtype, N > k; borrowed.
 * @param generated  features [M, D] of any float dtype, M >= 1; borrowed.
 * @param out        set on success.
 * @return           errors as of ito_precision_recall.
 * Source: Naeem et al. 2020, arXiv:2002.09797; what is exactly as far is outside, as in their code.
 */
ITO_API ito_status ito_density_coverage_with(ito_tensor *real, ito_tensor *generated,
                                             ito_density_coverage_result *out,
                                             ito_density_coverage_options options);
#define ito_density_coverage(...)                                                                  \
    ITO_AT(ITO_CALL_3(ito_density_coverage_with, ito_density_coverage_options, __VA_ARGS__, ))

/* ---- discrepancies under a kernel --------------------------------------------------------------
 */

/** Options of ito_kernel_distance. */
typedef struct ito_kernel_distance_options {
    int reserved_;
    int64_t subsets ITO_DEFAULT(100);
    int64_t subset_size ITO_DEFAULT(1000); /* images of each set, 2 or more */
    uint64_t seed;                         /* subset s is drawn from stream s */
} ito_kernel_distance_options;
#define ITO_DEFAULTS_ito_kernel_distance_options .subsets = 100, .subset_size = 1000

/** Mean and standard deviation (divisor: subsets) of the distance over the subsets. */
typedef struct ito_kernel_distance_result {
    double mean, deviation;
} ito_kernel_distance_result;

/**
 * The kernel distance, KID where features are Inception's: the squared maximum mean discrepancy
 *     mean k(x, x') + mean k(y, y') - 2 mean k(x, y),   k(x, y) = (x y / D + 1)^3,
 * over pairs of different images within a set, and over random subsets of both:
 * ito_kernel_distance(real, generated, &result, .subsets = 100). It is unbiased: its mean does not
 * depend on the number of images, unlike that of the Frechet distance, and is 0 for images of the
 * real distribution; a single value may be negative. One subset of all images, .subsets = 1,
 * .subset_size = N, is the exact value for the two sets.
 *
 * @param real       features [N, D] of any float dtype, N at least the size of a subset; borrowed.
 * @param generated  features [M, D] of any float dtype, M likewise; borrowed.
 * @param out        set on success.
 * @return           ITO_ERR_SHAPE, ITO_ERR_RANGE for the subsets, ITO_ERR_DTYPE, ITO_ERR_NUMERIC
 *                   for a feature that is not finite, ITO_ERR_ARGUMENT for a NULL, ITO_ERR_MEMORY.
 * Source: Binkowski et al. 2018, arXiv:1801.01401; Gretton et al. 2012, JMLR 13, lemma 6.
 */
ITO_API ito_status ito_kernel_distance_with(ito_tensor *real, ito_tensor *generated,
                                            ito_kernel_distance_result *out,
                                            ito_kernel_distance_options options);
#define ito_kernel_distance(...)                                                                   \
    ITO_AT(ITO_CALL_3(ito_kernel_distance_with, ito_kernel_distance_options, __VA_ARGS__, ))

/** Options of ito_mmd. */
typedef struct ito_mmd_options {
    int reserved_;
    double sigma ITO_DEFAULT(10); /* of the Gaussian kernel */
    bool unbiased;                /* an image is not paired with itself; then at least 2 of each */
} ito_mmd_options;
#define ITO_DEFAULTS_ito_mmd_options .sigma = 10

/**
 * 1000 times the squared maximum mean discrepancy under a Gaussian kernel,
 *     mean k(x, x') + mean k(y, y') - 2 mean k(x, y),   k(x, y) = exp(-|x - y|^2 / (2 sigma^2)),
 * over all pairs: ito_mmd(real, generated, .sigma = 10). It is CMMD where features are CLIP's,
 * scaled to length 1; for others choose sigma: distances far below or above it are not seen. By
 * default a pair may be an image and itself, as in the authors' code: then it is never negative.
 *
 * @param real       features [N, D] of any float dtype, N >= 1; borrowed.
 * @param generated  features [M, D] of any float dtype, M >= 1; borrowed.
 * @return           NaN on error: ITO_ERR_SHAPE, ITO_ERR_RANGE for sigma, ITO_ERR_DTYPE,
 *                   ITO_ERR_NUMERIC for a feature that is not finite, ITO_ERR_ARGUMENT for a NULL,
 *                   ITO_ERR_MEMORY.
 * Source: Jayasumana et al. 2024, arXiv:2401.09603; Gretton et al. 2012, JMLR 13, eq. (5).
 */
ITO_API double ito_mmd_with(ito_tensor *real, ito_tensor *generated, ito_mmd_options options);
#define ito_mmd(...) ITO_AT(ITO_CALL_2(ito_mmd_with, ito_mmd_options, __VA_ARGS__, ))

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
