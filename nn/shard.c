/* The parts of a flat model by rank. */
#include "nn/shard.h"

flat_shard shard_make(const module_flat *f, int64_t rank, int64_t ranks, int64_t bucket_bytes)
{
    int64_t square = FLAT_PIECE * (int64_t)ito_dtype_size(f->dtype);
    flat_shard s = {.rank = rank, .ranks = ranks, .n = f->n, .squares = bucket_bytes / square};
    if (s.squares < 1)
        s.squares = 1;
    int64_t bucket = s.squares * FLAT_PIECE;
    s.buckets = (f->n + bucket - 1) / bucket;
    return s;
}

/* Squares of the grid in a bucket; the last one may have fewer. */
static int64_t squares_in(const flat_shard *s, int64_t bucket)
{
    int64_t all = (s->n + FLAT_PIECE - 1) / FLAT_PIECE, left = all - bucket * s->squares;
    return left < s->squares ? left : s->squares;
}

static int64_t clip(const flat_shard *s, int64_t square)
{
    return square * FLAT_PIECE < s->n ? square * FLAT_PIECE : s->n;
}

flat_range shard_bucket(const flat_shard *s, int64_t bucket)
{
    int64_t first = bucket * s->squares;
    return (flat_range){clip(s, first), clip(s, first + s->squares)};
}

flat_range shard_part(const flat_shard *s, int64_t bucket, int64_t r)
{
    int64_t first = bucket * s->squares, m = squares_in(s, bucket);
    return (flat_range){clip(s, first + r * m / s->ranks), clip(s, first + (r + 1) * m / s->ranks)};
}

int64_t shard_owner(const flat_shard *s, int64_t i)
{
    int64_t square = i / FLAT_PIECE, bucket = square / s->squares, m = squares_in(s, bucket);
    /* The last r with r m / ranks <= here. */
    return ((square - bucket * s->squares + 1) * s->ranks - 1) / m;
}

/* This rank's squares in the buckets before. */
static int64_t squares_before(const flat_shard *s, int64_t bucket)
{
    return bucket * ((s->rank + 1) * s->squares / s->ranks - s->rank * s->squares / s->ranks);
}

int64_t shard_size(const flat_shard *s)
{
    if (s->buckets == 0)
        return 0;
    int64_t last = s->buckets - 1, m = squares_in(s, last);
    return (squares_before(s, last) + (s->rank + 1) * m / s->ranks - s->rank * m / s->ranks) *
           FLAT_PIECE;
}

int64_t shard_place(const flat_shard *s, int64_t i)
{
    int64_t square = i / FLAT_PIECE, bucket = square / s->squares;
    int64_t here = square - bucket * s->squares - s->rank * squares_in(s, bucket) / s->ranks;
    return (squares_before(s, bucket) + here) * FLAT_PIECE + i % FLAT_PIECE;
}
