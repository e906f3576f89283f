/* report.html of a run: its curves, sample grids, schedule and settings in one self-contained file
 * for any browser. */
#ifndef ITO_DDPM_REPORT_H
#define ITO_DDPM_REPORT_H

#include <stdbool.h>

/* Write DIR/report.html from DIR/config.json, log.jsonl and samples/. An older one stays on
 * failure, which gives false with an error recorded. */
bool report_write(const char *dir);
/* The curve of the loss alone, to an SVG file. False with an error recorded. */
bool report_write_loss(const char *dir, const char *path);

#endif
