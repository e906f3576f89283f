/* The blocked product that matrix products and convolutions share: they differ only in how the
 * operands are gathered into panels and where the rows of C lie.
 *
 * Invariant: k is cut into blocks that depend on k and the kernel alone; an element of C
 * takes the blocks in order, each summed in order by the same kernel. So its bits depend on neither
 * m, n, the number of items nor the number of threads. A bf16 C is rounded once, after all blocks.
 */
#ifndef ITO_GEMM_BLOCKS_H
#define ITO_GEMM_BLOCKS_H

#include "tensor/gemm/gemm.h"
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/tiles.h"

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

/* How many threads so many multiply-adds are worth. */
static inline int threads_for_products(double products)
{
    enum { A_NANOSECOND = 32 };
    double work = products / A_NANOSECOND;
    return threads_for(work < 1e15 ? (int64_t)work : (int64_t)1e15);
}

/* Packs rows of A (columns of B) [first, first + count) at depth [k0, k0 + k) into panels of reals
 * [k][width], one behind the other, the last filled up with zeros. width is one of the two sides of
 * the kernel's tile or TILE_SIDE, first a multiple of it, k > 0. */
typedef void gemm_pack(const void *source, int64_t item, char *panels, int64_t width, int64_t first,
                       int64_t count, int64_t k0, int64_t k);

/* Gathers rows [first, first + count) of A as bf16, `row` bytes apart, each followed by zeros up to
 * a whole step (TILE_STEP) of k. */
typedef void gemm_rows(const void *source, int64_t item, char *to, int64_t row, int64_t first,
                       int64_t count, int64_t k0, int64_t k);

typedef struct gemm_operand {
    gemm_pack *pack;
    const void *source;
    gemm_rows *rows; /* of A, for tiles; or NULL: by way of pack */
} gemm_operand;

/* Where a row of C begins: row r of item t, with r = (image * grid_h + i) * grid_w + j, is
 * t * item + image * image_stride + i * line_stride + j * pixel_stride elements behind c. */
typedef struct gemm_layout {
    int64_t item;
    int64_t grid_h, grid_w;
    int64_t image_stride, line_stride, pixel_stride;
} gemm_layout;

enum { GEMM_LINE = 64 }; /* bytes, of a cache */

/* How the work is cut; made by gemm_blocks_plan. One operand is packed once and shared by all
 * threads, the other is packed by each thread for the tile it works on; one of them may be read
 * where it lies instead. */
typedef struct gemm_plan {
    bool flipped; /* the kernel takes B as scalars, A as vectors: less to do if C is narrow */
    int64_t a_width, b_width; /* of the panels */
    int64_t size;             /* of a real */
    bool pairs;               /* panels hold pairs of bf16 */
    bool keeps_sums;          /* until the last block of k: C cannot hold them */
    int64_t row; /* elements from row to row of what is taken as scalars, if in place; else 0 */
    bool share_a;
    bool shared_in_place;
    bool by_item;          /* threads take whole items; else they take tiles of an item */
    int threads;           /* at most */
    int64_t depth, depths; /* of a block of k, and how many blocks */
    int64_t group;         /* blocks of k that are shared at a time */
    int64_t stage;         /* blocks of k that a tile goes through at a time */
    int64_t span;          /* rows or columns that are shared at a time */
    int64_t panels, tiles; /* of the other operand, and into how many tiles they go */
    int64_t tile_most;     /* rows or columns in a tile */
    int64_t private_most;  /* bytes of a thread's block: half of the second-level cache */
    int64_t shared_bytes;  /* of the scratch memory */
    int64_t private_bytes;
    int64_t rows_bytes; /* places of the rows of C, and as many of add and of sums */
    int64_t sums_bytes;
    int64_t sums_row; /* reals from row to row of sums */
    int64_t reals_bytes;
    int64_t own_bytes; /* all but what is shared */
} gemm_plan;

/* How a product is cut that is made by tiles (gemm_tiles.c). B is packed for all threads, for some
 * of its columns and of k at a time; each thread packs A for a unit, some rows of C, or reads it
 * where it lies. */
typedef struct tile_plan {
    const tile_kernels *kernels;
    int64_t depth, depths;     /* of a block of k, and how many blocks */
    int64_t span;              /* columns that are packed at a time: whole blocks */
    int64_t height;            /* rows of C that are done at a time */
    int64_t rows;              /* of a unit: whole blocks */
    int64_t columns;           /* of a unit */
    bool a_in_place, a_shared; /* a_shared: packed for all threads, as B is */
    bool by_item;
    int threads;
    int64_t a_row;                        /* bytes from row to row of packed rows */
    int64_t b_bytes, a_bytes, sums_bytes; /* of what threads share */
    int64_t shared_bytes, own_bytes;
} tile_plan;

/* C = A B for items of the same shape, + C if accumulate, + bias[n] and + add[m, n] unless NULL. */
typedef struct gemm_blocks {
    ito_dtype a_dtype, b_dtype, c_dtype; /* as in gemm_problem */
    gemm_way way;
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
    tile_plan by_tiles; /* instead of plan, where its kernels are not NULL */
} gemm_blocks;

/* Of a block of k. */
int64_t gemm_depth(int64_t k);

/* What sums are made in, and panels hold unless they hold pairs of bf16. */
static inline ito_dtype gemm_reals(const gemm_blocks *p)
{
    return p->c_dtype == ITO_F64 ? ITO_F64 : ITO_F32;
}

/* Of a row or column in a panel of k elements. */
static inline int64_t gemm_panel_bytes(const gemm_plan *q, int64_t k)
{
    return q->pairs ? (k + 1) / 2 * (int64_t)sizeof(uint32_t) : k * q->size;
}

/* Fills in the plan; returns the bytes of scratch memory that gemm_blocks_run wants. */
size_t gemm_blocks_plan(gemm_blocks *p);
/* scratch is aligned to 64 bytes. Cannot fail. */
void gemm_blocks_run(const gemm_blocks *p, void *scratch);

/* The same of a product by tiles. */
size_t gemm_tiles_plan(gemm_blocks *p);
void gemm_tiles_run(const gemm_blocks *p, char *scratch);
/* Where rows [first, first + count) of item's C begin. */
void gemm_find_rows(const gemm_layout *l, int64_t item, int64_t first, int64_t count,
                    int64_t *rows);

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
