/* A trained network by the name it has on the command line. */
#include "examples/ddpm/model_files.h"

#include "ddpm_weights.h"
#include "examples/common/file_kinds.h"
#include "examples/common/messages.h"
#include "examples/common/paths.h"
#include "examples/ddpm/class_names.h"

#include <errno.h>
#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The newest checkpoint of a run. */
static char *newest(const char *run)
{
    char *dir = path_join(run, "checkpoints");
    char *path = dir != NULL ? ito_checkpoint_latest(dir) : NULL;
    if (path == NULL && ito_error_code() == ITO_OK)
        ito_error_set(ITO_ERR_IO, "%s: the run has no checkpoint yet", run);
    free(dir);
    return path;
}

/* The file of weights of a run or checkpoint. */
static char *find_in_directory(const char *path, bool plain)
{
    char *checkpoint = NULL, *weights = NULL;
    if (path_has(path, "state.json"))
        checkpoint = strdup(path);
    else if (path_has(path, "checkpoints"))
        checkpoint = newest(path);
    else
        ito_error_set(ITO_ERR_ARGUMENT,
                      "%s: it is neither a run (no checkpoints in it) nor a checkpoint (no "
                      "state.json)",
                      path);
    if (checkpoint != NULL)
        weights = path_join(checkpoint, plain ? "model.safetensors" : "ema.safetensors");
    free(checkpoint);
    return weights;
}

/* Refuse --weights plain for a file, which has one kind of weights. */
static bool refuse_plain(const char *path)
{
    return options_error(
        "--weights: %s is one file of weights; a run or a checkpoint has both kinds", path);
}

ito_safetensors *model_open(const char *path, bool plain)
{
    struct stat info;
    if (stat(path, &info) != 0 && strcmp(path, BUILT_IN) == 0)
        return !plain || refuse_plain(path)
                   ? ito_safetensors_open_memory(ddpm_weights, ddpm_weights_size(), BUILT_IN)
                   : NULL;
    if (stat(path, &info) != 0) {
        path_failed(path, "open");
        return NULL;
    }
    if (!S_ISDIR(info.st_mode))
        return !plain || refuse_plain(path) ? file_open_weights(path) : NULL;
    char *weights = find_in_directory(path, plain);
    ito_safetensors *file = weights != NULL ? ito_safetensors_open(weights) : NULL;
    free(weights);
    return file;
}

/* The names of the classes, if the settings have them, one for each class; and the rate of dropped
 * labels, which older checkpoints lack. */
static bool read_classes(model_files *f)
{
    cJSON *root = cJSON_Parse(f->text);
    f->class_names = cJSON_DetachItemFromObjectCaseSensitive(root, "class_names");
    const cJSON *dropout = cJSON_GetObjectItemCaseSensitive(root, "label_dropout");
    f->label_dropout = cJSON_IsNumber(dropout) ? dropout->valuedouble : 0.1;
    cJSON_Delete(root);
    const cJSON *name;
    bool good = cJSON_GetArraySize(f->class_names) == f->settings.model.classes;
    cJSON_ArrayForEach(name, f->class_names) good = good && cJSON_IsString(name);
    if (!good)
        ito_error_set(ITO_ERR_FORMAT, "%s: \"class_names\" is missing or not %" PRId64 " texts",
                      f->source, f->settings.model.classes);
    return good;
}

/* A number of what the run says, or NaN. */
static bool read_number(const model_files *f, const cJSON *sampling, const char *name, double *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(sampling, name);
    *out = item != NULL ? item->valuedouble : (double)NAN;
    if (item == NULL || (cJSON_IsNumber(item) && item->valuedouble >= 0.0))
        return true;
    ito_error_set(ITO_ERR_FORMAT, "%s: \"%s\" is not a number from 0 on", f->source, name);
    return false;
}

/* The name of a choice that it has, or NULL. */
static bool read_name(const cJSON *sampling, const char *kind, const char **out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(sampling, kind);
    const ito_choice *choice = NULL;
    if (item != NULL)
        choice = ito_choice_find(kind, cJSON_IsString(item) ? item->valuestring : "");
    *out = choice != NULL ? choice->name : NULL;
    return item == NULL || choice != NULL;
}

