/* Masks of images: where a pixel stays, and where it is completed. */
#ifndef ITO_DDPM_MASK_H
#define ITO_DDPM_MASK_H

#include <ito/ito.h>

/* The mask in a file, bool [1, C, H, W], true where the image stays; of the current scope.
 *
 * A picture keeps where it is white, by its brightness; one of bytes 0 and 1 where they are 1. An
 * array is [H, W], with an axis of 1 or C channels in front or behind, or [1, C, H, W]; it keeps
 * where it is True, 1 or 255: above the middle of [0, 1], [-1, 1] or 0 to 255, whichever holds all
 * of its numbers. NULL with an error recorded, also for a picture with transparency, which could
 * mean either, and for a mask that keeps all or nothing. */
ito_tensor *mask_load(const char *path, int64_t channels, int64_t height, int64_t width);

#endif
