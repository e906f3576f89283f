/* safetensors: named tensors in one file, read singly and in any order.
 *
 * A file is a JSON header, which gives each tensor's dtype, shape and place, and their bytes. What
 * is written here carries a checksum of each tensor in the header's metadata, under
 * "crc32:<name>", and reading compares it where it is present. Other readers ignore it.
 *
 *     ito_safetensors *f = ito_safetensors_open("model.safetensors");
 *     ito_tensor *w = ito_safetensors_read(f, "conv_in.weight");
 *     ito_safetensors_close(f);
 *
 * Source: huggingface/safetensors, "Format" in its README.
 */
#ifndef ITO_IO_SAFETENSORS_H
#define ITO_IO_SAFETENSORS_H

#include "../tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An open file. Nothing in it changes while it is open, so threads may read through it at once. */
typedef struct ito_safetensors ito_safetensors;

/**
 * Open a file and check its whole header: bounds, JSON, keys that occur once, dtypes, shapes, and
 * tensors that fill the rest of the file without gap or overlap. No tensor is read yet.
 *
 * Every dtype of the format may occur. Those that no tensor has are widened when they are read: I8,
 * I16, U16 to I32; U32, U64 to I64; F8_E4M3, F8_E5M2, F8_E4M3FNUZ, F8_E5M2FNUZ, F8_E8M0 to F32,
 * each value exactly. F4, F6_E2M3, F6_E3M2 and C64 can be listed and verified, and are not read.
 * @return  owned by the caller, who closes it with ito_safetensors_close. NULL on error: ITO_ERR_IO
 *          if the system refuses, ITO_ERR_FORMAT if the file breaks a rule, ITO_ERR_MEMORY.
 */
ITO_API ito_safetensors *ito_safetensors_open(const char *path);
/**
 * The same for the bytes of such a file in memory, of a program that brings its weights along say.
 *
 * @param bytes  [size] borrowed: they stay as they are until close.
 * @param name   stands for the path in messages; copied.
 */
ITO_API ito_safetensors *ito_safetensors_open_memory(const void *bytes, size_t size,
                                                     const char *name);
/** The path, or the name, that it was opened by; borrowed from f. NULL for NULL. */
ITO_API const char *ito_safetensors_path(const ito_safetensors *f);
/** Close the file; tensors that were read from it stay. Accepts NULL. */
ITO_API void ito_safetensors_close(ito_safetensors *f);

/** How many tensors it holds; 0 for NULL. */
ITO_API int64_t ito_safetensors_count(const ito_safetensors *f);
/** The name of tensor i, in the order of the header. Borrowed from f. NULL and ITO_ERR_RANGE unless
 * 0 <= i < count. */
ITO_API const char *ito_safetensors_name(const ito_safetensors *f, int64_t i);
/** The index of the tensor of that name, or -1; not finding it is no error. */
ITO_API int64_t ito_safetensors_find(const ito_safetensors *f, const char *name);
/** The dtype that tensor i has when it is read; ITO_DTYPES if it is one that is not read, and with
 * ITO_ERR_RANGE unless 0 <= i < count. */
ITO_API ito_dtype ito_safetensors_dtype(const ito_safetensors *f, int64_t i);
/** The dtype of tensor i in the file, by the format's name: "F32", "F8_E4M3". NULL and
 * ITO_ERR_RANGE unless 0 <= i < count. */
ITO_API const char *ito_safetensors_dtype_name(const ito_safetensors *f, int64_t i);
/** The shape of tensor i. No axes and ITO_ERR_RANGE unless 0 <= i < count. */
ITO_API ito_shape ito_safetensors_shape(const ito_safetensors *f, int64_t i);
/** The metadata's text under key, or NULL; not finding it is no error. Borrowed from f. */
ITO_API const char *ito_safetensors_metadata(const ito_safetensors *f, const char *key);
/** How many entries the metadata has, checksums among them; 0 for NULL. */
ITO_API int64_t ito_safetensors_metadata_count(const ito_safetensors *f);
/** The key of metadata entry i, in alphabetical order. Borrowed from f. NULL and ITO_ERR_RANGE
 * unless 0 <= i < metadata_count. */
