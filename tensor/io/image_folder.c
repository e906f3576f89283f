/* The images of a folder as a data set.
 * Invariant: images are in the order of the folder's list, and nothing is returned but what was
 * read from a file that the list says is used. */
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/image.h"
#include "tensor/io/image_check.h"
#include "tensor/io/image_stb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what there must be ------------------------------------------------------------------------
 */

/* Refuse a class, or with label -1 the whole folder, that has no image which is used. */
static ito_status refuse_empty(const ito_image_folder *f, int64_t label)
{
    const ito_image_folder_file *first = NULL;
    const char *class = label >= 0 && f->n_classes > 1 ? f->class_names[label] : NULL;
    int64_t others = 0;
    for (int64_t i = 0; i < f->n_files; i++) {
        const ito_image_folder_file *file = &f->files[i];
        if (label >= 0 && file->label != label)
            continue;
        if (file->state == ITO_IMAGE_FILE_USED)
            return ITO_OK;
        bool tells_more = first != NULL && first->state == ITO_IMAGE_FILE_OTHER;
        first = others++ == 0 || (tells_more && file->state != first->state) ? file : first;
    }
    char whose[300] = "";
    if (class != NULL)
        snprintf(whose, sizeof whose, "the class %s ", class);
    if (first == NULL)
        return file_error(ITO_ERR_FORMAT, f->path, "%sholds no PNG, JPEG, BMP or WebP images",
                          whose);
    return file_error(ITO_ERR_FORMAT, f->path,
                      "%sholds no PNG, JPEG, BMP or WebP images that can be read, but %" PRId64
                      " other file%s (%s: %s)",
                      whose, others, others == 1 ? "" : "s", first->name, first->reason);
}

/* Refuse images that are in no class. */
static ito_status refuse_beside(const ito_image_folder *f)
{
    const char *first = NULL;
    int64_t beside = 0;
    for (int64_t i = 0; i < f->n_files && f->files[i].label < 0; i++)
        if (f->files[i].state == ITO_IMAGE_FILE_USED)
            first = beside++ == 0 ? f->files[i].name : first;
    if (beside == 0)
        return ITO_OK;
    return file_error(ITO_ERR_FORMAT, f->path,
                      "%" PRId64 " image%s beside the folders of its classes (%s%s): move %s into "
                      "one, or do without classes",
                      beside, beside == 1 ? " is" : "s are", first, beside == 1 ? "" : ", ...",
                      beside == 1 ? "it" : "them");
}

/* Whether the folder can be read, with its classes or without. */
static ito_status check(const ito_image_folder *f, bool classes)
{
    if (!classes || f->n_used == 0)
        return refuse_empty(f, -1);
    ito_status status = refuse_beside(f);
    /* Files are sorted by label: a class that is not met on the way has none. */
    int64_t next = 0;
    for (int64_t i = 0; i < f->n_files && status == ITO_OK; i++) {
        if (f->files[i].state != ITO_IMAGE_FILE_USED || f->files[i].label < next)
            continue;
        if (f->files[i].label > next)
            return refuse_empty(f, next);
        next++;
    }
    return status == ITO_OK && next < f->n_classes ? refuse_empty(f, next) : status;
}

/* ---- reading -----------------------------------------------------------------------------------
 */

/* Let the next reading try bad files again. */
static void forget_bad(ito_image_folder *f)
{
    for (int64_t i = 0; i < f->n_files && f->n_bad > 0; i++) {
        ito_image_folder_file *file = &f->files[i];
        if (file->state != ITO_IMAGE_FILE_BAD)
            continue;
        free((char *)file->reason);
        file->reason = NULL;
        file->state = ITO_IMAGE_FILE_USED;
        f->n_bad--;
        f->n_used++;
    }
}

/* Leave the file out, for the error that was recorded of it, which is forgotten if bad files are
 * skipped; `pending` says that an error was there before, which is not of this file. */
