/* Line charts as SVG.
 * Invariant: what is written depends on the points alone, and is valid for any of them, none and
 * NaN included. */
#include "examples/common/chart.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { WIDTH = 480, HEIGHT = 250, LEFT = 62, RIGHT = 12, TOP = 34, BOTTOM = 40 };
enum { MOST_TICKS = 12 };

const char chart_style[] =
    ".chart{width:100%;height:auto;font:13px system-ui,sans-serif}"
    ".chart text{fill:var(--ink,#222)}"
    ".chart .title{font-size:14px;font-weight:600}"
    ".chart .grid{stroke:var(--rule,#ddd);stroke-width:1}"
    ".chart polyline{fill:none;stroke-width:1.8;stroke-linejoin:round}"
    ".chart .faint{stroke-width:1;opacity:.35}"
    ".chart .c0{stroke:var(--c0,#1f6feb)}.chart .c1{stroke:var(--c1,#d1242f)}"
    ".chart .c2{stroke:var(--c2,#1a7f37)}.chart .c3{stroke:var(--c3,#9a6700)}";

static const char *const colors[CHART_COLORS] = {"#1f6feb", "#d1242f", "#1a7f37", "#9a6700",
                                                 "#8250df", "#1b7c83", "#bf3989", "#57606a"};

/* The largest number drawn: differences and products of such numbers are finite. */
#define LARGEST 1e100

typedef struct range {
    double low, high;
} range;

/* The value, or NaN if it is not drawn. */
static double drawable(double value)
{
    return fabs(value) <= LARGEST ? value : (double)NAN;
}

/* y as it is drawn. */
static double scaled(const chart *c, double y)
{
    y = drawable(y);
    if (!c->log_y)
        return y;
    return y > 0.0 ? log10(y) : (double)NAN;
}

static void widen(range *r, double value)
{
    if (!isfinite(value))
        return;
    r->low = value < r->low ? value : r->low;
    r->high = value > r->high ? value : r->high;
}

/* A range of positive width: of the values seen, or 0 to 1 if there are none. */
static range settled(range r)
{
    if (r.low > r.high)
        return (range){0.0, 1.0};
    if (r.low == r.high) {
        double half = r.low == 0.0 ? 0.5 : 0.1 * fabs(r.low);
        return (range){r.low - half, r.high + half};
    }
    return r;
}

static void find_ranges(const chart *c, range *x, range *y)
{
    *x = *y = (range){(double)INFINITY, -(double)INFINITY};
    for (int64_t s = 0; s < c->count; s++)
        for (int64_t i = 0; i < c->series[s].n; i++) {
            double at = drawable(c->series[s].x[i]), value = scaled(c, c->series[s].y[i]);
            if (!isfinite(at) || !isfinite(value))
                continue;
            widen(x, at);
            widen(y, value);
        }
    if (c->from_zero && !c->log_y)
        widen(y, 0.0);
    *x = settled(*x);
    *y = settled(*y);
}

static double to_x(range x, double value)
{
    return LEFT + (value - x.low) / (x.high - x.low) * (WIDTH - LEFT - RIGHT);
}

static double to_y(range y, double value)
{
    return HEIGHT - BOTTOM - (value - y.low) / (y.high - y.low) * (HEIGHT - TOP - BOTTOM);
}

/* ---- axes ---- */

/* 1, 2 or 5 times a power of ten, so that about `wanted` steps fill the range. */
static double step_of(range r, double wanted)
{
    double raw = (r.high - r.low) / wanted, power = pow(10.0, floor(log10(raw)));
    double lead = raw / power;
    return power * (lead < 1.5 ? 1.0 : lead < 3.5 ? 2.0 : lead < 7.5 ? 5.0 : 10.0);
}

static void write_number(FILE *out, double value)
{
    double size = fabs(value);
    if (size >= 1e9)
        fprintf(out, "%.3gG", value * 1e-9);
    else if (size >= 1e6)
        fprintf(out, "%.3gM", value * 1e-6);
    else if (size >= 1e4)
        fprintf(out, "%.3gk", value * 1e-3);
    else
        fprintf(out, "%.4g", size < 1e-12 ? 0.0 : value);
}

static void write_x_axis(FILE *out, const chart *c, range x)
{
    double step = step_of(x, 6.0);
    for (int i = 0; i < MOST_TICKS; i++) {
        double value = (ceil(x.low / step) + i) * step;
        if (value > x.high)
            break;
        fprintf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">", to_x(x, value),
                HEIGHT - BOTTOM + 16);
        write_number(out, value);
        fprintf(out, "</text>");
    }
    fprintf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", WIDTH - RIGHT,
            HEIGHT - 6, c->x_label);
}

static void write_y_tick(FILE *out, range y, double at, double value)
{
    double line = to_y(y, at);
    fprintf(out,
            "<line stroke=\"#ddd\" class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">",
            LEFT, WIDTH - RIGHT, line, line, LEFT - 6, line + 4.0);
    write_number(out, value);
    fprintf(out, "</text>\n");
}

/* A logarithmic axis has ticks at decades if there are many, else also at 2 and 5 times each;
 * within one decade it has equal steps. */
static void write_log_axis(FILE *out, range y)
{
    static const double leads[] = {1.0, 2.0, 5.0};
    double decades = y.high - y.low;
    int stride = decades > 8.0 ? (int)ceil(decades / 8.0) : 1;
    for (int d = (int)floor(y.low); d <= (int)ceil(y.high); d += stride)
        for (int i = 0; i < (decades > 3.0 ? 1 : 3); i++) {
            double at = d + log10(leads[i]);
            if (at >= y.low && at <= y.high)
                write_y_tick(out, y, at, pow(10.0, at));
        }
}

