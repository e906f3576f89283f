/* Pieces of an HTML page that stands alone: escaped texts, images inside it. */
#ifndef ITO_EXAMPLES_HTML_H
#define ITO_EXAMPLES_HTML_H

#include <stdint.h>
#include <stdio.h>

/* A text with HTML's special characters escaped, and spaces in place of control characters. */
void html_text(FILE *out, const char *text);
/* The same as a word of a shell's command line, in quotes unless it is plain. */
void html_shell_word(FILE *out, const char *word);
/* Bytes in base64, as in a data: URL. */
void html_base64(FILE *out, const void *bytes, int64_t size);

#endif
