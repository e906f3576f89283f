/* ito-ddpm plot: noise schedules as charts, and an image at rising levels of noise.
 * Invariant: files are complete or not written. */
#include "examples/common/chart.h"
#include "examples/common/paths.h"
#include "examples/common/results.h"
#include "examples/common/text_file.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/data.h"
#include "examples/ddpm/image_files.h"
#include "examples/ddpm/pictures.h"
#include "examples/ddpm/schedule_plots.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdlib.h>
#include <string.h>

enum { LEVELS = 11 }; /* of noise, in the strip */

typedef struct plot_options {
    const char *out, *schedules, *data, *range;
    int64_t steps, first, size, seed;
    double beta_start, beta_end;
    bool zero_terminal_snr, skip_bad;
} plot_options;

#define AT(field) offsetof(plot_options, field)

static const option_row rows[] = {
    TEXT_ROW("out", out, "DIR", NULL, "Where the files go; made if it is not there"),
    TEXT_ROW("schedules", schedules, "LIST", "linear,quad,cosine,sigmoid",
             "Up to four, by the names of train --schedule"),
    INT_ROW("diffusion-steps", steps, "T", 1, 1e6, "1000", "Steps of the process"),
    REAL_ROW("beta-start", beta_start, "X", ABOVE_0, 1, NULL,
             "First beta of the schedules that have a range of them (0.0001)"),
    REAL_ROW("beta-end", beta_end, "X", ABOVE_0, 1, NULL, "Last beta of those (0.02)"),
    FLAG_ROW("zero-terminal-snr", zero_terminal_snr,
             "Change them so that nothing of the image is left at the last step"),
    DATA_ROW("Draw an image of these at eleven steps: noised.png, a row a schedule"),
    RANGE_ROW,
    SKIP_BAD_ROW,
    INT_ROW("first", first, "I", 0, 1e12, "0", "Number of that image"),
    INT_ROW("size", size, "PIXELS", 1, 8192, "32", "folder: side of the square it is cut to"),
    INT_ROW("seed", seed, "S", 0, LARGEST_INT, "0", "Decides the noise"),
    END_ROW,
};

static const char doc[] =
    "Draw noise schedules, without a network: beta, alpha_bar, SNR, the variance of the posterior "
    "and the weights of the bound's terms, an SVG each."
    "\v"
    "Examples:\n"
    "  ito-ddpm plot --out plots --data fashion-mnist\n"
    "  ito-ddpm plot --out plots --schedules cosine,jsd --diffusion-steps 100\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage.";

typedef struct job {
    plot_options o;
    char *names[CHART_COLORS];
    ito_process *schedules[CHART_COLORS];
    int64_t count;
} job;

/* Add the schedule of this name. */
static bool add_schedule(job *j, const char *name, size_t length)
{
    static const choice_list all = {.kind = "schedule", .list = ito_choices};
    const plot_options *o = &j->o;
    char words[256];
    if (j->count == CHART_COLORS)
        return options_error("--schedules: \"%s\" has more than the %d that fit", o->schedules,
                             CHART_COLORS);
    char *copy = j->names[j->count] = strndup(name, length);
    if (copy == NULL || !choices_have(&all, copy))
        return options_error("--schedules: \"%s\" is none of %s", copy,
                             choices_words(&all, words, sizeof words));
    j->schedules[j->count] = ito_process_create_with(
        ito_schedule_find(copy), ITO_OPTIONS(ito_process_options, .steps = o->steps,
                                             .beta_start = real_or(o->beta_start, 1e-4),
                                             .beta_end = real_or(o->beta_end, 0.02),
                                             .zero_terminal_snr = o->zero_terminal_snr));
    return j->schedules[j->count++] != NULL;
}

/* The schedules of the list, in its order. */
static bool make_schedules(job *j)
{
    bool ranged = false;
    for (const char *p = j->o.schedules; p != NULL;) {
        size_t length = strcspn(p, ",");
        if (!add_schedule(j, p, length))
            return false;
        ranged = ranged || (ito_schedule_find(j->names[j->count - 1])->uses & ITO_USES_BETAS);
        p = p[length] == ',' ? p + length + 1 : NULL;
    }
    const char *given = j->o.beta_start > 0.0 ? "start" : j->o.beta_end > 0.0 ? "end" : NULL;
    return given == NULL || ranged ||
           options_error("--beta-%s: none of the schedules %s has a range of betas", given,
                         j->o.schedules);
}

