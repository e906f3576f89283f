/* What ito-ddpm info says of a folder of images.
 * Invariant: each file of the folder is counted as an image or named with the reason why not. */
#include "examples/ddpm/commands/info_folder.h"

#include "examples/common/options.h"
#include "examples/common/results.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdio.h>

/* The number of images of each class. */
static bool put_classes(cJSON *o, const ito_image_folder *f)
{
    cJSON *counts = cJSON_AddObjectToObject(o, "images_of_class");
    int64_t i = 0;
    while (i < f->n_files && f->files[i].label < 0)
        i++;
    bool good = counts != NULL;
    for (int64_t k = 0; k < f->n_classes && good; k++) {
        int64_t n = 0;
        for (; i < f->n_files && f->files[i].label == k; i++)
            n += f->files[i].state == ITO_IMAGE_FILE_USED;
        good = result_number(counts, f->class_names[k], (double)n);
    }
    return good;
}

/* The sizes of the images, from the fewest pixels to the most: "28x28", "640x480 to 4000x3000". */
static bool put_sizes(cJSON *o, const ito_image_folder *f)
{
    ito_image_properties least = {.width = 0}, most = {.width = 0}, p;
    for (int64_t i = 0; i < f->n_files; i++) {
        if (f->files[i].state != ITO_IMAGE_FILE_USED || ito_image_info(f->files[i].path, &p))
            continue;
        if (least.width == 0 || p.width * p.height < least.width * least.height)
            least = p;
        if (p.width * p.height > most.width * most.height)
            most = p;
    }
    char text[96];
    int n = snprintf(text, sizeof text, "%" PRId64 "x%" PRId64, least.width, least.height);
    if (most.width != least.width || most.height != least.height)
        snprintf(text + n, sizeof text - (size_t)n, " to %" PRId64 "x%" PRId64, most.width,
                 most.height);
    return f->n_used == 0 || result_text(o, "sizes", text);
}

static int64_t images_beside(const ito_image_folder *f)
{
    int64_t n = 0;
    for (int64_t i = 0; i < f->n_files && f->files[i].label < 0; i++)
        n += f->files[i].state == ITO_IMAGE_FILE_USED;
    return n;
}

/* The files that are left out, bad ones or all others, with their reasons; nothing if there are
 * none. */
static bool put_files(cJSON *o, const char *name, const ito_image_folder *f, bool bad)
{
    if ((bad ? f->n_bad : f->n_files - f->n_used - f->n_bad) == 0)
        return true;
    cJSON *list = cJSON_AddObjectToObject(o, name);
    bool good = list != NULL;
    for (int64_t i = 0; i < f->n_files && good; i++) {
        const ito_image_folder_file *file = &f->files[i];
        if (file->reason != NULL && (file->state == ITO_IMAGE_FILE_BAD) == bad)
            good = result_text(list, file->name, file->reason);
    }
    return good;
}

static bool put_all(cJSON *o, const ito_image_folder *f)
{
    int64_t beside = images_beside(f);
    return result_text(o, "kind", "folder of images") &&
           result_number(o, "files", (double)f->n_files) &&
           result_number(o, "images", (double)f->n_used) && put_sizes(o, f) &&
           result_number(o, "classes", (double)f->n_classes) && put_classes(o, f) &&
           (beside == 0 || result_number(o, "images_beside_classes", (double)beside)) &&
           put_files(o, "left_out", f, false) && put_files(o, "bad_files", f, true);
}

/* Whether there is an image, be it one of a format that is not read. */
static bool has_images(const ito_image_folder *f)
{
    for (int64_t i = 0; i < f->n_files; i++)
        if (f->files[i].state != ITO_IMAGE_FILE_OTHER)
            return true;
    return false;
}

bool info_folder(cJSON *o, const char *dir)
{
    ito_image_folder *f = ito_image_folder_list(dir);
    const ito_tensor *images = ito_image_folder_load(f, 32, 3, NULL, .skip_bad = true);
    if (images != NULL && f->n_bad > 0)
        ito_error_set(ITO_ERR_FORMAT,
                      "%s: %" PRId64 " of its %" PRId64 " images cannot be read; train and others "
                      "go on without %s by --skip-bad",
                      dir, f->n_bad, f->n_used + f->n_bad, f->n_bad == 1 ? "it" : "them");
    bool good = f != NULL && has_images(f) && put_all(o, f);
    ito_image_folder_free(f);
    return good;
}
