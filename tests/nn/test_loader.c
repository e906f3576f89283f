/* The loader: what is in a batch, and that threads, prefetching and resuming change no byte. */
#include "autograd/ops.h"
#include "nn/data.h"
#include "tensor/io/safetensors.h"
#include "tests/nn/nn_check.h"
#include "tests/temporary.h"

#include <pthread.h>
#include <unistd.h>

/* An example is its index, its epoch and the seed; the label is its index plus 100. */
typedef struct counting {
    ito_dataset base;
    int64_t bad_index; /* fails with an error of its own; -1: none */
    useconds_t delay;
} counting;

static ito_status get(const ito_dataset *d, ito_example which, void *const *out)
{
    const counting *c = (const counting *)d;
    if (which.index == c->bad_index)
        return ito_error_set(ITO_ERR_FORMAT, "image 0007.png: broken");
    usleep(c->delay);
    float *x = out[0];
    x[0] = (float)which.index;
    x[1] = (float)which.epoch;
    x[2] = (float)which.seed;
    if (d->n_fields > 1)
        *(int64_t *)out[1] = which.index + 100;
    return ITO_OK;
}

static counting dataset(int64_t size)
{
    return (counting){.base = {.size = size,
                               .n_fields = 2,
                               .field = {{ITO_SHAPE(3), ITO_F32}, {ITO_SHAPE(), ITO_I64}},
                               .get = get},
                      .bad_index = -1};
}

static ito_batch next(ito_loader *l)
{
    ito_batch b = {.epoch = -1};
    cr_assert_eq(ito_loader_next(l, &b), ITO_OK, "%s", ito_error());
    return b;
}

Test(loader, batches_hold_each_example_once_an_epoch)
{
    counting data = dataset(10);
    ito_loader *l = ito_loader_create(&data.base, 4, 5);
    cr_assert_not_null(l, "%s", ito_error());
    int64_t count[3][10] = {{0}};
    for (int64_t k = 0; k < 7; k++) { /* 28 of 30 */
        ito_batch b = next(l);
        cr_expect_eq(ito_size(b.x, 0), 4);
        cr_expect_eq(b.epoch, 4 * k / 10);
        for (int64_t i = 0; i < 4; i++) {
            int64_t index = (int64_t)element(b.x, 3 * i);
            int64_t epoch = (int64_t)element(b.x, 3 * i + 1);
            cr_expect_eq(epoch, (4 * k + i) / 10); /* a batch runs on into the next epoch */
            cr_expect_eq(element(b.x, 3 * i + 2), 5);
            cr_expect_eq(element(b.labels, i), (double)(index + 100));
            count[epoch][index]++;
        }
        cr_expect_eq(ito_loader_position(l), 4 * (k + 1));
    }
    for (int64_t i = 0; i < 10; i++)
        cr_expect(count[0][i] == 1 && count[1][i] == 1 && count[2][i] <= 1);
    ito_loader_free(l);
}

static void read_batches(const ito_dataset *d, int64_t position, int64_t prefetch, float *out,
                         int64_t batches)
{
    ito_loader *l = ito_loader_create(d, 4, 5, .position = position, .prefetch = prefetch);
    cr_assert_not_null(l, "%s", ito_error());
    for (int64_t k = 0; k < batches; k++) {
        ito_scope_begin();
        ito_batch b = next(l);
        memcpy(out + 12 * k, ito_const_data(b.x), 12 * sizeof *out);
        ito_scope_end();
    }
    ito_loader_free(l);
}

Test(loader, prefetching_changes_no_byte)
{
    counting data = dataset(10);
    float plain[40 * 12], ahead[40 * 12];
    read_batches(&data.base, 0, 0, plain, 40);
    for (int64_t prefetch = 1; prefetch < 5; prefetch += 3) {
        read_batches(&data.base, 0, prefetch, ahead, 40);
        cr_expect_arr_eq(plain, ahead, sizeof plain);
    }
}

Test(loader, resumes_where_a_position_says)
{
    counting data = dataset(10);
    float whole[20 * 12], rest[13 * 12];
    read_batches(&data.base, 0, 2, whole, 20);
    read_batches(&data.base, 7 * 4, 2, rest, 13);
    cr_expect_arr_eq(whole + 7 * 12, rest, sizeof rest);
}

