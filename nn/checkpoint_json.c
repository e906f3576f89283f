/* state.json:
 *     {"format": 1, "step": 3500, "position": 112000,
 *      "optimizer": {"kind": "adam", "steps": 3500}, "ema": {"updates": 3500},
 *      "generators": {"noise": {"seed": "1", "stream": "2", "offset": "3"}},
 *      "model_generators": {"dropout.generator": {...}}}
 * Numbers of 64 bits are strings, since JSON's numbers are doubles for most readers; the others are
 * below 2^53. */
#include "nn/checkpoint_json.h"
#include "nn/checkpoint_dir.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define JSON_MAX_INTEGER 9007199254740992.0 /* 2^53 */
enum { JSON_MAX_BYTES = 1 << 24, FORMAT = 1 };

/* ---- writing -----------------------------------------------------------------------------------
 */

static bool add_u64(cJSON *to, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return cJSON_AddStringToObject(to, name, text) != NULL;
}

static bool add_generators(cJSON *to, const char *key, int64_t n, const char *const *names,
                           ito_generator *const *generators)
{
    cJSON *all = cJSON_AddObjectToObject(to, key);
    bool done = all != NULL;
    for (int64_t i = 0; i < n && done; i++) {
        cJSON *one = cJSON_AddObjectToObject(all, names[i]);
        done = one != NULL && add_u64(one, "seed", generators[i]->seed) &&
               add_u64(one, "stream", generators[i]->stream) &&
               add_u64(one, "offset", generators[i]->offset);
    }
    return done;
}

static bool add_number(cJSON *to, const char *name, int64_t value)
{
    return to != NULL && cJSON_AddNumberToObject(to, name, (double)value) != NULL;
}

static bool add_counters(cJSON *to, const ito_training_state *s)
{
    bool done = add_number(to, "format", FORMAT) && add_number(to, "step", s->step) &&
                add_number(to, "position", s->position);
    if (done && s->optimizer != NULL) {
        cJSON *o = cJSON_AddObjectToObject(to, "optimizer");
        done = add_number(o, "steps", ito_optimizer_steps(s->optimizer)) &&
               cJSON_AddStringToObject(o, "kind", ito_optimizer_kind(s->optimizer)) != NULL;
    }
    if (done && s->ema != NULL)
        done = add_number(cJSON_AddObjectToObject(to, "ema"), "updates", ito_ema_updates(s->ema));
    return done;
}

static bool add_model_generators(cJSON *to, const ito_training_state *s)
{
    if (s->model == NULL)
        return true;
    ito_named_generators *g = ito_module_generators(s->model);
    bool done = g != NULL && add_generators(to, "model_generators", g->n, g->names, g->generators);
    ito_named_generators_free(g);
    return done;
}

/* Freed with cJSON_free; NULL and ITO_ERR_MEMORY. */
static char *state_text(const ito_training_state *s)
{
    cJSON *json = cJSON_CreateObject();
    char *text = NULL;
    if (json != NULL && add_counters(json, s) &&
        add_generators(json, "generators", s->n_generators, s->generator_names, s->generators) &&
        add_model_generators(json, s))
        text = cJSON_Print(json);
    cJSON_Delete(json);
    if (text == NULL)
        ito_error_set(ITO_ERR_MEMORY, "checkpoint: no memory for state.json");
    return text;
}

ito_status checkpoint_json_write(const char *dir, const ito_training_state *s)
{
    char *path = checkpoint_path(dir, "state.json"), *text = path == NULL ? NULL : state_text(s);
    ito_status status = ITO_ERR_MEMORY;
    if (text != NULL)
        status = ito_file_write(path, text, strlen(text));
    cJSON_free(text);
    free(path);
    return status;
}

/* ---- reading -----------------------------------------------------------------------------------
 */

/* A file that is being checked: its path, for messages, and the first error. */
typedef struct reading {
    const char *path;
    ito_status status;
} reading;

