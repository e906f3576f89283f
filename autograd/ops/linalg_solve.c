/* Equations and determinants: what LU and Cholesky factors give. Gradients are made of operations:
 * Giles 2008, "An extended collection of matrix derivative results for forward and reverse mode
 * automatic differentiation". */
#include "autograd/ops.h"
#include "autograd/ops/matrices.h"

#include <lapack.h>
#include <math.h>

enum { BLOCK = 64 }; /* LAPACK's blocks: the width of its workspaces */

static int64_t order_of(const op_call *c)
{
    return c->shape[0].dim[c->shape[0].ndim - 1];
}

/* As LAPACK wants sizes: leading dimensions are 1 at least. */
static int32_t at_least_1(int64_t n)
{
    return (int32_t)(n > 1 ? n : 1);
}

static int64_t cube(int64_t n)
{
    return n * n * n;
}

/* Pivots lie behind n doubles' room for them. */
static int32_t *pivots_of(double *scratch)
{
    return (int32_t *)scratch;
}

/* ---- inverse -----------------------------------------------------------------------------------
 */

static int invert(const op_call *c, ito_tensor *y, int64_t b, double *scratch)
{
    int64_t order = order_of(c);
    int32_t n = (int32_t)order, lead = at_least_1(n), room = at_least_1(n) * BLOCK, failed;
    int32_t *pivots = pivots_of(scratch);
    double *a = scratch + n, *work = a + order * order;
    matrix_read(a, c->in[0], b);
    LAPACK_dgetrf(&n, &n, a, &lead, pivots, &failed);
    if (failed == 0)
        LAPACK_dgetri(&n, a, &lead, pivots, work, &room, &failed);
    matrix_write(y, b, (matrix_part){0, 0, n, n, 1, n}, a);
    return failed;
}

ito_tensor *op_linalg_inv_forward(op_call *c)
{
    int64_t n = order_of(c);
    return each_matrix(c, tensor_empty(c->shape[0], c->dtype[0]), n + n * n + BLOCK * (n + 1),
                       2 * cube(n), invert, "is singular");
}

/* d(A^-1) = -A^-1 dA A^-1 */
bool op_linalg_inv_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    ito_tensor *y = transposed(c->out);
    dx[0] = ito_neg(ito_matmul(ito_matmul(y, dy), y));
    return dx[0] != NULL;
}

bool tangent_linalg_inv(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    *dt = ito_neg(ito_matmul(ito_matmul(c->out, t[0]), c->out));
    return *dt != NULL;
}

ito_tensor *ito_linalg_inv(ito_tensor *a)
{
    return matrices_check("linalg_inv", a, true) ? OP1(linalg_inv, a) : NULL;
}

/* ---- A X = B: [.., N, N] [.., N, K] ------------------------------------------------------------
 */

static int64_t columns_of(const op_call *c)
{
    return c->shape[1].dim[c->shape[1].ndim - 1];
}

static int solve(const op_call *c, ito_tensor *y, int64_t b, double *scratch)
{
    int64_t order = order_of(c);
    int32_t n = (int32_t)order, k = (int32_t)columns_of(c), lead = at_least_1(n), failed;
    int32_t *pivots = pivots_of(scratch);
    double *a = scratch + n, *x = a + order * order;
    matrix_read(a, c->in[0], b);
    matrix_read(x, c->in[1], b);
    LAPACK_dgetrf(&n, &n, a, &lead, pivots, &failed);
    if (failed == 0)
        LAPACK_dgetrs("N", &n, &k, a, &lead, pivots, x, &lead, &failed);
    matrix_write(y, b, (matrix_part){0, 0, n, k, 1, n}, x);
    return failed;
}

ito_tensor *op_linalg_solve_forward(op_call *c)
{
    int64_t n = order_of(c), k = columns_of(c);
    return each_matrix(c, tensor_empty(c->shape[1], c->dtype[0]), n + n * n + n * k,
                       cube(n) + 2 * n * n * k, solve, "is singular");
}

/* dA X + A dX = dB */
bool op_linalg_solve_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    ito_tensor *db = OP2(linalg_solve, transposed(c->in[0]), dy);
    if (c->needs[0])
        dx[0] = ito_neg(ito_matmul(db, transposed(c->out)));
    if (c->needs[1])
        dx[1] = db;
    return db != NULL && (!c->needs[0] || dx[0] != NULL);
}