/* DIR/NAME.svg */
static char *file_name(const job *j, const char *name, const char *end)
{
    char file[64];
    snprintf(file, sizeof file, "%s.%s", name, end);
    return path_join(j->o.out, file);
}

static bool say(const char *path)
{
    return printf("%s\n", path) > 0;
}

static bool draw_chart(const job *j, const schedule_plot *p)
{
    text_file f;
    char *path = file_name(j, p->name, "svg");
    bool good = path != NULL && text_begin(&f, path);
    if (good)
        good = text_end(&f, schedule_plot_write(f.out, p, (const ito_process *const *)j->schedules,
                                                (const char *const *)j->names, j->count, true)) &&
               say(path);
    free(path);
    return good;
}

/* ---- the image ---- */

static ito_tensor *load_image(const plot_options *o)
{
    ito_tensor *images = data_load((data_options){
        .spec = o->data, .range = o->range, .size = o->size, .skip_bad = o->skip_bad});
    if (images == NULL)
        return NULL;
    if (o->first < ito_size(images, 0))
        return images_scaled(ito_narrow(images, 0, o->first, 1));
    options_error("--first: there is no image %" PRId64 " in %s, which has %" PRId64, o->first,
                  o->data, ito_size(images, 0));
    return NULL;
}

/* Steps 0, T/10, 2 T/10, ... and the last one. */
static ito_tensor *levels(int64_t T)
{
    ito_tensor *t = ito_empty(ITO_SHAPE(LEVELS), ITO_I64);
    for (int64_t i = 0; t != NULL && i < LEVELS; i++) {
        int64_t at = i * T / (LEVELS - 1);
        ((int64_t *)ito_data(t))[i] = at < T ? at : T - 1;
    }
    return t;
}

/* A row of the image at all levels for each schedule, with the same noise in all. */
static bool draw_image(const job *j, ito_tensor *x_0)
{
    ito_tensor *t = levels(j->o.steps), *rows_of[CHART_COLORS];
    ito_generator g = ito_generator_make((uint64_t)j->o.seed, 0);
    ito_tensor *eps = ito_randn(&g, ito_shape_of(x_0), ITO_F32);
    ito_tensor *zeros =
        ito_zeros(ITO_SHAPE(LEVELS, ito_size(x_0, 1), ito_size(x_0, 2), ito_size(x_0, 3)), ITO_F32);
    x_0 = ito_add(zeros, x_0);
    eps = ito_add(zeros, eps);
    for (int64_t i = 0; i < j->count; i++)
        rows_of[i] = ito_q_sample(j->schedules[i], x_0, eps, t);
    const picture_options look = {.columns = LEVELS, .padding = UNSET_INT, .zoom = 1};
    ito_tensor *grid = pictures_grid(ito_cat(rows_of, j->count, 0), &look);
    char *path = file_name(j, "noised", "png");
    bool good = grid != NULL && path != NULL && ito_png_save(path, grid) == ITO_OK && say(path);
    free(path);
    return good;
}

static bool plot(job *j)
{
    ito_tensor *image = j->o.data != NULL ? load_image(&j->o) : NULL;
    if ((j->o.data != NULL && image == NULL) || !make_schedules(j))
        return false;
    if (!path_make_directory(j->o.out, false))
        return false;
    for (int i = 0; i < SCHEDULE_PLOTS; i++)
        if (!draw_chart(j, &schedule_plots[i]))
            return false;
    return image == NULL || draw_image(j, image);
}

static void parse(plot_options *o, int argc, char **argv)
{
    command_line c = {.command = "plot", .doc = doc, .options = rows, .values = o};
    options_parse(&c, argc, argv);
    options_require(&c, "out", "where the charts go");
    data_check_skip_bad(&c, o->data);
    if (o->data == NULL)
        options_refuse_given(&c, "first|seed|size|range",
                             "it needs the --data that the image is of");
    else if (!data_resizes(o->data))
        options_refuse_given(&c, "size", "it is for folder:DIR, whose images it changes");
}

int command_plot(int argc, char **argv)
{
    job j = {.count = 0};
    parse(&j.o, argc, argv);
    ito_scope_begin();
    int code = plot(&j) ? results_end("plot", true) : options_report("plot");
    ito_scope_end();
    for (int i = 0; i < CHART_COLORS; i++) {
        free(j.names[i]);
        ito_process_free(j.schedules[i]);
    }
    return code;
}
