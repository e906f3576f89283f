/* NumPy's .npz files: zip archives whose members are .npy files, stored or deflated.
 * Invariant: the checksum of a member is compared before its tensor is given. */
#include "tensor/io/npz.h"
#include "tensor/internal.h"
#include "tensor/io/npy_header.h"
#include "tensor/io/zip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ito_npz {
    zip_archive zip; /* of its members the arrays alone, without .npy in their names */
    char path[];
};

/* Members that are no .npy file are passed over. */
static void keep_arrays(zip_archive *z)
{
    int64_t arrays = 0;
    for (int64_t i = 0; i < z->count; i++) {
        zip_member m = z->members[i];
        size_t length = strlen(m.name);
        if (length < 4 || strcmp(m.name + length - 4, ".npy") != 0)
            continue;
        m.name[length - 4] = '\0';
        z->members[arrays++] = m;
    }
    z->count = arrays;
}

ito_npz *ito_npz_open(const char *path)
{
    size_t length = path != NULL ? strlen(path) + 1 : 0;
    ito_npz *f = struct_alloc(sizeof *f + length);
    if (f == NULL)
        return NULL;
    if (path != NULL)
        memcpy(f->path, path, length);
    if (zip_open(&f->zip, path != NULL ? f->path : NULL, "an npz archive") != ITO_OK) {
        free(f);
        return NULL;
    }
    keep_arrays(&f->zip);
    return f;
}

void ito_npz_close(ito_npz *f)
{
    if (f == NULL)
        return;
    zip_close(&f->zip);
    free(f);
}

int64_t ito_npz_count(const ito_npz *f)
{
    return f == NULL ? 0 : f->zip.count;
}

const char *ito_npz_name(const ito_npz *f, int64_t i)
{
    if (f == NULL)
        return error_null(ITO_ERR_ARGUMENT, "npz: there is no file");
    if (i >= 0 && i < f->zip.count)
        return f->zip.members[i].name;
    file_error(ITO_ERR_RANGE, f->path, "array %" PRId64 " of %" PRId64, i, f->zip.count);
    return NULL;
}

int64_t ito_npz_find(const ito_npz *f, const char *name)
{
    for (int64_t i = 0; f != NULL && name != NULL && i < f->zip.count; i++)
        if (strcmp(f->zip.members[i].name, name) == 0)
            return i;
    return -1;
}

/* ---- an array ----------------------------------------------------------------------------------
 */

typedef struct member_source {
    npy_source base;
    zip_reader zip;
} member_source;

static ito_status read_member(npy_source *s, void *out, int64_t n)
{
    return zip_read(&((member_source *)s)->zip, out, n);
}

static ito_tensor *read_array(const ito_npz *f, const zip_member *m, const char *path)
{
    member_source s = {.base = {.path = path, .left = m->size, .read = read_member}};
    if (zip_read_begin(&s.zip, &f->zip, m, path) != ITO_OK)
        return NULL;
    ito_tensor *t = npy_read(&s.base);
    if (t != NULL && zip_read_check(&s.zip) != ITO_OK) {
        ito_release(tensor_disown(t));
        t = NULL;
    }
    zip_read_end(&s.zip);
    return t;
}

/* "PATH#NAME", for messages, to be freed. */
static char *member_path(const ito_npz *f, const char *name)
{
    size_t room = strlen(f->path) + strlen(name) + 2;
    char *path = struct_alloc(room);
    if (path != NULL)
        snprintf(path, room, "%s#%s", f->path, name);
    return path;
}

ito_status npz_describe(const ito_npz *f, int64_t i, npy_header *h)
{
    const zip_member *m = &f->zip.members[i];
    char *path = member_path(f, m->name);
    if (path == NULL)
        return ITO_ERR_MEMORY;
    member_source s = {.base = {.path = path, .left = m->size, .read = read_member}};
    ito_status status = zip_read_begin(&s.zip, &f->zip, m, path);
    if (status == ITO_OK) {
        status = npy_read_header(&s.base, h);
        zip_read_end(&s.zip);
    }
    free(path);
    return status;
}

ito_tensor *ito_npz_read(const ito_npz *f, const char *name)
{
    if (f == NULL || name == NULL)
        return error_null(ITO_ERR_ARGUMENT, "npz: there is no %s", f == NULL ? "file" : "name");
    int64_t i = ito_npz_find(f, name);
    if (i < 0) {
        file_error(ITO_ERR_ARGUMENT, f->path, "holds no array %.100s", name);
        return NULL;
    }
    char *path = member_path(f, name);
    if (path == NULL)
        return NULL;
    ito_tensor *t = read_array(f, &f->zip.members[i], path);
    free(path);
    return t;
}
