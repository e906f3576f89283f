/* Pictures out: PNG, still and animated, and JPEG.
 * Invariant: a file is complete or not there. */
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/image.h"
#include "tensor/io/image_check.h"
#include "tensor/io/image_stb.h"

#include <string.h>
#include <strings.h>
#include <zlib.h>

typedef struct picture {
    int64_t channels, height, width;
} picture;

static ito_status check(const char *op, picture p)
{
    if (p.height >= 1 && p.width >= 1 && p.height <= IMAGE_MAX_SIDE && p.width <= IMAGE_MAX_SIDE &&
        p.height * p.width <= IMAGE_MAX_PIXELS)
        return ITO_OK;
    return error_status(ITO_ERR_SHAPE,
                        "%s: %" PRId64 " x %" PRId64 " pixels: at most %d a side and %" PRId64
                        " in all are written",
                        op, p.width, p.height, IMAGE_MAX_SIDE, IMAGE_MAX_PIXELS);
}

/* Pixels, channel after channel, as a file in memory, from mem_alloc: JPEG of that quality, PNG for
 * a quality of 0. */
static unsigned char *encode(const unsigned char *in, picture p, int64_t quality, int64_t *size)
{
    int64_t pixels = p.height * p.width;
    unsigned char *rows = mem_alloc((size_t)(pixels * p.channels)), *file = NULL;
    for (int64_t i = 0; rows != NULL && i < pixels; i++)
        for (int64_t c = 0; c < p.channels; c++)
            rows[i * p.channels + c] = in[c * pixels + i];
    if (rows != NULL && quality == 0)
        file = stb_encode_png(rows, p.width, p.height, (int)p.channels, size);
    else if (rows != NULL)
        file = stb_encode_jpeg(rows, p.width, p.height, (int)p.channels, (int)quality, size);
    mem_free(rows);
    return file;
}

static ito_status save(const char *op, const char *path, const ito_tensor *image, int64_t quality)
{
    if (image == NULL)
        return error_status(ITO_ERR_ARGUMENT, "%s: there is no image", op);
    if (image->dtype != ITO_U8)
        return error_status(ITO_ERR_DTYPE, "%s: %s is not u8", op, ito_dtype_name(image->dtype));
    int64_t channels = image->ndim == 3 ? image->shape[0] : 1, size;
    if ((image->ndim != 2 && image->ndim != 3) || (channels != 1 && channels != 3))
        return error_status(ITO_ERR_SHAPE, "%s: shape %s is not [H, W], [1, H, W] or [3, H, W]", op,
                            tensor_shape_str(image));
    picture p = {channels, image->shape[image->ndim - 2], image->shape[image->ndim - 1]};
    if (check(op, p) != ITO_OK)
        return ito_error_code();
    ito_tensor *rows = tensor_contiguous(image);
    unsigned char *file = rows != NULL ? encode(tensor_data(rows), p, quality, &size) : NULL;
    ito_status status =
        file != NULL ? file_write_atomic(path, file, (size_t)size) : ito_error_code();
    mem_free(file);
    if (rows != image)
        ito_release(tensor_disown(rows));
    return status;
}

ito_status ito_png_save(const char *path, const ito_tensor *image)
{
    return save("png_save", path, image, 0);
}

/* ---- by the ending of the name -----------------------------------------------------------------
 */

static bool ends_with(const char *path, const char *end)
{
    size_t n = strlen(path), m = strlen(end);
    return n >= m && strcasecmp(path + n - m, end) == 0;
}

static bool is_jpeg(const char *path)
{
    return ends_with(path, ".jpg") || ends_with(path, ".jpeg");
}

bool ito_image_can_save(const char *path)
{
    return ends_with(path, ".png") || is_jpeg(path);
}

ito_status ito_image_save_with(const char *path, const ito_tensor *image,
                               ito_image_save_options options)
{
    if (!ito_image_can_save(path))
        return file_error(ITO_ERR_ARGUMENT, path,
                          "the name of a picture ends in .png, .jpg or .jpeg");
    if (options.quality < 1 || options.quality > 100)
        return error_status(ITO_ERR_RANGE,
                            "image_save: a quality of %" PRId64 "; it can be 1 to 100",
                            options.quality);
    return save("image_save", path, image, is_jpeg(path) ? options.quality : 0);
}

/* ---- APNG --------------------------------------------------------------------------------------
 * https://www.w3.org/TR/png-3: a PNG of the last frame, then each frame as the numbered chunks fcTL
 * (its size and time) and fdAT (the IDAT of a PNG of its own). */

enum { SIGNATURE = 8, IHDR = 12 + 13, CHUNK = 12, MOST_FRAMES = 100000, MOST_MILLISECONDS = 65535 };

typedef struct apng {
    file_writer file;
    int64_t at;        /* bytes written */
    uint32_t sequence; /* number of the next chunk of the animation */
} apng;

static void put(unsigned char *out, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        out[i] = (unsigned char)(value >> 8 * (bytes - 1 - i));
}

static ito_status put_bytes(apng *a, const void *bytes, size_t size)
{
    ito_status status = file_write(&a->file, bytes, size, a->at);
    a->at += (int64_t)size;
    return status;
}

