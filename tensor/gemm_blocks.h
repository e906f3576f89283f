/* The blocked product that matrix products and convolutions share: they differ only in how the
 * operands are gathered into panels and where the rows of C lie.
 *
 * Invariant: k is cut into blocks that depend on k and the kernel alone; an element of C
 * takes the blocks in order, each summed in order by the same kernel. So its bits depend on neither
 * m, n, the number of items nor the number of threads.
 */
#ifndef ITO_GEMM_BLOCKS_H
#define ITO_GEMM_BLOCKS_H

#include "tensor/internal.h"
#include "tensor/kernels/kernels.h"

/* Sizes of blocks. */
static inline int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static inline int64_t round_up(int64_t a, int64_t b)
{
    return ceil_div(a, b) * b;
}

static inline int64_t min_of(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t max_of(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Packs rows of A (columns of B) [first, first + count) at depth [k0, k0 + k) into panels
 * [k][width], one behind the other, the last filled up with zeros. width is one of the two sides of
 * the kernel's tile, first a multiple of it, k > 0. */
typedef void gemm_pack(const void *source, int64_t item, char *panels, int64_t width, int64_t first,
                       int64_t count, int64_t k0, int64_t k);

typedef struct gemm_operand {
    gemm_pack *pack;
    const void *source;
} gemm_operand;

/* Where a row of C begins: row r of item t, with r = (image * grid_h + i) * grid_w + j, is
 * t * item + image * image_stride + i * line_stride + j * pixel_stride elements behind c. */
typedef struct gemm_layout {
    int64_t item;
    int64_t grid_h, grid_w;
    int64_t image_stride, line_stride, pixel_stride;
} gemm_layout;

/* How the work is cut; made by gemm_blocks_plan. One operand is packed once and shared by all
 * threads, the other is packed by each thread for the tile it works on. */
typedef struct gemm_plan {
    bool flipped; /* rows of the kernel's tile are columns of C: less waste if C is narrow */
    int64_t a_width, b_width; /* of the panels */
    bool share_a;
    bool by_item;          /* threads take whole items; else they take tiles of an item in turn */
    int threads;           /* at most */
    int64_t depth, depths; /* of a block of k, and how many blocks */
    int64_t group;         /* blocks of k that are shared at a time */
    int64_t span;          /* rows or columns that are shared at a time */
    int64_t tile, tiles;   /* rows or columns of the other operand in a tile, and how many tiles */
    int64_t shared_bytes;  /* of the scratch memory */
    int64_t private_bytes;
    int64_t rows_bytes; /* places of the rows of C, and as many of add */
} gemm_plan;

/* C = A B for items of the same shape, + C if accumulate, + bias[n] and + add[m, n] unless NULL. */
typedef struct gemm_blocks {
    ito_dtype a_dtype, b_dtype, c_dtype; /* as in gemm_problem */
    int64_t items, m, n, k;
    gemm_operand a, b;
    void *c;
    gemm_layout layout;
    const void *bias;
    int64_t bias_item; /* from the bias of one item to that of the next */
    const void *add;   /* elements of c_dtype; a row may serve many rows of C (strides of 0) */
    gemm_layout add_layout;
    bool accumulate;
    gemm_plan plan;
} gemm_blocks;

/* Fills in the plan; returns the bytes of scratch memory that gemm_blocks_run wants. */
size_t gemm_blocks_plan(gemm_blocks *p);
/* scratch is aligned to 64 bytes. Cannot fail. */
void gemm_blocks_run(const gemm_blocks *p, void *scratch);

/* An operand that lies in memory with fixed strides, in elements: along the panel (over rows of A,
 * columns of B), along k, and from an item to the next. */
typedef struct gemm_matrix {
    ito_dtype dtype;
    const void *data;
    int64_t stride, stride_k, stride_item;
} gemm_matrix;

/* The gemm_pack of a gemm_matrix. */
gemm_pack gemm_pack_matrix;

#endif
