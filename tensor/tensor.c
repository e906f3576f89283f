/* The tensor: storage with a reference count, and strided views of it. */
#include "tensor/internal.h"
#include "tensor/profile.h"
#include "tensor/scope_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
    bool is_float;
} dtypes[ITO_DTYPES] = {
    [ITO_F32] = {"f32", 4, true}, [ITO_F64] = {"f64", 8, true},    [ITO_BF16] = {"bf16", 2, true},
    [ITO_F16] = {"f16", 2, true}, [ITO_I32] = {"i32", 4, false},   [ITO_I64] = {"i64", 8, false},
    [ITO_U8] = {"u8", 1, false},  [ITO_BOOL] = {"bool", 1, false},
};

const char *ito_dtype_name(ito_dtype dtype)
{
    return (unsigned)dtype < ITO_DTYPES ? dtypes[dtype].name : "no dtype";
}

size_t ito_dtype_size(ito_dtype dtype)
{
    return (unsigned)dtype < ITO_DTYPES ? dtypes[dtype].size : 0;
}

bool ito_dtype_is_float(ito_dtype dtype)
{
    return (unsigned)dtype < ITO_DTYPES && dtypes[dtype].is_float;
}

_Static_assert(sizeof(storage) <= MEM_HEAD, "a storage fits in front of its memory");

static storage *storage_create(size_t bytes)
{
    char *data = mem_alloc(bytes);
    if (data == NULL)
        return NULL;
    storage *s = (storage *)(data - MEM_HEAD);
    atomic_init(&s->refs, 1);
    atomic_init(&s->version, 0);
    s->data = data;
    s->bytes = bytes;
    s->release = NULL;
    return s;
}

void storage_release(storage *s)
{
    if (!reference_drop(&s->refs))
        return;
    if (s->release == NULL) {
        mem_free(s->data);
        return;
    }
    s->release(s);
    free(s);
}

/* A tensor on s, whose reference it takes over, also on failure; owned by the current scope. */
static ito_tensor *tensor_on(storage *s, const ito_shape *shape, const int64_t *stride,
                             int64_t offset, ito_dtype dtype)
{
    ito_tensor *t = record_alloc(sizeof *t);
    if (t == NULL) {
        storage_release(s);
        return NULL;
    }
    atomic_init(&t->refs, 1);
    t->dtype = dtype;
    t->sizes = *shape;
    for (int i = 0; i < shape->ndim; i++)
        t->stride[i] = stride[i];
    t->offset = offset;
    t->storage = s;
    if (!scope_adopt(t)) {
        ito_release(t);
        return NULL;
    }
    return t;
}

/* Axes in `order`, from the slowest to the fastest in memory. */
static ito_tensor *empty_in_order(const ito_shape *shape, ito_dtype dtype, const int *order)
{
    if ((unsigned)dtype >= ITO_DTYPES)
        return error_null(ITO_ERR_DTYPE, "tensor: %d is no dtype", (int)dtype);
    if (shape->ndim < 0 || shape->ndim > ITO_MAX_DIMS)
        return error_null(ITO_ERR_SHAPE, "tensor: %d axes; there can be 0 to 8", shape->ndim);
    int64_t bytes = checked_mul(sizes_numel(shape), (int64_t)dtypes[dtype].size);
    if (bytes < 0)
        return error_null(ITO_ERR_SHAPE, "tensor: no tensor has the shape %s", shape_str(*shape));
    int64_t stride[ITO_MAX_DIMS], step = 1;
    for (int k = shape->ndim - 1; k >= 0; k--) {
        stride[order[k]] = step;
        step *= shape->dim[order[k]] > 0 ? shape->dim[order[k]] : 1;
    }
    storage *s = storage_create((size_t)bytes);
    return s == NULL ? NULL : tensor_on(s, shape, stride, 0, dtype);
}

ito_tensor *tensor_empty(ito_shape shape, ito_dtype dtype)
{
    static const int row_major[ITO_MAX_DIMS] = {0, 1, 2, 3, 4, 5, 6, 7};
    return empty_in_order(&shape, dtype, row_major);
}

ito_tensor *tensor_empty_channels_last(ito_shape nchw, ito_dtype dtype)
{
    static const int nhwc[4] = {0, 2, 3, 1};
    return empty_in_order(&nchw, dtype, nhwc);
}

ito_tensor *tensor_over(storage *s, ito_shape shape, const int64_t *stride, ito_dtype dtype)
{
    int64_t row_major[ITO_MAX_DIMS], step = 1;
    for (int k = shape.ndim - 1; k >= 0; k--) {
        row_major[k] = step;
        step *= shape.dim[k] > 0 ? shape.dim[k] : 1;
    }
    return tensor_on(s, &shape, stride != NULL ? stride : row_major, 0, dtype);
}

static bool axis_repeats(const ito_tensor *t)
{
    for (int i = 0; i < t->ndim; i++)
        if (t->stride[i] == 0 && t->shape[i] > 1)
            return true;
    return false;
}

ito_tensor *tensor_empty_as(const ito_tensor *t, ito_dtype dtype)
{
    int order[ITO_MAX_DIMS] = {0, 1, 2, 3, 4, 5, 6, 7};
    if (!axis_repeats(t))
        for (int i = 1; i < t->ndim; i++) /* insertion sort: stable, so ties keep row-major order */
            for (int j = i; j > 0 && t->stride[order[j - 1]] < t->stride[order[j]]; j--) {
                int swap = order[j];
                order[j] = order[j - 1];
                order[j - 1] = swap;
            }
    return empty_in_order(&t->sizes, dtype, order);
}

