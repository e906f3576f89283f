/* Snapshots of averages, and averages of other widths made of them.
 *
 * An average of power gamma at time t weighs the parameters of time u by
 * (gamma + 1) u^gamma / t^(gamma + 1), u in [0, t]. The integral of the product of two of these,
 * with s the smaller and t the larger of their times, is
 *     (gamma_s + 1) (gamma_t + 1) / (gamma_s + gamma_t + 1) (s / t)^gamma_t / t.  */
#include "nn/posthoc.h"
#include "nn/checkpoint_dir.h"
#include "nn/ema_pass.h"
#include "nn/registry.h"
#include "nn/state.h"
#include "tensor/c_locale.h"
#include "tensor/eigen.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SIGMA_KEY "ito.ema.sigma_rel"
#define UPDATES_KEY "ito.ema.updates"

/* ---- saving ------------------------------------------------------------------------------------
 */

ito_status ito_ema_snapshot_with(const ito_ema *ema, const char *dir,
                                 ito_ema_snapshot_options options)
{
    if (ema == NULL || dir == NULL)
        return error_missing("ema_snapshot", ema == NULL ? "the averages" : "the directory");
    if (ema->sigma_rel == 0.0 || ema->updates == 0)
        return ito_error_set(ITO_ERR_ARGUMENT, "ema_snapshot: the averages were %s",
                             ema->updates == 0 ? "never updated" : "created without sigma_rel");
    if (ema->swapped)
        return ito_error_set(ITO_ERR_ARGUMENT,
                             "ema_snapshot: the averages are in the model's place; swap them back");
    if (mkdir(dir, 0777) != 0 && errno != EEXIST)
        return file_system_error(dir, "make the directory");
    char name[96], sigma[32], updates[32];
    locale_t before = uselocale(c_locale());
    snprintf(sigma, sizeof sigma, "%.17g", ema->sigma_rel);
    snprintf(updates, sizeof updates, "%" PRId64, ema->updates);
    snprintf(name, sizeof name, "sigma-%g-update-%s.safetensors", ema->sigma_rel, updates);
    uselocale(before);
    const char *const keys[] = {SIGMA_KEY, UPDATES_KEY}, *const values[] = {sigma, updates};
    ito_save_options save =
        ITO_OPTIONS(ito_save_options, .bf16 = options.bf16, .metadata_keys = keys,
                    .metadata_values = values, .n_metadata = 2);
    char *path = checkpoint_path(dir, name);
    ito_status status = path == NULL ? ITO_ERR_MEMORY : state_save(path, ito_ema_state(ema), &save);
    free(path);
    return status;
}

/* ---- the snapshots of a directory --------------------------------------------------------------
 */

/* One snapshot, and its share in the result. */
typedef struct snapshot {
    ito_safetensors *file;
    double gamma, time, share;
} snapshot;

typedef struct snapshots {
    snapshot *list;
    int64_t n, room;
} snapshots;

static void snapshots_free(snapshots *s)
{
    for (int64_t i = 0; i < s->n; i++)
        ito_safetensors_close(s->list[i].file);
    free(s->list);
}

/* The number that a file has under key; NaN without an error if there is none. */
static double number_of(const ito_safetensors *f, const char *key)
{
    const char *text = ito_safetensors_metadata(f, key);
    char *end = NULL;
    double value = text == NULL ? (double)NAN : c_strtod(text, &end);
    return end == NULL || end == text || *end != '\0' ? (double)NAN : value;
}

/* Append a file, which the list takes over, if it is a snapshot of a time up to `last`. */
static bool snapshots_add(snapshots *s, ito_safetensors *file, double last)
{
    double sigma = number_of(file, SIGMA_KEY), time = number_of(file, UPDATES_KEY);
    if (!ema_sigma_is_valid(sigma) || !(time >= 1 && time <= last)) {
        ito_safetensors_close(file);
        return true;
    }
    if (s->n == s->room) {
        int64_t room = s->room == 0 ? 16 : 2 * s->room;
        snapshot *list = struct_alloc((size_t)room * sizeof *list);
        if (list == NULL) {
            ito_safetensors_close(file);
            return false;
        }
        if (s->n > 0)
            memcpy(list, s->list, (size_t)s->n * sizeof *list);
        free(s->list);
        s->list = list;
        s->room = room;
    }
    s->list[s->n++] = (snapshot){.file = file, .gamma = ema_gamma(sigma), .time = time};
    return true;
}

