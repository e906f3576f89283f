/* config.json of a UNet2DModel and the settings of Ito's U-Net, both ways.
 * Invariant: a setting that would change the output has its place in Ito's settings or is refused
 * by its key. */
#include "models/ddpm/diffusers/internal.h"

#include "models/ddpm/network/unet_config.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings that are the same on both sides ---- */

typedef enum field_kind { WHOLE, WHOLE_OR_NULL, REAL, TRUTH } field_kind;

typedef struct field {
    const char *key;
    field_kind kind;
    size_t offset; /* in ito_unet_config */
    double usual;  /* where the file lacks it */
    double zero;   /* REAL: what 0 means in Ito */
} field;

#define AT(member) offsetof(ito_unet_config, member)

static const field fields[] = {
    {"in_channels", WHOLE, AT(in_channels), 3, 0},
    {"out_channels", WHOLE, AT(out_channels), 3, 0},
    {"center_input_sample", TRUTH, AT(center_input), 0, 0},
    {"time_embedding_dim", WHOLE_OR_NULL, AT(time_channels), 0, 0},
    {"flip_sin_to_cos", TRUTH, AT(flip_sin_to_cos), 1, 0},
    {"layers_per_block", WHOLE, AT(blocks), 2, 0},
    {"mid_block_scale_factor", REAL, AT(middle_scale), 1, 1},
    {"downsample_padding", WHOLE, AT(downsample_padding), 1, 0},
    {"dropout", REAL, AT(dropout), 0, 0},
    {"attention_head_dim", WHOLE_OR_NULL, AT(head_channels), 8, 0},
    {"norm_num_groups", WHOLE, AT(groups), 32, 0},
    {"attn_norm_num_groups", WHOLE_OR_NULL, AT(middle_attention_groups), 0, 0},
    {"norm_eps", REAL, AT(norm_eps), 1e-5, 1e-6},
};

enum { FIELDS = sizeof fields / sizeof fields[0] };

static bool read_field(diffusers_json *j, const field *f, ito_unet_config *c)
{
    void *at = (char *)c + f->offset;
    double *real = at;
    if (f->kind == WHOLE)
        return diffusers_whole(j, f->key, (int64_t)f->usual, at);
    if (f->kind == WHOLE_OR_NULL)
        return diffusers_whole_or_null(j, f->key, (int64_t)f->usual, at);
    if (f->kind == TRUTH)
        return diffusers_truth(j, f->key, f->usual != 0.0, at);
    if (!diffusers_real(j, f->key, f->usual, real))
        return false;
    if (f->zero != 0.0 && *real == 0.0) {
        cJSON *zero = cJSON_CreateNumber(0.0);
        diffusers_refuse(j, f->key, zero, "it is a number above 0");
        cJSON_Delete(zero);
        return false;
    }
    if (*real == f->zero)
        *real = 0.0;
    return true;
}

static bool write_field(cJSON *o, const field *f, const ito_unet_config *c)
{
    const void *at = (const char *)c + f->offset;
    if (f->kind == TRUTH)
        return cJSON_AddBoolToObject(o, f->key, *(const bool *)at) != NULL;
    if (f->kind == REAL) {
        double real = *(const double *)at;
        return cJSON_AddNumberToObject(o, f->key, real == 0.0 ? f->zero : real) != NULL;
    }
    int64_t whole = *(const int64_t *)at;
    if (f->kind == WHOLE_OR_NULL && whole == 0)
        return cJSON_AddNullToObject(o, f->key) != NULL;
    return cJSON_AddNumberToObject(o, f->key, (double)whole) != NULL;
}

/* ---- words ---- */

static const diffusers_word activations[] = {{"silu", ITO_UNET_SILU}, {"swish", ITO_UNET_SILU},
                                             {"gelu", ITO_UNET_GELU}, {"mish", ITO_UNET_MISH},
                                             {"relu", ITO_UNET_RELU}, {NULL, 0}};
static const diffusers_word times[] = {{"positional", ITO_UNET_TIME_SINES},
                                       {"fourier", ITO_UNET_TIME_FOURIER},
                                       {"learned", ITO_UNET_TIME_LEARNED},
                                       {NULL, 0}};
