/* A diffusers directory written.
 * Invariant: the directory is complete, or nothing is at its place. */
#include "models/ddpm/diffusers/internal.h"

#include "nn/checkpoint_dir.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the directory on its way ---- */

/* Each of its files and directories, those in a directory before it. */
static const char *const parts[] = {
    "unet/diffusion_pytorch_model.safetensors", "unet/config.json", "unet",
    "scheduler/scheduler_config.json",          "scheduler",        "model_index.json"};

static void abandon(const char *temporary)
{
    int fd = system_open_directory(temporary);
    for (size_t i = 0; fd >= 0 && i < sizeof parts / sizeof parts[0]; i++)
        if (unlinkat(fd, parts[i], 0) != 0)
            unlinkat(fd, parts[i], AT_REMOVEDIR);
    if (fd >= 0)
        close(fd);
    rmdir(temporary);
}

static bool make(const char *dir, const char *name)
{
    char *path = checkpoint_path(dir, name);
    bool good = path != NULL && mkdir(path, 0777) == 0;
    if (path != NULL && !good)
        file_system_error(path, "make the directory");
    free(path);
    return good;
}

/* A name beside dir, which may end in a slash. */
static char *temporary_name(const char *dir)
{
    size_t length = strlen(dir);
    while (length > 1 && dir[length - 1] == '/')
        length--;
    char *name = struct_alloc(length + 24);
    if (name != NULL)
        snprintf(name, length + 24, "%.*s.tmp-%ld", (int)length, dir, (long)getpid());
    return name;
}

/* Only a directory that is not there, or is empty, is made way for. */
static bool put_in_place(const char *temporary, const char *dir)
{
    if (rename(temporary, dir) == 0)
        return true;
    if (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR)
        file_error(ITO_ERR_IO, dir, "it is there already; name a directory that is new or empty");
    else
        file_system_error(dir, "put the directory in its place");
    return false;
}

/* ---- its files ---- */

/* Takes over the object, which may be NULL. */
static bool write_json(const char *dir, const char *name, cJSON *o)
{
    char *path = o != NULL ? checkpoint_path(dir, name) : NULL;
    char *text = path != NULL ? cJSON_Print(o) : NULL;
    size_t length = text != NULL ? strlen(text) : 0;
    if (path != NULL && text == NULL)
        error_status(ITO_ERR_MEMORY, "save_diffusers: no memory for %s", name);
    if (text != NULL)
        text[length] = '\n'; /* in the place of the 0 */
    bool good = text != NULL && file_write_atomic(path, text, length + 1) == ITO_OK;
    cJSON_Delete(o);
    cJSON_free(text);
    free(path);
    return good;
}

/* With Ito's settings, for what no config.json says: names of classes, the loss. */
static bool write_weights(const char *dir, const ito_ddpm *m, bool bf16)
{
    char step[24], *text = struct_alloc(strlen(m->text) + 1);
    char *path = checkpoint_path(dir, parts[0]);
    const char *keys[] = {"format", ITO_DDPM_SETTINGS_KEY, ITO_DDPM_STEP_KEY};
    const char *values[] = {"pt", text, step};
    bool good = text != NULL && path != NULL;
    if (good) {
        cJSON_Minify(strcpy(text, m->text));
        snprintf(step, sizeof step, "%" PRId64, m->step);
        good = ito_module_save(&m->unet->base, path, .bf16 = bf16, .metadata_keys = keys,
                               .metadata_values = values, .n_metadata = 3) == ITO_OK;
    }
    free(text);
    free(path);
    return good;
}

static cJSON *index_json(const char *scheduler)
{
    const char *const unet[] = {"diffusers", "UNet2DModel"}, *const own[] = {"diffusers",
                                                                             scheduler};
    cJSON *o = cJSON_CreateObject();
    if (cJSON_AddStringToObject(o, "_class_name", "DDPMPipeline") != NULL &&
        cJSON_AddStringToObject(o, "_diffusers_version", DIFFUSERS_VERSION) != NULL &&
        diffusers_put(o, "scheduler", cJSON_CreateStringArray(own, 2)) &&
        diffusers_put(o, "unet", cJSON_CreateStringArray(unet, 2)))
        return o;
    cJSON_Delete(o);
    return error_null(ITO_ERR_MEMORY, "save_diffusers: no memory for model_index.json");
}

/* A pipeline gives its network no labels. */
static bool write_index(const char *dir, const ito_ddpm *m, const char *scheduler, char **notes)
{
    const ito_unet_config *c = &m->settings.model;
    if (c->classes == 0 && c->class_kind == ITO_UNET_CLASS_OR_NONE)
        return write_json(dir, "model_index.json", index_json(scheduler));
    return diffusers_note(notes, "DDPMPipeline gives no labels, and the network takes them: there "
                                 "is no model_index.json; load unet/ and scheduler/ by themselves");
}

/* The objects are taken over. */
static bool write_all(const char *temporary, const ito_ddpm *m, cJSON *unet, cJSON *scheduler,
                      bool bf16, char **notes)
{
    char class[64];
    snprintf(class, sizeof class, "%s",
             cJSON_GetStringValue(cJSON_GetObjectItem(scheduler, "_class_name")));
    bool made = make(temporary, "") && make(temporary, "unet") && make(temporary, "scheduler");
    if (!made) {
        cJSON_Delete(unet);
        cJSON_Delete(scheduler);
        return false;
    }
    bool good = write_json(temporary, "unet/config.json", unet);
    good = write_json(temporary, "scheduler/scheduler_config.json", scheduler) && good;
    return good && write_weights(temporary, m, bf16) && write_index(temporary, m, class, notes);
}

/* The settings are made first: what has no form there is found before anything is written. */
static bool save(const ito_ddpm *m, const char *dir, bool bf16, char **notes)
{
    cJSON *unet = diffusers_unet_json(&m->settings.model);
    cJSON *scheduler =
        unet != NULL ? diffusers_scheduler_json(m->diffusion, &m->sampling, notes) : NULL;
    char *temporary = scheduler != NULL ? temporary_name(dir) : NULL;
    if (temporary == NULL) {
        cJSON_Delete(unet);
        cJSON_Delete(scheduler);
        return false;
    }
    abandon(temporary); /* of a process that had this number */
    bool good =
        write_all(temporary, m, unet, scheduler, bf16, notes) && put_in_place(temporary, dir);
    if (!good)
        abandon(temporary);
    free(temporary);
    return good;
}

ito_status ito_ddpm_save_diffusers_with(const ito_ddpm *m, const char *dir,
                                        ito_ddpm_save_diffusers_options options)
{
    if (m == NULL || m->unet == NULL || dir == NULL)
        return error_status(ITO_ERR_ARGUMENT, "save_diffusers: the %s is NULL",
                            dir != NULL ? "network" : "path");
    char *notes = NULL;
    bool good = save(m, dir, options.bf16, &notes);
    if (good && options.notes != NULL) {
        *options.notes = notes;
        notes = NULL;
    }
    free(notes);
    return good ? ITO_OK : ito_error_code();
}
