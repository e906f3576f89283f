/* The directory of a training run: config.json, log.jsonl, checkpoints/, samples/, and a lock that
 * one process holds while it trains. Functions give false with an error recorded. */
#ifndef ITO_DDPM_RUN_H
#define ITO_DDPM_RUN_H

#include "examples/common/run_log.h"

#include <cjson/cJSON.h>

typedef struct training_run {
    char *dir;
    char *checkpoints;
    int lock; /* -1 while not held */
    run_log log;
} training_run;

/* Whether dir does not exist, or is an empty directory; changes nothing. */
bool run_check_new(const char *dir);
/* Make dir with parents, take the lock, write config.json (a JSON text). */
bool run_create(training_run *r, const char *dir, const char *config);
/* Take the lock of an existing run, all of whose parts can be written. */
bool run_open(training_run *r, const char *dir);
/* Replace config.json, as a whole. */
bool run_set_config(training_run *r, const char *config);
/* Its config.json, an object whose "options" is one too, for the caller to delete; also of a run
 * that is not open. */
cJSON *run_config(const char *dir);
/* The same of a file of any name. */
cJSON *run_config_read(const char *path);
/* DIR/samples/step-N.png, freed with free(). */
char *run_sample_path(const char *dir, int64_t step);
/* Release everything. Accepts a run that is not open, zeroed with lock = -1. */
void run_close(training_run *r);

#endif
