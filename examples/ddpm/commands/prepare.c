/* ito-ddpm prepare: decode a data set once, into a file that is opened in no time.
 * Invariant: the file is complete or not there. Images of a folder are never all in memory. */
#include "examples/common/messages.h"
#include "examples/common/outputs.h"
#include "examples/common/progress.h"
#include "examples/common/results.h"
#include "examples/common/stop.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/folder_data.h"
#include "examples/ddpm/image_arrays.h"
#include "examples/ddpm/prepared.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 256 }; /* images in memory, of a folder */

typedef struct prepare_options {
    const char *data, *range, *split, *out;
    int64_t size;
    bool grey, skip_bad, force, json;
} prepare_options;

#define AT(field) offsetof(prepare_options, field)

static const option_row rows[] = {
    DATA_ROW("What is prepared"),
    TEXT_ROW("out", out, "FILE.safetensors", NULL, "Where it goes"),
    INT_ROW("size", size, "PIXELS", 1, 8192, "32",
            "folder: side of the squares that images are resized and cut to"),
    FLAG_ROW("grey", grey, "folder: convert images to grey"),
    SKIP_BAD_ROW,
    RANGE_ROW,
    WORDS_ROW("split", split, "train|test", "train",
              "Which images: fashion-mnist, mnist and cifar10 have a test set"),
    FORCE_ROW,
    JSON_ROW,
    END_ROW,
};

static const char doc[] =
    "Decode a data set once, into a safetensors file that --data prepared:FILE opens in no time, "
    "even if it is larger than memory: images, labels and the names of the classes."
    "\v"
    "Examples:\n"
    "  ito-ddpm prepare --data folder:photos --size 64 --out photos.safetensors\n"
    "  ito-ddpm train --data prepared:photos.safetensors --out run\n"
    "  ito-ddpm info photos.safetensors\n\n"
    "Ctrl-C ends it, and nothing is written.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 128 + n stopped by signal n.";

typedef struct job {
    prepare_options o;
    ito_safetensors_writer *writer;
    ito_shape shape; /* of the images; dim[0]: how many are written */
    int64_t classes;
    /* What the writer borrows. */
    ito_dtype dtypes[2];
    char *class_names;
    const char *values[4];
} job;

static const char *const tensors[] = {PREPARED_IMAGES, PREPARED_LABELS};
static const char *const keys[] = {PREPARED_FORMAT, PREPARED_MIRRORS, "source", PREPARED_CLASSES};

/* ---- the file ---- */

/* Begin it for at most so many images, with labels if there are names of classes. Labels keep their
 * dtype: a run that began on the data themselves goes on with the file. */
static bool begin(job *j, ito_shape images, ito_dtype dtype, ito_dtype labels,
                  const cJSON *class_names)
{
    j->shape = images;
    j->shape.dim[0] = 0;
    j->classes = cJSON_GetArraySize(class_names);
    j->class_names = cJSON_PrintUnformatted(class_names);
    bool labelled = j->classes > 0;
    if (labelled && j->class_names == NULL) {
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for the names of its classes", j->o.data);
        return false;
    }
    j->dtypes[0] = dtype;
    j->dtypes[1] = labels;
    j->values[0] = PREPARED_FORMAT_VALUE;
    j->values[1] = data_mirrors(j->o.data) ? "yes" : "no";
    j->values[2] = j->o.data;
    j->values[3] = j->class_names;
    j->writer = ito_safetensors_writer_create(j->o.out, labelled ? 2 : 1, tensors, j->dtypes,
                                              (ito_shape[]){images, ITO_SHAPE(images.dim[0])},
                                              labelled ? 4 : 3, keys, j->values);
    return j->writer != NULL;
}

static bool put_images(job *j, const ito_tensor *images)
{
    j->shape.dim[0] += ito_size(images, 0);
    return ito_safetensors_writer_append(j->writer, PREPARED_IMAGES, images) == ITO_OK;
}

