/* Creation: values and refusals. */
#include "tensor/internal.h"

#include <criterion/criterion.h>
#include <string.h>

static void assert_values(const ito_tensor *t, const double *want, int64_t n)
{
    cr_assert_not_null(t, "%s", ito_error());
    cr_assert_eq(ito_numel(t), n);
    double got[64];
    ito_to_data(t, got, ITO_F64);
    for (int64_t i = 0; i < n; i++)
        cr_assert_eq(got[i], want[i], "element %lld is %g", (long long)i, got[i]);
}

Test(create, constants)
{
    assert_values(ito_full(ITO_SHAPE(2), -3, ITO_I32), (double[]){-3, -3}, 2);
    assert_values(ito_ones(ITO_SHAPE(2), ITO_BOOL), (double[]){1, 1}, 2);
    assert_values(ito_full_like(ito_zeros(ITO_SHAPE(1), ITO_F16), 0.5), (double[]){0.5}, 1);
    assert_values(ito_ones_like(ito_zeros(ITO_SHAPE(2), ITO_F32)), (double[]){1, 1}, 2);
}

Test(create, ranges)
{
    assert_values(ito_arange(0, 5, 2, ITO_I64), (double[]){0, 2, 4}, 3);
    assert_values(ito_arange(1, 0, -0.5, ITO_F32), (double[]){1, 0.5}, 2);
    assert_values(ito_arange(0, 0, 1, ITO_F32), NULL, 0);
    assert_values(ito_linspace(0, 1, 5, ITO_F64), (double[]){0, 0.25, 0.5, 0.75, 1}, 5);
    assert_values(ito_linspace(3, 9, 1, ITO_F64), (double[]){3}, 1);
    assert_values(ito_linspace(3, 9, 0, ITO_F64), NULL, 0);
}

Test(create, a_range_that_leads_away_is_refused)
{
    cr_assert_null(ito_arange(0, 5, -1, ITO_F32));
    cr_assert_str_eq(ito_error_message(), "arange: no steps of -1 lead from 0 to 5");
    ito_error_clear();
    cr_assert_null(ito_arange(0, 5, 0, ITO_F32));
    cr_assert_str_eq(ito_error_message(), "arange: no steps of 0 lead from 0 to 5");
    ito_error_clear();
    cr_assert_null(ito_linspace(0, 1, -2, ITO_F32));
    cr_assert_str_eq(ito_error_message(), "linspace: -2 steps");
}

Test(create, the_identity)
{
    assert_values(ito_eye(2, ITO_F32), (double[]){1, 0, 0, 1}, 4);
    assert_values(ito_eye(0, ITO_F32), NULL, 0);
}

Test(create, values_are_converted)
{
    ito_tensor *t = ito_values(ITO_F32, 0.5, -1, 2);
    cr_assert(ito_ndim(t) == 1 && ito_size(t, 0) == 3 && ito_dtype_of(t) == ITO_F32);
    const float *x = ito_const_data(t);
    cr_expect(x[0] == 0.5f && x[1] == -1 && x[2] == 2);
    t = ito_values(ITO_I64, 7);
    cr_assert(ito_size(t, 0) == 1 && *(const int64_t *)ito_const_data(t) == 7);
    t = ito_values(ITO_F64, 0.1, 0.2);
    cr_expect_eq(((const double *)ito_const_data(t))[1], 0.2);
    cr_expect_null(ito_values_of(NULL, 3, ITO_F32));
    cr_expect_eq(ito_error_code(), ITO_ERR_ARGUMENT);
    cr_expect_str_eq(ito_error_message(), "values: no numbers");
}

Test(create, from_data_copies)
{
    float data[3] = {1, 2, 3};
    ito_tensor *t = ito_from_data(data, ITO_SHAPE(3), ITO_F32);
    data[0] = 9;
    assert_values(t, (double[]){1, 2, 3}, 3);
    cr_assert_null(ito_from_data(NULL, ITO_SHAPE(3), ITO_F32));
    cr_assert_str_eq(ito_error_message(), "from_data: no data for the shape [3]");
    ito_error_clear();
    cr_assert_not_null(ito_from_data(NULL, ITO_SHAPE(0), ITO_F32));
}