Test(loader, the_position_counts_what_was_handed_out_not_what_was_prefetched)
{
    counting data = dataset(10);
    ito_loader *l = ito_loader_create(&data.base, 4, 5, .prefetch = 8, .position = 3);
    cr_expect_eq(ito_loader_position(l), 3);
    next(l);
    usleep(2000);
    cr_expect_eq(ito_loader_position(l), 7);
    ito_loader_free(l);
}

Test(loader, once_gives_every_example_and_ends)
{
    counting data = dataset(10);
    for (int64_t prefetch = 0; prefetch < 3; prefetch++) {
        ito_loader *l = ito_loader_create(&data.base, 4, 5, .once = true, .sequential = true,
                                          .prefetch = prefetch);
        for (int64_t k = 0; k < 3; k++) {
            ito_batch b = next(l);
            cr_assert_eq(ito_size(b.x, 0), k < 2 ? 4 : 2);
            for (int64_t i = 0; i < ito_size(b.x, 0); i++)
                cr_expect_eq(element(b.x, 3 * i), (double)(4 * k + i));
        }
        for (int again = 0; again < 2; again++) {
            ito_batch b = next(l);
            cr_expect(b.x == NULL && b.labels == NULL);
        }
        cr_expect_eq(ito_loader_position(l), 10);
        ito_loader_free(l);
    }
}

Test(loader, gives_no_labels_where_there_are_none)
{
    counting data = dataset(10);
    data.base.n_fields = 1;
    ito_loader *l = ito_loader_create(&data.base, 4, 5);
    cr_expect_null(next(l).labels);
    ito_loader_free(l);
}

Test(loader, errors_in_the_thread_reach_the_caller_and_stay)
{
    counting data = dataset(10);
    data.bad_index = 6;
    for (int64_t prefetch = 0; prefetch < 3; prefetch += 2) {
        ito_loader *l =
            ito_loader_create(&data.base, 4, 5, .sequential = true, .prefetch = prefetch);
        next(l);
        for (int again = 0; again < 2; again++) {
            ito_batch b = {.epoch = 77};
            cr_expect_eq(ito_loader_next(l, &b), ITO_ERR_FORMAT);
            expect_error(ITO_ERR_FORMAT, "image 0007.png: broken");
            cr_expect(b.epoch == 77 && b.x == NULL);
        }
        cr_expect_eq(ito_loader_position(l), 4);
        ito_loader_free(l);
    }
}

/* Freed before its first batch, with a full queue, and while a batch is under way. */
Test(loader, can_be_freed_at_any_time)
{
    counting data = dataset(1000);
    int64_t blocks = ito_memory_blocks();
    for (useconds_t wait = 0; wait < 3000; wait += 1000)
        for (int k = 0; k < 2; k++) {
            data.delay = k == 0 ? 0 : 100;
            ito_loader *l = ito_loader_create(&data.base, 50, 5, .prefetch = 2);
            cr_assert_not_null(l);
            usleep(wait);
            ito_loader_free(l);
            cr_expect_eq(ito_memory_blocks(), blocks);
        }
    ito_loader_free(NULL);
}

Test(loader, batches_belong_to_the_callers_scope)
{
    counting data = dataset(10);
    int64_t blocks = ito_memory_blocks();
    ito_loader *l = ito_loader_create(&data.base, 4, 5, .prefetch = 2);
    for (int k = 0; k < 20; k++) {
        ito_scope_begin();
        next(l);
        ito_scope_end();
    }
    ito_loader_free(l);
    cr_expect_eq(ito_memory_blocks(), blocks);
}

static void *consume(void *context)
{
    ito_scope_begin();
    for (int k = 0; k < 50; k++)
        next(context);
    ito_scope_end();
    return NULL;
}

Test(loader, serves_another_thread_than_the_one_that_made_it)
{
    counting data = dataset(10);
    ito_loader *l = ito_loader_create(&data.base, 4, 5, .prefetch = 2);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, consume, l), 0);
    pthread_join(thread, NULL);
    cr_expect_eq(ito_loader_position(l), 200);
    ito_loader_free(l);
}

Test(loader, leaves_an_error_recorded_before_alone)
{
    counting data = dataset(10);
    ito_loader *l = ito_loader_create(&data.base, 4, 5);
    ito_error_set(ITO_ERR_SHAPE, "an error of before");
    next(l);
    expect_error(ITO_ERR_SHAPE, "an error of before");
    ito_loader_free(l);
}

static ito_status try_to_load(void *context)
{
    const counting *data = context;
    ito_loader *l = ito_loader_create(&data->base, 4, 5);
    ito_batch b;
    ito_status status = l == NULL ? ITO_ERR_MEMORY : ito_loader_next(l, &b);
    ito_loader_free(l);
    return status;
}

