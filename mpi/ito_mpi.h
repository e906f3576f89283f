/* A communicator of MPI: processes that mpirun or srun has started.
 *
 * It is in a library of its own, libito_mpi (pkg-config: ito-mpi), so that libito needs no MPI.
 *
 *     int main(int argc, char **argv)
 *     {
 *         ito_communicator *ranks = ito_mpi_start();
 *         ito_parallel *p = ito_parallel_create(ranks, model, adam, .slices = 8);
 *         ... train
 *         ito_parallel_free(p);
 *         ito_communicator_free(ranks);
 *     }
 *
 *     mpirun -n 4 ./program
 */
#ifndef ITO_MPI_H
#define ITO_MPI_H

#include <ito/nn/communicator.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Join the processes that were started together; to be called once, from the main thread, before
 * all else. A program that was started alone has one rank.
 *
 * Its exchange sends from each rank to each other and polls, sleeping between polls if it takes
 * long, so that waiting leaves the processors to others. It fails if a rank of this machine has
 * died.
 * @return  freed by ito_communicator_free, which ends MPI and is the last call of all ranks. NULL:
 *          ITO_ERR_ARGUMENT if MPI has been started already; ITO_ERR_IO if it cannot be, or serves
 *          one thread alone; ITO_ERR_MEMORY.
 */
ITO_API ito_communicator *ito_mpi_start(void);

/** End all ranks now, as after an error on this one: they cannot go on without it. This process
 * leaves with the code, others are killed by mpirun. */
ITO_API void ito_mpi_abort(int code);

#ifdef __cplusplus
}
#endif

#endif
