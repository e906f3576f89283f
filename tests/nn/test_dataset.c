/* Datasets: tensors; images with their pixels, labels, mirroring, and what is refused. */
#include "autograd/ops.h"
#include "nn/data.h"
#include "tests/nn/nn_check.h"

#include <math.h>

/* [N, 1, 2, 3] of pixels 0, 1, 2, ... mod 256. */
static ito_tensor *pixels(int64_t n)
{
    uint8_t *value = malloc((size_t)n * 6);
    for (int64_t i = 0; i < 6 * n; i++)
        value[i] = (uint8_t)i;
    ito_tensor *t = ito_from_data(value, ITO_SHAPE(n, 1, 2, 3), ITO_U8);
    free(value);
    return t;
}

Test(dataset, pixels_become_numbers_from_minus_one_to_one)
{
    ito_dataset *d = ito_image_dataset_create(pixels(43)); /* 258 pixels */
    cr_assert_not_null(d, "%s", ito_error());
    cr_expect_eq(d->size, 43);
    cr_expect_eq(d->n_fields, 1);
    float x[6];
    int64_t label = -7;
    for (int64_t k = 0; k < 43; k++) {
        cr_assert_eq(d->get(d, (ito_example){.index = k}, (void *[]){x, &label}), ITO_OK);
        for (int64_t i = 0; i < 6; i++)
            cr_expect_eq(x[i], (float)((6 * k + i) % 256) / 127.5f - 1);
    }
    cr_assert_eq(d->get(d, (ito_example){.index = 0}, (void *[]){x}), ITO_OK);
    cr_expect_eq(x[0], -1);
    cr_assert_eq(d->get(d, (ito_example){.index = 42}, (void *[]){x}), ITO_OK);
    cr_expect_eq(x[3], 1); /* pixel 255 */
    cr_expect_eq(label, -7);
    ito_dataset_free(d);
    ito_dataset_free(NULL);
}

Test(dataset, floats_are_given_as_they_are_from_views_too)
{
    ito_tensor *images = ito_permute(ramp(ITO_SHAPE(2, 2, 3, 1), 1), 0, 3, 1, 2); /* from NHWC */
    ito_dataset *d = ito_image_dataset_create(ito_transpose(images, 2, 3));
    cr_assert_not_null(d, "%s", ito_error());
    cr_expect_eq(d->field[0].shape.dim[1], 3);
    float x[6];
    cr_assert_eq(d->get(d, (ito_example){.index = 1}, (void *[]){x}), ITO_OK);
    const float wanted[] = {6.5f, 9.5f, 7.5f, 10.5f, 8.5f, 11.5f};
    cr_expect_arr_eq(x, wanted, sizeof wanted);
    ito_dataset_free(d);
}

Test(dataset, labels_of_any_integer_type)
{
    const ito_dtype dtypes[] = {ITO_U8, ITO_I32, ITO_I64};
    for (int k = 0; k < 3; k++) {
        ito_scope_begin();
        ito_tensor *labels = ito_cast(ito_arange(3, 8, 1, ITO_I64), dtypes[k]);
        ito_dataset *d = ito_image_dataset_create(pixels(5), .labels = labels);
        ito_scope_end(); /* the dataset holds what it needs */
        cr_assert_not_null(d, "%s", ito_error());
        float x[6];
        int64_t label = 0;
        cr_assert_eq(d->get(d, (ito_example){.index = 4}, (void *[]){x, &label}), ITO_OK);
        cr_expect_eq(label, 7);
        ito_dataset_free(d);
    }
}

static bool is_flipped(const ito_dataset *d, ito_example which)
{
    float x[6];
    cr_assert_eq(d->get(d, which, (void *[]){x}), ITO_OK);
    float first = (float)(6 * which.index) / 127.5f - 1,
          third = (float)(6 * which.index + 2) / 127.5f - 1;
    cr_assert(x[0] == (x[0] == first ? first : third));
    cr_assert(x[0] == first ? x[2] == third : x[2] == first);
    cr_assert(x[1] == (float)(6 * which.index + 1) / 127.5f - 1);
    return x[0] != first;
}

/* 4000 fair coins: 2000 with deviation 31.6. A coin is its own, whatever is drawn besides. */
Test(dataset, half_of_the_images_are_mirrored)
{
    ito_dataset *d = ito_image_dataset_create(pixels(40), .flip = true);
    int64_t flips = 0, same_epoch = 0, same_seed = 0;
    for (int64_t epoch = 0; epoch < 100; epoch++)
        for (int64_t i = 0; i < 40; i++) {
            bool flipped = is_flipped(d, (ito_example){i, epoch, 11});
            flips += flipped;
            same_epoch += flipped == is_flipped(d, (ito_example){i, epoch + 1, 11});
            same_seed += flipped == is_flipped(d, (ito_example){i, epoch, 12});
            cr_assert_eq(flipped, is_flipped(d, (ito_example){i, epoch, 11}));
        }
    cr_expect(labs(flips - 2000) < 5 * 32, "%d", (int)flips);
    cr_expect(labs(same_epoch - 2000) < 5 * 32, "%d", (int)same_epoch);
    cr_expect(labs(same_seed - 2000) < 5 * 32, "%d", (int)same_seed);
    ito_dataset_free(d);
}

