/* The training images of a run, or its test images.
 * Invariant: what is returned has at least one image, and pixels that are u8 or f32 in [-1, 1]. */
#include "examples/ddpm/data.h"

#include "examples/ddpm/data_kinds.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const data_kind *kind_of(const char *spec)
{
    return (const data_kind *)choices_find(&(choice_list){.own = data_kinds}, spec);
}

/* The kind's own place, or the text after the colon. */
static const char *place_of(const data_kind *kind, const char *spec)
{
    return kind->place != NULL ? kind->place : strchr(spec, ':') + 1;
}

bool data_resizes(const char *spec)
{
    return kind_of(spec)->resizes;
}

bool data_mirrors(const char *spec)
{
    return kind_of(spec)->mirrors;
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
    return subtract_sizes(place_of(kind_of(spec), spec), 2, 1 << 20) < 0;
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
