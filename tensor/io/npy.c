/* NumPy's .npy files: magic, version, the length of a header, and the header; then the elements and
 * nothing else.
 * Invariant: memory is taken only once the header's claim has been compared with the file's size.
 */
#include "tensor/io/npy.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/npy_header.h"

#include <stdio.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little endian, and so are we");

enum { MAX_HEADER = 65536, ALIGNMENT = 64, CHUNK = 8192 };

/* Names of our dtypes in a file that is written; without one: "". */
static const char *const descriptions[ITO_DTYPES] = {
    [ITO_F32] = "<f4", [ITO_F64] = "<f8", [ITO_BF16] = "",  [ITO_F16] = "<f2",
    [ITO_I32] = "<i4", [ITO_I64] = "<i8", [ITO_U8] = "|u1", [ITO_BOOL] = "|b1",
};

/* ---- reading -----------------------------------------------------------------------------------
 */

static ito_status source_read(npy_source *s, void *out, int64_t n)
{
    if (n > s->left)
        return file_error(ITO_ERR_FORMAT, s->path, "is not an npy file");
    s->left -= n;
    return n > 0 ? s->read(s, out, n) : ITO_OK;
}

static ito_status read_header(npy_source *s, npy_header *h)
{
    unsigned char start[12];
    ito_status status = source_read(s, start, 10);
    if (status != ITO_OK)
        return status;
    if (memcmp(start, "\x93NUMPY", 6) != 0)
        return file_error(ITO_ERR_FORMAT, s->path, "is not an npy file");
    int version = start[6];
    if (version < 1 || version > 3 || start[7] != 0)
        return file_error(ITO_ERR_FORMAT, s->path, "npy version %d.%d is not 1.0, 2.0 or 3.0",
                          version, start[7]);
    int64_t length = start[8] | start[9] << 8;
    if (version > 1) {
        status = source_read(s, start + 10, 2);
        if (status != ITO_OK)
            return status;
        length |= (int64_t)start[10] << 16 | (int64_t)start[11] << 24;
    }
    int64_t most = s->left < MAX_HEADER ? s->left : MAX_HEADER;
    if (length > most)
        return file_error(ITO_ERR_FORMAT, s->path,
                          "npy header of %" PRId64 " bytes: at most %" PRId64 " are possible",
                          length, most);
    char *text = mem_alloc((size_t)length);
    if (text == NULL)
        return ITO_ERR_MEMORY;
    status = source_read(s, text, length);
    if (status == ITO_OK)
        status = npy_header_parse(h, s->path, text, length);
    mem_free(text);
    return status;
}

/* Whether the elements are what is left; false with an error recorded. */
static bool fits(const npy_source *s, const npy_header *h)
{
    int64_t bytes = checked_mul(shape_numel(h->shape), h->elements.size);
    if (bytes >= 0 && bytes == s->left)
        return true;
    file_error(ITO_ERR_FORMAT, s->path,
               "holds %" PRId64 " bytes of elements, which is not what shape %s of %s takes",
               s->left, shape_str(h->shape), h->elements.name);
    return false;
}

