/* The kinds of files of weights, behind one handle. Not installed.
 *
 * A kind fills the list of tensors when it opens a file; finding and converting are the same for
 * all (weights.c). Invariant: an open ito_weights is never changed. */
#ifndef ITO_IO_WEIGHTS_KINDS_H
#define ITO_IO_WEIGHTS_KINDS_H

#include "tensor/io/stored_dtype.h"
#include "tensor/io/weights.h"

typedef struct weights_entry {
    const char *name; /* the kind's */
    const stored_dtype *dtype;
    ito_shape shape;
} weights_entry;

typedef struct weights_kind {
    /* Tensor i, row-major; NULL with an error recorded. */
    ito_tensor *(*read)(const ito_weights *w, int64_t i);
    /* The metadata's text under key; NULL where there is none, also as a function. */
    const char *(*metadata)(const ito_weights *w, const char *key);
    /* Free what is the kind's, also half-built. */
    void (*close)(void *state);
} weights_kind;

struct ito_weights {
    const weights_kind *kind;
    void *state; /* the kind's */
    weights_entry *entries;
    int64_t *by_name; /* indices of entries, sorted by name */
    int64_t count;
    char kind_name[40];
    char path[];
};

/* Open a file of one kind, which sets kind, state, kind_name and the entries. On failure the caller
 * closes w. */
ito_status weights_open_safetensors(ito_weights *w);
ito_status weights_open_shards(ito_weights *w);
ito_status weights_open_zip(ito_weights *w); /* PyTorch's or NumPy's */
ito_status weights_open_npz(ito_weights *w);

/* A handle without a kind; NULL without memory. */
ito_weights *weights_create(const char *path);
/* Room for n entries, which are zero; sets count. */
ito_status weights_allocate(ito_weights *w, int64_t n);
/* Once all entries are there: sort them by name; ITO_ERR_FORMAT if one occurs twice. */
ito_status weights_sort(ito_weights *w);

/* The tensors of a safetensors file that stays the caller's and has to stay open. */
ito_weights *weights_borrow(const ito_safetensors *file);

#endif
