/* State dicts in files: round trips, names of other origin, and the sentences of what disagrees. */
#include "autograd/ops.h"
#include "nn/layers.h"
#include "tensor/io/safetensors.h"
#include "tests/nn/nn_check.h"

typedef struct small_net {
    ito_module base;
    ito_conv2d_layer *conv;
    ito_linear_layer *query;
    ito_tensor *count;
} small_net;

static small_net *build(uint64_t seed)
{
    ito_generator g = ito_generator_make(seed, 0);
    small_net *m = ito_module_create(NULL, "", sizeof *m);
    m->conv = ito_conv2d_create(&m->base, "conv_in", 3, 4, 3, .generator = &g);
    m->query = ito_linear_create(&m->base, "mid.to_q", 4, 2, .generator = &g);
    m->count = ito_module_buffer(&m->base, "count", ito_full(ITO_SHAPE(2), 5, ITO_I64));
    cr_assert_eq(ito_error_code(), ITO_OK, "%s", ito_error());
    return m;
}

static bool same_values(const ito_module *a, const ito_module *b)
{
    ito_named_tensors *x = ito_module_state(a), *y = ito_module_state(b);
    bool same = x->n == y->n;
    for (int64_t i = 0; same && i < x->n; i++)
        for (int64_t k = 0; same && k < ito_numel(x->tensors[i]); k++)
            same = element(x->tensors[i], k) == element(y->tensors[i], k);
    ito_named_tensors_free(x);
    ito_named_tensors_free(y);
    return same;
}

/* A file with what build() has, but one tensor replaced or left out (NULL), and one more. */
static const char *write_variant(const char *dir, const char *name, ito_tensor *instead,
                                 const char *further)
{
    small_net *m = build(1);
    ito_named_tensors *list = ito_module_state(&m->base);
    const char *names[8];
    ito_tensor *tensors[8];
    int64_t n = 0;
    for (int64_t i = 0; i < list->n; i++) {
        bool replaced = name != NULL && strcmp(list->names[i], name) == 0;
        if (replaced && instead == NULL)
            continue;
        names[n] = list->names[i];
        tensors[n++] = replaced ? instead : list->tensors[i];
    }
    if (further != NULL) {
        names[n] = further;
        tensors[n++] = ito_ones(ITO_SHAPE(2), ITO_F32);
    }
    const char *path = in_directory(dir, "variant.safetensors");
    cr_assert_eq(ito_safetensors_save(path, n, names, tensors, 0, NULL, NULL), ITO_OK);
    ito_named_tensors_free(list);
    ito_module_free(&m->base);
    return path;
}

/* Loading path must fail with this sentence behind the path, and change nothing. */
static void expect_load_refused(const char *path, ito_status code, const char *fault)
{
    small_net *m = build(2), *untouched = build(2);
    char message[512];
    snprintf(message, sizeof message, "%.250s: %.250s", path, fault);
    cr_expect_eq(ito_module_load(&m->base, path), code);
    expect_error(code, message);
    cr_expect(same_values(&m->base, &untouched->base));
    ito_module_free(&m->base);
    ito_module_free(&untouched->base);
}

Test(state, a_round_trip_restores_every_value)
{
    const char *dir = temporary_directory(), *path = in_directory(dir, "model.safetensors");
    small_net *a = build(1), *b = build(2);
    ito_fill_(b->count, 0);
    cr_assert_eq(ito_module_save(&a->base, path), ITO_OK, "%s", ito_error());
    cr_assert_not(same_values(&a->base, &b->base));
    cr_assert_eq(ito_module_load(&b->base, path), ITO_OK, "%s", ito_error());
    cr_expect(same_values(&a->base, &b->base));
    cr_expect(ito_is_channels_last(b->conv->weight)); /* the memory order is the model's own */
    ito_module_free(&a->base);
    ito_module_free(&b->base);
    remove_tree(dir);
}

