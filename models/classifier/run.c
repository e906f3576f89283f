/* A classifier applied to many images.
 * Invariant: an image's results depend on neither the other images nor its place in a batch. */
#include "autograd/ops.h"
#include "models/classifier/classifier.h"
#include "tensor/internal.h"

#include <math.h>

#define BATCH 100

/* u8 as x / 127.5 - 1; f32 rounded to the 256 values that u8 has. */
static ito_tensor *pixels(ito_tensor *x)
{
    if (x == NULL)
        return NULL;
    ito_tensor *steps =
        x->dtype == ITO_U8
            ? ito_cast(x, ITO_F32)
            : ito_round(ito_mul_scalar(ito_add_scalar(ito_clamp(x, -1.0, 1.0), 1.0), 127.5));
    return ito_add_scalar(ito_mul_scalar(steps, 1.0 / 127.5), -1.0);
}

/* Copy x to the rows of out from `first` on; true and nothing to do if out is NULL. */
static bool put(ito_tensor *out, int64_t first, ito_tensor *x)
{
    return out == NULL ||
           (x != NULL && ito_copy_(ito_narrow(out, 0, first, x->shape[0]), x) != NULL);
}

static bool run_batch(ito_classifier *c, ito_tensor *images, int64_t first, ito_tensor *features,
                      ito_tensor *logits)
{
    int64_t left = images->shape[0] - first, n = left < BATCH ? left : BATCH;
    ito_tensor *x = ito_cast(pixels(ito_narrow(images, 0, first, n)), c->head->weight->dtype);
    ito_tensor *f = ito_classifier_features(c, x);
    return put(features, first, f) &&
           put(logits, first, logits != NULL ? ito_classifier_logits(c, f) : NULL);
}

static bool check(const ito_tensor *images)
{
    if (images->ndim != 4) {
        error_status(ITO_ERR_SHAPE, "classifier: images are [N, C, H, W], not %s",
                     tensor_shape_str(images));
        return false;
    }
    if (images->dtype == ITO_U8 || images->dtype == ITO_F32)
        return true;
    error_status(ITO_ERR_DTYPE, "classifier: images are u8 or f32, not %s",
                 ito_dtype_name(images->dtype));
    return false;
}

ito_status ito_classifier_run(ito_classifier *c, ito_tensor *images, ito_tensor **features,
                              ito_tensor **logits)
{
    if (c == NULL || images == NULL)
        return error_missing("classifier", c == NULL ? "c" : "images");
    if (!check(images))
        return ito_error_code();
    int64_t n = images->shape[0];
    bool was_training = c->dropout->base.training; /* all that has a mode */
    ito_tensor *f = ito_empty(ITO_SHAPE(n, ITO_CLASSIFIER_WIDTH), ITO_F32);
    ito_tensor *l = logits != NULL ? ito_empty(ITO_SHAPE(n, c->classes), ITO_F32) : NULL;
    bool good = f != NULL && (l != NULL || logits == NULL);
    ito_module_train(&c->dropout->base, false);
    ito_no_grad_begin();
    for (int64_t first = 0; good && first < n; first += BATCH) {
        ito_scope_begin();
        good = run_batch(c, images, first, f, l);
        ito_scope_end();
    }
    ito_no_grad_end();
    ito_module_train(&c->dropout->base, was_training);
    if (!good)
        return ito_error_code();
    if (features != NULL)
        *features = f;
    if (logits != NULL)
        *logits = l;
    return ITO_OK;
}
