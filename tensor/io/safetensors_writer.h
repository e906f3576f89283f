/* Writing safetensors a piece at a time, behind ito_safetensors_save. Not installed. */
#ifndef ITO_IO_SAFETENSORS_WRITER_H
#define ITO_IO_SAFETENSORS_WRITER_H

#include "tensor/io/safetensors.h"

/* What a file is to hold; all of it borrowed. */
typedef struct safetensors_plan {
    int64_t n, n_meta;
    const char *const *names;
    const ito_dtype *dtypes;
    const ito_shape *shapes;
    const char *const *meta_keys, *const *meta_values;
    bool grows; /* the first sizes are the most there may be; else all elements come */
} safetensors_plan;

/* Whether names and metadata are such as a file may have. */
ito_status safetensors_check(const safetensors_plan *p);
/* Begin the file; the plan has been checked, and its tensors lie in the file in this order. */
ito_safetensors_writer *safetensors_writer_begin(const char *path, const safetensors_plan *p);
/* All elements of tensor i, row-major whatever t's strides, behind those that are there. */
ito_status safetensors_writer_put(ito_safetensors_writer *w, int64_t i, const ito_tensor *t);

#endif
