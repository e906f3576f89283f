/* Settings of the U-Net: presets, and the check that every network built passes.
 * Invariant: after unet_config_resolve all sizes are small enough that no product overflows. */
#include "models/ddpm/network/unet_config.h"

#include "models/ddpm/network/unet_blocks.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_CHANNELS 8192
#define MAX_MULTIPLIER 64
#define MAX_SIDE 8192
#define MAX_CLASSES 1000000
#define MAX_TIMES 1000000

static bool in_range(const char *what, int64_t value, int64_t low, int64_t high)
{
    return (value >= low && value <= high) ||
           error_false(ITO_ERR_RANGE, "unet: %s is %" PRId64 "; it must be %" PRId64 " to %" PRId64,
                       what, value, low, high);
}

static bool check_sides(const ito_unet_config *c)
{
    int64_t unit = (int64_t)1 << (c->levels - 1);
    return (c->height % unit == 0 && c->width % unit == 0) ||
           error_false(ITO_ERR_SHAPE,
                       "unet: images of %" PRId64 "x%" PRId64 " cannot be halved %" PRId64
                       " times; %" PRId64 " levels need sides that are multiples of %" PRId64,
                       c->height, c->width, c->levels - 1, c->levels, unit);
}

static int64_t common_divisor(int64_t a, int64_t b)
{
    return b == 0 ? a : common_divisor(b, a % b);
}

/* The largest divisor of n up to limit. */
static int64_t largest_divisor(int64_t n, int64_t limit)
{
    while (n % limit != 0)
        limit--;
    return limit;
}

/* ---- what settings come to ---- */

int64_t unet_level_width(const ito_unet_config *c, int64_t i)
{
    return c->widths[i] != 0 ? c->widths[i] : c->channels * c->multipliers[i];
}

bool unet_up_attention(const ito_unet_config *c, int64_t i)
{
    return c->up_attention[i] == ITO_UNET_UP_AS_DOWN ? c->attention[i]
                                                     : c->up_attention[i] == ITO_UNET_UP_ATTENTION;
}

int64_t unet_time_channels(const ito_unet_config *c)
{
    return c->time_channels != 0 ? c->time_channels : 4 * c->channels;
}

double unet_norm_eps(const ito_unet_config *c)
{
    return c->norm_eps != 0.0 ? c->norm_eps : UNET_NORM_EPS;
}

int64_t unet_middle_groups(const ito_unet_config *c)
{
    if (c->middle_attention_groups != 0)
        return c->middle_attention_groups;
    return c->scale_shift ? 0 : c->groups;
}

/* ---- checks ---- */

static bool check_sizes(const ito_unet_config *c)
{
    return in_range("in_channels", c->in_channels, 1, MAX_CHANNELS) &&
           in_range("out_channels", c->out_channels, 1, MAX_CHANNELS) &&
           in_range("height", c->height, 1, MAX_SIDE) && in_range("width", c->width, 1, MAX_SIDE) &&
           in_range("channels", c->channels, 4, MAX_CHANNELS) &&
           in_range("the number of levels", c->levels, 1, ITO_UNET_MAX_LEVELS) &&
           in_range("the number of blocks", c->blocks, 1, UNET_MAX_BLOCKS) &&
           in_range("the number of classes", c->classes, 0, MAX_CLASSES) &&
           in_range("head_channels", c->head_channels, 0, MAX_CHANNELS) &&
           in_range("middle_attention_groups", c->middle_attention_groups, 0, MAX_CHANNELS) &&
           in_range("time_channels", c->time_channels, 0, 4 * MAX_CHANNELS) &&
           in_range("freq_divisor", c->freq_divisor, 0, MAX_CHANNELS) &&
           in_range("downsample_padding", c->downsample_padding, 0, 1);
}

static bool check_choices(const ito_unet_config *c)
{
    return in_range("middle", c->middle, 0, ITO_UNET_MIDDLE_NONE) &&
           in_range("activation", c->activation, 0, ITO_UNET_RELU) &&
           in_range("time", c->time, 0, ITO_UNET_TIME_LEARNED) &&
           in_range("class_kind", c->class_kind, 0, ITO_UNET_CLASS_EMBEDDED);
}

