/* Internal: sending a sample of one normal distribution to a receiver who expects another, by
 * ordered random coding (Theis, Yosri 2022, arXiv:2110.12805), a form of minimal random coding
 * (Havasi, Peharz, Hernandez-Lobato 2018, arXiv:1810.00440).
 *
 * Both sides draw the same candidates from the distribution that is expected, here standard normal.
 * The sender weighs each by how much likelier the true distribution makes it, picks one by these
 * weights, and sends its number. Of equal weights the earlier is picked more often, so that the
 * number takes about as many bits as the divergence, for any number of candidates. With too few of
 * them the sample is biased towards the expected distribution. */
#ifndef ITO_DDPM_NORMAL_CODE_H
#define ITO_DDPM_NORMAL_CODE_H

#include "models/ddpm/compress/range_coder.h"

/* 2^bits candidates at most. */
enum { CANDIDATE_BITS_MAX = 20 };

/* The candidates of one sample: `dims` numbers each. */
typedef struct candidates {
    uint64_t seed, stream;
    int64_t dims;
    int bits; /* there are 2^bits */
} candidates;

/* Numbers that a candidate takes in memory: dims and some that do not count. */
int64_t candidate_room(int64_t dims);
/* Candidate `number` in out, which has candidate_room(dims). */
void candidate_draw(const candidates *c, int64_t number, float *out);

/* The log of a candidate's weight is the sum over its numbers z of linear z + quadratic z^2, up to
 * a constant. linear and quadratic have candidate_room(dims); quadratic may be NULL: all 0.
 * scores has room for 2^bits. The number picked. */
int64_t candidate_pick(const candidates *c, const float *linear, const float *quadratic,
                       float *scores);

/* How numbers of candidates are coded. */
typedef struct number_code {
    adaptive_model length; /* of number + 1 in bits */
} number_code;
void number_begin(number_code *n, int bits);
int64_t number_code_next(range_coder *r, number_code *n, int64_t number);

#endif
