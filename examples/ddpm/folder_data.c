/* Folders of images as data.
 * Invariant: no file of a folder is left out without a word on stderr. */
#include "examples/ddpm/folder_data.h"

#include "examples/common/messages.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BAD = 20 }; /* bad files that are named each */

/* "0.gif and 19 more: format not read", of the files in this state; the number of them. */
static int64_t say_state(const ito_image_folder *f, ito_image_file_state state, const char *before,
                         const char *reason)
{
    const char *first = NULL;
    int64_t n = 0;
    for (int64_t i = 0; i < f->n_files; i++)
        if (f->files[i].state == state)
            first = n++ == 0 ? f->files[i].name : first;
    if (n == 0)
        return 0;
    note("%s%s", before, first);
    if (n > 1)
        note(" and %" PRId64 " more", n - 1);
    note(": %s", reason);
    return n;
}

/* "photos: 21 files: 20 images used, 1 left out (x.gif: format not read)"; nothing if all are
 * used. */
void folder_say_left_out(const ito_image_folder *f)
{
    int64_t out = f->n_files - f->n_used;
    if (out == 0)
        return;
    note("%s: %" PRId64 " file%s: %" PRId64 " image%s used, %" PRId64 " left out ", f->path,
         f->n_files, PLURAL(f->n_files), f->n_used, PLURAL(f->n_used), out);
    const char *before = "(";
    if (say_state(f, ITO_IMAGE_FILE_UNREAD, before, "format not read") > 0)
        before = "; ";
    if (say_state(f, ITO_IMAGE_FILE_OTHER, before, "not an image") > 0)
        before = "; ";
    say_state(f, ITO_IMAGE_FILE_BAD, before, "cannot be read");
    note(")\n");
}

/* A line for each image that could not be read. */
static void say_bad(const ito_image_folder *f)
{
    int64_t said = 0;
    for (int64_t i = 0; i < f->n_files && said < MOST_BAD; i++) {
        const ito_image_folder_file *file = &f->files[i];
        if (file->state != ITO_IMAGE_FILE_BAD)
            continue;
        note("left out: %s: %s\n", file->path, file->reason);
        said++;
    }
    if (said < f->n_bad)
        note("left out: %" PRId64 " more, which ito-ddpm info %s names\n", f->n_bad - said,
             f->path);
}

/* Add to the recorded error of a file how far the reading was and what can be done about it. */
static void advise(const ito_image_folder *f)
{
    int64_t number = 1;
    for (const ito_image_folder_file *file = f->files; file->state != ITO_IMAGE_FILE_BAD; file++)
        number += file->state == ITO_IMAGE_FILE_USED;
    ito_status code = ito_error_code();
    char *fault = strdup(ito_error_message());
    if (fault == NULL)
        return;
    ito_error_clear();
    ito_error_set(code,
                  "%s (image %" PRId64 " of %" PRId64 "); --skip-bad leaves such files out, and "
                  "ito-ddpm info %s names all of them",
                  fault, number, f->n_used + f->n_bad, f->path);
    free(fault);
}

void folder_say_skipped(const ito_image_folder *f, bool skip_bad)
{
    if (skip_bad) {
        folder_say_left_out(f);
        say_bad(f);
    } else if (f->n_bad > 0) {
        advise(f);
    }
}

static bool name_classes(const ito_image_folder *f, data_set *out)
{
    out->class_names =
        cJSON_CreateStringArray((const char *const *)f->class_names, (int)f->n_classes);
    if (out->class_names == NULL)
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for the names of its classes", f->path);
    return out->class_names != NULL;
}

bool folder_load(const data_kind *kind, const char *place, const data_options *o, bool classes,
                 data_set *out)
{
    (void)kind;
    ito_image_folder *f = ito_image_folder_list(place);
    if (f == NULL)
        return false;
    if (!o->skip_bad) /* all that is left out is known: say it before the reading */
        folder_say_left_out(f);
    out->images = ito_image_folder_load(f, o->size, o->grey ? 1 : 3, classes ? &out->labels : NULL,
                                        .skip_bad = o->skip_bad);
    folder_say_skipped(f, o->skip_bad);
    bool good = out->images != NULL && (!classes || name_classes(f, out));
    ito_image_folder_free(f);
    return good;
}
