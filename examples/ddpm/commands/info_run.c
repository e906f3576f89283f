/* What ito-ddpm info prints of a run.
 * Invariant: at most twenty lines, whatever the run's files say. */
#include "examples/ddpm/commands/info_run.h"

#include "examples/common/options.h"
#include "examples/common/paths.h"
#include "examples/common/progress.h"
#include "examples/ddpm/run_directory.h"
#include "examples/ddpm/run_results.h"

#include <errno.h>
#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Text from a file: control characters, which could control the terminal, are shown as '?'. */
static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int n = vasprintf(&text, format, arguments);
    va_end(arguments);
    for (int i = 0; i < n; i++)
        putchar((unsigned char)text[i] < ' ' || text[i] == 127 ? '?' : text[i]);
    if (n >= 0)
        free(text);
}

static void say_number(const char *format, double value)
{
    if (isfinite(value))
        say(format, value);
}

/* The option of the run as text, "-" for none; up to eight at once. */
static const char *option_of(const run_summary *r, const char *name)
{
    static char texts[8][160];
    static int next;
    char *text = texts[next++ % 8];
    return setting_text(cJSON_GetObjectItemCaseSensitive(r->options, name), text, 160);
}

/* ", NAME value", unless it has the value that most runs have. */
static void say_unless(const run_summary *r, const char *name, const char *usual)
{
    const char *value = option_of(r, name);
    if (strcmp(value, usual) != 0 && strcmp(value, "-") != 0)
        say(", %s %s", name, value);
}

static double model_number(const run_summary *r, const char *name)
{
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(r->config, "model");
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(model, name);
    return cJSON_IsNumber(item) ? item->valuedouble : 0.0;
}

/* ---- what was learned ---- */

/* ", 2 classes: cat, dog" */
static void say_classes(const run_summary *r)
{
    enum { NAMED = 10 };
    if (model_number(r, "classes") == 0.0)
        return;
    say(", %.0f classes", model_number(r, "classes"));
    char *text = r->checkpoint != NULL ? ito_checkpoint_settings(r->checkpoint) : NULL;
    cJSON *settings = text != NULL ? cJSON_Parse(text) : NULL;
    const cJSON *names = cJSON_GetObjectItemCaseSensitive(settings, "class_names"), *name;
    int i = 0;
    cJSON_ArrayForEach(name, names) if (cJSON_IsString(name) && i++ < NAMED)
        say("%s %.40s", i == 1 ? ":" : ",", name->valuestring);
    if (i > NAMED)
        say(", ...");
    cJSON_Delete(settings);
    free(text);
    ito_error_clear();
}

static void say_data(const run_summary *r)
{
    const cJSON *images = cJSON_GetObjectItemCaseSensitive(r->config, "images");
    say("data: %s", option_of(r, "data"));
    if (cJSON_IsNumber(images))
        say(", %.0f image%s", images->valuedouble, PLURAL(images->valuedouble));
    say(" of %.0fx%.0fx%.0f", model_number(r, "in_channels"), model_number(r, "height"),
        model_number(r, "width"));
    say_classes(r);
    putchar('\n');
}

/* The width of each level over the network's, as text: its multiplier, or the width itself. */
static char *multipliers_of(const run_summary *r)
{
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(r->config, "model");
    const cJSON *widths = cJSON_GetObjectItemCaseSensitive(model, "widths");
    cJSON *list = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(model, "multipliers"), true);
    for (int i = 0; i < cJSON_GetArraySize(list); i++) {
        double width = cJSON_GetNumberValue(cJSON_GetArrayItem(widths, i));
        if (width > 0)
            cJSON_SetNumberValue(cJSON_GetArrayItem(list, i), width / model_number(r, "channels"));
    }
    char *text = cJSON_PrintUnformatted(list);
    cJSON_Delete(list);
    return text;
}

