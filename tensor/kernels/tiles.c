/* Tiles of AMX, or (TILES_AMX 0) in plain C. See tiles.h. */
#include "tensor/kernels/tiles.h"

#include "tensor/convert.h"

#include <math.h>
#include <string.h>

#if TILES_AMX
#include <immintrin.h>
#define TILES(name) name##_amx
#else
#define TILES(name) name##_emulated
#endif

#define T_FN static inline __attribute__((always_inline))

/* ---- the operations on tiles ------------------------------------------------------------------
 */

#if TILES_AMX

/* Of LDTILECFG. Constant and never on the stack: compilers drop stores to what only it reads. */
static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} eight_whole_tiles __attribute__((aligned(64))) = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

static void begin(void)
{
    _tile_loadconfig(&eight_whole_tiles);
}

static void end(void)
{
    _tile_release();
}

/* After some 2000 cycles without it, the upper half of the vector unit sleeps, and the tile store
 * that wakes it takes a thousand more (measured on an Intel Xeon). One addition in a step keeps it
 * awake. */
T_FN void stay_awake(void)
{
    __m512 x = _mm512_setzero_ps();
    __asm__ volatile("vaddps %0, %0, %0" : "+v"(x));
}

#define TILE_ZERO(t) _tile_zero(t)
#define TILE_LOAD(t, from, row) _tile_loadd(t, from, row)
#define TILE_STORE(t, to, row) _tile_stored(t, to, row)
#define TILE_DOT(sums, a, b) _tile_dpbf16ps(sums, a, b)

#else

static _Thread_local uint32_t tile[8][TILE_SIDE][TILE_SIDE];

static void begin(void)
{
}

static void end(void)
{
}

static void tile_load(int t, const void *from, int64_t row)
{
    for (int i = 0; i < TILE_SIDE; i++)
        memcpy(tile[t][i], (const char *)from + i * row, TILE_ROW_BYTES);
}

static void tile_store(int t, void *to, int64_t row)
{
    for (int i = 0; i < TILE_SIDE; i++)
        memcpy((char *)to + i * row, tile[t][i], TILE_ROW_BYTES);
}

T_FN void stay_awake(void)
{
}

static float flushed(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x;
}

static float half_of(uint32_t pair, int odd)
{
    return flushed(bits_float(odd ? pair & 0xffff0000u : pair << 16));
}

static void tile_dot(int sums, int a, int b)
{
    for (int i = 0; i < TILE_SIDE; i++)
        for (int j = 0; j < TILE_SIDE; j++) {
            float products[2] = {0.0f, 0.0f};
            for (int k = 0; k < TILE_SIDE; k++)
                for (int odd = 0; odd < 2; odd++)
                    products[odd] = flushed(fmaf(half_of(tile[a][i][k], odd),
                                                 half_of(tile[b][k][j], odd), products[odd]));
            float sum = flushed(bits_float(tile[sums][i][j]));
            sum = flushed(sum + flushed(products[0] + products[1]));
            tile[sums][i][j] = float_bits(sum);
        }
}

#define TILE_ZERO(t) memset(tile[t], 0, sizeof tile[t])
#define TILE_LOAD(t, from, row) tile_load(t, from, row)
#define TILE_STORE(t, to, row) tile_store(t, to, row)
#define TILE_DOT(sums, a, b) tile_dot(sums, a, b)

#endif

/* ---- blocks -----------------------------------------------------------------------------------
 */

/* Sums in tiles 0 to 3, a in 4 and 5, b in 6 and 7. Whether there are second rows and columns is a
 * constant where this is called. */
