/* What makes the table. bench.c reads the options and does one row after the other; bench_rows.c
 * says which rows there are, bench_sides.c has a row run by ours and by the peers, bench_limits.c
 * measures the machine's limits, bench_head.c says what was measured where, bench_print.c writes
 * rows down, bench_compare.c compares them with those of another run and bench_markdown.c makes
 * tables of them. The workers' half is in bench.h. */
#ifndef ITO_BENCH_TABLE_H
#define ITO_BENCH_TABLE_H

#include "tests/bench/bench.h"
#include "tests/bench/bench_peak.h"

#include <cjson/cJSON.h>
#include <sys/types.h>

typedef struct options {
    bool json, all;
    int threads;
    bool limits, gemm, conv, layers, small, steps;
    const char *against, *from, *table; /* files of --json, or NULL */
} options;

/* Of one thread and of all; 0 where the processor has no such instructions. */
typedef struct rate_pair {
    double one, all;
} rate_pair;

typedef struct limits {
    rate_pair f32, pairs, tiles, loaded_tiles; /* GFLOP/s: multiply-adds, vdpbf16ps, AMX */
    rate_pair bf16;                            /* the best of them */
    bench_bandwidth memory_one, memory;
} limits;

typedef enum rate_unit { GFLOPS, GBS, IMAGES, MICROSECONDS } rate_unit;

typedef struct row {
    const char *part;
    char name[96], spec[96]; /* what the table says; what workers are told */
    const char *dtype;
    int threads;
    rate_unit unit;
    double amount; /* FLOP, bytes or images of one run */
    double flop;   /* of IMAGES: for the share of the peak */
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

/* A row of a recorded run; 0 for what it does not say. */
typedef struct record {
    char part[16], work[96], dtype[8];
    int threads;
    double ms, spread, rate;
    double torch_ms, onednn_ms;
    double memory, torch_memory; /* MiB of the process */
} record;

typedef struct recording {
    const char *file; /* NULL: this run */
    cJSON *head;
    record *rows; /* each work once */
    size_t n;
} recording;

typedef struct bench {
    options o;
    limits limits;
    cJSON *head; /* that of now */
    side sides[SIDES];
    char before[96]; /* the row before, and its time: on one thread, or in f32 */
    const char *before_dtype;
    int before_threads;
    double before_seconds;
    recording old, now;
    row *again; /* those that seemed slower than the old ones */
    size_t agains;
} bench;

/* ---- bench_rows.c: the rows of a part, in order, each handed to do_row ---- */

void gemm_rows(bench *b);
void conv_rows(bench *b);
void layer_rows(bench *b);
void small_rows(bench *b);
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

/* ---- bench_limits.c ---- */

/* The limits as lines: 0 where the processor has no such instructions. */
typedef struct limit_line {
    const char *key, *name, *unit;
    rate_pair rate;
} limit_line;

enum { LIMITS = 8 };

void limit_lines(limit_line line[LIMITS], const limits *l);

/* In a process of its own; false if that cannot be. */
bool measure_limits(limits *l, int threads);

/* ---- bench_head.c ---- */

/* The machine, the library and what built it, as an object that heads the rows of --json. Peers and
 * limits are added when they are known. The caller frees it. */
cJSON *head_of_this_run(const options *o);
void add_peer(cJSON *head, const char *peer, const char *version);
void add_limits(cJSON *head, const limits *l);
/* "NAME (VENDOR, family F, model M)" */
void processor_of(const cJSON *head, char *text, size_t size);
/* A member, or what stands for it. */
const char *text_of(const cJSON *object, const char *name, const char *otherwise);
/* For people, and the columns' names; or, with --json, the object. */
void print_head(const bench *b);

/* ---- bench_print.c ---- */

void print_row(bench *b, const row *r);
/* How much faster the row is than the same on one thread or in f32, which came just before it. */
void print_gain(bench *b, const row *r);

/* ---- bench_compare.c ---- */

/* What a run wrote with --json. False: said holds one sentence why not. */
bool read_recording(recording *r, const char *file, char said[LINE]);
void free_recording(recording *r);
/* False, and a sentence, if times of these two cannot be compared. */
bool comparable(const recording *old, const recording *now, char said[LINE]);
/* A row more; of two of the same work the faster one stays. */
bool add_record(recording *r, const record *entry);
/* Whether this is more slowly done than in the old recording, beyond noise. */
bool is_slower(const recording *old, const record *entry);
/* The row of this work; NULL if there is none. */
const record *find_record(const recording *r, const char *work, const char *dtype, int threads);
/* Prints what differs; how many rows are slower. */
int print_comparison(const recording *old, const recording *now, FILE *to);

/* ---- bench_markdown.c ---- */

/* The tables that docs/performance.md has of a kind of processor. */
void print_markdown(const recording *r);

#endif
