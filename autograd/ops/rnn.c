/* Recurrent networks over whole sequences, and single cells: the layers and directions that
 * PyTorch's weights describe, each an operation of recurrent.c. Sequences run time-major inside. */
#include "autograd/autocast.h"
#include "autograd/op.h"
#include "autograd/ops.h"
#include "autograd/ops/recurrent.h"

/* ---- checks ---- */

/* What one call is about. x: [T, N, inputs], or [N, inputs] of a cell. */
typedef struct rnn {
    const char *op;
    cell_kind cell;
    ito_tensor *x;
    int64_t batch, inputs, hidden, gates; /* gates: 1, 3 or 4 */
} rnn;

static int64_t gates_of(cell_kind cell)
{
    return cell == CELL_LSTM ? 4 : cell == CELL_GRU ? 3 : 1;
}

static bool check_input(const char *op, const ito_tensor *x)
{
    if (x->dtype == ITO_F32 || x->dtype == ITO_F64 || x->dtype == ITO_BF16)
        return true;
    return error_false(ITO_ERR_DTYPE, "%s: takes f32, f64 or bf16, not %s (see ito_cast)", op,
                       ito_dtype_name(x->dtype));
}

/* A weight, or a bias if columns is 0. */
static bool check_weight(const rnn *r, const ito_tensor *w, int64_t number, int64_t columns)
{
    static const char *const names[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};
    ito_dtype dtype = r->x->dtype == ITO_F64 ? ITO_F64 : ITO_F32;
    ito_shape shape = ITO_SHAPE(r->gates * r->hidden, columns);
    if (number >= 2)
        shape.ndim = 1;
    if (!tensor_has_shape(w, &shape))
        return error_false(ITO_ERR_SHAPE, "%s: %s is %s, not %s", r->op, names[number],
                           tensor_shape_str(w), shape_str(shape));
    if (w->dtype != dtype)
        return error_false(ITO_ERR_DTYPE, "%s: beside %s x %s is %s, not %s (see ito_cast)", r->op,
                           ito_dtype_name(r->x->dtype), names[number], ito_dtype_name(dtype),
                           ito_dtype_name(w->dtype));
    return true;
}

static bool check_state(const rnn *r, const ito_tensor *state, const char *name, ito_shape shape)
{
    if (state == NULL)
        return true;
    if (!tensor_has_shape(state, &shape))
        return error_false(ITO_ERR_SHAPE, "%s: %s is %s, not %s", r->op, name,
                           tensor_shape_str(state), shape_str(shape));
    if (state->dtype != r->x->dtype && !autocast_active())
        return error_false(ITO_ERR_DTYPE, "%s: beside %s x %s is %s (see ito_cast)", r->op,
                           ito_dtype_name(r->x->dtype), name, ito_dtype_name(state->dtype));
    return true;
}

/* The hidden size is the number of columns of weight_hh. */
static bool find_hidden(rnn *r, const ito_tensor *weight_hh)
{
    if (weight_hh->ndim != 2)
        return error_false(ITO_ERR_SHAPE, "%s: weight_hh is %s, not [%" PRId64 " hidden, hidden]",
                           r->op, tensor_shape_str(weight_hh), r->gates);
    r->hidden = weight_hh->shape[1];
    return true;
}

/* ---- cells ---- */

/* The result of recurrent_layer for one step. */
static ito_tensor *one_step(rnn *r, ito_tensor *h, ito_tensor *c, ito_tensor *const *w)
{
    if (r->x == NULL || h == NULL || (r->cell == CELL_LSTM && c == NULL) || w[0] == NULL ||
        w[1] == NULL || !check_input(r->op, r->x))
        return NULL;
    if (r->x->ndim != 2)
        return error_null(ITO_ERR_SHAPE, "%s: x %s is not [N, inputs]", r->op,
                          tensor_shape_str(r->x));
    r->batch = r->x->shape[0];
    r->inputs = r->x->shape[1];
    if (!find_hidden(r, w[1]))
        return NULL;
    ito_shape state = ITO_SHAPE(r->batch, r->hidden);
    bool fits = check_weight(r, w[0], 0, r->inputs) && check_weight(r, w[1], 1, r->hidden);
    for (int i = 2; i < 4; i++)
        fits = fits && (w[i] == NULL || check_weight(r, w[i], i, 0));
    if (!fits || !check_state(r, h, "h", state) || !check_state(r, c, "c", state))
        return NULL;
    ito_tensor *gates = ito_unsqueeze(ito_linear(r->x, w[0], w[2]), 0);
    return recurrent_layer(r->cell, false, gates, w[1], w[3], h, c);
}

