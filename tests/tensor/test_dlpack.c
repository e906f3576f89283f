/* DLPack: memory is shared in both directions, lives as long as it is needed, and what Ito cannot
 * have is refused, with what to do about it. */
#include "autograd/ops.h"
#include "tensor/dlpack.h"
#include "tensor/dlpack_abi.h"
#include "tensor/internal.h"
#include "tests/expect.h"

#include <pthread.h>
#include <string.h>

/* Another library's array of up to four axes, which counts how often it was let go of. */
typedef struct foreign {
    struct DLManagedTensorVersioned versioned;
    struct DLManagedTensor legacy;
    int64_t shape[9], strides[9];
    int deleted;
} foreign;

static void delete_versioned(struct DLManagedTensorVersioned *self)
{
    ((foreign *)self->context)->deleted++;
}

static void delete_legacy(struct DLManagedTensor *self)
{
    ((foreign *)self->context)->deleted++;
}

/* f32 on the CPU, row-major without strides, in both forms. */
static foreign *make(foreign *f, void *data, ito_shape shape)
{
    *f = (foreign){.versioned = {.version = {1, 3}, .deleter = delete_versioned, .context = f},
                   .legacy = {.deleter = delete_legacy, .context = f}};
    for (int i = 0; i < shape.ndim; i++)
        f->shape[i] = shape.dim[i];
    f->versioned.tensor = (dl_tensor){.data = data,
                                      .device = {DL_CPU, 0},
                                      .ndim = shape.ndim,
                                      .dtype = {DL_FLOAT, 32, 1},
                                      .shape = f->shape};
    f->legacy.tensor = f->versioned.tensor;
    return f;
}

static void set_strides(foreign *f, ito_shape strides)
{
    for (int i = 0; i < strides.ndim; i++)
        f->strides[i] = strides.dim[i];
    f->versioned.tensor.strides = f->legacy.tensor.strides = f->strides;
}

/* ---- in ----------------------------------------------------------------------------------------
 */

Test(dlpack, memory_is_shared_until_the_last_tensor_goes)
{
    float values[6] = {0, 1, 2, 3, 4, 5};
    foreign f;
    make(&f, values, ITO_SHAPE(2, 3));
    ito_scope_begin();
    ito_tensor *t = ito_from_dlpack(&f.versioned), *row = ito_retain(ito_select(t, 0, 1));
    cr_assert_eq(ito_const_data(t), values);
    cr_assert_eq(ito_stride(t, 0), 3);
    values[4] = 7;
    ito_scope_end();
    cr_assert_eq(f.deleted, 0, "a view needs the memory");
    cr_assert_eq(ito_item(ito_select(row, 0, 1)), 7);
    cr_assert_not_null(ito_fill_(row, -1));
    cr_assert_eq(values[3], -1);
    ito_scope_clear();
    ito_release(row);
    cr_assert_eq(f.deleted, 1);
    cr_assert_eq(ito_memory_blocks(), 0);
}

Test(dlpack, the_form_of_before_is_taken_too)
{
    float values[2] = {1, 2};
    foreign f;
    make(&f, values, ITO_SHAPE(2));
    ito_scope_begin();
    cr_assert_eq(ito_const_data(ito_from_dlpack_legacy(&f.legacy)), values);
    ito_scope_end();
    cr_assert_eq(f.deleted, 1);
}

Test(dlpack, a_deleter_may_be_missing)
{
    float value = 2;
    foreign f;
    make(&f, &value, ITO_SHAPE());
    f.versioned.deleter = NULL;
    ito_scope_begin();
    cr_assert_eq(ito_item(ito_from_dlpack(&f.versioned)), 2, "without axes it is one number");
    ito_scope_end();
}

static void *release_it(void *t)
{
    ito_release(t);
    return NULL;
}

