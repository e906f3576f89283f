/* Settings of a network and its diffusion, to JSON and back.
 * Invariant: what was parsed is a network and a diffusion that can be built. */
#include "models/ddpm/settings.h"

#include "models/ddpm/network/unet_config.h"
#include "tensor/internal.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The whole numbers of the model, by name. */
typedef struct whole_number {
    const char *name;
    size_t offset; /* of an int64_t in ito_unet_config */
} whole_number;

static const whole_number numbers[] = {
    {"in_channels", offsetof(ito_unet_config, in_channels)},
    {"out_channels", offsetof(ito_unet_config, out_channels)},
    {"height", offsetof(ito_unet_config, height)},
    {"width", offsetof(ito_unet_config, width)},
    {"channels", offsetof(ito_unet_config, channels)},
    {"blocks", offsetof(ito_unet_config, blocks)},
    {"groups", offsetof(ito_unet_config, groups)},
};

#define NUMBERS (sizeof numbers / sizeof numbers[0])

static int64_t *number_at(const ito_unet_config *c, size_t i)
{
    return (int64_t *)(void *)((char *)c + numbers[i].offset);
}

/* ---- to JSON ---- */

static bool put_number(cJSON *object, const char *name, double value)
{
    return cJSON_AddNumberToObject(object, name, value) != NULL;
}

static bool put_text(cJSON *object, const char *name, const char *value)
{
    return cJSON_AddStringToObject(object, name, value) != NULL;
}

static bool put_levels(cJSON *model, const ito_unet_config *c)
{
    cJSON *multipliers = cJSON_AddArrayToObject(model, "multipliers");
    cJSON *attention = cJSON_AddArrayToObject(model, "attention");
    bool good = multipliers != NULL && attention != NULL;
    for (int64_t i = 0; i < c->levels && good; i++)
        good = cJSON_AddItemToArray(multipliers, cJSON_CreateNumber((double)c->multipliers[i])) &&
               cJSON_AddItemToArray(attention, cJSON_CreateBool(c->attention[i]));
    return good;
}

static bool put_model(cJSON *root, const ito_unet_config *c)
{
    cJSON *model = cJSON_AddObjectToObject(root, "model");
    bool good = model != NULL;
    for (size_t i = 0; i < NUMBERS && good; i++)
        good = put_number(model, numbers[i].name, (double)*number_at(c, i));
    return good && put_levels(model, c) && put_number(model, "dropout", c->dropout) &&
           put_number(model, "classes", (double)c->classes) &&
           (!c->self_condition || cJSON_AddTrueToObject(model, "self_condition") != NULL);
}

/* Whether a choice is what its name finds, so that its name brings it back. */
static bool put_choice(cJSON *object, const char *key, const void *choice, const char *name,
                       const void *found)
{
    if (found == choice)
        return put_text(object, key, name);
    ito_error_set(ITO_ERR_ARGUMENT,
                  "settings: %s \"%s\" is not the one of that name, and cannot be written", key,
                  name);
    return false;
}

#define PUT_CHOICE(object, key, choice, find)                                                      \
    put_choice(object, key, choice, (choice)->name, find((choice)->name))

static bool put_diffusion(cJSON *root, const ito_diffusion_options *o)
{
    const ito_ddpm_betas *schedule = o->schedule != NULL ? o->schedule : &ito_ddpm_linear;
    const ito_ddpm_variance *variance = o->variance != NULL ? o->variance : &ito_ddpm_fixedlarge;
    const ito_ddpm_prediction *prediction =
        o->prediction != NULL ? o->prediction : &ito_ddpm_predict_eps;
    const ito_ddpm_weighting *weighting = o->weighting != NULL ? o->weighting : &ito_ddpm_simple;
    const ito_ddpm_objective *loss = o->loss != NULL ? o->loss : &ito_ddpm_loss_simple;
    cJSON *d = cJSON_AddObjectToObject(root, "diffusion");
    if (o->list != NULL) {
        ito_error_set(ITO_ERR_ARGUMENT, "settings: a list of betas cannot be written");
        return false;
    }
    if (d == NULL || !PUT_CHOICE(d, "schedule", schedule, ito_ddpm_betas_find) ||
        !put_number(d, "steps", o->steps == 0 ? 1000.0 : (double)o->steps))
        return false;
    if (schedule->ranged &&
        (!put_number(d, "beta_start", o->betas.beta_start == 0.0 ? 1e-4 : o->betas.beta_start) ||
         !put_number(d, "beta_end", o->betas.beta_end == 0.0 ? 0.02 : o->betas.beta_end)))
        return false;
    if (o->betas.zero_terminal_snr && cJSON_AddTrueToObject(d, "zero_terminal_snr") == NULL)
        return false;
    double gamma = o->gamma != 0.0 ? o->gamma : weighting->gamma;
    double k = o->k != 0.0 ? o->k : weighting->k;
    double sigma_data = o->sigma_data != 0.0            ? o->sigma_data
                        : prediction->sigma_data != 0.0 ? prediction->sigma_data
                                                        : weighting->sigma_data;
    return PUT_CHOICE(d, "prediction", prediction, ito_ddpm_prediction_find) &&
           PUT_CHOICE(d, "variance", variance, ito_ddpm_variance_find) &&
           PUT_CHOICE(d, "weighting", weighting, ito_ddpm_weighting_find) &&
           (gamma == 0.0 || put_number(d, "gamma", gamma)) && (k == 0.0 || put_number(d, "k", k)) &&
           (sigma_data == 0.0 || put_number(d, "sigma_data", sigma_data)) &&
           PUT_CHOICE(d, "loss", loss, ito_ddpm_objective_find);
}