Test(state, a_file_in_bf16_has_half_the_bytes_and_the_rounded_values)
{
    const char *dir = temporary_directory(), *path = in_directory(dir, "model.safetensors");
    const char *keys[] = {"step"}, *values[] = {"7"};
    small_net *a = build(1), *b = build(2);
    cr_assert_eq(ito_module_save(&a->base, path, .bf16 = true, .metadata_keys = keys,
                                 .metadata_values = values, .n_metadata = 1),
                 ITO_OK, "%s", ito_error());
    ito_safetensors *f = ito_safetensors_open(path);
    cr_expect_str_eq(ito_safetensors_metadata(f, "step"), "7");
    for (int64_t i = 0; i < ito_safetensors_count(f); i++) {
        ito_dtype own = ito_dtype_of(ito_module_find(&a->base, ito_safetensors_name(f, i)));
        cr_expect_eq(ito_safetensors_dtype(f, i), own == ITO_F32 ? ITO_BF16 : own);
    }
    ito_safetensors_close(f);
    cr_assert_eq(ito_module_load(&b->base, path), ITO_OK, "%s", ito_error());
    ito_tensor *rounded = ito_cast(a->conv->weight, ITO_BF16);
    for (int64_t k = 0; k < ito_numel(rounded); k++)
        cr_expect_eq(element(b->conv->weight, k), element(rounded, k));
    cr_expect_eq(ito_dtype_of(a->conv->weight), ITO_F32); /* saving leaves the model as it is */
    ito_module_free(&a->base);
    ito_module_free(&b->base);
    remove_tree(dir);
}

/* The bytes of a channels-last weight must lie in the file in the order of its logical axes. */
Test(state, convolution_weights_are_saved_row_major)
{
    const char *dir = temporary_directory(), *path = in_directory(dir, "model.safetensors");
    small_net *m = build(1);
    ito_copy_(ito_detach(m->conv->weight), ramp(ITO_SHAPE(4, 3, 3, 3), 1));
    cr_assert_not(ito_is_contiguous(m->conv->weight));
    cr_assert_eq(ito_module_save(&m->base, path), ITO_OK);
    ito_safetensors *f = ito_safetensors_open(path);
    ito_tensor *t = ito_safetensors_read(f, "conv_in.weight");
    cr_assert_not_null(t);
    cr_expect(ito_is_contiguous(t));
    for (int64_t i = 0; i < 108; i++)
        cr_expect_eq(((const float *)ito_const_data(t))[i], (float)i + 0.5f);
    ito_safetensors_close(f);
    ito_module_free(&m->base);
    remove_tree(dir);
}

Test(state, names_the_first_tensor_whose_shape_disagrees)
{
    const char *dir = temporary_directory();
    const char *path =
        write_variant(dir, "conv_in.weight", ito_zeros(ITO_SHAPE(128, 3, 3, 3), ITO_F32), "extra");
    expect_load_refused(
        path, ITO_ERR_SHAPE,
        "conv_in.weight is [128, 3, 3, 3] in the file and [4, 3, 3, 3] in the model");
    remove_tree(dir);
}

Test(state, refuses_dtypes_of_another_kind)
{
    const char *dir = temporary_directory();
    expect_load_refused(write_variant(dir, "mid.to_q.bias", ito_zeros(ITO_SHAPE(2), ITO_I32), NULL),
                        ITO_ERR_DTYPE, "mid.to_q.bias is i32 in the file and f32 in the model");
    expect_load_refused(write_variant(dir, "count", ito_zeros(ITO_SHAPE(2), ITO_F32), NULL),
                        ITO_ERR_DTYPE, "count is f32 in the file and i64 in the model");
    remove_tree(dir);
}

Test(state, names_what_is_missing_or_unexpected)
{
    const char *dir = temporary_directory();
    expect_load_refused(write_variant(dir, "mid.to_q.weight", NULL, NULL), ITO_ERR_FORMAT,
                        "lacks mid.to_q.weight of the model");
    expect_load_refused(write_variant(dir, NULL, NULL, "conv_out.bias"), ITO_ERR_FORMAT,
                        "holds conv_out.bias, which the model does not have");
    remove_tree(dir);
}

Test(state, partial_loading_takes_what_both_have)
{
    const char *dir = temporary_directory();
    const char *path = write_variant(dir, "mid.to_q.weight", NULL, "conv_out.bias");
    small_net *m = build(2), *wanted = build(1), *before = build(2);
    cr_assert_eq(ito_module_load(&m->base, path, .partial = true), ITO_OK, "%s", ito_error());
    cr_expect_eq(element(m->conv->weight, 7), element(wanted->conv->weight, 7));
    cr_expect_eq(element(m->query->weight, 7), element(before->query->weight, 7));
    ito_module_free(&m->base);
    ito_module_free(&wanted->base);
    ito_module_free(&before->base);
    remove_tree(dir);
}

