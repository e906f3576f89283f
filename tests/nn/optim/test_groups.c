/* Parameter groups: what patterns fit, that rates and decays are those of a run with these alone,
 * and what is refused. */
#include "autograd/ops.h"
#include "tests/nn/optim/optim_check.h"

static ito_module *one_of_each(void)
{
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    const char *const names[] = {"down.0.weight", "down.0.bias", "down.10.weight", "up.weight"};
    for (int i = 0; i < 4; i++)
        ito_module_parameter(m, names[i], ito_ones(ITO_SHAPE(2, 2), ITO_F64));
    cr_assert_eq(ito_error_code(), ITO_OK, "%s", ito_error());
    return m;
}

/* Which of the four a pattern fits: those stay when their rate is 0. */
static int fitted(const char *pattern)
{
    ito_module *m = one_of_each();
    ito_optimizer *opt = ito_sgd_create(m);
    int which = 0;
    if (ito_optimizer_group(opt, pattern, .lr_scale = 0) == ITO_OK) {
        draw_gradients(m, 0);
        cr_assert_eq(ito_optimizer_step(opt, 1), ITO_OK);
        ito_named_tensors *list = ito_module_parameters(m);
        for (int i = 0; i < 4; i++)
            which |= (element(list->tensors[i], 0) == 1) << i;
        ito_named_tensors_free(list);
    }
    ito_error_clear();
    ito_optimizer_free(opt);
    ito_module_free(m);
    return which;
}

