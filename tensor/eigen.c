/* Eigenvalues and eigenvectors of symmetric matrices, and orthonormal bases.
 * Invariant: every sum has a fixed order and every output one writer, so results do not depend on
 * the number of threads. */
#include "tensor/eigen.h"

#include "tensor/internal.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- vectors ---- */

/* Eight partial sums, which the compiler can keep in vectors without changing the order. */
static double dot(const double *x, const double *y, int64_t n)
{
    double part[8] = {0}, rest = 0.0;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int lane = 0; lane < 8; lane++)
            part[lane] += x[i + lane] * y[i + lane];
    for (; i < n; i++)
        rest += x[i] * y[i];
    return ((part[0] + part[4]) + (part[1] + part[5])) +
           ((part[2] + part[6]) + (part[3] + part[7])) + rest;
}

static void add_scaled(double *restrict y, double c, const double *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += c * x[i];
}

/* ---- to tridiagonal form ---- */

/* Make v, in place of x [n], and tau such that (1 - tau v v^T) x = (result, 0, ..., 0), v[0] = 1.
 * tau is 0 where x has that form already. */
static double reflector(double *x, int64_t n, double *tau)
{
    double tail = dot(x + 1, x + 1, n - 1), first = x[0];
    if (tail == 0.0) {
        *tau = 0.0;
        return first;
    }
    double norm = sqrt(first * first + tail), result = first > 0.0 ? -norm : norm;
    for (int64_t i = 1; i < n; i++)
        x[i] /= first - result;
    x[0] = 1.0;
    *tau = (result - first) / result;
    return result;
}

/* The block after row k becomes H block H, H = 1 - tau v v^T. w [n] is scratch. */
static void apply_both_sides(double *a, int64_t n, int64_t k, double tau, double *w)
{
    int64_t m = n - k - 1;
    const double *v = a + k * n + k + 1;
    double *block = a + (k + 1) * n + k + 1;
#pragma omp parallel for num_threads(threads_for(m *m)) schedule(static)
    for (int64_t i = 0; i < m; i++)
        w[i] = tau * dot(block + i * n, v, m);
    add_scaled(w, -0.5 * tau * dot(w, v, m), v, m);
#pragma omp parallel for num_threads(threads_for(m *m)) schedule(static)
    for (int64_t i = 0; i < m; i++) {
        double *row = block + i * n, vi = v[i], wi = w[i];
        for (int64_t j = 0; j < m; j++)
            row[j] -= vi * w[j] + wi * v[j];
    }
}

/* a = Q T Q^T with T of diagonal d [n] and off-diagonal e [n - 1]. Row k of a keeps the reflector
 * of step k from its element k + 1 on, tau [n] its factor. */
static void tridiagonalise(double *a, int64_t n, double *d, double *e, double *tau, double *w)
{
    for (int64_t k = 0; k < n; k++) {
        d[k] = a[k * n + k];
        tau[k] = 0.0;
        if (k + 2 < n) {
            e[k] = reflector(a + k * n + k + 1, n - k - 1, &tau[k]);
            if (tau[k] != 0.0)
                apply_both_sides(a, n, k, tau[k], w);
        } else if (k + 1 < n) {
            e[k] = a[k * n + k + 1];
        }
    }
}

/* q = Q^T, the product of the reflectors, last one first; each row by itself. */
static void form_q(const double *a, int64_t n, const double *tau, double *q)
{
    memset(q, 0, (size_t)(n * n) * sizeof *q);
#pragma omp parallel for num_threads(threads_for(n *n)) schedule(static, 1)
    for (int64_t r = 0; r < n; r++) {
        double *row = q + r * n;
        row[r] = 1.0;
        for (int64_t k = r - 1 < n - 3 ? r - 1 : n - 3; k >= 0; k--) {
            const double *v = a + k * n + k + 1;
            if (tau[k] != 0.0)
                add_scaled(row + k + 1, -tau[k] * dot(row + k + 1, v, n - k - 1), v, n - k - 1);
        }
    }
}

