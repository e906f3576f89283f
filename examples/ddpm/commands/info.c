/* ito-ddpm info: the contents of a file or directory, after all of it was read and verified.
 * Invariant: all that is printed was read from the file, and a damaged file is an error. */
#include "examples/common/file_kinds.h"
#include "examples/common/idx_directory.h"
#include "examples/common/paths.h"
#include "examples/common/results.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/commands/info_folder.h"
#include "examples/ddpm/commands/info_run.h"
#include "examples/ddpm/commands/info_weights.h"
#include "examples/ddpm/data.h"
#include "examples/ddpm/model_files.h"
#include "examples/ddpm/run_directory.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdlib.h>
#include <string.h>

typedef struct info_options {
    bool json, tensors;
} info_options;

#define AT(field) offsetof(info_options, field)

static const option_row rows[] = {
    FLAG_ROW("tensors", tensors, "List all tensors, however many"),
    FLAG_ROW("json", json, "Print one JSON object, which has them"),
    END_ROW,
};

static const char doc[] =
    "Say what a file or directory holds, having verified it: a run, a checkpoint, a safetensors, "
    "PyTorch, npy, npz, IDX or image file, an index of files of weights, one of ito-ddpm compress "
    "or prepare, or a directory of images, of IDX files, of CIFAR-10 or of diffusers, also as "
    "--data names it; or " BUILT_IN
    ", the network that comes with ito-ddpm. Of images in a directory all are read, and each file "
    "that is left out is named, with the reason."
    "\v"
    "Examples:\n"
    "  ito-ddpm info run\n"
    "  ito-ddpm info run/checkpoints/step-3500/ema.safetensors --tensors\n"
    "  ito-ddpm info boot.ito\n"
    "  ito-ddpm info photos/\n"
    "  ito-ddpm info folder:photos\n\n"
    "Exit codes: 0 sound, 1 damaged or unknown, 2 wrong usage.";

/* Each part below adds members to an object, which is printed at the end in either form. False with
 * an error recorded. */

static bool no_memory(const char *path)
{
    ito_error_set(ITO_ERR_MEMORY, "%s: no memory to describe it", path);
    return false;
}

/* ---- tensors ---- */

/* Least, largest and mean of x, unless it is empty. */
static bool put_statistics(cJSON *o, ito_tensor *x)
{
    if (ito_numel(x) == 0)
        return true;
    ito_tensor *y = ito_cast(x, ITO_F64);
    ito_tensor *low = ito_min(y), *high = ito_max(y), *mean = ito_mean(y);
    if (low == NULL || high == NULL || mean == NULL)
        return false;
    return result_number(o, "least", ito_item(low)) &&
           result_number(o, "largest", ito_item(high)) && result_number(o, "mean", ito_item(mean));
}

static bool put_tensor(cJSON *o, ito_tensor *x)
{
    char shape[160];
    return result_text(o, "dtype", ito_dtype_name(ito_dtype_of(x))) &&
           result_text(o, "shape", info_shape_text(shape, ito_shape_of(x))) && put_statistics(o, x);
}

static bool describe_safetensors(cJSON *o, const char *path)
{
    ito_safetensors *f = ito_safetensors_open(path);
    bool good = f != NULL && info_safetensors(o, f);
    ito_safetensors_close(f);
    return good;
}

static bool describe_built_in(cJSON *o)
{
    ito_ddpm *model = ito_ddpm_fashion_mnist();
    bool good = model != NULL && info_safetensors(o, model->file);
    ito_ddpm_free(model);
    return good;
}

static bool describe_images(cJSON *o, const char *kind, ito_tensor *images)
{
    return images != NULL && result_text(o, "kind", kind) &&
           result_number(o, "images", (double)ito_size(images, 0)) && put_tensor(o, images);
}

static bool describe_npy(cJSON *o, const char *path)
{
    ito_tensor *x = ito_npy_load(path);
    return x != NULL && result_text(o, "kind", "npy file") && put_tensor(o, x);
}

