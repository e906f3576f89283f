/* Cofactors, by which a determinant is differentiated, against minors. */
#include "autograd/op.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>

static ito_tensor *f_cofactor(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    return OP1(linalg_cofactor, in[0]);
}

/* (-1)^(i + j) times the minor of a 3 x 3 matrix: the cyclic neighbours have the sign in them. */
static void check_minors(ito_tensor *a)
{
    double v[9], want[9];
    cr_assert_eq(ito_to_data(a, v, ITO_F64), ITO_OK);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            int i1 = (i + 1) % 3, i2 = (i + 2) % 3, j1 = (j + 1) % 3, j2 = (j + 2) % 3;
            want[3 * i + j] = v[3 * i1 + j1] * v[3 * i2 + j2] - v[3 * i1 + j2] * v[3 * i2 + j1];
        }
    assert_elements(OP1(linalg_cofactor, a), want, 9, 1e-13, "cofactors");
}

void case_linalg_cofactor(void);
void case_linalg_cofactor(void)
{
    op_check_run((op_check){.what = "linalg_cofactor",
                            .f = f_cofactor,
                            .n = 1,
                            .shape = {ITO_SHAPE(2, 3, 3)},
                            .large = {ITO_SHAPE(100, 3, 3)},
                            .no_bf16 = true,
                            .tolerance = 1e-3});
    ito_scope_begin();
    ito_tensor *thin = random_tensor(ITO_SHAPE(3, 2), -2, 2, 1);
    check_minors(random_tensor(ITO_SHAPE(3, 3), -2, 2, 2));
    check_minors(ito_matmul(thin, ito_transpose(thin, 0, 1))); /* of rank 2 */
    check_minors(ito_zeros(ITO_SHAPE(3, 3), ITO_F64));
    cr_assert_null(OP1(linalg_cofactor, ito_full(ITO_SHAPE(2, 2), 1 / 0.0, ITO_F64)));
    assert_error(ITO_ERR_NUMERIC, "linalg_cofactor: the matrix is not finite");
    ito_scope_end();
}