/* ---- rotations ---- */

/* Rotate row `row` of the vectors and the next one: (c x - s y, s x + c y). */
typedef struct rotation {
    int64_t row;
    double c, s;
} rotation;

/* Rotations are collected, then applied together to strips of the vectors that fit into the cache.
 */
typedef struct rotations {
    double *vectors; /* n x n, or NULL: then rotations are dropped */
    double *strips;  /* n x STRIP for each of the parallel strips */
    rotation *list;
    int64_t n, count, room;
} rotations;

enum { STRIP = 32 };

static void rotate_strip(const rotations *r, double *strip, int64_t first, int64_t width)
{
    for (int64_t i = 0; i < r->n; i++)
        memcpy(strip + i * STRIP, r->vectors + i * r->n + first, (size_t)width * sizeof *strip);
    for (int64_t k = 0; k < r->count; k++) {
        double c = r->list[k].c, s = r->list[k].s;
        double *restrict x = strip + r->list[k].row * STRIP, *restrict y = x + STRIP;
        for (int j = 0; j < STRIP; j++) {
            double old = y[j];
            y[j] = s * x[j] + c * old;
            x[j] = c * x[j] - s * old;
        }
    }
    for (int64_t i = 0; i < r->n; i++)
        memcpy(r->vectors + i * r->n + first, strip + i * STRIP, (size_t)width * sizeof *strip);
}

static void rotations_apply(rotations *r)
{
    int64_t strips = (r->n + STRIP - 1) / STRIP;
#pragma omp parallel for num_threads(threads_for(r->count * r->n)) schedule(static)
    for (int64_t i = 0; i < strips; i++) {
        int64_t first = i * STRIP, left = r->n - first;
        rotate_strip(r, r->strips + i * r->n * STRIP, first, left < STRIP ? left : STRIP);
    }
    r->count = 0;
}

static void rotations_add(rotations *r, int64_t row, double c, double s)
{
    if (r->vectors == NULL)
        return;
    r->list[r->count++] = (rotation){row, c, s};
    if (r->count == r->room)
        rotations_apply(r);
}

/* ---- from tridiagonal form ---- */

/* One step of implicit QL on rows l to m of (d, e), e[m] being 0: the bulge is chased upwards. */
static void ql_step(double *d, double *e, int64_t l, int64_t m, rotations *r)
{
    double half = (d[l + 1] - d[l]) / (2.0 * e[l]), root = hypot(half, 1.0);
    double g = d[m] - d[l] + e[l] / (half + copysign(root, half));
    double s = 1.0, c = 1.0, p = 0.0;
    for (int64_t i = m - 1; i >= l; i--) {
        double f = s * e[i], b = c * e[i], h = hypot(f, g);
        e[i + 1] = h;
        if (h == 0.0) { /* the matrix falls into two parts here */
            d[i + 1] -= p;
            e[m] = 0.0;
            return;
        }
        s = f / h;
        c = g / h;
        g = d[i + 1] - p;
        double t = (d[i] - g) * s + 2.0 * c * b;
        p = s * t;
        d[i + 1] = g + p;
        g = c * t - b;
        rotations_add(r, i, c, s);
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0.0;
}

/* d becomes the eigenvalues. e has room for n numbers. */
static ito_status ql(double *d, double *e, int64_t n, rotations *r)
{
    e[n - 1] = 0.0;
    for (int64_t l = 0; l < n; l++) {
        for (int step = 0;; step++) {
            int64_t m = l;
            while (m < n - 1 && fabs(e[m]) > DBL_EPSILON * (fabs(d[m]) + fabs(d[m + 1])))
                m++;
            if (m == l)
                break;
            if (step == 60)
                return error_status(ITO_ERR_NUMERIC,
                                    "eigen: value %" PRId64 " of %" PRId64 " does not converge", l,
                                    n);
            ql_step(d, e, l, m, r);
        }
    }
    if (r->count > 0)
        rotations_apply(r);
    return ITO_OK;
}

static void sort(double *values, double *vectors, int64_t n, double *scratch)
{
    size_t row = (size_t)n * sizeof *vectors;
    for (int64_t i = 0; i + 1 < n; i++) {
        int64_t least = i;
        for (int64_t j = i + 1; j < n; j++)
            least = values[j] < values[least] ? j : least;
        if (least == i)
            continue;
        double value = values[i];
        values[i] = values[least];
        values[least] = value;
        if (vectors == NULL)
            continue;
        memcpy(scratch, vectors + i * n, row);
        memcpy(vectors + i * n, vectors + least * n, row);
        memcpy(vectors + least * n, scratch, row);
    }
}

/* Multiply a by the power of two that brings its largest element to [1/2, 1), so that no square
 * overflows; its exponent. */
static int scale(double *a, int64_t count)
{
    double largest = 0.0;
    int exponent;
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(a[i]));
    frexp(largest, &exponent);
    for (int64_t i = 0; i < count; i++)
        a[i] = ldexp(a[i], -exponent);
    return exponent;
}

