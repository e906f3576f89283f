/* ito-latent: latent diffusion. A VAE makes small codes of images, a diffusion learns the codes,
 * and what it samples is decoded. Trains both in minutes, draws samples, and tells their Frechet
 * distance from test images. */
#include "examples/common/idx_directory.h"
#include "examples/common/options.h"
#include "examples/common/paths.h"
#include "examples/common/progress.h"
#include "examples/common/results.h"
#include "examples/common/training.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdio.h>

enum { COLUMNS = 16, BATCH = 250, STEPS = 1000 /* of the process */ };

typedef struct settings {
    const char *data, *out, *vae, *network, *sampler;
    int64_t latent, vae_epochs, epochs, channels, batch, sampling_steps, n, seed, threads;
    double sigma, lr;
    bool json;
} settings;

#define AT(field) offsetof(settings, field)

static const option_row rows[] = {
    TEXT_ROW("data", data, "DIR", FASHION_MNIST, "Directory of IDX files as Fashion-MNIST's"),
    INT_ROW("batch", batch, "N", 1, 60000, "128", "Images a step"),
    REAL_ROW("lr", lr, "X", ABOVE_0, 1, "0.002", "Learning rate, falling to 0 along a cosine"),
    GROUP_ROW("Codes"),
    TEXT_ROW("vae", vae, "FILE", NULL, "A VAE trained before, in place of a new one"),
    INT_ROW("latent", latent, "N", 1, 8192, "4", "Channels of a code"),
    INT_ROW("vae-epochs", vae_epochs, "N", 1, 1e4, "2", "How often the VAE sees each image"),
    REAL_ROW("sigma", sigma, "X", ABOVE_0, 10, "0.05", "Deviation of a pixel, 1 being white"),
    GROUP_ROW("Diffusion"),
    TEXT_ROW("network", network, "FILE", NULL, "A network trained before, in place of a new one"),
    INT_ROW("channels", channels, "N", 4, 8192, "64", "Of the U-Net; even"),
    INT_ROW("epochs", epochs, "N", 1, 1e4, "8", "How often it sees each code"),
    KIND_ROW("sampler", sampler, "sampler", "ddim", "From noise to codes"),
    INT_ROW("sampling-steps", sampling_steps, "N", 1, 1000, "25", "How many"),
    INT_ROW("n", n, "N", ITO_CLASSIFIER_WIDTH + 1, 1e6, "2000", "Samples"),
    TEXT_ROW("out", out, "DIR", "latent", "Where both networks and samples.png go"),
    SEED_ROW,
    THREADS_ROW,
    JSON_ROW,
    END_ROW,
};

typedef struct latent {
    const settings *s;
    ito_vae *vae;
    ito_unet *unet;
    ito_diffusion *diffusion;
    ito_tensor *codes;         /* of the training images [N, c, h, w], mean 0 and variance 1 */
    ito_tensor *shift, *scale; /* [1, c, 1, 1]: what they had before */
} latent;

/* u8 in [0, 1]. */
static ito_tensor *pixels_of(ito_tensor *images)
{
    return ito_mul_scalar(ito_cast(images, ITO_F32), 1 / 255.0);
}

/* Train a module, with an average of its weights. */
static bool train(latent *l, const char *what, ito_module *m, ito_tensor *x, int64_t epochs,
                  double max_norm, ito_tensor *(*loss)(ito_tensor *, ito_generator *, void *))
{
    return training_run(&(training){.what = what,
                                    .model = m,
                                    .x = x,
                                    .epochs = epochs,
                                    .batch = l->s->batch,
                                    .lr = l->s->lr,
                                    .max_norm = max_norm,
                                    .ema_decay = 0.999,
                                    .seed = (uint64_t)l->s->seed,
                                    .loss = loss,
                                    .context = l});
}

static ito_tensor *vae_loss(ito_tensor *images, ito_generator *g, void *context)
{
    return ito_neg(ito_mean(ito_vae_elbo(((latent *)context)->vae, pixels_of(images), g)));
}

