/* Datasets: images in memory, optionally mirrored at random. */
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

static ito_status get_image(const ito_dataset *d, ito_example which, float *x, int64_t *label)
{
    const image_dataset *s = (const image_dataset *)d;
    if (which.index < 0 || which.index >= d->size)
        return ito_error_set(ITO_ERR_RANGE, "dataset: no example %" PRId64 " among %" PRId64,
                             which.index, d->size);
    int64_t n = shape_numel(d->shape), width = d->shape.dim[2];
    row_to_float(x, s, which.index * n, n);
    if (s->flip && coin(which))
        mirror_rows(x, width > 0 ? n / width : 0, width);
    if (label != NULL && s->labels != NULL)
        *label = ((const int64_t *)tensor_data(s->labels))[which.index];
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

/* A reference to t, or to a row-major copy. */
static ito_tensor *as_rows(ito_tensor *t)
{
    ito_scope_begin();
    ito_tensor *rows = ito_retain(tensor_contiguous(t));
    ito_scope_end();
    return rows;
}

ito_dataset *ito_image_dataset_create_with(ito_tensor *images, ito_image_dataset_options options)
{
    if (images == NULL || !check_images(images, options.labels))
        return NULL;
    image_dataset *s = struct_alloc(sizeof *s);
    if (s == NULL)
        return NULL;
    s->base.size = images->shape[0];
    s->base.shape = ITO_SHAPE(images->shape[1], images->shape[2], images->shape[3]);
    s->base.has_labels = options.labels != NULL;
    s->base.get = get_image;
    s->base.destroy = destroy_images;
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