static ito_status mark_bad(ito_image_folder *f, ito_image_folder_file *file, bool skip,
                           bool pending)
{
    char fault[800];
    snprintf(fault, sizeof fault, "%s",
             pending ? "it cannot be read" : file_error_fault(file->path));
    if (skip && !pending)
        ito_error_clear();
    char *reason = struct_alloc(strlen(fault) + 1);
    if (reason == NULL)
        return ITO_ERR_MEMORY;
    file->reason = strcpy(reason, fault);
    file->state = ITO_IMAGE_FILE_BAD;
    f->n_bad++;
    f->n_used--;
    return ITO_OK;
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

/* All files that are used into x, and their labels, if they are wanted, into y. */
static ito_status load_files(ito_image_folder *f, int64_t side, int channels, bool skip_bad,
                             ito_tensor *x, ito_tensor *y)
{
    int64_t bytes = channels * side * side, *label = y != NULL ? tensor_data(y) : NULL, n = 0;
    unsigned char *square = mem_alloc((size_t)bytes), *out = tensor_data(x);
    ito_status status = square == NULL ? ITO_ERR_MEMORY : ITO_OK;
    bool pending = ito_error_code() != ITO_OK;
    for (int64_t i = 0; i < f->n_files && status == ITO_OK; i++) {
        ito_image_folder_file *file = &f->files[i];
        if (file->state != ITO_IMAGE_FILE_USED)
            continue;
        status = load_square(file->path, channels, side, square, out + n * bytes);
        if (status == ITO_OK) {
            if (label != NULL)
                label[n] = file->label;
            n++;
        } else if (status != ITO_ERR_MEMORY) {
            ito_status marked = mark_bad(f, file, skip_bad, pending);
            status = skip_bad ? marked : status;
        }
    }
    mem_free(square);
    return status;
}

/* The first n rows of *t in its place, if it has more. */
static ito_status shorten(ito_tensor **t, int64_t n)
{
    if (*t == NULL || ito_size(*t, 0) == n)
        return ITO_OK;
    ito_shape shape = ito_shape_of(*t);
    shape.dim[0] = n;
    ito_tensor *rows = tensor_view(*t, shape, (*t)->stride, (*t)->offset);
    if (rows == NULL)
        return ITO_ERR_MEMORY;
    ito_release(tensor_disown(*t));
    *t = rows;
    return ITO_OK;
}

static ito_tensor *load(ito_image_folder *f, int64_t size, int channels, ito_tensor **labels,
                        bool skip_bad)
{
    bool classes = labels != NULL;
    forget_bad(f);
    if (check(f, classes) != ITO_OK)
        return NULL;
    ito_tensor *x = tensor_empty(ITO_SHAPE(f->n_used, channels, size, size), ITO_U8), *y = NULL;
    if (x != NULL && classes)
        y = tensor_empty(ITO_SHAPE(f->n_used), ITO_I64);
    ito_status status = x == NULL || (classes && y == NULL)
                            ? ITO_ERR_MEMORY
                            : load_files(f, size, channels, skip_bad, x, y);
    if (status == ITO_OK && f->n_bad > 0)
        status = check(f, classes);
    if (status == ITO_OK)
        status = shorten(&x, f->n_used);
    if (status == ITO_OK)
        status = shorten(&y, f->n_used);
    if (status == ITO_OK) {
        if (classes)
            *labels = y;
        return x;
    }
    ito_release(tensor_disown(x));
    ito_release(tensor_disown(y));
    return NULL;
}

ito_tensor *ito_image_folder_load_with(ito_image_folder *f, int64_t size, int channels,
                                       ito_tensor **labels, ito_image_folder_options options)
{
    if (f == NULL) {
        error_missing("image_folder_load", "folder");
        return NULL;
    }
    if (size < 1 || size > IMAGE_MAX_SIDE || size * size > IMAGE_MAX_PIXELS ||
        (channels != 1 && channels != 3))
        return error_null(ITO_ERR_ARGUMENT,
                          "image_folder_load: size %" PRId64
                          " and %d channels; a size is 1 to 8192, channels are 1 or 3",
                          size, channels);
    return load(f, size, channels, labels, options.skip_bad);
}
