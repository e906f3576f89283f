/* NumPy's .npy files: magic, version, the length of a header, and the header, which is a Python
 * dictionary of exactly three keys; then the elements and nothing else.
 * Invariant: memory is taken only once the header's claim has been compared with the file's size.
 */
#include "tensor/io/npy.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"

#include <stdio.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little endian, and so are we");

enum { MAX_HEADER = 65536, ALIGNMENT = 64 };

/* Names of our dtypes in a file; without one: "". */
static const char *const descriptions[ITO_DTYPES] = {
    [ITO_F32] = "<f4", [ITO_F64] = "<f8", [ITO_BF16] = "",  [ITO_F16] = "<f2",
    [ITO_I32] = "<i4", [ITO_I64] = "<i8", [ITO_U8] = "|u1", [ITO_BOOL] = "|b1",
};

typedef struct npy_header {
    const char *path;
    const char *next, *end; /* of the text still to be read */
    ito_dtype dtype;
    bool fortran_order;
    ito_shape shape;
} npy_header;

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
    for (int d = 0; d < ITO_DTYPES; d++) {
        const char *name = descriptions[d];
        bool byte = name[0] == '|'; /* has no order, though some writers give it one */
        if (name[0] != '\0' && strcmp(text + 1, name + 1) == 0 &&
            (text[0] == name[0] || (byte && text[0] == '<'))) {
            h->dtype = (ito_dtype)d;
            return true;
        }
    }
    file_error(ITO_ERR_FORMAT, h->path,
               "npy header: dtype '%s' is not one of <f4 <f8 <f2 <i4 <i8 |u1 |b1", text);
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

static bool read_header(npy_header *h)
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

/* The header of f, and where the elements begin. */
static ito_status load_header(const file_reader *f, npy_header *h, int64_t *begin)
{
    unsigned char start[12] = {0};
    int64_t known = f->size < 12 ? f->size : 12;
    ito_status status = file_read(f, start, known, 0);
    if (status != ITO_OK)
        return status;
    if (known < 10 || memcmp(start, "\x93NUMPY", 6) != 0)
        return file_error(ITO_ERR_FORMAT, f->path, "is not an npy file");
    int version = start[6];
    if (version < 1 || version > 3 || start[7] != 0)
        return file_error(ITO_ERR_FORMAT, f->path, "npy version %d.%d is not 1.0, 2.0 or 3.0",
                          version, start[7]);
    int64_t length = start[8] | start[9] << 8, offset = 10;
    if (version > 1 && known < 12)
        return file_error(ITO_ERR_FORMAT, f->path, "is not an npy file");
    if (version > 1) {
        length |= (int64_t)start[10] << 16 | (int64_t)start[11] << 24;
        offset = 12;
    }
    if (length > MAX_HEADER || length > f->size - offset)
        return file_error(ITO_ERR_FORMAT, f->path,
                          "npy header of %" PRId64 " bytes: at most %" PRId64 " are possible",
                          length, f->size - offset < MAX_HEADER ? f->size - offset : MAX_HEADER);
    char *text = mem_alloc((size_t)length);
    if (text == NULL)
        return ITO_ERR_MEMORY;
    status = file_read(f, text, length, offset);
    *h = (npy_header){.path = f->path, .next = text, .end = text + length};
    if (status == ITO_OK && !read_header(h))
        status = ITO_ERR_FORMAT;
    mem_free(text);
    *begin = offset + length;
    return status;
}

static ito_shape reversed(ito_shape s)
{
    ito_shape r = {.ndim = s.ndim};
    for (int i = 0; i < s.ndim; i++)
        r.dim[i] = s.dim[s.ndim - 1 - i];
    return r;
}

/* What was read with its axes reversed, seen in their right order; takes t over. */
static ito_tensor *transposed(ito_tensor *t, ito_shape shape)
{
    int64_t stride[ITO_MAX_DIMS] = {0};
    for (int i = 0; i < t->ndim; i++)
        stride[i] = t->stride[t->ndim - 1 - i];
    ito_tensor *view = tensor_view(t, shape, stride, t->offset);
    ito_release(tensor_disown(t));
    return view;
}

