/* Labelled images in a directory of IDX files. */
#include "examples/common/idx_directory.h"

#include "examples/common/paths.h"

#include <inttypes.h>
#include <ito/autograd/ops.h>
#include <ito/tensor/io/idx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "train" or "t10k", the prefix of a set's file names. */
static const char *set_name(bool test)
{
    return test ? "t10k" : "train";
}

/* DIR/SET-PART, or NULL without an error. */
static char *find(const char *dir, bool test, const char *part, const char *type)
{
    for (int i = 0; i < 4; i++) {
        char *path;
        if (asprintf(&path, "%s/%s-%s%c%s-ubyte%s", dir, set_name(test), part, i < 2 ? '-' : '.',
                     type, i % 2 == 0 ? "" : ".gz") < 0)
            return NULL;
        if (path_exists(path))
            return path;
        free(path);
    }
    return NULL;
}

/* The same with an error recorded if there is none. */
static char *find_or_say(const char *dir, bool test, const char *part, const char *type)
{
    char *path = find(dir, test, part, type);
    if (path == NULL && strcmp(dir, FASHION_MNIST) == 0)
        ito_error_set(ITO_ERR_IO,
                      "fashion-mnist: it is not in %s; install the Debian package "
                      "dataset-fashion-mnist, or have --data name another place of its files",
                      dir);
    else if (path == NULL)
        ito_error_set(ITO_ERR_IO, "%s/%s-%s-%s-ubyte: there is no such file, nor .gz", dir,
                      set_name(test), part, type);
    return path;
}

char *idx_directory_find(const char *dir)
{
    return find(dir, false, "images", "idx3");
}

ito_tensor *idx_images_load(const char *path)
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

ito_tensor *idx_directory_images(const char *dir, bool test)
{
    char *path = find_or_say(dir, test, "images", "idx3");
    ito_tensor *images = path != NULL ? idx_images_load(path) : NULL;
    free(path);
    return images;
}

static bool check_labels(const char *path, const ito_tensor *labels, int64_t n)
{
    if (ito_ndim(labels) != 1 || ito_size(labels, 0) != n || ito_dtype_of(labels) != ITO_U8) {
        ito_error_set(ITO_ERR_FORMAT, "%s: its labels do not fit the number of images, %" PRId64,
                      path, n);
        return false;
    }
    const uint8_t *label = ito_const_data(labels);
    for (int64_t i = 0; i < n; i++)
        if (label[i] >= IDX_CLASSES) {
            ito_error_set(ITO_ERR_RANGE, "%s: label %" PRId64 " is %d; there are 0 to %d", path, i,
                          label[i], IDX_CLASSES - 1);
            return false;
        }
    return true;
}

ito_tensor *idx_directory_labels(const char *dir, bool test, const ito_tensor *images)
{
    char *path = find_or_say(dir, test, "labels", "idx1");
    ito_tensor *labels = path != NULL ? ito_idx_load(path) : NULL;
    if (labels != NULL && !check_labels(path, labels, ito_size(images, 0)))
        labels = NULL;
    free(path);
    return labels;
}
