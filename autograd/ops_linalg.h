/* Linear algebra: PyTorch's torch.linalg, name by name. See ops.h for rules that all operations
 * share.
 *
 * Matrices are the last two axes, [.., M, N]; the axes before them are a batch, whose matrices are
 * worked on in parallel. f32 and f64: f32 is computed in double and rounded once. Sizes go up to
 * 16384, else ITO_ERR_SHAPE. The work is done by LAPACK, on one thread for each matrix.
 *
 * ITO_ERR_NUMERIC, with the place in the batch, for a matrix that is singular, not positive
 * definite, or not finite where that is asked for, and for a factorization that does not converge.
 */
#ifndef ITO_OPS_LINALG_H
#define ITO_OPS_LINALG_H

#include "ops_math.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- equations ---- */

/** The inverse of [.., N, N]. ITO_ERR_NUMERIC for a singular matrix. */
ITO_API ito_tensor *ito_linalg_inv(ito_tensor *a);

/** What ito_linalg_solve takes besides tensors. */
typedef struct ito_linalg_solve_options {
    int reserved_;
    bool left ITO_DEFAULT(true); /* false: X of X A = B */
} ito_linalg_solve_options;
#define ITO_DEFAULTS_ito_linalg_solve_options .left = true

/**
 * X of A X = B, for a [.., N, N] and b [.., N, K]; batches broadcast. b may be a vector [N], or one
 * for each matrix: shaped as a without its last axis. ITO_ERR_NUMERIC for a singular matrix.
 */
ITO_API ito_tensor *ito_linalg_solve_with(ito_tensor *a, ito_tensor *b,
                                          ito_linalg_solve_options options);
#define ito_linalg_solve(...)                                                                      \
    ITO_AT(ITO_CALL_2(ito_linalg_solve_with, ito_linalg_solve_options, __VA_ARGS__, ))

/** What ito_linalg_solve_triangular takes besides tensors. */
typedef struct ito_linalg_solve_triangular_options {
    int reserved_;
    bool upper;                  /* read the upper triangle of a, else the lower one */
    bool left ITO_DEFAULT(true); /* false: X of X A = B */
    bool unitriangular;          /* take a's diagonal to be 1 without reading it */
} ito_linalg_solve_triangular_options;
#define ITO_DEFAULTS_ito_linalg_solve_triangular_options .left = true

/** X of A X = B, for a triangle a [.., N, N] and b [.., N, K]; batches broadcast. The other
 * triangle is not read. ITO_ERR_NUMERIC for a zero on the diagonal. */
ITO_API ito_tensor *ito_linalg_solve_triangular_with(ito_tensor *a, ito_tensor *b,
                                                     ito_linalg_solve_triangular_options options);
#define ito_linalg_solve_triangular(...)                                                           \
    ITO_AT(ITO_CALL_2(ito_linalg_solve_triangular_with, ito_linalg_solve_triangular_options,       \
                      __VA_ARGS__, ))

/** X of the least |A X - B|, for a [.., M, N] of full rank and b [.., M, K]; of many X the
 * smallest. By QR (PyTorch's driver "gels"). ITO_ERR_NUMERIC for a rank that is not full. */
ITO_API ito_tensor *ito_linalg_lstsq(ito_tensor *a, ito_tensor *b);

/* ---- determinants ---- */

/** The determinant of [.., N, N]: [..]. A singular matrix has a gradient, but no second one. */
ITO_API ito_tensor *ito_linalg_det(ito_tensor *a);
/** Sign, and the logarithm of the absolute value, of the determinant: 0 and -infinity for a
 * singular matrix, which has no gradient. The sign is returned and is constant. logabsdet may be
 * NULL. */
ITO_API ito_tensor *ito_linalg_slogdet(ito_tensor *a, ito_tensor **logabsdet);
/** The logarithm of the determinant; NaN where that is negative. */
ITO_API ito_tensor *ito_logdet(ito_tensor *a);

/* ---- factors ---- */

