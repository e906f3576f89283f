/* Indexing, against plain loops over coordinates. */
#include "autograd/ops.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static ito_tensor *indices(const int64_t *v, ito_shape shape)
{
    ito_tensor *t = ito_from_data(v, shape, ITO_I64);
    cr_assert_not_null(t, "%s", ito_error());
    return t;
}

/* Indices below size, a function of seed; some repeat. */
static ito_tensor *random_indices(ito_shape shape, int64_t size, uint64_t seed)
{
    ito_generator g = ito_generator_make(seed, 3);
    return ito_randint(&g, 0, size, shape, ITO_I64);
}

static double at3(const ito_tensor *t, int64_t i, int64_t j, int64_t k)
{
    return (
        (const double *)ito_const_data(t))[i * t->stride[0] + j * t->stride[1] + k * t->stride[2]];
}

/* ---- index_select
 * -------------------------------------------------------------------------------- */

typedef struct place {
    int axis;
    ito_tensor *index;
} place;

static ito_tensor *f_index_select(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    const place *p = context;
    return ito_index_select(in[0], p->axis, p->index);
}

static void check_index_select(int axis, const ito_tensor *x, const ito_tensor *index)
{
    const int64_t *v = ito_const_data(index);
    int64_t d[3] = {x->shape[0], x->shape[1], x->shape[2]}, at = 0;
    d[axis] = index->shape[0];
    double want[300];
    for (int64_t i = 0; i < d[0]; i++)
        for (int64_t j = 0; j < d[1]; j++)
            for (int64_t k = 0; k < d[2]; k++) {
                int64_t c[3] = {i, j, k};
                c[axis] = v[c[axis]];
                want[at++] = at3(x, c[0], c[1], c[2]);
            }
    ito_tensor *in = ito_detach((ito_tensor *)(uintptr_t)x);
    ito_tensor *list = ito_detach((ito_tensor *)(uintptr_t)index);
    assert_elements(ito_index_select(in, axis, list), want, at, 0, "index_select");
}

void case_index_select(void)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(3, 4, 5), -1, 1, 1);
    ito_tensor *turned = ito_permute(random_tensor(ITO_SHAPE(3, 5, 4), -1, 1, 2), 0, 2, 1);
    ito_tensor *reversed = ito_permute(random_tensor(ITO_SHAPE(5, 4, 3), -1, 1, 3), 2, 1, 0);
    int64_t v[] = {2, 0, 2, 1, 1};
    for (int axis = 0; axis < 3; axis++)
        for (int64_t n = 0; n <= 5; n += 5) {
            ito_tensor *index = indices(v, ITO_SHAPE(n));
            check_index_select(axis, x, index);
            check_index_select(axis, turned, index);
            check_index_select(axis, reversed, index);
        }
    ito_tensor *image = tensor_channels_last(random_tensor(ITO_SHAPE(3, 2, 4, 5), -1, 1, 1));
    ito_tensor *list = indices(v, ITO_SHAPE(5)), *matrix = indices(v, ITO_SHAPE(2, 2));
    cr_assert(ito_is_channels_last(ito_index_select(image, 0, list)));
    double every_second[] = {2, 2, 1};
    ito_tensor *count = ito_arange(0, 5, 1, ITO_F64);
    assert_elements(ito_index_select(count, 0, ito_slice(list, 0, 0, 5, 2)), every_second, 3, 0,
                    "a strided index");
    for (int dtype = 0; dtype < ITO_DTYPES; dtype++)
        cr_assert_eq(ito_item(ito_cast(ito_index_select(ito_cast(count, (ito_dtype)dtype), 0,
                                                        indices((int64_t[]){1}, ITO_SHAPE(1))),
                                       ITO_F64)),
                     1);
    cr_assert_null(ito_index_select(x, 1, indices((int64_t[]){0, 1, 4}, ITO_SHAPE(3))));
    assert_error(ITO_ERR_RANGE, "index_select: index 4 at [2] is outside 0..3");
    cr_assert_null(ito_index_select(x, 1, indices((int64_t[]){-1}, ITO_SHAPE(1))));
    assert_error(ITO_ERR_RANGE, "index_select: index -1 at [0] is outside 0..3");
    cr_assert_null(ito_index_select(x, 1, matrix));
    assert_error(ITO_ERR_SHAPE, "index_select: the index [2, 2] is not a list");
    cr_assert_null(ito_index_select(x, 1, ito_cast(list, ITO_I32)));
    assert_error(ITO_ERR_DTYPE, "index_select: indices are i64, not i32");
    cr_assert_null(ito_index_select(x, 3, list));
    assert_error(ITO_ERR_RANGE, "index_select: axis 3 of a tensor of 3 axes");
    cr_assert_null(ito_index_select(ito_zeros(ITO_SHAPE(0, 2), ITO_F32), 0, list));
    assert_error(ITO_ERR_RANGE, "index_select: index 2 at [0] of an axis of size 0");
    for (int axis = 0; axis < 3; axis++) {
        place p = {axis, list};
        op_check_run((op_check){.what = "index_select",
                                .f = f_index_select,
                                .context = &p,
                                .n = 1,
                                .shape = {ITO_SHAPE(3, 4, 3)},
                                .large = {ITO_SHAPE(60, 70, 80)}});
    }
}

