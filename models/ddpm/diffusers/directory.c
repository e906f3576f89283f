/* A diffusers directory as what ito_ddpm_load takes: the path of the weights, and the settings of a
 * run.
 * Invariant: what the files say of the network and the scheduler holds; what they cannot say (names
 * of classes, the training's loss) is taken from weights that Ito wrote, where it fits. */
#include "models/ddpm/diffusers/internal.h"

#include "models/ddpm/network/unet_weights.h"
#include "nn/checkpoint_dir.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/system.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the layout ---- */

/* The names that diffusers gives weights, in its order. */
static const char *const weight_names[] = {
    "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.bin", "diffusion_pytorch_model.bin.index.json",
    "diffusion_pytorch_model.fp16.safetensors"};
enum { WEIGHT_NAMES = sizeof weight_names / sizeof weight_names[0] };

bool diffusers_has(const char *dir, const char *name)
{
    int fd = system_open_directory(dir);
    bool there = fd >= 0 && faccessat(fd, name, F_OK, 0) == 0;
    if (fd >= 0)
        close(fd);
    return there;
}

bool diffusers_forget_error(void)
{
    if (ito_error_code() == ITO_ERR_MEMORY)
        return false;
    ito_error_clear();
    return true;
}

static char *find_weights(const char *unet)
{
    for (int i = 0; i < WEIGHT_NAMES; i++)
        if (diffusers_has(unet, weight_names[i]))
            return checkpoint_path(unet, weight_names[i]);
    file_error(ITO_ERR_IO, unet,
               "it has no weights: no diffusion_pytorch_model.safetensors, .bin "
               "or index of several");
    return NULL;
}

/* A run has a config.json, too, which names no class. */
static bool names_a_class(const char *dir)
{
    diffusers_json j;
    bool names =
        diffusers_json_open(&j, dir, "config.json") && cJSON_HasObjectItem(j.root, "_class_name");
    diffusers_json_close(&j);
    diffusers_forget_error();
    return names;
}

bool ito_diffusers_is_directory(const char *dir)
{
    if (diffusers_has(dir, "model_index.json") || diffusers_has(dir, "unet/config.json"))
        return true;
    bool weights = false;
    for (int i = 0; i < WEIGHT_NAMES; i++)
        weights = weights || diffusers_has(dir, weight_names[i]);
    return diffusers_has(dir, "config.json") && (weights || names_a_class(dir));
}

/* A pipeline of other parts makes no images of what the U-Net says alone. */
static bool check_pipeline(const char *dir)
{
    diffusers_json j;
    const cJSON *item;
    bool good = diffusers_json_open(&j, dir, "model_index.json");
    cJSON_ArrayForEach(item, j.root)
    {
        if (good && item->string[0] != '_' && strcmp(item->string, "unet") != 0 &&
            strcmp(item->string, "scheduler") != 0 && !cJSON_IsNull(item))
            good = diffusers_refuse(&j, item->string, item,
                                    "Ito reads pipelines of a unet and a scheduler");
    }
    diffusers_json_close(&j);
    return good;
}

/* Where scheduler_config.json of a pipeline is, or of a U-Net alone, which may be that of a
 * pipeline; NULL: nowhere, which is no error. */
static char *find_scheduler(const char *dir, bool pipeline)
{
    static const char *const places[2][2] = {{".", "../scheduler"}, {"scheduler", "."}};
    for (int i = 0; i < 2; i++) {
        char *place = checkpoint_path(dir, places[pipeline][i]);
        if (place == NULL || diffusers_has(place, "scheduler_config.json"))
            return place;
        free(place);
    }
    return NULL;
}

/* ---- what weights of Ito's say besides ---- */

static cJSON *settings_of_weights(const char *path, int64_t *step)
{
    ito_safetensors *f = ito_safetensors_open(path);
    const char *text = f != NULL ? ito_safetensors_metadata(f, ITO_DDPM_SETTINGS_KEY) : NULL;
    const char *number = f != NULL ? ito_safetensors_metadata(f, ITO_DDPM_STEP_KEY) : NULL;
    cJSON *root = text != NULL ? cJSON_Parse(text) : NULL;
    *step = root != NULL && number != NULL ? strtoll(number, NULL, 10) : 0;
    ito_safetensors_close(f);
    diffusers_forget_error(); /* a file of another kind has none */
    return root;
}

