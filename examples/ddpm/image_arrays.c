/* Images in NumPy's files.
 * Invariant: pixels that are returned are u8, or f32 of the range that was wanted, all finite. */
#include "examples/ddpm/image_arrays.h"

#include "examples/common/file_kinds.h"
#include "examples/ddpm/mapped_file.h"
#include "examples/ddpm/pixel_range.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the array ---- */

/* Arrays of images in archives, in the order they are looked for, and their labels: as PyTorch
 * users, Keras, MedMNIST and guided-diffusion write them. */
static const char *const pairs[][2] = {
    {"images", "labels"},
    {"train_images", "train_labels"},
    {"x_train", "y_train"},
    {"x", "y"},
    {"data", "labels"},
    {"arr_0", "arr_1"},
    {"test_images", "test_labels"},
    {"val_images", "val_labels"},
    {"x_test", "y_test"},
    {"x_val", "y_val"},
};
enum { PAIRS = sizeof pairs / sizeof pairs[0] };

/* A file, and an array in it. */
typedef struct array_place {
    char *path;
    const char *name; /* lies in path, or in the archive; NULL for a .npy file */
    ito_npz *archive;
} array_place;

static void place_close(array_place *p)
{
    ito_npz_close(p->archive);
    free(p->path);
}

/* The array of images in an archive where none is named. */
static bool choose_array(array_place *p)
{
    int64_t n = ito_npz_count(p->archive);
    p->name = n == 1 ? ito_npz_name(p->archive, 0) : NULL;
    for (int i = 0; i < PAIRS && p->name == NULL; i++)
        if (ito_npz_find(p->archive, pairs[i][0]) >= 0)
            p->name = pairs[i][0];
    if (p->name != NULL)
        return true;
    char list[256] = "";
    size_t used = 0;
    for (int64_t i = 0; i < n && used < sizeof list - 1; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "",
                                 ito_npz_name(p->archive, i));
    if (n == 0)
        ito_error_set(ITO_ERR_FORMAT, "%s: it holds no arrays", p->path);
    else
        ito_error_set(ITO_ERR_ARGUMENT,
                      "%s: it holds the arrays %s; say which one is of images: npy:%s#%s", p->path,
                      list, p->path, ito_npz_name(p->archive, 0));
    return false;
}

/* False with an error recorded; closed in either case. */
static bool place_open(array_place *p, const char *place)
{
    *p = (array_place){.path = strdup(place)};
    if (p->path == NULL) {
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for its name", place);
        return false;
    }
    FILE *whole = fopen(place, "rb"); /* a file may have a # in its name */
    char *mark = whole == NULL ? strrchr(p->path, '#') : NULL;
    if (whole != NULL)
        fclose(whole);
    if (mark != NULL)
        *mark = '\0';
    if (file_kind_of(p->path) != FILE_NPZ) {
        if (mark == NULL)
            return true;
        *mark = '#'; /* its reader says that there is no such file */
        return true;
    }
    p->archive = ito_npz_open(p->path);
    if (p->archive == NULL)
        return false;
    p->name = mark != NULL ? mark + 1 : NULL;
    return p->name != NULL || choose_array(p);
}

static ito_tensor *place_read(const array_place *p, const char *name)
{
    if (p->archive != NULL)
        return ito_npz_read(p->archive, name);
    ito_tensor *x = ito_npy_map(p->path); /* it may be larger than memory */
    if (x != NULL)
        mapped_file_watch(p->path);
    if (x != NULL || ito_error_code() != ITO_ERR_DTYPE)
        return x;
    ito_error_clear();
    return ito_npy_load(p->path);
}

/* The labels that go with the images, or NULL. */
static const char *label_name(const array_place *p)
{
    for (int i = 0; i < PAIRS && p->archive != NULL; i++)
        if (strcmp(pairs[i][0], p->name) == 0 && ito_npz_find(p->archive, pairs[i][1]) >= 0)
            return pairs[i][1];
    return NULL;
}

/* [N, C, H, W] from an array that may be [N, H, W, C] or [N, H, W]. */
static ito_tensor *channels_first(ito_tensor *x)
{
    if (ito_ndim(x) == 3)
        return ito_contiguous(ito_unsqueeze(x, 1));
    bool last = ito_size(x, 1) > 4 && ito_size(x, 3) <= 4;
    return ito_contiguous(last ? ito_permute(x, 0, 3, 1, 2) : x);
}

/* The array as images of its own dtype. */
static ito_tensor *load_array(const char *place)
{
    array_place p;
    ito_tensor *x = place_open(&p, place) ? place_read(&p, p.name) : NULL;
    place_close(&p);
    if (x == NULL)
        return NULL;
    if (ito_ndim(x) != 3 && ito_ndim(x) != 4) {
        ito_error_set(ITO_ERR_SHAPE,
                      "%s: it has %d axes; images have 4, [N, C, H, W] or [N, H, W, C], or 3, "
                      "[N, H, W]",
                      place, ito_ndim(x));
        return NULL;
    }
    if (ito_numel(x) == 0) {
        ito_error_set(ITO_ERR_SHAPE, "%s: it holds no images", place);
        return NULL;
    }
    return channels_first(x);
}

/* ---- as the program writes them ---- */

/* Whether all of f32 x lies in [-limit, limit] but for rounding; if not, an error names the first
 * element that does not. */
