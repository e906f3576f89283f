/* Weights in several files, by the index that lies beside them:
 *     {"metadata": {"total_size": 123}, "weight_map": {"conv_in.weight": "a-00001-of-00002..."}}
 * Invariant: every tensor is in the file that the index says, and each file holds no other. */
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/json_cursor.h"
#include "tensor/io/weights_kinds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_INDEX = 1 << 24, /* bytes; a tensor takes fifty */
    MOST_SHARDS = 1000,   /* so that looking for one's name takes seconds at most in all */
    DEEPEST = 16          /* objects and lists of the metadata within one another */
};

typedef struct mapped_tensor {
    const char *name;
    int64_t shard, in_shard; /* which, and its index there */
} mapped_tensor;

typedef struct shards {
    char *text;             /* of the index; names lie in it */
    mapped_tensor *tensors; /* [n] in the order of the index */
    const char **names;     /* [n_files] */
    ito_weights **files;    /* [n_files] */
    int64_t n, n_files, capacity;
} shards;

static void close_shards(void *state)
{
    shards *s = state;
    for (int64_t i = 0; s->files != NULL && i < s->n_files; i++)
        ito_weights_close(s->files[i]);
    mem_free(s->text);
    mem_free(s->tensors);
    free(s->names);
    free(s->files);
    free(s);
}

/* ---- the index ---- */

/* The file of that name in the list, where it is put if it is new; -1 with an error. */
static int64_t find_file(shards *s, const char *path, const char *name)
{
    if (name[0] == '\0' || strchr(name, '/') != NULL || strcmp(name, "..") == 0 ||
        strcmp(name, ".") == 0) {
        file_error(ITO_ERR_FORMAT, path,
                   "names the file \"%.100s\", which would not lie beside the index", name);
        return -1;
    }
    for (int64_t i = s->n_files - 1; i >= 0; i--) /* the newest is the likeliest */
        if (strcmp(s->names[i], name) == 0)
            return i;
    if (s->n_files == MOST_SHARDS) {
        file_error(ITO_ERR_FORMAT, path, "names more than %d files", MOST_SHARDS);
        return -1;
    }
    s->names[s->n_files] = name;
    return s->n_files++;
}

static bool read_mapping(json_cursor *j, const char *name, void *context)
{
    shards *s = context;
    const char *file = json_string(j);
    if (file == NULL)
        return false;
    if (s->n == s->capacity) {
        int64_t larger = s->capacity > 0 ? 2 * s->capacity : 64;
        mapped_tensor *grown = mem_alloc((size_t)larger * sizeof *grown);
        if (grown == NULL)
            return false;
        if (s->n > 0)
            memcpy(grown, s->tensors, (size_t)s->n * sizeof *grown);
        mem_free(s->tensors);
        s->tensors = grown;
        s->capacity = larger;
    }
    int64_t shard = find_file(s, j->path, file);
    s->tensors[s->n++] = (mapped_tensor){name, shard, -1};
    return shard >= 0;
}

static bool read_member(json_cursor *j, const char *key, void *context)
{
    shards *s = context;
    if (strcmp(key, "weight_map") != 0)
        return json_skip(j, DEEPEST);
    if (s->tensors != NULL)
        return json_refuse(j, "a second weight_map");
    return json_object(j, read_mapping, s);
}

static ito_status read_index(shards *s, const char *path)
{
    void *text;
    int64_t size;
    ito_status status = file_read_all(path, MOST_INDEX, &text, &size);
    if (status != ITO_OK)
        return status;
    s->text = text;
    json_cursor j = {.path = path, .part = "index", .start = text, .next = text};
    j.end = j.start + size;
    if (!json_object(&j, read_member, s))
        return ito_error_code();
    json_skip_space(&j);
    if (j.next != j.end && !json_refuse(&j, "something after the last '}'"))
        return ITO_ERR_FORMAT;
    if (s->n == 0)
        return file_error(ITO_ERR_FORMAT, path,
                          "has no \"weight_map\" that names tensors and their files");
    return ITO_OK;
}

/* ---- the files ---- */

/* Record why the file of that name cannot be had, in the name of the index. */
static ito_status missing(const char *index, const char *path, const char *name)
{
    ito_status code = ito_error_code();
    if (code != ITO_ERR_IO)
        return code;
    char fault[ERROR_BYTES];
    snprintf(fault, sizeof fault, "%s", file_error_fault(path));
    ito_error_clear(); /* the first error would stay */
    return file_error(code, index, "the file %.100s that it names: %s", name, fault);
}

