/* The files of a folder of images: its sub-folders are the classes, each with all that is below it.
 * Invariant: files and classes are sorted by their bytes, so that indices mean the same on every
 * machine; each file that is listed is used or has a reason why it is not. */
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/image.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* ---- names -------------------------------------------------------------------------------------
 */

/* Strings that the list owns. */
typedef struct names {
    char **item;
    int64_t count, capacity;
} names;

static void names_free(names *n)
{
    for (int64_t i = 0; i < n->count; i++)
        free(n->item[i]);
    mem_free(n->item);
    *n = (names){0};
}

/* Room for one element more, of this size, in the memory *items. */
static ito_status make_room(void *items, int64_t count, int64_t *capacity, size_t size)
{
    if (count < *capacity)
        return ITO_OK;
    int64_t grown = *capacity > 0 ? 2 * *capacity : 64;
    void *old, *wider = mem_alloc((size_t)grown * size);
    if (wider == NULL)
        return ITO_ERR_MEMORY;
    memcpy(&old, items, sizeof old);
    if (count > 0)
        memcpy(wider, old, (size_t)count * size);
    mem_free(old);
    memcpy(items, &wider, sizeof wider);
    *capacity = grown;
    return ITO_OK;
}

/* The length of a path without the slashes that may follow it; 0 for the root. */
static size_t path_length(const char *path)
{
    size_t length = strlen(path);
    while (length > 0 && path[length - 1] == '/')
        length--;
    return length;
}

/* DIR/NAME, freed with free(). */
static char *join(const char *dir, const char *name)
{
    size_t before = path_length(dir), length = strlen(name) + 1;
    char *path = struct_alloc(before + 1 + length);
    if (path == NULL)
        return NULL;
    memcpy(path, dir, before);
    path[before] = '/';
    memcpy(path + before + 1, name, length);
    return path;
}

static ito_status names_add(names *n, const char *name, size_t length)
{
    ito_status status = make_room(&n->item, n->count, &n->capacity, sizeof *n->item);
    char *copy = status == ITO_OK ? struct_alloc(length + 1) : NULL;
    if (copy == NULL)
        return ITO_ERR_MEMORY;
    n->item[n->count++] = memcpy(copy, name, length);
    return ITO_OK;
}

/* The last part of a path, without the slashes that may follow it. */
static ito_status add_base_name(names *n, const char *path)
{
    size_t end = path_length(path), begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    return end > 0 ? names_add(n, path + begin, end - begin) : names_add(n, "/", 1);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_sort(names *n)
{
    if (n->count > 0)
        qsort(n->item, (size_t)n->count, sizeof *n->item, compare_names);
}

/* ---- files -------------------------------------------------------------------------------------
 */

/* What a file is, by the ending of its name; those of `read` come first. */
static ito_image_file_state state_of(const char *name)
{
    static const char *const read[] = {".png",  ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp",
#ifdef ITO_WEBP
                                       ".webp",
#endif
                                       NULL};
    static const char *const unread[] = {
        ".webp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k",
        ".svg",  ".psd", ".ico", ".tga",  ".ppm",  ".pgm",  ".pbm",  ".pnm", ".pcx", ".dds",
        ".exr",  ".hdr", ".raw", ".dng",  ".cr2",  ".cr3",  ".nef",  ".arw", NULL};
    const char *dot = strrchr(name, '.');
    for (int i = 0; dot != NULL && read[i] != NULL; i++)
        if (strcasecmp(dot, read[i]) == 0)
            return ITO_IMAGE_FILE_USED;
    for (int i = 0; dot != NULL && unread[i] != NULL; i++)
        if (strcasecmp(dot, unread[i]) == 0)
            return ITO_IMAGE_FILE_UNREAD;
    return ITO_IMAGE_FILE_OTHER;
}

typedef struct walk {
    ito_image_folder *f;
    int64_t capacity; /* of its files */
} walk;

static ito_status add_file(walk *w, const char *dir, const char *name, int64_t label)
{
    static const char *const reasons[] = {
        [ITO_IMAGE_FILE_UNREAD] = "format not read", [ITO_IMAGE_FILE_OTHER] = "not an image"};
    ito_image_folder *f = w->f;
    ito_image_file_state state = state_of(name);
    ito_status status = make_room(&f->files, f->n_files, &w->capacity, sizeof *f->files);
    char *path = status == ITO_OK ? join(dir, name) : NULL;
    if (path == NULL)
        return ITO_ERR_MEMORY;
    f->files[f->n_files++] = (ito_image_folder_file){.path = path,
                                                     .name = path + path_length(f->path) + 1,
                                                     .label = label,
                                                     .reason = reasons[state],
                                                     .state = state};
    f->n_used += state == ITO_IMAGE_FILE_USED;
    return ITO_OK;
}

static int compare_files(const void *a, const void *b)
{
    const ito_image_folder_file *x = a, *y = b;
    return x->label != y->label ? (x->label > y->label) - (x->label < y->label)
                                : strcmp(x->path, y->path);
}

/* ---- the tree ----------------------------------------------------------------------------------
 */

/* A folder, and those that it is in: a link back to one of them would have no end. */
typedef struct chain {
    const struct chain *above;
    dev_t device;
    ino_t inode;
} chain;

static bool is_circle(const chain *here)
{
    for (const chain *c = here->above; c != NULL; c = c->above)
        if (c->device == here->device && c->inode == here->inode)
            return true;
    return false;
}

static bool is_folder(DIR *d, const struct dirent *entry)
{
    struct stat info;
#if defined(DT_LNK)
    if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
#endif
    return fstatat(dirfd(d), entry->d_name, &info, 0) == 0 && S_ISDIR(info.st_mode);
}

/* The files of one open folder; its sub-folders go into folders, unsorted. */
static ito_status list_open(walk *w, DIR *d, const char *dir, int64_t label, names *folders)
{
    ito_status status = ITO_OK;
    struct dirent *entry;
    while (status == ITO_OK && (errno = 0, entry = readdir(d)) != NULL) {
        const char *name = entry->d_name;
        if (name[0] == '.')
            continue;
        status = is_folder(d, entry) ? names_add(folders, name, strlen(name))
                                     : add_file(w, dir, name, label);
    }
    return status == ITO_OK && errno != 0 ? file_system_error(dir, "list the folder") : status;
}

/* The same of the folder at a path, and its place in *here. A link back is passed over. */
static ito_status list_one(walk *w, const char *dir, int64_t label, chain *here, names *folders)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return file_system_error(dir, "open the folder");
    struct stat info;
    ito_status status = fstat(dirfd(d), &info) == 0 ? ITO_OK : file_system_error(dir, "examine");
    if (status == ITO_OK) {
        here->device = info.st_dev;
        here->inode = info.st_ino;
        if (!is_circle(here)) /* whose files are listed already */
            status = list_open(w, d, dir, label, folders);
    }
    closedir(d);
    return status;
}

