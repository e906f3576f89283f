/* Tensors that share their memory with another library, by DLPack (dmlc/dlpack): what NumPy,
 * PyTorch, JAX and others exchange arrays by. Nothing is copied in either direction.
 *
 * There are two forms: DLManagedTensorVersioned of DLPack 1.0, and DLManagedTensor of before. The
 * structs are those of <dlpack/dlpack.h>, which a program that looks into them includes; Ito needs
 * no such header.
 *
 * Shared memory is seen by both sides at once. A change made outside of Ito is no change in place
 * to Ito: ito_touch tells it of one, where a backward pass may need the values of before.
 */
#ifndef ITO_DLPACK_H
#define ITO_DLPACK_H

#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

struct DLManagedTensor;
struct DLManagedTensorVersioned;

/**
 * t's memory for another library: dtype, shape and strides as they are, so a channels-last image
 * stays one. The history of t stays behind.
 * @return  keeps the memory of t until its deleter is called, by whichever thread; t may go before.
 *          NULL on error: ITO_ERR_MEMORY.
 */
ITO_API struct DLManagedTensorVersioned *ito_to_dlpack(ito_tensor *t);
/** The same in the form of before DLPack 1.0. */
ITO_API struct DLManagedTensor *ito_to_dlpack_legacy(ito_tensor *t);

/**
 * A tensor on the memory of another library: in the processor's own memory (pinned memory is such),
 * of an Ito dtype, of at most ITO_MAX_DIMS axes, with strides that are not negative, its elements
 * aligned to their size. No strides (NULL) are row-major. Memory that is read-only is refused,
 * since a tensor of Ito can be changed in place.
 *
 * @param managed  taken over on success: its deleter is called, once, when the last tensor that
 *                 shares the memory goes, by the thread that lets go of it. On error it remains the
 *                 caller's.
 * @return         of the current scope. NULL on error, with what to do about it: ITO_ERR_ARGUMENT
 *                 for another device, for read-only memory, NULL in place of it, negative strides,
 *                 addresses that do not suit, and a version that is not 1; ITO_ERR_DTYPE;
 *                 ITO_ERR_SHAPE for shapes; ITO_ERR_MEMORY.
 */
ITO_API ito_tensor *ito_from_dlpack(struct DLManagedTensorVersioned *managed);
/** The same of the form of before DLPack 1.0, which does not say whether memory is read-only. */
ITO_API ito_tensor *ito_from_dlpack_legacy(struct DLManagedTensor *managed);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_to_dlpack(...) ITO_AT(ito_to_dlpack(__VA_ARGS__))
#define ito_to_dlpack_legacy(...) ITO_AT(ito_to_dlpack_legacy(__VA_ARGS__))
#define ito_from_dlpack(...) ITO_AT(ito_from_dlpack(__VA_ARGS__))
#define ito_from_dlpack_legacy(...) ITO_AT(ito_from_dlpack_legacy(__VA_ARGS__))
#endif

#endif
