/* Image files: PNG, JPEG, BMP and WebP in, PNG and JPEG out, folders of images, and grids to look
 * at samples. */
#ifndef ITO_IO_IMAGE_H
#define ITO_IO_IMAGE_H

#include "../tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The largest picture that is read or written: pixels a side, and in all. */
#define ITO_IMAGE_MAX_SIDE 16384
#define ITO_IMAGE_MAX_PIXELS (1 << 26)

/**
 * Read a PNG, JPEG, BMP or WebP file, whatever its name ends in, as libpng and libjpeg read it:
 * bytes between segments, behind the pixels or behind the end are passed over.
 *
 * An image has at most ITO_IMAGE_MAX_SIDE pixels a side and ITO_IMAGE_MAX_PIXELS in all; decoding
 * one takes up to 28 bytes a pixel for the time. It is turned upright by the orientation that a
 * camera noted (EXIF, in PNG, JPEG and WebP). Transparency is dropped, and of 16 bits the upper 8
 * are kept. CMYK, as Adobe's programs write it in JPEG, becomes red, green and blue without a
 * colour profile. WebP needs a library that was built with libwebp, and is not read where it moves.
 * Not read: arithmetic-coded and lossless JPEG, TIFF, GIF, HEIC, AVIF, JPEG XL.
 * @param channels  3, or 1 for grey; the image is converted where it has the other.
 * @return          u8 [channels, H, W], owned by the current scope. NULL on error: ITO_ERR_IO if
 *                  the system refuses, ITO_ERR_FORMAT if the file is damaged, truncated or of a
 *                  kind that is not read, ITO_ERR_ARGUMENT for other channels, ITO_ERR_MEMORY.
 */
ITO_API ito_tensor *ito_image_load(const char *path, int channels);

/** What an image file holds, by its header. */
typedef struct ito_image_properties {
    const char *format;    /* "PNG", "JPEG", "BMP" or "WebP"; a constant */
    int64_t width, height; /* as ito_image_load has them: turned upright */
    int channels;          /* 1 grey; 3 colours, also by a palette; 4 CMYK. Alpha is not counted */
    int bits;              /* of a sample, 1 to 16, in BMP to 32; 8 for the colours of a palette */
    int orientation;       /* that a camera noted, 1 to 8 as in EXIF; 1: upright, or not noted */
    bool has_alpha;        /* pixels may be transparent: by a channel, or by PNG's tRNS */
} ito_image_properties;

/**
 * Say what an image file holds, without decoding it: a few kilobytes of it are read. A file of
 * which ito_image_info says this may still be damaged further on.
 *
 * ito_image_load(path, 3) keeps every colour if bits <= 8, channels < 4 and has_alpha is false.
 * @param properties  receives them on success; untouched on error.
 * @return            what ito_image_load says of a file that cannot be read, of another kind, too
 *                    large, or whose header is damaged; ITO_ERR_ARGUMENT for NULL.
 */
ITO_API ito_status ito_image_info(const char *path, ito_image_properties *properties);

/** What becomes of a file in a folder of images. */
typedef enum ito_image_file_state {
    ITO_IMAGE_FILE_USED,
    ITO_IMAGE_FILE_BAD,    /* an image that cannot be read: ito_image_folder_load finds these */
    ITO_IMAGE_FILE_UNREAD, /* an image of a format that is not read, by its name: .gif, ... */
    ITO_IMAGE_FILE_OTHER   /* no image, by its name */
} ito_image_file_state;

/** A file in a folder of images. */
typedef struct ito_image_folder_file {
    char *path;         /* "photos/cat/1.png" */
    const char *name;   /* its part below the folder: "cat/1.png" */
    int64_t label;      /* its class, or -1: it is beside the folders of the classes */
    const char *reason; /* why it is left out; NULL for one that is used */
    ito_image_file_state state;
} ito_image_folder_file;

/** The files of a folder of images, to be read and freed. */
typedef struct ito_image_folder {
    char *path;
    ito_image_folder_file *files; /* [n_files] by label, then by the bytes of their paths */
    int64_t n_files, n_used, n_bad;
    char **class_names; /* [n_classes] by their bytes */
    int64_t n_classes;
} ito_image_folder;

/**
 * List a folder of images: all files in it and in its sub-folders, at any depth.
 *
 * The folders at its top are the classes, each with all that is below it, as torchvision's
 * ImageFolder has them; without folders it is one class, of its own name. Images are the files that
 * end in .png, .jpg, .jpeg, .jpe, .jfif or .bmp, in any case, and .webp where it is read. Names
 * that begin with a dot are passed over. Links are followed, but not back to a folder that they are
 * in.
 * @return  owned by the caller. NULL: ITO_ERR_IO if a folder cannot be read, ITO_ERR_ARGUMENT,
 *          ITO_ERR_MEMORY.
 */
ITO_API ito_image_folder *ito_image_folder_list(const char *path);
/** Free what ito_image_folder_list gave. Accepts NULL. */
ITO_API void ito_image_folder_free(ito_image_folder *folder);

/** Options of ito_image_folder_load. */
typedef struct ito_image_folder_options {
    int reserved_;
    bool skip_bad; /* leave out images that cannot be read, and go on; else they are an error */
} ito_image_folder_options;
#define ITO_DEFAULTS_ito_image_folder_options .reserved_ = 0

/**
 * Read the images of a folder: ito_image_folder_load(folder, 32, 3, &labels, .skip_bad = true).
 *
 * Of each image the middle square is taken, as wide as the shorter side, and resized to `size`
 * pixels (Mitchell's filter down, Catmull-Rom up); one that has that size already keeps its pixels.
 * @param folder    of ito_image_folder_list. Images that cannot be read become ITO_IMAGE_FILE_BAD
 * in it, with the reason; without skip_bad the first ends the reading. The next call tries them
 * again.
 * @param size      side of the squares, 1 to 8192.
 * @param channels  3, or 1 for grey.
 * @param labels    receives i64 [N], the index of each image's class, owned by the current scope.
 *                  NULL: all images are read, also those beside the folders of classes.
 * @return          u8 [N, channels, size, size] in the order of folder->files, owned by the current
 *                  scope. NULL, and labels untouched, on error: what ito_image_load says of a file;
 *                  ITO_ERR_FORMAT for a folder without images and, with labels, for a class without
 *                  images and images beside the folders of classes; ITO_ERR_ARGUMENT,
 *                  ITO_ERR_MEMORY.
 */
ITO_API ito_tensor *ito_image_folder_load_with(ito_image_folder *folder, int64_t size, int channels,
                                               ito_tensor **labels,
                                               ito_image_folder_options options);
#define ito_image_folder_load(...)                                                                 \
    ITO_AT(ITO_CALL_4(ito_image_folder_load_with, ito_image_folder_options, __VA_ARGS__, ))

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
#define ito_image_folder_list(...) ITO_AT(ito_image_folder_list(__VA_ARGS__))
#define ito_image_grid(...) ITO_AT(ito_image_grid(__VA_ARGS__))
#define ito_png_save(...) ITO_AT(ito_png_save(__VA_ARGS__))
#define ito_apng_save(...) ITO_AT(ito_apng_save(__VA_ARGS__))
#endif

#endif