char *ito_ddpm_settings_format(const ito_ddpm_settings *s)
{
    ito_unet_config model = s->model;
    if (unet_config_resolve(&model) != ITO_OK)
        return NULL;
    cJSON *root = cJSON_CreateObject();
    char *text = NULL;
    if (root != NULL && put_model(root, &model) && put_diffusion(root, &s->diffusion))
        text = cJSON_Print(root);
    cJSON_Delete(root);
    return text != NULL ? text : error_null(ITO_ERR_MEMORY, "settings: no memory for their text");
}

/* ---- from JSON ---- */

static ito_status wrong(const char *source, const char *name, const char *wanted)
{
    return error_status(ITO_ERR_FORMAT, "%s: \"%s\" is missing or not %s", source, name, wanted);
}

/* Whether item is a whole number that a double holds exactly. */
static bool whole(const cJSON *item, int64_t *out)
{
    if (!cJSON_IsNumber(item) || !(fabs(item->valuedouble) <= 0x1p53) ||
        floor(item->valuedouble) != item->valuedouble)
        return false;
    *out = (int64_t)item->valuedouble;
    return true;
}

/* A number that may be missing: 0. */
static bool optional_number(const cJSON *d, const char *name, double *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(d, name);
    *out = cJSON_IsNumber(item) ? item->valuedouble : 0.0;
    return item == NULL || cJSON_IsNumber(item);
}

/* A text that may be missing: the fallback. */
static bool optional_text(const cJSON *d, const char *name, const char *fallback, const char **out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(d, name);
    *out = item == NULL ? fallback : cJSON_GetStringValue(item);
    return *out != NULL;
}

/* Whether something is so; it may be missing: false. */
static bool optional_truth(const cJSON *object, const char *name, bool *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    *out = cJSON_IsTrue(item);
    return item == NULL || cJSON_IsBool(item);
}

static ito_status get_levels(const cJSON *model, const char *source, ito_unet_config *c)
{
    const cJSON *multipliers = cJSON_GetObjectItemCaseSensitive(model, "multipliers");
    const cJSON *attention = cJSON_GetObjectItemCaseSensitive(model, "attention");
    c->levels = cJSON_IsArray(multipliers) ? cJSON_GetArraySize(multipliers) : 0;
    if (c->levels < 1 || c->levels > ITO_UNET_MAX_LEVELS)
        return wrong(source, "multipliers", "a list of 1 to 8 numbers");
    if (!cJSON_IsArray(attention) || cJSON_GetArraySize(attention) != (int)c->levels)
        return wrong(source, "attention", "a list as long as that of the multipliers");
    for (int i = 0; i < (int)c->levels; i++) {
        const cJSON *here = cJSON_GetArrayItem(attention, i);
        if (!whole(cJSON_GetArrayItem(multipliers, i), &c->multipliers[i]))
            return wrong(source, "multipliers", "a list of whole numbers");
        if (!cJSON_IsBool(here))
            return wrong(source, "attention", "a list of true and false");
        c->attention[i] = cJSON_IsTrue(here);
    }
    return ITO_OK;
}

