/* NumPy's .npy files: one tensor, raw, behind a short header. */
#ifndef ITO_IO_NPY_H
#define ITO_IO_NPY_H

#include "../tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Read a .npy file of version 1.0, 2.0 or 3.0, of either byte order.
 *
 * Values are kept: f2, f4, f8, i4, i8, u1 and b1 as F16, F32, F64, I32, I64, U8 and BOOL; i1, i2
 * and u2, which have no dtype here, as I32; u4 and u8 as I64.
 * @return      a tensor of the file's shape (up to 8 axes), owned by the current scope. A file in
 *              Fortran order gives a transposed view, which is not contiguous.
 *              NULL on error: ITO_ERR_IO if the system refuses, ITO_ERR_FORMAT if the file is
 *              truncated, too long, inconsistent or of a kind that is not read, ITO_ERR_RANGE for a
 *              u8 beyond what I64 holds, ITO_ERR_MEMORY.
 * Source: NumPy, "NEP 1: a simple file format for NumPy arrays" and numpy.lib.format.
 */
ITO_API ito_tensor *ito_npy_load(const char *path);

/**
 * The same on the file's own pages, for an array that is larger than memory: see
 * ito_safetensors_map, whose tensors are such as well. For C order, the machine's byte order, and
 * f2, f4, f8, i4, i8 and u1.
 *
 * @return  NULL on error: what ito_npy_load says; ITO_ERR_DTYPE for an array that has to be changed
 * to be a tensor, or is not aligned, which ito_npy_load reads.
 */
ITO_API ito_tensor *ito_npy_map(const char *path);

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
#define ito_npy_map(...) ITO_AT(ito_npy_map(__VA_ARGS__))
#define ito_npy_save(...) ITO_AT(ito_npy_save(__VA_ARGS__))
#endif

#endif
