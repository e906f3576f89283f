/* Features of real images, kept for the next evaluation: in $XDG_CACHE_HOME/ito or ~/.cache/ito, a
 * file for each set of images and network.
 * Invariant: what is taken from a file is what would be computed; a file that is damaged or of
 * something else is computed anew. */
#ifndef ITO_DDPM_FEATURE_CACHE_H
#define ITO_DDPM_FEATURE_CACHE_H

#include "examples/ddpm/features.h"

/* Features [N, D] of images, as features_of, from the file or computed and kept there; stderr says
 * so, with the name of the images. A cache that cannot be used is no error. */
ito_tensor *feature_cache_of(feature_network *f, ito_tensor *images, const char *whose);

#endif
