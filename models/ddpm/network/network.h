/* A network for losses, bounds, samplers, the coder and guidance: an object that is evaluated on
 * noisy data. Networks that take more than data and times (labels, an earlier estimate), and
 * guidance, are networks around networks: condition.h, guidance.h, self_condition.h.
 *
 *     static ito_tensor *evaluate(ito_network *self, const ito_network_input *in)
 *     {
 *         return my_model_forward(self->context, in->x, in->t);
 *     }
 *     ito_network network = {.evaluate = evaluate, .context = my_model};
 *     ito_tensor *x = ito_diffusion_sample(d, &network, ITO_SHAPE(64, 2));
 */
#ifndef ITO_DDPM_NETWORK_H
#define ITO_DDPM_NETWORK_H

#include "../../../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a network is evaluated on; all is borrowed. */
typedef struct ito_network_input {
    ito_tensor *x;      /* [N, ...] the network's scaled input: c_in x_t */
    ito_tensor *t;      /* [N] of x's dtype: its time input */
    ito_tensor *x_t;    /* [N, ...] the noisy data */
    ito_tensor *time;   /* [N] f64: the times of the process */
    ito_tensor *labels; /* [N] i64 class labels, or NULL: none */
    ito_tensor *x_0;    /* [N, ...] an earlier estimate of the clean data, or NULL: none */
} ito_network_input;

/** A network with its state. One of your own sets evaluate and what it needs of the rest, or embeds
 * this as the first member of its own struct. */
typedef struct ito_network ito_network;
struct ito_network {
    /**
     * Its output, shaped as in->x; with a learned variance, twice as many channels (axis 1).
     * Example i of the output depends on example i of the input alone.
     * @return  of the current scope; NULL with an error recorded.
     */
    ito_tensor *(*evaluate)(ito_network *self, const ito_network_input *in);
    /** A trajectory begins: the network drops its state of earlier evaluations. Called at the start
     * of every sampling run, and before each evaluation in a loss, a bound or the coder. NULL: the
     * network has no state. */
    void (*begin)(ito_network *self);
    /** Frees the network. NULL: nothing to free. */
    void (*free)(ito_network *self);
    void *context; /* for evaluate */
};

/** Its output for an input. NULL on error: those of evaluate, or ITO_ERR_ARGUMENT for no network,
 * one without evaluate, or if evaluate returned NULL without an error. */
ITO_API ito_tensor *ito_network_evaluate(ito_network *network, const ito_network_input *in);
/** Begin a trajectory. Accepts NULL. */
ITO_API void ito_network_begin(ito_network *network);
/** Free a network, not the one that it wraps. Accepts NULL. */
ITO_API void ito_network_free(ito_network *network);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_network_evaluate(...) ITO_AT(ito_network_evaluate(__VA_ARGS__))
#endif

#endif
