/* Several runs beside each other: where their settings differ, how far they are, their loss and
 * results; as a table of 80 columns and as JSON. */
#ifndef ITO_DDPM_RUNS_H
#define ITO_DDPM_RUNS_H

#include "examples/ddpm/run_summary.h"

typedef struct run_entry {
    char *path;
    bool good; /* false: the run cannot be read, and fault says why */
    run_summary run;
    char fault[512];
} run_entry;

typedef struct run_list {
    run_entry *entries;
    int64_t n, room;
} run_list;

/* Append the run in the directory path, which may be damaged. False with an error recorded if there
 * is no memory. */
bool run_list_add(run_list *list, const char *path);
/* Accepts a zeroed one. */
void run_list_free(run_list *list);

/* The settings that are not the same in all runs that can be read, as an object of arrays with a
 * value for each of these runs, null for none; for the caller to delete. */
cJSON *runs_differing(const run_list *list);
/* Whether the runs' losses measure different things: by the name of a setting in which they differ,
 * or NULL. */
const char *runs_loss_differs(const cJSON *differing);
/* The table, with the names of the runs after `base` (a directory, or NULL). */
void runs_print(FILE *out, const run_list *list, const cJSON *differing, const char *base);
/* {"runs": [...], "differing": {...}}, for the caller to delete. */
cJSON *runs_describe(const run_list *list, const cJSON *differing);

#endif
