/* Ranks that are threads. A rank shows the others what it sends; between two barriers each copies
 * what is its own. */
#include "tests/nn/thread_ranks.h"

#include "tensor/scope.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct world {
    int64_t ranks;
    pthread_barrier_t barrier;
    const ito_block **sent; /* [ranks] */
} world;

typedef struct thread_rank {
    ito_communicator base;
    world *world;
    rank_function *f;
    void *context;
    pthread_t thread;
} thread_rank;

static ito_status exchange(ito_communicator *self, const ito_block *send, const ito_block *receive)
{
    world *w = ((thread_rank *)self)->world;
    ito_status status = ITO_OK;
    w->sent[self->rank] = send;
    pthread_barrier_wait(&w->barrier);
    for (int64_t r = 0; r < self->ranks; r++) {
        const ito_block *from = &w->sent[r][self->rank];
        if (from->bytes != receive[r].bytes)
            status = ito_error_set(ITO_ERR_ARGUMENT,
                                   "thread_ranks: rank %" PRId64 " sends %" PRId64
                                   " bytes, not %" PRId64,
                                   r, from->bytes, receive[r].bytes);
        else if (from->bytes > 0)
            memmove(receive[r].data, from->data, (size_t)from->bytes);
    }
    pthread_barrier_wait(&w->barrier);
    return status;
}

static void *run(void *argument)
{
    thread_rank *t = argument;
    ito_scope_begin();
    t->f(&t->base, t->context);
    ito_scope_end();
    return NULL;
}

void thread_ranks_run(int64_t ranks, rank_function *f, void *context)
{
    world w = {.ranks = ranks, .sent = calloc((size_t)ranks, sizeof *w.sent)};
    thread_rank *t = calloc((size_t)ranks, sizeof *t);
    pthread_barrier_init(&w.barrier, NULL, (unsigned)ranks);
    for (int64_t r = 0; r < ranks; r++) {
        t[r] = (thread_rank){{r, ranks, exchange, NULL}, &w, f, context, 0};
        if (pthread_create(&t[r].thread, NULL, run, &t[r]) != 0)
            abort(); /* the others would wait for it */
    }
    for (int64_t r = 0; r < ranks; r++)
        pthread_join(t[r].thread, NULL);
    pthread_barrier_destroy(&w.barrier);
    free(t);
    free(w.sent);
}