static bool add_named(snapshots *s, const char *dir, const char *name, double last)
{
    size_t length = strlen(name), ending = strlen(".safetensors");
    if (length < ending || strcmp(name + length - ending, ".safetensors") != 0)
        return true;
    char *path = checkpoint_path(dir, name);
    ito_safetensors *file = path == NULL ? NULL : ito_safetensors_open(path);
    free(path);
    return file != NULL && snapshots_add(s, file, last);
}

/* By time, then by width: the order of the directory must not show in the bits. */
static int by_time(const void *a_, const void *b_)
{
    const snapshot *a = a_, *b = b_;
    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    return (a->gamma > b->gamma) - (a->gamma < b->gamma);
}

static bool snapshots_open(snapshots *s, const char *dir, int64_t updates)
{
    DIR *d = opendir(dir);
    if (d == NULL) {
        file_system_error(dir, "look for snapshots in it");
        return false;
    }
    bool done = true;
    double last = updates == -1 ? (double)INFINITY : (double)updates;
    for (struct dirent *e = readdir(d); e != NULL && done; e = readdir(d))
        done = add_named(s, dir, e->d_name, last);
    closedir(d);
    if (done && s->n == 0) {
        char when[48] = "";
        if (updates != -1)
            snprintf(when, sizeof when, " up to update %" PRId64, updates);
        file_error(ITO_ERR_ARGUMENT, dir, "there is no snapshot of averages in it%s", when);
        return false;
    }
    if (done)
        qsort(s->list, (size_t)s->n, sizeof *s->list, by_time);
    return done;
}

/* ---- shares ------------------------------------------------------------------------------------
 */

/* The integral of the product of the weights of two averages. */
static double product(double gamma_a, double time_a, double gamma_b, double time_b)
{
    double later = time_a < time_b ? gamma_b : gamma_a;
    double t = fmax(time_a, time_b), ratio = fmin(time_a, time_b) / t;
    return (gamma_a + 1) * (gamma_b + 1) / (gamma_a + gamma_b + 1) * pow(ratio, later) / t;
}

/* Minimise the distance to the average of gamma at time: A x = b, A the products of snapshots, b
 * those with it. A is nearly singular for snapshots of similar times, so directions are left out in
 * which it is 0 but for rounding. a [n, n], vectors [n, n], values [n], b [n]. */
static bool solve(snapshots *s, double gamma, double time, double *a, double *vectors,
                  double *values, double *b)
{
    int64_t n = s->n;
    for (int64_t i = 0; i < n; i++) {
        const snapshot *x = &s->list[i];
        b[i] = product(x->gamma, x->time, gamma, time);
        for (int64_t j = 0; j < n; j++)
            a[i * n + j] = product(x->gamma, x->time, s->list[j].gamma, s->list[j].time);
    }
    if (symmetric_eigen(a, n, values, vectors) != ITO_OK)
        return false;
    double least = 10.0 * (double)n * DBL_EPSILON * values[n - 1];
    for (int64_t k = 0; k < n; k++) {
        if (values[k] <= least)
            continue;
        double along = 0;
        for (int64_t i = 0; i < n; i++)
            along += vectors[k * n + i] * b[i];
        for (int64_t i = 0; i < n; i++)
            s->list[i].share += along / values[k] * vectors[k * n + i];
    }
    return true;
}

static bool find_shares(snapshots *s, double gamma, double time)
{
    int64_t n = s->n, numbers = checked_mul(n, 2 * n + 2);
    int64_t bytes = checked_mul(numbers, sizeof(double));
    double *a = mem_alloc(bytes < 0 ? SIZE_MAX : (size_t)bytes);
    bool done = a != NULL && solve(s, gamma, time, a, a + n * n, a + 2 * n * n, a + 2 * n * n + n);
    mem_free(a);
    return done;
}

