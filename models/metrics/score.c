/* The classifier score: how certain a classifier is of each image, and how evenly classes occur. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/metrics/features.h"
#include "models/metrics/metrics.h"
#include "tensor/internal.h"

#include <math.h>

#define OP "classifier_score"

/* exp of the mean over images of sum_y p(y|x) (log p(y|x) - log p(y)); log_p is [n, classes]
 * row-major, marginal is scratch. */
static double score_of(const double *log_p, int64_t n, int64_t classes, double *marginal)
{
    for (int64_t y = 0; y < classes; y++) {
        marginal[y] = 0.0;
        for (int64_t i = 0; i < n; i++)
            marginal[y] += exp(log_p[i * classes + y]) / (double)n;
    }
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t y = 0; y < classes; y++) {
            double log_one = log_p[i * classes + y], p = exp(log_one);
            if (p > 0.0)
                sum += p * (log_one - log(marginal[y]));
        }
    return exp(sum / (double)n);
}

static bool score_splits(ito_tensor *logits, int64_t splits, ito_classifier_score_result *out)
{
    int64_t n = logits->shape[0], classes = logits->shape[1];
    ito_tensor *t = ito_contiguous(ito_log_softmax(features_rows(logits, 0, n), 1));
    ito_tensor *marginal = ito_empty(ITO_SHAPE(classes), ITO_F64);
    if (t == NULL || marginal == NULL)
        return false;
    const double *log_p = tensor_data(t);
    double sum = 0.0, squares = 0.0;
    for (int64_t k = 0; k < splits; k++) {
        int64_t first = k * n / splits, end = (k + 1) * n / splits;
        double s = score_of(log_p + first * classes, end - first, classes, tensor_data(marginal));
        sum += s;
        squares += s * s;
    }
    out->mean = sum / (double)splits;
    out->deviation = sqrt(fmax(0.0, squares / (double)splits - out->mean * out->mean));
    return true;
}

ito_status ito_classifier_score_with(ito_tensor *logits, ito_classifier_score_result *out,
                                     ito_classifier_score_options o)
{
    int64_t splits = o.splits;
    if (out == NULL)
        return error_missing(OP, "the result");
    if (!features_check(OP, logits))
        return ito_error_code();
    if (splits < 1 || splits > logits->shape[0])
        return error_status(ITO_ERR_RANGE,
                            OP ": the number of images, %" PRId64 ", cannot be cut into %" PRId64
                               " splits",
                            logits->shape[0], splits);
    ito_classifier_score_result result;
    ito_scope_begin();
    ito_no_grad_begin();
    bool good = score_splits(logits, splits, &result);
    ito_no_grad_end();
    ito_scope_end();
    if (!good)
        return ito_error_code();
    *out = result;
    return ITO_OK;
}
