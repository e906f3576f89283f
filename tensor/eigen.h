/* Eigenvalues and eigenvectors of symmetric matrices, and orthonormal bases, in double precision.
 * Internal.
 *
 * Source: Golub, Van Loan, "Matrix Computations", 8.3: Householder's reduction to tridiagonal form,
 * then implicit QL with Wilkinson's shift; 5.2: QR by Householder's reflections. */
#ifndef ITO_TENSOR_EIGEN_H
#define ITO_TENSOR_EIGEN_H

#include "tensor/base.h"

/**
 * a = sum over i of values[i] vectors[i] vectors[i]^T.
 *
 * @param a        n x n, row-major, finite, symmetric; destroyed.
 * @param values   room for n numbers: in ascending order, with an error of about
 *                 n eps max |value| at most.
 * @param vectors  room for n x n numbers: row i is the unit eigenvector of values[i]. NULL if only
 *                 values are wanted, which takes a fifth of the time.
 * @return         ITO_ERR_MEMORY; ITO_ERR_NUMERIC if it does not converge, which finite numbers do.
 */
ito_status symmetric_eigen(double *a, int64_t n, double *values, double *vectors);

/**
 * The first k rows of q span what the first k rows of a span, for each k: the transposed Q of a QR.
 * Where rows of a depend on each other the rest of q completes the basis.
 *
 * @param a  n x n, row-major, finite; destroyed.
 * @param q  room for n x n numbers: orthonormal rows.
 * @return   ITO_ERR_MEMORY.
 */
ito_status orthonormal_rows(double *a, int64_t n, double *q);

#endif
