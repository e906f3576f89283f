/* One direction of a recurrent layer. Internal. */
#ifndef ITO_OPS_RECURRENT_CELLS_H
#define ITO_OPS_RECURRENT_CELLS_H

#include "tensor/tensor.h"

typedef enum cell_kind { CELL_TANH, CELL_RELU, CELL_GRU, CELL_LSTM } cell_kind;

/* gates: weight_ih x + bias_ih of all steps, [T, N, G H]; weight [G H, H]; bias [G H] or NULL; h_0
 * and, of an LSTM, c_0 [N, H], else NULL. All shapes have been checked. The result is [T, N, H], h
 * after each step; of an LSTM [T + 1, N, H], the last being c after all. */
ito_tensor *recurrent_layer(cell_kind cell, bool reverse, ito_tensor *gates, ito_tensor *weight,
                            ito_tensor *bias, ito_tensor *h_0, ito_tensor *c_0);

#endif