static void say_network(const run_summary *r)
{
    char *multipliers = multipliers_of(r);
    say("network: preset %s, %.0f channels", option_of(r, "preset"), model_number(r, "channels"));
    if (multipliers != NULL)
        say(" x %s", multipliers);
    say_number(", %.0f parameters", r->parameters);
    say(", %s", option_of(r, "precision"));
    putchar('\n');
    free(multipliers);
}

static void say_training(const run_summary *r)
{
    say("diffusion: schedule %s, prediction %s", option_of(r, "schedule"),
        option_of(r, "prediction"));
    say_unless(r, "diffusion-steps", "0");
    say_unless(r, "loss", "simple");
    say_unless(r, "weighting", "simple");
    say_unless(r, "step-sampling", "uniform");
    say_unless(r, "recipe", "-");
    putchar('\n');
    say("optimiser: %s, learning rate %s, %s decay, batch %s, averages %s, seed %s",
        option_of(r, "optimizer"), option_of(r, "lr"), option_of(r, "decay"), option_of(r, "batch"),
        option_of(r, "ema"), option_of(r, "seed"));
    putchar('\n');
}

/* ---- how far it is ---- */

static void say_progress(const run_summary *r)
{
    const char *trend = run_trend(r);
    char took[32];
    printf("step: %" PRId64 " of %" PRId64 "\n", r->step, r->steps);
    if (isfinite(r->seconds)) {
        format_duration(took, r->seconds);
        say("time: %s", took);
        say_number(", %.4g images/s", r->images_per_second);
        say_number(", %.0f MiB at most", r->peak_bytes / 0x1p20);
        putchar('\n');
    }
    if (isfinite(r->loss)) {
        say("loss: %.4g, smoothed", r->loss);
        if (trend != NULL)
            say("; %s, a tenth of the run ago %.4g", trend, r->loss_before);
        putchar('\n');
    }
}

static void say_results(const run_summary *r)
{
    const cJSON *one;
    const char *before = "results: ";
    cJSON_ArrayForEach(one, r->latest)
    {
        char text[160];
        run_result_text(one, true, text, sizeof text);
        say("%s%s", before, text);
        before = ", ";
    }
    if (before[0] == ',')
        putchar('\n');
}

/* ---- where things are ---- */

static void say_places(const run_summary *r)
{
    if (r->grids > 0) {
        char *grid = run_sample_path(r->dir, r->grid_step);
        say("samples: %s, the newest of %" PRId64, grid != NULL ? grid : "", r->grids);
        putchar('\n');
        free(grid);
    }
    if (path_has(r->dir, "report.html")) {
        say("report: %s/report.html", r->dir);
        putchar('\n');
    }
    if (r->checkpoint != NULL)
        say("newest checkpoint: %s, verified", r->checkpoint);
    else
        say("newest checkpoint: none yet");
    putchar('\n');
}

/* A word of a shell's command line, in quotes unless it is plain. */
static void say_word(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_.,:/+=@";
    if (strspn(word, plain) == strlen(word)) {
        say("%s", word);
        return;
    }
    putchar('\'');
    for (; *word != '\0'; word++)
        say(*word == '\'' ? "'\\%c'" : "%c", *word);
    putchar('\'');
}

/* The program is named as this one was, so that the lines can be pasted. */
static void say_commands(const run_summary *r)
{
    if (strcmp(r->state, "training") != 0) {
        say("to go on: ");
        say_word(program_invocation_name);
        say(" train --resume --out ");
        say_word(r->dir);
        if (strcmp(r->state, "done") == 0)
            say(" --steps %" PRId64, 2 * r->steps);
        putchar('\n');
    }
    if (r->checkpoint != NULL) {
        say("to sample: ");
        say_word(program_invocation_name);
        say(" sample --out grid.png --model ");
        say_word(r->dir);
        putchar('\n');
    }
}

void info_run_print(const run_summary *r)
{
    say("path: %s", r->dir);
    printf("\nkind: run\n");
    printf("state: %s\n", r->state);
    say_data(r);
    say_network(r);
    say_training(r);
    say_progress(r);
    say_results(r);
    say_places(r);
    say_commands(r);
}
