/* Functions of matrices that are made of products and factors. */
#include "autograd/ops.h"
#include "autograd/ops/matrices.h"

#include <float.h>
#include <math.h>
#include <string.h>

static int64_t size_from_end(const ito_tensor *a, int i)
{
    return a->shape[a->ndim - i];
}

/* ---- least squares -----------------------------------------------------------------------------
 */

/* Whether no element of R's diagonal is 0 beside the largest; records the error. */
static bool full_rank(const ito_tensor *a, ito_tensor *r)
{
    int64_t k = size_from_end(r, 2), n = size_from_end(r, 1),
            count = k * n == 0 ? 0 : ito_numel(r) / (k * n);
    int64_t longest =
        size_from_end(a, 1) > size_from_end(a, 2) ? size_from_end(a, 1) : size_from_end(a, 2);
    double epsilon = a->dtype == ITO_F64 ? DBL_EPSILON : (double)FLT_EPSILON;
    ito_tensor *room = tensor_empty(ITO_SHAPE(k, n), ITO_F64);
    if (room == NULL)
        return false;
    double *v = tensor_data(room);
    for (int64_t b = 0; b < count; b++) {
        matrix_read(v, r, b);
        double largest = 0, least = HUGE_VAL;
        for (int64_t i = 0; i < k; i++) {
            double d = fabs(v[i + i * k]);
            largest = d > largest ? d : largest;
            least = d < least ? d : least;
        }
        if (!(least > epsilon * (double)longest * largest))
            return error_false(ITO_ERR_NUMERIC,
                               "linalg_lstsq: matrix %" PRId64 " of %s is not of full rank", b,
                               tensor_shape_str(a));
    }
    return true;
}

/* A = Q R: X = R^-1 Q^T B. A wide A^T = Q R: X = Q R^-T B. */
static ito_tensor *lstsq(ito_tensor *a, ito_tensor *b)
{
    bool wide = size_from_end(a, 2) < size_from_end(a, 1);
    ito_tensor *r, *q = ito_linalg_qr(wide ? transposed(a) : a, &r);
    if (q == NULL || !full_rank(a, r))
        return NULL;
    if (wide)
        return ito_matmul(q, ito_linalg_solve_triangular(transposed(r), b));
    return ito_linalg_solve_triangular(r, ito_matmul(transposed(q), b), .upper = true);
}

ito_tensor *ito_linalg_lstsq(ito_tensor *a, ito_tensor *b)
{
    if (!matrices_check("linalg_lstsq", a, false) || !matrices_check("linalg_lstsq", b, false))
        return NULL;
    if (a->dtype != b->dtype)
        return error_null(ITO_ERR_DTYPE, "linalg_lstsq: %s %s and %s %s do not mix (see ito_cast)",
                          ito_dtype_name(a->dtype), tensor_shape_str(a), ito_dtype_name(b->dtype),
                          tensor_shape_str(b));
    if (size_from_end(a, 2) != size_from_end(b, 2))
        return error_null(ITO_ERR_SHAPE,
                          "linalg_lstsq: shapes %s and %s are not [.., M, N] and [.., M, K]",
                          tensor_shape_str(a), tensor_shape_str(b));
    return COMPOSITE(lstsq(a, b));
}

/* ---- powers and exponentials -------------------------------------------------------------------
 */

static ito_tensor *identity_like(ito_tensor *a)
{
    return ito_expand_to(ito_eye(size_from_end(a, 1), a->dtype), ito_shape_of(a));
}

/* By squaring: from the lowest bit of n. */
static ito_tensor *power(ito_tensor *a, int64_t exponent)
{
    uint64_t n = exponent < 0 ? -(uint64_t)exponent : (uint64_t)exponent;
    ito_tensor *base = exponent < 0 ? ito_linalg_inv(a) : a, *y = NULL;
    if (n == 0)
        return ito_clone(identity_like(a));
    for (; n > 0 && base != NULL; n >>= 1) {
        if ((n & 1) != 0)
            y = y == NULL ? ito_reshape_to(base, ito_shape_of(base)) : ito_matmul(y, base);
        if (n > 1)
            base = ito_matmul(base, base);
    }
    return base == NULL ? NULL : y;
}

