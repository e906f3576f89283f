/* IDX files, as MNIST and its successors come in: bytes of one to four axes, gzipped or not. */
#ifndef ITO_IO_IDX_H
#define ITO_IO_IDX_H

#include "../tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Read an IDX file of unsigned bytes (type 0x08); whether it is gzipped is seen from its first
 * bytes, and the gzip checksum and length are verified. Of several gzip members, as pigz and cat
 * write them, the content of all is read; zeros may follow the last, and nothing else.
 *
 * @return  u8 of the file's 1 to 4 axes: [N, H, W] for MNIST's images, [N] for its labels. Owned by
 *          the current scope. NULL on error: ITO_ERR_IO if the system refuses, ITO_ERR_FORMAT if
 *          the file is truncated, damaged or longer than its header says, ITO_ERR_MEMORY.
 * Source: Y. LeCun, C. Cortes, "The MNIST database of handwritten digits", "File formats".
 */
ITO_API ito_tensor *ito_idx_load(const char *path);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_idx_load(...) ITO_AT(ito_idx_load(__VA_ARGS__))
#endif

#endif
