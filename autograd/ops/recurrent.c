/* One direction of one recurrent layer over a whole sequence, as one operation: a step is the
 * product with the state and one pass of the cell over its rows. What the input contributes has
 * been made before, for all steps in one product, and the gradient of the state's weights is one
 * product over all steps, too. Gates and cells are f32 for bf16, as is what flows back through the
 * steps.
 *
 * Inputs: gates of the input [T, N, G H], weight_hh [G H, H], bias_hh [G H] or NULL, h_0 [N, H],
 * and c_0 [N, H] of an LSTM. Result: h [T, N, H]; of an LSTM [T + 1, N, H], the last being c.
 */
#include "autograd/ops/recurrent.h"
#include "autograd/op.h"
#include "tensor/convert.h"
#include "tensor/gemm/gemm.h"
#include "tensor/kernels/kernels.h"

#include <string.h>

typedef struct recurrent_params {
    cell_kind cell;
    bool reverse; /* from the last step to the first */
} recurrent_params;

typedef struct recurrent {
    cell_kind cell;
    bool reverse;
    int64_t steps, batch, hidden, width; /* width: G H */
    ito_dtype real;                      /* computed in */
} recurrent;

/* One row of the batch in one step: arrays of reals. */
typedef struct step_rows {
    void *gates;
    void *from_state;   /* the product; in backward its gradient */
    void *from_input;   /* in backward of a GRU */
    const void *before; /* c or, of a GRU, h before the step */
    void *kept;         /* c after the step; of a GRU what r multiplies */
    void *h;            /* after the step; in backward its gradient */
    const void *dy;
    void *dc;
} step_rows;

#define REAL float
#define TYPE ITO_F32
#define ROW(name) name##_f32
#include "autograd/ops/recurrent_rows.h"
#undef REAL
#undef TYPE
#undef ROW
#define REAL double
#define TYPE ITO_F64
#define ROW(name) name##_f64
#include "autograd/ops/recurrent_rows.h"
#undef REAL
#undef TYPE
#undef ROW

static recurrent recurrent_of(const op_call *c)
{
    const recurrent_params *p = c->params;
    return (recurrent){.cell = p->cell,
                       .reverse = p->reverse,
                       .steps = c->shape[0].dim[0],
                       .batch = c->shape[0].dim[1],
                       .hidden = c->shape[1].dim[1],
                       .width = c->shape[0].dim[2],
                       .real = c->dtype[0] == ITO_F64 ? ITO_F64 : ITO_F32};
}

/* The time of the k-th step. */
static int64_t time_of(const recurrent *s, int64_t k)
{
    return s->reverse ? s->steps - 1 - k : k;
}

/* Element [t, row] of dense [.., N, size]. */
static void *row_at(const ito_tensor *t, const recurrent *s, int64_t time, int64_t row,
                    int64_t size)
{
    return (char *)tensor_data(t) +
           (size_t)((time * s->batch + row) * size) * ito_dtype_size(t->dtype);
}

/* t dense and in this type; t itself if it is so. */
static ito_tensor *dense_as(ito_tensor *t, ito_dtype dtype)
{
    if (t == NULL || t->dtype == dtype)
        return t == NULL ? NULL : tensor_contiguous(t);
    ito_tensor *copy = tensor_empty(ito_shape_of(t), dtype);
    if (copy != NULL)
        tensor_copy(copy, t);
    return copy;
}

/* Element `time` of the first axis. */
static ito_tensor *at_time(const ito_tensor *t, int64_t time)
{
    ito_shape shape = {.ndim = t->ndim - 1};
    for (int i = 0; i < shape.ndim; i++)
        shape.dim[i] = t->shape[i + 1];
    return tensor_view(t, shape, t->stride + 1, t->offset + time * t->stride[0]);
}

/* ---- forward ---- */

typedef struct recurrent_forward {
    recurrent s;
    ito_tensor *gates, *kept, *out;          /* of all steps */
    ito_tensor *from_state, *state, *before; /* of one step: reals [N, ..]; before: c_0 or h_0 */
} recurrent_forward;

/* h goes to the result, rounded, and to the state as it is there. */
static void put_state(const recurrent_forward *f, int64_t time, int64_t row)
{
    int64_t n = f->s.hidden;
    void *out = row_at(f->out, &f->s, time, row, n);
    float *h = row_at(f->state, &f->s, 0, row, n);
    if (f->out->dtype != ITO_BF16) {
        memcpy(out, h, (size_t)n * ito_dtype_size(f->s.real));
        return;
    }
    uint16_t *rounded = out;
    for (int64_t j = 0; j < n; j++) {
        rounded[j] = f32_to_bf16(h[j]);
        h[j] = bf16_to_f32(rounded[j]);
    }
}