bool tangent_linalg_solve(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    ito_tensor *by_a = t[0] == NULL ? NULL : ito_neg(ito_matmul(t[0], c->out));
    ito_tensor *right = t[0] == NULL ? t[1] : t[1] == NULL ? by_a : ito_add(t[1], by_a);
    *dt = OP2(linalg_solve, c->in[0], right);
    return *dt != NULL;
}

/* Both with the same leading axes; false with an error. */
static bool broadcast_batches(const char *op, ito_tensor **a, ito_tensor **b)
{
    if (*a == NULL || *b == NULL)
        return false;
    ito_shape a_shape = ito_shape_of(*a), b_shape = ito_shape_of(*b), batch;
    a_shape.ndim -= 2;
    b_shape.ndim -= 2;
    if (!shape_broadcast(a_shape, b_shape, &batch))
        return error_false(ITO_ERR_SHAPE, "%s: the batches of %s and %s do not broadcast", op,
                           tensor_shape_str(*a), tensor_shape_str(*b));
    ito_tensor **both[] = {a, b};
    for (int i = 0; i < 2; i++) {
        ito_tensor *t = *both[i];
        ito_shape shape = batch;
        shape.dim[shape.ndim++] = t->shape[t->ndim - 2];
        shape.dim[shape.ndim++] = t->shape[t->ndim - 1];
        *both[i] = ito_expand_to(t, shape);
    }
    return *a != NULL && *b != NULL;
}

/* Whether b is a matrix, or a stack of them, that goes with a; records the error if not. */
static bool fits(const char *op, const ito_tensor *a, const ito_tensor *b, bool left)
{
    if (b == NULL)
        return error_missing(op, "b"), false;
    if (b->dtype != a->dtype)
        return error_false(ITO_ERR_DTYPE, "%s: %s %s and %s %s do not mix (see ito_cast)", op,
                           ito_dtype_name(a->dtype), tensor_shape_str(a), ito_dtype_name(b->dtype),
                           tensor_shape_str(b));
    if (b->ndim < 2 || b->shape[b->ndim - (left ? 2 : 1)] != a->shape[a->ndim - 1])
        return error_false(ITO_ERR_SHAPE, "%s: shapes %s and %s are not [.., N, N] and [.., %s]",
                           op, tensor_shape_str(a), tensor_shape_str(b), left ? "N, K" : "K, N");
    if (b->shape[b->ndim - (left ? 1 : 2)] > MATRIX_LARGEST)
        return error_false(ITO_ERR_SHAPE, "%s: %s has more than %d rows or columns", op,
                           tensor_shape_str(b), MATRIX_LARGEST);
    return true;
}

static ito_tensor *solve_matrices(ito_tensor *a, ito_tensor *b, bool left)
{
    if (!left) /* X A = B is A^T X^T = B^T */
        return transposed(solve_matrices(transposed(a), transposed(b), true));
    return broadcast_batches("linalg_solve", &a, &b) ? OP2(linalg_solve, a, b) : NULL;
}

/* b is one vector, or one for each matrix of the batch, as PyTorch has it. */
static bool is_vector(const ito_tensor *a, const ito_tensor *b)
{
    if (b->ndim == 1)
        return true;
    bool same = b->ndim == a->ndim - 1;
    for (int i = 0; same && i < b->ndim; i++)
        same = b->shape[i] == a->shape[i];
    return same;
}

ito_tensor *ito_linalg_solve_with(ito_tensor *a, ito_tensor *b, ito_linalg_solve_options options)
{
    if (!matrices_check("linalg_solve", a, true))
        return NULL;
    bool vector = b != NULL && is_vector(a, b);
    ito_scope_begin();
    ito_tensor *x = vector ? ito_unsqueeze(b, options.left ? -1 : -2) : b;
    if ((vector && x == NULL) || !fits("linalg_solve", a, x, options.left))
        x = NULL;
    else
        x = solve_matrices(a, x, options.left);
    x = ito_keep(vector && x != NULL ? ito_squeeze(x, options.left ? -1 : -2) : x);
    ito_scope_end();
    return x;
}

/* ---- the same with a triangle ------------------------------------------------------------------
 */

typedef struct triangle {
    bool upper, unit; /* which triangle is read; whether its diagonal is taken to be 1 */
} triangle;