/* Rows for learned times, and for labels that are classes, and for no others. */
static bool check_rows(const ito_unet_config *c)
{
    bool labels =
        c->class_kind == ITO_UNET_CLASS_TIMESTEP || c->class_kind == ITO_UNET_CLASS_EMBEDDED;
    if (c->time == ITO_UNET_TIME_LEARNED && !in_range("times", c->times, 1, MAX_TIMES))
        return false;
    if (c->time != ITO_UNET_TIME_LEARNED && c->times != 0)
        return error_false(ITO_ERR_ARGUMENT,
                           "unet: times is %" PRId64 ", and no times are learned; it must be 0",
                           c->times);
    if (c->class_kind == ITO_UNET_CLASS_ALWAYS && c->classes == 0)
        return error_false(ITO_ERR_ARGUMENT,
                           "unet: each image is to have a class, and there are none; classes must "
                           "be 1 or more");
    if (labels && c->classes != 0)
        return error_false(ITO_ERR_ARGUMENT,
                           "unet: classes is %" PRId64
                           ", and labels of this class_kind are no classes; it must be 0",
                           c->classes);
    return true;
}

/* A multiplier or a width for each level. */
static bool check_levels(const ito_unet_config *c)
{
    for (int64_t i = 0; i < c->levels; i++) {
        if (!in_range("up_attention", c->up_attention[i], 0, ITO_UNET_UP_NO_ATTENTION))
            return false;
        if (c->widths[i] == 0 && !in_range("a multiplier", c->multipliers[i], 1, MAX_MULTIPLIER))
            return false;
        if (c->widths[i] != 0 && c->multipliers[i] != 0)
            return error_false(ITO_ERR_ARGUMENT,
                               "unet: level %" PRId64 " has the multiplier %" PRId64
                               " and the width %" PRId64 "; give one of them",
                               i, c->multipliers[i], c->widths[i]);
        if (!in_range("a width", c->widths[i], 0, MAX_CHANNELS * MAX_MULTIPLIER))
            return false;
    }
    return true;
}

static bool check_numbers(const ito_unet_config *c)
{
    if (!(c->dropout >= 0.0 && c->dropout < 1.0))
        return error_false(ITO_ERR_RANGE, "unet: dropout is %g; it must be in [0, 1)", c->dropout);
    if (!(c->norm_eps >= 0.0 && c->norm_eps < HUGE_VAL))
        return error_false(ITO_ERR_RANGE, "unet: norm_eps is %g; it must be above 0, or 0 for 1e-6",
                           c->norm_eps);
    if (!(c->middle_scale >= 0.0 && c->middle_scale < HUGE_VAL))
        return error_false(ITO_ERR_RANGE,
                           "unet: middle_scale is %g; it must be above 0, or 0 for 1",
                           c->middle_scale);
    if (c->dtype != ITO_F32 && c->dtype != ITO_F64)
        return error_false(ITO_ERR_DTYPE,
                           "unet: parameters are f32 or f64, not %s; f32 ones "
                           "compute in bf16 by ito_unet_set_precision",
                           ito_dtype_name(c->dtype));
    return true;
}

/* The groups of the norms: a divisor of all widths. */
static bool resolve_groups(ito_unet_config *c)
{
    int64_t common = c->channels;
    for (int64_t i = 0; i < c->levels; i++)
        common = common_divisor(common, unet_level_width(c, i));
    if (c->groups == 0)
        c->groups = largest_divisor(common, 32);
    if (c->groups < 1 || c->channels % c->groups != 0)
        return error_false(ITO_ERR_SHAPE,
                           "unet: %" PRId64 " channels do not form %" PRId64 " groups", c->channels,
                           c->groups);
    for (int64_t i = 0; i < c->levels; i++)
        if (unet_level_width(c, i) % c->groups != 0)
            return error_false(ITO_ERR_SHAPE,
                               "unet: the %" PRId64 " channels of level %" PRId64
                               " do not form %" PRId64 " groups",
                               unet_level_width(c, i), i, c->groups);
    return true;
}

