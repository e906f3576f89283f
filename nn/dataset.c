/* Datasets: tensors in memory as they are, and images, optionally mirrored at random. */
#include "nn/data.h"
#include "nn/random_streams.h"
#include "tensor/internal.h"

#include <stdlib.h>
#include <string.h>

void ito_dataset_free(ito_dataset *d)
{
    if (d != NULL && d->destroy != NULL)
        d->destroy(d);
}

static ito_status check_index(const ito_dataset *d, ito_example which)
{
    if (which.index >= 0 && which.index < d->size)
        return ITO_OK;
    return ito_error_set(ITO_ERR_RANGE, "dataset: no example %" PRId64 " among %" PRId64,
                         which.index, d->size);
}

/* A reference to t, or to a row-major copy. */
static ito_tensor *as_rows(ito_tensor *t)
{
    ito_scope_begin();
    ito_tensor *rows = ito_retain(tensor_contiguous(t));
    ito_scope_end();
    return rows;
}

/* ---- tensors -----------------------------------------------------------------------------------
 */

typedef struct tensor_dataset {
    ito_dataset base;
    ito_tensor *tensors[ITO_MAX_FIELDS]; /* [N, ...] row-major; references */
} tensor_dataset;

static void destroy_tensors(ito_dataset *d)
{
    tensor_dataset *s = (tensor_dataset *)d;
    for (int i = 0; i < d->n_fields; i++)
        ito_release(s->tensors[i]);
    free(s);
}

static ito_status get_rows(const ito_dataset *d, ito_example which, void *const *out)
{
    const tensor_dataset *s = (const tensor_dataset *)d;
    ito_status status = check_index(d, which);
    for (int i = 0; i < d->n_fields && status == ITO_OK; i++) {
        size_t bytes = (size_t)shape_numel(d->field[i].shape) * ito_dtype_size(d->field[i].dtype);
        if (bytes > 0)
            memcpy(out[i], (const char *)tensor_data(s->tensors[i]) + (size_t)which.index * bytes,
                   bytes);
    }
    return status;
}

static bool check_tensors(ito_tensor *const *tensors, int64_t n)
{
    if (n < 1 || n > ITO_MAX_FIELDS)
        return error_false(ITO_ERR_ARGUMENT, "dataset: %" PRId64 " tensors; 1 to %d are possible",
                           n, ITO_MAX_FIELDS);
    for (int64_t i = 0; i < n; i++) {
        const ito_tensor *t = tensors[i];
        if (t == NULL)
            return error_missing("dataset", "a tensor"), false;
        if (t->ndim == 0 || t->shape[0] < 1 || t->shape[0] != tensors[0]->shape[0])
            return error_false(ITO_ERR_SHAPE,
                               "dataset: tensor %" PRId64
                               " is %s; all are [N, ...] with an N of at "
                               "least 1, and the first is %s",
                               i, tensor_shape_str(t), tensor_shape_str(tensors[0]));
    }
    return true;
}

static ito_shape row_shape(const ito_tensor *t)
{
    ito_shape shape = {.ndim = t->ndim - 1};
    for (int i = 0; i < shape.ndim; i++)
        shape.dim[i] = t->shape[i + 1];
    return shape;
}

ito_dataset *ito_tensor_dataset_create(ito_tensor *const *tensors, int64_t n)
{
    if (!check_tensors(tensors, n))
        return NULL;
    tensor_dataset *s = struct_alloc(sizeof *s);
    if (s == NULL)
        return NULL;
    s->base =
        (ito_dataset){.size = tensors[0]->shape[0], .get = get_rows, .destroy = destroy_tensors};
    for (int64_t i = 0; i < n; i++) {
        s->tensors[i] = as_rows(tensors[i]);
        if (s->tensors[i] == NULL) {
            destroy_tensors(&s->base);
            return NULL;
        }
        s->base.field[s->base.n_fields++] = (ito_field){row_shape(tensors[i]), tensors[i]->dtype};
    }
    return &s->base;
}

/* ---- images ------------------------------------------------------------------------------------
 */

typedef struct image_dataset {
    ito_dataset base;
    ito_tensor *images; /* [N, C, H, W] row-major, u8 or f32; a reference */
    ito_tensor *labels; /* [N] i64 row-major, or NULL; a reference */
    bool flip;
} image_dataset;

