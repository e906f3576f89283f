/* Features of real images, in files. */
#include "examples/ddpm/feature_cache.h"

#include "examples/common/messages.h"
#include "examples/common/paths.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const char tensor_name[] = "features", key_name[] = "ito_features";

/* FNV-1a. */
static uint64_t hash_of(const void *data, size_t n)
{
    const unsigned char *bytes = data;
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3;
    return hash;
}

/* What the features depend on: every byte of the images and the network, and how it is computed.
 * False with an error recorded. */
static bool make_key(const feature_network *f, ito_tensor *images, char key[200])
{
    ito_module *m = f->inception != NULL ? &f->inception->base : &f->classifier->base;
    ito_tensor *rows = ito_contiguous(images);
    uint32_t weights;
    if (rows == NULL || ito_module_checksum(m, &weights) != ITO_OK)
        return false;
    const unsigned char *bytes = ito_const_data(rows);
    size_t n = (size_t)ito_numel(rows) * ito_dtype_size(ito_dtype_of(rows));
    snprintf(key, 200,
             "%s %08" PRIx32 " of %" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 " %s %016" PRIx64
             " %08lx by %s %s",
             features_name(f), weights, ito_size(rows, 0), ito_size(rows, 1), ito_size(rows, 2),
             ito_size(rows, 3), ito_dtype_name(ito_dtype_of(rows)), hash_of(bytes, n),
             (unsigned long)crc32_z(0, bytes, n), ito_version(), ito_isa());
    return true;
}

/* The file for a key, in a directory that is there; NULL with an error recorded. */
static char *path_of(const char *key)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *dir = NULL, name[64];
    if (cache != NULL && *cache == '/')
        dir = path_join(cache, "ito");
    else if (home != NULL)
        dir = path_join(home, ".cache/ito");
    else
        ito_error_set(ITO_ERR_IO, "there is no HOME");
    snprintf(name, sizeof name, "features-%016" PRIx64 ".safetensors", hash_of(key, strlen(key)));
    char *path = dir != NULL && path_make_directory(dir, true) ? path_join(dir, name) : NULL;
    free(dir);
    return path;
}

/* What the file has; NULL if that is not what is wanted, or damaged. */
static ito_tensor *read_features(const char *path, const char *key, int64_t n, int64_t width)
{
    if (!path_exists(path))
        return NULL;
    ito_safetensors *file = ito_safetensors_open(path);
    const char *its = file != NULL ? ito_safetensors_metadata(file, key_name) : NULL;
    ito_tensor *x =
        its != NULL && strcmp(its, key) == 0 ? ito_safetensors_read(file, tensor_name) : NULL;
    ito_safetensors_close(file);
    bool fits = x != NULL && ito_dtype_of(x) == ITO_F32 && ito_ndim(x) == 2 &&
                ito_size(x, 0) == n && ito_size(x, 1) == width;
    ito_error_clear();
    return fits ? x : NULL;
}

static void keep(const char *path, const char *key, ito_tensor *features)
{
    const char *names[] = {tensor_name}, *keys[] = {key_name}, *values[] = {key};
    if (ito_safetensors_save(path, 1, names, &features, 1, keys, values) == ITO_OK)
        return;
    note("the features are not kept for the next time: %s\n", ito_error_message());
    ito_error_clear();
}

ito_tensor *feature_cache_of(feature_network *f, ito_tensor *images, const char *whose)
{
    char key[200];
    if (!make_key(f, images, key))
        return NULL;
    char *path = path_of(key);
    if (path == NULL) {
        note("no features are kept: %s\n", ito_error_message());
        ito_error_clear();
        return features_of(f, images, NULL);
    }
    ito_tensor *features = read_features(path, key, ito_size(images, 0), features_width(f));
    if (features != NULL) {
        note("features of %s: those kept in %s\n", whose, path);
    } else {
        features = features_of(f, images, NULL);
        if (features != NULL)
            keep(path, key, features);
    }
    free(path);
    return features;
}
