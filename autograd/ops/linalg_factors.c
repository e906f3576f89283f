/* QR, singular values, eigenvalues, and what follows from them. An operation has one result, so
 * factors lie side by side in one tensor, of which the public functions give parts. */
#include "autograd/ops.h"
#include "autograd/ops/matrices.h"

#include <float.h>
#include <lapack.h>
#include <string.h>

enum { BLOCK = 64 }; /* LAPACK's blocks: the width of its workspaces */

typedef struct sizes {
    int64_t m, n, k; /* k = min(m, n) */
} sizes;

static sizes sizes_of(const op_call *c)
{
    const ito_shape *s = &c->shape[0];
    int64_t m = s->dim[s->ndim - 2], n = s->dim[s->ndim - 1];
    return (sizes){m, n, m < n ? m : n};
}

static int32_t at_least_1(int64_t n)
{
    return (int32_t)(n > 1 ? n : 1);
}

/* The batch of in[0] and a matrix of this size. */
static ito_tensor *result(const op_call *c, int64_t rows, int64_t columns)
{
    ito_shape shape = c->shape[0];
    shape.dim[shape.ndim - 2] = rows;
    shape.dim[shape.ndim - 1] = columns;
    return tensor_empty(shape, c->dtype[0]);
}

/* Part of the packed factors along their axis -2 or -1. */
static ito_tensor *part(ito_tensor *packed, int axis, int64_t first, int64_t count)
{
    return ito_narrow(packed, axis, first, count);
}

static ito_tensor *product3(ito_tensor *a, ito_tensor *b, ito_tensor *c)
{
    return ito_matmul(ito_matmul(a, b), c);
}

/* ---- QR: [.., K, M + N], Q^T and R side by side ------------------------------------------------
 */

static int64_t qr_room(sizes s)
{
    return BLOCK * (s.m + s.n + 1);
}

static int qr(const op_call *c, ito_tensor *y, int64_t b, double *scratch)
{
    sizes s = sizes_of(c);
    int32_t m = (int32_t)s.m, n = (int32_t)s.n, k = (int32_t)s.k, lead = at_least_1(m), failed;
    int32_t room = (int32_t)qr_room(s);
    double *a = scratch, *tau = a + s.m * s.n, *work = tau + s.k;
    matrix_read(a, c->in[0], b);
    LAPACK_dgeqrf(&m, &n, a, &lead, tau, work, &room, &failed);
    double *r = work; /* a copy with zeros below the diagonal, row by row */
    for (int64_t i = 0; i < s.k; i++) {
        for (int64_t j = 0; j < s.n; j++)
            r[j] = j < i ? 0 : a[i + j * s.m];
        matrix_write(y, b, (matrix_part){i, s.m, 1, s.n, 0, 1}, r);
    }
    if (failed == 0)
        LAPACK_dorgqr(&m, &k, &k, a, &lead, tau, work, &room, &failed);
    matrix_write(y, b, (matrix_part){0, 0, s.k, s.m, s.m, 1}, a);
    return failed;
}

ito_tensor *op_linalg_qr_forward(op_call *c)
{
    sizes s = sizes_of(c);
    return each_matrix(c, result(c, s.k, s.m + s.n), s.m * s.n + s.k + qr_room(s),
                       4 * s.m * s.n * s.k + 100, qr, "has no QR factors");
}

static ito_tensor *q_of(ito_tensor *packed, sizes s)
{
    return transposed(part(packed, -1, 0, s.m));
}

static ito_tensor *r_of(ito_tensor *packed, sizes s)
{
    return part(packed, -1, s.m, s.n);
}

/* With N = R dR^T - dQ^T Q and M's lower triangle mirrored, dA = (dQ + Q M) R^-T: Walter, Lehmann
 * 2018, "Algorithmic differentiation of linear algebra functions". A wide A = [A1 A2] has R2 = Q^T
 * A2 besides. */
