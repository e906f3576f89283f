/* Points, lines and arrows in a picture.
 * Invariant: nothing is drawn outside its panel. */
#include "examples/common/draw.h"

#include <math.h>
#include <stdlib.h>

enum { SIDE = 360, GAP = 8 };

static const double extent = 1.2;

ito_tensor *draw_panels(int panels)
{
    return ito_full(ITO_SHAPE(3, SIDE, panels * (SIDE + GAP) - GAP), 255, ITO_U8);
}

/* Darken the pixel at (x, y) of the plane towards a colour. */
static void dot(ito_tensor *picture, int panel, double x, double y, const double colour[3],
                double share)
{
    double right = (x + extent) / (2 * extent) * SIDE, down = (extent - y) / (2 * extent) * SIDE;
    if (!(right >= 0 && right < SIDE && down >= 0 && down < SIDE)) /* nor NaN */
        return;
    int64_t column = (int64_t)right, row = (int64_t)down, width = ito_size(picture, 2);
    uint8_t *pixels = ito_data(picture);
    for (int64_t c = 0; c < 3; c++) {
        uint8_t *p = pixels + (c * SIDE + row) * width + panel * (SIDE + GAP) + column;
        *p = (uint8_t)(*p + share * (colour[c] - *p));
    }
}

/* [n, 2] as doubles, freed by the caller; NULL with an error recorded. */
static double *numbers_of(ito_tensor *t)
{
    double *values = t == NULL ? NULL : malloc(sizeof(double) * (size_t)(ito_numel(t) + 1));
    if (values != NULL && ito_to_data(t, values, ITO_F64) == ITO_OK)
        return values;
    free(values);
    if (ito_error_code() == ITO_OK)
        ito_error_set(ITO_ERR_MEMORY, "draw: no memory for a picture");
    return NULL;
}

bool draw_points(ito_tensor *picture, int panel, ito_tensor *points)
{
    static const double blue[3] = {30, 70, 160};
    double *xy = numbers_of(points);
    bool good = picture != NULL && xy != NULL;
    for (int64_t i = 0; good && i < ito_size(points, 0); i++)
        for (int k = 0; k < 4; k++) /* a dot of 2x2 pixels */
            dot(picture, panel, xy[2 * i] + (k % 2) * 2 * extent / SIDE,
                xy[2 * i + 1] + (k / 2) * 2 * extent / SIDE, blue, 0.35);
    free(xy);
    return good;
}

static void line(ito_tensor *picture, int panel, const double from[2], const double to[2])
{
    static const double red[3] = {190, 40, 30};
    double length = hypot(to[0] - from[0], to[1] - from[1]);
    int n = (int)fmin(length / (2 * extent) * SIDE, 1e4) + 1; /* NaN too */
    for (int i = 0; i <= n; i++) {
        double share = (double)i / n;
        dot(picture, panel, from[0] + share * (to[0] - from[0]),
            from[1] + share * (to[1] - from[1]), red, 0.8);
    }
}

bool draw_lines(ito_tensor *picture, int panel, ito_tensor *from, ito_tensor *to)
{
    double *a = numbers_of(from), *b = numbers_of(to);
    bool good = picture != NULL && a != NULL && b != NULL;
    for (int64_t i = 0; good && i < ito_size(from, 0); i++)
        line(picture, panel, a + 2 * i, b + 2 * i);
    free(a);
    free(b);
    return good;
}

/* A shaft, and a head of two lines. */
static void arrow(ito_tensor *picture, int panel, const double from[2], double dx, double dy)
{
    double to[2] = {from[0] + dx, from[1] + dy};
    line(picture, panel, from, to);
    for (int side = -1; side <= 1; side += 2) {
        double barb[2] = {to[0] - 0.3 * (dx + side * 0.6 * dy),
                          to[1] - 0.3 * (dy - side * 0.6 * dx)};
        line(picture, panel, to, barb);
    }
}

bool draw_arrows(ito_tensor *picture, int panel, ito_tensor *points, ito_tensor *vectors,
                 double reach)
{
    double *xy = numbers_of(points), *v = numbers_of(vectors), longest = 0.0;
    bool good = picture != NULL && xy != NULL && v != NULL;
    for (int64_t i = 0; good && i < ito_size(points, 0); i++)
        longest = fmax(longest, hypot(v[2 * i], v[2 * i + 1]));
    for (int64_t i = 0; good && i < ito_size(points, 0) && longest > 0.0; i++)
        arrow(picture, panel, xy + 2 * i, reach * v[2 * i] / longest,
              reach * v[2 * i + 1] / longest);
    free(xy);
    free(v);
    return good;
}