/** What ito_linalg_cholesky and ito_cholesky_solve take. */
typedef struct ito_linalg_cholesky_options {
    int reserved_;
    bool upper; /* U with A = U^T U in place of L */
} ito_linalg_cholesky_options;
#define ITO_DEFAULTS_ito_linalg_cholesky_options .reserved_ = 0

/** The lower triangle L with A = L L^T, of a symmetric [.., N, N], whose lower (or upper) triangle
 * alone is read; the gradient is symmetric. ITO_ERR_NUMERIC unless it is positive definite. */
ITO_API ito_tensor *ito_linalg_cholesky_with(ito_tensor *a, ito_linalg_cholesky_options options);
#define ito_linalg_cholesky(...)                                                                   \
    ITO_AT(ITO_CALL_1(ito_linalg_cholesky_with, ito_linalg_cholesky_options, __VA_ARGS__, ))
/** X of A X = B, given b [.., N, K] and the factor l [.., N, N] of A. */
ITO_API ito_tensor *ito_cholesky_solve_with(ito_tensor *b, ito_tensor *l,
                                            ito_linalg_cholesky_options options);
#define ito_cholesky_solve(...)                                                                    \
    ITO_AT(ITO_CALL_2(ito_cholesky_solve_with, ito_linalg_cholesky_options, __VA_ARGS__, ))

/** Q [.., M, K] with orthonormal columns, K = min(M, N), which is returned, and the upper triangle
 * R [.., K, N] with A = Q R; r may be NULL. The gradient takes the first K columns to be
 * independent. */
ITO_API ito_tensor *ito_linalg_qr(ito_tensor *a, ito_tensor **r);

/** A = P L U for [.., M, N], K = min(M, N), with rows exchanged for large pivots: P [.., M, M],
 * which is returned and is constant; L [.., M, K] with ones on its diagonal, and the upper triangle
 * U
 * [.., K, N], either of which may be NULL. The gradient takes the square part of U not to be
 * singular.
 */
ITO_API ito_tensor *ito_linalg_lu(ito_tensor *a, ito_tensor **l, ito_tensor **u);

/**
 * A = U diag(S) V^T for [.., M, N], K = min(M, N), S falling.
 * @param s   S [.., K], or NULL.
 * @param vh  V^T [.., K, N], or NULL.
 * @return    U [.., M, K]. Columns of U and V have a sign in common that is not determined: what
 * has a gradient must not depend on it. The gradients of U and V are infinite where singular values
 * are equal, and S has none of its own at 0.
 */
ITO_API ito_tensor *ito_linalg_svd(ito_tensor *a, ito_tensor **s, ito_tensor **vh);
/** The singular values of [.., M, N], falling: [.., min(M, N)]. */
ITO_API ito_tensor *ito_linalg_svdvals(ito_tensor *a);

/** Eigenvalues of a symmetric [.., N, N], rising: [.., N], which are returned; and eigenvectors,
 * the columns of vectors [.., N, N], which may be NULL. The lower triangle alone is read. Signs and
 * equal eigenvalues are treated as by ito_linalg_svd. */
ITO_API ito_tensor *ito_linalg_eigh(ito_tensor *a, ito_tensor **vectors);
/** The eigenvalues alone. */
ITO_API ito_tensor *ito_linalg_eigvalsh(ito_tensor *a);

/** What counts as a singular value of 0. */
typedef struct ito_linalg_rank_options {
    int reserved_;
    /* Singular values up to max(atol, rtol times the largest) are 0. By default (a negative rtol)
     * rtol is 0 if atol is positive, else max(M, N) times the distance from 1 to the next number of
     * the dtype. */
    double atol, rtol ITO_DEFAULT(-1);
} ito_linalg_rank_options;
#define ITO_DEFAULTS_ito_linalg_rank_options .rtol = -1

/** The Moore-Penrose inverse of [.., M, N]: [.., N, M]. */
ITO_API ito_tensor *ito_linalg_pinv_with(ito_tensor *a, ito_linalg_rank_options options);
#define ito_linalg_pinv(...)                                                                       \
    ITO_AT(ITO_CALL_1(ito_linalg_pinv_with, ito_linalg_rank_options, __VA_ARGS__, ))
