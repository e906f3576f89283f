/* The header of a safetensors file, parsed and checked. Not installed.
 * Invariant: a header that parsed is consistent with the size of its file in every respect. */
#ifndef ITO_IO_SAFETENSORS_HEADER_H
#define ITO_IO_SAFETENSORS_HEADER_H

#include "tensor/io/stored_dtype.h"

#define SAFETENSORS_MAX_HEADER 100000000 /* bytes: the limit of the format's own reader */
#define SAFETENSORS_METADATA "__metadata__"
#define SAFETENSORS_CHECKSUM "crc32:"
/* Of checksums that do not fit, which cannot tell damage from a rewrite. */
#define SAFETENSORS_STALE                                                                          \
    "another program kept the checksums of an older file; then save it again without the "         \
    "metadata keys that begin with crc32:"

typedef struct safetensors_entry {
    const char *name;
    const char *checksum; /* eight hexadecimal digits, or NULL */
    const stored_dtype *dtype;
    ito_shape shape;
    int64_t begin, end; /* bytes of the buffer behind the header */
} safetensors_entry;

typedef struct safetensors_pair {
    const char *key, *value;
} safetensors_pair;

typedef struct safetensors_header {
    char *text; /* that all names, keys and values lie in */
    safetensors_entry *entries;
    safetensors_pair *metadata; /* sorted by key */
    int64_t *by_name;           /* indices of entries, sorted by name */
    int64_t count, metadata_count;
    int64_t capacity, metadata_capacity;
    bool has_metadata;
} safetensors_header;

/* Parse text of size bytes, which must come from mem_alloc and which h takes over, also on failure.
 * buffer_size is what the file holds behind the header. path is for messages. */
ito_status safetensors_header_parse(safetensors_header *h, const char *path, char *text,
                                    int64_t size, int64_t buffer_size);
void safetensors_header_free(safetensors_header *h);
/* The index of name, or -1. */
int64_t safetensors_header_find(const safetensors_header *h, const char *name);
/* The value of key, or NULL. */
const char *safetensors_header_metadata(const safetensors_header *h, const char *key);

#endif
