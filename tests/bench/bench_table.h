/* What makes the table, in four files: bench.c reads the options, measures the limits and does one
 * row after the other; bench_rows.c says which rows there are, bench_sides.c has a row run by ours
 * and by the peers, and bench_print.c writes it down. The workers' half is in bench.h. */
#ifndef ITO_BENCH_TABLE_H
#define ITO_BENCH_TABLE_H

#include "tests/bench/bench.h"
#include "tests/bench/bench_peak.h"

#include <sys/types.h>

typedef struct options {
    bool json, all;
    int threads;
    bool limits, gemm, conv, layers, steps;
} options;

typedef struct limits {
    double peak_one, peak; /* GFLOP/s in f32 */
    bench_bandwidth memory_one, memory;
} limits;

typedef enum rate_unit { GFLOPS, GBS, IMAGES } rate_unit;

typedef struct row {
    const char *part;
    char name[96], spec[96]; /* what the table says; what workers are told */
    const char *dtype;
    int threads;
    rate_unit unit;
    double amount; /* FLOP, bytes or images of one run */
    double flop;   /* of IMAGES: for the share of the peak */
    bool alone;    /* no peers */
} row;

enum { OURS, TORCH, ONEDNN, SIDES, ROUNDS = 5, LINE = 1024 };

/* Who runs rows: a worker, and what it has said and done in the present row. */
typedef struct side {
    pid_t pid;
    FILE *to, *from; /* NULL: not running */
    char said[LINE]; /* its last answer, without the newline */
    bool ready;      /* has set up the present row */
    double seconds[ROUNDS];
    int rounds, runs; /* runs in a round */
} side;

typedef struct bench {
    options o;
    limits limits;
    side sides[SIDES];
    char before[96]; /* the row before, if on one thread, and its time */
    double before_seconds;
} bench;

/* ---- bench_rows.c: the rows of a part, in order, each handed to do_row ---- */

void gemm_rows(bench *b);
void conv_rows(bench *b);
void layer_rows(bench *b);
void step_rows(bench *b);

/* bench.c: measure and print one row. */
void do_row(bench *b, const row *r);

/* ---- bench_sides.c ---- */

/* A child with pipes to us; it runs command or, if NULL, serves our side. */
bool start_side(side *s, char *const *command);
void stop_side(side *s);
/* Ask and wait for the answer in said; false if the worker is gone. */
bool ask(side *s, const char *format, ...) ITO_PRINTF(2, 3);
/* Sets the row up, warms up, and chooses how many runs and rounds it deserves. */
void prepare(side *s, const row *r);
/* Rounds of all sides in turn. */
void measure(side sides[SIDES]);
/* Seconds of a run. */
double median(side *s);
/* From the fastest to the slowest round, relative to the median. */
double spread(side *s);

/* ---- bench_print.c ---- */

void print_limits(const bench *b);
void print_head(const bench *b);
void print_row(bench *b, const row *r);
/* How much faster the row is than the same on one thread, which came just before it. */
void print_gain(bench *b, const row *r);

#endif
