/* Weights along an axis: that an operation's transpose is one, and what weights add up to. Values
 * are PyTorch's (operations/pooling.def, resize.def). */
#include "autograd/ops/resample.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>

static const double EXACT = 1e-13; /* sums of a few hundred terms of magnitude 4 in double */

static ito_tensor *apply(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    return resample(in[0], context);
}

static resample_params rule(resample_rule r, int64_t in, int64_t out, bool antialias)
{
    return (resample_params){.rule = r,
                             .axis = 1,
                             .in = in,
                             .out = out,
                             .kernel = 3,
                             .stride = 2,
                             .padding = 1,
                             .scale = (double)in / (double)out,
                             .antialias = antialias};
}

/* sum(y (W x)) = sum((W^T y) x). */
static void check_transpose(resample_params p)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(3, p.in, 4), -2, 2, 1);
    ito_tensor *y = random_tensor(ITO_SHAPE(3, p.out, 4), -2, 2, 2);
    ito_tensor *there = ito_sum(ito_mul(resample(x, &p), y));
    p.transposed = true;
    assert_close(ito_sum(ito_mul(resample(y, &p), x)), there, EXACT, "transpose");
}

void case_resample(void)
{
    static const resample_rule rules[] = {RESAMPLE_ADAPTIVE, RESAMPLE_NEAREST,
                                          RESAMPLE_NEAREST_EXACT, RESAMPLE_LINEAR, RESAMPLE_CUBIC};
    static const int64_t sizes[][2] = {{7, 3}, {3, 7}, {1, 4}, {4, 1}, {2, 2}, {100, 9}, {5, 64}};
    for (int i = 0; i < 7; i++) {
        for (int r = 0; r < 5; r++) {
            check_transpose(rule(rules[r], sizes[i][0], sizes[i][1], false));
            if (r > 2)
                check_transpose(rule(rules[r], sizes[i][0], sizes[i][1], true));
        }
    }
    check_transpose(rule(RESAMPLE_WINDOWS, 8, 4, false));
    resample_params p = rule(RESAMPLE_CUBIC, 5, 3, false);
    op_check_run((op_check){.what = "resample",
                            .f = apply,
                            .context = &p,
                            .n = 1,
                            .shape = {ITO_SHAPE(2, 5, 3)},
                            .large = {ITO_SHAPE(700, 5, 33)}});
    p.transposed = true;
    op_check_run((op_check){.what = "resample, transposed",
                            .f = apply,
                            .context = &p,
                            .n = 1,
                            .shape = {ITO_SHAPE(2, 3, 3)}});
}

Test(ops_resample, a_constant_stays_what_it_is)
{
    static const resample_rule rules[] = {RESAMPLE_WINDOWS, RESAMPLE_ADAPTIVE, RESAMPLE_LINEAR,
                                          RESAMPLE_CUBIC};
    ito_tensor *x = ito_ones(ITO_SHAPE(2, 9, 3), ITO_F64);
    for (int r = 0; r < 4; r++)
        for (int antialias = 0; antialias < 2; antialias++) {
            resample_params p = rule(rules[r], 9, 4, antialias == 1);
            p.padding = 0;
            assert_close(resample(x, &p), ito_ones(ITO_SHAPE(2, 4, 3), ITO_F64), EXACT, "ones");
        }
}

Test(ops_resample, any_order_of_axes_in_memory_gives_the_same)
{
    resample_params p = rule(RESAMPLE_LINEAR, 5, 8, false);
    p.axis = 2;
    ito_tensor *x = random_tensor(ITO_SHAPE(2, 3, 5, 4), -2, 2, 1), *want = resample(x, &p);
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < a; b++) {
            ito_tensor *turned = ito_transpose(ito_contiguous(ito_transpose(x, a, b)), a, b);
            assert_close(resample(turned, &p), want, 0, "order");
        }
    ito_tensor *wide = random_tensor(ITO_SHAPE(2, 3, 10, 4), -2, 2, 1);
    ito_tensor *apart = ito_slice(wide, 2, 0, 10, 2);
    assert_close(resample(apart, &p), resample(ito_contiguous(apart), &p), 0, "not dense");
}
