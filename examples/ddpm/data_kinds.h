/* The kinds of data that --data names: one descriptor each. A new kind is a row here, with the
 * function that loads it. */
#ifndef ITO_DDPM_DATA_KINDS_H
#define ITO_DDPM_DATA_KINDS_H

#include "examples/ddpm/data.h"

/* What is loaded. */
typedef struct data_set {
    ito_tensor *images; /* u8, or f32 in [-1, 1], [N, C, H, W], of the current scope */
    ito_tensor *labels; /* u8 or i64 [N]; NULL unless requested */
    cJSON *class_names; /* an array of texts; NULL unless requested */
} data_set;

typedef struct data_kind data_kind;
struct data_kind {
    ito_choice choice;              /* its head; the name is that of --data: "mnist:DIR" */
    const char *place;              /* of a kind that has a place of its own; else NULL */
    const char *const *class_names; /* [IDX_CLASSES]; NULL: the data have their own, or none */
    bool has_classes;
    bool (*place_has_classes)(const char *place); /* of a kind that may have them; else NULL */
    bool has_test;                                /* there is a test set beside the training set */
    bool resizes;                                 /* --size and --grey change its images */
    bool ranges;                                  /* --range says what its numbers stand for */
    bool (*place_mirrors)(const char *place);     /* of a kind that differs in this; else NULL */
    bool mirrors; /* a mirrored image is as good as the original: not so for digits */
    /* Load it from its place, with labels and class_names if `classes`; false with an error
     * recorded. */
    bool (*load)(const data_kind *kind, const char *place, const data_options *o, bool classes,
                 data_set *out);
};

#endif
