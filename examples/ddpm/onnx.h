/* A trained network as an ONNX file. */
#ifndef ITO_DDPM_ONNX_H
#define ITO_DDPM_ONNX_H

#include <ito/ito.h>

/* Write the network to path, under the names that diffusers' users know: from sample, timestep and,
 * where it takes them, class_labels and x_0, an earlier estimate, to out_sample. Above 2 GiB
 * weights are beside. Says what is in it, unless quiet. False with an error recorded. */
bool onnx_export(const ito_ddpm *model, const char *path);

#endif
