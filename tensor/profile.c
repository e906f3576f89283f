/* The profiler: frames, rows and the report at the end of the program.
 * Invariant: the list of rows only grows, in the order of the report, so readers need no lock. */
#include "tensor/profile.h"
#include "tensor/c_locale.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

_Atomic bool profile_on;
int64_t (*profile_clock)(void) = now;

/* Counting may begin and end while other threads are inside frames. Those frames are of an earlier
 * period, or none was entered: what a thread has open counts only if it is of this period. */
static _Thread_local profile_frame *innermost;
static _Thread_local unsigned innermost_period;
static _Atomic unsigned period;
/* The thread that loaded the library: only its time that no frame covers is somebody's. */
static _Thread_local bool at_home;
static _Atomic int64_t home, away; /* nanoseconds covered by frames, in that thread and in others */
static int64_t started;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for growing the list */
static _Atomic(profile_row *) first;

/* ---- frames ------------------------------------------------------------------------------------
 */

void profile_enter(profile_frame *f)
{
    if (innermost_period != period)
        innermost = NULL;
    innermost_period = period;
    *f = (profile_frame){.outer = innermost,
                         .start = profile_clock(),
                         .in_backward = innermost != NULL && innermost->in_backward};
    innermost = f;
}

bool profile_entered(const profile_frame *f)
{
    return innermost == f && innermost_period == period;
}

static bool comes_before(const profile_row *a, const profile_row *b)
{
    return a->order != b->order ? a->order < b->order : strcmp(a->name, b->name) < 0;
}

static void register_row(profile_row *row)
{
    pthread_mutex_lock(&lock);
    if (!row->listed) {
        profile_row *before = NULL, *after = first;
        while (after != NULL && comes_before(after, row)) {
            before = after;
            after = after->next;
        }
        row->next = after;
        if (before == NULL)
            first = row;
        else
            before->next = row;
        row->listed = true;
    }
    pthread_mutex_unlock(&lock);
}

void profile_leave(profile_frame *f, profile_row *row, int64_t bytes)
{
    if (!profile_entered(f))
        return;
    int64_t elapsed = profile_clock() - f->start;
    int64_t own_bytes = bytes > f->inner_bytes ? bytes - f->inner_bytes : 0;
    if (!row->listed)
        register_row(row);
    atomic_fetch_add(&row->calls, 1);
    atomic_fetch_add(&row->nanoseconds, elapsed - f->inner);
    atomic_fetch_add(&row->bytes, own_bytes);
    innermost = f->outer;
    if (f->outer != NULL) {
        f->outer->inner += elapsed;
        f->outer->inner_bytes += own_bytes + f->inner_bytes;
    } else {
        atomic_fetch_add(at_home ? &home : &away, elapsed);
    }
}

/* ---- the report --------------------------------------------------------------------------------
 */

const profile_row *profile_rows(void)
{
    return first;
}

void profile_reset(void)
{
    for (profile_row *r = first; r != NULL; r = r->next)
        r->calls = r->nanoseconds = r->bytes = 0;
    home = away = 0;
    started = profile_clock();
}

static void report_row(FILE *to, bool json, const profile_row *r, int64_t total)
{
    double ms = 1e-6 * (double)r->nanoseconds, mean = 1e3 * ms / (double)r->calls;
    double share = total > 0 ? (double)r->nanoseconds / (double)total : 0.0;
    if (json)
        fprintf(to,
                "{\"name\": \"%s\", \"pass\": \"%s\", \"calls\": %" PRId64
                ", \"ms\": %.3f, \"share\": %.4f, \"mean_us\": %.2f, \"bytes\": %" PRId64 "}, ",
                r->name, r->pass, r->calls, ms, share, mean, r->bytes);
    else
        fprintf(to, "%-28s %-11s %9" PRId64 " %11.1f %6.1f%% %11.1f %11.1f\n", r->name, r->pass,
                r->calls, ms, 100.0 * share, mean, 0x1p-20 * (double)r->bytes);
}

/* The total is the time since the start, and what other threads did beside it. */
void profile_report(FILE *to, bool json)
{
    int64_t wall = profile_clock() - started, total = wall + away, other = wall - home;
    double share = total > 0 ? (double)other / (double)total : 0.0;
    locale_t before = uselocale(c_locale());
    fprintf(to, json ? "{\"rows\": [" : "%-28s %-11s %9s %11s %7s %11s %11s\n", "operation", "pass",
            "calls", "ms", "share", "mean us", "MiB made");
    for (const profile_row *r = first; r != NULL; r = r->next)
        if (r->calls > 0)
            report_row(to, json, r, total);
    if (json)
        fprintf(to, "{\"name\": \"other\", \"ms\": %.3f, \"share\": %.4f}], \"ms\": %.3f}\n",
                1e-6 * (double)other, share, 1e-6 * (double)total);
    else
        fprintf(to, "%-28s %-11s %9s %11.1f %6.1f%%\n%-28s %-11s %9s %11.1f\n", "other", "", "",
                1e-6 * (double)other, 100.0 * share, "total", "", "", 1e-6 * (double)total);
    uselocale(before);
}

/* ---- a part of a program ---- */

bool ito_profile_begin(void)
{
    if (profile_on)
        return false;
    period++;
    profile_reset();
    profile_on = true;
    return true;
}

char *ito_profile_end(void)
{
    char *text = NULL;
    size_t size = 0;
    profile_on = false;
    FILE *to = open_memstream(&text, &size);
    if (to != NULL)
        profile_report(to, true);
    if (to != NULL && fclose(to) == 0)
        return text;
    free(text);
    return error_null(ITO_ERR_MEMORY, "profile: no memory for the report");
}

/* ---- the environment ---- */

static const char *wanted(void)
{
    const char *value = getenv("ITO_PROFILE");
    return value == NULL || *value == '\0' || strcmp(value, "0") == 0 ? NULL : value;
}

__attribute__((constructor)) static void start(void)
{
    at_home = true;
    started = profile_clock();
    profile_on = wanted() != NULL;
}

__attribute__((destructor)) static void finish(void)
{
    if (profile_on && wanted() != NULL)
        profile_report(stderr, strcmp(wanted(), "json") == 0);
}
