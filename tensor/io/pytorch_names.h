/* What PyTorch's files may call, and what it means here. Not installed. */
#ifndef ITO_IO_PYTORCH_NAMES_H
#define ITO_IO_PYTORCH_NAMES_H

#include "tensor/io/pickle.h"
#include "tensor/io/stored_dtype.h"

/* The numbers of globals; those of dtypes and storages follow. */
typedef enum pytorch_global {
    PYTORCH_DICT,      /* collections.OrderedDict */
    PYTORCH_TENSOR,    /* storage, offset, size, stride, ... */
    PYTORCH_TENSOR_V3, /* the same, and its dtype as the seventh */
    PYTORCH_PARAMETER, /* a tensor, ... */
    PYTORCH_SIZE,      /* a tuple */
    PYTORCH_DEVICE,
    PYTORCH_BYTES,   /* bytes, in protocol 2 */
    PYTORCH_UNTYPED, /* the class of storages of bytes */
    PYTORCH_GLOBALS
} pytorch_global;

/* pickle_find_global of PyTorch's files. */
int pytorch_find_global(const char *module, size_t module_length, const char *name,
                        size_t name_length, pickle_kind *makes);
/* The dtype that a global is, or that the elements of a class of storages have; or NULL. */
const stored_dtype *pytorch_global_dtype(int64_t global);

#endif
