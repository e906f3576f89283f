/* ito-vae: auto-encoding variational Bayes on images of clothes. Trains a VAE in minutes, prints
 * the ELBO and the importance weighted bound of test images, and draws reconstructions, samples of
 * the prior and a walk through the codes. */
#include "examples/common/idx_directory.h"
#include "examples/common/messages.h"
#include "examples/common/options.h"
#include "examples/common/paths.h"
#include "examples/common/progress.h"
#include "examples/common/results.h"
#include "examples/common/training.h"

#include <ito/ito.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 16, EVAL_BATCH = 100, WALK = 9 };

typedef struct settings {
    const char *data, *out, *pixels;
    int64_t latent, width, epochs, batch, k, bound_images, seed, threads;
    double lr, beta;
    bool json;
} settings;

#define AT(field) offsetof(settings, field)

static const option_row rows[] = {
    GROUP_ROW("What is learned"),
    TEXT_ROW("data", data, "DIR", FASHION_MNIST, "Directory of IDX files as Fashion-MNIST's"),
    WORDS_ROW("pixels", pixels, "binary|grey", "binary",
              "Drawn anew with the grey value as probability, or the grey value"),
    INT_ROW("latent", latent, "N", 1, 8192, "20", "Numbers in a code"),
    INT_ROW("width", width, "N", 1, 1024, "32", "Channels of the networks at half the size"),
    GROUP_ROW("How"),
    INT_ROW("epochs", epochs, "N", 1, 1e4, "5", "How often each image is seen"),
    INT_ROW("batch", batch, "N", 1, 60000, "128", "Images a step"),
    REAL_ROW("lr", lr, "X", ABOVE_0, 1, "0.002", "Learning rate, falling to 0 along a cosine"),
    REAL_ROW("beta", beta, "X", 0, 1000, "1", "Weight of the KL divergence in training"),
    GROUP_ROW("What is told"),
    INT_ROW("k", k, "N", 1, 1e6, "100", "Draws of the importance weighted bound"),
    INT_ROW("bound-images", bound_images, "N", 1, 1e6, "1000", "Test images it is measured on"),
    TEXT_ROW("out", out, "DIR", "vae", "Where vae.safetensors and the pictures go"),
    SEED_ROW,
    THREADS_ROW,
    JSON_ROW,
    END_ROW,
};

/* ---- pixels ---- */

/* u8 in [0, 1], and made 0 or 1 at random unless they stay grey. */
static ito_tensor *pixels_of(const settings *s, ito_tensor *images, ito_generator *g)
{
    ito_tensor *grey = ito_mul_scalar(ito_cast(images, ITO_F32), 1 / 255.0);
    return strcmp(s->pixels, "binary") == 0 ? ito_bernoulli_of(grey, g) : grey;
}

static bool save_grid(const settings *s, const char *name, ito_tensor *pixels, int64_t columns)
{
    char *path = path_join(s->out, name);
    ito_tensor *both_sides = ito_add_scalar(ito_mul_scalar(pixels, 2), -1); /* [-1, 1] */
    ito_tensor *picture = ito_image_grid(both_sides, columns, 1);
    bool good = picture != NULL && path != NULL && ito_png_save(path, picture) == ITO_OK;
    if (good)
        note("%s\n", path);
    free(path);
    return good;
}

/* ---- training ---- */

typedef struct model {
    const settings *s;
    ito_vae *vae;
} model;

static ito_tensor *loss_of(ito_tensor *images, ito_generator *g, void *context)
{
    const model *m = context;
    ito_tensor *x = pixels_of(m->s, images, g);
    return ito_neg(ito_mean(ito_vae_elbo(m->vae, x, g, .beta = m->s->beta)));
}

static bool train(const settings *s, ito_vae *vae, ito_tensor *images)
{
    model m = {.s = s, .vae = vae};
    return training_run(&(training){.what = "step",
                                    .model = &vae->base,
                                    .x = images,
                                    .epochs = s->epochs,
                                    .batch = s->batch,
                                    .lr = s->lr,
                                    .max_norm = 200,
                                    .seed = (uint64_t)s->seed,
                                    .loss = loss_of,
                                    .context = &m});
}

/* ---- figures ---- */

/* The mean over images x of a bound in nats: the ELBO if k is 0. NaN after an error. */
static double mean_bound(const settings *s, ito_vae *vae, ito_tensor *x, int64_t k)
{
    int64_t n = ito_size(x, 0);
    double sum = 0;
    ito_generator g = ito_generator_make((uint64_t)s->seed, 2);
    for (int64_t i = 0; i < n; i += EVAL_BATCH) {
        ito_scope_begin();
        ito_tensor *some = ito_slice(x, 0, i, i + EVAL_BATCH, 1);
        ito_tensor *nats = k == 0 ? ito_vae_elbo(vae, some, &g) : ito_vae_bound(vae, some, k, &g);
        sum = nats != NULL ? sum + ito_item(ito_sum(nats)) : (double)NAN;
        ito_scope_end();
    }
    return sum / (double)n;
}

