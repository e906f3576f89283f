/* ito-ddpm plot: noise schedules as charts, and an image on its way to noise.
 * Invariant: files are complete or not written. */
#include "autograd/ops.h"
#include "examples/common/chart.h"
#include "examples/common/options.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/data.h"
#include "examples/ddpm/model_files.h"
#include "examples/ddpm/run_directory.h"
#include "examples/ddpm/schedule_plots.h"
#include "models/ddpm/diffusion.h"
#include "tensor/io/file.h"
#include "tensor/io/image.h"
#include "tensor/random.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LEVELS = 11 }; /* of noise, in the strip */

typedef struct plot_options {
    const char *out, *schedules, *data;
    int64_t steps, first, size, seed;
    double beta_start, beta_end;
    bool zero_terminal_snr;
} plot_options;

#define AT(field) offsetof(plot_options, field)

static const option_row rows[] = {
    {OPTION_TEXT, "out", AT(out), "DIR", "Where the files go; made if it is not there", 0, 0,
     false},
    {OPTION_TEXT, "schedules", AT(schedules), "LIST",
     "Up to four, by the names of train --schedule (linear,quad,cosine,sigmoid)", 0, 0, false},
    {OPTION_INT, "diffusion-steps", AT(steps), "T", "Steps of the process (1000)", 1, 1e6, false},
    {OPTION_REAL, "beta-start", AT(beta_start), "X",
     "First beta of the schedules that have a range of them (0.0001)", ABOVE_0, 1, false},
    {OPTION_REAL, "beta-end", AT(beta_end), "X", "Last one (0.02)", ABOVE_0, 1, false},
    {OPTION_FLAG, "zero-terminal-snr", AT(zero_terminal_snr), NULL,
     "Change them so that nothing of the image is left at the last step", 0, 0, false},
    {OPTION_TEXT, "data", AT(data), "SPEC",
     "Draw an image of these, named as for train, at eleven steps: noised.png, a row a schedule", 0,
     0, false},
    {OPTION_INT, "first", AT(first), "I", "Number of that image (0)", 0, 1e12, false},
    {OPTION_INT, "size", AT(size), "PIXELS", "folder: side of the square it is cut to (32)", 1,
     8192, false},
    {OPTION_INT, "seed", AT(seed), "S", "Decides the noise (0)", 0, LARGEST_INT, false},
    {OPTION_END, NULL, 0, NULL, NULL, 0, 0, false},
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
    ito_ddpm_schedule *schedules[CHART_COLORS];
    int64_t count;
} job;

/* The schedules of the list, in its order. */
static bool make_schedules(job *j)
{
    bool ranged = false;
    for (const char *p = j->o.schedules; p != NULL;) {
        size_t length = strcspn(p, ",");
        if (j->count == CHART_COLORS) {
            ito_error_set(ITO_ERR_ARGUMENT, "--schedules: \"%s\" has more than the %d that fit",
                          j->o.schedules, CHART_COLORS);
            return false;
        }
        char *name = j->names[j->count] = strndup(p, length);
        if (name == NULL || !options_has_word(SCHEDULES, name)) {
            ito_error_set(ITO_ERR_ARGUMENT, "--schedules: \"%s\" is none of %s", name, SCHEDULES);
            return false;
        }
        j->schedules[j->count] = ito_ddpm_schedule_create_with(
            ito_ddpm_betas_find(name), j->o.steps,
            (ito_ddpm_schedule_options){.beta_start = j->o.beta_start,
                                        .beta_end = j->o.beta_end,
                                        .zero_terminal_snr = j->o.zero_terminal_snr});
        if (j->schedules[j->count++] == NULL)
            return false;
        p = p[length] == ',' ? p + length + 1 : NULL;
        ranged = ranged || ito_ddpm_betas_find(name)->ranged;
    }
    const char *given = j->o.beta_start > 0.0 ? "start" : j->o.beta_end > 0.0 ? "end" : NULL;
    if (given != NULL && !ranged)
        ito_error_set(ITO_ERR_ARGUMENT, "--beta-%s: none of the schedules %s has a range of betas",
                      given, j->o.schedules);
    return given == NULL || ranged;
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
    char *text = NULL, *path = file_name(j, p->name, "svg");
    size_t size = 0;
    FILE *out = path != NULL ? open_memstream(&text, &size) : NULL;
    bool good =
        out != NULL && schedule_plot_write(out, p, (const ito_ddpm_schedule *const *)j->schedules,
                                           (const char *const *)j->names, j->count, true);
    if (out != NULL && fclose(out) != 0)
        good = false;
    good = good && file_write_atomic(path, text, size) == ITO_OK && say(path);
    if (!good && ito_error_code() == ITO_OK)
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for the chart", p->name);
    free(text);
    free(path);
    return good;
}

/* ---- the image ---- */

static ito_tensor *load_image(const plot_options *o)
{
    ito_tensor *images = data_load((data_options){.spec = o->data, .size = o->size});
    if (images == NULL)
        return NULL;
    if (o->first < ito_size(images, 0))
        return data_scaled(ito_narrow(images, 0, o->first, 1));
    ito_error_set(ITO_ERR_RANGE, "--first: there is no image %" PRId64 " in %s, which has %" PRId64,
                  o->first, o->data, ito_size(images, 0));
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
        rows_of[i] = ito_ddpm_q_sample(j->schedules[i], x_0, eps, t);
    ito_tensor *grid = ito_image_grid(ito_cat(rows_of, j->count, 0), LEVELS, 2);
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
    if (mkdir(j->o.out, 0777) != 0 && errno != EEXIST) {
        ito_error_set(ITO_ERR_IO, "%s: cannot make it: %s", j->o.out, strerror(errno));
        return false;
    }
    for (int i = 0; i < SCHEDULE_PLOTS; i++)
        if (!draw_chart(j, &schedule_plots[i]))
            return false;
    return image == NULL || draw_image(j, image);
}

int command_plot(int argc, char **argv)
{
    job j = {.o = {.schedules = "linear,quad,cosine,sigmoid", .steps = 1000, .size = 32}};
    command_line c = {.command = "plot", .doc = doc, .options = rows, .values = &j.o};
    options_parse(&c, argc, argv);
    if (j.o.out == NULL)
        options_refuse(&c, "--out is missing: where the charts go");
    data_refuse_invalid(&c, j.o.data);
    if (j.o.data == NULL)
        options_refuse_given(&c, "first|seed|size", "it needs the --data that the image is of");
    else if (!data_is_folder(j.o.data))
        options_refuse_given(&c, "size", "it is for folder:DIR, whose images it changes");
    ito_scope_begin();
    int code = plot(&j) ? 0 : options_report("plot");
    if (code == 0 && fflush(stdout) != 0)
        code = 1;
    ito_scope_end();
    for (int i = 0; i < CHART_COLORS; i++) {
        free(j.names[i]);
        ito_ddpm_schedule_free(j.schedules[i]);
    }
    return code;
}
