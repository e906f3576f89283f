/* JPEG files judged before a decoder sees them, every marker and segment up to the end of image,
 * and rebuilt from what decides their pixels.
 * Invariant: in a file that passed, each table fits its place, each scan finds the tables it names,
 * and there is at least the data that so many blocks must take. Bytes between segments are left
 * out, and which colours the components are is decided here, both as in libjpeg.
 * Source: ITU-T T.81, annex B; T.872, section 6.5.3 (Adobe's marker). */
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/image_check.h"
#include "tensor/io/image_header.h"

#include <string.h>

enum {
    TEM = 0x01,  /* the first of the markers without a segment */
    SOF0 = 0xc0, /* baseline */
    SOF1 = 0xc1, /* extended sequential */
    SOF2 = 0xc2, /* progressive */
    SOF3 = 0xc3, /* lossless */
    DHT = 0xc4,
    SOF7 = 0xc7, /* the last of the hierarchical ones */
    SOF9 = 0xc9, /* the first of those with arithmetic coding */
    DAC = 0xcc,
    SOF15 = 0xcf,
    RST0 = 0xd0,
    RST7 = 0xd7,
    EOI = 0xd9,
    SOS = 0xda,
    DQT = 0xdb,
    DNL = 0xdc,
    DRI = 0xdd,
    APP0 = 0xe0,
    APP1 = 0xe1,
    APP14 = 0xee,
    APP15 = 0xef,
    COM = 0xfe,
    MAX_SCANS = 100,  /* a progressive image needs about ten; each costs a pass over all blocks */
    MAX_DC_SIZE = 11, /* bits of a difference of 8-bit samples' DC coefficients */
    MAX_COMPONENTS = 4,
    FRAME = 6, /* bytes of a frame before its components */
    EXIF = 6,  /* and of an EXIF segment before its data: "Exif", 0, 0 */
};

/* What Adobe's marker says of the colours, and how a rebuilt file says it. */
enum { AS_THEY_ARE = 0, YCBCR = 1, YCCK = 2, NOT_SAID = -1 };
static const unsigned char adobe[18] = "\xff\xd8\xff\xee\0\x0e"
                                       "Adobe\0\x64\0\0\0\0";

typedef struct component {
    int id, horizontal, vertical, quantiser;
} component;

typedef struct jpeg {
    image_file *file;
    int64_t next, end; /* of the segment, or of the file */
    bool progressive;
    int components; /* 0: no frame yet */
    component component[MAX_COMPONENTS];
    bool huffman[2][4], quantiser[4]; /* which tables there are: DC and AC */
    int scans;
    bool scanned[MAX_COMPONENTS];
    bool has_jfif, has_exif;
    int adobe; /* or NOT_SAID */
    unsigned char *rebuilt;
    int64_t rebuilt_size, data_size; /* data_size: of the scans alone */
} jpeg;

static ito_status refuse(const jpeg *j, const char *fault)
{
    return file_error(ITO_ERR_FORMAT, j->file->path, "JPEG %s before byte %" PRId64, fault,
                      j->next);
}

/* The next byte of the segment; its end has been checked by the caller. */
static int byte(jpeg *j)
{
    return j->file->bytes[j->next++];
}

static bool has(const jpeg *j, int64_t n)
{
    return j->end - j->next >= n;
}

static ito_status read_quantisers(jpeg *j)
{
    while (has(j, 1)) {
        int info = byte(j), bytes = info >> 4 == 0 ? 64 : 128;
        if (info >> 4 > 1 || (info & 15) > 3 || !has(j, bytes))
            return refuse(j, "quantisation table is malformed");
        j->quantiser[info & 15] = true;
        j->next += bytes;
    }
    return ITO_OK;
}

/* Counts of codes of 1 to 16 bits, and as many symbols. No more than 256, and no more codes of a
 * length than the shorter ones leave. */