T_FN void multiply_block(const tile_block *t, bool rows, bool columns)
{
    int64_t row = t->sums_row * (int64_t)sizeof(float);
    float *sums = t->sums, *below = t->sums + TILE_SIDE * t->sums_row;
    if (t->accumulate) {
        TILE_LOAD(0, sums, row);
        if (columns)
            TILE_LOAD(1, sums + TILE_SIDE, row);
        if (rows)
            TILE_LOAD(2, below, row);
        if (rows && columns)
            TILE_LOAD(3, below + TILE_SIDE, row);
    } else {
        TILE_ZERO(0);
        TILE_ZERO(1);
        TILE_ZERO(2);
        TILE_ZERO(3);
    }
    const char *b = t->b.data;
    for (int64_t tap = 0; tap < t->tap_count; tap++) {
        const char *a = t->a.data + t->taps[tap];
        for (int64_t s = 0; s < t->steps; s++, a += t->a.step, b += t->b.step) {
            TILE_LOAD(6, b, t->b.row);
            TILE_LOAD(4, a, t->a.row);
            TILE_DOT(0, 4, 6);
            if (columns) {
                TILE_LOAD(7, b + t->b.half, t->b.row);
                TILE_DOT(1, 4, 7);
            }
            if (rows) {
                TILE_LOAD(5, a + t->a.half, t->a.row);
                TILE_DOT(2, 5, 6);
            }
            if (rows && columns)
                TILE_DOT(3, 5, 7);
            stay_awake();
        }
    }
    TILE_STORE(0, sums, row);
    if (columns)
        TILE_STORE(1, sums + TILE_SIDE, row);
    if (rows)
        TILE_STORE(2, below, row);
    if (rows && columns)
        TILE_STORE(3, below + TILE_SIDE, row);
}

static void multiply(const tile_block *t)
{
    if (t->one_row && t->one_column)
        multiply_block(t, false, false);
    else if (t->one_row)
        multiply_block(t, false, true);
    else if (t->one_column)
        multiply_block(t, true, false);
    else
        multiply_block(t, true, true);
}

/* ---- packing ----------------------------------------------------------------------------------
 */

typedef uint32_t lanes __attribute__((vector_size(TILE_SIDE * sizeof(uint32_t))));
typedef uint16_t halves __attribute__((vector_size(TILE_SIDE * sizeof(uint16_t))));

/* f32_to_bf16 of each lane, from its bits. */
T_FN void narrow(lanes *u)
{
    lanes nan = (lanes)((*u & 0x7fffffff) > 0x7f800000);
    lanes rounded = *u + 0x7fff + (*u >> 16 & 1);
    *u = ((nan & (*u | 0x400000)) | (~nan & rounded)) >> 16;
}

/* n <= 16 elements that lie side by side, as bf16 in the lower halves; zeros behind them. */
T_FN lanes load_elements(ito_dtype dtype, const char *from, int64_t n)
{
    if (dtype == ITO_BF16) {
        halves h = {0};
        if (n == TILE_SIDE)
            memcpy(&h, from, sizeof h);
        else
            memcpy(&h, from, (size_t)n * sizeof(uint16_t));
        return __builtin_convertvector(h, lanes);
    }
    lanes u = {0};
    if (n == TILE_SIDE)
        memcpy(&u, from, sizeof u);
    else
        memcpy(&u, from, (size_t)n * sizeof(float));
    narrow(&u);
    return u;
}

/* 16 pairs from n <= 32 elements of one row or column that lie side by side. */
T_FN lanes pairs_along(ito_dtype dtype, const char *from, int64_t n)
{
    lanes pairs = {0};
    if (dtype == ITO_BF16) {
        if (n == TILE_STEP)
            memcpy(&pairs, from, sizeof pairs);
        else
            memcpy(&pairs, from, (size_t)n * sizeof(uint16_t));
        return pairs;
    }
    int64_t low = n < TILE_SIDE ? n : TILE_SIDE;
    halves h[2] = {__builtin_convertvector(load_elements(dtype, from, low), halves)};
    if (n > low)
        h[1] = __builtin_convertvector(
            load_elements(dtype, from + TILE_SIDE * sizeof(float), n - low), halves);
    memcpy(&pairs, h, sizeof pairs);
    return pairs;
}

