/* Laws of linear algebra on matrices wider than LAPACK's blocks, and where derivatives end. */
#include "ito.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>

/* Sums of 150 products of factors of magnitude 1 to 20, each off by some 2^-53. */
static const double tolerance = 1e-11;

static ito_tensor *wide_matrices(int64_t rows, int64_t columns)
{
    return random_tensor(ITO_SHAPE(2, rows, columns), -1, 1, 3);
}

static ito_tensor *transpose(ito_tensor *a)
{
    return ito_transpose(a, -2, -1);
}

static void assert_orthonormal(ito_tensor *q)
{
    ito_tensor *eye = ito_eye(ito_size(q, -1), ITO_F64);
    assert_close(ito_matmul(transpose(q), q), ito_expand(eye, 2, -1, -1), tolerance, "Q^T Q");
}

Test(linalg, inverse_times_matrix_is_identity)
{
    ito_tensor *a = ito_add(wide_matrices(150, 150), ito_mul_scalar(ito_eye(150, ITO_F64), 30));
    ito_tensor *eye = ito_expand(ito_eye(150, ITO_F64), 2, -1, -1);
    assert_close(ito_matmul(a, ito_linalg_inv(a)), eye, tolerance, "A A^-1");
    assert_close(ito_linalg_solve(a, a), eye, tolerance, "A X = A");
}

Test(linalg, factors_multiply_to_the_matrix)
{
    int64_t sizes[][2] = {{150, 80}, {80, 150}, {90, 90}};
    for (int i = 0; i < 3; i++) {
        ito_tensor *a = wide_matrices(sizes[i][0], sizes[i][1]), *r, *s, *vh;
        ito_tensor *q = ito_linalg_qr(a, &r), *u = ito_linalg_svd(a, &s, &vh);
        assert_orthonormal(q);
        assert_orthonormal(u);
        assert_orthonormal(transpose(vh));
        assert_close(ito_matmul(q, r), a, tolerance, "Q R");
        ito_tensor *lower, *upper, *p = ito_linalg_lu(a, &lower, &upper);
        assert_close(ito_matmul(ito_matmul(p, lower), upper), a, tolerance, "P L U");
        assert_close(ito_matmul(ito_mul(u, ito_unsqueeze(s, -2)), vh), a, tolerance, "U S V^T");
        ito_tensor *inverse = ito_linalg_pinv(a);
        assert_close(ito_matmul(ito_matmul(a, inverse), a), a, tolerance, "A A+ A");
        assert_close(ito_matmul(ito_matmul(inverse, a), inverse), inverse, tolerance, "A+ A A+");
    }
}

Test(linalg, symmetric_matrices_are_made_of_their_factors)
{
    ito_tensor *x = wide_matrices(100, 100), *vectors;
    ito_tensor *a = ito_add(ito_matmul(x, transpose(x)), ito_eye(100, ITO_F64));
    ito_tensor *values = ito_linalg_eigh(a, &vectors), *l = ito_linalg_cholesky(a);
    assert_orthonormal(vectors);
    assert_close(ito_matmul(ito_mul(vectors, ito_unsqueeze(values, -2)), transpose(vectors)), a,
                 tolerance, "V L V^T");
    assert_close(ito_matmul(l, transpose(l)), a, tolerance, "L L^T");
    ito_tensor *sign, *log;
    sign = ito_linalg_slogdet(a, &log);
    assert_close(sign, ito_ones(ITO_SHAPE(2), ITO_F64), 0, "sign");
    assert_close(log, ito_sum(ito_log(values), .dims = ITO_DIMS(-1)), tolerance, "log det");
}

Test(linalg, exponential_of_a_rotation_has_its_period)
{
    double v[] = {0, -200.75, 200.75, 0},
           want[] = {cos(200.75), -sin(200.75), sin(200.75), cos(200.75)};
    ito_tensor *a = ito_from_data(v, ITO_SHAPE(2, 2), ITO_F64);
    assert_elements(ito_linalg_matrix_exp(a), want, 4, 1e-12, "a turn of 200.75");
}

/* Without their vectors, equal singular values and eigenvalues have gradients. */
Test(linalg, equal_values_have_gradients)
{
    ito_tensor *a = ito_requires_grad(ito_eye(3, ITO_F64), true);
    ito_tensor *loss = ito_add(ito_sum(ito_linalg_svdvals(a)), ito_sum(ito_linalg_eigvalsh(a)));
    cr_assert_eq(ito_backward(loss), ITO_OK, "%s", ito_error());
    assert_close(ito_grad_of(a), ito_mul_scalar(ito_eye(3, ITO_F64), 2), 1e-14, "U V^T + V V^T");
}

Test(linalg, second_derivative_of_a_singular_determinant_is_refused)
{
    ito_tensor *a = ito_requires_grad(ito_zeros(ITO_SHAPE(2, 2), ITO_F64), true);
    ito_tensor *slope = ito_grad(ito_linalg_det(a), a, .create_graph = true);
    cr_assert_not_null(slope, "%s", ito_error());
    cr_assert_null(ito_grad(ito_sum(slope), a));
    assert_error(ITO_ERR_NUMERIC, "linalg_inv: the matrix is singular");
}

Test(linalg, gradient_of_a_singular_logarithm_is_refused)
{
    ito_tensor *a = ito_requires_grad(ito_zeros(ITO_SHAPE(2, 2), ITO_F64), true), *log;
    cr_assert_not_null(ito_linalg_slogdet(a, &log), "%s", ito_error());
    cr_assert_neq(ito_backward(log), ITO_OK);
    assert_error(ITO_ERR_NUMERIC, "linalg_inv: the matrix is singular");
}

Test(linalg, further_results_are_null_on_failure)
{
    ito_tensor *a = ito_zeros(ITO_SHAPE(3), ITO_F64), *one = a, *two = a;
    cr_assert(ito_linalg_qr(a, &one) == NULL && one == NULL);
    one = a;
    cr_assert(ito_linalg_svd(a, &one, &two) == NULL && one == NULL && two == NULL);
    one = two = a;
    cr_assert(ito_linalg_lu(a, &one, &two) == NULL && one == NULL && two == NULL);
    one = two = a;
    cr_assert(ito_linalg_eigh(a, &one) == NULL && one == NULL);
    cr_assert(ito_linalg_slogdet(a, &two) == NULL && two == NULL);
    ito_error_clear();
}
