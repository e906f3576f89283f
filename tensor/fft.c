/* Fourier transforms: plans, rows gathered and scattered, real transforms, Bluestein's. */
#include "tensor/fft.h"
#include "tensor/convert.h"
#include "tensor/profile.h"

#include <math.h>
#include <string.h>

enum { FFT_LARGEST_RADIX = 32, FFT_FACTORS = 48 };

/* A complex transform of length n by passes. */
typedef struct fft_plan {
    int64_t n;
    int factors, factor[FFT_FACTORS];
    const double *root;  /* exp(-2 pi i k / n) for k < n: pairs, */
    int64_t root_stride; /* so many apart */
} fft_plan;

#define real float
#define SUFFIX f32
#include "tensor/fft_passes.h"
#undef real
#undef SUFFIX
#define real double
#define SUFFIX f64
#include "tensor/fft_passes.h"
#include "tensor/threads.h"
#undef real
#undef SUFFIX

/* ---- roots of unity ----------------------------------------------------------------------------
 */

/* exp(-2 pi i k / n) for 0 <= k < n, from an angle of at most an eighth of a turn, which cos and
 * sin take without loss. */
static void unit_root(int64_t k, int64_t n, double *out)
{
    double sign = -1, flip = 1; /* of the sine and the cosine */
    if (2 * k > n) {
        k = n - k;
        sign = 1;
    }
    if (4 * k > n) { /* pi - angle: (n - 2 k) / (2 n) of a turn */
        k = n - 2 * k;
        n *= 2;
        flip = -1;
    }
    bool swap = 8 * k > n;
    if (swap) { /* pi / 2 - angle */
        k = n - 4 * k;
        n *= 4;
    }
    double angle = 2 * M_PI * (double)k / (double)n, c = cos(angle), s = sin(angle);
    out[0] = flip * (swap ? s : c);
    out[1] = sign * (swap ? c : s);
}

/* Where 8 divides n an eighth of the roots gives all. */
static void fill_roots(double *root, int64_t n)
{
    int64_t eighth = n / 8;
    if (n % 8 != 0) {
        for (int64_t k = 0; k < n; k++)
            unit_root(k, n, root + 2 * k);
        return;
    }
    for (int64_t k = 0; k <= eighth; k++) {
        double w[2];
        unit_root(k, n, w);
        double c = w[0], s = -w[1];
        const double all[8][2] = {{c, -s}, {s, -c}, {-s, -c}, {-c, -s},
                                  {-c, s}, {-s, c}, {s, c},   {c, s}};
        const int64_t at[8] = {k,
                               2 * eighth - k,
                               2 * eighth + k,
                               4 * eighth - k,
                               4 * eighth + k,
                               6 * eighth - k,
                               6 * eighth + k,
                               n - k};
        for (int i = 0; i < 8; i++)
            if (at[i] < n)
                memcpy(root + 2 * at[i], all[i], sizeof *all);
    }
}

/* n as radices, those of 4 first; false if a prime above 31 is left. */
static bool factorize(fft_plan *plan, int64_t n)
{
    plan->n = n;
    plan->factors = 0;
    int64_t left = n;
    while (left % 4 == 0) {
        plan->factor[plan->factors++] = 4;
        left /= 4;
    }
    for (int r = 2; r < FFT_LARGEST_RADIX; r++)
        while (left % r == 0) {
            plan->factor[plan->factors++] = r;
            left /= r;
        }
    return left == 1;
}

/* ---- a complex transform of any length ---------------------------------------------------------
 */

typedef struct transform {
    int64_t n;
    bool in_double;  /* numbers are double, else float */
    fft_plan direct; /* of n; of Bluestein's convolution if that is taken */
    bool bluestein;
    const double *chirp, *spectrum; /* exp(-pi i k^2 / n), and the transform of its conjugate */
} transform;

static int64_t convolution_length(int64_t n)
{
    int64_t m = 1;
    while (m < 2 * n - 1)
        m *= 2;
    return m;
}

/* Doubles for the tables of Bluestein's. */
static int64_t tables_size(const transform *t)
{
    return t->bluestein ? 2 * t->n + 6 * t->direct.n : 0;
}

static transform transform_of(int64_t n, bool in_double)
{
    transform t = {.n = n, .in_double = in_double};
    t.bluestein = !factorize(&t.direct, n);
    if (t.bluestein) {
        t.in_double = true;
        factorize(&t.direct, convolution_length(n));
    }
    return t;
}

