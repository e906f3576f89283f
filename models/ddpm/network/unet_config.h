/* The check of a U-Net's settings, and what they come to. Not installed. */
#ifndef ITO_DDPM_UNET_CONFIG_H
#define ITO_DDPM_UNET_CONFIG_H

#include "models/ddpm/network/unet.h"

/* Fill in out_channels and groups, or record an error, after which c may have changed. */
ito_status unet_config_resolve(ito_unet_config *c);

/* Of settings that were resolved: the channels of level i; whether it has attention on the up path;
 * the channels of the time's embedding; eps of the norms; the groups of the norm in the middle's
 * attention, 0 without a norm. */
int64_t unet_level_width(const ito_unet_config *c, int64_t i);
bool unet_up_attention(const ito_unet_config *c, int64_t i);
int64_t unet_time_channels(const ito_unet_config *c);
double unet_norm_eps(const ito_unet_config *c);
int64_t unet_middle_groups(const ito_unet_config *c);

#endif
