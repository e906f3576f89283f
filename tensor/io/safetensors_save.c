/* Saving tensors that are in memory, and what names and metadata may be. */
#include "tensor/internal.h"
#include "tensor/io/json_cursor.h"
#include "tensor/io/safetensors_header.h"
#include "tensor/io/safetensors_writer.h"

#include <stdlib.h>
#include <string.h>

enum { LARGEST_ELEMENT = 8 };

static ito_status check_text(const char *what, int64_t i, const char *text)
{
    if (text == NULL)
        return error_status(ITO_ERR_ARGUMENT, "safetensors_save: %s %" PRId64 " is NULL", what, i);
    int64_t left = (int64_t)strlen(text);
    for (const unsigned char *s = (const unsigned char *)text; left > 0;) {
        int length = json_utf8(s, left);
        if (length == 0)
            return error_status(ITO_ERR_ARGUMENT, "safetensors_save: %s %" PRId64 " is not UTF-8",
                                what, i);
        s += length;
        left -= length;
    }
    return ITO_OK;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static ito_status check_unique(const char *what, int64_t n, const char *const *texts)
{
    if (n == 0)
        return ITO_OK;
    const char **sorted = mem_alloc((size_t)n * sizeof *sorted);
    if (sorted == NULL)
        return ITO_ERR_MEMORY;
    memcpy(sorted, texts, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, compare_text);
    ito_status status = ITO_OK;
    for (int64_t i = 1; i < n && status == ITO_OK; i++)
        if (strcmp(sorted[i], sorted[i - 1]) == 0)
            status = error_status(ITO_ERR_ARGUMENT, "safetensors_save: %s %.100s occurs twice",
                                  what, sorted[i]);
    mem_free(sorted);
    return status;
}

ito_status safetensors_check(const safetensors_plan *p)
{
    ito_status status = ITO_OK;
    for (int64_t i = 0; i < p->n && status == ITO_OK; i++) {
        status = check_text("name", i, p->names[i]);
        if (status == ITO_OK && strcmp(p->names[i], SAFETENSORS_METADATA) == 0)
            status =
                error_status(ITO_ERR_ARGUMENT,
                             "safetensors_save: a tensor cannot be called " SAFETENSORS_METADATA);
    }
    const size_t prefix = strlen(SAFETENSORS_CHECKSUM);
    for (int64_t i = 0; i < p->n_meta && status == ITO_OK; i++) {
        status = check_text("metadata key", i, p->meta_keys[i]);
        if (status == ITO_OK && strncmp(p->meta_keys[i], SAFETENSORS_CHECKSUM, prefix) == 0)
            status = error_status(ITO_ERR_ARGUMENT,
                                  "safetensors_save: metadata key %.100s is kept for checksums",
                                  p->meta_keys[i]);
        if (status == ITO_OK)
            status = check_text("metadata value", i, p->meta_values[i]);
    }
    if (status == ITO_OK)
        status = check_unique("name", p->n, p->names);
    return status == ITO_OK ? check_unique("metadata key", p->n_meta, p->meta_keys) : status;
}

/* The tensors in the order of the file: larger elements first, so that every tensor is aligned to
 * its elements. The format allows no padding between tensors. */
typedef struct ordered {
    const char **names;
    ito_tensor **tensors;
    ito_dtype *dtypes;
    ito_shape *shapes;
} ordered;

static void ordered_free(ordered *o)
{
    mem_free(o->names);
    mem_free(o->tensors);
    mem_free(o->dtypes);
    mem_free(o->shapes);
}

static ito_status put_in_order(ordered *o, int64_t n, const char *const *names,
                               ito_tensor *const *tensors)
{
    o->names = mem_alloc((size_t)n * sizeof *o->names);
    o->tensors = mem_alloc((size_t)n * sizeof(ito_tensor *));
    o->dtypes = mem_alloc((size_t)n * sizeof *o->dtypes);
    o->shapes = mem_alloc((size_t)n * sizeof *o->shapes);
    if (o->names == NULL || o->tensors == NULL || o->dtypes == NULL || o->shapes == NULL)
        return ITO_ERR_MEMORY;
    int64_t placed = 0;
    for (size_t size = LARGEST_ELEMENT; size > 0; size /= 2)
        for (int64_t i = 0; i < n; i++) {
            if (ito_dtype_size(tensors[i]->dtype) != size)
                continue;
            o->names[placed] = names[i];
            o->tensors[placed] = tensors[i];
            o->dtypes[placed] = tensors[i]->dtype;
            o->shapes[placed++] = tensors[i]->sizes;
        }
    return ITO_OK;
}

static ito_status save(const char *path, const safetensors_plan *p, ito_tensor *const *tensors)
{
    ito_safetensors_writer *w = safetensors_writer_begin(path, p);
    ito_status status = w == NULL ? ito_error_code() : ITO_OK;
    for (int64_t i = 0; i < p->n && status == ITO_OK; i++)
        status = safetensors_writer_put(w, i, tensors[i]);
    if (status == ITO_OK)
        return ito_safetensors_writer_finish(w);
    ito_safetensors_writer_free(w);
    return status;
}

ito_status ito_safetensors_save(const char *path, int64_t n, const char *const *names,
                                ito_tensor *const *tensors, int64_t n_meta,
                                const char *const *meta_keys, const char *const *meta_values)
{
    if (n < 0 || n_meta < 0)
        return error_status(ITO_ERR_ARGUMENT, "safetensors_save: a negative count");
    if ((n > 0 && (names == NULL || tensors == NULL)) ||
        (n_meta > 0 && (meta_keys == NULL || meta_values == NULL)))
        return error_status(ITO_ERR_ARGUMENT, "safetensors_save: a list is missing");
    safetensors_plan p = {.n = n,
                          .n_meta = n_meta,
                          .names = names,
                          .meta_keys = meta_keys,
                          .meta_values = meta_values};
    ito_status status = safetensors_check(&p);
    for (int64_t i = 0; i < n && status == ITO_OK; i++)
        if (tensors[i] == NULL)
            status = error_status(ITO_ERR_ARGUMENT, "safetensors_save: there is no tensor %.100s",
                                  names[i]);
    if (status != ITO_OK)
        return status;
    ordered o = {0};
    status = put_in_order(&o, n, names, tensors);
    p.names = o.names;
    p.dtypes = o.dtypes;
    p.shapes = o.shapes;
    if (status == ITO_OK)
        status = save(path, &p, o.tensors);
    ordered_free(&o);
    return status;
}
