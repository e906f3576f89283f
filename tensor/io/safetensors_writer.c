/* Writing safetensors: the bytes of each tensor first, then the header in front of them, which is
 * no longer than the one that was planned: only numbers in it change. Invariant: what is written
 * here passes every check of safetensors_header.c. */
#include "tensor/io/safetensors_writer.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/safetensors_header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { LENGTH_BYTES = 8, ALIGNMENT = 8 };

struct ito_safetensors_writer {
    safetensors_plan plan; /* its shapes are those below */
    file_writer file;
    int64_t begin, next; /* where the elements begin, and where the next go */
    int64_t at;          /* the tensor that grows */
    struct written {
        ito_shape shape; /* planned; in the end, what came */
        int64_t rows;    /* of those, how many are there */
        uint32_t checksum;
    } * tensors;
};

/* ---- the header --------------------------------------------------------------------------------
 */

/* The first bytes of a file, as they grow. */
typedef struct header {
    char *text;
    int64_t size, capacity;
} header;

static bool put_bytes(header *s, const char *bytes, int64_t n)
{
    if (s->size + n > SAFETENSORS_MAX_HEADER)
        return error_false(ITO_ERR_ARGUMENT,
                           "safetensors_save: names and metadata take more than the %d bytes of a "
                           "header",
                           SAFETENSORS_MAX_HEADER);
    if (s->size + n > s->capacity) {
        int64_t capacity = 2 * (s->size + n) + 1024;
        char *text = mem_alloc((size_t)capacity);
        if (text == NULL)
            return false;
        if (s->size > 0)
            memcpy(text, s->text, (size_t)s->size);
        mem_free(s->text);
        s->text = text;
        s->capacity = capacity;
    }
    memcpy(s->text + s->size, bytes, (size_t)n);
    s->size += n;
    return true;
}

static bool put(header *s, const char *text)
{
    return put_bytes(s, text, (int64_t)strlen(text));
}

/* What stands between the quotes of a JSON string. */
static bool put_escaped(header *s, const char *text)
{
    for (; *text != '\0'; text++) {
        size_t plain = 0;
        while ((unsigned char)text[plain] >= 0x20 && text[plain] != '"' && text[plain] != '\\')
            plain++;
        if (!put_bytes(s, text, (int64_t)plain))
            return false;
        text += plain;
        if (*text == '\0')
            return true;
        char escape[8];
        bool control = (unsigned char)*text < 0x20;
        snprintf(escape, sizeof escape, control ? "\\u%04x" : "\\%c", *text);
        if (!put(s, escape))
            return false;
    }
    return true;
}

static bool put_metadata(header *s, const ito_safetensors_writer *w)
{
    const safetensors_plan *p = &w->plan;
    if (p->n == 0 && p->n_meta == 0)
        return true;
    if (!put(s, "\"" SAFETENSORS_METADATA "\":{"))
        return false;
    for (int64_t i = 0; i < p->n_meta; i++)
        if (!put(s, i > 0 ? ",\"" : "\"") || !put_escaped(s, p->meta_keys[i]) || !put(s, "\":\"") ||
            !put_escaped(s, p->meta_values[i]) || !put(s, "\""))
            return false;
    for (int64_t i = 0; i < p->n; i++) {
        char digits[16];
        snprintf(digits, sizeof digits, "%08" PRIx32 "\"", w->tensors[i].checksum);
        if (!put(s, i + p->n_meta > 0 ? ",\"" SAFETENSORS_CHECKSUM : "\"" SAFETENSORS_CHECKSUM) ||
            !put_escaped(s, p->names[i]) || !put(s, "\":\"") || !put(s, digits))
            return false;
    }
    return put(s, "}");
}

/* -1 if there are too many. */
static int64_t bytes_of(const ito_safetensors_writer *w, int64_t i)
{
    return checked_mul(sizes_numel(&w->tensors[i].shape),
                       (int64_t)ito_dtype_size(w->plan.dtypes[i]));
}

static bool put_tensors(header *s, const ito_safetensors_writer *w)
{
    int64_t begin = 0;
    for (int64_t i = 0; i < w->plan.n; i++) {
        const ito_shape *shape = &w->tensors[i].shape;
        if (!put(s, ",\"") || !put_escaped(s, w->plan.names[i]) || !put(s, "\":{\"dtype\":\"") ||
            !put(s, stored_dtype_of(w->plan.dtypes[i])->name) || !put(s, "\",\"shape\":["))
            return false;
        char number[64];
        for (int axis = 0; axis < shape->ndim; axis++) {
            snprintf(number, sizeof number, "%s%" PRId64, axis > 0 ? "," : "", shape->dim[axis]);
            if (!put(s, number))
                return false;
        }
        int64_t bytes = bytes_of(w, i), end;
        if (bytes < 0 || __builtin_add_overflow(begin, bytes, &end))
            return error_false(ITO_ERR_ARGUMENT, "safetensors_save: more than 2^63 bytes");
        snprintf(number, sizeof number, "],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", begin,
                 end);
        if (!put(s, number))
            return false;
        begin = end;
    }
    return true;
}

/* Spaces behind the text align the first tensor, and fill it up to `least` bytes. */
static bool build_header(header *s, const ito_safetensors_writer *w, int64_t least)
{
    static const char no_length[LENGTH_BYTES] = {0};
    if (!put_bytes(s, no_length, LENGTH_BYTES) || !put(s, "{") || !put_metadata(s, w) ||
        !put_tensors(s, w) || !put(s, "}"))
        return false;
    while (s->size % ALIGNMENT != 0 || s->size < least)
        if (!put(s, " "))
            return false;
    uint64_t length = (uint64_t)(s->size - LENGTH_BYTES);
    memcpy(s->text, &length, sizeof length);
    return true;
}

