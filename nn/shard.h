/* Which rank reduces, keeps and updates which elements of a flat model. Internal.
 *
 * The grid of FLAT_PIECE elements is cut into buckets, and each bucket into a part for each rank,
 * so that a bucket can travel as soon as it is complete and every rank has work in each. Invariant:
 * a piece of a pass belongs to one rank, since no piece reaches over a line of the grid. */
#ifndef ITO_NN_SHARD_H
#define ITO_NN_SHARD_H

#include "nn/flat.h"

typedef struct flat_shard {
    int64_t rank, ranks;
    int64_t n;       /* elements of the model's blocks */
    int64_t squares; /* of the grid in a bucket */
    int64_t buckets;
} flat_shard;

typedef struct flat_range {
    int64_t begin, end; /* elements */
} flat_range;

flat_shard shard_make(const module_flat *f, int64_t rank, int64_t ranks, int64_t bucket_bytes);
/* The elements of a bucket. */
flat_range shard_bucket(const flat_shard *s, int64_t bucket);
/* The part of a bucket that is rank r's; may be empty. */
flat_range shard_part(const flat_shard *s, int64_t bucket, int64_t r);
/* The rank that has element i. */
int64_t shard_owner(const flat_shard *s, int64_t i);
/* Elements of the compact blocks in which this rank keeps its parts. */
int64_t shard_size(const flat_shard *s);
/* Where element i, one of this rank's, is in them. */
int64_t shard_place(const flat_shard *s, int64_t i);

#endif