static int solve_triangle(const op_call *c, ito_tensor *y, int64_t b, double *scratch)
{
    const triangle *t = c->params;
    int64_t order = order_of(c);
    int32_t n = (int32_t)order, k = (int32_t)columns_of(c), lead = at_least_1(n), failed;
    double *a = scratch, *x = a + order * order;
    matrix_read(a, c->in[0], b);
    matrix_read(x, c->in[1], b);
    LAPACK_dtrtrs(t->upper ? "U" : "L", "N", t->unit ? "U" : "N", &n, &k, a, &lead, x, &lead,
                  &failed);
    matrix_write(y, b, (matrix_part){0, 0, n, k, 1, n}, x);
    return failed;
}

ito_tensor *op_linalg_solve_triangular_forward(op_call *c)
{
    int64_t n = order_of(c), k = columns_of(c);
    return each_matrix(c, tensor_empty(c->shape[1], c->dtype[0]), n * n + n * k, n * n * (k + 1),
                       solve_triangle, "is singular");
}

static ito_tensor *solve_triangular(ito_tensor *a, ito_tensor *b, triangle t)
{
    return op_apply(OP_linalg_solve_triangular, (ito_tensor *[]){a, b}, 2, &t, sizeof t);
}

/* As of solve, but for what is not read. */
bool op_linalg_solve_triangular_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    triangle t = *(const triangle *)c->params;
    ito_tensor *db = solve_triangular(transposed(c->in[0]), dy, (triangle){!t.upper, t.unit});
    if (c->needs[0]) {
        ito_tensor *da = ito_neg(ito_matmul(db, transposed(c->out)));
        dx[0] = t.upper ? ito_triu(da, .diagonal = t.unit) : ito_tril(da, .diagonal = -t.unit);
    }
    if (c->needs[1])
        dx[1] = db;
    return db != NULL && (!c->needs[0] || dx[0] != NULL);
}

static ito_tensor *solve_triangles(const char *op, ito_tensor *a, ito_tensor *b, triangle t,
                                   bool left)
{
    if (!left)
        return transposed(
            solve_triangles(op, transposed(a), transposed(b), (triangle){!t.upper, t.unit}, true));
    return broadcast_batches(op, &a, &b) ? solve_triangular(a, b, t) : NULL;
}

ito_tensor *ito_linalg_solve_triangular_with(ito_tensor *a, ito_tensor *b,
                                             ito_linalg_solve_triangular_options options)
{
    const char *op = "linalg_solve_triangular";
    if (!matrices_check(op, a, true) || !fits(op, a, b, options.left))
        return NULL;
    triangle t = {options.upper, options.unitriangular};
    return COMPOSITE(solve_triangles(op, a, b, t, options.left));
}

/* ---- determinants ------------------------------------------------------------------------------
 */

/* sign and logarithm of the absolute value of the determinant of a, which is overwritten; and the
 * determinant itself. */
typedef struct determinant {
    double value, sign, log;
} determinant;

static determinant determinant_of(double *a, int64_t order, int32_t *pivots)
{
    int32_t n = (int32_t)order, lead = at_least_1(n), zero;
    determinant d = {1, 1, 0};
    LAPACK_dgetrf(&n, &n, a, &lead, pivots, &zero); /* a zero pivot is no failure here */
    for (int64_t i = 0; i < order; i++) {
        double pivot = a[i + i * order];
        bool swapped = pivots[i] != i + 1;
        d.value *= swapped ? -pivot : pivot;
        d.sign *= (swapped ? -1 : 1) * (pivot > 0 ? 1 : pivot < 0 ? -1 : pivot);
        d.log += log(fabs(pivot));
    }
    return d;
}

static determinant matrix_determinant(const op_call *c, int64_t b, double *scratch)
{
    int64_t n = order_of(c);
    matrix_read(scratch + n, c->in[0], b);
    return determinant_of(scratch + n, n, pivots_of(scratch));
}

static int write_det(const op_call *c, ito_tensor *y, int64_t b, double *scratch)
{
    element_write(y, b, matrix_determinant(c, b, scratch).value);
    return 0;
}

static ito_shape batch_of(const op_call *c)
{
    ito_shape s = c->shape[0];
    s.ndim -= 2;
    return s;
}

