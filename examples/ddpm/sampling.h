/* Images by a sampler, as sample and eval make them: the same settings give the same images. */
#ifndef ITO_DDPM_SAMPLING_H
#define ITO_DDPM_SAMPLING_H

#include "examples/common/batches.h"
#include "examples/ddpm/classifier_guidance.h"
#include "examples/ddpm/inference.h"
#include "examples/ddpm/trajectory.h"

typedef struct sampling_options {
    const char *sampler, *spacing; /* NULL: those of the run, or ddpm and the library's */
    int64_t steps;                 /* UNSET_INT: likewise, or the usual number */
    char interval[64];             /* of guidance, of the run */
    int64_t n, first, batch, seed;
    double eta, threshold, churn;
    bool no_clip, rederive_eps, end_at_first, noise_at_last;
} sampling_options;

/* The rows that sample and eval share. AT(field) is of the command's options. */
#define SAMPLER_ROW(field, text) KIND_ROW("sampler", field, "sampler", NULL, text)
#define ETA_ROW(field)                                                                             \
    REAL_ROW("eta", field, "X", 0, 1, "0", "ddim: 0 deterministic, 1 as much noise as ddpm", RARE)
#define NO_CLIP_ROW(field)                                                                         \
    FLAG_ROW("no-clip", field, "Do not clip the predicted image to -1..1 in each step", RARE)

typedef struct sampling {
    inference *net;
    const sampling_options *o;
    const classifier_guidance *guidance; /* towards a class by a classifier; NULL: none */
    double guidance_scale;
    trajectory *trajectory; /* NULL: not kept */
    ito_tensor *images;     /* [n, C, H, W] f32, row-major: what sampling_run fills */
    int64_t begin;          /* first image of this rank's */
    int64_t batch_first;    /* first image of the current batch */
    batches batches;
} sampling;

/* Take what the command line leaves open from the run that the model is of, with a note on stderr;
 * guidance too, if there is a class to guide to. A model that cannot be read says nothing; it is an
 * error when it is opened. */
void sampling_take_run(const command_line *c, const char *model, bool guided, sampling_options *o,
                       guidance_options *guidance);
/* End the program if an option was given that the sampler does not use. */
void refuse_idle_options(const command_line *c, const char *sampler);
/* Set o->steps where it is unset, and check it. False with an error recorded. */
bool sampling_steps(const inference *net, sampling_options *o);
/* Make all images, with other ranks. False with an error recorded. */
bool sampling_run(sampling *s);

#endif
