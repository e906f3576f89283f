/* A text as tokens, and the n-grams that a network has to be better than. */
#include "examples/gpt/text.h"

#include <math.h>
#include <stdlib.h>
#include <zlib.h>

enum { LONGEST = 1 << 26 }; /* characters */

/* The bytes of a file to out [LONGEST + 1]; their number, or -1 with an error recorded. */
static int64_t read_bytes(const char *path, unsigned char *out)
{
    gzFile in = out == NULL ? NULL : gzopen(path, "rb");
    int n = in == NULL ? -1 : gzread(in, out, LONGEST + 1);
    if (out == NULL)
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for it", path);
    else if (n < 0)
        ito_error_set(ITO_ERR_IO, "%s: cannot read it", path);
    else if (n > LONGEST)
        ito_error_set(ITO_ERR_FORMAT, "%s: more than %d characters", path, LONGEST);
    if (in != NULL)
        gzclose(in);
    return n > LONGEST ? -1 : n;
}

bool text_read(text *t, const char *path)
{
    *t = (text){.n = 0};
    unsigned char *bytes = malloc(LONGEST + 1);
    int64_t n = read_bytes(path, bytes);
    t->token = n < 0 ? NULL : malloc(sizeof *t->token * (size_t)(n + 1));
    if (t->token != NULL) {
        t->n = n;
        for (int64_t i = 0; i < n; i++)
            t->of[bytes[i]] = 1; /* it occurs */
        for (int c = 0; c < 256; c++) {
            t->of[c] = t->of[c] != 0 ? t->size : -1;
            if (t->of[c] >= 0)
                t->byte[t->size++] = (unsigned char)c;
        }
        for (int64_t i = 0; i < n; i++)
            t->token[i] = t->of[bytes[i]];
    } else if (n >= 0) {
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for its tokens", path);
    }
    free(bytes);
    return t->token != NULL;
}

void text_free(text *t)
{
    free(t->token);
}

/* ---- n-grams -----------------------------------------------------------------------------------
 */

typedef struct entry {
    uint64_t string;         /* 0: nothing is here */
    int32_t seen;            /* how often it occurs */
    int32_t followed, types; /* by how many characters, and by how many different ones */
} entry;

/* The `length` characters before i as one number. */
static uint64_t string_before(const text *t, int64_t i, int length)
{
    uint64_t string = 1;
    for (int64_t k = i - length; k < i; k++)
        string = string << 8 | (uint64_t)t->token[k];
    return string;
}

/* Its entry, or the empty one where it belongs, in a table of 2^bits. */
static entry *find(entry *table, int bits, uint64_t string)
{
    uint64_t place = string * 0x9E3779B97F4A7C15u >> (64 - bits);
    while (table[place].string != 0 && table[place].string != string)
        place = (place + 1) & ((1ull << bits) - 1);
    return &table[place];
}

static void count(entry *table, int bits, const text *t, int64_t i, int order)
{
    for (int k = 0; k < order; k++) {
        entry *h = find(table, bits, string_before(t, i, k));
        h->string = string_before(t, i, k);
        entry *longer = find(table, bits, string_before(t, i + 1, k + 1));
        longer->string = string_before(t, i + 1, k + 1);
        h->followed++;
        h->types += longer->seen++ == 0;
    }
}

static double probability(entry *table, int bits, const text *t, int64_t i, int order)
{
    double p = 1.0 / (double)t->size;
    for (int k = 0; k < order; k++) {
        const entry *h = find(table, bits, string_before(t, i, k));
        const entry *longer = find(table, bits, string_before(t, i + 1, k + 1));
        if (h->followed > 0)
            p = (longer->seen + h->types * p) / (h->followed + h->types);
    }
    return p;
}

double text_ngram_bits(const text *t, int64_t learnt, int64_t from, int64_t to, int order)
{
    int bits = 10;
    while (1ll << bits < 5 * (order * learnt) / 4)
        bits++;
    entry *table = calloc((size_t)1 << bits, sizeof *table);
    if (table == NULL)
        return (double)NAN;
    double sum = 0.0;
    for (int64_t i = order; i < learnt; i++)
        count(table, bits, t, i, order);
    for (int64_t i = from; i < to; i++)
        sum -= log2(probability(table, bits, t, i, order));
    free(table);
    return sum / (double)(to - from);
}