/* Whether the rows of class_embedding are as many as those of these settings, and the last one
 * stands for none, if so it is there. */
static bool take_classes(ito_unet_config *c, const ito_unet_config *said)
{
    bool none = said->class_kind == ITO_UNET_CLASS_OR_NONE;
    if (c->class_kind != ITO_UNET_CLASS_ALWAYS || said->classes == 0 ||
        said->classes + none != c->classes)
        return false;
    c->classes = said->classes;
    c->class_kind = said->class_kind;
    return true;
}

/* What is said of other classes, and of guidance by them. */
static void forget_classes(cJSON *said)
{
    cJSON *sampling = cJSON_GetObjectItemCaseSensitive(said, "sampling");
    cJSON_DeleteItemFromObjectCaseSensitive(said, "class_names");
    cJSON_DeleteItemFromObjectCaseSensitive(said, "label_dropout");
    cJSON_DeleteItemFromObjectCaseSensitive(sampling, "guidance");
    cJSON_DeleteItemFromObjectCaseSensitive(sampling, "guidance_interval");
}

/* The loss, which no scheduler has, of a training with this variance; and the variance itself,
 * which most have not. */
static void take_training(diffusers_scheduler *scheduler, const ito_diffusion_options *said)
{
    ito_diffusion_options *d = &scheduler->diffusion;
    if (!scheduler->says_variance && !said->variance->learned)
        d->variance = said->variance;
    if (d->variance->learned != said->variance->learned || d->prediction != said->prediction)
        return;
    d->weighting = said->weighting;
    d->gamma = said->gamma;
    d->k = said->k;
    d->sigma_data = said->sigma_data;
    d->objective = said->objective;
}

/* ---- the text ---- */

static bool copy_item(cJSON *to, const cJSON *from, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(from, key);
    if (item == NULL || cJSON_HasObjectItem(to, key))
        return true;
    return diffusers_put(to, key, cJSON_Duplicate(item, true));
}

/* Names 0, 1, ... and, as nothing says that a row was trained for none, no dropout of labels. */
static bool put_classes(cJSON *root, const ito_unet_config *c, const cJSON *said)
{
    char name[24];
    if (!copy_item(root, said, "class_names") || !copy_item(root, said, "label_dropout"))
        return false;
    if (c->classes == 0 || cJSON_HasObjectItem(root, "class_names"))
        return true;
    cJSON *names = cJSON_AddArrayToObject(root, "class_names");
    bool good = names != NULL && cJSON_AddNumberToObject(root, "label_dropout", 0.0) != NULL;
    for (int64_t i = 0; good && i < c->classes; i++) {
        snprintf(name, sizeof name, "%" PRId64, i);
        good = cJSON_AddItemToArray(names, cJSON_CreateString(name));
    }
    return good;
}

static bool put_sampling(cJSON *root, const ito_ddpm_sampling *s, const cJSON *said)
{
    cJSON *o = cJSON_AddObjectToObject(root, "sampling");
    const cJSON *before = cJSON_GetObjectItemCaseSensitive(said, "sampling");
    return o != NULL &&
           (s->sampler == NULL ||
            cJSON_AddStringToObject(o, "sampler", s->sampler->name) != NULL) &&
           (s->spacing == NULL ||
            cJSON_AddStringToObject(o, "spacing", s->spacing->name) != NULL) &&
           (!s->no_clip || cJSON_AddTrueToObject(o, "no_clip") != NULL) &&
           (!s->end_at_first || cJSON_AddTrueToObject(o, "end_at_first") != NULL) &&
           (s->threshold == 0.0 || cJSON_AddNumberToObject(o, "threshold", s->threshold) != NULL) &&
           copy_item(o, before, "steps") && copy_item(o, before, "guidance") &&
           copy_item(o, before, "guidance_interval");
}

static char *print_settings(const ito_ddpm_settings *s, const ito_ddpm_sampling *sampling,
                            const cJSON *said)
{
    char *text = ito_ddpm_settings_format(s);
    cJSON *root = text != NULL ? cJSON_Parse(text) : NULL;
    free(text);
    text = root != NULL && put_classes(root, &s->model, said) && put_sampling(root, sampling, said)
               ? cJSON_Print(root)
               : NULL;
    cJSON_Delete(root);
    return text != NULL ? text
                        : error_null(ITO_ERR_MEMORY, "diffusers: no memory for the settings");
}

