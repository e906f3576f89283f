/* The variational auto-encoder: its likelihoods, its parts and its bounds, for any two networks.
 * Invariant: what is given of an example depends on that example and its noise alone. */
#include "models/vae/vae.h"

#include "autograd/ops.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>

/* ---- likelihoods ---- */

/* Whether all of x lies in [0, 1]; NaN does not. */
static bool check_pixels(ito_tensor *x)
{
    if (ito_numel(x) == 0)
        return true;
    ito_scope_begin();
    ito_tensor *plain = ito_detach(x), *low = ito_min(plain), *high = ito_max(plain);
    bool good = high != NULL;
    if (good && !(ito_item(low) >= 0 && ito_item(high) <= 1))
        good = error_false(ITO_ERR_RANGE, "vae: pixels of ito_vae_bernoulli are in [0, 1], not %g",
                           ito_item(low) >= 0 ? ito_item(high) : ito_item(low));
    ito_scope_end();
    return good;
}

static ito_tensor *bernoulli_log_prob(const ito_vae_likelihood *self, ito_tensor *output,
                                      ito_tensor *x)
{
    (void)self;
    if (!check_pixels(x))
        return NULL;
    return ito_neg(
        ito_binary_cross_entropy_with_logits(output, x, .reduction = ITO_REDUCTION_NONE));
}

static ito_tensor *bernoulli_mean(const ito_vae_likelihood *self, ito_tensor *output)
{
    (void)self;
    return ito_sigmoid(output);
}

static ito_tensor *gaussian_log_prob(const ito_vae_likelihood *self, ito_tensor *output,
                                     ito_tensor *x)
{
    double sigma = self->sigma;
    if (!(sigma > 0 && sigma < HUGE_VAL))
        return error_null(ITO_ERR_RANGE, "vae: sigma is %g; it must be positive and finite", sigma);
    return ito_add_scalar(ito_mul_scalar(ito_square(ito_sub(x, output)), -0.5 / (sigma * sigma)),
                          -log(sigma) - 0.5 * log(2 * M_PI));
}

static ito_tensor *gaussian_mean(const ito_vae_likelihood *self, ito_tensor *output)
{
    (void)self;
    return output;
}

const ito_vae_likelihood ito_vae_bernoulli = {"bernoulli", bernoulli_log_prob, bernoulli_mean, 0};
const ito_vae_likelihood ito_vae_gaussian = {"gaussian", gaussian_log_prob, gaussian_mean, 0.1};

/* ---- parts ---- */

/* Whether the axes of t behind the first are `want`, if that has any. */
static bool check_example(const char *what, const ito_tensor *t, ito_shape want)
{
    ito_shape all = {.ndim = want.ndim + 1, .dim = {t->ndim > 0 ? t->shape[0] : 0}};
    for (int i = 0; i < want.ndim; i++)
        all.dim[i + 1] = want.dim[i];
    return want.ndim == 0 || tensor_has_shape(t, &all) ||
           error_false(ITO_ERR_SHAPE, "vae: %s of %s are expected, not %s", what, shape_str(all),
                       tensor_shape_str(t));
}

ito_status ito_vae_encode(ito_vae *vae, ito_tensor *x, ito_tensor **mean, ito_tensor **log_variance)
{
    if (vae == NULL || x == NULL || mean == NULL || log_variance == NULL)
        return error_missing("vae_encode", vae == NULL    ? "vae"
                                           : x == NULL    ? "x"
                                           : mean == NULL ? "mean"
                                                          : "log_variance");
    if (vae->encoder == NULL)
        return error_status(ITO_ERR_ARGUMENT, "vae: the model has no encoder");
    if (!check_example("images", x, vae->image))
        return ito_error_code();
    ito_tensor *both = ito_module_forward(vae->encoder, x);
    if (both == NULL)
        return ito_error_code();
    if (both->ndim < 2 || both->shape[1] % 2 != 0)
        return error_status(ITO_ERR_SHAPE,
                            "vae: the encoder gives %s; axis 1 holds the means, then as many log "
                            "variances",
                            tensor_shape_str(both));
    ito_tensor *m = ito_chunk(both, 2, 1, 0), *l = ito_chunk(both, 2, 1, 1);
    if (l == NULL)
        return ito_error_code();
    *mean = m;
    *log_variance = l;
    return ITO_OK;
}

static ito_tensor *noise_for(ito_tensor *mean, ito_generator *g)
{
    return mean == NULL ? NULL : ito_randn(g, mean->sizes, mean->dtype);
}

static ito_tensor *move(ito_tensor *mean, ito_tensor *log_variance, ito_tensor *eps)
{
    return ito_add(mean, ito_mul(ito_exp(ito_mul_scalar(log_variance, 0.5)), eps));
}

ito_tensor *ito_vae_draw(ito_tensor *mean, ito_tensor *log_variance, ito_generator *g)
{
    ito_scope_begin();
    ito_tensor *z = ito_keep(move(mean, log_variance, noise_for(mean, g)));
    ito_scope_end();
    return z;
}

