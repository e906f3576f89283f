/* Images and their augmentation.
 * Invariant: an example is a function of (seed, epoch, index) alone. */
#include "examples/classifier/augmentation.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdlib.h>

typedef struct augmented {
    ito_dataset base;
    ito_dataset *images;
    int64_t shift;
} augmented;

static void destroy(ito_dataset *d)
{
    ito_dataset_free(((augmented *)d)->images);
    free(d);
}

/* y[r][c] = x[r + down][c + right], or the background outside x. */
static void move(float *y, const float *x, int64_t height, int64_t width, int64_t down,
                 int64_t right)
{
    for (int64_t r = 0; r < height; r++)
        for (int64_t c = 0; c < width; c++) {
            int64_t i = r + down, j = c + right;
            bool inside = i >= 0 && i < height && j >= 0 && j < width;
            y[r * width + c] = inside ? x[i * width + j] : -1.0f;
        }
}

static ito_status get(const ito_dataset *d, ito_example which, void *const *out)
{
    const augmented *a = (const augmented *)d;
    int64_t height = d->field[0].shape.dim[1], width = d->field[0].shape.dim[2];
    float x[28 * 28];
    ito_status status = a->images->get(a->images, which, (void *[]){x, out[1]});
    if (status != ITO_OK)
        return status;
    uint32_t u[4];
    /* The images' own flips are drawn from other streams of the seed (nn/random_streams.h). */
    ito_philox(which.seed, (uint64_t)which.epoch, (uint64_t)which.index, u);
    int64_t n = 2 * a->shift + 1;
    move(out[0], x, height, width, u[0] % n - a->shift, u[1] % n - a->shift);
    return ITO_OK;
}

ito_dataset *augmented_create(ito_tensor *images, ito_tensor *labels, int64_t shift)
{
    int64_t height = ito_size(images, 2), width = ito_size(images, 3);
    if (height != 28 || width != 28) {
        ito_error_set(ITO_ERR_SHAPE, "images are 28x28, not %" PRId64 "x%" PRId64, height, width);
        return NULL;
    }
    augmented *a = calloc(1, sizeof *a);
    if (a == NULL) {
        ito_error_set(ITO_ERR_MEMORY, "no memory for a data set");
        return NULL;
    }
    a->images = ito_image_dataset_create(images, .labels = labels, .flip = true);
    if (a->images == NULL) {
        free(a);
        return NULL;
    }
    a->base = *a->images;
    a->base.get = get;
    a->base.destroy = destroy;
    a->shift = shift;
    return &a->base;
}