static const diffusers_word norms[] = {{"default", false}, {"scale_shift", true}, {NULL, 0}};
static const diffusers_word resamplers[] = {{"conv", false}, {"resnet", true}, {NULL, 0}};
static const diffusers_word middles[] = {{"UNetMidBlock2D", 0}, {NULL, 0}};
static const diffusers_word class_kinds[] = {
    {"timestep", ITO_UNET_CLASS_TIMESTEP}, {"identity", ITO_UNET_CLASS_EMBEDDED}, {NULL, 0}};

/* Blocks: with attention or not, and whether they halve or double by a residual block. */
enum { PLAIN, ATTENTION, RESNET };
static const diffusers_word down_blocks[] = {{"DownBlock2D", PLAIN},
                                             {"AttnDownBlock2D", ATTENTION},
                                             {"ResnetDownsampleBlock2D", RESNET},
                                             {NULL, 0}};
static const diffusers_word up_blocks[] = {{"UpBlock2D", PLAIN},
                                           {"AttnUpBlock2D", ATTENTION},
                                           {"ResnetUpsampleBlock2D", RESNET},
                                           {NULL, 0}};

/* ---- reading: levels ---- */

/* A list of as many entries as there are levels, or the usual one of UNet2DModel, which has four.
 */
static const cJSON *take_list(diffusers_json *j, const char *key, const char *usual,
                              const ito_unet_config *c)
{
    const cJSON *list = diffusers_take(j, key);
    if (list == NULL) {
        cJSON *made = cJSON_Parse(usual);
        if (made != NULL && cJSON_AddItemToArray(j->taken, made))
            list = made;
    }
    int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (c->levels == 0 && n >= 1 && n <= ITO_UNET_MAX_LEVELS)
        return list;
    if (c->levels > 0 && n == c->levels)
        return list;
    if (c->levels > 0)
        diffusers_refuse(j, key, list, "it is a list of %" PRId64 ", as block_out_channels is",
                         c->levels);
    else
        diffusers_refuse(j, key, list, "it is a list of 1 to %d numbers", ITO_UNET_MAX_LEVELS);
    return NULL;
}

static bool read_widths(diffusers_json *j, ito_unet_config *c)
{
    const cJSON *list = take_list(j, "block_out_channels", "[224, 448, 672, 896]", c), *item;
    int64_t i = 0;
    if (list == NULL)
        return false;
    c->levels = cJSON_GetArraySize(list);
    cJSON_ArrayForEach(item, list)
    {
        double width = cJSON_IsNumber(item) ? item->valuedouble : 0.0;
        if (!(width >= 1.0 && width <= 1e6) || width != (double)(int64_t)width)
            return diffusers_refuse(j, "block_out_channels", list, "it is a list of whole numbers");
        if (i == 0)
            c->channels = (int64_t)width;
        bool multiple = (int64_t)width % c->channels == 0;
        c->multipliers[i] = multiple ? (int64_t)width / c->channels : 0;
        c->widths[i++] = multiple ? 0 : (int64_t)width;
    }
    return true;
}

/* The kind of each block, by its name, which old files begin with "UNetRes". */
static bool read_blocks(diffusers_json *j, const char *key, const char *usual,
                        const diffusers_word *words, const ito_unet_config *c,
                        int kinds[ITO_UNET_MAX_LEVELS])
{
    const cJSON *list = take_list(j, key, usual, c), *item;
    int64_t i = 0;
    if (list == NULL)
        return false;
    cJSON_ArrayForEach(item, list)
    {
        const char *name = cJSON_GetStringValue(item);
        if (name != NULL && strncmp(name, "UNetRes", 7) == 0)
            name += 7;
        kinds[i] = diffusers_word_value(words, name);
        if (kinds[i++] < 0)
            return diffusers_refuse(j, key, item, "a block can be %s, %s or %s", words[0].name,
                                    words[1].name, words[2].name);
    }
    return true;
}

/* "conv", "resnet", or null for the first. */
static bool read_resampler(diffusers_json *j, const char *key, int *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(j->root, key);
    if (!cJSON_IsNull(item))
        return diffusers_choice(j, key, resamplers, false, out);
    diffusers_take(j, key);
    *out = false;
    return true;
}