/* A chunk whose content is in two parts. */
static ito_status put_chunk(apng *a, const char *type, const unsigned char *head, size_t head_size,
                            const unsigned char *data, size_t data_size)
{
    unsigned char begin[8], end[4];
    put(begin, (uint32_t)(head_size + data_size), 4);
    memcpy(begin + 4, type, 4);
    uLong crc = crc32(crc32(0, begin + 4, 4), head, (uInt)head_size);
    if (data_size > 0)
        crc = crc32(crc, data, (uInt)data_size);
    put(end, (uint32_t)crc, 4);
    ito_status status = put_bytes(a, begin, 8);
    if (status == ITO_OK)
        status = put_bytes(a, head, head_size);
    if (status == ITO_OK && data_size > 0)
        status = put_bytes(a, data, data_size);
    return status == ITO_OK ? put_bytes(a, end, 4) : status;
}

/* A frame, as the PNG file of it that the encoder makes: signature, IHDR, one IDAT, IEND. */
static ito_status put_frame(apng *a, const unsigned char *png, int64_t size, int64_t milliseconds)
{
    unsigned char control[26] = {0}, number[4];
    put(control, a->sequence++, 4);
    memcpy(control + 4, png + SIGNATURE + 8, 8); /* width and height */
    put(control + 20, (uint32_t)milliseconds, 2);
    put(control + 22, 1000, 2);
    put(number, a->sequence++, 4);
    ito_status status = put_chunk(a, "fcTL", control, sizeof control, NULL, 0);
    const unsigned char *data = png + SIGNATURE + IHDR + 8;
    size_t length = (size_t)(size - SIGNATURE - IHDR - 2 * CHUNK);
    return status == ITO_OK ? put_chunk(a, "fdAT", number, 4, data, length) : status;
}

/* All before the frames: what a reader that knows no animation shows, too. */
static ito_status put_still(apng *a, const unsigned char *png, int64_t size, int64_t frames)
{
    unsigned char control[8] = {0}; /* plays for ever */
    put(control, (uint32_t)frames, 4);
    ito_status status = put_bytes(a, png, SIGNATURE + IHDR);
    if (status == ITO_OK)
        status = put_chunk(a, "acTL", control, sizeof control, NULL, 0);
    return status == ITO_OK
               ? put_bytes(a, png + SIGNATURE + IHDR, (size_t)(size - SIGNATURE - IHDR - CHUNK))
               : status;
}

/* All that comes before the end: the last frame, then each. */
static ito_status put_frames(apng *a, const unsigned char *frames, int64_t n, picture p,
                             int64_t milliseconds, int64_t last)
{
    ito_status status = ITO_OK;
    for (int64_t i = -1; status == ITO_OK && i < n; i++) {
        int64_t size = 0;
        unsigned char *png =
            encode(frames + (i < 0 ? n - 1 : i) * p.channels * p.height * p.width, p, 0, &size);
        status = png == NULL ? ito_error_code()
                 : i < 0     ? put_still(a, png, size, n)
                             : put_frame(a, png, size, i == n - 1 ? last : milliseconds);
        mem_free(png);
    }
    return status;
}

ito_status ito_apng_save(const char *path, const ito_tensor *frames, int64_t milliseconds,
                         int64_t last)
{
    static const unsigned char end[CHUNK] = "\0\0\0\0IEND\xae\x42\x60\x82";
    if (frames == NULL)
        return error_status(ITO_ERR_ARGUMENT, "apng_save: there are no frames");
    if (frames->dtype != ITO_U8)
        return error_status(ITO_ERR_DTYPE, "apng_save: %s is not u8",
                            ito_dtype_name(frames->dtype));
    int64_t n = frames->shape[0], channels = frames->shape[1];
    if (frames->ndim != 4 || n < 1 || n > MOST_FRAMES || (channels != 1 && channels != 3))
        return error_status(ITO_ERR_SHAPE, "apng_save: shape %s is not [1 to %d, 1 or 3, H, W]",
                            tensor_shape_str(frames), MOST_FRAMES);
    if (milliseconds < 0 || milliseconds > MOST_MILLISECONDS || last < 0 ||
        last > MOST_MILLISECONDS)
        return error_status(ITO_ERR_RANGE,
                            "apng_save: frames of %" PRId64 " ms, the last of %" PRId64
                            " ms; they can last 0 to %d",
                            milliseconds, last, MOST_MILLISECONDS);
    picture p = {channels, frames->shape[2], frames->shape[3]};
    if (check("apng_save", p) != ITO_OK)
        return ito_error_code();
    apng a = {.at = 0};
    ito_tensor *rows = tensor_contiguous(frames);
    ito_status status = rows != NULL ? file_write_begin(&a.file, path) : ito_error_code();
    if (status == ITO_OK)
        status = put_frames(&a, tensor_data(rows), n, p, milliseconds, last);
    if (status == ITO_OK)
        status = put_bytes(&a, end, sizeof end);
    if (status == ITO_OK)
        status = file_write_commit(&a.file);
    file_write_abandon(&a.file);
    if (rows != frames)
        ito_release(tensor_disown(rows));
    return status;
}
