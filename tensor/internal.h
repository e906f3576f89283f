/* Inside the library: the tensor itself, raw views, memory, errors, threads. Not installed.
 *
 * Functions here have no ito_ prefix, know nothing of gradients and follow the rules of base.h:
 * NULL on failure with an error recorded. Tensors they return are owned by the current scope.
 */
#ifndef ITO_TENSOR_INTERNAL_H
#define ITO_TENSOR_INTERNAL_H

#include "tensor/base.h"
#include "tensor/runtime.h"
#include "tensor/tensor.h"

#include <inttypes.h>
#include <stdatomic.h>

/* ---- memory ------------------------------------------------------------------------------------
 */

/* Bytes aligned to 64, or NULL with ITO_ERR_MEMORY recorded. mem_free accepts NULL. Size 0 gives a
 * valid pointer. These serve tensor storage and scratch buffers; thread-safe. The MEM_HEAD bytes in
 * front belong to the block as well. */
void *mem_alloc(size_t bytes);
void mem_free(void *p);
enum { MEM_HEAD = 40 };
/* a * b, or -1 where it does not fit in int64_t or either is negative: every product of sizes. */
int64_t checked_mul(int64_t a, int64_t b);
/* The product of sizes, or -1. */
int64_t shape_numel(ito_shape shape);
int64_t sizes_numel(const ito_shape *sizes);
/* calloc that records ITO_ERR_MEMORY and takes part in ito_memory_fail_nth: for small structs;
 * released with free(). */
void *struct_alloc(size_t bytes);
/* The same for the records that every operation makes: each thread keeps freed ones for the next.
 * record_free accepts NULL; it is told the size again. */
void *record_alloc(size_t bytes);
void record_free(void *p, size_t bytes);
/* Whether this request is the one that ito_memory_fail_nth means. */
bool memory_request_fails(void);

/* ---- errors ------------------------------------------------------------------------------------
 */

enum { ERROR_BYTES = 768 }; /* that a message may take, with its end */

/* Record an error and give NULL: return error_null(ITO_ERR_SHAPE, "add: ...", ...). */
void *error_null(ito_status code, const char *format, ...) ITO_PRINTF(2, 3);
/* The same, giving false: of functions that say whether they succeeded. A macro, so that the
 * compiler knows what it gives. */
#define error_false(...) (ito_error_set(__VA_ARGS__), false)
#define error_status ito_error_set
/* For an argument that is NULL: the code of the error that its maker recorded or, where there is
 * none (a stopped sampling), of "OP: ARGUMENT is NULL", recorded now; never ITO_OK. */
ito_status error_missing(const char *op, const char *argument);
/* Where the operation under way was called. */
void error_place(const char **file, int *line);
/* "[2, 3]" of a shape, in one of a few rotating thread-local buffers, for error messages. */
const char *shape_str(ito_shape shape);
const char *tensor_shape_str(const ito_tensor *t);

/* ---- threads -----------------------------------------------------------------------------------
 */

/* For tests: use this instruction set from now on; false if it does not exist or the processor
 * lacks it. */
bool isa_use(const char *name);
/* For tests: the i-th name that ITO_ISA may have, or NULL after the last. */
const char *isa_name(int i);
/* How many threads a loop of this much work (elements touched, about one per nanosecond) deserves:
 *     #pragma omp parallel for num_threads(threads_for(n)) schedule(static)
 * Results never depend on it: sums use fixed chunks, outputs have one writer. */
int threads_for(int64_t work);
/* The call for each i in [0, n), shared by threads_for(work) threads. Small work goes without a
 * team, since a team of one costs a fifth of a microsecond (GCC 12: it wakes threads that are not
 * there). */
/* clang-format off */
#define PARALLEL_FOR(i, n, work, call)                                                             \
    do {                                                                                           \
        int team = threads_for(work);                                                              \
        if (team == 1) {                                                                           \
            for (int64_t i = 0; i < (n); i++)                                                      \
                call;                                                                              \
        } else {                                                                                   \
            _Pragma("omp parallel for num_threads(team) schedule(static)")                         \
            for (int64_t i = 0; i < (n); i++)                                                      \
                call;                                                                              \
        }                                                                                          \
    } while (0)
/* clang-format on */

/* ---- the tensor --------------------------------------------------------------------------------
 */

