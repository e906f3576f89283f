/* What a file is, by its first bytes, or by its name where they say nothing. */
#ifndef ITO_DDPM_FILE_KIND_H
#define ITO_DDPM_FILE_KIND_H

#include <ito/ito.h>

typedef enum file_kind {
    FILE_UNKNOWN,
    FILE_SAFETENSORS,
    FILE_NPY,
    FILE_IDX,
    FILE_IMAGE,
    FILE_COMPRESSED, /* by ito-ddpm compress */
    FILE_KINDS
} file_kind;

/* What cannot be read or is too short to tell counts as safetensors, whose reader says what is
 * wrong. */
file_kind file_kind_of(const char *path);
/* A file of weights; NULL with an error recorded, which says what it is if it is another kind. */
ito_safetensors *file_open_weights(const char *path);

#endif
