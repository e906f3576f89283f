/* Augmentation of labelled images of 28x28. */
#ifndef ITO_CLASSIFIER_AUGMENTATION_H
#define ITO_CLASSIFIER_AUGMENTATION_H

#include <ito/ito.h>

/* Examples of images [N, 1, 28, 28] u8 with labels [N], mirrored left and right or not, then moved
 * by up to `shift` pixels each way, what comes in being the background; drawn from (seed, epoch,
 * index). NULL with an error recorded. */
ito_dataset *augmented_create(ito_tensor *images, ito_tensor *labels, int64_t shift);

#endif
