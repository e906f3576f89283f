/* Recurrent networks: cells, and whole sequences. The rules of ops.h hold: results, dtypes, errors.
 *
 * Weights are PyTorch's: weight_ih [G H, inputs], weight_hh [G H, H], bias_ih and bias_hh [G H],
 * with G gates of H numbers side by side: i f g o of an LSTM, r z n of a GRU. They are f32 where x
 * is bf16. States are shaped [.., N, H] and have x's dtype. There are no packed sequences: pad, and
 * take the steps that count.
 */
#ifndef ITO_OPS_RECURRENT_H
#define ITO_OPS_RECURRENT_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- one step ---- */

/**
 * tanh(weight_ih x + bias_ih + weight_hh h + bias_hh).
 * @param x  [N, inputs].
 * @param h  [N, H], the state before.
 * @return   [N, H], the state after. The biases may be NULL. ITO_ERR_SHAPE, ITO_ERR_DTYPE for
 * weights and states that do not fit.
 */
ITO_API ito_tensor *ito_rnn_tanh_cell(ito_tensor *x, ito_tensor *h, ito_tensor *weight_ih,
                                      ito_tensor *weight_hh, ito_tensor *bias_ih,
                                      ito_tensor *bias_hh);
/** max(weight_ih x + bias_ih + weight_hh h + bias_hh, 0): as ito_rnn_tanh_cell. */
ITO_API ito_tensor *ito_rnn_relu_cell(ito_tensor *x, ito_tensor *h, ito_tensor *weight_ih,
                                      ito_tensor *weight_hh, ito_tensor *bias_ih,
                                      ito_tensor *bias_hh);
/**
 * A gated recurrent unit: h' = (1 - z) n + z h with n = tanh(W_in x + b_in + r (W_hn h + b_hn)),
 * and r and z sigmoids of sums as the others'. Arguments and errors as above, with G = 3. Source:
 * Cho et al. 2014, arXiv:1406.1078, with the reset after the product, as in PyTorch.
 */
ITO_API ito_tensor *ito_gru_cell(ito_tensor *x, ito_tensor *h, ito_tensor *weight_ih,
                                 ito_tensor *weight_hh, ito_tensor *bias_ih, ito_tensor *bias_hh);
/**
 * Long short-term memory: c' = f c + i g, h' = o tanh(c'), with i, f and o sigmoids and g a tanh of
 * such sums. Arguments and errors as above, with G = 4.
 * @param c       [N, H], the cell's state before.
 * @param c_next  receives c' [N, H] of the current scope (NULL after an error), unless NULL.
 * @return        h' [N, H].
 * Source: Hochreiter, Schmidhuber 1997, Neural Computation 9(8), with the forget gate of Gers et
 * al. 2000.
 */
ITO_API ito_tensor *ito_lstm_cell(ito_tensor *x, ito_tensor *h, ito_tensor *c,
                                  ito_tensor *weight_ih, ito_tensor *weight_hh, ito_tensor *bias_ih,
                                  ito_tensor *bias_hh, ito_tensor **c_next);

/* ---- sequences ---- */

/** What ito_rnn_tanh, ito_rnn_relu, ito_gru and ito_lstm take besides x and weights. */
typedef struct ito_recurrent_options {
    int reserved_;
    ito_tensor *h_0; /* [num_layers directions, N, H], the states before the first step; NULL: 0 */
    ito_tensor *c_0; /* the same, of an LSTM's cells */
    ito_tensor *
        *h_n; /* receive the states after the last step (in the second direction after the */
    ito_tensor **c_n; /* first), shaped as h_0, of the current scope; untouched after an error */
    int64_t num_layers ITO_DEFAULT(1);
    bool bias ITO_DEFAULT(true);
    bool batch_first; /* x and the result are [N, T, ..]; states stay as they are */
    bool bidirectional;
    double dropout;           /* between layers, as by ito_dropout */
    ito_generator *generator; /* that dropout draws from, and advances */
} ito_recurrent_options;
#define ITO_DEFAULTS_ito_recurrent_options .num_layers = 1, .bias = true

/**
 * An Elman network over a sequence: ito_rnn_tanh(x, weights, 4, .h_0 = h), where weights is an
 * array of weight_ih, weight_hh, bias_ih and bias_hh.
 * @param x        [T, N, inputs], or [T, inputs], with states [.., H] then.
 * @param weights  [n] for each layer, and in it for each direction: weight_ih, weight_hh, and, with
 *                 .bias, bias_ih, bias_hh. From the second layer on inputs are directions H.
 * @return         [T, N, directions H]: the last layer's states after each step, forward then
 *                 backward. ITO_ERR_SHAPE, ITO_ERR_DTYPE for weights and states that do not fit,
 * and for a sequence of no steps; ITO_ERR_ARGUMENT for another number of weights, for dropout
 * without a generator and c of what has none; ITO_ERR_RANGE for a probability outside [0, 1).
 * Source: Elman 1990, Cognitive Science 14(2).
 */
ITO_API ito_tensor *ito_rnn_tanh_with(ito_tensor *x, ito_tensor *const *weights, int64_t n,
                                      ito_recurrent_options options);
#define ito_rnn_tanh(...)                                                                          \
    ITO_AT(ITO_CALL_3(ito_rnn_tanh_with, ito_recurrent_options, __VA_ARGS__, ))
/** An Elman network of ito_rnn_relu_cell over a sequence: as ito_rnn_tanh. */
ITO_API ito_tensor *ito_rnn_relu_with(ito_tensor *x, ito_tensor *const *weights, int64_t n,
                                      ito_recurrent_options options);
#define ito_rnn_relu(...)                                                                          \
    ITO_AT(ITO_CALL_3(ito_rnn_relu_with, ito_recurrent_options, __VA_ARGS__, ))
/** Gated recurrent units, ito_gru_cell, over a sequence: as ito_rnn_tanh. */
ITO_API ito_tensor *ito_gru_with(ito_tensor *x, ito_tensor *const *weights, int64_t n,
                                 ito_recurrent_options options);
#define ito_gru(...) ITO_AT(ITO_CALL_3(ito_gru_with, ito_recurrent_options, __VA_ARGS__, ))
/** Long short-term memory, ito_lstm_cell, over a sequence: as ito_rnn_tanh. */
ITO_API ito_tensor *ito_lstm_with(ito_tensor *x, ito_tensor *const *weights, int64_t n,
                                  ito_recurrent_options options);
#define ito_lstm(...) ITO_AT(ITO_CALL_3(ito_lstm_with, ito_recurrent_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_gru_cell(...) ITO_AT(ito_gru_cell(__VA_ARGS__))
#define ito_lstm_cell(...) ITO_AT(ito_lstm_cell(__VA_ARGS__))
#define ito_rnn_relu_cell(...) ITO_AT(ito_rnn_relu_cell(__VA_ARGS__))
#define ito_rnn_tanh_cell(...) ITO_AT(ito_rnn_tanh_cell(__VA_ARGS__))
#endif

#endif
