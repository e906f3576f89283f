/* Products with few rows or columns: the same sums, bit for bit, as in a product with many. Their
 * values are compared with a plain loop in test_gemm.c, whose sizes and layouts come this way too.
 */
#include "tensor/gemm/gemm_thin.h"
#include "tests/tensor/gemm/gemm_data.h"

#include <criterion/criterion.h>

enum { MANY = 150, OTHER = 101 };

static const void *element(ito_dtype dtype, const void *p, int64_t i)
{
    return (const char *)p + i * (int64_t)ito_dtype_size(dtype);
}

/* Rows [first, first + rows) of d alone, into c. */
static gemm_problem rows_alone(const data *d, int64_t first, int64_t rows, void *c)
{
    gemm_problem p = d->p;
    p.m = rows;
    p.a = element(p.a_dtype, d->a, first * p.a_row);
    p.c = c;
    return p;
}

static gemm_problem columns_alone(const data *d, int64_t first, int64_t columns, void *c)
{
    gemm_problem p = d->p;
    p.n = columns;
    p.b = element(p.b_dtype, d->b, first * p.b_col);
    p.bias = p.bias != NULL ? element(p.c_dtype, p.bias, first) : NULL;
    p.c = c;
    p.c_row = columns;
    return p;
}

/* Every element of C that p made, whose element (0, 0) is element (i0, j0) of d. */
static void check_part(const data *d, const gemm_problem *p, int64_t i0, int64_t j0)
{
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->n; j++)
            cr_assert_eq(get(p->c_dtype, p->c, i * p->c_row + j),
                         get(p->c_dtype, d->c, (i0 + i) * d->p.c_row + j0 + j),
                         "%s %dx%dx%d at (%d, %d)", ito_dtype_name(p->c_dtype), (int)p->m,
                         (int)p->n, (int)p->k, (int)i, (int)j);
}

/* Fills c with what d had before its product. */
static void begin_again(const gemm_problem *p, const data *d, const void *before, int64_t i0,
                        int64_t j0)
{
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->n; j++)
            set(p->c_dtype, p->c, i * p->c_row + j,
                get(p->c_dtype, before, (i0 + i) * d->p.c_row + j0 + j));
}

static const ito_dtype dtypes[] = {ITO_F32, ITO_F64};
static const int64_t depths[] = {33, 512, 700, 1300}; /* of one to three blocks of k */

Test(gemm_thin, rows_have_the_same_bits_whatever_their_number)
{
    for (int bits = 0; bits < 32; bits++) {
        options o = {.a_t = bits & 1, .b_t = bits & 2, .bias = bits & 4, .accumulate = bits & 8};
        data d = make(dtypes[bits >> 4], MANY, OTHER, depths[bits % 3 + 1], o, fractions);
        void *before = copy_of(&d), *c = malloc(MANY * OTHER * sizeof(double));
        cr_assert_eq(gemm(&d.p), ITO_OK);
        for (int64_t rows = 1; rows <= 25; rows += rows < 5 ? 1 : 4) {
            gemm_problem p = rows_alone(&d, 7, rows, c);
            begin_again(&p, &d, before, 7, 0);
            cr_assert_eq(gemm(&p), ITO_OK);
            check_part(&d, &p, 7, 0);
        }
        free(before);
        free(c);
        release(&d);
    }
}

Test(gemm_thin, columns_have_the_same_bits_whatever_their_number)
{
    for (int bits = 0; bits < 32; bits++) {
        options o = {.a_t = bits & 1, .b_t = bits & 2, .bias = bits & 4, .accumulate = bits & 8};
        data d = make(dtypes[bits >> 4], MANY, OTHER, depths[bits % 4], o, fractions);
        void *before = copy_of(&d), *c = malloc(MANY * OTHER * sizeof(double));
        cr_assert_eq(gemm(&d.p), ITO_OK);
        for (int64_t columns = 1; columns <= 5; columns++) {
            gemm_problem p = columns_alone(&d, 11, columns, c);
            begin_again(&p, &d, before, 0, 11);
            cr_assert_eq(gemm(&p), ITO_OK);
            check_part(&d, &p, 0, 11);
        }
        free(before);
        free(c);
        release(&d);
    }
}

/* A single row is made some columns at a time, here of two runs and a part of a vector. */
Test(gemm_thin, a_long_row_has_the_same_bits_alone)
{
    for (int i = 0; i < 2; i++) {
        data d = make(dtypes[i], 3, 2065, 530, (options){.bias = true}, fractions);
        void *c = malloc((size_t)d.p.n * sizeof(double));
        cr_assert_eq(gemm(&d.p), ITO_OK);
        gemm_problem p = rows_alone(&d, 2, 1, c);
        cr_assert_eq(gemm(&p), ITO_OK);
        check_part(&d, &p, 2, 0);
        free(c);
        release(&d);
    }
}

/* The shapes that are meant to come this way do, on every instruction set. */
Test(gemm_thin, takes_one_row_and_one_column_of_either_layout)
{
    for (int bits = 0; bits < 8; bits++) {
        bool row = bits & 1;
        options o = {.a_t = !row && (bits & 2), .b_t = row && (bits & 2), .bias = bits & 4};
        data d = make(ITO_F32, row ? 1 : 70, row ? 70 : 1, 64, o, integers);
        d.p.batch = 1;
        bool packed = !row && o.a_t && o.bias; /* a transposed column with a bias */
        cr_assert_eq(gemm_thin(&d.p), !packed, "%d", bits);
        release(&d);
    }
}

Test(gemm_thin, leaves_bf16_and_mixed_types_to_the_blocked_product)
{
    static const ito_dtype types[][3] = {
        {ITO_BF16, ITO_BF16, ITO_BF16}, {ITO_BF16, ITO_F32, ITO_F32}, {ITO_F32, ITO_F32, ITO_BF16}};
    for (int i = 0; i < 3; i++) {
        data d = make_mixed(types[i], 1, 70, 64, (options){0}, integers);
        d.p.batch = 1;
        cr_assert_not(gemm_thin(&d.p), "types %d", i);
        release(&d);
    }
}

Test(gemm_thin, gives_the_same_bits_for_any_number_of_threads)
{
    static const int64_t sizes[][4] = {
        {1, 3001, 1000, 1}, {20, 1501, 700, 1}, {1501, 1, 1300, 1}, {3, 257, 200, 40}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int b_t = 0; b_t < 2; b_t++) {
            data d = make(ITO_F32, sizes[i][0], sizes[i][1], sizes[i][2],
                          (options){.b_t = b_t, .bias = true, .batch = sizes[i][3]}, fractions);
            free(check_threads(&d));
            release(&d);
        }
}
