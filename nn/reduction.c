/* Sums over slices and ranks in a fixed tree, in buckets, by a thread while the sweep goes on. */
#include "nn/reduction.h"

#include "tensor/internal.h"
#include "tensor/profile.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- adding -----------------------------------------------------------------------------------
 */

static void round_to_bf16(float *x, int64_t n)
{
    uint16_t small[1024];
    for (int64_t i = 0; i < n; i += 1024) {
        int64_t count = n - i < 1024 ? n - i : 1024;
        kernels(ITO_BF16)->from_f32(small, x + i, count);
        kernels(ITO_BF16)->to_f32(x + i, small, count);
    }
}

/* to += other, both rounded first if they are to be. */
static void add_node(const reduction *r, void *to, void *other, int64_t n)
{
    if (r->bf16) {
        round_to_bf16(to, n);
        round_to_bf16(other, n);
    }
    kernels(r->flat->dtype)->add(to, other, 1, to, 1, n, 0, 0);
}

/* The levels that slice k of this rank's is added to: all that wait for it. The last slice takes
 * the rest as well. */
static uint64_t levels_of(const reduction *r, int64_t k)
{
    uint64_t waiting = (uint64_t)k;
    return k + 1 == r->slices ? waiting : waiting & ~(waiting + 1);
}

/* Add the sums that wait for slice k to its gradient, in these elements. */
static void climb(const reduction *r, int64_t k, flat_range at)
{
    uint64_t levels = levels_of(r, k);
    for (int l = 0; levels >> l != 0; l++)
        if (levels >> l & 1)
            add_node(r, flat_at(r->flat->grad, at.begin), flat_at(r->level[l], at.begin),
                     at.end - at.begin);
}

static flat_range square_of(const reduction *r, int64_t i)
{
    int64_t begin = i * FLAT_PIECE, end = begin + FLAT_PIECE;
    return (flat_range){begin, end < r->flat->n ? end : r->flat->n};
}

/* A slice that is not the last: its sum waits at the lowest level that is free. */
static void climb_and_wait(const reduction *r, int64_t k, flat_range at)
{
    climb(r, k, at);
    memcpy(flat_at(r->level[__builtin_ctzll(~(uint64_t)k)], at.begin),
           flat_at(r->flat->grad, at.begin),
           (size_t)(at.end - at.begin) * ito_dtype_size(r->flat->dtype));
}

/* ---- a bucket ---------------------------------------------------------------------------------
 */

static size_t wire_size(const reduction *r)
{
    return ito_dtype_size(r->bf16 ? ITO_BF16 : r->flat->dtype);
}

/* Exchange r->blocks. */
static ito_status exchange(reduction *r)
{
    for (int64_t k = 0; k < r->shard.ranks; k++)
        r->bytes += k == r->shard.rank ? 0 : r->blocks[k].bytes;
    return r->c->exchange(r->c, r->blocks, r->blocks + r->shard.ranks);
}

/* Say which blocks of a bucket go where, from `from`, whose first element is that of the bucket. */
static void address(const reduction *r, int64_t bucket, char *from)
{
    const flat_shard *s = &r->shard;
    flat_range all = shard_bucket(s, bucket), mine = shard_part(s, bucket, s->rank);
    int64_t size = (int64_t)wire_size(r);
    for (int64_t k = 0; k < s->ranks; k++) {
        flat_range part = shard_part(s, bucket, k);
        r->blocks[k] =
            (ito_block){from + (part.begin - all.begin) * size, (part.end - part.begin) * size};
        r->blocks[s->ranks + k] =
            (ito_block){(char *)r->received + k * (mine.end - mine.begin) * size,
                        (mine.end - mine.begin) * size};
    }
}

/* The sum over ranks of n elements that lie behind each other, in the tree above them, to the
 * first. */
static void add_ranks(const reduction *r, char *x, int64_t n)
{
    size_t bytes = (size_t)n * ito_dtype_size(r->flat->dtype);
    for (int64_t width = 1; width < r->shard.ranks; width *= 2)
        for (int64_t k = 0; k + width < r->shard.ranks; k += 2 * width)
            add_node(r, x + (size_t)k * bytes, x + (size_t)(k + width) * bytes, n);
}

