/* The discretised normal distribution by whole numbers.
 * Invariant: every value has at least one part in 2^24, so every image can be coded. */
#include "models/ddpm/compress/pixel_code.h"

#include <math.h>

enum { VALUES = 256, TOTAL = 1 << 24 };

/* exp(-x^2/2) at x = k h by its ratios, r_k = r_{k-1} exp(-h^2), and its integral by Simpson's
 * rule, with h half of the distance between points. */
void pixel_begin(pixel_code *p)
{
    const double h = 0.5 / NORMAL_STEPS;
    const double shrink = 0x1.fff8000fffeabp-1; /* exp(-h^2) */
    const int zero = NORMAL_STEPS * NORMAL_END;
    double ratio = 0x1.fffc0003fffd5p-1; /* exp(-h^2 / 2) */
    double density = 0.3989422804014327, sum = 0.5;
    p->below[zero] = 0.5;
    for (int k = 1; k <= zero; k++) {
        double middle = density * ratio;
        double next = middle * (ratio * shrink);
        sum += (density + 4.0 * middle + next) * (h / 3.0);
        p->below[zero + k] = sum < 1.0 ? sum : 1.0;
        p->below[zero - k] = 1.0 - p->below[zero + k];
        density = next;
        ratio = ratio * shrink * shrink;
    }
}

static double normal_below(const pixel_code *p, double z)
{
    double place = (z + NORMAL_END) * NORMAL_STEPS;
    if (!(place > 0.0))
        return 0.0;
    if (place >= 2.0 * NORMAL_STEPS * NORMAL_END)
        return 1.0;
    int k = (int)place;
    return p->below[k] + (place - k) * (p->below[k + 1] - p->below[k]);
}

/* How much of the total lies below value: each has one part, and its probability of the rest. */
static uint32_t share_below(const pixel_code *p, double mean, double deviation, int value)
{
    if (value == 0)
        return 0;
    if (value == VALUES)
        return TOTAL;
    double below = normal_below(p, (value - 0.5 - mean) / deviation);
    return (uint32_t)(below * (TOTAL - VALUES)) + (uint32_t)value;
}

int pixel_code_next(const pixel_code *p, range_coder *r, double mean, double deviation, int value)
{
    if (r->reading) {
        uint32_t target = coder_target(r, TOTAL);
        int low = 0, high = VALUES; /* share_below(low) <= target < share_below(high) */
        while (high - low > 1) {
            int middle = (low + high) / 2;
            if (share_below(p, mean, deviation, middle) <= target)
                low = middle;
            else
                high = middle;
        }
        value = low;
    }
    uint32_t start = share_below(p, mean, deviation, value);
    coder_take(r, start, share_below(p, mean, deviation, value + 1) - start, TOTAL);
    return value;
}