static void write_even_axis(FILE *out, const chart *c, range y)
{
    range shown = c->log_y ? (range){pow(10.0, y.low), pow(10.0, y.high)} : y;
    double step = step_of(shown, 5.0);
    for (int i = 0; i < MOST_TICKS; i++) {
        double value = (ceil(shown.low / step) + i) * step;
        if (value > shown.high)
            break;
        write_y_tick(out, y, scaled(c, value), value);
    }
}

/* ---- lines ---- */

/* The colour as an attribute too, for viewers that ignore style sheets. */
static void begin_line(FILE *out, int64_t index, bool faint)
{
    int color = (int)(index % CHART_COLORS);
    fprintf(out, "<polyline fill=\"none\" stroke=\"%s\"%s class=\"c%d%s\" points=\"", colors[color],
            index / CHART_COLORS % 2 == 1 ? " stroke-dasharray=\"5 3\"" : "", color,
            faint ? " faint" : "");
}

/* A line being drawn: its points, or two for each column of pixels, the least and the largest.
 * Points within TOLERANCE of the line that passes them are left out: `anchor` is the last one
 * written, `last` is pending, and lines with slopes from low to high pass close enough to all
 * points between them. */
typedef struct point {
    double x, y;
} point;

typedef struct pen {
    FILE *out;
    int64_t index;
    bool faint, down, waits;
    point anchor, last;
    range slopes;
} pen;

#define TOLERANCE 0.05 /* pixels, half of the last digit written */

static void pen_write(pen *p, point at)
{
    fprintf(p->out, "%.1f,%.1f ", at.x, at.y);
    p->anchor = at;
    p->slopes = (range){-(double)INFINITY, (double)INFINITY};
}

static void pen_lift(pen *p)
{
    if (p->waits)
        pen_write(p, p->last);
    if (p->down)
        fprintf(p->out, "\"/>\n");
    p->down = p->waits = false;
}

static void pen_point(pen *p, double x, double y)
{
    if (!p->down) {
        begin_line(p->out, p->index, p->faint);
        pen_write(p, (point){x, y});
        p->down = true;
        return;
    }
    double slope = (y - p->anchor.y) / (x - p->anchor.x); /* infinite if the line is vertical */
    if (p->waits && !(slope >= p->slopes.low && slope <= p->slopes.high && isfinite(slope)))
        pen_write(p, p->last);
    double width = x - p->anchor.x, rise = y - p->anchor.y;
    p->slopes.low = fmax(p->slopes.low, (rise - TOLERANCE) / width);
    p->slopes.high = fmin(p->slopes.high, (rise + TOLERANCE) / width);
    p->last = (point){x, y};
    p->waits = true;
}

static void write_points(pen *p, const chart *c, const chart_series *s, range x, range y)
{
    for (int64_t i = 0; i < s->n; i++) {
        double at = drawable(s->x[i]), value = scaled(c, s->y[i]);
        if (isfinite(at) && isfinite(value))
            pen_point(p, to_x(x, at), to_y(y, value));
        else
            pen_lift(p);
    }
}

/* NaN for a point that is not drawn. */
static double column_of(range x, double value)
{
    return floor(to_x(x, drawable(value)));
}

static void write_columns(pen *p, const chart *c, const chart_series *s, range x, range y)
{
    for (int64_t i = 0; i < s->n;) {
        double column = column_of(x, s->x[i]);
        range seen = {(double)INFINITY, -(double)INFINITY};
        do { /* at least one point, even without a column */
            if (isfinite(column))
                widen(&seen, scaled(c, s->y[i]));
            i++;
        } while (i < s->n && column_of(x, s->x[i]) <= column);
        if (seen.low > seen.high) {
            pen_lift(p);
            continue;
        }
        pen_point(p, column, to_y(y, seen.low));
        if (seen.high > seen.low)
            pen_point(p, column, to_y(y, seen.high));
    }
}

static void write_series(FILE *out, const chart *c, int64_t index, range x, range y)
{
    const chart_series *s = &c->series[index];
    pen p = {.out = out, .index = index, .faint = s->faint};
    if (s->n > 3 * WIDTH)
        write_columns(&p, c, s, x, y);
    else
        write_points(&p, c, s, x, y);
    pen_lift(&p);
}

/* In the row of the x axis' label, from the left. */
static void write_legend(FILE *out, const chart *c)
{
    int at = LEFT;
    for (int64_t s = 0; s < c->count; s++) {
        const char *name = c->series[s].name;
        if (name == NULL)
            continue;
        begin_line(out, s, c->series[s].faint);
        fprintf(out, "%d,%d %d,%d\"/><text x=\"%d\" y=\"%d\">%s</text>\n", at, HEIGHT - 10, at + 18,
                HEIGHT - 10, at + 23, HEIGHT - 6, name);
        at += 42 + 7 * (int)strlen(name);
    }
}

void chart_write(FILE *out, const chart *c)
{
    range x, y;
    find_ranges(c, &x, &y);
    fprintf(out,
            "<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
            "role=\"img\" aria-label=\"%s\">\n",
            WIDTH, HEIGHT, c->title);
    if (c->alone)
        fprintf(out, "<style>%s</style><rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
                chart_style);
    fprintf(out, "<text class=\"title\" x=\"%d\" y=\"20\">%s</text>\n", LEFT, c->title);
    if (c->log_y && y.high - y.low > 1.0)
        write_log_axis(out, y);
    else
        write_even_axis(out, c, y);
    write_x_axis(out, c, x);
    for (int64_t s = 0; s < c->count; s++)
        write_series(out, c, s, x, y);
    write_legend(out, c);
    fprintf(out, "</svg>\n");
}