ito_status npy_read_header(npy_source *s, npy_header *h)
{
    ito_status status = read_header(s, h);
    return status == ITO_OK && !fits(s, h) ? ito_error_code() : status;
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

/* Whether elements lie in the file as they do in memory. */
static bool as_in_memory(const npy_header *h)
{
    return !h->big_endian && (size_t)h->elements.size == ito_dtype_size(h->elements.dtype) &&
           (h->elements.is_signed || h->elements.dtype != ITO_I64);
}

/* One element of the file as the bits of its dtype; a negative number is extended. */
static uint64_t element_bits(const npy_header *h, const unsigned char *at)
{
    uint64_t bits = 0;
    int size = h->elements.size;
    for (int i = 0; i < size; i++)
        bits |= (uint64_t)at[i] << 8 * (h->big_endian ? size - 1 - i : i);
    if (h->elements.is_signed && size < 8 && bits >> (8 * size - 1) != 0)
        bits |= UINT64_MAX << 8 * size;
    return bits;
}

/* n elements, with another width or order than in memory. */
static ito_status read_converted(npy_source *s, const npy_header *h, char *out, int64_t n)
{
    unsigned char chunk[CHUNK];
    size_t to = ito_dtype_size(h->elements.dtype);
    const int64_t from = h->elements.size;
    bool wide = h->elements.dtype == ITO_I64 && !h->elements.is_signed;
    for (int64_t done = 0; done < n;) {
        int64_t count = n - done < CHUNK / from ? n - done : CHUNK / from;
        ito_status status = source_read(s, chunk, count * from);
        if (status != ITO_OK)
            return status;
        for (int64_t i = 0; i < count; i++, done++) {
            uint64_t bits = element_bits(h, chunk + i * from);
            if (wide && bits > INT64_MAX)
                return file_error(ITO_ERR_RANGE, s->path,
                                  "element %" PRId64 " is %" PRIu64
                                  ", more than the 9223372036854775807 that an i64 holds",
                                  done, bits);
            memcpy(out + (size_t)done * to, &bits, to);
        }
    }
    return ITO_OK;
}

static ito_status read_elements(npy_source *s, const npy_header *h, ito_tensor **out)
{
    int64_t n = shape_numel(h->shape), bytes = s->left;
    ito_tensor *t =
        tensor_empty(h->fortran_order ? reversed(h->shape) : h->shape, h->elements.dtype);
    if (t == NULL)
        return ito_error_code();
    ito_status status = as_in_memory(h) ? source_read(s, tensor_data(t), bytes)
                                        : read_converted(s, h, tensor_data(t), n);
    int64_t fault =
        t->dtype == ITO_BOOL && status == ITO_OK ? file_bool_fault(tensor_data(t), n) : -1;
    if (fault >= 0)
        status = file_error(ITO_ERR_FORMAT, s->path,
                            "element %" PRId64 " is a bool that is neither 0 nor 1", fault);
    if (status != ITO_OK) {
        ito_release(tensor_disown(t));
        return status;
    }
    *out = h->fortran_order ? transposed(t, h->shape) : t;
    return *out != NULL ? ITO_OK : ito_error_code();
}

ito_tensor *npy_read(npy_source *s)
{
    npy_header h;
    ito_tensor *t = NULL;
    if (npy_read_header(s, &h) == ITO_OK)
        read_elements(s, &h, &t);
    return t;
}

typedef struct file_source {
    npy_source base;
    file_reader file;
} file_source;

static ito_status read_file(npy_source *s, void *out, int64_t n)
{
    const file_reader *f = &((file_source *)s)->file;
    return file_read(f, out, n, f->size - s->left - n);
}

/* Whether the elements can be used where they are; false with an error recorded. */
static bool can_map(const file_source *s, const npy_header *h)
{
    const char *why = NULL;
    if (!as_in_memory(h))
        why = "its elements are of another width or byte order than a tensor's";
    else if (h->fortran_order)
        why = "it is in Fortran order";
    else if (h->elements.dtype == ITO_BOOL)
        why = "its bools have to be checked";
    else if ((s->file.size - s->base.left) % h->elements.size != 0)
        why = "its elements are not aligned";
    if (why != NULL)
        file_error(ITO_ERR_DTYPE, s->file.path, "cannot be mapped: %s", why);
    return why == NULL;
}

ito_tensor *ito_npy_load(const char *path)
{
    file_source s;
    if (file_open(&s.file, path) != ITO_OK)
        return NULL;
    s.base = (npy_source){.path = path, .left = s.file.size, .read = read_file};
    ito_tensor *t = npy_read(&s.base);
    file_close(&s.file);
    return t;
}

ito_tensor *ito_npy_map(const char *path)
{
    file_source s;
    npy_header h;
    if (file_open(&s.file, path) != ITO_OK)
        return NULL;
    s.base = (npy_source){.path = path, .left = s.file.size, .read = read_file};
    ito_tensor *t = NULL;
    if (npy_read_header(&s.base, &h) == ITO_OK && can_map(&s, &h))
        t = file_map(&s.file, s.file.size - s.base.left, h.shape, h.elements.dtype);
    file_close(&s.file);
    return t;
}

/* ---- writing -----------------------------------------------------------------------------------
 */

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
