/* Ranks: processes that compute one thing together, and what they tell each other.
 *
 * A communicator is a number of ranks and one function, exchange. All else is made of it:
 * gathering, agreeing, and data-parallel training (parallel.h). ito_mpi_start (communicator_mpi.h)
 * makes one of MPI; a program may make one of its own, of sockets or threads.
 */
#ifndef ITO_NN_COMMUNICATOR_H
#define ITO_NN_COMMUNICATOR_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Memory that goes to a rank or is filled by one. */
typedef struct ito_block {
    void *data;
    int64_t bytes; /* 0: nothing; data is not looked at then */
} ito_block;

/** One rank's connection to all. */
typedef struct ito_communicator ito_communicator;

/** The first member of a communicator's struct, also of one defined outside the library. */
struct ito_communicator {
    int64_t rank;  /* of this process: 0 to ranks - 1 */
    int64_t ranks; /* 1 or more */
    /**
     * Send send[r] to rank r and fill receive[r] from it, for all r, this rank included, and return
     * when both are done. Every rank calls it as often, in the same order, with lengths that fit.
     * Blocks to be sent may overlap each other. One thread calls it at a time, not always the same.
     * On failure it records an error and returns its code; the ranks are of no use then.
     */
    ito_status (*exchange)(ito_communicator *self, const ito_block *send, const ito_block *receive);
    /** Frees the communicator. May be NULL. */
    void (*free)(ito_communicator *self);
};

/** Free a communicator by its own function. Accepts NULL. */
ITO_API void ito_communicator_free(ito_communicator *c);

/**
 * Give every rank what each of them has: all[r * bytes ...] is rank r's `mine`.
 * @param c      NULL: one rank.
 * @param bytes  the same on every rank.
 * @param all    room for ranks * bytes.
 * @return       ITO_ERR_ARGUMENT for a NULL or negative bytes; ITO_ERR_MEMORY; exchange's own.
 */
ITO_API ito_status ito_communicator_gather(ito_communicator *c, const void *mine, int64_t bytes,
                                           void *all);

/** The same for parts of any lengths: rank r's is bytes[r] long, which every rank knows; they lie
 * in `all` one after the other. */
ITO_API ito_status ito_communicator_gather_parts(ito_communicator *c, const void *mine,
                                                 const int64_t *bytes, void *all);

/** What all ranks should have alike. */
typedef struct ito_agreement {
    const char *what; /* "options", "images", ... */
    const char *text; /* of this rank; NULL counts as "" */
    const char *fix;  /* that the sentence ends with; NULL: none */
} ito_agreement;

/**
 * Check that all ranks have the same texts: options, what tells the data, versions. To be called
 * once, before the work.
 *
 * @param c     NULL: one rank.
 * @param list  n of them, with the same `what` on every rank.
 * @return      ITO_ERR_ARGUMENT, on every rank with the same sentence, which names the rank, what
 * it has else than rank 0, and the first lines in which the two differ; ITO_ERR_MEMORY; exchange's
 * own.
 */
ITO_API ito_status ito_communicator_agree(ito_communicator *c, const ito_agreement *list,
                                          int64_t n);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_communicator_gather(...) ITO_AT(ito_communicator_gather(__VA_ARGS__))
#define ito_communicator_gather_parts(...) ITO_AT(ito_communicator_gather_parts(__VA_ARGS__))
#define ito_communicator_agree(...) ITO_AT(ito_communicator_agree(__VA_ARGS__))
#endif

#endif
