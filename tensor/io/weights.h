/* Files of weights of any maker, read in one way: named tensors, read singly and in any order.
 *
 *     ito_weights *w = ito_weights_open("diffusion_pytorch_model.bin");
 *     ito_tensor *t = ito_weights_read(w, "conv_in.weight");
 *     ito_weights_close(w);
 *
 * Nothing in a file is ever executed, and nothing that it claims is believed before it has been
 * compared with the file's size. docs/interchange.md says how each kind is read.
 */
#ifndef ITO_IO_WEIGHTS_H
#define ITO_IO_WEIGHTS_H

#include "../tensor.h"
#include "safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An open file of weights, or several that belong together. Nothing in it changes while it is
 * open, so threads may read through it at once. */
typedef struct ito_weights ito_weights;

/**
 * Open a file of weights, whose kind is seen from its content:
 *
 * - safetensors: as ito_safetensors_open has it;
 * - the index of several such files, NAME.safetensors.index.json or NAME.bin.index.json: they lie
 *   beside it. All are opened, and each has to hold the tensors that the index says, and no others;
 * - PyTorch's .pt, .pth, .bin and .ckpt, as torch.save has written them since 1.6: a zip archive.
 * Of its pickle the instructions are read that dicts, lists, numbers, text and tensors take; any
 *   other, and any call of something else, is refused by its name. Dicts and lists within others
 *   give names with dots: "state_dict.conv_in.weight", "optimizer.state.0.exp_avg". What is no
 *   tensor is passed over;
 * - NumPy's .npz.
 *
 * Every dtype of these files may occur; those that no tensor has are widened when they are read, as
 * ito_safetensors_open says.
 * @return  owned by the caller, who closes it with ito_weights_close. NULL on error: ITO_ERR_IO if
 *          the system refuses or a file of the index is missing, ITO_ERR_FORMAT if a file is of
 *          another kind, breaks a rule, or calls something, ITO_ERR_MEMORY.
 */
ITO_API ito_weights *ito_weights_open(const char *path);
/** Close it; tensors that were read from it stay. Accepts NULL. */
ITO_API void ito_weights_close(ito_weights *w);
/** The path that it was opened by; borrowed from w. NULL for NULL. */
ITO_API const char *ito_weights_path(const ito_weights *w);
/** What it is: "safetensors", "safetensors in 3 files", "PyTorch", "npz"; borrowed from w. NULL for
 * NULL. */
ITO_API const char *ito_weights_kind(const ito_weights *w);

/** How many tensors it holds; 0 for NULL. */
ITO_API int64_t ito_weights_count(const ito_weights *w);
/** The name of tensor i. Borrowed from w. NULL and ITO_ERR_RANGE unless 0 <= i < count. */
ITO_API const char *ito_weights_name(const ito_weights *w, int64_t i);
/** The index of the tensor of that name, or -1; not finding it is no error. */
ITO_API int64_t ito_weights_find(const ito_weights *w, const char *name);
/** The dtype that tensor i has when it is read; ITO_DTYPES if it is one that is not read, and with
 * ITO_ERR_RANGE unless 0 <= i < count. */
ITO_API ito_dtype ito_weights_dtype(const ito_weights *w, int64_t i);
/** The dtype of tensor i in the file, by its name in safetensors: "F32", "F8_E4M3". NULL and
 * ITO_ERR_RANGE unless 0 <= i < count. */
ITO_API const char *ito_weights_dtype_name(const ito_weights *w, int64_t i);
/** The shape of tensor i. No axes and ITO_ERR_RANGE unless 0 <= i < count. */
ITO_API ito_shape ito_weights_shape(const ito_weights *w, int64_t i);
/** The text under key in the metadata of a safetensors file, or NULL; not finding it is no error.
 * Borrowed from w. */
ITO_API const char *ito_weights_metadata(const ito_weights *w, const char *key);

/**
 * Read one tensor; only its bytes of the file are touched. A checksum that the file has of them is
 * compared: that of ito_safetensors_save, or the archive's.
 *
 * @return  a row-major tensor of the file's shape, and of its dtype or the wider one, owned by the
 *          current scope. NULL on error: ITO_ERR_ARGUMENT if there is no such tensor,
 *          ITO_ERR_FORMAT if the file is damaged or has become shorter, or a bool is neither 0 nor
 *          1, ITO_ERR_DTYPE for a dtype that is not read, ITO_ERR_RANGE for a whole number beyond
 *          what I64 holds, ITO_ERR_IO, ITO_ERR_MEMORY.
 */
ITO_API ito_tensor *ito_weights_read(const ito_weights *w, const char *name);
/**
 * Read one tensor into dst, converting it to dst's dtype. dst is unchanged on failure.
 *
 * @param dst  of the file's shape, any dtype, any strides but 0.
 * @return     as ito_weights_read records them, and ITO_ERR_SHAPE if the shapes differ.
 */
ITO_API ito_status ito_weights_read_into(const ito_weights *w, const char *name, ito_tensor *dst);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_weights_open(...) ITO_AT(ito_weights_open(__VA_ARGS__))
#define ito_weights_name(...) ITO_AT(ito_weights_name(__VA_ARGS__))
#define ito_weights_dtype(...) ITO_AT(ito_weights_dtype(__VA_ARGS__))
#define ito_weights_dtype_name(...) ITO_AT(ito_weights_dtype_name(__VA_ARGS__))
#define ito_weights_shape(...) ITO_AT(ito_weights_shape(__VA_ARGS__))
#define ito_weights_read(...) ITO_AT(ito_weights_read(__VA_ARGS__))
#define ito_weights_read_into(...) ITO_AT(ito_weights_read_into(__VA_ARGS__))
#endif

#endif
