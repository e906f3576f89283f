/* results.jsonl of a run: what `ito-ddpm eval` found of it, a JSON object a line. */
#ifndef ITO_DDPM_RUN_RESULTS_H
#define ITO_DDPM_RUN_RESULTS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>

/* Append what eval found of the model, with the time of day, if the model is a run. A run that
 * cannot be written to is reported on stderr: the results themselves are printed. */
void run_results_add(const char *model, const cJSON *results);
/* All lines that can be read, as an array for the caller to delete; empty if there is no file. NULL
 * without memory, with an error recorded. */
cJSON *run_results_read(const char *dir);
/* The latest value of each measure, as an object for the caller to delete: each has the "value",
 * and the "step" and the number of "images" it is of, where they are known. */
cJSON *run_results_latest(const cJSON *results);
/* "frechet 23.1", or with `more` "frechet 23.1 (10000 images, step 3500)"; "-" for NULL. */
void run_result_text(const cJSON *latest, bool more, char *text, size_t size);

#endif