static void fault(reading *r, const char *where, const char *what)
{
    if (r->status == ITO_OK)
        r->status = file_error(ITO_ERR_FORMAT, r->path, "\"%s\" %s", where, what);
}

static const cJSON *object_in(reading *r, const cJSON *in, const char *name)
{
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(in, name);
    if (!cJSON_IsObject(found))
        fault(r, name, "is missing or no object");
    return found;
}

static int64_t number_in(reading *r, const cJSON *in, const char *name)
{
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(in, name);
    double value = cJSON_IsNumber(found) ? found->valuedouble : -1;
    if (!(value >= 0 && value <= JSON_MAX_INTEGER) || value != (double)(int64_t)value) {
        fault(r, name, "is missing or no integer from 0 to 2^53");
        return 0;
    }
    return (int64_t)value;
}

static uint64_t u64_in(reading *r, const cJSON *in, const char *name, const char *where)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(in, name));
    char *end = NULL;
    errno = 0;
    bool digits = text != NULL && text[0] >= '0' && text[0] <= '9';
    uint64_t value = digits ? strtoull(text, &end, 10) : 0;
    if (!digits || *end != '\0' || errno != 0)
        fault(r, where, "does not have seed, stream and offset as strings of 64-bit numbers");
    return value;
}

static void read_generators(reading *r, const cJSON *json, const char *key, int64_t n,
                            const char *const *names, ito_generator *out)
{
    const cJSON *all = n > 0 ? object_in(r, json, key) : NULL;
    for (int64_t i = 0; i < n && r->status == ITO_OK; i++) {
        const cJSON *one = cJSON_GetObjectItemCaseSensitive(all, names[i]);
        if (!cJSON_IsObject(one)) {
            fault(r, names[i], "is missing among the generators");
            return;
        }
        out[i] = (ito_generator){.seed = u64_in(r, one, "seed", names[i]),
                                 .stream = u64_in(r, one, "stream", names[i]),
                                 .offset = u64_in(r, one, "offset", names[i])};
    }
}

static void read_counters(checkpoint_json *j, reading *r, const cJSON *json,
                          const ito_training_state *s)
{
    if (number_in(r, json, "format") != FORMAT)
        fault(r, "format", "is not 1, the one that this version reads");
    j->step = number_in(r, json, "step");
    j->position = number_in(r, json, "position");
    if (s->ema != NULL && r->status == ITO_OK)
        j->ema_updates = number_in(r, object_in(r, json, "ema"), "updates");
    if (s->optimizer == NULL || r->status != ITO_OK)
        return;
    const cJSON *optimizer = object_in(r, json, "optimizer");
    j->optimizer_steps = number_in(r, optimizer, "steps");
    const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(optimizer, "kind"));
    if (r->status == ITO_OK &&
        (kind == NULL || strcmp(kind, ito_optimizer_kind(s->optimizer)) != 0))
        r->status = file_error(ITO_ERR_FORMAT, r->path,
                               "the optimizer that was saved is %.40s, the one to be loaded is %s",
                               kind == NULL ? "nameless" : kind, ito_optimizer_kind(s->optimizer));
}

static ito_status read_json(checkpoint_json *j, const char *path, const cJSON *json,
                            const ito_training_state *s)
{
    if (!cJSON_IsObject(json))
        return file_error(ITO_ERR_FORMAT, path, "is no JSON object");
    reading r = {.path = path};
    read_counters(j, &r, json, s);
    int64_t of_model = 0;
    if (s->model != NULL) {
        j->model_generators = ito_module_generators(s->model);
        if (j->model_generators == NULL)
            return ITO_ERR_MEMORY;
        of_model = j->model_generators->n;
    }
    j->values = struct_alloc((size_t)(of_model + s->n_generators) * sizeof *j->values + 1);
    if (j->values == NULL)
        return ITO_ERR_MEMORY;
    if (r.status == ITO_OK && of_model > 0)
        read_generators(&r, json, "model_generators", of_model, j->model_generators->names,
                        j->values);
    if (r.status == ITO_OK)
        read_generators(&r, json, "generators", s->n_generators, s->generator_names,
                        j->values + of_model);
    return r.status;
}