static ito_tensor *f_embedding(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    return ito_embedding(in[0], context);
}

Test(ops_index, embedding_takes_rows_for_an_index_of_any_shape)
{
    ito_tensor *weight = random_tensor(ITO_SHAPE(4, 3), -1, 1, 1);
    ito_tensor *index = random_indices(ITO_SHAPE(2, 2), 4, 1);
    const double *w = ito_const_data(weight);
    const int64_t *k = ito_const_data(index);
    double want[12];
    for (int i = 0; i < 12; i++)
        want[i] = w[k[i / 3] * 3 + i % 3];
    ito_tensor *y = ito_embedding(weight, index);
    cr_assert(shape_equal(ito_shape_of(y), ITO_SHAPE(2, 2, 3)));
    assert_elements(y, want, 12, 0, "embedding");
    ito_tensor *number =
        ito_embedding(weight, ito_reshape(ito_narrow(ito_flatten(index, 0, 1), 0, 0, 1)));
    cr_assert(shape_equal(ito_shape_of(number), ITO_SHAPE(3)));
    cr_assert_null(ito_embedding(weight, indices((int64_t[]){0, 1, 2, 4}, ITO_SHAPE(2, 2))));
    assert_error(ITO_ERR_RANGE, "embedding: index 4 at [1, 1] is outside 0..3");
    cr_assert_null(ito_embedding(ito_select(weight, 0, 0), index));
    assert_error(ITO_ERR_SHAPE, "embedding: the weight [3] is not a matrix");
    cr_assert_null(ito_embedding(weight, ito_zeros(ITO_SHAPE(1, 1, 1, 1, 1, 1, 1, 1), ITO_I64)));
    assert_error(ITO_ERR_SHAPE, "embedding: the index [1, 1, 1, 1, 1, 1, 1, 1] has too many axes");
    op_check_run((op_check){.what = "embedding",
                            .f = f_embedding,
                            .context = index,
                            .n = 1,
                            .shape = {ITO_SHAPE(4, 3)}});
}

/* ---- index_add
 * ----------------------------------------------------------------------------------- */

static ito_tensor *f_index_add(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    const place *p = context;
    return ito_index_add(in[0], p->axis, p->index, in[1]);
}

