/* The parts of ito-ddpm eval: how it says what it found, and --bits-per-dim, the bound of a model
 * on real images.
 */
#ifndef ITO_DDPM_EVAL_H
#define ITO_DDPM_EVAL_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct bits_options {
    const char *model, *data, *weights, *precision;
    const char *variance;        /* NULL: the run's */
    const char *class;           /* NULL: each image's own */
    const char *rate_distortion; /* FILE.csv, with FILE.svg beside it; or NULL */
    int64_t n;                   /* images, the first ones; 0: as many as is usual, or all */
    int64_t monte_carlo;         /* steps drawn for each image; 0: all */
    int64_t seed, batch;
    bool test; /* the data's test set */
    bool no_clip, json;
} bits_options;

/* Compute it, print it and write the files; the program's exit code. */
int bits_run(const bits_options *o);

/* Print results, the last of them "seconds": the object itself as JSON, else a line each, "frechet:
 * 12.3"; the command's exit code. root is deleted. */
int eval_report(const char *command, cJSON *root, bool json);

#endif