/* One array, read so that its checksum is compared. */
static bool put_array(cJSON *list, const ito_npz *f, const char *name)
{
    ito_scope_begin();
    ito_tensor *x = ito_npz_read(f, name);
    cJSON *item = x != NULL ? cJSON_AddObjectToObject(list, name) : NULL;
    bool good = item != NULL && put_tensor(item, x);
    ito_scope_end();
    return good;
}

static bool describe_npz(cJSON *o, const char *path)
{
    ito_npz *f = ito_npz_open(path);
    int64_t n = ito_npz_count(f);
    bool good =
        f != NULL && result_text(o, "kind", "npz archive") && result_number(o, "arrays", (double)n);
    cJSON *list = good ? cJSON_AddObjectToObject(o, "contents") : NULL;
    for (int64_t i = 0; i < n && good; i++)
        good = list != NULL && put_array(list, f, ito_npz_name(f, i));
    ito_npz_close(f);
    return good;
}

static bool describe_idx(cJSON *o, const char *path)
{
    ito_tensor *x = ito_idx_load(path);
    if (x != NULL && ito_ndim(x) == 3)
        return describe_images(o, "IDX file of images", ito_unsqueeze(x, 1));
    return x != NULL && result_text(o, "kind", "IDX file") && put_tensor(o, x);
}

/* A list of the labels; nothing where there are none. */
static bool put_labels(cJSON *o, const ito_tensor *labels)
{
    cJSON *list = labels != NULL ? cJSON_AddArrayToObject(o, "classes") : NULL;
    bool good = labels == NULL || list != NULL;
    for (int64_t i = 0; good && labels != NULL && i < ito_numel(labels); i++)
        good = cJSON_AddItemToArray(
            list, cJSON_CreateNumber((double)((const int64_t *)ito_const_data(labels))[i]));
    return good;
}

static bool describe_compressed(cJSON *o, const char *path)
{
    ito_compressed_info info;
    int64_t size = 0;
    char shape[160];
    void *bytes = ito_file_read(path, (int64_t)1 << 32, &size);
    bool good = bytes != NULL && ito_compressed_inspect(bytes, size, path, &info) == ITO_OK;
    free(bytes);
    return good && result_text(o, "kind", "images compressed by ito-ddpm") &&
           result_number(o, "images", (double)info.shape.dim[0]) &&
           result_text(o, "shape", info_shape_text(shape, info.shape)) &&
           result_number(o, "bytes", (double)info.size) &&
           (size == info.size || result_number(o, "bytes_there", (double)size)) &&
           result_number(o, "bits_per_dim",
                         8.0 * (double)info.size / (double)ito_shape_numel(info.shape)) &&
           put_labels(o, info.labels) && result_number(o, "steps", (double)info.steps) &&
           result_number(o, "block_bits", info.block_bits) &&
           result_number(o, "candidate_bits", info.candidate_bits) &&
           result_number(o, "seed", (double)info.seed);
}

static bool describe_image(cJSON *o, const char *path)
{
    ito_tensor *x = ito_image_load(path, 3);
    return x != NULL && result_text(o, "kind", "image, as three channels") && put_tensor(o, x);
}

/* ---- checkpoints and runs ---- */

/* Verify one file of a checkpoint; its size goes into the object. */
static bool put_part(cJSON *o, const char *dir, const char *name)
{
    if (!path_has(dir, name))
        return true;
    char *path = path_join(dir, name);
    cJSON *part = cJSON_AddObjectToObject(o, name);
    bool good = path != NULL && part != NULL && describe_safetensors(part, path);
    if (good && strcmp(name, "model.safetensors") != 0)
        cJSON_DeleteItemFromObject(part, "contents");
    free(path);
    return good;
}

static bool put_settings(cJSON *o, const char *dir)
{
    char *source = path_join(dir, "state.json"), *text = ito_checkpoint_settings(dir);
    ito_ddpm_settings settings;
    bool good = source != NULL && text != NULL &&
                ito_ddpm_settings_parse(text, source, &settings) == ITO_OK &&
                cJSON_AddItemToObject(o, "settings", cJSON_Parse(text));
    free(source);
    free(text);
    return good;
}