/* Of `width` rows or columns that lie side by side, the elements k and, if it is there, k + 1. */
T_FN lanes pairs_across(ito_dtype dtype, const char *even, const char *odd, int64_t width,
                        bool both)
{
    lanes pairs = load_elements(dtype, even, width);
    return both ? pairs | load_elements(dtype, odd, width) << 16 : pairs;
}

/* Where element k of row or column i is. */
T_FN const char *element(const tile_source *from, int64_t size, int64_t i, int64_t k)
{
    if (from->list != NULL)
        return (const char *)from->list[k] + i * size;
    return (const char *)from->data + (i * from->stride + k * from->stride_k) * size;
}

static uint32_t one_element(ito_dtype dtype, const char *from)
{
    uint16_t h;
    float x;
    if (dtype == ITO_BF16) {
        memcpy(&h, from, sizeof h);
        return h;
    }
    memcpy(&x, from, sizeof x);
    return f32_to_bf16(x);
}

#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define SWAP_8(a, b, lo, hi)                                                                       \
    lo = SHUFFLE(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);                    \
    hi = SHUFFLE(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)
#define SWAP_4(a, b, lo, hi)                                                                       \
    lo = SHUFFLE(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);                  \
    hi = SHUFFLE(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31)
#define SWAP_2(a, b, lo, hi)                                                                       \
    lo = SHUFFLE(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);                  \
    hi = SHUFFLE(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define SWAP_1(a, b, lo, hi)                                                                       \
    lo = SHUFFLE(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30);                 \
    hi = SHUFFLE(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31)
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define SWAP_STEP(d)                                                                               \
    UNROLL                                                                                         \
    for (int i = 0; i < TILE_SIDE; i++)                                                            \
        if ((i & (d)) == 0) {                                                                      \
            lanes above = r[i], below = r[i + (d)];                                                \
            SWAP_##d(above, below, r[i], r[i + (d)]);                                              \
        }

T_FN void transpose(lanes r[TILE_SIDE]){SWAP_STEP(8) SWAP_STEP(4) SWAP_STEP(2) SWAP_STEP(1)}

/* The 16 x 16 pairs of a step, from row or column i and element k on: a row for each row or column
 * where the source lies along k, for each pair of k where it lies across. */
T_FN void load_step(lanes r[TILE_SIDE], const tile_source *from, int64_t size, int64_t i, int64_t k,
                    int64_t width, int64_t depth, bool along)
{
    UNROLL
    for (int n = 0; n < TILE_SIDE; n++) {
        r[n] = (lanes){0};
        if (along && n < width)
            r[n] = pairs_along(from->dtype, element(from, size, i + n, k), depth);
        bool both = 2 * n + 1 < depth;
        if (!along && 2 * n < depth)
            r[n] = pairs_across(from->dtype, element(from, size, i, k + 2 * n),
                                both ? element(from, size, i, k + 2 * n + 1) : NULL, width, both);
    }
}

/* Where nothing lies side by side. Rows of r are rows or columns of the source. */
static void gather_step(lanes r[TILE_SIDE], const tile_source *from, int64_t size, int64_t i,
                        int64_t k, int64_t width, int64_t depth)
{
    for (int64_t n = 0; n < TILE_SIDE; n++) {
        r[n] = (lanes){0};
        for (int64_t e = 0; n < width && e < depth; e++)
            r[n][e / 2] |= one_element(from->dtype, element(from, size, i + n, k + e))
                           << e % 2 * 16;
    }
}

/* One step of one panel. */
T_FN void pack_step(char *to, int64_t row, const tile_source *from, int64_t size, int64_t i,
                    int64_t k, int64_t width, int64_t depth, bool for_a)
{
    bool across = from->list != NULL || (from->stride == 1 && from->stride_k != 1);
    bool along = !across && from->stride_k == 1;
    bool whole = TILES_AMX && depth == TILE_STEP && width == TILE_SIDE; /* worth its own code */
    lanes r[TILE_SIDE];
    if (along && whole)
        load_step(r, from, size, i, k, TILE_SIDE, TILE_STEP, true);
    else if (along)
        load_step(r, from, size, i, k, width, depth, true);
    else if (across && whole)
        load_step(r, from, size, i, k, TILE_SIDE, TILE_STEP, false);
    else if (across)
        load_step(r, from, size, i, k, width, depth, false);
    else
        gather_step(r, from, size, i, k, width, depth);
    if (across == for_a)
        transpose(r);
    UNROLL
    for (int n = 0; n < TILE_SIDE; n++)
        memcpy(to + n * row, &r[n], sizeof r[n]);
}

typedef uint16_t words __attribute__((vector_size(TILE_STEP * sizeof(uint16_t))));

/* A whole step of two whole panels of b from bf16 that lies across: half the loads and shuffles. */
T_FN void pack_two_panels(const tile_packed *to, char *at, const tile_source *from, int64_t i,
                          int64_t k)
{
    for (int n = 0; n < TILE_SIDE; n++) {
        words even, odd, pairs[2];
        memcpy(&even, element(from, sizeof(uint16_t), i, k + 2 * n), sizeof even);
        memcpy(&odd, element(from, sizeof(uint16_t), i, k + 2 * n + 1), sizeof odd);
        pairs[0] = SHUFFLE(even, odd, 0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39, 8, 40,
                           9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47);
        pairs[1] = SHUFFLE(even, odd, 16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23,
                           55, 24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63);
        memcpy(at + n * to->row, &pairs[0], sizeof pairs[0]);
        memcpy(at + to->panel + n * to->row, &pairs[1], sizeof pairs[1]);
    }
}

/* Panels of a step lie beside each other in what lies across, so they are packed one behind the
 * other: lines of the cache are read once. The dtype is a constant where this is called. */
T_FN void pack(const tile_packed *to, const tile_source *source, ito_dtype dtype, int64_t width,
               int64_t k, bool for_a)
{
    tile_source from = *source;
    from.dtype = dtype;
    int64_t size = dtype == ITO_BF16 ? 2 : 4;
    int64_t panels = (width + TILE_SIDE - 1) / TILE_SIDE, steps = (k + TILE_STEP - 1) / TILE_STEP;
    bool along = from.list == NULL && from.stride_k == 1;
    bool in_twos = !for_a && dtype == ITO_BF16 && !along && (from.list != NULL || from.stride == 1);
    for (int64_t at = 0; at < panels * steps; at++) {
        int64_t panel = along ? at / steps : at % panels, step = along ? at % steps : at / panels;
        int64_t i = panel * TILE_SIDE, p = step * TILE_STEP;
        char *first = to->data + panel * to->panel + step * to->step;
        if (in_twos && width - i >= 2 * TILE_SIDE && k - p >= TILE_STEP) {
            pack_two_panels(to, first, &from, i, p);
            at++;
        } else {
            pack_step(first, to->row, &from, size, i, p,
                      width - i < TILE_SIDE ? width - i : TILE_SIDE,
                      k - p < TILE_STEP ? k - p : TILE_STEP, for_a);
        }
    }
}

static void pack_a(const tile_packed *to, const tile_source *from, int64_t width, int64_t k)
{
    if (from->dtype == ITO_BF16)
        pack(to, from, ITO_BF16, width, k, true);
    else
        pack(to, from, ITO_F32, width, k, true);
}

static void pack_b(const tile_packed *to, const tile_source *from, int64_t width, int64_t k)
{
    if (from->dtype == ITO_BF16)
        pack(to, from, ITO_BF16, width, k, false);
    else
        pack(to, from, ITO_F32, width, k, false);
}

const tile_kernels TILES(tile_kernels) = {begin, end, multiply, pack_a, pack_b};
