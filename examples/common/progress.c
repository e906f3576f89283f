/* The progress of a long job. */
#include "examples/common/progress.h"

#include "examples/common/messages.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define BAR_WIDTH 24
#define LOSS_MEMORY 0.98 /* about the last 50 steps */
#define RATE_MEMORY 0.95

double progress_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void progress_begin(progress *p, const char *what, const char *unit, int64_t first, int64_t total)
{
    bool quiet = p->quiet || notes_are_silent();
    double now = progress_clock();
    *p = (progress){.what = what, .unit = unit, .quiet = quiet, .first = first, .total = total};
    p->terminal = isatty(STDERR_FILENO) == 1;
    p->started = p->seen = now;
    p->drawn = p->terminal ? 0.0 : now - 8.0; /* the first plain line after two seconds */
}

double progress_loss(const progress *p)
{
    return p->loss_weight > 0.0 ? p->loss / p->loss_weight : (double)NAN;
}

void format_duration(char text[32], double seconds)
{
    int64_t s = (int64_t)(seconds + 0.5);
    if (s >= 3600)
        snprintf(text, 32, "%" PRId64 "h%02dm", s / 3600, (int)(s / 60 % 60));
    else if (s >= 60)
        snprintf(text, 32, "%dm%02ds", (int)(s / 60), (int)(s % 60));
    else
        snprintf(text, 32, "%ds", (int)s);
}

static void draw(const progress *p, int64_t done, int64_t units)
{
    char left[32], bar[BAR_WIDTH + 1] = "", loss[48] = "";
    format_duration(left, p->seconds_a_step * (double)(p->total - done));
    if (p->loss_weight > 0.0)
        snprintf(loss, sizeof loss, "  loss %.4f", progress_loss(p));
    double rate = p->seconds_a_step > 0.0 ? (double)units / p->seconds_a_step : 0.0;
    if (p->terminal) {
        int filled = (int)(BAR_WIDTH * done / (p->total > 0 ? p->total : 1));
        for (int i = 0; i < BAR_WIDTH; i++)
            bar[i] = i < filled ? '#' : '-';
        fprintf(stderr, "\r\033[K%s %" PRId64 "/%" PRId64 " [%s]%s  %.1f %s/s  %s left", p->what,
                done, p->total, bar, loss, rate, p->unit, left);
    } else {
        fprintf(stderr, "%s %" PRId64 "/%" PRId64 "%s  %.1f %s/s  %s left\n", p->what, done,
                p->total, loss, rate, p->unit, left);
    }
    fflush(stderr);
}

void progress_step(progress *p, int64_t done, int64_t units, double loss)
{
    double now = progress_clock(), took = now - p->seen;
    p->seen = now;
    p->seconds_a_step = p->seconds_a_step == 0.0
                            ? took
                            : RATE_MEMORY * p->seconds_a_step + (1.0 - RATE_MEMORY) * took;
    if (isfinite(loss)) {
        p->loss = LOSS_MEMORY * p->loss + (1.0 - LOSS_MEMORY) * loss;
        p->loss_weight = LOSS_MEMORY * p->loss_weight + (1.0 - LOSS_MEMORY);
    }
    double wait = p->terminal ? 0.1 : 10.0;
    if (p->quiet || (now - p->drawn < wait && !(p->terminal && done == p->total)))
        return;
    p->drawn = now;
    draw(p, done, units);
}

void progress_skip(progress *p)
{
    p->seen = progress_clock();
}

void progress_end(progress *p)
{
    if (!p->quiet && p->terminal && p->drawn > 0.0)
        fputc('\n', stderr);
    p->drawn = 0.0;
}
