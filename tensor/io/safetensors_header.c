/* The header of a safetensors file, parsed and checked.
 *
 * The format allows one shape of JSON only, so this reads exactly that, in one pass and in place,
 * and needs no tree: numbers keep all 63 bits, nesting is never deeper than the format's, text with
 * a NUL or broken UTF-8 is refused, and memory is bounded by the header's size. */
#include "tensor/io/safetensors_header.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/json_cursor.h"
#include "tensor/system.h"

#include <stdlib.h>
#include <string.h>

static bool refuse_tensor(const char *path, const char *name, const char *fault)
{
    file_error(ITO_ERR_FORMAT, path, "tensor %.100s: %s", name, fault);
    return false;
}

/* ---- entries -----------------------------------------------------------------------------------
 */

/* A list of twice the room, with the count elements of the old one, which goes; or NULL. */
static void *grow(void *list, int64_t count, int64_t *capacity, size_t size)
{
    int64_t larger = *capacity > 0 ? 2 * *capacity : 64;
    void *grown = mem_alloc((size_t)larger * size);
    if (grown == NULL)
        return NULL;
    if (count > 0)
        memcpy(grown, list, (size_t)count * size);
    mem_free(list);
    *capacity = larger;
    return grown;
}

static bool read_dtype(json_cursor *j, safetensors_entry *e)
{
    const char *text = json_string(j);
    if (text == NULL)
        return false;
    e->dtype = stored_dtype_find(text);
    if (e->dtype != NULL)
        return true;
    file_error(ITO_ERR_FORMAT, j->path, "tensor %.100s: its dtype %.32s is none of the format's",
               e->name, text);
    return false;
}

static bool read_shape(json_cursor *j, safetensors_entry *e)
{
    if (!json_expect(j, '['))
        return false;
    if (json_take(j, ']'))
        return true;
    do {
        if (e->shape.ndim == ITO_MAX_DIMS)
            return refuse_tensor(j->path, e->name, "has more than 8 axes");
        if (!json_size(j, &e->shape.dim[e->shape.ndim++]))
            return false;
    } while (json_take(j, ','));
    return json_expect(j, ']');
}

static bool read_offsets(json_cursor *j, safetensors_entry *e)
{
    return json_expect(j, '[') && json_size(j, &e->begin) && json_expect(j, ',') &&
           json_size(j, &e->end) && json_expect(j, ']');
}

static const struct {
    const char *key;
    bool (*read)(json_cursor *j, safetensors_entry *e);
} fields[] = {{"dtype", read_dtype}, {"shape", read_shape}, {"data_offsets", read_offsets}};
enum { FIELDS = sizeof fields / sizeof *fields };

typedef struct tensor_members {
    safetensors_entry *entry;
    bool seen[FIELDS];
} tensor_members;

static bool read_field(json_cursor *j, const char *key, void *context)
{
    tensor_members *m = context;
    int f = 0;
    while (f < FIELDS && strcmp(key, fields[f].key) != 0)
        f++;
    if (f == FIELDS)
        return refuse_tensor(j->path, m->entry->name,
                             "has a key other than dtype, shape and data_offsets");
    if (m->seen[f])
        return refuse_tensor(j->path, m->entry->name, "has a key twice");
    m->seen[f] = true;
    return fields[f].read(j, m->entry);
}

static bool read_tensor(json_cursor *j, safetensors_header *h, const char *name)
{
    if (h->count == h->capacity) {
        void *grown = grow(h->entries, h->count, &h->capacity, sizeof *h->entries);
        if (grown == NULL)
            return false;
        h->entries = grown;
    }
    tensor_members m = {.entry = &h->entries[h->count]};
    *m.entry = (safetensors_entry){.name = name};
    if (!json_object(j, read_field, &m))
        return false;
    if (!m.seen[0] || !m.seen[1] || !m.seen[2])
        return refuse_tensor(j->path, name, "lacks dtype, shape or data_offsets");
    h->count++;
    return true;
}

static bool read_pair(json_cursor *j, const char *key, void *context)
{
    safetensors_header *h = context;
    if (h->metadata_count == h->metadata_capacity) {
        void *grown =
            grow(h->metadata, h->metadata_count, &h->metadata_capacity, sizeof *h->metadata);
        if (grown == NULL)
            return false;
        h->metadata = grown;
    }
    const char *value = json_string(j);
    if (value == NULL)
        return false;
    h->metadata[h->metadata_count++] = (safetensors_pair){.key = key, .value = value};
    return true;
}

static bool read_member(json_cursor *j, const char *key, void *context)
{
    safetensors_header *h = context;
    if (strcmp(key, SAFETENSORS_METADATA) != 0)
        return read_tensor(j, h, key);
    if (h->has_metadata)
        return json_refuse(j, "a second " SAFETENSORS_METADATA);
    h->has_metadata = true;
    return json_object(j, read_pair, h);
}

static bool read_header(json_cursor *j, safetensors_header *h)
{
    if (j->next == j->end || *j->next != '{') /* the format: not even white space before it */
        return json_refuse(j, "no '{'");
    if (!json_object(j, read_member, h))
        return false;
    json_skip_space(j);
    return j->next == j->end || json_refuse(j, "something after the last '}'");
}

/* ---- consistency -------------------------------------------------------------------------------
 */

static int compare_name(const void *a, const void *b, void *entries)
{
    const safetensors_entry *e = entries;
    return strcmp(e[*(const int64_t *)a].name, e[*(const int64_t *)b].name);
}

static int compare_place(const void *a, const void *b, void *entries)
{
    const safetensors_entry *x = (safetensors_entry *)entries + *(const int64_t *)a;
    const safetensors_entry *y = (safetensors_entry *)entries + *(const int64_t *)b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end == y->end ? 0 : x->end < y->end ? -1 : 1;
}

