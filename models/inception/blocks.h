/* The layers of Inception-v3, by table. Internal. */
#ifndef ITO_INCEPTION_BLOCKS_H
#define ITO_INCEPTION_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

/* What a convolution of a block takes. */
typedef enum inception_source {
    PREVIOUS, /* the convolution before it */
    SIBLING,  /* what the one before it takes */
    INPUT,    /* the block's input */
    POOLED    /* the block's input, pooled without changing its size */
} inception_source;

/* A convolution without bias, a batch norm, a relu. */
typedef struct inception_row {
    const char *name;
    int64_t out; /* channels; 0: the block's own number */
    int64_t high, wide, stride;
    inception_source from;
} inception_row;

typedef enum inception_pool {
    NO_POOL,
    MEANS,     /* 3x3, which keeps the size */
    MEANS_MAX, /* the same, but the largest in pytorch-fid's network */
    HALVES     /* the largest of 3x3, stride 2: in the stem behind the row, else beside the rows */
} inception_pool;

/* A block of branches; or, with one row, a convolution, named as the block, and its pool. */
typedef struct inception_block {
    const char *name;
    const inception_row *rows;
    int n;
    int64_t own; /* channels */
    bool pads;   /* convolutions of stride 1 keep the size */
    inception_pool pool;
} inception_block;

enum { INCEPTION_BLOCKS = 16, INCEPTION_ROWS = 10 /* of a block, at most */ };

/* From the image to the last average pool, in the order of the state dict. */
extern const inception_block inception_blocks[INCEPTION_BLOCKS];

#endif
