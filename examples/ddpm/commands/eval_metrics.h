/* The numbers of ito-ddpm eval that compare features. */
#ifndef ITO_DDPM_EVAL_METRICS_H
#define ITO_DDPM_EVAL_METRICS_H

#include <cjson/cJSON.h>
#include <ito/ito.h>

typedef struct metric_options {
    bool frechet, kid, mmd, precision_recall, density_coverage, score;
    double mmd_sigma;
} metric_options;

/* Whether one of them is wanted, and one that compares with real images. */
bool metrics_wanted(const metric_options *o);
bool metrics_compare(const metric_options *o);
/* The least numbers of generated and of real images, given their features' width. */
int64_t metrics_least_made(const metric_options *o, int64_t width);
int64_t metrics_least_real(const metric_options *o, int64_t width);
/* Compute them and add them to root. real [M, D] may be NULL if none compares, logits if there is
 * no score. False with an error recorded. */
bool metrics_describe(const metric_options *o, ito_tensor *real, ito_tensor *made,
                      ito_tensor *logits, cJSON *root);

#endif
