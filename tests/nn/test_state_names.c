/* Loading by names of other makers: prefixes that are given or found, and what is told of it. */
#include "nn/layers.h"
#include "tensor/io/safetensors.h"
#include "tests/nn/nn_check.h"

/* conv.weight and conv.bias. */
static ito_module *build(void)
{
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_linear_create(m, "conv", 2, 2);
    cr_assert_eq(ito_error_code(), ITO_OK, "%s", ito_error());
    return m;
}

/* A file with ramp(2, 2) for each name that ends in "weight", and ramp(2) for the others. */
static const char *write_names(const char *dir, int n, const char *const *names)
{
    ito_tensor *tensors[8];
    for (int i = 0; i < n; i++)
        tensors[i] = ramp(strstr(names[i], "weight") != NULL ? ITO_SHAPE(2, 2) : ITO_SHAPE(2), 1);
    const char *path = in_directory(dir, "names.safetensors");
    cr_assert_eq(ito_safetensors_save(path, n, names, tensors, 0, NULL, NULL), ITO_OK, "%s",
                 ito_error());
    return path;
}

static void expect_loaded(const ito_module *m)
{
    cr_expect_eq(element(ito_module_find(m, "conv.weight"), 3), 3.5);
    cr_expect_eq(element(ito_module_find(m, "conv.bias"), 1), 1.5);
}

Test(state_names, what_wrappers_put_in_front_is_found_and_told)
{
    static const char *const prefixes[] = {"module.",     "_orig_mod.",
                                           "model.",      "ema_model.",
                                           "state_dict.", "state_dict.module.",
                                           "ema.",        "ema_state_dict.",
                                           "unet.",       "model_state_dict._orig_mod.module."};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        const char *dir = temporary_directory();
        char weight[80], bias[80];
        snprintf(weight, sizeof weight, "%sconv.weight", prefixes[i]);
        snprintf(bias, sizeof bias, "%sconv.bias", prefixes[i]);
        const char *path = write_names(dir, 3, (const char *[]){weight, bias, "optimizer.step"});
        ito_module *m = build();
        ito_load_report report;
        cr_assert_eq(ito_module_load(m, path, .report = &report), ITO_OK, "%s", ito_error());
        expect_loaded(m);
        cr_expect_str_eq(report.prefix, prefixes[i]);
        cr_expect(report.loaded == 2 && report.missing == 0 && report.unused == 1);
        ito_module_free(m);
        remove_tree(dir);
    }
}

Test(state_names, a_name_that_the_model_has_is_taken_as_it_is)
{
    const char *dir = temporary_directory();
    const char *path = write_names(
        dir, 4, (const char *[]){"conv.weight", "conv.bias", "ema.conv.weight", "ema.conv.bias"});
    ito_module *m = build();
    cr_expect_eq(ito_module_load(m, path), ITO_ERR_FORMAT);
    expect_error_with(ITO_ERR_FORMAT,
                      "names.safetensors: holds ema.conv.weight, which the model does not have");
    ito_load_report report;
    cr_assert_eq(ito_module_load(m, path, .partial = true, .report = &report), ITO_OK, "%s",
                 ito_error());
    expect_loaded(m);
    cr_expect_str_eq(report.prefix, "");
    cr_expect(report.loaded == 2 && report.missing == 0 && report.unused == 2);
    ito_module_free(m);
    remove_tree(dir);
}

