/* Matrix products of f32 and f64 against a plain double loop. */
#include "tensor/gemm/gemm_blocks.h"
#include "tests/tensor/gemm/gemm_data.h"

#include <criterion/criterion.h>
#include <math.h>

static void check_exactly(int64_t m, int64_t n, int64_t k, options o, const char *what)
{
    static const ito_dtype dtypes[] = {ITO_F32, ITO_F64};
    for (int i = 0; i < 2; i++) {
        data d = make(dtypes[i], m, n, k, o, integers);
        check(&d, 0.0, what);
        release(&d);
    }
}

Test(gemm, equals_the_plain_loop_at_odd_sizes)
{
    static const int64_t sizes[] = {1, 2, 3, 5, 7, 17, 31, 63, 65};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    for (int m = 0; m < SIZES; m++)
        for (int n = 0; n < SIZES; n++)
            check_exactly(sizes[m], sizes[n], sizes[(m * 5 + n * 2) % SIZES], (options){0},
                          "plain");
}

Test(gemm, takes_every_layout_and_option)
{
    for (int bits = 0; bits < 32; bits++) {
        options o = {.a_t = bits & 1,
                     .b_t = bits & 2,
                     .strided = bits & 4,
                     .bias = bits & 8,
                     .accumulate = bits & 16};
        check_exactly(19, 37, 23, o, "options");
        check_exactly(1, 5, 9, o, "options");
    }
}

Test(gemm, sums_many_blocks_of_k)
{
    static const int64_t depths[] = {255, 256, 257, 384, 511, 512, 513, 800, 1024, 1025, 1153};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        check_exactly(13, 35, depths[i], (options){.bias = true, .accumulate = true}, "deep");
        check_exactly(35, 13, depths[i], (options){.bias = true, .a_t = true}, "deep");
    }
}

Test(gemm, crosses_tiles_of_both_dimensions)
{
    check_exactly(900, 40, 20, (options){.bias = true}, "tall");
    check_exactly(40, 900, 20, (options){.b_t = true, .accumulate = true}, "wide");
    check_exactly(200, 210, 400, (options){0}, "square");
    check_exactly(1000, 3, 50, (options){.bias = true, .accumulate = true}, "narrow");
    check_exactly(500, 17, 450, (options){.bias = true, .a_t = true}, "narrow");
}

/* C v = A (B v) for a random v: for products too large for the plain loop. Exact on integers. */
static void check_by_a_vector(const data *d)
{
    const gemm_problem *p = &d->p;
    double *v = integers(ITO_F64, p->n), *bv = calloc((size_t)p->k, sizeof *bv);
    for (int64_t q = 0; q < p->k; q++)
        for (int64_t j = 0; j < p->n; j++)
            bv[q] += get(p->b_dtype, p->b, q * p->b_row + j * p->b_col) * v[j];
    for (int64_t i = 0; i < p->m; i++) {
        double left = 0.0, right = 0.0;
        for (int64_t j = 0; j < p->n; j++)
            left += get(p->c_dtype, p->c, i * p->c_row + j) * v[j];
        for (int64_t q = 0; q < p->k; q++)
            right += get(p->a_dtype, p->a, i * p->a_row + q * p->a_col) * bv[q];
        cr_assert_eq(left, right, "row %d", (int)i);
    }
    free(v);
    free(bv);
}

/* A that lies across k is packed, as B is: in parts, if the smaller of them is big. */
Test(gemm, goes_more_than_one_round_when_the_shared_operand_is_big)
{
    static const struct {
        ito_dtype dtype;
        int64_t m, n, k, least;                  /* rounds */
    } cases[] = {{ITO_F64, 1030, 1040, 1024, 4}, /* parts of both its extents */
                 {ITO_F32, 100, 100, 40000, 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        data d = make(cases[i].dtype, cases[i].m, cases[i].n, cases[i].k, (options){.a_t = true},
                      integers);
        ito_set_threads(2);
        cr_assert_eq(plan_of(&d).row, 0);
        cr_assert_geq(rounds_of(&d), cases[i].least, "case %d: %d", (int)i, (int)rounds_of(&d));
        free(check_threads(&d));
        check_by_a_vector(&d);
        release(&d);
    }
}

/* More rows than are read in place in one round, by one thread and by several. */
Test(gemm, goes_more_than_one_round_over_rows_in_place)
{
    data tall = make(ITO_F32, 4500, 40, 24, (options){.bias = true}, integers);
    ito_set_threads(1);
    cr_assert(plan_of(&tall).shared_in_place);
    cr_assert_gt(rounds_of(&tall), 1);
    check(&tall, 0.0, "tall");
    free(check_threads(&tall));
    release(&tall);
    data both = make(ITO_F32, 4500, 4600, 8, (options){0}, integers);
    ito_set_threads(3);
    cr_assert(plan_of(&both).shared_in_place);
    cr_assert_gt(rounds_of(&both), 1);
    free(check_threads(&both));
    check_by_a_vector(&both);
    release(&both);
}

/* Rows a multiple of 4096 bytes apart are packed, others read where they lie: the same sums. */
Test(gemm, packs_rows_that_would_crowd_a_cache)
{
    for (int64_t k = 1023; k <= 1025; k++) {
        data d = make(ITO_F32, 50, 70, k, (options){.bias = true, .b_t = true}, integers);
        cr_assert_eq(plan_of(&d).row, k == 1024 ? 0 : k);
        check(&d, 0.0, "crowded");
        release(&d);
    }
}

Test(gemm, multiplies_batches_and_repeats_a_shared_operand)
{
    static const int64_t batches[] = {1, 2, 3, 7, 16};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        options o = {.batch = batches[i], .bias = true};
        check_exactly(9, 21, 33, o, "batch");
        check_exactly(64, 64, 64, o, "batch");
        o.share_b = true;
        check_exactly(9, 21, 33, o, "shared");
        o.a_t = true;
        check_exactly(9, 21, 33, o, "shared, transposed");
    }
}

