/* Pools as layers: defaults, use in a sequential network, and what is refused. Values and gradients
 * are compared with PyTorch's in test_layers_reference.c. */
#include "autograd/ops.h"
#include "nn/layers.h"
#include "nn/layers_pool.h"
#include "tests/nn/nn_check.h"

Test(pool, windows_lie_side_by_side_by_default)
{
    ito_module *s = ito_sequential_create(NULL, "");
    ito_max_pool2d_create(s, "0", 2);
    ito_avg_pool2d_create(s, "1", 2);
    ito_adaptive_max_pool_create(s, "2", 2, ITO_SHAPE(1));
    ito_tensor *y = ito_module_forward(s, ramp(ITO_SHAPE(1, 1, 8, 8), 1));
    cr_assert_not_null(y, "%s", ito_error());
    /* Largest of windows: 9.5, 11.5, ... ; the mean of the last four of them: 54.5. */
    cr_expect_eq(ito_numel(y), 1);
    cr_expect_eq(element(y, 0), 54.5);
    ito_module_free(s);
}

Test(pool, what_cannot_be_is_refused)
{
    ito_tensor *indices = NULL;
    expect_refused(ito_max_pool2d_create(NULL, "", 2, .indices = &indices), ITO_ERR_ARGUMENT,
                   "max_pool: a layer gives no indices");
    expect_refused(ito_adaptive_avg_pool_create(NULL, "", 4, ITO_SHAPE(1)), ITO_ERR_ARGUMENT,
                   "pool: 4 axes; there are 1 to 3");
    expect_refused(ito_adaptive_max_pool_create(NULL, "", 0, ITO_SHAPE(1)), ITO_ERR_ARGUMENT,
                   "pool: 0 axes; there are 1 to 3");
    cr_expect_null(ito_pool_forward(NULL, ramp(ITO_SHAPE(1, 1, 2, 2), 1)));
}
