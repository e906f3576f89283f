/* The header of a .npy file: a Python dictionary of exactly three keys. */
#include "tensor/io/npy_header.h"
#include "tensor/io/file.h"

#include <string.h>

/* NumPy's names, behind the byte order; i1, i2, u2 and u4 are read as the next that holds them. */
static const npy_elements dtypes[] = {
    {"f2", ITO_F16, 2, false}, {"f4", ITO_F32, 4, false}, {"f8", ITO_F64, 8, false},
    {"i1", ITO_I32, 1, true},  {"i2", ITO_I32, 2, true},  {"i4", ITO_I32, 4, true},
    {"i8", ITO_I64, 8, true},  {"u1", ITO_U8, 1, false},  {"u2", ITO_I32, 2, false},
    {"u4", ITO_I64, 4, false}, {"u8", ITO_I64, 8, false}, {"b1", ITO_BOOL, 1, false},
};

static bool refuse(const npy_header *h, const char *fault)
{
    file_error(ITO_ERR_FORMAT, h->path, "npy header: %s", fault);
    return false;
}

static void skip_space(npy_header *h)
{
    while (h->next < h->end && (*h->next == ' ' || *h->next == '\n' || *h->next == '\t'))
        h->next++;
}

/* Whether c is next, after white space; it is taken then. */
static bool take(npy_header *h, char c)
{
    skip_space(h);
    if (h->next == h->end || *h->next != c)
        return false;
    h->next++;
    return true;
}

static bool take_word(npy_header *h, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(h->end - h->next) < length || memcmp(h->next, word, length) != 0)
        return false;
    h->next += length;
    return true;
}

/* A quoted string without escapes, into out. */
static bool take_string(npy_header *h, char *out, size_t room)
{
    char quote = take(h, '\'') ? '\'' : '"';
    if (quote == '"' && !take(h, '"'))
        return false;
    size_t length = 0;
    for (; h->next < h->end && *h->next != quote; h->next++) {
        if (*h->next == '\\' || length + 1 >= room)
            return false;
        out[length++] = *h->next;
    }
    out[length] = '\0';
    return take(h, quote);
}

static bool read_dtype(npy_header *h)
{
    char text[32];
    if (!take_string(h, text, sizeof text))
        return refuse(h, "descr is not the name of a plain dtype");
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        if (text[0] == '\0' || strcmp(text + 1, dtypes[i].name) != 0)
            continue;
        bool ordered = strchr("<>=", text[0]) != NULL, byte = dtypes[i].size == 1;
        if (!ordered && !(byte && text[0] == '|'))
            break;
        h->elements = dtypes[i];
        h->big_endian = text[0] == '>' && !byte;
        return true;
    }
    file_error(ITO_ERR_FORMAT, h->path,
               "npy header: dtype '%s' is not one of f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1", text);
    return false;
}

static bool read_order(npy_header *h)
{
    h->fortran_order = take_word(h, "True");
    return h->fortran_order || take_word(h, "False") ||
           refuse(h, "fortran_order is neither True nor False");
}

static bool read_size(npy_header *h, int64_t *size)
{
    const char *start = h->next;
    *size = 0;
    for (; h->next < h->end && *h->next >= '0' && *h->next <= '9'; h->next++)
        if (__builtin_mul_overflow(*size, 10, size) ||
            __builtin_add_overflow(*size, *h->next - '0', size))
            return refuse(h, "shape holds a number of more than 63 bits");
    if (h->next == start)
        return refuse(h, "shape is not a tuple of whole numbers");
    take(h, 'L'); /* as Python 2 wrote them */
    return true;
}

static bool read_shape(npy_header *h)
{
    if (!take(h, '('))
        return refuse(h, "shape is not a tuple");
    bool comma = true;
    while (!take(h, ')')) {
        if (!comma)
            return refuse(h, "shape lacks a comma or a bracket");
        if (h->shape.ndim == ITO_MAX_DIMS)
            return refuse(h, "shape has more than 8 axes");
        if (!read_size(h, &h->shape.dim[h->shape.ndim++]))
            return false;
        comma = take(h, ',');
    }
    if (h->shape.ndim == 1 && !comma)
        return refuse(h, "shape is not a tuple");
    return true;
}

static bool read_entries(npy_header *h)
{
    static const struct {
        const char *key;
        bool (*read)(npy_header *h);
    } entries[] = {{"descr", read_dtype}, {"fortran_order", read_order}, {"shape", read_shape}};
    enum { ENTRIES = sizeof entries / sizeof *entries };
    bool seen[ENTRIES] = {false};
    if (!take(h, '{'))
        return refuse(h, "is not a dictionary");
    for (bool comma = true; !take(h, '}');) {
        char key[32];
        if (!comma || !take_string(h, key, sizeof key) || !take(h, ':'))
            return refuse(h, "is not a dictionary of descr, fortran_order and shape");
        int e = 0;
        while (e < ENTRIES && strcmp(key, entries[e].key) != 0)
            e++;
        if (e == ENTRIES)
            return refuse(h, "has a key other than descr, fortran_order and shape");
        if (seen[e])
            return refuse(h, "has a key twice");
        seen[e] = true;
        skip_space(h);
        if (!entries[e].read(h))
            return false;
        comma = take(h, ',');
    }
    if (!seen[0] || !seen[1] || !seen[2])
        return refuse(h, "lacks descr, fortran_order or shape");
    skip_space(h);
    return h->next == h->end || refuse(h, "is followed by something else");
}

ito_status npy_header_parse(npy_header *h, const char *path, const char *text, int64_t length)
{
    *h = (npy_header){.path = path, .next = text, .end = text + length};
    return read_entries(h) ? ITO_OK : ITO_ERR_FORMAT;
}
