/* Ordered random coding of normal samples.
 * Invariant: a candidate is a function of seed, stream and number alone, and the candidate picked
 * does not depend on the number of threads. */
#include "models/ddpm/compress/normal_code.h"

#include "tensor/internal.h"
#include "tensor/kernels/kernels.h"

#include <math.h>

/* Numbers drawn at once: philox makes four a block, 16 blocks side by side. */
enum { CHUNK = 2048, BLOCK = 4, LANES = 8, PIECES = 64 };

int64_t candidate_room(int64_t dims)
{
    return (dims + LANES - 1) / LANES * LANES;
}

/* n normal numbers, a multiple of BLOCK, from one block of the stream on. */
static void draw(const candidates *c, int64_t block, float *out, int64_t n)
{
    const kernel_table *k = kernels(ITO_F32);
    uint32_t bits[CHUNK];
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t count = n - i < CHUNK ? n - i : CHUNK;
        k->philox(bits, c->seed, c->stream, (uint64_t)(block + i / BLOCK), count / BLOCK);
        k->normal(out + i, bits, count);
    }
}

void candidate_draw(const candidates *c, int64_t number, float *out)
{
    int64_t room = candidate_room(c->dims);
    draw(c, number * (room / BLOCK), out, room);
}

static float score(const float *z, const float *linear, const float *quadratic, int64_t n)
{
    float sums[LANES] = {0}, total = 0;
    for (int64_t i = 0; i < n; i += LANES)
        for (int64_t k = 0; k < LANES; k++)
            sums[k] +=
                z[i + k] * (linear[i + k] + (quadratic == NULL ? 0 : quadratic[i + k] * z[i + k]));
    for (int k = 0; k < LANES; k++)
        total += sums[k];
    return total;
}

/* Scores of candidates from .. to - 1: short ones are drawn together, long ones piece by piece. */
static void score_some(const candidates *c, const float *linear, const float *quadratic,
                       float *scores, int64_t from, int64_t to)
{
    int64_t room = candidate_room(c->dims), batch = room < CHUNK ? CHUNK / room : 1;
    float z[CHUNK];
    for (int64_t i = from; i < to; i += batch) {
        int64_t n = to - i < batch ? to - i : batch, first = i * (room / BLOCK);
        for (int64_t at = 0; at < room; at += CHUNK) {
            int64_t size = room - at < CHUNK ? room - at : CHUNK;
            draw(c, first + at / BLOCK, z, n * size);
            for (int64_t k = 0; k < n; k++)
                scores[i + k] = (at == 0 ? 0 : scores[i + k]) +
                                score(z + k * size, linear + at,
                                      quadratic == NULL ? NULL : quadratic + at, size);
        }
    }
}

/* Candidates arrive at the times of n exponential clocks, put in order: the gaps are exponential
 * with mean 1 / (clocks left). The first in time over weight wins, which is each in proportion to
 * its weight. */
static int64_t first_to_arrive(const candidates *c, const float *scores)
{
    int64_t n = (int64_t)1 << c->bits, best = 0;
    double time = 0, best_score = -(double)INFINITY;
    const kernel_table *k = kernels(ITO_F64);
    uint32_t bits[512];
    double uniform[128];
    for (int64_t i = 0; i < n; i++) {
        if (i % 128 == 0) {
            k->philox(bits, c->seed + 1, c->stream, (uint64_t)(i / 2), 64);
            k->uniform(uniform, bits, 128);
        }
        time -= log1p(-uniform[i % 128]) / (double)(n - i);
        double value = (double)scores[i] - log(time);
        if (value > best_score) {
            best_score = value;
            best = i;
        }
    }
    return best;
}

int64_t candidate_pick(const candidates *c, const float *linear, const float *quadratic,
                       float *scores)
{
    int64_t n = (int64_t)1 << c->bits, pieces = n < PIECES ? 1 : PIECES;
#pragma omp parallel for num_threads(threads_for(n * c->dims)) schedule(static)
    for (int64_t p = 0; p < pieces; p++)
        score_some(c, linear, quadratic, scores, p * n / pieces, (p + 1) * n / pieces);
    return first_to_arrive(c, scores);
}

void number_begin(number_code *n, int bits)
{
    adaptive_begin(&n->length, bits + 1, 4, 2);
}

/* number + 1 has its length, then what follows its first bit. */
int64_t number_code_next(range_coder *r, number_code *n, int64_t number)
{
    int length = 0;
    while (!r->reading && (number + 1) >> (length + 1) != 0)
        length++;
    length = coder_symbol(r, &n->length, length);
    int64_t first = (int64_t)1 << length;
    uint32_t rest = r->reading ? 0 : (uint32_t)(number + 1 - first);
    return first + coder_bits(r, rest, length) - 1;
}
