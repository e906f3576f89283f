/* What the commands that use a trained network have in common: the network, ready to be asked, its
 * class, its number of steps; images in batches, and the check that they can be written. */
#ifndef ITO_DDPM_GENERATE_H
#define ITO_DDPM_GENERATE_H

#include "examples/common/options.h"
#include "examples/common/progress.h"
#include "examples/ddpm/data.h"
#include "examples/ddpm/model_files.h"
#include "models/ddpm/condition.h"

// clang-format off
/* Rows of a command's options. */
#define MODEL_ROW                                                                                  \
    {OPTION_TEXT, "model", AT(model), "RUN|FILE",                                                  \
     "A run (its newest checkpoint), a checkpoint step-N, a file of weights in one, a file that "  \
     "export wrote, or " BUILT_IN ", the network that comes with ito-ddpm", 0, 0, false}
#define CLASS_ROW                                                                                  \
    {OPTION_TEXT, "class", AT(class), "NAME|K|all|none",                                           \
     "Of this class, of each in turn, or of none, if the network was trained with --conditional",  \
     0, 0, false}
#define GUIDANCE_ROW                                                                               \
    {OPTION_REAL, "guidance", AT(guidance), "W",                                                   \
     "class: how much of it; 1 as trained, 2 or 3 clearer and less varied, 0 none of it (1)",      \
     0, 1000, false}
#define WEIGHTS_ROW                                                                                \
    {OPTION_CHOICE, "weights", AT(weights), "ema|model",                                           \
     "Averaged weights or plain ones (ema)", 0, 0, false}
#define PRECISION_ROW                                                                              \
    {OPTION_CHOICE, "precision", AT(precision), PRECISIONS,                                        \
     "Activations of the network, whatever it was trained in (f32)", 0, 0, false}
#define SEED_ROW                                                                                   \
    {OPTION_INT, "seed", AT(seed), "S", "Decides all random numbers (0)", 0, LARGEST_INT, false}
#define THREADS_ROW                                                                                \
    {OPTION_INT, "threads", AT(threads), "N",                                                      \
     "Threads; results do not depend on it (all processors)", 1, 1024, false}
#define JSON_ROW                                                                                   \
    {OPTION_FLAG, "json", AT(json), NULL,                                                          \
     "Print one JSON object on stdout at the end", 0, 0, false}
#define END_ROW {OPTION_END, NULL, 0, NULL, NULL, 0, 0, false}
#define BATCH_ROW                                                                                  \
    {OPTION_INT, "batch", AT(batch), "N",                                                          \
     "Images made at once; changes none of them (16)", 1, 1e6, false}
// clang-format on

typedef struct trained_options {
    const char *command; /* for messages */
    const char *model, *weights, *precision;
    const char *variance; /* NULL: as trained */
    const char *class;    /* NULL: none */
    double guidance;
    const char *usual_class; /* in place of NULL, if the network has classes */
} trained_options;

typedef struct trained {
    model_files files;
    ito_unet *unet;
    ito_diffusion *diffusion;
    int64_t class; /* of all images, or one of these */
    double guidance;
    ito_tensor *labels; /* [M] i64: those of the images that have each class in turn; NULL: 0, 1, ..
                           classes - 1, and again; borrowed */
} trained;

enum { CLASS_IN_TURN = -1, CLASS_NONE = -2 };

/* End the program if --guidance was given without a --class. */
void refuse_lone_guidance(const command_line *c, const char *class);
/* End the program if an option was given that the sampler, one of SAMPLERS, does not look at. */
void refuse_idle_options(const command_line *c, const char *sampler);
/* Load the network, for what was chosen. False with an error recorded; closed in either case. */
bool trained_open(trained *t, trained_options o);
void trained_close(trained *t);
/* The class as an option would give it, once more. False with an error recorded. */
bool trained_set_class(trained *t, const char *word, double guidance);
/* "all", "none", or the name of the class of all images; NULL for a network without classes. */
const char *trained_class(const trained *t);
/* Images to compare the network's own with; and, where each class is wanted in turn and the data
 * have classes, *labels [M] i64, else NULL. NULL with an error recorded, also if the classes are
 * not the network's. */
ito_tensor *trained_data(const trained *t, data_options o, ito_tensor **labels);
/* *steps as wanted, or, for 0, the usual number or all there are. False with an error recorded if
 * the diffusion has not so many. */
bool trained_steps(const trained *t, int64_t usual, int64_t *steps);
/* The context of ito_ddpm_conditioned_network for images first .. first + n - 1. */
ito_ddpm_conditioned trained_network(const trained *t, int64_t first, int64_t n);

/* A long job on images, in batches, each in a scope of its own, so that memory does not grow with
 * the images; with one line of progress for all of it. */
typedef struct batches {
    const char *what; /* a step is, on that line: "sampling step" */
    int64_t n, size;  /* images, and at most so many in a batch */
    int64_t walks;    /* through all steps that a batch takes; 0: one */
    bool (*run)(int64_t first, int64_t n, void *context);
    void *context;
    progress progress;
    int64_t batch, done; /* images of the batch under way; steps taken by all */
} batches;

/* False with an error recorded, by what failed. */
bool batches_run(batches *b);
/* To be called behind every step of a walk of `steps` of them. */
void batches_step(batches *b, int64_t steps);
/* The same as an ito_ddpm_progress; the context is the batches. */
bool batches_progress(int64_t done, int64_t steps, ito_tensor *x, void *context);

/* Put images [N, ...], made by these weights and numbered from `first`, in their place in `all`,
 * from `at`. False with an error recorded if they are NULL or not finite: such are never written.
 */
bool images_put(ito_tensor *all, int64_t at, ito_tensor *images, const char *weights,
                int64_t first);
/* Say on stderr where so many of them went, if anywhere: one, or several. */
void say_where(int64_t n, const char *one, const char *several, const char *path);

#endif
