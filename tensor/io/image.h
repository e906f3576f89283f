/* Image files: PNG, JPEG and BMP in, PNG and JPEG out, folders of images, and grids to look at
 * samples. */
#ifndef ITO_IO_IMAGE_H
#define ITO_IO_IMAGE_H

#include "../tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Read a PNG, JPEG or BMP file, whatever its name ends in.
 *
 * An image has at most 16384 pixels a side and 2^26 in all. Transparency is dropped, and an
 * orientation noted by a camera is not applied. Not read: CMYK, arithmetic-coded and
 * lossless JPEG, and BMP other than uncompressed 8, 24 and 32 bits.
 * @param channels  3, or 1 for grey; the image is converted where it has the other.
 * @return          u8 [channels, H, W], owned by the current scope. NULL on error: ITO_ERR_IO if
 *                  the system refuses, ITO_ERR_FORMAT if the file is damaged, truncated or of a
 *                  kind that is not read, ITO_ERR_ARGUMENT for other channels, ITO_ERR_MEMORY.
 */
ITO_API ito_tensor *ito_image_load(const char *path, int channels);

/** What an image file holds, by its header. */
typedef struct ito_image_properties {
    const char *format;    /* "PNG", "JPEG" or "BMP"; a constant */
    int64_t width, height; /* as ito_image_load has them */
    int channels;          /* 1 grey; 3 red, green and blue, also by a palette; without alpha */
    int bits;              /* of a sample, 1 to 16; 8 for the colours of a palette */
    int orientation;       /* noted by a camera, 1 to 8 as in EXIF; 1: upright */
    bool has_alpha;        /* some pixels may be transparent: a channel, or PNG's tRNS */
} ito_image_properties;

/**
 * Say what an image file holds, without decoding it: a few kilobytes of it are read. A file of
 * which ito_image_info says this may still be damaged further on.
 *
 * ito_image_load keeps all that is in the file if bits <= 8 and has_alpha is false.
 * @param properties  receives them on success; untouched on error.
 * @return            what ito_image_load says of a file that cannot be read, of another kind, too
 *                    large, or whose header is damaged; ITO_ERR_ARGUMENT for NULL.
 */
ITO_API ito_status ito_image_info(const char *path, ito_image_properties *properties);

/**
 * Read a folder of images, each sub-folder a class; without sub-folders the folder is one class.
 *
 * Classes and the files of each are taken in the order of their names' bytes. Files count that end
 * in .png, .jpg, .jpeg or .bmp in any case; names that begin with a dot do not. Of each
 * image the middle square is taken, as wide as the shorter side, and resized to `size` pixels
 * (Mitchell's filter down, Catmull-Rom up); one that has that size already keeps its pixels.
 *
 * @param size         side of the squares, 1 to 8192.
 * @param channels     3, or 1 for grey.
 * @param images       receives u8 [N, channels, size, size], owned by the current scope.
 * @param labels       receives i64 [N], the index of each image's class; owned by the current
 * scope.
 * @param class_names  receives n_classes names, to be given to ito_image_class_names_free; or NULL
 *                     if they are not wanted.
 * @param n_classes    receives their number; or NULL.
 * @return             ITO_ERR_IO if a folder cannot be read, ITO_ERR_FORMAT for a bad file or a
 *                     class without images, ITO_ERR_ARGUMENT, ITO_ERR_MEMORY. Outputs are set only
 *                     on success.
 */
ITO_API ito_status ito_image_folder_load(const char *dir, int64_t size, int channels,
                                         ito_tensor **images, ito_tensor **labels,
                                         char ***class_names, int64_t *n_classes);
/** Free the names that ito_image_folder_load gave. Accepts NULL. */
ITO_API void ito_image_class_names_free(char **class_names);

/**
 * Lay images out in rows, with black lines between them and around.
 *
 * @param images   [N, C, H, W], N >= 1, C 1 or 3: u8, or floating point, where x in [-1, 1] becomes
 *                 round((x + 1) * 127.5), clamped to 0..255. Borrowed.
 * @param columns  images in a row, at least 1; no more than N are used.
 * @param padding  pixels between images and around them, at least 0.
 * @return         u8 [C, rows * (H + padding) + padding, columns * (W + padding) + padding], owned
 *                 by the current scope. NULL on error: ITO_ERR_SHAPE, ITO_ERR_DTYPE,
 *                 ITO_ERR_ARGUMENT, ITO_ERR_NUMERIC if a number is not finite, ITO_ERR_MEMORY.
 */
ITO_API ito_tensor *ito_image_grid(ito_tensor *images, int64_t columns, int64_t padding);

/**
 * Write a PNG file. It is written aside and renamed: on failure an older one at path is untouched.
 *
 * @param image  u8 [C, H, W] or [H, W], C 1 or 3, within the bounds of ito_image_load; any strides;
 *               borrowed.
 * @return       ITO_ERR_SHAPE, ITO_ERR_DTYPE, ITO_ERR_IO, ITO_ERR_MEMORY.
 */
ITO_API ito_status ito_png_save(const char *path, const ito_tensor *image);

/** Options of ito_image_save. */
typedef struct ito_image_save_options {
    int reserved_;
    int64_t quality ITO_DEFAULT(95); /* of JPEG, 1 to 100; above 90 colour has every pixel */
} ito_image_save_options;
#define ITO_DEFAULTS_ito_image_save_options .quality = 95

/** Whether ito_image_save knows the ending of the name: .png, .jpg or .jpeg, in any case. */
ITO_API bool ito_image_can_save(const char *path);
/**
 * Write a picture as what its name ends in, in any case: PNG (.png) or JPEG (.jpg, .jpeg):
 * ito_image_save("a.jpg", image, .quality = 80). JPEG changes pixels a little. Written as by
 * ito_png_save.
 *
 * @param image  as for ito_png_save.
 * @return       what ito_png_save says; ITO_ERR_ARGUMENT for another ending, ITO_ERR_RANGE for
 *               another quality.
 */
ITO_API ito_status ito_image_save_with(const char *path, const ito_tensor *image,
                                       ito_image_save_options options);
#define ito_image_save(...)                                                                        \
    ITO_AT(ITO_CALL_2(ito_image_save_with, ito_image_save_options, __VA_ARGS__, ))

/**
 * Write an animated PNG, which browsers play over and over. Programs that know no animation show
 * the last frame. Written as by ito_png_save.
 *
 * @param frames        u8 [F, C, H, W], C 1 or 3, 1 to 100,000 frames; borrowed.
 * @param milliseconds  that each frame lasts, 0 to 65535.
 * @param last          and the last one.
 * @return              what ito_png_save says; ITO_ERR_ARGUMENT for NULL, ITO_ERR_RANGE for a time.
 * Source: W3C, Portable Network Graphics, third edition, section 11.3.2 to 11.3.4.
 */
ITO_API ito_status ito_apng_save(const char *path, const ito_tensor *frames, int64_t milliseconds,
                                 int64_t last);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_image_load(...) ITO_AT(ito_image_load(__VA_ARGS__))
#define ito_image_info(...) ITO_AT(ito_image_info(__VA_ARGS__))
#define ito_image_folder_load(...) ITO_AT(ito_image_folder_load(__VA_ARGS__))
#define ito_image_grid(...) ITO_AT(ito_image_grid(__VA_ARGS__))
#define ito_png_save(...) ITO_AT(ito_png_save(__VA_ARGS__))
#define ito_apng_save(...) ITO_AT(ito_apng_save(__VA_ARGS__))
#endif

#endif
