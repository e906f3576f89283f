/* Weights of other programs in a U-Net, and the settings that their names and shapes show. */
#include "models/ddpm/network/unet_weights.h"
#include "models/ddpm/network/unet_config.h"
#include "models/ddpm/network/unet_names.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/io/weights_mapped.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings ---- */

/* The shape of a tensor of the network, in the order of PyTorch; no axes if the file lacks it. */
static ito_shape shape_of(const unet_naming *n, const char *here)
{
    int third;
    int64_t i = unet_naming_lookup(n, here, &third);
    ito_shape s = i < 0 ? ITO_SHAPE() : ito_weights_shape(n->file, i);
    if (n->names == ITO_UNET_NAMES_TENSORFLOW && s.ndim == 4)
        return ITO_SHAPE(s.dim[3], s.dim[2], s.dim[0], s.dim[1]);
    if (n->names == ITO_UNET_NAMES_TENSORFLOW && s.ndim == 2)
        return ITO_SHAPE(s.dim[1], s.dim[0]);
    return s;
}

/* The same of "down_blocks.<i>.<rest>"; its first size is 0 if the file lacks it. */
static int64_t rows_of(const unet_naming *n, const char *kind, int64_t i, const char *rest)
{
    char here[120];
    snprintf(here, sizeof here, "%s.%" PRId64 ".%s", kind, i, rest);
    ito_shape s = shape_of(n, here);
    return s.ndim > 0 ? s.dim[0] : 0;
}

static bool has(const unet_naming *n, const char *kind, int64_t i, const char *rest)
{
    return rows_of(n, kind, i, rest) > 0;
}

/* Blocks of a level, by the first result of the up path that is doubled; where none is, by all. */
static int64_t count_guided_blocks(unet_naming *n)
{
    for (n->blocks = 1; n->blocks < 64; n->blocks++)
        if (has(n, "up_blocks", 0, "upsamplers.0.conv.weight") ||
            has(n, "up_blocks", 0, "upsamplers.0.norm1.weight"))
            return n->blocks;
    int64_t blocks = 0;
    char rest[40] = "resnets.1.conv1.weight";
    while (blocks < 64 && has(n, "up_blocks", 0, rest))
        snprintf(rest, sizeof rest, "resnets.%" PRId64 ".conv1.weight", ++blocks + 1);
    return blocks;
}

static int64_t count_blocks(unet_naming *n)
{
    int64_t blocks = 0;
    char rest[40] = "resnets.0.conv1.weight";
    if (n->names == ITO_UNET_NAMES_GUIDED)
        return count_guided_blocks(n);
    while (blocks < 64 && has(n, "down_blocks", 0, rest))
        snprintf(rest, sizeof rest, "resnets.%" PRId64 ".conv1.weight", ++blocks);
    return blocks;
}

static void count_levels_and_blocks(unet_naming *n)
{
    n->blocks = count_blocks(n);
    n->levels = 0;
    while (n->levels < ITO_UNET_MAX_LEVELS &&
           has(n, "down_blocks", n->levels, "resnets.0.conv1.weight"))
        n->levels++;
}

/* A level by its first block on the way down, and on the way up. */
static void read_level(const unet_naming *n, int64_t i, ito_unet_config *c)
{
    const int64_t up = n->levels - 1 - i;
    int64_t width = rows_of(n, "down_blocks", i, "resnets.0.conv1.weight");
    if (c->channels > 0 && width % c->channels == 0)
        c->multipliers[i] = width / c->channels;
    else
        c->widths[i] = width;
    c->attention[i] = has(n, "down_blocks", i, "attentions.0.group_norm.weight");
    if (has(n, "up_blocks", up, "attentions.0.group_norm.weight") != c->attention[i])
        c->up_attention[i] = c->attention[i] ? ITO_UNET_UP_NO_ATTENTION : ITO_UNET_UP_ATTENTION;
    c->down_resnet[i] = has(n, "down_blocks", i, "downsamplers.0.norm1.weight");
    c->up_resnet[i] = has(n, "up_blocks", up, "upsamplers.0.norm1.weight");
}

/* What all networks of guided-diffusion have, and no shape shows. */
static void set_guided(ito_unet_config *c)
{
    c->groups = 32;
    c->middle_attention_groups = 32;
    c->norm_eps = 1e-5;
    c->downsample_padding = 1;
    c->freq_divisor = c->channels / 2;
    c->flip_sin_to_cos = true;
}

/* The channels of a head, which have to be the same wherever there is attention. */
static ito_status set_heads(const unet_naming *n, const ito_unet_config_of_options *o,
                            ito_unet_config *c)
{
    int64_t heads = o->heads > 0 ? o->heads : 1,
            width = rows_of(n, "mid_block.attentions", 0, "group_norm.weight");
    c->head_channels = o->head_channels;
    if (o->head_channels > 0 || heads == 1)
        return ITO_OK;
    for (int64_t i = 0; i < c->levels; i++) {
        int64_t other = unet_level_width(c, i);
        if (!c->attention[i] || width == 0 || other == width)
            continue;
        return file_error(ITO_ERR_ARGUMENT, ito_weights_path(n->file),
                          "%" PRId64 " heads of %" PRId64 " channels have other widths than those "
                          "of %" PRId64 ": a U-Net here has heads of one width",
                          heads, other, width);
    }
    c->head_channels = width / heads;
    return ITO_OK;
}