/* The first level that ranks add was rounded as it was sent. */
static void widen(const reduction *r, int64_t n)
{
    float *wide = (float *)r->received;
    const uint16_t *small = (const uint16_t *)r->received;
    /* From the end, since both begin at the same place. */
    for (int64_t i = r->shard.ranks * n; i > 0;) {
        float some[1024];
        int64_t count = i < 1024 ? i : 1024;
        i -= count;
        kernels(ITO_BF16)->to_f32(some, small + i, count);
        memcpy(wide + i, some, (size_t)count * sizeof *wide);
    }
}

static ito_status reduce(reduction *r, int64_t bucket)
{
    module_flat *f = r->flat;
    flat_range all = shard_bucket(&r->shard, bucket);
    flat_range mine = shard_part(&r->shard, bucket, r->shard.rank);
    int64_t n = mine.end - mine.begin;
    climb(r, r->slices - 1, all);
    char *from = flat_at(f->grad, all.begin);
    if (r->bf16) {
        kernels(ITO_BF16)->from_f32(r->sent, (const float *)(void *)from, all.end - all.begin);
        from = r->sent;
    }
    address(r, bucket, from);
    ito_status status = exchange(r);
    if (status != ITO_OK || n == 0)
        return status;
    if (r->bf16)
        widen(r, n);
    add_ranks(r, r->received, n);
    memcpy(flat_at(f->grad, mine.begin), r->received, (size_t)n * ito_dtype_size(f->dtype));
    return ITO_OK;
}

ito_status reduction_spread(reduction *r, ito_tensor *block)
{
    const flat_shard *s = &r->shard;
    int64_t size = (int64_t)ito_dtype_size(r->flat->dtype);
    ito_status status = ITO_OK;
    for (int64_t b = 0; s->ranks > 1 && b < s->buckets && status == ITO_OK; b++) {
        flat_range mine = shard_part(s, b, s->rank);
        for (int64_t k = 0; k < s->ranks; k++) {
            flat_range part = shard_part(s, b, k);
            bool own = k == s->rank; /* is there already */
            r->blocks[k] =
                (ito_block){flat_at(block, mine.begin), own ? 0 : (mine.end - mine.begin) * size};
            r->blocks[s->ranks + k] =
                (ito_block){flat_at(block, part.begin), own ? 0 : (part.end - part.begin) * size};
        }
        status = exchange(r);
    }
    if (s->ranks > 1)
        ito_touch(block);
    return status;
}

/* ---- the thread -------------------------------------------------------------------------------
 */