/* Lies in front of its memory, as mem_alloc leaves room for, unless that is not of mem_alloc. */
typedef struct storage {
    _Atomic int64_t refs;
    _Atomic uint64_t version; /* raised by every change in place */
    void *data;
    size_t bytes;
    /* Lets go of data where they are not of mem_alloc; the struct itself is of struct_alloc then.
     */
    void (*release)(struct storage *self);
} storage;

/* What autograd hangs on a tensor; tensor/ only knows how to let go of it. */
typedef struct tensor_hook {
    void (*release)(struct tensor_hook *self);
} tensor_hook;

struct ito_tensor {
    _Atomic int64_t refs;
    ito_dtype dtype;
    union {
        ito_shape sizes;
        struct { /* the same */
            int ndim;
            int64_t shape[ITO_MAX_DIMS];
        };
    };
    int64_t stride[ITO_MAX_DIMS]; /* in elements; 0 where broadcast */
    int64_t offset;               /* of the first element, in elements */
    storage *storage;
    tensor_hook *autograd; /* NULL unless it takes part in a graph */
    struct scope *scope;   /* that owns one of the references, or NULL */
    int64_t slot;          /* where in that scope's list */
};

/* One reference less: whether it was the last. Whoever holds the only one needs no atomic step. */
static inline bool reference_drop(_Atomic int64_t *refs)
{
    return atomic_load_explicit(refs, memory_order_acquire) == 1 || atomic_fetch_sub(refs, 1) == 1;
}

/* The address of the first element. */
static inline void *tensor_data(const ito_tensor *t)
{
    return (char *)t->storage->data + (size_t)t->offset * ito_dtype_size(t->dtype);
}

/* A tensor with uninitialised storage of its own; row-major. */
ito_tensor *tensor_empty(ito_shape shape, ito_dtype dtype);
/* A tensor on a storage whose memory is not of mem_alloc, as large as it needs and aligned to its
 * elements. It takes over the caller's reference, also on failure. stride NULL: row-major. */
ito_tensor *tensor_over(storage *s, ito_shape shape, const int64_t *stride, ito_dtype dtype);
/* One reference to s less, in any thread; the last one lets go of its memory. */
void storage_release(storage *s);
/* The same as tensor_empty for [N, C, H, W] laid out in memory as N H W C. */
ito_tensor *tensor_empty_channels_last(ito_shape nchw, ito_dtype dtype);
/* Uninitialised, dense and shaped as t; its axes lie in memory in t's order, row-major where one of
 * t's repeats. */
ito_tensor *tensor_empty_as(const ito_tensor *t, ito_dtype dtype);
/* A tensor on the same storage. No bounds are checked: the caller has. */
ito_tensor *tensor_view(const ito_tensor *t, ito_shape shape, const int64_t *stride,
                        int64_t offset);
/* Whether the elements fill a block of memory without gaps or overlap, in whatever axis order. */
bool tensor_is_dense(const ito_tensor *t);
/* Whether a and b have the same shape and strides. Axes of size 1 do not count. */
bool tensor_same_layout(const ito_tensor *a, const ito_tensor *b);
/* t itself if row-major, else a row-major copy. */
ito_tensor *tensor_contiguous(const ito_tensor *t);
/* t itself if its [N, C, H, W] lies as N H W C, else such a copy. */
ito_tensor *tensor_channels_last(const ito_tensor *t);
/* dst = src element by element, converting; shapes are equal (the caller has checked). src may
 * have stride 0. Any strides. dst and src do not overlap. */
void tensor_copy(ito_tensor *dst, const ito_tensor *src);
/* Every element = value. */
void tensor_fill(ito_tensor *t, double value);
/* Owned by nobody but the caller: taken out of the current scope without changing the count. */
ito_tensor *tensor_disown(ito_tensor *t);
/* The contrary: hand a reference of the caller's to the current scope, or drop it if a scope, which
 * lives at least as long, owns t already. NULL, without t, if there is no memory. */
ito_tensor *tensor_adopt(ito_tensor *t);
/* The result of broadcasting two shapes, or false if they do not fit. */
bool shape_broadcast(ito_shape a, ito_shape b, ito_shape *out);
bool shape_equal(ito_shape a, ito_shape b);
bool tensor_has_shape(const ito_tensor *t, const ito_shape *shape);
/* axis in [-ndim, ndim) made non-negative, or -1 with ITO_ERR_RANGE recorded in op's name. */
int axis_normalize(const char *op, int64_t axis, int ndim);

#endif