static ito_status read_huffman(jpeg *j)
{
    while (has(j, 1)) {
        int info = byte(j), total = 0, free_codes = 1;
        if (info >> 4 > 1 || (info & 15) > 3 || !has(j, 16))
            return refuse(j, "Huffman table is malformed");
        for (int bits = 1; bits <= 16; bits++) {
            int count = byte(j);
            total += count;
            free_codes = 2 * free_codes - count;
            if (free_codes < 0)
                return refuse(j, "Huffman table has too many codes");
        }
        if (total > 256 || !has(j, total))
            return refuse(j, "Huffman table has too many codes");
        bool dc = info >> 4 == 0;
        for (int i = 0; i < total; i++)
            if (byte(j) > MAX_DC_SIZE && dc)
                return refuse(j, "Huffman table has a symbol too large");
        j->huffman[info >> 4][info & 15] = true;
    }
    return ITO_OK;
}

static ito_status read_component(jpeg *j, component *c)
{
    c->id = byte(j);
    int sampling = byte(j);
    c->horizontal = sampling >> 4;
    c->vertical = sampling & 15;
    c->quantiser = byte(j);
    if (c->horizontal < 1 || c->horizontal > 4 || c->vertical < 1 || c->vertical > 4 ||
        c->quantiser > 3)
        return refuse(j, "frame header is malformed");
    for (const component *other = j->component; other < c; other++)
        if (other->id == c->id)
            return refuse(j, "frame header names a component twice");
    return ITO_OK;
}

/* Whether so many bytes can hold the image. A block takes two bits at least, one of its DC and one
 * of its AC coefficients; in a progressive image the latter may be shared. */
static ito_status check_plausible(const jpeg *j, int64_t bytes)
{
    const image_file *f = j->file;
    int64_t blocks = 0;
    int h_max = 1, v_max = 1;
    for (int i = 0; i < j->components; i++) {
        const component *c = &j->component[i];
        h_max = c->horizontal > h_max ? c->horizontal : h_max;
        v_max = c->vertical > v_max ? c->vertical : v_max;
    }
    for (int i = 0; i < j->components; i++) {
        const component *c = &j->component[i];
        if (h_max % c->horizontal != 0 || v_max % c->vertical != 0)
            return refuse(j, "sampling factors are not whole ratios");
        int across = 8 * h_max / c->horizontal, down = 8 * v_max / c->vertical;
        blocks += (f->width + across - 1) / across * ((f->height + down - 1) / down);
    }
    if ((j->progressive ? 1 : 2) * blocks / 8 > bytes)
        return file_error(ITO_ERR_FORMAT, f->path,
                          "JPEG of %" PRId64 " x %" PRId64 " pixels cannot fit in %" PRId64
                          " bytes",
                          f->width, f->height, bytes);
    return ITO_OK;
}

/* The six bytes that a frame begins with: bits, height, width, components. */
static ito_status read_size(image_file *f, const unsigned char *b, int64_t bytes, int *components)
{
    if (b[0] != 8)
        return file_error(ITO_ERR_FORMAT, f->path, "JPEG of %d bits a sample is not read", b[0]);
    *components = b[5];
    if ((b[5] != 1 && b[5] != 3 && b[5] != 4) || bytes != FRAME + 3 * b[5])
        return file_error(ITO_ERR_FORMAT, f->path, "JPEG of %d components is not read", b[5]);
    return image_check_size(f, b[3] << 8 | b[4], b[1] << 8 | b[2]);
}

static ito_status read_frame(jpeg *j, int marker)
{
    if (j->components > 0)
        return refuse(j, "has a second frame");
    if (!has(j, FRAME))
        return refuse(j, "frame header is truncated");
    int components = 0;
    ito_status status = read_size(j->file, j->file->bytes + j->next, j->end - j->next, &components);
    j->next += FRAME;
    for (int i = 0; i < components && status == ITO_OK; i++)
        status = read_component(j, &j->component[i]);
    j->progressive = marker == SOF2;
    j->components = components;
    return status == ITO_OK ? check_plausible(j, j->file->size) : status;
}

