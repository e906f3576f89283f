/* A trained network of its files: the weights, and beside or in them the settings.
 * Invariant: the network that is loaded is the one the settings describe, with all of its weights.
 */
#include "models/ddpm/load.h"

#include "models/ddpm/diffusers/internal.h"
#include "nn/checkpoint.h"
#include "nn/checkpoint_dir.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"

#include "ddpm_weights.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static const char other_step_key[] = "ito_step"; /* of some files of 0.2.0, before its release */

/* ---- the file of weights ---- */

static char *copy_text(const char *text, size_t length)
{
    char *copy = struct_alloc(length + 1);
    if (copy != NULL)
        memcpy(copy, text, length);
    return copy;
}

/* The newest checkpoint of a run. */
static char *newest(const char *run)
{
    char *dir = checkpoint_path(run, "checkpoints");
    char *path = dir != NULL ? ito_checkpoint_latest(dir) : NULL;
    if (dir != NULL && path == NULL) /* the first error stays */
        file_error(ITO_ERR_IO, run, "the run has no checkpoint yet");
    free(dir);
    return path;
}

/* The weights of a run or a checkpoint. */
static ito_safetensors *open_directory(const char *path, bool plain)
{
    bool run = diffusers_has(path, "checkpoints") && !diffusers_has(path, "state.json");
    if (!run && !diffusers_has(path, "state.json")) {
        file_error(
            ITO_ERR_ARGUMENT, path,
            "it is neither a run (no checkpoints in it) nor a checkpoint (no state.json), nor "
            "does a config.json in it name a class of diffusers");
        return NULL;
    }
    char *checkpoint = run ? newest(path) : copy_text(path, strlen(path)), *weights = NULL;
    if (checkpoint != NULL)
        weights = checkpoint_path(checkpoint, plain ? "model.safetensors" : "ema.safetensors");
    ito_safetensors *file = weights != NULL ? ito_safetensors_open(weights) : NULL;
    free(weights);
    free(checkpoint);
    return file;
}

/* The directory that a file is in. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    return slash == NULL ? copy_text(".", 1) : copy_text(path, length > 0 ? length : 1);
}

/* What to load: a file of weights with its settings in it or beside it, or what diffusers wrote. */
typedef struct source {
    ito_safetensors *file;
    diffusers_source diffusers; /* its text is NULL for a file */
} source;

/* Whether neither the file itself nor a checkpoint around it says what it is, but diffusers' config
 * does. */
static bool is_of_diffusers(const char *path, const char *dir)
{
    if (diffusers_has(dir, "state.json") || !ito_diffusers_is_directory(dir))
        return false;
    ito_safetensors *f = ito_safetensors_open(path);
    bool says = ito_safetensors_metadata(f, ITO_DDPM_SETTINGS_KEY) != NULL;
    ito_safetensors_close(f);
    return diffusers_forget_error() && !says; /* of a file of another kind */
}

static void say_no_settings(const char *path)
{
    file_error(ITO_ERR_IO, path,
               "neither the file nor a state.json beside it says what network it is for; weights "
               "of diffusers need their config.json beside them");
}

/* A file with its settings in it, or in the checkpoint around it. */
static ito_safetensors *open_own(const char *path)
{
    ito_weights *w = ito_weights_open(path);
    bool own = w != NULL && strcmp(ito_weights_kind(w), "safetensors") == 0;
    if (w != NULL && !own)
        say_no_settings(path);
    ito_weights_close(w);
    return own ? ito_safetensors_open(path) : NULL;
}

static bool open_file(const char *path, source *out)
{
    char *dir = directory_of(path);
    if (dir != NULL && is_of_diffusers(path, dir))
        diffusers_read_beside(dir, path, &out->diffusers);
    else if (dir != NULL && ito_error_code() == ITO_OK)
        out->file = open_own(path);
    free(dir);
    return out->file != NULL || out->diffusers.text != NULL;
}

/* Not a run or checkpoint, which have averages beside the weights themselves. */
static bool has_one_kind(const char *path, const char *what, bool plain)
{
    if (plain)
        file_error(ITO_ERR_ARGUMENT, path,
                   "it is %s; a run or a checkpoint has plain weights beside averages", what);
    return !plain;
}

static bool open_source(const char *path, bool plain, source *out)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        file_system_error(path, "open");
        return false;
    }
    if (!S_ISDIR(info.st_mode))
        return has_one_kind(path, "one file of weights", plain) && open_file(path, out);
    if (!diffusers_has(path, "checkpoints") && !diffusers_has(path, "state.json") &&
        ito_diffusers_is_directory(path))
        return has_one_kind(path, "a diffusers directory", plain) &&
               diffusers_read(path, &out->diffusers);
    out->file = ito_error_code() == ITO_OK ? open_directory(path, plain) : NULL;
    return out->file != NULL;
}