static void check_index_add(int axis)
{
    ito_shape shape = ITO_SHAPE(3, 4, 5), part = shape;
    part.dim[axis] = 6;
    ito_tensor *x = random_tensor(shape, -1, 1, 1), *src = random_tensor(part, -1, 1, 2);
    ito_tensor *index = random_indices(ITO_SHAPE(6), shape.dim[axis], 4);
    const int64_t *v = ito_const_data(index);
    double want[60];
    for (int i = 0; i < 60; i++)
        want[i] = ((const double *)ito_const_data(x))[i];
    for (int64_t i = 0; i < part.dim[0]; i++)
        for (int64_t j = 0; j < part.dim[1]; j++)
            for (int64_t k = 0; k < part.dim[2]; k++) {
                int64_t c[3] = {i, j, k};
                c[axis] = v[c[axis]];
                want[(c[0] * 4 + c[1]) * 5 + c[2]] += at3(src, i, j, k);
            }
    assert_elements(ito_index_add(x, axis, index, src), want, 60, 1e-14, "index_add");
}

void case_index_add(void)
{
    for (int axis = 0; axis < 3; axis++)
        check_index_add(axis);
    ito_tensor *x = ito_zeros(ITO_SHAPE(3, 2), ITO_I64), *one = ito_ones(ITO_SHAPE(4, 2), ITO_I64);
    ito_tensor *index = indices((int64_t[]){1, 1, 0, 1}, ITO_SHAPE(4));
    assert_elements(ito_index_add(x, 0, index, one), (double[]){1, 1, 3, 3, 0, 0}, 6, 0, "of i64");
    cr_assert_null(ito_index_add(x, 1, index, one));
    assert_error(ITO_ERR_SHAPE, "index_add: [4, 2] at [4] along axis 1 of [3, 2] does not fit");
    cr_assert_null(ito_index_add(x, 0, indices((int64_t[]){1, 1, 3, 1}, ITO_SHAPE(4)), one));
    assert_error(ITO_ERR_RANGE, "index_add: index 3 at [2] is outside 0..2");
    cr_assert_null(ito_index_add(x, 2, index, one));
    assert_error(ITO_ERR_RANGE, "index_add: axis 2 of a tensor of 2 axes");
    cr_assert_null(ito_index_add(ito_cast(x, ITO_U8), 0, index, ito_cast(one, ITO_U8)));
    assert_error(ITO_ERR_DTYPE, "index_add: adds f32, f64, bf16, i32 or i64, not u8");
    for (int axis = 0; axis < 3; axis++) {
        place p = {axis, random_indices(ITO_SHAPE(4), 3, 9)};
        ito_shape part = ITO_SHAPE(3, 3, 3), large = ITO_SHAPE(70, 70, 70);
        part.dim[axis] = large.dim[axis] = 4;
        op_check_run((op_check){.what = "index_add",
                                .roundings = 2, /* the sum of src, and x */
                                .f = f_index_add,
                                .context = &p,
                                .n = 2,
                                .shape = {ITO_SHAPE(3, 3, 3), part},
                                .large = {ITO_SHAPE(70, 70, 70), large}});
    }
}

/* ---- gather
 * -------------------------------------------------------------------------------------- */

static ito_tensor *f_gather(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    const place *p = context;
    return ito_gather(in[0], p->axis, p->index);
}

static void check_gather(int axis, ito_tensor *x, ito_shape shape)
{
    ito_tensor *index = random_indices(shape, x->shape[axis], 2);
    const int64_t *v = ito_const_data(index);
    double want[300];
    int64_t at = 0;
    for (int64_t i = 0; i < shape.dim[0]; i++)
        for (int64_t j = 0; j < shape.dim[1]; j++)
            for (int64_t k = 0; k < shape.dim[2]; k++) {
                int64_t c[3] = {i, j, k};
                c[axis] = v[at];
                want[at++] = at3(x, c[0], c[1], c[2]);
            }
    ito_tensor *turned =
        ito_permute_to(ito_contiguous(ito_permute(index, 2, 0, 1)), ITO_SHAPE(1, 2, 0));
    assert_elements(ito_gather(x, axis, index), want, at, 0, "gather");
    assert_elements(ito_gather(x, axis, turned), want, at, 0, "gather at a permuted index");
}

