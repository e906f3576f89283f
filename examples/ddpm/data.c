/* The training images of a run, or its test images.
 * Invariant: what is returned has at least one image, and pixels that are u8 or f32 in [-1, 1]. */
#include "examples/ddpm/data.h"

#include "examples/common/idx_directory.h"
#include "examples/ddpm/data_kinds.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const data_kind *kind_of(const char *spec)
{
    return (const data_kind *)choices_find(&(choice_list){.own = data_kinds}, spec);
}

/* The kind's own place, or the text after the colon. */
static const char *place_of(const data_kind *kind, const char *spec)
{
    return kind->place != NULL ? kind->place : strchr(spec, ':') + 1;
}

const char *data_place(const char *text)
{
    const data_kind *kind = kind_of(text);
    return kind != NULL && kind->place == NULL ? place_of(kind, text) : NULL;
}

cJSON *data_class_names(const char *spec)
{
    const data_kind *kind = kind_of(spec);
    return kind->class_names != NULL ? cJSON_CreateStringArray(kind->class_names, IDX_CLASSES)
                                     : NULL;
}

bool data_resizes(const char *spec)
{
    return kind_of(spec)->resizes;
}

void data_check_skip_bad(const command_line *c, const char *spec)
{
    if (spec == NULL || !data_resizes(spec))
        options_refuse_given(c, "skip-bad",
                             "it is for folder:DIR, which has a file for each image");
}

bool data_mirrors(const char *spec)
{
    const data_kind *kind = kind_of(spec);
    return kind->place_mirrors != NULL ? kind->place_mirrors(place_of(kind, spec)) : kind->mirrors;
}

bool data_has_classes(const char *spec)
{
    const data_kind *kind = kind_of(spec);
    return kind->has_classes ||
           (kind->place_has_classes != NULL && kind->place_has_classes(place_of(kind, spec)));
}

/* room minus the size of a file, or of a directory down to so many levels; below 0 if it is
 * larger. */
static int64_t subtract_sizes(const char *path, int levels, int64_t room)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return room;
    if (!S_ISDIR(info.st_mode))
        return room - info.st_size;
    DIR *d = levels > 0 ? opendir(path) : NULL;
    if (d == NULL)
        return room;
    for (const struct dirent *e; room >= 0 && (e = readdir(d)) != NULL;) {
        char *inner;
        if (e->d_name[0] != '.' && asprintf(&inner, "%s/%s", path, e->d_name) >= 0) {
            room = subtract_sizes(inner, levels - 1, room);
            free(inner);
        }
    }
    closedir(d);
    return room;
}

bool data_is_large(const char *spec)
{
    return subtract_sizes(place_of(kind_of(spec), spec), 8, 1 << 20) < 0;
}

char *data_absolute(const char *spec)
{
    const data_kind *kind = kind_of(spec);
    char *here = NULL, *path = NULL;
    if (kind->place != NULL || place_of(kind, spec)[0] == '/') {
        path = strdup(spec);
    } else if ((here = getcwd(NULL, 0)) != NULL) {
        const char *place = place_of(kind, spec);
        int kind_length = (int)(place - spec);
        while (strncmp(place, "./", 2) == 0)
            place += 2;
        if (asprintf(&path, "%.*s%s/%s", kind_length, spec, here, place) < 0)
            path = NULL;
    }
    free(here);
    if (path == NULL)
        ito_error_set(ITO_ERR_IO, "%s: its place cannot be told: %s", spec, strerror(errno));
    return path;
}

bool data_same_place(const char *a, const char *b)
{
    if (strcmp(a, b) == 0)
        return true;
    const data_kind *kind = kind_of(a);
    if (kind != kind_of(b) || kind->place != NULL)
        return false;
    char *x = realpath(place_of(kind, a), NULL), *y = realpath(place_of(kind, b), NULL);
    bool same = x != NULL && y != NULL && strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

static bool has_test(const ito_choice *choice)
{
    return ((const data_kind *)choice)->has_test;
}

static bool refuse_test(const char *spec)
{
    char words[256];
    choice_list list = {.own = data_kinds, .accepts = has_test};
    return options_error("--split: %s has no test set; it is for %s", spec,
                         choices_words(&list, words, sizeof words));
}

static bool load(data_options o, bool classes, data_set *out)
{
    const data_kind *kind = kind_of(o.spec);
    if (o.test && !kind->has_test)
        return refuse_test(o.spec);
    if (o.range != NULL && !kind->ranges)
        return options_error("--range: it is for npy:FILE, whose numbers it explains");
    if (!kind->load(kind, place_of(kind, o.spec), &o, classes, out))
        return false;
    if (ito_numel(out->images) > 0)
        return true;
    ito_error_set(ITO_ERR_SHAPE, "%s: it holds no images", o.spec);
    return false;
}

ito_tensor *data_load(data_options o)
{
    data_set set = {.images = NULL};
    return load(o, false, &set) ? set.images : NULL;
}

ito_tensor *data_load_classes(data_options o, ito_tensor **labels, cJSON **names)
{
    data_set set = {.images = NULL};
    if (!load(o, true, &set)) {
        cJSON_Delete(set.class_names);
        return NULL;
    }
    *labels = set.labels;
    *names = set.class_names;
    return set.images;
}
