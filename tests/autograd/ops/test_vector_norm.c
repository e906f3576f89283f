/* Norms, deviations and distances where their formulas have no slope: the gradient is 0, and so is
 * the next. */
#include "ito.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>

/* The gradient of y by x, and of the gradient's sum. */
static void assert_flat(ito_tensor *y, ito_tensor *x, const double *first, const char *what)
{
    ito_tensor *dx = ito_grad(ito_sum(y), x, .create_graph = true);
    assert_elements(dx, first, ito_numel(x), 1e-15, what);
    double zeros[16] = {0};
    if (ito_has_grad_path(dx))
        assert_elements(ito_grad(ito_sum(dx), x), zeros, ito_numel(x), 1e-12, what);
}

Test(ops_vector_norm, gradients_at_zero_are_zero)
{
    static const double orders[] = {0.5, 1, 1.5, 2, 3, (double)INFINITY, -(double)INFINITY, 0};
    const double zeros[4] = {0};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        ito_scope_begin();
        ito_tensor *x = ito_requires_grad(ito_zeros(ITO_SHAPE(4), ITO_F64), true);
        ito_tensor *y = ito_norm(x, .ord = orders[i]);
        cr_assert_eq(ito_item(y), 0, "order %g", orders[i]);
        assert_flat(y, x, zeros, "norm");
        ito_scope_end();
    }
    ito_scope_begin();
    ito_tensor *x = ito_requires_grad(ito_full(ITO_SHAPE(4), 3, ITO_F64), true);
    assert_flat(ito_std(x), x, zeros, "std");
    ito_scope_end();
}

Test(ops_vector_norm, of_nothing_and_of_nan)
{
    ito_scope_begin();
    ito_tensor *none = ito_zeros(ITO_SHAPE(3, 0), ITO_F32);
    assert_elements(ito_norm(none, .dims = ITO_DIMS(1)), (double[]){0, 0, 0}, 3, 0, "none");
    cr_assert(isnan(ito_item(ito_norm(ito_scalar((double)NAN, ITO_F32)))));
    cr_assert(isnan(ito_item(ito_norm(ito_scalar((double)NAN, ITO_F32), .ord = (double)INFINITY))));
    cr_assert_null(ito_norm(none, .ord = INFINITY));
    assert_error(ITO_ERR_SHAPE, "max: no elements along the axes of [3, 0]");
    ito_scope_end();
}

Test(ops_vector_norm, deviations_come_with_their_mean)
{
    ito_scope_begin();
    ito_tensor *x = ito_from_data((double[]){1, 2, 3, 6}, ITO_SHAPE(4), ITO_F64), *mean;
    cr_assert_float_eq(ito_item(ito_var_mean(x, &mean, .correction = 0)), 3.5, 1e-15);
    cr_assert_eq(ito_item(mean), 3);
    cr_assert_float_eq(ito_item(ito_std_mean(x, &mean, .correction = 2)), sqrt(7), 1e-15);
    cr_assert_eq(ito_item(mean), 3);
    cr_assert_null(ito_var_mean(x, &mean, .dims = ITO_DIMS(1)));
    cr_assert_null(mean);
    assert_error(ITO_ERR_RANGE, "var_mean: axis 1 of a tensor of 1 axes");
    ito_scope_end();
}

Test(ops_vector_norm, equal_rows_are_0_apart_with_gradient_0)
{
    ito_scope_begin();
    double points[] = {1, 2, 1, 2, 4, 6}, *zeros = (double[6]){0};
    ito_tensor *x = ito_requires_grad(ito_from_data(points, ITO_SHAPE(3, 2), ITO_F64), true);
    ito_tensor *y = ito_cdist(x, ito_detach(x));
    assert_elements(y, (double[]){0, 0, 5, 0, 0, 5, 5, 5, 0}, 9, 1e-15, "distances");
    assert_flat(ito_narrow(ito_narrow(y, 0, 0, 2), 1, 0, 2), x, zeros, "cdist");
    cr_assert_eq(ito_numel(ito_cdist(ito_zeros(ITO_SHAPE(0, 2), ITO_F64), x)), 0);
    assert_elements(
        ito_cdist(ito_zeros(ITO_SHAPE(1, 0), ITO_F64), ito_zeros(ITO_SHAPE(2, 0), ITO_F64)), zeros,
        2, 0, "of no coordinates");
    ito_scope_end();
}

Test(ops_vector_norm, lengths_below_eps_are_eps)
{
    ito_scope_begin();
    ito_tensor *x = ito_requires_grad(ito_zeros(ITO_SHAPE(2), ITO_F64), true);
    ito_tensor *unit = ito_normalize(x, .dim = 0, .eps = 0.5);
    assert_elements(unit, (double[]){0, 0}, 2, 0, "normalize");
    assert_elements(ito_grad(ito_sum(unit), x), (double[]){2, 2}, 2, 0, "slope 1 / eps");
    ito_tensor *other = ito_from_data((double[]){1, 0}, ITO_SHAPE(2), ITO_F64);
    cr_assert_eq(ito_item(ito_cosine_similarity(x, other, .dim = 0)), 0);
    ito_scope_end();
}
