/* Line charts as SVG, to stand in a page or in a file of their own: colours and fonts are the
 * page's, by class names, and a file carries its own. */
#ifndef ITO_DDPM_CHART_H
#define ITO_DDPM_CHART_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* After that many series the colours come again. */
enum { CHART_COLORS = 4 };

/* Points in order of x; what is not finite, beyond 1e100, or not positive on a logarithmic axis,
 * makes a gap. */
typedef struct chart_series {
    const char *name; /* for the legend, or NULL */
    const double *x, *y;
    int64_t n;
    bool faint; /* drawn thin, behind the others */
} chart_series;

typedef struct chart {
    const char *title; /* plain text */
    const char *x_label;
    bool log_y;
    bool from_zero; /* the y axis begins at 0 */
    bool alone;     /* in a file of its own, which carries the style sheet */
    const chart_series *series;
    int64_t count;
} chart;

/* A series with many more points than pixels is drawn as the range of each pixel column. */
void chart_write(FILE *out, const chart *c);
/* The style sheet that chart_write's class names want. */
extern const char chart_style[];

#endif
