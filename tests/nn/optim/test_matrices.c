/* Laws of the optimisers that see matrices: what an orthogonal change of basis does, and the
 * singular values of Muon's steps. */
#include "autograd/ops.h"
#include "tensor/eigen.h"
#include "tests/nn/optim/optim_check.h"

enum { SIZE = 6, STEPS = 7 };

/* Sums of 6 products of numbers below 3, in 7 steps; Adam's root makes more of it where a square is
 * small. */
#define TOLERANCE 1e-9

static ito_tensor *random_matrix(uint64_t seed, int64_t rows, int64_t columns)
{
    ito_generator g = ito_generator_make(seed, 0);
    return ito_randn(&g, ITO_SHAPE(rows, columns), ITO_F64);
}

static ito_tensor *rotation(uint64_t seed)
{
    double a[SIZE * SIZE], q[SIZE * SIZE];
    cr_assert_eq(ito_to_data(random_matrix(seed, SIZE, SIZE), a, ITO_F64), ITO_OK);
    cr_assert_eq(orthonormal_rows(a, SIZE, q), ITO_OK);
    return ito_from_data(q, ITO_SHAPE(SIZE, SIZE), ITO_F64);
}

static ito_tensor *rotated(ito_tensor *u, ito_tensor *x, ito_tensor *v)
{
    return ito_matmul(ito_matmul(u, x), v);
}

/* The parameter after steps with gradients that are turned by u and v, as it was itself. */
static ito_tensor *after(const ito_optimizer_algorithm *a, ito_tensor *u, ito_tensor *v)
{
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_tensor *start = rotated(u, random_matrix(1, SIZE, SIZE), v);
    ito_tensor *p = ito_module_parameter(m, "p", start);
    ito_optimizer *opt =
        a == &ito_optimizer_soap ? ito_soap_create(m, .precondition_frequency = 2) : a->create(m);
    cr_assert_not_null(opt, "%s", ito_error());
    for (uint64_t t = 0; t < STEPS; t++) {
        ito_tensor *g = rotated(u, random_matrix(10 + t, SIZE, SIZE), v);
        cr_assert_eq(ito_to_data(g, ito_data(ito_grad_of(p)), ITO_F64), ITO_OK);
        cr_assert_eq(ito_optimizer_step(opt, 0.1), ITO_OK, "%s", ito_error());
    }
    ito_tensor *value = ito_mul_scalar(ito_detach(p), 1);
    ito_optimizer_free(opt);
    ito_module_free(m);
    return value;
}

static double distance_of(const ito_optimizer_algorithm *a)
{
    ito_tensor *u = rotation(2), *v = rotation(3), *one = ito_zeros(ITO_SHAPE(SIZE, SIZE), ITO_F64);
    for (int i = 0; i < SIZE; i++)
        ((double *)ito_data(one))[i * SIZE + i] = 1;
    ito_tensor *turned_before = after(a, u, v), *turned_after = rotated(u, after(a, one, one), v);
    return ito_item(ito_max(ito_abs(ito_sub(turned_before, turned_after))));
}

/* To turn gradients is to turn the path. Adam, which looks at numbers one by one, takes another. */
Test(optim_matrices, muon_and_soap_know_no_basis)
{
    cr_expect_lt(distance_of(&ito_optimizer_muon), TOLERANCE, "%g",
                 distance_of(&ito_optimizer_muon));
    cr_expect_lt(distance_of(&ito_optimizer_soap), TOLERANCE, "%g",
                 distance_of(&ito_optimizer_soap));
    cr_expect_gt(distance_of(&ito_optimizer_adam), 0.01);
}

/* A step from 0 with rate 1 is the direction itself. For these coefficients five steps of
 * Newton-Schulz bring singular values from 0.01 of the norm up to between 0.68 and 1.14. */
Test(optim_matrices, steps_of_muon_have_singular_values_near_1)
{
    const int64_t shapes[][2] = {{6, 6}, {4, 9}, {9, 4}, {1, 7}};
    for (int s = 0; s < 4; s++) {
        int64_t rows = shapes[s][0], columns = shapes[s][1];
        int64_t least = rows < columns ? rows : columns;
        ito_module *m = ito_module_create(NULL, "", sizeof *m);
        ito_tensor *p = ito_module_parameter(m, "p", ito_zeros(ITO_SHAPE(rows, columns), ITO_F64));
        ito_optimizer *opt = ito_muon_create(m);
        cr_assert_eq(
            ito_to_data(random_matrix(5, rows, columns), ito_data(ito_grad_of(p)), ITO_F64),
            ITO_OK);
        cr_assert_eq(ito_optimizer_step(opt, 1), ITO_OK);
        double scale = rows > columns ? sqrt((double)rows / (double)columns) : 1;
        ito_tensor *x = ito_mul_scalar(ito_detach(p), 1 / scale), *t = ito_transpose(x, 0, 1);
        ito_tensor *gram = rows <= columns ? ito_matmul(x, t) : ito_matmul(t, x);
        double a[SIZE * SIZE], squares[SIZE];
        cr_assert_eq(ito_to_data(gram, a, ITO_F64), ITO_OK);
        cr_assert_eq(symmetric_eigen(a, least, squares, NULL), ITO_OK);
        for (int64_t i = 0; i < least; i++)
            cr_expect(squares[i] > 0.68 * 0.68 && squares[i] < 1.14 * 1.14, "[%d, %d]: %g",
                      (int)rows, (int)columns, sqrt(squares[i]));
        ito_optimizer_free(opt);
        ito_module_free(m);
    }
}