ITO_API const char *ito_safetensors_metadata_key(const ito_safetensors *f, int64_t i);

/**
 * Read one tensor; only its bytes of the file are touched.
 *
 * @return  a row-major tensor of the file's shape, and of its dtype or the wider one, owned by the
 *          current scope. NULL on error: ITO_ERR_ARGUMENT if there is no such tensor,
 *          ITO_ERR_FORMAT if the checksum does not match, the file has become shorter or a bool is
 *          neither 0 nor 1, ITO_ERR_DTYPE for a dtype that is not read, ITO_ERR_RANGE for a number
 *          of U64 beyond what I64 holds, ITO_ERR_IO, ITO_ERR_MEMORY.
 */
ITO_API ito_tensor *ito_safetensors_read(const ito_safetensors *f, const char *name);

/**
 * Read one tensor into dst, converting it to dst's dtype. dst is unchanged on failure.
 *
 * @param dst  of the file's shape, any dtype, any strides but 0.
 * @return     as ito_safetensors_read records them, and ITO_ERR_SHAPE if the shapes differ.
 */
ITO_API ito_status ito_safetensors_read_into(const ito_safetensors *f, const char *name,
                                             ito_tensor *dst);

/**
 * One tensor on the file's own pages, which the system reads when they are touched and drops when
 * memory is short: opening is instant, and the tensor may be larger than memory. Its bytes are not
 * counted by ito_memory_current.
 *
 * The tensor keeps the pages, whatever becomes of f. A change in place (ito_data, ito_add_, ...)
 * changes the tensor, not the file. The checksum is not compared: ito_safetensors_verify does that.
 * A file that is replaced by another (as all writers here do) stays what it was for the tensor; one
 * that is cut short in its place ends the program with SIGBUS where the missing part is touched.
 *
 * @return  as ito_safetensors_read. NULL on error: ITO_ERR_ARGUMENT if there is no such tensor, or
 *          f is in memory; ITO_ERR_FORMAT if the file has become shorter, the tensor is not aligned
 *          to its elements, or a bool is neither 0 nor 1; ITO_ERR_DTYPE if it would have to be
 *          widened, or is not read; ITO_ERR_IO, ITO_ERR_MEMORY.
 */
ITO_API ito_tensor *ito_safetensors_map(const ito_safetensors *f, const char *name);

/**
 * Read one tensor's bytes, a part at a time, and compare the checksum: for a file that is mapped,
 * or larger than memory. What the bytes mean is not looked at, so that it serves every dtype.
 *
 * @return  ITO_ERR_ARGUMENT if there is no such tensor, ITO_ERR_FORMAT if the checksum does not
 *          match or the file has become shorter, ITO_ERR_IO, ITO_ERR_MEMORY.
 */
ITO_API ito_status ito_safetensors_verify(const ito_safetensors *f, const char *name);

/**
 * Write tensors to a file, with their checksums. The file is written aside, synced and renamed: on
 * failure an older one at path is untouched.
 *
 * @param n            tensors; 0 is allowed.
 * @param names        [n] UTF-8 names, all different, none of them "__metadata__".
 * @param tensors      [n] of any dtype and strides; borrowed. They are stored row-major, those with
 *                     the larger elements first, so that each is aligned to its elements.
 * @param n_meta       entries of metadata; 0 is allowed.
 * @param meta_keys    [n_meta] UTF-8 keys, all different, none beginning with "crc32:".
 * @param meta_values  [n_meta] UTF-8 texts.
 * @return             ITO_ERR_ARGUMENT for names, keys or texts that are not allowed, ITO_ERR_IO,
 *                     ITO_ERR_MEMORY.
 */
ITO_API ito_status ito_safetensors_save(const char *path, int64_t n, const char *const *names,
                                        ito_tensor *const *tensors, int64_t n_meta,
                                        const char *const *meta_keys,
                                        const char *const *meta_values);