/* Bluestein 1970: j k = (j^2 + k^2 - (k - j)^2) / 2 makes a convolution with a chirp of it. */
static void fill_tables(transform *t, double *tables)
{
    int64_t m = t->direct.n;
    t->direct.root = tables;
    t->direct.root_stride = 1;
    fill_roots(tables, m);
    double *chirp = tables + 2 * m, *a = chirp + 2 * t->n, *b = a + 2 * m;
    for (int64_t k = 0; k < t->n; k++)
        unit_root(
            (int64_t)((unsigned __int128)k * (unsigned __int128)k % (unsigned __int128)(2 * t->n)),
            2 * t->n, chirp + 2 * k);
    memset(a, 0, (size_t)(2 * m) * sizeof *a);
    for (int64_t k = 0; k < t->n; k++) {
        int64_t mirrored = k == 0 ? 0 : m - k;
        a[k] = a[mirrored] = chirp[2 * k];
        a[m + k] = a[m + mirrored] = -chirp[2 * k + 1];
    }
    t->chirp = chirp;
    t->spectrum = transform_f64(&t->direct, 1, a, b);
}

/* Numbers (of the transform's type) that one lane takes. */
static int64_t lane_size(const transform *t)
{
    return 4 * t->direct.n;
}

/* a, b: as of the passes, of lanes times direct.n complex numbers each; rows are n long. */
static double *convolve(const transform *t, int64_t lanes, double *a, double *b)
{
    int64_t n = t->n, m = t->direct.n, size = lanes * m;
    for (int64_t k = 0; k < m; k++)
        for (int64_t i = lanes * k; i < lanes * (k + 1); i++) {
            double r = k < n ? a[i] : 0, im = k < n ? a[size + i] : 0;
            const double *w = t->chirp + 2 * (k < n ? k : 0);
            a[i] = r * w[0] - im * w[1];
            a[size + i] = r * w[1] + im * w[0];
        }
    double *y = transform_f64(&t->direct, lanes, a, b), *other = y == a ? b : a;
    for (int64_t k = 0; k < m; k++)
        for (int64_t i = lanes * k; i < lanes * (k + 1); i++) {
            double r = y[i], im = y[size + i], wr = t->spectrum[k], wi = t->spectrum[m + k];
            other[size + i] = (r * wr - im * wi) / (double)m; /* parts exchanged: the inverse */
            other[i] = (r * wi + im * wr) / (double)m;
        }
    double *z = transform_f64(&t->direct, lanes, other, y);
    for (int64_t k = 0; k < n; k++)
        for (int64_t i = lanes * k; i < lanes * (k + 1); i++) {
            double r = z[size + i], im = z[i];
            const double *w = t->chirp + 2 * k;
            z[i] = r * w[0] - im * w[1];
            z[size + i] = r * w[1] + im * w[0];
        }
    return z;
}

static void *transform_rows(const transform *t, int64_t lanes, void *a, void *b)
{
    if (t->bluestein)
        return convolve(t, lanes, a, b);
    return t->in_double ? (void *)transform_f64(&t->direct, lanes, a, b)
                        : (void *)transform_f32(&t->direct, lanes, a, b);
}

/* ---- rows --------------------------------------------------------------------------------------
 */

enum { LANES = 8, LANE_NUMBERS = 1 << 15 }; /* lanes at most; numbers in all that caches hold */

/* The rows of a tensor along the axis: all other axes but that of (real, imaginary). */
typedef struct rows {
    char *data;
    ito_dtype dtype;
    int ndim;
    int64_t size[ITO_MAX_DIMS], stride[ITO_MAX_DIMS];
    int64_t along, part; /* strides: to the next number, and from real to imaginary */
} rows;

static rows rows_of(const ito_tensor *t, int axis, bool is_complex)
{
    rows r = {.data = tensor_data(t), .dtype = t->dtype, .along = t->stride[axis]};
    int end = t->ndim - is_complex;
    r.part = is_complex ? t->stride[end] : 0;
    for (int i = 0; i < end; i++)
        if (i != axis) {
            r.size[r.ndim] = t->shape[i];
            r.stride[r.ndim++] = t->stride[i];
        }
    return r;
}

static int64_t row_offset(const rows *r, int64_t row)
{
    int64_t at = 0;
    for (int i = r->ndim - 1; i >= 0; i--) {
        at += row % r->size[i] * r->stride[i];
        row /= r->size[i];
    }
    return at;
}

static inline double get(const rows *r, int64_t at)
{
    return r->dtype == ITO_F64    ? ((const double *)r->data)[at]
           : r->dtype == ITO_BF16 ? (double)bf16_to_f32(((const uint16_t *)r->data)[at])
                                  : (double)((const float *)r->data)[at];
}

static inline void set(const rows *r, int64_t at, double value)
{
    if (r->dtype == ITO_F64)
        ((double *)r->data)[at] = value;
    else if (r->dtype == ITO_BF16)
        ((uint16_t *)r->data)[at] = f32_to_bf16((float)value);
    else
        ((float *)r->data)[at] = (float)value;
}