static int report(const settings *s, ito_vae *vae, ito_tensor *x, double started)
{
    int64_t n = ito_size(x, 0) < s->bound_images ? ito_size(x, 0) : s->bound_images;
    ito_tensor *first = ito_narrow(x, 0, 0, n);
    cJSON *root = cJSON_CreateObject();
    result_number(root, "elbo", mean_bound(s, vae, x, 0));
    result_number(root, "elbo_of_first", mean_bound(s, vae, first, 0));
    result_number(root, "bound_of_first", mean_bound(s, vae, first, s->k));
    result_number(root, "images", (double)ito_size(x, 0));
    result_number(root, "first", (double)n);
    if (ito_error_code() == ITO_OK)
        return results_print("", root, started, s->json);
    cJSON_Delete(root);
    return 1;
}

/* ---- pictures ---- */

/* The means of the codes of images x. */
static ito_tensor *codes(ito_vae *vae, ito_tensor *x)
{
    ito_tensor *mean = NULL, *log_variance = NULL;
    return ito_vae_encode(vae, x, &mean, &log_variance) == ITO_OK ? mean : NULL;
}

/* Codes between those of four images, the corners of a square. */
static ito_tensor *walk(ito_tensor *corners)
{
    ito_tensor *weights = ito_empty(ITO_SHAPE(WALK * WALK, 4), ITO_F32);
    for (int64_t i = 0; weights != NULL && i < WALK * WALK; i++) {
        double u = (double)(i % WALK) / (WALK - 1), v = (double)(i / WALK) / (WALK - 1);
        float *w = (float *)ito_data(weights) + 4 * i;
        w[0] = (float)((1 - u) * (1 - v));
        w[1] = (float)(u * (1 - v));
        w[2] = (float)((1 - u) * v);
        w[3] = (float)(u * v);
    }
    return ito_matmul(weights, corners);
}

/* images: u8; x: their pixels as the model sees them. */
static bool draw(const settings *s, ito_vae *vae, ito_tensor *images, ito_tensor *x)
{
    static const int64_t at[] = {0, 1, 2, 13}; /* a boot, a pullover, trousers, a dress */
    ito_generator g = ito_generator_make((uint64_t)s->seed, 3);
    ito_tensor *grey =
        ito_mul_scalar(ito_cast(ito_narrow(images, 0, 0, COLUMNS), ITO_F32), 1 / 255.0);
    ito_tensor *seen = ito_narrow(x, 0, 0, COLUMNS), *code = codes(vae, seen);
    ito_tensor *corners = ito_index_select(code, 0, ito_from_data(at, ITO_SHAPE(4), ITO_I64));
    ito_tensor *z = ito_randn(&g, ITO_SHAPE(8 * COLUMNS, s->latent), ITO_F32);
    ito_tensor *again = ito_vae_mean(vae, ito_vae_decode(vae, code));
    return save_grid(s, "reconstructions.png", ito_cat(ITO_TENSORS(grey, seen, again), 0),
                     COLUMNS) &&
           save_grid(s, "samples.png", ito_vae_mean(vae, ito_vae_decode(vae, z)), COLUMNS) &&
           save_grid(s, "walk.png", ito_vae_mean(vae, ito_vae_decode(vae, walk(corners))), WALK);
}

/* ---- the program ---- */

static int run(const settings *s)
{
    double started = progress_clock();
    char *path = path_make_directory(s->out, true) ? path_join(s->out, "vae.safetensors") : NULL;
    ito_tensor *images = path != NULL ? idx_directory_images(s->data, false) : NULL;
    ito_tensor *tests = images != NULL ? idx_directory_images(s->data, true) : NULL;
    ito_generator init = ito_generator_make((uint64_t)s->seed, 0);
    ito_vae *vae = tests != NULL
                       ? ito_vae_create(1, ito_size(images, 2), ito_size(images, 3),
                                        .latent = s->latent, .width = s->width, .generator = &init)
                       : NULL;
    int code = 1;
    if (vae != NULL && train(s, vae, images) && ito_vae_save(vae, path) == ITO_OK) {
        ito_generator g = ito_generator_make((uint64_t)s->seed, 1);
        ito_tensor *x = pixels_of(s, tests, &g); /* binary once and for all */
        code = draw(s, vae, tests, x) ? report(s, vae, x, started) : 1;
    }
    if (vae != NULL)
        ito_module_free(&vae->base);
    free(path);
    return code;
}

int main(int argc, char **argv)
{
    settings s = {.data = NULL};
    command_line line = {.command = "",
                         .doc = "Train a variational auto-encoder, tell the bounds of test images "
                                "in nats, and draw reconstructions, samples and a walk.",
                         .options = rows,
                         .values = &s};
    options_parse(&line, argc, argv);
    ito_scope_begin();
    ito_no_grad_begin(); /* but in training */
    int code = options_set_threads(s.threads) ? run(&s) : 1;
    ito_no_grad_end();
    ito_scope_end();
    return code != 0 && ito_error_code() != ITO_OK ? options_report(line.command) : code;
}
