/* The images that a training run learns from, or those kept back from it.
 * Invariant: what is returned has at least one image, and pixels that are u8 or f32 in [-1, 1]. */
#include "examples/ddpm/data.h"

#include "autograd/ops.h"
#include "tensor/io/cifar.h"
#include "tensor/io/idx.h"
#include "tensor/io/image.h"
#include "tensor/io/npy.h"

#include <dirent.h>
#include <float.h>
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

void data_refuse_invalid(const command_line *c, const char *spec)
{
    if (spec != NULL && !data_spec_valid(spec))
        options_refuse(c,
                       "--data: \"%s\" is none of fashion-mnist, mnist:DIR, cifar10:DIR, "
                       "folder:DIR, npy:FILE",
                       spec);
}

bool data_is_folder(const char *spec)
{
    return place_of(spec, "folder") != NULL;
}

bool data_flips(const char *spec)
{
    return place_of(spec, "mnist") == NULL;
}

bool data_has_classes(const char *spec)
{
    return place_of(spec, "npy") == NULL;
}

/* "train" or "t10k", as files of a set are called. */
static const char *set_name(bool test)
{
    return test ? "t10k" : "train";
}

/* DIR/SET-PART as the data set's own site and others name it, or NULL. */
static char *find_idx(const char *dir, const char *set, const char *part, const char *type)
{
    for (int i = 0; i < 4; i++) {
        char *path;
        if (asprintf(&path, "%s/%s-%s%c%s-ubyte%s", dir, set, part, i < 2 ? '-' : '.', type,
                     i % 2 == 0 ? "" : ".gz") < 0)
            return NULL;
        if (access(path, F_OK) == 0)
            return path;
        free(path);
    }
    return NULL;
}