Test(dataset, refuses_what_is_no_set_of_images)
{
    cr_expect_null(ito_image_dataset_create(ito_zeros(ITO_SHAPE(3, 4, 4), ITO_U8)));
    expect_error(ITO_ERR_SHAPE, "dataset: [3, 4, 4] is not [N, C, H, W] with an N of at least 1");
    cr_expect_null(ito_image_dataset_create(ito_zeros(ITO_SHAPE(0, 1, 4, 4), ITO_U8)));
    expect_error(ITO_ERR_SHAPE,
                 "dataset: [0, 1, 4, 4] is not [N, C, H, W] with an N of at least 1");
    cr_expect_null(ito_image_dataset_create(ito_zeros(ITO_SHAPE(2, 1, 4, 4), ITO_F64)));
    expect_error(ITO_ERR_DTYPE, "dataset: images are u8 or f32, not f64");
    cr_expect_null(ito_image_dataset_create(pixels(3), .labels = ito_zeros(ITO_SHAPE(2), ITO_U8)));
    expect_error(ITO_ERR_SHAPE, "dataset: labels [2] for images [3, 1, 2, 3]");
    cr_expect_null(ito_image_dataset_create(pixels(3), .labels = ito_zeros(ITO_SHAPE(3), ITO_F32)));
    expect_error(ITO_ERR_DTYPE, "dataset: labels are u8, i32 or i64, not f32");
    cr_expect_null(ito_image_dataset_create(NULL));
    cr_expect_eq(ito_error_code(), ITO_OK);
    ito_dataset *d = ito_image_dataset_create(pixels(3));
    float x[6];
    cr_expect_eq(d->get(d, (ito_example){.index = 3}, (void *[]){x}), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "dataset: no example 3 among 3");
    ito_dataset_free(d);
}

Test(dataset, tensors_are_given_row_by_row)
{
    ito_scope_begin();
    ito_tensor *x = ito_transpose(ramp(ITO_SHAPE(2, 3), 1), 0, 1); /* [3, 2], not row-major */
    ito_tensor *y = ito_arange(-1, 2, 1, ITO_I32);
    ito_dataset *d = ito_tensor_dataset_create(ITO_TENSORS(x, y));
    ito_scope_end(); /* the dataset holds what it needs */
    cr_assert_not_null(d, "%s", ito_error());
    cr_expect(d->size == 3 && d->n_fields == 2);
    cr_expect(d->field[0].shape.ndim == 1 && d->field[0].shape.dim[0] == 2);
    cr_expect(d->field[1].shape.ndim == 0 && d->field[1].dtype == ITO_I32);
    float row[2];
    int32_t target;
    cr_assert_eq(d->get(d, (ito_example){.index = 2}, (void *[]){row, &target}), ITO_OK);
    cr_expect(row[0] == 2.5f && row[1] == 5.5f && target == 1);
    cr_expect_eq(d->get(d, (ito_example){.index = -1}, (void *[]){row, &target}), ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "dataset: no example -1 among 3");
    ito_dataset_free(d);
}

Test(dataset, refuses_what_are_no_rows)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(3, 2), ITO_F32);
    expect_refused(ito_tensor_dataset_create(ITO_TENSORS(x, ito_zeros(ITO_SHAPE(2, 2), ITO_F32))),
                   ITO_ERR_SHAPE,
                   "dataset: tensor 1 is [2, 2]; all are [N, ...] with an N of at least 1, and the "
                   "first is [3, 2]");
    expect_refused(ito_tensor_dataset_create(ITO_TENSORS(ito_zeros(ITO_SHAPE(), ITO_F32))),
                   ITO_ERR_SHAPE,
                   "dataset: tensor 0 is []; all are [N, ...] with an N of at least 1, and the "
                   "first is []");
    expect_refused(ito_tensor_dataset_create(&x, 0), ITO_ERR_ARGUMENT,
                   "dataset: 0 tensors; 1 to 8 are possible");
    expect_refused(ito_tensor_dataset_create(&x, 9), ITO_ERR_ARGUMENT,
                   "dataset: 9 tensors; 1 to 8 are possible");
    expect_refused(ito_tensor_dataset_create(ITO_TENSORS(x, NULL)), ITO_ERR_ARGUMENT,
                   "dataset: a tensor is NULL");
}

typedef struct dataset_attempt {
    ito_tensor *images, *labels;
} dataset_attempt;

static ito_status try_to_create(void *context)
{
    const dataset_attempt *a = context;
    ito_dataset *d = ito_image_dataset_create(a->images, .labels = a->labels);
    ito_dataset_free(d);
    return d != NULL ? ITO_OK : ITO_ERR_MEMORY;
}

Test(dataset, survives_every_failing_allocation)
{
    dataset_attempt a = {ito_transpose(pixels(3), 2, 3) /* is copied */,
                         ito_zeros(ITO_SHAPE(3), ITO_U8)};
    /* The dataset, and a copy of images and labels. */
    cr_expect_geq(count_failed_allocations(try_to_create, &a), 3);
}

static ito_status try_to_create_of_tensors(void *context)
{
    const dataset_attempt *a = context;
    ito_dataset *d = ito_tensor_dataset_create(ITO_TENSORS(a->images, a->labels));
    ito_dataset_free(d);
    return d != NULL ? ITO_OK : ITO_ERR_MEMORY;
}

Test(dataset, of_tensors_survives_every_failing_allocation)
{
    dataset_attempt a = {ito_transpose(pixels(3), 2, 3), ito_transpose(pixels(3), 2, 3)};
    /* The dataset, and two copies. */
    cr_expect_geq(count_failed_allocations(try_to_create_of_tensors, &a), 3);
}
