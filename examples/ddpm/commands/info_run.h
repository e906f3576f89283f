/* What ito-ddpm info prints of a run, in at most twenty lines. */
#ifndef ITO_DDPM_INFO_RUN_H
#define ITO_DDPM_INFO_RUN_H

#include "examples/ddpm/run_summary.h"

/* What was learned, how long, the loss, where things are, and the commands to go on. */
void info_run_print(const run_summary *r);

#endif