Test(state, partial_loading_of_nothing_names_both_sides)
{
    const char *dir = temporary_directory();
    small_net *m = build(2);
    const char *path = write_variant(dir, NULL, NULL, NULL);
    cr_expect_eq(ito_module_load(&m->base, path, .partial = true, .prefix = "conv_"),
                 ITO_ERR_FORMAT);
    expect_error_with(ITO_ERR_FORMAT,
                      "variant.safetensors: no name agrees: the file has count, conv_in.weight, "
                      "conv_in.bias, ...; the model has count, conv_in.weight, conv_in.bias, ...; "
                      "the prefix is conv_");
    ito_linear_layer *other = ito_linear_create(NULL, "", 4, 2);
    cr_expect_eq(ito_module_load(&other->base, path, .partial = true), ITO_ERR_FORMAT);
    expect_error_with(ITO_ERR_FORMAT, "no name agrees: the file has count, conv_in.weight, "
                                      "conv_in.bias, ...; the model has weight, bias");
    cr_assert_eq(ito_safetensors_save(path, 0, NULL, NULL, 0, NULL, NULL), ITO_OK);
    cr_expect_eq(ito_module_load(&other->base, path, .partial = true), ITO_ERR_FORMAT);
    expect_error_with(ITO_ERR_FORMAT,
                      "no name agrees: the file has none; the model has weight, bias");
    ito_module_free(&other->base);
    ito_module_free(&m->base);
    remove_tree(dir);
}

Test(state, renames_without_names_are_refused)
{
    ito_linear_layer *m = ito_linear_create(NULL, "", 2, 2);
    const ito_rename half = {"query", NULL};
    const char *dir = temporary_directory(), *path = write_variant(dir, NULL, NULL, NULL);
    cr_expect_eq(ito_module_load(&m->base, path, .renames = &half, .n_renames = 1),
                 ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "module_load: rename 0 lacks a name");
    cr_expect_eq(ito_module_load(&m->base, path, .n_renames = 1), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "module_load: 1 renames without their list");
    cr_expect_eq(ito_module_load(&m->base, path, .renames = &half, .n_renames = -1),
                 ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "module_load: -1 renames without their list");
    ito_module_free(&m->base);
    remove_tree(dir);
}

Test(state, partial_loading_still_checks_shapes)
{
    const char *dir = temporary_directory();
    const char *path = write_variant(dir, "count", ito_zeros(ITO_SHAPE(3), ITO_I64), NULL);
    small_net *m = build(2);
    cr_expect_eq(ito_module_load(&m->base, path, .partial = true), ITO_ERR_SHAPE);
    expect_error_with(ITO_ERR_SHAPE, ": count is [3] in the file and [2] in the model");
    ito_module_free(&m->base);
    remove_tree(dir);
}

/* A file of a whole pipeline, with the names that diffusers had before version 0.17. */
Test(state, prefix_and_renames_read_names_of_other_origin)
{
    const char *dir = temporary_directory(), *path = in_directory(dir, "old.safetensors");
    ito_linear_layer *q, *out;
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    q = ito_linear_create(m, "mid.to_q", 2, 2, .bias = false);
    out = ito_linear_create(m, "mid.to_out.0", 2, 2, .bias = false);
    ito_tensor *a = ramp(ITO_SHAPE(2, 2), 1), *b = ramp(ITO_SHAPE(2, 2), 10);
    const char *names[] = {"unet.mid.query.weight", "unet.mid.proj_attn.weight", "vae.query"};
    cr_assert_eq(
        ito_safetensors_save(path, 3, names, (ito_tensor *const[]){a, b, a}, 0, NULL, NULL),
        ITO_OK);
    const ito_rename renames[] = {{"query", "to_q"}, {"proj_attn", "to_out.0"}};
    cr_assert_eq(ito_module_load(m, path, .prefix = "unet.", .renames = renames, .n_renames = 2),
                 ITO_OK, "%s", ito_error());
    cr_expect_eq(element(q->weight, 3), 3.5);
    cr_expect_eq(element(out->weight, 3), 35);
    ito_module_free(m);
    remove_tree(dir);
}

