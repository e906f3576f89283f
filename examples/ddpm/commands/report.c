/* ito-ddpm report: write the report of a run, as training also does at every checkpoint. */
#include "examples/ddpm/report.h"

#include "examples/common/options.h"
#include "examples/common/results.h"
#include "examples/ddpm/commands/commands.h"

#include <stdio.h>

typedef struct report_options {
    const char *loss;
} report_options;

#define AT(field) offsetof(report_options, field)

static const option_row rows[] = {
    TEXT_ROW("loss", loss, "FILE.svg", NULL, "Write the curve of the loss to this file too"),
    END_ROW,
};

static const char doc[] =
    "Write report.html into a run directory: curves, sample grids, noise schedule, settings and "
    "the command that does it again, in one file for any browser. Training writes it too, at every "
    "checkpoint."
    "\v"
    "Example:\n"
    "  ito-ddpm report run && xdg-open run/report.html\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage.";

int command_report(int argc, char **argv)
{
    report_options o = {.loss = NULL};
    command_line c = {
        .command = "report", .arguments = "RUN", .doc = doc, .options = rows, .values = &o};
    options_parse(&c, argc, argv);
    options_require_argument(&c);
    if (!report_write(c.argument) || (o.loss != NULL && !report_write_loss(c.argument, o.loss)))
        return options_report("report");
    return results_end("report", printf("%s/report.html\n", c.argument) > 0);
}
