/* The struct of averages, for the optimiser, which updates them in its own pass. Internal. */
#ifndef ITO_NN_EMA_PASS_H
#define ITO_NN_EMA_PASS_H

#include "nn/ema.h"
#include "nn/flat.h"

struct ito_ema {
    module_flat *flat;   /* the model's */
    ito_tensor *average; /* [flat->n] a reference; the parameters while swapped */
    double decay;
    double sigma_rel, gamma; /* of the power of time; sigma_rel 0: a constant decay */
    bool warmup, swapped;
    int64_t updates;
};

/* Whether there is an average of a power of time of this width. */
bool ema_sigma_is_valid(double sigma_rel);
/* Its power. */
double ema_gamma(double sigma_rel);

/* Whether an update may be made now; if not, an error is recorded. */
bool ema_ready(const ito_ema *ema);
/* Count an update that was made, and mark the averages as changed. */
void ema_advance(ito_ema *ema);

#endif