bool op_linalg_qr_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    sizes s = sizes_of(c);
    ito_tensor *q = q_of(c->out, s), *dq = q_of(dy, s);
    ito_tensor *r = part(r_of(c->out, s), -1, 0, s.k), *dr = part(r_of(dy, s), -1, 0, s.k);
    ito_tensor *rest = part(r_of(dy, s), -1, s.k, s.n - s.k);
    ito_tensor *a = part(c->in[0], -1, s.k, s.n - s.k);
    if (s.n > s.k)
        dq = ito_add(dq, ito_matmul(a, transposed(rest)));
    ito_tensor *n = ito_sub(ito_matmul(r, transposed(dr)), ito_matmul(transposed(dq), q));
    ito_tensor *mirrored = ito_add(ito_tril(n), transposed(ito_tril(n, .diagonal = -1)));
    ito_tensor *inner = ito_add(dq, ito_matmul(q, mirrored));
    dx[0] = ito_linalg_solve_triangular(transposed(r), inner, .left = false);
    if (s.n > s.k)
        dx[0] = ito_cat(ITO_TENSORS(dx[0], ito_matmul(q, rest)), -1);
    return dx[0] != NULL;
}

/* Two parts of a tensor in one scope; the second where it is wanted. */
static ito_tensor *two_parts(ito_tensor *first, ito_tensor *second, ito_tensor **wanted)
{
    if (first == NULL || second == NULL)
        return NULL;
    if (wanted != NULL)
        *wanted = ito_keep(second);
    return ito_keep(first);
}

ito_tensor *ito_linalg_qr(ito_tensor *a, ito_tensor **r)
{
    if (r != NULL)
        *r = NULL;
    if (!matrices_check("linalg_qr", a, false))
        return NULL;
    int64_t m = a->shape[a->ndim - 2], n = a->shape[a->ndim - 1];
    ito_scope_begin();
    ito_tensor *packed = OP1(linalg_qr, a);
    ito_tensor *q = two_parts(q_of(packed, (sizes){m, n, 0}), r_of(packed, (sizes){m, n, 0}), r);
    ito_scope_end();
    return q;
}

/* ---- LU: [.., M, N + M], both triangles in one matrix, and P beside it -------------------------
 */

static int lu(const op_call *c, ito_tensor *y, int64_t b, double *scratch)
{
    sizes s = sizes_of(c);
    int32_t m = (int32_t)s.m, n = (int32_t)s.n, lead = at_least_1(m), zero;
    double *a = scratch, *p = a + s.m * s.n;
    int32_t *pivot = (int32_t *)(p + s.m * s.m), *row = (int32_t *)(p + s.m * s.m + s.k);
    matrix_read(a, c->in[0], b);
    LAPACK_dgetrf(&m, &n, a, &lead, pivot, &zero); /* a zero pivot is no failure here */
    for (int32_t i = 0; i < m; i++)
        row[i] = i; /* row i of L U is row row[i] of A */
    for (int64_t i = 0; i < s.k; i++) {
        int32_t swap = row[i];
        row[i] = row[pivot[i] - 1];
        row[pivot[i] - 1] = swap;
    }
    memset(p, 0, (size_t)(s.m * s.m) * sizeof *p);
    for (int64_t i = 0; i < s.m; i++)
        p[row[i] + i * s.m] = 1;
    matrix_write(y, b, (matrix_part){0, 0, s.m, s.n, 1, s.m}, a);
    matrix_write(y, b, (matrix_part){0, s.n, s.m, s.m, 1, s.m}, p);
    return 0;
}

ito_tensor *op_linalg_lu_forward(op_call *c)
{
    sizes s = sizes_of(c);
    return each_matrix(c, result(c, s.m, s.n + s.m), s.m * s.n + s.m * s.m + s.k + s.m,
                       s.m * s.n * s.k + 100, lu, "");
}

/* Rows and columns [first, first + count) of matrices. */
static ito_tensor *block(ito_tensor *a, int64_t row, int64_t rows, int64_t column, int64_t columns)
{
    return part(part(a, -2, row, rows), -1, column, columns);
}

static ito_tensor *strictly_lower(ito_tensor *a)
{
    return ito_tril(a, .diagonal = -1);
}

/* L^-1 dA U^-1 is L^-1 dL, below the diagonal, and dU U^-1: Walter, Lehmann 2018. What is right of
 * a wide A's square has U2 = L^-1 A2; what is below a tall one's has L2 = A2 U^-1. */
