/* The register tile that matrix products are made of, in gemm.c and winograd.c alike. */
#ifndef ITO_KERNELS_TILE_H
#define ITO_KERNELS_TILE_H

#include "tensor/kernels/vec.h"

/* With 16 registers: 12 sums, 2 vectors of B, one element of A, one to spare. With 32, 24 sums
 * hide the latency as well as 28 would, and 12 rows divide 128, 256 and 512 with less waste. */
#define TILE_ROWS (VEC_REGISTERS == 32 ? 12 : 6)
#define TILE_COLUMNS (2 * VL)

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#endif
