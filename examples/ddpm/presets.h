/* Presets of `ito-ddpm train`: a network of the library (ito_unet_preset) and settings for its
 * training. */
#ifndef ITO_DDPM_PRESETS_H
#define ITO_DDPM_PRESETS_H

#include "examples/common/options.h"

/* All presets, heads of option_preset; closed by NULL. */
extern const ito_choice *const presets[];

/* The one of this name, which is one of them. */
const option_preset *preset_find(const char *name);

#endif
