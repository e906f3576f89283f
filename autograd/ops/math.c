/* Element-wise functions that are made of others. */
#include "autograd/ops.h"
#include "autograd/ops/elementwise.h"

#include <float.h>
#include <math.h>

ito_tensor *ito_frac(ito_tensor *x)
{
    if (!check_real("frac", &x, 1))
        return NULL;
    ito_scope_begin();
    return leave_scope(ito_sub(x, ito_trunc(x)));
}

/* log(x) - log(1 - x): each has its own infinity at an end. */
ito_tensor *ito_logit_with(ito_tensor *x, ito_logit_options options)
{
    if (!check_real("logit", &x, 1))
        return NULL;
    if (!(isnan(options.eps) || (options.eps >= 0 && options.eps <= 0.5)))
        return error_null(ITO_ERR_ARGUMENT, "logit: eps %g is outside 0..0.5", options.eps);
    ito_scope_begin();
    if (!isnan(options.eps))
        x = ito_clamp(x, options.eps, 1 - options.eps);
    return leave_scope(ito_sub(ito_log(x), ito_log1p(ito_neg(x))));
}

ito_tensor *ito_nan_to_num_with(ito_tensor *x, ito_nan_to_num_options options)
{
    if (!check_real("nan_to_num", &x, 1))
        return NULL;
    double largest = x->dtype == ITO_F64    ? DBL_MAX
                     : x->dtype == ITO_BF16 ? 0x1.fep127
                                            : (double)FLT_MAX;
    double above = isnan(options.posinf) ? largest : options.posinf;
    double below = isnan(options.neginf) ? -largest : options.neginf;
    ito_scope_begin();
    ito_tensor *y = ito_masked_fill(x, ito_ne(x, x), options.nan);
    y = ito_masked_fill(y, ito_eq(x, number_like(HUGE_VAL, x)), above);
    return leave_scope(ito_masked_fill(y, ito_eq(x, number_like(-HUGE_VAL, x)), below));
}

/* Integers and bool are finite. */
ito_tensor *ito_isnan(ito_tensor *x)
{
    return ito_ne(x, x);
}

ito_tensor *ito_isinf(ito_tensor *x)
{
    if (x == NULL || !ito_dtype_is_float(x->dtype))
        return ito_ne(x, x);
    if (!check_real("isinf", &x, 1))
        return NULL;
    ito_scope_begin();
    return leave_scope(ito_eq(ito_abs(x), number_like(HUGE_VAL, x)));
}

ito_tensor *ito_isfinite(ito_tensor *x)
{
    if (x == NULL || !ito_dtype_is_float(x->dtype))
        return ito_eq(x, x);
    if (!check_real("isfinite", &x, 1))
        return NULL;
    ito_scope_begin();
    return leave_scope(ito_lt(ito_abs(x), number_like(HUGE_VAL, x)));
}

/* a log(b), but 0 for a = 0 beside a b whose logarithm is not finite: that of 1 is taken there. */
ito_tensor *ito_xlogy(ito_tensor *a, ito_tensor *b)
{
    if (!check_real("xlogy", (ito_tensor *[]){a, b}, 2) || !check_broadcast("xlogy", a, b))
        return NULL;
    ito_scope_begin();
    ito_tensor *zero = number_like(0, a), *one = number_like(1, b);
    ito_tensor *endless =
        ito_logical_or(ito_le(b, number_like(0, b)), ito_eq(b, number_like(HUGE_VAL, b)));
    ito_tensor *replaced = ito_logical_and(ito_eq(a, zero), endless);
    return leave_scope(ito_mul(a, ito_log(ito_where(replaced, one, b))));
}

ito_tensor *ito_addcmul_with(ito_tensor *x, ito_tensor *a, ito_tensor *b,
                             ito_addcmul_options options)
{
    if (!check_real("addcmul", (ito_tensor *[]){x, a, b}, 3) || !check_broadcast("addcmul", a, b))
        return NULL;
    ito_scope_begin();
    return leave_scope(ito_axpby(1, x, options.value, ito_mul(a, b)));
}

ito_tensor *ito_addcdiv_with(ito_tensor *x, ito_tensor *a, ito_tensor *b,
                             ito_addcdiv_options options)
{
    if (!check_real("addcdiv", (ito_tensor *[]){x, a, b}, 3) || !check_broadcast("addcdiv", a, b))
        return NULL;
    ito_scope_begin();
    return leave_scope(ito_axpby(1, x, options.value, ito_div(a, b)));
}
