/* train --dry-run: what a run would be, measured by some steps of it in this process. */
#ifndef ITO_DDPM_DRY_RUN_H
#define ITO_DDPM_DRY_RUN_H

#include "examples/ddpm/session.h"

/* Train for some steps that nothing is kept of, and print on stdout the run's parameters, memory,
 * time and files. The exit code. */
int dry_run(session *s);

#endif
