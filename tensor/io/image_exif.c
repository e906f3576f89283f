/* The orientation that a camera notes, and pictures turned by it.
 * Source: CIPA DC-008, Exchangeable image file format (Exif) 2.32, sections 4.5.2 and 4.6.4. */
#include "tensor/internal.h"
#include "tensor/io/image_header.h"

#include <string.h>

/* A number of 2 or 4 bytes, of which the most significant is the first or the last. */
static int64_t number(const unsigned char *b, int bytes, bool big)
{
    int64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | b[big ? i : bytes - 1 - i];
    return value;
}

int exif_orientation(const unsigned char *bytes, int64_t n)
{
    enum { HEAD = 8, ENTRY = 12, ORIENTATION = 0x0112, SHORT = 3 };
    bool big = n >= HEAD && memcmp(bytes, "MM\0*", 4) == 0;
    if (!big && (n < HEAD || memcmp(bytes, "II*\0", 4) != 0))
        return 1;
    int64_t at = number(bytes + 4, 4, big);
    if (at > n - 2)
        return 1;
    int64_t entries = number(bytes + at, 2, big);
    for (at += 2; entries > 0 && at <= n - ENTRY; entries--, at += ENTRY) {
        const unsigned char *entry = bytes + at;
        if (number(entry, 2, big) != ORIENTATION)
            continue;
        int64_t value = number(entry + 8, 2, big);
        bool good = number(entry + 2, 2, big) == SHORT && number(entry + 4, 4, big) == 1 &&
                    value >= 1 && value <= 8;
        return good ? (int)value : 1;
    }
    return 1;
}

unsigned char *exif_turn(unsigned char *pixels, int64_t *width, int64_t *height, int channels,
                         int orientation)
{
    static const bool flip_row[9] = {[3] = true, [4] = true, [6] = true, [7] = true};
    static const bool flip_column[9] = {[2] = true, [3] = true, [7] = true, [8] = true};
    if (orientation == 1)
        return pixels;
    int64_t w = *width, h = *height;
    unsigned char *turned = mem_alloc((size_t)(w * h * channels)), *out = turned;
    if (turned == NULL)
        return NULL;
    bool swap = orientation >= 5; /* rows become columns */
    *width = swap ? h : w;
    *height = swap ? w : h;
    for (int64_t y = 0; y < *height; y++)
        for (int64_t x = 0; x < *width; x++, out += channels) {
            int64_t row = swap ? x : y, column = swap ? y : x;
            row = flip_row[orientation] ? h - 1 - row : row;
            column = flip_column[orientation] ? w - 1 - column : column;
            memcpy(out, pixels + (row * w + column) * channels, (size_t)channels);
        }
    mem_free(pixels);
    return turned;
}
