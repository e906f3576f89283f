/* Images in files, neither cut nor resized. A new format is a row of the table. */
#ifndef ITO_DDPM_IMAGE_FILES_H
#define ITO_DDPM_IMAGE_FILES_H

#include "examples/ddpm/image_arrays.h"
#include "examples/ddpm/model_files.h"

#include <ito/ito.h>

typedef struct image_format {
    ito_choice choice;          /* its head; the name is the ending of its files: "png" */
    const char *const *endings; /* of paths, closed by NULL: ".jpg", ".jpeg" */
    /* [N, channels, H, W], u8, or f32 up to limit; NULL with an error recorded. */
    ito_tensor *(*load)(const char *path, int64_t channels, float limit);
} image_format;

/* All formats, heads of image_format; closed by NULL. */
extern const ito_choice *const image_formats[];

/* An option that names a file of images. */
#define IMAGE_ROW(option, field, word, text)                                                       \
    {                                                                                              \
        .type = OPTION_TEXT, .name = option, .offset = AT(field), .metavar = word,                 \
        .choices = {.own = image_formats}, .help = text                                            \
    }

/* The format of a file, by the ending of its name; a picture if that is unknown. */
const image_format *image_format_of(const char *path);
/* The images of a file of any format, of the current scope: .npy of any number of them, in the
 * channels that it has, else one, converted to so many channels. */
ito_tensor *image_file_load(const char *path, int64_t channels, float limit);
/* u8 [N, C, H, W] of an image file, a .npy file of bytes, or all image files of a directory in the
 * order of ito_image_folder_list, as the network takes them. Only what a file can restore exactly:
 * an image with colours is refused for one channel. NULL with an error recorded. */
ito_tensor *image_files_load(const ito_ddpm *model, const char *path);
/* u8 as f32 in [-1, 1], f32 as it is; NULL for NULL. */
ito_tensor *images_scaled(ito_tensor *images);

#endif