static ito_tensor *cell(rnn r, ito_tensor *h, ito_tensor *c, ito_tensor *const *w,
                        ito_tensor **c_next)
{
    ito_scope_begin();
    ito_tensor *out = one_step(&r, h, c, w);
    ito_tensor *y = ito_keep(ito_select(out, 0, 0));
    if (c_next != NULL)
        *c_next = ito_keep(ito_select(out, 0, 1));
    ito_scope_end();
    return y;
}

ito_tensor *ito_lstm_cell(ito_tensor *x, ito_tensor *h, ito_tensor *c, ito_tensor *weight_ih,
                          ito_tensor *weight_hh, ito_tensor *bias_ih, ito_tensor *bias_hh,
                          ito_tensor **c_next)
{
    rnn r = {.op = "lstm_cell", .cell = CELL_LSTM, .x = x, .gates = 4};
    return cell(r, h, c, (ito_tensor *[]){weight_ih, weight_hh, bias_ih, bias_hh}, c_next);
}

#define CELL(name, kind)                                                                           \
    ito_tensor *ito_##name(ito_tensor *x, ito_tensor *h, ito_tensor *weight_ih,                    \
                           ito_tensor *weight_hh, ito_tensor *bias_ih, ito_tensor *bias_hh)        \
    {                                                                                              \
        rnn r = {.op = #name, .cell = kind, .x = x, .gates = gates_of(kind)};                      \
        return cell(r, h, NULL, (ito_tensor *[]){weight_ih, weight_hh, bias_ih, bias_hh}, NULL);   \
    }
CELL(gru_cell, CELL_GRU)
CELL(rnn_relu_cell, CELL_RELU)
CELL(rnn_tanh_cell, CELL_TANH)

/* ---- sequences ---- */

static int64_t directions(const ito_recurrent_options *o)
{
    return o->bidirectional ? 2 : 1;
}

static bool check_weights(rnn *r, ito_tensor *const *weights, int64_t n,
                          const ito_recurrent_options *o)
{
    int64_t each = o->bias ? 4 : 2, ways = directions(o);
    if (o->num_layers < 1 || n / each / ways != o->num_layers || n % (each * ways) != 0)
        return error_false(ITO_ERR_ARGUMENT,
                           "%s: %" PRId64 " weights are not %" PRId64 " for each of %" PRId64
                           " layers and %" PRId64 " direction%s",
                           r->op, n, each, o->num_layers, ways, ways == 1 ? "" : "s");
    for (int64_t i = 0; i < n; i++)
        if (weights[i] == NULL)
            return error_false(ITO_ERR_ARGUMENT, "%s: weight %" PRId64 " is NULL", r->op, i);
    if (!find_hidden(r, weights[1]))
        return false;
    for (int64_t i = 0; i < n; i++) {
        int64_t inputs = i / each / ways == 0 ? r->inputs : ways * r->hidden;
        if (!check_weight(r, weights[i], i % each, i % each == 0 ? inputs : r->hidden))
            return false;
    }
    return true;
}

static bool check_options(const rnn *r, const ito_recurrent_options *o)
{
    ito_shape states = ITO_SHAPE(o->num_layers * directions(o), r->batch, r->hidden);
    if (!(o->dropout >= 0 && o->dropout < 1))
        return error_false(ITO_ERR_RANGE, "%s: probability %g is not in [0, 1)", r->op, o->dropout);
    if (o->dropout > 0 && o->num_layers > 1 && o->generator == NULL)
        return error_false(ITO_ERR_ARGUMENT, "%s: dropout without a generator", r->op);
    if (r->cell != CELL_LSTM && (o->c_0 != NULL || o->c_n != NULL))
        return error_false(ITO_ERR_ARGUMENT, "%s: has no c", r->op);
    return check_state(r, o->h_0, "h_0", states) && check_state(r, o->c_0, "c_0", states);
}

/* What runs through the layers: x [T, N, ..]; final states [1, N, H], a list for cat. */
typedef struct run {
    const rnn *r;
    const ito_recurrent_options *options;
    ito_tensor *const *weights;
    ito_tensor **h_n, **c_n;
} run;

static ito_tensor *first_state(const run *s, ito_tensor *states, int64_t index)
{
    if (states != NULL)
        return ito_select(states, 0, index);
    return ito_zeros(ITO_SHAPE(s->r->batch, s->r->hidden), s->r->x->dtype);
}

/* One direction of one layer, which is number `index` of all: [T, N, H]. */
static ito_tensor *run_direction(const run *s, ito_tensor *x, int64_t index, bool reverse)
{
    const ito_recurrent_options *o = s->options;
    ito_tensor *const *w = s->weights + index * (o->bias ? 4 : 2);
    bool lstm = s->r->cell == CELL_LSTM;
    int64_t steps = ito_size(x, 0);
    ito_tensor *gates = ito_linear(x, w[0], o->bias ? w[2] : NULL);
    ito_tensor *out =
        recurrent_layer(s->r->cell, reverse, gates, w[1], o->bias ? w[3] : NULL,
                        first_state(s, o->h_0, index), lstm ? first_state(s, o->c_0, index) : NULL);
    s->h_n[index] = ito_narrow(out, 0, reverse ? 0 : steps - 1, 1);
    if (s->h_n[index] == NULL)
        return NULL;
    if (!lstm)
        return out;
    s->c_n[index] = ito_narrow(out, 0, steps, 1);
    return s->c_n[index] == NULL ? NULL : ito_narrow(out, 0, 0, steps);
}

static ito_tensor *run_layers(const run *s, ito_tensor *x)
{
    const ito_recurrent_options *o = s->options;
    for (int64_t layer = 0; layer < o->num_layers && x != NULL; layer++) {
        int64_t index = layer * directions(o);
        ito_tensor *y = run_direction(s, x, index, false);
        if (o->bidirectional)
            y = ito_cat(ITO_TENSORS(y, run_direction(s, x, index + 1, true)), 2);
        x = layer + 1 < o->num_layers && o->dropout > 0 ? ito_dropout(y, o->dropout, o->generator)
                                                        : y;
    }
    return x;
}

/* Final states as the caller's, of the scope outside. */
static bool give_states(ito_tensor **to, ito_tensor **list, int64_t n, bool batched)
{
    if (to == NULL)
        return true;
    ito_tensor *all = ito_cat(list, n, 0);
    *to = ito_keep(batched ? all : ito_squeeze(all, 1));
    return *to != NULL;
}

/* x [T, N, inputs], checked; batched: else N was not in the caller's x. */
static ito_tensor *sequence_of(const rnn *r, ito_tensor *const *weights,
                               const ito_recurrent_options *o, bool batched)
{
    int64_t n = o->num_layers * directions(o);
    ito_tensor **list = mem_alloc((size_t)(2 * n) * sizeof(ito_tensor *));
    if (list == NULL)
        return NULL;
    run s = {r, o, weights, list, list + n};
    ito_tensor *y = run_layers(&s, r->x);
    bool done = y != NULL && give_states(o->h_n, s.h_n, n, batched) &&
                give_states(o->c_n, s.c_n, n, batched);
    mem_free(list);
    return done ? y : NULL;
}

static ito_tensor *with_batch(ito_tensor *states)
{
    return states == NULL ? NULL : ito_unsqueeze(states, 1);
}

/* Names the shapes that PyTorch's users know: batch_first swaps axes of x and y alone. */
static ito_tensor *any_sequence(rnn *r, ito_tensor *const *weights, int64_t n,
                                ito_recurrent_options o)
{
    bool batched = r->x->ndim == 3;
    if (r->x->ndim != 2 && !batched)
        return error_null(ITO_ERR_SHAPE, "%s: x %s is not [T, N, inputs] or [T, inputs]", r->op,
                          tensor_shape_str(r->x));
    bool swapped = batched && o.batch_first;
    if (!batched) {
        r->x = ito_unsqueeze(r->x, 1);
        o.h_0 = with_batch(o.h_0);
        o.c_0 = with_batch(o.c_0);
    } else if (swapped) {
        r->x = ito_transpose(r->x, 0, 1);
    }
    if (r->x == NULL)
        return NULL;
    if (r->x->shape[0] == 0)
        return error_null(ITO_ERR_SHAPE, "%s: a sequence of no steps", r->op);
    r->batch = r->x->shape[1];
    r->inputs = r->x->shape[2];
    if (!check_weights(r, weights, n, &o) || !check_options(r, &o))
        return NULL;
    ito_tensor *y = sequence_of(r, weights, &o, batched);
    return y == NULL ? NULL : !batched ? ito_squeeze(y, 1) : swapped ? ito_transpose(y, 0, 1) : y;
}

static ito_tensor *sequence(rnn r, ito_tensor *const *weights, int64_t n,
                            ito_recurrent_options options)
{
    if (r.x == NULL || !check_input(r.op, r.x))
        return NULL;
    ito_scope_begin();
    ito_tensor *y = ito_keep(any_sequence(&r, weights, n, options));
    ito_scope_end();
    return y;
}

#define SEQUENCE(name, kind)                                                                       \
    ito_tensor *ito_##name##_with(ito_tensor *x, ito_tensor *const *weights, int64_t n,            \
                                  ito_recurrent_options options)                                   \
    {                                                                                              \
        rnn r = {.op = #name, .cell = kind, .x = x, .gates = gates_of(kind)};                      \
        return sequence(r, weights, n, options);                                                   \
    }
SEQUENCE(gru, CELL_GRU)
SEQUENCE(lstm, CELL_LSTM)
SEQUENCE(rnn_relu, CELL_RELU)
SEQUENCE(rnn_tanh, CELL_TANH)
