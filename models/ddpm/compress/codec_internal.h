/* Internal: the steps of progressive coding, written once for writing and reading. */
#ifndef ITO_DDPM_CODEC_INTERNAL_H
#define ITO_DDPM_CODEC_INTERNAL_H

#include "models/ddpm/compress/codec_file.h"
#include "models/ddpm/compress/normal_code.h"
#include "models/ddpm/compress/pixel_code.h"

/* A block count is coded by its length in bits, expected by that of the step before. */
enum { COUNT_LENGTHS = 24 };

/* The distributions of a step from t to s, or of the pixels at the last one. */
typedef struct code_step {
    ito_step step;
    ito_posterior mean;            /* q(x_s | x_t, x_0), eq. (7) */
    ito_log_variance log_variance; /* of p(x_s | x_t) */
} code_step;

/* One direction of one file. The caller fills in what comes before `steps`, and images or their
 * place; N, D and S are numbers of images, of each one's numbers, and of steps. */
typedef struct codec {
    const ito_diffusion *d;
    ito_network *network;
    code_header header;
    int64_t until; /* reading: stop at this step at the latest; -1: at none */
    bool stopped;  /* there */
    ito_step_progress *progress;
    void *progress_context;
    int64_t N, D, S;
    code_step *steps;  /* [S] */
    ito_tensor *x;     /* [N, C, H, W] f32, the images at the current step */
    ito_tensor *order; /* [D] the order of an image's numbers in which blocks are cut */
    float *linear, *quadratic, *normals; /* [room for D] of one block */
    float *scores;                       /* [candidates], writing */
    range_coder coder;
    number_code numbers[2]; /* of a step's only block, and of one of several */
    adaptive_model counts[COUNT_LENGTHS];
    uint8_t *lengths; /* [N] of each image's last count */
    pixel_code pixels;
    uint8_t *images;    /* [N, D] given, or received */
    ito_tensor *clean;  /* writing: f64 [N, C, H, W] in [-1, 1] */
    ito_compressed out; /* writing */
} codec;

/* Plan the steps, draw x_T and make room, for c->header. */
ito_status codec_begin(codec *c, bool writing);
/* Release what the scope does not own; also after a failure. */
void codec_end(codec *c);
/* From x_T along the steps; *done is the last one whose estimate is known. ITO_ERR_ARGUMENT with no
 * error recorded if progress stopped it. */
ito_status codec_run(codec *c, int64_t *done);
/* crc32 of everything that must be the same on both sides and is not in the header itself. */
uint32_t codec_fingerprint(const codec *c, uint32_t model);
/* crc32 of the images. */
uint32_t codec_images_sum(const codec *c);

#endif
