/* NumPy's .npz files: archives of .npy files. */
#ifndef ITO_IO_NPZ_H
#define ITO_IO_NPZ_H

#include "../tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * An open .npz file, as np.savez and np.savez_compressed write them: named arrays in a zip archive.
 *
 *     ito_npz *f = ito_npz_open("mnist.npz");
 *     ito_tensor *images = ito_npz_read(f, "x_train");
 *     ito_npz_close(f);
 *
 * Nothing in it changes while it is open, so threads may read through it at once.
 */
typedef struct ito_npz ito_npz;

/**
 * Open an archive and read its directory, zip64's too; no array is read yet.
 *
 * @return  owned by the caller, who closes it with ito_npz_close. NULL on error: ITO_ERR_IO if the
 *          system refuses, ITO_ERR_FORMAT if it is no zip archive or damaged, ITO_ERR_MEMORY.
 * Source: PKWARE, APPNOTE.TXT, sections 4.3 and 4.5.3.
 */
ITO_API ito_npz *ito_npz_open(const char *path);
/** Close it; tensors that were read from it stay. Accepts NULL. */
ITO_API void ito_npz_close(ito_npz *f);
/** How many arrays it holds: members whose names end in .npy; 0 for NULL. */
ITO_API int64_t ito_npz_count(const ito_npz *f);
/** The name of array i, without .npy, in the order of the archive. Borrowed from f. NULL and
 * ITO_ERR_RANGE unless 0 <= i < count. */
ITO_API const char *ito_npz_name(const ito_npz *f, int64_t i);
/** The index of the first array of that name, or -1; not finding it is no error. */
ITO_API int64_t ito_npz_find(const ito_npz *f, const char *name);
/**
 * Read one array, as ito_npy_load does, and compare its checksum.
 *
 * @return  NULL on error: what ito_npy_load says; ITO_ERR_ARGUMENT if there is no such array;
 *          ITO_ERR_FORMAT also if the checksum does not match, or if it is neither stored nor
 *          deflated, encrypted, or claims to be larger than its bytes can be.
 */
ITO_API ito_tensor *ito_npz_read(const ito_npz *f, const char *name);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_npz_open(...) ITO_AT(ito_npz_open(__VA_ARGS__))
#define ito_npz_name(...) ITO_AT(ito_npz_name(__VA_ARGS__))
#define ito_npz_read(...) ITO_AT(ito_npz_read(__VA_ARGS__))
#endif

#endif
