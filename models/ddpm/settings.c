/* The settings of a network and its diffusion, written to and read from JSON, by one table of
 * fields each. Invariant: a network and a diffusion can be built from parsed settings. */
#include "models/ddpm/settings.h"

#include "models/ddpm/diffusion_internal.h"
#include "models/ddpm/network/unet_config.h"
#include "tensor/internal.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum field_kind {
    WHOLE, /* int64_t */
    REAL,  /* double */
    TRUTH, /* bool; written where it is true */
    DTYPE, /* ito_dtype; written by its name where it is not f32 */
    NAMED, /* an enum; written by its name */
    CHOICE /* pointer to a choice; written by its name */
} field_kind;

typedef struct field {
    const char *name;
    field_kind kind;
    size_t offset;            /* in the struct */
    bool optional;            /* files of earlier versions may lack it: the default applies */
    bool sparse;              /* written where it is not 0 */
    const char *const *names; /* NAMED: of its values, in their order, and NULL */
    const char *choices;      /* CHOICE: the kind of choices.h */
    const void *omitted;      /* CHOICE: this one is not written, as in files of earlier versions */
    unsigned when; /* of the diffusion: only where a choice before it uses one of these */
} field;

#define MODEL(name) #name, WHOLE, offsetof(ito_unet_config, name)
/* What files of earlier versions lack; 0 is what they had. */
#define LATER(member, its_kind)                                                                    \
    .name = #member, .kind = its_kind, .offset = offsetof(ito_unet_config, member),                \
    .optional = true, .sparse = true

static const char *const middles[] = {"attention", "no_attention", "none", NULL};
static const char *const activations[] = {"silu", "gelu", "mish", "relu", NULL};
static const char *const times[] = {"sines", "fourier", "learned", NULL};
static const char *const class_kinds[] = {"or_none", "always", "timestep", "embedded", NULL};
static const char *const up_attentions[] = {"as_down", "attention", "no_attention", NULL};

static const field model_fields[] = {
    {MODEL(in_channels), .optional = false},
    {MODEL(out_channels), .optional = false},
    {MODEL(height), .optional = false},
    {MODEL(width), .optional = false},
    {MODEL(channels), .optional = false},
    {MODEL(blocks), .optional = false},
    {MODEL(groups), .optional = false},
    {"dropout", REAL, offsetof(ito_unet_config, dropout), .optional = false},
    {MODEL(classes), .optional = true},
    {"self_condition", TRUTH, offsetof(ito_unet_config, self_condition), .optional = true},
    {"dtype", DTYPE, offsetof(ito_unet_config, dtype), .optional = true},
    {LATER(head_channels, WHOLE)},
    {LATER(middle, NAMED), .names = middles},
    {LATER(middle_attention_groups, WHOLE)},
    {LATER(middle_scale, REAL)},
    {LATER(downsample_padding, WHOLE)},
    {LATER(activation, NAMED), .names = activations},
    {LATER(norm_eps, REAL)},
    {LATER(scale_shift, TRUTH)},
    {LATER(time, NAMED), .names = times},
    {LATER(times, WHOLE)},
    {LATER(freq_divisor, WHOLE)},
    {LATER(flip_sin_to_cos, TRUTH)},
    {LATER(time_channels, WHOLE)},
    {LATER(class_kind, NAMED), .names = class_kinds},
    {LATER(center_input, TRUTH)},
};

/* Lists with a value for each level; the first tells how many there are. */
static const field level_fields[] = {
    {MODEL(multipliers), .optional = false},
    {"attention", TRUTH, offsetof(ito_unet_config, attention), .optional = false},
    {LATER(up_attention, NAMED), .names = up_attentions},
    {LATER(widths, WHOLE)},
    {LATER(down_resnet, TRUTH)},
    {LATER(up_resnet, TRUTH)},
};

#define DIFFUSION(member) offsetof(ito_diffusion_options, member)

static const field diffusion_fields[] = {
    {"schedule", CHOICE, DIFFUSION(schedule), .choices = "schedule"},
    {"steps", WHOLE, DIFFUSION(steps), .optional = false},
    {"beta_start", REAL, DIFFUSION(beta_start), .when = ITO_USES_BETAS},
    {"beta_end", REAL, DIFFUSION(beta_end), .when = ITO_USES_BETAS},
    {"sigma_min", REAL, DIFFUSION(sigma_min), .when = ITO_USES_SIGMAS},
    {"sigma_max", REAL, DIFFUSION(sigma_max), .when = ITO_USES_SIGMAS},
    {"shift", REAL, DIFFUSION(shift), .optional = true, .when = ITO_USES_SHIFT},
    {"zero_terminal_snr", TRUTH, DIFFUSION(zero_terminal_snr), .optional = true},
    {"prediction", CHOICE, DIFFUSION(prediction), .choices = "prediction"},
    {"time_input", CHOICE, DIFFUSION(time_input), .optional = true, .choices = "time_input",
     .omitted = &ito_time_input_timestep},
    {"variance", CHOICE, DIFFUSION(variance), .choices = "variance"},
    {"weighting", CHOICE, DIFFUSION(weighting), .optional = true, .choices = "weighting"},
    {"gamma", REAL, DIFFUSION(gamma), .optional = true, .when = ITO_USES_GAMMA},
    {"k", REAL, DIFFUSION(k), .optional = true, .when = ITO_USES_K},
    {"sigma_data", REAL, DIFFUSION(sigma_data), .optional = true, .when = ITO_USES_SIGMA_DATA},
    {"loss", CHOICE, DIFFUSION(objective), .optional = true, .choices = "objective"},
};

