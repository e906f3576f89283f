/* PyTorch's files, as torch.save writes them (tests/reference/make_weights_fixture.py). */
#include "tensor/io/safetensors.h"
#include "weights_files.h"

TestSuite(weights_pytorch, .init = make_directory, .fini = remove_directory);

static ito_weights *open_fixture(const char *name)
{
    ito_weights *w = ito_weights_open(fixture(name));
    cr_assert_not_null(w, "%s", ito_error_message());
    return w;
}

/* Each tensor, and no other, is what PyTorch says that it is. */
static void expect_checkpoint(const char *name)
{
    ito_weights *w = open_fixture(name);
    ito_safetensors *expected = ito_safetensors_open(fixture("checkpoint.safetensors"));
    cr_assert_not_null(expected, "%s", ito_error_message());
    cr_expect_str_eq(ito_weights_kind(w), "PyTorch");
    cr_assert_eq(ito_weights_count(w), ito_safetensors_count(expected));
    cr_assert_eq(ito_weights_count(w), 31);
    for (int64_t i = 0; i < ito_weights_count(w); i++) {
        const char *tensor = ito_weights_name(w, i);
        int64_t k = ito_safetensors_find(expected, tensor);
        cr_assert_geq(k, 0, "%s", tensor);
        cr_expect_str_eq(ito_weights_dtype_name(w, i), ito_safetensors_dtype_name(expected, k));
        cr_expect_eq(ito_weights_dtype(w, i), ito_safetensors_dtype(expected, k));
        ito_tensor *e = ito_safetensors_read(expected, tensor);
        cr_assert(shape_equal(ito_weights_shape(w, i), ito_shape_of(e)), "%s", tensor);
        expect_tensor(ito_weights_read(w, tensor), tensor_data(e), ito_shape_of(e),
                      ito_dtype_of(e));
    }
    cr_expect_null(ito_weights_metadata(w, "epoch"));
    ito_weights_close(w);
    ito_safetensors_close(expected);
}

Test(weights_pytorch, a_training_checkpoint_is_read)
{
    expect_checkpoint("checkpoint.pt");
}

Test(weights_pytorch, of_protocol_4_too)
{
    expect_checkpoint("checkpoint_protocol4.pt");
}

Test(weights_pytorch, and_one_whose_members_are_deflated)
{
    expect_checkpoint("checkpoint_deflated.pt");
}

/* The second reading of a part of a storage goes past the checksum, to the same bytes. */
Test(weights_pytorch, views_on_one_storage_are_read_again_and_again)
{
    ito_weights *w = open_fixture("checkpoint.pt");
    for (int k = 0; k < 3; k++) {
        expect_tensor(ito_weights_read(w, "views.offset"), (float[]){5, 6, 7, 8}, ITO_SHAPE(4),
                      ITO_F32);
        expect_tensor(ito_weights_read(w, "views.transposed"), (float[]){0, 3, 1, 4, 2, 5},
                      ITO_SHAPE(3, 2), ITO_F32);
        expect_tensor(ito_weights_read(w, "views.strided"), (float[]){6, 8, 10, 18, 20, 22},
                      ITO_SHAPE(2, 3), ITO_F32);
    }
    ito_tensor *t = tensor_of((double[]){0, 0, 0, 0, 0, 0}, ITO_SHAPE(2, 3), ITO_F64);
    cr_assert_eq(ito_weights_read_into(w, "views.strided", t), ITO_OK, "%s", ito_error_message());
    expect_tensor(t, (double[]){6, 8, 10, 18, 20, 22}, ITO_SHAPE(2, 3), ITO_F64);
    ito_weights_close(w);
}

Test(weights_pytorch, a_tensor_that_was_saved_alone_has_a_name)
{
    ito_weights *w = open_fixture("alone.pt");
    cr_assert_eq(ito_weights_count(w), 1);
    cr_expect_str_eq(ito_weights_name(w, 0), "tensor");
    expect_tensor(ito_weights_read(w, "tensor"), (float[]){1, 2}, ITO_SHAPE(2), ITO_F32);
    ito_weights_close(w);
}