ito_status ito_unet_config_of_with(const ito_weights *w, ito_unet_config *config,
                                   ito_unet_config_of_options options)
{
    unet_naming n;
    if (w == NULL || config == NULL)
        return error_missing("unet_config_of", w == NULL ? "the file" : "the configuration");
    if (unet_naming_find(&n, w, options.prefix) != ITO_OK)
        return ito_error_code();
    if (n.names <= ITO_UNET_NAMES_OLD_DIFFUSERS)
        return file_error(ITO_ERR_FORMAT, ito_weights_path(w),
                          "has the names of diffusers, whose settings its shapes do not show: they "
                          "are in the config.json beside it");
    count_levels_and_blocks(&n);
    ito_shape in = shape_of(&n, "conv_in.weight"), out = shape_of(&n, "conv_out.weight");
    ito_unet_config c = {.in_channels = in.dim[1],
                         .out_channels = out.dim[0],
                         .height = options.height,
                         .width = options.width,
                         .channels = in.dim[0],
                         .levels = n.levels,
                         .blocks = n.blocks,
                         .classes = shape_of(&n, "class_embedding.weight").dim[0]};
    for (int64_t i = 0; i < n.levels; i++)
        read_level(&n, i, &c);
    int64_t time = shape_of(&n, "time_embedding.linear_1.weight").dim[0],
            shift = rows_of(&n, "down_blocks", 0, "resnets.0.time_emb_proj.weight");
    c.time_channels = time != 4 * c.channels ? time : 0;
    c.scale_shift = shift == 2 * rows_of(&n, "down_blocks", 0, "resnets.0.conv1.weight");
    c.class_kind = c.classes > 0 ? ITO_UNET_CLASS_ALWAYS : ITO_UNET_CLASS_OR_NONE;
    if (!has(&n, "mid_block.attentions", 0, "group_norm.weight"))
        c.middle = ITO_UNET_MIDDLE_NO_ATTENTION;
    if (n.names == ITO_UNET_NAMES_GUIDED)
        set_guided(&c);
    if (set_heads(&n, &options, &c) != ITO_OK || ito_unet_check(&c) != ITO_OK)
        return ito_error_code();
    *config = c;
    return ITO_OK;
}

/* ---- weights ---- */

typedef struct unet_import {
    ito_unet *unet;
    unet_naming naming;
    const ito_unet_load_options *options;
    ito_named_tensors *state;
    weights_map_entry *entries; /* [state->n], of which n are there */
    bool *used;                 /* [tensors of the file] */
    int64_t n;
} unet_import;

/* Where the tensor of this name comes from, if the file has it. */
static void add_entry(unet_import *m, const char *here, const ito_tensor *t)
{
    int third;
    int64_t source = unet_naming_lookup(&m->naming, here, &third);
    if (source < 0)
        return;
    int64_t head = m->unet->config.head_channels, rows = t->ndim > 0 ? t->shape[0] : 1;
    weights_part part = {.source = source,
                         .channels_last = m->naming.names == ITO_UNET_NAMES_TENSORFLOW,
                         .part = third < 0 ? 0 : third,
                         .parts = third < 0 ? 1 : 3};
    if (third >= 0 && !m->options->new_attention_order)
        part.heads = head > 0 && rows % head == 0 ? rows / head : 1;
    m->used[source] = true;
    m->entries[m->n++] = (weights_map_entry){here, ito_shape_of(t), part};
}

static ito_status list_entries(unet_import *m)
{
    const ito_weights *file = m->naming.file;
    m->naming.levels = m->unet->config.levels;
    m->naming.blocks = m->unet->config.blocks;
    m->state = ito_module_state(&m->unet->base);
    if (m->state == NULL)
        return ito_error_code();
    m->entries = struct_alloc((size_t)m->state->n * sizeof *m->entries + 1);
    m->used = struct_alloc((size_t)ito_weights_count(file) + 1);
    if (m->entries == NULL || m->used == NULL)
        return ITO_ERR_MEMORY;
    for (int64_t i = 0; i < m->state->n; i++)
        add_entry(m, m->state->names[i], m->state->tensors[i]);
    int64_t stray = unet_naming_stray(&m->naming, m->used);
    if (stray < 0)
        return ITO_OK;
    return file_error(ITO_ERR_FORMAT, ito_weights_path(file),
                      "holds %.100s, which the network does not have",
                      ito_weights_name(file, stray));
}

static void put_report(const unet_import *m)
{
    ito_unet_load_report *r = m->options->report;
    if (r == NULL)
        return;
    *r = (ito_unet_load_report){.names = m->naming.names, .loaded = m->n};
    for (int64_t i = 0; i < ito_weights_count(m->naming.file); i++)
        r->unused += !m->used[i];
    memcpy(r->prefix, m->naming.prefix, sizeof r->prefix);
    memcpy(r->suffix, m->naming.suffix, sizeof r->suffix);
}

static ito_status load_mapped(unet_import *m)
{
    ito_weights *mapped = weights_map(m->naming.file, m->entries, m->n);
    if (mapped == NULL)
        return ito_error_code();
    ito_status status = ito_module_load_weights(&m->unet->base, mapped, .prefix = "");
    ito_weights_close(mapped);
    if (status == ITO_OK)
        put_report(m);
    return status;
}

ito_status ito_unet_load_with(ito_unet *unet, const ito_weights *w, ito_unet_load_options options)
{
    if (unet == NULL || w == NULL)
        return error_missing("unet_load", unet == NULL ? "the network" : "the file");
    unet_import m = {.unet = unet, .options = &options};
    ito_status status = unet_naming_find(&m.naming, w, options.prefix);
    if (status == ITO_OK)
        status = list_entries(&m);
    if (status == ITO_OK)
        status = load_mapped(&m);
    ito_named_tensors_free(m.state);
    free(m.entries);
    free(m.used);
    return status;
}
