/* Dtypes of elements in files of weights, and what they become here. Not installed.
 *
 * A file may have dtypes that no tensor has: they are widened to one that holds each of their
 * values. Those that are not read can still be listed, and their bytes counted. */
#ifndef ITO_IO_STORED_DTYPE_H
#define ITO_IO_STORED_DTYPE_H

#include "tensor/tensor.h"

typedef struct stored_dtype {
    const char *name;    /* safetensors': "F8_E4M3" */
    const char *torch;   /* PyTorch's, behind "torch.": "float8_e4m3fn"; or NULL */
    const char *storage; /* the class of PyTorch's storages: "FloatStorage"; or NULL */
    int bits;            /* of an element */
    ito_dtype dtype;     /* that it becomes; ITO_DTYPES if it is not read */
    /* n elements to out; false, with *bad set, at one that the dtype cannot hold. NULL: elements
     * lie in the file as in memory. */
    bool (*widen)(const unsigned char *in, void *out, int64_t n, int64_t *bad);
} stored_dtype;

/* By its name in safetensors; NULL if the format has none of that name. */
const stored_dtype *stored_dtype_find(const char *name);
/* The one that a tensor of this dtype is written as. */
const stored_dtype *stored_dtype_of(ito_dtype dtype);
/* By PyTorch's names, each of length bytes; NULL if there is none. */
const stored_dtype *stored_dtype_find_torch(const char *name, size_t length);
const stored_dtype *stored_dtype_find_storage(const char *name, size_t length);
/* Its number, and the dtype of a number that one has. */
int stored_dtype_index(const stored_dtype *d);
const stored_dtype *stored_dtype_at(int index);
/* The bytes of n elements; -1 if that is no number of whole bytes, or beyond int64_t. */
int64_t stored_bytes(const stored_dtype *d, int64_t n);

/* ITO_ERR_FORMAT for a bool among these elements that is neither 0 nor 1. */
ito_status stored_check_bools(const stored_dtype *d, const char *path, const char *name,
                              const void *bytes, int64_t n);

/* Where the bytes of a tensor come from. */
typedef struct stored_source stored_source;
struct stored_source {
    /* All of its bytes at once. */
    ito_status (*read)(stored_source *s, void *out, int64_t bytes);
};

/* The row-major tensor of these elements; NULL on failure. "PATH: tensor NAME: ..." is recorded for
 * a dtype that is not read, a bool that is neither 0 nor 1, and a number beyond i64. */
ito_tensor *stored_read(const stored_dtype *d, const char *path, const char *name, ito_shape shape,
                        stored_source *source);

#endif
