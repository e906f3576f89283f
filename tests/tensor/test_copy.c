/* Copies between strides and dtypes, against a loop over indices. */
#include "tensor/convert.h"
#include "tensor/internal.h"
#include "tensor/kernels/kernels.h"
#include "tests/isas.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static float at(const ito_tensor *t, int64_t i, int64_t j, int64_t k)
{
    return ((const float *)tensor_data(t))[i * t->stride[0] + j * t->stride[1] + k * t->stride[2]];
}

Test(copy, any_strides_to_any_strides)
{
    ito_tensor *base = ito_arange(0, 4 * 5 * 6, 1, ITO_F32);
    const int64_t from[][4] = {
        {30, 6, 1, 0}, {1, 4, 20, 0}, {-30, 6, 1, 90}, {0, 6, 1, 0}, {30, 0, 2, 1}};
    for (size_t f = 0; f < sizeof from / sizeof *from; f++) {
        ito_shape shape = ITO_SHAPE(4, 5, f == 4 ? 3 : 6);
        ito_tensor *src = tensor_view(base, shape, from[f], from[f][3]);
        for (int order = 0; order < 2; order++) {
            ito_tensor *dst = order == 0 ? tensor_empty(shape, ITO_F32)
                                         : tensor_view(ito_zeros(ITO_SHAPE(120), ITO_F32), shape,
                                                       (int64_t[]){1, 4, 20}, 0);
            tensor_copy(dst, src);
            for (int64_t i = 0; i < 4; i++)
                for (int64_t j = 0; j < 5; j++)
                    for (int64_t k = 0; k < shape.dim[2]; k++)
                        cr_assert_eq(at(dst, i, j, k), at(src, i, j, k), "case %zu", f);
        }
    }
}

Test(copy, threads_do_not_change_a_large_one)
{
    ito_tensor *src = ito_arange(0, 1000 * 300, 1, ITO_F32);
    ito_tensor *turned = tensor_view(src, ITO_SHAPE(300, 1000), (int64_t[]){1, 300}, 0);
    ito_set_threads(3);
    ito_tensor *copy = tensor_contiguous(turned);
    const float *v = tensor_data(copy);
    for (int64_t i = 0; i < 300; i++)
        for (int64_t j = 0; j < 1000; j++)
            cr_assert_eq(v[i * 1000 + j], (float)(j * 300 + i));
}

/* Some 28 MiB, which go past the caches: from and to addresses of any alignment, and rows side by
 * side, as tensors are joined along their channels. */
Test(copy, what_no_cache_holds_arrives_whole)
{
    enum { N = 7 << 20, ROW = 64 };
    ito_tensor *src = ito_arange(0, N + 8, 1, ITO_F32), *out = ito_zeros(ITO_SHAPE(2 * N), ITO_F32);
    const float *x = tensor_data(src);
    for (int64_t skip = 0; skip < 6; skip += 5) {
        tensor_fill(out, -1);
        float *y = tensor_data(out);
        tensor_copy(tensor_view(out, ITO_SHAPE(N), (int64_t[]){1}, 3 + skip),
                    tensor_view(src, ITO_SHAPE(N), (int64_t[]){1}, skip));
        cr_assert_eq(memcmp(y + 3 + skip, x + skip, N * sizeof *y), 0);
        cr_assert_eq(y[2 + skip], -1.0f);
        cr_assert_eq(y[3 + skip + N], -1.0f);
    }
    ito_set_threads(3);
    tensor_fill(out, -1);
    tensor_copy(tensor_view(out, ITO_SHAPE(N / ROW, ROW), (int64_t[]){2 * ROW, 1}, ROW),
                tensor_view(src, ITO_SHAPE(N / ROW, ROW), (int64_t[]){ROW, 1}, 0));
    const float *y = tensor_data(out);
    for (int64_t i = 0; i < 2 * N; i++)
        cr_assert_eq(y[i], i % (2 * ROW) < ROW ? -1.0f : x[i / 2 / ROW * ROW + i % ROW]);
}

