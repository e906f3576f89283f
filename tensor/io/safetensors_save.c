/* Writing safetensors: the bytes of each tensor first, then the header in front of them, whose
 * length does not depend on the checksums that it is to hold.
 * Invariant: what is written here passes every check of safetensors_header.c. */
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/json_cursor.h"
#include "tensor/io/safetensors.h"
#include "tensor/io/safetensors_header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { LENGTH_BYTES = 8, ALIGNMENT = 8, LARGEST_ELEMENT = 8, CHECKSUM_DIGITS = 8 };

/* What is to be saved, and the header as it grows. */
typedef struct saving {
    int64_t n, n_meta;
    const char *const *names;
    ito_tensor *const *tensors;
    const char *const *meta_keys, *const *meta_values;
    int64_t *order;  /* of the tensors in the file: larger elements first */
    int64_t *digits; /* where in text the checksum of a tensor stands */
    char *text;      /* the file's first bytes: the header and its length */
    int64_t size, capacity;
} saving;

/* ---- what is allowed ---------------------------------------------------------------------------
 */

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

static ito_status check_arguments(const saving *s)
{
    ito_status status = ITO_OK;
    if (s->n < 0 || s->n_meta < 0)
        return error_status(ITO_ERR_ARGUMENT, "safetensors_save: a negative count");
    if ((s->n > 0 && (s->names == NULL || s->tensors == NULL)) ||
        (s->n_meta > 0 && (s->meta_keys == NULL || s->meta_values == NULL)))
        return error_status(ITO_ERR_ARGUMENT, "safetensors_save: a list is missing");
    for (int64_t i = 0; i < s->n && status == ITO_OK; i++) {
        status = check_text("name", i, s->names[i]);
        if (status == ITO_OK && strcmp(s->names[i], SAFETENSORS_METADATA) == 0)
            status =
                error_status(ITO_ERR_ARGUMENT,
                             "safetensors_save: a tensor cannot be called " SAFETENSORS_METADATA);
        if (status == ITO_OK && s->tensors[i] == NULL)
            status = error_status(ITO_ERR_ARGUMENT, "safetensors_save: there is no tensor %.100s",
                                  s->names[i]);
    }
    const size_t prefix = strlen(SAFETENSORS_CHECKSUM);
    for (int64_t i = 0; i < s->n_meta && status == ITO_OK; i++) {
        status = check_text("metadata key", i, s->meta_keys[i]);
        if (status == ITO_OK && strncmp(s->meta_keys[i], SAFETENSORS_CHECKSUM, prefix) == 0)
            status = error_status(ITO_ERR_ARGUMENT,
                                  "safetensors_save: metadata key %.100s is kept for checksums",
                                  s->meta_keys[i]);
        if (status == ITO_OK)
            status = check_text("metadata value", i, s->meta_values[i]);
    }
    if (status == ITO_OK)
        status = check_unique("name", s->n, s->names);
    return status == ITO_OK ? check_unique("metadata key", s->n_meta, s->meta_keys) : status;
}

/* ---- the header --------------------------------------------------------------------------------
 */

static bool put_bytes(saving *s, const char *bytes, int64_t n)
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

static bool put(saving *s, const char *text)
{
    return put_bytes(s, text, (int64_t)strlen(text));
}

/* What stands between the quotes of a JSON string. */
static bool put_escaped(saving *s, const char *text)
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

static bool put_metadata(saving *s)
{
    if (s->n == 0 && s->n_meta == 0)
        return true;
    if (!put(s, "\"" SAFETENSORS_METADATA "\":{"))
        return false;
    for (int64_t i = 0; i < s->n_meta; i++)
        if (!put(s, i > 0 ? ",\"" : "\"") || !put_escaped(s, s->meta_keys[i]) || !put(s, "\":\"") ||
            !put_escaped(s, s->meta_values[i]) || !put(s, "\""))
            return false;
    for (int64_t i = 0; i < s->n; i++) {
        if (!put(s, i + s->n_meta > 0 ? ",\"" SAFETENSORS_CHECKSUM : "\"" SAFETENSORS_CHECKSUM) ||
            !put_escaped(s, s->names[s->order[i]]) || !put(s, "\":\""))
            return false;
        s->digits[s->order[i]] = s->size;
        if (!put(s, "00000000\""))
            return false;
    }
    return put(s, "}");
}

