/* Ranks of a program. Invariant: as long as ranks have not agreed, each takes part in one exchange
 * of what became of it, even one that ends because of its command line; so none waits for another
 * in vain. */
#include "examples/common/ranks.h"

#include "examples/common/choices.h"
#include "examples/common/messages.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef ITO_MPI
#include <ito_mpi.h>
#endif

static ito_communicator *all; /* NULL: alone */
static bool agreed, together;
static char command_line[8192];

ito_communicator *ranks_communicator(void)
{
    return all;
}

int64_t ranks_count(void)
{
    return all == NULL ? 1 : all->ranks;
}

int64_t ranks_rank(void)
{
    return all == NULL ? 0 : all->rank;
}

/* ---- how it was started ---- */

/* A number that the one who started this process has set; -1: none. */
static int64_t number_of(const char *const *names)
{
    for (; *names != NULL; names++) {
        const char *text = getenv(*names);
        if (text != NULL && text[0] >= '0' && text[0] <= '9')
            return strtoll(text, NULL, 10);
    }
    return -1;
}

/* Open MPI; MPICH, Intel's and Slurm's PMI; srun. */
static int64_t started_count(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS",
                                        NULL};
    return number_of(names);
}

static int64_t started_rank(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID", NULL};
    return number_of(names);
}

/* ---- the end ---- */

/* What a rank came to before the work. */
typedef struct outcome {
    bool good;
    char message[1000];
} outcome;

/* Exchange outcomes; the first rank that failed, or -1 if none did. */
static int64_t exchange_outcomes(bool good, const char *message, outcome *first)
{
    outcome mine = {.good = good}, *each = calloc((size_t)all->ranks, sizeof *each);
    snprintf(mine.message, sizeof mine.message, "%s", message);
    int64_t found = -1;
    agreed = true;
    if (each == NULL || ito_communicator_gather(all, &mine, sizeof mine, each) != ITO_OK)
        found = all->rank;
    for (int64_t r = 0; r < all->ranks && found < 0; r++)
        if (!each[r].good)
            found = r;
    if (found >= 0 && each != NULL)
        *first = each[found];
    free(each);
    return found;
}

#ifdef ITO_MPI
/* Say why this rank takes the others along; after a moment, in which rank 0 does, if it has met the
 * same. */
static void explain(void)
{
    const struct timespec moment = {0, 200000000};
    char name[32];
    if (ranks_writes())
        return;
    nanosleep(&moment, NULL);
    snprintf(name, sizeof name, "rank %" PRId64, all->rank);
    complaint_release(name);
}

/* At exit. */
static void leave(void)
{
    outcome first;
    fflush(stdout);
    if (!agreed) {
        exchange_outcomes(false, complaint_held(), &first);
    } else if (!together) {
        explain();
        ito_mpi_abort(1);
    }
    ito_communicator_free(all);
    all = NULL;
}
#endif

void ranks_end_together(void)
{
    together = true;
}

bool ranks_agree(bool good, const ito_agreement *list, int64_t n)
{
    if (all == NULL)
        return good;
    outcome first = {.message = ""};
    int64_t found = exchange_outcomes(good, good ? "" : ito_error_message(), &first);
    if (found < 0)
        good = ito_communicator_agree(all, list, n) == ITO_OK;
    if (found >= 0 || !good)
        ranks_end_together();
    if (found > 0 && found != all->rank) {
        ito_error_clear();
        ito_error_set(ITO_ERR_ARGUMENT, "rank %" PRId64 ": %s", found, first.message);
    }
    return found < 0 && good;
}

/* ---- shared jobs ---- */

const char *ranks_command_line(void)
{
    return command_line;
}

ito_batch_slice ranks_rows(int64_t n)
{
    return ito_slice_of(ranks_rank(), ranks_count(), n);
}

bool ranks_gather_rows(ito_tensor *x)
{
    if (all == NULL)
        return true;
    int64_t n = ito_size(x, 0), ranks = all->ranks;
    int64_t row = ito_numel(x) / (n > 0 ? n : 1) * (int64_t)ito_dtype_size(ito_dtype_of(x));
    int64_t *bytes = calloc((size_t)ranks, sizeof *bytes);
    if (bytes == NULL) {
        ito_error_set(ITO_ERR_MEMORY, "no memory for %" PRId64 " ranks", ranks);
        return false;
    }
    for (int64_t r = 0; r < ranks; r++) {
        ito_batch_slice part = ito_slice_of(r, ranks, n);
        bytes[r] = (part.end - part.begin) * row;
    }
    char *data = ito_data(x);
    ito_status status =
        ito_communicator_gather_parts(all, data + ranks_rows(n).begin * row, bytes, data);
    free(bytes);
    return status == ITO_OK;
}

/* ---- the beginning ---- */

/* Ends all but the first process, as if nothing were wrong: mpirun ends the others as soon as one
 * has failed, and the first has to have spoken by then. */
static void leave_word_to_first(void)
{
    if (started_rank() > 0)
        exit(0);
}

#ifdef ITO_MPI
static bool join(int64_t count)
{
    all = ito_mpi_start();
    if (all == NULL) {
        complain("", "%s", ito_error_message());
        return false;
    }
    if (all->ranks != count) {
        complain("",
                 "%" PRId64 " processes were started together, but MPI sees %" PRId64
                 ": start them by the mpirun of the MPI that this program was built with",
                 count, all->ranks);
        ito_communicator_free(all);
        all = NULL;
        return false;
    }
    atexit(leave);
    if (all->rank == 0)
        return true;
    notes_silence();
    complaints_hold();
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere >= 0)
        dup2(nowhere, STDOUT_FILENO);
    return true;
}
#else
static bool join(int64_t count)
{
    leave_word_to_first();
    complain("",
             "%" PRId64 " processes were started together, and this program was built without "
             "MPI: each would do the same; start one, or build with -Dmpi=enabled (Debian: "
             "mpi-default-dev)",
             count);
    return false;
}
#endif

static void note_command_line(int argc, char **argv)
{
    size_t n = 0;
    for (int i = 1; i < argc && n < sizeof command_line; i++)
        n += (size_t)snprintf(command_line + n, sizeof command_line - n, "%s\n", argv[i]);
}

bool ranks_begin(int argc, char **argv, const char *able)
{
    const char *command = argc > 1 ? argv[1] : NULL;
    int64_t count = started_count();
    note_command_line(argc, argv);
    if (count <= 1 || command == NULL || command[0] == '-')
        return true;
    if (words_have(able, command))
        return join(count);
    leave_word_to_first();
    complain(command,
             "%" PRId64 " processes were started together; it is a command for one: leave out "
             "mpirun or srun",
             count);
    return false;
}
