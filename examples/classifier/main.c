/* ito-classifier: train the network whose features compare images (models/classifier), and measure
 * its accuracy. `train` writes the weights in bf16, as they are shipped. */
#include "examples/classifier/augmentation.h"
#include "examples/common/completion.h"
#include "examples/common/idx_directory.h"
#include "examples/common/man_page.h"
#include "examples/common/messages.h"
#include "examples/common/options.h"
#include "examples/common/outputs.h"
#include "examples/common/program.h"
#include "examples/common/progress.h"
#include "examples/common/results.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { EVAL_BATCH = 200 };

typedef struct settings {
    const char *data, *out, *model;
    int64_t epochs, batch, shift, seed, threads;
    double lr, weight_decay, dropout;
    bool force, json;
} settings;

#define AT(field) offsetof(settings, field)

#define FILES_ROW                                                                                  \
    TEXT_ROW("data", data, "DIR", FASHION_MNIST, "Directory of IDX files as Fashion-MNIST's")

static const option_row train_rows[] = {
    FILES_ROW,
    TEXT_ROW("out", out, "FILE.safetensors", NULL, "Where the weights go, in bf16"),
    FORCE_ROW,
    INT_ROW("epochs", epochs, "N", 1, 1e4, "12", "How often each image is seen"),
    INT_ROW("batch", batch, "N", 1, 60000, "64", "Images a step"),
    REAL_ROW("lr", lr, "X", ABOVE_0, 1, "0.002", "Highest learning rate"),
    REAL_ROW("weight-decay", weight_decay, "X", 0, 10, "0.02", "AdamW's"),
    REAL_ROW("dropout", dropout, "P", 0, 0.99, "0.2", "Of the features"),
    INT_ROW("shift", shift, "N", 0, 14, "1", "Pixels by which images are moved at most"),
    SEED_ROW,
    THREADS_ROW,
    JSON_ROW,
    END_ROW,
};

static const option_row eval_rows[] = {
    FILES_ROW,
    TEXT_ROW("model", model, "FILE", NULL, "Weights (those that come with the library)"),
    THREADS_ROW,
    JSON_ROW,
    END_ROW,
};

/* ---- accuracy ---- */

static int64_t right_in(ito_classifier *c, const ito_batch *b)
{
    ito_tensor *logits = ito_classifier_logits(c, ito_classifier_features(c, b->x));
    ito_tensor *hits = ito_eq(ito_argmax(logits, .dim = 1), b->labels);
    hits = hits != NULL ? ito_sum(ito_cast(hits, ITO_F32)) : NULL;
    return hits != NULL ? (int64_t)ito_item(hits) : -1;
}

/* The share of test images that are classified correctly; NaN with an error recorded. */
static double accuracy(ito_classifier *c, const char *dir)
{
    ito_tensor *images = idx_directory_images(dir, true);
    ito_tensor *labels = images != NULL ? idx_directory_labels(dir, true, images) : NULL;
    if (labels == NULL)
        return (double)NAN;
    ito_dataset *data = ito_image_dataset_create(images, .labels = labels);
    ito_loader *loader =
        data != NULL ? ito_loader_create(data, EVAL_BATCH, 0, .sequential = true, .once = true)
                     : NULL;
    int64_t right = 0;
    ito_module_train(&c->base, false);
    ito_no_grad_begin();
    for (bool more = loader != NULL; more;) {
        ito_batch b = {.x = NULL};
        ito_scope_begin();
        int64_t n = ito_loader_next(loader, &b) != ITO_OK ? -1 : b.x == NULL ? 0 : right_in(c, &b);
        more = n >= 0 && b.x != NULL;
        right = n < 0 ? -1 : right + n;
        ito_scope_end();
    }
    ito_no_grad_end();
    int64_t size = data != NULL ? data->size : 1;
    ito_loader_free(loader);
    ito_dataset_free(data);
    return ito_error_code() == ITO_OK ? (double)right / (double)size : (double)NAN;
}

static int report(const settings *s, double share)
{
    if (isnan(share))
        return 1;
    if (s->json)
        printf("{\"accuracy\":%.4f}\n", share);
    else
        note("right on %.2f %% of the test images\n", 100.0 * share);
    return results_end(s->out != NULL ? "train" : "eval", true);
}

/* ---- training ---- */