Test(weights_pytorch, elements_that_are_repeated_are_refused_where_they_are_read)
{
    ito_weights *w = open_fixture("expanded.pt");
    cr_expect(shape_equal(ito_weights_shape(w, 0), ITO_SHAPE(5)));
    cr_expect_null(ito_weights_read(w, "tensor"));
    expect_error(ITO_ERR_FORMAT,
                 "%s: tensor tensor: repeats 1 stored elements to be [5]: save it after "
                 ".contiguous()",
                 ito_weights_path(w));
    ito_weights_close(w);
}

Test(weights_pytorch, forms_that_are_not_read_are_named)
{
    expect_unopened(fixture("legacy.pt"), ITO_ERR_FORMAT,
                    "is in the format of PyTorch before 1.6, which is not read: load it with "
                    "PyTorch and save it again");
    expect_unopened(fixture("big_endian.pt"), ITO_ERR_FORMAT,
                    "was written by a big-endian machine, which is not read: load it with PyTorch "
                    "and save it as safetensors");
    expect_unopened(fixture("script.pt"), ITO_ERR_FORMAT,
                    "is a TorchScript program, which is not executed: save the state_dict() of "
                    "its module by torch.save");
}

Test(weights_pytorch, what_a_file_calls_is_named_and_not_executed)
{
    cr_assert_eq(chdir(directory), 0);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", fixture("calls.pt"));
    expect_unopened(path, ITO_ERR_FORMAT,
                    "its pickle calls posix.system, which was not executed: of a pickle only "
                    "tensors, dicts, lists, numbers and text are read");
    cr_expect_eq(access("executed", F_OK), -1);
}

static void copy_fixture(const char *name)
{
    size_t n;
    unsigned char *bytes = read_file(fixture(name), &n);
    write_file(name, bytes, n);
    free(bytes);
}

Test(weights_pytorch, several_files_are_read_by_their_index)
{
    static const char index[] = "{\"weight_map\": {\"tensor\": \"alone.pt\", "
                                "\"a.weight\": \"small.pt\", \"a.bias\": \"small.pt\"}}";
    copy_fixture("small.pt");
    copy_fixture("alone.pt");
    ito_weights *w = ito_weights_open(write_file("m.bin.index.json", index, sizeof index - 1));
    cr_assert_not_null(w, "%s", ito_error_message());
    cr_expect_str_eq(ito_weights_kind(w), "PyTorch in 2 files");
    expect_tensor(ito_weights_read(w, "tensor"), (float[]){1, 2}, ITO_SHAPE(2), ITO_F32);
    expect_tensor(ito_weights_read(w, "a.weight"), (float[]){1, 2, 3, 4}, ITO_SHAPE(2, 2), ITO_F32);
    ito_weights_close(w);
}

static bool open_and_read(void *context)
{
    ito_weights *w = ito_weights_open(context);
    bool good = w != NULL && ito_weights_read(w, "views.strided") != NULL &&
                ito_weights_read(w, "kinds.int8") != NULL;
    ito_weights_close(w);
    return good;
}

Test(weights_pytorch, every_failing_allocation_is_an_error)
{
    expect_clean_failures(open_and_read, (void *)(uintptr_t)fixture("checkpoint_deflated.pt"));
}

/* No byte of a sound file may be lost, or be another, and the program go astray. */
static void expect_survived(const char *path, const void *bytes, size_t n)
{
    ito_weights *w = ito_weights_open(write_file(path, bytes, n));
    for (int64_t i = 0; i < ito_weights_count(w); i++)
        cr_assert(ito_weights_read(w, ito_weights_name(w, i)) != NULL ||
                  ito_error_code() != ITO_OK);
    cr_assert(w != NULL || ito_error_code() == ITO_ERR_FORMAT || ito_error_code() == ITO_ERR_DTYPE,
              "%s", ito_error_message());
    ito_weights_close(w);
    ito_error_clear();
    ito_scope_clear();
}

Test(weights_pytorch, truncated_and_changed_files_are_refused_or_read)
{
    size_t n;
    unsigned char *bytes = read_file(fixture("small.pt"), &n);
    for (size_t k = 0; k < n; k++) {
        cr_assert_null(ito_weights_open(write_file("cut", bytes, k)), "%zu bytes", k);
        ito_error_clear();
    }
    for (size_t k = 0; k < n; k++)
        for (int bit = 0; bit < 8; bit++) {
            bytes[k] ^= (unsigned char)(1 << bit);
            expect_survived("changed", bytes, n);
            bytes[k] ^= (unsigned char)(1 << bit);
        }
    free(bytes);
}
