/* Dtypes of elements in files of weights.
 * Invariant: what a stored value becomes is exactly that value; NaNs stay NaNs. */
#include "tensor/io/stored_dtype.h"
#include "tensor/convert.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"

#include <math.h>

/* ---- whole numbers ---- */

/* The little-endian number of `bytes` bytes. */
static uint64_t number_at(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    memcpy(&value, at, (size_t)bytes);
    return value;
}

static bool widen_i8(const unsigned char *in, void *out, int64_t n, int64_t *bad)
{
    (void)bad;
    for (int64_t i = 0; i < n; i++)
        ((int32_t *)out)[i] = (int8_t)in[i];
    return true;
}

static bool widen_i16(const unsigned char *in, void *out, int64_t n, int64_t *bad)
{
    (void)bad;
    for (int64_t i = 0; i < n; i++)
        ((int32_t *)out)[i] = (int16_t)number_at(in + 2 * i, 2);
    return true;
}

static bool widen_u16(const unsigned char *in, void *out, int64_t n, int64_t *bad)
{
    (void)bad;
    for (int64_t i = 0; i < n; i++)
        ((int32_t *)out)[i] = (int32_t)number_at(in + 2 * i, 2);
    return true;
}

static bool widen_u32(const unsigned char *in, void *out, int64_t n, int64_t *bad)
{
    (void)bad;
    for (int64_t i = 0; i < n; i++)
        ((int64_t *)out)[i] = (int64_t)number_at(in + 4 * i, 4);
    return true;
}

static bool widen_u64(const unsigned char *in, void *out, int64_t n, int64_t *bad)
{
    for (int64_t i = 0; i < n; i++) {
        uint64_t value = number_at(in + 8 * i, 8);
        if (value > INT64_MAX) {
            *bad = i;
            return false;
        }
        ((int64_t *)out)[i] = (int64_t)value;
    }
    return true;
}

/* ---- floats of 8 bits ---- */

/* Sign, exponent and mantissa of these widths: as IEEE 754 has them where `ieee`; else all codes
 * are numbers, but for NaN, which is all ones ("fn") or minus zero ("fnuz"). */
typedef struct float8 {
    int mantissa, bias;
    bool ieee, no_minus_zero;
} float8;

static float float8_value(unsigned char code, float8 f)
{
    int magnitude = code & 127, fraction = magnitude & ((1 << f.mantissa) - 1);
    int exponent = magnitude >> f.mantissa, highest = 127 >> f.mantissa;
    float sign = code > 127 ? -1.0F : 1.0F;
    if (f.no_minus_zero ? code == 128
        : f.ieee        ? exponent == highest && fraction != 0
                        : magnitude == 127)
        return NAN;
    if (f.ieee && exponent == highest)
        return sign * INFINITY;
    if (exponent == 0)
        return sign * ldexpf((float)fraction, 1 - f.bias - f.mantissa);
    return sign * ldexpf((float)(fraction + (1 << f.mantissa)), exponent - f.bias - f.mantissa);
}

static void widen_float8(const unsigned char *in, float *out, int64_t n, float8 f)
{
    float values[256];
    for (int code = 0; code < 256; code++)
        values[code] = float8_value((unsigned char)code, f);
    for (int64_t i = 0; i < n; i++)
        out[i] = values[in[i]];
}

#define WIDEN_FLOAT8(format, ...)                                                                  \
    static bool widen_##format(const unsigned char *in, void *out, int64_t n, int64_t *bad)        \
    {                                                                                              \
        (void)bad;                                                                                 \
        widen_float8(in, out, n, (float8){__VA_ARGS__});                                           \
        return true;                                                                               \
    }
WIDEN_FLOAT8(e4m3, .mantissa = 3, .bias = 7)
WIDEN_FLOAT8(e5m2, .mantissa = 2, .bias = 15, .ieee = true)
WIDEN_FLOAT8(e4m3fnuz, .mantissa = 3, .bias = 8, .no_minus_zero = true)
WIDEN_FLOAT8(e5m2fnuz, .mantissa = 2, .bias = 16, .no_minus_zero = true)

/* Powers of two: an exponent without sign and mantissa. */
static bool widen_e8m0(const unsigned char *in, void *out, int64_t n, int64_t *bad)
{
    (void)bad;
    for (int64_t i = 0; i < n; i++)
        ((float *)out)[i] = in[i] == 255 ? NAN : ldexpf(1.0F, in[i] - 127);
    return true;
}

/* ---- the table ---- */

