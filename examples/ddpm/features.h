/* Features of images, by which sets of them are compared: of the classifier that comes with Ito, or
 * of Inception-v3 in a file. */
#ifndef ITO_DDPM_FEATURES_H
#define ITO_DDPM_FEATURES_H

#include <ito/ito.h>

typedef struct feature_network {
    ito_classifier *classifier; /* one of the two */
    ito_inception *inception;
    int64_t images; /* so many were computed, */
    double seconds; /* in this time */
} feature_network;

/* Load the network: Inception-v3 from a file, or the classifier if that is NULL. False with an
 * error recorded; closed in either case. */
bool features_open(feature_network *f, const char *inception);
void features_close(feature_network *f);
/* "Inception-v3", "classifier". */
const char *features_name(const feature_network *f);
/* The number of features of an image. */
int64_t features_width(const feature_network *f);
/* Whether the network takes images of this shape; if not, an error is recorded. */
bool features_fit(const feature_network *f, const ito_tensor *images, const char *whose);
/* Features [N, D] f32 of images [N, C, H, W], and their logits unless that is NULL, both of the
 * current scope; NULL with an error recorded. Logits of Inception-v3 are without the bias, as in
 * the code of the Inception score. Shows progress. */
ito_tensor *features_of(feature_network *f, ito_tensor *images, ito_tensor **logits);
/* The same by all ranks, which have the same images and get the features of all. */
ito_tensor *features_shared(feature_network *f, ito_tensor *images, ito_tensor **logits);

#endif
