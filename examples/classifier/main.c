/* ito-classifier: train the network whose features compare images (models/classifier), and say how
 * often it is right. `train` writes its weights as bf16, as they are shipped. */
#include "autograd/ops.h"
#include "examples/classifier/data.h"
#include "examples/common/options.h"
#include "examples/common/progress.h"
#include "examples/ddpm/run_directory.h"
#include "models/classifier/classifier.h"
#include "nn/optim.h"
#include "nn/schedule.h"
#include "tensor/io/safetensors.h"
#include "tensor/runtime.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLASSES 10
#define EVAL_BATCH 200

typedef struct settings {
    const char *data, *out, *model;
    int64_t epochs, batch, shift, seed, threads;
    double lr, weight_decay, dropout;
    bool json;
} settings;

#define AT(field) offsetof(settings, field)

#define DATA                                                                                       \
    {                                                                                              \
        OPTION_TEXT, "data", AT(data), "DIR", "IDX files as Fashion-MNIST's (Debian's package)",   \
            0, 0, false                                                                            \
    }
#define MACHINE                                                                                    \
    {OPTION_INT, "threads", AT(threads), "N", "Threads (all processors)", 1, 1024, false},         \
        {OPTION_FLAG, "json", AT(json), NULL, "Print one JSON object on stdout at the end",        \
         0,           0,      false},                                                              \
    {                                                                                              \
        OPTION_END, NULL, 0, NULL, NULL, 0, 0, false                                               \
    }

static const option_row train_rows[] = {
    DATA,
    {OPTION_TEXT, "out", AT(out), "FILE", "Where the weights go (safetensors, bf16)", 0, 0, false},
    {OPTION_INT, "epochs", AT(epochs), "N", "How often each image is seen (12)", 1, 1e4, false},
    {OPTION_INT, "batch", AT(batch), "N", "Images a step (64)", 1, 60000, false},
    {OPTION_REAL, "lr", AT(lr), "X", "Highest learning rate (0.002)", ABOVE_0, 1, false},
    {OPTION_REAL, "weight-decay", AT(weight_decay), "X", "AdamW's (0.02)", 0, 10, false},
    {OPTION_REAL, "dropout", AT(dropout), "P", "Of the features (0.2)", 0, 0.99, false},
    {OPTION_INT, "shift", AT(shift), "N", "Pixels by which images are moved at most (1)", 0, 14,
     false},
    {OPTION_INT, "seed", AT(seed), "S", "Decides all random numbers (0)", 0, LARGEST_INT, false},
    MACHINE,
};

static const option_row eval_rows[] = {
    DATA,
    {OPTION_TEXT, "model", AT(model), "FILE", "Weights (those that come with the library)", 0, 0,
     false},
    MACHINE,
};

/* ---- how often it is right ---- */

static int64_t right_in(ito_classifier *c, const ito_batch *b)
{
    ito_tensor *logits = ito_classifier_logits(c, ito_classifier_features(c, b->x));
    ito_tensor *hits = ito_eq(ito_argmax(logits, 1), b->labels);
    hits = hits != NULL ? ito_sum(ito_cast(hits, ITO_F32)) : NULL;
    return hits != NULL ? (int64_t)ito_item(hits) : -1;
}

/* The share of test images whose class is found; NaN with an error recorded. */
static double accuracy(ito_classifier *c, const char *dir)
{
    labelled test;
    if (!labelled_load(dir, "t10k", &test))
        return (double)NAN;
    ito_dataset *data = ito_image_dataset_create(test.images, .labels = test.labels);
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
        fprintf(stderr, "right on %.2f %% of the test images\n", 100.0 * share);
    return fflush(stdout) == 0 ? 0 : 1;
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
        double lr = s->lr * ito_schedule_warmup(step, 200) * ito_schedule_cosine(step, steps, 0.0),
               loss = 0;
        ito_module_seed(&c->base, (uint64_t)s->seed, (uint64_t)step);
        ito_scope_begin();
        good = train_step(c, opt, loader, lr, &loss);
        ito_scope_end();
        progress_step(&bar, step + 1, s->batch, loss);
    }
    progress_end(&bar);
    return good;
}

static int train(const settings *s)
{
    labelled data;
    if (!path_can_write(s->out))
        return 1;
    ito_generator g = ito_generator_make((uint64_t)s->seed, 1);
    ito_classifier *c = ito_classifier_create(1, CLASSES, .generator = &g, .dropout = s->dropout);
    ito_optimizer *opt =
        c != NULL ? ito_adamw_create(&c->base, .weight_decay = s->weight_decay) : NULL;
    ito_dataset *images = opt != NULL && labelled_load(s->data, "train", &data)
                              ? augmented_create(data, s->shift)
                              : NULL;
    ito_loader *loader = images != NULL
                             ? ito_loader_create(images, s->batch, (uint64_t)s->seed, .prefetch = 2)
                             : NULL;
    bool good = loader != NULL && train_all(s, c, opt, loader, images->size) &&
                ito_module_save(&c->base, s->out, .bf16 = true) == ITO_OK &&
                ito_module_load(&c->base, s->out, .partial = false) == ITO_OK;
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
        s->model != NULL ? ito_classifier_create(1, CLASSES) : ito_classifier_fashion_mnist();
    bool good = c != NULL && (s->model == NULL ||
                              ito_module_load(&c->base, s->model, .partial = false) == ITO_OK);
    int code = good ? report(s, accuracy(c, s->data)) : 1;
    if (c != NULL)
        ito_module_free(&c->base);
    return code;
}

int main(int argc, char **argv)
{
    bool training = argc > 1 && strcmp(argv[1], "train") == 0;
    if (!training && (argc < 2 || strcmp(argv[1], "eval") != 0)) {
        fprintf(stderr, "Usage: ito-classifier train|eval [OPTION...] (--help after either)\n");
        return EXIT_USAGE;
    }
    settings s = {.data = FASHION_MNIST,
                  .epochs = 12,
                  .batch = 64,
                  .shift = 1,
                  .lr = 2e-3,
                  .weight_decay = 0.02,
                  .dropout = 0.2};
    command_line line = {.command = training ? "train" : "eval",
                         .doc = training ? "Train a classifier of Fashion-MNIST, on all its "
                                           "training images; then judge it by its test images."
                                         : "Say how often a classifier is right on test images.",
                         .options = training ? train_rows : eval_rows,
                         .values = &s};
    options_parse(&line, argc - 1, argv + 1);
    if (training && s.out == NULL)
        options_refuse(&line, "--out is missing: where the weights go");
    ito_scope_begin();
    int code = s.threads != 0 && ito_set_threads((int)s.threads) != ITO_OK ? 1
               : training                                                  ? train(&s)
                                                                           : eval(&s);
    ito_scope_end();
    return code != 0 && ito_error_code() != ITO_OK ? options_report(line.command) : code;
}
