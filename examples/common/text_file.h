/* A text file that is written completely or not at all: write to the stream of text_begin, then
 * call text_end. */
#ifndef ITO_EXAMPLES_TEXT_FILE_H
#define ITO_EXAMPLES_TEXT_FILE_H

#include <stdbool.h>
#include <stdio.h>

typedef struct text_file {
    const char *path; /* borrowed */
    FILE *out;
    char *text;
    size_t size;
} text_file;

/* False with an error recorded. */
bool text_begin(text_file *f, const char *path);
/* Write the file if `good`, or drop the text. False with an error recorded, or if good was false.
 */
bool text_end(text_file *f, bool good);

#endif
