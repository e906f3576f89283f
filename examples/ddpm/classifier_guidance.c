/* A classifier of noised images in a file: its weights, and in the metadata the settings of the
 * network that it was made for.
 * Invariant: an open classifier fits the images and the noise of the network that it guides. */
#include "examples/ddpm/classifier_guidance.h"

#include "examples/common/file_kinds.h"
#include "examples/common/results.h"
#include "examples/ddpm/class_names.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdlib.h>
#include <string.h>

#define KEY "ito.noise_classifier"

/* The settings of the network, "classifier_channels" and "class_names". */
static char *describe(const ito_noise_classifier *c, const inference *net, const cJSON *names)
{
    char *text = ito_ddpm_settings_format(&net->model->settings), *all = NULL;
    cJSON *root = text != NULL ? cJSON_Parse(text) : NULL, *copy = cJSON_Duplicate(names, true);
    free(text);
    if (cJSON_AddNumberToObject(root, "classifier_channels", (double)c->config.channels) != NULL &&
        cJSON_AddItemToObject(root, "class_names", copy)) {
        copy = NULL;
        all = cJSON_PrintUnformatted(root);
    }
    cJSON_Delete(copy);
    cJSON_Delete(root);
    if (all == NULL)
        ito_error_set(ITO_ERR_MEMORY, "classifier: no memory for its settings");
    return all;
}

bool classifier_guidance_save(const char *path, const ito_noise_classifier *c, const inference *net,
                              const cJSON *class_names)
{
    char *text = describe(c, net, class_names);
    ito_named_tensors *list = ito_module_state(&c->base);
    bool good =
        text != NULL && list != NULL &&
        ito_safetensors_save(path, list->n, list->names, list->tensors, 1,
                             (const char *const[]){KEY}, (const char *const[]){text}) == ITO_OK;
    ito_named_tensors_free(list);
    free(text);
    return good;
}

static bool fits(const char *path, const ito_ddpm_settings *s, const inference *net)
{
    const ito_unet_config *its = &s->model, *ours = &net->model->settings.model;
    if (its->in_channels != ours->in_channels || its->height != ours->height ||
        its->width != ours->width)
        return options_error(
            "--classifier: %s knows images of %" PRId64 "x%" PRId64 " with %" PRId64
            " channel%s, and the network makes %" PRId64 "x%" PRId64 " with %" PRId64,
            path, its->height, its->width, its->in_channels, PLURAL(its->in_channels), ours->height,
            ours->width, ours->in_channels);
    ito_diffusion *d = ito_diffusion_create_with(s->diffusion);
    bool same = d != NULL && same_levels(d->process, net->diffusion->process);
    if (d != NULL && !same)
        options_error("--classifier: %s knows images noised by another schedule than the network's",
                      path);
    ito_diffusion_free(d);
    return same;
}

static bool build(classifier_guidance *g, const ito_safetensors *f, const char *path,
                  const cJSON *root, const inference *net)
{
    const cJSON *width = cJSON_GetObjectItemCaseSensitive(root, "classifier_channels"), *name;
    bool named = cJSON_IsArray(g->class_names) && cJSON_GetArraySize(g->class_names) > 0;
    cJSON_ArrayForEach(name, g->class_names) named = named && cJSON_IsString(name);
    if (!named || !cJSON_IsNumber(width)) {
        ito_error_set(ITO_ERR_FORMAT, "%s: \"%s\" is missing or wrong in its settings", path,
                      named ? "classifier_channels" : "class_names");
        return false;
    }
    ito_noise_classifier_config c = {.in_channels = net->model->settings.model.in_channels,
                                     .channels = width->valueint,
                                     .classes = cJSON_GetArraySize(g->class_names)};
    g->classifier = ito_noise_classifier_create(&c, NULL);
    if (g->classifier == NULL ||
        ito_module_load_file(&g->classifier->base, f, .partial = false) != ITO_OK)
        return false;
    ito_module_train(&g->classifier->base, false);
    return ito_module_freeze(&g->classifier->base, true) == ITO_OK;
}

bool classifier_guidance_open(classifier_guidance *g, const char *path, const inference *net,
                              const char *class)
{
    ito_safetensors *f = file_is_weights(path) ? ito_safetensors_open(path) : NULL;
    const char *text = f != NULL ? ito_safetensors_metadata(f, KEY) : NULL;
    ito_ddpm_settings settings;
    if (f != NULL && text == NULL)
        ito_error_set(ITO_ERR_FORMAT,
                      "%s: it is no classifier of noised images, as ito-ddpm classifier makes them",
                      path);
    bool good = text != NULL && ito_ddpm_settings_parse(text, path, &settings) == ITO_OK &&
                fits(path, &settings, net);
    if (good) {
        cJSON *root = cJSON_Parse(text);
        g->class_names = cJSON_DetachItemFromObjectCaseSensitive(root, "class_names");
        good = build(g, f, path, root, net);
        cJSON_Delete(root);
    }
    ito_safetensors_close(f);
    if (!good)
        return false;
    bool all = strcmp(class, "all") == 0;
    g->class = all ? CLASS_IN_TURN : class_named(g->class_names, class);
    if (g->class >= 0)
        class_say(g->class_names, g->class);
    return all || g->class >= 0;
}

void classifier_guidance_put_class(const classifier_guidance *g, cJSON *root)
{
    result_text(root, "class", g->class < 0 ? "all" : class_name(g->class_names, g->class));
    if (g->class >= 0)
        result_number(root, "class_index", (double)g->class);
}

void classifier_guidance_close(classifier_guidance *g)
{
    if (g->classifier != NULL)
        ito_module_free(&g->classifier->base);
    cJSON_Delete(g->class_names);
}

ito_tensor *classifier_guidance_labels(const classifier_guidance *g, int64_t first, int64_t n)
{
    ito_tensor *labels = ito_empty(ITO_SHAPE(n), ITO_I64);
    for (int64_t i = 0; labels != NULL && i < n; i++)
        ((int64_t *)ito_data(labels))[i] =
            g->class == CLASS_IN_TURN ? (first + i) % g->classifier->config.classes : g->class;
    return labels;
}
