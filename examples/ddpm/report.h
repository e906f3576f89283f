/* report.html of a run: its curves, sample grids, schedule and settings in one file that needs
 * nothing else, to be opened in any browser. */
#ifndef ITO_DDPM_REPORT_H
#define ITO_DDPM_REPORT_H

#include <stdbool.h>

/* Write DIR/report.html from DIR/config.json, log.jsonl and samples/. An older one stays on
 * failure, which gives false with an error recorded. */
bool report_write(const char *dir);

#endif
