/* NumPy's .npy files: one tensor, raw, behind a short header. */
#ifndef ITO_IO_NPY_H
#define ITO_IO_NPY_H

#include "../tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Read a .npy file of version 1.0, 2.0 or 3.0, little endian.
 *
 * @param path  the file; its dtype may be f4, f8, f2, i4, i8, u1 or b1.
 * @return      a tensor of the file's shape (up to 8 axes) and dtype, owned by the current scope. A
 *              file in Fortran order gives a transposed view, which is not contiguous.
 *              NULL on error: ITO_ERR_IO if the system refuses, ITO_ERR_FORMAT if the file is
 *              truncated, too long, inconsistent or of a kind that is not read, ITO_ERR_MEMORY.
 * Source: NumPy, "NEP 1: a simple file format for NumPy arrays" and numpy.lib.format.
 */
ITO_API ito_tensor *ito_npy_load(const char *path);

/**
 * Write a tensor as a .npy file of version 1.0, row-major whatever its strides. The file is written
 * aside and renamed: on failure an older one at path is untouched.
 *
 * @param t  any shape and dtype but bf16, which NumPy does not have; borrowed.
 * @return   ITO_ERR_DTYPE for bf16, ITO_ERR_IO, ITO_ERR_MEMORY.
 */
ITO_API ito_status ito_npy_save(const char *path, const ito_tensor *t);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_npy_load(...) ITO_AT(ito_npy_load(__VA_ARGS__))
#define ito_npy_save(...) ITO_AT(ito_npy_save(__VA_ARGS__))
#endif

#endif