void case_gather(void)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(3, 4, 5), -1, 1, 1);
    ito_tensor *reversed = ito_permute(random_tensor(ITO_SHAPE(5, 4, 3), -1, 1, 3), 2, 1, 0);
    for (int axis = 0; axis < 3; axis++) {
        ito_shape more = ITO_SHAPE(2, 3, 4), none = ITO_SHAPE(3, 4, 5);
        more.dim[axis] = 7;
        none.dim[axis] = 0;
        check_gather(axis, x, more);
        check_gather(axis, reversed, more);
        check_gather(axis, x, none);
    }
    ito_tensor *index = random_indices(ITO_SHAPE(3, 2, 5), 4, 1);
    for (int dtype = 0; dtype < ITO_DTYPES; dtype++)
        assert_close(ito_gather(ito_cast(ito_mul_scalar(x, 8), (ito_dtype)dtype), 1, index),
                     ito_cast(ito_gather(ito_mul_scalar(x, 8), 1, index), (ito_dtype)dtype), 0,
                     "gather of every dtype");
    ito_tensor *small = random_tensor(ITO_SHAPE(2, 5), -1, 1, 1);
    cr_assert_null(ito_gather(small, 1, indices((int64_t[]){0, 1, 7, 0, 0, 0}, ITO_SHAPE(2, 3))));
    assert_error(ITO_ERR_RANGE, "gather: index 7 at [0, 2] is outside 0..4");
    cr_assert_null(ito_gather(small, 1, indices((int64_t[]){0, 1, 0, 0, -3, 0}, ITO_SHAPE(2, 3))));
    assert_error(ITO_ERR_RANGE, "gather: index -3 at [1, 1] is outside 0..4");
    cr_assert_null(ito_gather(small, 1, index));
    assert_error(ITO_ERR_SHAPE, "gather: the index [3, 2, 5] does not fit axis 1 of [2, 5]");
    cr_assert_null(ito_gather(small, 1, indices((int64_t[]){0, 0, 0}, ITO_SHAPE(3, 1))));
    assert_error(ITO_ERR_SHAPE, "gather: the index [3, 1] does not fit axis 1 of [2, 5]");
    cr_assert_null(ito_gather(small, 1, ito_cast(small, ITO_F32)));
    assert_error(ITO_ERR_DTYPE, "gather: indices are i64, not f32");
    for (int axis = 0; axis < 3; axis++) {
        ito_shape shape = ITO_SHAPE(3, 2, 3);
        shape.dim[axis] = 4;
        place p = {axis, random_indices(shape, 3, 5)};
        op_check_run((op_check){
            .what = "gather", .f = f_gather, .context = &p, .n = 1, .shape = {ITO_SHAPE(3, 3, 3)}});
    }
}

/* ---- scatter_add
 * --------------------------------------------------------------------------------- */

static ito_tensor *f_scatter_add(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    const place *p = context;
    return ito_scatter_add(in[0], p->axis, p->index, in[1]);
}

static void check_scatter_add(int axis)
{
    ito_shape part = ITO_SHAPE(2, 3, 4);
    part.dim[axis] = 6;
    ito_tensor *x = random_tensor(ITO_SHAPE(3, 4, 5), -1, 1, 1),
               *src = random_tensor(part, -1, 1, 2);
    ito_tensor *index = random_indices(part, x->shape[axis], 4);
    const int64_t *v = ito_const_data(index);
    double want[60];
    for (int i = 0; i < 60; i++)
        want[i] = ((const double *)ito_const_data(x))[i];
    for (int64_t i = 0, at = 0; i < part.dim[0]; i++)
        for (int64_t j = 0; j < part.dim[1]; j++)
            for (int64_t k = 0; k < part.dim[2]; k++) {
                int64_t c[3] = {i, j, k};
                c[axis] = v[at++];
                want[(c[0] * 4 + c[1]) * 5 + c[2]] += at3(src, i, j, k);
            }
    assert_elements(ito_scatter_add(x, axis, index, src), want, 60, 1e-14, "scatter_add");
}

