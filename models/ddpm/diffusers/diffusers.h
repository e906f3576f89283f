/* diffusers' directories, out. In they come by ito_ddpm_load, which takes one as it takes a run:
 *
 *     ito_ddpm *model = ito_ddpm_load("google/ddpm-cifar10-32");
 *     ...
 *     ito_ddpm_save_diffusers(model, "mine");
 *
 * and in Python DDPMPipeline.from_pretrained("mine") makes images. docs/interchange.md says what
 * becomes of each setting.
 */
#ifndef ITO_DDPM_DIFFUSERS_H
#define ITO_DDPM_DIFFUSERS_H

#include "../load.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Whether there is something of diffusers in a directory: a pipeline's model_index.json or
 * unet/config.json, weights with their config.json, or a config.json that names a class. */
ITO_API bool ito_diffusers_is_directory(const char *dir);

/** How to save. */
typedef struct ito_ddpm_save_diffusers_options {
    int reserved_;
    bool bf16;    /* the weights rounded to bf16: half of the bytes */
    char **notes; /* receives lines about what is otherwise there than here, freed with free(), or
                     NULL where nothing is; or NULL */
} ito_ddpm_save_diffusers_options;
#define ITO_DEFAULTS_ito_ddpm_save_diffusers_options .reserved_ = 0

/**
 * Write a directory that diffusers reads: unet/config.json, the weights beside it,
 * scheduler/scheduler_config.json with every setting, and, unless the network takes labels,
 * model_index.json of a DDPMPipeline: ito_ddpm_save_diffusers(model, "mine").
 *
 * It is written aside and renamed: dir appears whole or not at all.
 *
 * @param dir  must not exist, or be empty.
 * @return     ITO_ERR_ARGUMENT for NULL, for a model of .settings_only, and, with the setting, for
 *             what diffusers cannot express: continuous time, a process that does not preserve the
 *             variance, predictions other than eps, x_0 and v, time inputs other than the step, the
 *             variance learned, self-conditioning; ITO_ERR_IO, ITO_ERR_MEMORY.
 */
ITO_API ito_status ito_ddpm_save_diffusers_with(const ito_ddpm *model, const char *dir,
                                                ito_ddpm_save_diffusers_options options);
#define ito_ddpm_save_diffusers(...)                                                               \
    ITO_AT(ITO_CALL_2(ito_ddpm_save_diffusers_with, ito_ddpm_save_diffusers_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#endif