/** How many singular values are not 0: i64 [..]. No gradient. */
ITO_API ito_tensor *ito_linalg_matrix_rank_with(ito_tensor *a, ito_linalg_rank_options options);
#define ito_linalg_matrix_rank(...)                                                                \
    ITO_AT(ITO_CALL_1(ito_linalg_matrix_rank_with, ito_linalg_rank_options, __VA_ARGS__, ))

/* ---- functions of a matrix ---- */

/** The n-th power of [.., N, N]; of the inverse if n is negative. */
ITO_API ito_tensor *ito_linalg_matrix_power(ito_tensor *a, int64_t n);
/** The exponential, I + A + A^2 / 2 + ..., of [.., N, N]: Higham 2005, "The scaling and squaring
 * method for the matrix exponential revisited". ITO_ERR_NUMERIC for a matrix that is not finite. */
ITO_API ito_tensor *ito_linalg_matrix_exp(ito_tensor *a);

/* ---- norms ---- */

/** The norm of all numbers, or along axes: ito_norm by PyTorch's newer name. f32, f64 or bf16. */
ITO_API ito_tensor *ito_linalg_vector_norm_with(ito_tensor *x, ito_norm_options options);
#define ito_linalg_vector_norm(...)                                                                \
    ITO_AT(ITO_CALL_1(ito_linalg_vector_norm_with, ito_norm_options, __VA_ARGS__, ))

/** What norms take. */
typedef struct ito_linalg_matrix_norm_options {
    int reserved_;
    /* "fro": the root of the sum of squares; "nuc": the sum of singular values; "2" and "-2": the
     * largest and smallest of them; "1" and "-1": the largest and smallest sum of |a| in a column;
     * "inf" and "-inf": in a row */
    const char *ord;                                 /* NULL: "fro" */
    ito_shape dims ITO_DEFAULT((ITO_SHAPE(-2, -1))); /* rows, columns */
    bool keepdim;
} ito_linalg_matrix_norm_options;
#define ITO_DEFAULTS_ito_linalg_matrix_norm_options .dims = {2, {-2, -1}}

/** A norm of matrices. ITO_ERR_ARGUMENT for an ord that is none. */
ITO_API ito_tensor *ito_linalg_matrix_norm_with(ito_tensor *a,
                                                ito_linalg_matrix_norm_options options);
#define ito_linalg_matrix_norm(...)                                                                \
    ITO_AT(ITO_CALL_1(ito_linalg_matrix_norm_with, ito_linalg_matrix_norm_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_linalg_det(...) ITO_AT(ito_linalg_det(__VA_ARGS__))
#define ito_linalg_eigh(...) ITO_AT(ito_linalg_eigh(__VA_ARGS__))
#define ito_linalg_eigvalsh(...) ITO_AT(ito_linalg_eigvalsh(__VA_ARGS__))
#define ito_linalg_inv(...) ITO_AT(ito_linalg_inv(__VA_ARGS__))
#define ito_linalg_lstsq(...) ITO_AT(ito_linalg_lstsq(__VA_ARGS__))
#define ito_linalg_lu(...) ITO_AT(ito_linalg_lu(__VA_ARGS__))
#define ito_linalg_matrix_exp(...) ITO_AT(ito_linalg_matrix_exp(__VA_ARGS__))
#define ito_linalg_matrix_power(...) ITO_AT(ito_linalg_matrix_power(__VA_ARGS__))
#define ito_linalg_qr(...) ITO_AT(ito_linalg_qr(__VA_ARGS__))
#define ito_linalg_slogdet(...) ITO_AT(ito_linalg_slogdet(__VA_ARGS__))
#define ito_linalg_svd(...) ITO_AT(ito_linalg_svd(__VA_ARGS__))
#define ito_linalg_svdvals(...) ITO_AT(ito_linalg_svdvals(__VA_ARGS__))
#define ito_logdet(...) ITO_AT(ito_logdet(__VA_ARGS__))
#endif

#endif