/* clang-format off */
static const stored_dtype dtypes[] = {
    [ITO_F32] = {"F32", "float32", "FloatStorage", 32, ITO_F32, NULL},
    [ITO_F64] = {"F64", "float64", "DoubleStorage", 64, ITO_F64, NULL},
    [ITO_BF16] = {"BF16", "bfloat16", "BFloat16Storage", 16, ITO_BF16, NULL},
    [ITO_F16] = {"F16", "float16", "HalfStorage", 16, ITO_F16, NULL},
    [ITO_I32] = {"I32", "int32", "IntStorage", 32, ITO_I32, NULL},
    [ITO_I64] = {"I64", "int64", "LongStorage", 64, ITO_I64, NULL},
    [ITO_U8] = {"U8", "uint8", "ByteStorage", 8, ITO_U8, NULL},
    [ITO_BOOL] = {"BOOL", "bool", "BoolStorage", 8, ITO_BOOL, NULL},
    [ITO_DTYPES] = /* others are widened, or not read */
    {"I8", "int8", "CharStorage", 8, ITO_I32, widen_i8},
    {"I16", "int16", "ShortStorage", 16, ITO_I32, widen_i16},
    {"U16", "uint16", NULL, 16, ITO_I32, widen_u16},
    {"U32", "uint32", NULL, 32, ITO_I64, widen_u32},
    {"U64", "uint64", NULL, 64, ITO_I64, widen_u64},
    {"F8_E4M3", "float8_e4m3fn", NULL, 8, ITO_F32, widen_e4m3},
    {"F8_E5M2", "float8_e5m2", NULL, 8, ITO_F32, widen_e5m2},
    {"F8_E4M3FNUZ", "float8_e4m3fnuz", NULL, 8, ITO_F32, widen_e4m3fnuz},
    {"F8_E5M2FNUZ", "float8_e5m2fnuz", NULL, 8, ITO_F32, widen_e5m2fnuz},
    {"F8_E8M0", "float8_e8m0fnu", NULL, 8, ITO_F32, widen_e8m0},
    {"F4", NULL, NULL, 4, ITO_DTYPES, NULL},
    {"F6_E2M3", NULL, NULL, 6, ITO_DTYPES, NULL},
    {"F6_E3M2", NULL, NULL, 6, ITO_DTYPES, NULL},
    {"C64", "complex64", "ComplexFloatStorage", 64, ITO_DTYPES, NULL},
};
/* clang-format on */
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

const stored_dtype *stored_dtype_find(const char *name)
{
    for (int i = 0; i < DTYPES; i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return &dtypes[i];
    return NULL;
}

const stored_dtype *stored_dtype_of(ito_dtype dtype)
{
    return &dtypes[dtype];
}

static bool same(const char *name, const char *text, size_t length)
{
    return name != NULL && strlen(name) == length && memcmp(name, text, length) == 0;
}

const stored_dtype *stored_dtype_find_torch(const char *name, size_t length)
{
    for (int i = 0; i < DTYPES; i++)
        if (same(dtypes[i].torch, name, length))
            return &dtypes[i];
    return NULL;
}

const stored_dtype *stored_dtype_find_storage(const char *name, size_t length)
{
    for (int i = 0; i < DTYPES; i++)
        if (same(dtypes[i].storage, name, length))
            return &dtypes[i];
    return NULL;
}

int stored_dtype_index(const stored_dtype *d)
{
    return (int)(d - dtypes);
}

const stored_dtype *stored_dtype_at(int index)
{
    return &dtypes[index];
}

int64_t stored_bytes(const stored_dtype *d, int64_t n)
{
    if (d->bits % 8 == 0)
        return checked_mul(n, d->bits / 8);
    int64_t bits = checked_mul(n, d->bits);
    return bits < 0 || bits % 8 != 0 ? -1 : bits / 8;
}

ito_status stored_check_bools(const stored_dtype *d, const char *path, const char *name,
                              const void *bytes, int64_t n)
{
    int64_t bad = d->dtype == ITO_BOOL ? file_bool_fault(bytes, n) : -1;
    if (bad < 0)
        return ITO_OK;
    return file_error(ITO_ERR_FORMAT, path,
                      "tensor %.100s: element %" PRId64 " is a bool that is neither 0 nor 1", name,
                      bad);
}

/* The elements of t from bytes, where they are already unless the dtype is widened. */
static ito_status convert(const stored_dtype *d, const char *path, const char *name,
                          const void *bytes, ito_tensor *t)
{
    int64_t bad, n = ito_numel(t);
    if (d->widen == NULL)
        return stored_check_bools(d, path, name, bytes, n);
    if (d->widen(bytes, tensor_data(t), n, &bad))
        return ITO_OK;
    return file_error(ITO_ERR_RANGE, path,
                      "tensor %.100s: element %" PRId64 " is %" PRIu64
                      ", more than the 9223372036854775807 that an i64 holds",
                      name, bad, number_at((const unsigned char *)bytes + 8 * bad, 8));
}

ito_tensor *stored_read(const stored_dtype *d, const char *path, const char *name, ito_shape shape,
                        stored_source *source)
{
    if (d->dtype == ITO_DTYPES) {
        file_error(ITO_ERR_DTYPE, path,
                   "tensor %.100s: its dtype %s is not read; convert it to F32 first", name,
                   d->name);
        return NULL;
    }
    ito_tensor *t = tensor_empty(shape, d->dtype);
    int64_t bytes = t != NULL ? stored_bytes(d, ito_numel(t)) : 0;
    void *raw = t == NULL ? NULL : d->widen != NULL ? mem_alloc((size_t)bytes) : tensor_data(t);
    bool good = raw != NULL && source->read(source, raw, bytes) == ITO_OK &&
                convert(d, path, name, raw, t) == ITO_OK;
    if (raw != NULL && d->widen != NULL)
        mem_free(raw);
    if (good)
        return t;
    ito_release(tensor_disown(t));
    return NULL;
}