static bool make_vae(latent *l, ito_tensor *images, const char *path)
{
    const settings *s = l->s;
    if (s->vae != NULL)
        return (l->vae = ito_vae_load(s->vae)) != NULL;
    ito_generator init = ito_generator_make((uint64_t)s->seed, 0);
    ito_vae_likelihood likelihood = ito_vae_gaussian;
    likelihood.sigma = s->sigma;
    l->vae = ito_vae_create(1, ito_size(images, 2), ito_size(images, 3), .latent = s->latent,
                            .spatial = true, .likelihood = &likelihood, .generator = &init);
    return l->vae != NULL &&
           train(l, "vae", &l->vae->base, images, s->vae_epochs, 1000, vae_loss) &&
           ito_vae_save(l->vae, path) == ITO_OK;
}

/* A draw of the code of each image. */
static bool encode(latent *l, ito_tensor *images)
{
    ito_generator g = ito_generator_make((uint64_t)l->s->seed, 2);
    const int64_t *code = l->vae->code.dim, n = ito_size(images, 0);
    ito_tensor *codes = ito_empty(ITO_SHAPE(n, code[0], code[1], code[2]), ITO_F32);
    for (int64_t i = 0; i < n && ito_error_code() == ITO_OK; i += BATCH) {
        ito_tensor *mean = NULL, *log_variance = NULL;
        ito_scope_begin();
        ito_tensor *x = pixels_of(ito_slice(images, 0, i, i + BATCH, 1));
        ito_vae_encode(l->vae, x, &mean, &log_variance);
        ito_copy_(ito_slice(codes, 0, i, i + BATCH, 1), ito_vae_draw(mean, log_variance, &g));
        ito_scope_end();
    }
    l->shift = ito_mean(codes, .dims = ITO_DIMS(0, 2, 3), .keepdim = true);
    l->scale = ito_sqrt(ito_var(codes, .dims = ITO_DIMS(0, 2, 3), .keepdim = true));
    l->codes = ito_div(ito_sub(codes, l->shift), l->scale);
    return ito_error_code() == ITO_OK;
}

/* Decoded codes as pixels in about [-1, 1]. */
static ito_tensor *decode(const latent *l, ito_tensor *codes)
{
    ito_tensor *z = ito_add(ito_mul(codes, l->scale), l->shift);
    ito_tensor *pixels = ito_vae_mean(l->vae, ito_vae_decode(l->vae, z));
    return ito_add_scalar(ito_mul_scalar(pixels, 2), -1);
}

/* A new network, or that of the file, which has to take the VAE's codes. */
static bool open_network(latent *l)
{
    const settings *s = l->s;
    const ito_shape code = l->vae->code;
    if (code.ndim != 3)
        return options_error("the codes of %s are rows; the U-Net takes images", s->vae);
    ito_unet_config config = {.levels = 1, .multipliers = {1}, .blocks = 1};
    config.in_channels = code.dim[0], config.channels = s->channels;
    config.height = code.dim[1], config.width = code.dim[2];
    ito_safetensors *file = s->network != NULL ? ito_safetensors_open(s->network) : NULL;
    int64_t first = file != NULL ? ito_safetensors_find(file, "conv_in.weight") : -1;
    ito_shape taken = first >= 0 ? ito_safetensors_shape(file, first) : ITO_SHAPE();
    bool good = s->network == NULL || file != NULL;
    if (taken.ndim == 4 && taken.dim[1] != code.dim[0])
        good = options_error("the VAE's codes have %" PRId64
                             " channels, the network of %s takes %" PRId64,
                             code.dim[0], s->network, taken.dim[1]);
    if (taken.ndim == 4)
        config.channels = taken.dim[0];
    ito_generator init = ito_generator_make((uint64_t)s->seed, 1);
    l->unet = good ? ito_unet_create(&config, &init) : NULL;
    good = l->unet != NULL && (!file || ito_module_load_file(&l->unet->base, file) == ITO_OK);
    ito_safetensors_close(file);
    l->diffusion =
        ito_diffusion_create(.schedule = &ito_schedule_cosine, .prediction = &ito_prediction_v);
    return good && l->diffusion != NULL;
}

static ito_tensor *diffusion_loss(ito_tensor *codes, ito_generator *g, void *context)
{
    const latent *l = context;
    ito_tensor *t = ito_randint(g, 0, STEPS, ITO_SHAPE(ito_size(codes, 0)), ITO_I64);
    ito_tensor *eps = ito_randn(g, ito_shape_of(codes), ITO_F32);
    return ito_diffusion_loss(l->diffusion, &l->unet->network, codes, t, eps);
}

