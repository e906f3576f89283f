/* A range coder whose interval has 48 bits, and whose carries go into the bytes written.
 * Invariant: range > 2^40 whenever a symbol is coded, and low < 2^48. */
#include "models/ddpm/compress/range_coder.h"

#include "tensor/internal.h"

#include <math.h>
#include <string.h>

#define TOP ((uint64_t)1 << 48)
#define BOTTOM ((uint64_t)1 << 40)

/* ---- bytes ---- */

static void put_byte(range_coder *r, uint8_t byte)
{
    if (r->failed)
        return;
    if (r->size == r->room) {
        int64_t room = r->room == 0 ? 1024 : checked_mul(r->room, 2);
        uint8_t *bytes = room < 0 ? NULL : mem_alloc((size_t)room);
        if (bytes == NULL) {
            r->failed = true;
            return;
        }
        if (r->size > 0)
            memcpy(bytes, r->bytes, (size_t)r->size);
        mem_free(r->bytes);
        r->bytes = bytes;
        r->room = room;
    }
    r->bytes[r->size++] = byte;
}

static void carry(range_coder *r)
{
    r->low -= TOP;
    for (int64_t i = r->size - 1; i >= 0 && ++r->bytes[i] == 0; i--)
        continue;
}

static void next_byte(range_coder *r)
{
    bool there = r->next < r->size;
    r->code = r->code << 8 | (there ? r->bytes[r->next++] : 0);
    r->unknown = r->unknown << 8 | (there || r->complete ? 0 : 0xff);
}

/* ---- beginning and end ---- */

void coder_write_begin(range_coder *r)
{
    *r = (range_coder){.range = TOP};
}

void coder_read_begin(range_coder *r, const uint8_t *bytes, int64_t size, bool complete)
{
    *r = (range_coder){.reading = true,
                       .complete = complete,
                       .range = TOP,
                       .bytes = (uint8_t *)(uintptr_t)bytes, /* read only */
                       .size = size};
    for (int i = 0; i < 6; i++)
        next_byte(r);
}

/* The number in the interval that ends with the most zeros, which need not be written. */
ito_status coder_write_end(range_coder *r)
{
    uint64_t mask = TOP - 1;
    while (((r->low + mask) & ~mask) - r->low >= r->range)
        mask >>= 1;
    r->low = (r->low + mask) & ~mask;
    if (r->low >= TOP)
        carry(r);
    for (int shift = 40; shift >= 0; shift -= 8)
        put_byte(r, (uint8_t)(r->low >> shift));
    while (r->size > 0 && r->bytes[r->size - 1] == 0)
        r->size--;
    return r->failed ? ITO_ERR_MEMORY : ITO_OK;
}

void coder_free(range_coder *r)
{
    if (!r->reading)
        mem_free(r->bytes);
    r->bytes = NULL;
}

double coder_written(const range_coder *r)
{
    return 8.0 * (double)r->size + 48.0 - log2((double)r->range);
}

/* ---- symbols ---- */

uint32_t coder_target(const range_coder *r, uint32_t total)
{
    if (!r->reading || r->ended)
        return 0;
    uint64_t target = r->code / (r->range / total);
    return target < total ? (uint32_t)target : total - 1;
}

void coder_take(range_coder *r, uint32_t start, uint32_t width, uint32_t total)
{
    if (r->ended)
        return;
    uint64_t unit = r->range / total, skipped = unit * start;
    /* What division leaves over belongs to the last symbol. */
    r->range = start + width == total ? r->range - skipped : unit * width;
    if (r->reading) {
        r->code -= skipped;
        if (r->code + r->unknown >= r->range) {
            r->ended = true;
            return;
        }
    } else {
        r->low += skipped;
        if (r->low >= TOP)
            carry(r);
    }
    while (r->range <= BOTTOM) {
        r->range <<= 8;
        if (r->reading) {
            next_byte(r);
        } else {
            put_byte(r, (uint8_t)(r->low >> 40));
            r->low = r->low << 8 & (TOP - 1);
        }
    }
}

uint32_t coder_bits(range_coder *r, uint32_t value, int bits)
{
    if (r->reading)
        value = coder_target(r, 1u << bits);
    coder_take(r, value, 1, 1u << bits);
    return value;
}

void adaptive_begin(adaptive_model *m, int n, uint32_t first, uint32_t step)
{
    *m = (adaptive_model){.n = n, .total = (uint32_t)n * first, .step = step};
    for (int i = 0; i < n; i++)
        m->counts[i] = first;
}

/* Counts are halved long before their sum reaches the coder's limit. */
static void learn(adaptive_model *m, int symbol)
{
    m->counts[symbol] += m->step;
    m->total += m->step;
    if (m->total < 1u << 16)
        return;
    m->total = 0;
    for (int i = 0; i < m->n; i++) {
        m->counts[i] = (m->counts[i] + 1) / 2;
        m->total += m->counts[i];
    }
}

int coder_symbol(range_coder *r, adaptive_model *m, int symbol)
{
    uint32_t start = 0;
    if (r->reading) {
        uint32_t target = coder_target(r, m->total);
        for (symbol = 0; target - start >= m->counts[symbol]; symbol++)
            start += m->counts[symbol];
    } else {
        for (int i = 0; i < symbol; i++)
            start += m->counts[i];
    }
    coder_take(r, start, m->counts[symbol], m->total);
    learn(m, symbol);
    return symbol;
}
