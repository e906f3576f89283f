/* A classifier of noised images in a file, with what it is for: the classes' names, and the network
 * whose samples it can guide. */
#ifndef ITO_DDPM_GUIDE_H
#define ITO_DDPM_GUIDE_H

#include "examples/ddpm/inference.h"
#include "models/ddpm/noise_classifier.h"

typedef struct guide {
    ito_noise_classifier *classifier; /* frozen, in evaluation mode */
    cJSON *class_names;
    int64_t class; /* to guide to, or CLASS_IN_TURN */
} guide;

/* Write the classifier, made for images and noise as net's. False with an error recorded. */
bool guide_save(const char *path, const ito_noise_classifier *classifier, const trained *net,
                const cJSON *class_names);
/* Read one for samples of net, of this class: a name, a number or "all". False with an error
 * recorded; closed in either case. */
bool guide_open(guide *g, const char *path, const trained *net, const char *class);
void guide_close(guide *g);
/* What images first .. first + n - 1 are guided to. */
ito_noise_classifier_guide guide_to(const guide *g, int64_t first, int64_t n);

#endif
