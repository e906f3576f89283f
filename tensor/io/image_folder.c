/* A folder of images as a data set: its sub-folders are the classes.
 * Invariant: names are sorted by their bytes, so that indices mean the same on every machine. */
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/image.h"
#include "tensor/io/image_check.h"
#include "tensor/io/image_stb.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* Strings that the list owns. */
typedef struct names {
    char **item;
    int64_t count, capacity;
} names;

static void names_free(names *n)
{
    for (int64_t i = 0; i < n->count; i++)
        free(n->item[i]);
    mem_free(n->item);
    *n = (names){0};
}

/* Append dir/name, or name alone where dir is NULL. */
static ito_status names_add(names *n, const char *dir, const char *name)
{
    if (n->count == n->capacity) {
        int64_t capacity = n->capacity > 0 ? 2 * n->capacity : 64;
        char **item = mem_alloc((size_t)capacity * sizeof *item);
        if (item == NULL)
            return ITO_ERR_MEMORY;
        if (n->count > 0)
            memcpy(item, n->item, (size_t)n->count * sizeof *item);
        mem_free(n->item);
        n->item = item;
        n->capacity = capacity;
    }
    size_t before = dir == NULL ? 0 : strlen(dir) + 1, length = strlen(name) + 1;
    char *s = struct_alloc(before + length);
    if (s == NULL)
        return ITO_ERR_MEMORY;
    if (before > 0) {
        memcpy(s, dir, before - 1);
        s[before - 1] = '/';
    }
    memcpy(s + before, name, length);
    n->item[n->count++] = s;
    return ITO_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_sort(names *n)
{
    if (n->count > 0)
        qsort(n->item, (size_t)n->count, sizeof *n->item, compare_names);
}

static bool is_image_name(const char *name)
{
    static const char *const extensions[] = {".png", ".jpg", ".jpeg", ".bmp"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && i < sizeof extensions / sizeof *extensions; i++)
        if (strcasecmp(dot, extensions[i]) == 0)
            return true;
    return false;
}

static ito_status is_folder(const char *dir, const char *name, bool *folder)
{
    names path = {0};
    ito_status status = names_add(&path, dir, name);
    struct stat info;
    if (status == ITO_OK)
        *folder = stat(path.item[0], &info) == 0 && S_ISDIR(info.st_mode);
    names_free(&path);
    return status;
}

/* The sub-folders of dir by name and its images by path, both sorted. */
static ito_status list_folder(const char *dir, names *folders, names *images)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return file_system_error(dir, "open the folder");
    ito_status status = ITO_OK;
    struct dirent *entry;
    while (status == ITO_OK && (errno = 0, entry = readdir(d)) != NULL) {
        bool folder = false;
        if (entry->d_name[0] == '.')
            continue;
        status = is_folder(dir, entry->d_name, &folder);
        if (status == ITO_OK && folder)
            status = names_add(folders, NULL, entry->d_name);
        else if (status == ITO_OK && is_image_name(entry->d_name))
            status = names_add(images, dir, entry->d_name);
    }
    if (status == ITO_OK && errno != 0)
        status = file_system_error(dir, "list the folder");
    closedir(d);
    names_sort(folders);
    names_sort(images);
    return status;
}

/* ---- the data set ------------------------------------------------------------------------------
 */

typedef struct folder {
    names classes, paths;
    int64_t *first; /* [classes + 1]: the paths of class k are first[k] .. first[k + 1] - 1 */
} folder;

static void folder_free(folder *f)
{
    names_free(&f->classes);
    names_free(&f->paths);
    mem_free(f->first);
}

/* The images of one class, appended; there must be some. */
static ito_status list_class(folder *f, const char *dir)
{
    names below = {0}, images = {0};
    ito_status status = list_folder(dir, &below, &images);
    if (status == ITO_OK && images.count == 0)
        status = file_error(ITO_ERR_FORMAT, dir, "holds no PNG, JPEG or BMP images");
    for (int64_t i = 0; i < images.count && status == ITO_OK; i++)
        status = names_add(&f->paths, NULL, images.item[i]);
    names_free(&below);
    names_free(&images);
    return status;
}

/* The last part of a path, without the slashes that may follow it. */
static ito_status add_base_name(names *n, const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    char *name = struct_alloc(end - begin + 1);
    if (name == NULL)
        return ITO_ERR_MEMORY;
    memcpy(name, path + begin, end - begin);
    ito_status status = names_add(n, NULL, name);
    free(name);
    return status;
}