Test(copy, fill_writes_every_element_of_a_view_and_no_other)
{
    ito_tensor *t = ito_zeros(ITO_SHAPE(3, 4), ITO_I32);
    tensor_fill(tensor_view(t, ITO_SHAPE(3, 2), (int64_t[]){4, 1}, 1), 7);
    const int32_t want[12] = {0, 7, 7, 0, 0, 7, 7, 0, 0, 7, 7, 0};
    cr_assert_eq(memcmp(tensor_data(t), want, sizeof want), 0);
}

Test(copy, converts_between_all_dtypes)
{
    for (ito_dtype from = 0; from < ITO_DTYPES; from++)
        for (ito_dtype to = 0; to < ITO_DTYPES; to++) {
            ito_tensor *a = ito_zeros(ITO_SHAPE(2), from), *b = ito_zeros(ITO_SHAPE(2), to);
            tensor_fill(a, 1);
            tensor_copy(b, a);
            double v[2];
            cr_assert_eq(ito_to_data(b, v, ITO_F64), ITO_OK);
            cr_assert_eq(v[1], 1, "%s to %s", ito_dtype_name(from), ito_dtype_name(to));
        }
}

Test(copy, integers_saturate_and_drop_fractions)
{
    const double values[] = {-1.9, 3.7, 300, -5, (double)NAN, 1e30, -1e30};
    ito_tensor *t = ito_from_data(values, ITO_SHAPE(7), ITO_F64);
    uint8_t bytes[7];
    int64_t longs[7];
    ito_to_data(t, bytes, ITO_U8);
    ito_to_data(t, longs, ITO_I64);
    const uint8_t want_bytes[7] = {0, 3, 255, 0, 0, 255, 0};
    const int64_t want_longs[7] = {-1, 3, 300, -5, 0, INT64_MAX, INT64_MIN};
    cr_assert_eq(memcmp(bytes, want_bytes, sizeof bytes), 0);
    cr_assert_eq(memcmp(longs, want_longs, sizeof longs), 0);
}

/* Every 16-bit float goes to f32 and back unchanged, and halfway cases round to even. */
Test(copy, sixteen_bit_floats_round_to_nearest_even)
{
    for (uint32_t h = 0; h < 65536; h++) {
        float b = bf16_to_f32((uint16_t)h), f = f16_to_f32((uint16_t)h);
        if (b == b)
            cr_assert_eq(f32_to_bf16(b), h);
        else
            cr_assert(isnan(bf16_to_f32(f32_to_bf16(b))));
        if (f == f)
            cr_assert_eq(f32_to_f16(f), h);
        else
            cr_assert(isnan(f16_to_f32(f32_to_f16(f))));
    }
    cr_assert_eq(f16_to_f32(f32_to_f16(1.0f + 0x1p-11f)), 1.0f);
    cr_assert_eq(f16_to_f32(f32_to_f16(1.0f + 0x3p-11f)), 1.0f + 0x1p-9f);
    cr_assert_eq(bf16_to_f32(f32_to_bf16(1.0f + 0x1p-8f)), 1.0f);
    cr_assert_eq(bf16_to_f32(f32_to_bf16(1.0f + 0x3p-8f)), 1.0f + 0x1p-6f);
    cr_assert_eq(f16_to_f32(f32_to_f16(65519.0f)), 65504.0f);
    cr_assert(isinf(f16_to_f32(f32_to_f16(65520.0f))));
    cr_assert_eq(f16_to_f32(f32_to_f16(0x1p-25f)), 0.0f);
    cr_assert_eq(f16_to_f32(f32_to_f16(0x3p-25f)), 0x1p-23f);
    cr_assert_eq(f16_to_f32(0x3c00), 1.0f);
    cr_assert_eq(bf16_to_f32(0x3f80), 1.0f);
}

