/* Memory shared by DLPack, in both directions.
 * Invariant: an export holds a reference to the storage, and a storage that was imported holds the
 * export of the other library, so that memory outlives whoever goes first. */
#include "tensor/dlpack.h"
#include "tensor/dlpack_abi.h"
#include "tensor/internal.h"

#include <stdlib.h>

static const struct {
    uint8_t code, bits;
} dtypes[ITO_DTYPES] = {
    [ITO_F32] = {DL_FLOAT, 32}, [ITO_F64] = {DL_FLOAT, 64}, [ITO_BF16] = {DL_BFLOAT, 16},
    [ITO_F16] = {DL_FLOAT, 16}, [ITO_I32] = {DL_INT, 32},   [ITO_I64] = {DL_INT, 64},
    [ITO_U8] = {DL_UINT, 8},    [ITO_BOOL] = {DL_BOOL, 8},
};

/* ---- out ---------------------------------------------------------------------------------------
 */

typedef struct exported {
    union {
        struct DLManagedTensor legacy;
        struct DLManagedTensorVersioned versioned;
    };
    storage *storage;
    int64_t shape[ITO_MAX_DIMS], stride[ITO_MAX_DIMS];
} exported;

static void delete_exported(exported *e)
{
    storage_release(e->storage);
    free(e);
}

static void delete_legacy(struct DLManagedTensor *self)
{
    delete_exported(self->context);
}

static void delete_versioned(struct DLManagedTensorVersioned *self)
{
    delete_exported(self->context);
}

static exported *export(const ito_tensor *t)
{
    if (t == NULL) {
        error_missing("to_dlpack", "the tensor");
        return NULL;
    }
    exported *e = struct_alloc(sizeof *e);
    if (e == NULL)
        return NULL;
    atomic_fetch_add(&t->storage->refs, 1);
    e->storage = t->storage;
    for (int i = 0; i < t->ndim; i++) {
        e->shape[i] = t->shape[i];
        e->stride[i] = t->stride[i];
    }
    return e;
}

/* The offset is in data, since not every library minds byte_offset. */
static dl_tensor describe(exported *e, const ito_tensor *t)
{
    return (dl_tensor){.data = tensor_data(t),
                       .device = {DL_CPU, 0},
                       .ndim = t->ndim,
                       .dtype = {dtypes[t->dtype].code, dtypes[t->dtype].bits, 1},
                       .shape = e->shape,
                       .strides = e->stride};
}

struct DLManagedTensorVersioned *ito_to_dlpack(ito_tensor *t)
{
    exported *e = export(t);
    if (e == NULL)
        return NULL;
    e->versioned = (struct DLManagedTensorVersioned){.version = {DL_MAJOR, DL_MINOR},
                                                     .context = e,
                                                     .deleter = delete_versioned,
                                                     .tensor = describe(e, t)};
    return &e->versioned;
}

struct DLManagedTensor *ito_to_dlpack_legacy(ito_tensor *t)
{
    exported *e = export(t);
    if (e == NULL)
        return NULL;
    e->legacy =
        (struct DLManagedTensor){.tensor = describe(e, t), .context = e, .deleter = delete_legacy};
    return &e->legacy;
}

/* ---- in: what is refused -----------------------------------------------------------------------
 */

static const char *device_name(int32_t type)
{
    static const char *const names[] = {
        [2] = "CUDA",  [4] = "OpenCL",        [7] = "Vulkan",  [8] = "Metal",   [9] = "VPI",
        [10] = "ROCm", [13] = "CUDA managed", [14] = "oneAPI", [15] = "WebGPU", [16] = "Hexagon",
    };
    bool known = type >= 0 && (size_t)type < sizeof names / sizeof *names;
    return known ? names[type] : NULL;
}

static bool check_device(const dl_tensor *d)
{
    int32_t type = d->device.type;
    if (type == DL_CPU || type == DL_CUDA_HOST || type == DL_ROCM_HOST)
        return true;
    const char *name = device_name(type);
    if (name == NULL)
        return error_false(ITO_ERR_ARGUMENT,
                           "from_dlpack: the tensor is on device type %" PRId32
                           "; bring it to the CPU first",
                           type);
    return error_false(ITO_ERR_ARGUMENT,
                       "from_dlpack: the tensor is on %s device %" PRId32
                       "; bring it to the CPU first",
                       name, d->device.id);
}

static bool refuse_dtype(dl_dtype d)
{
    static const char *const kinds[] = {
        [DL_INT] = "i",     [DL_UINT] = "u",          [DL_FLOAT] = "f",
        [DL_BFLOAT] = "bf", [DL_COMPLEX] = "complex", [DL_BOOL] = "bool"};
    const char *kind = d.code < sizeof kinds / sizeof *kinds ? kinds[d.code] : NULL;
    static const char taken[] = "Ito takes f32, f64, bf16, f16, i32, i64, u8 and bool, so convert "
                                "it first";
    if (kind == NULL)
        return error_false(ITO_ERR_DTYPE, "from_dlpack: a tensor of type code %d, %d bits; %s",
                           d.code, d.bits, taken);
    if (d.lanes != 1)
        return error_false(ITO_ERR_DTYPE, "from_dlpack: a tensor of vectors of %d %s%d; %s",
                           d.lanes, kind, d.bits, taken);
    return error_false(ITO_ERR_DTYPE, "from_dlpack: a tensor of %s%d; %s", kind, d.bits, taken);
}

