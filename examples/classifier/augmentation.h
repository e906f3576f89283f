/* Augmentation of labelled images of 28x28. */
#ifndef ITO_CLASSIFIER_AUGMENTATION_H
#define ITO_CLASSIFIER_AUGMENTATION_H

#include <ito/ito.h>

/* A dataset of images [N, 1, 28, 28] u8 with labels [N]. Each image is mirrored left to right or
 * not, then moved by up to `shift` pixels in each direction and filled up with background, by
 * random numbers of (seed, epoch, index). NULL with an error recorded. */
ito_dataset *augmented_create(ito_tensor *images, ito_tensor *labels, int64_t shift);

#endif
