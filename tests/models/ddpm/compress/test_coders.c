/* What progressive coding is made of: the range coder, the discretised decoder by whole numbers,
 * and samples sent by the number of a candidate. */
#include "models/ddpm/compress/normal_code.h"
#include "models/ddpm/compress/pixel_code.h"
#include "models/ddpm/compress/range_coder.h"
#include "tensor/internal.h"
#include "tensor/runtime.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the range coder ---- */

/* Symbols 0 .. 3 of a table that is different each time, from even to as skewed as can be. */
typedef struct table {
    uint32_t width[4], total;
} table;

static table draw_table(ito_generator *g)
{
    table t = {.total = 0};
    int shift = (int)ito_uniform_int(g, 23);
    for (int i = 0; i < 4; i++) {
        t.width[i] = 1 + (uint32_t)(ito_uniform_int(g, 1u << 22) >> (i == 2 ? 0 : shift));
        t.total += t.width[i];
    }
    return t;
}

static int draw_symbol(ito_generator *g, const table *t)
{
    int64_t place = (int64_t)ito_uniform_int(g, t->total);
    int symbol = 0;
    for (; place >= t->width[symbol]; symbol++)
        place -= t->width[symbol];
    return symbol;
}

static uint32_t start_of(const table *t, int symbol)
{
    uint32_t start = 0;
    for (int i = 0; i < symbol; i++)
        start += t->width[i];
    return start;
}

static int read_symbol(range_coder *r, const table *t)
{
    uint32_t target = coder_target(r, t->total);
    int symbol = 0;
    while (start_of(t, symbol) + t->width[symbol] <= target)
        symbol++;
    coder_take(r, start_of(t, symbol), t->width[symbol], t->total);
    return symbol;
}

enum { SYMBOLS = 20000 };

/* The same tables and symbols each time; the bits that they are worth. */
static double write_all(range_coder *r, int *symbols)
{
    ito_generator g = ito_generator_make(3, 1);
    double bits = 0.0;
    coder_write_begin(r);
    for (int i = 0; i < SYMBOLS; i++) {
        table t = draw_table(&g);
        symbols[i] = draw_symbol(&g, &t);
        coder_take(r, start_of(&t, symbols[i]), t.width[symbols[i]], t.total);
        bits -= log2((double)t.width[symbols[i]] / t.total);
    }
    cr_assert_float_eq(coder_written(r), bits, 1.0);
    cr_assert_eq(coder_write_end(r), ITO_OK);
    return bits;
}

/* How many symbols come back before the coder ends; all of them must be right. */
static int read_some(const uint8_t *bytes, int64_t size, bool complete, const int *symbols)
{
    ito_generator g = ito_generator_make(3, 1);
    range_coder r;
    coder_read_begin(&r, bytes, size, complete);
    for (int i = 0; i < SYMBOLS; i++) {
        table t = draw_table(&g);
        draw_symbol(&g, &t);
        int symbol = read_symbol(&r, &t);
        if (r.ended)
            return i;
        cr_assert_eq(symbol, symbols[i], "symbol %d of the first %ld bytes", i, (long)size);
    }
    return SYMBOLS;
}

Test(coders, symbols_come_back_and_take_what_they_are_worth)
{
    static int symbols[SYMBOLS];
    range_coder r;
    double bits = write_all(&r, symbols);
    /* Division loses less than 2^-16 of an interval a symbol, the end less than two bytes. */
    cr_assert(8.0 * (double)r.size < bits + SYMBOLS * 0x1p-15 + 16.0, "%ld bytes, %g bits",
              (long)r.size, bits);
    cr_assert_eq(read_some(r.bytes, r.size, true, symbols), SYMBOLS);
    coder_free(&r);
}

