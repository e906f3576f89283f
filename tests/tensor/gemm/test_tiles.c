/* Products by tiles of bf16: the operations on tiles against their definition and, where the
 * processor has them, against the registers; packing; and whole products, which come out the same
 * either way. */
#include "tensor/kernels/tiles.h"

#include "tests/tensor/gemm/gemm_data.h"

static const tile_kernels *const emulated = &tile_kernels_emulated;

/* The tile registers, or NULL. */
static const tile_kernels *registers(void)
{
    return isa_use("amx") ? tiles_in_use() : NULL;
}

/* ---- the operations ---- */

enum { STEPS = 3, TAPS = 2, ELEMENTS = TAPS * STEPS * TILE_STEP };

typedef struct operands {
    uint16_t a[TILE_BLOCK][ELEMENTS];          /* [row][k] */
    uint16_t b[2][ELEMENTS / 2][TILE_SIDE][2]; /* [half][pair of k][column][k] */
    float sums[TILE_BLOCK][TILE_BLOCK];
} operands;

/* A bf16 of any kind: mostly near 1, some denormal, tiny, huge, infinite or NaN. */
static uint16_t any_bf16(bool wild)
{
    static const uint16_t odd[] = {0x0000, 0x8000, 0x0001, 0x807f, 0x0080, 0x1f81,
                                   0x9f80, 0x7f00, 0xff7f, 0x7f80, 0x7fc1};
    if (wild && draw(40) == 0)
        return odd[draw(11)];
    return (uint16_t)((draw(2) << 15) | ((draw(40) + 107) << 7) | draw(128));
}

static void fill(operands *o, bool wild)
{
    for (int64_t i = 0; i < TILE_BLOCK * ELEMENTS; i++)
        (&o->a[0][0])[i] = any_bf16(wild);
    for (int64_t i = 0; i < TILE_BLOCK * ELEMENTS; i++)
        (&o->b[0][0][0][0])[i] = any_bf16(wild);
    for (int64_t i = 0; i < TILE_BLOCK * TILE_BLOCK; i++)
        (&o->sums[0][0])[i] = wild && draw(9) == 0 ? 0x1p-130f : (float)draw(1000) / 999.0f;
}

/* Taps of a lie in the second half first. */
static tile_block block_of(operands *o)
{
    static const int64_t taps[TAPS] = {STEPS * TILE_ROW_BYTES, 0};
    return (tile_block){.a = {(const char *)o->a, sizeof o->a[0], TILE_ROW_BYTES,
                              TILE_SIDE * (int64_t)sizeof o->a[0]},
                        .b = {(const char *)o->b, TILE_ROW_BYTES, TILE_BYTES, sizeof o->b[0]},
                        .taps = taps,
                        .tap_count = TAPS,
                        .steps = STEPS,
                        .sums = &o->sums[0][0],
                        .sums_row = TILE_BLOCK,
                        .accumulate = true};
}

static void multiply(const tile_kernels *t, const tile_block *b)
{
    t->begin();
    t->multiply(b);
    t->end();
}

/* Integers make every sum exact, whatever its order. */
Test(tiles, multiply_is_the_product_over_taps_and_steps)
{
    static operands o, before;
    for (int64_t i = 0; i < TILE_BLOCK * ELEMENTS; i++) {
        (&o.a[0][0])[i] = f32_to_bf16((float)(draw(17) - 8));
        (&o.b[0][0][0][0])[i] = f32_to_bf16((float)(draw(17) - 8));
    }
    before = o;
    tile_block b = block_of(&o);
    multiply(emulated, &b);
    for (int64_t i = 0; i < TILE_BLOCK; i++)
        for (int64_t j = 0; j < TILE_BLOCK; j++) {
            float sum = before.sums[i][j];
            for (int64_t k = 0; k < ELEMENTS; k++) {
                int64_t from = (k + ELEMENTS / 2) % ELEMENTS;
                sum += bf16_to_f32(o.a[i][from]) *
                       bf16_to_f32(o.b[j / TILE_SIDE][k / 2][j % TILE_SIDE][k % 2]);
            }
            cr_assert_eq(o.sums[i][j], sum, "(%d, %d)", (int)i, (int)j);
        }
}

