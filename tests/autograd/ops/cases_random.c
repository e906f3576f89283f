/* The slope of a draw of gamma's, against differences of the draw. */
#include "autograd/op.h"
#include "autograd/ops/gamma.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>

/* Central differences of the inverse distribution function, which is accurate to 1e-14 or so. */
void case_standard_gamma_slope(void);
void case_standard_gamma_slope(void)
{
    static const double concentration[] = {0.05, 0.7, 1, 3.5, 40, 2000},
                        p[] = {0.001, 0.3, 0.8, 0.9999};
    ito_scope_begin();
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 4; j++) {
            double a = concentration[i], h = 1e-5 * a, x = gamma_p_inverse(a, p[j]);
            double want = (gamma_p_inverse(a + h, p[j]) - gamma_p_inverse(a - h, p[j])) / (2 * h);
            cr_assert_float_eq(gamma_p(a, x), p[j], 1e-12, "P(%g, %g)", a, x);
            ito_tensor *s =
                OP2(standard_gamma_slope, ito_scalar(a, ITO_F64), ito_scalar(x, ITO_F64));
            if (x > 1e-300) /* the difference's own error is of order h^2 */
                cr_assert_float_eq(ito_item(s) / want, 1, 1e-5, "%g, %g: %g, not %g", a, p[j],
                                   ito_item(s), want);
        }
    ito_scope_end();
}
