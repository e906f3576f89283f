/* A trained network ready to be evaluated, as most commands use one: with its diffusion, the class
 * of its images, and guidance towards that class. */
#ifndef ITO_DDPM_INFERENCE_H
#define ITO_DDPM_INFERENCE_H

#include "examples/common/options.h"
#include "examples/ddpm/data.h"
#include "examples/ddpm/guidance.h"
#include "examples/ddpm/model_files.h"

#include <ito/ito.h>

/* Rows of a command's options. */
#define MODEL_ROW                                                                                  \
    TEXT_ROW("model", model, "RUN|FILE|DIR", NULL,                                                 \
             "A run (its newest checkpoint), a checkpoint step-N, a file of weights in one, a "    \
             "file that export wrote, a directory of diffusers, or " BUILT_IN                      \
             ", the network that comes with ito-ddpm")
#define CLASS_ROW                                                                                  \
    TEXT_ROW("class", class, "NAME|K|all|none", NULL,                                              \
             "Of this class, of each in turn, or of none, if the network was trained with "        \
             "--conditional; name:all is a class of the name all")
#define WEIGHTS_ROW                                                                                \
    WORDS_ROW("weights", weights, "ema|model", "ema", "Averaged weights or plain ones", RARE)
#define PRECISION_ROW                                                                              \
    WORDS_ROW("precision", precision, PRECISIONS, "f32",                                           \
              "Activations of the network, whatever it was trained in")
#define BATCH_ROW                                                                                  \
    INT_ROW("batch", batch, "N", 1, 1e6, "16", "Images made at once; changes none of them")
/* The variance of reverse steps, of those that are not learned. */
#define VARIANCE_ROW(text)                                                                         \
    {                                                                                              \
        .type = OPTION_CHOICE, .name = "variance", .offset = AT(variance),                         \
        .choices = {.kind = "variance", .list = ito_choices, .accepts = variance_is_fixed},        \
        .help = text, RARE                                                                         \
    }
bool variance_is_fixed(const ito_choice *choice);

typedef struct inference_options {
    const char *command; /* for messages */
    const char *model, *weights, *precision;
    const char *variance;             /* NULL: as trained */
    const char *class;                /* NULL: none */
    const guidance_options *guidance; /* NULL: none; borrowed */
    const char *usual_class;          /* in place of NULL, if the network has classes */
} inference_options;

typedef struct inference {
    ito_ddpm *model;
    ito_diffusion *diffusion; /* the model's */
    cJSON *class_names;       /* the same as the model's; NULL without classes */
    ito_ddpm *guide;          /* of autoguidance; NULL: none */
    int64_t class;            /* of all images, or one of these */
    ito_tensor *labels; /* [M] i64: those of the images that have each class in turn; NULL: 0, 1, ..
                           classes - 1, and again; borrowed */
} inference;

enum { CLASS_IN_TURN = -1, CLASS_NONE = -2 };

/* Load the network for these options. False with an error recorded; closed in either case. */
bool inference_open(inference *net, inference_options o);
void inference_close(inference *net);
/* Change the class, given as by the option, for this guidance or none. False with an error
 * recorded. */
bool inference_set_class(inference *net, const char *word, const guidance_options *guidance);
/* "all", "none", or the name of the class of all images; NULL for a network without classes. */
const char *inference_class(const inference *net);
/* Add the class, and its number if it is one, to the results of a command. */
void inference_put_class(const inference *net, cJSON *root);
/* Images to compare the network's own with; and, if each class is requested in turn and the data
 * have classes, *labels [M] i64, else NULL. NULL with an error recorded, also if the classes are
 * not the network's. */
ito_tensor *inference_data(const inference *net, data_options o, ito_tensor **labels);
/* Set *steps, if unset, to the usual number or all there are. False with an error recorded if the
 * diffusion has fewer. */
bool inference_steps(const inference *net, int64_t usual, int64_t *steps);
/* Images [N, ...] f32 of the network's size, not filled in, of the current scope. */
ito_tensor *inference_images(const inference *net, int64_t n);
/* [n] i64 i mod classes for images first .. first + n - 1. */
ito_tensor *classes_in_turn(int64_t first, int64_t n, int64_t classes);
/* The network for images first .. first + n - 1, with their labels; NULL with an error recorded. */
ito_network *inference_network(inference *net, int64_t first, int64_t n);
/* The same with labels [n] i64, or none. */
ito_network *inference_network_labelled(inference *net, ito_tensor *labels);
/* Copy generated images [N, ...], numbered from `first`, into `all` at `at`. False with an error
 * recorded if they are NULL or not finite, since such images are never written. */
bool inference_put(const inference *net, ito_tensor *all, int64_t at, ito_tensor *images,
                   int64_t first);

#endif
