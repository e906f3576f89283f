/* The estimates of the clean images at the steps of a sampling trajectory, x_0-hat: as numbers, as
 * a strip of pictures, and as frames of an animation. */
#ifndef ITO_DDPM_TRAJECTORY_H
#define ITO_DDPM_TRAJECTORY_H

#include "examples/ddpm/pictures.h"

#include <ito/ito.h>

typedef struct trajectory {
    const char *path;            /* of a picture: a row for each image; else a .npy; or NULL */
    const char *frames;          /* a directory, or NULL */
    const picture_options *look; /* of both; borrowed */
    bool force;                  /* write over files of another kind */
    int64_t steps;               /* that are kept, evenly spaced; UNSET_INT: all, or 10 for a row */
    ito_tensor *kept;            /* [steps, N, C, H, W] f32; NULL if nothing is requested */
} trajectory;

/* Make room for images [N, C, H, W] for trajectories of `steps` steps. False with an error
 * recorded. */
bool trajectory_begin(trajectory *t, ito_shape images, int64_t steps);
/* An ito_sample_observe's work, for a batch that begins with image `first`. */
void trajectory_keep(trajectory *t, const ito_sampler_state *state, int64_t first);
/* Write all outputs. False with an error recorded. */
bool trajectory_write(const trajectory *t);
/* Report on stderr where it was written. */
void trajectory_say(const trajectory *t);

#endif
