/* Pictures of images.
 * Invariant: a picture that would be too large is refused before it is drawn. */
#include "examples/ddpm/pictures.h"

#include "examples/common/messages.h"
#include "examples/common/paths.h"
#include "examples/common/results.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- options ---- */

bool pictures_are_files(const picture_options *o)
{
    return o->out != NULL && (path_ends_with(o->out, "/") || path_is_directory(o->out));
}

void pictures_check(const command_line *c, const picture_options *o, bool elsewhere)
{
    if (!pictures_are_files(o))
        options_refuse_given(c, "format", "it is for --out DIR/; the name of a file says it");
    if (elsewhere)
        return;
    if (o->out == NULL)
        options_refuse_given(c, "columns|padding|zoom", "it needs an --out, the picture");
    if (pictures_are_files(o))
        options_refuse_given(c, "columns", "each image is a file of its own in DIR/");
}

output pictures_output(const picture_options *o)
{
    return (output){"out", pictures_are_files(o) ? NULL : o->out, FILE_IMAGE};
}

bool pictures_begin(const picture_options *o)
{
    return !pictures_are_files(o) || path_make_directory(o->out, false);
}

/* ---- size ---- */

bool pictures_split(int64_t channels)
{
    return channels != 1 && channels != 3;
}

static int64_t columns_of(const picture_options *o, int64_t n)
{
    return int_or(o->columns, (int64_t)ceil(sqrt((double)n)));
}

static int64_t padding_of(const picture_options *o, int64_t n)
{
    return int_or(o->padding, n == 1 ? 0 : PICTURE_PADDING);
}

bool pictures_grid_fits(const char *option, const picture_options *o, ito_shape images)
{
    int64_t n = images.dim[0], padding = padding_of(o, n), columns = columns_of(o, n);
    columns = columns < n ? columns : n;
    double split = pictures_split(images.dim[1]) ? (double)images.dim[1] : 1.0;
    double down = (double)(images.dim[2] * o->zoom + padding);
    double across = (double)images.dim[3] * split * (double)o->zoom + (double)padding;
    double height = down * (double)((n - 1) / columns + 1) + (double)padding;
    double width = across * (double)columns + (double)padding;
    if (width <= ITO_IMAGE_MAX_SIDE && height <= ITO_IMAGE_MAX_SIDE &&
        width * height <= ITO_IMAGE_MAX_PIXELS)
        return true;
    return options_error(
        "--%s: a picture of %" PRId64 " image%s would have %.0f x %.0f pixels; the "
        "most are %d a side and %d in all",
        option, n, PLURAL(n), width, height, ITO_IMAGE_MAX_SIDE, ITO_IMAGE_MAX_PIXELS);
}

/* DIR/0000.png; freed with free(). */
static char *file_of(const picture_options *o, int64_t number)
{
    char name[40];
    snprintf(name, sizeof name, "%s%04" PRId64 ".%s", path_ends_with(o->out, "/") ? "" : "/",
             number, o->format != NULL ? o->format : "png");
    char *path = malloc(strlen(o->out) + sizeof name);
    if (path == NULL)
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for the path of an image", o->out);
    else
        sprintf(path, "%s%s", o->out, name);
    return path;
}

bool pictures_fit(const picture_options *o, ito_shape images, int64_t first, bool force)
{
    if (o->out == NULL)
        return true;
    if (!pictures_are_files(o))
        return pictures_grid_fits("out", o, images);
    bool good =
        pictures_grid_fits("out", o, ITO_SHAPE(1, images.dim[1], images.dim[2], images.dim[3]));
    for (int64_t i = 0; good && i < images.dim[0]; i++) {
        char *path = file_of(o, first + i);
        good = path != NULL && path_can_write(path) && output_may_replace(path, FILE_IMAGE, force);
        free(path);
    }
    return good;
}

/* ---- drawing ---- */

/* [N, C, H, W] as [N, 1 or 3, H, W], or [N, 1, H, C W]. */
static ito_tensor *channels_shown(ito_tensor *x)
{
    if (x == NULL || !pictures_split(ito_size(x, 1)))
        return x;
    int64_t N = ito_size(x, 0), C = ito_size(x, 1), H = ito_size(x, 2), W = ito_size(x, 3);
    return ito_reshape(ito_transpose(x, 1, 2), N, 1, H, C * W);
}

static ito_tensor *zoomed(ito_tensor *x, int64_t zoom)
{
    return zoom == 1
               ? x
               : ito_repeat_interleave(ito_repeat_interleave(x, zoom, .dim = 2), zoom, .dim = 3);
}

ito_tensor *pictures_grid(ito_tensor *images, const picture_options *o)
{
    if (images == NULL)
        return NULL;
    int64_t n = ito_size(images, 0);
    return ito_image_grid(zoomed(channels_shown(images), o->zoom), columns_of(o, n),
                          padding_of(o, n));
}

static bool write_file(const picture_options *o, ito_tensor *image, int64_t number)
{
    char *path = file_of(o, number);
    ito_scope_begin();
    ito_tensor *picture = path != NULL ? pictures_grid(image, o) : NULL;
    bool good = picture != NULL && ito_image_save(path, picture) == ITO_OK;
    ito_scope_end();
    free(path);
    return good;
}

bool pictures_write(const picture_options *o, ito_tensor *images, int64_t first)
{
    if (o->out == NULL)
        return true;
    if (!pictures_are_files(o)) {
        ito_tensor *grid = pictures_grid(images, o);
        return grid != NULL && ito_image_save(o->out, grid) == ITO_OK;
    }
    for (int64_t i = 0; i < ito_size(images, 0); i++)
        if (!write_file(o, ito_narrow(images, 0, i, 1), first + i))
            return false;
    return true;
}

void pictures_say(const picture_options *o, int64_t n, int64_t channels)
{
    say_where(n, "image", "images", o->out);
    if (o->out != NULL && pictures_split(channels))
        note("the %" PRId64 " channels of each are side by side, in grey\n", channels);
}
