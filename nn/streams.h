/* Which random stream of a loader's seed serves what. Internal. */
#ifndef ITO_NN_STREAMS_H
#define ITO_NN_STREAMS_H

#include <stdint.h>

/* High numbers, so that streams 0, 1, 2, ... of the same seed remain for others. */
typedef enum data_purpose { STREAM_ORDER = 1, STREAM_FLIP = 2 } data_purpose;

static inline uint64_t data_stream(data_purpose purpose, int64_t epoch)
{
    return (uint64_t)purpose << 56 | (uint64_t)epoch;
}

#endif