/* ---- the text of the settings ---- */

/* The settings of a file that has them in it. */
static bool read_metadata(ito_ddpm *m, const char *text)
{
    const char *step = ito_safetensors_metadata(m->file, ITO_DDPM_STEP_KEY);
    if (step == NULL)
        step = ito_safetensors_metadata(m->file, other_step_key);
    m->text = copy_text(text, strlen(text));
    m->step = step != NULL ? strtoll(step, NULL, 10) : 0;
    return m->text != NULL;
}

/* The settings of the checkpoint that the file is in. */
static bool read_checkpoint(ito_ddpm *m)
{
    char *dir = directory_of(m->path);
    if (dir != NULL && !diffusers_has(dir, "state.json"))
        say_no_settings(m->path);
    else if (dir != NULL)
        m->text = ito_checkpoint_settings(dir);
    m->step = m->text != NULL ? ito_checkpoint_step(dir) : -1;
    free(dir);
    return m->step >= 0;
}

/* ---- what else the settings say ---- */

static bool read_class_names(ito_ddpm *m, const cJSON *root)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "class_names"), *name;
    int64_t classes = m->settings.model.classes, n = 0;
    size_t bytes = 0;
    bool good = cJSON_GetArraySize(list) == classes;
    cJSON_ArrayForEach(name, list)
    {
        good = good && cJSON_IsString(name);
        bytes += good ? strlen(name->valuestring) + 1 : 0;
    }
    if (!good) {
        file_error(ITO_ERR_FORMAT, m->path, "\"class_names\" is missing or not %" PRId64 " texts",
                   classes);
        return false;
    }
    if (classes == 0)
        return true;
    const char **names = struct_alloc(sizeof *names * (size_t)classes + bytes);
    char *text = names != NULL ? (char *)(names + classes) : NULL;
    m->class_names = names;
    for (name = list->child; names != NULL && name != NULL; name = name->next, n++) {
        names[n] = strcpy(text, name->valuestring);
        text += strlen(text) + 1;
    }
    return names != NULL;
}

/* A number from 0 on; one that is missing leaves *out. */
static bool read_number(const ito_ddpm *m, const cJSON *object, const char *name, double *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    bool good = item == NULL || (cJSON_IsNumber(item) && item->valuedouble >= 0.0);
    if (!good)
        file_error(ITO_ERR_FORMAT, m->path, "\"%s\" is not a number from 0 on", name);
    else if (item != NULL)
        *out = item->valuedouble;
    return good;
}

/* A choice; one that is missing leaves NULL. */
static bool read_choice(const cJSON *sampling, const char *kind, const ito_choice **out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(sampling, kind);
    *out =
        item == NULL ? NULL : ito_choice_find(kind, cJSON_IsString(item) ? item->valuestring : "");
    return item == NULL || *out != NULL;
}

/* The number that these letters are, whatever the locale. */
static bool read_sigma(const char *text, size_t length, double *out)
{
    const char *end = text;
    cJSON *number = cJSON_ParseWithLengthOpts(text, length, &end, false);
    bool good = cJSON_IsNumber(number) && end == text + length,
         infinite = !good && strncasecmp(text, "inf", length) == 0;
    if (good || infinite)
        *out = infinite ? (double)INFINITY : number->valuedouble;
    cJSON_Delete(number);
    return good || infinite;
}

/* true or false; one that is missing is false. */
static bool read_truth(const ito_ddpm *m, const cJSON *object, const char *name, bool *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    *out = cJSON_IsTrue(item);
    if (item == NULL || cJSON_IsBool(item))
        return true;
    file_error(ITO_ERR_FORMAT, m->path, "\"%s\" is not true or false", name);
    return false;
}

/* "LOW,HIGH". */
static bool read_interval(const ito_ddpm *m, const cJSON *said, ito_ddpm_sampling *s)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(said, "guidance_interval");
    if (item == NULL)
        return true;
    const char *text = cJSON_IsString(item) ? item->valuestring : "", *comma = strchr(text, ',');
    if (comma != NULL && read_sigma(text, (size_t)(comma - text), &s->guidance_lo) &&
        read_sigma(comma + 1, strlen(comma + 1), &s->guidance_hi) && s->guidance_lo >= 0.0 &&
        s->guidance_lo < s->guidance_hi)
        return true;
    file_error(ITO_ERR_FORMAT, m->path,
               "\"guidance_interval\" is not LOW,HIGH, two numbers from 0 that rise");
    return false;
}

