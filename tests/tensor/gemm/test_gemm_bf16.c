/* Matrix products with bf16 operands: sums in f32, C rounded once; and products of pairs of bf16,
 * in plain arithmetic where the processor has no instruction for them. */
#include "tensor/kernels/kernels.h"
#include "tests/tensor/gemm/gemm_data.h"

static const ito_dtype mixes[][3] = {{ITO_BF16, ITO_BF16, ITO_BF16}, {ITO_BF16, ITO_F32, ITO_BF16},
                                     {ITO_F32, ITO_BF16, ITO_BF16},  {ITO_BF16, ITO_BF16, ITO_F32},
                                     {ITO_F32, ITO_F32, ITO_BF16},   {ITO_BF16, ITO_F32, ITO_F32},
                                     {ITO_F32, ITO_BF16, ITO_F32}};
enum { MIXES = sizeof mixes / sizeof *mixes };

static void check_mixes(int64_t m, int64_t n, int64_t k, options o, const char *what)
{
    for (int i = 0; i < MIXES; i++)
        for (gemm_way way = GEMM_FASTEST; way <= GEMM_TILES; way++) {
            data d = make_mixed(mixes[i], m, n, k, o, integers);
            d.p.way = way;
            check(&d, 0.0, what);
            release(&d);
        }
}

/* Sums of hundreds of products of integers do not fit bf16's 8 bits: rounded twice they would
 * differ. */
Test(gemm_bf16, is_the_exact_sum_rounded_once)
{
    check_mixes(1, 1, 1, (options){0}, "one");
    check_mixes(7, 33, 31, (options){.bias = true}, "odd");
    check_mixes(13, 35, 1100, (options){.bias = true, .accumulate = true}, "deep");
    check_mixes(35, 13, 1153, (options){.a_t = true}, "deep and odd");
    check_mixes(3, 70, 2049, (options){.bias = true, .b_t = true}, "deep and odd");
    check_mixes(7, 9, 0, (options){.bias = true, .accumulate = true}, "k = 0");
}

Test(gemm_bf16, takes_every_layout_and_option)
{
    for (int bits = 0; bits < 32; bits++)
        check_mixes(19, 37, 23,
                    (options){.a_t = bits & 1,
                              .b_t = bits & 2,
                              .strided = bits & 4,
                              .bias = bits & 8,
                              .accumulate = bits & 16},
                    "options");
}

Test(gemm_bf16, crosses_tiles_and_batches)
{
    check_mixes(700, 40, 20, (options){.bias = true}, "tall");
    check_mixes(40, 700, 20, (options){.b_t = true, .accumulate = true}, "wide");
    check_mixes(300, 5, 600, (options){.bias = true}, "narrow");
    check_mixes(9, 21, 33, (options){.batch = 7, .bias = true}, "batch");
    check_mixes(40, 40, 600, (options){.batch = 3}, "batch");
    check_mixes(9, 21, 33, (options){.batch = 5, .share_b = true, .a_t = true}, "shared");
}

/* Sums that wait in f32 for the last block of k, in more than one round: of rows in place, which an
 * f32 A has, and of packed ones. */
Test(gemm_bf16, keeps_sums_in_f32_through_every_round)
{
    for (int i = 0; i < MIXES; i++) {
        bool in_place = mixes[i][0] == ITO_F32;
        data d = in_place ? make_mixed(mixes[i], 530, 30, 600, (options){.bias = true}, integers)
                          : make_mixed(mixes[i], 40, 40, 40000, (options){.bias = true}, integers);
        if (mixes[i][2] == ITO_BF16) {
            d.p.way = GEMM_REALS;
            ito_set_threads(1);
            cr_assert(plan_of(&d).keeps_sums);
            cr_assert_eq(plan_of(&d).shared_in_place, in_place);
            cr_assert_gt(rounds_of(&d), 1, "mix %d", i);
            check(&d, 0.0, "rounds");
            free(check_threads(&d));
        }
        release(&d);
    }
}

/* k multiply-adds in f32 round as in f32, twice each without a fused one, the bias a few times
 * more; check() allows for the rounding of a bf16 C. */
Test(gemm_bf16, rounds_as_f32_does_and_then_once)
{
    for (int i = 0; i < MIXES; i++) {
        data d = make_mixed(mixes[i], 33, 47, 700, (options){.bias = true}, fractions);
        d.p.way = GEMM_REALS;
        check(&d, (2 * 700 + 8) * 0x1p-24, "fractions");
        release(&d);
    }
}

/* ---- pairs ---- */

/* x + y in f32, rounded to odd: of its two neighbours an inexact sum becomes the one whose last bit
 * is 1. */
static float sum_to_odd(double x, double y)
{
    double sum = x + y, rest = sum - x, lost = (x - (sum - rest)) + (y - rest);
    float near = (float)sum;
    double error = (sum - (double)near) + lost;
    if (error == 0)
        return near;
    uint32_t bits = float_bits(near); /* one less where it is away from 0 */
    return bits_float((bits - ((error < 0) == (near > 0))) | 1);
}

/* A product of two bf16 is exact in f32. */
static double product_of(const gemm_problem *p, int64_t i, int64_t j, int64_t k)
{
    if (k >= p->k)
        return 0;
    return rounded_to_bf16(get(p->a_dtype, p->a, i * p->a_row + k * p->a_col)) *
           rounded_to_bf16(get(p->b_dtype, p->b, k * p->b_row + j * p->b_col));
}

/* What the instruction does: the upper product first, each sum rounded once; on AArch64 both
 * products together. */
