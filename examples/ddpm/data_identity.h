/* Which images a run is of, wherever they are: their shape, hashes of some of them, their classes.
 * A run keeps it in config.json and goes on with the same images alone. */
#ifndef ITO_DDPM_DATA_IDENTITY_H
#define ITO_DDPM_DATA_IDENTITY_H

#include <cjson/cJSON.h>
#include <ito/ito.h>

/* Of images [N, C, H, W], their labels [N] and the names of the classes; the last two may be NULL.
 * NULL with an error recorded. */
cJSON *data_identity(ito_tensor *images, ito_tensor *labels, const cJSON *class_names);
/* The number of images. */
double data_identity_size(const cJSON *identity);
/* Whether it is the one that a run began with; if not, the error names the first difference. The
 * spec is of the images there are now. */
bool data_identity_same(const cJSON *now, const cJSON *before, const char *spec);

#endif
