/* The training images of a run, or its test images, by their name on the command line: a kind of
 * data, and a place if the kind needs one. */
#ifndef ITO_DDPM_DATA_H
#define ITO_DDPM_DATA_H

#include "examples/common/options.h"

#include <cjson/cJSON.h>
#include <ito/ito.h>

/* All kinds, heads of data_kind; closed by NULL. */
extern const ito_choice *const data_kinds[];

/* An option --data of a command. */
#define DATA_ROW(text) LIST_ROW("data", data, "SPEC", data_kinds, NULL, text)
/* Beside it. */
#define SKIP_BAD_ROW                                                                               \
    FLAG_ROW("skip-bad", skip_bad,                                                                 \
             "folder: leave out images that cannot be read, each with a word, and go on")

typedef struct data_options {
    const char *spec;  /* "fashion-mnist", "mnist:DIR": one of data_kinds */
    int64_t size;      /* for kinds that are resized: side of the squares that images are cut to */
    bool grey;         /* for these kinds too: convert to grey */
    const char *range; /* for npy: "LOW,HIGH", the numbers of black and white; NULL: by the dtype */
    bool test;         /* the test set, for kinds that have one; else the training set */
    bool skip_bad;     /* for folders: leave out images that cannot be read */
} data_options;

/* Whether images of this kind are changed by --size and --grey. */
bool data_resizes(const char *spec);
/* End the program if the command line has --skip-bad, and its data, NULL for none, are not of files
 * that can be skipped. */
void data_check_skip_bad(const command_line *c, const char *spec);
/* Whether a mirrored image of this kind is as good as the original: not so for digits. */
bool data_mirrors(const char *spec);
/* Whether images of this kind have classes. */
bool data_has_classes(const char *spec);
/* Whether the data is so large that reading it takes noticeable time. */
bool data_is_large(const char *spec);
/* The place of "folder:DIR", "npy:FILE", ...: the part behind the colon; NULL for other texts. */
const char *data_place(const char *text);
/* The names of the classes of a kind whose data all have the same, an array of texts for the caller
 * to delete; NULL for others. */
cJSON *data_class_names(const char *spec);
/* The same name with its place as an absolute path, freed with free(). NULL with an error recorded.
 */
char *data_absolute(const char *spec);
/* Whether both name the same place, maybe by different paths. */
bool data_same_place(const char *a, const char *b);
/* u8, or f32 in [-1, 1], [N, C, H, W], of the current scope; NULL with an error recorded. */
ito_tensor *data_load(data_options options);
/* The same with each image's class, u8 or i64 [N], of the current scope, and the classes' names, an
 * array of texts, for the caller to delete. NULL and an error also for data without classes. */
ito_tensor *data_load_classes(data_options options, ito_tensor **labels, cJSON **names);

#endif
