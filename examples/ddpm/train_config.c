/* train --config.
 * Invariant: a setting is the command line's if it is given there, else the file's unless something
 * that it follows from is given, else what it would be without a file. */
#include "examples/ddpm/train_config.h"

#include "examples/common/settings.h"
#include "examples/ddpm/data.h"
#include "examples/ddpm/presets.h"
#include "examples/ddpm/recipes.h"
#include "examples/ddpm/run_directory.h"

#include <string.h>
#include <sys/stat.h>

/* Settings that have a value of their own in every config.json, though most runs leave them to
 * another option; those of a recipe know theirs. */
static const char *const follows[][2] = {
    {"flip", "data"},       {"loss", "variance"},      {"decay", "optimizer"},
    {"channels", "preset"}, {"multipliers", "preset"}, {"attention", "preset"},
    {"blocks", "preset"},   {"dropout", "preset"},     {"guidance-interval", "guidance"},
};

static int row_of(const char *name)
{
    int i = 0;
    while (train_rows[i].name == NULL || strcmp(train_rows[i].name, name) != 0)
        i++;
    return i;
}

/* Whether the command line gives this option another value than the file. */
static bool changed(const char *name, const train_options *o, const train_options *file,
                    const bool *given, const bool *found)
{
    int i = row_of(name);
    if (!given[i] || !found[i])
        return false;
    /* The file has the absolute path. */
    return strcmp(name, "data") == 0 ? !data_same_place(o->data, file->data)
                                     : !settings_same(&train_rows[i], o, file);
}

/* Whether a setting of the file goes with something that the command line says otherwise. */
static bool superseded(const char *name, const train_options *o, const train_options *file,
                       const bool *given, const bool *found)
{
    const char *owner = recipe_owner(name);
    if (owner != NULL && changed(owner, o, file, given, found))
        return true;
    for (size_t i = 0; i < sizeof follows / sizeof follows[0]; i++)
        if (strcmp(follows[i][0], name) == 0 && changed(follows[i][1], o, file, given, found))
            return true;
    return (given[row_of("recipe")] && recipe_has(ito_recipe_find(o->recipe), name)) ||
           (changed("preset", o, file, given, found) &&
            preset_value(preset_find(o->preset), name) != NULL);
}

/* {"options": ...} of the file alone: what else a run's config has is of that run. */
static cJSON *read_options(const char *path)
{
    struct stat info;
    bool run = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    cJSON *all = run ? run_config(path) : run_config_read(path), *root = NULL;
    if (all == NULL)
        return NULL;
    cJSON *options = cJSON_DetachItemFromObjectCaseSensitive(all, "options");
    cJSON_Delete(all);
    root = cJSON_CreateObject();
    if (root != NULL && cJSON_AddItemToObject(root, "options", options))
        return root;
    ito_error_set(ITO_ERR_MEMORY, "%s: no memory for its settings", path);
    cJSON_Delete(root);
    cJSON_Delete(options);
    return NULL;
}

bool train_config_read(train_options *o, const command_line *c, bool *known, cJSON **config)
{
    train_options file = {.preset = "small"};
    bool found[MAX_OPTIONS] = {false};
    *config = read_options(o->config);
    const cJSON *options = cJSON_GetObjectItemCaseSensitive(*config, "options");
    if (*config == NULL || !settings_known(options, train_rows, o->config) ||
        !settings_get(options, train_rows, &file, found, o->config))
        return false;
    for (int i = 0; train_rows[i].type != OPTION_END; i++) {
        bool taken =
            found[i] && !c->given[i] && !superseded(train_rows[i].name, o, &file, c->given, found);
        known[i] = c->given[i] || taken;
        if (taken)
            settings_copy(&train_rows[i], o, &file);
    }
    return true;
}