Test(loader, survives_every_failing_allocation)
{
    counting data = dataset(10);
    /* The loader, the order, x and the labels, each a struct and its memory. */
    cr_expect_geq(count_failed_allocations(try_to_load, &data), 7);
}

Test(loader, refuses_sizes_that_make_no_sense)
{
    counting data = dataset(10), none = dataset(0), huge = dataset(10);
    huge.base.field[0].shape = ITO_SHAPE(INT64_MAX / 8, 2);
    cr_expect_null(ito_loader_create(&data.base, 0, 5));
    expect_error(ITO_ERR_RANGE, "loader: batches of 0 from 10 examples; both must be positive");
    cr_expect_null(ito_loader_create(&none.base, 4, 5));
    expect_error(ITO_ERR_RANGE, "loader: batches of 4 from 0 examples; both must be positive");
    cr_expect_null(ito_loader_create(&data.base, 4, 5, .position = -1));
    expect_error(ITO_ERR_RANGE, "loader: position -1, prefetch 0; neither can be negative");
    cr_expect_null(ito_loader_create(&data.base, 4, 5, .prefetch = -2));
    expect_error(ITO_ERR_RANGE, "loader: position 0, prefetch -2; neither can be negative");
    cr_expect_null(ito_loader_create(&huge.base, 4, 5));
    expect_error(ITO_ERR_SHAPE,
                 "loader: no batch holds 4 examples of shape [1152921504606846975, 2]");
    cr_expect_null(ito_loader_create(NULL, 4, 5));
}

Test(loader, refuses_examples_without_fields_or_with_too_many)
{
    counting data = dataset(10);
    data.base.n_fields = 0;
    expect_refused(ito_loader_create(&data.base, 4, 5), ITO_ERR_ARGUMENT,
                   "loader: examples have 1 to 8 fields, not 0 (n_fields)");
    data.base.n_fields = 9;
    expect_refused(ito_loader_create(&data.base, 4, 5), ITO_ERR_ARGUMENT,
                   "loader: examples have 1 to 8 fields, not 9 (n_fields)");
}

/* Signals in f64, targets in bf16 (a scalar), masks in bool, and nothing at all in i32. */
static ito_dataset *fields(void)
{
    ito_tensor *x = ito_reshape(ito_arange(0, 30, 1, ITO_F64), 5, 3, 2);
    ito_tensor *y = ito_arange(10, 15, 1, ITO_BF16);
    ito_tensor *mask = ito_eq(x, ito_full(ITO_SHAPE(), 7, ITO_F64));
    ito_dataset *d =
        ito_tensor_dataset_create(ITO_TENSORS(x, y, mask, ito_zeros(ITO_SHAPE(5, 0), ITO_I32)));
    cr_assert_not_null(d, "%s", ito_error());
    return d;
}

Test(loader, gives_any_number_of_fields_of_any_dtype)
{
    ito_dataset *d = fields();
    for (int64_t prefetch = 0; prefetch < 2; prefetch++) {
        ito_loader *l =
            ito_loader_create(d, 2, 1, .sequential = true, .once = true, .prefetch = prefetch);
        for (int64_t k = 0; k < 3; k++) {
            ito_batch b = next(l);
            int64_t n = k < 2 ? 2 : 1;
            cr_expect(b.x == b.field[0] && b.labels == b.field[1] && b.field[4] == NULL);
            cr_expect(ito_dtype_of(b.x) == ITO_F64 && ito_dtype_of(b.labels) == ITO_BF16 &&
                      ito_dtype_of(b.field[2]) == ITO_BOOL && ito_dtype_of(b.field[3]) == ITO_I32);
            cr_expect(ito_ndim(b.x) == 3 && ito_size(b.x, 0) == n && ito_size(b.x, 2) == 2);
            cr_expect(ito_ndim(b.labels) == 1 && ito_numel(b.field[3]) == 0);
            for (int64_t i = 0; i < 6 * n; i++) {
                cr_expect_eq(element(b.x, i), (double)(12 * k + i));
                cr_expect_eq(element(b.field[2], i), 12 * k + i == 7);
            }
            for (int64_t i = 0; i < n; i++)
                cr_expect_eq(element(b.labels, i), (double)(10 + 2 * k + i));
        }
        cr_expect_null(next(l).x);
        ito_loader_free(l);
    }
    ito_dataset_free(d);
}