static int64_t bytes_of(const ito_tensor *t)
{
    return ito_numel(t) * (int64_t)ito_dtype_size(t->dtype);
}

static bool put_tensors(saving *s)
{
    int64_t begin = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const ito_tensor *t = s->tensors[s->order[i]];
        if (!put(s, ",\"") || !put_escaped(s, s->names[s->order[i]]) ||
            !put(s, "\":{\"dtype\":\"") || !put(s, safetensors_dtype_name(t->dtype)) ||
            !put(s, "\",\"shape\":["))
            return false;
        char number[64];
        for (int axis = 0; axis < t->ndim; axis++) {
            snprintf(number, sizeof number, "%s%" PRId64, axis > 0 ? "," : "", t->shape[axis]);
            if (!put(s, number))
                return false;
        }
        int64_t end;
        if (__builtin_add_overflow(begin, bytes_of(t), &end))
            return error_status(ITO_ERR_ARGUMENT, "safetensors_save: more than 2^63 bytes") ==
                   ITO_OK;
        snprintf(number, sizeof number, "],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", begin,
                 end);
        if (!put(s, number))
            return false;
        begin = end;
    }
    return true;
}

/* Every tensor is aligned to its elements when larger elements come first: the format allows no
 * padding between tensors. Spaces behind the header align the first. */
static bool build_header(saving *s)
{
    int64_t placed = 0;
    for (size_t size = LARGEST_ELEMENT; size > 0; size /= 2)
        for (int64_t i = 0; i < s->n; i++)
            if (ito_dtype_size(s->tensors[i]->dtype) == size)
                s->order[placed++] = i;
    static const char no_length[LENGTH_BYTES] = {0};
    if (!put_bytes(s, no_length, LENGTH_BYTES) || !put(s, "{") || !put_metadata(s) ||
        !put_tensors(s) || !put(s, "}"))
        return false;
    while (s->size % ALIGNMENT != 0)
        if (!put(s, " "))
            return false;
    uint64_t length = (uint64_t)(s->size - LENGTH_BYTES);
    memcpy(s->text, &length, sizeof length);
    return true;
}

/* ---- the file ----------------------------------------------------------------------------------
 */

/* Write tensor i's elements, row-major, at offset, and its checksum into the header. */
static ito_status write_tensor(saving *s, file_writer *w, int64_t i, int64_t offset)
{
    ito_tensor *t = s->tensors[i], *rows = tensor_contiguous(t);
    if (rows == NULL)
        return ito_error_code();
    size_t bytes = (size_t)bytes_of(t);
    ito_status status = file_write(w, tensor_data(rows), bytes, offset);
    char digits[CHECKSUM_DIGITS + 1];
    snprintf(digits, sizeof digits, "%08" PRIx32, (uint32_t)crc32_z(0, tensor_data(rows), bytes));
    memcpy(s->text + s->digits[i], digits, CHECKSUM_DIGITS);
    if (rows != t)
        ito_release(tensor_disown(rows));
    return status;
}

static ito_status write_file(saving *s, const char *path)
{
    file_writer w;
    ito_status status = file_write_begin(&w, path);
    int64_t offset = s->size;
    for (int64_t k = 0; k < s->n && status == ITO_OK; k++) {
        int64_t i = s->order[k];
        status = write_tensor(s, &w, i, offset);
        offset += bytes_of(s->tensors[i]);
    }
    if (status == ITO_OK)
        status = file_write(&w, s->text, (size_t)s->size, 0);
    if (status == ITO_OK)
        return file_write_commit(&w);
    file_write_abandon(&w);
    return status;
}

ito_status ito_safetensors_save(const char *path, int64_t n, const char *const *names,
                                ito_tensor *const *tensors, int64_t n_meta,
                                const char *const *meta_keys, const char *const *meta_values)
{
    saving s = {.n = n,
                .names = names,
                .tensors = tensors,
                .n_meta = n_meta,
                .meta_keys = meta_keys,
                .meta_values = meta_values};
    ito_status status = check_arguments(&s);
    if (status != ITO_OK)
        return status;
    s.order = mem_alloc((size_t)n * sizeof *s.order);
    s.digits = s.order == NULL ? NULL : mem_alloc((size_t)n * sizeof *s.digits);
    if (s.digits == NULL || !build_header(&s))
        status = ito_error_code();
    else
        status = write_file(&s, path);
    mem_free(s.order);
    mem_free(s.digits);
    mem_free(s.text);
    return status;
}