/* All that is in these folders of dir and below. At the top each is a class: it labels them. */
static ito_status walk_folders(walk *w, const char *dir, const names *folders, bool top,
                               int64_t label, const chain *above)
{
    ito_status status = ITO_OK;
    for (int64_t i = 0; i < folders->count && status == ITO_OK; i++) {
        names inner = {0};
        chain here = {.above = above};
        char *path = join(dir, folders->item[i]);
        int64_t its_label = top ? i : label;
        status = path == NULL ? ITO_ERR_MEMORY : list_one(w, path, its_label, &here, &inner);
        if (status == ITO_OK)
            status = walk_folders(w, path, &inner, false, its_label, &here);
        names_free(&inner);
        free(path);
    }
    return status;
}

static ito_status list_all(ito_image_folder *f)
{
    walk w = {.f = f};
    chain top = {.above = NULL};
    names classes = {0};
    ito_status status = list_one(&w, f->path, -1, &top, &classes);
    names_sort(&classes);
    if (status == ITO_OK)
        status = walk_folders(&w, f->path, &classes, true, -1, &top);
    if (status == ITO_OK && classes.count == 0) { /* it is one class itself */
        status = add_base_name(&classes, f->path);
        for (int64_t i = 0; i < f->n_files; i++)
            f->files[i].label = 0;
    }
    f->class_names = classes.item;
    f->n_classes = classes.count;
    if (f->n_files > 0)
        qsort(f->files, (size_t)f->n_files, sizeof *f->files, compare_files);
    return status;
}

ito_image_folder *ito_image_folder_list(const char *path)
{
    if (path == NULL)
        return error_null(ITO_ERR_ARGUMENT, "image_folder_list: there is no path");
    ito_image_folder *f = struct_alloc(sizeof *f);
    if (f == NULL)
        return NULL;
    f->path = struct_alloc(strlen(path) + 1);
    if (f->path != NULL)
        strcpy(f->path, path);
    if (f->path != NULL && list_all(f) == ITO_OK)
        return f;
    ito_image_folder_free(f);
    return NULL;
}

void ito_image_folder_free(ito_image_folder *f)
{
    if (f == NULL)
        return;
    for (int64_t i = 0; i < f->n_files; i++) {
        if (f->files[i].state == ITO_IMAGE_FILE_BAD)
            free((char *)f->files[i].reason);
        free(f->files[i].path);
    }
    mem_free(f->files);
    names_free(&(names){.item = f->class_names, .count = f->n_classes});
    free(f->path);
    free(f);
}
