/* Line charts as SVG, inside a page or as a file. A page sets colours and fonts by class names; a
 * file has its own style sheet. */
#ifndef ITO_DDPM_CHART_H
#define ITO_DDPM_CHART_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* The number of colours; further series reuse them in dashes. */
enum { CHART_COLORS = 8 };

/* Points in order of x. A value that is not finite, beyond 1e100, or not positive on a logarithmic
 * axis leaves a gap. */
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
    bool alone;     /* a file of its own, with the style sheet in it */
    const chart_series *series;
    int64_t count;
} chart;

/* A series with many more points than pixels is drawn as the range of each pixel column. */
void chart_write(FILE *out, const chart *c);
/* The style sheet for chart_write's class names. */
extern const char chart_style[];

#endif
