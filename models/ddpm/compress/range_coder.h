/* Internal: a range coder (Martin 1979), written once for both directions: coding a symbol writes
 * it, or reads it and gives it back.
 *
 * A symbol has the share [start, start + width) of a total of at most 2^24, so that a probability
 * is off by less than one part in 2^16. What is read may be the beginning of a longer stream: the
 * coder then gives the symbols that its bytes decide, whatever follows them, and has `ended` at the
 * first that they do not. */
#ifndef ITO_DDPM_RANGE_CODER_H
#define ITO_DDPM_RANGE_CODER_H

#include "tensor/base.h"

typedef struct range_coder {
    bool reading;
    bool failed;         /* writing: there was no memory, and ITO_ERR_MEMORY is recorded */
    bool ended;          /* reading: no symbol after this is one */
    bool complete;       /* reading: the bytes are all there are; zeros were cut off behind them */
    uint64_t low, range; /* the interval, of 48 bits; low only while writing */
    uint64_t code;       /* reading: the number in the bytes, less low */
    uint64_t unknown;    /* and by how much it may be larger, where bytes are missing */
    uint8_t *bytes;      /* writing: owned, from mem_alloc; reading: borrowed */
    int64_t size, room;  /* of bytes */
    int64_t next;        /* byte to be read */
} range_coder;

/* Symbols 0 .. n-1 by how often they have come, in a stream that both sides know. */
enum { ADAPTIVE_SYMBOLS = 32 };
typedef struct adaptive_model {
    int n;
    uint32_t counts[ADAPTIVE_SYMBOLS], total, step;
} adaptive_model;

void coder_write_begin(range_coder *r);
/* The fewest bytes that determine the symbols written; then r->bytes, r->size are the stream. */
ito_status coder_write_end(range_coder *r);
/* Also after a failure, and for a coder that reads. */
void coder_free(range_coder *r);
void coder_read_begin(range_coder *r, const uint8_t *bytes, int64_t size, bool complete);

/* Bits written so far, as a real number. */
double coder_written(const range_coder *r);

/* Reading: a number in [0, total) that lies in the share of the next symbol. Else 0. */
uint32_t coder_target(const range_coder *r, uint32_t total);
/* The symbol with this share: write it, or continue after it. */
void coder_take(range_coder *r, uint32_t start, uint32_t width, uint32_t total);

/* A number of so many bits, at most 24, all as likely. */
uint32_t coder_bits(range_coder *r, uint32_t value, int bits);
/* A symbol by its model, which learns it. */
int coder_symbol(range_coder *r, adaptive_model *m, int symbol);
/* All n symbols have come `first` times; one more time counts step. */
void adaptive_begin(adaptive_model *m, int n, uint32_t first, uint32_t step);

#endif
