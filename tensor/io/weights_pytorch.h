/* PyTorch's zip files of a pickle and its storages: what the two parts of their reader share.
 * Not installed.
 *
 * What the two lists below cost comes to what the pickle does (pickle.h): 180 bytes a tensor and
 * the names, 110 MiB at the bounds. A file of n bytes takes time in proportion to n, to the values,
 * and to tensors times log(members). */
#ifndef ITO_IO_WEIGHTS_PYTORCH_H
#define ITO_IO_WEIGHTS_PYTORCH_H

#include "tensor/io/pickle.h"
#include "tensor/io/weights_kinds.h"
#include "tensor/io/zip.h"

enum {
    PYTORCH_MOST_TENSORS = 1 << 18,
    PYTORCH_MOST_NAMES = 1 << 26, /* bytes of all names */
    PYTORCH_LONGEST_NAME = 1023,
    PYTORCH_DEEPEST = 64 /* dicts and lists within one another */
};

typedef struct pytorch_tensor {
    int64_t name; /* where it begins in names */
    const zip_member *storage;
    const stored_dtype *dtype;
    ito_shape shape;
    int64_t stride[ITO_MAX_DIMS], offset; /* in elements */
    int64_t extent; /* elements from the first to the last; 0 if it has none */
} pytorch_tensor;

/* The tensors of a pickle in the order of its dicts and lists. */
typedef struct pytorch_list {
    pytorch_tensor *tensors;
    char *names;
    int64_t n, room, names_used, names_room;
} pytorch_list;

/* Find the tensors in what p has read; zip has their storages, below prefix, "archive/". Each lies
 * within its storage, and the storage is as long as the pickle says. On failure the caller frees
 * the list. */
ito_status pytorch_list_tensors(pytorch_list *list, const pickle *p, const zip_archive *zip,
                                const char *prefix);
void pytorch_list_free(pytorch_list *list);

#endif
