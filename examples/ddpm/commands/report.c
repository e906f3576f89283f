/* ito-ddpm report: write the report of a run, as training also does at every checkpoint. */
#include "examples/ddpm/report.h"

#include "examples/common/options.h"
#include "examples/common/paths.h"
#include "examples/common/results.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/pictures.h"
#include "examples/ddpm/resume.h"
#include "examples/ddpm/run_directory.h"
#include "examples/ddpm/sampling.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct report_options {
    const char *loss;
    bool samples;
} report_options;

#define AT(field) offsetof(report_options, field)

static const option_row rows[] = {
    TEXT_ROW("loss", loss, "FILE.svg", NULL, "Write the curve of the loss to this file too"),
    FLAG_ROW("samples", samples,
             "Draw a grid of the averaged and one of the plain weights of the newest checkpoint, "
             "unless there are some, as at the end of the run"),
    END_ROW,
};

static const char doc[] =
    "Write report.html into a run directory: curves, the loss by time, sample grids of averaged "
    "and "
    "plain weights, where the time of a step goes, noise schedule, settings and the command that "
    "does it again, in one file for any browser. Training writes it too, at every checkpoint."
    "\v"
    "Example:\n"
    "  ito-ddpm report run && xdg-open run/report.html\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage.";

/* ---- samples ---- */

/* The grid that training draws with these weights, at path. */
static bool draw_grid(const train_options *run, inference *net, const char *path)
{
    sampling_options o = {.sampler = run->sampler != NULL ? run->sampler : "ddpm",
                          .spacing = run->spacing,
                          .steps = run->sample_steps,
                          .n = run->sample_count,
                          .batch = 16,
                          .seed = run->seed};
    sampling s = {.net = net, .o = &o, .images = inference_images(net, o.n)};
    if (s.images == NULL || !sampling_run(&s))
        return false;
    const picture_options look = {.columns = UNSET_INT, .padding = UNSET_INT, .zoom = 1};
    ito_tensor *grid = pictures_grid(s.images, &look);
    return grid != NULL && ito_png_save(path, grid) == ITO_OK;
}

/* The grid of the newest checkpoint by the averaged or the plain weights, unless there is one. */
static bool draw_missing(const char *dir, const train_options *run, bool averaged)
{
    inference net = {.model = NULL};
    ito_scope_begin();
    char *samples = path_join(dir, averaged ? "samples" : PLAIN_SAMPLES), *path = NULL;
    bool good = samples != NULL && path_make_directory(samples, false) &&
                inference_open(&net, (inference_options){.command = "report",
                                                         .model = dir,
                                                         .weights = averaged ? "ema" : "model",
                                                         .precision = run->precision,
                                                         .usual_class = "all"});
    if (good)
        path = averaged ? run_sample_path(dir, net.model->step)
                        : run_plain_sample_path(dir, net.model->step);
    good = good && path != NULL && (path_exists(path) || draw_grid(run, &net, path));
    free(samples);
    free(path);
    inference_close(&net);
    ito_scope_end();
    return good;
}

static bool draw_samples(const char *dir)
{
    train_options run;
    cJSON *config = run_config(dir);
    bool good = config != NULL &&
                stored_options(&run, dir, cJSON_GetObjectItemCaseSensitive(config, "options")) &&
                draw_missing(dir, &run, true) && draw_missing(dir, &run, false);
    cJSON_Delete(config);
    return good;
}

/* ---- the command ---- */

int command_report(int argc, char **argv)
{
    report_options o = {.loss = NULL};
    command_line c = {
        .command = "report", .arguments = "RUN", .doc = doc, .options = rows, .values = &o};
    options_parse(&c, argc, argv);
    options_require_argument(&c);
    if ((o.samples && !draw_samples(c.argument)) || !report_write(c.argument) ||
        (o.loss != NULL && !report_write_loss(c.argument, o.loss)))
        return options_report("report");
    return results_end("report", printf("%s/report.html\n", c.argument) > 0);
}
