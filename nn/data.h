/* Data: a dataset gives single examples, a data sampler their order, a loader batches of them.
 *
 * Every byte of every batch depends on (seed, position) alone, through the order of examples and
 * their augmentation. Threads, prefetching, and stopping and resuming a run change nothing.
 */
#ifndef ITO_NN_DATA_H
#define ITO_NN_DATA_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- datasets ----------------------------------------------------------------------------------
 */

/** The example requested, and what its augmentation may depend on. */
typedef struct ito_example {
    int64_t index; /* in [0, size) */
    int64_t epoch; /* the number of passes over the data before it */
    uint64_t seed; /* of the loader */
} ito_example;

/** The most tensors that an example can have. */
#define ITO_MAX_FIELDS 8

/** One tensor of an example: an input, a label, a target, a mask. {0} is a single f32. */
typedef struct ito_field {
    ito_shape shape; /* in one example: [C, H, W], say; ITO_SHAPE() is a single number */
    ito_dtype dtype;
} ito_field;

/** A number of examples of the same fields, given one at a time. */
typedef struct ito_dataset ito_dataset;

/** The first member of a dataset's struct, also of one defined outside the library. */
struct ito_dataset {
    int64_t size;
    int n_fields; /* 1 to ITO_MAX_FIELDS */
    ito_field field[ITO_MAX_FIELDS];
    /**
     * Write the fields of one example, row-major: field i to out[i], which has room for it. They
     * depend on the arguments only. Each loader calls it from one thread at a time, which need not
     * be the thread that made the loader. On failure it records an error and returns its code.
     */
    ito_status (*get)(const ito_dataset *d, ito_example which, void *const *out);
    /** Frees the dataset. May be NULL. */
    void (*destroy)(ito_dataset *d);
};

/** Free a dataset by its own destroy function. Accepts NULL. */
ITO_API void ito_dataset_free(ito_dataset *d);

/**
 * Tensors in memory, any number of axes and any dtype: ito_tensor_dataset_create(ITO_TENSORS(x,
 * y)). Example k is row k of each, as PyTorch's TensorDataset.
 *
 * @param tensors  n of them, each [N, ...] with the same N; retained, not copied if row-major, and
 *                 not to be changed while in use.
 * @param n        1 to ITO_MAX_FIELDS.
 * @return         owned by the caller. NULL: ITO_ERR_ARGUMENT for another n, ITO_ERR_SHAPE if one
 *                 has no axes, no rows, or not as many as the first; ITO_ERR_MEMORY.
 */
ITO_API ito_dataset *ito_tensor_dataset_create(ito_tensor *const *tensors, int64_t n);

/** Options of ito_image_dataset_create. */
typedef struct ito_image_dataset_options {
    int reserved_;
    ito_tensor *labels; /* [N] u8, i32 or i64, copied; NULL: none */
    bool flip;          /* mirror left and right with probability 1/2, drawn from (seed, epoch,
                           index) */
} ito_image_dataset_options;
#define ITO_DEFAULTS_ito_image_dataset_options .reserved_ = 0

/**
 * Images in memory: ito_image_dataset_create(images, .labels = labels, .flip = true). Field 0 is
 * the image in f32, field 1 its label in i64, if there are labels.
 *
 * @param images  [N, C, H, W] u8, given as x / 127.5 - 1, or f32, given as they are; retained, not
 *                copied if row-major, and not to be changed while in use.
 * @return        owned by the caller. NULL: ITO_ERR_SHAPE if there are no 4 axes, no images, or not
 *                as many labels; ITO_ERR_DTYPE, ITO_ERR_MEMORY.
 */
ITO_API ito_dataset *ito_image_dataset_create_with(ito_tensor *images,
                                                   ito_image_dataset_options options);
#define ito_image_dataset_create(...)                                                              \
    ITO_AT(ITO_CALL_1(ito_image_dataset_create_with, ito_image_dataset_options, __VA_ARGS__, ))

/* ---- sampling order ----------------------------------------------------------------------------
 */

/** A position in the endless sequence of examples, one epoch after another, each in its own order.
 * Plain data: it can be copied and saved. */
typedef struct ito_data_sampler {
    int64_t size; /* of the dataset, at least 1 */
    uint64_t seed;
    int64_t position; /* examples consumed so far: epoch = position / size */
    bool sequential;  /* 0, 1, 2, ... in every epoch */
} ito_data_sampler;