Test(dlpack, any_thread_may_let_go)
{
    float value = 2;
    foreign f;
    ito_tensor *t = ito_retain(ito_from_dlpack(&make(&f, &value, ITO_SHAPE(1))->versioned));
    ito_scope_clear();
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, release_it, t), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(f.deleted, 1);
}

/* Offset, gaps and repetition; elements aligned to their size and no more. */
Test(dlpack, strides_and_offsets_are_followed)
{
    _Alignas(64) float values[40];
    for (int i = 0; i < 40; i++)
        values[i] = (float)i;
    foreign f;
    make(&f, values, ITO_SHAPE(2, 4, 3));
    set_strides(&f, ITO_SHAPE(17, 0, 5));
    f.versioned.tensor.byte_offset = 3 * sizeof(float);
    ito_scope_begin();
    ito_tensor *t = ito_from_dlpack(&f.versioned);
    cr_assert_not_null(t, "%s", ito_error_message());
    float got[24];
    cr_assert_eq(ito_to_data(ito_mul_scalar(t, 2), got, ITO_F32), ITO_OK);
    for (int i = 0; i < 24; i++)
        cr_assert_eq(got[i], 2 * (float)(3 + 17 * (i / 12) + 5 * (i % 3)), "element %d", i);
    ito_scope_end();
}

/* A product and a sum from each address that floats may have. */
Test(dlpack, no_alignment_beyond_that_of_elements_is_needed)
{
    _Alignas(64) float values[16 + 33 * 35];
    for (int shift = 0; shift < 16; shift++) {
        ito_scope_begin();
        for (int i = 0; i < 33 * 35; i++)
            values[shift + i] = (float)(i % 7) - 3;
        foreign f;
        ito_tensor *t = ito_from_dlpack(&make(&f, values + shift, ITO_SHAPE(33, 35))->versioned);
        ito_tensor *copy = ito_from_data(values + shift, ITO_SHAPE(33, 35), ITO_F32);
        ito_tensor *want = ito_matmul(copy, ito_transpose(ito_exp(copy), 0, 1));
        ito_tensor *got = ito_matmul(t, ito_transpose(ito_exp(t), 0, 1));
        cr_assert_not_null(got, "%s", ito_error_message());
        cr_expect_eq(memcmp(ito_const_data(got), ito_const_data(want), 33 * 33 * sizeof(float)), 0,
                     "%d floats from a line of the cache", shift);
        ito_scope_end();
    }
}

/* NumPy gives an empty array or an axis of one any stride, and PyTorch no address. */
Test(dlpack, strides_that_lead_nowhere_may_be_anything)
{
    float value = 3;
    foreign f, empty;
    make(&f, &value, ITO_SHAPE(1, 1));
    set_strides(&f, ITO_SHAPE(-8, INT64_MAX));
    make(&empty, NULL, ITO_SHAPE(3, 0, 2));
    set_strides(&empty, ITO_SHAPE(-1, -1, -1));
    ito_scope_begin();
    ito_tensor *t = ito_from_dlpack(&f.versioned);
    cr_assert_eq(ito_item(t), 3);
    cr_assert(ito_is_contiguous(t));
    t = ito_from_dlpack(&empty.versioned);
    cr_assert_eq(ito_numel(t), 0);
    cr_assert_eq(ito_item(ito_sum(t)), 0);
    ito_scope_end();
    cr_assert_eq(empty.deleted, 1);
}

