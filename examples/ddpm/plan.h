/* The plans of a run of --minutes, and their place in its config.json:
 *     "plan": {"minutes": 8, "steps": [[0, 1260], [126, 1190]]}
 * From step 0 on there were to be 1260 steps, from step 126 on 1190.
 * Invariant: a run that is resumed follows the plans that it had, and makes others only after them.
 * Functions give false with an error recorded. */
#ifndef ITO_DDPM_PLAN_H
#define ITO_DDPM_PLAN_H

#include "examples/ddpm/session.h"

/* Set s->o.steps from s->o.minutes by a short trial, of which nothing is kept. */
bool plan_try(session *s);
/* Note the plan of the trial, if there was one, in the config.json of a new run. */
bool plan_begin(session *s);
/* Note the plan at a checkpoint, up to which a run from an earlier one makes no other. */
bool plan_hold(session *s);
/* Take up the plans of a run that is resumed, if it has any, at s->step. */
bool plan_resume(session *s);
/* Before each step: set s->o.steps to the plan for it, or plan again if it is time. */
bool plan_follow(session *s);

#endif