/** The order of an epoch: a permutation of 0 .. size - 1, i64 [size], of the current scope, drawn
 * from (seed, epoch). NULL: ITO_ERR_RANGE unless size >= 1 and epoch >= 0, ITO_ERR_MEMORY, or s is
 * NULL. */
ITO_API ito_tensor *ito_data_sampler_order(const ito_data_sampler *s, int64_t epoch);

/* ---- batches -----------------------------------------------------------------------------------
 */

/** Gives the batches of a dataset one after another. */
typedef struct ito_loader ito_loader;

/** The order of an epoch by a rule of your own: of a weighted draw, say. It returns i64 [size],
 * which depends on s->seed, epoch and context alone; an example may occur several times, or not at
 * all. A prefetching loader calls it from its thread. NULL after an error. */
typedef ito_tensor *ito_data_order(const ito_data_sampler *s, int64_t epoch, void *context);

/** Options of ito_loader_create. */
typedef struct ito_loader_options {
    int reserved_;
    int64_t position;      /* examples to skip, 0 or more: ito_loader_position of a resumed run */
    int64_t prefetch;      /* batches that a second thread keeps ready; 0: no thread */
    bool sequential;       /* the order of the dataset, not a random one */
    bool once;             /* a single pass: the last batch may be shorter, then there are none */
    ito_data_order *order; /* in place of ito_data_sampler_order; NULL: none */
    void *order_context;   /* borrowed, must outlive the loader */
} ito_loader_options;
#define ITO_DEFAULTS_ito_loader_options .reserved_ = 0

/** A batch of B examples. */
typedef struct ito_batch {
    ito_tensor *x; /* [B, ...]: field 0, of the current scope; NULL at the end of a single pass */
    ito_tensor *labels;                /* [B, ...]: field 1, or NULL if the dataset has none */
    int64_t epoch;                     /* of the first example */
    ito_tensor *field[ITO_MAX_FIELDS]; /* all: x, labels, ...; NULL beyond the last */
} ito_batch;

/**
 * Batches of a dataset: ito_loader_create(data, 128, seed, .prefetch = 2).
 *
 * Every batch is full: one that begins at the end of an epoch continues in the next, so no example
 * is dropped and each is seen once an epoch. With .once there is one epoch, and the last batch
 * holds what is left.
 * @param data  borrowed, must outlive the loader.
 * @return      owned by the caller. NULL: ITO_ERR_RANGE for sizes below 1, a negative position or
 *              prefetch; ITO_ERR_ARGUMENT for a number of fields that is not 1 to ITO_MAX_FIELDS;
 * ITO_ERR_SHAPE for a batch whose size in bytes overflows; ITO_ERR_MEMORY, also if the system gives
 * no thread.
 */
ITO_API ito_loader *ito_loader_create_with(const ito_dataset *data, int64_t batch_size,
                                           uint64_t seed, ito_loader_options options);
#define ito_loader_create(...)                                                                     \
    ITO_AT(ITO_CALL_3(ito_loader_create_with, ito_loader_options, __VA_ARGS__, ))
/** Stop the thread, at any time, and free the loader. Accepts NULL. */
ITO_API void ito_loader_free(ito_loader *l);

/**
 * The next batch, its tensors of the current scope.
 * @return  ITO_ERR_ARGUMENT if l or out is NULL; an error of the dataset or of .order,
 *          ITO_ERR_SHAPE, ITO_ERR_DTYPE or ITO_ERR_RANGE for an order that is not one, or
 *          ITO_ERR_MEMORY, also if it arose in the thread. Such an error ends the loader: later
 * calls return it again. *out is untouched then.
 */
ITO_API ito_status ito_loader_next(ito_loader *l, ito_batch *out);
/** The number of examples skipped and given out so far. Saved and given as .position, it resumes
 * the sequence. 0 for NULL. */
ITO_API int64_t ito_loader_position(const ito_loader *l);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_tensor_dataset_create(...) ITO_AT(ito_tensor_dataset_create(__VA_ARGS__))
#define ito_data_sampler_order(...) ITO_AT(ito_data_sampler_order(__VA_ARGS__))
#define ito_loader_next(...) ITO_AT(ito_loader_next(__VA_ARGS__))
#endif

#endif
