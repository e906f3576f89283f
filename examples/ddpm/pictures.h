/* Pictures of images: one grid, or a file for each. All commands that draw images draw them here.
 */
#ifndef ITO_DDPM_PICTURES_H
#define ITO_DDPM_PICTURES_H

#include "examples/common/outputs.h"

#include <ito/ito.h>

enum { PICTURE_PADDING = 2 }; /* of grids, if not told otherwise */

typedef struct picture_options {
    const char *out;    /* FILE.png, FILE.jpg, DIR/; or NULL */
    const char *format; /* of the files in DIR/; NULL: png */
    int64_t columns;    /* of a grid; UNSET_INT: as a square */
    int64_t padding;    /* UNSET_INT: 2 pixels, or none around a single image */
    int64_t zoom;
} picture_options;

/* Rows of a command that has a picture_options `pictures`. */
#define PICTURES_ROW(otherwise)                                                                    \
    TEXT_ROW(                                                                                      \
        "out", pictures.out, "FILE|DIR/", NULL,                                                    \
        "Write the images side by side to FILE.png or FILE.jpg, or each to a file of its own, "    \
        "DIR/0000.png, DIR/0001.png, ..." otherwise)
#define PICTURE_LOOK_ROWS                                                                          \
    INT_ROW("columns", pictures.columns, "N", 1, 1e7, NULL,                                        \
            "Images in a row of the picture (as a square)"),                                       \
        INT_ROW("padding", pictures.padding, "PIXELS", 0, 1000, NULL,                              \
                "Black lines between images and around them (2; a single image has none)"),        \
        INT_ROW("zoom", pictures.zoom, "N", 1, 64, "1", "Pixels are drawn as squares of N x N"),   \
        WORDS_ROW("format", pictures.format, "png|jpg", NULL, "Of the files in DIR/ (png)")

/* Refuse options that are of no use to the --out; `elsewhere`: another output has a grid of them.
 */
void pictures_check(const command_line *c, const picture_options *o, bool elsewhere);
/* Whether --out is a directory, with a file for each image. */
bool pictures_are_files(const picture_options *o);
/* --out for outputs_can_write: nothing if it is a directory. */
output pictures_output(const picture_options *o);
/* Make the directory, if --out is one. False with an error recorded. */
bool pictures_begin(const picture_options *o);
/* Whether n images of this size, numbered from `first`, can be written. False with an error
 * recorded. */
bool pictures_fit(const picture_options *o, ito_shape images, int64_t first, bool force);
/* Whether a grid of images [N, C, H, W] is within the bounds of a picture; the option is what asks
 * for it. */
bool pictures_grid_fits(const char *option, const picture_options *o, ito_shape images);
/* A grid as ito_image_grid's, of any number of channels: channels that are neither grey nor colour
 * are side by side in grey. */
ito_tensor *pictures_grid(ito_tensor *images, const picture_options *o);
/* Write the images, numbered from `first`, if there is an --out. False with an error recorded. */
bool pictures_write(const picture_options *o, ito_tensor *images, int64_t first);
/* Report on stderr where n images of so many channels are. */
void pictures_say(const picture_options *o, int64_t n, int64_t channels);
/* Whether so many channels are drawn side by side. */
bool pictures_split(int64_t channels);

#endif
