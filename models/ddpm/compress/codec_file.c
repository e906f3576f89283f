/* The header and the frames of compressed images.
 * Invariant: nothing in a file is used before its check is verified, nor a size before it is known
 * to be possible. */
#include "models/ddpm/compress/codec_file.h"

#include "models/ddpm/compress/normal_code.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"

#include <string.h>
#include <zlib.h>

static const char magic[4] = {'I', 't', 'o', 1};
/* Files hold the place in this list: new names go to its end. */
static const char *const isas[] = {"base", "avx2",         "avx512", "avx512bf16",
                                   "amx",  "amx-emulated", "neon",   "neonbf16"};

enum { ISAS = sizeof isas / sizeof *isas, CHECK = 2 };
/* Numbers of all images; more would not fit into memory where such networks run. */
#define NUMBERS_MAX ((int64_t)1 << 28)

/* Checks take little of small files and are frequent in large ones. */
static int64_t frame_room(const code_header *h)
{
    int64_t numbers = shape_numel(h->info.shape);
    return (numbers < 4096 ? 64 : numbers < 65536 ? 256 : 1024) - CHECK;
}

static uint32_t checksum(uint32_t before, const uint8_t *bytes, int64_t size)
{
    return (uint32_t)crc32(before, bytes, (unsigned)size);
}

/* ---- writing ---- */

typedef struct file_bytes {
    uint8_t *next; /* NULL: only count */
    int64_t size;
} file_bytes;

static void put(file_bytes *f, const void *bytes, int64_t size)
{
    if (f->next != NULL) {
        memcpy(f->next, bytes, (size_t)size);
        f->next += size;
    }
    f->size += size;
}

static void put_number(file_bytes *f, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++, value >>= 8)
        put(f, &(uint8_t){(uint8_t)value}, 1);
}

static void put_varint(file_bytes *f, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        put_number(f, value | 0x80, 1);
    put_number(f, value, 1);
}

static void put_header(file_bytes *f, const code_header *h)
{
    const ito_compressed_info *i = &h->info;
    const int64_t *labels = i->labels != NULL ? tensor_data(i->labels) : NULL;
    int isa = 0;
    while (isa < ISAS - 1 && strcmp(isas[isa], h->isa) != 0)
        isa++;
    put(f, magic, sizeof magic);
    put_number(f, (unsigned)h->no_clip | (labels != NULL ? 2u : 0u) | (unsigned)isa << 2, 1);
    for (int k = 0; k < 4; k++)
        put_varint(f, (uint64_t)i->shape.dim[k]);
    put_varint(f, (uint64_t)i->steps);
    put_varint(f, i->seed);
    put_varint(f, (uint64_t)i->block_bits);
    put_varint(f, (uint64_t)i->candidate_bits);
    put_varint(f, (uint64_t)h->stream);
    for (int64_t k = 0; labels != NULL && k < i->shape.dim[0]; k++)
        put_varint(f, (uint64_t)labels[k]);
    put_number(f, h->fingerprint, 4);
    put_number(f, h->pixels, 4);
    put_number(f, h->first_estimate, 2);
}

static int64_t frames_of(const code_header *h)
{
    return (h->stream + frame_room(h) - 1) / frame_room(h);
}

ito_tensor *code_file_make(code_header *h, const uint8_t *stream)
{
    file_bytes f = {.next = NULL};
    put_header(&f, h);
    h->info.header = f.size + CHECK;
    h->info.size = h->info.header + h->stream + CHECK * frames_of(h);
    ito_tensor *file = tensor_empty(ITO_SHAPE(h->info.size), ITO_U8);
    if (file == NULL)
        return NULL;
    uint8_t *start = tensor_data(file);
    f = (file_bytes){.next = start};
    put_header(&f, h);
    uint32_t check = checksum(0, start, f.size);
    put_number(&f, check, CHECK);
    for (int64_t at = 0; at < h->stream; at += frame_room(h)) {
        int64_t size = h->stream - at < frame_room(h) ? h->stream - at : frame_room(h);
        put(&f, stream + at, size);
        check = checksum(check, f.next - size - CHECK, size + CHECK);
        put_number(&f, check, CHECK);
    }
    return file;
}

/* ---- reading ---- */

typedef struct file_cursor {
    const uint8_t *bytes;
    int64_t size, next;
    bool short_; /* it ended too early */
} file_cursor;

static uint64_t take_number(file_cursor *c, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) {
        if (c->next == c->size) {
            c->short_ = true;
            return 0;
        }
        value |= (uint64_t)c->bytes[c->next++] << (8 * i);
    }
    return value;
}

static uint64_t take_varint(file_cursor *c)
{
    uint64_t value = 0, byte = 0x80;
    for (int shift = 0; shift < 64 && (byte & 0x80) != 0; shift += 7) {
        byte = take_number(c, 1);
        value |= (byte & 0x7f) << shift;
    }
    return value;
}

/* Whether the sizes are possible: between 1 and a limit that leaves room for their products. A
 * pixel takes more than 2^-16 bits, since 255 of 2^24 parts are others'. */