Test(dlpack, each_dtype_is_taken_and_given)
{
    static const dl_dtype codes[ITO_DTYPES] = {
        [ITO_F32] = {DL_FLOAT, 32, 1},   [ITO_F64] = {DL_FLOAT, 64, 1},
        [ITO_BF16] = {DL_BFLOAT, 16, 1}, [ITO_F16] = {DL_FLOAT, 16, 1},
        [ITO_I32] = {DL_INT, 32, 1},     [ITO_I64] = {DL_INT, 64, 1},
        [ITO_U8] = {DL_UINT, 8, 1},      [ITO_BOOL] = {DL_BOOL, 8, 1}};
    for (int i = 0; i < ITO_DTYPES; i++) {
        ito_dtype dtype = (ito_dtype)i;
        ito_scope_begin();
        ito_tensor *one = ito_ones(ITO_SHAPE(3), dtype);
        foreign f;
        make(&f, ito_data(one), ITO_SHAPE(3));
        f.versioned.tensor.dtype = codes[i];
        ito_tensor *t = ito_from_dlpack(&f.versioned);
        cr_assert_eq(ito_dtype_of(t), dtype);
        cr_expect_eq(ito_item(ito_select(t, 0, 2)), 1, "%s", ito_dtype_name(dtype));
        struct DLManagedTensorVersioned *out = ito_to_dlpack(t);
        cr_expect_eq(memcmp(&out->tensor.dtype, &codes[i], sizeof codes[i]), 0, "%s",
                     ito_dtype_name(dtype));
        out->deleter(out);
        ito_scope_end();
    }
}

/* Memory that pinned pages of CUDA and ROCm are is the processor's own. */
Test(dlpack, pinned_memory_is_taken)
{
    float value = 3;
    static const int32_t pinned[] = {DL_CUDA_HOST, DL_ROCM_HOST};
    for (int i = 0; i < 2; i++) {
        foreign f;
        make(&f, &value, ITO_SHAPE());
        f.versioned.tensor.device.type = pinned[i];
        ito_scope_begin();
        cr_expect_eq(ito_item(ito_from_dlpack(&f.versioned)), 3);
        ito_scope_end();
    }
}

/* ---- in: refusals ------------------------------------------------------------------------------
 */

/* It remains the caller's: nobody deletes it. */
static void expect_refusal(foreign *f, ito_status code, const char *message)
{
    ito_scope_begin();
    expect_refused(ito_from_dlpack(&f->versioned), code, message);
    ito_scope_end();
    cr_expect_eq(f->deleted, 0, "%s", message);
}

Test(dlpack, another_device_is_named)
{
    float value = 0;
    foreign f;
    make(&f, &value, ITO_SHAPE(1));
    f.versioned.tensor.device.type = 2;
    f.versioned.tensor.device.id = 1;
    expect_refusal(&f, ITO_ERR_ARGUMENT,
                   "from_dlpack: the tensor is on CUDA device 1; bring it to the CPU first");
    f.versioned.tensor.device.type = 5; /* no device has it */
    expect_refusal(&f, ITO_ERR_ARGUMENT,
                   "from_dlpack: the tensor is on device type 5; bring it to the CPU first");
    f.versioned.tensor.device.type = -3;
    expect_refusal(&f, ITO_ERR_ARGUMENT,
                   "from_dlpack: the tensor is on device type -3; bring it to the CPU first");
    f.legacy.tensor.device.type = 8;
    expect_refused(ito_from_dlpack_legacy(&f.legacy), ITO_ERR_ARGUMENT,
                   "from_dlpack: the tensor is on Metal device 0; bring it to the CPU first");
}

Test(dlpack, other_dtypes_are_named)
{
    static const struct {
        dl_dtype dtype;
        const char *name;
    } cases[] = {
        {{DL_INT, 8, 1}, "i8"},
        {{DL_INT, 16, 1}, "i16"},
        {{DL_UINT, 16, 1}, "u16"},
        {{DL_UINT, 32, 1}, "u32"},
        {{DL_UINT, 64, 1}, "u64"},
        {{DL_COMPLEX, 64, 1}, "complex64"},
        {{DL_FLOAT, 128, 1}, "f128"},
        {{DL_BOOL, 1, 1}, "bool1"},
        {{DL_FLOAT, 32, 4}, "vectors of 4 f32"},
        {{10, 8, 1}, "type code 10, 8 bits"},
        {{3, 64, 1}, "type code 3, 64 bits"},
    };
    float value = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        foreign f;
        make(&f, &value, ITO_SHAPE(1));
        f.versioned.tensor.dtype = cases[i].dtype;
        char want[200];
        snprintf(want, sizeof want,
                 "from_dlpack: a tensor of %s; Ito takes f32, f64, bf16, f16, i32, i64, u8 and "
                 "bool, so convert it first",
                 cases[i].name);
        expect_refusal(&f, ITO_ERR_DTYPE, want);
    }
}

