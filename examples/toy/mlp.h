/* The network of the toy: a perceptron with three hidden layers, which takes the time as a
 * sinusoidal embedding. */
#ifndef ITO_EXAMPLES_TOY_MLP_H
#define ITO_EXAMPLES_TOY_MLP_H

#include <ito/ito.h>

typedef struct mlp {
    ito_module base;
    ito_network network; /* as losses and samplers take it */
    ito_linear_layer *layer[4];
} mlp;

/* Owned by the caller, freed by ito_module_free(&m->base). NULL with an error recorded. */
mlp *mlp_create(int64_t width, ito_generator *g);

#endif