static bool make_text(diffusers_source *s, ito_unet_config *unet, diffusers_scheduler *scheduler)
{
    cJSON *said = settings_of_weights(s->weights, &s->step);
    char *text = said != NULL ? cJSON_PrintUnformatted(said) : NULL;
    ito_ddpm_settings before;
    if (text != NULL && ito_ddpm_settings_parse(text, s->weights, &before) == ITO_OK) {
        if (!take_classes(unet, &before.model))
            forget_classes(said);
        take_training(scheduler, &before.diffusion);
        free(before.betas);
    } else {
        cJSON_Delete(said);
        said = NULL;
        diffusers_forget_error();
    }
    cJSON_free(text);
    ito_ddpm_settings settings = {.model = *unet, .diffusion = scheduler->diffusion};
    s->text = print_settings(&settings, &scheduler->sampling, said);
    cJSON_Delete(said);
    return s->text != NULL && ito_error_code() == ITO_OK;
}

/* ---- reading ---- */

/* Without a scheduler it is the usual one, with a word. */
static bool read_scheduler(diffusers_source *s, const char *dir, bool pipeline,
                           const ito_unet_config *c, diffusers_scheduler *out)
{
    char *place = find_scheduler(dir, pipeline);
    bool good = false;
    if (place != NULL)
        good = diffusers_read_scheduler(place, c, out, &s->notes);
    else if (ito_error_code() == ITO_OK)
        good = diffusers_usual_scheduler(dir, c, out) &&
               diffusers_note(&s->notes,
                              "%s: it has no scheduler_config.json: taken as linear, 1000 steps, "
                              "eps%s",
                              dir, out->diffusion.variance->learned ? ", learned range" : "");
    free(place);
    return good;
}

/* unet is dir or, of a pipeline, a directory in it. Takes over the path of the weights, which may
 * be NULL. */
static bool read_parts(diffusers_source *s, const char *dir, const char *unet, char *weights)
{
    ito_unet_config c;
    diffusers_scheduler scheduler = {.betas = NULL};
    s->weights = weights;
    bool good = weights != NULL && diffusers_read_unet(unet, &c) &&
                read_scheduler(s, dir, unet != dir, &c, &scheduler) && make_text(s, &c, &scheduler);
    free(scheduler.betas);
    return good;
}

bool diffusers_read(const char *dir, diffusers_source *out)
{
    bool pipeline = diffusers_has(dir, "unet/config.json") || !diffusers_has(dir, "config.json");
    char *unet = pipeline ? checkpoint_path(dir, "unet") : NULL;
    *out = (diffusers_source){.weights = NULL};
    bool good = (!diffusers_has(dir, "model_index.json") || check_pipeline(dir)) &&
                (!pipeline || unet != NULL) &&
                read_parts(out, dir, pipeline ? unet : dir, find_weights(pipeline ? unet : dir));
    free(unet);
    if (!good)
        diffusers_source_free(out);
    return good;
}

bool diffusers_read_beside(const char *dir, const char *weights, diffusers_source *out)
{
    *out = (diffusers_source){.weights = NULL};
    char *path = struct_alloc(strlen(weights) + 1);
    if (path != NULL)
        strcpy(path, weights);
    bool good = read_parts(out, dir, dir, path);
    if (!good)
        diffusers_source_free(out);
    return good;
}

bool diffusers_read_weights(const char *path, ito_unet *unet, char **notes)
{
    ito_unet_load_report report;
    ito_weights *w = ito_weights_open(path);
    bool good = w != NULL && ito_unet_load(unet, w, .report = &report) == ITO_OK;
    ito_weights_close(w);
    if (good && report.names != ITO_UNET_NAMES_DIFFUSERS)
        good = diffusers_note(notes, "%s: its tensors have the names of %s", path,
                              ito_unet_names_text(report.names));
    if (good && report.prefix[0] != '\0')
        good = diffusers_note(notes, "%s: \"%s\" in front of its names was left out", path,
                              report.prefix);
    return good;
}

void diffusers_source_free(diffusers_source *s)
{
    free(s->weights);
    free(s->text);
    free(s->notes);
    *s = (diffusers_source){.weights = NULL};
}