typedef struct job {
    const fft_call *call;
    transform t;
    rows x, y;
    const double *half;   /* real transforms of even length: exp(-2 pi i k / n), k <= n / 2 */
    int64_t lanes, count; /* rows at a time, and in all */
    int64_t scratch;      /* doubles for each thread */
} job;

/* `lanes` rows in one thread's memory. */
typedef struct group {
    const job *j;
    int64_t lanes, x[LANES], y[LANES]; /* offsets of the rows */
    void *a, *b;
    int64_t size; /* from real to imaginary parts */
} group;

static inline void put(const group *g, void *to, int64_t i, double r, double im)
{
    if (g->j->t.in_double) {
        ((double *)to)[i] = r;
        ((double *)to)[g->size + i] = im;
    } else {
        ((float *)to)[i] = (float)r;
        ((float *)to)[g->size + i] = (float)im;
    }
}

static inline double real_of(const group *g, const void *from, int64_t i)
{
    return g->j->t.in_double ? ((const double *)from)[i] : (double)((const float *)from)[i];
}

static inline double imaginary_of(const group *g, const void *from, int64_t i)
{
    return real_of(g, from, g->size + i);
}

/* Number k of the spectrum of a real row in lane b: the second half mirrors the first, and the
 * numbers that are their own mirror image are real. */
static void half_spectrum(const group *g, int64_t b, int64_t k, double *r, double *im)
{
    const rows *x = &g->j->x;
    int64_t n = g->j->call->n, from = 2 * k > n ? n - k : k, at = g->x[b] + from * x->along;
    double sign = 2 * k > n ? -1 : from == 0 || 2 * from == n ? 0 : 1;
    *r = get(x, at);
    *im = sign == 0 ? 0 : sign * get(x, at + x->part);
}

static void gather(const group *g)
{
    const job *j = g->j;
    const rows *x = &j->x;
    bool halved = j->half != NULL;
    for (int64_t k = 0; k < j->t.n; k++)
        for (int64_t b = 0; b < g->lanes; b++) {
            int64_t i = b + g->lanes * k, at = g->x[b] + k * x->along;
            double r, im, mr, mi;
            if (j->call->kind == FFT_COMPLEX) {
                r = get(x, at);
                im = get(x, at + x->part);
                put(g, g->a, i, j->call->inverse ? im : r, j->call->inverse ? r : im);
            } else if (j->call->kind == FFT_REAL && !halved) {
                put(g, g->a, i, get(x, at), 0);
            } else if (j->call->kind == FFT_REAL) {
                put(g, g->a, i, get(x, at + k * x->along), get(x, at + (k + 1) * x->along));
            } else if (!halved) {
                half_spectrum(g, b, k, &r, &im);
                put(g, g->a, i, im, r);
            } else { /* (X_k + X'_(h-k)) + i w^-k (X_k - X'_(h-k)), parts exchanged */
                half_spectrum(g, b, k, &r, &im);
                half_spectrum(g, b, j->t.n - k, &mr, &mi);
                double wr = j->half[2 * k], wi = -j->half[2 * k + 1], dr = r - mr, di = im + mi;
                put(g, g->a, i, im - mi + wr * dr - wi * di, r + mr - wr * di - wi * dr);
            }
        }
}

/* X_k = (Z_k + Z'_(h-k)) / 2 - i w^k (Z_k - Z'_(h-k)) / 2 */
static void combine_halves(const group *g, const void *z, int64_t b, int64_t k, double *r,
                           double *im)
{
    int64_t h = g->j->t.n, i = b + g->lanes * (k % h), mirrored = b + g->lanes * ((h - k) % h);
    double zr = real_of(g, z, i), zi = imaginary_of(g, z, i);
    double mr = real_of(g, z, mirrored), mi = -imaginary_of(g, z, mirrored);
    double dr = (zr - mr) / 2, di = (zi - mi) / 2;
    double wr = g->j->half[2 * k], wi = g->j->half[2 * k + 1];
    *r = (zr + mr) / 2 + wr * di + wi * dr;
    *im = (zi + mi) / 2 + wi * di - wr * dr;
}

static void scatter(const group *g, const void *z)
{
    const job *j = g->j;
    const rows *y = &j->y;
    const fft_call *c = j->call;
    bool halved = j->half != NULL, swap = c->inverse;
    int64_t count = c->kind == FFT_REAL ? c->n / 2 + 1 : j->t.n;
    for (int64_t k = 0; k < count; k++)
        for (int64_t b = 0; b < g->lanes; b++) {
            int64_t i = b + g->lanes * k, at = g->y[b] + k * y->along;
            double r, im;
            if (c->kind == FFT_REAL_INVERSE) {
                if (halved)
                    at += k * y->along;
                set(y, at, c->scale * imaginary_of(g, z, i));
                if (halved)
                    set(y, at + y->along, c->scale * real_of(g, z, i));
                continue;
            }
            if (c->kind == FFT_REAL && halved) {
                combine_halves(g, z, b, k, &r, &im);
            } else {
                r = swap ? imaginary_of(g, z, i) : real_of(g, z, i);
                im = swap ? real_of(g, z, i) : imaginary_of(g, z, i);
            }
            set(y, at, c->scale * r);
            set(y, at + y->part, c->scale * im);
        }
}

