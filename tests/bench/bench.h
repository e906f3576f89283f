/* The benchmark's two halves: the table (bench_table.h) asks, prints and compares; a worker, a
 * process of its own, sets up the work of one row and runs it when asked. Ours is bench_ours.c and
 * bench_steps.c; peers speak the same protocol on stdin and stdout, a line for a line:
 *
 *     setup THREADS DTYPE WORK ARGUMENT ...    ok; ok SECONDS of a run, if it has warmed up with
 *                                              some; none: not mine; or: skip REASON
 *     run N                                    seconds of one of N runs, or: skip REASON
 *     stat                                     NAME=NUMBER ... to be told beside the time
 *     end                                      (no answer)
 *
 * Runs of ours and of the peers alternate, so that slow phases of the machine fall on all of them.
 */
#ifndef ITO_BENCH_H
#define ITO_BENCH_H

#include "ito.h"

#include <stdio.h>

/* What a worker holds for its row. */
typedef struct bench_work {
    ito_dtype dtype;
    void (*run)(struct bench_work *w);            /* in a scope of its own */
    void (*stat)(struct bench_work *w, FILE *to); /* or NULL */
    int repeats;                                  /* units of work in one run */
    ito_tensor *in[4];
    ito_tensor *y, *dy; /* of work that goes backward */
    int64_t number[8];  /* arguments */
    ito_generator generator;
    void *state;
} bench_work;

/* How the argument list of a row is read: words[0] is the work's name. False: what is missing is
 * recorded as an error. */
typedef bool bench_setup(bench_work *w, char *const *words);
bench_setup bench_setup_step; /* train, network, sample: bench_steps.c */
/* The network of such a step. */
ito_module *bench_model(const bench_work *w);

/* A random tensor that outlives the scope. */
ito_tensor *bench_random(bench_work *w, ito_shape shape);
/* Records an error, if none is, unless there is something. A worker with an error skips its row. */
void bench_need(const void *something);
/* A worker of ours: serves until its input ends. */
void bench_serve(FILE *from, FILE *to);

#endif