#define COUNT(fields) (sizeof(fields) / sizeof(fields)[0])

static void *member_of(void *object, const field *f)
{
    return (char *)object + f->offset;
}

/* The options that the choices read so far use. */
static unsigned uses_of(const ito_diffusion_options *o)
{
    return (o->schedule != NULL ? o->schedule->uses : 0) |
           (o->prediction != NULL ? o->prediction->uses : 0) |
           (o->weighting != NULL ? o->weighting->uses : 0);
}

/* ---- to JSON ---- */

/* Write the name of a choice, which must find the same choice when the file is read. */
static bool put_choice(cJSON *object, const field *f, const ito_choice *choice)
{
    if (choice == f->omitted)
        return true;
    if (ito_choice_find(f->choices, choice->name) == choice)
        return cJSON_AddStringToObject(object, f->name, choice->name) != NULL;
    ito_error_set(ITO_ERR_ARGUMENT,
                  "settings: %s \"%s\" is not the one of that name, and cannot be written", f->name,
                  choice->name);
    return false;
}

static size_t size_of(field_kind kind)
{
    static const size_t sizes[] = {
        [WHOLE] = sizeof(int64_t),   [REAL] = sizeof(double),    [TRUTH] = sizeof(bool),
        [DTYPE] = sizeof(ito_dtype), [NAMED] = sizeof(unsigned), [CHOICE] = sizeof(void *)};
    static_assert(sizeof(ito_unet_middle) == sizeof(unsigned), "enums are as wide as int");
    return sizes[kind];
}