void case_scatter_add(void)
{
    for (int axis = 0; axis < 3; axis++)
        check_scatter_add(axis);
    ito_tensor *x = ito_zeros(ITO_SHAPE(3, 2), ITO_F32), *one = ito_ones(ITO_SHAPE(2, 2), ITO_F32);
    ito_tensor *index = indices((int64_t[]){0, 2, 0, 1}, ITO_SHAPE(2, 2));
    assert_elements(ito_scatter_add(x, 0, index, one), (double[]){2, 0, 0, 1, 0, 1}, 6, 0,
                    "of f32");
    cr_assert_null(ito_scatter_add(x, 0, index, x));
    assert_error(ITO_ERR_SHAPE, "scatter_add: shapes [2, 2] of index and [3, 2] differ");
    cr_assert_null(ito_scatter_add(x, 1, index, one));
    assert_error(ITO_ERR_RANGE, "scatter_add: index 2 at [0, 1] is outside 0..1");
    cr_assert_null(ito_scatter_add(ito_cast(x, ITO_BOOL), 0, index, ito_cast(one, ITO_BOOL)));
    assert_error(ITO_ERR_DTYPE, "scatter_add: adds f32, f64, bf16, i32 or i64, not bool");
    cr_assert_null(ito_scatter_add(x, 2, index, one));
    assert_error(ITO_ERR_RANGE, "scatter_add: axis 2 of a tensor of 2 axes");
    cr_assert_null(ito_scatter_add(ito_select(x, 0, 0), 0, index, one));
    assert_error(ITO_ERR_SHAPE, "scatter_add: the index [2, 2] does not fit axis 0 of [2]");
    for (int axis = 0; axis < 3; axis++) {
        ito_shape shape = ITO_SHAPE(3, 2, 3);
        shape.dim[axis] = 4;
        place p = {axis, random_indices(shape, 3, 5)};
        op_check_run((op_check){.what = "scatter_add",
                                .roundings = 2, /* the sum of src, and x */
                                .f = f_scatter_add,
                                .context = &p,
                                .n = 2,
                                .shape = {ITO_SHAPE(3, 3, 3), shape}});
    }
}

/* Many additions to each place, on any number of threads: rounding would show another order. */
Test(ops_index, sums_have_one_order)
{
    enum { N = 3000, COLUMNS = 100 };
    ito_tensor *x = ito_zeros(ITO_SHAPE(7, COLUMNS), ITO_F32);
    ito_tensor *src = ito_cast(random_tensor(ITO_SHAPE(N, COLUMNS), -1, 1, 2), ITO_F32);
    ito_tensor *index = random_indices(ITO_SHAPE(N), 7, 1);
    ito_tensor *places = ito_expand(ito_unsqueeze(index, 1), N, COLUMNS);
    const int64_t *k = ito_const_data(index);
    const float *s = ito_const_data(src);
    float want[7 * COLUMNS] = {0};
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < COLUMNS; j++)
            want[k[i] * COLUMNS + j] += s[i * COLUMNS + j];
    int before = ito_threads();
    for (int threads = 1; threads <= 4; threads++) {
        cr_assert_eq(ito_set_threads(threads), ITO_OK);
        ito_tensor *a = ito_index_add(x, 0, index, src), *b = ito_scatter_add(x, 0, places, src);
        cr_assert_arr_eq(ito_const_data(a), want, sizeof want);
        cr_assert_arr_eq(ito_const_data(b), want, sizeof want);
    }
    ito_set_threads(before);
}

/* ---- one_hot
 * ------------------------------------------------------------------------------------- */

