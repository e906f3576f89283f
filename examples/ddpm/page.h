/* HTML pages of runs that stand alone: head and style, figures, images inside. */
#ifndef ITO_DDPM_PAGE_H
#define ITO_DDPM_PAGE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Everything up to the heading, which is the title, and a line that says what the page is and when
 * it was written. */
void page_begin(FILE *out, const char *title, const char *what);
void page_end(FILE *out);
/* A box with a number; "none yet" if it is not finite. */
void page_figure(FILE *out, const char *label, const char *format, double value);
void page_text_figure(FILE *out, const char *label, const char *text);
/* A figure with the PNG file inside; false if there is none that can be read and is small enough
 * for a page. */
bool page_image(FILE *out, const char *path, const char *alt, const char *caption);

#endif