/* Only blocks with attention heed downsample_type and upsample_type. */
static bool read_levels(diffusers_json *j, ito_unet_config *c)
{
    int down[ITO_UNET_MAX_LEVELS], up[ITO_UNET_MAX_LEVELS], down_type, up_type;
    if (!read_widths(j, c) ||
        !read_blocks(j, "down_block_types",
                     "[\"DownBlock2D\", \"AttnDownBlock2D\", \"AttnDownBlock2D\", "
                     "\"AttnDownBlock2D\"]",
                     down_blocks, c, down) ||
        !read_blocks(j, "up_block_types",
                     "[\"AttnUpBlock2D\", \"AttnUpBlock2D\", \"AttnUpBlock2D\", \"UpBlock2D\"]",
                     up_blocks, c, up) ||
        !read_resampler(j, "downsample_type", &down_type) ||
        !read_resampler(j, "upsample_type", &up_type))
        return false;
    for (int64_t i = 0; i < c->levels; i++) {
        int above = up[c->levels - 1 - i];
        bool rises = above == ATTENTION;
        c->attention[i] = down[i] == ATTENTION;
        if (rises != c->attention[i])
            c->up_attention[i] = rises ? ITO_UNET_UP_ATTENTION : ITO_UNET_UP_NO_ATTENTION;
        c->down_resnet[i] =
            i < c->levels - 1 && (down[i] == RESNET || (down[i] == ATTENTION && down_type));
        c->up_resnet[i] = i > 0 && (above == RESNET || (rises && up_type));
    }
    return true;
}

/* ---- reading: the rest ---- */

/* One number, or [height, width]. */
static bool read_size(diffusers_json *j, ito_unet_config *c)
{
    const cJSON *item = diffusers_take(j, "sample_size");
    bool pair = cJSON_IsArray(item) && cJSON_GetArraySize(item) == 2;
    const cJSON *height = pair ? item->child : item, *width = pair ? item->child->next : item;
    if (diffusers_is_whole(height, &c->height) && diffusers_is_whole(width, &c->width))
        return true;
    return diffusers_refuse(j, "sample_size", item,
                            "Ito needs the height and width of the images: [32, 32]");
}

enum { MOST_SHIFT = 1 << 20 };

static bool read_time(diffusers_json *j, ito_unet_config *c)
{
    int kind;
    int64_t rows, shift, half = c->channels / 2;
    if (!diffusers_choice(j, "time_embedding_type", times, ITO_UNET_TIME_SINES, &kind) ||
        !diffusers_whole(j, "freq_shift", 0, &shift) ||
        !diffusers_whole_or_null(j, "num_train_timesteps", 0, &rows))
        return false;
    c->time = (ito_unet_time)kind;
    c->times = kind == ITO_UNET_TIME_LEARNED ? rows : 0;
    bool sines = kind == ITO_UNET_TIME_SINES;
    if (sines && (shift >= half || shift < -MOST_SHIFT)) {
        file_error(ITO_ERR_FORMAT, j->path,
                   "\"freq_shift\" is %" PRId64 "; it is a whole number below %" PRId64
                   ", half of the channels",
                   shift, half);
        return false;
    }
    c->freq_divisor = sines && shift != 1 ? half - shift : 0;
    if (c->time_channels == 4 * c->channels)
        c->time_channels = 0;
    return true;
}

static bool read_middle(diffusers_json *j, ito_unet_config *c)
{
    const cJSON *kind = cJSON_GetObjectItemCaseSensitive(j->root, "mid_block_type");
    bool none = cJSON_IsNull(kind), attention;
    int unused;
    if (none)
        diffusers_take(j, "mid_block_type");
    else if (!diffusers_choice(j, "mid_block_type", middles, 0, &unused))
        return false;
    if (!diffusers_truth(j, "add_attention", true, &attention))
        return false;
    c->middle = none        ? ITO_UNET_MIDDLE_NONE
                : attention ? ITO_UNET_MIDDLE_ATTENTION
                            : ITO_UNET_MIDDLE_NO_ATTENTION;
    return true;
}

static bool read_classes(diffusers_json *j, ito_unet_config *c)
{
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(j->root, "class_embed_type");
    bool by_number = type == NULL || cJSON_IsNull(type);
    int kind = ITO_UNET_CLASS_OR_NONE;
    int64_t rows;
    if (by_number)
        diffusers_take(j, "class_embed_type");
    else if (!diffusers_choice(j, "class_embed_type", class_kinds, 0, &kind))
        return false;
    if (!diffusers_whole_or_null(j, "num_class_embeds", 0, &rows))
        return false;
    c->classes = by_number ? rows : 0;
    c->class_kind = by_number && rows > 0 ? ITO_UNET_CLASS_ALWAYS : (ito_unet_class)kind;
    return true;
}

