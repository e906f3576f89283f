/* Tensors: shapes, strides, layouts, element access. */
#include "tensor/internal.h"

#include <criterion/criterion.h>
#include <math.h>

Test(tensor, knows_its_shape)
{
    ito_tensor *t = ito_zeros(ITO_SHAPE(2, 3, 4), ITO_F64);
    cr_assert_eq(ito_ndim(t), 3);
    cr_assert_eq(ito_numel(t), 24);
    cr_assert_eq(ito_size(t, 1), 3);
    cr_assert_eq(ito_size(t, -1), 4);
    cr_assert_eq(ito_stride(t, 0), 12);
    cr_assert_eq(ito_dtype_of(t), ITO_F64);
    cr_assert(ito_is_contiguous(t));
}

Test(tensor, zero_dimensional_and_empty_ones_exist)
{
    ito_tensor *scalar = ito_scalar(2.5, ITO_F32), *empty = ito_zeros(ITO_SHAPE(3, 0, 2), ITO_F32);
    cr_assert_eq(ito_ndim(scalar), 0);
    cr_assert_eq(ito_numel(scalar), 1);
    cr_assert_eq(ito_item(scalar), 2.5);
    cr_assert_eq(ito_numel(empty), 0);
    cr_assert(ito_is_contiguous(empty));
}

Test(tensor, has_up_to_eight_axes)
{
    cr_assert_not_null(ito_zeros(ITO_SHAPE(1, 1, 1, 1, 1, 1, 1, 2), ITO_F32));
    ito_shape nine = {.ndim = 9};
    cr_assert_null(ito_zeros(nine, ITO_F32));
    cr_assert_str_eq(ito_error_message(), "tensor: 9 axes; there can be 0 to 8");
}

Test(tensor, refuses_what_is_no_dtype)
{
    cr_assert_null(ito_zeros(ITO_SHAPE(1), ITO_DTYPES));
    cr_assert_str_eq(ito_error_message(), "tensor: 8 is no dtype");
}

Test(tensor, an_axis_out_of_range_is_named)
{
    ito_tensor *t = ito_zeros(ITO_SHAPE(2, 3), ITO_F32);
    cr_assert_eq(ito_size(t, 2), -1);
    cr_assert_str_eq(ito_error_message(), "size: axis 2 of a tensor of 2 axes");
    cr_assert_eq(ito_error_code(), ITO_ERR_RANGE);
}

Test(tensor, item_wants_one_element)
{
    cr_assert(isnan(ito_item(ito_zeros(ITO_SHAPE(2), ITO_F32))));
    cr_assert_str_eq(ito_error_message(), "item: a tensor of shape [2] is not one number");
    ito_error_clear();
    cr_assert(isnan(ito_item(NULL)));
    cr_assert_str_eq(ito_error_message(), "item: the tensor is NULL");
}

Test(tensor, elements_need_a_place)
{
    ito_tensor *t = ito_zeros(ITO_SHAPE(2), ITO_F32);
    cr_assert_eq(ito_to_data(t, NULL, ITO_F32), ITO_ERR_ARGUMENT);
    cr_assert_str_eq(ito_error_message(), "to_data: the place for its elements is NULL");
    cr_assert_eq(ito_to_data(ito_zeros(ITO_SHAPE(0), ITO_F32), NULL, ITO_F32), ITO_OK);
    ito_error_clear();
    cr_assert_eq(ito_to_data(NULL, NULL, ITO_F32), ITO_ERR_ARGUMENT);
    cr_assert_str_eq(ito_error_message(), "to_data: the tensor is NULL");
    ito_error_clear();
    cr_assert_eq(ito_print(t, NULL), ITO_ERR_ARGUMENT);
    cr_assert_str_eq(ito_error_message(), "print: the file is NULL");
    ito_error_clear();
    cr_assert_eq(ito_print(NULL, stdout), ITO_ERR_ARGUMENT);
    cr_assert_str_eq(ito_error_message(), "print: the tensor is NULL");
}

Test(tensor, null_has_no_shape_and_sets_no_error)
{
    cr_assert_eq(ito_ndim(NULL), -1);
    cr_assert_eq(ito_numel(NULL), 0);
    cr_assert_null(ito_data(NULL));
    cr_assert_null(ito_zeros_like(NULL));
    cr_assert_eq(ito_error_code(), ITO_OK);
}

Test(tensor, channels_last_is_an_order_in_memory)
{
    ito_tensor *t = tensor_empty_channels_last(ITO_SHAPE(2, 3, 4, 5), ITO_F32);
    cr_assert(ito_is_channels_last(t));
    cr_assert_not(ito_is_contiguous(t));
    cr_assert_eq(ito_stride(t, 1), 1);
    cr_assert_eq(ito_stride(t, 0), 60);
    cr_assert(tensor_is_dense(t));
    cr_assert(tensor_same_layout(t, ito_zeros_like(t)));
    cr_assert(ito_is_contiguous(tensor_empty_channels_last(ITO_SHAPE(2, 1, 4, 5), ITO_F32)));
}

Test(tensor, dense_means_no_gap_and_no_overlap)
{
    ito_tensor *t = ito_zeros(ITO_SHAPE(4, 6), ITO_F32);
    cr_assert(tensor_is_dense(tensor_view(t, ITO_SHAPE(6, 4), (int64_t[]){1, 6}, 0)));
    cr_assert_not(tensor_is_dense(tensor_view(t, ITO_SHAPE(4, 3), (int64_t[]){6, 2}, 0)));
    cr_assert_not(tensor_is_dense(tensor_view(t, ITO_SHAPE(4, 6), (int64_t[]){0, 1}, 0)));
}

Test(tensor, shapes_broadcast_as_in_numpy)
{
    ito_shape out;
    cr_assert(shape_broadcast(ITO_SHAPE(3, 1), ITO_SHAPE(2, 1, 4), &out));
    cr_assert(shape_equal(out, ITO_SHAPE(2, 3, 4)));
    cr_assert(shape_broadcast(ITO_SHAPE(0, 1), ITO_SHAPE(5), &out));
    cr_assert(shape_equal(out, ITO_SHAPE(0, 5)));
    cr_assert(shape_broadcast(ITO_SHAPE(), ITO_SHAPE(2), &out));
    cr_assert_not(shape_broadcast(ITO_SHAPE(2), ITO_SHAPE(3), &out));
}

Test(tensor, products_of_sizes_are_checked)
{
    cr_assert_eq(checked_mul(3, 4), 12);
    cr_assert_eq(checked_mul(INT64_MAX, 2), -1);
    cr_assert_eq(checked_mul(-1, 2), -1);
    cr_assert_eq(shape_numel(ITO_SHAPE(0, 5)), 0);
    cr_assert_eq(ito_shape_numel(ITO_SHAPE(2, 3, 4)), 24);
    cr_assert_eq(ito_shape_numel(ITO_SHAPE(INT64_MAX, 2)), -1);
    cr_assert_eq(ito_shape_numel(ITO_SHAPE(2, -1)), -1);
    cr_assert_eq(ito_error_code(), ITO_OK);
    cr_assert_eq(shape_numel(ITO_SHAPE(0, INT64_MAX, INT64_MAX)), -1);
}

Test(tensor, touch_raises_the_version)
{
    ito_tensor *t = ito_zeros(ITO_SHAPE(2), ITO_F32);
    uint64_t before = t->storage->version;
    ito_touch(t);
    cr_assert_eq(t->storage->version, before + 1);
}
