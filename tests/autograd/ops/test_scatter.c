/* Scatter where entries of the index repeat, which PyTorch leaves open: the last one stays, and it
 * alone takes the gradient. */
#include "autograd/ops.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static ito_tensor *list(const double *v, int64_t n)
{
    return ito_requires_grad(ito_from_data(v, ITO_SHAPE(n), ITO_F64), true);
}

Test(scatter, the_last_of_several_stays_and_takes_the_gradient)
{
    ito_scope_begin();
    ito_tensor *x = list((double[]){1, 2, 3}, 3), *src = list((double[]){4, 5, 6, 7}, 4);
    ito_tensor *index = ito_from_data((int64_t[]){2, 0, 2, 0}, ITO_SHAPE(4), ITO_I64);
    ito_tensor *y = ito_scatter(x, 0, index, src);
    assert_elements(y, (double[]){7, 2, 6}, 3, 0, "scatter");
    ito_tensor *dy = ito_from_data((double[]){10, 20, 30}, ITO_SHAPE(3), ITO_F64);
    cr_assert_eq(ito_backward(y, .cotangent = dy), ITO_OK, "%s", ito_error());
    assert_elements(ito_grad_of(x), (double[]){0, 20, 0}, 3, 0, "of x");
    assert_elements(ito_grad_of(src), (double[]){0, 0, 30, 10}, 4, 0, "of src");
    ito_scope_end();
}

Test(scatter, equal_ones_share_the_gradient)
{
    ito_scope_begin();
    ito_tensor *x = list((double[]){5, 2}, 2), *src = list((double[]){5, 5, 1, 5}, 4);
    ito_tensor *index = ito_from_data((int64_t[]){0, 0, 1, 0}, ITO_SHAPE(4), ITO_I64);
    ito_tensor *y = ito_scatter_reduce(x, 0, index, src, ITO_SCATTER_AMAX);
    assert_elements(y, (double[]){5, 2}, 2, 0, "amax");
    cr_assert_eq(ito_backward(ito_sum(y)), ITO_OK, "%s", ito_error());
    assert_elements(ito_grad_of(x), (double[]){0.25, 1}, 2, 0, "of x");
    assert_elements(ito_grad_of(src), (double[]){0.25, 0.25, 0, 0.25}, 4, 0, "of src");
    ito_scope_end();
}

Test(scatter, products_with_zeros_have_gradients)
{
    ito_scope_begin();
    ito_tensor *x = list((double[]){2, 3}, 2), *src = list((double[]){0, 4, 0, 0}, 4);
    ito_tensor *index = ito_from_data((int64_t[]){0, 0, 1, 1}, ITO_SHAPE(4), ITO_I64);
    ito_tensor *y = ito_scatter_reduce(x, 0, index, src, ITO_SCATTER_PROD);
    assert_elements(y, (double[]){0, 0}, 2, 0, "prod");
    cr_assert_eq(ito_backward(ito_sum(y)), ITO_OK, "%s", ito_error());
    assert_elements(ito_grad_of(x), (double[]){0, 0}, 2, 0, "of x");
    assert_elements(ito_grad_of(src), (double[]){8, 0, 0, 0}, 4, 0, "of src");
    ito_scope_end();
}

/* Against a plain loop, with many entries for each place, by any number of threads. */
Test(scatter, does_not_depend_on_threads)
{
    enum { ROWS = 2000, COLUMNS = 30, PLACES = 7 };
    int before = ito_threads();
    ito_scope_begin();
    ito_generator g = ito_generator_make(1, 2);
    ito_tensor *index = ito_randint(&g, 0, PLACES, ITO_SHAPE(ROWS, COLUMNS), ITO_I64);
    ito_tensor *src = random_tensor(ITO_SHAPE(ROWS, COLUMNS), -1, 1, 3);
    ito_tensor *x = ito_zeros(ITO_SHAPE(PLACES, COLUMNS), ITO_F64);
    const int64_t *k = ito_const_data(index);
    const double *v = ito_const_data(src);
    double want[PLACES * COLUMNS] = {0};
    for (int64_t i = 0; i < ROWS * COLUMNS; i++)
        want[k[i] * COLUMNS + i % COLUMNS] = v[i];
    for (int threads = 1; threads <= 5; threads += 2) {
        ito_set_threads(threads);
        assert_elements(ito_scatter(x, 0, index, src), want, PLACES * COLUMNS, 0, "scatter");
    }
    ito_set_threads(before);
    ito_scope_end();
}

Test(scatter, moves_elements_of_any_dtype)
{
    ito_scope_begin();
    for (int dtype = 0; dtype < ITO_DTYPES; dtype++) {
        ito_tensor *x = ito_zeros(ITO_SHAPE(3), (ito_dtype)dtype);
        ito_tensor *index = ito_from_data((int64_t[]){2, 0}, ITO_SHAPE(2), ITO_I64);
        ito_tensor *src = ito_ones(ITO_SHAPE(2), (ito_dtype)dtype);
        assert_elements(ito_scatter(x, 0, index, src), (double[]){1, 0, 1}, 3, 0, "scatter");
        assert_elements(ito_index_fill(x, 0, index, 1), (double[]){1, 0, 1}, 3, 0, "index_fill");
    }
    ito_scope_end();
}
