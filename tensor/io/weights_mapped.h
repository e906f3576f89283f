/* Weights under other names and in other layouts than their file has. Not installed.
 *
 * The mapped weights are weights again: tensors are changed when they are read. */
#ifndef ITO_IO_WEIGHTS_MAPPED_H
#define ITO_IO_WEIGHTS_MAPPED_H

#include "tensor/io/weights.h"

/* Where a tensor comes from. */
typedef struct weights_part {
    int64_t source;     /* index in the file */
    bool channels_last; /* H W I O or I O, TensorFlow's: becomes O I H W or O I */
    int part, parts;    /* of the first axis, 0 of 1 being all */
    int64_t heads; /* with parts > 1: 0: each part lies in one piece; else in so many pieces, the
                    * parts of a head beside each other */
} weights_part;

typedef struct weights_map_entry {
    const char *name; /* copied */
    ito_shape shape;  /* that is wanted: axes of size 1 at the end come and go */
    weights_part part;
} weights_map_entry;

/* The n tensors of these names, read through w, which stays open as long. The shape of one that
 * cannot get the shape that is wanted is what it has. */
ito_weights *weights_map(const ito_weights *w, const weights_map_entry *entries, int64_t n);

#endif
