/* Protocol Buffers' wire format, as far as ONNX needs it. Internal.
 *
 * A message is a list of fields: a key, which is 8 times the field's number plus the kind of what
 * follows, and a varint, four bytes, or a length and as many bytes. Those of another message are
 * bytes too, so a message is put together in a buffer of its own and then put into its parent.
 * By hand, since this page is all of it: see docs/interchange.md.
 * Source: https://protobuf.dev/programming-guides/encoding/
 */
#ifndef ITO_ONNX_WIRE_H
#define ITO_ONNX_WIRE_H

#include "tensor/internal.h"

typedef struct wire {
    char *data;
    int64_t size, room;
    bool failed; /* no memory, and an error; later puts do nothing */
} wire;

void wire_free(wire *w);

void wire_bytes(wire *w, int field, const void *bytes, int64_t n);
void wire_text(wire *w, int field, const char *text);
void wire_int(wire *w, int field, int64_t value);
void wire_float(wire *w, int field, float value);
/* The message, which is freed. */
void wire_message(wire *w, int field, wire *message);
/* The key and length of n bytes that follow elsewhere. */
void wire_head(wire *w, int field, int64_t n);
int64_t wire_head_size(int field, int64_t n);
/* Bytes as they are. */
void wire_raw(wire *w, const void *bytes, int64_t n);

#endif