Test(state, two_names_for_one_tensor_are_refused)
{
    const char *dir = temporary_directory(), *path = in_directory(dir, "twice.safetensors");
    ito_linear_layer *q = ito_linear_create(NULL, "", 2, 2, .bias = false);
    ito_tensor *a = ramp(ITO_SHAPE(2, 2), 1);
    const char *names[] = {"kernel", "weight"};
    cr_assert_eq(ito_safetensors_save(path, 2, names, (ito_tensor *const[]){a, a}, 0, NULL, NULL),
                 ITO_OK);
    const ito_rename rename = {"kernel", "weight"};
    cr_expect_eq(ito_module_load(&q->base, path, .renames = &rename, .n_renames = 1),
                 ITO_ERR_FORMAT);
    expect_error_with(ITO_ERR_FORMAT, ": kernel and weight are both weight of the model");
    cr_expect_eq(element(q->weight, 0), 0);
    ito_module_free(&q->base);
    remove_tree(dir);
}

Test(state, floats_of_other_widths_are_converted)
{
    const char *dir = temporary_directory();
    ito_tensor *half = ito_cast(ramp(ITO_SHAPE(2), 1), ITO_BF16);
    const char *path = write_variant(dir, "mid.to_q.bias", half, NULL);
    small_net *m = build(2);
    cr_assert_eq(ito_module_load(&m->base, path), ITO_OK, "%s", ito_error());
    cr_expect_eq(element(m->query->bias, 1), 1.5);
    ito_module_free(&m->base);
    remove_tree(dir);
}

Test(state, an_open_file_is_read_as_a_path_is)
{
    const char *dir = temporary_directory();
    ito_safetensors *f = ito_safetensors_open(write_variant(dir, NULL, NULL, NULL));
    small_net *m = build(2), *wanted = build(1);
    cr_assert_eq(ito_module_load_file(&m->base, f), ITO_OK, "%s", ito_error());
    cr_expect(same_values(&m->base, &wanted->base));
    cr_expect_eq(ito_module_load_file(&m->base, f, .prefix = "mid."), ITO_ERR_FORMAT);
    expect_error_with(ITO_ERR_FORMAT, ito_safetensors_path(f));
    cr_expect_eq(ito_module_load_file(&m->base, NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "module_load: the file is NULL");
    ito_module_free(&m->base);
    ito_module_free(&wanted->base);
    ito_safetensors_close(f);
    remove_tree(dir);
}

Test(state, a_missing_file_is_named)
{
    const char *dir = temporary_directory(), *path = in_directory(dir, "none.safetensors");
    small_net *m = build(2);
    cr_expect_eq(ito_module_load(&m->base, path), ITO_ERR_IO);
    expect_error_with(ITO_ERR_IO, path);
    ito_module_free(&m->base);
    remove_tree(dir);
}

Test(state, a_damaged_tensor_changes_nothing)
{
    const char *dir = temporary_directory();
    const char *path = write_variant(dir, NULL, NULL, NULL);
    FILE *f = fopen(path, "r+b");
    fseek(f, -1, SEEK_END);
    int last = fgetc(f);
    fseek(f, -1, SEEK_END);
    fputc(last ^ 1, f);
    fclose(f);
    small_net *m = build(2), *untouched = build(2);
    cr_expect_eq(ito_module_load(&m->base, path), ITO_ERR_FORMAT);
    expect_error_with(ITO_ERR_FORMAT, path);
    cr_expect(same_values(&m->base, &untouched->base));
    ito_module_free(&m->base);
    ito_module_free(&untouched->base);
    remove_tree(dir);
}

typedef struct load_attempt {
    small_net *net, *untouched;
    const char *path;
} load_attempt;

static ito_status try_to_load(void *context)
{
    const load_attempt *a = context;
    ito_status status = ito_module_load(&a->net->base, a->path);
    cr_expect(status == ITO_OK || same_values(&a->net->base, &a->untouched->base));
    return status;
}

Test(state, loading_survives_every_failing_allocation)
{
    const char *dir = temporary_directory();
    load_attempt a = {build(2), build(2), write_variant(dir, NULL, NULL, NULL)};
    /* The file, lists and their order, and the values of five tensors. */
    cr_expect_geq(count_failed_allocations(try_to_load, &a), 4 + 5);
    ito_module_free(&a.net->base);
    ito_module_free(&a.untouched->base);
    remove_tree(dir);
}
