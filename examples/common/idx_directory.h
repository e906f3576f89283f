/* Labelled images in a directory of IDX files, as MNIST and Fashion-MNIST come. */
#ifndef ITO_EXAMPLES_IDX_DIRECTORY_H
#define ITO_EXAMPLES_IDX_DIRECTORY_H

#include <ito/tensor/tensor.h>

/* The directory of Debian's package dataset-fashion-mnist. */
#define FASHION_MNIST "/usr/share/datasets/fashion-mnist"

enum { IDX_CLASSES = 10 };

/* The file of training images in dir, under any of its usual names; NULL without an error if there
 * is none. Freed with free(). */
char *idx_directory_find(const char *dir);
/* The images of one file, u8 [N, 1, H, W], of the current scope; NULL with an error recorded. */
ito_tensor *idx_images_load(const char *path);
/* The images of the training or test set in dir. */
ito_tensor *idx_directory_images(const char *dir, bool test);
/* Their labels, u8 [N], each 0 to 9; NULL with an error recorded, also if their number is not that
 * of the images. */
ito_tensor *idx_directory_labels(const char *dir, bool test, const ito_tensor *images);

#endif