/* Whether n values are 0. */
static bool are_zero(const field *f, const void *values, int64_t n)
{
    const unsigned char *bytes = values;
    for (size_t i = 0; i < (size_t)n * size_of(f->kind); i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static const char *name_of(const field *f, const void *value)
{
    unsigned i;
    memcpy(&i, value, sizeof i); /* whichever enum it is */
    return f->names[i];
}

/* A value that has no rule of its own. */
static cJSON *item_of(const field *f, const void *value)
{
    return f->kind == WHOLE   ? cJSON_CreateNumber((double)*(const int64_t *)value)
           : f->kind == REAL  ? cJSON_CreateNumber(*(const double *)value)
           : f->kind == TRUTH ? cJSON_CreateBool(*(const bool *)value)
                              : cJSON_CreateString(name_of(f, value));
}

/* item, which may be NULL, is the object's, or gone. */
static bool put_item(cJSON *object, const char *name, cJSON *item)
{
    if (item != NULL && cJSON_AddItemToObject(object, name, item))
        return true;
    cJSON_Delete(item);
    return false;
}

static bool put_field(cJSON *object, const field *f, void *value)
{
    if (f->kind == CHOICE) {
        const ito_choice *choice;
        memcpy(&choice, value, sizeof choice); /* whatever kind of choice it points to */
        return put_choice(object, f, choice);
    }
    if (f->kind == DTYPE) {
        ito_dtype dtype = *(ito_dtype *)value;
        return dtype == ITO_F32 ||
               cJSON_AddStringToObject(object, f->name, ito_dtype_name(dtype)) != NULL;
    }
    if ((f->sparse || f->kind == TRUTH) && are_zero(f, value, 1))
        return true;
    return put_item(object, f->name, item_of(f, value));
}

static bool put_levels(cJSON *model, const field *f, const void *values, int64_t levels)
{
    if (f->sparse && are_zero(f, values, levels))
        return true;
    cJSON *list = cJSON_AddArrayToObject(model, f->name);
    bool good = list != NULL;
    for (int64_t i = 0; i < levels && good; i++)
        good = cJSON_AddItemToArray(
            list, item_of(f, (const char *)values + (size_t)i * size_of(f->kind)));
    return good;
}

static bool put_model(cJSON *root, ito_unet_config *c)
{
    cJSON *model = cJSON_AddObjectToObject(root, "model");
    bool good = model != NULL;
    for (size_t i = 0; i < COUNT(model_fields) && good; i++)
        good = put_field(model, &model_fields[i], member_of(c, &model_fields[i]));
    for (size_t i = 0; i < COUNT(level_fields) && good; i++)
        good = put_levels(model, &level_fields[i], member_of(c, &level_fields[i]), c->levels);
    return good;
}

/* Whether a setting is of the schedule, which a list of betas is in the place of. */
static bool of_schedule(const field *f)
{
    return f->offset == DIFFUSION(schedule) || f->offset == DIFFUSION(zero_terminal_snr) ||
           f->when & (ITO_USES_BETAS | ITO_USES_SIGMAS | ITO_USES_SHIFT);
}

static bool put_betas(cJSON *d, const ito_diffusion_options *o)
{
    int64_t T = o->steps == ITO_USUAL_STEPS ? 1000 : o->steps;
    return put_item(d, "betas", cJSON_CreateDoubleArray(o->betas, (int)T));
}

static bool put_diffusion(cJSON *root, ito_diffusion_options o)
{
    cJSON *d = cJSON_AddObjectToObject(root, "diffusion");
    fill_choices(&o);
    if (o.steps == ITO_USUAL_STEPS)
        o.steps = o.schedule->level != NULL ? 0 : 1000;
    if (isnan(o.gamma))
        o.gamma = o.weighting->gamma;
    if (isnan(o.k))
        o.k = o.weighting->k;
    if (isnan(o.sigma_data))
        o.sigma_data = o.prediction->uses & ITO_USES_SIGMA_DATA ? o.prediction->sigma_data
                                                                : o.weighting->sigma_data;
    bool good = d != NULL && (o.betas == NULL || put_betas(d, &o));
    for (size_t i = 0; i < COUNT(diffusion_fields) && good; i++) {
        const field *f = &diffusion_fields[i];
        if (o.betas != NULL && of_schedule(f))
            continue;
        if (f->when == 0 || f->when & uses_of(&o))
            good = put_field(d, f, member_of(&o, f));
    }
    return good;
}

char *ito_ddpm_settings_format(const ito_ddpm_settings *s)
{
    ito_unet_config model = s->model;
    if (unet_config_resolve(&model) != ITO_OK)
        return NULL;
    cJSON *root = cJSON_CreateObject();
    char *text = NULL;
    if (root != NULL && put_model(root, &model) && put_diffusion(root, s->diffusion))
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

static ito_status get_choice(const cJSON *item, const field *f, const char *source, void *value)
{
    if (!cJSON_IsString(item))
        return wrong(source, f->name, "a text");
    const ito_choice *choice = ito_choice_find(f->choices, item->valuestring);
    if (choice == NULL)
        return ito_error_code();
    memcpy(value, &choice, sizeof choice);
    return ITO_OK;
}

static ito_status get_dtype(const cJSON *item, const field *f, const char *source, ito_dtype *out)
{
    for (int d = 0; cJSON_IsString(item) && d < ITO_DTYPES; d++)
        if (strcmp(item->valuestring, ito_dtype_name((ito_dtype)d)) == 0) {
            *out = (ito_dtype)d;
            return ITO_OK;
        }
    return wrong(source, f->name, "the name of an element type");
}

static ito_status get_named(const cJSON *item, const field *f, const char *source, void *value)
{
    char names[200] = "one of";
    for (unsigned i = 0; f->names[i] != NULL; i++) {
        if (cJSON_IsString(item) && strcmp(item->valuestring, f->names[i]) == 0) {
            memcpy(value, &i, sizeof i);
            return ITO_OK;
        }
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, " \"%s\"%s", f->names[i],
                 f->names[i + 1] != NULL ? "," : "");
    }
    return wrong(source, f->name, names);
}

/* A value that has no rule of its own. */
static bool get_plain(const cJSON *item, const field *f, void *value)
{
    if (f->kind == WHOLE)
        return whole(item, value);
    if (!(f->kind == REAL ? cJSON_IsNumber(item) : cJSON_IsBool(item)))
        return false;
    if (f->kind == REAL)
        *(double *)value = item->valuedouble;
    else
        *(bool *)value = cJSON_IsTrue(item);
    return true;
}

static ito_status get_field(const cJSON *object, const field *f, const char *source, void *value)
{
    static const char *const wanted[] = {"a whole number", "a number", "true or false"};
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, f->name);
    if (item == NULL && f->optional)
        return ITO_OK;
    if (f->kind == CHOICE)
        return get_choice(item, f, source, value);
    if (f->kind == DTYPE)
        return get_dtype(item, f, source, value);
    if (f->kind == NAMED)
        return get_named(item, f, source, value);
    return get_plain(item, f, value) ? ITO_OK : wrong(source, f->name, wanted[f->kind]);
}

static ito_status get_levels(const cJSON *model, const field *f, const char *source, int levels,
                             void *values)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(model, f->name);
    if (list == NULL && f->optional)
        return ITO_OK;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != levels)
        return wrong(source, f->name, "a list as long as that of the multipliers");
    for (int i = 0; i < levels; i++) {
        const cJSON *item = cJSON_GetArrayItem(list, i);
        void *value = (char *)values + (size_t)i * size_of(f->kind);
        if (f->kind == NAMED && get_named(item, f, source, value) != ITO_OK)
            return ITO_ERR_FORMAT;
        if (f->kind != NAMED && !get_plain(item, f, value))
            return wrong(source, f->name,
                         f->kind == WHOLE ? "a list of whole numbers" : "a list of true and false");
    }
    return ITO_OK;
}

