/* The recurrence behind cumulative operations, against a plain loop. */
#include "autograd/ops/scan.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>

typedef struct way {
    int axis;
    bool reverse;
} way;

static ito_tensor *f(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    const way *w = context;
    return recurrence(in[0], in[1], w->axis, w->reverse);
}

void case_recurrence(void)
{
    for (int axis = 0; axis < 3; axis++)
        for (int reverse = 0; reverse < 2; reverse++) {
            way w = {axis, reverse};
            ito_scope_begin();
            ito_tensor *in[] = {random_tensor(ITO_SHAPE(3, 4, 2), -1, 1, 1),
                                random_tensor(ITO_SHAPE(3, 4, 2), -1, 1, 2)};
            const double *a = ito_const_data(in[0]), *b = ito_const_data(in[1]);
            int64_t n = in[0]->shape[axis], step = in[0]->stride[axis];
            double want[24];
            for (int64_t i = 0; i < 24; i++) {
                int64_t begin = i - i / step % n * step; /* of the line; i is in it */
                double h = 0;
                for (int64_t k = 0; k < n; k++) {
                    int64_t at = begin + (reverse ? n - 1 - k : k) * step;
                    h = a[at] * h + b[at];
                    want[at] = h;
                }
            }
            assert_elements(f(in, 2, &w), want, 24, 1e-15, "recurrence");
            ito_scope_end();
            op_check c = {.what = "recurrence",
                          .f = f,
                          .context = &w,
                          .n = 2,
                          .shape = {ITO_SHAPE(2, 4, 3), ITO_SHAPE(2, 4, 3)},
                          .large = {ITO_SHAPE(60, 40, 30), ITO_SHAPE(60, 40, 30)},
                          .low = -1,
                          .high = 1,
                          .gradient_roundings = 3};
            op_check_run(c);
        }
}