static ito_status open_file(shards *s, const char *index, int64_t i)
{
    const char *slash = strrchr(index, '/');
    size_t before = slash == NULL ? 0 : (size_t)(slash - index) + 1, length = strlen(s->names[i]);
    char *path = struct_alloc(before + length + 1);
    if (path == NULL)
        return ITO_ERR_MEMORY;
    memcpy(path, index, before);
    memcpy(path + before, s->names[i], length + 1);
    ito_status status = ITO_OK;
    if (length > 5 && strcmp(path + before + length - 5, ".json") == 0)
        status = file_error(ITO_ERR_FORMAT, index, "names the file %.100s, which is an index again",
                            s->names[i]);
    else if ((s->files[i] = ito_weights_open(path)) == NULL)
        status = missing(index, path, s->names[i]);
    free(path);
    return status;
}

/* A tensor has to be in its file. */
static ito_status find_tensor(const shards *s, const char *index, mapped_tensor *t)
{
    t->in_shard = ito_weights_find(s->files[t->shard], t->name);
    if (t->in_shard >= 0)
        return ITO_OK;
    for (int64_t i = 0; i < s->n_files; i++)
        if (ito_weights_find(s->files[i], t->name) >= 0)
            return file_error(ITO_ERR_FORMAT, index,
                              "tensor %.100s: is in %.60s, not in %.60s as the index says", t->name,
                              s->names[i], s->names[t->shard]);
    return file_error(ITO_ERR_FORMAT, index, "tensor %.100s: is not in %.60s, as the index says",
                      t->name, s->names[t->shard]);
}

/* Tensors that the index does not have would be lost without a word. */
static ito_status find_stray(const ito_weights *w, const shards *s)
{
    for (int64_t i = 0; i < s->n_files; i++)
        for (int64_t k = 0; k < ito_weights_count(s->files[i]); k++) {
            const char *name = ito_weights_name(s->files[i], k);
            int64_t at = ito_weights_find(w, name);
            if (at < 0 || s->tensors[at].shard != i)
                return file_error(ITO_ERR_FORMAT, w->path,
                                  "tensor %.100s: is in %.60s, which the index does not say", name,
                                  s->names[i]);
        }
    return ITO_OK;
}

/* ---- the kind ---- */

static ito_tensor *read_shard(const ito_weights *w, int64_t i)
{
    const shards *s = w->state;
    return ito_weights_read(s->files[s->tensors[i].shard], w->entries[i].name);
}

static ito_status open_files(ito_weights *w, shards *s)
{
    ito_status status = ITO_OK;
    for (int64_t i = 0; i < s->n_files && status == ITO_OK; i++)
        status = open_file(s, w->path, i);
    if (status == ITO_OK)
        status = weights_allocate(w, s->n);
    for (int64_t i = 0; i < s->n && status == ITO_OK; i++) {
        mapped_tensor *t = &s->tensors[i];
        status = find_tensor(s, w->path, t);
        if (status == ITO_OK)
            w->entries[i] = s->files[t->shard]->entries[t->in_shard];
    }
    if (status == ITO_OK)
        status = weights_sort(w);
    return status == ITO_OK ? find_stray(w, s) : status;
}

ito_status weights_open_shards(ito_weights *w)
{
    static const weights_kind kind = {read_shard, NULL, close_shards};
    shards *s = struct_alloc(sizeof *s);
    if (s == NULL)
        return ITO_ERR_MEMORY;
    w->kind = &kind;
    w->state = s;
    s->names = struct_alloc(MOST_SHARDS * sizeof *s->names);
    s->files = s->names == NULL ? NULL : struct_alloc(MOST_SHARDS * sizeof *s->files);
    if (s->files == NULL)
        return ITO_ERR_MEMORY;
    ito_status status = read_index(s, w->path);
    if (status == ITO_OK)
        status = open_files(w, s);
    if (status == ITO_OK)
        snprintf(w->kind_name, sizeof w->kind_name, "%.16s in %d file%s", s->files[0]->kind_name,
                 (int)s->n_files, s->n_files > 1 ? "s" : "");
    return status;
}