static float sum_of_pairs(const data *d, int64_t i, int64_t j)
{
    bool to_odd = strcmp(ito_isa(), "neonbf16") == 0;
    float sum = 0.0f;
    for (int64_t k = 0; k < d->p.k; k += 2) {
        double low = product_of(&d->p, i, j, k), high = product_of(&d->p, i, j, k + 1);
        if (to_odd)
            sum = sum_to_odd((double)sum, (double)sum_to_odd(low, high));
        else
            sum = (float)low + ((float)high + sum);
    }
    return sum;
}

Test(gemm_bf16, multiplies_pairs_in_the_order_of_the_instruction)
{
    static const int64_t depths[] = {1, 2, 31, 256, 511};
    for (int i = 0; i < MIXES; i++)
        for (size_t s = 0; s < sizeof depths / sizeof *depths; s++) {
            if (mixes[i][2] == ITO_BF16 || (mixes[i][0] == ITO_F32 && mixes[i][1] == ITO_F32))
                continue;
            data d = make_mixed(mixes[i], 14, 37, depths[s], (options){0}, fractions);
            d.p.way = GEMM_PAIRS;
            cr_assert_eq(gemm(&d.p), ITO_OK);
            for (int64_t r = 0; r < 14; r++)
                for (int64_t j = 0; j < 37; j++)
                    cr_assert_eq(((float *)d.c)[r * 37 + j], sum_of_pairs(&d, r, j),
                                 "mix %d, k = %d, (%d, %d)", i, (int)depths[s], (int)r, (int)j);
            release(&d);
        }
}

Test(gemm_bf16, pairs_and_tiles_round_an_f32_operand_and_reals_keep_it)
{
    float a = 1.0f + 0x1p-12f, c[2];
    uint16_t b = f32_to_bf16(1.0f);
    gemm_problem p = {.b_dtype = ITO_BF16,
                      .m = 1,
                      .n = 1,
                      .k = 1,
                      .a = &a,
                      .a_row = 1,
                      .a_col = 1,
                      .b = &b,
                      .b_row = 1,
                      .b_col = 1,
                      .c = c,
                      .c_row = 1,
                      .way = GEMM_REALS};
    cr_assert_eq(gemm(&p), ITO_OK);
    cr_assert_eq(c[0], a);
    p.way = GEMM_PAIRS;
    cr_assert_eq(gemm(&p), ITO_OK);
    cr_assert_eq(c[0], 1.0f);
    p.way = GEMM_TILES;
    cr_assert_eq(gemm(&p), ITO_OK);
    cr_assert_eq(c[0], 1.0f);
    p.way = GEMM_FASTEST;
    cr_assert_eq(gemm(&p), ITO_OK);
    cr_assert_eq(c[0], ito_multiplies_bf16() ? 1.0f : a);
}

Test(gemm_bf16, packs_pairs_rounded_to_nearest_even_and_fills_up_with_zeros)
{
    const kernel_table *t = kernels(ITO_F32);
    enum { K = 5, MOST = 64 };
    int64_t widths[] = {t->gemm_tile_rows(), t->gemm_tile_columns()};
    for (int w = 0; w < 2; w++) {
        float panel[K * MOST];
        uint16_t pairs[(K + 1) * MOST + 1];
        for (int i = 0; i < K * MOST; i++)
            panel[i] = i == 7 ? NAN : i == 9 ? INFINITY : (float)(draw(2000001) - 1000000) / 7e3f;
        memset(pairs, 0x55, sizeof pairs);
        t->gemm_pack_pairs(pairs, panel, widths[w], K);
        for (int64_t k = 0; k < K + 1; k++)
            for (int64_t j = 0; j < widths[w]; j++) {
                float from = k < K ? panel[k * widths[w] + j] : 0.0f;
                float got = bf16_to_f32(pairs[(k / 2 * widths[w] + j) * 2 + k % 2]);
                cr_assert(isnan(from)
                              ? isnan(got)
                              : (double)got ==
                                    (isinf(from) ? (double)from : rounded_to_bf16((double)from)),
                          "element %d of column %d", (int)k, (int)j);
            }
        cr_assert_eq(pairs[(K + 1) * widths[w]], 0x5555);
    }
}

/* ---- bits ---- */

Test(gemm_bf16, gives_the_same_bits_for_any_number_of_threads_and_a_row_alone)
{
    static const int64_t sizes[][4] = {
        {300, 70, 1100, 1}, {70, 300, 700, 1}, {130, 130, 1000, 1}, {40, 50, 60, 16}};
    for (int i = 0; i < 4 * MIXES; i++) {
        const int64_t *s = sizes[i % 4];
        data d = make_mixed(mixes[i / 4], s[0], s[1], s[2], (options){.bias = true, .batch = s[3]},
                            fractions);
        size_t size = ito_dtype_size(d.p.c_dtype);
        void *one = check_threads(&d);
        gemm_problem p = d.p;
        p.m = p.batch = 1;
        p.a = (const char *)d.a + (size_t)(33 * p.a_row) * ito_dtype_size(p.a_dtype);
        p.c = d.c;
        cr_assert_eq(gemm(&p), ITO_OK);
        cr_assert_eq(memcmp((char *)one + (size_t)(33 * p.c_row) * size, d.c, (size_t)p.n * size),
                     0, "row alone, mix %d", i / 4);
        free(one);
        release(&d);
    }
}

Test(gemm_bf16, reports_refused_memory_and_leaves_c_alone)
{
    data d = make_mixed(mixes[0], 30, 40, 1200, (options){.bias = true}, fractions);
    void *before = copy_of(&d);
    ito_memory_fail_nth(1);
    cr_assert_eq(gemm(&d.p), ITO_ERR_MEMORY);
    ito_memory_fail_nth(0);
    cr_assert_eq(memcmp(before, d.c, (size_t)d.c_numel * sizeof(uint16_t)), 0);
    ito_error_clear();
    free(before);
    release(&d);
}