static void destroy_images(ito_dataset *d)
{
    image_dataset *s = (image_dataset *)d;
    ito_release(s->images);
    ito_release(s->labels);
    free(s);
}

/* x / 127.5 - 1 for pixels, values as they are for floats; n of them. */
static void row_to_float(float *out, const image_dataset *s, int64_t first, int64_t n)
{
    if (s->images->dtype == ITO_F32) {
        memcpy(out, (const float *)tensor_data(s->images) + first, (size_t)n * sizeof *out);
        return;
    }
    const uint8_t *in = (const uint8_t *)tensor_data(s->images) + first;
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)in[i] / 127.5f - 1.0f;
}

static void mirror_rows(float *x, int64_t rows, int64_t width)
{
    for (int64_t r = 0; r < rows; r++, x += width)
        for (int64_t i = 0, j = width - 1; i < j; i++, j--) {
            float swap = x[i];
            x[i] = x[j];
            x[j] = swap;
        }
}

/* A random bit for each (seed, epoch, index), independent of what was drawn before. */
static bool coin(ito_example which)
{
    uint32_t u[4];
    ito_philox(which.seed, data_random_stream(RANDOM_FLIP, which.epoch), (uint64_t)which.index, u);
    return (u[0] & 1) != 0;
}

static ito_status get_image(const ito_dataset *d, ito_example which, void *const *out)
{
    const image_dataset *s = (const image_dataset *)d;
    ito_status status = check_index(d, which);
    if (status != ITO_OK)
        return status;
    int64_t n = shape_numel(d->field[0].shape), width = d->field[0].shape.dim[2];
    row_to_float(out[0], s, which.index * n, n);
    if (s->flip && coin(which))
        mirror_rows(out[0], width > 0 ? n / width : 0, width);
    if (s->labels != NULL)
        *(int64_t *)out[1] = ((const int64_t *)tensor_data(s->labels))[which.index];
    return ITO_OK;
}

static bool check_images(const ito_tensor *images, const ito_tensor *labels)
{
    if (images->ndim != 4 || images->shape[0] < 1)
        ito_error_set(ITO_ERR_SHAPE, "dataset: %s is not [N, C, H, W] with an N of at least 1",
                      tensor_shape_str(images));
    else if (images->dtype != ITO_U8 && images->dtype != ITO_F32)
        ito_error_set(ITO_ERR_DTYPE, "dataset: images are u8 or f32, not %s",
                      ito_dtype_name(images->dtype));
    else if (labels != NULL && (labels->ndim != 1 || labels->shape[0] != images->shape[0]))
        ito_error_set(ITO_ERR_SHAPE, "dataset: labels %s for images %s", tensor_shape_str(labels),
                      tensor_shape_str(images));
    else if (labels != NULL && labels->dtype != ITO_U8 && labels->dtype != ITO_I32 &&
             labels->dtype != ITO_I64)
        ito_error_set(ITO_ERR_DTYPE, "dataset: labels are u8, i32 or i64, not %s",
                      ito_dtype_name(labels->dtype));
    else
        return true;
    return false;
}

/* A reference to t as i64, row-major. */
static ito_tensor *as_labels(const ito_tensor *t)
{
    ito_scope_begin();
    ito_tensor *copy = tensor_disown(tensor_empty(ito_shape_of(t), ITO_I64));
    if (copy != NULL)
        tensor_copy(copy, t);
    ito_scope_end();
    return copy;
}

ito_dataset *ito_image_dataset_create_with(ito_tensor *images, ito_image_dataset_options options)
{
    if (images == NULL || !check_images(images, options.labels))
        return NULL;
    image_dataset *s = struct_alloc(sizeof *s);
    if (s == NULL)
        return NULL;
    s->base = (ito_dataset){.size = images->shape[0],
                            .n_fields = options.labels != NULL ? 2 : 1,
                            .field = {{row_shape(images), ITO_F32}, {ITO_SHAPE(), ITO_I64}},
                            .get = get_image,
                            .destroy = destroy_images};
    s->flip = options.flip;
    s->images = as_rows(images);
    if (s->images == NULL)
        goto fail;
    if (options.labels != NULL) {
        s->labels = as_labels(options.labels);
        if (s->labels == NULL)
            goto fail;
    }
    return &s->base;
fail:
    destroy_images(&s->base);
    return NULL;
}