/* What the run says of samples, which older checkpoints lack. */
static bool read_sampling(model_files *f)
{
    cJSON *root = cJSON_Parse(f->text);
    const cJSON *said = cJSON_GetObjectItemCaseSensitive(root, "sampling");
    model_sampling *s = &f->sampling;
    double steps, features;
    bool good = read_number(f, root, MODEL_UNCERTAINTY, &features) &&
                read_name(said, "recipe", &s->recipe) && read_name(said, "sampler", &s->sampler) &&
                read_name(said, "spacing", &s->spacing) && read_number(f, said, "steps", &steps) &&
                read_number(f, said, "guidance", &s->guidance);
    f->uncertain = features > 0.0;
    const cJSON *interval = cJSON_GetObjectItemCaseSensitive(said, "guidance_interval");
    if (cJSON_IsString(interval))
        snprintf(s->interval, sizeof s->interval, "%s", interval->valuestring);
    s->steps = good && steps >= 1.0 && steps <= 1e6 ? (int64_t)steps : UNSET_INT;
    cJSON_Delete(root);
    return good;
}

/* The settings of a self-contained file. */
static bool read_metadata(model_files *f)
{
    const char *step = ito_safetensors_metadata(f->file, MODEL_STEP);
    f->text = strdup(ito_safetensors_metadata(f->file, MODEL_SETTINGS));
    f->source = strdup(f->weights);
    f->step = step != NULL ? strtoll(step, NULL, 10) : 0;
    if (f->text == NULL || f->source == NULL)
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for its settings", f->weights);
    return f->text != NULL && f->source != NULL;
}

/* The settings of the checkpoint that the file is in. */
static bool read_state(model_files *f)
{
    const char *slash = strrchr(f->weights, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - f->weights);
    char *dir = slash == NULL ? strdup(".") : strndup(f->weights, length > 0 ? length : 1);
    f->source = dir != NULL ? path_join(dir, "state.json") : NULL;
    if (f->source != NULL && path_exists(f->source))
        f->text = ito_checkpoint_settings(dir);
    else if (f->source != NULL)
        ito_error_set(ITO_ERR_IO,
                      "%s: neither the file nor a state.json beside it says what network it is for",
                      f->weights);
    f->step = f->text != NULL ? ito_checkpoint_step(dir) : -1;
    free(dir);
    return f->step >= 0;
}

static bool read_settings(model_files *f)
{
    bool alone = ito_safetensors_metadata(f->file, MODEL_SETTINGS) != NULL;
    return (alone ? read_metadata(f) : read_state(f)) &&
           ito_ddpm_settings_parse(f->text, f->source, &f->settings) == ITO_OK && read_classes(f) &&
           read_sampling(f);
}

int64_t model_class(const model_files *f, const char *word)
{
    if (f->settings.model.classes > 0)
        return class_named(f->class_names, word);
    options_error("--class: the network was trained without classes");
    return -1;
}

bool model_set_variance(model_files *f, const char *name)
{
    ito_diffusion_options *d = &f->settings.diffusion;
    if (name == NULL)
        return true;
    if (d->variance->learned)
        return options_error("--variance: the network has learned its own");
    d->variance = ito_variance_find(name);
    return d->variance != NULL;
}

bool model_fits(const model_files *f, const ito_tensor *images, const char *whose)
{
    const ito_unet_config *c = &f->settings.model;
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

bool model_find(const char *path, bool plain, model_files *out)
{
    *out = (model_files){.file = model_open(path, plain), .step = -1};
    out->weights = ito_safetensors_path(out->file);
    if (out->file != NULL && read_settings(out))
        return true;
    model_files_free(out);
    return false;
}

void model_files_free(model_files *f)
{
    ito_safetensors_close(f->file);
    free(f->text);
    free(f->source);
    cJSON_Delete(f->class_names);
    *f = (model_files){.step = -1};
}

/* Whether the file has every parameter of the network. */
static bool has_all(const ito_safetensors *file, const ito_unet *unet)
{
    ito_named_tensors *p = ito_module_parameters(&unet->base);
    bool all = p != NULL;
    for (int64_t i = 0; all && i < p->n; i++) {
        all = ito_safetensors_find(file, p->names[i]) >= 0;
        if (!all)
            ito_error_set(ITO_ERR_FORMAT, "%s: lacks %s of the model", ito_safetensors_path(file),
                          p->names[i]);
    }
    ito_named_tensors_free(p);
    return all;
}

/* An uncertainty is for training alone: weights that have one beside the network's are read without
 * it. */
ito_unet *model_load(const model_files *f)
{
    ito_unet *unet = ito_unet_create(&f->settings.model, NULL);
    if (unet == NULL)
        return NULL;
    ito_module_train(&unet->base, false);
    if ((!f->uncertain || has_all(f->file, unet)) &&
        ito_module_load_file(&unet->base, f->file, .partial = f->uncertain) == ITO_OK)
        return unet;
    ito_module_free(&unet->base);
    return NULL;
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
