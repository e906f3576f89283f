/* Dropouts of channels and of self-normalising networks: what goes together, and which moments
 * stay. */
#include "autograd/ops.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>

/* Each channel of a result for ones is wholly 0 or wholly 1 / (1 - p), and both occur. */
static void check_channels(ito_tensor *y, int64_t channels, double p)
{
    cr_assert_not_null(y, "%s", ito_error());
    ito_tensor *rows = ito_reshape(y, channels, -1);
    double low = ito_item(ito_min(rows)), high = ito_item(ito_max(rows));
    cr_assert_eq(low, 0);
    cr_assert_float_eq(high, 1 / (1 - p), 1e-15);
    ito_tensor *means = ito_mean(rows, .dims = ITO_DIMS(1));
    for (int64_t i = 0; i < channels; i++) {
        double mean = ito_item(ito_select(means, 0, i));
        cr_assert(mean == 0 || fabs(mean - high) < 1e-12, "channel %lld: %g", (long long)i, mean);
    }
}

Test(ops_feature_dropout, whole_channels_are_dropped)
{
    ito_generator g = ito_generator_make(1, 2);
    check_channels(ito_dropout1d(ito_ones(ITO_SHAPE(4, 8, 5), ITO_F64), 0.4, &g), 32, 0.4);
    check_channels(ito_dropout1d(ito_ones(ITO_SHAPE(32, 5), ITO_F64), 0.4, &g), 32, 0.4);
    check_channels(ito_dropout2d(ito_ones(ITO_SHAPE(4, 8, 2, 3), ITO_F64), 0.4, &g), 32, 0.4);
    check_channels(ito_dropout2d(ito_ones(ITO_SHAPE(4, 8, 3), ITO_F64), 0.4, &g), 32, 0.4);
    check_channels(ito_dropout3d(ito_ones(ITO_SHAPE(4, 8, 2, 3, 2), ITO_F64), 0.4, &g), 32, 0.4);
    check_channels(ito_dropout3d(ito_ones(ITO_SHAPE(32, 2, 3, 2), ITO_F64), 0.4, &g), 32, 0.4);
}

/* Of normal numbers mean 0 and variance 1 stay, within five standard deviations of the estimates:
 * the fourth moment of what comes out is below 8. */
Test(ops_feature_dropout, alpha_dropout_keeps_mean_and_variance)
{
    enum { N = 100000 };
    ito_generator g = ito_generator_make(3, 4);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(N, 1), ITO_F64);
    ito_tensor *results[] = {ito_alpha_dropout(x, 0.3, &g), ito_feature_alpha_dropout(x, 0.3, &g)};
    for (int i = 0; i < 2; i++) {
        cr_assert_lt(fabs(ito_item(ito_mean(results[i]))), 5 / sqrt(N));
        cr_assert_lt(fabs(ito_item(ito_var(results[i])) - 1), 5 * sqrt(8.0 / N));
    }
    cr_assert_gt(ito_item(ito_max(ito_abs(ito_sub(results[0], x)))), 0.1);
}

Test(ops_feature_dropout, alpha_dropout_drops_channels_to_one_value)
{
    ito_generator g = ito_generator_make(5, 6);
    ito_tensor *x = random_tensor(ITO_SHAPE(2, 16, 3), 1, 2, 1);
    ito_tensor *y = ito_reshape(ito_feature_alpha_dropout(x, 0.5, &g), 32, 3);
    double alpha = 1.7580993408473766, a = 1 / sqrt((alpha * alpha / 2 + 1) / 2);
    int dropped = 0;
    for (int64_t i = 0; i < 32; i++) {
        double first = ito_item(ito_select(ito_select(y, 0, i), 0, 0));
        bool gone = fabs(first - (-alpha * a + alpha * a / 2)) < 1e-12;
        dropped += gone;
        ito_tensor *kept = ito_add_scalar(
            ito_mul_scalar(ito_select(ito_reshape(x, 32, 3), 0, i), a), alpha * a / 2);
        assert_close(ito_select(y, 0, i), gone ? ito_full(ITO_SHAPE(3), first, ITO_F64) : kept,
                     1e-12, "a channel");
    }
    cr_assert(dropped > 4 && dropped < 28, "%d of 32", dropped);
}

Test(ops_feature_dropout, a_probability_of_0_draws_nothing)
{
    ito_generator g = ito_generator_make(7, 8);
    ito_tensor *x = random_tensor(ITO_SHAPE(2, 3, 4), 1, 2, 1);
    cr_assert_eq(ito_dropout1d(x, 0, &g)->storage, x->storage);
    cr_assert_eq(ito_alpha_dropout(x, 0, &g)->storage, x->storage);
    cr_assert_eq(g.offset, 0);
}
