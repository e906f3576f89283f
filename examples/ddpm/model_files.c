/* A trained network by the name it has on the command line. */
#include "examples/ddpm/model_files.h"

#include "examples/common/file_kinds.h"
#include "examples/common/messages.h"
#include "examples/common/paths.h"
#include "examples/ddpm/class_names.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ito_ddpm *model_load(const char *path, ito_ddpm_load_options options)
{
    bool file = path_exists(path) && !path_is_directory(path);
    bool built_in = !path_exists(path) && strcmp(path, BUILT_IN) == 0;
    if ((file || built_in) && options.plain) {
        options_error("--weights: %s is one file of weights; a run or a checkpoint has both kinds",
                      path);
        return NULL;
    }
    if (file && !file_is_weights(path))
        return NULL;
    ito_ddpm *model = built_in ? ito_ddpm_fashion_mnist() : ito_ddpm_load_with(path, options);
    if (model != NULL && model->notes != NULL && !options.settings_only)
        note("%s", model->notes);
    return model;
}

cJSON *model_class_names(const ito_ddpm *model)
{
    return model->class_names != NULL
               ? cJSON_CreateStringArray(model->class_names, (int)model->settings.model.classes)
               : NULL;
}

int64_t model_class(const ito_ddpm *model, const char *word)
{
    cJSON *names = model_class_names(model);
    int64_t class = -1;
    if (names != NULL)
        class = class_named(names, word);
    else
        options_error("--class: the network was trained without classes");
    cJSON_Delete(names);
    return class;
}

bool model_set_variance(ito_ddpm *model, const char *name)
{
    if (name == NULL)
        return true;
    if (model->settings.diffusion.variance->learned)
        return options_error("--variance: the network has learned its own");
    const ito_variance *variance = ito_variance_find(name);
    return variance != NULL && ito_ddpm_set_variance(model, variance) == ITO_OK;
}

bool model_fits(const ito_ddpm *model, const ito_tensor *images, const char *whose)
{
    const ito_unet_config *c = &model->settings.model;
    if (ito_size(images, 1) == c->in_channels && ito_size(images, 2) == c->height &&
        ito_size(images, 3) == c->width)
        return true;
    ito_error_set(ITO_ERR_SHAPE,
                  "%s: the images are %" PRId64 "x%" PRId64 " with %" PRId64
                  " channel%s, and the network takes %" PRId64 "x%" PRId64 " with %" PRId64,
                  whose, ito_size(images, 2), ito_size(images, 3), ito_size(images, 1),
                  PLURAL(ito_size(images, 1)), c->height, c->width, c->in_channels);
    return false;
}

void model_set_precision(ito_unet *unet, const char *precision, const char *command)
{
    bool bf16 = strcmp(precision, "bf16") == 0;
    ito_unet_set_precision(unet, bf16 ? ITO_BF16 : ITO_F32);
    if (bf16 && !ito_multiplies_bf16())
        note("ito-ddpm %s: this processor multiplies no bf16 faster than f32: activations are "
             "stored in bf16 and computed with in f32\n",
             command);
}