Test(coders, the_beginning_of_a_stream_gives_the_first_symbols_and_no_wrong_one)
{
    static int symbols[SYMBOLS];
    range_coder r;
    write_all(&r, symbols);
    int last = 0;
    for (int64_t size = 0; size <= r.size; size += 1 + size / 7) {
        int n = read_some(r.bytes, size, false, symbols);
        cr_assert(n >= last, "%d from %ld bytes", n, (long)size);
        cr_assert(size == 0 || n > 0);
        last = n;
    }
    cr_assert(last > SYMBOLS / 2);
    coder_free(&r);
}

/* Carries that run through many bytes: the last symbol of a table, again and again. */
Test(coders, carries_reach_back)
{
    static const uint32_t total = (1u << 24) - 1;
    range_coder r, back;
    coder_write_begin(&r);
    for (int i = 0; i < 300; i++)
        coder_take(&r, i % 7 == 6 ? total / 2 : total - 1, 1, total);
    cr_assert_eq(coder_write_end(&r), ITO_OK);
    coder_read_begin(&back, r.bytes, r.size, true);
    for (int i = 0; i < 300; i++) {
        uint32_t start = i % 7 == 6 ? total / 2 : total - 1;
        cr_assert_eq(coder_target(&back, total), start, "symbol %d", i);
        coder_take(&back, start, 1, total);
        cr_assert(!back.ended);
    }
    coder_free(&r);
}

Test(coders, a_model_learns_what_comes_often)
{
    ito_generator g = ito_generator_make(9, 0);
    int symbols[3000];
    range_coder r, back;
    adaptive_model m;
    coder_write_begin(&r);
    adaptive_begin(&m, 20, 1, 4);
    for (int i = 0; i < 3000; i++) { /* 7 with probability 0.9 */
        symbols[i] = ito_uniform(&g) < 0.9 ? 7 : (int)ito_uniform_int(&g, 20);
        cr_assert_eq(coder_symbol(&r, &m, symbols[i]), symbols[i]);
        coder_bits(&r, (uint32_t)i & 7, 3);
    }
    double entropy = 3.0 - 0.905 * log2(0.905) - 0.095 * log2(0.005);
    cr_assert(coder_written(&r) < 3000 * (entropy + 0.15), "%g bits", coder_written(&r));
    cr_assert_eq(coder_write_end(&r), ITO_OK);
    coder_read_begin(&back, r.bytes, r.size, true);
    adaptive_begin(&m, 20, 1, 4);
    for (int i = 0; i < 3000; i++) {
        cr_assert_eq(coder_symbol(&back, &m, -1), symbols[i], "symbol %d", i);
        cr_assert_eq(coder_bits(&back, 0, 3), (uint32_t)i & 7);
    }
    coder_free(&r);
}

Test(coders, a_writer_without_memory_says_so)
{
    range_coder r;
    coder_write_begin(&r);
    ito_memory_fail_nth(1);
    for (int i = 0; i < 100; i++)
        coder_bits(&r, 1, 20);
    ito_memory_fail_nth(0);
    cr_assert_eq(coder_write_end(&r), ITO_ERR_MEMORY);
    cr_assert_eq(ito_error_code(), ITO_ERR_MEMORY);
    coder_free(&r);
    cr_assert_eq(ito_memory_blocks(), 0);
}

/* ---- pixels ---- */

static double below(double z)
{
    return 0.5 * erfc(-z * M_SQRT1_2);
}

Test(coders, pixels_take_what_the_normal_distribution_says)
{
    static const struct {
        double mean, deviation;
    } cases[] = {{100.3, 0.94}, {0.0, 2.0}, {255.0, 0.5}, {127.5, 60.0}, {3.25, 17.0}};
    pixel_code p;
    pixel_begin(&p);
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        double mean = cases[c].mean, deviation = cases[c].deviation, sum = 0.0;
        for (int value = 0; value < 256; value++) {
            double right = value == 255 ? 1.0 : below((value + 0.5 - mean) / deviation);
            double left = value == 0 ? 0.0 : below((value - 0.5 - mean) / deviation);
            range_coder r;
            coder_write_begin(&r);
            pixel_code_next(&p, &r, mean, deviation, value);
            double mass = exp2(-coder_written(&r));
            /* One part each, and a straight line for the function between its points. */
            cr_assert_float_eq(mass, right - left, 256 * 0x1p-24 + 2e-5, "%zu: %d", c, value);
            sum += mass;
            coder_free(&r);
        }
        cr_assert_float_eq(sum, 1.0, 1e-9);
    }
}

