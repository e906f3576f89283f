/* JPEG files judged before a decoder sees them: every marker and segment up to the end of image.
 * Invariant: in a file that passed, each table fits its place, each scan finds the tables it names,
 * and there is at least the data that so many blocks must take.
 * Source: ITU-T T.81, annex B. */
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/image_check.h"

#include <string.h>

enum {
    SOF0 = 0xc0, /* baseline */
    SOF1 = 0xc1, /* extended sequential */
    SOF2 = 0xc2, /* progressive */
    DHT = 0xc4,
    RST0 = 0xd0,
    RST7 = 0xd7,
    EOI = 0xd9,
    SOS = 0xda,
    DQT = 0xdb,
    DRI = 0xdd,
    APP0 = 0xe0,
    APP15 = 0xef,
    COM = 0xfe,
    MAX_SCANS = 100,  /* a progressive image needs about ten; each costs a pass over all blocks */
    MAX_DC_SIZE = 11, /* bits of a difference of 8-bit samples' DC coefficients */
};

typedef struct component {
    int id, horizontal, vertical, quantiser;
} component;

typedef struct jpeg {
    image_file *file;
    int64_t next, end; /* of the segment, or of the file */
    bool progressive;
    int components; /* 0: no frame yet */
    component component[3];
    bool huffman[2][4], quantiser[4]; /* which tables there are: DC and AC */
    int scans;
    bool scanned[3];
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

/* A block takes two bits at least, one of its DC and one of its AC coefficients; in a progressive
 * image the latter may be shared. */
static ito_status check_plausible(const jpeg *j, int h_max, int v_max)
{
    const image_file *f = j->file;
    int64_t blocks = 0;
    for (int i = 0; i < j->components; i++) {
        const component *c = &j->component[i];
        if (h_max % c->horizontal != 0 || v_max % c->vertical != 0)
            return refuse(j, "sampling factors are not whole ratios");
        int across = 8 * h_max / c->horizontal, down = 8 * v_max / c->vertical;
        blocks += (f->width + across - 1) / across * ((f->height + down - 1) / down);
    }
    if ((j->progressive ? 1 : 2) * blocks / 8 > f->size)
        return file_error(ITO_ERR_FORMAT, f->path,
                          "JPEG of %" PRId64 " x %" PRId64 " pixels cannot fit in %" PRId64
                          " bytes",
                          f->width, f->height, f->size);
    return ITO_OK;
}

static ito_status read_frame(jpeg *j, int marker)
{
    if (j->components > 0)
        return refuse(j, "has a second frame");
    if (!has(j, 6))
        return refuse(j, "frame header is truncated");
    int precision = byte(j), height = byte(j) << 8;
    height |= byte(j);
    int width = byte(j) << 8;
    width |= byte(j);
    int components = byte(j);
    if (precision != 8)
        return file_error(ITO_ERR_FORMAT, j->file->path, "JPEG of %d bits a sample is not read",
                          precision);
    if ((components != 1 && components != 3) || j->end - j->next != 3 * components)
        return file_error(ITO_ERR_FORMAT, j->file->path, "JPEG of %d components is not read",
                          components);
    ito_status status = image_check_size(j->file, width, height);
    int h_max = 1, v_max = 1;
    for (int i = 0; i < components && status == ITO_OK; i++) {
        component *c = &j->component[i];
        status = read_component(j, c);
        h_max = c->horizontal > h_max ? c->horizontal : h_max;
        v_max = c->vertical > v_max ? c->vertical : v_max;
    }
    j->progressive = marker == SOF2;
    j->components = components;
    return status == ITO_OK ? check_plausible(j, h_max, v_max) : status;
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

/* Past a scan's data: to the next marker that is neither a stuffed byte nor a restart. */
static ito_status skip_data(jpeg *j)
{
    const unsigned char *bytes = j->file->bytes;
    for (; j->next + 1 < j->file->size; j->next++) {
        const unsigned char *ff =
            memchr(bytes + j->next, 0xff, (size_t)(j->file->size - 1 - j->next));
        if (ff == NULL)
            break;
        j->next = ff - bytes;
        int marker = ff[1];
        if (marker != 0 && (marker < RST0 || marker > RST7))
            return ITO_OK;
    }
    return refuse(j, "file is truncated");
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
    if (marker == COM || (marker >= APP0 && marker <= APP15))
        return ITO_OK;
    return file_error(ITO_ERR_FORMAT, j->file->path, "JPEG marker 0x%02x is not read", marker);
}

/* One marker and its segment; *ended at the end of the image. */
static ito_status read_marker(jpeg *j, bool *ended)
{
    j->end = j->file->size;
    if (!has(j, 2))
        return refuse(j, "file is truncated");
    if (byte(j) != 0xff)
        return refuse(j, "has no marker");
    int marker = byte(j);
    while (marker == 0xff && has(j, 1)) /* any number may come first */
        marker = byte(j);
    *ended = marker == EOI;
    if (*ended)
        return ITO_OK;
    if (!has(j, 2))
        return refuse(j, "file is truncated");
    int length = byte(j) << 8;
    length |= byte(j);
    if (length < 2 || !has(j, length - 2))
        return refuse(j, "segment is truncated");
    j->end = j->next + length - 2;
    int64_t end = j->end;
    ito_status status = read_segment(j, marker);
    if (status != ITO_OK)
        return status;
    j->next = end;
    return marker == SOS ? skip_data(j) : ITO_OK;
}

/* What follows the end of the image is not looked at: cameras put previews there. */
ito_status image_check_jpeg(image_file *f)
{
    jpeg j = {.file = f, .next = 2};
    ito_status status = ITO_OK;
    for (bool ended = false; status == ITO_OK && !ended;)
        status = read_marker(&j, &ended);
    for (int i = 0; i < j.components && status == ITO_OK; i++)
        if (!j.scanned[i])
            status = refuse(&j, "ends without all its scans");
    if (status == ITO_OK && j.components == 0)
        status = refuse(&j, "ends without an image");
    return status;
}
