/* The loader: batches made one after another, by the caller's thread or in advance by its own.
 *
 * Invariant: a batch depends on the dataset, the seed, the batch size and its first position only.
 * Both threads run the same code, so prefetching changes no byte. */
#include "nn/data.h"
#include "tensor/internal.h"
#include "tensor/profile.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* A finished batch, its tensors references; or the error that occurred instead. */
typedef struct made_batch {
    ito_batch batch;
    ito_status status;
    char message[ERROR_BYTES];
} made_batch;

struct ito_loader {
    const ito_dataset *data;
    int64_t batch_size;
    bool once;
    int64_t position; /* after the last batch given out */
    made_batch last;  /* the error or the end, which later calls return again */
    bool ended;       /* whether there was one */

    /* used by the thread that makes batches */
    ito_data_sampler sampler;  /* at the beginning of the next batch to be made */
    ito_data_order *own_order; /* or NULL */
    void *order_context;
    ito_tensor *order; /* a reference: the order of order_epoch */
    int64_t order_epoch;

    /* shared by both threads, under the lock */
    bool has_thread;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    made_batch *queue; /* a ring */
    int64_t capacity, first, count;
    bool stop;
};

/* ---- making a batch ----------------------------------------------------------------------------
 */

static bool stopped(ito_loader *l)
{
    if (!l->has_thread)
        return false;
    pthread_mutex_lock(&l->lock);
    bool stop = l->stop;
    pthread_mutex_unlock(&l->lock);
    return stop;
}

/* order is row-major */
static bool check_order(const ito_tensor *order, int64_t size)
{
    if (order->dtype != ITO_I64)
        return error_false(ITO_ERR_DTYPE, "loader: the order is of %s, not i64",
                           ito_dtype_name(order->dtype));
    if (order->ndim != 1 || order->shape[0] != size)
        return error_false(ITO_ERR_SHAPE, "loader: the order is %s, not [%" PRId64 "]",
                           tensor_shape_str(order), size);
    const int64_t *index = tensor_data(order);
    for (int64_t i = 0; i < size; i++)
        if (index[i] < 0 || index[i] >= size)
            return error_false(ITO_ERR_RANGE,
                               "loader: the order names example %" PRId64 " among %" PRId64,
                               index[i], size);
    return true;
}

/* A reference to the order of this epoch, or NULL. */
static ito_tensor *order_of(ito_loader *l, int64_t epoch)
{
    if (l->own_order == NULL)
        return tensor_disown(ito_data_sampler_order(&l->sampler, epoch));
    ito_scope_begin();
    ito_tensor *order = l->own_order(&l->sampler, epoch, l->order_context);
    if (order == NULL)
        error_missing("loader", "the order");
    else
        order = tensor_contiguous(order);
    bool good = order != NULL && check_order(order, l->data->size);
    ito_retain(good ? order : NULL);
    ito_scope_end();
    return good ? order : NULL;
}

/* The example at this position of the endless sequence; -1 with an error recorded. */
static int64_t example_at(ito_loader *l, int64_t position)
{
    int64_t epoch = position / l->data->size;
    if (l->order == NULL || l->order_epoch != epoch) {
        ito_release(l->order);
        l->order = order_of(l, epoch);
        l->order_epoch = epoch;
    }
    return l->order == NULL ? -1
                            : ((const int64_t *)tensor_data(l->order))[position % l->data->size];
}

/* The number of examples in the next batch. */
static int64_t next_size(const ito_loader *l)
{
    int64_t left = l->data->size - l->sampler.position;
    if (!l->once || left >= l->batch_size)
        return l->batch_size;
    return left > 0 ? left : 0;
}

static ito_status fill_batch(ito_loader *l, const ito_batch *b, int64_t n)
{
    const ito_dataset *d = l->data;
    char *next[ITO_MAX_FIELDS] = {NULL};
    int64_t bytes[ITO_MAX_FIELDS] = {0};
    for (int i = 0; i < d->n_fields; i++) {
        next[i] = tensor_data(b->field[i]);
        bytes[i] = shape_numel(d->field[i].shape) * (int64_t)ito_dtype_size(d->field[i].dtype);
    }
    for (int64_t k = 0; k < n && !stopped(l); k++) {
        int64_t position = l->sampler.position + k, index = example_at(l, position);
        if (index < 0)
            return ito_error_code();
        ito_example which = {index, position / d->size, l->sampler.seed};
        void *out[ITO_MAX_FIELDS];
        for (int i = 0; i < ITO_MAX_FIELDS; i++)
            out[i] = next[i];
        ito_status status = d->get(d, which, out);
        if (status != ITO_OK)
            return status;
        for (int i = 0; i < d->n_fields; i++)
            next[i] += bytes[i];
    }
    return ITO_OK;
}

