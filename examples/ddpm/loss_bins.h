/* The loss by time: ten bins of the diffusion's times, with the mean loss of the images that were
 * noised to a time in each. The bins are equally wide; where time is sigma, on a logarithmic scale.
 */
#ifndef ITO_DDPM_LOSS_BINS_H
#define ITO_DDPM_LOSS_BINS_H

#include "examples/common/run_log.h"

#include <ito/ito.h>

/* Sums since the last line of the log that has them. */
typedef struct loss_bins {
    double sum[LOG_BINS];
    int64_t count[LOG_BINS];
    int64_t since; /* the step of that line */
} loss_bins;

/* Steps between such lines: some hundred images, so that a bin is more than noise. */
enum { LOSS_BINS_EVERY = 50 };

/* Add the losses [N] at times t [N], as a training step reports them; losses that are not finite
 * are left out. False with an error recorded. */
bool loss_bins_add(loss_bins *b, const ito_process *p, ito_tensor *t, ito_tensor *losses);
/* Whether the line of this step has them: the first one after each LOSS_BINS_EVERY steps. So has
 * the last one of a process. */
bool loss_bins_due(const loss_bins *b, int64_t step);
/* The member of such a line, ', "loss_by_t": [0.9, null, ...]', with null for a bin without images;
 * the sums begin anew. */
const char *loss_bins_take(loss_bins *b, int64_t step, char text[256]);
/* Whether the bins are equally wide in the logarithm of the time. */
bool loss_bins_logarithmic(const ito_process *p);
/* The time at which bin i begins; that of bin LOG_BINS is where the last one ends. */
double loss_bin_edge(const ito_process *p, int i);

#endif