ito_tensor *ito_linalg_matrix_power(ito_tensor *a, int64_t n)
{
    return matrices_check("linalg_matrix_power", a, true) ? COMPOSITE(power(a, n)) : NULL;
}

/* How often each matrix of a [.., N, N] is to be halved for its 1-norm to be at most limit, as
 * [.., 1, 1] of f64; *most is the largest. NULL with an error where one is not finite. */
static ito_tensor *halvings(const ito_tensor *a, double limit, int *most)
{
    int64_t n = size_from_end(a, 1);
    ito_shape shape = ito_shape_of(a);
    shape.dim[shape.ndim - 1] = shape.dim[shape.ndim - 2] = 1;
    ito_tensor *times = tensor_empty(shape, ITO_F64),
               *room = tensor_empty(ITO_SHAPE(n, n), ITO_F64);
    if (times == NULL || room == NULL)
        return NULL;
    double *to = tensor_data(times), *v = tensor_data(room);
    *most = 0;
    for (int64_t b = 0; b < ito_numel(times) && n > 0; b++) {
        double norm = 0;
        matrix_read(v, a, b);
        if (!all_finite(v, n * n))
            return error_null(ITO_ERR_NUMERIC,
                              "linalg_matrix_exp: matrix %" PRId64 " of %s is not finite", b,
                              tensor_shape_str(a));
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t i = 0; i < n; i++)
                sum += fabs(v[i + j * n]);
            norm = sum > norm ? sum : norm;
        }
        to[b] = norm > limit ? ceil(log2(norm / limit)) : 0;
        *most = to[b] > *most ? (int)to[b] : *most;
    }
    return times;
}

/* The Pade approximant of degree 13, for a 1-norm up to 5.37: Higham 2005, (2.5) to (2.8). */
static ito_tensor *pade13(ito_tensor *a)
{
    static const double b[] = {64764752532480000,
                               32382376266240000,
                               7771770303897600,
                               1187353796428800,
                               129060195264000,
                               10559470521600,
                               670442572800,
                               33522128640,
                               1323241920,
                               40840800,
                               960960,
                               16380,
                               182,
                               1};
    if (a == NULL)
        return NULL;
    ito_tensor *one = ito_eye(size_from_end(a, 1), a->dtype);
    ito_tensor *a2 = ito_matmul(a, a), *a4 = ito_matmul(a2, a2), *a6 = ito_matmul(a4, a2);
    ito_tensor *part[2]; /* of odd and of even powers */
    for (int odd = 0; odd < 2; odd++) {
        const double *k = b + odd;
        ito_tensor *high = ito_axpby(k[12], a6, 1, ito_axpby(k[10], a4, k[8], a2));
        ito_tensor *low = ito_axpby(k[6], a6, 1, ito_axpby(k[4], a4, k[2], a2));
        part[odd] = ito_add(ito_matmul(a6, high), ito_axpby(1, low, k[0], one));
    }
    ito_tensor *u = ito_matmul(a, part[1]), *v = part[0];
    return ito_linalg_solve(ito_sub(v, u), ito_add(v, u));
}

static ito_tensor *matrix_exp(ito_tensor *a)
{
    int most;
    ito_tensor *times = halvings(a, 5.371920351148152, &most);
    if (times == NULL)
        return NULL;
    ito_tensor *scale = ito_cast(ito_exp(ito_mul_scalar(times, -M_LN2)), a->dtype);
    ito_tensor *y = pade13(most == 0 ? a : ito_mul(a, scale));
    for (int k = 0; k < most && y != NULL; k++) {
        ito_tensor *more = ito_gt(times, ito_scalar(k, ITO_F64));
        y = ito_where(more, ito_matmul(y, y), y);
    }
    return y;
}