void case_one_hot(void)
{
    ito_tensor *index = indices((int64_t[]){2, 0, 1, 2}, ITO_SHAPE(2, 2));
    double want[] = {0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1};
    for (int dtype = 0; dtype < ITO_DTYPES; dtype++) {
        ito_tensor *y = ito_one_hot(index, 3, (ito_dtype)dtype);
        cr_assert_eq(ito_dtype_of(y), (ito_dtype)dtype);
        assert_elements(y, want, 12, 0, "one_hot");
        cr_assert(shape_equal(ito_shape_of(y), ITO_SHAPE(2, 2, 3)));
    }
    assert_elements(ito_one_hot(ito_transpose(index, 0, 1), 3, ITO_F32),
                    (double[]){0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 1}, 12, 0,
                    "one_hot of a transpose");
    cr_assert_null(ito_one_hot(index, 2, ITO_F32));
    assert_error(ITO_ERR_RANGE, "one_hot: index 2 at [0, 0] is outside 0..1");
    cr_assert_null(ito_one_hot(index, 0, ITO_F32));
    assert_error(ITO_ERR_ARGUMENT, "one_hot: 0 classes are not at least one");
    cr_assert_null(ito_one_hot(ito_cast(index, ITO_F32), 3, ITO_F32));
    assert_error(ITO_ERR_DTYPE, "one_hot: indices are i64, not f32");
    cr_assert_null(ito_one_hot(ito_zeros(ITO_SHAPE(1, 1, 1, 1, 1, 1, 1, 1), ITO_I64), 3, ITO_F32));
    assert_error(ITO_ERR_SHAPE, "one_hot: the index [1, 1, 1, 1, 1, 1, 1, 1] has too many axes");
    cr_assert_null(ito_one_hot(NULL, 3, ITO_F32));
    cr_assert_eq(ito_error_code(), ITO_OK);
}

/* ---- scatter_extreme ------------------------------------------------------------------------- */

typedef struct extreme_case {
    ito_tensor *index; /* [6, 2], along axis 0 */
    bool largest, include_self;
} extreme_case;

static ito_tensor *f_scatter_extreme(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n;
    const extreme_case *c = context;
    ito_scatter_reduction reduction = c->largest ? ITO_SCATTER_AMAX : ITO_SCATTER_AMIN;
    return ito_scatter_reduce(in[0], 0, c->index, in[1], reduction,
                              .include_self = c->include_self);
}

static void check_scatter_extreme(const extreme_case *c)
{
    ito_tensor *in[] = {distinct_tensor(ITO_SHAPE(4, 3), -2, 2),
                        random_tensor(ITO_SHAPE(6, 2), -2, 2, 1)};
    const double *x = ito_const_data(in[0]), *src = ito_const_data(in[1]);
    const int64_t *k = ito_const_data(c->index);
    double want[12];
    for (int64_t i = 0; i < 12; i++) {
        bool empty = !c->include_self;
        want[i] = x[i];
        for (int64_t j = 0; j < 12; j++) {
            if (k[j] * 3 + j % 2 != i)
                continue;
            bool better = c->largest ? src[j] > want[i] : src[j] < want[i];
            want[i] = empty || better ? src[j] : want[i];
            empty = false;
        }
    }
    assert_elements(f_scatter_extreme(in, 2, (void *)(uintptr_t)c), want, 12, 0, "scatter_extreme");
}

void case_scatter_extreme(void)
{
    ito_scope_begin();
    for (int i = 0; i < 4; i++) {
        extreme_case c = {random_indices(ITO_SHAPE(6, 2), 4, 5), i % 2 == 0, i / 2 == 0};
        check_scatter_extreme(&c);
        op_check o = {.what = "scatter_extreme",
                      .f = f_scatter_extreme,
                      .context = &c,
                      .n = 2,
                      .shape = {ITO_SHAPE(4, 3), ITO_SHAPE(6, 2)},
                      .distinct = {true, false}};
        op_check_run(o);
    }
    ito_scope_end();
}
