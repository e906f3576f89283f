/* The images that a training run learns from.
 * Invariant: what is returned has at least one image, and pixels that are u8 or f32 in [-1, 1]. */
#include "examples/ddpm/data.h"

#include "autograd/ops.h"
#include "tensor/io/cifar.h"
#include "tensor/io/idx.h"
#include "tensor/io/image.h"
#include "tensor/io/npy.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FASHION_MNIST "/usr/share/datasets/fashion-mnist"

/* What follows "kind:" in spec, or NULL if spec is not of this kind. */
static const char *place_of(const char *spec, const char *kind)
{
    size_t n = strlen(kind);
    return strncmp(spec, kind, n) == 0 && spec[n] == ':' ? spec + n + 1 : NULL;
}

bool data_spec_valid(const char *spec)
{
    static const char *const kinds[] = {"mnist", "cifar10", "folder", "npy"};
    if (strcmp(spec, "fashion-mnist") == 0)
        return true;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const char *place = place_of(spec, kinds[i]);
        if (place != NULL)
            return place[0] != '\0';
    }
    return false;
}

bool data_flips(const char *spec)
{
    return place_of(spec, "mnist") == NULL;
}

char *data_find_idx(const char *dir)
{
    static const char *const names[] = {"train-images-idx3-ubyte", "train-images-idx3-ubyte.gz",
                                        "train-images.idx3-ubyte", "train-images.idx3-ubyte.gz"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path;
        if (asprintf(&path, "%s/%s", dir, names[i]) < 0)
            return NULL;
        if (access(path, F_OK) == 0)
            return path;
        free(path);
    }
    return NULL;
}

ito_tensor *data_load_idx(const char *path)
{
    ito_tensor *images = ito_idx_load(path);
    if (images == NULL)
        return NULL;
    if (ito_ndim(images) != 3) {
        ito_error_set(ITO_ERR_FORMAT, "%s: it has %d axes; images have 3, [N, H, W]", path,
                      ito_ndim(images));
        return NULL;
    }
    return ito_unsqueeze(images, 1);
}

static ito_tensor *load_idx_dir(const char *dir)
{
    char *path = data_find_idx(dir);
    if (path == NULL) {
        ito_error_set(ITO_ERR_IO, "%s/train-images-idx3-ubyte: there is no such file, nor .gz",
                      dir);
        return NULL;
    }
    ito_tensor *images = data_load_idx(path);
    free(path);
    return images;
}

static ito_tensor *load_fashion_mnist(void)
{
    char *path = data_find_idx(FASHION_MNIST);
    if (path == NULL) {
        ito_error_set(ITO_ERR_IO,
                      "fashion-mnist: it is not in %s; install the Debian package "
                      "dataset-fashion-mnist, or name the directory that has its files, mnist:DIR",
                      FASHION_MNIST);
        return NULL;
    }
    ito_tensor *images = data_load_idx(path);
    free(path);
    return images;
}

/* Whether all of f32 x lies in [-1, 1]; if not, an error names the first element that does not. */
static bool in_bounds(ito_tensor *x, const char *path)
{
    const float *values = ito_const_data(x);
    int64_t n = ito_numel(x);
    for (int64_t i = 0; i < n; i++) {
        if (!(values[i] >= -1.0f && values[i] <= 1.0f)) {
            ito_error_set(ITO_ERR_RANGE, "%s: element %" PRId64 " is %g; f32 images lie in [-1, 1]",
                          path, i, (double)values[i]);
            return false;
        }
    }
    return true;
}

/* [N, C, H, W] of what may be [N, H, W, C]: C is the axis of at most 4, the first one in doubt. */
static ito_tensor *channels_first(ito_tensor *x)
{
    bool last = ito_size(x, 1) > 4 && ito_size(x, 3) <= 4;
    return ito_contiguous(last ? ito_permute(x, 0, 3, 1, 2) : x);
}

ito_tensor *data_load_npy_unbounded(const char *path)
{
    ito_tensor *x = ito_npy_load(path);
    if (x == NULL)
        return NULL;
    ito_dtype dtype = ito_dtype_of(x);
    if (dtype != ITO_U8 && dtype != ITO_F32) {
        ito_error_set(ITO_ERR_DTYPE, "%s: it holds %s; images are uint8 or float32", path,
                      ito_dtype_name(dtype));
        return NULL;
    }
    if (ito_ndim(x) == 3)
        x = ito_unsqueeze(x, 1);
    if (ito_ndim(x) != 4) {
        ito_error_set(ITO_ERR_SHAPE,
                      "%s: it has %d axes; images have 4, [N, C, H, W] or [N, H, W, C], or 3, "
                      "[N, H, W]",
                      path, ito_ndim(x));
        return NULL;
    }
    return channels_first(x);
}

ito_tensor *data_load_npy(const char *path)
{
    ito_tensor *x = data_load_npy_unbounded(path);
    return x != NULL && ito_dtype_of(x) == ITO_F32 && !in_bounds(x, path) ? NULL : x;
}

/* What a file, or a directory down to so many levels, leaves of room: below 0 if it is larger. */
static int64_t subtract_sizes(const char *path, int levels, int64_t room)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return room;
    if (!S_ISDIR(info.st_mode))
        return room - info.st_size;
    DIR *d = levels > 0 ? opendir(path) : NULL;
    if (d == NULL)
        return room;
    for (const struct dirent *e; room >= 0 && (e = readdir(d)) != NULL;) {
        char *inner;
        if (e->d_name[0] != '.' && asprintf(&inner, "%s/%s", path, e->d_name) >= 0) {
            room = subtract_sizes(inner, levels - 1, room);
            free(inner);
        }
    }
    closedir(d);
    return room;
}

bool data_is_large(const char *spec)
{
    const char *colon = strchr(spec, ':');
    const char *path = strcmp(spec, "fashion-mnist") == 0 ? FASHION_MNIST : colon + 1;
    return subtract_sizes(path, 2, 1 << 20) < 0;
}

static ito_tensor *load_any(data_options o)
{
    ito_tensor *images = NULL, *labels;
    const char *place;
    if (strcmp(o.spec, "fashion-mnist") == 0)
        return load_fashion_mnist();
    if ((place = place_of(o.spec, "mnist")) != NULL)
        return load_idx_dir(place);
    if ((place = place_of(o.spec, "npy")) != NULL)
        return data_load_npy(place);
    if ((place = place_of(o.spec, "cifar10")) != NULL)
        return ito_cifar10_load(place, true, &images, &labels) == ITO_OK ? images : NULL;
    place = place_of(o.spec, "folder");
    return ito_image_folder_load(place, o.size, o.grey ? 1 : 3, &images, &labels, NULL, NULL) ==
                   ITO_OK
               ? images
               : NULL;
}

ito_tensor *data_load(data_options o)
{
    ito_tensor *images = load_any(o);
    if (images != NULL && ito_numel(images) == 0) {
        ito_error_set(ITO_ERR_SHAPE, "%s: it holds no images", o.spec);
        return NULL;
    }
    return images;
}