/* What the vector forms of each instruction set make of bits must be what the scalar form makes. */
static void conversions_meet_the_scalar_form(const char *isa)
{
    enum { EACH = 16 };
    static uint32_t bits[65536 * EACH];
    static uint16_t narrow[65536 * EACH];
    static float wide[65536];
    const uint32_t low[EACH] = {0,      1,      2,      0x3fff, 0x4000, 0x4001, 0x7ffe, 0x7fff,
                                0x8000, 0x8001, 0x8002, 0xbfff, 0xc000, 0xfffd, 0xfffe, 0xffff};
    for (uint32_t i = 0; i < 65536 * EACH; i++)
        bits[i] = i / EACH << 16 | low[i % EACH]; /* zeros, denormals, ties, infinities, NaN */
    for (int64_t n = 65536 * EACH; n > 65536 * EACH - 20; n--) { /* every tail */
        kernels(ITO_BF16)->from_f32(narrow, (const float *)bits, n);
        int64_t from = n == 65536 * EACH ? 0 : n - 64;
        for (int64_t i = from; i < n; i++)
            cr_assert_eq(narrow[i], f32_to_bf16(bits_float(bits[i])), "%s: %08x becomes %04x", isa,
                         bits[i], narrow[i]);
    }
    for (uint32_t i = 0; i < 65536; i++)
        narrow[i] = (uint16_t)i;
    for (int64_t n = 65536; n > 65516; n--) {
        memset(wide, 0, sizeof wide);
        kernels(ITO_BF16)->to_f32(wide, narrow, n);
        for (int64_t i = 0; i < 65536; i++)
            cr_assert_eq(float_bits(wide[i]), i < n ? (uint32_t)i << 16 : 0, "%s: %04x", isa,
                         (unsigned)i);
    }
}

Test(copy, bf16_is_rounded_alike_by_every_instruction_set)
{
    for (int i = 0; i < ISAS; i++)
        if (isa_use(isas[i]))
            conversions_meet_the_scalar_form(isas[i]);
}

/* Exact moves, of any bits, for sizes on and off the squares that the kernels take. */
Test(copy, a_transpose_moves_every_element)
{
    static const ito_dtype types[] = {ITO_U8, ITO_BF16, ITO_F32, ITO_F64};
    static const int64_t sizes[] = {1, 7, 8, 9, 31, 64, 65, 70, 300};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    ito_generator g = ito_generator_make(1, 1);
    for (size_t d = 0; d < sizeof types / sizeof *types; d++)
        for (int k = 0; k < SIZES * SIZES; k++) {
            ito_scope_begin();
            int64_t rows = sizes[k / SIZES], columns = sizes[k % SIZES];
            ito_tensor *x = tensor_empty(ITO_SHAPE(2, rows, columns), types[d]);
            size_t size = ito_dtype_size(types[d]);
            unsigned char *from = tensor_data(x);
            for (size_t i = 0; i < (size_t)(2 * rows * columns) * size; i++)
                from[i] = (unsigned char)ito_uniform_int(&g, 256);
            ito_tensor *turned = tensor_view(x, ITO_SHAPE(2, columns, rows),
                                             (int64_t[]){rows * columns, 1, columns}, 0);
            ito_tensor *y = tensor_empty(ITO_SHAPE(2, columns, rows), types[d]);
            tensor_copy(y, turned);
            const unsigned char *to = tensor_data(y);
            for (int64_t i = 0; i < 2 * rows * columns; i++) {
                int64_t b = i / (rows * columns), j = i / rows % columns, r = i % rows;
                const unsigned char *want = from + (size_t)((b * rows + r) * columns + j) * size;
                cr_assert_eq(memcmp(to + (size_t)i * size, want, size), 0, "%s of %lld x %lld",
                             ito_dtype_name(types[d]), (long long)rows, (long long)columns);
            }
            ito_scope_end();
        }
}
