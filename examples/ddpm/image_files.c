/* Images in files. */
#include "examples/ddpm/image_files.h"

#include "examples/common/options.h"
#include "examples/common/paths.h"
#include "examples/ddpm/folder_data.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdlib.h>
#include <string.h>

ito_tensor *images_scaled(ito_tensor *images)
{
    if (images == NULL || ito_dtype_of(images) != ITO_U8)
        return images;
    return ito_add_scalar(ito_mul_scalar(ito_cast(images, ITO_F32), 1.0 / 127.5), -1.0);
}

/* ---- formats ---- */

static ito_tensor *load_npy(const char *path, int64_t channels, float limit)
{
    (void)channels;
    return image_npy_load(path, limit);
}

static ito_tensor *load_picture(const char *path, int64_t channels, float limit)
{
    (void)limit;
    if (channels == 1 || channels == 3)
        return ito_unsqueeze(ito_image_load(path, (int)channels), 0);
    ito_error_set(ITO_ERR_SHAPE,
                  "%s: a picture has 1 or 3 channels, and the network takes %" PRId64
                  "; a .npy file can have them",
                  path, channels);
    return NULL;
}

static const image_format npy = {{"npy", "a NumPy array of images", NULL},
                                 (const char *const[]){".npy", ".npz", NULL},
                                 load_npy};
static const image_format png = {
    {"png", "PNG, without loss", NULL}, (const char *const[]){".png", NULL}, load_picture};
static const image_format jpeg = {
    {"jpeg", "JPEG", NULL}, (const char *const[]){".jpg", ".jpeg", NULL}, load_picture};
static const image_format bmp = {
    {"bmp", "Windows bitmap", NULL}, (const char *const[]){".bmp", NULL}, load_picture};
static const image_format webp = {{"webp", "WebP, where it was built with libwebp", NULL},
                                  (const char *const[]){".webp", NULL},
                                  load_picture};

const ito_choice *const image_formats[] = {&npy.choice, &png.choice,  &jpeg.choice,
                                           &bmp.choice, &webp.choice, NULL};

const image_format *image_format_of(const char *path)
{
    for (int i = 0; image_formats[i] != NULL; i++) {
        const image_format *format = (const image_format *)image_formats[i];
        for (int k = 0; format->endings[k] != NULL; k++)
            if (path_ends_with(path, format->endings[k]))
                return format;
    }
    return &png;
}

ito_tensor *image_file_load(const char *path, int64_t channels, float limit)
{
    return image_format_of(path)->load(path, channels, limit);
}

/* ---- exact images ---- */

/* Whether the three channels of an image are equal. */
static bool is_grey(const ito_tensor *rgb)
{
    int64_t n = ito_numel(rgb) / 3;
    const uint8_t *p = ito_const_data(rgb);
    return memcmp(p, p + n, (size_t)n) == 0 && memcmp(p, p + 2 * n, (size_t)n) == 0;
}

/* Whether the pixels that are read are all that the file has; if not, an error says what is not. */
static bool is_read_whole(const char *path)
{
    ito_image_properties has;
    if (ito_image_info(path, &has) != ITO_OK)
        return false;
    if (has.bits > 8) {
        ito_error_set(ITO_ERR_FORMAT,
                      "%s: its samples have %d bits, and 8 of them would come back; make it an "
                      "image of 8 bits first",
                      path, has.bits);
        return false;
    }
    if (has.has_alpha) {
        ito_error_set(ITO_ERR_FORMAT,
                      "%s: it has transparency, which would not come back; remove its alpha "
                      "channel or transparent colours first",
                      path);
        return false;
    }
    if (has.channels == 4) {
        ito_error_set(ITO_ERR_FORMAT,
                      "%s: its colours are cyan, magenta, yellow and black, and would come back as "
                      "red, green and blue; convert it first",
                      path);
        return false;
    }
    return true;
}

/* [1, C, H, W]. */
static ito_tensor *load_one(const ito_ddpm *model, const char *path)
{
    ito_tensor *x = is_read_whole(path) ? ito_contiguous(ito_image_load(path, 3)) : NULL;
    if (x == NULL)
        return NULL;
    if (model->settings.model.in_channels == 1) {
        if (!is_grey(x)) {
            ito_error_set(ITO_ERR_SHAPE,
                          "%s: the image has colours, and the network takes 1 channel", path);
            return NULL;
        }
        x = ito_narrow(x, 0, 0, 1);
    }
    x = ito_unsqueeze(x, 0);
    return x != NULL && model_fits(model, x, path) ? x : NULL;
}

static ito_tensor *load_bytes(const ito_ddpm *model, const char *path)
{
    ito_tensor *x = image_npy_load(path, IN_PIXEL_RANGE);
    if (x == NULL || !model_fits(model, x, path))
        return NULL;
    if (ito_dtype_of(x) == ITO_U8)
        return x;
    ito_error_set(ITO_ERR_DTYPE, "%s: the images are %s; only bytes (uint8) come back exactly",
                  path, ito_dtype_name(ito_dtype_of(x)));
    return NULL;
}

/* Whether the directory has images, and all are of formats that are read. */
static bool holds_images(const ito_image_folder *f)
{
    const char *first = NULL;
    int64_t unread = 0;
    for (int64_t i = 0; i < f->n_files; i++)
        if (f->files[i].state == ITO_IMAGE_FILE_UNREAD)
            first = unread++ == 0 ? f->files[i].name : first;
    if (unread > 0)
        ito_error_set(ITO_ERR_FORMAT,
                      "%s: %" PRId64 " of its images %s of a format that is not read (%s%s); make "
                      "%s PNG file%s first",
                      f->path, unread, unread == 1 ? "is" : "are", first,
                      unread == 1 ? "" : ", ...", unread == 1 ? "it a" : "them", PLURAL(unread));
    else if (f->n_used == 0)
        ito_error_set(ITO_ERR_IO, "%s: there is no image file in it", f->path);
    return unread == 0 && f->n_used > 0;
}

/* The images of a directory, one after the other. */
static ito_tensor *load_each(const ito_ddpm *model, const ito_image_folder *f)
{
    ito_tensor **images = calloc((size_t)f->n_used, sizeof *images);
    bool good = images != NULL;
    int n = 0;
    if (!good)
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for its %" PRId64 " image%s", f->path,
                      f->n_used, PLURAL(f->n_used));
    for (int64_t i = 0; good && i < f->n_files; i++) {
        if (f->files[i].state != ITO_IMAGE_FILE_USED)
            continue;
        images[n] = load_one(model, f->files[i].path);
        good = images[n++] != NULL;
    }
    ito_tensor *all = good ? ito_cat(images, n, 0) : NULL;
    free(images);
    return all;
}

static ito_tensor *load_directory(const ito_ddpm *model, const char *path)
{
    ito_image_folder *f = ito_image_folder_list(path);
    ito_tensor *all = NULL;
    if (f != NULL && holds_images(f)) {
        folder_say_left_out(f);
        all = load_each(model, f);
    }
    ito_image_folder_free(f);
    return all;
}

ito_tensor *image_files_load(const ito_ddpm *model, const char *path)
{
    if (path_is_directory(path))
        return load_directory(model, path);
    return image_format_of(path) == &npy ? load_bytes(model, path) : load_one(model, path);
}
