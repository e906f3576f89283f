/* The layers of LSTM, GRU and Elman networks: weights under PyTorch's names for the operations on
 * whole sequences. */
#include "autograd/ops.h"
#include "nn/init.h"
#include "nn/layer.h"
#include "nn/layers_recurrent.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LSTM_GATES = 4, GRU_GATES = 3 };

static void destroy(ito_module *m)
{
    free(((ito_recurrent_layer *)m)->weights);
}

static ito_tensor *forward(ito_module *self, ito_tensor *x)
{
    return ito_recurrent_forward((ito_recurrent_layer *)self, x);
}

/* The k-th tensor of a layer and direction: weight_ih, weight_hh, bias_ih, bias_hh. */
static ito_tensor *add_weight(ito_recurrent_layer *l, int64_t layer, int direction, int k,
                              const ito_recurrent_layer_options *o)
{
    static const char *const kind[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};
    char name[64];
    snprintf(name, sizeof name, "%s_l%" PRId64 "%s", kind[k], layer,
             direction == 1 ? "_reverse" : "");
    int64_t h = l->hidden_size, rows = l->gates * h;
    int64_t inputs = layer == 0 ? l->input_size : h * (l->bidirectional ? 2 : 1);
    ito_shape shape = k >= 2 ? ITO_SHAPE(rows) : ITO_SHAPE(rows, k == 0 ? inputs : h);
    ito_tensor *t = ito_zeros(shape, o->dtype);
    double bound = 1 / sqrt((double)h);
    if (o->generator != NULL)
        t = ito_init_uniform(t, -bound, bound, o->generator);
    return ito_module_parameter(&l->base, name, t);
}

static bool add_weights(ito_recurrent_layer *l, const ito_recurrent_layer_options *o)
{
    int directions = l->bidirectional ? 2 : 1, kinds = l->bias ? 4 : 2;
    int64_t n = checked_mul(l->num_layers, directions * kinds);
    l->weights = n < 0 ? NULL : struct_alloc((size_t)n * sizeof *l->weights);
    if (l->weights == NULL)
        return false;
    for (int64_t layer = 0; layer < l->num_layers; layer++)
        for (int d = 0; d < directions; d++)
            for (int k = 0; k < kinds; k++) {
                ito_tensor *w = add_weight(l, layer, d, k, o);
                if (w == NULL)
                    return false;
                l->weights[l->n_weights++] = w;
            }
    return true;
}

static ito_recurrent_layer *create(const char *op, int gates, ito_module *parent, const char *name,
                                   int64_t input_size, int64_t hidden_size,
                                   const ito_recurrent_layer_options *o)
{
    if (input_size < 1 || hidden_size < 1 || o->num_layers < 1 || o->num_layers > 1000000)
        return error_null(ITO_ERR_ARGUMENT,
                          "%s: %" PRId64 " inputs, %" PRId64 " states and %" PRId64
                          " layers; all must be positive, the layers 1000000 at most",
                          op, input_size, hidden_size, o->num_layers);
    if (!(o->dropout >= 0 && o->dropout < 1))
        return error_null(ITO_ERR_RANGE, "%s: dropout %g is not in [0, 1)", op, o->dropout);
    if (!layer_dtype_fits(op, o->dtype))
        return NULL;
    ito_recurrent_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = forward;
    l->base.destroy = destroy;
    l->gates = gates;
    l->input_size = input_size;
    l->hidden_size = hidden_size;
    l->num_layers = o->num_layers;
    l->bias = o->bias;
    l->batch_first = o->batch_first;
    l->bidirectional = o->bidirectional;
    l->relu = o->relu;
    l->dropout = o->dropout;
    if (add_weights(l, o) && ito_module_generator(&l->base, "generator", &l->generator) == ITO_OK)
        return l;
    ito_module_free(&l->base);
    return NULL;
}

ito_recurrent_layer *ito_lstm_create_with(ito_module *parent, const char *name, int64_t input_size,
                                          int64_t hidden_size, ito_recurrent_layer_options options)
{
    return create("lstm", LSTM_GATES, parent, name, input_size, hidden_size, &options);
}

ito_recurrent_layer *ito_gru_create_with(ito_module *parent, const char *name, int64_t input_size,
                                         int64_t hidden_size, ito_recurrent_layer_options options)
{
    return create("gru", GRU_GATES, parent, name, input_size, hidden_size, &options);
}

ito_recurrent_layer *ito_rnn_create_with(ito_module *parent, const char *name, int64_t input_size,
                                         int64_t hidden_size, ito_recurrent_layer_options options)
{
    return create("rnn", 1, parent, name, input_size, hidden_size, &options);
}

ito_tensor *ito_recurrent_forward_with(ito_recurrent_layer *layer, ito_tensor *x,
                                       ito_recurrent_states states)
{
    if (layer == NULL || x == NULL)
        return NULL;
    bool drops = layer->base.training && layer->dropout > 0;
    ito_recurrent_options o = {.h_0 = states.h_0,
                               .c_0 = states.c_0,
                               .h_n = states.h_n,
                               .c_n = states.c_n,
                               .num_layers = layer->num_layers,
                               .bias = layer->bias,
                               .batch_first = layer->batch_first,
                               .bidirectional = layer->bidirectional,
                               .dropout = drops ? layer->dropout : 0,
                               .generator = drops ? &layer->generator : NULL};
    ito_tensor *(*run)(ito_tensor *, ito_tensor *const *, int64_t, ito_recurrent_options) =
        layer->gates == LSTM_GATES  ? ito_lstm_with
        : layer->gates == GRU_GATES ? ito_gru_with
        : layer->relu               ? ito_rnn_relu_with
                                    : ito_rnn_tanh_with;
    if (layer->base.parametrisations == NULL)
        return run(x, layer->weights, layer->n_weights, o);
    ito_tensor **values = struct_alloc((size_t)layer->n_weights * sizeof *values);
    if (values == NULL)
        return NULL;
    bool good = true;
    for (int64_t i = 0; good && i < layer->n_weights; i++) {
        values[i] = ito_module_value(&layer->base, layer->weights[i]);
        good = values[i] != NULL;
    }
    ito_tensor *y = good ? run(x, values, layer->n_weights, o) : NULL;
    free(values);
    return y;
}
