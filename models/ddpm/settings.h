/* The settings of a network and its diffusion as JSON. A file of weights that carries them can be
 * used without other information:
 *     {"model": {"in_channels": 3, ...}, "diffusion": {"schedule": "linear", "steps": 1000, ...}}
 */
#ifndef ITO_DDPM_SETTINGS_H
#define ITO_DDPM_SETTINGS_H

#include "diffusion.h"
#include "network/unet.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A network and its diffusion. */
typedef struct ito_ddpm_settings {
    ito_unet_config model;
    ito_diffusion_options diffusion;
    double *betas; /* of ito_ddpm_settings_parse: what diffusion.betas points to, to be freed with
                      free(), or NULL */
} ito_ddpm_settings;

/** As JSON text, freed with free(). NULL on error: ITO_ERR_ARGUMENT for settings that a file cannot
 * restore: any choice that is not the one found by its name; the errors of ito_unet_check;
 * ITO_ERR_MEMORY. */
ITO_API char *ito_ddpm_settings_format(const ito_ddpm_settings *settings);

/**
 * From JSON text; members other than "model" and "diffusion" are ignored.
 *
 * @param source  where the text came from, for messages.
 * @param out     written on success.
 * @return        ITO_ERR_FORMAT, "SOURCE: ..." with the setting that is missing, of the wrong type
 *                or unknown; the errors of ito_unet_check; ITO_ERR_MEMORY.
 */
ITO_API ito_status ito_ddpm_settings_parse(const char *text, const char *source,
                                           ito_ddpm_settings *out);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_ddpm_settings_format(...) ITO_AT(ito_ddpm_settings_format(__VA_ARGS__))
#define ito_ddpm_settings_parse(...) ITO_AT(ito_ddpm_settings_parse(__VA_ARGS__))
#endif

#endif
