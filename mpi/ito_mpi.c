/* The communicator of MPI: one message from each rank to each other in an exchange, nothing else of
 * it. Invariant: MPI adds up nothing, so no bit depends on it. */
#include <errno.h>
#include <inttypes.h>
#include <ito_mpi.h>
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    LARGEST = 1 << 30, /* bytes of a message: its length is an int */
    POLLS = 2000,      /* before the first sleep */
    SLEEP_NS = 50000,  /* between later polls */
    LOOK_EVERY = 2000, /* sleeps between looks for ranks that have died */
};

/* Where a rank runs. */
typedef struct place {
    char host[64];
    int64_t process;
} place;

typedef struct mpi_rank {
    ito_communicator base;
    place *place;          /* [ranks] */
    MPI_Request *requests; /* of an exchange; grows */
    size_t room;
} mpi_rank;

static ito_status failed(const char *what, int code)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length;
    MPI_Error_string(code, text, &length);
    return ito_error_set(ITO_ERR_IO, "mpi: %s failed: %s", what, text);
}

/* ---- an exchange ---- */

static size_t messages_of(const ito_block *blocks, int64_t ranks)
{
    size_t n = 0;
    for (int64_t r = 0; r < ranks; r++)
        n += (size_t)((blocks[r].bytes + LARGEST - 1) / LARGEST);
    return n;
}

static bool make_room(mpi_rank *m, size_t n)
{
    if (n <= m->room)
        return true;
    MPI_Request *grown = realloc(m->requests, n * sizeof *grown);
    if (grown == NULL) {
        ito_error_set(ITO_ERR_MEMORY, "mpi: no memory for %zu messages", n);
        return false;
    }
    m->requests = grown;
    m->room = n;
    return true;
}

/* Begin to send a block to a rank, or to receive it; an MPI error code. */
static int begin(mpi_rank *m, bool sends, int64_t rank, ito_block b, int *n)
{
    int code = MPI_SUCCESS;
    for (int64_t at = 0; at < b.bytes && code == MPI_SUCCESS; at += LARGEST) {
        int64_t left = b.bytes - at;
        int bytes = (int)(left < LARGEST ? left : LARGEST);
        char *data = (char *)b.data + at;
        MPI_Request *request = &m->requests[*n];
        code = sends ? MPI_Isend(data, bytes, MPI_BYTE, (int)rank, 0, MPI_COMM_WORLD, request)
                     : MPI_Irecv(data, bytes, MPI_BYTE, (int)rank, 0, MPI_COMM_WORLD, request);
        *n += code == MPI_SUCCESS;
    }
    return code;
}

/* Whether every rank of this machine still runs; if not, an error says which does not. */
static bool all_run(const mpi_rank *m)
{
    const place *here = &m->place[m->base.rank];
    for (int64_t r = 0; r < m->base.ranks; r++) {
        const place *p = &m->place[r];
        if (strcmp(p->host, here->host) != 0 || kill((pid_t)p->process, 0) == 0 || errno != ESRCH)
            continue;
        ito_error_set(ITO_ERR_IO, "mpi: rank %" PRId64 " (process %" PRId64 " on %s) is gone", r,
                      p->process, p->host);
        return false;
    }
    return true;
}

/* Poll until all requests are done. MPI moves data while it is called alone; a processor that is
 * waited on is left to who has work. */
static ito_status finish(mpi_rank *m, int n)
{
    const struct timespec pause = {0, SLEEP_NS};
    for (int64_t polls = 0;; polls++) {
        int done, code = MPI_Testall(n, m->requests, &done, MPI_STATUSES_IGNORE);
        if (code != MPI_SUCCESS)
            return failed("an exchange", code);
        if (done)
            return ITO_OK;
        if (polls < POLLS)
            continue;
        nanosleep(&pause, NULL);
        if (polls % LOOK_EVERY == 0 && !all_run(m))
            return ITO_ERR_IO;
    }
}

static ito_status exchange(ito_communicator *self, const ito_block *send, const ito_block *receive)
{
    mpi_rank *m = (mpi_rank *)self;
    int n = 0, code = MPI_SUCCESS;
    if (!make_room(m, messages_of(send, self->ranks) + messages_of(receive, self->ranks)))
        return ITO_ERR_MEMORY;
    if (send[self->rank].bytes > 0)
        memmove(receive[self->rank].data, send[self->rank].data, (size_t)send[self->rank].bytes);
    /* Each begins with its neighbour, so that they do not all send to rank 0 first. */
    for (int64_t k = 1; k < self->ranks && code == MPI_SUCCESS; k++) {
        int64_t from = (self->rank + self->ranks - k) % self->ranks;
        code = begin(m, false, from, receive[from], &n);
    }
    for (int64_t k = 1; k < self->ranks && code == MPI_SUCCESS; k++) {
        int64_t to = (self->rank + k) % self->ranks;
        code = begin(m, true, to, send[to], &n);
    }
    return code == MPI_SUCCESS ? finish(m, n) : failed("an exchange", code);
}

/* ---- the beginning and the end ---- */

static void end(ito_communicator *self)
{
    mpi_rank *m = (mpi_rank *)self;
    free(m->place);
    free(m->requests);
    free(m);
    MPI_Finalize();
}

static ito_status find_places(mpi_rank *m)
{
    place here = {.process = getpid()};
    gethostname(here.host, sizeof here.host - 1);
    m->place = calloc((size_t)m->base.ranks, sizeof *m->place);
    if (m->place == NULL)
        return ito_error_set(ITO_ERR_MEMORY, "mpi: no memory for %" PRId64 " ranks", m->base.ranks);
    int code = MPI_Allgather(&here, sizeof here, MPI_BYTE, m->place, sizeof here, MPI_BYTE,
                             MPI_COMM_WORLD);
    return code == MPI_SUCCESS ? ITO_OK : failed("the first exchange", code);
}

static ito_status start(mpi_rank *m)
{
    int rank, ranks, level;
    int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level);
    if (code != MPI_SUCCESS)
        return failed("MPI_Init_thread", code);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (level < MPI_THREAD_SERIALIZED)
        return ito_error_set(ITO_ERR_IO, "mpi: this MPI serves one thread alone; a second one "
                                         "has to send gradients");
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    m->base = (ito_communicator){rank, ranks, exchange, end};
    return find_places(m);
}

ito_communicator *ito_mpi_start(void)
{
    int started;
    MPI_Initialized(&started);
    if (started) {
        ito_error_set(ITO_ERR_ARGUMENT, "mpi: it was started already");
        return NULL;
    }
    mpi_rank *m = calloc(1, sizeof *m);
    if (m == NULL)
        ito_error_set(ITO_ERR_MEMORY, "mpi: no memory for a communicator");
    if (m == NULL || start(m) == ITO_OK)
        return m != NULL ? &m->base : NULL;
    free(m->place);
    free(m);
    return NULL;
}

void ito_mpi_abort(int code)
{
    MPI_Abort(MPI_COMM_WORLD, code);
    _exit(code);
}
