/* Text in lines of at most 79 columns.
 * Invariant: a line is longer only if it is a single word. */
#include "examples/common/fill.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 79, EXAMPLE_INDENT = 6 };

static size_t begin_line(size_t indent)
{
    printf("\n%*s", (int)indent, "");
    return indent;
}

void fill_words(const char *text, size_t column, size_t indent)
{
    bool first = true; /* of its line */
    for (text += strspn(text, " "); *text != '\0'; text += strspn(text, " ")) {
        size_t n = strcspn(text, " ");
        if (!first && column + 1 + n > WIDTH) {
            column = begin_line(indent);
            first = true;
        }
        column += (size_t)printf("%s%.*s", first ? "" : " ", (int)n, text);
        first = false;
        text += n;
    }
    putchar('\n');
}

/* Where to break a line of which the first `most` letters fit: at the space before an option, so
 * that it keeps its value, or at any space; 0 if there is none. */
static size_t find_break(const char *line, size_t most)
{
    size_t any = 0, indent = strspn(line, " ");
    for (size_t i = most; i > indent; i--) {
        if (line[i] == ' ' && strncmp(line + i, " --", 3) == 0)
            return i;
        if (line[i] == ' ' && any == 0)
            any = i;
    }
    return any;
}

/* A command in several lines: broken at spaces, with backslashes. */
static void print_example(const char *line, size_t length)
{
    size_t indent = 0;
    while (indent + length > WIDTH) {
        size_t n = find_break(line, WIDTH - 2 - indent);
        if (n == 0)
            break;
        printf("%*s%.*s \\\n", (int)indent, "", (int)n, line);
        line += n + 1;
        length -= n + 1;
        indent = EXAMPLE_INDENT;
    }
    printf("%*s%.*s\n", (int)indent, "", (int)length, line);
}

void fill_paragraphs(const char *text)
{
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        char line[2048];
        snprintf(line, sizeof line, "%.*s", (int)length, text);
        if (line[0] == ' ')
            print_example(text, length);
        else
            fill_words(line, 0, 0);
        text += length + (text[length] == '\n');
    }
}
