/* Auto-encoding variational Bayes: a latent variable model p(x|z) p(z) with z standard normal, and
 * an encoder q(z|x) = N(mean(x), variance(x)) that is learned with it.
 * Source: Kingma, Welling 2013, arXiv:1312.6114.
 *
 *     ito_vae *vae = ito_vae_create(1, 28, 28, .latent = 20, .generator = &init);
 *     ito_tensor *loss = ito_neg(ito_mean(ito_vae_elbo(vae, x, &g)));
 *     ito_tensor *samples = ito_vae_mean(vae, ito_vae_decode(vae, ito_randn(&g, ITO_SHAPE(64, 20),
 *                                                                           ITO_F32)));
 *
 * Networks of your own are any two modules with a forward function, data of any shape [N, ...]:
 *
 *     ito_vae *vae = ito_module_create(NULL, "", sizeof *vae);
 *     vae->encoder = my_encoder(&vae->base, "encoder"); // [N, ...] to [N, 2 D, ...]
 *     vae->decoder = my_decoder(&vae->base, "decoder"); // [N, D, ...] to [N, ...]
 *     vae->likelihood = ito_vae_gaussian;
 *
 * Nats. With ito_vae_bernoulli on pixels that are 0 or 1, the bounds below are of log P(x), and
 * compare with results on data made binary in the same way: fixed, or drawn anew with the grey
 * value as the probability ("dynamically binarised"). On grey pixels they are a mean cross entropy,
 * no likelihood: they compare with others of that kind alone. ito_vae_gaussian gives log densities,
 * which depend on the unit of x: of pixels c times as large they are n log c less, n being the
 * number of pixels; and of 8-bit pixels they mean something only after noise of one step was added.
 */
#ifndef ITO_VAE_H
#define ITO_VAE_H

#include "../../nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- likelihoods -------------------------------------------------------------------------------
 */

/** p(x|z), given what the decoder makes of z. A changed copy, or one of your own, is another. */
typedef struct ito_vae_likelihood ito_vae_likelihood;
struct ito_vae_likelihood {
    const char *name;
    /** log p in nats of each element of x, shaped as x and output, which have one shape;
     * differentiable in output. NULL after an error. */
    ito_tensor *(*log_prob)(const ito_vae_likelihood *self, ito_tensor *output, ito_tensor *x);
    /** E[x], shaped as output. */
    ito_tensor *(*mean)(const ito_vae_likelihood *self, ito_tensor *output);
    double sigma; /* ito_vae_gaussian's deviation, 0.1 unless changed */
};

/** Each pixel is 1 with probability sigmoid(output), else 0. x is in [0, 1]; ITO_ERR_RANGE for
 * other numbers. Source: Kingma, Welling 2013, appendix C.1. */
ITO_API extern const ito_vae_likelihood ito_vae_bernoulli;
/** Normal, of mean output and deviation sigma. ITO_ERR_RANGE unless sigma is positive. Source: the
 * same, appendix C.2. */
ITO_API extern const ito_vae_likelihood ito_vae_gaussian;

/* ---- the model ---------------------------------------------------------------------------------
 */

/** The settings of the convolutional model, and what its weights begin with. */
typedef struct ito_vae_options {
    int reserved_;
    ito_generator *generator;             /* weights are drawn as layers.h says; NULL: zero */
    int64_t latent ITO_DEFAULT(20);       /* numbers of a code, or its channels; 1 to 8192 */
    bool spatial;                         /* a code is an image [latent, h, w], not a row */
    int64_t levels ITO_DEFAULT(2);        /* halvings of the image, 1 to 8 */
    int64_t width ITO_DEFAULT(32);        /* channels of the first level, doubled at each */
    const ito_vae_likelihood *likelihood; /* copied; NULL: ito_vae_bernoulli */
    ito_dtype dtype;                      /* of the parameters: ITO_F32 or ITO_F64 */
} ito_vae_options;
#define ITO_DEFAULTS_ito_vae_options .latent = 20, .levels = 2, .width = 32

/** A module whose parameters, training mode and so on are those of base. */
typedef struct ito_vae {
    ito_module base;
    ito_module *encoder; /* x to the means, then the log variances, along axis 1 */
    ito_module *decoder; /* z to what the likelihood takes, shaped as x */
    ito_vae_likelihood likelihood;
    /* Of ito_vae_create, else without axes: [C, H, W]; [latent], or [latent, h, w] if spatial. */
    ito_shape image, code;
    ito_vae_options options; /* likewise; generator and likelihood NULL */
} ito_vae;

/**
 * A convolutional model of images [N, channels, height, width]: ito_vae_create(1, 28, 28, .latent =
 * 4, .spatial = true, .likelihood = &ito_vae_gaussian, .generator = &g).
 *
 * Each level of the encoder is a 4x4 convolution of stride 2 and a 3x3 one, both with group norm
 * and silu; one convolution more gives means and log variances. The decoder is the reverse, with
 * transposed convolutions.
 * @return  owned by the caller, freed by ito_module_free(&vae->base). NULL on error: ITO_ERR_RANGE
 *          for a setting out of bounds, ITO_ERR_SHAPE for sides that cannot be halved so often,
 *          ITO_ERR_DTYPE, ITO_ERR_MEMORY.
 */
ITO_API ito_vae *ito_vae_create_with(int64_t channels, int64_t height, int64_t width,
                                     ito_vae_options options);
#define ito_vae_create(...) ITO_AT(ITO_CALL_3(ito_vae_create_with, ito_vae_options, __VA_ARGS__, ))