Test(state_names, a_model_under_two_prefixes_is_refused)
{
    const char *dir = temporary_directory();
    const char *path =
        write_names(dir, 4,
                    (const char *[]){"model.conv.weight", "model.conv.bias",
                                     "ema_model.conv.weight", "ema_model.conv.bias"});
    ito_module *m = build();
    ito_load_report report = {.loaded = 7};
    cr_expect_eq(ito_module_load(m, path, .report = &report), ITO_ERR_FORMAT);
    expect_error_with(ITO_ERR_FORMAT, "names.safetensors: holds the model under model. and "
                                      "under ema_model.: say which by a prefix");
    cr_expect_eq(report.loaded, 7, "an error is no report");
    cr_assert_eq(ito_module_load(m, path, .prefix = "ema_model.", .report = &report), ITO_OK, "%s",
                 ito_error());
    expect_loaded(m);
    cr_expect_str_eq(report.prefix, "ema_model.");
    cr_expect(report.loaded == 2 && report.missing == 0 && report.unused == 2);
    ito_module_free(m);
    remove_tree(dir);
}

Test(state_names, partial_loading_tells_how_many_were_loaded)
{
    const char *dir = temporary_directory();
    const char *path = write_names(dir, 3, (const char *[]){"conv.bias", "x.bias", "y.bias"});
    ito_module *m = build();
    ito_load_report report;
    cr_assert_eq(ito_module_load(m, path, .partial = true, .report = &report), ITO_OK, "%s",
                 ito_error());
    cr_expect(report.loaded == 1 && report.missing == 1 && report.unused == 2);
    ito_module_free(m);
    remove_tree(dir);
}

Test(state_names, a_prefix_that_no_name_has_is_refused)
{
    const char *dir = temporary_directory();
    const char *names[] = {"model.conv.weight",
                           "model.conv.bias",
                           "ema.conv.bias",
                           "a.bias",
                           "b.bias",
                           "c.bias",
                           "step"};
    ito_module *m = build();
    for (int partial = 0; partial < 2; partial++) {
        cr_expect_eq(ito_module_load(m, write_names(dir, 7, names), .prefix = "nosuch.",
                                     .partial = partial != 0),
                     ITO_ERR_FORMAT);
        expect_error_with(ITO_ERR_FORMAT, "names.safetensors: no name begins with nosuch.: names "
                                          "begin with model., ema., a., b., ...");
    }
    cr_expect_eq(ito_module_load(m, write_names(dir, 1, names + 6), .prefix = "nosuch."),
                 ITO_ERR_FORMAT);
    expect_error_with(ITO_ERR_FORMAT,
                      "names.safetensors: no name begins with nosuch.: names begin with step");
    cr_expect_eq(ito_module_load(m, write_names(dir, 1, (const char *[]){"model/conv/bias"}),
                                 .prefix = "nosuch."),
                 ITO_ERR_FORMAT);
    expect_error_with(ITO_ERR_FORMAT,
                      "names.safetensors: no name begins with nosuch.: names begin with model/");
    cr_expect_eq(ito_module_load(m, write_names(dir, 0, names), .prefix = "nosuch."),
                 ITO_ERR_FORMAT);
    expect_error_with(ITO_ERR_FORMAT,
                      "names.safetensors: no name begins with nosuch.: names begin with nothing");
    ito_module_free(m);
    remove_tree(dir);
}

Test(state_names, a_module_without_tensors_needs_no_names)
{
    const char *dir = temporary_directory(), *names[] = {"conv.bias"};
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    cr_expect_eq(ito_module_load(m, write_names(dir, 1, names), .prefix = "nosuch."), ITO_OK, "%s",
                 ito_error());
    ito_module_free(m);
    remove_tree(dir);
}

/* A rename over parts that a prefix separates makes the whole name shorter than its end. */
Test(state_names, renames_work_behind_a_prefix_that_was_found)
{
    const char *dir = temporary_directory();
    const char *path =
        write_names(dir, 2, (const char *[]){"module.a.kernel.weight", "module.a.kernel.bias"});
    const ito_rename renames[] = {{"module.a", ""}, {"a.kernel", "conv"}};
    ito_module *m = build();
    cr_assert_eq(ito_module_load(m, path, .renames = renames, .n_renames = 2), ITO_OK, "%s",
                 ito_error());
    expect_loaded(m);
    ito_module_free(m);
    remove_tree(dir);
}
