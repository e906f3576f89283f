/* Layers of recurrent networks: LSTM, GRU and Elman's. What layers.h says of all layers holds here;
 * names of parameters and defaults are those of PyTorch's LSTM, GRU and RNN. There are no packed
 * sequences and no projections.
 */
#ifndef ITO_NN_LAYERS_RECURRENT_H
#define ITO_NN_LAYERS_RECURRENT_H

#include "module.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A recurrent network of some layers, each in one direction or both. */
typedef struct ito_recurrent_layer {
    ito_module base;
    /* For each layer, and in it for each direction: weight_ih_l0 [G H, inputs], weight_hh_l0 [G H,
     * H], and with biases bias_ih_l0, bias_hh_l0 [G H]; "_reverse" behind the second direction's
     * names. G gates: i f g o of an LSTM, r z n of a GRU, 1 otherwise. */
    ito_tensor **weights;
    int64_t n_weights, input_size, hidden_size, num_layers;
    int gates;
    bool bias, batch_first, bidirectional, relu;
    double dropout;
    ito_generator generator; /* of dropout; registered as "generator" */
} ito_recurrent_layer;

/** Options of ito_lstm_create, ito_gru_create and ito_rnn_create. */
typedef struct ito_recurrent_layer_options {
    int reserved_;
    ito_generator *generator; /* weights and biases: uniform in +-1 / sqrt(hidden_size) */
    int64_t num_layers ITO_DEFAULT(1);
    bool bias ITO_DEFAULT(true);
    bool batch_first; /* sequences are [N, T, features], not [T, N, features] */
    double dropout;   /* between layers, in training; in [0, 1) */
    bool bidirectional;
    bool relu;       /* of ito_rnn_create: relu in place of tanh */
    ito_dtype dtype; /* of the parameters: ITO_F32 (the default) or ITO_F64 */
} ito_recurrent_layer_options;
#define ITO_DEFAULTS_ito_recurrent_layer_options .num_layers = 1, .bias = true

/** An LSTM: ito_lstm_create(&m->base, "lstm", 32, 64, .num_layers = 2, .generator = &g). Dropout
 * draws from a generator of the layer's own; call ito_module_seed on the finished network.
 * ITO_ERR_ARGUMENT unless all sizes are positive; ITO_ERR_RANGE for the dropout. Source: as of
 * ito_lstm_cell. */
ITO_API ito_recurrent_layer *ito_lstm_create_with(ito_module *parent, const char *name,
                                                  int64_t input_size, int64_t hidden_size,
                                                  ito_recurrent_layer_options options);
/** A GRU: arguments and errors as for ito_lstm_create. */
ITO_API ito_recurrent_layer *ito_gru_create_with(ito_module *parent, const char *name,
                                                 int64_t input_size, int64_t hidden_size,
                                                 ito_recurrent_layer_options options);
/** An Elman network of tanh, or relu: arguments and errors as for ito_lstm_create. */
ITO_API ito_recurrent_layer *ito_rnn_create_with(ito_module *parent, const char *name,
                                                 int64_t input_size, int64_t hidden_size,
                                                 ito_recurrent_layer_options options);
#define ito_lstm_create(...)                                                                       \
    ITO_AT(ITO_CALL_4(ito_lstm_create_with, ito_recurrent_layer_options, __VA_ARGS__, ))
#define ito_gru_create(...)                                                                        \
    ITO_AT(ITO_CALL_4(ito_gru_create_with, ito_recurrent_layer_options, __VA_ARGS__, ))
#define ito_rnn_create(...)                                                                        \
    ITO_AT(ITO_CALL_4(ito_rnn_create_with, ito_recurrent_layer_options, __VA_ARGS__, ))

/** States that ito_recurrent_forward begins with, and where it puts those at the end. */
typedef struct ito_recurrent_states {
    int reserved_;
    ito_tensor *h_0, *c_0;   /* [num_layers directions, N, H], c_0 of an LSTM alone; NULL: zeros */
    ito_tensor **h_n, **c_n; /* receive tensors of the current scope, unless NULL */
} ito_recurrent_states;
#define ITO_DEFAULTS_ito_recurrent_states .reserved_ = 0

/** x [T, N, input_size], or [T, input_size], to the last layer's states [T, N, directions H]:
 * ito_recurrent_forward(l, x, .h_0 = h, .h_n = &h). As ito_lstm, ito_gru, ito_rnn_tanh. */
ITO_API ito_tensor *ito_recurrent_forward_with(ito_recurrent_layer *layer, ito_tensor *x,
                                               ito_recurrent_states states);
#define ito_recurrent_forward(...)                                                                 \
    ITO_AT(ITO_CALL_2(ito_recurrent_forward_with, ito_recurrent_states, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#endif