bool op_linalg_lu_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    sizes s = sizes_of(c);
    ito_tensor *both = block(c->out, 0, s.k, 0, s.k), *p = part(c->out, -1, s.n, s.m);
    ito_tensor *dl = block(dy, 0, s.k, 0, s.k), *du = dl, *other = NULL;
    ito_tensor *lt = transposed(both), *ut = lt; /* upper and unit, and lower: of one matrix */
    if (s.n > s.k) {
        ito_tensor *u2 = block(c->out, 0, s.k, s.k, s.n - s.k);
        other = ito_linalg_solve_triangular(lt, block(dy, 0, s.k, s.k, s.n - s.k), .upper = true,
                                            .unitriangular = true);
        dl = ito_sub(dl, ito_matmul(other, transposed(u2)));
    } else if (s.m > s.k) {
        ito_tensor *l2 = block(c->out, s.k, s.m - s.k, 0, s.k);
        other = ito_linalg_solve_triangular(ut, block(dy, s.k, s.m - s.k, 0, s.k), .left = false);
        du = ito_sub(du, ito_matmul(transposed(l2), other));
    }
    dl = strictly_lower(dl);
    ito_tensor *below = ito_add(dl, ito_matmul(transposed(strictly_lower(both)), dl));
    ito_tensor *above = ito_matmul(ito_triu(du), transposed(ito_triu(both)));
    ito_tensor *inner = ito_add(strictly_lower(below), ito_triu(above));
    ito_tensor *da = ito_linalg_solve_triangular(lt, inner, .upper = true, .unitriangular = true);
    da = ito_linalg_solve_triangular(ut, da, .left = false);
    if (s.m != s.n)
        da = ito_cat(ITO_TENSORS(da, other), s.n > s.k ? -1 : -2);
    dx[0] = ito_matmul(p, da);
    return dx[0] != NULL;
}

ito_tensor *ito_linalg_lu(ito_tensor *a, ito_tensor **l, ito_tensor **u)
{
    if (l != NULL)
        *l = NULL;
    if (u != NULL)
        *u = NULL;
    if (!matrices_check("linalg_lu", a, false))
        return NULL;
    int64_t m = a->shape[a->ndim - 2], n = a->shape[a->ndim - 1], k = m < n ? m : n;
    ito_scope_begin();
    ito_tensor *packed = OP1(linalg_lu, a), *ones = part(ito_eye(m, a->dtype), -1, 0, k);
    ito_tensor *lower = ito_add(strictly_lower(block(packed, 0, m, 0, k)), ones);
    ito_tensor *upper = ito_triu(block(packed, 0, k, 0, n));
    ito_tensor *p = two_parts(ito_detach(part(packed, -1, n, m)), lower, l);
    p = p == NULL || upper == NULL ? NULL : two_parts(p, upper, u);
    ito_scope_end();
    if (p == NULL && l != NULL)
        *l = NULL;
    return p;
}

/* ---- singular values: [.., M + 1 + N, K], U, S and V below each other --------------------------
 */

/* Of the matrix in a, which is overwritten: s [k], u [m, k] and vt [k, n] column by column; u NULL
 * for s alone. work has svd_room. 0, NOT_FINITE, or that it did not converge. */
static int64_t svd_room(sizes s)
{
    return 5 * (s.m + s.n) + 2 * BLOCK * (s.m + s.n + 1);
}

static int decompose(double *a, sizes z, double *s, double *u, double *vt, double *work)
{
    int32_t m = (int32_t)z.m, n = (int32_t)z.n, lead = at_least_1(m), failed;
    int32_t vt_lead = at_least_1(z.k), room = (int32_t)svd_room(z);
    if (!all_finite(a, z.m * z.n))
        return NOT_FINITE;
    const char *job = u == NULL ? "N" : "S";
    LAPACK_dgesvd(job, job, &m, &n, a, &lead, s, u, &lead, vt, &vt_lead, work, &room, &failed);
    return failed;
}

static int64_t svd_scratch(sizes s)
{
    return s.m * s.n + s.k + s.m * s.k + s.k * s.n + svd_room(s);
}

