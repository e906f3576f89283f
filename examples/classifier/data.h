/* Labelled images of a directory of IDX files, as Fashion-MNIST and MNIST come in, and their
 * augmentation. */
#ifndef ITO_CLASSIFIER_DATA_H
#define ITO_CLASSIFIER_DATA_H

#include "nn/data.h"

#define FASHION_MNIST "/usr/share/datasets/fashion-mnist"

typedef struct labelled {
    ito_tensor *images; /* [N, 1, H, W] u8, of the current scope */
    ito_tensor *labels; /* [N] u8 */
} labelled;

/* The set whose files begin with "train" or "t10k". False with an error recorded. */
bool labelled_load(const char *dir, const char *set, labelled *out);
/* Examples mirrored left and right or not, then moved by up to `shift` pixels each way, what comes
 * in being the background; drawn from (seed, epoch, index). NULL with an error recorded. */
ito_dataset *augmented_create(labelled data, int64_t shift);

#endif
