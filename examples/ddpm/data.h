/* The images that a training run learns from, or those kept back from it, by the name they have on
 * the command line. */
#ifndef ITO_DDPM_DATA_H
#define ITO_DDPM_DATA_H

#include "examples/common/options.h"
#include "tensor/tensor.h"

#include <cjson/cJSON.h>

typedef struct data_options {
    const char *spec; /* fashion-mnist, mnist:DIR, cifar10:DIR, folder:DIR, npy:FILE */
    int64_t size;     /* folder: side of the squares that images are cut to */
    bool grey;        /* folder: convert to grey */
    bool test;        /* the test set, of kinds that have one; else what is for training */
} data_options;

/* End the program if --data is given and is not one. */
void data_refuse_invalid(const command_line *c, const char *spec);
/* Whether spec begins with a kind that there is and names a place where that needs one. */
bool data_spec_valid(const char *spec);
/* Whether it is a folder of image files, which are cut to a size. */
bool data_is_folder(const char *spec);
/* Whether a mirrored image of this kind is as good as the original: not so for digits. */
bool data_flips(const char *spec);
/* Whether images of this kind have classes. */
bool data_has_classes(const char *spec);
/* Whether there is so much of it that reading it takes a moment. */
bool data_is_large(const char *spec);
/* u8, or f32 in [-1, 1], [N, C, H, W], of the current scope; NULL with an error recorded. */
ito_tensor *data_load(data_options options);
/* The same with each image's class, u8 or i64 [N], of the current scope, and the classes' names, an
 * array of texts, for the caller to delete. NULL and an error also for data without classes. */
ito_tensor *data_load_classes(data_options options, ito_tensor **labels, cJSON **names);
/* The images of a .npy file; also for info. */
ito_tensor *data_load_npy(const char *path);
/* The same, but floats may be any finite ones: samples lie beyond [-1, 1], too. */
ito_tensor *data_load_npy_unbounded(const char *path);
/* u8 as f32 in [-1, 1], f32 as it is; NULL for NULL. */
ito_tensor *data_scaled(ito_tensor *images);
/* The images of one IDX file, as [N, 1, H, W]. */
ito_tensor *data_load_idx(const char *path);
/* The training images of a directory of IDX files, or NULL without an error if it has none. */
char *data_find_idx(const char *dir);

#endif
