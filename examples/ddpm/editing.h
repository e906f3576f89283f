/* The shared part of interpolate, inpaint, edit, encode and decode, which apply a trained network
 * to existing images. Each is an edit_command: its options and two functions. */
#ifndef ITO_DDPM_EDITING_H
#define ITO_DDPM_EDITING_H

#include "examples/common/batches.h"
#include "examples/ddpm/image_files.h"
#include "examples/ddpm/inference.h"
#include "examples/ddpm/pictures.h"

#include <ito/ito.h>

typedef struct edit_options {
    const char *model, *weights, *data, *range, *image, *mask, *npy, *precision, *class;
    picture_options pictures;
    double t;
    int64_t first, second, n, steps, seed, jump, repeats, batch, threads;
    guidance_options guidance;
    double strength;
    bool skip_bad, force, json;
} edit_options;

/* Rows; AT(field) is of edit_options. */
#define EDIT_MODEL_ROWS MODEL_ROW, WEIGHTS_ROW, CLASS_ROW
#define EDIT_RESULT_ROWS                                                                           \
    PICTURES_ROW(""),                                                                              \
        TEXT_ROW("npy", npy, "FILE.npy", NULL, "Write the result as float32 [N, C, H, W]"),        \
        PICTURE_LOOK_ROWS, FORCE_ROW, JSON_ROW
#define EDIT_MACHINE_ROWS                                                                          \
    INT_ROW("steps", steps, "N", 1, 1e6, NULL,                                                     \
            "Steps, at most those of the diffusion (encode, decode 50, else 250)"),                \
        BATCH_ROW, PRECISION_ROW, THREADS_ROW, END_ROW

typedef struct edit_job {
    edit_options o;
    inference net;
    ito_tensor *images;  /* the input, [N, C, H, W] as the network takes them */
    ito_tensor *mask;    /* inpaint: bool, where the image stays */
    ito_tensor *result;  /* [n, C, H, W], for --npy */
    ito_tensor *picture; /* encode: the picture for --out; other commands show the result */
    ito_tensor *error;   /* encode: [n], the error of the round trip */
    batches batches;
} edit_job;

typedef struct edit_command {
    const char *name, *doc;
    const option_row *rows;
    const char *needs[2];  /* options that must be given */
    int64_t steps;         /* usual ones */
    const char *result[2]; /* its word, for one and for several */
    int64_t trajectories;  /* that a batch takes through the steps */
    bool (*read)(edit_job *j);
    bool (*run)(int64_t first, int64_t n, void *job);
} edit_command;

/* Run the command; its exit code. */
int edit_run(const edit_command *e, int argc, char **argv);

/* ---- for the commands' functions; all record an error where they fail ---- */

/* All of --data, of the network's size. */
ito_tensor *edit_data(edit_job *j);
/* Images first .. first + n - 1 of edit_data's, as the network takes them; option is for messages.
 */
ito_tensor *edit_data_range(const edit_job *j, ito_tensor *all, int64_t first, int64_t n,
                            const char *option);
/* A file of images of the network's size, not scaled: pixels, or numbers of any size. */
ito_tensor *edit_file(const edit_job *j, const char *path, bool pixels);
/* Set j->images to the one image of --image. */
bool edit_read_image(edit_job *j);
/* That image, n times. */
ito_tensor *edit_copies(const edit_job *j, int64_t n);
/* How to sample images first .. of the result. */
ito_sample_options edit_sampling(edit_job *j, int64_t first);
/* The same for deterministic DDIM, from noise to images and back. No limits on x_0-hat, which would
 * break the round trip. */
ito_sample_options edit_ddim(edit_job *j);
/* Put images first .. into the result. */
bool edit_put(edit_job *j, int64_t first, ito_tensor *x);

#endif
