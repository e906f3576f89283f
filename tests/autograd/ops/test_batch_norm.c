/* Batch and instance norm beyond the table of operations: accuracy far from 0, running statistics,
 * and what is empty. */
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>

static const double EXACT = 1e-12;

Test(ops_batch_norm, a_large_mean_does_not_cancel_the_variance)
{
    ito_tensor *noise = random_tensor(ITO_SHAPE(8, 3, 5, 4), -1, 1, 1);
    ito_tensor *far = ito_cast(ito_add_scalar(noise, 4096), ITO_F32);
    ito_tensor *near = ito_add_scalar(ito_cast(far, ITO_F64), -4096);
    ito_tensor *y = ito_batch_norm(far, NULL, NULL, NULL, NULL, .training = true);
    ito_tensor *want = ito_batch_norm(near, NULL, NULL, NULL, NULL, .training = true);
    assert_close(y, want, 1e-3, "far"); /* the mean is known to an ulp of 4096, 2^-11, at worst */
}

Test(ops_batch_norm, running_statistics_take_any_float_and_no_gradient)
{
    static const ito_dtype dtypes[] = {ITO_F32, ITO_F64, ITO_BF16};
    ito_tensor *x = ito_cast(random_tensor(ITO_SHAPE(4, 2, 3), -2, 2, 1), ITO_F32);
    for (int i = 0; i < 3; i++) {
        ito_tensor *mean = ito_zeros(ITO_SHAPE(2), dtypes[i]);
        ito_tensor *var = ito_ones(ITO_SHAPE(2), dtypes[i]);
        cr_assert_not_null(
            ito_batch_norm(x, mean, var, NULL, NULL, .training = true, .momentum = 1));
        double tolerance = dtypes[i] == ITO_BF16 ? 0x1p-8 : 1e-6;
        assert_close(mean, ito_cast(ito_mean(x, .dims = ITO_DIMS(0, 2)), ITO_F64), tolerance,
                     "mean");
        assert_close(var, ito_cast(ito_var(x, .dims = ITO_DIMS(0, 2)), ITO_F64), tolerance, "var");
        cr_assert_not_null(ito_requires_grad(mean, true));
        ito_tensor *y = ito_batch_norm(x, mean, var, NULL, NULL);
        cr_assert_not_null(y, "%s", ito_error());
        cr_assert_not(ito_has_grad_path(y));
    }
}

Test(ops_batch_norm, an_empty_batch_is_empty_and_moves_nothing)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(0, 2, 3), ITO_F64);
    ito_tensor *mean = ito_ones(ITO_SHAPE(2), ITO_F64), *var = ito_ones(ITO_SHAPE(2), ITO_F64);
    ito_tensor *one = ito_requires_grad(ito_ones(ITO_SHAPE(2), ITO_F64), true);
    ito_tensor *y = ito_batch_norm(x, mean, var, one, one, .training = true);
    cr_assert(shape_equal(ito_shape_of(y), ITO_SHAPE(0, 2, 3)));
    cr_assert_eq(ito_backward(ito_sum(y)), ITO_OK, "%s", ito_error());
    assert_elements(ito_grad_of(one), (double[]){0, 0}, 2, 0, "gradient");
    assert_elements(mean, (double[]){1, 1}, 2, 0, "mean");
    assert_elements(var, (double[]){1, 1}, 2, 0, "var");
}

Test(ops_batch_norm,
     after_training_with_momentum_1_evaluation_differs_by_the_last_degree_of_freedom)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(5, 3, 4), -2, 2, 1);
    ito_tensor *mean = ito_zeros(ITO_SHAPE(3), ITO_F64), *var = ito_ones(ITO_SHAPE(3), ITO_F64);
    ito_tensor *trained =
        ito_batch_norm(x, mean, var, NULL, NULL, .training = true, .momentum = 1, .eps = 0);
    ito_tensor *evaluated = ito_batch_norm(x, mean, var, NULL, NULL, .eps = 0);
    assert_close(ito_mul_scalar(evaluated, sqrt(20.0 / 19)), trained, EXACT, "n - 1");
}
