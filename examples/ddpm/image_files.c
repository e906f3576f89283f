/* Images as they are in files. */
#include "examples/ddpm/image_files.h"

#include "autograd/ops.h"
#include "examples/ddpm/data.h"
#include "examples/ddpm/run_directory.h"
#include "tensor/io/image.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* Whether the three channels of an image are the same, and one of them tells all. */
static bool is_grey(const ito_tensor *rgb)
{
    int64_t n = ito_numel(rgb) / 3;
    const uint8_t *p = ito_const_data(rgb);
    return memcmp(p, p + n, (size_t)n) == 0 && memcmp(p, p + 2 * n, (size_t)n) == 0;
}

/* [1, C, H, W]. */
static ito_tensor *load_one(const model_files *files, const char *path)
{
    ito_tensor *x = ito_contiguous(ito_image_load(path, 3));
    if (x == NULL)
        return NULL;
    if (files->settings.model.in_channels == 1) {
        if (!is_grey(x)) {
            ito_error_set(ITO_ERR_SHAPE,
                          "%s: the image has colours, and the network takes 1 channel", path);
            return NULL;
        }
        x = ito_narrow(x, 0, 0, 1);
    }
    x = ito_unsqueeze(x, 0);
    return x != NULL && model_fits(files, x, path) ? x : NULL;
}

static ito_tensor *load_npy(const model_files *files, const char *path)
{
    ito_tensor *x = data_load_npy(path);
    if (x == NULL || !model_fits(files, x, path))
        return NULL;
    if (ito_dtype_of(x) == ITO_U8)
        return x;
    ito_error_set(ITO_ERR_DTYPE, "%s: the images are %s; only bytes (uint8) come back exactly",
                  path, ito_dtype_name(ito_dtype_of(x)));
    return NULL;
}

static int is_png(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot != NULL && entry->d_name[0] != '.' && strcasecmp(dot, ".png") == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static ito_tensor *load_directory(const model_files *files, const char *path)
{
    struct dirent **entries;
    int n = scandir(path, &entries, is_png, by_bytes);
    if (n <= 0) {
        if (n == 0)
            free(entries);
        ito_error_set(ITO_ERR_IO, "%s: %s", path,
                      n == 0 ? "there is no .png file in it" : strerror(errno));
        return NULL;
    }
    ito_tensor **images = calloc((size_t)n, sizeof *images);
    bool good = images != NULL;
    if (!good)
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for its %d image%s", path, n, PLURAL(n));
    for (int i = 0; i < n; i++) {
        char *file = good ? path_join(path, entries[i]->d_name) : NULL;
        if (good)
            images[i] = file != NULL ? load_one(files, file) : NULL;
        good = good && images[i] != NULL;
        free(file);
        free(entries[i]);
    }
    ito_tensor *all = good ? ito_cat(images, n, 0) : NULL;
    free(images);
    free(entries);
    return all;
}

ito_tensor *image_files_load(const model_files *files, const char *path)
{
    struct stat info;
    size_t length = strlen(path);
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return load_directory(files, path);
    if (length > 4 && strcmp(path + length - 4, ".npy") == 0)
        return load_npy(files, path);
    return load_one(files, path);
}
