/* Networks that are told more than images and steps: class labels, and their own earlier guess; and
 * guidance towards a class. What is built here is an ito_ddpm_network, so the loss, the bound and
 * every sampler take it as it is.
 *
 *     ito_ddpm_conditioned c = {.diffusion = d, .network = classes, .context = net,
 *                               .classes = 10, .labels = labels, .guidance = 2.0};
 *     ito_tensor *x = ito_ddpm_sample(d, ito_ddpm_conditioned_network, &c, shape, .steps = 50);
 *     ito_ddpm_conditioned_end(&c);
 */
#ifndef ITO_DDPM_CONDITION_H
#define ITO_DDPM_CONDITION_H

#include "../diffusion.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a network is told besides x_t and t. */
typedef struct ito_ddpm_condition {
    ito_tensor *labels; /* [N] i64: 0 .. classes - 1, or classes for none; NULL without classes */
    ito_tensor *x_0;    /* an earlier guess of the clean images, or zeros; NULL without such */
} ito_ddpm_condition;

/** An ito_ddpm_network that is. */
typedef ito_tensor *ito_ddpm_conditional(ito_tensor *x_t, ito_tensor *t,
                                         const ito_ddpm_condition *given, void *context);

/** Such a network with what it is given: the context of ito_ddpm_conditioned_network. All is
 * borrowed but `last`. Zero means off. */
typedef struct ito_ddpm_conditioned {
    const ito_diffusion *diffusion;
    ito_ddpm_conditional *network;
    void *context;
    int64_t classes;     /* that the network knows; 0: it takes no labels */
    ito_tensor *labels;  /* [N] i64 of the batch; NULL: none of the classes */
    double guidance;     /* w: none + w (label - none), two asks in one batch each (Ho, Salimans
                            2022, arXiv:2207.12598, their 1 + w); 0 means 1, the label alone */
    bool self_condition; /* give x_0: the last guess of the walk down (Chen et al. 2022,
                            arXiv:2208.04202); zeros at its start, on the way up, in the bound and
                            in a loss that is not training */
    bool training;       /* labels are dropped; x_0 is guessed for half of the batches, without a
                            gradient, and zeros for the others */
    double drop;         /* probability that an image's label is dropped */
    ito_generator *draw; /* of those two, while training */
    ito_tensor *last;    /* the last guess, and the step it was made at */
    int64_t last_t;
} ito_ddpm_conditioned;

/**
 * The conditioned network as one that takes nothing else; context is the ito_ddpm_conditioned. With
 * a learned variance it is the first head that is guided.
 *
 * @return  NULL on error: ITO_ERR_ARGUMENT for labels or guidance without classes, or guidance
 *          without labels; ITO_ERR_SHAPE, ITO_ERR_RANGE for labels that do not fit.
 */
ITO_API ito_tensor *ito_ddpm_conditioned_network(ito_tensor *x_t, ito_tensor *t, void *context);
/** Let go of the last guess: at the end or, where a loop of one's own asks the network, before
 * another walk. Those of sampler.h and edit.h begin anew by themselves. */
ITO_API void ito_ddpm_conditioned_end(ito_ddpm_conditioned *c);

/** log p(y | x_t) of each image, [N], differentiable in x_t. */
typedef ito_tensor *ito_ddpm_log_probability(ito_tensor *x_t, ito_tensor *t, void *context);

/** Guidance by a classifier: the context of ito_ddpm_classifier_network. */
typedef struct ito_ddpm_classifier {
    const ito_diffusion *diffusion;
    ito_ddpm_network *network;
    void *context;
    ito_ddpm_log_probability *log_probability;
    void *classifier_context;
    double scale; /* of its gradient */
} ito_ddpm_classifier;

/**
 * eps - noise scale grad log p(y | x_t), whatever the network predicts (Dhariwal, Nichol 2021,
 * arXiv:2105.05233, algorithm 2); context is the ito_ddpm_classifier. Where no signal is left
 * nothing is changed.
 * @return  NULL on error: ITO_ERR_SHAPE if log_probability is not one number an image.
 */
ITO_API ito_tensor *ito_ddpm_classifier_network(ito_tensor *x_t, ito_tensor *t, void *context);

#ifdef __cplusplus
}
#endif

#endif
