/* Max pooling's own rules: ties, NaN, infinities, and places that are named twice. Values are
 * PyTorch's (operations/pooling.def). */
#include "ito.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>

static ito_tensor *numbers(const double *v, ito_shape shape)
{
    return ito_from_data(v, shape, ITO_F64);
}

static void assert_places(ito_tensor *indices, const double *want, int64_t n)
{
    cr_assert_eq(ito_dtype_of(indices), ITO_I64);
    assert_elements(indices, want, n, 0, "indices");
}

void case_max_pool_indices(void)
{
    ito_tensor *places = NULL;
    ito_tensor *x =
        numbers((double[]){1, 3, 3, 2, (double)NAN, 5, (double)NAN, 0}, ITO_SHAPE(1, 1, 8));
    ito_tensor *y = ito_max_pool1d(x, 4, .indices = &places);
    assert_elements(y, (double[]){3, (double)NAN}, 2, 0, "ties and NaN");
    assert_places(places, (double[]){1, 6}, 2); /* the first of equals, the last NaN, as PyTorch */
    ito_tensor *low = numbers((double[]){-(double)INFINITY, -(double)INFINITY, -(double)INFINITY},
                              ITO_SHAPE(1, 1, 3));
    y = ito_max_pool1d(low, 2, .stride = 1, .padding = 1, .indices = &places);
    assert_elements(
        y, (double[]){-(double)INFINITY, -(double)INFINITY, -(double)INFINITY, -(double)INFINITY},
        4, 0, "lowest");
    assert_places(places, (double[]){0, 0, 1, 2}, 4);
}

void case_gather_places(void)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(2, 40, 4, 3), -2, 2, 1), *places = NULL;
    ito_tensor *last = ito_permute(ito_contiguous(ito_permute(x, 0, 2, 3, 1)), 0, 3, 1, 2);
    ito_tensor *y = ito_max_pool2d(last, 3, .stride = 1, .padding = 1, .indices = &places);
    cr_assert(ito_is_channels_last(y));
    cr_assert(ito_is_channels_last(places));
    assert_close(y, ito_max_pool2d(x, 3, .stride = 1, .padding = 1), 0, "channels-last");
    ito_tensor *few = ito_max_pool2d(ito_narrow(x, 1, 33, 2), 3, .stride = 1, .padding = 1);
    assert_close(ito_narrow(y, 1, 33, 2), few, 0, "few channels");
}

void case_scatter_places(void)
{
    ito_tensor *places = ito_cast(numbers((double[]){2, 0, 2}, ITO_SHAPE(1, 1, 3)), ITO_I64);
    ito_tensor *x = ito_requires_grad(numbers((double[]){5, 6, 7}, ITO_SHAPE(1, 1, 3)), true);
    ito_tensor *y = ito_max_unpool1d(x, places, 2);
    assert_elements(y, (double[]){6, 0, 7, 0, 0, 0}, 6, 0, "the last one counts");
    ito_tensor *dy = numbers((double[]){1, 2, 3, 4, 5, 6}, ITO_SHAPE(1, 1, 6));
    cr_assert_eq(ito_backward(y, .cotangent = dy), ITO_OK);
    assert_elements(ito_grad_of(x), (double[]){3, 1, 3}, 3, 0, "gradient");
}

Test(ops_max_pool, no_result_means_no_indices)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 1, 3), ITO_F32), *places = x;
    cr_assert_null(ito_max_pool1d(x, 4, .indices = &places));
    cr_assert_null(places);
    ito_error_clear();
    places = x;
    cr_assert_null(ito_adaptive_max_pool1d(x, ITO_SHAPE(0), &places));
    cr_assert_null(places);
    ito_error_clear();
}

Test(ops_max_pool, refuses_channels_whose_places_do_not_fit)
{
    ito_tensor *x = ito_expand(ito_zeros(ITO_SHAPE(1, 1, 1), ITO_F32), 1, 1, (int64_t)1 << 33);
    cr_assert_null(ito_max_pool1d(x, INT32_MAX));
    assert_error(ITO_ERR_SHAPE,
                 "max_pool: x [1, 1, 8589934592] has more than 2^32 elements in a channel");
}

Test(ops_max_pool, no_images_give_none)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(0, 3, 4, 4), ITO_BF16);
    cr_assert(shape_equal(ito_shape_of(ito_max_pool2d(x, 2)), ITO_SHAPE(0, 3, 2, 2)));
    cr_assert(shape_equal(ito_shape_of(ito_avg_pool2d(x, 3)), ITO_SHAPE(0, 3, 1, 1)));
}