/* ---- the file ----------------------------------------------------------------------------------
 */

ito_safetensors_writer *safetensors_writer_begin(const char *path, const safetensors_plan *p)
{
    ito_safetensors_writer *w = struct_alloc(sizeof *w);
    if (w == NULL)
        return NULL;
    w->plan = *p;
    w->file.fd = -1;
    w->tensors = mem_alloc((size_t)p->n * sizeof *w->tensors);
    for (int64_t i = 0; w->tensors != NULL && i < p->n; i++)
        w->tensors[i] = (struct written){.shape = p->shapes[i]};
    header h = {0};
    if (w->tensors != NULL && build_header(&h, w, 0) && file_write_begin(&w->file, path) == ITO_OK)
        w->begin = w->next = h.size;
    mem_free(h.text);
    if (w->begin > 0)
        return w;
    ito_safetensors_writer_free(w);
    return NULL;
}

ito_safetensors_writer *
ito_safetensors_writer_create(const char *path, int64_t n, const char *const *names,
                              const ito_dtype *dtypes, const ito_shape *shapes, int64_t n_meta,
                              const char *const *meta_keys, const char *const *meta_values)
{
    if (n < 0 || n_meta < 0)
        return error_null(ITO_ERR_ARGUMENT, "safetensors_writer: a negative count");
    if ((n > 0 && (names == NULL || dtypes == NULL || shapes == NULL)) ||
        (n_meta > 0 && (meta_keys == NULL || meta_values == NULL)))
        return error_null(ITO_ERR_ARGUMENT, "safetensors_writer: a list is missing");
    safetensors_plan p = {n, n_meta, names, dtypes, shapes, meta_keys, meta_values, true};
    if (safetensors_check(&p) != ITO_OK)
        return NULL;
    for (int64_t i = 0; i < n; i++) {
        if ((unsigned)dtypes[i] >= ITO_DTYPES)
            return error_null(ITO_ERR_DTYPE, "safetensors_writer: %d is no dtype", (int)dtypes[i]);
        if (shapes[i].ndim < 1 || shapes[i].ndim > ITO_MAX_DIMS || shape_numel(shapes[i]) < 0)
            return error_null(ITO_ERR_SHAPE,
                              "safetensors_writer: %.100s is %s; it needs an axis to grow along",
                              names[i], shape_str(shapes[i]));
    }
    return safetensors_writer_begin(path, &p);
}

ito_status safetensors_writer_put(ito_safetensors_writer *w, int64_t i, const ito_tensor *t)
{
    ito_tensor *rows = tensor_contiguous(t);
    if (rows == NULL)
        return ito_error_code();
    size_t bytes = (size_t)ito_numel(t) * ito_dtype_size(t->dtype);
    ito_status status = file_write(&w->file, tensor_data(rows), bytes, w->next);
    w->next += (int64_t)bytes;
    struct written *to = &w->tensors[i];
    to->checksum = (uint32_t)crc32_z(to->checksum, tensor_data(rows), bytes);
    if (rows != t)
        ito_release(tensor_disown(rows));
    return status;
}

/* Whether t can follow the rows of tensor i. */
static bool fits(const ito_safetensors_writer *w, int64_t i, const ito_tensor *t)
{
    const ito_shape *shape = &w->tensors[i].shape;
    ito_shape rows = t->sizes;
    if (rows.ndim == shape->ndim)
        rows.dim[0] = shape->dim[0];
    return t->dtype == w->plan.dtypes[i] && shape_equal(rows, *shape) &&
           t->shape[0] <= shape->dim[0] - w->tensors[i].rows;
}

ito_status ito_safetensors_writer_append(ito_safetensors_writer *w, const char *name,
                                         const ito_tensor *rows)
{
    if (w == NULL || name == NULL || rows == NULL)
        return error_missing("safetensors_writer", w == NULL      ? "the writer"
                                                   : name == NULL ? "the name"
                                                                  : "the tensor");
    int64_t i = w->at;
    while (i < w->plan.n && strcmp(w->plan.names[i], name) != 0)
        i++;
    if (i == w->plan.n)
        return error_status(ITO_ERR_ARGUMENT,
                            "safetensors_writer: there is no %.100s to come; tensors are written "
                            "in the order of their names",
                            name);
    if (!fits(w, i, rows))
        return error_status(ITO_ERR_SHAPE,
                            "safetensors_writer: %.100s is %s of %s and has %" PRId64
                            " rows; %s of %s does not fit behind them",
                            name, shape_str(w->tensors[i].shape), ito_dtype_name(w->plan.dtypes[i]),
                            w->tensors[i].rows, tensor_shape_str(rows),
                            ito_dtype_name(rows->dtype));
    w->at = i;
    w->tensors[i].rows += rows->shape[0];
    return safetensors_writer_put(w, i, rows);
}

ito_status ito_safetensors_writer_finish(ito_safetensors_writer *w)
{
    if (w == NULL)
        return error_missing("safetensors_writer", "the writer");
    for (int64_t i = 0; i < w->plan.n; i++)
        if (w->plan.grows)
            w->tensors[i].shape.dim[0] = w->tensors[i].rows;
    header h = {0};
    ito_status status = build_header(&h, w, w->begin) ? ITO_OK : ito_error_code();
    if (status == ITO_OK)
        status = file_write(&w->file, h.text, (size_t)h.size, 0);
    mem_free(h.text);
    if (status == ITO_OK)
        status = file_write_commit(&w->file);
    ito_safetensors_writer_free(w);
    return status;
}

void ito_safetensors_writer_free(ito_safetensors_writer *w)
{
    if (w == NULL)
        return;
    file_write_abandon(&w->file);
    mem_free(w->tensors);
    free(w);
}