static ito_status get_model(const cJSON *root, const char *source, ito_unet_config *c)
{
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(root, "model");
    if (!cJSON_IsObject(model))
        return wrong(source, "model", "an object");
    for (size_t i = 0; i < NUMBERS; i++)
        if (!whole(cJSON_GetObjectItemCaseSensitive(model, numbers[i].name), number_at(c, i)))
            return wrong(source, numbers[i].name, "a whole number");
    const cJSON *dropout = cJSON_GetObjectItemCaseSensitive(model, "dropout");
    if (!cJSON_IsNumber(dropout))
        return wrong(source, "dropout", "a number");
    c->dropout = dropout->valuedouble;
    /* Files of earlier versions, whose networks took no labels, do not have it. */
    const cJSON *classes = cJSON_GetObjectItemCaseSensitive(model, "classes");
    if (classes != NULL && !whole(classes, &c->classes))
        return wrong(source, "classes", "a whole number");
    if (!optional_truth(model, "self_condition", &c->self_condition))
        return wrong(source, "self_condition", "true or false");
    ito_status status = get_levels(model, source, c);
    return status == ITO_OK ? unet_config_resolve(c) : status;
}

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static ito_status get_betas(const cJSON *d, const char *source, ito_diffusion_options *o)
{
    const cJSON *start = cJSON_GetObjectItemCaseSensitive(d, "beta_start");
    const cJSON *end = cJSON_GetObjectItemCaseSensitive(d, "beta_end");
    if (!cJSON_IsNumber(start))
        return wrong(source, "beta_start", "a number");
    if (!cJSON_IsNumber(end))
        return wrong(source, "beta_end", "a number");
    o->betas.beta_start = start->valuedouble;
    o->betas.beta_end = end->valuedouble;
    return ITO_OK;
}

/* What files of earlier versions have not, which had the defaults only. */
static ito_status get_training(const cJSON *d, const char *source, ito_diffusion_options *o)
{
    if (!optional_number(d, "gamma", &o->gamma))
        return wrong(source, "gamma", "a number");
    if (!optional_number(d, "k", &o->k))
        return wrong(source, "k", "a number");
    if (!optional_number(d, "sigma_data", &o->sigma_data))
        return wrong(source, "sigma_data", "a number");
    const char *weighting, *loss;
    if (!optional_text(d, "weighting", "simple", &weighting))
        return wrong(source, "weighting", "a text");
    if (!optional_text(d, "loss", "simple", &loss))
        return wrong(source, "loss", "a text");
    if (!optional_truth(d, "zero_terminal_snr", &o->betas.zero_terminal_snr))
        return wrong(source, "zero_terminal_snr", "true or false");
    o->weighting = ito_ddpm_weighting_find(weighting);
    o->loss = ito_ddpm_objective_find(loss);
    return o->weighting == NULL || o->loss == NULL ? ito_error_code() : ITO_OK;
}

static ito_status get_diffusion(const cJSON *root, const char *source, ito_diffusion_options *o)
{
    const cJSON *d = cJSON_GetObjectItemCaseSensitive(root, "diffusion");
    const char *schedule = text_of(d, "schedule"), *prediction = text_of(d, "prediction");
    const char *variance = text_of(d, "variance");
    if (!cJSON_IsObject(d))
        return wrong(source, "diffusion", "an object");
    if (schedule == NULL)
        return wrong(source, "schedule", "a text");
    if (variance == NULL)
        return wrong(source, "variance", "a text");
    if (prediction == NULL)
        return wrong(source, "prediction", "a text");
    if (!whole(cJSON_GetObjectItemCaseSensitive(d, "steps"), &o->steps))
        return wrong(source, "steps", "a whole number");
    if (o->steps == 0) /* the options would take it for the default */
        return error_status(ITO_ERR_FORMAT,
                            "%s: the diffusion has 0 steps; it must have at least 1", source);
    o->prediction = ito_ddpm_prediction_find(prediction);
    o->schedule = ito_ddpm_betas_find(schedule);
    o->variance = ito_ddpm_variance_find(variance);
    if (o->prediction == NULL || o->schedule == NULL || o->variance == NULL)
        return ito_error_code();
    if (o->schedule->ranged && get_betas(d, source, o) != ITO_OK)
        return ito_error_code();
    if (get_training(d, source, o) != ITO_OK)
        return ito_error_code();
    ito_diffusion *built = ito_diffusion_create_with(*o);
    if (built == NULL)
        return ito_error_code();
    ito_diffusion_free(built);
    return ITO_OK;
}

ito_status ito_ddpm_settings_parse(const char *text, const char *source, ito_ddpm_settings *out)
{
    ito_ddpm_settings s = {.model = {.levels = 0}};
    cJSON *root = cJSON_Parse(text);
    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        return error_status(ITO_ERR_FORMAT, "%s: the settings are not a JSON object", source);
    }
    ito_status status = get_model(root, source, &s.model);
    if (status == ITO_OK)
        status = get_diffusion(root, source, &s.diffusion);
    cJSON_Delete(root);
    if (status == ITO_OK)
        *out = s;
    return status;
}
