/* Stacks of matrices, [.., M, N], for LAPACK: one after another in double, column by column, shared
 * among threads. Internal.
 *
 * Why LAPACK, and which: factorizations are not what this library is about, and LAPACK's have been
 * checked for decades. Debian's liblapack is the reference implementation (BSD licence). It uses
 * one thread, so the bits of a matrix are the same whatever the number of threads. f32 is computed
 * in double and rounded once.
 */
#ifndef ITO_OPS_MATRICES_H
#define ITO_OPS_MATRICES_H

#include "autograd/ops/composite.h"

enum { MATRIX_LARGEST = 16384 }; /* rows and columns: workspaces are counted in 32 bits by LAPACK */

/* Whether a is a stack of matrices of f32 or f64 (square ones) of a size that LAPACK takes; records
 * the error in op's name if not. */
bool matrices_check(const char *op, const ito_tensor *a, bool square);

/* to = matrix b of the stack, column by column: element [i, j] at to[i + j * rows]. */
void matrix_read(double *to, const ito_tensor *a, int64_t b);
/* Part [row, row + rows) x [column, column + columns) of matrix b becomes from, whose element
 * [i, j] is at from[i * row_step + j * column_step]. */
typedef struct matrix_part {
    int64_t row, column, rows, columns, row_step, column_step;
} matrix_part;
void matrix_write(ito_tensor *y, int64_t b, matrix_part part, const double *from);
/* Element number i of y, a fresh tensor, becomes value. */
void element_write(ito_tensor *y, int64_t i, double value);
bool all_finite(const double *x, int64_t n);

/* What is done with matrix b of c->in[0], given scratch of its own: 0, NOT_FINITE, or another
 * number if it cannot be done. */
typedef int matrix_work(const op_call *c, ito_tensor *y, int64_t b, double *scratch);
enum { NOT_FINITE = -1 };
/* y with the work done for every matrix of c->in[0]; NULL with ITO_ERR_NUMERIC, and the first
 * matrix for which it cannot be done: "NAME: matrix [1, 2] of the batch FAULT". scratch: doubles;
 * cost: nanoseconds a matrix takes, about. */
ito_tensor *each_matrix(const op_call *c, ito_tensor *y, int64_t scratch, int64_t cost,
                        matrix_work *work, const char *fault);

/* ---- operations on the last two axes ---- */

/* The matrices transposed: a view. */
ito_tensor *transposed(ito_tensor *a);

#endif
