/* Texts as tokens, and n-grams against plain counting. */
#include "examples/gpt/text.h"
#include "tests/examples/cli.h"
#include "tests/expect.h"

#include <math.h>
#include <zlib.h>

TestSuite(gpt_text, .init = cli_enter, .fini = cli_leave);

Test(gpt_text, tokens_are_the_different_characters_in_order)
{
    static const int64_t want[] = {2, 1, 3, 1, 3, 1, 0};
    text t;
    put_file("fruit", "banana\n");
    gzFile out = gzopen("fruit.gz", "wb");
    cr_assert(gzwrite(out, "banana\n", 7) == 7 && gzclose(out) == Z_OK);
    for (int compressed = 0; compressed < 2; compressed++) {
        cr_assert(text_read(&t, compressed ? "fruit.gz" : "fruit"), "%s", ito_error());
        cr_expect(t.n == 7 && t.size == 4 && memcmp(t.byte, "\nabn", 4) == 0);
        cr_expect_eq(memcmp(t.token, want, sizeof want), 0);
        cr_expect(t.of['n'] == 3 && t.of['x'] == -1);
        text_free(&t);
    }
    cr_expect_not(text_read(&t, "vegetable"));
    expect_error(ITO_ERR_IO, "vegetable: cannot read it");
    text_free(&t);
}

/* How often the k tokens before i, and with `and_next` token i too, occur so that a token follows
 * within [order, learnt). */
static double occurrences(const text *t, int64_t i, int k, int64_t learnt, int order, bool and_next)
{
    double n = 0;
    for (int64_t at = order; at < learnt; at++) {
        bool same = !and_next || t->token[at] == t->token[i];
        for (int j = 1; same && j <= k; j++)
            same = t->token[at - j] == t->token[i - j];
        n += same;
    }
    return n;
}

static double types_after(text *t, int64_t i, int k, int64_t learnt, int order)
{
    double n = 0;
    int64_t token = t->token[i];
    for (int64_t c = 0; c < t->size; c++) {
        t->token[i] = c; /* i is held out: nothing that is counted changes */
        n += occurrences(t, i, k, learnt, order, true) > 0;
    }
    t->token[i] = token;
    return n;
}

Test(gpt_text, n_grams_are_those_of_plain_counts)
{
    enum { ALL = 400, LEARNT = 300 };
    char letters[ALL + 1] = "";
    ito_generator g = ito_generator_make(8, 0);
    for (int i = 0; i < ALL; i++) /* of four letters, the last only where it is held out */
        letters[i] = "abcd"[i > 350 && i % 7 == 0 ? 3 : ito_uniform_int(&g, i % 2 == 0 ? 2 : 3)];
    text t;
    put_file("letters", letters);
    cr_assert(text_read(&t, "letters"), "%s", ito_error());
    for (int order = 1; order <= 4; order++) {
        double bits = 0;
        for (int64_t i = LEARNT; i < ALL; i++) {
            double p = 1.0 / 4;
            for (int k = 0; k < order; k++) {
                double all = occurrences(&t, i, k, LEARNT, order, false);
                double types = types_after(&t, i, k, LEARNT, order);
                if (all > 0)
                    p = (occurrences(&t, i, k, LEARNT, order, true) + types * p) / (all + types);
            }
            bits -= log2(p) / (ALL - LEARNT);
        }
        cr_expect_float_eq(text_ngram_bits(&t, LEARNT, LEARNT, ALL, order), bits, 1e-12, "%d",
                           order);
    }
    text_free(&t);
}