static bool sizes_fit(const code_header *h)
{
    const ito_compressed_info *i = &h->info;
    int64_t numbers = 1;
    for (int k = 0; k < 4 && numbers > 0; k++)
        numbers = i->shape.dim[k] < 1 ? -1 : checked_mul(numbers, i->shape.dim[k]);
    return numbers > 0 && numbers <= NUMBERS_MAX && i->steps >= 1 && i->steps <= 1000000 &&
           i->block_bits >= 1 && i->candidate_bits >= i->block_bits &&
           i->candidate_bits <= CANDIDATE_BITS_MAX && h->stream >= 0 &&
           h->stream >= numbers >> 19 && h->stream <= 4 * numbers + 4096;
}

static bool take_labels(file_cursor *c, code_header *h)
{
    int64_t n = h->info.shape.dim[0];
    if (n > c->size - c->next) {
        c->short_ = true;
        return true;
    }
    h->info.labels = tensor_empty(ITO_SHAPE(n), ITO_I64);
    for (int64_t k = 0; h->info.labels != NULL && k < n; k++)
        ((int64_t *)tensor_data(h->info.labels))[k] = (int64_t)(take_varint(c) & INT32_MAX);
    return h->info.labels != NULL;
}

static ito_status damaged_header(const char *source)
{
    return file_error(ITO_ERR_FORMAT, source, "its header is damaged");
}

ito_status code_file_header(const uint8_t *bytes, int64_t size, const char *source,
                            code_header *out)
{
    file_cursor c = {bytes, size, sizeof magic, false};
    code_header h = {.isa = NULL};
    ito_compressed_info *i = &h.info;
    int64_t head = size < (int64_t)sizeof magic ? size : (int64_t)sizeof magic;
    if (size < 1 || memcmp(bytes, magic, (size_t)(head < 3 ? head : 3)) != 0)
        return file_error(ITO_ERR_FORMAT, source, "it holds no images compressed by ito-ddpm");
    if (size > 3 && bytes[3] != (uint8_t)magic[3])
        return file_error(ITO_ERR_FORMAT, source, "it is of version %d, and this reads version %d",
                          bytes[3], magic[3]);
    if (size < (int64_t)sizeof magic)
        c.next = size;
    uint64_t flags = take_number(&c, 1);
    i->shape.ndim = 4;
    for (int k = 0; k < 4; k++)
        i->shape.dim[k] = (int64_t)take_varint(&c);
    i->steps = (int64_t)take_varint(&c);
    i->seed = take_varint(&c);
    i->block_bits = (int)(take_varint(&c) & 0xff);
    i->candidate_bits = (int)(take_varint(&c) & 0xff);
    h.stream = (int64_t)take_varint(&c);
    if (!c.short_ && (flags >> 2 >= ISAS || !sizes_fit(&h)))
        return damaged_header(source);
    if (!c.short_ && (flags & 2) != 0 && !take_labels(&c, &h))
        return ito_error_code();
    h.fingerprint = (uint32_t)take_number(&c, 4);
    h.pixels = (uint32_t)take_number(&c, 4);
    h.first_estimate = (uint16_t)take_number(&c, 2);
    int64_t end = c.next;
    uint64_t check = take_number(&c, CHECK);
    if (c.short_)
        return file_error(ITO_ERR_FORMAT, source,
                          "it ends after %" PRId64 " bytes, within its header", size);
    h.check = checksum(0, bytes, end);
    if ((uint16_t)h.check != check)
        return damaged_header(source);
    h.isa = isas[flags >> 2];
    h.no_clip = (flags & 1) != 0;
    i->header = c.next;
    i->size = i->header + h.stream + CHECK * frames_of(&h);
    *out = h;
    return ITO_OK;
}

uint8_t *code_file_stream(const code_header *h, const uint8_t *bytes, int64_t there,
                          const char *source, int64_t *size, int64_t *read)
{
    if (there > h->info.size) {
        file_error(ITO_ERR_FORMAT, source, "it has %" PRId64 " bytes, of which %" PRId64 " belong",
                   there, h->info.size);
        return NULL;
    }
    int64_t room = frame_room(h), frames = frames_of(h);
    uint8_t *stream = mem_alloc((size_t)h->stream + 1);
    uint32_t check = h->check;
    *size = 0;
    *read = h->info.header;
    for (int64_t k = 0; stream != NULL && k < frames; k++) {
        int64_t count = h->stream - *size < room ? h->stream - *size : room;
        if (*read + count + CHECK > there)
            break;
        const uint8_t *frame = bytes + *read;
        check = checksum(check, frame - CHECK, count + CHECK);
        if ((uint16_t)check != (uint16_t)(frame[count] | frame[count + 1] << 8)) {
            file_error(ITO_ERR_FORMAT, source,
                       "it is damaged within bytes %" PRId64 " to %" PRId64 " (part %" PRId64
                       " of %" PRId64 ")",
                       *read, *read + count + CHECK - 1, k + 1, frames);
            mem_free(stream);
            return NULL;
        }
        memcpy(stream + *size, frame, (size_t)count);
        *size += count;
        *read += count + CHECK;
    }
    return stream;
}