static ito_status list_classes(folder *f, const char *dir)
{
    names unused = {0};
    ito_status status = list_folder(dir, &f->classes, &unused);
    names_free(&unused);
    bool single = f->classes.count == 0;
    if (status == ITO_OK && single)
        status = add_base_name(&f->classes, dir);
    if (status != ITO_OK)
        return status;
    f->first = mem_alloc((size_t)(f->classes.count + 1) * sizeof *f->first);
    if (f->first == NULL)
        return ITO_ERR_MEMORY;
    f->first[0] = 0;
    for (int64_t k = 0; k < f->classes.count && status == ITO_OK; k++) {
        names path = {0};
        status = single ? names_add(&path, NULL, dir) : names_add(&path, dir, f->classes.item[k]);
        if (status == ITO_OK)
            status = list_class(f, path.item[0]);
        names_free(&path);
        f->first[k + 1] = f->paths.count;
    }
    return status;
}

/* The middle square of one file as [channels, side, side]; square is scratch for as much. */
static ito_status load_square(const char *path, int channels, int64_t side, unsigned char *square,
                              unsigned char *out)
{
    unsigned char *pixels = NULL;
    int64_t width, height;
    ito_status status = image_decode(path, channels, &pixels, &width, &height);
    if (status != ITO_OK)
        return status;
    int64_t shorter = width < height ? width : height, stride = width * channels;
    const unsigned char *from =
        pixels + (height - shorter) / 2 * stride + (width - shorter) / 2 * channels;
    if (shorter != side) {
        status = stb_resize_square(from, stride, shorter, channels, square, side);
        from = square;
        stride = side * channels;
    }
    if (status == ITO_OK)
        for (int c = 0; c < channels; c++)
            for (int64_t y = 0; y < side; y++)
                for (int64_t x = 0; x < side; x++)
                    *out++ = from[y * stride + x * channels + c];
    mem_free(pixels);
    return status;
}

static ito_status load_images(const folder *f, int64_t side, int channels, ito_tensor *images,
                              ito_tensor *labels)
{
    int64_t bytes = channels * side * side, *label = tensor_data(labels);
    unsigned char *square = mem_alloc((size_t)bytes), *out = tensor_data(images);
    ito_status status = square == NULL ? ITO_ERR_MEMORY : ITO_OK;
    for (int64_t k = 0; k < f->classes.count; k++)
        for (int64_t i = f->first[k]; i < f->first[k + 1] && status == ITO_OK; i++) {
            label[i] = k;
            status = load_square(f->paths.item[i], channels, side, square, out + i * bytes);
        }
    mem_free(square);
    return status;
}

/* The class names in one block that free() releases: pointers, a NULL, and the text. */
static char **pack_names(const names *n)
{
    size_t head = (size_t)(n->count + 1) * sizeof(char *), bytes = head;
    for (int64_t i = 0; i < n->count; i++)
        bytes += strlen(n->item[i]) + 1;
    char **packed = struct_alloc(bytes);
    if (packed == NULL)
        return NULL;
    char *text = (char *)packed + head;
    for (int64_t i = 0; i < n->count; i++) {
        size_t length = strlen(n->item[i]) + 1;
        packed[i] = memcpy(text, n->item[i], length);
        text += length;
    }
    return packed;
}

static ito_status load(folder *f, const char *dir, int64_t size, int channels, ito_tensor **images,
                       ito_tensor **labels, char ***class_names)
{
    ito_status status = list_classes(f, dir);
    if (status != ITO_OK)
        return status;
    ito_tensor *x = tensor_empty(ITO_SHAPE(f->paths.count, channels, size, size), ITO_U8);
    ito_tensor *y = x == NULL ? NULL : tensor_empty(ITO_SHAPE(f->paths.count), ITO_I64);
    status = y == NULL ? ito_error_code() : load_images(f, size, channels, x, y);
    char **packed = NULL;
    if (status == ITO_OK && class_names != NULL && (packed = pack_names(&f->classes)) == NULL)
        status = ITO_ERR_MEMORY;
    if (status != ITO_OK) {
        ito_release(tensor_disown(x));
        ito_release(tensor_disown(y));
        return status;
    }
    *images = x;
    *labels = y;
    if (class_names != NULL)
        *class_names = packed;
    return ITO_OK;
}

ito_status ito_image_folder_load(const char *dir, int64_t size, int channels, ito_tensor **images,
                                 ito_tensor **labels, char ***class_names, int64_t *n_classes)
{
    if (dir == NULL || images == NULL || labels == NULL)
        return error_status(ITO_ERR_ARGUMENT, "image_folder_load: there is no %s",
                            dir == NULL ? "directory" : "place for the result");
    if (size < 1 || size > IMAGE_MAX_SIDE || size * size > IMAGE_MAX_PIXELS ||
        (channels != 1 && channels != 3))
        return error_status(ITO_ERR_ARGUMENT,
                            "image_folder_load: size %" PRId64
                            " and %d channels; a size is 1 to 8192, channels are 1 or 3",
                            size, channels);
    folder f = {0};
    ito_status status = load(&f, dir, size, channels, images, labels, class_names);
    if (status == ITO_OK && n_classes != NULL)
        *n_classes = f.classes.count;
    folder_free(&f);
    return status;
}

void ito_image_class_names_free(char **class_names)
{
    free(class_names);
}
