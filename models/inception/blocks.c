/* Inception-v3's layers, as torchvision names them. */
#include "models/inception/blocks.h"

/* The results of all rows that the next one does not take, and of a pool of stride 2, are
 * concatenated. */
static const inception_row rows_a[] = {
    {"branch1x1", 64, 1, 1, 1, INPUT},         {"branch5x5_1", 48, 1, 1, 1, INPUT},
    {"branch5x5_2", 64, 5, 5, 1, PREVIOUS},    {"branch3x3dbl_1", 64, 1, 1, 1, INPUT},
    {"branch3x3dbl_2", 96, 3, 3, 1, PREVIOUS}, {"branch3x3dbl_3", 96, 3, 3, 1, PREVIOUS},
    {"branch_pool", 0, 1, 1, 1, POOLED},
};
static const inception_row rows_b[] = {
    {"branch3x3", 384, 3, 3, 2, INPUT},
    {"branch3x3dbl_1", 64, 1, 1, 1, INPUT},
    {"branch3x3dbl_2", 96, 3, 3, 1, PREVIOUS},
    {"branch3x3dbl_3", 96, 3, 3, 2, PREVIOUS},
};
static const inception_row rows_c[] = {
    {"branch1x1", 192, 1, 1, 1, INPUT},         {"branch7x7_1", 0, 1, 1, 1, INPUT},
    {"branch7x7_2", 0, 1, 7, 1, PREVIOUS},      {"branch7x7_3", 192, 7, 1, 1, PREVIOUS},
    {"branch7x7dbl_1", 0, 1, 1, 1, INPUT},      {"branch7x7dbl_2", 0, 7, 1, 1, PREVIOUS},
    {"branch7x7dbl_3", 0, 1, 7, 1, PREVIOUS},   {"branch7x7dbl_4", 0, 7, 1, 1, PREVIOUS},
    {"branch7x7dbl_5", 192, 1, 7, 1, PREVIOUS}, {"branch_pool", 192, 1, 1, 1, POOLED},
};
static const inception_row rows_d[] = {
    {"branch3x3_1", 192, 1, 1, 1, INPUT},      {"branch3x3_2", 320, 3, 3, 2, PREVIOUS},
    {"branch7x7x3_1", 192, 1, 1, 1, INPUT},    {"branch7x7x3_2", 192, 1, 7, 1, PREVIOUS},
    {"branch7x7x3_3", 192, 7, 1, 1, PREVIOUS}, {"branch7x7x3_4", 192, 3, 3, 2, PREVIOUS},
};
static const inception_row rows_e[] = {
    {"branch1x1", 320, 1, 1, 1, INPUT},          {"branch3x3_1", 384, 1, 1, 1, INPUT},
    {"branch3x3_2a", 384, 1, 3, 1, PREVIOUS},    {"branch3x3_2b", 384, 3, 1, 1, SIBLING},
    {"branch3x3dbl_1", 448, 1, 1, 1, INPUT},     {"branch3x3dbl_2", 384, 3, 3, 1, PREVIOUS},
    {"branch3x3dbl_3a", 384, 1, 3, 1, PREVIOUS}, {"branch3x3dbl_3b", 384, 3, 1, 1, SIBLING},
    {"branch_pool", 192, 1, 1, 1, POOLED},
};

#define STEM(block_name, out, kernel, stride, pads, pool)                                          \
    {                                                                                              \
        block_name, (const inception_row[]){{"", out, kernel, kernel, stride, INPUT}}, 1, 0, pads, \
            pool                                                                                   \
    }
#define MIXED(block_name, rows, own, pool)                                                         \
    {                                                                                              \
        block_name, rows, sizeof rows / sizeof *rows, own, true, pool                              \
    }

const inception_block inception_blocks[INCEPTION_BLOCKS] = {
    STEM("Conv2d_1a_3x3", 32, 3, 2, false, NO_POOL), /* from 299 to 149 */
    STEM("Conv2d_2a_3x3", 32, 3, 1, false, NO_POOL), /* 147 */
    STEM("Conv2d_2b_3x3", 64, 3, 1, true, HALVES),   /* 73 */
    STEM("Conv2d_3b_1x1", 80, 1, 1, false, NO_POOL),
    STEM("Conv2d_4a_3x3", 192, 3, 1, false, HALVES), /* 71, 35 */
    MIXED("Mixed_5b", rows_a, 32, MEANS),
    MIXED("Mixed_5c", rows_a, 64, MEANS),
    MIXED("Mixed_5d", rows_a, 64, MEANS),
    MIXED("Mixed_6a", rows_b, 0, HALVES), /* 17 */
    MIXED("Mixed_6b", rows_c, 128, MEANS),
    MIXED("Mixed_6c", rows_c, 160, MEANS),
    MIXED("Mixed_6d", rows_c, 160, MEANS),
    MIXED("Mixed_6e", rows_c, 192, MEANS),
    MIXED("Mixed_7a", rows_d, 0, HALVES), /* 8 */
    MIXED("Mixed_7b", rows_e, 0, MEANS),
    MIXED("Mixed_7c", rows_e, 0, MEANS_MAX),
};
