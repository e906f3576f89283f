/* The kind of a file. */
#include "examples/common/file_kinds.h"

#include "examples/common/paths.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { HEAD = 9 };

static const struct {
    file_kind kind;
    size_t at, length;
    const char *bytes, *end; /* of the file, and of its name */
} signs[] = {
    {FILE_IMAGE, 0, 4, "\x89PNG", ".png"},
    {FILE_IMAGE, 0, 3, "\xff\xd8\xff", ".jpg"},
    {FILE_IMAGE, 0, 3, "\xff\xd8\xff", ".jpeg"},
    {FILE_IMAGE, 0, 2, "BM", ".bmp"},
    {FILE_IMAGE, 0, 4, "RIFF", ".webp"},
    {FILE_IMAGE, 0, 4, "GIF8", ".gif"},
    {FILE_IMAGE, 0, 4, "II*\0", ".tif"},
    {FILE_IMAGE, 0, 4, "MM\0*", ".tiff"},
    {FILE_NPY, 0, 6, "\x93NUMPY", ".npy"},
    {FILE_NPZ, 0, 4, "PK\3\4", ".npz"},
    {FILE_COMPRESSED, 0, 3, "Ito", ".ito"},
    {FILE_IDX, 0, 3, "\0\0\x08", "-ubyte"},
    {FILE_IDX, 0, 2, "\x1f\x8b", ".gz"},
    {FILE_SAFETENSORS, 8, 1, "{", ".safetensors"}, /* after the length of its header */
    {FILE_ONNX, 0, 1, "\x08", ".onnx"},            /* its version, the first field */
};

enum { SIGNS = sizeof signs / sizeof signs[0] };

/* The first bytes of a file, and how many there are; -1 if it cannot be read. */
static int64_t read_head(const char *path, char head[HEAD])
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return -1;
    size_t n = fread(head, 1, HEAD, f);
    bool good = ferror(f) == 0;
    fclose(f);
    return good ? (int64_t)n : -1;
}

static bool has_sign(int i, const char head[HEAD], int64_t n)
{
    return n >= (int64_t)(signs[i].at + signs[i].length) &&
           memcmp(head + signs[i].at, signs[i].bytes, signs[i].length) == 0;
}

/* PyTorch's files are zip archives or, the oldest, pickles; their names say what is in them. */
static bool is_other_weights(const char *path, const char head[HEAD], int64_t n)
{
    bool archive = n >= 4 && memcmp(head, "PK\3\4", 4) == 0;
    return path_ends_with(path, ".index.json") || path_ends_with(path, ".pt") ||
           path_ends_with(path, ".pth") || path_ends_with(path, ".ckpt") ||
           (archive && path_ends_with(path, ".bin"));
}

file_kind file_kind_of(const char *path)
{
    char head[HEAD];
    int64_t n = read_head(path, head);
    if (is_other_weights(path, head, n))
        return FILE_WEIGHTS;
    for (int i = 0; i < SIGNS; i++)
        if (has_sign(i, head, n))
            return signs[i].kind;
    for (int i = 0; i < SIGNS; i++)
        if (path_ends_with(path, signs[i].end))
            return signs[i].kind;
    return n < HEAD ? FILE_SAFETENSORS : FILE_UNKNOWN;
}

bool file_may_become(const char *path, file_kind kind)
{
    char head[HEAD];
    int64_t n = read_head(path, head);
    bool same = n <= 0;
    for (int i = 0; i < SIGNS; i++)
        same = same || (signs[i].kind == kind && has_sign(i, head, n));
    return same;
}

const char *file_kind_name(file_kind kind)
{
    static const char *const names[FILE_KINDS] = {"of no kind that is known here",
                                                  "a safetensors file",
                                                  "a .npy file",
                                                  "a .npz archive",
                                                  "an IDX file",
                                                  "an image",
                                                  "a file of ito-ddpm compress",
                                                  "a file of weights",
                                                  "an ONNX file"};
    return names[kind];
}

bool file_is_weights(const char *path)
{
    file_kind kind = file_kind_of(path);
    if (kind == FILE_SAFETENSORS || kind == FILE_WEIGHTS)
        return true;
    ito_error_set(ITO_ERR_FORMAT, "%s: it is %s, not a file of weights", path,
                  file_kind_name(kind));
    return false;
}
