/* The training loop of small programs: batches of the rows of a tensor, Adam with a warm-up and a
 * cosine, an average of the weights, a progress bar. */
#ifndef ITO_EXAMPLES_TRAINING_H
#define ITO_EXAMPLES_TRAINING_H

#include <ito/nn/module.h>

typedef struct training {
    const char *what;  /* of the bar: "step" */
    ito_module *model; /* a root */
    ito_tensor *x;     /* [N, ...] */
    int64_t epochs, batch;
    double lr, max_norm; /* of the gradient */
    double ema_decay;    /* the model ends with averages of its weights; 0: with the last ones */
    uint64_t seed;       /* of the order; step i draws from stream 1000 + i */
    /* The mean loss of a batch x; NULL after an error. */
    ito_tensor *(*loss)(ito_tensor *x, ito_generator *g, void *context);
    void *context;
} training;

/* Train; false with an error recorded. */
bool training_run(const training *t);

#endif