/* Whether rows hold the numbers that are computed with. */
static bool is_plain(const job *j)
{
    return j->call->kind == FFT_COMPLEX && j->x.dtype == (j->t.in_double ? ITO_F64 : ITO_F32);
}

static void load(const group *g)
{
    const rows *x = &g->j->x;
    int64_t n = g->j->t.n;
    bool swap = g->j->call->inverse;
    if (!is_plain(g->j))
        gather(g);
    else if (g->j->t.in_double)
        load_f64(g->a, g->size, swap, (double *)x->data, g->x, g->lanes, n, x->along, x->part);
    else
        load_f32(g->a, g->size, swap, (float *)x->data, g->x, g->lanes, n, x->along, x->part);
}

static void store(const group *g, const void *z)
{
    const rows *y = &g->j->y;
    int64_t n = g->j->t.n;
    const fft_call *c = g->j->call;
    if (!is_plain(g->j))
        scatter(g, z);
    else if (g->j->t.in_double)
        store_f64((double *)y->data, g->y, y->along, c->scale, z, g->size, c->inverse, g->lanes, n);
    else
        store_f32((float *)y->data, g->y, y->along, c->scale, z, g->size, c->inverse, g->lanes, n);
}

static void work_on(const job *j, double *scratch, int64_t first)
{
    group g = {.j = j, .a = scratch};
    g.lanes = j->count - first < j->lanes ? j->count - first : j->lanes;
    g.size = g.lanes * j->t.direct.n;
    g.b = (char *)g.a + (size_t)(2 * g.size) * (j->t.in_double ? sizeof(double) : sizeof(float));
    for (int64_t b = 0; b < g.lanes; b++) {
        g.x[b] = row_offset(&j->x, first + b);
        g.y[b] = row_offset(&j->y, first + b);
    }
    load(&g);
    store(&g, transform_rows(&j->t, g.lanes, g.a, g.b));
}

/* Nanoseconds that a row takes, about. */
static int64_t row_cost(const job *j)
{
    int64_t n = j->t.direct.n, passes = j->t.direct.factors + 2;
    return n * passes * (j->t.bluestein ? 4 : 2);
}

static void run(const job *j, double *scratch, int team)
{
#pragma omp parallel for num_threads(team) schedule(static)
    for (int64_t first = 0; first < j->count; first += j->lanes)
        work_on(j, scratch + thread_number() * j->scratch, first);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

bool fft(ito_tensor *y, const ito_tensor *x, const fft_call *call)
{
    bool halved = call->kind != FFT_COMPLEX && call->n % 2 == 0;
    job j = {.call = call, .count = 1};
    j.x = rows_of(x, call->axis, call->kind != FFT_REAL);
    j.y = rows_of(y, call->axis, call->kind != FFT_REAL_INVERSE);
    for (int i = 0; i < j.x.ndim; i++)
        j.count *= j.x.size[i];
    if (j.count == 0)
        return true;
    j.t = transform_of(halved ? call->n / 2 : call->n, x->dtype == ITO_F64);
    for (j.lanes = 1; 2 * j.lanes <= least(LANES, least(j.count, LANE_NUMBERS / j.t.direct.n));)
        j.lanes *= 2; /* a power of two fills vectors */
    j.scratch = j.lanes * lane_size(&j.t);
    int64_t groups = (j.count + j.lanes - 1) / j.lanes;
    int team = (int)least(threads_for(j.count * row_cost(&j)), groups);
    int64_t roots = 2 * call->n, tables = tables_size(&j.t);
    double *room = mem_alloc((size_t)(roots + tables + team * j.scratch) * sizeof *room);
    if (room == NULL)
        return false;
    profile_frame frame;
    profile_begin(&frame);
    fill_roots(room, call->n);
    j.half = halved ? room : NULL;
    if (j.t.bluestein) {
        fill_tables(&j.t, room + roots);
    } else {
        j.t.direct.root = room;
        j.t.direct.root_stride = halved ? 2 : 1;
    }
    run(&j, room + roots + tables, team);
    mem_free(room);
    static profile_row row = PROFILE_ROW("Fourier transforms");
    profile_end(&frame, &row);
    return true;
}