ito_status symmetric_eigen(double *a, int64_t n, double *values, double *vectors)
{
    if (n == 0)
        return ITO_OK;
    int64_t strips = (n + STRIP - 1) / STRIP * STRIP;
    rotations r = {.vectors = vectors, .n = n, .room = 64 * n};
    double *work = mem_alloc((size_t)(3 * n) * sizeof *work);
    ito_status status = ITO_ERR_MEMORY;
    if (vectors != NULL) {
        r.strips = mem_alloc((size_t)(n * strips) * sizeof *r.strips);
        r.list = mem_alloc((size_t)r.room * sizeof *r.list);
    }
    if (work != NULL && (vectors == NULL || (r.strips != NULL && r.list != NULL))) {
        double *e = work, *tau = work + n, *w = work + 2 * n;
        int exponent = scale(a, n * n);
        tridiagonalise(a, n, values, e, tau, w);
        if (vectors != NULL) {
            memset(r.strips, 0, (size_t)(n * strips) * sizeof *r.strips);
            form_q(a, n, tau, vectors);
        }
        status = ql(values, e, n, &r);
        sort(values, vectors, n, w);
        for (int64_t i = 0; i < n; i++)
            values[i] = ldexp(values[i], exponent);
    }
    mem_free(r.list);
    mem_free(r.strips);
    mem_free(work);
    return status;
}

/* ---- orthonormal bases ---- */

/* Subtract tau (row . v) v, v [m], from the end of a row of n. */
static void reflect(double *row, const double *v, int64_t n, int64_t m, double tau)
{
    double *end = row + n - m;
    add_scaled(end, -tau * dot(end, v, m), v, m);
}

ito_status orthonormal_rows(double *a, int64_t n, double *q)
{
    double *tau = mem_alloc((size_t)n * sizeof *tau);
    if (tau == NULL)
        return ITO_ERR_MEMORY;
    scale(a, n * n);
    /* Row k of a keeps its reflector from its element k on. */
    for (int64_t k = 0; k < n; k++) {
        reflector(a + k * n + k, n - k, &tau[k]);
        if (tau[k] == 0.0)
            continue;
#pragma omp parallel for num_threads(threads_for((n - k) * (n - k))) schedule(static)
        for (int64_t j = k + 1; j < n; j++)
            reflect(a + j * n, a + k * n + k, n, n - k, tau[k]);
    }
    memset(q, 0, (size_t)(n * n) * sizeof *q);
#pragma omp parallel for num_threads(threads_for(n *n)) schedule(static, 1)
    for (int64_t j = 0; j < n; j++) {
        q[j * n + j] = 1.0;
        for (int64_t k = j; k >= 0; k--)
            if (tau[k] != 0.0)
                reflect(q + j * n, a + k * n + k, n, n - k, tau[k]);
    }
    mem_free(tau);
    return ITO_OK;
}