static int compare_key(const void *a, const void *b)
{
    return strcmp(((const safetensors_pair *)a)->key, ((const safetensors_pair *)b)->key);
}

static bool check_names(const char *path, safetensors_header *h)
{
    system_sort(h->by_name, (size_t)h->count, sizeof *h->by_name, compare_name, h->entries);
    for (int64_t i = 1; i < h->count; i++) {
        const char *name = h->entries[h->by_name[i]].name;
        if (strcmp(name, h->entries[h->by_name[i - 1]].name) == 0)
            return refuse_tensor(path, name, "occurs twice");
    }
    if (h->metadata_count > 0)
        qsort(h->metadata, (size_t)h->metadata_count, sizeof *h->metadata, compare_key);
    for (int64_t i = 1; i < h->metadata_count; i++)
        if (strcmp(h->metadata[i].key, h->metadata[i - 1].key) == 0) {
            file_error(ITO_ERR_FORMAT, path, "metadata: key %.100s occurs twice",
                       h->metadata[i].key);
            return false;
        }
    return true;
}

static bool check_entry(const char *path, const safetensors_entry *e, int64_t buffer_size)
{
    int64_t bytes = stored_bytes(e->dtype, shape_numel(e->shape));
    if (e->begin > e->end || e->end > buffer_size) {
        file_error(ITO_ERR_FORMAT, path,
                   "tensor %.100s: bytes %" PRId64 " to %" PRId64 " are not within the %" PRId64
                   " that follow the header",
                   e->name, e->begin, e->end, buffer_size);
        return false;
    }
    if (bytes != e->end - e->begin) {
        file_error(ITO_ERR_FORMAT, path,
                   "tensor %.100s: has %" PRId64 " bytes, which is not what shape %s of %s takes",
                   e->name, e->end - e->begin, shape_str(e->shape), e->dtype->name);
        return false;
    }
    return true;
}

/* Tensors in the order of their places: each begins where the one before it ends. */
static bool check_places(const char *path, const safetensors_header *h, const int64_t *order,
                         int64_t buffer_size)
{
    int64_t filled = 0;
    for (int64_t i = 0; i < h->count; i++) {
        const safetensors_entry *e = &h->entries[order[i]];
        if (e->begin != filled) {
            file_error(ITO_ERR_FORMAT, path,
                       "tensor %.100s: begins at byte %" PRId64 ", %s at byte %" PRId64, e->name,
                       e->begin, e->begin < filled ? "within one that ends" : "after a hole",
                       filled);
            return false;
        }
        filled = e->end;
    }
    if (filled == buffer_size)
        return true;
    file_error(ITO_ERR_FORMAT, path, "its last %" PRId64 " bytes belong to no tensor",
               buffer_size - filled);
    return false;
}

static bool check_checksums(const char *path, safetensors_header *h)
{
    const size_t prefix = strlen(SAFETENSORS_CHECKSUM);
    for (int64_t i = 0; i < h->metadata_count; i++) {
        const char *key = h->metadata[i].key, *value = h->metadata[i].value;
        if (strncmp(key, SAFETENSORS_CHECKSUM, prefix) != 0)
            continue;
        int64_t index = safetensors_header_find(h, key + prefix);
        if (index < 0) {
            file_error(
                ITO_ERR_FORMAT, path,
                "metadata: a checksum for tensor %.100s, which the file does not hold: it is "
                "damaged, or " SAFETENSORS_STALE,
                key + prefix);
            return false;
        }
        if (strspn(value, "0123456789abcdef") != 8 || value[8] != '\0')
            return refuse_tensor(path, key + prefix,
                                 "its checksum is not eight hexadecimal digits");
        h->entries[index].checksum = value;
    }
    return true;
}

static bool check_header(const char *path, safetensors_header *h, int64_t buffer_size)
{
    for (int64_t i = 0; i < h->count; i++)
        if (!check_entry(path, &h->entries[i], buffer_size))
            return false;
    h->by_name = mem_alloc((size_t)h->count * sizeof *h->by_name);
    int64_t *order = h->by_name == NULL ? NULL : mem_alloc((size_t)h->count * sizeof *order);
    if (order == NULL)
        return false;
    for (int64_t i = 0; i < h->count; i++)
        order[i] = h->by_name[i] = i;
    system_sort(order, (size_t)h->count, sizeof *order, compare_place, h->entries);
    bool good = check_names(path, h) && check_places(path, h, order, buffer_size) &&
                check_checksums(path, h);
    mem_free(order);
    return good;
}

ito_status safetensors_header_parse(safetensors_header *h, const char *path, char *text,
                                    int64_t size, int64_t buffer_size)
{
    *h = (safetensors_header){0};
    h->text = text;
    json_cursor j = {
        .path = path, .part = "header", .start = text, .next = text, .end = text + size};
    if (read_header(&j, h) && check_header(path, h, buffer_size))
        return ITO_OK;
    safetensors_header_free(h);
    return ito_error_code();
}

void safetensors_header_free(safetensors_header *h)
{
    mem_free(h->text);
    mem_free(h->entries);
    mem_free(h->metadata);
    mem_free(h->by_name);
    *h = (safetensors_header){0};
}

int64_t safetensors_header_find(const safetensors_header *h, const char *name)
{
    int64_t low = 0, high = h->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(name, h->entries[h->by_name[middle]].name);
        if (order == 0)
            return h->by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

const char *safetensors_header_metadata(const safetensors_header *h, const char *key)
{
    int64_t low = 0, high = h->metadata_count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(key, h->metadata[middle].key);
        if (order == 0)
            return h->metadata[middle].value;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