Test(tiles, multiply_leaves_sums_of_tiles_that_are_not_there)
{
    static operands o, before;
    for (int shape = 0; shape < 4; shape++) {
        fill(&o, false);
        before = o;
        tile_block b = block_of(&o);
        b.one_row = shape & 1;
        b.one_column = shape & 2;
        multiply(tiles_or_emulated(), &b);
        for (int64_t i = 0; i < TILE_BLOCK; i++)
            for (int64_t j = 0; j < TILE_BLOCK; j++) {
                bool there = (i < TILE_SIDE || !b.one_row) && (j < TILE_SIDE || !b.one_column);
                cr_assert_eq(o.sums[i][j] != before.sums[i][j], there, "%d: (%d, %d)", shape,
                             (int)i, (int)j);
            }
    }
}

/* Even and odd k are summed apart, each from 0, then both together, then to what was there. */
Test(tiles, a_step_rounds_where_its_definition_does)
{
    static operands o;
    memset(&o, 0, sizeof o);
    uint16_t one = f32_to_bf16(1.0f), big = f32_to_bf16(0x1p24f);
    for (int64_t k = 0; k < 3; k++)
        o.b[0][k][0][0] = o.b[0][k][0][1] = one;
    int64_t first = ELEMENTS / 2; /* the tap that comes first */
    o.a[0][first] = big;          /* even: 2^24 + 1 + 1 rounds to 2^24 twice */
    o.a[0][first + 2] = o.a[0][first + 4] = one;
    o.a[1][first] = big; /* odd: 1 + 1, then 2^24 + 2 is exact */
    o.a[1][first + 1] = o.a[1][first + 3] = one;
    o.sums[1][0] = -0x1p24f;
    tile_block b = block_of(&o);
    multiply(emulated, &b);
    cr_assert_eq(o.sums[0][0], 0x1p24f);
    cr_assert_eq(o.sums[1][0], 2.0f);
}

Test(tiles, denormals_count_as_zero_and_become_zero)
{
    static operands o;
    memset(&o, 0, sizeof o);
    o.a[0][ELEMENTS / 2] = 0x0001; /* a denormal */
    o.b[0][0][0][0] = f32_to_bf16(0x1p100f);
    o.a[1][ELEMENTS / 2] = f32_to_bf16(0x1p-120f); /* a product of 2^-130 */
    o.b[0][0][1][0] = f32_to_bf16(0x1p-10f);
    o.sums[2][0] = 0x1p-140f;
    tile_block b = block_of(&o);
    multiply(emulated, &b);
    cr_assert_eq(o.sums[0][0], 0.0f);
    cr_assert_eq(o.sums[1][1], 0.0f);
    cr_assert_eq(o.sums[2][0], 0.0f);
    cr_assert_eq(o.sums[1][0], 0x1p-20f);
}

Test(tiles, registers_and_plain_c_give_the_same_bits)
{
    if (registers() == NULL)
        cr_skip("no AMX here");
    static operands plain, wild;
    for (int round = 0; round < 40; round++) {
        fill(&plain, round >= 10);
        wild = plain;
        tile_block b = block_of(&plain), w = block_of(&wild);
        b.accumulate = w.accumulate = round % 2;
        multiply(emulated, &b);
        multiply(registers(), &w);
        for (int64_t i = 0; i < TILE_BLOCK * TILE_BLOCK; i++) {
            float x = (&plain.sums[0][0])[i], y = (&wild.sums[0][0])[i];
            cr_assert(memcmp(&x, &y, sizeof x) == 0 || (isnan(x) && isnan(y)), "%a is %a",
                      (double)x, (double)y);
        }
    }
}