Test(dlpack, shapes_that_ito_has_not_are_refused)
{
    float value = 0;
    foreign f;
    make(&f, &value, ITO_SHAPE(1));
    f.versioned.tensor.ndim = 9;
    expect_refusal(&f, ITO_ERR_SHAPE,
                   "from_dlpack: 9 axes; there can be 0 to 8, so reshape it first");
    f.versioned.tensor.ndim = -1;
    expect_refusal(&f, ITO_ERR_SHAPE,
                   "from_dlpack: -1 axes; there can be 0 to 8, so reshape it first");
    make(&f, &value, ITO_SHAPE(2, -3));
    expect_refusal(&f, ITO_ERR_SHAPE, "from_dlpack: no tensor has the shape [2, -3]");
    make(&f, &value, ITO_SHAPE(INT64_C(1) << 40, INT64_C(1) << 40));
    expect_refusal(&f, ITO_ERR_SHAPE,
                   "from_dlpack: no tensor has the shape [1099511627776, 1099511627776]");
}

Test(dlpack, strides_that_ito_has_not_are_refused)
{
    float values[4] = {0};
    foreign f;
    make(&f, values + 3, ITO_SHAPE(2, 2));
    set_strides(&f, ITO_SHAPE(2, -1));
    expect_refusal(&f, ITO_ERR_ARGUMENT,
                   "from_dlpack: axis 1 has the stride -1, and Ito takes none below 0: copy it "
                   "first");
    set_strides(&f, ITO_SHAPE(INT64_MAX, 1));
    expect_refusal(&f, ITO_ERR_ARGUMENT,
                   "from_dlpack: axis 0 of 2 has the stride 9223372036854775807, which leads out "
                   "of memory");
}

Test(dlpack, addresses_that_do_not_suit_are_refused)
{
    _Alignas(8) char bytes[16] = {0};
    foreign f;
    make(&f, bytes + 1, ITO_SHAPE(2));
    expect_refusal(&f, ITO_ERR_ARGUMENT,
                   "from_dlpack: elements of 4 bytes begin 1 bytes after a multiple of that: copy "
                   "it first");
    make(&f, bytes, ITO_SHAPE(2));
    f.versioned.tensor.byte_offset = 6;
    expect_refusal(&f, ITO_ERR_ARGUMENT,
                   "from_dlpack: elements of 4 bytes begin 2 bytes after a multiple of that: copy "
                   "it first");
    make(&f, NULL, ITO_SHAPE(2));
    expect_refusal(&f, ITO_ERR_ARGUMENT, "from_dlpack: no memory for the shape [2]");
}

Test(dlpack, what_is_read_only_is_refused)
{
    float value = 0;
    foreign f;
    make(&f, &value, ITO_SHAPE(1));
    f.versioned.flags = DL_READ_ONLY;
    expect_refusal(&f, ITO_ERR_ARGUMENT,
                   "from_dlpack: the memory is read-only, and a tensor of Ito can be changed in "
                   "place: copy it first");
    f.versioned.flags = 2; /* a copy made for us */
    ito_scope_begin();
    cr_expect_not_null(ito_from_dlpack(&f.versioned));
    ito_scope_end();
}

Test(dlpack, another_version_is_refused)
{
    float value = 0;
    foreign f;
    make(&f, &value, ITO_SHAPE(1));
    f.versioned.version.major = 2;
    expect_refusal(&f, ITO_ERR_ARGUMENT, "from_dlpack: version 2.3 of DLPack; Ito knows version 1");
}

