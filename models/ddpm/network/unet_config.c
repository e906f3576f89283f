/* Settings of the U-Net: presets, and the check that every network built passes.
 * Invariant: after unet_config_resolve all sizes are small enough that no product overflows. */
#include "models/ddpm/network/unet_config.h"

#include "tensor/internal.h"

#include <stdio.h>
#include <string.h>

#define MAX_CHANNELS 8192
#define MAX_MULTIPLIER 64
#define MAX_BLOCKS 16
#define MAX_SIDE 8192
#define MAX_CLASSES 1000000

static ito_status in_range(const char *what, int64_t value, int64_t low, int64_t high)
{
    if (value >= low && value <= high)
        return ITO_OK;
    return error_status(ITO_ERR_RANGE,
                        "unet: %s is %" PRId64 "; it must be %" PRId64 " to %" PRId64, what, value,
                        low, high);
}

static ito_status check_sides(const ito_unet_config *c)
{
    int64_t unit = (int64_t)1 << (c->levels - 1);
    if (c->height % unit == 0 && c->width % unit == 0)
        return ITO_OK;
    return error_status(ITO_ERR_SHAPE,
                        "unet: images of %" PRId64 "x%" PRId64 " cannot be halved %" PRId64
                        " times; %" PRId64 " levels need sides that are multiples of %" PRId64,
                        c->height, c->width, c->levels - 1, c->levels, unit);
}

/* The largest divisor of n up to limit. */
static int64_t largest_divisor(int64_t n, int64_t limit)
{
    while (n % limit != 0)
        limit--;
    return limit;
}

/* Settings that are checked and not computed yet. */
static ito_status check_new(const ito_unet_config *c)
{
    bool by_level = false;
    for (int64_t i = 0; i < c->levels; i++)
        by_level = by_level || c->widths[i] != 0 || c->up_attention[i] != ITO_UNET_UP_AS_DOWN ||
                   c->down_resnet[i] || c->up_resnet[i];
    if (!by_level && c->head_channels == 0 && c->middle_attention_groups == 0 && c->middle == 0 &&
        c->middle_scale == 0.0 && c->downsample_padding == 0 && c->activation == 0 &&
        c->norm_eps == 0.0 && !c->scale_shift && c->time == 0 && c->times == 0 &&
        c->freq_divisor == 0 && !c->flip_sin_to_cos && c->time_channels == 0 &&
        c->class_kind == 0 && !c->center_input)
        return ITO_OK;
    return error_status(ITO_ERR_ARGUMENT, "unet: a setting after dtype is not computed yet");
}

ito_status unet_config_resolve(ito_unet_config *c)
{
    if (c->out_channels == 0)
        c->out_channels = c->in_channels;
    if (in_range("in_channels", c->in_channels, 1, MAX_CHANNELS) != ITO_OK ||
        in_range("out_channels", c->out_channels, 1, MAX_CHANNELS) != ITO_OK ||
        in_range("height", c->height, 1, MAX_SIDE) != ITO_OK ||
        in_range("width", c->width, 1, MAX_SIDE) != ITO_OK ||
        in_range("channels", c->channels, 4, MAX_CHANNELS) != ITO_OK ||
        in_range("the number of levels", c->levels, 1, ITO_UNET_MAX_LEVELS) != ITO_OK ||
        in_range("the number of blocks", c->blocks, 1, MAX_BLOCKS) != ITO_OK ||
        in_range("the number of classes", c->classes, 0, MAX_CLASSES) != ITO_OK)
        return ITO_ERR_RANGE;
    for (int64_t i = 0; i < c->levels; i++)
        if (in_range("a multiplier", c->multipliers[i], 1, MAX_MULTIPLIER) != ITO_OK)
            return ITO_ERR_RANGE;
    if (c->channels % 2 != 0)
        return error_status(ITO_ERR_SHAPE, "unet: %" PRId64 " channels; the number must be even",
                            c->channels);
    if (c->groups == 0)
        c->groups = largest_divisor(c->channels, 32);
    if (c->groups < 1 || c->channels % c->groups != 0)
        return error_status(ITO_ERR_SHAPE,
                            "unet: %" PRId64 " channels do not form %" PRId64 " groups",
                            c->channels, c->groups);
    if (!(c->dropout >= 0.0 && c->dropout < 1.0))
        return error_status(ITO_ERR_RANGE, "unet: dropout is %g; it must be in [0, 1)", c->dropout);
    if (c->dtype != ITO_F32 && c->dtype != ITO_F64)
        return error_status(ITO_ERR_DTYPE,
                            "unet: parameters are f32 or f64, not %s; f32 ones "
                            "compute in bf16 by ito_unet_set_precision",
                            ito_dtype_name(c->dtype));
    if (check_new(c) != ITO_OK)
        return ITO_ERR_ARGUMENT;
    return check_sides(c);
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