/* What libjpeg takes the components for, once the first scan begins. */
static int colours(const jpeg *j)
{
    const component *c = j->component;
    if (j->components == 4)
        return j->adobe == NOT_SAID || j->adobe == AS_THEY_ARE ? AS_THEY_ARE : YCCK;
    if (j->has_jfif || j->adobe != NOT_SAID)
        return j->has_jfif || j->adobe != AS_THEY_ARE ? YCBCR : AS_THEY_ARE;
    return c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B' ? AS_THEY_ARE : YCBCR;
}

static ito_status check_spectrum(jpeg *j, int components)
{
    int first = byte(j), last = byte(j), approximation = byte(j);
    int high = approximation >> 4, low = approximation & 15;
    bool good = j->progressive ? first <= last && last <= 63 && high <= 13 && low <= 13 &&
                                     (first == 0 ? last == 0 : components == 1)
                               : first == 0 && approximation == 0;
    return good ? ITO_OK : refuse(j, "scan header is malformed");
}

static ito_status read_scan(jpeg *j)
{
    if (j->components == 0)
        return refuse(j, "has a scan without a frame");
    if (++j->scans > MAX_SCANS)
        return refuse(j, "has too many scans");
    int n = has(j, 1) ? byte(j) : 0;
    if (n < 1 || n > j->components || j->end - j->next != 2 * n + 3)
        return refuse(j, "scan header is malformed");
    const unsigned char *spectrum = j->file->bytes + j->next + 2 * n;
    bool ac_used = spectrum[0] > 0 || !j->progressive;
    bool dc_used = spectrum[0] == 0 && spectrum[2] >> 4 == 0; /* refined bits have no code */
    for (int i = 0; i < n; i++) {
        int id = byte(j), tables = byte(j), which = 0;
        while (which < j->components && j->component[which].id != id)
            which++;
        if (which == j->components)
            return refuse(j, "scan names a component that the frame lacks");
        int dc = tables >> 4, ac = tables & 15;
        if (dc > 3 || ac > 3 || (dc_used && !j->huffman[0][dc]) ||
            (ac_used && !j->huffman[1][ac]) || !j->quantiser[j->component[which].quantiser])
            return refuse(j, "scan uses a table that is not there");
        j->scanned[which] = true;
    }
    return check_spectrum(j, n);
}

/* ---- what is kept ------------------------------------------------------------------------------
 */

static void keep(jpeg *j, const void *bytes, int64_t n)
{
    memcpy(j->rebuilt + j->rebuilt_size, bytes, (size_t)n);
    j->rebuilt_size += n;
}

/* The segment with its marker, whose bytes lie from begin to j->end. Components are numbered from 1
 * on: their names mean something to a decoder. */
static void keep_segment(jpeg *j, int marker, int64_t begin)
{
    int64_t length = j->end - begin + 2;
    unsigned char *out = j->rebuilt + j->rebuilt_size + 4;
    keep(j,
         (unsigned char[]){0xff, (unsigned char)marker, (unsigned char)(length >> 8),
                           (unsigned char)length},
         4);
    keep(j, j->file->bytes + begin, length - 2);
    for (int i = 0; i < j->components && marker >= SOF0 && marker <= SOF2; i++)
        out[6 + 3 * i] = (unsigned char)(i + 1);
    for (int i = 0; marker == SOS && i < out[0]; i++)
        for (int k = 0; k < j->components; k++)
            if (j->file->bytes[begin + 1 + 2 * i] == j->component[k].id)
                out[1 + 2 * i] = (unsigned char)(k + 1);
    if (marker == SOS && j->scans == 1)
        j->rebuilt[sizeof adobe - 1] = (unsigned char)colours(j);
}

