/* ito-ddpm eval --bits-per-dim: the bound of a model on real images. */
#ifndef ITO_DDPM_COMMANDS_EVAL_BITS_PER_DIM_H
#define ITO_DDPM_COMMANDS_EVAL_BITS_PER_DIM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct bits_options {
    const char *model, *data, *range, *weights, *precision;
    const char *variance;        /* NULL: the run's */
    const char *class;           /* NULL: each image's own */
    const char *rate_distortion; /* FILE.csv, with FILE.svg beside it; or NULL */
    int64_t n; /* the number of images, from the first; UNSET_INT: the usual number, or all */
    int64_t monte_carlo; /* steps drawn for each image; UNSET_INT: all */
    int64_t seed, batch;
    bool test;     /* the data's test set */
    bool skip_bad; /* leave out images of a folder that cannot be read */
    bool no_clip, json;
} bits_options;

/* Compute the bound, print it and write the files; the program's exit code. */
int bits_run(const bits_options *o);

#endif