/* Also where nothing of the kind is expected. */
Test(coders, every_pixel_comes_back)
{
    pixel_code p;
    pixel_begin(&p);
    range_coder r, back;
    coder_write_begin(&r);
    for (int i = 0; i < 2560; i++)
        pixel_code_next(&p, &r, (i % 11) * 30.0 - 20.0, exp(i % 13 - 6.0), i % 256);
    cr_assert_eq(coder_write_end(&r), ITO_OK);
    coder_read_begin(&back, r.bytes, r.size, true);
    for (int i = 0; i < 2560; i++)
        cr_assert_eq(pixel_code_next(&p, &back, (i % 11) * 30.0 - 20.0, exp(i % 13 - 6.0), 0),
                     i % 256);
    cr_assert(!back.ended);
    coder_free(&r);
}

/* ---- samples ---- */

enum { DIMS = 6, ROOM = 8, SAMPLES = 1500, BITS = 13 };

/* Samples of N(shift, ratio^2) sent to someone who expects N(0, 1): their moments, and the bits
 * that the numbers take. */
static double send(const double *shift, double ratio, double *mean, double *variance)
{
    static float scores[1 << BITS];
    float linear[ROOM] = {0}, quadratic[ROOM] = {0}, z[ROOM];
    range_coder r;
    number_code numbers;
    coder_write_begin(&r);
    number_begin(&numbers, BITS);
    for (int j = 0; j < DIMS; j++) {
        linear[j] = (float)(shift[j] / (ratio * ratio));
        quadratic[j] = (float)(0.5 - 0.5 / (ratio * ratio));
        mean[j] = variance[j] = 0.0;
    }
    for (int i = 0; i < SAMPLES; i++) {
        candidates c = {5, (uint64_t)i, DIMS, BITS};
        int64_t number = candidate_pick(&c, linear, ratio == 1.0 ? NULL : quadratic, scores);
        cr_assert_eq(number_code_next(&r, &numbers, number), number);
        candidate_draw(&c, number, z);
        for (int j = 0; j < DIMS; j++) {
            mean[j] += (double)z[j] / SAMPLES;
            variance[j] += ((double)z[j] - shift[j]) * ((double)z[j] - shift[j]) / SAMPLES;
        }
    }
    double bits = coder_written(&r) / SAMPLES;
    coder_free(&r);
    return bits;
}

static double divergence(const double *shift, double ratio)
{
    double sum = 0.0;
    for (int j = 0; j < DIMS; j++)
        sum += 0.5 * (shift[j] * shift[j] + ratio * ratio - 1.0) - log(ratio);
    return sum / M_LN2;
}

/* Five standard errors, and 2 % for there being no more candidates. Source of what it takes: Li, El
 * Gamal 2018, arXiv:1701.02827, D + log2(D + 1) + 4 bits at the most. */
static void check_sent(const double *shift, double ratio)
{
    double mean[DIMS], variance[DIMS], bits = send(shift, ratio, mean, variance);
    double D = divergence(shift, ratio);
    for (int j = 0; j < DIMS; j++) {
        cr_expect_float_eq(mean[j], shift[j], 5.0 * ratio / sqrt(SAMPLES) + 0.02 * fabs(shift[j]),
                           "%d: %g", j, mean[j]);
        cr_expect_float_eq(variance[j], ratio * ratio,
                           (5.0 * sqrt(2.0 / SAMPLES) + 0.04) * ratio * ratio, "%d: %g", j,
                           variance[j]);
    }
    cr_expect(bits > D && bits < D + log2(D + 1.0) + 4.0, "%g bits for %g", bits, D);
}

