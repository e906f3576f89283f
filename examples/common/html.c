/* Pieces of an HTML page. */
#include "examples/common/html.h"

#include <string.h>

void html_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++)
        if (*text == '&')
            fputs("&amp;", out);
        else if (*text == '<')
            fputs("&lt;", out);
        else if (*text == '>')
            fputs("&gt;", out);
        else if (*text == '"')
            fputs("&quot;", out);
        else
            fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
}

void html_base64(FILE *out, const void *bytes, int64_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *data = bytes;
    for (int64_t i = 0; i < size; i += 3) {
        uint32_t bits = (uint32_t)data[i] << 16;
        bits |= i + 1 < size ? (uint32_t)data[i + 1] << 8 : 0;
        bits |= i + 2 < size ? (uint32_t)data[i + 2] : 0;
        fputc(digits[bits >> 18], out);
        fputc(digits[bits >> 12 & 63], out);
        fputc(i + 1 < size ? digits[bits >> 6 & 63] : '=', out);
        fputc(i + 2 < size ? digits[bits & 63] : '=', out);
    }
}

void html_shell_word(FILE *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_.,:/+=@";
    if (word[0] != '\0' && strspn(word, plain) == strlen(word)) {
        html_text(out, word);
        return;
    }
    fputc('\'', out);
    for (; *word != '\0'; word++) {
        char one[2] = {*word, '\0'};
        html_text(out, *word == '\'' ? "'\\''" : one);
    }
    fputc('\'', out);
}