static int64_t svd_cost(sizes s)
{
    return 20 * s.m * s.n * s.k + 500;
}

static int svd(const op_call *c, ito_tensor *y, int64_t b, double *scratch)
{
    sizes s = sizes_of(c);
    double *a = scratch, *values = a + s.m * s.n, *u = values + s.k, *vt = u + s.m * s.k;
    matrix_read(a, c->in[0], b);
    int failed = decompose(a, s, values, u, vt, vt + s.k * s.n);
    if (failed != 0)
        return failed;
    matrix_write(y, b, (matrix_part){0, 0, s.m, s.k, 1, s.m}, u);
    matrix_write(y, b, (matrix_part){s.m, 0, 1, s.k, 0, 1}, values);
    matrix_write(y, b, (matrix_part){s.m + 1, 0, s.n, s.k, s.k, 1}, vt);
    return 0;
}

static const char no_convergence[] = "has singular values that do not converge";

ito_tensor *op_linalg_svd_forward(op_call *c)
{
    sizes s = sizes_of(c);
    return each_matrix(c, result(c, s.m + 1 + s.n, s.k), svd_scratch(s), svd_cost(s), svd,
                       no_convergence);
}

/* x / (row - column) for x antisymmetric, [.., K, K]; 0 / 0 is 0: equal values have gradients of
 * their own where those of the vectors are not asked for. */
static ito_tensor *over_differences(ito_tensor *x, ito_tensor *row, ito_tensor *column)
{
    ito_tensor *d = ito_sub(row, column);
    if (x == NULL || d == NULL)
        return NULL;
    ito_tensor *zero = ito_scalar(0, x->dtype);
    ito_tensor *neither = ito_mul(ito_eq(x, zero), ito_eq(d, zero));
    return ito_div(x, ito_where(neither, ito_scalar(1, x->dtype), d));
}

/* U ((skew(U^T dU) / E) S + S (skew(V^T dV) / E) + dS) V^T, E_ij = s_j^2 - s_i^2, skew(X) = X -
 * X^T, and for a U (or V) that is no square (I - U U^T) dU S^-1 V^T: Townsend 2016,
 * "Differentiating the singular value decomposition". */
bool op_linalg_svd_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    sizes s = sizes_of(c);
    ito_tensor *u = part(c->out, -2, 0, s.m), *du = part(dy, -2, 0, s.m);
    ito_tensor *v = part(c->out, -2, s.m + 1, s.n), *dv = part(dy, -2, s.m + 1, s.n);
    ito_tensor *row = part(c->out, -2, s.m, 1), *column = transposed(row);
    ito_tensor *ds = ito_select(part(dy, -2, s.m, 1), -2, 0);
    ito_tensor *row2 = ito_square(row), *column2 = ito_square(column);
    ito_tensor *by_u = ito_matmul(transposed(u), du), *by_v = ito_matmul(transposed(v), dv);
    ito_tensor *left = over_differences(ito_sub(by_u, transposed(by_u)), row2, column2);
    ito_tensor *right = over_differences(ito_sub(by_v, transposed(by_v)), row2, column2);
    ito_tensor *inner = ito_add(ito_mul(left, row), ito_mul(column, right));
    ito_tensor *da = product3(u, ito_add(inner, ito_diag_embed(ds)), transposed(v));
    if (s.m > s.k) {
        ito_tensor *outside = ito_sub(du, ito_matmul(u, by_u));
        da = ito_add(da, ito_matmul(ito_div(outside, row), transposed(v)));
    }
    if (s.n > s.k) {
        ito_tensor *outside = ito_sub(dv, ito_matmul(v, by_v));
        da = ito_add(da, ito_matmul(u, transposed(ito_div(outside, row))));
    }
    dx[0] = da;
    return da != NULL;
}

