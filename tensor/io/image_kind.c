/* Which kind of image a file is, by its first bytes, whatever its name ends in. */
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/image_header.h"

#include <string.h>

/* A file begins with some bytes, and has others further on. */
typedef struct signature {
    const char *name;
    image_kind kind; /* IMAGE_UNREAD: known by name alone */
    int n;           /* bytes of start */
    const char *start;
    int at, m; /* and m bytes of then at `at` */
    const char *then;
} signature;

static const signature signatures[] = {
    {"PNG", IMAGE_PNG, 8, "\x89PNG\r\n\x1a\n", 0, 0, ""},
    {"JPEG", IMAGE_JPEG, 3, "\xff\xd8\xff", 0, 0, ""},
    {"BMP", IMAGE_BMP, 2, "BM", 0, 0, ""},
    {"WebP", IMAGE_WEBP, 4, "RIFF", 8, 4, "WEBP"},
    {"GIF", IMAGE_UNREAD, 4, "GIF8", 0, 0, ""},
    {"TIFF", IMAGE_UNREAD, 4, "II*\0", 0, 0, ""},
    {"TIFF", IMAGE_UNREAD, 4, "MM\0*", 0, 0, ""},
    {"AVIF", IMAGE_UNREAD, 0, "", 4, 7, "ftypavi"},
    {"HEIC", IMAGE_UNREAD, 0, "", 4, 6, "ftyphe"},
    {"HEIC", IMAGE_UNREAD, 0, "", 4, 8, "ftypmif1"},
    {"HEIC", IMAGE_UNREAD, 0, "", 4, 8, "ftypmsf1"},
    {"JPEG XL", IMAGE_UNREAD, 2, "\xff\x0a", 0, 0, ""},
    {"JPEG XL", IMAGE_UNREAD, 8, "\0\0\0\x0cJXL ", 0, 0, ""},
};

ito_status image_kind_of(const char *path, const unsigned char *bytes, int64_t size,
                         image_kind *kind)
{
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const signature *s = &signatures[i];
        if (size < s->n || size < s->at + s->m || memcmp(bytes, s->start, (size_t)s->n) != 0 ||
            memcmp(bytes + s->at, s->then, (size_t)s->m) != 0)
            continue;
        *kind = s->kind;
        return s->kind != IMAGE_UNREAD
                   ? ITO_OK
                   : file_error(ITO_ERR_FORMAT, path,
                                "is a %s image, which is not read; convert it to PNG", s->name);
    }
    return file_error(ITO_ERR_FORMAT, path, "is not a PNG, JPEG, BMP or WebP image");
}
