/* What ito-ddpm info says of a file of weights. */
#ifndef ITO_DDPM_COMMANDS_INFO_WEIGHTS_H
#define ITO_DDPM_COMMANDS_INFO_WEIGHTS_H

#include <cjson/cJSON.h>
#include <ito/tensor/io/safetensors.h>
#include <stdbool.h>

/* Compare all checksums of a safetensors file and add what it holds. False with an error recorded.
 */
bool info_safetensors(cJSON *o, const ito_safetensors *f);
/* The same for a file that is none: PyTorch's, or an index of several. All tensors are read. */
bool info_other_weights(cJSON *o, const char *path);
/* "[2, 3]". */
const char *info_shape_text(char text[160], ito_shape shape);

#endif
