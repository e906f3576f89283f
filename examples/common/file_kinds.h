/* The kind of a file, by its first bytes, or by its name if they do not decide. */
#ifndef ITO_EXAMPLES_FILE_KINDS_H
#define ITO_EXAMPLES_FILE_KINDS_H

#include <ito/tensor/io/safetensors.h>

typedef enum file_kind {
    FILE_UNKNOWN,
    FILE_SAFETENSORS,
    FILE_NPY,
    FILE_NPZ,
    FILE_IDX,
    FILE_IMAGE,
    FILE_COMPRESSED, /* by ito-ddpm compress */
    FILE_WEIGHTS,    /* PyTorch's, or an index of several files */
    FILE_ONNX,
    FILE_KINDS
} file_kind;

/* A file that cannot be read or is too short counts as safetensors, whose reader reports the fault.
 */
file_kind file_kind_of(const char *path);
/* "an image", "a .npy file". */
const char *file_kind_name(file_kind kind);
/* Whether nothing of another kind is lost if a file of this kind is written there: the path is
 * free, or what is there is empty or has the first bytes of that kind. */
bool file_may_become(const char *path, file_kind kind);
/* Whether it may be a file of weights; if not, an error is recorded that names its kind. */
bool file_is_weights(const char *path);

#endif