static bool train_step(ito_classifier *c, ito_optimizer *opt, ito_loader *loader, double lr,
                       double *loss_value)
{
    ito_batch b;
    if (ito_loader_next(loader, &b) != ITO_OK)
        return false;
    ito_module_zero_grad(&c->base);
    ito_tensor *logits = ito_classifier_logits(c, ito_classifier_features(c, b.x));
    ito_tensor *loss = ito_cross_entropy(logits, b.labels);
    if (loss == NULL || ito_backward(loss) != ITO_OK)
        return false;
    *loss_value = ito_item(loss);
    return isfinite(ito_clip_grad_norm(&c->base, 1.0)) && ito_optimizer_step(opt, lr) == ITO_OK;
}

static bool train_all(const settings *s, ito_classifier *c, ito_optimizer *opt, ito_loader *loader,
                      int64_t size)
{
    int64_t steps = s->epochs * size / s->batch;
    progress bar = {.quiet = false};
    progress_begin(&bar, "step", "images", 0, steps);
    bool good = true;
    for (int64_t step = 0; good && step < steps; step++) {
        double lr = s->lr * ito_lr_warmup(step, 200) * ito_lr_cosine(step, steps, 0.0), loss = 0;
        ito_module_seed(&c->base, (uint64_t)s->seed, (uint64_t)step);
        ito_scope_begin();
        good = train_step(c, opt, loader, lr, &loss);
        ito_scope_end();
        progress_step(&bar, step + 1, s->batch, loss);
    }
    progress_end(&bar);
    return good;
}

/* The augmented training set; NULL with an error recorded. */
static ito_dataset *training_set(const settings *s)
{
    ito_tensor *images = idx_directory_images(s->data, false);
    ito_tensor *labels = images != NULL ? idx_directory_labels(s->data, false, images) : NULL;
    return labels != NULL ? augmented_create(images, labels, s->shift) : NULL;
}

static int train(const settings *s)
{
    if (!output_can_write((output){"out", s->out, FILE_SAFETENSORS}, s->force))
        return 1;
    ito_generator g = ito_generator_make((uint64_t)s->seed, 1);
    ito_classifier *c =
        ito_classifier_create(1, IDX_CLASSES, .generator = &g, .dropout = s->dropout);
    ito_optimizer *opt =
        c != NULL ? ito_adamw_create(&c->base, .weight_decay = s->weight_decay) : NULL;
    ito_dataset *images = opt != NULL ? training_set(s) : NULL;
    ito_loader *loader = images != NULL
                             ? ito_loader_create(images, s->batch, (uint64_t)s->seed, .prefetch = 2)
                             : NULL;
    bool good = loader != NULL && train_all(s, c, opt, loader, images->size) &&
                ito_module_save(&c->base, s->out, .bf16 = true) == ITO_OK &&
                ito_module_load(&c->base, s->out) == ITO_OK;
    int code = good ? report(s, accuracy(c, s->data)) : 1;
    ito_loader_free(loader);
    ito_dataset_free(images);
    ito_optimizer_free(opt);
    if (c != NULL)
        ito_module_free(&c->base);
    return code;
}

/* ---- the program ---- */

static int eval(const settings *s)
{
    ito_classifier *c =
        s->model != NULL ? ito_classifier_create(1, IDX_CLASSES) : ito_classifier_fashion_mnist();
    bool good = c != NULL && (s->model == NULL || ito_module_load(&c->base, s->model) == ITO_OK);
    int code = good ? report(s, accuracy(c, s->data)) : 1;
    if (c != NULL)
        ito_module_free(&c->base);
    return code;
}

static const char train_doc[] = "Train a classifier of Fashion-MNIST, on all its training images; "
                                "then judge it by its test images.";
static const char eval_doc[] = "Say how often a classifier is right on test images.";

static int run(int argc, char **argv)
{
    bool training = strcmp(argv[0], "train") == 0;
    settings s = {.data = NULL};
    command_line line = {.command = training ? "train" : "eval",
                         .doc = training ? train_doc : eval_doc,
                         .options = training ? train_rows : eval_rows,
                         .values = &s};
    options_parse(&line, argc, argv);
    if (training)
        options_require(&line, "out", "where the weights go");
    ito_scope_begin();
    int code = !options_set_threads(s.threads) ? 1 : training ? train(&s) : eval(&s);
    ito_scope_end();
    return code != 0 && ito_error_code() != ITO_OK ? options_report(line.command) : code;
}

int main(int argc, char **argv)
{
    static const program_command commands[] = {
        {"train", run, "train a classifier, and judge it"},
        {"eval", run, "say how often one is right"},
        {"complete", completion_print, NULL}, /* for the shells */
        {"man", man_page_command, NULL},      /* for the build */
        {NULL, NULL, NULL},
    };
    static const program classifier = {.doc = "The classifier that evaluation uses.",
                                       .commands = commands};
    return program_run(&classifier, argc, argv);
}