/**
 * Write a file piece by piece, when the tensors are more than fits in memory. Nothing is at path
 * before ito_safetensors_writer_finish, and on failure an older file there is untouched.
 *
 *     ito_shape shape = ITO_SHAPE(1000000, 3, 64, 64);
 *     ito_safetensors_writer *w = ito_safetensors_writer_create(
 *         "images.safetensors", 1, (const char *[]){"images"}, &dtype, &shape, 0, NULL, NULL);
 *     while (...)
 *         ito_safetensors_writer_append(w, "images", batch);
 *     ito_safetensors_writer_finish(w);
 */
typedef struct ito_safetensors_writer ito_safetensors_writer;

/**
 * Begin a file of these tensors. All lists are borrowed until the writer is gone.
 *
 * @param n       tensors; they lie in the file in this order.
 * @param shapes  [n] with one axis or more; dim[0] is the most rows that will come.
 * @return        owned by the caller, for _finish or _free. NULL on error: as ito_safetensors_save,
 *                and ITO_ERR_SHAPE, ITO_ERR_DTYPE.
 */
ITO_API ito_safetensors_writer *
ito_safetensors_writer_create(const char *path, int64_t n, const char *const *names,
                              const ito_dtype *dtypes, const ito_shape *shapes, int64_t n_meta,
                              const char *const *meta_keys, const char *const *meta_values);
/**
 * Write rows behind those that the tensor of that name has. A tensor is complete when one behind it
 * begins.
 *
 * @param rows  [n, ...] of the tensor's dtype; borrowed.
 * @return      ITO_ERR_ARGUMENT for a name that is not to come, ITO_ERR_SHAPE for other rows or too
 *              many, ITO_ERR_IO, ITO_ERR_MEMORY. After an error free the writer.
 */
ITO_API ito_status ito_safetensors_writer_append(ito_safetensors_writer *w, const char *name,
                                                 const ito_tensor *rows);
/** Write the header, of the rows that came, bring the file to its place and free the writer, also
 * on error: ITO_ERR_IO, ITO_ERR_MEMORY. */
ITO_API ito_status ito_safetensors_writer_finish(ito_safetensors_writer *w);
/** Give the file up and free the writer. Accepts NULL. */
ITO_API void ito_safetensors_writer_free(ito_safetensors_writer *w);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_safetensors_open(...) ITO_AT(ito_safetensors_open(__VA_ARGS__))
#define ito_safetensors_open_memory(...) ITO_AT(ito_safetensors_open_memory(__VA_ARGS__))
#define ito_safetensors_name(...) ITO_AT(ito_safetensors_name(__VA_ARGS__))
#define ito_safetensors_dtype(...) ITO_AT(ito_safetensors_dtype(__VA_ARGS__))
#define ito_safetensors_dtype_name(...) ITO_AT(ito_safetensors_dtype_name(__VA_ARGS__))
#define ito_safetensors_shape(...) ITO_AT(ito_safetensors_shape(__VA_ARGS__))
#define ito_safetensors_metadata_key(...) ITO_AT(ito_safetensors_metadata_key(__VA_ARGS__))
#define ito_safetensors_read(...) ITO_AT(ito_safetensors_read(__VA_ARGS__))
#define ito_safetensors_read_into(...) ITO_AT(ito_safetensors_read_into(__VA_ARGS__))
#define ito_safetensors_verify(...) ITO_AT(ito_safetensors_verify(__VA_ARGS__))
#define ito_safetensors_map(...) ITO_AT(ito_safetensors_map(__VA_ARGS__))
#define ito_safetensors_save(...) ITO_AT(ito_safetensors_save(__VA_ARGS__))
#define ito_safetensors_writer_create(...) ITO_AT(ito_safetensors_writer_create(__VA_ARGS__))
#define ito_safetensors_writer_append(...) ITO_AT(ito_safetensors_writer_append(__VA_ARGS__))
#define ito_safetensors_writer_finish(...) ITO_AT(ito_safetensors_writer_finish(__VA_ARGS__))
#endif

#endif
