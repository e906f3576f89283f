/* Data: a dataset gives single examples, a sampler their order, a loader batches of them.
 *
 * The order of examples, their augmentation and hence every byte of every batch are functions of
 * (seed, position) alone: not of threads, of prefetching, or of where a run was stopped and
 * resumed.
 */
#ifndef ITO_NN_DATA_H
#define ITO_NN_DATA_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- datasets ----------------------------------------------------------------------------------
 */

/** Which example is wanted, and what its augmentation may draw from. */
typedef struct ito_example {
    int64_t index; /* in [0, size) */
    int64_t epoch; /* how often the data was gone through before */
    uint64_t seed; /* of the loader */
} ito_example;

typedef struct ito_dataset ito_dataset;

/** A dataset of one's own embeds this as its first member. */
struct ito_dataset {
    int64_t size;
    ito_shape shape; /* of an example: [C, H, W], say */
    bool has_labels;
    /**
     * Write one example, row-major f32 of `shape`, and its label unless label is NULL. Called by
     * one thread at a time for each loader, which need not be the one that made the loader. Depends
     * on its arguments only. On failure it records an error and returns its code.
     */
    ito_status (*get)(const ito_dataset *d, ito_example which, float *x, int64_t *label);
    /** Frees the dataset. May be NULL. */
    void (*destroy)(ito_dataset *d);
};

/** Accepts NULL. */
ITO_API void ito_dataset_free(ito_dataset *d);

typedef struct ito_image_dataset_options {
    int reserved_;
    ito_tensor *labels; /* [N] u8, i32 or i64; NULL: none */
    bool flip;          /* mirror left and right, for half of (seed, epoch, index) */
} ito_image_dataset_options;
#define ITO_DEFAULTS_ito_image_dataset_options .reserved_ = 0

/**
 * Images in memory: ito_image_dataset_create(images, .labels = labels, .flip = true).
 *
 * @param images  [N, C, H, W] u8, given as x / 127.5 - 1, or f32, given as they are; retained, not
 *                copied if row-major, and not to be changed while in use.
 * @return        owned by the caller. NULL: ITO_ERR_SHAPE if there are no 4 axes, no images, or not
 *                as many labels; ITO_ERR_DTYPE, ITO_ERR_MEMORY.
 */
ITO_API ito_dataset *ito_image_dataset_create_with(ito_tensor *images,
                                                   ito_image_dataset_options options);
#define ito_image_dataset_create(images, ...)                                                      \
    ITO_AT(ito_image_dataset_create_with(images,                                                   \
                                         ITO_OPTIONS(ito_image_dataset_options, __VA_ARGS__)))

/* ---- the order ---------------------------------------------------------------------------------
 */

/** A place in the endless sequence of examples, epoch after epoch, each in an order of its own.
 * Plain data: copy it, save it. */
typedef struct ito_data_sampler {
    int64_t size; /* of the dataset, at least 1 */
    uint64_t seed;
    int64_t position; /* examples consumed so far: epoch = position / size */
    bool sequential;  /* 0, 1, 2, ... in every epoch */
} ito_data_sampler;

/** The order of an epoch: a permutation of 0 .. size - 1, i64 [size], of the current scope, drawn
 * from (seed, epoch). ITO_ERR_RANGE unless size >= 1 and epoch >= 0. */
ITO_API ito_tensor *ito_data_sampler_order(const ito_data_sampler *s, int64_t epoch);

/* ---- batches -----------------------------------------------------------------------------------
 */

typedef struct ito_loader ito_loader;

typedef struct ito_loader_options {
    int reserved_;
    int64_t position; /* examples to skip: where a checkpoint says */
    int64_t prefetch; /* batches that a thread of its own keeps ready; 0: made when asked for */
    bool sequential;  /* in the order of the dataset, not a random one */
    bool once;        /* one pass: the last batch may be shorter, then there are none */
} ito_loader_options;
#define ITO_DEFAULTS_ito_loader_options .reserved_ = 0

typedef struct ito_batch {
    ito_tensor *x;      /* [B, ...] f32, of the current scope; NULL at the end of a single pass */
    ito_tensor *labels; /* [B] i64, or NULL if the dataset has none */
    int64_t epoch;      /* of the first example */
} ito_batch;

/**
 * Batches of a dataset: ito_loader_create(data, 128, seed, .prefetch = 2).
 *
 * Every batch is full: one that begins at the end of an epoch goes on into the next, so no example
 * is dropped and each is seen once an epoch. (With .once there is one epoch, and the last batch
 * holds what is left.)
 * @param data  borrowed, must outlive the loader.
 * @return      owned by the caller. NULL: ITO_ERR_RANGE for sizes below 1, a negative position or
 *              prefetch; ITO_ERR_SHAPE for a batch that does not fit in memory's address range;
 *              ITO_ERR_MEMORY, also if there can be no thread.
 */
ITO_API ito_loader *ito_loader_create_with(const ito_dataset *data, int64_t batch_size,
                                           uint64_t seed, ito_loader_options options);
#define ito_loader_create(data, batch_size, seed, ...)                                             \
    ITO_AT(ito_loader_create_with(data, batch_size, seed,                                          \
                                  ITO_OPTIONS(ito_loader_options, __VA_ARGS__)))
/** Stop the thread, at any time, and free the loader. Accepts NULL. */
ITO_API void ito_loader_free(ito_loader *l);

/**
 * The next batch.
 * @return  an error of the dataset or of memory, also if it arose in the thread. It ends the
 * loader: later calls give it again. *out is untouched then.
 */
ITO_API ito_status ito_loader_next(ito_loader *l, ito_batch *out);
/** Examples in the batches handed out so far, and those skipped: to be saved, and given as
 * .position to resume. */
ITO_API int64_t ito_loader_position(const ito_loader *l);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_data_sampler_order(...) ITO_AT(ito_data_sampler_order(__VA_ARGS__))
#define ito_loader_next(...) ITO_AT(ito_loader_next(__VA_ARGS__))
#endif

#endif