/* The labels of all images, if there are classes, and the end of the file. */
static bool finish(job *j, const ito_tensor *labels)
{
    if (j->classes > 0 &&
        ito_safetensors_writer_append(j->writer, PREPARED_LABELS, labels) != ITO_OK)
        return false;
    ito_safetensors_writer *w = j->writer;
    j->writer = NULL;
    return ito_safetensors_writer_finish(w) == ITO_OK;
}

/* ---- folders, a part at a time ---- */

/* Whether every image has a class, and every class an image. */
static bool all_have_classes(const ito_image_folder *f)
{
    int64_t next = 0; /* files are sorted by class */
    for (int64_t i = 0; i < f->n_files; i++) {
        const ito_image_folder_file *file = &f->files[i];
        if (file->state != ITO_IMAGE_FILE_USED)
            continue;
        if (file->label < 0 || file->label > next)
            return false;
        next = file->label == next ? next + 1 : next;
    }
    return next == f->n_classes;
}

/* Files first .. first + n - 1, which are read as a folder of their own. */
static bool put_files(job *j, ito_image_folder *f, int64_t first, int64_t n)
{
    ito_image_folder part = *f;
    part.files += first;
    part.n_files = n;
    part.n_used = part.n_bad = 0;
    for (int64_t i = 0; i < n; i++)
        part.n_used += part.files[i].state == ITO_IMAGE_FILE_USED;
    if (part.n_used == 0)
        return true;
    ito_tensor *images =
        ito_image_folder_load(&part, j->o.size, j->o.grey ? 1 : 3, NULL, .skip_bad = j->o.skip_bad);
    f->n_used -= part.n_bad;
    f->n_bad += part.n_bad;
    if (images != NULL)
        return put_images(j, images);
    if (!j->o.skip_bad || part.n_used > 0)
        return false;
    ito_error_clear(); /* all of this part are bad */
    return true;
}

static bool put_folder(job *j, ito_image_folder *f)
{
    progress bar = {.quiet = notes_are_silent()};
    bool good = true;
    progress_begin(&bar, "part", "files", 0, (f->n_files + AT_ONCE - 1) / AT_ONCE);
    for (int64_t first = 0; good && stop_signal() == 0 && first < f->n_files; first += AT_ONCE) {
        int64_t n = f->n_files - first < AT_ONCE ? f->n_files - first : AT_ONCE;
        ito_scope_begin();
        good = put_files(j, f, first, n);
        ito_scope_end();
        progress_step(&bar, first / AT_ONCE + 1, n, (double)NAN);
    }
    progress_end(&bar);
    return good;
}

static ito_tensor *labels_of(const ito_image_folder *f)
{
    ito_tensor *labels = ito_empty(ITO_SHAPE(f->n_used), ITO_I64);
    int64_t *next = ito_data(labels);
    for (int64_t i = 0; labels != NULL && i < f->n_files; i++)
        if (f->files[i].state == ITO_IMAGE_FILE_USED)
            *next++ = f->files[i].label;
    return labels;
}

static bool prepare_listed(job *j, ito_image_folder *f)
{
    if (f->n_used == 0) {
        ito_image_folder_load(f, j->o.size, 3, NULL); /* which says why */
        return false;
    }
    if (!j->o.skip_bad)
        folder_say_left_out(f);
    bool classes = all_have_classes(f);
    cJSON *names =
        classes ? cJSON_CreateStringArray((const char *const *)f->class_names, (int)f->n_classes)
                : NULL;
    ito_shape shape = ITO_SHAPE(f->n_used, j->o.grey ? 1 : 3, j->o.size, j->o.size);
    bool good = begin(j, shape, ITO_U8, ITO_I64, names) && put_folder(j, f);
    cJSON_Delete(names);
    folder_say_skipped(f, j->o.skip_bad);
    if (!good || stop_signal() != 0)
        return good;
    if (f->n_used == 0) {
        ito_error_set(ITO_ERR_FORMAT, "%s: none of its images can be read", j->o.data);
        return false;
    }
    if (classes && !all_have_classes(f)) {
        ito_error_set(ITO_ERR_FORMAT, "%s: no image of one of its classes can be read", j->o.data);
        return false;
    }
    if (!classes)
        note("%s: not every image has a class and every class an image: prepared without "
             "classes\n",
             j->o.data);
    return finish(j, labels_of(f));
}

