/* A student network that begins as a copy of its teacher, a U-Net that ito-ddpm trained, and
 * learns on labelled images of 28x28 to make them in two steps. */
#ifndef ITO_EXAMPLES_FEW_STEP_PUPIL_H
#define ITO_EXAMPLES_FEW_STEP_PUPIL_H

#include <ito/ito.h>

/* The options of the methods on images; the rows are in main.c. */
typedef struct few_step_options {
    const char *teacher, *data, *out, *pairs, *precision;
    int64_t steps, batch, grid, ratio, lessons, seed, threads;
    double lr, ema, guidance, sigma_lo, sigma_hi;
    bool force;
} few_step_options;

/* The teacher that comes with the program: that of ito-ddpm. */
#define BUILT_IN "fashion-mnist"

typedef struct pupil {
    const few_step_options *o;
    ito_ddpm *teacher, *student;
    ito_tensor *images, *labels; /* [N, 1, H, W] u8, [N] u8 */
    double *times;               /* [grid + 1] of the teacher's steps, rising from the clean data */
    int64_t grid;
} pupil;

/* Load the teacher, twice, and the images. False with an error recorded, also for a teacher that
 * cannot be one or does not fit the images; closed in either case. */
bool pupil_open(pupil *p, const few_step_options *o);
void pupil_close(pupil *p);

/* Let the teacher take so many steps: p->times. False with an error recorded. */
bool pupil_set_grid(pupil *p, int64_t grid);
/* Give both networks these labels [n] i64, each dropped with probability 1/10 as in ito-ddpm's
 * training; returned, or NULL with an error recorded. Without classes they are returned as they
 * are. */
ito_tensor *pupil_set_labels(pupil *p, ito_tensor *labels, ito_generator *g);

/* The losses of a batch, whose mean is minimised: [N]. */
typedef ito_tensor *pupil_losses(pupil *p, const ito_batch *b, int64_t step);
/* Train the student, and leave it with the averages of its weights. */
bool pupil_train(pupil *p, const ito_dataset *data, pupil_losses *losses, int64_t steps);
/* The teacher becomes what the student is, without guidance. */
bool pupil_graduate(pupil *p);

/* Write the student with the settings of its teacher, for ito-ddpm sample and eval. */
bool pupil_save(const pupil *p);

#endif