/* Example size - 1 - epoch, again and again. */
static ito_tensor *one_example(const ito_data_sampler *s, int64_t epoch, void *context)
{
    ito_dtype *dtype = context;
    return ito_full(ITO_SHAPE(s->size), (double)(s->size - 1 - epoch), *dtype);
}

Test(loader, takes_an_order_of_your_own)
{
    counting data = dataset(3);
    ito_dtype dtype = ITO_I64;
    for (int64_t prefetch = 0; prefetch < 2; prefetch++) {
        ito_loader *l = ito_loader_create(&data.base, 2, 5, .order = one_example,
                                          .order_context = &dtype, .prefetch = prefetch);
        double expected[] = {2, 2, 2, 1, 1, 1};
        for (int64_t k = 0; k < 3; k++) {
            ito_batch b = next(l);
            for (int64_t i = 0; i < 2; i++)
                cr_expect_eq(element(b.x, 3 * i), expected[2 * k + i]);
        }
        ito_loader_free(l);
    }
}

static ito_tensor *short_order(const ito_data_sampler *s, int64_t epoch, void *context)
{
    (void)epoch, (void)context;
    return ito_arange(1, (double)s->size, 1, ITO_I64);
}

static ito_tensor *no_order(const ito_data_sampler *s, int64_t epoch, void *context)
{
    (void)s, (void)epoch, (void)context;
    return NULL;
}

static void expect_order_refused(ito_data_order *order, int64_t position, ito_dtype dtype,
                                 ito_status code, const char *message)
{
    counting data = dataset(3);
    ito_loader *l = ito_loader_create(&data.base, 2, 5, .order = order, .order_context = &dtype,
                                      .position = position);
    ito_batch b;
    cr_expect_eq(ito_loader_next(l, &b), code);
    expect_error(code, message);
    ito_loader_free(l);
}

Test(loader, refuses_an_order_that_is_none)
{
    expect_order_refused(one_example, 0, ITO_F32, ITO_ERR_DTYPE,
                         "loader: the order is of f32, not i64");
    expect_order_refused(one_example, 9, ITO_I64, ITO_ERR_RANGE,
                         "loader: the order names example -1 among 3");
    expect_order_refused(short_order, 0, ITO_I64, ITO_ERR_SHAPE,
                         "loader: the order is [2], not [3]");
    expect_order_refused(no_order, 0, ITO_I64, ITO_ERR_ARGUMENT, "loader: the order is NULL");
}

/* 16 MiB of images on the pages of a file, with 2 MiB of memory to train in. */
Test(loader, a_data_set_larger_than_the_memory_limit_is_read_from_its_file)
{
    enum { N = 4096, SIDE = 64, LIMIT = 2 << 20 };
    const char *dir = temporary_directory();
    char path[300];
    snprintf(path, sizeof path, "%s/images.safetensors", dir);
    ito_tensor *all = ito_empty(ITO_SHAPE(N, 1, SIDE, SIDE), ITO_U8);
    uint8_t *bytes = ito_data(all);
    for (int64_t i = 0; i < ito_numel(all); i++)
        bytes[i] = (uint8_t)(i / (SIDE * SIDE) * 7 + i % 13);
    cr_assert_eq(ito_safetensors_save(path, 1, (const char *[]){"images"}, &all, 0, NULL, NULL),
                 ITO_OK, "%s", ito_error());
    ito_scope_clear();
    ito_memory_trim();
    ito_memory_limit(LIMIT);
    ito_memory_reset_peak();
    ito_safetensors *f = ito_safetensors_open(path);
    ito_tensor *images = ito_safetensors_map(f, "images");
    ito_safetensors_close(f);
    ito_dataset *data = ito_image_dataset_create(images);
    ito_loader *l = ito_loader_create(data, 16, 5, .prefetch = 2, .sequential = true);
    cr_assert_not_null(l, "%s", ito_error());
    for (int64_t k = 0; k < N / 16; k++) {
        ito_scope_begin();
        ito_batch b = next(l);
        for (int64_t i = 0; i < 16; i++) {
            int64_t first = i * SIDE * SIDE, image = 16 * k + i;
            uint8_t value = (uint8_t)(image * 7 + image * SIDE * SIDE % 13);
            cr_assert_float_eq(element(b.x, first), value / 127.5 - 1.0, 1e-6);
        }
        ito_scope_end();
    }
    ito_loader_free(l);
    ito_dataset_free(data);
    cr_assert_lt(ito_memory_peak(), LIMIT);
    ito_memory_limit(0);
    remove_tree(dir);
}