ito_tensor *ito_linalg_svd(ito_tensor *a, ito_tensor **s, ito_tensor **vh)
{
    if (s != NULL)
        *s = NULL;
    if (vh != NULL)
        *vh = NULL;
    if (!matrices_check("linalg_svd", a, false))
        return NULL;
    int64_t m = a->shape[a->ndim - 2], n = a->shape[a->ndim - 1];
    ito_scope_begin();
    ito_tensor *packed = OP1(linalg_svd, a);
    ito_tensor *values = ito_select(packed, -2, m);
    ito_tensor *v = transposed(part(packed, -2, m + 1, n));
    ito_tensor *u = two_parts(part(packed, -2, 0, m), values, s);
    u = v == NULL || u == NULL ? NULL : two_parts(u, v, vh);
    ito_scope_end();
    if (u == NULL && s != NULL)
        *s = NULL;
    return u;
}

ito_tensor *ito_linalg_svdvals(ito_tensor *a)
{
    if (!matrices_check("linalg_svdvals", a, false))
        return NULL;
    return COMPOSITE(ito_select(OP1(linalg_svd, a), -2, a->shape[a->ndim - 2]));
}

/* ---- symmetric eigenvalues: [.., N, N + 1], vectors and values side by side --------------------
 */

static int64_t eigh_room(int64_t n)
{
    return 1 + 6 * n + 2 * n * n;
}

static int eigh(const op_call *c, ito_tensor *y, int64_t b, double *scratch)
{
    int64_t order = sizes_of(c).n;
    int32_t n = (int32_t)order, lead = at_least_1(n), failed;
    int32_t room = (int32_t)eigh_room(order), integers = 3 + 5 * n;
    double *a = scratch, *w = a + order * order, *work = w + order;
    int32_t *integer_work = (int32_t *)(work + room);
    matrix_read(a, c->in[0], b);
    for (int64_t j = 0; j < order; j++) /* what is not read may be anything */
        for (int64_t i = 0; i < j; i++)
            a[i + j * order] = 0;
    if (!all_finite(a, order * order))
        return NOT_FINITE;
    LAPACK_dsyevd("V", "L", &n, a, &lead, w, work, &room, integer_work, &integers, &failed);
    matrix_write(y, b, (matrix_part){0, 0, n, n, 1, n}, a);
    matrix_write(y, b, (matrix_part){0, order, n, 1, 1, 0}, w);
    return failed;
}

ito_tensor *op_linalg_eigh_forward(op_call *c)
{
    int64_t n = sizes_of(c).n, scratch = n * n + n + eigh_room(n) + 3 + 5 * n;
    return each_matrix(c, result(c, n, n + 1), scratch, 10 * n * n * n + 500, eigh,
                       "has eigenvalues that do not converge");
}

/* V (dL + skew(V^T dV) / (2 E)) V^T with E_ij = l_j - l_i (Giles 2008, 3.1, for a symmetric A). */
bool op_linalg_eigh_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    int64_t n = sizes_of(c).n;
    ito_tensor *v = part(c->out, -1, 0, n), *dv = part(dy, -1, 0, n);
    ito_tensor *column = part(c->out, -1, n, 1), *dl = ito_select(dy, -1, n);
    ito_tensor *by_v = ito_matmul(transposed(v), dv);
    ito_tensor *skew = ito_mul_scalar(ito_sub(by_v, transposed(by_v)), 0.5);
    ito_tensor *inner = over_differences(skew, transposed(column), column);
    dx[0] = product3(v, ito_add(inner, ito_diag_embed(dl)), transposed(v));
    return dx[0] != NULL;
}

ito_tensor *ito_linalg_eigh(ito_tensor *a, ito_tensor **vectors)
{
    if (vectors != NULL)
        *vectors = NULL;
    if (!matrices_check("linalg_eigh", a, true))
        return NULL;
    int64_t n = a->shape[a->ndim - 1];
    ito_scope_begin();
    ito_tensor *packed = OP1(linalg_eigh, a);
    ito_tensor *values = two_parts(ito_select(packed, -1, n), part(packed, -1, 0, n), vectors);
    ito_scope_end();
    return values;
}

ito_tensor *ito_linalg_eigvalsh(ito_tensor *a)
{
    if (!matrices_check("linalg_eigvalsh", a, true))
        return NULL;
    return COMPOSITE(ito_select(OP1(linalg_eigh, a), -1, a->shape[a->ndim - 1]));
}

/* ---- the Moore-Penrose inverse and the rank ----------------------------------------------------
 */

