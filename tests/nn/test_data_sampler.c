/* The order of examples. */
#include "nn/data.h"
#include "tests/nn/nn_check.h"

static void order_of(uint64_t seed, int64_t epoch, int64_t size, int64_t *out)
{
    ito_data_sampler s = {.size = size, .seed = seed};
    ito_tensor *order = ito_data_sampler_order(&s, epoch);
    cr_assert_not_null(order, "%s", ito_error());
    memcpy(out, ito_data(order), (size_t)size * sizeof *out);
}

Test(data_sampler, an_order_is_a_permutation)
{
    for (int64_t size = 1; size < 70; size += 23) {
        int64_t order[70];
        bool seen[70] = {false};
        order_of(3, 5, size, order);
        for (int64_t i = 0; i < size; i++) {
            cr_assert(order[i] >= 0 && order[i] < size);
            cr_expect_not(seen[order[i]]);
            seen[order[i]] = true;
        }
    }
}

Test(data_sampler, orders_are_functions_of_seed_and_epoch)
{
    int64_t a[50], b[50];
    order_of(3, 5, 50, a);
    order_of(3, 5, 50, b);
    cr_expect_arr_eq(a, b, sizeof a);
    order_of(3, 6, 50, b);
    cr_expect_arr_neq(a, b, sizeof a);
    order_of(4, 5, 50, b);
    cr_expect_arr_neq(a, b, sizeof a);
}

/* Over 3000 epochs each of 6 orders of 3 examples comes up 500 times, with deviation 20.4. */
Test(data_sampler, orders_are_equally_likely)
{
    int64_t count[6] = {0};
    for (int64_t epoch = 0; epoch < 3000; epoch++) {
        int64_t o[3];
        order_of(1, epoch, 3, o);
        count[o[0] * 2 + (o[1] > o[2])]++;
        ito_scope_clear();
    }
    for (int i = 0; i < 6; i++)
        cr_expect(count[i] > 500 - 5 * 21 && count[i] < 500 + 5 * 21, "%d", (int)count[i]);
}

Test(data_sampler, sequential_is_0_1_2)
{
    ito_data_sampler s = {.size = 5, .seed = 3, .sequential = true};
    const int64_t *order = ito_data(ito_data_sampler_order(&s, 2));
    for (int64_t i = 0; i < 5; i++)
        cr_expect_eq(order[i], i);
}

Test(data_sampler, refuses_no_examples_and_negative_epochs)
{
    ito_data_sampler s = {.size = 0};
    cr_expect_null(ito_data_sampler_order(&s, 0));
    expect_error(ITO_ERR_RANGE, "data_sampler: epoch 0 of 0 examples");
    s.size = 3;
    cr_expect_null(ito_data_sampler_order(&s, -1));
    expect_error(ITO_ERR_RANGE, "data_sampler: epoch -1 of 3 examples");
    cr_expect_null(ito_data_sampler_order(NULL, 0));
}
