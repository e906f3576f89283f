/* Strict JSON, read in place.
 * Invariant: what has been unescaped never passes what is still to be read. */
#include "tensor/io/json_cursor.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"

#include <string.h>

int json_utf8(const unsigned char *s, int64_t n)
{
    if (n < 1)
        return 0;
    if (s[0] < 0x80)
        return 1;
    int length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || n < length)
        return 0;
    for (int i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates and what is past U+10FFFF show in the second byte. */
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return length;
}

bool json_refuse(json_cursor *j, const char *fault)
{
    file_error(ITO_ERR_FORMAT, j->path, "%s: %s at byte %" PRId64, j->part, fault,
               (int64_t)(j->next - j->start));
    return false;
}

void json_skip_space(json_cursor *j)
{
    while (j->next < j->end &&
           (*j->next == ' ' || *j->next == '\t' || *j->next == '\n' || *j->next == '\r'))
        j->next++;
}

bool json_take(json_cursor *j, char c)
{
    json_skip_space(j);
    if (j->next == j->end || *j->next != c)
        return false;
    j->next++;
    return true;
}

bool json_expect(json_cursor *j, char c)
{
    if (json_take(j, c))
        return true;
    file_error(ITO_ERR_FORMAT, j->path, "%s: no '%c' at byte %" PRId64, j->part, c,
               (int64_t)(j->next - j->start));
    return false;
}

/* Four hexadecimal digits, or -1. */
static int take_hex(json_cursor *j)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char c = j->next < j->end ? *j->next++ : '\0';
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* What follows "\u", as UTF-8 at out; returns what is behind it, or NULL. */
static char *take_code(json_cursor *j, char *out)
{
    int code = take_hex(j);
    if (code >= 0xd800 && code < 0xdc00) {
        bool low = j->end - j->next >= 6 && j->next[0] == '\\' && j->next[1] == 'u';
        j->next += low ? 2 : 0;
        int second = low ? take_hex(j) : -1;
        if (second < 0xdc00 || second > 0xdfff)
            return NULL;
        code = 0x10000 + ((code - 0xd800) << 10) + (second - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
        return NULL;
    }
    if (code <= 0) /* NUL would end the text early: two names could become one */
        return NULL;
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
    } else if (code < 0x10000) {
        *out++ = (char)(0xe0 | code >> 12);
    } else {
        *out++ = (char)(0xf0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3f));
    }
    if (code >= 0x800)
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
    if (code >= 0x80)
        *out++ = (char)(0x80 | (code & 0x3f));
    return out;
}

static char *take_escape(json_cursor *j, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = j->next < j->end ? *j->next++ : '\0';
    if (c == 'u')
        return take_code(j, out);
    const char *at = c == '\0' ? NULL : strchr(from, c);
    if (at == NULL)
        return NULL;
    *out++ = to[at - from];
    return out;
}

char *json_string(json_cursor *j)
{
    if (!json_take(j, '"')) {
        json_refuse(j, "no string");
        return NULL;
    }
    char *text = j->next, *out = text;
    for (;;) {
        if (j->next == j->end || (unsigned char)*j->next < 0x20) {
            json_refuse(j, "a string that does not end");
            return NULL;
        }
        if (*j->next == '"')
            break;
        if (*j->next == '\\') {
            j->next++;
            out = take_escape(j, out);
            if (out == NULL) {
                json_refuse(j, "a bad escape in a string");
                return NULL;
            }
            continue;
        }
        int length = json_utf8((unsigned char *)j->next, j->end - j->next);
        if (length == 0) {
            json_refuse(j, "a string that is not UTF-8");
            return NULL;
        }
        for (int i = 0; i < length; i++)
            *out++ = *j->next++;
    }
    j->next++;
    *out = '\0';
    return text;
}

bool json_size(json_cursor *j, int64_t *size)
{
    json_skip_space(j);
    if (j->next < j->end && *j->next == '-')
        return json_refuse(j, "a negative number");
    char *first = j->next;
    *size = 0;
    for (; j->next < j->end && *j->next >= '0' && *j->next <= '9'; j->next++)
        if (__builtin_mul_overflow(*size, 10, size) ||
            __builtin_add_overflow(*size, *j->next - '0', size))
            return json_refuse(j, "a number of more than 63 bits");
    bool whole = j->next > first && (*first != '0' || j->next == first + 1) &&
                 (j->next == j->end || strchr(".eE", *j->next) == NULL);
    return whole || json_refuse(j, "no whole number");
}

bool json_object(json_cursor *j, bool (*member)(json_cursor *j, const char *key, void *context),
                 void *context)
{
    if (!json_expect(j, '{'))
        return false;
    if (json_take(j, '}'))
        return true;
    do {
        const char *key = json_string(j);
        if (key == NULL || !json_expect(j, ':') || !member(j, key, context))
            return false;
    } while (json_take(j, ','));
    return json_take(j, '}') || json_refuse(j, "no ',' or '}'");
}

static bool skip_member(json_cursor *j, const char *key, void *depth)
{
    (void)key;
    return json_skip(j, *(int *)depth);
}

static bool skip_list(json_cursor *j, int depth)
{
    j->next++;
    if (json_take(j, ']'))
        return true;
    do
        if (!json_skip(j, depth))
            return false;
    while (json_take(j, ','));
    return json_take(j, ']') || json_refuse(j, "no ',' or ']'");
}

/* A number, true, false or null: what such words are made of, and no more. */
static bool skip_word(json_cursor *j)
{
    static const char letters[] = "+-.0123456789Eaeflnrstu";
    const char *first = j->next;
    while (j->next < j->end && memchr(letters, *j->next, sizeof letters - 1) != NULL)
        j->next++;
    return j->next > first || json_refuse(j, "no value");
}

bool json_skip(json_cursor *j, int depth)
{
    json_skip_space(j);
    char c = j->next < j->end ? *j->next : '\0';
    if (c == '"')
        return json_string(j) != NULL;
    if (c != '{' && c != '[')
        return skip_word(j);
    if (depth == 0)
        return json_refuse(j, "too many values within one another");
    depth--;
    return c == '{' ? json_object(j, skip_member, &depth) : skip_list(j, depth);
}