/* The JSON of a file. cJSON returns NULL both for other text and when its allocator fails. If that
 * allocator recorded an error, as the library's does, the error stays. */
static ito_status parse_file(const char *path, cJSON **json)
{
    void *text = NULL;
    int64_t size = 0;
    ito_status status = file_read_all(path, JSON_MAX_BYTES, &text, &size);
    if (status != ITO_OK)
        return status;
    *json = cJSON_ParseWithLengthOpts(text, (size_t)size + 1, NULL, true);
    mem_free(text);
    if (*json != NULL)
        return ITO_OK;
    file_error(ITO_ERR_FORMAT, path, "is not JSON");
    return ito_error_code();
}

ito_status checkpoint_json_read(checkpoint_json *j, const char *dir, const ito_training_state *s)
{
    *j = (checkpoint_json){0};
    char *path = checkpoint_path(dir, "state.json");
    if (path == NULL)
        return ITO_ERR_MEMORY;
    cJSON *json = NULL;
    ito_status status = parse_file(path, &json);
    if (status == ITO_OK)
        status = read_json(j, path, json, s);
    cJSON_Delete(json);
    free(path);
    return status;
}

void checkpoint_json_commit(const checkpoint_json *j, ito_training_state *s)
{
    s->step = j->step;
    s->position = j->position;
    if (s->optimizer != NULL)
        ito_optimizer_set_steps(s->optimizer, j->optimizer_steps);
    if (s->ema != NULL)
        ito_ema_set_updates(s->ema, j->ema_updates);
    int64_t of_model = j->model_generators == NULL ? 0 : j->model_generators->n;
    for (int64_t i = 0; i < of_model; i++)
        *j->model_generators->generators[i] = j->values[i];
    for (int64_t i = 0; i < s->n_generators; i++)
        *s->generators[i] = j->values[of_model + i];
}

void checkpoint_json_free(checkpoint_json *j)
{
    ito_named_generators_free(j->model_generators);
    free(j->values);
    *j = (checkpoint_json){0};
}

/* ---- reading without loading -------------------------------------------------------------------
 */

ito_status checkpoint_json_check_settings(const char *text)
{
    cJSON *json = cJSON_ParseWithOpts(text, NULL, true);
    bool object = cJSON_IsObject(json);
    cJSON_Delete(json);
    if (object)
        return ITO_OK;
    ito_error_set(ITO_ERR_ARGUMENT, "checkpoint: settings are no JSON object");
    return ito_error_code();
}

char *ito_checkpoint_settings(const char *path)
{
    if (path == NULL) {
        error_missing("checkpoint_settings", "the path");
        return NULL;
    }
    char *file = checkpoint_path(path, "settings.json");
    if (file == NULL)
        return NULL;
    void *text = NULL;
    int64_t size = 0;
    char *copy = NULL;
    cJSON *json = NULL;
    if (file_read_all(file, JSON_MAX_BYTES, &text, &size) == ITO_OK) {
        json = cJSON_ParseWithLengthOpts(text, (size_t)size + 1, NULL, true);
        if (cJSON_IsObject(json))
            copy = struct_alloc((size_t)size + 1);
        else
            file_error(ITO_ERR_FORMAT, file, "is no JSON object");
    }
    if (copy != NULL)
        memcpy(copy, text, (size_t)size);
    cJSON_Delete(json);
    mem_free(text);
    free(file);
    return copy;
}

int64_t ito_checkpoint_step(const char *path)
{
    if (path == NULL) {
        error_missing("checkpoint_step", "the path");
        return -1;
    }
    checkpoint_json j;
    ito_status status = checkpoint_json_read(&j, path, &(ito_training_state){0});
    int64_t step = status == ITO_OK ? j.step : -1;
    checkpoint_json_free(&j);
    return step;
}