/* What the run says of samples, which older checkpoints lack. */
static bool read_sampling(ito_ddpm *m, const cJSON *root)
{
    const cJSON *said = cJSON_GetObjectItemCaseSensitive(root, "sampling");
    const ito_choice *recipe, *sampler, *spacing;
    double steps = 0.0;
    ito_ddpm_sampling *s = &m->sampling;
    *s = (ito_ddpm_sampling){
        .steps = ITO_ALL_STEPS, .guidance = ITO_UNSET, .guidance_hi = (double)INFINITY};
    if (!read_choice(said, "recipe", &recipe) || !read_choice(said, "sampler", &sampler) ||
        !read_choice(said, "spacing", &spacing) || !read_number(m, said, "steps", &steps) ||
        !read_number(m, said, "guidance", &s->guidance) || !read_interval(m, said, s) ||
        !read_truth(m, said, "no_clip", &s->no_clip) ||
        !read_truth(m, said, "end_at_first", &s->end_at_first) ||
        !read_number(m, said, "threshold", &s->threshold))
        return false;
    s->recipe = (const ito_recipe *)recipe;
    s->sampler = (const ito_sampler *)sampler;
    s->spacing = (const ito_spacing *)spacing;
    if (steps >= 1.0 && steps <= 1e6)
        s->steps = (int64_t)steps;
    return true;
}

/* The settings as text: those of diffusers are there already. */
static bool read_text(ito_ddpm *m)
{
    const char *text = ito_safetensors_metadata(m->file, ITO_DDPM_SETTINGS_KEY);
    return m->text != NULL || (text != NULL ? read_metadata(m, text) : read_checkpoint(m));
}

static bool read_settings(ito_ddpm *m, bool *uncertain)
{
    if (!read_text(m) || ito_ddpm_settings_parse(m->text, m->path, &m->settings) != ITO_OK)
        return false;
    cJSON *root = cJSON_Parse(m->text);
    double features = 0.0;
    m->label_dropout = 0.1; /* of checkpoints that do not say */
    if (root == NULL)       /* it has been parsed once */
        error_status(ITO_ERR_MEMORY, "%s: no memory for its settings", m->path);
    bool good = root != NULL && read_class_names(m, root) &&
                read_number(m, root, "label_dropout", &m->label_dropout) &&
                read_number(m, root, "uncertainty", &features) && read_sampling(m, root);
    *uncertain = features > 0.0;
    cJSON_Delete(root);
    return good;
}

/* ---- the network ---- */

/* Whether the file has every parameter of the network. */
static bool has_all(const ito_safetensors *file, const ito_unet *unet)
{
    ito_named_tensors *p = ito_module_parameters((ito_module *)&unet->base);
    bool all = p != NULL;
    for (int64_t i = 0; all && i < p->n; i++) {
        all = ito_safetensors_find(file, p->names[i]) >= 0;
        if (!all)
            file_error(ITO_ERR_FORMAT, ito_safetensors_path(file), "lacks %s of the model",
                       p->names[i]);
    }
    ito_named_tensors_free(p);
    return all;
}

/* An uncertainty is for training alone: weights that have one beside the network's are read without
 * it. */
static bool read_weights(ito_ddpm *m, bool uncertain)
{
    m->unet = ito_unet_create(&m->settings.model, NULL);
    if (m->unet == NULL || (uncertain && !has_all(m->file, m->unet)))
        return false;
    bool good = m->file != NULL
                    ? ito_module_load_file(&m->unet->base, m->file, .partial = uncertain) == ITO_OK
                    : diffusers_read_weights(m->path, m->unet, &m->notes);
    if (!good)
        return false;
    ito_module_train(&m->unet->base, false);
    return true;
}

/* Put around the network what it takes, from the inside. */
static bool build_around(ito_ddpm *m)
{
    m->guidance = ito_guidance_create(m->diffusion, &m->unet->network, 1.0,
                                      .sigma_lo = m->sampling.guidance_lo,
                                      .sigma_hi = m->sampling.guidance_hi);
    m->network = m->guidance != NULL ? &m->guidance->base : NULL;
    if (m->network != NULL && m->settings.model.self_condition) {
        m->self_condition = ito_self_condition_create(m->diffusion, m->network);
        m->network = m->self_condition != NULL ? &m->self_condition->base : NULL;
    }
    if (m->network != NULL && m->settings.model.classes > 0) {
        m->condition = ito_class_condition_create(m->network, m->settings.model.classes);
        m->network = m->condition != NULL ? &m->condition->base : NULL;
    }
    return m->network != NULL;
}

/* Takes over what is in the source. */
static ito_ddpm *load(source *s, bool settings_only)
{
    ito_ddpm *m = struct_alloc(sizeof *m);
    if (m == NULL) {
        ito_safetensors_close(s->file);
        diffusers_source_free(&s->diffusers);
        return NULL;
    }
    bool uncertain;
    m->file = s->file;
    m->path = s->file == NULL
                  ? s->diffusers.weights
                  : copy_text(ito_safetensors_path(s->file), strlen(ito_safetensors_path(s->file)));
    m->text = s->diffusers.text;
    m->notes = s->diffusers.notes;
    m->step = s->diffusers.step;
    bool good = m->path != NULL && read_settings(m, &uncertain);
    if (good && !settings_only) {
        m->diffusion = ito_diffusion_create_with(m->settings.diffusion);
        good = m->diffusion != NULL && read_weights(m, uncertain) && build_around(m);
    }
    if (good)
        return m;
    ito_ddpm_free(m);
    return NULL;
}