char *data_find_idx(const char *dir)
{
    return find_idx(dir, set_name(false), "images", "idx3");
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

static ito_tensor *load_idx_dir(const char *dir, bool test)
{
    char *path = find_idx(dir, set_name(test), "images", "idx3");
    if (path == NULL && strcmp(dir, FASHION_MNIST) == 0)
        ito_error_set(ITO_ERR_IO,
                      "fashion-mnist: it is not in %s; install the Debian package "
                      "dataset-fashion-mnist, or name the directory that has its files, mnist:DIR",
                      dir);
    else if (path == NULL)
        ito_error_set(ITO_ERR_IO, "%s/%s-images-idx3-ubyte: there is no such file, nor .gz", dir,
                      set_name(test));
    ito_tensor *images = path != NULL ? data_load_idx(path) : NULL;
    free(path);
    return images;
}

/* Whether all of f32 x lies in [-limit, limit]; if not, an error names the first element that does
 * not. */
static bool in_bounds(ito_tensor *x, float limit, const char *path)
{
    const float *values = ito_const_data(x);
    int64_t n = ito_numel(x);
    for (int64_t i = 0; i < n; i++) {
        if (!(fabsf(values[i]) <= limit)) {
            ito_error_set(ITO_ERR_RANGE, "%s: element %" PRId64 " is %g; f32 images %s", path, i,
                          (double)values[i],
                          limit == 1.0f ? "lie in [-1, 1]" : "have finite numbers");
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

ito_tensor *data_scaled(ito_tensor *images)
{
    if (images == NULL || ito_dtype_of(images) != ITO_U8)
        return images;
    return ito_add_scalar(ito_mul_scalar(ito_cast(images, ITO_F32), 1.0 / 127.5), -1.0);
}

/* f32 up to the limit. */
static ito_tensor *load_npy(const char *path, float limit)
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
    if (ito_numel(x) == 0) {
        ito_error_set(ITO_ERR_SHAPE, "%s: it holds no images", path);
        return NULL;
    }
    return dtype == ITO_F32 && !in_bounds(x, limit, path) ? NULL : channels_first(x);
}

ito_tensor *data_load_npy(const char *path)
{
    return load_npy(path, 1.0f);
}

ito_tensor *data_load_npy_unbounded(const char *path)
{
    return load_npy(path, FLT_MAX);
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

/* ---- classes ---- */

static const char *const fashion_names[] = {"t-shirt", "trouser", "pullover", "dress", "coat",
                                            "sandal",  "shirt",   "sneaker",  "bag",   "boot"};
static const char *const digit_names[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
static const char *const cifar_names[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                          "dog",      "frog",       "horse", "ship", "truck"};

/* What a kind of data has besides images: filled in where it is asked for. */
typedef struct classes {
    ito_tensor *labels;
    cJSON *names;
} classes;

static bool name_classes(classes *c, const char *const *names, int64_t n)
{
    c->names = cJSON_CreateStringArray(names, (int)n);
    if (c->names == NULL)
        ito_error_set(ITO_ERR_MEMORY, "data: no memory for the names of its classes");
    return c->names != NULL;
}

/* The labels beside the images of a directory of IDX files. */
static bool load_idx_labels(const char *dir, bool test, const ito_tensor *images,
                            const char *const *names, classes *c)
{
    char *path = find_idx(dir, set_name(test), "labels", "idx1");
    if (path == NULL) {
        ito_error_set(ITO_ERR_IO, "%s/%s-labels-idx1-ubyte: there is no such file, nor .gz", dir,
                      set_name(test));
        return false;
    }
    c->labels = ito_idx_load(path);
    bool good = c->labels != NULL;
    if (good && (ito_ndim(c->labels) != 1 || ito_size(c->labels, 0) != ito_size(images, 0))) {
        ito_error_set(ITO_ERR_FORMAT, "%s: its labels do not fit the number of images, %" PRId64,
                      path, ito_size(images, 0));
        good = false;
    }
    good = good && ito_dtype_of(c->labels) == ITO_U8;
    for (int64_t i = 0; good && i < ito_numel(c->labels); i++)
        if (((const uint8_t *)ito_const_data(c->labels))[i] > 9) {
            ito_error_set(ITO_ERR_RANGE, "%s: label %" PRId64 " is %d; there are 0 to 9", path, i,
                          ((const uint8_t *)ito_const_data(c->labels))[i]);
            good = false;
        }
    free(path);
    return good && name_classes(c, names, 10);
}

static ito_tensor *load_folder(const char *dir, data_options o, classes *c)
{
    ito_tensor *images, *labels;
    char **names;
    int64_t n;
    if (ito_image_folder_load(dir, o.size, o.grey ? 1 : 3, &images, &labels, &names, &n) != ITO_OK)
        return NULL;
    bool good = c == NULL || name_classes(c, (const char *const *)names, n);
    if (c != NULL)
        c->labels = labels;
    ito_image_class_names_free(names);
    return good ? images : NULL;
}

static ito_tensor *load_cifar(const char *dir, bool test, classes *c)
{
    ito_tensor *images, *labels;
    if (ito_cifar10_load(dir, !test, &images, &labels) != ITO_OK)
        return NULL;
    if (c != NULL)
        c->labels = labels;
    return c == NULL || name_classes(c, cifar_names, 10) ? images : NULL;
}

/* ---- any kind ---- */

static ito_tensor *load_any(data_options o, classes *c)
{
    const char *place, *const *names = digit_names;
    if ((place = place_of(o.spec, "cifar10")) != NULL)
        return load_cifar(place, o.test, c);
    if (o.test && place_of(o.spec, "mnist") == NULL && strcmp(o.spec, "fashion-mnist") != 0) {
        ito_error_set(ITO_ERR_ARGUMENT,
                      "--split: %s has no test set; fashion-mnist, mnist:DIR and cifar10:DIR have",
                      o.spec);
        return NULL;
    }
    if ((place = place_of(o.spec, "folder")) != NULL)
        return load_folder(place, o, c);
    if ((place = place_of(o.spec, "npy")) != NULL) {
        if (c == NULL)
            return data_load_npy(place);
        ito_error_set(ITO_ERR_ARGUMENT, "%s: a .npy file of images has no classes", place);
        return NULL;
    }
    if ((place = place_of(o.spec, "mnist")) == NULL) {
        place = FASHION_MNIST;
        names = fashion_names;
    }
    ito_tensor *images = load_idx_dir(place, o.test);
    return c == NULL || (images != NULL && load_idx_labels(place, o.test, images, names, c))
               ? images
               : NULL;
}

static ito_tensor *load_some(data_options o, classes *c)
{
    ito_tensor *images = load_any(o, c);
    if (images != NULL && ito_numel(images) == 0) {
        ito_error_set(ITO_ERR_SHAPE, "%s: it holds no images", o.spec);
        return NULL;
    }
    return images;
}

ito_tensor *data_load(data_options o)
{
    return load_some(o, NULL);
}

ito_tensor *data_load_classes(data_options o, ito_tensor **labels, cJSON **names)
{
    classes c = {NULL, NULL};
    ito_tensor *images = load_some(o, &c);
    if (images == NULL) {
        cJSON_Delete(c.names);
        return NULL;
    }
    *labels = c.labels;
    *names = c.names;
    return images;
}
