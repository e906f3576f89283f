/* profile.json of a run: where the time of a training step goes, operation by operation, counted in
 * a few steps near the beginning of the process. */
#ifndef ITO_DDPM_STEP_PROFILE_H
#define ITO_DDPM_STEP_PROFILE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct step_profile {
    bool on;
    int64_t first; /* steps that were done when it began */
} step_profile;

/* The first steps of a process are slower, and are not counted. */
enum { PROFILE_AFTER = 5, PROFILED_STEPS = 10 };

/* Begin to count, after this many steps of the run; not if ITO_PROFILE counts the whole program. */
void step_profile_begin(step_profile *p, int64_t step);
/* Whether the steps that were wanted are done. */
bool step_profile_full(const step_profile *p, int64_t step);
/* End it and write DIR/profile.json; nothing if it is not on. False with an error recorded. */
bool step_profile_end(step_profile *p, int64_t step, const char *dir);
/* That of a run, for the caller to delete; NULL if there is none that can be read. */
cJSON *step_profile_read(const char *dir);

#endif
