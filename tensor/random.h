/* Random numbers by counter: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy
 * as 1, 2, 3"). The i-th number drawn is a function of (seed, stream, i) alone, so drawing in
 * parallel, skipping and resuming all give the same bits.
 */
#ifndef ITO_RANDOM_H
#define ITO_RANDOM_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A position in a stream of random numbers: plain data, to be copied and saved as it is. */
typedef struct ito_generator {
    uint64_t seed;
    uint64_t stream; /* streams of one seed are independent: one per image, worker, purpose */
    uint64_t offset; /* blocks of four 32-bit numbers drawn so far */
} ito_generator;

/** The beginning of a stream. */
ITO_API ito_generator ito_generator_make(uint64_t seed, uint64_t stream);
/** The four 32-bit numbers of one block, without advancing anything. */
ITO_API void ito_philox(uint64_t seed, uint64_t stream, uint64_t block, uint32_t out[4]);
/** One number in [0, 1), with 53 bits. Advances g by one block. */
ITO_API double ito_uniform(ito_generator *g);
/** One integer in [0, n), unbiased; 0 if n < 2. Advances g. */
ITO_API uint64_t ito_uniform_int(ito_generator *g, uint64_t n);

#ifdef __cplusplus
}
#endif

#endif
