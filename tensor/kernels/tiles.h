/* Products of bf16 by tiles: a block of 32 x 32 sums in f32 in four tiles of 16 x 16, to which each
 * step adds the products of 32 elements of k. The same source is compiled twice: for the tile
 * registers of AMX, and in plain C, to the same bits, so that all that is made of them can be
 * tested on every machine (ITO_ISA=amx-emulated).
 *
 * Invariant: a sum is a chain over steps in order. A step adds, to the sum, the sum of its 16
 * products of even k and that of its 16 products of odd k, each added in order from 0. Every sum is
 * rounded once, to nearest even; denormals count as 0 and become 0.
 */
#ifndef ITO_KERNELS_TILES_H
#define ITO_KERNELS_TILES_H

#include "tensor/tensor.h"

enum {
    TILE_SIDE = 16,                          /* rows and columns of sums in a tile */
    TILE_STEP = 32,                          /* elements of k in a step */
    TILE_BLOCK = 2 * TILE_SIDE,              /* rows and columns of sums in a block */
    TILE_ROW_BYTES = 64,                     /* of a tile */
    TILE_BYTES = TILE_SIDE * TILE_ROW_BYTES, /* of a tile that is packed */
};

/* A tile of a has a row of 32 elements for each row of sums; a tile of b a row of 16 pairs of
 * elements, k and k + 1, for each two of k. All distances are in bytes. */
typedef struct tile_operand {
    const char *data;
    int64_t row;  /* from a row of a tile to the next */
    int64_t step; /* from the tile of a step to that of the next */
    int64_t half; /* to the other 16 rows (columns) of the block */
} tile_operand;

/* sums[i][j] = the sum over taps and steps, + itself if accumulate. */
typedef struct tile_block {
    tile_operand a, b;
    const int64_t *taps; /* from a.data to the a of each tap; b goes on from tap to tap */
    int64_t tap_count, steps;
    bool one_row, one_column; /* of tiles: the other 16 rows (columns) are not there */
    float *sums;
    int64_t sums_row; /* floats from row to row */
    bool accumulate;
} tile_block;

/* Elements to pack for tiles: of `width` rows of a (columns of b), `stride` elements apart, k
 * elements, `stride_k` apart; or, if there are lists of them, each k where its pointer says, with
 * stride 1. */
typedef struct tile_source {
    ito_dtype dtype; /* bf16, or f32 to be rounded to it */
    const void *data;
    int64_t stride, stride_k;
    const void *const *list; /* instead of data and stride_k, or NULL */
} tile_source;

/* Where tiles go: panels of 16 rows (columns), each of a tile a step; distances in bytes. */
typedef struct tile_packed {
    char *data;
    int64_t row, step, panel;
} tile_packed;

typedef struct tile_kernels {
    /* Around the calls of multiply in a thread: nothing of tiles is left behind. */
    void (*begin)(void);
    void (*end)(void);
    void (*multiply)(const tile_block *t);
    /* Panels of `width` rows of a or columns of b, filled up with zeros to whole panels and steps.
     */
    void (*pack_a)(const tile_packed *to, const tile_source *from, int64_t width, int64_t k);
    void (*pack_b)(const tile_packed *to, const tile_source *from, int64_t width, int64_t k);
} tile_kernels;

extern const tile_kernels tile_kernels_emulated;
#if defined(__x86_64__)
extern const tile_kernels tile_kernels_amx;
#endif

/* Those of the instruction set in use; NULL where it has none. */
const tile_kernels *tiles_in_use(void);
/* The same, or the emulated ones: of products that tests ask for. */
const tile_kernels *tiles_or_emulated(void);

#endif