static void step_forward(const recurrent_forward *f, int64_t k, int64_t row)
{
    const recurrent *s = &f->s;
    int64_t time = time_of(s, k), n = s->hidden;
    step_rows p = {.gates = row_at(f->gates, s, time, row, s->width),
                   .from_state = row_at(f->from_state, s, 0, row, s->width),
                   .h = row_at(f->state, s, 0, row, n)};
    if (f->kept != NULL)
        p.kept = row_at(f->kept, s, time, row, n);
    if (s->cell == CELL_GRU)
        p.before = p.h;
    else if (s->cell == CELL_LSTM)
        p.before = k == 0 ? row_at(f->before, s, 0, row, n)
                          : row_at(f->kept, s, time_of(s, k - 1), row, n);
    if (s->real == ITO_F64)
        forward_f64(s, &p);
    else
        forward_f32(s, &p);
    put_state(f, time, row);
}

static bool run_steps(const recurrent_forward *f, const ito_tensor *h_0, const ito_tensor *weight,
                      const ito_tensor *bias)
{
    const recurrent *s = &f->s;
    for (int64_t k = 0; k < s->steps; k++) {
        gemm_problem product = {.a_dtype = h_0->dtype,
                                .b_dtype = weight->dtype,
                                .c_dtype = s->real,
                                .m = s->batch,
                                .n = s->width,
                                .k = s->hidden,
                                .a = k == 0 ? tensor_data(h_0)
                                            : row_at(f->out, s, time_of(s, k - 1), 0, s->hidden),
                                .a_row = s->hidden,
                                .a_col = 1,
                                .b = tensor_data(weight),
                                .b_row = 1,
                                .b_col = s->hidden,
                                .c = tensor_data(f->from_state),
                                .c_row = s->width,
                                .bias = bias == NULL ? NULL : tensor_data(bias)};
        if (gemm(&product) != ITO_OK)
            return false;
        PARALLEL_FOR(row, s->batch, 4 * s->batch * s->width, step_forward(f, k, row));
    }
    return true;
}

ito_tensor *op_recurrent_forward(op_call *c)
{
    recurrent s = recurrent_of(c);
    bool lstm = s.cell == CELL_LSTM, kept = lstm || s.cell == CELL_GRU;
    ito_shape state = ITO_SHAPE(s.batch, s.hidden);
    recurrent_forward f = {.s = s};
    f.out = tensor_empty(ITO_SHAPE(s.steps + lstm, s.batch, s.hidden), c->dtype[0]);
    f.gates = c->extra[0] = tensor_empty(c->shape[0], s.real);
    f.kept = c->extra[1] =
        kept ? tensor_empty(ITO_SHAPE(s.steps, s.batch, s.hidden), s.real) : NULL;
    f.from_state = tensor_empty(ITO_SHAPE(s.batch, s.width), s.real);
    f.state = tensor_empty(state, s.real);
    f.before = lstm ? dense_as(c->in[4], s.real) : NULL;
    ito_tensor *h_0 = tensor_contiguous(c->in[3]), *weight = tensor_contiguous(c->in[1]);
    ito_tensor *bias = tensor_contiguous(c->in[2]);
    if (f.out == NULL || f.gates == NULL || (kept && f.kept == NULL) || f.from_state == NULL ||
        f.state == NULL || (lstm && f.before == NULL) || h_0 == NULL || weight == NULL ||
        (c->in[2] != NULL && bias == NULL))
        return NULL;
    tensor_copy(f.gates, c->in[0]);
    tensor_copy(f.state, h_0);
    if (!run_steps(&f, h_0, weight, bias))
        return NULL;
    if (lstm) {
        ito_tensor *from = at_time(f.kept, time_of(&s, s.steps - 1));
        ito_tensor *last = at_time(f.out, s.steps);
        if (from == NULL || last == NULL)
            return NULL;
        tensor_copy(last, from);
    }
    return f.out;
}

/* ---- backward ---- */

typedef struct recurrent_backward {
    recurrent s;
    const ito_tensor *gates, *kept;      /* of all steps, as forward left them */
    ito_tensor *out, *h_0, *c_0, *dy;    /* reals, dense */
    ito_tensor *from_input, *from_state; /* gradients [T, N, G H]; one tensor but for a GRU */
    ito_tensor *dh, *dc;                 /* [N, H] */
} recurrent_backward;

