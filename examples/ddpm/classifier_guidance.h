/* A classifier of noised images in a file, with the names of the classes and the settings of the
 * network that it can guide. */
#ifndef ITO_DDPM_CLASSIFIER_GUIDANCE_H
#define ITO_DDPM_CLASSIFIER_GUIDANCE_H

#include "examples/ddpm/inference.h"

#include <ito/ito.h>

typedef struct classifier_guidance {
    ito_noise_classifier *classifier; /* frozen, in evaluation mode */
    cJSON *class_names;
    int64_t class; /* the target class, or CLASS_IN_TURN */
} classifier_guidance;

/* Write the classifier, made for images and noise as net's. False with an error recorded. */
bool classifier_guidance_save(const char *path, const ito_noise_classifier *classifier,
                              const inference *net, const cJSON *class_names);
/* Read one for samples of net, of this class: a name, a number or "all". False with an error
 * recorded; closed in either case. */
bool classifier_guidance_open(classifier_guidance *g, const char *path, const inference *net,
                              const char *class);
/* Add the class, and its number if it is one, to the results of a command. */
void classifier_guidance_put_class(const classifier_guidance *g, cJSON *root);
void classifier_guidance_close(classifier_guidance *g);
/* The target classes of images first .. first + n - 1: [n] i64. */
ito_tensor *classifier_guidance_labels(const classifier_guidance *g, int64_t first, int64_t n);

#endif
