/* What the table of operations cannot say of embeddings: gradients that are left out, and rows that
 * are shortened in place. */
#include "autograd/ops.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>

static ito_tensor *index_of(const int64_t *v, int64_t n)
{
    return ito_from_data(v, ITO_SHAPE(n), ITO_I64);
}

Test(ops_embedding, the_padding_row_gets_no_gradient)
{
    ito_tensor *index = index_of((int64_t[]){2, 0, 2, 1}, 4);
    int64_t padding[] = {2, -1};
    for (int i = 0; i < 2; i++) {
        ito_tensor *weight = ito_requires_grad(random_tensor(ITO_SHAPE(3, 2), -1, 1, 1), true);
        ito_tensor *y = ito_embedding(weight, index, .padding_idx = padding[i]);
        assert_close(y, ito_embedding(weight, index), 0, "values");
        assert_elements(ito_grad(ito_sum(y), weight), (double[]){1, 1, 1, 1, 0, 0}, 6, 0, "dw");
    }
}

/* The p-norms of {3, 4} are 7, 5 and 4. */
Test(ops_embedding, named_rows_are_brought_to_max_norm)
{
    double p[] = {1, 2, HUGE_VAL}, norm[] = {7, 5, 4};
    ito_dtype dtypes[] = {ITO_F64, ITO_F32};
    for (int i = 0; i < 6; i++) {
        double rows[] = {3, 4, 0.5, 0.5, 3, 4}, k = 2 / (norm[i % 3] + 1e-7); /* as PyTorch's */
        ito_tensor *weight = ito_cast(ito_from_data(rows, ITO_SHAPE(3, 2), ITO_F64), dtypes[i / 3]);
        ito_tensor *index = index_of((int64_t[]){0, 1, 0}, 3);
        ito_tensor *y = ito_embedding(weight, index, .max_norm = 2, .norm_type = p[i % 3]);
        double short_row[] = {3 * k, 4 * k, 0.5, 0.5, 3 * k, 4 * k};
        assert_elements(y, short_row, 6, 1e-6, "y");
        double left[] = {3 * k, 4 * k, 0.5, 0.5, 3, 4};
        assert_elements(weight, left, 6, 1e-6, "weight");
        ito_tensor *bag = ito_embedding_bag(weight, ito_reshape(index, 1, 3), .max_norm = 1);
        cr_assert_not_null(bag, "%s", ito_error());
        assert_elements(ito_sum(ito_square(ito_select(weight, 0, 0))), (double[]){1}, 1, 1e-6,
                        "bag");
    }
}

Test(ops_embedding, a_row_changed_in_place_is_noticed_by_backward)
{
    ito_tensor *weight = ito_requires_grad(ito_ones(ITO_SHAPE(2, 2), ITO_F64), true);
    ito_tensor *y = ito_sum(ito_square(weight));
    cr_assert_not_null(ito_embedding(weight, index_of((int64_t[]){0}, 1), .max_norm = 0.5));
    cr_assert_eq(ito_backward(y), ITO_ERR_GRAD);
    ito_error_clear();
}

Test(ops_embedding, the_first_of_equal_rows_has_the_gradient_of_the_maximum)
{
    ito_tensor *weight = ito_requires_grad(ito_ones(ITO_SHAPE(3, 1), ITO_F64), true);
    ito_tensor *index = ito_reshape(index_of((int64_t[]){1, 2}, 2), 1, 2);
    ito_tensor *y = ito_embedding_bag(weight, index, .mode = ITO_BAG_MAX);
    assert_elements(ito_grad(ito_sum(y), weight), (double[]){0, 1, 0}, 3, 0, "dw");
}

Test(ops_embedding, bags_of_an_empty_table_are_0)
{
    ito_tensor *weight = ito_ones(ITO_SHAPE(0, 2), ITO_F64),
               *none = ito_zeros(ITO_SHAPE(2, 0), ITO_I64);
    ito_bag_mode modes[] = {ITO_BAG_MEAN, ITO_BAG_SUM, ITO_BAG_MAX};
    for (int i = 0; i < 3; i++)
        assert_elements(ito_embedding_bag(weight, none, .mode = modes[i]), (double[4]){0}, 4, 0,
                        "");
}