/* Reduce buckets from the last to the first, each when it is complete: the order of all ranks. */
static void *run(void *context)
{
    reduction *r = context;
    pthread_mutex_lock(&r->lock);
    while (!r->stop) {
        if (r->next < 0 || r->missing[r->next] > 0) {
            pthread_cond_wait(&r->changed, &r->lock);
            continue;
        }
        pthread_mutex_unlock(&r->lock);
        ito_status status = r->status == ITO_OK ? reduce(r, r->next) : r->status;
        pthread_mutex_lock(&r->lock);
        if (status != ITO_OK && r->status == ITO_OK) {
            r->status = status;
            snprintf(r->message, sizeof r->message, "%s", ito_error_message());
        }
        r->next--;
        pthread_cond_broadcast(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* The thread blocks all signals, so that the program's own threads get them. */
static bool start(reduction *r)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r->has_thread = pthread_create(&r->thread, NULL, run, r) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r->has_thread ||
           error_false(ITO_ERR_MEMORY, "parallel: the system gives no thread for the exchange");
}

/* ---- the slices -------------------------------------------------------------------------------
 */

static bool is_last(const reduction *r)
{
    return r->slice + 1 == r->slices;
}

/* The buckets that parameter i lies in: [first, last]. */
static void buckets_of(const reduction *r, int64_t i, int64_t *first, int64_t *last)
{
    int64_t bucket = r->shard.squares * FLAT_PIECE, begin = r->flat->offset[i];
    int64_t n = ito_numel(r->flat->list->tensors[i]);
    *first = begin / bucket;
    *last = (begin + (n > 0 ? n - 1 : 0)) / bucket;
}

static void count_missing(reduction *r, int64_t i, int64_t change)
{
    int64_t first, last;
    buckets_of(r, i, &first, &last);
    for (int64_t b = first; b <= last && b < r->shard.buckets; b++)
        r->missing[b] += change;
}

void reduction_begin(reduction *r)
{
    if (!r->has_thread || !is_last(r))
        return;
    pthread_mutex_lock(&r->lock);
    memset(r->missing, 0, (size_t)r->shard.buckets * sizeof *r->missing);
    for (int64_t i = 0; i < r->flat->list->n; i++)
        count_missing(r, i, 1);
    r->status = ITO_OK;
    r->next = r->shard.buckets - 1;
    pthread_mutex_unlock(&r->lock);
}

void reduction_complete(reduction *r, int64_t i)
{
    if (!r->has_thread || !is_last(r))
        return;
    flat_gather_gradient(r->flat, i);
    pthread_mutex_lock(&r->lock);
    count_missing(r, i, -1);
    if (r->next >= 0 && r->missing[r->next] == 0)
        pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* All parameters that no sweep reached are complete, too. */
static ito_status finish(reduction *r)
{
    double since = seconds();
    pthread_mutex_lock(&r->lock);
    memset(r->missing, 0, (size_t)r->shard.buckets * sizeof *r->missing);
    pthread_cond_broadcast(&r->changed);
    while (r->next >= 0)
        pthread_cond_wait(&r->changed, &r->lock);
    ito_status status = r->status;
    pthread_mutex_unlock(&r->lock);
    r->waited += seconds() - since;
    return status == ITO_OK ? ITO_OK : ito_error_set(status, "%s", r->message);
}

ito_status reduction_end(reduction *r)
{
    static profile_row row = PROFILE_ROW("sums over slices and ranks");
    module_flat *f = r->flat;
    int64_t k = r->slice, squares = (f->n + FLAT_PIECE - 1) / FLAT_PIECE;
    bool last = is_last(r);
    flat_gather_gradients(f);
    profile_frame frame;
    profile_begin(&frame);
    ito_status status = ITO_OK;
    if (!last)
        PARALLEL_FOR(i, squares, 2 * f->n, climb_and_wait(r, k, square_of(r, i)));
    else if (r->has_thread)
        status = finish(r);
    else
        PARALLEL_FOR(i, squares, 2 * f->n, climb(r, k, square_of(r, i)));
    r->slice = last ? 0 : k + 1;
    ito_touch(f->grad);
    profile_end(&frame, &row);
    return status;
}

/* ---- life -------------------------------------------------------------------------------------
 */

static bool make_levels(reduction *r)
{
    for (int l = 0; (r->slices - 1) >> l != 0; l++) {
        r->level[l] = flat_zeros(r->flat);
        if (r->level[l] == NULL)
            return false;
    }
    return true;
}

static bool make_room(reduction *r)
{
    const flat_shard *s = &r->shard;
    int64_t part = (s->squares + s->ranks - 1) / s->ranks * FLAT_PIECE;
    size_t size = ito_dtype_size(r->flat->dtype);
    r->received = mem_alloc((size_t)(part * s->ranks) * size);
    r->blocks = struct_alloc(2 * (size_t)s->ranks * sizeof *r->blocks);
    r->missing = struct_alloc((size_t)s->buckets * sizeof *r->missing + 1);
    if (r->bf16)
        r->sent = mem_alloc((size_t)(s->squares * FLAT_PIECE) * sizeof(uint16_t));
    return r->received != NULL && r->blocks != NULL && r->missing != NULL &&
           (!r->bf16 || r->sent != NULL);
}

bool reduction_open(reduction *r, ito_communicator *c, module_flat *f, int64_t slices,
                    int64_t bucket_bytes, bool bf16)
{
    int64_t rank = c == NULL ? 0 : c->rank, ranks = c == NULL ? 1 : c->ranks;
    *r = (reduction){.c = c,
                     .flat = f,
                     .shard = shard_make(f, rank, ranks, bucket_bytes),
                     .slices = slices,
                     .bf16 = bf16,
                     .next = -1};
    return make_levels(r) && (ranks == 1 || (make_room(r) && start(r)));
}

void reduction_free(reduction *r)
{
    if (r->has_thread) {
        pthread_mutex_lock(&r->lock);
        r->stop = true;
        pthread_cond_broadcast(&r->changed);
        pthread_mutex_unlock(&r->lock);
        pthread_join(r->thread, NULL);
        pthread_mutex_destroy(&r->lock);
        pthread_cond_destroy(&r->changed);
    }
    for (int l = 0; l < MOST_LEVELS; l++)
        ito_release(r->level[l]);
    mem_free(r->received);
    mem_free(r->sent);
    free(r->blocks);
    free(r->missing);
}