ito_tensor *ito_linalg_matrix_exp(ito_tensor *a)
{
    return matrices_check("linalg_matrix_exp", a, true) ? COMPOSITE(matrix_exp(a)) : NULL;
}

/* ---- norms -------------------------------------------------------------------------------------
 */

ito_tensor *ito_linalg_vector_norm_with(ito_tensor *x, ito_norm_options options)
{
    return ito_norm_with(x, options);
}

/* The extreme sum of |a| along axis -2 (columns) or -1 (rows). */
static ito_tensor *extreme_sum(ito_tensor *a, int along, bool largest)
{
    ito_tensor *sums = ito_sum(ito_abs(a), .dims = ITO_DIMS(along));
    return largest ? ito_max(sums, .dims = ITO_DIMS(-1)) : ito_min(sums, .dims = ITO_DIMS(-1));
}

static ito_tensor *norm_of(ito_tensor *a, const char *ord)
{
    bool largest = ord[0] != '-';
    const char *what = largest ? ord : ord + 1;
    if (strcmp(ord, "fro") == 0)
        return ito_norm(a, .dims = ITO_DIMS(-2, -1));
    if (strcmp(ord, "nuc") == 0)
        return ito_sum(ito_linalg_svdvals(a), .dims = ITO_DIMS(-1));
    if (strcmp(what, "2") == 0)
        return ito_select(ito_linalg_svdvals(a), -1, largest ? 0 : -1);
    return extreme_sum(a, strcmp(what, "1") == 0 ? -2 : -1, largest);
}

static bool is_order(const char *ord)
{
    static const char *const orders[] = {"fro", "nuc", "1", "-1", "2", "-2", "inf", "-inf"};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        if (strcmp(ord, orders[i]) == 0)
            return true;
    return error_false(ITO_ERR_ARGUMENT,
                       "linalg_matrix_norm: \"%s\" is none of fro, nuc, 1, -1, 2, -2, inf, -inf",
                       ord);
}

static ito_tensor *matrix_norm(ito_tensor *a, int rows, int columns, const char *ord, bool keepdim)
{
    ito_shape axes = {0};
    for (int i = 0; i < a->ndim; i++)
        if (i != rows && i != columns)
            axes.dim[axes.ndim++] = i;
    axes.dim[axes.ndim++] = rows;
    axes.dim[axes.ndim++] = columns;
    ito_tensor *y = norm_of(ito_permute_to(a, axes), ord);
    int low = rows < columns ? rows : columns, high = rows < columns ? columns : rows;
    return keepdim && y != NULL ? ito_unsqueeze(ito_unsqueeze(y, low), high) : y;
}

ito_tensor *ito_linalg_matrix_norm_with(ito_tensor *a, ito_linalg_matrix_norm_options options)
{
    const char *op = "linalg_matrix_norm", *ord = options.ord == NULL ? "fro" : options.ord;
    if (!matrices_check(op, a, false) || !is_order(ord))
        return NULL;
    if (options.dims.ndim != 2)
        return error_null(ITO_ERR_ARGUMENT, "%s: axes %s are not two", op, shape_str(options.dims));
    int rows = axis_normalize(op, options.dims.dim[0], a->ndim);
    int columns = rows < 0 ? -1 : axis_normalize(op, options.dims.dim[1], a->ndim);
    if (columns < 0)
        return NULL;
    if (rows == columns)
        return error_null(ITO_ERR_ARGUMENT, "%s: axes %s are the same", op,
                          shape_str(options.dims));
    if (a->shape[rows] * a->shape[columns] == 0 && ord[0] != 'f' && ord[0] != 'n')
        return error_null(ITO_ERR_SHAPE, "%s: matrices of no elements, %s, have no norm \"%s\"", op,
                          tensor_shape_str(a), ord);
    return COMPOSITE(matrix_norm(a, rows, columns, ord, options.keepdim));
}