/* ---- the combination ---------------------------------------------------------------------------
 */

/* A tensor of the snapshot in double: the one of this name and shape. */
static bool read_one(const snapshot *s, const char *name, const ito_tensor *p, double *out)
{
    int64_t index = ito_safetensors_find(s->file, name);
    const char *path = ito_safetensors_path(s->file);
    if (index < 0) {
        file_error(ITO_ERR_FORMAT, path, "it has no %s, which the model has", name);
        return false;
    }
    ito_shape shape = ito_safetensors_shape(s->file, index);
    if (!tensor_has_shape(p, &shape)) {
        file_error(ITO_ERR_SHAPE, path, "%s is %s in the file and %s in the model", name,
                   shape_str(shape), tensor_shape_str(p));
        return false;
    }
    ito_tensor *t = ito_safetensors_read(s->file, name);
    return t != NULL && ito_to_data(t, out, ITO_F64) == ITO_OK;
}

/* The combination for parameter p: an owned tensor, or NULL. sum and one: [numel] scratch. */
static ito_tensor *combine(const snapshots *s, const char *name, const ito_tensor *p, double *sum,
                           double *one)
{
    int64_t n = ito_numel(p);
    memset(sum, 0, (size_t)n * sizeof *sum);
    for (int64_t i = 0; i < s->n; i++) {
        ito_scope_begin();
        bool read = read_one(&s->list[i], name, p, one);
        ito_scope_end();
        if (!read)
            return NULL;
        for (int64_t k = 0; k < n; k++)
            sum[k] += s->list[i].share * one[k];
    }
    return tensor_disown(ito_from_data(sum, ito_shape_of(p), ITO_F64));
}

static ito_status set_parameters(const snapshots *s, ito_named_tensors *list)
{
    int64_t most = 0;
    for (int64_t i = 0; i < list->n; i++)
        most = ito_numel(list->tensors[i]) > most ? ito_numel(list->tensors[i]) : most;
    double *scratch = mem_alloc((size_t)most * 2 * sizeof *scratch);
    ito_tensor **value = struct_alloc((size_t)list->n * sizeof *value + 1);
    bool done = scratch != NULL && value != NULL;
    for (int64_t i = 0; i < list->n && done; i++) {
        value[i] = combine(s, list->names[i], list->tensors[i], scratch, scratch + most);
        done = value[i] != NULL;
    }
    for (int64_t i = 0; i < list->n && value != NULL; i++) {
        if (done) {
            tensor_copy(list->tensors[i], value[i]);
            ito_touch(list->tensors[i]);
        }
        ito_release(value[i]);
    }
    free(value);
    mem_free(scratch);
    return done ? ITO_OK : ito_error_code();
}

ito_status ito_ema_reconstruct_with(ito_module *model, const char *dir, double sigma_rel,
                                    ito_ema_reconstruct_options options)
{
    if (model == NULL || dir == NULL)
        return error_missing("ema_reconstruct", model == NULL ? "the model" : "the directory");
    if (!ema_sigma_is_valid(sigma_rel))
        return ito_error_set(ITO_ERR_RANGE, "ema_reconstruct: sigma_rel %g is not in (0, 0.288]",
                             sigma_rel);
    if (options.updates < 1 && options.updates != -1)
        return ito_error_set(ITO_ERR_RANGE,
                             "ema_reconstruct: updates %" PRId64 "; they are at least 1, or -1 for "
                             "the last snapshot",
                             options.updates);
    snapshots s = {.n = 0};
    ito_named_tensors *list = NULL;
    ito_status status = snapshots_open(&s, dir, options.updates) ? ITO_OK : ito_error_code();
    double time = options.updates != -1 ? (double)options.updates
                  : s.n > 0             ? s.list[s.n - 1].time
                                        : 0;
    if (status == ITO_OK) {
        list = ito_module_parameters(model);
        status = list != NULL && find_shares(&s, ema_gamma(sigma_rel), time)
                     ? set_parameters(&s, list)
                     : ito_error_code();
    }
    ito_named_tensors_free(list);
    snapshots_free(&s);
    return status;
}