Test(gemm, of_no_depth_is_c_and_bias)
{
    check_exactly(7, 9, 0, (options){0}, "k = 0");
    check_exactly(7, 9, 0, (options){.bias = true}, "k = 0");
    check_exactly(7, 9, 0, (options){.bias = true, .accumulate = true}, "k = 0");
}

Test(gemm, of_nothing_does_nothing)
{
    check_exactly(0, 9, 5, (options){0}, "m = 0");
    check_exactly(9, 0, 5, (options){0}, "n = 0");
    check_exactly(0, 0, 0, (options){.bias = true, .batch = 3}, "empty");
}

/* k multiply-adds round at most 2 k times (twice each without a fused one), joining C and bias a
 * few times more, each by half a unit in the last place of at most the sum of magnitudes. */
Test(gemm, rounds_no_more_than_a_chain_of_multiply_adds)
{
    static const struct {
        ito_dtype dtype;
        double unit;
    } types[] = {{ITO_F32, 0x1p-24}, {ITO_F64, 0x1p-53}};
    for (int i = 0; i < 2; i++) {
        data d = make(types[i].dtype, 33, 47, 500, (options){.bias = true, .accumulate = true},
                      fractions);
        /* the reference rounds in double as well */
        check(&d, (2 * 500 + 8) * types[i].unit * (i == 1 ? 2.0 : 1.0), "fractions");
        release(&d);
    }
}

/* ---- add: C = A B + bias + add, where rows of add lie as they like ---- */

enum { GRID_H = 3, GRID_W = 5 };

/* Rows of C are pixels of images, side by side; groups lie side by side in a pixel. */
static gemm_layout pixels(int64_t channels, int64_t group)
{
    return (gemm_layout){.item = group,
                         .grid_h = GRID_H,
                         .grid_w = GRID_W,
                         .image_stride = GRID_H * GRID_W * channels,
                         .line_stride = GRID_W * channels,
                         .pixel_stride = channels};
}

/* A product of `groups` items whose C has `images` images of n channels a group, with add as
 * add_layout has it; must equal the product without add (checked above), and add on top. */
static void check_add(int64_t images, int64_t groups, int64_t n, int64_t k, ito_dtype dtype,
                      gemm_layout add_layout, bool accumulate)
{
    int64_t m = images * GRID_H * GRID_W, c_numel = m * groups * n;
    void *a = integers(dtype, groups * m * k), *b = integers(dtype, groups * k * n);
    void *c = integers(dtype, c_numel), *bias = integers(dtype, groups * n);
    void *add = integers(dtype, c_numel), *plain = malloc((size_t)c_numel * ito_dtype_size(dtype));
    memcpy(plain, c, (size_t)c_numel * ito_dtype_size(dtype));
    gemm_matrix a_rows = {dtype, a, k, 1, m * k}, b_columns = {dtype, b, 1, n, k * n};
    gemm_blocks p = {.a_dtype = dtype,
                     .b_dtype = dtype,
                     .c_dtype = dtype,
                     .items = groups,
                     .m = m,
                     .n = n,
                     .k = k,
                     .a = {.pack = gemm_pack_matrix, .source = &a_rows},
                     .b = {.pack = gemm_pack_matrix, .source = &b_columns},
                     .c = plain,
                     .layout = pixels(groups * n, n),
                     .bias = bias,
                     .bias_item = n,
                     .accumulate = accumulate};
    void *scratch = mem_alloc(gemm_blocks_plan(&p));
    gemm_blocks_run(&p, scratch);
    mem_free(scratch);
    p.c = c;
    p.add = add;
    p.add_layout = add_layout;
    scratch = mem_alloc(gemm_blocks_plan(&p));
    gemm_blocks_run(&p, scratch);
    mem_free(scratch);
    for (int64_t g = 0; g < groups; g++)
        for (int64_t r = 0; r < m; r++)
            for (int64_t j = 0; j < n; j++) {
                int64_t at = (r * groups + g) * n + j, pixel = r % (GRID_H * GRID_W);
                int64_t from = g * add_layout.item +
                               r / (GRID_H * GRID_W) * add_layout.image_stride +
                               pixel / GRID_W * add_layout.line_stride +
                               pixel % GRID_W * add_layout.pixel_stride + j;
                cr_assert_eq(get(dtype, c, at), get(dtype, plain, at) + get(dtype, add, from),
                             "%s group %d, row %d, column %d, k = %d", ito_dtype_name(dtype),
                             (int)g, (int)r, (int)j, (int)k);
            }
    free(a);
    free(b);
    free(c);
    free(bias);
    free(add);
    free(plain);
}