static ito_status get_model(const cJSON *root, const char *source, ito_unet_config *c)
{
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(root, "model");
    if (!cJSON_IsObject(model))
        return wrong(source, "model", "an object");
    ito_status status = ITO_OK;
    for (size_t i = 0; i < COUNT(model_fields) && status == ITO_OK; i++)
        status = get_field(model, &model_fields[i], source, member_of(c, &model_fields[i]));
    if (status != ITO_OK)
        return status;
    const cJSON *multipliers = cJSON_GetObjectItemCaseSensitive(model, "multipliers");
    int levels = cJSON_IsArray(multipliers) ? cJSON_GetArraySize(multipliers) : 0;
    if (levels < 1 || levels > ITO_UNET_MAX_LEVELS)
        return wrong(source, "multipliers", "a list of 1 to 8 numbers");
    c->levels = levels;
    for (size_t i = 0; i < COUNT(level_fields) && status == ITO_OK; i++)
        status =
            get_levels(model, &level_fields[i], source, levels, member_of(c, &level_fields[i]));
    return status == ITO_OK ? unet_config_resolve(c) : status;
}

/* A list of betas in the place of a schedule. */
static ito_status get_betas(const cJSON *d, const char *source, ito_ddpm_settings *s)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(d, "betas"), *item;
    int64_t n = 0;
    bool good = cJSON_IsArray(list) && cJSON_GetArraySize(list) > 0;
    if (list == NULL)
        return ITO_OK;
    if (good &&
        (s->betas = struct_alloc((size_t)cJSON_GetArraySize(list) * sizeof(double))) == NULL)
        return ITO_ERR_MEMORY;
    cJSON_ArrayForEach(item, list)
    {
        good = good && cJSON_IsNumber(item);
        if (good)
            s->betas[n++] = item->valuedouble;
    }
    s->diffusion.betas = s->betas;
    return good ? ITO_OK : wrong(source, "betas", "a list of numbers");
}

static ito_status get_diffusion(const cJSON *root, const char *source, ito_ddpm_settings *s)
{
    const cJSON *d = cJSON_GetObjectItemCaseSensitive(root, "diffusion");
    ito_diffusion_options *o = &s->diffusion;
    if (!cJSON_IsObject(d))
        return wrong(source, "diffusion", "an object");
    ito_status status = get_betas(d, source, s);
    for (size_t i = 0; i < COUNT(diffusion_fields) && status == ITO_OK; i++) {
        const field *f = &diffusion_fields[i];
        if (o->betas != NULL && of_schedule(f))
            continue;
        /* An optional number that no choice uses is read too, and refused with them below. */
        if (f->when == 0 || f->optional || f->when & uses_of(o))
            status = get_field(d, f, source, member_of(o, f));
    }
    if (status != ITO_OK)
        return status;
    if (o->steps < 0)
        return wrong(source, "steps", "a whole number from 0 on");
    if (o->betas != NULL &&
        o->steps != cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(d, "betas")))
        return wrong(source, "betas", "as many numbers as there are steps");
    fill_choices(o);
    ito_diffusion *built = ito_diffusion_create_with(*o);
    if (built == NULL)
        return ito_error_code();
    ito_diffusion_free(built);
    return ITO_OK;
}

ito_status ito_ddpm_settings_parse(const char *text, const char *source, ito_ddpm_settings *out)
{
    ito_ddpm_settings s = {.model = {.levels = 0}, .diffusion = ITO_OPTIONS(ito_diffusion_options)};
    cJSON *root = cJSON_Parse(text);
    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        error_status(ITO_ERR_FORMAT, "%s: the settings are not a JSON object", source);
        return ito_error_code(); /* no memory for them, if that is why */
    }
    ito_status status = get_model(root, source, &s.model);
    if (status == ITO_OK)
        status = get_diffusion(root, source, &s);
    cJSON_Delete(root);
    if (status == ITO_OK)
        *out = s;
    else
        free(s.betas);
    return status;
}