static void step_backward(const recurrent_backward *w, int64_t k, int64_t row)
{
    const recurrent *s = &w->s;
    int64_t time = time_of(s, k), n = s->hidden;
    step_rows p = {.gates = row_at(w->gates, s, time, row, s->width),
                   .from_state = row_at(w->from_state, s, time, row, s->width),
                   .from_input = row_at(w->from_input, s, time, row, s->width),
                   .h = row_at(w->dh, s, 0, row, n),
                   .dy = row_at(w->dy, s, time, row, n)};
    if (w->kept != NULL)
        p.kept = row_at(w->kept, s, time, row, n);
    if (w->dc != NULL)
        p.dc = row_at(w->dc, s, 0, row, n);
    const ito_tensor *first = w->c_0 != NULL ? w->c_0 : w->h_0;
    const ito_tensor *later = w->c_0 != NULL ? w->kept : w->out;
    p.before = k == 0 ? row_at(first, s, 0, row, n) : row_at(later, s, time_of(s, k - 1), row, n);
    if (s->real == ITO_F64)
        backward_f64(s, &p);
    else
        backward_f32(s, &p);
}

static bool run_steps_back(const recurrent_backward *w, const ito_tensor *weight)
{
    const recurrent *s = &w->s;
    for (int64_t k = s->steps - 1; k >= 0; k--) {
        PARALLEL_FOR(row, s->batch, 4 * s->batch * s->width, step_backward(w, k, row));
        gemm_problem product = {.a_dtype = s->real,
                                .b_dtype = s->real,
                                .c_dtype = s->real,
                                .m = s->batch,
                                .n = s->hidden,
                                .k = s->width,
                                .a = row_at(w->from_state, s, time_of(s, k), 0, s->width),
                                .a_row = s->width,
                                .a_col = 1,
                                .b = tensor_data(weight),
                                .b_row = s->hidden,
                                .b_col = 1,
                                .c = tensor_data(w->dh),
                                .c_row = s->hidden,
                                .accumulate = s->cell == CELL_GRU};
        if (gemm(&product) != ITO_OK)
            return false;
    }
    return true;
}

/* dw [G H, H] (+)= the gradients of `steps` steps from `time` on, times the states before them. */
static bool add_to_weight(const recurrent_backward *w, ito_tensor *dw, int64_t time, int64_t steps,
                          const void *before, bool accumulate)
{
    const recurrent *s = &w->s;
    gemm_problem product = {.a_dtype = s->real,
                            .b_dtype = s->real,
                            .c_dtype = s->real,
                            .m = s->width,
                            .n = s->hidden,
                            .k = steps * s->batch,
                            .a = row_at(w->from_state, s, time, 0, s->width),
                            .a_row = 1,
                            .a_col = s->width,
                            .b = before,
                            .b_row = s->hidden,
                            .b_col = 1,
                            .c = tensor_data(dw),
                            .c_row = s->hidden,
                            .accumulate = accumulate};
    return gemm(&product) == ITO_OK;
}

/* The first step follows h_0, the others one another. */
static ito_tensor *weight_gradient(const recurrent_backward *w)
{
    const recurrent *s = &w->s;
    ito_tensor *dw = tensor_empty(ITO_SHAPE(s->width, s->hidden), s->real);
    int64_t others = s->reverse ? 0 : 1, before = s->reverse ? 1 : 0;
    bool done = dw != NULL && add_to_weight(w, dw, time_of(s, 0), 1, tensor_data(w->h_0), false);
    if (done && s->steps > 1)
        done = add_to_weight(w, dw, others, s->steps - 1, row_at(w->out, s, before, 0, s->hidden),
                             true);
    return done ? dw : NULL;
}

static bool make_backward(const op_call *c, ito_tensor *dy, recurrent_backward *w)
{
    const recurrent *s = &w->s;
    bool lstm = s->cell == CELL_LSTM, gru = s->cell == CELL_GRU;
    w->gates = c->extra[0];
    w->kept = c->extra[1];
    w->out = dense_as(c->out, s->real);
    w->dy = dense_as(dy, s->real);
    w->h_0 = dense_as(c->in[3], s->real);
    w->c_0 = lstm ? dense_as(c->in[4], s->real) : NULL;
    w->from_state = tensor_empty(c->shape[0], s->real);
    w->from_input = gru ? tensor_empty(c->shape[0], s->real) : w->from_state;
    w->dh = tensor_empty(ITO_SHAPE(s->batch, s->hidden), s->real);
    w->dc = lstm ? tensor_empty(ITO_SHAPE(s->batch, s->hidden), s->real) : NULL;
    if (w->out == NULL || w->dy == NULL || w->h_0 == NULL || w->from_state == NULL ||
        w->from_input == NULL || w->dh == NULL || (lstm && (w->c_0 == NULL || w->dc == NULL)))
        return false;
    tensor_fill(w->dh, 0);
    ito_tensor *last = lstm ? at_time(w->dy, s->steps) : NULL;
    if (last != NULL)
        tensor_copy(w->dc, last);
    return !lstm || last != NULL;
}