ito_tensor *op_linalg_det_forward(op_call *c)
{
    int64_t n = order_of(c);
    return each_matrix(c, tensor_empty(batch_of(c), c->dtype[0]), n + n * n, cube(n) + 50,
                       write_det, "");
}

/* [..] to [.., 1, 1] */
static ito_tensor *as_matrices(ito_tensor *x)
{
    return ito_unsqueeze(ito_unsqueeze(x, -1), -1);
}

/* The gradient is the matrix of cofactors, which a singular matrix has as well. */
bool op_linalg_det_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = ito_mul(as_matrices(dy), OP1(linalg_cofactor, c->in[0]));
    return dx[0] != NULL;
}

ito_tensor *ito_linalg_det(ito_tensor *a)
{
    return matrices_check("linalg_det", a, true) ? OP1(linalg_det, a) : NULL;
}

/* With A = U S V^T the cofactors are det(U) det(V) U C V^T, C_ii the product of all S_jj but S_ii:
 * accurate for any matrix. */
static int cofactors(const op_call *c, ito_tensor *y, int64_t b, double *scratch)
{
    int64_t order = order_of(c), square = order * order;
    int32_t n = (int32_t)order, lead = at_least_1(n), room = (int32_t)(5 * n + 2 * BLOCK * (n + 1)),
            failed;
    double *a = scratch + n, *s = a + square, *u = s + n, *vt = u + square, *work = vt + square;
    matrix_read(a, c->in[0], b);
    if (!all_finite(a, square))
        return NOT_FINITE;
    LAPACK_dgesvd("A", "A", &n, &n, a, &lead, s, u, &lead, vt, &lead, work, &room, &failed);
    if (failed != 0)
        return failed;
    for (int64_t i = 0; i < order; i++) {
        double others = 1;
        for (int64_t j = 0; j < order; j++)
            others *= j == i ? 1 : s[j];
        work[i] = others;
    }
    double *product = work + n; /* room enough: 5 n + .. >= n, the rest is behind */
    for (int64_t j = 0; j < order; j++)
        for (int64_t i = 0; i < order; i++) {
            double sum = 0;
            for (int64_t k = 0; k < order; k++)
                sum += u[i + k * order] * work[k] * vt[k + j * order];
            product[i + j * order] = sum;
        }
    double sign = determinant_of(u, order, pivots_of(scratch)).sign *
                  determinant_of(vt, order, pivots_of(scratch)).sign;
    for (int64_t i = 0; i < square; i++)
        product[i] *= sign;
    matrix_write(y, b, (matrix_part){0, 0, n, n, 1, n}, product);
    return 0;
}

ito_tensor *op_linalg_cofactor_forward(op_call *c)
{
    int64_t n = order_of(c), scratch = 2 * n + 4 * n * n + 7 * n + 2 * BLOCK * (n + 1);
    return each_matrix(c, tensor_empty(c->shape[0], c->dtype[0]), scratch, 25 * cube(n) + 500,
                       cofactors, "has singular values that do not converge");
}

/* C = det(A) A^-T, so dC = C tr(A^-1 dA) - A^-T dA^T C. */
bool op_linalg_cofactor_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    ito_tensor *inverse = ito_linalg_inv(transposed(c->in[0]));
    ito_tensor *inner = ito_sum(ito_mul(dy, c->out), .dims = ITO_DIMS(-2, -1), .keepdim = true);
    ito_tensor *other = ito_matmul(ito_matmul(c->out, transposed(dy)), inverse);
    dx[0] = ito_sub(ito_mul(inner, inverse), other);
    return dx[0] != NULL;
}

static int write_slogdet(const op_call *c, ito_tensor *y, int64_t b, double *scratch)
{
    determinant d = matrix_determinant(c, b, scratch);
    element_write(y, 2 * b, d.sign);
    element_write(y, 2 * b + 1, d.log);
    return 0;
}

/* [.., 2]: sign and logarithm. */
ito_tensor *op_linalg_slogdet_forward(op_call *c)
{
    ito_shape shape = batch_of(c);
    shape.dim[shape.ndim++] = 2;
    int64_t n = order_of(c);
    return each_matrix(c, tensor_empty(shape, c->dtype[0]), n + n * n, cube(n) + 50, write_slogdet,
                       "");
}