/* ---- packing ---- */

static float element_of(const tile_source *from, int64_t i, int64_t k)
{
    const void *first = from->list != NULL ? from->list[k] : from->data;
    int64_t at = i * from->stride + (from->list != NULL ? 0 : k * from->stride_k);
    return (float)rounded_to_bf16(get(from->dtype, first, at));
}

/* What is packed of `width` rows (columns) and k elements, against its definition. */
static void check_packing(const tile_kernels *t, const tile_source *from, int64_t width, int64_t k,
                          bool for_a)
{
    enum { PANELS = 3, DEEP = 4, GAP = 64 };
    static uint16_t packed[PANELS][DEEP][TILE_SIDE][TILE_STEP];
    memset(packed, 0x7f, sizeof packed);
    tile_packed to = {(char *)packed, TILE_ROW_BYTES, TILE_BYTES, sizeof packed[0]};
    (for_a ? t->pack_a : t->pack_b)(&to, from, width, k);
    for (int64_t panel = 0; panel < ceil_div(width, TILE_SIDE); panel++)
        for (int64_t at = 0; at < round_up(k, TILE_STEP) * TILE_SIDE; at++) {
            int64_t i = at % TILE_SIDE, p = at / TILE_SIDE, step = p / TILE_STEP;
            const uint16_t(*tile)[TILE_STEP] = packed[panel][step];
            uint16_t got = for_a ? tile[i][p % TILE_STEP] : tile[p % TILE_STEP / 2][i * 2 + p % 2];
            bool there = panel * TILE_SIDE + i < width && p < k;
            float want = there ? element_of(from, panel * TILE_SIDE + i, p) : 0.0f;
            cr_assert_eq(bf16_to_f32(got), want, "%d of %d, k %d of %d", (int)(panel * 16 + i),
                         (int)width, (int)p, (int)k);
        }
}

Test(tiles, packing_takes_every_layout_width_and_depth)
{
    static const int64_t widths[] = {1, 15, 16, 17, 48}, depths[] = {1, 2, 31, 32, 33, 100};
    const tile_kernels *kernels_of[] = {emulated, registers()};
    for (int d = 0; d < 2; d++) {
        ito_dtype dtype = d ? ITO_F32 : ITO_BF16;
        void *elements = fractions(dtype, 60 * 120 * 2);
        const void *list[100];
        for (int64_t k = 0; k < 100; k++)
            list[k] = (char *)elements + (k * 37 % 100 * 60) * (int64_t)ito_dtype_size(dtype);
        const tile_source layouts[] = {{dtype, elements, 120, 1, NULL},
                                       {dtype, elements, 1, 60, NULL},
                                       {dtype, elements, 2, 120, NULL},
                                       {dtype, NULL, 1, 0, list}};
        for (int n = 0; n < 2 && kernels_of[n] != NULL; n++)
            for (int l = 0; l < 4; l++)
                for (int c = 0; c < 5 * 6 * 2; c++)
                    check_packing(kernels_of[n], &layouts[l], widths[c % 5], depths[c / 5 % 6],
                                  c / 30);
        free(elements);
    }
}

/* ---- whole products ---- */

Test(tiles, products_have_the_same_bits_by_registers_and_in_plain_c)
{
    if (registers() == NULL)
        cr_skip("no AMX here");
    for (int bits = 0; bits < 8; bits++) {
        ito_dtype types[] = {bits & 4 ? ITO_F32 : ITO_BF16, ITO_BF16,
                             bits & 4 ? ITO_BF16 : ITO_F32};
        data d = make_mixed(types, 70, 50, 4700,
                            (options){.a_t = bits & 1, .b_t = bits & 2, .bias = true}, fractions);
        d.p.way = GEMM_TILES;
        cr_assert(isa_use("amx"));
        cr_assert_eq(gemm(&d.p), ITO_OK);
        void *by_registers = copy_of(&d);
        cr_assert(isa_use("amx-emulated"));
        cr_assert_eq(gemm(&d.p), ITO_OK);
        cr_assert_eq(memcmp(by_registers, d.c, (size_t)d.c_numel * ito_dtype_size(d.p.c_dtype)), 0);
        free(by_registers);
        release(&d);
    }
}