Test(gemm, adds_an_operand_shaped_as_c_or_one_row_for_all_pixels_of_an_image)
{
    static const int64_t sizes[][4] = {{2, 1, 16, 9},   {7, 1, 37, 400}, {3, 2, 5, 800},
                                       {1, 3, 130, 20}, {40, 1, 48, 17}, {2, 1, 7, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int bits = 0; bits < 8; bits++) {
            const int64_t *s = sizes[i];
            gemm_layout as_c = pixels(s[1] * s[2], s[2]);
            gemm_layout per_image = {
                .item = s[2], .grid_h = GRID_H, .grid_w = GRID_W, .image_stride = s[1] * s[2]};
            check_add(s[0], s[1], s[2], s[3], bits & 1 ? ITO_F64 : ITO_F32,
                      bits & 2 ? per_image : as_c, bits & 4);
        }
}

Test(gemm, gives_the_same_bits_for_any_number_of_threads)
{
    static const int64_t sizes[][4] = {{300, 70, 500, 1},
                                       {70, 300, 500, 1},
                                       {130, 130, 1000, 1},
                                       {40, 50, 60, 16},
                                       {90, 90, 90, 3}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        data d = make(ITO_F32, sizes[i][0], sizes[i][1], sizes[i][2],
                      (options){.bias = true, .batch = sizes[i][3]}, fractions);
        free(check_threads(&d));
        release(&d);
    }
}

static bool same_bits(const void *a, const void *b, size_t bytes)
{
    return memcmp(a, b, bytes) == 0;
}

Test(gemm, gives_a_row_and_a_column_the_same_bits_alone)
{
    data d = make(ITO_F32, 200, 90, 700, (options){.bias = true}, fractions);
    cr_assert_eq(gemm(&d.p), ITO_OK);
    float row[90], column[200];
    gemm_problem p = d.p;
    p.m = 1;
    p.a = (const float *)d.a + 77 * p.a_row;
    p.c = row;
    cr_assert_eq(gemm(&p), ITO_OK);
    cr_assert(same_bits(row, (float *)d.c + 77 * d.p.c_row, sizeof row));
    p = d.p;
    p.n = 1;
    p.b = (const float *)d.b + 33;
    p.bias = (const float *)d.bias + 33;
    p.c = column;
    p.c_row = 1;
    cr_assert_eq(gemm(&p), ITO_OK);
    for (int i = 0; i < 200; i++)
        cr_assert(same_bits(&column[i], (float *)d.c + i * d.p.c_row + 33, sizeof(float)));
    release(&d);
}

Test(gemm, passes_nan_and_infinity_on)
{
    float a[4] = {1.0f, 2.0f, INFINITY, 0.0f}, b[4] = {NAN, 0.0f, 1.0f, 1.0f}, c[4];
    gemm_problem p = {.m = 2,
                      .n = 2,
                      .k = 2,
                      .a = a,
                      .a_row = 2,
                      .a_col = 1,
                      .b = b,
                      .b_row = 2,
                      .b_col = 1,
                      .c = c,
                      .c_row = 2};
    cr_assert_eq(gemm(&p), ITO_OK);
    cr_assert(isnan(c[0]) && c[1] == 2.0f && isnan(c[2]) && isnan(c[3]));
}

Test(gemm, reports_refused_memory_and_leaves_c_alone)
{
    data d = make(ITO_F32, 70, 80, 50, (options){.bias = true}, fractions); /* not thin */
    void *before = copy_of(&d);
    int64_t blocks = ito_memory_blocks();
    ito_memory_fail_nth(1);
    cr_assert_eq(gemm(&d.p), ITO_ERR_MEMORY);
    ito_memory_fail_nth(0);
    cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
    cr_assert_eq(memcmp(before, d.c, (size_t)d.c_numel * sizeof(float)), 0);
    cr_assert_eq(ito_memory_blocks(), blocks);
    ito_error_clear();
    cr_assert_eq(gemm(&d.p), ITO_OK);
    cr_assert_eq(ito_memory_blocks(), blocks);
    free(before);
    release(&d);
}