/* Up to which singular values count as 0; s[0] is the largest. */
static double cutoff(const op_call *c, sizes z, const double *s)
{
    const ito_linalg_rank_options *o = c->params;
    double epsilon = c->dtype[0] == ITO_F64 ? DBL_EPSILON : (double)FLT_EPSILON;
    double rtol = o->rtol >= 0  ? o->rtol
                  : o->atol > 0 ? 0
                                : epsilon * (double)(z.m > z.n ? z.m : z.n);
    double relative = z.k > 0 ? rtol * s[0] : 0;
    return relative > o->atol ? relative : o->atol;
}

static int pinv(const op_call *c, ito_tensor *y, int64_t b, double *scratch)
{
    sizes z = sizes_of(c);
    double *a = scratch, *s = a + z.m * z.n, *u = s + z.k, *vt = u + z.m * z.k;
    matrix_read(a, c->in[0], b);
    int failed = decompose(a, z, s, u, vt, vt + z.k * z.n);
    if (failed != 0)
        return failed;
    double least = cutoff(c, z, s);
    for (int64_t j = 0; j < z.m; j++) /* V S^-1 U^T [n, m] */
        for (int64_t i = 0; i < z.n; i++) {
            double sum = 0;
            for (int64_t k = 0; k < z.k; k++)
                sum += s[k] > least ? vt[k + i * z.k] * u[j + k * z.m] / s[k] : 0;
            a[i + j * z.n] = sum;
        }
    matrix_write(y, b, (matrix_part){0, 0, z.n, z.m, 1, z.n}, a);
    return 0;
}

ito_tensor *op_linalg_pinv_forward(op_call *c)
{
    sizes s = sizes_of(c);
    return each_matrix(c, result(c, s.n, s.m), svd_scratch(s), svd_cost(s), pinv, no_convergence);
}

/* With B the result, dB = -B dA B + B B^T dA^T (I - A B) + (I - B A) dA^T B^T B (Golub, Pereyra
 * 1973). */
bool op_linalg_pinv_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    ito_tensor *a = c->in[0], *b = c->out, *bt = transposed(b), *dyt = transposed(dy);
    ito_tensor *first = ito_neg(product3(bt, dy, bt));
    ito_tensor *by_rows = product3(dyt, b, bt); /* dy^T B B^T */
    ito_tensor *second = ito_sub(by_rows, product3(a, b, by_rows));
    ito_tensor *by_columns = product3(bt, b, dyt); /* B^T B dy^T */
    ito_tensor *third = ito_sub(by_columns, product3(by_columns, b, a));
    dx[0] = ito_add(first, ito_add(second, third));
    return dx[0] != NULL;
}

ito_tensor *ito_linalg_pinv_with(ito_tensor *a, ito_linalg_rank_options options)
{
    if (!matrices_check("linalg_pinv", a, false))
        return NULL;
    return op_apply(OP_linalg_pinv, &a, 1, &options, sizeof options);
}

static int rank(const op_call *c, ito_tensor *y, int64_t b, double *scratch)
{
    sizes z = sizes_of(c);
    double *a = scratch, *s = a + z.m * z.n;
    matrix_read(a, c->in[0], b);
    int failed = decompose(a, z, s, NULL, NULL, s + z.k);
    int64_t n = 0;
    for (int64_t i = 0; i < z.k && failed == 0; i++)
        n += s[i] > cutoff(c, z, s);
    ((int64_t *)tensor_data(y))[b] = n;
    return failed;
}

ito_tensor *op_linalg_matrix_rank_forward(op_call *c)
{
    sizes s = sizes_of(c);
    ito_shape batch = c->shape[0];
    batch.ndim -= 2;
    return each_matrix(c, tensor_empty(batch, ITO_I64), svd_scratch(s), svd_cost(s) / 4, rank,
                       no_convergence);
}

ito_tensor *ito_linalg_matrix_rank_with(ito_tensor *a, ito_linalg_rank_options options)
{
    if (!matrices_check("linalg_matrix_rank", a, false))
        return NULL;
    return op_apply(OP_linalg_matrix_rank, &a, 1, &options, sizeof options);
}
