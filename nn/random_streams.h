/* The random streams of a loader's seed: one for each purpose and epoch. Internal. */
#ifndef ITO_NN_RANDOM_STREAMS_H
#define ITO_NN_RANDOM_STREAMS_H

#include <stdint.h>

/* In the top byte, so that streams 0, 1, 2, ... of the same seed remain free for programs. */
typedef enum random_purpose { RANDOM_ORDER = 1, RANDOM_FLIP = 2 } random_purpose;

static inline uint64_t data_random_stream(random_purpose purpose, int64_t epoch)
{
    return (uint64_t)purpose << 56 | (uint64_t)epoch;
}

#endif
