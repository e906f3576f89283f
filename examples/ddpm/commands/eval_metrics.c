/* Each number that eval computes of features: what it needs, and how it is called. */
#include "examples/ddpm/commands/eval_metrics.h"

#include "examples/common/results.h"

#include <math.h>

enum { NEIGHBOURS = 3, DENSITY_NEIGHBOURS = 5, SPLITS = 10, SUBSET = 1000 };

bool metrics_compare(const metric_options *o)
{
    return o->frechet || o->kid || o->mmd || o->precision_recall || o->density_coverage;
}

bool metrics_wanted(const metric_options *o)
{
    return metrics_compare(o) || o->score;
}

/* ---- how many images ---- */

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t metrics_least_real(const metric_options *o, int64_t width)
{
    int64_t least = larger(o->frechet ? width + 1 : 1, o->kid ? 2 : 1);
    least = larger(least, o->precision_recall ? NEIGHBOURS + 1 : 1);
    return larger(least, o->density_coverage ? DENSITY_NEIGHBOURS + 1 : 1);
}

int64_t metrics_least_made(const metric_options *o, int64_t width)
{
    return larger(metrics_least_real(o, width), o->score ? SPLITS : 1);
}

/* ---- the numbers ---- */

/* What precision, recall, density and coverage are to compare: sets of one size. */
static ito_tensor *as_many(ito_tensor *real, const ito_tensor *made)
{
    bool more = ito_size(real, 0) > ito_size(made, 0);
    return more ? ito_narrow(real, 0, 0, ito_size(made, 0)) : real;
}

static bool add_frechet(ito_tensor *real, ito_tensor *made, cJSON *root)
{
    double d = ito_frechet_distance(real, made);
    result_number(root, "frechet", d);
    return !isnan(d);
}

static bool add_kid(ito_tensor *real, ito_tensor *made, cJSON *root)
{
    ito_kernel_distance_result r;
    int64_t fewer = -larger(-ito_size(real, 0), -ito_size(made, 0));
    int64_t subset = fewer < SUBSET ? larger(fewer, 2) : SUBSET;
    if (ito_kernel_distance(real, made, &r, .subset_size = subset) != ITO_OK)
        return false;
    result_number(root, "kid", r.mean);
    result_number(root, "kid_deviation", r.deviation);
    result_number(root, "kid_subset_size", (double)subset);
    return true;
}

static bool add_mmd(ito_tensor *real, ito_tensor *made, double sigma, cJSON *root)
{
    double d = ito_mmd(real, made, .sigma = sigma);
    result_number(root, "mmd", d);
    result_number(root, "mmd_sigma", sigma);
    return !isnan(d);
}

static bool add_precision_recall(ito_tensor *real, ito_tensor *made, cJSON *root)
{
    ito_precision_recall_result r;
    if (ito_precision_recall(as_many(real, made), made, &r, .k = NEIGHBOURS) != ITO_OK)
        return false;
    result_number(root, "precision", r.precision);
    result_number(root, "recall", r.recall);
    return true;
}

static bool add_density_coverage(ito_tensor *real, ito_tensor *made, cJSON *root)
{
    ito_density_coverage_result r;
    if (ito_density_coverage(as_many(real, made), made, &r, .k = DENSITY_NEIGHBOURS) != ITO_OK)
        return false;
    result_number(root, "density", r.density);
    result_number(root, "coverage", r.coverage);
    return true;
}

static bool add_score(ito_tensor *logits, cJSON *root)
{
    ito_classifier_score_result r;
    if (ito_classifier_score(logits, &r, .splits = SPLITS) != ITO_OK)
        return false;
    result_number(root, "score", r.mean);
    result_number(root, "score_deviation", r.deviation);
    return true;
}

bool metrics_describe(const metric_options *o, ito_tensor *real, ito_tensor *made,
                      ito_tensor *logits, cJSON *root)
{
    return (!o->frechet || add_frechet(real, made, root)) &&
           (!o->kid || add_kid(real, made, root)) &&
           (!o->mmd || add_mmd(real, made, o->mmd_sigma, root)) &&
           (!o->precision_recall || add_precision_recall(real, made, root)) &&
           (!o->density_coverage || add_density_coverage(real, made, root)) &&
           (!o->score || add_score(logits, root));
}