/* A scan's data: to the next marker that is neither a stuffed byte nor a restart. */
static ito_status keep_data(jpeg *j)
{
    const unsigned char *bytes = j->file->bytes;
    int64_t begin = j->next;
    while (j->next + 1 < j->file->size) {
        const unsigned char *ff =
            memchr(bytes + j->next, 0xff, (size_t)(j->file->size - 1 - j->next));
        if (ff == NULL)
            break;
        int64_t at = ff - bytes, marker = at + 1;
        while (marker < j->file->size - 1 && bytes[marker] == 0xff) /* fill bytes */
            marker++;
        int code = bytes[marker];
        j->next = marker + 1;
        if (code != 0 && (code < RST0 || code > RST7)) {
            j->next = at;
            keep(j, bytes + begin, at - begin);
            j->data_size += at - begin;
            return ITO_OK;
        }
    }
    return refuse(j, "file is truncated");
}

/* ---- segments ----------------------------------------------------------------------------------
 */

static bool begins(const jpeg *j, const char *name, int n, int64_t at_least)
{
    return has(j, at_least) && memcmp(j->file->bytes + j->next, name, (size_t)n) == 0;
}

/* What an application left: the colours and the orientation. */
static void read_application(jpeg *j, int marker)
{
    const unsigned char *b = j->file->bytes + j->next;
    if (marker == APP0 && begins(j, "JFIF", 5, 14))
        j->has_jfif = true;
    if (marker == APP14 && begins(j, "Adobe", 5, 12))
        j->adobe = b[11];
    if (marker == APP1 && begins(j, "Exif\0", EXIF, EXIF) && !j->has_exif && j->scans == 0) {
        j->has_exif = true;
        j->file->orientation = exif_orientation(b + EXIF, j->end - j->next - EXIF);
    }
}

static ito_status refuse_kind(const char *path, int marker)
{
    const char *kind = marker == SOF3                      ? "lossless"
                       : marker > SOF3 && marker <= SOF7   ? "hierarchical"
                       : marker >= SOF9 && marker <= SOF15 ? "arithmetic-coded"
                                                           : NULL;
    return kind != NULL
               ? file_error(ITO_ERR_FORMAT, path,
                            "%s JPEG (marker 0x%02x) is not read; convert it to PNG", kind, marker)
               : file_error(ITO_ERR_FORMAT, path, "JPEG marker 0x%02x is not read", marker);
}

static ito_status read_segment(jpeg *j, int marker)
{
    if (marker == DQT)
        return read_quantisers(j);
    if (marker == DHT)
        return read_huffman(j);
    if (marker == SOF0 || marker == SOF1 || marker == SOF2)
        return read_frame(j, marker);
    if (marker == SOS)
        return read_scan(j);
    if (marker == DRI)
        return j->end - j->next == 2 ? ITO_OK : refuse(j, "restart interval is malformed");
    read_application(j, marker);
    bool passed_over = marker == COM || marker == DNL || marker == DAC;
    return passed_over || (marker >= APP0 && marker <= APP15) ? ITO_OK
                                                              : refuse_kind(j->file->path, marker);
}

static bool begins_part(int marker)
{
    return marker > TEM && marker != 0xff && (marker < RST0 || marker > RST7);
}

/* The next marker that begins a segment or ends the image. As in libjpeg, what is none is passed
 * over: bytes that do not belong there, stuffed bytes, restarts that come too late. */
static ito_status read_marker(jpeg *j, int *marker)
{
    const image_file *f = j->file;
    while (j->next + 1 < f->size) {
        const unsigned char *ff = memchr(f->bytes + j->next, 0xff, (size_t)(f->size - 1 - j->next));
        if (ff == NULL)
            break;
        j->next = ff - f->bytes + 1;
        while (j->next < f->size - 1 && f->bytes[j->next] == 0xff) /* any number may come first */
            j->next++;
        *marker = f->bytes[j->next++];
        if (begins_part(*marker))
            return ITO_OK;
    }
    j->next = f->size;
    return refuse(j, "file is truncated");
}

