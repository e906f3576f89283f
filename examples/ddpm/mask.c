/* Masks of images.
 * Invariant: a mask that is returned has pixels of both kinds. */
#include "examples/ddpm/mask.h"

#include "examples/common/file_kinds.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* ---- the array of a file ---- */

/* A picture as its brightness, u8 [1, H, W]. */
static ito_tensor *load_picture(const char *path)
{
    ito_image_properties has;
    if (ito_image_info(path, &has) != ITO_OK)
        return NULL;
    if (!has.has_alpha)
        return ito_image_load(path, 1);
    ito_error_set(ITO_ERR_ARGUMENT,
                  "%s: it has transparency, which may stand for what stays or what is completed; "
                  "save the mask in black and white, without an alpha channel",
                  path);
    return NULL;
}

static ito_tensor *refuse_shape(const char *path, const ito_tensor *x, int64_t height,
                                int64_t width)
{
    char shape[64] = "";
    size_t used = 0;
    for (int i = 0; i < ito_ndim(x) && used < sizeof shape - 24; i++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%" PRId64, i > 0 ? ", " : "",
                                 ito_size(x, i));
    ito_error_set(ITO_ERR_SHAPE,
                  "%s: the mask is [%s]; for this network one is [%" PRId64 ", %" PRId64
                  "], or that with an axis of channels",
                  path, shape, height, width);
    return NULL;
}

/* The array of a file as [C or 1, H, W]; NULL with an error recorded. */
static ito_tensor *as_channels(const char *path, ito_tensor *array, int64_t channels,
                               int64_t height, int64_t width)
{
    ito_tensor *x = array;
    if (ito_ndim(x) == 4 && ito_size(x, 0) == 1)
        x = ito_squeeze(x, 0);
    if (ito_ndim(x) == 2)
        x = ito_unsqueeze(x, 0);
    if (ito_ndim(x) != 3)
        return refuse_shape(path, array, height, width);
    bool first = ito_size(x, 1) == height && ito_size(x, 2) == width;
    bool last = ito_size(x, 0) == height && ito_size(x, 1) == width;
    int64_t c = ito_size(x, first ? 0 : 2);
    if ((!first && !last) || (c != 1 && c != channels))
        return refuse_shape(path, array, height, width);
    return first ? x : ito_permute(x, 2, 0, 1);
}

/* ---- what its numbers mean ---- */

/* Set *least to the number that those of kept pixels are above. */
static bool find_least(const char *path, bool picture, const ito_tensor *x, double low, double high,
                       double *least)
{
    if (picture || ito_dtype_of(x) == ITO_U8)
        *least = high <= 1.0 ? 0.0 : 127.0;
    else if (low >= 0.0 && high <= 1.0)
        *least = 0.5;
    else if (low >= -1.0 && high <= 1.0)
        *least = 0.0;
    else if (low >= 0.0 && high <= 255.0)
        *least = 127.0;
    else {
        ito_error_set(ITO_ERR_RANGE,
                      "%s: the mask has numbers from %g to %g; one has 0 where the "
                      "image is completed and 1, or 255, where it stays",
                      path, low, high);
        return false;
    }
    return true;
}

/* x [C, H, W] as bool. */
static ito_tensor *keep_above(const char *path, bool picture, ito_tensor *x)
{
    ito_tensor *values = ito_cast(x, ITO_F64), *finite = ito_all(ito_isfinite(values));
    double least, low = ito_item(ito_min(values)), high = ito_item(ito_max(values));
    if (finite == NULL)
        return NULL;
    if (ito_item(finite) == 0.0) {
        ito_error_set(ITO_ERR_RANGE, "%s: the mask has a number that is not finite", path);
        return NULL;
    }
    if (!find_least(path, picture, x, low, high, &least))
        return NULL;
    if (low > least || high <= least) {
        ito_error_set(ITO_ERR_ARGUMENT,
                      low > least ? "%s: the mask keeps all of the image (its numbers are from %g "
                                    "to %g), so that there is nothing to complete"
                                  : "%s: the mask keeps nothing of the image (its numbers are from "
                                    "%g to %g); ito-ddpm sample makes whole images",
                      path, low, high);
        return NULL;
    }
    return ito_gt(values, ito_full(ITO_SHAPE(), least, ITO_F64));
}

ito_tensor *mask_load(const char *path, int64_t channels, int64_t height, int64_t width)
{
    bool picture = file_kind_of(path) != FILE_NPY;
    ito_tensor *x = picture ? load_picture(path) : ito_npy_load(path);
    if (x == NULL)
        return NULL;
    x = as_channels(path, x, channels, height, width);
    x = x != NULL ? keep_above(path, picture, x) : NULL;
    return ito_contiguous(ito_expand(ito_unsqueeze(x, 0), 1, channels, height, width));
}
