/* What ito-ddpm info says of a file of weights.
 * Invariant: all bytes of tensors have been read, and their checksums compared. */
#include "examples/ddpm/commands/info_weights.h"

#include "examples/common/results.h"
#include "examples/ddpm/prepared.h"

#include <ctype.h>
#include <inttypes.h>
#include <ito/ito.h>
#include <stdio.h>
#include <string.h>

const char *info_shape_text(char text[160], ito_shape shape)
{
    int n = snprintf(text, 160, "[");
    for (int i = 0; i < shape.ndim; i++)
        n += snprintf(text + n, 160 - (size_t)n, "%s%" PRId64, i > 0 ? ", " : "", shape.dim[i]);
    snprintf(text + n, 160 - (size_t)n, "]");
    return text;
}

/* "f32 [2, 3]", by the name that the dtype has in the file. */
static bool put_tensor(cJSON *list, const char *name, const char *dtype, ito_shape shape)
{
    char sizes[160], text[200];
    snprintf(text, sizeof text, "%s %s", dtype, info_shape_text(sizes, shape));
    for (char *c = text; *c != ' '; c++)
        *c = (char)tolower((unsigned char)*c);
    return result_text(list, name, text);
}

/* One tensor of a safetensors file, whose checksum is compared. */
static bool put_entry(cJSON *list, const ito_safetensors *f, int64_t i, double *numbers)
{
    const char *name = ito_safetensors_name(f, i);
    ito_shape shape = ito_safetensors_shape(f, i);
    *numbers += (double)ito_shape_numel(shape);
    return ito_safetensors_verify(f, name) == ITO_OK &&
           put_tensor(list, name, ito_safetensors_dtype_name(f, i), shape);
}

bool info_safetensors(cJSON *o, const ito_safetensors *f)
{
    double numbers = 0.0;
    cJSON *list = cJSON_CreateObject(), *metadata = cJSON_CreateObject();
    bool good = list != NULL && metadata != NULL;
    int64_t n = ito_safetensors_count(f), checksums = 0;
    for (int64_t i = 0; i < n && good; i++)
        good = put_entry(list, f, i, &numbers);
    for (int64_t i = 0; i < ito_safetensors_metadata_count(f) && good; i++) {
        const char *key = ito_safetensors_metadata_key(f, i);
        if (strncmp(key, "crc32:", 6) == 0)
            checksums++;
        else
            good = result_text(metadata, key, ito_safetensors_metadata(f, key));
    }
    const char *format = ito_safetensors_metadata(f, PREPARED_FORMAT);
    bool prepared = format != NULL && strcmp(format, PREPARED_FORMAT_VALUE) == 0;
    good = good &&
           result_text(o, "kind", prepared ? "data set of ito-ddpm prepare" : "safetensors file") &&
           result_number(o, "tensors", (double)n) && result_number(o, "numbers", numbers) &&
           result_number(o, "checksums", (double)checksums);
    if (good && cJSON_AddItemToObject(o, "metadata", metadata))
        metadata = NULL;
    if (good && cJSON_AddItemToObject(o, "contents", list))
        list = NULL;
    cJSON_Delete(list);
    cJSON_Delete(metadata);
    return good;
}

/* One tensor of another file, which is read: what cannot be a tensor here is listed all the same.
 */
static bool put_other(cJSON *list, const ito_weights *w, int64_t i, double *numbers)
{
    const char *name = ito_weights_name(w, i);
    ito_shape shape = ito_weights_shape(w, i);
    ito_scope_begin();
    if (ito_weights_read(w, name) == NULL &&
        (ito_error_code() == ITO_ERR_DTYPE || ito_error_code() == ITO_ERR_RANGE))
        ito_error_clear();
    ito_scope_end();
    *numbers += (double)ito_shape_numel(shape);
    return ito_error_code() == ITO_OK &&
           put_tensor(list, name, ito_weights_dtype_name(w, i), shape);
}

bool info_other_weights(cJSON *o, const char *path)
{
    ito_weights *w = ito_weights_open(path);
    cJSON *list = w != NULL ? cJSON_CreateObject() : NULL;
    bool good = list != NULL;
    double numbers = 0.0;
    char kind[64];
    for (int64_t i = 0; i < ito_weights_count(w) && good; i++)
        good = put_other(list, w, i, &numbers);
    if (good) {
        snprintf(kind, sizeof kind, "weights, %s", ito_weights_kind(w));
        good = result_text(o, "kind", kind) &&
               result_number(o, "tensors", (double)ito_weights_count(w)) &&
               result_number(o, "numbers", numbers);
    }
    if (good && cJSON_AddItemToObject(o, "contents", list))
        list = NULL;
    cJSON_Delete(list);
    ito_weights_close(w);
    return good && list == NULL;
}
