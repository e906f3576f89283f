/* Ranks that are threads of one process, for tests: what MPI does between processes. */
#ifndef TESTS_NN_THREAD_RANKS_H
#define TESTS_NN_THREAD_RANKS_H

#include "nn/communicator.h"

/* Called once for each rank, in a thread and a scope of its own. */
typedef void rank_function(ito_communicator *c, void *context);

/* Run f on so many ranks and wait for all. */
void thread_ranks_run(int64_t ranks, rank_function *f, void *context);

#endif