/* Heads, and groups in the middle, where there is attention. */
static bool check_attention(const ito_unet_config *c)
{
    bool middle = c->middle == ITO_UNET_MIDDLE_ATTENTION;
    for (int64_t i = 0; i < c->levels && c->head_channels != 0; i++) {
        bool attention =
            c->attention[i] || unet_up_attention(c, i) || (middle && i == c->levels - 1);
        if (attention && unet_level_width(c, i) % c->head_channels != 0)
            return error_false(ITO_ERR_SHAPE,
                               "unet: the %" PRId64 " channels of level %" PRId64
                               " do not form heads of %" PRId64,
                               unet_level_width(c, i), i, c->head_channels);
    }
    int64_t width = unet_level_width(c, c->levels - 1), groups = unet_middle_groups(c);
    if (middle && groups != 0 && width % groups != 0)
        return error_false(ITO_ERR_SHAPE,
                           "unet: the %" PRId64 " channels of the middle do not form %" PRId64
                           " groups",
                           width, groups);
    return true;
}

ito_status unet_config_resolve(ito_unet_config *c)
{
    if (c->out_channels == 0)
        c->out_channels = c->in_channels;
    if (!check_sizes(c) || !check_levels(c) || !check_choices(c) || !check_rows(c))
        return ito_error_code();
    if (c->channels % 2 != 0)
        return error_status(ITO_ERR_SHAPE, "unet: %" PRId64 " channels; the number must be even",
                            c->channels);
    if (!resolve_groups(c) || !check_numbers(c) || !check_attention(c) || !check_sides(c))
        return ito_error_code();
    return ITO_OK;
}

ito_status ito_unet_check(const ito_unet_config *config)
{
    ito_unet_config copy = *config;
    return unet_config_resolve(&copy);
}

/* ---- presets ---- */

typedef struct unet_preset {
    const char *name;
    ito_unet_config config; /* without the images' size */
    bool attention_at_16; /* at the level with 9 to 16 pixels on the shorter side, if there is one;
                             else at the smallest level */
} unet_preset;

static const unet_preset presets[] = {
    {"small", {.levels = 3, .channels = 32, .multipliers = {1, 2, 2}, .blocks = 2}, false},
    {"cifar10",
     {.levels = 4, .channels = 128, .multipliers = {1, 2, 2, 2}, .blocks = 2, .dropout = 0.1},
     true},
    {"lsun256",
     {.levels = 6, .channels = 128, .multipliers = {1, 1, 2, 2, 4, 4}, .blocks = 2},
     true},
};

static const unet_preset *preset_find(const char *name)
{
    char names[200] = "";
    size_t n = sizeof presets / sizeof presets[0];
    for (size_t i = 0; i < n; i++) {
        if (strcmp(presets[i].name, name) == 0)
            return &presets[i];
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s",
                 i == 0      ? ""
                 : i + 1 < n ? ", "
                             : " and ",
                 presets[i].name);
    }
    return error_null(ITO_ERR_ARGUMENT, "unet: there is no preset \"%s\"; there are %s", name,
                      names);
}

static void set_attention(ito_unet_config *c, bool at_16)
{
    int64_t side = c->height < c->width ? c->height : c->width;
    for (int64_t i = 0; i < c->levels; i++)
        c->attention[i] = at_16 ? (side >> i) > 8 && (side >> i) <= 16 : i == c->levels - 1;
}

ito_status ito_unet_preset(const char *name, int64_t image_channels, int64_t height, int64_t width,
                           ito_unet_config *out)
{
    const unet_preset *preset = preset_find(name);
    if (preset == NULL)
        return ito_error_code();
    ito_unet_config c = preset->config;
    c.in_channels = c.out_channels = image_channels;
    c.height = height;
    c.width = width;
    set_attention(&c, preset->attention_at_16);
    ito_status status = unet_config_resolve(&c);
    if (status == ITO_OK)
        *out = c;
    return status;
}
