/* Prepared data sets, as they are read.
 * Invariant: nothing is read of the images before they are used. Their checksum is left to
 * ito-ddpm info. */
#include "examples/ddpm/prepared.h"

#include "examples/ddpm/mapped_file.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <string.h>

/* ---- what the file must be ---- */

static bool refuse(const char *place, const char *fault)
{
    ito_error_set(ITO_ERR_FORMAT, "%s: %s", place, fault);
    return false;
}

/* NULL with an error recorded. */
static ito_safetensors *open_prepared(const char *place)
{
    ito_safetensors *f = ito_safetensors_open(place);
    const char *format = ito_safetensors_metadata(f, PREPARED_FORMAT);
    if (f == NULL || (format != NULL && strcmp(format, PREPARED_FORMAT_VALUE) == 0))
        return f;
    refuse(place, "it is not a file of ito-ddpm prepare");
    ito_safetensors_close(f);
    return NULL;
}

static bool find_images(const ito_safetensors *f, const char *place, data_set *out)
{
    ito_tensor *x = out->images = ito_safetensors_map(f, PREPARED_IMAGES);
    if (x == NULL)
        return false;
    if (ito_ndim(x) == 4 && (ito_dtype_of(x) == ITO_U8 || ito_dtype_of(x) == ITO_F32))
        return true;
    return refuse(place, "its images are not [N, C, H, W] of u8 or f32");
}

static bool find_labels(const ito_safetensors *f, const char *place, data_set *out)
{
    const char *text = ito_safetensors_metadata(f, PREPARED_CLASSES);
    if (text == NULL || ito_safetensors_find(f, PREPARED_LABELS) < 0) {
        ito_error_set(ITO_ERR_ARGUMENT, "%s: it was prepared of images without classes", place);
        return false;
    }
    ito_tensor *y = ito_safetensors_read(f, PREPARED_LABELS);
    out->class_names = cJSON_Parse(text);
    int n = cJSON_GetArraySize(out->class_names);
    if (y == NULL)
        return false;
    if (ito_ndim(y) != 1 || ito_numel(y) != ito_size(out->images, 0) ||
        (ito_dtype_of(y) != ITO_U8 && ito_dtype_of(y) != ITO_I64))
        return refuse(place, "its labels are not u8 or i64, one for each image");
    if (!cJSON_IsArray(out->class_names) || n == 0)
        return refuse(place, "its class_names are not a list of texts");
    for (int i = 0; i < n; i++)
        if (!cJSON_IsString(cJSON_GetArrayItem(out->class_names, i)))
            return refuse(place, "its class_names are not a list of texts");
    for (int64_t i = 0; i < ito_numel(y); i++) {
        int64_t label = ito_dtype_of(y) == ITO_U8 ? ((const uint8_t *)ito_const_data(y))[i]
                                                  : ((const int64_t *)ito_const_data(y))[i];
        if (label >= 0 && label < n)
            continue;
        ito_error_set(ITO_ERR_FORMAT, "%s: label %" PRId64 " is %" PRId64 ", of %d classes", place,
                      i, label, n);
        return false;
    }
    out->labels = y;
    return true;
}

bool prepared_load(const data_kind *kind, const char *place, const data_options *o, bool classes,
                   data_set *out)
{
    (void)kind;
    (void)o;
    ito_safetensors *f = open_prepared(place);
    bool good = f != NULL && find_images(f, place, out) && (!classes || find_labels(f, place, out));
    ito_safetensors_close(f);
    if (good)
        mapped_file_watch(place);
    return good;
}

/* ---- before it is loaded: a file that is no good is refused later ---- */

bool prepared_has_classes(const char *place)
{
    ito_safetensors *f = open_prepared(place);
    bool has = ito_safetensors_find(f, PREPARED_LABELS) >= 0;
    ito_safetensors_close(f);
    ito_error_clear();
    return has;
}

bool prepared_mirrors(const char *place)
{
    ito_safetensors *f = open_prepared(place);
    const char *text = ito_safetensors_metadata(f, PREPARED_MIRRORS);
    bool mirrors = text == NULL || strcmp(text, "no") != 0;
    ito_safetensors_close(f);
    ito_error_clear();
    return mirrors;
}