ito_ddpm *ito_ddpm_load_with(const char *path, ito_ddpm_load_options options)
{
    if (path == NULL)
        return error_null(ITO_ERR_ARGUMENT, "ddpm_load: the path is NULL");
    source s = {.file = NULL};
    return open_source(path, options.plain, &s) ? load(&s, options.settings_only) : NULL;
}

ito_ddpm *ito_ddpm_fashion_mnist(void)
{
    source s = {
        .file = ito_safetensors_open_memory(ddpm_weights, ddpm_weights_size(), "fashion-mnist")};
    return s.file != NULL ? load(&s, false) : NULL;
}

ito_status ito_ddpm_save_with(const ito_ddpm *m, const char *path, ito_ddpm_save_options options)
{
    if (m == NULL || m->unet == NULL || path == NULL)
        return error_status(ITO_ERR_ARGUMENT, "ddpm_save: the %s is NULL",
                            path != NULL ? "network" : "path");
    char step[24], *text = copy_text(m->text, strlen(m->text));
    if (text == NULL)
        return ITO_ERR_MEMORY;
    cJSON_Minify(text);
    snprintf(step, sizeof step, "%" PRId64, m->step);
    ito_status status = ito_module_save(
        &m->unet->base, path, .bf16 = options.bf16,
        .metadata_keys = (const char *const[]){ITO_DDPM_SETTINGS_KEY, ITO_DDPM_STEP_KEY},
        .metadata_values = (const char *const[]){text, step}, .n_metadata = 2);
    free(text);
    return status;
}

void ito_ddpm_free(ito_ddpm *m)
{
    if (m == NULL)
        return;
    ito_network_free(m->condition != NULL ? &m->condition->base : NULL);
    ito_network_free(m->self_condition != NULL ? &m->self_condition->base : NULL);
    ito_network_free(m->guidance != NULL ? &m->guidance->base : NULL);
    ito_diffusion_free(m->diffusion);
    if (m->unet != NULL)
        ito_module_free(&m->unet->base);
    ito_safetensors_close(m->file);
    free((void *)m->class_names);
    free((void *)m->path);
    free(m->settings.betas);
    free(m->notes);
    free(m->text);
    free(m);
}

/* ---- use ---- */

int64_t ito_ddpm_class(const ito_ddpm *m, const char *name)
{
    int64_t classes = m != NULL ? m->settings.model.classes : 0;
    char names[200] = "";
    if (classes == 0) {
        error_status(ITO_ERR_ARGUMENT, "ddpm_class: the network has no classes");
        return -1;
    }
    for (int64_t i = 0; i < classes; i++) {
        if (name != NULL && strcmp(m->class_names[i], name) == 0)
            return i;
        size_t length = strlen(names);
        snprintf(names + length, sizeof names - length, "%s%s", i > 0 ? ", " : "",
                 m->class_names[i]);
    }
    error_status(ITO_ERR_ARGUMENT, "ddpm_class: \"%s\" is none of %s", name != NULL ? name : "NULL",
                 names);
    return -1;
}

ito_shape ito_ddpm_shape(const ito_ddpm *m, int64_t n)
{
    const ito_unet_config *c = &m->settings.model;
    return ITO_SHAPE(n, c->in_channels, c->height, c->width);
}

/* What keeps a variance from being the network's, NULL if nothing does. */
static const char *unfit(const ito_ddpm *m, const ito_variance *variance)
{
    if (m == NULL || m->unet == NULL || variance == NULL)
        return variance == NULL ? "the variance is NULL" : "the network is NULL";
    if (m->settings.diffusion.variance->learned)
        return "the network has learned its own";
    return variance->learned ? "the network has not learned one" : NULL;
}

ito_status ito_ddpm_set_variance(ito_ddpm *m, const ito_variance *variance)
{
    const char *why = unfit(m, variance);
    if (why != NULL)
        return error_status(ITO_ERR_ARGUMENT, "ddpm_set_variance: %s", why);
    ito_diffusion_options o = m->settings.diffusion;
    o.variance = variance;
    ito_diffusion *d = ito_diffusion_create_with(o);
    if (d == NULL)
        return ito_error_code();
    ito_diffusion_free(m->diffusion);
    m->settings.diffusion = o;
    m->diffusion = d;
    m->guidance->diffusion = d;
    if (m->self_condition != NULL)
        m->self_condition->diffusion = d;
    return ITO_OK;
}