static ito_shape batch_shape(const ito_field *f, int64_t n)
{
    ito_shape shape = {.ndim = f->shape.ndim + 1, .dim = {n}};
    for (int i = 0; i < f->shape.ndim; i++)
        shape.dim[i + 1] = f->shape.dim[i];
    return shape;
}

static void release_batch(ito_batch *b)
{
    for (int i = 0; i < ITO_MAX_FIELDS; i++)
        ito_release(b->field[i]);
    *b = (ito_batch){0};
}

/* The batch at the sampler's position, which advances; at the end of a single pass one without
 * fields. */
static ito_status make_batch(ito_loader *l, ito_batch *out)
{
    int64_t n = next_size(l);
    *out = (ito_batch){.epoch = l->sampler.position / l->data->size};
    if (n == 0)
        return ITO_OK;
    ito_status status = ITO_OK;
    for (int i = 0; i < l->data->n_fields && status == ITO_OK; i++) {
        const ito_field *f = &l->data->field[i];
        out->field[i] = tensor_disown(tensor_empty(batch_shape(f, n), f->dtype));
        status = out->field[i] == NULL ? ITO_ERR_MEMORY : ITO_OK;
    }
    if (status == ITO_OK)
        status = fill_batch(l, out, n);
    if (status != ITO_OK)
        release_batch(out);
    else
        l->sampler.position += n;
    return status;
}

/* make_batch with the error's message, for another thread. The scope frees the slots of tensors
 * that have left it. */
static void make_recorded(ito_loader *l, made_batch *out)
{
    ito_scope_begin();
    out->status = make_batch(l, &out->batch);
    ito_scope_end();
    snprintf(out->message, sizeof out->message, "%s",
             out->status == ITO_OK ? "" : ito_error_message());
}

static bool is_last(const made_batch *made)
{
    return made->status != ITO_OK || made->batch.field[0] == NULL;
}

/* ---- the thread --------------------------------------------------------------------------------
 */

/* Put a batch into the queue when it has room; false if the loader stops. */
static bool queue_push(ito_loader *l, const made_batch *made)
{
    pthread_mutex_lock(&l->lock);
    while (l->count == l->capacity && !l->stop)
        pthread_cond_wait(&l->changed, &l->lock);
    bool stop = l->stop;
    if (!stop) {
        l->queue[(l->first + l->count) % l->capacity] = *made;
        l->count++;
        pthread_cond_signal(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return !stop;
}

/* An error, or the end of a single pass, is the last thing in the queue. */
static void *run(void *context)
{
    ito_loader *l = context;
    for (;;) {
        made_batch made;
        make_recorded(l, &made);
        bool last = is_last(&made);
        if (!queue_push(l, &made)) {
            release_batch(&made.batch);
            return NULL;
        }
        if (last)
            return NULL;
    }
}

/* The thread blocks all signals, so that the program's own threads get them. */
static bool start(ito_loader *l)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    l->has_thread = true;
    int failure = pthread_create(&l->thread, NULL, run, l);
    if (failure != 0)
        l->has_thread = false;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0)
        ito_error_set(ITO_ERR_MEMORY, "loader: the system gave no thread for prefetching");
    return failure == 0;
}

/* Wait for the oldest batch of the queue. Not called after the last one. */
static void queue_pop(ito_loader *l, made_batch *out)
{
    static profile_row row = PROFILE_ROW("waiting for data");
    profile_frame frame;
    profile_begin(&frame);
    pthread_mutex_lock(&l->lock);
    while (l->count == 0)
        pthread_cond_wait(&l->changed, &l->lock);
    *out = l->queue[l->first];
    l->first = (l->first + 1) % l->capacity;
    l->count--;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->lock);
    profile_end(&frame, &row);
}

/* ---- public functions --------------------------------------------------------------------------
 */

static bool check_field(const ito_field *f, int64_t batch_size)
{
    return f->shape.ndim >= 0 && f->shape.ndim < ITO_MAX_DIMS && f->dtype < ITO_DTYPES &&
           checked_mul(shape_numel(batch_shape(f, batch_size)),
                       (int64_t)ito_dtype_size(f->dtype)) >= 0;
}