static bool find_dtype(dl_dtype d, ito_dtype *dtype)
{
    for (int i = 0; i < ITO_DTYPES; i++)
        if (dtypes[i].code == d.code && dtypes[i].bits == d.bits && d.lanes == 1) {
            *dtype = (ito_dtype)i;
            return true;
        }
    return refuse_dtype(d);
}

/* How far a stride may lead along an axis, in elements: byte addresses fit many times. */
#define FARTHEST (INT64_C(1) << 50)

/* shape and stride of d, and how many elements lie from the first to the last. Strides of axes
 * that have no neighbours may be anything: those of row-major order stand in for them. */
static bool read_layout(const dl_tensor *d, ito_shape *shape, int64_t *stride, int64_t *extent)
{
    if (d->ndim < 0 || d->ndim > ITO_MAX_DIMS)
        return error_false(ITO_ERR_SHAPE,
                           "from_dlpack: %" PRId32 " axes; there can be 0 to %d, so reshape it "
                           "first",
                           d->ndim, ITO_MAX_DIMS);
    *shape = (ito_shape){.ndim = d->ndim};
    for (int i = 0; i < d->ndim; i++)
        shape->dim[i] = d->shape[i];
    int64_t numel = shape_numel(*shape), step = 1;
    if (numel < 0 || numel > FARTHEST)
        return error_false(ITO_ERR_SHAPE, "from_dlpack: no tensor has the shape %s",
                           shape_str(*shape));
    *extent = numel == 0 ? 0 : 1;
    for (int i = d->ndim - 1; i >= 0; i--) {
        int64_t n = shape->dim[i];
        bool given = d->strides != NULL && n > 1 && numel > 0;
        stride[i] = given ? d->strides[i] : step;
        step *= n > 0 ? n : 1;
        if (stride[i] < 0)
            return error_false(ITO_ERR_ARGUMENT,
                               "from_dlpack: axis %d has the stride %" PRId64
                               ", and Ito takes none below 0: copy it first",
                               i, stride[i]);
        if (n > 1 && stride[i] > FARTHEST / n)
            return error_false(ITO_ERR_ARGUMENT,
                               "from_dlpack: axis %d of %" PRId64 " has the stride %" PRId64
                               ", which leads out of memory",
                               i, n, stride[i]);
        *extent += numel == 0 ? 0 : (n - 1) * stride[i];
    }
    return true;
}

static bool check_address(const char *first, ito_dtype dtype)
{
    int size = (int)ito_dtype_size(dtype);
    if ((uintptr_t)first % (uintptr_t)size == 0)
        return true;
    return error_false(ITO_ERR_ARGUMENT,
                       "from_dlpack: elements of %d bytes begin %d bytes after a multiple of that: "
                       "copy it first",
                       size, (int)((uintptr_t)first % (uintptr_t)size));
}

/* ---- in ----------------------------------------------------------------------------------------
 */

typedef struct imported {
    storage base;
    void *managed; /* NULL until it is ours */
} imported;

static void release_legacy(storage *self)
{
    struct DLManagedTensor *managed = ((imported *)self)->managed;
    if (managed != NULL && managed->deleter != NULL)
        managed->deleter(managed);
}

static void release_versioned(storage *self)
{
    struct DLManagedTensorVersioned *managed = ((imported *)self)->managed;
    if (managed != NULL && managed->deleter != NULL)
        managed->deleter(managed);
}

static ito_tensor *import(const dl_tensor *d, void *managed, void (*release)(storage *))
{
    static char nothing[64]; /* the address of no elements */
    ito_dtype dtype;
    ito_shape shape;
    int64_t stride[ITO_MAX_DIMS], extent;
    if (!check_device(d) || !find_dtype(d->dtype, &dtype) ||
        !read_layout(d, &shape, stride, &extent))
        return NULL;
    if (d->data == NULL && extent > 0)
        return error_null(ITO_ERR_ARGUMENT, "from_dlpack: no memory for the shape %s",
                          shape_str(shape));
    char *first = extent > 0 ? (char *)d->data + d->byte_offset : nothing;
    if (!check_address(first, dtype))
        return NULL;
    imported *s = struct_alloc(sizeof *s);
    if (s == NULL)
        return NULL;
    s->base = (storage){.refs = 1,
                        .data = first,
                        .bytes = (size_t)extent * ito_dtype_size(dtype),
                        .release = release};
    ito_tensor *t = tensor_over(&s->base, shape, stride, dtype);
    if (t != NULL)
        s->managed = managed;
    return t;
}

ito_tensor *ito_from_dlpack(struct DLManagedTensorVersioned *managed)
{
    if (managed == NULL)
        return error_missing("from_dlpack", "the tensor"), NULL;
    if (managed->version.major != DL_MAJOR)
        return error_null(ITO_ERR_ARGUMENT,
                          "from_dlpack: version %" PRIu32 ".%" PRIu32
                          " of DLPack; Ito knows version %d",
                          managed->version.major, managed->version.minor, DL_MAJOR);
    if (managed->flags & DL_READ_ONLY)
        return error_null(ITO_ERR_ARGUMENT,
                          "from_dlpack: the memory is read-only, and a tensor of Ito can be "
                          "changed in place: copy it first");
    return import(&managed->tensor, managed, release_versioned);
}

ito_tensor *ito_from_dlpack_legacy(struct DLManagedTensor *managed)
{
    if (managed == NULL)
        return error_missing("from_dlpack", "the tensor"), NULL;
    return import(&managed->tensor, managed, release_legacy);
}