/* d log|det A| = tr(A^-1 dA); the sign is constant. */
bool op_linalg_slogdet_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    dx[0] = ito_mul(as_matrices(ito_select(dy, -1, 1)), ito_linalg_inv(transposed(c->in[0])));
    return dx[0] != NULL;
}

ito_tensor *ito_linalg_slogdet(ito_tensor *a, ito_tensor **logabsdet)
{
    if (logabsdet != NULL)
        *logabsdet = NULL;
    if (!matrices_check("linalg_slogdet", a, true))
        return NULL;
    ito_scope_begin();
    ito_tensor *both = OP1(linalg_slogdet, a);
    ito_tensor *sign = ito_keep(ito_detach(ito_select(both, -1, 0)));
    ito_tensor *log = logabsdet == NULL ? NULL : ito_keep(ito_select(both, -1, 1));
    ito_scope_end();
    if (logabsdet != NULL)
        *logabsdet = log;
    return logabsdet != NULL && log == NULL ? NULL : sign;
}

/* log is NaN below 0, and so is this where the sign is negative. */
static ito_tensor *logdet(ito_tensor *a)
{
    ito_tensor *log, *sign = ito_linalg_slogdet(a, &log);
    return sign == NULL
               ? NULL
               : ito_masked_fill(log, ito_lt(sign, ito_scalar(0, sign->dtype)), (double)NAN);
}

ito_tensor *ito_logdet(ito_tensor *a)
{
    return matrices_check("logdet", a, true) ? COMPOSITE(logdet(a)) : NULL;
}

/* ---- Cholesky ----------------------------------------------------------------------------------
 */

static int cholesky(const op_call *c, ito_tensor *y, int64_t b, double *scratch)
{
    int64_t order = order_of(c);
    int32_t n = (int32_t)order, lead = at_least_1(n), failed;
    matrix_read(scratch, c->in[0], b);
    LAPACK_dpotrf("L", &n, scratch, &lead, &failed);
    for (int64_t j = 0; j < order; j++)
        for (int64_t i = 0; i < j; i++)
            scratch[i + j * order] = 0;
    matrix_write(y, b, (matrix_part){0, 0, n, n, 1, n}, scratch);
    return failed;
}

ito_tensor *op_linalg_cholesky_forward(op_call *c)
{
    int64_t n = order_of(c);
    return each_matrix(c, tensor_empty(c->shape[0], c->dtype[0]), n * n, cube(n) / 3 + 50, cholesky,
                       "is not positive definite");
}

/* With S = L^-T P(L^T dL) L^-1, P the lower triangle with half its diagonal, (S + S^T) / 2: Murray
 * 2016, arXiv:1602.07527. */
bool op_linalg_cholesky_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    ito_tensor *l = c->out, *lt = transposed(l), *product = ito_matmul(lt, dy);
    triangle upper = {.upper = true};
    ito_tensor *p =
        ito_mul_scalar(ito_add(ito_tril(product), ito_tril(product, .diagonal = -1)), 0.5);
    ito_tensor *left = solve_triangular(lt, p, upper);
    ito_tensor *s = transposed(solve_triangular(lt, transposed(left), upper));
    dx[0] = ito_mul_scalar(ito_add(s, transposed(s)), 0.5);
    return dx[0] != NULL;
}

ito_tensor *ito_linalg_cholesky_with(ito_tensor *a, ito_linalg_cholesky_options options)
{
    if (!matrices_check("linalg_cholesky", a, true))
        return NULL;
    if (!options.upper)
        return OP1(linalg_cholesky, a);
    return COMPOSITE(transposed(OP1(linalg_cholesky, transposed(a))));
}

/* A = L L^T, or U^T U: two triangles. */
static ito_tensor *cholesky_solve(ito_tensor *b, ito_tensor *l, bool upper)
{
    ito_tensor *lower = upper ? transposed(l) : l;
    ito_tensor *y = solve_triangles("cholesky_solve", lower, b, (triangle){0}, true);
    return y == NULL ? NULL
                     : solve_triangles("cholesky_solve", transposed(lower), y,
                                       (triangle){.upper = true}, true);
}

ito_tensor *ito_cholesky_solve_with(ito_tensor *b, ito_tensor *l,
                                    ito_linalg_cholesky_options options)
{
    if (!matrices_check("cholesky_solve", l, true) || !fits("cholesky_solve", l, b, true))
        return NULL;
    return COMPOSITE(cholesky_solve(b, l, options.upper));
}