static bool in_bounds(ito_tensor *x, float limit, const char *place)
{
    const float *values = ito_const_data(x);
    float most = limit == IN_PIXEL_RANGE ? limit + (float)(2.0 * PIXEL_ROUNDING) : limit;
    int64_t n = ito_numel(x);
    for (int64_t i = 0; i < n; i++) {
        if (!(fabsf(values[i]) <= most)) {
            ito_error_set(ITO_ERR_RANGE, "%s: element %" PRId64 " is %.9g; f32 images %s", place, i,
                          (double)values[i],
                          limit == IN_PIXEL_RANGE ? "lie in [-1, 1]" : "have finite numbers");
            return false;
        }
    }
    return true;
}

ito_tensor *image_npy_load(const char *place, float limit)
{
    ito_tensor *x = load_array(place);
    if (x == NULL || ito_dtype_of(x) == ITO_U8)
        return x;
    if (!ito_dtype_is_float(ito_dtype_of(x))) {
        ito_error_set(ITO_ERR_DTYPE, "%s: it holds %s; images are uint8 or float32", place,
                      ito_dtype_name(ito_dtype_of(x)));
        return NULL;
    }
    x = ito_contiguous(ito_cast(x, ITO_F32));
    if (x == NULL || !in_bounds(x, limit, place))
        return NULL;
    return limit == IN_PIXEL_RANGE ? ito_clamp(x, -1.0, 1.0) : x;
}

ito_tensor *image_data_load(const char *place, const char *range)
{
    return pixels_of_range(load_array(place), range, place);
}

/* ---- labels ---- */

bool image_data_has_labels(const char *place)
{
    array_place p;
    bool has = place_open(&p, place) && label_name(&p) != NULL;
    place_close(&p);
    ito_error_clear();
    return has;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The different labels, rising; how many there are, or -1 with an error recorded. */
static int64_t find_classes(const char *place, const int64_t *labels, int64_t n, int64_t *classes)
{
    enum { MOST = 65536 };
    memcpy(classes, labels, (size_t)n * sizeof *classes);
    qsort(classes, (size_t)n, sizeof *classes, by_value);
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || classes[i] != classes[count - 1])
            classes[count++] = classes[i];
    if (count <= MOST)
        return count;
    ito_error_set(ITO_ERR_RANGE,
                  "%s: its labels have %" PRId64 " different values; there are at "
                  "most %d classes",
                  place, count, MOST);
    return -1;
}

static cJSON *name_classes(const int64_t *classes, int64_t n)
{
    cJSON *names = cJSON_CreateArray();
    for (int64_t i = 0; names != NULL && i < n; i++) {
        char text[32];
        snprintf(text, sizeof text, "%" PRId64, classes[i]);
        if (!cJSON_AddItemToArray(names, cJSON_CreateString(text))) {
            cJSON_Delete(names);
            names = NULL;
        }
    }
    if (names == NULL)
        ito_error_set(ITO_ERR_MEMORY, "data: no memory for the names of its classes");
    return names;
}

/* Labels [N] or [N, 1] of whole numbers, as they are. */
static ito_tensor *read_labels(const char *place, int64_t images)
{
    array_place p;
    bool good = place_open(&p, place);
    const char *name = good ? label_name(&p) : NULL;
    ito_tensor *labels = name != NULL ? place_read(&p, name) : NULL;
    if (good && name == NULL)
        ito_error_set(
            ITO_ERR_ARGUMENT,
            p.archive == NULL
                ? "%s: a .npy file of images has no classes"
                : "%s: no labels go with its images; an .npz of images and labels has them",
            place);
    place_close(&p);
    if (labels == NULL)
        return NULL;
    if (ito_dtype_is_float(ito_dtype_of(labels)) || ito_numel(labels) != images ||
        ito_size(labels, 0) != images) {
        char shape[64] = "";
        ito_shape s = ito_shape_of(labels);
        size_t used = 0;
        for (int i = 0; i < s.ndim && used < sizeof shape - 24; i++)
            used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%" PRId64,
                                     i > 0 ? ", " : "", s.dim[i]);
        ito_error_set(ITO_ERR_SHAPE,
                      "%s: its labels are [%s] of %s; a whole number for each of the "
                      "%" PRId64 " images is needed",
                      place, shape, ito_dtype_name(ito_dtype_of(labels)), images);
        return NULL;
    }
    return ito_reshape(ito_contiguous(ito_cast(labels, ITO_I64)), images);
}

ito_tensor *image_data_labels(const char *place, int64_t images, cJSON **names)
{
    ito_tensor *labels = read_labels(place, images);
    int64_t *classes = labels != NULL ? malloc((size_t)images * sizeof *classes) : NULL;
    if (classes == NULL) {
        if (labels != NULL)
            ito_error_set(ITO_ERR_MEMORY, "%s: no memory for its classes", place);
        return NULL;
    }
    int64_t *label = ito_data(labels), n = find_classes(place, label, images, classes);
    for (int64_t i = 0; i < images && n > 0; i++)
        label[i] =
            (const int64_t *)bsearch(&label[i], classes, (size_t)n, sizeof *classes, by_value) -
            classes;
    *names = n > 0 ? name_classes(classes, n) : NULL;
    free(classes);
    return *names != NULL ? labels : NULL;
}