bool op_recurrent_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    recurrent_backward w = {.s = recurrent_of(c)};
    const ito_tensor *weight = tensor_contiguous(c->in[1]);
    if (weight == NULL || !make_backward(c, dy, &w) || !run_steps_back(&w, weight))
        return false;
    if (c->needs[0])
        dx[0] = dense_as(w.from_input, c->dtype[0]);
    if (c->needs[1])
        dx[1] = weight_gradient(&w);
    if (c->needs[2])
        dx[2] = ito_sum(w.from_state, .dims = ITO_DIMS(0, 1));
    if (c->needs[3])
        dx[3] = dense_as(w.dh, c->dtype[0]);
    if (c->needs[4])
        dx[4] = dense_as(w.dc, c->dtype[0]);
    for (int i = 0; i < 5; i++)
        if (c->needs[i] && dx[i] == NULL)
            return false;
    return true;
}

/* ---- the definition ---- */

static ito_tensor *gate(ito_tensor *gates, int64_t i, int64_t hidden)
{
    return ito_narrow(gates, -1, i * hidden, hidden);
}

static ito_tensor *step_by_operations(cell_kind cell, ito_tensor *x, ito_tensor *from_state,
                                      ito_tensor *h, ito_tensor **c)
{
    int64_t n = ito_size(h, -1);
    if (cell == CELL_GRU) {
        ito_tensor *r = ito_sigmoid(ito_add(gate(x, 0, n), gate(from_state, 0, n)));
        ito_tensor *z = ito_sigmoid(ito_add(gate(x, 1, n), gate(from_state, 1, n)));
        ito_tensor *m = ito_mul(r, gate(from_state, 2, n));
        ito_tensor *candidate = ito_tanh(ito_add(gate(x, 2, n), m));
        return ito_add(candidate, ito_mul(z, ito_sub(h, candidate)));
    }
    ito_tensor *gates = ito_add(x, from_state);
    if (cell != CELL_LSTM)
        return cell == CELL_TANH ? ito_tanh(gates) : ito_relu(gates);
    ito_tensor *in = ito_mul(ito_sigmoid(gate(gates, 0, n)), ito_tanh(gate(gates, 2, n)));
    *c = ito_add(ito_mul(ito_sigmoid(gate(gates, 1, n)), *c), in);
    return ito_mul(ito_sigmoid(gate(gates, 3, n)), ito_tanh(*c));
}

ito_tensor *op_recurrent_composite(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n;
    const recurrent_params *p = params;
    int64_t steps = ito_size(in[0], 0);
    ito_tensor *h = in[3], *c = in[4];
    ito_tensor **list = mem_alloc((size_t)(steps + 1) * sizeof(ito_tensor *));
    if (list == NULL)
        return NULL;
    for (int64_t k = 0; k < steps; k++) {
        int64_t time = p->reverse ? steps - 1 - k : k;
        h = step_by_operations(p->cell, ito_select(in[0], 0, time), ito_linear(h, in[1], in[2]), h,
                               &c);
        list[time] = ito_unsqueeze(h, 0);
    }
    list[steps] = p->cell == CELL_LSTM ? ito_unsqueeze(c, 0) : NULL;
    ito_tensor *y = ito_cat(list, steps + (p->cell == CELL_LSTM), 0);
    mem_free(list);
    return y;
}

ito_tensor *recurrent_layer(cell_kind cell, bool reverse, ito_tensor *gates, ito_tensor *weight,
                            ito_tensor *bias, ito_tensor *h_0, ito_tensor *c_0)
{
    recurrent_params p = {cell, reverse};
    return op_apply_optional(OP_recurrent, (ito_tensor *[]){gates, weight, bias, h_0, c_0}, 5,
                             cell == CELL_LSTM ? 1 << 2 : 1 << 2 | 1 << 4, &p, sizeof p);
}
