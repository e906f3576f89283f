/* Gradients and memory that belongs to another library. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "tensor/dlpack.h"
#include "tensor/dlpack_abi.h"
#include "tests/expect.h"

/* Two numbers of another library: a gradient that it computed. */
typedef struct foreign {
    struct DLManagedTensorVersioned managed;
    int64_t shape[1];
    float values[2];
} foreign;

static ito_tensor *import(foreign *f)
{
    f->shape[0] = 2;
    f->managed = (struct DLManagedTensorVersioned){.version = {1, 0},
                                                   .tensor = {.data = f->values,
                                                              .device = {DL_CPU, 0},
                                                              .ndim = 1,
                                                              .dtype = {DL_FLOAT, 32, 1},
                                                              .shape = f->shape}};
    return ito_from_dlpack(&f->managed);
}

static ito_tensor *copy_of(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n, (void)params;
    return ito_clone(in[0]);
}

static ito_tensor *foreign_gradient(int64_t i, ito_tensor *const *in, int64_t n, ito_tensor *y,
                                    ito_tensor *dy, const void *params)
{
    (void)i, (void)in, (void)n, (void)y, (void)dy;
    return import(*(foreign *const *)params);
}

static const ito_custom_op op = {.name = "foreign",
                                 .forward = copy_of,
                                 .backward = foreign_gradient,
                                 .params_size = sizeof(foreign *)};

/* A leaf takes over a gradient that nobody else holds, and adds the next one to it; and SiLU writes
 * its input's gradient over its result's. Not so with memory that is not the library's. */
Test(dlpack_gradients, are_not_written_to)
{
    foreign f = {.values = {3, 4}};
    const foreign *params = &f;
    ito_scope_begin();
    ito_tensor *x = ito_requires_grad(ito_ones(ITO_SHAPE(2), ITO_F32), true);
    for (int i = 0; i < 2; i++) {
        ito_tensor *direct = ito_custom(&op, &x, 1, &params);
        cr_assert_eq(ito_backward(ito_sum(direct)), ITO_OK);
        ito_tensor *silu = ito_silu(x), *behind = ito_custom(&op, &silu, 1, &params);
        cr_assert_eq(ito_backward(ito_sum(behind)), ITO_OK);
    }
    cr_expect_eq(f.values[0], 3, "3 became %g", (double)f.values[0]);
    cr_expect_eq(f.values[1], 4, "4 became %g", (double)f.values[1]);
    ito_scope_end();
}

/* The version does not know of a change from outside, unless it is told. */
Test(dlpack_gradients, a_change_from_outside_is_found_if_it_is_told)
{
    foreign f = {.values = {3, 4}};
    ito_scope_begin();
    ito_tensor *x = ito_requires_grad(import(&f), true), *y = ito_sum(ito_square(x));
    f.values[0] = 5;
    ito_touch(x);
    cr_assert_eq(ito_backward(y), ITO_ERR_GRAD);
    expect_error(ITO_ERR_GRAD,
                 "backward: input 0 of square, [2], was changed in place after it ran");
    ito_scope_end();
}