static ito_tensor *sample(const latent *l)
{
    const settings *s = l->s;
    const int64_t *code = l->vae->code.dim, *image = l->vae->image.dim;
    ito_tensor *all = ito_empty(ITO_SHAPE(s->n, 1, image[1], image[2]), ITO_F32);
    for (int64_t i = 0; i < s->n && ito_error_code() == ITO_OK; i += BATCH) {
        int64_t n = s->n - i < BATCH ? s->n - i : BATCH;
        ito_scope_begin();
        ito_tensor *codes = ito_diffusion_sample(
            l->diffusion, &l->unet->network, ITO_SHAPE(n, code[0], code[1], code[2]),
            .sampler = ito_sampler_find(s->sampler), .steps = s->sampling_steps, .no_clip = true,
            .seed = (uint64_t)s->seed, .first_image = i);
        ito_copy_(ito_narrow(all, 0, i, n), decode(l, codes));
        ito_scope_end();
    }
    return ito_error_code() == ITO_OK ? all : NULL;
}

/* The distance of samples from test images, and that of decoded codes of training images: the least
 * that a diffusion of them can have. */
static bool judge(const latent *l, ito_tensor *tests, ito_tensor *samples, cJSON *root)
{
    ito_tensor *decoded = decode(l, ito_slice(l->codes, 0, 0, l->s->n, 1)), *features[3];
    ito_classifier *c = ito_classifier_fashion_mnist();
    if (ito_classifier_run(c, tests, &features[0], NULL) == ITO_OK &&
        ito_classifier_run(c, samples, &features[1], NULL) == ITO_OK &&
        ito_classifier_run(c, decoded, &features[2], NULL) == ITO_OK) {
        result_number(root, "frechet", ito_frechet_distance(features[0], features[1]));
        result_number(root, "frechet_of_codes", ito_frechet_distance(features[0], features[2]));
    }
    ito_module_free(c != NULL ? &c->base : NULL);
    return ito_error_code() == ITO_OK;
}

static bool make_all(latent *l, cJSON *root)
{
    const settings *s = l->s;
    char vae[4096], network[4096], picture[4096];
    snprintf(vae, sizeof vae, "%s/vae.safetensors", s->out);
    snprintf(network, sizeof network, "%s/network.safetensors", s->out);
    snprintf(picture, sizeof picture, "%s/samples.png", s->out);
    ito_tensor *images = idx_directory_images(s->data, false);
    ito_tensor *tests = images != NULL ? idx_directory_images(s->data, true) : NULL;
    if (tests == NULL || !path_make_directory(s->out, true) || !make_vae(l, images, vae) ||
        !open_network(l) || !encode(l, images))
        return false;
    if (s->network == NULL &&
        (!train(l, "diffusion", &l->unet->base, l->codes, s->epochs, 1, diffusion_loss) ||
         ito_module_save(&l->unet->base, network) != ITO_OK))
        return false;
    ito_tensor *samples = sample(l), *some = ito_slice(samples, 0, 0, 8 * COLUMNS, 1);
    return ito_png_save(picture, ito_image_grid(some, COLUMNS, 1)) == ITO_OK &&
           judge(l, tests, samples, root);
}

static bool run(const settings *s, cJSON *root)
{
    latent l = {.s = s};
    bool good = options_set_threads(s->threads) && make_all(&l, root);
    ito_diffusion_free(l.diffusion);
    ito_module_free(l.unet != NULL ? &l.unet->base : NULL);
    ito_module_free(l.vae != NULL ? &l.vae->base : NULL);
    return good;
}

int main(int argc, char **argv)
{
    settings s = {.data = NULL};
    double started = progress_clock();
    command_line line = {.command = "",
                         .doc = "Train a VAE and a diffusion of its codes; draw and judge samples.",
                         .options = rows,
                         .values = &s};
    options_parse(&line, argc, argv);
    cJSON *root = cJSON_CreateObject();
    ito_scope_begin();
    ito_no_grad_begin(); /* but in training */
    bool good = run(&s, root);
    ito_no_grad_end();
    ito_scope_end();
    if (good)
        return results_print(line.command, root, started, s.json);
    cJSON_Delete(root);
    return options_report(line.command);
}
