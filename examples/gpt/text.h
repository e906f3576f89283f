/* A text as tokens, one for each different character, and what a table of counts makes of it. */
#ifndef ITO_EXAMPLES_GPT_TEXT_H
#define ITO_EXAMPLES_GPT_TEXT_H

#include <ito/ito.h>

typedef struct text {
    int64_t n;               /* characters (bytes) */
    int64_t *token;          /* [n] */
    int64_t size;            /* of the vocabulary: the different characters */
    unsigned char byte[256]; /* [size] of each token, in rising order */
    int64_t of[256];         /* the token of a byte, or -1 */
} text;

/* Read a file, compressed by gzip or not. False with an error recorded; text_free in any case. */
bool text_read(text *t, const char *path);
void text_free(text *t);

/* Bits for a character of [from, to) by counts in [0, learnt) of strings of up to `order`
 * characters (at most 7): p_k(c) = (count(h c) + types(h) p_k-1(c)) / (count(h) + types(h)), h the
 * k characters before c, types(h) the different ones that followed it (Witten, Bell 1991). NaN
 * without memory. */
double text_ngram_bits(const text *t, int64_t learnt, int64_t from, int64_t to, int order);

#endif
