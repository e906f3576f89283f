/* Fields of Protocol Buffers appended to a buffer that grows. */
#include "autograd/onnx/wire.h"

#include <string.h>

enum { KIND_VARINT = 0, KIND_BYTES = 2, KIND_FOUR = 5 };

void wire_free(wire *w)
{
    mem_free(w->data);
    *w = (wire){0};
}

void wire_raw(wire *w, const void *bytes, int64_t n)
{
    if (!w->failed && w->size + n > w->room) {
        int64_t room = 2 * (w->size + n) + 256;
        char *data = mem_alloc((size_t)room);
        w->failed = data == NULL;
        if (data == NULL)
            return;
        if (w->size > 0)
            memcpy(data, w->data, (size_t)w->size);
        mem_free(w->data);
        w->data = data;
        w->room = room;
    }
    if (w->failed || n == 0)
        return;
    memcpy(w->data + w->size, bytes, (size_t)n);
    w->size += n;
}

/* Seven bits a byte, the lowest first; the eighth says that more follow. */
static void varint(wire *w, uint64_t value)
{
    unsigned char byte[10];
    int n = 0;
    do {
        byte[n] = (unsigned char)(value & 0x7f);
        value >>= 7;
        byte[n++] |= value != 0 ? 0x80 : 0;
    } while (value != 0);
    wire_raw(w, byte, n);
}

static int64_t varint_size(uint64_t value)
{
    int64_t n = 1;
    while ((value >>= 7) != 0)
        n++;
    return n;
}

static void key(wire *w, int field, int kind)
{
    varint(w, (uint64_t)field << 3 | (uint64_t)kind);
}

void wire_head(wire *w, int field, int64_t n)
{
    key(w, field, KIND_BYTES);
    varint(w, (uint64_t)n);
}

int64_t wire_head_size(int field, int64_t n)
{
    return varint_size((uint64_t)field << 3) + varint_size((uint64_t)n);
}

void wire_bytes(wire *w, int field, const void *bytes, int64_t n)
{
    wire_head(w, field, n);
    wire_raw(w, bytes, n);
}

void wire_text(wire *w, int field, const char *text)
{
    wire_bytes(w, field, text, (int64_t)strlen(text));
}

void wire_int(wire *w, int field, int64_t value)
{
    key(w, field, KIND_VARINT);
    varint(w, (uint64_t)value);
}

void wire_float(wire *w, int field, float value)
{
    key(w, field, KIND_FOUR);
    wire_raw(w, &value, sizeof value);
}

void wire_message(wire *w, int field, wire *message)
{
    w->failed = w->failed || message->failed;
    wire_bytes(w, field, message->data, message->size);
    wire_free(message);
}