static ito_status load_elements(const file_reader *f, const npy_header *h, int64_t begin,
                                ito_tensor **out)
{
    int64_t n = shape_numel(h->shape), bytes = checked_mul(n, (int64_t)ito_dtype_size(h->dtype));
    if (bytes < 0 || bytes != f->size - begin)
        return file_error(ITO_ERR_FORMAT, f->path,
                          "holds %" PRId64 " bytes of elements, which is not what shape %s of %s "
                          "takes",
                          f->size - begin, shape_str(h->shape), ito_dtype_name(h->dtype));
    ito_tensor *t = tensor_empty(h->fortran_order ? reversed(h->shape) : h->shape, h->dtype);
    if (t == NULL)
        return ito_error_code();
    ito_status status = file_read(f, tensor_data(t), bytes, begin);
    int64_t fault =
        h->dtype == ITO_BOOL && status == ITO_OK ? file_bool_fault(tensor_data(t), n) : -1;
    if (fault >= 0)
        status = file_error(ITO_ERR_FORMAT, f->path,
                            "element %" PRId64 " is a bool that is neither 0 nor 1", fault);
    if (status != ITO_OK) {
        ito_release(tensor_disown(t));
        return status;
    }
    *out = h->fortran_order ? transposed(t, h->shape) : t;
    return *out != NULL ? ITO_OK : ito_error_code();
}

ito_tensor *ito_npy_load(const char *path)
{
    file_reader f;
    npy_header h = {0};
    int64_t begin = 0;
    ito_tensor *t = NULL;
    if (file_open(&f, path) == ITO_OK && load_header(&f, &h, &begin) == ITO_OK)
        load_elements(&f, &h, begin, &t);
    file_close(&f);
    return t;
}

/* The bytes before the elements, which a multiple of 64 holds; returns how many. */
static size_t format_header(const ito_tensor *t, char *out, size_t room)
{
    size_t n = 10;
    n += (size_t)snprintf(out + n, room - n, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                          descriptions[t->dtype]);
    for (int i = 0; i < t->ndim; i++)
        n += (size_t)snprintf(out + n, room - n, "%s%" PRId64, i > 0 ? ", " : "", t->shape[i]);
    n += (size_t)snprintf(out + n, room - n, "%s), }", t->ndim == 1 ? "," : "");
    size_t total = (n + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    memset(out + n, ' ', total - n);
    out[total - 1] = '\n';
    static const char magic[8] = {'\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0}; /* version 1.0 */
    memcpy(out, magic, sizeof magic);
    out[8] = (char)((total - 10) & 255);
    out[9] = (char)((total - 10) >> 8);
    return total;
}

ito_status ito_npy_save(const char *path, const ito_tensor *t)
{
    if (t == NULL)
        return error_status(ITO_ERR_ARGUMENT, "npy_save: there is no tensor");
    if (descriptions[t->dtype][0] == '\0')
        return error_status(ITO_ERR_DTYPE, "npy_save: NumPy has no %s; convert to f32 first",
                            ito_dtype_name(t->dtype));
    char header[512];
    size_t begin = format_header(t, header, sizeof header);
    ito_tensor *rows = tensor_contiguous(t);
    if (rows == NULL)
        return ito_error_code();
    size_t bytes = (size_t)ito_numel(t) * ito_dtype_size(t->dtype);
    file_writer w;
    ito_status status = file_write_begin(&w, path);
    if (status == ITO_OK)
        status = file_write(&w, header, begin, 0);
    if (status == ITO_OK)
        status = file_write(&w, tensor_data(rows), bytes, (int64_t)begin);
    if (status == ITO_OK)
        status = file_write_commit(&w);
    else
        file_write_abandon(&w);
    if (rows != t)
        ito_release(tensor_disown(rows));
    return status;
}