/* Sums of a deep product wait in f32, for some rows of C at a time. Integers make them exact, so
 * that reals give the same. */
Test(tiles, a_tall_and_deep_product_is_done_in_pieces)
{
    data d = make_mixed((ito_dtype[]){ITO_BF16, ITO_BF16, ITO_BF16}, 4500, 1000, 4700,
                        (options){.b_t = true, .bias = true}, integers);
    gemm_matrix matrix = {.dtype = ITO_BF16};
    gemm_blocks p = {.a_dtype = ITO_BF16,
                     .b_dtype = ITO_BF16,
                     .c_dtype = ITO_BF16,
                     .way = GEMM_TILES,
                     .items = 1,
                     .m = 4500,
                     .n = 1000,
                     .k = 4700,
                     .a = {.pack = gemm_pack_matrix, .source = &matrix},
                     .b = {.pack = gemm_pack_matrix, .source = &matrix}};
    gemm_blocks_plan(&p);
    cr_assert_lt(p.by_tiles.height, 4500);
    if (registers() != NULL) { /* plain C would take minutes */
        d.p.way = GEMM_REALS;
        cr_assert_eq(gemm(&d.p), ITO_OK);
        void *by_reals = copy_of(&d);
        d.p.way = GEMM_TILES;
        cr_assert_eq(gemm(&d.p), ITO_OK);
        cr_assert_eq(memcmp(by_reals, d.c, (size_t)d.c_numel * sizeof(uint16_t)), 0);
        free(by_reals);
    }
    release(&d);
}

#if defined(__x86_64__)
/* Which of a thread's state is in use, and so is saved at each switch to another: XGETBV with 1. */
static bool tiles_are_in_use(void)
{
    enum { TILE_CONFIGURATION_AND_DATA = 3 << 17 };
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
    return (low & TILE_CONFIGURATION_AND_DATA) != 0;
}

Test(tiles, products_leave_no_state_of_tiles_behind)
{
    if (registers() == NULL)
        cr_skip("no AMX here");
    registers()->begin();
    cr_assert(tiles_are_in_use());
    registers()->end();
    cr_assert_not(tiles_are_in_use());
    data d = make_mixed((ito_dtype[]){ITO_BF16, ITO_BF16, ITO_F32}, 200, 300, 300, (options){0},
                        fractions);
    for (int threads = 1; threads <= 2; threads++) {
        bool left = false;
        ito_set_threads(threads);
        cr_assert_eq(gemm(&d.p), ITO_OK);
#pragma omp parallel num_threads(threads)
        if (tiles_are_in_use()) {
#pragma omp atomic write
            left = true;
        }
        cr_assert_not(left, "%d threads", threads);
    }
    release(&d);
}
#endif

/* A row of C is the same whatever rows are beside it, and however the others are cut. */
Test(tiles, a_row_has_the_same_bits_alone_and_among_others)
{
    data d = make_mixed((ito_dtype[]){ITO_BF16, ITO_F32, ITO_F32}, 300, 70, 4700,
                        (options){.b_t = true}, fractions);
    d.p.way = GEMM_TILES;
    cr_assert_eq(gemm(&d.p), ITO_OK);
    float *all = copy_of(&d);
    for (int64_t row = 0; row < 300; row += 37) {
        gemm_problem one = d.p;
        one.m = 1;
        one.a = (const uint16_t *)d.a + row * d.p.a_row;
        cr_assert_eq(gemm(&one), ITO_OK);
        cr_assert_eq(memcmp(d.c, all + row * 70, 70 * sizeof *all), 0, "row %d", (int)row);
    }
    free(all);
    release(&d);
}
