/* Processes that mpirun or srun has started together. Rank 0 speaks and writes for all; the others
 * are silent, unless one of them fails alone.
 * A program calls ranks_begin first; a command that can work with several ranks calls ranks_agree
 * once, where all of them know whether they can begin. */
#ifndef ITO_EXAMPLES_RANKS_H
#define ITO_EXAMPLES_RANKS_H

#include <ito/nn/parallel.h>

/* Join the others, if there are any. `able` has the commands that can work together:
 * "train|sample". False with a complaint printed: the program ends with 1. */
bool ranks_begin(int argc, char **argv, const char *able);

/* NULL if this process is alone. */
ito_communicator *ranks_communicator(void);
/* 1 and 0 if it is alone. */
int64_t ranks_count(void);
int64_t ranks_rank(void);
/* Whether this process writes files and prints. */
static inline bool ranks_writes(void)
{
    return ranks_rank() == 0;
}

/* Every rank says whether it can begin (good; if not, with an error recorded) and what it has, of
 * which all must have the same. False with an error recorded, on all of them, that names the rank.
 */
bool ranks_agree(bool good, const ito_agreement *list, int64_t n);

/* The command line, an argument a line: for ranks_agree. */
const char *ranks_command_line(void);

/* The rows of n that are this rank's part of a job: begin and end. */
ito_batch_slice ranks_rows(int64_t n);
/* Give every rank the rows of all: x is row-major and has n of them, each rank having filled in its
 * own. False with an error recorded. */
bool ranks_gather_rows(ito_tensor *x);

/* From here on all ranks come to the same end, good or bad: rank 0 says it for all. */
void ranks_end_together(void);

#endif