Test(optim_groups, patterns_fit_full_names)
{
    const struct {
        const char *pattern;
        int which;
    } cases[] = {{"*", 15},        {"down.*", 7},        {"*.weight", 13}, {"*bias", 2},
                 {"down.?.*", 3},  {"down.??.*", 4},     {"up.weight", 8}, {"up", 0},
                 {"*0.w*t", 5},    {"**", 15},           {"", 0},          {"weight", 0},
                 {"*.*.*", 7},     {"down.0.weigh?", 1}, {"?p*", 8},       {"*n.1*", 4},
                 {"up.weight*", 8}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_eq(fitted(cases[i].pattern), cases[i].which, "\"%s\": %d, not %d",
                     cases[i].pattern, fitted(cases[i].pattern), cases[i].which);
}

static void expect_same_bits(const ito_module *a, const ito_module *b, const char *name,
                             const char *algorithm)
{
    ito_tensor *x = ito_module_find(a, name), *y = ito_module_find(b, name);
    cr_expect_arr_eq(ito_data(x), ito_data(y), (size_t)ito_numel(x) * sizeof(float), "%s: %s",
                     algorithm, name);
}

/* A group's parameters move as in a run whose rate is that of the group, others as without it. The
 * weights of Schedule-Free's mean do not change with a constant factor. */
Test(optim_groups, rates_are_those_of_a_run_with_them_alone)
{
    FOR_EACH_ALGORITHM
    {
        ito_module *m[3];
        ito_optimizer *opt[3];
        for (int i = 0; i < 3; i++) {
            m[i] = small_model(ITO_F32, 1);
            opt[i] = algorithm->create(m[i]);
        }
        cr_assert_eq(ito_optimizer_group(opt[0], "conv.*", .lr_scale = 0.5), ITO_OK);
        for (int i = 0; i < 3; i++)
            take_steps(m[i], opt[i], 0, 4, i == 1 ? algorithm->lr / 2 : algorithm->lr);
        expect_same_bits(m[0], m[1], "conv.weight", algorithm->name);
        expect_same_bits(m[0], m[1], "conv.bias", algorithm->name);
        expect_same_bits(m[0], m[2], "out.weight", algorithm->name);
        expect_same_bits(m[0], m[2], "gain", algorithm->name);
        for (int i = 0; i < 3; i++) {
            ito_optimizer_free(opt[i]);
            ito_module_free(m[i]);
        }
    }
}

/* By hand, SGD: p -= lr scale (g + decay p) with g = 0. */
Test(optim_groups, calls_add_up)
{
    ito_module *m = one_of_each();
    ito_optimizer *opt = ito_sgd_create(m, .weight_decay = 0.5);
    cr_assert_eq(ito_optimizer_group(opt, "*.bias", .weight_decay = 0), ITO_OK);
    cr_assert_eq(ito_optimizer_group(opt, "down.*", .lr_scale = 0.5), ITO_OK);
    cr_assert_eq(ito_optimizer_group(opt, "down.10.*", .weight_decay = 0.25), ITO_OK);
    ito_module_zero_grad(m);
    cr_assert_eq(ito_optimizer_step(opt, 1), ITO_OK);
    cr_expect_eq(element(ito_module_find(m, "down.0.weight"), 0), 0.75);
    cr_expect_eq(element(ito_module_find(m, "down.0.bias"), 0), 1);
    cr_expect_eq(element(ito_module_find(m, "down.10.weight"), 0), 0.875);
    cr_expect_eq(element(ito_module_find(m, "up.weight"), 3), 0.5);
    ito_optimizer_free(opt);
    ito_module_free(m);
}

Test(optim_groups, every_algorithm_takes_a_decay)
{
    FOR_EACH_ALGORITHM
    {
        ito_module *m = small_model(ITO_F32, 1), *plain = small_model(ITO_F32, 1);
        ito_optimizer *opt = algorithm->create(m), *without = algorithm->create(plain);
        cr_assert_eq(ito_optimizer_group(opt, "out.*", .weight_decay = 0.9), ITO_OK);
        take_steps(m, opt, 0, 3, algorithm->lr);
        take_steps(plain, without, 0, 3, algorithm->lr);
        expect_same_bits(m, plain, "conv.weight", algorithm->name);
        cr_expect_neq(element(ito_module_find(m, "out.weight"), 0),
                      element(ito_module_find(plain, "out.weight"), 0), "%s", algorithm->name);
        ito_optimizer_free(opt);
        ito_optimizer_free(without);
        ito_module_free(m);
        ito_module_free(plain);
    }
}

Test(optim_groups, lists_name_parameters)
{
    ito_module *m = one_of_each();
    ito_optimizer *opt = ito_sgd_create(m);
    ito_tensor *list[] = {ito_module_find(m, "up.weight"), ito_module_find(m, "down.0.bias")};
    cr_assert_eq(ito_optimizer_group_list(opt, list, 2, .lr_scale = 0), ITO_OK);
    draw_gradients(m, 0);
    cr_assert_eq(ito_optimizer_step(opt, 1), ITO_OK);
    cr_expect_eq(element(list[0], 0), 1);
    cr_expect_eq(element(list[1], 0), 1);
    cr_expect_neq(element(ito_module_find(m, "down.0.weight"), 0), 1);
    ito_optimizer_free(opt);
    ito_module_free(m);
}

Test(optim_groups, frozen_ones_have_no_gradient)
{
    ito_module *m = one_of_each();
    ito_optimizer *opt = ito_adamw_create(m, .weight_decay = 0.5);
    cr_assert_eq(ito_optimizer_group(opt, "down.*", .frozen = true), ITO_OK);
    cr_expect_not(ito_has_grad_path(ito_module_find(m, "down.0.bias")));
    cr_expect(ito_has_grad_path(ito_module_find(m, "up.weight")));
    draw_gradients(m, 0);
    cr_assert_eq(ito_optimizer_step(opt, 0.1), ITO_OK);
    cr_expect_eq(element(ito_module_find(m, "down.0.weight"), 0), 1);
    ito_optimizer_free(opt);
    ito_module_free(m);
}

/* Muon's AdamW is AdamW. */
Test(optim_groups, elementwise_matrices_go_by_adamw)
{
    ito_module *m = small_model(ITO_F32, 1), *plain = small_model(ITO_F32, 1);
    ito_optimizer *muon = ito_muon_create(m), *adamw = ito_adamw_create(plain);
    cr_assert_eq(ito_optimizer_group(muon, "out.*", .elementwise = true), ITO_OK);
    take_steps(m, muon, 0, 3, 0.01);
    take_steps(plain, adamw, 0, 3, 0.01);
    expect_same_bits(m, plain, "out.weight", "muon");
    expect_same_bits(m, plain, "gain", "muon");
    cr_expect_neq(element(ito_module_find(m, "conv.weight"), 0),
                  element(ito_module_find(plain, "conv.weight"), 0));
    ito_named_tensors *state = ito_optimizer_state(muon);
    cr_expect_str_eq(state->names[2], "exp_avg.out.weight");
    ito_named_tensors_free(state);
    cr_expect_eq(ito_optimizer_group(muon, "out.*", .elementwise = true), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT,
                 "optimizer_group: elementwise is set before the first step; 3 are done");
    ito_optimizer_free(muon);
    ito_optimizer_free(adamw);
    ito_module_free(m);
    ito_module_free(plain);
}

Test(optim_groups, refuse_what_they_do_not_know)
{
    ito_module *m = one_of_each(), *other = one_of_each();
    ito_optimizer *opt = ito_sgd_create(m);
    cr_expect_eq(ito_optimizer_group(opt, "middle.*", .lr_scale = 2), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "optimizer_group: no parameter's name fits \"middle.*\"");
    cr_expect_eq(ito_optimizer_group(opt, "*", .lr_scale = -1), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "optimizer_group: lr_scale -1 is negative or not finite");
    cr_expect_eq(ito_optimizer_group(opt, "*", .weight_decay = -1), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "optimizer_group: weight decay -1 is negative or not finite");
    cr_expect_eq(ito_optimizer_group(NULL, "*"), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "optimizer_group: the optimiser is NULL");
    cr_expect_eq(ito_optimizer_group(opt, NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "optimizer_group: the pattern is NULL");
    cr_expect_eq(ito_optimizer_group_list(opt, NULL, 1), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "optimizer_group: the list is NULL");
    cr_expect_eq(ito_optimizer_group_list(NULL, NULL, 1), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "optimizer_group: the optimiser is NULL");
    ito_tensor *list[] = {ito_module_find(m, "up.weight"), ito_module_find(other, "up.weight")};
    cr_expect_eq(ito_optimizer_group_list(opt, list, 2, .lr_scale = 0), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT,
                 "optimizer_group: tensor 1 of the list is no parameter of the model");
    draw_gradients(m, 0);
    cr_assert_eq(ito_optimizer_step(opt, 1), ITO_OK);
    cr_expect_neq(element(list[0], 0), 1, "a list that was refused has set nothing");
    ito_optimizer_free(opt);
    ito_module_free(m);
    ito_module_free(other);
}
