/* Inside the library: the structs of DLPack 1.0 (dmlc/dlpack, include/dlpack/dlpack.h, Apache-2.0),
 * whose layout is fixed. Written down here so that nobody needs the header to build Ito. */
#ifndef ITO_TENSOR_DLPACK_ABI_H
#define ITO_TENSOR_DLPACK_ABI_H

#include <stdint.h>

enum { DL_CPU = 1, DL_CUDA_HOST = 3, DL_ROCM_HOST = 11 };
enum { DL_INT = 0, DL_UINT = 1, DL_FLOAT = 2, DL_BFLOAT = 4, DL_COMPLEX = 5, DL_BOOL = 6 };
enum { DL_MAJOR = 1, DL_MINOR = 0 };
#define DL_READ_ONLY UINT64_C(1)

typedef struct dl_dtype {
    uint8_t code;
    uint8_t bits;
    uint16_t lanes;
} dl_dtype;

typedef struct dl_tensor {
    void *data;
    struct {
        int32_t type;
        int32_t id;
    } device;
    int32_t ndim;
    dl_dtype dtype;
    int64_t *shape;
    int64_t *strides; /* in elements; NULL: row-major */
    uint64_t byte_offset;
} dl_tensor;

struct DLManagedTensor {
    dl_tensor tensor;
    void *context;
    void (*deleter)(struct DLManagedTensor *self); /* may be NULL */
};

struct DLManagedTensorVersioned {
    struct {
        uint32_t major;
        uint32_t minor;
    } version;
    void *context;
    void (*deleter)(struct DLManagedTensorVersioned *self); /* may be NULL */
    uint64_t flags;
    dl_tensor tensor;
};

_Static_assert(sizeof(dl_tensor) == 48 && sizeof(struct DLManagedTensor) == 64 &&
                   sizeof(struct DLManagedTensorVersioned) == 80,
               "the structs are laid out as DLPack has them");

#endif
