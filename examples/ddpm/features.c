/* Features of images by a network. */
#include "examples/ddpm/features.h"

#include "examples/common/options.h"
#include "examples/common/progress.h"
#include "examples/common/ranks.h"

#include <inttypes.h>
#include <math.h>

/* Images of a step of the progress. */
enum { OF_CLASSIFIER = 1000, OF_INCEPTION = 16 };

bool features_open(feature_network *f, const char *inception)
{
    if (inception != NULL)
        f->inception = ito_inception_load(inception);
    else
        f->classifier = ito_classifier_fashion_mnist();
    return f->inception != NULL || f->classifier != NULL;
}

void features_close(feature_network *f)
{
    if (f->inception != NULL)
        ito_module_free(&f->inception->base);
    if (f->classifier != NULL)
        ito_module_free(&f->classifier->base);
    *f = (feature_network){.images = 0};
}

const char *features_name(const feature_network *f)
{
    return f->inception != NULL ? "Inception-v3" : "classifier";
}

int64_t features_width(const feature_network *f)
{
    return f->inception != NULL ? ITO_INCEPTION_WIDTH : ITO_CLASSIFIER_WIDTH;
}

bool features_fit(const feature_network *f, const ito_tensor *images, const char *whose)
{
    int64_t channels = ito_size(images, 1), high = ito_size(images, 2), wide = ito_size(images, 3);
    if (f->inception != NULL ? channels == 1 || channels == 3
                             : channels == 1 && high == 28 && wide == 28)
        return true;
    ito_error_set(ITO_ERR_SHAPE,
                  "%s: the images are %" PRId64 "x%" PRId64 " with %" PRId64 " channel%s, and %s",
                  whose, high, wide, channels, PLURAL(channels),
                  f->inception != NULL
                      ? "Inception-v3 takes 1 or 3"
                      : "the features that come with Ito are of grey images of 28x28; take "
                        "--inception, or --features and --against of another network");
    return false;
}

static ito_tensor *run(feature_network *f, ito_tensor *images, ito_tensor **logits)
{
    ito_tensor *features = NULL;
    if (f->classifier != NULL)
        return ito_classifier_run(f->classifier, images, &features, logits) == ITO_OK ? features
                                                                                      : NULL;
    features = ito_inception_run(f->inception, images);
    if (logits != NULL)
        *logits = ito_linear(features, f->inception->fc->weight, NULL);
    return features;
}

/* Copy part to the rows of all from `first` on. */
static bool put(ito_tensor *all, int64_t first, ito_tensor *part)
{
    return part != NULL && ito_copy_(ito_narrow(all, 0, first, ito_size(part, 0)), part) != NULL;
}

/* Those of images begin to end. */
static bool fill(feature_network *f, ito_tensor *images, ito_tensor *features, ito_tensor *logits,
                 ito_batch_slice rows)
{
    int64_t n = rows.end - rows.begin,
            at_once = f->inception != NULL ? OF_INCEPTION : OF_CLASSIFIER;
    progress p = {.quiet = false};
    progress_begin(&p, "features", "images", 0, (n + at_once - 1) / at_once);
    bool good = true;
    for (int64_t first = 0; good && first < n; first += at_once) {
        int64_t count = n - first < at_once ? n - first : at_once;
        ito_tensor *some = NULL;
        ito_scope_begin();
        int64_t at = rows.begin + first;
        good = put(features, at,
                   run(f, ito_narrow(images, 0, at, count), logits != NULL ? &some : NULL)) &&
               (logits == NULL || put(logits, at, some));
        ito_scope_end();
        progress_step(&p, first / at_once + 1, count, (double)NAN);
    }
    progress_end(&p);
    return good;
}

/* Features of images, of which these rows are computed. */
static ito_tensor *compute(feature_network *f, ito_tensor *images, ito_tensor **logits,
                           ito_batch_slice rows)
{
    int64_t n = ito_size(images, 0);
    int64_t classes =
        f->inception != NULL ? ito_size(f->inception->fc->weight, 0) : f->classifier->classes;
    ito_tensor *features = ito_empty(ITO_SHAPE(n, features_width(f)), ITO_F32);
    ito_tensor *all = logits != NULL ? ito_empty(ITO_SHAPE(n, classes), ITO_F32) : NULL;
    if (features == NULL || (logits != NULL && all == NULL))
        return NULL;
    double started = progress_clock();
    ito_no_grad_begin();
    bool good = fill(f, images, features, all, rows);
    ito_no_grad_end();
    f->seconds += progress_clock() - started;
    f->images += rows.end - rows.begin;
    if (logits != NULL)
        *logits = all;
    return good ? features : NULL;
}

ito_tensor *features_of(feature_network *f, ito_tensor *images, ito_tensor **logits)
{
    return compute(f, images, logits, ito_slice_of(0, 1, ito_size(images, 0)));
}

ito_tensor *features_shared(feature_network *f, ito_tensor *images, ito_tensor **logits)
{
    ito_tensor *features = compute(f, images, logits, ranks_rows(ito_size(images, 0)));
    bool good = features != NULL && ranks_gather_rows(features) &&
                (logits == NULL || ranks_gather_rows(*logits));
    return good ? features : NULL;
}