ito_tensor *ito_vae_decode(ito_vae *vae, ito_tensor *z)
{
    if (vae == NULL || z == NULL)
        return NULL;
    if (vae->decoder == NULL)
        return error_null(ITO_ERR_ARGUMENT, "vae: the model has no decoder");
    return check_example("codes", z, vae->code) ? ito_module_forward(vae->decoder, z) : NULL;
}

static bool check_likelihood(const ito_vae *vae)
{
    return vae->likelihood.log_prob != NULL ||
           error_false(ITO_ERR_ARGUMENT, "vae: the model has no likelihood");
}

ito_tensor *ito_vae_mean(const ito_vae *vae, ito_tensor *output)
{
    if (vae == NULL || output == NULL || !check_likelihood(vae))
        return NULL;
    if (vae->likelihood.mean == NULL)
        return error_null(ITO_ERR_ARGUMENT, "vae: the likelihood has no mean");
    return vae->likelihood.mean(&vae->likelihood, output);
}

/* The sum over each example of t [N, ...]: [N]. */
static ito_tensor *by_example(ito_tensor *t)
{
    if (t == NULL)
        return NULL;
    ito_shape dims = {.ndim = t->ndim - 1};
    for (int i = 1; i < t->ndim; i++)
        dims.dim[i - 1] = i;
    return ito_sum(t, .dims = dims);
}

ito_tensor *ito_vae_log_likelihood(const ito_vae *vae, ito_tensor *output, ito_tensor *x)
{
    if (vae == NULL || output == NULL || x == NULL || !check_likelihood(vae))
        return NULL;
    if (x->ndim < 1 || !tensor_has_shape(output, &x->sizes))
        return error_null(ITO_ERR_SHAPE, "vae: the decoder gives %s of data %s",
                          tensor_shape_str(output), tensor_shape_str(x));
    ito_scope_begin();
    ito_tensor *nats = ito_keep(by_example(vae->likelihood.log_prob(&vae->likelihood, output, x)));
    ito_scope_end();
    return nats;
}

ito_tensor *ito_vae_kl(ito_tensor *mean, ito_tensor *log_variance)
{
    ito_scope_begin();
    ito_tensor *spread = ito_sub(ito_expm1(log_variance), log_variance);
    ito_tensor *each = ito_mul_scalar(ito_add(ito_square(mean), spread), 0.5);
    ito_tensor *kl = ito_keep(by_example(each));
    ito_scope_end();
    return kl;
}

/* ---- bounds ---- */

ito_tensor *ito_vae_elbo_with(ito_vae *vae, ito_tensor *x, ito_generator *g,
                              ito_vae_elbo_options options)
{
    if (!(options.beta >= 0 && options.beta < HUGE_VAL))
        return error_null(ITO_ERR_RANGE, "vae_elbo: beta is %g; it must be finite and at least 0",
                          options.beta);
    ito_tensor *mean = NULL, *log_variance = NULL, *elbo = NULL;
    ito_scope_begin();
    if (ito_vae_encode(vae, x, &mean, &log_variance) == ITO_OK) {
        ito_tensor *output = ito_vae_decode(vae, ito_vae_draw(mean, log_variance, g));
        elbo = ito_keep(ito_axpby(1, ito_vae_log_likelihood(vae, output, x), -options.beta,
                                  ito_vae_kl(mean, log_variance)));
    }
    ito_scope_end();
    return elbo;
}

/* log w of one draw, [1, N]. Of log p(z) - log q(z|x) the constants cancel; what remains is
 * (eps^2 + log_variance - z^2) / 2. */
static ito_tensor *log_weight(ito_vae *vae, ito_tensor *x, ito_tensor *mean,
                              ito_tensor *log_variance, ito_generator *g)
{
    ito_scope_begin();
    ito_tensor *eps = noise_for(mean, g), *z = move(mean, log_variance, eps);
    ito_tensor *ratio = ito_sub(ito_add(ito_square(eps), log_variance), ito_square(z));
    ito_tensor *nats = ito_vae_log_likelihood(vae, ito_vae_decode(vae, z), x);
    ito_tensor *w = ito_axpby(1, nats, 0.5, by_example(ratio));
    w = ito_keep(ito_unsqueeze(w, 0));
    ito_scope_end();
    return w;
}

ito_tensor *ito_vae_bound(ito_vae *vae, ito_tensor *x, int64_t k, ito_generator *g)
{
    if (k < 1)
        return error_null(ITO_ERR_RANGE, "vae_bound: k is %" PRId64 "; it must be at least 1", k);
    ito_tensor *mean = NULL, *log_variance = NULL, *bound = NULL;
    ito_tensor **weights = struct_alloc((size_t)checked_mul(k, sizeof(ito_tensor *)));
    ito_scope_begin();
    if (weights != NULL && ito_vae_encode(vae, x, &mean, &log_variance) == ITO_OK) {
        for (int64_t i = 0; i < k && (i == 0 || weights[i - 1] != NULL); i++)
            weights[i] = log_weight(vae, x, mean, log_variance, g);
        if (weights[k - 1] != NULL)
            bound = ito_logsumexp(ito_cat(weights, k, 0), .dims = ITO_DIMS(0));
        bound = ito_keep(ito_add_scalar(bound, -log((double)k)));
    }
    ito_scope_end();
    free(weights);
    return bound;
}
