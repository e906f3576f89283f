/* Which images a run is of.
 * Invariant: of N images those numbered k (N - 1) / (K - 1) are hashed, K of them: all, if there
 * are few, and otherwise the first, the last and some between. */
#include "examples/ddpm/data_identity.h"

#include "examples/common/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MOST_HASHED = 64 };

/* Record the sentence; false. */
#define DIFFERS(...) (ito_error_set(ITO_ERR_ARGUMENT, __VA_ARGS__), false)

static int64_t hashed_index(int64_t k, int64_t K, int64_t N)
{
    return K < 2 ? 0 : k * (N - 1) / (K - 1);
}

/* FNV-1a of a tensor's elements, row-major, as 16 hexadecimal digits; NULL with an error recorded.
 */
static cJSON *hash_of(ito_tensor *t)
{
    ito_tensor *rows = t != NULL ? ito_contiguous(t) : NULL;
    if (rows == NULL)
        return NULL;
    const unsigned char *bytes = ito_const_data(rows);
    int64_t n = ito_numel(rows) * (int64_t)ito_dtype_size(ito_dtype_of(rows));
    uint64_t hash = 0xcbf29ce484222325;
    for (int64_t i = 0; i < n; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3;
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    return cJSON_CreateString(text);
}

static bool put(cJSON *root, const char *name, cJSON *item)
{
    if (item != NULL && cJSON_AddItemToObject(root, name, item))
        return true;
    cJSON_Delete(item);
    return false;
}

static cJSON *shape_of(const ito_tensor *images)
{
    cJSON *shape = cJSON_CreateArray();
    for (int i = 0; i < ito_ndim(images); i++)
        cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)ito_size(images, i)));
    return shape;
}

static cJSON *hashes_of(ito_tensor *images)
{
    int64_t N = ito_size(images, 0), K = N < MOST_HASHED ? N : MOST_HASHED;
    cJSON *hashes = cJSON_CreateArray();
    ito_scope_begin();
    bool good = hashes != NULL;
    for (int64_t k = 0; good && k < K; k++) {
        cJSON *hash = hash_of(ito_narrow(images, 0, hashed_index(k, K, N), 1));
        good = hash != NULL && cJSON_AddItemToArray(hashes, hash);
    }
    ito_scope_end();
    if (good)
        return hashes;
    cJSON_Delete(hashes);
    return NULL;
}

cJSON *data_identity(ito_tensor *images, ito_tensor *labels, const cJSON *class_names)
{
    cJSON *root = cJSON_CreateObject();
    bool good =
        put(root, "shape", shape_of(images)) &&
        put(root, "dtype", cJSON_CreateString(ito_dtype_name(ito_dtype_of(images)))) &&
        put(root, "hashes", hashes_of(images)) &&
        (class_names == NULL || put(root, "class_names", cJSON_Duplicate(class_names, true))) &&
        (labels == NULL || put(root, "labels", hash_of(ito_cast(labels, ITO_I64))));
    if (good)
        return root;
    cJSON_Delete(root);
    ito_error_set(ITO_ERR_MEMORY, "data: no memory for what tells them from others");
    return NULL;
}

/* ---- comparing ---- */

static const cJSON *member(const cJSON *root, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(root, name);
}

static bool same(const cJSON *now, const cJSON *before, const char *name)
{
    const cJSON *a = member(now, name), *b = member(before, name);
    return (a == NULL && b == NULL) || cJSON_Compare(a, b, true);
}

static const char *text_of(const cJSON *item)
{
    return cJSON_IsString(item) ? item->valuestring : "nothing";
}

static double number_at(const cJSON *root, const char *name, int i)
{
    const cJSON *item = cJSON_GetArrayItem(member(root, name), i);
    return cJSON_IsNumber(item) ? item->valuedouble : 0.0;
}

double data_identity_size(const cJSON *identity)
{
    return number_at(identity, "shape", 0);
}

/* "1x8x8 of u8" */
static const char *form_of(const cJSON *root, char text[100])
{
    snprintf(text, 100, "%.0fx%.0fx%.0f of %s", number_at(root, "shape", 1),
             number_at(root, "shape", 2), number_at(root, "shape", 3),
             text_of(member(root, "dtype")));
    return text;
}

static bool same_form(const cJSON *now, const cJSON *before, const char *spec)
{
    char a[100], b[100];
    double n = data_identity_size(now), m = data_identity_size(before);
    if (n != m)
        return DIFFERS("%s: it has %.0f image%s; the run began with %.0f", spec, n, PLURAL(n), m);
    if (!same(now, before, "shape") || !same(now, before, "dtype"))
        return DIFFERS("%s: its images are %s; the run began with %s", spec, form_of(now, a),
                       form_of(before, b));
    return true;
}

static bool same_classes(const cJSON *now, const cJSON *before, const char *spec)
{
    const cJSON *a = member(now, "class_names"), *b = member(before, "class_names");
    int n = cJSON_GetArraySize(a), m = cJSON_GetArraySize(b);
    if (n != m)
        return DIFFERS("%s: it has %d class%s; the run began with %d", spec, n, n == 1 ? "" : "es",
                       m);
    for (int i = 0; i < n; i++) {
        const cJSON *x = cJSON_GetArrayItem(a, i), *y = cJSON_GetArrayItem(b, i);
        if (!cJSON_Compare(x, y, true))
            return DIFFERS("%s: its class %d is %s; the run began with %s", spec, i, text_of(x),
                           text_of(y));
    }
    return true;
}

bool data_identity_same(const cJSON *now, const cJSON *before, const char *spec)
{
    if (!same_form(now, before, spec) || !same_classes(now, before, spec))
        return false;
    const cJSON *a = member(now, "hashes"), *b = member(before, "hashes");
    int K = cJSON_GetArraySize(a);
    for (int k = 0; k < K; k++)
        if (!cJSON_Compare(cJSON_GetArrayItem(a, k), cJSON_GetArrayItem(b, k), true))
            return DIFFERS("%s: its image %" PRId64 " is not the one that the run began with", spec,
                           hashed_index(k, K, (int64_t)data_identity_size(now)));
    if (!same(now, before, "labels"))
        return DIFFERS("%s: its images are not of the classes that the run began with", spec);
    return true;
}
