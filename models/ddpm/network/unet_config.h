/* The check of a U-Net's settings. Not installed. */
#ifndef ITO_DDPM_UNET_CONFIG_H
#define ITO_DDPM_UNET_CONFIG_H

#include "models/ddpm/network/unet.h"

/* Fill in defaults, or record an error, after which c may have changed. */
ito_status unet_config_resolve(ito_unet_config *c);

#endif