ito_tensor *tensor_view(const ito_tensor *t, ito_shape shape, const int64_t *stride, int64_t offset)
{
    atomic_fetch_add(&t->storage->refs, 1);
    return tensor_on(t->storage, &shape, stride, offset, t->dtype);
}

ito_tensor *tensor_disown(ito_tensor *t)
{
    if (t != NULL)
        scope_forget(t);
    return t;
}

ito_tensor *tensor_adopt(ito_tensor *t)
{
    if (t == NULL)
        return NULL;
    bool owned = t->scope != NULL;
    if (!owned && scope_adopt(t))
        return t;
    ito_release(t);
    return owned ? t : NULL;
}

ito_tensor *ito_retain(ito_tensor *t)
{
    if (t != NULL)
        atomic_fetch_add(&t->refs, 1);
    return t;
}

void ito_release(ito_tensor *t)
{
    if (t == NULL || !reference_drop(&t->refs))
        return;
    if (t->autograd != NULL)
        t->autograd->release(t->autograd);
    storage_release(t->storage);
    record_free(t, sizeof *t);
}

ito_tensor *ito_adopt(ito_tensor *t)
{
    return tensor_adopt(t);
}

ito_status ito_replace(ito_tensor **held, ito_tensor *t)
{
    if (held == NULL || t == NULL)
        return error_missing("replace", held == NULL ? "held" : "t");
    ito_tensor *before = *held;
    *held = ito_retain(t);
    ito_release(before);
    return ITO_OK;
}

ito_dtype ito_dtype_of(const ito_tensor *t)
{
    return t == NULL ? ITO_DTYPES : t->dtype;
}

int ito_ndim(const ito_tensor *t)
{
    return t == NULL ? -1 : t->ndim;
}

ito_shape ito_shape_of(const ito_tensor *t)
{
    if (t == NULL)
        return (ito_shape){0};
    return t->sizes;
}

int64_t ito_size(const ito_tensor *t, int axis)
{
    if (t == NULL)
        return -1;
    int i = axis_normalize("size", axis, t->ndim);
    return i < 0 ? -1 : t->shape[i];
}

int64_t ito_stride(const ito_tensor *t, int axis)
{
    if (t == NULL)
        return -1;
    int i = axis_normalize("stride", axis, t->ndim);
    return i < 0 ? -1 : t->stride[i];
}

int64_t ito_numel(const ito_tensor *t)
{
    return t == NULL ? 0 : sizes_numel(&t->sizes);
}

void *ito_data(ito_tensor *t)
{
    return t == NULL ? NULL : tensor_data(t);
}

const void *ito_const_data(const ito_tensor *t)
{
    return t == NULL ? NULL : tensor_data(t);
}

void ito_touch(ito_tensor *t)
{
    if (t != NULL)
        atomic_fetch_add(&t->storage->version, 1);
}

ito_status ito_to_data(const ito_tensor *t, void *out, ito_dtype dtype)
{
    if (t == NULL || (out == NULL && ito_numel(t) > 0))
        return error_missing("to_data", t == NULL ? "the tensor" : "the place for its elements");
    ito_scope_begin();
    ito_tensor *copy = tensor_empty(ito_shape_of(t), dtype);
    if (copy != NULL) {
        tensor_copy(copy, t);
        if (copy->storage->bytes > 0) /* else out may be NULL */
            memcpy(out, tensor_data(copy), copy->storage->bytes);
    }
    bool done = copy != NULL;
    ito_scope_end();
    return done ? ITO_OK : ito_error_code();
}

double ito_item(const ito_tensor *t)
{
    if (t == NULL) {
        error_missing("item", "the tensor");
        return (double)NAN;
    }
    if (ito_numel(t) != 1) {
        ito_error_set(ITO_ERR_SHAPE, "item: a tensor of shape %s is not one number",
                      tensor_shape_str(t));
        return (double)NAN;
    }
    double value;
    return ito_to_data(t, &value, ITO_F64) == ITO_OK ? value : (double)NAN;
}

/* Fill `copy` (may be NULL), which is laid out as an operation wants its input, from t. */
static ito_tensor *copy_into(ito_tensor *copy, const ito_tensor *t)
{
    static profile_row row = PROFILE_ROW("copies to another layout");
    profile_frame frame;
    profile_begin(&frame);
    if (copy != NULL)
        tensor_copy(copy, t);
    profile_end(&frame, &row);
    return copy;
}

ito_tensor *tensor_contiguous(const ito_tensor *t)
{
    if (t == NULL)
        return NULL;
    if (ito_is_contiguous(t))
        return (ito_tensor *)(uintptr_t)t;
    return copy_into(tensor_empty(ito_shape_of(t), t->dtype), t);
}

ito_tensor *tensor_channels_last(const ito_tensor *t)
{
    if (t == NULL)
        return NULL;
    if (ito_is_channels_last(t))
        return (ito_tensor *)(uintptr_t)t;
    return copy_into(tensor_empty_channels_last(ito_shape_of(t), t->dtype), t);
}