static bool prepare_folder(job *j)
{
    ito_image_folder *f = ito_image_folder_list(data_place(j->o.data));
    bool good = f != NULL && prepare_listed(j, f);
    ito_image_folder_free(f);
    return good;
}

/* ---- all other kinds, which are in memory at once ---- */

static bool prepare_whole(job *j)
{
    const prepare_options *o = &j->o;
    data_options what = {.spec = o->data,
                         .size = o->size,
                         .grey = o->grey,
                         .range = o->range,
                         .test = strcmp(o->split, "test") == 0};
    ito_tensor *labels = NULL;
    cJSON *names = NULL;
    ito_tensor *images =
        data_has_classes(o->data) ? data_load_classes(what, &labels, &names) : data_load(what);
    bool good = images != NULL &&
                begin(j, ito_shape_of(images), ito_dtype_of(images), ito_dtype_of(labels), names) &&
                put_images(j, images);
    cJSON_Delete(names);
    return good && (stop_signal() != 0 || finish(j, labels));
}

/* ---- the command ---- */

static void parse(prepare_options *o, int argc, char **argv)
{
    command_line c = {.command = "prepare", .doc = doc, .options = rows, .values = o};
    options_parse(&c, argc, argv);
    options_require(&c, "data", "what is prepared");
    options_require(&c, "out", "where it goes");
    data_check_skip_bad(&c, o->data);
    if (!data_resizes(o->data))
        options_refuse_given(&c, "size|grey", "it is for folder:DIR, whose images it changes");
    else
        options_refuse_given(&c, "range", "it is for npy:FILE, whose numbers it explains");
    if (data_resizes(o->data))
        options_refuse_given(&c, "split", "a folder has no test set");
    if (strncmp(o->data, "prepared:", 9) == 0)
        options_refuse(&c, "--data: %s is prepared already", o->data);
}

static cJSON *describe(const job *j)
{
    cJSON *root = cJSON_CreateObject();
    result_text(root, "file", j->o.out);
    result_number(root, "images", (double)j->shape.dim[0]);
    result_number(root, "channels", (double)j->shape.dim[1]);
    result_number(root, "height", (double)j->shape.dim[2]);
    result_number(root, "width", (double)j->shape.dim[3]);
    result_text(root, "dtype", ito_dtype_name(j->dtypes[0]));
    result_number(root, "classes", (double)j->classes);
    result_number(root, "peak_bytes", (double)ito_memory_peak());
    return root;
}

static int run(job *j, double started)
{
    const output out = {"out", j->o.out, FILE_SAFETENSORS};
    if (!outputs_can_write(&out, 1, j->o.force))
        return options_report("prepare");
    stop_on_signals();
    if (!(data_resizes(j->o.data) ? prepare_folder(j) : prepare_whole(j)))
        return options_report("prepare");
    if (stop_signal() != 0) {
        note("stopped; nothing was written\n");
        return 128 + stop_signal();
    }
    note("%s: %" PRId64 " image%s; train with: ito-ddpm train --data prepared:%s --out run\n",
         j->o.out, j->shape.dim[0], PLURAL(j->shape.dim[0]), j->o.out);
    return results_print("prepare", describe(j), started, j->o.json);
}

int command_prepare(int argc, char **argv)
{
    double started = progress_clock();
    job j = {.writer = NULL};
    parse(&j.o, argc, argv);
    ito_scope_begin();
    int code = run(&j, started);
    ito_safetensors_writer_free(j.writer);
    free(j.class_names);
    ito_scope_end();
    return code;
}