static bool check(const ito_dataset *data, int64_t batch_size, const ito_loader_options *o)
{
    if (data->size < 1 || batch_size < 1)
        return error_false(ITO_ERR_RANGE,
                           "loader: batches of %" PRId64 " from %" PRId64
                           " examples; both must be positive",
                           batch_size, data->size);
    if (o->position < 0 || o->prefetch < 0)
        return error_false(ITO_ERR_RANGE,
                           "loader: position %" PRId64 ", prefetch %" PRId64
                           "; neither can be negative",
                           o->position, o->prefetch);
    if (data->n_fields < 1 || data->n_fields > ITO_MAX_FIELDS)
        return error_false(ITO_ERR_ARGUMENT,
                           "loader: examples have 1 to %d fields, not %d (n_fields)",
                           ITO_MAX_FIELDS, data->n_fields);
    for (int i = 0; i < data->n_fields; i++)
        if (!check_field(&data->field[i], batch_size))
            return error_false(ITO_ERR_SHAPE,
                               "loader: no batch holds %" PRId64 " examples of shape %s",
                               batch_size, shape_str(data->field[i].shape));
    return true;
}

ito_loader *ito_loader_create_with(const ito_dataset *data, int64_t batch_size, uint64_t seed,
                                   ito_loader_options options)
{
    if (data == NULL || !check(data, batch_size, &options))
        return NULL;
    ito_loader *l = struct_alloc(sizeof *l);
    if (l == NULL)
        return NULL;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    l->data = data;
    l->batch_size = batch_size;
    l->once = options.once;
    l->own_order = options.order;
    l->order_context = options.order_context;
    l->position = options.position;
    l->sampler = (ito_data_sampler){.size = data->size,
                                    .seed = seed,
                                    .position = options.position,
                                    .sequential = options.sequential};
    if (options.prefetch > 0) {
        l->capacity = options.prefetch;
        int64_t bytes = checked_mul(l->capacity, sizeof *l->queue);
        l->queue = struct_alloc(bytes < 0 ? SIZE_MAX : (size_t)bytes);
        if (l->queue == NULL || !start(l))
            goto fail;
    }
    return l;
fail:
    ito_loader_free(l);
    return NULL;
}

void ito_loader_free(ito_loader *l)
{
    if (l == NULL)
        return;
    if (l->has_thread) {
        pthread_mutex_lock(&l->lock);
        l->stop = true;
        pthread_cond_broadcast(&l->changed);
        pthread_mutex_unlock(&l->lock);
        pthread_join(l->thread, NULL);
    }
    for (; l->count > 0; l->count--, l->first = (l->first + 1) % l->capacity)
        release_batch(&l->queue[l->first].batch);
    ito_release(l->order);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l->queue);
    free(l);
}

/* Give the references to the caller's scope, all or none. */
static ito_status adopt(ito_batch *b)
{
    for (int i = 0; i < ITO_MAX_FIELDS; i++) {
        if (b->field[i] == NULL)
            break;
        b->field[i] = tensor_adopt(b->field[i]);
        if (b->field[i] != NULL)
            continue;
        for (int j = i + 1; j < ITO_MAX_FIELDS; j++)
            ito_release(b->field[j]);
        return ITO_ERR_MEMORY;
    }
    b->x = b->field[0];
    b->labels = b->field[1];
    return ITO_OK;
}

/* Nothing comes after an error or the end of a single pass. */
static void end_with(ito_loader *l, const made_batch *made)
{
    l->ended = true;
    l->last = *made;
}

ito_status ito_loader_next(ito_loader *l, ito_batch *out)
{
    if (l == NULL || out == NULL)
        return error_missing("loader_next", l == NULL ? "the loader" : "the batch");
    made_batch made = l->last;
    if (!l->ended && l->has_thread)
        queue_pop(l, &made);
    else if (!l->ended)
        make_recorded(l, &made);
    if (is_last(&made))
        end_with(l, &made);
    if (made.status != ITO_OK)
        return ito_error_set(made.status, "%s", made.message);
    int64_t size = made.batch.field[0] == NULL ? 0 : made.batch.field[0]->shape[0];
    if (adopt(&made.batch) != ITO_OK) { /* the batch is lost, and the sequence has no gaps */
        made = (made_batch){.status = ITO_ERR_MEMORY};
        snprintf(made.message, sizeof made.message, "loader: no memory to give out a batch");
        end_with(l, &made);
        return ITO_ERR_MEMORY;
    }
    l->position += size;
    *out = made.batch;
    return ITO_OK;
}

int64_t ito_loader_position(const ito_loader *l)
{
    return l == NULL ? 0 : l->position;
}