/* What EMAModel.save_pretrained adds, of how the averages were made. */
static void pass_over_averages(diffusers_json *j)
{
    static const char *const keys[] = {
        "decay", "min_decay",      "optimization_step", "update_after_step",
        "power", "use_ema_warmup", "inv_gamma"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        diffusers_take(j, keys[i]);
}

static bool read_kind(diffusers_json *j)
{
    const cJSON *name = diffusers_take(j, "_class_name");
    const char *text = cJSON_GetStringValue(name);
    return (text != NULL && strcmp(text, "UNet2DModel") == 0) ||
           diffusers_refuse(j, "_class_name", name, "Ito reads UNet2DModel");
}

static bool read_config(diffusers_json *j, ito_unet_config *c)
{
    int activation, norm;
    if (!read_kind(j) || !read_levels(j, c))
        return false;
    for (int i = 0; i < FIELDS; i++)
        if (!read_field(j, &fields[i], c))
            return false;
    if (!diffusers_choice(j, "act_fn", activations, ITO_UNET_SILU, &activation) ||
        !diffusers_choice(j, "resnet_time_scale_shift", norms, false, &norm))
        return false;
    c->activation = (ito_unet_activation)activation;
    c->scale_shift = norm;
    pass_over_averages(j);
    return read_size(j, c) && read_time(j, c) && read_middle(j, c) && read_classes(j, c) &&
           diffusers_json_finish(j);
}

bool diffusers_read_unet(const char *dir, ito_unet_config *out)
{
    ito_unet_config c = {.dtype = ITO_F32};
    diffusers_json j;
    bool good = diffusers_json_open(&j, dir, "config.json") && read_config(&j, &c);
    if (good && unet_config_resolve(&c) != ITO_OK) {
        char why[400];
        snprintf(why, sizeof why, "%s", ito_error_message());
        ito_status code = ito_error_code();
        ito_error_clear();
        file_error(code, j.path, "%s", why);
        good = false;
    }
    diffusers_json_close(&j);
    if (good)
        *out = c;
    return good;
}

/* ---- writing ---- */

static bool add_text(cJSON *o, const char *key, const char *text)
{
    return (text != NULL ? cJSON_AddStringToObject(o, key, text) : cJSON_AddNullToObject(o, key)) !=
           NULL;
}

static bool has_attention(const ito_unet_config *c, int64_t level, bool up)
{
    if (up && c->up_attention[level] != ITO_UNET_UP_AS_DOWN)
        return c->up_attention[level] == ITO_UNET_UP_ATTENTION;
    return c->attention[level];
}

/* Whether the blocks with attention of one path halve or double by residual blocks: "conv",
 * "resnet", or NULL for some of each. */
static const char *resampler_of(const ito_unet_config *c, bool up)
{
    const bool *resnet = up ? c->up_resnet : c->down_resnet;
    int counts[2] = {0, 0};
    for (int64_t i = up; i < c->levels - !up; i++)
        counts[resnet[i]] += has_attention(c, i, up);
    return counts[0] > 0 && counts[1] > 0 ? NULL : diffusers_word_name(resamplers, counts[1] > 0);
}

static bool write_blocks(cJSON *o, const ito_unet_config *c, bool up)
{
    cJSON *list = cJSON_AddArrayToObject(o, up ? "up_block_types" : "down_block_types");
    const bool *resnet = up ? c->up_resnet : c->down_resnet;
    const char *type = resampler_of(c, up);
    bool good = list != NULL && type != NULL;
    for (int64_t k = 0; good && k < c->levels; k++) {
        int64_t i = up ? c->levels - 1 - k : k;
        int kind = has_attention(c, i, up) ? ATTENTION : resnet[i] ? RESNET : PLAIN;
        const char *name = diffusers_word_name(up ? up_blocks : down_blocks, kind);
        good = cJSON_AddItemToArray(list, cJSON_CreateString(name));
    }
    return good && add_text(o, up ? "upsample_type" : "downsample_type", type);
}

static bool write_widths(cJSON *o, const ito_unet_config *c)
{
    cJSON *list = cJSON_AddArrayToObject(o, "block_out_channels");
    bool good = list != NULL;
    for (int64_t i = 0; good && i < c->levels; i++) {
        int64_t width = c->widths[i] != 0 ? c->widths[i] : c->channels * c->multipliers[i];
        good = cJSON_AddItemToArray(list, cJSON_CreateNumber((double)width));
    }
    return good;
}

static bool write_size(cJSON *o, const ito_unet_config *c)
{
    const int sides[] = {(int)c->height, (int)c->width};
    cJSON *item = c->height == c->width ? cJSON_CreateNumber((double)c->height)
                                        : cJSON_CreateIntArray(sides, 2);
    return diffusers_put(o, "sample_size", item);
}

/* The rows of class_embedding: one more for "no class". */
static bool write_classes(cJSON *o, const ito_unet_config *c)
{
    int64_t rows = c->classes + (c->class_kind == ITO_UNET_CLASS_OR_NONE);
    return add_text(o, "class_embed_type", diffusers_word_name(class_kinds, c->class_kind)) &&
           (c->classes > 0 ? cJSON_AddNumberToObject(o, "num_class_embeds", (double)rows)
                           : cJSON_AddNullToObject(o, "num_class_embeds")) != NULL;
}

static bool write_time(cJSON *o, const ito_unet_config *c)
{
    int64_t shift = c->time != ITO_UNET_TIME_SINES ? 0 /* without frequencies: the usual one */
                    : c->freq_divisor == 0         ? 1
                                                   : c->channels / 2 - c->freq_divisor;
    return add_text(o, "time_embedding_type", diffusers_word_name(times, c->time)) &&
           cJSON_AddNumberToObject(o, "freq_shift", (double)shift) != NULL &&
           (c->times > 0 ? cJSON_AddNumberToObject(o, "num_train_timesteps", (double)c->times)
                         : cJSON_AddNullToObject(o, "num_train_timesteps")) != NULL;
}

static bool write_config(cJSON *o, const ito_unet_config *c)
{
    bool good = add_text(o, "_class_name", "UNet2DModel") &&
                add_text(o, "_diffusers_version", DIFFUSERS_VERSION) && write_size(o, c) &&
                write_widths(o, c) && write_blocks(o, c, false) && write_blocks(o, c, true);
    for (int i = 0; good && i < FIELDS; i++)
        good = write_field(o, &fields[i], c);
    return good && write_time(o, c) && write_classes(o, c) &&
           add_text(o, "act_fn", diffusers_word_name(activations, c->activation)) &&
           add_text(o, "resnet_time_scale_shift", diffusers_word_name(norms, c->scale_shift)) &&
           add_text(o, "mid_block_type",
                    c->middle == ITO_UNET_MIDDLE_NONE ? NULL : middles[0].name) &&
           cJSON_AddBoolToObject(o, "add_attention", c->middle != ITO_UNET_MIDDLE_NO_ATTENTION) !=
               NULL;
}

/* What UNet2DModel cannot be. */
static const char *without_form(const ito_unet_config *c)
{
    if (c->self_condition)
        return "self_condition: UNet2DModel does not take an earlier estimate";
    if (c->multipliers[0] > 1 || (c->widths[0] != 0 && c->widths[0] != c->channels))
        return "multipliers: the first level of UNet2DModel is as wide as its first convolution";
    if (resampler_of(c, false) == NULL)
        return "down_resnet: UNet2DModel halves all levels with attention in one way";
    if (resampler_of(c, true) == NULL)
        return "up_resnet: UNet2DModel doubles all levels with attention in one way";
    return NULL;
}

cJSON *diffusers_unet_json(const ito_unet_config *config)
{
    ito_unet_config c = *config;
    if (unet_config_resolve(&c) != ITO_OK)
        return NULL;
    const char *why = without_form(&c);
    if (why != NULL)
        return error_null(ITO_ERR_ARGUMENT, "save_diffusers: %s", why);
    cJSON *o = cJSON_CreateObject();
    if (o != NULL && write_config(o, &c))
        return o;
    cJSON_Delete(o);
    return error_null(ITO_ERR_MEMORY, "save_diffusers: no memory for config.json");
}
