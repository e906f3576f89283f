/* The profiler: where a program's time goes, row by row. Internal.
 *
 * A frame on the caller's stack marks work under way in its thread. Frames nest, and a row gets the
 * time and bytes of its frames without those of the frames inside them, so nothing counts twice and
 * rows may be added up. ITO_PROFILE in the environment, read when the library is loaded, turns it
 * on: the report goes to stderr when the program ends, as a table or, for ITO_PROFILE=json, as one
 * JSON object. While it is off a frame costs a branch.
 */
#ifndef ITO_PROFILE_H
#define ITO_PROFILE_H

#include "tensor/internal.h"

#include <stdio.h>

/* Static, or at least never freed: once used it stays in the list. */
typedef struct profile_row {
    const char *name;
    const char *pass; /* "forward", "backward", ...; "" for what is no operation */
    int order;        /* in the report; rows of one order are sorted by name */
    _Atomic int64_t calls, nanoseconds, bytes;
    _Atomic bool listed;
    _Atomic(struct profile_row *) next;
} profile_row;

enum { PROFILE_LAST = 1 << 20 }; /* behind all operations */
/* A row for work that is no operation. */
#define PROFILE_ROW(what)                                                                          \
    {                                                                                              \
        .name = what, .pass = "", .order = PROFILE_LAST                                            \
    }

typedef struct profile_frame {
    struct profile_frame *outer;
    int64_t start, inner, inner_bytes; /* inner: nanoseconds in frames inside this one */
    bool in_backward;
} profile_frame;

/* Whether frames count. Not to be changed while the thread that does it has a frame open. */
extern _Atomic bool profile_on;

void profile_enter(profile_frame *f);
/* Whether the frame was entered since counting began; if not, nothing is known of it. */
bool profile_entered(const profile_frame *f);
/* bytes: of the results that were made. */
void profile_leave(profile_frame *f, profile_row *row, int64_t bytes);

static inline void profile_begin(profile_frame *f)
{
    if (__builtin_expect(profile_on, 0))
        profile_enter(f);
}

/* What runs inside this frame is part of a backward sweep. */
static inline void profile_begin_backward(profile_frame *f)
{
    if (__builtin_expect(profile_on, 0)) {
        profile_enter(f);
        f->in_backward = true;
    }
}

static inline void profile_end(profile_frame *f, profile_row *row)
{
    if (__builtin_expect(profile_on, 0))
        profile_leave(f, row, 0);
}

/* ---- for the report, tests and benchmarks ---- */

/* The rows in use, in the order of the report. */
const profile_row *profile_rows(void);
/* All rows to 0, and the clock starts again. */
void profile_reset(void);
/* Nanoseconds of a clock that never goes back; tests put their own here. */
extern int64_t (*profile_clock)(void);
void profile_report(FILE *to, bool json);

#endif