/** Write a model of ito_vae_create to a safetensors file, with its settings. ITO_ERR_ARGUMENT for a
 * model of other networks or with a likelihood of your own, ITO_ERR_IO, ITO_ERR_MEMORY. */
ITO_API ito_status ito_vae_save(const ito_vae *vae, const char *path);
/** The model in a file of ito_vae_save, in f32; ownership as of ito_vae_create. NULL:
 * ITO_ERR_FORMAT for a file without a model's settings, and the errors of ito_vae_create and
 * ito_module_load. */
ITO_API ito_vae *ito_vae_load(const char *path);

/* ---- its parts: tensors of the current scope, differentiable; NULL in gives NULL ---------------
 */

/** Mean and log variance of q(z|x), each [N, D, ...], of x [N, ...]. ITO_ERR_ARGUMENT for a model
 * without an encoder, ITO_ERR_SHAPE for images of another size or an encoder whose axis 1 is not
 * even, the errors of the encoder. *mean and *log_variance are set on success. */
ITO_API ito_status ito_vae_encode(ito_vae *vae, ito_tensor *x, ito_tensor **mean,
                                  ito_tensor **log_variance);
/** A draw from N(mean, exp(log_variance)), shaped as both: mean + exp(log_variance / 2) eps, by
 * which gradients pass. g advances. */
ITO_API ito_tensor *ito_vae_draw(ito_tensor *mean, ito_tensor *log_variance, ito_generator *g);
/** What the decoder makes of codes z [N, D, ...]: logits or means of pixels. ITO_ERR_ARGUMENT for a
 * model without a decoder, ITO_ERR_SHAPE for codes of another size, the errors of the decoder. */
ITO_API ito_tensor *ito_vae_decode(ito_vae *vae, ito_tensor *z);
/** E[x] of what ito_vae_decode gives: the pixels to look at. */
ITO_API ito_tensor *ito_vae_mean(const ito_vae *vae, ito_tensor *output);
/** log p(x|z) in nats of each example, [N], of what ito_vae_decode gives of z. ITO_ERR_SHAPE unless
 * output is shaped as x; the errors of the likelihood. */
ITO_API ito_tensor *ito_vae_log_likelihood(const ito_vae *vae, ito_tensor *output, ito_tensor *x);
/** KL(q(z|x) || p(z)) in nats of each example, [N]: the sum of (mean^2 + exp(log_variance) - 1 -
 * log_variance) / 2 over the code. Source: Kingma, Welling 2013, appendix B. */
ITO_API ito_tensor *ito_vae_kl(ito_tensor *mean, ito_tensor *log_variance);

/* ---- its bounds of log p(x) --------------------------------------------------------------------
 */

/** What ito_vae_elbo takes besides. */
typedef struct ito_vae_elbo_options {
    int reserved_;
    double beta ITO_DEFAULT(1); /* weight of the KL divergence; a bound from 1 up (Higgins et al.
                                   2017, beta-VAE) */
} ito_vae_elbo_options;
#define ITO_DEFAULTS_ito_vae_elbo_options .beta = 1

/**
 * The evidence lower bound in nats of each example, estimated with one draw of z for each:
 *     log p(x|z) - beta KL(q(z|x) || p(z))
 * ito_vae_elbo(vae, x, &g). Its negative mean is what training minimises.
 *
 * @param x  [N, ...] of the parameters' dtype.
 * @param g  advances; a copy gives the same noise again.
 * @return   [N]. NULL: the errors of the parts; ITO_ERR_RANGE unless beta is finite and at least 0.
 * Source: Kingma, Welling 2013, eq. (7).
 */
ITO_API ito_tensor *ito_vae_elbo_with(ito_vae *vae, ito_tensor *x, ito_generator *g,
                                      ito_vae_elbo_options options);
#define ito_vae_elbo(...) ITO_AT(ITO_CALL_3(ito_vae_elbo_with, ito_vae_elbo_options, __VA_ARGS__, ))

/**
 * The importance weighted bound in nats of each example, estimated with k draws of z for each:
 *     log (1/k sum_i w_i),  w_i = p(x|z_i) p(z_i) / q(z_i|x)
 * In expectation it grows with k: from the ELBO at k = 1 to log p(x).
 *
 * The draws are decoded one after the other, so that in no-grad mode memory does not grow with k.
 * @param x  as of ito_vae_elbo.
 * @param k  at least 1.
 * @return   [N]. NULL: the errors of the parts; ITO_ERR_RANGE for k.
 * Source: Burda, Grosse, Salakhutdinov 2015, arXiv:1509.00519, eq. (8).
 */
ITO_API ito_tensor *ito_vae_bound(ito_vae *vae, ito_tensor *x, int64_t k, ito_generator *g);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_vae_save(...) ITO_AT(ito_vae_save(__VA_ARGS__))
#define ito_vae_load(...) ITO_AT(ito_vae_load(__VA_ARGS__))
#define ito_vae_encode(...) ITO_AT(ito_vae_encode(__VA_ARGS__))
#define ito_vae_draw(...) ITO_AT(ito_vae_draw(__VA_ARGS__))
#define ito_vae_decode(...) ITO_AT(ito_vae_decode(__VA_ARGS__))
#define ito_vae_mean(...) ITO_AT(ito_vae_mean(__VA_ARGS__))
#define ito_vae_log_likelihood(...) ITO_AT(ito_vae_log_likelihood(__VA_ARGS__))
#define ito_vae_kl(...) ITO_AT(ito_vae_kl(__VA_ARGS__))
#define ito_vae_bound(...) ITO_AT(ito_vae_bound(__VA_ARGS__))
#endif

#endif