Test(coders, samples_have_the_moments_of_the_distribution_that_is_sent)
{
    check_sent((const double[DIMS]){1.2, -0.7, 0.0, 0.9, -1.1, 0.3}, 1.0);
    check_sent((const double[DIMS]){0.5, -0.4, 0.0, 0.6, -0.2, 0.1}, 0.7);
    check_sent((const double[DIMS]){0.0, 0.0, 0.0, 0.0, 0.0, 0.05}, 1.0);
}

/* Of two candidates the second is picked if its weight over that of the first, r, is more than its
 * time over that of the first, one and two gaps of means 1/2 and 1: with probability
 * (r - 1) / (r + 1). */
Test(coders, candidates_arrive_at_the_times_of_clocks_put_in_order)
{
    float linear[ROOM] = {1.5f}, scores[2], z[2][ROOM];
    double expected = 0.0, variance = 0.0;
    int second = 0;
    for (int i = 0; i < 4000; i++) {
        candidates c = {11, (uint64_t)i, 1, 1};
        second += candidate_pick(&c, linear, NULL, scores) == 1;
        for (int k = 0; k < 2; k++)
            candidate_draw(&c, k, z[k]);
        double r = exp(1.5 * (double)(z[1][0] - z[0][0]));
        double p = r > 1.0 ? (r - 1.0) / (r + 1.0) : 0.0;
        expected += p;
        variance += p * (1.0 - p);
    }
    cr_expect_float_eq((double)second, expected, 5.0 * sqrt(variance), "%d for %g", second,
                       expected);
}

/* A block that is longer than what is drawn at once, and one that is shorter. */
Test(coders, scores_are_sums_over_the_candidate_and_the_same_on_any_number_of_threads)
{
    for (int64_t dims = 37; dims <= 4100; dims += 4063) {
        int64_t room = candidate_room(dims), picked = -1;
        float *linear = calloc((size_t)room, 4), *quadratic = calloc((size_t)room, 4);
        float *z = calloc((size_t)room, 4), *scores = calloc(1 << 10, 4);
        for (int64_t j = 0; j < dims; j++) {
            linear[j] = (float)sin((double)j) * 0.05f;
            quadratic[j] = -0.01f * (float)(j % 3);
        }
        candidates c = {7, 1, dims, 10};
        for (int threads = 1; threads <= 7; threads += 1 + threads / 3 * 3) {
            ito_set_threads(threads);
            int64_t number = candidate_pick(&c, linear, quadratic, scores);
            cr_assert(picked == -1 || picked == number, "%d threads", threads);
            picked = number;
        }
        for (int64_t i = 0; i < 1 << 10; i += 93) {
            double sum = 0.0;
            candidate_draw(&c, i, z);
            for (int64_t j = 0; j < dims; j++)
                sum += (double)z[j] * ((double)linear[j] + (double)quadratic[j] * (double)z[j]);
            cr_assert_float_eq((double)scores[i], sum, 1e-4 * (1.0 + fabs(sum)));
        }
        free(linear);
        free(quadratic);
        free(z);
        free(scores);
    }
}

Test(coders, numbers_of_candidates_come_back)
{
    range_coder r, back;
    number_code n;
    coder_write_begin(&r);
    number_begin(&n, CANDIDATE_BITS_MAX);
    for (int64_t i = 0; i < 1 << CANDIDATE_BITS_MAX; i += 1 + i / 3)
        number_code_next(&r, &n, i);
    number_code_next(&r, &n, (1 << CANDIDATE_BITS_MAX) - 1);
    cr_assert_eq(coder_write_end(&r), ITO_OK);
    coder_read_begin(&back, r.bytes, r.size, true);
    number_begin(&n, CANDIDATE_BITS_MAX);
    for (int64_t i = 0; i < 1 << CANDIDATE_BITS_MAX; i += 1 + i / 3)
        cr_assert_eq(number_code_next(&back, &n, -1), i);
    cr_assert_eq(number_code_next(&back, &n, -1), (1 << CANDIDATE_BITS_MAX) - 1);
    coder_free(&r);
}