/* One marker and its segment; *ended at the end of the image. */
static ito_status read_part(jpeg *j, bool *ended)
{
    int marker = 0;
    ito_status status = read_marker(j, &marker);
    *ended = marker == EOI;
    if (status != ITO_OK || *ended)
        return status;
    j->end = j->file->size;
    if (!has(j, 2))
        return refuse(j, "file is truncated");
    int length = byte(j) << 8;
    length |= byte(j);
    if (length < 2 || !has(j, length - 2))
        return refuse(j, "segment is truncated");
    int64_t begin = j->next, end = begin + length - 2;
    j->end = end;
    status = read_segment(j, marker);
    if (status != ITO_OK)
        return status;
    j->next = end;
    if (marker < APP0 && marker != DNL && marker != DAC)
        keep_segment(j, marker, begin);
    return marker == SOS ? keep_data(j) : ITO_OK;
}

/* What follows the end of the image is not looked at: cameras put previews there. */
static ito_status walk(jpeg *j)
{
    ito_status status = ITO_OK;
    keep(j, adobe, sizeof adobe);
    for (bool ended = false; status == ITO_OK && !ended;)
        status = read_part(j, &ended);
    for (int i = 0; i < j->components && status == ITO_OK; i++)
        if (!j->scanned[i])
            status = refuse(j, "ends without all its scans");
    if (status == ITO_OK && j->components == 0)
        status = refuse(j, "ends without an image");
    keep(j, "\xff\xd9", 2);
    return status == ITO_OK ? check_plausible(j, j->data_size) : status;
}

ito_status image_check_jpeg(image_file *f)
{
    jpeg j = {.file = f, .next = 2, .adobe = NOT_SAID};
    j.rebuilt = mem_alloc((size_t)f->size + sizeof adobe); /* at most that much longer */
    if (j.rebuilt == NULL)
        return ITO_ERR_MEMORY;
    ito_status status = walk(&j);
    if (status != ITO_OK) {
        mem_free(j.rebuilt);
        return status;
    }
    mem_free(f->bytes);
    f->bytes = j.rebuilt;
    f->size = j.rebuilt_size;
    return ITO_OK;
}

/* ---- the header alone --------------------------------------------------------------------------
 */

static ito_status read_info(image_header *h, int64_t at, int64_t length, ito_image_properties *out)
{
    image_file f = {.path = h->file->path};
    if (length < FRAME)
        return file_error(ITO_ERR_FORMAT, f.path, "JPEG frame header is truncated");
    const unsigned char *b = image_look(h, at, FRAME);
    if (b == NULL)
        return ito_error_code();
    ito_status status = read_size(&f, b, length, &out->channels);
    out->format = "JPEG";
    out->width = f.width;
    out->height = f.height;
    out->bits = 8;
    return status;
}

/* The frame, and what the first EXIF segment says, up to the first scan. */
ito_status image_jpeg_info(image_header *h, ito_image_properties *out)
{
    bool has_exif = false;
    int marker = 0;
    for (int64_t at = 2; marker != SOS && marker != EOI && image_has(h, at, 4);) {
        const unsigned char *b = image_look(h, at, 4);
        if (b == NULL)
            return ito_error_code();
        marker = b[0] == 0xff ? b[1] : 0xff;
        int64_t length = (b[2] << 8 | b[3]) + 2;
        at += begins_part(marker) ? length : marker == 0xff ? 1 : 2;
        ito_status status = ITO_OK;
        if (marker >= SOF0 && marker <= SOF2 && out->format == NULL)
            status = read_info(h, at - length + 4, length - 4, out);
        else if (marker >= SOF3 && marker <= SOF15 && marker != DHT && marker != DAC)
            status = refuse_kind(h->file->path, marker);
        if (status != ITO_OK)
            return status;
        if (marker != APP1 || has_exif || length < 4 + EXIF || !image_has(h, at - length, length))
            continue;
        if ((b = image_look(h, at - length, length)) == NULL)
            return ito_error_code();
        has_exif = memcmp(b + 4, "Exif\0", EXIF) == 0;
        out->orientation = has_exif ? exif_orientation(b + 4 + EXIF, length - 4 - EXIF) : 1;
    }
    return out->format != NULL
               ? ITO_OK
               : file_error(ITO_ERR_FORMAT, h->file->path, "JPEG has no frame header");
}
