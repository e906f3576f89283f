/* Strict JSON, read in place. Not installed.
 *
 * A cursor goes once over a text that it may change. Numbers keep all 63 bits, text with a NUL or
 * broken UTF-8 is refused, nothing is allocated, and nesting is never deeper than the caller's own
 * calls. Every function that gives false or NULL has recorded where and why, json_take excepted. */
#ifndef ITO_IO_JSON_CURSOR_H
#define ITO_IO_JSON_CURSOR_H

#include "tensor/base.h"

typedef struct json_cursor {
    const char *path, *part; /* of the file, and what of it ("header"), for messages */
    char *start, *next, *end;
} json_cursor;

/* Record "PATH: <part>: <fault> at byte N" and give false. */
bool json_refuse(json_cursor *j, const char *fault);
/* Past white space. */
void json_skip_space(json_cursor *j);
/* Whether c is next after white space; it is taken then. */
bool json_take(json_cursor *j, char c);
/* c must be next. */
bool json_expect(json_cursor *j, char c);
/* A string, unescaped in its place, where it never grows, and ended with a 0; or NULL. */
char *json_string(json_cursor *j);
/* A whole number in [0, 2^63), with neither fraction nor exponent. */
bool json_size(json_cursor *j, int64_t *size);
/* An object's members, each read by `member`, which finds the cursor before the value. */
bool json_object(json_cursor *j, bool (*member)(json_cursor *j, const char *key, void *context),
                 void *context);
/* Past any value, whose objects and lists are at most `depth` deep. */
bool json_skip(json_cursor *j, int depth);
/* Bytes of the UTF-8 sequence that begins at s, of which n bytes are there; 0 if it is none. */
int json_utf8(const unsigned char *s, int64_t n);

#endif
