/* A cell's step for one row of the batch, after the product with the state, and its derivative.
 * Included once for each REAL, with ROW(name) its name for it and TYPE its dtype. Internal.
 *
 * Gates lie side by side, H numbers each: i f g o of an LSTM, r z n of a GRU. What was made of the
 * input is replaced by the gates themselves, which backward needs. */

static void ROW(add)(REAL *to, const REAL *from, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        to[j] += from[j];
}

/* h = f(gates + from_state) */
static void ROW(plain_forward)(cell_kind kind, REAL *gates, const REAL *from_state, REAL *h,
                               int64_t n)
{
    ROW(add)(gates, from_state, n);
    if (kind == CELL_TANH)
        kernels(TYPE)->tanh(gates, gates, 1, n, 0, 0);
    else
        kernels(TYPE)->relu(gates, gates, 1, n, 0, 0);
    memcpy(h, gates, (size_t)n * sizeof *h);
}

static void ROW(plain_backward)(cell_kind kind, REAL *dgates, const REAL *gates, REAL *dh,
                                int64_t n)
{
    for (int64_t j = 0; j < n; j++) {
        REAL slope = kind == CELL_TANH ? 1 - gates[j] * gates[j] : (REAL)(gates[j] > 0);
        dgates[j] = dh[j] * slope;
    }
}

/* c' = f c + i g, h' = o tanh(c') */
static void ROW(lstm_forward)(REAL *gates, const REAL *from_state, const REAL *c_before, REAL *c,
                              REAL *h, int64_t n)
{
    const kernel_table *k = kernels(TYPE);
    const REAL *i = gates, *f = gates + n, *g = gates + 2 * n, *o = gates + 3 * n;
    ROW(add)(gates, from_state, 4 * n);
    k->sigmoid(gates, gates, 1, 2 * n, 0, 0);
    k->tanh(gates + 2 * n, g, 1, n, 0, 0);
    k->sigmoid(gates + 3 * n, o, 1, n, 0, 0);
    for (int64_t j = 0; j < n; j++)
        c[j] = f[j] * c_before[j] + i[j] * g[j];
    k->tanh(h, c, 1, n, 0, 0);
    for (int64_t j = 0; j < n; j++)
        h[j] *= o[j];
}

/* dc, that of c', becomes that of c. */
static void ROW(lstm_backward)(REAL *dgates, const REAL *gates, const REAL *c_before, const REAL *c,
                               const REAL *dh, REAL *dc, int64_t n)
{
    const REAL *i = gates, *f = gates + n, *g = gates + 2 * n, *o = gates + 3 * n;
    REAL *tanh_c = dgates + 3 * n; /* until its place is needed */
    kernels(TYPE)->tanh(tanh_c, c, 1, n, 0, 0);
    for (int64_t j = 0; j < n; j++) {
        REAL t = tanh_c[j], d = dc[j] + dh[j] * o[j] * (1 - t * t);
        dgates[j] = d * g[j] * i[j] * (1 - i[j]);
        dgates[n + j] = d * c_before[j] * f[j] * (1 - f[j]);
        dgates[2 * n + j] = d * i[j] * (1 - g[j] * g[j]);
        dgates[3 * n + j] = dh[j] * t * o[j] * (1 - o[j]);
        dc[j] = d * f[j];
    }
}

/* n = tanh(.. + r m) with m, the state's part, kept; h' = (1 - z) n + z h */
static void ROW(gru_forward)(REAL *gates, REAL *from_state, REAL *m, const REAL *h_before, REAL *h,
                             int64_t n)
{
    const kernel_table *k = kernels(TYPE);
    const REAL *r = gates, *z = gates + n;
    REAL *candidate = gates + 2 * n;
    ROW(add)(gates, from_state, 2 * n);
    k->sigmoid(gates, gates, 1, 2 * n, 0, 0);
    memcpy(m, from_state + 2 * n, (size_t)n * sizeof *m);
    for (int64_t j = 0; j < n; j++)
        candidate[j] += r[j] * m[j];
    k->tanh(candidate, candidate, 1, n, 0, 0);
    for (int64_t j = 0; j < n; j++)
        h[j] = (1 - z[j]) * candidate[j] + z[j] * h_before[j];
}

/* dx: of the input's part, ds: of the state's. dh, that of h', becomes that of h besides the
 * state's part. */
static void ROW(gru_backward)(REAL *dx, REAL *ds, const REAL *gates, const REAL *m,
                              const REAL *h_before, REAL *dh, int64_t n)
{
    const REAL *r = gates, *z = gates + n, *candidate = gates + 2 * n;
    for (int64_t j = 0; j < n; j++) {
        REAL dn = dh[j] * (1 - z[j]) * (1 - candidate[j] * candidate[j]);
        dx[j] = ds[j] = dn * m[j] * r[j] * (1 - r[j]);
        dx[n + j] = ds[n + j] = dh[j] * (h_before[j] - candidate[j]) * z[j] * (1 - z[j]);
        dx[2 * n + j] = dn;
        ds[2 * n + j] = dn * r[j];
        dh[j] *= z[j];
    }
}

static void ROW(forward)(const recurrent *s, const step_rows *p)
{
    int64_t n = s->hidden;
    if (s->cell == CELL_LSTM)
        ROW(lstm_forward)(p->gates, p->from_state, p->before, p->kept, p->h, n);
    else if (s->cell == CELL_GRU)
        ROW(gru_forward)(p->gates, p->from_state, p->kept, p->before, p->h, n);
    else
        ROW(plain_forward)(s->cell, p->gates, p->from_state, p->h, n);
}

static void ROW(backward)(const recurrent *s, const step_rows *p)
{
    int64_t n = s->hidden;
    ROW(add)(p->h, p->dy, n);
    if (s->cell == CELL_LSTM)
        ROW(lstm_backward)(p->from_state, p->gates, p->before, p->kept, p->h, p->dc, n);
    else if (s->cell == CELL_GRU)
        ROW(gru_backward)(p->from_input, p->from_state, p->gates, p->kept, p->before, p->h, n);
    else
        ROW(plain_backward)(s->cell, p->from_state, p->gates, p->h, n);
}
