/* Names of the U-Net's tensors in files of other programs. Not installed. */
#ifndef ITO_DDPM_UNET_NAMES_H
#define ITO_DDPM_UNET_NAMES_H

#include "models/ddpm/network/unet_weights.h"

enum { UNET_NAME_SIZE = 400, UNET_AFFIX_SIZE = sizeof((ito_unet_load_report *)0)->prefix };

/* How a file calls the tensors of a network. */
typedef struct unet_naming {
    const ito_weights *file;
    ito_unet_names names;
    char prefix[UNET_AFFIX_SIZE], suffix[UNET_AFFIX_SIZE];
    int64_t levels, blocks;
} unet_naming;

/* A row of unet_names.def: each column in the order of ito_unet_names; NULL where a network of that
 * kind has no such layer. */
typedef struct unet_name_row {
    const char *in[ITO_UNET_NAMES];
} unet_name_row;

/* The rows of places, parts and parameters; behind the last is one with NULL for diffusers. */
extern const unet_name_row unet_places[], unet_parts[], unet_parameters[];

/* See whose names a file has, and what stands around them; levels and blocks are not known yet.
 * ITO_ERR_FORMAT if they are none that are known, or stand under several prefixes. */
ito_status unet_naming_find(unet_naming *n, const ito_weights *file, const char *prefix);
/* The tensor of the file that is `here`, or -1; *third is which part of a fused one, or -1. */
int64_t unet_naming_lookup(const unet_naming *n, const char *here, int *third);
/* The first tensor of the file that has the affixes of its names and is not marked as used, or -1;
 * used is [count]. */
int64_t unet_naming_stray(const unet_naming *n, const bool *used);

#endif