Test(dlpack, null_is_refused)
{
    expect_refused(ito_from_dlpack(NULL), ITO_ERR_ARGUMENT, "from_dlpack: the tensor is NULL");
    expect_refused(ito_from_dlpack_legacy(NULL), ITO_ERR_ARGUMENT,
                   "from_dlpack: the tensor is NULL");
    expect_refused(ito_to_dlpack(NULL), ITO_ERR_ARGUMENT, "to_dlpack: the tensor is NULL");
    expect_refused(ito_to_dlpack_legacy(NULL), ITO_ERR_ARGUMENT, "to_dlpack: the tensor is NULL");
}

/* ---- out ---------------------------------------------------------------------------------------
 */

Test(dlpack, an_export_outlives_its_tensor)
{
    ito_scope_begin();
    ito_tensor *t = ito_arange(0, 6, 1, ITO_F32);
    struct DLManagedTensorVersioned *out = ito_to_dlpack(t);
    struct DLManagedTensor *legacy = ito_to_dlpack_legacy(t);
    ito_scope_end();
    cr_assert_eq(out->version.major, 1);
    cr_assert_eq(out->flags, 0);
    cr_assert_eq(out->tensor.device.type, DL_CPU);
    cr_assert_eq(((float *)out->tensor.data)[5], 5);
    cr_assert_eq(out->tensor.data, legacy->tensor.data);
    out->deleter(out);
    cr_assert_eq(((float *)legacy->tensor.data)[4], 4, "the other export holds the memory");
    cr_assert_eq(ito_memory_blocks(), 1);
    legacy->deleter(legacy);
    cr_assert_eq(ito_memory_blocks(), 0);
}

/* The strides are true ones, and the offset of a view is in the address. */
Test(dlpack, channels_last_is_given_as_it_lies)
{
    ito_tensor *image = tensor_empty_channels_last(ITO_SHAPE(2, 3, 4, 5), ITO_F32);
    struct DLManagedTensorVersioned *out = ito_to_dlpack(ito_select(image, 0, 1));
    cr_assert_eq(out->tensor.ndim, 3);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(out->tensor.shape[i], ((int64_t[]){3, 4, 5})[i]);
        cr_expect_eq(out->tensor.strides[i], ((int64_t[]){1, 15, 3})[i]);
    }
    cr_expect_eq(out->tensor.byte_offset, 0);
    cr_expect_eq((char *)out->tensor.data - (char *)ito_data(image), 60 * (int)sizeof(float));
    out->deleter(out);
}

Test(dlpack, a_tensor_comes_back_as_it_went)
{
    ito_scope_begin();
    ito_tensor *t =
        ito_transpose(ito_randn(&(ito_generator){1, 0, 0}, ITO_SHAPE(3, 5), ITO_F64), 0, 1);
    ito_tensor *back = ito_retain(ito_from_dlpack(ito_to_dlpack(t)));
    cr_assert_eq(ito_const_data(back), ito_const_data(t));
    cr_assert(tensor_same_layout(back, t));
    ito_scope_end();
    cr_assert_eq(ito_memory_blocks(), 1);
    ito_release(back);
    cr_assert_eq(ito_memory_blocks(), 0);
}

static ito_status there_and_back(void *context)
{
    ito_tensor *t = ito_ones(ITO_SHAPE(4), ITO_F32);
    struct DLManagedTensorVersioned *out = t == NULL ? NULL : ito_to_dlpack(t);
    if (out == NULL)
        return ito_error_code();
    if (ito_from_dlpack(out) == NULL) {
        out->deleter(out); /* still ours */
        return ito_error_code();
    }
    (void)context;
    return ITO_OK;
}

Test(dlpack, memory_that_runs_out_leaves_nothing_behind)
{
    cr_assert_geq(count_failed_allocations(there_and_back, NULL), 3);
}
