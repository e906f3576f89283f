/* Text in lines of at most 79 columns. */
#ifndef ITO_EXAMPLES_FILL_H
#define ITO_EXAMPLES_FILL_H

#include <stddef.h>

/* Print words on stdout from this column on, later lines with this indent, and a line feed. */
void fill_words(const char *text, size_t column, size_t indent);
/* Print paragraphs: lines that begin with a space are examples and keep their line breaks; where
 * one is too long it goes on after a backslash, so that it can be pasted. Others are filled. */
void fill_paragraphs(const char *text);

#endif
