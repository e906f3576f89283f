/* The directory of a training run: config.json, log.jsonl, checkpoints/, samples/, and a lock that
 * one process holds while it trains. Functions give false with an error recorded. */
#ifndef ITO_DDPM_RUN_H
#define ITO_DDPM_RUN_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct training_run {
    char *dir;
    char *checkpoints;
    int lock; /* -1 while not held */
    FILE *log;
} training_run;

/* Whether dir is not there yet, or an empty directory; changes nothing. */
bool run_check_new(const char *dir);
/* Make dir with parents, take the lock, write config.json (a JSON text). */
bool run_create(training_run *r, const char *dir, const char *config);
/* Take the lock of a run that is there. */
bool run_open(training_run *r, const char *dir);
/* Replace config.json, as a whole. */
bool run_set_config(training_run *r, const char *config);
/* Its config.json, an object whose "options" is one too, for the caller to delete; also of a run
 * that is not open. */
cJSON *run_config(const char *dir);
/* Open log.jsonl to append, without the lines of steps after `step`, which were not kept. seconds
 * is set to what its last line says, or 0. */
bool run_log_open(training_run *r, int64_t step, double *seconds);
/* Append a line. */
bool run_log(training_run *r, const char *line);
/* The step of such a line, 0 to 2^53; -1 if it has none. */
int64_t run_log_step(const cJSON *line);
/* DIR/samples/step-N.png, freed with free(). */
char *run_sample_path(const training_run *r, int64_t step);
/* Let go of everything. Accepts a run that is not open, zeroed with lock = -1. */
void run_close(training_run *r);
/* A text that becomes the file at path as a whole: write to the stream of text_begin, then end. */
typedef struct text_file {
    const char *path;
    FILE *out;
    char *text;
    size_t size;
} text_file;
bool text_begin(text_file *f, const char *path);
bool text_end(text_file *f);
/* "DIR/NAME", freed with free(); NULL with an error recorded. */
char *path_join(const char *dir, const char *name);
/* Whether a file can be made at path, or path is NULL: known before hours of work, not behind them.
 */
bool path_can_write(const char *path);
/* The same of up to three paths, which must differ: one file would be lost to the other. */
bool paths_can_write(const char *a, const char *b, const char *c);

#endif
