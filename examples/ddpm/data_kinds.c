/* The kinds of data that --data names. */
#include "examples/ddpm/data_kinds.h"

#include "examples/common/idx_directory.h"
#include "examples/ddpm/folder_data.h"
#include "examples/ddpm/image_arrays.h"
#include "examples/ddpm/prepared.h"

#include <ito/ito.h>

static const char *const fashion_names[IDX_CLASSES] = {
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"};
static const char *const digit_names[IDX_CLASSES] = {"0", "1", "2", "3", "4",
                                                     "5", "6", "7", "8", "9"};
static const char *const cifar_names[IDX_CLASSES] = {
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};

static bool name_classes(data_set *out, const char *const *names, int64_t n)
{
    out->class_names = cJSON_CreateStringArray(names, (int)n);
    if (out->class_names == NULL)
        ito_error_set(ITO_ERR_MEMORY, "data: no memory for the names of its classes");
    return out->class_names != NULL;
}

static bool load_idx(const data_kind *kind, const char *place, const data_options *o, bool classes,
                     data_set *out)
{
    out->images = idx_directory_images(place, o->test);
    if (out->images == NULL || !classes)
        return out->images != NULL;
    out->labels = idx_directory_labels(place, o->test, out->images);
    return out->labels != NULL && name_classes(out, kind->class_names, IDX_CLASSES);
}

static bool load_cifar(const data_kind *kind, const char *place, const data_options *o,
                       bool classes, data_set *out)
{
    return ito_cifar10_load(place, !o->test, &out->images, &out->labels) == ITO_OK &&
           (!classes || name_classes(out, kind->class_names, IDX_CLASSES));
}

static bool load_npy(const data_kind *kind, const char *place, const data_options *o, bool classes,
                     data_set *out)
{
    (void)kind;
    out->images = image_data_load(place, o->range);
    if (out->images == NULL || !classes)
        return out->images != NULL;
    out->labels = image_data_labels(place, ito_size(out->images, 0), &out->class_names);
    return out->labels != NULL;
}

static const data_kind fashion = {
    .choice = {"fashion-mnist", "clothes, 28x28, of Debian's dataset-fashion-mnist",
               "Xiao et al. 2017"},
    .place = FASHION_MNIST,
    .class_names = fashion_names,
    .has_classes = true,
    .has_test = true,
    .mirrors = true,
    .load = load_idx,
};
static const data_kind digits = {
    .choice = {"mnist:DIR", "a directory of IDX files, as MNIST's", "LeCun et al. 1998"},
    .class_names = digit_names,
    .has_classes = true,
    .has_test = true,
    .load = load_idx,
};
static const data_kind cifar = {
    .choice = {"cifar10:DIR", "CIFAR-10 in its binary version", "Krizhevsky 2009"},
    .class_names = cifar_names,
    .has_classes = true,
    .has_test = true,
    .mirrors = true,
    .load = load_cifar,
};
static const data_kind folder = {
    .choice = {"folder:DIR", "image files, at any depth; the folders at its top are the classes",
               NULL},
    .has_classes = true,
    .resizes = true,
    .mirrors = true,
    .load = folder_load,
};
static const data_kind npy = {
    .choice = {"npy:FILE", "a NumPy array [N, C, H, W], [N, H, W, C] or [N, H, W], or .npz of it",
               NULL},
    .place_has_classes = image_data_has_labels,
    .ranges = true,
    .mirrors = true,
    .load = load_npy,
};

static const data_kind prepared = {
    .choice = {"prepared:FILE", "a data set decoded by ito-ddpm prepare", NULL},
    .place_has_classes = prepared_has_classes,
    .place_mirrors = prepared_mirrors,
    .load = prepared_load,
};

const ito_choice *const data_kinds[] = {
    &fashion.choice, &digits.choice,   &cifar.choice, &folder.choice,
    &npy.choice,     &prepared.choice, NULL};
