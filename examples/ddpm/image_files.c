/* Images in files. */
#include "examples/ddpm/image_files.h"

#include "examples/common/options.h"
#include "examples/common/paths.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <ito/ito.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- .npy ---- */

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
                          limit == IN_PIXEL_RANGE ? "lie in [-1, 1]" : "have finite numbers");
            return false;
        }
    }
    return true;
}

/* [N, C, H, W] from an array that may be [N, H, W, C]: C is the axis with at most 4, axis 1 if both
 * have. */
static ito_tensor *channels_first(ito_tensor *x)
{
    bool last = ito_size(x, 1) > 4 && ito_size(x, 3) <= 4;
    return ito_contiguous(last ? ito_permute(x, 0, 3, 1, 2) : x);
}

ito_tensor *images_scaled(ito_tensor *images)
{
    if (images == NULL || ito_dtype_of(images) != ITO_U8)
        return images;
    return ito_add_scalar(ito_mul_scalar(ito_cast(images, ITO_F32), 1.0 / 127.5), -1.0);
}

ito_tensor *image_npy_load(const char *path, float limit)
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

static const image_format npy = {
    {"npy", "a NumPy array of images", NULL}, (const char *const[]){".npy", NULL}, load_npy};
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

static int is_png(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot != NULL && entry->d_name[0] != '.' && strcasecmp(dot, ".png") == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static ito_tensor *load_directory(const ito_ddpm *model, const char *path)
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
            images[i] = file != NULL ? load_one(model, file) : NULL;
        good = good && images[i] != NULL;
        free(file);
        free(entries[i]);
    }
    ito_tensor *all = good ? ito_cat(images, n, 0) : NULL;
    free(images);
    free(entries);
    return all;
}

ito_tensor *image_files_load(const ito_ddpm *model, const char *path)
{
    if (path_is_directory(path))
        return load_directory(model, path);
    return image_format_of(path) == &npy ? load_bytes(model, path) : load_one(model, path);
}