static bool describe_checkpoint(cJSON *o, const char *dir)
{
    int64_t step = ito_checkpoint_step(dir);
    return step >= 0 && result_text(o, "kind", "checkpoint") &&
           result_number(o, "step", (double)step) && put_settings(o, dir) &&
           put_part(o, dir, "ema.safetensors") && put_part(o, dir, "optimizer.safetensors") &&
           put_part(o, dir, "model.safetensors");
}

static bool describe_run(cJSON *o, const char *dir)
{
    char *checkpoints = path_join(dir, "checkpoints");
    char *newest = NULL;
    cJSON *config = run_config(dir);
    bool good = checkpoints != NULL && result_text(o, "kind", "run") && config != NULL &&
                cJSON_AddItemToObject(o, "config", config);
    if (good && path_exists(checkpoints))
        newest = ito_checkpoint_latest(checkpoints);
    if (good && newest != NULL) {
        cJSON *part = cJSON_AddObjectToObject(o, "newest checkpoint");
        good =
            part != NULL && result_text(part, "path", newest) && describe_checkpoint(part, newest);
    } else {
        good =
            good && ito_error_code() == ITO_OK && result_text(o, "newest checkpoint", "none yet");
    }
    free(newest);
    free(checkpoints);
    return good;
}

/* ---- directories of diffusers ---- */

/* Each line of what reading it had to say. */
static bool put_notes(cJSON *o, char *notes)
{
    if (notes == NULL)
        return true;
    cJSON *list = cJSON_AddArrayToObject(o, "notes");
    bool good = list != NULL;
    char *rest;
    for (char *line = strtok_r(notes, "\n", &rest); good && line != NULL;
         line = strtok_r(NULL, "\n", &rest))
        good = cJSON_AddItemToArray(list, cJSON_CreateString(line));
    return good;
}

/* Its settings as ito-ddpm takes them, once all of its weights were read. */
static bool describe_diffusers(cJSON *o, const char *dir)
{
    ito_ddpm *model = ito_ddpm_load(dir);
    bool good =
        model != NULL && result_text(o, "kind", "directory of diffusers") &&
        result_text(o, "weights", model->path) &&
        result_number(o, "parameters", (double)ito_module_parameter_count(&model->unet->base)) &&
        cJSON_AddItemToObject(o, "settings", cJSON_Parse(model->text)) &&
        put_notes(o, model->notes);
    ito_ddpm_free(model);
    return good;
}

/* ---- kinds of files ---- */

/* The names that the classes have as --data. */
static bool put_class_names(cJSON *o, const char *data)
{
    cJSON *names = data_class_names(data);
    if (names != NULL && cJSON_AddItemToObject(o, "class_names", names))
        return true;
    cJSON_Delete(names);
    return false;
}

static bool describe_directory(cJSON *o, const char *dir)
{
    if (path_has(dir, "state.json"))
        return describe_checkpoint(o, dir);
    if (!path_has(dir, "checkpoints") && ito_diffusers_is_directory(dir))
        return describe_diffusers(o, dir);
    if (path_has(dir, "config.json"))
        return describe_run(o, dir);
    char *idx = idx_directory_find(dir);
    if (idx != NULL) {
        bool good = describe_images(o, "IDX files, training images", idx_images_load(idx));
        free(idx);
        return good &&
               put_class_names(o, strcmp(dir, FASHION_MNIST) == 0 ? "fashion-mnist" : "mnist:DIR");
    }
    if (path_has(dir, "data_batch_1.bin") || path_has(dir, "cifar-10-batches-bin")) {
        ito_tensor *images, *labels;
        return ito_cifar10_load(dir, true, &images, &labels) == ITO_OK &&
               describe_images(o, "CIFAR-10, training images", images) &&
               put_class_names(o, "cifar10:DIR");
    }
    return info_folder(o, dir);
}

static bool describe_unknown(cJSON *o, const char *path)
{
    (void)o;
    ito_error_set(
        ITO_ERR_FORMAT,
        "%s: it is neither a safetensors, PyTorch, npy, npz, IDX, image nor compressed file", path);
    return false;
}

static bool describe(cJSON *o, const char *path)
{
    const char *place = path_exists(path) ? NULL : data_place(path);
    if (place != NULL)
        path = place;
    if (!path_exists(path) && strcmp(path, BUILT_IN) == 0)
        return result_text(o, "path", path) && describe_built_in(o);
    if (!path_exists(path))
        return path_failed(path, "open");
    if (!result_text(o, "path", path))
        return false;
    if (path_is_directory(path))
        return describe_directory(o, path);
    static bool (*const describe_file[FILE_KINDS])(cJSON *, const char *) = {
        describe_unknown, describe_safetensors, describe_npy,        describe_npz,
        describe_idx,     describe_image,       describe_compressed, info_other_weights};
    return describe_file[file_kind_of(path)](o, path);
}

/* ---- printing ---- */

/* Text from a file: control characters, which could control the terminal, are shown as '?'. */
static void print_text(const char *text)
{
    for (; *text != '\0'; text++)
        putchar((unsigned char)*text < ' ' || *text == 127 ? '?' : *text);
}

enum { FEW = 8 };

/* One line per member; members of objects are indented below their name. Lists of more than a few
 * tensors are left out unless they were asked for. */
static void print_object(const cJSON *o, int indent, bool tensors)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, o)
    {
        if (!tensors && strcmp(item->string, "contents") == 0 && cJSON_GetArraySize(item) > FEW)
            continue;
        printf("%*s", indent, "");
        print_text(item->string);
        putchar(':');
        if (cJSON_IsObject(item)) {
            putchar('\n');
            print_object(item, indent + 2, tensors);
        } else if (cJSON_IsString(item)) {
            putchar(' ');
            print_text(item->valuestring);
            putchar('\n');
        } else {
            char *text = cJSON_PrintUnformatted(item);
            printf(" %s\n", text != NULL ? text : "?");
            free(text);
        }
    }
}

/* A run in few words; its newest checkpoint in full if the tensors are wanted. */
static void print_words(const cJSON *root, const run_summary *run, bool tensors)
{
    if (run->dir == NULL) {
        print_object(root, 0, tensors);
        return;
    }
    info_run_print(run);
    if (tensors)
        print_object(cJSON_GetObjectItemCaseSensitive(root, "newest checkpoint"), 0, true);
}

/* How far a run is goes into its object, as list and compare say it too; nothing for what is no
 * run. */
static bool add_summary(cJSON *root, const char *path, run_summary *run)
{
    const cJSON *kind = cJSON_GetObjectItemCaseSensitive(root, "kind");
    if (!cJSON_IsString(kind) || strcmp(kind->valuestring, "run") != 0)
        return true;
    return run_summary_read(path, run) && run_summary_put(root, run);
}

int command_info(int argc, char **argv)
{
    info_options o = {.json = false};
    command_line c = {
        .command = "info", .arguments = "FILE|RUN|DIR", .doc = doc, .options = rows, .values = &o};
    options_parse(&c, argc, argv);
    options_require_argument(&c);
    ito_scope_begin();
    cJSON *root = cJSON_CreateObject();
    run_summary run = {.dir = NULL};
    bool good = root != NULL && describe(root, c.argument) && add_summary(root, c.argument, &run);
    if (!good && ito_error_code() == ITO_OK)
        no_memory(c.argument);
    int code = 0;
    if (good && o.json) {
        code = results_print_json("info", root);
        root = NULL;
    } else if (good) {
        print_words(root, &run, o.tensors);
        code = results_end("info", true);
    }
    if (ito_error_code() != ITO_OK) /* also of a part of what was described */
        code = options_report("info");
    run_summary_free(&run);
    cJSON_Delete(root);
    ito_scope_end();
    return code;
}
